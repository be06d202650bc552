package scim

import (
	"hash/crc32"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// buffers are reused between answers; a large one is left to the garbage collector.
var buffers = sync.Pool{New: func() any { return new([]byte) }} // of *[]byte alone

const keptBuffer = 256 << 10

// withBuffer lends fn an empty buffer; what fn returns is the buffer as it grew.
func withBuffer(fn func([]byte) ([]byte, error)) error {
	p := buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	b, err := fn((*p)[:0])
	if cap(b) <= keptBuffer {
		*p = b
		buffers.Put(p)
	}
	return err
}

// renderer writes resources of one snapshot. It looks each group and environment up once.
type renderer struct {
	*request
	sn           *directory.Snapshot
	p            *Projection
	whole        bool
	groups       map[directory.ID]string         // names
	above        map[directory.ID][]directory.ID // of those groups that are in others: these
	environments map[directory.ID]string         // names
	scratch      []byte
}

func (q *request) renderer(sn *directory.Snapshot, p *Projection) *renderer {
	return &renderer{request: q, sn: sn, p: p, whole: p.wholeResource()}
}

// user appends a user: what is stored, then what is derived.
func (r *renderer) user(dst []byte, u *directory.User) (_ []byte, err error) {
	r.derived = 0
	var accesses []*directory.Access
	if r.p.wants(AccessURN, "") {
		if accesses, err = r.sn.Accesses(u.AccountID); err != nil {
			return dst, err
		}
		accesses = ofTenant(accesses, r.tenant.ID)
	}
	dst = append(dst, `{"schemas":`...)
	if len(accesses) > 0 {
		dst = append(dst, u.Schemas[:len(u.Schemas)-1]...)
		dst = append(dst, `,"`+AccessURN+`"]`...)
	} else {
		dst = append(dst, u.Schemas...)
	}
	dst = r.start(dst, u.ID, u.Attributes)
	if r.p.wants("", "groups") {
		if dst, err = r.groupsOf(dst, u.ID); err != nil {
			return dst, err
		}
	}
	if len(accesses) > 0 {
		if r.scratch, err = r.appendAccesses(r.scratch[:0], accesses); err != nil {
			return dst, err
		}
		r.derived = crc32.Update(r.derived, castagnoli, r.scratch)
		dst = r.p.appendAttribute(dst, AccessURN, "", r.scratch)
	}
	return r.end(dst, "User", "/Users/", u.ID, u.Version, u.Created, u.Modified), nil
}

func ofTenant(all []*directory.Access, tenant directory.ID) []*directory.Access {
	for i, a := range all {
		if a.TenantID != tenant { // given before the account was adopted
			var kept []*directory.Access
			for _, a := range all[i:] {
				if a.TenantID == tenant {
					kept = append(kept, a)
				}
			}
			return append(all[:i:i], kept...)
		}
	}
	return all
}

// start appends id and the stored attributes behind schemas.
func (r *renderer) start(dst []byte, id directory.ID, attributes []byte) []byte {
	dst = append(dst, `,"id":"`...)
	dst, _ = id.AppendText(dst)
	dst = append(dst, '"')
	if !r.whole {
		return r.p.append(dst, attributes)
	}
	if len(attributes) > 2 {
		dst = append(dst, ',')
		dst = append(dst, attributes[1:len(attributes)-1]...)
	}
	return dst
}

// end appends meta and closes the resource.
func (r *renderer) end(dst []byte, resourceType, path string, id directory.ID, version uint64, created, modified time.Time) []byte {
	if !r.p.wants("", "meta") {
		return append(dst, '}')
	}
	meta := func(dst []byte) []byte {
		dst = append(dst, `{"resourceType":"`...)
		dst = append(dst, resourceType...)
		dst = append(dst, `","created":"`...)
		dst = appendTime(dst, created)
		dst = append(dst, `","lastModified":"`...)
		dst = appendTime(dst, modified)
		dst = append(dst, `","location":"`...)
		dst = append(dst, r.base...)
		dst = append(dst, path...)
		dst, _ = id.AppendText(dst)
		dst = append(dst, `","version":"W/\"`...)
		dst = appendTag(dst, version, r.derived)
		return append(dst, `\""}`...)
	}
	if r.whole {
		dst = append(dst, `,"meta":`...)
		return append(meta(dst), '}')
	}
	r.scratch = meta(r.scratch[:0])
	return append(r.p.appendAttribute(dst, "", "meta", r.scratch), '}')
}

// appendTime appends a dateTime to the millisecond, in UTC. It is written by hand because every
// resource holds two of them, and formatting by layout takes longer than reading the resource.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	pad := func(n, width int, end byte) {
		for i := width - 1; i >= 0; i-- {
			digit := n
			for range i {
				digit /= 10
			}
			dst = append(dst, byte('0'+digit%10))
		}
		dst = append(dst, end)
	}
	pad(year, 4, '-')
	pad(int(month), 2, '-')
	pad(day, 2, 'T')
	pad(hour, 2, ':')
	pad(minute, 2, ':')
	pad(second, 2, '.')
	pad(t.Nanosecond()/1e6, 3, 'Z')
	return dst
}

