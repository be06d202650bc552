package directory_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
)

// repairScene is a scene whose store tries every change in vain first: whatever a repair does must
// be right the second time too.
type repairScene struct {
	*scene
	run *directory.Run // of production
}

func newRepairScene(t *testing.T) *repairScene {
	s := &repairScene{scene: newScene(t)}
	s.run = s.startRun(s.production)
	s.store.twice = true
	return s
}

// told is what a change left for others to read.
type told struct {
	Log    []*directory.LogEvent
	Events []*directory.OutboxEvent
}

// telling returns the lines of fjord's log and the events that fn made, without numbers and times.
func (s *scene) telling(fn func()) told {
	s.Helper()
	line, event := uint64(0), uint64(0)
	if e := s.lastLog(s.fjord); e != nil {
		line = e.Sequence
	}
	if all := s.outbox(); len(all) > 0 {
		event = all[len(all)-1].Sequence
	}
	fn()
	return view(s.world, func(sn *directory.Snapshot) (got told, err error) {
		err = errors.Join(
			sn.Log(s.fjord, line, false, func(e *directory.LogEvent) bool {
				e.Sequence, e.Time = 0, time.Time{}
				got.Log = append(got.Log, e)
				return true
			}),
			sn.Outbox(event, func(e *directory.OutboxEvent) bool {
				e.Sequence, e.Time, e.First = 0, time.Time{}, e.First-min(e.First, event) // first as counted from here
				got.Events = append(got.Events, e)
				return true
			}))
		return got, err
	})
}

