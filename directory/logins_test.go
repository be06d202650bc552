package directory_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

func (w *world) roles(account directory.ID) *directory.Roles {
	w.Helper()
	return view(w, func(s *directory.Snapshot) (*directory.Roles, error) { return s.Roles(account) })
}

func (w *world) login(account directory.ID) *directory.Login {
	w.Helper()
	return view(w, func(s *directory.Snapshot) (*directory.Login, error) { return s.Login(account) })
}

func (w *world) linkTo(kind directory.LinkKind, account directory.ID, secret string) *directory.Link {
	w.Helper()
	l, err := w.svc.CreateLink(w.ctx, operator, kind, account, secretHash(secret), time.Hour)
	if err != nil {
		w.Fatalf("CreateLink: %v", err)
	}
	return l
}

func (w *world) hasOperator() bool {
	w.Helper()
	return view(w, func(s *directory.Snapshot) (bool, error) { return s.HasLocalOperator() })
}

// An operator is made of an internal account, new or not, and no directory takes it over.
func TestCreateOperator(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.trust(s.fjord, "bizz.example")
	s.unchanged(func() {
		for _, email := range []string{"", "x", "x@", "a\x00b@bizz.example"} {
			_, err := s.svc.CreateOperator(s.ctx, operator, email, "X")
			wantKind(t, err, directory.Invalid)
		}
		for _, name := range []string{"a\nb", strings.Repeat("a", 300), " "} {
			_, err := s.svc.CreateOperator(s.ctx, operator, "olga@bizz.example", name)
			wantKind(t, err, directory.Invalid)
		}
	})
	a := must(s.svc.CreateOperator(s.ctx, operator, " Olga@bizz.example ", " Olga "))
	if a.Email != "Olga@bizz.example" || a.UserName != a.Email || a.Name != "Olga" || !a.Protected || a.External() || !s.roles(a.ID).Operator || !s.account(a.ID).Protected {
		t.Errorf("%+v, %+v", a, s.roles(a.ID))
	}
	if e := s.lastAudit(); e.Action != "operator.create" || e.Target != a.ID.String() {
		t.Errorf("audit: %+v", e)
	}
	s.unchanged(func() {
		_, err := s.svc.CreateOperator(s.ctx, operator, "OLGA@bizz.example", "")
		wantKind(t, err, directory.Conflict)
	})
	old := must(s.svc.CreateAccount(s.ctx, operator, "pat", "pat@bizz.example", "Pat"))
	must(s.svc.SetRoles(s.ctx, operator, old.ID, directory.RoleInput{Partner: map[directory.ID]bool{s.org: true}}))
	if a := must(s.svc.CreateOperator(s.ctx, operator, "pat@bizz.example", "Another")); a.ID != old.ID || a.Name != "Pat" || len(s.roles(a.ID).PartnerOf) != 1 {
		t.Errorf("%+v", a)
	}
	// An external user is no internal account, whatever the address.
	if a := must(s.svc.CreateOperator(s.ctx, operator, s.ada.Email, "")); a.ID == s.ada.AccountID || a.Name != "" {
		t.Errorf("%+v", a)
	}
	partner := must(s.svc.CreateAccount(s.ctx, operator, "agent", "agent@bizz.example", "Agent"))
	must(s.svc.SetRoles(s.ctx, operator, partner.ID, directory.RoleInput{Partner: map[directory.ID]bool{s.org: true}}))
	unprotected := must(s.svc.ProtectAccount(s.ctx, operator, a.ID, false))
	s.unchanged(func() { // a role alone keeps an account from directories
		for _, email := range []string{unprotected.Email, partner.Email} {
			p := person("mallory", 66)
			p.Emails = []string{email}
			_, err := s.svc.CreateUser(s.ctx, push, s.fjord, userInput(p))
			wantKind(t, err, directory.Exists)
		}
	})
	checkInvariants(s.world)
}