// groupsOf appends the groups that a user is in, directly or through other groups, where there are any.
func (r *renderer) groupsOf(dst []byte, user directory.ID) ([]byte, error) {
	ids, err := r.sn.GroupsOf(r.tenant.ID, user)
	if err != nil || len(ids) == 0 {
		return dst, err
	}
	if r.scratch, err = r.appendGroups(r.scratch[:0], ids); err != nil {
		return dst, err
	}
	r.derived = crc32.Update(r.derived, castagnoli, r.scratch)
	return r.p.appendAttribute(dst, "", "groups", r.scratch), nil
}

// indirectLimit is how many groups above those of a user are told.
const indirectLimit = 500

// appendGroups appends the value of groups: those that are given, which somebody is directly in, then those above
// them, each once and as many as indirectLimit lets.
func (r *renderer) appendGroups(list []byte, ids []directory.ID) ([]byte, error) {
	list = append(list, '[')
	direct := len(ids)
	var seen map[directory.ID]bool // ids, once there is one above another
	for i := 0; i < len(ids); i++ {
		name, err := r.groupName(ids[i])
		if err != nil {
			return list, err
		}
		if i > 0 {
			list = append(list, ',')
		}
		list = r.reference(list, ids[i], "/Groups/", name)
		if i < direct {
			list = append(list, `,"type":"direct"}`...)
		} else {
			list = append(list, `,"type":"indirect"}`...)
		}
		groups := r.above[ids[i]]
		if len(groups) > 0 && seen == nil {
			seen = make(map[directory.ID]bool, direct)
			for _, id := range ids {
				seen[id] = true
			}
		}
		for _, above := range groups {
			if !seen[above] && len(ids) < direct+indirectLimit {
				seen[above] = true
				ids = append(ids, above)
			}
		}
	}
	return append(list, ']'), nil
}

// reference appends an open object that refers to a resource: value, $ref, display.
func (r *renderer) reference(dst []byte, id directory.ID, path, display string) []byte {
	dst = append(dst, `{"value":"`...)
	dst, _ = id.AppendText(dst)
	dst = append(dst, `","$ref":"`...)
	dst = append(dst, r.base...)
	dst = append(dst, path...)
	dst, _ = id.AppendText(dst)
	dst = append(dst, '"')
	if display != "" {
		dst = append(dst, `,"display":`...)
		dst = appendString(dst, display)
	}
	return dst
}

// groupName looks a group up, and with its name which groups it is in.
func (r *renderer) groupName(id directory.ID) (string, error) {
	if name, ok := r.groups[id]; ok {
		return name, nil
	}
	g, err := r.sn.Group(r.tenant.ID, id)
	if err != nil {
		return "", err
	}
	if !g.Alone {
		above, err := r.sn.GroupsOf(r.tenant.ID, id)
		if err != nil {
			return "", err
		}
		if r.above == nil {
			r.above = map[directory.ID][]directory.ID{}
		}
		r.above[id] = above
	}
	if r.groups == nil {
		r.groups = map[directory.ID]string{}
	}
	r.groups[id] = g.DisplayName
	return g.DisplayName, nil
}

