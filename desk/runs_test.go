package desk_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// keepRun writes a run of an environment as the pull would have.
func keepRun(w *apptest.World, env *directory.Environment, number int, state directory.RunState, edit func(*directory.Run)) directory.ID {
	w.Helper()
	id := directory.ID{6: 0x70, 8: 0x80, 14: byte(number >> 8), 15: byte(number)}
	run := &directory.Run{ID: id, EnvironmentID: env.ID, TenantID: w.Fjord.Tenant.ID, Trigger: directory.TriggerSchedule, State: state,
		Actor: directory.Actor{Role: directory.RoleSystem, Channel: "pull"}, Started: w.Now(), Ended: w.Now()}
	if edit != nil {
		edit(run)
	}
	w.Must(w.Service.SaveRun(w.Context(), run, nil))
	return id
}

// runsOf turns all pages of a list.
func runsOf(w *apptest.World, by directory.Actor, f desk.RunFilter, limit int) (ids []directory.ID, pages int) {
	w.Helper()
	for p := (desk.Page{Limit: limit}); ; {
		list, err := w.App.Desk().Runs(w.Context(), by, f, p)
		w.Must(err)
		pages++
		for _, r := range list.Items {
			ids = append(ids, r.ID)
		}
		if len(list.Items) > limit {
			w.Fatalf("%d on a page of %d", len(list.Items), limit)
		}
		if p.After = list.Next; p.After == "" {
			return ids, pages
		}
	}
}

// Runs of several environments are one list by time, whatever the pages, and each sees its own.
func TestRunsAreOneList(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	envs := []*directory.Environment{w.Fjord.Production, w.Fjord.Finance, w.Nordwind.Production}
	var all, fjord, production, failed []directory.ID
	for n := range 60 { // in runs of several lengths, so that one environment is read on more often than another
		env := envs[n*n%7%3]
		state := []directory.RunState{directory.RunComplete, directory.RunFailed}[n%5/4]
		id := keepRun(w, env, n+1, state, nil)
		all = append(all, id)
		if env != w.Nordwind.Production {
			fjord = append(fjord, id)
		}
		if env == w.Fjord.Production {
			production = append(production, id)
		}
		if state == directory.RunFailed {
			failed = append(failed, id)
		}
	}
	admin := directory.Actor{Role: directory.RoleEnvironment, Reach: &directory.Reach{Environments: []directory.ID{w.Fjord.Production.ID}}}
	partner := directory.Actor{Role: directory.RolePartner, Reach: &directory.Reach{Organizations: []directory.ID{w.Fjord.Organization.ID}}}
	for _, c := range []struct {
		name string
		by   directory.Actor
		f    desk.RunFilter
		want []directory.ID
	}{
		{"an operator", apptest.Operator, desk.RunFilter{}, all},
		{"a partner", partner, desk.RunFilter{}, fjord},
		{"an administrator", admin, desk.RunFilter{}, production},
		{"one environment", apptest.Operator, desk.RunFilter{Environment: w.Fjord.Production.ID}, production},
		{"one state", apptest.Operator, desk.RunFilter{State: directory.RunFailed}, failed},
		{"a trigger of none", apptest.Operator, desk.RunFilter{Trigger: directory.TriggerManual}, nil},
		{"changes of none", apptest.Operator, desk.RunFilter{Changed: true}, nil},
	} {
		want := slices.Clone(c.want)
		slices.Reverse(want)
		for _, limit := range []int{1, 2, 7, 59, 60, 61} {
			got, pages := runsOf(w, c.by, c.f, limit)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s in pages of %d:\n%s", c.name, limit, d)
			}
			if most := len(want)/limit + 1; pages > most {
				t.Errorf("%s in pages of %d: %d pages", c.name, limit, pages)
			}
		}
	}
	if _, err := w.App.Desk().Runs(t.Context(), directory.Actor{Role: directory.RoleUser}, desk.RunFilter{}, desk.Page{}); directory.KindOf(err) != directory.Forbidden {
		t.Errorf("a user: %v", err)
	}
}

