package directory

import (
	"bytes"
	"context"
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

// Watch knows what has changed since a moment before a read began: by the sequence of the events,
// not by a clock. It is safe for concurrent use.
type Watch struct {
	run ID // whose own changes do not count

	mu      sync.Mutex
	after   uint64 // number of the last event that was looked at
	users   map[ID]bool
	groups  map[ID]bool    // created, deleted: every membership counts as changed
	members map[[2]ID]bool // group, member
}

// Watch starts watching a tenant's changes other than those of a run.
func (s *Service) Watch(ctx context.Context, run ID) (*Watch, error) {
	w := &Watch{run: run, users: map[ID]bool{}, groups: map[ID]bool{}, members: map[[2]ID]bool{}}
	err := s.View(ctx, func(sn *Snapshot) (err error) {
		w.after, err = sn.lastEvent()
		return err
	})
	return w, err
}

func (s *Snapshot) lastEvent() (last uint64, err error) {
	err = list(s.r, tableOutbox, Range{Reverse: true}, jsonRow[OutboxEvent], func(e *OutboxEvent) bool {
		last = e.Sequence
		return false
	})
	return last, err
}

// Changed brings the watch up to a snapshot and reports whether a user, or its membership in one
// of the groups, has changed since the watch began.
func (w *Watch) Changed(sn *Snapshot, user ID, groups ...ID) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := sn.Outbox(w.after, func(e *OutboxEvent) bool {
		w.after = e.Sequence
		if e.RunID == w.run {
			return true
		}
		if !e.UserID.IsZero() {
			w.users[e.UserID] = true
		}
		if e.Type == "group.created" || e.Type == "group.deleted" {
			w.groups[e.GroupID] = true
		}
		for _, list := range [][]ID{e.Added, e.Removed} {
			for _, id := range list {
				w.members[[2]ID{e.GroupID, id}] = true
			}
		}
		return true
	})
	if err != nil {
		return false, err
	}
	changed := w.users[user]
	for _, g := range groups {
		changed = changed || w.groups[g] || w.members[[2]ID{g, user}]
	}
	return changed, nil
}

