package entrasim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Codes of failures, as Entra's provisioning logs show them.
// Source: Microsoft, "Understand how to analyze provisioning logs", error codes.
const (
	EntryConflict          = "EntryConflict" // 409
	TooManyRequests        = "TooManyRequests"
	InsufficientRights     = "InsufficientRights" // 403
	Unauthorized           = "Unauthorized"       // 401
	UnprocessableEntity    = "UnprocessableEntity"
	InternalServerError    = "InternalServerError" // any 5xx
	DuplicateTargetEntries = "DuplicateTargetEntries"
	DuplicateSourceEntries = "DuplicateSourceEntries"
	ServiceIncompatible    = "SystemForCrossDomainIdentityManagementServiceIncompatible"
	BadRequest             = "SystemForCrossDomainIdentityManagementBadRequest" // other 4xx
	InvalidAnchor          = "InvalidAnchor"                                    // 404 for a linked object
	Timeout                = "WebExceptionTimeout"
	ConnectionLost         = "WebExceptionProtocolError"
)

// Error is a request that did not succeed, after its repetitions.
type Error struct {
	Code   string // one of the constants above
	Status int    // HTTP status; 0 when no answer arrived
	Method string
	Path   string // without the query, which may hold names
	Detail string // what the server said
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s: %s", e.Method, e.Path, e.Code)
	if e.Status != 0 {
		s += fmt.Sprintf(" (%d)", e.Status)
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

func codeOf(status int) string {
	switch {
	case status == http.StatusConflict:
		return EntryConflict
	case status == http.StatusTooManyRequests:
		return TooManyRequests
	case status == http.StatusForbidden:
		return InsufficientRights
	case status == http.StatusUnauthorized:
		return Unauthorized
	case status == http.StatusUnprocessableEntity:
		return UnprocessableEntity
	case status == http.StatusNotFound:
		return InvalidAnchor
	case status >= 500:
		return InternalServerError
	}
	return BadRequest
}

// status returns the HTTP status of a failed request, or 0.
func status(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 0
}

const (
	scimJSON    = "application/scim+json"
	maxAnswer   = 256 << 20 // bytes
	longestWait = 30 * time.Second
)

// client speaks HTTP as Entra does.
type client struct {
	http          *http.Client
	base          string // without query and trailing slash
	flag          string // raw query of the Tenant URL, such as "aadOptscim062020"
	timeout       time.Duration
	attempts      int
	backoff       time.Duration
	maxRetryAfter time.Duration
	credentials
}

// url joins the Tenant URL with a path and query. The Tenant URL's own query comes first, byte for byte.
// Source: Microsoft, "Known issues and resolutions with SCIM 2.0 protocol compliance".
func (c *client) url(path, query string) string {
	u := c.base + path
	switch q := strings.Trim(c.flag+"&"+query, "&"); q {
	case "":
		return u
	default:
		return u + "?" + q
	}
}

// do sends one request, repeating it after a lost connection, a 429 or a gateway's 5xx, and returns the body of a 2xx
// answer. Every other outcome is an [*Error], or the context's error.
func (c *client) do(ctx context.Context, m *meter, method, path, query string, body any) ([]byte, error) {
	var payload []byte
	if body != nil {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(body); err != nil {
			return nil, fmt.Errorf("encode %s %s: %w", method, path, err)
		}
		payload = bytes.TrimSpace(b.Bytes())
	}
	fail := &Error{Method: method, Path: path}
	refreshed := false
	for attempt := 1; ; attempt++ {
		token, err := c.bearer(ctx, c.http, c.timeout)
		if err != nil {
			return nil, err
		}
		answer, data, err := c.once(ctx, m, method, c.url(path, query), token, payload) //nolint:bodyclose // once has read and closed it
		wait := min(c.backoff<<min(attempt-1, 10), longestWait)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			fail.Code, fail.Status, fail.Detail = ConnectionLost, 0, err.Error()
			if errors.Is(err, context.DeadlineExceeded) {
				fail.Code, fail.Detail = Timeout, "no answer within "+c.timeout.String()
			}
		case answer.StatusCode/100 == 2:
			m.success()
			return data, nil
		case answer.StatusCode == http.StatusUnauthorized && c.forget(token) && !refreshed:
			refreshed = true // a token that expired early gets one replacement
			m.retry()
			attempt--
			continue
		default:
			fail.Code, fail.Status, fail.Detail = codeOf(answer.StatusCode), answer.StatusCode, detail(data)
			switch answer.StatusCode {
			case http.StatusTooManyRequests, http.StatusServiceUnavailable:
				if answer.StatusCode == http.StatusTooManyRequests {
					m.throttle()
				}
				if after, ok := retryAfter(answer.Header.Get("Retry-After"), time.Now()); ok {
					wait = min(after, c.maxRetryAfter)
				}
			case http.StatusBadGateway, http.StatusGatewayTimeout:
			default:
				return nil, fail
			}
		}
		if attempt >= c.attempts {
			return nil, fail
		}
		m.retry()
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

func (c *client) once(ctx context.Context, m *meter, method, target, token string, payload []byte) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var body io.Reader
	if payload != nil {
		body = bytes.NewReader(payload)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, nil, err
	}
	req.Header["User-Agent"] = []string{""} // net/http then sends none, like the real one
	req.Header.Set("Accept", scimJSON)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if payload != nil {
		req.Header.Set("Content-Type", scimJSON+"; charset=utf-8")
	}
	start := time.Now()
	res, err := c.http.Do(req)
	var data []byte
	if err == nil {
		data, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		res.Body.Close()
	}
	m.request(time.Since(start), len(payload), len(data))
	if err != nil {
		// net/http puts the URL, and with it names, into the error: keep the reason only.
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err
		}
		return nil, nil, err
	}
	return res, data, nil
}

// detail is what an error answer says: SCIM's detail, or the beginning of whatever came.
func detail(body []byte) string {
	var e struct {
		Detail   string `json:"detail"`
		ScimType string `json:"scimType"`
	}
	if json.Unmarshal(body, &e) == nil && e.Detail+e.ScimType != "" {
		return strings.TrimSpace(e.Detail + " " + e.ScimType)
	}
	s := strings.Join(strings.Fields(string(body)), " ")
	return s[:min(len(s), 200)]
}

// retryAfter reads a Retry-After header: seconds or an HTTP date (RFC 9110, section 10.2.3).
func retryAfter(h string, now time.Time) (time.Duration, bool) {
	if n, err := strconv.Atoi(h); err == nil && n >= 0 {
		return time.Duration(min(n, 86_400)) * time.Second, true
	}
	if at, err := http.ParseTime(h); err == nil {
		return max(0, at.Sub(now)), true
	}
	return 0, false
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// credentials hold either a long-lived bearer token or what gets one by the client credentials grant.
type credentials struct {
	tokenURL, clientID, clientSecret, scope string

	mu      sync.Mutex
	token   string
	expires time.Time     // zero for a long-lived token
	life    time.Duration // expires_in of the last access token
}

func (c *credentials) bearer(ctx context.Context, h *http.Client, timeout time.Duration) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tokenURL == "" || c.token != "" && time.Until(c.expires) > time.Minute {
		return c.token, nil
	}
	fail := &Error{Code: Unauthorized, Method: http.MethodPost, Path: "token endpoint"}
	form := url.Values{"grant_type": {"client_credentials"}}
	if c.scope != "" {
		form.Set("scope", c.scope)
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(limited, http.MethodPost, c.tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("token endpoint: %w", err)
	}
	req.Header["User-Agent"] = []string{""}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(url.QueryEscape(c.clientID), url.QueryEscape(c.clientSecret)) // RFC 6749, section 2.3.1
	res, err := h.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		fail.Code, fail.Detail = ConnectionLost, "no answer"
		return "", fail
	}
	defer res.Body.Close()
	fail.Status = res.StatusCode
	var got struct {
		AccessToken string  `json:"access_token"`
		TokenType   string  `json:"token_type"`
		ExpiresIn   float64 `json:"expires_in"`
		Error       string  `json:"error"`
	}
	err = json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&got)
	switch {
	case res.StatusCode >= 500:
		fail.Code = InternalServerError
		return "", fail
	case res.StatusCode != http.StatusOK:
		fail.Detail = got.Error
		return "", fail
	case err != nil || got.AccessToken == "" || !strings.EqualFold(got.TokenType, "Bearer"):
		fail.Detail = "answer holds no bearer token"
		return "", fail
	}
	c.token, c.life = got.AccessToken, time.Duration(got.ExpiresIn)*time.Second
	c.expires = time.Now().Add(c.life)
	return c.token, nil
}