func wantSame(t tb, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func granted(env, account, user directory.ID, effect string) directory.AccessEffect {
	return directory.AccessEffect{EnvironmentID: env, AccountID: account, UserID: user, Effect: effect}
}

// A new person of several groups gets access wherever one of them is synced, and all that others
// read of it names the run.
func TestRepairProvisions(t *testing.T) {
	t.Parallel()
	s := newRepairScene(t)
	s.integrate(s.test, s.fjord, s.crewID)
	repair := s.planNew(person("bo", 2), s.pilots, s.crew)
	repair.Item.Changes = []directory.Change{{Name: "userName", New: json.RawMessage(`"bo@fjord.example"`)}}
	given, people := repair.Item, []directory.Repair{repair}
	var items []directory.PlanItem
	got := s.telling(func() { items = must(s.svc.Repair(s.ctx, s.scopeOf(s.run), people)) })
	wantSame(t, "the caller's item", people[0].Item, given)
	u := s.user(&directory.User{TenantID: s.fjord, ID: items[0].UserID})
	if u.UserName != "bo@fjord.example" || u.ObjectID != objectID(2) || u.Version != 1 || !s.isMember(s.pilots, u) || !s.isMember(s.crew, u) {
		t.Errorf("user: %+v", u)
	}
	accesses := []directory.AccessEffect{granted(s.production, u.AccountID, u.ID, directory.Granted), granted(s.test, u.AccountID, u.ID, directory.Granted)}
	by := directory.Actor{Role: directory.RoleDirectory, Channel: "pull", ID: "schedule", RunID: s.run.ID}
	wantSame(t, "told", got, told{
		Log: []*directory.LogEvent{{TenantID: s.fjord, Actor: by, Action: directory.ActionCreate, TargetType: "User", TargetID: u.ID.String(), TargetName: u.UserName,
			ExternalID: u.ExternalID, Status: directory.Success, Reason: given.Reason, Changes: given.Changes, Accesses: accesses}},
		Events: []*directory.OutboxEvent{
			{Type: "user.created", TenantID: s.fjord, UserID: u.ID, AccountID: u.AccountID, RunID: s.run.ID, Active: new(true), Accesses: accesses,
				Attributes: []string{"Active", "Email", "Emails", "ExternalID", "Language", "Locale", "Name", "UserName"}, Version: 1, ExternalID: u.ExternalID},
			{Type: "group.updated", TenantID: s.fjord, GroupID: s.pilots.ID, RunID: s.run.ID, Added: []directory.ID{u.ID},
				Method: directory.UpdatePatch, Attributes: []string{"members"}, Version: s.pilots.Version + 1, ExternalID: s.pilots.ExternalID, First: 1},
			{Type: "group.updated", TenantID: s.fjord, GroupID: s.crew.ID, RunID: s.run.ID, Added: []directory.ID{u.ID},
				Method: directory.UpdatePatch, Attributes: []string{"members"}, Version: s.crew.Version + 1, ExternalID: s.crew.ExternalID, First: 1},
		}})
	want := given
	want.UserID, want.Outcome, want.Accesses = u.ID, directory.OutcomeApplied, accesses
	wantSame(t, "item", items, []directory.PlanItem{want})
	wantSame(t, "kept items", s.items(s.run), map[uint64]directory.PlanItem{want.Number: want})
	if a := s.access(u.AccountID, s.production); !slices.Equal(a.Menus, []string{"sales", "stock"}) || a.Name != u.Name {
		t.Errorf("access: %+v", a)
	}
	if p, c := s.group(s.pilots), s.group(s.crew); p.Version != s.pilots.Version+1 || c.Version != s.crew.Version+1 {
		t.Errorf("groups: %+v, %+v", p, c)
	}
	checkInvariants(s.world)
}

// The object id comes from the repair, whatever externalId is mapped to; where the repair has none,
// from the externalId. No pull gives a user another one: that would be another person.
func TestRepairRemembersObjectID(t *testing.T) {
	t.Parallel()
	s := newRepairScene(t)
	p := person("bo", 2)
	p.ExternalID = "bo"
	r := s.planNew(p, s.pilots)
	r.ObjectID = objectID(2)
	bo := s.user(&directory.User{TenantID: s.fjord, ID: s.repair(s.run, r)[0].UserID})
	if bo.ObjectID != objectID(2) || bo.ExternalID != "bo" {
		t.Errorf("user: %+v", bo)
	}
	r = s.planNew(person("eve", 3), s.pilots)
	r.ObjectID = directory.ID{}
	eve := s.user(&directory.User{TenantID: s.fjord, ID: s.repair(s.run, r)[0].UserID})
	if eve.ObjectID != objectID(3) {
		t.Errorf("user: %+v", eve)
	}
	session := s.signIn(eve.AccountID)
	r = s.planUpdate(eve, func(p *directory.Profile) { p.ExternalID = object(4) })
	r.ObjectID = directory.ID{}
	s.repair(s.run, r)
	if eve = s.user(eve); eve.ObjectID != objectID(3) || eve.ExternalID != object(4) {
		t.Errorf("user: %+v", eve)
	}
	s.unchanged(func() {
		for _, r := range []directory.Repair{s.planUpdate(eve, func(p *directory.Profile) { p.ExternalID = object(5) }), s.plan(eve)} {
			r.ObjectID = objectID(6)
			_, err := s.tryRepair(s.run, r)
			wantKind(t, err, directory.Conflict)
			if errors.Is(err, directory.ErrMoved) {
				t.Errorf("%v: nobody has changed it", err)
			}
		}
	})
	if !s.signedIn(session) {
		t.Error("the session has ended")
	}
	checkInvariants(s.world)
}

// A repair that only remembers an object id is no change of anything that others see.
func TestRepairOfTheObjectIDAlone(t *testing.T) {
	t.Parallel()
	s := newRepairScene(t)
	p := person("bo", 2)
	p.ExternalID = "bo"
	bo := s.createUser(s.fjord, p)
	r := s.plan(bo)
	r.ObjectID = objectID(2)
	var items []directory.PlanItem
	wantSame(t, "told", s.telling(func() { items = s.repair(s.run, r) }), told{})
	after := s.user(bo)
	if after.ObjectID != objectID(2) || after.Version != bo.Version || !after.Modified.Equal(bo.Modified) {
		t.Errorf("user: %+v", after)
	}
	if ids := view(s.world, func(sn *directory.Snapshot) ([]directory.ID, error) { return sn.UsersByObjectID(s.fjord, objectID(2)) }); !slices.Equal(ids, []directory.ID{bo.ID}) {
		t.Errorf("by object id: %v", ids)
	}
	if items[0].Outcome != directory.OutcomeApplied || s.items(s.run)[items[0].Number].Outcome != directory.OutcomeApplied {
		t.Errorf("items: %+v", items)
	}
	checkInvariants(s.world)
}

// Provisioned again, a person has the account of before, and the access with its menus.
func TestRepairReattaches(t *testing.T) {
	t.Parallel()
	for _, external := range []string{object(1), "ada"} { // by object id, by name
		s := newRepairScene(t)
		s.updateUser(s.ada, func(p *directory.Profile) { p.ExternalID = external })
		s.set(s.production, directory.IntegrationInput{DefaultMenus: []string{"other"}})
		s.deleteUser(s.ada)
		s.wantState(s.ada.AccountID, s.production, "inactive")
		items := s.repair(s.run, s.planNew(person("ada", 1), s.pilots))
		u := s.user(&directory.User{TenantID: s.fjord, ID: items[0].UserID})
		if u.AccountID != s.ada.AccountID || u.ID == s.ada.ID {
			t.Errorf("user: %+v", u)
		}
		wantSame(t, "accesses", items[0].Accesses, []directory.AccessEffect{granted(s.production, u.AccountID, u.ID, directory.Reactivated)})
		if a := s.access(u.AccountID, s.production); !a.Active || !slices.Equal(a.Menus, []string{"sales", "stock"}) {
			t.Errorf("access: %+v", a)
		}
		checkInvariants(s.world)
	}
}

// An internal account is adopted where the tenant is trusted, and else nothing is written.
func TestRepairAdopts(t *testing.T) {
	t.Parallel()
	s := newRepairScene(t)
	root := must(s.svc.CreateAccount(s.ctx, operator, "root", "root@fjord.example", "Root"))
	problem := func() error {
		return view(s.world, func(sn *directory.Snapshot) (error, error) {
			return sn.AdoptionProblem(s.fjord, "somebody", "root@fjord.example"), nil
		})
	}
	wantKind(t, problem(), directory.Exists)
	other := s.planNew(person("bo", 2), s.pilots)
	s.unchanged(func() {
		_, err := s.tryRepair(s.run, other, s.planNew(person("root", 3), s.pilots))
		wantKind(t, err, directory.Exists)
	})
	s.trust(s.fjord, "fjord.example")
	if err := problem(); err != nil {
		t.Error(err)
	}
	items := s.repair(s.run, s.planNew(person("root", 3), s.pilots))
	u := s.user(&directory.User{TenantID: s.fjord, ID: items[0].UserID})
	a := s.account(root.ID)
	if u.AccountID != root.ID || a.TenantID != s.fjord || a.UserID != u.ID {
		t.Errorf("user %+v, account %+v", u, a)
	}
	wantSame(t, "accesses", items[0].Accesses, []directory.AccessEffect{granted(s.production, root.ID, u.ID, directory.Granted)})
	checkInvariants(s.world)
}

// Rule 3: what the directory says goes to the account and to every access.
func TestRepairOverrides(t *testing.T) {
	t.Parallel()
	s := newRepairScene(t)
	s.integrate(s.test, s.fjord, s.pilotsID)
	r := s.planUpdate(s.ada, func(p *directory.Profile) {
		p.Name, p.Email, p.Emails, p.Language = "Ada B.", "ada.b@fjord.example", []string{"ada.b@fjord.example"}, "en"
	})
	got := s.telling(func() { s.repair(s.run, r) })
	if len(got.Log) != 1 || got.Log[0].Action != directory.ActionUpdate || len(got.Events) != 1 || got.Events[0].Type != "user.updated" {
		t.Errorf("told: %+v", got)
	}
	if u := s.user(s.ada); u.Version != s.ada.Version+1 || u.Name != "Ada B." {
		t.Errorf("user: %+v", u)
	}
	if a := s.account(s.ada.AccountID); a.Name != "Ada B." || a.Email != "ada.b@fjord.example" || a.Language != "en" {
		t.Errorf("account: %+v", a)
	}
	for _, env := range []directory.ID{s.production, s.test} {
		if a := s.access(s.ada.AccountID, env); a.Name != "Ada B." || a.Email != "ada.b@fjord.example" || a.Language != "en" || !a.Active {
			t.Errorf("access: %+v", a)
		}
	}
	checkInvariants(s.world)
}

// A person who becomes inactive loses every access and every session in the same change, counted once.
func TestRepairDeactivates(t *testing.T) {
	t.Parallel()
	s := newRepairScene(t)
	s.integrate(s.test, s.fjord, s.pilotsID)
	session := s.signIn(s.ada.AccountID)
	var items []directory.PlanItem
	got := s.telling(func() {
		items = s.repair(s.run, s.planUpdate(s.ada, func(p *directory.Profile) { p.Active = false }))
	})
	if s.signedIn(session) {
		t.Error("the session goes on")
	}
	accesses := []directory.AccessEffect{granted(s.production, s.ada.AccountID, s.ada.ID, directory.Deactivated), granted(s.test, s.ada.AccountID, s.ada.ID, directory.Deactivated)}
	accesses[0].Sessions = 1
	wantSame(t, "accesses", items[0].Accesses, accesses)
	if len(got.Log) != 1 || got.Log[0].Action != directory.ActionDisable || got.Log[0].Sessions != 1 || len(got.Events) != 1 || *got.Events[0].Active {
		t.Errorf("told: %+v", got)
	}
	wantSame(t, "accesses of the log", got.Log[0].Accesses, accesses)
	wantSame(t, "accesses of the event", got.Events[0].Accesses, accesses)
	checkInvariants(s.world)
	// What one person of a batch loses is not told of the next.
	bo := s.createUser(s.fjord, person("bo", 2))
	got = s.telling(func() {
		items = s.repair(s.run, s.planUpdate(s.user(s.ada), func(p *directory.Profile) { p.Active = true }), s.planJoin(bo, s.crew))
	})
	if len(items[0].Accesses) != 2 || len(items[1].Accesses) != 1 || len(got.Log[1].Accesses) != 1 || got.Log[0].Action != directory.ActionEnable {
		t.Errorf("items: %+v", items)
	}
	checkInvariants(s.world)
}

// Who leaves the last synced group loses the access and the sessions; who leaves one of two does not.
func TestRepairLeaves(t *testing.T) {
	t.Parallel()
	s := newRepairScene(t)
	s.add(s.crew, s.ada)
	session := s.signIn(s.ada.AccountID)
	got := s.telling(func() { s.repair(s.run, s.planLeave(s.ada, s.pilots)) })
	s.wantState(s.ada.AccountID, s.production, "active")
	if !s.signedIn(session) || len(got.Log) != 1 || got.Log[0].Accesses != nil || s.isMember(s.pilots, s.ada) {
		t.Errorf("after leaving one of two groups: %+v", got)
	}
	if g := s.group(s.pilots); g.Version != s.pilots.Version+1 {
		t.Errorf("group: %+v", g)
	}
	got = s.telling(func() { s.repair(s.run, s.planLeave(s.ada, s.crew, s.crew)) })
	s.wantState(s.ada.AccountID, s.production, "inactive")
	if s.signedIn(session) || got.Log[0].Sessions != 1 || len(got.Log[0].Accesses) != 1 {
		t.Errorf("after leaving the last group: %+v", got)
	}
	wantSame(t, "events", got.Events[1:], []*directory.OutboxEvent{{Type: "group.updated", TenantID: s.fjord, GroupID: s.crew.ID, RunID: s.run.ID, Removed: []directory.ID{s.ada.ID},
		Method: directory.UpdatePatch, Attributes: []string{"members"}, Version: s.group(s.crew).Version, ExternalID: s.crew.ExternalID, First: 1}})
	if e := got.Events[0]; e.Method != directory.UpdateNone || e.Attributes != nil || e.Switched {
		t.Errorf("the person is as before, but for the access: %+v", e)
	}
	if u := s.user(s.ada); u.Version != s.ada.Version || !u.Active {
		t.Errorf("user: %+v", u)
	}
	checkInvariants(s.world)
}

// Leaving a group that another environment syncs too takes that access away as well.
func TestRepairLeavesElsewhere(t *testing.T) {
	t.Parallel()
	s := newRepairScene(t)
	s.integrate(s.test, s.fjord, s.pilotsID)
	items := s.repair(s.run, s.planLeave(s.ada, s.pilots))
	wantSame(t, "accesses", items[0].Accesses, []directory.AccessEffect{
		granted(s.production, s.ada.AccountID, s.ada.ID, directory.Deactivated), granted(s.test, s.ada.AccountID, s.ada.ID, directory.Deactivated)})
	checkInvariants(s.world)
}

// Doing again what is done writes the item alone.
func TestRepairAgain(t *testing.T) {
	t.Parallel()
	s := newRepairScene(t)
	bo := s.createUser(s.fjord, person("bo", 2))
	s.repair(s.run, s.planJoin(bo, s.crew, s.crew))
	if g := s.group(s.crew); g.Version != s.crew.Version+1 {
		t.Errorf("group: %+v", g)
	}
	wantSame(t, "told of joining again", s.telling(func() { s.repair(s.run, s.planJoin(bo, s.crew)) }), told{})
	wantSame(t, "told of leaving where one is not", s.telling(func() { s.repair(s.run, s.planLeave(bo, s.pilots)) }), told{})
	wantSame(t, "told of the same profile", s.telling(func() { s.repair(s.run, s.planUpdate(bo, func(*directory.Profile) {})) }), told{})
	if g, u := s.group(s.crew), s.user(bo); g.Version != s.crew.Version+1 || u.Version != bo.Version || len(s.items(s.run)) != 4 {
		t.Errorf("group %+v, user %+v, items %v", g, u, s.items(s.run))
	}
	checkInvariants(s.world)
}

// What Update does to the user that it was given changes nothing by itself.
func TestRepairUpdateInPlace(t *testing.T) {
	t.Parallel()
	s := newRepairScene(t)
	r := s.plan(s.ada)
	r.Update = func(u *directory.User) (directory.UserInput, error) {
		in := userInput(u.Profile)
		u.Name, u.Active, u.Emails[0] = "Eve", false, "eve@fjord.example"
		return in, nil
	}
	wantSame(t, "told", s.telling(func() { s.repair(s.run, r) }), told{})
	wantSame(t, "user", s.user(s.ada), s.ada)
}

// rename is a repair that gives another userName.
func (w *world) rename(u *directory.User, name string) directory.Repair {
	return w.planUpdate(u, func(p *directory.Profile) { p.UserName = name })
}

// userNames are swapped, passed on and taken over within one repair, and all or nothing.
func TestRepairRenames(t *testing.T) {
	t.Parallel()
	s := newRepairScene(t)
	bo, eve := s.createUser(s.fjord, person("bo", 2)), s.createUser(s.fjord, person("eve", 3))
	names := func(want ...string) {
		t.Helper()
		for i, u := range []*directory.User{s.ada, bo, eve} {
			got := view(s.world, func(sn *directory.Snapshot) (directory.ID, error) { return sn.UserByName(s.fjord, want[i]) })
			if now := s.user(u); got != u.ID || now.UserName != want[i] {
				t.Errorf("user %s has the name %s, want %s", u.UserName, now.UserName, want[i])
			}
		}
		checkInvariants(s.world)
	}
	const a, b, e = "ada@fjord.example", "bo@fjord.example", "eve@fjord.example"
	names(a, b, e)
	s.repair(s.run, s.rename(s.user(s.ada), b), s.rename(s.user(bo), a))
	names(b, a, e)
	s.repair(s.run, s.rename(s.user(s.ada), a), s.rename(s.user(bo), e), s.rename(s.user(eve), b)) // in a ring
	names(a, e, b)
	s.repair(s.run, s.rename(s.user(s.ada), e), s.rename(s.user(bo), b), s.rename(s.user(eve), "new@fjord.example")) // in a chain, the last one first
	names(e, b, "new@fjord.example")
	s.repair(s.run, s.rename(s.user(eve), e), s.rename(s.user(s.ada), "ADA@Fjord.example"))
	names("ADA@Fjord.example", b, e)
	s.repair(s.run, s.rename(s.user(s.ada), a)) // by case alone
	names(a, b, e)
	s.unchanged(func() {
		for _, taken := range []string{e, "EVE@fjord.example"} {
			_, err := s.tryRepair(s.run, s.rename(s.user(bo), a), s.rename(s.user(s.ada), taken))
			wantKind(t, err, directory.Exists)
		}
		_, err := s.tryRepair(s.run, s.rename(s.user(bo), "new@fjord.example"), s.rename(s.user(s.ada), "NEW@fjord.example"))
		wantKind(t, err, directory.Exists)
		p := person("dan", 4)
		p.UserName = a
		_, err = s.tryRepair(s.run, s.planNew(p))
		wantKind(t, err, directory.Exists)
	})
	// A new person may have the name that another gives up.
	p := person("dan", 4)
	p.UserName = a
	items := s.repair(s.run, s.planNew(p, s.pilots), s.rename(s.user(s.ada), "old@fjord.example"))
	names("old@fjord.example", b, e)
	if u := s.user(&directory.User{TenantID: s.fjord, ID: items[0].UserID}); u.UserName != a || u.AccountID == s.ada.AccountID {
		t.Errorf("user: %+v", u)
	}
}

// What a repair is told to make must be fit to be kept.
func TestRepairInvalid(t *testing.T) {
	t.Parallel()
	s := newRepairScene(t)
	nul, blank := person("bo", 2), person("bo", 2)
	nul.ExternalID, blank.UserName = "a\x00b", " "
	failing := s.plan(s.ada)
	refused := errors.New("refused")
	failing.Update = func(*directory.User) (directory.UserInput, error) { return directory.UserInput{}, refused }
	failingNew := s.planNew(person("bo", 2))
	failingNew.Update = failing.Update
	inside, off := s.plan(s.ada), s.startRun(s.test) // of an environment whose integration is off
	inside.In = []directory.ID{s.pilots.ID}
	s.unchanged(func() {
		for _, r := range []directory.Repair{s.planNew(nul), s.planNew(blank), s.rename(s.ada, ""), s.rename(s.ada, "a\x00"), inside} {
			_, err := s.tryRepair(s.run, s.planNew(person("eve", 3)), r)
			wantKind(t, err, directory.Invalid)
		}
		for _, r := range []directory.Repair{failing, failingNew} {
			if items, err := s.tryRepair(s.run, r); !errors.Is(err, refused) || items != nil {
				t.Errorf("%v, %v", items, err)
			}
		}
		_, err := s.tryRepair(off, s.planNew(person("bo", 2)))
		wantKind(t, err, directory.Conflict)
		run := *s.run
		run.EnvironmentID = number(999)
		_, err = s.svc.Repair(s.ctx, directory.RepairScope{Run: &run, Watch: must(s.svc.Watch(s.ctx))}, nil)
		wantKind(t, err, directory.NotFound)
	})
}

// A repair that comes too late changes nothing: push goes first.
func TestRepairMoved(t *testing.T) {
	t.Parallel()
	rename := func(s *repairScene) directory.Repair {
		return s.planUpdate(s.ada, func(p *directory.Profile) { p.Name = "Old" })
	}
	leave := func(s *repairScene) directory.Repair { return s.planLeave(s.ada, s.pilots) }
	join := func(s *repairScene) directory.Repair { return s.planJoin(s.ada, s.crew) }
	leaveOne := func(s *repairScene) directory.Repair { // and stay in the other
		s.repair(s.startRun(s.production), s.planJoin(s.ada, s.crew))
		return leave(s)
	}
	provision := func(s *repairScene) directory.Repair { return s.planNew(person("bo", 2), s.pilots) }
	for _, test := range []struct {
		name  string
		plan  func(*repairScene) directory.Repair
		meet  func(*repairScene)
		moved bool
	}{
		{"nothing happens", rename, func(*repairScene) {}, false},
		{"push changes the user", rename, func(s *repairScene) {
			s.updateUser(s.ada, func(p *directory.Profile) { p.Language = "en" })
		}, true},
		{"push changes the user and back", rename, func(s *repairScene) {
			s.setActive(s.ada, false)
			s.setActive(s.ada, true)
		}, true},
		{"push sends the user again", rename, func(s *repairScene) { s.updateUser(s.ada, func(*directory.Profile) {}) }, false},
		{"push deletes the user", rename, func(s *repairScene) { s.deleteUser(s.ada) }, true},
		{"push changes somebody else", rename, func(s *repairScene) { s.deleteUser(s.twin) }, false},
		{"push changes a group that is not concerned", rename, func(s *repairScene) { s.remove(s.pilots, s.ada) }, false},
		{"push takes the member out", leave, func(s *repairScene) { s.remove(s.pilots, s.ada) }, true},
		{"push takes the member out and in again", leave, func(s *repairScene) {
			s.remove(s.pilots, s.ada)
			s.add(s.pilots, s.ada)
		}, true},
		{"push puts the member in", join, func(s *repairScene) { s.add(s.crew, s.ada) }, true},
		{"push puts the member in and out again", join, func(s *repairScene) {
			s.add(s.crew, s.ada)
			s.remove(s.crew, s.ada)
		}, true},
		{"push moves the member of another group", join, func(s *repairScene) { s.remove(s.pilots, s.ada) }, false},
		{"push takes the member out of another synced group", leaveOne, func(s *repairScene) { s.remove(s.crew, s.ada) }, true},
		{"push moves another member of the group", leave, func(s *repairScene) { s.add(s.pilots, s.createUser(s.fjord, person("bo", 2))) }, false},
		{"push deletes the group", leave, func(s *repairScene) { s.deleteGroup(s.pilots) }, true},
		{"push deletes the group to join", join, func(s *repairScene) { s.deleteGroup(s.crew) }, true},
		{"push deletes the group of a new person", provision, func(s *repairScene) { s.deleteGroup(s.pilots) }, true},
		{"push makes another group of it", join, func(s *repairScene) { s.renameGroup(s.crew, "Crew", object(109)) }, true},
		{"push renames the group", join, func(s *repairScene) { s.renameGroup(s.crew, "Sailors", s.crewID) }, false},
		{"push provisions the person", provision, func(s *repairScene) { s.createUser(s.fjord, person("bo", 2)) }, true},
		{"push provisions the person and deletes it", provision, func(s *repairScene) { s.deleteUser(s.createUser(s.fjord, person("bo", 2))) }, true},
		{"another tenant provisions the person", provision, func(s *repairScene) { s.createUser(s.harbor, person("bo", 2)) }, false},
		{"another run changed the user", rename, func(s *repairScene) {
			s.repair(s.startRun(s.production), s.planUpdate(s.ada, func(p *directory.Profile) { p.Language = "en" }))
		}, true},
		{"another run moved the member of another group", leave, func(s *repairScene) {
			s.repair(s.startRun(s.production), s.planJoin(s.ada, s.crew))
		}, false},
	} {
		for _, when := range []string{"before the repair", "while the repair waits for its turn"} {
			t.Run(test.name+" "+when, func(t *testing.T) {
				t.Parallel()
				s := newRepairScene(t)
				scope, plan := s.scopeOf(s.run), test.plan(s)
				var before map[string]string
				meet := func() { test.meet(s); before = s.dump() }
				if when == "before the repair" {
					meet()
				} else {
					s.store.meet = meet
				}
				items, err := s.svc.Repair(s.ctx, scope, []directory.Repair{s.planNew(person("eve", 3), s.pilots), plan})
				if test.name == "push deletes the group" && test.moved || test.name == "push deletes the group of a new person" {
					// The person beside it joins the same group.
					items, err = s.svc.Repair(s.ctx, scope, []directory.Repair{plan})
				}
				if !test.moved {
					if err != nil || len(items) != 2 {
						t.Fatalf("%v, %v", items, err)
					}
					checkInvariants(s.world)
					return
				}
				if wantKind(t, err, directory.Conflict); !errors.Is(err, directory.ErrMoved) {
					t.Errorf("%v", err)
				}
				s.wantDump(before)
			})
		}
	}
}

// A change that is not committed when a repair looks at it is none until it is.
func TestWatchForgetsWhatNeverWas(t *testing.T) {
	t.Parallel()
	s := newRepairScene(t)
	scope := s.scopeOf(s.run)
	// The first try of the repair sees an event of push that is undone with it, and the number of
	// that event goes to another one.
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		for _, group := range []directory.ID{s.pilots.ID, s.crew.ID, {}} {
			if changed, err := scope.Watch.Changed(sn, s.ada.ID, group); changed || err != nil {
				t.Errorf("changed: %v, %v", changed, err)
			}
		}
		return true, nil
	})
	s.store.within = func() func(directory.Writer) error {
		first := true
		return func(w directory.Writer) error {
			e := directory.OutboxEvent{Type: "user.updated", TenantID: s.fjord, UserID: s.ada.ID, AccountID: s.ada.AccountID}
			if !first {
				e.UserID, e.AccountID = s.twin.ID, s.twin.AccountID
			}
			first = false
			n, err := w.NextSequence(table("outbox"))
			if err != nil {
				return err
			}
			e.Sequence = n
			return w.Put(table("outbox"), cat(n), must(json.Marshal(e)))
		}
	}()
	if _, err := s.svc.Repair(s.ctx, scope, []directory.Repair{s.rename(s.ada, "ada.b@fjord.example")}); err != nil {
		t.Errorf("after an event that never was: %v", err)
	}
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		if changed, err := scope.Watch.Changed(sn, s.ada.ID); changed || err != nil {
			t.Errorf("ada changed: %v, %v", changed, err)
		}
		if changed, err := scope.Watch.Changed(sn, s.twin.ID); !changed || err != nil {
			t.Errorf("her twin changed: %v, %v", changed, err)
		}
		return true, nil
	})
}

