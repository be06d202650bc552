package directory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
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
	published       broadcast // told whenever an event was published, or a webhook changed
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
	unshared map[ID]int  // of them by account, those whose access has not gone so far
	ended    bool        // a session, or the right to one, ended
	told     bool        // an event was published
	first    uint64      // the number of the first one of the transaction; zero: there was none
	groups   map[ID][]ID // environment -> its groups of Groups to Sync, resolved
}

// update runs fn as one change.
func (s *Service) update(ctx context.Context, by Actor, fn func(*change) error) error {
	return s.Together(ctx, func(b *Batch) error { return b.change(by, fn) })
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
	if err := c.logPerson(&e); err != nil {
		return err
	}
	for _, id := range e.environments() {
		if err := c.w.Put(tableLogEnvironment, numberKey(id, n), e.TenantID[:]); err != nil {
			return err
		}
	}
	return nil
}

// environments are those whose accesses a line changed, each once.
func (e *LogEvent) environments() (all []ID) {
	if !e.EnvironmentID.IsZero() {
		all = append(all, e.EnvironmentID)
	}
	for _, a := range e.Accesses {
		if !slices.Contains(all, a.EnvironmentID) {
			all = append(all, a.EnvironmentID)
		}
	}
	return all
}

// publish writes the outgoing event of the change.
func (c *change) publish(e OutboxEvent) error {
	n, err := c.w.NextSequence(tableOutbox)
	if err != nil {
		return err
	}
	e.Sequence, e.Time, e.RunID, e.Accesses = n, c.now, c.by.RunID, append(e.Accesses, c.accesses...)
	e.First, c.told = c.first, true
	if c.first == 0 {
		c.first = n
	}
	return c.w.Put(tableOutbox, sequenceKey(n), encodeJSON(e))
}

// publishUser writes the event of a change of a SCIM user; before is nil for a new one.
func (c *change) publishUser(kind string, before, after *User, method UpdateMethod, changes []Change) error {
	e := OutboxEvent{Type: kind, TenantID: after.TenantID, UserID: after.ID, AccountID: after.AccountID, Active: &after.Active,
		Method: method, Version: after.Version, ExternalID: after.ExternalID}
	var old []byte
	if before != nil {
		old, e.Switched = before.Attributes, before.Active != after.Active
	}
	if method != UpdateNone {
		e.Attributes = changedAttributes(changes, old, after.Attributes)
	}
	return c.publish(e)
}

// publishGroup writes the event of a change of a SCIM group; before is nil for a new one.
func (c *change) publishGroup(kind string, before, after *Group, m *Membership, method UpdateMethod, changes []Change) error {
	e := OutboxEvent{Type: kind, TenantID: after.TenantID, GroupID: after.ID, Added: m.added(), Removed: m.removed(),
		Method: method, Version: after.Version, ExternalID: after.ExternalID}
	var old []byte
	if before != nil {
		old = before.Attributes
	}
	e.Attributes = changedAttributes(changes, old, after.Attributes)
	if len(e.Added)+len(e.Removed) > 0 {
		e.Attributes = append(e.Attributes, "members")
	}
	return c.publish(e)
}

// updateMethod is how the actor of the change changes a resource.
func (c *change) updateMethod() UpdateMethod {
	if c.by.Method == "PUT" {
		return UpdatePut
	}
	return UpdatePatch
}

// changedAttributes are the names of the attributes in which a resource differs from before: those that the channel lists,
// which has compared them already, else those of two JSON objects that differ.
func changedAttributes(changes []Change, before, after []byte) (names []string) {
	for _, c := range changes {
		names = append(names, c.Name)
	}
	if len(names) > 0 || bytes.Equal(before, after) {
		return names
	}
	var old, now map[string]json.RawMessage
	_ = json.Unmarshal(before, &old) // nil: there was none
	_ = json.Unmarshal(after, &now)
	for name, value := range now {
		if was, ok := old[name]; !ok || !bytes.Equal(was, value) {
			names = append(names, name)
		}
	}
	for name := range old {
		if _, ok := now[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
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
