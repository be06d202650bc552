package pull_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// scheduled runs fn in a bubble of time, with a world in which the scheduler works once fn starts it.
func scheduled(t *testing.T, fn func(*world)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "directory.db")
	synctest.Test(t, func(t *testing.T) {
		w := openWorld(t.Context(), t, path)
		w.people(1, 1, 3)
		defer w.close()
		fn(w)
	})
}

// work starts the scheduler; the returned function stops it as the end of a process does.
func (w *world) work() (stop func()) {
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan struct{})
	r := w.r
	go func() { defer close(done); r.Work(ctx) }()
	return func() { cancel(); <-done }
}

// starts are when the scheduled runs of an environment began, after a moment.
func (w *world) starts(env directory.ID, since time.Time) (at []time.Duration) {
	w.Helper()
	for _, run := range w.history(env) {
		if run.Trigger == directory.TriggerSchedule && !run.Started.Before(since) {
			at = append([]time.Duration{run.Started.Sub(since)}, at...)
		}
	}
	return at
}

func (w *world) startedAt(env directory.ID, since time.Time, want ...time.Duration) {
	w.Helper()
	got := w.starts(env, since)
	ok := len(got) == len(want)
	for i := range got {
		ok = ok && got[i] == want[i]
	}
	if !ok {
		w.Errorf("runs at %v, want %v", got, want)
	}
}

const minute = time.Minute

func TestEveryQuarterOfAnHour(t *testing.T) {
	for _, tt := range []struct {
		name          string
		random        float64
		first, period time.Duration
	}{
		{"as early as may be", 0, 0, 13*minute + 30*time.Second},
		{"in the middle", 0.5, 7*minute + 30*time.Second, 15 * minute},
		{"late", 0.75, 11*minute + 15*time.Second, 15*minute + 45*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			scheduled(t, func(w *world) {
				w.o.Random = func() float64 { return tt.random }
				w.r = pull.New(w.o)
				start := w.now()
				defer w.work()()
				time.Sleep(tt.first + 2*tt.period + time.Second)
				w.startedAt(w.env, start, tt.first, tt.first+tt.period, tt.first+2*tt.period)
				if !w.src.Connection().Scheduled {
					t.Error("a scheduled run does not let others go first")
				}
			})
		})
	}
}

func TestSlowRunIsNotOverlapped(t *testing.T) {
	scheduled(t, func(w *world) {
		w.settle()
		w.src.Hook(func(c pulltest.Call) {
			if c.Op == pulltest.OpMembers && c.When == pulltest.Before {
				time.Sleep(9 * minute)
			}
		})
		w.o.Settings = pull.Settings{Interval: 4 * minute, Deadline: 10 * minute}
		w.r = pull.New(w.o)
		start := w.now()
		defer w.work()()
		time.Sleep(30 * minute)
		// Each begins an interval after the end of the one before.
		w.startedAt(w.env, start, 15*minute, 28*minute)
	})
}

func TestBackOffAndRetryAfter(t *testing.T) {
	scheduled(t, func(w *world) {
		w.settle()
		w.src.SetError(pulltest.OpMembers, &pull.Error{Class: pull.Unavailable, Detail: "away"})
		start := w.now()
		stop := w.work()
		time.Sleep(4 * time.Hour)
		w.startedAt(w.env, start, 15*minute, 45*minute, 105*minute, 165*minute, 225*minute)
		if n := w.lines.count("no pull of an environment has succeeded"); n != 1 {
			t.Errorf("told of the delay %d times", n)
		}
		w.src.SetError(pulltest.OpMembers, &pull.Error{Class: pull.Throttled, Detail: "slowly", RetryAfter: 3 * time.Hour})
		time.Sleep(50 * minute) // at 285 minutes it is told to wait until 465
		if s := must(w.r.Status(w.ctx)); !s[0].Late {
			t.Error("the status does not say that it is late")
		}
		stop()
		w.r = pull.New(w.o) // a restart does not forget it
		w.src.SetError(pulltest.OpMembers, nil)
		if _, err := w.r.Sync(w.ctx, operator, w.env, pull.SyncOptions{}); directory.KindOf(err) != directory.RateLimited {
			t.Errorf("a run before Graph wants one: %v", err)
		}
		stop = w.work()
		time.Sleep(4 * time.Hour)
		got := w.starts(w.env, start)
		if len(got) < 8 || got[5] != 285*minute || got[6] != 465*minute || got[7] != 480*minute {
			t.Errorf("runs at %v", got)
		}
		stop()
		w.r = pull.New(w.o)
		if s := w.state(w.env); s.Failures != 0 || !s.NotBefore.IsZero() {
			t.Errorf("after a success: %+v", s)
		}
	})
}

