package pull

import (
	"slices"
	"strings"

	"github.com/bizzstream/bizzscim/directory"
)

// known compares every user of the synced groups with the read.
func (p *planner) known() error {
	for rows := p.members; len(rows) > 0; {
		n := 1
		for n < len(rows) && rows[n].user == rows[0].user {
			n++
		}
		if err := p.knownUser(rows[:n]); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

func (p *planner) knownUser(rows []membership) error {
	u, err := p.sn.User(p.tenant.ID, rows[0].user)
	if err != nil {
		if directory.KindOf(err) == directory.NotFound { // an indirect member whose user is gone
			return nil
		}
		return err
	}
	for i := range rows {
		if u.Active && (i == 0 || rows[i].n != rows[i-1].n) {
			p.groups[rows[i].n].before++
		}
	}
	i, err := p.match(u)
	switch {
	case err != nil:
		return err
	case i < 0:
		return p.leaver(u, rows)
	case p.matched[i]:
		p.conflict(u, &p.read.people[i], "two users have this object id; delete one of them in the SCIM client")
		return nil
	}
	p.matched[i] = true
	return p.compare(u, rows, i)
}

// match finds a user among the people of the read: by object id; by userName alone where no object
// id is known, and then only when no other user has the person's.
func (p *planner) match(u *directory.User) (int, error) {
	if !u.ObjectID.IsZero() {
		if i, ok := p.read.byID[u.ObjectID]; ok {
			return i, nil
		}
		return -1, nil
	}
	i, ok := p.read.named(p.fold, p.tenant, u.UserName)
	if !ok {
		return -1, nil
	}
	others, err := p.sn.UsersByObjectID(p.tenant.ID, p.read.people[i].ID)
	if err != nil || len(others) > 0 {
		return -1, err
	}
	return i, nil
}

// conflict keeps what no pull can decide.
func (p *planner) conflict(u *directory.User, person *Person, why string) {
	e := &entry{PlanItem: directory.PlanItem{Kind: directory.ItemConflict, ObjectID: person.ID, UserName: userNameOf(p.tenant, person),
		Name: person.DisplayName, Reason: why, Outcome: directory.OutcomeConflict}}
	if u != nil {
		e.UserID, e.UserName = u.ID, u.UserName
	}
	p.entries = append(p.entries, e)
}

// begin makes the scratch entry one of a user.
func (p *planner) begin(u *directory.User) *entry {
	p.scratch = entry{PlanItem: directory.PlanItem{Kind: directory.ItemUpdate, ObjectID: u.ObjectID, UserID: u.ID, UserName: u.UserName,
		Name: u.Name, Outcome: directory.OutcomePlanned}, version: u.Version, object: u.ObjectID, wasActive: u.Active}
	return &p.scratch
}

// keep puts an entry into the plan.
func (p *planner) keep(e *entry) *entry {
	kept := *e
	p.entries = append(p.entries, &kept)
	return &kept
}

// leaver plans for a user of the groups whom the read did not find in any of them. An inactive user
// keeps its memberships: a person who comes back finds them as they were.
func (p *planner) leaver(u *directory.User, rows []membership) error {
	if !u.Active {
		p.counts.Unchanged++
		return nil
	}
	e := p.begin(u)
	e.absent, e.needs = true, true
	for _, row := range rows {
		e.loses(row)
	}
	if u.ObjectID.IsZero() {
		p.unknownID++
		e.Kind, e.Reason = directory.ItemRevoke, "not found in any of the groups, but this user's object id is not known"
		e.set(directory.OutcomeWithheld, "without an object id nobody can tell a leaver from somebody whom the directory calls by another name; map objectId to externalId in the provisioning mappings")
		p.tellMoves(e)
		p.keep(e)
		return nil
	}
	return p.add(e, u, false, "in none of the Groups to Sync any more")
}

func (e *entry) loses(row membership) {
	if row.indirect {
		e.out = append(e.out, row.group)
	} else {
		e.leave = append(e.leave, row.group)
	}
}

// compare plans for a user who is a person of the read.
func (p *planner) compare(u *directory.User, rows []membership, i int) (err error) {
	person := &p.read.people[i]
	e := p.begin(u)
	e.ObjectID, e.object = person.ID, person.ID
	var entitled bool
	if person.Guest && !p.env.Integration.Guests {
		p.guests++ // what push made of a guest is push's, but for a guest whom the directory disables
		entitled = p.hasAccess[u.AccountID] || !u.Active && len(rows) > 0
	} else {
		if u.ObjectID.IsZero() {
			e.Changes = append(e.Changes, change("objectId", "", person.ID.String()))
		}
		p.profile(e, u, person)
		if entitled, err = p.membership(e, u, rows, i); err != nil {
			return err
		}
	}
	active, reason := u.Active, "the directory says otherwise"
	switch {
	case u.Active && !person.Enabled:
		e.disable, e.needs, active, reason = true, true, false, "disabled in the directory"
		e.activate(false)
	case !u.Active && person.Enabled:
		if active, err = p.comeback(e, u); err != nil {
			return err
		}
	}
	if !active { // keeps the memberships: who comes back finds them as they were
		e.leave, e.out = nil, nil
	}
	return p.add(e, u, active && entitled, reason)
}

// activate makes the user active or inactive.
func (e *entry) activate(active bool) {
	if e.overrides == nil {
		e.overrides = &directory.Overrides{}
	}
	e.overrides.Active = &active
	e.Changes = append(e.Changes, change("active", !active, active))
}

// comeback decides whether a pull may make an inactive user active again: only where a pull made it
// inactive. Whoever deactivated brings back.
func (p *planner) comeback(e *entry, u *directory.User) (bool, error) {
	ours, err := p.sn.DisabledByPull(p.tenant.ID, u.ID)
	if err != nil {
		return false, err
	}
	if !ours && !p.restore {
		e.withhold = "enabled in the directory, but push made this user inactive and has to make it active again; an operator may with sync --restore"
		return false, nil
	}
	e.activate(true)
	return true, nil
}

// profile compares what BizzStream keeps of a person. What the directory does not have stays.
func (p *planner) profile(e *entry, u *directory.User, person *Person) {
	var o directory.Overrides
	before := len(e.Changes)
	if name := userNameOf(p.tenant, person); name != "" && !p.same(name, u.UserName) {
		o.UserName = name
		e.Changes = append(e.Changes, change("userName", u.UserName, name))
	}
	if person.DisplayName != "" && person.DisplayName != u.Name {
		o.DisplayName, o.GivenName, o.FamilyName = person.DisplayName, person.GivenName, person.Surname
		e.Changes = append(e.Changes, change("displayName", u.Name, person.DisplayName))
	}
	if person.Mail != "" && !p.same(person.Mail, u.Email) {
		o.Email = person.Mail
		e.Changes = append(e.Changes, change("email", u.Email, person.Mail))
	}
	if person.PreferredLanguage != "" && !strings.EqualFold(person.PreferredLanguage, u.Language) {
		o.Language = person.PreferredLanguage
		e.Changes = append(e.Changes, change("preferredLanguage", u.Language, person.PreferredLanguage))
	}
	if o == (directory.Overrides{}) {
		return
	}
	// A text that the resource keeps in another form, without spaces at its ends, say, is no difference.
	in, err := p.resource.User(u, o)
	if err != nil {
		e.Changes = e.Changes[:before]
		e.withhold = "what the directory has cannot be kept: " + detailOf(err)
		return
	}
	if in.UserName == u.UserName && in.Name == u.Name && in.Email == u.Email && in.Language == u.Language {
		e.Changes = e.Changes[:before]
		return
	}
	kept := o // only what differs is kept beyond this function
	e.overrides = &kept
	if o.UserName != "" && p.fold(in.UserName) != p.fold(u.UserName) {
		e.newName, e.oldName = p.fold(in.UserName), p.fold(u.UserName)
	}
}

// same reports whether two names are one.
func (p *planner) same(a, b string) bool { return a == b || p.fold(a) == p.fold(b) }

// membership compares the groups that a user is in with those that the read saw, and tells whether
// the user is in one of them afterwards.
func (p *planner) membership(e *entry, u *directory.User, rows []membership, i int) (entitled bool, err error) {
	var kept []string
	direct, through := p.read.direct[i], p.read.through[i]
	for _, n := range direct {
		if isIn(rows, n, false) {
			entitled = true
			continue
		}
		barred, err := p.barred(n, u.ID)
		if err != nil {
			return false, err
		}
		if barred {
			kept = append(kept, p.groups[n].name)
			continue
		}
		e.join, entitled = append(e.join, n), true
	}
	for _, n := range through {
		g := &p.groups[n]
		switch {
		case isIn(rows, n, true):
		case len(g.ids) > 0:
			e.in = append(e.in, g.ids[0])
		case g.taken && !p.restore:
			kept = append(kept, g.name)
			continue
		default:
			e.inNew = append(e.inNew, n)
		}
		entitled = true
	}
	for _, row := range rows {
		nested := slices.Contains(through, row.n)
		if row.indirect && nested || slices.Contains(direct, row.n) && !row.indirect {
			continue
		}
		if nested {
			// From direct to nested: the direct membership goes with the next run. Another environment may
			// have to take it away before, and must not take the access to this one with it.
			needed, err := p.needed(u, row.n)
			if err != nil {
				return false, err
			}
			if needed || !isIn(rows, row.n, true) {
				continue
			}
		}
		e.loses(row)
	}
	e.direct, e.through = direct, through
	if len(kept) > 0 {
		e.withhold = "in " + strings.Join(kept, ", ") + " by the directory, but push took this person out and has to put it back; an operator may with sync --restore"
	}
	return entitled, nil
}

// needed reports whether another environment gives access by a direct membership that the read found to be a nested one,
// and counts these: its own run takes the person in before the membership goes.
func (p *planner) needed(u *directory.User, n uint16) (bool, error) {
	accesses, err := p.sn.Accesses(u.AccountID)
	if err != nil {
		return false, err
	}
	for _, a := range accesses {
		if !a.Active || a.EnvironmentID == p.env.ID {
			continue
		}
		env, err := p.other(a.EnvironmentID)
		if err != nil {
			return false, err
		}
		if !env.Integration.Transitive || !slices.Contains(env.Integration.Groups, p.groups[n].object) {
			continue
		}
		stays, err := p.staysIn(&entry{leave: p.groups[n].ids}, u, a.EnvironmentID)
		if err != nil || !stays {
			return !stays, err
		}
	}
	return false, nil
}

// barred reports whether push took this membership, or the whole group, away: the pull does not
// bring back what push deactivated.
func (p *planner) barred(n uint16, user directory.ID) (bool, error) {
	g := &p.groups[n]
	if p.restore {
		return false, nil
	}
	if len(g.ids) == 0 {
		return g.taken, nil
	}
	return p.sn.TakenByPush(p.tenant.ID, user, g.ids[0])
}

// add finds out what an entry does to accesses, names it, and keeps it unless it does nothing.
// entitled says whether the user has access to the environment afterwards.
func (p *planner) add(e *entry, u *directory.User, entitled bool, reason string) error {
	has := p.hasAccess[u.AccountID]
	e.Reason = reason
	switch {
	case has && !entitled:
		e.Kind = directory.ItemRevoke
		if e.disable {
			e.Kind = directory.ItemDeactivate
		}
	case !has && entitled:
		access, err := p.sn.Access(u.AccountID, p.env.ID)
		if err != nil {
			return err
		}
		e.Kind, e.Reason = directory.ItemGrant, "in a Group to Sync, and without access"
		if access != nil {
			e.Kind, e.Reason = directory.ItemReactivate, "in a Group to Sync again"
		}
	case e.disable:
		e.Kind = directory.ItemDeactivate
	case e.overrides == nil && !e.moves() && e.object == u.ObjectID:
		if e.withhold == "" {
			p.counts.Unchanged++
			return nil
		}
		e.Kind = directory.ItemReactivate
		e.set(directory.OutcomeWithheld, e.withhold)
		p.keep(e)
		return nil
	}
	e.Detail = e.withhold
	p.tellMoves(e)
	if err := p.effects(e, u, has && !entitled); err != nil {
		return err
	}
	p.keep(e)
	return nil
}

// tellMoves tells of the groups that an entry takes the person out of and puts it into, by name.
func (p *planner) tellMoves(e *entry) {
	const nested = " (nested)"
	var left, joined []string
	for _, id := range e.leave {
		left = append(left, p.groups[p.index[id]].name)
	}
	for _, id := range e.out {
		left = append(left, p.groups[p.index[id]].name+nested)
	}
	for _, n := range e.join {
		joined = append(joined, p.groups[n].name)
	}
	for _, id := range e.in {
		joined = append(joined, p.groups[p.index[id]].name+nested)
	}
	for _, n := range e.inNew {
		joined = append(joined, p.groups[n].name+nested)
	}
	c := directory.Change{Name: "groups"}
	if len(left) > 0 {
		c.Old = encode(left)
	}
	if len(joined) > 0 {
		c.New = encode(joined)
	}
	if c.Old != nil || c.New != nil {
		e.Changes = append(e.Changes, c)
	}
}