// There is always a way in: the last operator who can sign in here keeps role and login.
func TestLastOperator(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	if s.hasOperator() {
		t.Error("there is an operator already")
	}
	first := must(s.svc.CreateOperator(s.ctx, operator, "first@bizz.example", "")).ID
	if s.hasOperator() {
		t.Error("without a login nobody can sign in")
	}
	must(s.svc.SetRoles(s.ctx, operator, s.ada.AccountID, directory.RoleInput{Operator: new(true)})) // no local one
	take := func(account directory.ID) error {
		_, err := s.svc.SetRoles(s.ctx, operator, account, directory.RoleInput{Operator: new(false)})
		return err
	}
	if err := s.svc.SetPassword(s.ctx, operator, first, "hash"); err != nil || !s.hasOperator() {
		t.Fatal(err)
	}
	idle := must(s.svc.CreateOperator(s.ctx, operator, "idle@bizz.example", "")).ID
	s.unchanged(func() {
		wantKind(t, take(first), directory.Conflict)
		wantKind(t, s.svc.RemoveLogin(s.ctx, operator, first), directory.Conflict)
		wantKind(t, s.svc.RemoveLogin(s.ctx, operator, idle), directory.NotFound) // it has none
		wantKind(t, s.svc.RemoveLogin(s.ctx, operator, number(999)), directory.NotFound)
	})
	if err := take(idle); err != nil { // it was no way in
		t.Error(err)
	}
	second := s.localOperator("second@bizz.example")
	if err := s.svc.RemoveLogin(s.ctx, operator, first); err != nil || s.login(first) != nil || !s.roles(first).Operator {
		t.Error(err)
	}
	if e := s.lastAudit(); e.Action != "account.login.remove" {
		t.Errorf("audit: %+v", e)
	}
	s.unchanged(func() { wantKind(t, take(second), directory.Conflict) })
	if err := take(first); err != nil {
		t.Error(err)
	}
	checkInvariants(s.world)
}

func TestSetRoles(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	set := func(in directory.RoleInput) (*directory.Roles, error) {
		return s.svc.SetRoles(s.ctx, operator, s.ada.AccountID, in)
	}
	partner := func(is bool, orgs ...directory.ID) directory.RoleInput {
		in := directory.RoleInput{Partner: map[directory.ID]bool{}}
		for _, o := range orgs {
			in.Partner[o] = is
		}
		return in
	}
	other := s.other()
	s.unchanged(func() {
		_, err := s.svc.SetRoles(s.ctx, operator, number(999), directory.RoleInput{Operator: new(true)})
		wantKind(t, err, directory.NotFound)
		_, err = set(partner(true, s.org, number(999)))
		wantKind(t, err, directory.NotFound)
		for _, in := range []directory.RoleInput{{}, {Operator: new(false)}, partner(false, s.org)} {
			if r := must(set(in)); r.Operator || len(r.PartnerOf) > 0 {
				t.Errorf("%+v", r)
			}
		}
	})
	secret := s.signIn(s.ada.AccountID)
	want := &directory.Roles{AccountID: s.ada.AccountID, PartnerOf: []directory.ID{s.org, other}}
	wantSame(t, "roles", must(set(partner(true, other, s.org))), want)
	wantSame(t, "kept", s.roles(s.ada.AccountID), want)
	if e := s.lastAudit(); e.Action != "account.roles" || e.Target != s.ada.AccountID.String() {
		t.Errorf("audit: %+v", e)
	}
	want.Operator = true
	wantSame(t, "roles", must(set(directory.RoleInput{Operator: new(true)})), want)
	if !s.signedIn(secret) {
		t.Error("a role more has ended the session")
	}
	all := view(s.world, func(sn *directory.Snapshot) ([]*directory.Roles, error) { return sn.AllRoles() })
	wantSame(t, "all", all, []*directory.Roles{want})
	s.unchanged(func() { must(set(partner(true, other))) })
	want.PartnerOf = want.PartnerOf[:1]
	wantSame(t, "roles", must(set(partner(false, other))), want)
	if s.signedIn(secret) {
		t.Error("a role less has not ended the session")
	}
	in := partner(false, s.org)
	in.Operator = new(false)
	must(set(in))
	if n := s.rows("roles"); n != 0 {
		t.Errorf("%d rows of roles that nobody has", n)
	}
	checkInvariants(s.world)
}

