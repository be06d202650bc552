package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/console"
	"github.com/bizzstream/bizzscim/directory"
)

// routesOf lists the methods of each path, but those of the staff: they have a matrix and attacks of their own.
func routesOf(w *world) map[string][]string {
	all := map[string][]string{}
	for _, r := range w.console.Routes() {
		if r.Access != console.Staff {
			all[r.Path] = append(all[r.Path], r.Method)
		}
	}
	return all
}

// filled puts something into the parts of a path that vary.
func filled(w *world, path string) string {
	return strings.NewReplacer("{id}", w.env.ID.String(), "{link}", "bzl_none", "{file}", "none.css").Replace(path)
}

func TestRoutesAreThoseOfTheDesign(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want := map[string][]string{
		"/": {"GET"}, "/login": {"GET", "POST"}, "/login/environment/{id}": {"GET"}, "/auth/callback": {"GET"}, "/logout": {"POST"},
		"/signed-out": {"GET"}, "/operator": {"GET", "POST"}, "/operator/link/{link}": {"GET", "POST"}, "/setup/{link}": {"GET", "POST"},
		"/password": {"GET", "POST"}, "/password/{link}": {"GET", "POST"}, "/account": {"GET"}, "/account/sessions": {"POST"},
		"/account/password": {"POST"}, "/account/second-factor": {"GET", "POST"}, "/account/second-factor/remove": {"POST"},
		"/preferences": {"POST"}, "/static/{file}": {"GET"},
		"/connect/{link}": {"GET"}, "/connect/{link}/state": {"GET"}, "/connect/{link}/token": {"GET", "POST"}, "/connect/{link}/rotate": {"GET", "POST"},
		"/connect/{link}/ids": {"GET", "POST"}, "/connect/{link}/credential": {"GET", "POST"}, "/connect/{link}/test": {"GET", "POST"},
	}
	got := routesOf(w)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, r := range w.console.Routes() {
		if r.Access == console.Staff {
			continue
		}
		needs := r.Path == "/" || strings.HasPrefix(r.Path, "/account")
		if needs != (r.Access == console.SignedIn) {
			t.Errorf("%s %s has access %d", r.Method, r.Path, r.Access)
		}
	}
}

// TestNobodyGetsIn asks for every page that needs a session without one. Who sent a form learns that it did nothing, and is
// led back to its page.
func TestNobodyGetsIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pages := map[string]bool{}
	for _, r := range w.console.Routes() {
		pages[r.Path] = pages[r.Path] || r.Method == http.MethodGet
	}
	for _, cookie := range []string{"", auth.SessionCookie + "=" + auth.NewSessionSecret().Text, auth.SessionCookie + "=x"} {
		for _, r := range w.console.Routes() {
			if r.Access != console.SignedIn { // those of the staff are in the role matrix
				continue
			}
			var form url.Values
			if r.Method == http.MethodPost {
				form = url.Values{}
			}
			want, query := "/login", url.Values{}
			if r.Method == http.MethodPost {
				want, query = "/signed-out", url.Values{"reason": {"unknown"}, "unsaved": {"1"}}
			}
			next := r.Path
			if !pages[next] {
				next = next[:strings.LastIndexByte(next, '/')]
			}
			if next != "/" {
				query.Set("next", next)
			}
			if len(query) > 0 {
				want += "?" + query.Encode()
			}
			a := w.browser().do(r.Method, r.Path, form, map[string]string{"Cookie": cookie}).goes(t, want)
			if back := a.header.Get("Set-Cookie"); (cookie != "") != strings.HasPrefix(back, auth.SessionCookie+"=; ") {
				t.Errorf("%s %s with cookie %q: Set-Cookie %q", r.Method, r.Path, cookie, back)
			}
		}
	}
}

func TestEveryPageHasItsHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	in, out := w.browser(), w.browser()
	in.signIn("Marta", "")
	plain := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	check := func(name string, a answer, policy string) {
		t.Helper()
		want := map[string]string{"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Access-Control-Allow-Origin": ""}
		for k, v := range want {
			if got := a.header.Get(k); got != v {
				t.Errorf("%s: %s is %q, want %q", name, k, got, v)
			}
		}
		if got := a.header.Get("Content-Security-Policy"); got != policy {
			t.Errorf("%s: policy\n%q, want\n%q", name, got, policy)
		}
	}
	for path, methods := range routesOf(w) {
		for _, method := range append([]string{"HEAD", "DELETE"}, methods...) {
			var form url.Values
			if method == http.MethodPost {
				form = url.Values{}
			}
			if path == "/logout" && method == http.MethodPost {
				continue // in would be out
			}
			for who, b := range map[string]*browser{"in": in, "out": out} {
				a := b.do(method, filled(w, path), form, nil)
				policy := plain
				if path == "/static/{file}" {
					policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
				}
				check(method+" "+path+" "+who, a, policy)
				if got := a.header.Get("Cache-Control"); path != "/static/{file}" && got != "no-store" {
					t.Errorf("%s %s: Cache-Control %q", method, path, got)
				}
			}
		}
	}
	check("missing", in.get("/nothing/here").is(t, http.StatusNotFound, "Page not found"), plain)
	there := in.post("/login", url.Values{"tenant": {w.tenant.ID.String()}})
	there.onward(t)
	check("to the directory", there, plain)
	there = in.post("/logout", url.Values{"directory": {"1"}})
	there.onward(t)
	check("to sign out there", there, plain)
}

func TestMethodsThatAPageDoesNotHave(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for path, methods := range routesOf(w) {
		allow := slices.Clone(methods)
		effect := path == "/login/environment/{id}" || path == "/auth/callback"
		if slices.Contains(methods, "GET") && !effect {
			allow = slices.Insert(allow, 1, "HEAD")
		}
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
			if slices.Contains(allow, method) {
				continue
			}
			a := w.browser().do(method, filled(w, path), nil, map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example", "X-HTTP-Method-Override": "GET"})
			if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != strings.Join(allow, ", ") {
				t.Errorf("%s %s: %d, Allow %q, want 405 and %q", method, path, a.status, a.header.Get("Allow"), allow)
			}
		}
	}
}

// TestHead is GET without the body, for every page that has it.
func TestHead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	b := w.browser()
	b.signIn("Marta", "")
	for path, methods := range routesOf(w) {
		if !slices.Contains(methods, "GET") || path == "/login/environment/{id}" || path == "/auth/callback" {
			continue
		}
		get, head := b.get(filled(w, path)), b.do("HEAD", filled(w, path), nil, nil)
		if head.body != "" || head.status != get.status || head.header.Get("Content-Type") != get.header.Get("Content-Type") {
			t.Errorf("HEAD %s: %d %q with %d bytes, GET: %d %q", path, head.status, head.header.Get("Content-Type"), len(head.body), get.status, get.header.Get("Content-Type"))
		}
	}
}

