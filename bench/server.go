package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"runtime/pprof"
	"time"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull/graph"
)

const roleServer = "server"

// Server is our side: the server under test, in a process of its own. Its exported methods are
// what the parent can ask of it.
type Server struct {
	ctx     context.Context
	app     *app.App
	profile *os.File
	heap    *heapWatch
	tally   *tally
	env     string // id of the environment that is pulled
}

// Options of a child.
type Options struct {
	Dir    string
	Log    string // level of the server's log; empty: the default
	CAFile string // of the simulated directory; its server counts the rows that it writes; empty: none
}

// Start serves on loopback and returns the address.
func (s *Server) Start(o Options, address *string) (err error) {
	data := filepath.Join(o.Dir, "data")
	var st directory.Store
	if o.CAFile != "" {
		if s.tally, err = newTally(data); err != nil {
			return err
		}
		st = s.tally
	}
	s.app, err = startApp(s.ctx, data, o, st)
	if err == nil {
		*address = s.app.Addr().String()
	}
	return err
}

// startApp starts the whole server, on loopback and with the default configuration but for the
// level of its log and whom it trusts. The log goes to the null device: its lines are made and
// written, and where they would go is not ours. st nil is the store in the data folder.
func startApp(ctx context.Context, data string, o Options, st directory.Store) (*app.App, error) {
	c, err := app.LoadConfig(app.Source{Flags: func(c *app.Config) {
		c.Data, c.Listen, c.Log.Level, c.CAFile = data, "127.0.0.1:0", o.Log, o.CAFile
		c.TrustedProxies, c.Upstreams = []string{"127.0.0.1"}, []app.Upstream{{Name: benchUpstream, Audience: "https://bench.example"}}
	}})
	if err != nil {
		return nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	a, err := app.New(c, app.Options{Logger: app.NewLogger(c, null, false), Store: st, Connect: graph.Connect})
	if err != nil {
		return nil, err
	}
	if err := a.Start(ctx); err != nil {
		return nil, errors.Join(err, a.Close(ctx))
	}
	return a, nil
}

var operator = directory.Actor{Role: directory.RoleOperator, Channel: "bench"}

// addTenant makes a tenant that no rate limit slows down, and a token of it.
func addTenant(ctx context.Context, service *directory.Service, name string) (token string, err error) {
	const limit = directory.MaxRequestsPerSecond
	t, err := service.CreateTenant(ctx, operator, directory.Tenant{Name: name, SCIM: directory.SCIMOptions{RequestsPerSecond: limit, Burst: limit}})
	if err != nil {
		return "", err
	}
	secret := auth.NewSecret()
	_, err = service.CreateToken(ctx, operator, t.ID, directory.NewToken{Hash: secret.Hash, Hint: secret.Hint})
	return secret.Text, err
}

// AddTenant makes a tenant of that name and returns a token of it.
func (s *Server) AddTenant(name string, token *string) (err error) {
	*token, err = addTenant(s.ctx, s.app.Service(), name)
	return err
}

// Stats returns what the store has done.
func (s *Server) Stats(_ bool, stats *directory.StoreStats) error { //nolint:unparam // the form of net/rpc
	*stats = s.app.Stats()
	return nil
}

// StartProfile writes a CPU profile to a file until StopProfile. While a floor is measured this
// process does nothing, so the profile holds our side alone.
func (s *Server) StartProfile(file string, _ *bool) (err error) {
	if s.profile, err = os.Create(file); err != nil {
		return err
	}
	return pprof.StartCPUProfile(s.profile)
}

// StopProfile ends what StartProfile began.
func (s *Server) StopProfile(bool, *bool) error {
	pprof.StopCPUProfile()
	return s.profile.Close()
}

// Heap is what a piece of work cost in memory.
type Heap struct {
	Peak      uint64 // bytes of heap objects above those before, garbage included
	Allocated uint64 // bytes in all
	Objects   uint64 // number of allocations
}

// heapWatch looks at the heap again and again.
type heapWatch struct {
	before  Heap
	percent int // of the collector, before
	stop    chan struct{}
	peak    chan uint64
}

// WatchHeap starts watching the heap, from a state without garbage. tight has garbage collected
// almost as it arises, so that the heap is what is held.
func (s *Server) WatchHeap(tight bool, _ *bool) error { //nolint:unparam // the form of net/rpc
	percent := debug.SetGCPercent(10)
	if !tight {
		debug.SetGCPercent(percent)
	}
	runtime.GC()
	runtime.GC() // the first one may have left what finalizers held
	s.heap = &heapWatch{before: readHeap(), percent: percent, stop: make(chan struct{}), peak: make(chan uint64)}
	go s.heap.run()
	return nil
}

// UnwatchHeap returns what has happened to the heap since WatchHeap.
func (s *Server) UnwatchHeap(_ bool, h *Heap) error { //nolint:unparam // the form of net/rpc
	close(s.heap.stop)
	peak, after := <-s.heap.peak, readHeap()
	debug.SetGCPercent(s.heap.percent)
	*h = Heap{Peak: peak - s.heap.before.Peak, Allocated: after.Allocated - s.heap.before.Allocated, Objects: after.Objects - s.heap.before.Objects}
	return nil
}

func (w *heapWatch) run() {
	peak := w.before.Peak
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			w.peak <- peak
			return
		case <-tick.C:
			peak = max(peak, readHeap().Peak)
		}
	}
}

func readHeap() Heap {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/allocs:objects"}}
	metrics.Read(samples)
	return Heap{samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64()}
}
