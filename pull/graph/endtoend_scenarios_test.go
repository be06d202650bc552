package graph_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/entrasim"
	"github.com/bizzstream/bizzscim/pull"
)

// TestScenarios are the lives that push and pull lead beside each other.
func TestScenarios(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"push stops and comes back":         testPushStops,
		"a customer that only pulls":        testPullOnly,
		"push with the default mapping":     testDefaultMapping,
		"guests":                            testGuests,
		"nested groups":                     testNested,
		"quarantine, allow and discard":     testQuarantine,
		"a group without members":           testNoMembers,
		"preview":                           testPreview,
		"changed settings":                  testSettings,
		"protected account":                 testProtected,
		"push in the middle of a pull":      testPushInTheMiddle,
		"what push took away stays away":    testTakenByPush,
		"certificate":                       testCertificate,
		"workload identity federation":      testFederated,
		"the test of a credential":          testCredentialTest,
		"periodically":                      testPeriodically,
		"cancelled, and settings meanwhile": testCancel,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// testPushStops lets push stop while people come and go, the pull repair it, and push come back.
func testPushStops(t *testing.T) {
	o := newOffice(t)
	o.figures(1000)
	for round := range 4 {
		pushed := map[string]map[string]bool{} // by the rules, when push was last there
		for _, e := range o.envs {
			pushed[e.name] = e.rules()
		}
		known := map[string]bool{}
		for _, u := range o.Snapshot().Users {
			known[u.ID] = true
		}
		before := o.picture()
		for _, what := range o.RandomChange(12) {
			t.Log(what)
		}
		o.change()
		for _, e := range o.envs {
			r := o.complete(e)
			o.said(r)
			now, want := o.accesses(e), e.rules()
			for id := range now {
				if !want[id] {
					t.Errorf("round %d: %s has access to %s, and should not", round, id, e.name)
				}
			}
			for id := range want {
				if now[id] {
					continue
				}
				// A guest is push's business alone, and so is whom push made inactive or took out of the group.
				person, _ := o.User(id)
				item := r.of(id)
				guest := person.UserType == entrasim.Guest && !before[e.name][id]
				withheld := known[id] && !pushed[e.name][id] && item != nil && strings.Contains(item.Detail, "push")
				if !guest && !withheld {
					t.Errorf("round %d: %s has no access to %s, and should have:\n%s", round, id, e.name, r)
				}
			}
		}
		o.kept(before)
		o.sessions()
		o.settled()

		o.cycle("nordwind")
		for _, e := range o.envs {
			o.complete(e) // which sees who push has just told it of, in nested groups
		}
		o.check()
		o.settled()
		o.signIn(1000)
		if s := o.cycle("nordwind"); s.Writes() > 0 {
			t.Errorf("round %d: push does not come to rest beside the pull:\n%s", round, s)
		}
	}
}

// figures sets the figures of all environments at which a run stops.
func (w *world) figures(count int) {
	w.Helper()
	for _, e := range w.envs {
		call(w, app.EnvironmentIntegrate, app.IntegrationInput{Environment: e.name, Stops: app.StopsChange{RunCount: &count, DayCount: &count}})
	}
}

// pulledOffice is an office that never pushed.
func pulledOffice(t *testing.T) *office {
	t.Helper()
	o := newDirectory(t, 2)
	o.connect(newWorld(t, o.entra))
	for _, e := range o.envs {
		e.pushed = false
	}
	for _, e := range o.envs {
		if r := o.sync(e); r.State != "quarantined" || r.Counts.Applied != 0 || !strings.Contains(strings.Join(r.Reasons, " "), "first plan") {
			t.Fatalf("a first plan that is not held:\n%s", r)
		}
	}
	o.welcome()
	return o
}

func testPullOnly(t *testing.T) {
	o := pulledOffice(t)
	o.figures(1000)
	for range 5 {
		before := o.picture()
		for _, what := range o.RandomChange(12) {
			t.Log(what)
		}
		o.change()
		for _, e := range o.envs {
			r := o.complete(e)
			o.said(r)
			if r.Counts.Withheld > 0 || !r.PushSilent {
				t.Errorf("without push nothing is push's:\n%s", r)
			}
		}
		o.check() // who comes back, the pull brings back: nobody else took anything away
		o.kept(before)
		o.sessions()
		o.settled()
		o.signIn(1000)
	}
	// Push is set up at last. It finds everybody.
	users := o.users("nordwind")
	for _, e := range o.envs {
		e.pushed = true
	}
	o.pushes("nordwind", o.entra, nil)
	s := o.cycle("nordwind")
	if s.Users.Linked == 0 {
		t.Errorf("push found nobody:\n%s", s)
	}
	outside := o.users("nordwind") - users // who are in no synced group
	if outside != int64(s.Users.Created) {
		t.Errorf("%d users more, %d created", outside, s.Users.Created)
	}
	for _, e := range o.envs {
		o.complete(e)
	}
	o.check()
	o.sessions()
	o.settled()
}

func testDefaultMapping(t *testing.T) {
	o := newDirectory(t, 1)
	o.connect(newWorld(t, o.entra))
	o.pushes("nordwind", o.entra, func(p *entrasim.ProvisionerOptions) { p.ObjectIDAsExternalID = false })
	o.cycle("nordwind")
	users := o.users("nordwind")
	for _, e := range o.envs {
		for id := range o.accesses(e) {
			if !strings.HasPrefix(id, "no object id") {
				t.Fatalf("the default mapping told the object id %s", id)
			}
		}
	}
	// Somebody leaves before the pull has ever seen who is who: nobody can tell, and nothing is taken.
	stranger := take(&o.helper)
	must(t, o.RemoveMember(o.support, stranger))
	for _, e := range o.envs {
		r := o.accept(e)
		if e.transitive {
			continue
		}
		item := slices.IndexFunc(r.items, func(i app.PlanItem) bool {
			return i.Outcome == "withheld" && strings.Contains(i.Detail, "objectId to externalId")
		})
		if item < 0 || r.Counts.Deactivated != 0 {
			t.Errorf("a leaver whose object id is not known in %s:\n%s", e.name, r)
		}
	}
	if n := o.users("nordwind"); n != users {
		t.Errorf("%d users, %d before the first pull", n, users)
	}
	o.cycle("nordwind")
	o.check() // and by now everybody has an object id
	o.settled()
	o.signIn(1000)

	o.change()
	o.repaired()
	o.cycle("nordwind") // resumes, and gives its own externalId to whom the pull provisioned
	for _, e := range o.envs {
		o.complete(e)
	}
	o.check()
	o.settled()
	o.sessions()
}

func testGuests(t *testing.T) {
	o := pulledOffice(t)
	guest := o.hire(t, entrasim.Person{HomeDomain: "partner.example"}, o.sales)
	if r := o.complete(o.production); r.of(guest) != nil || !strings.Contains(strings.Join(r.Notes, " "), "2 guests") {
		t.Errorf("a guest of an environment without guests:\n%s", r)
	}
	o.check()
	yes := true
	o.production.guests = true
	call(o.world, app.EnvironmentIntegrate, app.IntegrationInput{Environment: "Production", Guests: &yes})
	r := o.sync(o.production)
	if r.State != "quarantined" || r.Counts.Create != 2 || !strings.Contains(strings.Join(r.Reasons, " "), "guests") {
		t.Errorf("guests are let in:\n%s", r)
	}
	o.allow(r)
	o.check()
	if item := o.show(r.ID).of(guest); item == nil || strings.Contains(item.UserName, "#EXT#") {
		t.Errorf("the name of a guest: %+v", item)
	}
	// Let in, and then no more: what they have stays, but a disabled one goes.
	no := false
	call(o.world, app.EnvironmentIntegrate, app.IntegrationInput{Environment: "Production", Guests: &no})
	o.accept(o.production)
	if !o.accesses(o.production)[guest] {
		t.Error("a guest lost the access by a setting that is about new ones")
	}
	must(t, o.Disable(guest))
	o.complete(o.production)
	if o.accesses(o.production)[guest] {
		t.Error("a disabled guest has access")
	}
}

func testNested(t *testing.T) {
	o := newOffice(t)
	deep := o.CreateGroup("Deep").ID
	must(t, o.AddMember(o.contractors, deep))
	diver := o.hire(t, entrasim.Person{}, deep)
	guest := o.hire(t, entrasim.Person{HomeDomain: "partner.example"}, deep)
	o.repaired()
	if all := o.picture(); !all["Reporting"][diver] || all["Reporting"][guest] || all["Test"][diver] {
		t.Errorf("three levels deep: %v", all)
	}
	o.cycle("nordwind") // which knows nothing of nested groups, and takes nothing away
	o.repaired()
	// From nested to direct and back: no gap.
	must(t, o.AddMember(o.finance, diver))
	must(t, o.RemoveMember(deep, diver))
	o.repaired()
	if !o.accesses(o.test)[diver] || !o.signedIn(diver) {
		t.Error("who became a direct member has no access, or lost the session")
	}
	must(t, o.AddMember(o.contractors, diver))
	must(t, o.RemoveMember(o.finance, diver))
	o.complete(o.test) // in a group within the group: a point read cannot tell the two apart, a second read can
	o.complete(o.reporting)
	o.clock.jump(10 * time.Minute)
	o.repaired()
	if all := o.picture(); !all["Reporting"][diver] || all["Test"][diver] || !o.signedIn(diver) {
		t.Errorf("who became a nested member: %t %t", all["Reporting"][diver], all["Test"][diver])
	}
	// The inner group goes, and with it everybody who was in Finance through it.
	must(t, o.RemoveMember(o.finance, o.contractors))
	o.repaired()
	for _, id := range append(o.external, diver) {
		if o.accesses(o.reporting)[id] || o.signedIn(id) {
			t.Errorf("%s still has access through a group that is gone, or a session", id)
		}
	}
}

func testQuarantine(t *testing.T) {
	o := newOffice(t)
	leave := func(n int) (ids []string) {
		for range n {
			ids = append(ids, take(&o.helper))
			must(t, o.RemoveMember(o.support, ids[len(ids)-1]))
		}
		return ids
	}
	before := o.picture()
	left := leave(11)
	o.change() // one leaves, too; the others are usual
	newcomer := o.Snapshot().Users[len(o.Snapshot().Users)-1].ID
	r := o.sync(o.production)
	o.said(r)
	if r.State != "quarantined" || r.Counts.Held != 13 || r.Counts.Deactivated != 0 || r.Counts.Applied == 0 {
		t.Errorf("13 of 36 leave:\n%s", r)
	}
	if !o.accesses(o.production)[newcomer] {
		t.Error("a quarantine held a newcomer, who waits for nobody")
	}
	o.kept(before)
	for _, id := range left {
		if !o.accesses(o.production)[id] || !o.signedIn(id) {
			t.Errorf("%s was deactivated before anybody allowed it", id)
		}
	}
	if s := o.status(o.production); s.State != "quarantined" || s.Quarantined != r.ID {
		t.Errorf("status %+v", s)
	}

	// Discarded: the next run asks again.
	refused(o.world, app.RunAllow, app.RunDecision{Ref: r.ID, Hash: "0" + r.Hash[1:] + "0", Reason: "because"}, "invalid", "hash")
	call(o.world, app.RunDiscard, app.RunDecision{Ref: r.ID, Reason: "not now"})
	refused(o.world, app.RunAllow, app.RunDecision{Ref: r.ID, Hash: r.Hash, Reason: "because"}, "conflict", "")
	again := o.sync(o.production)
	if again.State != "quarantined" || again.Hash != r.Hash || again.ID == r.ID {
		t.Errorf("the run after the one that was discarded:\n%s", again)
	}
	// The same once more: the first goes on waiting. Another plan takes its place.
	if same := o.sync(o.production); same.PlanOf != again.ID || len(same.items) > 0 {
		t.Errorf("the same plan:\n%s", same)
	}
	leave(1)
	other := o.sync(o.production)
	if other.State != "quarantined" || other.Hash == again.Hash || o.show(again.ID).State != "superseded" {
		t.Errorf("another plan:\n%s", other)
	}
	o.kept(before)
	// Allowed: exactly that goes, and it does not count as an accident.
	done := o.allow(other)
	if done.State != "complete" || done.Counts.Deactivated != 14 || done.Counts.Approved < 14 || len(done.Deactivated) != 0 || done.Approval == nil || done.Approval.Reason != "looked at it" {
		t.Errorf("allowed:\n%s", done)
	}
	o.complete(o.test)
	o.repaired()

	// Hold: a quarantined run applies nothing at all.
	yes := true
	call(o.world, app.EnvironmentIntegrate, app.IntegrationInput{Environment: "Production", Hold: &yes})
	must(t, o.SetMembers(o.sales, o.Members(o.sales)[:3]))
	picture := o.picture()
	late := o.hire(t, entrasim.Person{}, o.sales)
	r = o.sync(o.production)
	if r.State != "quarantined" || r.Counts.Applied != 0 {
		t.Errorf("hold:\n%s", r)
	}
	o.same(picture)
	o.allow(r)
	o.repaired()
	if !o.accesses(o.production)[late] {
		t.Error("a newcomer of a plan that was held and allowed has no access")
	}
}

func (w *world) status(e *environment) app.PullStatusOf {
	w.Helper()
	for _, s := range call(w, app.PullStatus, app.None{}).Environments {
		if s.Environment.Name == e.name {
			return s
		}
	}
	w.Fatalf("no status of %s", e.name)
	return app.PullStatusOf{}
}

func testNoMembers(t *testing.T) {
	o := newOffice(t)
	members := o.Members(o.support)
	must(t, o.SetMembers(o.support, nil))
	for _, id := range o.helper[3:] { // whom it could take without any figure being reached
		must(t, o.AddMember(o.sales, id))
	}
	before := o.picture()
	r := o.sync(o.production)
	if r.State != "quarantined" || r.Counts.Deactivated != 0 || !strings.Contains(strings.Join(r.Reasons, " "), "has no members any more") {
		t.Errorf("a group without members:\n%s", r)
	}
	o.kept(before)
	for _, id := range o.helper[:3] {
		if !o.signedIn(id) {
			t.Errorf("%s lost the session", id)
		}
	}
	must(t, o.SetMembers(o.support, members))
	o.repaired()
}

func testPreview(t *testing.T) {
	o := newOffice(t)
	o.change()
	before, lines := o.picture(), o.lines()
	r := o.preview(o.production)
	if r.State != "preview" || r.Drift == 0 || r.Counts.Held != r.Drift || r.Counts.Applied != 0 || r.Counts.Create != 1 || r.Counts.Revoke+r.Counts.Deactivate != 2 {
		t.Errorf("a preview:\n%s", r)
	}
	o.same(before)
	if n := o.lines(); n != lines {
		t.Errorf("a preview wrote %d lines to the provisioning log", n-lines)
	}
	if s := o.status(o.production); s.State == "quarantined" {
		t.Errorf("a preview waits for a decision: %+v", s)
	}
	refused(o.world, app.RunAllow, app.RunDecision{Ref: r.ID, Hash: "0", Reason: "because"}, "conflict", "")
	o.repaired()
}

// lines counts the lines of the provisioning log.
func (o *office) lines() (n int) {
	o.world.Helper()
	o.view(func(sn *directory.Snapshot) error {
		return sn.Log(o.tenants["nordwind"], 0, false, func(*directory.LogEvent) bool {
			n++
			return true
		})
	})
	return n
}

func testSettings(t *testing.T) {
	o := newOffice(t)
	before := o.picture()
	held := func(e *environment, says string) {
		t.Helper()
		r := o.sync(e)
		o.said(r)
		if r.State != "quarantined" || r.Counts.Applied != 0 || !strings.Contains(strings.Join(r.Reasons, "\n"), "changed since a plan was last applied: "+says) {
			t.Errorf("changed %s:\n%s", says, r)
		}
		o.kept(before)
		if r = o.allow(r); r.State != "complete" {
			t.Errorf("allowed:\n%s", r)
		}
	}
	newcomer := func() { o.hire(t, entrasim.Person{}, o.finance) }

	newcomer()
	groups := append(slices.Clone(o.production.groups), o.contractors)
	o.production.groups = groups
	call(o.world, app.EnvironmentIntegrate, app.IntegrationInput{Environment: "Production", Groups: &groups})
	o.hire(t, entrasim.Person{}, o.contractors)
	held(o.production, "Groups to Sync")

	newcomer()
	o.secret = o.app.NewSecret(time.Now().Add(time.Hour))
	o.hidden = append(o.hidden, o.secret)
	call(o.world, app.CredentialSet, app.CredentialInput{Tenant: "nordwind", Secret: o.secret, Expires: "2099-01-01"})
	held(o.test, "credential")

	newcomer()
	yes := true
	o.test.transitive = true
	call(o.world, app.EnvironmentIntegrate, app.IntegrationInput{Environment: "Test", Transitive: &yes})
	held(o.test, "counting of nested groups")

	newcomer()
	mail := "mail"
	call(o.world, app.TenantSet, app.TenantChange{Ref: "nordwind", Graph: app.GraphChange{UserName: &mail}})
	held(o.test, "source of the userName")
	upn := "userPrincipalName"
	call(o.world, app.TenantSet, app.TenantChange{Ref: "nordwind", Graph: app.GraphChange{UserName: &upn}})
	// Nothing to do: the settings are accepted as they are.
	for _, e := range o.envs {
		o.accept(e)
	}
	o.repaired()
}

func testProtected(t *testing.T) {
	o := newOffice(t)
	leaver, disabled := take(&o.helper), take(&o.seller)
	for _, id := range []string{leaver, disabled} {
		call(o.world, app.AccountProtect, app.Protection{UserRef: app.UserRef{Ref: o.account("nordwind", id).String()}, Protected: true})
	}
	must(t, o.RemoveMember(o.support, leaver))
	must(t, o.Disable(disabled))
	before := o.picture()
	for _, e := range o.envs {
		r := o.complete(e)
		for _, id := range []string{leaver, disabled} {
			if item := r.of(id); before[e.name][id] && (item == nil || item.Outcome != "withheld" || !strings.Contains(item.Detail, "protected")) {
				t.Errorf("a protected account of %s: %+v", e.name, item)
			}
		}
	}
	o.same(before)
	for _, id := range []string{leaver, disabled} {
		call(o.world, app.AccountProtect, app.Protection{UserRef: app.UserRef{Ref: o.account("nordwind", id).String()}})
	}
	o.repaired()
}

// testPushInTheMiddle lets push write what is newer than what the pull has read.
func testPushInTheMiddle(t *testing.T) {
	o := newOffice(t)
	renamed, disabled, joined := o.seller[0], o.seller[1], o.helper[0]
	returning := o.seller[2]
	must(t, o.Disable(returning))
	o.cycle("nordwind")
	o.complete(o.production)
	o.sessions()
	provision := func(ids ...string) {
		for _, id := range ids {
			if _, err := o.push["nordwind"].OnDemand(o.ctx, id); err != nil {
				t.Error(err)
			}
		}
	}
	o.graph.HoldIndex() // the list stays as it is now, with somebody disabled
	o.fault(t, entrasim.Fault{On: "members", Nth: 2, Times: 1, Do: func() {
		must(t, o.Update(renamed, func(u *entrasim.User) { u.DisplayName = "Newer" }))
		must(t, o.Disable(disabled))
		must(t, o.Enable(returning))
		must(t, o.AddMember(o.sales, joined))
		provision(renamed, disabled, returning)
		if _, err := o.push["nordwind"].OnDemand(o.ctx, o.sales, joined); err != nil {
			t.Error(err)
		}
	}, Status: 503})
	r := o.complete(o.production)
	o.over(t)
	o.said(r)
	if r.Counts.Skipped != 3 || r.Counts.Withheld != 1 || r.Counts.Applied != 0 {
		t.Errorf("push changed four people while the list was read:\n%s", r)
	}
	o.nameIs(renamed, "Newer")
	now := o.accesses(o.production)
	if now[disabled] || !now[returning] || !o.member(o.sales, joined) {
		t.Errorf("what push did was overwritten: %t %t %t", now[disabled], now[returning], o.member(o.sales, joined))
	}
	// The index is still behind in the next run, and push does nothing now: point reads know better.
	r = o.complete(o.production)
	now = o.accesses(o.production)
	if now[disabled] || !now[returning] || !now[joined] {
		t.Errorf("a list that is behind was believed:\n%s", r)
	}
	o.graph.ReleaseIndex()
	o.signIn(1000)
	o.repaired()
}

// member reports whether the server has a person in a group.
func (o *office) member(group, id string) (is bool) {
	o.world.Helper()
	o.view(func(sn *directory.Snapshot) error {
		ids, err := sn.GroupsByExternalID(o.tenants["nordwind"], group)
		if err != nil || len(ids) == 0 {
			return err
		}
		is, err = sn.IsMember(o.tenants["nordwind"], ids[0], o.user(sn, "nordwind", id).ID)
		return err
	})
	return is
}

func testTakenByPush(t *testing.T) {
	o := newOffice(t)
	disabled, removed, deleted := take(&o.seller), take(&o.helper), take(&o.banker)
	target := func(id string) string {
		t.Helper()
		target, ok := o.push["nordwind"].TargetID(id)
		if !ok {
			t.Fatalf("push does not know %s", id)
		}
		return target
	}
	o.patch("nordwind", "/Users/"+target(disabled), `{"op":"replace","path":"active","value":false}`)
	o.patch("nordwind", "/Groups/"+target(o.support), `{"op":"remove","path":"members[value eq \"`+target(removed)+`\"]"}`)
	id, _ := directory.ParseID(target(deleted))
	must(t, o.service().DeleteUser(o.ctx, directory.Actor{Role: directory.RoleDirectory, Channel: "scim"}, o.tenants["nordwind"], id, nil))
	for _, who := range []string{disabled, removed, deleted} {
		if o.signedIn(who) {
			t.Errorf("push took the access of %s, and the session goes on", who)
		}
		delete(o.sign, who)
	}
	for range 2 {
		r := o.complete(o.production)
		for _, who := range []string{disabled, removed} {
			if item := r.of(who); item == nil || item.Outcome != "withheld" || !strings.Contains(item.Detail, "push") {
				t.Errorf("what push took away:\n%s", r)
			}
			if o.accesses(o.production)[who] {
				t.Errorf("the pull gave %s back what push took away", who)
			}
		}
	}
	// Whom push has deleted the directory still has: provisioned again, on the account that is there.
	r := o.complete(o.test)
	if item := r.of(deleted); item == nil || item.Kind != "re-attach" || item.Outcome != "applied" || !strings.Contains(item.Evidence, "point read") {
		t.Errorf("whom push deleted:\n%s", r)
	}
	o.complete(o.reporting)

	// An operator wants it back, and looks at the plan first.
	restore := o.wait(o.begin(app.SyncInput{Environment: "Production", Restore: true}))
	if restore.State != "quarantined" || !restore.Restore || restore.Counts.Applied != 0 || !strings.Contains(strings.Join(restore.Reasons, " "), "brings back what push took away") {
		t.Errorf("restore:\n%s", restore)
	}
	if o.accesses(o.production)[disabled] {
		t.Error("restore did not wait for anybody")
	}
	if done := o.allow(restore); done.State != "complete" || !done.Restore || done.Counts.Reactivate != 2 {
		t.Errorf("restore, allowed:\n%s", done)
	}
	o.complete(o.test)
	o.check()
	o.settled()
	o.signIn(1000)
	o.repaired()
}

// newCertificate makes an RSA key with a certificate of its own.
func newCertificate(t *testing.T) (*rsa.PrivateKey, *x509.Certificate, string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "bizzscim"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	certificate, err := x509.ParseCertificate(der)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return key, certificate, string(append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...))
}

