package pull

import (
	"context"
	"slices"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// look is how long the scheduler sleeps at most: settings that change meanwhile are seen then.
const look = time.Minute

// lateIntervals is how many intervals may pass without a success before somebody is told.
const lateIntervals = 3

// Work runs the schedule until ctx ends, then stops the runs under way and returns. One process
// works on a store: what one has left unfinished, the next one plans again.
func (r *Reconciler) Work(ctx context.Context) {
	defer r.Close()
	if r.Connect == nil {
		<-ctx.Done()
		return
	}
	r.Recover(ctx)
	slots := make(chan struct{}, r.Settings.Tenants)
	late := map[directory.ID]bool{}
	var prune time.Time
	for {
		next, err := r.due(ctx, slots, late)
		if err != nil && ctx.Err() == nil {
			r.Log.Error("the schedule of the pull could not be read", "error", err)
		}
		if now := r.now(); !now.Before(prune) {
			prune = now.Add(24 * time.Hour)
			r.spawn(func() { r.prune(now) })
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-r.wake:
			timer.Stop()
		}
	}
}

func (r *Reconciler) prune(now time.Time) {
	n, err := r.Service.PruneRuns(r.ctx, now.Add(-r.Settings.Keep))
	switch {
	case err != nil && r.ctx.Err() == nil:
		r.Log.Error("old pull runs could not be removed", "error", err)
	case n > 0:
		r.Log.Info("removed old pull runs", "runs", n)
	}
}

// lookBack is how many runs of an environment are looked at for one that was interrupted: those that
// were ended while they waited behind it have later ids.
const lookBack = 50

// Recover marks what an earlier process left, once, before the first run of this one. What cannot be marked is logged.
func (r *Reconciler) Recover(ctx context.Context) {
	r.recovered.Do(func() {
		if err := r.recover(ctx); err != nil && ctx.Err() == nil {
			r.Log.Error("runs that were interrupted could not be marked", "error", err)
		}
	})
}

// recover marks the runs that an earlier process left: they are planned again. What they have taken
// away counts for the figures of the day.
func (r *Reconciler) recover(ctx context.Context) error {
	var left []*directory.Run
	err := r.Service.View(ctx, func(sn *directory.Snapshot) error {
		envs, err := sn.Environments(directory.ID{})
		if err != nil {
			return err
		}
		for _, env := range envs {
			seen := 0
			err := sn.Runs(env.ID, func(run *directory.Run) bool {
				if run.State == directory.RunRunning && r.find(run.ID) == nil {
					left = append(left, run)
				}
				if run.Trigger != TriggerSignIn { // of one person each, and there may be many
					seen++
				}
				return seen < lookBack
			})
			if err != nil {
				return err
			}
		}
		for _, run := range left {
			run.Counts.Applied, run.Counts.Deactivated, run.Counts.Approved, run.Deactivations = 0, 0, 0, nil
			err := sn.PlanItems(run.ID, 0, func(item *directory.PlanItem) bool {
				if item.Outcome == directory.OutcomeApplied {
					count(run, item, nil)
				}
				return true
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, run := range left {
		run.State, run.Ended, run.Stage, run.StageStarted = directory.RunInterrupted, r.now(), "", time.Time{}
		err := r.Service.SaveRun(ctx, run, func(s *directory.PullState) {
			if !run.Preview {
				s.LastRun, s.Next = run.ID, time.Time{}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// due begins the runs whose time has come and returns how long to sleep until the next one.
func (r *Reconciler) due(ctx context.Context, slots chan struct{}, late map[directory.ID]bool) (time.Duration, error) {
	// Before the snapshot: of whom is idle now, it holds how the last run ended.
	busy := r.busy()
	now := r.now()
	next := now.Add(look)
	byTenant := map[directory.ID][]directory.ID{}
	var order []directory.ID
	err := r.Service.View(ctx, func(sn *directory.Snapshot) error {
		envs, err := sn.Environments(directory.ID{})
		if err != nil {
			return err
		}
		states, err := pullStates(sn, envs)
		if err != nil {
			return err
		}
		waits := tenantWaits(envs, states, now)
		for _, env := range envs {
			in := env.Integration
			if !setUp(in) || !in.Periodic || in.Paused {
				delete(late, env.ID)
				continue
			}
			state := states[env.ID]
			r.warnLate(env, state, now, late)
			at := r.at(env.ID, state, now, waits[in.TenantID])
			switch {
			case at.After(now):
				if at.Before(next) {
					next = at
				}
			case busy[env.ID]:
			default:
				if byTenant[in.TenantID] == nil {
					order = append(order, in.TenantID)
				}
				byTenant[in.TenantID] = append(byTenant[in.TenantID], env.ID)
			}
		}
		return nil
	})
	for _, tenant := range order {
		r.launch(slots, tenant, byTenant[tenant])
	}
	return next.Sub(now), err
}

// at is when an environment's next scheduled run is due. The first one of a process comes after a
// random delay, so that a restart does not ask for everything at once. until is when its tenant may ask
// Graph again.
func (r *Reconciler) at(env directory.ID, state *directory.PullState, now, until time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, ok := r.first[env]
	if !ok {
		first = state.Next
		if first.Before(now) || first.Sub(now) > r.longest() {
			spread := r.Settings.Interval
			if !state.LastRun.IsZero() {
				spread /= 5
			}
			first = now.Add(time.Duration(r.Random() * float64(spread)))
		}
		r.first[env] = first
	}
	at := first
	if state.Next.After(at) && state.Next.Sub(now) <= r.longest() {
		at = state.Next
	}
	if until.After(at) {
		at = until
	}
	return at
}

// longest is how far ahead a next run can be. One that is further says that the clock was set back.
func (r *Reconciler) longest() time.Duration {
	return max(MaxBackoff, r.Settings.Interval)*11/10 + MaxWait
}

// busy are the environments with a run under way.
func (r *Reconciler) busy() map[directory.ID]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[directory.ID]bool, len(r.active))
	for env := range r.active {
		all[env] = true
	}
	return all
}

// launch begins the scheduled runs of one tenant's environments.
func (r *Reconciler) launch(slots chan struct{}, tenant directory.ID, envs []directory.ID) {
	var runs []*activeRun
	for _, env := range envs {
		by := directory.Actor{Role: directory.RoleSystem, Channel: "pull"}
		if a, _ := r.claim(by, env, directory.TriggerSchedule, SyncOptions{}); a != nil {
			runs = append(runs, a)
		}
	}
	if len(runs) == 0 {
		return
	}
	started := r.spawn(func() {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-r.ctx.Done():
		}
		r.inTurn(r.ctx, tenant, runs, true)
	})
	if !started {
		for _, a := range runs {
			r.release(a)
		}
	}
}

// warnLate tells the log once when an environment has had no success for too long.
func (r *Reconciler) warnLate(env *directory.Environment, state *directory.PullState, now time.Time, late map[directory.ID]bool) {
	is := r.late(state, now)
	if is && !late[env.ID] {
		r.Log.Warn("no pull of an environment has succeeded for a long time", "environment", env.ID, "lastSuccess", state.LastSuccess)
	}
	late[env.ID] = is
}

// late reports whether there was no success for too long, or never one in as many tries.
func (r *Reconciler) late(state *directory.PullState, now time.Time) bool {
	if state.LastSuccess.IsZero() {
		return state.Failures >= lateIntervals
	}
	return now.Sub(state.LastSuccess) > lateIntervals*r.Settings.Interval
}

// Status is how the pull of one environment is.
type Status struct {
	Environment *directory.Environment
	State       *directory.PullState // NotBefore is that of the tenant: the latest of its environments
	Last        *directory.Run       // the last one that ended; nil: none
	Running     *directory.Run       // under way; nil: none
	Late        bool                 // no success for three intervals
}

// Word names the one thing that somebody should know first: quarantined, failing, overdue, paused, running, manual,
// never or fine.
func (s *Status) Word() string {
	switch {
	case !s.State.Quarantined.IsZero():
		return "quarantined"
	case s.State.Failures > 0:
		return "failing"
	case s.Late:
		return "overdue"
	case s.Environment.Integration.Paused:
		return "paused"
	case s.Running != nil:
		return "running"
	case !s.Environment.Integration.Periodic:
		return "manual"
	case s.State.LastSuccess.IsZero():
		return "never"
	}
	return "fine"
}

// Status returns how the pulls of all environments are that use a tenant.
func (r *Reconciler) Status(ctx context.Context) (all []Status, err error) {
	now := r.now()
	err = r.Service.View(ctx, func(sn *directory.Snapshot) error {
		all = nil
		envs, err := sn.Environments(directory.ID{})
		if err != nil {
			return err
		}
		states, err := pullStates(sn, envs)
		if err != nil {
			return err
		}
		waits := tenantWaits(envs, states, now)
		for _, env := range envs {
			if !env.Integration.Enabled || env.Integration.TenantID.IsZero() {
				continue
			}
			s := Status{Environment: env, State: states[env.ID]}
			s.State.NotBefore = waits[env.Integration.TenantID]
			s.Late = env.Integration.Periodic && !env.Integration.Paused && r.late(s.State, now)
			if !s.State.LastRun.IsZero() {
				if s.Last, err = sn.Run(s.State.LastRun); err != nil {
					return err
				}
			}
			all = append(all, s)
		}
		return nil
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range all {
		if queue := r.active[all[i].Environment.ID]; len(queue) > 0 {
			all[i].Running = queue[0].show()
		}
	}
	return all, err
}

// Totals are what the reads of this process have cost so far, and how often one had to wait.
func (r *Reconciler) Totals() (m Meter, waits int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.totals, r.waits
}

// Test tries the credential of a tenant with the groups of its environments. An error means that
// nothing could be tried.
func (r *Reconciler) Test(ctx context.Context, tenant directory.ID) (Report, error) {
	if r.Connect == nil {
		return Report{}, errNoReader
	}
	var t *directory.Tenant
	var cred *directory.Credential
	var groups []string
	err := r.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		if t, err = sn.Tenant(tenant); err != nil {
			return err
		}
		if cred, err = sn.Credential(tenant, CredentialName); err != nil {
			return err
		}
		envs, err := sn.Environments(directory.ID{})
		for _, env := range envs {
			if in := env.Integration; in.Enabled && in.TenantID == tenant {
				groups = append(groups, in.Groups...)
			}
		}
		return err
	})
	if err != nil {
		return Report{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.Settings.Deadline)
	defer cancel()
	slices.Sort(groups)
	var report Report
	err = guarded(func() error {
		report, err = r.test(ctx, t, cred, slices.Compact(groups))
		return err
	})
	return report, err
}

func (r *Reconciler) test(ctx context.Context, t *directory.Tenant, cred *directory.Credential, groups []string) (Report, error) {
	source, err := r.open(t, cred, false, func(Meter) {})
	if err != nil {
		return Report{}, &directory.Error{Kind: directory.Invalid, Field: "credential", Detail: detailOf(err), Err: err}
	}
	defer source.Close()
	tester, ok := source.(Tester)
	if !ok {
		return Report{}, &directory.Error{Kind: directory.Unavailable, Detail: "this directory cannot be tested"}
	}
	return tester.Test(ctx, groups), nil
}
