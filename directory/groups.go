package directory

import (
	"bytes"
	"context"
	"slices"
	"strings"
)

// GroupInput is a SCIM group, without its members, as a channel wants it to be.
type GroupInput struct {
	DisplayName string
	ExternalID  string
	Schemas     []byte   // JSON array of schema URNs
	Attributes  []byte   // JSON object of the attributes, without members
	Changes     []Change // for the log: what differs from before
	Warnings    []string // for the log: what was ignored
}

func (in *GroupInput) check() error {
	if strings.TrimSpace(in.DisplayName) == "" {
		return failf(Invalid, "displayName", "displayName is required")
	}
	for _, t := range []string{in.DisplayName, in.ExternalID} {
		if err := checkText("displayName and externalId", t); err != nil {
			return err
		}
	}
	return nil
}

func groupNameTaken(name string) error {
	return failf(Exists, "displayName", "a group with the displayName %q already exists", name)
}

func groupEvent(action Action, g *Group, changes []Change, warnings []string) LogEvent {
	return LogEvent{TenantID: g.TenantID, Action: action, TargetType: "Group", TargetID: g.ID.String(),
		TargetName: g.DisplayName, ExternalID: g.ExternalID, Changes: changes, Warnings: warnings}
}

// CreateGroup provisions a group with its first members.
//
// Errors: Invalid, also for a member that the tenant does not have; NotFound for the tenant; Exists
// when the tenant has a group of that displayName; for a pull, an Error that wraps ErrMoved when it has
// one of that externalId.
func (s *Service) CreateGroup(ctx context.Context, by Actor, tenant ID, in GroupInput, members []ID) (g *Group, err error) {
	err = s.Together(ctx, func(b *Batch) (err error) {
		g, err = b.CreateGroup(by, tenant, ID{}, in, members)
		return err
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

func (c *change) createGroup(tenant, id ID, in GroupInput, members []ID) (*Group, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	if err := c.hasTenant(tenant); err != nil {
		return nil, err
	}
	if err := c.refuseSecond(tenant, in.ExternalID); err != nil {
		return nil, err
	}
	if id.IsZero() {
		id = c.s.newID()
	}
	g := &Group{TenantID: tenant, ID: id, DisplayName: in.DisplayName, ExternalID: in.ExternalID,
		Version: 1, Created: c.now, Modified: c.now, Schemas: in.Schemas, Attributes: in.Attributes, Alone: true}
	if err := c.insert(tableGroupName, textKey(tenant, c.fold(g.DisplayName)), g.ID[:], groupNameTaken(g.DisplayName)); err != nil {
		return nil, err
	}
	if err := c.put(row{tableGroups, key(tenant, g.ID), g.encode()}); err != nil {
		return nil, err
	}
	if err := c.indexGroup(nil, g); err != nil {
		return nil, err
	}
	m := &Membership{c: c, group: g}
	if err := m.Add(members); err != nil {
		return nil, err
	}
	if err := m.derive("", g.ExternalID); err != nil {
		return nil, err
	}
	if err := c.log(groupEvent(ActionCreate, g, append(in.Changes, m.changes()...), in.Warnings)); err != nil {
		return nil, err
	}
	return g, c.publishGroup("group.created", nil, g, m, "", in.Changes)
}

// refuseSecond refuses a group of a pull where push has made one of the same object id meanwhile.
func (c *change) refuseSecond(tenant ID, externalID string) error {
	if c.by.RunID.IsZero() {
		return nil
	}
	ids, err := c.GroupsByExternalID(tenant, externalID)
	if err == nil && len(ids) > 0 {
		return moved("this group was provisioned")
	}
	return err
}

// UpdateGroup changes a group. fn gets the group as it is and a handle on its members, and
// returns the group as it should be; it runs inside of the transaction and may refuse with an
// error, and then no member has changed either. Without a difference nothing is written, and
// version and modified stay.
func (s *Service) UpdateGroup(ctx context.Context, by Actor, tenant, id ID, fn func(*Group, *Membership) (GroupInput, error)) (g *Group, err error) {
	err = s.Together(ctx, func(b *Batch) (err error) {
		g, err = b.UpdateGroup(by, tenant, id, fn)
		return err
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

func (c *change) updateGroup(tenant, id ID, fn func(*Group, *Membership) (GroupInput, error)) (*Group, error) {
	before, err := c.Group(tenant, id)
	if err != nil {
		return nil, err
	}
	// fn gets its own: what it changes in place would go unnoticed, and what the store lends
	// ends with the next write.
	before.Schemas, before.Attributes = bytes.Clone(before.Schemas), bytes.Clone(before.Attributes)
	given := *before
	m := &Membership{c: c, group: before}
	in, err := fn(&given, m)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	after := *before
	after.DisplayName, after.ExternalID, after.Schemas, after.Attributes = in.DisplayName, in.ExternalID, in.Schemas, in.Attributes
	same := bytes.Equal(before.Attributes, after.Attributes) && bytes.Equal(before.Schemas, after.Schemas) &&
		before.DisplayName == after.DisplayName && before.ExternalID == after.ExternalID
	if same && len(m.added()) == 0 && len(m.removed()) == 0 {
		if len(in.Warnings) > 0 {
			return &after, c.log(groupEvent(ActionUpdate, &after, nil, in.Warnings))
		}
		return &after, nil
	}
	return &after, c.replaceGroup(before, &after, m, in)
}

func (c *change) replaceGroup(before, after *Group, m *Membership, in GroupInput) error {
	after.Version++
	after.Modified = c.now
	if !after.Alone { // it may have left the last group that it was in, or be a record without that
		above, err := c.GroupsOf(after.TenantID, after.ID)
		if err != nil {
			return err
		}
		after.Alone = len(above) == 0
	}
	old, folded := c.fold(before.DisplayName), c.fold(after.DisplayName)
	if old != folded {
		if err := c.insert(tableGroupName, textKey(after.TenantID, folded), after.ID[:], groupNameTaken(after.DisplayName)); err != nil {
			return err
		}
		if err := c.w.Delete(tableGroupName, textKey(after.TenantID, old)); err != nil {
			return err
		}
	}
	if err := c.indexGroup(before, after); err != nil {
		return err
	}
	if err := c.put(row{tableGroups, key(after.TenantID, after.ID), after.encode()}); err != nil {
		return err
	}
	if err := m.noteTaken(); err != nil {
		return err
	}
	if err := m.derive(before.ExternalID, after.ExternalID); err != nil {
		return err
	}
	if err := c.log(groupEvent(ActionUpdate, after, append(in.Changes, m.changes()...), in.Warnings)); err != nil {
		return err
	}
	return c.publishGroup("group.updated", before, after, m, c.updateMethod(), in.Changes)
}

// DeleteGroup removes a group; its members leave it, and the groups that it was in lose it.
func (s *Service) DeleteGroup(ctx context.Context, by Actor, tenant, id ID, check func(*Group) error) error {
	return s.Together(ctx, func(b *Batch) error { return b.DeleteGroup(by, tenant, id, check) })
}

func (c *change) deleteGroup(tenant, id ID, check func(*Group) error) error {
	g, err := c.Group(tenant, id)
	if err != nil {
		return err
	}
	if check != nil {
		if err := check(g); err != nil {
			return err
		}
	}
	m := &Membership{c: c, group: g}
	if err := m.Clear(); err != nil {
		return err
	}
	parents, err := c.GroupsOf(tenant, id)
	if err != nil {
		return err
	}
	for _, p := range parents {
		if err := c.leave(tenant, p, id); err != nil {
			return err
		}
		if err := c.touchGroup(tenant, p); err != nil {
			return err
		}
	}
	if err := c.indexGroup(g, nil); err != nil {
		return err
	}
	if err := c.delete(row{table: tableGroupName, key: textKey(tenant, c.fold(g.DisplayName))}, row{table: tableGroups, key: key(tenant, id)}); err != nil {
		return err
	}
	if err := m.derive(g.ExternalID, ""); err != nil {
		return err
	}
	if err := c.log(groupEvent(ActionDelete, g, m.changes(), nil)); err != nil {
		return err
	}
	return c.publish(OutboxEvent{Type: "group.deleted", TenantID: tenant, GroupID: id, ExternalID: g.ExternalID})
}

// indexGroup moves the row of a group in the index by externalId.
func (c *change) indexGroup(before, after *Group) error {
	c.groups = nil // what Groups to Sync resolve to may be another set now
	if before != nil && after != nil && before.ExternalID == after.ExternalID {
		return nil
	}
	if before != nil && before.ExternalID != "" {
		object := foldObjectID(before.ExternalID)
		if err := c.w.Delete(tableGroupExternal, listKey(before.TenantID, object, before.ID)); err != nil {
			return err
		}
		if err := c.noteGroupTaken(before.TenantID, object); err != nil {
			return err
		}
	}
	if after != nil && after.ExternalID != "" {
		object := foldObjectID(after.ExternalID)
		if err := c.w.Delete(tableGroupTaken, textKey(after.TenantID, object)); err != nil {
			return err
		}
		return c.put(row{table: tableGroupExternal, key: listKey(after.TenantID, object, after.ID)})
	}
	return nil
}

// noteGroupTaken keeps that push took the last group of an externalId away, so that no pull makes
// it again.
func (c *change) noteGroupTaken(tenant ID, object string) error {
	left, err := c.GroupsByExternalID(tenant, object)
	if err != nil || len(left) > 0 {
		return err
	}
	return c.put(row{table: tableGroupTaken, key: textKey(tenant, object)})
}

// touchGroup raises the version of a group whose members change through another resource.
func (c *change) touchGroup(tenant, id ID) error {
	g, err := c.Group(tenant, id)
	if err != nil {
		return err
	}
	g.Version++
	g.Modified = c.now
	return c.put(row{tableGroups, key(tenant, id), g.encode()})
}

func (c *change) join(tenant, group ID, m Member) error {
	return c.put(row{tableMembers, key(tenant, group, m.ID), []byte{byte(m.Kind)}}, row{table: tableMemberOf, key: key(tenant, m.ID, group)})
}

// setAlone notes whether a group is certainly in no other one, and says whether that is another answer than before. It
// is nothing of the group itself: its version stays.
func (c *change) setAlone(tenant, id ID, alone bool) (changed bool, err error) {
	g, err := c.Group(tenant, id)
	if err != nil || g.Alone == alone {
		return false, err
	}
	g.Alone = alone
	return true, c.put(row{tableGroups, key(tenant, id), g.encode()})
}

func (c *change) leave(tenant, group, member ID) error {
	return c.delete(row{table: tableMembers, key: key(tenant, group, member)}, row{table: tableMemberOf, key: key(tenant, member, group)})
}

// Membership changes the members of a group within one change: one small row per member, so
// that the cost is that of the members named and not of the group.
type Membership struct {
	c     *change
	group *Group
	seen  map[ID]*movement // everyone whom this change moved
	order []ID             // keys of seen in the order of the first move, for a repeatable log
	above map[ID]bool      // the group and those that contain it; nil: nobody asked
	nests int              // groups that joined
}

// movement is one member's state before the change and now.
type movement struct {
	kind    MemberKind
	was, in bool
	nested  bool // a group that was in no other one until it came
}

// Each calls fn for every member until it returns false. fn must not change the members.
func (m *Membership) Each(fn func(Member) bool) error {
	return m.c.Members(m.group.TenantID, m.group.ID, ID{}, fn)
}

// Member returns the member of that id; in is false where it is none.
func (m *Membership) Member(id ID) (x Member, in bool, err error) {
	value, err := m.c.r.Get(tableMembers, key(m.group.TenantID, m.group.ID, id))
	if err != nil || len(value) == 0 {
		return Member{}, false, err
	}
	return Member{ID: id, Kind: MemberKind(value[0])}, true, nil
}

// Add adds members; those who are in already stay. Errors: Invalid for an id that this tenant
// does not have, whether it exists elsewhere or not, and for a group that would contain itself.
func (m *Membership) Add(ids []ID) error {
	for _, id := range ids {
		in, err := m.c.IsMember(m.group.TenantID, m.group.ID, id)
		if err != nil {
			return err
		}
		if in {
			continue
		}
		kind, err := m.kindOf(id)
		if err != nil {
			return err
		}
		nested := false
		if kind == MemberGroup {
			if nested, err = m.c.setAlone(m.group.TenantID, id, false); err != nil {
				return err
			}
		}
		if err := m.c.join(m.group.TenantID, m.group.ID, Member{ID: id, Kind: kind}); err != nil {
			return err
		}
		m.note(id, kind, true).nested = nested
	}
	return nil
}

// kindOf finds out what an id of this tenant is.
func (m *Membership) kindOf(id ID) (MemberKind, error) {
	tenant := m.group.TenantID
	u, err := m.c.r.Get(tableUsers, key(tenant, id))
	if u != nil || err != nil {
		return MemberUser, err
	}
	g, err := m.c.r.Get(tableGroups, key(tenant, id))
	if err != nil {
		return 0, err
	}
	if g == nil {
		return 0, UnknownMember(id.String())
	}
	return MemberGroup, m.refuseCycle(id)
}

// UnknownMember is the error for a member id that the tenant does not have.
func UnknownMember(id string) error {
	return failf(Invalid, "members", "member %q does not exist", id)
}

// Limits of groups within groups. What contains a group is walked whenever a group or a member is read, and whenever a
// group joins another one, while nobody else writes.
const (
	nestingLimit = 200  // groups that contain a group, at any depth
	joiningLimit = 1000 // groups that become members in one change
)

var errNesting = failf(Invalid, "members", "groups are nested too deeply: %d groups may contain a group", nestingLimit)

// refuseCycle refuses a group that contains, at any depth, the group it would go into, and one that too many would
// contain. It walks upwards: few groups contain a group, while one may hold very many members.
func (m *Membership) refuseCycle(candidate ID) (err error) {
	if m.above == nil {
		if m.above, err = m.groupsAbove(m.group.ID); err != nil {
			return err
		}
	}
	switch {
	case candidate == m.group.ID:
		return failf(Invalid, "members", "group %s cannot be a member of itself", candidate)
	case m.above[candidate]:
		return failf(Invalid, "members", "group %s cannot be a member: it contains this group", candidate)
	}
	if m.nests++; m.nests > joiningLimit {
		return failf(Invalid, "members", "%d groups at most can become members at a time", joiningLimit)
	}
	others, err := m.groupsAbove(candidate)
	if err == nil && len(m.above)+len(others)-1 > nestingLimit {
		err = errNesting
	}
	return err
}

// groupsAbove returns a group and those that contain it, at any depth.
func (m *Membership) groupsAbove(group ID) (map[ID]bool, error) {
	seen := map[ID]bool{group: true}
	for queue := []ID{group}; len(queue) > 0; queue = queue[1:] {
		parents, err := m.c.GroupsOf(m.group.TenantID, queue[0])
		if err != nil {
			return nil, err
		}
		for _, p := range parents {
			if !seen[p] {
				seen[p] = true
				queue = append(queue, p)
			}
		}
		if len(seen)-1 > nestingLimit {
			return nil, errNesting
		}
	}
	return seen, nil
}

// Remove removes members; those who are not in are no error.
func (m *Membership) Remove(ids []ID) error {
	for _, id := range ids {
		x, in, err := m.Member(id)
		if err != nil {
			return err
		}
		if !in {
			continue
		}
		if err := m.c.leave(m.group.TenantID, m.group.ID, id); err != nil {
			return err
		}
		if move := m.note(id, x.Kind, false); move.nested { // by this very change, which leaves no trace then
			if _, err := m.c.setAlone(m.group.TenantID, id, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// Clear removes all members.
func (m *Membership) Clear() error { return m.Replace(nil) }

// Replace makes ids the members: exactly these remain.
func (m *Membership) Replace(ids []ID) error {
	keep := make(map[ID]bool, len(ids))
	for _, id := range ids {
		keep[id] = true
	}
	var gone []ID
	err := m.Each(func(x Member) bool {
		if !keep[x.ID] {
			gone = append(gone, x.ID)
		}
		return true
	})
	if err != nil {
		return err
	}
	if err := m.Remove(gone); err != nil {
		return err
	}
	return m.Add(ids)
}

// note keeps what is different from before the change: a member who was removed and added again
// is not.
func (m *Membership) note(id ID, kind MemberKind, in bool) *movement {
	if move := m.seen[id]; move != nil {
		move.in = in
		return move
	}
	if m.seen == nil {
		m.seen = map[ID]*movement{}
	}
	move := &movement{kind: kind, was: !in, in: in}
	m.seen[id] = move
	m.order = append(m.order, id)
	return move
}

// moved lists who came (in) or went.
func (m *Membership) moved(in bool) (ids []ID) {
	for _, id := range m.order {
		if move := m.seen[id]; move.in == in && move.was != in {
			ids = append(ids, id)
		}
	}
	return ids
}

func (m *Membership) added() []ID   { return m.moved(true) }
func (m *Membership) removed() []ID { return m.moved(false) }

// noteTaken keeps which people push took out of the group, so that no pull puts them back. It is one
// write for each of them: a nested group is nobody whom a pull puts anywhere.
func (m *Membership) noteTaken() error {
	for _, id := range m.order {
		move := m.seen[id]
		if move.kind != MemberUser || move.was == move.in {
			continue
		}
		r := row{table: tableTaken, key: key(m.group.TenantID, id, m.group.ID)}
		write := m.c.put
		if move.in {
			write = m.c.delete
		}
		if err := write(r); err != nil {
			return err
		}
	}
	return nil
}

// loggedMembers bounds how many members one log line names.
const loggedMembers = 100

func (m *Membership) changes() []Change {
	removed, added := m.removed(), m.added()
	if len(removed)+len(added) == 0 {
		return nil
	}
	c := Change{Name: "members"}
	if len(removed) > 0 {
		c.Old = encodeJSON(removed[:min(len(removed), loggedMembers)])
	}
	if len(added) > 0 {
		c.New = encodeJSON(added[:min(len(added), loggedMembers)])
	}
	return []Change{c}
}

// derive derives the access of everyone whom the change of the group may touch: those who came
// and went and, when the externalId is another one, every member, and those who were in through a
// nested group.
func (m *Membership) derive(oldExternal, newExternal string) error {
	c := m.c
	envs, err := c.syncingEnvironments(m.group.TenantID, newExternal)
	if err != nil {
		return err
	}
	people, indirect := m.order, []ID(nil)
	if foldObjectID(oldExternal) != foldObjectID(newExternal) {
		old, err := c.syncingEnvironments(m.group.TenantID, oldExternal)
		if err != nil {
			return err
		}
		for _, e := range old {
			nested, err := c.dropIndirect(e, m.group.ID)
			if err != nil {
				return err
			}
			indirect = append(indirect, nested...)
			if !slices.ContainsFunc(envs, func(x *Environment) bool { return x.ID == e.ID }) {
				envs = append(envs, e)
			}
		}
		if len(envs) > 0 {
			people = slices.Concat(people, indirect)
			err = m.Each(func(x Member) bool {
				if m.seen[x.ID] == nil && x.Kind == MemberUser {
					people = append(people, x.ID)
				}
				return true
			})
			if err != nil {
				return err
			}
		}
	}
	if len(envs) == 0 {
		return nil
	}
	for _, id := range people {
		if err := m.derivePerson(id, envs); err != nil {
			return err
		}
	}
	return nil
}

func (m *Membership) derivePerson(id ID, envs []*Environment) error {
	c := m.c
	u, err := c.user(m.group.TenantID, id)
	if err != nil || u == nil { // a nested group
		return err
	}
	account, err := c.Account(u.AccountID)
	if err != nil {
		return err
	}
	in, err := c.IsMember(u.TenantID, m.group.ID, id)
	if err != nil {
		return err
	}
	for _, env := range envs {
		groups, err := c.syncedGroups(env)
		if err != nil {
			return err
		}
		via := ID{}
		if in && slices.Contains(groups, m.group.ID) {
			via = m.group.ID
		}
		if err := c.derive(env, account, u, via); err != nil {
			return err
		}
	}
	return nil
}
