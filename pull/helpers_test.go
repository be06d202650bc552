package pull_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
	"github.com/bizzstream/bizzscim/store/bolt"
)

// tb is what *testing.T and *rapid.T have in common.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// world is a tenant with a directory, a server on a real file, and a reconciler between them.
type world struct {
	tb
	ctx    context.Context
	path   string
	store  *bolt.Store
	svc    *directory.Service
	dir    *pulltest.Directory
	src    *pulltest.Source
	r      *pull.Reconciler
	o      pull.Options
	ids    *atomic.Uint64
	offset *atomic.Int64 // of the clock
	lines  *logLines
	tenant directory.ID
	org    directory.ID
	env    directory.ID
}

var (
	operator = directory.Actor{Role: directory.RoleOperator, Channel: "cli", ID: "operator"}
	push     = directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: "token"}
)

// admin is an administrator of some environments.
func admin(environments ...directory.ID) directory.Actor {
	return directory.Actor{Role: directory.RoleEnvironment, Channel: "console", ID: "admin", Reach: &directory.Reach{Environments: environments}}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// newWorld has one environment that syncs group 1 of the directory, of which nothing is pushed so far.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := openWorld(t.Context(), t, filepath.Join(t.TempDir(), "directory.db"))
	t.Cleanup(w.close)
	return w
}

func openWorld(ctx context.Context, t tb, path string) *world {
	w := &world{tb: t, ctx: ctx, path: path, dir: pulltest.NewDirectory(), ids: new(atomic.Uint64), offset: new(atomic.Int64), lines: &logLines{}}
	w.src = pulltest.NewSource(w.dir)
	w.o = pull.Options{Connect: w.src.Connect, NewID: w.newID, Now: w.now, Random: func() float64 { return 0.5 },
		Open:      func(*directory.Credential) ([]byte, error) { return []byte("secret"), nil },
		Resources: func(*directory.Tenant) (pull.Resources, error) { return forms{}, nil },
		Log:       slog.New(slog.NewTextHandler(w.lines, nil)),
		Settings:  pull.Settings{Person: time.Hour}} // no test depends on how fast the machine is
	w.open()
	w.org = must(w.svc.CreateOrganization(ctx, operator, "Fjord")).ID
	w.tenant = w.newTenant("fjord")
	w.env = w.newEnv("Production", w.tenant, 1)
	w.dir.SetGroup(pulltest.GroupID(1), "Sales")
	return w
}

// open opens the store and makes the service and the reconciler anew, as a new process does.
func (w *world) open() {
	w.store = must(bolt.Open(w.path, bolt.Options{}))
	w.svc = directory.New(w.store, directory.Options{Now: w.now, NewID: w.newID, Normalize: func(s string) string { return s }})
	w.o.Service = w.svc
	w.r = pull.New(w.o)
}

func (w *world) close() {
	w.r.Close()
	if err := w.store.Close(); err != nil {
		w.Errorf("close the store: %v", err)
	}
	if n := w.src.Open(); n != 0 {
		w.Errorf("%d sources were left open", n)
	}
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.offset.Load())) }

func (w *world) advance(d time.Duration) { w.offset.Add(int64(d)) }

func (w *world) newID() directory.ID {
	n := w.ids.Add(1)
	id := directory.ID{0: 1, 6: 0x70, 8: 0x80}
	binary.BigEndian.PutUint32(id[2:], uint32(n>>32))
	binary.BigEndian.PutUint32(id[12:], uint32(n))
	return id
}

func (w *world) newTenant(name string) directory.ID {
	tenant := must(w.svc.CreateTenant(w.ctx, operator, directory.Tenant{Name: name, OrganizationIDs: []directory.ID{w.org},
		DirectoryID: pulltest.ID(9000).String(), Graph: directory.Graph{ClientID: pulltest.ID(9001).String()}})).ID
	w.credential(tenant)
	return tenant
}

func (w *world) credential(tenant directory.ID) {
	must(w.svc.SetCredential(w.ctx, operator, directory.Credential{TenantID: tenant, Name: pull.CredentialName, Kind: "secret", Sealed: "sealed"}))
}

func (w *world) newEnv(name string, tenant directory.ID, groups ...int) directory.ID {
	env := must(w.svc.CreateEnvironment(w.ctx, operator, w.org, name)).ID
	on := true
	w.integrate(env, directory.IntegrationInput{Enabled: &on, TenantID: &tenant, Groups: groupIDs(groups...), Periodic: &on})
	return env
}

func groupIDs(groups ...int) (ids []string) {
	for _, n := range groups {
		ids = append(ids, pulltest.GroupID(n))
	}
	return ids
}

func (w *world) integrate(env directory.ID, in directory.IntegrationInput) {
	w.Helper()
	if _, _, err := w.svc.SetIntegration(w.ctx, operator, env, in); err != nil {
		w.Fatalf("SetIntegration: %v", err)
	}
	for {
		d := view(w, func(sn *directory.Snapshot) (pending *directory.Derivation, err error) {
			err = sn.Derivations(env, func(d *directory.Derivation) bool {
				if d.State == directory.DerivationPending {
					pending = d
				}
				return true
			})
			return pending, err
		})
		if d == nil {
			return
		}
		must(w.svc.FinishDerivation(w.ctx, env, d.ID, nil))
	}
}

