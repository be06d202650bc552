package directory_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
)

// scene is the usual start: two organizations, each with a tenant, and people in it.
type scene struct {
	*world
	org              directory.ID
	fjord, harbor    directory.ID // tenants
	production, test directory.ID // environments of fjord's organization, the first one integrated
	elsewhere        directory.ID // environment of harbor's organization
	pilots, crew     *directory.Group
	harborPilots     *directory.Group
	ada, twin        *directory.User // twin: the same person as harbor's directory describes her
	pilotsID, crewID string
}

// partner is a partner of fjord's organization.
func (s *scene) partner() directory.Actor {
	return directory.Actor{Role: directory.RolePartner, Channel: "console", ID: "partner", Reach: &directory.Reach{Organizations: []directory.ID{s.org}}}
}

// administrator is an administrator of environments.
func administrator(environments ...directory.ID) directory.Actor {
	return directory.Actor{Role: directory.RoleEnvironment, Channel: "console", ID: "admin", Reach: &directory.Reach{Environments: environments}}
}

func newScene(t *testing.T) *scene {
	t.Helper()
	return sceneOn(newWorld(t))
}

func sceneOn(w *world) *scene {
	s := &scene{world: w, pilotsID: object(101), crewID: object(102)}
	s.org = s.world.org("Fjord")
	other := s.world.org("Harbor")
	s.fjord, s.harbor = s.tenant("fjord", s.org), s.tenant("harbor", other, s.org)
	s.production, s.test, s.elsewhere = s.env(s.org, "production"), s.env(s.org, "test"), s.env(other, "production")
	s.integrate(s.production, s.fjord, s.pilotsID, s.crewID)
	s.set(s.production, directory.IntegrationInput{DefaultMenus: []string{"sales", "stock"}})
	s.integrate(s.elsewhere, s.harbor, s.pilotsID)
	s.ada, s.twin = s.createUser(s.fjord, person("ada", 1)), s.createUser(s.harbor, person("ada", 1))
	s.pilots = s.createGroup(s.fjord, "Pilots", s.pilotsID, s.ada.ID)
	s.crew = s.createGroup(s.fjord, "Crew", s.crewID)
	s.harborPilots = s.createGroup(s.harbor, "Pilots", s.pilotsID, s.twin.ID)
	return s
}

// Rule 1: active access exactly when the integration is on, uses the tenant, the person is active
// and in one of the Groups to Sync. Every combination is reached and left in every direction.
func TestRule1Access(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	const on, tenant, active, member = 1, 2, 4, 8
	now := on | tenant | active | member
	toggle := func(bit int) {
		now ^= bit
		is := now&bit != 0
		switch bit {
		case on:
			s.enable(s.production, is)
		case tenant:
			id := s.harbor
			if is {
				id = s.fjord
			}
			off := now&on == 0 // what is off cannot be set
			if off {
				s.enable(s.production, true)
			}
			s.set(s.production, directory.IntegrationInput{TenantID: &id})
			if off {
				s.enable(s.production, false)
			}
		case active:
			s.setActive(s.ada, is)
		case member:
			if is {
				s.add(s.pilots, s.ada)
			} else {
				s.remove(s.pilots, s.ada)
			}
		}
		want := "inactive"
		if now == on|tenant|active|member {
			want = "active"
		}
		if got := s.state(s.ada.AccountID, s.production); got != want {
			t.Fatalf("after switching %d to %v: on=%v tenant=%v active=%v member=%v: access is %s, want %s",
				bit, is, now&on != 0, now&tenant != 0, now&active != 0, now&member != 0, got, want)
		}
		s.wantState(s.twin.AccountID, s.elsewhere, "active")
		why := view(s.world, func(sn *directory.Snapshot) (*directory.Why, error) {
			return sn.WhyAccess(s.environment(s.production), s.account(s.ada.AccountID))
		})
		reason := directory.WhyMember
		switch { // in the order in which people are told
		case now&on == 0:
			reason = directory.WhyIntegrationOff
		case now&tenant == 0:
			reason = directory.WhyOtherTenant
		case now&active == 0:
			reason = directory.WhyDisabled
		case now&member == 0:
			reason = directory.WhyTakenByPush
		}
		if why.Reason != reason || why.Entitled != (reason == directory.WhyMember) || why.Active != why.Entitled {
			t.Errorf("after toggling %d to %04b: %+v, want %s", bit, now, why, reason)
		}
	}
	for target := range 16 {
		for _, bit := range []int{on, tenant, active, member} {
			if (now^target)&bit != 0 {
				toggle(bit)
			}
		}
		for _, bit := range []int{on, tenant, active, member} {
			toggle(bit)
			toggle(bit)
		}
	}
	checkInvariants(s.world)
}

// Nested groups give nothing: Entra syncs direct members only.
func TestRule1NestedGroupsGiveNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	bo := s.createUser(s.fjord, person("bo", 2))
	inner := s.createGroup(s.fjord, "Inner", object(103), bo.ID)
	s.updateGroup(s.pilots, func(m *directory.Membership) error { return m.Add([]directory.ID{inner.ID}) })
	s.wantState(bo.AccountID, s.production, "none")
	if why := view(s.world, func(sn *directory.Snapshot) (*directory.Why, error) {
		return sn.WhyAccess(s.environment(s.production), s.account(bo.AccountID))
	}); why.Reason != directory.WhyNestedOnly || why.Entitled || len(why.Groups) != 1 || why.Groups[0].ID != inner.ID {
		t.Errorf("%+v", why)
	}
	s.sync(s.production, object(103))
	s.wantState(bo.AccountID, s.production, "active")
	s.wantState(s.ada.AccountID, s.production, "inactive")
	checkInvariants(s.world)
}

