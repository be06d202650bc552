package console_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/console"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/entrasim"
)

func TestSignInByTheLinkOfAnEnvironment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	b := w.browser()
	begun := b.get("/login/environment/"+w.env.ID.String()+"?next=/account").is(t, http.StatusSeeOther)
	if !strings.HasPrefix(begun.to, w.graph.LoginURL()+w.entra.ID()+"/") {
		t.Errorf("the browser is sent to %q", begun.to)
	}
	back := b.atDirectory(begun.to, w.people["Marta"])
	done := b.get(back).goes(t, "/account")
	if done.body != "" || done.header.Get("Referrer-Policy") != "no-referrer" || done.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the answer with the code in its address: %q %v", done.body, done.header)
	}
	if b.cookie(auth.SessionCookie) == "" || b.cookie("__Host-tenant") != w.tenant.ID.String() {
		t.Error("no session, or the organization is not remembered")
	}
	for _, line := range done.header.Values("Set-Cookie") {
		if name, _, _ := strings.Cut(line, "="); name == "__Host-tenant" && !strings.Contains(line, "Max-Age=15552000;") {
			t.Errorf("the organization is remembered as %q", line)
		}
		for _, part := range []string{"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} {
			if !strings.Contains(line, part) {
				t.Errorf("%q without %s", line, part)
			}
		}
	}
	b.get("/").is(t, http.StatusOK, "Hello, Marta Berg", "Fjord Logistics", "Production", `href="https://app.bizzstream.example/"`).lacks(t, "Administrator", "Operator")
	// Back in the browser: the address with the code signs nobody in again, and the session goes on.
	b.get(back).is(t, http.StatusBadRequest, `id="again"`).lacks(t, back[strings.Index(back, "code="):])
	b.get("/account").is(t, http.StatusOK)
	must(w.svc.SetAdministrator(t.Context(), operator, w.users["Marta"].AccountID, w.env.ID, true))
	b.get("/").is(t, http.StatusOK, "Administrator")
}

func TestTheAttemptIsTakenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	b := w.browser()
	begun := b.get("/login/environment/" + w.env.ID.String())
	attempts := func() (n int) {
		for _, c := range b.client.Jar.Cookies(must(url.Parse(w.server.URL))) {
			if strings.HasPrefix(c.Name, "__Host-login-") {
				n++
			}
		}
		return n
	}
	if attempts() != 1 {
		t.Fatalf("%d attempts", attempts())
	}
	b.get(b.atDirectory(begun.to, w.people["Marta"])).goes(t, "/")
	if attempts() != 0 {
		t.Errorf("%d attempts are left behind", attempts())
	}
	for range 9 {
		b.get("/login/environment/"+w.env.ID.String()).is(t, http.StatusSeeOther)
	}
	if n := attempts(); n == 0 || n > 5 {
		t.Errorf("%d attempts in one browser", n)
	}
}

// TestHeadEndsNothing: programs that look at links with HEAD must not spend what a person needs.
func TestHeadEndsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	b := w.browser()
	back := b.atDirectory(b.get("/login/environment/"+w.env.ID.String()).to, w.people["Marta"])
	b.do("HEAD", back, nil, nil).is(t, http.StatusMethodNotAllowed)
	b.get(back).goes(t, "/")
}

