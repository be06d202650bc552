package pull

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bizzstream/bizzscim/directory"
)

// alone makes one run outside of the schedule.
func (r *Reconciler) alone(a *activeRun) {
	r.inTurn(a.ctx, a.run.EnvironmentID, []*activeRun{a}, false)
}

// inTurn makes runs of one tenant one after another, sharing what they read. Every run of the list
// is ended and released, whatever happens.
func (r *Reconciler) inTurn(ctx context.Context, first directory.ID, runs []*activeRun, scheduled bool) {
	tenant, err := r.tenantOf(ctx, first)
	var unlock func()
	if err == nil {
		unlock, err = r.lock(ctx, tenant)
	}
	if err == nil {
		defer unlock()
	}
	t := &tick{groups: map[groupKey]*groupRead{}}
	defer func() {
		if t.source != nil {
			t.source.Close()
		}
	}()
	for _, a := range runs {
		r.make(a, t, scheduled, err)
	}
}

func (r *Reconciler) tenantOf(ctx context.Context, environment directory.ID) (id directory.ID, err error) {
	err = r.Service.View(ctx, func(sn *directory.Snapshot) error {
		env, err := sn.Environment(environment)
		if err == nil {
			id = env.Integration.TenantID
		}
		return err
	})
	return id, err
}

// job is one run at work.
type job struct {
	*Reconciler
	a        *activeRun
	t        *tick
	env      *directory.Environment
	tenant   *directory.Tenant
	cred     *directory.Credential
	state    *directory.PullState
	settings string
	resource Resources
	plan     *plan
	verdict  verdict
	absent   []directory.Absence // those whom this read did not find
	approved int                 // accesses that went with a person's approval
}

// make makes one run from its beginning to its end.
func (r *Reconciler) make(a *activeRun, t *tick, scheduled bool, err error) {
	defer r.release(a)
	ctx, cancel := context.WithTimeoutCause(a.ctx, r.Settings.Deadline, errDeadline)
	defer cancel()
	j := &job{Reconciler: r, a: a, t: t}
	if err == nil {
		err = j.guarded(ctx, scheduled)
	}
	if cause := context.Cause(ctx); err != nil && cause != nil && errors.Is(err, ctx.Err()) {
		err = cause
	}
	j.end(err)
}

// guarded turns a panic into an error: a run must not take the process down.
func (j *job) guarded(ctx context.Context, scheduled bool) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return j.work(ctx, scheduled)
}

func (j *job) work(ctx context.Context, scheduled bool) error {
	if err := j.load(ctx); err != nil {
		return err
	}
	if err := j.Service.SaveRun(ctx, j.a.show(), nil); err != nil {
		return err
	}
	if err := j.connect(ctx, scheduled); err != nil {
		return err
	}
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
	if j.a.run.Preview {
		return nil
	}
	if err := j.confirm(ctx); err != nil {
		return err
	}
	return j.apply(ctx)
}

// load reads the settings that the whole run goes by.
func (j *job) load(ctx context.Context) error {
	err := j.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		if j.env, err = sn.Environment(j.a.run.EnvironmentID); err != nil {
			return err
		}
		if j.tenant, err = sn.Tenant(j.env.Integration.TenantID); err != nil {
			return err
		}
		if j.state, err = sn.PullState(j.env.ID); err != nil {
			return err
		}
		seen, err := sn.PushSeen(j.tenant.ID)
		if err != nil {
			return err
		}
		if a := j.state.Approval; a != nil && a.Restore && j.now().Before(a.Expires) {
			j.a.edit(func(run *directory.Run) { run.Restore = true })
		}
		j.a.edit(func(run *directory.Run) {
			run.TenantID, run.PushSilent = j.tenant.ID, j.now().Sub(seen) > j.Settings.SilentAfter
		})
		j.cred, err = sn.Credential(j.tenant.ID, CredentialName)
		if directory.KindOf(err) == directory.NotFound {
			return &Error{Class: Configuration, Detail: "tenant " + j.tenant.Name + " has no credential for Microsoft Graph: set one with tenant credential set"}
		}
		return err
	})
	if err != nil {
		return err
	}
	j.settings = settingsOf(j.env, j.tenant, j.cred.ID)
	j.resource, err = j.Resources(j.tenant)
	return err
}

