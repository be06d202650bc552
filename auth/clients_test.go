package auth_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

func (w *world) clients() *auth.Clients {
	transport := &http.Transport{}
	w.Cleanup(transport.CloseIdleConnections)
	return auth.NewClients(w.svc, w.clock.Now, &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		w.asked.Add(1)
		return transport.RoundTrip(r)
	})})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// client makes a client of tenant alpha with a secret.
func (w *world) client(id string, n directory.NewClient) (secret string) {
	w.Helper()
	s := auth.NewSecret()
	n.ClientID = id
	if n.Federated == nil {
		n.Secret = &directory.NewToken{Hash: s.Hash, Hint: s.Hint}
	}
	must(w.svc.CreateClient(w.Context(), operator, w.alpha, n))
	return s.Text
}

func TestClientSecret(t *testing.T) {
	w := newWorld(t)
	c := w.clients()
	secret := w.client("entra", directory.NewClient{TokenLife: 2 * time.Hour})
	token, life, err := c.Token(t.Context(), "alpha", "entra", secret, "")
	if err != nil {
		t.Fatal(err)
	}
	if life != 2*time.Hour || !strings.HasPrefix(token, auth.AccessPrefix) || len(token) != len(secret) {
		t.Errorf("token %q for %v", token, life)
	}
	w.opens(token, w.alpha)
	w.opens(secret, directory.ID{}) // a client's secret is no token

	for i := range token { // as those of Secret Tokens
		w.opens(altered(token, i), directory.ID{})
	}
	other := must2(c.Token(t.Context(), "alpha", "entra", secret, ""))
	if other == token {
		t.Error("the same token again")
	}
	w.clock.Advance(2*time.Hour - time.Second)
	w.opens(token, w.alpha)
	w.clock.Advance(time.Second)
	w.opens(token, directory.ID{})
}

func must2(token string, _ time.Duration, err error) string { return must(token, err) }

func TestClientIsRefused(t *testing.T) {
	w := newWorld(t)
	c := w.clients()
	secret := w.client("entra", directory.NewClient{})
	other := w.client("okta", directory.NewClient{})
	w.client("wif", directory.NewClient{Federated: &directory.Federated{Issuer: "https://issuer.example", Audience: "a", Subject: "s"}})
	push, _ := w.token(w.alpha, 0)
	before := w.store.updates.Load()
	for _, x := range []struct{ name, tenant, client, secret, assertion string }{
		{"unknown tenant", "nobody", "entra", secret, ""},
		{"another tenant", "bravo", "entra", secret, ""},
		{"no tenant", "", "entra", secret, ""},
		{"a tenant in other case", "ALPHA", "entra", secret, ""},
		{"unknown client", "alpha", "nobody", secret, ""},
		{"a client in other case", "alpha", "ENTRA", secret, ""},
		{"no client", "alpha", "", secret, ""},
		{"long client", "alpha", strings.Repeat("x", 30_000), secret, ""},
		{"secret of another client", "alpha", "entra", other, ""},
		{"no secret", "alpha", "entra", "", ""},
		{"cut secret", "alpha", "entra", secret[:len(secret)-1], ""},
		{"longer secret", "alpha", "entra", secret + "A", ""},
		{"upper case", "alpha", "entra", strings.ToUpper(secret), ""},
		{"a Secret Token", "alpha", "entra", push, ""},
		{"no secret for a federated client", "alpha", "wif", "", ""},
		{"a secret for a federated client", "alpha", "wif", secret, ""},
		{"an assertion for a client with a secret", "alpha", "entra", "", "a.b.c"},
		{"an assertion beside the secret", "alpha", "entra", secret, "a.b.c"},
	} {
		t.Run(x.name, func(t *testing.T) {
			token, life, err := c.Token(t.Context(), x.tenant, x.client, x.secret, x.assertion)
			wantRefused(t, err)
			if token != "" || life != 0 {
				t.Errorf("token %q for %v", token, life)
			}
			if _, _, wrong := c.Token(t.Context(), "alpha", "entra", "wrong", ""); err != nil && err.Error() != wrong.Error() {
				t.Errorf("the answer tells what was wrong: %v, not %v", err, wrong)
			}
		})
	}
	if n := w.store.updates.Load(); n != before {
		t.Errorf("refused clients caused %d writes", n-before)
	}
}

