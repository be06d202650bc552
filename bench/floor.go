package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
)

const roleFloor = "floor"

// Floor is the other side: the least that this machine must spend on the same bytes, in a process
// of its own.
type Floor struct {
	ctx    context.Context
	dir    string
	answer atomic.Pointer[Answer]
	files  int
	bolt   *boltFloor
}

// Answer is what floor H sends, whatever it is asked.
type Answer struct {
	Header http.Header
	Body   []byte
}

// Start serves floor H on loopback and returns the address: net/http, one handler, no routes.
func (f *Floor) Start(o Options, address *string) error {
	f.dir = o.Dir
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // as the server does: what it gains by that is the floor's to gain as well
	}
	var lc net.ListenConfig
	l, err := lc.Listen(f.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	*address = l.Addr().String()
	s := &http.Server{Handler: http.HandlerFunc(f.serveHTTP)} //nolint:gosec // a floor has no timeouts: it is the least
	go func() {
		if err := s.Serve(l); err != nil && f.ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "bench: floor H has stopped:", err)
		}
	}()
	return nil
}

func (f *Floor) serveHTTP(w http.ResponseWriter, _ *http.Request) {
	a := f.answer.Load()
	header := w.Header()
	for k, v := range a.Header {
		header[k] = v
	}
	_, _ = w.Write(a.Body) // the client is gone when it fails
}

// SetAnswer sets what floor H sends.
func (f *Floor) SetAnswer(a Answer, _ *bool) error { //nolint:unparam // the form of net/rpc
	a.Header.Set("Content-Length", strconv.Itoa(len(a.Body)))
	f.answer.Store(&a)
	return nil
}

// Write is one row that a request writes: how many bytes, and where the row comes to lie.
type Write struct {
	Table      string
	Key, Value int  // bytes
	Sequential bool // the key is above all others; else it lies anywhere among them
	Replace    bool // the row exists
}

// Shape is what the floors B1 and BG write, and into what.
type Shape struct {
	Writes []Write
	Rows   int // rows of each table beforehand
	Among  int // the rows that those of Replace are taken from
}

// Job is how the floors are run: Workers that each wait for their commit before they go on.
type Job struct {
	Workers int
	Time    time.Duration
}

// OpenBolt makes a file for B1 and BG and fills it.
func (f *Floor) OpenBolt(s Shape, _ *bool) (err error) {
	if f.bolt != nil {
		if err := f.bolt.db.Close(); err != nil {
			return err
		}
	}
	f.files++
	f.bolt, err = newBoltFloor(filepath.Join(f.dir, fmt.Sprintf("floor-%d.db", f.files)), s)
	return err
}

// One runs B1: every worker commits by itself.
func (f *Floor) One(j Job, m *Measure) error {
	b := f.bolt
	return b.run(j, m, func(n int) error {
		return b.db.Update(func(tx *bbolt.Tx) error { return b.write(tx, n) })
	})
}

// Group runs BG: one writer drains a queue into one transaction and answers after the commit.
func (f *Floor) Group(j Job, m *Measure) error {
	b := f.bolt
	queue := make(chan groupCall, j.Workers)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.group(queue)
	}()
	err := b.run(j, m, func(n int) error {
		c := groupCall{n, make(chan error, 1)}
		queue <- c
		return <-c.done
	})
	close(queue)
	<-ended
	return err
}

// boltFloor is a bbolt file with the tables of a shape.
type boltFloor struct {
	Shape
	db    *bbolt.DB
	next  atomic.Int64
	value []byte
}

func newBoltFloor(path string, s Shape) (*boltFloor, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoStatistics: true, InitialMmapSize: 16 << 30})
	if err != nil {
		return nil, err
	}
	b := &boltFloor{Shape: s, db: db}
	for _, w := range s.Writes {
		b.value = append(b.value, bytes.Repeat([]byte("value of no meaning "), 1+max(0, w.Value-len(b.value))/20)...)
	}
	b.next.Store(int64(s.Rows))
	const batch = 5000
	for from := 0; from == 0 || from < s.Rows; from += batch {
		err := db.Update(func(tx *bbolt.Tx) error {
			for i, w := range s.Writes {
				bucket, err := tx.CreateBucketIfNotExists([]byte(w.Table))
				if err != nil {
					return err
				}
				bucket.FillPercent = w.fill()
				for n := from; n < min(from+batch, s.Rows); n++ {
					if err := b.put(bucket, i, n); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("fill: %w", err)
		}
	}
	return b, nil
}

func (w *Write) fill() float64 {
	if w.Sequential {
		return 0.9
	}
	return bbolt.DefaultFillPercent
}

// put writes the row of number n that write i describes.
func (b *boltFloor) put(bucket *bbolt.Bucket, i, n int) error {
	w := &b.Writes[i]
	number := uint64(n)
	if !w.Sequential {
		number = mix(number + uint64(i)<<40)
	}
	key := make([]byte, max(w.Key, 8))
	binary.BigEndian.PutUint64(key[min(16, len(key)-8):], number) // behind a tenant's id, where there is room for one
	return bucket.Put(key, b.value[:w.Value])
}

// write writes all rows of one request.
func (b *boltFloor) write(tx *bbolt.Tx, n int) error {
	for i := range b.Writes {
		w := &b.Writes[i]
		bucket := tx.Bucket([]byte(w.Table))
		bucket.FillPercent = w.fill()
		at := n
		if w.Replace {
			at = int(mix(uint64(n)) % uint64(max(1, b.Among)))
		}
		if err := b.put(bucket, i, at); err != nil {
			return err
		}
	}
	return nil
}

// run has workers do work again and again, each with a number of its own.
func (b *boltFloor) run(j Job, m *Measure, work func(n int) error) error {
	latencies := make([][]time.Duration, j.Workers)
	errs := make([]error, j.Workers)
	var workers sync.WaitGroup
	start := time.Now()
	for i := range j.Workers {
		workers.Go(func() {
			for now := start; now.Sub(start) < j.Time; {
				if errs[i] = work(int(b.next.Add(1))); errs[i] != nil {
					return
				}
				end := time.Now()
				latencies[i] = append(latencies[i], end.Sub(now))
				now = end
			}
		})
	}
	workers.Wait()
	*m = newMeasure(time.Since(start), latencies)
	return firstError(context.Background(), errs)
}

type groupCall struct {
	n    int
	done chan error
}

func (b *boltFloor) group(queue chan groupCall) {
	var calls []groupCall
	for first := range queue {
		calls = append(calls[:0], first)
		err := b.db.Update(func(tx *bbolt.Tx) error {
			for i := 0; ; i++ {
				if err := b.write(tx, calls[i].n); err != nil {
					return err
				}
				if i+1 < len(calls) {
					continue
				}
				select {
				case c, ok := <-queue:
					if !ok {
						return nil
					}
					calls = append(calls, c)
				default:
					return nil
				}
			}
		})
		for _, c := range calls {
			c.done <- err
		}
	}
}