func TestWhatIsNotSetUpLooksLikeWhatIsNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	org := must(w.svc.CreateOrganization(ctx, operator, "Elsewhere"))
	bare := must(w.svc.CreateTenant(ctx, operator, directory.Tenant{Name: "bare", OrganizationIDs: []directory.ID{org.ID}, SignIn: directory.SignIn{Label: "Secret GmbH", Contact: "x@secret.example"}}))
	noCredential := must(w.svc.CreateTenant(ctx, operator, directory.Tenant{Name: "half", OrganizationIDs: []directory.ID{org.ID}, DirectoryID: "11111111-1111-4111-8111-111111111111",
		SignIn: directory.SignIn{ClientID: "22222222-2222-4222-8222-222222222222", Label: "Secret GmbH", Contact: "x@secret.example"}}))
	env := func(name string, on bool, tenant *directory.ID) string {
		e := must(w.svc.CreateEnvironment(ctx, operator, org.ID, name))
		_, _, err := w.svc.SetIntegration(ctx, operator, e.ID, directory.IntegrationInput{Enabled: &on, TenantID: tenant, Groups: []string{"c0ffee00-0000-4000-8000-000000000001"}})
		if err != nil && on {
			t.Fatal(err)
		}
		return e.ID.String()
	}
	unknown := w.browser().get("/login/environment/018f0000-0000-7000-8000-00000000dead").is(t, http.StatusNotFound, "Sign-in is not set up", "/login")
	normal := func(a answer) string {
		text := a.body
		for _, part := range []string{"request-07", "request-007", "request-7"} {
			text = strings.ReplaceAll(text, part, "request")
		}
		i := strings.Index(text, "<time")
		return text[:i] + text[strings.Index(text[i:], "</time>")+i:]
	}
	for name, id := range map[string]string{"no id": "x", "off": env("Off", false, &w.tenant.ID), "a tenant without sign-in": env("Bare", true, &bare.ID), "a tenant without a credential": env("Half", true, &noCredential.ID)} {
		a := w.browser().get("/login/environment/"+id).is(t, http.StatusNotFound).lacks(t, "Secret GmbH", "x@secret.example")
		if normal(a) != normal(unknown) {
			t.Errorf("%s differs:\n%s", name, a.main())
		}
	}
	w.browser().post("/login", url.Values{"tenant": {noCredential.ID.String()}}).is(t, http.StatusNotFound).lacks(t, "Secret GmbH")
	w.browser().post("/login", url.Values{"tenant": {"x"}}).is(t, http.StatusNotFound, "Sign-in is not set up")
	// The environment that is off: its tenant is one that works.
	off := must(w.svc.CreateEnvironment(ctx, operator, must(w.svc.CreateOrganization(ctx, operator, "Third")).ID, "Off too"))
	w.browser().get("/login/environment/"+off.ID.String()).is(t, http.StatusNotFound)
	no := false
	_, _, err := w.svc.SetIntegration(ctx, operator, w.env.ID, directory.IntegrationInput{Enabled: &no})
	w.ok(err)
	w.browser().get("/login/environment/"+w.env.ID.String()).is(t, http.StatusNotFound, "Sign-in is not set up").lacks(t, "Fjord")
}

func TestTheChooser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	b := w.browser()
	b.get("/login?next=/account").is(t, http.StatusOK, `name="next" value="/account"`, `href="/operator?next=%2faccount"`, `<label for="email">Work e-mail address</label>`).lacks(t, "Continue with", "You are signed in")

	for _, typed := range []string{"eva@fjord.example", " Eva@FJORD.example ", "fjord.example"} {
		there := b.post("/login", url.Values{"email": {typed}, "next": {"/account"}}).onward(t)
		hint := must(url.Parse(there)).Query().Get("login_hint")
		if want := strings.TrimSpace(typed); strings.Contains(typed, "@") && hint != want || !strings.Contains(typed, "@") && hint != "" {
			t.Errorf("%q: login_hint %q", typed, hint)
		}
		if strings.Contains(typed, "fjord") {
			b.get(b.atDirectory(there, w.people["Marta"])).goes(t, "/account")
		}
	}
	b.get("/login").is(t, http.StatusOK, "You are signed in as Marta Berg.", "Sign in again with Fjord Logistics")
	b.post("/logout", nil)
	again := b.get("/login").is(t, http.StatusOK, "Continue with Fjord Logistics").lacks(t, "You are signed in")
	b.post("/login", url.Values{"tenant": {again.hidden(t, "tenant")}, "next": {"/"}}).onward(t)
	// A tenant that signs nobody in any more is not offered.
	must(w.svc.SetTenant(t.Context(), operator, w.tenant.ID, func(tenant *directory.Tenant) error { tenant.SignIn.ClientID = ""; return nil }))
	b.get("/login").is(t, http.StatusOK).lacks(t, "Fjord Logistics", "entra")
	b.post("/login", url.Values{"email": {"eva@fjord.example"}}).is(t, http.StatusUnprocessableEntity)
}

