package pull

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
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
	Roots     *x509.CertPool                              // trusted besides the system's, whatever the cloud; nil: none
	Now       func() time.Time                            // default time.Now
	NewID     func() directory.ID                         // time-ordered, unique
	Random    func() float64                              // in [0,1); default math/rand
	Log       *slog.Logger                                // default: nothing is logged
	Ended     func(*directory.Run)                        // told of each run once it has ended and is kept, but for those of one person; nil: nobody asks
	Settings  Settings
}

// Settings are the figures of the schedule. Zero values take the defaults.
type Settings struct {
	Interval    time.Duration // between the runs of an environment; default 15 min, each 10 % more or less
	Deadline    time.Duration // of one run, below the interval; default 10 min
	Person      time.Duration // of the pull of one person, for which somebody waits; default 10 s
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
	s.Person = cmp.Or(s.Person, 10*time.Second)
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

	recovered sync.Once // what an earlier process left is marked

	mu      sync.Mutex                    // guards everything below; taken before the lock of a run
	closed  bool                          // nothing begins any more
	active  map[directory.ID][]*activeRun // by environment: the one under way and those that wait for it
	tenants map[directory.ID]*tenantLock
	first   map[directory.ID]time.Time // by environment: first scheduled run of this process
	totals  Meter
	waits   int

	people people // single people on demand
	finds  budget // searches for groups
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
	r := &Reconciler{Options: o, wake: make(chan struct{}, 1), active: map[directory.ID][]*activeRun{},
		tenants: map[directory.ID]*tenantLock{}, first: map[directory.ID]time.Time{}}
	r.ctx, r.stop = context.WithCancel(context.Background())
	return r
}

// Close cancels the runs under way and waits until they have stopped: each at its next safe point,
// and recorded as interrupted.
func (r *Reconciler) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.stop()
	r.runs.Wait()
}

// spawn runs fn beside the caller, and reports false once Close was called.
func (r *Reconciler) spawn(fn func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.runs.Go(fn)
	}
	return !r.closed
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

// Sync begins a run of an environment now, or returns the one that is under way and does the same.
// Behind one that does not, such as a preview, it waits.
//
// Errors: Forbidden; NotFound, also beyond the reach of by; Invalid when the environment has nothing to sync with; Conflict while
// its pull is paused, unless for a preview; RateLimited while Graph has asked to wait.
func (r *Reconciler) Sync(ctx context.Context, by directory.Actor, environment directory.ID, o SyncOptions) (*directory.Run, error) {
	if o.Restore && by.Role != directory.RoleOperator {
		return nil, forbidden(directory.RoleOperator)
	}
	if err := r.mayRun(ctx, by, environment, o); err != nil {
		return nil, err
	}
	return r.begin(by, environment, directory.TriggerManual, o)
}

var errStopping = &directory.Error{Kind: directory.Unavailable, Detail: "the server is stopping"}

func (r *Reconciler) begin(by directory.Actor, environment directory.ID, trigger directory.Trigger, o SyncOptions) (*directory.Run, error) {
	r.Recover(r.ctx) // a command without a server has no schedule that did
	a, before := r.claim(by, environment, trigger, o)
	if a == nil {
		return before.show(), nil
	}
	started := r.spawn(func() {
		if before != nil {
			select {
			case <-before.done:
			case <-a.ctx.Done():
			}
		}
		r.alone(a)
	})
	if !started {
		r.release(a)
		return nil, errStopping
	}
	return a.show(), nil
}

