package directory_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
)

func apiToken(name string, role directory.Role, reach directory.Reach, scopes ...string) directory.NewAPIToken {
	return directory.NewAPIToken{Name: name, Role: role, Reach: reach, Scopes: scopes, Hash: secretHash(name), Hint: "hint"}
}

func (w *world) opensAPI(name string) (by directory.Actor, ok bool) {
	hash := secretHash(name)
	t := view(w, func(sn *directory.Snapshot) (t *directory.APIToken, err error) {
		t, by, err = sn.APITokenByHash(hash[:], w.clock.Now())
		return t, err
	})
	return by, t != nil
}

// adaPartner makes ada a partner of fjord's organization, and returns her as an actor.
func (s *scene) adaPartner() directory.Actor {
	must(s.svc.SetRoles(s.ctx, operator, s.ada.AccountID, directory.RoleInput{Partner: map[directory.ID]bool{s.org: true}}))
	return directory.Actor{Role: directory.RolePartner, ID: s.ada.AccountID.String(), Reach: &directory.Reach{Organizations: []directory.ID{s.org}}}
}

func TestAPITokenIsNoMoreThanItsMaker(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	partner := s.adaPartner()
	foreign := must(s.svc.CreateOrganization(s.ctx, operator, "Foreign"))
	foreignEnv := must(s.svc.CreateEnvironment(s.ctx, operator, foreign.ID, "Theirs"))
	bound := partner
	bound.Reach = &directory.Reach{Organizations: []directory.ID{s.org}, Scopes: []string{"runs:read", "tokens:write"}}
	orgs := func(ids ...directory.ID) directory.Reach { return directory.Reach{Organizations: ids} }
	envs := func(ids ...directory.ID) directory.Reach { return directory.Reach{Environments: ids} }
	for i, c := range []struct {
		by   directory.Actor
		n    directory.NewAPIToken
		want directory.ErrorKind // Internal: it is made
	}{
		{operator, apiToken("", directory.RoleOperator, directory.Reach{}, "runs:read"), directory.Internal},
		{operator, apiToken("", directory.RolePartner, orgs(foreign.ID), "runs:read"), directory.Internal},
		{operator, apiToken("", directory.RolePartner, orgs(number(999)), "runs:read"), directory.NotFound},
		{operator, apiToken("", directory.RoleEnvironment, envs(number(999)), "runs:read"), directory.NotFound},
		{operator, apiToken("", directory.RoleOperator, orgs(foreign.ID), "runs:read"), directory.Invalid},
		{operator, apiToken("", directory.RolePartner, directory.Reach{}, "runs:read"), directory.Invalid},
		{operator, apiToken("", directory.RolePartner, directory.Reach{Organizations: []directory.ID{s.org}, Environments: []directory.ID{s.production}}, "runs:read"), directory.Invalid},
		{operator, apiToken("", directory.RoleEnvironment, orgs(s.org), "runs:read"), directory.Invalid},
		{operator, apiToken("", directory.RoleUser, directory.Reach{}, "runs:read"), directory.Invalid},
		{operator, apiToken("", directory.RoleSystem, directory.Reach{}, "runs:read"), directory.Invalid},
		{operator, apiToken("", directory.RoleOperator, directory.Reach{}), directory.Invalid},
		{operator, apiToken("", directory.RoleOperator, directory.Reach{}, "everything"), directory.Invalid},
		{operator, apiToken("", directory.RolePartner, orgs(make([]directory.ID, 101)...), "runs:read"), directory.NotFound}, // one id, 101 times
		{partner, apiToken("", directory.RolePartner, orgs(s.org), "runs:read"), directory.Internal},
		{partner, apiToken("", directory.RoleEnvironment, envs(s.production), "runs:read"), directory.Forbidden}, // a partner only looks at it
		{partner, apiToken("", directory.RoleOperator, directory.Reach{}, "runs:read"), directory.Forbidden},
		{partner, apiToken("", directory.RolePartner, orgs(s.org, foreign.ID), "runs:read"), directory.NotFound},
		{partner, apiToken("", directory.RoleEnvironment, envs(s.production, foreignEnv.ID), "runs:read"), directory.Forbidden},
		{operator, apiToken("", directory.RoleEnvironment, envs(s.production, foreignEnv.ID), "runs:read"), directory.Internal},
		{bound, apiToken("", directory.RolePartner, orgs(s.org), "runs:read"), directory.Internal},
		{bound, apiToken("", directory.RolePartner, orgs(s.org), "runs:read", "runs:write"), directory.Forbidden},
		{directory.Actor{Role: directory.RoleEnvironment, Reach: &directory.Reach{Environments: []directory.ID{s.production}}}, apiToken("", directory.RoleEnvironment, envs(s.production), "runs:read"), directory.Forbidden},
		{push, apiToken("", directory.RolePartner, orgs(s.org), "runs:read"), directory.Forbidden},
	} {
		c.n.Name, c.n.Hash = fmt.Sprint("token ", i), secretHash(fmt.Sprint("token ", i))
		_, err := s.svc.CreateAPIToken(s.ctx, c.by, c.n)
		if made := err == nil; made != (c.want == directory.Internal) || err != nil && directory.KindOf(err) != c.want {
			t.Errorf("%d: %v, not %v", i, err, c.want)
		}
		if _, ok := s.opensAPI(c.n.Name); ok != (c.want == directory.Internal) {
			t.Errorf("%d: opens: %v", i, ok)
		}
	}
	for _, life := range []time.Duration{time.Second, directory.MaxTokenLife + time.Second, -time.Hour} {
		n := apiToken("odd life", directory.RoleOperator, directory.Reach{}, "runs:read")
		n.Life = life
		if _, err := s.svc.CreateAPIToken(s.ctx, operator, n); directory.KindOf(err) != directory.Invalid {
			t.Errorf("a life of %v: %v", life, err)
		}
	}
}

