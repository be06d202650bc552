package directory_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// lands tells where somebody lands, and whether it was chosen.
func (s *scene) lands(account directory.ID) (env directory.ID, chosen bool) {
	view(s.world, func(sn *directory.Snapshot) (ok bool, err error) {
		a, err := sn.Account(account)
		if err != nil {
			return false, err
		}
		env, chosen, err = sn.DefaultEnvironment(a)
		return true, err
	})
	return env, chosen
}

func (s *scene) choose(by directory.Actor, account, env directory.ID) error {
	_, err := s.svc.SetAccount(s.ctx, by, account, directory.AccountInput{DefaultEnvironment: &env})
	return err
}

// The chosen one while there is active access to it, else the access that was granted first, and none without an active
// access. A comeback finds the choice as it was.
func TestDefaultEnvironment(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada, none := s.ada.AccountID, directory.ID{}
	want := func(step string, env directory.ID, chosen bool) {
		t.Helper()
		if got, is := s.lands(ada); got != env || is != chosen {
			t.Errorf("%s: %s, chosen: %v; want %s, %v", step, got, is, env, chosen)
		}
	}
	choose := func(env directory.ID) {
		t.Helper()
		if err := s.choose(operator, ada, env); err != nil {
			t.Fatal(err)
		}
	}
	want("one access", s.production, false)
	s.clock.Advance(time.Hour)
	s.integrate(s.test, s.fjord, s.pilotsID)
	want("another one, later", s.production, false)
	choose(s.test)
	want("chosen", s.test, true)
	s.enable(s.test, false)
	want("the chosen one is inactive", s.production, false)
	s.setActive(s.ada, false)
	want("no access", none, false)
	s.setActive(s.ada, true)
	want("back, but for the chosen one", s.production, false)
	s.enable(s.test, true)
	want("the chosen one is back", s.test, true)
	s.deleteUser(s.ada)
	want("deleted", none, false)
	s.ada = s.createUser(s.fjord, person("ada", 1))
	s.add(s.pilots, s.ada)
	if s.ada.AccountID != ada {
		t.Fatal("another account")
	}
	want("provisioned again", s.test, true)
	choose(s.production)
	want("chosen anew", s.production, true)
	choose(none)
	want("chosen no more", s.production, false)
	s.enable(s.production, false)
	want("the first one is inactive", s.test, false)
	s.enable(s.production, true)
	want("the first one is back: it was granted first", s.production, false)
	checkInvariants(s.world)
}

// Of accesses that were granted at the same time it is the one whose environment has the smaller id.
func TestDefaultAccessOfTies(t *testing.T) {
	t.Parallel()
	at := newClock().Now()
	x := func(env uint64, at time.Time) *directory.Access {
		return &directory.Access{EnvironmentID: number(env), Created: at}
	}
	for name, c := range map[string]struct {
		all    []*directory.Access
		chosen uint64
		want   uint64
		is     bool
	}{
		"a tie":                 {[]*directory.Access{x(3, at), x(2, at)}, 0, 2, false},
		"an older one":          {[]*directory.Access{x(2, at), x(3, at.Add(-time.Second)), x(1, at)}, 0, 3, false},
		"the chosen one":        {[]*directory.Access{x(2, at), x(3, at.Add(time.Second))}, 3, 3, true},
		"a choice that is gone": {[]*directory.Access{x(2, at), x(1, at.Add(time.Second))}, 3, 2, false},
	} {
		a := &directory.Account{}
		if c.chosen > 0 {
			a.DefaultEnvironmentID = number(c.chosen)
		}
		if got, is := a.DefaultAccess(c.all); got == nil || got.EnvironmentID != number(c.want) || is != c.is {
			t.Errorf("%s: %+v, chosen: %v", name, got, is)
		}
	}
	if got, is := (&directory.Account{DefaultEnvironmentID: number(1)}).DefaultAccess(nil); got != nil || is {
		t.Errorf("without an access: %+v", got)
	}
}

