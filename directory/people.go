package directory

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"sync"
)

// PeopleFilter selects people of a list. Its zero value selects everybody.
type PeopleFilter struct {
	Text          string // in the userName, an e-mail address or the name; without regard to case
	Internal      bool   // internal users alone
	TenantID      ID     // those whom the directory of this tenant manages; zero: of any
	EnvironmentID ID     // those who have or had access to this environment; zero: to any
	Active        *bool  // with or without an active access (to the environment, when one is named) that the actor sees
}

// Seen is a person of a list, with the accesses that the actor may see.
type Seen struct {
	Account  *Account
	Accesses []*Access
}

// PeoplePage is a part of a list of people.
type PeoplePage struct {
	People []Seen
	Next   string // what after has to be for what follows; empty: nothing does
	Looked int    // people looked at for this page, of those whom the actor may see
	Cut    bool   // the page ended because enough were looked at, not because it is full
}

// peopleBudget is how many people one page looks at: a list without an index for what is asked goes on
// from page to page, rather than through everybody at once.
const peopleBudget = 2000

// SeePeople lists the people whom an actor may see, as SeeAccount says, from after on. Those whose userName or
// e-mail address begins with the text come first, by an index; then those who merely have it in
// there or in their name. What one page costs is bounded, whoever and however many there are.
// Errors: Forbidden for who sees nobody; NotFound for an environment or a tenant outside of the
// actor's sight; Invalid for an after that no page gave.
func (s *Snapshot) SeePeople(by Actor, f PeopleFilter, after string, limit int) (*PeoplePage, error) {
	if err := require(by, staff...); err != nil {
		return nil, err
	}
	q := &peopleQuery{Snapshot: s, by: by, filter: f, text: s.fold(strings.TrimSpace(f.Text)), limit: limit, page: &PeoplePage{}, tenants: map[ID]*Tenant{}}
	if err := q.load(); err != nil {
		return nil, err
	}
	if !isKey(q.text) {
		return nil, failf(Invalid, "text", "this text is too long or holds a NUL character")
	}
	return q.page, q.run(after)
}

// peopleQuery makes one page.
type peopleQuery struct {
	*Snapshot
	by      Actor
	filter  PeopleFilter
	text    string // folded
	limit   int
	page    *PeoplePage
	looked  int                 // rows looked at, whoever they are about
	envs    map[ID]*Environment // that the actor sees
	order   []*Environment
	tenants map[ID]*Tenant // that are looked into
}

// load reads what of the directory lies within the actor's sight.
func (q *peopleQuery) load() (err error) {
	if q.order, err = q.SeeEnvironments(q.by); err != nil {
		return err
	}
	q.envs = make(map[ID]*Environment, len(q.order))
	for _, e := range q.order {
		q.envs[e.ID] = e
	}
	if id := q.filter.EnvironmentID; !id.IsZero() {
		if q.envs[id] == nil {
			return notFound("environment")
		}
		q.order = []*Environment{q.envs[id]}
	}
	all, err := q.Tenants()
	if err != nil {
		return err
	}
	for _, t := range all {
		usable := slices.ContainsFunc(q.order, func(e *Environment) bool { return slices.Contains(t.OrganizationIDs, e.OrganizationID) })
		if q.by.SeesTenant(t) || usable {
			q.tenants[t.ID] = t
		}
	}
	if id := q.filter.TenantID; !id.IsZero() && q.tenants[id] == nil {
		return notFound("tenant")
	}
	return nil
}

// run takes the two parts of a list in turn: what an index finds, then what a scan does.
func (q *peopleQuery) run(after string) error {
	kind, cursor, err := cutCursor(after)
	if err != nil {
		return err
	}
	indexed := q.text == "" && q.filter.Internal // of internal users the index holds all
	if indexed && kind == 's' {
		return cursorError(after)
	}
	if indexed || q.text != "" && kind != 's' {
		done, err := q.prefixed(cursor)
		if err != nil || !done || indexed {
			return err
		}
		cursor = nil
	}
	return q.scan(cursor)
}

