package scim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/bizzstream/bizzscim/directory"
)

// Authenticator knows whose a bearer token is.
type Authenticator interface {
	// Authenticate returns the tenant that the token opens and the token's id, or a
	// directory.Error of kind Unauthorized. While the tenant's record is unchanged it returns
	// the same pointer. from is the caller's address, for the note of last use.
	Authenticate(ctx context.Context, token, from string) (*directory.Tenant, directory.ID, error)
}

// PersonAuthenticator knows whose session a token is of.
type PersonAuthenticator interface {
	// AuthenticatePerson returns whom a live session stands for, by its secret: the tenant whose directory manages the
	// person, the same pointer as Authenticate gives, and the id of their User there. The tenant is nil for somebody whom no
	// directory manages. Errors: *directory.SessionEnded, with EndedUnknown for what is the secret of no session.
	AuthenticatePerson(ctx context.Context, token string) (*directory.Tenant, directory.ID, error)
}

// ClientAuthenticator issues access tokens to OAuth clients.
type ClientAuthenticator interface {
	// Token authenticates a client of the tenant of that name, by secret or by assertion, and
	// returns a new access token and its life; Unauthorized when it cannot.
	Token(ctx context.Context, tenant, clientID, secret, assertion string) (token string, life time.Duration, err error)
}

// Limits bound what one request may ask for. Zero values take the defaults.
type Limits struct {
	BodyBytes         int64 // of a request; default 1 MiB
	JSONDepth         int   // of a request's body; default 32
	Filter            FilterLimits
	Patch             PatchLimits
	BulkOperations    int           // of a bulk; default 100, at most 1,000
	BulkBytes         int64         // of a bulk; default 1 MiB
	PageDefault       int           // resources of a page without count; default 100
	PageMax           int           // default 200, at most 1,000
	QueryTime         time.Duration // that one query may look at resources, and may wait for its turn to; default 10 s
	RequestsPerSecond int           // of a tenant; default 500, never below directory.MinRequestsPerSecond
	Burst             int           // of a tenant; default 1,000
}

func (l Limits) orDefaults() Limits {
	set := func(v *int, missing, least, most int) {
		if *v <= 0 {
			*v = missing
		}
		*v = min(max(*v, least), most)
	}
	if l.QueryTime <= 0 {
		l.QueryTime = 10 * time.Second
	}
	if l.BodyBytes <= 0 {
		l.BodyBytes = 1 << 20
	}
	if l.BulkBytes <= 0 {
		l.BulkBytes = 1 << 20
	}
	set(&l.BulkOperations, 100, 1, 1000)
	set(&l.JSONDepth, 32, 4, 1000)
	set(&l.PageDefault, 100, 1, 1000)
	set(&l.PageMax, 200, 1, 1000)
	l.PageDefault = min(l.PageDefault, l.PageMax)
	set(&l.RequestsPerSecond, 500, directory.MinRequestsPerSecond, directory.MaxRequestsPerSecond)
	set(&l.Burst, 1000, directory.MinRequestsPerSecond, directory.MaxRequestsPerSecond)
	l.Filter = l.Filter.orDefaults()
	l.Patch = l.Patch.orDefaults()
	return l
}

// Config is what a Handler takes from outside.
type Config struct {
	Service    *directory.Service
	Auth       Authenticator
	Clients    ClientAuthenticator
	People     PersonAuthenticator        // for /Me alone; nil: no session opens it
	BaseURL    func(*http.Request) string // scheme and host of absolute locations, without a slash at the end; nil: from the request
	RemoteAddr func(*http.Request) string // the caller's address; nil: that of the connection
	RequestID  func(*http.Request) string // nil: none
	Limits     Limits
	Now        func() time.Time
	Log        *slog.Logger
}

