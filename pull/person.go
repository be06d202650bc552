package pull

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// TriggerSignIn is the trigger of a run that pulls one person who signs in.
const TriggerSignIn directory.Trigger = "sign-in"

// The limits of Person, besides Settings.Person.
const (
	personBudget = 30 // pulls of people of one tenant that ask its directory within personWindow
	personWindow = time.Minute
)

// Person pulls one person of a tenant, by object id, whom nobody has provisioned yet: for a sign-in that comes before push
// does (by is the system), or because an operator or the administrator of an environment asks for it. provisioned says that
// the tenant has the person now, whoever has provisioned it.
//
// It asks the environments of the tenant whose pull is at work: set up, not paused, with settings under which a plan
// was applied before, and with no run that waits for a decision. The first plan of an environment, and one of other
// settings, waits for Allow because they may be wrong; a person who signs in must not be the way around that. Of
// an administrator only the environments within reach are asked. Where there is none, or the tenant has no
// application or no credential for it, it returns false without a request.
//
// The person has to exist and to be enabled by a point read, and to be in a Group to Sync by one too: directly, or
// through a nested group where the environment counts these. Guests are taken only where the environment takes guests.
// Whom push has deleted, whose user may be there without an object id, and whose e-mail address is that of an
// internal account, is left to the runs and to push. A new person is made and put into the groups, as a run
// of each environment, with its plan, log line and events; that is all that is ever done: nobody is changed, renamed,
// deactivated or taken out of anything.
//
// It does not wait for the runs of the tenant, which may take minutes, and none waits for it. Both see to it by themselves: a
// person who is there already is left alone (directory.ErrMoved), and one whom the lists of a run do not show is asked
// for alone before anything is taken away. Calls for the same person at the same time are one.
//
// Errors, all with provisioned false: Forbidden; NotFound for the tenant, and for one of which no environment is within
// reach (Forbidden for a partner who may see one); Exists or Conflict with the reason why the person cannot be provisioned; RateLimited while Graph
// has asked to wait, and for more than 30 people of a tenant within a minute; Unavailable while the server stops; *Error of
// the directory, of class Unavailable when it took longer than Settings.Person; directory.ErrStale; that of ctx.
func (r *Reconciler) Person(ctx context.Context, by directory.Actor, tenant, object directory.ID) (provisioned bool, err error) {
	switch by.Role {
	case directory.RoleSystem, directory.RoleOperator, directory.RoleEnvironment, directory.RolePartner:
	default:
		return false, forbidden(directory.RoleEnvironment)
	}
	if r.Connect == nil || object.IsZero() {
		return false, nil
	}
	r.Recover(r.ctx) // what is under way below must not be taken for what an earlier process left
	call, err := r.personCall(by, tenant, object)
	if err != nil {
		return false, err
	}
	select {
	case <-call.done:
		return call.provisioned, call.err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// personKey names calls that are one. What an administrator of an environment asks for may reach less far than what
// the system asks for.
type personKey struct {
	tenant, object directory.ID
	by             string
}

// personCall is a pull of a person that is under way.
type personCall struct {
	done        chan struct{} // closed when the rest is there
	provisioned bool
	err         error
}

// people are the pulls of single people.
type people struct {
	mu     sync.Mutex // guards what follows; taken before that of the Reconciler
	calls  map[personKey]*personCall
	budget budget
}

// budget is how often the directory of a tenant is asked at somebody's wish.
type budget struct {
	mu     sync.Mutex
	recent map[directory.ID][]time.Time // by tenant: when it was asked, within personWindow
}

// take reports whether the directory may be asked once more.
func (b *budget) take(tenant directory.ID, now time.Time, most int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.recent == nil {
		b.recent = map[directory.ID][]time.Time{}
	}
	recent := slices.DeleteFunc(b.recent[tenant], func(at time.Time) bool { return now.Sub(at).Abs() >= personWindow })
	if len(recent) >= most {
		b.recent[tenant] = recent
		return false
	}
	b.recent[tenant] = append(recent, now)
	return true
}

// personCall begins the pull of a person, unless one of the same person is under way.
func (r *Reconciler) personCall(by directory.Actor, tenant, object directory.ID) (*personCall, error) {
	k := personKey{tenant: tenant, object: object}
	if by.Role != directory.RoleSystem && by.Role != directory.RoleOperator {
		k.by = string(by.Role) + " " + by.ID
	}
	r.people.mu.Lock()
	defer r.people.mu.Unlock()
	if call := r.people.calls[k]; call != nil {
		return call, nil
	}
	call := &personCall{done: make(chan struct{})}
	started := r.spawn(func() {
		call.provisioned, call.err = r.person(by, tenant, object)
		r.people.mu.Lock()
		delete(r.people.calls, k)
		r.people.mu.Unlock()
		close(call.done)
	})
	if !started {
		return nil, errStopping
	}
	if r.people.calls == nil {
		r.people.calls = map[personKey]*personCall{}
	}
	r.people.calls[k] = call
	return call, nil
}

// spend takes one pull of a person out of a tenant's budget.
func (p *people) spend(tenant directory.ID, now time.Time) error {
	if !p.budget.take(tenant, now, personBudget) {
		return &directory.Error{Kind: directory.RateLimited, Detail: fmt.Sprintf("more than %d people of this tenant were asked for within a minute; try again in a minute, or wait for the next run", personBudget)}
	}
	return nil
}

// person pulls a person, whatever happens on the way.
func (r *Reconciler) person(by directory.Actor, tenant, object directory.ID) (provisioned bool, err error) {
	late := &Error{Class: Unavailable, Detail: "the person could not be pulled within " + r.Settings.Person.String() + "; try again, or wait for the next run"}
	ctx, cancel := context.WithTimeoutCause(r.ctx, r.Settings.Person, late)
	defer cancel()
	d := &demand{Reconciler: r, by: by, object: object, t: &tick{tenant: tenant}}
	err = guarded(func() error {
		provisioned, err = d.work(ctx)
		return err
	})
	switch {
	case err == nil:
		return provisioned, nil
	case r.ctx.Err() != nil:
		err = errStopping
	case ctx.Err() != nil: // whatever it says, it is because of that
		err = context.Cause(ctx)
	}
	return false, err
}

// demand is the pull of one person at work.
type demand struct {
	*Reconciler
	by       directory.Actor
	object   directory.ID
	t        *tick
	tenant   *directory.Tenant
	cred     *directory.Credential
	resource Resources
	jobs     []*job // a run of each environment that may take the person

	person Person
	groups []string          // Groups to Sync that the person is in, directly or through others
	direct []string          // those of them that the person is in directly
	names  map[string]string // of groups that push has not made
	cost   Meter
	made   directory.ID // the user, once it is made
}

func (d *demand) work(ctx context.Context) (provisioned bool, err error) {
	var known bool
	err = d.Service.View(ctx, func(sn *directory.Snapshot) error {
		known, err = d.load(sn)
		return err
	})
	if err != nil || known || len(d.jobs) == 0 {
		return known, err
	}
	if err := d.people.spend(d.t.tenant, d.now()); err != nil {
		return false, err
	}
	defer d.t.close()
	found, err := d.read(ctx)
	if err != nil {
		d.keepWait(ctx, err)
		return false, err
	}
	if !found {
		return false, nil
	}
	failed := d.provision(ctx)
	err = d.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		provisioned, err = d.known(sn)
		return err
	})
	switch {
	case err != nil:
		return false, err
	case !provisioned:
		return false, failed
	case failed != nil: // of one of several environments, or push was faster: who asked has the person
		d.Log.Warn("a person was provisioned, but not by every run that should have", "tenant", d.t.tenant, "kind", directory.KindOf(failed).String())
	}
	return true, nil
}

