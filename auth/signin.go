package auth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/bizzstream/bizzscim/directory"
)

// SignIn signs people in with the directories of tenants: OpenID Connect Core 1.0, authorization code
// flow with PKCE (RFC 7636), bound to the browser that began it. It is safe for concurrent use.
type SignIn struct {
	config SignInConfig
	client *http.Client
	asked  asked

	mu      sync.Mutex
	issuers map[directory.ID]*issuer // by tenant
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
func NewSignIn(c SignInConfig) *SignIn {
	return &SignIn{config: c, client: withoutRedirects(c.Client), issuers: map[directory.ID]*issuer{}}
}

// Start describes a sign-in to begin.
type Start struct {
	Tenant    directory.ID
	Next      string // where to go afterwards: a path that SafeNext has passed
	LoginHint string // userName or e-mail address that the person has typed; empty: none
	Prompt    string // none, login, select_account or consent in place of the tenant's, but where that is login; any other: the tenant's
}

// exchangeTime bounds the exchange of a code.
const exchangeTime = 15 * time.Second

// Begin begins a sign-in: the browser is given the cookie and sent to the address. Before, MakeRoom says
// which cookies of it to take back. The error is a *Problem, and has been logged.
func (s *SignIn) Begin(ctx context.Context, in Start) (address string, cookie *http.Cookie, err error) {
	next := SafeNext(in.Next)
	t, _, p := s.tenant(ctx, in.Tenant)
	if p != nil {
		return "", nil, s.conclude(ctx, p, directory.Actor{}, t, directory.ID{}, next)
	}
	i := s.issuer(t)
	published, err := i.publication(ctx)
	if err != nil {
		return "", nil, s.conclude(ctx, issuerProblem(err), directory.Actor{}, t, directory.ID{}, next)
	}
	a := &attempt{State: randomText(), Nonce: randomText(), Verifier: oauth2.GenerateVerifier(), Tenant: t.ID, Issuer: i.url,
		Client: t.SignIn.ClientID, Next: next, Created: s.config.Service.SessionNow()}
	if cookie, err = s.sealAttempt(a); err != nil {
		return "", nil, s.conclude(ctx, &Problem{Code: ProblemInternal, Err: err}, directory.Actor{}, t, directory.ID{}, next)
	}
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(a.Verifier), oidc.Nonce(a.Nonce), oauth2.SetAuthURLParam("response_mode", "query")}
	for name, value := range hints(in, &t.SignIn) {
		options = append(options, oauth2.SetAuthURLParam(name, value))
	}
	return s.application(t, published).AuthCodeURL(a.State, options...), cookie, nil
}

// hints are the parameters that shape what the directory asks. A tenant whose people give their
// credentials each time is not talked out of it by what a browser has sent. The directory refuses a login_hint beside
// select_account. Source: Microsoft, "OAuth 2.0 authorization code flow".
func hints(in Start, settings *directory.SignIn) map[string]string {
	all := map[string]string{}
	prompt := in.Prompt
	if settings.Prompt == "login" || !slices.Contains([]string{"none", "login", "select_account", "consent"}, prompt) {
		prompt = settings.Prompt
	}
	if prompt != "" {
		all["prompt"] = prompt
	}
	if in.LoginHint != "" && len(in.LoginHint) <= maxLoginHint && prompt != "select_account" {
		all["login_hint"] = in.LoginHint
	}
	if settings.DomainHint != "" {
		all["domain_hint"] = settings.DomainHint
	}
	return all
}

// maxLoginHint bounds what a person has typed, in bytes: an e-mail address is no longer (RFC 5321).
const maxLoginHint = 320

// tenant returns a tenant that signs people in, and the credential of its application.
func (s *SignIn) tenant(ctx context.Context, id directory.ID) (t *directory.Tenant, c *directory.Credential, p *Problem) {
	err := s.config.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		if t, err = sn.Tenant(id); err == nil {
			c, err = sn.Credential(id, directory.SignInCredential)
		}
		return err
	})
	switch {
	case err != nil && directory.KindOf(err) != directory.NotFound:
		return nil, nil, &Problem{Code: ProblemInternal, Err: err}
	case err != nil, t.SignIn.ClientID == "", t.DirectoryID == "":
		return t, nil, &Problem{Code: ProblemNotSetUp, Err: err}
	}
	return t, c, nil
}

