package e2e_test

import (
	"fmt"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/directory"
)

// usersMade are those of furnishUsers that pages are shown of.
var usersMade struct{ gone, taken, internal directory.ID }

var userShots = []shot{
	{"users", boss, at("/users"), ""},
	{"users-search", boss, at("/users?text=van"), ""},
	{"users-none", boss, at("/users?text=zebra"), ""},
	{"users-admin", admin, at("/users"), ""},
	{"user", boss, func(w *apptest.World) string { return "/users/" + w.Fjord.Admin.ID.String() }, ""},
	{"user-without-access", boss, func(*apptest.World) string { return "/users/" + usersMade.taken.String() }, ""},
	{"user-deleted", boss, func(*apptest.World) string { return "/users/" + usersMade.gone.String() }, ""},
	{"user-internal", boss, func(*apptest.World) string { return "/users/" + usersMade.internal.String() }, ""},
	{"user-access", admin, func(w *apptest.World) string {
		return "/users/" + usersMade.internal.String() + "/access/" + w.Fjord.Production.ID.String()
	}, ""},
	{"users-add", admin, func(w *apptest.World) string { return "/users/add?environment=" + w.Fjord.Production.ID.String() }, ""},
	{"users-conflicts", boss, at("/conflicts"), ""},
	{"groups", boss, func(w *apptest.World) string { return "/groups?tenant=" + w.Fjord.Tenant.ID.String() }, ""},
	{"group", boss, func(w *apptest.World) string {
		return "/groups/" + w.Fjord.Tenant.ID.String() + "/" + w.Fjord.Group.ID.String()
	}, ""},
}

// furnishUsers fills Fjord with people: some in Sales, one whom provisioning took out, one who is deleted, one who is disabled, one
// internal, and a conflict.
func furnishUsers(w *apptest.World) {
	ctx, tenant := w.Context(), w.Fjord.Tenant.ID
	push := directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: tenant.String()}
	var made []*directory.User
	for i, name := range []string{"Sanne van Dijk", "Daan de Vries", "Lotte Bakker", "Bram Visser", "Fleur Smit", "Joost van der Berg", "Ingrid Solberg", "Erik Haugen", "Nora Lie", "Mia Hansen"} {
		user := fmt.Sprintf("person%02d@fjord.example", i)
		object := fmt.Sprintf("c0ffee%02d-00ab-4000-8000-00000000%04d", i, i)
		u, err := w.Service.CreateUser(ctx, push, tenant, directory.UserInput{Profile: directory.Profile{UserName: user, ExternalID: object, Name: name, Email: user, Emails: []string{user}, Language: "nl", Active: i != 3},
			Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:User"]`), Attributes: []byte(`{"userName":"` + user + `","externalId":"` + object + `","displayName":"` + name + `","active":true}`)})
		w.Must(err)
		made = append(made, u)
	}
	members := func(group *directory.Group, fn func(*directory.Membership) error) {
		_, err := w.Service.UpdateGroup(ctx, push, tenant, group.ID, func(g *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
			return directory.GroupInput{DisplayName: g.DisplayName, ExternalID: g.ExternalID, Schemas: g.Schemas, Attributes: g.Attributes}, fn(m)
		})
		w.Must(err)
	}
	var ids []directory.ID
	for _, u := range made[:8] {
		ids = append(ids, u.ID)
	}
	members(w.Fjord.Group, func(m *directory.Membership) error { return m.Add(ids) })
	members(w.Fjord.Group, func(m *directory.Membership) error { return m.Remove(ids[:1]) })
	for i, name := range []string{"Finance", "Warehouse Rotterdam", "Planning"} {
		_, err := w.Service.CreateGroup(ctx, push, tenant, directory.GroupInput{DisplayName: name, ExternalID: fmt.Sprintf("decade%02d-00ab-4000-8000-000000000000", i), Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:Group"]`), Attributes: []byte(`{}`)}, ids[i:i+3])
		w.Must(err)
	}
	w.Must(w.Service.DeleteUser(ctx, push, tenant, made[1].ID, nil))
	usersMade.taken, usersMade.gone = made[0].AccountID, made[1].AccountID
	_, err := w.Service.SetMenus(ctx, apptest.Operator, w.Fjord.Production.ID, []string{"Orders", "Stock", "Invoices", "Planning"})
	w.Must(err)
	a, _, err := w.Service.AddInternal(ctx, apptest.Operator, w.Fjord.Production.ID, directory.NewAccess{Email: "ivy@maxedy.example", Name: "Ivy van Leeuwen", Language: "nl", Locale: "nl-NL", Menus: []string{"Orders", "Invoices"}, Password: "$argon2id$"})
	w.Must(err)
	usersMade.internal = a.AccountID
	ivy := directory.Profile{UserName: "ivy@maxedy.example", ExternalID: "c0ffee99-00ab-4000-8000-000000000099", Name: "Ivy van Leeuwen", Email: "ivy@maxedy.example", Emails: []string{"ivy@maxedy.example"}, Active: true}
	_, err = w.Service.CreateUser(ctx, push, tenant, directory.UserInput{Profile: ivy, Schemas: []byte(`[]`), Attributes: []byte(`{}`)})
	if err == nil {
		w.Fatal("an internal user was taken over")
	}
	w.Must(w.Service.LogFailure(ctx, push, directory.LogEvent{TenantID: tenant, Action: directory.ActionCreate, TargetType: "User", TargetName: ivy.UserName, ExternalID: ivy.ExternalID, Detail: err.Error()}))
	w.SignIn(w.Fjord.Admin)
}
