package pull

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// alone makes one run outside of the schedule.
func (r *Reconciler) alone(a *activeRun) {
	var tenant directory.ID
	err := r.Service.View(a.ctx, func(sn *directory.Snapshot) error {
		env, err := sn.Environment(a.environment)
		if err == nil {
			tenant = env.Integration.TenantID
		}
		return err
	})
	if err != nil {
		r.make(a, &tick{}, err)
		return
	}
	r.inTurn(a.ctx, tenant, []*activeRun{a}, false)
}

// inTurn makes runs of one tenant one after another, sharing what they read. Every run of the list
// is ended and released, whatever happens.
func (r *Reconciler) inTurn(ctx context.Context, tenant directory.ID, runs []*activeRun, scheduled bool) {
	unlock, err := r.lock(ctx, tenant)
	if err == nil {
		defer unlock()
	}
	t := &tick{tenant: tenant, scheduled: scheduled}
	defer t.close()
	for _, a := range runs {
		r.make(a, t, err)
	}
}

// job is one run at work.
type job struct {
	*Reconciler
	a        *activeRun
	t        *tick
	began    time.Time
	env      *directory.Environment
	tenant   *directory.Tenant
	cred     *directory.Credential
	state    *directory.PullState // as it was when the run began
	settings string
	restore  bool
	resource Resources
	plan     *plan // nil until it is whole
	planner  *planner
	facts    *facts
	verdict  verdict
	absent   []directory.Absence // those whom this read did not find
	expected int                 // people, by the last complete read; 0: there was none
	wait     time.Duration       // that the directory asked for in the middle of the run
}

// make makes one run from its beginning to its end.
func (r *Reconciler) make(a *activeRun, t *tick, err error) {
	defer r.release(a)
	ctx, cancel := context.WithTimeoutCause(a.ctx, r.Settings.Deadline, errDeadline)
	defer cancel()
	j := &job{Reconciler: r, a: a, t: t, began: r.now()}
	a.edit(func(run *directory.Run) { run.Started = j.began })
	if err == nil {
		err = guarded(func() error { return j.work(ctx) })
	}
	if err != nil && ctx.Err() != nil { // whatever it says, it is because of that
		err = context.Cause(ctx)
	}
	j.end(err)
}

// guarded turns a panic into an error: a run must not take the process down.
func guarded(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return fn()
}

// stage begins a stage of that many people; 0: not known.
func (j *job) stage(s directory.RunStage, total int) {
	now := j.now()
	j.a.edit(func(run *directory.Run) { run.Stage, run.StageStarted, run.Done, run.Total = s, now, 0, total })
}

func (j *job) work(ctx context.Context) error {
	if err := j.load(ctx); err != nil {
		return err
	}
	if err := j.Service.SaveRun(ctx, j.a.show(), nil); err != nil {
		return err
	}
	if err := j.connect(ctx); err != nil {
		return err
	}
	j.stage(directory.StageRead, j.expected)
	read, err := j.t.read(ctx, j.a, j.env.Integration)
	if err != nil {
		return err
	}
	if err := j.makePlan(ctx, read); err != nil {
		return err
	}
	if err := j.keepPlan(ctx); err != nil {
		return err
	}
	if j.a.options.Preview {
		return nil
	}
	if err := j.confirm(ctx); err != nil {
		return err
	}
	return j.apply(ctx)
}

// load reads the settings that the whole run goes by. What was switched off, paused or given to
// another tenant while the run waited for its turn is stale.
func (j *job) load(ctx context.Context) error {
	return j.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		if j.env, err = sn.Environment(j.a.environment); err != nil {
			return err
		}
		in := j.env.Integration
		if !setUp(in) || in.TenantID != j.t.tenant || in.Paused && !j.a.options.Preview {
			return directory.ErrStale
		}
		if j.tenant, err = sn.Tenant(in.TenantID); err != nil {
			return err
		}
		if j.state, err = sn.PullState(j.env.ID); err != nil {
			return err
		}
		if j.expected, err = lastPeople(sn, j.env.ID); err != nil {
			return err
		}
		seen, err := sn.PushSeen(j.tenant.ID)
		if err != nil {
			return err
		}
		a := j.state.Approval
		j.restore = j.a.options.Restore || !j.a.options.Preview && a != nil && a.Restore && j.now().Before(a.Expires)
		j.a.edit(func(run *directory.Run) {
			run.TenantID, run.Restore, run.PushSilent = j.tenant.ID, j.restore, j.now().Sub(seen) > j.Settings.SilentAfter
		})
		if j.cred, err = sn.Credential(j.tenant.ID, CredentialName); err != nil {
			if directory.KindOf(err) == directory.NotFound {
				err = &Error{Class: Configuration, Detail: "tenant " + j.tenant.Name + " has no credential for Microsoft Graph: set one with tenant credential set"}
			}
			return err
		}
		j.settings = settingsOf(j.env, j.tenant, j.cred.ID)
		j.resource, err = j.Resources(j.tenant)
		return err
	})
}

