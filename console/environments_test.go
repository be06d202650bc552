package console_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// page makes sure of a status and of texts that a page has, or with ! before them has not.
func page(t *testing.T, got apptest.Answer, status int, texts ...string) {
	t.Helper()
	if got.Status != status {
		t.Fatalf("%d, not %d\n%s", got.Status, status, got.Body)
	}
	for _, text := range texts {
		text, not := strings.CutPrefix(text, "!")
		if strings.Contains(got.Body, text) == not {
			_, main, _ := strings.Cut(got.Body, "<main")
			t.Errorf("%q: there %t\n%.6000s", text, not, main)
		}
	}
}

func integrationOf(w *apptest.World, id directory.ID) (in directory.Integration) {
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
		env, err := sn.Environment(id)
		if err == nil {
			in = env.Integration
		}
		return err
	}))
	return in
}

// errNoAnswer is what a directory says that lacks a permission.
var errNoAnswer = &pull.Error{Class: pull.Permission, Detail: "the application may not read groups; grant it GroupMember.Read.All"}

func TestEnvironmentCards(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	production := "/environments/" + w.Fjord.Production.ID.String()
	page(t, w.SignIn(w.Boss).Get("/environments"), 200, "Fjord Logistics", "Nordwind Trading", `href="`+production+`"`, "New environment", "Sync by hand", "SCIM token")
	for _, who := range []*directory.Account{w.Fjord.Partner, w.Fjord.Admin} {
		page(t, w.SignIn(who).Get("/environments"), 200, "Fjord Logistics", "!Nordwind", "!New environment")
	}
	page(t, w.SignIn(w.Fjord.Admin).Get("/environments"), 200, "!Finance")
	page(t, w.SignIn(w.Boss).Get("/environments?q=nordw&state=off"), 200, "Finance", "!Fjord", "Show all")
	page(t, w.SignIn(w.Boss).Get("/environments?q=zzz"), 200, "No environment fits")
	page(t, w.SignIn(w.Boss).Get("/environments?state=zzz"), 404)
	page(t, w.SignIn(w.Boss).Get("/environments?after=zzz"), 404)
}

func TestEnvironmentPagesByRole(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	for _, tail := range []string{"", "/integration", "/administrators"} {
		own, other := "/environments/"+w.Fjord.Production.ID.String()+tail, "/environments/"+w.Nordwind.Production.ID.String()+tail
		for _, c := range []struct {
			who        *directory.Account
			own, other int
		}{{w.Boss, 200, 200}, {w.Fjord.Admin, 200, 404}, {w.Fjord.Partner, 200, 404}, {w.Fjord.Plain, 403, 403}} {
			b := w.SignIn(c.who)
			page(t, b.Get(own), c.own)
			page(t, b.Get(other), c.other)
		}
		page(t, w.SignIn(w.Fjord.Admin).Get("/environments/"+pulltest.ID(5).String()+tail), 404)
		page(t, w.SignIn(w.Fjord.Admin).Get("/environments/zzz"+tail), 404)
	}
	for _, path := range []string{"/environments/new", "/organizations/new"} {
		for _, who := range []*directory.Account{w.Fjord.Admin, w.Fjord.Partner, w.Fjord.Plain} {
			page(t, w.SignIn(who).Get(path), 403)
			page(t, w.SignIn(who).Post(path, "name", "Delta", "organization", w.Fjord.Organization.ID.String()), 403)
		}
	}
	page(t, w.SignIn(w.Fjord.Partner).Post("/environments/"+w.Fjord.Production.ID.String()+"/integration", "tenant", w.Fjord.Tenant.ID.String(), "groups", w.Fjord.GroupID), 403)
	page(t, w.SignIn(w.Fjord.Admin).Post("/environments/"+w.Nordwind.Production.ID.String()+"/integration", "tenant", w.Fjord.Tenant.ID.String(), "groups", w.Fjord.GroupID), 404)
	page(t, w.SignIn(w.Fjord.Admin).Post("/environments/"+w.Fjord.Production.ID.String()+"/administrators", "person", "ana@fjord.example"), 403)
}

