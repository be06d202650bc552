package app_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/entrasim"
)

var operator = directory.Actor{Role: directory.RoleOperator, Channel: "test"}

// TestPush lets a simulated Entra tenant push its people into a running server, in both dialects,
// change them for a while, and compares each environment's accesses with what the rules say of the
// directory, worked out from the directory alone.
func TestPush(t *testing.T) {
	users, rounds := 1000, 4
	if testing.Short() {
		users, rounds = 150, 2
	}
	for _, dialect := range []string{"", "?aadOptscim062020"} {
		t.Run("dialect "+dialect, func(t *testing.T) {
			p := newPush(t, users, 20, dialect)
			p.cycle()
			if s := p.last; s.Users.Created < users*3/4 || s.Groups.Created != 20 || s.MembersAdded == 0 {
				t.Fatalf("the initial cycle did not push everybody:\n%s", s)
			}
			p.check()
			p.unchanged()
			for range rounds {
				for _, what := range p.tenant.RandomChange(40) {
					t.Log(what)
				}
				p.cycle()
				if p.last.Writes() == 0 {
					t.Error("a cycle after changes wrote nothing")
				}
				p.check()
			}
			p.unchanged()
		})
	}
}

// push is a server with two organizations and three environments, and a directory that pushes to it.
type push struct {
	t            *testing.T
	service      *directory.Service
	scimTenant   directory.ID
	tenant       *entrasim.Tenant
	provisioner  *entrasim.Provisioner
	environments map[directory.ID][]string // Groups to Sync
	last         entrasim.Summary
}

