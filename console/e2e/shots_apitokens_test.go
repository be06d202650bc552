package e2e_test

import (
	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

var apiTokenShots = []shot{
	{name: "apitokens", who: boss, path: at("/api-tokens")},
	{name: "apitokens-new", who: boss, path: at("/api-tokens/new")},
	{name: "apitokens-one", who: boss, path: func(w *apptest.World) string { return "/api-tokens/" + shownAPIToken.String() }},
	{name: "apitokens-reference", who: boss, path: at("/api"), open: ".operation summary"},
}

var shownAPIToken directory.ID

func furnishAPITokens(w *apptest.World) {
	made := func(name string, role directory.Role, reach directory.Reach, scopes ...string) *directory.APIToken {
		secret := auth.NewAPISecret()
		t, err := w.Service.CreateAPIToken(w.Context(), apptest.Operator, directory.NewAPIToken{Name: name, Role: role, Reach: reach, Scopes: scopes, Hash: auth.Hash(secret.Text), Hint: secret.Hint})
		w.Must(err)
		return t
	}
	old := made("Monitoring (old)", directory.RoleOperator, directory.Reach{}, "settings:read")
	_, err := w.Service.RevokeAPIToken(w.Context(), apptest.Operator, old.ID)
	w.Must(err)
	made("Nordwind HR export", directory.RoleEnvironment, directory.Reach{Environments: []directory.ID{w.Nordwind.Production.ID}}, "users:read", "log:read")
	made("Fjord partner portal", directory.RolePartner, directory.Reach{Organizations: []directory.ID{w.Fjord.Organization.ID}}, directory.APIScopes...)
	production := made("BizzStream production", directory.RoleOperator, directory.Reach{}, "environments:read", "users:read", "changes:read", "webhooks:write")
	shownAPIToken = production.ID
	w.Must(w.Service.TouchAPIToken(w.Context(), production.ID, "192.0.2.17"))
}
