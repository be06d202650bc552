package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/api"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
)

// The edge stands before the router: it gives each request an id, refuses what another server in
// front of us could read differently, turns a panic into an answer, and writes one log line.

// exchange is what the edge knows of one request. Handlers reach it through the context.
type exchange struct {
	id     string
	client netip.Addr
	tenant directory.ID // once the token is known
	token  directory.ID
}

type exchangeKey struct{}

// exchangeOf returns the exchange of a request; an empty one for a request that did not come
// through the edge.
func exchangeOf(ctx context.Context) *exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{}
}

type edge struct {
	next        http.Handler
	log         *slog.Logger
	now         func() time.Time
	proxies     proxies
	headerBytes int
	headerCount int
	https       bool // the public address is https
	metrics     *metrics
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := e.now()
	x := &exchange{id: requestID(r.Header["X-Request-Id"]), client: e.proxies.client(r)}
	class := classOf(r.URL.EscapedPath())
	out := &response{ResponseWriter: w}
	header := w.Header()
	header["X-Request-Id"] = []string{x.id}
	e.secure(header, r)

	defer func() {
		if p := recover(); p != nil {
			e.recovered(out, r, x, p)
		}
		took := e.now().Sub(started)
		e.metrics.observe(class, r.Method, out.status, took)
		// Directories read before they write and look everybody up again and again: a read that went
		// well tells an operator nothing, and its line would cost a tenth of it.
		level := slog.LevelInfo
		if class == "livez" || class == "readyz" || out.status < 400 && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			level = slog.LevelDebug
		}
		if !e.log.Enabled(r.Context(), level) {
			return
		}
		attrs := make([]slog.Attr, 0, 7)
		attrs = append(attrs, slog.String("request_id", x.id), slog.String("method", methodOf(r.Method)), slog.String("route", class),
			slog.Int("status", out.status), slog.Float64("ms", float64(took.Microseconds())/1000))
		if !x.tenant.IsZero() {
			attrs = append(attrs, slog.String("tenant_id", x.tenant.String()), slog.String("token_id", x.token.String()))
		}
		e.log.LogAttrs(r.Context(), level, "request", attrs...)
	}()

	if status, reason := e.refuse(r); reason != "" {
		header.Set("Connection", "close") // what else lies on this connection is not to be trusted
		writeError(out, r, x.id, status, reason)
		return
	}
	if len(r.TransferEncoding) > 0 {
		// What follows the end of a chunked body is looked at by nobody (see framing): with the connection closed
		// there is no room for a smuggled request.
		header.Set("Connection", "close")
	}
	e.next.ServeHTTP(out, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
	if out.status == 0 {
		out.status = http.StatusOK // net/http sends it when the handler returns
	}
}

var (
	nosniff     = []string{"nosniff"}
	noStore     = []string{"no-store"}
	noReferrer  = []string{"no-referrer"}
	nothing     = []string{"default-src 'none'; frame-ancestors 'none'"}
	sameOrigin  = []string{"same-origin"}
	alwaysHTTPS = []string{"max-age=31536000"}
)

// secure sets the headers that keep a browser from making anything of an answer.
func (e *edge) secure(h http.Header, r *http.Request) {
	h["X-Content-Type-Options"] = nosniff
	h["Cache-Control"] = noStore
	h["Referrer-Policy"] = noReferrer
	h["Content-Security-Policy"] = nothing
	h["Cross-Origin-Resource-Policy"] = sameOrigin
	if e.https || r.TLS != nil {
		h["Strict-Transport-Security"] = alwaysHTTPS
	}
}

// recovered answers a request whose handler panicked. The process lives.
func (e *edge) recovered(out *response, r *http.Request, x *exchange, p any) {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p) // not ours to handle: net/http closes the connection without a word
	}
	e.log.Error("panic in a handler", "panic", fmt.Sprint(p), "request_id", x.id, "stack", string(debug.Stack()))
	if out.status != 0 {
		// The answer has begun: cutting it off is the one way left to say that it is not whole.
		e.metrics.observe("panic", r.Method, out.status, 0)
		panic(http.ErrAbortHandler)
	}
	writeError(out, r, x.id, http.StatusInternalServerError, "the server failed (request "+x.id+")")
}

// refuse says why a request is refused before it is routed; reason is empty when it is not.
func (e *edge) refuse(r *http.Request) (status int, reason string) {
	size, count := len(r.Method)+len(r.RequestURI)+len(r.Proto)+4+len("Host: ")+len(r.Host)+4, 1
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v) + 4 // ": " and CRLF
			count++
		}
	}
	path, _, _ := strings.Cut(r.RequestURI, "?")
	switch {
	case len(r.RequestURI) > e.headerBytes:
		return http.StatusRequestURITooLong, fmt.Sprintf("the address is longer than %d bytes", e.headerBytes)
	case size > e.headerBytes:
		return http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the request line and the headers are larger than %d bytes", e.headerBytes)
	case count > e.headerCount:
		return http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("more than %d headers", e.headerCount)
	case !strings.HasPrefix(r.RequestURI, "/"):
		return http.StatusBadRequest, "the request target must be a path"
	case len(r.Header["Authorization"]) > 1:
		return http.StatusBadRequest, "more than one Authorization header"
	case !plainHost(r.Host):
		return http.StatusBadRequest, "the Host header is malformed"
	case !canonical(path) || path != r.URL.EscapedPath():
		return http.StatusNotFound, "there is no such resource: the path is not in its canonical form"
	}
	return 0, ""
}

