package apptest

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

// APIToken makes an API token of a role: of an operator reach is ignored and may be nil. Without scopes it has all. It
// returns the secret.
func (w *World) APIToken(role directory.Role, reach *directory.Reach, scopes ...string) string {
	w.Helper()
	n := directory.NewAPIToken{Name: "Test", Role: role, Scopes: scopes}
	if len(scopes) == 0 {
		n.Scopes = directory.APIScopes
	}
	if reach != nil && role != directory.RoleOperator {
		n.Reach = *reach
	}
	secret := auth.NewAPISecret()
	n.Hash, n.Hint = auth.Hash(secret.Text), secret.Hint
	_, err := w.Service.CreateAPIToken(w.Context(), Operator, n)
	w.Must(err)
	return secret.Text
}

// OperatorAPI is an API of everything.
func (w *World) OperatorAPI(scopes ...string) *API {
	w.Helper()
	return w.API(w.APIToken(directory.RoleOperator, nil, scopes...))
}

// PartnerAPI is an API of what a partner of a customer may.
func (w *World) PartnerAPI(c *Customer, scopes ...string) *API {
	w.Helper()
	return w.API(w.APIToken(directory.RolePartner, &directory.Reach{Organizations: []directory.ID{c.Organization.ID}}, scopes...))
}

// AdminAPI is an API of what an administrator of a customer's Production may.
func (w *World) AdminAPI(c *Customer, scopes ...string) *API {
	w.Helper()
	return w.API(w.APIToken(directory.RoleEnvironment, &directory.Reach{Environments: []directory.ID{c.Production.ID}}, scopes...))
}

// API is a program that sends requests with a token; an empty one: without.
type API struct {
	*Browser
	Token string
}

// API returns a program with a token.
func (w *World) API(token string) *API { return &API{w.SignIn(nil), token} }

// Call sends a request to a path below /api/v1: in, unless nil, as JSON, with names and values of headers in turn.
// What came back goes into out, unless that is nil or the answer is an error.
func (a *API) Call(method, path string, in, out any, header ...string) Answer {
	a.Helper()
	var body bytes.Buffer
	if in != nil {
		a.Must(json.NewEncoder(&body).Encode(in))
		header = append([]string{"Content-Type", "application/json"}, header...)
	}
	if a.Token != "" {
		header = append([]string{"Authorization", "Bearer " + a.Token}, header...)
	}
	got := a.Do(method, "/api/v1"+path, &body, header...)
	if out != nil && got.Status < http.StatusBadRequest && got.Body != "" {
		if err := json.Unmarshal([]byte(got.Body), out); err != nil {
			a.Fatalf("%s %s: %v\n%s", method, path, err, got.Body)
		}
	}
	return got
}
