package scim

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// What a bulk request says about itself and gets back (RFC 7644 section 3.7).
const (
	bulkRequestURN  = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
	bulkResponseURN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
)

const (
	bulkPrefix = "bulkId:" // of a reference to what another operation creates; in any case
	bulkDepth  = 3         // levels of a bulk request above the data of an operation

	usersPath, groupsPath = "Users", "Groups"
)

// bulk is a bulk request on its way (RFC 7644 section 3.7). Each operation does what the same request does
// alone: in a transaction of its own, with its own log line, event and answer.
//
// Operations are carried out in the order of the request, but for those that refer to what a later one
// creates: they wait for it. Creations that refer to one another in a circle are one transaction, all or
// nothing. What refers to a creation that failed fails too, so that nothing is kept that refers to nothing.
type bulk struct {
	*request
	operations []*bulkOperation // in the order of the request
	byID       map[string]*bulkOperation
	failAfter  int // errors after which no other operation is tried; 0: never
	errors     int
}

// bulkOperation is one operation of a bulk.
type bulkOperation struct {
	q          request // as which it is carried out
	method     string
	collection string // Users or Groups
	bulkID     string
	version    string // that the resource must have; empty: any
	data       Value
	target     *bulkOperation   // creates the resource that the path names by bulkId
	needs      []*bulkOperation // create what data and path refer to, each once
	seen       *bulkOperation   // the operation that was last found to need this one
	before     *bulkOperation   // the one before it on the same resource
	set        *bulkSet

	place          int // in the request
	number, lowest int // of the search for circles

	ran    bool
	err    error  // why it failed
	answer *Error // err as the client may know it
	written
}

// bulkSet is what is one transaction: an operation, or creations that refer to one another in a circle.
type bulkSet struct {
	operations []*bulkOperation // in the order of the request
	circular   bool
	waits      int        // sets that come before this one and are not placed
	next       []*bulkSet // wait for this one
	placed     bool
}

// bulkWork is how the operations are understood, by collection and method.
var bulkWork = map[string]map[string]func(*request, Value) (task, error){
	usersPath: {http.MethodPost: (*request).userPost, http.MethodPut: (*request).userPut,
		http.MethodPatch: (*request).userPatch, http.MethodDelete: (*request).userDelete},
	groupsPath: {http.MethodPost: (*request).groupPost, http.MethodPut: (*request).groupPut,
		http.MethodPatch: (*request).groupPatch, http.MethodDelete: (*request).groupDelete},
}

var bulkActions = map[string]directory.Action{http.MethodPost: directory.ActionCreate, http.MethodPut: directory.ActionUpdate,
	http.MethodPatch: directory.ActionUpdate, http.MethodDelete: directory.ActionDelete}

// serveBulk answers POST /Bulk. What is wrong with the request as a whole is an error before its first
// operation; what is wrong with one operation is the answer of that one.
//
// When the client goes away no further operation is begun: nobody learns of it, and what is asked for
// again finds each operation done or not done.
func (q *request) serveBulk() error {
	q.begin(directory.ActionOther, "Bulk")
	b, err := q.readBulk()
	if err != nil {
		return err
	}
	if err := q.charge(len(b.operations)); err != nil {
		return err
	}
	for _, set := range b.sets() {
		if err := q.r.Context().Err(); err != nil {
			return err
		}
		b.carryOut(set)
		if b.failAfter > 0 && b.errors >= b.failAfter {
			break
		}
	}
	if err := q.r.Context().Err(); err != nil {
		return err
	}
	b.derive()
	// The work may have taken long; what is left is the answer alone.
	_ = http.NewResponseController(q.w).SetWriteDeadline(time.Now().Add(pageTime))
	return q.send(http.StatusOK, b.append(nil))
}