// pages seals where an index is read on: that may be beside somebody whom the actor does not see. It holds as long as the process.
var pages = sync.OnceValue(func() cipher.AEAD {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it never fails (crypto/rand)
	block, err := aes.NewCipher(secret)
	if err != nil {
		panic(err)
	}
	seal, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return seal
})

// cutCursor reads a Next: p and, sealed, the index with its key, or s and the place of the last one.
func cutCursor(after string) (kind byte, cursor []byte, err error) {
	if after == "" {
		return 0, nil, nil
	}
	cursor, err = base64.RawURLEncoding.DecodeString(after[1:])
	if err == nil && after[0] == 'p' {
		cursor, err = pages().Open(nil, nil, cursor, nil)
	}
	switch {
	case err != nil, after[0] == 's' && len(cursor) != 16, after[0] == 'p' && len(cursor) < 2, after[0] != 's' && after[0] != 'p':
		return 0, nil, cursorError(after)
	}
	return after[0], cursor, nil
}

func cursorError(after string) error {
	return failf(Invalid, "after", "%q is not where a page of this list ends", after)
}

func (q *peopleQuery) next(kind string, cursor []byte) {
	if kind == "p" {
		cursor = pages().Seal(nil, nil, cursor, nil) //nolint:gosec // it makes its own nonce
	}
	q.page.Next = kind + base64.RawURLEncoding.EncodeToString(cursor)
}

// full reports whether the page ends here, because it is full or enough were looked at.
func (q *peopleQuery) full() bool {
	q.page.Cut = q.looked >= peopleBudget && len(q.page.People) < q.limit
	return len(q.page.People) >= q.limit || q.page.Cut
}

// index is one where a text is looked up by its beginning.
type index struct {
	table  *Table
	tenant ID // zero: internal accounts by e-mail address
}

// indexes are those of the tenants that are looked into.
func (q *peopleQuery) indexes() (all []index) {
	for id := range q.tenants {
		if q.filter.Internal || !q.filter.TenantID.IsZero() && id != q.filter.TenantID {
			continue
		}
		all = append(all, index{tableUserName, id}, index{tableUserEmail, id})
	}
	slices.SortFunc(all, func(a, b index) int {
		if n := compareIDs(a.tenant, b.tenant); n != 0 {
			return n
		}
		return strings.Compare(b.table.Name, a.table.Name) // by userName first
	})
	if q.filter.TenantID.IsZero() {
		all = append(all, index{table: tableAccountEmail})
	}
	return all
}

// prefixed lists who is found by the beginning of a userName or an e-mail address, and reports whether that
// was all of them.
func (q *peopleQuery) prefixed(cursor []byte) (done bool, err error) {
	all := q.indexes()
	from := 0
	if len(cursor) > 0 {
		from = int(binary.BigEndian.Uint16(cursor))
		cursor = cursor[2:]
	}
	for i := from; i < len(all) && i <= math.MaxUint16; i++ {
		rg := Range{Prefix: append(prefixOf(all[i]), q.text...)}
		if i == from && len(cursor) > 0 {
			rg.After = cursor
		}
		type hit struct {
			key []byte
			id  ID
		}
		for {
			var hits []hit
			err := q.r.Scan(all[i].table, rg, func(k, v []byte) bool {
				h := hit{bytes.Clone(k), lastID(append(make([]byte, 16), k...))}
				if all[i].table == tableUserName {
					h.id = toID(v)
				}
				hits = append(hits, h)
				return len(hits) < max(q.limit, 64)
			})
			if err != nil {
				return false, err
			}
			for _, h := range hits {
				if q.full() {
					q.next("p", append(binary.BigEndian.AppendUint16(nil, uint16(i)), rg.After...)) // i fits
					return false, nil
				}
				rg.After = h.key
				if err := q.hit(all[i], h.key, h.id); err != nil {
					return false, err
				}
			}
			if len(hits) < max(q.limit, 64) {
				break
			}
		}
	}
	return true, nil
}