func TestCreateOrganizationAndEnvironment(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	boss := w.SignIn(w.Boss)
	made := boss.Post("/organizations/new", "name", `Delta <b>"Ports"</b>`)
	if made.Status != http.StatusSeeOther || !strings.HasPrefix(made.To, "/environments/new?") {
		t.Fatalf("%+v", made)
	}
	page(t, boss.Get(made.To), 200, "The organization is created", `selected>Delta &lt;b&gt;`, "!<b>")
	page(t, boss.Post("/organizations/new", "name", "fjord LOGISTICS"), 409, "already exists", `value="fjord LOGISTICS"`, `aria-invalid="true"`)
	page(t, boss.Post("/organizations/new", "name", " "), 422, "A name is required.")
	page(t, boss.Post("/environments/new", "name", "Test"), 422, "Choose an organization", `value="Test"`)
	page(t, boss.Post("/environments/new", "name", "production", "organization", w.Fjord.Organization.ID.String()), 409, "already has an environment")
	env := boss.Post("/environments/new", "name", "Test", "organization", w.Fjord.Organization.ID.String())
	page(t, boss.Get(env.To), 200, "The environment is created", `name="enabled"`)
	page(t, boss.Get(strings.TrimSuffix(strings.Split(env.To, "?")[0], "/integration")), 200, "Set up External users integration")
}

func TestIntegrationPage(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	path := "/environments/" + w.Fjord.Production.ID.String() + "/integration"
	admin, boss := w.SignIn(w.Fjord.Admin), w.SignIn(w.Boss)
	page(t, admin.Get(path), 200, "Sales", "3 members", "!name=\"enabled\"", "Only an operator of BizzStream switches this", w.Fjord.GroupID, "Save and sync")
	page(t, boss.Get(path), 200, `name="enabled" value="1" checked`)
	page(t, w.SignIn(w.Fjord.Partner).Get(path), 200, "You see these settings", "!<textarea")

	form := func(more ...string) []string {
		return append([]string{"tenant", w.Fjord.Tenant.ID.String(), "groups", w.Fjord.GroupID, "menus", "Orders\nStock\n", "periodic", "1"}, more...)
	}
	menus, groups := "", ""
	for i := range 501 {
		menus, groups = menus+fmt.Sprintf("menu %d\n", min(i, 100)), groups+fmt.Sprintf("%08x-00ab-4000-8000-000000000000\n", i)
	}
	page(t, admin.Post(path, "tenant", w.Fjord.Tenant.ID.String(), "groups", w.Fjord.GroupID, "menus", menus, "do", "save"), 422, `id="menus-error"`, "more than 100 menus")
	page(t, admin.Post(path, "tenant", w.Fjord.Tenant.ID.String(), "groups", groups, "menus", "", "do", "save"), 422, `id="groups-error"`, "more than 500 Groups to Sync")
	saved := admin.Post(path, form("do", "save")...)
	if saved.Status != http.StatusSeeOther || saved.To != path+"?done=integration-saved" {
		t.Fatalf("%+v", saved)
	}
	page(t, admin.Get(saved.To), 200, "The settings are saved", "Orders\nStock</textarea>", `name="periodic" value="1" checked`)
	got := integrationOf(w, w.Fjord.Production.ID)
	if !got.Periodic || len(got.DefaultMenus) != 2 || !got.Enabled {
		t.Errorf("%+v", got)
	}

	// What is wrong is named beside the field, and what was typed stays.
	page(t, admin.Post(path, form("groups", "Sales <i>x</i>, "+w.Fjord.GroupID)[2:]...), 422, "Choose a tenant")
	page(t, admin.Post(path, "tenant", w.Fjord.Tenant.ID.String(), "groups", "Sales;<i>x</i>"), 422, "are not object ids", "Sales;&lt;i&gt;x&lt;/i&gt;</textarea>", `id="groups-error"`, "!<i>x")
	page(t, admin.Post(path, "tenant", w.Fjord.Tenant.ID.String(), "groups", ""), 422, "Name at least one group")
	page(t, admin.Post(path, "tenant", w.Nordwind.Tenant.ID.String(), "groups", w.Fjord.GroupID), 422, "This tenant cannot be used here", "!nordwind")
	page(t, admin.Post(path, form("run-percent", "101")...), 422, "percentages are at most 100", `value="101"`)
	page(t, admin.Post(path, form("run-count", "-1")...), 422, "whole numbers")
	page(t, admin.Post(path, form("day-percent", "x", "run-count", "5")...), 422, `id="day-percent" name="day-percent" inputmode="numeric" maxlength="7" value="x" placeholder="10" aria-invalid="true" autofocus`, `value="5" placeholder="10">`)
	page(t, admin.Post(path, form("version", "old")...), 409, "Somebody else has changed these settings", "Show them as they are now")

	page(t, admin.Post(path, "tenant", w.Fjord.Tenant.ID.String(), "groups", strings.ToUpper(w.Fjord.GroupID[:35]+"a")), 409, "Nothing is saved yet") // a GUID in any case

	// An administrator who sends the checkbox does nothing by it.
	admin.Post(path, form("enabled", "")...)
	if !integrationOf(w, w.Fjord.Production.ID).Enabled {
		t.Error("an administrator has switched it off")
	}
	sync := admin.Post(path, form("do", "sync")...)
	if sync.Status != http.StatusSeeOther || !strings.HasPrefix(sync.To, "/runs/") {
		t.Errorf("%+v", sync)
	}
	page(t, admin.Post(path, form("do", "sync", "paused", "1")...), 409, "The settings are saved, and no sync has begun:", "paused")
}

