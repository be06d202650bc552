package console_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

var secretToken = regexp.MustCompile(`bzs_[0-9A-Za-z]{49}`)

func tenantPages(t *directory.Tenant) []string {
	all := []string{}
	for _, tab := range []string{"", "/guide", "/tokens", "/clients", "/applications", "/credentials", "/settings"} {
		all = append(all, "/tenants/"+t.ID.String()+tab)
	}
	return all
}

func want(t *testing.T, got apptest.Answer, status int, texts ...string) {
	t.Helper()
	if got.Status != status {
		t.Errorf("%d, not %d\n%s", got.Status, status, got.Body)
		return
	}
	for _, text := range texts {
		if !strings.Contains(got.Body, text) {
			t.Errorf("does not say %q\n%s", text, got.Body)
		}
	}
}

// TestTenantPagesByRole sees that each role gets the tenants of its reach, and that any other tenant is the same as none.
func TestTenantPagesByRole(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	boss, partner := w.SignIn(w.Boss), w.SignIn(w.Fjord.Partner)
	for _, path := range append(tenantPages(w.Fjord.Tenant), "/tenants", "/tenants/new") {
		want(t, boss.Get(path), http.StatusOK)
		got := partner.Get(path)
		want(t, got, http.StatusOK)
		if strings.Contains(strings.ToLower(got.Body), "nordwind") {
			t.Errorf("%s shows the other customer\n%s", path, got.Body)
		}
		for who, b := range map[string]*apptest.Browser{"administrator": w.SignIn(w.Fjord.Admin), "user": w.SignIn(w.Fjord.Plain)} {
			if got := b.Get(path); got.Status != http.StatusForbidden && got.Status != http.StatusNotFound || strings.Contains(got.Body, "/scim/") {
				t.Errorf("%s gets %s: %d", who, path, got.Status)
			}
		}
		want(t, w.SignIn(nil).Get(path), http.StatusSeeOther)
	}
	nothing := directory.ID{1}
	for i, path := range tenantPages(w.Nordwind.Tenant) {
		other, none := partner.Get(path), partner.Get(tenantPages(&directory.Tenant{ID: nothing})[i])
		want(t, other, http.StatusNotFound)
		if sameOf(other.Body) != sameOf(none.Body) {
			t.Errorf("%s: another customer's tenant is told from none", path)
		}
	}
	for _, rest := range []string{"/settings", "/applications", "/credentials", "/credentials/remove", "/test", "/tokens", "/tokens/rotate", "/tokens/revoke", "/clients", "/clients/rotate", "/clients/revoke",
		"/guide/token", "/guide/rotate", "/guide/ids", "/guide/credential", "/guide/test", "/link", "/link/revoke"} {
		want(t, partner.Post("/tenants/"+w.Nordwind.Tenant.ID.String()+rest, "name", "x", "token", w.Fjord.Tenant.ID.String()), http.StatusNotFound)
		want(t, w.SignIn(w.Fjord.Plain).Post("/tenants/"+w.Fjord.Tenant.ID.String()+rest), http.StatusForbidden)
	}
}

