package entrasim

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	authorizePath   = "/oauth2/v2.0/authorize"
	logoutPath      = "/oauth2/v2.0/logout"
	keysPath        = "/discovery/v2.0/keys"
	signInPath      = "/login"         // what the forms of the sign-in pages are sent to
	foreignKeysPath = "/foreign/keys"  // not of the provider: where a forged token points to
	sessionCookie   = "ESTSAUTH"       // Entra's name for it
	templateTenant  = "{tenantid}"     // literally, in what /common and /organizations publish
	codeLife        = 10 * time.Minute // Microsoft: "about 10 minutes"
	codeMemory      = time.Hour        // how long a second use of a code is told from an invented one
	issuedBefore    = 5 * time.Minute  // Entra dates tokens back, for clocks that are behind
	idTokenLife     = time.Hour        // from now
	maxGroupsClaim  = 200              // in a JWT
	guestIssuerBase = "https://sts.windows.net/"
)

// provider is the OpenID provider of the tenant: OpenID Connect Core 1.0 as Microsoft Entra speaks it.
type provider struct {
	g    *Graph
	keys signingKeys

	mu       sync.Mutex                 // guards what follows
	sessions map[string]*browserSession // by the value of the cookie
	codes    map[string]*authCode
	troubles map[string]Trouble // by person, in lower case
}

// browserSession is who is signed in to Entra in one browser. provider.mu guards it.
type browserSession struct {
	accounts []*account // in the order of signing in
}

// account is a person who is signed in to Entra in a browser.
type account struct {
	user string // object id
	sid  string
	at   time.Time
	apps map[string]bool // client ids of those that got a code
}

func newProvider(g *Graph) *provider {
	return &provider{g: g, sessions: make(map[string]*browserSession), codes: make(map[string]*authCode), troubles: make(map[string]Trouble)}
}

// serve answers what belongs to the sign-in of people, or nil.
func (p *provider) serve(c *call, tenant string) *response {
	switch c.op {
	case OpAuthorize:
		return p.authorize(c, tenant)
	case OpSignIn:
		return p.signIn(c, tenant)
	case OpLogout:
		return p.logout(c, tenant)
	case OpKeys:
		return p.serveKeys(c, tenant)
	case OpForeignKeys:
		return p.serveForeignKeys(c)
	}
	return nil
}

// isTemplate tells the tenants that stand for any tenant.
func isTemplate(tenant string) bool { return tenant == "common" || tenant == "organizations" }

// issuerOf is the issuer of ID tokens at the address of a tenant.
func (p *provider) issuerOf(tenant string) (string, *aadError) {
	if isTemplate(tenant) {
		return p.g.origin + "/" + templateTenant + "/v2.0", nil
	}
	if err := p.g.tokens.checkTenant(tenant); err != nil {
		return "", err
	}
	return p.issuer(), nil
}

// issuer is the issuer of the tenant's ID tokens.
func (p *provider) issuer() string { return p.g.origin + "/" + p.g.tenant.ID() + "/v2.0" }

// configuration is the OpenID provider configuration (OpenID Connect Discovery 1.0, section 3) at the address of a tenant.
// Like Entra it names response types that are enabled for no application here (AADSTS700054), and it names the tenant by
// its id even where it was asked for by its domain.
func (p *provider) configuration(tenant string) map[string]any {
	id, issuer := p.g.tenant.ID(), p.issuer()
	if isTemplate(tenant) {
		id, issuer = tenant, p.g.origin+"/"+templateTenant+"/v2.0"
	}
	base := p.g.origin + "/" + id
	return map[string]any{
		"issuer":                                issuer,
		"authorization_endpoint":                base + authorizePath,
		"token_endpoint":                        base + "/oauth2/v2.0/token",
		"jwks_uri":                              base + keysPath,
		"end_session_endpoint":                  base + logoutPath,
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt", "client_secret_basic"},
		"response_modes_supported":              []string{"query", "fragment", "form_post"},
		"response_types_supported":              []string{"code", "id_token", "code id_token", "id_token token"},
		"scopes_supported":                      supportedScopes,
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"request_uri_parameter_supported":       false,
		"http_logout_supported":                 true,
		"frontchannel_logout_supported":         true,
		"claims_supported": []string{"sub", "iss", "cloud_instance_name", "cloud_instance_host_name", "cloud_graph_host_name", "msgraph_host",
			"aud", "exp", "iat", "auth_time", "acr", "nonce", "preferred_username", "name", "tid", "ver", "at_hash", "c_hash", "email"},
		"tenant_region_scope": "EU",
		"cloud_instance_name": "microsoftonline.com",
		"msgraph_host":        strings.TrimPrefix(p.g.origin, "https://"),
	}
}