// charge takes what n operations cost out of the tenant's bucket; one is paid. A bulk that is larger than the
// bucket needs a full one and leaves the rest to be made up for, so that the announced maximum always passes.
func (q *request) charge(n int) error {
	limiter, now := q.tenant.limiter, q.Now()
	at := min(n, limiter.Burst())
	if at > 1 && !limiter.AllowN(now, at-1) {
		return q.tooMany(at)
	}
	for rest := n - at; rest > 0; rest -= limiter.Burst() {
		limiter.ReserveN(now, min(rest, limiter.Burst()))
	}
	return nil
}

// readBulk reads the request as far as it can be refused as a whole (RFC 7644 section 3.7.4), and the
// operations with what they refer to.
func (q *request) readBulk() (*bulk, error) {
	q.bodyLimit = q.Limits.BulkBytes
	data, err := q.rawBody("application/scim+json", "application/json")
	if err != nil {
		if e := toError(err); e.Status == http.StatusRequestEntityTooLarge {
			return nil, tooLarge("the size of the bulk exceeds maxPayloadSize", q.Limits.BulkBytes)
		}
		return nil, err
	}
	body, err := parseJSON(data, q.Limits.JSONDepth+bulkDepth)
	if err != nil {
		return nil, err
	}
	if body.Kind != Object {
		return nil, invalidSyntax("A bulk request must be a JSON object.")
	}
	if !namesSchema(body, bulkRequestURN) {
		return nil, invalidSyntax("schemas must hold %s.", bulkRequestURN)
	}
	b := &bulk{request: q, byID: map[string]*bulkOperation{}}
	if b.failAfter, err = failOnErrors(body); err != nil {
		return nil, err
	}
	list, _ := body.Get("Operations")
	switch {
	case list.Kind != Array:
		return nil, invalidSyntax("Operations must be a list of operations.")
	case len(list.Elems) == 0 && q.tenant.mode.Strict:
		return nil, invalidSyntax("Operations must hold at least one operation.")
	case len(list.Elems) > q.Limits.BulkOperations:
		return nil, tooLarge("too many operations: the bulk exceeds maxOperations", int64(q.Limits.BulkOperations))
	}
	for _, v := range list.Elems {
		if err := b.add(v); err != nil {
			return nil, err
		}
	}
	b.refer()
	return b, nil
}

func tooLarge(what string, limit int64) *Error {
	return &Error{Status: http.StatusRequestEntityTooLarge, Detail: what + " (" + strconv.FormatInt(limit, 10) + ")"}
}

// failOnErrors reads after how many errors the rest is not tried; 0: all are.
func failOnErrors(body Value) (int, error) {
	v, _ := body.Get("failOnErrors")
	if v.Kind == Null {
		return 0, nil
	}
	n, err := strconv.ParseUint(v.Text, 10, 31)
	if v.Kind != Number || err != nil {
		return 0, invalidValue("failOnErrors must be a number of errors.")
	}
	return int(n), nil
}

// add reads an operation. An error is one of the whole request: two operations of one bulkId would leave
// open what a reference means.
func (b *bulk) add(v Value) error {
	if v.Kind != Object {
		return invalidSyntax("An operation must be a JSON object.")
	}
	o := &bulkOperation{place: len(b.operations), q: request{Handler: b.Handler, r: b.r, tenant: b.tenant, token: b.token, from: b.from, base: b.base}}
	o.q.op = o
	id, _ := v.Get("bulkId")
	if id.Kind == String && id.Text != "" {
		if b.byID[id.Text] != nil {
			return invalidValue("bulkId %q stands for two operations.", clip(id.Text))
		}
		o.bulkID = id.Text
		b.byID[id.Text] = o
	}
	o.err = o.read(v, b.tenant.mode.Strict)
	b.operations = append(b.operations, o)
	return nil
}

