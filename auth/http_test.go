package auth_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

// desk is a site with the handlers that programs ask.
type desk struct {
	*site
	assertions *auth.Assertions
	config     auth.HTTPConfig
	http       *auth.HTTP
}

func newDesk(t testing.TB) *desk { return deskOn(newSite(t)) }

func deskOn(s *site) *desk {
	d := &desk{site: s, assertions: s.assertions(newSafe())}
	d.config = auth.HTTPConfig{Service: s.svc, Sessions: s.sessions, Assertions: d.assertions, URL: func() string { return serverURL },
		Upstreams: []auth.Upstream{{Name: "bizzstream", Audience: "urn:bizzstream", Environment: s.env}, {Name: "finance", Environment: s.other}, {Name: "any"}},
		Proxy:     func(r *http.Request) bool { return strings.HasPrefix(r.RemoteAddr, "127.0.0.1:") },
		By:        func(*http.Request) directory.Actor { return directory.Actor{Channel: "http", RequestID: "r1"} }}
	d.http = auth.NewHTTP(d.config)
	return d
}

// handler routes as the app does.
func handler(h *auth.HTTP) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/auth/session", h.ServeSession)
	mux.HandleFunc("/auth/events", h.ServeEvents)
	mux.HandleFunc("/auth/verify/{upstream}", h.ServeVerify)
	mux.HandleFunc("/auth/frontchannel-logout/{tenant}", h.ServeFrontChannelLogout)
	mux.HandleFunc("/.well-known/jwks.json", h.ServeKeys)
	return mux
}

// get asks the handlers as a reverse proxy on this host would.
func (d *desk) get(target, secret string, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.RemoteAddr = "127.0.0.1:4711"
	if secret != "" {
		r.AddCookie(&http.Cookie{Name: auth.SessionCookie, Value: secret})
	}
	for _, fn := range edit {
		fn(r)
	}
	w := httptest.NewRecorder()
	handler(d.http).ServeHTTP(w, r)
	return w
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header[name] = append(r.Header[name], value) }
}

func method(m string) func(*http.Request) { return func(r *http.Request) { r.Method = m } }

func TestSessionIsTold(t *testing.T) {
	d := newDesk(t)
	must(d.svc.SetAdministrator(t.Context(), operator, d.alice.AccountID, d.env, true))
	secret, session := d.signIn(d.alice)
	d.clock.Advance(1500 * time.Millisecond)
	w := d.get("/auth/session", secret)
	want := fmt.Sprintf(`{"accountId":%q,"userName":"alice@fjord.example","name":"A. alice","email":"alice@fjord.example","language":"nl",`+
		`"tenant":{"id":%q,"name":"Fjord Shipping"},"roles":{"operator":false,"partnerOf":[],"administratorOf":[%q]},`+
		`"environments":[{"id":%q,"name":"Production","organization":{"id":%q,"name":"Fjord"},"administrator":true,"menus":["sales"]}],"defaultEnvironmentId":%q,`+
		`"session":{"id":%q,"method":"directory","created":"2026-11-23T08:00:30.000Z","expiresAt":"2026-11-23T16:00:30.000Z"},"serverTime":"2026-11-23T08:00:31.500Z"}`,
		d.alice.AccountID, d.tenant, d.env, d.env, d.org, d.env, session.ID)
	if w.Code != http.StatusOK || w.Body.String() != want {
		t.Errorf("status %d\n%s\nwant\n%s", w.Code, w.Body, want)
	}
	if strings.Contains(w.Body.String(), secret) {
		t.Error("the secret is told")
	}
	wantHeaders(t, w.Header(), map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store", "Vary": "Cookie",
		"X-Content-Type-Options": "nosniff", "Set-Cookie": "", "Access-Control-Allow-Origin": "", "Cross-Origin-Resource-Policy": "same-origin"})

	root, _ := d.operatorSession()
	w = d.get("/auth/session", root)
	for _, part := range []string{`"operator":true`, `"environments":[]`, `"method":"password"`} {
		if !strings.Contains(w.Body.String(), part) {
			t.Errorf("an operator's session lacks %s: %s", part, w.Body)
		}
	}
	if strings.Contains(w.Body.String(), "tenant") || strings.Contains(w.Body.String(), "defaultEnvironment") {
		t.Errorf("an operator is of a tenant, or lands in an environment: %s", w.Body)
	}
	head := d.get("/auth/session", secret, method(http.MethodHead))
	if head.Code != http.StatusOK || head.Body.Len() != 0 || head.Header().Get("Content-Length") != fmt.Sprint(len(want)) {
		t.Errorf("HEAD: status %d, %d bytes, Content-Length %s", head.Code, head.Body.Len(), head.Header().Get("Content-Length"))
	}
	if w := d.get("/auth/session", secret, header("Origin", "https://evil.example")); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error("another origin may read it")
	}
}

