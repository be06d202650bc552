package directory_test

import (
	"slices"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
)

// nestedScene is a scene whose production counts members of nested groups, with bo in the pilots
// through one and in nothing else.
type nestedScene struct {
	*repairScene
	bo *directory.User
}

func newNestedScene(t *testing.T) *nestedScene {
	s := &nestedScene{repairScene: newRepairScene(t)}
	s.nested(s.production)
	s.bo = s.createUser(s.fjord, person("bo", 2))
	s.repair(s.run, s.planIn(s.bo, s.pilots))
	s.wantState(s.bo.AccountID, s.production, "active")
	return s
}

func (w *world) planIn(u *directory.User, groups ...*directory.Group) directory.Repair {
	r := w.plan(w.user(u))
	r.In = groupIDs(groups)
	return r
}

func (w *world) planOut(u *directory.User, groups ...*directory.Group) directory.Repair {
	r := w.plan(w.user(u))
	r.Out = groupIDs(groups)
	return r
}

// wantIndirect checks who is in a group of production through a nested one, asked in both ways.
func (s *nestedScene) wantIndirect(g *directory.Group, want ...*directory.User) {
	s.Helper()
	var got []directory.ID
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		env, err := sn.Environment(s.production)
		if err != nil {
			return false, err
		}
		for _, u := range []*directory.User{s.ada, s.bo} {
			is, err := sn.IsIndirect(env, u.ID, g.ID)
			if err != nil {
				return false, err
			}
			if is != slices.Contains(want, u) {
				s.Errorf("%s in %s through another: %v", u.UserName, g.DisplayName, is)
			}
		}
		return true, sn.Indirect(env, func(user, group directory.ID) bool {
			if group == g.ID {
				got = append(got, user)
			}
			return true
		})
	})
	wantSame(s, "through another in "+g.DisplayName, got, userIDs(want))
}

// Who is in a group through another one has access as long as the pull sees it.
func TestIndirectInAndOut(t *testing.T) {
	t.Parallel()
	s := newNestedScene(t)
	s.wantIndirect(s.pilots, s.bo)
	wantSame(t, "told of being in again", s.telling(func() { s.repair(s.run, s.planIn(s.bo, s.pilots, s.pilots)) }), told{})
	wantSame(t, "told of being out of another", s.telling(func() { s.repair(s.run, s.planOut(s.bo, s.crew)) }), told{})
	s.repair(s.run, s.planIn(s.bo, s.crew))
	s.repair(s.run, s.planOut(s.bo, s.pilots))
	s.wantIndirect(s.pilots)
	s.wantIndirect(s.crew, s.bo)
	s.wantState(s.bo.AccountID, s.production, "active") // the crew is synced too
	session := s.signIn(s.bo.AccountID)
	got := s.telling(func() { s.repair(s.run, s.planOut(s.bo, s.crew)) })
	left := granted(s.production, s.bo.AccountID, s.bo.ID, directory.Deactivated)
	left.Sessions = 1
	wantSame(t, "accesses", got.Log[0].Accesses, []directory.AccessEffect{left})
	if len(got.Log) != 1 || len(got.Events) != 1 || got.Events[0].Type != "user.updated" || s.signedIn(session) {
		t.Errorf("told: %+v", got)
	}
	s.wantState(s.bo.AccountID, s.production, "inactive")
	if s.isMember(s.pilots, s.bo) || s.group(s.pilots).Version != s.pilots.Version {
		t.Error("the SCIM group was changed")
	}
	checkInvariants(s.world)
}

