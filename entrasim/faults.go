package entrasim

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault is a rule of the fault script of a [Graph]: on which requests, and what goes wrong. Everything that it says
// goes wrong at once, where that makes sense.
//
// Each has a text form, which [ParseFaults] explains; the words of it stand behind the fields.
type Fault struct {
	// On is the operation ("members"), or a pattern of [path.Match] for the path below /v1.0 ("/groups/*/members"), or
	// of the whole path outside of Graph. "*" or empty is every request. Requests in a batch count like others.
	On string

	// When. At most one of Nth, From, Every and Probability; none of them means each time. They count the calls that On
	// and the page select.
	Nth         int     // #3: the third call only
	From        int     // #3+: the third call and all after it
	Every       int     // every=50: the 50th, the 100th and so on
	Probability float64 // p=0.02, drawn from the seed
	Page        int     // page=3: only the third page of a list
	FromPage    int     // page=3+
	Times       int     // times=5: at most so often; 0 is without limit

	// Do is called first, when the rule fires: to change the directory between two pages, or to wait. It has no words.
	Do func()

	// What comes instead of the right answer.
	Status     int    // status=503, with the error body of the service; for 2xx without a body
	RetryAfter string // retry-after=1, or anything else, as it is; "date+3s" is an HTTP date. Needs no status.
	Body       string // body={"value":null}: this body
	Empty      bool   // empty: no body
	HTML       bool   // html: the error page of a proxy
	PageToken  bool   // expired-token: 400 Directory_ExpiredPageToken

	// What is wrong with a page of a list. "The first" is the first object of the page.
	Short          int    // short=10: so many objects are missing at its end, while counts and links stay
	Duplicate      bool   // duplicate: the first comes again at the end
	NullItem       bool   // null-item: null instead of the first
	NullProperties bool   // null-properties: users have id and type alone, as without User.Read.All
	MissingID      bool   // missing-id: the first has no id
	WrongType      string // wrong-type=accountEnabled: a property of the first has a value of another type
	ODataType      string // odata-type=#microsoft.graph.device: @odata.type of the first
	DropNext       bool   // drop-next: there is no nextLink, as if this were the last page
	Next           string // next=http, next=loop (this page again) or another origin, next=https://127.0.0.1:9
	Huge           int64  // huge=100MB: the page goes on with invented objects until it has so many bytes

	// What is wrong with the bytes of the body, whose declared length is right nevertheless.
	Truncate    float64  // truncate=0.5: only this part of the body
	BOM         bool     // bom: a byte order mark in front
	Nest        int      // nest=20000: so many arrays in each other, in a property that nobody knows
	ContentType string   // content-type=text/plain
	Header      []string // header="Location: https://…": replaces a header; the word can come several times

	// What is wrong on the way.
	Delay   time.Duration // delay=2s: before the headers, after the answer was made; ends with the request
	Rate    int           // rate=1000: bytes a second
	Cut     float64       // cut or cut=0.5: the connection breaks after this part of the body
	Chunked bool          // chunked: no declared length
	Reset   bool          // reset: the connection is reset before the headers
}

// onPages reports whether the rule is about pages of lists.
func (f Fault) onPages() bool {
	return f.Page > 0 || f.FromPage > 0 || f.Short > 0 || f.Duplicate || f.NullProperties || f.DropNext || f.Next != "" ||
		f.Huge > 0 || f.PageToken || f.spoils()
}

// spoils reports whether the first object of a page is written wrong.
func (f Fault) spoils() bool {
	return f.NullItem || f.MissingID || f.WrongType != "" || f.ODataType != ""
}

func (f Fault) replaces() bool {
	return f.Status != 0 || f.Body != "" || f.Empty || f.HTML || f.PageToken
}

func (f Fault) disturbsWire() bool {
	return f.Delay > 0 || f.Rate > 0 || f.Cut > 0 || f.Chunked || f.Reset || f.Huge > 0
}