// Handler serves the SCIM endpoint of every tenant at /scim/{tenant}/v2 and its token endpoint at
// /scim/{tenant}/oauth2/token. It dispatches by itself: no path reaches a resource that is not
// written in Routes, and nothing but the token endpoint is reached without a valid token. A person's own session opens /Me
// and nothing else.
type Handler struct {
	Config
	mu      sync.RWMutex
	tenants map[directory.ID]*tenant
	notes   chan note
	lost    atomic.Int64 // notes that found the queue full
	cursors cursorKey
	// rankings are the turns of lists that are put in order.
	rankings chan struct{}
}

// note is a request that changed nothing, on its way to the provisioning log.
type note struct {
	by    directory.Actor
	event directory.LogEvent
}

// NewHandler returns a Handler. Run must run beside it for failed requests to show in the log.
func NewHandler(c Config) *Handler {
	c.Limits = c.Limits.orDefaults()
	if c.BaseURL == nil {
		c.BaseURL = requestBase
	}
	if c.RemoteAddr == nil {
		c.RemoteAddr = func(r *http.Request) string {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			return host
		}
	}
	if c.RequestID == nil {
		c.RequestID = func(*http.Request) string { return "" }
	}
	return &Handler{Config: c, tenants: map[directory.ID]*tenant{}, notes: make(chan note, 1024), rankings: make(chan struct{}, allRankings)}
}

func requestBase(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// Run writes the log lines of failed requests until ctx ends and none is left. Lines are lost, and report told,
// when they come faster than they can be written: a failing client must not slow down the others.
func (h *Handler) Run(ctx context.Context, report func(error)) {
	write := func(n note) {
		// Also when ctx has ended: what was taken in is written.
		if err := h.Service.LogFailure(context.WithoutCancel(ctx), n.by, n.event); err != nil {
			report(err)
		}
		if lost := h.lost.Swap(0); lost > 0 {
			report(fmt.Errorf("scim: %d failed requests were too many to be logged", lost))
		}
	}
	for {
		select {
		case n := <-h.notes:
			write(n)
		case <-ctx.Done():
			for {
				select {
				case n := <-h.notes:
					write(n)
				default:
					return
				}
			}
		}
	}
}

// Route is one method and path below /scim/{tenant}/v2.
type Route struct {
	Method  string
	Pattern string
}

type route struct {
	Route
	serve func(*request) error
}

// routes is the router: a path as it is written here, or a collection with the id of a resource behind it. Where both
// fit, as with /Users/.search, the first counts.
var routes = []route{
	{Route{"GET", "/"}, (*request).listAll},
	{Route{"POST", "/.search"}, (*request).searchAll},
	{Route{"GET", "/Users"}, (*request).listUsers},
	{Route{"POST", "/Users"}, (*request).createUser},
	{Route{"POST", "/Users/.search"}, (*request).searchUsers},
	{Route{"GET", "/Users/{id}"}, (*request).getUser},
	{Route{"PUT", "/Users/{id}"}, (*request).putUser},
	{Route{"PATCH", "/Users/{id}"}, (*request).patchUser},
	{Route{"DELETE", "/Users/{id}"}, (*request).deleteUser},
	{Route{"GET", "/Groups"}, (*request).listGroups},
	{Route{"POST", "/Groups"}, (*request).createGroup},
	{Route{"POST", "/Groups/.search"}, (*request).searchGroups},
	{Route{"GET", "/Groups/{id}"}, (*request).getGroup},
	{Route{"PUT", "/Groups/{id}"}, (*request).putGroup},
	{Route{"PATCH", "/Groups/{id}"}, (*request).patchGroup},
	{Route{"DELETE", "/Groups/{id}"}, (*request).deleteGroup},
	{Route{"GET", "/Me"}, (*request).getMe},
	{Route{"POST", "/Me"}, (*request).writeMe},
	{Route{"PUT", "/Me"}, (*request).writeMe},
	{Route{"PATCH", "/Me"}, (*request).writeMe},
	{Route{"DELETE", "/Me"}, (*request).writeMe},
	{Route{"POST", "/Bulk"}, (*request).serveBulk},
	{Route{"GET", "/Schemas"}, (*request).listSchemas},
	{Route{"GET", "/Schemas/{id}"}, (*request).getSchema},
	{Route{"GET", "/ResourceTypes"}, (*request).listResourceTypes},
	{Route{"GET", "/ResourceTypes/{id}"}, (*request).getResourceType},
	{Route{"GET", "/ServiceProviderConfig"}, (*request).serviceProviderConfig},
	{Route{"GET", "/serviceConfiguration"}, (*request).serviceProviderConfig}, // the name in Microsoft's sample server
}

// Routes lists every method and path that is served with a token, but HEAD, which goes wherever GET goes, and OPTIONS, which
// goes everywhere.
func Routes() []Route {
	list := make([]Route, len(routes))
	for i, r := range routes {
		list[i] = r.Route
	}
	return list
}

// resource is one path pattern with what its methods do.
type resource struct {
	methods map[string]func(*request) error
	allow   string // value of Allow
}

// fixed are the paths without an id, items the collections of those with one; neither has a slash at its start.
var fixed, items = func() (fixed, items map[string]*resource) {
	fixed, items = map[string]*resource{}, map[string]*resource{}
	for _, r := range routes {
		name, isItem := strings.CutSuffix(r.Pattern[1:], "/{id}")
		m := fixed
		if isItem {
			m = items
		}
		if m[name] == nil {
			m[name] = &resource{methods: map[string]func(*request) error{}}
		}
		m[name].methods[r.Method] = r.serve
		m[name].allow = allow(m[name].methods)
	}
	return fixed, items
}()

// endpoints are the first segments of the paths, by their names in small letters.
var endpoints = func() map[string]string {
	names := map[string]string{}
	for name := range fixed {
		name, _, _ = strings.Cut(name, "/")
		names[lowerASCII(name)] = name
	}
	return names
}()

// respelled returns a path with the name of its endpoint as it is written here: Microsoft's test collection asks for /users.
func respelled(path string) string {
	head, _, _ := strings.Cut(path, "/")
	if name := endpoints[lowerASCII(head)]; fixed[head] == nil && name != "" {
		return name + path[len(head):]
	}
	return path
}

// allow is the value of Allow for what has these methods (RFC 9110 section 10.2.1).
func allow(methods map[string]func(*request) error) string {
	list := make([]string, 0, 7)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if methods[method] != nil || method == http.MethodHead && methods[http.MethodGet] != nil {
			list = append(list, method)
		}
	}
	return strings.Join(append(list, http.MethodOptions), ", ")
}

