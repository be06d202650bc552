package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

func TestAPITokensOverTheAPI(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	fjord, boss := w.PartnerAPI(w.Fjord), w.OperatorAPI()
	var made desk.NewAPIToken
	in := desk.APITokenInput{Name: "BizzStream production", Role: "partner", Organizations: []directory.ID{w.Fjord.Organization.ID}, Scopes: []string{"tokens:write", "tokens:read", "environments:read"}, LifeDays: 30}
	got := fjord.Call(http.MethodPost, "/api-tokens", in, &made)
	if got.Status != http.StatusCreated || made.Secret == "" || made.State != "live" || made.Expires.Sub(made.Created) != 30*24*time.Hour || made.Organizations[0].Name != "Fjord Logistics" {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	child := w.API(made.Secret)
	if got := child.Call(http.MethodGet, "/organizations", nil, nil); got.Status != http.StatusOK {
		t.Errorf("the new token opens nothing: %d %s", got.Status, got.Body)
	}
	// No more than itself.
	for name, in := range map[string]desk.APITokenInput{
		"a scope more":       {Name: "x", Role: "partner", Organizations: []directory.ID{w.Fjord.Organization.ID}, Scopes: []string{"runs:write"}},
		"an operator's":      {Name: "x", Role: "operator", Scopes: []string{"tokens:read"}},
		"the other customer": {Name: "x", Role: "partner", Organizations: []directory.ID{w.Nordwind.Organization.ID}, Scopes: []string{"tokens:read"}},
		"its environment":    {Name: "x", Role: "environment administrator", Environments: []directory.ID{w.Nordwind.Production.ID}, Scopes: []string{"tokens:read"}},
	} {
		if got := child.Call(http.MethodPost, "/api-tokens", in, nil); got.Status != http.StatusForbidden && got.Status != http.StatusNotFound {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
	var rotated desk.RotatedAPIToken
	if got := child.Call(http.MethodPost, "/api-tokens/"+made.ID.String()+"/rotate", map[string]int{"overlapHours": 0}, &rotated); got.Status != http.StatusCreated {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	if got := child.Call(http.MethodGet, "/organizations", nil, nil); got.Status != http.StatusUnauthorized {
		t.Errorf("the old token still works: %d", got.Status)
	}
	next := w.API(rotated.Secret)
	if got := next.Call(http.MethodGet, "/organizations", nil, nil); got.Status != http.StatusOK {
		t.Errorf("the rotated token does not work: %d %s", got.Status, got.Body)
	}
	if got := w.PartnerAPI(w.Nordwind).Call(http.MethodPost, "/api-tokens/"+rotated.ID.String()+"/revoke", nil, nil); got.Status != http.StatusNotFound {
		t.Errorf("the other customer revokes it: %d %s", got.Status, got.Body)
	}
	if got := fjord.Call(http.MethodPost, "/api-tokens/"+rotated.ID.String()+"/revoke", nil, nil); got.Status != http.StatusOK {
		t.Errorf("revoke: %d %s", got.Status, got.Body)
	}
	if got := next.Call(http.MethodGet, "/organizations", nil, nil); got.Status != http.StatusUnauthorized {
		t.Errorf("a revoked token works: %d", got.Status)
	}
	// Lists, in pages.
	var seen []directory.ID
	for after, n := "", 0; n < 20; n++ {
		var page desk.List[desk.APIToken]
		got := boss.Call(http.MethodGet, "/api-tokens?limit=2&after="+after, nil, &page)
		if got.Status != http.StatusOK {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
		for _, x := range page.Items {
			seen = append(seen, x.ID)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if len(seen) != 5 || !slices.IsSortedFunc(seen, func(a, b directory.ID) int { return slices.Compare(b[:], a[:]) }) {
		t.Errorf("pages hold %v", seen)
	}
	if got := boss.Call(http.MethodGet, "/api-tokens?after=nonsense", nil, nil); got.Status != http.StatusUnprocessableEntity {
		t.Errorf("%d", got.Status)
	}
	var theirs desk.List[desk.APIToken]
	w.PartnerAPI(w.Nordwind).Call(http.MethodGet, "/api-tokens", nil, &theirs)
	for _, x := range theirs.Items {
		if x.Organizations[0].Name != "Nordwind Trading" {
			t.Errorf("the other customer sees %+v", x)
		}
	}
	if len(theirs.Items) == 0 {
		t.Error("a partner does not see its own token")
	}
	if got := w.AdminAPI(w.Fjord).Call(http.MethodGet, "/api-tokens", nil, nil); got.Status != http.StatusForbidden {
		t.Errorf("an administrator: %d %s", got.Status, fmt.Sprint(got.Body))
	}
}
