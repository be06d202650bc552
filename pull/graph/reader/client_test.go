package reader

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bizzstream/bizzscim/pull"
)

func busy(status int, after string) reply {
	a := graphError(status, "TooManyRequests", "slow down")
	if after != "" {
		a.header["Retry-After"] = after
	}
	return a
}

func groupReply() reply {
	return reply{body: fmt.Sprintf(`{"@odata.context":"x","id":%q,"displayName":"Sales"}`, theGroup)}
}

func TestTriesAgain(t *testing.T) {
	for _, status := range []int{429, 500, 502, 503, 504} {
		for name, after := range map[string]struct {
			header   string
			min, max time.Duration
		}{
			"seconds":            {"7", 7 * time.Second, 7 * time.Second},
			"a fraction":         {"0.9", 900 * time.Millisecond, 900 * time.Millisecond},
			"a date":             {now.Add(9 * time.Second).Format(http.TimeFormat), 9 * time.Second, 9 * time.Second},
			"a date in the past": {now.Add(-time.Hour).Format(http.TimeFormat), 1, firstDelay + time.Millisecond},
			"nothing":            {"", 1, firstDelay + time.Millisecond},
			"zero":               {"0", 1, firstDelay + time.Millisecond},
			"less than zero":     {"-5", 1, firstDelay + time.Millisecond},
			"nonsense":           {"soon", 1, firstDelay + time.Millisecond},
			"no number":          {"NaN", 1, firstDelay + time.Millisecond},
			"no bounds":          {"+Inf", 1, firstDelay + time.Millisecond},
		} {
			t.Run(fmt.Sprintf("%d with %s", status, name), func(t *testing.T) {
				a := busy(status, after.header)
				a.header["Date"] = now.Format(http.TimeFormat)
				r, s := scripted(t, a, groupReply())
				g, err := r.Group(t.Context(), theGroup)
				if err != nil || g.DisplayName != "Sales" || s.count() != 2 {
					t.Fatalf("group %+v, error %v after %d requests", g, err, s.count())
				}
				if len(r.slept) != 1 || r.slept[0] < after.min || r.slept[0] > after.max || !slices.Equal(r.slept, r.waited) {
					t.Errorf("waited %v, told %v; want once %v to %v", r.slept, r.waited, after.min, after.max)
				}
				if r.meter != (pull.Meter{Requests: 2, Retries: 1}) {
					t.Errorf("metered %+v", r.meter)
				}
			})
		}
	}
}

// TestDateByTheOtherClock: a date is an instant of the clock that wrote it.
func TestDateByTheOtherClock(t *testing.T) {
	theirs := now.Add(-3 * time.Hour)
	h := http.Header{"Date": {theirs.Format(http.TimeFormat)}, "Retry-After": {theirs.Add(4 * time.Second).Format(http.TimeFormat)}}
	if got := retryAfter(h, now); got != 4*time.Second {
		t.Errorf("wait %v, want 4s", got)
	}
	h.Del("Date")
	if got := retryAfter(h, theirs); got != 4*time.Second {
		t.Errorf("wait %v without Date, want 4s by our clock", got)
	}
}

func TestGivesUpAfterFourTries(t *testing.T) {
	for status, want := range map[int]pull.Class{429: pull.Throttled, 500: pull.Unavailable, 502: pull.Unavailable, 503: pull.Unavailable, 504: pull.Unavailable} {
		r, s := scripted(t, busy(status, ""), busy(status, ""), busy(status, ""), busy(status, "11"))
		_, err := r.Group(t.Context(), theGroup)
		var e *pull.Error
		if !errors.As(err, &e) || e.Class != want || e.Status != status || e.RetryAfter != 11*time.Second || s.count() != 4 {
			t.Errorf("status %d: error %+v after %d requests", status, e, s.count())
		}
		for i, d := range r.slept {
			if most := firstDelay<<i + time.Millisecond; d <= 0 || d > most {
				t.Errorf("wait %d was %v, want up to %v", i+1, d, most)
			}
		}
		if e != nil && (e.Code != "TooManyRequests" || e.RequestID != "f3b0-42" || e.Err == nil) {
			t.Errorf("the error lacks what a support case needs: %+v", e)
		}
	}
}