// Graph counts by application and tenant: what one environment is told holds for all of the tenant.
func TestOfATenantAllWait(t *testing.T) {
	scheduled(t, func(w *world) {
		no := false
		byHand := w.newEnv("By hand", w.tenant, 1)
		other := w.newEnv("Of another tenant", w.newTenant("other"), 1)
		for _, env := range []directory.ID{w.env, byHand, other} {
			if run := w.syncEnv(env); run.State == directory.RunQuarantined {
				w.allow(run)
			}
		}
		w.integrate(byHand, directory.IntegrationInput{Periodic: &no})
		start := w.now()
		defer w.work()()
		time.Sleep(minute)
		w.src.SetError(pulltest.OpMembers, &pull.Error{Class: pull.Throttled, Detail: "slowly", RetryAfter: time.Hour})
		w.is(w.syncEnv(byHand), directory.RunFailed)
		w.src.SetError(pulltest.OpMembers, nil)
		for _, o := range []pull.SyncOptions{{}, {Preview: true}} {
			if _, err := w.r.Sync(w.ctx, operator, w.env, o); directory.KindOf(err) != directory.RateLimited {
				t.Errorf("%+v: %v", o, err)
			}
		}
		w.is(w.syncEnv(other), directory.RunComplete)
		for _, s := range must(w.r.Status(w.ctx)) {
			if waits := !s.State.NotBefore.IsZero(); waits != (s.Environment.ID != other) {
				t.Errorf("%s waits: %v", s.Environment.Name, waits)
			}
		}
		time.Sleep(89 * minute) // not to the minute of a run
		w.startedAt(w.env, start, 61*minute, 76*minute)
		w.startedAt(other, start, 16*minute, 31*minute, 46*minute, 61*minute, 76*minute)
	})
}

// A point read that is told to wait does not spoil the run, and is kept all the same.
func TestConfirmIsToldToWait(t *testing.T) {
	w := pushed(t, 30)
	w.leave(1, 1, 1)
	w.src.SetError(pulltest.OpConfirm, &pull.Error{Class: pull.Throttled, Detail: "slowly", RetryAfter: time.Hour})
	run := w.sync()
	w.is(run, directory.RunComplete)
	if s := w.state(w.env); s.NotBefore.Sub(run.Ended) != time.Hour || s.Next.Before(s.NotBefore) {
		t.Errorf("%+v", s)
	}
}

// When the clock is set back, nothing waits for the time that it showed before.
func TestClockSetBack(t *testing.T) {
	scheduled(t, func(w *world) {
		w.advance(365 * 24 * time.Hour)
		w.src.SetError(pulltest.OpMembers, &pull.Error{Class: pull.Throttled, Detail: "slowly", RetryAfter: 400 * 24 * time.Hour})
		w.is(w.sync(), directory.RunFailed)
		if s := w.state(w.env); s.NotBefore.Sub(w.now()) != pull.MaxWait {
			t.Errorf("told to wait for %s", s.NotBefore.Sub(w.now()))
		}
		w.src.SetError(pulltest.OpMembers, nil)
		w.advance(-365 * 24 * time.Hour)
		start := w.now()
		defer w.work()()
		time.Sleep(17 * minute)
		w.startedAt(w.env, start, 90*time.Second, 16*minute+30*time.Second)
	})
}

