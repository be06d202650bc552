package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/directory"
)

// pagesOf are the pages of a customer's people and groups.
func pagesOf(c *apptest.Customer) []string {
	marta := "/users/" + c.Admin.ID.String()
	return []string{marta, marta + "/access/" + c.Production.ID.String(), "/groups/" + c.Tenant.ID.String() + "/" + c.Group.ID.String(),
		"/users?environment=" + c.Production.ID.String()}
}

func TestUsersOfOthersAreNotThere(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	for _, who := range []*apptest.Browser{w.SignIn(w.Fjord.Admin), w.SignIn(w.Fjord.Partner)} {
		for _, path := range pagesOf(w.Fjord) {
			if got := who.Get(path); got.Status != http.StatusOK && !strings.Contains(path, "/access/") || got.Status == http.StatusInternalServerError {
				t.Errorf("%s: %d\n%s", path, got.Status, got.Body)
			}
		}
		for _, path := range append(pagesOf(w.Nordwind), "/users?source="+w.Nordwind.Tenant.ID.String(), "/groups?tenant="+w.Nordwind.Tenant.ID.String(), "/users/01234567-89ab-7def-8123-456789abcdef") {
			if got := who.Get(path); got.Status != http.StatusNotFound {
				t.Errorf("%s of another customer: %d", path, got.Status)
			}
		}
		for _, path := range []string{"/users", "/users?text=berg", "/users?text=marta", "/groups", "/conflicts", "/users/add"} {
			got := who.Get(path)
			if got.Status != http.StatusOK || strings.Contains(strings.ToLower(got.Body), "nordwind") {
				t.Errorf("%s: %d, or it tells of another customer\n%s", path, got.Status, got.Body)
			}
		}
		other := "/users/" + w.Nordwind.Plain.ID.String()
		for _, path := range []string{"/edit", "/sync", "/forget", "/link", "/sessions", "/access/" + w.Nordwind.Production.ID.String()} {
			if got := who.Post(other+path, "name", "X", "menus", "X"); got.Status != http.StatusNotFound {
				t.Errorf("POST %s of another customer: %d", path, got.Status)
			}
		}
	}
	if got := w.SignIn(w.Boss).Get("/users?text=nordwind"); strings.Count(got.Body, "marta@nordwind.example") != 1 {
		t.Errorf("the operator does not find her once\n%s", got.Body)
	}
}

// Help desk finds out in three clicks why somebody has no access: Users, the person, the reason.
func TestWhySomebodyHasNoAccess(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	help := w.SignIn(w.Fjord.Admin)
	ana := "/users/" + w.Fjord.Plain.ID.String()
	if got := help.Get("/users?text=ana"); !strings.Contains(got.Body, `href="`+ana+`"`) {
		t.Fatalf("she is not found\n%s", got.Body)
	}
	want := func(text string) {
		t.Helper()
		if got := help.Get(ana); !strings.Contains(got.Body, text) {
			t.Errorf("the page does not say %q\n%s", text, got.Body)
		}
	}
	want(`Member of</strong> <a href="/groups/` + w.Fjord.Tenant.ID.String() + "/" + w.Fjord.Group.ID.String() + `">Sales</a>`)
	want("Managed in fjord")
	push := directory.Actor{Role: directory.RoleDirectory, Channel: "scim"}
	_, err := w.Service.UpdateGroup(t.Context(), push, w.Fjord.Tenant.ID, w.Fjord.Group.ID, func(g *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
		return directory.GroupInput{DisplayName: g.DisplayName, ExternalID: g.ExternalID, Schemas: g.Schemas, Attributes: g.Attributes}, m.Remove([]directory.ID{w.Fjord.Users[2].ID})
	})
	w.Must(err)
	want("Provisioning removed the person from the Groups to Sync.")
	want("Access to Production deactivated")
	off := false
	_, _, err = w.Service.SetIntegration(t.Context(), apptest.Operator, w.Fjord.Production.ID, directory.IntegrationInput{Enabled: &off})
	w.Must(err)
	if got := w.SignIn(w.Boss).Get(ana); !strings.Contains(got.Body, "External users integration is switched off here.") {
		t.Errorf("the operator is not told that it is off\n%s", got.Body)
	}
}