// people puts people from a to b into the directory and a group.
func (w *world) people(group, a, b int) {
	for n := a; n <= b; n++ {
		w.dir.SetPerson(pulltest.NewPerson(n))
		w.dir.Add(pulltest.GroupID(group), pulltest.ID(n))
	}
}

// What push does.

// profileOf is a person as push provisions it when objectId is mapped to externalId.
func profileOf(p pull.Person) directory.Profile {
	return directory.Profile{UserName: strings.Replace(p.UserPrincipalName, "#EXT#", "", 1), ExternalID: p.ID.String(), Name: p.DisplayName,
		Email: p.Mail, Emails: slices.DeleteFunc([]string{p.Mail}, func(s string) bool { return s == "" }), Language: p.PreferredLanguage, Active: p.Enabled}
}

func (w *world) pushUser(p directory.Profile) *directory.User {
	w.Helper()
	u, err := w.svc.CreateUser(w.ctx, push, w.tenant, formOf(p))
	if err != nil {
		w.Fatalf("CreateUser: %v", err)
	}
	return u
}

func (w *world) pushUpdate(id directory.ID, edit func(*directory.Profile)) {
	w.Helper()
	_, err := w.svc.UpdateUser(w.ctx, push, w.tenant, id, func(u *directory.User) (directory.UserInput, error) {
		edit(&u.Profile)
		return formOf(u.Profile), nil
	})
	if err != nil {
		w.Fatalf("UpdateUser: %v", err)
	}
}

func (w *world) pushGroup(n int, members ...directory.ID) directory.ID {
	w.Helper()
	in := forms{}.Group(fmt.Sprintf("Group %d", n), pulltest.GroupID(n))
	g, err := w.svc.CreateGroup(w.ctx, push, w.tenant, in, members)
	if err != nil {
		w.Fatalf("CreateGroup: %v", err)
	}
	return g.ID
}

func (w *world) pushMembers(group directory.ID, fn func(*directory.Membership) error) {
	w.Helper()
	_, err := w.svc.UpdateGroup(w.ctx, push, w.tenant, group, func(g *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
		return directory.GroupInput{DisplayName: g.DisplayName, ExternalID: g.ExternalID, Schemas: g.Schemas, Attributes: g.Attributes}, fn(m)
	})
	if err != nil {
		w.Fatalf("UpdateGroup: %v", err)
	}
}

func (w *world) pushAdd(group directory.ID, users ...directory.ID) {
	w.Helper()
	w.pushMembers(group, func(m *directory.Membership) error { return m.Add(users) })
}

func (w *world) pushRemove(group directory.ID, users ...directory.ID) {
	w.Helper()
	w.pushMembers(group, func(m *directory.Membership) error { return m.Remove(users) })
}

func (w *world) pushDelete(id directory.ID) {
	w.Helper()
	if err := w.svc.DeleteUser(w.ctx, push, w.tenant, id, nil); err != nil {
		w.Fatalf("DeleteUser: %v", err)
	}
}

// forms makes resources of which the attributes are the profile.
type forms struct{}

