package directory_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// What changes nothing writes nothing: no version, no time, no log, no event, not a byte.
func TestNoChangeWritesNothing(t *testing.T) {
	t.Parallel()
	on, off := true, false
	for _, test := range []struct {
		name string
		do   func(*scene) error
	}{
		{"a user is sent again", func(s *scene) error {
			_, err := s.editUser(s.fjord, s.ada.ID, func(*directory.Profile) {})
			return err
		}},
		{"a group is sent again", func(s *scene) error {
			_, err := s.members(s.fjord, s.pilots.ID, func(*directory.Membership) error { return nil })
			return err
		}},
		{"a member is added who is in", func(s *scene) error {
			_, err := s.members(s.fjord, s.pilots.ID, func(m *directory.Membership) error {
				return m.Add([]directory.ID{s.ada.ID, s.ada.ID})
			})
			return err
		}},
		{"a member is removed who is not in", func(s *scene) error {
			_, err := s.members(s.fjord, s.crew.ID, func(m *directory.Membership) error {
				return m.Remove([]directory.ID{s.ada.ID, s.twin.ID, number(999)})
			})
			return err
		}},
		{"members are replaced by themselves", func(s *scene) error {
			_, err := s.members(s.fjord, s.pilots.ID, func(m *directory.Membership) error { return m.Replace([]directory.ID{s.ada.ID, s.ada.ID}) })
			return err
		}},
		{"an empty group is cleared", func(s *scene) error {
			_, err := s.members(s.fjord, s.crew.ID, (*directory.Membership).Clear)
			return err
		}},
		{"a member comes and goes in one change", func(s *scene) error {
			_, err := s.members(s.fjord, s.crew.ID, func(m *directory.Membership) error {
				if err := m.Add([]directory.ID{s.ada.ID}); err != nil {
					return err
				}
				return m.Remove([]directory.ID{s.ada.ID})
			})
			return err
		}},
		{"an integration is set again", func(s *scene) error {
			_, run, err := s.svc.SetIntegration(s.ctx, operator, s.production, directory.IntegrationInput{Enabled: &on, TenantID: &s.fjord,
				Groups: []string{strings.ToUpper(s.pilotsID), s.crewID, s.crewID}, DefaultMenus: []string{"sales", "stock"}, Periodic: &off})
			if run != nil {
				t.Error("a run for nothing")
			}
			return err
		}},
		{"an integration that is off is switched off", func(s *scene) error {
			_, _, err := s.svc.SetIntegration(s.ctx, operator, s.test, directory.IntegrationInput{Enabled: &off})
			return err
		}},
		{"a tenant is set again", func(s *scene) error {
			_, err := s.svc.SetTenant(s.ctx, operator, s.fjord, func(*directory.Tenant) error { return nil })
			return err
		}},
		{"no default environment is chosen no more", func(s *scene) error {
			_, err := s.svc.SetAccount(s.ctx, operator, s.ada.AccountID, directory.AccountInput{DefaultEnvironment: new(directory.ID)})
			return err
		}},
		{"there is no run to work on", func(s *scene) error {
			more, err := s.svc.WorkOnce(s.ctx)
			if more {
				t.Error("there is")
			}
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.clock.Advance(time.Hour)
			s.unchanged(func() {
				if err := test.do(s); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A repeated update that was answered with warnings leaves a line in the log, and nothing else.
func TestWarningsOfNoChange(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.clock.Advance(time.Hour)
	before := s.dump()
	u, err := s.svc.UpdateUser(s.ctx, push, s.fjord, s.ada.ID, func(u *directory.User) (directory.UserInput, error) {
		in := userInput(u.Profile)
		in.Warnings = []string{"attribute shoeSize is not known"}
		return in, nil
	})
	if err != nil || u.Version != 1 {
		t.Fatalf("%+v, %v", u, err)
	}
	if _, err := s.svc.UpdateGroup(s.ctx, push, s.fjord, s.pilots.ID, func(g *directory.Group, _ *directory.Membership) (directory.GroupInput, error) {
		in := sameGroup(g)
		in.Warnings = []string{"attribute shoeSize is not known"}
		return in, nil
	}); err != nil {
		t.Fatal(err)
	}
	added := 0
	for k := range s.dump() {
		if _, ok := before[k]; ok {
			continue
		}
		if strings.HasPrefix(k, "log_person\x00") { // by which the line about ada is found
			continue
		}
		added++
		if !strings.HasPrefix(k, "log\x00") {
			t.Errorf("a row in %q", k)
		}
	}
	if added != 2 {
		t.Errorf("%d new rows, want 2 lines of the log", added)
	}
	if e := s.lastLog(s.fjord); e.Status != directory.Warning || len(e.Warnings) != 1 {
		t.Errorf("log: %+v", e)
	}
}

// Whatever an update compares is compared: the attributes, the schemas, and what was read from them.
func TestEveryDifferenceCounts(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	version := uint64(1)
	same := userInput(s.ada.Profile)
	for name, edit := range map[string]func(*directory.UserInput){
		"attributes":  func(in *directory.UserInput) { in.Attributes = []byte(`{"title":"Pilot"}`) },
		"schemas":     func(in *directory.UserInput) { in.Schemas = []byte(`["urn:other"]`) },
		"name":        func(in *directory.UserInput) { in.Name = "Ada B." },
		"userName":    func(in *directory.UserInput) { in.UserName = "ada.b@fjord.example" },
		"email":       func(in *directory.UserInput) { in.Email = "ada.b@fjord.example" },
		"emails":      func(in *directory.UserInput) { in.Emails = append(slices.Clone(in.Emails), "ada.b@fjord.example") },
		"externalId":  func(in *directory.UserInput) { in.ExternalID = object(40) },
		"language":    func(in *directory.UserInput) { in.Language = "en" },
		"locale":      func(in *directory.UserInput) { in.Locale = "en" },
		"deactivated": func(in *directory.UserInput) { in.Active = false },
	} {
		for _, in := range []directory.UserInput{same, same} { // there and back
			if version%2 == 1 {
				edit(&in)
			}
			u, err := s.svc.UpdateUser(s.ctx, push, s.fjord, s.ada.ID, func(*directory.User) (directory.UserInput, error) { return in, nil })
			version++
			if err != nil || u.Version != version {
				t.Fatalf("%s: version %d, want %d, %v", name, u.Version, version, err)
			}
		}
	}
	version = 1
	for name, in := range map[string]directory.GroupInput{
		"displayName": {DisplayName: "Flyers", ExternalID: s.pilotsID, Schemas: groupSchemas, Attributes: s.pilots.Attributes},
		"externalId":  {DisplayName: "Pilots", ExternalID: "", Schemas: groupSchemas, Attributes: s.pilots.Attributes},
		"attributes":  {DisplayName: "Pilots", ExternalID: s.pilotsID, Schemas: groupSchemas, Attributes: []byte(`{}`)},
		"schemas":     {DisplayName: "Pilots", ExternalID: s.pilotsID, Schemas: []byte(`[]`), Attributes: s.pilots.Attributes},
	} {
		for _, in := range []directory.GroupInput{in, groupInput("Pilots", s.pilotsID)} {
			g, err := s.svc.UpdateGroup(s.ctx, push, s.fjord, s.pilots.ID, func(*directory.Group, *directory.Membership) (directory.GroupInput, error) { return in, nil })
			version++
			if err != nil || g.Version != version {
				t.Fatalf("%s: version %d, want %d, %v", name, g.Version, version, err)
			}
		}
	}
	checkInvariants(s.world)
}

// What fn does to the resource that it was given, in place, counts like what it makes anew.
func TestUpdateInPlace(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	u, err := s.svc.UpdateUser(s.ctx, push, s.fjord, s.ada.ID, func(u *directory.User) (directory.UserInput, error) {
		u.Active, u.UserName, u.Emails[0], u.ExternalID = false, "gone@fjord.example", "gone@fjord.example", object(41)
		return userInput(u.Profile), nil
	})
	if err != nil || u.Version != 2 {
		t.Errorf("%+v, %v", u, err)
	}
	s.wantState(s.ada.AccountID, s.production, "inactive")
	g, err := s.svc.UpdateGroup(s.ctx, push, s.fjord, s.pilots.ID, func(g *directory.Group, _ *directory.Membership) (directory.GroupInput, error) {
		g.DisplayName, g.ExternalID = "Flyers", object(42)
		return groupInput(g.DisplayName, g.ExternalID), nil
	})
	if err != nil || g.Version != 2 {
		t.Errorf("%+v, %v", g, err)
	}
	checkInvariants(s.world)
}

// What Service returns is the caller's: it does not end with the transaction.
func TestResultsOutliveTheTransaction(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	g, err := s.members(s.fjord, s.crew.ID, func(m *directory.Membership) error { return m.Add([]directory.ID{s.ada.ID}) })
	if err != nil || string(g.Attributes) != string(groupInput("Crew", s.crewID).Attributes) || string(g.Schemas) != string(groupSchemas) {
		t.Errorf("group %q %q, %v", g.Schemas, g.Attributes, err)
	}
	u, err := s.svc.UpdateUser(s.ctx, push, s.fjord, s.ada.ID, func(u *directory.User) (directory.UserInput, error) {
		in := directory.UserInput{Profile: u.Profile, Schemas: u.Schemas, Attributes: u.Attributes}
		in.Name = "Ada B."
		return in, nil
	})
	if err != nil || string(u.Attributes) != string(s.ada.Attributes) || string(u.Schemas) != string(userSchemas) {
		t.Errorf("user %q %q, %v", u.Schemas, u.Attributes, err)
	}
}

// An update that fails, wherever it fails, leaves no trace.
func TestFailureLeavesNoTrace(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	bo := s.createUser(s.fjord, person("bo", 2))
	refused := errors.New("refused")
	refuse := func() error { return refused }
	s.unchanged(func() {
		_, err := s.svc.UpdateUser(s.ctx, push, s.fjord, s.ada.ID, func(*directory.User) (directory.UserInput, error) { return directory.UserInput{}, refused })
		if !errors.Is(err, refused) {
			t.Error(err)
		}
		_, err = s.members(s.fjord, s.pilots.ID, func(m *directory.Membership) error {
			if err := m.Replace([]directory.ID{bo.ID}); err != nil {
				return err
			}
			return refused
		})
		if !errors.Is(err, refused) {
			t.Error(err)
		}
		_, err = s.members(s.fjord, s.pilots.ID, func(m *directory.Membership) error { return m.Replace([]directory.ID{bo.ID, number(999)}) })
		wantKind(t, err, directory.Invalid)
		_, err = s.svc.CreateGroup(s.ctx, push, s.fjord, groupInput("New", object(103)), []directory.ID{bo.ID, s.twin.ID})
		wantKind(t, err, directory.Invalid)
		for _, check := range []error{
			s.svc.DeleteUser(s.ctx, push, s.fjord, s.ada.ID, func(*directory.User) error { return refused }),
			s.svc.DeleteGroup(s.ctx, push, s.fjord, s.pilots.ID, func(*directory.Group) error { return refused }),
		} {
			if !errors.Is(check, refused) {
				t.Error(check)
			}
		}

		// The store refuses at the very end, when all has been written.
		s.store.fail = refuse
		defer func() { s.store.fail = nil }()
		off := false
		for name, do := range map[string]func() error{
			"CreateUser": func() error {
				_, err := s.svc.CreateUser(s.ctx, push, s.fjord, userInput(person("cleo", 3)))
				return err
			},
			"UpdateUser": func() error {
				_, err := s.editUser(s.fjord, s.ada.ID, func(p *directory.Profile) { p.Active = false })
				return err
			},
			"DeleteUser":  func() error { return s.svc.DeleteUser(s.ctx, push, s.fjord, s.ada.ID, nil) },
			"DeleteGroup": func() error { return s.svc.DeleteGroup(s.ctx, push, s.fjord, s.pilots.ID, nil) },
			"SetIntegration": func() error {
				_, _, err := s.svc.SetIntegration(s.ctx, operator, s.production, directory.IntegrationInput{Enabled: &off})
				return err
			},
			"CreateSession": func() error {
				_, err := s.svc.CreateSession(s.ctx, push, directory.SessionInput{AccountID: s.ada.AccountID, Hash: secretHash("x")})
				return err
			},
		} {
			if err := do(); !errors.Is(err, refused) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// Groups contain no cycle, whatever is tried.
func TestGroupCycles(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	chain := []*directory.Group{s.pilots, s.crew, s.createGroup(s.fjord, "Third", "")}
	nest := func(in, out *directory.Group) error {
		_, err := s.members(s.fjord, out.ID, func(m *directory.Membership) error { return m.Add([]directory.ID{in.ID}) })
		return err
	}
	for i, g := range chain[1:] {
		if err := nest(g, chain[i]); err != nil {
			t.Fatal(err)
		}
	}
	s.unchanged(func() {
		for i, g := range chain {
			for _, inner := range chain[:i+1] {
				wantKind(t, nest(inner, g), directory.Invalid)
			}
		}
	})
	// Turned around in one change it is none.
	s.deleteGroup(chain[1])
	if err := nest(chain[0], chain[2]); err != nil {
		t.Error(err)
	}
	checkInvariants(s.world)
}

// A group knows when it is in no other one, so that nobody has to look: from the start, and again from its first change
// after it has left the last.
func TestGroupAlone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	inner, outer := s.createGroup(s.fjord, "Inner", ""), s.createGroup(s.fjord, "Outer", "")
	check := func(step string, want bool) {
		t.Helper()
		g := view(s.world, func(sn *directory.Snapshot) (*directory.Group, error) { return sn.Group(s.fjord, inner.ID) })
		if g.Alone != want {
			t.Errorf("%s: alone is %v", step, g.Alone)
		}
	}
	move := func(group directory.ID, fn func(*directory.Membership) error) {
		t.Helper()
		if _, err := s.members(s.fjord, group, fn); err != nil {
			t.Fatal(err)
		}
	}
	check("new", true)
	s.unchanged(func() {
		move(outer.ID, func(m *directory.Membership) error { return errors.Join(m.Add([]directory.ID{inner.ID}), m.Clear()) })
	})
	move(outer.ID, func(m *directory.Membership) error { return m.Add([]directory.ID{inner.ID}) })
	check("in another one", false)
	s.unchanged(func() {
		move(outer.ID, func(m *directory.Membership) error { return errors.Join(m.Clear(), m.Add([]directory.ID{inner.ID})) })
	})
	other := s.createGroup(s.fjord, "Other", "")
	s.unchanged(func() {
		move(other.ID, func(m *directory.Membership) error { return errors.Join(m.Add([]directory.ID{inner.ID}), m.Clear()) })
	})
	move(outer.ID, func(m *directory.Membership) error { return m.Clear() })
	move(inner.ID, func(m *directory.Membership) error { return m.Add([]directory.ID{outer.ID}) })
	check("changed after it left", true)
	checkInvariants(s.world)
}
