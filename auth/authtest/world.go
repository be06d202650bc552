// Package authtest is the suite that every OpenID provider passes with auth.SignIn, and what it stands
// on: a directory of people on a real store. It must never know how one provider differs from another.
package authtest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

// Provider is an OpenID provider that signs the people of one directory in. Its issuer is
// {LoginURL}/{Directory}/v2.0, and its ID tokens say tid, oid and ver as those of Microsoft Entra do.
type Provider interface {
	LoginURL() string     // of the authority: https, without a slash at the end
	Directory() string    // directory (tenant) id: a GUID
	Client() *http.Client // trusts the provider
	// Register registers an application that may come back to those addresses, and returns its client id, a GUID, and
	// its secret.
	Register(redirect, loggedOut string) (client, secret string)
	// AddPerson makes a person and returns the object id.
	AddPerson(name string) directory.ID
	// SignIn goes to the address of an authorization request in a new browser, signs a person in, and returns the address
	// that the provider sends the browser back to, without going there.
	SignIn(ctx context.Context, address string, person directory.ID) (back string, err error)
}

// Canceller is a Provider whose people can say no.
type Canceller interface {
	Cancel(ctx context.Context, address string) (back string, err error)
}

// Rotator is a Provider that can change the key that signs, at once and with the old one withdrawn. Its
// clock is the one that it was made with.
type Rotator interface {
	Rotate()
}

// Attacker is a Provider that can make wrong ID tokens: what each of the attacks does to the token of the
// next sign-ins, until it is called with nil.
type Attacker interface {
	Attacks() []string
	Attack(name string)
}

// RedirectURI is where the application of a World comes back to, LoggedOutURI after signing out.
const (
	RedirectURI  = "https://bizzscim.example/auth/callback"
	LoggedOutURI = "https://bizzscim.example/signed-out"
)

// Operator is who sets a World up.
var Operator = directory.Actor{Role: directory.RoleOperator, Channel: "cli", ID: "operator"}

// World is a directory with an environment that syncs one group of a tenant, whose people a provider
// signs in.
type World struct {
	testing.TB
	Service  *directory.Service
	Clock    *Clock
	SignIn   *auth.SignIn
	Provider Provider
	Tenant   *directory.Tenant
	Env      directory.ID
	// Asked is called for people whom nobody has provisioned; nil: it does nothing.
	Asked  func(ctx context.Context, tenant *directory.Tenant, object directory.ID) error
	Logged *Log

	group *directory.Group
	users map[directory.ID]*directory.User
}

// Clock is the wall clock with an offset.
type Clock struct {
	mu  sync.Mutex
	off time.Duration
}

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.off)
}

// Advance sets the clock forward.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off += d
}