func (r *renderer) environmentName(id directory.ID) (string, error) {
	if name, ok := r.environments[id]; ok {
		return name, nil
	}
	e, err := r.sn.Environment(id)
	if err != nil {
		return "", err
	}
	if r.environments == nil {
		r.environments = map[directory.ID]string{}
	}
	r.environments[id] = e.Name
	return e.Name, nil
}

// appendAccesses appends the value of our extension: the environments of a user.
func (r *renderer) appendAccesses(list []byte, all []*directory.Access) ([]byte, error) {
	list = append(list, `{"environments":[`...)
	for i, a := range all {
		name, err := r.environmentName(a.EnvironmentID)
		if err != nil {
			return list, err
		}
		if i > 0 {
			list = append(list, ',')
		}
		list = append(list, `{"id":"`...)
		list, _ = a.EnvironmentID.AppendText(list)
		list = append(list, `","name":`...)
		list = appendString(list, name)
		list = append(list, `,"active":`...)
		list = strconv.AppendBool(list, a.Active)
		if len(a.Menus) > 0 {
			list = append(list, `,"menus":`...)
			list = appendTextList(list, a.Menus)
		}
		list = append(list, '}')
	}
	return append(list, `]}`...), nil
}

// memberPage is how many members one snapshot reads: a large group is sent in pieces, so that no
// snapshot stays open while a client reads and no answer is held in memory as a whole.
const memberPage = 1000

// largeGroup is a group of which an answer holds the first page of members so far.
type largeGroup struct {
	id   directory.ID
	last directory.ID // member of that page
	at   int          // where in the answer the others belong
}

// memberLimit is how many members a snapshot reads. A projection that takes members apart works
// on the list as a whole.
func memberLimit(p *Projection) int {
	if do, _ := p.plans[0].action("members"); do == part {
		return math.MaxInt
	}
	return memberPage
}

// group appends a group with up to limit of its members. When there are others, more is set and
// the group is left open behind the member named last: stream goes on from there.
func (r *renderer) group(dst []byte, g *directory.Group, limit int) (_ []byte, last directory.ID, more bool, err error) {
	dst = append(dst, `{"schemas":`...)
	dst = append(dst, g.Schemas...)
	dst = r.start(dst, g.ID, g.Attributes)
	// Members come last, because there may be many.
	dst = r.end(dst, "Group", "/Groups/", g.ID, g.Version, g.Created, g.Modified)
	dst = dst[:len(dst)-1]
	if r.p.wants("", "members") {
		r.scratch = append(r.scratch[:0], '[')
		r.scratch, last, more, err = r.members(r.scratch, g.ID, directory.ID{}, limit)
		if err != nil {
			return dst, last, false, err
		}
		r.showsMembers = len(r.scratch) > 1
		switch {
		case more:
			dst = append(dst, `,"members":`...)
			return append(dst, r.scratch...), last, true, nil
		case len(r.scratch) > 1:
			r.scratch = append(r.scratch, ']')
			dst = r.p.appendAttribute(dst, "", "members", r.scratch)
		}
	}
	return append(dst, '}'), last, false, nil
}

// members appends up to limit members beyond the one named after; more tells that there are others.
func (r *renderer) members(dst []byte, group, after directory.ID, limit int) (_ []byte, last directory.ID, more bool, err error) {
	first := after.IsZero()
	n := 0
	var failed error
	err = r.sn.Members(r.tenant.ID, group, after, func(m directory.Member) bool {
		if n == limit {
			more = true
			return false
		}
		if !first || n > 0 {
			dst = append(dst, ',')
		}
		n++
		last = m.ID
		dst, failed = r.member(dst, m)
		return failed == nil
	})
	if failed != nil {
		err = failed
	}
	return dst, last, more, err
}