// Who comes second sees what the first has saved, keeps what they typed, and saves over it once they have seen it.
func TestIntegrationOfTwoAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	path := "/environments/" + w.Fjord.Production.ID.String() + "/integration"
	first, second := w.SignIn(w.Boss), w.SignIn(w.Fjord.Admin)
	version := regexp.MustCompile(`name="version" value="([^"]*)"`)
	seen := version.FindStringSubmatch(second.Get(path).Body)[1]
	form := func(version string, more ...string) []string {
		return append([]string{"version", version, "tenant", w.Fjord.Tenant.ID.String(), "groups", w.Fjord.GroupID, "do", "save", "enabled", "1"}, more...)
	}
	if saved := first.Post(path, form(seen, "menus", "Stock <b>\nOrders", "guests", "1", "run-count", "7")...); saved.Status != http.StatusSeeOther {
		t.Fatalf("%+v", saved)
	}
	refused := second.Post(path, form(seen, "menus", "Invoices", "periodic", "1")...)
	page(t, refused, 409, "Somebody else has changed these settings", `<dt>Default menu</dt><dd><span class="sub ink">Stock &lt;b&gt;</span><span class="sub ink">Orders</span></dd>`,
		"<dt>Include guests</dt><dd>On</dd>", "<dt>Periodically Sync Users</dt><dd>Off</dd>", `<dt>People in one sync</dt><dd><span class="sub ink">7</span></dd>`,
		"!<dt>Groups to Sync</dt>", "!<dt>Tenant</dt>", "!<dt>External users integration</dt>", ">Invoices</textarea>")
	if got := integrationOf(w, w.Fjord.Production.ID); len(got.DefaultMenus) != 2 || got.Periodic {
		t.Fatalf("what was refused is saved: %+v", got)
	}
	if saved := second.Post(path, form(version.FindStringSubmatch(refused.Body)[1], "menus", "Invoices", "periodic", "1")...); saved.To != path+"?done=integration-saved" {
		t.Fatalf("%+v", saved)
	}
	if got := integrationOf(w, w.Fjord.Production.ID); len(got.DefaultMenus) != 1 || !got.Periodic {
		t.Errorf("%+v", got)
	}
}