// Whoever comes back to an account that the directory has deleted has none of its roles; with the object
// id alone the office of an administrator stays.
func TestWhoComesBack(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first, second string // externalId
		userName      string
		keeps         bool
	}{
		"the same object id":                     {object(2), object(2), "bo@fjord.example", true},
		"the same object id, another name":       {object(2), object(2), "bob@fjord.example", true},
		"the name, the first object id unknown":  {"nick", object(2), "bo@fjord.example", false},
		"the name, the second object id unknown": {object(2), "nick", "bo@fjord.example", false},
		"the name, no object id known":           {"nick", "", "BO@fjord.example", false},
	} {
		for channel, provision := range map[string]func(*scene, directory.Profile) directory.ID{
			"push": func(s *scene, p directory.Profile) directory.ID { return s.createUser(s.fjord, p).ID },
			"pull": func(s *scene, p directory.Profile) directory.ID {
				return s.repair(s.startRun(s.production), s.planNew(p))[0].UserID
			},
		} {
			t.Run(name+", "+channel, func(t *testing.T) {
				t.Parallel()
				s := newScene(t)
				p := person("bo", 2)
				p.ExternalID = test.first
				bo := s.createUser(s.fjord, p)
				s.add(s.pilots, bo)
				s.oldOffices(bo.AccountID, s.production)
				s.deleteUser(bo)
				if r := s.roles(bo.AccountID); r.Operator || len(r.PartnerOf) > 0 {
					t.Errorf("roles of nobody: %+v", r)
				}
				if !test.keeps { // given meanwhile
					s.oldOffices(bo.AccountID, s.production)
				}
				p.ExternalID, p.UserName = test.second, test.userName
				again := s.user(&directory.User{TenantID: s.fjord, ID: provision(s, p)})
				if again.AccountID != bo.AccountID {
					t.Fatal("another account")
				}
				s.add(s.pilots, again)
				if x := s.access(bo.AccountID, s.production); !x.Active || x.Administrator != test.keeps {
					t.Errorf("%+v", x)
				}
				if r := s.roles(bo.AccountID); r.Operator || len(r.PartnerOf) > 0 {
					t.Errorf("roles: %+v", r)
				}
				checkInvariants(s.world)
			})
		}
	}
}

// oldOffices makes an account an operator, a partner and an administrator past the Service, as an earlier
// version did without asking for the object id.
func (s *scene) oldOffices(account, env directory.ID) {
	s.Helper()
	x := s.access(account, env)
	x.Administrator = true
	roles := must(json.Marshal(directory.Roles{AccountID: account, Operator: true, PartnerOf: []directory.ID{s.org}}))
	s.raw(func(w directory.Writer) error {
		if err := w.Put(table("accesses"), cat(account, env), directory.EncodeAccess(x)); err != nil {
			return err
		}
		return w.Put(table("roles"), cat(account), roles)
	})
}

// nick is a user whose externalId is a nickname: the object id is not known.
func (s *scene) nick() *directory.User {
	p := person("bo", 2)
	p.ExternalID = "nick"
	bo := s.createUser(s.fjord, p)
	s.add(s.pilots, bo)
	return bo
}

// audited tells what was done to an account, in the words of the audit.
func (s *scene) audited(account directory.ID) (actions []string) {
	s.Helper()
	return view(s.world, func(sn *directory.Snapshot) ([]string, error) {
		err := sn.Audit(0, func(e *directory.AuditEntry) bool {
			if e.Target == account.String() {
				actions = append(actions, e.Action)
			}
			return true
		})
		return actions, err
	})
}

