package scim

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// sorting reads sortBy and sortOrder (RFC 7644 section 3.4.2.3). A name that nothing has is refused in tolerant mode
// too: a list that is silently not sorted misleads whoever reads it.
func (q *request) sorting(out *query, by, order string) error {
	switch {
	case order == "" || order == "ascending":
	case order == "descending":
		out.descending = true
	case q.tenant.mode.Strict:
		return invalidValue("sortOrder must be ascending or descending")
	case equalFold(order, "descending"):
		out.descending = true
	case !equalFold(order, "ascending"):
		return invalidValue("sortOrder must be ascending or descending")
	}
	if by == "" {
		return nil
	}
	for i := range out.types {
		t := &out.types[i]
		ref, ok := t.rt.lookup(by)
		if !ok {
			continue
		}
		if ref.attr != nil && ref.sub == nil && ref.attr.Type == TypeComplex && (ref.attr.MultiValued || !q.tenant.mode.Strict) {
			ref.sub = find(ref.attr.Sub, "value")
		}
		switch target := ref.target(); {
		case target == nil || target.Type == TypeComplex:
			return invalidValue("sortBy %q needs the name of a simple attribute or of a sub-attribute", clipName(by))
		case hidden(ref.attr) || hidden(target):
			return invalidValue("sortBy names the attribute %q, by which nothing can be sorted", clipName(by))
		}
		t.by, out.sorted = ref, true
	}
	if !out.sorted {
		return invalidValue("sortBy names an unknown attribute %q", clipName(by))
	}
	return nil
}

// The first byte of a key: resources without a value come last in ascending order and first in descending order.
const (
	keyPresent = 1
	keyMissing = 2
)

// maxSortKey is how many bytes of a value count for the order.
const maxSortKey = 4096

// sortKey appends the key of the resource in hand: bytes that are in the order of the values. Texts are in the form in
// which they are compared, by code points; dates are instants; numbers compare as what they are. A multi-valued
// attribute counts by its primary value or else by its first.
func sortKey(dst []byte, s shelf, ref attrRef) ([]byte, error) {
	if ref.attr == nil {
		return append(dst, keyMissing), nil
	}
	if ref.attr == attrMeta && ref.sub.Type == TypeDateTime {
		t, modified := s.times()
		if ref.sub.Name == "lastModified" {
			t = modified
		}
		return timeKey(append(dst, keyPresent), t), nil
	}
	v, raw, err := s.value(ref)
	if err != nil {
		return dst, err
	}
	if raw == nil { // the attribute was made, not stored
		raw = appendValue(nil, v)
	}
	if v = (Value{}); len(raw) > 0 {
		if raw = chosen(raw, ref.sub); raw != nil {
			v = aliasRaw(raw)
		}
	}
	start := len(dst)
	dst = valueKey(append(dst, keyPresent), v, ref.target())
	if len(dst) == start+1 {
		dst[start] = keyMissing
	}
	return dst[:min(len(dst), start+maxSortKey)], nil
}

// chosen returns the value that stands for an attribute: of its primary element or else of the first, with sub that of
// the sub-attribute; nil where there is none.
func chosen(raw []byte, sub *Attribute) []byte {
	if raw[0] == '[' {
		elems := scanElements(raw)
		raw = nil
		for elem, ok := elems.next(); ok; elem, ok = elems.next() {
			primary := string(rawMember(elem, "primary")) == "true"
			if raw == nil || primary {
				raw = elem
			}
			if primary {
				break
			}
		}
	}
	if sub != nil {
		raw = rawMember(raw, sub.Name)
	}
	if len(raw) > 0 && raw[0] == '[' {
		elems := scanElements(raw)
		raw, _ = elems.next()
	}
	return raw
}