var varying = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|data-[a-z]+="[^"]*"|name="next" value="[^"]*"|next=[^"]*|<code>[^<]*</code>|[0-9]+ (min|h|hour|minute|second)[a-z]*`)

// sameOf takes out of a page what differs from request to request.
func sameOf(body string) string { return varying.ReplaceAllString(body, "") }

func TestTenantIsCreatedAndChanged(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	partner, boss := w.SignIn(w.Fjord.Partner), w.SignIn(w.Boss)
	org := w.Fjord.Organization.ID.String()
	want(t, partner.Post("/tenants/new", "name", "Fjord North", "organizations", org), http.StatusUnprocessableEntity, "is part of its URL", `value="Fjord North"`)
	want(t, partner.Post("/tenants/new", "name", "fjord", "organizations", org), http.StatusConflict, "already exists")
	want(t, partner.Post("/tenants/new", "name", "fjord-north"), http.StatusUnprocessableEntity, "at least one organization")
	want(t, partner.Post("/tenants/new", "name", "fjord-north", "organizations", w.Nordwind.Organization.ID.String()), http.StatusNotFound)
	want(t, partner.Post("/tenants/new", "name", "fjord-north", "organizations", org, "directoryId", "x"), http.StatusUnprocessableEntity, "not a directory (tenant) id")
	made := partner.Post("/tenants/new", "name", "fjord-north", "organizations", org, "label", "<i>North</i>")
	want(t, made, http.StatusSeeOther)
	at := strings.TrimSuffix(strings.TrimSuffix(made.To, "?done=tenant-created"), "/guide")
	page := partner.Get(at)
	want(t, page, http.StatusOK, "&lt;i&gt;North&lt;/i&gt;", "/scim/fjord-north/v2")

	settings := []string{"name", "fjord-north", "organizations", org, "directoryId", "", "userPatch", "200", "groupPatch", "204", "requestsPerSecond", "0", "burst", "0"}
	with := func(b *apptest.Browser, change ...string) apptest.Answer {
		form := append([]string{}, settings...)
		for i := 0; i+1 < len(change); i += 2 {
			found := false
			for j := 0; j+1 < len(form); j += 2 {
				if form[j] == change[i] {
					form[j+1], found = change[i+1], true
				}
			}
			if !found {
				form = append(form, change[i], change[i+1])
			}
		}
		return b.Post(at+"/settings", form...)
	}
	for _, c := range []struct {
		change []string
		status int
		text   string
	}{
		{[]string{"trustedDomains", "fjord.example"}, http.StatusForbidden, "An operator alone may add a trusted domain"},
		{[]string{"requestsPerSecond", "24"}, http.StatusUnprocessableEntity, "must be between 25"},
		{[]string{"burst", "many"}, http.StatusUnprocessableEntity, "Enter a whole number"},
		{[]string{"userPatch", "500"}, http.StatusUnprocessableEntity, "is 200 or 204, not 500"},
		{[]string{"extensions", "{"}, http.StatusUnprocessableEntity, "This is no JSON"},
		{[]string{"extensions", `{"id":"x"}`}, http.StatusUnprocessableEntity, "Extension 1: the extension is not acceptable"},
		{[]string{"name", "fjord"}, http.StatusConflict, "already exists"},
		{[]string{"organizations", "x"}, http.StatusUnprocessableEntity, "Choose from the list"},
	} {
		want(t, with(partner, c.change...), c.status, c.text)
	}
	want(t, with(boss, "trustedDomains", "fjord.example, north.example"), http.StatusSeeOther)
	want(t, with(partner, "trustedDomains", "fjord.example", "strict", "on", "userPatch", "204"), http.StatusSeeOther)
	want(t, partner.Get(at+"/settings"), http.StatusOK, ">fjord.example</textarea>", `name="strict" checked`, `value="204" selected`)
	want(t, with(partner, "name", "fjord-noord"), http.StatusSeeOther)
	want(t, partner.Get(at), http.StatusOK, "/scim/fjord-noord/v2")
	want(t, partner.Post("/tenants/new", "name", "fjord-north", "organizations", org), http.StatusSeeOther) // the old name is free

	want(t, partner.Post(at+"/applications", "cloud", "custom", "graph.loginUrl", "https://evil.example", "graph.graphUrl", "https://evil.example"), http.StatusForbidden, "an operator alone may name the hosts"[1:])
	want(t, partner.Post(at+"/applications", "cloud", "mars"), http.StatusUnprocessableEntity, "A cloud is public")
	want(t, partner.Post(at+"/applications", "cloud", "public", "signIn.prompt", "consent"), http.StatusUnprocessableEntity, "Prompt is login")
	want(t, partner.Post(at+"/applications", "cloud", "usgov", "signIn.label", "Fjord & North", "signIn.contact", "it@fjord.example"), http.StatusSeeOther)
	want(t, partner.Get(at+"/applications"), http.StatusOK, "Fjord &amp; North", `value="usgov" selected`)
}

func TestSecretTokenIsShownOnceAndRotated(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	partner, at := w.SignIn(w.Fjord.Partner), "/tenants/"+w.Fjord.Tenant.ID.String()+"/tokens"
	made := partner.Post(at, "name", `<script>alert(1)</script>`, "days", "30")
	want(t, made, http.StatusCreated, "&lt;script&gt;")
	secret := secretToken.FindString(made.Body)
	if secret == "" || strings.Contains(made.Body, "<script>alert") {
		t.Fatalf("no secret, or a script\n%s", made.Body)
	}
	wantPush(t, w, "fjord", w.Fjord.Token, http.StatusOK)
	lived := deskTenant(t, w).TokenExpires
	w.Advance(time.Minute)
	wantPush(t, w, "fjord", secret, http.StatusOK)
	waitFor(t, func() bool { return deskTenant(t, w).TokenExpires.Before(*lived) }) // the one that push uses, not the one that lasts longest
	want(t, partner.Get("/tenants/"+w.Fjord.Tenant.ID.String()), http.StatusOK, "2 live; the one that push uses ends", "Ends soon")
	wantPush(t, w, "nordwind", secret, http.StatusNotFound)
	again := partner.Get(at)
	if secretToken.MatchString(again.Body) {
		t.Error("the secret is shown again")
	}
	want(t, partner.Post(at, "name", "third"), http.StatusConflict, "has 2 live tokens already")
	for _, days := range []string{"367", "-1", "x"} {
		want(t, partner.Post(at, "name", "x", "days", days), http.StatusUnprocessableEntity)
	}
	ids := regexp.MustCompile(`name="token" value="([0-9a-f-]{36})"`).FindAllStringSubmatch(again.Body, -1)
	if len(ids) != 2 {
		t.Fatalf("%d tokens can be revoked", len(ids))
	}
	newest := ids[0][1]
	want(t, partner.Post(at+"/revoke", "token", newest), http.StatusSeeOther)
	wantPush(t, w, "fjord", secret, http.StatusUnauthorized)
	rotated := partner.Post(at+"/rotate", "token", ids[1][1], "overlapHours", "1")
	want(t, rotated, http.StatusCreated)
	wantPush(t, w, "fjord", secretToken.FindString(rotated.Body), http.StatusOK)
	wantPush(t, w, "fjord", w.Fjord.Token, http.StatusOK)
	w.Advance(time.Hour + time.Minute)
	wantPush(t, w, "fjord", w.Fjord.Token, http.StatusUnauthorized)
	want(t, partner.Post(at+"/rotate", "token", ids[1][1], "overlapHours", "1"), http.StatusConflict, "not live any more")
	want(t, partner.Post(at+"/rotate", "token", ids[1][1], "overlapHours", "721"), http.StatusUnprocessableEntity)
	want(t, partner.Post(at+"/revoke", "token", "x"), http.StatusNotFound)
}

func deskTenant(t *testing.T, w *apptest.World) desk.Tenant {
	t.Helper()
	got, err := w.App.Desk().Tenant(t.Context(), apptest.Operator, w.Fjord.Tenant.ID)
	w.Must(err)
	return got
}

func TestClientsTellWhenTheyWereUsedLast(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	partner, at := w.SignIn(w.Fjord.Partner), "/tenants/"+w.Fjord.Tenant.ID.String()+"/clients"
	want(t, partner.Post(at, "clientId", "entra", "kind", "secret", "days", "30", "tokenLifeHours", "1"), http.StatusCreated)
	want(t, partner.Get(at), http.StatusOK, "Last used", "Never")
	token, err := w.Service.IssueAccessToken(t.Context(), w.Fjord.Tenant.ID, "entra", [32]byte{1}, "hint")
	w.Must(err)
	w.Must(w.Service.TouchToken(t.Context(), w.Fjord.Tenant.ID, token.ID, "192.0.2.7"))
	page := partner.Get(at)
	want(t, page, http.StatusOK, "192.0.2.7")
	if strings.Contains(page.Body, "Never") {
		t.Error("a client that was used is said not to be")
	}
}

// TestOverviewTellsWhenClientsEnd sees that a tenant shows of each client when its secret ends, and warns.
func TestOverviewTellsWhenClientsEnd(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	partner, at := w.SignIn(w.Fjord.Partner), "/tenants/"+w.Fjord.Tenant.ID.String()
	of := func(id string) string {
		_, row, _ := strings.Cut(partner.Get(at).Body, "<code>"+id+"</code>")
		row, _, _ = strings.Cut(row, "</dd>")
		return row
	}
	ends := func(d time.Duration) string {
		return "Ends <time datetime=\"" + w.Now().Add(d).UTC().Format("2006-01-02")
	}
	const day = 24 * time.Hour
	want(t, partner.Post(at+"/clients", "clientId", "soon", "kind", "secret", "days", "20"), http.StatusCreated)
	want(t, partner.Post(at+"/clients", "clientId", "later", "kind", "secret", "days", "90"), http.StatusCreated)
	if row := of("soon"); !strings.Contains(row, ends(20*day)) || !strings.Contains(row, "Ends soon") {
		t.Errorf("not warned: %s", row)
	}
	if row := of("later"); !strings.Contains(row, ends(90*day)) || strings.Contains(row, "Ends soon") {
		t.Errorf("warned: %s", row)
	}
	want(t, partner.Post(at+"/clients/rotate", "client", "soon", "days", "180", "overlapHours", "24"), http.StatusCreated)
	if row := of("soon"); !strings.Contains(row, ends(180*day)) || strings.Contains(row, "Ends soon") {
		t.Errorf("the new secret goes on: %s", row)
	}
	want(t, partner.Post(at+"/clients/revoke", "client", "later"), http.StatusSeeOther)
	want(t, partner.Post(at+"/tokens/revoke", "token", tokenForm(w).Get("token")), http.StatusSeeOther)
	for _, path := range []string{at, "/tenants"} {
		if got := partner.Get(path).Body; strings.Contains(got, "<code>later</code>") || strings.Contains(got, "No Secret Token") {
			t.Errorf("%s: push comes by a client\n%s", path, got)
		}
	}
	want(t, partner.Post(at+"/clients/revoke", "client", "soon"), http.StatusSeeOther)
	want(t, partner.Get(at), http.StatusOK, "No Secret Token")
	want(t, partner.Get("/tenants"), http.StatusOK, "No Secret Token")
}

// wantPush asks as the directory of a tenant does.
func wantPush(t *testing.T, w *apptest.World, tenant, token string, status int) {
	t.Helper()
	got := w.SignIn(nil).Do(http.MethodGet, "/scim/"+tenant+"/v2/Users?filter=userName+eq+%22x%22", nil, "Authorization", "Bearer "+token)
	if got.Status != status {
		t.Errorf("%s: %d, not %d", tenant, got.Status, status)
	}
}

// TestConnectionNamesTheMissingPermission sees that Test connection says which permission the application lacks.
func TestConnectionNamesTheMissingPermission(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	boss, path := w.SignIn(w.Boss), "/tenants/"+w.Fjord.Tenant.ID.String()
	good := boss.Post(path + "/test")
	want(t, good, http.StatusOK, "Application that synchronizes")
	w.Source.Lack("GroupMember.Read.All", "Graph refuses to list groups; grant admin consent")
	lacking := regexp.MustCompile(`(?s)<li[^>]*>\s*<span class="badge bad">Wrong</span>.{0,80}GroupMember\.Read\.All.{0,200}Graph refuses to list groups; grant admin consent`)
	if lacking.MatchString(good.Body) || strings.Contains(good.Body, "Something is missing") {
		t.Errorf("a permission is missing before it is\n%s", good.Body)
	}
	for who, b := range map[string]*apptest.Browser{"operator": boss, "partner": w.SignIn(w.Fjord.Partner)} {
		got := b.Post(path + "/test")
		want(t, got, http.StatusOK, "Something is missing")
		if !lacking.MatchString(got.Body) {
			t.Errorf("%s is not told which permission is missing\n%s", who, got.Body)
		}
	}
}

// The Tenant URL is the same wherever it is copied from.
func TestTenantURLIsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	path, boss := "/tenants/"+w.Fjord.Tenant.ID.String(), w.SignIn(w.Boss)
	for _, p := range []string{path, path + "/guide"} {
		if got := boss.Get(p).Body; !strings.Contains(got, "/scim/fjord/v2?aadOptscim062020<") {
			t.Errorf("%s\n%s", p, got)
		}
	}
}
