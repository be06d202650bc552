package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/store/bolt"
)

// site is a company on a real file: two environments of one tenant, each with a group, and a person, Alice,
// who is in the first alone.
type site struct {
	testing.TB
	now      func() time.Time
	clock    *clock // nil where time is that of a bubble
	limits   directory.Limits
	file     string
	store    *breakable
	svc      *directory.Service
	sessions *auth.Sessions
	org      directory.ID
	env      directory.ID // Alice has access to it
	other    directory.ID // Alice has none
	tenant   directory.ID
	group    *directory.Group // of env
	alice    *directory.User
}

const (
	directoryID = "9a6b1f3e-0000-4000-8000-00000000d1c0"
	aliceObject = "9a6b1f3e-0000-4000-8000-0000000a11ce"
	envGroup    = "9a6b1f3e-0000-4000-8000-0000000000e1"
	otherGroup  = "9a6b1f3e-0000-4000-8000-0000000000e2"
)

// breakable is a store that fails on demand.
type breakable struct {
	directory.Store
	views, updates        atomic.Int64
	failView, failUpdates atomic.Pointer[error]
	onView                atomic.Pointer[func()]
}

var errDisk = errors.New("the disk is on fire")

func (s *breakable) View(ctx context.Context, fn func(directory.Reader) error) error {
	s.views.Add(1)
	if on := s.onView.Load(); on != nil {
		(*on)()
	}
	if err := s.failView.Load(); err != nil {
		return *err
	}
	return s.Store.View(ctx, fn)
}

func (s *breakable) Update(ctx context.Context, fn func(directory.Writer) error) error {
	s.updates.Add(1)
	if err := s.failUpdates.Load(); err != nil {
		return *err
	}
	return s.Store.Update(ctx, fn)
}

func newSite(t testing.TB) *site {
	c := &clock{now: time.Date(2026, 11, 23, 8, 0, 30, 0, time.UTC)}
	return newSiteWith(t, c.Now, c, directory.Limits{})
}

// newSiteIn is a site within a bubble of testing/synctest.
func newSiteIn(t testing.TB) *site { return newSiteWith(t, time.Now, nil, directory.Limits{}) }

func newSiteWith(t testing.TB, now func() time.Time, c *clock, limits directory.Limits) *site {
	t.Helper()
	s := &site{TB: t, now: now, clock: c, limits: limits, file: filepath.Join(t.TempDir(), "auth.db")}
	s.store = openBreakable(t, s.file)
	s.svc = s.service(limits)
	s.sessions = auth.NewSessions(s.svc, "")
	s.org = must(s.svc.CreateOrganization(t.Context(), operator, "Fjord")).ID
	s.env = must(s.svc.CreateEnvironment(t.Context(), operator, s.org, "Production")).ID
	s.other = must(s.svc.CreateEnvironment(t.Context(), operator, s.org, "Finance")).ID
	s.tenant = must(s.svc.CreateTenant(t.Context(), operator, directory.Tenant{Name: "fjord", OrganizationIDs: []directory.ID{s.org}, DirectoryID: directoryID,
		SignIn: directory.SignIn{ClientID: "9a6b1f3e-0000-4000-8000-0000000000aa", Label: "Fjord Shipping"}})).ID
	s.alice = s.person("alice", aliceObject)
	s.group = s.integrate(s.env, envGroup, s.alice.ID)
	s.integrate(s.other, otherGroup)
	return s
}

func openBreakable(t testing.TB, path string) *breakable {
	t.Helper()
	file, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	})
	return &breakable{Store: file}
}

// service makes another Service on the same store, as another server or a new start would.
func (s *site) service(limits directory.Limits) *directory.Service {
	newID := func() directory.ID { return directory.ID(uuid.Must(uuid.NewV7())) }
	return directory.New(s.store, directory.Options{Now: s.now, NewID: newID, Normalize: func(x string) string { return x }, Limits: limits})
}