// valueKey appends the key of one value, nothing for one that is empty or not of the type.
func valueKey(dst []byte, v Value, a *Attribute) []byte {
	switch a.Type {
	case TypeBoolean:
		b, ok := v.boolean()
		switch {
		case !ok:
			return dst
		case b:
			return append(dst, 1)
		}
		return append(dst, 0)
	case TypeInteger, TypeDecimal:
		if v.Kind != Number {
			return dst
		}
		return numberKey(dst, v.Text)
	}
	if v.Kind != String {
		return dst
	}
	switch {
	case a.Type == TypeDateTime:
		t, ok := parseInstant(v.Text)
		if !ok {
			return dst
		}
		return timeKey(dst, t)
	case a.CaseExact || a.Type == TypeReference || a.Type == TypeBinary:
		return append(dst, v.Text...)
	}
	var buf [256]byte
	return append(dst, foldView(buf[:], v.Text)...)
}

// timeKey appends the key of an instant, to the nanosecond.
func timeKey(dst []byte, t time.Time) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(t.Unix())^1<<63)
	return binary.BigEndian.AppendUint32(dst, uint32(t.Nanosecond()))
}

// numberKey appends the key of a JSON number: its sign, the place of its point, its digits; all of it turned over
// below zero, with an end that is above any digit.
func numberKey(dst []byte, text string) []byte {
	d := readDecimal(text)
	if d.sign == 0 {
		return append(dst, 1)
	}
	start := len(dst)
	dst = append(dst, 2)
	dst = binary.BigEndian.AppendUint64(dst, uint64(d.point)^1<<63)
	last := len(dst)
	for i := range min(d.digits, maxSortKey) {
		dst = append(dst, d.digit(i))
		if d.digit(i) != '0' {
			last = len(dst) // zeros behind it change nothing
		}
	}
	dst = dst[:last]
	if d.sign > 0 {
		return dst
	}
	dst[start] = 0
	for i := start + 1; i < len(dst); i++ {
		dst[i] = ^dst[i]
	}
	return append(dst, 0xff)
}

// compare orders places: by key, as the query says; then by type and id, so that the order is the same at any time.
func (q *query) compare(a, b place) int {
	c := cmp.Compare(a.key, b.key)
	if q.descending {
		c = -c
	}
	if c == 0 {
		c = cmp.Compare(a.kind, b.kind)
	}
	if c == 0 {
		c = bytes.Compare(a.id[:], b.id[:])
	}
	return c
}

// inOrder makes a page of a sorted list.
func (l *listing) inOrder() error {
	if l.kept() {
		s := l.shelves[0]
		if l.types[0].by.attr == attrID {
			return l.along(func(after place, reverse bool, skip int, fn func(place) bool) error {
				return s.each(after.id, reverse, skip, func() bool { return fn(place{id: s.id()}) })
			})
		}
		return l.along(func(after place, reverse bool, skip int, fn func(place) bool) error {
			r := directory.NameRange{After: after.key, Reverse: reverse, Skip: skip}
			return s.names(r, func(name string, id directory.ID) bool { return fn(place{key: name, id: id}) })
		})
	}
	return l.ranked()
}

// kept reports whether the store keeps the resources in the order that a sorted list asks for.
func (q *query) kept() bool {
	t := &q.types[0]
	if len(q.types) > 1 || !q.unfiltered() || t.by.urn != "" {
		return false
	}
	return t.by.attr == attrID || t.by.attr.Name == "userName" && t.rt.Name == "User" || t.by.attr.Name == "displayName" && t.rt.Name == "Group"
}

// How many lists are put in order at a time, each with up to rankingBytes: of one tenant, and in all.
const (
	tenantRankings = 2
	allRankings    = 8
)

// ranks runs fn, which puts a list in order, when it is its turn: a tenant that asks for many at once waits for itself.
func (q *request) ranks(fn func() error) error {
	return q.inTurn(q.tenant.rankings, func() error { return q.inTurn(q.rankings, fn) })
}

func (q *request) inTurn(turn chan struct{}, fn func() error) error {
	late := time.NewTimer(q.Limits.QueryTime)
	defer late.Stop()
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
		return fn()
	case <-late.C:
		return &directory.Error{Kind: directory.Unavailable, Detail: "too many lists are put in order at the same time"}
	case <-q.r.Context().Done():
		return q.r.Context().Err()
	}
}

