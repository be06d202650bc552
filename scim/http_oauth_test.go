package scim_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
)

// A tenant over its budget is told to wait, and how long; the others are not touched.
func TestThrottled(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *scim.Config) { c.Limits.RequestsPerSecond, c.Limits.Burst = 0, 0 })
	a, b := s.tenant("alpha", scimOptions(directory.SCIMOptions{RequestsPerSecond: 25, Burst: 30})), s.tenant("bravo")
	probe := filtered("/Users", `userName eq "x"`)
	for range 30 {
		a.get(probe)
	}
	for range 3 {
		over := a.request("GET", probe, nil).want(429)
		if wait, err := strconv.Atoi(over.header.Get("Retry-After")); err != nil || wait < 1 || wait > 2 {
			over.errorf("Retry-After is %q", over.header.Get("Retry-After"))
		}
		over.is(errorURN, "schemas", 0)
	}
	b.get(probe)
	for _, method := range []string{"POST", "PATCH", "PUT", "DELETE"} {
		a.request(method, "/Users/"+unknownID, nil).want(429)
	}
	if n := len(a.lines()); n != 0 {
		t.Errorf("throttled requests wrote %d lines to the log", n)
	}
	s.clock.Advance(time.Second)
	for range 25 {
		a.get(probe)
	}
	a.request("GET", probe, nil).want(429)

	// Who has no token cannot use up the tenant's budget.
	s.clock.Advance(time.Second)
	for range 100 {
		a.request("GET", probe, nil, "Authorization", "Bearer x").want(401)
		b.request("GET", "/scim/alpha/v2/Users", nil).want(404)
	}
	a.get(probe)
}

func TestThrottleIsSetPerTenant(t *testing.T) {
	t.Parallel()
	budget := func(a *tenant) (n int) {
		for n < 5000 && a.request("GET", "/ServiceProviderConfig", nil).status == 200 {
			n++
		}
		return n
	}
	s := newServer(t, func(c *scim.Config) { c.Limits.RequestsPerSecond, c.Limits.Burst = 0, 0 })
	a := s.tenant("alpha")
	if n := budget(a); n != 1000 {
		t.Errorf("burst by default is %d, want 1,000", n)
	}
	a.set(scimOptions(directory.SCIMOptions{RequestsPerSecond: 40})) // at once, with its own burst
	if n := budget(a); n != 80 {
		t.Errorf("burst of a tenant with 40 requests a second is %d, want 80", n)
	}
	a.set(scimOptions(directory.SCIMOptions{RequestsPerSecond: 40, Strict: true})) // another setting
	if n := budget(a); n != 0 {
		t.Errorf("a change of another setting gives %d requests", n)
	}
	for _, n := range []int{1, 24, -1} {
		_, err := s.svc.SetTenant(t.Context(), operator, a.id, func(x *directory.Tenant) error { x.SCIM.RequestsPerSecond = n; return nil })
		if directory.KindOf(err) != directory.Invalid || err == nil {
			t.Errorf("%d requests a second: %v", n, err)
		}
	}
	// Nor can the server's own setting go below what Entra asks for.
	low := newServer(t, func(c *scim.Config) { c.Limits.RequestsPerSecond, c.Limits.Burst = 1, 1 }).tenant("alpha")
	if n := budget(low); n != 25 {
		t.Errorf("burst of a server that is set to 1 is %d, want 25", n)
	}
}

func TestServiceConfigurationAlias(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	alias := a.get("/serviceConfiguration")
	alias.is("true", "patch", "supported")
	alias.is("200", "filter", "maxResults")
	if string(alias.body) != string(a.get("/ServiceProviderConfig").body) {
		alias.errorf("not that of /ServiceProviderConfig")
	}
}

// oauthClient is an OAuth client of a tenant.
type oauthClient struct {
	*tenant
	clientID, secret string
}

func (t *tenant) oauth(id string, settings ...func(*directory.NewClient)) *oauthClient {
	t.Helper()
	s := auth.NewSecret()
	n := directory.NewClient{ClientID: id, Secret: &directory.NewToken{Hash: s.Hash, Hint: s.Hint}}
	for _, set := range settings {
		set(&n)
	}
	must(t.svc.CreateClient(t.Context(), operator, t.id, n))
	return &oauthClient{tenant: t, clientID: id, secret: s.Text}
}

// ask sends a form to the token endpoint.
func (t *tenant) ask(form url.Values, headers ...string) *answer {
	t.Helper()
	headers = append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)
	a := t.send(t, "POST", "/scim/"+t.name+"/oauth2/token", raw(form.Encode()), headers...)
	a.wireOAuth()
	return a
}