// tenant is what the handler keeps of a tenant while its record is unchanged.
type tenant struct {
	*directory.Tenant
	user, group           *ResourceType
	everyUser, everyGroup *Projection // what a request gets that chooses no attributes
	base                  atomic.Pointer[tenantURL]
	mode                  Mode
	limiter               *rate.Limiter
	people                *people       // of /Me: what people ask for holds up no directory
	rankings              chan struct{} // see Handler
}

// tenantURL is the Tenant URL under a base URL.
type tenantURL struct{ base, url string }

// url returns the Tenant URL, without a slash at the end. Nearly all requests come by one base URL.
func (t *tenant) url(base string) string {
	last := t.base.Load()
	if last == nil || last.base != base {
		last = &tenantURL{base, base + "/scim/" + t.Name + "/v2"}
		t.base.Store(last)
	}
	return last.url
}

func (t *tenant) everything(rt *ResourceType) *Projection {
	if rt == t.user {
		return t.everyUser
	}
	return t.everyGroup
}

// tenant compiles a tenant's settings, or returns what it compiled from the same record before.
func (h *Handler) tenant(record *directory.Tenant) *tenant {
	h.mu.RLock()
	t := h.tenants[record.ID]
	h.mu.RUnlock()
	if t != nil && t.Tenant == record {
		return t
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.tenants[record.ID]
	if old != nil && old.Tenant == record {
		return old
	}
	t = &tenant{Tenant: record, mode: Mode{Strict: record.SCIM.Strict}}
	extensions, err := extensionsOf(record)
	if err != nil {
		h.Log.Error("an extension schema that was accepted cannot be read", "tenant", record.ID, "error", err)
	}
	t.user, t.group = NewResourceTypes(extensions)
	t.user.strict, t.group.strict = t.mode.Strict, t.mode.Strict
	t.everyUser, t.everyGroup = defaultProjection(t.user), defaultProjection(t.group)
	limit, burst := h.Limits.RequestsPerSecond, h.Limits.Burst
	if n := record.SCIM.RequestsPerSecond; n > 0 {
		limit, burst = n, 2*n
	}
	if n := record.SCIM.Burst; n > 0 {
		burst = n
	}
	if old != nil && old.limiter.Limit() == rate.Limit(limit) && old.limiter.Burst() == burst {
		t.limiter = old.limiter
	} else {
		t.limiter = rate.NewLimiter(rate.Limit(limit), burst)
	}
	if old != nil {
		t.rankings, t.people = old.rankings, old.people
	} else {
		t.rankings, t.people = make(chan struct{}, tenantRankings), &people{all: map[directory.ID]*rate.Limiter{}}
	}
	h.tenants[record.ID] = t
	return t
}

// request is one request on its way through the handler.
type request struct {
	*Handler
	w      http.ResponseWriter
	r      *http.Request
	tenant *tenant
	token  directory.ID
	person bool            // the caller is a person with their own session, who may see their own User as id
	from   string          // address of the caller
	by     directory.Actor // of a write
	base   string          // Tenant URL, without a slash at the end
	name   string          // last segment of the path, decoded
	id     directory.ID    // name as an id; zero when it is none
	event  directory.LogEvent
	// derived is a sum over what the answer shows beside the kept resource; 0: nothing. It is part
	// of the entity tag, because the count of versions does not move with it.
	derived uint32
	// showsMembers says that the answer shows names of members, which change without the group.
	showsMembers bool
	op           *bulkOperation // that this is, within a bulk; nil: a request of its own
	bodyLimit    int64          // of the body; 0: Limits.BodyBytes
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := request{Handler: h, w: w, r: r}
	if err := q.serve(); err != nil {
		q.fail(err)
	}
}

var errNoPath = &Error{Status: http.StatusNotFound, Detail: "there is no such resource"}

func (q *request) serve() error {
	// The path is taken as it was sent: a segment that was encoded is not the segment that it
	// decodes to, and nothing is cleaned or redirected.
	path, ok := strings.CutPrefix(q.r.URL.EscapedPath(), "/scim/")
	if !ok {
		return errNoPath
	}
	tenantName, path, _ := strings.Cut(path, "/")
	if path == "oauth2/token" || path == "v2/oauth2/token" {
		return q.issueToken(tenantName)
	}
	err := q.authenticate()
	if err != nil && (path == "v2/Me" || path == "v2/Me/") {
		err = q.authenticatePerson(err)
	}
	if err != nil {
		return err
	}
	if !q.limiter().AllowN(q.Now(), 1) {
		return q.tooMany(1)
	}
	if q.tenant.Name != tenantName { // whether there is such a tenant is not for this caller to know
		if !q.person {
			q.name = tenantName
			q.begin(directory.ActionOther, "Tenant")
		}
		return errNoPath
	}
	target := q.find(path)
	if target == nil {
		return errNoPath
	}
	return q.dispatch(target)
}

// find returns what a path behind the tenant's name stands for, and reads the id at its end; nil when there is nothing.
func (q *request) find(path string) *resource {
	path, ok := strings.CutPrefix(path, "v2")
	switch {
	case !ok, path == "//":
		return nil
	case path != "":
		if path, ok = strings.CutPrefix(path, "/"); !ok {
			return nil
		}
		path = strings.TrimSuffix(path, "/")
	}
	if !q.tenant.mode.Strict {
		path = respelled(path)
	}
	if target := fixed[path]; target != nil {
		return target
	}
	collection, last, _ := strings.Cut(path, "/")
	target := items[collection]
	if target == nil {
		return nil
	}
	name, err := url.PathUnescape(last)
	if err != nil || name == "" || strings.Contains(last, "/") || strings.ContainsAny(name, "/\\\x00") {
		return nil
	}
	q.name = name
	if !q.person {
		q.id, _ = directory.ParseID(name)
	}
	return target
}

// dispatch hands the request to what its method does here.
func (q *request) dispatch(target *resource) error {
	serve := target.methods[q.r.Method]
	if serve == nil && q.r.Method == http.MethodHead {
		serve = target.methods[http.MethodGet]
	}
	if serve == nil {
		header := q.w.Header()
		header["Allow"] = []string{target.allow}
		if q.r.Method != http.MethodOptions {
			return &Error{Status: http.StatusMethodNotAllowed, Detail: "this resource does not have the method " + clip(q.r.Method)}
		}
		if target.methods[http.MethodPatch] != nil {
			header["Accept-Patch"] = contentTypeHeader // RFC 5789 section 3.1
		}
		return q.sendNothing()
	}
	if accept := q.r.Header["Accept"]; len(accept) > 0 && !acceptable(accept) {
		return &Error{Status: http.StatusNotAcceptable, Detail: "answers are " + contentType + ", which Accept rules out"}
	}
	q.base = q.tenant.url(q.BaseURL(q.r))
	return serve(q)
}

// authenticate opens the tenant of the request's token, whatever the path names.
func (q *request) authenticate() error {
	headers := q.r.Header["Authorization"]
	if len(headers) > 1 {
		return &Error{Status: http.StatusBadRequest, Detail: "more than one Authorization header"}
	}
	token, ok := bearer(headers)
	if !ok {
		return &directory.Error{Kind: directory.Unauthorized, Detail: "a bearer token is required"}
	}
	from := q.RemoteAddr(q.r)
	record, tokenID, err := q.Auth.Authenticate(q.r.Context(), token, from)
	if err != nil {
		return err
	}
	q.token, q.from = tokenID, from
	q.tenant = q.Handler.tenant(record)
	return nil
}

// bearer reads a bearer token (RFC 6750 section 2.1).
func bearer(headers []string) (token string, ok bool) {
	if len(headers) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	return token, equalFold(scheme, "Bearer")
}

func (q *request) limiter() *rate.Limiter {
	if q.person {
		return q.tenant.people.limiter(q.id, q.Now())
	}
	return q.tenant.limiter
}

// tooMany is the answer when the bucket does not hold n requests.
func (q *request) tooMany(n int) error {
	wait := 1.0
	if r := q.limiter().ReserveN(q.Now(), n); r.OK() {
		wait = math.Ceil(r.DelayFrom(q.Now()).Seconds())
		r.CancelAt(q.Now())
	}
	q.w.Header().Set("Retry-After", strconv.Itoa(max(1, int(wait))))
	return &Error{Status: http.StatusTooManyRequests, Detail: "too many requests: wait as long as Retry-After says"}
}

// body reads and parses the body of a write.
func (q *request) body() (Value, error) {
	data, err := q.rawBody("application/scim+json", "application/json")
	if err != nil {
		return Value{}, err
	}
	return parseJSON(data, q.Limits.JSONDepth)
}

func (q *request) rawBody(types ...string) ([]byte, error) {
	if enc := q.r.Header.Get("Content-Encoding"); enc != "" && !equalFold(enc, "identity") {
		return nil, &Error{Status: http.StatusUnsupportedMediaType, Detail: "compressed bodies are not accepted"}
	}
	if !mediaType(q.r.Header.Get("Content-Type"), types) {
		return nil, &Error{Status: http.StatusUnsupportedMediaType, Detail: "the body must be " + types[0] + " in UTF-8"}
	}
	limit := cmp.Or(q.bodyLimit, q.Limits.BodyBytes)
	tooLarge := &Error{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("the body is larger than %d bytes", limit)}
	if q.r.ContentLength > limit {
		return nil, tooLarge
	}
	buf := make([]byte, 0, max(512, q.r.ContentLength+1)) // one more than announced, so that the end is seen without growing
	limited := http.MaxBytesReader(q.w, q.r.Body, limit)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := limited.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		var over *http.MaxBytesError
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return buf, nil
		case errors.As(err, &over):
			return nil, tooLarge
		default:
			return nil, invalidSyntax("the body could not be read")
		}
	}
}