func TestUnknownAndAmbiguousDomainsLookAlike(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org := must(w.svc.CreateOrganization(t.Context(), operator, "Two"))
	for i, name := range []string{"one", "two"} {
		must(w.svc.CreateTenant(t.Context(), operator, directory.Tenant{Name: name, OrganizationIDs: []directory.ID{org.ID}, TrustedDomains: []string{"shared.example"},
			DirectoryID: "11111111-1111-4111-8111-11111111111" + strconv.Itoa(i), SignIn: directory.SignIn{ClientID: "22222222-2222-4222-8222-22222222222" + strconv.Itoa(i)}}))
	}
	unknown := w.browser().post("/login", url.Values{"email": {"eva@nowhere.example"}, "next": {"/account"}}).is(t, http.StatusUnprocessableEntity,
		"Use the sign-in link of your environment", `value="eva@nowhere.example"`, `aria-invalid="true"`, `aria-describedby="email-error"`, `name="next" value="/account"`, "autofocus")
	several := w.browser().post("/login", url.Values{"email": {"eva@shared.example"}, "next": {"/account"}}).is(t, http.StatusUnprocessableEntity)
	if strings.ReplaceAll(several.body, "shared.example", "nowhere.example") != unknown.body {
		t.Error("who asks learns whether a domain is known")
	}
	for _, typed := range []string{"", "eva", "a b@fjord.example", "eva@fjord.example\x00", "eva@fjord.example\r\nX: y", strings.Repeat("x", 320) + ".example"} {
		w.browser().post("/login", url.Values{"email": {typed}}).is(t, http.StatusUnprocessableEntity, "Enter your full e-mail address")
	}
}

// Addresses that lead elsewhere, in whatever a person can be made to click.
var elsewhere = []string{"https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "/%2f%2fevil.example", "https:evil.example",
	"javascript:alert(1)", "/ok\r\nSet-Cookie: a=b", "@evil.example", "/\t/evil.example", "///evil.example", "/%5cevil.example", "/.//evil.example", "data:text/html,x", " //evil.example"}

func TestNobodyIsLedElsewhere(t *testing.T) {
	skipShort(t)
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	w.localOperator("ops@bizzstream.example", "Olga", "correct horse battery")
	for i, next := range elsewhere {
		q := url.QueryEscape(next)
		if got := w.browser().get("/login?next="+q).is(t, http.StatusOK).hidden(t, "next"); got != "/" {
			t.Errorf("%q: /login hands on %q", next, got)
		}
		b := w.browser()
		b.signIn("Marta", next).goes(t, "/")
		b.get("/login?next="+q).is(t, http.StatusOK, `<a class="button wide" href="/">`)
		b.get("/signed-out?next="+q).is(t, http.StatusOK, `<a class="button" href="/">`)
		b.do("POST", "/logout", url.Values{"next": {next}}, nil).goes(t, "/signed-out?reason=signed-out")
		b.get("/signed-out?next="+q).is(t, http.StatusOK, `<a class="button wide" href="/login">`)
		b.post("/preferences", url.Values{"next": {next}, "theme": {"dark"}}).goes(t, "/")
		started := w.browser()
		there := started.post("/login", url.Values{"email": {"eva@fjord.example"}, "next": {next}}).onward(t)
		started.get(started.atDirectory(there, w.people["Marta"])).goes(t, "/")
		if i >= 4 { // a password costs time
			continue
		}
		b.post("/operator", url.Values{"email": {"ops@bizzstream.example"}, "password": {"correct horse battery"}, "next": {next}}).goes(t, "/")
	}
	b := w.browser()
	b.signIn("Marta", "/app/orders?page=2&x=%20").goes(t, "/app/orders?page=2&x=%20")
}