func TestDelayIsBoundedAndSpread(t *testing.T) {
	seen := make(map[time.Duration]bool)
	for try := 1; try <= 20; try++ {
		d := delay(try)
		if d <= 0 || d > maxDelay+time.Millisecond {
			t.Errorf("wait after try %d is %v", try, d)
		}
		seen[d] = true
	}
	if len(seen) < 15 {
		t.Errorf("20 waits have %d values: they are not spread", len(seen))
	}
}

// TestAskedToWaitTooLong: the scheduler, not the read, waits for long.
func TestAskedToWaitTooLong(t *testing.T) {
	for after, want := range map[string]time.Duration{
		"31": 31 * time.Second, "3600": time.Hour, "1e18": 24 * time.Hour, now.Add(time.Hour).Format(http.TimeFormat): time.Hour,
	} {
		a := busy(429, after)
		a.header["Date"] = now.Format(http.TimeFormat)
		r, s := scripted(t, a)
		_, err := r.Group(t.Context(), theGroup)
		var e *pull.Error
		if !errors.As(err, &e) || e.Class != pull.Throttled || e.RetryAfter != want || s.count() != 1 || len(r.slept) != 0 {
			t.Errorf("Retry-After %s: error %+v after %d requests and waits %v", after, e, s.count(), r.slept)
		}
	}
	r, _ := scripted(t, busy(503, "120"))
	_, err := r.Group(t.Context(), theGroup)
	var e *pull.Error
	if !errors.As(err, &e) || e.Class != pull.Unavailable || e.RetryAfter != 2*time.Minute {
		t.Errorf("503 with Retry-After: error %+v", e)
	}
}

// TestWaitsOfAReadAreBounded: each wait is short enough, and all of them together are not.
func TestWaitsOfAReadAreBounded(t *testing.T) {
	var n atomic.Int64
	var r *rig
	r = newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if i := n.Add(1); i%2 == 1 {
			busy(429, "30").write(w)
			return
		}
		reply{body: strings.ReplaceAll(pageOf(-1, link(int(n.Load()))), "{base}", r.base.String())}.write(w)
	}))
	_, _, err := readAll(r)
	var total time.Duration
	for _, d := range r.slept {
		total += d
	}
	if total != waitBudget || pull.ClassOf(err) != pull.Throttled {
		t.Errorf("waited %v in all, error %v; want %v and then Throttled", total, err, waitBudget)
	}
}

// TestNoTimeToWait: a wait that ends behind the deadline of the run is not begun.
func TestNoTimeToWait(t *testing.T) {
	r, s := scripted(t, busy(429, "20"))
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	_, err := r.Group(ctx, theGroup)
	var e *pull.Error
	if !errors.As(err, &e) || e.Class != pull.Throttled || e.RetryAfter != 20*time.Second || s.count() != 1 {
		t.Errorf("error %v after %d requests", err, s.count())
	}
}

// TestSleep waits in a bubble, where time is free.
func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		if err := Sleep(t.Context(), time.Minute); err != nil || time.Since(begin) != time.Minute {
			t.Errorf("slept %v, error %v", time.Since(begin), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin = time.Now()
		if err := Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("slept %v, error %v; want the end of the context", time.Since(begin), err)
		}
	})
}