func TestAPITokenLives(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	made := must(s.svc.CreateAPIToken(s.ctx, operator, apiToken("first", directory.RolePartner, directory.Reach{Organizations: []directory.ID{s.org, s.org}}, "runs:write", "runs:read", "runs:read")))
	by, ok := s.opensAPI("first")
	want := directory.Actor{Role: directory.RolePartner, Channel: "api", ID: made.ID.String(), Reach: &directory.Reach{Organizations: []directory.ID{s.org}, Scopes: []string{"runs:read", "runs:write"}}}
	if diff := cmp.Diff(want, by); !ok || diff != "" {
		t.Errorf("opens: %v %s", ok, diff)
	}
	next := must(s.svc.RotateAPIToken(s.ctx, operator, made.ID, secretHash("second"), "cond", 0, time.Hour))
	if next.Name != "first" || !slices.Equal(next.Scopes, made.Scopes) || next.Expires.Sub(next.Created) != directory.DefaultAPITokenLife {
		t.Errorf("rotated: %+v", next)
	}
	s.clock.Advance(time.Hour - time.Second)
	if _, ok := s.opensAPI("first"); !ok {
		t.Error("the old one ends before the overlap is over")
	}
	s.clock.Advance(time.Second)
	if _, ok := s.opensAPI("first"); ok {
		t.Error("the old one opens after the overlap")
	}
	if _, err := s.svc.RotateAPIToken(s.ctx, operator, made.ID, secretHash("third"), "", 0, 0); directory.KindOf(err) != directory.Conflict {
		t.Errorf("an ended one is rotated: %v", err)
	}
	if _, err := s.svc.RotateAPIToken(s.ctx, operator, next.ID, secretHash("third"), "", 0, directory.MaxOverlap+1); directory.KindOf(err) != directory.Invalid {
		t.Errorf("an overlap too long: %v", err)
	}
	if err := s.svc.TouchAPIToken(s.ctx, next.ID, "192.0.2.9"); err != nil {
		t.Fatal(err)
	}
	must(s.svc.RevokeAPIToken(s.ctx, operator, next.ID))
	if _, ok := s.opensAPI("second"); ok {
		t.Error("a revoked one opens")
	}
	must(s.svc.RevokeAPIToken(s.ctx, operator, next.ID)) // again is no error
	got := view(s.world, func(sn *directory.Snapshot) (*directory.APIToken, error) { return sn.SeeAPIToken(operator, next.ID) })
	if got.LastUsedFrom != "192.0.2.9" || got.LastUsed.IsZero() || got.Revoked.IsZero() {
		t.Errorf("seen: %+v", got)
	}
	s.clock.Advance(directory.DefaultAPITokenLife)
	must(s.svc.CreateAPIToken(s.ctx, operator, apiToken("third", directory.RoleOperator, directory.Reach{}, "runs:read")))
	s.clock.Advance(directory.DefaultAPITokenLife)
	if _, ok := s.opensAPI("third"); ok {
		t.Error("one opens after its time")
	}
}