func TestClientRotation(t *testing.T) {
	w := newWorld(t)
	c := w.clients()
	first := w.client("entra", directory.NewClient{})
	rotate := func(overlap time.Duration) (string, error) {
		s := auth.NewSecret()
		_, err := w.svc.RotateClient(t.Context(), operator, w.alpha, "entra", directory.NewToken{Hash: s.Hash, Hint: s.Hint}, overlap)
		return s.Text, err
	}
	second := must(rotate(24 * time.Hour))
	works := func(secret string, want bool) {
		t.Helper()
		_, _, err := c.Token(t.Context(), "alpha", "entra", secret, "")
		switch {
		case want && err != nil:
			t.Errorf("refused: %v", err)
		case !want:
			wantRefused(t, err)
		}
	}
	works(first, true)
	works(second, true)
	_, err := rotate(time.Hour)
	wantKind(t, err, directory.Conflict) // two are live
	w.clock.Advance(24*time.Hour - time.Second)
	works(first, true)
	w.clock.Advance(time.Second)
	works(first, false)
	works(second, true)
	third := must(rotate(0))
	works(second, false)
	works(third, true)
	w.clock.Advance(directory.DefaultTokenLife)
	works(third, false)
}

func TestClientRevoked(t *testing.T) {
	w := newWorld(t)
	c := w.clients()
	secret, other := w.client("entra", directory.NewClient{}), w.client("okta", directory.NewClient{})
	token, kept := must2(c.Token(t.Context(), "alpha", "entra", secret, "")), must2(c.Token(t.Context(), "alpha", "okta", other, ""))
	w.opens(token, w.alpha)
	if err := w.svc.RevokeClient(t.Context(), operator, w.alpha, "entra"); err != nil {
		t.Fatal(err)
	}
	w.opens(token, directory.ID{})
	w.opens(kept, w.alpha)
	_, _, err := c.Token(t.Context(), "alpha", "entra", secret, "")
	wantRefused(t, err)
}

func TestClientTokenLife(t *testing.T) {
	w := newWorld(t)
	for life, good := range map[time.Duration]bool{0: true, time.Hour: true, 6 * time.Hour: true, time.Hour - time.Second: false, 6*time.Hour + time.Second: false, -time.Hour: false} {
		s := auth.NewSecret()
		_, err := w.svc.CreateClient(t.Context(), operator, w.bravo, directory.NewClient{ClientID: fmt.Sprintf("c%d", int(life.Seconds())&0xffffff),
			Secret: &directory.NewToken{Hash: s.Hash, Hint: s.Hint}, TokenLife: life})
		if (err == nil) != good {
			t.Errorf("life %v: %v", life, err)
		}
	}
	c := w.clients()
	secret := w.client("entra", directory.NewClient{})
	if _, life, err := c.Token(t.Context(), "alpha", "entra", secret, ""); err != nil || life != time.Hour {
		t.Errorf("default life is %v, %v", life, err)
	}
}

func TestClientWithAFailedStore(t *testing.T) {
	w := newWorld(t)
	c := w.clients()
	secret := w.client("entra", directory.NewClient{})
	for _, broken := range []error{errors.New("disk"), directory.ErrFailed} {
		w.store.fail.Store(&broken)
		if _, _, err := c.Token(t.Context(), "alpha", "entra", secret, ""); !errors.Is(err, broken) {
			t.Errorf("error %v, want %v", err, broken)
		}
	}
}

// Ended access tokens do not pile up.
func TestEndedAccessTokensAreCleared(t *testing.T) {
	w := newWorld(t)
	c := w.clients()
	secret := w.client("entra", directory.NewClient{})
	for range 30 {
		must2(c.Token(t.Context(), "alpha", "entra", secret, ""))
		w.clock.Advance(time.Hour)
	}
	var all []*directory.Token
	err := w.svc.View(t.Context(), func(sn *directory.Snapshot) (err error) {
		all, err = sn.Tokens(w.alpha, directory.AccessToken)
		return err
	})
	if err != nil || len(all) != 1 {
		t.Errorf("%d access tokens are kept, %v", len(all), err)
	}
}

// federation is a client that presents tokens of an issuer.
type federation struct {
	*world
	*issuer
	c      *auth.Clients
	claims map[string]any // of a good assertion
}

func newFederation(t *testing.T) *federation {
	t.Helper()
	f := &federation{world: newWorld(t), issuer: newIssuer(t)}
	f.c = f.clients()
	f.client("wif", directory.NewClient{Federated: &directory.Federated{Issuer: f.url, Audience: "api://scim", Subject: "provisioning"}})
	f.claims = f.with()
	return f
}

// with is a good set of claims, with some changed: name, value pairs. A nil value removes one.
func (f *federation) with(changes ...any) map[string]any {
	now := f.clock.Now()
	claims := map[string]any{"iss": f.url, "aud": "api://scim", "sub": "provisioning", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(65 * time.Minute).Unix()}
	for i := 0; i < len(changes); i += 2 {
		name, _ := changes[i].(string)
		claims[name] = changes[i+1]
		if changes[i+1] == nil {
			delete(claims, name)
		}
	}
	return claims
}

