package pull

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/bizzstream/bizzscim/directory"
)

// A plan is what a complete read of an environment's groups asks for, person by person, compared
// with one snapshot of the directory. Making it writes nothing.
type plan struct {
	entries []*entry
	groups  []groupPlan
	counts  directory.Counts
	notes   []string

	active    int64                 // accesses of the environment that are active
	affected  map[directory.ID]int  // environment -> accesses that would go
	renames   int                   // people of whom userName differs
	hasAccess map[directory.ID]bool // accounts whose access is active
	unknownID int                   // users who cannot be told apart from leavers: no object id
	guests    int                   // excluded
	protected int
}

// groupPlan is one of the Groups to Sync.
type groupPlan struct {
	object string // object id
	name   string
	people int            // whom the directory counts in it directly
	nested int            // groups in it
	ids    []directory.ID // SCIM groups of that externalId
	before int            // active users in them
	leaves int
	taken  bool // push deleted it
}

// entry is a PlanItem on its way.
type entry struct {
	directory.PlanItem
	account   directory.ID
	version   uint64
	overrides *directory.Overrides
	object    directory.ID // to be remembered
	join      []int        // of plan.groups
	leave     []directory.ID
	in, out   []directory.ID
	inNew     []int          // as in, of groups that do not exist yet
	takes     []directory.ID // environments whose access goes
	withhold  string         // what is not done, and why
	disable   bool           // the directory said that the person is disabled
	absent    bool           // the person was in none of the groups
	needs     bool           // a point read or a second complete read before it is applied
	newName   string         // folded userName that it takes
	oldName   string         // folded userName that it gives up
}

func (e *entry) set(outcome directory.Outcome, detail string) { e.Outcome, e.Detail = outcome, detail }

// planner makes a plan on a snapshot.
type planner struct {
	*plan
	sn       *directory.Snapshot
	env      *directory.Environment
	tenant   *directory.Tenant
	read     *reading
	restore  bool
	groupsOf map[directory.ID][]directory.ID // environment -> SCIM groups that it syncs
	envs     map[directory.ID]*directory.Environment
	names    map[directory.ID]string // of SCIM groups
	matched  []bool                  // people of the read who have a user
	fold     func(string) string
	resource Resources
}

// ours is a user who is in a synced group by what push and earlier pulls have left.
type ours struct {
	direct   []directory.ID
	indirect []directory.ID
}

func (p *planner) make() (err error) {
	integration := &p.env.Integration
	p.affected, p.hasAccess = map[directory.ID]int{}, map[directory.ID]bool{}
	p.groupsOf, p.envs, p.names = map[directory.ID][]directory.ID{}, map[directory.ID]*directory.Environment{}, map[directory.ID]string{}
	p.matched = make([]bool, len(p.read.people))
	p.counts.People = len(p.read.people)
	if p.active, err = p.sn.EnvironmentAccessCount(p.env.ID, true); err != nil {
		return err
	}
	err = p.sn.EnvironmentAccesses(p.env.ID, true, directory.ID{}, func(account directory.ID) bool {
		p.hasAccess[account] = true
		return true
	})
	if err != nil {
		return err
	}
	members := map[directory.ID]*ours{}
	if err := p.loadGroups(integration, members); err != nil {
		return err
	}
	if err := p.known(members); err != nil {
		return err
	}
	if err := p.newcomers(members); err != nil {
		return err
	}
	if err := p.resolveNames(); err != nil {
		return err
	}
	return p.finish()
}

