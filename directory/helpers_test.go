package directory_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/store/bolt"
)

// tb is what *testing.T and *rapid.T have in common.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// world is a directory on a real file, with a clock that stands still and ids that count.
type world struct {
	tb
	ctx   context.Context
	svc   *directory.Service
	store *strictStore
	clock *clock
	ids   *atomic.Uint64
}

// must gives the value of a step that a test cannot go on without.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func openStore(t tb, path string) *strictStore {
	t.Helper()
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	return &strictStore{Store: s}
}

func newWorld(t *testing.T) *world { return newWorldWith(t, directory.Limits{}) }

func newWorldWith(t *testing.T, limits directory.Limits) *world {
	t.Helper()
	store := openStore(t, filepath.Join(t.TempDir(), "directory.db"))
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return worldOn(t.Context(), t, store, limits)
}

func worldOn(ctx context.Context, t tb, store *strictStore, limits directory.Limits) *world {
	w := &world{tb: t, ctx: ctx, store: store, clock: newClock(), ids: new(atomic.Uint64)}
	w.svc = w.service(limits)
	return w
}

// service makes another Service on the same store, as a new process would.
func (w *world) service(limits directory.Limits) *directory.Service {
	return directory.New(w.store, directory.Options{Now: w.clock.Now, NewID: w.newID, Normalize: compose, Limits: limits})
}

func (w *world) newID() directory.ID { return number(w.ids.Add(1)) }

// number is the nth id: like a UUID version 7, later ones are greater.
func number(n uint64) (id directory.ID) {
	id[0], id[6], id[8] = 1, 0x70, 0x80
	binary.BigEndian.PutUint32(id[2:], uint32(n>>32))
	binary.BigEndian.PutUint32(id[12:], uint32(n))
	return id
}

// compose stands in for Unicode NFC with the one letter that the tests need.
func compose(s string) string { return strings.ReplaceAll(s, "e\u0301", "é") }

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// The callers of the tests.
var (
	operator = directory.Actor{Role: directory.RoleOperator, Channel: "cli", ID: "operator"}
	push     = directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: "token", RequestID: "r1", Address: "192.0.2.1"}
)

// object is the nth object id of a directory, as it writes it.
func object(n int) string { return fmt.Sprintf("%08x-00ab-4000-8000-%012x", 0xa0000000+n, n) }

func objectID(n int) directory.ID {
	id, ok := directory.ParseID(object(n))
	if !ok {
		panic("not an id: " + object(n))
	}
	return id
}

// person is the nth person of that name as the directory describes them.
func person(name string, n int) directory.Profile {
	email := name + "@fjord.example"
	return directory.Profile{UserName: email, ExternalID: object(n), Name: strings.ToUpper(name[:1]) + name[1:],
		Email: email, Emails: []string{email}, Language: "nb-NO", Locale: "nb-NO", Active: true}
}

var userSchemas, groupSchemas = []byte(`["urn:ietf:params:scim:schemas:core:2.0:User"]`), []byte(`["urn:ietf:params:scim:schemas:core:2.0:Group"]`)

// userInput is a profile as a channel hands it over: the attributes say the same.
func userInput(p directory.Profile) directory.UserInput {
	p.Emails = append([]string(nil), p.Emails...) // none is nil
	return directory.UserInput{Profile: p, Schemas: userSchemas, Attributes: must(json.Marshal(p))}
}

func groupInput(name, external string) directory.GroupInput {
	return directory.GroupInput{DisplayName: name, ExternalID: external, Schemas: groupSchemas,
		Attributes: must(json.Marshal([]string{name, external}))}
}

// sameGroup is the input that changes nothing of a group but its members.
func sameGroup(g *directory.Group) directory.GroupInput {
	return directory.GroupInput{DisplayName: g.DisplayName, ExternalID: g.ExternalID, Schemas: g.Schemas, Attributes: g.Attributes}
}

// What the tests do, each a call of Service that must succeed.

func (w *world) org(name string) directory.ID {
	return must(w.svc.CreateOrganization(w.ctx, operator, name)).ID
}

func (w *world) env(org directory.ID, name string) directory.ID {
	return must(w.svc.CreateEnvironment(w.ctx, operator, org, name)).ID
}

