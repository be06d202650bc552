package directory_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
)

// What is told before a change of an integration is what the change then does.
func TestLosingAccessIsWhatIsLost(t *testing.T) {
	t.Parallel()
	on, off := true, false
	for name, c := range map[string]struct {
		setup func(*scene) // of production, which syncs the pilots
		in    func(*scene) directory.IntegrationInput
		want  int64
	}{
		"switched off": {nil, func(*scene) directory.IntegrationInput { return directory.IntegrationInput{Enabled: &off} }, 3},
		"nothing":      {nil, func(*scene) directory.IntegrationInput { return directory.IntegrationInput{} }, 0},
		"periodic":     {nil, func(*scene) directory.IntegrationInput { return directory.IntegrationInput{Periodic: &on} }, 0},
		"a group more": {nil, func(s *scene) directory.IntegrationInput {
			return directory.IntegrationInput{Groups: []string{object(101), object(155)}}
		}, 0},
		"another group with one too": {nil, func(s *scene) directory.IntegrationInput {
			return directory.IntegrationInput{Groups: []string{object(155)}}
		}, 2},
		"a group that is not there": {nil, func(*scene) directory.IntegrationInput {
			return directory.IntegrationInput{Groups: []string{object(199)}}
		}, 3},
		"another tenant":           {nil, func(s *scene) directory.IntegrationInput { return directory.IntegrationInput{TenantID: &s.harbor} }, 3},
		"an internal person stays": {func(s *scene) { s.internal(s.production) }, func(*scene) directory.IntegrationInput { return directory.IntegrationInput{Enabled: &off} }, 3},
		"one who is inactive already": {func(s *scene) { s.setActive(s.ada, false) }, func(*scene) directory.IntegrationInput {
			return directory.IntegrationInput{Groups: []string{object(199)}}
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			pilots := s.pilots
			bo, cy := s.createUser(s.fjord, person("bo", 42)), s.createUser(s.fjord, person("cy", 43))
			s.add(pilots, s.ada, bo, cy)
			s.createGroup(s.fjord, "Others", object(155), cy.ID)
			if c.setup != nil {
				c.setup(s)
			}
			before, gone := externals(s), count(s, false)
			in := c.in(s)
			told := view(s.world, func(sn *directory.Snapshot) (directory.Losing, error) {
				return sn.LosingAccess(operator, s.production, in)
			})
			s.set(s.production, in)
			if lost := count(s, false) - gone; told.People != c.want || told.Active != before || lost != c.want {
				t.Errorf("told %+v, lost %d of %d; want %d", told, lost, before, c.want)
			}
		})
	}
}

// externals counts those with active access whom a directory manages.
func externals(s *scene) (n int64) {
	for _, id := range actives(s.world, s.production) {
		if view(s.world, func(sn *directory.Snapshot) (*directory.Account, error) { return sn.Account(id) }).External() {
			n++
		}
	}
	return n
}

func count(s *scene, active bool) int64 {
	return view(s.world, func(sn *directory.Snapshot) (int64, error) { return sn.EnvironmentAccessCount(s.production, active) })
}

func TestLosingAccessIsForWhoMaySet(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	off := false
	ask := func(by directory.Actor, in directory.IntegrationInput) error {
		return s.svc.View(s.ctx, func(sn *directory.Snapshot) error {
			_, err := sn.LosingAccess(by, s.production, in)
			return err
		})
	}
	own := directory.Actor{Role: directory.RoleEnvironment, Reach: &directory.Reach{Environments: []directory.ID{s.production}}}
	other := directory.Actor{Role: directory.RoleEnvironment, Reach: &directory.Reach{Environments: []directory.ID{s.elsewhere}}}
	wantKind(t, ask(other, directory.IntegrationInput{}), directory.NotFound)
	wantKind(t, ask(own, directory.IntegrationInput{Enabled: &off}), directory.Forbidden)
	if err := ask(own, directory.IntegrationInput{Groups: []string{object(199)}}); err != nil {
		t.Error(err)
	}
}

// A tenant that was taken from the organization while the integration was off is not used when it is switched on again.
func TestIntegrationIsSwitchedOnWithItsOwnTenant(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	foreign := must(s.svc.CreateOrganization(s.ctx, operator, "Foreign")).ID
	belongs := func(org directory.ID) {
		t.Helper()
		must(s.svc.SetTenant(s.ctx, operator, s.fjord, func(t *directory.Tenant) error { t.OrganizationIDs = []directory.ID{org}; return nil }))
	}
	for _, e := range view(s.world, func(sn *directory.Snapshot) ([]*directory.Environment, error) { return sn.Environments(s.org) }) {
		if e.Integration.Enabled && e.Integration.TenantID == s.fjord {
			s.enable(e.ID, false)
		}
	}
	belongs(foreign)
	s.unchanged(func() {
		_, _, err := s.svc.SetIntegration(s.ctx, operator, s.production, directory.IntegrationInput{Enabled: new(true)})
		wantKind(t, err, directory.Invalid)
	})
	belongs(s.org)
	s.enable(s.production, true)
}

func TestStopsLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		stops        directory.Stops
		active, want int64
	}{{directory.Stops{}, 100, 10}, {directory.Stops{}, 1000, 50}, {directory.Stops{RunCount: 3, RunPercent: 1}, 100, 3}, {directory.Stops{RunPercent: 20}, 100, 20}} {
		if got := c.stops.Limit(c.active); got != c.want {
			t.Errorf("%+v of %d: %d, not %d", c.stops, c.active, got, c.want)
		}
	}
}

// Who saves what somebody else has changed meanwhile is told, and nothing is lost.
func TestIntegrationVersion(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	yes := true
	version := s.environment(s.production).Integration.Version()
	s.set(s.production, directory.IntegrationInput{Periodic: &yes, Version: version})
	s.unchanged(func() {
		_, _, err := s.svc.SetIntegration(s.ctx, operator, s.production, directory.IntegrationInput{Guests: &yes, Version: version})
		wantKind(t, err, directory.Conflict)
	})
	s.set(s.production, directory.IntegrationInput{Guests: &yes, Version: s.environment(s.production).Integration.Version()})
}

// Whoever is in which group, directly or through another one, active or not: what is told is what is lost, also while a
// change of before is still under way.
func TestLosingAccessOfMany(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(7, seed))
			s := newNestedScene(t) // with one in a group through another one, and nobody else
			groups := []*directory.Group{s.pilots}
			for i := range 4 {
				groups = append(groups, s.createGroup(s.fjord, fmt.Sprint("Group ", i), object(170+i)))
			}
			s.internal(s.production)
			pick := func() (ids []string) {
				for _, g := range groups {
					if random.IntN(2) == 0 {
						ids = append(ids, g.ExternalID)
					}
				}
				return append(ids, groups[random.IntN(len(groups))].ExternalID)
			}
			for i := range 25 {
				u := s.createUser(s.fjord, person(fmt.Sprint("member", i), 500+i))
				for _, g := range groups {
					if random.IntN(3) == 0 {
						s.add(g, u)
					}
				}
				if random.IntN(5) == 0 {
					s.setActive(u, false)
				}
			}
			s.add(groups[0], s.ada)
			yes, no := true, false
			for _, in := range []directory.IntegrationInput{{Groups: pick()}, {Groups: pick()}, {Transitive: &no}, {Groups: pick()}, {Groups: pick(), Transitive: &yes}, {Groups: []string{object(199)}}, {Groups: pick()}, {Enabled: &no}} {
				before := actives(s.world, s.production)
				told := view(s.world, func(sn *directory.Snapshot) (directory.Losing, error) {
					return sn.LosingAccess(operator, s.production, in)
				})
				s.set(s.production, in)
				lost := slices.DeleteFunc(slices.Clone(before), func(id directory.ID) bool { return slices.Contains(actives(s.world, s.production), id) })
				if told.People != int64(len(lost)) || told.Active != int64(len(before)-1) { // the internal user counts for nothing
					t.Errorf("%+v: told %+v, lost %d of %d", in, told, len(lost), len(before)-1)
				}
			}
		})
	}
}

func actives(w *world, env directory.ID) (ids []directory.ID) {
	w.Helper()
	return view(w, func(sn *directory.Snapshot) ([]directory.ID, error) {
		err := sn.EnvironmentAccesses(env, true, directory.ID{}, func(id directory.ID) bool { ids = append(ids, id); return true })
		return ids, err
	})
}

// While a change of before is under way some still have access who are in no group: they are counted.
func TestLosingAccessWhileDeriving(t *testing.T) {
	t.Parallel()
	s := newManyScene(t, small)
	s.sync(s.env, crewID)
	s.finishAll()
	if work := s.sync(s.env, othersID); work == nil {
		t.Fatal("all were derived at once")
	}
	s.createGroup(s.tenant, "Last", "last", userIDs(s.people[98:])...)
	told := view(s.world, func(sn *directory.Snapshot) (directory.Losing, error) {
		return sn.LosingAccess(operator, s.env, directory.IntegrationInput{Groups: []string{"last"}})
	})
	if told.Active <= 10 || told.People != told.Active-2 {
		t.Errorf("told %+v, want all but two of them", told)
	}
}

// What few would lose costs what looking at the few costs, not at everybody who keeps it.
func TestLosingAccessLooksAtFew(t *testing.T) {
	t.Parallel()
	cost := func(members int) operations {
		s := newScene(t)
		ids := s.crowd(t, s.fjord, 1000, members)
		s.updateGroup(s.pilots, func(m *directory.Membership) error { return m.Add(ids) })
		s.createGroup(s.fjord, "Others", s.crewID, ids[:3]...)
		s.createGroup(s.fjord, "Few", object(155), s.createUser(s.fjord, person("bo", 42)).ID)
		s.integrate(s.production, s.fjord, s.pilotsID, s.crewID, object(155))
		return s.store.counted(func() {
			told := view(s.world, func(sn *directory.Snapshot) (directory.Losing, error) {
				return sn.LosingAccess(operator, s.production, directory.IntegrationInput{Groups: []string{s.pilotsID, s.crewID}})
			})
			if told.People != 1 {
				t.Errorf("told %+v", told)
			}
		})
	}
	few, many := cost(10), cost(500)
	few.Rows, many.Rows = 0, 0 // keys of members are compared
	compareCost(t, map[string]operations{"a group goes": few}, map[string]operations{"a group goes": many})
}
