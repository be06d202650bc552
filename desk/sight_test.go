package desk_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// A run of others is as none, whatever is asked of it.
func TestRunsOfOthersAreNotFound(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	d := w.App.Desk()
	id := quarantine(w, w.Fjord, 1)
	acts := map[string]func(ctx context.Context, by directory.Actor, id directory.ID) error{
		"Run": func(ctx context.Context, by directory.Actor, id directory.ID) error {
			_, err := d.Run(ctx, by, id)
			return err
		},
		"RunItems": func(ctx context.Context, by directory.Actor, id directory.ID) error {
			_, err := d.RunItems(ctx, by, id, desk.RunItemFilter{}, desk.Page{})
			return err
		},
		"EachRunItem": func(ctx context.Context, by directory.Actor, id directory.ID) error {
			return d.EachRunItem(ctx, func() (directory.Actor, error) { return by, nil }, id, desk.RunItemFilter{}, func(*desk.RunItem) error { return nil })
		},
		"AllowRun": func(ctx context.Context, by directory.Actor, id directory.ID) error {
			_, err := d.AllowRun(ctx, by, id, strings.Repeat("0", 64), "why")
			return err
		},
		"DiscardRun": func(ctx context.Context, by directory.Actor, id directory.ID) error {
			_, err := d.DiscardRun(ctx, by, id, "why")
			return err
		},
		"CancelRun": func(ctx context.Context, by directory.Actor, id directory.ID) error {
			_, err := d.CancelRun(ctx, by, id)
			return err
		},
	}
	for name, act := range acts {
		for who, by := range map[string]directory.Actor{"a partner": partner(w.Nordwind), "an administrator": administrator(w.Nordwind), "an administrator of nothing": actor(directory.RoleEnvironment, nil, nil)} {
			there, not := act(t.Context(), by, id), act(t.Context(), by, directory.ID{9})
			if directory.KindOf(there) != directory.NotFound || there.Error() != not.Error() {
				t.Errorf("%s by %s of others: %v; of nothing: %v", name, who, there, not)
			}
		}
		for _, role := range []directory.Role{directory.RoleUser, directory.RoleDirectory, ""} {
			if err := act(t.Context(), directory.Actor{Role: role}, id); directory.KindOf(err) != directory.Forbidden {
				t.Errorf("%s by %q: %v", name, role, err)
			}
		}
	}
	if run, err := d.Run(t.Context(), partner(w.Fjord), id); err != nil || !run.Waits || run.MayDecide {
		t.Errorf("%v %+v", err, run)
	}
}

// quarantine keeps a run of a customer's Production that waits for a decision.
func quarantine(w *apptest.World, c *apptest.Customer, number int) directory.ID {
	w.Helper()
	id := directory.ID{6: 0x70, 8: 0x80, 15: byte(number)}
	w.Must(w.Service.SaveRun(w.Context(), &directory.Run{ID: id, EnvironmentID: c.Production.ID, TenantID: c.Tenant.ID, Trigger: directory.TriggerSchedule, State: directory.RunQuarantined,
		Actor: directory.Actor{Role: directory.RoleSystem, Channel: "pull"}, Started: w.Now(), Ended: w.Now(), Hash: strings.Repeat("a", 64)},
		func(p *directory.PullState) { p.Quarantined = id }))
	return id
}

