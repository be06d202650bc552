package graph_test

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/entrasim"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/graph"
)

// signsIn is who asks for a person whom nobody has provisioned yet.
var signsIn = directory.Actor{Role: directory.RoleSystem, Channel: "auth"}

// door is where people of an office sign in: it pulls those whom push has not brought yet.
type door struct {
	*office
	r *pull.Reconciler
}

// newDoor is a door of a server with push, runs and all. Its pulls of people are beside the server's own runs, on the
// same records.
func newDoor(t *testing.T) *door {
	t.Helper()
	o := newOffice(t)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(o.graph.CA()) {
		t.Fatal("no certificate authority")
	}
	d := &door{office: o, r: pull.New(pull.Options{Service: o.service(), Connect: graph.ConnectAtOnce, Roots: roots, Now: o.clock.now, NewID: app.NewID,
		Open:      func(*directory.Credential) ([]byte, error) { return []byte(o.secret), nil },
		Resources: app.Resources,
		Log:       slog.New(slog.DiscardHandler), Settings: pull.Settings{Person: time.Hour}})}
	t.Cleanup(d.r.Close)
	d.none(t, "11111111-2222-4333-8444-555555555555") // nobody; and from now on runs of the server are none that were interrupted
	return d
}

func (d *door) pull(id string) (bool, error) {
	d.world.Helper()
	object, ok := directory.ParseID(id)
	if !ok {
		d.world.Fatalf("%s is no object id", id)
	}
	return d.r.Person(d.ctx, signsIn, d.tenants["nordwind"], object)
}

// opens makes sure that somebody is pulled, and can sign in.
func (d *door) opens(t TB, id string) {
	t.Helper()
	if provisioned, err := d.pull(id); !provisioned || err != nil {
		t.Fatalf("%s: provisioned %t, error %v", id, provisioned, err)
	}
	var hash [32]byte
	_, _ = rand.Read(hash[:])
	object, _ := directory.ParseID(id)
	who := directory.Identity{TenantID: d.tenants["nordwind"], ClientID: "client", ObjectID: object, Subject: "sub of " + id}
	if _, err := d.service().SignIn(d.ctx, signsIn, who, directory.SessionInput{Hash: hash}); err != nil {
		t.Fatalf("%s cannot sign in: %v", id, err)
	}
	d.sign[id] = hash
}

// none makes sure that nobody is provisioned, without an error.
func (d *door) none(t TB, id string) {
	t.Helper()
	if provisioned, err := d.pull(id); provisioned || err != nil {
		t.Fatalf("%s: provisioned %t, error %v", id, provisioned, err)
	}
	if account := d.account("nordwind", id); !account.IsZero() {
		t.Fatalf("%s is provisioned", id)
	}
}

// has makes sure of the environments that somebody has access to.
func (d *door) has(t TB, id string, want ...*environment) {
	t.Helper()
	for _, e := range d.envs {
		is := false
		for _, w := range want {
			is = is || w == e
		}
		if d.accesses(e)[id] != is {
			t.Errorf("%s has access to %s: %t", id, e.name, !is)
		}
	}
}

// caughtUp pushes, pulls, and makes sure that both leave who is there.
func (d *door) caughtUp() {
	d.world.Helper()
	before := d.picture()
	d.cycle("nordwind")
	d.kept(before)
	for _, e := range d.envs {
		d.complete(e)
	}
	d.check()
	d.kept(before)
	d.sessions()
	d.settled()
}