// known reports whether the tenant has the person.
func (d *demand) known(sn *directory.Snapshot) (bool, error) {
	ids, err := sn.UsersByObjectID(d.t.tenant, d.object)
	return len(ids) > 0, err
}

// load reads what the whole pull goes by, and finds the environments that may take the person.
func (d *demand) load(sn *directory.Snapshot) (known bool, err error) {
	d.jobs = nil
	if d.tenant, err = sn.Tenant(d.t.tenant); err != nil {
		return false, err
	}
	envs, err := d.reach(sn)
	if err != nil {
		return false, err
	}
	if known, err = d.known(sn); err != nil || known {
		return known, err
	}
	if d.tenant.DirectoryID == "" || d.tenant.Graph.ClientID == "" {
		return false, nil
	}
	if d.cred, err = sn.Credential(d.tenant.ID, CredentialName); err != nil {
		if directory.KindOf(err) == directory.NotFound {
			err = nil
		}
		return false, err
	}
	if d.resource, err = d.Resources(d.tenant); err != nil {
		return false, err
	}
	return false, d.loadJobs(sn, envs)
}

// reach finds the environments of the tenant that may be asked.
func (d *demand) reach(sn *directory.Snapshot) ([]*directory.Environment, error) {
	envs, err := sn.Environments(directory.ID{})
	if err != nil {
		return nil, err
	}
	envs = slices.DeleteFunc(envs, func(env *directory.Environment) bool { return env.Integration.TenantID != d.tenant.ID })
	if d.by.Role == directory.RoleSystem || d.by.Role == directory.RoleOperator {
		return envs, nil
	}
	refused := error(&directory.Error{Kind: directory.NotFound, Detail: "tenant not found"})
	envs = slices.DeleteFunc(envs, func(env *directory.Environment) bool {
		_, err := sn.MayEnvironment(d.by, env.ID)
		if directory.KindOf(err) == directory.Forbidden {
			refused = err
		}
		return err != nil
	})
	if len(envs) == 0 {
		return nil, refused
	}
	return envs, nil
}

