package console_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// has fails unless an answer has a status and all parts.
func has(t *testing.T, a apptest.Answer, status int, parts ...string) apptest.Answer {
	t.Helper()
	if a.Status != status {
		t.Fatalf("status %d, not %d; to %q\n%s", a.Status, status, a.To, a.Body)
	}
	for _, part := range parts {
		if !strings.Contains(a.Body, part) {
			t.Errorf("the page has no %q\n%s", part, a.Body)
		}
	}
	return a
}

func lacks(t *testing.T, a apptest.Answer, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(a.Body, part) {
			t.Errorf("the page has %q\n%s", part, a.Body)
		}
	}
}

// goes fails unless an answer leads on to a path.
func goes(t *testing.T, a apptest.Answer, to string) {
	t.Helper()
	if a.Status != http.StatusSeeOther || a.To != to {
		t.Fatalf("status %d to %q, not 303 to %q\n%s", a.Status, a.To, to, a.Body)
	}
}

func roles(w *apptest.World, account directory.ID) (r *directory.Roles) {
	w.Helper()
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) (err error) {
		r, err = sn.Roles(account)
		return err
	}))
	return r
}

var oneTime = regexp.MustCompile(`<code id="newlink">(https://[^<]+)</code>`)

func TestSettingsShowTheServer(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	boss := w.SignIn(w.Boss)
	has(t, boss.Get("/settings"), http.StatusOK, "Settings and health", "Data store", "Reads and writes work.", w.Server.URL, "Open sessions", `aria-current="page"><svg`)
	page := has(t, boss.Get("/settings/configuration"), http.StatusOK, "limits.body_bytes", "1048576", "base_url", w.Server.URL, ">Set<", ">Default<")
	lacks(t, page, "smtp.password", "secrets.key<")
	has(t, boss.Get("/settings/keys"), http.StatusOK, "No key yet")
	goes(t, boss.Post("/settings/keys"), "/settings/keys?done=key-rotated")
	has(t, boss.Get("/settings/keys?done=key-rotated"), http.StatusOK, "The new key is published.", "Signs now")
	goes(t, boss.Post("/settings/keys"), "/settings/keys?done=key-rotated")
	lacks(t, has(t, boss.Get("/settings/keys"), http.StatusOK, "Signs now", "Published, signs later"), "signs no more")
	has(t, boss.Post("/settings/keys"), http.StatusConflict, "A new signing key waits for its turn already")
	dutch := boss.Do(http.MethodGet, "/settings", nil, "Accept-Language", "nl")
	has(t, dutch, http.StatusOK, "Instellingen en status", "Gegevensopslag")
}

func TestSettingsAreForOperators(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	for _, who := range []*directory.Account{w.Fjord.Admin, w.Fjord.Partner, w.Fjord.Plain} {
		b := w.SignIn(who)
		for _, path := range []string{"/settings", "/settings/configuration", "/settings/keys", "/settings/people", "/settings/people/" + w.Boss.ID.String()} {
			lacks(t, has(t, b.Get(path), http.StatusForbidden), "boss@maxedy.example", "body_bytes")
		}
		for _, path := range []string{"/settings/keys", "/settings/people", "/settings/people/invite", "/settings/people/" + who.ID.String(), "/settings/people/" + w.Boss.ID.String() + "/link", "/settings/people/" + w.Boss.ID.String() + "/second-factor"} {
			has(t, b.Post(path, "operator", "1", "email", "x@y.example", "who", who.UserName, "role", "operator", "kind", "sign-in"), http.StatusForbidden)
		}
		if roles(w, who.ID).Operator {
			t.Errorf("%s made themselves an operator", who.Name)
		}
	}
}

func TestInvitingAnOperator(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	boss := w.SignIn(w.Boss)
	page := has(t, boss.Post("/settings/people/invite", "email", "nina@maxedy.example", "name", "Nina Roos"), http.StatusOK, "A link with which Nina Roos sets a password", "Invited, no password yet")
	link := oneTime.FindStringSubmatch(page.Body)
	if link == nil {
		t.Fatalf("no link\n%s", page.Body)
	}
	path := strings.TrimPrefix(link[1], w.Server.URL)
	has(t, w.SignIn(nil).Get(path), http.StatusOK, "nina@maxedy.example")
	lacks(t, has(t, boss.Get("/settings/people"), http.StatusOK, "Nina Roos"), path)
	has(t, boss.Post("/settings/people/invite", "email", "nina@maxedy.example"), http.StatusConflict, "is an operator already", `value="nina@maxedy.example"`)
	has(t, boss.Post("/settings/people/invite", "email", "nobody", "name", "No One"), http.StatusUnprocessableEntity, `id="email-error"`, `value="No One"`)
}

