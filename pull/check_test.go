package pull_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// leave takes people out of a group of the directory.
func (w *world) leave(group, a, b int) {
	for n := a; n <= b; n++ {
		w.dir.Remove(pulltest.GroupID(group), pulltest.ID(n))
	}
}

// why makes sure that a run was stopped for a reason.
func (w *world) why(run *directory.Run, text string) {
	w.Helper()
	w.is(run, directory.RunQuarantined)
	if !strings.Contains(strings.Join(run.Reasons, "\n"), text) {
		w.Fatalf("stopped because of %q, want %q", run.Reasons, text)
	}
	if run.Hash == "" {
		w.Errorf("there is nothing to allow")
	}
}

func TestStopRules(t *testing.T) {
	tests := []struct {
		name   string
		people int
		stops  directory.Stops
		act    func(*world)
		stop   string // empty: it does not
	}{
		{"ten of few go", 30, directory.Stops{}, func(w *world) { w.leave(1, 1, 10) }, ""},
		{"eleven of few go", 30, directory.Stops{}, func(w *world) { w.leave(1, 1, 11) }, "would deactivate 11 of 30 active external users of Production: more than 10"},
		{"ten are disabled", 30, directory.Stops{}, func(w *world) {
			for n := 1; n <= 10; n++ {
				setPerson(w, n, func(p *pull.Person) { p.Enabled = false })
			}
		}, ""},
		{"eleven are disabled", 30, directory.Stops{}, func(w *world) {
			for n := 1; n <= 11; n++ {
				setPerson(w, n, func(p *pull.Person) { p.Enabled = false })
			}
		}, "would deactivate 11"},
		{"five percent of many go", 239, directory.Stops{}, func(w *world) { w.leave(1, 1, 11) }, ""},
		{"more than five percent of many go", 239, directory.Stops{}, func(w *world) { w.leave(1, 1, 12) }, "would deactivate 12 of 239 active external users of Production: more than 11"},
		{"internal users raise no figure", 30, directory.Stops{}, func(w *world) { w.internals(230); w.leave(1, 1, 12) }, "would deactivate 12 of 30 active external users of Production: more than 10"},
		{"figures of the environment, at them", 30, directory.Stops{RunCount: 3, RunPercent: 1}, func(w *world) { w.leave(1, 1, 3) }, ""},
		{"figures of the environment, above them", 30, directory.Stops{RunCount: 3, RunPercent: 1}, func(w *world) { w.leave(1, 1, 4) }, "would deactivate 4"},
		{"a day's figure that is below that of a run", 30, directory.Stops{DayCount: 2, DayPercent: 1}, func(w *world) { w.leave(1, 1, 3) }, "would bring the deactivations of the last 24 hours in Production to 3: more than 2"},
		{"nobody is left in a group", 3, directory.Stops{}, func(w *world) { w.leave(1, 1, 3) }, "has no members any more, and had 3"},
		{"one is left in a group", 3, directory.Stops{}, func(w *world) { w.leave(1, 1, 2) }, ""},
		{"ten come to ten", 10, directory.Stops{}, func(w *world) { w.people(1, 11, 20) }, ""},
		{"eleven come to ten", 10, directory.Stops{}, func(w *world) { w.people(1, 11, 21) }, "11 people would get access beside 10 who have it: more than 10"},
		{"eleven come to nobody", 0, directory.Stops{}, func(w *world) { w.people(1, 1, 11) }, "11 people would get access beside 0 who have it"},
		{"half come to many", 30, directory.Stops{}, func(w *world) { w.people(1, 31, 45) }, ""},
		{"more than half come to many", 30, directory.Stops{}, func(w *world) { w.people(1, 31, 46) }, "16 people would get access"},
		{"ten are renamed", 30, directory.Stops{}, func(w *world) { w.rename(1, 10) }, ""},
		{"eleven are renamed", 30, directory.Stops{}, func(w *world) { w.rename(1, 11) }, "11 people would get another userName: more than 10"},
		{"thirty percent of many are renamed", 40, directory.Stops{}, func(w *world) { w.rename(1, 12) }, ""},
		{"more than thirty percent of many are renamed", 40, directory.Stops{}, func(w *world) { w.rename(1, 13) }, "13 people would get another userName: more than 12"},
		{"names alone may change in number", 30, directory.Stops{}, func(w *world) {
			for n := 1; n <= 30; n++ {
				setPerson(w, n, func(p *pull.Person) { p.DisplayName = "New " + p.DisplayName })
			}
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := pushed(t, tt.people)
			w.integrate(w.env, directory.IntegrationInput{Stops: &tt.stops})
			tt.act(w)
			before := w.activeAccesses(w.env)
			run := w.sync()
			w.consistent(run)
			if tt.stop == "" {
				w.is(run, directory.RunComplete)
				if run.Counts.Held != 0 {
					t.Errorf("%d are held", run.Counts.Held)
				}
				return
			}
			w.why(run, tt.stop)
			if n := w.activeAccesses(w.env); n != before || run.Counts.Applied != 0 {
				t.Errorf("%d accesses, there were %d; %d applied", n, before, run.Counts.Applied)
			}
			w.is(w.allow(run), directory.RunComplete)
			w.nothingToDo()
		})
	}
}

