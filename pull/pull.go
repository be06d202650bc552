package pull

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// Resources makes SCIM resources of what a directory says (package scim has them).
type Resources interface {
	// User returns before with the overrides, or a new user of them when before is nil. An error means that
	// the schema refuses a value.
	User(before *directory.User, o directory.Overrides) (directory.UserInput, error)
	// Group returns a new group.
	Group(displayName, externalID string) directory.GroupInput
}

// Options are what a Reconciler takes from outside.
type Options struct {
	Service   *directory.Service
	Connect   Connector                                   // nil: this program cannot pull
	Open      func(*directory.Credential) ([]byte, error) // the secret of a credential
	Resources func(*directory.Tenant) (Resources, error)  // of a tenant's schemas
	Roots     *x509.CertPool                              // trusted besides the system's, for a custom cloud; nil: none
	Now       func() time.Time                            // default time.Now
	NewID     func() directory.ID                         // time-ordered, unique
	Random    func() float64                              // in [0,1); default math/rand
	Log       *slog.Logger                                // default: nothing is logged
	Ended     func(*directory.Run) // told of each run once it has ended and is kept; nil: nobody asks
	Settings  Settings
}

// Settings are the figures of the schedule. Zero values take the defaults.
type Settings struct {
	Interval    time.Duration // between the runs of an environment; default 15 min, each 10 % more or less
	Deadline    time.Duration // of one run, below the interval; default 10 min
	SilentAfter time.Duration // push is silent when no request of it was seen for that long; default 2 h, three of Entra's cycles
	Keep        time.Duration // of the history; default 90 days
	Tenants     int           // that are pulled at the same time; default 4
	Workers     int           // people of a plan that are applied at the same time; default 16
}

// MaxBackoff is the longest pause after failures.
const MaxBackoff = time.Hour

func (s Settings) orDefaults() Settings {
	s.Interval = cmp.Or(s.Interval, 15*time.Minute)
	s.Deadline = cmp.Or(s.Deadline, s.Interval*2/3)
	s.SilentAfter = cmp.Or(s.SilentAfter, 2*time.Hour)
	s.Keep = cmp.Or(s.Keep, 90*24*time.Hour)
	s.Tenants = cmp.Or(s.Tenants, 4)
	s.Workers = cmp.Or(s.Workers, 16)
	return s
}

// Reconciler runs the pulls of all environments. It is safe for concurrent use.
type Reconciler struct {
	Options
	ctx  context.Context // of the runs: they outlive the request that asked for them
	stop context.CancelFunc
	runs sync.WaitGroup
	wake chan struct{} // the schedule may have changed

	mu      sync.Mutex                  // guards everything below
	active  map[directory.ID]*activeRun // by environment
	tenants map[directory.ID]*tenantLock
	first   map[directory.ID]time.Time // by environment: first scheduled run of this process
	totals  Meter
	waits   int
}

// tenantLock lets one run of a tenant at a time read and apply.
type tenantLock struct {
	held  chan struct{} // of capacity 1: holds a token while a run is at work
	users int
}

// New returns a Reconciler. Close must be called in the end.
func New(o Options) *Reconciler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Settings = o.Settings.orDefaults()
	r := &Reconciler{Options: o, wake: make(chan struct{}, 1), active: map[directory.ID]*activeRun{},
		tenants: map[directory.ID]*tenantLock{}, first: map[directory.ID]time.Time{}}
	r.ctx, r.stop = context.WithCancel(context.Background())
	return r
}

// Close cancels the runs under way and waits until they have stopped: each at its next safe point,
// and recorded as interrupted.
func (r *Reconciler) Close() {
	r.stop()
	r.runs.Wait()
}

// now is the wall clock to the millisecond, as the directory keeps times.
func (r *Reconciler) now() time.Time { return r.Now().UTC().Truncate(time.Millisecond) }

