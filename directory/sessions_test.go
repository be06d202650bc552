package directory_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
)

func (w *world) sessionOf(secret string) *directory.Session {
	w.Helper()
	hash := secretHash(secret)
	return view(w, func(s *directory.Snapshot) (*directory.Session, error) { return s.Session(hash[:]) })
}

func (w *world) sessions(account directory.ID) []*directory.Session {
	w.Helper()
	return view(w, func(s *directory.Snapshot) ([]*directory.Session, error) { return s.Sessions(account) })
}

func (w *world) principal(secret string) *directory.Principal {
	w.Helper()
	p, err := w.svc.CheckSession(w.ctx, secretHash(secret), time.Time{})
	if err != nil {
		w.Fatalf("CheckSession: %v", err)
	}
	return p
}

// What a session says of itself is what was said when it was made, bounded.
func TestSessionRecord(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	in := directory.SessionInput{AccountID: s.ada.AccountID, Hash: secretHash("a"), SignedIn: directory.SignedIn{Method: directory.MethodDirectory, TenantID: s.fjord,
		ObjectID: s.ada.ObjectID, SID: "sid", LogoutHint: "hint", Address: "192.0.2.1", UserAgent: "browser"}}
	made := must(s.svc.CreateSession(s.ctx, push, in))
	now := s.clock.Now()
	want := &directory.Session{ID: made.ID, Hash: in.Hash[:], AccountID: s.ada.AccountID, Created: now, Expires: now.Add(8 * time.Hour), Seen: now, SignedIn: in.SignedIn}
	for what, got := range map[string]*directory.Session{"made": made, "kept": s.sessionOf("a"), "listed": s.sessions(s.ada.AccountID)[0], "checked": s.principal("a").Session} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	if e := s.lastAudit(); e.Action != "session.create" || e.Target != s.ada.AccountID.String() || !strings.Contains(string(e.Detail), made.ID.String()) {
		t.Errorf("audit: %+v", e)
	}
	odd := in
	odd.Hash, odd.Address, odd.UserAgent = secretHash("b"), strings.Repeat("1", 100), strings.Repeat("x", 255)+"é"
	odd.SID, odd.LogoutHint = "a\x00b", strings.Repeat("x", 5000)
	must(s.svc.CreateSession(s.ctx, push, odd))
	if got := s.sessionOf("b"); got.Address != strings.Repeat("1", 64) || got.UserAgent != strings.Repeat("x", 255) || got.SID != "" || got.LogoutHint != "" {
		t.Errorf("%+v", got)
	}
	s.unchanged(func() { // a secret is never used twice
		_, err := s.svc.CreateSession(s.ctx, push, in)
		wantKind(t, err, directory.Conflict)
	})
	if got := s.sessionOf("never made"); got != nil {
		t.Errorf("%+v", got)
	}
	checkInvariants(s.world)
}

// A cookie of another person in the same browser is no reason to leave that session open.
func TestSessionReplaces(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	twin := s.signIn(s.twin.AccountID)
	in := directory.SessionInput{AccountID: s.ada.AccountID, Hash: secretHash("new"), Replaces: secretHash(twin)}
	must(s.svc.CreateSession(s.ctx, push, in))
	if got := s.sessionOf(twin); got.Reason != directory.EndedReplaced || s.signedIn(twin) {
		t.Errorf("%+v", got)
	}
	in.Hash, in.Replaces = secretHash("newer"), secretHash("never made")
	must(s.svc.CreateSession(s.ctx, push, in))
	if !s.signedIn("new") || !s.signedIn("newer") {
		t.Error("a session has ended")
	}
	// Who may not be signed in takes nobody's place.
	bo := s.createUser(s.fjord, person("bo", 2))
	s.unchanged(func() {
		_, err := s.svc.CreateSession(s.ctx, push, directory.SessionInput{AccountID: bo.AccountID, Hash: secretHash("bo"), Replaces: secretHash("new")})
		wantKind(t, err, directory.Forbidden)
	})
	checkInvariants(s.world)
}