func TestPersonSignsInBeforePush(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	before := d.picture()

	inSales := d.hire(t, entrasim.Person{}, d.sales)
	inTwo := d.hire(t, entrasim.Person{}, d.support, d.finance)
	d.opens(t, inSales)
	d.has(t, inSales, d.production)
	d.opens(t, inTwo)
	d.has(t, inTwo, d.production, d.test, d.reporting)
	d.kept(before)

	// Nested: where it counts, and nowhere else.
	nested := d.hire(t, entrasim.Person{}, d.contractors)
	d.opens(t, nested)
	d.has(t, nested, d.reporting)
	d.caughtUp()

	// Whom no environment takes.
	d.none(t, d.hire(t, entrasim.Person{}))
	d.none(t, d.hire(t, entrasim.Person{HomeDomain: "partner.example"}, d.sales))
	off := d.hire(t, entrasim.Person{}, d.sales)
	must(t, d.Disable(off))
	d.none(t, off)
	gone := d.hire(t, entrasim.Person{}, d.sales)
	must(t, d.SoftDelete(gone))
	d.none(t, gone)
	left := d.hire(t, entrasim.Person{}, d.sales)
	must(t, d.RemoveMember(d.sales, left))
	d.none(t, left)
	d.caughtUp()
}

func TestPersonWhoseNameIsTaken(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	old := d.still(&d.seller)
	person, _ := d.User(old)
	must(t, d.Rename(old, "Newly Married"))
	young, err := d.HireAs(entrasim.Person{GivenName: "Young", Surname: "Namesake"}, person.UserPrincipalName)
	must(t, err)
	must(t, d.AddMember(d.sales, young.ID))
	before := d.picture()
	provisioned, err := d.pull(young.ID)
	if provisioned || directory.KindOf(err) != directory.Exists || strings.Contains(err.Error(), person.UserPrincipalName) {
		t.Errorf("provisioned %t, error %v", provisioned, err)
	}
	d.same(before)
	d.complete(d.production) // which renames the one and makes the other
	d.opens(t, young.ID)
	d.caughtUp()
}

// TestPersonWhileGraphFails: whatever goes wrong with one of the requests, nobody is provisioned, and the reason is told.
func TestPersonWhileGraphFails(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	for _, test := range []struct {
		script string
		class  pull.Class
	}{
		{"batch status=503", pull.Unavailable},
		{"batch#2 status=503", ""}, // tried again
		{"batch reset", pull.Unavailable},
		{"batch html", pull.Malformed},
		{"batch truncate=0.5", pull.Malformed},
		{"batch#3 status=403", pull.Permission},
		{"user status=500", pull.Unavailable},
		{"user#2 body={}", pull.Malformed},
		{"user status=401", pull.Authentication},
		{"checkMemberGroups status=400", pull.Malformed},
		{`checkMemberGroups body={"value":null}`, pull.Malformed},
		{"members status=504", pull.Unavailable},
		{"members duplicate", pull.Malformed},
		{"members null-item", pull.Malformed},
		{"members missing-id", pull.Malformed},
		{"members short=1", pull.Malformed},
		{"members next=https://127.0.0.1:9", pull.Malformed},
		{"members status=403", pull.Permission},
	} {
		id := d.hire(t, entrasim.Person{}, d.sales)
		d.script(t, test.script)
		provisioned, err := d.pull(id)
		d.over(t)
		if test.class == "" {
			if !provisioned || err != nil {
				t.Errorf("%s: provisioned %t, error %v", test.script, provisioned, err)
			}
			continue
		}
		var e *pull.Error
		if provisioned || !errors.As(err, &e) || e.Class != test.class || !d.account("nordwind", id).IsZero() {
			t.Errorf("%s: provisioned %t, error %v; want class %s", test.script, provisioned, err, test.class)
		}
		d.clock.jump(budgetWindow)
	}
	for _, permission := range readEverything {
		id := d.hire(t, entrasim.Person{}, d.sales)
		d.app.Revoke(permission)
		if provisioned, err := d.pull(id); provisioned || pull.ClassOf(err) != pull.Permission {
			t.Errorf("without %s: provisioned %t, error %v", permission, provisioned, err)
		}
		d.app.Grant(permission)
	}
	d.caughtUp()
}

// budgetWindow is the window of the budget of people who are asked for.
const budgetWindow = time.Minute