// browser finds the session of the browser that a request comes from; nil: nobody has signed in there. The caller holds
// mu.
func (p *provider) browser(c *call) *browserSession {
	cookie, err := (&http.Request{Header: c.header}).Cookie(sessionCookie)
	if err != nil {
		return nil
	}
	return p.sessions[cookie.Value]
}

// accounts are those who are signed in in the browser, as copies.
func (p *provider) accounts(c *call) []account {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.browser(c)
	if s == nil {
		return nil
	}
	out := make([]account, 0, len(s.accounts))
	for _, a := range s.accounts {
		b := *a
		b.apps = maps.Clone(a.apps)
		out = append(out, b)
	}
	return out
}

// enter signs a person in in the browser, again if they are signed in already. A browser that is new gets the cookie.
func (p *provider) enter(c *call, user string) (a account, cookie *http.Cookie) {
	id, sid := p.draw(48), p.g.newID()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.browser(c)
	if s == nil {
		s = &browserSession{}
		p.sessions[id] = s
		cookie = p.cookie(id)
	}
	i := slices.IndexFunc(s.accounts, func(a *account) bool { return a.user == user })
	if i < 0 {
		i = len(s.accounts)
		s.accounts = append(s.accounts, &account{user: user, sid: sid, apps: make(map[string]bool)})
	}
	s.accounts[i].at = p.g.o.Now()
	return *s.accounts[i], cookie
}

// cookie is the session cookie with a value; an empty one takes it back.
func (p *provider) cookie(value string) *http.Cookie {
	//nolint:gosec // SameSite=None as Entra's own: the browser comes from the sites of applications
	k := &http.Cookie{Name: sessionCookie, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode}
	if value == "" {
		k.MaxAge = -1
	}
	return k
}

// draw gives n random bytes as base64url.
func (p *provider) draw(n int) string {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(p.g.rng.Uint32())
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// opaque is a stable value that says nothing of what it is made from.
func opaque(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// subject is the pairwise subject of a person for an application (OpenID Connect Core 1.0, section 8).
func (p *provider) subject(app *App, user string) string {
	return opaque("sub", p.g.tenant.ID(), app.id, user)
}

// hint is the claim login_hint of a person.
func (p *provider) hint(user string) string {
	return "O." + opaque("login_hint", p.g.tenant.ID(), user)
}

// person finds who is meant by a typed name: a user principal name or, for guests, their mail address at home; nil if
// there is nobody.
func (t *Tenant) person(name string) *User {
	if u := t.named(name); u != nil && !u.Deleted() {
		return u
	}
	for _, u := range t.view().users {
		if u.UserType == Guest && !u.Deleted() && strings.EqualFold(u.Mail, name) {
			return u
		}
	}
	return nil
}

// groupsOf are the object ids of all groups that a user is in, directly or through others.
func (t *Tenant) groupsOf(user string) []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	in := make(map[string]bool)
	for next := []string{user}; len(next) > 0; next = next[1:] {
		for id, g := range t.groups {
			if !in[id] && slices.Contains(g.Members, next[0]) {
				in[id] = true
				next = append(next, id)
			}
		}
	}
	return slices.Sorted(maps.Keys(in))
}

// with adds a parameter to a URL.
func with(address, name, value string) string {
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	return address + separator + url.QueryEscape(name) + "=" + url.QueryEscape(value)
}
