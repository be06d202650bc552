package scim

import (
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
	PageDefault       int // resources of a page without count; default 100
	PageMax           int // default 200, at most 1,000
	RequestsPerSecond int // of a tenant; default 500, never below directory.MinRequestsPerSecond
	Burst             int // of a tenant; default 1,000
}

func (l Limits) orDefaults() Limits {
	set := func(v *int, missing, least, most int) {
		if *v <= 0 {
			*v = missing
		}
		*v = min(max(*v, least), most)
	}
	if l.BodyBytes <= 0 {
		l.BodyBytes = 1 << 20
	}
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
	BaseURL    func(*http.Request) string // scheme and host of absolute locations, without a slash at the end; nil: from the request
	RemoteAddr func(*http.Request) string // the caller's address; nil: that of the connection
	RequestID  func(*http.Request) string // nil: none
	Limits     Limits
	Now        func() time.Time
	Log        *slog.Logger
}

// Handler serves the SCIM endpoint of every tenant at /scim/{tenant}/v2 and its token endpoint at
// /scim/{tenant}/oauth2/token. It dispatches by itself: no path reaches a resource that is not
// written in Routes, and nothing but the token endpoint is reached without a valid token.
type Handler struct {
	Config
	mu      sync.RWMutex
	tenants map[directory.ID]*tenant
	notes   chan note
	lost    atomic.Int64 // notes that found the queue full
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
	return &Handler{Config: c, tenants: map[directory.ID]*tenant{}, notes: make(chan note, 1024)}
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

// routes is the router: the first segment of the path, with or without an id behind it.
var routes = []route{
	{Route{"GET", "/Users"}, (*request).listUsers},
	{Route{"POST", "/Users"}, (*request).createUser},
	{Route{"GET", "/Users/{id}"}, (*request).getUser},
	{Route{"PUT", "/Users/{id}"}, (*request).putUser},
	{Route{"PATCH", "/Users/{id}"}, (*request).patchUser},
	{Route{"DELETE", "/Users/{id}"}, (*request).deleteUser},
	{Route{"GET", "/Groups"}, (*request).listGroups},
	{Route{"POST", "/Groups"}, (*request).createGroup},
	{Route{"GET", "/Groups/{id}"}, (*request).getGroup},
	{Route{"PUT", "/Groups/{id}"}, (*request).putGroup},
	{Route{"PATCH", "/Groups/{id}"}, (*request).patchGroup},
	{Route{"DELETE", "/Groups/{id}"}, (*request).deleteGroup},
	{Route{"GET", "/Schemas"}, (*request).listSchemas},
	{Route{"GET", "/Schemas/{id}"}, (*request).getSchema},
	{Route{"GET", "/ResourceTypes"}, (*request).listResourceTypes},
	{Route{"GET", "/ResourceTypes/{id}"}, (*request).getResourceType},
	{Route{"GET", "/ServiceProviderConfig"}, (*request).serviceProviderConfig},
	{Route{"GET", "/serviceConfiguration"}, (*request).serviceProviderConfig}, // the name in Microsoft's sample server
}

// Routes lists every method and path that is served with a token.
func Routes() []Route {
	list := make([]Route, len(routes))
	for i, r := range routes {
		list[i] = r.Route
	}
	return list
}

// resource holds the methods of one path pattern.
type resource map[string]func(*request) error

var collections, items = func() (collections, items map[string]resource) {
	collections, items = map[string]resource{}, map[string]resource{}
	for _, r := range routes {
		name, isItem := strings.CutSuffix(r.Pattern[1:], "/{id}")
		m := collections
		if isItem {
			m = items
		}
		if m[name] == nil {
			m[name] = resource{}
		}
		m[name][r.Method] = r.serve
	}
	return collections, items
}()

// tenant is what the handler keeps of a tenant while its record is unchanged.
type tenant struct {
	*directory.Tenant
	user, group           *ResourceType
	everyUser, everyGroup *Projection // what a request gets that chooses no attributes
	base                  atomic.Pointer[tenantURL]
	mode                  Mode
	limiter               *rate.Limiter
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
	if err := q.authenticate(); err != nil {
		return err
	}
	if !q.tenant.limiter.AllowN(q.Now(), 1) {
		return q.tooMany()
	}
	if q.tenant.Name != tenantName { // whether there is such a tenant is not for this caller to know
		q.name = tenantName
		q.begin(directory.ActionOther, "Tenant")
		return errNoPath
	}
	path, ok = strings.CutPrefix(path, "v2/")
	if !ok {
		return errNoPath
	}
	path = strings.TrimSuffix(path, "/")
	collection, last, isItem := strings.Cut(path, "/")
	methods := collections[collection]
	if isItem {
		if methods = items[collection]; methods != nil {
			name, err := url.PathUnescape(last)
			if err != nil || name == "" || strings.ContainsAny(last, "/") || strings.ContainsAny(name, "/\\\x00") {
				return errNoPath
			}
			q.name = name
			q.id, _ = directory.ParseID(name)
		}
	}
	if methods == nil {
		return errNoPath
	}
	serve := methods[q.r.Method]
	if serve == nil && q.r.Method == http.MethodHead {
		serve = methods[http.MethodGet]
	}
	if serve == nil {
		allow := []string{}
		for _, r := range routes {
			if name, item := strings.CutSuffix(r.Pattern[1:], "/{id}"); name == collection && item == isItem {
				allow = append(allow, r.Method)
			}
		}
		q.w.Header().Set("Allow", strings.Join(allow, ", "))
		return &Error{Status: http.StatusMethodNotAllowed, Detail: "this resource does not have the method " + q.r.Method}
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
	scheme, token := "", ""
	if len(headers) == 1 {
		scheme, token, _ = strings.Cut(headers[0], " ")
	}
	if !equalFold(scheme, "Bearer") {
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

func (q *request) tooMany() error {
	wait := 1.0
	if r := q.tenant.limiter.ReserveN(q.Now(), 1); r.OK() {
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
	tooLarge := &Error{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("the body is larger than %d bytes", q.Limits.BodyBytes)}
	if q.r.ContentLength > q.Limits.BodyBytes {
		return nil, tooLarge
	}
	buf := make([]byte, 0, max(512, q.r.ContentLength+1)) // one more than announced, so that the end is seen without growing
	limited := http.MaxBytesReader(q.w, q.r.Body, q.Limits.BodyBytes)
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
	if charset := params["charset"]; charset != "" && !equalFold(charset, "utf-8") {
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

// fail answers with an error and notes it in the log of the tenant.
func (q *request) fail(err error) {
	e := toError(err)
	if e.Status >= 500 {
		if q.r.Context().Err() != nil {
			return // the client is gone; nobody reads the answer
		}
		q.Log.Error("request failed", "error", err, "requestId", q.RequestID(q.r), "method", q.r.Method)
		body := *e
		if id := q.RequestID(q.r); id != "" {
			body.Detail += " (request " + id + ")"
		}
		e = &body
	}
	header := q.w.Header()
	switch e.Status {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", `Bearer realm="scim"`)
	case http.StatusTooManyRequests:
		if header.Get("Retry-After") == "" {
			header.Set("Retry-After", "1")
		}
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", "5")
	}
	if q.event.Action != "" && e.Status != http.StatusTooManyRequests {
		q.event.TenantID, q.event.Detail = q.tenant.ID, e.Error()
		select {
		case q.notes <- note{q.by, q.event}:
		default:
			q.lost.Add(1)
		}
	}
	_ = q.send(e.Status, e.appendJSON(nil))
}

// precondition checks If-Match and If-None-Match of a write against a version (RFC 7644 3.14).
func (q *request) precondition(version uint64) error {
	if m := q.r.Header.Get("If-Match"); m != "" && !matches(m, version) {
		return &Error{Status: http.StatusPreconditionFailed, Detail: "the resource has changed: its version is another one"}
	}
	if m := q.r.Header.Get("If-None-Match"); m != "" && matches(m, version) {
		return &Error{Status: http.StatusPreconditionFailed, Detail: "the resource has the version that the request rules out"}
	}
	return nil
}

// matches reports whether a list of entity tags, weak or strong, or *, names a version, whatever
// was derived for the answer that bore it: a write does not depend on that.
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

func anyTag(list string, is func(opaque string) bool) bool {
	for tag := range strings.SplitSeq(list, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" {
			return true
		}
		tag = strings.TrimPrefix(tag, "W/")
		if len(tag) > 2 && tag[0] == '"' && tag[len(tag)-1] == '"' && is(tag[1:len(tag)-1]) {
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
