package directory_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
)

func TestInternalUsersByReach(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ivy := s.internal(s.test)
	for name, by := range beyond(false) {
		for what, act := range map[string]func(env directory.ID) error{
			"SetMenus": func(env directory.ID) error { _, err := s.svc.SetMenus(s.ctx, by(s), env, []string{"A"}); return err },
			"AddInternal": func(env directory.ID) error {
				_, _, err := s.svc.AddInternal(s.ctx, by(s), env, directory.NewAccess{Email: "new@bizz.example", Name: "New"})
				return err
			},
			"SetAccess": func(env directory.ID) error {
				_, err := s.svc.SetAccess(s.ctx, by(s), env, s.ada.AccountID, directory.AccessInput{Menus: &[]string{"A"}})
				return err
			},
		} {
			s.unchanged(func() {
				if err := act(s.production); directory.KindOf(err) != directory.NotFound {
					t.Errorf("%s by %s: %v", what, name, err)
				}
			})
		}
	}
	s.unchanged(func() {
		_, err := s.svc.SetAccount(s.ctx, administrator(s.production), ivy, directory.AccountInput{Name: new("X")})
		wantKind(t, err, directory.NotFound)
		_, err = s.svc.SetAccess(s.ctx, administrator(s.production), s.production, ivy, directory.AccessInput{Menus: &[]string{"A"}})
		wantKind(t, err, directory.NotFound)
	})
}