// wantHeaders checks headers; an empty value: there is none.
func wantHeaders(t testing.TB, got http.Header, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got.Get(name) != value {
			t.Errorf("%s: %q, want %q", name, got.Get(name), value)
		}
	}
}

func TestSessionThatIsOverIsTold(t *testing.T) {
	d := newDesk(t)
	secret, session := d.signIn(d.alice)
	check(t, d.svc.EndSession(t.Context(), operator, session.AccountID, session.ID, directory.EndedRevoked))
	replaced, session := d.signIn(d.alice)
	check(t, d.svc.EndSession(t.Context(), operator, session.AccountID, session.ID, directory.EndedReplaced))
	for _, test := range []struct {
		name, secret, reason string
		back                 bool // the cookie is taken back
	}{
		{"ended", secret, "revoked", true},
		{"gave way to another of this browser", replaced, "replaced", false},
		{"not known", auth.NewSessionSecret().Text, "unknown", true},
		{"malformed", "x", "unknown", true},
		{"no cookie", "", "unknown", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, path := range []string{"/auth/session", "/auth/events"} {
				w := d.get(path, test.secret)
				var got struct {
					Title, Detail, Reason string
					Status                int
				}
				check(t, json.Unmarshal(w.Body.Bytes(), &got))
				if w.Code != http.StatusUnauthorized || got.Status != w.Code || got.Reason != test.reason || got.Title == "" || got.Detail == "" {
					t.Errorf("%s: status %d, %s", path, w.Code, w.Body)
				}
				back := ""
				if test.back {
					back = d.sessions.NoCookie().String()
				}
				wantHeaders(t, w.Header(), map[string]string{"Content-Type": "application/problem+json", "Cache-Control": "no-store", "Vary": "Cookie", "Set-Cookie": back})
			}
		})
	}
}

func TestSessionOfAStoreThatFails(t *testing.T) {
	d := newDesk(t)
	secret, _ := d.signIn(d.alice)
	fail := func() { d.store.failView.Store(&errDisk) }
	count := 0
	for name, on := range map[string]func(){
		"at once": fail,
		"later": func() { // between the session and the names
			if count++; count == 2 {
				fail()
			}
		},
	} {
		d.store.onView.Store(&on)
		w := d.get("/auth/session", secret)
		d.store.onView.Store(nil)
		d.store.failView.Store(nil)
		if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "alice") || strings.Contains(w.Body.String(), "fire") {
			t.Errorf("%s: status %d, %s", name, w.Code, w.Body)
		}
		wantHeaders(t, w.Header(), map[string]string{"Set-Cookie": "", "Content-Type": "application/problem+json"})
	}
	if w := d.get("/auth/session", secret); w.Code != http.StatusOK {
		t.Errorf("status %d afterwards", w.Code)
	}
}

func TestAskingForTheSessionIsNoActivity(t *testing.T) {
	c := &clock{now: time.Date(2026, 11, 23, 8, 0, 30, 0, time.UTC)}
	d := deskOn(newSiteWith(t, c.Now, c, directory.Limits{SessionIdle: 30 * time.Minute}))
	asked, _ := d.signIn(d.alice)
	used, _ := d.signIn(d.alice)
	for range 3 {
		d.clock.Advance(10 * time.Minute)
		d.get("/auth/session", asked)
		d.get("/auth/verify/bizzstream", used)
	}
	if w := d.get("/auth/session", asked); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `"idle"`) {
		t.Errorf("asking keeps a session alive: %d %s", w.Code, w.Body)
	}
	if w := d.get("/auth/session", used); w.Code != http.StatusOK {
		t.Errorf("using the application is no activity: %d %s", w.Code, w.Body)
	}
}

func TestMethodsOfTheHandlers(t *testing.T) {
	d := newDesk(t)
	secret, _ := d.signIn(d.alice)
	for path, allowed := range map[string]string{"/auth/session": "GET, HEAD", "/auth/events": "GET", "/.well-known/jwks.json": "GET, HEAD",
		"/auth/frontchannel-logout/" + d.tenant.String() + "?sid=sid-of-alice@fjord.example": "GET"} {
		for _, m := range []string{"HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "QUERY"} {
			if slices.Contains(strings.Split(allowed, ", "), m) {
				continue
			}
			w := d.get(path, secret, method(m))
			if w.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: status %d", m, path, w.Code)
			}
			wantHeaders(t, w.Header(), map[string]string{"Allow": allowed, "Access-Control-Allow-Origin": ""})
		}
	}
	d.holds(d.sessions, secret) // no other method has signed anybody out
}

