package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

const good, better = "correct horse battery", "a quite different staple"

func (b *browser) operator(email, password, code string) answer {
	b.w.Helper()
	return b.post("/operator", url.Values{"email": {email}, "password": {password}, "code": {code}})
}

// sessionIDs are those that the account's page offers to end, in its order.
func sessionIDs(page string) (ids []string) {
	for _, part := range strings.Split(page, `name="session" value="`)[1:] {
		id, _, _ := strings.Cut(part, `"`)
		ids = append(ids, id)
	}
	return ids
}

func TestOwnSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	w.person("Jonas", "Jonas Vos")
	here, there, third, other := w.browser(), w.browser(), w.browser(), w.browser()
	for _, b := range []*browser{there, third, here} {
		b.signIn("Marta", "")
		w.clock.Advance(time.Second)
	}
	other.signIn("Jonas", "")
	page := here.get("/account").is(t, http.StatusOK, "Where you are signed in", "With Fjord Logistics", "192.0.2.1", "Sign out everywhere else")
	ids := sessionIDs(page.body)
	if len(ids) != 3 || strings.Count(page.body, "This browser") != 1 || strings.Index(page.body, "This browser") > strings.Index(page.body, ids[0]) {
		t.Fatalf("sessions %q:\n%s", ids, page.body)
	}
	page.lacks(t, here.cookie(auth.SessionCookie), there.cookie(auth.SessionCookie))
	here.post("/account/sessions", url.Values{"session": {ids[1]}}).goes(t, "/account?done=session-ended")
	here.get("/account?done=session-ended").is(t, http.StatusOK, "That session is signed out.")
	here.get("/account?done=nonsense").is(t, http.StatusOK).lacks(t, `class="flash"`)
	third.get("/account").goes(t, "/signed-out?next=%2Faccount&reason=revoked")
	there.get("/account").is(t, http.StatusOK)
	// Another's session is not there, and stays.
	theirs := sessionIDs(other.get("/account").body)
	here.post("/account/sessions", url.Values{"session": {theirs[0]}}).is(t, http.StatusNotFound)
	here.post("/account/sessions", url.Values{"session": {"x"}}).is(t, http.StatusNotFound)
	other.get("/account").is(t, http.StatusOK)

	here.post("/account/sessions", url.Values{"others": {"1"}}).goes(t, "/account?done=others-ended")
	there.get("/account").goes(t, "/signed-out?next=%2Faccount&reason=revoked")
	page = here.get("/account").is(t, http.StatusOK).lacks(t, "Sign out everywhere else")
	other.get("/account").is(t, http.StatusOK)
	// This one: as signing out.
	a := here.post("/account/sessions", url.Values{"session": {sessionIDs(page.body)[0]}}).goes(t, "/signed-out?reason=signed-out")
	if a.header.Get("Clear-Site-Data") != `"cache"` || here.cookie(auth.SessionCookie) != "" {
		t.Error("the browser was not cleaned")
	}
}

func TestSessionsThatAreVoidAreNotListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	first, second := w.browser(), w.browser()
	first.signIn("Marta", "")
	must(w.sessions.Resume(t.Context())) // without a witness everything before is void
	second.signIn("Marta", "")
	if ids := sessionIDs(second.get("/account").body); len(ids) != 1 {
		t.Errorf("%d sessions are listed", len(ids))
	}
}

func TestPasswordsOfExternalUsersAreManagedElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	b := w.browser()
	b.signIn("Marta", "")
	b.get("/account").is(t, http.StatusOK, "Your password is managed by Fjord Logistics", `href="https://aka.ms/sspr"`, "Fjord Logistics manages these details").lacks(t, `type="password"`, "second-factor")
	must(w.svc.SetTenant(t.Context(), operator, w.tenant.ID, func(tenant *directory.Tenant) error {
		tenant.SignIn.PasswordURL = "https://password.fjord.example/change"
		return nil
	}))
	b.get("/account").is(t, http.StatusOK, `href="https://password.fjord.example/change"`)
	b.post("/account/password", url.Values{"old": {"x"}, "password": {better}, "again": {better}}).is(t, http.StatusConflict, "Managed by your organization", "The password of this account is managed by Fjord Logistics, in its own directory.")
	if a := b.get("/account/second-factor"); a.status < 400 {
		t.Errorf("an external user sets up a second factor: %d", a.status)
	}
}

func TestChangeOfAPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.localOperator("ops@bizzstream.example", "Olga", good)
	b, elsewhere := w.browser(), w.browser()
	b.operator("ops@bizzstream.example", good, "").goes(t, "/")
	elsewhere.operator("ops@bizzstream.example", good, "").goes(t, "/")
	change := func(old, password, again string) answer {
		return b.post("/account/password", url.Values{"old": {old}, "password": {password}, "again": {again}})
	}
	change(good, better, better+"!").is(t, http.StatusUnprocessableEntity, `id="again-error"`, "are not the same").lacks(t, better, good)
	change("wrong", better, better).is(t, http.StatusUnprocessableEntity, `id="old-error"`, "not your current password").lacks(t, better, `value="wrong"`)
	change(good, "short", "short").is(t, http.StatusUnprocessableEntity, `id="password-error"`, "at least 12 characters").lacks(t, `value="short"`)
	b.get("/account").is(t, http.StatusOK)
	change(good, better, better).goes(t, "/signed-out?reason=password")
	if b.cookie(auth.SessionCookie) != "" {
		t.Error("the browser keeps its cookie")
	}
	b.get("/signed-out?reason=password").is(t, http.StatusOK, "The password was changed", `href="/operator"`)
	elsewhere.get("/account").goes(t, "/signed-out?next=%2Faccount&reason=password")
	b.operator("ops@bizzstream.example", good, "").is(t, http.StatusUnprocessableEntity)
	b.operator("ops@bizzstream.example", better, "").goes(t, "/")
}

func TestSecondFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.localOperator("ops@bizzstream.example", "Olga", good)
	b := w.browser()
	b.operator("ops@bizzstream.example", good, "")
	b.get("/account").is(t, http.StatusOK, "Set up a second factor")
	page := b.get("/account/second-factor").is(t, http.StatusOK, `src="data:image/png;base64,`, `type="password" autocomplete="current-password"`)
	_, secret, _ := strings.Cut(page.body, `<code class="secret">`)
	secret, _, _ = strings.Cut(secret, "<")
	secret = strings.ReplaceAll(secret, " ", "")
	sealed := page.hidden(t, "sealed")
	code := must(totp.GenerateCode(secret, w.clock.Now()))
	for _, password := range []string{"", "wrong"} {
		stranger := b.post("/account/second-factor", url.Values{"password": {password}, "sealed": {sealed}, "code": {code}}).is(t, http.StatusUnprocessableEntity,
			`id="password-error"`, "not your current password", "Show a new QR code").lacks(t, secret, `id="code-error"`, `value="wrong"`)
		if stranger.hidden(t, "sealed") != sealed {
			t.Error("a wrong password loses what was begun")
		}
	}
	b.get("/account").is(t, http.StatusOK, "Set up a second factor")
	wrong := b.post("/account/second-factor", url.Values{"password": {good}, "sealed": {sealed}, "code": {"00000"}}).is(t, http.StatusUnprocessableEntity,
		`id="code-error"`, "Show a new QR code").lacks(t, secret, good, `id="password-error"`)
	if wrong.hidden(t, "sealed") != sealed {
		t.Error("a wrong code loses what was begun")
	}
	b.post("/account/second-factor", url.Values{"password": {good}, "sealed": {"x"}, "code": {code}}).is(t, http.StatusUnprocessableEntity, `id="code-error"`)
	b.post("/account/second-factor", url.Values{"password": {good}, "sealed": {sealed}, "code": {code[:3] + " " + code[3:]}}).goes(t, "/account?done=factor-set")
	b.get("/account?done=factor-set").is(t, http.StatusOK, "The second factor is on.", "A code is asked for").lacks(t, "Set up a second factor")
	b.get("/account/second-factor").goes(t, "/account")
	b.post("/account/second-factor", url.Values{"password": {good}, "sealed": {sealed}, "code": {code}}).goes(t, "/account")
	b.post("/logout", nil)

	asked := b.operator("ops@bizzstream.example", good, "").is(t, http.StatusUnprocessableEntity, "<details open>", "Enter the code of your authenticator", `value="ops@bizzstream.example"`).lacks(t, good, secret)
	if b.cookie(auth.SessionCookie) != "" {
		t.Fatalf("a session without a code:\n%s", asked.body)
	}
	w.clock.Advance(30 * time.Second)
	b.operator("ops@bizzstream.example", good, must(totp.GenerateCode(secret, w.clock.Now()))).goes(t, "/")

	b.post("/account/second-factor/remove", url.Values{"password": {"wrong"}}).is(t, http.StatusUnprocessableEntity, `id="remove-error"`, "<details open>")
	b.post("/account/second-factor/remove", url.Values{"password": {good}}).goes(t, "/account?done=factor-removed")
	b.get("/account?done=factor-removed").is(t, http.StatusOK, "Set up a second factor")
	b.post("/account/second-factor/remove", url.Values{"password": {good}}).is(t, http.StatusNotFound)
}

func TestOperatorSignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.localOperator("ops@bizzstream.example", "Olga", good)
	b := w.browser()
	b.get("/operator?next=/account").is(t, http.StatusOK, `name="next" value="/account"`, `autocomplete="current-password"`, "<details>").lacks(t, "role=\"alert\"")
	for _, email := range []string{"ops@bizzstream.example", "nobody@bizzstream.example"} {
		a := b.operator(email, "wrong password", "").is(t, http.StatusUnprocessableEntity, "is not right", `role="alert"`, `value="`+email+`"`).lacks(t, "wrong password")
		if b.cookie(auth.SessionCookie) != "" {
			t.Fatalf("%s got in:\n%s", email, a.body)
		}
	}
	b.post("/operator", url.Values{"email": {" ops@bizzstream.example "}, "password": {good}, "next": {"/account"}}).goes(t, "/account")
	b.get("/account").is(t, http.StatusOK, "Olga", "With a password", `data-again href="/operator?next=%2faccount"`)
	b.get("/operator").is(t, http.StatusOK, "You are signed in as Olga.")

	// Whose role was taken away may know the password, and is told apart once it was right.
	former := w.localOperator("former@bizzstream.example", "Fritz", better)
	no := false
	must(w.svc.SetRoles(t.Context(), operator, former.ID, directory.RoleInput{Operator: &no}))
	w.browser().operator("former@bizzstream.example", better, "").is(t, http.StatusForbidden, "may not sign in here")

	var last answer
	for range 7 {
		last = w.browser().operator("ops@bizzstream.example", "wrong password", "")
	}
	last.is(t, http.StatusTooManyRequests, "Too many tries.", "Wait ")
	if last.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestSignInByLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.localOperator("ops@bizzstream.example", `Olga "O" <b>`, good)
	link, _, err := w.local.NewLink(t.Context(), operator, directory.LinkSignIn, a.ID, 10*time.Minute)
	w.ok(err)
	b := w.browser()
	for range 2 { // looking does not spend it
		b.get("/operator/link/"+link).is(t, http.StatusOK, "Sign in as Olga &#34;O&#34; &lt;b&gt;")
	}
	b.post("/operator/link/"+link, nil).goes(t, "/")
	b.get("/account").is(t, http.StatusOK, "With a sign-in link")
	w.browser().get("/operator/link/"+link).is(t, http.StatusNotFound, "This link does not work any more")
	w.browser().post("/operator/link/"+link, nil).is(t, http.StatusNotFound, "This link does not work any more")
	w.browser().get("/password/"+link).is(t, http.StatusNotFound, "This link does not work any more")
}

func TestTheFirstOperator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	link, _, err := w.local.NewLink(t.Context(), operator, directory.LinkSetup, directory.ID{}, time.Hour)
	w.ok(err)
	b := w.browser()
	b.get("/setup/bzl_wrong").is(t, http.StatusNotFound, "This link does not work any more")
	b.get("/setup/"+link).is(t, http.StatusOK, "Make the first operator", `autocomplete="new-password"`)
	try := func(email, name, password, again string) answer {
		return b.post("/setup/"+link, url.Values{"email": {email}, "name": {name}, "password": {password}, "again": {again}})
	}
	try("eva@bizzstream.example", "Eva", good, better).is(t, http.StatusUnprocessableEntity, `id="again-error"`, `value="eva@bizzstream.example"`, `value="Eva"`).lacks(t, good, better)
	try("eva", "Eva", good, good).is(t, http.StatusUnprocessableEntity, `id="email-error"`)
	try("eva@bizzstream.example", "Eva", "short", "short").is(t, http.StatusUnprocessableEntity, `id="password-error"`)
	try("eva@bizzstream.example", "Eva\x01", good, good).is(t, http.StatusUnprocessableEntity, `id="name-error"`)
	try(" eva@bizzstream.example ", "Eva", good, good).goes(t, "/")
	b.get("/").is(t, http.StatusOK, "Hello, Eva", "Operator", "You have no access to an environment")
	try("eva2@bizzstream.example", "Eva", good, good).is(t, http.StatusNotFound, "This link does not work any more")
	w.browser().operator("eva@bizzstream.example", good, "").goes(t, "/")
}

func TestTwoSetupsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	link, _, err := w.local.NewLink(t.Context(), operator, directory.LinkSetup, directory.ID{}, time.Hour)
	w.ok(err)
	w.localOperator("ops@bizzstream.example", "Olga", good) // on the command line, meanwhile
	a := w.browser().post("/setup/"+link, url.Values{"email": {"eva@bizzstream.example"}, "name": {"Eva"}, "password": {good}, "again": {good}})
	if a.status != http.StatusConflict && a.status != http.StatusNotFound {
		t.Errorf("status %d\n%s", a.status, a.body)
	}
}

func TestForgottenPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.localOperator("ops@bizzstream.example", "Olga", good)
	done := make(chan struct{})
	go func() { defer close(done); w.local.Run(t.Context()) }()
	t.Cleanup(func() { <-done })
	b := w.browser()
	b.get("/password").is(t, http.StatusOK, "Forgotten password")
	b.post("/password", url.Values{"email": {"x"}}).is(t, http.StatusUnprocessableEntity, `id="email-error"`, `value="x"`)
	nobody := b.post("/password", url.Values{"email": {"nobody@bizzstream.example"}}).is(t, http.StatusOK, "Look in your mailbox")
	somebody := b.post("/password", url.Values{"email": {"ops@bizzstream.example"}}).is(t, http.StatusOK)
	if strings.ReplaceAll(nobody.body, "nobody@", "ops@") != somebody.body {
		t.Error("the answer tells who has an account")
	}
	mail := <-w.mails.sent
	if mail.To != "ops@bizzstream.example" || !strings.HasPrefix(mail.Link, w.server.URL+"/password/") || mail.Language != "en" {
		t.Fatalf("%+v", mail)
	}
	path := strings.TrimPrefix(mail.Link, w.server.URL)
	b.get(path).is(t, http.StatusOK, "Set a new password", "ops@bizzstream.example")
	set := func(password, again string) answer {
		return b.post(path, url.Values{"password": {password}, "again": {again}})
	}
	set(better, good).is(t, http.StatusUnprocessableEntity, `id="again-error"`).lacks(t, good, better)
	set("short", "short").is(t, http.StatusUnprocessableEntity, `id="password-error"`)
	signedIn := w.browser()
	signedIn.operator("ops@bizzstream.example", good, "").goes(t, "/")
	set(better, better).goes(t, "/operator?done=password")
	b.get("/operator?done=password").is(t, http.StatusOK, "The new password is set.")
	signedIn.get("/").goes(t, "/signed-out?reason=password")
	set(good, good).is(t, http.StatusNotFound, "This link does not work any more")
	b.get(path).is(t, http.StatusNotFound, "This link does not work any more")
	w.browser().operator("ops@bizzstream.example", better, "").goes(t, "/")
}

// TestTextsOfADirectoryAreTexts puts hostile texts wherever a directory, or who sets one up, can put some.
func TestTextsOfADirectoryAreTexts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	const script = `<script>alert(1)</script>`
	for name, text := range map[string]string{"script": script, "quotes": `" onfocus="alert(1)" x='` + script, "address": "javascript:alert(1)//" + script, "template": `{{.Secret}}` + script} {
		t.Run(name, func(t *testing.T) {
			given := "P" + name
			w.person(given, text)
			must(w.svc.SetTenant(ctx, operator, w.tenant.ID, func(tenant *directory.Tenant) error {
				tenant.SignIn.Label, tenant.SignIn.Contact = text, text
				return nil
			}))
			org := must(w.svc.CreateOrganization(ctx, operator, text))
			must(w.svc.SetTenant(ctx, operator, w.tenant.ID, func(tenant *directory.Tenant) error {
				tenant.OrganizationIDs = append(tenant.OrganizationIDs, org.ID)
				return nil
			}))
			env := must(w.svc.CreateEnvironment(ctx, operator, org.ID, text))
			on := true
			_, _, err := w.svc.SetIntegration(ctx, operator, env.ID, directory.IntegrationInput{Enabled: &on, TenantID: &w.tenant.ID, Groups: []string{"c0ffee00-0000-4000-8000-000000000001"}})
			w.ok(err)
			b := w.browser()
			begun := b.get("/login/environment/" + w.env.ID.String())
			back := b.atDirectory(begun.to, w.people[given])
			b.do("GET", back, nil, map[string]string{"User-Agent": script}).goes(t, "/")
			for _, path := range []string{"/", "/account", "/login", "/signed-out", "/login?next=" + url.QueryEscape("/x?"+text)} {
				a := b.get(path).is(t, http.StatusOK).lacks(t, script, `onfocus="alert`, `="javascript:`, "ZgotmplZ")
				if !strings.Contains(path, "next=") {
					a.is(t, http.StatusOK, "&lt;script&gt;")
				}
			}
			w.deactivate(given)
			a := b.get("/account")
			b.get(a.to).is(t, http.StatusOK, "&lt;script&gt;").lacks(t, script, `onfocus="alert`, `="javascript:`)
		})
	}
	for _, typed := range []string{script + "@x.example", `"onfocus="alert(1)"@x.example`} {
		for _, path := range []string{"/login", "/operator", "/password"} {
			w.browser().post(path, url.Values{"email": {typed}, "password": {script}}).lacks(t, script, `"onfocus`)
		}
	}
}