func (w *world) tenant(name string, orgs ...directory.ID) directory.ID {
	return must(w.svc.CreateTenant(w.ctx, operator, directory.Tenant{Name: name, OrganizationIDs: orgs})).ID
}

func (w *world) trust(tenant directory.ID, domains ...string) {
	must(w.svc.SetTenant(w.ctx, operator, tenant, func(t *directory.Tenant) error { t.TrustedDomains = domains; return nil }))
}

func (w *world) integrate(env, tenant directory.ID, groups ...string) {
	on := true
	w.set(env, directory.IntegrationInput{Enabled: &on, TenantID: &tenant, Groups: groups})
}

// set changes an integration and returns the run that is left over.
func (w *world) set(env directory.ID, in directory.IntegrationInput) *directory.Derivation {
	w.Helper()
	_, run, err := w.svc.SetIntegration(w.ctx, operator, env, in)
	if err != nil {
		w.Fatalf("SetIntegration: %v", err)
	}
	return run
}

// nested has an environment count members of nested groups.
func (w *world) nested(env directory.ID) {
	w.Helper()
	w.set(env, directory.IntegrationInput{Transitive: new(true)})
}

func (w *world) enable(env directory.ID, on bool) *directory.Derivation {
	w.Helper()
	return w.set(env, directory.IntegrationInput{Enabled: &on})
}

func (w *world) sync(env directory.ID, groups ...string) *directory.Derivation {
	w.Helper()
	return w.set(env, directory.IntegrationInput{Groups: groups})
}

func (w *world) createUser(tenant directory.ID, p directory.Profile) *directory.User {
	w.Helper()
	u, err := w.svc.CreateUser(w.ctx, push, tenant, userInput(p))
	if err != nil {
		w.Fatalf("CreateUser %s: %v", p.UserName, err)
	}
	return u
}

func (w *world) updateUser(u *directory.User, edit func(*directory.Profile)) *directory.User {
	w.Helper()
	u, err := w.editUser(u.TenantID, u.ID, edit)
	if err != nil {
		w.Fatalf("UpdateUser: %v", err)
	}
	return u
}

func (w *world) editUser(tenant, id directory.ID, edit func(*directory.Profile)) (*directory.User, error) {
	return w.svc.UpdateUser(w.ctx, push, tenant, id, func(u *directory.User) (directory.UserInput, error) {
		p := u.Profile
		p.Emails = slices.Clone(p.Emails)
		edit(&p)
		return userInput(p), nil
	})
}

func (w *world) setActive(u *directory.User, active bool) {
	w.Helper()
	w.updateUser(u, func(p *directory.Profile) { p.Active = active })
}

func (w *world) deleteUser(u *directory.User) {
	w.Helper()
	if err := w.svc.DeleteUser(w.ctx, push, u.TenantID, u.ID, nil); err != nil {
		w.Fatalf("DeleteUser: %v", err)
	}
}

func (w *world) createGroup(tenant directory.ID, name, external string, members ...directory.ID) *directory.Group {
	w.Helper()
	g, err := w.svc.CreateGroup(w.ctx, push, tenant, groupInput(name, external), members)
	if err != nil {
		w.Fatalf("CreateGroup %s: %v", name, err)
	}
	return g
}

func (w *world) updateGroup(g *directory.Group, fn func(*directory.Membership) error) {
	w.Helper()
	if _, err := w.members(g.TenantID, g.ID, fn); err != nil {
		w.Fatalf("UpdateGroup: %v", err)
	}
}

func (w *world) members(tenant, id directory.ID, fn func(*directory.Membership) error) (*directory.Group, error) {
	return w.svc.UpdateGroup(w.ctx, push, tenant, id, func(g *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
		return sameGroup(g), fn(m)
	})
}

func (w *world) add(g *directory.Group, users ...*directory.User) {
	w.Helper()
	w.updateGroup(g, func(m *directory.Membership) error { return m.Add(userIDs(users)) })
}

func (w *world) remove(g *directory.Group, users ...*directory.User) {
	w.Helper()
	w.updateGroup(g, func(m *directory.Membership) error { return m.Remove(userIDs(users)) })
}

func (w *world) renameGroup(g *directory.Group, name, external string) {
	w.Helper()
	_, err := w.svc.UpdateGroup(w.ctx, push, g.TenantID, g.ID, func(*directory.Group, *directory.Membership) (directory.GroupInput, error) {
		return groupInput(name, external), nil
	})
	if err != nil {
		w.Fatalf("UpdateGroup: %v", err)
	}
}