// mayRun says why a run asked for by a person cannot begin.
func (r *Reconciler) mayRun(ctx context.Context, by directory.Actor, environment directory.ID, o SyncOptions) error {
	return r.Service.View(ctx, func(sn *directory.Snapshot) error {
		env, err := sn.MayEnvironment(by, environment)
		if err != nil {
			return err
		}
		switch in := env.Integration; {
		case r.Connect == nil:
			return errNoReader
		case !setUp(in):
			return &directory.Error{Kind: directory.Invalid, Field: "environment", Detail: "External users integration of this environment is not set up: it needs a tenant and Groups to Sync"}
		case in.Paused && !o.Preview:
			return &directory.Error{Kind: directory.Conflict, Detail: "the pull of this environment is paused: resume it first, or ask for a preview"}
		}
		envs, err := sn.Environments(directory.ID{})
		if err != nil {
			return err
		}
		states, err := pullStates(sn, envs)
		if err != nil {
			return err
		}
		return mayAsk(tenantWaits(envs, states, r.now()), env.Integration.TenantID)
	})
}

// mayAsk refuses while Graph has asked to wait.
func mayAsk(waits map[directory.ID]time.Time, tenant directory.ID) error {
	until := waits[tenant]
	if until.IsZero() {
		return nil
	}
	return &directory.Error{Kind: directory.RateLimited, Detail: "Microsoft Graph asked to wait until " + until.Format(time.RFC3339)}
}

// mayDecide returns a run that an actor may decide about: one of an environment that it may pull. Any other is not there
// for an administrator.
func (r *Reconciler) mayDecide(ctx context.Context, by directory.Actor, id directory.ID) (*directory.Run, error) {
	run, found := r.Show(ctx, id)
	if found != nil && directory.KindOf(found) != directory.NotFound {
		return nil, found
	}
	err := r.Service.View(ctx, func(sn *directory.Snapshot) error {
		var environment directory.ID // of none, where there is no such run
		if found == nil {
			environment = run.EnvironmentID
		}
		_, err := sn.MayEnvironment(by, environment)
		return err
	})
	switch {
	case directory.KindOf(err) == directory.NotFound:
		return nil, &directory.Error{Kind: directory.NotFound, Detail: "run not found"}
	case err != nil:
		return nil, err
	}
	return run, nil
}

func forbidden(needs directory.Role) error {
	return &directory.Error{Kind: directory.Forbidden, Detail: "this needs the role " + string(needs)}
}

var errNoReader = &directory.Error{Kind: directory.Unavailable, Detail: "this program has no way to read a directory"}

// setUp reports whether an environment has anything to sync with.
func setUp(in directory.Integration) bool {
	return in.Enabled && !in.TenantID.IsZero() && len(in.Groups) > 0
}

// MaxWait is the longest pause that a directory can ask for. One that is further away says that the
// clock was set back.
const MaxWait = 24 * time.Hour

// notBefore is until when Graph has asked to wait; zero when it has not, or that is over.
func notBefore(state *directory.PullState, now time.Time) time.Time {
	if !now.Before(state.NotBefore) || state.NotBefore.Sub(now) > MaxWait {
		return time.Time{}
	}
	return state.NotBefore
}

// pullStates reads what the pull remembers of the environments that use a tenant.
func pullStates(sn *directory.Snapshot, envs []*directory.Environment) (map[directory.ID]*directory.PullState, error) {
	states := make(map[directory.ID]*directory.PullState, len(envs))
	for _, env := range envs {
		if env.Integration.TenantID.IsZero() {
			continue
		}
		state, err := sn.PullState(env.ID)
		if err != nil {
			return nil, err
		}
		states[env.ID] = state
	}
	return states, nil
}