func newPush(t *testing.T, users, groups int, dialect string) *push {
	t.Helper()
	ctx := t.Context()
	a, err := app.New(app.Config{Data: t.TempDir(), Listen: "127.0.0.1:0"}, app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := a.Start(ctx); err != nil {
		t.Fatal(err)
	}
	p := &push{t: t, service: a.Service(), environments: map[directory.ID][]string{}}
	p.tenant = entrasim.New(entrasim.Options{Seed: 7})
	p.tenant.Populate(users, groups)

	var organizations []directory.ID
	for _, name := range []string{"Fjord", "Delta"} {
		o, err := p.service.CreateOrganization(ctx, operator, name)
		if err != nil {
			t.Fatal(err)
		}
		organizations = append(organizations, o.ID)
	}
	st, err := p.service.CreateTenant(ctx, operator, directory.Tenant{Name: "nordwind", OrganizationIDs: organizations,
		SCIM: directory.SCIMOptions{RequestsPerSecond: directory.MaxRequestsPerSecond}})
	if err != nil {
		t.Fatal(err)
	}
	p.scimTenant = st.ID
	all := p.tenant.Snapshot().Groups
	for i, synced := range [][]entrasim.Group{all[:3], all[2:6], all[5:9]} {
		e, err := p.service.CreateEnvironment(ctx, operator, organizations[i/2], fmt.Sprintf("Environment %d", i))
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range synced {
			p.environments[e.ID] = append(p.environments[e.ID], g.ID)
		}
		on := true
		if _, _, err := p.service.SetIntegration(ctx, operator, e.ID, directory.IntegrationInput{Enabled: &on, TenantID: &st.ID,
			Groups: p.environments[e.ID], DefaultMenus: []string{"Main"}}); err != nil {
			t.Fatal(err)
		}
	}
	secret := auth.NewSecret()
	if _, err := p.service.CreateToken(ctx, operator, st.ID, directory.NewToken{Name: "Entra", Hash: secret.Hash, Hint: secret.Hint}); err != nil {
		t.Fatal(err)
	}
	p.provisioner, err = entrasim.NewProvisioner(p.tenant, entrasim.ProvisionerOptions{
		Base: a.URL() + "/scim/nordwind/v2" + dialect, Token: secret.Text, ObjectIDAsExternalID: true, SyncAll: true, Concurrency: 8, ParallelMembers: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.provisioner.Close)
	if err := p.provisioner.Probe(ctx); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *push) cycle() {
	p.t.Helper()
	var err error
	if p.last, err = p.provisioner.Cycle(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	if p.last.Failed > 0 || p.last.Escrowed > 0 {
		p.t.Fatalf("not everything was pushed:\n%s", p.last)
	}
}

// check compares the active accesses of each environment with the rules: who is active in the
// directory and directly in a group to sync, and nobody else.
func (p *push) check() {
	p.t.Helper()
	snapshot := p.tenant.Snapshot()
	active := map[string]bool{}
	for _, u := range snapshot.Users {
		active[u.ID] = u.AccountEnabled && !u.Deleted()
	}
	members := map[string][]string{}
	for _, g := range snapshot.Groups {
		members[g.ID] = g.Members
	}
	for env, groups := range p.environments {
		want := map[string]bool{}
		for _, g := range groups {
			for _, m := range members[g] {
				if active[m] {
					want[m] = true
				}
			}
		}
		if len(want) == 0 {
			p.t.Errorf("environment %s has nobody: the test proves nothing of it", env)
		}
		if diff := cmp.Diff(want, p.entitled(env)); diff != "" {
			p.t.Errorf("environment %s (-rules +server):\n%s", env, diff)
		}
	}
	report, err := p.provisioner.Verify(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	if report.Differences > 0 {
		p.t.Errorf("the server does not hold what was pushed:\n%s", report)
	}
}

// entitled reads who has an active access, by object id.
func (p *push) entitled(env directory.ID) map[string]bool {
	p.t.Helper()
	got := map[string]bool{}
	err := p.service.View(p.t.Context(), func(s *directory.Snapshot) error {
		var accounts []directory.ID
		if err := s.EnvironmentAccesses(env, true, directory.ID{}, func(id directory.ID) bool {
			accounts = append(accounts, id)
			return true
		}); err != nil {
			return err
		}
		for _, id := range accounts {
			account, err := s.Account(id)
			if err != nil {
				return err
			}
			u, err := s.User(p.scimTenant, account.UserID)
			if err != nil {
				return err
			}
			got[u.ExternalID] = true
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return got
}

// state is everything that a cycle without changes must leave as it is.
type state struct {
	Versions map[string]string
	Events   uint64
	Lines    int
}

func (p *push) state() state {
	p.t.Helper()
	s := state{Versions: map[string]string{}}
	err := p.service.View(p.t.Context(), func(sn *directory.Snapshot) error {
		note := func(id directory.ID, version uint64, modified fmt.Stringer) {
			s.Versions[id.String()] = fmt.Sprintf("%d of %s", version, modified)
		}
		if err := sn.Users(p.scimTenant, directory.ID{}, 0, func(u *directory.User) bool {
			note(u.ID, u.Version, u.Modified)
			return true
		}); err != nil {
			return err
		}
		if err := sn.Groups(p.scimTenant, directory.ID{}, 0, func(g *directory.Group) bool {
			note(g.ID, g.Version, g.Modified)
			return true
		}); err != nil {
			return err
		}
		if err := sn.Outbox(0, func(e *directory.OutboxEvent) bool {
			s.Events = e.Sequence
			return true
		}); err != nil {
			return err
		}
		return sn.Log(p.scimTenant, 0, false, func(*directory.LogEvent) bool {
			s.Lines++
			return true
		})
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// unchanged runs a cycle without changes, and one that pushes everything again as after "restart
// provisioning"; neither may leave a trace.
func (p *push) unchanged() {
	p.t.Helper()
	before := p.state()
	p.cycle()
	if n := p.last.Writes(); n > 0 {
		p.t.Errorf("a cycle without changes sent %d writes:\n%s", n, p.last)
	}
	p.provisioner.Restart()
	p.cycle()
	if diff := cmp.Diff(before, p.state()); diff != "" {
		p.t.Errorf("a cycle without changes changed something (-before +after):\n%s", diff)
	}
}