func TestKeysArePublished(t *testing.T) {
	d := newDesk(t)
	w := d.get("/.well-known/jwks.json", "")
	var set jose.JSONWebKeySet
	check(t, json.Unmarshal(w.Body.Bytes(), &set))
	if w.Code != http.StatusOK || len(set.Keys) != 1 || !set.Keys[0].IsPublic() || !set.Keys[0].Valid() {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
	wantHeaders(t, w.Header(), map[string]string{"Content-Type": "application/jwk-set+json", "Cache-Control": "public, max-age=300"})
	d.store.failView.Store(&errDisk)
	d.clock.Advance(time.Hour)
	w = d.get("/.well-known/jwks.json", "")
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", w.Code)
	}
	wantHeaders(t, w.Header(), map[string]string{"Cache-Control": "no-store"})
	d.config.Assertions = nil
	d.http = auth.NewHTTP(d.config)
	if w = d.get("/.well-known/jwks.json", ""); w.Code != http.StatusNotFound {
		t.Errorf("status %d of a server that signs nothing", w.Code)
	}
}

// Forward authentication.

// lets checks that a request may pass, and returns what the upstream is told.
func (d *desk) lets(w *httptest.ResponseRecorder) auth.Assertion {
	d.Helper()
	if w.Code != http.StatusOK || len(w.Header()[auth.AssertionHeader]) != 1 {
		d.Fatalf("status %d with %d assertions, want it let through: %s", w.Code, len(w.Header()[auth.AssertionHeader]), w.Body)
	}
	c, _ := verified(d, w.Header().Get(auth.AssertionHeader), must(d.assertions.Keys(d.Context())))
	return c
}

// refuses checks that a request may not pass.
func (d *desk) refuses(w *httptest.ResponseRecorder, status int) {
	d.Helper()
	if w.Code != status || len(w.Header()[auth.AssertionHeader]) != 0 {
		d.Errorf("status %d with %d assertions, want %d with none: %s", w.Code, len(w.Header()[auth.AssertionHeader]), status, w.Body)
	}
}

func TestVerifyLetsThroughWhoHasAccess(t *testing.T) {
	d := newDesk(t)
	secret, _ := d.signIn(d.alice)
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "TRACE"} {
		c := d.lets(d.get("/auth/verify/bizzstream", secret, method(m)))
		if c.Audience != "urn:bizzstream" || c.Environment != d.env.String() || c.Subject != d.alice.AccountID.String() {
			t.Errorf("%s: assertion %+v", m, c)
		}
	}
	w := d.get("/auth/verify/any", secret)
	if c := d.lets(w); c.Audience != "any" || c.Environment != "" {
		t.Errorf("assertion %+v", c)
	}
	wantHeaders(t, w.Header(), map[string]string{"Cache-Control": "no-store", "Set-Cookie": "", auth.SignInHeader: ""})
	if w.Body.Len() != 0 {
		t.Errorf("body %s", w.Body)
	}
}

