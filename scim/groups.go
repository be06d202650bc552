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
	in, err := q.groupInput(read(body, q.tenant.group, q.tenant.mode, "displayName"), nil)
	if err != nil {
		return err
	}
	refs, _, err := memberRefs(body)
	if err != nil {
		return err
	}
	ids, err := memberIDs(refs)
	if err != nil {
		return err
	}
	g, err := q.Service.CreateGroup(q.r.Context(), q.by, q.tenant.ID, in, ids)
	if err != nil {
		return err
	}
	return q.sendGroup(http.StatusCreated, g.ID, p)
}

// groupInput makes a group of the body of a POST or PUT. before is the group that a PUT replaces.
func (q *request) groupInput(r reading, before *directory.Group) (directory.GroupInput, error) {
	var old []byte
	if before != nil {
		old = before.Attributes
	}
	if err := q.replaces(r, q.tenant.group, old); err != nil {
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
	refs, present, err := memberRefs(body)
	if err != nil {
		return err
	}
	ids, err := memberIDs(refs)
	if err != nil {
		return err
	}
	r := read(body, q.tenant.group, q.tenant.mode, "displayName")
	g, err := q.updateGroup(func(before *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
		in, err := q.groupInput(r, before)
		if err == nil && present {
			err = m.Replace(ids)
		}
		return in, err
	})
	if err != nil {
		return err
	}
	return q.sendGroup(http.StatusOK, g.ID, p)
}

func (q *request) patchGroup() error {
	q.begin(directory.ActionUpdate, "Group")
	body, p, err := q.write(q.tenant.group)
	if err != nil {
		return err
	}
	patch, err := parsePatch(body, q.tenant.group, q.tenant.mode, q.Limits.Patch)
	if err != nil {
		return err
	}
	g, err := q.updateGroup(func(before *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
		attrs, warnings, err := patch.apply(decodeRaw(before.Attributes))
		if err != nil {
			return directory.GroupInput{}, err
		}
		for _, op := range patch.memberOps() {
			if err := applyMembers(m, op); err != nil {
				return directory.GroupInput{}, err
			}
		}
		return finishGroup(q.tenant.group, attrs, before, warnings), nil
	})
	if err != nil {
		return err
	}
	if q.tenant.SCIM.GroupPatchContent {
		return q.sendGroup(http.StatusOK, g.ID, p)
	}
	q.setHead(g.ID, "/Groups/", g.Version, false)
	return q.sendNothing()
}

func applyMembers(m *directory.Membership, op MemberOp) error {
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
	var gone []directory.ID
	err := m.Each(func(x directory.Member) bool {
		if op.Filter.matchElement(memberValue(x)) {
			gone = append(gone, x.ID)
		}
		return true
	})
	if err != nil {
		return err
	}
	return m.Remove(gone)
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

func (q *request) updateGroup(fn func(*directory.Group, *directory.Membership) (directory.GroupInput, error)) (*directory.Group, error) {
	if q.id.IsZero() {
		return nil, q.noGroup()
	}
	return q.Service.UpdateGroup(q.r.Context(), q.by, q.tenant.ID, q.id, func(before *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
		q.event.TargetName, q.event.ExternalID = before.DisplayName, before.ExternalID
		if err := q.precondition(before.Version); err != nil {
			return directory.GroupInput{}, err
		}
		return fn(before, m)
	})
}

func (q *request) deleteGroup() error {
	q.begin(directory.ActionDelete, "Group")
	if q.id.IsZero() {
		return q.noGroup()
	}
	err := q.Service.DeleteGroup(q.r.Context(), q.by, q.tenant.ID, q.id, func(g *directory.Group) error {
		q.event.TargetName = g.DisplayName
		return q.precondition(g.Version)
	})
	if err != nil {
		return err
	}
	return q.sendNothing()
}

func (q *request) noGroup() error {
	return &Error{Status: http.StatusNotFound, Detail: "Group " + clip(q.name) + " not found"}
}
