package scim

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// params are the parameters of a list as they were sent: in the query of a URL, or in a SearchRequest.
type params struct {
	attributes, excluded string
	filter               string
	sortBy, sortOrder    string
	start, count         string
	cursor               string
	filtered, byCursor   bool // filter and cursor were given, if only empty
}

// query is what a list asks for, of one type or of both.
type query struct {
	types      []typeQuery
	sorted     bool
	descending bool
	start      int     // startIndex, from 1; without a cursor
	count      int     // resources of the page
	cursor     *cursor // nil: by startIndex
	seal       sealing // of cursors, where there is one
}

// typeQuery is what a list asks of one type.
type typeQuery struct {
	rt     *ResourceType
	filter *Filter // nil: everything
	p      *Projection
	by     attrRef // what to sort by; without attr: the type does not have it
}

// parameters reads the query of a request. What cannot be read is refused, because a filter that
// was dropped would answer with everybody; so tolerant mode reads a name in any case, and strict mode refuses it.
func (q *request) parameters(more ...string) (url.Values, error) {
	// A semicolon is a character like others (RFC 3986 section 3.4); the library takes it for a mistake.
	values, err := url.ParseQuery(strings.ReplaceAll(q.r.URL.RawQuery, ";", "%3B"))
	if err != nil {
		return nil, invalidSyntax("the query of the URL cannot be read")
	}
	for _, names := range [][]string{{"filter", "startIndex", "count", "attributes", "excludedAttributes"}, more} {
		for _, name := range names {
			for key, given := range values {
				switch {
				case key == name || !equalFold(key, name):
				case q.tenant.mode.Strict:
					return nil, invalidSyntax("the parameter %s must be written %s", clip(key), name)
				default:
					values[name] = append(values[name], given...)
				}
			}
			if len(values[name]) > 1 {
				return nil, invalidSyntax("the parameter %s is given twice", name)
			}
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
	return q.project(rt, values.Get("attributes"), values.Get("excludedAttributes"))
}

func (q *request) project(rt *ResourceType, attributes, excluded string) (*Projection, error) {
	if attributes == "" && excluded == "" {
		return q.tenant.everything(rt), nil
	}
	return parseProjection(attributes, excluded, rt, q.Limits.Filter)
}

// list answers with the page that the URL asks for.
func (q *request) list(types ...*ResourceType) error {
	p := params{}
	if q.r.URL.RawQuery != "" {
		v, err := q.parameters("sortBy", "sortOrder", "cursor")
		if err != nil {
			return err
		}
		p = params{attributes: v.Get("attributes"), excluded: v.Get("excludedAttributes"), filter: v.Get("filter"), filtered: v.Has("filter"),
			sortBy: v.Get("sortBy"), sortOrder: v.Get("sortOrder"), start: v.Get("startIndex"), count: v.Get("count"), cursor: v.Get("cursor"), byCursor: v.Has("cursor")}
	}
	return q.answer(p, types)
}

func (q *request) listUsers() error  { return q.list(q.tenant.user) }
func (q *request) listGroups() error { return q.list(q.tenant.group) }
func (q *request) listAll() error    { return q.list(q.tenant.user, q.tenant.group) }

// query understands parameters, all of them before anything is read.
func (q *request) query(in params, types []*ResourceType) (*query, error) {
	out := &query{types: make([]typeQuery, len(types))}
	var err error
	for i, rt := range types {
		t := &out.types[i]
		t.rt = rt
		if t.p, err = q.project(rt, in.attributes, in.excluded); err != nil {
			return nil, err
		}
		if in.filtered {
			if t.filter, err = parseFilter(in.filter, rt, q.Limits.Filter, types...); err != nil {
				return nil, err
			}
		}
	}
	if err := q.sorting(out, in.sortBy, in.sortOrder); err != nil {
		return nil, err
	}
	if in.byCursor {
		return out, q.cursorPage(out, in)
	}
	if out.start, err = number(in.start, "startIndex", "invalidValue", 1); err != nil {
		return nil, err
	}
	if out.count, err = number(in.count, "count", "invalidValue", q.Limits.PageDefault); err != nil {
		return nil, err
	}
	out.start = max(out.start, 1)
	out.count = min(max(out.count, 0), q.Limits.PageMax)
	return out, nil
}

// number reads an integer parameter; one beyond what an int holds counts as the largest.
func number(text, name, scimType string, missing int) (int, error) {
	if text == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, badRequest(scimType, "%s must be an integer", name)
	}
	return n, nil
}

// listing is a page on its way, in one snapshot.
type listing struct {
	*request
	*query
	shelves        []shelf // of query.types
	b              []byte  // the resources of the page
	large          []largeGroup
	until          time.Time // when it stops looking
	total          int
	n              int // resources of the page so far
	next, previous *cursor
}

// answer answers with the page that parameters ask for.
func (q *request) answer(in params, types []*ResourceType) error {
	query, err := q.query(in, types)
	if err != nil {
		return err
	}
	return withBuffer(func(b []byte) ([]byte, error) {
		l := &listing{request: q, query: query, b: b}
		var err error
		if query.sorted && !query.kept() {
			err = q.ranks(l.read)
		} else {
			err = l.read()
		}
		if err != nil {
			return l.b, err
		}
		l.b = append(l.b, `]}`...)
		l.send()
		return l.b, nil
	})
}

// read makes the page of a snapshot.
func (l *listing) read() error {
	return l.Service.View(l.r.Context(), func(sn *directory.Snapshot) error {
		l.until = time.Now().Add(l.Limits.QueryTime)
		for i := range l.types {
			l.shelves = append(l.shelves, l.shelf(sn, &l.types[i]))
		}
		switch {
		case l.sorted:
			return l.inOrder()
		case l.cursor != nil:
			return l.onward()
		}
		return l.byIndex()
	})
}

// head appends the fields of a ListResponse before its resources.
func (l *listing) head(dst []byte) []byte {
	dst = append(dst, `{"schemas":["`+listURN+`"],"totalResults":`...)
	dst = strconv.AppendInt(dst, int64(l.total), 10)
	if l.cursor == nil {
		dst = append(dst, `,"startIndex":`...)
		dst = strconv.AppendInt(dst, int64(l.start), 10)
	}
	dst = append(dst, `,"itemsPerPage":`...)
	dst = strconv.AppendInt(dst, int64(l.n), 10)
	dst = l.appendCursor(dst, "previousCursor", l.previous)
	dst = l.appendCursor(dst, "nextCursor", l.next)
	return append(dst, `,"Resources":[`...)
}

// send answers with the page, outside of the snapshot: the client may be slow.
func (l *listing) send() {
	var room [192]byte
	head := l.head(room[:0])
	header := l.w.Header()
	header["Content-Type"] = contentTypeHeader
	if len(l.large) == 0 {
		header["Content-Length"] = []string{strconv.Itoa(len(head) + len(l.b))}
	}
	l.w.WriteHeader(http.StatusOK)
	if l.r.Method == http.MethodHead {
		return
	}
	_, _ = l.w.Write(head) // the client is gone when one fails
	if len(l.large) == 0 {
		_, _ = l.w.Write(l.b)
		return
	}
	l.stream(l.b, l.types[len(l.types)-1].p, l.large) // groups are the last type of a query
}

// write puts the resource in hand on the page.
func (l *listing) write(s shelf) error {
	if l.n > 0 {
		l.b = append(l.b, ',')
	}
	l.n++
	b, large, err := s.write(l.b)
	l.b = b
	if large != nil {
		l.large = append(l.large, *large)
	}
	return err
}

// count adds up the resources of all types, from counters; it is the total of a list without filter.
func (l *listing) countAll() error {
	for _, s := range l.shelves {
		n, err := s.total()
		if err != nil {
			return err
		}
		l.total += int(n)
	}
	return nil
}

func (q *query) unfiltered() bool { return q.types[0].filter == nil }

// byIndex makes the page at startIndex in the order of types and ids.
func (l *listing) byIndex() error {
	for i, s := range l.shelves {
		if f := l.types[i].filter; f != nil {
			err := l.visit(i, directory.ID{}, false, func() (bool, error) {
				if l.total++; l.total < l.start || l.n == l.count {
					return true, nil
				}
				return true, l.write(s)
			})
			if err != nil {
				return err
			}
			continue
		}
		before := l.total
		n, err := s.total()
		if err != nil {
			return err
		}
		l.total += int(n)
		if l.n == l.count || l.start > l.total {
			continue
		}
		var failed error
		err = s.each(directory.ID{}, false, max(l.start-1-before, 0), func() bool {
			failed = l.write(s)
			return failed == nil && l.n < l.count
		})
		if err := errors.Join(failed, err); err != nil {
			return err
		}
	}
	return nil
}

// visit takes the matching resources of a type in hand, in the order of ids as shelf.each does, until fn has had enough
// or the client is gone.
func (l *listing) visit(kind int, after directory.ID, reverse bool, fn func() (bool, error)) error {
	s, f := l.shelves[kind], l.types[kind].filter
	var failed error
	try := func() (more bool) {
		if f != nil {
			ok, err := s.match(f)
			if failed = err; err != nil || !ok {
				return err == nil
			}
		}
		more, failed = fn()
		return more && failed == nil
	}
	if f != nil {
		ids, found, err := l.find(kind)
		if err != nil {
			return err
		}
		if found {
			return l.visitFound(s, beyond(ids, after, reverse), try, &failed)
		}
	}
	n := 0
	err := s.each(after, reverse, 0, func() bool {
		if n++; n%16 == 0 { // what is derived takes its time
			if failed = l.late(); failed != nil {
				return false
			}
		}
		return try()
	})
	return errors.Join(failed, err)
}

// late is why a query stops that nobody waits for any more, or that has looked at resources for too long.
func (l *listing) late() error {
	if err := l.r.Context().Err(); err != nil {
		return err
	}
	if time.Now().After(l.until) {
		return badRequest("tooMany", "the query looks at too many resources; narrow it by a filter on id, userName, externalId, displayName or emails")
	}
	return nil
}

func (l *listing) visitFound(s shelf, ids []directory.ID, try func() bool, failed *error) error {
	for _, id := range ids {
		found, err := s.get(id)
		if err != nil {
			return err
		}
		if found && !try() {
			return *failed
		}
	}
	return nil
}

// beyond puts ids in order and leaves out those that are not beyond a place.
func beyond(ids []directory.ID, after directory.ID, reverse bool) []directory.ID {
	order := func(a, b directory.ID) int {
		if reverse {
			return bytes.Compare(b[:], a[:])
		}
		return bytes.Compare(a[:], b[:])
	}
	slices.SortFunc(ids, order)
	if after.IsZero() {
		return ids
	}
	return slices.DeleteFunc(ids, func(id directory.ID) bool { return order(id, after) <= 0 })
}

// find looks for what answers the filter of a type without a look at all of them: a term that none of that type
// satisfies, or one that an index answers.
func (l *listing) find(kind int) (ids []directory.ID, found bool, err error) {
	t := &l.types[kind]
	terms := t.filter.equalities()
	for _, e := range terms {
		if e.ref.attr == attrMeta && e.ref.sub.Name == "resourceType" && e.literal.Text != t.rt.Name || len(l.types) > 1 && !t.rt.has(e.ref.attr) {
			return nil, true, nil
		}
	}
	return l.shelves[kind].find(terms)
}

// has reports whether an attribute is one of the type.
func (rt *ResourceType) has(a *Attribute) bool {
	if a == attrID || a == attrMeta || a == attrSchemas || slices.Contains(rt.Core.Attributes, a) {
		return true
	}
	return slices.ContainsFunc(rt.Extensions, func(s *Schema) bool { return slices.Contains(s.Attributes, a) })
}

// place is where a resource stands in a list.
type place struct {
	key  string // what the list is sorted by; see sortKey
	kind int    // index of its type in the query
	id   directory.ID
}

func (p place) isZero() bool { return p.id.IsZero() }

// onward makes the page at a cursor in the order of types and ids. It begins where the cursor is and ends one behind
// the page, so that it costs the same at any depth. Only the first page of a filter looks at everything, to count it.
func (l *listing) onward() error {
	at, back := l.cursor.at, l.cursor.back
	l.total = l.cursor.total
	counting := l.total < 0
	if l.unfiltered() {
		l.total, counting = 0, false
		if err := l.countAll(); err != nil {
			return err
		}
	}
	var run []place
	var more bool
	matched := 0
	for i := range l.shelves {
		kind, after := i, directory.ID{}
		if back {
			kind = len(l.shelves) - 1 - i
		}
		switch {
		case at.isZero():
		case kind == at.kind:
			after = at.id
		case kind < at.kind != back:
			continue
		}
		s := l.shelves[kind]
		err := l.visit(kind, after, back, func() (bool, error) {
			if matched++; matched > l.count {
				more = true
				return counting, nil
			}
			run = append(run, place{kind: kind, id: s.id()})
			if back {
				return true, nil
			}
			return true, l.write(s)
		})
		if err != nil {
			return err
		}
		if more && !counting {
			break
		}
	}
	if counting {
		l.total = matched
	}
	if back {
		slices.Reverse(run)
		if err := l.writeAll(run); err != nil {
			return err
		}
	}
	l.link(run, more)
	return nil
}

// writeAll puts resources of this snapshot on the page.
func (l *listing) writeAll(run []place) error {
	for i := range run {
		s := l.shelves[run[i].kind]
		found, err := s.get(run[i].id)
		if err == nil && !found {
			err = directory.ErrDamaged // an index names what is not there
		}
		if err == nil {
			err = l.write(s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
