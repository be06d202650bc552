package entrasim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	graphAppID       = "00000003-0000-0000-c000-000000000000" // Microsoft Graph, in every tenant
	assertionType    = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	openIDConfigPath = "/v2.0/.well-known/openid-configuration"
	grantClient      = "client_credentials"
	grantCode        = "authorization_code"
)

// tokenService issues access tokens and knows those that live.
type tokenService struct {
	g   *Graph
	key *ecdsa.PrivateKey

	mu     sync.Mutex // guards tokens
	tokens map[string]*accessToken
}

// accessToken is a token that was issued and has not expired.
type accessToken struct {
	app     *App
	roles   []string
	expires time.Time
	revoked time.Time // zero while it is good
}

func newTokenService(g *Graph) (*tokenService, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		return nil, fmt.Errorf("simulated graph: %w", err)
	}
	return &tokenService{g: g, key: key, tokens: make(map[string]*accessToken)}, nil
}

// aadError is an error of the token endpoint.
// Source: Microsoft, "Microsoft Entra authentication and authorization error codes".
type aadError struct {
	status int
	code   string // OAuth's error: the only thing that a client may decide on
	number int    // AADSTS
	text   string
}

func (e *aadError) Error() string { return fmt.Sprintf("AADSTS%d: %s", e.number, e.text) }

func badToken(status int, code string, number int, format string, args ...any) *aadError {
	return &aadError{status, code, number, fmt.Sprintf(format, args...)}
}

// login answers what goes to the host of the identity platform, or nil when the path is none of its own.
func (s *tokenService) login(c *call) *response {
	head, rest, _ := strings.Cut(strings.TrimPrefix(c.path, "/"), "/")
	switch {
	case c.op == OpToken:
		return s.token(c, head)
	case c.path == "/common/discovery/instance":
		return s.discovery(c)
	case "/"+rest == openIDConfigPath:
		return s.metadata(c, head)
	}
	return s.g.provider.serve(c, head)
}

// metadata is the OpenID configuration.
func (s *tokenService) metadata(c *call, tenant string) *response {
	if !isTemplate(tenant) {
		if err := s.checkTenant(tenant); err != nil {
			err.code = "invalid_tenant" // at this address Entra says it so
			return s.refuse(c, err)
		}
	}
	return c.json(http.StatusOK, s.g.provider.configuration(tenant))
}

// discovery answers a client library that asks which hosts are one cloud.
func (s *tokenService) discovery(c *call) *response {
	host := strings.TrimPrefix(s.g.origin, "https://")
	return c.json(http.StatusOK, map[string]any{
		"tenant_discovery_endpoint": s.g.origin + "/" + s.g.tenant.ID() + openIDConfigPath,
		"api-version":               "1.1",
		"metadata":                  []any{map[string]any{"preferred_network": host, "preferred_cache": host, "aliases": []string{host}}},
	})
}

func (s *tokenService) checkTenant(name string) *aadError {
	switch {
	case strings.EqualFold(name, s.g.tenant.ID()), strings.EqualFold(name, s.g.tenant.Domain()):
		return nil
	case !isGUID(name) && !strings.Contains(name, "."):
		return badToken(http.StatusBadRequest, "invalid_request", 900023,
			"Specified tenant identifier '%s' is neither a valid DNS name, nor a valid external domain.", name)
	}
	return badToken(http.StatusBadRequest, "invalid_request", 90002, "Tenant '%s' not found. Check to make sure you have "+
		"the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this "+
		"may happen if there are no active subscriptions for the tenant.", name)
}

// token answers the client credentials grant (RFC 6749, section 4.4) and the exchange of an authorization code.
func (s *tokenService) token(c *call, tenant string) *response {
	form, app, err := s.admit(c, tenant)
	if err != nil {
		s.g.usage.token(false)
		return s.refuse(c, err)
	}
	if form.Get("grant_type") == grantCode {
		return s.g.provider.redeem(c, form, app)
	}
	value, life, e := s.issue(app, form.Get("claims"))
	if e != nil {
		return s.refuse(c, badToken(http.StatusInternalServerError, "server_error", 90033, "%v", e))
	}
	s.g.usage.token(true)
	return c.json(http.StatusOK, map[string]any{
		"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": value,
	})
}