// tenantWaits is until when Graph has asked each tenant to wait. Graph counts what an application asks
// for in a tenant, so what one environment was told holds for all of that tenant.
func tenantWaits(envs []*directory.Environment, states map[directory.ID]*directory.PullState, now time.Time) map[directory.ID]time.Time {
	waits := map[directory.ID]time.Time{}
	for _, env := range envs {
		state, ok := states[env.ID]
		if !ok {
			continue
		}
		if until := notBefore(state, now); until.After(waits[env.Integration.TenantID]) {
			waits[env.Integration.TenantID] = until
		}
	}
	return waits
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
//
// Errors: Forbidden; NotFound, also beyond the reach of by; Conflict when it is not under way.
func (r *Reconciler) Cancel(ctx context.Context, by directory.Actor, id directory.ID) (*directory.Run, error) {
	if _, err := r.mayDecide(ctx, by, id); err != nil {
		return nil, err
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
// it; behind a run that is under way, because that one may not know of the approval. It applies
// nothing when what it finds is no longer what was approved. Errors: those of Sync, and then nothing
// is approved; those of directory.Service.AllowRun.
func (r *Reconciler) Allow(ctx context.Context, by directory.Actor, id directory.ID, hash, reason string) (*directory.Run, error) {
	run, err := r.mayDecide(ctx, by, id)
	if err != nil {
		return nil, err
	}
	if err := r.mayRun(ctx, by, run.EnvironmentID, SyncOptions{}); err != nil {
		return nil, err
	}
	if run, err = r.Service.AllowRun(ctx, by, id, hash, reason); err != nil {
		return nil, err
	}
	return r.begin(by, run.EnvironmentID, directory.TriggerAllow, SyncOptions{Restore: run.Restore})
}

// Discard drops the plan of a quarantined run.
func (r *Reconciler) Discard(ctx context.Context, by directory.Actor, id directory.ID, reason string) (*directory.Run, error) {
	if _, err := r.mayDecide(ctx, by, id); err != nil {
		return nil, err
	}
	return r.Service.DiscardRun(ctx, by, id, reason)
}

var (
	errCancelled = errors.New("cancelled by an administrator")
	errDeadline  = errors.New("the run took longer than it may")
)

// activeRun is a run that is under way or waits for its turn.
type activeRun struct {
	id, environment directory.ID
	by              directory.Actor
	options         SyncOptions
	ctx             context.Context
	cancel          context.CancelCauseFunc
	done            chan struct{} // closed when it has ended and is kept

	mu  sync.Mutex
	run directory.Run
}

func (a *activeRun) show() *directory.Run {
	a.mu.Lock()
	defer a.mu.Unlock()
	run := a.run
	run.Deactivations = maps.Clone(run.Deactivations)
	return &run
}

func (a *activeRun) edit(fn func(*directory.Run)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fn(&a.run)
}

func (a *activeRun) advance(n int) {
	a.edit(func(run *directory.Run) {
		if run.Done += n; run.Total > 0 {
			run.Total = max(run.Total, run.Done) // that of a read is an estimate
		}
	})
}

// claim makes a run of an environment. before is the run that it has to wait for, nil for none.
// a is nil where one of those that there are does instead: before is that one. An approval needs a
// run of its own, which begins after it.
func (r *Reconciler) claim(by directory.Actor, environment directory.ID, trigger directory.Trigger, o SyncOptions) (a, before *activeRun) {
	r.mu.Lock()
	defer r.mu.Unlock()
	queue := r.active[environment]
	if trigger != directory.TriggerAllow {
		for _, other := range queue {
			if trigger == directory.TriggerSchedule || other.options == o && other.show().Ended.IsZero() {
				return nil, other
			}
		}
	}
	id := r.NewID()
	a = &activeRun{id: id, environment: environment, by: by, options: o, done: make(chan struct{}),
		run: directory.Run{ID: id, EnvironmentID: environment, Trigger: trigger,
			Actor: by, Preview: o.Preview, Restore: o.Restore, State: directory.RunRunning, Started: r.now()}}
	a.ctx, a.cancel = context.WithCancelCause(r.ctx)
	if len(queue) > 0 {
		before = queue[len(queue)-1]
	}
	r.active[environment] = append(queue, a)
	return a, before
}

func (r *Reconciler) release(a *activeRun) {
	r.mu.Lock()
	rest := slices.DeleteFunc(r.active[a.environment], func(x *activeRun) bool { return x == a })
	if r.active[a.environment] = rest; len(rest) == 0 {
		delete(r.active, a.environment)
	}
	r.mu.Unlock()
	a.cancel(nil)
	close(a.done)
}

func (r *Reconciler) find(id directory.ID) *activeRun {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, queue := range r.active {
		for _, a := range queue {
			if a.id == id {
				return a
			}
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
