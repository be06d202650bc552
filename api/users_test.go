package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

func TestUsersOverTheAPI(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	other, otherEnv := "/users/"+w.Nordwind.Plain.ID.String(), "/environments/"+w.Nordwind.Production.ID.String()
	mine, env := "/users/"+w.Fjord.Plain.ID.String(), "/environments/"+w.Fjord.Production.ID.String()
	group := func(c *apptest.Customer) string {
		return "/groups/" + c.Tenant.ID.String() + "/" + c.Group.ID.String()
	}
	newUser := desk.NewUser{Email: "ivy@maxedy.example", Name: "Ivy"}
	menus := []string{"Orders"}
	type call struct {
		method, path string
		in           any
	}
	calls := func(user, env string, c *apptest.Customer) []call {
		return []call{{"GET", user, nil}, {"GET", user + "/accesses", nil}, {"GET", user + "/history", nil}, {"GET", group(c), nil}, {"GET", group(c) + "/members", nil},
			{"GET", env + "/menus", nil}, {"GET", "/accesses?environment=" + strings.TrimPrefix(env, "/environments/"), nil},
			{"PUT", env + "/menus", desk.Menus{Names: menus}}, {"PATCH", env + user, desk.AccessEdit{Menus: &menus}}, {"POST", env + "/users", newUser}}
	}
	for name, api := range map[string]*apptest.API{"partner": w.PartnerAPI(w.Fjord), "administrator": w.AdminAPI(w.Fjord)} {
		for _, c := range append(calls(other, otherEnv, w.Nordwind), call{"GET", other + "/sessions", nil}, call{"DELETE", other + "/sessions", nil}, call{"POST", other + "/sync", nil}, call{"PATCH", other, desk.UserEdit{}}) {
			if got := api.Call(c.method, c.path, c.in, nil); got.Status != http.StatusNotFound || strings.Contains(strings.ToLower(got.Body), "nordwind") {
				t.Errorf("%s: %s %s of another customer: %d %s", name, c.method, c.path, got.Status, got.Body)
			}
		}
		for _, c := range calls(mine, env, w.Fjord) {
			want := http.StatusOK
			if c.method == "POST" {
				want = http.StatusCreated
			}
			if name == "partner" && c.method != "GET" {
				want = http.StatusForbidden
			}
			if got := api.Call(c.method, c.path, c.in, nil); got.Status != want {
				t.Errorf("%s: %s %s: %d, not %d %s", name, c.method, c.path, got.Status, want, got.Body)
			}
		}
		for path, want := range map[string]int{"/users": 0, "/users?text=berg": 0, "/groups": 0, "/conflicts": 0, "/users?state=active&source=internal": 0} {
			got := api.Call("GET", path, nil, nil)
			if got.Status != http.StatusOK || strings.Count(strings.ToLower(got.Body), "nordwind") != want {
				t.Errorf("%s: %s: %d %s", name, path, got.Status, got.Body)
			}
		}
	}
	operator := w.OperatorAPI()
	name := "X"
	for _, c := range []struct {
		call
		want   int
		detail string
	}{
		{call{"PATCH", mine, desk.UserEdit{Name: &name}}, http.StatusConflict, "managed in the directory of fjord"},
		{call{"PATCH", env + mine, desk.AccessEdit{Email: &name}}, http.StatusConflict, "managed in the directory of fjord"},
		{call{"POST", env + "/users", desk.NewUser{Email: "ana@fjord.example", Name: "Ana"}}, http.StatusConflict, "managed in the directory of fjord"},
		{call{"GET", "/users?state=gone", nil}, http.StatusUnprocessableEntity, "state"},
		{call{"GET", "/users?source=gone", nil}, http.StatusUnprocessableEntity, "source"},
		{call{"GET", "/users?after=x", nil}, http.StatusUnprocessableEntity, "after"},
		{call{"GET", group(w.Fjord) + "/members?after=x", nil}, http.StatusUnprocessableEntity, "after"},
		{call{"GET", "/accesses", nil}, http.StatusUnprocessableEntity, "environment"},
		{call{"GET", "/users/x", nil}, http.StatusUnprocessableEntity, "user"},
		{call{"PATCH", env + mine, map[string]any{"administrator": true}}, http.StatusUnprocessableEntity, "administrator"},
		{call{"GET", mine + "/sessions", nil}, http.StatusOK, ""},
		{call{"DELETE", mine + "/sessions", nil}, http.StatusNoContent, ""},
	} {
		if got := operator.Call(c.method, c.path, c.in, nil); got.Status != c.want || !strings.Contains(got.Body, c.detail) {
			t.Errorf("%s %s: %d, not %d %s", c.method, c.path, got.Status, c.want, got.Body)
		}
	}
	if got := w.OperatorAPI("users:read").Call("PATCH", mine, desk.UserEdit{}, nil); got.Status != http.StatusForbidden {
		t.Errorf("a reader writes: %d", got.Status)
	}
}