// What is given by hand is given to an object of the directory: to an external user whose object id is not
// known there is nothing to give, and all to take.
func TestOfficesNeedAnObjectID(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	bo, gone, other := s.nick(), s.createUser(s.fjord, person("gus", 6)), s.other()
	s.deleteUser(gone)
	give := map[string]directory.RoleInput{
		"operator":                      {Operator: new(true)},
		"partner":                       {Partner: map[directory.ID]bool{other: true}},
		"partner, and operator no more": {Operator: new(false), Partner: map[directory.ID]bool{other: true}},
		"of another organization":       {Partner: map[directory.ID]bool{s.org: false, other: true}},
	}
	refused := func(what string, err error, advice string) {
		t.Helper()
		e := new(directory.Error)
		if !errors.As(err, &e) || e.Kind != directory.Conflict || e.Field != "objectId" || !strings.Contains(e.Detail, "the directory of fjord ") || !strings.Contains(e.Detail, advice) {
			t.Errorf("%s: %+v", what, err)
		}
	}
	for _, before := range []string{"none", "of an earlier version"} {
		if before != "none" {
			s.oldOffices(bo.AccountID, s.production)
		}
		s.unchanged(func() {
			for name, in := range give {
				if before != "none" && name == "operator" { // is one
					continue
				}
				_, err := s.svc.SetRoles(s.ctx, operator, bo.AccountID, in)
				refused(name, err, "map objectId to externalId")
				_, err = s.svc.SetRoles(s.ctx, operator, gone.AccountID, in)
				refused(name+", deleted", err, "provision the user again")
			}
			if before == "none" {
				_, err := s.svc.SetAdministrator(s.ctx, operator, bo.AccountID, s.production, true)
				refused("administrator", err, "let the pull find the person")
			}
		})
	}
	s.unchanged(func() { // what is there already
		must(s.svc.SetRoles(s.ctx, operator, bo.AccountID, directory.RoleInput{Operator: new(true), Partner: map[directory.ID]bool{s.org: true}}))
		must(s.svc.SetAdministrator(s.ctx, operator, bo.AccountID, s.production, true))
	})
	for _, in := range []directory.RoleInput{{Operator: new(false)}, {Partner: map[directory.ID]bool{s.org: false}}} {
		must(s.svc.SetRoles(s.ctx, operator, bo.AccountID, in))
	}
	must(s.svc.SetAdministrator(s.ctx, operator, bo.AccountID, s.production, false))
	if s.rows("roles") != 0 || s.access(bo.AccountID, s.production).Administrator {
		t.Error("what should go has stayed")
	}
	internal := must(s.svc.CreateAccount(s.ctx, operator, "ida", "ida@bizz.example", "Ida")).ID
	s.handAccess(internal, s.production)
	must(s.svc.SetRoles(s.ctx, operator, internal, directory.RoleInput{Operator: new(true)}))
	must(s.svc.SetAdministrator(s.ctx, operator, internal, s.production, true))
	checkInvariants(s.world)
}

// A user that becomes another object of the directory is another person: nothing that was given by hand
// passes on. Nor does what an earlier version gave before the object id was known: push may set any.
func TestAnotherObject(t *testing.T) {
	t.Parallel()
	pull := func(s *scene, r directory.Repair) {
		r.ObjectID = objectID(2)
		s.repair(s.startRun(s.production), r)
	}
	for known, learn := range map[string]func(*scene, *directory.User){
		"push": func(s *scene, bo *directory.User) {
			s.updateUser(bo, func(p *directory.Profile) { p.ExternalID = object(2) })
		},
		"a pull": func(s *scene, bo *directory.User) { pull(s, s.plan(bo)) },
		"a pull that changes more": func(s *scene, bo *directory.User) {
			pull(s, s.planUpdate(bo, func(p *directory.Profile) { p.Name = "Bo B." }))
		},
	} {
		t.Run("known by "+known, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			bo := s.nick()
			s.oldOffices(bo.AccountID, s.production)
			told := s.svc.SessionsEnded()
			s.store.twice = true
			learn(s, s.user(bo))
			s.store.twice = false
			s.signInAs(s.user(bo), "sub", "first")
			if p := s.principal("first"); p.Role() != directory.RoleUser || len(p.Accesses) != 1 || p.Accesses[0].Administrator {
				t.Errorf("%s, %+v, %+v", p.Role(), p.Roles, p.Accesses)
			}
			if a := s.audited(bo.AccountID); !slices.Equal(a, []string{"access.administrator", "account.roles", "session.create"}) {
				t.Errorf("audit: %q", a)
			}
			select {
			case <-told:
			default:
				t.Error("who serves a stream is not told")
			}

			must(s.svc.SetAdministrator(s.ctx, operator, bo.AccountID, s.production, true))
			must(s.svc.SetRoles(s.ctx, operator, bo.AccountID, directory.RoleInput{Operator: new(true)}))
			secret := s.signIn(bo.AccountID)
			to := func(external string) {
				s.updateUser(bo, func(p *directory.Profile) { p.ExternalID = external })
			}
			for _, external := range []string{object(2), strings.ToUpper(object(2)), "nick", "", object(2)} {
				to(external)
				if !s.signedIn(secret) || !s.roles(bo.AccountID).Operator || !s.access(bo.AccountID, s.production).Administrator {
					t.Fatalf("externalId %q: something was lost", external)
				}
			}
			to(object(3))
			if s.sessionOf(secret).Reason != directory.EndedIdentity || s.roles(bo.AccountID).Operator {
				t.Errorf("%+v, %+v", s.sessionOf(secret), s.roles(bo.AccountID))
			}
			if x := s.access(bo.AccountID, s.production); x.Administrator || !x.Active {
				t.Errorf("%+v", x)
			}
			_, err := s.signInWith(directory.Identity{TenantID: s.fjord, ClientID: "client", ObjectID: objectID(2), Subject: "sub"}, "old")
			if !errors.Is(err, directory.ErrNotProvisioned) {
				t.Errorf("the one before signs in: %v", err)
			}
			checkInvariants(s.world)
		})
	}
}