// loadGroups finds the SCIM groups and who is in them.
func (p *planner) loadGroups(integration *directory.Integration, members map[directory.ID]*ours) error {
	for _, g := range p.read.groups {
		gp := groupPlan{object: g.object, name: g.name, people: g.people, nested: g.nested}
		ids, err := p.sn.GroupsByExternalID(integration.TenantID, g.object)
		if err != nil {
			return err
		}
		gp.ids = ids
		if len(ids) == 0 {
			if gp.taken, err = p.sn.GroupTakenByPush(integration.TenantID, g.object); err != nil {
				return err
			}
		}
		for _, id := range ids {
			p.names[id] = g.name
			err := p.sn.Members(integration.TenantID, id, directory.ID{}, func(m directory.Member) bool {
				if m.Kind == directory.MemberUser {
					o := memberOf(members, m.ID)
					o.direct = append(o.direct, id)
				}
				return true
			})
			if err != nil {
				return err
			}
		}
		p.groups = append(p.groups, gp)
	}
	return p.sn.Indirect(p.env, func(user, group directory.ID) bool {
		if p.groupOf(group) >= 0 {
			o := memberOf(members, user)
			o.indirect = append(o.indirect, group)
		}
		return true
	})
}

func memberOf(members map[directory.ID]*ours, id directory.ID) *ours {
	o := members[id]
	if o == nil {
		o = &ours{}
		members[id] = o
	}
	return o
}

// groupOf finds a SCIM group among the plan's groups; -1 when it is none of them.
func (p *planner) groupOf(id directory.ID) int {
	return slices.IndexFunc(p.groups, func(g groupPlan) bool { return slices.Contains(g.ids, id) })
}

// known compares every user of the synced groups with the read.
func (p *planner) known(members map[directory.ID]*ours) error {
	ids := make([]directory.ID, 0, len(members))
	for id := range members {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b directory.ID) int { return slices.Compare(a[:], b[:]) })
	for _, id := range ids {
		u, err := p.sn.User(p.tenant.ID, id)
		if directory.KindOf(err) == directory.NotFound { // an indirect member whose user is gone
			continue
		}
		if err != nil {
			return err
		}
		if u.Active {
			for _, g := range members[id].direct {
				p.groups[p.groupOf(g)].before++
			}
		}
		i, err := p.match(u)
		switch {
		case err != nil:
			return err
		case i < 0:
			err = p.leaver(u, members[id])
		case p.matched[i]:
			p.conflict(u, &p.read.people[i], "two users have this object id; delete one of them in the SCIM client")
		default:
			p.matched[i] = true
			err = p.compare(u, members[id], i)
		}
		if err != nil {
			return err
		}
	}
	return nil
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

func (p *planner) newEntry(u *directory.User) *entry {
	return &entry{PlanItem: directory.PlanItem{Kind: directory.ItemUpdate, ObjectID: u.ObjectID, UserID: u.ID, UserName: u.UserName,
		Name: u.Name, Outcome: directory.OutcomePlanned}, account: u.AccountID, version: u.Version, object: u.ObjectID}
}

// leaver plans for a user of the groups whom the read did not find in any of them. An inactive user
// keeps its memberships: a person who comes back finds them as they were.
func (p *planner) leaver(u *directory.User, o *ours) error {
	if !u.Active {
		p.counts.Unchanged++
		return nil
	}
	e := p.newEntry(u)
	e.absent, e.needs = true, true
	e.leave, e.out = o.direct, o.indirect
	if u.ObjectID.IsZero() {
		p.unknownID++
		e.Kind, e.Reason = directory.ItemRevoke, "not found in any of the groups, but this user's object id is not known"
		e.set(directory.OutcomeWithheld, "without an object id nobody can tell a leaver from somebody whom the directory calls by another name; map objectId to externalId in the provisioning mappings")
		p.entries = append(p.entries, e)
		return nil
	}
	return p.add(e, u, false, "in none of the Groups to Sync any more")
}