// Repair does what a plan says of some people, as one transaction: all of it or nothing. More than
// one person belong together when one takes the userName that another gives up. It returns the
// items with their outcome.
//
// Errors: ErrStale; an Error that wraps ErrMoved when one of them has changed since the read began;
// Exists when a userName or e-mail address is another's; Conflict for a protected account. After
// any of them nothing has changed, and the items are not written.
func (s *Service) Repair(ctx context.Context, scope RepairScope, people []Repair) (items []PlanItem, err error) {
	by := scope.Run.Actor
	by.Role, by.Channel, by.RunID = RoleDirectory, "pull", scope.Run.ID
	err = s.update(ctx, by, func(c *change) error {
		items = nil
		env, err := c.Environment(scope.Run.EnvironmentID)
		if err != nil {
			return err
		}
		if !bytes.Equal(encodeJSON(env.Integration), encodeJSON(scope.Integration)) {
			return ErrStale
		}
		changes := make([]personChange, len(people))
		for i := range people {
			changes[i] = personChange{change: c, Repair: &people[i], env: env, watch: scope.Watch}
			if err := changes[i].read(); err != nil {
				return err
			}
		}
		// Names first: within one transaction two people may swap theirs.
		for i := range changes {
			if err := changes[i].giveUpName(); err != nil {
				return err
			}
		}
		for i := range changes {
			item, err := changes[i].apply()
			if err != nil {
				return err
			}
			if err := c.putItem(scope.Run.ID, item); err != nil {
				return err
			}
			items = append(items, *item)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return items, nil
}

// personChange is a Repair under way.
type personChange struct {
	*change
	*Repair
	env    *Environment
	watch  *Watch
	tenant ID

	before *User // nil: to be provisioned
	after  *User
	in     UserInput
	action Action
	joined []ID
	left   []ID
}

// read makes sure that the person is still as it was planned with, and asks what it should be.
func (p *personChange) read() error {
	p.tenant = p.env.Integration.TenantID
	id := p.Item.UserID
	if id.IsZero() {
		ids, err := p.UsersByObjectID(p.tenant, p.ObjectID)
		if err != nil {
			return err
		}
		if len(ids) > 0 {
			return moved("this person was provisioned")
		}
		p.in, err = p.Update(nil)
		if err != nil {
			return err
		}
		return p.in.check()
	}
	u, err := p.user(p.tenant, id)
	if err != nil {
		return err
	}
	if u == nil {
		return moved("this user was deleted")
	}
	changed, err := p.watch.Changed(p.Snapshot, id, slices.Concat(p.Join, p.Leave)...)
	if err != nil {
		return err
	}
	if changed || u.Version != p.Version {
		return moved("this user was changed")
	}
	u.Schemas, u.Attributes = bytes.Clone(u.Schemas), bytes.Clone(u.Attributes)
	after := *u
	p.before, p.after = u, &after
	if !p.ObjectID.IsZero() {
		after.ObjectID = p.ObjectID
	}
	if p.Update == nil {
		return nil
	}
	given := *u
	given.Emails = slices.Clone(u.Emails)
	if p.in, err = p.Update(&given); err != nil {
		return err
	}
	after.Profile, after.Schemas, after.Attributes = p.in.Profile, p.in.Schemas, p.in.Attributes
	return p.in.check()
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
func (p *personChange) apply() (*PlanItem, error) {
	p.accesses, p.sessions = nil, 0
	if err := p.provisionNew(); err != nil {
		return nil, err
	}
	if err := p.guard(); err != nil {
		return nil, err
	}
	if err := p.move(); err != nil {
		return nil, err
	}
	if err := p.rewrite(); err != nil {
		return nil, err
	}
	if err := p.deriveAll(); err != nil {
		return nil, err
	}
	p.Item.UserID, p.Item.Outcome, p.Item.Accesses = p.after.ID, OutcomeApplied, p.accesses
	return &p.Item, p.report()
}

func (p *personChange) provisionNew() (err error) {
	if p.before != nil {
		return nil
	}
	p.action = ActionCreate
	p.after, err = p.provision(p.tenant, p.in)
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
		if err := p.touchGroup(p.tenant, g); err != nil {
			return err
		}
	}
	generation := sequenceKey(p.env.Integration.Generation)
	for _, g := range p.In {
		if err := p.put(row{tableIndirect, key(p.env.ID, id, g), generation}); err != nil {
			return err
		}
	}
	for _, g := range p.Out {
		if err := p.w.Delete(tableIndirect, key(p.env.ID, id, g)); err != nil {
			return err
		}
	}
	return nil
}

// rewrite writes a changed user. What only the directory knows of the person, the object id,
// changes no version: it is no part of the resource.
func (p *personChange) rewrite() error {
	if p.before == nil {
		return nil
	}
	p.action = ActionUpdate
	same := bytes.Equal(p.before.Attributes, p.after.Attributes) && bytes.Equal(p.before.Schemas, p.after.Schemas) && p.before.Profile.equal(&p.after.Profile)
	if same {
		if p.before.ObjectID == p.after.ObjectID {
			return nil
		}
		if err := p.indexUser(p.before, p.after); err != nil {
			return err
		}
		return p.put(row{tableUsers, key(p.tenant, p.after.ID), p.after.encode()})
	}
	if p.renamed() {
		if err := p.insert(tableUserName, textKey(p.tenant, p.fold(p.after.UserName)), p.after.ID[:], userNameTaken(p.after.UserName)); err != nil {
			return err
		}
	}
	action, err := p.rewriteUser(p.before, p.after)
	p.action = action
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

// report writes the log line and the events: one for the user, one for each group that it joined
// or left.
func (p *personChange) report() error {
	e := userEvent(p.action, p.after, p.Item.Changes, p.in.Warnings)
	e.Reason = p.Item.Reason
	if err := p.log(e); err != nil {
		return err
	}
	kind := "user.updated"
	if p.before == nil {
		kind = "user.created"
	}
	if err := p.publish(OutboxEvent{Type: kind, TenantID: p.tenant, UserID: p.after.ID, AccountID: p.after.AccountID, Active: &p.after.Active}); err != nil {
		return err
	}
	p.accesses = nil // told with the user
	for _, g := range p.joined {
		if err := p.publish(OutboxEvent{Type: "group.updated", TenantID: p.tenant, GroupID: g, Added: []ID{p.after.ID}}); err != nil {
			return err
		}
	}
	for _, g := range p.left {
		if err := p.publish(OutboxEvent{Type: "group.updated", TenantID: p.tenant, GroupID: g, Removed: []ID{p.after.ID}}); err != nil {
			return err
		}
	}
	return nil
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
