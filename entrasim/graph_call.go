package entrasim

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Op is an operation of the simulated services: what faults are aimed at and statistics count.
type Op string

// The operations. Requests inside of a batch count as what they are.
const (
	OpToken             Op = "token"    // POST /{tenant}/oauth2/v2.0/token
	OpMetadata          Op = "metadata" // the OpenID configuration and the discovery of clouds
	OpKeys              Op = "keys"     // the keys of ID tokens
	OpAuthorize         Op = "authorize"
	OpSignIn            Op = "signIn" // the forms of the sign-in pages
	OpLogout            Op = "logout"
	OpForeignKeys       Op = "foreignKeys" // where forged tokens point to; nobody should ask
	OpGroups            Op = "groups"
	OpGroup             Op = "group"
	OpMembers           Op = "members"
	OpTransitiveMembers Op = "transitiveMembers"
	OpUsers             Op = "users"
	OpUser              Op = "user"
	OpCount             Op = "count" // /$count of any list
	OpCheckMemberGroups Op = "checkMemberGroups"
	OpOrganization      Op = "organization"
	OpDeletedItem       Op = "deletedItem"
	OpBatch             Op = "batch"
	OpOther             Op = "other" // what neither service has
)

// paged tells the operations that answer in pages.
func (op Op) paged() bool {
	switch op {
	case OpGroups, OpMembers, OpTransitiveMembers, OpUsers:
		return true
	}
	return false
}

// providerPaths are the addresses of the OpenID provider, behind the tenant.
var providerPaths = map[string]Op{authorizePath: OpAuthorize, signInPath: OpSignIn, logoutPath: OpLogout, keysPath: OpKeys}

const (
	graphPrefix    = "/v1.0/"
	maxRequestBody = 4 << 20 // bytes, unpacked; what Graph allows a batch
	graphJSON      = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
)

// call is one request to one operation: a request over HTTP, or one of a batch.
type call struct {
	g         *Graph
	op        Op
	method    string
	path      string // as it was sent, without the query
	header    http.Header
	body      []byte
	batched   bool
	requestID string
	clientID  string // client-request-id, the client's own or ours

	segments []string // of the path below the version, decoded
	query    url.Values
	queryErr error
	page     int   // of a list, from 1
	fault    Fault // what to do wrong; the zero value for nothing
	grant    grant
}

// response is what goes back, whole.
type response struct {
	status  int
	header  http.Header
	body    []byte
	endless func(b []byte, n int) []byte // makes the nth further piece of a body that does not end
	wire    Fault                        // what to do wrong on the way
}

// serve answers one HTTP request.
func (g *Graph) serve(w http.ResponseWriter, r *http.Request) {
	c := g.newCall(r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header)
	var err error
	if c.body, err = readBody(r); err != nil {
		a := c.fail(http.StatusBadRequest, "BadRequest", err.Error())
		g.send(w, r, a)
		return
	}
	g.send(w, r, c.respond())
}

// readBody reads and unpacks the body of a request. Microsoft's own client libraries compress theirs.
func readBody(r *http.Request) ([]byte, error) {
	body := io.Reader(r.Body)
	if strings.EqualFold(r.Header.Get("Content-Encoding"), "gzip") {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, fmt.Errorf("Content-Encoding is gzip, the body is not: %w", err)
		}
		body = z
	}
	b, err := io.ReadAll(io.LimitReader(body, maxRequestBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the body cannot be read: %w", err)
	case len(b) > maxRequestBody:
		return nil, fmt.Errorf("the body is longer than %d bytes", maxRequestBody)
	}
	return b, nil
}

func (g *Graph) newCall(method, path, rawQuery string, header http.Header) *call {
	c := &call{g: g, method: method, path: path, header: header, requestID: g.newID(), page: 1}
	if c.clientID = header.Get("client-request-id"); c.clientID == "" || len(c.clientID) > 128 {
		c.clientID = c.requestID
	}
	c.query, c.queryErr = url.ParseQuery(rawQuery)
	if c.op = c.route(); c.op.paged() {
		c.page = g.lists.pageOf(c.query)
	}
	return c
}