// A filter that fits little does not read the whole history for one page.
func TestRunsLookAtSoManyAtOnce(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	var writers sync.WaitGroup
	for part := range 64 {
		writers.Go(func() {
			for n := part; n < 3100; n += 64 {
				state := directory.RunComplete
				if n == 0 {
					state = directory.RunFailed
				}
				keepRun(w, w.Fjord.Production, n+1, state, nil)
			}
		})
	}
	writers.Wait()
	d := w.App.Desk()
	first, err := d.Runs(t.Context(), apptest.Operator, desk.RunFilter{State: directory.RunFailed}, desk.Page{})
	if err != nil || len(first.Items) != 0 || first.Next == "" {
		t.Fatalf("%v %+v", err, first)
	}
	second, err := d.Runs(t.Context(), apptest.Operator, desk.RunFilter{State: directory.RunFailed}, desk.Page{After: first.Next})
	if err != nil || len(second.Items) != 1 || second.Next != "" {
		t.Errorf("%v %+v", err, second)
	}
	if page := w.SignIn(w.Boss).Get("/runs?state=failed"); page.Status != 200 || !strings.Contains(page.Body, "Look further back") {
		t.Errorf("%d\n%s", page.Status, page.Body)
	}
}

// What is about an environment of others is told without its name.
func TestRunNamesNoEnvironmentOfOthers(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	id := keepRun(w, w.Fjord.Production, 1, directory.RunQuarantined, func(r *directory.Run) {
		r.Reasons = []string{"would deactivate 12 of 40 active external users of Secret: more than 10"}
		r.Findings = []directory.Finding{{Kind: directory.FindingRun, EnvironmentID: w.Fjord.Finance.ID, Detail: "Secret", Count: 12, Of: 40, Limit: 10}}
		r.Actor = directory.Actor{Role: directory.RoleOperator, Channel: "cli", ID: "root"}
	})
	w.Must(w.Service.SaveItems(t.Context(), id, []directory.PlanItem{{Number: 1, Kind: directory.ItemRevoke, UserName: "ana", Outcome: directory.OutcomeApplied,
		Accesses: []directory.AccessEffect{{EnvironmentID: w.Fjord.Production.ID, AccountID: w.Fjord.Plain.ID, Effect: "deactivated"}, {EnvironmentID: w.Fjord.Finance.ID, AccountID: w.Fjord.Plain.ID, Effect: "deactivated"}}}}))
	admin := directory.Actor{Role: directory.RoleEnvironment, Reach: &directory.Reach{Environments: []directory.ID{w.Fjord.Production.ID}}}
	run, err := w.App.Desk().Run(t.Context(), admin, id)
	if err != nil || len(run.Findings) != 1 || run.Findings[0].Environment != nil || strings.Contains(run.Findings[0].Text, "Secret") || run.By.Name != "" {
		t.Errorf("%v %+v", err, run)
	}
	if f := run.Findings[0]; f.Kind != "run" || f.Detail != "" || f.Count != 0 || f.Of != 0 || f.Limit != 0 {
		t.Errorf("figures of an environment that is not seen: %+v", f)
	}
	if page := w.SignIn(w.Fjord.Admin).Get("/runs/" + id.String()); page.Status != 200 || !strings.Contains(page.Body, "Too many people would lose access to another environment of this tenant") {
		t.Errorf("%d\n%s", page.Status, page.Body)
	}
	items, err := w.App.Desk().RunItems(t.Context(), admin, id, desk.RunItemFilter{}, desk.Page{})
	if err != nil || len(items.Items) != 1 || len(items.Items[0].Accesses) != 1 || items.Items[0].Accesses[0].Environment.ID != w.Fjord.Production.ID {
		t.Errorf("%v %+v", err, items)
	}
	run, err = w.App.Desk().Run(t.Context(), apptest.Operator, id)
	if err != nil || run.Findings[0].Environment == nil || !strings.Contains(run.Findings[0].Text, "Secret") || run.By.Name != "root" {
		t.Errorf("%v %+v", err, run)
	}
}