// While a derivation has still to take an access, nobody lands there, and nobody chooses it.
func TestDefaultEnvironmentWhileDeriving(t *testing.T) {
	t.Parallel()
	l := &leaver{scene: newScene(t)}
	l.slow()
	if env, _ := l.lands(l.account); env != l.production {
		t.Fatalf("lands in %s", env)
	}
	l.enable(l.production, false)
	l.wantState(l.account, l.production, "active") // the record, so far
	if env, _ := l.lands(l.account); !env.IsZero() {
		t.Errorf("lands in %s", env)
	}
	wantKind(t, l.choose(operator, l.account, l.production), directory.Conflict)
}

// Who sees the person and the environment chooses; what lies elsewhere does not exist.
func TestWhoChoosesADefaultEnvironment(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.integrate(s.test, s.fjord, s.pilotsID)
	ada, none := s.ada.AccountID, directory.ID{}
	unknown := s.choose(operator, ada, number(999))
	wantKind(t, unknown, directory.NotFound)
	for name, c := range map[string]struct {
		by           directory.Actor
		account, env directory.ID
		want         directory.ErrorKind
		says         string
	}{
		"an administrator, of another environment":     {administrator(s.test), ada, s.production, directory.NotFound, unknown.Error()},
		"a partner, of another organization":           {s.partner(), ada, s.elsewhere, directory.NotFound, unknown.Error()},
		"a partner of another organization":            {directory.Actor{Role: directory.RolePartner, Reach: &directory.Reach{Organizations: []directory.ID{s.other()}}}, ada, s.production, directory.NotFound, ""},
		"an administrator who does not see the person": {administrator(s.elsewhere), ada, s.elsewhere, directory.NotFound, ""},
		"an operator, of nobody":                       {operator, number(998), s.production, directory.NotFound, ""},
		"an operator, where there is no access":        {operator, ada, s.elsewhere, directory.Conflict, "no active access"},
		"the directory":                                {push, ada, s.production, directory.Forbidden, ""},
		"themselves":                                   {directory.Actor{Role: directory.RoleUser, ID: ada.String()}, ada, s.production, directory.Forbidden, ""},
		"themselves, taking back":                      {directory.Actor{Role: directory.RoleUser, ID: ada.String()}, ada, none, directory.Forbidden, ""},
	} {
		s.unchanged(func() {
			err := s.choose(c.by, c.account, c.env)
			if directory.KindOf(err) != c.want || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	// The words for whom one does not see are those for nobody.
	stranger, nobody := s.choose(administrator(s.elsewhere), ada, s.elsewhere), s.choose(operator, number(998), s.elsewhere)
	if stranger.Error() != nobody.Error() {
		t.Errorf("%v, of nobody: %v", stranger, nobody)
	}
	for name, by := range map[string]directory.Actor{"an administrator": administrator(s.production), "a partner": s.partner(), "an operator": operator} {
		if err := s.choose(by, ada, s.production); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s.unchanged(func() { // again; and where the choice does not exist, there is nothing to take back
			if err := s.choose(by, ada, s.production); err != nil {
				t.Errorf("%s, again: %v", name, err)
			}
			if err := s.choose(administrator(s.test), ada, none); err != nil {
				t.Errorf("a stranger to the choice of %s: %v", name, err)
			}
		})
		if err := s.choose(by, ada, none); err != nil {
			t.Errorf("%s takes it back: %v", name, err)
		}
		if id := s.account(ada).DefaultEnvironmentID; !id.IsZero() {
			t.Errorf("%s has taken it back, and it is %s", name, id)
		}
	}
	checkInvariants(s.world)
}

// A choice is in the audit, in the outgoing events, and in the log of both environments for who sees them; who made it is told
// nobody who does not see where they work.
func TestDefaultEnvironmentIsTold(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.integrate(s.test, s.fjord, s.pilotsID)
	ada := s.ada.AccountID
	type said struct {
		env      directory.ID
		old, new string
	}
	for _, step := range []struct {
		name  string
		by    directory.Actor
		env   directory.ID
		lines []said
	}{
		{"chosen", administrator(s.production), s.production, []said{{s.production, "", `"production"`}}},
		{"moved by who sees both", operator, s.test, []said{{s.production, `"production"`, ""}, {s.test, "", `"test"`}}},
		{"moved by who sees one", administrator(s.production), s.production, []said{{s.production, "", `"production"`}}},
		{"taken back", s.partner(), directory.ID{}, []said{{s.production, `"production"`, ""}}},
	} {
		version := s.user(s.ada).Version
		s.clock.Advance(time.Second)
		got := s.telling(func() {
			if err := s.choose(step.by, ada, step.env); err != nil {
				t.Error(err)
			}
		})
		if len(got.Log) != len(step.lines) {
			t.Fatalf("%s: %d lines", step.name, len(got.Log))
		}
		for i, l := range got.Log {
			c := l.Changes[0]
			if is := (said{l.EnvironmentID, string(c.Old), string(c.New)}); is != step.lines[i] || c.Name != "defaultEnvironment" || len(l.Changes) != 1 ||
				l.TargetID != s.ada.ID.String() || l.TenantID != s.fjord || l.Action != directory.ActionUpdate || len(l.Accesses) != 0 {
				t.Errorf("%s: %+v", step.name, l)
			}
		}
		if e := got.Events; len(e) != 1 || e[0].Type != "user.updated" || e[0].AccountID != ada || e[0].UserID != s.ada.ID || e[0].Method != directory.UpdateNone || e[0].Switched || e[0].Active == nil || !*e[0].Active || len(e[0].Accesses) != 0 {
			t.Errorf("%s: %+v", step.name, e)
		}
		if a := s.lastAudit(); a.Action != "account.default-environment" || a.Target != ada.String() || !strings.Contains(string(a.Detail), `"before":`) {
			t.Errorf("%s: %+v", step.name, a)
		}
		if a := s.account(ada); s.user(s.ada).Version != version || !a.Modified.Equal(s.clock.Now()) {
			t.Errorf("%s: the SCIM resource has another version, or the account was not modified: %v", step.name, a.Modified)
		}
	}
	ivy := s.internal(s.test)
	got := s.telling(func() {
		if err := s.choose(administrator(s.test), ivy, s.test); err != nil {
			t.Error(err)
		}
	})
	if e := got.Events; len(e) != 1 || e[0].Type != "user.updated" || e[0].AccountID != ivy || !e[0].TenantID.IsZero() || !e[0].UserID.IsZero() {
		t.Errorf("an internal user: %+v", e)
	}
	checkInvariants(s.world)
}

// With a name that is refused, nothing is chosen; and the other way round.
func TestAccountAndDefaultAreOneChange(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ivy := s.internal(s.test)
	for name, c := range map[string]struct {
		by      directory.Actor
		account directory.ID
		in      directory.AccountInput
		want    directory.ErrorKind
	}{
		"a name of the directory's": {operator, s.ada.AccountID, directory.AccountInput{Name: new("X"), DefaultEnvironment: &s.production}, directory.ReadOnly},
		"a bad name":                {operator, ivy, directory.AccountInput{Name: new(""), DefaultEnvironment: &s.test}, directory.Invalid},
		"a name, by administrators": {administrator(s.test), ivy, directory.AccountInput{Name: new("X"), DefaultEnvironment: &s.test}, directory.Forbidden},
		"no access there":           {operator, ivy, directory.AccountInput{Name: new("X"), DefaultEnvironment: &s.production}, directory.Conflict},
	} {
		s.unchanged(func() {
			_, err := s.svc.SetAccount(s.ctx, c.by, c.account, c.in)
			if directory.KindOf(err) != c.want {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	a := must(s.svc.SetAccount(s.ctx, operator, ivy, directory.AccountInput{Name: new("Ivy Ek"), DefaultEnvironment: &s.test}))
	if got := s.account(ivy); a.Name != "Ivy Ek" || got.Name != "Ivy Ek" || got.DefaultEnvironmentID != s.test {
		t.Errorf("%+v", got)
	}
	checkInvariants(s.world)
}
