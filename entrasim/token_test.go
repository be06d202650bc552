package entrasim

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	cryptorand "crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// rsaKeys makes keys once for all tests: it takes long.
var rsaKeys = sync.OnceValue(func() []*rsa.PrivateKey {
	keys := make([]*rsa.PrivateKey, 2)
	for i := range keys {
		var err error
		if keys[i], err = rsa.GenerateKey(cryptorand.Reader, 2048); err != nil {
			panic(err)
		}
	}
	return keys
})

func TestTokenErrors(t *testing.T) {
	s := newSite(t, GraphOptions{})
	soon := s.app.NewSecret(s.clock.Now().Add(time.Minute))
	s.clock.advance(time.Minute)
	removed := s.app.NewSecret(s.clock.Now().Add(time.Hour))
	s.app.RemoveSecret(removed)
	for _, test := range []struct {
		name   string
		change map[string]string
		status int
		code   string
		number int
	}{
		{"unknown client", map[string]string{"client_id": "4d3f1b1e-0000-4000-8000-000000000000"}, 400, "unauthorized_client", 700016},
		{"no client", map[string]string{"client_id": ""}, 400, "invalid_request", 900144},
		{"no grant type", map[string]string{"grant_type": ""}, 400, "invalid_request", 900144},
		{"another grant type", map[string]string{"grant_type": "password"}, 400, "unsupported_grant_type", 70003},
		{"wrong secret", map[string]string{"client_secret": s.secret + "x"}, 401, "invalid_client", 7000215},
		{"removed secret", map[string]string{"client_secret": removed}, 401, "invalid_client", 7000215},
		{"expired secret", map[string]string{"client_secret": soon}, 401, "invalid_client", 7000222},
		{"no secret", map[string]string{"client_secret": ""}, 401, "invalid_client", 7000218},
		{"no scope", map[string]string{"scope": ""}, 400, "invalid_request", 900144},
		{"a single permission", map[string]string{"scope": strings.TrimSuffix(s.graph.Scope(), ".default") + "User.Read.All"}, 400, "invalid_scope", 1002012},
		{"two scopes", map[string]string{"scope": "openid " + s.graph.Scope()}, 400, "invalid_scope", 1002012},
		{"another resource", map[string]string{"scope": "https://graph.microsoft.com/.default"}, 400, "invalid_resource", 500011},
		{"broken claims", map[string]string{"claims": "{"}, 400, "invalid_request", 9002313},
		{"assertion without type", map[string]string{"client_assertion": "a.b.c"}, 400, "invalid_request", 900144},
		{"broken assertion", map[string]string{"client_assertion": "a.b.c", "client_assertion_type": assertionType}, 401, "invalid_client", 50027},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.T = t
			s.aadsts(s.requestToken(test.change), test.status, test.code, test.number)
		})
	}
	s.T = t
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	at := func(tenant string) string { return s.graph.LoginURL() + tenant + "/oauth2/v2.0/token" }
	s.aadsts(s.do(http.MethodPost, at("4d3f1b1e-0000-4000-8000-000000000000"), "", form...), 400, "invalid_request", 90002)
	s.aadsts(s.do(http.MethodPost, at("elsewhere.example"), "", form...), 400, "invalid_request", 90002)
	s.aadsts(s.do(http.MethodPost, at("common"), "", form...), 400, "invalid_request", 900023)
	s.aadsts(s.get(s.tokenURL()), 400, "invalid_request", 900561)
	s.aadsts(s.do(http.MethodPost, s.tokenURL(), "{}", "Content-Type", "application/json"), 400, "invalid_request", 9002313)
	s.aadsts(s.do(http.MethodPost, s.tokenURL(), "a=%zz", form...), 400, "invalid_request", 9002313)
	s.aadsts(s.do(http.MethodPost, s.tokenURL(), "client_id=a&client_id=b", form...), 400, "invalid_request", 9000411)
	if n := s.graph.Stats().TokensRefused; n != 22 {
		t.Errorf("%d refusals counted, want 22", n)
	}
}

