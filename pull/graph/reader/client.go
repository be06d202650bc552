package reader

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/bizzstream/bizzscim/pull"
)

// The limits of one request, and of all the requests that one read makes.
const (
	maxTries   = 4                // of a request
	maxWait    = 30 * time.Second // before one more try; asked for more, the read ends
	waitBudget = 5 * time.Minute  // of all waits of a read
	tryTimeout = time.Minute      // from the first byte sent to the last one read
	maxBody    = 16 << 20         // bytes of a good answer, not compressed: 999 members have about 400 KiB
	maxFailure = 64 << 10         // bytes of any other answer that we look into
	maxDrain   = 256 << 10        // bytes read to use a connection again
	firstDelay = 500 * time.Millisecond
	maxDelay   = 8 * time.Second
)

// Build makes a request anew for each try: its body is read by each, and its token may have ended.
// claims is the claims challenge (base64) of continuous access evaluation that the token must answer,
// mostly empty. Errors: *pull.Error or that of ctx.
type Build func(ctx context.Context, claims string) (*http.Request, error)

// Client sends requests, and sends them again where another try may help. It is safe for concurrent
// use.
type Client struct {
	Transport http.RoundTripper
	Now       func() time.Time    // the wall clock
	Meter     func(pull.Meter)    // nil: nobody asks
	Wait      func(time.Duration) // nil: nobody asks
	Sleep     func(ctx context.Context, d time.Duration) error
}

// NewTransport returns a transport for Graph and for tokens: gzip, HTTP/2 and the environment's proxy, and
// every step bounded. roots are the certificate authorities to trust; nil: those of the system.
func NewTransport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  45 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// Sleep waits until d is over or ctx is done. It is what a Client waits with, but for tests.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Answer is the answer to a request, its body read to the end.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // valid until the next request of the same operation
}

// operation is one read: the requests that belong together share what they may wait, and a buffer.
type operation struct {
	client *Client
	meter  pull.Meter // what it has cost
	left   time.Duration
	body   []byte
	silent bool // its requests are none of Graph's: the token's
}

func (c *Client) operation() *operation {
	return &operation{client: c, left: waitBudget}
}

func (o *operation) charge(m pull.Meter) {
	if o.silent {
		return
	}
	o.meter.Add(m)
	if o.client.Meter != nil {
		o.client.Meter(m)
	}
}

// Forward sends a request that is none of Graph's, as Graph's are sent: with tries, waits and bounds,
// but not metered. It returns whatever status the last try had. Errors: *pull.Error or that of ctx.
func (c *Client) Forward(ctx context.Context, build Build) (*Answer, error) {
	o := c.operation()
	o.silent = true
	return o.send(ctx, build, 0)
}

// send sends a request until there is an answer that another try cannot make better. items is what the
// request counts for. The Answer has any status; 429 and 5xx are those of the last try.
func (o *operation) send(ctx context.Context, build Build, items int) (*Answer, error) {
	claims := ""
	for try := 1; ; try++ {
		cost := pull.Meter{Requests: items}
		if try > 1 {
			cost.Retries = 1
		}
		req, err := build(ctx, claims)
		if err != nil {
			return nil, cmp.Or(ctx.Err(), err)
		}
		a, err := o.try(ctx, req, cost)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil && a.Status == http.StatusUnauthorized && claims == "" {
			if claims = challenge(a.Header); claims != "" {
				continue // the token was good, and has to say more: once, at once
			}
		}
		wait, again := o.again(ctx, a, err, try)
		if !again {
			return a, err
		}
		if err := o.pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// try sends a request once.
func (o *operation) try(ctx context.Context, req *http.Request, cost pull.Meter) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	resp, err := o.client.Transport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		o.charge(cost)
		return nil, unreachable(err)
	}
	defer resp.Body.Close()
	cost.Units, _ = strconv.Atoi(resp.Header.Get("X-Ms-Resource-Unit"))
	cost.Units = min(max(cost.Units, 0), 1000)
	o.charge(cost)
	limit := maxBody
	if resp.StatusCode != http.StatusOK {
		limit = maxFailure
	}
	whole, err := o.read(resp.Body, limit)
	switch {
	case err != nil && resp.StatusCode == http.StatusOK:
		return nil, unreachable(err)
	case !whole && resp.StatusCode == http.StatusOK:
		return nil, &pull.Error{
			Class:     pull.Malformed,
			Detail:    fmt.Sprintf("Microsoft Graph sent an answer of more than %d MiB", maxBody>>20),
			Status:    resp.StatusCode,
			RequestID: requestID(resp.Header),
		}
	case !whole:
		// What is left decides about the connection alone.
		_, _ = io.CopyN(io.Discard, resp.Body, maxDrain)
	}
	return &Answer{Status: resp.StatusCode, Header: resp.Header, Body: o.body}, nil
}

// read reads at most limit bytes of a body into the buffer, and tells whether that is all of it.
func (o *operation) read(r io.Reader, limit int) (whole bool, err error) {
	o.body = o.body[:0]
	for {
		if len(o.body) == cap(o.body) {
			grown := make([]byte, len(o.body), max(64<<10, min(2*cap(o.body), limit+1)))
			copy(grown, o.body)
			o.body = grown
		}
		n, err := r.Read(o.body[len(o.body):min(cap(o.body), limit+1)])
		o.body = o.body[:len(o.body)+n]
		switch {
		case len(o.body) > limit:
			o.body = o.body[:limit]
			return false, nil
		case errors.Is(err, io.EOF):
			return true, nil
		case err != nil:
			return false, err
		}
	}
}

// again decides whether one more try may help, and how long to wait before it.
func (o *operation) again(ctx context.Context, a *Answer, err error, try int) (time.Duration, bool) {
	if try == maxTries || !temporary(a, err) {
		return 0, false
	}
	wait := delay(try)
	if a != nil {
		if asked := retryAfter(a.Header, o.client.Now()); asked > 0 {
			wait = asked
		}
	}
	if wait > maxWait || wait > o.left {
		return 0, false
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) < wait {
		return 0, false
	}
	return wait, true
}

// temporary reports whether the same request may be answered better a little later.
func temporary(a *Answer, err error) bool {
	if err != nil {
		var e *pull.Error
		return errors.As(err, &e) && errors.Is(e.Err, errTemporary)
	}
	return temporaryStatus(a.Status)
}

func temporaryStatus(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// pause waits before one more try.
func (o *operation) pause(ctx context.Context, d time.Duration) error {
	o.left -= d
	if o.client.Wait != nil {
		o.client.Wait(d)
	}
	return o.client.Sleep(ctx, d)
}

// delay is how long to wait after a try when nobody says: exponential, with full jitter.
func delay(try int) time.Duration {
	d := min(firstDelay<<(try-1), maxDelay)
	return time.Duration(rand.Int64N(int64(d))) + time.Millisecond //nolint:gosec // nobody gains by guessing a wait
}

// Contain calls f and makes an error of a panic in it: of a library that is given what somebody else
// has sent, a panic is one more way to say that it cannot be understood.
func Contain(what string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &pull.Error{
				Class:  pull.Malformed,
				Detail: what + " failed on something unforeseen; please report it with the server's log",
				Err:    fmt.Errorf("panic: %v\n%s", p, debug.Stack()),
			}
		}
	}()
	return f()
}

// RetryAfter is how long the answer asks to wait, 0 when it does not.
func (a *Answer) RetryAfter(now time.Time) time.Duration { return retryAfter(a.Header, now) }