// What an internal account signs in with ends when a directory adopts it, and no link brings it back.
func TestAdoptionTakesTheLogin(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.trust(s.fjord, "bizz.example")
	s.localOperator("stays@bizz.example")
	id := s.localOperator("olga@bizz.example")
	s.handAccess(id, s.test)
	must(s.svc.SetAdministrator(s.ctx, operator, id, s.test, true))
	must(s.svc.SetRoles(s.ctx, operator, id, directory.RoleInput{Operator: new(false)}))
	must(s.svc.ProtectAccount(s.ctx, operator, id, false))
	s.linkTo(directory.LinkPassword, id, "password")
	p := person("olga", 2)
	p.Emails = []string{"olga@bizz.example"}
	u := s.createUser(s.fjord, p)
	if u.AccountID != id || s.login(id) != nil || s.rows("links") != 0 || s.access(id, s.test).Administrator {
		t.Errorf("account %v, login %+v, %d links, %+v", u.AccountID == id, s.login(id), s.rows("links"), s.access(id, s.test))
	}
	s.unchanged(func() {
		for _, kind := range []directory.LinkKind{directory.LinkPassword, directory.LinkSignIn} {
			_, err := s.svc.CreateLink(s.ctx, operator, kind, id, secretHash("new"), time.Hour)
			wantKind(t, err, directory.ReadOnly)
			if !strings.Contains(err.Error(), "fjord") {
				t.Errorf("%v does not say where", err)
			}
		}
		wantKind(t, s.svc.SetPassword(s.ctx, operator, id, "hash"), directory.ReadOnly)
		wantKind(t, s.svc.SetPassword(s.ctx, self(id), id, "hash"), directory.ReadOnly)
		wantKind(t, s.svc.SetTOTP(s.ctx, self(id), id, "sealed", 1), directory.NotFound)
		wantKind(t, s.svc.UseTOTP(s.ctx, push, id, 100), directory.NotFound)
	})
	checkInvariants(s.world)
}