// internals gives as many people access by hand.
func (w *world) internals(n int) {
	w.Helper()
	for i := range n {
		in := directory.NewAccess{Name: fmt.Sprint("Internal ", i), Email: fmt.Sprintf("internal%d@maxedy.example", i)}
		if _, _, err := w.svc.AddInternal(w.ctx, operator, w.env, in); err != nil {
			w.Fatalf("%v", err)
		}
	}
}

func (w *world) rename(a, b int) {
	for n := a; n <= b; n++ {
		setPerson(w, n, func(p *pull.Person) { p.UserPrincipalName = "new" + p.UserPrincipalName })
	}
}

func TestStopOfTheDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pushed(t, 60)
		gone := 0
		leave := func(n int) *directory.Run {
			w.leave(1, gone+1, gone+n)
			gone += n
			return w.sync()
		}
		w.is(leave(10), directory.RunComplete)
		time.Sleep(time.Hour)
		w.is(leave(9), directory.RunComplete)
		w.is(leave(1), directory.RunComplete) // 20: as many as may
		time.Sleep(23 * time.Hour)            // exactly 24 hours after the first
		run := leave(1)
		w.why(run, "of the last 24 hours in Production to 21: more than 20")
		time.Sleep(time.Millisecond) // now the first ten are of yesterday
		run = w.sync()
		w.is(run, directory.RunComplete)
		w.access(21, false)
		if w.activeAccesses(w.env) != 39 {
			t.Errorf("%d accesses", w.activeAccesses(w.env))
		}
	})
}

// What a person has allowed is no part of what stops the next run.
func TestApprovedDoNotCountForTheDay(t *testing.T) {
	w := pushed(t, 60)
	w.leave(1, 1, 25)
	run := w.allow(w.sync())
	w.is(run, directory.RunComplete)
	if c := run.Counts; c.Deactivated != 25 || c.Approved != 25 || len(run.Deactivations) != 0 || run.Approval == nil || run.Approval.Reason != "it is right" {
		t.Errorf("%+v, %v, %+v", c, run.Deactivations, run.Approval)
	}
	w.leave(1, 26, 35)
	run = w.sync()
	w.is(run, directory.RunComplete)
	if run.Counts.Approved != 0 || run.Deactivations[w.env.String()] != 10 {
		t.Errorf("%+v %v", run.Counts, run.Deactivations)
	}
}

