package main

import (
	"context"
	"crypto/x509"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/graph"
	"github.com/bizzstream/bizzscim/store"
)

// pulledTenant is the name of the tenant whose directory is simulated.
const pulledTenant = "pulled"

// Join links a tenant to a directory and an environment to its group, and returns where to push to.
func (s *Server) Join(l Link, t *Target) error {
	c := s.app.Client()
	if _, err := app.Call(s.ctx, c, app.OrganizationCreate, app.NameInput{Name: "Bench"}); err != nil {
		return err
	}
	env, err := app.Call(s.ctx, c, app.EnvironmentCreate, app.EnvironmentInput{Organization: "Bench", Name: "Bench"})
	if err != nil {
		return err
	}
	s.env = env.ID
	if t.Token, err = addTenant(s.ctx, s.app.Service(), pulledTenant); err != nil {
		return err
	}
	t.Base = s.app.URL() + "/scim/" + pulledTenant + "/v2"
	cloud := "custom"
	_, err = app.Call(s.ctx, c, app.TenantSet, app.TenantChange{Ref: pulledTenant, Organizations: &[]string{"Bench"}, DirectoryID: &l.DirectoryID,
		Graph: app.GraphChange{Cloud: &cloud, LoginURL: &l.LoginURL, GraphURL: &l.GraphURL, ClientID: &l.ClientID}})
	if err != nil {
		return err
	}
	if _, err := app.Call(s.ctx, c, app.CredentialSet, app.CredentialInput{Tenant: pulledTenant, Secret: l.Secret}); err != nil {
		return err
	}
	on, tenant := true, pulledTenant
	_, err = app.Call(s.ctx, c, app.EnvironmentIntegrate, app.IntegrationInput{Environment: s.env, Enabled: &on, Tenant: &tenant, Groups: &[]string{l.Group}})
	return err
}

// Sync is a run and what it cost this process.
type Sync struct {
	Run     app.Run
	CPU     time.Duration
	Peak    uint64         // bytes of resident memory at most; 0: the system does not tell
	Heap    uint64         // bytes of it at the end that are not pages of files
	Rows    map[string]int // that were written, by table
	Commits uint64
}

// Sync pulls the environment and waits for the end: a new run or, with the hash of a plan that waits, the one that is
// allowed to apply it.
func (s *Server) Sync(hash string, out *Sync) error {
	c := s.app.Client()
	settle()
	resetPeak()
	s.tally.reset()
	before, cpu := s.app.Stats(), cpuTime()
	var run app.Run
	var err error
	if hash == "" {
		run, err = app.Call(s.ctx, c, app.SyncStart, app.SyncInput{Environment: s.env})
	} else {
		run, err = app.Call(s.ctx, c, app.RunAllow, app.RunDecision{Ref: s.env, Hash: hash, Reason: "bench"})
	}
	if err == nil {
		run, err = s.wait(c, run)
	}
	if err != nil {
		return err
	}
	*out = Sync{Run: run, CPU: cpuTime() - cpu, Rows: s.tally.rows(), Commits: s.app.Stats().Commits - before.Commits}
	memory := processStatus()
	out.Peak, out.Heap = memory["VmHWM"], memory["RssAnon"]
	return nil
}

// wait waits for the end of a run. It asks seldom: that is part of what is measured.
func (s *Server) wait(c *app.Client, run app.Run) (app.Run, error) {
	for run.State == "running" {
		select {
		case <-s.ctx.Done():
			return run, s.ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		next, err := app.Call(s.ctx, c, app.RunShow, app.RunQuery{Ref: run.ID, Page: app.Page{Limit: 1}})
		if err != nil {
			return run, err
		}
		run = next.Run
	}
	return run, nil
}

// Read is a complete read of a group and what it cost the process.
type Read struct {
	Measure
	People    int
	Requests  int
	Sum       uint64 // of the object ids, so that all sides have read the same
	Allocated uint64 // bytes
	Objects   uint64 // number of allocations
}

// measured runs a read and notes its cost. people keeps what was read until it is over.
func measured(r *Read, read func(add func(pull.Person)) error) error {
	var people []pull.Person
	settle()
	heap, cpu, start := readHeap(), cpuTime(), time.Now()
	err := read(func(p pull.Person) { people = append(people, p) })
	r.Measure = Measure{Ops: 1, Elapsed: time.Since(start), CPU: cpuTime() - cpu}
	after := readHeap()
	r.Allocated, r.Objects = after.Allocated-heap.Allocated, after.Objects-heap.Objects
	for i := range people {
		for _, b := range people[i].ID[:8] {
			r.Sum = r.Sum*31 + uint64(b)
		}
	}
	r.People = len(people)
	return err
}

// ReadGroup reads the group as a pull does, with a token and connections of its own.
func (s *Server) ReadGroup(l Link, r *Read) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(l.CA)
	return measured(r, func(add func(pull.Person)) error {
		source, err := graph.Connect(pull.Connection{DirectoryID: l.DirectoryID, Cloud: pull.CloudCustom, LoginURL: l.LoginURL, GraphURL: l.GraphURL,
			ClientID: l.ClientID, Kind: pull.ClientSecret, Secret: []byte(l.Secret), Roots: roots})
		if err != nil {
			return err
		}
		defer source.Close()
		found, err := source.Members(s.ctx, l.Group, false, func(p pull.Person) error {
			add(p)
			return nil
		})
		r.Requests = found.Requests
		return err
	})
}

