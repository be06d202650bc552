package console_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/entrasim"
)

// ends fails when a live region tells what came after who looks had lost the sight of it, or goes on.
func ends(t *testing.T, next func() string, told, later string) {
	t.Helper()
	text := next()
	for ; text != "" && text != "gone"; text = next() {
		if strings.Contains(text, later) {
			t.Errorf("who may see it no more is told:\n%s", text)
			return
		}
	}
	if text != told {
		t.Errorf("at the end the page is told %q, not %q", text, told)
	}
}

// loseOffice takes the role of an administrator or a partner. The session of the administrator goes on: there is still an
// access. That of the partner ends.
func loseOffice(w *apptest.World, account *directory.Account) {
	w.Helper()
	if account == w.Fjord.Admin {
		_, err := w.Service.SetAdministrator(w.Context(), apptest.Operator, account.ID, w.Fjord.Production.ID, false)
		w.Must(err)
		return
	}
	_, err := w.Service.SetRoles(w.Context(), apptest.Operator, account.ID, directory.RoleInput{Partner: map[directory.ID]bool{w.Fjord.Organization.ID: false}})
	w.Must(err)
}

// TestLiveRunIsOfTheMoment: whoever is no administrator any more sees no further progress of a run.
func TestLiveRunIsOfTheMoment(t *testing.T) {
	t.Parallel()
	for _, told := range []string{"gone", ""} {
		w := apptest.New(t, nil)
		who := w.Fjord.Admin
		if told == "" {
			who = w.Fjord.Partner
		}
		run := directory.Run{ID: w.Fjord.Production.ID, EnvironmentID: w.Fjord.Production.ID, TenantID: w.Fjord.Tenant.ID, Actor: apptest.Operator, State: directory.RunRunning,
			Trigger: directory.TriggerManual, Stage: directory.StageRead, Started: w.Now(), Done: 17}
		w.Must(w.Service.SaveRun(t.Context(), &run, nil))
		next, end := follow(t, w.SignIn(who), "/runs/"+run.ID.String()+"/progress")
		if first := next(); !strings.Contains(first, "17 people") {
			t.Errorf("%s", first)
		}
		run.Done = 18
		w.Must(w.Service.SaveRun(t.Context(), &run, nil))
		if second := next(); !strings.Contains(second, "18 people") {
			t.Errorf("%s", second)
		}
		loseOffice(w, who)
		run.Done = 4711
		w.Must(w.Service.SaveRun(t.Context(), &run, nil))
		ends(t, next, told, "4,711")
		end()
	}
}

// TestLiveGuideIsOfTheMoment: whoever has lost a tenant is not told that its directory has come.
func TestLiveGuideIsOfTheMoment(t *testing.T) {
	t.Parallel()
	for _, told := range []string{"gone", ""} {
		w := apptest.New(t, nil)
		next, end := follow(t, w.SignIn(w.Fjord.Partner), "/tenants/"+w.Fjord.Tenant.ID.String()+"/guide/live")
		if first := next(); !strings.Contains(first, "Waiting for Test Connection") {
			t.Errorf("%s", first)
		}
		if told == "" {
			loseOffice(w, w.Fjord.Partner)
		} else {
			_, err := w.Service.SetTenant(t.Context(), apptest.Operator, w.Fjord.Tenant.ID, func(x *directory.Tenant) error {
				x.OrganizationIDs = append(x.OrganizationIDs, w.Nordwind.Organization.ID)
				return nil
			})
			w.Must(err)
		}
		id, ok := directory.ParseID(tokenForm(w).Get("token"))
		if !ok {
			t.Fatal("no token")
		}
		w.Must(w.Service.TouchToken(t.Context(), w.Fjord.Tenant.ID, id, "192.0.2.1"))
		ends(t, next, told, "Connected")
		end()
	}
}

