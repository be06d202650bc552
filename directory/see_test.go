package directory_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/google/go-cmp/cmp"
)

// sight is what an actor sees of fjord (with the tenant fjord) and of harbor (whose tenant both use).
func sight(s *scene, by directory.Actor) string {
	kind := func(err error) string {
		if err == nil {
			return "yes"
		}
		return directory.KindOf(err).String()
	}
	return view(s.world, func(sn *directory.Snapshot) (string, error) {
		out := ""
		add := func(what string, err error) { out += what + ": " + kind(err) + "\n" }
		count := func(what string, n int, err error) {
			out += fmt.Sprintf("%s: %d %s\n", what, n, kind(err))
		}
		orgs, err := sn.SeeOrganizations(by)
		count("organizations", len(orgs), err)
		envs, err := sn.SeeEnvironments(by)
		count("environments", len(envs), err)
		tenants, err := sn.SeeTenants(by)
		count("tenants", len(tenants), err)
		_, err = sn.SeeEnvironment(by, s.production)
		add("production", err)
		_, err = sn.SeeEnvironment(by, s.elsewhere)
		add("elsewhere", err)
		_, err = sn.SeeTenant(by, s.fjord)
		add("fjord", err)
		_, err = sn.SeeTenant(by, s.harbor)
		add("harbor", err)
		_, err = sn.SeeAccount(by, s.ada.AccountID)
		add("ada", err)
		_, err = sn.SeeAccount(by, s.twin.AccountID)
		add("twin", err)
		_, err = sn.SeeGroup(by, s.fjord, s.pilots.ID)
		add("pilots", err)
		_, err = sn.SeeGroup(by, s.harbor, s.harborPilots.ID)
		add("pilots of harbor", err)
		_, err = sn.SeeEnvironment(by, number(999))
		add("nothing", err)
		return out, nil
	})
}

