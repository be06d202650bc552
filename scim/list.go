package scim

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// query is what a list request asks for.
type query struct {
	filter *Filter // nil: everything
	p      *Projection
	start  int // startIndex, from 1
	count  int // resources of the page
}

// parameters reads the query of a request. What cannot be read is refused, because a filter that
// was dropped would answer with everybody.
func (q *request) parameters() (url.Values, error) {
	values, err := url.ParseQuery(q.r.URL.RawQuery)
	if err != nil {
		return nil, invalidSyntax("the query of the URL cannot be read")
	}
	for _, name := range []string{"filter", "startIndex", "count", "attributes", "excludedAttributes"} {
		if len(values[name]) > 1 {
			return nil, invalidSyntax("the parameter %s is given twice", name)
		}
	}
	return values, nil
}

// projection reads the parameters attributes and excludedAttributes.
func (q *request) projection(rt *ResourceType) (*Projection, error) {
	if q.r.URL.RawQuery == "" {
		return q.tenant.everything(rt), nil
	}
	values, err := q.parameters()
	if err != nil {
		return nil, err
	}
	return q.project(rt, values)
}

func (q *request) project(rt *ResourceType, values url.Values) (*Projection, error) {
	attributes, excluded := values.Get("attributes"), values.Get("excludedAttributes")
	if attributes == "" && excluded == "" {
		return q.tenant.everything(rt), nil
	}
	return parseProjection(attributes, excluded, rt, q.Limits.Filter)
}

func (q *request) query(rt *ResourceType) (*query, error) {
	values, err := q.parameters()
	if err != nil {
		return nil, err
	}
	out := &query{}
	if out.p, err = q.project(rt, values); err != nil {
		return nil, err
	}
	if text := values.Get("filter"); text != "" || values.Has("filter") {
		if out.filter, err = parseFilter(text, rt, q.Limits.Filter); err != nil {
			return nil, err
		}
	}
	if out.start, err = number(values, "startIndex", 1); err != nil {
		return nil, err
	}
	if out.count, err = number(values, "count", q.Limits.PageDefault); err != nil {
		return nil, err
	}
	out.start = max(out.start, 1)
	out.count = min(max(out.count, 0), q.Limits.PageMax)
	return out, nil
}

// number reads an integer parameter; one beyond what an int holds counts as the largest.
func number(values url.Values, name string, missing int) (int, error) {
	text := values.Get(name)
	if text == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, invalidValue("%s must be an integer", name)
	}
	return n, nil
}

// page collects the resources of one page out of all that match.
type page struct {
	*query
	total int
	n     int // resources on the page
}

// take counts a match and reports whether it is on the page.
func (p *page) take() bool {
	p.total++
	if p.total < p.start || p.n == p.count {
		return false
	}
	p.n++
	return true
}

// head appends the fields of a ListResponse before its resources.
func (p *page) head(dst []byte) []byte {
	dst = append(dst, `{"schemas":["`+listURN+`"],"totalResults":`...)
	dst = strconv.AppendInt(dst, int64(p.total), 10)
	dst = append(dst, `,"startIndex":`...)
	dst = strconv.AppendInt(dst, int64(p.start), 10)
	dst = append(dst, `,"itemsPerPage":`...)
	dst = strconv.AppendInt(dst, int64(p.n), 10)
	return append(dst, `,"Resources":[`...)
}

// sendPage answers with the resources that b holds.
func (q *request) sendPage(p *page, b []byte) {
	var room [192]byte
	head := p.head(room[:0])
	header := q.w.Header()
	header["Content-Type"] = contentTypeHeader
	header["Content-Length"] = []string{strconv.Itoa(len(head) + len(b))}
	q.w.WriteHeader(http.StatusOK)
	if q.r.Method != http.MethodHead {
		_, _ = q.w.Write(head) // the client is gone when one fails
		_, _ = q.w.Write(b)
	}
}

func (q *request) listUsers() error {
	query, err := q.query(q.tenant.user)
	if err != nil {
		return err
	}
	return withBuffer(func(b []byte) ([]byte, error) {
		p := &page{query: query}
		err := q.Service.View(q.r.Context(), func(sn *directory.Snapshot) (err error) {
			b, err = q.usersPage(sn, p, b)
			return err
		})
		if err != nil {
			return b, err
		}
		b = append(b, `]}`...)
		q.sendPage(p, b)
		return b, nil
	})
}