// loadJobs prepares a run of each environment whose pull is at work.
func (d *demand) loadJobs(sn *directory.Snapshot, envs []*directory.Environment) error {
	all, err := sn.Environments(directory.ID{})
	if err != nil {
		return err
	}
	states, err := pullStates(sn, all)
	if err != nil {
		return err
	}
	seen, err := sn.PushSeen(d.tenant.ID)
	if err != nil {
		return err
	}
	for _, env := range envs {
		settings, state := settingsOf(env, d.tenant, d.cred.ID), states[env.ID]
		if !setUp(env.Integration) || env.Integration.Paused || settingsChanged(state, settings) != "" || !state.Quarantined.IsZero() {
			continue
		}
		j := &job{Reconciler: d.Reconciler, t: d.t, env: env, tenant: d.tenant, cred: d.cred, state: state, settings: settings, resource: d.resource}
		j.a = d.newRun(env.ID, d.now().Sub(seen) > d.Settings.SilentAfter)
		d.jobs = append(d.jobs, j)
	}
	if len(d.jobs) == 0 {
		return nil
	}
	return mayAsk(tenantWaits(all, states, d.now()), d.tenant.ID)
}

// newRun makes a run that nobody waits for and that holds up no other.
func (d *demand) newRun(environment directory.ID, silent bool) *activeRun {
	trigger := directory.TriggerManual
	if d.by.Role == directory.RoleSystem {
		trigger = TriggerSignIn
	}
	id := d.NewID()
	return &activeRun{id: id, environment: environment, by: d.by, run: directory.Run{ID: id, EnvironmentID: environment, TenantID: d.tenant.ID,
		Trigger: trigger, Actor: d.by, State: directory.RunRunning, Started: d.now(), PushSilent: silent}}
}

