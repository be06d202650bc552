package pull_test

import (
	"context"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// hooked calls before for each resource of a user that is made.
type hooked struct {
	forms
	before func(directory.Overrides)
}

func (h hooked) User(u *directory.User, o directory.Overrides) (directory.UserInput, error) {
	h.before(o)
	return h.forms.User(u, o)
}

// onResource makes a reconciler that calls fn for each resource of a user, one at a time.
func (w *world) onResource(fn func(directory.Overrides)) {
	w.o.Settings.Workers = 1
	w.o.Resources = func(*directory.Tenant) (pull.Resources, error) { return hooked{before: fn}, nil }
	w.r.Close()
	w.r = pull.New(w.o)
}

// once calls fn at the first call of an operation at a moment.
func (w *world) once(op pulltest.Op, when pulltest.When, fn func()) {
	w.src.Hook(func(c pulltest.Call) {
		if c.Op == op && c.When == when {
			w.src.Hook(nil)
			fn()
		}
	})
}

// What push changes while a pull is under way is never overwritten by it.
func TestPushMeanwhile(t *testing.T) {
	tests := []struct {
		name  string
		drift func(*world) // between push and directory
		push  func(*world)
		keep  func(*world) bool // what push did is still there
	}{
		{"a name", func(w *world) { setPerson(w, 1, func(p *pull.Person) { p.DisplayName = "Directory" }) },
			func(w *world) { w.pushUpdate(w.userOf(1).ID, func(p *directory.Profile) { p.Name = "Push" }) },
			func(w *world) bool { return w.userOf(1).Name == "Push" }},
		{"a leaver is changed", func(w *world) { w.leave(1, 1, 1) },
			func(w *world) { w.pushUpdate(w.userOf(1).ID, func(p *directory.Profile) { p.Name = "Push" }) },
			func(w *world) bool { return w.hasAccess(1, w.env) }},
		{"a leaver is put into the group again", func(w *world) { w.leave(1, 1, 1) },
			func(w *world) {
				w.pushRemove(w.groupOf(1), w.userOf(1).ID)
				w.pushAdd(w.groupOf(1), w.userOf(1).ID)
			},
			func(w *world) bool { return w.hasAccess(1, w.env) }},
		{"somebody new is taken out again", func(w *world) {
			w.people(1, 31, 31)
			w.pushUser(profileOf(pulltest.NewPerson(31)))
		}, func(w *world) {
			w.pushAdd(w.groupOf(1), w.userOf(31).ID)
			w.pushRemove(w.groupOf(1), w.userOf(31).ID)
		}, func(w *world) bool { return !w.hasAccess(31, w.env) }},
		{"somebody new is provisioned", func(w *world) { w.people(1, 31, 31) },
			func(w *world) {
				p := profileOf(pulltest.NewPerson(31))
				p.Name = "Push"
				w.pushUser(p)
			},
			func(w *world) bool { u := w.userOf(31); return u != nil && u.Name == "Push" }},
		{"somebody is deleted", func(w *world) { setPerson(w, 1, func(p *pull.Person) { p.DisplayName = "Directory" }) },
			func(w *world) { w.pushDelete(w.userOf(1).ID) },
			func(w *world) bool { return w.userOf(1) == nil }},
		{"somebody is made inactive", func(w *world) { setPerson(w, 1, func(p *pull.Person) { p.DisplayName = "Directory" }) },
			func(w *world) { w.pushUpdate(w.userOf(1).ID, func(p *directory.Profile) { p.Active = false }) },
			func(w *world) bool { return !w.userOf(1).Active }},
		{"the group is made", func(w *world) {
			w.dir.SetGroup(pulltest.GroupID(2), "Support")
			w.people(2, 1, 1)
			w.integrate(w.env, directory.IntegrationInput{Groups: groupIDs(1, 2)})
			w.dir.Remove(pulltest.GroupID(2), pulltest.ID(1))
			w.settle()
			w.people(2, 1, 1)
		}, func(w *world) { w.pushGroup(2) }, func(w *world) bool {
			ids := view(w, func(sn *directory.Snapshot) ([]directory.ID, error) {
				return sn.GroupsByExternalID(w.tenant, pulltest.GroupID(2))
			})
			n := view(w, func(sn *directory.Snapshot) (int64, error) { return sn.MemberCount(w.tenant, ids[0]) })
			return len(ids) == 1 && n == 0
		}},
	}
	for _, tt := range tests {
		for _, at := range []string{"listing", "before confirming", "applying"} {
			t.Run(tt.name+" while "+at, func(t *testing.T) {
				t.Parallel()
				w := pushed(t, 30)
				tt.drift(w)
				done := false
				act := func() { done = true; tt.push(w) }
				switch at {
				case "listing":
					w.once(pulltest.OpMembers, pulltest.During, act)
				case "before confirming":
					w.people(1, 30, 30)
					w.leave(1, 29, 29) // so that somebody has to be confirmed
					w.once(pulltest.OpConfirm, pulltest.Before, act)
				case "applying":
					w.leave(1, 29, 29)
					w.once(pulltest.OpConfirm, pulltest.After, act)
				}
				run := w.sync()
				w.is(run, directory.RunComplete)
				w.consistent(run)
				if !done {
					t.Fatal("push did nothing")
				}
				if !tt.keep(w) {
					t.Errorf("the pull undid what push did:\n%s", w.show(run))
				}
				want := 1
				if tt.name == "the group is made" { // a new synced group is news of everybody who would leave another
					want = 2
				}
				if run.Counts.Skipped != want && tt.name != "somebody is put into the group again" && !(tt.name == "somebody new is provisioned" && at == "listing") &&
					!(tt.name == "somebody new is taken out again" && at == "listing") && !(tt.name == "the group is made" && at == "listing") {
					t.Errorf("%d were skipped:\n%s", run.Counts.Skipped, w.show(run))
				}
			})
		}
	}
}

// Settings that change in the middle end the run: it planned with others.
func TestSettingsChangeMeanwhile(t *testing.T) {
	hold := true
	change := map[string]func(*world){
		"the integration": func(w *world) { w.integrate(w.env, directory.IntegrationInput{Hold: &hold}) },
		"the tenant": func(w *world) {
			must(w.svc.SetTenant(w.ctx, operator, w.tenant, func(t *directory.Tenant) error { t.DirectoryID = pulltest.ID(9009).String(); return nil }))
		},
		"the credential": func(w *world) { w.credential(w.tenant) },
	}
	for name, fn := range change {
		for _, op := range []pulltest.Op{pulltest.OpMembers, pulltest.OpConfirm} {
			if op == pulltest.OpConfirm && name != "the integration" {
				continue // what was read before is applied
			}
			t.Run(name+" at "+string(op), func(t *testing.T) {
				w := pushed(t, 30)
				w.leave(1, 1, 1)
				w.once(op, pulltest.Before, func() { fn(w) })
				run := w.sync()
				w.is(run, directory.RunFailed)
				if !strings.Contains(run.Error.Detail, "settings of the environment changed") {
					t.Errorf("%+v", run.Error)
				}
				w.access(1, true)
				if s := w.state(w.env); s.Failures != 0 || s.Next.Sub(run.Ended) != time.Minute {
					t.Errorf("the next run is after %s, %d failures", s.Next.Sub(run.Ended), s.Failures)
				}
			})
		}
	}
}

func TestCancel(t *testing.T) {
	w := pushed(t, 30)
	for n := 1; n <= 10; n++ {
		setPerson(w, n, func(p *pull.Person) { p.DisplayName = "New " + p.DisplayName })
	}
	applying, seen := false, 0
	var run *directory.Run
	w.onResource(func(directory.Overrides) {
		if !applying {
			return
		}
		if seen++; seen == 3 {
			must(w.r.Cancel(w.ctx, operator, run.ID))
		}
	})
	w.leave(1, 30, 30)
	w.once(pulltest.OpConfirm, pulltest.After, func() {
		applying = true
		run = must(w.r.Status(w.ctx))[0].Running
	})
	end := w.sync()
	w.is(end, directory.RunCancelled)
	if n := end.Counts.Applied; n < 2 || n > 4 {
		t.Errorf("%d were applied", n)
	}
	if _, err := w.r.Cancel(w.ctx, operator, end.ID); directory.KindOf(err) != directory.Conflict {
		t.Errorf("cancelled twice: %v", err)
	}
	if _, err := w.r.Cancel(w.ctx, push, end.ID); directory.KindOf(err) != directory.Forbidden {
		t.Errorf("cancelled by somebody: %v", err)
	}
	applying = false
	w.is(w.sync(), directory.RunComplete)
	w.nothingToDo()
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pushed(t, 30)
		for _, op := range []pulltest.Op{pulltest.OpGroup, pulltest.OpConfirm} {
			w.leave(1, 1, 1)
			w.once(op, pulltest.Before, func() { time.Sleep(10*time.Minute + time.Second) })
			run := w.sync()
			w.is(run, directory.RunFailed)
			if !strings.Contains(run.Error.Detail, "longer than it may (10m0s)") {
				t.Errorf("%+v", run.Error)
			}
			w.access(1, true)
		}
		if s := w.state(w.env); s.Failures != 2 {
			t.Errorf("%d failures", s.Failures)
		}
		w.is(w.sync(), directory.RunComplete)
		w.access(1, false)
	})
}

