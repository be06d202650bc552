package scim_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/text/unicode/norm"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
	"github.com/bizzstream/bizzscim/store/bolt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patchOp   = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	errorURN  = "urn:ietf:params:scim:api:messages:2.0:Error"
	listURN   = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	fjordURN  = "urn:example:params:scim:schemas:extension:fjord:2.0:User"
	unknownID = "01234567-89ab-7def-8123-456789abcdef" // of nothing, in any test
)

// server is the SCIM endpoint as a process serves it, on a real file and with a clock that stands
// still unless it is moved.
type server struct {
	*testing.T
	clock  *clock
	path   string // of the store's file
	store  *store
	svc    *directory.Service
	client *http.Client
	url    string
	log    *buffer // what went to slog
	ids    atomic.Uint64
	names  atomic.Uint64
}

type option func(*scim.Config)

// newServer starts a server that ends with the test.
func newServer(t *testing.T, options ...option) *server {
	t.Helper()
	path := filepath.Join(t.TempDir(), "scim.db")
	file, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return newServerOn(t, file, path, options...)
}

// newServerOn starts a server on a store, which it closes; path is of its file, where it has one.
func newServerOn(t *testing.T, file directory.Store, path string, options ...option) *server {
	t.Helper()
	s := &server{T: t, clock: newClock(), path: path, log: &buffer{}}
	s.store = &store{Store: file}
	s.svc = directory.New(s.store, directory.Options{Now: s.clock.Now, NewID: s.newID, Normalize: norm.NFC.String})
	bearer := auth.NewBearer(s.svc, s.clock.Now)
	sessions := auth.NewSessions(s.svc, "")
	s.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	config := scim.Config{Service: s.svc, Auth: bearer, Clients: auth.NewClients(s.svc, s.clock.Now, s.client), Now: s.clock.Now,
		People:    auth.Persons{Sessions: sessions, Bearer: bearer},
		RequestID: func(r *http.Request) string { return r.Header.Get("X-Request-Id") },
		Limits:    scim.Limits{RequestsPerSecond: directory.MaxRequestsPerSecond, Burst: directory.MaxRequestsPerSecond}, // the clock stands still
		Log:       slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, set := range options {
		set(&config)
	}
	handler := scim.NewHandler(config)

	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	report := func(err error) { config.Log.Error("background", "error", err) }
	running.Go(func() { handler.Run(ctx, report) })
	running.Go(func() { bearer.Run(ctx, report) })
	web := httptest.NewUnstartedServer(handler)
	web.Config.ErrorLog = slog.NewLogLogger(slog.NewJSONHandler(s.log, nil), slog.LevelError)
	web.Start()
	s.url = web.URL
	t.Cleanup(func() {
		web.Close()
		s.client.CloseIdleConnections()
		stop()
		running.Wait()
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *server) newID() (id directory.ID) {
	n := s.ids.Add(1)
	id[0], id[6], id[8] = 1, 0x70, 0x80
	binary.BigEndian.PutUint64(id[8:], 1<<63|n)
	return id
}

// unique makes a name that no other resource of the test has.
func (s *server) unique(prefix string) string { return fmt.Sprintf("%s%d", prefix, s.names.Add(1)) }

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

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// store is a directory.Store that fails on demand and spoils what it lent out as soon as the
// contract lets it, so that nothing is used behind the end of a transaction unseen.
type store struct {
	directory.Store
	failRead, failWrite atomic.Pointer[error]
	failCommit          atomic.Pointer[error]
	views               atomic.Int64                              // after which reads fail; 0: no limit
	rows                atomic.Int64                              // read by scans so far
	scan                atomic.Pointer[func(table string) func()] // called as a scan begins; what it returns, as it ends
}

func (s *store) fail(reads, writes error) {
	set := func(p *atomic.Pointer[error], err error) {
		if err == nil {
			p.Store(nil)
		} else {
			p.Store(&err)
		}
	}
	set(&s.failRead, reads)
	set(&s.failWrite, writes)
}

func (s *store) View(ctx context.Context, fn func(directory.Reader) error) error {
	if err := s.failRead.Load(); err != nil {
		return *err
	}
	if s.views.Load() > 0 && s.views.Add(-1) == 0 {
		defer s.fail(errDisk, nil)
	}
	return s.Store.View(ctx, func(r directory.Reader) error {
		l := &lender{Reader: r, store: s}
		defer l.spoil()
		return fn(l)
	})
}

func (s *store) Update(ctx context.Context, fn func(directory.Writer) error) error {
	if err := s.failWrite.Load(); err != nil {
		return *err
	}
	return s.Store.Update(ctx, func(w directory.Writer) error {
		l := &lendingWriter{lender: lender{Reader: w, store: s}, w: w}
		defer l.spoil()
		if err := fn(l); err != nil {
			return err
		}
		if err := s.failCommit.Load(); err != nil {
			return *err // all writes are made, and none is kept
		}
		return nil
	})
}

type lender struct {
	directory.Reader
	store *store
	lent  [][]byte
}

func (l *lender) lend(b []byte) []byte {
	if b != nil {
		b = append(make([]byte, 0, len(b)), b...)
		l.lent = append(l.lent, b)
	}
	return b
}

func (l *lender) spoil() {
	for _, b := range l.lent {
		for i := range b {
			b[i] = 0xdb
		}
	}
	l.lent = nil
}

func (l *lender) Get(t *directory.Table, key []byte) ([]byte, error) {
	v, err := l.Reader.Get(t, key)
	return l.lend(v), err
}

func (l *lender) Scan(t *directory.Table, r directory.Range, fn func(key, value []byte) bool) error {
	if scan := l.store.scan.Load(); scan != nil {
		defer (*scan)(t.Name)()
	}
	return l.Reader.Scan(t, r, func(k, v []byte) bool {
		l.store.rows.Add(1)
		return fn(l.lend(k), l.lend(v))
	})
}

type lendingWriter struct {
	lender
	w directory.Writer
}

func (l *lendingWriter) Insert(t *directory.Table, key, value []byte) error {
	defer l.spoil()
	return l.w.Insert(t, key, value)
}

func (l *lendingWriter) Put(t *directory.Table, key, value []byte) error {
	defer l.spoil()
	return l.w.Put(t, key, value)
}

func (l *lendingWriter) Delete(t *directory.Table, key []byte) error {
	defer l.spoil()
	return l.w.Delete(t, key)
}

func (l *lendingWriter) NextSequence(t *directory.Table) (uint64, error) { return l.w.NextSequence(t) }

// operator is who sets things up.
var operator = directory.Actor{Role: directory.RoleOperator, Channel: "cli", ID: "operator"}

// must gives the value of a step that a test cannot go on without.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// tenant is one directory that pushes, with its Secret Token.
type tenant struct {
	*server
	id    directory.ID
	name  string
	token string

	inBulk bool // writes go out as the operation of a bulk, after another one
}

func (s *server) tenant(name string, settings ...func(*directory.Tenant)) *tenant {
	s.Helper()
	record := directory.Tenant{Name: name}
	for _, set := range settings {
		set(&record)
	}
	id := must(s.svc.CreateTenant(s.Context(), operator, record)).ID
	secret := auth.NewSecret()
	must(s.svc.CreateToken(s.Context(), operator, id, directory.NewToken{Hash: secret.Hash, Hint: secret.Hint}))
	return &tenant{server: s, id: id, name: name, token: secret.Text}
}

// set changes the tenant's settings.
func (t *tenant) set(fn func(*directory.Tenant)) {
	t.Helper()
	must(t.svc.SetTenant(t.Context(), operator, t.id, func(r *directory.Tenant) error { fn(r); return nil }))
}

func scimOptions(o directory.SCIMOptions) func(*directory.Tenant) {
	return func(t *directory.Tenant) { t.SCIM = o }
}

// environment makes an environment that syncs the groups with these object ids.
func (t *tenant) environment(name string, groups ...string) directory.ID {
	t.Helper()
	org := must(t.svc.CreateOrganization(t.Context(), operator, t.unique("org "+name+" ")))
	t.set(func(r *directory.Tenant) { r.OrganizationIDs = append(r.OrganizationIDs, org.ID) })
	env := must(t.svc.CreateEnvironment(t.Context(), operator, org.ID, name))
	on := true
	_, _, err := t.svc.SetIntegration(t.Context(), operator, env.ID, directory.IntegrationInput{Enabled: &on, TenantID: &t.id, Groups: groups, DefaultMenus: []string{"Main"}})
	if err != nil {
		t.Fatal(err)
	}
	return env.ID
}

// answer is what came back.
type answer struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	body   []byte
	doc    any
}

// raw is a body that goes out as it is; anything else is sent as JSON.
type raw string

// unannounced is a body whose length the request does not say.
type unannounced struct{ io.Reader }

// request sends a request. path starts behind the Tenant URL, or with the root when it begins with
// "/scim/". Headers are name, value pairs; an empty value removes the header.
func (t *tenant) request(method, path string, body any, headers ...string) *answer {
	t.Helper()
	return t.requestAs(t.TB(), method, path, body, headers...)
}

// TB is the test that the tenant belongs to.
func (s *server) TB() testing.TB { return s.T }

func (t *tenant) requestAs(tb testing.TB, method, path string, body any, headers ...string) *answer {
	tb.Helper()
	if t.inBulk && method != http.MethodGet {
		return t.requestInBulk(tb, method, path, body)
	}
	if !strings.HasPrefix(path, "/scim/") {
		path = "/scim/" + t.name + "/v2" + path
	}
	headers = append([]string{"Authorization", "Bearer " + t.token}, headers...)
	if body != nil {
		headers = append([]string{"Content-Type", "application/scim+json; charset=utf-8"}, headers...)
	}
	a := t.send(tb, method, path, body, headers...)
	a.wire()
	return a
}

// send sends a request as it is written.
func (s *server) send(tb testing.TB, method, path string, body any, headers ...string) *answer {
	tb.Helper()
	var reader io.Reader
	switch body := body.(type) {
	case nil:
	case raw:
		reader = strings.NewReader(string(body))
	case unannounced:
		reader = body
	default:
		reader = bytes.NewReader(must(json.Marshal(body)))
	}
	u, err := url.Parse(s.url + path)
	if err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
	req := must(http.NewRequestWithContext(context.Background(), method, s.url, reader))
	req.URL = u
	for i := 0; i < len(headers); i += 2 {
		switch name := http.CanonicalHeaderKey(headers[i]); {
		case headers[i+1] == "":
			req.Header.Del(name)
		case name == "Authorization" || name == "Content-Type":
			req.Header[name] = []string{headers[i+1]}
		default:
			req.Header.Add(name, headers[i+1])
		}
	}
	return s.exchange(tb, req)
}

func (s *server) exchange(tb testing.TB, req *http.Request) *answer {
	tb.Helper()
	what := req.Method + " " + req.URL.RequestURI()
	if len(what) > 200 {
		what = what[:200] + "..."
	}
	resp, err := s.client.Do(req)
	if err != nil {
		tb.Fatalf("%s: %v", what, err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatalf("%s: %v", what, err)
	}
	a := &answer{t: tb, what: what, status: resp.StatusCode, header: resp.Header, body: content}
	if len(content) > 0 {
		d := json.NewDecoder(bytes.NewReader(content))
		d.UseNumber()
		if err := d.Decode(&a.doc); err != nil {
			tb.Errorf("%s: the body is not JSON: %v\n%s", what, err, content)
		}
	}
	return a
}

func (a *answer) errorf(format string, args ...any) {
	a.t.Helper()
	body := a.body
	if len(body) > 1000 {
		body = append(body[:1000:1000], "..."...)
	}
	a.t.Errorf("%s: %s\n%d %s", a.what, fmt.Sprintf(format, args...), a.status, body)
}

// wire checks what holds for every answer of the SCIM endpoint.
func (a *answer) wire() {
	a.t.Helper()
	if a.status >= 300 && a.status < 400 && a.status != http.StatusNotModified || a.header.Get("Location") != "" && a.status >= 300 && a.status < 400 && a.status != http.StatusNotModified {
		a.errorf("a redirect")
	}
	if len(a.body) == 0 {
		return
	}
	if got := a.header["Content-Type"]; len(got) != 1 || got[0] != "application/scim+json" {
		a.errorf("Content-Type is %q", got)
	}
	if at := findNull(a.doc, ""); at != "" {
		a.errorf("%s is null", at)
	}
	doc, _ := a.doc.(map[string]any)
	if list, _ := doc["schemas"].([]any); len(list) == 0 {
		a.errorf("no schemas")
	}
	if a.status < 400 {
		return
	}
	if got := fmt.Sprint(doc["schemas"]); got != "["+errorURN+"]" {
		a.errorf("schemas of an error are %s", got)
	}
	if doc["status"] != strconv.Itoa(a.status) {
		a.errorf("status is %v", doc["status"])
	}
	if detail, _ := doc["detail"].(string); detail == "" {
		a.errorf("no detail")
	}
	for name := range doc {
		if !slices.Contains([]string{"schemas", "status", "scimType", "detail"}, name) {
			a.errorf("an error has the member %s", name)
		}
	}
	if a.status == http.StatusUnauthorized && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") {
		a.errorf("WWW-Authenticate is %q", a.header.Get("WWW-Authenticate"))
	}
}

func findNull(v any, at string) string {
	switch v := v.(type) {
	case nil:
		return at + " "
	case map[string]any:
		for name, inner := range v {
			if found := findNull(inner, at+"/"+name); found != "" {
				return found
			}
		}
	case []any:
		for i, inner := range v {
			if found := findNull(inner, fmt.Sprintf("%s/%d", at, i)); found != "" {
				return found
			}
		}
	}
	return ""
}

// want checks the status, and the scimType of an error ("" for none).
func (a *answer) want(status int, scimType ...string) *answer {
	a.t.Helper()
	if a.status != status {
		a.errorf("status is not %d", status)
	}
	if len(scimType) > 0 {
		a.is(scimType[0], "scimType")
	}
	return a
}

// at finds a part of the body: a string is the name of a member, an int the number of an element.
// What is not there is nil.
func (a *answer) at(path ...any) any {
	v := a.doc
	for _, p := range path {
		switch p := p.(type) {
		case string:
			object, _ := v.(map[string]any)
			v = object[p]
		case int:
			list, _ := v.([]any)
			if p >= len(list) {
				return nil
			}
			v = list[p]
		}
	}
	return v
}

func (a *answer) text(path ...any) string {
	switch v := a.at(path...).(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		return string(must(json.Marshal(v)))
	}
}

func (a *answer) id() string { return a.text("id") }

func (a *answer) len(path ...any) int {
	list, _ := a.at(path...).([]any)
	return len(list)
}

// is checks one fact. want is the text of a string, or the JSON of anything else; "" for absent.
func (a *answer) is(want string, path ...any) {
	a.t.Helper()
	if got := a.text(path...); got != want {
		a.errorf("%v is %q, want %q", path, got, want)
	}
}

func (a *answer) hasHeader(name, want string) {
	a.t.Helper()
	if got := a.header.Get(name); got != want {
		a.errorf("%s is %q, want %q", name, got, want)
	}
}

// values collects one member of every element of a list, sorted.
func (a *answer) values(name string, path ...any) []string {
	list, _ := a.at(path...).([]any)
	out := []string{}
	for _, e := range list {
		object, _ := e.(map[string]any)
		out = append(out, fmt.Sprint(object[name]))
	}
	slices.Sort(out)
	return out
}

// Short forms of the requests that nearly every test makes.

type object = map[string]any

func op(verb, path string, value ...any) object {
	o := object{"op": verb}
	if path != "" {
		o["path"] = path
	}
	if len(value) > 0 {
		o["value"] = value[0]
	}
	return o
}

func patch(ops ...object) object {
	return object{"schemas": []string{patchOp}, "Operations": append([]object{}, ops...)}
}

func members(ids ...string) []object {
	list := []object{}
	for _, id := range ids {
		list = append(list, object{"value": id})
	}
	return list
}

func userBody(userName string, more ...object) object {
	o := object{"schemas": []string{scim.UserURN}, "userName": userName}
	for _, m := range more {
		maps.Copy(o, m)
	}
	return o
}

func groupBody(name string, more ...object) object {
	o := object{"schemas": []string{scim.GroupURN}, "displayName": name}
	for _, m := range more {
		maps.Copy(o, m)
	}
	return o
}

func (t *tenant) user(userName string, more ...object) string {
	t.Helper()
	return t.request("POST", "/Users", userBody(userName, more...)).want(201).id()
}

func (t *tenant) group(name, externalID string, ids ...string) string {
	t.Helper()
	body := groupBody(name)
	if externalID != "" {
		body["externalId"] = externalID
	}
	if len(ids) > 0 {
		body["members"] = members(ids...)
	}
	return t.request("POST", "/Groups", body).want(201).id()
}

// people makes n users behind the endpoint's back and returns their ids, in order, and names.
func (t *tenant) people(n int) (ids, names []string) {
	t.Helper()
	push := directory.Actor{Role: directory.RoleDirectory, Channel: "scim"}
	made := make([]*directory.User, n)
	var wg sync.WaitGroup
	for worker := range 32 {
		wg.Go(func() {
			for i := worker; i < n; i += 32 {
				name := fmt.Sprintf("member%04d", i)
				made[i] = must(t.svc.CreateUser(context.Background(), push, t.id, directory.UserInput{Profile: directory.Profile{UserName: name, Name: name, Active: true},
					Schemas: []byte(`["` + scim.UserURN + `"]`), Attributes: []byte(`{"userName":"` + name + `","active":true}`)}))
			}
		})
	}
	wg.Wait()
	slices.SortFunc(made, func(a, b *directory.User) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for _, u := range made {
		ids, names = append(ids, u.ID.String()), append(names, u.UserName)
	}
	return ids, names
}

func (t *tenant) get(path string) *answer {
	t.Helper()
	return t.request("GET", path, nil).want(200)
}

func (t *tenant) patch(path string, ops ...object) *answer {
	t.Helper()
	return t.request("PATCH", path, patch(ops...))
}

func filtered(resource, filter string) string {
	return resource + "?filter=" + url.QueryEscape(filter)
}

// members lists the ids of a group's members as the group shows them.
func (t *tenant) members(group string) []string {
	t.Helper()
	return t.get("/Groups/"+group).values("value", "members")
}

// What the store holds.

// dump is its content: table and key -> value.
func (s *server) dump() map[string]string {
	s.Helper()
	all := map[string]string{}
	err := s.store.Store.View(context.Background(), func(r directory.Reader) error {
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
		s.Fatal(err)
	}
	return all
}

func (s *server) view(fn func(*directory.Snapshot) error) {
	s.Helper()
	if err := s.svc.View(context.Background(), fn); err != nil {
		s.Fatal(err)
	}
}

// lines returns the provisioning log of a tenant, oldest first.
func (t *tenant) lines() (all []*directory.LogEvent) {
	t.Helper()
	t.view(func(sn *directory.Snapshot) error {
		return sn.Log(t.id, 0, false, func(e *directory.LogEvent) bool {
			all = append(all, e)
			return true
		})
	})
	return all
}

// waitLines waits until the log has n lines: those of failures are written behind the answer.
func (t *tenant) waitLines(n int) []*directory.LogEvent {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		all := t.lines()
		if len(all) >= n {
			return all
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log has %d lines, want %d", len(all), n)
		}
	}
}

// parse reads an id that an answer gave.
func parse(id string) directory.ID {
	parsed, ok := directory.ParseID(id)
	if !ok {
		panic("not an id: " + id)
	}
	return parsed
}

// account is the BizzStream account behind a user.
func (t *tenant) account(user string) (a *directory.Account) {
	t.Helper()
	t.view(func(sn *directory.Snapshot) error {
		u, err := sn.User(t.id, parse(user))
		if err == nil {
			a, err = sn.Account(u.AccountID)
		}
		return err
	})
	return a
}

// access tells an access in a word: none, active or inactive.
func (s *server) access(account, env directory.ID) (state string) {
	s.Helper()
	s.view(func(sn *directory.Snapshot) error {
		switch a, err := sn.Access(account, env); {
		case err != nil:
			return err
		case a == nil:
			state = "none"
		case a.Active:
			state = "active"
		default:
			state = "inactive"
		}
		return nil
	})
	return state
}

// signIn makes a session and returns its hash.
func (s *server) signIn(account directory.ID) (hash [32]byte) {
	s.Helper()
	hash = auth.NewSecret().Hash
	if _, err := s.svc.CreateSession(context.Background(), operator, directory.SessionInput{AccountID: account, Hash: hash}); err != nil {
		s.Fatalf("CreateSession: %v", err)
	}
	return hash
}

func (s *server) signedIn(hash [32]byte) bool {
	s.Helper()
	_, err := s.svc.CheckSession(context.Background(), hash, time.Time{})
	if err != nil && directory.KindOf(err) != directory.Unauthorized {
		s.Fatalf("CheckSession: %v", err)
	}
	return err == nil
}

var errDisk = errors.New("write /srv/bizzscim/scim.db: input/output error")

// extension is a schema of a tenant's own: as an administrator hands it in.
const extension = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Schema"],"id":"` + fjordURN + `","name":"Fjord","attributes":[
	{"name":"berth","type":"string"},
	{"name":"badge","type":"string","mutability":"immutable"},
	{"name":"crewCodes","type":"string","multiValued":true}]}`

func withExtension(t *directory.Tenant) {
	t.SCIM.Extensions = []json.RawMessage{json.RawMessage(extension)}
}
