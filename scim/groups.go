package scim

import (
	"net/http"

	"github.com/bizzstream/bizzscim/directory"
)

func (q *request) createGroup() error {
	q.begin(directory.ActionCreate, "Group")
	body, p, err := q.write(q.tenant.group)
	if err != nil {
		return err
	}
	w, err := q.carryOut(q.groupPost(body))
	if err != nil {
		return err
	}
	return q.sendGroup(http.StatusCreated, w.group.ID, p)
}

// groupPost understands the creation of a group, with the id of the request where it has one.
func (q *request) groupPost(body Value) (task, error) {
	r := read(body, q.tenant.group, q.tenant.mode, "displayName")
	in, err := q.groupInput(r, nil)
	if err != nil {
		return nil, err
	}
	ids, _, err := membersOf(r.body, q.tenant.mode)
	if err != nil {
		return nil, err
	}
	return func(b *directory.Batch) (written, error) {
		g, err := b.CreateGroup(q.by, q.tenant.ID, q.id, in, ids)
		return written{group: g}, err
	}, nil
}

// groupInput makes a group of the body of a POST or PUT. before is the group that a PUT replaces.
func (q *request) groupInput(r reading, before *directory.Group) (directory.GroupInput, error) {
	var old []byte
	if before != nil {
		old = before.Attributes
	}
	if err := q.replaces(&r, q.tenant.group, old); err != nil {
		return directory.GroupInput{}, err
	}
	return finishGroup(q.tenant.group, r.attrs, before, r.warnings), nil
}

func finishGroup(rt *ResourceType, attrs Value, before *directory.Group, warnings []Warning) directory.GroupInput {
	name, _ := attrs.Get("displayName")
	external, _ := attrs.Get("externalId")
	in := directory.GroupInput{DisplayName: name.Text, ExternalID: external.Text, Attributes: appendValue(nil, attrs),
		Schemas: appendTextList(nil, rt.schemasOf(attrs)), Warnings: warningTexts(warnings)}
	var old []byte
	if before != nil {
		old = before.Attributes
	}
	in.Changes = differences(old, in.Attributes)
	return in
}

// membersOf reads the members of the body of a POST or PUT.
func membersOf(body Value, mode Mode) (ids []directory.ID, present bool, err error) {
	refs, present, err := memberRefs(body, mode)
	if err == nil {
		ids, err = memberIDs(refs)
	}
	return ids, present, err
}

// memberIDs reads the ids of members. What is no id of ours cannot be a member of this tenant, and
// is answered like an id that does not exist.
func memberIDs(refs []MemberRef) ([]directory.ID, error) {
	ids := make([]directory.ID, len(refs))
	for i, r := range refs {
		id, ok := directory.ParseID(r.Value)
		if !ok {
			return nil, directory.UnknownMember(clip(r.Value))
		}
		ids[i] = id
	}
	return ids, nil
}

