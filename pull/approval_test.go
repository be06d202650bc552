package pull_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

func TestApproval(t *testing.T) {
	w := pushed(t, 30)
	w.leave(1, 1, 11)
	run := w.sync()
	w.is(run, directory.RunQuarantined)
	allow := func(by directory.Actor, id directory.ID, hash, reason string) error {
		_, err := w.r.Allow(w.ctx, by, id, hash, reason)
		return err
	}
	for name, tt := range map[string]struct {
		err  error
		kind directory.ErrorKind
	}{
		"another hash":      {allow(operator, run.ID, run.Hash+"0", "right"), directory.Invalid},
		"no hash":           {allow(operator, run.ID, "", "right"), directory.Invalid},
		"no reason":         {allow(operator, run.ID, run.Hash, " "), directory.Invalid},
		"an unknown run":    {allow(operator, w.newID(), run.Hash, "right"), directory.NotFound},
		"somebody else":     {allow(push, run.ID, run.Hash, "right"), directory.Forbidden},
		"a run that is not": {allow(operator, w.state(w.env).LastRun, "x", "right"), directory.Invalid},
	} {
		if directory.KindOf(tt.err) != tt.kind {
			t.Errorf("%s: %v", name, tt.err)
		}
	}
	if w.activeAccesses(w.env) != 30 {
		t.Fatalf("somebody lost an access")
	}
	// What is found later is not what was approved.
	w.leave(1, 12, 12)
	next := w.wait(must(w.r.Allow(w.ctx, admin(w.env), run.ID, run.Hash, "right")))
	w.why(next, "would deactivate 12")
	if next.Trigger != directory.TriggerAllow || w.activeAccesses(w.env) != 30 || w.state(w.env).Approval != nil {
		t.Errorf("%s, %d accesses, approval %+v", next.Trigger, w.activeAccesses(w.env), w.state(w.env).Approval)
	}
	if err := allow(operator, run.ID, run.Hash, "again"); directory.KindOf(err) != directory.Conflict {
		t.Errorf("an approval given twice: %v", err)
	}
	// Discarded, it is found again, and waits again.
	must(w.r.Discard(w.ctx, operator, next.ID, ""))
	again := w.sync()
	w.is(again, directory.RunQuarantined)
	if !again.PlanOf.IsZero() || again.Hash != next.Hash {
		t.Errorf("found again after a discard: %+v", again)
	}
	// A later plan takes the place of one that waits.
	w.people(1, 12, 12)
	later := w.sync()
	w.is(later, directory.RunQuarantined)
	if got := must(w.r.Show(w.ctx, again.ID)); got.State != directory.RunSuperseded || later.Hash == again.Hash {
		t.Errorf("the one before is %s", got.State)
	}
	w.people(1, 1, 11)
	w.nothingToDo()
	if got := must(w.r.Show(w.ctx, later.ID)); got.State != directory.RunSuperseded || !w.state(w.env).Quarantined.IsZero() {
		t.Errorf("when all is well again the one before is %s", got.State)
	}
}

// Another environment that syncs the group would lose its accesses too: that is another plan.
func TestApprovalIsOfTheEnvironmentsThatLose(t *testing.T) {
	w := pushed(t, 30)
	w.leave(1, 1, 11)
	run := w.sync()
	w.is(run, directory.RunQuarantined)
	second := w.newEnv("Second", w.tenant, 1)
	if n := w.activeAccesses(second); n != 30 {
		t.Fatalf("%d have access to the second environment", n)
	}
	again := w.sync()
	if again.Hash == run.Hash || !again.PlanOf.IsZero() {
		t.Error("the plan that takes more is the same one")
	}
	if _, err := w.r.Allow(w.ctx, operator, run.ID, run.Hash, "for one environment"); directory.KindOf(err) != directory.Conflict {
		t.Errorf("the plan before can be allowed: %v", err)
	}
	if n := w.activeAccesses(second); n != 30 {
		t.Errorf("%d have access to the second environment", n)
	}
}