func TestRule1GroupsToSyncMatchObjectIDs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, setting, external string
		want                    string
	}{
		{"same", object(110), object(110), "active"},
		{"setting in capitals", "  A000006E-00AB-4000-8000-00000000006E ", object(110), "active"},
		{"externalId in capitals", object(110), "A000006E-00AB-4000-8000-00000000006E", "active"},
		{"another id", object(110), object(111), "none"},
		{"a name", "Harbour", "Harbour", "active"},
		{"a name in another case", "Harbour", "harbour", "none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			bo := s.createUser(s.fjord, person("bo", 2))
			s.sync(s.production, test.setting)
			s.createGroup(s.fjord, "Harbour pilots", test.external, bo.ID)
			s.wantState(bo.AccountID, s.production, test.want)
			s.sync(s.production, object(999))
			s.sync(s.production, test.setting)
			s.wantState(bo.AccountID, s.production, test.want)
			checkInvariants(s.world)
		})
	}
}

// Two groups may carry one externalId, and one group may be what several environments sync.
func TestRule1SharedGroups(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.integrate(s.test, s.fjord, s.pilotsID)
	s.wantState(s.ada.AccountID, s.test, "active")
	second := s.createGroup(s.fjord, "Pilots again", s.pilotsID, s.ada.ID)
	s.remove(s.pilots, s.ada)
	s.wantState(s.ada.AccountID, s.production, "active")
	s.wantState(s.ada.AccountID, s.test, "active")
	s.deleteGroup(second)
	s.wantState(s.ada.AccountID, s.production, "inactive")
	s.wantState(s.ada.AccountID, s.test, "inactive")
	checkInvariants(s.world)
}

// Rule 2: a new person gets an account, and one account gains an access to each environment.
func TestRule2Create(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	p := person("bo", 2)
	bo := s.createUser(s.fjord, p)
	if bo.Version != 1 || !bo.Created.Equal(s.clock.Now()) || !bo.Modified.Equal(bo.Created) || bo.ObjectID != objectID(2) {
		t.Errorf("new user: %+v", bo)
	}
	a := s.account(bo.AccountID)
	want := &directory.Account{ID: bo.AccountID, UserName: p.UserName, Name: p.Name, Email: p.Email, Language: p.Language, Locale: p.Locale,
		TenantID: s.fjord, UserID: bo.ID, Created: s.clock.Now(), Modified: s.clock.Now()}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Errorf("account (-want +got):\n%s", diff)
	}
	s.wantState(bo.AccountID, s.production, "none")

	s.clock.Advance(time.Minute)
	s.add(s.crew, bo)
	wantAccess := &directory.Access{AccountID: bo.AccountID, EnvironmentID: s.production, TenantID: s.fjord, Name: p.Name, Email: p.Email,
		Language: p.Language, Locale: p.Locale, Active: true, Menus: []string{"sales", "stock"}, Created: s.clock.Now(), Modified: s.clock.Now()}
	if diff := cmp.Diff(wantAccess, s.access(bo.AccountID, s.production)); diff != "" {
		t.Errorf("access (-want +got):\n%s", diff)
	}

	s.integrate(s.test, s.fjord, s.crewID)
	s.wantState(bo.AccountID, s.test, "active")
	if diff := cmp.Diff(wantAccess, s.access(bo.AccountID, s.production)); diff != "" {
		t.Errorf("the first access has changed (-want +got):\n%s", diff)
	}
	accounts := 0
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		return true, sn.Accounts(directory.ID{}, func(a *directory.Account) bool {
			if a.Email == p.Email {
				accounts++
			}
			return true
		})
	})
	if accounts != 1 {
		t.Errorf("%d accounts, want 1", accounts)
	}
	checkInvariants(s.world)
}

func TestRule2UserNamesAreUniqueInATenant(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for _, name := range []string{"ada@fjord.example", "ADA@fjord.example", "Ada@Fjord.Example"} {
		p := person("other", 7)
		p.UserName = name
		s.unchanged(func() {
			_, err := s.svc.CreateUser(s.ctx, push, s.fjord, userInput(p))
			wantKind(t, err, directory.Exists)
		})
	}
	rene := person("x", 3)
	rene.UserName = "Ren\u00e9"
	s.createUser(s.fjord, rene)
	bo := s.createUser(s.fjord, person("bo", 2))
	for _, name := range []string{"rene\u0301", "REN\u00c9", "ADA@fjord.example"} {
		s.unchanged(func() {
			_, err := s.editUser(s.fjord, bo.ID, func(p *directory.Profile) { p.UserName = name })
			wantKind(t, err, directory.Exists)
		})
	}
	// Its own name in another case is no conflict, and a name that was left is free.
	s.updateUser(bo, func(p *directory.Profile) { p.UserName = "BO@fjord.example" })
	s.updateUser(bo, func(p *directory.Profile) { p.UserName = "bob@fjord.example" })
	s.createUser(s.fjord, person("bo", 4))
	checkInvariants(s.world)
}

func TestInvalidInputChangesNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	long := string(slices.Repeat([]byte("x"), 5000))
	users := map[string]func(*directory.Profile){
		"no userName":         func(p *directory.Profile) { p.UserName = "" },
		"blank userName":      func(p *directory.Profile) { p.UserName = " \t" },
		"NUL in userName":     func(p *directory.Profile) { p.UserName = "a\x00b" },
		"long userName":       func(p *directory.Profile) { p.UserName = long },
		"NUL in externalId":   func(p *directory.Profile) { p.ExternalID = "a\x00b" },
		"long externalId":     func(p *directory.Profile) { p.ExternalID = long },
		"NUL in an e-mail":    func(p *directory.Profile) { p.Emails = []string{"a\x00b"} },
		"long e-mail address": func(p *directory.Profile) { p.Emails = []string{long} },
	}
	for name, edit := range users {
		t.Run("user/"+name, func(t *testing.T) {
			s.unchanged(func() {
				p := person("bo", 2)
				edit(&p)
				_, err := s.svc.CreateUser(s.ctx, push, s.fjord, userInput(p))
				wantKind(t, err, directory.Invalid)
				_, err = s.editUser(s.fjord, s.ada.ID, edit)
				wantKind(t, err, directory.Invalid)
			})
		})
	}
	groups := map[string]directory.GroupInput{
		"no displayName":     groupInput("", ""),
		"blank displayName":  groupInput("  ", ""),
		"NUL in displayName": groupInput("a\x00b", ""),
		"long displayName":   groupInput(long, ""),
		"NUL in externalId":  groupInput("a", "a\x00b"),
		"long externalId":    groupInput("a", long),
	}
	for name, in := range groups {
		t.Run("group/"+name, func(t *testing.T) {
			s.unchanged(func() {
				_, err := s.svc.CreateGroup(s.ctx, push, s.fjord, in, []directory.ID{s.ada.ID})
				wantKind(t, err, directory.Invalid)
				_, err = s.svc.UpdateGroup(s.ctx, push, s.fjord, s.crew.ID, func(_ *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
					return in, m.Add([]directory.ID{s.ada.ID})
				})
				wantKind(t, err, directory.Invalid)
			})
		})
	}
}

// Rule 3: what the directory says overrides the account and each of its accesses, active or not.
func TestRule3Override(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.integrate(s.test, s.fjord, s.pilotsID)
	s.sync(s.test, s.crewID) // an inactive access
	before := s.access(s.ada.AccountID, s.production)
	s.clock.Advance(time.Hour)
	u := s.updateUser(s.ada, func(p *directory.Profile) {
		p.UserName, p.Name, p.Email, p.Emails = "ada.berg@fjord.example", "Ada Berg", "ada.berg@fjord.example", []string{"ada.berg@fjord.example"}
		p.Language, p.Locale = "nn-NO", "nn-NO"
	})
	if u.Version != 2 || !u.Modified.Equal(s.clock.Now()) || !u.Created.Equal(s.ada.Created) {
		t.Errorf("updated user: %+v", u)
	}
	a := s.account(s.ada.AccountID)
	if a.UserName != "ada.berg@fjord.example" || a.Name != "Ada Berg" || a.Email != "ada.berg@fjord.example" || a.Language != "nn-NO" || a.Locale != "nn-NO" {
		t.Errorf("account: %+v", a)
	}
	for env, active := range map[directory.ID]bool{s.production: true, s.test: false} {
		x := s.access(a.ID, env)
		want := &directory.Access{AccountID: a.ID, EnvironmentID: env, TenantID: s.fjord, Name: "Ada Berg", Email: "ada.berg@fjord.example",
			Language: "nn-NO", Locale: "nn-NO", Active: active, Menus: x.Menus, Created: before.Created, Modified: s.clock.Now()}
		if diff := cmp.Diff(want, x); diff != "" {
			t.Errorf("access (-want +got):\n%s", diff)
		}
	}
	if twin := s.access(s.twin.AccountID, s.elsewhere); twin.Name != "Ada" || twin.Email != "ada@fjord.example" {
		t.Errorf("the other tenant's access has changed: %+v", twin)
	}
	if e := s.lastLog(s.fjord); e.Action != directory.ActionUpdate || len(e.Accesses) != 0 || e.TargetName != "ada.berg@fjord.example" {
		t.Errorf("log: %+v", e)
	}
	checkInvariants(s.world)
}

// Rule 3: language and locale are overridden where the directory sends them, and stay otherwise.
func TestRule3LanguageStaysWhereNotSent(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.updateUser(s.ada, func(p *directory.Profile) { p.Language, p.Locale, p.Name = "", "", "Ada Berg" })
	a, x := s.account(s.ada.AccountID), s.access(s.ada.AccountID, s.production)
	if a.Name != "Ada Berg" || a.Language != "nb-NO" || a.Locale != "nb-NO" {
		t.Errorf("account: %+v", a)
	}
	if x.Name != "Ada Berg" || x.Language != "nb-NO" || x.Locale != "nb-NO" {
		t.Errorf("access: %+v", x)
	}
	checkInvariants(s.world)
}

// A route is a way to lose access and the way back.
type route struct {
	name string
	lose func(*scene)
	back func(*scene)
	// ends tells that the person is out whatever other access she has.
	ends bool
}