func TestPauseAndNewSettings(t *testing.T) {
	scheduled(t, func(w *world) {
		w.settle()
		yes, no := true, false
		start := w.now()
		defer w.work()()
		time.Sleep(20 * minute)
		w.integrate(w.env, directory.IntegrationInput{Paused: &yes})
		time.Sleep(2 * time.Hour)
		w.startedAt(w.env, start, 15*minute)
		w.integrate(w.env, directory.IntegrationInput{Paused: &no})
		time.Sleep(minute + time.Second)
		if n := len(w.starts(w.env, start)); n != 2 {
			t.Errorf("%d runs within a minute of resuming", n)
		}
		w.integrate(w.env, directory.IntegrationInput{Periodic: &no})
		time.Sleep(2 * time.Hour)
		if n := len(w.starts(w.env, start)); n != 2 {
			t.Errorf("%d runs where none are wanted", n)
		}
		// An environment that comes later is seen within a minute; its first run is at a random time.
		later := w.newEnv("Later", w.tenant, 1)
		start = w.now()
		time.Sleep(9 * minute)
		if n := len(w.starts(later, start)); n != 1 {
			t.Errorf("%d runs of the new environment", n)
		}
	})
}

func TestInterruptedRunIsPlannedAgain(t *testing.T) {
	scheduled(t, func(w *world) {
		w.settle()
		stop := w.work()
		var reading atomic.Bool
		w.once(pulltest.OpMembers, pulltest.Before, func() { reading.Store(true); time.Sleep(5 * minute) })
		time.Sleep(16 * minute)
		if !reading.Load() {
			t.Fatal("nothing was under way")
		}
		stop()
		if last := w.history(w.env)[0]; last.State != directory.RunInterrupted {
			t.Errorf("the run is %s", last.State)
		}
		w.r = pull.New(w.o)
		start := w.now()
		stop = w.work()
		time.Sleep(3 * minute) // a fifth of the usual delay
		stop()
		w.startedAt(w.env, start, 90*time.Second)
		w.r = pull.New(w.o)
		w.r.Close()
		if _, err := w.r.Sync(w.ctx, operator, w.env, pull.SyncOptions{}); directory.KindOf(err) != directory.Unavailable {
			t.Errorf("a run of a server that has stopped: %v", err)
		}
	})
}

// A tick reads a group once, for however many environments.
func TestSharedReads(t *testing.T) {
	scheduled(t, func(w *world) {
		w.dir.SetGroup(pulltest.GroupID(2), "Support")
		w.people(2, 4, 4)
		second := w.newEnv("Second", w.tenant, 1, 2)
		third := w.newEnv("Third", w.tenant, 2)
		other := w.newTenant("other")
		fourth := w.newEnv("Fourth", other, 1)
		w.settle()
		for _, env := range []directory.ID{second, third, fourth} {
			run := w.syncEnv(env)
			if run.State == directory.RunQuarantined {
				w.allow(run)
			}
		}
		connects, members, groups := w.src.Calls(pulltest.OpConnect), w.src.Calls(pulltest.OpMembers), w.src.Calls(pulltest.OpGroup)
		w.people(1, 5, 5) // something for each to do
		start := w.now()
		stop := w.work()
		time.Sleep(16 * minute)
		for _, env := range []directory.ID{w.env, second, third, fourth} {
			w.startedAt(env, start, 15*minute)
		}
		if a, b, c := w.src.Calls(pulltest.OpConnect)-connects, w.src.Calls(pulltest.OpMembers)-members, w.src.Calls(pulltest.OpGroup)-groups; a != 2 || b != 3 || c != 3 {
			t.Errorf("%d connections, %d and %d reads of groups; want 2, 3 and 3", a, b, c)
		}
		if !w.hasAccess(5, w.env) || !w.hasAccess(5, second) {
			t.Error("the person is not in both")
		}
		requests, shared := 0, 0
		for _, env := range []directory.ID{w.env, second, third} {
			run := w.history(env)[0]
			requests += run.Requests
			for _, g := range run.Groups {
				if g.Shared {
					shared++
				}
			}
		}
		if requests != 4 || shared != 2 {
			t.Errorf("the runs count %d requests and %d shared reads, want 4 and 2", requests, shared)
		}
		// Who is told to wait tells the others of the tick.
		w.src.SetError(pulltest.OpMembers, &pull.Error{Class: pull.Throttled, Detail: "slowly", RetryAfter: time.Hour})
		members = w.src.Calls(pulltest.OpMembers)
		time.Sleep(15 * minute)
		if n := w.src.Calls(pulltest.OpMembers) - members; n != 2 {
			t.Errorf("asked %d times, want once for each tenant", n)
		}
		for _, env := range []directory.ID{w.env, second, third} {
			if s := w.state(env); !s.NotBefore.After(w.now()) {
				t.Errorf("%s does not wait: %+v", env, s)
			}
		}
		stop()
		w.r = pull.New(w.o)
	})
}