// TestOnlyTheBrowserThatBeganEnds: a callback without the attempt's cookie signs nobody in.
func TestOnlyTheBrowserThatBeganEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	begun := w.browser().get("/login/environment/" + w.env.ID.String())
	victim := w.browser()
	back := victim.atDirectory(begun.to, w.people["Marta"])
	victim.get(back).is(t, http.StatusBadRequest, "Please start again")
	if victim.cookie(auth.SessionCookie) != "" {
		t.Error("a session came of another browser's sign-in")
	}
	for _, q := range []string{"", "?code=x&state=y", "?error=access_denied&error_description=%3Cscript%3Ealert(1)%3C/script%3E", "?state=a&state=b"} {
		w.browser().get("/auth/callback"+q).is(t, http.StatusBadRequest, "Please start again").lacks(t, "alert(1)")
	}
}

func TestASessionThatIsPlantedIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	b := w.browser()
	planted := auth.NewSessionSecret().Text
	b.client.Jar.SetCookies(must(url.Parse(w.server.URL)), []*http.Cookie{{Name: auth.SessionCookie, Value: planted, Path: "/", Secure: true}})
	b.signIn("Marta", "")
	first := b.cookie(auth.SessionCookie)
	if first == planted || first == "" {
		t.Fatal("the planted session was taken over")
	}
	b.signIn("Marta", "")
	if b.cookie(auth.SessionCookie) == first {
		t.Error("a new sign-in kept the old session")
	}
	a := w.browser().do("GET", "/account", nil, map[string]string{"Cookie": auth.SessionCookie + "=" + first}).goes(t, "/login?next=%2Faccount")
	if len(a.header.Values("Set-Cookie")) != 0 {
		t.Error("an old tab takes the new session's cookie away")
	}
}

func TestWhatMicrosoftRefusesIsExplained(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.person("Marta", "Marta Berg")
	for number, want := range map[int][]string{
		53003: {"A rule of your organization blocks this sign-in", `name="tenant"`},
		50105: {"BizzStream is not assigned to you", `name="prompt" value="select_account"`},
		65004: {"Sign-in cancelled"},
		50076: {"More proof is needed"},
		90033: {"does not answer"},
	} {
		w.ok(w.graph.Trouble(p.ID, entrasim.Trouble{Number: number, Redirect: true}))
		b := w.browser()
		a := b.signIn("Marta", "/account")
		if a.status < 400 {
			t.Errorf("%d: status %d", number, a.status)
		}
		a.is(t, a.status, want...)
		n := strconv.Itoa(number)
		a.is(t, a.status, "https://login.microsoftonline.com/error?code="+n, "AADSTS"+n, "Correlation ID", "Trace ID", "request-",
			"Fjord Logistics", `href="mailto:servicedesk@fjord.example"`, `name="next" value="/account"`)
		if b.cookie(auth.SessionCookie) != "" {
			t.Errorf("%d: a session", number)
		}
		w.ok(w.graph.Trouble(p.ID, entrasim.Trouble{}))
	}
	// Trying again with another account asks for it.
	b := w.browser()
	there := b.post("/login", url.Values{"tenant": {w.tenant.ID.String()}, "prompt": {"select_account"}, "next": {"/account"}}).onward(t)
	if got := must(url.Parse(there)).Query().Get("prompt"); got != "select_account" {
		t.Errorf("prompt %q", got)
	}
	there = b.post("/login", url.Values{"tenant": {w.tenant.ID.String()}, "prompt": {"none"}}).onward(t)
	if got := must(url.Parse(there)).Query().Get("prompt"); got != "" {
		t.Errorf("a form chose prompt %q", got)
	}
}

func TestWhoMayNotComeInIsToldWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	w.people["Sigrid"] = w.entra.Hire(entrasim.Person{GivenName: "Sigrid", Surname: "Dahl"})
	w.browser().signIn("Sigrid", "").is(t, http.StatusForbidden, "You are not known here yet", "Fjord Logistics has not added you", "servicedesk@fjord.example")
	b := w.browser()
	begun := b.get("/login/environment/" + w.env.ID.String())
	back := b.atDirectory(begun.to, w.people["Marta"])
	w.deactivate("Marta") // between the beginning and the end
	b.get(back).is(t, http.StatusForbidden, "Your account is disabled").lacks(t, `id="again"`)
	if b.cookie(auth.SessionCookie) != "" {
		t.Error("a leaver got a session")
	}
}