func testCertificate(t *testing.T) {
	o := newOffice(t)
	_, certificate, text := newCertificate(t)
	o.hidden = append(o.hidden, strings.Split(text, "\n")[len(strings.Split(text, "\n"))-5]) // a line of the key
	must(t, o.app.AddCertificate(certificate))
	o.app.RemoveSecret(o.secret)
	call(o.world, app.CredentialSet, app.CredentialInput{Tenant: "nordwind", Certificate: text})
	if report := call(o.world, app.CredentialTest, app.RefInput{Ref: "nordwind"}); !report.OK || report.Credential.Kind != "certificate" {
		t.Errorf("report %+v", report)
	}
	for _, e := range o.envs {
		o.complete(e) // nothing differs: another credential is no reason to hold anything
	}
	o.change()
	o.repaired()
	o.app.RemoveCertificates()
	o.change()
	o.fails(o.production, pull.Authentication, "AADSTS700027")
	must(t, o.app.AddCertificate(certificate))
	o.repaired()
}

func testFederated(t *testing.T) {
	o := newOffice(t)
	key, _, _ := newCertificate(t)
	issuer, subject := "https://issuer.example/", "system:serviceaccount:bizz:scim"
	must(t, o.app.AddFederated(entrasim.FederatedCredential{Issuer: issuer, Subject: subject, Keys: map[string]*rsa.PublicKey{"k1": &key.PublicKey}}))
	o.app.RemoveSecret(o.secret)
	file := filepath.Join(t.TempDir(), "token")
	write := func(life time.Duration) {
		t.Helper()
		enc := base64.RawURLEncoding.EncodeToString
		body := fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":"api://AzureADTokenExchange","jti":"%d","nbf":%d,"exp":%d}`,
			issuer, subject, time.Now().UnixNano(), time.Now().Add(-time.Hour).Unix(), time.Now().Add(life).Unix())
		signed := enc([]byte(`{"alg":"RS256","kid":"k1","typ":"JWT"}`)) + "." + enc([]byte(body))
		digest := sha256.Sum256([]byte(signed))
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		must(t, err)
		must(t, os.WriteFile(file, []byte(signed+"."+enc(signature)), 0o600))
		o.hidden = append(o.hidden, enc(signature))
	}
	write(time.Hour)
	call(o.world, app.CredentialSet, app.CredentialInput{Tenant: "nordwind", TokenFile: file})
	for _, e := range o.envs {
		write(time.Hour) // is read anew each time
		o.complete(e)
	}
	o.change()
	write(-time.Hour)
	o.fails(o.production, pull.Authentication, "AADSTS")
	must(t, os.Remove(file))
	o.fails(o.production, pull.Configuration, "")
	for _, e := range o.envs {
		write(time.Hour)
		o.complete(e)
	}
	o.check()
	o.sessions()
}

