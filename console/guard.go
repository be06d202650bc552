package console

import (
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

// The most bytes of a form. Those of the staff hold long lists and certificates, and a character takes up to nine bytes there.
const (
	maxForm      = 64 << 10
	maxStaffForm = 1 << 20
)

// secure sets the headers of every page. Pages hold what concerns one person, so nothing keeps them;
// and some addresses hold a secret, so none is told to others.
func (c *Console) secure(v *visit) {
	h := v.w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Cookie, Accept-Language")
}

// policy is the Content-Security-Policy of every page (W3C CSP Level 3). Browsers hold form-action against every
// address that a form is redirected to. It names no directory even so: that would tell anybody who the customers are, and
// a directory may redirect on to one that only it knows, such as the AD FS of a federated domain. So no form is
// redirected to a directory: see onward.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// notice is an error with a text of its own for people.
type notice struct {
	status int
	key    string // texts "notice.<key>.title" and "notice.<key>.text"
	wait   time.Duration

	organization string // that the text names; empty: "your organization"
}

func (n *notice) Error() string { return "console: " + n.key }

// missing is the error of a page that is not there.
var missing = &notice{status: http.StatusNotFound, key: "missing"}

// mayPost lets a form through that a page of ours has sent.
func (c *Console) mayPost(v *visit, rt route) error {
	r := v.r
	if err := c.guard.Check(r); err != nil || !fromHere(r) {
		return &notice{status: http.StatusForbidden, key: "origin"}
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return &notice{status: http.StatusUnsupportedMediaType, key: "form"}
	}
	if rt.limited {
		if err := c.mayTry(v); err != nil {
			return err
		}
	}
	return nil
}

// readForm reads a form, of the staff once they are known as such.
func readForm(v *visit, rt route) error {
	r, most := v.r, int64(maxForm)
	if rt.access == Staff {
		most = maxStaffForm
	}
	r.Body = http.MaxBytesReader(v.w, r.Body, most)
	if err := r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return &notice{status: http.StatusRequestEntityTooLarge, key: "form"}
		}
		return &notice{status: http.StatusBadRequest, key: "form"}
	}
	for name, values := range r.PostForm {
		if !utf8.ValidString(name) || slices.ContainsFunc(values, func(s string) bool { return !utf8.ValidString(s) }) {
			return &notice{status: http.StatusBadRequest, key: "form"}
		}
	}
	return nil
}

// fromHere refuses what CrossOriginProtection takes for no browser's: these forms are for browsers alone. One too old
// for Sec-Fetch-Site and Origin has to name a page of ours as the referrer.
func fromHere(r *http.Request) bool {
	if r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Origin") != "" {
		return true
	}
	u, err := url.Parse(r.Header.Get("Referer"))
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// mayVisit lets through who goes to a page that begins or ends a sign-in. What another site has a browser
// load as a picture or a frame must not use up the tries of its network.
func (c *Console) mayVisit(v *visit) error {
	if dest := v.r.Header.Get("Sec-Fetch-Dest"); dest != "" && dest != "document" {
		return &notice{status: http.StatusForbidden, key: "origin"}
	}
	return c.mayTry(v)
}

// mayTry refuses who has tried too often.
func (c *Console) mayTry(v *visit) error {
	if wait, ok := c.config.Limit(v.r); !ok {
		return &notice{status: http.StatusTooManyRequests, key: "limited", wait: wait}
	}
	return nil
}

// fail answers with what went wrong. It is the one place that logs.
func (c *Console) fail(v *visit, err error) {
	var problem *auth.Problem
	var n *notice
	switch {
	case errors.As(err, &problem):
		c.problem(v, problem)
		return
	case errors.As(err, &n):
	case directory.KindOf(err) == directory.NotFound:
		n = missing
	case directory.KindOf(err) == directory.Forbidden:
		n = &notice{status: http.StatusForbidden, key: "forbidden"}
	case directory.KindOf(err) == directory.ReadOnly:
		n = &notice{status: http.StatusConflict, key: "managed", organization: c.manager(v)}
	case directory.KindOf(err) == directory.RateLimited:
		n = &notice{status: http.StatusTooManyRequests, key: "limited", wait: waitOf(err)}
	case directory.KindOf(err) == directory.Unavailable:
		n = &notice{status: http.StatusServiceUnavailable, key: "unavailable"}
	default:
		n = &notice{status: http.StatusInternalServerError, key: "internal"}
	}
	if n.status >= http.StatusInternalServerError {
		c.config.Log.Error("page failed", "request_id", c.config.RequestID(v.r), "error", err)
	}
	v.retryAfter(n.wait)
	data := noticeData{Key: n.key, Wait: seconds(n.wait), Organization: n.organization, RequestID: c.config.RequestID(v.r), Failed: n.status >= http.StatusInternalServerError}
	if n.key == "made" { // what there is stands above the page that makes more
		data.Back = strings.TrimSuffix(strings.TrimSuffix(v.here(), "/new"), "/add")
	}
	c.render(v, n.status, "notice", "notice."+n.key+".title", data)
}

// waitOf is how long somebody has to wait who tried too often; 0: not known.
func waitOf(err error) time.Duration {
	var many *auth.TooManyError
	if errors.As(err, &many) {
		return many.Wait
	}
	return 0
}

// seconds are those of a wait, rounded up.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// retryAfter tells programs how long to wait (RFC 9110 section 10.2.3).
func (v *visit) retryAfter(wait time.Duration) {
	if wait > 0 {
		v.w.Header().Set("Retry-After", strconv.Itoa(seconds(wait)))
	}
}

type noticeData struct {
	Key          string
	Wait         int // seconds; 0: not known
	Organization string
	RequestID    string
	Failed       bool   // by a fault of ours
	Back         string // where what was made can be seen; empty: nothing was
}

// manager is the organization whose directory manages the account of who is signed in; empty: none, or it cannot be
// read, and then the page does without its name.
func (c *Console) manager(v *visit) (name string) {
	if v.principal == nil || !v.principal.Account.External() {
		return ""
	}
	_ = c.config.Directory.View(v.r.Context(), func(sn *directory.Snapshot) error {
		t, err := sn.Tenant(v.principal.Account.TenantID)
		if err == nil {
			name = t.DisplayName()
		}
		return err
	})
	return name
}