// read reads what an operation asks for, but for what it refers to.
func (o *bulkOperation) read(v Value, strict bool) error {
	method, _ := v.Get("method")
	o.method = method.Text
	if !strict {
		o.method = strings.ToUpper(clip(o.method))
	}
	path, _ := v.Get("path")
	err := o.readPath(path, strict) // also for the answer, which tells where the resource is
	switch {
	case bulkActions[o.method] == "":
		o.method = clip(o.method)
		return invalidValue("method must be POST, PUT, PATCH or DELETE.")
	case err != nil:
		return err
	}
	switch id, _ := v.Get("bulkId"); {
	case id.Kind != Null && id.Kind != String:
		return invalidValue("bulkId must be a string.")
	case o.method == http.MethodPost && id.Text == "":
		return invalidValue("POST needs a bulkId.")
	case len(id.Text) > maxNameLength:
		return invalidValue("A bulkId may have %d bytes at most.", maxNameLength)
	}
	switch version, _ := v.Get("version"); {
	case version.Kind != Null && version.Kind != String:
		return invalidValue("version must be a string.")
	case o.method != http.MethodPost: // what is to be made has none yet
		o.version = version.Text
	}
	if o.method != http.MethodDelete {
		var ok bool
		if o.data, ok = v.Get("data"); !ok {
			return invalidSyntax("%s needs data.", o.method)
		}
		if o.method == http.MethodPatch && o.data.Kind == Array && !strict { // the list alone, as in the example of the RFC
			o.data = Value{Kind: Object, Members: []Member{{"Operations", o.data}}}
		}
	}
	return nil
}

// readPath reads which collection or resource an operation is about. The path is relative to the Tenant URL
// and taken as the path of a request is.
func (o *bulkOperation) readPath(v Value, strict bool) error {
	if v.Kind != String || v.Text == "" {
		return invalidValue("path must be that of a resource, such as /Users/{id}, or with POST of its type, such as /Users.")
	}
	path, rooted := strings.CutPrefix(v.Text, "/")
	if !rooted && strict {
		return invalidValue("path must begin with a slash.")
	}
	collection, last, isItem := strings.Cut(strings.TrimSuffix(path, "/"), "/")
	if bulkWork[collection] == nil {
		return errNoPath
	}
	o.collection = collection
	if isItem {
		name, err := url.PathUnescape(last)
		if err != nil || name == "" || strings.ContainsAny(name, "/\\\x00") {
			return errNoPath
		}
		o.q.name = name
		o.q.id, _ = directory.ParseID(name)
	}
	if (o.method == http.MethodPost) == isItem {
		return &Error{Status: http.StatusMethodNotAllowed, Detail: "this resource does not have the method " + o.method}
	}
	return nil
}

// precondition checks the version that an operation asks for, in any of the forms of If-Match. The headers of
// the bulk are about no resource.
func (o *bulkOperation) precondition(version uint64) error {
	if o.version == "" || matches(o.version, version) {
		return nil
	}
	return &Error{Status: http.StatusPreconditionFailed, Detail: "the resource has changed: its version is another one"}
}

// refer puts ids in the place of bulkIds and finds out what each operation waits for. What is referred to has
// its id from here on, so that a circle can be written at all.
func (b *bulk) refer() {
	last := map[directory.ID]*bulkOperation{} // on that resource
	for _, o := range b.operations {
		if o.err != nil {
			continue
		}
		if id, ok := cutBulkPrefix(o.q.name); ok {
			if o.target, o.err = b.refersTo(o, id); o.err != nil {
				continue
			}
			o.q.id = o.target.q.id
		}
		if o.err = replaceReferences(&o.data, "", func(id string) (string, error) {
			target, err := b.refersTo(o, id)
			if err != nil {
				return "", err
			}
			return target.q.id.String(), nil
		}); o.err != nil {
			continue
		}
		if o.method != http.MethodPost && !o.q.id.IsZero() {
			o.before, last[o.q.id] = last[o.q.id], o
		}
	}
}

// refersTo finds the creation that o refers to.
func (b *bulk) refersTo(o *bulkOperation, id string) (*bulkOperation, error) {
	target := b.byID[id]
	if target == nil || target.method != http.MethodPost {
		return nil, invalidValue("No operation of this bulk creates bulkId %q.", clip(id))
	}
	if target.q.id.IsZero() {
		target.q.id = b.Service.NewID()
	}
	if target.seen != o {
		target.seen = o
		o.needs = append(o.needs, target)
	}
	return target, nil
}