// Each condition alone refuses: everything else is as in the request that passes.
func TestVerifyRefusesByEachConditionAlone(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(d *desk, secret string, session *directory.Session) (path, cookie string)
		edit   func(*http.Request)
		status int
	}{
		{name: "nothing is wrong", status: http.StatusOK},
		{name: "the peer is no proxy", edit: func(r *http.Request) { r.RemoteAddr = "192.0.2.9:4711" }, status: http.StatusForbidden},
		{name: "no proxy is configured", change: func(d *desk, s string, _ *directory.Session) (string, string) {
			d.config.Proxy = nil
			return "", s
		}, status: http.StatusForbidden},
		{name: "unknown upstream", change: func(_ *desk, s string, _ *directory.Session) (string, string) { return "nothing", s }, status: http.StatusForbidden},
		{name: "upstream in other letters", change: func(_ *desk, s string, _ *directory.Session) (string, string) { return "Bizzstream", s }, status: http.StatusForbidden},
		{name: "upstream with a slash in it", change: func(_ *desk, s string, _ *directory.Session) (string, string) { return "bizzstream%2f", s }, status: http.StatusForbidden},
		{name: "environment without an access", change: func(_ *desk, s string, _ *directory.Session) (string, string) { return "finance", s }, status: http.StatusForbidden},
		{name: "an operator without an access", change: func(d *desk, _ string, _ *directory.Session) (string, string) {
			s, _ := d.operatorSession()
			return "bizzstream", s
		}, status: http.StatusForbidden},
		{name: "nothing to sign with", change: func(d *desk, s string, _ *directory.Session) (string, string) {
			d.config.Assertions = nil
			return "", s
		}, status: http.StatusForbidden},
		{name: "no cookie", change: func(*desk, string, *directory.Session) (string, string) { return "", "" }, status: http.StatusUnauthorized},
		{name: "a cookie of nobody", change: func(*desk, string, *directory.Session) (string, string) {
			return "", auth.NewSessionSecret().Text
		}, status: http.StatusUnauthorized},
		{name: "a malformed cookie", change: func(_ *desk, s string, _ *directory.Session) (string, string) { return "", s + "=" }, status: http.StatusUnauthorized},
		{name: "two cookies", change: func(*desk, string, *directory.Session) (string, string) { return "", "" }, edit: func(r *http.Request) {
			for range 2 {
				r.AddCookie(&http.Cookie{Name: auth.SessionCookie, Value: auth.NewSessionSecret().Text})
			}
		}, status: http.StatusUnauthorized},
		{name: "expired", change: func(d *desk, s string, _ *directory.Session) (string, string) {
			d.clock.Advance(8 * time.Hour)
			return "", s
		}, status: http.StatusUnauthorized},
		{name: "revoked", change: func(d *desk, s string, x *directory.Session) (string, string) {
			check(d, d.svc.EndSession(d.Context(), operator, x.AccountID, x.ID, directory.EndedRevoked))
			return "", s
		}, status: http.StatusUnauthorized},
		{name: "deactivated", change: func(d *desk, s string, _ *directory.Session) (string, string) {
			d.setActive(d.alice, false)
			return "", s
		}, status: http.StatusUnauthorized},
		{name: "the integration is off", change: func(d *desk, s string, _ *directory.Session) (string, string) {
			off := false
			_, _, err := d.svc.SetIntegration(d.Context(), operator, d.env, directory.IntegrationInput{Enabled: &off})
			check(d, err)
			return "", s
		}, status: http.StatusUnauthorized},
		{name: "access to another environment alone", change: func(d *desk, s string, _ *directory.Session) (string, string) {
			on := true
			_, _, err := d.svc.SetIntegration(d.Context(), operator, d.other, directory.IntegrationInput{Enabled: &on, Groups: []string{envGroup}})
			check(d, err)
			_, _, err = d.svc.SetIntegration(d.Context(), operator, d.env, directory.IntegrationInput{Groups: []string{"9a6b1f3e-0000-4000-8000-0000000000e9"}})
			check(d, err)
			return "", s
		}, status: http.StatusForbidden},
		{name: "the store fails", change: func(d *desk, s string, _ *directory.Session) (string, string) {
			d.store.failView.Store(&errDisk)
			return "", s
		}, status: http.StatusForbidden},
		{name: "the store fails behind the session", change: func(d *desk, s string, _ *directory.Session) (string, string) {
			n := 0
			on := func() {
				if n++; n > 1 {
					d.store.failView.Store(&errDisk)
				}
			}
			d.store.onView.Store(&on)
			return "", s
		}, status: http.StatusForbidden},
		{name: "the key cannot be kept", change: func(d *desk, s string, _ *directory.Session) (string, string) {
			d.store.failUpdates.Store(&errDisk)
			return "", s
		}, status: http.StatusForbidden},
		{name: "a panic in the store", change: func(d *desk, s string, _ *directory.Session) (string, string) {
			on := func() { panic("boom") }
			d.store.onView.Store(&on)
			return "", s
		}, status: http.StatusForbidden},
		{name: "a panic in whom to trust", change: func(d *desk, s string, _ *directory.Session) (string, string) {
			d.config.Proxy = func(*http.Request) bool { panic("boom") }
			return "", s
		}, status: http.StatusForbidden},
		{name: "a session of nobody", change: func(d *desk, s string, _ *directory.Session) (string, string) {
			d.config.Sessions = auth.NewSessions(directory.New(d.store, directory.Options{Now: func() time.Time { panic("no clock") }}), "")
			return "", s
		}, status: http.StatusForbidden},
		{name: "who asks has gone", edit: func(r *http.Request) {
			ctx, cancel := context.WithCancel(r.Context())
			cancel()
			*r = *r.WithContext(ctx)
		}, status: http.StatusForbidden},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDesk(t)
			secret, session := d.signIn(d.alice)
			path := ""
			if test.change != nil {
				path, secret = test.change(d, secret, session)
			}
			if path == "" {
				path = "bizzstream"
			}
			d.http = auth.NewHTTP(d.config)
			var edits []func(*http.Request)
			if test.edit != nil {
				edits = append(edits, test.edit)
			}
			for _, accept := range []string{"", "text/html,*/*"} {
				w := d.get("/auth/verify/"+path, secret, append(slices.Clone(edits), header("Accept", accept))...)
				if test.status == http.StatusOK {
					d.lets(w)
					continue
				}
				d.refuses(w, test.status)
				kind := "application/problem+json"
				if accept != "" {
					kind = "text/plain; charset=utf-8"
				}
				wantHeaders(t, w.Header(), map[string]string{"Content-Type": kind, "Cache-Control": "no-store", "Set-Cookie": ""})
				if test.status == http.StatusUnauthorized && !strings.Contains(w.Body.String(), serverURL+"/login") {
					t.Errorf("it does not say where to sign in: %s", w.Body)
				}
				for _, inner := range []string{"boom", "fire", "goroutine"} {
					if strings.Contains(w.Body.String(), inner) {
						t.Errorf("it tells of our insides: %s", w.Body)
					}
				}
			}
		})
	}
}