// route finds the operation and decodes the path.
func (c *call) route() Op {
	rest, isGraph := strings.CutPrefix(c.path, graphPrefix)
	if !isGraph {
		switch {
		case strings.HasSuffix(c.path, "/oauth2/v2.0/token"):
			return OpToken
		case strings.HasSuffix(c.path, openIDConfigPath), c.path == "/common/discovery/instance":
			return OpMetadata
		case c.path == foreignKeysPath:
			return OpForeignKeys
		}
		_, rest, _ := strings.Cut(strings.TrimPrefix(c.path, "/"), "/")
		if op, ok := providerPaths["/"+rest]; ok {
			return op
		}
		return OpOther
	}
	for s := range strings.SplitSeq(strings.TrimSuffix(rest, "/"), "/") {
		s, err := url.PathUnescape(s)
		if err != nil || s == "" {
			return OpOther
		}
		c.segments = append(c.segments, s)
	}
	s := c.segments
	count := s[len(s)-1] == "$count"
	if count {
		s = s[:len(s)-1]
	}
	op := OpOther
	switch {
	case len(s) == 1:
		op = map[string]Op{"groups": OpGroups, "users": OpUsers, "organization": OpOrganization, "$batch": OpBatch}[s[0]]
	case len(s) == 2:
		op = map[string]Op{"groups": OpGroup, "users": OpUser}[s[0]]
	case len(s) == 0:
	case s[0] == "groups" && (len(s) == 3 || len(s) == 4 && isUserCast(s[3])):
		op = map[string]Op{"members": OpMembers, "transitiveMembers": OpTransitiveMembers}[s[2]]
	case len(s) == 3 && s[0] == "users" && (s[2] == "checkMemberGroups" || s[2] == "microsoft.graph.checkMemberGroups"):
		op = OpCheckMemberGroups
	case len(s) == 3 && s[0] == "directory" && s[1] == "deletedItems":
		op = OpDeletedItem
	}
	switch {
	case op == "", count && !op.paged():
		return OpOther
	case count:
		return OpCount
	}
	return op
}

func isUserCast(s string) bool { return s == "microsoft.graph.user" || s == "graph.user" }

// respond makes the answer, right or wrong.
func (c *call) respond() *response {
	c.g.usage.operation(c.op)
	c.fault = c.g.faults.decide(c.op, c.path, c.page)
	if c.fault.Do != nil {
		c.fault.Do()
	}
	a := c.misbehave()
	if a == nil {
		a = c.handle()
	}
	c.disturb(a)
	return a
}

// handle makes the right answer.
func (c *call) handle() *response {
	if !strings.HasPrefix(c.path, graphPrefix) {
		if a := c.g.tokens.login(c); a != nil {
			return a
		}
		return c.fail(http.StatusNotFound, "ResourceNotFound", "Resource not found: neither Microsoft Graph v1.0 nor the identity platform.")
	}
	if !c.batched {
		var refused *response
		if c.grant, refused = c.g.tokens.bearer(c); refused != nil {
			return refused
		}
	}
	if c.op == OpBatch { // which is charged by what is in it
		return c.batch()
	}
	units, refused := c.charge()
	if refused != nil {
		return refused
	}
	a := c.read()
	c.g.rates.note(a.header, c.grant.app, units)
	return a
}