// A token never outlives what its maker may: a partner who leaves, is disabled or loses the role opens nothing any more.
func TestAPITokenEndsWithItsMaker(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	partner := s.adaPartner()
	s.remove(s.pilots, s.ada)
	n := apiToken("hers", directory.RolePartner, directory.Reach{Organizations: []directory.ID{s.org}}, "runs:read", "tokens:write")
	first := must(s.svc.CreateAPIToken(s.ctx, partner, n))
	if _, ok := s.opensAPI("hers"); ok {
		t.Error("she has no access, and her token opens") // an external user without an active access may not be signed in
	}
	s.add(s.pilots, s.ada)
	asToken, ok := s.opensAPI("hers")
	if !ok {
		t.Fatal("her token does not open")
	}
	must(s.svc.CreateAPIToken(s.ctx, asToken, apiToken("of hers", directory.RolePartner, directory.Reach{Organizations: []directory.ID{s.org}}, "runs:read")))
	if _, ok := s.opensAPI("of hers"); !ok {
		t.Fatal("a token that hers made does not open")
	}
	s.setActive(s.ada, false)
	for _, name := range []string{"hers", "of hers"} {
		if _, ok := s.opensAPI(name); ok {
			t.Errorf("%s opens, and she has left", name)
		}
	}
	s.setActive(s.ada, true)
	if _, ok := s.opensAPI("hers"); !ok {
		t.Error("she is back, and her token does not open")
	}
	other := must(s.svc.CreateAPIToken(s.ctx, operator, apiToken("of others", directory.RolePartner, directory.Reach{Organizations: []directory.ID{s.org}}, "runs:read")))
	must(s.svc.SetRoles(s.ctx, operator, s.ada.AccountID, directory.RoleInput{Partner: map[directory.ID]bool{s.org: false}}))
	must(s.svc.SetRoles(s.ctx, operator, s.ada.AccountID, directory.RoleInput{Partner: map[directory.ID]bool{s.org: true}}))
	s.setActive(s.ada, true)
	for _, name := range []string{"hers", "of hers"} {
		if _, ok := s.opensAPI(name); ok {
			t.Errorf("%s opens after she lost the role", name)
		}
	}
	if _, ok := s.opensAPI("of others"); !ok {
		t.Error("a token of somebody else ended with hers")
	}
	got := view(s.world, func(sn *directory.Snapshot) (*directory.APIToken, error) { return sn.SeeAPIToken(operator, first.ID) })
	if got.Revoked.IsZero() || other.AccountID != (directory.ID{}) || got.AccountID != s.ada.AccountID {
		t.Errorf("%+v %+v", got, other)
	}
}