// compare plans for a user who is a person of the read.
func (p *planner) compare(u *directory.User, o *ours, i int) error {
	person := &p.read.people[i]
	e := p.newEntry(u)
	e.ObjectID, e.object = person.ID, person.ID
	entitled := p.hasAccess[u.AccountID]
	if person.Guest && !p.env.Integration.Guests {
		p.guests++ // what push made of a guest is push's, but for a guest whom the directory disables
	} else {
		if u.ObjectID.IsZero() {
			e.Changes = append(e.Changes, change("objectId", "", person.ID.String()))
		}
		if err := p.profile(e, u, person); err != nil {
			return err
		}
		var err error
		if entitled, err = p.membership(e, u, o, i); err != nil {
			return err
		}
	}
	active, reason := u.Active, "the directory says otherwise"
	switch {
	case u.Active && !person.Enabled:
		e.disable, e.needs, active, reason = true, true, false, "disabled in the directory"
		e.overrides = orNew(e.overrides)
		e.overrides.Active = new(bool)
		e.Changes = append(e.Changes, change("active", true, false))
		e.dropLeaves(p)
	case !u.Active && person.Enabled:
		var err error
		if active, err = p.comeback(e, u); err != nil {
			return err
		}
	}
	return p.add(e, u, active && entitled, reason)
}

func orNew(o *directory.Overrides) *directory.Overrides {
	if o == nil {
		return &directory.Overrides{}
	}
	return o
}

// dropLeaves leaves the memberships of somebody who becomes inactive as they are: a person who comes
// back finds them so.
func (e *entry) dropLeaves(p *planner) {
	for _, g := range e.leave {
		if i := p.groupOf(g); i >= 0 {
			p.groups[i].leaves--
		}
	}
	e.leave, e.out = nil, nil
	e.Changes = slices.DeleteFunc(e.Changes, func(c directory.Change) bool { return c.Name == "groups" && c.New == nil })
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
	yes := true
	e.overrides = orNew(e.overrides)
	e.overrides.Active = &yes
	e.Changes = append(e.Changes, change("active", false, true))
	return true, nil
}

// profile compares what BizzStream keeps of a person. What the directory does not have stays.
func (p *planner) profile(e *entry, u *directory.User, person *Person) error {
	o, before := directory.Overrides{}, len(e.Changes)
	if name := userNameOf(p.tenant, person); name != "" && p.fold(name) != p.fold(u.UserName) {
		o.UserName = name
		e.Changes = append(e.Changes, change("userName", u.UserName, name))
	}
	if person.DisplayName != "" && person.DisplayName != u.Name {
		o.DisplayName, o.GivenName, o.FamilyName = person.DisplayName, person.GivenName, person.Surname
		e.Changes = append(e.Changes, change("displayName", u.Name, person.DisplayName))
	}
	if person.Mail != "" && p.fold(person.Mail) != p.fold(u.Email) {
		o.Email = person.Mail
		e.Changes = append(e.Changes, change("email", u.Email, person.Mail))
	}
	if person.PreferredLanguage != "" && !strings.EqualFold(person.PreferredLanguage, u.Language) {
		o.Language = person.PreferredLanguage
		e.Changes = append(e.Changes, change("preferredLanguage", u.Language, person.PreferredLanguage))
	}
	if o == (directory.Overrides{}) {
		return nil
	}
	// A text that the resource keeps in another form, without spaces at its ends, say, is no difference.
	in, err := p.resource.User(u, o)
	if err != nil {
		e.Changes = e.Changes[:before]
		e.withhold = "what the directory has cannot be kept: " + detailOf(err)
		return nil
	}
	if in.UserName == u.UserName && in.Name == u.Name && in.Email == u.Email && in.Language == u.Language {
		e.Changes = e.Changes[:before]
		return nil
	}
	e.overrides = &o
	if o.UserName != "" {
		e.newName, e.oldName = p.fold(o.UserName), p.fold(u.UserName)
		p.renames++
	}
	return nil
}