// lastPeople is how many people the last complete read of an environment found; 0 where none of the
// latest runs has read so far.
func lastPeople(sn *directory.Snapshot, environment directory.ID) (people int, err error) {
	seen := 0
	err = sn.Runs(environment, func(run *directory.Run) bool {
		if run.Trigger == TriggerSignIn { // it read one person
			return true
		}
		people = run.Counts.People
		seen++
		return len(run.Groups) == 0 && seen < lookBack // groups are kept once all of them are read
	})
	return people, err
}

// CredentialName is the name of the credential that a tenant's pull uses.
const CredentialName = "graph"

// connect opens the source and starts to watch, before the first read. The runs of a tick share it,
// unless the tenant has changed between them.
func (j *job) connect(ctx context.Context) (err error) {
	to := string(encode(j.tenant.DirectoryID)) + string(encode(j.tenant.Graph)) + j.cred.ID.String()
	j.t.current.Store(j.a)
	if j.t.source != nil && j.t.opened == to {
		return nil
	}
	j.t.close()
	j.t.later = nil
	j.t.opened, j.t.groups = to, map[groupKey]*groupRead{}
	if j.t.watch, err = j.Service.Watch(ctx); err != nil {
		return err
	}
	j.t.source, err = j.open(j.tenant, j.cred, j.t.scheduled, j.t.metered)
	return err
}

// open opens the directory of a tenant.
func (r *Reconciler) open(t *directory.Tenant, cred *directory.Credential, scheduled bool, meter func(Meter)) (Source, error) {
	if t.DirectoryID == "" || t.Graph.ClientID == "" {
		return nil, &Error{Class: Configuration, Detail: "tenant " + t.Name + " needs a directory (tenant) id and an application (client) id"}
	}
	c := Connection{DirectoryID: t.DirectoryID, Cloud: cloudOf(t.Graph), LoginURL: t.Graph.LoginURL, GraphURL: t.Graph.GraphURL,
		ClientID: t.Graph.ClientID, Kind: CredentialKind(cred.Kind), TokenFile: cred.TokenFile, Roots: r.Roots, Scheduled: scheduled, Now: r.Now,
		Meter: func(m Meter) {
			r.mu.Lock()
			r.totals.Add(m)
			r.mu.Unlock()
			meter(m)
		},
		Wait: func(time.Duration) {
			r.mu.Lock()
			r.waits++
			r.mu.Unlock()
		}}
	if cred.Sealed != "" {
		secret, err := r.Open(cred)
		if err != nil {
			return nil, &Error{Class: Configuration, Detail: "the credential of tenant " + t.Name + " cannot be opened: " + detailOf(err), Err: err}
		}
		c.Secret = secret
	}
	return r.Connect(c)
}

func cloudOf(g directory.Graph) Cloud {
	if g.Cloud == "" {
		return CloudPublic
	}
	return Cloud(g.Cloud)
}

// makePlan plans and checks.
func (j *job) makePlan(ctx context.Context, read *reading) error {
	j.stage(directory.StagePlan, len(read.people))
	p := &planner{plan: &plan{}, tenant: j.tenant, read: read, restore: j.restore, fold: j.Service.Fold, resource: j.resource}
	f := &facts{state: j.state, settings: j.settings, restore: j.restore, now: j.now(), active: map[directory.ID]int64{},
		recent: map[directory.ID]int{}, stops: map[directory.ID]directory.Stops{}, names: map[directory.ID]string{}}
	err := j.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		if err := j.unchanged(sn); err != nil {
			return err
		}
		p.sn, p.env, f.env = sn, j.env, j.env
		if err := p.make(); err != nil {
			return err
		}
		if err := p.skipMoved(j.t.watch); err != nil {
			return err
		}
		p.tally()
		return f.load(sn, j.tenant.ID, sorted(p.affected))
	})
	if err != nil {
		return err
	}
	j.plan, j.planner, j.facts = p.plan, p, f
	j.verdict = p.check(f)
	return nil
}

// unchanged makes sure that the settings are still those that were read with.
func (j *job) unchanged(sn *directory.Snapshot) error {
	env, err := sn.Environment(j.env.ID)
	if err != nil {
		return err
	}
	tenant, err := sn.Tenant(j.tenant.ID)
	if err != nil {
		return err
	}
	cred, err := sn.Credential(j.tenant.ID, CredentialName)
	if err != nil && directory.KindOf(err) != directory.NotFound {
		return err
	}
	if err != nil || string(encode(env.Integration)) != string(encode(j.env.Integration)) || settingsOf(env, tenant, cred.ID) != j.settings {
		return directory.ErrStale
	}
	return nil
}