func TestNeverTriesAgain(t *testing.T) {
	for _, test := range []struct {
		reply reply
		want  pull.Class
		says  string
	}{
		{graphError(400, "Request_BadRequest", "no"), pull.Malformed, "status 400"},
		{graphError(401, "InvalidAuthenticationToken", "no"), pull.Authentication, "client id"},
		{graphError(403, "Authorization_RequestDenied", "no"), pull.Permission, "GroupMember.Read.All"},
		{graphError(404, "Request_ResourceNotFound", "no"), pull.ScopeMissing, "deleted"},
		{graphError(404, "ResourceNotFound", "no such segment"), pull.Unavailable, "URL"},
		{reply{status: 404, body: "<html>", header: map[string]string{"Content-Type": "text/html"}}, pull.Unavailable, "URL"},
		{graphError(409, "Conflict", "no"), pull.Malformed, "409"},
		{graphError(410, "Gone", "no"), pull.Malformed, "410"},
		{graphError(501, "NotImplemented", "no"), pull.Unavailable, "501"},
		{reply{status: 200, body: "<html>Sign in</html>", header: map[string]string{"Content-Type": "text/html"}}, pull.Malformed, ""},
		{reply{status: 201, body: "{}"}, pull.Malformed, "201"},
		{reply{status: 204}, pull.Malformed, "204"},
		{reply{status: 206, body: "{}"}, pull.Malformed, "206"},
		{reply{status: 301, header: map[string]string{"Location": "https://elsewhere.example/"}}, pull.Unavailable, "elsewhere"},
		{reply{status: 302, header: map[string]string{"Location": "/v1.0/groups/x"}}, pull.Unavailable, "elsewhere"},
		{reply{status: 304}, pull.Unavailable, ""},
	} {
		r, s := scripted(t, test.reply)
		_, err := r.Group(t.Context(), theGroup)
		var e *pull.Error
		if !errors.As(err, &e) || e.Class != test.want || !strings.Contains(e.Detail, test.says) || s.count() != 1 {
			t.Errorf("status %d %.40s: error %v after %d requests; want %s and %q", test.reply.status, test.reply.body, err, s.count(), test.want, test.says)
		}
		if e != nil && (e.Status != test.reply.status || len(r.slept) > 0) {
			t.Errorf("status %d: error has status %d, waits %v", test.reply.status, e.Status, r.slept)
		}
	}
}

// TestListThatDoesNotGoOn: the token of a later page has ended, or the group has. That is no word about a group
// that must be there, and no partial list.
func TestListThatDoesNotGoOn(t *testing.T) {
	for _, a := range []reply{
		graphError(400, "Directory_ExpiredPageToken", "expired"), graphError(404, "Request_ResourceNotFound", "gone"),
		graphError(410, "Gone", "gone"), {status: 410, header: map[string]string{"Location": "https://graph.microsoft.com/"}},
	} {
		e := refused(t, pull.Unavailable, 1, reply{body: pageJSON(2, link(2), 1, 2)}, a)
		if e.Status != a.status {
			t.Errorf("status %d, want %d", e.Status, a.status)
		}
	}

}

// TestCutBodies: a page that was cut is asked for again as a whole, and nobody of it is delivered twice.
func TestCutBodies(t *testing.T) {
	page := pageJSON(40, "", 1, 41)
	cut := map[string]reply{
		"short of its length": {raw: func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", fmt.Sprint(len(page)))
			_, _ = io.WriteString(w, page[:len(page)/2])
			panic(http.ErrAbortHandler)
		}},
		"in chunks": {raw: func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, page[:len(page)/2])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}},
		"before the headers": {raw: func(http.ResponseWriter) { panic(http.ErrAbortHandler) }},
		"no gzip": {raw: func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, page)
		}},
	}
	for name, a := range cut {
		t.Run(name, func(t *testing.T) {
			r, s := scripted(t, a, a, a, reply{body: page})
			people, l, err := readAll(r)
			if err != nil || len(people) != 40 || l.Retries != 3 || l.Requests != 4 || l.Pages != 1 || s.count() != 4 {
				t.Errorf("%d people, listing %+v, error %v, %d requests", len(people), l, err, s.count())
			}
			e := refusedAfter(t, a, a, a, a)
			if e.Class != pull.Unavailable || e.Status != 0 {
				t.Errorf("after four: %+v", e)
			}
		})
	}
}