func TestAPITokensOfOthersAreNotThere(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	partner := s.adaPartner()
	foreign := must(s.svc.CreateOrganization(s.ctx, operator, "Foreign"))
	theirs := must(s.svc.CreateAPIToken(s.ctx, operator, apiToken("theirs", directory.RolePartner, directory.Reach{Organizations: []directory.ID{foreign.ID}}, "runs:read")))
	both := must(s.svc.CreateAPIToken(s.ctx, operator, apiToken("both", directory.RolePartner, directory.Reach{Organizations: []directory.ID{s.org, foreign.ID}}, "runs:read")))
	all := must(s.svc.CreateAPIToken(s.ctx, operator, apiToken("all", directory.RoleOperator, directory.Reach{}, "runs:read")))
	ours := must(s.svc.CreateAPIToken(s.ctx, operator, apiToken("ours", directory.RoleEnvironment, directory.Reach{Environments: []directory.ID{s.production}}, "runs:read")))
	seen := view(s.world, func(sn *directory.Snapshot) ([]*directory.APIToken, error) { return sn.SeeAPITokens(partner) })
	if len(seen) != 1 || seen[0].ID != ours.ID {
		t.Errorf("a partner sees %d tokens", len(seen))
	}
	if all := view(s.world, func(sn *directory.Snapshot) ([]*directory.APIToken, error) { return sn.SeeAPITokens(operator) }); len(all) != 4 {
		t.Errorf("an operator sees %d tokens", len(all))
	}
	for _, id := range []directory.ID{theirs.ID, both.ID, all.ID, number(999)} {
		if _, err := s.svc.RevokeAPIToken(s.ctx, partner, id); directory.KindOf(err) != directory.NotFound {
			t.Errorf("a partner revokes another's: %v", err)
		}
		if _, err := s.svc.RotateAPIToken(s.ctx, partner, id, secretHash("stolen"), "", 0, 0); directory.KindOf(err) != directory.NotFound {
			t.Errorf("a partner rotates another's: %v", err)
		}
	}
	// Rotating gives a new secret: a partner must not get one of an administrator's, nor a token one of more scopes than its own.
	if _, err := s.svc.RotateAPIToken(s.ctx, partner, ours.ID, secretHash("stolen"), "", 0, 0); directory.KindOf(err) != directory.Forbidden {
		t.Errorf("a partner rotates an administrator's: %v", err)
	}
	must(s.svc.RevokeAPIToken(s.ctx, partner, ours.ID))
	ours = must(s.svc.CreateAPIToken(s.ctx, operator, apiToken("ours too", directory.RolePartner, directory.Reach{Organizations: []directory.ID{s.org}}, "runs:read")))
	few := partner
	few.Reach = &directory.Reach{Organizations: []directory.ID{s.org}, Scopes: []string{"tokens:write"}}
	if _, err := s.svc.RotateAPIToken(s.ctx, few, ours.ID, secretHash("stolen"), "", 0, 0); directory.KindOf(err) != directory.Forbidden {
		t.Errorf("a token rotates one of more scopes: %v", err)
	}
	for _, name := range []string{"theirs", "both", "all", "ours too"} {
		if _, ok := s.opensAPI(name); !ok {
			t.Errorf("%s does not open any more", name)
		}
	}
}