// read asks the directory, and reports whether it has the person, enabled and in a group that counts.
func (d *demand) read(ctx context.Context) (found bool, err error) {
	if d.t.watch, err = d.Service.Watch(ctx); err != nil {
		return false, err
	}
	if d.t.source, err = d.open(d.tenant, d.cred, false, func(m Meter) { d.cost.Add(m) }); err != nil {
		return false, err
	}
	if err := d.readGroups(ctx); err != nil || len(d.jobs) == 0 {
		return false, err
	}
	if d.person, found, err = d.t.source.Person(ctx, d.object); err != nil || !found || !d.person.Enabled {
		return false, err
	}
	d.keepJobs(func(in directory.Integration) bool { return in.Guests || !d.person.Guest })
	return len(d.jobs) > 0, nil
}

// readGroups asks which Groups to Sync the person is in, and keeps the environments that take it for that.
func (d *demand) readGroups(ctx context.Context) error {
	var groups []string
	for _, j := range d.jobs {
		groups = append(groups, j.env.Integration.Groups...)
	}
	slices.Sort(groups)
	answers, err := d.t.source.Confirm(ctx, []directory.ID{d.object}, slices.Compact(groups))
	if err != nil {
		return err
	}
	if len(answers) == 1 && answers[0].ID == d.object && answers[0].Found && answers[0].Enabled {
		d.groups = answers[0].Groups
	}
	if len(d.groups) > 0 {
		// The point read sees nested groups too. In whose table a membership is written, and whether it counts for an
		// environment that does not count nested groups, depends on which it is.
		if d.direct, err = d.t.source.Direct(ctx, d.object, d.groups); err != nil {
			return err
		}
	}
	d.keepJobs(func(in directory.Integration) bool {
		return slices.ContainsFunc(in.Groups, func(g string) bool { return d.counts(in, g) })
	})
	return d.readNames(ctx)
}

// counts reports whether the person is in one of the Groups to Sync as the environment counts.
func (d *demand) counts(in directory.Integration, object string) bool {
	list := d.direct
	if in.Transitive {
		list = d.groups
	}
	return slices.Contains(list, object)
}

func (d *demand) keepJobs(keep func(directory.Integration) bool) {
	d.jobs = slices.DeleteFunc(d.jobs, func(j *job) bool { return !keep(j.env.Integration) })
}

// readNames asks for the names of the groups that have to be made.
func (d *demand) readNames(ctx context.Context) error {
	d.names = map[string]string{}
	for _, j := range d.jobs {
		for _, object := range j.env.Integration.Groups {
			if _, known := d.names[object]; known || !d.counts(j.env.Integration, object) {
				continue
			}
			name, err := d.groupName(ctx, object)
			if err != nil {
				return err
			}
			d.names[object] = name
		}
	}
	return nil
}

// groupName is what push, or else the directory, calls a group.
func (d *demand) groupName(ctx context.Context, object string) (name string, err error) {
	err = d.Service.View(ctx, func(sn *directory.Snapshot) error {
		ids, err := sn.GroupsByExternalID(d.tenant.ID, object)
		if err != nil || len(ids) == 0 {
			return err
		}
		g, err := sn.Group(d.tenant.ID, ids[0])
		if err == nil {
			name = g.DisplayName
		}
		return err
	})
	if err != nil || name != "" {
		return name, err
	}
	g, err := d.t.source.Group(ctx, object)
	return g.DisplayName, err
}

// keepWait keeps until when the directory has asked to wait, for everything that would ask it.
func (d *demand) keepWait(ctx context.Context, err error) {
	wait := retryAfter(err)
	if wait == 0 || len(d.jobs) == 0 {
		return
	}
	until := d.now().Add(wait)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	err = d.Service.UpdatePullState(ctx, d.jobs[0].env.ID, func(s *directory.PullState) error {
		if until.After(s.NotBefore) {
			s.NotBefore = until
		}
		return nil
	})
	if err != nil {
		d.Log.Error("until when the directory asked to wait could not be kept", "tenant", d.t.tenant, "error", err)
	}
}

