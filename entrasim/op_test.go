package entrasim

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

const callback = "https://bizz.example/auth/callback?via=entra"

const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B

// signInSite is a site with an application that signs people in, and two people.
type signInSite struct {
	*site
	web        *App
	webSecret  string
	anna, bert User
}

func newSignInSite(t *testing.T) *signInSite {
	t.Helper()
	s := &signInSite{site: newSite(t, GraphOptions{})}
	s.web = s.graph.App("")
	s.webSecret = s.web.NewSecret(s.clock.Now().Add(24 * time.Hour))
	s.web.SignIn(SignInSettings{RedirectURIs: []string{callback}})
	s.anna = s.tenant.Hire(Person{GivenName: "Anna", Surname: "Smit"})
	s.bert = s.tenant.Hire(Person{GivenName: "Bert", Surname: "Visser"})
	return s
}

// in is the site for a test within the test.
func (s *signInSite) in(t *testing.T) *signInSite {
	inner, out := *s.site, *s
	inner.T, out.site = t, &inner
	return &out
}

func (s *signInSite) browser() *Browser {
	b := s.graph.Browser()
	s.Cleanup(b.Close)
	return b
}

func (s *signInSite) base() string { return s.graph.LoginURL() + s.tenant.ID() }

// address is that of an authorization request; change overwrites parameters, an empty value removes one.
func (s *signInSite) address(change ...string) string {
	sum := sha256.Sum256([]byte(verifier))
	v := url.Values{"client_id": {s.web.ClientID()}, "response_type": {"code"}, "redirect_uri": {callback}, "scope": {"openid profile"},
		"state": {"st&te"}, "nonce": {"n0nce"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	edit(v, change)
	return s.base() + authorizePath + "?" + v.Encode()
}

func edit(v url.Values, change []string) {
	for i := 0; i < len(change); i += 2 {
		v.Set(change[i], change[i+1])
		if change[i+1] == "" {
			v.Del(change[i])
		}
	}
}

// signs is SignIn of a browser, which must reach the application with a code.
func (s *signInSite) signs(b *Browser, who string, change ...string) string {
	s.Helper()
	o, err := b.SignIn(context.Background(), s.address(change...), who)
	s.must(err)
	code := o.Values().Get("code")
	if code == "" {
		s.Fatalf("no code: page %q AADSTS%d, %v %v", o.Page, o.Number, o.URL, o.Values())
	}
	return code
}

func (s *signInSite) redeem(code string, change ...string) got {
	s.Helper()
	v := url.Values{"grant_type": {"authorization_code"}, "client_id": {s.web.ClientID()}, "client_secret": {s.webSecret}, "code": {code},
		"redirect_uri": {callback}, "code_verifier": {verifier}}
	edit(v, change)
	return s.do(http.MethodPost, s.tokenURL(), v.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Authorization", "")
}

// parts decodes a JWT without believing it.
func (s *signInSite) parts(token string) (header, claims map[string]any) {
	s.Helper()
	raw := strings.Split(token, ".")
	if len(raw) != 3 {
		s.Fatalf("token %.100q", token)
	}
	for i, into := range []*map[string]any{&header, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(raw[i])
		s.must(err)
		s.must(json.Unmarshal(b, into))
	}
	return header, claims
}

// claims signs in and gives the claims of the ID token.
func (s *signInSite) claims(b *Browser, who string, change ...string) map[string]any {
	s.Helper()
	a := s.redeem(s.signs(b, who, change...))
	if a.status != http.StatusOK {
		s.Fatalf("token: %d %s", a.status, a.body)
	}
	token, _ := a.json["id_token"].(string)
	_, claims := s.parts(token)
	return claims
}

func TestSignIn(t *testing.T) {
	s := newSignInSite(t)
	b := s.browser()
	o, err := b.SignIn(context.Background(), s.address(), s.anna.ID)
	s.must(err)
	s.equal("where to", []string{o.URL.Scheme, o.URL.Host, o.URL.Path, o.Values().Get("via")}, []string{"https", "bizz.example", "/auth/callback", "entra"})
	s.equal("state", o.Values()["state"], []string{"st&te"})
	a := s.redeem(o.Values().Get("code"))
	s.equal("token", []any{a.status, a.json["token_type"], a.json["expires_in"], a.json["scope"]}, []any{200, "Bearer", 3600.0, "openid profile"})
	token, _ := a.json["id_token"].(string)
	header, claims := s.parts(token)
	keys, err := s.graph.PublishedKeys()
	s.must(err)
	s.equal("header", header, map[string]any{"alg": "RS256", "typ": "JWT", "kid": keys[0]})
	now := s.clock.Now().Unix()
	for name, want := range map[string]any{
		"iss": s.base() + "/v2.0", "aud": s.web.ClientID(), "tid": s.tenant.ID(), "oid": s.anna.ID, "nonce": "n0nce", "ver": "2.0",
		"name": s.anna.DisplayName, "preferred_username": s.anna.UserPrincipalName, "sub": s.graph.provider.subject(s.web, s.anna.ID),
		"iat": float64(now - 300), "nbf": float64(now - 300), "exp": float64(now + 3600),
	} {
		s.equal(name, claims[name], want)
	}
	for _, name := range []string{"aio", "rh", "uti"} {
		if v, _ := claims[name].(string); v == "" {
			t.Errorf("no %s", name)
		}
	}
	s.equal("claims", len(claims), 15)
}