func TestPanics(t *testing.T) {
	for _, op := range []pulltest.Op{pulltest.OpConnect, pulltest.OpMembers, pulltest.OpConfirm} {
		w := pushed(t, 30)
		w.leave(1, 1, 1)
		w.once(op, pulltest.Before, func() { panic("in the source") })
		run := w.sync()
		w.is(run, directory.RunFailed)
		if run.Error.Class != "internal" || strings.Contains(run.Error.Detail, "in the source") || w.lines.count("in the source") == 0 {
			t.Errorf("%s: %+v\n%s", op, run.Error, w.lines)
		}
		w.is(w.sync(), directory.RunComplete)
	}
	// Of a resource, in a transaction: of one person when it is planned, of the run when it is applied.
	w := pushed(t, 3)
	w.people(1, 4, 4)
	setPerson(w, 4, func(p *pull.Person) { p.DisplayName = "panic" })
	w.is(w.sync(), directory.RunFailed)
	if w.activeAccesses(w.env) != 3 {
		t.Error("somebody lost an access")
	}
}

// However a read goes wrong, nothing is concluded from it.
func TestFailedReads(t *testing.T) {
	bad := func(class pull.Class) error {
		return &pull.Error{Class: class, Detail: "it is " + string(class), Code: "code", RequestID: "request"}
	}
	for _, class := range []pull.Class{pull.Configuration, pull.Authentication, pull.Permission, pull.Throttled, pull.Unavailable, pull.Malformed} {
		for _, op := range []pulltest.Op{pulltest.OpConnect, pulltest.OpGroup, pulltest.OpMembers} {
			w := pushed(t, 3)
			w.leave(1, 1, 1)
			w.src.SetError(op, bad(class))
			before := w.events()
			run := w.sync()
			w.is(run, directory.RunFailed)
			if e := run.Error; e.Class != string(class) || e.Detail != "it is "+string(class) || e.Code != "code" || e.RequestID != "request" {
				t.Errorf("%s at %s: %+v", class, op, e)
			}
			if w.events() != before || w.activeAccesses(w.env) != 3 {
				t.Errorf("%s at %s changed something", class, op)
			}
		}
	}
	w := pushed(t, 30)
	w.src.CutMembers(20, bad(pull.Malformed))
	w.is(w.sync(), directory.RunFailed)
	if s := w.state(w.env); len(s.Absent) != 0 || w.activeAccesses(w.env) != 30 {
		t.Errorf("%d are absent of a read that was cut", len(s.Absent))
	}
}