// Who loses one role keeps the tokens of the others. A token is no more than its maker even where nothing has ended it.
func TestAPITokensOfARoleThatStays(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	partner := s.adaPartner()
	s.add(s.pilots, s.ada)
	second := must(s.svc.CreateOrganization(s.ctx, operator, "Second")).ID
	role := func(org directory.ID, is bool) {
		t.Helper()
		must(s.svc.SetRoles(s.ctx, operator, s.ada.AccountID, directory.RoleInput{Partner: map[directory.ID]bool{org: is}}))
	}
	role(second, true)
	partner.Reach.Organizations = append(partner.Reach.Organizations, second)
	for name, orgs := range map[string][]directory.ID{"of both": {s.org, second}, "of the second": {second}, "of the first": {s.org}} {
		must(s.svc.CreateAPIToken(s.ctx, partner, apiToken(name, directory.RolePartner, directory.Reach{Organizations: orgs}, "runs:read")))
	}
	opens := func(want ...string) {
		t.Helper()
		var got []string
		for _, name := range []string{"of both", "of the first", "of the second"} {
			if _, ok := s.opensAPI(name); ok {
				got = append(got, name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("what opens: %q, not %q", got, want)
		}
	}
	opens("of both", "of the first", "of the second")
	role(second, false)
	opens("of the first")
	s.raw(func(w directory.Writer) error { return w.Delete(table("roles"), cat(s.ada.AccountID)) }) // past the Service
	opens()
}

// A token that is rotated gets no longer life than it had, the new one none beyond the bounds, and both acts are audited.
func TestAPITokenIsRotatedWithinBounds(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	short := apiToken("short", directory.RoleOperator, directory.Reach{}, "runs:read")
	short.Life = time.Hour
	made := must(s.svc.CreateAPIToken(s.ctx, operator, short))
	s.unchanged(func() {
		for _, life := range []time.Duration{time.Second, -time.Hour, directory.MaxTokenLife + time.Second} {
			_, err := s.svc.RotateAPIToken(s.ctx, operator, made.ID, secretHash("next"), "cond", life, 0)
			wantKind(t, err, directory.Invalid)
		}
		many := make([]directory.ID, 101)
		for i := range many {
			many[i] = number(uint64(1000 + i))
		}
		for _, n := range []directory.NewAPIToken{apiToken("many", directory.RolePartner, directory.Reach{Organizations: many}, "runs:read"), apiToken("many", directory.RoleEnvironment, directory.Reach{Environments: many}, "runs:read")} {
			_, err := s.svc.CreateAPIToken(s.ctx, operator, n)
			wantKind(t, err, directory.Invalid)
		}
	})
	must(s.svc.RotateAPIToken(s.ctx, operator, made.ID, secretHash("next"), "cond", 0, 24*time.Hour))
	s.clock.Advance(time.Hour)
	if _, ok := s.opensAPI("short"); ok {
		t.Error("the overlap has made its life longer")
	}
	if _, ok := s.opensAPI("next"); !ok {
		t.Error("the new one does not open")
	}
	var acts []string
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		return true, sn.Audit(0, func(e *directory.AuditEntry) bool {
			if strings.HasPrefix(e.Action, "api-token.") {
				acts = append(acts, e.Action+" "+e.Target)
			}
			return true
		})
	})
	if got := strings.Join(acts, ", "); got != "api-token.create short, api-token.rotate short" {
		t.Errorf("audit: %s", got)
	}
}

func TestWhoMayGiveAPITokens(t *testing.T) {
	t.Parallel()
	own, other := number(1), number(2)
	reach := &directory.Reach{Organizations: []directory.ID{own}}
	for _, c := range []struct {
		by   directory.Actor
		org  directory.ID
		want bool
	}{
		{operator, other, true}, {directory.Actor{Role: directory.RolePartner, Reach: reach}, own, true}, {directory.Actor{Role: directory.RolePartner, Reach: reach}, other, false},
		{directory.Actor{Role: directory.RoleEnvironment, Reach: reach}, own, false}, {directory.Actor{Role: directory.RoleUser, Reach: reach}, own, false}, {directory.Actor{Role: directory.RolePartner}, own, false},
	} {
		if got := c.by.MayGive(c.org); got != c.want {
			t.Errorf("%+v gives %s: %v", c.by, c.org, got)
		}
	}
}

func TestAPITokensAreBounded(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	var last *directory.APIToken
	for i := range 50 {
		last = must(s.svc.CreateAPIToken(s.ctx, operator, apiToken(fmt.Sprint("token ", i), directory.RoleOperator, directory.Reach{}, "runs:read")))
	}
	one := apiToken("one more", directory.RoleOperator, directory.Reach{}, "runs:read")
	if _, err := s.svc.CreateAPIToken(s.ctx, operator, one); directory.KindOf(err) != directory.Conflict {
		t.Fatalf("the 51st: %v", err)
	}
	partner := s.adaPartner() // those of others do not count
	must(s.svc.CreateAPIToken(s.ctx, partner, apiToken("hers", directory.RolePartner, directory.Reach{Organizations: []directory.ID{s.org}}, "runs:read")))
	must(s.svc.RevokeAPIToken(s.ctx, operator, last.ID))
	must(s.svc.CreateAPIToken(s.ctx, operator, one))
}