// Another environment that syncs the group has its own figures.
func TestStopOfAnotherEnvironment(t *testing.T) {
	for _, tt := range []struct {
		name  string
		leave func(*world)
	}{
		{"by leaving the group", func(w *world) { w.leave(1, 1, 3) }},
		{"by being disabled", func(w *world) {
			for n := 1; n <= 3; n++ {
				setPerson(w, n, func(p *pull.Person) { p.Enabled = false })
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.people(1, 1, 30)
			finance := w.newEnv("Finance", w.tenant, 1)
			w.integrate(finance, directory.IntegrationInput{Stops: &directory.Stops{RunCount: 2, RunPercent: 1}})
			w.settle()
			w.settleEnv(finance)
			tt.leave(w)
			run := w.sync()
			w.why(run, "would deactivate 3 of 30 active external users of Finance: more than 2")
			if w.activeAccesses(w.env) != 30 || w.activeAccesses(finance) != 30 {
				t.Errorf("somebody lost an access")
			}
			// What is counted for Finance counts in its own runs too.
			w.integrate(finance, directory.IntegrationInput{Stops: &directory.Stops{RunCount: 3, RunPercent: 1, DayCount: 4, DayPercent: 1}})
			w.is(w.sync(), directory.RunComplete)
			if w.activeAccesses(finance) != 27 {
				t.Errorf("%d accesses of Finance", w.activeAccesses(finance))
			}
			w.leave(1, 4, 5)
			w.why(w.syncEnv(finance), "of the last 24 hours in Finance to 5: more than 4")
		})
	}
}

// A leaver whom the directory has deleted becomes inactive everywhere, unless another environment
// must not lose that many.
func TestDeletedLeaversAndAnotherEnvironment(t *testing.T) {
	w := newWorld(t)
	w.dir.SetGroup(pulltest.GroupID(2), "Finance")
	w.people(1, 1, 30)
	w.people(2, 1, 30)
	finance := w.newEnv("Finance", w.tenant, 2)
	w.integrate(finance, directory.IntegrationInput{Stops: &directory.Stops{RunCount: 2, RunPercent: 1}})
	w.settle()
	w.settleEnv(finance)
	for n := 1; n <= 3; n++ {
		w.dir.Delete(pulltest.ID(n))
	}
	run := w.sync()
	w.is(run, directory.RunComplete)
	w.plan(run, wanted{directory.ItemDeactivate, directory.OutcomeApplied, "no such user"}, wanted{directory.ItemDeactivate, directory.OutcomeApplied, "no such user"},
		wanted{directory.ItemRevoke, directory.OutcomeApplied, "no such user"})
	w.consistent(run)
	if a, b := w.activeAccesses(w.env), w.activeAccesses(finance); a != 27 || b != 28 {
		t.Errorf("%d and %d accesses, want 27 and 28", a, b)
	}
	if n := run.Deactivations[finance.String()]; n != 2 {
		t.Errorf("the run counts %d for Finance, want 2", n)
	}
}

// No environment loses its last administrator by a run of another one: who leaves a group that both
// sync stays, and a leaver whom the directory has deleted is a leaver, and not inactive everywhere.
func TestLastAdministratorOfAnotherEnvironment(t *testing.T) {
	const note = "1 people would have lost their access but are protected"
	t.Run("of the same group", func(t *testing.T) {
		w := newWorld(t)
		w.people(1, 1, 30)
		finance := w.newEnv("Finance", w.tenant, 1)
		w.settle()
		w.settleEnv(finance)
		w.appoint(1, finance)
		w.leave(1, 1, 2)
		for range 2 {
			run := w.sync()
			w.is(run, directory.RunComplete)
			if !strings.Contains(w.show(run), "revoke person1@nordwind.example withheld (in none of the Groups to Sync any more): the last administrator of environment Finance: no pull takes that access; make somebody else one first") {
				t.Errorf("the plan is\n%s", w.show(run))
			}
			if !slices.Contains(run.Notes, note) || run.Counts.Withheld != 1 {
				t.Errorf("%q, %+v", run.Notes, run.Counts)
			}
			w.consistent(run)
			if !w.hasAccess(1, w.env) || !w.hasAccess(1, finance) || w.hasAccess(2, finance) {
				t.Errorf("the accesses are wrong")
			}
		}
		w.appoint(3, finance) // somebody else, and the next run goes on
		w.is(w.sync(), directory.RunComplete)
		if w.hasAccess(1, w.env) || w.hasAccess(1, finance) {
			t.Errorf("person 1 has access")
		}
		w.nothingToDo()
	})
	t.Run("of another group", func(t *testing.T) {
		w := newWorld(t)
		w.dir.SetGroup(pulltest.GroupID(2), "Finance")
		w.people(1, 1, 30)
		w.people(2, 1, 30)
		finance := w.newEnv("Finance", w.tenant, 2)
		w.settle()
		w.settleEnv(finance)
		w.appoint(1, finance)
		w.appoint(2, finance)
		for n := 1; n <= 3; n++ {
			w.dir.Delete(pulltest.ID(n))
		}
		run := w.sync()
		w.is(run, directory.RunComplete)
		w.plan(run, wanted{directory.ItemDeactivate, directory.OutcomeApplied, "no such user"}, wanted{directory.ItemDeactivate, directory.OutcomeApplied, "no such user"},
			wanted{directory.ItemRevoke, directory.OutcomeApplied, "no such user"})
		w.consistent(run)
		if w.activeAccesses(w.env) != 27 || w.activeAccesses(finance) != 28 || w.hasAccess(1, finance) == w.hasAccess(2, finance) || w.hasAccess(3, finance) {
			t.Errorf("%d and %d accesses", w.activeAccesses(w.env), w.activeAccesses(finance))
		}
		run = w.syncEnv(finance) // which knows the last one by itself
		w.plan(run, wanted{directory.ItemRevoke, directory.OutcomeWithheld, "the last administrator of environment Finance"})
		if !slices.Contains(run.Notes, note) {
			t.Errorf("%q", run.Notes)
		}
	})
}

// A group loses many, all of whom are in another group of the environment: nobody loses access, and
// yet it may be a mistake in the group.
func TestStopOfOneGroup(t *testing.T) {
	for _, n := range []int{10, 11} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := newWorld(t)
			w.dir.SetGroup(pulltest.GroupID(2), "Support")
			w.people(1, 1, 30)
			w.people(2, 1, 30)
			w.integrate(w.env, directory.IntegrationInput{Groups: groupIDs(1, 2)})
			w.settle()
			w.leave(1, 1, n)
			w.people(2, 31, 31)
			run := w.sync()
			w.access(31, true)
			if n == 10 {
				w.is(run, directory.RunComplete)
				return
			}
			w.why(run, `11 of 30 people would leave group "Sales"`)
			if run.Counts.Held != 11 || run.Counts.Applied != 1 {
				t.Errorf("%+v", run.Counts)
			}
			if size := view(w, func(sn *directory.Snapshot) (int64, error) { return sn.MemberCount(w.tenant, w.groupOf(1)) }); size != 30 {
				t.Errorf("%d are left in the group", size)
			}
			w.is(w.allow(run), directory.RunComplete)
		})
	}
}