func testCredentialTest(t *testing.T) {
	o := newOffice(t)
	report := func() (ok bool, errors string) {
		t.Helper()
		r := call(o.world, app.CredentialTest, app.RefInput{Ref: "nordwind"})
		for _, c := range r.Checks {
			errors += c.Error + "\n"
		}
		return r.OK, errors
	}
	if ok, errors := report(); !ok {
		t.Errorf("a good credential: %s", errors)
	}
	for _, permission := range readEverything {
		o.app.Revoke(permission)
		if ok, errors := report(); ok || !strings.Contains(errors, permission) {
			t.Errorf("without %s: %t %s", permission, ok, errors)
		}
		o.app.Grant(permission)
	}
	o.app.RemoveSecret(o.secret)
	if ok, errors := report(); ok || !strings.Contains(errors, "secret") || strings.Contains(errors, o.secret) {
		t.Errorf("with a wrong secret: %t %s", ok, errors)
	}
	o.same(o.picture())
}

func testCancel(t *testing.T) {
	o := newOffice(t)
	in := app.SyncInput{Environment: "Production"}
	during := func(fn func(run app.Run)) *result {
		t.Helper()
		slow, going := make(chan struct{}), make(chan struct{})
		o.fault(t, entrasim.Fault{On: "members", Nth: 2, Times: 1, Do: func() { close(going); <-slow }, Status: 503})
		run := o.begin(in)
		<-going
		fn(run)
		close(slow)
		r := o.wait(run)
		o.over(t)
		return r
	}
	o.change()
	before := o.picture()
	if r := during(func(run app.Run) { call(o.world, app.RunCancel, app.RefInput{Ref: run.ID}) }); r.State != "cancelled" || r.Counts.Applied != 0 {
		t.Errorf("cancelled:\n%s", r)
	}
	o.same(before)
	// The settings change while the list is read: the plan would be for others.
	guests := true
	if r := during(func(app.Run) {
		call(o.world, app.EnvironmentIntegrate, app.IntegrationInput{Environment: "Production", Guests: &guests})
	}); r.State != "failed" || r.Counts.Applied != 0 || r.Error == nil || !strings.Contains(r.Error.Detail, "settings") {
		t.Errorf("other settings:\n%s", r)
	}
	o.same(before)
	guests = false
	call(o.world, app.EnvironmentIntegrate, app.IntegrationInput{Environment: "Production", Guests: &guests})
	// The server stops: the run is interrupted, and what it was to do comes later.
	slow, going := make(chan struct{}), make(chan struct{})
	o.fault(t, entrasim.Fault{On: "members", Nth: 2, Times: 1, Do: func() { close(going); <-slow }, Status: 503})
	run := o.begin(in)
	<-going
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		o.stop()
	}()
	<-stopped
	close(slow)
	o.start()
	o.over(t)
	if r := o.show(run.ID); r.State != "interrupted" {
		t.Errorf("the server stopped:\n%s", r)
	}
	o.same(before)
	o.repaired()
}