// Sync above the form of the settings sends that form: what was typed is saved first, never passed over.
func TestIntegrationSyncSavesFirst(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	environment := "/environments/" + w.Fjord.Production.ID.String()
	path, apart := environment+"/integration", `action="`+environment+`/sync"><button type="submit">Sync</button>`
	admin := w.SignIn(w.Fjord.Admin)
	saves := []string{`class="integration" id="integration-form"`, `form="integration-form" name="do" value="sync">Save and sync</button>`, `title="Of the saved settings">Preview`, "!" + apart}
	page(t, admin.Get(path), 200, append(saves, "!data-unsaved")...)
	page(t, admin.Get(environment), 200, apart, "!integration-form", "!Of the saved settings")
	typed := []string{"tenant", w.Fjord.Tenant.ID.String(), "groups", w.Fjord.GroupID, "menus", "Typed"}
	page(t, admin.Post(path, append(typed, "drop", pulltest.GroupID(9))...), 200, append(saves, "data-unsaved")...)

	// Enter presses the first button of a form: it saves, or searches for what was typed there.
	body := admin.Get(path).Body
	if before, _, _ := strings.Cut(body, `value="sync"`); !strings.Contains(before, `form="integration-form" name="do" value="enter"`) {
		t.Error("Enter in a field would sync")
	}
	page(t, admin.Post(path, append(typed, "do", "enter", "find", "zzz")...), 200, "no group whose name begins")
	if got := integrationOf(w, w.Fjord.Production.ID).DefaultMenus; slices.Contains(got, "Typed") {
		t.Errorf("searching has saved %v", got)
	}
	page(t, admin.Post(path, append(typed, "do", "enter", "find", " ")...), http.StatusSeeOther)
	if got := integrationOf(w, w.Fjord.Production.ID).DefaultMenus; !slices.Contains(got, "Typed") {
		t.Errorf("saved: %v", got)
	}
}

func TestIntegrationAsksBeforeItTakesAccess(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	path := "/environments/" + w.Fjord.Production.ID.String() + "/integration"
	boss := w.SignIn(w.Boss)
	active := func() (n int64) {
		w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) (err error) {
			n, err = sn.EnvironmentAccessCount(w.Fjord.Production.ID, true)
			return err
		}))
		return n
	}
	// Below the figures it says so once more.
	asked := boss.Post(path, "do", "save")
	page(t, asked, 409, "Nothing is saved yet", "This takes access from 3 of 3 people.", `name="shown" value="3 "`, "!name=\"sure\"")
	if active() != 3 {
		t.Fatal("it did not wait")
	}
	page(t, boss.Post(path, "do", "save", "shown", "2 "), 409, "Nothing is saved yet") // of another state than this

	stops := []string{"enabled", "1", "tenant", w.Fjord.Tenant.ID.String(), "groups", w.Fjord.GroupID, "run-count", "2", "run-percent", "1"}
	page(t, boss.Post(path, stops...), http.StatusSeeOther)
	page(t, boss.Post(path, "do", "save"), 409, `name="sure"`, "more than the 2 at which a sync would stop")
	page(t, boss.Post(path, "do", "save", "shown", "3 "), 409, `name="sure"`)
	if active() != 3 {
		t.Fatal("it did not wait for the tick")
	}
	page(t, boss.Post(path, "do", "save", "shown", "3 ", "sure", "1"), http.StatusSeeOther)
	if active() != 0 || integrationOf(w, w.Fjord.Production.ID).Enabled {
		t.Error("it is not switched off")
	}
}