// settle leaves no garbage of what was before.
func settle() {
	runtime.GC()
	debug.FreeOSMemory()
}

// cpuTime is the time that this process has used of all cores, in itself and in the system.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it takes no argument that could be wrong
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resetPeak begins VmHWM anew, where the system is Linux.
func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// processStatus is what Linux tells of this process's memory, in bytes; empty elsewhere.
func processStatus() map[string]uint64 {
	m := map[string]uint64{}
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return m
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64); err == nil {
			m[name] = n << 10
		}
	}
	return m
}

// tally is the store in a data folder, counting the rows that are written.
type tally struct {
	directory.Store
	mu   sync.Mutex
	done map[string]int // by table
}

func newTally(data string) (*tally, error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	st, err := store.Open(filepath.Join(data, "bizzscim.db"))
	return &tally{Store: st, done: map[string]int{}}, err
}

func (t *tally) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.done)
}

func (t *tally) rows() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.done)
}

// Update counts once the rows are committed.
func (t *tally) Update(ctx context.Context, fn func(directory.Writer) error) error {
	var tables []string
	err := t.Store.Update(ctx, func(w directory.Writer) error {
		tables = tables[:0]
		return fn(&tallyWriter{w, &tables})
	})
	if err == nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, name := range tables {
			t.done[name]++
		}
	}
	return err
}

type tallyWriter struct {
	directory.Writer
	tables *[]string
}

func (w *tallyWriter) Insert(t *directory.Table, key, value []byte) error {
	*w.tables = append(*w.tables, t.Name)
	return w.Writer.Insert(t, key, value)
}

func (w *tallyWriter) Put(t *directory.Table, key, value []byte) error {
	*w.tables = append(*w.tables, t.Name)
	return w.Writer.Put(t, key, value)
}

func (w *tallyWriter) Delete(t *directory.Table, key []byte) error {
	*w.tables = append(*w.tables, t.Name)
	return w.Writer.Delete(t, key)
}

// pulled is a server whose environment is pulled from a simulated directory.
type pulled struct {
	server, entra *child
	link          Link
}

func (p *pulled) stop() {
	p.server.stop()
	p.entra.stop()
}

func (b *bench) stopPulled() {
	if b.pulled != nil {
		b.pulled.stop()
	}
}

// newPulled starts a directory of so many people and a server that is linked to it, in a folder of its own.
func (b *bench) newPulled(ctx context.Context, name string, people int) (p *pulled, target Target, err error) {
	dir := filepath.Join(b.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, target, err
	}
	p = &pulled{}
	if p.entra, err = spawn(ctx, roleEntra, Options{}); err != nil {
		return nil, target, err
	}
	b.progress("a directory of %d people", people)
	ca := filepath.Join(dir, "ca.pem")
	err = p.entra.call("Populate", people, &p.link)
	if err == nil {
		err = os.WriteFile(ca, p.link.CA, 0o600)
	}
	if err == nil {
		p.server, err = spawn(ctx, roleServer, Options{Dir: dir, Log: b.log, CAFile: ca})
	}
	if err != nil {
		p.entra.stop()
		return nil, target, err
	}
	if err := p.server.call("Join", p.link, &target); err != nil {
		p.stop()
		return nil, target, err
	}
	return p, target, nil
}

// pushed returns the server whose people push has brought, with a first pull behind it that found nothing to do.
func (b *bench) pushed(ctx context.Context) (*pulled, error) {
	if b.pulled != nil {
		return b.pulled, nil
	}
	p, target, err := b.newPulled(ctx, "pushed", b.members)
	if err != nil {
		return nil, err
	}
	b.progress("pushing %d people", b.members)
	err = p.entra.call("Push", target, new(bool))
	if err == nil {
		var first Sync
		if err = p.server.call("Sync", "", &first); err == nil {
			err = first.check(p.unchanged)
		}
	}
	if err != nil {
		p.stop()
		return nil, err
	}
	b.pulled = p
	return p, nil
}