// provision makes the run of each environment. The first one that can makes the person, the others put it into
// their groups. It returns what went wrong first.
func (d *demand) provision(ctx context.Context) (first error) {
	for _, j := range d.jobs {
		if err := d.run(ctx, j); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// run makes the run of one environment. Where somebody was faster, with the group or with the person, it looks once
// more.
func (d *demand) run(ctx context.Context, j *job) error {
	err := d.runOnce(ctx, j)
	if errors.Is(err, directory.ErrMoved) {
		j.a = d.newRun(j.env.ID, j.a.show().PushSilent)
		err = d.runOnce(ctx, j)
	}
	return err
}

// runOnce plans and applies. Where there is nothing to do, or what there is cannot be done, there is no run.
func (d *demand) runOnce(ctx context.Context, j *job) error {
	var e *entry
	err := d.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		if err := j.unchanged(sn); err != nil {
			return err
		}
		e, err = d.plan(sn, j)
		return err
	})
	if err != nil || e == nil {
		return err
	}
	j.a.edit(func(run *directory.Run) {
		run.Counts = j.plan.counts
		run.Pages, run.Requests, run.Retries, run.Units = d.cost.Pages, d.cost.Requests, d.cost.Retries, d.cost.Units
	})
	d.cost = Meter{} // the first run has paid
	if err := d.Service.SaveRun(ctx, j.a.show(), nil); err != nil {
		return err
	}
	err = j.saveItems(ctx, j.plan.entries)
	if err == nil {
		err = j.apply(ctx)
	}
	d.end(j, err)
	switch {
	case err != nil:
		return err
	case e.Outcome == directory.OutcomeSkipped:
		return notApplied(j, directory.ErrMoved)
	case e.Outcome != directory.OutcomeApplied:
		return notApplied(j, nil)
	}
	d.made = e.UserID
	return nil
}

// notApplied is the error of a plan that could not be applied. Names stay in the plan.
func notApplied(j *job, why error) error {
	return &directory.Error{Kind: directory.Conflict, Detail: "the person could not be provisioned: the plan of run " + j.a.id.String() + " says why", Err: why}
}

// plan makes the plan of one environment: the one person, as a new user, or with the memberships of this environment when
// another one has just made it. nil: there is nothing to do.
func (d *demand) plan(sn *directory.Snapshot, j *job) (*entry, error) {
	p := &planner{plan: &plan{}, sn: sn, env: j.env, tenant: d.tenant, read: d.reading(j.env.Integration), fold: d.Service.Fold, resource: d.resource}
	if err := p.loadGroups(); err != nil {
		return nil, err
	}
	ids, err := sn.UsersByObjectID(d.tenant.ID, d.object)
	switch {
	case err != nil:
		return nil, err
	case len(ids) == 0:
		err = p.newPerson()
	case len(ids) == 1 && ids[0] == d.made:
		err = p.newMember(d.made)
	}
	if err != nil || len(p.entries) == 0 {
		return nil, err
	}
	e := p.entries[0]
	e.Evidence = "point read: exists, is enabled and in the group"
	if d.by.Role == directory.RoleSystem {
		e.Reason = "signs in; " + e.Reason
	}
	p.counts.People = 1
	p.finish()
	p.tally()
	j.plan, j.planner = p.plan, p
	return e, nil
}

// reading is what was read of the groups of one environment.
func (d *demand) reading(in directory.Integration) *reading {
	r := &reading{people: []Person{d.person}, byID: map[directory.ID]int{d.person.ID: 0}, direct: make([][]uint16, 1), through: make([][]uint16, 1)}
	for _, object := range in.Groups {
		if !d.counts(in, object) {
			continue
		}
		n := uint16(len(r.groups))
		r.groups = append(r.groups, readGroup{object: object, name: d.names[object]})
		list := &r.through[0]
		if slices.Contains(d.direct, object) {
			list = &r.direct[0]
		}
		*list = append(*list, n)
	}
	return r
}