// knownIDs is memberIDs for members to be removed: who cannot be a member is not one already.
func knownIDs(refs []MemberRef) (ids []directory.ID) {
	for _, r := range refs {
		if id, ok := directory.ParseID(r.Value); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// putGroup replaces a group. Without the key members the members stay, because clients send
// groups without them; null and the empty list remove them all.
func (q *request) putGroup() error {
	q.begin(directory.ActionUpdate, "Group")
	body, p, err := q.write(q.tenant.group)
	if err != nil {
		return err
	}
	w, err := q.carryOut(q.groupPut(body))
	if err != nil {
		return err
	}
	return q.sendGroup(http.StatusOK, w.group.ID, p)
}

func (q *request) groupPut(body Value) (task, error) {
	r := read(body, q.tenant.group, q.tenant.mode, "displayName")
	ids, present, wrong := membersOf(r.body, q.tenant.mode)
	return q.updateGroup(func(before *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
		in, err := q.groupInput(r, before)
		if err == nil {
			err = wrong
		}
		if err == nil && present {
			err = m.Replace(ids)
		}
		return in, err
	})
}

func (q *request) patchGroup() error {
	q.begin(directory.ActionUpdate, "Group")
	body, p, err := q.write(q.tenant.group)
	if err != nil {
		return err
	}
	w, err := q.carryOut(q.groupPatch(body))
	if err != nil {
		return err
	}
	if q.by.Answer == http.StatusNoContent {
		q.setHead(w.group.ID, "/Groups/", w.group.Version, false)
		return q.sendNothing()
	}
	return q.sendGroup(http.StatusOK, w.group.ID, p)
}

func (q *request) groupPatch(body Value) (task, error) {
	patch, wrong := parsePatch(body, q.tenant.group, q.tenant.mode, q.Limits.Patch)
	return q.updateGroup(func(before *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
		if wrong != nil {
			return directory.GroupInput{}, wrong
		}
		attrs, warnings, err := patch.apply(decodeRaw(before.Attributes))
		if err != nil {
			return directory.GroupInput{}, err
		}
		looks := memberLooks{left: q.Limits.Patch.Looks}
		for _, op := range patch.memberOps() {
			if err := looks.apply(m, op); err != nil {
				return directory.GroupInput{}, err
			}
		}
		return finishGroup(q.tenant.group, attrs, before, warnings), nil
	})
}

// memberLooks carries out changes of members. It bounds how many members their filters look at, while nobody else can
// write: the first filter may look at each, so that a large group can be changed too.
type memberLooks struct {
	left   int
	filter bool // one has looked
}

func (l *memberLooks) apply(m *directory.Membership, op MemberOp) error {
	switch op.Kind {
	case addMembers, replaceMembers:
		ids, err := memberIDs(op.Members)
		if err != nil {
			return err
		}
		if op.Kind == replaceMembers {
			return m.Replace(ids)
		}
		return m.Add(ids)
	case removeMembers:
		return m.Remove(knownIDs(op.Members))
	case clearMembers:
		return m.Clear()
	}
	if op.Filter.uses(func(ref attrRef) bool { return ref.sub != nil && ref.sub.Name != "value" && ref.sub.Name != "type" }) {
		return invalidFilter("members are removed by value or type, not by what the server writes")
	}
	gone, err := l.matching(m, op)
	if err != nil {
		return err
	}
	return m.Remove(gone)
}

// matching returns the members for whom the filter of a removal holds.
func (l *memberLooks) matching(m *directory.Membership, op MemberOp) (gone []directory.ID, err error) {
	look := func(x directory.Member) {
		if op.Filter.matchElement(memberValue(x)) {
			gone = append(gone, x.ID)
		}
	}
	if op.Members != nil {
		for _, id := range knownIDs(op.Members) {
			x, in, err := m.Member(id)
			if err != nil {
				return nil, err
			}
			if in {
				look(x)
			}
		}
		return gone, nil
	}
	first := !l.filter
	l.filter = true
	err = m.Each(func(x directory.Member) bool {
		l.left--
		look(x)
		return first || l.left >= 0
	})
	if err == nil && !first && l.left < 0 {
		err = errScans
	}
	return gone, err
}

// memberValue is a member as a filter on members sees it.
func memberValue(m directory.Member) Value {
	return Value{Kind: Object, Members: []Member{
		{"value", Value{Kind: String, Text: m.ID.String()}},
		{"type", Value{Kind: String, Text: memberType(m.Kind)}},
	}}
}

func memberType(k directory.MemberKind) string {
	if k == directory.MemberGroup {
		return "Group"
	}
	return "User"
}

func (q *request) updateGroup(fn func(*directory.Group, *directory.Membership) (directory.GroupInput, error)) (task, error) {
	if q.id.IsZero() {
		return nil, q.noGroup()
	}
	return func(b *directory.Batch) (written, error) {
		g, err := b.UpdateGroup(q.by, q.tenant.ID, q.id, func(before *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
			q.event.TargetName, q.event.ExternalID = before.DisplayName, before.ExternalID
			if err := q.precondition(before.Version); err != nil {
				return directory.GroupInput{}, err
			}
			return fn(before, m)
		})
		return written{group: g}, err
	}, nil
}

func (q *request) deleteGroup() error {
	q.begin(directory.ActionDelete, "Group")
	if _, err := q.carryOut(q.groupDelete(Value{})); err != nil {
		return err
	}
	return q.sendNothing()
}

func (q *request) groupDelete(Value) (task, error) {
	if q.id.IsZero() {
		return nil, q.noGroup()
	}
	return func(b *directory.Batch) (written, error) {
		return written{}, b.DeleteGroup(q.by, q.tenant.ID, q.id, func(g *directory.Group) error {
			q.event.TargetName = g.DisplayName
			return q.precondition(g.Version)
		})
	}, nil
}

func (q *request) noGroup() error {
	return &Error{Status: http.StatusNotFound, Detail: "Group " + clip(q.name) + " not found"}
}
