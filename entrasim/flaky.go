package entrasim

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// FlakyOptions say how a network misbehaves. Rates are probabilities from 0 to 1, drawn per request from the seed.
type FlakyOptions struct {
	Seed       uint64
	Refuse     float64       // the request is never delivered
	LoseAnswer float64       // the request is delivered, its answer is cut off
	Duplicate  float64       // the request is delivered twice; the first answer comes back
	Delay      float64       // the request is held up first
	MaxDelay   time.Duration // longest hold-up

	Only  func(*http.Request) bool // which requests may suffer; default all
	Limit int                      // number of faults in all; 0 means no limit
}

// Flaky wraps a transport in a bad network. A nil transport means [http.DefaultTransport].
func Flaky(rt http.RoundTripper, o FlakyOptions) http.RoundTripper {
	if rt == nil {
		rt = http.DefaultTransport
	}
	return &flaky{rt: rt, o: o, rng: rand.New(rand.NewPCG(o.Seed, 3))}
}

type flaky struct {
	rt http.RoundTripper
	o  FlakyOptions

	mu     sync.Mutex
	rng    *rand.Rand
	faults int
}

// CloseIdleConnections closes those of the wrapped transport.
func (f *flaky) CloseIdleConnections() {
	if c, ok := f.rt.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// draw decides whether a fault of the given rate happens.
func (f *flaky) draw(rate float64) bool {
	if rate <= 0 || f.o.Limit > 0 && f.faults >= f.o.Limit || f.rng.Float64() >= rate {
		return false
	}
	f.faults++
	return true
}

// RoundTrip implements [http.RoundTripper].
func (f *flaky) RoundTrip(req *http.Request) (*http.Response, error) {
	if f.o.Only != nil && !f.o.Only(req) {
		return f.rt.RoundTrip(req)
	}
	f.mu.Lock()
	var wait time.Duration
	if f.draw(f.o.Delay) {
		wait = time.Duration(f.rng.Float64() * float64(f.o.MaxDelay))
	}
	refuse, lose, twice := f.draw(f.o.Refuse), f.draw(f.o.LoseAnswer), f.draw(f.o.Duplicate)
	f.mu.Unlock()

	var body []byte
	if req.Body != nil {
		var err error
		body, err = io.ReadAll(req.Body)
		req.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	if wait > 0 {
		if err := sleep(req.Context(), wait); err != nil {
			return nil, err
		}
	}
	if refuse {
		return nil, fmt.Errorf("connection refused: %w", io.ErrClosedPipe)
	}
	send := func() (*http.Response, error) {
		r := req.Clone(req.Context())
		if body != nil {
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		return f.rt.RoundTrip(r)
	}
	res, err := send()
	if err != nil {
		return nil, err
	}
	if twice {
		// Read the first answer whole, so that the second request starts only after the server has finished the first.
		first, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			return nil, err
		}
		res.Body = io.NopCloser(bytes.NewReader(first))
		if again, err := send(); err == nil {
			_, _ = io.Copy(io.Discard, again.Body)
			again.Body.Close()
		}
	}
	if lose {
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		return nil, fmt.Errorf("connection reset: %w", io.ErrUnexpectedEOF)
	}
	return res, nil
}