// newPerson plans the one person of the read as a new user, and refuses where a run would do more than that.
func (p *planner) newPerson() error {
	person := &p.read.people[0]
	refuse := func(kind directory.ErrorKind, why string) error {
		return &directory.Error{Kind: kind, Field: "objectId", Detail: "this person is not pulled on demand: " + why}
	}
	name := userNameOf(p.tenant, person)
	u, clash, err := p.find(0, person)
	switch {
	case err != nil:
		return err
	case clash != "":
		return refuse(directory.Conflict, clash)
	case u != nil:
		return refuse(directory.Conflict, "a user of the same userName is there whose object id is not known; the next run links the two")
	}
	taken, err := p.sn.UserByName(p.tenant.ID, name)
	if err != nil {
		return err
	}
	if !taken.IsZero() {
		return refuse(directory.Exists, "the userName is that of another user, with another object id; it is free once that user is renamed or deleted")
	}
	// No tenant is trusted with what a sign-in would take over.
	if err := p.sn.AdoptionProblem(directory.ID{}, name, nonEmpty(person.Mail)...); err != nil {
		if k := directory.KindOf(err); k != directory.NotFound && k != directory.Exists {
			return err
		}
		return refuse(directory.Exists, "an internal account has the same e-mail address; push or the next run decides about it")
	}
	if clash, err = p.twin(person); err != nil {
		return err
	}
	if clash != "" { // which names that user
		return refuse(directory.Conflict, "a user with the same e-mail address and no known object id may be the same person; map objectId to externalId in the provisioning mappings")
	}
	if err := p.provision(0); err != nil {
		return err
	}
	switch e := p.entries[0]; {
	case e.Outcome != directory.OutcomePlanned:
		return refuse(directory.Conflict, e.why())
	case e.Kind != directory.ItemCreate:
		return refuse(directory.Conflict, "push has deleted this person before and has to bring it back; else the next run does")
	}
	return nil
}

// newMember plans the memberships of a user who was just made.
func (p *planner) newMember(id directory.ID) error {
	u, err := p.sn.User(p.tenant.ID, id)
	if err != nil {
		return err
	}
	e := *p.begin(u)
	e.Kind, e.Reason = directory.ItemGrant, "in a Group to Sync, and without access"
	for _, n := range p.read.direct[0] {
		in, err := p.inGroup(n, u.ID, false)
		if err != nil {
			return err
		}
		barred, err := p.barred(n, u.ID)
		if err != nil {
			return err
		}
		if !in && !barred {
			e.join = append(e.join, n)
		}
	}
	for _, n := range p.read.through[0] {
		g := &p.groups[n]
		in, err := p.inGroup(n, u.ID, true)
		switch {
		case err != nil:
			return err
		case in, len(g.ids) == 0 && g.taken:
		case len(g.ids) > 0:
			e.in = append(e.in, g.ids[0])
		default:
			e.inNew = append(e.inNew, n)
		}
	}
	if e.moves() {
		p.tellMoves(&e)
		p.entries = append(p.entries, &e)
	}
	return nil
}

// inGroup reports whether a user is in one of the groups by what is kept.
func (p *planner) inGroup(n uint16, user directory.ID, nested bool) (bool, error) {
	for _, g := range p.groups[n].ids {
		in, err := p.sn.IsMember(p.tenant.ID, g, user)
		if nested {
			in, err = p.sn.IsIndirect(p.env, user, g)
		}
		if in || err != nil {
			return in, err
		}
	}
	return false, nil
}

// end keeps how the run of a person ended. It is none of the reads that follow one another: what the pull remembers of the
// environment stays as it is.
func (d *demand) end(j *job, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.ctx), endTime)
	defer cancel()
	state, runError := j.outcome(err)
	j.a.edit(func(run *directory.Run) {
		run.State, run.Error, run.Ended, run.Stage, run.StageStarted = state, runError, d.now(), "", time.Time{}
	})
	run := j.a.show()
	if saved := d.Service.SaveRun(ctx, run, nil); saved != nil {
		d.Log.Error("the end of a pull run could not be kept", "run", run.ID, "environment", run.EnvironmentID, "error", saved)
		return
	}
	if state == directory.RunComplete { // any other end is told with the error
		j.report(run, nil)
	}
}
