package entrasim

import (
	"bytes"
	"crypto/hmac"
	cryptorand "crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	defaultPage = 100
	maxPage     = 999
	maxCursors  = 1024 // lists that are being read; the oldest one expires when there are more
)

// entry is one object in a list: the one that is not nil or empty.
type entry struct {
	user   *User
	group  *Group
	device string // object id
}

func (e entry) kind() resource {
	switch {
	case e.user != nil:
		return userKind
	case e.group != nil:
		return groupKind
	}
	return deviceKind
}

// listKey names a list. The zero value is that of all users.
type listKey struct {
	op     Op
	group  string
	users  bool // without what is not a user
	hidden bool // with the members of groups that hide them
}

// lists answers what is in a list, from an index that may run behind, and keeps a list together while it is read.
type lists struct {
	tenant *Tenant
	now    func() time.Time
	life   time.Duration
	key    []byte // of the skip tokens

	mu      sync.Mutex // guards what follows
	lag     int
	held    *index
	index   *index
	cursors map[uint64]*cursor
	first   uint64 // of the cursors that are left
	last    uint64
}

// index is a look at the directory and the lists that were made of it.
type index struct {
	view  *view
	lists map[listKey][]entry
}

// cursor is a list that is being read.
type cursor struct {
	path    string
	entries []entry
	expires time.Time
}

func (l *lists) init(t *Tenant, o GraphOptions) {
	l.tenant, l.now, l.life = t, o.Now, o.SkipTokenLife
	l.key = make([]byte, 16)
	_, _ = cryptorand.Read(l.key) // never fails
	l.cursors = make(map[uint64]*cursor)
	if o.Lag > 0 {
		l.setLag(o.Lag)
	}
}

func (l *lists) setLag(changes int) {
	l.tenant.remember(max(0, changes))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lag = max(0, changes)
}

func (l *lists) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = l.current()
}

func (l *lists) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = nil
}

func (l *lists) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.cursors)
	l.first = l.last
}

// current is the index of now. The caller holds mu.
func (l *lists) current() *index {
	if l.held != nil {
		return l.held
	}
	var prev *view
	if l.index != nil {
		prev = l.index.view
	}
	if v := l.tenant.behind(l.lag, prev); v != prev {
		l.index = &index{view: v, lists: make(map[listKey][]entry)}
	}
	return l.index
}

// get is a list; ok is false when its group is not in the index. Nobody may change what is returned.
func (l *lists) get(k listKey) (entries []entry, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.current()
	if k.group != "" && x.view.group[k.group] == nil {
		return nil, false
	}
	entries, made := x.lists[k]
	if !made {
		entries = x.view.list(k)
		x.lists[k] = entries
	}
	return entries, true
}

func (v *view) list(k listKey) []entry {
	var out []entry
	switch k.op {
	case OpUsers:
		for _, u := range v.users {
			if !u.Deleted() {
				out = append(out, entry{user: u})
			}
		}
	case OpGroups:
		for _, g := range v.groups {
			out = append(out, entry{group: g})
		}
	default:
		out = v.membersOf(k)
	}
	return out
}

// membersOf lists the members of a group, with those of the groups in it when that is asked: in the order of joining,
// level by level, each once, and never the group itself.
func (v *view) membersOf(k listKey) []entry {
	transitive := k.op == OpTransitiveMembers
	var out []entry
	seen := map[string]bool{k.group: true}
	for queue := []string{k.group}; len(queue) > 0; queue = queue[1:] {
		g := v.group[queue[0]]
		if g.HiddenMembership && !k.hidden {
			continue
		}
		out = slices.Grow(out, len(g.Members))
		for _, id := range g.Members {
			if transitive {
				if seen[id] {
					continue
				}
				seen[id] = true
			}
			e := v.entry(id)
			if e.group != nil && transitive {
				queue = append(queue, id)
			}
			if e.user != nil && !e.user.Deleted() || e.user == nil && !k.users {
				out = append(out, e)
			}
		}
	}
	return out
}

func (v *view) entry(id string) entry {
	if u := v.user[id]; u != nil {
		return entry{user: u}
	}
	if g := v.group[id]; g != nil {
		return entry{group: g}
	}
	return entry{device: id}
}

// open starts the reading of a list and gives the number that skip tokens name.
func (l *lists) open(path string, entries []entry) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for l.first < l.last {
		if c := l.cursors[l.first+1]; len(l.cursors) < maxCursors && c != nil && now.Before(c.expires) {
			break
		}
		l.first++
		delete(l.cursors, l.first)
	}
	l.last++
	l.cursors[l.last] = &cursor{path, entries, now.Add(l.life)}
	return l.last
}

// resume finds the list of a skip token; nil when it has expired.
func (l *lists) resume(path string, number uint64) *cursor {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.cursors[number]
	if c == nil || c.path != path || !l.now().Before(c.expires) {
		return nil
	}
	return c
}

// skipToken is a place in a list.
type skipToken struct {
	cursor       uint64
	offset, page uint32
}

const skipTokenLength = 16