// The watch sees what push does from its first moment on, by whatever way.
func TestWatchChanged(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	bo := s.createUser(s.fjord, person("bo", 2))
	watch := must(s.svc.Watch(s.ctx))
	want := func(what string, is bool, user directory.ID, groups ...directory.ID) {
		t.Helper()
		view(s.world, func(sn *directory.Snapshot) (bool, error) {
			if changed, err := watch.Changed(sn, user, groups...); changed != is || err != nil {
				t.Errorf("%s: changed is %v, %v", what, changed, err)
			}
			return true, nil
		})
	}
	want("before the watch", false, bo.ID, s.pilots.ID, s.crew.ID)
	s.add(s.crew, bo)
	want("in crew", true, bo.ID, s.pilots.ID, s.crew.ID)
	want("in pilots", false, bo.ID, s.pilots.ID)
	want("another member of crew", false, s.ada.ID, s.crew.ID)
	divers := s.createGroup(s.fjord, "Divers", object(103), bo.ID)
	want("in a new group", true, s.ada.ID, divers.ID)
	s.deleteGroup(s.pilots)
	want("in a group that is gone", true, bo.ID, s.pilots.ID)
	want("not in any", false, bo.ID)
	s.setActive(bo, false)
	want("the user", true, bo.ID)
	cancelled, cancel := context.WithCancel(s.ctx)
	cancel()
	if w, err := s.svc.Watch(cancelled); w != nil || err == nil {
		t.Errorf("%v, %v", w, err)
	}
}