// TestForeignFormsDoNothing sends every form as another site, or another program, would.
func TestForeignFormsDoNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	b := w.browser()
	b.signIn("Marta", "")
	session := b.cookie(auth.SessionCookie)
	host := strings.TrimPrefix(w.server.URL, "https://")
	tests := []struct {
		name   string
		header map[string]string
		status int // 0: it is let through
	}{
		{"cross-site", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403},
		{"same-site", map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "https://sub.example"}, 403},
		{"cross-site with our Origin", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": w.server.URL}, 403},
		{"an old browser elsewhere", map[string]string{"Sec-Fetch-Site": "", "Origin": "https://evil.example"}, 403},
		{"an old browser in a sandbox", map[string]string{"Sec-Fetch-Site": "", "Origin": "null"}, 403},
		{"our host on another port", map[string]string{"Sec-Fetch-Site": "", "Origin": "https://127.0.0.1:1"}, 403},
		{"no browser at all", map[string]string{"Sec-Fetch-Site": ""}, 403},
		{"a referrer elsewhere", map[string]string{"Sec-Fetch-Site": "", "Referer": "https://evil.example/" + host}, 403},
		{"a referrer with our name as the user", map[string]string{"Sec-Fetch-Site": "", "Referer": "https://" + host + "@evil.example/"}, 403},
		{"a referrer that is none", map[string]string{"Sec-Fetch-Site": "", "Referer": "about:blank"}, 403},
		{"a method override", map[string]string{"Sec-Fetch-Site": "cross-site", "X-HTTP-Method-Override": "GET"}, 403},
		{"plain text", map[string]string{"Content-Type": "text/plain"}, 415},
		{"JSON", map[string]string{"Content-Type": "application/json"}, 415},
		{"a file", map[string]string{"Content-Type": "multipart/form-data; boundary=x"}, 415},
		{"no type", map[string]string{"Content-Type": ""}, 415},
		{"a page of ours", nil, 0},
		{"a page of ours in an old browser", map[string]string{"Sec-Fetch-Site": "", "Origin": w.server.URL}, 0},
		{"a page of ours in a very old browser", map[string]string{"Sec-Fetch-Site": "", "Referer": w.server.URL + "/account"}, 0},
	}
	for path, methods := range routesOf(w) {
		if !slices.Contains(methods, "POST") || path == "/logout" || path == "/account/sessions" {
			continue
		}
		for _, tt := range tests {
			a := b.do("POST", filled(w, path), url.Values{"theme": {"dark"}}, tt.header)
			if refused := a.status == 403 || a.status == 415; refused != (tt.status != 0) || refused && a.status != tt.status {
				t.Errorf("%s to %s: %d, want %d", tt.name, path, a.status, tt.status)
			}
		}
	}
	// What ends sessions is tried to the end: it is still there after each, and gone after the last.
	for _, path := range []string{"/logout", "/account/sessions"} {
		for _, tt := range tests {
			if tt.status == 0 {
				continue
			}
			b.do("POST", path, url.Values{"others": {"1"}}, tt.header).is(t, tt.status).lacks(t, "<script>")
			b.get("/account").is(t, http.StatusOK)
			if b.cookie(auth.SessionCookie) != session {
				t.Fatalf("%s to %s took the cookie", tt.name, path)
			}
		}
	}
	b.post("/logout", nil).goes(t, "/signed-out?reason=signed-out")
}

func TestFormsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	b.post("/preferences", url.Values{"theme": {strings.Repeat("x", 64<<10-len("theme="))}}).goes(t, "/")
	b.post("/preferences", url.Values{"theme": {strings.Repeat("x", 64<<10)}}).is(t, http.StatusRequestEntityTooLarge, "could not be read")
	b.post("/preferences", url.Values{"theme": {"\xff"}}).is(t, http.StatusBadRequest, "could not be read")
	b.post("/preferences", url.Values{"x\xff": {""}}).is(t, http.StatusBadRequest, "could not be read")
	b.do("POST", "/preferences?theme=dark", url.Values{}, nil).goes(t, "/")
	if b.cookie("__Host-theme") != "" {
		t.Error("a form was read out of the address")
	}
}

// TestFormsOfTheStaffAreLarge: what is legal fits, as a browser sends it. Whoever is not of the staff sends no more than
// anybody.
func TestFormsOfTheStaffAreLarge(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	boss := w.SignIn(w.Boss)
	var menus []string
	for i := range 100 {
		menus = append(menus, fmt.Sprintf("%02d", i)+strings.Repeat("é", 127))
	}
	path := "/environments/" + w.Fjord.Production.ID.String() + "/integration"
	if got := boss.Post(path, "enabled", "1", "tenant", w.Fjord.Tenant.ID.String(), "groups", w.Fjord.GroupID, "menus", strings.Join(menus, "\r\n")); got.To != path+"?done=integration-saved" {
		t.Errorf("%d, to %q\n%s", got.Status, got.To, got.Body)
	}
	if got, err := w.App.Desk().Integration(t.Context(), apptest.Operator, w.Fjord.Production.ID); err != nil || !slices.Equal(got.DefaultMenus, menus) {
		t.Errorf("%d menus, %v", len(got.DefaultMenus), err)
	}

	path = "/tenants/" + w.Fjord.Tenant.ID.String() + "/credentials"
	want(t, boss.Post(path, "for", "graph", "kind", "certificate", "certificate", strings.Repeat("+", 64<<10)), http.StatusUnprocessableEntity, "not PEM")
	typed := func(bytes int) []string {
		return []string{"for", "graph", "secret", strings.Repeat("x", bytes-len("for=graph&secret="))}
	}
	want(t, boss.Post(path, typed(1<<20)...), http.StatusUnprocessableEntity, "longer than 1024")
	want(t, boss.Post(path, typed(1<<20+1)...), http.StatusRequestEntityTooLarge, "could not be read")
	plain := w.SignIn(w.Fjord.Plain)
	want(t, plain.Post(path, typed(1<<17)...), http.StatusForbidden)
	want(t, w.SignIn(nil).Post(path, typed(1<<17)...), http.StatusSeeOther)
	want(t, plain.Post("/account/second-factor", typed(64<<10+1)...), http.StatusRequestEntityTooLarge)
	want(t, w.SignIn(nil).Post("/operator", typed(64<<10+1)...), http.StatusRequestEntityTooLarge)
}