// A link serves once, for what it was made, as long as it lives.
func TestLinks(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	boss, olga := s.localOperator("boss@bizz.example"), s.localOperator("olga@bizz.example")
	plain := must(s.svc.CreateAccount(s.ctx, operator, "pat", "pat@bizz.example", "Pat")).ID
	create := func(kind directory.LinkKind, account directory.ID, life time.Duration) error {
		_, err := s.svc.CreateLink(s.ctx, operator, kind, account, secretHash("new"), life)
		return err
	}
	use := map[directory.LinkKind]func(secret string) error{
		directory.LinkSignIn: func(secret string) error {
			_, err := s.svc.SignInByLink(s.ctx, push, secretHash(secret), directory.SessionInput{Hash: secretHash("of " + secret + s.newID().String())})
			return err
		},
		directory.LinkPassword: func(secret string) error {
			_, err := s.svc.ResetPassword(s.ctx, push, secretHash(secret), "new hash")
			return err
		},
		directory.LinkSetup: func(secret string) error {
			_, err := s.svc.SetupOperator(s.ctx, push, secretHash(secret), "new@bizz.example", "New", "hash")
			return err
		},
	}
	s.unchanged(func() {
		for name, test := range map[string]struct {
			err  error
			want directory.ErrorKind
		}{
			"no life":                          {create(directory.LinkSignIn, olga, 0), directory.Invalid},
			"more than a day":                  {create(directory.LinkSignIn, olga, 24*time.Hour+1), directory.Invalid},
			"another kind":                     {create("other", olga, time.Hour), directory.Invalid},
			"nobody":                           {create(directory.LinkSignIn, number(999), time.Hour), directory.NotFound},
			"no account":                       {create(directory.LinkPassword, directory.ID{}, time.Hour), directory.NotFound},
			"setup, with an operator":          {create(directory.LinkSetup, directory.ID{}, time.Hour), directory.Conflict},
			"setup, of an account":             {create(directory.LinkSetup, olga, time.Hour), directory.Invalid},
			"sign-in without a role":           {create(directory.LinkSignIn, plain, time.Hour), directory.Conflict},
			"a password without a login":       {create(directory.LinkPassword, plain, time.Hour), directory.Conflict},
			"an external user":                 {create(directory.LinkPassword, s.ada.AccountID, time.Hour), directory.ReadOnly},
			"a password, without a login":      {s.svc.SetPassword(s.ctx, operator, plain, "hash"), directory.Conflict},
			"a password, of its own, no login": {s.svc.SetPassword(s.ctx, self(plain), plain, "hash"), directory.Conflict},
			"no password":                      {s.svc.SetPassword(s.ctx, operator, olga, ""), directory.Invalid},
			"somebody else's":                  {s.svc.SetPassword(s.ctx, self(boss), olga, "hash"), directory.Forbidden},
		} {
			if directory.KindOf(test.err) != test.want || test.err == nil {
				t.Errorf("%s: %v, want %s", name, test.err, test.want)
			}
		}
	})
	link := s.linkTo(directory.LinkSignIn, olga, "one")
	if link.CreatedBy.ID != operator.ID || link.Expires.Sub(link.Created) != time.Hour || s.lastAudit().Action != "link.create" {
		t.Errorf("%+v, %+v", link, s.lastAudit())
	}
	s.linkTo(directory.LinkPassword, olga, "two")
	s.linkTo(directory.LinkSignIn, boss, "three")
	s.unchanged(func() {
		for kind, fn := range use { // of another kind, or none
			for secret, of := range map[string]directory.LinkKind{"one": directory.LinkSignIn, "two": directory.LinkPassword, "none": ""} {
				if kind != of {
					wantKind(t, fn(secret), directory.NotFound)
				}
			}
		}
		_, err := s.svc.CreateLink(s.ctx, operator, directory.LinkPassword, boss, secretHash("one"), time.Hour) // used already
		wantKind(t, err, directory.Conflict)
	})
	s.linkTo(directory.LinkSignIn, olga, "four") // in place of the first; the others stay
	s.unchanged(func() { wantKind(t, use[directory.LinkSignIn]("one"), directory.NotFound) })
	checkInvariants(s.world)
	s.store.twice = true
	secret := "of four"
	session, err := s.svc.SignInByLink(s.ctx, push, secretHash("four"), directory.SessionInput{AccountID: boss, Hash: secretHash(secret), SignedIn: directory.SignedIn{Method: directory.MethodPassword}})
	if err != nil || session.AccountID != olga || session.Method != directory.MethodLink || !s.signedIn(secret) || s.lastAudit().Actor.ID != olga.String() {
		t.Errorf("%+v, %v", session, err)
	}
	s.unchanged(func() { wantKind(t, use[directory.LinkSignIn]("four"), directory.NotFound) })
	// A new password ends the links of the account, the other one's stays.
	s.linkTo(directory.LinkSignIn, olga, "five")
	if a, err := s.svc.ResetPassword(s.ctx, push, secretHash("two"), "another hash"); err != nil || a.ID != olga || s.login(olga).Hash != "another hash" || s.login(olga).TOTP != "sealed" || s.signedIn(secret) {
		t.Errorf("%+v, %v", s.login(olga), err)
	}
	if n := s.rows("links"); n != 1 {
		t.Errorf("%d links, want the one of the other", n)
	}
	s.clock.Advance(time.Hour - time.Millisecond)
	open := func(secret string) error {
		return s.svc.View(s.ctx, func(sn *directory.Snapshot) error {
			l, err := sn.Link(secretHash(secret), directory.LinkSignIn, s.svc.SessionNow())
			if err == nil && l.AccountID != boss {
				t.Errorf("%+v", l)
			}
			return err
		})
	}
	if err := open("three"); err != nil {
		t.Error(err)
	}
	s.clock.Advance(time.Millisecond)
	s.unchanged(func() {
		wantKind(t, use[directory.LinkSignIn]("three"), directory.NotFound)
		wantKind(t, open("three"), directory.NotFound)
	})
	checkInvariants(s.world)
}

