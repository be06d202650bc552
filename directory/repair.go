package directory

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
)

// A Repair is what a run of the pull does about one person: the user, the memberships in the
// groups of one environment, and the access that follows, as one transaction with the log line,
// the events and the outcome of the plan's item.
type Repair struct {
	Item     PlanItem // as planned; written back with its outcome
	ObjectID ID       // the person's object id in the directory, remembered with the user
	Version  uint64   // of the user when the plan was made; 0 for a new one
	// Update returns the user as it should be; nil leaves it. It gets nil for a person who is to be
	// provisioned (Item.UserID is zero).
	Update func(*User) (UserInput, error)
	Join   []ID // groups (SCIM ids) that the person is to be in directly
	Leave  []ID // groups that the person is to leave
	// In and Out are groups that the person is in through a nested group, or is no longer.
	In, Out []ID
}

// RepairScope is what the repairs of one run share.
type RepairScope struct {
	Run         *Run
	Integration Integration // as the run planned with it
	Watch       *Watch
}

// ErrStale ends a run: the settings that it planned with are no longer those of the environment.
var ErrStale = errors.New("the settings of the environment changed while the run was under way")

// ErrMoved is wrapped by the error of a Repair that came too late: push or somebody else changed
// the person after the read of the run began. Nothing was written.
var ErrMoved = errors.New("changed since the read began")

func moved(what string) error {
	return &Error{Kind: Conflict, Detail: what + " since the read began; the next run looks again", Err: ErrMoved}
}

// Watch knows what others than the pull have changed since a moment before a read began: by the
// sequence of the events, not by a clock. Changes of the pull do not count: the runs of a tenant
// follow one another, and each plans on what the one before has left. It is safe for concurrent use.
type Watch struct {
	mu   sync.Mutex
	seen news
}

// news is what the events after a number tell.
type news struct {
	after    uint64 // number of the last event that was looked at
	users    map[ID]bool
	accounts map[ID]bool
	groups   map[ID]bool    // created, deleted: every membership counts as changed
	members  map[[2]ID]bool // group, member
}

func newsAfter(n uint64) news {
	return news{after: n, users: map[ID]bool{}, accounts: map[ID]bool{}, groups: map[ID]bool{}, members: map[[2]ID]bool{}}
}

