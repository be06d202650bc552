package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/time/rate"

	"github.com/bizzstream/bizzscim/directory"
)

// What stands around all operations: what of HTTP and JSON is accepted, and how problems look.

// Limits of requests.
const (
	maxBody   = 1 << 20
	maxDepth  = 32  // of JSON
	perSecond = 25  // requests of one token, in the long run
	burst     = 100 // of them at once
	maxTokens = 10_000
)

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, pattern := h.mux.Handler(r)
	if pattern == "" {
		h.noRoute(w, r)
		return
	}
	if r.Method == http.MethodPost || r.Method == http.MethodPatch || r.Method == http.MethodPut {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); r.ContentLength != 0 && (err != nil || kind != "application/json") {
			h.refuse(w, r, http.StatusUnsupportedMediaType, "Send the body as JSON, with Content-Type: application/json.")
			return
		}
		if len(r.Header.Values(idempotencyHeader)) > 0 && r.Method == http.MethodPost {
			if h.anew[pattern] {
				h.refuse(w, r, http.StatusBadRequest, "This operation takes no Idempotency-Key: each request is answered with what there is then. Leave it out.")
				return
			}
			h.once(w, r)
			return
		}
	}
	h.mux.ServeHTTP(w, r)
}

// noRoute answers for a path that is not there, or that does not have the method.
func (h *Handler) noRoute(w http.ResponseWriter, r *http.Request) {
	var allow []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := *r
		other.Method = method
		if _, pattern := h.mux.Handler(&other); pattern != "" {
			if allow = append(allow, method); method == http.MethodGet {
				allow = append(allow, http.MethodHead)
			}
		}
	}
	if len(allow) == 0 {
		h.refuse(w, r, http.StatusNotFound, "There is nothing at this path. The description of the API is at "+Prefix+"/openapi.json.")
		return
	}
	w.Header().Set("Allow", strings.Join(allow, ", "))
	h.refuse(w, r, http.StatusMethodNotAllowed, "This path does not have the method "+methodName(r.Method)+".")
}

// methodName is a method to be told; what a caller makes up is not repeated.
func methodName(method string) string {
	if len(method) > 10 || strings.ContainsFunc(method, func(c rune) bool { return c < 'A' || c > 'Z' }) {
		return "that was sent"
	}
	return method
}

// refuse answers with a problem that is known before there is an operation.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, status int, detail string) {
	h.write(w, &huma.ErrorModel{Type: blank, Title: http.StatusText(status), Status: status, Detail: detail, Instance: instance(h.config.RequestID(r))})
}

