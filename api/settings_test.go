package api_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/api"
	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/directory"
)

// settingsWorld is the API on the directory of a world, before callers that the test names: a token is the name of a
// role, and each has the scopes of the settings unless it says otherwise.
type settingsWorld struct {
	*apptest.World
	handler http.Handler
	scopes  []string
}

// callers knows a token by the name of a role.
type callers struct{ w *settingsWorld }

func (c callers) Authenticate(_ context.Context, token, _ string) (directory.Actor, []string, error) {
	reach := &directory.Reach{Organizations: []directory.ID{c.w.Fjord.Organization.ID}, Environments: []directory.ID{c.w.Fjord.Production.ID}}
	switch role := map[string]directory.Role{"operator": directory.RoleOperator, "partner": directory.RolePartner, "environment": directory.RoleEnvironment}[token]; role {
	case directory.RoleOperator, directory.RolePartner, directory.RoleEnvironment:
		return directory.Actor{Role: role, ID: "token", Reach: reach}, c.w.scopes, nil
	}
	return directory.Actor{}, nil, &directory.Error{Kind: directory.Unauthorized, Detail: "no such token"}
}

func newSettingsWorld(t *testing.T) *settingsWorld {
	t.Helper()
	w := &settingsWorld{World: apptest.New(t, nil), scopes: []string{"settings:read", "settings:write", "environments:read"}}
	w.handler = api.NewHandler(api.Config{Desk: w.App.Desk(), Tokens: callers{w}, Address: func(*http.Request) string { return "192.0.2.7" },
		RequestID: func(*http.Request) string { return "r1" }, URL: func() string { return w.Server.URL }, Version: "test", Log: slog.New(slog.DiscardHandler)})
	return w
}

// call answers a request; want is the status.
func (w *settingsWorld) call(t *testing.T, role, method, path, body string, want int) map[string]any {
	t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, api.Prefix+path, in)
	r.Header.Set("Authorization", "Bearer "+role)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	out := httptest.NewRecorder()
	w.handler.ServeHTTP(out, r)
	if out.Code != want {
		t.Fatalf("%s %s as %s: %d, not %d\n%s", method, path, role, out.Code, want, out.Body)
	}
	var m map[string]any
	if err := json.Unmarshal(out.Body.Bytes(), &m); err != nil {
		t.Fatalf("%s %s: %v\n%s", method, path, err, out.Body)
	}
	return m
}

func TestSettingsOfTheAPI(t *testing.T) {
	t.Parallel()
	w := newSettingsWorld(t)
	health := w.call(t, "operator", "GET", "/settings/health", "", 200)
	if health["level"] == "" || health["server"].(map[string]any)["version"] != "dev" || len(health["pushes"].([]any)) != 60 || len(health["checks"].([]any)) != 5 {
		t.Errorf("health %v", health)
	}
	if all := w.call(t, "operator", "GET", "/settings/configuration", "", 200); all["total"].(float64) < 30 {
		t.Errorf("configuration %v", all)
	}
	if first := w.call(t, "operator", "GET", "/settings/first-steps", "", 200); first["secondFactor"] != false || first["people"] != true || first["directory"] != true || first["environment"] != true {
		t.Errorf("first steps %v", first)
	}
	if key := w.call(t, "operator", "POST", "/settings/signing-keys", "", 201); key["id"] == "" || key["from"] == nil {
		t.Errorf("key %v", key)
	}
	keys, _ := json.Marshal(w.call(t, "operator", "GET", "/settings/signing-keys", "", 200))
	if !strings.Contains(string(keys), `"id":"`) || strings.Contains(string(keys), "sealed") {
		t.Errorf("keys %s", keys)
	}
}