// A tenant that is linked to another directory between two runs of a tick shares nothing with it.
func TestTickDoesNotMixDirectories(t *testing.T) {
	scheduled(t, func(w *world) {
		second := w.newEnv("Second", w.tenant, 1)
		w.settle()
		w.settleEnv(second)
		seen := 0
		w.src.Hook(func(c pulltest.Call) {
			if c.Op == pulltest.OpMembers && c.When == pulltest.After {
				if seen++; seen == 1 {
					must(w.svc.SetTenant(w.ctx, operator, w.tenant, func(t *directory.Tenant) error { t.DirectoryID = pulltest.ID(9009).String(); return nil }))
				}
			}
		})
		stop := w.work()
		time.Sleep(15*minute + 30*time.Second)
		stop()
		w.r = pull.New(w.o)
		if seen != 2 {
			t.Errorf("%d reads, want one of each directory", seen)
		}
		if c := w.src.Connection(); c.DirectoryID != pulltest.ID(9009).String() {
			t.Errorf("the second run reads %s", c.DirectoryID)
		}
	})
}

// An environment that goes to another tenant while it waits for its turn is not read with the first.
func TestTickDoesNotMixTenants(t *testing.T) {
	scheduled(t, func(w *world) {
		second := w.newEnv("Second", w.tenant, 1)
		w.settle()
		w.settleEnv(second)
		other := w.newTenant("other")
		w.once(pulltest.OpMembers, pulltest.After, func() { w.integrate(second, directory.IntegrationInput{TenantID: &other}) })
		stop := w.work()
		time.Sleep(15*minute + 30*time.Second)
		stop()
		w.r = pull.New(w.o)
		stale := 0
		for _, run := range w.history(second) {
			if run.State == directory.RunFailed && run.TenantID.IsZero() {
				stale++
			}
		}
		if stale != 1 {
			t.Errorf("%d stale runs", stale)
		}
	})
}

func TestTenantsAtTheSameTime(t *testing.T) {
	for _, slots := range []int{1, 2, 0} {
		scheduled(t, func(w *world) {
			for _, name := range []string{"b", "c", "d", "e", "f"} {
				w.newEnv(name, w.newTenant(name), 1)
			}
			now, most := 0, 0
			block := make(chan struct{}, 1)
			block <- struct{}{}
			w.src.Hook(func(c pulltest.Call) {
				if c.Op != pulltest.OpGroup || c.When != pulltest.Before {
					return
				}
				<-block
				now++
				most = max(most, now)
				block <- struct{}{}
				time.Sleep(minute)
				<-block
				now--
				block <- struct{}{}
			})
			w.o.Settings.Tenants = slots
			w.r = pull.New(w.o)
			stop := w.work()
			time.Sleep(14 * minute)
			stop()
			w.r = pull.New(w.o)
			want := slots
			if slots == 0 {
				want = 4
			}
			if most != want {
				t.Errorf("%d tenants at the same time, want %d", most, want)
			}
			if n := w.src.Calls(pulltest.OpGroup); n != 6 {
				t.Errorf("%d runs, want 6", n)
			}
		})
	}
}