func cutBulkPrefix(s string) (id string, ok bool) {
	if len(s) < len(bulkPrefix) || !equalFold(s[:len(bulkPrefix)], bulkPrefix) {
		return "", false
	}
	return s[len(bulkPrefix):], true
}

// replaceReferences puts what resolve gives in the place of each reference in the data of an operation. That is
// any text that begins with bulkId:, wherever it stands, so that none is ever kept; the end of a $ref; and a value
// that a path compares with. name is that of the member which v is the value of.
func replaceReferences(v *Value, name string, resolve func(string) (string, error)) (err error) {
	switch v.Kind {
	case String:
		v.Text, err = replaceInText(v.Text, name, resolve)
	case Array:
		for i := range v.Elems {
			if err := replaceReferences(&v.Elems[i], name, resolve); err != nil {
				return err
			}
		}
	case Object:
		for i := range v.Members {
			m := &v.Members[i]
			if m.Name, err = replaceInPath(m.Name, resolve); err != nil { // names can be paths in a PATCH
				return err
			}
			if err := replaceReferences(&m.Value, m.Name, resolve); err != nil {
				return err
			}
		}
	}
	return err
}

func replaceInText(text, name string, resolve func(string) (string, error)) (string, error) {
	if id, ok := cutBulkPrefix(text); ok {
		return resolve(id)
	}
	switch {
	case equalFold(name, "path"):
		return replaceInPath(text, resolve)
	case equalFold(name, "$ref"):
		if slash := strings.LastIndexByte(text, '/'); slash >= 0 {
			if id, ok := cutBulkPrefix(text[slash+1:]); ok {
				id, err := resolve(id)
				return text[:slash+1] + id, err
			}
		}
	}
	return text, nil
}

// replaceInPath replaces the values in the brackets of a path, quoted or bare.
func replaceInPath(path string, resolve func(string) (string, error)) (string, error) {
	open := strings.IndexByte(path, '[')
	if open < 0 {
		return path, nil
	}
	out := []byte(path[:open])
	for rest := path[open:]; rest != ""; {
		var word, mark string // the next value, without its quotes
		n := 1
		switch rest[0] {
		case '"':
			end := stringEnd(rest[1:])
			word, mark, n = unescape(rest[1:1+end]), `"`, min(end+2, len(rest))
		case ' ', '[', '(', ']', ')':
		default:
			if n = strings.IndexAny(rest, ` []()"`); n < 0 {
				n = len(rest)
			}
			word = rest[:n]
		}
		if id, ok := cutBulkPrefix(word); ok {
			id, err := resolve(id)
			if err != nil {
				return "", err
			}
			out = append(append(append(out, mark...), id...), mark...)
		} else {
			out = append(out, rest[:n]...)
		}
		rest = rest[n:]
	}
	return string(out), nil
}

// sets returns the transactions of the bulk, each behind those that it waits for: of those that wait for none
// any more the one comes next that the request has first. A circle stands where its last operation does.
func (b *bulk) sets() []*bulkSet {
	all := b.circles()
	for _, o := range b.operations {
		for _, n := range o.needs {
			o.set.follow(n.set)
		}
		if o.before != nil {
			o.set.follow(o.before.set)
		}
	}
	last := func(s *bulkSet) int { return s.operations[len(s.operations)-1].place }
	slices.SortFunc(all, func(x, y *bulkSet) int { return last(x) - last(y) })
	ordered := make([]*bulkSet, 0, len(all))
	for {
		i := slices.IndexFunc(all, func(s *bulkSet) bool { return !s.placed && s.waits == 0 })
		if i < 0 {
			return ordered
		}
		all[i].placed = true
		ordered = append(ordered, all[i])
		for _, s := range all[i].next {
			s.waits--
		}
	}
}

