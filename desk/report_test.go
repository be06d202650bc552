package desk_test

import (
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// setActive is a push that says whether somebody is active.
func setActive(w *apptest.World, c *apptest.Customer, u *directory.User, active bool) {
	w.Helper()
	_, err := w.Service.UpdateUser(w.Context(), push(c), c.Tenant.ID, u.ID, func(u *directory.User) (directory.UserInput, error) {
		p := u.Profile
		p.Active = active
		return directory.UserInput{Profile: p, SaysActive: true, Schemas: u.Schemas, Attributes: u.Attributes, Changes: []directory.Change{{Name: "active"}}}, nil
	})
	w.Must(err)
}

func report(w *apptest.World, by directory.Actor, f desk.ReportFilter) desk.Report {
	w.Helper()
	r, err := newDesk(w).LeaversAndJoiners(w.Context(), by, f)
	w.Must(err)
	return r
}

func TestReportOfPush(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	w.SignIn(w.Fjord.Plain)
	w.SignIn(w.Fjord.Plain)
	w.Advance(time.Hour)
	setActive(w, w.Fjord, w.Fjord.Users[2], false)
	w.Advance(time.Hour)
	setActive(w, w.Fjord, w.Fjord.Users[2], true)
	r := report(w, partner(w.Fjord), desk.ReportFilter{})
	if len(r.Leavers) != 1 || len(r.Joiners) != 4 || r.Left.Count != 1 || r.Joined.Count != 4 || r.Cut || !r.SignIns {
		t.Fatalf("%+v", r)
	}
	l := r.Leavers[0]
	if l.Person.ID != w.Fjord.Plain.ID || l.Basis != "transaction" || l.Seconds == nil || *l.Seconds != 0 || !l.Received.Equal(l.Ended) || l.Sessions != 2 || l.SessionsEnded == nil ||
		!l.SessionsEnded.Equal(l.Ended) || l.Channel != "push" || len(l.Environments) != 1 || l.Environments[0].ID != w.Fjord.Production.ID || r.Left.Sessions != 2 {
		t.Errorf("%+v", l)
	}
	back := r.Joiners[0]
	if !back.Returned || back.FirstSignIn != nil || back.Person.ID != w.Fjord.Plain.ID {
		t.Errorf("%+v", back)
	}
	for _, j := range r.Joiners[1:] {
		if j.Returned || j.Created == nil || (j.FirstSignIn != nil) != (j.Person.ID == w.Fjord.Plain.ID) {
			t.Errorf("%+v", j)
		}
	}
	// The same for an administrator; nothing for who is of another customer.
	if r := report(w, administrator(w.Fjord), desk.ReportFilter{}); len(r.Leavers) != 1 || r.Leavers[0].Sessions != 2 || len(r.Joiners) != 4 {
		t.Errorf("%+v", r)
	}
	for _, by := range []directory.Actor{partner(w.Nordwind), administrator(w.Nordwind)} {
		if r := report(w, by, desk.ReportFilter{}); len(r.Leavers) != 0 || len(r.Joiners) != 3 {
			t.Errorf("%+v", r)
		}
	}
	if r := report(w, apptest.Operator, desk.ReportFilter{From: w.Now().Add(-30 * time.Minute)}); len(r.Leavers) != 0 || len(r.Joiners) != 1 {
		t.Errorf("the last half hour: %d, %d", len(r.Leavers), len(r.Joiners))
	}
	if r := report(w, apptest.Operator, desk.ReportFilter{To: w.Now().Add(-90 * time.Minute)}); len(r.Leavers) != 0 || len(r.Joiners) != 6 {
		t.Errorf("before: %d, %d", len(r.Leavers), len(r.Joiners))
	}
	if r := report(w, apptest.Operator, desk.ReportFilter{Tenant: w.Nordwind.Tenant.ID}); len(r.Leavers) != 0 || len(r.Joiners) != 3 {
		t.Errorf("of a tenant: %d, %d", len(r.Leavers), len(r.Joiners))
	}
	for _, f := range []desk.ReportFilter{{From: w.Now().AddDate(0, 0, -400)}, {From: w.Now(), To: w.Now().Add(-time.Hour)}} {
		if _, err := newDesk(w).LeaversAndJoiners(t.Context(), apptest.Operator, f); directory.KindOf(err) != directory.Invalid {
			t.Errorf("%v: %v", f, err)
		}
	}
}

// What a run did is timed from when it began to read; what a change of the integration did from that change.
func TestReportOfRunsAndSettings(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	off := false
	_, _, err := w.Service.SetIntegration(t.Context(), apptest.Operator, w.Fjord.Production.ID, directory.IntegrationInput{Enabled: &off})
	w.Must(err)
	r := report(w, partner(w.Fjord), desk.ReportFilter{})
	if len(r.Leavers) != 3 || r.Leavers[0].Basis != "settings" || r.Leavers[0].Seconds == nil || *r.Leavers[0].Seconds != 0 {
		t.Errorf("%+v", r.Leavers)
	}
	began := w.Now().UTC().Truncate(time.Millisecond)
	run := &directory.Run{ID: directory.ID{1, 2, 3}, EnvironmentID: w.Nordwind.Production.ID, TenantID: w.Nordwind.Tenant.ID, State: directory.RunRunning, Trigger: directory.TriggerAllow, Started: began,
		Approval: &directory.Approval{By: directory.Actor{ID: w.Boss.ID.String()}, Reason: "the team has moved", Given: began}}
	w.Must(w.Service.SaveRun(t.Context(), run, func(*directory.PullState) {}))
	w.Advance(4200 * time.Millisecond)
	by := push(w.Nordwind)
	by.Channel, by.RunID = "pull", run.ID
	_, err = w.Service.UpdateGroup(t.Context(), by, w.Nordwind.Tenant.ID, w.Nordwind.Group.ID, func(g *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
		return directory.GroupInput{DisplayName: g.DisplayName, ExternalID: g.ExternalID, Schemas: g.Schemas, Attributes: g.Attributes}, m.Clear()
	})
	w.Must(err)
	r = report(w, partner(w.Nordwind), desk.ReportFilter{})
	if len(r.Leavers) != 3 || r.Left.Median == nil || *r.Left.Slowest < 4.2 || *r.Left.Slowest > 60 || r.Left.Timed != 3 {
		t.Fatalf("%+v", r)
	}
	l := r.Leavers[0]
	if l.Basis != "run" || !l.Received.Equal(began) || l.Channel != "pull" || l.RunID == nil || l.Approval == nil || l.Approval.By != "Boss Operator" || l.Approval.Reason != "the team has moved" {
		t.Errorf("%+v", l)
	}
}

func TestAuditOfDesk(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	d := newDesk(w)
	for _, by := range []directory.Actor{partner(w.Fjord), administrator(w.Fjord), {}} {
		if _, err := d.Audit(t.Context(), by, desk.AuditFilter{}, desk.Page{}); directory.KindOf(err) != directory.Forbidden {
			t.Errorf("%q reads: %v", by.Role, err)
		}
		if _, err := d.VerifyAudit(t.Context(), by); directory.KindOf(err) != directory.Forbidden {
			t.Errorf("%q verifies: %v", by.Role, err)
		}
	}
	var got []desk.AuditEntry
	for after := ""; ; {
		list, err := d.Audit(t.Context(), apptest.Operator, desk.AuditFilter{}, desk.Page{After: after, Limit: 7})
		w.Must(err)
		got = append(got, list.Items...)
		if after = list.Next; after == "" {
			break
		}
	}
	check, err := d.VerifyAudit(t.Context(), apptest.Operator)
	if err != nil || !check.Whole || check.Entries != uint64(len(got)) || check.Head != got[0].Hash {
		t.Errorf("%+v, %d entries, %v", check, len(got), err)
	}
	for i, e := range got {
		if e.Sequence != uint64(len(got)-i) {
			t.Fatalf("entry %d is at %d", e.Sequence, i)
		}
	}
	for name, c := range map[string]struct {
		f    desk.AuditFilter
		want int
	}{"action": {desk.AuditFilter{Action: "tenant.create"}, 2}, "kind of action": {desk.AuditFilter{Action: "tenant"}, 2}, "no part of a word": {desk.AuditFilter{Action: "tenan"}, 0},
		"target": {desk.AuditFilter{Target: "FJORD", Action: "tenant"}, 1}, "name of a target": {desk.AuditFilter{Target: "boss operator"}, 2}, "actor": {desk.AuditFilter{Actor: "SETUP"}, len(got)},
		"another actor": {desk.AuditFilter{Actor: "nobody"}, 0}, "later": {desk.AuditFilter{From: w.Now().Add(time.Hour)}, 0}, "before": {desk.AuditFilter{To: w.Now().Add(-3 * time.Hour)}, 0}} {
		list, err := d.Audit(t.Context(), apptest.Operator, c.f, desk.Page{Limit: 100})
		if err != nil || len(list.Items) != c.want {
			t.Errorf("%s: %d entries, not %d; %v", name, len(list.Items), c.want, err)
		}
	}
	if _, err := d.Audit(t.Context(), apptest.Operator, desk.AuditFilter{}, desk.Page{After: "x"}); directory.KindOf(err) != directory.Invalid {
		t.Error(err)
	}
}