// Failures come first, whatever the pages and filters; each person once.
func TestRunItemsInPages(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	outcomes := []directory.Outcome{directory.OutcomeApplied, directory.OutcomeHeld, directory.OutcomeFailed, directory.OutcomeWaiting, directory.OutcomeConflict}
	kinds := []directory.ItemKind{directory.ItemCreate, directory.ItemRevoke, directory.ItemUpdate}
	var items []directory.PlanItem
	for n := range uint64(60) {
		items = append(items, directory.PlanItem{Number: n + 1, Kind: kinds[n%3], Outcome: outcomes[n%5], UserName: `"outcome":"failed"`, Reason: `"kind":"revoke"`})
	}
	id := keepRun(w, w.Fjord.Production, 1, directory.RunComplete, func(r *directory.Run) { r.Counts.Failed, r.Counts.Conflict = 12, 12 })
	w.Must(w.Service.SaveItems(t.Context(), id, items))
	calm := keepRun(w, w.Fjord.Production, 2, directory.RunComplete, nil)
	w.Must(w.Service.SaveItems(t.Context(), calm, slices.DeleteFunc(slices.Clone(items), func(i directory.PlanItem) bool {
		return i.Outcome == directory.OutcomeFailed || i.Outcome == directory.OutcomeConflict
	})))
	for _, f := range []desk.RunItemFilter{{}, {Kinds: []directory.ItemKind{directory.ItemRevoke}}, {Outcomes: []directory.Outcome{directory.OutcomeFailed}},
		{Outcomes: []directory.Outcome{directory.OutcomeHeld, directory.OutcomeConflict}, Kinds: []directory.ItemKind{directory.ItemCreate, directory.ItemUpdate}}} {
		for _, run := range []directory.ID{id, calm} {
			var want []uint64
			for _, bad := range []bool{true, false} {
				for _, i := range items {
					is := i.Outcome == directory.OutcomeFailed || i.Outcome == directory.OutcomeConflict
					if is != bad || is && run == calm || len(f.Kinds) > 0 && !slices.Contains(f.Kinds, i.Kind) || len(f.Outcomes) > 0 && !slices.Contains(f.Outcomes, i.Outcome) {
						continue
					}
					want = append(want, i.Number)
				}
			}
			for _, limit := range []int{1, 2, 5, 12, 24, 25, 100} {
				var got []uint64
				for p := (desk.Page{Limit: limit}); ; {
					list, err := w.App.Desk().RunItems(t.Context(), apptest.Operator, run, f, p)
					w.Must(err)
					for _, i := range list.Items {
						got = append(got, i.Number)
					}
					if p.After = list.Next; p.After == "" {
						break
					}
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%+v in pages of %d:\n%s", f, limit, d)
				}
			}
		}
	}
	for _, after := range []string{"x", "2.1", "0.x", "1.", ".1", "0.-1"} {
		if _, err := w.App.Desk().RunItems(t.Context(), apptest.Operator, id, desk.RunItemFilter{}, desk.Page{After: after}); directory.KindOf(err) != directory.Invalid {
			t.Errorf("%q: %v", after, err)
		}
	}
}

// How fast a run goes is told once there is something to tell it by.
func TestRunPace(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name        string
		done, total int
		took        time.Duration
		rate        float64
		left        int
	}{
		{"nothing done", 0, 100, 10 * time.Second, 0, 0},
		{"too early to say", 50, 100, 900 * time.Millisecond, 0, 0},
		{"half", 50, 100, 10 * time.Second, 5, 11},
		{"of how many is not known", 50, 0, 10 * time.Second, 5, 0},
		{"all", 100, 100, 10 * time.Second, 10, 0},
	} {
		rate, left := desk.Pace(&directory.Run{StageStarted: at, Done: c.done, Total: c.total}, at.Add(c.took))
		if rate != c.rate || left != c.left {
			t.Errorf("%s: %v a second, %d left", c.name, rate, left)
		}
	}
	if rate, _ := desk.Pace(&directory.Run{Done: 5}, at); rate != 0 {
		t.Errorf("%v a second of a run that waits for its turn", rate)
	}
}