// CredentialName is the name of the credential that a tenant's pull uses.
const CredentialName = "graph"

// connect opens the source and starts to watch, once in a tick, before the first read.
func (j *job) connect(ctx context.Context, scheduled bool) (err error) {
	if j.t.source != nil {
		return nil
	}
	if j.t.watch, err = j.Service.Watch(ctx); err != nil {
		return err
	}
	j.t.source, err = j.open(j.tenant, j.cred, scheduled, func(m Meter) {
		j.a.edit(func(run *directory.Run) {
			run.Pages, run.Requests = run.Pages+m.Pages, run.Requests+m.Requests
			run.Retries, run.Units = run.Retries+m.Retries, run.Units+m.Units
		})
	})
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
	j.a.stage(directory.StagePlan, len(read.people))
	j.plan = &plan{}
	f := &facts{state: j.state, settings: j.settings, restore: j.a.run.Restore, now: j.now(), active: map[directory.ID]int64{},
		recent: map[directory.ID]int{}, stops: map[directory.ID]directory.Stops{}, names: map[directory.ID]string{}}
	err := j.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		if f.env, err = sn.Environment(j.env.ID); err != nil {
			return err
		}
		p := &planner{plan: j.plan, sn: sn, env: f.env, tenant: j.tenant, read: read, restore: j.a.run.Restore, fold: j.Service.Fold, resource: j.resource}
		if err := p.make(); err != nil {
			return err
		}
		if err := p.skipMoved(j.t.watch); err != nil {
			return err
		}
		return f.load(sn, j.plan, j.tenant.ID)
	})
	if err != nil {
		return err
	}
	if string(encode(f.env.Integration)) != string(encode(j.env.Integration)) {
		return directory.ErrStale
	}
	j.verdict = j.plan.check(f)
	return nil
}

// skipMoved leaves out whom push has changed since the watch began: what was read of them may be
// older than what push has written.
func (p *planner) skipMoved(w *directory.Watch) error {
	for _, e := range p.entries {
		if e.Outcome != directory.OutcomePlanned || e.UserID.IsZero() {
			continue
		}
		groups := slices.Clone(e.leave)
		for _, n := range e.join {
			groups = append(groups, p.groups[n].ids...)
		}
		moved, err := w.Changed(p.sn, e.UserID, groups...)
		if err != nil {
			return err
		}
		if moved {
			p.spare(e)
			*p.counter(e.Kind)--
			p.counts.Skipped++
			e.set(directory.OutcomeSkipped, "push changed this user after the read began; the next run looks again")
		}
	}
	return nil
}