func (w *world) deleteGroup(g *directory.Group) {
	w.Helper()
	if err := w.svc.DeleteGroup(w.ctx, push, g.TenantID, g.ID, nil); err != nil {
		w.Fatalf("DeleteGroup: %v", err)
	}
}

func userIDs(users []*directory.User) (ids []directory.ID) {
	for _, u := range users {
		ids = append(ids, u.ID)
	}
	return ids
}

// What a pull does.

// startRun keeps a new run of an environment.
func (w *world) startRun(env directory.ID) *directory.Run {
	w.Helper()
	e := w.environment(env)
	run := &directory.Run{ID: w.newID(), EnvironmentID: env, TenantID: e.Integration.TenantID, Trigger: directory.TriggerSchedule,
		Actor: directory.Actor{Role: directory.RoleSystem, Channel: "system", ID: "schedule"}, State: directory.RunRunning, Started: w.clock.Now()}
	if err := w.svc.SaveRun(w.ctx, run, nil); err != nil {
		w.Fatalf("SaveRun: %v", err)
	}
	return run
}

// scopeOf is what a run works with that reads now.
func (w *world) scopeOf(run *directory.Run) directory.RepairScope {
	w.Helper()
	watch, err := w.svc.Watch(w.ctx)
	if err != nil {
		w.Fatalf("Watch: %v", err)
	}
	if run.ID.IsZero() {
		return directory.RepairScope{Run: run, Watch: watch}
	}
	return directory.RepairScope{Run: run, Integration: w.environment(run.EnvironmentID).Integration, Watch: watch}
}

func (w *world) tryRepair(run *directory.Run, people ...directory.Repair) ([]directory.PlanItem, error) {
	w.Helper()
	return w.svc.Repair(w.ctx, w.scopeOf(run), people)
}

func (w *world) repair(run *directory.Run, people ...directory.Repair) []directory.PlanItem {
	w.Helper()
	items, err := w.tryRepair(run, people...)
	if err != nil {
		w.Fatalf("Repair: %v", err)
	}
	return items
}

// planNew is the repair of a person whom nobody has provisioned.
func (w *world) planNew(p directory.Profile, groups ...*directory.Group) directory.Repair {
	object, _ := directory.ParseID(strings.ToLower(p.ExternalID))
	return directory.Repair{Item: directory.PlanItem{Number: w.ids.Add(1), Kind: directory.ItemCreate, ObjectID: object, UserName: p.UserName, Reason: "in a group to sync", Outcome: directory.OutcomePlanned},
		ObjectID: object, Join: groupIDs(groups), Update: func(u *directory.User) (directory.UserInput, error) {
			if u != nil {
				return directory.UserInput{}, fmt.Errorf("%+v is to be new", u)
			}
			return userInput(p), nil
		}}
}

// plan is the repair of a user who is there.
func (w *world) plan(u *directory.User) directory.Repair {
	return directory.Repair{Item: directory.PlanItem{Number: w.ids.Add(1), Kind: directory.ItemUpdate, ObjectID: u.ObjectID, UserID: u.ID, UserName: u.UserName, Reason: "the directory says so", Outcome: directory.OutcomePlanned},
		ObjectID: u.ObjectID, Version: u.Version}
}

func (w *world) planUpdate(u *directory.User, edit func(*directory.Profile)) directory.Repair {
	r := w.plan(u)
	r.Update = func(u *directory.User) (directory.UserInput, error) {
		edit(&u.Profile)
		return userInput(u.Profile), nil
	}
	return r
}

func (w *world) planJoin(u *directory.User, groups ...*directory.Group) directory.Repair {
	r := w.plan(u)
	r.Join = groupIDs(groups)
	return r
}

func (w *world) planLeave(u *directory.User, groups ...*directory.Group) directory.Repair {
	r := w.plan(u)
	r.Leave = groupIDs(groups)
	return r
}

func groupIDs(groups []*directory.Group) (ids []directory.ID) {
	for _, g := range groups {
		ids = append(ids, g.ID)
	}
	return ids
}

// What the tests see.