// follow has s wait for another set.
func (s *bulkSet) follow(first *bulkSet) {
	if s != first {
		first.next = append(first.next, s)
		s.waits++
	}
}

// circles puts operations that need one another, at any distance, into one set, and every other one into a
// set of its own (Tarjan's strongly connected components). Creations alone are needed, so only they form circles.
func (b *bulk) circles() (all []*bulkSet) {
	var open []*bulkOperation
	visited := 0
	var visit func(*bulkOperation)
	visit = func(o *bulkOperation) {
		visited++
		o.number, o.lowest = visited, visited
		open = append(open, o)
		for _, n := range o.needs {
			if n.number == 0 {
				visit(n)
			}
			if n.set == nil { // it is on the way to o
				o.lowest = min(o.lowest, n.lowest)
			}
		}
		if o.lowest != o.number {
			return
		}
		at := slices.Index(open, o)
		set := &bulkSet{operations: slices.Clone(open[at:]), circular: len(open)-at > 1 || slices.Contains(o.needs, o)}
		slices.SortFunc(set.operations, func(x, y *bulkOperation) int { return x.place - y.place })
		for _, x := range set.operations {
			x.set = set
		}
		open = open[:at]
		all = append(all, set)
	}
	for _, o := range b.operations {
		if o.number == 0 {
			visit(o)
		}
	}
	return all
}

// arranged returns the operations of a set in an order in which they can be carried out: users first, who may
// name whom they like, then each group behind those in it. It returns nil when groups would contain one another.
func (s *bulkSet) arranged() []*bulkOperation {
	if !s.circular {
		return s.operations
	}
	list := make([]*bulkOperation, 0, len(s.operations))
	placed := make(map[*bulkOperation]bool, len(s.operations))
	place := func(ready func(*bulkOperation) bool) bool {
		i := slices.IndexFunc(s.operations, func(o *bulkOperation) bool { return !placed[o] && ready(o) })
		if i < 0 {
			return false
		}
		placed[s.operations[i]] = true
		list = append(list, s.operations[i])
		return true
	}
	isUser := func(o *bulkOperation) bool { return o.collection != groupsPath }
	isFilled := func(o *bulkOperation) bool { // with groups that are there
		return !slices.ContainsFunc(o.needs, func(n *bulkOperation) bool { return n.set == s && n.collection == groupsPath && !placed[n] })
	}
	for range s.operations {
		if !place(isUser) && !place(isFilled) {
			return nil
		}
	}
	return list
}

// carryOut runs a set as one transaction, and says of each of its operations what came of it.
func (b *bulk) carryOut(set *bulkSet) {
	failed := false
	order := set.arranged()
	if order == nil {
		order = set.operations
		for _, o := range order {
			if o.err == nil {
				o.err = &Error{Status: http.StatusConflict, Detail: "groups that refer to one another in a circle cannot contain one another"}
			}
		}
	}
	work := make([]task, len(order))
	for i, o := range order {
		work[i], o.err = o.understand()
		failed = failed || o.err != nil
	}
	if !failed {
		failed = b.transact(order, work)
	}
	for _, o := range set.operations {
		o.ran = true
		if failed && o.err == nil {
			o.err = &Error{Status: http.StatusConflict, Detail: "not carried out: an operation failed with which this one is connected by references in a circle"}
		}
		if o.err != nil {
			b.errors++
			o.answer = o.q.failure(o.err)
		}
	}
}

// transact carries out operations in one transaction and reports whether it failed: by one of them, whose error it
// is, or as a whole.
func (b *bulk) transact(order []*bulkOperation, work []task) bool {
	var at *bulkOperation // at work
	err := b.Service.Together(b.r.Context(), func(batch *directory.Batch) error {
		for i, o := range order {
			at = o
			w, err := work[i](batch)
			if err != nil {
				return err
			}
			o.written = w
		}
		at = nil
		return nil
	})
	if err == nil {
		return false
	}
	for _, o := range order {
		if at == nil || o == at {
			o.err = err
		}
	}
	return true
}