// load reads what the checks need of environments that would lose accesses.
func (f *facts) load(sn *directory.Snapshot, tenant directory.ID, environments []directory.ID) error {
	for _, id := range environments {
		env, err := sn.Environment(id)
		if err != nil {
			return err
		}
		f.stops[id], f.names[id] = env.Integration.Stops, env.Name
		if f.active[id], err = sn.ActiveExternal(id); err != nil {
			return err
		}
	}
	if len(environments) == 0 || f.counted {
		return nil
	}
	f.counted = true
	envs, err := sn.Environments(directory.ID{})
	if err != nil {
		return err
	}
	for _, env := range envs {
		if env.Integration.TenantID != tenant {
			continue
		}
		if err := f.countRecent(sn, env.ID); err != nil {
			return err
		}
	}
	return nil
}

// countRecent counts what the runs of an environment took away in the last 24 hours, of itself and
// of others.
func (f *facts) countRecent(sn *directory.Snapshot, environment directory.ID) error {
	since := f.now.Add(-24 * time.Hour)
	return sn.Runs(environment, func(run *directory.Run) bool {
		for id, n := range run.Deactivations {
			if env, ok := directory.ParseID(id); ok && !run.Ended.Before(since) {
				f.recent[env] += n
			}
		}
		return !run.Started.Before(since.Add(-24 * time.Hour)) // no run takes a day
	})
}

// itemBatch is how many items one transaction writes.
const itemBatch = 500

// keepPlan marks what is held back, and writes the plan before anything of it is applied. An
// approval is used up here, whatever becomes of the run.
func (j *job) keepPlan(ctx context.Context) error {
	p, before := j.plan, j.seenBefore()
	for _, e := range p.entries {
		if e.Outcome == directory.OutcomePlanned {
			e.held = j.a.options.Preview || !j.verdict.approved && p.touched(&j.verdict, e)
			if e.needs {
				j.absent = append(j.absent, j.since(before, e.absences())...)
			}
		}
	}
	for _, e := range p.entries {
		switch {
		case e.held && j.a.options.Preview:
			e.set(directory.OutcomeHeld, "a preview applies nothing")
		case e.held:
			e.set(directory.OutcomeHeld, "waits for a decision")
		}
	}
	p.follow()
	p.tally()
	same, err := j.sameAsWaiting(ctx)
	if err != nil {
		return err
	}
	used := j.verdict.approved && !j.a.options.Preview
	j.a.edit(func(run *directory.Run) {
		run.Hash, run.Reasons, run.Findings, run.Notes, run.Counts, run.PlanOf = j.verdict.hash, j.verdict.reasons, j.verdict.findings, p.notes, p.counts, same
		if used {
			run.Approval = j.state.Approval
		}
	})
	err = j.saveItems(ctx, slices.DeleteFunc(slices.Clone(p.entries), func(e *entry) bool {
		return !same.IsZero() && e.Outcome == directory.OutcomeHeld
	}))
	if err != nil || j.a.options.Preview {
		return err
	}
	return j.Service.SaveRun(ctx, j.a.show(), func(s *directory.PullState) {
		s.Absent = j.absent
		if used {
			j.dropApproval(s)
		}
	})
}

// dropApproval forgets the approval that the run began with. One that was given since is for the
// run after it.
func (j *job) dropApproval(s *directory.PullState) {
	if s.Approval != nil && j.state.Approval != nil && s.Approval.RunID == j.state.Approval.RunID {
		s.Approval = nil
	}
}

func (j *job) saveItems(ctx context.Context, entries []*entry) error {
	for batch := range slices.Chunk(entries, itemBatch) {
		items := make([]directory.PlanItem, len(batch))
		for i, e := range batch {
			items[i] = e.PlanItem
		}
		if err := j.Service.SaveItems(ctx, j.a.id, items); err != nil {
			return err
		}
	}
	return nil
}

// sameAsWaiting returns the run that waits for a decision on the same plan: it goes on waiting, and
// what it holds is not written once more every 15 minutes.
func (j *job) sameAsWaiting(ctx context.Context) (directory.ID, error) {
	if j.state.Quarantined.IsZero() || len(j.verdict.reasons) == 0 || j.verdict.approved || j.a.options.Preview {
		return directory.ID{}, nil
	}
	run, err := j.kept(ctx, j.state.Quarantined)
	if err != nil || run.State != directory.RunQuarantined || run.Hash != j.verdict.hash || !j.now().Before(run.Ended.Add(directory.ApprovalLife)) {
		return directory.ID{}, err
	}
	return run.ID, nil
}

func (j *job) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	j.a.edit(func(run *directory.Run) { run.Notes = append(slices.Clip(run.Notes), text) })
}