// wireOAuth checks what holds for every answer of the token endpoint (RFC 6749 sections 5.1, 5.2).
func (a *answer) wireOAuth() {
	a.t.Helper()
	a.hasHeader("Content-Type", "application/json")
	a.hasHeader("Cache-Control", "no-store")
	if a.status == 200 {
		a.is("Bearer", "token_type")
		if n, _ := strconv.Atoi(a.text("expires_in")); n < 3600 || n > 21600 {
			a.errorf("expires_in is not 1 to 6 hours")
		}
		return
	}
	if a.text("error") == "" || a.at("access_token") != nil {
		a.errorf("not an error")
	}
	if a.status == 401 && a.header.Get("WWW-Authenticate") == "" {
		a.errorf("no WWW-Authenticate")
	}
}

func (a *answer) refused() *answer {
	a.t.Helper()
	a.want(401).is("invalid_client", "error")
	return a
}

// opens checks that an access token was given and that it opens the tenant's endpoint.
func (t *tenant) opens(a *answer) string {
	t.Helper()
	token := a.want(200).text("access_token")
	t.request("GET", "/Users?startIndex=1&count=1", nil, "Authorization", "Bearer "+token).want(200)
	return token
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

func grant(more ...string) url.Values {
	form := url.Values{"grant_type": {"client_credentials"}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return form
}

func TestTokenByBasic(t *testing.T) {
	t.Parallel()
	c := newServer(t).tenant("fjord").oauth("fjord-entra")
	token := c.opens(c.ask(grant(), "Authorization", basic(c.clientID, c.secret)))
	if token == c.opens(c.ask(grant(), "Authorization", basic(c.clientID, c.secret))) {
		t.Error("the same token twice")
	}
	c.opens(c.ask(grant(), "Authorization", strings.Replace(basic(c.clientID, c.secret), "Basic", "BASIC", 1)))
	c.opens(c.ask(grant("client_id", c.clientID), "Authorization", basic(c.clientID, c.secret)))
	// The same endpoint below the Tenant URL.
	a := c.send(t, "POST", "/scim/fjord/v2/oauth2/token", raw(grant().Encode()), "Content-Type", "application/x-www-form-urlencoded", "Authorization", basic(c.clientID, c.secret))
	a.wireOAuth()
	c.opens(a)
	for name, header := range map[string]string{
		"wrong secret": basic(c.clientID, c.secret+"x"), "unknown client": basic("nobody", c.secret), "no secret": basic(c.clientID, ""),
		"no client": basic("", c.secret), "no colon": "Basic " + base64.StdEncoding.EncodeToString([]byte(c.clientID)),
		"not base64": "Basic !!!", "empty": "Basic", "bearer": "Bearer " + c.token, "bad escape": "Basic " + base64.StdEncoding.EncodeToString([]byte("%zz:%zz")),
		"parts swapped": basic(c.secret, c.clientID),
	} {
		t.Run(name, func(*testing.T) { c.ask(grant(), "Authorization", header).refused() })
	}
}

// Both parts are form-encoded before they are joined (RFC 6749 section 2.3.1).
func TestTokenByBasicWithSpecialCharacters(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("fjord")
	secret := "a b+c%d:e&f=g/ü\"€"
	c := a.oauth("client.with-all_of.them", func(n *directory.NewClient) { n.Secret.Hash, n.Secret.Hint = auth.Hash(secret), "xxxx" })
	c.opens(c.ask(grant(), "Authorization", basic(c.clientID, secret)))
	c.opens(c.ask(grant("client_id", c.clientID, "client_secret", secret)))
	c.ask(grant(), "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.clientID+":"+secret))).refused()
	encoded := "%63lient%2Ewith-all%5Fof.them:" + url.QueryEscape(secret)
	c.opens(c.ask(grant(), "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(encoded))))
}

func TestTokenByPost(t *testing.T) {
	t.Parallel()
	c := newServer(t).tenant("fjord").oauth("fjord-entra")
	c.opens(c.ask(grant("client_id", c.clientID, "client_secret", c.secret)))
	c.opens(c.ask(grant("client_id", c.clientID, "client_secret", c.secret, "baseAddress", "https://scim.fjord.example/scim/v2", "resource", "x", "", "y")))
	for name, form := range map[string]url.Values{
		"wrong secret": grant("client_id", c.clientID, "client_secret", "x"), "no secret": grant("client_id", c.clientID),
		"no client": grant("client_secret", c.secret), "nothing": grant(), "a Secret Token": grant("client_id", c.clientID, "client_secret", c.token),
	} {
		t.Run(name, func(*testing.T) { c.ask(form).refused() })
	}
}

// Ping sends a list of scopes; there is one scope here, so it says nothing.
func TestTokenWithScopes(t *testing.T) {
	t.Parallel()
	c := newServer(t).tenant("fjord").oauth("ping")
	for _, scope := range []string{"scim", "scim:read scim:write", ""} {
		c.opens(c.ask(grant("scope", scope), "Authorization", basic(c.clientID, c.secret)))
	}
}

func TestTokenBySecondSecretDuringRotation(t *testing.T) {
	t.Parallel()
	c := newServer(t).tenant("fjord").oauth("fjord-entra")
	newer := auth.NewSecret()
	must(c.svc.RotateClient(t.Context(), operator, c.id, c.clientID, directory.NewToken{Hash: newer.Hash, Hint: newer.Hint}, 24*time.Hour))
	for _, secret := range []string{c.secret, newer.Text} {
		c.opens(c.ask(grant("client_id", c.clientID, "client_secret", secret)))
	}
	c.clock.Advance(24 * time.Hour)
	c.ask(grant("client_id", c.clientID, "client_secret", c.secret)).refused()
	c.opens(c.ask(grant("client_id", c.clientID, "client_secret", newer.Text)))
}

func TestTokenByExpiredSecret(t *testing.T) {
	t.Parallel()
	c := newServer(t).tenant("fjord").oauth("fjord-entra", func(n *directory.NewClient) { n.Secret.Life = time.Hour })
	c.opens(c.ask(grant("client_id", c.clientID, "client_secret", c.secret)))
	c.clock.Advance(time.Hour)
	c.ask(grant("client_id", c.clientID, "client_secret", c.secret)).refused()
	c.ask(grant(), "Authorization", basic(c.clientID, c.secret)).refused()
}

func TestTokenRequestsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	c := newServer(t).tenant("fjord").oauth("fjord-entra")
	good := grant("client_id", c.clientID, "client_secret", c.secret).Encode()
	const form = "application/x-www-form-urlencoded"
	for _, x := range []struct {
		name, method, contentType, body, auth string
		status                                int
		code                                  string
	}{
		{"no grant type", "POST", form, "client_id=" + c.clientID + "&client_secret=" + c.secret, "", 400, "invalid_request"},
		{"another grant type", "POST", form, strings.Replace(good, "client_credentials", "authorization_code", 1), "", 400, "unsupported_grant_type"},
		{"password grant", "POST", form, "grant_type=password&username=a&password=b", "", 400, "unsupported_grant_type"},
		{"two grant types", "POST", form, good + "&grant_type=client_credentials", "", 400, "invalid_request"},
		{"two clients", "POST", form, good + "&client_id=x", "", 400, "invalid_request"},
		{"two secrets", "POST", form, good + "&client_secret=x", "", 400, "invalid_request"},
		{"secret in both places", "POST", form, good, basic(c.clientID, c.secret), 400, "invalid_request"},
		{"assertion and secret", "POST", form, good + "&client_assertion=x", "", 400, "invalid_request"},
		{"assertion without type", "POST", form, "grant_type=client_credentials&client_id=x&client_assertion=x", "", 400, "invalid_request"},
		{"assertion of another type", "POST", form, "grant_type=client_credentials&client_id=x&client_assertion=x&client_assertion_type=saml", "", 400, "invalid_request"},
		{"other client in the form", "POST", form, "grant_type=client_credentials&client_id=x", basic(c.clientID, c.secret), 401, "invalid_client"},
		{"JSON", "POST", "application/json", `{"grant_type":"client_credentials"}`, "", 415, "invalid_request"},
		{"no content type", "POST", "", good, "", 415, "invalid_request"},
		{"bad escape", "POST", form, good + "&x=%zz", "", 400, "invalid_request"},
		{"semicolon", "POST", form, strings.ReplaceAll(good, "&", ";"), "", 400, "invalid_request"},
		{"empty", "POST", form, "", "", 400, "invalid_request"},
		{"too large", "POST", form, good + "&x=" + strings.Repeat("x", 33<<10), "", 413, "invalid_request"},
		{"GET", "GET", "", "", "", 405, "invalid_request"},
		{"GET with the form", "GET", form, good, "", 405, "invalid_request"},
		{"PUT", "PUT", form, good, "", 405, "invalid_request"},
		{"OPTIONS", "OPTIONS", "", "", "", 405, "invalid_request"},
	} {
		t.Run(x.name, func(t *testing.T) {
			var body any
			if x.body != "" {
				body = raw(x.body)
			}
			a := c.send(t, x.method, "/scim/fjord/oauth2/token", body, "Content-Type", x.contentType, "Authorization", x.auth)
			a.wireOAuth()
			a.want(x.status).is(x.code, "error")
			if x.status == 405 {
				a.hasHeader("Allow", "POST")
			}
			if strings.Contains(string(a.body), c.secret) {
				a.errorf("the answer repeats the secret")
			}
		})
	}
	unsized := c.send(t, "POST", "/scim/fjord/oauth2/token", unannounced{strings.NewReader(good + "&x=" + strings.Repeat("x", 33<<10))}, "Content-Type", form)
	unsized.want(413).wireOAuth()
	two := must(http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+"/scim/fjord/oauth2/token", strings.NewReader("grant_type=client_credentials")))
	two.Header = http.Header{"Content-Type": {form}, "Authorization": {basic(c.clientID, c.secret), basic(c.clientID, c.secret)}}
	c.exchange(t, two).want(400).wireOAuth()
	query := c.send(t, "POST", "/scim/fjord/oauth2/token?"+good, raw(""), "Content-Type", form) // nothing secret in URLs
	query.want(400).wireOAuth()
}

// The token endpoint of a tenant knows that tenant's clients alone, and tells not which tenants exist.
func TestTokenEndpointsAreApart(t *testing.T) {
	t.Parallel()
	w := newTwo(t)
	a, b := w.alpha.oauth("entra"), w.bravo.oauth("entra")
	nobody := &tenant{server: w.server, name: "nobody"}
	form := grant("client_id", "entra", "client_secret", b.secret)
	wrong := a.ask(form).refused()
	wantNothing(wrong)
	for _, name := range []string{"nobody", "ALPHA", "%61lpha", "", w.alpha.id.String(), "alpha%00", "bravo%2Fx"} {
		nobody.name = name
		nobody.ask(form).refused().sameAs(wrong, nil, nil)
	}
	token := a.opens(a.ask(grant("client_id", "entra", "client_secret", a.secret)))
	b.request("GET", "/Users", nil, "Authorization", "Bearer "+token).want(404)
	b.opens(b.ask(form))
	w.alpha.request("GET", "/Users", nil, "Authorization", "Bearer "+a.secret).want(401) // a secret is no token
}

func TestAccessTokenLife(t *testing.T) {
	t.Parallel()
	for _, hours := range []int{1, 6} {
		c := newServer(t).tenant("fjord").oauth("c", func(n *directory.NewClient) { n.TokenLife = time.Duration(hours) * time.Hour })
		a := c.ask(grant("client_id", c.clientID, "client_secret", c.secret))
		a.is(strconv.Itoa(hours*3600), "expires_in")
		token := c.opens(a)
		c.clock.Advance(time.Duration(hours)*time.Hour - time.Second)
		c.request("GET", "/Users", nil, "Authorization", "Bearer "+token).want(200)
		c.clock.Advance(time.Second)
		c.request("GET", "/Users", nil, "Authorization", "Bearer "+token).want(401)
	}
}

func TestAccessTokenEndsWithItsClient(t *testing.T) {
	t.Parallel()
	c := newServer(t).tenant("fjord").oauth("entra")
	other := c.tenant.oauth("okta")
	token, kept := c.opens(c.ask(grant("client_id", "entra", "client_secret", c.secret))), c.opens(c.ask(grant("client_id", "okta", "client_secret", other.secret)))
	if err := c.svc.RevokeClient(t.Context(), operator, c.id, "entra"); err != nil {
		t.Fatal(err)
	}
	c.request("GET", "/Users", nil, "Authorization", "Bearer "+token).want(401)
	c.request("GET", "/Users", nil, "Authorization", "Bearer "+kept).want(200)
	c.ask(grant("client_id", "entra", "client_secret", c.secret)).refused()
}

func TestSecretTokenRevokedAndRotated(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha")
	var tokens []*directory.Token
	s.view(func(sn *directory.Snapshot) (err error) {
		tokens, err = sn.Tokens(a.id, directory.SecretToken)
		return err
	})
	newer := auth.NewSecret()
	must(s.svc.RotateToken(t.Context(), operator, a.id, tokens[0].ID, directory.NewToken{Hash: newer.Hash, Hint: newer.Hint}, time.Hour))
	use := func(token string, status int) {
		t.Helper()
		a.request("GET", "/Users", nil, "Authorization", "Bearer "+token).want(status)
	}
	use(a.token, 200)
	use(newer.Text, 200)
	s.clock.Advance(time.Hour)
	use(a.token, 401)
	use(newer.Text, 200)
	s.view(func(sn *directory.Snapshot) (err error) {
		tokens, err = sn.Tokens(a.id, directory.SecretToken)
		return err
	})
	for _, x := range tokens {
		if err := s.svc.RevokeToken(t.Context(), operator, a.id, x.ID); err != nil {
			t.Fatal(err)
		}
	}
	use(newer.Text, 401)
}

func TestTokenEndpointWithAFailedStore(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.tenant("fjord").oauth("entra")
	form := grant("client_id", "entra", "client_secret", c.secret)
	for _, x := range []struct {
		read, write error
		status      int
		code        string
	}{
		{errDisk, nil, 500, "server_error"}, {nil, errDisk, 500, "server_error"},
		{nil, directory.ErrFailed, 503, "temporarily_unavailable"}, {directory.ErrDamaged, nil, 500, "server_error"},
	} {
		s.store.fail(x.read, x.write)
		a := c.ask(form, "X-Request-Id", "r-17").want(x.status)
		a.is(x.code, "error")
		if strings.Contains(string(a.body), "srv") || strings.Contains(string(a.body), "store") {
			a.errorf("the answer tells what is inside")
		}
	}
	s.store.fail(nil, nil)
	c.opens(c.ask(form))
	if !strings.Contains(s.log.String(), "r-17") || strings.Contains(s.log.String(), c.secret) {
		t.Errorf("the log: %s", s.log.String())
	}
}

// federatedIssuer is a small OpenID issuer with one key.
func federatedIssuer(t *testing.T) (issuerURL string, sign func(claims object) string, web *httptest.Server) {
	t.Helper()
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	encode := base64.RawURLEncoding.EncodeToString
	web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/tenant/v2.0/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, issuerURL, issuerURL+"/keys")
		case "/tenant/v2.0/keys":
			fmt.Fprintf(w, `{"keys":[{"kty":"RSA","use":"sig","kid":"k1","n":%q,"e":%q},{"kty":"OKP","crv":"X448","kid":"k2","x":"AA"}]}`,
				encode(key.N.Bytes()), encode(big.NewInt(int64(key.E)).Bytes()))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(web.Close)
	issuerURL = web.URL + "/tenant/v2.0"
	return issuerURL, func(claims object) string {
		signed := encode([]byte(`{"alg":"RS256","typ":"JWT","kid":"k1"}`)) + "." + encode(must(json.Marshal(claims)))
		sum := sha256.Sum256([]byte(signed))
		return signed + "." + encode(must(rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])))
	}, web
}