// forged are headers by which proxies have been made to let requests through, in the spellings that some
// read as the same.
var forged = map[string]string{
	"X-Forwarded-Uri": "/healthz", "X-Forwarded-Method": "OPTIONS", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "localhost",
	"X-Forwarded-Proto": "https", "X-Forwarded-Server": "localhost", "X-Forwarded-User": "root", "X-Forwarded-Email": "root@maxedy.example",
	"X-Forwarded-Groups": "operators", "X-Forwarded-Preferred-Username": "root", "X-Forwarded-Prefix": "/auth", "X-Forwarded-Port": "443",
	"X_Forwarded_User": "root", "X_Forwarded_For": "127.0.0.1", "X_forwarded_uri": "/healthz", "X-Forwarded_For": "127.0.0.1",
	"X-Original-Uri": "/healthz", "X-Original-Url": "/healthz", "X-Original-Method": "OPTIONS", "X_Original_URI": "/healthz",
	"X-Rewrite-Url": "/healthz", "X-Real-Ip": "127.0.0.1", "Forwarded": "for=127.0.0.1;host=localhost", "X-Auth-Request-User": "root",
	"X-Auth-Request-Redirect": "/healthz", "Authorization": "Bearer root", "X-Auth-Assertion": "eyJhbGciOiJub25lIn0.e30.", "X_Auth_Assertion": "x",
	"Remote-User": "root", "X-Remote-User": "root", "X-Http-Method-Override": "OPTIONS", "X-Client-Ip": "127.0.0.1", "Via": "1.1 localhost",
}

func TestNoHeaderChangesTheDecision(t *testing.T) {
	d := newDesk(t)
	secret, _ := d.signIn(d.alice)
	all := func(r *http.Request) {
		for name, value := range forged {
			r.Header[name] = []string{value}
		}
	}
	for _, test := range []struct {
		name   string
		path   string
		secret string
		peer   string
		status int
	}{
		{"may pass", "bizzstream", secret, "127.0.0.1:1", http.StatusOK},
		{"not signed in", "bizzstream", "", "127.0.0.1:1", http.StatusUnauthorized},
		{"without an access", "finance", secret, "127.0.0.1:1", http.StatusForbidden},
		{"unknown upstream", "healthz", secret, "127.0.0.1:1", http.StatusForbidden},
		{"no proxy", "bizzstream", secret, "192.0.2.1:1", http.StatusForbidden},
	} {
		peer := func(r *http.Request) { r.RemoteAddr = test.peer }
		edits := map[string]func(*http.Request){"none": func(*http.Request) {}, "all": all}
		for name, value := range forged {
			edits[name] = header(name, value)
		}
		for _, name := range slices.Sorted(maps.Keys(edits)) {
			w := d.get("/auth/verify/"+test.path, test.secret, peer, edits[name])
			if test.status == http.StatusOK {
				if c := d.lets(w); c.Subject != d.alice.AccountID.String() || c.Email != "alice@fjord.example" {
					t.Errorf("%s with %s: assertion of %+v", test.name, name, c)
				}
				continue
			}
			d.refuses(w, test.status)
		}
	}
}