// Two complete reads in a row stand in for a point read; what is between them counts.
func TestAbsentTwice(t *testing.T) {
	away := &pull.Error{Class: pull.Unavailable, Detail: "away"}
	tests := []struct {
		name    string
		between func(*world)
		gone    bool
	}{
		{"in a row", func(*world) {}, true},
		{"at once", func(w *world) { w.advance(-time.Second) }, false}, // what answers the lists may lag behind
		{"with a failed read between", func(w *world) {
			w.src.SetError(pulltest.OpMembers, away)
			w.is(w.sync(), directory.RunFailed)
			w.src.SetError(pulltest.OpMembers, nil)
		}, true},
		{"with a read between that found the person", func(w *world) {
			w.people(1, 1, 1)
			w.is(w.sync(), directory.RunComplete)
			w.leave(1, 1, 1)
		}, false},
		{"with a read between that found the person, of a run that failed later", func(w *world) {
			w.people(1, 1, 1)
			w.leave(1, 2, 2)
			w.once(pulltest.OpConfirm, pulltest.Before, func() { panic("later") })
			w.is(w.sync(), directory.RunFailed)
			w.people(1, 2, 2)
			w.leave(1, 1, 1)
		}, false},
		{"with a preview between", func(w *world) {
			w.people(1, 1, 1)
			w.is(w.sync(pull.SyncOptions{Preview: true}), directory.RunPreview)
			w.leave(1, 1, 1)
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := pushed(t, 30)
			w.src.SetError(pulltest.OpConfirm, away)
			w.leave(1, 1, 1)
			run := w.sync()
			w.is(run, directory.RunComplete)
			w.consistent(run)
			if run.Counts.Waiting != 1 || run.Counts.Drift() != 0 || len(run.Notes) != 1 {
				t.Fatalf("%+v %q", run.Counts, run.Notes)
			}
			w.access(1, true)
			w.advance(10 * time.Minute) // two thirds of the interval
			tt.between(w)
			w.is(w.sync(), directory.RunComplete)
			w.access(1, !tt.gone)
		})
	}
}

