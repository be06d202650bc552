package graph_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/entrasim"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/graph"
)

// operator is who looks into the server from within.
var operator = directory.Actor{Role: directory.RoleOperator, Channel: "test"}

// The permissions that the pull asks an administrator for.
var readEverything = []string{entrasim.GroupMemberReadAll, entrasim.UserReadAll}

// TB is what tests and the property test have in common.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Error(args ...any)
	Fatalf(format string, args ...any)
	Fatal(args ...any)
	Logf(format string, args ...any)
}

// clock is the wall clock of a server, which a test can set.
type clock struct {
	mu  sync.Mutex
	off time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.off)
}

func (c *clock) jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off += d
}

// logs keeps everything that a server logs, at every level, and tells when a run has ended.
type logs struct {
	slog.Handler

	mu    sync.Mutex
	text  bytes.Buffer
	ended map[string]chan struct{} // by run
	any   chan struct{}            // told of the end of runs
}

func newLogs() *logs {
	l := &logs{ended: map[string]chan struct{}{}, any: make(chan struct{}, 1)}
	l.Handler = slog.NewTextHandler(&l.text, &slog.HandlerOptions{Level: slog.LevelDebug})
	return l
}

func (l *logs) Handle(ctx context.Context, r slog.Record) error {
	run, state := "", false
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "run":
			run = a.Value.String()
		case "state":
			state = true
		}
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.Handler.Handle(ctx, r)
	if run != "" && state {
		close(l.of(run))
		select {
		case l.any <- struct{}{}:
		default:
		}
	}
	return err
}

// of is called with mu held.
func (l *logs) of(run string) chan struct{} {
	c := l.ended[run]
	if c == nil {
		c = make(chan struct{})
		l.ended[run] = c
	}
	return c
}