// A reason that holds nothing back is a note: nobody could allow anything.
func TestReasonWithoutAnythingToHold(t *testing.T) {
	w := newWorld(t)
	p := profileOf(pulltest.NewPerson(1))
	p.ExternalID = "nickname"
	w.pushGroup(1, w.pushUser(p).ID)
	w.dir.SetGroup(pulltest.GroupID(2), "Support")
	w.people(2, 2, 2)
	w.integrate(w.env, directory.IntegrationInput{Groups: groupIDs(1, 2)})
	w.settle()
	w.people(2, 3, 3)
	run := w.sync()
	w.is(run, directory.RunComplete)
	w.access(3, true)
	if !strings.Contains(strings.Join(run.Notes, "\n"), "has no members any more") {
		t.Errorf("notes: %q", run.Notes)
	}
}

func TestWhatAQuarantineHolds(t *testing.T) {
	for _, hold := range []bool{false, true} {
		t.Run(fmt.Sprintf("hold %v", hold), func(t *testing.T) {
			w := pushed(t, 30)
			w.integrate(w.env, directory.IntegrationInput{Hold: &hold})
			w.leave(1, 1, 11)
			w.people(1, 31, 32)
			setPerson(w, 30, func(p *pull.Person) { p.DisplayName = "Another" })
			run := w.sync()
			w.why(run, "would deactivate 11")
			w.consistent(run)
			want, held := 3, 11
			if hold {
				want, held = 0, 14
			}
			if run.Counts.Applied != want || run.Counts.Held != held {
				t.Errorf("%+v, want %d applied and %d held", run.Counts, want, held)
			}
			w.access(31, !hold)
			// Found again it is the same plan, and the first goes on waiting.
			again := w.sync()
			w.is(again, directory.RunQuarantined)
			if again.PlanOf != run.ID || again.Hash != run.Hash || len(w.items(again)) != 0 || w.state(w.env).Quarantined != run.ID {
				t.Errorf("found again: %+v with %d items; %s waits", again, len(w.items(again)), w.state(w.env).Quarantined)
			}
			w.is(w.allow(again), directory.RunComplete) // either of them may be named
			w.nothingToDo()
			if w.activeAccesses(w.env) != 21 {
				t.Errorf("%d accesses", w.activeAccesses(w.env))
			}
		})
	}
}