// canonical reports whether a path as sent means one thing to everybody: no segment is empty
// (but the last), "." or "..", and nothing is percent-encoded that could stand for itself or for
// a slash. A reserved character such as ":" may stand as it is or encoded: clients do both.
func canonical(path string) bool {
	start := 1
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			if path[i] == '%' && !canonicalEscape(path[i:]) {
				return false
			}
			continue
		}
		switch segment := path[start:i]; {
		case segment == "." || segment == "..", segment == "" && i < len(path):
			return false
		}
		start = i + 1
	}
	return true
}

func canonicalEscape(s string) bool {
	if len(s) < 3 {
		return false
	}
	n, err := strconv.ParseUint(s[1:3], 16, 8)
	c := byte(n)
	switch {
	case err != nil, c < ' ', c == 0x7f, c == '/', c == '\\', c == '.':
		return false
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '~':
		return false
	}
	return true
}

// requestID takes the caller's id of a request or makes one.
func requestID(given []string) string {
	if len(given) == 1 && len(given[0]) >= 1 && len(given[0]) <= 64 {
		ok := true
		for i := 0; i < len(given[0]); i++ {
			c := given[0][i]
			ok = ok && ('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-')
		}
		if ok {
			return given[0]
		}
	}
	return fmt.Sprintf("%016x", rand.Uint64()) //nolint:gosec // a name, not a secret
}

const scimPrefix = "/scim/"

// classOf names the route of a path: one of a few names, so that neither logs nor metrics hold
// what a caller makes up.
func classOf(path string) string {
	switch path {
	case "/livez", "/readyz", "/version":
		return path[1:]
	}
	rest, ok := strings.CutPrefix(path, scimPrefix)
	if !ok {
		return pageClass(path)
	}
	_, rest, _ = strings.Cut(rest, "/")
	if rest == "oauth2/token" || rest == "v2/oauth2/token" {
		return "token"
	}
	if rest == "v2" || rest == "v2/" {
		return "root"
	}
	rest, _ = strings.CutPrefix(rest, "v2/")
	collection, id, _ := strings.Cut(rest, "/")
	collection = strings.ToLower(collection) // but for strict tenants the endpoint has its name in any case
	if collection == ".search" || id == ".search" {
		return "search"
	}
	switch {
	case collection == "bulk" && id != "":
		return "scim"
	case id != "" && itemClasses[collection] != "":
		return itemClasses[collection]
	case classes[collection] != "":
		return classes[collection]
	}
	return "scim"
}

// pageClass names the route of a path that people or proxies ask for: its first part, behind /auth/ also
// the second. What follows may be the secret of a link.
func pageClass(path string) string {
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if first == "auth" {
		second, _, _ := strings.Cut(rest, "/")
		first += "/" + second
	}
	switch first {
	case "":
		return "home"
	case "login", "logout", "signed-out", "account", "operator", "setup", "password", "static", "preferences", "connect",
		"auth/callback", "auth/session", "auth/events", "auth/verify", "auth/frontchannel-logout":
		return first
	case ".well-known":
		return "keys"
	}
	return "other"
}

// The classes of SCIM's endpoints, and of what lies behind them, by the name in small letters.
var (
	classes = map[string]string{"users": "Users", "groups": "Groups", "schemas": "Schemas", "resourcetypes": "ResourceTypes", "bulk": "Bulk", "me": "Me",
		"serviceproviderconfig": "ServiceProviderConfig", "serviceconfiguration": "ServiceProviderConfig"}
	itemClasses = map[string]string{"users": "Users/{id}", "groups": "Groups/{id}", "schemas": "Schemas/{id}", "resourcetypes": "ResourceTypes/{id}"}
)

func methodOf(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// writeError answers with an error: in SCIM's form where a SCIM client asks, as a problem where a client of the JSON API does, in
// plain words elsewhere.
func writeError(w http.ResponseWriter, r *http.Request, id string, status int, reason string) {
	header := w.Header()
	body, kind := []byte(reason+"\n"), "text/plain; charset=utf-8"
	switch {
	case strings.HasPrefix(r.URL.Path+"/", api.Prefix+"/"):
		body, kind = api.Problem(id, status, reason)
	case strings.HasPrefix(r.URL.Path, scimPrefix):
		kind = "application/scim+json"
		body, _ = json.Marshal(struct { //nolint:errchkjson // three texts
			Schemas [1]string `json:"schemas"`
			Status  string    `json:"status"`
			Detail  string    `json:"detail"`
		}{[1]string{"urn:ietf:params:scim:api:messages:2.0:Error"}, strconv.Itoa(status), reason})
	}
	header.Set("Content-Type", kind)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// response remembers the status of an answer.
type response struct {
	http.ResponseWriter
	status int // 0: nothing sent yet
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap serves http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// noting is an authenticator that tells the edge whose request it is.
type noting struct{ scim.Authenticator }

func (n noting) Authenticate(ctx context.Context, token, from string) (*directory.Tenant, directory.ID, error) {
	tenant, id, err := n.Authenticator.Authenticate(ctx, token, from)
	if err == nil {
		x := exchangeOf(ctx)
		x.tenant, x.token = tenant.ID, id
	}
	return tenant, id, err
}