func TestWhatAnActorSees(t *testing.T) {
	t.Parallel()
	const nothing = "nothing: not found\n"
	table := func(orgs, envs, tenants int, production, elsewhere, fjord, harbor, ada, twin, pilots, others string) string {
		return fmt.Sprintf("organizations: %d yes\nenvironments: %d yes\ntenants: %d yes\nproduction: %s\nelsewhere: %s\nfjord: %s\nharbor: %s\nada: %s\ntwin: %s\npilots: %s\npilots of harbor: %s\n",
			orgs, envs, tenants, production, elsewhere, fjord, harbor, ada, twin, pilots, others) + nothing
	}
	const yes, no = "yes", "not found"
	for name, test := range map[string]struct {
		by   func(*scene) directory.Actor
		want string
	}{
		"an operator":                     {func(*scene) directory.Actor { return operator }, table(2, 3, 2, yes, yes, yes, yes, yes, yes, yes, yes)},
		"a partner":                       {(*scene).partner, table(1, 2, 1, yes, no, yes, no, yes, no, yes, no)},
		"an administrator":                {func(s *scene) directory.Actor { return administrator(s.production) }, table(1, 1, 0, yes, no, no, no, yes, no, yes, no)},
		"an administrator of another one": {func(s *scene) directory.Actor { return administrator(s.elsewhere) }, table(1, 1, 0, no, yes, no, no, no, yes, no, yes)},
		"an administrator of nothing":     {func(*scene) directory.Actor { return administrator() }, table(0, 0, 0, no, no, no, no, no, no, no, no)},
		"a partner of the other one": {func(s *scene) directory.Actor {
			return directory.Actor{Role: directory.RolePartner, Reach: &directory.Reach{Organizations: []directory.ID{s.other()}}}
		}, table(1, 1, 0, no, yes, no, no, no, yes, no, yes)},
		"a partner who administers another one": {func(s *scene) directory.Actor {
			return directory.Actor{Role: directory.RolePartner, Reach: &directory.Reach{Organizations: []directory.ID{s.org}, Environments: []directory.ID{s.elsewhere}}}
		}, table(2, 3, 1, yes, yes, yes, no, yes, yes, yes, yes)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			if diff := cmp.Diff(test.want, sight(s, test.by(s))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	for _, role := range []directory.Role{directory.RoleNone, directory.RoleUser, directory.RoleDirectory, directory.RoleSystem} {
		s := newScene(t)
		by := directory.Actor{Role: role, Reach: &directory.Reach{Organizations: []directory.ID{s.org}, Environments: []directory.ID{s.production}}}
		const f = "forbidden"
		want := "organizations: 0 forbidden\nenvironments: 0 forbidden\ntenants: 0 forbidden\n"
		for _, what := range []string{"production", "elsewhere", "fjord", "harbor", "ada", "twin", "pilots", "pilots of harbor", "nothing"} {
			want += what + ": " + f + "\n"
		}
		if diff := cmp.Diff(want, sight(s, by)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", role, diff)
		}
	}
}

// An administrator sees a group only while it is among the Groups to Sync, and a person only with an access.
func TestWhatAnAdministratorStopsSeeing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	by := administrator(s.production)
	group := func() error {
		return s.svc.View(s.ctx, func(sn *directory.Snapshot) error { _, err := sn.SeeGroup(by, s.fjord, s.pilots.ID); return err })
	}
	bo := s.createUser(s.fjord, person("bo", 2))
	wantKind(t, s.svc.View(s.ctx, func(sn *directory.Snapshot) error { _, err := sn.SeeAccount(by, bo.AccountID); return err }), directory.NotFound)
	s.sync(s.production, s.crewID)
	wantKind(t, group(), directory.NotFound)
	if err := s.svc.View(s.ctx, func(sn *directory.Snapshot) error { _, err := sn.SeeAccount(by, s.ada.AccountID); return err }); err != nil {
		t.Errorf("who had access is not seen: %v", err)
	}
	s.sync(s.production, s.pilotsID)
	if err := group(); err != nil {
		t.Error(err)
	}
	s.enable(s.production, false)
	wantKind(t, group(), directory.NotFound)
}

// everybody walks all pages of a list.
func everybody(s *scene, by directory.Actor, f directory.PeopleFilter, limit int) (names []string) {
	after := ""
	for range 1000 {
		page := view(s.world, func(sn *directory.Snapshot) (*directory.PeoplePage, error) { return sn.SeePeople(by, f, after, limit) })
		if len(page.People) > limit {
			s.Errorf("%d people on a page of %d", len(page.People), limit)
		}
		for _, p := range page.People {
			names = append(names, p.Account.UserName)
		}
		if after = page.Next; after == "" {
			return names
		}
	}
	s.Fatalf("the list has no end")
	return nil
}

func TestPeopleThatAnActorSees(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for i, name := range []string{"bo", "cy", "di", "anna"} {
		s.add(s.crew, s.createUser(s.fjord, person(name, 10+i)))
	}
	s.createUser(s.fjord, person("eve", 20)) // in no group
	gone := s.createUser(s.fjord, person("gus", 21))
	s.add(s.crew, gone)
	s.deleteUser(gone)
	s.internal(s.test)
	s.add(s.harborPilots, s.createUser(s.harbor, directory.Profile{UserName: "zed@harbor.example", ExternalID: object(30), Name: "Zed Anderson", Email: "zed@harbor.example", Emails: []string{"zed@harbor.example", "ann@harbor.example", "anz@harbor.example"}, Active: true}))
	active, inactive := true, false
	const ada, bo, cy, di, anna, eve, gus, hand, zed = "ada@fjord.example", "bo@fjord.example", "cy@fjord.example", "di@fjord.example", "anna@fjord.example", "eve@fjord.example", "gus@fjord.example", "ivy@bizz.example", "zed@harbor.example"
	for name, test := range map[string]struct {
		by   directory.Actor
		f    directory.PeopleFilter
		want []string
	}{
		"an operator, all":                 {operator, directory.PeopleFilter{}, []string{ada, ada, bo, cy, di, anna, eve, gus, hand, zed}},
		"a partner, all":                   {s.partner(), directory.PeopleFilter{}, []string{ada, bo, cy, di, anna, eve, gus, hand}},
		"an administrator, all":            {administrator(s.production), directory.PeopleFilter{}, []string{ada, bo, cy, di, anna, gus}},
		"an administrator of two":          {administrator(s.production, s.test), directory.PeopleFilter{}, []string{ada, bo, cy, di, anna, gus, hand}},
		"an administrator of nothing":      {administrator(), directory.PeopleFilter{}, nil},
		"an administrator of the other":    {administrator(s.elsewhere), directory.PeopleFilter{}, []string{ada, zed}},
		"internal":                         {operator, directory.PeopleFilter{Internal: true}, []string{hand}},
		"internal, a partner":              {s.partner(), directory.PeopleFilter{Internal: true}, []string{hand}},
		"of a tenant":                      {operator, directory.PeopleFilter{TenantID: s.harbor}, []string{ada, zed}},
		"of a tenant, with who is gone":    {s.partner(), directory.PeopleFilter{TenantID: s.fjord}, []string{ada, bo, cy, di, anna, eve, gus}},
		"of an environment":                {operator, directory.PeopleFilter{EnvironmentID: s.production}, []string{ada, bo, cy, di, anna, gus}},
		"active in an environment":         {operator, directory.PeopleFilter{EnvironmentID: s.production, Active: &active}, []string{ada, bo, cy, di, anna}},
		"inactive in an environment":       {s.partner(), directory.PeopleFilter{EnvironmentID: s.production, Active: &inactive}, []string{gus}},
		"active":                           {s.partner(), directory.PeopleFilter{Active: &active}, []string{ada, bo, cy, di, anna, hand}},
		"inactive":                         {s.partner(), directory.PeopleFilter{Active: &inactive}, []string{eve, gus}},
		"a beginning, then a part":         {operator, directory.PeopleFilter{Text: "AN"}, []string{anna, zed}},
		"a beginning in two tenants":       {operator, directory.PeopleFilter{Text: "ada"}, []string{ada, ada}},
		"a part of a name":                 {operator, directory.PeopleFilter{Text: "anders"}, []string{zed}},
		"a part of who is gone":            {s.partner(), directory.PeopleFilter{Text: "gus"}, []string{gus}},
		"another's is not found":           {s.partner(), directory.PeopleFilter{Text: "zed"}, nil},
		"another's e-mail is not found":    {administrator(s.production), directory.PeopleFilter{Text: "anz@harbor"}, nil},
		"a part in an environment":         {administrator(s.production), directory.PeopleFilter{Text: "fjord.example", EnvironmentID: s.production}, []string{ada, bo, cy, di, anna, gus}},
		"nobody":                           {operator, directory.PeopleFilter{Text: "nobody"}, nil},
		"an internal one by the beginning": {administrator(s.test), directory.PeopleFilter{Text: "ivy"}, []string{hand}},
	} {
		for _, limit := range []int{1, 2, 3, 50} {
			got := everybody(s, test.by, test.f, limit)
			want := slices.Clone(test.want)
			if test.f.Text != "" { // what an index finds comes in its order
				slices.Sort(got)
				slices.Sort(want)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, by %d (-want +got)\n%s", name, limit, diff)
			}
		}
	}
	for name, test := range map[string]struct {
		by    directory.Actor
		f     directory.PeopleFilter
		after string
		want  directory.ErrorKind
	}{
		"a user":                {directory.Actor{Role: directory.RoleUser}, directory.PeopleFilter{}, "", directory.Forbidden},
		"another's environment": {s.partner(), directory.PeopleFilter{EnvironmentID: s.elsewhere}, "", directory.NotFound},
		"another's tenant":      {administrator(s.elsewhere), directory.PeopleFilter{TenantID: s.fjord}, "", directory.NotFound},
		"no place":              {operator, directory.PeopleFilter{}, "x", directory.Invalid},
		"half a place":          {operator, directory.PeopleFilter{}, "sAAAA", directory.Invalid},
		"no place of an index":  {operator, directory.PeopleFilter{Text: "a"}, "p", directory.Invalid},
		"a NUL":                 {operator, directory.PeopleFilter{Text: "a\x00"}, "", directory.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			wantKind(t, s.svc.View(s.ctx, func(sn *directory.Snapshot) error {
				_, err := sn.SeePeople(test.by, test.f, test.after, 10)
				return err
			}), test.want)
		})
	}
}