var routes = []route{
	{name: "leaves the last synced group",
		lose: func(s *scene) { s.remove(s.pilots, s.ada) }, back: func(s *scene) { s.add(s.pilots, s.ada) }},
	{name: "all members are removed",
		lose: func(s *scene) { s.updateGroup(s.pilots, (*directory.Membership).Clear) }, back: func(s *scene) { s.add(s.pilots, s.ada) }},
	{name: "the members are replaced",
		lose: func(s *scene) {
			bo := s.createUser(s.fjord, person("bo", 2))
			s.store.count = operations{}
			s.updateGroup(s.pilots, func(m *directory.Membership) error { return m.Replace([]directory.ID{bo.ID}) })
		},
		back: func(s *scene) {
			s.updateGroup(s.pilots, func(m *directory.Membership) error { return m.Replace([]directory.ID{s.ada.ID}) })
		}},
	{name: "moves to a group that is not synced",
		lose: func(s *scene) {
			s.createGroup(s.fjord, "Others", object(150), s.ada.ID)
			s.store.count = operations{}
			s.remove(s.pilots, s.ada)
		},
		back: func(s *scene) { s.sync(s.production, s.pilotsID, object(150)) }},
	{name: "the group is taken out of Groups to Sync",
		lose: func(s *scene) { s.sync(s.production, s.crewID) }, back: func(s *scene) { s.sync(s.production, s.crewID, s.pilotsID) }},
	{name: "the integration is switched off",
		lose: func(s *scene) { s.enable(s.production, false) }, back: func(s *scene) { s.enable(s.production, true) }},
	{name: "another tenant is set",
		lose: func(s *scene) { s.set(s.production, directory.IntegrationInput{TenantID: &s.harbor}) },
		back: func(s *scene) { s.set(s.production, directory.IntegrationInput{TenantID: &s.fjord}) }},
	{name: "the directory disables her", ends: true,
		lose: func(s *scene) { s.setActive(s.ada, false) }, back: func(s *scene) { s.setActive(s.ada, true) }},
	{name: "the directory disables and renames her", ends: true,
		lose: func(s *scene) {
			s.updateUser(s.ada, func(p *directory.Profile) { p.Active, p.UserName = false, "gone@fjord.example" })
		},
		back: func(s *scene) { s.setActive(s.ada, true) }},
	{name: "she is deleted", ends: true,
		lose: func(s *scene) { s.deleteUser(s.ada) },
		back: func(s *scene) { s.ada = s.createUser(s.fjord, person("ada", 1)); s.add(s.pilots, s.ada) }},
	{name: "the group is deleted",
		lose: func(s *scene) { s.deleteGroup(s.pilots) },
		back: func(s *scene) { s.pilots = s.createGroup(s.fjord, "Pilots", s.pilotsID, s.ada.ID) }},
	{name: "the group gets another externalId",
		lose: func(s *scene) { s.renameGroup(s.pilots, "Pilots", object(151)) }, back: func(s *scene) { s.renameGroup(s.pilots, "Pilots", s.pilotsID) }},
	{name: "the group loses its externalId",
		lose: func(s *scene) { s.renameGroup(s.pilots, "Former pilots", "") }, back: func(s *scene) { s.renameGroup(s.pilots, "Pilots", s.pilotsID) }},
}

// Rules 4, 5 and 9: on every route the access is kept and inactive, the session ends in the same
// transaction, and coming back gives the same access with the menus it had.
func TestRule4Routes(t *testing.T) {
	t.Parallel()
	for _, r := range routes {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			account := s.ada.AccountID
			session, other := s.signIn(account), s.signIn(s.twin.AccountID)
			granted, epoch := s.access(account, s.production), s.account(account).Epoch
			s.set(s.production, directory.IntegrationInput{DefaultMenus: []string{"only for new ones"}})
			s.clock.Advance(time.Minute)

			if cost := s.store.counted(func() { r.lose(s) }); cost.Updates != 1 {
				t.Errorf("%d transactions, want 1", cost.Updates)
			}
			want := *granted
			want.Active, want.Modified = false, s.clock.Now()
			if diff := cmp.Diff(&want, s.access(account, s.production)); diff != "" {
				t.Errorf("access (-want +got):\n%s", diff)
			}
			if s.signedIn(session) {
				t.Error("the session goes on")
			}
			if got := s.account(account).Epoch; got <= epoch {
				t.Errorf("epoch %d, was %d", got, epoch)
			}
			_, err := s.svc.CreateSession(s.ctx, push, directory.SessionInput{AccountID: account, Hash: secretHash("again")})
			wantKind(t, err, directory.Forbidden)
			s.wantEffect(account, directory.Deactivated)
			if e := s.lastLog(s.fjord); s.lastEvent().TenantID == s.fjord && e.Sessions != 1 {
				t.Errorf("the log tells of %d ended sessions, want 1", e.Sessions)
			}
			s.wantState(s.twin.AccountID, s.elsewhere, "active")
			if !s.signedIn(other) {
				t.Error("a session of the other tenant has ended")
			}
			checkInvariants(s.world)

			s.clock.Advance(time.Minute)
			r.back(s)
			want.Active, want.Modified = true, s.clock.Now()
			if diff := cmp.Diff(&want, s.access(account, s.production)); diff != "" {
				t.Errorf("access after coming back (-want +got):\n%s", diff)
			}
			s.wantEffect(account, directory.Reactivated)
			if s.signedIn(session) {
				t.Error("the old session has come back")
			}
			s.signIn(account)
			checkInvariants(s.world)
		})
	}
}