func TestTokenByWorkloadIdentity(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	issuer, sign, web := federatedIssuer(t)
	fjord := s.tenant("fjord")
	c := fjord.oauth("fjord-entra", func(n *directory.NewClient) {
		n.Secret, n.Federated = nil, &directory.Federated{Issuer: issuer, Audience: "api://app", Subject: "provisioning-service"}
	})
	claims := func(changes ...string) object {
		now := s.clock.Now()
		m := object{"iss": issuer, "aud": "api://app", "sub": "provisioning-service", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(65 * time.Minute).Unix()}
		for i := 0; i < len(changes); i += 2 {
			m[changes[i]] = changes[i+1]
		}
		return m
	}
	ask := func(assertion string) *answer {
		t.Helper()
		return c.ask(grant("client_id", c.clientID, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
			"client_assertion", assertion, "baseAddress", "https://scim.fjord.example/scim/v2"))
	}
	c.opens(ask(sign(claims())))
	ask(sign(claims("aud", "api://other"))).refused()
	ask(sign(claims("sub", "somebody"))).refused()
	ask(sign(claims("iss", "https://login.example/tenant/v2.0"))).refused()
	ask("eyJhbGciOiJub25lIn0.e30.").refused()
	ask("").refused()
	s.clock.Advance(2 * time.Hour)
	web.Close()
	a := ask(sign(claims())) // the keys that we have go on, though they are old
	c.opens(a)

	// Another client of the same kind, whose issuer cannot be reached.
	down, signDown, gone := federatedIssuer(t)
	gone.Close()
	c = fjord.oauth("down", func(n *directory.NewClient) {
		n.Secret, n.Federated = nil, &directory.Federated{Issuer: down, Audience: "api://app", Subject: "provisioning-service"}
	})
	a = ask(signDown(claims("iss", down))).want(503)
	a.is("temporarily_unavailable", "error")
	if strings.Contains(string(a.body), "127.0.0.1") {
		a.errorf("the answer names the issuer's address")
	}
}