// The oldest of too many sessions gives way; those that have ended do not count.
func TestSessionsOfAnAccountAreBounded(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	var all []string
	for range 20 {
		s.clock.Advance(time.Second)
		all = append(all, s.signIn(s.ada.AccountID))
	}
	if err := s.svc.EndSession(s.ctx, operator, s.ada.AccountID, s.sessionOf(all[7]).ID, directory.EndedRevoked); err != nil {
		t.Fatal(err)
	}
	all = append(all, s.signIn(s.ada.AccountID))
	for i, secret := range all {
		if s.signedIn(secret) == (i == 7) {
			t.Errorf("session %d of 20: %v", i, s.signedIn(secret))
		}
	}
	for range 2 {
		s.clock.Advance(time.Second)
		all = append(all, s.signIn(s.ada.AccountID))
	}
	for i, secret := range all {
		if ended := i == 7 || i < 2; s.signedIn(secret) == ended {
			t.Errorf("session %d of %d: ended %v", i, len(all), ended)
		}
	}
	if got := s.sessionOf(all[1]); got.Reason != directory.EndedReplaced {
		t.Errorf("%+v", got)
	}
	checkInvariants(s.world)
}

func TestEndSession(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	first, second, twin := s.signIn(s.ada.AccountID), s.signIn(s.ada.AccountID), s.signIn(s.twin.AccountID)
	id := s.sessionOf(first).ID
	end := func(by directory.Actor, account, id directory.ID) error {
		return s.svc.EndSession(s.ctx, by, account, id, directory.EndedRevoked)
	}
	endAll := func(by directory.Actor, account, except directory.ID) (int, error) {
		return s.svc.EndSessions(s.ctx, by, account, except, directory.EndedRevoked)
	}
	everybody := &directory.Reach{Organizations: []directory.ID{s.org, s.other()}, Environments: []directory.ID{s.production, s.elsewhere}}
	s.unchanged(func() {
		for _, by := range []directory.Actor{self(s.twin.AccountID), {}, push, {Role: directory.RolePartner, Reach: everybody}, {Role: directory.RoleEnvironment, Reach: everybody}} {
			wantKind(t, end(by, s.ada.AccountID, id), directory.NotFound)
			_, err := endAll(by, s.ada.AccountID, directory.ID{})
			wantKind(t, err, directory.NotFound)
		}
		wantKind(t, end(operator, s.twin.AccountID, id), directory.NotFound) // of another account
		wantKind(t, end(operator, s.ada.AccountID, number(999)), directory.NotFound)
		wantKind(t, end(operator, number(999), id), directory.NotFound)
		_, err := endAll(operator, number(999), directory.ID{})
		wantKind(t, err, directory.NotFound)
	})
	if err := end(self(s.ada.AccountID), s.ada.AccountID, id); err != nil {
		t.Fatal(err)
	}
	if e := s.lastAudit(); e.Action != "session.end" || e.Target != s.ada.AccountID.String() {
		t.Errorf("audit: %+v", e)
	}
	s.unchanged(func() { // once
		if err := s.svc.EndSession(s.ctx, operator, s.ada.AccountID, id, directory.EndedSignOut); err != nil {
			t.Error(err)
		}
	})
	if s.signedIn(first) || !s.signedIn(second) || !s.signedIn(twin) {
		t.Error("another one has ended")
	}
	third := s.signIn(s.ada.AccountID)
	if n, err := endAll(self(s.ada.AccountID), s.ada.AccountID, s.sessionOf(third).ID); n != 1 || err != nil || s.signedIn(second) || !s.signedIn(third) {
		t.Errorf("%d, %v", n, err)
	}
	s.unchanged(func() {
		if n, err := endAll(operator, s.ada.AccountID, s.sessionOf(third).ID); n != 0 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
	s.store.twice = true
	if n, err := endAll(theServer, s.ada.AccountID, directory.ID{}); n != 1 || err != nil || s.signedIn(third) || !s.signedIn(twin) {
		t.Errorf("%d, %v", n, err)
	}
	if e := s.lastAudit(); e.Action != "session.end-all" {
		t.Errorf("audit: %+v", e)
	}
	checkInvariants(s.world)
}

// Anybody can call the address of a front-channel logout: it ends the sessions of that one session of
// that directory, and costs nothing where there is none.
func TestEndDirectorySession(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	who := directory.Identity{TenantID: s.fjord, ClientID: "client", ObjectID: objectID(1), Subject: "sub"}
	with := func(secret, sid string) {
		t.Helper()
		_, err := s.svc.SignIn(s.ctx, push, who, directory.SessionInput{Hash: secretHash(secret), SignedIn: directory.SignedIn{SID: sid}})
		if err != nil {
			t.Fatal(err)
		}
	}
	with("a", "one")
	with("b", "one")
	with("c", "one more")
	with("d", "")
	with("e", "one\x00more")
	end := func(tenant directory.ID, sid string) int {
		t.Helper()
		return must(s.svc.EndDirectorySession(s.ctx, push, tenant, sid))
	}
	s.unchanged(func() {
		cost := s.store.counted(func() {
			for _, sid := range []string{"", "on", "ONE", "none", "one\x00", "one\x00more", strings.Repeat("x", 5000)} {
				if n := end(s.fjord, sid); n != 0 {
					t.Errorf("sid %q ends %d", sid, n)
				}
			}
			for _, tenant := range []directory.ID{s.harbor, {}, number(999)} {
				if n := end(tenant, "one"); n != 0 {
					t.Errorf("tenant %v ends %d", tenant, n)
				}
			}
		})
		if cost.Updates != 0 {
			t.Errorf("%d transactions of nothing", cost.Updates)
		}
	})
	s.store.twice = true
	if n := end(s.fjord, "one"); n != 2 || s.signedIn("a") || s.signedIn("b") || !s.signedIn("c") || !s.signedIn("d") || !s.signedIn("e") {
		t.Errorf("%d have ended", n)
	}
	if e := s.lastAudit(); e.Action != "session.end-directory" {
		t.Errorf("audit: %+v", e)
	}
	s.unchanged(func() {
		if n := end(s.fjord, "one"); n != 0 {
			t.Errorf("%d have ended once more", n)
		}
	})
	checkInvariants(s.world)
}

// Who somebody is and what they may is read anew at each check.
func TestPrincipalIsOfTheMoment(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.integrate(s.test, s.fjord, s.crewID)
	secret := s.signIn(s.ada.AccountID)
	role := func(want directory.Role) *directory.Principal {
		t.Helper()
		p := s.principal(secret)
		if p.Role() != want || p.Actor().Role != want || p.Actor().ID != s.ada.AccountID.String() {
			t.Errorf("role %q, want %q: %+v", p.Role(), want, p.Actor())
		}
		return p
	}
	p := role(directory.RoleUser)
	if len(p.Accesses) != 1 || p.Access(s.production) == nil || p.Access(s.test) != nil || p.Access(directory.ID{}) != nil || !p.Now.Equal(s.clock.Now()) || p.Account.Name != "Ada" {
		t.Errorf("%+v", p)
	}
	wantSame(t, "reach", p.Actor().Reach, &directory.Reach{})
	s.add(s.crew, s.ada)
	if p = role(directory.RoleUser); len(p.Accesses) != 2 || p.Access(s.test) == nil {
		t.Errorf("%+v", p)
	}
	must(s.svc.SetAdministrator(s.ctx, operator, s.ada.AccountID, s.test, true))
	wantSame(t, "reach", role(directory.RoleEnvironment).Actor().Reach, &directory.Reach{Environments: []directory.ID{s.test}})
	must(s.svc.SetRoles(s.ctx, operator, s.ada.AccountID, directory.RoleInput{Partner: map[directory.ID]bool{s.org: true}}))
	wantSame(t, "reach", role(directory.RolePartner).Actor().Reach, &directory.Reach{Organizations: []directory.ID{s.org}, Environments: []directory.ID{s.test}})
	must(s.svc.SetRoles(s.ctx, operator, s.ada.AccountID, directory.RoleInput{Operator: new(true)}))
	role(directory.RoleOperator)
	secret = func() string { // a role that goes ends the session
		must(s.svc.SetRoles(s.ctx, operator, s.ada.AccountID, directory.RoleInput{Operator: new(false), Partner: map[directory.ID]bool{s.org: false}}))
		if s.signedIn(secret) {
			t.Error("the session goes on")
		}
		return s.signIn(s.ada.AccountID)
	}()
	role(directory.RoleEnvironment)
	waits := s.svc.SessionsEnded()
	must(s.svc.SetAdministrator(s.ctx, operator, s.ada.AccountID, s.test, false))
	wantTold(t, waits)
	role(directory.RoleUser)
	must(s.svc.SetAdministrator(s.ctx, operator, s.ada.AccountID, s.test, true))
	waits = s.svc.SessionsEnded()
	s.remove(s.crew, s.ada) // the office stays with an inactive access, and counts for nothing
	wantTold(t, waits)
	if p = role(directory.RoleUser); len(p.Accesses) != 1 {
		t.Errorf("%+v", p)
	}
	s.updateUser(s.ada, func(p *directory.Profile) { p.Name = "Ada Berg" })
	if p := s.principal(secret); p.Account.Name != "Ada Berg" || p.Accesses[0].Name != "Ada Berg" {
		t.Errorf("%+v", p)
	}
	checkInvariants(s.world)
}

func wantTold(t *testing.T, waits <-chan struct{}) {
	t.Helper()
	select {
	case <-waits:
	default:
		t.Error("who waits for the end of sessions and accesses is not told")
	}
}

// Streams are told of an access that goes, also where the session goes on: by push, by a pull and by a
// derivation.
func TestAccessesThatEndAreTold(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.createGroup(s.fjord, "Everyone", object(160), s.ada.ID)
	s.integrate(s.test, s.fjord, object(160))
	secret := s.signIn(s.ada.AccountID)
	quiet := s.svc.SessionsEnded()
	s.updateUser(s.ada, func(p *directory.Profile) { p.Name = "Ada Berg" })
	s.createUser(s.fjord, person("bo", 2))
	select {
	case <-quiet:
		t.Error("told of nothing")
	default:
	}
	run := s.startRun(s.production)
	for what, lose := range map[string]func(){
		"push":       func() { s.remove(s.pilots, s.ada) },
		"pull":       func() { s.repair(run, s.planLeave(s.user(s.ada), s.pilots)) },
		"derivation": func() { s.sync(s.production, s.crewID); s.sync(s.production, s.pilotsID, s.crewID) },
	} {
		waits, other := s.svc.SessionsEnded(), s.svc.SessionsEnded()
		lose()
		for _, ch := range []<-chan struct{}{waits, other} {
			select {
			case <-ch:
			default:
				t.Errorf("%s: not told", what)
			}
		}
		if !s.signedIn(secret) {
			t.Fatalf("%s: the session has ended", what)
		}
		s.add(s.pilots, s.ada)
	}
}

// A check costs the same whatever the environments sync: only where a derivation is under way is rule
// 1 asked.
func TestCostOfCheckSession(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	var groups []string
	for n := range 20 {
		groups = append(groups, object(200+n))
		s.createGroup(s.fjord, fmt.Sprint("Group ", n), object(200+n), s.ada.ID)
	}
	s.integrate(s.test, s.fjord, groups...)
	secret := s.signIn(s.ada.AccountID)
	cost := s.store.counted(func() { s.principal(secret) })
	if want := (operations{Gets: 4, Scans: 2, Rows: 2}); cost != want {
		t.Errorf("%+v, want %+v", cost, want)
	}
}

// Whichever record says that somebody is out, the session is refused, even should the others have
// been left behind.
func TestCheckSessionBelievesEachRecord(t *testing.T) {
	t.Parallel()
	edit := func(s *scene, name string, key []byte, fn func([]byte) []byte) {
		s.raw(func(w directory.Writer) error {
			v, err := w.Get(table(name), key)
			if err != nil {
				return err
			}
			return w.Put(table(name), key, fn(slices.Clone(v)))
		})
	}
	for name, tamper := range map[string]func(*scene){
		"the user is inactive": func(s *scene) { // its flags are after a version byte and two ids
			edit(s, "users", cat(s.fjord, s.ada.ID), func(v []byte) []byte { v[33] = 0; return v })
		},
		"the user is gone": func(s *scene) {
			s.raw(func(w directory.Writer) error { return w.Delete(table("users"), cat(s.fjord, s.ada.ID)) })
		},
		"the access is inactive": func(s *scene) {
			x := s.access(s.ada.AccountID, s.production)
			x.Active = false
			edit(s, "accesses", cat(x.AccountID, x.EnvironmentID), func([]byte) []byte { return directory.EncodeAccess(x) })
		},
		"the access is another tenant's": func(s *scene) {
			x := s.access(s.ada.AccountID, s.production)
			x.TenantID = s.harbor
			edit(s, "accesses", cat(x.AccountID, x.EnvironmentID), func([]byte) []byte { return directory.EncodeAccess(x) })
		},
		"the account has another user": func(s *scene) {
			a := s.account(s.ada.AccountID)
			a.UserID = number(999)
			edit(s, "accounts", cat(a.ID), func([]byte) []byte { return directory.EncodeAccount(a) })
		},
		"the account has a later epoch": func(s *scene) {
			a := s.account(s.ada.AccountID)
			a.Epoch++
			edit(s, "accounts", cat(a.ID), func([]byte) []byte { return directory.EncodeAccount(a) })
		},
		"the account has an earlier epoch": func(s *scene) {
			a := s.account(s.ada.AccountID)
			a.Epoch--
			edit(s, "accounts", cat(a.ID), func([]byte) []byte { return directory.EncodeAccount(a) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			must(s.svc.EndSessions(s.ctx, operator, s.ada.AccountID, directory.ID{}, directory.EndedRevoked)) // an epoch to go back from
			// What an external user may as an operator needs an access too.
			must(s.svc.SetRoles(s.ctx, operator, s.ada.AccountID, directory.RoleInput{Operator: new(true)}))
			secret := s.signIn(s.ada.AccountID)
			tamper(s)
			_, err := s.svc.CheckSession(s.ctx, secretHash(secret), time.Time{})
			if ended := new(directory.SessionEnded); !errors.As(err, &ended) || ended.Reason != directory.EndedDeactivated {
				t.Errorf("CheckSession: %v", err)
			}
		})
	}
	// A record that cannot be read is no session either, and no reason to say that it has ended.
	s := newScene(t)
	secret := s.signIn(s.ada.AccountID)
	hash := secretHash(secret)
	edit(s, "sessions", hash[:], func(v []byte) []byte { return v[:len(v)-1] })
	if p, err := s.svc.CheckSession(s.ctx, hash, time.Time{}); p != nil || directory.KindOf(err) != directory.Internal {
		t.Errorf("%+v, %v", p, err)
	}
}

// Rule 8, for every kind of account.
func TestWhoMayBeSignedIn(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	internal := func(email string) directory.ID {
		return must(s.svc.CreateAccount(s.ctx, operator, email, email, "")).ID
	}
	byHand, boss, agent := internal("hand@bizz.example"), internal("boss@bizz.example"), internal("agent@bizz.example")
	s.handAccess(byHand, s.test)
	must(s.svc.SetRoles(s.ctx, operator, boss, directory.RoleInput{Operator: new(true)}))
	must(s.svc.SetRoles(s.ctx, operator, agent, directory.RoleInput{Partner: map[directory.ID]bool{s.org: true}}))
	out := s.createUser(s.fjord, person("bo", 2))
	outBoss := s.createUser(s.fjord, person("eve", 3))
	must(s.svc.SetRoles(s.ctx, operator, outBoss.AccountID, directory.RoleInput{Operator: new(true)}))
	for name, test := range map[string]struct {
		account directory.ID
		want    bool
	}{
		"external, with an access":              {s.ada.AccountID, true},
		"external, without":                     {out.AccountID, false},
		"external, without, an operator":        {outBoss.AccountID, false},
		"internal, without":                     {internal("no@bizz.example"), false},
		"internal, with an access by hand":      {byHand, true},
		"internal, without, an operator":        {boss, true},
		"internal, without, a partner":          {agent, true},
		"nobody":                                {number(999), false},
		"the zero account":                      {directory.ID{}, false},
		"internal, whose last role was taken":   {s.formerOperator(), false},
		"external, deleted":                     {s.deleted(), false},
		"external, of a disabled user in group": {s.disabled(), false},
	} {
		_, err := s.svc.CreateSession(s.ctx, push, directory.SessionInput{AccountID: test.account, Hash: secretHash(name)})
		if k := directory.KindOf(err); test.want != (err == nil) || err != nil && k != directory.Forbidden && k != directory.NotFound {
			t.Errorf("%s: %v", name, err)
		}
		if s.signedIn(name) != test.want {
			t.Errorf("%s: %v", name, !test.want)
		}
	}
	checkInvariants(s.world)
}

func (s *scene) formerOperator() directory.ID {
	s.localOperator("stays@bizz.example")
	id := s.localOperator("former@bizz.example")
	must(s.svc.SetRoles(s.ctx, operator, id, directory.RoleInput{Operator: new(false)}))
	return id
}

func (s *scene) deleted() directory.ID {
	u := s.createUser(s.fjord, person("gus", 7))
	s.add(s.pilots, u)
	s.deleteUser(u)
	return u.AccountID
}

func (s *scene) disabled() directory.ID {
	u := s.createUser(s.fjord, person("dan", 8))
	s.add(s.pilots, u)
	s.setActive(u, false)
	return u.AccountID
}