func TestOldRunsAreRemoved(t *testing.T) {
	scheduled(t, func(w *world) {
		w.settle()
		first := w.history(w.env)
		w.o.Settings.Interval = 12 * time.Hour
		w.r = pull.New(w.o)
		w.advance(80 * 24 * time.Hour) // without the runs of 80 days
		stop := w.work()
		time.Sleep(9 * 24 * time.Hour)
		if _, err := w.r.Show(w.ctx, first[1].ID); err != nil {
			t.Errorf("before its time: %v", err)
		}
		time.Sleep(3 * 24 * time.Hour)
		stop()
		w.r = pull.New(w.o)
		if _, err := w.r.Show(w.ctx, first[1].ID); directory.KindOf(err) != directory.NotFound {
			t.Errorf("after it: %v", err)
		}
	})
}

// Close ends what is under way and what waits for its turn behind it.
func TestCloseWhileWaiting(t *testing.T) {
	w := pushed(t, 3)
	second := w.newEnv("Second", w.tenant, 1)
	at, closing := make(chan struct{}), make(chan struct{})
	w.once(pulltest.OpMembers, pulltest.Before, func() { close(at); <-closing })
	first := must(w.r.Sync(w.ctx, operator, w.env, pull.SyncOptions{}))
	<-at
	queued := must(w.r.Sync(w.ctx, operator, second, pull.SyncOptions{}))
	go func() { // once Close has begun nobody can begin anything
		for {
			if _, err := w.r.Sync(w.ctx, operator, w.env, pull.SyncOptions{Preview: true}); err != nil {
				close(closing)
				return
			}
		}
	}()
	w.r.Close()
	w.r = pull.New(w.o)
	for _, run := range []*directory.Run{first, queued} {
		w.is(must(w.r.Show(w.ctx, run.ID)), directory.RunInterrupted)
	}
}

func TestStatusAndTest(t *testing.T) {
	w := pushed(t, 3)
	s := must(w.r.Status(w.ctx))
	if len(s) != 1 || s[0].Environment.ID != w.env || s[0].Last == nil || s[0].Last.State != directory.RunComplete || s[0].Running != nil || s[0].Late {
		t.Errorf("%+v", s)
	}
	if m, _ := w.r.Totals(); m.Requests == 0 || m != w.src.Metered() {
		t.Errorf("totals %+v, the source counted %+v", m, w.src.Metered())
	}
	w.newEnv("Second", w.tenant, 1, 7)
	report := must(w.r.Test(w.ctx, w.tenant))
	if report.OK() || len(report.Checks) != 3 { // the token, group 1 once, group 7
		t.Errorf("%+v", report)
	}
	w.src.Hook(func(pulltest.Call) { panic("in the source") })
	if _, err := w.r.Test(w.ctx, w.tenant); err == nil {
		t.Error("a panic is no error")
	}
	w.src.Hook(nil)
	if err := w.svc.RemoveCredential(w.ctx, operator, w.tenant, pull.CredentialName); err != nil {
		t.Fatal(err)
	}
	run := w.sync()
	w.is(run, directory.RunFailed)
	if run.Error.Class != string(pull.Configuration) {
		t.Errorf("%+v", run.Error)
	}
	none := pull.New(pull.Options{Service: w.svc, NewID: w.newID})
	defer none.Close()
	if _, err := none.Sync(w.ctx, operator, w.env, pull.SyncOptions{}); directory.KindOf(err) != directory.Unavailable {
		t.Errorf("without a way to read: %v", err)
	}
}

// A command without a server finds the run of one that was killed, and marks it before its own.
func TestSyncWithoutAScheduleRecovers(t *testing.T) {
	t.Parallel()
	w := pushed(t, 3)
	left := &directory.Run{ID: w.newID(), EnvironmentID: w.env, TenantID: w.tenant, State: directory.RunRunning, Started: w.now()}
	if err := w.svc.SaveRun(t.Context(), left, nil); err != nil {
		t.Fatal(err)
	}
	w.close()
	w.open()
	w.is(w.sync(), directory.RunComplete)
	got := view(w, func(sn *directory.Snapshot) (*directory.Run, error) { return sn.Run(left.ID) })
	if got.State != directory.RunInterrupted {
		t.Errorf("the run of the process before is %s", got.State)
	}
}
