package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

// call is one request, ready to be sent, with what its answer must be.
type call struct {
	raw    []byte
	status int
	body   []byte // the whole body; nil: not compared
	has    []byte // a part of the body; nil: none
}

// conn is a keep-alive connection that sends bytes made before and reads as little of the answer
// as HTTP allows, so that the client costs little and the same for every server.
type conn struct {
	net.Conn
	r    *bufio.Reader
	head []byte // of the last answer, without the status line
	body []byte // of the last answer, valid until the next one
}

func dial(ctx context.Context, address string) (*conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return &conn{Conn: c, r: bufio.NewReaderSize(c, 64<<10)}, nil
}

// do sends a call, reads its answer and checks it.
func (c *conn) do(k *call) error {
	if _, err := c.Write(k.raw); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	status, err := c.read()
	switch {
	case err != nil:
		return fmt.Errorf("client: reading an answer: %w", err)
	case status != k.status, k.body != nil && !bytes.Equal(c.body, k.body), k.has != nil && !bytes.Contains(c.body, k.has):
		request, _, _ := bytes.Cut(k.raw, []byte("\r\n"))
		return fmt.Errorf("wrong answer to %s: status %d, want %d; body %.300q, want %.300q in it", request, status, k.status, c.body, slices.Concat(k.body, k.has))
	}
	return nil
}

var (
	lengthHeader  = []byte("Content-Length: ")
	chunkedHeader = []byte("Transfer-Encoding: chunked")
	errAnswer     = errors.New("not an HTTP answer that this client knows")
)

func (c *conn) read() (status int, err error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 12 {
		return 0, errAnswer
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, errAnswer
	}
	length, chunked := 0, false
	c.head, c.body = c.head[:0], c.body[:0]
	for {
		if line, err = c.r.ReadSlice('\n'); err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			break
		}
		if n, ok := bytes.CutPrefix(line, lengthHeader); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(n))); err != nil || length < 0 {
				return 0, errAnswer
			}
		} else if bytes.HasPrefix(line, chunkedHeader) {
			chunked = true
		}
		c.head = append(c.head, line...)
	}
	if !chunked {
		return status, c.readBody(length)
	}
	for {
		if line, err = c.r.ReadSlice('\n'); err != nil {
			return 0, err
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 31)
		if err != nil {
			return 0, errAnswer
		}
		if err := c.readBody(int(n)); err != nil {
			return 0, err
		}
		if _, err := c.r.Discard(2); err != nil { // the line's end behind a chunk; no trailers come
			return 0, err
		}
		if n == 0 {
			return status, nil
		}
	}
}

func (c *conn) readBody(n int) error {
	start := len(c.body)
	c.body = slices.Grow(c.body, n)[:start+n]
	_, err := io.ReadFull(c.r, c.body[start:])
	return err
}

// header returns a header of the last answer, empty when it has none.
func (c *conn) header(name string) string {
	for line := range bytes.Lines(c.head) {
		if k, v, ok := bytes.Cut(line, []byte(": ")); ok && string(k) == name {
			return string(bytes.TrimSpace(v))
		}
	}
	return ""
}

// pool is a fixed number of connections to one server.
type pool []*conn

func newPool(ctx context.Context, address string, n int) (pool, error) {
	var p pool
	for range n {
		c, err := dial(ctx, address)
		if err != nil {
			p.close()
			return nil, err
		}
		p = append(p, c)
	}
	return p, nil
}

func (p pool) close() {
	for _, c := range p {
		c.Close()
	}
}

// Measure is what one side did in one go.
type Measure struct {
	Ops     int
	Elapsed time.Duration
	P50     time.Duration
	P99     time.Duration
	CPU     time.Duration // of the process that did it, where that is measured
}

func (m Measure) rate() float64 { return float64(m.Ops) / m.Elapsed.Seconds() }

// newMeasure sums up the latencies of each worker.
func newMeasure(elapsed time.Duration, workers [][]time.Duration) Measure {
	all := slices.Concat(workers...)
	slices.Sort(all)
	m := Measure{Ops: len(all), Elapsed: elapsed}
	if len(all) > 0 {
		m.P50, m.P99 = all[len(all)/2], all[len(all)*99/100]
	}
	return m
}

// stall is how long one answer may take before the run is given up.
const stall = time.Minute

// source makes the calls of one worker: the call is used until the next one is asked for; nil
// ends the worker. seen, where there is one, gets the connection after each answer.
type source struct {
	next func() *call
	seen func(*conn) error
	pace time.Duration // between the starts of two calls; 0: none
}

// load has every connection send calls of its own source, one after the other, for that long (0:
// until the sources end).
func (p pool) load(ctx context.Context, d time.Duration, sources func(worker int) source) (Measure, error) {
	latencies := make([][]time.Duration, len(p))
	errs := make([]error, len(p))
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	start := time.Now()
	deadline := start.Add(d + stall)
	if d == 0 {
		deadline = time.Time{}
	}
	var workers sync.WaitGroup
	for i, c := range p {
		if err := c.SetDeadline(deadline); err != nil {
			return Measure{}, fmt.Errorf("client: %w", err)
		}
		s := sources(i)
		workers.Go(func() {
			if latencies[i], errs[i] = c.work(running, start, d, s); errs[i] != nil {
				cancel()
			}
		})
	}
	defer context.AfterFunc(running, func() {
		for _, c := range p {
			_ = c.SetDeadline(time.Now()) // ends what they wait for
		}
	})()
	workers.Wait()
	elapsed := time.Since(start)
	if err := firstError(ctx, errs); err != nil {
		return Measure{}, err
	}
	return newMeasure(elapsed, latencies), nil
}

// firstError returns why workers have ended early: that ctx has ended, or the first error that is
// not one of a worker who was stopped because of another's.
func firstError(ctx context.Context, errs []error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var stopped error
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		stopped = cmp.Or(stopped, err)
	}
	return stopped
}

func (c *conn) work(ctx context.Context, start time.Time, d time.Duration, s source) ([]time.Duration, error) {
	latencies := make([]time.Duration, 0, 4096)
	for now := time.Now(); d == 0 || now.Sub(start) < d; {
		k := s.next()
		if k == nil {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := c.do(k); err != nil {
			return nil, err
		}
		end := time.Now()
		latencies = append(latencies, end.Sub(now))
		if s.seen != nil {
			if err := s.seen(c); err != nil {
				return nil, err
			}
		}
		if wait := s.pace - end.Sub(now); wait > 0 {
			time.Sleep(wait)
			end = time.Now()
		}
		now = end
	}
	return latencies, nil
}