func TestInternalUsersOnPages(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	admin, boss := w.SignIn(w.Fjord.Admin), w.SignIn(w.Boss)
	env := w.Fjord.Production.ID.String()
	add := func(who *apptest.Browser, env, email string) apptest.Answer {
		return who.Post("/users/add", "environment", env, "email", email, "name", "Ivy Ek", "menus", "Orders\r\nStock\r\n")
	}
	got := add(admin, env, "ivy@maxedy.example")
	if got.Status != http.StatusCreated || strings.Contains(got.Body, "/password/") || !strings.Contains(got.Body, "Ask an operator for a link") {
		t.Fatalf("an administrator: %d, or was given the link\n%s", got.Status, got.Body)
	}
	if got := add(boss, w.Nordwind.Production.ID.String(), "new@maxedy.example"); got.Status != http.StatusCreated || !strings.Contains(got.Body, "/password/") {
		t.Errorf("an operator: %d, without a link\n%s", got.Status, got.Body)
	}
	if got := add(admin, env, "new@maxedy.example"); got.Status != http.StatusSeeOther || !strings.Contains(got.To, "done=access-given") {
		t.Errorf("who has an account: %d %s", got.Status, got.To)
	}
	for name, c := range map[string]struct {
		env, email, want string
		status           int
	}{
		"again":                   {env, "ivy@maxedy.example", "This person has access to this environment already.", http.StatusConflict},
		"of the directory":        {env, "ana@fjord.example", "managed in the directory of fjord", http.StatusConflict},
		"of another's directory":  {env, "ana@nordwind.example", "A directory manages this person: access cannot be given by hand.", http.StatusConflict},
		"no address":              {env, "ivy", "is not an e-mail address", http.StatusUnprocessableEntity},
		"no environment":          {"", "x@maxedy.example", "Choose the environment.", http.StatusUnprocessableEntity},
		"another's environment":   {w.Nordwind.Production.ID.String(), "x@maxedy.example", "", http.StatusNotFound},
		"one of others than mine": {w.Fjord.Finance.ID.String(), "x@maxedy.example", "", http.StatusNotFound},
	} {
		got := add(admin, c.env, c.email)
		if got.Status != c.status || !strings.Contains(got.Body, c.want) || c.status < 500 && c.want != "" && !strings.Contains(got.Body, `value="`+c.email+`"`) || strings.Contains(got.Body, "ordwind T") {
			t.Errorf("%s: %d\n%s", name, got.Status, got.Body)
		}
	}
	if got := add(w.SignIn(w.Fjord.Partner), env, "x@maxedy.example"); got.Status != http.StatusForbidden {
		t.Errorf("a partner: %d", got.Status)
	}
	var ivy *directory.Account
	w.Must(w.Service.View(t.Context(), func(sn *directory.Snapshot) (err error) {
		ivy, err = sn.InternalAccount("ivy@maxedy.example")
		return err
	}))
	page := "/users/" + ivy.ID.String()
	session := w.SignIn(ivy)
	if got := session.Get("/"); got.Status != http.StatusOK {
		t.Fatalf("she cannot be signed in: %d", got.Status)
	}
	if got := admin.Post(page+"/access/"+env, "name", "", "email", "i@x.example", "menus", "A"); got.Status != http.StatusUnprocessableEntity || !strings.Contains(got.Body, `value="i@x.example"`) {
		t.Errorf("no name: %d\n%s", got.Status, got.Body)
	}
	if got := admin.Post(page+"/access/"+env, "active", "false"); got.Status != http.StatusSeeOther {
		t.Errorf("deactivated: %d\n%s", got.Status, got.Body)
	}
	if got := session.Get("/"); got.Status == http.StatusOK {
		t.Error("her session has outlived her last access")
	}
	if got := admin.Get(page); !strings.Contains(got.Body, "An administrator deactivated this access.") {
		t.Errorf("the page does not say why\n%s", got.Body)
	}
	if got := admin.Post(page+"/edit", "name", "X"); got.Status != http.StatusForbidden {
		t.Errorf("an administrator renames everywhere: %d", got.Status)
	}
	if got := boss.Post(page+"/edit", "name", "Ivy E.", "email", "ivy.e@maxedy.example"); got.Status != http.StatusSeeOther {
		t.Errorf("an operator: %d\n%s", got.Status, got.Body)
	}
	external := "/users/" + w.Fjord.Plain.ID.String()
	if got := boss.Post(external+"/edit", "name", "X"); got.Status != http.StatusConflict || !strings.Contains(got.Body, "managed in the directory of fjord") {
		t.Errorf("an external user is edited: %d\n%s", got.Status, got.Body)
	}
	if got := admin.Post(external+"/access/"+env, "active", "false"); got.Status != http.StatusConflict || !strings.Contains(got.Body, "managed in the directory of fjord") {
		t.Errorf("an external user is deactivated: %d\n%s", got.Status, got.Body)
	}
	if got := admin.Post(external+"/access/"+env, "menus", "Stock"); got.Status != http.StatusSeeOther {
		t.Errorf("menus of an external user: %d", got.Status)
	}
}