// A list that lags behind takes nothing from anybody.
func TestLaggingList(t *testing.T) {
	w := pushed(t, 30)
	w.leave(1, 1, 2)
	w.src.Freeze() // without them
	w.people(1, 1, 2)
	for range 3 {
		run := w.sync()
		w.is(run, directory.RunComplete)
		if run.Counts.Waiting != 2 {
			t.Errorf("%+v", run.Counts)
		}
	}
	setPerson(w, 3, func(p *pull.Person) { p.Enabled = false })
	w.src.Freeze()
	setPerson(w, 3, func(p *pull.Person) { p.Enabled = true })
	for range 3 {
		w.is(w.sync(), directory.RunComplete)
	}
	if w.activeAccesses(w.env) != 30 {
		t.Errorf("%d accesses", w.activeAccesses(w.env))
	}
	w.src.Thaw()
	w.nothingToDo()
}

// A person who goes from the group to one within it keeps the access where nested groups count, and
// loses it elsewhere, in whatever order the environments are pulled.
func TestFromDirectToNested(t *testing.T) {
	for _, first := range []string{"nested", "direct"} {
		t.Run(first, func(t *testing.T) {
			w := newWorld(t)
			w.dir.SetGroup(pulltest.GroupID(2), "Within")
			w.dir.Nest(pulltest.GroupID(1), pulltest.GroupID(2))
			w.people(1, 1, 3)
			yes := true
			w.integrate(w.env, directory.IntegrationInput{Transitive: &yes})
			direct := w.newEnv("Finance", w.tenant, 1)
			w.settle()
			w.settleEnv(direct)
			w.leave(1, 1, 1)
			w.people(2, 1, 1)
			for range 3 {
				envs := []directory.ID{w.env, direct}
				if first == "direct" {
					envs = []directory.ID{direct, w.env}
				}
				for _, env := range envs {
					w.is(w.syncEnv(env), directory.RunComplete)
					w.access(1, true)
				}
				w.advance(10 * time.Minute)
			}
			if w.hasAccess(1, direct) {
				t.Error("the environment that does not count nested groups kept the person")
			}
			w.nothingToDo()
			w.leave(2, 1, 1)
			w.is(w.sync(), directory.RunComplete)
			w.access(1, false)
			w.nothingToDo()
		})
	}
}