// TestTooManyTries sees that what needs no session, and begins or ends a sign-in, is limited, and the rest not.
func TestTooManyTries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	b := w.browser()
	b.signIn("Marta", "")
	wait := 2500 * time.Millisecond
	w.limit.Store(&wait)
	limited := map[string]bool{"POST /login": true, "GET /login/environment/{id}": true, "GET /auth/callback": true, "POST /operator": true,
		"POST /operator/link/{link}": true, "POST /setup/{link}": true, "POST /password": true, "POST /password/{link}": true,
		"POST /connect/{link}/token": true, "POST /connect/{link}/rotate": true, "POST /connect/{link}/ids": true, "POST /connect/{link}/credential": true, "POST /connect/{link}/test": true}
	for _, r := range w.console.Routes() {
		var form url.Values
		if r.Method == http.MethodPost {
			form = url.Values{"others": {"1"}}
		}
		if r.Path == "/logout" {
			continue // at the end
		}
		a := b.do(r.Method, filled(w, r.Path), form, nil)
		if is := a.status == http.StatusTooManyRequests; is != limited[r.Method+" "+r.Path] {
			t.Errorf("%s %s: %d", r.Method, r.Path, a.status)
		} else if is && (a.header.Get("Retry-After") != "3" || !strings.Contains(a.body, "Wait 3 s.")) {
			t.Errorf("%s %s: Retry-After %q\n%s", r.Method, r.Path, a.header.Get("Retry-After"), a.body)
		}
	}
	b.post("/logout", nil).goes(t, "/signed-out?reason=signed-out") // whoever wants to go may go
}

// TestOtherSitesUseUpNoTries: what a page elsewhere has a browser load begins no sign-in and counts for nothing.
func TestOtherSitesUseUpNoTries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	b := w.browser()
	wait := time.Second
	w.limit.Store(&wait)
	for _, path := range []string{"/login/environment/{id}", "/auth/callback"} {
		for dest, want := range map[string]int{"image": 403, "iframe": 403, "empty": 403, "script": 403, "document": 429, "": 429} {
			header := map[string]string{}
			if dest != "" {
				header["Sec-Fetch-Dest"] = dest
			}
			if a := b.do("GET", filled(w, path), nil, header); a.status != want || a.to != "" {
				t.Errorf("%s as %q: %d, to %q, want %d", path, dest, a.status, a.to, want)
			}
		}
	}
}

// TestAStoreThatFailsLetsNobodyIn asks for everything while the store cannot be read.
func TestAStoreThatFailsLetsNobodyIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	b := w.browser()
	b.signIn("Marta", "")
	w.store.views.Store(true)
	for _, r := range w.console.Routes() {
		if r.Access != console.SignedIn {
			continue
		}
		var form url.Values
		if r.Method == http.MethodPost {
			form = url.Values{}
		}
		b.do(r.Method, r.Path, form, nil).is(t, http.StatusInternalServerError, "Something went wrong", "request-").lacks(t, "Marta", errStore.Error())
	}
	b.get("/login").is(t, http.StatusInternalServerError)
	w.store.views.Store(false)
	if log := w.logged.String(); !strings.Contains(log, errStore.Error()) || strings.Contains(log, "Marta") || strings.Contains(log, b.cookie(auth.SessionCookie)) {
		t.Errorf("the log:\n%s", log)
	}
	// Signing out that cannot be written is not said to be done, but the browser is rid of its cookie.
	w.store.updates.Store(true)
	a := b.post("/logout", nil).is(t, http.StatusInternalServerError)
	if !strings.HasPrefix(a.header.Get("Set-Cookie"), auth.SessionCookie+"=; ") {
		t.Errorf("Set-Cookie %q", a.header.Get("Set-Cookie"))
	}
	if directory.KindOf(errStore) != directory.Internal {
		t.Error("the failure is of another kind")
	}
}