func TestGivingAndTakingRoles(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	boss, plain := w.SignIn(w.Boss), w.Fjord.Plain
	person := "/settings/people/" + plain.ID.String()
	goes(t, boss.Post("/settings/people", "who", plain.UserName, "role", w.Fjord.Organization.ID.String()), "/settings/people?done=role-given")
	has(t, boss.Get("/settings/people?done=role-given"), http.StatusOK, "The role is given.", "Partner of Fjord Logistics")
	goes(t, boss.Post(person, "operator", "1", "partner", w.Nordwind.Organization.ID.String()), person+"?done=roles-saved")
	if r := roles(w, plain.ID); !r.Operator || len(r.PartnerOf) != 1 || r.PartnerOf[0] != w.Nordwind.Organization.ID {
		t.Errorf("roles %+v", r)
	}
	theirs := w.SignIn(plain)
	goes(t, boss.Post(person), "/settings/people?done=role-taken")
	goes(t, theirs.Get("/"), "/signed-out?reason=login")
	has(t, boss.Post("/settings/people", "who", "nobody@nowhere.example", "role", "operator"), http.StatusUnprocessableEntity, "Nobody here has", `id="who-error"`)
	has(t, boss.Post("/settings/people", "who", plain.UserName, "role", ""), http.StatusUnprocessableEntity, "Name a role")
	has(t, boss.Post("/settings/people", "who", plain.UserName, "role", plain.ID.String()), http.StatusNotFound)
	has(t, boss.Post(person, "partner", "x"), http.StatusNotFound)
	has(t, boss.Get("/settings/people/"+w.Fjord.Tenant.ID.String()), http.StatusNotFound)
}

func TestTheLastOperatorStays(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	w.Must(w.Service.SetPassword(t.Context(), apptest.Operator, w.Boss.ID, "$argon2id$x"))
	boss := w.SignIn(w.Boss)
	person := "/settings/people/" + w.Boss.ID.String()
	has(t, boss.Get(person), http.StatusOK, "This is the last operator", "your own account")
	has(t, boss.Post(person), http.StatusConflict, "last operator with a login of its own", `name="operator" value="1" checked`)
	if !roles(w, w.Boss.ID).Operator {
		t.Error("the last operator is gone")
	}
}

func TestLinksAndFactorsOfOperators(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	w.Must(w.Service.SetPassword(t.Context(), apptest.Operator, w.Boss.ID, "$argon2id$x"))
	w.Must(w.Service.SetTOTP(t.Context(), directory.Actor{Role: directory.RoleOperator, Channel: "test", ID: w.Boss.ID.String()}, w.Boss.ID, "sealed", 1))
	boss := w.SignIn(w.Boss)
	person := "/settings/people/" + w.Boss.ID.String()
	page := has(t, boss.Post(person+"/link", "kind", "sign-in"), http.StatusOK, "A link that signs in as Boss Operator")
	link := oneTime.FindStringSubmatch(page.Body)
	if link == nil || !strings.Contains(link[1], "/operator/link/") {
		t.Fatalf("no sign-in link: %q", link)
	}
	has(t, boss.Post(person+"/link", "kind", "password"), http.StatusOK, "sets a password", "/password/bzl_")
	has(t, boss.Post(person+"/link", "kind", "setup"), http.StatusNotFound)
	has(t, boss.Post("/settings/people/"+w.Fjord.Partner.ID.String()+"/link", "kind", "password"), http.StatusConflict, "managed in the directory")
	has(t, boss.Post("/settings/people/"+w.Fjord.Partner.ID.String()+"/second-factor"), http.StatusConflict, "no second factor")
	has(t, boss.Get(person), http.StatusOK, "Remove the second factor of Boss Operator?")
	goes(t, boss.Post(person+"/second-factor"), person+"?done=factor-taken")
	lacks(t, has(t, boss.Get(person), http.StatusOK, "No second factor"), "Remove the second factor of")
}