// TestEveryProblem walks the pages of problems in both languages, with hostile texts in what a directory and an
// operator have set.
func TestEveryProblem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hostile := `"><script>alert(1)</script>`
	tenant := *w.tenant
	tenant.SignIn.Label, tenant.SignIn.Contact = hostile, "javascript:alert(1)"+hostile
	for _, code := range auth.ProblemCodes {
		for _, lang := range []string{"en", "nl"} {
			rec := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/auth/callback?code=secret-code&state=secret-state", nil)
			r.AddCookie(&http.Cookie{Name: "__Host-language", Value: lang})
			console.ShowProblem(w.console, rec, r, &auth.Problem{Code: code, Tenant: &tenant, OAuth: hostile, Number: "javascript:alert(1)", CorrelationID: hostile, TraceID: hostile, Next: "//evil.example"})
			a := answer{status: rec.Code, body: rec.Body.String()}
			if a.status < 400 {
				t.Errorf("%s: status %d", code, a.status)
			}
			a.is(t, a.status, `<html lang="`+lang+`"`, string(code), "&lt;script&gt;alert(1)&lt;/script&gt;")
			a.lacks(t, "<script>", "{organization}", "secret-code", "evil.example", `href="javascript`, "<no value>", "ZgotmplZ")
			if strings.Count(a.body, "<h1>") != 1 {
				t.Errorf("%s: not one heading", code)
			}
			rec = httptest.NewRecorder()
			console.ShowProblem(w.console, rec, r, &auth.Problem{Code: code}) // nothing else is known
			if body := rec.Body.String(); strings.Contains(body, "{") || strings.Contains(body, "Correlati") {
				t.Errorf("%s without anything:\n%s", code, body)
			}
		}
	}
	rec := httptest.NewRecorder()
	console.ShowProblem(w.console, rec, httptest.NewRequestWithContext(t.Context(), "GET", "/auth/callback", nil), &auth.Problem{Code: "of a later version"})
	(answer{status: rec.Code, body: rec.Body.String()}).is(t, http.StatusInternalServerError, "Something went wrong")
}

func TestSignOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	b := w.browser()
	b.signIn("Marta", "")
	session := b.cookie(auth.SessionCookie)
	a := b.post("/logout", nil).goes(t, "/signed-out?reason=signed-out")
	if a.header.Get("Clear-Site-Data") != `"cache"` || b.cookie(auth.SessionCookie) != "" {
		t.Errorf("%v", a.header)
	}
	w.browser().do("GET", "/account", nil, map[string]string{"Cookie": auth.SessionCookie + "=" + session}).goes(t, "/login?next=%2Faccount")
	b.get(a.to).is(t, http.StatusOK, "You are signed out", `href="/login"`).lacks(t, "http-equiv", "Location")
	b.post("/logout", nil).goes(t, "/signed-out?reason=signed-out") // once more is no error

	b.signIn("Marta", "")
	session = b.cookie(auth.SessionCookie)
	a = b.post("/logout", url.Values{"directory": {"1"}}).is(t, http.StatusOK, "You are signed out of BizzStream. You go on")
	there := a.onward(t)
	if !strings.HasPrefix(there, w.graph.LoginURL()) || must(url.Parse(there)).Query().Get("post_logout_redirect_uri") != w.server.URL+"/signed-out" {
		t.Errorf("signing out of the directory goes to %q", there)
	}
	if a.header.Get("Clear-Site-Data") != `"cache"` || b.cookie(auth.SessionCookie) != "" {
		t.Errorf("%v", a.header)
	}
	w.browser().do("GET", "/", nil, map[string]string{"Cookie": auth.SessionCookie + "=" + session}).goes(t, "/login")
	d := w.graph.Browser()
	defer d.Close()
	o, err := d.SignOut(t.Context(), there, w.people["Marta"].ID)
	w.ok(err)
	if o.URL == nil || o.URL.RequestURI() != "/signed-out" {
		t.Errorf("the directory sends the browser to %v (page %q)", o.URL, o.Page)
	}
	b.get("/signed-out").is(t, http.StatusOK, "You are signed out")

	w.localOperator("ops@bizzstream.example", "Olga", "correct horse battery")
	b.post("/operator", url.Values{"email": {"ops@bizzstream.example"}, "password": {"correct horse battery"}})
	b.get("/").is(t, http.StatusOK, "Operator").lacks(t, "Sign out of Microsoft too")
	b.post("/logout", url.Values{"directory": {"1"}}).goes(t, "/signed-out?reason=signed-out") // there is none
}

