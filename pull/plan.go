package pull

import (
	"bytes"
	"cmp"
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

	active   int64                // external users with active access to the environment
	affected map[directory.ID]int // environment -> accesses that would go
	renames  int                  // people of whom userName differs
}

// groupPlan is one of the Groups to Sync.
type groupPlan struct {
	object string         // object id
	name   string         // the object id where it has none
	nested []directory.ID // groups in it
	people int            // whom the read found in it, through nested groups too where these count
	ids    []directory.ID
	before int // active users in it, by what push and earlier pulls have left
	leaves int // active users who would leave it
	taken  bool
}

// entry is a PlanItem on its way. A number of a group is its place among plan.groups.
type entry struct {
	directory.PlanItem
	version    uint64
	overrides  *directory.Overrides
	object     directory.ID   // to be remembered
	join       []uint16       // groups that the person is to be in directly
	leave      []directory.ID // SCIM groups that the person leaves
	in, out    []directory.ID // SCIM groups that the person is in through a nested one, or is no longer
	inNew      []uint16       // as in, of groups that do not exist yet
	direct     []uint16       // groups that the read found the person in
	through    []uint16       // groups that the read found the person in through a nested one alone
	takes      []directory.ID // environments whose access goes
	withhold   string         // what is not done, and why
	disable    bool           // the directory said that the person is disabled
	absent     bool           // the person was in none of the groups
	wasActive  bool           // the user is active
	parks      bool           // gives a name away, for nothing but that
	needs      bool           // a point read or a second complete read before it is applied
	held       bool           // by the checks
	newName    string         // folded userName that it takes
	oldName    string         // folded userName that it gives up
	elsewhere  []string       // Groups to Sync of those of takes that are others, but for those that the person leaves
	patient    []string       // those of elsewhere for which it waits longer than two reads
	unapproved []directory.ID // environments whose access goes besides takes: found out after the checks
}

func (e *entry) set(outcome directory.Outcome, detail string) { e.Outcome, e.Detail = outcome, detail }

// moves reports whether the entry changes a membership.
func (e *entry) moves() bool {
	return len(e.join)+len(e.leave)+len(e.in)+len(e.out)+len(e.inNew) > 0
}

// planner makes a plan on a snapshot.
type planner struct {
	*plan
	sn       *directory.Snapshot
	env      *directory.Environment
	tenant   *directory.Tenant
	read     *reading
	restore  bool
	fold     func(string) string
	resource Resources

	members   []membership            // of the synced groups, by user
	index     map[directory.ID]uint16 // SCIM group -> number of its group
	hasAccess map[directory.ID]bool   // accounts whose access is active
	matched   []bool                  // people of the read who have a user
	others    map[directory.ID]*otherEnvironment
	admins    map[directory.ID]map[directory.ID]bool // environment -> accounts of the administrators that are left
	scratch   entry                                  // the one that is looked at: most people need none

	unknownID int // users who cannot be told apart from leavers: no object id
	guests    int // excluded
	protected int
}

// membership is one user in one synced group, by what push and earlier pulls have left.
type membership struct {
	user, group directory.ID
	n           uint16 // number of the group
	indirect    bool   // through a nested group
}

func (m *membership) compare(o *membership) int {
	return cmp.Or(bytes.Compare(m.user[:], o.user[:]), cmp.Compare(m.n, o.n), bytes.Compare(m.group[:], o.group[:]))
}

// otherEnvironment is another environment that a person may lose.
type otherEnvironment struct {
	*directory.Environment
	groups []directory.ID // SCIM groups that it syncs
}

func (p *planner) make() error {
	p.matched = make([]bool, len(p.read.people))
	p.others, p.admins = map[directory.ID]*otherEnvironment{}, map[directory.ID]map[directory.ID]bool{}
	p.counts.People = len(p.read.people)
	for _, step := range []func() error{p.loadAccesses, p.loadGroups, p.loadMembers, p.known, p.newcomers, p.resolveNames} {
		if err := step(); err != nil {
			return err
		}
	}
	p.finish()
	return nil
}

func (p *planner) loadAccesses() (err error) {
	if p.active, err = p.sn.ActiveExternal(p.env.ID); err != nil {
		return err
	}
	p.hasAccess = make(map[directory.ID]bool, p.active)
	return p.sn.EnvironmentAccesses(p.env.ID, true, directory.ID{}, func(account directory.ID) bool {
		p.hasAccess[account] = true
		return true
	})
}

// loadGroups finds the SCIM groups.
func (p *planner) loadGroups() (err error) {
	p.groups, p.index = make([]groupPlan, len(p.read.groups)), map[directory.ID]uint16{}
	for n, g := range p.read.groups {
		gp := groupPlan{object: g.object, name: cmp.Or(g.name, g.object), nested: g.nested}
		if gp.ids, err = p.sn.GroupsByExternalID(p.tenant.ID, g.object); err != nil {
			return err
		}
		if len(gp.ids) == 0 {
			if gp.taken, err = p.sn.GroupTakenByPush(p.tenant.ID, g.object); err != nil {
				return err
			}
		}
		for _, id := range gp.ids {
			p.index[id] = uint16(n)
		}
		p.groups[n] = gp
	}
	for i := range p.read.people {
		for _, n := range p.read.direct[i] {
			p.groups[n].people++
		}
		for _, n := range p.read.through[i] {
			p.groups[n].people++
		}
	}
	return nil
}

