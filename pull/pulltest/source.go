package pulltest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// Op names an operation of a Source.
type Op string

// The operations.
const (
	OpConnect Op = "connect"
	OpGroup   Op = "group"
	OpMembers Op = "members"
	OpConfirm Op = "confirm"
	OpPerson  Op = "person"
	OpDirect  Op = "direct"
	OpFind    Op = "find"
	OpTest    Op = "test"
	OpClose   Op = "close"
)

// When tells at which moment of an operation a hook is called.
type When string

// The moments.
const (
	Before When = "before" // nothing was read yet: what a hook changes is in the answer
	During When = "during" // of Members: one more person was delivered, what a hook changes is not in the answer
	After  When = "after"  // the answer is complete and has not been returned
)

// Call is what a hook is told.
type Call struct {
	Op        Op
	When      When
	Group     string         // of Group and Members
	People    []directory.ID // of Confirm, Person and Direct
	Groups    []string       // of Confirm, Direct and Test
	Delivered int            // of Members: people delivered so far
}

// What Graph gives, and takes, at once.
const (
	pageSize  = 999 // members
	batchSize = 20  // groups of one request
)

// Source is a pull.Source and pull.Tester that answers from a Directory, and whose Connect is a
// pull.Connector. It passes Suite. The zero value is not usable.
type Source struct {
	d *Directory

	mu      sync.Mutex // guards everything below; not held while a hook, a callback or each runs
	frozen  *state     // what Members and Direct answer from while the index lags behind
	errs    map[Op]error
	cut     int // Members fails after so many people; negative: it does not
	cutErr  error
	hook    func(Call)
	calls   map[Op]int
	opened  int
	shut    int
	last    pull.Connection
	metered pull.Meter
	refused map[string]error // by group
	lacking []pull.Check     // what Test finds wrong besides
}

var (
	_ pull.Source    = (*Source)(nil)
	_ pull.Tester    = (*Source)(nil)
	_ pull.Source    = (*connection)(nil)
	_ pull.Tester    = (*connection)(nil)
	_ pull.Connector = (*Source)(nil).Connect
)

// NewSource returns a Source that answers from d.
func NewSource(d *Directory) *Source {
	return &Source{d: d, errs: make(map[Op]error), cut: -1, calls: make(map[Op]int), refused: make(map[string]error)}
}

// SetError lets each call of an operation fail with err before it has answered anything, until it is
// called with nil.
func (s *Source) SetError(op Op, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs[op] = err
}

// SetGroupError lets Group, Members and Direct fail for one group, until it is called with nil.
func (s *Source) SetGroupError(groupID string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[groupID] = err
}

// Lack lets Test find that the application lacks a permission, for that reason.
func (s *Source) Lack(permission, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lacking = append(s.lacking, pull.Check{Name: permission, Error: why})
}

// CutMembers lets each call of Members fail with err once n people were delivered, or at the end
// where there are fewer; until it is called with a nil err.
func (s *Source) CutMembers(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut, s.cutErr = n, err
	if err == nil {
		s.cut = -1
	}
}

// Hook sets the function that each operation calls at its moments, in the goroutine of the caller.
// nil removes it.
func (s *Source) Hook(f func(Call)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = f
}

// Freeze lets Members and Direct answer from the directory as it is now, as Graph does while its index lags;
// Group, Confirm and Person stay fresh.
func (s *Source) Freeze() {
	now := s.d.snapshot()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = now
}

// Thaw ends Freeze.
func (s *Source) Thaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = nil
}

// Calls counts the calls of an operation, failed ones too.
func (s *Source) Calls(op Op) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

// Open counts the connections that were made and not closed.
func (s *Source) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened - s.shut
}

// Connection returns what Connect was last called with.
func (s *Source) Connection() pull.Connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// Metered sums the cost of everything read so far.
func (s *Source) Metered() pull.Meter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.metered
}

