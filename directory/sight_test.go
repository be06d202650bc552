package directory_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
)

func seePeople(s *scene, by directory.Actor, f directory.PeopleFilter, after string) *directory.PeoplePage {
	s.Helper()
	return view(s.world, func(sn *directory.Snapshot) (*directory.PeoplePage, error) { return sn.SeePeople(by, f, after, 50) })
}

// A page of people tells nothing of those whom the actor does not see: neither how many were looked at, nor beside whom it ended.
func TestPagesOfPeopleTellNothingOfOthers(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	const others = 2050 // more than one page looks at
	parallel(t, others, func(i int) error {
		_, _, err := s.svc.AddInternal(s.ctx, operator, s.elsewhere, directory.NewAccess{Email: fmt.Sprintf("aa%04d@harbor.example", i), Name: "Others"})
		return err
	})
	must2(s.svc.AddInternal(s.ctx, operator, s.test, directory.NewAccess{Email: "zoe@bizz.example", Name: "Zoe"}))
	for name, f := range map[string]directory.PeopleFilter{"internal": {Internal: true}, "a beginning": {Text: "aa"}, "a beginning, internal": {Text: "aa", Internal: true}} {
		page := seePeople(s, s.partner(), f, "")
		if len(page.People) != 0 || page.Looked != 0 {
			t.Errorf("%s: %d people, looked at %d", name, len(page.People), page.Looked)
		}
		if !page.Cut || page.Next == "" {
			t.Fatalf("%s: cut: %v, next %q", name, page.Cut, page.Next)
		}
		place, err := base64.RawURLEncoding.DecodeString(page.Next[1:])
		if err != nil || strings.Contains(string(place), "harbor") {
			t.Errorf("%s: the place is %q, %v", name, place, err)
		}
	}
	if there, not := seePeople(s, s.partner(), directory.PeopleFilter{Text: "aa0007@harbor.example"}, ""), seePeople(s, s.partner(), directory.PeopleFilter{Text: "bb"}, ""); !cmp.Equal(there, not) {
		t.Errorf("somebody of others: %+v, nobody: %+v", there, not)
	}
	s.createUser(s.fjord, person("eve", 50)) // in no group
	if page := seePeople(s, administrator(s.production), directory.PeopleFilter{}, ""); len(page.People) != 1 || page.Looked != 1 {
		t.Errorf("an administrator: %d people, looked at %d", len(page.People), page.Looked)
	}
	if got := everybody(s, s.partner(), directory.PeopleFilter{Internal: true}, 50); !slices.Equal(got, []string{"zoe@bizz.example"}) {
		t.Errorf("behind the others: %v", got)
	}
	if got := everybody(s, operator, directory.PeopleFilter{Text: "aa"}, 50); len(got) != others {
		t.Errorf("%d for an operator", len(got))
	}
}

// Each tenant has its own indexes, and the places of pages have room for all.
func TestPeopleOfManyTenants(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	var last directory.ID
	for i := range 140 {
		last = s.tenant(fmt.Sprint("tenant", i), s.org)
	}
	for i := range 5 {
		s.createUser(last, person(fmt.Sprint("zed", i), 10+i))
	}
	s.internal(s.test)
	for _, limit := range []int{1, 3, 50} {
		if got := everybody(s, s.partner(), directory.PeopleFilter{Text: "zed"}, limit); len(got) != 5 || len(slices.Compact(slices.Sorted(slices.Values(got)))) != 5 {
			t.Errorf("by %d: %v", limit, got)
		}
		if got := everybody(s, operator, directory.PeopleFilter{Text: "ivy"}, limit); len(got) != 1 {
			t.Errorf("by %d: %v", limit, got)
		}
	}
}

// Who had access to an environment is found there, also when their tenant is no longer one that it may use.
func TestPeopleWhoseTenantIsOfOthersNow(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.integrate(s.test, s.harbor, s.pilotsID)
	s.wantState(s.twin.AccountID, s.test, "active")
	s.set(s.test, directory.IntegrationInput{TenantID: &s.fjord})
	must(s.svc.SetTenant(s.ctx, operator, s.harbor, func(t *directory.Tenant) error { t.OrganizationIDs = []directory.ID{s.other()}; return nil }))
	by := administrator(s.test)
	for _, text := range []string{"", "ada", "da@fj"} {
		page := seePeople(s, by, directory.PeopleFilter{Text: text}, "")
		if !slices.ContainsFunc(page.People, func(p directory.Seen) bool { return p.Account.ID == s.twin.AccountID }) {
			t.Errorf("by %q: %d others", text, len(page.People))
		}
		for _, p := range page.People {
			if err := s.svc.View(s.ctx, func(sn *directory.Snapshot) error { _, err := sn.SeeAccount(by, p.Account.ID); return err }); err != nil {
				t.Errorf("%q lists %s: %v", text, p.Account.UserName, err)
			}
		}
	}
}

