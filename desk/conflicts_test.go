package desk_test

import (
	"fmt"
	"testing"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// Who could not be provisioned comes in pages, the last tried first, each once; who is provisioned by now, never.
func TestConflictsInPages(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	by := directory.Actor{Role: directory.RoleDirectory, Channel: "scim"}
	const people = 7
	for i := range people + 3 { // the first ones are tried again
		for _, c := range []*apptest.Customer{w.Fjord, w.Nordwind} {
			w.Must(w.Service.LogFailure(t.Context(), by, directory.LogEvent{TenantID: c.Tenant.ID, Action: directory.ActionCreate, TargetType: "User", TargetName: fmt.Sprintf("guest%d@elsewhere.example", i%people)}))
		}
	}
	w.Must(w.Service.LogFailure(t.Context(), by, directory.LogEvent{TenantID: w.Fjord.Tenant.ID, Action: directory.ActionCreate, TargetType: "User", TargetName: w.Fjord.Users[0].UserName}))
	partner := directory.Actor{Role: directory.RolePartner, Reach: &directory.Reach{Organizations: []directory.ID{w.Fjord.Organization.ID}}}
	for _, x := range []struct {
		by   directory.Actor
		want int
	}{{apptest.Operator, 2 * people}, {partner, people}} {
		for _, limit := range []int{1, 3, people, 2 * people, 50} {
			var got []string
			p := desk.Page{Limit: limit}
			for pages := 0; pages == 0 || p.After != ""; pages++ {
				list, err := w.App.Desk().Conflicts(t.Context(), x.by, p)
				w.Must(err)
				if list.Total != int64(x.want) || len(list.Items) > limit || len(list.Items) == 0 {
					t.Fatalf("%d of %d on a page of %d", len(list.Items), list.Total, limit)
				}
				for _, c := range list.Items {
					got = append(got, c.Tenant.Name+" "+c.UserName)
				}
				p.After = list.Next
			}
			seen := map[string]bool{}
			for _, name := range got {
				seen[name] = true
			}
			if len(got) != x.want || len(seen) != x.want || got[len(got)-1][len(got[len(got)-1])-len("guest3@elsewhere.example"):] != "guest3@elsewhere.example" {
				t.Errorf("pages of %d: %q", limit, got)
			}
		}
	}
	_, err := w.App.Desk().Conflicts(t.Context(), apptest.Operator, desk.Page{After: "x"})
	if directory.KindOf(err) != directory.Invalid {
		t.Errorf("a page that is not there: %v", err)
	}
}

// Who does not see the account in the way is not told what it is; that it is an operator's, nobody but operators.
func TestConflictsTellNoRolesOfOthers(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	w.Must(w.Service.LogFailure(t.Context(), directory.Actor{Role: directory.RoleDirectory, Channel: "scim"}, directory.LogEvent{TenantID: w.Nordwind.Tenant.ID, Action: directory.ActionCreate,
		TargetType: "User", TargetName: w.Boss.Email}))
	kind := func(by directory.Actor, want string, internal bool) {
		t.Helper()
		list, err := w.App.Desk().Conflicts(t.Context(), by, desk.Page{})
		if err != nil || len(list.Items) != 1 || list.Items[0].Kind != want || (list.Items[0].Internal != nil) != internal {
			t.Errorf("%v, %+v; not %s", err, list.Items, want)
		}
	}
	kind(partner(w.Nordwind), "untrusted-domain", false)
	kind(apptest.Operator, "protected", true)
	_, err := w.Service.SetTenant(t.Context(), apptest.Operator, w.Nordwind.Tenant.ID, func(x *directory.Tenant) error {
		x.TrustedDomains = []string{"maxedy.example"}
		return nil
	})
	w.Must(err)
	kind(partner(w.Nordwind), "other", false)
	_, err = w.Service.ProtectAccount(t.Context(), apptest.Operator, w.Boss.ID, false)
	w.Must(err)
	kind(partner(w.Nordwind), "other", false)
	kind(apptest.Operator, "has-role", true)
	_, _, err = w.Service.AddInternal(t.Context(), apptest.Operator, w.Nordwind.Production.ID, directory.NewAccess{Email: w.Boss.Email, Name: "Bo"})
	w.Must(err)
	kind(partner(w.Nordwind), "other", true)
	_, err = w.Service.SetRoles(t.Context(), apptest.Operator, w.Boss.ID, directory.RoleInput{Partner: map[directory.ID]bool{w.Nordwind.Organization.ID: true}})
	w.Must(err)
	kind(partner(w.Nordwind), "has-role", true)
	_, err = w.Service.ProtectAccount(t.Context(), apptest.Operator, w.Boss.ID, true)
	w.Must(err)
	kind(partner(w.Nordwind), "protected", true)
}