func TestKeptAnswers(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	token, other, request := number(1), number(2), secretHash("request")
	kept := func(token directory.ID) *directory.Answer {
		return view(s.world, func(sn *directory.Snapshot) (*directory.Answer, error) {
			return sn.KeptAnswer(token, request, s.clock.Now())
		})
	}
	if err := s.svc.KeepAnswer(s.ctx, token, request, secretHash("body"), "sealed"); err != nil {
		t.Fatal(err)
	}
	if a := kept(token); a == nil || a.Sealed != "sealed" {
		t.Errorf("kept: %+v", a)
	}
	if kept(other) != nil {
		t.Error("another token gets the answer")
	}
	s.clock.Advance(directory.AnswerLife - time.Millisecond)
	if kept(token) == nil {
		t.Error("it is gone before its time")
	}
	s.clock.Advance(time.Millisecond)
	if kept(token) != nil {
		t.Error("it is there after its time")
	}
	for i := range 3 { // pruned by later ones
		if err := s.svc.KeepAnswer(s.ctx, other, secretHash(fmt.Sprint(i)), secretHash("body"), "sealed"); err != nil {
			t.Fatal(err)
		}
	}
	if n := view(s.world, func(sn *directory.Snapshot) (int64, error) { return sn.KeptAnswers(token) }); n != 0 {
		t.Errorf("%d are kept after their time", n)
	}
	if n := view(s.world, func(sn *directory.Snapshot) (int64, error) { return sn.KeptAnswers(other) }); n != 3 {
		t.Errorf("%d are kept", n)
	}
}

// A token that has not every scope gives nobody a role, and no way to sign in as who has one: either would be worth
// more than the token.
func TestTokensGiveNoMoreThanTheyHave(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	boss := must(s.svc.CreateOperator(s.ctx, operator, "boss@firm.example", "Boss"))
	_, _, err := s.svc.AddInternal(s.ctx, operator, s.production, directory.NewAccess{Email: "eva@firm.example", Name: "Eva"})
	if err != nil {
		t.Fatal(err)
	}
	eva := must(s.svc.CreateOperator(s.ctx, operator, "other@firm.example", "Other"))
	acts := map[string]func(by directory.Actor) error{
		"a role": func(by directory.Actor) error {
			_, err := s.svc.SetRoles(s.ctx, by, boss.ID, directory.RoleInput{Partner: map[directory.ID]bool{s.org: true}})
			return err
		},
		"an operator": func(by directory.Actor) error {
			_, err := s.svc.CreateOperator(s.ctx, by, "third@firm.example", "Third")
			return err
		},
		"an operator's e-mail address": func(by directory.Actor) error {
			_, err := s.svc.SetAccount(s.ctx, by, eva.ID, directory.AccountInput{Email: new("mine@firm.example")})
			return err
		},
		"an operator's password": func(by directory.Actor) error {
			_, err := s.svc.CreateLink(s.ctx, by, directory.LinkPassword, boss.ID, secretHash("password"), time.Hour)
			return err
		},
		"an operator's session": func(by directory.Actor) error {
			_, err := s.svc.CreateLink(s.ctx, by, directory.LinkSignIn, boss.ID, secretHash("sign-in"), time.Hour)
			return err
		},
	}
	few := directory.Actor{Role: directory.RoleOperator, Channel: "api", Reach: &directory.Reach{Scopes: []string{"settings:write", "users:write"}}}
	whole := directory.Actor{Role: directory.RoleOperator, Channel: "api", Reach: &directory.Reach{Scopes: directory.APIScopes}}
	for name, act := range acts {
		if err := act(few); directory.KindOf(err) != directory.Forbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, act := range acts {
		if err := act(whole); err != nil {
			t.Errorf("%s, by who has every scope: %v", name, err)
		}
	}
	// What is no more than users:write and settings:write say, they do.
	if _, err := s.svc.SetRoles(s.ctx, few, boss.ID, directory.RoleInput{Partner: map[directory.ID]bool{s.org: false}}); err != nil {
		t.Error(err)
	}
	if _, err := s.svc.SetAccount(s.ctx, few, eva.ID, directory.AccountInput{Name: new("Eva Lund")}); err != nil {
		t.Error(err)
	}
}
