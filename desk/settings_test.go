package desk_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// noPull says of pulls what it is told.
type noPull struct {
	desk.Pull
	all []pull.Status
}

func (p *noPull) Status(context.Context) ([]pull.Status, error) { return p.all, nil }

// office is a desk with what it takes from outside under the test's hand.
type office struct {
	*apptest.World
	*desk.Desk
	pull   *noPull
	server desk.ServerInfo
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{World: apptest.New(t, nil), pull: &noPull{}, server: desk.ServerInfo{DiskFree: 50, DiskSize: 100}}
	o.Desk = desk.New(desk.Config{Service: o.World.Service, Pull: o.pull, Now: o.World.Now, Server: func(context.Context) desk.ServerInfo { return o.server }})
	return o
}

func (o *office) health(t *testing.T) desk.Health {
	t.Helper()
	h, err := o.Health(t.Context(), apptest.Operator)
	o.Must(err)
	return h
}

func levels(h desk.Health) map[string]desk.Level {
	m := map[string]desk.Level{"": h.Level}
	for _, c := range h.Checks {
		m[c.Name] = c.Level
	}
	return m
}

func well() map[string]desk.Level {
	return map[string]desk.Level{"": desk.Good, "store": desk.Good, "disk": desk.Good, "pulls": desk.Good, "credentials": desk.Good, "derivations": desk.Good}
}

func TestHealthOfAWellServer(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	if diff := cmp.Diff(well(), levels(o.health(t))); diff != "" {
		t.Error(diff)
	}
}