func (s *site) person(name, object string) *directory.User {
	s.Helper()
	email := name + "@fjord.example"
	p := directory.Profile{UserName: email, ExternalID: object, Name: "A. " + name, Email: email, Emails: []string{email}, Language: "nl", Active: true}
	return must(s.svc.CreateUser(s.Context(), operator, s.tenant, directory.UserInput{Profile: p, Schemas: []byte(`[]`), Attributes: must(json.Marshal(p))}))
}

func (s *site) integrate(env directory.ID, object string, members ...directory.ID) *directory.Group {
	s.Helper()
	on := true
	if _, _, err := s.svc.SetIntegration(s.Context(), operator, env, directory.IntegrationInput{Enabled: &on, TenantID: &s.tenant, Groups: []string{object}, DefaultMenus: []string{"sales"}}); err != nil {
		s.Fatal(err)
	}
	in := directory.GroupInput{DisplayName: "group " + object, ExternalID: object, Schemas: []byte(`[]`), Attributes: []byte(`{}`)}
	return must(s.svc.CreateGroup(s.Context(), operator, s.tenant, in, members))
}

// setActive is what a directory does by SCIM.
func (s *site) setActive(u *directory.User, active bool) {
	s.Helper()
	_, err := s.svc.UpdateUser(s.Context(), operator, u.TenantID, u.ID, func(u *directory.User) (directory.UserInput, error) {
		p := u.Profile
		p.Active, p.Emails = active, append([]string(nil), p.Emails...)
		return directory.UserInput{Profile: p, SaysActive: true, Schemas: []byte(`[]`), Attributes: must(json.Marshal(p))}, nil
	})
	if err != nil {
		s.Fatal(err)
	}
}

// signIn signs a person in as their directory would prove them.
func (s *site) signIn(u *directory.User, replaces ...[32]byte) (secret string, session *directory.Session) {
	s.Helper()
	made := auth.NewSessionSecret()
	in := directory.SessionInput{Hash: made.Hash, SignedIn: directory.SignedIn{SID: "sid-of-" + u.UserName, Address: "192.0.2.7", UserAgent: "test"}}
	if len(replaces) > 0 {
		in.Replaces = replaces[0]
	}
	who := directory.Identity{TenantID: s.tenant, ClientID: "app", ObjectID: u.ObjectID, Subject: "sub-" + u.ObjectID.String()}
	return made.Text, must(s.svc.SignIn(s.Context(), directory.Actor{Channel: "console"}, who, in))
}

// operatorSession signs an operator of the platform in, who has no access to any environment.
func (s *site) operatorSession() (secret string, session *directory.Session) {
	s.Helper()
	a := must(s.svc.CreateOperator(s.Context(), operator, "root@maxedy.example", "Root"))
	made := auth.NewSessionSecret()
	in := directory.SessionInput{AccountID: a.ID, Hash: made.Hash, SignedIn: directory.SignedIn{Method: directory.MethodPassword}}
	return made.Text, must(s.svc.CreateSession(s.Context(), directory.Actor{Channel: "console"}, in))
}

// asked is a request of a browser with these values of the session's cookie.
func asked(secrets ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, secret := range secrets {
		r.AddCookie(&http.Cookie{Name: auth.SessionCookie, Value: secret})
	}
	return r
}

// wantEnded checks that a session does not hold, for that reason.
func wantEnded(t testing.TB, err error, want directory.EndReason) {
	t.Helper()
	var ended *directory.SessionEnded
	if !errors.As(err, &ended) {
		t.Errorf("error %v, want a session that has ended (%s)", err, want)
	} else if ended.Reason != want {
		t.Errorf("the session has ended as %q, want %q", ended.Reason, want)
	}
}

// holds checks that the session of a secret stands for a person; quietly.
func (s *site) holds(sessions *auth.Sessions, secret string) {
	s.Helper()
	if _, err := sessions.Check(asked(secret), true); err != nil {
		s.Errorf("the session does not hold: %v", err)
	}
}