func TestPeopleOfTheAPI(t *testing.T) {
	t.Parallel()
	w := newSettingsWorld(t)
	plain := "/settings/people/" + w.Fjord.Plain.ID.String()
	given := w.call(t, "operator", "POST", "/settings/people", `{"who":"ana@fjord.example","partnerOf":"`+w.Fjord.Organization.ID.String()+`"}`, 200)
	if len(given["partnerOf"].([]any)) != 1 || given["operator"] != false {
		t.Errorf("given %v", given)
	}
	given = w.call(t, "operator", "PATCH", plain, `{"operator":true}`, 200)
	if len(given["partnerOf"].([]any)) != 1 || given["operator"] != true {
		t.Errorf("what was absent did not stay: %v", given)
	}
	given = w.call(t, "operator", "PATCH", plain, `{"operator":false,"partnerOf":[]}`, 200)
	if len(given["partnerOf"].([]any)) != 0 || given["operator"] != false {
		t.Errorf("taken %v", given)
	}
	w.call(t, "operator", "PATCH", plain, `{"operater":true}`, 422)
	w.call(t, "operator", "POST", "/settings/people", `{"who":"ana@fjord.example"}`, 422)
	w.call(t, "operator", "GET", "/settings/people/"+w.Fjord.Tenant.ID.String(), "", 404)
	w.call(t, "operator", "POST", plain+"/links", `{"kind":"password"}`, 409)
	w.call(t, "operator", "POST", plain+"/links", `{"kind":"setup"}`, 422)
	w.call(t, "operator", "POST", plain+"/second-factor/remove", "", 409)
	link := w.call(t, "operator", "POST", "/settings/invitations", `{"email":"nina@maxedy.example","name":"Nina"}`, 201)
	if !strings.HasPrefix(link["url"].(string), w.Server.URL+"/password/bzl_") || link["kind"] != "password" {
		t.Errorf("link %v", link)
	}
	w.call(t, "operator", "POST", "/settings/invitations", `{"email":"nina@maxedy.example"}`, 409)
	if all := w.call(t, "operator", "GET", "/settings/people", "", 200); all["total"] != 4.0 {
		t.Errorf("people %v", all)
	}
}

func TestSettingsOfTheAPIAreForOperators(t *testing.T) {
	t.Parallel()
	w := newSettingsWorld(t)
	person := "/settings/people/" + w.Boss.ID.String()
	for _, role := range []string{"partner", "environment"} {
		for _, path := range []string{"/settings/health", "/settings/configuration", "/settings/first-steps", "/settings/signing-keys", "/settings/people", person} {
			w.call(t, role, "GET", path, "", 403)
		}
		w.call(t, role, "POST", "/settings/signing-keys", "", 403)
		w.call(t, role, "POST", "/settings/people", `{"who":"ana@fjord.example","operator":true}`, 403)
		w.call(t, role, "PATCH", person, `{"operator":false}`, 403)
		w.call(t, role, "POST", "/settings/invitations", `{"email":"x@y.example"}`, 403)
		w.call(t, role, "POST", person+"/links", `{"kind":"sign-in"}`, 403)
		w.call(t, role, "POST", person+"/second-factor/remove", "", 403)
	}
	w.scopes = []string{"settings:read"}
	w.call(t, "operator", "POST", "/settings/signing-keys", "", 403)
	w.call(t, "operator", "GET", "/search?q=a", "", 403)
	w.scopes = nil
	w.call(t, "operator", "GET", "/settings/health", "", 403)
	w.call(t, "nobody", "GET", "/settings/health", "", 401)
}

func TestSearchOfTheAPI(t *testing.T) {
	t.Parallel()
	w := newSettingsWorld(t)
	for role, want := range map[string]float64{"operator": 2, "partner": 1, "environment": 1} {
		if all := w.call(t, role, "GET", "/search?q=ana", "", 200); all["total"] != want {
			t.Errorf("%s finds %v", role, all)
		}
	}
	w.call(t, "operator", "GET", "/search", "", 422)
	w.call(t, "operator", "GET", "/search?q=a&x=1", "", 422)
}
