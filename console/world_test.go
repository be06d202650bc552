package console_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/console"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/entrasim"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/store/bolt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var operator = directory.Actor{Role: directory.RoleOperator, Channel: "cli", ID: "operator"}

// world is a console on a real store, before a simulated directory, behind TLS.
type world struct {
	testing.TB
	svc      *directory.Service
	store    *failingStore
	sessions *auth.Sessions
	signIn   *failingSignIn
	local    *auth.Local
	console  *console.Console
	server   *httptest.Server
	clock    *clock
	mails    *mails
	limit    atomic.Pointer[time.Duration] // nil: everybody may try
	logged   *lines

	entra  *entrasim.Tenant
	graph  *entrasim.Graph
	app    *entrasim.App
	tenant *directory.Tenant
	env    *directory.Environment
	group  *directory.Group
	users  map[string]*directory.User // by given name
	people map[string]entrasim.User
}

type clock struct {
	mu  sync.Mutex
	off time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.off)
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off += d
}

type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// failingStore fails when told to.
type failingStore struct {
	directory.Store
	views, updates atomic.Bool
}

var errStore = errors.New("the disk is gone")

func (s *failingStore) View(ctx context.Context, fn func(directory.Reader) error) error {
	if s.views.Load() {
		return errStore
	}
	return s.Store.View(ctx, fn)
}

func (s *failingStore) Update(ctx context.Context, fn func(directory.Writer) error) error {
	if s.updates.Load() {
		return errStore
	}
	return s.Store.Update(ctx, fn)
}

// failingSignIn cannot ask the directory where to sign out of it, when told so.
type failingSignIn struct {
	*auth.SignIn
	logout atomic.Bool
}

var errDirectory = errors.New("the directory does not answer")

func (s *failingSignIn) LogoutURL(ctx context.Context, session *directory.Session, returnTo string) (string, error) {
	if s.logout.Load() {
		return "", errDirectory
	}
	return s.SignIn.LogoutURL(ctx, session, returnTo)
}

// noPulls is a server that has never pulled.
type noPulls struct{ desk.Pull }

func (noPulls) Status(context.Context) ([]pull.Status, error) { return nil, nil }

// mails keeps what was sent.
type mails struct{ sent chan auth.ResetMail }

func (m *mails) SendReset(_ context.Context, mail auth.ResetMail) error {
	m.sent <- mail
	return nil
}

// seal and unseal stand for the vault: they bind a text to its place.
func seal(plain []byte, place string) (string, error) {
	return base64.RawURLEncoding.EncodeToString(append([]byte(place+"\x00"), plain...)), nil
}