func (w *world) environment(id directory.ID) *directory.Environment {
	w.Helper()
	return view(w, func(s *directory.Snapshot) (*directory.Environment, error) { return s.Environment(id) })
}

func (w *world) user(u *directory.User) *directory.User {
	w.Helper()
	return view(w, func(s *directory.Snapshot) (*directory.User, error) {
		u, err := s.User(u.TenantID, u.ID)
		if err == nil {
			u.Attributes, u.Schemas = bytes.Clone(u.Attributes), bytes.Clone(u.Schemas)
		}
		return u, err
	})
}

func (w *world) group(g *directory.Group) *directory.Group {
	w.Helper()
	return view(w, func(s *directory.Snapshot) (*directory.Group, error) {
		g, err := s.Group(g.TenantID, g.ID)
		if err == nil {
			g.Attributes, g.Schemas = bytes.Clone(g.Attributes), bytes.Clone(g.Schemas)
		}
		return g, err
	})
}

func (w *world) isMember(g *directory.Group, u *directory.User) bool {
	w.Helper()
	return view(w, func(s *directory.Snapshot) (bool, error) { return s.IsMember(g.TenantID, g.ID, u.ID) })
}

// items reads the plan of a run, by number.
func (w *world) items(run *directory.Run) map[uint64]directory.PlanItem {
	w.Helper()
	return view(w, func(s *directory.Snapshot) (map[uint64]directory.PlanItem, error) {
		all := map[uint64]directory.PlanItem{}
		err := s.PlanItems(run.ID, 0, func(i *directory.PlanItem) bool { all[i.Number] = *i; return true })
		return all, err
	})
}

// view reads a snapshot.
func view[T any](w *world, fn func(*directory.Snapshot) (T, error)) (v T) {
	w.Helper()
	err := w.svc.View(w.ctx, func(s *directory.Snapshot) (err error) {
		v, err = fn(s)
		return err
	})
	if err != nil {
		w.Fatalf("View: %v", err)
	}
	return v
}

func (w *world) account(id directory.ID) *directory.Account {
	w.Helper()
	return view(w, func(s *directory.Snapshot) (*directory.Account, error) { return s.Account(id) })
}

func (w *world) access(account, env directory.ID) *directory.Access {
	w.Helper()
	return view(w, func(s *directory.Snapshot) (*directory.Access, error) { return s.Access(account, env) })
}

// state tells an access in a word: none, active or inactive.
func (w *world) state(account, env directory.ID) string {
	w.Helper()
	switch a := w.access(account, env); {
	case a == nil:
		return "none"
	case a.Active:
		return "active"
	}
	return "inactive"
}

func (w *world) wantState(account, env directory.ID, want string) {
	w.Helper()
	if got := w.state(account, env); got != want {
		w.Errorf("access is %s, want %s", got, want)
	}
}

func wantKind(t tb, err error, want directory.ErrorKind) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want kind %q", want)
	} else if got := directory.KindOf(err); got != want {
		t.Errorf("error %q of kind %q, want kind %q", err, got, want)
	}
}

func secretHash(secret string) [32]byte { return sha256.Sum256([]byte(secret)) }

// signIn makes a session and returns its secret.
func (w *world) signIn(account directory.ID) string {
	w.Helper()
	secret := fmt.Sprintf("session-%d", w.ids.Add(1))
	if _, err := w.svc.CreateSession(w.ctx, push, directory.SessionInput{AccountID: account, Hash: secretHash(secret)}); err != nil {
		w.Fatalf("CreateSession: %v", err)
	}
	return secret
}

// signInWith signs somebody in whom a directory has proven. The directory's session is named after
// the secret of ours.
func (w *world) signInWith(who directory.Identity, secret string) (*directory.Session, error) {
	return w.svc.SignIn(w.ctx, directory.Actor{Channel: "console", Address: "192.0.2.7"}, who, directory.SessionInput{Hash: secretHash(secret),
		SignedIn: directory.SignedIn{SID: "sid of " + secret, LogoutHint: "hint", Address: "192.0.2.7", UserAgent: "browser"}})
}

// signInAs signs a user in with the application "client" of its tenant.
func (w *world) signInAs(u *directory.User, subject, secret string) *directory.Session {
	w.Helper()
	session, err := w.signInWith(directory.Identity{TenantID: u.TenantID, ClientID: "client", ObjectID: u.ObjectID, Subject: subject}, secret)
	if err != nil {
		w.Fatalf("SignIn: %v", err)
	}
	return session
}