func (r *renderer) member(dst []byte, m directory.Member) ([]byte, error) {
	var path, display string
	if m.Kind == directory.MemberGroup {
		name, err := r.groupName(m.ID)
		if err != nil {
			return dst, err
		}
		path, display = "/Groups/", name
	} else {
		u, err := r.sn.User(r.tenant.ID, m.ID)
		if err != nil {
			return dst, err
		}
		path, display = "/Users/", u.Name
	}
	dst = r.reference(dst, m.ID, path, display)
	dst = append(dst, `,"type":"`...)
	dst = append(dst, memberType(m.Kind)...)
	return append(dst, `"}`...), nil
}

// setHead sets the headers that go with a resource; content says that the answer holds it.
func (q *request) setHead(id directory.ID, path string, version uint64, content bool) {
	var room [256]byte
	location := append(append(room[:0], q.base...), path...)
	location, _ = id.AppendText(location)
	tag := appendETag(location, version, q.derived)
	text := string(tag)
	values := [2]string{text[len(location):], text[:len(location)]} // one allocation for all
	header := q.w.Header()
	header["Etag"], header["Location"] = values[0:1:1], values[1:2:2]
	if content {
		header["Content-Location"] = values[1:2:2]
	}
}

// sendUser answers with a user as it is after a write.
func (q *request) sendUser(status int, u *directory.User, p *Projection) error {
	return withBuffer(func(b []byte) ([]byte, error) {
		err := q.Service.View(q.r.Context(), func(sn *directory.Snapshot) (err error) {
			b, err = q.renderer(sn, p).user(b, u)
			return err
		})
		if err != nil {
			return b, err
		}
		q.setHead(u.ID, "/Users/", u.Version, true)
		return b, q.send(status, b)
	})
}

func (q *request) getUser() error {
	p, err := q.projection(q.tenant.user)
	if err != nil {
		return err
	}
	return withBuffer(func(b []byte) ([]byte, error) {
		var u directory.User
		found := false
		err := q.Service.View(q.r.Context(), func(sn *directory.Snapshot) (err error) {
			if q.id.IsZero() {
				return nil
			}
			if found, err = sn.UserResource(&u, q.tenant.ID, q.id); err != nil || !found {
				return err
			}
			b, err = q.renderer(sn, p).user(b, &u)
			return err
		})
		switch {
		case err != nil:
			return b, err
		case !found:
			return b, q.noUser()
		}
		if err := q.mustMatch(u.Version); err != nil {
			return b, err
		}
		q.setHead(u.ID, "/Users/", u.Version, true)
		if q.notModified(u.Version) {
			return b, nil
		}
		return b, q.send(http.StatusOK, b)
	})
}

func (q *request) getGroup() error {
	if q.id.IsZero() {
		return q.noGroup()
	}
	p, err := q.projection(q.tenant.group)
	if err != nil {
		return err
	}
	return q.sendGroup(http.StatusOK, q.id, p)
}

// sendGroup answers with a group as it is.
func (q *request) sendGroup(status int, id directory.ID, p *Projection) error {
	return withBuffer(func(b []byte) ([]byte, error) {
		var g *directory.Group
		var last directory.ID
		var more bool
		err := q.Service.View(q.r.Context(), func(sn *directory.Snapshot) (err error) {
			if g, err = sn.Group(q.tenant.ID, id); err == nil {
				b, last, more, err = q.renderer(sn, p).group(b, g, memberLimit(p))
			}
			return err
		})
		if err != nil {
			if directory.KindOf(err) == directory.NotFound {
				err = q.noGroup()
			}
			return b, err
		}
		read := q.r.Method == http.MethodGet || q.r.Method == http.MethodHead
		if read {
			if err := q.mustMatch(g.Version); err != nil {
				return b, err
			}
		}
		q.setHead(g.ID, "/Groups/", g.Version, true)
		if read && !q.showsMembers && q.notModified(g.Version) {
			return b, nil
		}
		if !more {
			return b, q.send(status, b)
		}
		q.w.Header()["Content-Type"] = contentTypeHeader
		q.w.WriteHeader(status)
		if q.r.Method == http.MethodHead {
			return b, nil
		}
		q.stream(append(b, `]}`...), p, []largeGroup{{id, last, len(b)}})
		return b, nil
	})
}

