package desk_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

var boss = directory.Actor{Role: directory.RoleOperator, ID: "boss"}

func administratorOf(ids ...directory.ID) directory.Actor {
	return directory.Actor{Role: directory.RoleEnvironment, ID: "admin", Reach: &directory.Reach{Environments: ids}}
}

func wantKind(t *testing.T, err error, want directory.ErrorKind) {
	t.Helper()
	if err == nil || directory.KindOf(err) != want {
		t.Errorf("error %v, not of kind %v", err, want)
	}
}

// Whatever the size of a page, all pages together are the whole list in its order.
func TestEnvironmentPages(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	d := w.App.Desk()
	for i := range 23 {
		_, err := w.Service.CreateEnvironment(w.Context(), apptest.Operator, w.Nordwind.Organization.ID, fmt.Sprintf("%c%d test", 'a'+i%5, i))
		w.Must(err)
	}
	whole, err := d.Environments(w.Context(), boss, desk.EnvironmentFilter{}, desk.Page{Limit: 100})
	if err != nil || whole.Total != 27 || len(whole.Items) != 27 || whole.Next != "" {
		t.Fatalf("%+v, error %v", whole, err)
	}
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 30).Draw(t, "size")
		var got []desk.Environment
		for after, more := "", true; more; {
			p, err := d.Environments(context.Background(), boss, desk.EnvironmentFilter{}, desk.Page{After: after, Limit: size})
			if err != nil || p.Total != 27 || len(p.Items) == 0 || len(p.Items) > size {
				t.Fatalf("%d of %d, error %v", len(p.Items), p.Total, err)
			}
			got, after, more = append(got, p.Items...), p.Next, p.Next != ""
		}
		if diff := cmp.Diff(whole.Items, got); diff != "" {
			t.Fatalf("(-whole +pages):\n%s", diff)
		}
	})
}

func TestEnvironmentStates(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	d, env := w.App.Desk(), w.Fjord.Production
	on := true
	state := func() string {
		t.Helper()
		e, err := d.Environment(w.Context(), boss, env.ID)
		w.Must(err)
		list, err := d.Environments(w.Context(), boss, desk.EnvironmentFilter{Text: "fjord", State: e.State}, desk.Page{})
		w.Must(err)
		if !slices.ContainsFunc(list.Items, func(x desk.Environment) bool { return x.ID == env.ID }) {
			t.Errorf("the filter of %s does not find it", e.State)
		}
		return e.State
	}
	set := func(in directory.IntegrationInput) {
		t.Helper()
		_, _, err := w.Service.SetIntegration(w.Context(), apptest.Operator, env.ID, in)
		w.Must(err)
	}
	remember := func(fn func(*directory.PullState)) {
		w.Must(w.Service.UpdatePullState(w.Context(), env.ID, func(s *directory.PullState) error { fn(s); return nil }))
	}
	want := func(s string) {
		t.Helper()
		if got := state(); got != s {
			t.Errorf("%s, not %s", got, s)
		}
	}
	want("manual")
	set(directory.IntegrationInput{Periodic: &on})
	want("never")
	remember(func(s *directory.PullState) { s.LastSuccess = w.Now() })
	want("fine")
	remember(func(s *directory.PullState) { s.LastSuccess = w.Now().Add(-2 * time.Hour) })
	want("overdue")
	remember(func(s *directory.PullState) { s.Failures = 1 })
	want("failing")
	run := &directory.Run{ID: w.Fjord.Group.ID, EnvironmentID: env.ID, State: directory.RunQuarantined, Started: w.Now(), Ended: w.Now()}
	w.Must(w.Service.SaveRun(w.Context(), run, func(s *directory.PullState) { s.Quarantined, s.LastRun = run.ID, run.ID }))
	want("quarantined")
	e, err := d.Environment(w.Context(), boss, env.ID)
	if err != nil || e.Quarantined == nil || *e.Quarantined != run.ID || e.LastRun == nil || e.LastRun.State != "quarantined" {
		t.Errorf("%+v, error %v", e, err)
	}
	remember(func(s *directory.PullState) { s.Quarantined, s.Failures, s.LastSuccess = directory.ID{}, 0, w.Now() })
	remember(func(s *directory.PullState) { s.Next = w.Now().Add(time.Minute) })
	set(directory.IntegrationInput{Paused: &on})
	want("paused")
	if e, err := d.Environment(w.Context(), boss, env.ID); err != nil || e.Next != nil {
		t.Errorf("a paused one has a next run: %+v, error %v", e, err)
	}
	env = w.Fjord.Finance
	want("off")
	set(directory.IntegrationInput{Enabled: &on})
	want("incomplete")
	_, err = d.Environments(w.Context(), boss, desk.EnvironmentFilter{State: "odd"}, desk.Page{})
	wantKind(t, err, directory.Invalid)
}