// localOperator makes an operator with a login of its own and a second factor.
func (w *world) localOperator(email string) directory.ID {
	w.Helper()
	id := must(w.svc.CreateOperator(w.ctx, operator, email, "Operator")).ID
	if err := errors.Join(w.svc.SetPassword(w.ctx, operator, id, "hash of "+email), w.svc.SetTOTP(w.ctx, self(id), id, "sealed", 1)); err != nil {
		w.Fatalf("localOperator: %v", err)
	}
	return id
}

// self is an account as the author of a change.
func self(account directory.ID) directory.Actor {
	return directory.Actor{Role: directory.RoleUser, Channel: "console", ID: account.String()}
}

func (w *world) signedIn(secret string) bool {
	w.Helper()
	_, err := w.svc.CheckSession(w.ctx, secretHash(secret), time.Time{})
	if err != nil && directory.KindOf(err) != directory.Unauthorized {
		w.Fatalf("CheckSession: %v", err)
	}
	return err == nil
}

func (w *world) lastLog(tenant directory.ID) (last *directory.LogEvent) {
	w.Helper()
	return view(w, func(s *directory.Snapshot) (*directory.LogEvent, error) {
		err := s.Log(tenant, 0, true, func(e *directory.LogEvent) bool {
			last = e
			return false
		})
		return last, err
	})
}

func (w *world) outbox() (all []*directory.OutboxEvent) {
	w.Helper()
	return view(w, func(s *directory.Snapshot) ([]*directory.OutboxEvent, error) {
		err := s.Outbox(0, func(e *directory.OutboxEvent) bool {
			all = append(all, e)
			return true
		})
		return all, err
	})
}

func (w *world) lastEvent() *directory.OutboxEvent {
	w.Helper()
	all := w.outbox()
	if len(all) == 0 {
		w.Fatalf("the outbox is empty")
	}
	return all[len(all)-1]
}

