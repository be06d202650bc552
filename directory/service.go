package directory

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"
)

// Service is the only writer of the directory. Every change, whoever asks for it, is one
// transaction here. A Service is safe for concurrent use.
type Service struct {
	store           Store
	now             func() time.Time
	newID           func() ID
	normalize       func(string) string
	limits          Limits
	clock           *sessionClock
	generation      atomic.Uint64 // of sessions: those of an older one are void
	wakeDerivations chan struct{}
	ends            broadcast // told whenever sessions or accesses have ended
}

// Options are what a Service takes from outside.
type Options struct {
	Now       func() time.Time    // the wall clock
	NewID     func() ID           // time-ordered, unique
	Normalize func(string) string // Unicode NFC
	Limits    Limits
	// Elapsed is the time since a moment in the past by a clock that nobody sets, such as that since the
	// machine was started; nil: what the readings of Now tell of one another. Sessions end by it and
	// Now, whichever says so first. One that goes on while no server runs tells a new one how long
	// that was.
	Elapsed func() time.Duration
}

// Limits bound what one transaction does. Zero values take the defaults.
type Limits struct {
	InlineRows int // people whose access is derived within the transaction of a change of an integration; default 1,000
	StepRows   int // people looked at by one step of a Derivation; default 500

	SessionLife time.Duration // from sign-in to the end of a session; default, and most, SessionLife
	SessionIdle time.Duration // without activity, a session ends; 0: it does not
}

// New returns a Service on a store.
func New(store Store, o Options) *Service {
	if o.Limits.InlineRows == 0 {
		o.Limits.InlineRows = 1000
	}
	if o.Limits.StepRows == 0 {
		o.Limits.StepRows = 500
	}
	if o.Limits.SessionLife <= 0 || o.Limits.SessionLife > SessionLife {
		o.Limits.SessionLife = SessionLife
	}
	return &Service{store: store, now: func() time.Time { return o.Now().UTC().Truncate(time.Millisecond) },
		newID: o.NewID, normalize: o.Normalize, limits: o.Limits, clock: newSessionClock(o.Now, o.Elapsed),
		wakeDerivations: make(chan struct{}, 1)}
}

// Fold brings a name into the form under which names are compared and kept unique: NFC, then
// FoldCase. Filters must use the same form as the uniqueness check.
func (s *Service) Fold(name string) string { return FoldCase(s.normalize(name)) }

// Ready reports why the service cannot serve, nil when it can.
func (s *Service) Ready() error {
	select {
	case <-s.store.Failed():
		return ErrFailed
	default:
		return nil
	}
}

// View runs fn on a consistent snapshot. What fn gets from it is valid until fn returns.
func (s *Service) View(ctx context.Context, fn func(*Snapshot) error) error {
	return s.store.View(ctx, func(r Reader) error { return fn(&Snapshot{r: r, fold: s.Fold}) })
}

// change is a transaction of the service with what it has done so far.
type change struct {
	*Snapshot
	s   *Service
	w   Writer
	by  Actor
	now time.Time

	accesses []AccessEffect
	sessions int         // that ended
	ended    bool        // a session, or the right to one, ended
	groups   map[ID][]ID // environment -> its groups of Groups to Sync, resolved
}

// update runs fn as one change.
func (s *Service) update(ctx context.Context, by Actor, fn func(*change) error) error {
	ended := false
	err := s.store.Update(ctx, func(w Writer) error {
		c := &change{Snapshot: &Snapshot{r: w, fold: s.Fold}, s: s, w: w, by: by, now: s.now()}
		err := fn(c)
		ended = c.ended
		return err
	})
	if err == nil && ended {
		s.ends.send()
	}
	return err
}

// hasTenant makes sure that what is written under a tenant's id belongs to somebody.
func (c *change) hasTenant(id ID) error {
	record, err := c.TenantRecord(id)
	if err == nil && record == nil {
		return notFound("tenant")
	}
	return err
}

// insert writes a row whose key must be free; taken is the error when it is not.
func (c *change) insert(t *Table, k, value []byte, taken error) error {
	err := c.w.Insert(t, k, value)
	if errors.Is(err, ErrExists) {
		return taken
	}
	return err
}

// row is one row of a table, for the writes of several in turn.
type row struct {
	table *Table
	key   []byte
	value []byte
}

func (c *change) put(rows ...row) error {
	for _, r := range rows {
		if err := c.w.Put(r.table, r.key, r.value); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) delete(rows ...row) error {
	for _, r := range rows {
		if err := c.w.Delete(r.table, r.key); err != nil {
			return err
		}
	}
	return nil
}

// log writes the provisioning-log line of the change, with its effects on access. Lines are
// numbered in the order of commit, not by the clock: a reader who follows the log misses none.
func (c *change) log(e LogEvent) error {
	n, err := c.w.NextSequence(tableLog)
	if err != nil {
		return err
	}
	e.Sequence, e.Time, e.Actor = n, c.now, c.by
	e.Accesses, e.Sessions = c.accesses, c.sessions
	if e.Status == "" {
		e.Status = Success
		if len(e.Warnings) > 0 {
			e.Status = Warning
		}
	}
	if err := c.w.Put(tableLog, numberKey(e.TenantID, n), encodeJSON(e)); err != nil {
		return err
	}
	seen := map[ID]bool{}
	for _, a := range e.Accesses {
		if seen[a.EnvironmentID] {
			continue
		}
		seen[a.EnvironmentID] = true
		if err := c.w.Put(tableLogEnvironment, numberKey(a.EnvironmentID, n), e.TenantID[:]); err != nil {
			return err
		}
	}
	return nil
}

// publish writes the outgoing event of the change.
func (c *change) publish(e OutboxEvent) error {
	n, err := c.w.NextSequence(tableOutbox)
	if err != nil {
		return err
	}
	e.Sequence, e.Time, e.RunID, e.Accesses = n, c.now, c.by.RunID, c.accesses
	return c.w.Put(tableOutbox, sequenceKey(n), encodeJSON(e))
}

// LogFailure writes a line for a request that changed nothing. It is not part of any change; an
// error means that the line was lost.
func (s *Service) LogFailure(ctx context.Context, by Actor, e LogEvent) error {
	e.Status = Failure
	return s.update(ctx, by, func(c *change) error { return c.log(e) })
}

// checkText refuses what can be no key of an index.
func checkText(field, text string) error {
	if strings.IndexByte(text, 0) >= 0 {
		return failf(Invalid, field, "%s must not hold a NUL character", field)
	}
	if len(text) > 4096 {
		return failf(Invalid, field, "%s is too long", field)
	}
	return nil
}

// isKey reports whether a text can be the key of an index.
func isKey(text string) bool { return checkText("", text) == nil }

func require(by Actor, roles ...Role) error {
	for _, r := range roles {
		if by.Role == r {
			return nil
		}
	}
	return failf(Forbidden, "", "this needs the role %s", roles[0])
}