// A plan is decided about as it was looked at, by who may; who decided, when and why stays with the run.
func TestDecisionsAboutARun(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	d := w.App.Desk()
	id := quarantine(w, w.Fjord, 1)
	by := administrator(w.Fjord)
	by.ID = w.Fjord.Admin.ID.String()
	stale := strings.Repeat("b", 64)
	for name, c := range map[string]struct {
		by    directory.Actor
		hash  string
		kind  directory.ErrorKind
		field string
	}{
		"another plan":                {by, stale, directory.Conflict, "hash"},
		"no hash":                     {by, "", directory.Conflict, "hash"},
		"another plan, by a partner":  {partner(w.Fjord), stale, directory.Forbidden, ""},
		"this plan, by a partner":     {partner(w.Fjord), strings.Repeat("a", 64), directory.Forbidden, ""},
		"another plan, by a stranger": {administrator(w.Nordwind), stale, directory.NotFound, ""},
	} {
		_, err := d.AllowRun(t.Context(), c.by, id, c.hash, "ticket 1")
		var e *directory.Error
		if !errors.As(err, &e) || e.Kind != c.kind || e.Field != c.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	if run, err := d.Run(t.Context(), by, id); err != nil || !run.Waits || run.Decision != nil {
		t.Fatalf("%v %+v", err, run)
	}
	if _, err := d.DiscardRun(t.Context(), by, id, "ticket 2"); err != nil {
		t.Fatal(err)
	}
	for who, by := range map[string]directory.Actor{"the administrator": by, "the partner": partner(w.Fjord), "an operator": apptest.Operator} {
		run, err := d.Run(t.Context(), by, id)
		if err != nil || run.Waits || run.State != directory.RunDiscarded || run.Decision == nil || run.Decision.Reason != "ticket 2" || run.Decision.By.Name != "Marta Berg" || run.Decision.At.IsZero() {
			t.Errorf("%s: %v %+v", who, err, run.Decision)
		}
	}
}

// shared is an internal user with an access to each of two customers, each of which has renamed them.
func shared(w *apptest.World) directory.ID {
	w.Helper()
	var id directory.ID
	for _, c := range []*apptest.Customer{w.Fjord, w.Nordwind} {
		a, _, err := w.Service.AddInternal(w.Context(), apptest.Operator, c.Production.ID, directory.NewAccess{Email: "ivy@bizz.example", Name: "Ivy"})
		w.Must(err)
		id = a.AccountID
		name, off := "Ivy of "+c.Organization.Name, false
		_, err = w.Service.SetAccess(w.Context(), apptest.Operator, c.Production.ID, id, directory.AccessInput{Name: &name})
		w.Must(err)
		_, err = w.Service.SetAccess(w.Context(), apptest.Operator, c.Production.ID, id, directory.AccessInput{Active: &off, Menus: &[]string{"Menu of " + c.Organization.Name}})
		w.Must(err)
	}
	return id
}

// What one customer does with an internal user is nothing to another, whose user they are as well.
func TestPersonHistoryByReach(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	ivy := shared(w)
	for name, c := range map[string]struct {
		by    directory.Actor
		lines int
		other bool
	}{"operator": {apptest.Operator, 6, true}, "administrator": {administrator(w.Fjord), 3, false}, "partner": {partner(w.Fjord), 3, false},
		"both": {actor(directory.RolePartner, []directory.ID{w.Fjord.Organization.ID}, []directory.ID{w.Nordwind.Production.ID}), 6, true}} {
		got, err := newDesk(w).PersonHistory(t.Context(), c.by, ivy)
		w.Must(err)
		text, err := json.Marshal(got)
		w.Must(err)
		if len(got.Items) != c.lines || strings.Contains(string(text), "Nordwind") != c.other || !strings.Contains(string(text), "Ivy of Fjord") {
			t.Errorf("%s: %d lines\n%s", name, len(got.Items), text)
		}
		lines, _ := all(w, c.by, desk.LogFilter{Person: ivy}, 2)
		if len(lines) != c.lines {
			t.Errorf("%s: %d lines of the log", name, len(lines))
		}
		for _, l := range lines {
			source, _ := directory.ParseID(l.Tenant.ID)
			detail, err := newDesk(w).LogLine(t.Context(), c.by, source, l.Sequence)
			w.Must(err)
			if len(detail.Told) == 0 || detail.Person == nil || detail.Person.ID != ivy {
				t.Errorf("%s: told %v, of %v", name, detail.Told, detail.Person)
			}
			text, err := json.Marshal(detail)
			w.Must(err)
			if l.Tenant.Name != "BizzStream" || l.Identity.Name != "ivy@bizz.example" || !c.other && strings.Contains(string(text), "Nordwind") {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
	if _, err := newDesk(w).PersonHistory(t.Context(), administrator(w.Fjord), w.Nordwind.Plain.ID); directory.KindOf(err) != directory.NotFound {
		t.Error(err)
	}
	menus := []string{"Own"}
	_, err := w.Service.SetAccess(t.Context(), apptest.Operator, w.Fjord.Production.ID, w.Fjord.Plain.ID, directory.AccessInput{Menus: &menus})
	w.Must(err)
	got, err := newDesk(w).PersonHistory(t.Context(), administrator(w.Fjord), w.Fjord.Plain.ID)
	if err != nil || len(got.Items) != 2 || len(got.Items[0].Changes) != 1 || got.Items[0].Changes[0].Name != "menus" {
		t.Errorf("an external one: %v %+v", err, got.Items)
	}
}

// A line is about a person when it is of their tenant: a request of another tenant may have named any id.
func TestLogOfAPersonIsOfTheirTenant(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	ana := w.Fjord.Users[2]
	before, _ := all(w, apptest.Operator, desk.LogFilter{Person: ana.AccountID}, 50)
	history, err := newDesk(w).PersonHistory(t.Context(), apptest.Operator, ana.AccountID)
	w.Must(err)
	for _, e := range []directory.LogEvent{{TenantID: w.Nordwind.Tenant.ID, TargetType: "User"}, {TenantID: w.Fjord.Tenant.ID, TargetType: "Group"}} {
		e.Action, e.TargetID = directory.ActionUpdate, ana.ID.String()
		w.Must(w.Service.LogFailure(t.Context(), push(w.Nordwind), e))
	}
	after, _ := all(w, apptest.Operator, desk.LogFilter{Person: ana.AccountID}, 50)
	again, err := newDesk(w).PersonHistory(t.Context(), apptest.Operator, ana.AccountID)
	w.Must(err)
	if len(before) != 2 || len(after) != 2 || len(again.Items) != len(history.Items) {
		t.Errorf("%d lines before, %d after; history %d, %d", len(before), len(after), len(history.Items), len(again.Items))
	}
	w.Must(w.Service.LogFailure(t.Context(), push(w.Fjord), directory.LogEvent{TenantID: w.Fjord.Tenant.ID, Action: directory.ActionUpdate, TargetType: "User", TargetID: ana.ID.String()}))
	if after, _ = all(w, apptest.Operator, desk.LogFilter{Person: ana.AccountID}, 50); len(after) != 3 {
		t.Errorf("%d lines with her own", len(after))
	}
}

// Filters name what the actor sees; the environment of a filter bounds what a report says of who is elsewhere as well.
func TestFiltersOfOthersAreNotFound(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	d := newDesk(w)
	for name, f := range map[string]desk.LogFilter{"tenant": {Tenant: w.Nordwind.Tenant.ID}, "environment": {Environment: w.Nordwind.Production.ID}, "person": {Person: w.Nordwind.Plain.ID},
		"own tenant, another's environment": {Tenant: w.Fjord.Tenant.ID, Environment: w.Nordwind.Production.ID}, "own environment, another's tenant": {Tenant: w.Nordwind.Tenant.ID, Environment: w.Fjord.Production.ID},
		"own environment, another's person": {Environment: w.Fjord.Production.ID, Person: w.Nordwind.Plain.ID}} {
		for who, by := range map[string]directory.Actor{"partner": partner(w.Fjord), "administrator": administrator(w.Fjord)} {
			if _, err := d.Log(t.Context(), by, f, desk.Page{}); directory.KindOf(err) != directory.NotFound {
				t.Errorf("%s by a %s: %v", name, who, err)
			}
			if _, err := d.LogHead(t.Context(), by, f); directory.KindOf(err) != directory.NotFound {
				t.Errorf("head of %s by a %s: %v", name, who, err)
			}
			if !f.Person.IsZero() {
				continue
			}
			if _, err := d.LeaversAndJoiners(t.Context(), by, desk.ReportFilter{Tenant: f.Tenant, Environment: f.Environment}); directory.KindOf(err) != directory.NotFound {
				t.Errorf("report of %s by a %s: %v", name, who, err)
			}
			if _, err := d.SignedReport(t.Context(), by, desk.ReportFilter{Tenant: f.Tenant, Environment: f.Environment}); directory.KindOf(err) != directory.NotFound {
				t.Errorf("signed report of %s by a %s: %v", name, who, err)
			}
		}
	}
	for name, by := range map[string]directory.Actor{"partner": partner(w.Nordwind), "administrator": administrator(w.Nordwind)} {
		if _, err := d.Runs(t.Context(), by, desk.RunFilter{Environment: w.Fjord.Production.ID}, desk.Page{}); directory.KindOf(err) != directory.NotFound {
			t.Errorf("runs by a %s: %v", name, err)
		}
	}
}

// The signed report says what it is: a document of another kind that the server has signed must not pass for one.
func TestSignedReportHasItsOwnType(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	d := newDesk(w)
	kind := ""
	d.Sign = func(_ context.Context, k string, document []byte) (string, error) {
		kind = k
		return string(document), nil
	}
	text, err := d.SignedReport(t.Context(), partner(w.Fjord), desk.ReportFilter{})
	w.Must(err)
	var r desk.Report
	w.Must(json.Unmarshal([]byte(text), &r))
	if kind != desk.ReportType+"+jws" || r.Type != desk.ReportType || len(r.Joiners) != 3 {
		t.Errorf("%q %+v", kind, r)
	}
}

// Of an environment the report tells what was done to it alone, though the same line changed another.
func TestReportOfOneEnvironment(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	yes := true
	_, _, err := w.Service.SetIntegration(t.Context(), apptest.Operator, w.Fjord.Finance.ID, directory.IntegrationInput{Enabled: &yes, TenantID: &w.Fjord.Tenant.ID, Groups: []string{w.Fjord.GroupID}})
	w.Must(err)
	w.SignIn(w.Fjord.Plain)
	setActive(w, w.Fjord, w.Fjord.Users[2], false)
	finance := actor(directory.RoleEnvironment, nil, []directory.ID{w.Fjord.Finance.ID})
	for name, c := range map[string]struct {
		by   directory.Actor
		f    desk.ReportFilter
		want []directory.ID
	}{
		"both":                      {partner(w.Fjord), desk.ReportFilter{}, []directory.ID{w.Fjord.Production.ID, w.Fjord.Finance.ID}},
		"one":                       {partner(w.Fjord), desk.ReportFilter{Environment: w.Fjord.Finance.ID}, []directory.ID{w.Fjord.Finance.ID}},
		"who sees one":              {finance, desk.ReportFilter{}, []directory.ID{w.Fjord.Finance.ID}},
		"who sees one, and asks so": {finance, desk.ReportFilter{Environment: w.Fjord.Finance.ID}, []directory.ID{w.Fjord.Finance.ID}},
	} {
		r := report(w, c.by, c.f)
		if len(r.Leavers) != 1 || r.Leavers[0].Sessions != 1 {
			t.Errorf("%s: %+v", name, r.Leavers)
			continue
		}
		var got []directory.ID
		for _, e := range r.Leavers[0].Environments {
			got = append(got, e.ID)
		}
		slices.SortFunc(got, func(a, b directory.ID) int { return strings.Compare(a.String(), b.String()) })
		slices.SortFunc(c.want, func(a, b directory.ID) int { return strings.Compare(a.String(), b.String()) })
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, not %v", name, got, c.want)
		}
	}
}

// Of a run that somebody does not see the report does not say that it took no time: it says that it does not know.
func TestReportOfARunOfOthers(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	yes := true
	_, _, err := w.Service.SetIntegration(t.Context(), apptest.Operator, w.Fjord.Finance.ID, directory.IntegrationInput{Enabled: &yes, TenantID: &w.Fjord.Tenant.ID, Groups: []string{w.Fjord.GroupID}})
	w.Must(err)
	run := &directory.Run{ID: directory.ID{1, 2, 3}, EnvironmentID: w.Fjord.Production.ID, TenantID: w.Fjord.Tenant.ID, State: directory.RunRunning, Trigger: directory.TriggerAllow, Started: w.Now(),
		Approval: &directory.Approval{By: directory.Actor{ID: w.Boss.ID.String()}, Reason: "a secret reason", Given: w.Now()}}
	w.Must(w.Service.SaveRun(t.Context(), run, func(*directory.PullState) {}))
	by := push(w.Fjord)
	by.Channel, by.RunID = "pull", run.ID
	_, err = w.Service.UpdateGroup(t.Context(), by, w.Fjord.Tenant.ID, w.Fjord.Group.ID, func(g *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
		return directory.GroupInput{DisplayName: g.DisplayName, ExternalID: g.ExternalID, Schemas: g.Schemas, Attributes: g.Attributes}, m.Clear()
	})
	w.Must(err)
	for name, c := range map[string]struct {
		by    directory.Actor
		basis string
	}{"who sees the run": {administrator(w.Fjord), "run"}, "who does not": {actor(directory.RoleEnvironment, nil, []directory.ID{w.Fjord.Finance.ID}), "unknown"}} {
		r := report(w, c.by, desk.ReportFilter{})
		if len(r.Leavers) != 3 {
			t.Fatalf("%s: %d leavers", name, len(r.Leavers))
		}
		l, known := r.Leavers[0], c.basis == "run"
		if l.Basis != c.basis || (l.Received != nil) != known || (l.Seconds != nil) != known || (l.RunID != nil) != known || (l.Approval != nil) != known || l.Channel != "pull" || (r.Left.Timed == 3) != known {
			t.Errorf("%s: %+v", name, l)
		}
		if text, err := json.Marshal(r); err != nil || strings.Contains(string(text), "secret reason") != known {
			t.Errorf("%s: %s %v", name, text, err)
		}
	}
}