func (l *logs) end(run string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of(run)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// entra is a simulated directory, its Graph and the application that reads it.
type entra struct {
	*entrasim.Tenant
	graph  *entrasim.Graph
	app    *entrasim.App
	secret string
}

func newEntra(t *testing.T, dir *entrasim.Tenant) *entra {
	t.Helper()
	g, err := entrasim.NewGraph(dir, entrasim.GraphOptions{Throttle: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	e := &entra{Tenant: dir, graph: g, app: g.App("", readEverything...)}
	e.secret = e.app.NewSecret(time.Now().Add(100 * 24 * time.Hour))
	return e
}

// script replaces the fault script.
func (e *entra) script(t TB, lines ...string) {
	t.Helper()
	e.graph.Faults().Clear()
	if err := e.graph.Faults().Load(strings.Join(lines, "\n")); err != nil {
		t.Fatal(err)
	}
}

func (e *entra) fault(t TB, f ...entrasim.Fault) {
	t.Helper()
	if err := e.graph.Faults().Add(f...); err != nil {
		t.Fatal(err)
	}
}

// over ends the faults, and makes sure that each has happened.
func (e *entra) over(t TB) {
	t.Helper()
	for _, c := range e.graph.Faults().Report() {
		if c.Fired == 0 {
			t.Errorf("the fault %q did not happen in %d calls", c.Rule, c.Calls)
		}
	}
	e.graph.Faults().Clear()
}

// environment is one that a world has, as the test knows it.
type environment struct {
	name       string
	id         directory.ID
	tenant     string
	from       *entra
	groups     []string // object ids
	transitive bool
	guests     bool // the pull provisions guests
	pushed     bool // so does push, whatever the setting
}

// world is a real server on a real data folder, with simulated directories around it.
type world struct {
	TB
	t       *testing.T
	ctx     context.Context
	clock   *clock
	log     *logs
	config  app.Config
	options app.Options
	server  *app.App
	client  *app.Client
	envs    []*environment
	tenants map[string]directory.ID
	push    map[string]*entrasim.Provisioner // by tenant
	token   string                           // of the last of them
	hidden  []string                         // what nobody may ever see in clear
	sign    map[string][32]byte              // object id -> live session
	seen    map[string]bool                  // runs
}

// newWorld starts a server that trusts the Graphs of the given directories.
func newWorld(t *testing.T, from ...*entra) *world { return newWorldOf(t, app.PullConfig{}, from...) }

// newWorldOf is newWorld with settings of the pull.
func newWorldOf(t *testing.T, settings app.PullConfig, from ...*entra) *world {
	t.Helper()
	w := &world{TB: t, t: t, ctx: t.Context(), clock: &clock{}, log: newLogs(), tenants: map[string]directory.ID{},
		push: map[string]*entrasim.Provisioner{}, sign: map[string][32]byte{}, seen: map[string]bool{}}
	data := t.TempDir()
	var ca []byte
	for _, e := range from {
		ca = append(ca, e.graph.CA()...)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	w.config = app.Config{Data: data, Listen: "127.0.0.1:0", Pull: settings, CAFile: file}
	w.options = app.Options{Now: w.clock.now, Logger: slog.New(w.log), Connect: graph.ConnectAtOnce}
	w.start()
	t.Cleanup(func() {
		w.TB = t // which outlives a part of the test
		w.stop()
		w.nothingShown()
	})
	return w
}

// in is the same world for a part of a test.
func (w *world) in(t *testing.T) *world {
	part := *w
	part.TB, part.t = t, t
	return &part
}

func (w *world) start() {
	w.Helper()
	var err error
	if w.server, err = app.New(w.config, w.options); err != nil {
		w.Fatal(err)
	}
	if err := w.server.Start(w.ctx); err != nil {
		w.Fatal(err)
	}
	w.config.Listen = w.server.Addr().String() // push finds it again after a restart
	if w.client, err = app.Connect(w.ctx, w.config, app.Options{}); err != nil {
		w.Fatal(err)
	}
	if !w.client.Remote() {
		w.Fatal("the admin socket does not answer")
	}
}

func (w *world) stop() {
	w.Helper()
	if err := errors.Join(w.client.Close(), w.server.Close(context.Background())); err != nil {
		w.Error(err)
	}
}

func (w *world) restart() {
	w.Helper()
	w.stop()
	w.start()
}

func (w *world) service() *directory.Service { return w.server.Service() }

// call asks for an operation over the admin socket.
func call[In, Out any](w *world, op app.Operation[In, Out], in In) Out {
	w.Helper()
	out, err := app.Call(w.ctx, w.client, op, in)
	if err != nil {
		w.Fatal(err)
	}
	return out
}

// refused asks for an operation that the server must refuse for the reason.
func refused[In, Out any](w *world, op app.Operation[In, Out], in In, kind, text string) {
	w.Helper()
	_, err := app.Call(w.ctx, w.client, op, in)
	var e *app.Error
	if !errors.As(err, &e) || e.Kind != kind || !strings.Contains(e.Detail, text) {
		w.Errorf("%s: %v; want %s with %q", op.Name, err, kind, text)
	}
}

// join makes a tenant with a credential, as a partner does.
func (w *world) join(name string, from *entra, organizations ...string) {
	w.Helper()
	for _, o := range organizations {
		call(w, app.OrganizationCreate, app.NameInput{Name: o})
	}
	t := call(w, app.TenantCreate, app.TenantInput{Name: name, Organizations: organizations, DirectoryID: from.ID()})
	id, _ := directory.ParseID(t.ID)
	w.tenants[name] = id
	cloud, login, base := "custom", from.graph.LoginURL(), from.graph.URL()
	rate := directory.MaxRequestsPerSecond
	call(w, app.TenantSet, app.TenantChange{Ref: name, RequestsPerSecond: &rate, Graph: app.GraphChange{Cloud: &cloud, LoginURL: &login, GraphURL: &base}})
	w.hidden = append(w.hidden, from.secret)
	call(w, app.CredentialSet, app.CredentialInput{Tenant: name, ClientID: from.app.ClientID(), Secret: from.secret, Expires: "2099-01-01"})
}

// environment makes an environment and switches its integration on.
func (w *world) environment(organization, name, tenant string, from *entra, transitive bool, groups ...string) *environment {
	w.Helper()
	created := call(w, app.EnvironmentCreate, app.EnvironmentInput{Organization: organization, Name: name})
	id, _ := directory.ParseID(created.ID)
	e := &environment{name: name, id: id, tenant: tenant, from: from, groups: groups, transitive: transitive, pushed: true}
	yes, menus, many := true, []string{"Main"}, 1000
	call(w, app.EnvironmentIntegrate, app.IntegrationInput{Environment: name, Enabled: &yes, Tenant: &tenant, Groups: &groups, Transitive: &transitive, DefaultMenus: &menus,
		Stops: app.StopsChange{DayCount: &many}}) // a test changes in a second what a day brings
	w.envs = append(w.envs, e)
	return e
}

// pushes sets provisioning up, as an administrator of the directory does.
func (w *world) pushes(tenant string, from *entra, change func(*entrasim.ProvisionerOptions)) *entrasim.Provisioner {
	w.Helper()
	token := call(w, app.TokenCreate, app.TokenInput{Tenant: tenant})
	w.hidden, w.token = append(w.hidden, token.Secret), token.Secret
	o := entrasim.ProvisionerOptions{Base: w.server.URL() + "/scim/" + tenant + "/v2", Token: token.Secret, ObjectIDAsExternalID: true,
		SyncAll: true, Concurrency: 4, Backoff: time.Millisecond}
	if change != nil {
		change(&o)
	}
	p, err := entrasim.NewProvisioner(from.Tenant, o)
	if err != nil {
		w.Fatal(err)
	}
	w.t.Cleanup(p.Close)
	w.push[tenant] = p
	return p
}

func (w *world) cycle(tenant string) entrasim.Summary {
	w.Helper()
	s, err := w.push[tenant].Cycle(w.ctx)
	if err != nil {
		w.Fatal(err)
	}
	if s.Failed > 0 || s.Escrowed > 0 {
		w.Fatalf("not everything was pushed:\n%s", s)
	}
	return s
}

// result is a run that has ended.
type result struct {
	app.Run
	items []app.PlanItem
}

// String is the run with its plan, a line for each person.
func (r *result) String() string {
	counts, err := json.Marshal(r.Counts)
	if err != nil {
		panic(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "run %s (%s) of %s: %s after %d requests (%d repeated), %s\n",
		r.ID, r.Trigger, r.Environment.Name, r.State, r.Requests, r.Retries, zeros.ReplaceAll(counts, nil))
	for _, text := range append(slices.Clone(r.Reasons), r.Notes...) {
		fmt.Fprintf(&b, "  %s\n", text)
	}
	if r.Error != nil {
		fmt.Fprintf(&b, "  error %+v\n", *r.Error)
	}
	for i, item := range r.items {
		if i == 50 {
			fmt.Fprintf(&b, "  and %d more\n", len(r.items)-i)
			break
		}
		fmt.Fprintf(&b, "  %s %s %s: %s, %s (%s; %s)", item.Kind, item.ObjectID, item.UserName, item.Outcome, item.Reason, item.Detail, item.Evidence)
		for _, c := range item.Changes {
			fmt.Fprintf(&b, " %s %s -> %s", c.Name, c.Old, c.New)
		}
		for _, x := range item.Accesses {
			fmt.Fprintf(&b, " %s %s", x.Environment.Name, x.Effect)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// zeros are the counts that say nothing.
var zeros = regexp.MustCompile(`"\w+":0,?`)

// of finds a person's item; nil when the plan has none.
func (r *result) of(objectID string) *app.PlanItem {
	i := slices.IndexFunc(r.items, func(i app.PlanItem) bool { return i.ObjectID == objectID })
	if i < 0 {
		return nil
	}
	return &r.items[i]
}

// begin presses Sync.
func (w *world) begin(in app.SyncInput) app.Run {
	w.Helper()
	run, err := w.press(in)
	if err != nil {
		w.Fatal(err)
	}
	return run
}

// press presses Sync until there is another run than those before: one that has ended is shown as under way until
// it is put away.
func (w *world) press(in app.SyncInput) (app.Run, error) {
	for {
		run, err := app.Call(w.ctx, w.client, app.SyncStart, in)
		if err != nil || !w.seen[run.ID] {
			w.seen[run.ID] = true
			return run, err
		}
		runtime.Gosched()
	}
}

// wait waits for the end of a run and reads it with its plan.
func (w *world) wait(run app.Run) *result {
	w.Helper()
	w.seen[run.ID] = true
	select {
	case <-w.log.end(run.ID):
	case <-time.After(time.Minute):
		w.Fatalf("run %s does not end:\n%s", run.ID, w.log)
	}
	for { // it has ended, and is about to be put away
		if r := w.show(run.ID); r.State != "running" {
			return r
		}
		runtime.Gosched()
	}
}

func (w *world) show(run string) *result {
	w.Helper()
	r := &result{}
	after := ""
	for {
		page := call(w, app.RunShow, app.RunQuery{Ref: run, Page: app.Page{Limit: 1000, After: after}})
		r.Run, r.items, after = page.Run, append(r.items, page.Items.Items...), page.Items.Next
		if after == "" {
			return r
		}
	}
}

// sync pulls an environment and waits.
func (w *world) sync(e *environment) *result {
	w.Helper()
	return w.wait(w.begin(app.SyncInput{Environment: e.name}))
}

func (w *world) preview(e *environment) *result {
	w.Helper()
	return w.wait(w.begin(app.SyncInput{Environment: e.name, Preview: true}))
}

// allow allows a quarantined plan and waits for the run that applies it.
func (w *world) allow(r *result) *result {
	w.Helper()
	if r.State != "quarantined" || r.Hash == "" {
		w.Fatalf("nothing to allow:\n%s", r)
	}
	return w.wait(call(w, app.RunAllow, app.RunDecision{Ref: r.ID, Hash: r.Hash, Reason: "looked at it"}))
}

// complete pulls an environment, which must go well.
func (w *world) complete(e *environment) *result {
	w.Helper()
	r := w.sync(e)
	if r.State != "complete" {
		w.Fatalf("the run of %s is not complete:\n%s", e.name, r)
	}
	return r
}

// accept pulls an environment for the first time: whatever it plans is allowed.
func (w *world) accept(e *environment) *result {
	w.Helper()
	r := w.sync(e)
	if r.State == "quarantined" {
		r = w.allow(r)
	}
	if r.State != "complete" {
		w.Fatalf("the run of %s is not complete:\n%s", e.name, r)
	}
	return r
}

// settled makes sure that another pull of each environment would find nothing to do.
func (w *world) settled() {
	w.Helper()
	for _, e := range w.envs {
		r := w.preview(e)
		if r.State != "preview" || r.Drift != 0 || slices.ContainsFunc(r.items, func(i app.PlanItem) bool { return i.Outcome == "held" }) {
			w.Errorf("a second plan of %s is not empty:\n%s", e.name, r)
		}
	}
}

// rules works out who has access to an environment from the directory alone, by object id.
func (e *environment) rules() map[string]bool {
	snapshot := e.from.Snapshot()
	users, groups := map[string]entrasim.User{}, map[string]entrasim.Group{}
	for _, u := range snapshot.Users {
		users[u.ID] = u
	}
	for _, g := range snapshot.Groups {
		groups[g.ID] = g
	}
	want, seen := map[string]bool{}, map[string]bool{}
	var enter func(id string, nested bool)
	enter = func(id string, nested bool) {
		if seen[id] && nested {
			return
		}
		seen[id] = true
		for _, m := range groups[id].Members {
			if _, is := groups[m]; is && e.transitive {
				enter(m, true)
			}
			u, is := users[m]
			if !is || !u.AccountEnabled || u.Deleted() || u.UserType == entrasim.Guest && !e.guests && (nested || !e.pushed) {
				continue
			}
			want[m] = true
		}
	}
	for _, g := range e.groups {
		enter(g, false)
	}
	return want
}

// accesses reads who has active access to an environment, by object id.
func (w *world) accesses(e *environment) map[string]bool {
	w.Helper()
	got := map[string]bool{}
	w.view(func(sn *directory.Snapshot) error {
		var accounts []directory.ID
		err := sn.EnvironmentAccesses(e.id, true, directory.ID{}, func(id directory.ID) bool {
			accounts = append(accounts, id)
			return true
		})
		if err != nil {
			return err
		}
		for _, id := range accounts {
			account, err := sn.Account(id)
			if err != nil {
				return err
			}
			u, err := sn.User(w.tenants[e.tenant], account.UserID)
			if err != nil {
				return err
			}
			object := u.ObjectID.String()
			if u.ObjectID.IsZero() {
				object = "no object id: " + u.UserName
			}
			if got[object] {
				return fmt.Errorf("two accounts of %s have access to %s", object, e.name)
			}
			got[object] = true
		}
		return nil
	})
	return got
}

func (w *world) view(fn func(*directory.Snapshot) error) {
	w.Helper()
	if err := w.service().View(w.ctx, fn); err != nil {
		w.Fatal(err)
	}
}

// check compares the accesses with the rules, and what is kept of each person with the directory.
func (w *world) check() {
	w.Helper()
	for _, e := range w.envs {
		want := e.rules()
		if diff := cmp.Diff(want, w.accesses(e)); diff != "" {
			w.Errorf("environment %s (-rules +server):\n%s", e.name, diff)
		}
		w.checkPeople(e, want)
	}
	w.noDuplicates()
}

// checkPeople compares names and addresses (rule 3). Push and pull both strip the mark of a guest.
func (w *world) checkPeople(e *environment, ids map[string]bool) {
	w.Helper()
	w.view(func(sn *directory.Snapshot) error {
		for id := range ids {
			u := w.user(sn, e.tenant, id)
			person, _ := e.from.User(id)
			if u == nil || person.UserType == entrasim.Guest {
				continue
			}
			access, err := sn.Access(u.AccountID, e.id)
			if err != nil || access == nil {
				return err
			}
			if !strings.EqualFold(u.UserName, person.UserPrincipalName) || !strings.EqualFold(access.Email, person.Mail) || access.Name != person.DisplayName {
				w.Errorf("%s has %s, %s, %q of %s, %s, %q", e.name, u.UserName, access.Email, access.Name, person.UserPrincipalName, person.Mail, person.DisplayName)
			}
		}
		return nil
	})
}

// user finds the user of an object id; nil when there is none.
func (w *world) user(sn *directory.Snapshot, tenant, objectID string) *directory.User {
	w.Helper()
	object, _ := directory.ParseID(objectID)
	ids, err := sn.UsersByObjectID(w.tenants[tenant], object)
	if err != nil {
		w.Fatal(err)
	}
	if len(ids) == 0 {
		return nil
	}
	u, err := sn.User(w.tenants[tenant], ids[0])
	if err != nil {
		w.Fatal(err)
	}
	return u
}

// account is the account of a person; zero when there is none.
func (w *world) account(tenant, objectID string) (id directory.ID) {
	w.Helper()
	w.view(func(sn *directory.Snapshot) error {
		if u := w.user(sn, tenant, objectID); u != nil {
			id = u.AccountID
		}
		return nil
	})
	return id
}

// noDuplicates makes sure that nobody has two users, and no account two owners.
func (w *world) noDuplicates() {
	w.Helper()
	w.view(func(sn *directory.Snapshot) error {
		accounts := map[directory.ID]bool{}
		for name, tenant := range w.tenants {
			objects := map[directory.ID]bool{}
			err := sn.Users(tenant, directory.ID{}, 0, func(u *directory.User) bool {
				if !u.ObjectID.IsZero() && objects[u.ObjectID] {
					w.Errorf("two users of tenant %s have the object id %s", name, u.ObjectID)
				}
				if accounts[u.AccountID] {
					w.Errorf("two users share the account %s", u.AccountID)
				}
				objects[u.ObjectID], accounts[u.AccountID] = true, true
				return true
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// signIn gives everyone who has access and no session one, but no more than so many people.
func (w *world) signIn(most int) {
	w.Helper()
	for _, e := range w.envs {
		for id := range w.accesses(e) {
			if _, has := w.sign[id]; has || len(w.sign) >= most {
				continue
			}
			var hash [32]byte
			_, _ = rand.Read(hash[:])
			if _, err := w.service().CreateSession(w.ctx, operator, directory.SessionInput{AccountID: w.account(e.tenant, id), Hash: hash}); err != nil {
				w.Fatalf("%s cannot sign in: %v", id, err)
			}
			w.sign[id] = hash
		}
	}
}

func (w *world) signedIn(id string) bool {
	_, err := w.service().CheckSession(w.ctx, w.sign[id], time.Time{})
	return err == nil
}

// sessions makes sure that whoever has access still has the session, and nobody else.
func (w *world) sessions() {
	w.Helper()
	access := map[string]bool{}
	for _, e := range w.envs {
		maps.Copy(access, w.accesses(e))
	}
	for id := range w.sign {
		if is := w.signedIn(id); is != access[id] {
			w.Errorf("%s: has access %t, has a session %t", id, access[id], is)
		}
		if !access[id] {
			delete(w.sign, id)
		}
	}
}

// picture is who has access to what.
func (w *world) picture() map[string]map[string]bool {
	w.Helper()
	all := map[string]map[string]bool{}
	for _, e := range w.envs {
		all[e.name] = w.accesses(e)
	}
	return all
}

// same makes sure that no access and no session has changed since a picture was taken.
func (w *world) same(before map[string]map[string]bool) {
	w.Helper()
	if diff := cmp.Diff(before, w.picture()); diff != "" {
		w.Errorf("accesses changed (-before +after):\n%s", diff)
	}
	w.sessions()
}

// kept makes sure that whoever had access, and has it by the rules still, did not lose it.
func (w *world) kept(before map[string]map[string]bool) {
	w.Helper()
	for _, e := range w.envs {
		now, want := w.accesses(e), e.rules()
		for id := range before[e.name] {
			if want[id] && !now[id] {
				person, _ := e.from.User(id)
				w.Errorf("%s (%s) has lost the access to %s", id, person.DisplayName, e.name)
			}
			if _, has := w.sign[id]; has && want[id] && !w.signedIn(id) {
				w.Errorf("the session of %s has ended", id)
			}
		}
	}
}

// aToken is how each token of the simulation begins: {"typ":"JWT" in base64.
const aToken = "eyJ0eXAiOiJKV1Qi"

// nothingShown looks for secrets and tokens in everything that is logged or kept in the clear.
func (w *world) nothingShown() {
	w.Helper()
	file, err := os.ReadFile(filepath.Join(w.config.Data, "bizzscim.db"))
	if err != nil {
		w.Fatal(err)
	}
	for _, secret := range w.hidden {
		if strings.Contains(w.log.String(), secret) {
			w.Errorf("the log shows a secret")
		}
		if bytes.Contains(file, []byte(secret)) {
			w.Errorf("the data folder shows a secret")
		}
	}
	if strings.Contains(w.log.String(), aToken) || bytes.Contains(file, []byte(aToken)) {
		w.Errorf("a token is shown")
	}
}

// said makes sure that nothing secret is in a run, the provisioning log or the audit log.
func (w *world) said(r *result) {
	w.Helper()
	var all strings.Builder
	fmt.Fprintf(&all, "%+v %+v", r.Run, r.items)
	fmt.Fprint(&all, r)
	w.view(func(sn *directory.Snapshot) error {
		for _, tenant := range w.tenants {
			if err := sn.Log(tenant, 0, false, func(e *directory.LogEvent) bool {
				fmt.Fprintf(&all, "%+v\n", e)
				return true
			}); err != nil {
				return err
			}
		}
		return sn.Audit(0, func(e *directory.AuditEntry) bool {
			fmt.Fprintf(&all, "%+v %s\n", e, e.Detail)
			return true
		})
	})
	for _, secret := range append(slices.Clone(w.hidden), aToken) {
		if strings.Contains(all.String(), secret) {
			w.Errorf("a secret is shown in a run or a log")
		}
	}
}

// failed makes sure that a run ended with nothing concluded, and says why.
func (w *world) failed(r *result, class pull.Class, says ...string) {
	w.Helper()
	state := "failed"
	if class == pull.ScopeMissing {
		state = "quarantined"
	}
	if r.State != state || r.Error == nil || r.Error.Class != string(class) || r.Error.Detail == "" {
		w.Fatalf("the run is not %s with class %s:\n%s", state, class, r)
	}
	for _, text := range says {
		if !strings.Contains(r.Error.Detail+r.Error.Code, text) {
			w.Errorf("the run does not say %q: %+v", text, r.Error)
		}
	}
	if r.Counts.Applied > 0 || len(r.items) > 0 {
		w.Errorf("a run that failed has a plan:\n%s", r)
	}
	w.said(r)
}

// patch is one PATCH of push, that no directory asked for.
func (w *world) patch(tenant, path, operation string) {
	w.Helper()
	body := `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + operation + `]}`
	req, err := http.NewRequestWithContext(w.ctx, http.MethodPatch, w.server.URL()+"/scim/"+tenant+"/v2"+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	req.Header.Set("Content-Type", "application/scim+json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if res.StatusCode >= http.StatusBadRequest {
		w.Fatalf("PATCH %s: status %d", path, res.StatusCode)
	}
}