// Who sees a group is not told of what it holds beyond their reach, and nobody who sees the person is told that they are not there.
func TestMembersBeyondReach(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	push, tenant := directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: w.Fjord.Tenant.ID.String()}, w.Fjord.Tenant.ID
	create := func(name, externalID string, members ...directory.ID) *directory.Group {
		g, err := w.Service.CreateGroup(t.Context(), push, tenant, directory.GroupInput{DisplayName: name, ExternalID: externalID, Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:Group"]`),
			Attributes: []byte(`{"displayName":"` + name + `","externalId":"` + externalID + `"}`)}, members)
		w.Must(err)
		return g
	}
	board := create("Board", pulltest.GroupID(71), w.Fjord.Users[0].ID)
	office := create("Office", pulltest.GroupID(72), w.Fjord.Users[0].ID, w.Fjord.Group.ID, board.ID)
	_, _, err := w.Service.SetIntegration(t.Context(), apptest.Operator, w.Fjord.Production.ID, directory.IntegrationInput{Groups: []string{w.Fjord.GroupID, pulltest.GroupID(72)}})
	w.Must(err)
	path := "/groups/" + tenant.String() + "/"
	for name, c := range map[string]struct {
		api  *apptest.API
		want string
	}{"partner": {w.PartnerAPI(w.Fjord), "Board,Marta Berg,Sales"}, "administrator": {w.AdminAPI(w.Fjord), "Marta Berg,Sales"}} {
		var got desk.List[desk.Member]
		c.api.Call("GET", path+office.ID.String()+"/members", nil, &got)
		var names []string
		for _, m := range got.Items {
			names = append(names, m.Name)
		}
		slices.Sort(names)
		if strings.Join(names, ",") != c.want {
			t.Errorf("%s: %v", name, names)
		}
		if got := c.api.Call("DELETE", "/users/"+w.Fjord.Plain.ID.String()+"/sessions", nil, nil); got.Status != http.StatusForbidden || !strings.Contains(got.Body, "operators sign people out") {
			t.Errorf("%s signs somebody out: %d %s", name, got.Status, got.Body)
		}
	}
	if got := w.AdminAPI(w.Fjord).Call("GET", path+board.ID.String()+"/members", nil, nil); got.Status != http.StatusNotFound {
		t.Errorf("the board, for the administrator: %d %s", got.Status, got.Body)
	}
}