func (f Fault) disturbsBody() bool {
	return f.Truncate > 0 || f.BOM || f.Nest > 0 || f.ContentType != "" || len(f.Header) > 0 || f.RetryAfter != ""
}

// effect reports whether anything goes wrong at all.
func (f Fault) effect() bool {
	f.Page, f.FromPage = 0, 0
	return f.Do != nil || f.replaces() || f.disturbsWire() || f.disturbsBody() || f.onPages()
}

// check refuses what could never fire or would do nothing.
func (f Fault) check() error {
	if err := f.checkTarget(); err != nil {
		return err
	}
	triggers := 0
	for _, set := range []bool{f.Nth != 0, f.From != 0, f.Every != 0, f.Probability != 0} {
		if set {
			triggers++
		}
	}
	switch {
	case triggers > 1:
		return errors.New("at most one of #n, #n+, every and p")
	case f.Page != 0 && f.FromPage != 0:
		return errors.New("either page=n or page=n+")
	case min(f.Nth, f.From, f.Every, f.Page, f.FromPage, f.Times) < 0:
		return errors.New("a count below 0")
	case !(f.Probability >= 0 && f.Probability <= 1): // NaN must not pass
		return errors.New("p is not between 0 and 1")
	case !f.effect():
		return errors.New("nothing goes wrong")
	}
	return f.checkEffect()
}

func (f Fault) checkTarget() error {
	switch op := Op(f.On); {
	case f.On == "", f.On == "*":
	case strings.HasPrefix(f.On, "/"):
		if _, err := path.Match(f.On, ""); err != nil {
			return fmt.Errorf("path %q: %w", f.On, err)
		}
	case !op.known():
		return fmt.Errorf("unknown operation %q", f.On)
	case !op.paged() && f.onPages():
		return fmt.Errorf("%s has no pages", op)
	}
	return nil
}

func (op Op) known() bool {
	switch op {
	case OpToken, OpMetadata, OpKeys, OpAuthorize, OpSignIn, OpLogout, OpForeignKeys, OpGroups, OpGroup, OpMembers, OpTransitiveMembers, OpUsers, OpUser, OpCount,
		OpCheckMemberGroups, OpOrganization, OpDeletedItem, OpBatch, OpOther:
		return true
	}
	return false
}

func (f Fault) checkEffect() error {
	origin, err := url.Parse(f.Next)
	switch {
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("status %d", f.Status)
	case f.Next != "" && f.Next != "http" && f.Next != "loop" && (err != nil || origin.Host == "" || origin.Path != ""):
		return fmt.Errorf("next is %q, want http, loop or an origin such as https://127.0.0.1:9", f.Next)
	case f.WrongType != "" && propertyByName[f.WrongType] == nil:
		return fmt.Errorf("wrong-type: no property %q", f.WrongType)
	case !(f.Cut >= 0 && f.Cut < 1), !(f.Truncate >= 0 && f.Truncate < 1): // NaN must not pass
		return errors.New("cut and truncate are below 1")
	case f.Short < 0 || f.Huge < 0 || f.Nest < 0 || f.Rate < 0 || f.Delay < 0:
		return errors.New("a size or time below 0")
	}
	for _, h := range f.Header {
		if name, _, ok := strings.Cut(h, ":"); !ok || strings.TrimSpace(name) == "" {
			return fmt.Errorf("header is %q, want \"Name: value\"", h)
		}
	}
	if rest, ok := strings.CutPrefix(f.RetryAfter, "date"); ok {
		if _, err := time.ParseDuration(strings.TrimPrefix(rest, "+")); err != nil {
			return fmt.Errorf("retry-after=%s: %w", f.RetryAfter, err)
		}
	}
	return nil
}

// Faults are the fault script of a [Graph]. The first rule that is due decides what goes wrong with a request; all rules
// that it matches count it. All methods may be called from several goroutines.
type Faults struct {
	seed uint64

	mu    sync.Mutex
	rules []*rule
	made  uint64 // rules ever added
	total int
}