func (q *request) usersPage(sn *directory.Snapshot, p *page, b []byte) (_ []byte, err error) {
	r := q.renderer(sn, p.p)
	write := func(u *directory.User) error {
		if p.n > 1 {
			b = append(b, ',')
		}
		var err error
		b, err = r.user(b, u)
		return err
	}
	if p.filter == nil {
		total, err := sn.UserCount(q.tenant.ID)
		if err != nil {
			return b, err
		}
		err = everyOf(p, total, func(skip int, fn func(*directory.User) bool) error {
			return sn.Users(q.tenant.ID, directory.ID{}, skip, fn)
		}, write)
		return b, err
	}
	doc := &userDocument{renderer: r}
	doc.virtual = doc.attribute
	match := func(u *directory.User) error {
		doc.user, doc.doc = u, u.Attributes
		if p.filter.match(&doc.storedDocument) && p.take() {
			return errors.Join(doc.err, write(u))
		}
		return doc.err
	}
	ids, indexed, err := q.findUsers(sn, p.filter)
	if err != nil {
		return b, err
	}
	if indexed {
		for _, id := range ids {
			var u directory.User
			if found, err := sn.UserResource(&u, q.tenant.ID, id); err != nil {
				return b, err
			} else if found {
				if err := match(&u); err != nil {
					return b, err
				}
			}
		}
		return b, nil
	}
	err = scanAll(q, func(fn func(*directory.User) bool) error { return sn.Users(q.tenant.ID, directory.ID{}, 0, fn) }, match)
	return b, err
}

// everyOf writes the page of an unfiltered list: the total is counted already, and what is before
// the page is skipped.
func everyOf[T any](p *page, total int64, read func(skip int, fn func(*T) bool) error, write func(*T) error) error {
	p.total = int(total)
	if p.count == 0 || p.start > p.total {
		return nil
	}
	var failed error
	err := read(p.start-1, func(v *T) bool {
		p.n++
		failed = write(v)
		return failed == nil && p.n < p.count
	})
	if failed != nil {
		return failed
	}
	return err
}