// wantEffect checks that log and outbox tell what happened to an access to production, in the
// log of the account's tenant.
func (s *scene) wantEffect(account directory.ID, effect string) {
	s.Helper()
	has := func(list []directory.AccessEffect) bool {
		return slices.ContainsFunc(list, func(a directory.AccessEffect) bool {
			return a.AccountID == account && a.EnvironmentID == s.production && a.Effect == effect
		})
	}
	if e := s.lastLog(s.fjord); !has(e.Accesses) {
		s.Errorf("the log does not say %q: %+v", effect, e)
	}
	all := s.outbox()
	if !slices.ContainsFunc(all[max(0, len(all)-2):], func(e *directory.OutboxEvent) bool { return e.TenantID == s.fjord && has(e.Accesses) }) {
		s.Errorf("the outbox does not say %q: %+v", effect, all[len(all)-1])
	}
	var lines []*directory.LogEvent // the last two: a change of the tenant is told to both
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		return true, sn.EnvironmentLog(s.production, 0, true, func(e *directory.LogEvent) bool {
			lines = append(lines, e)
			return len(lines) < 2
		})
	})
	if !slices.ContainsFunc(lines, func(e *directory.LogEvent) bool { return has(e.Accesses) }) {
		s.Errorf("the environment's log does not say %q: %+v", effect, lines)
	}
}

// The same routes while another environment still gives access: the session goes on, unless the
// person herself is out.
func TestRule4OtherEnvironmentStays(t *testing.T) {
	t.Parallel()
	for _, r := range routes {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			account := s.ada.AccountID
			s.createGroup(s.fjord, "Everyone", object(160), s.ada.ID)
			s.integrate(s.test, s.fjord, object(160))
			session, epoch := s.signIn(account), s.account(account).Epoch
			r.lose(s)
			s.wantState(account, s.production, "inactive")
			if r.ends {
				s.wantState(account, s.test, "inactive")
				if s.signedIn(session) {
					t.Error("the session goes on")
				}
				return
			}
			s.wantState(account, s.test, "active")
			if !s.signedIn(session) || s.account(account).Epoch != epoch {
				t.Error("the session has ended")
			}
		})
	}
}

// Leaving one of two synced groups, by whatever route, changes no access.
func TestRule4OneOfTwoGroups(t *testing.T) {
	t.Parallel()
	for _, r := range []route{
		{name: "leaves", lose: func(s *scene) { s.remove(s.pilots, s.ada) }},
		{name: "taken out of Groups to Sync", lose: func(s *scene) { s.sync(s.production, s.crewID) }},
		{name: "group deleted", lose: func(s *scene) { s.deleteGroup(s.pilots) }},
		{name: "externalId changed", lose: func(s *scene) { s.renameGroup(s.pilots, "Pilots", object(151)) }},
		{name: "externalIds swapped", lose: func(s *scene) {
			s.renameGroup(s.pilots, "Pilots", s.crewID)
			s.renameGroup(s.crew, "Crew", s.pilotsID)
		}},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.add(s.crew, s.ada)
			session := s.signIn(s.ada.AccountID)
			before, account := s.access(s.ada.AccountID, s.production), s.account(s.ada.AccountID)
			s.clock.Advance(time.Minute)
			r.lose(s)
			if diff := cmp.Diff(before, s.access(s.ada.AccountID, s.production)); diff != "" {
				t.Errorf("access (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(account, s.account(s.ada.AccountID)); diff != "" {
				t.Errorf("account (-before +after):\n%s", diff)
			}
			if !s.signedIn(session) {
				t.Error("the session has ended")
			}
			checkInvariants(s.world)
		})
	}
}

// Leaving and joining in one change is no change of access.
func TestRule4LeaveAndJoinInOneChange(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	session := s.signIn(s.ada.AccountID)
	s.unchanged(func() {
		s.updateGroup(s.pilots, func(m *directory.Membership) error {
			if err := m.Clear(); err != nil {
				return err
			}
			return m.Add([]directory.ID{s.ada.ID})
		})
	})
	if !s.signedIn(session) {
		t.Error("the session has ended")
	}
}

// Rule 5: the resource is gone for good, the account stays.
func TestRule5Delete(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	other := s.createGroup(s.fjord, "Other", "", s.ada.ID)
	s.clock.Advance(time.Minute)
	s.deleteUser(s.ada)
	s.unchanged(func() {
		_, err := s.editUser(s.fjord, s.ada.ID, func(*directory.Profile) {})
		wantKind(t, err, directory.NotFound)
		wantKind(t, s.svc.DeleteUser(s.ctx, push, s.fjord, s.ada.ID, nil), directory.NotFound)
		_, err = s.members(s.fjord, s.crew.ID, func(m *directory.Membership) error { return m.Add([]directory.ID{s.ada.ID}) })
		wantKind(t, err, directory.Invalid)
	})
	a := s.account(s.ada.AccountID)
	if !a.UserID.IsZero() || a.TenantID != s.fjord || a.UserName != s.ada.UserName {
		t.Errorf("account: %+v", a)
	}
	for _, g := range []*directory.Group{s.pilots, other} {
		after := view(s.world, func(sn *directory.Snapshot) (*directory.Group, error) { return sn.Group(s.fjord, g.ID) })
		if after.Version != g.Version+1 || !after.Modified.Equal(s.clock.Now()) {
			t.Errorf("group %s that she left: version %d, modified %v", g.DisplayName, after.Version, after.Modified)
		}
		if n := view(s.world, func(sn *directory.Snapshot) (int64, error) { return sn.MemberCount(s.fjord, g.ID) }); n != 0 {
			t.Errorf("group %s has %d members", g.DisplayName, n)
		}
	}
	if e := s.lastEvent(); e.Type != "user.deleted" || e.UserID != s.ada.ID || e.AccountID != a.ID || e.Active == nil || *e.Active {
		t.Errorf("event: %+v", e)
	}
	checkInvariants(s.world)
}