// TestSignOutHereAlone: who wanted to sign out of the directory too is told when that came to nothing.
func TestSignOutHereAlone(t *testing.T) {
	t.Parallel()
	microsoft := func(*world) string { return "https://login.microsoftonline.com/" }
	login := func(w *world) string { return w.graph.LoginURL() }
	tests := map[string]struct {
		change func(w *world)
		where  func(w *world) string
	}{
		"the directory does not answer": {func(w *world) { w.signIn.logout.Store(true) }, login},
		"the credential was taken away": {func(w *world) {
			w.ok(w.svc.RemoveCredential(w.Context(), operator, w.tenant.ID, directory.SignInCredential))
		}, login},
		"the session had ended": {func(w *world) { w.clock.Advance(8 * time.Hour) }, login},
		"sign-in was taken away": {func(w *world) {
			must(w.svc.SetTenant(w.Context(), operator, w.tenant.ID, func(t *directory.Tenant) error { t.SignIn.ClientID = ""; return nil }))
		}, microsoft},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.person("Marta", "Marta Berg")
			b := w.browser()
			b.signIn("Marta", "")
			tt.change(w)
			a := b.post("/logout", url.Values{"directory": {"1"}}).goes(t, "/signed-out?reason=signed-out-here")
			if b.cookie(auth.SessionCookie) != "" {
				t.Error("the browser keeps its cookie")
			}
			link := `<a href="` + tt.where(w) + `">` + tt.where(w) + `</a>`
			b.get(a.to).is(t, http.StatusOK, "You may still be signed in at Microsoft", "but not of Microsoft", link, `href="/login"`).lacks(t, "You can close this window", "http-equiv")
			b.lang = "nl"
			b.get(a.to).is(t, http.StatusOK, "Misschien bent u nog aangemeld bij Microsoft", "maar niet bij Microsoft", link)
			b.get("/signed-out?reason=signed-out").is(t, http.StatusOK).lacks(t, tt.where(w))
		})
	}
	w := newWorld(t)
	w.browser().get("/signed-out?reason=signed-out-here").is(t, http.StatusOK, `<a href="https://login.microsoftonline.com/">`)
}

// TestNoPageNamesAnothersDirectory: a directory with a host of its own tells who is a customer.
func TestNoPageNamesAnothersDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	org := must(w.svc.CreateOrganization(t.Context(), operator, "Rival"))
	must(w.svc.CreateTenant(t.Context(), operator, directory.Tenant{Name: "rival", OrganizationIDs: []directory.ID{org.ID}, DirectoryID: "11111111-1111-4111-8111-111111111111",
		TrustedDomains: []string{"rival.example"}, Graph: directory.Graph{Cloud: "custom", LoginURL: "https://login.rival.example", GraphURL: "https://graph.rival.example"},
		SignIn: directory.SignIn{ClientID: "22222222-2222-4222-8222-222222222222", Label: "Rival"}}))
	remembers, nobody := w.browser(), w.browser()
	remembers.signIn("Marta", "")
	look := func(b *browser, method, path string, form url.Values, names ...string) {
		t.Helper()
		a := b.do(method, path, form, nil)
		text := a.body
		for key, values := range a.header {
			text += "\n" + key + ": " + strings.Join(values, ", ")
		}
		for _, name := range names {
			if strings.Contains(text, name) {
				t.Errorf("%s %s names %s:\n%s", method, path, name, text)
			}
		}
	}
	ours := strings.TrimPrefix(strings.TrimSuffix(w.graph.LoginURL(), "/"), "https://")
	for path, methods := range routesOf(w) {
		for _, method := range methods {
			if path == "/logout" {
				continue // at the end
			}
			var form url.Values
			if method == http.MethodPost {
				form = url.Values{"email": {"eva@nowhere.example"}}
			}
			look(remembers, method, filled(w, path), form, "rival.example")
			if path != "/login/environment/{id}" { // that leads to the directory
				look(nobody, method, filled(w, path), form, "rival.example", ours)
			}
		}
	}
	for _, reason := range []string{"deactivated", "signed-out-here"} {
		look(remembers, "GET", "/signed-out?reason="+reason, nil, "rival.example")
		look(nobody, "GET", "/signed-out?reason="+reason, nil, "rival.example", ours)
	}
	look(remembers, "POST", "/logout", url.Values{}, "rival.example", ours)
	look(remembers, "GET", "/signed-out?reason=signed-out", nil, "rival.example", ours)
	look(remembers, "GET", "/login", nil, "rival.example", ours) // its form names the tenant by id
}