// Log keeps what is logged.
type Log struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// NewWorld makes a World on an empty store, with the provider that the function makes.
func NewWorld(t testing.TB, store directory.Store, provider func(now func() time.Time) Provider) *World {
	t.Helper()
	w := &World{TB: t, Clock: &Clock{}, Logged: &Log{}, users: map[directory.ID]*directory.User{}}
	var ids atomic.Uint64
	newID := func() (id directory.ID) {
		id[0], id[6] = 1, 0x70
		binary.BigEndian.PutUint64(id[8:], 1<<63|ids.Add(1))
		return id
	}
	w.Service = directory.New(store, directory.Options{Now: w.Clock.Now, NewID: newID, Normalize: func(s string) string { return s }})
	w.Provider = provider(w.Clock.Now)
	client, secret := w.Provider.Register(RedirectURI, LoggedOutURI)
	org := w.organization("Fjord")
	w.Tenant = w.AddTenant("fjord", org, w.Provider, client, secret)
	env, err := w.Service.CreateEnvironment(t.Context(), Operator, org, "Production")
	w.ok(err)
	w.Env = env.ID
	const group = "c0ffee00-0000-4000-8000-000000000001"
	on := true
	_, _, err = w.Service.SetIntegration(t.Context(), Operator, w.Env, directory.IntegrationInput{Enabled: &on, TenantID: &w.Tenant.ID, Groups: []string{group}})
	w.ok(err)
	w.group, err = w.Service.CreateGroup(t.Context(), w.push(), w.Tenant.ID, directory.GroupInput{DisplayName: "Synced", ExternalID: group,
		Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:Group"]`), Attributes: []byte(`{}`)}, nil)
	w.ok(err)
	w.SignIn = auth.NewSignIn(w.Config())
	return w
}

// Config is that of the world's SignIn.
func (w *World) Config() auth.SignInConfig {
	box := newBox()
	return auth.SignInConfig{
		Service: w.Service, Redirect: func() string { return RedirectURI }, Client: w.Provider.Client(), Now: w.Clock.Now,
		Open: func(c *directory.Credential) ([]byte, error) { return []byte(c.Sealed), nil },
		Seal: box.seal, Unseal: box.open,
		Log: slog.New(slog.NewJSONHandler(w.Logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Provision: func(ctx context.Context, tenant *directory.Tenant, object directory.ID) error {
			if w.Asked == nil {
				return nil
			}
			return w.Asked(ctx, tenant, object)
		},
	}
}

func (w *World) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *World) push() directory.Actor {
	return directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: "token"}
}

func (w *World) organization(name string) directory.ID {
	w.Helper()
	org, err := w.Service.CreateOrganization(w.Context(), Operator, name)
	w.ok(err)
	return org.ID
}

// AddTenant makes a tenant that a provider signs people in for.
func (w *World) AddTenant(name string, org directory.ID, p Provider, client, secret string) *directory.Tenant {
	w.Helper()
	t := directory.Tenant{Name: name, DirectoryID: p.Directory(), SignIn: directory.SignIn{ClientID: client},
		Graph: directory.Graph{Cloud: "custom", LoginURL: p.LoginURL(), GraphURL: p.LoginURL() + "/v1.0"}}
	if !org.IsZero() {
		t.OrganizationIDs = []directory.ID{org}
	}
	made, err := w.Service.CreateTenant(w.Context(), Operator, t)
	w.ok(err)
	_, err = w.Service.SetCredential(w.Context(), Operator, directory.Credential{TenantID: made.ID, Name: directory.SignInCredential, Kind: "secret", Sealed: secret})
	w.ok(err)
	return made
}

// Person makes a person at the provider, provisions them, and puts them into the synced group.
func (w *World) Person(name string) directory.ID {
	w.Helper()
	object := w.Provider.AddPerson(name)
	w.Provision(name, object)
	w.Join(object)
	return object
}

// Provision provisions a person of the directory.
func (w *World) Provision(name string, object directory.ID) {
	w.Helper()
	u, err := w.Service.CreateUser(w.Context(), w.push(), w.Tenant.ID, input(directory.Profile{UserName: name + "@fjord.example", ExternalID: object.String(),
		Name: name, Email: name + "@fjord.example", Emails: []string{name + "@fjord.example"}, Active: true}))
	w.ok(err)
	w.users[object] = u
}

func input(p directory.Profile) directory.UserInput {
	return directory.UserInput{Profile: p, SaysActive: true, Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:User"]`), Attributes: []byte(`{}`)}
}

// Join puts a person into the synced group.
func (w *World) Join(object directory.ID) {
	w.Helper()
	w.member(func(m *directory.Membership) error { return m.Add([]directory.ID{w.users[object].ID}) })
}

// Leave takes a person out of the synced group.
func (w *World) Leave(object directory.ID) {
	w.Helper()
	w.member(func(m *directory.Membership) error { return m.Remove([]directory.ID{w.users[object].ID}) })
}

func (w *World) member(fn func(*directory.Membership) error) {
	w.Helper()
	_, err := w.Service.UpdateGroup(w.Context(), w.push(), w.Tenant.ID, w.group.ID, func(g *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
		return directory.GroupInput{DisplayName: g.DisplayName, ExternalID: g.ExternalID, Schemas: slices.Clone(g.Schemas), Attributes: slices.Clone(g.Attributes)}, fn(m)
	})
	w.ok(err)
}

// SetActive is what the directory says of a person.
func (w *World) SetActive(object directory.ID, active bool) {
	w.Helper()
	_, err := w.Service.UpdateUser(w.Context(), w.push(), w.Tenant.ID, w.users[object].ID, func(u *directory.User) (directory.UserInput, error) {
		p := u.Profile
		p.Emails, p.Active = slices.Clone(p.Emails), active
		return input(p), nil
	})
	w.ok(err)
}

// Browser is the part of a person's browser that holds our cookies.
type Browser struct {
	w       *World
	cookies map[string]string
	Session [32]byte // SHA-256 of the secret; zero: none
}

// Browser opens a new one.
func (w *World) Browser() *Browser { return &Browser{w: w, cookies: map[string]string{}} }

// Begin begins a sign-in with a tenant and returns where the browser is sent.
func (b *Browser) Begin(in auth.Start) string {
	b.w.Helper()
	address, err := b.TryBegin(in)
	b.w.ok(err)
	return address
}

// TryBegin is Begin with its error.
func (b *Browser) TryBegin(in auth.Start) (string, error) {
	if in.Tenant.IsZero() {
		in.Tenant = b.w.Tenant.ID
	}
	b.keep(b.w.SignIn.MakeRoom(b.Cookies()))
	address, cookie, err := b.w.SignIn.Begin(b.w.Context(), in)
	if err != nil {
		return "", err
	}
	b.keep([]*http.Cookie{cookie})
	return address, nil
}

// Cookies are what the browser sends.
func (b *Browser) Cookies() (all []*http.Cookie) {
	for name, value := range b.cookies {
		all = append(all, &http.Cookie{Name: name, Value: value}) //nolint:gosec // a browser sends no more than name and value
	}
	slices.SortFunc(all, func(a, b *http.Cookie) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// keep takes cookies over as a browser does: one that a browser would not take is a fault.
func (b *Browser) keep(cookies []*http.Cookie) {
	for _, c := range cookies {
		if err := c.Valid(); err != nil || !c.Secure || c.Path != "/" || c.Domain != "" || !strings.HasPrefix(c.Name, "__Host-") || !c.HttpOnly ||
			c.SameSite != http.SameSiteLaxMode || len(c.Name)+len(c.Value) > 4096 {
			b.w.Errorf("no browser keeps the cookie %s of %d bytes as it should: %v", c.Name, len(c.Value), err)
		}
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
}

// Finish comes back from the provider at an address.
func (b *Browser) Finish(back string) (*auth.Done, error) {
	b.w.Helper()
	u, err := url.Parse(back)
	b.w.ok(err)
	return b.FinishQuery(u.Query())
}

// FinishQuery is Finish with the query alone.
func (b *Browser) FinishQuery(query url.Values) (*auth.Done, error) {
	done, err := b.w.SignIn.Finish(b.w.Context(), auth.Return{Query: query, Cookies: b.Cookies(), Replaces: b.Session,
		By:       directory.Actor{Channel: "console", Address: "192.0.2.1", RequestID: "r1"},
		SignedIn: directory.SignedIn{Address: "192.0.2.1", UserAgent: "test"}})
	b.keep(done.Clear)
	if err == nil {
		b.Session = auth.Hash(done.Secret)
	}
	return done, err
}

// SignInAs is a whole sign-in of a person, from Begin to Finish.
func (b *Browser) SignInAs(person directory.ID) (*auth.Done, error) {
	b.w.Helper()
	back, err := b.w.Provider.SignIn(b.w.Context(), b.Begin(auth.Start{}), person)
	b.w.ok(err)
	return b.Finish(back)
}

// WantProblem checks how a sign-in was refused, and that there is no session. It returns the problem.
func WantProblem(t testing.TB, done *auth.Done, err error, want auth.ProblemCode) auth.Problem {
	t.Helper()
	var p *auth.Problem
	switch {
	case done == nil:
		t.Fatal("no Done")
	case done.Secret != "" || done.Session != nil:
		t.Fatalf("there is a session; the error is %v, want %s", err, want)
	case !errors.As(err, &p):
		t.Fatalf("the error is %v, want the problem %s", err, want)
	case p.Code != want:
		t.Errorf("the problem is %v, want %s", err, want)
	}
	return *p
}

// WantSession checks that a sign-in has made a session that holds.
func (w *World) WantSession(done *auth.Done, err error) *directory.Principal {
	w.Helper()
	if err != nil {
		w.Fatalf("refused: %v", err)
	}
	p, err := w.Service.CheckSession(w.Context(), auth.Hash(done.Secret), time.Time{})
	if err != nil {
		w.Fatalf("the session does not hold: %v", err)
	}
	return p
}

// Refusals are the audit's entries of refused sign-ins: code and object id, if any.
func (w *World) Refusals() (all []directory.AuditEntry) {
	w.Helper()
	w.ok(w.Service.View(context.WithoutCancel(w.Context()), func(sn *directory.Snapshot) error {
		return sn.Audit(0, func(e *directory.AuditEntry) bool {
			if e.Action == "sign-in.refused" {
				all = append(all, *e)
			}
			return true
		})
	}))
	return all
}

// box seals as the server's vault does: bound to a place.
type box struct{ aead cipher.AEAD }

func newBox() box {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	block, err := aes.NewCipher(key)
	if err == nil {
		var aead cipher.AEAD
		if aead, err = cipher.NewGCMWithRandomNonce(block); err == nil {
			return box{aead}
		}
	}
	panic(err) // the key has a right length
}

func (b box) seal(plain []byte, place string) (string, error) {
	sealed := b.aead.Seal(nil, nil, plain, []byte(place)) //nolint:gosec // no nonce is right here: the AEAD makes one itself
	return "v1." + base64.RawURLEncoding.EncodeToString(sealed), nil
}

func (b box) open(sealed, place string) ([]byte, error) {
	text, ok := strings.CutPrefix(sealed, "v1.")
	data, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil {
		return nil, errors.New("damaged")
	}
	return b.aead.Open(nil, nil, data, []byte(place))
}