// membership compares the groups that a user is in with those that the read saw, and tells whether
// the user is in one of them afterwards.
func (p *planner) membership(e *entry, u *directory.User, o *ours, i int) (entitled bool, err error) {
	var joined, left, kept []string
	direct, through := p.read.direct[i], p.read.through[i]
	for _, n := range direct {
		g := &p.groups[n]
		if slices.ContainsFunc(o.direct, func(id directory.ID) bool { return slices.Contains(g.ids, id) }) {
			entitled = true
			continue
		}
		barred, err := p.barred(g, u.ID)
		if err != nil {
			return false, err
		}
		if barred {
			kept = append(kept, g.name)
			continue
		}
		e.join, joined, entitled = append(e.join, int(n)), append(joined, g.name), true
	}
	for _, id := range o.direct {
		if n := p.groupOf(id); !slices.Contains(direct, uint16(n)) {
			e.leave, left = append(e.leave, id), append(left, p.groups[n].name)
			p.groups[n].leaves++
		}
	}
	for _, n := range through {
		entitled = true
		g := &p.groups[n]
		if len(g.ids) == 0 {
			e.inNew = append(e.inNew, int(n))
			joined = append(joined, g.name+" (nested)")
		} else if !slices.Contains(o.indirect, g.ids[0]) {
			e.in, joined = append(e.in, g.ids[0]), append(joined, g.name+" (nested)")
		}
	}
	for _, id := range o.indirect {
		if n := p.groupOf(id); !slices.Contains(through, uint16(n)) {
			e.out, left = append(e.out, id), append(left, p.groups[n].name+" (nested)")
		}
	}
	if len(joined)+len(left) > 0 {
		c := directory.Change{Name: "groups"}
		if len(left) > 0 {
			c.Old = encode(left)
		}
		if len(joined) > 0 {
			c.New = encode(joined)
		}
		e.Changes = append(e.Changes, c)
	}
	if len(kept) > 0 {
		e.withhold = "in " + strings.Join(kept, ", ") + " by the directory, but push took this person out and has to put it back; an operator may with sync --restore"
	}
	return entitled, nil
}

// barred reports whether push took this membership, or the whole group, away: the pull does not
// bring back what push deactivated.
func (p *planner) barred(g *groupPlan, user directory.ID) (bool, error) {
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
	if e.absent {
		e.Changes = append(e.Changes, p.leaving(e))
	}
	switch {
	case has && !entitled && e.disable:
		e.Kind = directory.ItemDeactivate
	case has && !entitled:
		e.Kind, e.needs = directory.ItemRevoke, true
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
	case e.overrides == nil && len(e.join)+len(e.leave)+len(e.in)+len(e.out)+len(e.inNew) == 0 && e.object == u.ObjectID:
		if e.withhold == "" {
			p.counts.Unchanged++
			return nil
		}
		e.Kind = directory.ItemReactivate
		e.set(directory.OutcomeWithheld, e.withhold)
		p.entries = append(p.entries, e)
		return nil
	}
	e.Detail = e.withhold
	if err := p.effects(e, u, has && !entitled); err != nil {
		return err
	}
	if len(e.takes) > 0 {
		if err := p.protect(e, u); err != nil {
			return err
		}
	}
	p.entries = append(p.entries, e)
	return nil
}

func (p *planner) leaving(e *entry) directory.Change {
	var names []string
	for _, id := range slices.Concat(e.leave, e.out) {
		names = append(names, p.names[id])
		if i := p.groupOf(id); i >= 0 && slices.Contains(e.leave, id) {
			p.groups[i].leaves++
		}
	}
	return directory.Change{Name: "groups", Old: encode(names)}
}

// effects counts the accesses that an entry takes away, of this and of other environments of the
// tenant: each has its own figures to stop at.
func (p *planner) effects(e *entry, u *directory.User, here bool) error {
	if here {
		p.take(e, p.env.ID)
	}
	if !e.disable && len(e.leave) == 0 {
		return nil
	}
	accesses, err := p.sn.Accesses(u.AccountID)
	if err != nil {
		return err
	}
	for _, a := range accesses {
		if !a.Active || a.EnvironmentID == p.env.ID {
			continue
		}
		goes := e.disable
		if !goes {
			if goes, err = p.losesElsewhere(e, u, a.EnvironmentID); err != nil {
				return err
			}
		}
		if goes {
			p.take(e, a.EnvironmentID)
		}
	}
	if len(e.takes) > 0 && e.Kind == directory.ItemUpdate {
		e.Kind, e.needs = directory.ItemRevoke, true
		e.Reason = "loses the access to another environment that syncs the group"
	}
	return nil
}