// TestLiveWebhookIsOfTheMoment: whoever is no partner any more is told of no further delivery.
func TestLiveWebhookIsOfTheMoment(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	furnishWebhook(w)
	next, end := follow(t, w.SignIn(w.Fjord.Partner), "/webhooks/"+w.Fjord.Production.ID.String()+"/live")
	defer end()
	if first := next(); !strings.Contains(first, "user.created") {
		t.Errorf("%s", first)
	}
	loseOffice(w, w.Fjord.Partner)
	_, err := w.Service.PauseWebhook(t.Context(), apptest.Operator, w.Fjord.Production.ID)
	w.Must(err)
	_, err = w.Service.Redeliver(t.Context(), apptest.Operator, w.Fjord.Production.ID, delivered(w))
	w.Must(err)
	ends(t, next, "", "On its way")
}

// TestLiveIntegrationIsOfTheMoment: whoever is no administrator any more is not told how far a change of the settings is.
func TestLiveIntegrationIsOfTheMoment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	account := w.users["Marta"].AccountID
	must(w.svc.SetAdministrator(t.Context(), operator, account, w.env.ID, true))
	b := w.browser()
	b.signIn("Marta", "")
	steps, run := w.slowChange()
	next, end := followAt(t, w.server.Client(), w.server.URL+"/environments/"+w.env.ID.String()+"/integration/progress", b.cookie(auth.SessionCookie))
	defer end()
	if first := next(); !strings.Contains(first, "is being carried out") {
		t.Errorf("%s", first)
	}
	must(w.svc.SetAdministrator(t.Context(), operator, account, w.env.ID, false))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	_, err := steps.FinishDerivation(ctx, w.env.ID, run, func(d *directory.Derivation) {
		if d.Done >= 3 {
			stop()
		}
	})
	if err == nil {
		t.Fatal("it was carried out at once")
	}
	ends(t, next, "gone", "Looked at 3 people")
	b.get("/environments/"+w.env.ID.String()+"/integration").is(t, http.StatusForbidden)
}

// slowChange changes the integration of the environment, by a service that does one person at a time, and has done none.
func (w *world) slowChange() (*directory.Service, directory.ID) {
	w.Helper()
	const second = "c0ffee00-0000-4000-8000-000000000002"
	group := must(w.svc.CreateGroup(w.Context(), push, w.tenant.ID, directory.GroupInput{DisplayName: "More", ExternalID: second,
		Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:Group"]`), Attributes: []byte(`{}`)}, nil))
	var ids []directory.ID
	for _, given := range []string{"Ana", "Ben", "Cas", "Dora", "Eva"} {
		p := w.entra.Hire(entrasim.Person{GivenName: given, Surname: "Vik"})
		ids = append(ids, must(w.svc.CreateUser(w.Context(), push, w.tenant.ID, userInput(given+" Vik", p, true))).ID)
	}
	must(w.svc.UpdateGroup(w.Context(), push, w.tenant.ID, group.ID, func(g *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
		return directory.GroupInput{DisplayName: g.DisplayName, ExternalID: g.ExternalID, Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:Group"]`), Attributes: []byte(`{}`)}, m.Add(ids)
	}))
	slow := directory.New(w.store, directory.Options{Now: w.clock.Now, NewID: w.svc.NewID, Normalize: func(s string) string { return s }, Limits: directory.Limits{InlineRows: 1, StepRows: 1}})
	_, run, err := slow.SetIntegration(w.Context(), operator, w.env.ID, directory.IntegrationInput{TenantID: &w.tenant.ID, Groups: []string{"c0ffee00-0000-4000-8000-000000000001", second}})
	w.ok(err)
	if run == nil || run.State != directory.DerivationPending {
		w.Fatal("nothing is left to do")
	}
	return slow, run.ID
}

// TestLiveRefusesWhatIsNoState sees that a region of a state that there is none of is a page that is not there.
func TestLiveRefusesWhatIsNoState(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	furnishWebhook(w)
	for _, query := range []url.Values{{"state": {"x"}}, {"after": {"x"}}} {
		if got := w.SignIn(w.Boss).Get("/webhooks/" + w.Fjord.Production.ID.String() + "/live?" + query.Encode()); got.Status != http.StatusNotFound {
			t.Errorf("%v: %d", query, got.Status)
		}
	}
}