func TestHealthOfTheServer(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for _, c := range []struct {
		name       string
		free, size int64
		problem    string
		disk, all  desk.Level
	}{
		{"a tenth is free", 10, 100, "", desk.Good, desk.Good},
		{"less than a tenth is free", 9, 100, "", desk.Warning, desk.Warning},
		{"three in a hundred are free", 3, 100, "", desk.Warning, desk.Warning},
		{"less than that is free", 2, 100, "", desk.Bad, desk.Bad},
		{"nobody knows", -1, -1, "", desk.Good, desk.Good},
		{"the store has failed", 50, 100, "the store failed", desk.Good, desk.Bad},
	} {
		o.server = desk.ServerInfo{DiskFree: c.free, DiskSize: c.size, Problem: c.problem}
		got := levels(o.health(t))
		if got["disk"] != c.disk || got[""] != c.all || (got["store"] == desk.Bad) != (c.problem != "") {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestHealthOfPulls(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	calm := pull.Status{Environment: o.Nordwind.Production, State: &directory.PullState{}}
	for name, s := range map[string]pull.Status{
		"quarantined": {Environment: o.Fjord.Production, State: &directory.PullState{Quarantined: o.Fjord.Production.ID}},
		"late":        {Environment: o.Fjord.Production, State: &directory.PullState{}, Late: true},
		"failing":     {Environment: o.Fjord.Production, State: &directory.PullState{Failures: 2}},
	} {
		o.pull.all = []pull.Status{calm, s}
		h := o.health(t)
		if len(h.Pulls) != 1 || h.PullsWell != 1 || levels(h)["pulls"] != desk.Bad || h.Pulls[0].Organization.Name != "Fjord Logistics" {
			t.Errorf("%s: %+v", name, h.Pulls)
		}
	}
}

func TestHealthOfCredentials(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		left  time.Duration
		level desk.Level
		count int
	}{
		"in 31 days": {31 * day, desk.Good, 0}, "in 29 days": {29 * day, desk.Warning, 1}, "in 8 days": {8 * day, desk.Warning, 1},
		"in 6 days": {6 * day, desk.Bad, 1}, "yesterday": {-day, desk.Bad, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			_, err := o.World.Service.SetCredential(t.Context(), apptest.Operator, directory.Credential{TenantID: o.Fjord.Tenant.ID, Name: directory.SignInCredential, Kind: "secret", Sealed: "s", Expires: o.World.Now().Add(c.left)})
			o.Must(err)
			h := o.health(t)
			if levels(h)["credentials"] != c.level || len(h.Endings) != c.count || c.count == 1 && (h.Endings[0].What != "sign-in" || h.Endings[0].Ended != (c.left < 0)) {
				t.Errorf("%v %+v", levels(h), h.Endings)
			}
		})
	}
}

// TestHealthOfTokens: a tenant is asked to replace the token that push lives by, not one that has been rotated.
func TestHealthOfTokens(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	var tokens []*directory.Token
	o.Must(o.World.Service.View(t.Context(), func(sn *directory.Snapshot) (err error) {
		tokens, err = sn.Tokens(o.Fjord.Tenant.ID, directory.SecretToken)
		return err
	}))
	o.Advance(tokens[0].Expires.Sub(o.World.Now()) - 10*24*time.Hour)
	if h := o.health(t); len(h.Endings) != 2 || h.Endings[0].What != "token" || h.Endings[0].Name != "Entra" {
		t.Fatalf("two tenants have one token each: %+v", h.Endings)
	}
	secret := auth.NewSecret()
	_, err := o.World.Service.CreateToken(t.Context(), apptest.Operator, o.Fjord.Tenant.ID, directory.NewToken{Name: "new", Hash: auth.Hash(secret.Text), Hint: secret.Hint})
	o.Must(err)
	if h := o.health(t); len(h.Endings) != 1 || h.Endings[0].Tenant.Name != "nordwind" {
		t.Errorf("%+v", h.Endings)
	}
	// The new one is not in Entra yet: push goes on with the other, which ends.
	o.Advance(time.Hour)
	o.Must(o.World.Service.TouchToken(t.Context(), o.Fjord.Tenant.ID, tokens[0].ID, "192.0.2.1"))
	if h := o.health(t); len(h.Endings) != 2 {
		t.Errorf("nobody is told that the token in use ends: %+v", h.Endings)
	}
	for _, x := range tokens {
		o.Must(o.World.Service.RevokeToken(t.Context(), apptest.Operator, o.Fjord.Tenant.ID, x.ID))
	}
	if h := o.health(t); len(h.Endings) != 1 {
		t.Errorf("a revoked token counts: %+v", h.Endings)
	}
}

// TestHealthOfClients: a directory that pushes with an OAuth client stops when the client's last secret ends.
func TestHealthOfClients(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	const day = 24 * time.Hour
	secret := func(days int) *directory.NewToken {
		s := auth.NewSecret()
		return &directory.NewToken{Hash: s.Hash, Hint: s.Hint, Life: time.Duration(days) * day}
	}
	_, err := o.World.Service.CreateClient(t.Context(), apptest.Operator, o.Fjord.Tenant.ID, directory.NewClient{ClientID: "entra", Secret: secret(40)})
	o.Must(err)
	if h := o.health(t); len(h.Endings) != 0 {
		t.Fatalf("%+v", h.Endings)
	}
	o.Advance(35 * day)
	if h := o.health(t); len(h.Endings) != 1 || h.Endings[0].What != "client" || h.Endings[0].Name != "entra" || levels(h)["credentials"] != desk.Bad {
		t.Errorf("%v %+v", levels(h), h.Endings)
	}
	_, err = o.World.Service.RotateClient(t.Context(), apptest.Operator, o.Fjord.Tenant.ID, "entra", *secret(60), day)
	o.Must(err)
	if h := o.health(t); len(h.Endings) != 0 {
		t.Errorf("it has another secret: %+v", h.Endings)
	}
}

func TestPushesOfTheLastHour(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	count := func() (n int64) {
		for _, m := range o.health(t).Pushes {
			n += m.Count
		}
		return n
	}
	if n := count(); n != 8 { // three people and a group of each customer
		t.Errorf("%d pushes", n)
	}
	if got := o.health(t); got.Sessions != 0 || !got.PushesFull || !got.Pushes[59].From.Equal(o.World.Now().Truncate(time.Minute)) {
		t.Errorf("%d sessions, full %v, last minute %v", got.Sessions, got.PushesFull, got.Pushes[59].From)
	}
	o.SignIn(o.Boss)
	o.SignIn(o.Fjord.Plain)
	if n := o.health(t).Sessions; n != 2 {
		t.Errorf("%d sessions", n)
	}
	o.Advance(61 * time.Minute)
	if n := count(); n != 0 {
		t.Errorf("%d pushes an hour later", n)
	}
	o.Advance(8 * time.Hour)
	if n := o.health(t).Sessions; n != 0 {
		t.Errorf("%d sessions after their end", n)
	}
}

func TestWhoIsMeantByAName(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	id := o.Fjord.Organization.ID
	for _, who := range []string{"ana@fjord.example", "ANA@fjord.example", " " + o.Fjord.Plain.ID.String(), o.Boss.Email} {
		c, err := o.Promote(ctx, apptest.Operator, desk.NewColleague{Who: who, PartnerOf: &id})
		if err != nil || len(c.PartnerOf) != 1 {
			t.Errorf("%q: %+v, %v", who, c, err)
		}
	}
	// A second directory says that it has somebody of that address too: nobody is chosen.
	push := directory.Actor{Role: directory.RoleDirectory, Channel: "scim"}
	_, err := o.World.Service.CreateUser(ctx, push, o.Nordwind.Tenant.ID, directory.UserInput{Profile: directory.Profile{UserName: "ana@fjord.example", Active: true},
		Schemas: []byte(`[]`), Attributes: []byte(`{}`)})
	o.Must(err)
	_, err = o.Promote(ctx, apptest.Operator, desk.NewColleague{Who: "ana@fjord.example", Operator: true})
	if directory.KindOf(err) != directory.Invalid || !strings.Contains(err.Error(), "more than one person") || !strings.Contains(err.Error(), "nordwind") {
		t.Errorf("ambiguous: %v", err)
	}
	// One of BizzStream's own comes before whomever a directory calls the same.
	for _, name := range []string{"ana@fjord.example", "marta@fjord.example"} {
		ours, err := o.World.Service.CreateAccount(ctx, apptest.Operator, name, "own-"+name, "")
		o.Must(err)
		if c, err := o.Promote(ctx, apptest.Operator, desk.NewColleague{Who: name, PartnerOf: &id}); err != nil || c.ID != ours.ID {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	_, err = o.World.Service.CreateAccount(ctx, apptest.Operator, "ana@fjord.example", "another@maxedy.example", "")
	o.Must(err)
	if _, err := o.Promote(ctx, apptest.Operator, desk.NewColleague{Who: "ana@fjord.example", Operator: true}); directory.KindOf(err) != directory.Invalid || !strings.Contains(err.Error(), "another@maxedy.example") {
		t.Errorf("two of BizzStream's own: %v", err)
	}
	for _, who := range []string{"nobody", o.Fjord.Tenant.ID.String(), ""} {
		if _, err := o.Promote(ctx, apptest.Operator, desk.NewColleague{Who: who, Operator: true}); directory.KindOf(err) != directory.Invalid {
			t.Errorf("%q: %v", who, err)
		}
	}
}

// TestAPasswordGoesWithTheLastRole of who signed in here for it.
func TestAPasswordGoesWithTheLastRole(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	o.Must(o.World.Service.SetPassword(ctx, apptest.Operator, o.Boss.ID, "hash"))
	a, err := o.World.Service.CreateOperator(ctx, apptest.Operator, "nina@maxedy.example", "Nina")
	o.Must(err)
	o.Must(o.World.Service.SetPassword(ctx, apptest.Operator, a.ID, "hash"))
	yes, no := true, false
	one, none := []directory.ID{o.Fjord.Organization.ID}, []directory.ID{}
	if c, err := o.SetColleague(ctx, apptest.Operator, a.ID, desk.ColleagueChange{Operator: &no, PartnerOf: &one}); err != nil || !c.Password || c.Last {
		t.Errorf("a partner keeps the password: %+v, %v", c, err)
	}
	if c, err := o.Colleague(ctx, apptest.Operator, o.Boss.ID); err != nil || !c.Last {
		t.Errorf("the last operator: %+v, %v", c, err)
	}
	if c, err := o.SetColleague(ctx, apptest.Operator, a.ID, desk.ColleagueChange{PartnerOf: &none}); err != nil || c.Password {
		t.Errorf("without a role: %+v, %v", c, err)
	}
	if _, err := o.SetColleague(ctx, apptest.Operator, o.Boss.ID, desk.ColleagueChange{Operator: &no}); directory.KindOf(err) != directory.Conflict {
		t.Errorf("the last operator went: %v", err)
	}
	if c, err := o.SetColleague(ctx, apptest.Operator, o.Boss.ID, desk.ColleagueChange{Operator: &yes}); err != nil || !c.Password {
		t.Errorf("nothing changed: %+v, %v", c, err)
	}
}

// TestWhatOperatorsAloneDo asks for everything here as everybody else.
func TestWhatOperatorsAloneDo(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx, id := t.Context(), o.Fjord.Plain.ID
	acts := map[string]func(directory.Actor) error{
		"Health":            func(by directory.Actor) error { _, err := o.Health(ctx, by); return err },
		"Settings":          func(by directory.Actor) error { _, err := o.Settings(ctx, by); return err },
		"SigningKeys":       func(by directory.Actor) error { _, err := o.SigningKeys(ctx, by); return err },
		"RotateSigningKeys": func(by directory.Actor) error { _, err := o.RotateSigningKeys(ctx, by); return err },
		"Start":             func(by directory.Actor) error { _, err := o.Start(ctx, by); return err },
		"Colleagues":        func(by directory.Actor) error { _, err := o.Colleagues(ctx, by); return err },
		"Colleague":         func(by directory.Actor) error { _, err := o.Colleague(ctx, by, id); return err },
		"Promote": func(by directory.Actor) error {
			_, err := o.Promote(ctx, by, desk.NewColleague{Who: id.String(), Operator: true})
			return err
		},
		"SetColleague": func(by directory.Actor) error {
			_, err := o.SetColleague(ctx, by, id, desk.ColleagueChange{})
			return err
		},
		"Invite": func(by directory.Actor) error {
			_, err := o.InviteOperator(ctx, by, desk.Invitation{Email: "x@y.example"})
			return err
		},
		"PasswordLink":       func(by directory.Actor) error { _, err := o.PasswordLink(ctx, by, id); return err },
		"SignInLink":         func(by directory.Actor) error { _, err := o.SignInLink(ctx, by, id); return err },
		"RemoveSecondFactor": func(by directory.Actor) error { _, err := o.RemoveSecondFactor(ctx, by, id); return err },
	}
	reach := &directory.Reach{Organizations: []directory.ID{o.Fjord.Organization.ID}, Environments: []directory.ID{o.Fjord.Production.ID}}
	for _, role := range []directory.Role{directory.RolePartner, directory.RoleEnvironment, directory.RoleUser, directory.RoleDirectory, directory.RoleSystem, ""} {
		for name, act := range acts {
			if err := act(directory.Actor{Role: role, Reach: reach}); directory.KindOf(err) != directory.Forbidden || err == nil {
				t.Errorf("%s as %q: %v", name, role, err)
			}
		}
	}
}

func TestSearchIsBounded(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	push := directory.Actor{Role: directory.RoleDirectory, Channel: "scim"}
	for i := range desk.MostHits + 5 {
		name := "zoe" + string(rune('a'+i))
		_, err := o.World.Service.CreateUser(t.Context(), push, o.Fjord.Tenant.ID, directory.UserInput{Profile: directory.Profile{UserName: name, Email: name + "@fjord.example", Emails: []string{name + "@fjord.example"}, Active: true},
			Schemas: []byte(`[]`), Attributes: []byte(`{}`)})
		o.Must(err)
	}
	found, err := o.Search(t.Context(), apptest.Operator, "Zoe")
	o.Must(err)
	if len(found.Items) != desk.MostHits {
		t.Errorf("%d hits", len(found.Items))
	}
	ids := map[directory.ID]bool{}
	for _, h := range found.Items {
		ids[h.ID] = true
	}
	if len(ids) != desk.MostHits {
		t.Error("somebody was found twice")
	}
	// People of a tenant whom an administrator's environment does not have stay unseen.
	admin := directory.Actor{Role: directory.RoleEnvironment, Reach: &directory.Reach{Environments: []directory.ID{o.Fjord.Production.ID}}}
	if found, err = o.Search(t.Context(), admin, "zoe"); err != nil || len(found.Items) != 0 {
		t.Errorf("an administrator finds %v, %v", found.Items, err)
	}
	kinds := func(by directory.Actor, text string) (all []string) {
		found, err := o.Search(t.Context(), by, text)
		o.Must(err)
		for _, h := range found.Items {
			all = append(all, h.Kind+" "+h.Name)
		}
		return all
	}
	if got := kinds(apptest.Operator, "fjord"); !slices.Equal(got, []string{"environment Finance", "environment Production", "tenant fjord"}) && !slices.Equal(got, []string{"environment Production", "environment Finance", "tenant fjord"}) {
		t.Errorf("found %q", got)
	}
	if got := kinds(admin, "fjord"); !slices.Equal(got, []string{"environment Production"}) {
		t.Errorf("an administrator found %q", got)
	}
}