// A repair that was planned with other settings ends the run.
func TestRepairStale(t *testing.T) {
	t.Parallel()
	on, off := true, false
	for name, edit := range map[string]func(*repairScene){
		"groups":     func(s *repairScene) { s.sync(s.production, s.pilotsID) },
		"menus":      func(s *repairScene) { s.set(s.production, directory.IntegrationInput{DefaultMenus: []string{}}) },
		"tenant":     func(s *repairScene) { s.set(s.production, directory.IntegrationInput{TenantID: &s.harbor}) },
		"off":        func(s *repairScene) { s.enable(s.production, false) },
		"off and on": func(s *repairScene) { s.enable(s.production, false); s.enable(s.production, true) },
		"transitive": func(s *repairScene) { s.set(s.production, directory.IntegrationInput{Transitive: &on}) },
		"guests":     func(s *repairScene) { s.set(s.production, directory.IntegrationInput{Guests: &on}) },
		"paused":     func(s *repairScene) { s.set(s.production, directory.IntegrationInput{Paused: &on}) },
		"hold":       func(s *repairScene) { s.set(s.production, directory.IntegrationInput{Hold: &on}) },
		"periodic":   func(s *repairScene) { s.set(s.production, directory.IntegrationInput{Periodic: &on}) },
		"stops": func(s *repairScene) {
			s.set(s.production, directory.IntegrationInput{Stops: &directory.Stops{RunCount: 3}})
		},
		"nothing": func(s *repairScene) { s.set(s.production, directory.IntegrationInput{Periodic: &off}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newRepairScene(t)
			scope := s.scopeOf(s.run)
			edit(s)
			before := s.dump()
			_, err := s.svc.Repair(s.ctx, scope, []directory.Repair{s.planNew(person("bo", 2))})
			if name == "nothing" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, directory.ErrStale) {
				t.Errorf("%v", err)
			}
			s.wantDump(before)
		})
	}
}