// along makes a page of a list that the store keeps in order.
func (l *listing) along(read func(after place, reverse bool, skip int, fn func(place) bool) error) error {
	if err := l.countAll(); err != nil {
		return err
	}
	var run []place
	take := func(most int) func(place) bool {
		return func(p place) bool {
			run = append(run, p)
			return len(run) < most
		}
	}
	if l.cursor != nil {
		if err := read(l.cursor.at, l.descending != l.cursor.back, 0, take(l.count+1)); err != nil {
			return err
		}
		return l.turn(run)
	}
	if l.count == 0 || l.start > l.total {
		return nil
	}
	if err := read(place{}, l.descending, l.start-1, take(l.count)); err != nil {
		return err
	}
	return l.writeAll(run)
}

// turn makes the page at a cursor of what was read from there, which is one more than the page where there are others.
func (l *listing) turn(run []place) error {
	more := len(run) > l.count
	run = run[:min(len(run), l.count)]
	if l.cursor.back {
		slices.Reverse(run)
	}
	if err := l.writeAll(run); err != nil {
		return err
	}
	l.link(run, more)
	return nil
}

// ranked makes a page of a list in any order: it looks at every resource once and keeps no more of them than it needs,
// by cursor those of the page, by startIndex those before it too.
func (l *listing) ranked() error {
	if l.cursor == nil && l.unfiltered() {
		if err := l.countAll(); err != nil || l.count == 0 || l.start > l.total {
			return err
		}
		l.total = 0
	}
	r := ranking{compare: l.compare, keep: l.count + 1}
	var at place
	switch {
	case l.cursor == nil && l.count == 0:
		r.keep = 0
	case l.cursor == nil:
		// Whoever needs more than that has failed before: see ranking.cut.
		r.keep = min(l.start, rankingBytes/placeBytes) - 1 + l.count
	default:
		if at = l.cursor.at; l.cursor.back {
			r.compare = func(a, b place) int { return l.compare(b, a) }
		}
	}
	var key []byte
	for i, s := range l.shelves {
		err := l.visit(i, directory.ID{}, false, func() (_ bool, err error) {
			if l.total++; r.keep == 0 {
				return true, nil
			}
			if key, err = sortKey(key[:0], s, l.types[i].by); err != nil {
				return false, err
			}
			p := place{unsafeString(key), i, s.id()}
			if !at.isZero() && r.compare(p, at) <= 0 {
				return true, nil
			}
			return true, r.add(p)
		})
		if err != nil {
			return err
		}
	}
	if err := r.cut(); err != nil {
		return err
	}
	if l.cursor != nil {
		return l.turn(r.list)
	}
	if l.count == 0 || l.start > len(r.list) {
		return nil
	}
	return l.writeAll(r.list[l.start-1 : min(l.start-1+l.count, len(r.list))])
}

// ranking keeps the first places of many.
type ranking struct {
	compare func(a, b place) int
	keep    int
	list    []place
	full    bool // the first keep of list are in order, and whatever is behind the last of them is not among the first
	bytes   int
}

const (
	rankingBytes = 32 << 20 // memory of the places of one request
	placeBytes   = 64       // of a place, beside its key
)

func errTooDeep() error {
	return badRequest("tooMany", "the page lies too deep in a sorted list; read the list by cursor, or filter it")
}

// add takes a place, whose key need not last.
func (r *ranking) add(p place) error {
	if r.full && r.compare(p, r.list[r.keep-1]) >= 0 {
		return nil
	}
	p.key = strings.Clone(p.key)
	r.list = append(r.list, p)
	r.bytes += placeBytes + len(p.key)
	if len(r.list) < 2*r.keep+1024 && r.bytes < rankingBytes {
		return nil
	}
	return r.cut()
}

// cut puts the places in order and lets go of those that are not among the first.
func (r *ranking) cut() error {
	slices.SortFunc(r.list, r.compare)
	if len(r.list) >= r.keep {
		for _, p := range r.list[r.keep:] {
			r.bytes -= placeBytes + len(p.key)
		}
		clear(r.list[r.keep:])
		r.list, r.full = r.list[:r.keep], r.keep > 0
	}
	if r.bytes > rankingBytes/2 {
		return errTooDeep()
	}
	return nil
}
