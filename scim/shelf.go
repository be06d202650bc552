package scim

import (
	"errors"
	"math"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// shelf is the resources of one type in one snapshot, as a list reads them. At most one of them is in hand: the methods
// that follow get are about it, and it is valid until the next one is taken.
type shelf interface {
	// total returns how many there are, from a counter.
	total() (int64, error)
	// each takes one after the other in hand, in the order of ids: beyond after (zero: all), or before it in reverse.
	each(after directory.ID, reverse bool, skip int, fn func() bool) error
	// names lists the names that are unique: userName of users, displayName of groups.
	names(r directory.NameRange, fn func(folded string, id directory.ID) bool) error
	// find answers one of some comparisons, each of which every match satisfies, from an index.
	find(terms []equality) (ids []directory.ID, found bool, err error)
	// get takes one in hand and reports whether it is there.
	get(id directory.ID) (bool, error)

	id() directory.ID
	match(f *Filter) (bool, error)
	times() (created, modified time.Time)
	// value returns an attribute as stored bytes or, where raw is nil, as it was made. Of members it may be the first one alone.
	value(ref attrRef) (v Value, raw []byte, err error)
	// write appends the resource as the projection shows it. A group that is too large for one snapshot ends open, and
	// large says where it goes on.
	write(dst []byte) (_ []byte, large *largeGroup, err error)
}

// shelf returns the resources of a type as a query asks for them.
func (q *request) shelf(sn *directory.Snapshot, t *typeQuery) shelf {
	if t.rt == q.tenant.user {
		d := &userDocument{renderer: q.renderer(sn, t.p)}
		d.virtual = d.attribute
		return d
	}
	d := &groupDocument{renderer: q.renderer(sn, t.p), limit: memberLimit(t.p)}
	if t.filter != nil {
		d.wanted = wantedMembers(t.filter)
	}
	d.virtual = d.attribute
	return d
}

func parseID(text string) directory.ID {
	id, _ := directory.ParseID(text)
	return id
}

func one(id directory.ID) []directory.ID {
	if id.IsZero() {
		return nil
	}
	return []directory.ID{id}
}

// indexed hands comparisons of core attributes, or of their values, with texts to look until an index answers one.
func indexed(terms []equality, look func(name, text string) (ids []directory.ID, found bool, err error)) ([]directory.ID, bool, error) {
	for _, e := range terms {
		switch name := e.ref.attr.Name; {
		case e.ref.urn != "" || e.literal.Kind != String || e.ref.sub != nil && e.ref.sub.Name != "value":
		case name == "id":
			return one(parseID(e.literal.Text)), true, nil
		default:
			if ids, found, err := look(name, e.literal.Text); found {
				return ids, true, err
			}
		}
	}
	return nil, false, nil
}

// userDocument is a user as a filter sees it: what is stored, and what is derived on demand.
type userDocument struct {
	storedDocument
	*renderer
	user  *directory.User
	own   directory.User // what get reads into
	err   error          // of a look-up; it is no answer of the filter
	shown []byte         // the resource, where its version is asked for
}

func (d *userDocument) total() (int64, error) { return d.sn.UserCount(d.tenant.ID) }

func (d *userDocument) each(after directory.ID, reverse bool, skip int, fn func() bool) error {
	take := func(u *directory.User) bool {
		d.user, d.doc = u, u.Attributes
		return fn()
	}
	if reverse {
		return d.sn.UsersBefore(d.tenant.ID, after, skip, take)
	}
	return d.sn.Users(d.tenant.ID, after, skip, take)
}

func (d *userDocument) names(r directory.NameRange, fn func(string, directory.ID) bool) error {
	return d.sn.UserNames(d.tenant.ID, r, fn)
}

func (d *userDocument) find(terms []equality) ([]directory.ID, bool, error) {
	return indexed(terms, func(name, text string) ([]directory.ID, bool, error) {
		switch name {
		case "userName":
			id, err := d.sn.UserByName(d.tenant.ID, text)
			return one(id), true, err
		case "externalId":
			ids, err := d.sn.UsersByExternalID(d.tenant.ID, text)
			return ids, true, err
		case "emails":
			ids, err := d.sn.UsersByEmail(d.tenant.ID, text)
			return ids, true, err
		}
		return nil, false, nil
	})
}

func (d *userDocument) get(id directory.ID) (bool, error) {
	found, err := d.sn.UserResource(&d.own, d.tenant.ID, id)
	d.user, d.doc = &d.own, d.own.Attributes
	return found, err
}

func (d *userDocument) id() directory.ID { return d.user.ID }

func (d *userDocument) match(f *Filter) (bool, error) {
	ok := f.match(&d.storedDocument)
	return ok, d.err
}

func (d *userDocument) times() (created, modified time.Time) { return d.user.Created, d.user.Modified }

func (d *userDocument) value(ref attrRef) (Value, []byte, error) {
	v, raw := d.storedDocument.find(ref)
	return v, raw, d.err
}

func (d *userDocument) write(dst []byte) ([]byte, *largeGroup, error) {
	dst, err := d.renderer.user(dst, d.user)
	return dst, nil, err
}

func (d *userDocument) attribute(ref attrRef) (v Value, ok, handled bool) {
	u := d.user
	switch {
	case ref.urn == AccessURN:
		v, err := d.accessValue(u)
		d.err = errors.Join(d.err, err)
		v, ok = v.Get(ref.attr.Name)
		return v, ok, true
	case ref.urn != "":
		return Value{}, false, false
	case ref.attr.Name == "groups":
		v, err := d.groupsValue(u.ID)
		d.err = errors.Join(d.err, err)
		return v, len(v.Elems) > 0, true
	case ref.attr == attrMeta && (ref.sub == nil || ref.sub.Name == "version"): // which depends on what the answer shows
		var err error
		d.shown, err = d.renderer.user(d.shown[:0], u)
		d.err = errors.Join(d.err, err)
	}
	return d.common(ref, "User", "/Users/", u.ID, u.Version, u.Schemas, u.Created, u.Modified)
}

func (d *userDocument) accessValue(u *directory.User) (Value, error) {
	all, err := d.sn.Accesses(u.AccountID)
	if err != nil {
		return Value{}, err
	}
	raw, err := d.appendAccesses(nil, ofTenant(all, d.tenant.ID))
	if err != nil {
		return Value{}, err
	}
	return decodeRaw(raw), nil
}

func (d *userDocument) groupsValue(user directory.ID) (Value, error) {
	ids, err := d.sn.GroupsOf(d.tenant.ID, user)
	if err != nil {
		return Value{}, err
	}
	raw, err := d.appendGroups(nil, ids)
	if err != nil {
		return Value{}, err
	}
	return decodeRaw(raw), nil
}

func text(s string) Value { return Value{Kind: String, Text: s} }

// common answers for the attributes that every resource has.
func (r *renderer) common(ref attrRef, resourceType, path string, id directory.ID, version uint64, schemas []byte, created, modified time.Time) (v Value, ok, handled bool) {
	switch ref.attr {
	case attrID:
		return text(id.String()), true, true
	case attrSchemas:
		return decodeRaw(schemas), true, true
	case attrMeta:
		return Value{Kind: Object, Members: []Member{
			{"resourceType", text(resourceType)},
			{"created", text(string(appendTime(nil, created)))},
			{"lastModified", text(string(appendTime(nil, modified)))},
			{"location", text(r.base + path + id.String())},
			{"version", text(string(appendETag(nil, version, r.derived)))},
		}}, true, true
	}
	return Value{}, false, false
}

// groupDocument is a group as a filter sees it.
type groupDocument struct {
	storedDocument
	*renderer
	group  *directory.Group
	limit  int            // members that write appends
	err    error          // of a look-up; it is no answer of the filter
	wanted []directory.ID // the only members that the filter asks for; nil: it may ask for any
}

func (d *groupDocument) total() (int64, error) { return d.sn.GroupCount(d.tenant.ID) }

func (d *groupDocument) each(after directory.ID, reverse bool, skip int, fn func() bool) error {
	take := func(g *directory.Group) bool {
		d.group, d.doc = g, g.Attributes
		return fn()
	}
	if reverse {
		return d.sn.GroupsBefore(d.tenant.ID, after, skip, take)
	}
	return d.sn.Groups(d.tenant.ID, after, skip, take)
}

func (d *groupDocument) names(r directory.NameRange, fn func(string, directory.ID) bool) error {
	return d.sn.GroupNames(d.tenant.ID, r, fn)
}

func (d *groupDocument) find(terms []equality) ([]directory.ID, bool, error) {
	return indexed(terms, func(name, text string) ([]directory.ID, bool, error) {
		switch name {
		case "displayName":
			id, err := d.sn.GroupByName(d.tenant.ID, text)
			return one(id), true, err
		case "externalId":
			ids, err := d.sn.GroupsByExternalID(d.tenant.ID, text)
			return ids, true, err
		case "members":
			ids, err := d.sn.GroupsOf(d.tenant.ID, parseID(text))
			return ids, true, err
		}
		return nil, false, nil
	})
}

func (d *groupDocument) get(id directory.ID) (bool, error) {
	g, err := d.sn.Group(d.tenant.ID, id)
	if err != nil && directory.KindOf(err) == directory.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	d.group, d.doc = g, g.Attributes
	return true, nil
}

func (d *groupDocument) id() directory.ID { return d.group.ID }

func (d *groupDocument) match(f *Filter) (bool, error) {
	ok := f.match(&d.storedDocument)
	return ok, d.err
}

func (d *groupDocument) times() (created, modified time.Time) {
	return d.group.Created, d.group.Modified
}

func (d *groupDocument) value(ref attrRef) (Value, []byte, error) {
	if ref.attr == attrMembers { // of which there may be many
		raw, _, _, err := d.members([]byte{'['}, d.group.ID, directory.ID{}, 1)
		return Value{}, append(raw, ']'), err
	}
	v, raw := d.storedDocument.find(ref)
	return v, raw, d.err
}

func (d *groupDocument) write(dst []byte) ([]byte, *largeGroup, error) {
	d.derived = 0 // of the user before
	dst, last, more, err := d.renderer.group(dst, d.group, d.limit)
	if err != nil || !more {
		return dst, nil, err
	}
	return append(dst, `]}`...), &largeGroup{d.group.ID, last, len(dst)}, nil
}

// wantedMembers returns the ids that a filter asks members for when it asks for nothing else of
// them, so that a large group is not read to find one member. Such a filter says the same of those
// members alone as of all.
func wantedMembers(f *Filter) (ids []directory.ID) {
	for i := range f.nodes {
		n := &f.nodes[i]
		if n.ref.attr == nil || n.ref.attr.Name != "members" {
			continue
		}
		if n.op == opPath {
			if !f.positive(n.first) {
				return nil // it may hold for a member that is not named
			}
			continue // what is asked of the element are nodes of their own
		}
		if n.op != opEq && n.op != opNe || n.ref.sub != nil && n.ref.sub.Name != "value" {
			return nil
		}
		v := n.lit.value()
		if v.Kind != String {
			return nil
		}
		ids = append(ids, parseID(v.Text))
	}
	return ids
}

// positive reports whether nothing in that part of a filter is denied.
func (f *Filter) positive(id int32) bool {
	switch n := &f.nodes[id]; n.op {
	case opNot, opNe:
		return false
	case opAnd, opOr:
		for id = n.first; ; id = f.nodes[id].next {
			if !f.positive(id) {
				return false
			}
			if f.nodes[id].next == 0 {
				return true
			}
		}
	}
	return true
}

func (d *groupDocument) attribute(ref attrRef) (v Value, ok, handled bool) {
	g := d.group
	if ref.urn == "" && ref.attr.Name == "members" {
		v, err := d.membersValue(g.ID)
		d.err = errors.Join(d.err, err)
		return v, len(v.Elems) > 0, true
	}
	if ref.urn != "" {
		return Value{}, false, false
	}
	d.derived = 0 // of the user before
	return d.common(ref, "Group", "/Groups/", g.ID, g.Version, g.Schemas, g.Created, g.Modified)
}

func (d *groupDocument) membersValue(group directory.ID) (Value, error) {
	if d.wanted == nil {
		raw, _, _, err := d.members([]byte{'['}, group, directory.ID{}, math.MaxInt)
		if err != nil {
			return Value{}, err
		}
		return decodeRaw(append(raw, ']')), nil
	}
	list := Value{Kind: Array}
	for _, id := range d.wanted {
		in, err := d.sn.IsMember(d.tenant.ID, group, id)
		if err != nil {
			return Value{}, err
		}
		if in {
			list.Elems = append(list.Elems, memberValue(directory.Member{ID: id, Kind: directory.MemberUser}))
		}
	}
	return list, nil
}
