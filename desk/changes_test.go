package desk_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// pushed has push change a person of a customer.
func pushed(w *apptest.World, c *apptest.Customer, i int, change func(*directory.Profile)) {
	w.Helper()
	by := directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: c.Tenant.ID.String()}
	_, err := w.Service.UpdateUser(w.Context(), by, c.Tenant.ID, c.Users[i].ID, func(u *directory.User) (directory.UserInput, error) {
		p := u.Profile
		change(&p)
		return directory.UserInput{Profile: p, Schemas: slices.Clone(u.Schemas), Attributes: slices.Clone(u.Attributes)}, nil
	})
	w.Must(err)
}

// wait is a wait for changes that has begun: whoever waits has been asked for once when it is made.
type wait struct {
	got chan desk.Changes
	err chan error
}

// waits has the partner of Fjord wait for an hour with an API token of that name.
func waits(ctx context.Context, w *apptest.World, after, secret string) *wait {
	w.Helper()
	tokens := auth.NewAPITokens(w.Service, w.Now)
	asked := make(chan struct{}, 100)
	out := &wait{make(chan desk.Changes, 1), make(chan error, 1)}
	go func() {
		got, err := w.App.Desk().AwaitChanges(ctx, func(ctx context.Context) (directory.Actor, error) {
			by, _, err := tokens.Authenticate(ctx, secret, "192.0.2.1")
			asked <- struct{}{} // who it is is settled: what happens from here on must be noticed
			return by, err
		}, desk.ChangesFilter{After: after}, time.Hour)
		out.err <- err
		out.got <- got
	}()
	<-asked
	return out
}

func cursorOfNow(w *apptest.World, by directory.Actor) string {
	w.Helper()
	got, err := w.App.Desk().Changes(w.Context(), by, desk.ChangesFilter{})
	w.Must(err)
	return got.Cursor
}

// A token that is revoked while it waits is told of nothing any more, and at once: not when the time is over.
func TestWaitEndsWithTheToken(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // far less than it would wait
	defer cancel()
	organizations := &directory.Reach{Organizations: []directory.ID{w.Fjord.Organization.ID}}
	idOf := func(secret string) directory.ID {
		t.Helper()
		var id directory.ID
		w.Must(w.Service.View(ctx, func(sn *directory.Snapshot) error {
			hash := auth.Hash(secret)
			found, _, err := sn.APITokenByHash(hash[:], w.Now())
			if err == nil {
				id = found.ID
			}
			return err
		}))
		return id
	}
	secret := w.APIToken(directory.RolePartner, organizations)
	id := idOf(secret)
	one := waits(ctx, w, cursorOfNow(w, boss), secret)
	_, err := w.Service.RevokeAPIToken(ctx, apptest.Operator, id)
	w.Must(err)
	if err := <-one.err; err == nil || directory.KindOf(err) != directory.Unauthorized || ctx.Err() != nil {
		t.Errorf("after it was revoked: %v, %v", err, ctx.Err())
	}
	// So is the token of a partner who loses the role.
	n := auth.NewAPISecret()
	_, err = w.Service.CreateAPIToken(ctx, partnerOf(w.Fjord), directory.NewAPIToken{Name: "hers", Role: directory.RolePartner, Reach: *organizations, Scopes: []string{"changes:read"}, Hash: n.Hash, Hint: n.Hint})
	w.Must(err)
	two := waits(ctx, w, cursorOfNow(w, boss), n.Text)
	_, err = w.Service.SetRoles(ctx, apptest.Operator, w.Fjord.Partner.ID, directory.RoleInput{Partner: map[directory.ID]bool{w.Fjord.Organization.ID: false}})
	w.Must(err)
	if err := <-two.err; err == nil || directory.KindOf(err) != directory.Unauthorized || ctx.Err() != nil {
		t.Errorf("after the role was lost: %v, %v", err, ctx.Err())
	}
}

// A wait is over with the first change that is for the caller, and with its time; what is not for the caller ends nothing.
func TestWaitEndsWithAChange(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	one := waits(ctx, w, cursorOfNow(w, boss), w.APIToken(directory.RolePartner, &directory.Reach{Organizations: []directory.ID{w.Fjord.Organization.ID}}))
	// A new name ends no session: it is the news itself that wakes whoever waits.
	pushed(w, w.Nordwind, 2, func(p *directory.Profile) { p.Name = "Ana Sommer" })
	pushed(w, w.Fjord, 2, func(p *directory.Profile) { p.Name = "Ana Winter" })
	w.Must(<-one.err)
	if got := <-one.got; len(got.Items) != 1 || got.Items[0].User.UserName != "ana@fjord.example" || ctx.Err() != nil {
		t.Errorf("%+v, %v", got, ctx.Err())
	}
	who := func(context.Context) (directory.Actor, error) { return partnerOf(w.Fjord), nil }
	for _, wait := range []time.Duration{0, time.Millisecond} {
		got, err := w.App.Desk().AwaitChanges(ctx, who, desk.ChangesFilter{After: cursorOfNow(w, boss)}, wait)
		if err != nil || len(got.Items) > 0 || got.Cursor != cursorOfNow(w, boss) || ctx.Err() != nil {
			t.Errorf("nothing within %v: %+v %v %v", wait, got, err, ctx.Err())
		}
	}
	_, err := w.App.Desk().Changes(ctx, directory.Actor{Role: directory.RoleUser}, desk.ChangesFilter{})
	wantKind(t, err, directory.Forbidden)
}

