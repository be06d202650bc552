package auth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// SignIn signs people in with the directories of tenants: OpenID Connect Core 1.0, authorization code
// flow with PKCE (RFC 7636), bound to the browser that began it. It is safe for concurrent use.
type SignIn struct {
	config SignInConfig
}

// SignInConfig is what a SignIn needs.
type SignInConfig struct {
	Service  *directory.Service
	Redirect func() string                                    // absolute URL of the callback, as it is registered in Entra
	Open     func(*directory.Credential) ([]byte, error)      // the secret of a credential in the clear: a secret, or PEM of certificate and RSA key
	Seal     func(plain []byte, place string) (string, error) // for the cookie of a sign-in under way
	Unseal   func(sealed, place string) ([]byte, error)
	Client   *http.Client     // for calls to directories: with a time limit, follows no redirect
	Now      func() time.Time // the wall clock
	Log      *slog.Logger
	// Provision asks the directory for a person whom nobody has provisioned yet, and provisions them
	// when a synced group holds them. It answers nil whether or not it did; nil: nobody can be asked.
	Provision func(ctx context.Context, tenant *directory.Tenant, object directory.ID) error
}

// NewSignIn returns a SignIn.
func NewSignIn(c SignInConfig) *SignIn { return &SignIn{config: c} }

// Start describes a sign-in to begin.
type Start struct {
	Tenant    directory.ID
	Next      string // where to go afterwards: a path that SafeNext has passed
	LoginHint string // userName or e-mail address that the person has typed; empty: none
	Prompt    string // overrides the tenant's; empty: the tenant's
}

// Begin begins a sign-in: the browser is given the cookie and sent to the address. The error is a
// *Problem.
func (s *SignIn) Begin(ctx context.Context, in Start) (address string, cookie *http.Cookie, err error) {
	return "", nil, errors.New("not built")
}

// Return is how a browser came back from the directory.
type Return struct {
	Query    url.Values
	Cookies  []*http.Cookie
	By       directory.Actor    // channel, address and request; the role is set here
	SignedIn directory.SignedIn // address and user agent of the browser
	Replaces [32]byte           // the session that the browser had until now, by its SHA-256; zero: none
}

// Done is a sign-in that has ended well.
type Done struct {
	Secret  string // of the session: for the cookie, kept nowhere
	Session *directory.Session
	Tenant  *directory.Tenant
	Next    string
	Clear   []*http.Cookie // cookies to take back
}

// Finish ends a sign-in: it spends the state, exchanges the code, verifies the ID token and makes a
// session. The error is a *Problem; Done is not nil even then, for what must be taken back.
func (s *SignIn) Finish(ctx context.Context, r Return) (*Done, error) {
	return &Done{}, errors.New("not built")
}

// LogoutURL is where a browser signs out of the directory that a session came of (OpenID Connect
// RP-Initiated Logout 1.0); empty where there is none.
func (s *SignIn) LogoutURL(ctx context.Context, session *directory.Session, returnTo string) (string, error) {
	return "", errors.New("not built")
}

// ProblemCode tells sign-ins that did not end well apart, in the terms of who has to act.
type ProblemCode string

// The codes.
const (
	ProblemNotSetUp          ProblemCode = "not_set_up"         // the tenant signs nobody in, or there is no such tenant
	ProblemStart             ProblemCode = "start_again"        // no sign-in of this browser is under way, or it took too long
	ProblemReplay            ProblemCode = "used"               // the answer was used already
	ProblemCancelled         ProblemCode = "cancelled"          // the person said no
	ProblemConsent           ProblemCode = "consent"            // an administrator must allow the application
	ProblemNotAssigned       ProblemCode = "not_assigned"       // the application is not assigned to the person
	ProblemConditionalAccess ProblemCode = "conditional_access" // a policy of the directory blocks the sign-in
	ProblemMFA               ProblemCode = "mfa"                // more proof is needed than the sign-in gave
	ProblemAccount           ProblemCode = "account"            // the directory does not know the account, or has disabled it
	ProblemInteraction       ProblemCode = "interaction"        // the directory wants to ask something and was not let
	ProblemConfiguration     ProblemCode = "configuration"      // client id, credential or redirect URI is wrong: for an administrator
	ProblemUnavailable       ProblemCode = "unavailable"        // the directory does not answer
	ProblemDirectory         ProblemCode = "directory_error"    // the directory failed in another way
	ProblemToken             ProblemCode = "token"              // the ID token is not to be believed
	ProblemWrongTenant       ProblemCode = "wrong_tenant"       // the person belongs to another directory
	ProblemNotProvisioned    ProblemCode = "not_provisioned"    // nobody has provisioned this person
	ProblemAmbiguous         ProblemCode = "ambiguous"          // the tenant has the person twice
	ProblemIdentity          ProblemCode = "identity"           // the subject is not the one that was seen before
	ProblemInactive          ProblemCode = "inactive"           // the directory has disabled the person
	ProblemNoAccess          ProblemCode = "no_access"          // provisioned, but without an active access
	ProblemRateLimited       ProblemCode = "rate_limited"       // too many tries
	ProblemInternal          ProblemCode = "internal"           // a fault of ours
)

// ProblemCodes lists every code, for pages and the tests that walk them.
var ProblemCodes = []ProblemCode{ProblemNotSetUp, ProblemStart, ProblemReplay, ProblemCancelled, ProblemConsent, ProblemNotAssigned,
	ProblemConditionalAccess, ProblemMFA, ProblemAccount, ProblemInteraction, ProblemConfiguration, ProblemUnavailable, ProblemDirectory,
	ProblemToken, ProblemWrongTenant, ProblemNotProvisioned, ProblemAmbiguous, ProblemIdentity, ProblemInactive, ProblemNoAccess,
	ProblemRateLimited, ProblemInternal}

// Problem is why somebody is not signed in. Everything but Err is safe to show to the person.
type Problem struct {
	Code          ProblemCode
	Tenant        *directory.Tenant // nil: not known
	OAuth         string            // the directory's error (RFC 6749 section 4.1.2.1), one of its characters only
	Number        string            // the directory's number of it, such as AADSTS53003; empty: none
	CorrelationID string            // by which the directory's administrators find it; empty: none
	TraceID       string
	Time          time.Time
	Next          string // where the person wanted to go
	Err           error  // for the operator
}

func (p *Problem) Error() string {
	s := "sign-in: " + string(p.Code)
	if p.Number != "" {
		s += " (" + p.Number + ")"
	}
	if p.Err != nil {
		s += ": " + p.Err.Error()
	}
	return s
}

func (p *Problem) Unwrap() error { return p.Err }