func refusedAfter(t *testing.T, replies ...reply) *pull.Error {
	t.Helper()
	return refused(t, pull.Unavailable, 0, replies...)
}

func TestNobodyThere(t *testing.T) {
	r := newRig(t, http.NotFoundHandler())
	r.server.Close()
	_, err := r.Group(t.Context(), theGroup)
	var e *pull.Error
	if !errors.As(err, &e) || e.Class != pull.Unavailable || len(r.slept) != 3 {
		t.Errorf("error %v, waits %v; want Unavailable after 3", err, r.slept)
	}
	var op *net.OpError
	if !errors.As(err, &op) {
		t.Errorf("error %v does not hold its cause", err)
	}
}

func TestUntrustedCertificate(t *testing.T) {
	r, _ := scripted(t)
	r.client.Transport.(*http.Transport).TLSClientConfig.RootCAs = nil
	r.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	_, err := r.Group(t.Context(), theGroup)
	if pull.ClassOf(err) != pull.Configuration || !strings.Contains(err.Error(), "certificate") || len(r.slept) != 0 {
		t.Errorf("error %v, waits %v; want Configuration at once", err, r.slept)
	}
}

const claims = `{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}`

func claimsChallenge(value string) reply {
	a := graphError(401, "InvalidAuthenticationToken", "Continuous access evaluation resulted in challenge")
	a.header["WWW-Authenticate"] = `Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", ` +
		`client_id="00000003-0000-0000-c000-000000000000", error="insufficient_claims", claims="` + value + `"`
	return a
}

func TestClaimsChallenge(t *testing.T) {
	value := base64.StdEncoding.EncodeToString([]byte(claims))
	r, s := scripted(t, claimsChallenge(value), groupReply())
	if _, err := r.Group(t.Context(), theGroup); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.requests.claims, []string{value}) || len(r.slept) != 0 {
		t.Errorf("tokens asked to answer %q, waits %v; want the claims once and no wait", r.requests.claims, r.slept)
	}
	if s.asked[1].Header.Get("Authorization") == s.asked[0].Header.Get("Authorization") {
		t.Error("the second request has the token of the first")
	}
	// Once only.
	r, s = scripted(t, claimsChallenge(value), claimsChallenge(value))
	_, err := r.Group(t.Context(), theGroup)
	if pull.ClassOf(err) != pull.Authentication || err == nil || s.count() != 2 {
		t.Errorf("challenged twice: error %v after %d requests", err, s.count())
	}
	// A read that has waited keeps its claims.
	r, s = scripted(t, claimsChallenge(value), busy(503, "1"), groupReply())
	if _, err := r.Group(t.Context(), theGroup); err != nil || len(r.requests.claims) != 2 || s.count() != 3 {
		t.Errorf("error %v, claims %q", err, r.requests.claims)
	}
}

func TestNoClaimsChallenge(t *testing.T) {
	good := base64.StdEncoding.EncodeToString([]byte(claims))
	for _, header := range []string{
		"", "Bearer", "Bearer claims=abc", `Bearer claims=""`, `Bearer claims="%%%"`, `Bearer claims="`, `Bearer claims="` + good,
		`Bearer claims="` + base64.StdEncoding.EncodeToString([]byte("no JSON")) + `"`, `Basic claims="` + good + `"`,
		`Bearer xclaims="` + good + `"`, `Bearer claims='` + good + `'`, strings.Repeat(`Bearer claims="`, 1000),
	} {
		a := graphError(401, "InvalidAuthenticationToken", "no")
		a.header["WWW-Authenticate"] = header
		r, s := scripted(t, a)
		_, err := r.Group(t.Context(), theGroup)
		if pull.ClassOf(err) != pull.Authentication || err == nil || s.count() != 1 {
			t.Errorf("WWW-Authenticate: %.60s: error %v after %d requests", header, err, s.count())
		}
	}
}