// What a directory says is text, wherever it is shown.
func TestUsersAreEscaped(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	const bad = `<script>alert(1)</script>"'><img src=x onerror=alert(1)>`
	push := directory.Actor{Role: directory.RoleDirectory, Channel: "scim"}
	u, err := w.Service.CreateUser(t.Context(), push, w.Fjord.Tenant.ID, directory.UserInput{Profile: directory.Profile{UserName: bad, ExternalID: bad, Name: bad, Email: bad + "@x", Emails: []string{bad + "@x"}, Language: bad, Locale: bad, Active: true},
		Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:User"]`), Attributes: []byte(`{"userName":"<script>alert(1)</script>","displayName":"</pre><script>alert(1)</script>"}`),
		Changes: []directory.Change{{Name: bad, New: []byte(`"<script>alert(1)</script>"`)}}})
	w.Must(err)
	g, err := w.Service.CreateGroup(t.Context(), push, w.Fjord.Tenant.ID, directory.GroupInput{DisplayName: bad, ExternalID: bad, Schemas: []byte(`[]`), Attributes: []byte(`{}`)}, []directory.ID{u.ID})
	w.Must(err)
	w.Must(w.Service.LogFailure(t.Context(), push, directory.LogEvent{TenantID: w.Fjord.Tenant.ID, Action: directory.ActionCreate, TargetType: "User", TargetName: "no" + bad, Detail: bad}))
	_, err = w.Service.SetMenus(t.Context(), apptest.Operator, w.Fjord.Production.ID, []string{bad})
	w.Must(err)
	for _, who := range []*apptest.Browser{w.SignIn(w.Boss), w.SignIn(w.Fjord.Partner)} {
		for _, path := range []string{"/users", "/users?text=%3Cscript%3E", "/users/" + u.AccountID.String(), "/groups", "/groups?text=%3Cscript%3E", "/groups/" + w.Fjord.Tenant.ID.String() + "/" + g.ID.String(), "/conflicts"} {
			got := who.Get(path)
			if got.Status != http.StatusOK || strings.Contains(got.Body, "<script>alert") || strings.Contains(got.Body, "<img src=x") || !strings.Contains(got.Body, "&lt;script&gt;") {
				t.Errorf("%s: %d\n%s", path, got.Status, got.Body)
			}
		}
	}
	got := w.SignIn(w.Fjord.Admin).Get("/users/add?environment=" + w.Fjord.Production.ID.String() + "&email=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
	if got.Status != http.StatusOK || strings.Contains(got.Body, "<script>alert") {
		t.Errorf("the form: %d\n%s", got.Status, got.Body)
	}
}

func TestUserPagesInDutch(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	boss := w.SignIn(w.Boss)
	for _, path := range append(pagesOf(w.Fjord), "/users", "/users/add", "/groups", "/conflicts") {
		got := boss.Do(http.MethodGet, path, nil, "Accept-Language", "nl")
		if got.Status != http.StatusOK || !strings.Contains(got.Body, `lang="nl"`) {
			t.Errorf("%s: %d", path, got.Status)
		}
	}
}

// A full page of people with long names is at most 200 KB.
func TestUsersPageIsSmall(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	push := directory.Actor{Role: directory.RoleDirectory, Channel: "scim"}
	for i := range 60 {
		name := strings.Repeat("<long & name> ", 18) + string(rune('a'+i%26)) + strings.Repeat("x", i)
		_, err := w.Service.CreateUser(t.Context(), push, w.Fjord.Tenant.ID, directory.UserInput{Profile: directory.Profile{UserName: name, Name: name, Email: "a@b", Active: true}, Schemas: []byte(`[]`), Attributes: []byte(`{}`)})
		w.Must(err)
	}
	got := w.SignIn(w.Fjord.Partner).Get("/users")
	if n := strings.Count(got.Body, `<th scope="row">`); n != 50 || len(got.Body) > 200_000 || !strings.Contains(got.Body, "after=s") {
		t.Errorf("%d rows in %d bytes", n, len(got.Body))
	}
}

// The ways out of a conflict lead to where it is solved, and to the line of the log that tells of it.
func TestConflictLeadsOn(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	const email = "lars@fjord.example"
	_, _, err := w.Service.AddInternal(t.Context(), apptest.Operator, w.Fjord.Production.ID, directory.NewAccess{Email: email, Name: "Lars Holm"})
	w.Must(err)
	w.Must(w.Service.LogFailure(t.Context(), fjordPush(w), directory.LogEvent{TenantID: w.Nordwind.Tenant.ID, Action: directory.ActionCreate, TargetType: "User", TargetName: email, Detail: "somebody else has it"}))
	boss, tenant := w.SignIn(w.Boss), w.Nordwind.Tenant.ID.String()
	body := boss.Get("/conflicts").Body
	settings := "/tenants/" + tenant + "/settings"
	if !strings.Contains(body, `href="`+settings+`"`) || !strings.Contains(boss.Get(settings).Body, `name="trustedDomains"`) {
		t.Errorf("it does not lead to the trusted domains\n%s", body)
	}
	_, rest, _ := strings.Cut(body, `href="/log/`)
	line, _, _ := strings.Cut(rest, `"`)
	if got := boss.Get("/log/" + line); !strings.HasPrefix(line, tenant+"/") || got.Status != http.StatusOK || !strings.Contains(got.Body, email) || !strings.Contains(got.Body, "omebody else has it") {
		t.Errorf("the log: %q, %d\n%s", line, got.Status, got.Body)
	}
}

// The page tells where a person lands, and lets whoever reaches it choose: without a script.
func TestDefaultEnvironmentOnPages(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	add := func(env directory.ID) directory.ID {
		a, _, err := w.Service.AddInternal(t.Context(), apptest.Operator, env, directory.NewAccess{Email: "ivy@maxedy.example", Name: "Ivy"})
		w.Must(err)
		return a.AccountID
	}
	add(w.Fjord.Finance.ID)
	w.Advance(time.Second)
	account := add(w.Fjord.Production.ID)
	page := "/users/" + account.String()
	boss, admin := w.SignIn(w.Boss), w.SignIn(w.Fjord.Admin)
	const mark, first, chosen = `<span class="badge strong">Default environment</span>`, "this access was granted first", "It was chosen for this person."
	form := func(env string) string {
		return `action="` + page + `/default-environment"><input type="hidden" name="environment" value="` + env + `">`
	}
	production, finance := w.Fjord.Production.ID.String(), w.Fjord.Finance.ID.String()
	says := func(step string, who *apptest.Browser, marks int, parts ...string) {
		t.Helper()
		got := who.Get(page)
		for _, part := range parts {
			if !strings.Contains(got.Body, part) {
				t.Errorf("%s: the page does not say %q\n%s", step, part, got.Body)
			}
		}
		if n := strings.Count(got.Body, mark); n != marks {
			t.Errorf("%s: %d are marked\n%s", step, n, got.Body)
		}
	}
	says("none is chosen", boss, 1, "Default environment: "+w.Fjord.Finance.Name+".", first, form(production), form(finance))
	says("it is another one than theirs", admin, 0, form(production))
	if got := admin.Get(page); strings.Contains(got.Body, w.Fjord.Finance.Name) || strings.Contains(got.Body, "Default environment:") {
		t.Errorf("who does not reach it is told\n%s", got.Body)
	}
	if got := admin.Post(page+"/default-environment", "environment", production); got.Status != http.StatusSeeOther || !strings.Contains(got.To, "done=default-chosen") {
		t.Errorf("chosen: %d %s", got.Status, got.To)
	}
	says("chosen", admin, 1, "Default environment: "+w.Fjord.Production.Name+".", chosen, form(""), "No longer choose")
	for value, status := range map[string]int{finance: http.StatusNotFound, w.Nordwind.Production.ID.String(): http.StatusNotFound, "x": http.StatusNotFound, "00000000-0000-0000-0000-000000000000": http.StatusNotFound} {
		if got := admin.Post(page+"/default-environment", "environment", value); got.Status != status {
			t.Errorf("%s: %d\n%s", value, got.Status, got.Body)
		}
	}
	says("still chosen", admin, 1, chosen)
	if got := boss.Post("/users/"+w.Fjord.Plain.ID.String()+"/default-environment", "environment", finance); got.Status != http.StatusConflict || !strings.Contains(got.Body, "This person has no active access to this environment") {
		t.Errorf("no access there: %d\n%s", got.Status, got.Body)
	}
	if got := admin.Post(page + "/default-environment"); got.Status != http.StatusSeeOther || !strings.Contains(got.To, "done=default-taken") {
		t.Errorf("taken back: %d %s", got.Status, got.To)
	}
	says("taken back", boss, 1, "Default environment: "+w.Fjord.Finance.Name+".", first)
	if got := boss.Do(http.MethodGet, page, nil, "Accept-Language", "nl"); !strings.Contains(got.Body, "Standaardomgeving: "+w.Fjord.Finance.Name+".") || !strings.Contains(got.Body, "Standaardomgeving maken") {
		t.Errorf("in Dutch\n%s", got.Body)
	}
	_, err := w.Service.SetAccess(t.Context(), apptest.Operator, w.Fjord.Production.ID, account, directory.AccessInput{Active: new(bool)})
	w.Must(err)
	if got := admin.Get(page); strings.Contains(got.Body, form(production)) || strings.Contains(got.Body, mark) {
		t.Errorf("an access that is inactive can be chosen\n%s", got.Body)
	}
}