func prefixOf(i index) []byte {
	if i.tenant.IsZero() {
		return nil
	}
	return key(i.tenant)
}

// hit takes the person whom an index names, unless an earlier one or an earlier row has named them.
func (q *peopleQuery) hit(i index, k []byte, id ID) error {
	q.looked++
	if !i.tenant.IsZero() {
		u, err := q.user(i.tenant, id)
		if err != nil || u == nil {
			return err
		}
		if i.table == tableUserEmail && q.earlier(u, string(k[16:len(k)-17])) {
			return nil
		}
		id = u.AccountID
	}
	seen, err := q.take(id, nil)
	if seen {
		q.page.Looked++
	}
	return err
}

// earlier reports whether a user is found before the row of that e-mail address: by the userName, or by an
// address that is earlier in the index.
func (q *peopleQuery) earlier(u *User, email string) bool {
	return strings.HasPrefix(q.fold(u.UserName), q.text) || slices.ContainsFunc(u.Emails, func(e string) bool {
		e = q.fold(e)
		return strings.HasPrefix(e, q.text) && e < email
	})
}

// take adds a person to the page whom the actor may see and the filter selects, and whom also, unless nil, does. seen is
// false for one whom the actor may not see.
func (q *peopleQuery) take(id ID, also func(*Account) (bool, error)) (seen bool, err error) {
	a, err := q.Account(id)
	if err != nil {
		return false, err
	}
	if f := q.filter; f.Internal && a.External() || !f.TenantID.IsZero() && a.TenantID != f.TenantID {
		return false, nil
	}
	if also != nil {
		if ok, err := also(a); !ok || err != nil {
			return false, err
		}
	}
	all, err := q.Accesses(id)
	if err != nil {
		return false, err
	}
	all = slices.DeleteFunc(all, func(x *Access) bool { return q.envs[x.EnvironmentID] == nil })
	if len(all) == 0 && q.by.Role != RoleOperator {
		if t := q.tenants[a.TenantID]; t == nil || !q.by.SeesTenant(t) {
			return false, nil
		}
	}
	if q.selects(all) {
		q.page.People = append(q.page.People, Seen{a, all})
	}
	return true, nil
}

// selects reports whether somebody with these accesses is one whom the filter selects.
func (q *peopleQuery) selects(all []*Access) bool {
	f := q.filter
	in, active := f.EnvironmentID.IsZero(), false
	for _, x := range all {
		if f.EnvironmentID.IsZero() || x.EnvironmentID == f.EnvironmentID {
			in, active = true, active || x.Active
		}
	}
	return in && (f.Active == nil || *f.Active == active)
}

// contains reports whether somebody has the text anywhere, and is not found by its beginning already.
func (q *peopleQuery) contains(a *Account) (bool, error) {
	has := func(s string) bool { return strings.Contains(q.fold(s), q.text) }
	if !has(a.UserName) && !has(a.Email) && !has(a.Name) {
		return false, nil
	}
	if !a.External() {
		return !strings.HasPrefix(q.fold(a.Email), q.text), nil
	}
	if q.tenants[a.TenantID] == nil { // an access has stayed; the tenant is that of others, and not looked into
		return true, nil
	}
	u, err := q.user(a.TenantID, a.UserID)
	if err != nil || u == nil {
		return true, err
	}
	return !slices.ContainsFunc(append(slices.Clone(u.Emails), u.UserName), func(s string) bool { return strings.HasPrefix(q.fold(s), q.text) }), nil
}

