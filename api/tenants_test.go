package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/api"
	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

// tenantAPI is a server with the API of programs that stand for a role, with scopes: "partner tenants:read" is one of Fjord.
func tenantAPI(t *testing.T) (*apptest.World, func(who, method, path, body string) (int, map[string]any)) {
	w := apptest.New(t, nil)
	secrets := map[string]string{}
	secretOf := func(who string) string {
		if secrets[who] == "" {
			role, scopes, _ := strings.Cut(who, " ")
			n := directory.NewAPIToken{Name: who, Role: directory.Role(role), Scopes: strings.Fields(scopes)}
			if role == "partner" {
				n.Reach.Organizations = []directory.ID{w.Fjord.Organization.ID}
			}
			secret := auth.NewAPISecret()
			n.Hash, n.Hint = secret.Hash, secret.Hint
			_, err := w.Service.CreateAPIToken(w.Context(), apptest.Operator, n)
			w.Must(err)
			secrets[who] = secret.Text
		}
		return secrets[who]
	}
	b := w.SignIn(nil)
	return w, func(who, method, path, body string) (int, map[string]any) {
		t.Helper()
		got := b.Do(method, api.Prefix+path, strings.NewReader(body), "Authorization", "Bearer "+secretOf(who), "Content-Type", "application/json")
		var out map[string]any
		if got.Body != "" {
			if err := json.Unmarshal([]byte(got.Body), &out); err != nil {
				t.Fatalf("%s %s: %v\n%s", method, path, err, got.Body)
			}
		}
		return got.Status, out
	}
}

const (
	allScopes = "tenants:read tenants:write tokens:read tokens:write"
	partner   = "partner " + allScopes
)

func TestTenantsOverTheAPI(t *testing.T) {
	t.Parallel()
	w, call := tenantAPI(t)
	fjord, nordwind := "/tenants/"+w.Fjord.Tenant.ID.String(), "/tenants/"+w.Nordwind.Tenant.ID.String()
	token := fjordToken(w)
	for _, c := range []struct {
		method, rest, body string
		status             int
	}{
		{"GET", "", "", 200}, {"PATCH", "", `{"scim":{"strict":true},"signIn":{"label":"Fjord"}}`, 200}, {"POST", "/test", "", 200}, {"GET", "/setup", "", 200},
		{"GET", "/credentials", "", 200}, {"PUT", "/credentials/graph", `{"secret":"abc~0123456789012345"}`, 200}, {"DELETE", "/credentials/graph", "", 204},
		{"GET", "/tokens", "", 200}, {"POST", "/tokens/" + token + "/rotate", `{"overlapHours":1}`, 201}, {"POST", "/tokens/" + token + "/revoke", "", 204}, {"POST", "/tokens", `{"name":"two","days":30}`, 201},
		{"GET", "/clients", "", 200}, {"POST", "/clients", `{"clientId":"entra"}`, 201}, {"POST", "/clients/entra/rotate", `{"overlapHours":0}`, 201}, {"POST", "/clients/entra/revoke", "", 204},
		{"GET", "/setup-links", "", 200}, {"POST", "/setup-links", `{"hours":1}`, 201}, {"POST", "/setup-links/revoke", "", 204},
	} {
		if status, out := call(partner, c.method, nordwind+c.rest, c.body); status != http.StatusNotFound {
			t.Errorf("%s %s of the other customer: %d %v", c.method, c.rest, status, out)
		}
		for _, scope := range []string{"partner environments:read"} {
			if status, _ := call(scope, c.method, fjord+c.rest, c.body); status != http.StatusForbidden {
				t.Errorf("%s %s without its scope: %d", c.method, c.rest, status)
			}
		}
		if c.method != "GET" {
			if status, _ := call("partner tenants:read tokens:read", c.method, fjord+c.rest, c.body); status != http.StatusForbidden {
				t.Errorf("%s %s with scopes to read: %d", c.method, c.rest, status)
			}
		}
		if status, out := call(partner, c.method, fjord+c.rest, c.body); status != c.status {
			t.Errorf("%s %s: %d, not %d: %v", c.method, c.rest, status, c.status, out)
		}
	}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"PATCH", fjord, `{"unknown":1}`, 422}, {"PATCH", fjord, `{"scim":{"userPatch":500}}`, 422}, {"PATCH", fjord, `{"scim":{"extensions":[{}]}}`, 422}, {"PATCH", fjord, `{"trustedDomains":["x.example"]}`, 403},
		{"PATCH", fjord, `{"name":"nordwind"}`, 409}, {"POST", "/tenants", `{"name":"new","organizations":["` + w.Nordwind.Organization.ID.String() + `"]}`, 404},
		{"POST", fjord + "/tokens", `{"days":367}`, 422}, {"POST", fjord + "/setup-links", `{"hours":169}`, 422}, {"PUT", fjord + "/credentials/other", `{"secret":"x"}`, 422}, {"PUT", fjord + "/credentials/graph", `{}`, 422},
		{"PUT", fjord + "/credentials/graph", `{"tokenFile":"/etc/passwd"}`, 403}, {"GET", "/tenants?limit=501", "", 422}, {"GET", "/tenants?unknown=1", "", 422}, {"GET", "/tenants/x", "", 422},
	} {
		if status, out := call(partner, c.method, c.path, c.body); status != c.status {
			t.Errorf("%s %s %s: %d, not %d: %v", c.method, c.path, c.body, status, c.status, out)
		}
	}
	_, tested := call(partner, "POST", fjord+"/test", "")
	if tested["ok"] != false {
		t.Errorf("test: %v", tested)
	}
}

// fjordToken is the id of the Secret Token of Fjord.
func fjordToken(w *apptest.World) (id string) {
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
		all, err := sn.Tokens(w.Fjord.Tenant.ID, directory.SecretToken)
		id = all[0].ID.String()
		return err
	}))
	return id
}

func TestTenantsArePaged(t *testing.T) {
	t.Parallel()
	w, call := tenantAPI(t)
	for _, name := range []string{"fjord-c", "fjord-a", "fjord-b"} {
		if status, out := call(partner, "POST", "/tenants", `{"name":"`+name+`","organizations":["`+w.Fjord.Organization.ID.String()+`"]}`); status != http.StatusCreated || out["tenantUrl"] != w.Server.URL+"/scim/"+name+"/v2?aadOptscim062020" {
			t.Fatalf("%d %v", status, out)
		}
	}
	walk := func(token, query string) string {
		var names []string
		for after := ""; ; {
			status, out := call(token, "GET", "/tenants?limit=2&after="+after+query, "")
			if status != http.StatusOK || len(names) > 9 {
				t.Fatalf("%d %v", status, out)
			}
			for _, x := range out["items"].([]any) {
				names = append(names, x.(map[string]any)["name"].(string))
			}
			next, more := out["next"].(string)
			if !more {
				return strings.Join(names, " ")
			}
			after = next
		}
	}
	for _, c := range []struct{ token, query, want string }{
		{partner, "", "fjord fjord-a fjord-b fjord-c"}, {"operator " + allScopes, "", "fjord fjord-a fjord-b fjord-c nordwind"},
		{partner, "&text=-B", "fjord-b"}, {partner, "&organization=" + w.Nordwind.Organization.ID.String(), ""}, {partner, "&text=nordwind", ""},
	} {
		if got := walk(c.token, c.query); got != c.want {
			t.Errorf("%s%s: %s", c.token, c.query, got)
		}
	}
}