// A link that was made before something was taken from its account gives nothing back.
func TestLinksAfterALoss(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(s *scene, id directory.ID) error{
		"the login goes": func(s *scene, id directory.ID) error { return s.svc.RemoveLogin(s.ctx, operator, id) },
		"the role goes": func(s *scene, id directory.ID) error {
			_, err := s.svc.SetRoles(s.ctx, operator, id, directory.RoleInput{Operator: new(false)})
			return err
		},
		"another password": func(s *scene, id directory.ID) error { return s.svc.SetPassword(s.ctx, self(id), id, "hash") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			boss, id := s.localOperator("boss@bizz.example"), s.localOperator("olga@bizz.example")
			for _, kind := range []directory.LinkKind{directory.LinkSignIn, directory.LinkPassword} {
				s.linkTo(kind, id, string(kind))
				s.linkTo(kind, boss, "boss "+string(kind))
			}
			if err := lose(s, id); err != nil {
				t.Fatal(err)
			}
			if n := s.rows("links"); n != 2 {
				t.Errorf("%d links, want those of the other", n)
			}
			checkInvariants(s.world)
		})
	}
	// Nor where a link has survived it.
	s := newScene(t)
	s.localOperator("boss@bizz.example")
	id := s.localOperator("olga@bizz.example")
	s.linkTo(directory.LinkSignIn, id, "sign-in")
	s.linkTo(directory.LinkPassword, id, "password")
	s.raw(func(w directory.Writer) error {
		return errors.Join(w.Delete(table("roles"), id[:]), w.Delete(table("logins"), id[:]))
	})
	s.handAccess(id, s.test)
	s.unchanged(func() {
		_, err := s.svc.SignInByLink(s.ctx, push, secretHash("sign-in"), directory.SessionInput{Hash: secretHash("x")})
		wantKind(t, err, directory.Conflict)
		_, err = s.svc.ResetPassword(s.ctx, push, secretHash("password"), "hash")
		wantKind(t, err, directory.Conflict)
	})
}

// The first operator is made by a setup link, once.
func TestSetupOperator(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	setup := func(link, email, password string) (*directory.Account, error) {
		return s.svc.SetupOperator(s.ctx, push, secretHash(link), email, "Olga", password)
	}
	s.linkTo(directory.LinkSetup, directory.ID{}, "first")
	s.unchanged(func() {
		for want, try := range map[directory.ErrorKind][3]string{directory.NotFound: {"none", "olga@bizz.example", "hash"}, directory.Invalid: {"first", "olga", "hash"}} {
			_, err := setup(try[0], try[1], try[2])
			wantKind(t, err, want)
		}
		_, err := setup("first", "olga@bizz.example", "")
		wantKind(t, err, directory.Invalid)
	})
	s.store.twice = true
	a, err := setup("first", " olga@bizz.example ", "hash")
	if err != nil || s.login(a.ID).Hash != "hash" || !s.login(a.ID).Changed.Equal(s.clock.Now()) || !s.roles(a.ID).Operator || !a.Protected || !s.hasOperator() || s.rows("links") != 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	s.store.twice = false
	s.unchanged(func() {
		_, err := s.svc.CreateLink(s.ctx, operator, directory.LinkSetup, directory.ID{}, secretHash("second"), time.Hour)
		wantKind(t, err, directory.Conflict)
	})
	// A link that was there before somebody else was faster.
	s.raw(func(w directory.Writer) error {
		hash := secretHash("second")
		return w.Put(table("links"), hash[:], must(json.Marshal(directory.Link{Kind: directory.LinkSetup, Expires: s.clock.Now().Add(time.Hour)})))
	})
	s.unchanged(func() {
		_, err := setup("second", "mallory@bizz.example", "hash")
		wantKind(t, err, directory.Conflict)
	})
	checkInvariants(s.world)
}