func TestVerifySaysWhereToSignIn(t *testing.T) {
	d := newDesk(t)
	for _, test := range []struct {
		name string
		uri  []string
		want string
	}{
		{"a page", []string{"/orders/7"}, "/login?next=%2Forders%2F7"},
		{"a page with a query", []string{"/orders?open=1&by=a%26b"}, "/login?next=%2Forders%3Fopen%3D1%26by%3Da%2526b"},
		{"the first page", []string{"/"}, "/login"},
		{"not told", nil, "/login"},
		{"told twice", []string{"/a", "/b"}, "/login"},
		{"another host", []string{"//evil.example"}, "/login"},
		{"a whole address", []string{"https://evil.example/"}, "/login"},
		{"a backslash", []string{`/\evil.example`}, "/login"},
		{"a line break", []string{"/a\r\nSet-Cookie: a=b"}, "/login"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := d.get("/auth/verify/bizzstream", "", func(r *http.Request) {
				if test.uri != nil {
					r.Header["X-Forwarded-Uri"] = test.uri
				}
			})
			d.refuses(w, http.StatusUnauthorized)
			wantHeaders(t, w.Header(), map[string]string{auth.SignInHeader: test.want})
		})
	}
}

func TestGroupRemovalClosesTheUpstreamAtOnce(t *testing.T) {
	d := newDesk(t)
	secret, _ := d.signIn(d.alice)
	d.lets(d.get("/auth/verify/bizzstream", secret))
	_, err := d.svc.UpdateGroup(t.Context(), operator, d.tenant, d.group.ID, func(g *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
		return directory.GroupInput{DisplayName: g.DisplayName, ExternalID: g.ExternalID, Schemas: g.Schemas, Attributes: g.Attributes}, m.Remove([]directory.ID{d.alice.ID})
	})
	check(t, err)
	d.refuses(d.get("/auth/verify/bizzstream", secret), http.StatusUnauthorized)
}

// Front-channel logout.

func TestFrontChannelLogout(t *testing.T) {
	const sid = "sid-of-alice@fjord.example"
	issuer := "https://login.microsoftonline.com/" + directoryID + "/v2.0"
	for _, test := range []struct {
		name   string
		tenant func(d *desk) string
		query  url.Values
		setup  func(d *desk)
		ends   bool
		framed bool
	}{
		{name: "as Microsoft sends it", query: url.Values{"sid": {sid}}, ends: true, framed: true},
		{name: "with the issuer", query: url.Values{"sid": {sid}, "iss": {issuer}}, ends: true, framed: true},
		{name: "with another issuer", query: url.Values{"sid": {sid}, "iss": {issuer + "/"}}, framed: true},
		{name: "with an empty issuer", query: url.Values{"sid": {sid}, "iss": {""}}, framed: true},
		{name: "with two issuers", query: url.Values{"sid": {sid}, "iss": {issuer, issuer}}, framed: true},
		{name: "with two sessions", query: url.Values{"sid": {sid, "x"}}, framed: true},
		{name: "of another session", query: url.Values{"sid": {"x"}}, framed: true},
		{name: "of no session", query: url.Values{"sid": {""}}, framed: true},
		{name: "without a session", framed: true},
		{name: "of another tenant", query: url.Values{"sid": {sid}}, framed: true, tenant: func(d *desk) string {
			return must(d.svc.CreateTenant(d.Context(), operator, directory.Tenant{Name: "other", DirectoryID: "9a6b1f3e-0000-4000-8000-00000000d1c1",
				SignIn: directory.SignIn{ClientID: "9a6b1f3e-0000-4000-8000-0000000000ab"}})).ID.String()
		}},
		{name: "of a tenant without a directory", query: url.Values{"sid": {sid}}, tenant: func(d *desk) string {
			return must(d.svc.CreateTenant(d.Context(), operator, directory.Tenant{Name: "other"})).ID.String()
		}},
		{name: "of no tenant", query: url.Values{"sid": {sid}}, tenant: func(*desk) string { return directory.ID{1}.String() }},
		{name: "of what is no id", query: url.Values{"sid": {sid}}, tenant: func(*desk) string { return "fjord" }},
		{name: "too many of a source", query: url.Values{"sid": {sid}}, framed: true, setup: func(d *desk) {
			d.config.Allow = func(*http.Request) (time.Duration, bool) { return time.Minute, false }
		}},
		{name: "within the limit", query: url.Values{"sid": {sid}}, framed: true, ends: true, setup: func(d *desk) {
			d.config.Allow = func(*http.Request) (time.Duration, bool) { return 0, true }
		}},
		{name: "while the store fails", query: url.Values{"sid": {sid}}, framed: true, setup: func(d *desk) {
			d.store.failUpdates.Store(&errDisk)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDesk(t)
			secret, _ := d.signIn(d.alice)
			tenant := d.tenant.String()
			if test.tenant != nil {
				tenant = test.tenant(d)
			}
			if test.setup != nil {
				test.setup(d)
			}
			d.http = auth.NewHTTP(d.config)
			w := d.get("/auth/frontchannel-logout/"+tenant+"?"+test.query.Encode(), "")
			if w.Code != http.StatusOK || w.Body.Len() != 0 {
				t.Errorf("status %d, %q", w.Code, w.Body)
			}
			policy := "default-src 'none'; frame-ancestors 'none'"
			if test.framed {
				policy = "default-src 'none'; frame-ancestors https://login.microsoftonline.com"
			}
			wantHeaders(t, w.Header(), map[string]string{"Content-Security-Policy": policy, "Cache-Control": "no-store", "Set-Cookie": "", "X-Frame-Options": ""})
			_, err := d.sessions.Check(asked(secret), true)
			if !test.ends {
				check(t, err)
				return
			}
			wantEnded(t, err, directory.EndedDirectory)
		})
	}
}