func TestFirstStepsOfAnEmptyServer(t *testing.T) {
	t.Parallel()
	w := apptest.NewEmpty(t, nil)
	ctx, boss := w.Context(), w.SignIn(w.Boss)
	steps := func(done int) {
		t.Helper()
		has(t, boss.Get("/"), http.StatusOK, "First steps", fmt.Sprintf("Done: %d of 4.", done))
	}
	steps(0)
	o, err := w.Service.CreateOrganization(ctx, apptest.Operator, "Havn Shipping")
	w.Must(err)
	tenant, err := w.Service.CreateTenant(ctx, apptest.Operator, directory.Tenant{Name: "havn", OrganizationIDs: []directory.ID{o.ID}})
	w.Must(err)
	steps(0) // a tenant that nothing can reach is no step
	env, err := w.Service.CreateEnvironment(ctx, apptest.Operator, o.ID, "Terminal")
	w.Must(err)
	steps(1)
	_, err = w.App.Desk().CreateToken(ctx, apptest.Operator, tenant.ID, desk.TokenInput{})
	w.Must(err)
	steps(2)
	push := directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: tenant.ID.String()}
	_, err = w.Service.CreateUser(ctx, push, tenant.ID, directory.UserInput{Profile: directory.Profile{UserName: "ana@havn.example", Name: "Ana", Active: true},
		Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:User"]`), Attributes: []byte(`{"userName":"ana@havn.example"}`)})
	w.Must(err)
	steps(2) // nobody has access by having arrived
	yes := true
	_, _, err = w.Service.SetIntegration(ctx, apptest.Operator, env.ID, directory.IntegrationInput{Enabled: &yes, TenantID: &tenant.ID, Groups: []string{"7d0e7c0a-54c7-4a8e-9d0e-6a0f5d1c2b3a"}})
	w.Must(err)
	steps(3)
	w.Must(w.Service.SetPassword(ctx, apptest.Operator, w.Boss.ID, "$argon2id$x"))
	w.Must(w.Service.SetTOTP(ctx, directory.Actor{Role: directory.RoleOperator, Channel: "test", ID: w.Boss.ID.String()}, w.Boss.ID, "sealed", 1))
	lacks(t, has(t, w.SignIn(w.Boss).Get("/"), http.StatusOK), "First steps")
}

func TestFirstStepsTickThemselves(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	boss := w.SignIn(w.Boss)
	has(t, boss.Get("/"), http.StatusOK, "First steps", "Done: 3 of 4.", "/account/second-factor", "Manage environments")
	lacks(t, w.SignIn(w.Fjord.Partner).Get("/"), "First steps")
	lacks(t, w.SignIn(w.Fjord.Plain).Get("/"), "First steps", "Manage environments")
	a := boss.Post("/start")
	goes(t, a, "/")
	if cookie := a.Header.Get("Set-Cookie"); !strings.HasPrefix(cookie, "__Host-start=hidden; ") {
		t.Errorf("Set-Cookie %q", cookie)
	}
	w.Must(w.Service.SetPassword(t.Context(), apptest.Operator, w.Boss.ID, "$argon2id$x"))
	w.Must(w.Service.SetTOTP(t.Context(), directory.Actor{Role: directory.RoleOperator, Channel: "test", ID: w.Boss.ID.String()}, w.Boss.ID, "sealed", 1))
	lacks(t, w.SignIn(w.Boss).Get("/"), "First steps")
}

func TestSearchStaysWithinReach(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	boss, admin, partner := w.SignIn(w.Boss), w.SignIn(w.Fjord.Admin), w.SignIn(w.Fjord.Partner)
	has(t, boss.Get("/search?q=ana"), http.StatusOK, "ana@fjord.example", "ana@nordwind.example", "/users/"+w.Nordwind.Plain.ID.String())
	for _, b := range []*apptest.Browser{admin, partner} {
		for _, q := range []string{"ana", "ANA@", "sal", "prod", "nord", "fjord", "m", "finance"} {
			page := has(t, b.Get("/search?q="+q), http.StatusOK)
			_, main, _ := strings.Cut(page.Body, "<main")
			if strings.Contains(main, "nordwind") || strings.Contains(main, "Nordwind") {
				t.Errorf("%q finds the other customer\n%s", q, main)
			}
		}
		has(t, b.Get("/search?q=ana"), http.StatusOK, "ana@fjord.example")
		has(t, b.Get("/search?q=sal"), http.StatusOK, "/groups/"+w.Fjord.Tenant.ID.String())
	}
	lacks(t, has(t, admin.Get("/search?q=fin"), http.StatusOK, "Nothing begins with"), w.Fjord.Finance.ID.String())
	has(t, partner.Get("/search?q=fin"), http.StatusOK, w.Fjord.Finance.ID.String())
	lacks(t, has(t, admin.Get("/search?q=fjord"), http.StatusOK), "/tenants/")
	has(t, partner.Get("/search?q=fjord"), http.StatusOK, "/tenants/"+w.Fjord.Tenant.ID.String())
	has(t, boss.Get("/search?q=boss@maxedy.example"), http.StatusOK, "Boss Operator")
	lacks(t, admin.Get("/search?q=boss@maxedy.example"), "Boss Operator")
	has(t, boss.Get("/search?q="+strings.Repeat("x", 257)), http.StatusUnprocessableEntity, "at most 256 characters")
	has(t, boss.Get("/search?q=%00"), http.StatusUnprocessableEntity)
	has(t, boss.Get("/search"), http.StatusOK, "Type how it begins")
}

func TestMissingPagesKeepTheNavigation(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	b := w.SignIn(w.Fjord.Admin)
	has(t, b.Do(http.MethodGet, "/nothing/here", nil, "Accept", "text/html"), http.StatusNotFound, `<nav class="side"`, "Page not found")
	has(t, b.Get("/settings"), http.StatusForbidden, `<nav class="side"`)
	lacks(t, has(t, w.SignIn(nil).Do(http.MethodGet, "/nothing/here", nil, "Accept", "text/html"), http.StatusNotFound), `<nav class="side"`)
}