// Pages follow one another, and tell of everybody once.
func TestPagesOfUsers(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	api := w.OperatorAPI("users:read")
	seen, after := map[string]int{}, ""
	for range 20 {
		var page desk.Users
		if got := api.Call("GET", "/users?limit=2&after="+after, nil, &page); got.Status != http.StatusOK || len(page.Items) > 2 {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
		for _, u := range page.Items {
			seen[u.UserName]++
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if fmt.Sprint(seen) != "map[ana@fjord.example:1 ana@nordwind.example:1 boss@maxedy.example:1 jonas@fjord.example:1 jonas@nordwind.example:1 marta@fjord.example:1 marta@nordwind.example:1]" {
		t.Errorf("%v", seen)
	}
	var members desk.List[desk.Member]
	path := "/groups/" + w.Fjord.Tenant.ID.String() + "/" + w.Fjord.Group.ID.String() + "/members?limit=2"
	api.Call("GET", path, nil, &members)
	if len(members.Items) != 2 || members.Total != 3 {
		t.Errorf("%+v", members)
	}
	var rest desk.List[desk.Member]
	api.Call("GET", path+"&after="+members.Next, nil, &rest)
	if len(rest.Items) != 1 || rest.Next != "" {
		t.Errorf("%+v", rest)
	}
}

// Who adds people too fast is told for how long to wait.
func TestAddingPeopleTooFast(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	api := w.AdminAPI(w.Fjord, "users:write")
	for n := range 61 {
		got := api.Call(http.MethodPost, "/environments/"+w.Fjord.Production.ID.String()+"/users", map[string]string{"email": "no address", "name": "X"}, nil)
		if n < 60 && got.Status != http.StatusUnprocessableEntity {
			t.Fatalf("%d: %d %s", n, got.Status, got.Body)
		}
		wait, _ := strconv.Atoi(got.Header.Get("Retry-After"))
		if n == 60 && (got.Status != http.StatusTooManyRequests || wait < 1 || wait > 60 || !strings.Contains(got.Body, `"status":429`) || got.Header.Get("Content-Type") != "application/problem+json") {
			t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
		}
	}
}

// Where a user lands is told, and chosen, by whoever reaches it: for others it does not exist.
func TestDefaultEnvironmentOverTheAPI(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	add := func(env directory.ID) directory.ID {
		a, _, err := w.Service.AddInternal(t.Context(), apptest.Operator, env, directory.NewAccess{Email: "ivy@maxedy.example", Name: "Ivy"})
		w.Must(err)
		return a.AccountID
	}
	ivy := "/users/" + add(w.Fjord.Finance.ID).String()
	w.Advance(time.Second)
	add(w.Fjord.Production.ID)
	production, finance := desk.Named{ID: w.Fjord.Production.ID, Name: w.Fjord.Production.Name}, desk.Named{ID: w.Fjord.Finance.ID, Name: w.Fjord.Finance.Name}
	operator, partner, admin := w.OperatorAPI(), w.PartnerAPI(w.Fjord), w.AdminAPI(w.Fjord)
	want := func(step string, api *apptest.API, landing *desk.Landing) {
		t.Helper()
		var one desk.UserDetail
		var all desk.Users
		body := api.Call("GET", ivy, nil, &one).Body
		api.Call("GET", "/users?text=ivy", nil, &all)
		if len(all.Items) != 1 || !reflect.DeepEqual(one.Default, landing) || !reflect.DeepEqual(all.Items[0].Default, landing) || landing == nil && strings.Contains(body, "defaultEnvironment") {
			t.Errorf("%s: %+v, in the list %+v\n%s", step, one.Default, all.Items, body)
		}
	}
	choose := func(api *apptest.API, user, value string) apptest.Answer {
		return api.Call("PATCH", user, json.RawMessage(`{"defaultEnvironmentId":`+value+`}`), nil)
	}
	quoted := func(id directory.ID) string { return `"` + id.String() + `"` }

	want("the first one, for an operator", operator, &desk.Landing{Named: finance})
	want("the first one, for a partner", partner, &desk.Landing{Named: finance})
	want("the first one, for an administrator of another", admin, nil)
	if got := choose(admin, ivy, quoted(production.ID)); got.Status != http.StatusOK || !strings.Contains(got.Body, `"chosen":true`) {
		t.Errorf("an administrator: %d %s", got.Status, got.Body)
	}
	for name, api := range map[string]*apptest.API{"operator": operator, "partner": partner, "administrator": admin} {
		want("chosen, for "+name, api, &desk.Landing{Named: production, Chosen: true})
	}

	unknown := unsigned(choose(admin, ivy, `"01a20000-0000-7000-8000-000000000000"`))
	for name, id := range map[string]directory.ID{"another one of the customer": finance.ID, "another customer's": w.Nordwind.Production.ID} {
		if got := choose(admin, ivy, quoted(id)); got.Status != http.StatusNotFound || unsigned(got) != unknown {
			t.Errorf("%s: %s, of none: %s", name, unsigned(got), unknown)
		}
	}
	for _, value := range []string{`""`, `"x"`, `5`, `{}`, `[]`, `false`, `"00000000-0000-0000-0000-000000000000"`, `"` + strings.ToUpper(production.ID.String()) + `"`} {
		if got := choose(operator, ivy, value); got.Status != http.StatusUnprocessableEntity || !strings.Contains(got.Body, "defaultEnvironmentId") && !strings.Contains(got.Body, "null") {
			t.Errorf("%s: %d %s", value, got.Status, got.Body)
		}
	}
	ana := "/users/" + w.Fjord.Plain.ID.String()
	if got := choose(operator, ana, quoted(finance.ID)); got.Status != http.StatusConflict || !strings.Contains(got.Body, "no active access") {
		t.Errorf("no access there: %d %s", got.Status, got.Body)
	}
	if got := operator.Call("PATCH", ana, json.RawMessage(`{"name":"X","defaultEnvironmentId":`+quoted(production.ID)+`}`), nil); got.Status != http.StatusConflict || !strings.Contains(got.Body, "managed in the directory of fjord") {
		t.Errorf("with a name: %d %s", got.Status, got.Body)
	}
	if got := operator.Call("GET", ana, nil, nil); !strings.Contains(got.Body, `"chosen":false`) {
		t.Errorf("the environment that came with it was taken: %s", got.Body)
	}
	if got := choose(admin, ana, quoted(production.ID)); got.Status != http.StatusOK || !strings.Contains(got.Body, `"chosen":true`) {
		t.Errorf("of an external user: %d %s", got.Status, got.Body)
	}
	if got := choose(w.AdminAPI(w.Fjord, "users:read"), ana, "null"); got.Status != http.StatusForbidden {
		t.Errorf("a reader: %d", got.Status)
	}
	for name, api := range map[string]*apptest.API{"partner": w.PartnerAPI(w.Nordwind), "administrator": w.AdminAPI(w.Nordwind)} {
		for _, value := range []string{"null", quoted(production.ID), quoted(w.Nordwind.Production.ID)} {
			if got := choose(api, ana, value); got.Status != http.StatusNotFound || strings.Contains(strings.ToLower(got.Body), "fjord") {
				t.Errorf("the other customer's %s, %s: %d %s", name, value, got.Status, got.Body)
			}
		}
	}

	want("still chosen", operator, &desk.Landing{Named: production, Chosen: true})
	if got := choose(admin, ivy, "null"); got.Status != http.StatusOK {
		t.Errorf("taken back: %d %s", got.Status, got.Body)
	}
	want("taken back, for an administrator of another", admin, nil)
	want("taken back, for an operator", operator, &desk.Landing{Named: finance})
	if got := choose(operator, ivy, quoted(finance.ID)); got.Status != http.StatusOK {
		t.Errorf("an operator: %d %s", got.Status, got.Body)
	}
	if got := choose(admin, ivy, "null"); got.Status != http.StatusOK || strings.Contains(got.Body, "Finance") {
		t.Errorf("who does not reach the choice: %d %s", got.Status, got.Body)
	}
	want("not theirs to take back", operator, &desk.Landing{Named: finance, Chosen: true})
	if got := admin.Call("GET", ivy+"/history", nil, nil); got.Status != http.StatusOK || !strings.Contains(got.Body, "defaultEnvironment") || strings.Contains(got.Body, finance.Name) {
		t.Errorf("the history, for who does not reach %s: %d %s", finance.Name, got.Status, got.Body)
	}
}
