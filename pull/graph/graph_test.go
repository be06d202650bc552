package graph

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bizzstream/bizzscim/entrasim"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/graph/reader"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// all are the permissions that a tenant's application should have.
var all = []string{entrasim.GroupMemberReadAll, entrasim.UserReadAll}

// sim is the simulated Entra with an application, and how to connect to it.
type sim struct {
	*entrasim.Graph
	tenant *entrasim.Tenant
	app    *entrasim.App
	pull.Connection

	mu    sync.Mutex
	slept []time.Duration
	meter pull.Meter
	spied []*http.Request // what was sent, without bodies
}

func newSim(t testing.TB, tenant *entrasim.Tenant) *sim {
	t.Helper()
	g, err := entrasim.NewGraph(tenant, entrasim.GraphOptions{Throttle: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	s := &sim{Graph: g, tenant: tenant, app: g.App("", all...)}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(g.CA()) {
		t.Fatal("no certificate authority")
	}
	s.Connection = pull.Connection{
		DirectoryID: tenant.ID(),
		Cloud:       pull.CloudCustom,
		LoginURL:    g.LoginURL(),
		GraphURL:    g.URL(),
		ClientID:    s.app.ClientID(),
		Kind:        pull.ClientSecret,
		Secret:      []byte(s.app.NewSecret(time.Now().Add(time.Hour))),
		Roots:       roots,
		Meter: func(m pull.Meter) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.meter.Add(m)
		},
	}
	return s
}

// open connects. Nothing is waited for, and what is sent is seen.
func (s *sim) open(t testing.TB) pull.Source {
	t.Helper()
	source, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Close)
	return source
}

func (s *sim) connect() (pull.Source, error) {
	return connect(s.Connection, &spy{s, reader.NewTransport(s.Roots)}, func(ctx context.Context, d time.Duration) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.slept = append(s.slept, d)
		return ctx.Err()
	})
}

// spy is a transport that remembers what it sent.
type spy struct {
	s *sim
	*http.Transport
}

func (t *spy) RoundTrip(req *http.Request) (*http.Response, error) {
	t.s.mu.Lock()
	t.s.spied = append(t.s.spied, req.Clone(context.Background()))
	t.s.mu.Unlock()
	return t.Transport.RoundTrip(req)
}

// sent are the requests whose path ends so.
func (s *sim) sent(suffix string) []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*http.Request
	for _, req := range s.spied {
		if strings.HasSuffix(req.URL.Path, suffix) {
			out = append(out, req)
		}
	}
	return out
}

// mirror is a tenant of the simulation that is as the model.
func mirror(t testing.TB, d *pulltest.Directory) *entrasim.Tenant {
	t.Helper()
	tenant := entrasim.New(entrasim.Options{Seed: 1})
	s := d.State()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	add := func(p pull.Person) {
		u := entrasim.User{
			ID: p.ID.String(), UserPrincipalName: p.UserPrincipalName, DisplayName: p.DisplayName, GivenName: p.GivenName, Surname: p.Surname,
			Mail: p.Mail, PreferredLanguage: p.PreferredLanguage, AccountEnabled: p.Enabled,
		}
		if p.Guest {
			u.UserType = entrasim.Guest
		}
		must(tenant.Add(u))
	}
	for _, p := range s.People {
		add(p)
	}
	for _, p := range s.Deleted {
		add(p)
	}
	for _, g := range s.Groups {
		must(tenant.AddGroup(g.ID, g.DisplayName))
	}
	for _, g := range s.Groups {
		members := append([]string{}, g.Nested...)
		for _, id := range g.People {
			members = append(members, id.String())
		}
		for range g.Others {
			members = append(members, tenant.CreateDevice())
		}
		must(tenant.SetMembers(g.ID, members))
	}
	for _, p := range s.Deleted {
		must(tenant.SoftDelete(p.ID.String()))
	}
	return tenant
}

// TestSuite runs the contract against the simulation: the SDK's requests, tokens and all.
func TestSuite(t *testing.T) {
	pulltest.Suite(t, func(t *testing.T, d *pulltest.Directory) pull.Source {
		return newSim(t, mirror(t, d)).open(t)
	})
}

// theGroup is the one that the tests read.
var theGroup = pulltest.GroupID(1)

// sales is a simulation with one group of n people.
func sales(t testing.TB, n int) *sim {
	t.Helper()
	d := pulltest.NewDirectory()
	d.SetGroup(theGroup, "Sales")
	for i := 1; i <= n; i++ {
		d.SetPerson(pulltest.NewPerson(i))
		d.Add(theGroup, pulltest.ID(i))
	}
	return newSim(t, mirror(t, d))
}

// read reads the group.
func read(s pull.Source) (map[string]pull.Person, pull.Listing, error) {
	people := make(map[string]pull.Person)
	l, err := s.Members(context.Background(), theGroup, false, func(p pull.Person) error {
		if _, twice := people[p.ID.String()]; twice {
			return errors.New("a person came twice")
		}
		people[p.ID.String()] = p
		return nil
	})
	return people, l, err
}

func faults(t testing.TB, s *sim, script string) {
	t.Helper()
	s.Faults().Clear()
	if err := s.Faults().Load(script); err != nil {
		t.Fatal(err)
	}
}

// fired checks that each rule of the script has happened, so that a test cannot pass without its fault.
func fired(t testing.TB, s *sim) {
	t.Helper()
	for _, c := range s.Faults().Report() {
		if c.Fired == 0 {
			t.Errorf("%s did not happen in %d calls", c.Rule, c.Calls)
		}
	}
}