// Settings that decide what a plan means have it looked at.
func TestChangedSettings(t *testing.T) {
	yes := true
	graph := func(edit func(*directory.Tenant)) func(*world) {
		return func(w *world) {
			must(w.svc.SetTenant(w.ctx, operator, w.tenant, func(t *directory.Tenant) error { edit(t); return nil }))
		}
	}
	tests := []struct {
		name   string
		change func(*world)
		stop   string
	}{
		{"nothing", func(*world) {}, ""},
		{"the stops", func(w *world) {
			w.integrate(w.env, directory.IntegrationInput{Stops: &directory.Stops{RunCount: 3}})
		}, ""},
		{"the default menu", func(w *world) { w.integrate(w.env, directory.IntegrationInput{DefaultMenus: []string{"m"}}) }, ""},
		{"the order of the groups", func(w *world) { w.integrate(w.env, directory.IntegrationInput{Groups: groupIDs(2, 1)}) }, ""},
		{"the groups", func(w *world) { w.integrate(w.env, directory.IntegrationInput{Groups: groupIDs(1)}) }, "Groups to Sync"},
		{"nested groups", func(w *world) { w.integrate(w.env, directory.IntegrationInput{Transitive: &yes}) }, "counting of nested groups"},
		{"guests", func(w *world) { w.integrate(w.env, directory.IntegrationInput{Guests: &yes}) }, "guests"},
		{"the credential", func(w *world) { w.credential(w.tenant) }, "credential"},
		{"the directory", graph(func(t *directory.Tenant) { t.DirectoryID = pulltest.ID(9009).String() }), "directory"},
		{"the application", graph(func(t *directory.Tenant) { t.Graph.ClientID = pulltest.ID(9009).String() }), "application"},
		{"the cloud", func(w *world) {
			if err := w.svc.RemoveCredential(w.ctx, operator, w.tenant, pull.CredentialName); err != nil {
				panic(err)
			}
			graph(func(t *directory.Tenant) { t.Graph.Cloud = "china" })(w)
			w.credential(w.tenant)
		}, "cloud, credential"},
		{"the public cloud by its name", graph(func(t *directory.Tenant) { t.Graph.Cloud = "public" }), ""},
		{"the source of the userName", graph(func(t *directory.Tenant) { t.Graph.UserName = "mail" }), "source of the userName"},
		{"the tenant", func(w *world) {
			other := w.newTenant("other")
			w.integrate(w.env, directory.IntegrationInput{TenantID: &other})
		}, "tenant"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.dir.SetGroup(pulltest.GroupID(2), "Support")
			w.people(1, 1, 3)
			w.people(2, 4, 5)
			w.integrate(w.env, directory.IntegrationInput{Groups: groupIDs(1, 2)})
			run := w.sync()
			w.why(run, "this is the first plan of this environment")
			if run.Counts.Held != 5 {
				t.Errorf("%d are held of a first plan", run.Counts.Held)
			}
			w.is(w.allow(run), directory.RunComplete)
			tt.change(w)
			w.people(1, 6, 6)
			run = w.sync()
			if tt.stop == "" {
				w.is(run, directory.RunComplete)
				return
			}
			w.is(run, directory.RunQuarantined)
			if !strings.Contains(run.Reasons[0], "changed since a plan was last applied: "+tt.stop) || run.Counts.Applied != 0 {
				t.Errorf("%q, %+v", run.Reasons, run.Counts)
			}
		})
	}
}