// Watch starts watching.
func (s *Service) Watch(ctx context.Context) (*Watch, error) {
	w := &Watch{}
	err := s.View(ctx, func(sn *Snapshot) error {
		last, err := sn.lastEvent()
		w.seen = newsAfter(last)
		return err
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// LastEvent is the sequence number of the newest outgoing event, 0 when there is none.
func (s *Snapshot) LastEvent() (uint64, error) { return s.lastEvent() }

func (s *Snapshot) lastEvent() (last uint64, err error) {
	err = list(s.r, tableOutbox, Range{Reverse: true}, jsonRow[OutboxEvent], func(e *OutboxEvent) bool {
		last = e.Sequence
		return false
	})
	return last, err
}

// Changed brings the watch up to a snapshot, which must be one of Service.View, and reports whether
// a user, or its membership in one of the groups, has changed since the watch began.
func (w *Watch) Changed(sn *Snapshot, user ID, groups ...ID) (bool, error) {
	if err := w.catchUp(sn); err != nil {
		return false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen.tellOf(user, groups), nil
}

// catchUp reads the events that have been committed meanwhile.
func (w *Watch) catchUp(sn *Snapshot) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen.read(sn)
}

// since returns the events that the watch has not seen. Within a transaction they are kept for
// this once alone: what is not committed may never have been.
func (w *Watch) since(sn *Snapshot) (news, error) {
	w.mu.Lock()
	later := newsAfter(w.seen.after)
	w.mu.Unlock()
	err := later.read(sn)
	return later, err
}

func (n *news) read(sn *Snapshot) error {
	return list(sn.r, tableOutbox, Range{After: sequenceKey(n.after)}, othersEvent, func(e *OutboxEvent) bool {
		n.after = e.Sequence
		if !e.UserID.IsZero() {
			n.users[e.UserID], n.accounts[e.AccountID] = true, true
		}
		if e.Type == "group.created" || e.Type == "group.deleted" {
			n.groups[e.GroupID] = true
		}
		for _, list := range [][]ID{e.Added, e.Removed} {
			for _, id := range list {
				n.members[[2]ID{e.GroupID, id}] = true
			}
		}
		return true
	})
}

// ofPull stands in every event of a pull, and in no other: what an event holds of others stands between quotation marks, and
// theirs are escaped.
var ofPull = []byte(`"runId":"`)

// othersEvent reads an event; of one of a pull it reads the number alone. A run makes many events,
// and each of its repairs passes over those that it has not seen.
func othersEvent(k, value []byte) (*OutboxEvent, error) {
	if bytes.Contains(value, ofPull) {
		return &OutboxEvent{Sequence: binary.BigEndian.Uint64(k)}, nil
	}
	return decodeJSON[OutboxEvent](value)
}

func (n *news) tellOf(user ID, groups []ID) bool {
	return n.users[user] || slices.ContainsFunc(groups, func(g ID) bool { return n.groups[g] || n.members[[2]ID{g, user}] })
}

// Repair does what a plan says of some people, as one transaction: all of it or nothing. More than
// one person belong together when one takes the userName that another gives up. It returns the
// items with their outcome.
//
// Errors: ErrStale; an Error that wraps ErrMoved when one of them has changed since the read began;
// Exists when a userName or e-mail address is another's; Conflict for a protected account, for the
// last active administrator of an environment, and while the integration is off; Invalid for what
// Update made, and for In where the environment does not count members of nested groups. After any
// of them nothing has changed, and the items are not written. A group of Join, Leave or In that is
// not one of the Groups to Sync any more counts as changed.
func (s *Service) Repair(ctx context.Context, scope RepairScope, people []Repair) (items []PlanItem, err error) {
	by := scope.Run.Actor
	by.Role, by.Channel, by.RunID = RoleDirectory, "pull", scope.Run.ID
	// Most of what others have done is read before the transaction, where it holds up nobody.
	if err := s.View(ctx, scope.Watch.catchUp); err != nil {
		return nil, err
	}
	err = s.update(ctx, by, func(c *change) (err error) {
		items, err = c.repair(scope, people)
		return err
	})
	if err != nil {
		return nil, err
	}
	return items, nil
}

func (c *change) repair(scope RepairScope, people []Repair) ([]PlanItem, error) {
	env, err := c.Environment(scope.Run.EnvironmentID)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(encodeJSON(env.Integration), encodeJSON(scope.Integration)) {
		return nil, ErrStale
	}
	if !env.Integration.Enabled {
		return nil, failf(Conflict, "", "the integration of this environment is off: nothing is synchronized")
	}
	later, err := scope.Watch.since(c.Snapshot)
	if err != nil {
		return nil, err
	}
	changes := make([]personChange, len(people))
	for i := range people {
		changes[i] = personChange{change: c, Repair: people[i], env: env, watch: scope.Watch, later: later, tenant: env.Integration.TenantID}
		if err := changes[i].read(); err != nil {
			return nil, err
		}
	}
	// Names first: within one transaction two people may swap theirs.
	for i := range changes {
		if err := changes[i].giveUpName(); err != nil {
			return nil, err
		}
	}
	items := make([]PlanItem, len(changes))
	for i := range changes {
		if items[i], err = changes[i].apply(); err != nil {
			return nil, err
		}
		if err := c.putItem(scope.Run.ID, &items[i]); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// personChange is a Repair under way.
type personChange struct {
	*change
	Repair
	env    *Environment
	tenant ID
	watch  *Watch
	later  news // than watch

	before  *User // nil: to be provisioned
	after   *User
	in      UserInput
	action  Action
	joined  []ID
	left    []ID
	changed bool // something that others can see
}

// read makes sure that the person is still as it was planned with, and asks what it should be.
func (p *personChange) read() error {
	if len(p.In) > 0 && !p.env.Integration.Transitive {
		return failf(Invalid, "", "the environment does not count members of nested groups")
	}
	groups, err := p.syncedGroups(p.env)
	if err != nil {
		return err
	}
	for _, g := range slices.Concat(p.Join, p.Leave, p.In) {
		if !slices.Contains(groups, g) {
			return moved("a group to sync was deleted or became another one")
		}
	}
	if p.Item.UserID.IsZero() {
		return p.readNew()
	}
	u, err := p.user(p.tenant, p.Item.UserID)
	if err != nil {
		return err
	}
	if u == nil {
		return moved("this user was deleted")
	}
	if u.Version != p.Version || p.told(func(n *news) bool { return n.tellOf(u.ID, p.concerned(groups)) }) {
		return moved("this user was changed")
	}
	if !u.ObjectID.IsZero() && !p.ObjectID.IsZero() && u.ObjectID != p.ObjectID {
		return failf(Conflict, "", "this user belongs to another object of the directory")
	}
	u.Schemas, u.Attributes = bytes.Clone(u.Schemas), bytes.Clone(u.Attributes)
	after := *u
	p.before, p.after = u, &after
	if after.ObjectID = cmp.Or(u.ObjectID, p.ObjectID); p.Update == nil {
		return nil
	}
	given := *u
	given.Emails = slices.Clone(u.Emails)
	if p.in, err = p.Update(&given); err != nil {
		return err
	}
	after.Profile, after.Schemas, after.Attributes = p.in.Profile, p.in.Schemas, p.in.Attributes
	after.ObjectID = cmp.Or(u.ObjectID, p.ObjectID, objectID(p.in.ExternalID))
	return p.in.check()
}

// concerned are the groups of which the repair goes by who was in them: where it takes something
// away, all Groups to Sync, for what is left decides about the access.
func (p *personChange) concerned(synced []ID) []ID {
	if len(p.Leave)+len(p.Out) > 0 {
		return synced
	}
	return p.Join
}

// readNew makes sure that nobody has provisioned the person meanwhile.
func (p *personChange) readNew() error {
	ids, err := p.UsersByObjectID(p.tenant, p.ObjectID)
	if err != nil {
		return err
	}
	if len(ids) > 0 {
		return moved("this person was provisioned")
	}
	if p.in, err = p.Update(nil); err != nil {
		return err
	}
	if err := p.in.check(); err != nil {
		return err
	}
	former, err := p.FormerPerson(p.tenant, p.ObjectID, p.in.UserName)
	if err != nil {
		return err
	}
	if former != nil && p.told(func(n *news) bool { return n.accounts[former.ID] }) {
		return moved("this person was deleted")
	}
	return nil
}

// told asks what the events tell.
func (p *personChange) told(of func(*news) bool) bool {
	p.watch.mu.Lock()
	defer p.watch.mu.Unlock()
	return of(&p.watch.seen) || of(&p.later)
}

func (p *personChange) renamed() bool {
	return p.before != nil && p.fold(p.before.UserName) != p.fold(p.after.UserName)
}

func (p *personChange) giveUpName() error {
	if !p.renamed() {
		return nil
	}
	return p.w.Delete(tableUserName, textKey(p.tenant, p.fold(p.before.UserName)))
}

// apply writes the person and everything that follows.
func (p *personChange) apply() (PlanItem, error) {
	p.accesses, p.sessions = nil, 0
	for _, step := range []func() error{p.provisionNew, p.guard, p.move, p.moveIndirect, p.rewrite, p.deriveAll, p.keepAdministrator} {
		if err := step(); err != nil {
			return PlanItem{}, err
		}
	}
	p.Item.UserID, p.Item.Outcome, p.Item.Accesses = p.after.ID, OutcomeApplied, p.accesses
	if !p.changed && len(p.accesses) == 0 { // at most the object id was remembered
		return p.Item, nil
	}
	return p.Item, p.report()
}

func (p *personChange) provisionNew() (err error) {
	if p.before != nil {
		return nil
	}
	p.action, p.changed = ActionCreate, true
	p.after, err = p.provision(p.tenant, ID{}, p.in, cmp.Or(p.ObjectID, objectID(p.in.ExternalID)))
	return err
}

// guard refuses to take anything from a protected account.
func (p *personChange) guard() error {
	if p.before == nil || len(p.Leave) == 0 && len(p.Out) == 0 && (p.after.Active || !p.before.Active) {
		return nil
	}
	account, err := p.Account(p.before.AccountID)
	if err != nil {
		return err
	}
	if account.Protected {
		return failf(Conflict, "", "the account is protected: no pull takes anything from it")
	}
	return nil
}

// move writes the memberships.
func (p *personChange) move() error {
	id := p.after.ID
	for _, g := range p.Join {
		in, err := p.IsMember(p.tenant, g, id)
		if err != nil {
			return err
		}
		if in {
			continue
		}
		if err := p.join(p.tenant, g, Member{ID: id, Kind: MemberUser}); err != nil {
			return err
		}
		if err := p.w.Delete(tableTaken, key(p.tenant, id, g)); err != nil {
			return err
		}
		p.joined = append(p.joined, g)
	}
	for _, g := range p.Leave {
		in, err := p.IsMember(p.tenant, g, id)
		if err != nil {
			return err
		}
		if !in {
			continue
		}
		if err := p.leave(p.tenant, g, id); err != nil {
			return err
		}
		p.left = append(p.left, g)
	}
	for _, g := range slices.Concat(p.joined, p.left) {
		p.changed = true
		if err := p.touchGroup(p.tenant, g); err != nil {
			return err
		}
	}
	return nil
}

// moveIndirect writes in which groups the person is through nested ones.
func (p *personChange) moveIndirect() error {
	generation := sequenceKey(p.env.Integration.Generation)
	for _, g := range p.In {
		k := key(p.env.ID, p.after.ID, g)
		was, err := p.r.Get(tableIndirect, k)
		if err != nil {
			return err
		}
		if bytes.Equal(was, generation) {
			continue
		}
		p.changed = true
		if err := p.put(row{tableIndirect, k, generation}); err != nil {
			return err
		}
	}
	for _, g := range p.Out {
		k := key(p.env.ID, p.after.ID, g)
		was, err := p.r.Get(tableIndirect, k)
		if err != nil {
			return err
		}
		if was == nil {
			continue
		}
		p.changed = true
		if err := p.w.Delete(tableIndirect, k); err != nil {
			return err
		}
	}
	return nil
}

// rewrite writes a changed user. What only the directory knows of the person, the object id,
// changes no version: it is no part of the resource. What was given by hand before it was known goes.
func (p *personChange) rewrite() error {
	if p.before == nil {
		return nil
	}
	p.action = ActionUpdate
	if p.before.same(p.after) {
		if p.before.ObjectID == p.after.ObjectID {
			return nil
		}
		if err := p.indexUser(p.before, p.after); err != nil {
			return err
		}
		if err := p.put(row{tableUsers, key(p.tenant, p.after.ID), p.after.encode()}); err != nil {
			return err
		}
		return p.replacePerson(p.before, p.after)
	}
	p.changed = true
	if p.renamed() {
		if err := p.insert(tableUserName, textKey(p.tenant, p.fold(p.after.UserName)), p.after.ID[:], userNameTaken(p.after.UserName)); err != nil {
			return err
		}
	}
	var err error
	p.action, err = p.rewriteUser(p.before, p.after)
	return err
}

// deriveAll derives the accesses of the environments that the memberships touch.
func (p *personChange) deriveAll() error {
	account, err := p.Account(p.after.AccountID)
	if err != nil {
		return err
	}
	envs := []*Environment{p.env}
	for _, g := range slices.Concat(p.joined, p.left) {
		group, err := p.Group(p.tenant, g)
		if err != nil {
			return err
		}
		more, err := p.syncingEnvironments(p.tenant, group.ExternalID)
		if err != nil {
			return err
		}
		for _, e := range more {
			if !slices.ContainsFunc(envs, func(x *Environment) bool { return x.ID == e.ID }) {
				envs = append(envs, e)
			}
		}
	}
	for _, e := range envs {
		if err := p.derive(e, account, p.after, ID{}); err != nil {
			return err
		}
	}
	return nil
}

// keepAdministrator refuses what would take the last active administrator of an environment. The plan
// knows that too, but it may be older than the administrators of now.
func (p *personChange) keepAdministrator() error {
	for _, e := range p.accesses {
		if e.Effect != Deactivated {
			continue
		}
		access, err := p.Access(e.AccountID, e.EnvironmentID)
		if err != nil {
			return err
		}
		if !access.Administrator { // most: nobody has to be looked for
			continue
		}
		left, err := p.hasAdministrator(e.EnvironmentID, ID{})
		if err != nil {
			return err
		}
		if left {
			continue
		}
		env, err := p.Environment(e.EnvironmentID)
		if err != nil {
			return err
		}
		return failf(Conflict, "", "the last administrator of environment %s: no pull takes that access", env.Name)
	}
	return nil
}

// report writes the log line and the events: one for the user, one for each group that it joined
// or left.
func (p *personChange) report() error {
	e := userEvent(p.action, p.after, p.Item.Changes, p.in.Warnings)
	e.Reason = p.Item.Reason
	if err := p.log(e); err != nil {
		return err
	}
	kind, method := "user.updated", UpdatePatch
	switch {
	case p.before == nil:
		kind, method = "user.created", ""
	case p.before.Version == p.after.Version:
		method = UpdateNone
	}
	// What the plan calls its changes are not always names of attributes: they are compared.
	if err := p.publishUser(kind, p.before, p.after, method, nil); err != nil {
		return err
	}
	p.accesses = nil // told with the user
	for _, g := range p.joined {
		if err := p.reportGroup(g, OutboxEvent{Added: []ID{p.after.ID}}); err != nil {
			return err
		}
	}
	for _, g := range p.left {
		if err := p.reportGroup(g, OutboxEvent{Removed: []ID{p.after.ID}}); err != nil {
			return err
		}
	}
	return nil
}

// reportGroup writes the event of a group that the person joined or left.
func (p *personChange) reportGroup(id ID, e OutboxEvent) error {
	g, err := p.Group(p.tenant, id)
	if err != nil {
		return err
	}
	e.Type, e.TenantID, e.GroupID, e.Method, e.Attributes, e.Version, e.ExternalID = "group.updated", p.tenant, id, UpdatePatch, []string{"members"}, g.Version, g.ExternalID
	return p.publish(e)
}

// AdoptionProblem says why a person who is to be provisioned cannot be: an internal account has one
// of the e-mail addresses and may not be adopted. nil when nothing is in the way.
func (s *Snapshot) AdoptionProblem(tenant ID, userName string, emails ...string) error {
	_, err := s.internalAccount(&User{TenantID: tenant, Profile: Profile{UserName: userName, Emails: emails}})
	return err
}

// Overrides are what a directory says of a person, in the terms of the SCIM resource. Empty texts
// and nil say nothing: what the resource has stays.
type Overrides struct {
	UserName    string
	ExternalID  string
	DisplayName string
	GivenName   string
	FamilyName  string
	Email       string // of the address that the user's Email is read from
	Language    string
	Active      *bool
}