func (f *federation) present(assertion string) (string, error) {
	token, _, err := f.c.Token(f.Context(), "alpha", "wif", "", assertion)
	return token, err
}

func (f *federation) Context() context.Context { return f.world.Context() }

func TestFederated(t *testing.T) {
	f := newFederation(t)
	token, err := f.present(sign(jose.RS256, key("k1"), "k1", f.claims))
	if err != nil {
		t.Fatal(err)
	}
	f.opens(token, f.alpha)
	must(f.present(sign(jose.PS256, key("k1"), "k1", f.with("aud", []string{"other", "api://scim"}))))
	if n := f.fetches.Load(); n != 1 {
		t.Errorf("two assertions of one key fetched the keys %d times", n)
	}
}

func TestFederatedIsRefused(t *testing.T) {
	f := newFederation(t)
	must(f.present(sign(jose.RS256, key("k1"), "k1", f.claims)))
	now := f.clock.Now()
	encode := func(v any) string { return base64.RawURLEncoding.EncodeToString(must(json.Marshal(v))) }
	unsigned := func(alg string) string {
		return encode(map[string]string{"alg": alg, "typ": "JWT", "kid": "k1"}) + "." + encode(f.claims) + "."
	}
	public := must(json.Marshal(jose.JSONWebKey{Key: &key("k1").PublicKey, KeyID: "k1"}))
	good := sign(jose.RS256, key("k1"), "k1", f.claims)
	for name, assertion := range map[string]string{
		"another issuer":             sign(jose.RS256, key("k1"), "k1", f.with("iss", f.url+"/other")),
		"no issuer":                  sign(jose.RS256, key("k1"), "k1", f.with("iss", nil)),
		"another audience":           sign(jose.RS256, key("k1"), "k1", f.with("aud", "api://other")),
		"no audience":                sign(jose.RS256, key("k1"), "k1", f.with("aud", nil)),
		"another subject":            sign(jose.RS256, key("k1"), "k1", f.with("sub", "somebody")),
		"a subject that goes on":     sign(jose.RS256, key("k1"), "k1", f.with("sub", "provisioning2")),
		"no subject":                 sign(jose.RS256, key("k1"), "k1", f.with("sub", nil)),
		"expired":                    sign(jose.RS256, key("k1"), "k1", f.with("exp", now.Add(-time.Second).Unix())),
		"no expiry":                  sign(jose.RS256, key("k1"), "k1", f.with("exp", nil)),
		"not yet":                    sign(jose.RS256, key("k1"), "k1", f.with("nbf", now.Add(time.Hour).Unix())),
		"another key of that id":     sign(jose.RS256, key("rogue"), "k1", f.claims),
		"unknown key":                sign(jose.RS256, key("rogue"), "rogue", f.claims),
		"alg none":                   unsigned("none"),
		"alg None":                   unsigned("None"),
		"no signature":               unsigned("RS256"),
		"HS256 with the public key":  sign(jose.HS256, public, "k1", f.claims),
		"HS256 with a client secret": sign(jose.HS256, []byte(strings.Repeat("x", 32)), "k1", f.claims),
		"cut signature":              good[:len(good)-4],
		"other claims":               strings.Split(good, ".")[0] + "." + encode(f.with("sub", "provisioning", "exp", now.Add(time.Hour*24).Unix())) + "." + strings.Split(good, ".")[2],
		"JSON form":                  `{"payload":"` + strings.Split(good, ".")[1] + `","protected":"` + strings.Split(good, ".")[0] + `","signature":"` + strings.Split(good, ".")[2] + `"}`,
		"four parts":                 good + ".x",
		"text":                       "assertion",
		"large":                      sign(jose.RS256, key("k1"), "k1", f.with("pad", strings.Repeat("x", 20<<10))),
	} {
		t.Run(name, func(t *testing.T) {
			f.clock.Advance(time.Second)
			_, err := f.present(assertion)
			wantRefused(t, err)
		})
	}
	must(f.present(good))
}

// An issuer's token for this audience and subject opens nothing for a client of another issuer.
func TestFederatedIssuersAreApart(t *testing.T) {
	f := newFederation(t)
	other := newIssuer(t)
	other.publish("k2")
	assertion := sign(jose.RS256, key("k2"), "k2", f.with("iss", other.url))
	_, err := f.present(assertion)
	wantRefused(t, err)
	_, err = f.present(sign(jose.RS256, key("k2"), "k2", f.claims))
	wantRefused(t, err)
	if n := other.fetches.Load(); n != 0 {
		t.Errorf("an assertion made us fetch from an issuer that no client has: %d times", n)
	}
}