// What is refused because a directory manages it names the directory to those alone who have to do with it.
func TestReadOnlyNamesNoForeignDirectory(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.integrate(s.test, s.harbor, s.pilotsID)
	s.set(s.test, directory.IntegrationInput{TenantID: &s.fjord})
	edits := func(by directory.Actor) map[string]func() error {
		return map[string]func() error{
			"SetAccess": func() error {
				_, err := s.svc.SetAccess(s.ctx, by, s.test, s.twin.AccountID, directory.AccessInput{Name: new("X")})
				return err
			},
			"SetAccount": func() error {
				_, err := s.svc.SetAccount(s.ctx, by, s.twin.AccountID, directory.AccountInput{Name: new("X")})
				return err
			},
			"AddInternal": func() error {
				_, _, err := s.svc.AddInternal(s.ctx, by, s.test, directory.NewAccess{Email: "hana@harbor.example", Name: "X"})
				return err
			},
		}
	}
	s.createUser(s.harbor, directory.Profile{UserName: "hana", ExternalID: object(31), Name: "Hana", Email: "hana@harbor.example", Emails: []string{"hana@harbor.example"}, Active: true})
	named := func(by directory.Actor, what string) bool {
		err := edits(by)[what]()
		wantKind(t, err, directory.ReadOnly)
		return strings.Contains(err.Error(), "harbor")
	}
	for what := range edits(operator) {
		if want := what != "SetAccount"; named(administrator(s.test), what) != want {
			t.Errorf("%s of a tenant that the environment may use: named: %v", what, !want)
		}
	}
	must(s.svc.SetTenant(s.ctx, operator, s.harbor, func(t *directory.Tenant) error { t.OrganizationIDs = []directory.ID{s.other()}; return nil }))
	for what := range edits(operator) {
		if named(administrator(s.test), what) {
			t.Errorf("%s names a foreign directory", what)
		}
		if !named(operator, what) {
			t.Errorf("%s does not name the directory to an operator", what)
		}
	}
}

// Sessions end with the last access for good: they are not there again when the access is.
func TestSessionsEndWithTheLastAccess(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ivy := s.internal(s.test)
	must2(s.svc.AddInternal(s.ctx, operator, s.production, directory.NewAccess{Email: "ivy@bizz.example", Name: "Ivy"}))
	sessions := []string{s.signIn(ivy), s.signIn(ivy)}
	set := func(env directory.ID, active bool) *directory.LogEvent {
		must(s.svc.SetAccess(s.ctx, administrator(env), env, ivy, directory.AccessInput{Active: &active}))
		return newestLine(s, directory.ID{})
	}
	told := func(ends <-chan struct{}) bool {
		select {
		case <-ends:
			return true
		default:
			return false
		}
	}
	ends := s.svc.SessionsEnded()
	if e := set(s.test, false); e.Sessions != 0 || !s.signedIn(sessions[0]) || !told(ends) {
		t.Errorf("with another access left: %+v, or nobody is told that an access has ended", e)
	}
	ends = s.svc.SessionsEnded()
	if e := set(s.production, false); e.Sessions != 2 || len(e.Accesses) != 1 || e.Accesses[0].Sessions != 2 || !told(ends) {
		t.Errorf("%+v, or nobody is told that sessions have ended", e)
	}
	set(s.production, true)
	for _, session := range sessions {
		if s.signedIn(session) {
			t.Error("a session is back with the access")
		}
	}
	// Who has a role stays signed in, as whoever they are by it.
	must(s.svc.SetRoles(s.ctx, operator, ivy, directory.RoleInput{Partner: map[directory.ID]bool{s.org: true}}))
	session := s.signIn(ivy)
	if e := set(s.production, false); e.Sessions != 0 || !s.signedIn(session) {
		t.Errorf("a partner: %+v", e)
	}
	checkInvariants(s.world)
}