func (h *Handler) write(w http.ResponseWriter, p *huma.ErrorModel) {
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="bizzscim"`)
	}
	w.Header().Set("Content-Type", problemJSON)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) //nolint:errchkjson // p holds texts and numbers: values of a request are never sent back
}

// Problem is an answer to a request that never came to a Handler, and its media type.
func Problem(requestID string, status int, detail string) (body []byte, kind string) {
	body, _ = json.Marshal(&huma.ErrorModel{Type: blank, Title: http.StatusText(status), Status: status, Detail: detail, Instance: instance(requestID)}) //nolint:errchkjson // texts and a number
	return body, problemJSON
}

const (
	problemJSON = "application/problem+json"
	blank       = "about:blank" // the type of a problem that its status says all about (RFC 9457 section 4.2.1)
)

func instance(requestID string) string {
	if requestID == "" {
		return ""
	}
	return "urn:request:" + requestID
}

// tidy makes one form of all problems: those that huma finds in a request, too. Values are not sent back: they may be
// secrets.
func (h *Handler) tidy(ctx huma.Context, _ string, v any) (any, error) {
	p, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p.Type = blank
	if c := callerOf(ctx.Context()); c != nil && p.Instance == "" {
		p.Instance = instance(c.requestID)
	}
	if p.Detail == "validation failed" {
		p.Detail = "The request does not fit the description of this operation: see errors."
	}
	p.Detail = plain(p.Detail)
	for _, e := range p.Errors {
		e.Value = nil
		e.Message = plain(e.Message)
	}
	return p, nil
}

// plain takes out of a message what only tells of our own program.
func plain(text string) string {
	text = strings.ReplaceAll(text, "directory: ", "")
	if strings.HasPrefix(text, "json: ") || strings.Contains(text, "Go struct") || strings.Contains(text, "Go value") {
		return "a value does not fit its place"
	}
	return text
}

// checkQuery refuses parameters that two readers could take for different ones. Of one that stands twice only the first
// would be read, and of a query that is broken what can be read.
func checkQuery(raw string) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return &directory.Error{Kind: directory.Invalid, Field: "query", Detail: "the parameters cannot be read: encode what is not a letter or a digit"}
	}
	for name, values := range query {
		if len(values) > 1 {
			return &directory.Error{Kind: directory.Invalid, Field: "query", Detail: "the parameter " + parameterName(name) + " stands twice"}
		}
	}
	return nil
}

// parameterName is a parameter to be told; what a caller makes up is not repeated.
func parameterName(name string) string {
	if len(name) > 30 || strings.ContainsFunc(name, func(c rune) bool { return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') }) {
		return "that was sent"
	}
	return name
}

// accepts reports whether a client takes one of the forms that an operation answers in.
func accepts(header string, op *huma.Operation) bool {
	if header == "" {
		return true
	}
	var forms []string
	for status, response := range op.Responses {
		if strings.HasPrefix(status, "2") {
			for form := range response.Content {
				forms = append(forms, form)
			}
		}
	}
	if len(forms) == 0 {
		return true
	}
	for part := range strings.SplitSeq(header, ",") {
		kind, params, err := mime.ParseMediaType(part)
		if q, bad := strconv.ParseFloat(params["q"], 64); err != nil || params["q"] != "" && (bad != nil || q == 0) {
			continue
		}
		family, _, _ := strings.Cut(kind, "/")
		if kind == "*/*" || slices.ContainsFunc(forms, func(f string) bool {
			f, _, _ = strings.Cut(f, ";")
			return f == kind || kind == family+"/*" && strings.HasPrefix(f, family+"/")
		}) {
			return true
		}
	}
	return false
}

// Names are compared as they are: what encoding/json takes for a field must have been checked as that field.
func init() { huma.ValidateStrictCasing = true } //nolint:gochecknoinits // a variable of huma's, that nothing may set later

// strictJSON reads JSON that means one thing to everybody: nothing stands twice, nothing follows.
var strictJSON = huma.Format{
	Marshal: huma.DefaultJSONFormat.Marshal,
	Unmarshal: func(data []byte, v any) error {
		if !utf8.Valid(data) {
			return errors.New("the body is not UTF-8")
		}
		if halfCharacter(data) {
			return errors.New("a text holds half of a character (\\ud800 to \\udfff)")
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if err := checkValue(d, 0); err != nil {
			return err
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return errors.New("something follows the JSON value")
		}
		return json.Unmarshal(data, v)
	},
}

// halfCharacter reports whether an escape of JSON is a surrogate without its other half: encoding/json puts U+FFFD in its
// place, so that texts that differ become one.
func halfCharacter(data []byte) bool {
	for {
		i := bytes.IndexByte(data, '\\')
		if i < 0 {
			return false
		}
		data = data[i:]
		first, ok := escaped(data)
		if !ok {
			data = data[min(2, len(data)):] // another escape, or no JSON
			continue
		}
		data = data[6:]
		if !utf16.IsSurrogate(first) {
			continue
		}
		if second, _ := escaped(data); utf16.DecodeRune(first, second) == unicode.ReplacementChar {
			return true
		}
		data = data[6:]
	}
}

// escaped reads an escape of the form \u0041.
func escaped(data []byte) (rune, bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	return rune(n), err == nil
}

var errNoJSON = errors.New("the body is not JSON, or it is cut off")

func checkValue(d *json.Decoder, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("the JSON is nested deeper than %d levels", maxDepth)
	}
	t, err := d.Token()
	if err != nil {
		return errNoJSON
	}
	open, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			name, err := d.Token()
			if err != nil {
				return errNoJSON
			}
			text, _ := name.(string)
			if strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII }) { // encoding/json takes U+017F for s, U+212A for k
				return errors.New("a name in an object has a character that no name here has")
			}
			if folded := strings.ToLower(text); seen[folded] { // encoding/json takes names without regard to case
				return errors.New("a name stands twice in an object")
			} else {
				seen[folded] = true
			}
		}
		if err := checkValue(d, depth+1); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return errNoJSON
	}
	return nil
}

// rates bound the requests of each token.
type rates struct {
	mu  sync.Mutex
	all map[string]*rate.Limiter
	now func() time.Time
}

// take takes one request of a token, and says what is left and how long until the next one; ok is false when there is none.
func (r *rates) take(token string) (left int, wait time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.all[token]
	if l == nil {
		if len(r.all) >= maxTokens { // more than there can be in use: start anew
			clear(r.all)
		}
		l = rate.NewLimiter(perSecond, burst)
		r.all[token] = l
	}
	now := r.now()
	ok = l.AllowN(now, 1)
	tokens := l.TokensAt(now)
	if !ok {
		wait = time.Duration((1 - tokens) / perSecond * float64(time.Second))
	}
	return max(0, int(tokens)), wait, ok
}

// limit takes one request of a token and tells it where it stands, as draft-ietf-httpapi-ratelimit-headers has it.
func (h *Handler) limit(header http.Header, token string) error {
	left, wait, ok := h.rates.take(token)
	header.Set("RateLimit-Policy", fmt.Sprintf(`"token";q=%d;w=%d`, burst, burst/perSecond))
	header.Set("RateLimit", fmt.Sprintf(`"token";r=%d;t=%d`, left, int(math.Ceil(float64(burst-left)/perSecond))))
	if ok {
		return nil
	}
	header.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	return &directory.Error{Kind: directory.RateLimited, Detail: fmt.Sprintf("this token has sent too many requests: %d a second, and %d at once", perSecond, burst)}
}
