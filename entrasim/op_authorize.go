package entrasim

import (
	"cmp"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Values of the parameter prompt. Entra knows no others.
const (
	promptNone    = "none"
	promptLogin   = "login"
	promptSelect  = "select_account"
	promptConsent = "consent"
)

// Values of the parameter response_mode.
const (
	modeQuery    = "query"
	modeFragment = "fragment"
	modeFormPost = "form_post"
)

var supportedScopes = []string{"openid", "profile", "email", "offline_access"}

// authRequest is an authorization request of a known application, to a redirect URI of its own.
type authRequest struct {
	c        *call
	p        *provider
	tenant   string // as it stands in the path
	app      *App
	settings SignInSettings
	form     url.Values

	redirect, mode, state, nonce string
	challenge, prompt, hint      string
	scope                        []string
}

// authorize answers the authorization endpoint (OpenID Connect Core 1.0, section 3.1.2).
func (p *provider) authorize(c *call, tenant string) *response {
	r, bad := p.parseAuthRequest(c, tenant)
	if bad != nil {
		return p.errorPage(c, bad)
	}
	if bad := r.check(); bad != nil {
		return r.refuse(bad)
	}
	accounts := p.accounts(c)
	hinted := slices.IndexFunc(accounts, func(a account) bool { return r.hints(a.user) })
	switch {
	case r.prompt == promptNone:
		return r.silently(accounts, hinted)
	case r.prompt == promptLogin, len(accounts) == 0:
		return r.signInPage(nil, r.hint, nil)
	case r.prompt == promptSelect:
		return r.signInPage(accounts, "", nil)
	case hinted >= 0:
		return r.finish(accounts[hinted], nil)
	case r.hint != "":
		return r.signInPage(nil, r.hint, nil)
	case len(accounts) > 1:
		return r.signInPage(accounts, "", nil)
	}
	return r.finish(accounts[0], nil)
}

// silently answers prompt=none: a code or an error, and no page.
func (r *authRequest) silently(accounts []account, hinted int) *response {
	switch {
	case hinted >= 0:
		return r.finish(accounts[hinted], nil)
	case len(accounts) == 0, r.hint != "":
		return r.refuse(r.explain(50058, ""))
	case len(accounts) > 1:
		return r.refuse(r.explain(16000, ""))
	}
	return r.finish(accounts[0], nil)
}

// hints reports whether login_hint means the person: their name or the claim login_hint of an earlier token.
func (r *authRequest) hints(user string) bool {
	if r.hint == "" {
		return false
	}
	u := r.c.g.tenant.user(user)
	return r.hint == r.p.hint(user) || u != nil && (strings.EqualFold(r.hint, u.UserPrincipalName) || strings.EqualFold(r.hint, u.Mail))
}

// parseAuthRequest finds the application and where to answer. Its errors are for the person in front of the browser:
// nothing is sent to an address that the application has not registered.
func (p *provider) parseAuthRequest(c *call, tenant string) (*authRequest, *aadError) {
	bad := func(number int, format string, args ...any) (*authRequest, *aadError) {
		return nil, badToken(http.StatusBadRequest, "invalid_request", number, format, args...)
	}
	if !isTemplate(tenant) {
		if err := p.g.tokens.checkTenant(tenant); err != nil {
			return nil, err
		}
	}
	form, ok := c.parameters()
	if !ok {
		return bad(9002313, "Invalid request. Request is malformed or invalid.")
	}
	for name, values := range form {
		if len(values) > 1 { // RFC 6749, section 3.1
			return bad(9000411, "The request is not properly formatted. The parameter '%s' is duplicated.", name)
		}
	}
	if form.Get("client_id") == "" {
		return bad(900144, "The request body must contain the following parameter: 'client_id'.")
	}
	app := p.g.app(form.Get("client_id"))
	if app == nil {
		return nil, p.unknownApp(form.Get("client_id"))
	}
	settings, redirect := app.signInSettings(), form.Get("redirect_uri")
	switch {
	case len(settings.RedirectURIs) == 0:
		return bad(500113, "No reply address is registered for the application.")
	case redirect == "":
		return bad(900971, "No reply address provided.")
	case !slices.Contains(settings.RedirectURIs, redirect):
		return bad(50011, "The redirect URI '%s' specified in the request does not match the redirect URIs configured for the application '%s'. "+
			"Make sure the redirect URI sent in the request matches one added to your application in the Azure portal. Navigate to "+
			"https://aka.ms/redirectUriMismatchError to learn more about how to troubleshoot this error.", redirect, app.id)
	case isTemplate(tenant):
		return bad(50194, "Application '%s' is not configured as a multi-tenant application. Usage of the /common endpoint is not supported "+
			"for such apps created after '10/15/2018'. Use a tenant-specific endpoint or configure the application to be multi-tenant.", app.id)
	}
	return &authRequest{c: c, p: p, tenant: tenant, app: app, settings: settings, form: form, redirect: redirect, mode: form.Get("response_mode"),
		state: form.Get("state"), nonce: form.Get("nonce"), challenge: form.Get("code_challenge"), prompt: form.Get("prompt"),
		hint: form.Get("login_hint"), scope: strings.Fields(form.Get("scope"))}, nil
}

func (p *provider) unknownApp(id string) *aadError {
	return badToken(http.StatusBadRequest, "unauthorized_client", 700016, "Application with identifier '%s' was not "+
		"found in the directory '%s'. This can happen if the application has not been installed by the administrator of the "+
		"tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.",
		id, p.g.tenant.Domain())
}

// parameters are those of the query of a GET or of the form of a POST.
func (c *call) parameters() (url.Values, bool) {
	if c.method != http.MethodPost {
		return c.query, c.queryErr == nil
	}
	form, err := url.ParseQuery(string(c.body))
	return form, err == nil
}

// check finds what is wrong with a request whose application can be told.
func (r *authRequest) check() *aadError {
	mode := r.mode
	if mode != modeFragment && mode != modeFormPost {
		r.mode = modeQuery // what an error goes by
	}
	bad := func(code string, number int, format string, args ...any) *aadError {
		return badToken(http.StatusBadRequest, code, number, format, args...)
	}
	for _, name := range []string{"response_type", "scope"} {
		if r.form.Get(name) == "" {
			return bad("invalid_request", 900144, "The request body must contain the following parameter: '%s'.", name)
		}
	}
	unknown := slices.IndexFunc(r.scope, func(s string) bool { return !slices.Contains(supportedScopes, s) })
	switch kind := r.form.Get("response_type"); {
	case mode != "" && mode != r.mode:
		return bad("invalid_request", 70007, "'%s' is not a supported value of 'response_mode' when requesting a token.", mode)
	case kind != "code":
		return bad("unsupported_response_type", 700054, "response_type '%s' is not enabled for the application.", kind)
	case unknown >= 0, !slices.Contains(r.scope, "openid"):
		return bad("invalid_scope", 70011, "The provided request must include a 'scope' input parameter. The provided value for the input "+
			"parameter 'scope' is not valid. The scope '%s' does not exist.", r.form.Get("scope"))
	case !slices.Contains([]string{"", promptNone, promptLogin, promptSelect, promptConsent}, r.prompt):
		return bad("invalid_request", 90023, "Unsupported 'prompt' value.")
	case r.prompt == promptSelect && r.hint != "":
		return bad("invalid_request", 90023, "'login_hint' and 'prompt=select_account' cannot be used together.")
	}
	return r.checkChallenge()
}

// checkChallenge checks the code challenge (RFC 7636, section 4.4.1). Entra takes "plain" too; a relying party that
// sends it makes a mistake, and finds out here.
func (r *authRequest) checkChallenge() *aadError {
	method := r.form.Get("code_challenge_method")
	bad := func(number int, text string) *aadError {
		return badToken(http.StatusBadRequest, "invalid_request", number, "%s", text)
	}
	if r.challenge == "" {
		if method == "" && r.settings.WithoutPKCE {
			return nil
		}
		return bad(9002325, "Proof Key for Code Exchange is required for cross-origin authorization code redemption.")
	}
	if method != "S256" {
		return bad(501491, "The code_challenge_method is not supported. Use 'S256'.")
	}
	if b, err := base64.RawURLEncoding.DecodeString(r.challenge); err != nil || len(b) != 32 {
		return bad(501491, "Invalid size of Code_Challenge parameter.")
	}
	return nil
}

// signIn takes the forms of the sign-in pages: /{tenant}/login with the query of the authorization request.
func (p *provider) signIn(c *call, tenant string) *response {
	input, err := url.ParseQuery(string(c.body))
	if c.method != http.MethodPost || err != nil {
		return p.errorPage(c, badToken(http.StatusBadRequest, "invalid_request", 9002313, "Invalid request. Request is malformed or invalid."))
	}
	asked := *c
	asked.method = http.MethodGet // the request is in the query
	r, bad := p.parseAuthRequest(&asked, tenant)
	if bad != nil {
		return p.errorPage(c, bad)
	}
	if bad := r.check(); bad != nil {
		return r.refuse(bad)
	}
	switch {
	case input.Get("cancel") != "":
		return r.refuse(r.explain(65004, ""))
	case input.Get("consent") != "":
		return r.accept(input.Get("consent"))
	}
	return r.enter(strings.TrimSpace(cmp.Or(input.Get("account"), input.Get("username"))))
}

// enter signs in who has typed or chosen a name.
func (r *authRequest) enter(name string) *response {
	if name == "" {
		return r.signInPage(nil, "", badToken(http.StatusOK, "invalid_request", 50056, "Enter a valid email address, phone number, or user name."))
	}
	t := r.c.g.tenant
	u := t.person(name)
	id := ""
	if u != nil {
		id = u.ID
	}
	_, domain, _ := strings.Cut(name, "@")
	switch said := r.p.troubleOf(id, name); {
	case said.Number != 0:
		return r.hinder(said, name)
	case u == nil && domain != "" && !strings.EqualFold(domain, t.Domain()):
		return r.hinder(Trouble{Number: 50020}, name)
	case u == nil:
		return r.hinder(Trouble{Number: 50034}, name)
	case !u.AccountEnabled:
		return r.hinder(Trouble{Number: 50057}, name)
	}
	a, cookie := r.p.enter(r.c, u.ID)
	return r.finish(a, cookie)
}

// accept goes on after the consent page; value is an object id of somebody who is signed in.
func (r *authRequest) accept(user string) *response {
	accounts := r.p.accounts(r.c)
	i := slices.IndexFunc(accounts, func(a account) bool { return a.user == user })
	if i < 0 || r.settings.Consent == ConsentByAdmin {
		return r.signInPage(nil, r.hint, nil)
	}
	r.app.consent(user)
	if r.prompt == promptConsent {
		r.prompt = "" // has been done
	}
	return r.finish(accounts[i], nil)
}

// finish answers for somebody who is signed in to Entra: with a code, or with what keeps them from it.
func (r *authRequest) finish(a account, cookie *http.Cookie) *response {
	answer := r.admit(a)
	if cookie != nil {
		answer.header.Add("Set-Cookie", cookie.String())
	}
	return answer
}

func (r *authRequest) admit(a account) *response {
	u := r.c.g.tenant.find(a.user)
	if u == nil {
		return r.hinder(Trouble{Number: 50034}, a.user)
	}
	name := u.UserPrincipalName
	_, assigned := r.settings.assignment(r.c.g.tenant, u.ID)
	needsConsent := r.settings.Consent != ConsentGranted && !r.app.hasConsented(u.ID)
	switch said := r.p.troubleOf(u.ID, name); {
	case said.Number != 0:
		return r.hinder(said, name)
	case !u.AccountEnabled:
		return r.hinder(Trouble{Number: 50057}, name)
	case r.settings.AssignmentRequired && !assigned:
		return r.hinder(Trouble{Number: 50105}, name)
	case r.prompt == promptNone && needsConsent:
		return r.refuse(r.explain(65001, name))
	case needsConsent && r.settings.Consent == ConsentByAdmin:
		return r.hinder(Trouble{Number: 90094}, name)
	case needsConsent, r.prompt == promptConsent:
		return r.consentPage(u)
	}
	return r.back(url.Values{"code": {r.p.newCode(r, a)}, "session_state": {a.sid}})
}

// hinder tells of trouble in the way that Entra does, or as the trouble says.
func (r *authRequest) hinder(said Trouble, name string) *response {
	t, e := findTrouble(said.Number), r.explain(said.Number, name)
	switch {
	case r.prompt == promptNone, said.Redirect, !t.page:
		return r.refuse(e)
	case t.form:
		return r.signInPage(nil, name, e)
	}
	return r.p.errorPage(r.c, e)
}

// refuse sends the browser back to the application with an error (RFC 6749, section 4.1.2.1).
func (r *authRequest) refuse(e *aadError) *response {
	description, _, _ := r.p.g.tokens.describe(r.c, e)
	v := url.Values{"error": {e.code}, "error_description": {description}, "error_uri": {r.c.g.origin + "/error?code=" + strconv.Itoa(e.number)}}
	if e.number == 65004 {
		v.Set("error_subcode", "cancel")
	}
	return r.back(v)
}

// back sends the browser back to the application.
func (r *authRequest) back(v url.Values) *response {
	if r.state != "" {
		v.Set("state", r.state)
	}
	if r.mode == modeFormPost {
		return r.c.show(http.StatusOK, formPostPage, map[string]any{"Action": r.redirect, "Fields": v})
	}
	separator := "#"
	if r.mode == modeQuery {
		separator = "?"
		if strings.Contains(r.redirect, "?") {
			separator = "&"
		}
	}
	a := r.c.reply(http.StatusFound, nil)
	a.header.Del("Content-Type")
	a.header.Set("Location", r.redirect+separator+v.Encode())
	return a
}

// authCode is an authorization code that was given out.
type authCode struct {
	app                        *App
	account                    account
	redirect, nonce, challenge string
	scope                      []string
	issued                     time.Time
	used, again                bool
	token                      string // the access token that it was exchanged for
}

// newCode gives out a code, and notes that the application takes part in the session.
func (p *provider) newCode(r *authRequest, a account) string {
	value, now := "1."+p.draw(96), p.g.o.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for old, code := range p.codes {
		if now.Sub(code.issued) > codeMemory {
			delete(p.codes, old)
		}
	}
	p.codes[value] = &authCode{app: r.app, account: a, redirect: r.redirect, nonce: r.nonce, challenge: r.challenge, scope: r.scope, issued: now}
	for _, s := range p.sessions {
		for _, b := range s.accounts {
			if b.sid == a.sid {
				b.apps[r.app.id] = true
			}
		}
	}
	return value
}