func TestFederatedKeyRotation(t *testing.T) {
	f := newFederation(t)
	must(f.present(sign(jose.RS256, key("k1"), "k1", f.claims)))
	f.publish("k1", "k2")
	f.clock.Advance(time.Hour)
	f.claims = f.with()
	must(f.present(sign(jose.RS256, key("k2"), "k2", f.claims)))
	must(f.present(sign(jose.RS256, key("k1"), "k1", f.claims)))
}

// Who can name a client but is not it cannot make us flood its issuer, nor keep the client out.
func TestFederatedFlood(t *testing.T) {
	for name, assertion := range map[string]func(f *federation, n int) string{
		"unknown key ids":  func(f *federation, n int) string { return sign(jose.RS256, key("rogue"), fmt.Sprint("x", n), f.claims) },
		"the known key id": func(f *federation, _ int) string { return sign(jose.RS256, key("rogue"), "k1", f.claims) },
		"no key id":        func(f *federation, _ int) string { return sign(jose.RS256, key("rogue"), "", f.claims) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFederation(t)
			must(f.present(sign(jose.RS256, key("k1"), "k1", f.claims)))
			before := f.fetches.Load()
			for n := range 60 {
				_, err := f.present(assertion(f, n))
				if err == nil {
					t.Fatal("a forged assertion is good")
				}
			}
			if n := f.fetches.Load() - before; n > 0 {
				t.Errorf("60 forged assertions fetched the keys %d times", n)
			}
			must(f.present(sign(jose.RS256, key("k1"), "k1", f.claims)))

			// The issuer changes its key under the flood: the client's next assertion is good.
			f.publish("k2")
			for n := range 10 {
				f.clock.Advance(time.Minute)
				_, err := f.present(assertion(f, 100+n))
				if err == nil {
					t.Fatal("a forged assertion is good")
				}
			}
			if _, err := f.present(sign(jose.RS256, key("k2"), "k2", f.with())); err != nil {
				t.Errorf("the flood keeps the client out: %v", err)
			}
		})
	}
}

func TestFederatedIssuerDown(t *testing.T) {
	f := newFederation(t)
	assertion := sign(jose.RS256, key("k1"), "k1", f.claims)
	for _, status := range []int64{500, 404, 302, 200} {
		f.broken.Store(status)
		for range 10 {
			_, err := f.present(assertion)
			wantKind(t, err, directory.Unavailable) // not Unauthorized: a client would think its credential gone
		}
		f.clock.Advance(time.Hour)
		assertion = sign(jose.RS256, key("k1"), "k1", f.with())
	}
	f.broken.Store(0)
	must(f.present(assertion))

	// It is up, then down when it has a new key.
	f.publish("k2")
	f.broken.Store(503)
	f.clock.Advance(5 * time.Minute) // before, nobody looks for a key that is not known
	_, err := f.present(sign(jose.RS256, key("k2"), "k2", f.with()))
	wantKind(t, err, directory.Unavailable)
	must(f.present(assertion)) // the keys we have go on
	f.broken.Store(0)
	f.clock.Advance(5 * time.Minute)
	must(f.present(sign(jose.RS256, key("k2"), "k2", f.with())))
}