func TestPanicIsAnError(t *testing.T) {
	err := Contain("the library", func() error { panic("regexp: index out of range") })
	var e *pull.Error
	if !errors.As(err, &e) || e.Class != pull.Malformed || !strings.Contains(e.Detail, "the library") ||
		!strings.Contains(e.Err.Error(), "index out of range") || !strings.Contains(e.Err.Error(), "TestPanicIsAnError") {
		t.Errorf("error %v, want Malformed with the stack", err)
	}
	a := &Answer{Status: 200, Header: http.Header{"Request-Id": {"42"}}}
	err = decode(a, purpose{what: "x"}, func() error { panic("out of range") })
	if !errors.As(err, &e) || e.Class != pull.Malformed || e.RequestID != "42" {
		t.Errorf("a panic in a decoder: %v", err)
	}
}

// TestPanicOfEachIsTheCallers: what the caller's own function does is nobody else's business.
func TestPanicOfEachIsTheCallers(t *testing.T) {
	r, _ := scripted(t, reply{body: pageJSON(1, "", 1, 2)})
	defer func() {
		if p := recover(); p != "mine" {
			t.Errorf("recovered %v, want the panic of each", p)
		}
	}()
	_, _ = r.Members(t.Context(), theGroup, false, func(pull.Person) error { panic("mine") })
	t.Error("the panic of each is gone")
}

func TestRequestThatCannotBeMade(t *testing.T) {
	r, s := scripted(t)
	r.requests.tokenErr = &pull.Error{Class: pull.Authentication, Detail: "the client secret has expired"}
	_, err := r.Group(t.Context(), theGroup)
	if !errors.Is(err, r.requests.tokenErr) || s.count() != 0 || len(r.slept) != 0 {
		t.Errorf("error %v, %d requests", err, s.count())
	}
	// A failure to reach the authority had its own tries.
	r.requests.tokenErr = unreachable(io.ErrUnexpectedEOF)
	if _, err = r.Group(t.Context(), theGroup); !errors.Is(err, io.ErrUnexpectedEOF) || len(r.slept) != 0 {
		t.Errorf("error %v, waits %v", err, r.slept)
	}
}

func TestUnits(t *testing.T) {
	for header, want := range map[string]int{"3": 3, "": 0, "-3": 0, "x": 0, "99999999": 1000} {
		a := groupReply()
		a.header = map[string]string{"X-Ms-Resource-Unit": header}
		r, _ := scripted(t, a)
		if _, err := r.Group(t.Context(), theGroup); err != nil || r.meter.Units != want {
			t.Errorf("x-ms-resource-unit %q: %d units, error %v; want %d", header, r.meter.Units, err, want)
		}
	}
}

// TestForwardIsNotMetered: tokens are no requests to Graph.
func TestForwardIsNotMetered(t *testing.T) {
	r, s := scripted(t, busy(503, "1"), graphError(400, "invalid_client", "no"))
	a, err := r.client.Forward(t.Context(), func(ctx context.Context, _ string) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodPost, r.base.String(), strings.NewReader("x"))
	})
	if err != nil || a.Status != 400 || s.count() != 2 || r.meter != (pull.Meter{}) || len(r.slept) != 1 {
		t.Errorf("answer %+v, error %v, %d requests, metered %+v", a, err, s.count(), r.meter)
	}
	if d := a.RetryAfter(now); d != 0 {
		t.Errorf("asks to wait %v", d)
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "a\r\nb\x00c": "a  b c", "x eyJhbGciOiJQUzI1NiJ9.eyJhIjoxfQ.c2ln y": "x [token] y",
	} {
		if got := Redact(in); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
	if got := Redact(strings.Repeat("é", 1000)); len(got) > 510 || strings.Contains(got, "\ufffd") {
		t.Errorf("a long text is %d bytes long: %q", len(got), got[490:])
	}
}