// scanAll looks at every resource until the client is gone.
func scanAll[T any](q *request, read func(func(*T) bool) error, match func(*T) error) error {
	n := 0
	var failed error
	err := read(func(v *T) bool {
		if n++; n%256 == 0 {
			if failed = q.r.Context().Err(); failed != nil {
				return false
			}
		}
		failed = match(v)
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	return err
}

// findUsers looks for an index that answers a term which every match satisfies.
func (q *request) findUsers(sn *directory.Snapshot, f *Filter) (ids []directory.ID, found bool, err error) {
	for _, e := range f.equalities() {
		if e.ref.urn != "" || e.literal.Kind != String {
			continue
		}
		switch e.ref.attr.Name {
		case "id":
			return one(parseID(e.literal.Text)), true, nil
		case "userName":
			id, err := sn.UserByName(q.tenant.ID, e.literal.Text)
			return one(id), true, err
		case "externalId":
			ids, err = sn.UsersByExternalID(q.tenant.ID, e.literal.Text)
			return ids, true, err
		case "emails":
			if e.ref.sub == nil || e.ref.sub.Name == "value" {
				ids, err = sn.UsersByEmail(q.tenant.ID, e.literal.Text)
				return ids, true, err
			}
		}
	}
	return nil, false, nil
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

// userDocument is a user as a filter sees it: what is stored, and what is derived on demand.
type userDocument struct {
	storedDocument
	*renderer
	user *directory.User
	err  error // of a look-up; it is no answer of the filter
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

func (q *request) listGroups() error {
	query, err := q.query(q.tenant.group)
	if err != nil {
		return err
	}
	return withBuffer(func(b []byte) ([]byte, error) {
		p := &groupPage{page: page{query: query}}
		err := q.Service.View(q.r.Context(), func(sn *directory.Snapshot) (err error) {
			b, err = q.groupsPage(sn, p, b)
			return err
		})
		if err != nil {
			return b, err
		}
		b = append(b, `]}`...)
		if len(p.large) == 0 {
			q.sendPage(&p.page, b)
			return b, nil
		}
		q.w.Header()["Content-Type"] = contentTypeHeader
		q.w.WriteHeader(http.StatusOK)
		if q.r.Method == http.MethodHead {
			return b, nil
		}
		var room [192]byte
		_, _ = q.w.Write(p.head(room[:0])) // the client is gone when it fails
		q.stream(b, p.p, p.large)
		return b, nil
	})
}

// groupPage is a page with the groups on it that are too large for one snapshot.
type groupPage struct {
	page
	large []largeGroup
}

func (q *request) groupsPage(sn *directory.Snapshot, p *groupPage, b []byte) (_ []byte, err error) {
	r := q.renderer(sn, p.p)
	limit := memberLimit(p.p)
	write := func(g *directory.Group) error {
		if p.n > 1 {
			b = append(b, ',')
		}
		var last directory.ID
		var more bool
		var err error
		if b, last, more, err = r.group(b, g, limit); more {
			p.large = append(p.large, largeGroup{g.ID, last, len(b)})
			b = append(b, `]}`...)
		}
		return err
	}
	if p.filter == nil {
		total, err := sn.GroupCount(q.tenant.ID)
		if err != nil {
			return b, err
		}
		err = everyOf(&p.page, total, func(skip int, fn func(*directory.Group) bool) error {
			return sn.Groups(q.tenant.ID, directory.ID{}, skip, fn)
		}, write)
		return b, err
	}
	doc := &groupDocument{renderer: r, wanted: wantedMembers(p.filter)}
	doc.virtual = doc.attribute
	match := func(g *directory.Group) error {
		doc.group, doc.doc = g, g.Attributes
		if p.filter.match(&doc.storedDocument) && p.take() {
			return errors.Join(doc.err, write(g))
		}
		return doc.err
	}
	ids, indexed, err := q.findGroups(sn, p.filter)
	if err != nil {
		return b, err
	}
	if !indexed {
		err = scanAll(q, func(fn func(*directory.Group) bool) error { return sn.Groups(q.tenant.ID, directory.ID{}, 0, fn) }, match)
		return b, err
	}
	for _, id := range ids {
		g, err := sn.Group(q.tenant.ID, id)
		if directory.KindOf(err) == directory.NotFound && err != nil {
			continue
		}
		if err != nil {
			return b, err
		}
		if err := match(g); err != nil {
			return b, err
		}
	}
	return b, nil
}

func (q *request) findGroups(sn *directory.Snapshot, f *Filter) (ids []directory.ID, found bool, err error) {
	for _, e := range f.equalities() {
		if e.ref.urn != "" || e.literal.Kind != String {
			continue
		}
		switch e.ref.attr.Name {
		case "id":
			return one(parseID(e.literal.Text)), true, nil
		case "displayName":
			id, err := sn.GroupByName(q.tenant.ID, e.literal.Text)
			return one(id), true, err
		case "externalId":
			ids, err = sn.GroupsByExternalID(q.tenant.ID, e.literal.Text)
			return ids, true, err
		case "members":
			if e.ref.sub == nil || e.ref.sub.Name == "value" {
				ids, err = sn.GroupsOf(q.tenant.ID, parseID(e.literal.Text))
				return ids, true, err
			}
		}
	}
	return nil, false, nil
}

// groupDocument is a group as a filter sees it.
type groupDocument struct {
	storedDocument
	*renderer
	group  *directory.Group
	err    error          // of a look-up; it is no answer of the filter
	wanted []directory.ID // the only members that the filter asks for; nil: it may ask for any
}

// wantedMembers returns the ids that a filter asks members for when it asks for nothing else of
// them, so that a large group is not read to find one member. Such a filter says the same of those
// members alone as of all.
func wantedMembers(f *Filter) (ids []directory.ID) {
	for i := range f.nodes {
		n := &f.nodes[i]
		if n.op < opPath || n.ref.attr == nil || n.ref.attr.Name != "members" {
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