// dump is the content of the store: table and key -> value.
func (w *world) dump() map[string]string {
	w.Helper()
	all := map[string]string{}
	err := w.store.Store.View(w.ctx, func(r directory.Reader) error {
		for _, t := range directory.Tables {
			err := r.Scan(t, directory.Range{}, func(k, v []byte) bool {
				all[t.Name+"\x00"+string(k)] = string(v)
				return true
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.Fatalf("dump: %v", err)
	}
	return all
}

// unchanged runs fn, which must not change a byte of the store.
func (w *world) unchanged(fn func()) {
	w.Helper()
	before := w.dump()
	fn()
	w.wantDump(before)
}

func (w *world) wantDump(before map[string]string) {
	w.Helper()
	after, said := w.dump(), 0
	for k := range maps.Keys(merged(before, after)) {
		old, was := before[k]
		now, is := after[k]
		if was == is && old == now {
			continue
		}
		if said++; said > 20 {
			w.Errorf("and more")
			return
		}
		w.Errorf("the store has changed: %q: %q (there: %v), then %q (there: %v)", k, old, was, now, is)
	}
}

func merged(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func table(name string) *directory.Table {
	i := slices.IndexFunc(directory.Tables, func(t *directory.Table) bool { return t.Name == name })
	if i < 0 {
		panic("no table " + name)
	}
	return directory.Tables[i]
}

// raw writes to the store past the Service, as an intruder would.
func (w *world) raw(fn func(directory.Writer) error) {
	w.Helper()
	if err := w.store.Store.Update(w.ctx, fn); err != nil {
		w.Fatalf("raw: %v", err)
	}
}

func cat(parts ...any) (b []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case directory.ID:
			b = append(b, p[:]...)
		case string:
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		case byte:
			b = append(b, p)
		case uint64:
			b = binary.BigEndian.AppendUint64(b, p)
		default:
			panic(fmt.Sprintf("cat: %T", p))
		}
	}
	return b
}

// strictStore holds the Service to the letter of the Store contract: whatever it lends out is
// spoilt as soon as the contract allows. It counts what is asked of it.
type strictStore struct {
	directory.Store
	mu     sync.Mutex
	count  operations
	fail   func() error // asked before each Update commits; an error undoes it
	meet   func()       // called once, before an Update begins: what somebody else does meanwhile
	twice  bool         // each Update is tried in vain first, as by a back end that retries
	failAt int          // the write of an Update that fails; 0: none does
	// within is called at the start of each Update: what it writes shares the fate of the Update.
	within func(directory.Writer) error
}

type operations struct{ Updates, Gets, Scans, Rows, Puts, Deletes, Sequences int }

// counted returns what fn costs.
func (s *strictStore) counted(fn func()) operations {
	s.mu.Lock()
	s.count = operations{}
	s.mu.Unlock()
	fn()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

func (s *strictStore) note(fn func(*operations)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(&s.count)
}

func (s *strictStore) View(ctx context.Context, fn func(directory.Reader) error) error {
	return s.Store.View(ctx, func(r directory.Reader) error {
		l := &lender{s: s, r: r}
		defer l.spoil()
		return fn(l)
	})
}

func (s *strictStore) Update(ctx context.Context, fn func(directory.Writer) error) error {
	if meet := s.meet; meet != nil {
		s.meet = nil
		meet()
	}
	s.note(func(o *operations) { o.Updates++ })
	if s.twice {
		_ = s.Store.Update(ctx, func(w directory.Writer) error {
			_ = s.attempt(w, fn)
			return errors.New("undone")
		})
	}
	return s.Store.Update(ctx, func(w directory.Writer) error {
		if err := s.attempt(w, fn); err != nil {
			return err
		}
		if s.fail != nil {
			return s.fail()
		}
		return nil
	})
}

func (s *strictStore) attempt(w directory.Writer, fn func(directory.Writer) error) error {
	if s.within != nil {
		if err := s.within(w); err != nil {
			return err
		}
	}
	l := &lender{s: s, r: w, w: w, failAt: s.failAt}
	defer l.spoil()
	return fn(l)
}

// errWrite is the error of a write that a test has fail.
var errWrite = errors.New("this write fails")

// write counts down to the write that fails.
func (l *lender) write() error {
	if l.failAt--; l.failAt == 0 {
		return errWrite
	}
	return nil
}

type lender struct {
	s    *strictStore
	r    directory.Reader
	w    directory.Writer
	lent [][]byte

	failAt int
}

func (l *lender) lend(b []byte) []byte {
	if b == nil {
		return nil
	}
	b = append(make([]byte, 0, len(b)), b...)
	l.lent = append(l.lent, b)
	return b
}

func (l *lender) spoil() {
	for _, b := range l.lent {
		copy(b, bytes.Repeat([]byte{0xdb}, len(b)))
	}
	l.lent = nil
}

func (l *lender) Get(t *directory.Table, key []byte) ([]byte, error) {
	l.s.note(func(o *operations) { o.Gets++ })
	v, err := l.r.Get(t, key)
	return l.lend(v), err
}

func (l *lender) Scan(t *directory.Table, r directory.Range, fn func(key, value []byte) bool) error {
	l.s.note(func(o *operations) { o.Scans++ })
	return l.r.Scan(t, r, func(k, v []byte) bool {
		l.s.note(func(o *operations) { o.Rows++ })
		return fn(l.lend(k), l.lend(v))
	})
}

func (l *lender) Count(t *directory.Table, prefix []byte) (int64, error) {
	l.s.note(func(o *operations) { o.Gets++ })
	return l.r.Count(t, prefix)
}

func (l *lender) Insert(t *directory.Table, key, value []byte) error {
	l.s.note(func(o *operations) { o.Puts++ })
	defer l.spoil()
	if err := l.write(); err != nil {
		return err
	}
	return l.w.Insert(t, key, value)
}

func (l *lender) Put(t *directory.Table, key, value []byte) error {
	l.s.note(func(o *operations) { o.Puts++ })
	defer l.spoil()
	if err := l.write(); err != nil {
		return err
	}
	return l.w.Put(t, key, value)
}

func (l *lender) Delete(t *directory.Table, key []byte) error {
	l.s.note(func(o *operations) { o.Deletes++ })
	defer l.spoil()
	if err := l.write(); err != nil {
		return err
	}
	return l.w.Delete(t, key)
}

func (l *lender) NextSequence(t *directory.Table) (uint64, error) {
	l.s.note(func(o *operations) { o.Sequences++ })
	return l.w.NextSequence(t)
}