// Rule 5: whom provisioning finds again, and whom it does not.
func TestRule5Reprovision(t *testing.T) {
	t.Parallel()
	type life struct {
		name     string
		first    func(*directory.Profile)          // as provisioned at first
		meantime func(s *scene, u *directory.User) // before the deletion
		between  func(s *scene)                    // after it
		second   func(*directory.Profile)          // as provisioned again
		tenant   func(s *scene) directory.ID       // nil: the same
		same     bool                              // the same account
	}
	none := func(*directory.Profile) {}
	noObject := func(p *directory.Profile) { p.ExternalID = "mailnick" }
	for _, l := range []life{
		{name: "the same again", first: none, second: none, same: true},
		{name: "by object id under another userName", first: none, same: true,
			second: func(p *directory.Profile) { p.UserName, p.Emails = "new.name@fjord.example", nil }},
		{name: "by object id after a rename", first: none, same: true,
			meantime: func(s *scene, u *directory.User) {
				s.updateUser(u, func(p *directory.Profile) { p.UserName = "new.name@fjord.example" })
			},
			second: none},
		{name: "by the object id that was sent in capitals", same: true,
			first: func(p *directory.Profile) { p.ExternalID = "A0000002-00AB-4000-8000-000000000002" }, second: func(p *directory.Profile) { p.UserName = "other" }},
		{name: "by an object id that came later", first: noObject, same: true,
			meantime: func(s *scene, u *directory.User) {
				s.updateUser(u, func(p *directory.Profile) { p.ExternalID = object(20) })
			},
			second: func(p *directory.Profile) { p.ExternalID, p.UserName = object(20), "new.name@fjord.example" }},
		{name: "by an object id that was sent once", first: func(p *directory.Profile) { p.ExternalID = object(20) }, same: true,
			meantime: func(s *scene, u *directory.User) { s.updateUser(u, noObject) },
			second:   func(p *directory.Profile) { p.ExternalID, p.UserName = object(20), "new.name@fjord.example" }},
		{name: "by userName without object ids", first: noObject, second: noObject, same: true},
		{name: "by userName in another case", first: noObject, same: true,
			second: func(p *directory.Profile) { p.ExternalID, p.UserName = "", "BO@FJORD.example" }},
		{name: "by userName when the object id is new", first: noObject, second: none, same: true},
		{name: "by userName when the object id is gone", first: none, second: noObject, same: true},
		{name: "by the last userName", first: noObject, same: true,
			meantime: func(s *scene, u *directory.User) {
				s.updateUser(u, func(p *directory.Profile) { p.UserName = "last@fjord.example" })
			},
			second: func(p *directory.Profile) { p.ExternalID, p.UserName = "", "last@fjord.example" }},

		{name: "not: both object ids are known and differ", first: none, second: func(p *directory.Profile) { p.ExternalID = object(21) }},
		{name: "not: a userName that she has left", first: noObject, second: noObject,
			meantime: func(s *scene, u *directory.User) {
				s.updateUser(u, func(p *directory.Profile) { p.UserName = "last@fjord.example" })
			}},
		{name: "not: a userName of a life before the last", first: noObject, second: noObject,
			between: func(s *scene) { // provisioned again, renamed, deleted again
				p := person("bo", 2)
				noObject(&p)
				u := s.createUser(s.fjord, p)
				s.deleteUser(s.updateUser(u, func(p *directory.Profile) { p.UserName = "last@fjord.example" }))
			}},
		{name: "not: an object id of a life before the last", first: none, second: func(p *directory.Profile) { p.UserName = "third@fjord.example" },
			between: func(s *scene) {
				u := s.createUser(s.fjord, person("bo", 2))
				s.deleteUser(s.updateUser(u, func(p *directory.Profile) { p.ExternalID = object(21) }))
			}},
		{name: "not: the account has a user again", first: none,
			between: func(s *scene) {
				s.updateUser(s.createUser(s.fjord, person("bo", 2)), func(p *directory.Profile) { p.UserName = "taken@fjord.example" })
			},
			second: none},
		{name: "not: another tenant", first: none, second: none, tenant: func(s *scene) directory.ID { return s.harbor }},
	} {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			p := person("bo", 2)
			l.first(&p)
			first := s.createUser(s.fjord, p)
			s.add(s.pilots, first)
			if l.meantime != nil {
				l.meantime(s, first)
			}
			s.deleteUser(first)
			s.wantState(first.AccountID, s.production, "inactive")
			if l.between != nil {
				l.between(s)
			}
			p = person("bo", 2)
			l.second(&p)
			tenant := s.fjord
			if l.tenant != nil {
				tenant = l.tenant(s)
			}
			second := s.createUser(tenant, p)
			if second.ID == first.ID {
				t.Error("the SCIM id is used again")
			}
			if same := second.AccountID == first.AccountID; same != l.same {
				t.Errorf("same account: %v, want %v", same, l.same)
			}
			if second.Version != 1 {
				t.Errorf("version %d", second.Version)
			}
			s.wantState(first.AccountID, s.production, "inactive") // until she is in a group again
			if l.same {
				s.add(s.pilots, second)
				s.wantState(first.AccountID, s.production, "active")
			}
			view(s.world, func(sn *directory.Snapshot) (bool, error) {
				_, err := sn.User(s.fjord, first.ID)
				wantKind(t, err, directory.NotFound)
				return true, nil
			})
			checkInvariants(s.world)
		})
	}
}

