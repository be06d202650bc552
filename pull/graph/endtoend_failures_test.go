package graph_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/entrasim"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/store/bolt"
)

// TestFailureModes plays what goes wrong between a directory and who pulls it. In each, nobody who
// should keep access loses it or the session, the run says what is wrong and shows no secret, and one
// more run repairs everything once the fault is over.
func TestFailureModes(t *testing.T) {
	t.Run("large", testLarge)
	for name, test := range map[string]func(*testing.T){
		"token failure":                  testTokenFailure,
		"permission revoked":             testPermissionRevoked,
		"hidden-membership group":        testHiddenMembership,
		"group deleted or id mistyped":   testScopeMissing,
		"throttled for an hour":          testThrottled,
		"index lag after add":            testIndexLag,
		"point reads fail":               testPointReadsFail,
		"UPN renamed":                    testRenamed,
		"UPN or e-mail recycled":         testRecycled,
		"person moved to another tenant": testOtherTenant,
		"two environments share a user":  testSharedUser,
		"same user in two groups":        testTwoGroups,
		"clock jump":                     testClockJump,
		"crash in mid-apply":             testCrash,
		"wrong tenant or cloud":          testWrongTenant,
		"SDK panic":                      testPanic,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// fails pulls an environment, which must fail and change nothing.
func (o *office) fails(e *environment, class pull.Class, says ...string) *result {
	o.world.Helper()
	before := o.picture()
	r := o.sync(e)
	if r.Error == nil {
		o.world.Fatalf("nothing failed:\n%s%s\n%s", r, o.graph.Faults(), o.graph.Stats())
	}
	o.failed(r, class, says...)
	o.same(before)
	return r
}

func testTokenFailure(t *testing.T) {
	o := newOffice(t)
	soon := time.Now().Add(time.Hour)
	for _, fault := range []struct {
		name  string
		begin func()
		end   func()
		class pull.Class
		says  string
	}{
		{"a wrong secret", func() { o.app.RemoveSecret(o.secret) }, func() { o.app.AddSecret(o.secret, soon) }, pull.Authentication, "7000215"},
		{"a secret that has ended", func() { o.app.AddSecret(o.secret, time.Now().Add(-time.Hour)) }, func() { o.app.AddSecret(o.secret, soon) }, pull.Authentication, "7000222"},
		{"no token is good", func() { o.script(t, "group status=401") }, func() { o.over(t) }, pull.Authentication, "refuses the token"},
		{"a token is not good any more", func() { o.script(t, "members#2 status=401") }, func() { o.over(t) }, pull.Authentication, "refuses the token"},
		{"no tokens are issued", func() { o.script(t, "token status=503") }, func() { o.over(t) }, pull.Unavailable, ""},
		{"tokens are no JSON", func() { o.script(t, "token html") }, func() { o.over(t) }, pull.Malformed, ""},
		{"tokens are empty", func() { o.script(t, "token body={}") }, func() { o.over(t) }, pull.Malformed, ""},
	} {
		o.change()
		fault.begin()
		r := o.fails(o.production, fault.class, fault.says)
		t.Logf("%s: %+v", fault.name, *r.Error)
		fault.end()
		o.repaired()
	}

	// Graph takes a token back in the middle of a read: the next token answers its challenge.
	o.change()
	before := o.graph.Stats().Tokens
	o.fault(t, entrasim.Fault{On: "members", Nth: 2, Do: o.graph.RevokeTokens, Status: 503})
	o.complete(o.production)
	o.over(t)
	if n := o.graph.Stats().Tokens - before; n != 2 {
		t.Errorf("%d tokens for a run whose token was taken back, want 2", n)
	}
	o.repaired()
}

func testPermissionRevoked(t *testing.T) {
	o := newOffice(t)
	for _, permission := range readEverything {
		o.change()
		o.app.Revoke(permission)
		r := o.fails(o.production, pull.Permission, permission)
		t.Logf("without %s: %+v", permission, *r.Error)
		o.app.Grant(permission)
		o.repaired()
	}
	// Gone between the list and the point reads: nobody is taken for deleted or disabled.
	o.change()
	before := o.picture()
	o.fault(t, entrasim.Fault{On: "batch", Nth: 1, Do: func() { o.app.Revoke(entrasim.UserReadAll) }, Status: 503})
	r := o.sync(o.production)
	o.over(t)
	o.said(r)
	if r.Counts.Waiting != 2 || r.Counts.Deactivated != 0 || len(r.Notes) == 0 || !strings.Contains(strings.Join(r.Notes, " "), "User.Read.All") {
		t.Errorf("without the right to read users:\n%s", r)
	}
	o.kept(before)
	o.app.Grant(entrasim.UserReadAll)
	o.repaired()
}

func testHiddenMembership(t *testing.T) {
	o := newOffice(t)
	o.change()
	must(t, o.HideMembership(o.support, true))
	before := o.picture()
	r := o.sync(o.production)
	o.said(r)
	told := strings.Join(append(r.Reasons, r.Notes...), " ")
	if r.Error != nil {
		told = r.Error.Detail
	}
	if !strings.Contains(told, "Member.Read.Hidden") || r.State != "failed" && r.State != "quarantined" {
		t.Errorf("hidden members:\n%s", r)
	}
	o.kept(before)
	o.sessions()
	o.test.refuses(o) // which syncs the group too
	o.app.Grant(entrasim.MemberReadHidden)
	o.repaired()
}

// refuses makes sure that a run of an environment takes nothing from anybody who should have it.
func (e *environment) refuses(o *office) {
	o.world.Helper()
	before := o.picture()
	if r := o.sync(e); r.State != "failed" && r.State != "quarantined" {
		o.world.Errorf("the run is %s:\n%s", r.State, r)
	}
	o.kept(before)
}

func testScopeMissing(t *testing.T) {
	o := newOffice(t)
	for name, mistake := range map[string]func() (undo func()){
		"deleted and made again": func() func() {
			g, _ := o.Group(o.support)
			must(t, o.DeleteGroup(o.support))
			return func() {
				must(t, o.AddGroup(o.support, g.DisplayName))
				must(t, o.SetMembers(o.support, g.Members))
			}
		},
		"mistyped": func() func() {
			right := o.production.groups
			wrong := append(slices.Clone(right), "11111111-2222-4333-8444-555555555555")
			call(o.world, app.EnvironmentIntegrate, app.IntegrationInput{Environment: "Production", Groups: &wrong})
			return func() {
				call(o.world, app.EnvironmentIntegrate, app.IntegrationInput{Environment: "Production", Groups: &right})
			}
		},
	} {
		t.Logf("a group that is %s", name)
		o.change()
		undo := mistake()
		r := o.fails(o.production, pull.ScopeMissing, "mistyped, or the group was deleted")
		refused(o.world, app.RunAllow, app.RunDecision{Ref: r.ID, Hash: "x", Reason: "because"}, "conflict", "")
		undo()
		o.repaired()
		if now := o.show(r.ID); now.State != "superseded" {
			t.Errorf("the run that found a group missing is %s after the next one", now.State)
		}
	}
}

func testThrottled(t *testing.T) {
	o := newOffice(t)
	o.change()
	o.script(t, "members#2+ status=429 retry-after=3600")
	o.fails(o.production, pull.Throttled)
	o.over(t)
	in := app.SyncInput{Environment: "Production"}
	refused(o.world, app.SyncStart, in, "rateLimited", "asked to wait until")
	before := o.picture()
	o.restart()
	requests := o.graph.Stats().Requests
	refused(o.world, app.SyncStart, in, "rateLimited", "asked to wait until")
	for _, s := range call(o.world, app.PullStatus, app.None{}).Environments {
		left := time.Duration(0)
		if s.NotBefore != nil {
			left = s.NotBefore.Sub(o.clock.now())
		}
		waits := s.Tenant.Name == o.production.tenant // all of the tenant
		if waits && (left < 59*time.Minute || left > time.Hour) || !waits && left != 0 {
			t.Errorf("%s waits for %s", s.Environment.Name, left)
		}
	}
	o.clock.jump(59 * time.Minute)
	refused(o.world, app.SyncStart, in, "rateLimited", "asked to wait until")
	if n := o.graph.Stats().Requests - requests; n != 0 {
		t.Errorf("%d requests while Graph had asked to wait", n)
	}
	o.same(before)
	o.clock.jump(2 * time.Minute)

	// The run that takes an hour is the only one.
	slow, going := make(chan struct{}), make(chan struct{})
	o.fault(t, entrasim.Fault{On: "members", Nth: 1, Do: func() { close(going); <-slow }, Status: 503})
	first := o.begin(in)
	<-going
	if second := call(o.world, app.SyncStart, in); second.ID != first.ID {
		t.Errorf("Sync began run %s beside run %s", second.ID, first.ID)
	}
	read := o.graph.Stats().Requests
	other := call(o.world, app.SyncStart, app.SyncInput{Environment: "Test"}) // of the same tenant: waits for its turn
	if now := call(o.world, app.RunShow, app.RunQuery{Ref: first.ID}).Run; now.State != "running" || now.Stage != "read" {
		t.Errorf("the slow run: %+v", now)
	}
	if n := o.graph.Stats().Requests - read; n != 0 {
		t.Errorf("%d requests beside those of the slow run", n)
	}
	close(slow)
	o.wait(other)
	if r := o.wait(first); r.State != "complete" {
		t.Errorf("the slow run:\n%s", r)
	}
	o.over(t)
	o.repaired()
}

func testIndexLag(t *testing.T) {
	o := newOffice(t)
	// A group within the group: that somebody is in the one and not in the other, a point read can tell.
	within := o.CreateGroup("Sales Trainees")
	o.hire(t, entrasim.Person{}, within.ID)
	must(t, o.AddMember(o.sales, within.ID))
	o.cycle("nordwind")
	for _, e := range o.envs {
		o.complete(e)
	}
	o.graph.HoldIndex()
	late := o.hire(t, entrasim.Person{}, o.sales)
	o.cycle("nordwind") // push is ahead of the index
	o.signIn(1000)
	before := o.picture()
	for range 3 { // in as many complete reads as may be: a point read knows better
		r := o.complete(o.production)
		if item := r.of(late); item == nil || item.Outcome != "waiting" || !strings.Contains(item.Detail, "catch up") {
			t.Errorf("somebody whom the list does not show yet:\n%s", r)
		}
		o.same(before)
	}
	o.graph.ReleaseIndex()
	o.change()
	o.repaired()
	if !o.accesses(o.production)[late] {
		t.Error("the late one has no access in the end")
	}

	// The other way round: the list still shows who has left, and a disabled person as enabled.
	o.graph.HoldIndex()
	left := take(&o.helper)
	must(t, o.RemoveMember(o.support, left))
	must(t, o.Disable(o.banker[0]))
	o.cycle("nordwind")
	before = o.picture()
	for _, e := range o.envs {
		o.complete(e)
	}
	if diff := o.picture(); diff["Production"][left] || diff["Test"][o.banker[0]] {
		t.Error("a list that is behind gave back what push took away")
	}
	o.same(before)
	o.graph.ReleaseIndex()
	o.repaired()
}

func testPointReadsFail(t *testing.T) {
	o := newOffice(t)
	for _, script := range []string{"batch status=503", "batch status=429 retry-after=3600", "batch body={}", "user status=500", "user body={}", "user#1 status=403", "batch cut"} {
		o.change()
		o.script(t, script)
		before := o.picture()
		r := o.sync(o.production)
		o.over(t)
		o.said(r)
		if r.State != "complete" || r.Counts.Waiting != 2 || r.Counts.Deactivated != 0 || len(r.Notes) == 0 {
			t.Errorf("%s:\n%s", script, r)
		}
		o.kept(before)
		o.sessions()
		if strings.Contains(script, "retry-after") {
			refused(o.world, app.SyncStart, app.SyncInput{Environment: "Production"}, "rateLimited", "asked to wait until")
			o.clock.jump(61 * time.Minute)
		}
		o.repaired()
	}
	// Two complete reads in a row are as good as a point read.
	o.change()
	o.script(t, "batch status=503")
	if r := o.complete(o.production); r.Counts.Waiting != 2 || r.Counts.Deactivated != 0 {
		t.Errorf("the first read:\n%s", r)
	}
	if r := o.complete(o.production); r.Counts.Waiting != 2 || r.Counts.Deactivated != 0 {
		t.Errorf("a second read at once:\n%s", r)
	}
	o.clock.jump(10 * time.Minute) // two thirds of the interval
	if r := o.complete(o.production); r.Counts.Waiting != 0 || r.Counts.Deactivated != 2 {
		t.Errorf("the second read:\n%s", r)
	}
	// A read that failed between them counts for nothing, and takes nothing away from the first.
	o.change()
	if r := o.complete(o.production); r.Counts.Waiting != 2 {
		t.Errorf("the first read:\n%s", r)
	}
	o.over(t)
	o.script(t, "members body={}")
	o.fails(o.production, pull.Malformed)
	o.over(t)
	o.repaired()
}

func testRenamed(t *testing.T) {
	o := newOffice(t)
	users := o.users("nordwind")
	accounts := map[string]directory.ID{}
	for _, id := range slices.Concat(o.seller, o.both, o.helper, o.banker) {
		accounts[id] = o.account("nordwind", id)
	}
	before := o.picture()
	name := func(id string) string {
		u, _ := o.User(id)
		return u.UserPrincipalName
	}
	become := func(id, upn string) {
		t.Helper()
		must(t, o.Update(id, func(u *entrasim.User) { u.UserPrincipalName, u.Mail = upn, upn }))
	}
	must(t, o.Rename(o.seller[0], "Smit"))
	// A chain: each takes the name of the next, the last one a new one.
	chain := o.helper[:4]
	free := []string{name(chain[0]), name(chain[1]), name(chain[2])}
	become(chain[0], "chain@"+o.Domain())
	for i := range free {
		become(chain[i+1], free[i])
	}
	must(t, o.SwapNames(o.both[0], o.both[1]))
	// Upper case alone is no other name.
	become(o.seller[2], strings.ToUpper(name(o.seller[2])))
	for _, e := range o.envs {
		o.said(o.complete(e))
	}
	o.same(before)
	o.check()
	o.settled()

	// Two people of different environments: neither run can give both their names. Both keep everything.
	must(t, o.SwapNames(o.seller[1], o.banker[0]))
	for _, e := range o.envs {
		r := o.complete(e)
		if !slices.ContainsFunc(r.items, func(i app.PlanItem) bool {
			return strings.Contains(i.Reason+i.Detail, "is that of another user")
		}) {
			t.Errorf("names that cannot be swapped in %s:\n%s", e.name, r)
		}
	}
	o.same(before)
	must(t, o.SwapNames(o.seller[1], o.banker[0]))
	o.repaired()
	if n := o.users("nordwind"); n != users {
		t.Errorf("%d users, %d before the new names", n, users)
	}
	for id, account := range accounts {
		if now := o.account("nordwind", id); now != account {
			t.Errorf("%s has account %s, before %s", id, now, account)
		}
	}
}

func (w *world) users(tenant string) (n int64) {
	w.Helper()
	w.view(func(sn *directory.Snapshot) (err error) {
		n, err = sn.UserCount(w.tenants[tenant])
		return err
	})
	return n
}

func testRecycled(t *testing.T) {
	o := newOffice(t)
	old := take(&o.seller)
	account, was := o.account("nordwind", old), o.name(old)
	must(t, o.SoftDelete(old))
	fresh, err := o.HireAs(entrasim.Person{GivenName: "Somebody", Surname: "Else"}, was)
	must(t, err)
	must(t, o.AddMember(o.sales, fresh.ID))
	r := o.complete(o.production)
	if !slices.ContainsFunc(r.items, func(i app.PlanItem) bool { return i.Outcome == "conflict" || i.Outcome == "applied" }) {
		t.Errorf("a recycled name:\n%s", r)
	}
	o.repaired() // the name is free once its former holder is inactive
	if now := o.account("nordwind", fresh.ID); now == account || now.IsZero() {
		t.Errorf("the new holder of the name has account %s, the former one %s", now, account)
	}
	if now := o.account("nordwind", old); now != account {
		t.Errorf("the former holder has account %s, before %s", now, account)
	}

	// The same e-mail address, with another name, while its former owner is still there.
	owner, _ := o.User(o.seller[0])
	before := o.picture()
	second := o.hire(t, entrasim.Person{}, o.sales)
	must(t, o.Update(second, func(u *entrasim.User) { u.Mail = owner.Mail }))
	o.complete(o.production)
	o.kept(before)
	o.sessions()
	if a, b := o.account("nordwind", owner.ID), o.account("nordwind", second); a == b {
		t.Errorf("both have the account %s", a)
	}
	must(t, o.Update(second, func(u *entrasim.User) { u.Mail = u.UserPrincipalName }))
	o.repaired()

	// The former owner left years ago and comes back: it is the one that it was.
	must(t, o.Update(second, func(u *entrasim.User) { u.DisplayName = "Second" }))
	must(t, o.Restore(old))
	o.repaired()
	if now := o.account("nordwind", old); now != account {
		t.Errorf("who came back has account %s, before %s", now, account)
	}
}

func (o *office) name(id string) string {
	u, _ := o.User(id)
	return u.UserPrincipalName
}

func testOtherTenant(t *testing.T) {
	o := newDirectory(t, 1)
	other := newEntra(t, entrasim.New(entrasim.Options{Seed: 77, Domain: "other.example"}))
	abroad := other.CreateGroup("Everybody").ID
	o.connect(newWorld(t, o.entra, other))
	o.pushes("nordwind", o.entra, nil)
	o.cycle("nordwind")
	o.welcome()

	mover, _ := o.User(take(&o.seller))
	account := o.account("nordwind", mover.ID)
	moved := mover
	moved.ID = "99999999-8888-4777-8666-555555555555"
	must(t, other.Add(moved)) // with the same name and address, as after a merger
	must(t, other.AddMember(abroad, moved.ID))
	own := other.Hire(entrasim.Person{}).ID
	must(t, other.AddMember(abroad, own))
	w := o.world
	w.join("other", other, "Abroad")
	branch := w.environment("Abroad", "Branch", "other", other, false, abroad)
	before := o.picture()
	r := o.accept(branch)
	o.said(r)
	t.Logf("the same address in two tenants:\n%s", r)
	if got := o.accesses(branch); !got[own] {
		t.Errorf("who is in the other tenant alone has no access: %v", got)
	}
	if now := o.account("other", moved.ID); now == account {
		t.Error("an account was linked to another tenant by its e-mail address")
	}
	o.kept(before)
	// Gone from the first tenant: its own access goes, and nothing of it passes on.
	must(t, o.SoftDelete(mover.ID))
	o.complete(o.production)
	o.complete(branch)
	if now := o.account("other", moved.ID); now == account {
		t.Error("an account was linked to another tenant by its e-mail address")
	}
	w.view(func(sn *directory.Snapshot) error {
		a, err := sn.Account(account)
		if err == nil && a.TenantID != w.tenants["nordwind"] {
			t.Error("an account changed its tenant")
		}
		return err
	})
	o.kept(before)
	o.sessions()
}

func testSharedUser(t *testing.T) {
	o := newOffice(t)
	mover := take(&o.helper) // from the group that both sync to one that Test alone syncs
	must(t, o.RemoveMember(o.support, mover))
	must(t, o.AddMember(o.finance, mover))
	moving := o.picture()
	for _, e := range []*environment{o.production, o.test, o.production} {
		o.complete(e)
		o.kept(moving)
	}
	o.repaired()
	shared := take(&o.both) // Production by both groups, Test by Support
	must(t, o.AddMember(o.finance, shared))
	o.repaired()
	must(t, o.RemoveMember(o.sales, shared))
	must(t, o.RemoveMember(o.support, shared)) // leaves Production alone: Test has Finance too
	before := o.picture()
	o.script(t, "/groups/"+o.finance+"/* body={\"value\":[]}")
	o.complete(o.production) // which may not take the access to Test
	o.kept(before)
	if all := o.picture(); all["Production"][shared] {
		t.Error("who left Production still has it")
	}
	before = o.picture()
	for _, e := range []*environment{o.test, o.reporting} {
		if r := o.sync(e); r.State == "complete" {
			t.Errorf("an empty list was believed:\n%s", r)
		}
		o.same(before)
	}
	o.over(t)
	o.repaired()
	if !o.signedIn(shared) {
		t.Error("the session of a person with an access left has ended")
	}

	// Disabled: a run of either takes both, and ends the session.
	must(t, o.Disable(shared))
	o.complete(o.test)
	if all := o.picture(); all["Test"][shared] || all["Reporting"][shared] || o.signedIn(shared) {
		t.Error("a disabled person still has access or a session")
	}
	o.repaired()
}

func testTwoGroups(t *testing.T) {
	o := newOffice(t)
	for _, id := range o.both {
		must(t, o.RemoveMember(o.sales, id))
		before := o.picture()
		o.complete(o.production)
		o.same(before)
		must(t, o.RemoveMember(o.support, id))
		must(t, o.AddMember(o.sales, id))
		o.complete(o.production)
		if !o.signedIn(id) || !o.accesses(o.production)[id] {
			t.Errorf("%s changed the group and lost the access", id)
		}
	}
	// The second group cannot be read: what the first one says alone takes nothing away.
	o.change()
	must(t, o.RemoveMember(o.sales, o.both[0]))
	must(t, o.AddMember(o.support, o.both[0]))
	o.script(t, "/groups/"+o.support+"/members status=500")
	o.fails(o.production, pull.Unavailable)
	o.over(t)
	o.repaired()
}

func testClockJump(t *testing.T) {
	o := newOffice(t)
	for _, d := range []time.Duration{-time.Hour, 24 * time.Hour, -24 * time.Hour} {
		o.change()
		late := take(&o.seller)
		before := o.picture()
		// While the list is read the clock jumps, and push writes what is later than the list.
		o.fault(t, entrasim.Fault{On: "members", Nth: 2, Do: func() {
			o.clock.jump(d)
			if _, err := o.push["nordwind"].OnDemand(o.ctx, late); err != nil {
				t.Error(err)
			}
			must(t, o.Update(late, func(u *entrasim.User) { u.DisplayName = "Later Than The List" }))
			if _, err := o.push["nordwind"].OnDemand(o.ctx, late); err != nil {
				t.Error(err)
			}
		}, Status: 503})
		r := o.sync(o.production)
		o.over(t)
		if r.State != "complete" {
			t.Errorf("the run in which the clock jumped %s:\n%s", d, r)
		}
		o.nameIs(late, "Later Than The List")
		// The next run on the wrong clock.
		if r := o.sync(o.test); r.State != "complete" {
			t.Errorf("the run after the clock jumped %s:\n%s", d, r)
		}
		o.clock.jump(-d)
		if d.Abs() > directory.SessionLife { // whatever the clock does, sessions never last longer: these are over
			for id := range o.sign {
				if o.signedIn(id) {
					t.Errorf("%s is signed in after the clock went %s ahead and back", id, d)
				}
			}
			clear(o.sign)
			o.signIn(1000)
		}
		o.kept(before)
		o.repaired()
	}
}

func (o *office) nameIs(id, want string) {
	o.world.Helper()
	o.view(func(sn *directory.Snapshot) error {
		if u := o.user(sn, "nordwind", id); u == nil || u.Name != want {
			o.world.Errorf("%s is called %v, want %q", id, u, want)
		}
		return nil
	})
}

// brittle is a store whose process is killed after so many transactions: from then on nothing is
// written, and what was is on disk.
type brittle struct {
	directory.Store

	mu   sync.Mutex
	left int // negative: as many as may be
	dead chan struct{}
}

func (b *brittle) Update(ctx context.Context, fn func(directory.Writer) error) error {
	b.mu.Lock()
	if b.left == 0 {
		b.left = -1
		close(b.dead)
	}
	b.left--
	b.mu.Unlock()
	select {
	case <-b.dead:
		return directory.ErrFailed
	default:
		return b.Store.Update(ctx, fn)
	}
}

func (b *brittle) Failed() <-chan struct{} { return b.dead }

func (b *brittle) killAfter(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = n
}

func testCrash(t *testing.T) {
	o := newOffice(t)
	for after := 1; after <= 25; after += 3 {
		o.change()
		before := o.picture()
		o.crash(after)
		// Everybody is either as before or as the rules say; nobody is in between.
		for _, e := range o.envs {
			now, want := o.accesses(e), e.rules()
			for id := range now {
				if !before[e.name][id] && !want[id] {
					t.Errorf("%s has got access to %s from nowhere", id, e.name)
				}
			}
		}
		o.kept(before)
		o.repaired()
		for _, run := range call(o.world, app.RunList, app.RunFilter{Environment: "Production"}).Items {
			if run.State == "running" {
				t.Errorf("a run of the process that was killed is still under way: %+v", run)
			}
		}
	}
}

// crash pulls Production on a store that dies after some transactions, and starts again.
func (o *office) crash(after int) {
	o.world.Helper()
	o.stop()
	inner, err := bolt.Open(filepath.Join(o.config.Data, "bizzscim.db"), bolt.Options{})
	must(o, err)
	b := &brittle{Store: inner, left: -1, dead: make(chan struct{})}
	o.options.Store = b
	o.start()
	b.killAfter(after)
	if run, err := o.press(app.SyncInput{Environment: "Production"}); err == nil {
		select {
		case <-b.dead:
		case <-o.log.end(run.ID): // all of it was done before
			b.killAfter(0)
			_, _ = o.press(app.SyncInput{Environment: "Production"})
			<-b.dead
		}
	}
	_ = errors.Join(o.client.Close(), o.server.Close(context.Background()))
	o.options.Store = nil
	o.start()
}

func testWrongTenant(t *testing.T) {
	o := newOffice(t)
	// A directory that is a copy of ours, as it was before anybody was hired, with its own people.
	dir := entrasim.New(entrasim.Options{Seed: 5, Domain: "lookalike.example"})
	for _, g := range []string{o.sales, o.support, o.finance} {
		must(t, dir.AddGroup(g, "Sales"))
		for range 15 {
			must(t, dir.AddMember(g, dir.Hire(entrasim.Person{}).ID))
		}
	}
	other := newEntra(t, dir)
	o.trust(other)
	login, base, id := other.graph.LoginURL(), other.graph.URL(), dir.ID()
	point := func(id, login, base string) {
		t.Helper()
		call(o.world, app.CredentialRemove, app.CredentialRef{Ref: "nordwind"}) // for another host it is entered again
		call(o.world, app.TenantSet, app.TenantChange{Ref: "nordwind", DirectoryID: &id, Graph: app.GraphChange{LoginURL: &login, GraphURL: &base}})
		call(o.world, app.CredentialSet, app.CredentialInput{Tenant: "nordwind", Secret: o.secret, Expires: "2099-01-01"})
	}
	other.graph.App(o.app.ClientID(), readEverything...).AddSecret(o.secret, time.Now().Add(time.Hour))

	o.change()
	before := o.picture()
	point(o.ID(), login, base) // another cloud: it does not know our tenant
	o.fails(o.production, pull.Authentication, "90002")
	point(id, login, base) // another tenant: everybody is absent, everybody is new
	for range 2 {
		r := o.sync(o.production)
		o.said(r)
		if r.State != "quarantined" || r.Counts.Applied != 0 || r.Counts.Deactivated != 0 || !strings.Contains(strings.Join(r.Reasons, " "), "changed since a plan was last applied: directory, URLs of the cloud") {
			t.Errorf("another tenant:\n%s", r)
		}
		o.same(before)
	}
	point(o.ID(), o.graph.LoginURL(), o.graph.URL())
	for _, e := range o.envs { // ours again, by a credential that was entered anew
		if r := o.sync(e); r.State == "quarantined" {
			o.allow(r)
		}
	}
	o.repaired()

	// Behind the same address and with the id of ours, but its people are others.
	o.change()
	before = o.picture()
	ours := map[string][]string{}
	for _, g := range []string{o.sales, o.support} {
		ours[g] = o.Members(g)
		var theirs []string
		for range 15 {
			theirs = append(theirs, o.Hire(entrasim.Person{}).ID)
		}
		must(t, o.SetMembers(g, theirs))
	}
	r := o.sync(o.production)
	o.said(r)
	if r.State != "quarantined" || r.Counts.Applied != 0 {
		t.Errorf("everybody is another:\n%s", r)
	}
	o.same(before)
	for g, members := range ours {
		must(t, o.SetMembers(g, members))
	}
	o.repaired()
}

// trust lets the server trust one more Graph.
func (w *world) trust(e *entra) {
	w.Helper()
	ca, err := os.ReadFile(w.config.CAFile)
	must(w, err)
	must(w, os.WriteFile(w.config.CAFile, append(ca, e.graph.CA()...), 0o600))
	w.restart()
}

func testPanic(t *testing.T) {
	o := newOffice(t)
	for _, challenge := range []string{"Bearer claims=abc", "Bearer claims=", `Bearer error="insufficient_claims", claims="%%%"`, "Bearer", `Negotiate, Bearer claims=,,=`} {
		o.change()
		for _, on := range []string{"group", "members#2"} {
			o.script(t, fmt.Sprintf("%s status=401 header=%q", on, "WWW-Authenticate: "+challenge))
			o.fails(o.production, pull.Authentication)
			o.over(t)
		}
		before := o.picture()
		o.script(t, fmt.Sprintf("batch status=401 header=%q", "WWW-Authenticate: "+challenge))
		r := o.sync(o.production)
		o.over(t)
		o.said(r)
		if r.State != "complete" || r.Counts.Waiting != 2 || r.Counts.Deactivated != 0 {
			t.Errorf("%s at the point reads:\n%s", challenge, r)
		}
		o.kept(before)
		o.repaired()
	}
}
