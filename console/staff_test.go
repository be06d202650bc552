package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/directory"
)

// TestEnglishOnDutchPagesIsMarked sees that what the directory says, which stays English, is marked so, and that our own
// texts are not.
func TestEnglishOnDutchPagesIsMarked(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	dutch := func(who *directory.Account, path string, form url.Values) apptest.Answer {
		t.Helper()
		b := w.SignIn(who)
		got := b.Do(http.MethodPost, path, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded", "Origin", b.Server.URL, "Sec-Fetch-Site", "same-origin", "Accept-Language", "nl")
		return has(t, got, http.StatusUnprocessableEntity, `<html lang="nl"`)
	}
	has(t, dutch(w.Boss, "/tenants/new", url.Values{"name": {"Not A Name"}, "organizations": {w.Fjord.Organization.ID.String()}}), http.StatusUnprocessableEntity,
		`<p class="error" id="name-error"><span lang="en">`)
	at := "/environments/" + w.Fjord.Production.ID.String() + "/integration"
	form := integrationForm(w)
	form.Set("groups", "<script>x")
	got := has(t, dutch(w.Fjord.Admin, at, form), http.StatusUnprocessableEntity, `id="groups-error"><span lang="en">`, "&lt;script&gt;x")
	lacks(t, got, "<script>x")
	form.Set("groups", "") // our own text
	lacks(t, has(t, dutch(w.Fjord.Admin, at, form), http.StatusUnprocessableEntity, `id="groups-error">`), `<span lang="en">`)
}

func TestStaffPagesAreForStaff(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	for _, c := range []struct {
		who  *apptest.Browser
		want int
	}{{w.SignIn(nil), http.StatusSeeOther}, {w.SignIn(w.Fjord.Plain), http.StatusForbidden}, {w.SignIn(w.Fjord.Admin), http.StatusOK}, {w.SignIn(w.Fjord.Partner), http.StatusOK}, {w.SignIn(w.Boss), http.StatusOK}} {
		got := c.who.Get("/environments")
		if got.Status != c.want {
			t.Errorf("%d, not %d\n%s", got.Status, c.want, got.Body)
		}
		if c.want == http.StatusOK && !strings.Contains(got.Body, `<span>Environments</span></a>`) {
			t.Errorf("the navigation does not say where one is\n%s", got.Body)
		}
	}
}

// TestWhatIsWrongHasTheFocus sees that a form that is refused comes back with the focus at what is wrong: the field, or what
// is said of several.
func TestWhatIsWrongHasTheFocus(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	tenant, env := "/tenants/"+w.Fjord.Tenant.ID.String(), "/environments/"+w.Fjord.Production.ID.String()
	organization := w.Fjord.Organization.ID.String()
	for _, c := range []struct {
		who   *directory.Account
		path  string
		form  []string
		focus string // the beginning of what has it
	}{
		{w.Boss, "/organizations/new", []string{"name", " "}, `<input id="name"`},
		{w.Boss, "/environments/new", []string{"name", "x"}, `<select id="organization"`},
		{w.Boss, "/environments/new", []string{"organization", organization, "name", "Production"}, `<input id="name"`},
		{w.Boss, "/tenants/new", []string{"name", "Not A Name"}, `<input id="name"`},
		{w.Fjord.Partner, "/tenants/new", []string{"name", "fine"}, `<p class="error" id="organizations-error"`},
		{w.Fjord.Partner, tenant + "/settings", []string{"name", "fjord", "directoryId", w.Fjord.Tenant.DirectoryID, "userPatch", "200", "groupPatch", "204"}, `<p class="error" id="organizations-error"`},
		{w.Boss, tenant + "/settings", []string{"name", "fjord", "organizations", organization, "burst", "x"}, `<input id="burst"`},
		{w.Boss, tenant + "/guide/credential", []string{"for", "graph", "kind", "secret", "secret", "too short"}, `<input id="graph-`},
		{w.Boss, tenant + "/tokens", []string{"name", strings.Repeat("x", 300), "days", "180"}, `<input id="name"`},
		{w.Boss, "/webhooks/new", []string{"name", "x", "format", "json", "url", "nowhere", "events", "all", "reach", "all"}, `<input id="url"`},
		{w.Boss, "/webhooks/new", []string{"name", "x", "format", "json", "url", "https://example.com/", "events", "some", "reach", "all"}, `<p class="error" id="types-error"`},
		{w.Boss, "/webhooks/new", []string{"name", "x", "format", "json", "url", "https://example.com/", "events", "all", "reach", "some"}, `<p class="error" id="reach-error"`},
		{w.Boss, "/api-tokens", []string{"name", "x", "role", "partner", "scope", "users:read", "days", "30"}, `<p class="error" id="reach-error"`},
		{w.Boss, "/api-tokens", []string{"name", "x", "role", "operator", "days", "30"}, `<p class="error" id="scopes-error"`},
		{w.Boss, "/settings/people/invite", []string{"email", "nobody"}, `<input id="email"`},
		{w.Boss, "/settings/people", []string{"who", "nobody@example.com", "role", "operator"}, `<input id="who"`},
		{w.Boss, env + "/administrators", []string{"person", "nobody"}, `<input id="person"`},
		{w.Fjord.Admin, env + "/integration", []string{"tenant", w.Fjord.Tenant.ID.String(), "do", "save"}, `<textarea id="groups"`},
		{w.Fjord.Admin, env + "/integration", []string{"tenant", w.Fjord.Tenant.ID.String(), "groups", w.Nordwind.GroupID, "do", "save"}, `<section class="once"`},
		{w.Fjord.Admin, "/users/add", []string{"environment", w.Fjord.Production.ID.String(), "email", "nobody", "name", "x"}, `<input id="email"`},
	} {
		got := w.SignIn(c.who).Post(c.path, c.form...)
		at := strings.Index(got.Body, " autofocus")
		if got.Status < 400 || got.Status >= 500 || at < 0 {
			t.Errorf("%s %q: %d %s, and nothing has the focus", c.path, c.form, got.Status, got.To)
			continue
		}
		if tag := got.Body[strings.LastIndexByte(got.Body[:at], '<'):]; !strings.HasPrefix(tag, c.focus) {
			t.Errorf("%s %q: the focus is at %.120s", c.path, c.form, tag)
		}
	}
}