// An approval is good for one plan, once.
func TestApprovalIsUsedUp(t *testing.T) {
	for _, how := range []string{"complete", "cancelled", "cancelled while it reads", "failed"} {
		t.Run(how, func(t *testing.T) {
			w := pushed(t, 30)
			w.leave(1, 1, 11)
			run := w.sync()
			switch how {
			case "cancelled", "cancelled while it reads":
				op, when := pulltest.OpConfirm, pulltest.After
				if how != "cancelled" {
					op, when = pulltest.OpMembers, pulltest.Before
				}
				w.src.Hook(func(c pulltest.Call) {
					if c.Op == op && c.When == when {
						must(w.r.Cancel(w.ctx, operator, must(w.r.Status(w.ctx))[0].Running.ID))
					}
				})
			case "failed":
				w.src.Hook(func(c pulltest.Call) {
					if c.Op == pulltest.OpConfirm {
						panic("the source")
					}
				})
			}
			end := w.allow(run)
			w.src.Hook(nil)
			if !strings.HasPrefix(how, string(end.State)) || w.state(w.env).Approval != nil {
				t.Fatalf("the run is %s, the approval %+v", end.State, w.state(w.env).Approval)
			}
			if how == "complete" { // the same people once more
				var ids []directory.ID
				for n := 1; n <= 11; n++ {
					ids = append(ids, w.userOf(n).ID)
				}
				w.pushAdd(w.groupOf(1), ids...)
			}
			again := w.sync()
			w.is(again, directory.RunQuarantined)
			if again.Hash != run.Hash {
				t.Errorf("it is another plan")
			}
			if w.activeAccesses(w.env) != 30 {
				t.Errorf("%d accesses", w.activeAccesses(w.env))
			}
		})
	}
}

// An approval waits for a directory that does not answer, for 24 hours.
func TestApprovalExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, late := range []bool{false, true} {
			w := pushed(t, 30)
			w.leave(1, 1, 11)
			run := w.sync()
			time.Sleep(24*time.Hour - time.Millisecond)
			w.src.SetError(pulltest.OpMembers, &pull.Error{Class: pull.Unavailable, Detail: "away"})
			w.is(w.allow(run), directory.RunFailed)
			if w.state(w.env).Approval == nil {
				t.Fatal("the approval is gone")
			}
			w.src.SetError(pulltest.OpMembers, nil)
			time.Sleep(24*time.Hour - time.Millisecond)
			if late {
				time.Sleep(time.Millisecond)
			}
			state := directory.RunComplete
			if late {
				state = directory.RunQuarantined
			}
			w.is(w.sync(), state)
			if w.state(w.env).Approval != nil {
				t.Error("the approval is still there")
			}
		}
		// A plan that has waited for a day is no more to be allowed.
		w := pushed(t, 30)
		w.leave(1, 1, 11)
		run := w.sync()
		time.Sleep(24 * time.Hour)
		if _, err := w.r.Allow(w.ctx, operator, run.ID, run.Hash, "late"); directory.KindOf(err) != directory.Conflict {
			t.Errorf("allowed after a day: %v", err)
		}
		again := w.sync()
		if !again.PlanOf.IsZero() {
			t.Error("the same plan goes on waiting for one that cannot be allowed any more")
		}
		w.is(w.allow(again), directory.RunComplete)
	})
}

