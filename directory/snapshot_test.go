package directory_test

import (
	"slices"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
)

func TestListsAndNames(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		orgs, tenants := must(sn.Organizations()), must(sn.Tenants())
		if len(orgs) != 2 || len(tenants) != 2 || len(must(sn.Environments(directory.ID{}))) != 3 || len(must(sn.Environments(s.org))) != 2 {
			t.Errorf("%d organizations and %d tenants", len(orgs), len(tenants))
		}
		if o := must(sn.OrganizationByName("FJORD")); o.ID != s.org {
			t.Errorf("organization: %+v", o)
		}
		if x := must(sn.TenantByName("harbor")); x.ID != s.harbor {
			t.Errorf("tenant: %+v", x)
		}
		if x := must(directory.DecodeTenant(must(sn.TenantRecord(s.fjord)))); x.Name != "fjord" {
			t.Errorf("tenant: %+v", x)
		}
		if all := must(sn.EnvironmentsByName("Production")); len(all) != 2 || all[0].ID != s.production || all[1].ID != s.elsewhere {
			t.Errorf("environments: %+v", all)
		}
		_, err := sn.OrganizationByName("nobody")
		wantKind(t, err, directory.NotFound)
		_, err = sn.TenantByName("nobody")
		wantKind(t, err, directory.NotFound)
		return true, nil
	})
}

// Lists go on where the last page ended, in the order of creation.
func TestPages(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	all := []directory.ID{s.ada.ID}
	for i, name := range []string{"bo", "cleo", "dag", "eli"} {
		all = append(all, s.createUser(s.fjord, person(name, 10+i)).ID)
	}
	s.updateGroup(s.crew, func(m *directory.Membership) error { return m.Add(all) })
	type list func(sn *directory.Snapshot, after directory.ID, skip int, fn func(directory.ID) bool) error
	for name, list := range map[string]list{
		"Users": func(sn *directory.Snapshot, after directory.ID, skip int, fn func(directory.ID) bool) error {
			return sn.Users(s.fjord, after, skip, func(u *directory.User) bool { return fn(u.ID) })
		},
		"Members": func(sn *directory.Snapshot, after directory.ID, skip int, fn func(directory.ID) bool) error {
			return sn.Members(s.fjord, s.crew.ID, after, func(m directory.Member) bool { skip--; return skip >= 0 || fn(m.ID) })
		},
		"EnvironmentAccesses": func(sn *directory.Snapshot, after directory.ID, skip int, fn func(directory.ID) bool) error {
			return sn.EnvironmentAccesses(s.production, true, after, func(a directory.ID) bool { skip--; return skip >= 0 || fn(a) })
		},
	} {
		view(s.world, func(sn *directory.Snapshot) (bool, error) {
			for from := range all {
				for skip := range len(all) - from {
					var after directory.ID
					if from > 0 {
						after = all[from-1]
					}
					var got []directory.ID
					err := list(sn, after, skip, func(id directory.ID) bool { got = append(got, id); return len(got) < 2 })
					want := all[from+skip:]
					if want = want[:min(2, len(want))]; err != nil || !slices.Equal(got, want) {
						t.Errorf("%s from %d, past %d: %v, %v, want %v", name, from, skip, got, err, want)
					}
				}
			}
			return true, nil
		})
	}
}