// What nested groups give is lost with every setting that it was read under, and back only when the
// pull has read it anew.
func TestIndirectCountsUnderItsSettings(t *testing.T) {
	t.Parallel()
	on, off := true, false
	for name, test := range map[string]struct{ away, back func(*nestedScene) }{
		"the counting of nested groups": {
			func(s *nestedScene) { s.set(s.production, directory.IntegrationInput{Transitive: &off}) },
			func(s *nestedScene) { s.set(s.production, directory.IntegrationInput{Transitive: &on}) }},
		"the tenant": {
			func(s *nestedScene) { s.set(s.production, directory.IntegrationInput{TenantID: &s.harbor}) },
			func(s *nestedScene) { s.set(s.production, directory.IntegrationInput{TenantID: &s.fjord}) }},
		"the checkbox": {
			func(s *nestedScene) { s.enable(s.production, false) },
			func(s *nestedScene) { s.enable(s.production, true) }},
		"the groups to sync": {
			func(s *nestedScene) { s.sync(s.production, s.crewID) },
			func(s *nestedScene) { s.sync(s.production, s.crewID, s.pilotsID) }},
		"the group's object id": {
			func(s *nestedScene) { s.renameGroup(s.pilots, "Pilots", object(109)) },
			func(s *nestedScene) { s.renameGroup(s.pilots, "Pilots", s.pilotsID) }},
		"the group": {
			func(s *nestedScene) { s.deleteGroup(s.pilots) },
			func(s *nestedScene) { s.pilots = s.createGroup(s.fjord, "Pilots", s.pilotsID, s.ada.ID) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newNestedScene(t)
			s.repair(s.run, s.planIn(s.ada, s.pilots)) // who is in directly too
			test.away(s)
			s.wantState(s.bo.AccountID, s.production, "inactive")
			checkInvariants(s.world)
			test.back(s)
			s.wantState(s.bo.AccountID, s.production, "inactive")
			s.wantState(s.ada.AccountID, s.production, "active")
			s.wantIndirect(s.pilots)
			checkInvariants(s.world)
			s.repair(s.run, s.planIn(s.bo, s.pilots))
			s.wantState(s.bo.AccountID, s.production, "active")
			checkInvariants(s.world)
		})
	}
}

// Of those who are in through a nested group, each loses what no other group gives.
func TestIndirectOfOneOfTheGroups(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(*nestedScene){
		"taken out of the groups to sync": func(s *nestedScene) { s.sync(s.production, s.crewID) },
		"deleted":                         func(s *nestedScene) { s.deleteGroup(s.pilots) },
		"another one":                     func(s *nestedScene) { s.renameGroup(s.pilots, "Pilots", object(109)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newNestedScene(t)
			s.repair(s.run, s.planIn(s.bo, s.crew))
			eve := s.createUser(s.fjord, person("eve", 3))
			s.repair(s.run, s.planIn(eve, s.pilots))
			away(s)
			s.wantState(s.bo.AccountID, s.production, "active")
			s.wantState(eve.AccountID, s.production, "inactive")
			checkInvariants(s.world)
		})
	}
}

// Generation rises with the settings that nested groups are read under, and with no others.
func TestGeneration(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	on, off := true, false
	now := s.environment(s.production).Integration.Generation
	for _, step := range []struct {
		name  string
		in    directory.IntegrationInput
		rises bool
	}{
		{"nested groups count", directory.IntegrationInput{Transitive: &on}, true},
		{"the same again", directory.IntegrationInput{Transitive: &on}, false},
		{"nothing", directory.IntegrationInput{}, false},
		{"groups", directory.IntegrationInput{Groups: []string{s.pilotsID}}, false},
		{"menus", directory.IntegrationInput{DefaultMenus: []string{"sales"}}, false},
		{"periodic", directory.IntegrationInput{Periodic: &on}, false},
		{"guests", directory.IntegrationInput{Guests: &on}, false},
		{"paused", directory.IntegrationInput{Paused: &on}, false},
		{"hold", directory.IntegrationInput{Hold: &on}, false},
		{"stops", directory.IntegrationInput{Stops: &directory.Stops{RunCount: 1}}, false},
		{"the tenant", directory.IntegrationInput{TenantID: &s.harbor}, true},
		{"off", directory.IntegrationInput{Enabled: &off}, true},
		{"on", directory.IntegrationInput{Enabled: &on}, true},
		{"nested groups count no more", directory.IntegrationInput{Transitive: &off}, true},
	} {
		s.set(s.production, step.in)
		next := s.environment(s.production).Integration.Generation
		if step.rises != (next > now) || next < now {
			t.Errorf("%s: generation %d after %d", step.name, next, now)
		}
		now = next
	}
	checkInvariants(s.world)
}

// Whoever is disabled loses the access, however they got it, and has it again when they are enabled,
// also where they never had it before.
func TestIndirectAndActive(t *testing.T) {
	t.Parallel()
	s := newNestedScene(t)
	s.setActive(s.bo, false)
	s.wantState(s.bo.AccountID, s.production, "inactive")
	s.setActive(s.bo, true)
	s.wantState(s.bo.AccountID, s.production, "active")

	p := person("eve", 3)
	p.Active = false
	eve := s.createUser(s.fjord, p)
	s.repair(s.run, s.planIn(eve, s.pilots))
	s.wantState(eve.AccountID, s.production, "none")
	checkInvariants(s.world)
	s.setActive(eve, true)
	s.wantState(eve.AccountID, s.production, "active")
	checkInvariants(s.world)
}