// A process that dies in the middle of a plan: the next one finishes, and what the first has taken
// away counts for the day.
func TestCrashInTheMiddle(t *testing.T) {
	w := pushed(t, 60)
	w.leave(1, 1, 10)
	for n := 11; n <= 20; n++ {
		setPerson(w, n, func(p *pull.Person) { p.Enabled = false })
	}
	w.integrate(w.env, directory.IntegrationInput{Stops: &directory.Stops{RunCount: 20}})
	copied := t.TempDir() + "/copy.db"
	applying, seen := false, 0
	w.onResource(func(directory.Overrides) {
		if !applying {
			return
		}
		if seen++; seen == 4 { // within a transaction: the file holds what was committed
			if err := os.WriteFile(copied, must(os.ReadFile(w.path)), 0o600); err != nil {
				t.Error(err)
			}
		}
	})
	w.once(pulltest.OpConfirm, pulltest.After, func() { applying = true })
	w.is(w.sync(), directory.RunComplete)
	applying = false
	w.r.Close()
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}

	w.path = copied
	w.open()
	left := w.activeAccesses(w.env)
	if left == 60 || left == 40 {
		t.Fatalf("%d accesses: the copy is not of the middle", left)
	}
	var crashed *directory.Run
	for _, run := range w.history(w.env) {
		if run.State == directory.RunRunning {
			crashed = run
		}
	}
	ctx, stop := context.WithCancel(w.ctx)
	stop() // it only marks what was left
	w.r.Work(ctx)
	w.r = pull.New(w.o)
	ctx, stop = context.WithCancel(w.ctx)
	done := make(chan struct{})
	go func() { defer close(done); w.r.Work(ctx) }()
	for must(w.r.Show(w.ctx, crashed.ID)).State == directory.RunRunning {
	}
	stop()
	<-done
	w.r = pull.New(w.o)
	run := must(w.r.Show(w.ctx, crashed.ID))
	w.is(run, directory.RunInterrupted)
	if n := run.Deactivations[w.env.String()]; n != 60-left || run.Counts.Deactivated != n || run.Counts.Applied != n {
		t.Errorf("the run took %d away, counts %d: %+v", 60-left, n, run.Counts)
	}
	run = w.sync()
	w.is(run, directory.RunComplete)
	w.consistent(run)
	if w.activeAccesses(w.env) != 40 {
		t.Errorf("%d accesses", w.activeAccesses(w.env))
	}
	w.nothingToDo()
	w.leave(1, 21, 21)
	w.why(w.sync(), "of the last 24 hours in Production to 21")
}

// A person who goes from one group to another of a second environment keeps the access to that one,
// whichever is pulled first.
func TestMoveWithinAnotherEnvironment(t *testing.T) {
	w := newWorld(t)
	w.dir.SetGroup(pulltest.GroupID(2), "Support")
	w.people(1, 1, 5)
	w.people(2, 6, 6)
	both := w.newEnv("Both", w.tenant, 1, 2)
	w.settle()
	w.settleEnv(both)
	w.leave(1, 1, 1)
	w.people(2, 1, 1)
	run := w.sync()
	w.is(run, directory.RunComplete)
	w.plan(run, wanted{directory.ItemRevoke, directory.OutcomeWaiting, "another environment"})
	w.is(w.syncEnv(both), directory.RunComplete)
	w.is(w.sync(), directory.RunComplete)
	w.access(1, false)
	if !w.hasAccess(1, both) {
		t.Error("the access to the other environment went with it")
	}
	// Where the other environment takes its time, two reads decide.
	w.leave(1, 2, 2)
	w.people(2, 2, 2)
	for range 2 {
		w.is(w.sync(), directory.RunComplete)
		w.advance(10 * time.Minute)
	}
	w.access(2, false)
}

