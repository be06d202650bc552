package console_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/directory"
)

var shownToken = regexp.MustCompile(`bzk_[0-9A-Za-z]{49}`)

func TestAPITokenPages(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	partner := w.SignIn(w.Fjord.Partner)
	if got := partner.Get("/api-tokens"); got.Status != http.StatusOK || !strings.Contains(got.Body, "No API tokens yet") {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	form := partner.Get("/api-tokens/new")
	if form.Status != http.StatusOK || strings.Contains(form.Body, "role-operator") || strings.Contains(form.Body, "role-environment") || strings.Contains(form.Body, "Nordwind") || !strings.Contains(form.Body, "Fjord Logistics") {
		t.Errorf("the form of a partner: %d\n%s", form.Status, form.Body)
	}
	if form := w.SignIn(w.Boss).Get("/api-tokens/new"); !strings.Contains(form.Body, "role-operator") || !strings.Contains(form.Body, "Fjord Logistics / Finance") {
		t.Errorf("the form of an operator: %d\n%s", form.Status, form.Body)
	}
	name := `<script>alert(1)</script>`
	made := partner.Post("/api-tokens", "name", name, "role", "partner", "organization", w.Fjord.Organization.ID.String(), "scope", "environments:read", "scope", "tokens:write", "days", "7")
	secret := shownToken.FindString(made.Body)
	if made.Status != http.StatusCreated || secret == "" || strings.Contains(made.Body, name) || made.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s", made.Status, made.Body)
	}
	if got := w.API(secret).Call(http.MethodGet, "/organizations", nil, nil); got.Status != http.StatusOK {
		t.Errorf("the token does not work: %d", got.Status)
	}
	list := partner.Get("/api-tokens")
	path := regexp.MustCompile(`/api-tokens/[0-9a-f-]{36}`).FindString(list.Body)
	if path == "" || strings.Contains(list.Body, secret) || strings.Contains(list.Body, name) {
		t.Fatalf("the list: %s", list.Body)
	}
	if one := partner.Get(path); one.Status != http.StatusOK || strings.Contains(one.Body, secret) || strings.Contains(one.Body, name) {
		t.Errorf("the token is shown again, or its name is markup: %d", one.Status)
	}
	for who, b := range map[string]*apptest.Browser{"the other customer's partner": w.SignIn(w.Nordwind.Partner)} {
		for _, got := range []apptest.Answer{b.Get(path), b.Post(path + "/revoke"), b.Post(path+"/rotate", "overlap", "0")} {
			if got.Status != http.StatusNotFound {
				t.Errorf("%s: %d", who, got.Status)
			}
		}
		if got := b.Get("/api-tokens"); strings.Contains(got.Body, "script&gt;") || got.Status != http.StatusOK {
			t.Errorf("%s sees the token in the list: %d", who, got.Status)
		}
	}
	admin := w.SignIn(w.Fjord.Admin)
	for _, got := range []apptest.Answer{admin.Get("/api-tokens"), admin.Get("/api-tokens/new"), admin.Get(path), admin.Post(path + "/revoke"), admin.Post("/api-tokens", "name", "x", "role", "environment administrator", "environment", w.Fjord.Production.ID.String(), "scope", "runs:read", "days", "7")} {
		if got.Status != http.StatusForbidden {
			t.Errorf("an environment administrator: %d", got.Status)
		}
	}
	if got := partner.Post(path+"/rotate", "overlap", "9999"); got.Status != http.StatusUnprocessableEntity {
		t.Errorf("an overlap too long: %d", got.Status)
	}
	rotated := partner.Post(path+"/rotate", "overlap", "24")
	next := shownToken.FindString(rotated.Body)
	if rotated.Status != http.StatusCreated || next == "" || next == secret || !strings.Contains(rotated.Body, `data-local="countdown"`) {
		t.Fatalf("%d %s", rotated.Status, rotated.Body)
	}
	for _, s := range []string{secret, next} {
		if got := w.API(s).Call(http.MethodGet, "/organizations", nil, nil); got.Status != http.StatusOK {
			t.Errorf("within the overlap: %d", got.Status)
		}
	}
	w.Advance(25 * time.Hour) // the sessions of browsers end too
	partner = w.SignIn(w.Fjord.Partner)
	if got := w.API(secret).Call(http.MethodGet, "/organizations", nil, nil); got.Status != http.StatusUnauthorized {
		t.Errorf("after the overlap: %d", got.Status)
	}
	newest := regexp.MustCompile(`/api-tokens/[0-9a-f-]{36}`).FindString(partner.Get("/api-tokens").Body)
	if got := partner.Post(newest + "/revoke"); got.Status != http.StatusSeeOther || got.To != "/api-tokens?done=token-revoked" {
		t.Errorf("%d %s", got.Status, got.To)
	}
	if got := w.API(next).Call(http.MethodGet, "/organizations", nil, nil); got.Status != http.StatusUnauthorized {
		t.Errorf("revoked: %d", got.Status)
	}
}

func TestAPITokenFormSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	boss := w.SignIn(w.Boss)
	good := map[string]string{"name": "Good", "role": "operator", "scope": "runs:read", "days": "30"}
	for _, c := range []struct{ field, value, id string }{
		{"name", " ", "name-error"}, {"role", "partner", "reach-error"}, {"role", "king", "reach-error"}, {"scope", "", "scopes-error"}, {"days", "367", "days-error"}, {"days", "x", "days-error"},
	} {
		var form []string
		for k, v := range good {
			if k == c.field {
				v = c.value
			}
			if k != "scope" || v != "" {
				form = append(form, k, v)
			}
		}
		got := boss.Post("/api-tokens", form...)
		if got.Status != http.StatusUnprocessableEntity || !strings.Contains(got.Body, `id="`+c.id+`"`) {
			t.Errorf("%s = %q: %d, no %s", c.field, c.value, got.Status, c.id)
		}
		if c.field != "name" && !strings.Contains(got.Body, `value="Good"`) {
			t.Errorf("%s: what was typed is lost", c.field)
		}
		if c.field != "scope" && !strings.Contains(got.Body, `value="runs:read" aria-label="Read: Runs, Sync and Preview" checked`) {
			t.Errorf("%s: what was chosen is lost\n%s", c.field, got.Body)
		}
	}
	if got := boss.Do(http.MethodPost, "/api-tokens", strings.NewReader("name=x&role=operator&scope=runs%3Aread&days=7"), "Content-Type", "application/x-www-form-urlencoded", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"); got.Status != http.StatusForbidden {
		t.Errorf("another site makes a token: %d", got.Status)
	}
	w.Must(w.Service.View(t.Context(), func(sn *directory.Snapshot) error {
		all, err := sn.SeeAPITokens(apptest.Operator)
		if len(all) != 0 {
			t.Errorf("%d tokens were made", len(all))
		}
		return err
	}))
	boss.Post("/api-tokens", "name", "Nederlands", "role", "operator", "scope", "runs:read", "days", "7")
	for _, path := range []string{"/api-tokens", "/api-tokens/new"} {
		got := boss.Do(http.MethodGet, path, nil, "Accept-Language", "nl")
		if got.Status != http.StatusOK || !strings.Contains(got.Body, "API-token") {
			t.Errorf("%s in Dutch: %d", path, got.Status)
		}
	}
}

func TestAPIReference(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	admin := w.SignIn(w.Fjord.Admin)
	for path, want := range map[string]string{"/api": `href="/api/v1/openapi.json"`, "/api?part=Changes": `id="listChanges"`,
		"/api?part=API+tokens": `<code>tokens:write</code>`, "/api?part=Environments": w.Server.URL + "/api/v1/environments"} {
		got := admin.Get(path)
		if got.Status != http.StatusOK || !strings.Contains(got.Body, want) || !strings.Contains(got.Body, "/api?part=Changes") {
			t.Errorf("%s: %d, without %s or the other parts", path, got.Status, want)
		}
	}
	if got := admin.Get("/api?part=None"); got.Status != http.StatusNotFound {
		t.Errorf("a part that is not there: %d", got.Status)
	}
	if got := w.SignIn(w.Fjord.Plain).Get("/api"); got.Status != http.StatusForbidden {
		t.Errorf("somebody without a role: %d", got.Status)
	}
}
