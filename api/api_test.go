package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
)

func TestTokensOpenTheirOwn(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	for _, c := range []struct {
		name string
		api  *apptest.API
		want []string
	}{
		{"operator", w.OperatorAPI(), []string{"Fjord Logistics", "Nordwind Trading"}},
		{"partner", w.PartnerAPI(w.Fjord), []string{"Fjord Logistics"}},
		{"administrator", w.AdminAPI(w.Nordwind, "environments:read"), []string{"Nordwind Trading"}},
	} {
		var got desk.List[desk.Organization]
		answer := c.api.Call(http.MethodGet, "/organizations", nil, &got)
		var names []string
		for _, o := range got.Items {
			names = append(names, o.Name)
		}
		if answer.Status != http.StatusOK || strings.Join(names, ",") != strings.Join(c.want, ",") {
			t.Errorf("%s: %d %v", c.name, answer.Status, names)
		}
	}
	if got := w.OperatorAPI("runs:read").Call(http.MethodGet, "/organizations", nil, nil); got.Status != http.StatusForbidden {
		t.Errorf("without the scope: %d %s", got.Status, got.Body)
	}
	if got := w.API("").Call(http.MethodGet, "/organizations", nil, nil); got.Status != http.StatusUnauthorized || got.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("without a token: %d %s", got.Status, got.Body)
	}
	// A session is no token, and a Secret Token of SCIM none either.
	if got := w.SignIn(w.Boss).Get("/api/v1/organizations"); got.Status != http.StatusUnauthorized {
		t.Errorf("with a session: %d %s", got.Status, got.Body)
	}
	if got := w.API(w.Fjord.Token).Call(http.MethodGet, "/organizations", nil, nil); got.Status != http.StatusUnauthorized {
		t.Errorf("with a Secret Token: %d %s", got.Status, got.Body)
	}
}