func TestPersonWhileThrottled(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	id := d.hire(t, entrasim.Person{}, d.sales)
	d.script(t, "members status=429 retry-after=600")
	if provisioned, err := d.pull(id); provisioned || pull.ClassOf(err) != pull.Throttled {
		t.Errorf("provisioned %t, error %v", provisioned, err)
	}
	d.over(t)
	requests := d.graph.Stats().Requests
	if provisioned, err := d.pull(id); provisioned || directory.KindOf(err) != directory.RateLimited {
		t.Errorf("provisioned %t, error %v", provisioned, err)
	}
	refused(d.world, app.SyncStart, app.SyncInput{Environment: "Test"}, "rateLimited", "asked to wait until")
	if n := d.graph.Stats().Requests - requests; n != 0 {
		t.Errorf("%d requests while Graph had asked to wait", n)
	}
	d.clock.jump(10 * budgetWindow)
	d.opens(t, id)
	d.caughtUp()
}

func TestPersonWhileTheIndexLags(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.graph.HoldIndex()
	id := d.hire(t, entrasim.Person{}, d.sales)
	d.none(t, id) // that the person is in the group itself, the index alone can tell
	nested := d.hire(t, entrasim.Person{}, d.contractors)
	d.opens(t, nested) // a point read is enough where it does not matter
	d.has(t, nested, d.reporting)
	d.graph.ReleaseIndex()
	d.opens(t, id)

	// The index still knows who has left. The point read does not.
	left := d.hire(t, entrasim.Person{}, d.sales)
	d.graph.HoldIndex()
	must(t, d.RemoveMember(d.sales, left))
	d.none(t, left)
	d.graph.ReleaseIndex()
	d.caughtUp()
}

// TestPersonAmidARun: somebody joins and signs in while a run of the server reads the group, at each of its requests.
func TestPersonAmidARun(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	for _, on := range []string{"group", "members", "batch"} {
		must(t, d.RemoveMember(d.sales, d.still(&d.seller))) // somebody to be asked for
		id, once := "", sync.Once{}
		d.fault(t, entrasim.Fault{On: on, Do: func() {
			once.Do(func() {
				d.graph.Faults().Clear()
				id = d.hire(d, entrasim.Person{}, d.sales)
				if provisioned, err := d.pull(id); !provisioned || err != nil {
					t.Errorf("at %s: provisioned %t, error %v", on, provisioned, err)
				}
			})
		}})
		r := d.complete(d.production)
		if id == "" {
			t.Fatalf("nobody signed in at %s", on)
		}
		if !d.accesses(d.production)[id] {
			t.Errorf("at %s the run took the access away again:\n%s", on, r)
		}
		d.complete(d.production)
		d.check()
		d.settled()
	}
	d.caughtUp()
}

// TestPersonAtOnce: sign-ins, push and a run at the same time. Everybody gets in, once.
func TestPersonAtOnce(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	var ids []string
	for range 8 {
		ids = append(ids, d.hire(t, entrasim.Person{}, d.sales, d.finance))
	}
	requests := func(fn func()) uint64 {
		before := d.graph.Stats().Requests
		fn()
		return uint64(d.graph.Stats().Requests - before)
	}
	pulls := func(id string) {
		if provisioned, err := d.pull(id); !provisioned || err != nil {
			t.Errorf("%s: provisioned %t, error %v", id, provisioned, err)
		}
	}
	one := requests(func() { pulls(ids[0]) })
	many := requests(func() {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { pulls(ids[1]) })
		}
		wg.Wait()
	})
	if one == 0 || many != one {
		t.Errorf("%d requests for one who signs in eight times, %d for one who does once", many, one)
	}

	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() { pulls(id) })
	}
	wg.Go(func() {
		if _, err := d.push["nordwind"].Cycle(d.ctx); err != nil {
			t.Error(err)
		}
	})
	run := d.begin(app.SyncInput{Environment: "Production"})
	wg.Wait()
	d.wait(run)
	for _, id := range ids {
		d.opens(t, id)
		d.has(t, id, d.production, d.test, d.reporting)
	}
	d.caughtUp()
}