func TestFrontChannelLogoutOfACloudOfOnesOwn(t *testing.T) {
	for login, ancestors := range map[string]string{
		"https://login.fjord.example:8443":      "https://login.fjord.example:8443",
		"https://login.fjord.example:8443/path": "https://login.fjord.example:8443",
		"https://a;script-src.example":          "'none'", // more than an origin in a policy
	} {
		d := newDesk(t)
		must(d.svc.SetTenant(t.Context(), operator, d.tenant, func(x *directory.Tenant) error {
			x.Graph = directory.Graph{Cloud: "custom", LoginURL: login, GraphURL: "https://graph.fjord.example/v1.0"}
			return nil
		}))
		w := d.get("/auth/frontchannel-logout/"+d.tenant.String(), "")
		wantHeaders(t, w.Header(), map[string]string{"Content-Security-Policy": "default-src 'none'; frame-ancestors " + ancestors})
	}
}

// Events.

// memory is a listener whose connections are pipes: within a bubble, time on them is the bubble's.
type memory struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *memory) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *memory) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// serve serves the handlers with the time limits of the server, within a bubble.
func (d *desk) serve() (*memory, *http.Server) {
	l := &memory{conns: make(chan net.Conn), done: make(chan struct{})}
	served := &http.Server{Handler: handler(d.http), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second}
	served.RegisterOnShutdown(d.http.Close)
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = served.Serve(l)
	}()
	d.Cleanup(func() {
		_ = served.Close()
		<-over
	})
	return l, served
}

// listen opens the events of a secret: the lines as they come, until the stream closes.
func (d *desk) listen(l *memory, secret string) (lines <-chan string, leave func()) {
	d.Helper()
	ours, theirs := net.Pipe()
	l.conns <- theirs
	out := make(chan string, 1000)
	ready := make(chan struct{})
	go func() {
		defer close(out)
		fmt.Fprintf(ours, "GET /auth/events HTTP/1.1\r\nHost: x\r\nCookie: %s=%s\r\n\r\n", auth.SessionCookie, secret)
		resp, err := http.ReadResponse(bufio.NewReader(ours), nil)
		close(ready)
		if err != nil {
			return
		}
		if resp.StatusCode != http.StatusOK {
			out <- fmt.Sprint(resp.StatusCode)
		} else {
			for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Cookie"} {
				if got := resp.Header.Get(name); got != want {
					d.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		}
		scan := bufio.NewScanner(resp.Body)
		for scan.Scan() {
			out <- scan.Text()
		}
		if err := scan.Err(); err != nil {
			out <- "cut off: " + err.Error()
		}
	}()
	<-ready
	return out, func() { ours.Close() }
}

// all is what has come so far.
func all(lines <-chan string) (got []string, open bool) {
	synctest.Wait()
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return got, false
			}
			got = append(got, line)
		default:
			return got, true
		}
	}
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deskOn(newSiteIn(t))
		secret, session := d.signIn(d.alice)
		l, _ := d.serve()
		time.Sleep(1500 * time.Millisecond)
		lines, leave := d.listen(l, secret)
		defer leave()
		format := func(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }
		got, open := all(lines)
		want := []string{"event: session", fmt.Sprintf(`data: {"expiresAt":%q,"serverTime":%q}`, format(session.Expires), format(time.Now())), ""}
		if diff := cmp.Diff(want, got); diff != "" || !open {
			t.Fatalf("open %v, first event (-want +got):\n%s", open, diff)
		}
		time.Sleep(5 * time.Minute) // far beyond the time limits of the server
		got, open = all(lines)
		if want := slices.Repeat([]string{": the session goes on", ""}, 20); !slices.Equal(got, want) || !open {
			t.Errorf("open %v, %d lines in five minutes: %q", open, len(got), got)
		}
		d.setActive(d.alice, false)
		began := time.Now()
		var rest []string
		for line := range lines { // until it closes
			rest = append(rest, line)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the page is told %v later", took)
		}
		if diff := cmp.Diff([]string{"event: ended", `data: {"reason":"deactivated"}`, ""}, rest); diff != "" {
			t.Errorf("last event (-want +got):\n%s", diff)
		}
	})
}

func TestEventsTellWhenTheTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deskOn(newSiteWith(t, time.Now, nil, directory.Limits{SessionLife: time.Minute}))
		secret, session := d.signIn(d.alice)
		l, _ := d.serve()
		lines, leave := d.listen(l, secret)
		defer leave()
		var last []string
		for line := range lines {
			last = append(last, line)
		}
		if late := time.Since(session.Expires); late < 0 || late > time.Second {
			t.Errorf("told %v after the end", late)
		}
		if n := len(last); n < 3 || last[n-2] != `data: {"reason":"expired"}` {
			t.Errorf("last words %q", last)
		}
	})
}

func TestEventsAreLimitedPerSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deskOn(newSiteIn(t))
		secret, _ := d.signIn(d.alice)
		another, _ := d.signIn(d.alice)
		l, _ := d.serve()
		var leaves []func()
		for range 8 {
			lines, leave := d.listen(l, secret)
			if got, open := all(lines); !open || len(got) != 3 {
				t.Fatalf("open %v: %q", open, got)
			}
			leaves = append(leaves, leave)
		}
		refused, leave := d.listen(l, secret)
		if got, _ := all(refused); len(got) == 0 || got[0] != "429" {
			t.Errorf("a ninth stream: %q", got)
		}
		leave()
		other, leave := d.listen(l, another)
		if got, open := all(other); !open || len(got) != 3 {
			t.Errorf("a stream of another session: open %v, %q", open, got)
		}
		leave()
		leaves[0]()
		time.Sleep(time.Second) // the server has seen that it is gone
		lines, leave := d.listen(l, secret)
		if got, open := all(lines); !open || len(got) != 3 {
			t.Errorf("a place that was left is not free: open %v, %q", open, got)
		}
		leave()
		for _, leave := range leaves[1:] {
			leave()
		}
	})
}

func TestEventsEndWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deskOn(newSiteIn(t))
		secret, _ := d.signIn(d.alice)
		l, server := d.serve()
		lines, leave := d.listen(l, secret)
		defer leave()
		time.Sleep(time.Minute)
		_, _ = all(lines)
		began := time.Now()
		check(t, server.Shutdown(t.Context()))
		if took := time.Since(began); took > time.Second {
			t.Errorf("an open page keeps the server for %v", took)
		}
		for line := range lines {
			if line != "" && !strings.HasPrefix(line, ":") {
				t.Errorf("the page is told %q, though its session goes on", line)
			}
		}
		d.http.Close() // once more does no harm
		if w := d.get("/auth/events", secret); w.Code != http.StatusServiceUnavailable {
			t.Errorf("status %d of a server that stops", w.Code)
		}
	})
}

func TestEventsOfAStoreThatFailsAreNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deskOn(newSiteIn(t))
		secret, _ := d.signIn(d.alice)
		l, _ := d.serve()
		lines, leave := d.listen(l, secret)
		defer leave()
		d.store.failView.Store(&errDisk)
		var got []string
		for line := range lines {
			got = append(got, line)
		}
		if slices.Contains(got, "event: ended") {
			t.Errorf("the page is told that its session has ended: %q", got)
		}
		if w := d.get("/auth/events", secret); w.Code != http.StatusServiceUnavailable {
			t.Errorf("status %d", w.Code)
		}
	})
}

// A browser that reads nothing must not hold a stream for ever.
func TestEventsGiveUpOnWhoDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deskOn(newSiteIn(t))
		secret, _ := d.signIn(d.alice)
		l, server := d.serve()
		ours, theirs := net.Pipe()
		defer ours.Close()
		l.conns <- theirs
		_, err := io.WriteString(ours, "GET /auth/events HTTP/1.1\r\nHost: x\r\nCookie: "+auth.SessionCookie+"="+secret+"\r\n\r\n")
		check(t, err)
		time.Sleep(31 * time.Second)
		synctest.Wait()
		before := d.store.views.Load()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := d.store.views.Load() - before; n != 0 {
			t.Errorf("%d looks for a browser that has not read for 30 s", n)
		}
		_ = server
	})
}
