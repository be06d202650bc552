package app

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/entrasim"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// answer is an answer of the server to a browser or a program.
type answer struct {
	status int
	header http.Header
	body   string
	set    []*http.Cookie // that the browser keeps
}

// cookie is one that the browser was given.
func (p answer) cookie(t *testing.T, name string) *http.Cookie {
	t.Helper()
	i := slices.IndexFunc(p.set, func(c *http.Cookie) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("%d without the cookie %s: %s", p.status, name, p.body)
	}
	return p.set[i]
}

// open sends one request as it is and follows nothing. Cookies are named one by one: no jar would send Secure ones in the
// clear, as the proxy before a server does.
func (r *running) open(req *http.Request, cookies ...*http.Cookie) answer {
	r.t.Helper()
	for _, c := range cookies {
		req.AddCookie(c)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	live := slices.DeleteFunc(resp.Cookies(), func(c *http.Cookie) bool { return c.MaxAge < 0 })
	return answer{resp.StatusCode, resp.Header, string(body), live}
}

func (r *running) request(method, path string, body io.Reader) *http.Request {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://"+r.Addr().String()+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	return req
}

func (r *running) visit(path string, cookies ...*http.Cookie) answer {
	r.t.Helper()
	return r.open(r.request(http.MethodGet, path, nil), cookies...)
}

// form is a form of a page of ours, as a browser sends it.
func (r *running) form(path string, fields url.Values) *http.Request {
	r.t.Helper()
	req := r.request(http.MethodPost, path, strings.NewReader(fields.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return req
}

// signedIn makes a session of an account and returns its cookie.
func (r *running) signedIn(account directory.ID) *http.Cookie {
	r.t.Helper()
	secret := auth.NewSessionSecret()
	in := directory.SessionInput{AccountID: account, Hash: secret.Hash, SignedIn: directory.SignedIn{Method: directory.MethodPassword}}
	if _, err := r.Service().CreateSession(r.t.Context(), visitor, in); err != nil {
		r.t.Fatal(err)
	}
	return &http.Cookie{Name: auth.SessionCookie, Value: secret.Text, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// whoIs is what /auth/session answers.
type whoIs struct {
	status   int
	Reason   string
	UserName string
	Roles    struct {
		Operator bool
	}
	Environments []struct {
		Name string
	}
	Session struct {
		Created, ExpiresAt time.Time
	}
}

func (r *running) whoIs(cookie *http.Cookie) (who whoIs) {
	r.t.Helper()
	p := r.visit("/auth/session", cookie)
	if err := json.Unmarshal([]byte(p.body), &who); err != nil {
		r.t.Fatalf("%d %q: %v", p.status, p.body, err)
	}
	who.status = p.status
	return who
}

// synced is a data folder in which people of a tenant have access to Production, and nobody to Finance.
type synced struct {
	dir                 string
	production, finance string
	account             directory.ID // of one of the people
}

func newSynced(t *testing.T) *synced {
	t.Helper()
	s, p := &synced{dir: t.TempDir()}, newPulled()
	c, err := Connect(t.Context(), Config{Data: s.dir}, p.options())
	if err != nil {
		t.Fatal(err)
	}
	p.join(t, c)
	allowed(t, c)
	s.production = must(t, c, EnvironmentShow, RefInput{"Production"}).ID
	s.finance = must(t, c, EnvironmentCreate, EnvironmentInput{"Acme", "Finance"}).ID
	people := must(t, c, AccessList, AccessFilter{Environment: "Production"}).Items
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	var ok bool
	if len(people) > 0 {
		s.account, ok = directory.ParseID(people[0].Account.ID)
	}
	if !ok {
		t.Fatalf("nobody has access: %+v", people)
	}
	return s
}

const publicURL = "https://id.example.com"

func (s *synced) config(proxies ...string) Config {
	return Config{Data: s.dir, BaseURL: publicURL, TrustedProxies: proxies, Upstreams: []Upstream{
		{Name: "orders", Audience: "https://orders.example", Environment: s.production},
		{Name: "ledger", Audience: "https://ledger.example", Environment: s.finance},
		{Name: "portal", Audience: "https://portal.example"},
	}}
}

// TestProxiesAloneVerify: who may ask for assertions is told by the other end of the connection, and by nothing that a
// request says.
func TestProxiesAloneVerify(t *testing.T) {
	s := newSynced(t)
	for name, tt := range map[string]struct {
		proxies []string
		may     bool
	}{
		"no proxies":    {nil, false},
		"another proxy": {[]string{"127.0.0.2"}, false},
		"this proxy":    {[]string{"127.0.0.1"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, s.config(tt.proxies...), Options{})
			cookie := r.signedIn(s.account)
			for _, from := range []string{"", "127.0.0.1", "127.0.0.2", "203.0.113.9", "203.0.113.9, 127.0.0.1"} {
				ask := func(upstream string, cookies ...*http.Cookie) answer {
					req := r.request(http.MethodGet, "/auth/verify/"+upstream, nil)
					if from != "" {
						req.Header.Set("X-Forwarded-For", from)
					}
					return r.open(req, cookies...)
				}
				if !tt.may {
					for _, upstream := range []string{"orders", "ledger", "portal", "nothing"} {
						if p := ask(upstream, cookie); p.status != http.StatusForbidden || p.header.Get(auth.AssertionHeader) != "" || !strings.Contains(p.body, "only a reverse proxy") {
							t.Errorf("X-Forwarded-For %q, %s: %d %s", from, upstream, p.status, p.body)
						}
					}
					continue
				}
				r.asserts(ask("orders", cookie), "https://orders.example", s.account, s.production)
				r.asserts(ask("portal", cookie), "https://portal.example", s.account, "")
				if p := ask("ledger", cookie); p.status != http.StatusForbidden || p.header.Get(auth.AssertionHeader) != "" || !strings.Contains(p.body, "no active access") {
					t.Errorf("X-Forwarded-For %q, an environment without access: %d %s", from, p.status, p.body)
				}
				if p := ask("nothing", cookie); p.status != http.StatusForbidden || !strings.Contains(p.body, "no such application") {
					t.Errorf("X-Forwarded-For %q, an unknown application: %d %s", from, p.status, p.body)
				}
				if p := ask("orders"); p.status != http.StatusUnauthorized || p.header.Get(auth.AssertionHeader) != "" {
					t.Errorf("X-Forwarded-For %q, nobody: %d %s", from, p.status, p.body)
				}
			}
			if err := r.Close(context.Background()); err != nil { // the next server has the same data
				t.Fatal(err)
			}
		})
	}
}

// asserts verifies an assertion as an upstream does: with the published keys, and by its claims.
func (r *running) asserts(p answer, audience string, account directory.ID, environment string) {
	r.t.Helper()
	if p.status != http.StatusOK {
		r.t.Errorf("%s: %d %s", audience, p.status, p.body)
		return
	}
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(r.visit("/.well-known/jwks.json").body), &keys); err != nil {
		r.t.Fatal(err)
	}
	signed, err := jose.ParseSignedCompact(p.header.Get(auth.AssertionHeader), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		r.t.Fatal(err)
	}
	found := keys.Key(signed.Signatures[0].Header.KeyID)
	if len(found) != 1 {
		r.t.Fatalf("%d published keys of the name %q", len(found), signed.Signatures[0].Header.KeyID)
	}
	text, err := signed.Verify(found[0].Key)
	if err != nil {
		r.t.Fatal(err)
	}
	var claims auth.Assertion
	if err := json.Unmarshal(text, &claims); err != nil {
		r.t.Fatal(err)
	}
	if claims.Audience != audience || claims.Issuer != publicURL || claims.Subject != account.String() || claims.Environment != environment || claims.Expires <= time.Now().Unix() {
		r.t.Errorf("claims %s", text)
	}
}

// entra is a simulated directory whose people are read from memory and sign in over TLS.
type entra struct {
	*running
	t           *testing.T
	tenant      *entrasim.Tenant
	graph       *entrasim.Graph
	people      *pulled
	environment string
}

func newEntra(t *testing.T, connect bool) *entra {
	t.Helper()
	e := &entra{t: t, tenant: entrasim.New(entrasim.Options{Seed: 5}), people: newPulled()}
	var err error
	if e.graph, err = entrasim.NewGraph(e.tenant, entrasim.GraphOptions{Seed: 5}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.graph.Close(); err != nil {
			t.Error(err)
		}
	})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, e.graph.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	e.running = start(t, Config{Data: dir, CAFile: ca}, e.people.options())
	e.join()
	allowed(t, e.Client())
	if !connect { // the same data, by a program that reads no directory
		listen := e.Addr().String()
		if err := e.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		e.running = start(t, Config{Data: dir, CAFile: ca, Listen: listen}, Options{})
	}
	return e
}

// join connects tenant, environment and both applications. No plan was applied yet.
func (e *entra) join() {
	e.t.Helper()
	c, app := e.Client(), e.graph.App("")
	app.SignIn(entrasim.SignInSettings{RedirectURIs: []string{e.URL() + callbackPath}})
	must(e.t, c, OrganizationCreate, NameInput{"Acme"})
	e.environment = must(e.t, c, EnvironmentCreate, EnvironmentInput{"Acme", "Production"}).ID
	must(e.t, c, TenantCreate, TenantInput{Name: "acme", Organizations: []string{"Acme"}, DirectoryID: e.tenant.ID()})
	cloud, login, graph, client := "custom", e.graph.LoginURL(), e.graph.URL(), app.ClientID()
	must(e.t, c, TenantSet, TenantChange{Ref: "acme", Graph: GraphChange{Cloud: &cloud, LoginURL: &login, GraphURL: &graph}, SignIn: SignInChange{ClientID: &client}})
	must(e.t, c, CredentialSet, CredentialInput{Tenant: "acme", ClientID: clientID, Secret: "abc~very-secret-value", Expires: "2099-01-01"})
	must(e.t, c, CredentialSet, CredentialInput{Tenant: "acme", For: "sign-in", Secret: app.NewSecret(time.Now().Add(time.Hour)), Expires: "2099-01-01"})
	on, name := true, "acme"
	must(e.t, c, EnvironmentIntegrate, IntegrationInput{Environment: "Production", Enabled: &on, Tenant: &name, Groups: &[]string{syncedGroup}})
}

// hire makes a person of the directory whom nobody has provisioned.
func (e *entra) hire(name string, member bool) directory.ID {
	e.t.Helper()
	u := e.tenant.Hire(entrasim.Person{GivenName: name, Surname: "Smit"})
	id, ok := directory.ParseID(u.ID)
	if !ok {
		e.t.Fatalf("%q is no object id", u.ID)
	}
	e.people.d.SetPerson(pull.Person{ID: id, UserPrincipalName: u.UserPrincipalName, DisplayName: u.DisplayName, Enabled: true})
	if member {
		e.people.d.Add(syncedGroup, id)
	}
	return id
}

// arrive is what a person's browser does, up to the answer to its coming back.
func (e *entra) arrive(person directory.ID) answer {
	e.t.Helper()
	begun := e.visit("/login/environment/" + e.environment)
	if begun.status != http.StatusSeeOther {
		e.t.Fatalf("the sign-in does not begin: %d %s\n%s", begun.status, begun.body, e.log.String())
	}
	b := e.graph.Browser()
	defer b.Close()
	back, err := b.SignIn(e.t.Context(), begun.header.Get("Location"), person.String())
	if err != nil {
		e.t.Fatal(err)
	}
	if back.URL == nil {
		e.t.Fatalf("the directory shows its page %s, AADSTS%d", back.Page, back.Number)
	}
	return e.visit(back.URL.RequestURI(), begun.set...)
}

// refusals are the object ids of those who were refused for a reason, as the audit tells.
func (e *entra) refusals(code auth.ProblemCode) (all []directory.ID) {
	e.t.Helper()
	err := e.Service().View(e.t.Context(), func(sn *directory.Snapshot) error {
		return sn.Audit(0, func(entry *directory.AuditEntry) bool {
			var detail struct {
				Code     auth.ProblemCode
				ObjectID directory.ID
			}
			if entry.Action == "sign-in.refused" && json.Unmarshal(entry.Detail, &detail) == nil && detail.Code == code {
				all = append(all, detail.ObjectID)
			}
			return true
		})
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return all
}

// TestSignInBeforeProvisioning: who signs in before push or pull has brought them is asked for in the directory.
func TestSignInBeforeProvisioning(t *testing.T) {
	e := newEntra(t, true)
	iris := e.hire("Iris", true)
	in := e.arrive(iris)
	if in.status != http.StatusSeeOther || in.header.Get("Location") != "/" {
		t.Fatalf("%d %s\n%s", in.status, in.body, e.log.String())
	}
	if who := e.whoIs(in.cookie(t, auth.SessionCookie)); who.status != http.StatusOK || len(who.Environments) != 1 || who.Environments[0].Name != "Production" {
		t.Errorf("%+v", who)
	}
	runs := must(t, e.Client(), RunList, RunFilter{Environment: "Production"}).Items
	if runs[0].Trigger != string(pull.TriggerSignIn) || runs[0].State != "complete" || runs[0].Counts.Create != 1 {
		t.Errorf("run %+v", runs[0])
	}
	asked := e.people.s.Calls(pulltest.OpConfirm)

	// The second time nobody is asked for.
	if again := e.arrive(iris); again.status != http.StatusSeeOther || e.people.s.Calls(pulltest.OpConfirm) != asked {
		t.Errorf("%d, asked %d times", again.status, e.people.s.Calls(pulltest.OpConfirm)-asked)
	}

	// Whom the directory has in no synced group, and whom it cannot be asked for, are not let in.
	stranger := e.hire("Otto", false)
	out := e.arrive(stranger)
	if out.status != http.StatusForbidden || slices.ContainsFunc(out.set, func(c *http.Cookie) bool { return c.Name == auth.SessionCookie }) {
		t.Errorf("a stranger: %d, %v", out.status, out.set)
	}
	if got := e.refusals(auth.ProblemNotProvisioned); !slices.Equal(got, []directory.ID{stranger}) {
		t.Errorf("the audit tells of %v, want %s", got, stranger)
	}
	e.logged("nobody was signed in", `"code":"not_provisioned"`, stranger.String())
	if strings.Contains(e.log.String(), "cannot be read from the directory") {
		t.Errorf("the directory has answered:\n%s", e.log.String())
	}
	e.people.s.SetError(pulltest.OpConfirm, &pull.Error{Class: pull.Permission, Detail: "User.Read.All is missing"})
	unread := e.hire("Vera", true)
	if out := e.arrive(unread); out.status != http.StatusForbidden {
		t.Errorf("who cannot be read: %d", out.status)
	}
	if got := e.refusals(auth.ProblemNotProvisioned); !slices.Equal(got, []directory.ID{stranger, unread}) {
		t.Errorf("the audit tells of %v, want %s and %s", got, stranger, unread)
	}
	e.logged("a person who signs in cannot be read from the directory", unread.String(), "User.Read.All is missing")
	for _, name := range []string{"Iris", "Otto", "Vera", "Smit"} {
		if strings.Contains(e.log.String(), name) {
			t.Errorf("the log names %s", name)
		}
	}
}

// TestSignInWithoutAConnector: a program that cannot read directories refuses whom nobody has provisioned, quietly.
func TestSignInWithoutAConnector(t *testing.T) {
	e := newEntra(t, false)
	person := e.hire("Iris", true)
	if out := e.arrive(person); out.status != http.StatusForbidden {
		t.Errorf("%d %s", out.status, out.body)
	}
	if got := e.refusals(auth.ProblemNotProvisioned); !slices.Equal(got, []directory.ID{person}) {
		t.Errorf("the audit tells of %v, want %s", got, person)
	}
	e.logged("nobody was signed in", `"code":"not_provisioned"`)
	if strings.Contains(e.log.String(), "cannot be read from the directory") {
		t.Errorf("nothing was tried:\n%s", e.log.String())
	}
}

// stopped is a clock that goes on when it is told to.
type stopped struct{ at atomic.Int64 }

func newStopped() *stopped {
	c := &stopped{}
	c.at.Store(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *stopped) now() time.Time          { return time.Unix(0, c.at.Load()).UTC() }
func (c *stopped) advance(d time.Duration) { c.at.Add(int64(d)) }

// TestSessionSettings: how long a session lasts, with and without activity, is what the configuration says.
func TestSessionSettings(t *testing.T) {
	begin := func(t *testing.T, s SessionConfig) (*running, *stopped, *http.Cookie) {
		t.Helper()
		at := newStopped()
		r := start(t, Config{Session: s}, Options{Now: at.now})
		return r, at, r.signedIn(r.Client().operatorWithPassword(t, "ida@example.com"))
	}
	holds := func(t *testing.T, r *running, cookie *http.Cookie) whoIs {
		t.Helper()
		who := r.whoIs(cookie)
		if who.status != http.StatusOK || who.UserName != "ida@example.com" {
			t.Fatalf("%+v", who)
		}
		return who
	}
	over := func(t *testing.T, r *running, cookie *http.Cookie, reason directory.EndReason) {
		t.Helper()
		if who := r.whoIs(cookie); who.status != http.StatusUnauthorized || who.Reason != string(reason) {
			t.Errorf("%+v, want %s", who, reason)
		}
	}

	t.Run("idle", func(t *testing.T) {
		r, at, cookie := begin(t, SessionConfig{IdleLimit: time.Minute})
		at.advance(40 * time.Second)
		holds(t, r, cookie) // asking is no activity
		if p := r.visit("/", cookie); p.status != http.StatusOK {
			t.Fatalf("home: %d", p.status) // a page is
		}
		at.advance(time.Minute - time.Millisecond)
		holds(t, r, cookie)
		at.advance(time.Millisecond)
		over(t, r, cookie, directory.EndedIdle)
	})
	t.Run("never idle, and eight hours", func(t *testing.T) {
		r, at, cookie := begin(t, SessionConfig{})
		at.advance(8*time.Hour - time.Millisecond)
		if s := holds(t, r, cookie).Session; s.ExpiresAt.Sub(s.Created) != 8*time.Hour {
			t.Errorf("%+v", s)
		}
		at.advance(time.Millisecond)
		over(t, r, cookie, directory.EndedExpired)
	})
	t.Run("two hours", func(t *testing.T) {
		r, at, cookie := begin(t, SessionConfig{Life: 2 * time.Hour})
		at.advance(2*time.Hour - time.Millisecond)
		holds(t, r, cookie)
		at.advance(time.Millisecond)
		over(t, r, cookie, directory.EndedExpired)
	})
}

// TestStoppingEndsOpenStreams: the pages that people leave open do not hold the server up.
func TestStoppingEndsOpenStreams(t *testing.T) {
	r := start(t, Config{}, Options{})
	cookie := r.signedIn(r.Client().operatorWithPassword(t, "ida@example.com"))
	req := r.request(http.MethodGet, "/auth/events", nil)
	req.AddCookie(cookie)
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	events := bufio.NewReader(resp.Body)
	if line, err := events.ReadString('\n'); err != nil || line != "event: session\n" {
		t.Fatalf("%d %q, %v", resp.StatusCode, line, err)
	}
	patience, cancel := context.WithTimeout(context.Background(), time.Minute) // none of it is needed
	defer cancel()
	if err := r.Close(patience); err != nil {
		t.Errorf("Close: %v", err)
	}
	rest, err := io.ReadAll(events)
	if err != nil || strings.Contains(string(rest), "event:") { // the stream is whole, and the session goes on
		t.Errorf("the rest of the stream: %q, %v", rest, err)
	}
}

// notices are what a start shows to whoever starts the server.
type notices struct{ texts []string }

func (n *notices) take() (all []string) {
	all, n.texts = n.texts, nil
	return all
}

func TestTheFirstOperatorSetsThemselvesUp(t *testing.T) {
	dir, n := t.TempDir(), &notices{}
	o := Options{Notice: func(text string) { n.texts = append(n.texts, text) }}
	c := Config{Data: dir, BaseURL: publicURL}
	again := func(r *running) *running {
		t.Helper()
		if r != nil {
			if err := r.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		return start(t, c, o)
	}
	link := func() string {
		t.Helper()
		texts := n.take()
		if len(texts) != 1 {
			t.Fatalf("notices %q", texts)
		}
		_, rest, found := strings.Cut(texts[0], publicURL+"/setup/")
		secret, _, whole := strings.Cut(rest, "\n")
		if !found || !whole || !strings.HasPrefix(secret, auth.LinkPrefix) {
			t.Fatalf("notice %q", texts[0])
		}
		return "/setup/" + secret
	}
	r := again(nil)
	first := link()
	if p := r.visit(first); p.status != http.StatusOK {
		t.Errorf("the first link: %d %s", p.status, p.body)
	}
	r = again(r) // nobody has used it: there is another
	setup := link()
	if setup == first {
		t.Error("the same link twice")
	}
	fields := url.Values{"email": {"ida@example.com"}, "name": {"Ida"}, "password": {operatorPassword}, "again": {operatorPassword}}
	made := r.open(r.form(setup, fields))
	if made.status != http.StatusSeeOther {
		t.Fatalf("setup: %d %s", made.status, made.body)
	}
	cookie := made.cookie(t, auth.SessionCookie)
	if who := r.whoIs(cookie); who.status != http.StatusOK || !who.Roles.Operator {
		t.Errorf("%+v", who)
	}
	if p := r.open(r.form(setup, fields)); p.status != http.StatusNotFound {
		t.Errorf("the link once more: %d", p.status)
	}
	log := r.log.String()
	r = again(r)
	if texts := n.take(); len(texts) != 0 {
		t.Errorf("there is an operator, and the start says %q", texts)
	}
	if who := r.whoIs(cookie); who.status != http.StatusOK || !who.Roles.Operator {
		t.Errorf("after another start: %+v", who)
	}
	for _, secret := range []string{first, setup, cookie.Value, operatorPassword} {
		if secret = strings.TrimPrefix(secret, "/setup/"); strings.Contains(log+r.log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// TestSessionsOutliveAStart: as long as the witness tells that the data is what was left.
func TestSessionsOutliveAStart(t *testing.T) {
	for name, elsewhere := range map[string]bool{"beside the data": false, "on another disk": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c, witness := Config{Data: dir}, filepath.Join(dir, witnessFile)
			if elsewhere {
				witness = filepath.Join(t.TempDir(), "witness")
				c.Session.Witness = witness
			}
			r := start(t, c, Options{})
			ida := r.Client().operatorWithPassword(t, "ida@example.com")
			cookie := r.signedIn(ida)
			again := func() {
				t.Helper()
				if err := r.Close(context.Background()); err != nil {
					t.Fatal(err)
				}
				r = start(t, c, Options{})
			}
			again()
			if who := r.whoIs(cookie); who.status != http.StatusOK {
				t.Errorf("after another start: %+v", who)
			}
			if strings.Contains(r.log.String(), "all sessions have ended") {
				t.Errorf("the log says otherwise:\n%s", r.log.String())
			}
			if err := r.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(witness); err != nil {
				t.Fatal(err)
			}
			again()
			if who := r.whoIs(cookie); who.status != http.StatusUnauthorized || who.Reason != string(directory.EndedRestored) {
				t.Errorf("without the witness: %+v", who)
			}
			r.logged("all sessions have ended")
			cookie = r.signedIn(ida)
			again() // and from then on as before
			if who := r.whoIs(cookie); who.status != http.StatusOK {
				t.Errorf("with a new witness: %+v", who)
			}
		})
	}
}