// aadsts checks an error of the token endpoint, and its shape.
func (s *site) aadsts(a got, status int, code string, number int) {
	s.Helper()
	description, _ := a.json["error_description"].(string)
	codes, _ := a.json["error_codes"].([]any)
	if a.status != status || a.json["error"] != code || len(codes) != 1 || codes[0] != float64(number) {
		s.Errorf("got %d %s, want %d %s AADSTS%d", a.status, a.body, status, code, number)
		return
	}
	trace, correlation, at := a.json["trace_id"], a.json["correlation_id"], a.json["timestamp"]
	if want := fmt.Sprintf(" Trace ID: %s Correlation ID: %s Timestamp: %s", trace, correlation, at); !strings.HasPrefix(description, fmt.Sprintf("AADSTS%d: ", number)) || !strings.HasSuffix(description, want) {
		s.Errorf("description %q", description)
	}
	if trace == "" || correlation == "" || at != s.clock.Now().Format("2006-01-02 15:04:05Z") {
		s.Errorf("trace %v, correlation %v, timestamp %v", trace, correlation, at)
	}
}

func TestTokens(t *testing.T) {
	s := newSite(t, GraphOptions{TokenLife: 10 * time.Minute}, GroupMemberReadAll, UserReadAll)
	a := s.requestToken(nil)
	s.equal("answer", []any{a.status, a.json["token_type"], a.json["expires_in"], a.header.Get("Cache-Control")}, []any{200, "Bearer", 600.0, "no-store, no-cache"})
	token, _ := a.json["access_token"].(string)
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("token %q", token)
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	s.must(err)
	var claims map[string]any
	s.must(json.Unmarshal(body, &claims))
	for name, want := range map[string]any{
		"aud": strings.TrimSuffix(s.graph.LoginURL(), "/"), "tid": s.tenant.ID(), "appid": s.app.ClientID(),
		"roles": []any{GroupMemberReadAll, UserReadAll}, "exp": float64(s.clock.Now().Add(10 * time.Minute).Unix()), "xms_cc": nil,
	} {
		s.equal(name, claims[name], want)
	}
	for what, change := range map[string]map[string]string{
		"nothing special":        nil,
		"a slash more":           {"scope": strings.Replace(s.graph.Scope(), "/.default", "//.default", 1)},
		"Graph's application id": {"scope": graphAppID + "/.default"},
		"a second secret":        {"client_secret": s.app.NewSecret(s.clock.Now().Add(time.Hour))},
	} {
		if a := s.requestToken(change); a.status != 200 {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	basic := base64.StdEncoding.EncodeToString([]byte(s.app.ClientID() + ":" + strings.ReplaceAll(s.secret, "~", "%7E")))
	form := "grant_type=client_credentials&scope=" + s.graph.Scope()
	if a := s.do(http.MethodPost, s.tokenURL(), form, "Content-Type", "application/x-www-form-urlencoded", "Authorization", "Basic "+basic); a.status != 200 {
		t.Errorf("basic authentication: %d %s", a.status, a.body)
	}
	domain := s.graph.LoginURL() + s.tenant.Domain() + "/oauth2/v2.0/token"
	if a := s.do(http.MethodPost, domain, form+"&client_id="+s.app.ClientID()+"&client_secret="+s.secret, "Content-Type", "application/x-www-form-urlencoded"); a.status != 200 {
		t.Errorf("domain: %d %s", a.status, a.body)
	}

	s.token = token
	s.ok("/users")
	s.clock.advance(10*time.Minute - time.Nanosecond)
	s.ok("/users")
	s.clock.advance(time.Nanosecond)
	a = s.get("/users")
	s.refused("expired", a, 401, "InvalidAuthenticationToken")
	if w := a.header.Get("WWW-Authenticate"); !strings.Contains(string(a.body), "expired") || !strings.HasPrefix(w, `Bearer realm="", authorization_uri=`) || strings.Contains(w, "claims") {
		t.Errorf("%s %s", w, a.body)
	}
	s.clock.advance(2 * time.Hour)
	s.login()
	s.graph.tokens.mu.Lock()
	kept := len(s.graph.tokens.tokens)
	s.graph.tokens.mu.Unlock()
	s.equal("tokens that are remembered", kept, 1)
}

func TestGraphTakesOnlyItsOwnTokens(t *testing.T) {
	s := newSite(t, GraphOptions{})
	other := newSite(t, GraphOptions{Seed: 9})
	parts := strings.Split(s.token, ".")
	for what, authorization := range map[string]string{
		"none":             "",
		"empty":            "Bearer ",
		"basic":            "Basic " + s.token,
		"no JWT":           "Bearer abc",
		"of another Graph": "Bearer " + other.token,
		"without its seal": "Bearer " + parts[0] + "." + parts[1] + ".",
		"no kind":          s.token,
	} {
		s.refused(what, s.get("/users", "Authorization", authorization), 401, "InvalidAuthenticationToken")
	}
	s.equal("bearer in lower case", s.get("/users", "Authorization", "bearer "+s.token).status, 200)
	s.equal("units of the refused", s.graph.Stats().Units, 2)
}

func TestRevokedTokens(t *testing.T) {
	s := newSite(t, GraphOptions{})
	bystander := s.graph.App("", allPermissions...)
	secret := bystander.NewSecret(s.clock.Now().Add(time.Hour))
	theirs, _ := s.requestToken(map[string]string{"client_id": bystander.ClientID(), "client_secret": secret}).json["access_token"].(string)
	s.app.RevokeTokens()
	a := s.get("/users")
	s.refused("revoked", a, 401, "InvalidAuthenticationToken")
	challenge := a.header.Get("WWW-Authenticate")
	_, rest, _ := strings.Cut(challenge, `error="insufficient_claims", claims="`)
	claims, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(rest, `"`))
	if err != nil || string(claims) != fmt.Sprintf(`{"access_token":{"nbf":{"essential":true, "value":"%d"}}}`, s.clock.Now().Unix()) {
		t.Fatalf("challenge %s: %s %v", challenge, claims, err)
	}
	s.equal("another application", s.get("/users", "Authorization", "Bearer "+theirs).status, 200)
	a = s.requestToken(map[string]string{"claims": `{"access_token":{"nbf":{"essential":true,"value":"1"},"xms_cc":{"values":["cp1"]}}}`})
	s.token, _ = a.json["access_token"].(string)
	s.ok("/users")
	body, _ := base64.RawURLEncoding.DecodeString(strings.Split(s.token, ".")[1])
	if !bytes.Contains(body, []byte(`"xms_cc":["cp1"]`)) {
		t.Errorf("claims %s", body)
	}
	s.graph.RevokeTokens()
	s.equal("all", []int{s.get("/users").status, s.get("/users", "Authorization", "Bearer "+theirs).status}, []int{401, 401})
	s.login()
	s.ok("/users")
	s.graph.App(s.app.ClientID(), allPermissions...)
	s.equal("registered again", s.get("/users").status, 401)
}

// newCertificate makes a self-signed certificate.
func newCertificate(t *testing.T, key crypto.Signer, from, to time.Time) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "bizz"}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(cryptorand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sign makes a JWT.
func sign(t *testing.T, key *rsa.PrivateKey, header, claims map[string]any) string {
	t.Helper()
	h, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	c, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	input := base64.RawURLEncoding.EncodeToString(h) + "." + base64.RawURLEncoding.EncodeToString(c)
	digest := sha256.Sum256([]byte(input))
	var signature []byte
	switch header["alg"] {
	case "PS256":
		signature, err = rsa.SignPSS(cryptorand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	case "RS256":
		signature, err = rsa.SignPKCS1v15(cryptorand.Reader, key, crypto.SHA256, digest[:])
	case "HS256":
		mac := hmac.New(sha256.New, x509.MarshalPKCS1PublicKey(&key.PublicKey))
		mac.Write([]byte(input))
		signature = mac.Sum(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestCertificates(t *testing.T) {
	s := newSite(t, GraphOptions{})
	now := s.clock.Now()
	keys := rsaKeys()
	good := newCertificate(t, keys[0], now.Add(-time.Hour), now.Add(time.Hour))
	late := newCertificate(t, keys[0], now.Add(-2*time.Hour), now.Add(-time.Hour))
	early := newCertificate(t, keys[0], now.Add(time.Hour), now.Add(2*time.Hour))
	stranger := newCertificate(t, keys[0], now.Add(-time.Hour), now.Add(3*time.Hour))
	for _, c := range []*x509.Certificate{late, early, good} {
		s.must(s.app.AddCertificate(c))
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	s.must(err)
	if s.app.AddCertificate(newCertificate(t, curve, now, now.Add(time.Hour))) == nil {
		t.Error("a certificate with an EC key is taken")
	}
	x5tS256 := func(c *x509.Certificate) map[string]any {
		sum := sha256.Sum256(c.Raw)
		return map[string]any{"alg": "PS256", "typ": "JWT", "x5t#S256": base64.StdEncoding.EncodeToString(sum[:])} // padded, as MSAL does
	}
	x5t := func(c *x509.Certificate) map[string]any {
		sum := sha1.Sum(c.Raw)
		return map[string]any{"alg": "RS256", "typ": "JWT", "x5t": base64.RawURLEncoding.EncodeToString(sum[:])}
	}
	with := func(m map[string]any, name string, value any) map[string]any {
		m[name] = value
		if value == nil {
			delete(m, name)
		}
		return m
	}
	serial := 0
	claims := func() map[string]any {
		serial++
		return map[string]any{"iss": s.app.ClientID(), "sub": s.app.ClientID(), "aud": s.tokenURL(), "jti": fmt.Sprint(serial),
			"nbf": now.Unix(), "exp": now.Add(10 * time.Minute).Unix()}
	}
	minutes := func(n int) int64 { return now.Add(time.Duration(n) * time.Minute).Unix() }
	request := func(header, claims map[string]any, key *rsa.PrivateKey) got {
		return s.requestToken(map[string]string{"client_secret": "", "client_assertion_type": assertionType, "client_assertion": sign(t, key, header, claims)})
	}
	for _, test := range []struct {
		name   string
		header map[string]any
		claims map[string]any
		key    int
		number int
	}{
		{"PS256 and x5t#S256", x5tS256(good), claims(), 0, 0},
		{"RS256 and x5t", x5t(good), claims(), 0, 0},
		{"several audiences", x5t(good), with(claims(), "aud", []string{"x", s.tokenURL()}), 0, 0},
		{"the issuer as audience", x5t(good), with(claims(), "aud", s.graph.LoginURL()+s.tenant.ID()+"/v2.0"), 0, 0},
		{"without nbf", x5t(good), with(claims(), "nbf", nil), 0, 0},
		{"clocks four minutes apart", x5t(good), with(claims(), "nbf", minutes(4)), 0, 0},
		{"expired four minutes ago", x5t(good), with(claims(), "exp", minutes(-4)), 0, 0},
		{"not registered", x5tS256(stranger), claims(), 0, 700027},
		{"no thumbprint", map[string]any{"alg": "PS256"}, claims(), 0, 700027},
		{"empty thumbprints", map[string]any{"alg": "PS256", "x5t": "", "x5t#S256": "!"}, claims(), 0, 700027},
		{"certificate expired", x5tS256(late), claims(), 0, 700027},
		{"certificate not yet valid", x5t(early), claims(), 0, 700027},
		{"another key", x5tS256(good), claims(), 1, 700027},
		{"no signature", with(x5tS256(good), "alg", "none"), claims(), 0, 700027},
		{"signed with the public key", with(x5tS256(good), "alg", "HS256"), claims(), 0, 700027},
		{"another algorithm than said", with(x5tS256(good), "alg", "RS512"), claims(), 0, 700027},
		{"another subject", x5t(good), with(claims(), "sub", "someone"), 0, 700021},
		{"another audience", x5t(good), with(claims(), "aud", s.graph.LoginURL()+"common/oauth2/v2.0/token"), 0, 700023},
		{"expired", x5t(good), with(claims(), "exp", minutes(-5)), 0, 700024},
		{"no expiry", x5t(good), with(claims(), "exp", nil), 0, 700024},
		{"not yet valid", x5t(good), with(claims(), "nbf", minutes(6)), 0, 700024},
		{"no jti", x5t(good), with(claims(), "jti", nil), 0, 50027},
		{"a jti that was used", x5t(good), with(claims(), "jti", "1"), 0, 50027},
		{"a jti of a wrong type", x5t(good), with(claims(), "jti", 7), 0, 50027},
		{"an issuer without federation", x5t(good), with(claims(), "iss", "https://elsewhere.example"), 0, 700211},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.T = t
			a := request(test.header, test.claims, keys[test.key])
			if test.number != 0 {
				s.aadsts(a, 401, "invalid_client", test.number)
			} else if a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	s.T = t
	s.clock.advance(16 * time.Minute) // the assertions are forgotten when they could not be used again anyway
	later := with(with(claims(), "exp", s.clock.Now().Unix()+60), "nbf", nil)
	s.equal("a jti of long ago", request(x5t(good), with(later, "jti", "1"), keys[0]).status, 200)
	s.app.mu.Lock()
	s.equal("assertions that are remembered", len(s.app.assertions), 1)
	s.app.mu.Unlock()
	s.app.RemoveCertificates()
	s.aadsts(request(x5t(good), claims(), keys[0]), 401, "invalid_client", 700027)
}

func TestFederation(t *testing.T) {
	s := newSite(t, GraphOptions{})
	now := s.clock.Now()
	keys := rsaKeys()
	for _, f := range []FederatedCredential{{}, {Issuer: "a", Subject: "b"}, {Subject: "b", Keys: map[string]*rsa.PublicKey{"": nil}}, {Issuer: "a", Keys: map[string]*rsa.PublicKey{"": nil}}} {
		if s.app.AddFederated(f) == nil {
			t.Errorf("%+v is taken", f)
		}
	}
	s.must(s.app.AddFederated(FederatedCredential{Issuer: "https://oidc.example", Subject: "system:serviceaccount:bizz:server",
		Keys: map[string]*rsa.PublicKey{"k1": &keys[0].PublicKey}}))
	request := func(key *rsa.PrivateKey, header, change map[string]any) got {
		h := map[string]any{"alg": "RS256", "kid": "k1"}
		claims := map[string]any{"iss": "https://oidc.example", "sub": "system:serviceaccount:bizz:server", "aud": []string{"api://AzureADTokenExchange"},
			"exp": now.Add(time.Hour).Unix(), "jti": "the same"}
		for k, v := range header {
			h[k] = v
		}
		for k, v := range change {
			claims[k] = v
		}
		return s.requestToken(map[string]string{"client_secret": "", "client_assertion_type": assertionType, "client_assertion": sign(t, key, h, claims)})
	}
	for range 2 { // a workload uses its token until it gets another
		s.equal("status", request(keys[0], nil, nil).status, 200)
	}
	s.equal("without a key id", request(keys[0], map[string]any{"kid": ""}, nil).status, 200)
	s.aadsts(request(keys[0], nil, map[string]any{"iss": "https://oidc.example/"}), 401, "invalid_client", 700211)
	s.aadsts(request(keys[0], nil, map[string]any{"aud": s.tokenURL()}), 401, "invalid_client", 700212)
	s.aadsts(request(keys[0], nil, map[string]any{"sub": "system:serviceaccount:bizz:other"}), 401, "invalid_client", 700213)
	s.aadsts(request(keys[0], map[string]any{"kid": "k2"}, nil), 401, "invalid_client", 50013)
	s.aadsts(request(keys[1], nil, nil), 401, "invalid_client", 50013)
	s.aadsts(request(keys[0], map[string]any{"alg": "HS256"}, nil), 401, "invalid_client", 50013)
	s.aadsts(request(keys[0], nil, map[string]any{"exp": now.Add(-time.Hour).Unix()}), 401, "invalid_client", 700024)
}

func TestMetadata(t *testing.T) {
	s := newSite(t, GraphOptions{})
	a := s.get(s.graph.LoginURL() + s.tenant.ID() + openIDConfigPath)
	s.equal("issuer", a.json["issuer"], s.graph.LoginURL()+s.tenant.ID()+"/v2.0")
	s.equal("token endpoint", a.json["token_endpoint"], s.tokenURL())
	s.aadsts(s.get(s.graph.LoginURL()+"4d3f1b1e-0000-4000-8000-000000000000"+openIDConfigPath), 400, "invalid_tenant", 90002)
	a = s.get(s.graph.LoginURL() + "common/discovery/instance?api-version=1.1&authorization_endpoint=x")
	s.equal("discovery", a.json["tenant_discovery_endpoint"], s.graph.LoginURL()+s.tenant.ID()+openIDConfigPath)
	s.refused("elsewhere", s.get(s.graph.LoginURL()+"nothing"), 404, "ResourceNotFound")
}