// lock waits for the turn of a run of a tenant. The returned function gives the turn back.
func (r *Reconciler) lock(ctx context.Context, tenant directory.ID) (func(), error) {
	r.mu.Lock()
	l := r.tenants[tenant]
	if l == nil {
		l = &tenantLock{held: make(chan struct{}, 1)}
		r.tenants[tenant] = l
	}
	l.users++
	r.mu.Unlock()
	drop := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(r.tenants, tenant)
		}
	}
	select {
	case l.held <- struct{}{}:
		return func() { <-l.held; drop() }, nil
	case <-ctx.Done():
		drop()
		return nil, ctx.Err()
	}
}

// SyncOptions are the choices of a manual run.
type SyncOptions struct {
	Preview bool // plan, and apply nothing
	Restore bool // also bring back what push took away; an operator alone, and only after Allow
}

// Sync begins a run of an environment now, or returns the one that is under way.
//
// Errors: Forbidden; NotFound; Invalid when the environment has nothing to sync with; Conflict while
// its pull is paused, unless for a preview; RateLimited while Graph has asked to wait.
func (r *Reconciler) Sync(ctx context.Context, by directory.Actor, environment directory.ID, o SyncOptions) (*directory.Run, error) {
	if by.Role != directory.RoleOperator && (o.Restore || by.Role != directory.RoleEnvironment) {
		return nil, &directory.Error{Kind: directory.Forbidden, Detail: "this needs the role " + string(directory.RoleOperator)}
	}
	return r.begin(ctx, by, environment, directory.TriggerManual, o)
}

func (r *Reconciler) begin(ctx context.Context, by directory.Actor, environment directory.ID, trigger directory.Trigger, o SyncOptions) (*directory.Run, error) {
	if err := r.mayRun(ctx, environment, trigger, o); err != nil {
		return nil, err
	}
	a, fresh := r.claim(by, environment, trigger, o)
	if !fresh {
		return a.show(), nil
	}
	r.runs.Go(func() { r.alone(a) })
	return a.show(), nil
}

// mayRun says why a run asked for by a person cannot begin.
func (r *Reconciler) mayRun(ctx context.Context, environment directory.ID, trigger directory.Trigger, o SyncOptions) error {
	if r.ctx.Err() != nil {
		return &directory.Error{Kind: directory.Unavailable, Detail: "the server is stopping"}
	}
	if r.Connect == nil {
		return &directory.Error{Kind: directory.Unavailable, Detail: "this program has no way to read a directory"}
	}
	return r.Service.View(ctx, func(sn *directory.Snapshot) error {
		env, err := sn.Environment(environment)
		if err != nil {
			return err
		}
		in := env.Integration
		switch {
		case !in.Enabled || in.TenantID.IsZero() || len(in.Groups) == 0:
			return &directory.Error{Kind: directory.Invalid, Field: "environment", Detail: "External users integration of this environment is not set up: it needs a tenant and Groups to Sync"}
		case in.Paused && !o.Preview:
			return &directory.Error{Kind: directory.Conflict, Detail: "the pull of this environment is paused: resume it first, or ask for a preview"}
		}
		state, err := sn.PullState(environment)
		if err != nil {
			return err
		}
		if r.now().Before(state.NotBefore) {
			return &directory.Error{Kind: directory.RateLimited, Detail: "Microsoft Graph asked to wait until " + state.NotBefore.Format(time.RFC3339)}
		}
		return nil
	})
}

// Show returns a run: how far it is while it is under way, else as it was kept.
func (r *Reconciler) Show(ctx context.Context, id directory.ID) (*directory.Run, error) {
	if a := r.find(id); a != nil {
		return a.show(), nil
	}
	return r.kept(ctx, id)
}

func (r *Reconciler) kept(ctx context.Context, id directory.ID) (run *directory.Run, err error) {
	err = r.Service.View(ctx, func(sn *directory.Snapshot) error {
		run, err = sn.Run(id)
		return err
	})
	return run, err
}