func (l *lists) encode(s skipToken) string {
	var b [skipTokenLength]byte
	binary.BigEndian.PutUint64(b[:], s.cursor)
	binary.BigEndian.PutUint32(b[8:], s.offset)
	binary.BigEndian.PutUint32(b[12:], s.page)
	return base64.RawURLEncoding.EncodeToString(append(b[:], l.seal(b[:])...))
}

func (l *lists) decode(s string) (skipToken, bool) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) <= skipTokenLength || !hmac.Equal(b[skipTokenLength:], l.seal(b[:skipTokenLength])) {
		return skipToken{}, false
	}
	return skipToken{binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])}, true
}

func (l *lists) seal(b []byte) []byte {
	mac := hmac.New(sha256.New, l.key)
	mac.Write(b)
	return mac.Sum(nil)[:16]
}

// pageOf is the number of the page that a query asks for: 1 without a skip token that is one.
func (l *lists) pageOf(q url.Values) int {
	if s, ok := l.decode(q.Get("$skiptoken")); ok {
		return int(s.page)
	}
	return 1
}

// options are the query options of a request.
type options struct {
	names  []string // $select, as it was sent
	top    int
	count  bool
	skip   string
	filter filter
}

// options parses the query. What it does not know is refused, as Graph does: a client must not believe that it was
// heeded.
func (c *call) options() (options, *response) {
	o := options{top: defaultPage}
	if c.queryErr != nil {
		return o, c.fail(http.StatusBadRequest, "BadRequest", "The query is malformed.")
	}
	for name, values := range c.query {
		if !strings.HasPrefix(name, "$") {
			continue
		}
		if len(values) > 1 {
			return o, c.fail(http.StatusBadRequest, "BadRequest", fmt.Sprintf("Query option '%s' was specified more than once, but it must be specified at most once.", name))
		}
		if bad := c.option(&o, name, values[0]); bad != nil {
			return o, bad
		}
	}
	return o, nil
}

func (c *call) option(o *options, name, value string) *response {
	paged := c.op.paged()
	switch {
	case name == "$select" && c.op != OpCount:
		for s := range strings.SplitSeq(value, ",") {
			o.names = append(o.names, strings.TrimSpace(s))
		}
		return c.checkSelect(o.names)
	case name == "$count" && paged:
		if value != "true" && value != "false" {
			return c.fail(http.StatusBadRequest, "BadRequest", fmt.Sprintf("Invalid value '%s' for $count query option found. Valid values are 'true' and 'false'.", value))
		}
		o.count = value == "true"
	case name == "$top" && paged:
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > maxPage {
			return c.badRequest("Invalid page size specified: '%s'. Must be between 1 and %d inclusive.", value, maxPage)
		}
		o.top = n
	case name == "$skiptoken" && paged:
		o.skip = value
	case name == "$filter" && (paged || c.op == OpCount):
		f, err := parseFilter(value)
		if err != nil {
			return c.unsupported("Unsupported or invalid query filter clause specified for the resource: %v", err)
		}
		o.filter = f
	default:
		return c.unsupported("The query option '%s' is not supported here.", name)
	}
	return nil
}

// eventual reports whether the client accepts an index that may run behind: the condition of advanced queries.
// Source: Microsoft, "Advanced query capabilities on Microsoft Entra ID objects".
func (c *call) eventual() bool {
	return strings.EqualFold(c.header.Get("ConsistencyLevel"), "eventual")
}

// list answers a page of a list, or how long the list is.
func (c *call) list(o options) *response {
	k, bad := c.which()
	if bad != nil {
		return bad
	}
	advanced := k.users || len(o.filter) > 0 && k.group != ""
	switch {
	case c.op == OpCount && !c.eventual():
		return c.badRequest("$count is not currently supported.")
	case o.skip == "" && advanced && c.op != OpCount && !(c.eventual() && o.count):
		return c.unsupported("The specified query is only supported with the header ConsistencyLevel: eventual and $count=true.")
	case len(o.filter) > 0 && k.op != OpGroups && !c.grant.users:
		return c.denied()
	}
	if o.skip != "" {
		return c.nextPage(o, k)
	}
	entries, ok := c.g.lists.get(k)
	if !ok {
		return c.notFound(c.segments[1])
	}
	if len(o.filter) > 0 {
		entries = o.filter.apply(entries)
	}
	if c.op == OpCount {
		a := c.reply(http.StatusOK, strconv.AppendInt(nil, int64(len(entries)), 10))
		a.header.Set("Content-Type", "text/plain")
		return a
	}
	p := page{options: o, key: k, entries: entries, count: -1}
	if o.count && c.eventual() {
		p.count = len(entries)
	}
	return c.render(p)
}