// No pull takes anything from a protected account, but it may give.
func TestRepairProtected(t *testing.T) {
	t.Parallel()
	s := newRepairScene(t)
	s.nested(s.production)
	inside := s.plan(s.ada)
	inside.In = []directory.ID{s.pilots.ID}
	s.repair(s.run, inside)
	bo := s.createUser(s.fjord, person("bo", 2))
	must(s.svc.ProtectAccount(s.ctx, operator, s.ada.AccountID, true))
	outside := s.plan(s.ada)
	outside.Out = inside.In
	s.unchanged(func() {
		for _, r := range []directory.Repair{s.planLeave(s.ada, s.pilots), outside, s.planUpdate(s.ada, func(p *directory.Profile) { p.Active = false })} {
			_, err := s.tryRepair(s.run, s.planJoin(bo, s.pilots), r)
			wantKind(t, err, directory.Conflict)
			if errors.Is(err, directory.ErrMoved) {
				t.Errorf("%v", err)
			}
		}
	})
	s.repair(s.run, s.planUpdate(s.ada, func(p *directory.Profile) { p.Name = "Ada B." }))
	s.repair(s.run, s.planJoin(s.user(s.ada), s.crew))
	s.repair(s.run, s.planLeave(bo, s.pilots))
	// Push may, and what push took away a pull may give back where it is asked to.
	s.setActive(s.ada, false)
	s.repair(s.run, s.planUpdate(s.user(s.ada), func(p *directory.Profile) { p.Name = "Ada C." })) // inactive as before
	s.repair(s.run, s.planUpdate(s.user(s.ada), func(p *directory.Profile) { p.Active = true }))
	s.wantState(s.ada.AccountID, s.production, "active")
	checkInvariants(s.world)
}