func unseal(sealed, place string) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	rest, ok := bytes.CutPrefix(b, []byte(place+"\x00"))
	if err != nil || !ok {
		return nil, errors.New("not sealed here")
	}
	return rest, nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newWorld(t testing.TB) *world {
	t.Helper()
	file := must(bolt.Open(filepath.Join(t.TempDir(), "console.db"), bolt.Options{}))
	t.Cleanup(func() {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{TB: t, store: &failingStore{Store: file}, clock: &clock{}, logged: &lines{}, mails: &mails{make(chan auth.ResetMail, 8)},
		users: map[string]*directory.User{}, people: map[string]entrasim.User{}}
	log := slog.New(slog.NewTextHandler(w.logged, nil))
	var ids atomic.Uint64
	newID := func() (id directory.ID) {
		id[0], id[6] = 1, 0x70
		binary.BigEndian.PutUint64(id[8:], 1<<63|ids.Add(1))
		return id
	}
	w.svc = directory.New(w.store, directory.Options{Now: w.clock.Now, NewID: newID, Normalize: func(s string) string { return s },
		Limits: directory.Limits{SessionIdle: 30 * time.Minute}})
	w.sessions = auth.NewSessions(w.svc, "")
	must(w.sessions.Resume(t.Context()))

	mux := http.NewServeMux()
	w.server = httptest.NewUnstartedServer(mux)
	w.server.Config.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelInfo)
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	w.entra = entrasim.New(entrasim.Options{Seed: 1})
	w.graph = must(entrasim.NewGraph(w.entra, entrasim.GraphOptions{Now: w.clock.Now}))
	calls := w.graph.Client()
	t.Cleanup(func() {
		calls.CloseIdleConnections()
		if err := w.graph.Close(); err != nil {
			t.Error(err)
		}
	})
	here := func() string { return w.server.URL }
	w.signIn = &failingSignIn{SignIn: auth.NewSignIn(auth.SignInConfig{Service: w.svc, Redirect: func() string { return w.server.URL + "/auth/callback" }, Client: calls,
		Open: func(c *directory.Credential) ([]byte, error) { return []byte(c.Sealed), nil }, Seal: seal, Unseal: unseal, Now: w.clock.Now, Log: log})}
	w.local = auth.NewLocal(auth.LocalConfig{Service: w.svc, Seal: seal, Unseal: unseal, URL: here, Mail: w.mails, Now: w.clock.Now, Log: log})
	var requests atomic.Int64
	w.console = console.New(console.Config{Desk: desk.New(desk.Config{Service: w.svc, Pull: noPulls{}, Now: w.clock.Now}), Directory: w.svc, Sessions: w.sessions, SignIn: w.signIn, Local: w.local, URL: here,
		Address: func(*http.Request) string { return "192.0.2.1" }, RequestID: func(*http.Request) string { return "request-" + strings.Repeat("0", int(requests.Add(1)%3)) + "7" },
		Limit: func(*http.Request) (time.Duration, bool) {
			if wait := w.limit.Load(); wait != nil {
				return *wait, false
			}
			return 0, true
		},
		BizzStreamURL: "https://app.bizzstream.example/", Now: w.clock.Now, Log: log})
	seen := map[string]bool{}
	for _, r := range w.console.Routes() {
		if !seen[r.Path] {
			mux.Handle(pattern(r.Path), r.Handler)
			seen[r.Path] = true
		}
	}
	mux.Handle("/", w.console.NotFound())
	answers := auth.NewHTTP(auth.HTTPConfig{Service: w.svc, Sessions: w.sessions, URL: here,
		By: func(*http.Request) directory.Actor { return directory.Actor{Channel: "console"} }, Log: log})
	t.Cleanup(answers.Close)
	mux.HandleFunc("/auth/session", answers.ServeSession)
	mux.HandleFunc("/auth/events", answers.ServeEvents)
	w.connect()
	return w
}

// pattern is a path as http.ServeMux takes it: "/" alone is the root.
func pattern(path string) string {
	if path == "/" {
		return "/{$}"
	}
	return path
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// connect makes an organization with an environment and the tenant that signs its people in.
func (w *world) connect() {
	ctx := w.Context()
	org := must(w.svc.CreateOrganization(ctx, operator, "Fjord Logistics"))
	w.env = must(w.svc.CreateEnvironment(ctx, operator, org.ID, "Production"))
	w.app = w.graph.App("")
	w.app.SignIn(entrasim.SignInSettings{RedirectURIs: []string{w.server.URL + "/auth/callback"}, PostLogoutURIs: []string{w.server.URL + "/signed-out"},
		OptionalClaims: []string{entrasim.ClaimSID, entrasim.ClaimLoginHint}})
	w.tenant = must(w.svc.CreateTenant(ctx, operator, directory.Tenant{Name: "fjord", OrganizationIDs: []directory.ID{org.ID}, DirectoryID: w.entra.ID(),
		TrustedDomains: []string{"fjord.example"}, Graph: directory.Graph{Cloud: "custom", LoginURL: strings.TrimSuffix(w.graph.LoginURL(), "/"), GraphURL: w.graph.URL()},
		SignIn: directory.SignIn{ClientID: w.app.ClientID(), Label: "Fjord Logistics", Contact: "servicedesk@fjord.example"}}))
	must(w.svc.SetCredential(ctx, operator, directory.Credential{TenantID: w.tenant.ID, Name: directory.SignInCredential, Kind: "secret",
		Sealed: w.app.NewSecret(time.Now().Add(48 * time.Hour))}))
	const group = "c0ffee00-0000-4000-8000-000000000001"
	on := true
	_, _, err := w.svc.SetIntegration(ctx, operator, w.env.ID, directory.IntegrationInput{Enabled: &on, TenantID: &w.tenant.ID, Groups: []string{group}})
	w.ok(err)
	w.group = must(w.svc.CreateGroup(ctx, push, w.tenant.ID, directory.GroupInput{DisplayName: "Synced", ExternalID: group,
		Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:Group"]`), Attributes: []byte(`{}`)}, nil))
}

var push = directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: "token"}

func userInput(name string, person entrasim.User, active bool) directory.UserInput {
	mail := strings.ToLower(person.UserPrincipalName)
	return directory.UserInput{Profile: directory.Profile{UserName: mail, ExternalID: person.ID, Name: name, Email: mail, Emails: []string{mail}, Active: active},
		SaysActive: true, Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:User"]`), Attributes: []byte(`{}`)}
}

// person hires somebody at the directory and provisions them under a name.
func (w *world) person(given, name string) entrasim.User {
	w.Helper()
	p := w.entra.Hire(entrasim.Person{GivenName: given, Surname: "Berg"})
	w.people[given] = p
	w.users[given] = must(w.svc.CreateUser(w.Context(), push, w.tenant.ID, userInput(name, p, true)))
	_, err := w.svc.UpdateGroup(w.Context(), push, w.tenant.ID, w.group.ID, func(g *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
		return directory.GroupInput{DisplayName: g.DisplayName, ExternalID: g.ExternalID, Schemas: slices.Clone(g.Schemas), Attributes: slices.Clone(g.Attributes)},
			m.Add([]directory.ID{w.users[given].ID})
	})
	w.ok(err)
	return p
}

// deactivate is what a directory does with a leaver.
func (w *world) deactivate(given string) {
	w.Helper()
	must(w.svc.UpdateUser(w.Context(), push, w.tenant.ID, w.users[given].ID, func(u *directory.User) (directory.UserInput, error) {
		return userInput(u.Name, w.people[given], false), nil
	}))
}

// localOperator makes an operator with a password.
func (w *world) localOperator(email, name, password string) *directory.Account {
	w.Helper()
	a := must(w.svc.CreateOperator(w.Context(), operator, email, name))
	link, _, err := w.local.NewLink(w.Context(), operator, directory.LinkPassword, a.ID, time.Hour)
	w.ok(err)
	must(w.local.ResetPassword(w.Context(), directory.Actor{Channel: "console", Address: "192.0.2.1"}, link, password))
	return a
}

// browser is a browser without scripts: it keeps cookies, follows nothing by itself, and says where a form comes from.
type browser struct {
	w      *world
	client *http.Client
	lang   string
}

func (w *world) browser() *browser {
	client := w.server.Client()
	copied := *client
	copied.Jar, _ = cookiejar.New(nil)
	copied.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{w: w, client: &copied, lang: "en-GB,en;q=0.9"}
}

// answer is what came of a request.
type answer struct {
	status int
	header http.Header
	body   string
	to     string // Location
}

func (b *browser) do(method, path string, form url.Values, header map[string]string) answer {
	b.w.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(b.w.Context(), method, b.w.server.URL+path, body)
	b.w.ok(err)
	r.Header.Set("Accept-Language", b.lang)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for k, v := range header {
		if v == "" {
			r.Header.Del(k)
			continue
		}
		r.Header.Set(k, v)
	}
	res, err := b.client.Do(r)
	b.w.ok(err)
	defer res.Body.Close()
	text := must(io.ReadAll(res.Body))
	return answer{res.StatusCode, res.Header, string(text), res.Header.Get("Location")}
}

func (b *browser) get(path string) answer { b.w.Helper(); return b.do("GET", path, nil, nil) }

func (b *browser) post(path string, form url.Values) answer {
	b.w.Helper()
	if form == nil {
		form = url.Values{}
	}
	return b.do("POST", path, form, nil)
}

// cookie is the value of a cookie of ours; empty: none.
func (b *browser) cookie(name string) string {
	for _, c := range b.client.Jar.Cookies(must(url.Parse(b.w.server.URL))) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// atDirectory does at the directory what it takes, and returns the path that the browser comes back to.
func (b *browser) atDirectory(address string, who entrasim.User) string {
	b.w.Helper()
	d := b.w.graph.Browser()
	defer d.Close()
	o, err := d.SignIn(b.w.Context(), address, who.ID)
	b.w.ok(err)
	if o.URL == nil {
		b.w.Fatalf("stays at the directory: %s AADSTS%d", o.Page, o.Number)
	}
	return o.URL.RequestURI()
}

// signIn signs a person in by the link of the environment, and returns the answer to the callback.
func (b *browser) signIn(given, next string) answer {
	b.w.Helper()
	path := "/login/environment/" + b.w.env.ID.String()
	if next != "" {
		path += "?next=" + url.QueryEscape(next)
	}
	begun := b.get(path)
	begun.is(b.w, http.StatusSeeOther)
	return b.get(b.atDirectory(begun.to, b.w.people[given]))
}

func (a answer) is(t testing.TB, status int, parts ...string) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d; to %q\n%s", a.status, status, a.to, a.main())
	}
	for _, part := range parts {
		if !strings.Contains(a.body, part) {
			t.Errorf("the page has no %q:\n%s", part, a.main())
		}
	}
	return a
}

// main is the page without what stands on every page.
func (a answer) main() string {
	if _, rest, ok := strings.Cut(a.body, "<main"); ok {
		rest, _, _ = strings.Cut(rest, "</main>")
		return rest
	}
	return a.body
}

func (a answer) goes(t testing.TB, to string) answer {
	t.Helper()
	if a.status != http.StatusSeeOther || a.to != to {
		t.Fatalf("status %d to %q, want 303 to %q\n%s", a.status, a.to, to, a.main())
	}
	return a
}

// onward is the address of the directory that a page goes on to by itself, whether a browser follows it or a person
// its link.
func (a answer) onward(t testing.TB) string {
	t.Helper()
	found := regexp.MustCompile(`(?s)<meta http-equiv="refresh" content="0; url=([^"]+)">\s*</head>.*<a class="button wide" href="([^"]+)">Continue</a>`).FindStringSubmatch(a.body)
	if a.status != http.StatusOK || a.to != "" || found == nil || found[1] != found[2] {
		t.Fatalf("status %d to %q leads nowhere: %q\n%s", a.status, a.to, found, a.body)
	}
	if strings.Contains(a.main(), "<form") {
		t.Errorf("the page has a form:\n%s", a.main())
	}
	return html.UnescapeString(found[1])
}

func (a answer) lacks(t testing.TB, parts ...string) answer {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(a.body, part) {
			t.Errorf("the page has %q:\n%s", part, a.main())
		}
	}
	return a
}

// hidden is the value of a hidden field.
func (a answer) hidden(t testing.TB, name string) string {
	t.Helper()
	found := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(a.body)
	if found == nil {
		t.Fatalf("no hidden field %q:\n%s", name, a.body)
	}
	return found[1]
}