// However much of others lies between, an answer looks at so many events and says that there is more; who waits is taken past
// all of it.
func TestChangesLookAtSoManyAtOnce(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	after := cursorOfNow(w, boss)
	var writers sync.WaitGroup
	for part := range 64 {
		writers.Go(func() {
			for n := part; n < 5100; n += 64 {
				pushed(w, w.Nordwind, n%3, func(p *directory.Profile) { p.Name = fmt.Sprint("Person ", n) })
			}
		})
	}
	writers.Wait()
	pushed(w, w.Fjord, 2, func(p *directory.Profile) { p.Active = false })
	d, by := w.App.Desk(), partnerOf(w.Fjord)
	first, err := d.Changes(t.Context(), by, desk.ChangesFilter{After: after})
	if err != nil || len(first.Items) > 0 || !first.More || first.Cursor == after {
		t.Fatalf("%+v %v", first, err)
	}
	second, err := d.Changes(t.Context(), by, desk.ChangesFilter{After: first.Cursor})
	if err != nil || len(second.Items) != 1 || second.More {
		t.Errorf("%+v %v", second, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got, err := d.AwaitChanges(ctx, func(context.Context) (directory.Actor, error) { return by, nil }, desk.ChangesFilter{After: after}, 0)
	if err != nil || len(got.Items) != 1 || !strings.Contains(got.Items[0].User.UserName, "ana@fjord") || ctx.Err() != nil {
		t.Errorf("%+v %v %v", got, err, ctx.Err())
	}
}

// told is what an actor is told of the last event of a type.
func told(w *apptest.World, by directory.Actor, kind string) desk.Change {
	w.Helper()
	got, err := w.App.Desk().Changes(w.Context(), by, desk.ChangesFilter{After: "start", Types: []string{kind}, Limit: 500})
	w.Must(err)
	if len(got.Items) == 0 {
		w.Fatalf("no %s", kind)
	}
	return got.Items[len(got.Items)-1]
}

// Somebody of an environment may become another customer's: that customer's directory is not told of, nor what it says.
func TestChangesNameNoForeignDirectory(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	ivy, _, err := w.Service.AddInternal(t.Context(), apptest.Operator, w.Fjord.Production.ID, directory.NewAccess{Email: "ivy@bizz.example", Name: "Ivy"})
	w.Must(err)
	_, err = w.Service.SetTenant(t.Context(), apptest.Operator, w.Nordwind.Tenant.ID, func(x *directory.Tenant) error {
		x.TrustedDomains = []string{"bizz.example"}
		return nil
	})
	w.Must(err)
	run := directory.ID{6: 0x70, 8: 0x80, 15: 77}
	w.Must(w.Service.SaveRun(t.Context(), &directory.Run{ID: run, EnvironmentID: w.Nordwind.Production.ID, TenantID: w.Nordwind.Tenant.ID, Trigger: directory.TriggerSchedule,
		State: directory.RunRunning, Actor: apptest.Operator, Started: w.Now()}, nil))
	u, err := w.Service.CreateUser(t.Context(), directory.Actor{Role: directory.RoleDirectory, Channel: "pull", ID: w.Nordwind.Tenant.ID.String(), RunID: run}, w.Nordwind.Tenant.ID,
		directory.UserInput{Profile: directory.Profile{UserName: "ivy@bizz.example", Name: "Ivy of Nordwind", Email: "ivy@bizz.example", Emails: []string{"ivy@bizz.example"}, Active: true},
			Schemas: []byte(`[]`), Attributes: []byte(`{}`)})
	w.Must(err)
	if u.AccountID != ivy.AccountID {
		t.Fatal("not adopted")
	}
	for name, c := range map[string]struct {
		by   directory.Actor
		sees bool
	}{"administrator": {administrator(w.Fjord), false}, "partner": {partnerOf(w.Fjord), false}, "the other's administrator": {actor(directory.RoleEnvironment, nil,
		[]directory.ID{w.Fjord.Production.ID, w.Nordwind.Production.ID}), true}, "operator": {boss, true}} {
		got := told(w, c.by, "user.created")
		if got.AccountID == nil || *got.AccountID != ivy.AccountID {
			t.Fatalf("%s: %+v", name, got)
		}
		if (got.Tenant != nil) != c.sees || (got.User != nil) != c.sees || (got.RunID != nil) != c.sees || (got.Active != nil) != c.sees {
			t.Errorf("%s: tenant %v, user %v, run %v, active %v", name, got.Tenant, got.User, got.RunID, got.Active)
		}
	}
	// Who knows the tenant does not see the runs of its other environments.
	finance := directory.ID{6: 0x70, 8: 0x80, 15: 78}
	w.Must(w.Service.SaveRun(t.Context(), &directory.Run{ID: finance, EnvironmentID: w.Nordwind.Finance.ID, TenantID: w.Nordwind.Tenant.ID, Trigger: directory.TriggerSchedule,
		State: directory.RunRunning, Actor: apptest.Operator, Started: w.Now()}, nil))
	_, err = w.Service.UpdateUser(t.Context(), directory.Actor{Role: directory.RoleDirectory, Channel: "pull", ID: w.Nordwind.Tenant.ID.String(), RunID: finance}, w.Nordwind.Tenant.ID, w.Nordwind.Users[2].ID,
		func(u *directory.User) (directory.UserInput, error) {
			p := u.Profile
			p.Name = "Ana of Nordwind"
			return directory.UserInput{Profile: p, Schemas: slices.Clone(u.Schemas), Attributes: slices.Clone(u.Attributes)}, nil
		})
	w.Must(err)
	if got := told(w, administrator(w.Nordwind), "user.updated"); got.Tenant == nil || got.User == nil || got.RunID != nil {
		t.Errorf("a run of another environment: %+v", got)
	}
	if got := told(w, partnerOf(w.Nordwind), "user.updated"); got.RunID == nil || *got.RunID != finance {
		t.Errorf("a run that is seen: %+v", got)
	}
}

// An internal user is told of as they are called where it is seen.
func TestInternalUsersAreCalledAsTheyAreHere(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	d, by := w.App.Desk(), administrator(w.Fjord)
	added, err := d.AddUser(t.Context(), by, w.Fjord.Production.ID, desk.NewUser{Email: "BOSS@maxedy.example", Name: "Bo", Language: "nl"})
	if err != nil || added.Made || added.Access.User.Name != "Bo" || added.Access.Email != "BOSS@maxedy.example" {
		t.Errorf("%v %+v", err, added)
	}
	got, err := d.User(t.Context(), by, w.Boss.ID)
	if err != nil || got.Name != "Bo" || got.Email != "BOSS@maxedy.example" || got.Language != "nl" || got.Operator || got.HasLogin || got.Created.Equal(w.Boss.Created) || len(got.Explained) != 1 || got.Explained[0].User.Name != "Bo" {
		t.Errorf("%v %+v", err, got)
	}
	whole, err := d.User(t.Context(), boss, w.Boss.ID)
	if err != nil || whole.Name != "Boss Operator" || !whole.Operator || !whole.Created.Equal(w.Boss.Created) {
		t.Errorf("%v %+v", err, whole)
	}
	list, err := d.Users(t.Context(), by, desk.UserFilter{Source: "internal"}, desk.Page{})
	if err != nil || len(list.Items) != 1 || list.Items[0].Name != "Bo" {
		t.Errorf("%v %+v", err, list)
	}
	if entry := told(w, by, "access.updated"); len(entry.Accesses) != 1 || entry.Accesses[0].Name != "Bo" || entry.Accesses[0].Email != "BOSS@maxedy.example" {
		t.Errorf("%+v", entry)
	}
	lines, _ := all(w, by, desk.LogFilter{Person: w.Boss.ID}, 50)
	if len(lines) != 1 {
		t.Fatalf("%+v", lines)
	}
	line, err := d.LogLine(t.Context(), by, directory.ID{}, lines[0].Sequence)
	if err != nil || line.Person == nil || line.Person.Name != "Bo" || len(line.Accesses) != 1 || line.Accesses[0].Account.Name != "Bo" {
		t.Errorf("%v %+v %+v", err, line.Person, line.Accesses)
	}
	r, err := d.LeaversAndJoiners(t.Context(), by, desk.ReportFilter{})
	if err != nil || !slices.ContainsFunc(r.Joiners, func(j desk.Joiner) bool { return j.Person.ID == w.Boss.ID && j.Person.Name == "Bo" }) {
		t.Errorf("%v %+v", err, r.Joiners)
	}
}