// A second factor is set by whom it belongs to; each of its codes counts once.
func TestTOTP(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	boss, id := s.localOperator("boss@bizz.example"), s.localOperator("olga@bizz.example")
	set := func(by directory.Actor, sealed string, step int64) error {
		return s.svc.SetTOTP(s.ctx, by, id, sealed, step)
	}
	use := func(step int64) error { return s.svc.UseTOTP(s.ctx, push, id, step) }
	s.unchanged(func() {
		for _, by := range []directory.Actor{operator, self(boss), push, theServer} {
			wantKind(t, set(by, "theirs", 1), directory.Forbidden)
		}
		wantKind(t, set(self(boss), "", 0), directory.Forbidden)
		wantKind(t, use(1), directory.Unauthorized) // that which proved it
		wantKind(t, use(0), directory.Unauthorized)
		if err := set(self(id), "sealed", 5); err != nil { // as it is
			t.Error(err)
		}
		wantKind(t, s.svc.SetTOTP(s.ctx, self(s.ada.AccountID), s.ada.AccountID, "sealed", 1), directory.NotFound)
	})
	secret := s.signIn(id)
	if err := errors.Join(use(2), use(5)); err != nil {
		t.Error(err)
	}
	s.unchanged(func() {
		wantKind(t, use(5), directory.Unauthorized)
		wantKind(t, use(4), directory.Unauthorized)
	})
	if err := set(self(id), "sealed again", 9); err != nil || s.login(id).TOTPStep != 9 || s.lastAudit().Action != "account.totp.set" {
		t.Error(err)
	}
	if err := set(operator, "", 0); err != nil || s.login(id).TOTP != "" || s.login(id).Hash == "" || s.lastAudit().Action != "account.totp.remove" {
		t.Error(err)
	}
	if !s.signedIn(secret) {
		t.Error("the session has ended")
	}
	checkInvariants(s.world)
}

// All second factors are sealed again, or none.
func TestResealTOTP(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	boss, id := s.localOperator("boss@bizz.example"), s.localOperator("olga@bizz.example")
	without := s.localOperator("none@bizz.example")
	if err := s.svc.SetTOTP(s.ctx, operator, without, "", 0); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	s.unchanged(func() {
		for want, second := range map[error]string{refused: "x", errors.New("lost"): ""} {
			calls := 0
			_, err := s.svc.ResealTOTP(s.ctx, operator, func(directory.ID, string) (string, error) {
				if calls++; calls == 1 {
					return "again", nil
				}
				if second == "" {
					return "", nil
				}
				return second, refused
			})
			if err == nil || errors.Is(want, refused) != errors.Is(err, refused) {
				t.Errorf("%v", err)
			}
		}
		if n, err := s.svc.ResealTOTP(s.ctx, operator, func(_ directory.ID, sealed string) (string, error) { return sealed, nil }); n != 0 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
	s.store.twice = true
	n, err := s.svc.ResealTOTP(s.ctx, operator, func(account directory.ID, sealed string) (string, error) {
		if account == without {
			t.Error("asked for one who has none")
		}
		return sealed + " again", nil
	})
	if n != 2 || err != nil || s.login(boss).TOTP != "sealed again" || s.login(id).TOTP != "sealed again" || s.login(without).TOTP != "" || s.login(id).TOTPStep != 1 {
		t.Errorf("%d, %v", n, err)
	}
	if e := s.lastAudit(); e.Action != "account.totp.reseal" || strings.Contains(string(e.Detail), "sealed") {
		t.Errorf("audit: %+v", e)
	}
	checkInvariants(s.world)
}

func TestInternalAccount(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	id := s.localOperator("René@bizz.example")
	for email, want := range map[string]directory.ID{"René@bizz.example": id, "rene\u0301@BIZZ.example": id, "rene@bizz.example": {}, s.ada.Email: {}, "": {}, "René@bizz.example\x00": {}, "René": {}} {
		a := view(s.world, func(sn *directory.Snapshot) (*directory.Account, error) { return sn.InternalAccount(email) })
		if got := (directory.ID{}); a != nil && a.ID != want || a == nil && want != got {
			t.Errorf("%q: %+v", email, a)
		}
	}
}

// No password and no second factor is told in log, audit or outbox.
func TestNoPasswordIsTold(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	id := s.localOperator("olga@bizz.example")
	s.linkTo(directory.LinkPassword, id, "link")
	if _, err := s.svc.ResetPassword(s.ctx, push, secretHash("link"), "hash of another"); err != nil {
		t.Fatal(err)
	}
	link := secretHash("link")
	for k, v := range s.dump() {
		if name, _, _ := strings.Cut(k, "\x00"); name != "logins" && (strings.Contains(v, "hash of") || strings.Contains(v, "sealed") || strings.Contains(v, string(link[:]))) {
			t.Errorf("table %s: %q", name, v)
		}
	}
}