// Where the person keeps the access to the environment that is pulled, the other one decides, whatever time it takes;
// unless nobody pulls it.
func TestMoveWithinAnotherEnvironmentAlone(t *testing.T) {
	for name, test := range map[string]struct {
		nested, pulled, group bool // the other one counts nested groups, is pulled; the person is within the group that it leaves
		keeps                 bool
	}{
		"pulled":                             {pulled: true, keeps: true},
		"not pulled":                         {},
		"counts nested groups, not pulled":   {nested: true, keeps: true},
		"counts nested groups, within":       {nested: true, group: true, keeps: true},
		"counts no nested groups, is pulled": {pulled: true, group: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for n, name := range []string{"Support", "Consultants", "Within Sales"} {
				w.dir.SetGroup(pulltest.GroupID(n+2), name)
			}
			w.dir.Nest(pulltest.GroupID(1), pulltest.GroupID(4))
			w.people(1, 1, 5)
			w.people(2, 1, 1)
			w.people(3, 6, 6)
			w.integrate(w.env, directory.IntegrationInput{Groups: groupIDs(1, 2)})
			other := w.newEnv("Other", w.tenant, 1, 3)
			w.integrate(other, directory.IntegrationInput{Transitive: &test.nested})
			w.settle()
			w.settleEnv(other)
			w.integrate(other, directory.IntegrationInput{Periodic: &test.pulled})
			w.leave(1, 1, 1)
			if test.group {
				w.people(4, 1, 1)
			} else {
				w.people(3, 1, 1)
			}
			for range 3 {
				w.is(w.sync(), directory.RunComplete)
				w.advance(10 * time.Minute)
			}
			w.access(1, true)
			if has := w.hasAccess(1, other); has != test.keeps {
				t.Errorf("access to the other environment: %v, want %v", has, test.keeps)
			}
			if run := w.settleEnv(other); w.hasAccess(1, other) != (test.nested || !test.group) {
				t.Errorf("after its own run: %v\n%s", w.hasAccess(1, other), w.show(run))
			}
			w.is(w.sync(), directory.RunComplete)
			w.nothingToDo()
		})
	}
}

func (w *world) history(env directory.ID) (all []*directory.Run) {
	w.Helper()
	return view(w, func(sn *directory.Snapshot) ([]*directory.Run, error) {
		all = nil
		err := sn.Runs(env, func(r *directory.Run) bool { all = append(all, r); return true })
		return all, err
	})
}

// Two previews, runs and cancels at once: each ends once and nothing is lost.
func TestManyAtOnce(t *testing.T) {
	w := pushed(t, 10)
	w.people(1, 11, 15)
	var ended atomic.Int32
	done := make(chan struct{})
	for i := range 20 {
		go func() {
			defer func() { done <- struct{}{} }()
			run, err := w.r.Sync(w.ctx, operator, w.env, pull.SyncOptions{Preview: i%3 == 0})
			if err != nil {
				t.Errorf("Sync: %v", err)
				return
			}
			if i%7 == 0 {
				_, _ = w.r.Cancel(w.ctx, operator, run.ID)
			}
			must(w.r.Show(w.ctx, run.ID))
			if run, err = w.r.Wait(w.ctx, run.ID); err != nil || run.Ended.IsZero() {
				t.Errorf("Wait: %+v %v", run, err)
			}
			ended.Add(1)
		}()
	}
	for range 20 {
		<-done
	}
	w.settle()
	w.nothingToDo()
	if w.activeAccesses(w.env) != 15 {
		t.Errorf("%d accesses", w.activeAccesses(w.env))
	}
}

// A person who goes from a group to one within it keeps the access to a second environment that counts nested groups,
// however often the first one is pulled before it: the lists show that the person belongs there.
func TestMoveIntoANestedGroup(t *testing.T) {
	w := newWorld(t)
	w.dir.SetGroup(pulltest.GroupID(2), "Within Sales")
	w.dir.Nest(pulltest.GroupID(1), pulltest.GroupID(2))
	w.people(1, 1, 5)
	second := w.newEnv("Second", w.tenant, 1)
	for _, env := range []directory.ID{w.env, second} {
		w.integrate(env, directory.IntegrationInput{Transitive: new(true)})
		w.settleEnv(env)
	}
	w.leave(1, 1, 1)
	w.people(2, 1, 1)
	pulls := func(env directory.ID, direct bool) {
		t.Helper()
		for range 3 {
			w.is(w.syncEnv(env), directory.RunComplete)
			w.advance(10 * time.Minute)
			if !w.hasAccess(1, w.env) || !w.hasAccess(1, second) {
				t.Error("an access is gone")
			}
		}
		if in := view(w, func(sn *directory.Snapshot) (bool, error) { return sn.IsMember(w.tenant, w.groupOf(1), w.userOf(1).ID) }); in != direct {
			t.Errorf("a direct member: %v", in)
		}
	}
	pulls(w.env, true)
	pulls(second, false)
	w.nothingToDo()
	w.leave(2, 1, 1)
	w.is(w.sync(), directory.RunComplete)
	w.is(w.syncEnv(second), directory.RunComplete)
	if w.hasAccess(1, w.env) || w.hasAccess(1, second) {
		t.Error("a leaver keeps an access")
	}
}