// Connect is a pull.Connector. The Source it returns reports to the Meter of c and fails when it is
// used after Close.
func (s *Source) Connect(c pull.Connection) (pull.Source, error) {
	s.mu.Lock()
	s.last = c
	s.mu.Unlock()
	if err := s.begin(context.Background(), Call{Op: OpConnect}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.opened++
	s.mu.Unlock()
	return &connection{Source: s, meter: c.Meter}, nil
}

// Group reads a group.
func (s *Source) Group(ctx context.Context, id string) (pull.Group, error) {
	return (&connection{Source: s}).Group(ctx, id)
}

// FindGroups finds groups by their names.
func (s *Source) FindGroups(ctx context.Context, text string, limit int) ([]pull.Group, error) {
	return (&connection{Source: s}).FindGroups(ctx, text, limit)
}

// Members lists a group.
func (s *Source) Members(ctx context.Context, groupID string, transitive bool, each func(pull.Person) error) (pull.Listing, error) {
	return (&connection{Source: s}).Members(ctx, groupID, transitive, each)
}

// Confirm asks for each person.
func (s *Source) Confirm(ctx context.Context, people []directory.ID, groups []string) ([]pull.Confirmation, error) {
	return (&connection{Source: s}).Confirm(ctx, people, groups)
}

// Person reads one person.
func (s *Source) Person(ctx context.Context, id directory.ID) (pull.Person, bool, error) {
	return (&connection{Source: s}).Person(ctx, id)
}

// Direct tells which groups a person is directly in.
func (s *Source) Direct(ctx context.Context, person directory.ID, groups []string) ([]string, error) {
	return (&connection{Source: s}).Direct(ctx, person, groups)
}

// Test tries the token and each group.
func (s *Source) Test(ctx context.Context, groups []string) pull.Report {
	return (&connection{Source: s}).Test(ctx, groups)
}

// Close counts. A Source that Connect has not returned can be used on.
func (s *Source) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[OpClose]++
}

// listed is the state that lists answer from.
func (s *Source) listed() *state {
	s.mu.Lock()
	frozen := s.frozen
	s.mu.Unlock()
	if frozen != nil {
		return frozen
	}
	return s.d.snapshot()
}

// begin counts a call and returns the error that it was set to fail with.
func (s *Source) begin(ctx context.Context, call Call) error {
	s.mu.Lock()
	s.calls[call.Op]++
	err := s.errs[call.Op]
	s.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.called(call, Before)
	return err
}

func (s *Source) called(call Call, when When) {
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	if hook != nil {
		call.When = when
		hook(call)
	}
}

func (s *Source) groupError(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused[id]
}

func missing(id string) error {
	return &pull.Error{
		Class:  pull.ScopeMissing,
		Detail: fmt.Sprintf("the directory has no group %s; perhaps the id is mistyped, or the group was deleted", id),
		Status: 404,
		Code:   "Request_ResourceNotFound",
	}
}

// connection is what Connect returns: the Source, until Close.
type connection struct {
	*Source
	meter func(pull.Meter)

	once   sync.Once
	closed atomic.Bool
}

var errClosed = &pull.Error{Class: pull.Unavailable, Detail: "the connection was used after it was closed"}

func (c *connection) begin(ctx context.Context, call Call) error {
	if c.closed.Load() {
		return errClosed
	}
	return c.Source.begin(ctx, call)
}

// end reports the cost and calls the hook.
func (c *connection) end(call Call, cost pull.Meter) {
	c.mu.Lock()
	c.Source.metered.Add(cost)
	c.mu.Unlock()
	if c.meter != nil {
		c.meter(cost)
	}
	c.called(call, After)
}

func (c *connection) Close() {
	c.once.Do(func() {
		c.closed.Store(true)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.calls[OpClose]++
		c.shut++
	})
}

func (c *connection) Group(ctx context.Context, id string) (pull.Group, error) {
	call := Call{Op: OpGroup, Group: id}
	if err := c.begin(ctx, call); err != nil {
		return pull.Group{}, err
	}
	if err := c.groupError(id); err != nil {
		return pull.Group{}, err
	}
	g := c.d.snapshot().groups[id]
	if g == nil {
		return pull.Group{}, missing(id)
	}
	c.end(call, pull.Meter{Requests: 1, Units: 1})
	return pull.Group{ID: id, DisplayName: g.name}, nil
}

func (c *connection) FindGroups(ctx context.Context, text string, limit int) ([]pull.Group, error) {
	call := Call{Op: OpFind}
	if err := c.begin(ctx, call); err != nil {
		return nil, err
	}
	found := c.listed().find(text)
	c.end(call, pull.Meter{Requests: 1, Units: 1})
	return found[:min(max(limit, 1), pull.MaxFound, len(found))], nil
}