// read answers an operation of Graph that has been let in.
func (c *call) read() *response {
	want := http.MethodGet
	if c.op == OpCheckMemberGroups {
		want = http.MethodPost
	}
	switch {
	case c.op == OpOther:
		return c.fail(http.StatusBadRequest, "BadRequest", fmt.Sprintf("Resource not found for the segment '%s'.", strings.Join(c.segments, "/")))
	case c.method != want:
		return c.fail(http.StatusMethodNotAllowed, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
	}
	o, bad := c.options()
	if bad != nil {
		return bad
	}
	switch c.op {
	case OpGroup:
		return c.readGroup(o)
	case OpUser:
		return c.readUser(o)
	case OpCheckMemberGroups:
		return c.checkMemberGroups()
	case OpDeletedItem:
		return c.deletedItem(o)
	case OpOrganization:
		return c.organization()
	}
	return c.list(o)
}

// json is an answer with a small body.
func (c *call) json(status int, v any) *response {
	b, err := json.Marshal(v)
	if err != nil {
		return c.fail(http.StatusInternalServerError, "generalException", err.Error())
	}
	return c.reply(status, b)
}

func (c *call) reply(status int, body []byte) *response {
	h := make(http.Header, 16)
	h.Set("Date", c.g.o.Now().UTC().Format(http.TimeFormat))
	h.Set("Strict-Transport-Security", "max-age=31536000")
	if strings.HasPrefix(c.path, graphPrefix) {
		h.Set("request-id", c.requestID)
		h.Set("client-request-id", c.clientID)
		h.Set("Content-Type", graphJSON)
		h.Set("Cache-Control", "no-cache")
		h.Set("OData-Version", "4.0")
	} else {
		h.Set("x-ms-request-id", c.requestID)
		h.Set("Content-Type", "application/json; charset=utf-8")
		h.Set("Cache-Control", "no-store, no-cache")
		h.Set("Pragma", "no-cache")
	}
	return &response{status: status, header: h, body: body}
}

// fail is an OData error as Graph writes it.
func (c *call) fail(status int, code, message string) *response {
	b := append([]byte(`{"error":{"code":`), appendQuoted(nil, code)...)
	b = append(b, `,"message":`...)
	b = appendQuoted(b, message)
	b = append(b, `,"innerError":{"date":"`...)
	b = c.g.o.Now().UTC().AppendFormat(b, "2006-01-02T15:04:05")
	b = append(b, `","request-id":`...)
	b = appendQuoted(b, c.requestID)
	b = append(b, `,"client-request-id":`...)
	b = appendQuoted(b, c.clientID)
	return c.reply(status, append(b, `}}}`...))
}

func (c *call) denied() *response {
	return c.fail(http.StatusForbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
}

func (c *call) notFound(id string) *response {
	return c.fail(http.StatusNotFound, "Request_ResourceNotFound",
		fmt.Sprintf("Resource '%s' does not exist or one of its queried reference-property objects are not present.", id))
}

func (c *call) badRequest(format string, args ...any) *response {
	return c.fail(http.StatusBadRequest, "Request_BadRequest", fmt.Sprintf(format, args...))
}

func (c *call) unsupported(format string, args ...any) *response {
	return c.fail(http.StatusBadRequest, "Request_UnsupportedQuery", fmt.Sprintf(format, args...))
}

// invalidID answers for an id in the path that cannot be one.
func (c *call) invalidID(id string) *response {
	return c.badRequest("Invalid object identifier '%s'.", id)
}

func (c *call) readGroup(o options) *response {
	id := c.segments[1]
	switch {
	case !isGUID(id):
		return c.invalidID(id)
	case !c.grant.groups:
		return c.denied()
	}
	g := c.g.tenant.group(strings.ToLower(id))
	if g == nil {
		return c.notFound(id)
	}
	return c.single(o, "groups", entry{group: g}, false)
}

func (c *call) readUser(o options) *response {
	if !c.grant.users {
		return c.denied()
	}
	u := c.g.tenant.find(c.segments[1])
	if u == nil {
		return c.notFound(c.segments[1])
	}
	return c.single(o, "users", entry{user: u}, false)
}

func (c *call) deletedItem(o options) *response {
	id := c.segments[2]
	switch {
	case !isGUID(id):
		return c.invalidID(id)
	case !c.grant.users:
		return c.denied()
	}
	u := c.g.tenant.user(strings.ToLower(id))
	if u == nil || !u.Deleted() {
		return c.notFound(id)
	}
	binned := *u
	binned.UserPrincipalName = deletedName(u)
	return c.single(o, "directoryObjects", entry{user: &binned}, true)
}

// single is the answer with one object.
func (c *call) single(o options, set string, e entry, typed bool) *response {
	props := o.chosen(e.kind())
	b := append([]byte(`{"@odata.context":`), appendQuoted(nil, c.context(set, o)+"/$entity")...)
	b = fields(append(b, ','), e, props, typed, false)
	return c.reply(http.StatusOK, append(b, '}'))
}

func (c *call) organization() *response {
	if !c.grant.organization {
		return c.denied()
	}
	t := c.g.tenant
	return c.json(http.StatusOK, map[string]any{
		"@odata.context": c.g.URL() + "/$metadata#organization",
		"value": []any{map[string]any{
			"id": t.ID(), "displayName": "Nordwind Trading", "tenantType": "AAD", "countryLetterCode": "NL", "deletedDateTime": nil,
			"verifiedDomains": []any{map[string]any{"name": t.Domain(), "isDefault": true, "isInitial": false, "type": "Managed", "capabilities": "Email, OfficeCommunicationsOnline"}},
		}},
	})
}

// maxGroupIDs is how many groups one checkMemberGroups asks about.
const maxGroupIDs = 20

func (c *call) checkMemberGroups() *response {
	if !c.grant.users || !c.grant.groups {
		return c.denied()
	}
	var body struct {
		GroupIDs []string `json:"groupIds"`
	}
	if err := json.Unmarshal(c.body, &body); err != nil {
		return c.fail(http.StatusBadRequest, "BadRequest", "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.")
	}
	switch n := len(body.GroupIDs); {
	case n == 0:
		return c.badRequest("Property groupIds is required.")
	case n > maxGroupIDs:
		return c.badRequest("Collection groupIds holds %d items, the maximum is %d.", n, maxGroupIDs)
	}
	for i, id := range body.GroupIDs {
		if !isGUID(id) {
			return c.invalidID(id)
		}
		body.GroupIDs[i] = strings.ToLower(id)
	}
	u := c.g.tenant.find(c.segments[1])
	if u == nil {
		return c.notFound(c.segments[1])
	}
	return c.json(http.StatusOK, map[string]any{
		"@odata.context": c.g.URL() + "/$metadata#Collection(Edm.String)",
		"value":          c.g.tenant.memberOf(u.ID, body.GroupIDs, c.grant.hidden),
	})
}

// find looks up a user that is not deleted by object id or user principal name.
func (t *Tenant) find(key string) *User {
	u := t.user(strings.ToLower(key))
	if u == nil {
		u = t.named(key)
	}
	if u == nil || u.Deleted() {
		return nil
	}
	return u
}

// memberOf gives those of the groups that the user is in, directly or through others, in the order asked.
func (t *Tenant) memberOf(user string, groups []string, hidden bool) []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	in := []string{}
	for _, id := range groups {
		if t.contains(id, user, hidden, make(map[string]bool)) {
			in = append(in, id)
		}
	}
	return in
}

// contains walks a group and those within it, each once. The caller holds mu.
func (t *Tenant) contains(group, user string, hidden bool, seen map[string]bool) bool {
	g := t.groups[group]
	if g == nil || seen[group] || g.HiddenMembership && !hidden {
		return false
	}
	seen[group] = true
	for _, id := range g.Members {
		if id == user || t.contains(id, user, hidden, seen) {
			return true
		}
	}
	return false
}

// stamp writes a point in time as Graph does (RFC 3339, UTC, whole seconds).
func stamp(b []byte, at time.Time) []byte {
	if at.IsZero() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = at.UTC().AppendFormat(b, "2006-01-02T15:04:05Z")
	return append(b, '"')
}