// An issuer that publishes no key that we could use is down: it takes no good key away.
func TestFederatedWithoutKeys(t *testing.T) {
	private := string(must(json.Marshal(jose.JSONWebKey{Key: key("k1"), KeyID: "k1", Algorithm: "RS256", Use: "sig"})))
	encrypts := string(must(json.Marshal(jose.JSONWebKey{Key: &key("k1").PublicKey, KeyID: "k1", Use: "enc"})))
	for name, published := range map[string]string{
		"an empty set":          `{"keys":[]}`,
		"null":                  `{"keys":null}`,
		"no set":                `{}`,
		"a shared secret":       `{"keys":[{"kty":"oct","kid":"k1","k":"c2VjcmV0LXNlY3JldA","alg":"HS256"}]}`,
		"an unknown kind":       `{"keys":[{"kty":"new","kid":"k1"}]}`,
		"a private key":         `{"keys":[` + private + `]}`,
		"a key for another use": `{"keys":[` + encrypts + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFederation(t)
			var empty atomic.Bool
			f.web.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !empty.Load() || r.URL.Path != "/keys" {
					f.ServeHTTP(w, r)
					return
				}
				f.fetches.Add(1)
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, published)
			})
			present := func(kid string) error {
				_, err := f.present(sign(jose.RS256, key(kid), kid, f.with()))
				return err
			}
			empty.Store(true)
			for _, kid := range []string{"k1", "rogue"} { // none has been had so far
				wantKind(t, present(kid), directory.Unavailable)
			}
			empty.Store(false)
			f.clock.Advance(15 * time.Second) // before, nobody asks an issuer again that had no keys
			if err := present("k1"); err != nil {
				t.Fatalf("the issuer has keys: %v", err)
			}

			empty.Store(true)
			before := f.fetches.Load()
			for range 3 {
				f.clock.Advance(time.Hour) // after which the keys are fetched again
				if err := present("k1"); err != nil {
					t.Errorf("a good key has been given up: %v", err)
				}
				wantKind(t, present("k2"), directory.Unavailable)
			}
			if f.fetches.Load() == before {
				t.Error("the keys were not fetched again")
			}
			empty.Store(false)
			f.publish("k2")
			f.clock.Advance(time.Hour)
			if err := present("k2"); err != nil {
				t.Errorf("the issuer has a new key: %v", err)
			}
			wantRefused(t, present("k1"))
		})
	}
}

func TestFederatedIssuerGone(t *testing.T) {
	f := newFederation(t)
	f.web.Close()
	_, err := f.present(sign(jose.RS256, key("k1"), "k1", f.claims))
	wantKind(t, err, directory.Unavailable)
	if e := new(directory.Error); errors.As(err, &e) && strings.Contains(e.Detail, "127.0.0.1") {
		t.Errorf("the detail names the issuer's address: %s", e.Detail)
	}
}

// An issuer must be https, or on this machine, and nothing but a plain address.
func TestFederatedIssuerAddress(t *testing.T) {
	f := newFederation(t)
	for _, address := range []string{"http://issuer.example", "ftp://issuer.example", "http://169.254.169.254/latest", "issuer.example", ":", f.url + "?x=1",
		f.url + "#x", strings.Replace(f.url, "http://", "http://u:p@", 1)} {
		_, err := f.svc.CreateClient(t.Context(), operator, f.alpha, directory.NewClient{ClientID: "odd", Federated: &directory.Federated{Issuer: address, Audience: "api://scim", Subject: "provisioning"}})
		wantKind(t, err, directory.Invalid)
		wantKind(t, f.c.AskIssuer(t.Context(), address), directory.Unavailable) // of a client that was made before
	}
	if n := f.asked.Load(); n != 0 {
		t.Errorf("%d requests to such addresses", n)
	}
}

// The issuer's document must name the issuer itself, and its keys must be where ours may be.
func TestFederatedDocument(t *testing.T) {
	for name, answer := range map[string]string{
		"another issuer":   `{"issuer":"https://other.example","jwks_uri":"{url}/keys"}`,
		"no keys":          `{"issuer":"{url}"}`,
		"keys not https":   `{"issuer":"{url}","jwks_uri":"http://192.0.2.1:9/keys"}`,
		"keys in a file":   `{"issuer":"{url}","jwks_uri":"file:///etc/passwd"}`,
		"keys on no host":  `{"issuer":"{url}","jwks_uri":"keys"}`,
		"not a document":   `<html>`,
		"a huge document":  `{"issuer":"{url}","jwks_uri":"{url}/keys","x":"` + strings.Repeat("x", 2<<20) + `"}`,
		"a large document": `{"issuer":"{url}","jwks_uri":"{url}/keys","x":"` + strings.Repeat("x", 128<<10) + `"}`,
		"an empty address": `{"issuer":"{url}","jwks_uri":""}`,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFederation(t)
			f.web.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/keys" {
					f.ServeHTTP(w, r)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, strings.ReplaceAll(answer, "{url}", f.url))
			})
			_, err := f.present(sign(jose.RS256, key("k1"), "k1", f.claims))
			wantKind(t, err, directory.Unavailable)
			if n := f.asked.Load(); n != 1 {
				t.Errorf("%d requests, want the one for the document", n)
			}
		})
	}
}

func TestFederatedInParallel(t *testing.T) {
	f := newFederation(t)
	good := sign(jose.RS256, key("k1"), "k1", f.claims)
	bad := sign(jose.RS256, key("rogue"), "k1", f.claims)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				if _, err := f.present(good); err != nil {
					t.Errorf("refused: %v", err)
				}
				if _, err := f.present(bad); err == nil {
					t.Error("a forged assertion is good")
				}
			}
		})
	}
	wg.Wait()
	if n := f.fetches.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
}