// A first plan that finds nothing to do needs no decision, but one of which push was faster tells
// nothing about the settings.
func TestFirstPlanWithoutAnythingToDo(t *testing.T) {
	w := newWorld(t)
	w.people(1, 1, 2)
	w.pushAll(2)
	setPerson(w, 1, func(p *pull.Person) { p.DisplayName = "Another" })
	id := w.userOf(1).ID
	w.src.Hook(func(c pulltest.Call) {
		if c.Op == pulltest.OpMembers && c.When == pulltest.After {
			w.pushUpdate(id, func(p *directory.Profile) { p.Name = "Pushed" })
		}
	})
	run := w.sync()
	w.is(run, directory.RunComplete)
	if run.Counts.Skipped != 1 || w.state(w.env).Settings != "" {
		t.Errorf("%+v, settings %q", run.Counts, w.state(w.env).Settings)
	}
	w.src.Hook(nil)
	w.why(w.sync(), "this is the first plan")
	setPerson(w, 1, func(p *pull.Person) { p.DisplayName = "Pushed" })
	w.is(w.sync(), directory.RunComplete)
	if w.state(w.env).Settings == "" || !w.state(w.env).Quarantined.IsZero() {
		t.Errorf("a plan without anything to do: %+v", w.state(w.env))
	}
}

func TestMissingScope(t *testing.T) {
	w := pushed(t, 3)
	w.dir.DeleteGroup(pulltest.GroupID(1))
	run := w.sync()
	w.is(run, directory.RunQuarantined)
	if run.Error == nil || run.Error.Class != string(pull.ScopeMissing) || run.Hash != "" {
		t.Fatalf("%+v", run)
	}
	if _, err := w.r.Allow(w.ctx, operator, run.ID, run.Hash, "go on"); directory.KindOf(err) != directory.Conflict {
		t.Errorf("Allow: %v", err)
	}
	if w.activeAccesses(w.env) != 3 {
		t.Errorf("%d accesses", w.activeAccesses(w.env))
	}
	w.dir.SetGroup(pulltest.GroupID(1), "Sales")
	w.people(1, 1, 3)
	w.nothingToDo()
	if got := must(w.r.Show(w.ctx, run.ID)); got.State != directory.RunSuperseded {
		t.Errorf("the run is %s", got.State)
	}
}

func TestHash(t *testing.T) {
	plan := func(act func(*world)) string {
		w := newWorld(t)
		w.o.Settings.Workers = 1 // else the users are made in another order, with other ids
		w.r = pull.New(w.o)
		w.dir.SetGroup(pulltest.GroupID(2), "Sales") // of the same name
		w.people(1, 1, 30)
		w.people(2, 1, 30)
		w.integrate(w.env, directory.IntegrationInput{Groups: groupIDs(1, 2)})
		w.settle()
		act(w)
		run := w.sync()
		w.is(run, directory.RunQuarantined)
		return run.Hash
	}
	both := func(a, b int) func(*world) { return func(w *world) { w.leave(1, a, b); w.leave(2, a, b) } }
	first := plan(both(1, 11))
	if again := plan(both(1, 11)); again != first {
		t.Errorf("the same plan has another hash")
	}
	for name, act := range map[string]func(*world){
		"of another person":  both(2, 12),
		"of one person more": both(1, 12),
		"of another value": func(w *world) {
			both(2, 11)(w)
			w.leave(1, 1, 1)
			setPerson(w, 1, func(p *pull.Person) { p.Enabled = false })
		},
		"with everything held": func(w *world) {
			yes := true
			w.integrate(w.env, directory.IntegrationInput{Hold: &yes})
			both(1, 11)(w)
			w.people(1, 31, 31)
		},
	} {
		if plan(act) == first {
			t.Errorf("a plan %s has the same hash", name)
		}
	}
	// Groups of one name are told apart.
	if a, b := plan(func(w *world) { w.leave(1, 1, 11) }), plan(func(w *world) { w.leave(2, 1, 11) }); a == b {
		t.Errorf("leaving another group of the same name has the same hash")
	}
	// What is not held has no part in it.
	if plan(func(w *world) { both(1, 11)(w); w.people(1, 31, 31) }) != first {
		t.Errorf("somebody new, who is not held back, changes the hash")
	}
}