// No pull takes the last active administrator's access to an environment, by whatever way and to
// whichever environment, also where the plan knew another one. Push may.
func TestRepairLastAdministrator(t *testing.T) {
	t.Parallel()
	s := newRepairScene(t)
	s.integrate(s.test, s.fjord, s.pilotsID)
	s.nested(s.production)
	bo, cy := s.createUser(s.fjord, person("bo", 2)), s.createUser(s.fjord, person("cy", 3))
	s.add(s.pilots, bo, cy)
	appoint := func(u *directory.User, env directory.ID, administrator bool) {
		t.Helper()
		if _, err := s.svc.SetAdministrator(s.ctx, operator, u.AccountID, env, administrator); err != nil {
			t.Fatal(err)
		}
	}
	disable := func(u *directory.User) directory.Repair {
		return s.planUpdate(s.user(u), func(p *directory.Profile) { p.Active = false })
	}
	refused := func(env string, people ...directory.Repair) {
		t.Helper()
		s.unchanged(func() {
			items, err := s.tryRepair(s.run, people...)
			wantKind(t, err, directory.Conflict)
			if items != nil || errors.Is(err, directory.ErrMoved) || err == nil || err.Error() != "the last administrator of environment "+env+": no pull takes that access" {
				t.Errorf("%+v, %v", items, err)
			}
		})
	}

	appoint(s.ada, s.production, true)
	refused("production", s.planLeave(s.user(s.ada), s.pilots))
	refused("production", disable(s.ada))
	inside := s.plan(s.user(s.ada)) // in through a nested group alone
	inside.In, inside.Leave = []directory.ID{s.pilots.ID}, []directory.ID{s.pilots.ID}
	s.repair(s.run, inside)
	s.wantState(s.ada.AccountID, s.production, "active")
	outside := s.plan(s.user(s.ada))
	outside.Out = inside.In
	refused("production", outside)
	s.repair(s.run, s.planJoin(s.user(s.ada), s.pilots), s.planLeave(s.user(bo), s.pilots)) // what takes no administrator's access
	s.repair(s.run, s.planJoin(s.user(bo), s.pilots))

	// Who is an administrator with an inactive access, or of another environment, is not one that is left.
	appoint(bo, s.production, true)
	appoint(cy, s.test, true)
	s.setActive(bo, false)
	refused("production", disable(s.ada))
	s.setActive(bo, true)
	refused("production", disable(s.ada), disable(bo)) // two in one transaction
	s.repair(s.run, disable(s.ada))
	refused("production", disable(bo))
	refused("test", disable(cy)) // not the environment of the run
	refused("test", s.planLeave(s.user(cy), s.pilots))
	appoint(cy, s.test, false)
	s.repair(s.run, disable(cy)) // an operator may take the office of the last one

	s.setActive(bo, false) // push
	s.wantState(bo.AccountID, s.production, "inactive")
	checkInvariants(s.world)
}

