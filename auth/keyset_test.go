package auth_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/auth/authtest"
)

// down makes a provider answer document and keys with a status.
func (h *hostile) down(status int) {
	h.set(func() {
		h.fault = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", h.web.URL+"/elsewhere")
			w.WriteHeader(status)
		}
	})
}

func (h *hostile) up() { h.set(func() { h.fault = nil }) }

// The keys are fetched when they are needed first, and again after an hour.
func TestKeysAreFetchedHourly(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	for _, x := range []struct {
		wait time.Duration
		want int
	}{{0, 1}, {0, 1}, {59 * time.Minute, 1}, {2 * time.Minute, 2}, {50 * time.Minute, 2}} {
		w.Clock.Advance(x.wait)
		admitted(w, ada)
		if n := h.fetches(); n != x.want {
			t.Errorf("%d fetches, want %d", n, x.want)
		}
	}
}

// A key that is withdrawn is believed until the hourly fetch and no longer, though nobody names another.
func TestWithdrawnKeyDies(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	h.publish("k1", "k2")
	admitted(w, ada)
	h.set(func() { h.keys = []any{jwk("k2", "")} }) // k1 goes on signing: it was stolen
	w.Clock.Advance(59 * time.Minute)
	admitted(w, ada)
	w.Clock.Advance(time.Minute)
	refused(w, ada, auth.ProblemToken)
	h.set(func() { h.signs = "k2" })
	admitted(w, ada)
}

// While the directory is down, its keys are good for a day; then nobody is signed in.
func TestKeysSurviveAnOutage(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	admitted(w, ada)
	h.down(http.StatusServiceUnavailable)
	for range 23 {
		w.Clock.Advance(time.Hour)
		admitted(w, ada)
	}
	w.Clock.Advance(59 * time.Minute)
	admitted(w, ada)
	w.Clock.Advance(2 * time.Minute)
	b := w.Browser()
	if _, err := b.TryBegin(auth.Start{}); !isProblem(err, auth.ProblemUnavailable) {
		t.Errorf("begins after a day: %v", err)
	}
	h.up()
	w.Clock.Advance(15 * time.Second)
	admitted(w, ada)
}

func isProblem(err error, code auth.ProblemCode) bool {
	var p *auth.Problem
	return errors.As(err, &p) && p.Code == code
}

// A sign-in that comes back when the day is over fails as the directory's fault, and says nothing of tokens.
func TestKeysTooOldAtTheEnd(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	admitted(w, ada)
	h.down(http.StatusServiceUnavailable)
	w.Clock.Advance(23*time.Hour + 55*time.Minute)
	b := w.Browser()
	back := must(h.SignIn(t.Context(), b.Begin(auth.Start{}), ada))
	w.Clock.Advance(6 * time.Minute)
	done, err := b.Finish(back)
	authtest.WantProblem(t, done, err, auth.ProblemUnavailable)
	if len(w.Refusals()) != 0 {
		t.Error("the audit has the outage")
	}
}

// A directory that is down is not asked at each sign-in.
func TestOutageIsNotHammered(t *testing.T) {
	w, h := hostileWorld(t)
	h.down(http.StatusServiceUnavailable)
	for range 60 { // a minute
		if _, err := w.Browser().TryBegin(auth.Start{}); !isProblem(err, auth.ProblemUnavailable) {
			t.Fatalf("begins: %v", err)
		}
		w.Clock.Advance(time.Second)
	}
	if n := h.count("/.well-known/openid-configuration"); n < 3 || n > 5 {
		t.Errorf("%d fetches in a minute", n)
	}
}

// 10,000 unknown key ids in 50 minutes lead to a fetch every five at most, and the right key is taken
// all the while.
func TestUnknownKeysAreLookedForSeldom(t *testing.T) {
	f := newFederation(t)
	must(f.present(sign(jose.RS256, key("k1"), "k1", f.claims)))
	before := f.fetches.Load()
	payload := base64.RawURLEncoding.EncodeToString(must(json.Marshal(f.claims)))
	signature := base64.RawURLEncoding.EncodeToString(make([]byte, 256))
	for range 10_000 {
		f.clock.Advance(300 * time.Millisecond)
		header := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":"RS256","kid":%q}`, rand.Text()))
		if _, err := f.present(header + "." + payload + "." + signature); err == nil {
			t.Fatal("a forged assertion is good")
		}
	}
	if n := f.fetches.Load() - before; n < 9 || n > 10 {
		t.Errorf("%d fetches in 50 minutes", n)
	}
	must(f.present(sign(jose.RS256, key("k1"), "k1", f.with())))
}