// Two people of one tenant, or of two, that share an e-mail address or an object id stay apart.
func TestAccountsStayApart(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	p := person("bo", 1) // ada's object id
	p.Email, p.Emails = s.ada.Email, s.ada.Emails
	bo := s.createUser(s.fjord, p)
	if bo.AccountID == s.ada.AccountID || bo.AccountID == s.twin.AccountID || s.ada.AccountID == s.twin.AccountID {
		t.Fatal("they share an account")
	}
	s.updateUser(s.ada, func(p *directory.Profile) { p.Name, p.Active = "Ada Berg", false })
	s.deleteUser(s.ada)
	if a := s.account(s.twin.AccountID); a.Name != "Ada" || a.TenantID != s.harbor || a.UserID != s.twin.ID {
		t.Errorf("the other tenant's account: %+v", a)
	}
	s.wantState(s.twin.AccountID, s.elsewhere, "active")
	checkInvariants(s.world)
}

// An internal account is adopted for its e-mail address alone where the tenant is trusted for the
// domain, and by nobody else.
func TestAdoption(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		account string // e-mail of the internal account
		trusted []string
		edit    func(*directory.Profile)
		protect bool
		want    string // adopted, refused, new
	}{
		{name: "trusted domain", account: "bo@fjord.example", trusted: []string{"fjord.example"}, want: "adopted"},
		{name: "trusted domain in another case", account: "Bo@Fjord.Example", trusted: []string{"FJORD.example"}, want: "adopted"},
		{name: "another address of the person", account: "bo@old.example", trusted: []string{"old.example"}, want: "adopted",
			edit: func(p *directory.Profile) { p.Emails = append(p.Emails, "bo@old.example") }},
		{name: "the userName is the address", account: "bo@upn.example", trusted: []string{"upn.example"}, want: "adopted",
			edit: func(p *directory.Profile) { p.UserName = "bo@upn.example" }},
		{name: "no domain is trusted", account: "bo@fjord.example", want: "refused"},
		{name: "another domain is trusted", account: "bo@fjord.example", trusted: []string{"harbor.example"}, want: "refused"},
		{name: "a parent domain is trusted", account: "bo@sub.fjord.example", trusted: []string{"fjord.example"}, want: "refused",
			edit: func(p *directory.Profile) { p.Emails = []string{"bo@sub.fjord.example"} }},
		{name: "a longer domain is trusted", account: "bo@fjord.example", trusted: []string{"fjord.example.org"}, want: "refused"},
		{name: "two at-signs", account: "bo@evil.example@fjord.example", trusted: []string{"fjord.example"}, want: "refused",
			edit: func(p *directory.Profile) { p.Emails = []string{"bo@evil.example@fjord.example"} }},
		{name: "userName of an account of a domain that is not trusted", account: "bo@upn.example", trusted: []string{"fjord.example"}, want: "refused",
			edit: func(p *directory.Profile) { p.UserName = "bo@upn.example" }},
		{name: "protected account", account: "bo@fjord.example", trusted: []string{"fjord.example"}, protect: true, want: "refused"},
		{name: "nobody has the address", account: "someone@fjord.example", trusted: []string{"fjord.example"}, want: "new"},
		{name: "the person's name, not the address", account: "bo@other.example", trusted: []string{"fjord.example"}, want: "new"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			if test.trusted != nil {
				s.trust(s.fjord, test.trusted...)
			}
			internal := must(s.svc.CreateAccount(s.ctx, operator, "bo", test.account, "Bo (internal)"))
			if test.protect {
				internal.Protected = true
				s.raw(func(w directory.Writer) error {
					return w.Put(table("accounts"), cat(internal.ID), directory.EncodeAccount(internal))
				})
			}
			s.handAccess(internal.ID, s.test)
			session := s.signIn(internal.ID)
			p := person("bo", 2)
			if test.edit != nil {
				test.edit(&p)
			}
			if test.want == "refused" {
				s.unchanged(func() {
					_, err := s.svc.CreateUser(s.ctx, push, s.fjord, userInput(p))
					wantKind(t, err, directory.Exists)
				})
				if !s.signedIn(session) {
					t.Error("the session has ended")
				}
				return
			}
			u := s.createUser(s.fjord, p)
			checkInvariants(s.world)
			if adopted := u.AccountID == internal.ID; adopted != (test.want == "adopted") {
				t.Fatalf("adopted: %v, want %s", adopted, test.want)
			}
			if test.want == "new" {
				s.wantState(internal.ID, s.test, "active")
				if !s.signedIn(session) {
					t.Error("the session of a stranger has ended")
				}
				return
			}
			a := s.account(internal.ID)
			if a.TenantID != s.fjord || a.UserID != u.ID || a.UserName != p.UserName || a.Name != p.Name || a.Email != p.Email {
				t.Errorf("account: %+v", a)
			}
			s.wantState(internal.ID, s.test, "inactive") // what was given by hand is not derived
			if s.signedIn(session) {
				t.Error("the session goes on")
			}
			// From now on it belongs to this tenant: nobody else finds it.
			s.trust(s.harbor, test.trusted...)
			if again := s.createUser(s.harbor, p); again.AccountID == internal.ID {
				t.Error("another tenant has taken the account over")
			}
			must(s.svc.CreateAccount(s.ctx, operator, "bo", test.account, "a new internal user"))
			checkInvariants(s.world)
		})
	}
}