// Wait returns a run once it has ended.
func (r *Reconciler) Wait(ctx context.Context, id directory.ID) (*directory.Run, error) {
	if a := r.find(id); a != nil {
		select {
		case <-a.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return r.kept(ctx, id)
}

// Cancel asks a run to stop at its next safe point: between two people. What it has applied stays.
func (r *Reconciler) Cancel(ctx context.Context, by directory.Actor, id directory.ID) (*directory.Run, error) {
	if by.Role != directory.RoleOperator && by.Role != directory.RoleEnvironment {
		return nil, &directory.Error{Kind: directory.Forbidden, Detail: "this needs the role " + string(directory.RoleEnvironment)}
	}
	a := r.find(id)
	if a == nil {
		run, err := r.kept(ctx, id)
		if err != nil {
			return nil, err
		}
		return nil, &directory.Error{Kind: directory.Conflict, Detail: "this run is not under way: it is " + string(run.State)}
	}
	a.cancel(errCancelled)
	return a.show(), nil
}

// Allow approves the plan of a quarantined run once and begins the run that reads anew and applies
// it. It applies nothing when what it finds is no longer what was approved.
func (r *Reconciler) Allow(ctx context.Context, by directory.Actor, id directory.ID, hash, reason string) (*directory.Run, error) {
	run, err := r.Service.AllowRun(ctx, by, id, hash, reason)
	if err != nil {
		return nil, err
	}
	return r.begin(ctx, by, run.EnvironmentID, directory.TriggerAllow, SyncOptions{Restore: run.Restore})
}

// Discard drops the plan of a quarantined run.
func (r *Reconciler) Discard(ctx context.Context, by directory.Actor, id directory.ID, reason string) (*directory.Run, error) {
	return r.Service.DiscardRun(ctx, by, id, reason)
}

var (
	errCancelled = errors.New("cancelled by an administrator")
	errDeadline  = errors.New("the run took longer than it may")
)

// activeRun is a run under way.
type activeRun struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when it has ended and is kept

	mu  sync.Mutex
	run directory.Run
}

func (a *activeRun) show() *directory.Run {
	a.mu.Lock()
	defer a.mu.Unlock()
	run := a.run
	return &run
}

func (a *activeRun) edit(fn func(*directory.Run)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fn(&a.run)
}

func (a *activeRun) stage(s directory.RunStage, total int) {
	a.edit(func(run *directory.Run) { run.Stage, run.Done, run.Total = s, 0, total })
}

func (a *activeRun) advance(n int) { a.edit(func(run *directory.Run) { run.Done += n }) }

// claim makes the run of an environment, unless there is one under way.
func (r *Reconciler) claim(by directory.Actor, environment directory.ID, trigger directory.Trigger, o SyncOptions) (a *activeRun, fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.active[environment]; a != nil {
		return a, false
	}
	a = &activeRun{done: make(chan struct{}), run: directory.Run{ID: r.NewID(), EnvironmentID: environment, Trigger: trigger,
		Actor: by, Preview: o.Preview, Restore: o.Restore, State: directory.RunRunning, Started: r.now()}}
	a.ctx, a.cancel = context.WithCancelCause(r.ctx)
	r.active[environment] = a
	return a, true
}

func (r *Reconciler) release(a *activeRun) {
	r.mu.Lock()
	delete(r.active, a.run.EnvironmentID)
	r.mu.Unlock()
	a.cancel(nil)
	close(a.done)
}

func (r *Reconciler) find(id directory.ID) *activeRun {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.active {
		if a.run.ID == id {
			return a
		}
	}
	return nil
}

// detailOf is the text of an error that may be shown.
func detailOf(err error) string {
	var d *directory.Error
	if errors.As(err, &d) && d.Detail != "" {
		return d.Detail
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Detail
	}
	return fmt.Sprintf("%v", err)
}