func (c *connection) Members(ctx context.Context, groupID string, transitive bool, each func(pull.Person) error) (pull.Listing, error) {
	call := Call{Op: OpMembers, Group: groupID}
	if err := c.begin(ctx, call); err != nil {
		return pull.Listing{}, err
	}
	if err := c.groupError(groupID); err != nil {
		return pull.Listing{}, err
	}
	l, ok := c.listed().list(groupID, transitive)
	if !ok {
		return pull.Listing{}, missing(groupID)
	}
	c.mu.Lock()
	cut, cutErr := c.cut, c.cutErr
	c.mu.Unlock()
	for _, p := range l.people {
		if call.Delivered == cut {
			break
		}
		if err := ctx.Err(); err != nil {
			return pull.Listing{}, err
		}
		if err := each(p); err != nil {
			return pull.Listing{}, err
		}
		call.Delivered++
		c.called(call, During)
	}
	if cutErr != nil {
		return pull.Listing{}, cutErr
	}
	cost := 3
	if transitive {
		cost = 5
	}
	pages := max(1, (len(l.people)+len(l.nested)+l.others+pageSize-1)/pageSize)
	m := pull.Meter{Pages: pages, Requests: pages, Units: pages * cost}
	c.end(call, m)
	return pull.Listing{People: len(l.people), Nested: l.nested, Others: l.others, Meter: m}, nil
}

func (c *connection) Confirm(ctx context.Context, people []directory.ID, groups []string) ([]pull.Confirmation, error) {
	call := Call{Op: OpConfirm, People: people, Groups: groups}
	if err := c.begin(ctx, call); err != nil {
		return nil, err
	}
	now := c.d.snapshot()
	answers := make([]pull.Confirmation, len(people))
	for i, id := range people {
		answers[i] = now.confirm(id, groups)
	}
	items := len(people) * (1 + (len(groups)+batchSize-1)/batchSize)
	c.end(call, pull.Meter{Requests: items, Units: items})
	return answers, nil
}

func (c *connection) Person(ctx context.Context, id directory.ID) (pull.Person, bool, error) {
	call := Call{Op: OpPerson, People: []directory.ID{id}}
	if err := c.begin(ctx, call); err != nil {
		return pull.Person{}, false, err
	}
	p, found := c.d.snapshot().people[id]
	c.end(call, pull.Meter{Requests: 1, Units: 1})
	return p, found, nil
}

func (c *connection) Direct(ctx context.Context, person directory.ID, groups []string) ([]string, error) {
	call := Call{Op: OpDirect, People: []directory.ID{person}, Groups: groups}
	if err := c.begin(ctx, call); err != nil {
		return nil, err
	}
	var in []string
	now := c.listed()
	for _, id := range groups {
		if err := c.groupError(id); err != nil {
			return nil, err
		}
		l, ok := now.list(id, false)
		if !ok {
			return nil, missing(id)
		}
		if slices.ContainsFunc(l.people, func(p pull.Person) bool { return p.ID == person }) {
			in = append(in, id)
		}
	}
	c.end(call, pull.Meter{Requests: len(groups), Units: 3 * len(groups)})
	return in, nil
}

func (c *connection) Test(ctx context.Context, groups []string) pull.Report {
	call := Call{Op: OpTest, Groups: groups}
	token := pull.Check{Name: "token"}
	if err := c.begin(ctx, call); err != nil {
		token.Error = err.Error()
	}
	r := pull.Report{Checks: []pull.Check{token}}
	c.mu.Lock()
	r.Checks = append(r.Checks, c.lacking...)
	c.mu.Unlock()
	now := c.d.snapshot()
	for _, id := range groups {
		check := pull.Check{Name: "group " + id}
		switch g, refused := now.groups[id], c.groupError(id); {
		case token.Error != "":
			check.Error = "not tried: there is no token"
		case refused != nil:
			check.Error = refused.Error()
		case g == nil:
			check.Error = missing(id).Error()
		default:
			check.Detail = g.name
		}
		r.Checks = append(r.Checks, check)
	}
	c.end(call, pull.Meter{Requests: 1 + len(groups), Units: 1 + len(groups)})
	return r
}