func formOf(p directory.Profile) directory.UserInput {
	if len(p.Emails) == 0 {
		p.Emails = nil
	}
	return directory.UserInput{Profile: p, Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:User"]`), Attributes: must(json.Marshal(p))}
}

func (forms) User(before *directory.User, o directory.Overrides) (directory.UserInput, error) {
	var p directory.Profile
	if before != nil {
		p = before.Profile
	}
	if strings.Contains(o.DisplayName, "\x00") {
		return directory.UserInput{}, &directory.Error{Kind: directory.Invalid, Field: "displayName", Detail: "displayName holds a NUL"}
	}
	if o.DisplayName == "panic" {
		panic("a resource that cannot be made")
	}
	for _, f := range []struct {
		to   *string
		from string
	}{{&p.UserName, o.UserName}, {&p.ExternalID, o.ExternalID}, {&p.Name, o.DisplayName}, {&p.Email, o.Email}, {&p.Language, o.Language}} {
		if f.from != "" {
			*f.to = strings.TrimSpace(f.from)
		}
	}
	if o.Email != "" {
		p.Emails = []string{p.Email}
	}
	if o.Active != nil {
		p.Active = *o.Active
	}
	return formOf(p), nil
}

func (forms) Group(displayName, externalID string) directory.GroupInput {
	return directory.GroupInput{DisplayName: displayName, ExternalID: externalID, Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:Group"]`),
		Attributes: must(json.Marshal([]string{displayName, externalID}))}
}

// What a pull does.

// sync runs a pull and returns how it ended.
func (w *world) sync(o ...pull.SyncOptions) *directory.Run { w.Helper(); return w.syncEnv(w.env, o...) }

func (w *world) syncEnv(env directory.ID, o ...pull.SyncOptions) *directory.Run {
	w.Helper()
	var opt pull.SyncOptions
	if len(o) > 0 {
		opt = o[0]
	}
	run, err := w.r.Sync(w.ctx, operator, env, opt)
	if err != nil {
		w.Fatalf("Sync: %v", err)
	}
	return w.wait(run)
}

func (w *world) wait(run *directory.Run) *directory.Run {
	w.Helper()
	run, err := w.r.Wait(w.ctx, run.ID)
	if err != nil {
		w.Fatalf("Wait: %v", err)
	}
	return run
}

func (w *world) allow(run *directory.Run) *directory.Run {
	w.Helper()
	next, err := w.r.Allow(w.ctx, operator, run.ID, run.Hash, "it is right")
	if err != nil {
		w.Fatalf("Allow: %v", err)
	}
	return w.wait(next)
}

// settle brings the environment to the point where it is known: a run, allowed if it waits.
func (w *world) settle() *directory.Run { w.Helper(); return w.settleEnv(w.env) }

func (w *world) settleEnv(env directory.ID) *directory.Run {
	w.Helper()
	run := w.syncEnv(env)
	if run.State == directory.RunQuarantined {
		run = w.allow(run)
	}
	w.is(run, directory.RunComplete)
	return run
}

// What the tests see.

func view[T any](w *world, fn func(*directory.Snapshot) (T, error)) (v T) {
	w.Helper()
	err := w.svc.View(w.ctx, func(sn *directory.Snapshot) (err error) {
		v, err = fn(sn)
		return err
	})
	if err != nil {
		w.Fatalf("View: %v", err)
	}
	return v
}

func (w *world) is(run *directory.Run, state directory.RunState) {
	w.Helper()
	if run.State != state {
		detail := ""
		if run.Error != nil {
			detail = run.Error.Detail
		}
		w.Fatalf("the run is %s (%s %q %+v), want %s\n%s\n%s", run.State, detail, run.Reasons, run.Counts, state, w.show(run), w.lines)
	}
}

func (w *world) items(run *directory.Run) (items []directory.PlanItem) {
	w.Helper()
	return view(w, func(sn *directory.Snapshot) ([]directory.PlanItem, error) {
		items = nil
		err := sn.PlanItems(run.ID, 0, func(i *directory.PlanItem) bool { items = append(items, *i); return true })
		return items, err
	})
}

func (w *world) show(run *directory.Run) string {
	var b strings.Builder
	for _, i := range w.items(run) {
		fmt.Fprintf(&b, "%s %s %s (%s): %s\n", i.Kind, i.UserName, i.Outcome, i.Reason, i.Detail)
	}
	return b.String()
}

func (w *world) state(env directory.ID) *directory.PullState {
	w.Helper()
	return view(w, func(sn *directory.Snapshot) (*directory.PullState, error) { return sn.PullState(env) })
}

func (w *world) userOf(n int) *directory.User {
	w.Helper()
	return view(w, func(sn *directory.Snapshot) (*directory.User, error) {
		ids, err := sn.UsersByObjectID(w.tenant, pulltest.ID(n))
		if err != nil || len(ids) == 0 {
			return nil, err
		}
		u, err := sn.User(w.tenant, ids[0])
		if u != nil {
			u.Schemas, u.Attributes = slices.Clone(u.Schemas), slices.Clone(u.Attributes)
		}
		return u, err
	})
}

func (w *world) groupOf(n int) directory.ID {
	w.Helper()
	return view(w, func(sn *directory.Snapshot) (directory.ID, error) {
		ids, err := sn.GroupsByExternalID(w.tenant, pulltest.GroupID(n))
		if err != nil || len(ids) == 0 {
			return directory.ID{}, err
		}
		return ids[0], nil
	})
}

// hasAccess reports whether a person has active access to an environment.
func (w *world) hasAccess(n int, env directory.ID) bool {
	w.Helper()
	u := w.userOf(n)
	return u != nil && view(w, func(sn *directory.Snapshot) (bool, error) {
		a, err := sn.Access(u.AccountID, env)
		return a != nil && a.Active, err
	})
}

func (w *world) access(n int, want bool) {
	w.Helper()
	if got := w.hasAccess(n, w.env); got != want {
		w.Errorf("person %d has access: %v, want %v", n, got, want)
	}
}

func (w *world) activeAccesses(env directory.ID) int {
	w.Helper()
	return int(view(w, func(sn *directory.Snapshot) (int64, error) { return sn.EnvironmentAccessCount(env, true) }))
}

// nothingToDo makes sure that a pull finds nothing.
func (w *world) nothingToDo() {
	w.Helper()
	run := w.sync()
	w.is(run, directory.RunComplete)
	if d := run.Counts.Drift(); d != 0 || run.Counts.Waiting != 0 {
		w.Errorf("the next run has %d to do, %d wait:\n%s", d, run.Counts.Waiting, w.show(run))
	}
}

// logLines collects the log.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logLines) count(text string) int { return strings.Count(l.String(), text) }
