package entrasim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Consent is who has allowed an application to sign people in.
// Source: Microsoft, "Overview of permissions and consent in the Microsoft identity platform".
type Consent int

// The kinds of consent.
const (
	ConsentGranted Consent = iota // an administrator did, for everybody
	ConsentByUser                 // nobody yet: each person is asked once
	ConsentByAdmin                // nobody yet, and only an administrator may
)

// Optional claims of an ID token.
// Source: Microsoft, "Optional claims reference".
const (
	ClaimSID       = "sid"        // the session of the person in the browser
	ClaimLoginHint = "login_hint" // opaque; for login_hint and logout_hint
	ClaimEmail     = "email"
	ClaimGroups    = "groups" // object ids of all groups, also through others; from 201 on, where to ask for them
	ClaimAcct      = "acct"   // 0 for a member, 1 for a guest
	ClaimAuthTime  = "auth_time"
)

// SignInSettings are what an application registration says about people who sign in. The zero value signs nobody in:
// there is no redirect URI.
type SignInSettings struct {
	RedirectURIs          []string // compared as they are, byte by byte
	PostLogoutURIs        []string // where end_session may go besides; in Entra they stand among the redirect URIs, which count too
	FrontChannelLogoutURL string   // called with ?sid= when the person signs out of Entra; empty: not called
	OptionalClaims        []string // ClaimSID and so on

	AssignmentRequired bool                // only whom Assignments name may sign in
	Assignments        map[string][]string // object id of a person or a group (its direct members) -> app roles, of which there may be none
	Consent            Consent

	// WithoutPKCE takes requests without a code challenge, as Entra does from web applications. One that is sent is
	// checked all the same.
	WithoutPKCE bool
}

// signIn is what an application keeps about the sign-in of people. App.mu guards it.
type signIn struct {
	settings  SignInSettings
	consented map[string]bool // object ids of those who have been asked and have accepted
	tamper    func(*IDToken)
}

// SignIn sets how people sign in to the application. It replaces former settings; who has consented stays so.
func (a *App) SignIn(s SignInSettings) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.signIn.settings = s
}

// Tamper lets f change each ID token of the application before it is signed, or what is sent instead of it; nil stops
// that. See [IDToken] and [Graph.TokenAttacks].
func (a *App) Tamper(f func(*IDToken)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.signIn.tamper = f
}

func (a *App) signInSettings() SignInSettings {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.signIn.settings
}

func (a *App) tamperer() func(*IDToken) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.signIn.tamper
}

func (a *App) consent(user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.signIn.consented == nil {
		a.signIn.consented = make(map[string]bool)
	}
	a.signIn.consented[user] = true
}

func (a *App) hasConsented(user string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.signIn.consented[user]
}

// assignment says whether the person is assigned, directly or as a direct member of a group, and with which app roles.
func (s SignInSettings) assignment(t *Tenant, user string) (roles []string, assigned bool) {
	for id, of := range s.Assignments {
		if id == user || slices.Contains(t.Members(id), user) {
			roles, assigned = append(roles, of...), true
		}
	}
	slices.Sort(roles)
	return slices.Compact(roles), assigned
}

// Trouble keeps somebody from signing in.
type Trouble struct {
	Number int // of the AADSTS error, one of [Troubles]; 0 is none
	// Redirect sends the browser back to the application with the error, even where Entra would keep it on a page of its
	// own. With prompt=none that happens anyway.
	Redirect bool
}

// trouble is how Entra tells of an error.
type trouble struct {
	number int
	code   string // OAuth's error when it is sent back to the application
	silent string // the same with prompt=none; empty: as code
	page   bool   // it is shown on a page of Entra
	form   bool   // it is shown on the sign-in page, and another account can be tried
	text   string // with the name of the account and of the application where they stand
}