// The items are written with what they are about, or not at all.
func TestRepairFails(t *testing.T) {
	t.Parallel()
	s := newRepairScene(t)
	scope, plan := s.scopeOf(s.run), s.planNew(person("bo", 2), s.pilots)
	lost := errors.New("lost")
	s.store.fail = func() error { return lost }
	s.unchanged(func() {
		if items, err := s.svc.Repair(s.ctx, scope, []directory.Repair{plan}); !errors.Is(err, lost) || items != nil {
			t.Errorf("%v, %v", items, err)
		}
	})
	s.store.fail = nil
	if _, err := s.svc.Repair(s.ctx, scope, []directory.Repair{plan}); err != nil { // the same again
		t.Error(err)
	}
	checkInvariants(s.world)
}

// Many repairs of one run go on at once, beside push.
func TestRepairsInParallel(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	run := s.startRun(s.production)
	ids := s.crowd(t, s.fjord, 100, 100)
	scope := s.scopeOf(run)
	parallel(t, 200, func(i int) error {
		u := &directory.User{TenantID: s.fjord, ID: ids[i%100], Version: 1}
		if i >= 100 { // push disables every other one
			if i%2 == 0 {
				return nil
			}
			_, err := s.editUser(s.fjord, u.ID, func(p *directory.Profile) { p.Active = false })
			return err
		}
		_, err := s.svc.Repair(s.ctx, scope, []directory.Repair{s.planJoin(u, s.pilots)})
		if i%2 == 1 && errors.Is(err, directory.ErrMoved) {
			return nil
		}
		return err
	})
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		n, err := sn.EnvironmentAccessCount(s.production, true)
		if n != 51 {
			t.Errorf("%d have access, want 50 and ada", n)
		}
		return true, err
	})
	checkInvariants(s.world)
}
