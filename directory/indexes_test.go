package directory_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
)

// keepPlan saves a plan of n items with all kinds and outcomes, in parts, then changes the outcome or the kind of every third.
func (s *scene) keepPlan(run *directory.Run, n int) []directory.PlanItem {
	s.Helper()
	random := rand.New(rand.NewPCG(1, uint64(n)))
	items := make([]directory.PlanItem, n)
	for i := range items {
		items[i] = directory.PlanItem{Number: uint64(i + 1), UserName: fmt.Sprintf("person%d", i), Kind: kinds[random.IntN(len(kinds))], Outcome: directory.OutcomePlanned}
	}
	save := func(part []directory.PlanItem) {
		if err := s.svc.SaveItems(s.ctx, run.ID, part); err != nil {
			s.Fatalf("SaveItems: %v", err)
		}
	}
	save(items)
	var changed []directory.PlanItem
	for i := range items {
		if i%3 == 0 {
			items[i].Outcome = outcomes[random.IntN(len(outcomes))]
		}
		if i%9 == 0 {
			items[i].Kind = kinds[random.IntN(len(kinds))]
		}
		changed = append(changed, items[i])
	}
	save(changed)
	save(changed) // once more: nothing differs
	return items
}

// Whatever the filter and the place, it is what a look at each item finds.
func TestSelectItems(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	run, other := s.startRun(s.production), s.startRun(s.elsewhere)
	items := s.keepPlan(run, 900)
	s.keepPlan(other, 40)
	checkInvariants(s.world)
	for _, ks := range [][]directory.ItemKind{nil, {directory.ItemCreate}, {directory.ItemConflict, directory.ItemCreate}, kinds} {
		for _, os := range [][]directory.Outcome{nil, {directory.OutcomePlanned}, {directory.OutcomeFailed}, {directory.OutcomeFailed, directory.OutcomeApplied, directory.OutcomeHeld}, outcomes} {
			for _, after := range []uint64{0, 1, 450, 899, 900, 5000} {
				var got, want []uint64
				view(s.world, func(sn *directory.Snapshot) (bool, error) {
					return true, sn.SelectItems(run.ID, after, ks, os, func(i *directory.PlanItem) bool {
						got = append(got, i.Number)
						if diff := cmp.Diff(items[i.Number-1], *i); diff != "" {
							t.Errorf("item %d (-want +got):\n%s", i.Number, diff)
						}
						return len(got) < 300
					})
				})
				for _, i := range items {
					if i.Number > after && (ks == nil || slices.Contains(ks, i.Kind)) && (os == nil || slices.Contains(os, i.Outcome)) && len(want) < 300 {
						want = append(want, i.Number)
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%v %v after %d (-want +got):\n%s", ks, os, after, diff)
				}
			}
		}
	}
}

// Items without an outcome or a kind, and of ones that this version does not know, are found without a filter and
// change into others.
func TestSelectUnknownItems(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	run := s.startRun(s.production)
	items := []directory.PlanItem{{Number: 1}, {Number: 2, Kind: "merge", Outcome: "postponed"}, {Number: 3, Kind: directory.ItemCreate}}
	for range 2 {
		if err := s.svc.SaveItems(s.ctx, run.ID, items); err != nil {
			t.Fatal(err)
		}
		checkInvariants(s.world)
		items[1].Kind, items[1].Outcome = directory.ItemUpdate, directory.OutcomeApplied
	}
	count := func(ks []directory.ItemKind) (n int) {
		view(s.world, func(sn *directory.Snapshot) (bool, error) {
			return true, sn.SelectItems(run.ID, 0, ks, nil, func(*directory.PlanItem) bool { n++; return true })
		})
		return n
	}
	if all, creates := count(nil), count([]directory.ItemKind{directory.ItemCreate}); all != 3 || creates != 1 {
		t.Errorf("%d items, %d to create; want 3 and 1", all, creates)
	}
}

// What few of many fit costs what the few cost.
func TestSelectItemsReadsFew(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	cost := func(n int) operations {
		run := s.startRun(s.production)
		items := make([]directory.PlanItem, n)
		for i := range items {
			items[i] = directory.PlanItem{Number: uint64(i + 1), Kind: directory.ItemUpdate, Outcome: directory.OutcomeApplied}
		}
		items[n-1].Outcome = directory.OutcomeFailed
		if err := s.svc.SaveItems(s.ctx, run.ID, items); err != nil {
			t.Fatal(err)
		}
		return s.store.counted(func() {
			found := 0
			view(s.world, func(sn *directory.Snapshot) (bool, error) {
				return true, sn.SelectItems(run.ID, 0, nil, []directory.Outcome{directory.OutcomeFailed, directory.OutcomeConflict}, func(*directory.PlanItem) bool { found++; return true })
			})
			if found != 1 {
				t.Errorf("%d failed", found)
			}
		})
	}
	if diff := cmp.Diff(cost(10), cost(4000)); diff != "" {
		t.Errorf("it depends on the size of the plan (-10 +4000):\n%s", diff)
	}
}

// Administrators are those whom the accesses say, active or not, however they came and went.
func TestEnvironmentAdministrators(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	list := func(env directory.ID) (names []string) {
		all := view(s.world, func(sn *directory.Snapshot) ([]*directory.Access, error) { return sn.EnvironmentAdministrators(env) })
		for _, a := range all {
			names = append(names, fmt.Sprint(a.Name, " ", a.Active))
			if !a.Administrator || a.EnvironmentID != env {
				t.Errorf("%+v is no administrator of it", a)
			}
		}
		slices.Sort(names)
		return names
	}
	bo := s.createUser(s.fjord, person("bo", 42))
	s.add(s.pilots, s.ada, bo)
	for _, u := range []*directory.User{s.ada, bo} {
		must(s.svc.SetAdministrator(s.ctx, operator, u.AccountID, s.production, true))
	}
	both := list(s.production)
	if len(both) != 2 || len(list(s.test)) != 0 {
		t.Fatalf("%q, elsewhere %q", both, list(s.test))
	}
	checkInvariants(s.world)
	s.setActive(bo, false)
	if got := list(s.production); len(got) != 2 || !strings.Contains(strings.Join(got, ","), "false") {
		t.Errorf("one of whom is inactive: %q", got)
	}
	checkInvariants(s.world)
	must(s.svc.SetAdministrator(s.ctx, operator, s.ada.AccountID, s.production, false))
	if got := list(s.production); len(got) != 1 {
		t.Errorf("one was taken back: %q", got)
	}
	checkInvariants(s.world)
}

// A store of an older version gets its indexes, in steps, once.
func TestBuildIndexes(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.add(s.pilots, s.ada)
	must(s.svc.SetAdministrator(s.ctx, operator, s.ada.AccountID, s.production, true))
	s.keepPlan(s.startRun(s.production), directory.BuildRows+10)
	checkInvariants(s.world)
	whole := s.dump()
	late := []string{"environment_administrator\x00", "pull_run_item_place\x00"}
	isLate := func(k string) bool {
		return slices.ContainsFunc(late, func(t string) bool { return strings.HasPrefix(k, t) })
	}
	err := s.store.Store.Update(s.ctx, func(w directory.Writer) error {
		for k := range whole {
			if isLate(k) {
				name, k, _ := strings.Cut(k, "\x00")
				i := slices.IndexFunc(directory.Tables, func(t *directory.Table) bool { return t.Name == name })
				if err := w.Delete(directory.Tables[i], []byte(k)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	build := func() {
		t.Helper()
		if err := s.svc.BuildIndexes(s.ctx); err != nil {
			t.Fatal(err)
		}
	}
	if cost := s.store.counted(build); cost.Updates != 3 { // the items in two steps
		t.Errorf("%d steps", cost.Updates)
	}
	checkInvariants(s.world)
	after := s.dump()
	delete(after, "settings\x00indexes")
	if diff := cmp.Diff(whole, after); diff != "" {
		t.Errorf("another store (-want +got):\n%.2000s", diff)
	}
	s.unchanged(build)
	if cost := s.store.counted(build); cost.Updates != 0 {
		t.Errorf("%d changes where everything is there", cost.Updates)
	}
}

// Times and channels of the log are those of its lines.
func TestLogTimes(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.add(s.pilots, s.ada)
	s.clock.Advance(time.Minute)
	if err := s.svc.LogFailure(s.ctx, operator, directory.LogEvent{TenantID: s.fjord, Action: directory.ActionOther, TargetType: "User", Detail: `"actor":{"channel":"none"}`}); err != nil {
		t.Fatal(err)
	}
	var got, want []string
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		err := sn.LogTimes(s.fjord, func(at time.Time, channel string) bool {
			got = append(got, at.String()+channel)
			return true
		})
		return true, errors.Join(err, sn.Log(s.fjord, 0, true, func(e *directory.LogEvent) bool {
			want = append(want, e.Time.String()+e.Actor.Channel)
			return true
		}))
	})
	if diff := cmp.Diff(want, got); diff != "" || len(got) < 3 {
		t.Errorf("%d lines (-want +got):\n%s", len(got), diff)
	}
}

// An entry that merely holds the mark of an action in its detail is none of it.
func TestAuditOf(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	note := func(action, detail string) {
		if err := s.svc.Audit(s.ctx, operator, action, "it", json.RawMessage(detail)); err != nil {
			t.Fatal(err)
		}
	}
	note("one.two", `{"n":1}`)
	note("other", `{"action":"one.two"}`)
	note("one.two", `{"n":2}`)
	last := view(s.world, func(sn *directory.Snapshot) (n uint64, err error) {
		return n, sn.Audit(0, func(e *directory.AuditEntry) bool { n = e.Sequence; return true })
	})
	for most, wantWhole := range map[int]bool{1000: true, int(last) - 1: false} {
		found := 0
		whole := view(s.world, func(sn *directory.Snapshot) (bool, error) {
			return sn.AuditOf("one.two", 0, most, func(e *directory.AuditEntry) {
				found++
				if e.Action != "one.two" {
					t.Errorf("%+v", e)
				}
			})
		})
		if want := map[bool]int{true: 2, false: 1}[wantWhole]; whole != wantWhole || found != want {
			t.Errorf("of %d entries: %d, whole %v", most, found, whole)
		}
	}
}