// testPeriodically lets the schedule do it: nobody presses Sync.
func testPeriodically(t *testing.T) {
	o := newDirectory(t, 1)
	o.connect(newWorldOf(t, app.PullConfig{Interval: time.Second, Deadline: 900 * time.Millisecond}, o.entra))
	o.pushes("nordwind", o.entra, nil)
	o.cycle("nordwind")
	o.welcome()
	o.change()
	before := o.picture()
	yes := true
	for _, e := range o.envs {
		call(o.world, app.EnvironmentIntegrate, app.IntegrationInput{Environment: e.name, Periodic: &yes})
	}
	o.restart() // a server that runs looks once a minute whether there is something new to do
	for late := time.After(30 * time.Second); ; {
		select {
		case <-o.log.any:
		case <-late:
			t.Fatal("the schedule does not run")
		}
		done := 0
		for _, e := range o.envs {
			newest := call(o.world, app.RunList, app.RunFilter{Environment: e.name}).Items[0]
			if newest.Trigger == "schedule" && newest.By == "" && newest.State == "complete" && cmp.Equal(o.accesses(e), e.rules()) {
				done++
			}
		}
		if done == len(o.envs) {
			break
		}
	}
	o.kept(before)
	o.sessions()
	no := false
	for _, e := range o.envs {
		call(o.world, app.EnvironmentIntegrate, app.IntegrationInput{Environment: e.name, Periodic: &no})
	}
	o.check()
}