// The same with the ID tokens of sign-ins.
func TestUnknownKeysOfIDTokens(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	admitted(w, ada)
	h.set(func() { h.claims = func(header, _ map[string]any) { header["kid"] = rand.Text() } })
	for range 22 {
		w.Clock.Advance(30 * time.Second)
		refused(w, ada, auth.ProblemToken)
	}
	if n := h.fetches(); n != 3 {
		t.Errorf("%d fetches in 11 minutes, want the first and two", n)
	}
}

// A key that appears is found when somebody names it.
func TestNewKeyIsFound(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	admitted(w, ada)
	h.publish("k2", "k1")
	w.Clock.Advance(5*time.Minute - time.Second)
	refused(w, ada, auth.ProblemToken)
	w.Clock.Advance(2 * time.Second)
	admitted(w, ada)
}

// What cannot be used never takes the place of what is good.
func TestUnusablePublications(t *testing.T) {
	small := jose.JSONWebKey{Key: &weakKey().PublicKey, KeyID: "k1", Use: "sig"}
	for name, change := range map[string]func(h *hostile){
		"no keys":                      func(h *hostile) { h.keys = []any{} },
		"a set that is null":           func(h *hostile) { h.keys = nil },
		"a shared secret":              func(h *hostile) { h.keys = []any{map[string]string{"kty": "oct", "kid": "k1", "k": "c2VjcmV0"}} },
		"a private key":                func(h *hostile) { h.keys = []any{jose.JSONWebKey{Key: key("k1"), KeyID: "k1"}} },
		"a key for secrecy":            func(h *hostile) { k := jwk("k1", ""); k["use"] = "enc"; h.keys = []any{k} },
		"a key of 1024 bits":           func(h *hostile) { h.keys = []any{small} },
		"another's key":                func(h *hostile) { h.keys = []any{jwk("k1", h.web.URL+"/"+strangeID+"/v2.0")} },
		"another's template":           func(h *hostile) { h.keys = []any{jwk("k1", "https://sts.example/{tenantid}/")} },
		"a key issuer that is no text": func(h *hostile) { k := jwk("k1", ""); k["issuer"] = 7; h.keys = []any{k} },
		"another issuer":               func(h *hostile) { h.document = func(d map[string]any) { d["issuer"] = h.issuer() + "/" } },
		"the template":                 func(h *hostile) { h.document = func(d map[string]any) { d["issuer"] = h.web.URL + "/{tenantid}/v2.0" } },
		"no issuer":                    func(h *hostile) { h.document = func(d map[string]any) { delete(d, "issuer") } },
		"keys elsewhere":               endpoint("jwks_uri", "https://evil.example/keys"),
		"keys on another port":         endpoint("jwks_uri", "https://127.0.0.1:1/keys"),
		"keys without TLS": func(h *hostile) {
			h.document = func(d map[string]any) { d["jwks_uri"] = strings.Replace(h.web.URL, "https:", "http:", 1) + "/keys" }
		},
		"keys with a user": func(h *hostile) {
			h.document = func(d map[string]any) { d["jwks_uri"] = strings.Replace(h.web.URL, "//", "//a:b@", 1) + "/keys" }
		},
		"a token endpoint elsewhere": endpoint("token_endpoint", "https://evil.example/token"),
		"no token endpoint":          endpoint("token_endpoint", ""),
		"a page elsewhere":           endpoint("authorization_endpoint", "https://evil.example/authorize"),
		"a page that is a script":    endpoint("authorization_endpoint", "javascript:alert(1)"),
		"signing out elsewhere":      endpoint("end_session_endpoint", "https://evil.example/logout"),
		"a page": func(h *hostile) {
			h.fault = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }
		},
		"2 MiB": func(h *hostile) {
			h.fault = func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"x":"`+strings.Repeat("x", 2<<20)+`"}`)
			}
		},
		"a redirect": func(h *hostile) {
			h.fault = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, h.web.URL+"/elsewhere", http.StatusFound)
			}
		},
		"no such directory": func(h *hostile) {
			h.fault = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }
		},
		"a connection that is cut": func(h *hostile) { h.fault = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) } },
	} {
		t.Run(name, func(t *testing.T) {
			w, h := hostileWorld(t)
			ada := w.Person("ada")
			h.set(func() { change(h) })
			if _, err := w.Browser().TryBegin(auth.Start{}); !isProblem(err, auth.ProblemUnavailable) && !isProblem(err, auth.ProblemConfiguration) {
				t.Errorf("begins: %v", err)
			}
			restore := func() {
				h.set(func() { h.document, h.fault = nil, nil })
				h.publish("k1")
			}
			restore()
			w.Clock.Advance(15 * time.Second)
			admitted(w, ada)
			h.set(func() { change(h) })
			w.Clock.Advance(2 * time.Hour)
			before := h.count("/.well-known/openid-configuration")
			admitted(w, ada) // what was good stays so
			if h.count("/.well-known/openid-configuration") == before {
				t.Error("nothing was fetched")
			}
			if n := h.count("/elsewhere"); n != 0 {
				t.Error("a redirect was followed")
			}
		})
	}
}

func endpoint(name, address string) func(h *hostile) {
	return func(h *hostile) { h.document = func(d map[string]any) { d[name] = address } }
}

var weakKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 1024)) })

// Whose fault it is that no sign-in begins.
func TestBeginProblems(t *testing.T) {
	for status, want := range map[int]auth.ProblemCode{400: auth.ProblemConfiguration, 404: auth.ProblemConfiguration, 403: auth.ProblemUnavailable,
		429: auth.ProblemUnavailable, 500: auth.ProblemUnavailable, 302: auth.ProblemUnavailable} {
		w, h := hostileWorld(t)
		h.down(status)
		if _, err := w.Browser().TryBegin(auth.Start{}); !isProblem(err, want) {
			t.Errorf("%d: %v, want %s", status, err, want)
		}
	}
	w, h := hostileWorld(t)
	h.set(func() { h.document = func(d map[string]any) { d["issuer"] = "https://evil.example" } })
	if _, err := w.Browser().TryBegin(auth.Start{}); !isProblem(err, auth.ProblemConfiguration) {
		t.Errorf("another issuer: %v", err)
	}
}

// Keys that name the issuer they sign for: this one, or any of the cloud's.
func TestKeysOfTheIssuer(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	for _, of := range []string{h.issuer(), h.web.URL + "/{tenantid}/v2.0", ""} {
		h.set(func() { h.keys = []any{jwk("k2", h.web.URL+"/"+strangeID+"/v2.0"), jwk("k1", of)} })
		w.Clock.Advance(time.Hour)
		admitted(w, ada)
		h.set(func() { h.signs = "k2" })
		refused(w, ada, auth.ProblemToken)
		h.set(func() { h.signs = "k1" })
	}
}

// Fifty who begin at once cause one fetch.
func TestFetchesAreShared(t *testing.T) {
	w, h := hostileWorld(t)
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	h.set(func() {
		h.fault = func(rw http.ResponseWriter, r *http.Request) {
			once.Do(func() { close(entered) })
			<-release
			h.set(func() { h.fault = nil })
			h.ServeHTTP(rw, r)
			h.set(func() { h.asked["/.well-known/openid-configuration"]-- }) // it was counted twice
		}
	})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := w.Browser().TryBegin(auth.Start{}); err != nil {
				t.Error(err)
			}
		})
	}
	<-entered
	close(release)
	wg.Wait()
	if n := h.count("/.well-known/openid-configuration"); n != 1 || h.fetches() != 1 {
		t.Errorf("%d documents and %d sets of keys were fetched", n, h.fetches())
	}
}

// Who leaves is not kept waiting, and the fetch goes on for who comes next.
func TestFetchOutlivesItsCaller(t *testing.T) {
	w, h := hostileWorld(t)
	entered, release := make(chan struct{}), make(chan struct{})
	h.set(func() {
		h.fault = func(rw http.ResponseWriter, r *http.Request) {
			close(entered)
			<-release
			h.set(func() { h.fault = nil })
			h.ServeHTTP(rw, r)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, _, err := w.SignIn.Begin(ctx, auth.Start{Tenant: w.Tenant.ID})
		left <- err
	}()
	<-entered
	cancel()
	if err := <-left; !isProblem(err, auth.ProblemUnavailable) {
		t.Errorf("who left is told %v", err)
	}
	close(release)
	w.Browser().Begin(auth.Start{})
	if n := h.fetches(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

// A clock that is off by more than a minute is told in the log.
func TestClockSkewIsLogged(t *testing.T) {
	for _, x := range []struct {
		off  time.Duration
		want bool
	}{{0, false}, {50 * time.Second, false}, {62 * time.Second, true}, {-62 * time.Second, true}, {3 * time.Hour, true}} {
		w, _ := hostileWorld(t)
		w.Clock.Advance(x.off)
		w.Browser().Begin(auth.Start{})
		if got := strings.Contains(w.Logged.String(), "the clock of this server"); got != x.want {
			t.Errorf("off by %v: logged is %t", x.off, got)
		}
	}
}

// A clock that is set back makes the keys fetched anew, not good for longer.
func TestKeysWithAClockSetBack(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	admitted(w, ada)
	h.publish("k2")
	w.Clock.Advance(-2 * time.Hour)
	admitted(w, ada)
	if n := h.fetches(); n != 2 {
		t.Errorf("%d fetches", n)
	}
}