// load reads what the checks need of the environments that would lose accesses.
func (f *facts) load(sn *directory.Snapshot, p *plan, tenant directory.ID) error {
	lost := 0
	for id, n := range p.affected {
		env, err := sn.Environment(id)
		if err != nil {
			return err
		}
		f.stops[id], f.names[id] = env.Integration.Stops, env.Name
		if f.active[id], err = sn.EnvironmentAccessCount(id, true); err != nil {
			return err
		}
		lost += n
	}
	if lost == 0 {
		return nil
	}
	envs, err := sn.Environments(directory.ID{})
	if err != nil {
		return err
	}
	since := f.now.Add(-24 * time.Hour)
	for _, env := range envs {
		if env.Integration.TenantID != tenant {
			continue
		}
		err := sn.Runs(env.ID, func(run *directory.Run) bool {
			for id, n := range run.Deactivations {
				if e, ok := directory.ParseID(id); ok && !run.Ended.Before(since) {
					f.recent[e] += n
				}
			}
			return !run.Started.Before(since.Add(-time.Hour)) // a run may have ended within the day that began before
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// itemBatch is how many items one transaction writes.
const itemBatch = 500

// keepPlan marks what is held back, and writes the plan before anything of it is applied.
func (j *job) keepPlan(ctx context.Context) error {
	p := j.plan
	for _, e := range p.entries {
		if e.Outcome != directory.OutcomePlanned {
			continue
		}
		switch {
		case j.verdict.holds(e):
			e.set(directory.OutcomeHeld, "waits for a decision")
			p.counts.Held++
		case j.a.run.Preview:
			e.set(directory.OutcomeHeld, "a preview applies nothing")
			p.counts.Held++
		}
		if e.needs {
			j.absent = append(j.absent, e.absences()...)
		}
	}
	same, err := j.sameAsWaiting(ctx)
	if err != nil {
		return err
	}
	j.a.edit(func(run *directory.Run) {
		run.Hash, run.Reasons, run.Notes, run.Counts, run.PlanOf = j.verdict.hash, j.verdict.reasons, p.notes, p.counts, same
		if j.verdict.approved {
			run.Approval = j.state.Approval
		}
	})
	return j.saveItems(ctx, slices.DeleteFunc(slices.Clone(p.entries), func(e *entry) bool {
		return !same.IsZero() && e.Outcome == directory.OutcomeHeld
	}))
}

func (j *job) saveItems(ctx context.Context, entries []*entry) error {
	for batch := range slices.Chunk(entries, itemBatch) {
		items := make([]directory.PlanItem, len(batch))
		for i, e := range batch {
			items[i] = e.PlanItem
		}
		if err := j.Service.SaveItems(ctx, j.a.run.ID, items); err != nil {
			return err
		}
	}
	return nil
}

// sameAsWaiting returns the run that waits for a decision on the same plan: it goes on waiting, and
// what it holds is not written once more every 15 minutes.
func (j *job) sameAsWaiting(ctx context.Context) (directory.ID, error) {
	if j.state.Quarantined.IsZero() || len(j.verdict.reasons) == 0 || j.verdict.approved || j.a.run.Preview {
		return directory.ID{}, nil
	}
	run, err := j.kept(ctx, j.state.Quarantined)
	if err != nil || run.Hash != j.verdict.hash || !j.now().Before(run.Ended.Add(directory.ApprovalLife)) {
		return directory.ID{}, err
	}
	return run.ID, nil
}

// absences are what a second read has to see once more.
func (e *entry) absences() (list []directory.Absence) {
	if e.UserID.IsZero() {
		return nil
	}
	if e.disable {
		return []directory.Absence{{UserID: e.UserID}}
	}
	for _, g := range slices.Concat(e.leave, e.out) {
		list = append(list, directory.Absence{UserID: e.UserID, GroupID: g})
	}
	return list
}

// confirm makes sure of everyone whose access would go, and of everyone whom push has deleted: by a
// point read, or by the complete read before this one.
func (j *job) confirm(ctx context.Context) error {
	var doubtful []*entry
	var ids []directory.ID
	for _, e := range j.plan.entries {
		if e.Outcome == directory.OutcomePlanned && e.needs {
			doubtful, ids = append(doubtful, e), append(ids, e.ObjectID)
		}
	}
	if len(doubtful) == 0 {
		return nil
	}
	j.a.stage(directory.StageConfirm, len(doubtful))
	objects := make([]string, len(j.plan.groups))
	nested := false
	for i, g := range j.plan.groups {
		objects[i], nested = g.object, nested || g.nested > 0
	}
	answers := map[directory.ID]Confirmation{}
	list, err := j.t.source.Confirm(ctx, ids, objects)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		j.note("the directory did not answer for single people (%s): only those are done whom two complete reads in a row did not find", detailOf(err))
	}
	for _, c := range list {
		answers[c.ID] = c
	}
	before := map[directory.Absence]bool{}
	for _, a := range j.state.Absent {
		before[a] = true
	}
	for _, e := range doubtful {
		answer, ok := answers[e.ObjectID]
		if !j.sure(e, answer, ok, nested, before) {
			*j.plan.counter(e.Kind)--
			j.plan.counts.Waiting++
			if e.Detail == "" {
				e.Detail = "one read alone takes nothing away: waits for the next complete read"
			}
			e.Outcome = directory.OutcomeWaiting
		}
		j.a.advance(1)
	}
	j.a.edit(func(run *directory.Run) { run.Counts = j.plan.counts })
	return j.saveItems(ctx, doubtful)
}

func (j *job) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	j.a.edit(func(run *directory.Run) { run.Notes = append(slices.Clip(run.Notes), text) })
}

// sure decides whether an entry is certain enough to be applied.
func (j *job) sure(e *entry, answer Confirmation, answered, nested bool, before map[directory.Absence]bool) bool {
	if e.UserID.IsZero() { // was deleted by push: must be there, enabled and in one of the groups
		if answered && answer.Found && answer.Enabled && len(answer.Groups) > 0 {
			e.Evidence = "point read: exists, is enabled and in the group"
			return true
		}
		return false
	}
	twice := true
	for _, a := range e.absences() {
		twice = twice && before[a]
	}
	if !answered {
		if twice {
			e.Evidence = "two complete reads in a row"
		}
		return twice
	}
	if !answer.Found || !answer.Enabled {
		e.Evidence = "point read: there is no such user any more"
		if answer.Found {
			e.Evidence = "point read: disabled"
		}
		if !e.disable { // gone altogether: inactive, with the memberships kept for a comeback
			e.disableInstead()
		}
		return true
	}
	if e.disable {
		e.Detail = "the list says disabled, a point read says enabled: waits for the list to catch up"
		return false
	}
	for _, g := range j.plan.groups {
		for _, id := range e.leave {
			if !slices.Contains(g.ids, id) || !slices.Contains(answer.Groups, g.object) {
				continue
			}
			// Still in it by the point read, which sees nested groups too. Without any, the list lags behind.
			if g.nested > 0 && twice && !j.env.Integration.Transitive {
				continue
			}
			e.Detail = "the list does not show this person in " + g.label() + ", a point read does: waits for the list to catch up"
			return false
		}
		for _, id := range e.out {
			if slices.Contains(g.ids, id) && slices.Contains(answer.Groups, g.object) && !slices.Contains(e.leave, id) {
				e.Detail = "the list does not show this person in a group within " + g.label() + ", a point read does: waits for the list to catch up"
				return false
			}
		}
	}
	e.Evidence = "point read: not in the group"
	if twice {
		e.Evidence += "; two complete reads in a row"
	}
	return true
}

// disableInstead makes a leaver whom the directory has deleted or disabled inactive, in place of
// taking the memberships away.
func (e *entry) disableInstead() {
	e.Kind, e.Reason = directory.ItemDeactivate, "deleted or disabled in the directory"
	e.leave, e.out, e.join, e.in, e.inNew = nil, nil, nil, nil, nil
	e.Changes = append(slices.DeleteFunc(e.Changes, func(c directory.Change) bool { return c.Name == "groups" }), change("active", true, false))
	e.overrides = orNew(e.overrides)
	e.overrides.Active = new(bool)
}

// apply does what is planned and certain: groups first, then people, several at a time.
func (j *job) apply(ctx context.Context) error {
	batches := j.plan.batches()
	total := 0
	for _, b := range batches {
		total += len(b)
	}
	j.a.stage(directory.StageApply, total)
	if total == 0 {
		return nil
	}
	if err := j.makeGroups(ctx); err != nil {
		return err
	}
	scope := directory.RepairScope{Run: j.a.show(), Integration: j.env.Integration, Watch: j.t.watch}
	g, work := errgroup.WithContext(ctx)
	g.SetLimit(j.Settings.Workers)
	for _, batch := range batches {
		if work.Err() != nil { // the safe point of a cancelled run: between two people
			break
		}
		g.Go(func() error { return j.applyBatch(work, scope, batch) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// batches puts together those who must change at once, because one takes the userName that another
// gives up, in the order of the plan.
func (p *plan) batches() (batches [][]*entry) {
	giving := map[string]*entry{}
	for _, e := range p.entries {
		if e.Outcome == directory.OutcomePlanned && e.oldName != "" {
			giving[e.oldName] = e
		}
	}
	at := map[*entry]int{}
	for _, e := range p.entries {
		if e.Outcome != directory.OutcomePlanned {
			continue
		}
		n, mine := at[e]
		other := giving[e.newName]
		if e.newName == "" || other == e {
			other = nil
		}
		m, theirs := -1, false
		if other != nil {
			m, theirs = at[other]
		}
		switch {
		case mine && theirs && n != m:
			for _, x := range batches[m] {
				at[x] = n
			}
			batches[n], batches[m] = append(batches[n], batches[m]...), nil
		case mine && other != nil && !theirs:
			batches[n], at[other] = append(batches[n], other), n
		case !mine && theirs:
			batches[m], at[e] = append(batches[m], e), m
		case !mine:
			n = len(batches)
			batches, at[e] = append(batches, []*entry{e}), n
			if other != nil {
				batches[n], at[other] = append(batches[n], other), n
			}
		}
	}
	return slices.DeleteFunc(batches, func(b []*entry) bool { return len(b) == 0 })
}

// makeGroups provisions the groups that push has not.
func (j *job) makeGroups(ctx context.Context) error {
	by := j.a.run.Actor
	by.Role, by.Channel, by.RunID = directory.RoleDirectory, "pull", j.a.run.ID
	wanted := map[int]bool{}
	for _, e := range j.plan.entries {
		if e.Outcome == directory.OutcomePlanned {
			for _, n := range slices.Concat(e.join, e.inNew) {
				wanted[n] = true
			}
		}
	}
	for n := range j.plan.groups {
		g := &j.plan.groups[n]
		if !wanted[n] || len(g.ids) > 0 {
			continue
		}
		name := g.name
		if name == "" {
			name = g.object
		}
		made, err := j.Service.CreateGroup(ctx, by, j.tenant.ID, j.resource.Group(name, g.object), nil)
		if directory.KindOf(err) == directory.Exists { // Entra allows two groups of one name, SCIM does not
			made, err = j.Service.CreateGroup(ctx, by, j.tenant.ID, j.resource.Group(name+" ("+g.object+")", g.object), nil)
		}
		if err != nil {
			return err
		}
		g.ids = []directory.ID{made.ID}
	}
	return nil
}

// applyBatch applies one batch. What goes wrong with one person is kept with the person; only what
// ends the whole run is an error.
func (j *job) applyBatch(ctx context.Context, scope directory.RepairScope, batch []*entry) error {
	repairs := make([]directory.Repair, len(batch))
	for i, e := range batch {
		repairs[i] = j.repair(e)
	}
	items, err := j.Service.Repair(ctx, scope, repairs)
	var refused *directory.Error
	switch {
	case err == nil:
		j.applied(batch, items)
	case errors.Is(err, directory.ErrMoved):
		err = j.refuse(ctx, batch, directory.OutcomeSkipped, err)
	case errors.As(err, &refused) && refused.Kind != directory.Internal && refused.Kind != directory.Unavailable:
		err = j.refuse(ctx, batch, directory.OutcomeFailed, err)
	}
	j.a.advance(len(batch))
	return err
}

func (j *job) repair(e *entry) directory.Repair {
	rep := directory.Repair{Item: e.PlanItem, ObjectID: e.object, Version: e.version, Leave: e.leave, In: e.in, Out: e.out}
	for _, n := range e.join {
		rep.Join = append(rep.Join, j.plan.groups[n].ids[0])
	}
	for _, n := range e.inNew {
		rep.In = append(slices.Clip(rep.In), j.plan.groups[n].ids[0])
	}
	if e.overrides != nil {
		rep.Update = func(before *directory.User) (directory.UserInput, error) {
			return j.resource.User(before, *e.overrides)
		}
	}
	return rep
}

func (j *job) applied(batch []*entry, items []directory.PlanItem) {
	j.a.edit(func(run *directory.Run) {
		for i, e := range batch {
			e.PlanItem = items[i]
			run.Counts.Applied++
			for _, x := range e.Accesses {
				if x.Effect != directory.Deactivated {
					continue
				}
				if x.EnvironmentID == run.EnvironmentID {
					run.Counts.Deactivated++
				}
				if j.verdict.approved {
					run.Counts.Approved++
					continue
				}
				if run.Deactivations == nil {
					run.Deactivations = map[string]int{}
				}
				run.Deactivations[x.EnvironmentID.String()]++
			}
		}
	})
}

// refuse keeps why a batch was not applied.
func (j *job) refuse(ctx context.Context, batch []*entry, outcome directory.Outcome, why error) error {
	for _, e := range batch {
		e.set(outcome, detailOf(why))
	}
	j.a.edit(func(run *directory.Run) {
		if outcome == directory.OutcomeSkipped {
			run.Counts.Skipped += len(batch)
		} else {
			run.Counts.Failed += len(batch)
		}
	})
	return j.saveItems(ctx, batch)
}