// internal makes an internal user with access by hand to an environment.
func (s *scene) internal(env directory.ID) directory.ID {
	a, _ := must2(s.svc.AddInternal(s.ctx, operator, env, directory.NewAccess{Email: "ivy@bizz.example", Name: "Ivy"}))
	return a.AccountID
}

// handAccess gives an internal account access to an environment.
func (s *scene) handAccess(account, env directory.ID) {
	must2(s.svc.AddInternal(s.ctx, operator, env, directory.NewAccess{Email: s.world.account(account).Email, Name: "by hand", Menus: []string{"all"}}))
}

// Rule 1 is for external users: what an internal user was given by hand stays, whatever happens
// to the integration of the environment.
func TestInternalUsersAreLeftAlone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	internal := must(s.svc.CreateAccount(s.ctx, operator, "root", "root@bizz.example", "Root"))
	s.handAccess(internal.ID, s.production)
	session := s.signIn(internal.ID)
	s.enable(s.production, false)
	s.enable(s.production, true)
	s.sync(s.production, s.crewID)
	s.set(s.production, directory.IntegrationInput{TenantID: &s.harbor})
	s.wantState(internal.ID, s.production, "active")
	if !s.signedIn(session) {
		t.Error("the session has ended")
	}
	if x := s.access(internal.ID, s.production); x.Name != "by hand" || !x.TenantID.IsZero() {
		t.Errorf("access: %+v", x)
	}
}

// What one tenant's people lose is not told in another tenant's log.
func TestTenantChangeIsLoggedWhereItBelongs(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	bo := s.createUser(s.harbor, person("bo", 2))
	s.createGroup(s.harbor, "Crew", s.crewID, bo.ID)
	s.set(s.production, directory.IntegrationInput{TenantID: &s.harbor}) // ada out; bo and twin in
	s.wantState(s.ada.AccountID, s.production, "inactive")
	s.wantState(bo.AccountID, s.production, "active")
	check := func(tenant directory.ID, effects []directory.AccessEffect) {
		for _, a := range effects {
			if owner := s.account(a.AccountID).TenantID; owner != tenant {
				t.Errorf("%s of an account of another tenant is told", a.Effect)
			}
		}
	}
	for _, tenant := range []directory.ID{s.fjord, s.harbor} {
		e := s.lastLog(tenant)
		if e.Action != directory.ActionDerive || len(e.Accesses) == 0 {
			t.Errorf("log: %+v", e)
		}
		check(tenant, e.Accesses)
	}
	for _, e := range s.outbox() {
		check(e.TenantID, e.Accesses)
	}
	checkInvariants(s.world)
}

// Default menus are for new accesses alone.
func TestDefaultMenus(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.set(s.production, directory.IntegrationInput{DefaultMenus: []string{"new"}})
	bo := s.createUser(s.fjord, person("bo", 2))
	s.add(s.pilots, bo)
	s.set(s.production, directory.IntegrationInput{DefaultMenus: []string{}})
	cleo := s.createUser(s.fjord, person("cleo", 3))
	s.add(s.pilots, cleo)
	s.enable(s.production, false)
	s.enable(s.production, true)
	for u, want := range map[*directory.User][]string{s.ada: {"sales", "stock"}, bo: {"new"}, cleo: nil} {
		if diff := cmp.Diff(want, s.access(u.AccountID, s.production).Menus); diff != "" {
			t.Errorf("%s (-want +got):\n%s", u.Name, diff)
		}
	}
}

// Rule 9.
func TestRule9SessionLife(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	session := s.signIn(s.ada.AccountID)
	for range 15 { // activity does not make it longer
		s.clock.Advance(32*time.Minute - time.Millisecond)
		if !s.signedIn(session) {
			t.Fatal("ended too early")
		}
	}
	s.clock.Advance(15 * time.Millisecond)
	if s.signedIn(session) {
		t.Error("goes on after 8 hours")
	}
	s.clock.Advance(-9 * time.Hour) // a clock that was set back
	if s.signedIn(session) {
		t.Error("holds before it was made")
	}
	made := must(s.svc.CreateSession(s.ctx, push, directory.SessionInput{AccountID: s.ada.AccountID, Hash: secretHash("x")}))
	if got := made.Expires.Sub(made.Created); got != 8*time.Hour {
		t.Errorf("lasts %v", got)
	}
	if s.signedIn("never made") {
		t.Error("an unknown secret opens a session")
	}
}

// A session whose record survives by accident is void by its epoch.
func TestSessionEpoch(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	session := s.signIn(s.ada.AccountID)
	hash := secretHash(session)
	var record []byte
	s.raw(func(w directory.Writer) error {
		v, err := w.Get(table("sessions"), hash[:])
		record = append(record, v...)
		return err
	})
	s.setActive(s.ada, false)
	s.setActive(s.ada, true)
	s.raw(func(w directory.Writer) error { return w.Put(table("sessions"), hash[:], record) })
	if s.signedIn(session) {
		t.Error("the session has come back")
	}
}

func TestNoSessionWithoutAccess(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	bo := s.createUser(s.fjord, person("bo", 2))
	s.unchanged(func() {
		for _, id := range []directory.ID{bo.AccountID, number(999)} {
			_, err := s.svc.CreateSession(s.ctx, push, directory.SessionInput{AccountID: id, Hash: secretHash("x")})
			if k := directory.KindOf(err); k != directory.Forbidden && k != directory.NotFound {
				t.Errorf("CreateSession: %v", err)
			}
		}
	})
}