// TestErrorsOfTheOtherSideAreRedacted: Graph, or what stands in for it, may quote the token.
func TestErrorsOfTheOtherSideAreRedacted(t *testing.T) {
	r, _ := scripted(t, graphError(403, "eyJhbGciOiJub25lIn0.code", "your token eyJhbGciOiJub25lIn0.eyJvaWQiOiJ4In0.AAAA is bad"))
	_, err := r.Group(t.Context(), theGroup)
	if err == nil || strings.Contains(fmt.Sprintf("%+v", err), "eyJ") {
		t.Errorf("error %+v shows a token", err)
	}
}

// TestNothingIsLeftBehind reads 25 lists whose requests are refused three times each with a body that is
// longer than anybody needs. One connection carries all of it, and no goroutine stays.
func TestNothingIsLeftBehind(t *testing.T) {
	var n, connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%4 != 0 {
			a := busy(429, "1")
			a.body += strings.Repeat(" ", maxFailure+maxDrain/2)
			a.write(w)
			return
		}
		reply{body: pageJSON(1, "", 1, 2)}.write(w)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.StartTLS()
	defer server.Close()
	r := newRig(t, nil)
	r.Source.base.Host = strings.TrimPrefix(server.URL, "https://")
	r.client.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = true
	before := 0
	for i := range 25 {
		if people, _, err := readAll(r); err != nil || len(people) != 1 {
			t.Fatal(err)
		}
		if i == 0 {
			before = runtime.NumGoroutine()
		}
	}
	if n.Load() != 100 || connections.Load() != 1 || r.meter.Retries != 75 {
		t.Errorf("%d requests over %d connections, %d retries; want 100 over 1, 75", n.Load(), connections.Load(), r.meter.Retries)
	}
	if after := runtime.NumGoroutine(); after > before+2 {
		t.Errorf("%d goroutines after the first read, %d after the last", before, after)
	}
}

// TestCancelledWhileWaiting ends a wait at once.
func TestCancelledWhileWaiting(t *testing.T) {
	r, _ := scripted(t, busy(429, "20"))
	ctx, cancel := context.WithCancel(t.Context())
	r.client.Wait = func(time.Duration) { cancel() }
	r.client.Sleep = Sleep
	if _, err := r.Group(ctx, theGroup); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

// TestCancelledInTheMiddleOfABody ends a read that would take for ever.
func TestCancelledInTheMiddleOfABody(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, _ := scripted(t, reply{raw: func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"value":[`)
		w.(http.Flusher).Flush()
		cancel()
		<-ctx.Done()
		_, _ = io.WriteString(w, `]}`)
	}})
	_, err := r.Members(ctx, theGroup, false, func(pull.Person) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

// TestTryIsBounded: a server that says nothing is given up, in time, and asked again.
func TestTryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		c := &Client{Now: time.Now, Sleep: Sleep, Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
			tries++
			<-req.Context().Done()
			return nil, req.Context().Err()
		})}
		begin := time.Now()
		_, err := c.Forward(t.Context(), func(ctx context.Context, _ string) (*http.Request, error) {
			return http.NewRequestWithContext(ctx, http.MethodGet, "https://graph.example/", nil)
		})
		took := time.Since(begin)
		if pull.ClassOf(err) != pull.Unavailable || tries != maxTries || took < maxTries*tryTimeout || took > maxTries*tryTimeout+10*time.Second {
			t.Errorf("%d tries in %v, error %v", tries, took, err)
		}
		if errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), tryTimeout.String()) {
			t.Errorf("error %v does not tell how long it waited", err)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// TestCancelledTokens: a request for which there is no time any more has the error of the context.
func TestCancelledTokens(t *testing.T) {
	r, _ := scripted(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.requests.tokenErr = &pull.Error{Class: pull.Unavailable}
	for name, err := range map[string]error{
		"group":   second(r.Group(ctx, theGroup)),
		"confirm": second(r.Confirm(ctx, ids(1, 2), nil)),
		"members": second(r.Members(ctx, theGroup, false, nil)),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", name, err)
		}
	}

}

func second[T any](_ T, err error) error { return err }