// Source: Microsoft, "Microsoft Entra authentication and authorization error codes".
var troubles = []trouble{
	{50034, "access_denied", "login_required", true, true, "The user account {user} does not exist in the {tenant} directory. To sign into this application, the account must be added to the directory."},
	{50053, "access_denied", "interaction_required", true, true, "The account is locked, you've tried to sign in too many times with an incorrect user ID or password."},
	{50057, "access_denied", "interaction_required", true, true, "The user account is disabled."},
	{50126, "access_denied", "interaction_required", true, true, "Error validating credentials due to invalid username or password."},

	{50020, "access_denied", "interaction_required", true, false, "User account '{user}' from identity provider '{idp}' does not exist in tenant '{tenant}' and cannot access the application '{app}' in that tenant. The account needs to be added as an external user in the tenant first. Sign out and sign in again with a different Azure Active Directory user account."},
	{50076, "interaction_required", "", true, false, "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access '{app}'."},
	{50079, "interaction_required", "", true, false, "Due to a configuration change made by your administrator, or because you moved to a new location, you must enroll in multi-factor authentication to access '{app}'."},
	{50105, "access_denied", "interaction_required", true, false, "Your administrator has configured the application ('{app}') to block users unless they are specifically granted ('assigned') access to the application. The signed in user '{user}' is blocked because they are not a direct member of a group with access, nor had access directly assigned by an administrator. Please contact your administrator to assign access to this application."},
	{53000, "access_denied", "interaction_required", true, false, "Your device is required to be compliant to access this resource."},
	{53003, "access_denied", "interaction_required", true, false, "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance."},
	{90072, "access_denied", "interaction_required", true, false, "User account '{user}' from identity provider '{idp}' does not exist in tenant '{tenant}' and cannot access the application '{app}' in that tenant. The account needs to be added as an external user in the tenant first. Sign out and sign in again with a different Azure Active Directory user account."},
	{90094, "access_denied", "consent_required", true, false, "The grant requires admin permission. '{app}' needs permission to access resources in your organization that only an admin can grant."},

	{16000, "interaction_required", "", false, false, "Either multiple user identities are available for the current request or selected account is not supported for the scenario."},
	{50000, "server_error", "", false, false, "There was an error issuing a token or an issue with our sign-in service."},
	{50058, "login_required", "", false, false, "A silent sign-in request was sent but no user is signed in. The cookies used to represent the user's session were not sent in the request to Azure AD."},
	{65001, "consent_required", "", false, false, "The user or administrator has not consented to use the application with ID '{app}'. Send an interactive authorization request for this user and resource."},
	{65004, "access_denied", "", false, false, "User declined to consent to access the app."},
	{90033, "temporarily_unavailable", "", false, false, "A transient error has occurred. Please try again."},
}

// Troubles are the numbers that a [Trouble] can have, in order.
func Troubles() []int {
	out := make([]int, 0, len(troubles))
	for _, t := range troubles {
		out = append(out, t.number)
	}
	slices.Sort(out)
	return out
}

func findTrouble(number int) *trouble {
	i := slices.IndexFunc(troubles, func(t trouble) bool { return t.number == number })
	if i < 0 {
		return nil
	}
	return &troubles[i]
}

// Trouble keeps a person from signing in, or lets them again with the zero value. The person is an object id or what
// is typed as the name of the account, which need not exist; empty is everybody whom nothing else is said about. What
// the directory itself knows (a disabled or deleted account) needs no Trouble.
func (g *Graph) Trouble(person string, t Trouble) error {
	if t.Number != 0 && findTrouble(t.Number) == nil {
		return fmt.Errorf("AADSTS%d is no error of a sign-in, those are %v", t.Number, Troubles())
	}
	p := g.provider
	p.mu.Lock()
	defer p.mu.Unlock()
	p.troubles[strings.ToLower(person)] = t
	if t == (Trouble{}) {
		delete(p.troubles, strings.ToLower(person))
	}
	return nil
}

// troubleOf finds what is said about the first of the names, or about everybody.
func (p *provider) troubleOf(names ...string) Trouble {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range names {
		if t, ok := p.troubles[strings.ToLower(name)]; ok && name != "" {
			return t
		}
	}
	return p.troubles[""]
}

// explain is the error of a trouble, in words.
func (r *authRequest) explain(number int, name string) *aadError {
	t := findTrouble(number)
	code := t.code
	if r.prompt == promptNone && t.silent != "" {
		code = t.silent
	}
	_, domain, _ := strings.Cut(name, "@")
	text := strings.NewReplacer("{user}", name, "{tenant}", r.c.g.tenant.Domain(), "{app}", r.app.id, "{idp}", domain).Replace(t.text)
	return &aadError{http.StatusOK, code, number, text}
}