// scan lists people in the order of their creation.
func (q *peopleQuery) scan(cursor []byte) error {
	also := q.contains
	if q.text == "" {
		also = nil
	}
	all := q.streams()
	for i := range all {
		all[i].after = toID(cursor)
		all[i].size = max(4, 2*q.limit/len(all))
	}
	last := toID(cursor)
	for {
		from, err := first(all)
		if err != nil || from == nil {
			return err
		}
		if q.full() {
			q.next("s", last[:])
			return nil
		}
		p := from.ahead[0]
		from.ahead = from.ahead[1:]
		q.looked, q.page.Looked = q.looked+1, q.page.Looked+1 // these the actor sees
		if from.tenant {
			if elsewhere, err := q.streamed(p.account); err != nil {
				return err
			} else if elsewhere { // by one of the environments
				last = p.at
				continue
			}
		} else if p.at == last { // by another of the environments
			continue
		}
		last = p.at
		if _, err := q.take(p.account, also); err != nil {
			return err
		}
	}
}

// streamed reports whether an account has an access to one of the environments that are gone through.
func (q *peopleQuery) streamed(account ID) (bool, error) {
	all, err := q.Accesses(account)
	return slices.ContainsFunc(all, func(x *Access) bool { return slices.Contains(q.order, q.envs[x.EnvironmentID]) }), err
}

// place is where in the order of a list somebody stands.
type place struct{ at, account ID }

// stream is an ordered part of everybody.
type stream struct {
	read   func(after ID, fn func(place) bool) error
	tenant bool // places are those of SCIM users

	after ID
	size  int
	ahead []place
	over  bool
}

// fill reads ahead.
func (s *stream) fill() error {
	if s.over || len(s.ahead) > 0 {
		return nil
	}
	err := s.read(s.after, func(p place) bool {
		s.ahead = append(s.ahead, p)
		return len(s.ahead) < s.size
	})
	s.over = len(s.ahead) < s.size
	if n := len(s.ahead); n > 0 {
		s.after = s.ahead[n-1].at
	}
	return err
}

// first returns the stream with the earliest place; nil when all are over. At one place those of environments come
// before those of tenants.
func first(all []*stream) (*stream, error) {
	var from *stream
	for _, s := range all {
		if err := s.fill(); err != nil {
			return nil, err
		}
		if len(s.ahead) > 0 && (from == nil || compareIDs(s.ahead[0].at, from.ahead[0].at) < 0) {
			from = s
		}
	}
	return from, nil
}

// streams are the parts that hold everybody whom the filter may select.
func (q *peopleQuery) streams() (all []*stream) {
	f := q.filter
	if q.by.Role == RoleOperator && f.EnvironmentID.IsZero() && f.TenantID.IsZero() {
		return []*stream{{read: func(after ID, fn func(place) bool) error {
			return q.Accounts(after, func(a *Account) bool { return fn(place{a.ID, a.ID}) })
		}}}
	}
	if t := q.tenants[f.TenantID]; t != nil && f.EnvironmentID.IsZero() {
		q.order = slices.DeleteFunc(q.order, func(e *Environment) bool { return !slices.Contains(t.OrganizationIDs, e.OrganizationID) })
	}
	for _, e := range q.order {
		for _, active := range []bool{true, false} {
			if !f.EnvironmentID.IsZero() && f.Active != nil && *f.Active != active {
				continue
			}
			all = append(all, &stream{read: func(after ID, fn func(place) bool) error {
				return q.EnvironmentAccesses(e.ID, active, after, func(id ID) bool { return fn(place{id, id}) })
			}})
		}
	}
	for id, t := range q.tenants {
		if !f.EnvironmentID.IsZero() || f.Internal || !q.by.SeesTenant(t) || !f.TenantID.IsZero() && id != f.TenantID {
			continue
		}
		all = append(all, &stream{tenant: true, read: func(after ID, fn func(place) bool) error {
			return q.Users(id, after, 0, func(u *User) bool { return fn(place{u.ID, u.AccountID}) })
		}})
	}
	return all
}