func (p *planner) take(e *entry, environment directory.ID) {
	e.takes = append(e.takes, environment)
	p.affected[environment]++
}

// spare undoes take for an entry that is not going to be done.
func (p *planner) spare(e *entry) {
	for _, env := range e.takes {
		p.affected[env]--
	}
	e.takes, e.needs = nil, false
}

// losesElsewhere reports whether leaving the entry's groups takes the access to another environment.
func (p *planner) losesElsewhere(e *entry, u *directory.User, environment directory.ID) (bool, error) {
	env := p.envs[environment]
	if env == nil {
		var err error
		if env, err = p.sn.Environment(environment); err != nil {
			return false, err
		}
		p.envs[environment] = env
		for _, object := range env.Integration.Groups {
			ids, err := p.sn.GroupsByExternalID(env.Integration.TenantID, object)
			if err != nil {
				return false, err
			}
			p.groupsOf[environment] = append(p.groupsOf[environment], ids...)
		}
	}
	for _, g := range p.groupsOf[environment] {
		if slices.Contains(e.leave, g) {
			continue
		}
		in, err := p.sn.IsMember(p.tenant.ID, g, u.ID)
		if err != nil || in {
			return false, err
		}
		if in, err = p.sn.IsIndirect(env, u.ID, g); err != nil || in {
			return false, err
		}
	}
	return true, nil
}

// protect withholds what would take an access from a protected account, or from the last
// administrator of the environment.
func (p *planner) protect(e *entry, u *directory.User) error {
	account, err := p.sn.Account(u.AccountID)
	if err != nil {
		return err
	}
	why := ""
	if account.Protected {
		why = "the account is protected"
	} else {
		last, err := p.lastAdministrator(u.AccountID)
		if err != nil {
			return err
		}
		if last {
			why = "this is the last administrator of the environment"
		}
	}
	if why != "" {
		p.protected++
		p.spare(e)
		e.set(directory.OutcomeWithheld, why+": no pull takes anything from it")
	}
	return nil
}

func (p *planner) lastAdministrator(account directory.ID) (bool, error) {
	own, err := p.sn.Access(account, p.env.ID)
	if err != nil || own == nil || !own.Administrator {
		return false, err
	}
	last := true
	var failed error
	err = p.sn.EnvironmentAccesses(p.env.ID, true, directory.ID{}, func(other directory.ID) bool {
		if other == account {
			return true
		}
		a, err := p.sn.Access(other, p.env.ID)
		if err != nil {
			failed = err
			return false
		}
		last = a == nil || !a.Administrator
		return last
	})
	if failed != nil {
		return false, failed
	}
	return last, err
}