// TestWhySessionsEnd ends a session in each way that a browser is told about, and goes on with its cookie.
func TestWhySessionsEnd(t *testing.T) {
	t.Parallel()
	tests := map[string]func(w *world, p *directory.Principal){
		"deactivated": func(w *world, _ *directory.Principal) { w.deactivate("Marta") },
		"expired": func(w *world, _ *directory.Principal) {
			w.clock.Advance(8*time.Hour - time.Second)
			w.clock.Advance(time.Second)
		},
		"idle": func(w *world, _ *directory.Principal) { w.clock.Advance(30 * time.Minute) },
		"revoked": func(w *world, p *directory.Principal) {
			must(w.svc.EndSessions(w.Context(), operator, p.Account.ID, directory.ID{}, directory.EndedRevoked))
		},
		"directory": func(w *world, p *directory.Principal) {
			must(w.svc.EndDirectorySession(w.Context(), directory.Actor{Channel: "console"}, w.tenant.ID, p.Session.SID))
		},
		"restored": func(w *world, _ *directory.Principal) { must(w.sessions.Resume(w.Context())) },
	}
	for reason, end := range tests {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.person("Marta", "Marta Berg")
			b := w.browser()
			b.signIn("Marta", "")
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
			r.AddCookie(&http.Cookie{Name: auth.SessionCookie, Value: b.cookie(auth.SessionCookie)})
			end(w, must(w.sessions.Check(r, true)))
			a := b.get("/account?x=1").goes(t, "/signed-out?next=%2Faccount%3Fx%3D1&reason="+reason)
			if b.cookie(auth.SessionCookie) != "" {
				t.Error("the browser keeps a dead cookie")
			}
			page := b.get(a.to).is(t, http.StatusOK, `data-reason="`+reason+`"`, `href="/login?next=%2faccount%3fx%3d1"`).lacks(t, "You are not signed in")
			if has := strings.Contains(page.body, "servicedesk@fjord.example"); has != (reason == "deactivated") {
				t.Errorf("whom to ask: %t", has)
			}
			b.get("/account?x=1").goes(t, "/login?next=%2Faccount%3Fx%3D1") // told once
			sent := b.post("/account/second-factor", nil).goes(t, "/signed-out?next=%2Faccount%2Fsecond-factor&reason=unknown&unsaved=1")
			b.get(sent.to).is(t, http.StatusOK, "not saved", `href="/login?next=%2faccount%2fsecond-factor"`)
		})
	}
}

func TestTheSignedOutPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	b := w.browser()
	for query, want := range map[string]string{
		"": "You are signed out", "?reason=": "You are signed out", "?reason=unknown": "You are not signed in", "?reason=nonsense": "You are not signed in",
		"?reason=%3Cscript%3E": "You are not signed in", "?reason=signed+out": "You are not signed in", "?reason=signed-out": "You are signed out",
		"?reason=expired": "Your session has ended", "?reason=replaced": "Signed in elsewhere", "?reason=password": `href="/operator"`, "?reason=deactivated": "Your access has ended",
	} {
		a := b.get("/signed-out"+query).is(t, http.StatusOK, want)
		if a.to != "" || a.header.Get("Refresh") != "" || strings.Contains(a.body, "http-equiv") {
			t.Errorf("%s leads on by itself", query)
		}
	}
	b.signIn("Marta", "")
	b.get("/signed-out?reason=deactivated").is(t, http.StatusOK, "You are signed in as Marta Berg").lacks(t, "Your access has ended")
}

// TestWithoutScripts: the page leaves by itself when the session is over.
func TestWithoutScripts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	b := w.browser()
	b.signIn("Marta", "")
	w.clock.Advance(20 * time.Minute)
	a := b.get("/").is(t, http.StatusOK, "7 h ", `data-expires="`, `data-again href="/login?next=%2f"`, `data-account="`+w.users["Marta"].AccountID.String()+`"`)
	_, rest, _ := strings.Cut(a.body, `<noscript><meta http-equiv="refresh" content="`)
	n, _, _ := strings.Cut(rest, ";")
	left := 8*time.Hour - 20*time.Minute
	if s, err := strconv.Atoi(n); err != nil || s > int(left/time.Second)+1 || s < int(left/time.Second)-60 {
		t.Errorf("refresh after %q s", n)
	}
	if !strings.HasPrefix(rest, n+`; url=/signed-out?reason=expired"></noscript>`) {
		t.Errorf("refresh %q", rest[:60])
	}
	b.get("/login").is(t, http.StatusOK).lacks(t, "http-equiv", "data-expires")
}

func TestPreferences(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	b.lang = "nl-NL,nl;q=0.9"
	b.get("/login").is(t, http.StatusOK, `<html lang="nl" data-theme="auto">`, "Aanmelden", `value="nl" lang="nl" aria-pressed="true"`, `content="light dark"`)
	b.post("/preferences", url.Values{"language": {"en"}, "next": {"/login?next=/account"}}).goes(t, "/login?next=/account")
	b.post("/preferences", url.Values{"theme": {"dark"}, "language": {"xx"}}).goes(t, "/")
	b.get("/login").is(t, http.StatusOK, `<html lang="en" data-theme="dark">`, `<meta name="color-scheme" content="dark">`, `value="dark" aria-pressed="true"`)
	b.post("/preferences", url.Values{"theme": {`"><script>`}})
	if got := b.cookie("__Host-theme"); got != "dark" {
		t.Errorf("theme %q", got)
	}
	fresh := w.browser()
	fresh.lang = b.lang
	fresh.do("GET", "/login", nil, map[string]string{"Cookie": `__Host-theme=neon; __Host-language=de`}).is(t, http.StatusOK, `<html lang="nl" data-theme="auto">`)
	fresh.do("GET", "/login", nil, map[string]string{"Cookie": `__Host-theme="><script>; __Host-language=../x`}).is(t, http.StatusOK, `<html lang="nl" data-theme="auto">`)
}

func TestStaticFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	page := b.get("/login").body
	for _, name := range []string{"style", "session", "icon"} {
		_, rest, _ := strings.Cut(page, `"/static/`+name+".")
		rest, _, _ = strings.Cut(rest, `"`)
		path := "/static/" + name + "." + rest
		a := b.get(path).is(t, http.StatusOK)
		if a.header.Get("Cache-Control") != "public, max-age=31536000, immutable" || a.header.Get("Content-Type") == "" || len(a.body) < 200 {
			t.Errorf("%s: %v", path, a.header)
		}
		if strings.Contains(a.body, "http://") && name != "icon" || strings.Contains(a.body, "https://") {
			t.Errorf("%s names something outside", path)
		}
	}
	for _, path := range []string{"/static/style.css", "/static/session.js", "/static/style.0000000000000000.css", "/static/..%2fdoc.go", "/static/"} {
		if a := b.get(path); a.status != http.StatusNotFound || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, %q", path, a.status, a.header.Get("Cache-Control"))
		}
	}
}