// understand is the part of an operation before its transaction. An operation that cannot be carried out is an
// error here, and in the log what it would have been.
func (o *bulkOperation) understand() (task, error) {
	err := o.err
	for _, n := range o.needs {
		if err == nil && n.set != o.set && n.err != nil {
			err = &Error{Status: http.StatusConflict, Detail: "not carried out: the operation with bulkId " + strconv.Quote(clip(n.bulkID)) + ", to which this one refers, failed"}
		}
	}
	if err == nil && o.target != nil {
		o.q.name = o.q.id.String()
	}
	switch {
	case o.collection == "" || bulkActions[o.method] == "":
		o.q.begin(directory.ActionOther, "Bulk")
	case o.collection == usersPath:
		o.q.begin(bulkActions[o.method], "User")
	default:
		o.q.begin(bulkActions[o.method], "Group")
	}
	if err != nil {
		return nil, err
	}
	return bulkWork[o.collection][o.method](&o.q, o.data)
}

// derive completes the versions of users with what is derived for their answers, so that they are those that a
// GET shows. Without it they serve for conditions all the same.
func (b *bulk) derive() {
	p := b.tenant.everyUser
	err := withBuffer(func(buf []byte) ([]byte, error) {
		err := b.Service.View(b.r.Context(), func(sn *directory.Snapshot) error {
			for _, o := range b.operations {
				if o.err != nil || o.user == nil {
					continue
				}
				var u directory.User
				found, err := sn.UserResource(&u, b.tenant.ID, o.user.ID)
				if err != nil {
					return err
				}
				if !found || u.Version != o.user.Version {
					continue // another operation came after this one
				}
				if buf, err = o.q.renderer(sn, p).user(buf[:0], &u); err != nil {
					return err
				}
			}
			return nil
		})
		return buf, err
	})
	if err != nil && b.r.Context().Err() == nil {
		b.Log.Error("versions of a bulk could not be derived", "error", err, "requestId", b.RequestID(b.r))
	}
}

// append appends the answer: of each operation that was tried what became of it, in the order of the request. Those
// that succeeded have no response; what they left is at their location.
func (b *bulk) append(dst []byte) []byte {
	dst = append(dst, `{"schemas":["`+bulkResponseURN+`"],"Operations":[`...)
	first := true
	for _, o := range b.operations {
		if !o.ran {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = o.append(dst)
	}
	return append(dst, "]}"...)
}

func (o *bulkOperation) append(dst []byte) []byte {
	dst = append(dst, `{"method":`...)
	dst = appendString(dst, o.method)
	dst = appendText(dst, "bulkId", o.bulkID)
	dst = appendText(dst, "location", o.location())
	if o.err != nil {
		dst = append(dst, `,"status":"`...)
		dst = strconv.AppendInt(dst, int64(o.answer.Status), 10)
		dst = append(dst, `","response":`...)
		return append(o.answer.appendJSON(dst), '}')
	}
	switch {
	case o.user != nil:
		dst = appendText(dst, "version", string(appendETag(nil, o.user.Version, o.q.derived)))
	case o.group != nil:
		dst = appendText(dst, "version", string(appendETag(nil, o.group.Version, 0)))
	}
	dst = append(dst, `,"status":"`...)
	dst = strconv.AppendInt(dst, int64(o.q.by.Answer), 10) // what the same request would be answered with alone
	return append(dst, `"}`...)
}

// location is where the resource of an operation is, or would be; empty for a creation that failed and for a
// path that leads to no resource.
func (o *bulkOperation) location() string {
	name := url.PathEscape(o.q.name)
	switch {
	case o.err == nil && o.user != nil:
		name = o.user.ID.String()
	case o.err == nil && o.group != nil:
		name = o.group.ID.String()
	}
	switch {
	case o.collection == "", o.err != nil && o.method == http.MethodPost:
		return ""
	case name == "":
		return o.q.base + "/" + o.collection
	}
	return o.q.base + "/" + o.collection + "/" + name
}