type rule struct {
	Fault
	rng          *rand.Rand
	calls, fired int
}

// FaultCount is how often a rule was matched and how often it fired.
type FaultCount struct {
	Rule         string // the text form
	Calls, Fired int
}

func newFaults(seed uint64) *Faults { return &Faults{seed: seed} }

// Add appends rules to the script. The error is that of a rule that could not do anything; then none is added.
func (s *Faults) Add(faults ...Fault) error {
	for _, f := range faults {
		if err := f.check(); err != nil {
			return fmt.Errorf("fault %q: %w", f, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		s.made++
		s.rules = append(s.rules, &rule{Fault: f, rng: rand.New(rand.NewPCG(s.seed, 1000+s.made))})
	}
	return nil
}

// Load appends the rules of a script in text form. See [ParseFaults].
func (s *Faults) Load(script string) error {
	faults, err := ParseFaults(script)
	if err != nil {
		return err
	}
	return s.Add(faults...)
}

// Clear removes all rules. What they did stays in [GraphStats].
func (s *Faults) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = nil
}

// Report tells of each rule how often it was matched and fired, in the order of the script.
func (s *Faults) Report() []FaultCount {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]FaultCount, 0, len(s.rules))
	for _, r := range s.rules {
		out = append(out, FaultCount{r.String(), r.calls, r.fired})
	}
	return out
}

// String is the report, a line for each rule.
func (s *Faults) String() string {
	var b strings.Builder
	for _, c := range s.Report() {
		fmt.Fprintf(&b, "%s: fired %s of %s times\n", c.Rule, number(c.Fired), number(c.Calls))
	}
	return b.String()
}

func (s *Faults) fired() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// decide says what goes wrong with a request.
func (s *Faults) decide(op Op, path string, page int) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var first *rule
	for _, r := range s.rules {
		if !r.matches(op, path, page) {
			continue
		}
		r.calls++
		if r.due() && first == nil {
			first = r
		}
	}
	if first == nil {
		return Fault{}
	}
	first.fired++
	s.total++
	return first.Fault
}

func (r *rule) matches(op Op, at string, page int) bool {
	switch {
	case r.onPages() && !op.paged(), r.Page > 0 && page != r.Page, page < r.FromPage:
		return false
	case r.On == "", r.On == "*", r.On == string(op):
		return true
	}
	if rest, ok := strings.CutPrefix(at, graphPrefix); ok {
		at = "/" + rest
	}
	is, err := path.Match(r.On, at)
	return is && err == nil
}

// due counts, and draws for a probability at every call, so that what the rules before it do changes nothing.
func (r *rule) due() bool {
	due := true
	switch {
	case r.Nth > 0:
		due = r.calls == r.Nth
	case r.From > 0:
		due = r.calls >= r.From
	case r.Every > 0:
		due = r.calls%r.Every == 0
	case r.Probability > 0:
		due = r.rng.Float64() < r.Probability
	}
	return due && (r.Times == 0 || r.fired < r.Times)
}

// htmlError is what a gateway between client and service says.
const htmlError = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n" +
	"<hr><center>Microsoft-Azure-Application-Gateway/v2</center>\r\n</body>\r\n</html>\r\n"

// misbehave is the answer that comes instead of the right one, or nil.
func (c *call) misbehave() *response {
	f := c.fault
	status := f.Status
	if status == 0 {
		status = http.StatusOK
	}
	switch {
	case !f.replaces():
		return nil
	case f.PageToken:
		return c.expiredPageToken()
	case f.HTML:
		a := c.reply(status, []byte(htmlError))
		a.header.Set("Content-Type", "text/html")
		return a
	case f.Body != "":
		return c.reply(status, []byte(f.Body))
	case f.Empty, status < http.StatusBadRequest:
		a := c.reply(status, nil)
		if status == http.StatusNoContent {
			a.header.Del("Content-Type")
		}
		return a
	case !strings.HasPrefix(c.path, graphPrefix):
		return c.loginError(status)
	}
	return c.graphError(status)
}