// Who has the e-mail address of an account can have its password set: an operator alone changes it, and links that went to the old
// address end.
func TestEmailOfAnAccountIsForOperators(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	access, _ := must2(s.svc.AddInternal(s.ctx, operator, s.test, directory.NewAccess{Email: "ivy@bizz.example", Name: "Ivy", Password: "hash"}))
	ivy := access.AccountID
	in := directory.AccountInput{Email: new("mallory@bizz.example")}
	for name, by := range map[string]directory.Actor{"an administrator who sees them": administrator(s.test), "a partner who sees them": s.partner(), "themselves": {Role: directory.RoleUser, ID: ivy.String()}} {
		s.unchanged(func() {
			_, err := s.svc.SetAccount(s.ctx, by, ivy, in)
			if directory.KindOf(err) != directory.Forbidden {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	link := func() error {
		return s.svc.View(s.ctx, func(sn *directory.Snapshot) error {
			_, err := sn.Link(secretHash("to the old address"), directory.LinkPassword, s.clock.Now())
			return err
		})
	}
	s.linkTo(directory.LinkPassword, ivy, "to the old address")
	must(s.svc.SetAccount(s.ctx, operator, ivy, directory.AccountInput{Name: new("Ivy Ek")}))
	if err := link(); err != nil {
		t.Errorf("a name ends a link: %v", err)
	}
	must(s.svc.SetAccount(s.ctx, operator, ivy, in))
	if err := link(); directory.KindOf(err) != directory.NotFound {
		t.Errorf("the link to the old address: %v", err)
	}
	checkInvariants(s.world)
}

// An access that was set by hand is told to who sees its environment; and what a line did in environments of others, whose
// organization has lost the tenant since, is not told to who sees the tenant.
func TestLogSightByHand(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	see := func(by directory.Actor, e directory.LogEvent) *directory.LogEvent {
		return view(s.world, func(sn *directory.Snapshot) (*directory.LogEvent, error) {
			sight, err := sn.LogSight(by)
			if err != nil {
				return nil, err
			}
			return sight.Of(&e)
		})
	}
	otherPartner := directory.Actor{Role: directory.RolePartner, Reach: &directory.Reach{Organizations: []directory.ID{s.other()}}}
	renamed := directory.LogEvent{TargetType: "User", TargetID: number(5).String(), EnvironmentID: s.production, Changes: []directory.Change{{Name: "name", New: json.RawMessage(`"X"`)}}}
	ofFjord := renamed
	ofFjord.TenantID = s.fjord
	for name, c := range map[string]struct {
		by   directory.Actor
		e    directory.LogEvent
		want bool
	}{
		"operator":                      {operator, renamed, true},
		"partner":                       {s.partner(), renamed, true},
		"administrator":                 {administrator(s.production), renamed, true},
		"another administrator":         {administrator(s.test), renamed, false},
		"another partner":               {otherPartner, renamed, false},
		"external, partner":             {s.partner(), ofFjord, true},
		"external, administrator":       {administrator(s.production), ofFjord, true},
		"external, other administrator": {administrator(s.test), ofFjord, false},
		"external, elsewhere": {s.partner(), func() directory.LogEvent {
			e := ofFjord
			e.EnvironmentID = s.elsewhere
			return e
		}(), false},
		"nowhere": {administrator(s.test), directory.LogEvent{TargetType: "User", Changes: renamed.Changes}, false},
	} {
		if got := see(c.by, c.e); (got != nil) != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	both := directory.LogEvent{TenantID: s.fjord, Sessions: 3, Actor: directory.Actor{Channel: "scim", ID: "token", Address: "192.0.2.1"}, Accesses: []directory.AccessEffect{
		{EnvironmentID: s.elsewhere, AccountID: number(5), Effect: directory.Deactivated, Sessions: 1}, {EnvironmentID: s.test, AccountID: number(6), Effect: directory.Deactivated, Sessions: 2}}}
	want := both
	want.Accesses, want.Sessions = both.Accesses[1:], 2
	if diff := cmp.Diff(&want, see(s.partner(), both)); diff != "" {
		t.Errorf("of a tenant that was shared (-want +got):\n%s", diff)
	}
	both.Accesses = both.Accesses[:1]
	if got := see(s.partner(), both); got == nil || len(got.Accesses) != 0 || got.Sessions != 0 || got.Actor.ID != "token" {
		t.Errorf("%+v", got)
	}
}

// What a run says of its groups is for who sees the environment of the run.
func TestLogSightOfRuns(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	run := s.startRun(s.production)
	e := directory.LogEvent{TenantID: s.fjord, Actor: directory.Actor{Channel: "pull", ID: "who asked", RunID: run.ID}, Reason: "in no group any more: Secret",
		Changes:  []directory.Change{{Name: "groups", Old: json.RawMessage(`["Secret"]`)}, {Name: "active"}},
		Accesses: []directory.AccessEffect{{EnvironmentID: s.production, AccountID: number(5), Effect: directory.Deactivated}, {EnvironmentID: s.test, AccountID: number(5), Effect: directory.Deactivated}}}
	see := func(by directory.Actor) *directory.LogEvent {
		return view(s.world, func(sn *directory.Snapshot) (*directory.LogEvent, error) {
			sight, err := sn.LogSight(by)
			if err != nil {
				return nil, err
			}
			return sight.Of(&e)
		})
	}
	want := e
	want.Accesses = e.Accesses[:1]
	if diff := cmp.Diff(&want, see(administrator(s.production))); diff != "" {
		t.Errorf("who sees the run (-want +got):\n%s", diff)
	}
	want.Accesses, want.Reason, want.Changes = e.Accesses[1:], "", e.Changes[1:]
	want.Actor.RunID, want.Actor.ID = directory.ID{}, ""
	if diff := cmp.Diff(&want, see(administrator(s.test))); diff != "" {
		t.Errorf("who does not (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&e, see(s.partner())); diff != "" {
		t.Errorf("a partner (-want +got):\n%s", diff)
	}
}

// What is set by hand stands in the log of its environment, also where it changed whether nobody has access.
func TestSetByHandIsInTheEnvironmentsLog(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ivy := s.internal(s.test)
	must2(s.svc.AddInternal(s.ctx, operator, s.production, directory.NewAccess{Email: "ivy@bizz.example", Name: "Ivy"}))
	must(s.svc.SetAccess(s.ctx, operator, s.test, ivy, directory.AccessInput{Name: new("Ivy of test")}))
	must(s.svc.SetAccess(s.ctx, operator, s.production, s.ada.AccountID, directory.AccessInput{Menus: &[]string{"own"}}))
	lines := func(env directory.ID) (all []string) {
		must(0, s.svc.View(s.ctx, func(sn *directory.Snapshot) error {
			return sn.EnvironmentLog(env, 0, false, func(e *directory.LogEvent) bool {
				for _, c := range e.Changes {
					all = append(all, e.TargetName+" "+c.Name+" "+string(c.New))
				}
				return true
			})
		}))
		return all
	}
	if got := lines(s.test); !slices.Equal(got, []string{`ivy@bizz.example name "Ivy of test"`}) {
		t.Errorf("test: %v", got)
	}
	if got := lines(s.production); !slices.Contains(got, `ada@fjord.example menus ["own"]`) || slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, "ivy") }) {
		t.Errorf("production: %v", got)
	}
}

// Who has access to several environments is listed once, however the pages fall.
func TestPeopleAreListedOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.integrate(s.test, s.fjord, s.pilotsID, s.crewID)
	bo := s.createUser(s.fjord, person("bo", 11))
	s.add(s.pilots, bo)
	s.add(s.crew, s.createUser(s.fjord, person("cy", 12)))
	s.internal(s.test)
	must2(s.svc.AddInternal(s.ctx, operator, s.production, directory.NewAccess{Email: "ivy@bizz.example", Name: "Ivy"}))
	want := []string{"ada@fjord.example", "bo@fjord.example", "cy@fjord.example", "ivy@bizz.example"}
	for name, by := range map[string]directory.Actor{"a partner": s.partner(), "an administrator": administrator(s.production, s.test)} {
		for _, f := range []directory.PeopleFilter{{}, {Text: "example"}, {Active: new(true)}} {
			for _, limit := range []int{1, 2, 3, 50} {
				if diff := cmp.Diff(want, everybody(s, by, f, limit)); diff != "" {
					t.Errorf("%s, %+v, by %d (-want +got)\n%s", name, f, limit, diff)
				}
			}
		}
	}
}

// A request that failed may have named anything: it is a line of a person's history only when the person is of its tenant.
func TestFailuresInTheHistoryOfAPerson(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	gone := s.createUser(s.fjord, person("gus", 21))
	s.deleteUser(gone)
	ivy := s.internal(s.test)
	lines := func(id directory.ID) (n int) {
		for _, tenant := range []directory.ID{s.fjord, s.harbor, {}} {
			must(0, s.svc.View(s.ctx, func(sn *directory.Snapshot) error {
				return sn.PersonLog(tenant, id, 0, func(*directory.LogEvent) bool { n++; return true })
			}))
		}
		return n
	}
	for name, c := range map[string]struct {
		tenant, target directory.ID
		kind           string
		want           int
	}{
		"of the tenant":             {s.fjord, s.ada.ID, "User", 1},
		"of another tenant":         {s.harbor, s.ada.ID, "User", 0},
		"an internal user":          {s.fjord, ivy, "User", 0},
		"who has been deleted":      {s.fjord, gone.ID, "User", 0},
		"nobody":                    {s.fjord, number(9999), "User", 0},
		"a group with such an id":   {s.fjord, s.twin.ID, "Group", 0},
		"a user with a group's id":  {s.fjord, s.pilots.ID, "User", 0},
		"another tenant's own user": {s.harbor, s.twin.ID, "User", 1},
	} {
		before := lines(c.target)
		if err := s.svc.LogFailure(s.ctx, push, directory.LogEvent{TenantID: c.tenant, Action: directory.ActionUpdate, TargetType: c.kind, TargetID: c.target.String()}); err != nil {
			t.Fatal(err)
		}
		if got := lines(c.target) - before; got != c.want {
			t.Errorf("%s: %d lines, not %d", name, got, c.want)
		}
	}
}