// loadMembers finds who is in the groups.
func (p *planner) loadMembers() error {
	for n := range p.groups {
		for _, id := range p.groups[n].ids {
			size, err := p.sn.MemberCount(p.tenant.ID, id)
			if err != nil {
				return err
			}
			p.members = slices.Grow(p.members, int(size))
			err = p.sn.Members(p.tenant.ID, id, directory.ID{}, func(m directory.Member) bool {
				if m.Kind == directory.MemberUser {
					p.members = append(p.members, membership{user: m.ID, group: id, n: uint16(n)})
				}
				return true
			})
			if err != nil {
				return err
			}
		}
	}
	err := p.sn.Indirect(p.env, func(user, group directory.ID) bool {
		if n, ok := p.index[group]; ok {
			p.members = append(p.members, membership{user: user, group: group, n: n, indirect: true})
		}
		return true
	})
	slices.SortFunc(p.members, func(a, b membership) int { return a.compare(&b) })
	return err
}

// rowsOf are the memberships of one user.
func (p *planner) rowsOf(user directory.ID) []membership {
	i, _ := slices.BinarySearchFunc(p.members, user, func(m membership, id directory.ID) int { return bytes.Compare(m.user[:], id[:]) })
	n := i
	for n < len(p.members) && p.members[n].user == user {
		n++
	}
	return p.members[i:n]
}

// isIn reports whether rows say that a user is in a group.
func isIn(rows []membership, n uint16, indirect bool) bool {
	return slices.ContainsFunc(rows, func(m membership) bool { return m.n == n && m.indirect == indirect })
}

// finish numbers the entries, which resolveNames has sorted. What takes something away comes last.
func (p *planner) finish() {
	slices.SortStableFunc(p.entries, func(a, b *entry) int { return order(a) - order(b) })
	for i, e := range p.entries {
		e.Number = uint64(i + 1)
	}
	note := func(n int, format string) {
		if n > 0 {
			p.notes = append(p.notes, fmt.Sprintf(format, n))
		}
	}
	note(p.guests, "%d guests are left as they are: guests are excluded from the pull of this environment")
	note(p.unknownID, "%d users have no known object id: the pull takes nothing from them; map objectId to externalId in the provisioning mappings")
	note(p.protected, "%d people would have lost their access but are protected")
}

// byPerson orders entries by object id and user id, those of users whom we have first.
func byPerson(a, b *entry) int {
	if a.UserID.IsZero() != b.UserID.IsZero() {
		return bytes.Compare(b.UserID[:], a.UserID[:])
	}
	return cmp.Or(bytes.Compare(a.ObjectID[:], b.ObjectID[:]), bytes.Compare(a.UserID[:], b.UserID[:]))
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

// tally counts the entries by what is to be done and what became of them so far, and what the checks
// go by. What waits for certainty, or is not the pull's to do, is not counted as to be done.
func (p *plan) tally() {
	p.counts = directory.Counts{People: p.counts.People, Unchanged: p.counts.Unchanged}
	p.affected, p.renames = map[directory.ID]int{}, 0
	for n := range p.groups {
		p.groups[n].leaves = 0
	}
	for _, e := range p.entries {
		switch e.Outcome {
		case directory.OutcomeWithheld:
			p.counts.Withheld++
		case directory.OutcomeConflict:
			p.counts.Conflict++
		case directory.OutcomeSkipped:
			p.counts.Skipped++
		case directory.OutcomeWaiting:
			p.counts.Waiting++
		default:
			p.tallyPlanned(e)
		}
	}
}

func (p *plan) tallyPlanned(e *entry) {
	if e.Outcome == directory.OutcomeHeld {
		p.counts.Held++
	}
	*p.counter(e.Kind)++
	for _, env := range e.takes {
		p.affected[env]++
	}
	if e.newName != "" && !e.UserID.IsZero() && !e.parks {
		p.renames++
	}
	if !e.wasActive {
		return
	}
	for n := range p.groups {
		if p.groups[n].left(e) {
			p.groups[n].leaves++
		}
	}
}

// left reports whether an entry takes the person out of the group.
func (g *groupPlan) left(e *entry) bool {
	is := func(id directory.ID) bool { return slices.Contains(g.ids, id) }
	return slices.ContainsFunc(e.leave, is) || slices.ContainsFunc(e.out, is)
}

func (p *plan) counter(kind directory.ItemKind) *int {
	c := &p.counts
	switch kind {
	case directory.ItemCreate:
		return &c.Create
	case directory.ItemReattach:
		return &c.Reattach
	case directory.ItemUpdate:
		return &c.Update
	case directory.ItemGrant:
		return &c.Grant
	case directory.ItemReactivate:
		return &c.Reactivate
	case directory.ItemRevoke:
		return &c.Revoke
	case directory.ItemDeactivate:
		return &c.Deactivate
	}
	return &c.Conflict
}

// skipMoved leaves out whom push has changed since the watch began: what was read of them may be
// older than what push has written.
func (p *planner) skipMoved(w *directory.Watch) error {
	for _, e := range p.entries {
		if e.Outcome != directory.OutcomePlanned || e.UserID.IsZero() {
			continue
		}
		var groups []directory.ID // of which the entry goes by who was in them
		for n := range p.groups {
			if len(e.leave)+len(e.out) > 0 || slices.Contains(e.join, uint16(n)) {
				groups = append(groups, p.groups[n].ids...)
			}
		}
		moved, err := w.Changed(p.sn, e.UserID, groups...)
		if err != nil {
			return err
		}
		if moved {
			e.set(directory.OutcomeSkipped, "push changed this user after the read began; the next run looks again")
		}
	}
	p.follow()
	return nil
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