// graphError is an error of Graph, by its status.
func (c *call) graphError(status int) *response {
	code, message := "UnknownError", http.StatusText(status)
	switch status {
	case http.StatusBadRequest:
		code = "Request_BadRequest"
	case http.StatusUnauthorized:
		code, message = "InvalidAuthenticationToken", "Access token validation failure."
	case http.StatusForbidden:
		return c.denied()
	case http.StatusNotFound:
		return c.notFound(path.Base(c.path))
	case http.StatusGone:
		code, message = "syncStateNotFound", "The sync state generation is not found."
	case http.StatusTooManyRequests:
		return c.tooMany("")
	case http.StatusInternalServerError:
		code, message = "InternalServerError", "The server encountered an internal error. Please retry the request."
	case http.StatusBadGateway:
		code = "BadGateway"
	case http.StatusServiceUnavailable:
		code, message = "ServiceUnavailable", "The service is temporarily unavailable. Please retry later."
	case http.StatusGatewayTimeout:
		code = "GatewayTimeout"
	}
	return c.fail(status, code, message)
}

// loginError is an error of the token endpoint, by its status.
func (c *call) loginError(status int) *response {
	switch {
	case status == http.StatusUnauthorized:
		return c.g.tokens.refuse(c, badToken(status, "invalid_client", 7000215, "Invalid client secret provided."))
	case status >= http.StatusInternalServerError || status == http.StatusTooManyRequests:
		return c.g.tokens.refuse(c, badToken(status, "temporarily_unavailable", 90033, "A transient error has occurred. Please try again."))
	}
	return c.g.tokens.refuse(c, badToken(status, "invalid_request", 9002313, "Invalid request. Request is malformed or invalid."))
}

// disturb changes the bytes and headers of an answer, and says what to do to it on the way.
func (c *call) disturb(a *response) {
	f := c.fault
	if f.Nest > 0 && bytes.HasPrefix(a.body, []byte("{")) {
		nested := strings.Repeat("[", f.Nest) + strings.Repeat("]", f.Nest)
		comma := ","
		if bytes.HasPrefix(a.body, []byte("{}")) {
			comma = ""
		}
		a.body = append([]byte(`{"deep":`+nested+comma), a.body[1:]...)
	}
	if f.Truncate > 0 {
		a.body = a.body[:int(float64(len(a.body))*f.Truncate)]
	}
	if f.BOM {
		a.body = append([]byte("\xef\xbb\xbf"), a.body...)
	}
	if f.ContentType != "" {
		a.header.Set("Content-Type", f.ContentType)
	}
	if f.RetryAfter != "" {
		a.header.Set("Retry-After", c.retryAfter(f.RetryAfter))
	}
	for _, h := range f.Header {
		name, value, _ := strings.Cut(h, ":")
		a.header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if f.disturbsWire() {
		a.wire = f
	}
}

// retryAfter is the value of a Retry-After header; "date+3s" is the date of then, whole seconds, rounded up.
func (c *call) retryAfter(s string) string {
	rest, ok := strings.CutPrefix(s, "date")
	if !ok {
		return s
	}
	d, _ := time.ParseDuration(strings.TrimPrefix(rest, "+")) // was checked
	at := c.g.o.Now().Add(d)
	if whole := at.Truncate(time.Second); !whole.Equal(at) {
		at = whole.Add(time.Second)
	}
	return at.UTC().Format(http.TimeFormat)
}

// sizeUnits are what a size such as "100MB" can end with.
var sizeUnits = map[string]int64{"": 1, "B": 1, "kB": 1_000, "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}

func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "BkKMG")
	n, err := strconv.ParseInt(digits, 10, 64)
	unit, ok := sizeUnits[s[len(digits):]]
	if err != nil || !ok || n < 0 || n > 1<<40 {
		return 0, fmt.Errorf("size %q", s)
	}
	return n * unit, nil
}