func TestIntegrationGroups(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	path := "/environments/" + w.Fjord.Production.ID.String() + "/integration"
	admin := w.SignIn(w.Fjord.Admin)
	w.Directory.SetGroup(pulltest.GroupID(50), `Sales <script>alert(1)</script>`)
	base := []string{"tenant", w.Fjord.Tenant.ID.String(), "groups", w.Fjord.GroupID, "menus", "Typed"}
	page(t, admin.Post(path, append(base, "do", "find", "find", "sales <")...), 200, "Sales &lt;script&gt;", `name="add" value="`+pulltest.GroupID(50)+`"`, "!<script>alert", ">Typed</textarea>")
	page(t, admin.Post(path, append(base, "do", "find", "find", "zzz")...), 200, "no group whose name begins")
	page(t, admin.Post(path, append(base, "do", "find", "find", "")...), 422, `id="find-error"`, "Type the beginning")
	page(t, admin.Post(path, append(base, "add", pulltest.GroupID(50))...), 200, w.Fjord.GroupID+"\n"+pulltest.GroupID(50)+"</textarea>", "not seen here yet")
	page(t, admin.Post(path, append(base, "drop", strings.ToUpper(w.Fjord.GroupID))...), 200, `describedby="groups-hint"></textarea>`)
	if got := integrationOf(w, w.Fjord.Production.ID).Groups; len(got) != 1 {
		t.Errorf("searching has saved %v", got)
	}
	// One that is a GUID and that the directory does not have is named before it is saved.
	gone := pulltest.GroupID(99)
	both := []string{"tenant", w.Fjord.Tenant.ID.String(), "groups", w.Fjord.GroupID + ", " + gone}
	page(t, admin.Post(path, both...), 409, "The directory does not have:", "<code>"+gone+"</code>", `name="shown" value="0 `+gone+`"`)
	page(t, admin.Post(path, append(both, "shown", "0 "+gone)...), http.StatusSeeOther)
	page(t, admin.Get(path), 200, "<code>"+gone+"</code>", "not seen here yet")
	// Where the directory does not answer, nothing is in the way.
	w.Source.SetError(pulltest.OpGroup, errNoAnswer)
	w.Source.SetError(pulltest.OpFind, errNoAnswer)
	page(t, admin.Post(path, "tenant", w.Fjord.Tenant.ID.String(), "groups", w.Fjord.GroupID+", "+gone+", "+pulltest.GroupID(98)), http.StatusSeeOther)
	page(t, admin.Post(path, append(base, "do", "find", "find", "sales")...), 503, "GroupMember.Read.All", `id="find-error"`)
}

func TestAdministratorsPage(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	path := "/environments/" + w.Fjord.Production.ID.String() + "/administrators"
	boss := w.SignIn(w.Boss)
	page(t, boss.Get(path), 200, "Marta Berg", "!Ana Berg")
	page(t, w.SignIn(w.Fjord.Admin).Get(path), 200, "Marta Berg", "!name=\"person\"")
	page(t, boss.Post(path, "person", "ana@fjord.example"), http.StatusSeeOther)
	page(t, boss.Get(path+"?done=administrator-added"), 200, "Ana Berg", "administers this environment from now on")
	page(t, boss.Post(path, "person", "ana@nordwind.example"), 422, "Nobody of that user name", `value="ana@nordwind.example"`)
	page(t, boss.Post(path, "person", w.Fjord.Plain.ID.String(), "remove", "1"), http.StatusSeeOther)
	page(t, boss.Get(path), 200, "!Ana Berg")
}

func TestEnvironmentPagesInDutch(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	boss := w.SignIn(w.Boss)
	for _, path := range []string{"/environments", "/environments/new", "/organizations/new", "/environments/" + w.Fjord.Production.ID.String(), "/environments/" + w.Fjord.Finance.ID.String(),
		"/environments/" + w.Fjord.Production.ID.String() + "/integration", "/environments/" + w.Fjord.Production.ID.String() + "/administrators"} {
		page(t, boss.Do(http.MethodGet, path, nil, "Accept-Language", "nl"), 200, `lang="nl"`, "Omgeving")
	}
}