// Push that takes a member out takes the access away at once, unless the pull has seen that the
// person is in the group in another way.
func TestIndirectAndPush(t *testing.T) {
	t.Parallel()
	s := newNestedScene(t)
	s.add(s.pilots, s.bo)
	s.remove(s.pilots, s.ada, s.bo)
	s.wantState(s.ada.AccountID, s.production, "inactive")
	s.wantState(s.bo.AccountID, s.production, "active")
	checkInvariants(s.world)
}

// A user who is deleted leaves nothing behind that would count for a later one.
func TestIndirectAndDeletion(t *testing.T) {
	t.Parallel()
	s := newNestedScene(t)
	s.repair(s.run, s.planIn(s.bo, s.crew))
	s.deleteUser(s.bo)
	s.wantState(s.bo.AccountID, s.production, "inactive")
	s.wantIndirect(s.pilots)
	checkInvariants(s.world)
	again := s.createUser(s.fjord, person("bo", 2))
	if again.AccountID != s.bo.AccountID {
		t.Error("another account")
	}
	s.wantState(s.bo.AccountID, s.production, "inactive")
	checkInvariants(s.world)
}

// Nested groups of one environment give nothing in another.
func TestIndirectOfOneEnvironment(t *testing.T) {
	t.Parallel()
	s := newNestedScene(t)
	s.integrate(s.test, s.fjord, s.pilotsID)
	s.nested(s.test)
	s.wantState(s.bo.AccountID, s.test, "none")
	s.setActive(s.bo, false)
	s.setActive(s.bo, true)
	s.wantState(s.bo.AccountID, s.test, "none")
	s.deleteGroup(s.pilots)
	s.wantState(s.bo.AccountID, s.production, "inactive")
	checkInvariants(s.world)
}

// What nested groups gave to many is taken away in steps, and nothing of it counts later.
func TestIndirectInSteps(t *testing.T) {
	t.Parallel()
	s := newManyScene(t, directory.Limits{InlineRows: 3, StepRows: 4})
	other := s.createGroup(s.tenant, "Divers", "divers")
	s.set(s.env, directory.IntegrationInput{Transitive: new(true), Groups: []string{othersID, "divers"}})
	s.finishAll()
	run := s.startRun(s.env)
	people := s.people[:20]
	for _, u := range people {
		s.repair(run, s.planIn(u, other))
	}
	s.wantCount(30, 0)
	if s.sync(s.env, othersID) == nil {
		t.Fatal("all at once")
	}
	checkInvariants(s.world)
	if steps := s.finishAll(); steps < 4 {
		t.Errorf("%d steps", steps)
	}
	s.wantCount(10, 20)
	for _, u := range people {
		s.wantState(u.AccountID, s.env, "inactive")
	}
	checkInvariants(s.world)
	s.sync(s.env, othersID, "divers")
	s.finishAll()
	s.wantCount(10, 20)
	checkInvariants(s.world)
}

// Of what was read under other settings nothing counts at once, long before the last of it is gone.
func TestIndirectCountsNoMoreAtOnce(t *testing.T) {
	t.Parallel()
	s := newManyScene(t, directory.Limits{InlineRows: 3, StepRows: 4})
	s.set(s.env, directory.IntegrationInput{Transitive: new(true), Groups: []string{othersID}})
	s.finishAll()
	run := s.startRun(s.env)
	for _, u := range s.people[:20] {
		s.repair(run, s.planIn(u, s.others))
	}
	s.set(s.env, directory.IntegrationInput{Transitive: new(false)})
	s.set(s.env, directory.IntegrationInput{Transitive: new(true)})
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		env, err := sn.Environment(s.env)
		if err != nil {
			return false, err
		}
		for _, u := range s.people[:20] {
			if is, err := sn.IsIndirect(env, u.ID, s.others.ID); is || err != nil {
				t.Errorf("%s is in: %v, %v", u.UserName, is, err)
			}
		}
		return true, sn.Indirect(env, func(user, _ directory.ID) bool {
			t.Errorf("%v is listed", user)
			return true
		})
	})
	s.repair(run, s.planIn(s.people[0], s.others)) // read anew while the rest is being taken away
	s.finishAll()
	s.wantCount(11, 19)
	s.wantState(s.people[0].AccountID, s.env, "active")
	checkInvariants(s.world)
}