// An approval that comes while a run is under way is for the run after it.
func TestApprovalDuringARun(t *testing.T) {
	w := pushed(t, 30)
	w.leave(1, 1, 11)
	run := w.sync()
	at, goOn := make(chan struct{}), make(chan struct{})
	w.src.Hook(func(c pulltest.Call) {
		if c.Op == pulltest.OpMembers && c.When == pulltest.Before {
			w.src.Hook(nil)
			close(at)
			<-goOn
		}
	})
	first := must(w.r.Sync(w.ctx, operator, w.env, pull.SyncOptions{}))
	<-at
	second := must(w.r.Allow(w.ctx, operator, run.ID, run.Hash, "right"))
	if second.ID == first.ID {
		t.Fatal("the run under way took the approval")
	}
	if joined := must(w.r.Sync(w.ctx, operator, w.env, pull.SyncOptions{})); joined.ID != first.ID {
		t.Errorf("Sync began another run")
	}
	preview := must(w.r.Sync(w.ctx, operator, w.env, pull.SyncOptions{Preview: true}))
	if preview.ID == first.ID || preview.ID == second.ID {
		t.Errorf("a preview joined a run that applies")
	}
	if s := must(w.r.Status(w.ctx)); s[0].Running == nil || s[0].Running.ID != first.ID {
		t.Errorf("the status shows %+v", s[0].Running)
	}
	close(goOn)
	w.is(w.wait(first), directory.RunQuarantined)
	w.is(w.wait(second), directory.RunComplete)
	w.is(w.wait(preview), directory.RunPreview)
	if w.activeAccesses(w.env) != 19 {
		t.Errorf("%d accesses", w.activeAccesses(w.env))
	}
	w.nothingToDo()
}

// What cannot run cannot be allowed, so that no approval is given for nothing.
func TestApprovalOfWhatCannotRun(t *testing.T) {
	w := pushed(t, 30)
	w.leave(1, 1, 11)
	run := w.sync()
	paused := true
	w.integrate(w.env, directory.IntegrationInput{Paused: &paused})
	if _, err := w.r.Allow(w.ctx, operator, run.ID, run.Hash, "right"); directory.KindOf(err) != directory.Conflict {
		t.Errorf("allowed while paused: %v", err)
	}
	if s := w.state(w.env); s.Approval != nil || s.Quarantined != run.ID {
		t.Errorf("it was approved: %+v", s)
	}
}

func TestRestore(t *testing.T) {
	w := pushed(t, 30)
	w.pushRemove(w.groupOf(1), w.userOf(1).ID)
	w.pushUpdate(w.userOf(2).ID, func(p *directory.Profile) { p.Active = false })
	w.people(1, 31, 31)
	if _, err := w.r.Sync(w.ctx, admin(w.env), w.env, pull.SyncOptions{Restore: true}); directory.KindOf(err) != directory.Forbidden {
		t.Errorf("an administrator of the environment restores: %v", err)
	}
	run := w.sync(pull.SyncOptions{Restore: true})
	w.why(run, "brings back what push took away")
	w.access(1, false)
	w.access(31, false) // everything is held
	if _, err := w.r.Allow(w.ctx, admin(w.env), run.ID, run.Hash, "right"); directory.KindOf(err) != directory.Forbidden {
		t.Errorf("an administrator of the environment allows it: %v", err)
	}
	end := w.allow(run)
	w.is(end, directory.RunComplete)
	if !end.Restore || end.Counts.Reactivate != 2 {
		t.Errorf("%+v", end)
	}
	w.access(1, true)
	w.access(2, true)
	w.access(31, true)
	w.nothingToDo()

	// The group too.
	if err := w.svc.DeleteGroup(w.ctx, push, w.tenant, w.groupOf(1), nil); err != nil {
		t.Fatal(err)
	}
	w.is(w.sync(), directory.RunComplete)
	w.access(3, false)
	w.is(w.allow(w.sync(pull.SyncOptions{Restore: true})), directory.RunComplete)
	w.access(3, true)
	w.nothingToDo()
}