// newcomers plans for the people of the read who are in no synced group of ours: users whom push
// has provisioned without a membership, and those who do not exist.
func (p *planner) newcomers(members map[directory.ID]*ours) error {
	for i := range p.read.people {
		person := &p.read.people[i]
		if p.matched[i] {
			continue
		}
		if person.Guest && !p.env.Integration.Guests {
			p.guests++
			continue
		}
		u, clash, err := p.find(person)
		switch {
		case err != nil:
			return err
		case clash != "":
			p.conflict(u, person, clash)
		case u != nil:
			p.matched[i] = true
			o := members[u.ID]
			if o == nil {
				o = &ours{}
			}
			if err := p.compare(u, o, i); err != nil {
				return err
			}
		case person.Enabled:
			if err := p.provision(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// find looks for the user of a person outside of the synced groups.
func (p *planner) find(person *Person) (u *directory.User, clash string, err error) {
	ids, err := p.sn.UsersByObjectID(p.tenant.ID, person.ID)
	if err != nil {
		return nil, "", err
	}
	switch len(ids) {
	case 1:
		u, err = p.sn.User(p.tenant.ID, ids[0])
		return u, "", err
	case 0:
	default:
		return nil, "several users have this object id; delete all but one of them in the SCIM client", nil
	}
	name := userNameOf(p.tenant, person)
	if name == "" {
		return nil, "the directory has no mail address to make the userName from", nil
	}
	id, err := p.sn.UserByName(p.tenant.ID, name)
	if err != nil || id.IsZero() {
		return nil, "", err
	}
	if u, err = p.sn.User(p.tenant.ID, id); err != nil {
		return nil, "", err
	}
	if u.ObjectID.IsZero() {
		return u, "", nil
	}
	return nil, "", nil // another person's: resolveNames decides who gets it
}

// provision plans a new user.
func (p *planner) provision(i int) error {
	person := &p.read.people[i]
	name := userNameOf(p.tenant, person)
	yes := true
	e := &entry{PlanItem: directory.PlanItem{Kind: directory.ItemCreate, ObjectID: person.ID, UserName: name, Name: person.DisplayName,
		Reason: "in a Group to Sync, and not known", Outcome: directory.OutcomePlanned},
		object: person.ID, newName: p.fold(name),
		overrides: &directory.Overrides{UserName: name, ExternalID: person.ID.String(), DisplayName: person.DisplayName,
			GivenName: person.GivenName, FamilyName: person.Surname, Email: person.Mail, Language: person.PreferredLanguage, Active: &yes}}
	if person.Mail != "" {
		same, err := p.sn.UsersByEmail(p.tenant.ID, person.Mail)
		if err != nil {
			return err
		}
		for _, id := range same {
			u, err := p.sn.User(p.tenant.ID, id)
			if err != nil {
				return err
			}
			if u.ObjectID.IsZero() {
				p.conflict(nil, person, fmt.Sprintf("user %s has the same e-mail address and no known object id: it may be the same person; map objectId to externalId in the provisioning mappings", u.UserName))
				return nil
			}
		}
	}
	former, err := p.sn.FormerPerson(p.tenant.ID, person.ID, name)
	if err != nil {
		return err
	}
	if former != nil {
		e.Kind, e.Reason, e.needs, e.account = directory.ItemReattach, "in a Group to Sync; was provisioned before and deleted by push", true, former.ID
	} else if err := p.sn.AdoptionProblem(p.tenant.ID, name, nonEmpty(person.Mail)...); err != nil {
		p.conflict(nil, person, detailOf(err))
		return nil
	}
	var names []string
	for _, n := range p.read.direct[i] {
		g := &p.groups[n]
		if len(g.ids) == 0 && g.taken && !p.restore {
			e.Detail = "push deleted the group " + g.name + " and has to bring it back"
			continue
		}
		e.join, names = append(e.join, int(n)), append(names, g.name)
	}
	for _, n := range p.read.through[i] {
		e.inNew, names = append(e.inNew, int(n)), append(names, p.groups[n].name+" (nested)")
	}
	if len(names) == 0 {
		e.set(directory.OutcomeWithheld, e.Detail)
	}
	e.Changes = []directory.Change{change("userName", "", name)}
	for _, f := range []struct{ name, value string }{{"displayName", person.DisplayName}, {"email", person.Mail}} {
		if f.value != "" {
			e.Changes = append(e.Changes, change(f.name, "", f.value))
		}
	}
	if len(names) > 0 {
		e.Changes = append(e.Changes, directory.Change{Name: "groups", New: encode(names)})
	}
	p.entries = append(p.entries, e)
	return nil
}

// resolveNames finds who holds a userName that an entry takes. Another entry may give it up; an
// inactive user whom the directory calls by another object id gives way, as in Entra itself, where a
// deleted user's name is freed; a name that an active user keeps is a conflict.
func (p *planner) resolveNames() error {
	giving, taking := map[string]*entry{}, map[string]*entry{}
	for _, e := range p.entries {
		if e.oldName != "" && e.Outcome == directory.OutcomePlanned {
			giving[e.oldName] = e
		}
	}
	for _, e := range slices.Clone(p.entries) {
		if e.newName == "" || e.Outcome != directory.OutcomePlanned {
			continue
		}
		if first := taking[e.newName]; first != nil {
			p.clash(e, giving, "another person of this plan gets the same userName")
			continue
		}
		taking[e.newName] = e
		if giving[e.newName] != nil {
			continue
		}
		id, err := p.sn.UserByName(p.tenant.ID, nameOf(e))
		if err != nil {
			return err
		}
		if id.IsZero() || id == e.UserID {
			continue
		}
		holder, err := p.sn.User(p.tenant.ID, id)
		if err != nil {
			return err
		}
		if holder.Active || holder.ObjectID.IsZero() {
			p.clash(e, giving, fmt.Sprintf("the userName %s is that of another user, with another object id; it is free once that user is renamed or deleted", nameOf(e)))
			continue
		}
		way := p.newEntry(holder)
		parked := strings.ReplaceAll(holder.ObjectID.String(), "-", "") + holder.UserName
		way.overrides = &directory.Overrides{UserName: parked}
		way.oldName, way.newName = p.fold(holder.UserName), p.fold(parked)
		way.Reason = "inactive, and its userName is another person's now"
		way.Changes = []directory.Change{change("userName", holder.UserName, parked)}
		p.entries = append(p.entries, way)
		giving[way.oldName] = way
	}
	return nil
}

func nameOf(e *entry) string { return e.overrides.UserName }

// clash makes a conflict of an entry whose name is taken. Who does not get a new name gives none up.
func (p *planner) clash(e *entry, giving map[string]*entry, why string) {
	e.Kind, e.Reason = directory.ItemConflict, why
	e.set(directory.OutcomeConflict, "")
	if e.oldName != "" {
		delete(giving, e.oldName)
	}
	p.spare(e)
}

// finish numbers and counts the entries. What takes something away comes last.
func (p *planner) finish() error {
	slices.SortStableFunc(p.entries, func(a, b *entry) int { return order(a) - order(b) })
	for i, e := range p.entries {
		e.Number = uint64(i + 1)
		c := &p.counts
		switch {
		case e.Outcome == directory.OutcomeWithheld:
			c.Withheld++
			continue
		case e.Kind == directory.ItemConflict:
			c.Conflict++
			continue
		}
		*p.counter(e.Kind)++
	}
	if p.guests > 0 {
		p.notes = append(p.notes, fmt.Sprintf("%d guests are left as they are: guests are excluded from the pull of this environment", p.guests))
	}
	if p.unknownID > 0 {
		p.notes = append(p.notes, fmt.Sprintf("%d users have no known object id: the pull takes nothing from them; map objectId to externalId in the provisioning mappings", p.unknownID))
	}
	if p.protected > 0 {
		p.notes = append(p.notes, fmt.Sprintf("%d people would have lost their access but are protected", p.protected))
	}
	return nil
}

func (p *plan) counter(kind directory.ItemKind) *int {
	c := &p.counts
	return map[directory.ItemKind]*int{directory.ItemCreate: &c.Create, directory.ItemReattach: &c.Reattach, directory.ItemUpdate: &c.Update,
		directory.ItemGrant: &c.Grant, directory.ItemReactivate: &c.Reactivate, directory.ItemRevoke: &c.Revoke,
		directory.ItemDeactivate: &c.Deactivate, directory.ItemConflict: &c.Conflict}[kind]
}

func order(e *entry) int {
	switch {
	case e.Outcome != directory.OutcomePlanned:
		return 0
	case len(e.takes) > 0:
		return 2
	}
	return 1
}

// userNameOf is the userName that a person gets. Push strips the mark of a guest from the name; so
// does the pull.
func userNameOf(t *directory.Tenant, person *Person) string {
	if t.Graph.UserName == "mail" {
		return person.Mail
	}
	return strings.Replace(person.UserPrincipalName, "#EXT#", "", 1)
}

func change(name string, before, after any) directory.Change {
	c := directory.Change{Name: name, New: encode(after)}
	if before != "" {
		c.Old = encode(before)
	}
	return c
}

func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts and truth values: it cannot fail
	}
	return b
}

func nonEmpty(list ...string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}