// Who has an account gains access with it, and comes back to the menus that it had (rules 2 and 4).
func TestAddInternal(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	by := administrator(s.production, s.test)
	add := func(env directory.ID, email string, menus ...string) (*directory.Access, bool, error) {
		return s.svc.AddInternal(s.ctx, by, env, directory.NewAccess{Email: email, Name: "Ivy", Language: "nl", Locale: "nl-NL", Menus: menus})
	}
	a, made := must2(add(s.production, " Ivy@bizz.example "))
	if !made || strings.Join(a.Menus, ",") != "sales,stock" || !a.Active || a.Email != "Ivy@bizz.example" {
		t.Errorf("%v %+v", made, a)
	}
	session := s.signIn(a.AccountID)
	b, again := must2(add(s.test, "ivy@BIZZ.example", "own", "own", " more "))
	if again || b.AccountID != a.AccountID || strings.Join(b.Menus, ",") != "own,more" {
		t.Errorf("%v %+v", again, b)
	}
	off := func(env directory.ID) {
		must(s.svc.SetAccess(s.ctx, by, env, a.AccountID, directory.AccessInput{Active: new(false)}))
	}
	off(s.test)
	if !s.signedIn(session) {
		t.Error("the session has ended with another access left")
	}
	off(s.production)
	if s.signedIn(session) {
		t.Error("the session has not ended")
	}
	if _, _, err := add(s.test, "ivy@bizz.example", "others"); err != nil {
		t.Fatal(err)
	}
	if got := s.access(a.AccountID, s.test); !got.Active || strings.Join(got.Menus, ",") != "own,more" {
		t.Errorf("%+v", got)
	}
	last := s.outbox()[len(s.outbox())-1]
	if last.Type != "access.updated" || last.AccountID != a.AccountID || len(last.Accesses) != 1 || last.Accesses[0].Effect != directory.Reactivated {
		t.Errorf("event: %+v", last)
	}
	s.trust(s.fjord, "bizz.example")
	for name, test := range map[string]struct {
		in   directory.NewAccess
		want directory.ErrorKind
		says string
	}{
		"there already":      {directory.NewAccess{Email: "ivy@bizz.example", Name: "I"}, directory.Conflict, "already"},
		"of the directory":   {directory.NewAccess{Email: "ADA@fjord.example", Name: "A"}, directory.ReadOnly, "a"},
		"no address":         {directory.NewAccess{Email: "x", Name: "I"}, directory.Invalid, "address"},
		"no name":            {directory.NewAccess{Email: "x@y", Name: " "}, directory.Invalid, "name"},
		"no language":        {directory.NewAccess{Email: "x@y", Name: "I", Language: "<b>"}, directory.Invalid, "language"},
		"a long locale":      {directory.NewAccess{Email: "x@y", Name: "I", Locale: strings.Repeat("a", 36)}, directory.Invalid, "language"},
		"a menu of controls": {directory.NewAccess{Email: "x@y", Name: "I", Menus: []string{"\x01"}}, directory.Invalid, "menu"},
		"too many menus":     {directory.NewAccess{Email: "x@y", Name: "I", Menus: numbered(101)}, directory.Invalid, "100"},
	} {
		s.unchanged(func() {
			_, _, err := s.svc.AddInternal(s.ctx, by, s.test, test.in)
			if directory.KindOf(err) != test.want || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	checkInvariants(s.world)
}

func numbered(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("menu %d", i))
	}
	return all
}

// A foreign directory is not named to who has nothing to do with it.
func TestForeignDirectoriesAreNotNamed(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	foreign := s.tenant("secretive", s.other())
	s.createUser(foreign, directory.Profile{UserName: "zed", ExternalID: object(9), Name: "Zed", Email: "zed@corp.example", Emails: []string{"zed@corp.example"}, Active: true})
	add := func(by directory.Actor, email string) string {
		_, _, err := s.svc.AddInternal(s.ctx, by, s.production, directory.NewAccess{Email: email, Name: "X"})
		wantKind(t, err, directory.ReadOnly)
		return err.Error()
	}
	if got := add(administrator(s.production), "zed@corp.example"); strings.Contains(got, "secretive") {
		t.Error(got)
	}
	if got := add(operator, "zed@corp.example"); !strings.Contains(got, "secretive") {
		t.Error(got)
	}
	if got := add(administrator(s.production), "ada@fjord.example"); !strings.Contains(got, "fjord") {
		t.Error(got)
	}
}

// What a directory manages is read only; menus are BizzStream's (rule 6).
func TestExternalUsersAreReadOnly(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for name, in := range map[string]directory.AccessInput{"name": {Name: new("X")}, "email": {Email: new("x@y")}, "language": {Language: new("nl")}, "locale": {Locale: new("nl")}, "active": {Active: new(false)}} {
		s.unchanged(func() {
			_, err := s.svc.SetAccess(s.ctx, operator, s.production, s.ada.AccountID, in)
			if directory.KindOf(err) != directory.ReadOnly || !strings.Contains(err.Error(), "fjord") {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	s.unchanged(func() {
		_, err := s.svc.SetAccount(s.ctx, operator, s.ada.AccountID, directory.AccountInput{Name: new("X")})
		if directory.KindOf(err) != directory.ReadOnly || !strings.Contains(err.Error(), "fjord") {
			t.Error(err)
		}
	})
	got := must(s.svc.SetAccess(s.ctx, administrator(s.production), s.production, s.ada.AccountID, directory.AccessInput{Menus: &[]string{"own"}}))
	if strings.Join(got.Menus, ",") != "own" {
		t.Errorf("%+v", got)
	}
	s.setActive(s.ada, false)
	s.setActive(s.ada, true)
	if got := s.access(s.ada.AccountID, s.production); strings.Join(got.Menus, ",") != "own" {
		t.Errorf("%+v", got)
	}
	checkInvariants(s.world)
}

func TestWhoKeepsAnAccess(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ivy := s.internal(s.test)
	by := administrator(s.test)
	off := func(by directory.Actor, id directory.ID) error {
		_, err := s.svc.SetAccess(s.ctx, by, s.test, id, directory.AccessInput{Active: new(false)})
		return err
	}
	must(s.svc.SetAdministrator(s.ctx, operator, ivy, s.test, true))
	wantKind(t, off(by, ivy), directory.Conflict) // the last administrator
	bo, _ := must2(s.svc.AddInternal(s.ctx, operator, s.test, directory.NewAccess{Email: "bo@bizz.example", Name: "Bo"}))
	must(s.svc.SetAdministrator(s.ctx, operator, bo.AccountID, s.test, true))
	if err := off(by, ivy); err != nil {
		t.Error(err)
	}
	boss := s.localOperator("boss@bizz.example") // protected
	must2(s.svc.AddInternal(s.ctx, operator, s.test, directory.NewAccess{Email: "boss@bizz.example", Name: "Boss"}))
	session := s.signIn(boss)
	wantKind(t, off(by, boss), directory.Forbidden)
	if err := off(operator, boss); err != nil || !s.signedIn(session) {
		t.Errorf("%v, or an operator is signed out with an access", err)
	}
	if err := off(operator, bo.AccountID); err != nil {
		t.Error(err)
	}
	checkInvariants(s.world)
}

func TestSetAccount(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ivy := s.internal(s.test)
	s.localOperator("boss@bizz.example")
	set := func(in directory.AccountInput) error {
		_, err := s.svc.SetAccount(s.ctx, operator, ivy, in)
		return err
	}
	wantKind(t, set(directory.AccountInput{Email: new("BOSS@bizz.example")}), directory.Exists)
	wantKind(t, set(directory.AccountInput{Email: new("x")}), directory.Invalid)
	if err := set(directory.AccountInput{Email: new("ivy.ek@bizz.example"), Name: new("Ivy Ek")}); err != nil {
		t.Fatal(err)
	}
	if a := s.account(ivy); a.UserName != "ivy.ek@bizz.example" || a.Name != "Ivy Ek" {
		t.Errorf("%+v", a)
	}
	s.unchanged(func() {
		if err := set(directory.AccountInput{Name: new("Ivy Ek")}); err != nil {
			t.Error(err)
		}
	})
	checkInvariants(s.world)
}

// A page of people costs the same whatever exists beside it: rows are read by an index, or as far as the budget goes.
func TestCostOfPeople(t *testing.T) {
	t.Parallel()
	active, inactive := true, false
	lists := func(s *scene) map[string]directory.PeopleFilter {
		return map[string]directory.PeopleFilter{"all": {}, "a tenant": {TenantID: s.fjord}, "an environment": {EnvironmentID: s.production}, "active": {Active: &active},
			"active there": {EnvironmentID: s.production, Active: &active}, "a beginning": {Text: "user1"}, "internal": {Internal: true}}
	}
	bounded := func(s *scene) map[string]directory.PeopleFilter {
		return map[string]directory.PeopleFilter{"inactive": {Active: &inactive}, "a part": {Text: "nobody"}}
	}
	made := func(n int) *scene {
		s := newScene(t)
		ids := s.crowd(t, s.fjord, 1000, n)
		s.updateGroup(s.pilots, func(m *directory.Membership) error { return m.Add(ids) })
		return s
	}
	rows := func(s *scene, by directory.Actor, f directory.PeopleFilter) int {
		o := s.store.counted(func() {
			view(s.world, func(sn *directory.Snapshot) (*directory.PeoplePage, error) { return sn.SeePeople(by, f, "", 50) })
		})
		return o.Rows + o.Gets
	}
	small, large := made(200), made(3000)
	for name := range lists(small) {
		for who, by := range map[string]func(*scene) directory.Actor{"operator": func(*scene) directory.Actor { return operator }, "partner": (*scene).partner,
			"administrator": func(s *scene) directory.Actor { return administrator(s.production) }} {
			a, b := rows(small, by(small), lists(small)[name]), rows(large, by(large), lists(large)[name])
			if b > a+a/2+60 {
				t.Errorf("%s, by an %s: %d rows of 3,000 people, %d of 200", name, who, b, a)
			}
		}
	}
	for name, f := range bounded(large) {
		if n := rows(large, large.partner(), f); n > 12_000 {
			t.Errorf("%s: %d rows", name, n)
		}
	}
	page := view(large.world, func(sn *directory.Snapshot) (*directory.PeoplePage, error) {
		return sn.SeePeople(operator, directory.PeopleFilter{Text: "nobody"}, "", 50)
	})
	if page.Looked != 2000 || !page.Cut || page.Next == "" {
		t.Errorf("looked at %d, cut: %v, next: %q", page.Looked, page.Cut, page.Next)
	}
	if got := everybody(large, operator, directory.PeopleFilter{Text: "ser1999@"}, 50); len(got) != 1 {
		t.Errorf("who is found on a later page: %v", got)
	}
}