func TestPreview(t *testing.T) {
	w := pushed(t, 30)
	w.pushUser(directory.Profile{UserName: "wanted@nordwind.example", ExternalID: pulltest.ID(77).String(), Name: "W", Active: true})
	w.people(1, 40, 41)
	setPerson(w, 40, func(p *pull.Person) { p.UserPrincipalName = "wanted@nordwind.example" }) // a conflict
	w.leave(1, 1, 2)
	paused := true
	w.integrate(w.env, directory.IntegrationInput{Paused: &paused})
	if _, err := w.r.Sync(w.ctx, operator, w.env, pull.SyncOptions{}); directory.KindOf(err) != directory.Conflict {
		t.Errorf("a run while paused: %v", err)
	}
	before, events := w.state(w.env), w.events()
	run := w.sync(pull.SyncOptions{Preview: true})
	w.is(run, directory.RunPreview)
	w.consistent(run)
	if run.Counts.Held != 3 || run.Counts.Conflict != 1 || run.Counts.Applied != 0 {
		t.Errorf("%+v", run.Counts)
	}
	if after := w.state(w.env); !reflect.DeepEqual(before, after) {
		t.Errorf("the preview changed the state:\n%+v\n%+v", before, after)
	}
	if n := w.events(); n != events {
		t.Errorf("the preview wrote %d events and log lines", n-events)
	}
	if w.src.Calls(pulltest.OpConfirm) != 0 {
		t.Error("the preview asked for single people")
	}
	if _, err := w.r.Allow(w.ctx, operator, run.ID, run.Hash, "right"); err == nil {
		t.Error("a preview was allowed")
	}
	// Two previews are not two reads.
	paused = false
	w.integrate(w.env, directory.IntegrationInput{Paused: &paused})
	w.src.SetError(pulltest.OpConfirm, &pull.Error{Class: pull.Unavailable, Detail: "away"})
	run = w.sync()
	if run.Counts.Waiting != 2 {
		t.Errorf("%+v", run.Counts)
	}
	// A preview is told to wait like any other.
	w.src.SetError(pulltest.OpMembers, &pull.Error{Class: pull.Throttled, Detail: "slowly", RetryAfter: time.Hour})
	w.is(w.sync(pull.SyncOptions{Preview: true}), directory.RunFailed)
	if _, err := w.r.Sync(w.ctx, operator, w.env, pull.SyncOptions{}); directory.KindOf(err) != directory.RateLimited {
		t.Errorf("a run before Graph wants one: %v", err)
	}
	if w.state(w.env).Failures != 0 {
		t.Error("a failed preview counts as a failure")
	}
}

// events counts what others can see: outgoing events and lines of the provisioning log.
func (w *world) events() (n int) {
	w.Helper()
	return view(w, func(sn *directory.Snapshot) (int, error) {
		n = 0
		err := errors.Join(sn.Outbox(0, func(*directory.OutboxEvent) bool { n++; return true }),
			sn.Log(w.tenant, 0, false, func(*directory.LogEvent) bool { n++; return true }))
		return n, err
	})
}

// logged counts the lines of the provisioning log that hold a text.
func (w *world) logged(text string) (n int) {
	w.Helper()
	return view(w, func(sn *directory.Snapshot) (int, error) {
		n = 0
		err := sn.Log(w.tenant, 0, false, func(e *directory.LogEvent) bool {
			if strings.Contains(e.Detail, text) {
				n++
			}
			return true
		})
		return n, err
	})
}

func TestConflictIsLoggedOnce(t *testing.T) {
	w := pushed(t, 3)
	w.pushUser(directory.Profile{UserName: "wanted@nordwind.example", ExternalID: pulltest.ID(77).String(), Name: "W", Active: true})
	w.people(1, 40, 40)
	setPerson(w, 40, func(p *pull.Person) { p.UserPrincipalName = "wanted@nordwind.example" })
	for range 3 {
		w.is(w.sync(), directory.RunComplete)
	}
	if n := w.logged("is that of another user"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	setPerson(w, 40, func(p *pull.Person) { p.UserPrincipalName = "person40@nordwind.example" })
	w.is(w.sync(), directory.RunComplete)
	if s := w.state(w.env); len(s.Conflicts) != 0 {
		t.Errorf("%v is kept", s.Conflicts)
	}
}