func mediaType(header string, types []string) bool {
	for _, t := range types {
		if header == t {
			return true
		}
	}
	got, params, err := mime.ParseMediaType(header)
	if err != nil {
		return false
	}
	if charset := params["charset"]; charset != "" && !equalFold(charset, "utf-8") && !equalFold(charset, "utf8") { // as PHP and Ruby write it
		return false
	}
	for _, t := range types {
		if got == t {
			return true
		}
	}
	return false
}

const contentType = "application/scim+json"

var contentTypeHeader = []string{contentType}

// send answers with a body. It must not be called within a snapshot: the client may be slow.
func (q *request) send(status int, body []byte) error {
	header := q.w.Header()
	header["Content-Type"] = contentTypeHeader
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	q.w.WriteHeader(status)
	if q.r.Method != http.MethodHead {
		_, _ = q.w.Write(body) // the client is gone when this fails
	}
	return nil
}

func (q *request) sendNothing() error {
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

// statuses is how the kinds of the domain's errors read in SCIM.
var statuses = [directory.ErrorKinds]Error{
	directory.Internal:     {Status: http.StatusInternalServerError},
	directory.Invalid:      {Status: http.StatusBadRequest, ScimType: "invalidValue"},
	directory.NotFound:     {Status: http.StatusNotFound},
	directory.Exists:       {Status: http.StatusConflict, ScimType: "uniqueness"},
	directory.Conflict:     {Status: http.StatusConflict},
	directory.ReadOnly:     {Status: http.StatusBadRequest, ScimType: "mutability"},
	directory.Unauthorized: {Status: http.StatusUnauthorized},
	directory.Forbidden:    {Status: http.StatusForbidden},
	directory.RateLimited:  {Status: http.StatusTooManyRequests},
	directory.Unavailable:  {Status: http.StatusServiceUnavailable},
}

// toError turns any error into what the client may know of it.
func toError(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	e := statuses[directory.KindOf(err)]
	var domain *directory.Error
	if errors.As(err, &domain) {
		e.Detail = domain.Detail
	}
	switch e.Status {
	case http.StatusInternalServerError:
		e.Detail = "the server failed; the request was not carried out"
	case http.StatusServiceUnavailable:
		e.Detail = "the server cannot do this now; try again later"
	}
	return &e
}

// fail answers with an error and notes it.
func (q *request) fail(err error) {
	e := q.failure(err)
	if e == nil {
		return // the client is gone; nobody reads the answer
	}
	header := q.w.Header()
	switch e.Status {
	case http.StatusUnauthorized:
		challenge := `Bearer realm="scim"`
		if _, given := bearer(q.r.Header["Authorization"]); given {
			challenge += `, error="invalid_token"` // RFC 6750 section 3.1
		}
		header.Set("WWW-Authenticate", challenge)
	case http.StatusTooManyRequests:
		if header.Get("Retry-After") == "" {
			header.Set("Retry-After", "1")
		}
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", "5")
	}
	_ = q.send(e.Status, e.appendJSON(nil))
}

// failure notes an error in the log of the tenant, and one of ours in that of the server, and returns what the
// client may know of it; nil when it is ours and the client is gone.
func (q *request) failure(err error) *Error {
	e := toError(err)
	if e.Status >= 500 && e.Status != http.StatusNotImplemented {
		if q.r.Context().Err() != nil {
			return nil //nolint:nilerr // an error for nobody
		}
		q.Log.Error("request failed", "error", err, "requestId", q.RequestID(q.r), "method", q.r.Method)
		body := *e
		if id := q.RequestID(q.r); id != "" {
			body.Detail += " (request " + id + ")"
		}
		e = &body
	}
	if q.event.Action != "" && e.Status != http.StatusTooManyRequests {
		q.event.TenantID, q.event.Detail, q.event.Answer = q.tenant.ID, e.Error(), e.Status
		select {
		case q.notes <- note{q.by, q.event}:
		default:
			q.lost.Add(1)
		}
	}
	return e
}

// precondition checks If-Match and If-None-Match of a write against a version (RFC 7644 3.14). A resource that is not there is
// 404 whatever the condition says (RFC 9110 section 13.2.1).
func (q *request) precondition(version uint64) error {
	if q.op != nil {
		return q.op.precondition(version)
	}
	if err := q.mustMatch(version); err != nil {
		return err
	}
	if m := q.r.Header["If-None-Match"]; len(m) > 0 && matches(strings.Join(m, ","), version) {
		return &Error{Status: http.StatusPreconditionFailed, Detail: "the resource has the version that the request rules out"}
	}
	return nil
}

// mustMatch checks If-Match. It comes before If-None-Match (RFC 9110 section 13.2.2).
func (q *request) mustMatch(version uint64) error {
	if m := q.r.Header["If-Match"]; len(m) > 0 && !matches(strings.Join(m, ","), version) {
		return &Error{Status: http.StatusPreconditionFailed, Detail: "the resource has changed: its version is another one"}
	}
	return nil
}

// notModified answers a read with 304 when If-None-Match names what the answer would show.
func (q *request) notModified(version uint64) bool {
	m := q.r.Header["If-None-Match"]
	if len(m) == 0 || !q.current(strings.Join(m, ","), version) {
		return false
	}
	q.w.WriteHeader(http.StatusNotModified)
	return true
}

// matches reports whether a list of entity tags, weak or strong, or *, names a version, whatever
// was derived for the answer that bore it: a write does not depend on that. RFC 9110 compares
// If-Match strongly, which no weak tag would pass; RFC 7644 section 3.14 has nothing but weak ones.
func matches(list string, version uint64) bool {
	want := strconv.FormatUint(version, 10)
	return anyTag(list, func(tag string) bool {
		count, _, _ := strings.Cut(tag, ".")
		return count == want
	})
}

// current reports whether a list of entity tags names just what the answer shows.
func (q *request) current(list string, version uint64) bool {
	var room [48]byte
	want := appendTag(room[:0], version, q.derived)
	return anyTag(list, func(tag string) bool { return tag == string(want) })
}

// anyTag reports whether a list of entity tags (RFC 9110 section 8.8.3) has one that is wanted, or is *. A tag without its
// quotes counts too: it can mean one thing only, and clients strip them.
func anyTag(list string, is func(opaque string) bool) bool {
	for list = strings.TrimLeft(list, " \t,"); list != ""; list = strings.TrimLeft(list, " \t,") {
		tag, quoted := strings.CutPrefix(strings.TrimPrefix(list, "W/"), `"`)
		end := ","
		if quoted {
			end = `"`
		}
		var ended bool
		tag, list, ended = strings.Cut(tag, end)
		switch {
		case quoted && !ended:
			return false
		case !quoted:
			tag = strings.TrimRight(tag, " \t")
		}
		if tag == "*" && !quoted || tag != "" && is(tag) {
			return true
		}
	}
	return false
}

// appendTag appends the opaque part of an entity tag.
func appendTag(dst []byte, version uint64, derived uint32) []byte {
	dst = strconv.AppendUint(dst, version, 10)
	if derived != 0 {
		dst = append(dst, '.')
		dst = strconv.AppendUint(dst, uint64(derived), 16)
	}
	return dst
}

func appendETag(dst []byte, version uint64, derived uint32) []byte {
	dst = append(dst, `W/"`...)
	dst = appendTag(dst, version, derived)
	return append(dst, '"')
}