// stream sends b with the members of large groups in their places, a page at a time. The answer is
// under way: an error can only cut it, so that the client sees that it is not whole.
func (q *request) stream(b []byte, p *Projection, groups []largeGroup) {
	controller := http.NewResponseController(q.w)
	send := func(piece []byte) {
		_ = controller.SetWriteDeadline(time.Now().Add(pageTime))
		if _, err := q.w.Write(piece); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	sent := 0
	for _, g := range groups {
		send(b[sent:g.at])
		sent = g.at
		var piece []byte
		for more := true; more; send(piece) {
			err := q.Service.View(q.r.Context(), func(sn *directory.Snapshot) (err error) {
				piece, g.last, more, err = q.renderer(sn, p).members(piece[:0], g.id, g.last, memberPage)
				return err
			})
			if err != nil {
				if q.r.Context().Err() == nil {
					q.Log.Error("a group could not be sent to its end", "error", err, "requestId", q.RequestID(q.r))
				}
				panic(http.ErrAbortHandler)
			}
		}
	}
	send(b[sent:])
}

// pageTime is how long a client may take to read one page of members.
const pageTime = 30 * time.Second

// sendDiscovery answers with what a tenant's record and this program alone decide, under an entity tag of its content.
func (q *request) sendDiscovery(render func([]byte) []byte) error {
	if q.r.URL.Query().Has("filter") { // RFC 7644 section 4; other parameters are ignored
		return &Error{Status: http.StatusForbidden, Detail: "discovery endpoints cannot be filtered"}
	}
	return withBuffer(func(b []byte) ([]byte, error) {
		b = render(b)
		version := documentVersion(b)
		if err := q.mustMatch(version); err != nil {
			return b, err
		}
		q.w.Header()["Etag"] = []string{string(appendETag(nil, version, 0))}
		if q.notModified(version) {
			return b, nil
		}
		return b, q.send(http.StatusOK, b)
	})
}

func (q *request) listSchemas() error {
	return q.sendDiscovery(func(b []byte) []byte { return appendSchemas(b, schemas(q.tenant.user, q.tenant.group), q.base) })
}

func (q *request) getSchema() error {
	for _, s := range schemas(q.tenant.user, q.tenant.group) {
		if equalFold(s.ID, q.name) {
			return q.sendDiscovery(func(b []byte) []byte { return appendSchema(b, s, q.base) })
		}
	}
	return &Error{Status: http.StatusNotFound, Detail: "schema " + clip(q.name) + " not found"}
}

func (q *request) listResourceTypes() error {
	return q.sendDiscovery(func(b []byte) []byte {
		return appendResourceTypes(b, []*ResourceType{q.tenant.user, q.tenant.group}, q.base)
	})
}

func (q *request) getResourceType() error {
	for _, rt := range []*ResourceType{q.tenant.user, q.tenant.group} {
		if rt.Name == q.name {
			return q.sendDiscovery(func(b []byte) []byte { return appendResourceType(b, rt, q.base) })
		}
	}
	return &Error{Status: http.StatusNotFound, Detail: "resource type " + clip(q.name) + " not found"}
}

func (q *request) serviceProviderConfig() error {
	config := ProviderConfig{MaxResults: q.Limits.PageMax, PageDefault: q.Limits.PageDefault,
		BulkOperations: q.Limits.BulkOperations, BulkBytes: q.Limits.BulkBytes, DocumentationURI: documentation}
	return q.sendDiscovery(func(b []byte) []byte { return appendServiceProviderConfig(b, config, q.base) })
}