// which says what list is asked for, and checks that it may be.
func (c *call) which() (listKey, *response) {
	s := c.segments
	if s[0] == "users" {
		if !c.grant.users {
			return listKey{}, c.denied()
		}
		return listKey{op: OpUsers}, nil
	}
	if len(s) > 2 && !isGUID(s[1]) {
		return listKey{}, c.invalidID(s[1])
	}
	if !c.grant.groups {
		return listKey{}, c.denied()
	}
	if len(s) <= 2 {
		return listKey{op: OpGroups}, nil
	}
	k := listKey{op: OpMembers, group: strings.ToLower(s[1]), users: len(s) > 3 && isUserCast(s[3]), hidden: c.grant.hidden}
	if s[2] == "transitiveMembers" {
		k.op = OpTransitiveMembers
	}
	return k, nil
}

// nextPage answers a nextLink. The header of the first request is not needed again.
func (c *call) nextPage(o options, k listKey) *response {
	s, ok := c.g.lists.decode(o.skip)
	if !ok {
		return c.fail(http.StatusBadRequest, "InvalidPageToken", "The specified page token value is invalid.")
	}
	cur := c.g.lists.resume(c.path, s.cursor)
	if cur == nil {
		return c.expiredPageToken()
	}
	return c.render(page{options: o, key: k, entries: cur.entries, cursor: s.cursor, offset: int(s.offset), count: -1})
}

func (c *call) expiredPageToken() *response {
	return c.fail(http.StatusBadRequest, "Directory_ExpiredPageToken",
		"The specified page token value has expired and can no longer be included in your request.")
}

// page is what one answer shows of a list.
type page struct {
	options
	key     listKey
	entries []entry // the whole list
	cursor  uint64  // 0 when no skip token was given out yet
	offset  int
	count   int // -1 when it is not to be told
}

func (p page) set() string {
	switch {
	case p.key.op == OpUsers, p.key.users:
		return "users"
	case p.key.op == OpGroups:
		return "groups"
	}
	return "directoryObjects"
}

// render writes a page, with the faults that a page can have.
func (c *call) render(p page) *response {
	f := c.fault
	end := min(p.offset+p.top, len(p.entries))
	shown := p.entries[p.offset:end]
	shown = shown[:max(0, len(shown)-f.Short)]
	set := p.set()
	b := make([]byte, 0, 512+len(shown)*(96+40*max(len(p.names), 8)))
	b = append(b, `{"@odata.context":`...)
	b = appendQuoted(b, c.context(set, p.options))
	if p.count >= 0 {
		b = append(b, `,"@odata.count":`...)
		b = strconv.AppendInt(b, int64(p.count), 10)
	}
	if next := c.nextLink(p, end); next != "" {
		b = append(b, `,"@odata.nextLink":`...)
		b = appendQuoted(b, next)
	}
	b = append(b, `,"value":[`...)
	write := c.writer(p, set == "directoryObjects")
	for i, e := range shown {
		if i > 0 {
			b = append(b, ',')
		}
		b = write(b, e, i == 0)
	}
	if f.Duplicate && len(shown) > 0 {
		b = append(b, ',')
		b = write(b, shown[0], false)
	}
	a := c.reply(http.StatusOK, append(b, `]}`...))
	if f.Huge > 0 && len(shown) > 0 {
		a.body = a.body[:len(a.body)-2]
		a.endless = func(b []byte, n int) []byte { return write(append(b, ','), shown[0].twin(n), false) }
	}
	return a
}

// twin is another entry of the same kind with an object id of its own.
func (e entry) twin(n int) entry {
	var b [16]byte
	binary.BigEndian.PutUint32(b[:], 0xffffffff) // an id that nobody draws
	binary.BigEndian.PutUint32(b[12:], uint32(n))
	switch id := guid(b); {
	case e.user != nil:
		u := *e.user
		u.ID = id
		return entry{user: &u}
	case e.group != nil:
		g := *e.group
		g.ID = id
		return entry{group: &g}
	default:
		return entry{device: id}
	}
}

// nextLink is where the page after this one is, or where a fault says that it is.
func (c *call) nextLink(p page, end int) string {
	f := c.fault
	more := end < len(p.entries)
	switch {
	case f.DropNext, !more && f.Next == "":
		return ""
	case f.Next == "loop":
		return c.link(p.skip)
	}
	next := ""
	if more {
		if p.cursor == 0 {
			p.cursor = c.g.lists.open(c.path, p.entries)
		}
		next = c.g.lists.encode(skipToken{p.cursor, uint32(end), uint32(c.page + 1)})
	}
	link := c.link(next)
	switch {
	case f.Next == "http":
		link = "http" + strings.TrimPrefix(link, "https")
	case f.Next != "":
		link = f.Next + strings.TrimPrefix(link, c.g.origin)
	}
	return link
}

// link is this request again, with another skip token or none.
func (c *call) link(skip string) string {
	var b bytes.Buffer
	b.WriteString(c.g.origin + c.path)
	separator := byte('?')
	add := func(name, value string) {
		b.WriteByte(separator)
		separator = '&'
		b.WriteString(name + "=" + strings.ReplaceAll(url.QueryEscape(value), "%2C", ","))
	}
	for _, name := range []string{"$count", "$filter", "$select", "$top"} {
		if v := c.query.Get(name); v != "" {
			add(name, v)
		}
	}
	if skip != "" {
		add("$skiptoken", skip)
	}
	return b.String()
}