// TestIntervalAsConfigured sees that the page says how often a sync runs, as it is configured.
func TestIntervalAsConfigured(t *testing.T) {
	t.Parallel()
	for every, says := range map[time.Duration][2]string{
		0: {"Every 15 minutes, besides push", "Elke 15 minuten, naast push"}, 2 * time.Hour: {"Every 2 hours, besides push", "Elke 2 uur, naast push"},
		time.Hour: {"Every hour, besides push", "Elk uur, naast push"}, 90 * time.Second: {"Every 90 seconds, besides push", "Elke 90 seconden, naast push"},
	} {
		w := apptest.New(t, func(c *app.Config) { c.Pull.Interval = every })
		b, path := w.SignIn(w.Fjord.Admin), "/environments/"+w.Fjord.Production.ID.String()+"/integration"
		want(t, b.Get(path), http.StatusOK, says[0])
		want(t, b.Do(http.MethodGet, path, nil, "Accept-Language", "nl"), http.StatusOK, says[1])
	}
}

// TestFirstDay goes from nothing to the first access as the pages lead: each says what comes next, and links to it.
func TestFirstDay(t *testing.T) {
	t.Parallel()
	w := apptest.NewEmpty(t, nil)
	b := w.SignIn(w.Boss)
	link := func(page, path, text string) {
		t.Helper()
		want(t, b.Get(page), http.StatusOK, `href="`+path+`">`+text)
	}
	link("/tenants/new", "/organizations/new", "New organization") // a tenant without one could be used nowhere
	_, organization, _ := strings.Cut(b.Post("/organizations/new", "name", "Havn Shipping").To, "organization=")
	b.Post("/organizations/new", "name", "Another One")
	environment, _, _ := strings.Cut(b.Post("/environments/new", "organization", organization, "name", "Terminal").To, "?")
	create := "/tenants/new?organization=" + organization
	link(environment, create, "New tenant")
	form := b.Get(create)
	if n := strings.Count(form.Body, " checked"); n != 1 || !strings.Contains(form.Body, `value="`+organization+`" checked`) {
		t.Errorf("%d organizations are chosen\n%s", n, form.Body)
	}
	guide, _, _ := strings.Cut(b.Post("/tenants/new", "name", "havn", "organizations", organization).To, "?")
	link(guide, "/environments", "Go to the environments")
	tenant, ok := directory.ParseID(strings.Split(guide, "/")[2])
	if !ok {
		t.Fatal(guide)
	}

	// A directory has come, and nobody has access: the last step is still to be done.
	secret := auth.NewSecret()
	_, err := w.Service.CreateToken(w.Context(), apptest.Operator, tenant, directory.NewToken{Name: "Entra", Hash: secret.Hash, Hint: secret.Hint})
	w.Must(err)
	push := func(path, body string) apptest.Answer {
		return b.Do(http.MethodPost, "/scim/havn/v2"+path, strings.NewReader(body), "Authorization", "Bearer "+secret.Text, "Content-Type", "application/scim+json")
	}
	want(t, push("/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"eva@havn.example","active":true}`), http.StatusCreated)
	want(t, b.Get("/"), http.StatusOK, "Done: 2 of 4", "Let the first people in")
	group := "7d0e7c0a-54c7-4a8e-9d0e-6a0f5d1c2b3a"
	link(environment, "/groups?tenant="+tenant.String(), "Groups that the directory has pushed")
	want(t, b.Post(environment, "enabled", "1", "tenant", tenant.String(), "groups", group, "shown", "0 "+group, "do", "save"), http.StatusSeeOther)
	want(t, b.Get("/"), http.StatusOK, "Done: 3 of 4")
	link(guide, strings.TrimSuffix(environment, "/integration"), "Terminal")
}