// forget drops a refused access token so that the next request fetches another; it reports whether there can be one.
func (c *credentials) forget(token string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tokenURL != "" && c.token == token {
		c.token = ""
	}
	return c.tokenURL != ""
}

// tokenLife is the expires_in of the last access token.
func (c *credentials) tokenLife() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.life
}

// meter counts the traffic of a run. A nil meter counts nothing.
type meter struct {
	mu                           sync.Mutex
	requests, retries, throttled int
	succeeded                    bool // some request was answered 2xx
	sent, received               int64
	buckets                      [1024]int // latencies, logarithmic: bucket i ends at 10µs * 1.02^i, 2 % precision
}

func (m *meter) request(took time.Duration, sent, received int) {
	if m == nil {
		return
	}
	i := int(math.Log(max(1, float64(took)/float64(10*time.Microsecond)))/math.Log(1.02)) + 1
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests++
	m.sent += int64(sent)
	m.received += int64(received)
	m.buckets[min(i, len(m.buckets)-1)]++
}

func (m *meter) retry()    { m.note(func() { m.retries++ }) }
func (m *meter) throttle() { m.note(func() { m.throttled++ }) }
func (m *meter) success()  { m.note(func() { m.succeeded = true }) }

func (m *meter) note(f func()) {
	if m != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		f()
	}
}

// quantile is the latency that the fraction q of the requests did not exceed.
func (m *meter) quantile(q float64) time.Duration {
	left := int(math.Ceil(q * float64(m.requests)))
	for i, n := range m.buckets {
		if left -= n; left <= 0 && m.requests > 0 {
			return time.Duration(float64(10*time.Microsecond) * math.Pow(1.02, float64(i)))
		}
	}
	return 0
}