func TestExpiryLevel(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for left, want := range map[time.Duration]int{31 * day: 0, 30 * day: 1, 15 * day: 1, 14 * day: 2, 7 * day: 3, 2 * day: 3, day: 4, time.Minute: 4, 0: 5, -day: 5} {
		if got := desk.ExpiryLevel(now.Add(left), now); got != want {
			t.Errorf("%v before the end: %d, not %d", left, got, want)
		}
	}
}

// The token that counts is the one that push uses.
func TestExpiries(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	d := w.App.Desk()
	ends := func() (out []string) {
		t.Helper()
		e, err := d.Environment(w.Context(), boss, w.Fjord.Production.ID)
		w.Must(err)
		for _, x := range e.Expiries {
			out = append(out, fmt.Sprintf("%s %d", x.Kind, int(x.Expires.Sub(w.Now()).Round(time.Hour)/(24*time.Hour))))
		}
		return out
	}
	want := func(list ...string) {
		t.Helper()
		if diff := cmp.Diff(list, ends()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	want("token 180")
	secret := auth.NewSecret()
	token, err := w.Service.CreateToken(w.Context(), apptest.Operator, w.Fjord.Tenant.ID, directory.NewToken{Name: "New", Hash: auth.Hash(secret.Text), Hint: secret.Hint, Life: 20 * 24 * time.Hour})
	w.Must(err)
	want("token 180") // neither was used: push is in as long as the last one lives
	w.Must(w.Service.TouchToken(w.Context(), w.Fjord.Tenant.ID, token.ID, "192.0.2.1"))
	want("token 20")
	_, err = w.Service.SetCredential(w.Context(), apptest.Operator, directory.Credential{TenantID: w.Fjord.Tenant.ID, Name: directory.GraphCredential, Kind: "federated", TokenFile: "/dev/null", Expires: w.Now().Add(5 * 24 * time.Hour)})
	w.Must(err)
	want("graph 5", "token 20")
	w.Must(w.Service.RevokeToken(w.Context(), apptest.Operator, w.Fjord.Tenant.ID, token.ID))
	want("graph 5", "token 180")
	w.Advance(200 * 24 * time.Hour)
	want("graph -195", "token -20")
	tokens, err := view(w, func(sn *directory.Snapshot) ([]*directory.Token, error) {
		return sn.Tokens(w.Fjord.Tenant.ID, directory.SecretToken)
	})
	w.Must(err)
	for _, x := range tokens {
		if x.Revoked.IsZero() {
			w.Must(w.Service.RevokeToken(w.Context(), apptest.Operator, w.Fjord.Tenant.ID, x.ID))
		}
	}
	want("graph -195") // one that was revoked is nobody's concern
}

func view[T any](w *apptest.World, fn func(*directory.Snapshot) (T, error)) (out T, err error) {
	err = w.Service.View(w.Context(), func(sn *directory.Snapshot) (err error) {
		out, err = fn(sn)
		return err
	})
	return out, err
}

// Nobody learns the names of another customer's groups by naming its tenant.
func TestKnownGroupsOfOthers(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	own := administratorOf(w.Fjord.Production.ID)
	for tenant, want := range map[directory.ID]bool{w.Fjord.Tenant.ID: true, w.Nordwind.Tenant.ID: false} {
		got, err := w.App.Desk().KnownGroups(w.Context(), own, w.Fjord.Production.ID, tenant, []string{w.Fjord.GroupID, w.Nordwind.GroupID})
		if err != nil || slices.ContainsFunc(got, func(g desk.SyncedGroup) bool { return g.Known }) != want {
			t.Errorf("%+v, error %v", got, err)
		}
	}
	_, err := w.App.Desk().KnownGroups(w.Context(), own, w.Nordwind.Production.ID, w.Nordwind.Tenant.ID, []string{w.Nordwind.GroupID})
	wantKind(t, err, directory.NotFound)
	// Nor what is wrong with settings of theirs.
	_, err = w.App.Desk().LosingAccess(w.Context(), own, w.Nordwind.Production.ID, desk.IntegrationChange{Groups: &[]string{"Sales"}})
	wantKind(t, err, directory.NotFound)
}

// What takes access from no more people than a run may is not asked about; the directory is asked for a few groups at most,
// and for none that is known here.
func TestIntegrationAsksNoMoreThanItMust(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	d, env, own := w.App.Desk(), w.Fjord.Production.ID, administratorOf(w.Fjord.Production.ID)
	if missing := d.MissingGroups(w.Context(), own, env, w.Fjord.Tenant.ID, []string{w.Fjord.GroupID}); len(missing) > 0 || w.Source.Calls(pulltest.OpGroup) > 0 {
		t.Errorf("missing %q after %d questions about a group that is known", missing, w.Source.Calls(pulltest.OpGroup))
	}
	var unknown []string
	for i := range 9 {
		unknown = append(unknown, pulltest.GroupID(60+i))
	}
	if missing := d.MissingGroups(w.Context(), own, env, w.Fjord.Tenant.ID, unknown); len(missing) != 5 || w.Source.Calls(pulltest.OpGroup) != 5 {
		t.Errorf("missing %q after %d questions", missing, w.Source.Calls(pulltest.OpGroup))
	}
	off := false
	l, err := d.LosingAccess(w.Context(), boss, env, desk.IntegrationChange{Enabled: &off})
	if err != nil || l != (desk.Losing{People: 3, Active: 3, Limit: 10}) {
		t.Errorf("%+v %v", l, err)
	}
	if got, err := d.SetIntegration(w.Context(), boss, env, desk.IntegrationChange{Enabled: &off}); err != nil || got.Enabled {
		t.Errorf("%+v %v", got, err)
	}
}

// Counted back from now, each day has the number that it had.
func TestHistoryCountsBack(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	d := w.App.Desk()
	ctx, push := w.Context(), directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: w.Fjord.Tenant.ID.String()}
	active := func(u *directory.User, on bool) {
		t.Helper()
		_, err := w.Service.UpdateUser(ctx, push, w.Fjord.Tenant.ID, u.ID, func(now *directory.User) (directory.UserInput, error) {
			in := directory.UserInput{Profile: now.Profile, Schemas: now.Schemas, Attributes: now.Attributes}
			in.Active = on
			return in, nil
		})
		w.Must(err)
	}
	w.Advance(49 * time.Hour)
	active(w.Fjord.Users[0], false)
	active(w.Fjord.Users[1], false)
	w.Advance(48 * time.Hour)
	active(w.Fjord.Users[0], true)
	h, err := d.EnvironmentHistory(ctx, administratorOf(w.Fjord.Production.ID), w.Fjord.Production.ID)
	w.Must(err)
	var got []int64
	for _, p := range h.Actives {
		got = append(got, p.Value)
	}
	// Created on the first day; four midnights (or five) have passed since.
	if len(got) < 4 || !slices.Equal(slices.Compact(got), []int64{3, 1, 2}) {
		t.Errorf("%v", got)
	}
	var pushed int64
	for _, p := range h.Pushes {
		pushed += p.Value
	}
	if pushed != 1 || len(h.Pushes) != 60 {
		t.Errorf("%d changes in %d minutes, not 1 in 60", pushed, len(h.Pushes))
	}
	_, err = d.EnvironmentHistory(ctx, administratorOf(w.Fjord.Production.ID), w.Nordwind.Production.ID)
	wantKind(t, err, directory.NotFound)
}

func TestFindGroupsInTheDesk(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	d, own := w.App.Desk(), administratorOf(w.Fjord.Production.ID)
	find := func(by directory.Actor, env, tenant directory.ID) error {
		_, err := d.FindGroups(w.Context(), by, env, tenant, "Sales")
		return err
	}
	if err := find(own, w.Fjord.Production.ID, directory.ID{}); err != nil {
		t.Error(err)
	}
	wantKind(t, find(own, w.Fjord.Production.ID, w.Nordwind.Tenant.ID), directory.NotFound)
	wantKind(t, find(own, w.Nordwind.Production.ID, w.Fjord.Tenant.ID), directory.NotFound)
	wantKind(t, find(boss, w.Fjord.Finance.ID, directory.ID{}), directory.Invalid)
	wantKind(t, find(directory.Actor{Role: directory.RoleUser}, w.Fjord.Production.ID, directory.ID{}), directory.Forbidden)
	_, err := w.App.Desk().Pull.FindGroups(w.Context(), own, w.Nordwind.Tenant.ID, "Sales") // past the desk
	wantKind(t, err, directory.NotFound)
	w.Source.SetError("find", &pull.Error{Class: pull.Permission, Detail: "grant GroupMember.Read.All"})
	wantKind(t, find(own, w.Fjord.Production.ID, directory.ID{}), directory.Unavailable)
}