// admit checks a token request and says whose it is.
func (s *tokenService) admit(c *call, tenant string) (url.Values, *App, *aadError) {
	if c.method != http.MethodPost {
		return nil, nil, badToken(http.StatusBadRequest, "invalid_request", 900561, "The endpoint only accepts POST requests. Received a %s request.", c.method)
	}
	if err := s.checkTenant(tenant); err != nil {
		return nil, nil, err
	}
	if kind, _, _ := mime.ParseMediaType(c.header.Get("Content-Type")); kind != "application/x-www-form-urlencoded" {
		return nil, nil, badToken(http.StatusBadRequest, "invalid_request", 9002313, "Invalid request. Request is malformed or invalid.")
	}
	form, err := url.ParseQuery(string(c.body))
	if err != nil {
		return nil, nil, badToken(http.StatusBadRequest, "invalid_request", 9002313, "Invalid request. Request is malformed or invalid.")
	}
	for name, values := range form {
		if len(values) > 1 { // RFC 6749, section 3.2
			return nil, nil, badToken(http.StatusBadRequest, "invalid_request", 9000411, "The request is not properly formatted. The parameter '%s' is duplicated.", name)
		}
	}
	if id, password, ok := basicAuth(c.header); ok && form.Get("client_id") == "" {
		form.Set("client_id", id)
		form.Set("client_secret", password)
	}
	for _, name := range []string{"grant_type", "client_id"} {
		if form.Get(name) == "" {
			return nil, nil, badToken(http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: '%s'.", name)
		}
	}
	app, bad := s.client(form)
	if bad != nil {
		return nil, nil, bad
	}
	if claims := form.Get("claims"); claims != "" && !json.Valid([]byte(claims)) {
		return nil, nil, badToken(http.StatusBadRequest, "invalid_request", 9002313, "Invalid request. Request is malformed or invalid.")
	}
	if err := app.authenticate(form, s.audiences(), s.g.o.Now()); err != nil {
		return nil, nil, err
	}
	return form, app, nil
}

// client finds whose request it is, and whether it has what its grant needs.
func (s *tokenService) client(form url.Values) (*App, *aadError) {
	grant := form.Get("grant_type")
	if grant != grantClient && grant != grantCode {
		return nil, badToken(http.StatusBadRequest, "unsupported_grant_type", 70003, "The app requested an unsupported grant type '%s'.", grant)
	}
	app := s.g.app(form.Get("client_id"))
	if app == nil {
		return nil, s.g.provider.unknownApp(form.Get("client_id"))
	}
	if grant == grantClient {
		return app, s.checkScope(form.Get("scope"))
	}
	for _, name := range []string{"code", "redirect_uri"} {
		if form.Get(name) == "" {
			return nil, badToken(http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: '%s'.", name)
		}
	}
	return app, nil
}

func basicAuth(h http.Header) (id, password string, ok bool) {
	id, password, ok = (&http.Request{Header: h}).BasicAuth()
	if !ok {
		return "", "", false
	}
	id, err1 := url.QueryUnescape(id) // RFC 6749, section 2.3.1
	password, err2 := url.QueryUnescape(password)
	return id, password, err1 == nil && err2 == nil
}

func (s *tokenService) checkScope(scope string) *aadError {
	if scope == "" {
		return badToken(http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: 'scope'.")
	}
	// Microsoft's own library for Go asks for the scopes of people too, and Entra lets it.
	resource, ok := strings.CutSuffix(strings.TrimSuffix(scope, " openid offline_access profile"), "/.default")
	if !ok || strings.ContainsRune(resource, ' ') {
		return badToken(http.StatusBadRequest, "invalid_scope", 1002012, "The provided value for scope %s is not valid. Client "+
			"credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).", scope)
	}
	if r := strings.TrimSuffix(resource, "/"); r != s.g.origin && r != graphAppID {
		return badToken(http.StatusBadRequest, "invalid_resource", 500011, "The resource principal named %s was not found in the "+
			"tenant named %s. This can happen if the application has not been installed by the administrator of the tenant or "+
			"consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant.", resource, s.g.tenant.Domain())
	}
	return nil
}

// audiences are what a client assertion may be made for.
func (s *tokenService) audiences() []string {
	var out []string
	for _, name := range []string{s.g.tenant.ID(), s.g.tenant.Domain()} {
		out = append(out, s.g.origin+"/"+name+"/oauth2/v2.0/token", s.g.origin+"/"+name+"/v2.0")
	}
	return out
}

// refuse is the answer to a request that failed. What it says is in the shape of Entra's.
func (s *tokenService) refuse(c *call, e *aadError) *response {
	description, trace, at := s.describe(c, e)
	return c.json(e.status, map[string]any{
		"error":             e.code,
		"error_description": description,
		"error_codes":       []int{e.number},
		"timestamp":         at,
		"trace_id":          trace,
		"correlation_id":    c.clientID,
		"error_uri":         s.g.origin + "/error?code=" + strconv.Itoa(e.number),
	})
}

// describe is what Entra says of an error, with what its support finds it by.
func (s *tokenService) describe(c *call, e *aadError) (description, trace, at string) {
	at, trace = s.g.o.Now().UTC().Format("2006-01-02 15:04:05Z"), s.g.newID()
	return fmt.Sprintf("%s Trace ID: %s Correlation ID: %s Timestamp: %s", e.Error(), trace, c.clientID, at), trace, at
}

// issue makes a token for an application itself.
func (s *tokenService) issue(app *App, claims string) (value string, seconds int, err error) {
	roles := app.roles()
	more := map[string]any{"idtyp": "app", "roles": roles}
	if strings.Contains(claims, "cp1") {
		more["xms_cc"] = []string{"cp1"} // the client can answer a claims challenge
	}
	return s.issueFor(app, roles, more)
}

// issueFor makes a token. It looks like any other JWT, but is opaque to all but Graph, as Microsoft says that it is.
func (s *tokenService) issueFor(app *App, roles []string, more map[string]any) (value string, seconds int, err error) {
	now := s.g.o.Now()
	t := &accessToken{app: app, roles: roles, expires: now.Add(s.g.o.TokenLife)}
	body := map[string]any{
		"aud": s.g.origin, "iss": s.g.origin + "/" + s.g.tenant.ID() + "/", "tid": s.g.tenant.ID(), "appid": app.id,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": t.expires.Unix(), "uti": s.g.newID(), "ver": "1.0",
	}
	maps.Copy(body, more)
	if value, err = signES256(s.key, body); err != nil {
		return "", 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.tokens, func(_ string, t *accessToken) bool { return now.Sub(t.expires) > time.Hour })
	s.tokens[value] = t
	return value, int(s.g.o.TokenLife / time.Second), nil
}

// end ends one token.
func (s *tokenService) end(value string) {
	now := s.g.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tokens[value]; t != nil && t.revoked.IsZero() {
		t.revoked = now
	}
}

// revoke ends the tokens of one application, or of all when app is nil.
func (s *tokenService) revoke(app *App) {
	now := s.g.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tokens {
		if (app == nil || t.app == app) && t.revoked.IsZero() {
			t.revoked = now
		}
	}
}

// bearer says what the token of a request allows, or answers 401.
func (s *tokenService) bearer(c *call) (grant, *response) {
	kind, value, _ := strings.Cut(c.header.Get("Authorization"), " ")
	challenge := fmt.Sprintf(`Bearer realm="", authorization_uri="%s/common/oauth2/authorize", client_id="%s"`, s.g.origin, graphAppID)
	refuse := func(challenge, text string) (grant, *response) {
		a := c.fail(http.StatusUnauthorized, "InvalidAuthenticationToken", text)
		a.header.Set("WWW-Authenticate", challenge)
		return grant{}, a
	}
	if !strings.EqualFold(kind, "Bearer") || value == "" {
		return refuse(challenge, "Access token is empty.")
	}
	s.mu.Lock()
	t := s.tokens[value]
	var revoked time.Time
	if t != nil {
		revoked = t.revoked
	}
	s.mu.Unlock()
	switch {
	case strings.Count(value, ".") != 2:
		return refuse(challenge, "IDX14100: JWT is not well formed, there are no dots (.).")
	case t == nil:
		return refuse(challenge, "Access token validation failure. Signature validation failed.")
	case !s.g.o.Now().Before(t.expires):
		return refuse(challenge, "Lifetime validation failed, the token is expired.")
	case !revoked.IsZero():
		return refuse(fmt.Sprintf(`Bearer realm="", authorization_uri="%s/common/oauth2/authorize", error="insufficient_claims", claims="%s"`,
			s.g.origin, claimsSince(revoked)), "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: TokenIssuedBeforeRevocationTimestamp")
	}
	return t.app.grant(t.roles), nil
}

// claimsSince is the claims challenge for a token that is newer than a revocation: base64 of an OpenID claims request.
func claimsSince(revoked time.Time) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil,
		`{"access_token":{"nbf":{"essential":true, "value":"%d"}}}`, revoked.Unix()))
}

// signES256 makes a JWT (RFC 7519).
func signES256(key *ecdsa.PrivateKey, claims map[string]any) (string, error) {
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	input := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"ES256"}`)) + "." + base64.RawURLEncoding.EncodeToString(body)
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(cryptorand.Reader, key, digest[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 64) // RFC 7518, section 3.4: r and s of 32 bytes each
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
