package directory_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
)

func (w *world) taken(u *directory.User, g *directory.Group) bool {
	w.Helper()
	return view(w, func(s *directory.Snapshot) (bool, error) { return s.TakenByPush(u.TenantID, u.ID, g.ID) })
}

func (w *world) groupTaken(tenant directory.ID, external string) bool {
	w.Helper()
	return view(w, func(s *directory.Snapshot) (bool, error) { return s.GroupTakenByPush(tenant, external) })
}

func (w *world) disabledByPull(u *directory.User) bool {
	w.Helper()
	return view(w, func(s *directory.Snapshot) (bool, error) { return s.DisabledByPull(u.TenantID, u.ID) })
}

// Whom push took out of a group is remembered, in whatever way it did, until somebody puts them in.
func TestTakenByPush(t *testing.T) {
	t.Parallel()
	type verb func(*directory.Membership) error
	ids := func(users ...*directory.User) []directory.ID { return userIDs(users) }
	for name, test := range map[string]struct {
		do   func(s *repairScene) verb
		want bool
	}{
		"removed":               {func(s *repairScene) verb { return func(m *directory.Membership) error { return m.Remove(ids(s.ada)) } }, true},
		"replaced":              {func(s *repairScene) verb { return func(m *directory.Membership) error { return m.Replace(nil) } }, true},
		"cleared":               {func(*repairScene) verb { return (*directory.Membership).Clear }, true},
		"somebody else removed": {func(s *repairScene) verb { return func(m *directory.Membership) error { return m.Remove(ids(s.twin)) } }, false},
		"replaced by the same":  {func(s *repairScene) verb { return func(m *directory.Membership) error { return m.Replace(ids(s.ada)) } }, false},
		"removed and added at once": {func(s *repairScene) verb {
			return func(m *directory.Membership) error {
				if err := m.Remove(ids(s.ada)); err != nil {
					return err
				}
				return m.Add(ids(s.ada))
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newRepairScene(t)
			s.updateGroup(s.pilots, test.do(s))
			if s.taken(s.ada, s.pilots) != test.want {
				t.Errorf("taken: %v", !test.want)
			}
			checkInvariants(s.world)
			s.add(s.pilots, s.ada)
			if s.taken(s.ada, s.pilots) {
				t.Error("taken, and in again")
			}
			checkInvariants(s.world)
		})
	}
}

// What a pull puts in or takes out is not what push took out.
func TestTakenByPushAndPull(t *testing.T) {
	t.Parallel()
	s := newRepairScene(t)
	s.repair(s.run, s.planLeave(s.ada, s.pilots))
	if s.taken(s.ada, s.pilots) {
		t.Error("the pull took her out, not push")
	}
	s.repair(s.run, s.planJoin(s.ada, s.pilots))
	s.remove(s.pilots, s.ada)
	if !s.taken(s.ada, s.pilots) {
		t.Error("push took her out, and it is forgotten")
	}
	s.repair(s.run, s.planJoin(s.ada, s.pilots))
	if s.taken(s.ada, s.pilots) {
		t.Error("she is in again")
	}
	// In a group that push has made with its members nobody was ever taken out.
	divers := s.createGroup(s.fjord, "Divers", object(103), s.ada.ID)
	s.deleteGroup(divers)
	if s.taken(s.ada, divers) {
		t.Error("taken out of a group that is gone")
	}
	s.remove(s.pilots, s.ada)
	s.deleteUser(s.ada)
	if s.taken(s.ada, s.pilots) {
		t.Error("somebody who is gone is remembered")
	}
	checkInvariants(s.world)
}

// Of a nested group nothing is remembered: nobody puts groups in but push.
func TestTakenByPushIsOfPeople(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.updateGroup(s.pilots, func(m *directory.Membership) error { return m.Add([]directory.ID{s.crew.ID}) })
	s.updateGroup(s.pilots, func(m *directory.Membership) error { return m.Remove([]directory.ID{s.crew.ID, s.ada.ID}) })
	rows := 0
	for k := range s.dump() {
		rows += found(strings.HasPrefix(k, "taken\x00"))
	}
	if rows != 1 || !s.taken(s.ada, s.pilots) {
		t.Errorf("%d are remembered", rows)
	}
}

// That push took a group away is remembered until there is one of that object id again.
func TestGroupTakenByPush(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	want := func(external string, want bool) {
		t.Helper()
		if got := s.groupTaken(s.fjord, external); got != want {
			t.Errorf("group %s taken: %v", external, got)
		}
		checkInvariants(s.world)
	}
	want(s.pilotsID, false)
	s.deleteGroup(s.pilots)
	want(s.pilotsID, true)
	want(strings.ToUpper(s.pilotsID), true)
	again := s.createGroup(s.fjord, "Pilots", strings.ToUpper(s.pilotsID))
	want(s.pilotsID, false)
	s.renameGroup(again, "Flyers", strings.ToUpper(s.pilotsID)) // another name
	want(s.pilotsID, false)
	s.renameGroup(again, "Flyers", s.pilotsID) // another spelling
	want(s.pilotsID, false)
	s.renameGroup(again, "Flyers", object(109))
	want(s.pilotsID, true)
	want(object(109), false)
	s.renameGroup(again, "Flyers", "")
	want(object(109), true)
	s.renameGroup(again, "Flyers", s.pilotsID)
	want(s.pilotsID, false)
	want(object(109), true)
	other := s.createGroup(s.fjord, "Other", s.pilotsID) // of the same object id
	s.deleteGroup(again)
	want(s.pilotsID, false)
	s.renameGroup(other, "Other", object(110))
	want(s.pilotsID, true)
	s.deleteGroup(s.createGroup(s.fjord, "Nameless", ""))
	want("", false)
	if s.groupTaken(s.harbor, s.pilotsID) {
		t.Error("another tenant's group is taken")
	}
}

// Whom a pull made inactive it may make active again; whatever others do to it ends that.
func TestDisabledByPull(t *testing.T) {
	t.Parallel()
	s := newRepairScene(t)
	pull := func(active bool) {
		t.Helper()
		s.repair(s.run, s.planUpdate(s.user(s.ada), func(p *directory.Profile) { p.Active = active }))
	}
	want := func(what string, want bool) {
		t.Helper()
		if got := s.disabledByPull(s.ada); got != want {
			t.Errorf("%s: disabled by a pull: %v", what, got)
		}
		checkInvariants(s.world)
	}
	want("never disabled", false)
	s.setActive(s.ada, false)
	want("by push", false)
	pull(true)
	want("enabled by a pull", false)
	pull(false)
	want("by a pull", true)
	s.repair(s.run, s.planUpdate(s.user(s.ada), func(p *directory.Profile) { p.Name = "Ada B." }))
	s.updateUser(s.ada, func(p *directory.Profile) { p.Language = "en" })
	want("with another name", true)
	before := s.user(s.ada)
	says := func(says bool) {
		t.Helper()
		must(s.svc.UpdateUser(s.ctx, push, before.TenantID, before.ID, func(u *directory.User) (directory.UserInput, error) {
			return directory.UserInput{Profile: u.Profile, SaysActive: says, Schemas: u.Schemas, Attributes: u.Attributes}, nil
		}))
	}
	says(false)
	want("push said nothing of it", true)
	says(true)
	want("push said the same", false)
	if after := s.user(s.ada); after.Version != before.Version {
		t.Errorf("version %d, was %d", after.Version, before.Version)
	}
	pull(true)
	want("enabled by a pull", false)
	pull(false)
	s.setActive(s.ada, true)
	want("enabled by push", false)
	s.setActive(s.ada, false)
	want("disabled by push after a pull", false)
	pull(true)
	pull(false)
	s.deleteUser(s.ada)
	want("gone", false)

	p := person("bo", 2)
	p.Active = false
	bo := s.user(&directory.User{TenantID: s.fjord, ID: s.repair(s.run, s.planNew(p))[0].UserID})
	eve := person("eve", 3)
	eve.Active = false
	if !s.disabledByPull(bo) || s.disabledByPull(s.createUser(s.fjord, eve)) {
		t.Error("provisioned as inactive: by push as if by a pull, or the other way round")
	}
	checkInvariants(s.world)
}

// When push was there last is when one of its tokens was used last, of any kind.
func TestPushSeen(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	seen := func() string {
		t.Helper()
		last := view(s.world, func(sn *directory.Snapshot) (string, error) {
			last, err := sn.PushSeen(s.fjord)
			if last.IsZero() {
				return "never", err
			}
			return last.Format("15:04"), err
		})
		return last
	}
	var got []string
	got = append(got, seen())
	old := must(s.svc.CreateToken(s.ctx, operator, s.fjord, newToken("secret-old")))
	young := must(s.svc.CreateToken(s.ctx, operator, s.fjord, newToken("secret-young")))
	other := must(s.svc.CreateToken(s.ctx, operator, s.harbor, newToken("secret-other")))
	for _, token := range []*directory.Token{young, old, other} {
		s.clock.Advance(5 * 60e9)
		if err := s.svc.TouchToken(s.ctx, token.TenantID, token.ID, "192.0.2.1"); err != nil {
			t.Fatal(err)
		}
		got = append(got, seen())
	}
	if err := s.svc.RevokeToken(s.ctx, operator, s.fjord, old.ID); err != nil {
		t.Fatal(err)
	}
	got = append(got, seen())
	if want := []string{"never", "08:05", "08:10", "08:10", "08:10"}; !slices.Equal(got, want) {
		t.Errorf("seen %v, want %v", got, want)
	}
}

// The cost of a member on the hot path: what the pull has to know is one write a person, and
// nothing of a person whom it has nothing to know of.
func TestCostOfMembers(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	bo, plain := s.createUser(s.fjord, person("bo", 2)), s.createGroup(s.fjord, "Plain", "")
	cost := map[string]operations{}
	step := func(name string, fn func()) { cost[name] = s.store.counted(fn) }
	step("add", func() { s.add(plain, bo) })
	step("remove", func() { s.remove(plain, bo) })
	step("add a group", func() {
		s.updateGroup(plain, func(m *directory.Membership) error { return m.Add([]directory.ID{s.crew.ID}) })
	})
	step("remove a group", func() {
		s.updateGroup(plain, func(m *directory.Membership) error { return m.Remove([]directory.ID{s.crew.ID}) })
	})
	step("create with a member", func() { s.createGroup(s.fjord, "New", object(103), bo.ID) })
	step("disable", func() { s.setActive(bo, false) })
	wantSame(t, "cost", cost, map[string]operations{
		"add":                  {Updates: 1, Gets: 3, Scans: 2, Puts: 5, Deletes: 1, Sequences: 2}, // nobody was taken out: nothing is deleted
		"remove":               {Updates: 1, Gets: 2, Scans: 2, Puts: 4, Deletes: 2, Sequences: 2}, // one row more: who was taken out
		"add a group":          {Updates: 1, Gets: 5, Scans: 4, Puts: 6, Sequences: 2},             // two look for what contains the one group and the other
		"remove a group":       {Updates: 1, Gets: 2, Scans: 2, Puts: 3, Deletes: 2, Sequences: 2},
		"create with a member": {Updates: 1, Gets: 3, Scans: 4, Puts: 7, Deletes: 1, Sequences: 2}, // the group may have been taken away before
		"disable":              {Updates: 1, Gets: 2, Scans: 2, Puts: 5, Deletes: 1, Sequences: 2}, // one of them finds the line in the history of the person; a pull may have done it before
	})
}