// authorities are where Microsoft's clouds sign people in. Source: Microsoft, "National clouds" of the
// identity platform.
var authorities = map[string]string{
	"":          "https://login.microsoftonline.com",
	"public":    "https://login.microsoftonline.com",
	"usgov":     "https://login.microsoftonline.us",
	"usgov-dod": "https://login.microsoftonline.us",
	"china":     "https://login.partner.microsoftonline.cn",
}

// Issuer is what the directory of a tenant calls itself in its tokens; empty where the tenant has none.
func Issuer(t *directory.Tenant) string {
	authority, known := authorities[t.Graph.Cloud]
	if !known {
		authority = strings.TrimRight(t.Graph.LoginURL, "/")
	}
	if authority == "" || t.DirectoryID == "" {
		return ""
	}
	return authority + "/" + t.DirectoryID + "/v2.0"
}

// issuer is the directory of a tenant: one for each, until the tenant's settings name another.
func (s *SignIn) issuer(t *directory.Tenant) *issuer {
	at := Issuer(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.issuers[t.ID]
	if i == nil || i.url != at {
		i = &issuer{url: at, tenant: t.DirectoryID, algorithms: idTokenAlgorithms, client: s.client, now: s.config.Now, log: s.config.Log}
		if u, err := address(at); err == nil {
			i.host = hostOf(u)
		}
		s.issuers[t.ID] = i
	}
	return i
}

// application is the application of a tenant as an OAuth client.
func (s *SignIn) application(t *directory.Tenant, p *published) *oauth2.Config {
	return &oauth2.Config{ClientID: t.SignIn.ClientID, RedirectURL: s.config.Redirect(), Scopes: []string{oidc.ScopeOpenID, "profile"},
		Endpoint: oauth2.Endpoint{AuthURL: p.Authorization, TokenURL: p.Token, AuthStyle: oauth2.AuthStyleInParams}}
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
// session. The error is a *Problem, and has been logged; Done is not nil even then, for what must be
// taken back.
func (s *SignIn) Finish(ctx context.Context, r Return) (*Done, error) {
	done := &Done{Next: "/"}
	a, remove := s.returned(r.Query, r.Cookies)
	done.Clear = remove
	if a == nil { // of the answer nothing is looked at: anybody can send a browser here
		return done, s.conclude(ctx, &Problem{Code: ProblemStart}, r.By, nil, directory.ID{}, "/")
	}
	done.Next = SafeNext(a.Next)
	tenant, cred, p := s.tenant(ctx, a.Tenant)
	var who *person
	if p == nil {
		done.Tenant = tenant
		if who, p = s.identify(ctx, r, a, tenant, cred); p == nil {
			p = s.admit(ctx, r, done, who)
		}
	}
	if p == nil {
		return done, nil
	}
	var object directory.ID
	if who != nil {
		object = who.object
	}
	return done, s.conclude(ctx, p, r.By, tenant, object, done.Next)
}

// identify finds out whom the directory has sent, by an answer to a sign-in that this browser began.
func (s *SignIn) identify(ctx context.Context, r Return, a *attempt, t *directory.Tenant, cred *directory.Credential) (*person, *Problem) {
	i := s.issuer(t)
	if a.Issuer != i.url || a.Client != t.SignIn.ClientID { // the settings have changed since
		return nil, &Problem{Code: ProblemStart}
	}
	r.By.Role = directory.RoleNone
	err := s.config.Service.UseState(ctx, r.By, Hash(a.State), a.Created.Add(attemptLife))
	switch {
	case err != nil && directory.KindOf(err) == directory.Conflict:
		return nil, &Problem{Code: ProblemReplay}
	case err != nil:
		return nil, &Problem{Code: ProblemInternal, Err: err}
	case r.Query.Has("iss") && r.Query.Get("iss") != i.url: // RFC 9207 section 2.4
		return nil, &Problem{Code: ProblemToken, Err: errors.New("the answer is of another issuer")}
	case r.Query.Has("error"):
		return nil, said(r.Query.Get("error"), r.Query.Get("error_description"))
	case r.Query.Get("code") == "":
		return nil, &Problem{Code: ProblemStart}
	}
	raw, p := s.exchange(ctx, i, r.Query.Get("code"), a, t, cred)
	if p != nil {
		return nil, p
	}
	who, err := i.identify(ctx, raw, a, t.DirectoryID)
	var down *issuerError
	switch {
	case err == nil:
		return who, nil
	case errors.As(err, &down), ctx.Err() != nil:
		return nil, issuerProblem(err)
	case errors.Is(err, errWrongTenant):
		return nil, &Problem{Code: ProblemWrongTenant, Err: err}
	}
	return nil, &Problem{Code: ProblemToken, Err: err}
}

// exchange exchanges a code for an ID token, which is not verified yet.
func (s *SignIn) exchange(ctx context.Context, i *issuer, code string, a *attempt, t *directory.Tenant, cred *directory.Credential) (string, *Problem) {
	published, err := i.publication(ctx)
	if err != nil {
		return "", issuerProblem(err)
	}
	application := s.application(t, published)
	options, err := s.prove(application, cred)
	if err != nil {
		return "", &Problem{Code: ProblemConfiguration, Err: err}
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, s.client), exchangeTime)
	defer cancel()
	token, err := application.Exchange(ctx, code, append(options, oauth2.VerifierOption(a.Verifier))...)
	if err != nil {
		return "", exchangeProblem(err)
	}
	raw, _ := token.Extra("id_token").(string)
	return raw, nil
}

// admit makes a session for a person whom the directory has proven. Who is not known yet may be so
// after the directory has been asked.
func (s *SignIn) admit(ctx context.Context, r Return, done *Done, who *person) *Problem {
	secret := NewSessionSecret()
	identity := directory.Identity{Asked: done.Tenant, TenantID: done.Tenant.ID, ClientID: done.Tenant.SignIn.ClientID, ObjectID: who.object, Subject: who.subject}
	in := directory.SessionInput{Hash: secret.Hash, Replaces: r.Replaces, SignedIn: r.SignedIn}
	in.SID, in.LogoutHint = who.sid, who.logoutHint
	r.By.Role = directory.RoleUser
	session, err := s.config.Service.SignIn(ctx, r.By, identity, in)
	if errors.Is(err, directory.ErrNotProvisioned) && s.config.Provision != nil {
		s.provision(ctx, done.Tenant, who.object)
		session, err = s.config.Service.SignIn(ctx, r.By, identity, in)
	}
	if err != nil {
		return serviceProblem(err)
	}
	done.Session, done.Secret = session, secret.Text
	return nil
}

// LogoutURL is where a browser signs out of the directory that a session came of (OpenID Connect
// RP-Initiated Logout 1.0), and comes back from to returnTo, which has to be registered there; empty where there is
// none. The error says that the directory does not answer.
func (s *SignIn) LogoutURL(ctx context.Context, session *directory.Session, returnTo string) (string, error) {
	if session.Method != directory.MethodDirectory {
		return "", nil
	}
	t, _, p := s.tenant(ctx, session.TenantID)
	switch {
	case p != nil && p.Code == ProblemNotSetUp:
		return "", nil
	case p != nil:
		return "", p.Err
	}
	published, err := s.issuer(t).publication(ctx)
	if err != nil || published.EndSession == "" {
		return "", err
	}
	u, err := url.Parse(published.EndSession)
	if err != nil {
		return "", err
	}
	q := u.Query()
	q.Set("client_id", t.SignIn.ClientID)
	if returnTo != "" {
		q.Set("post_logout_redirect_uri", returnTo)
	}
	if session.LogoutHint != "" {
		q.Set("logout_hint", session.LogoutHint)
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
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
type Problem struct { //nolint:errname // it is what a page shows, and an error besides
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
