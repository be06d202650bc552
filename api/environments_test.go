package api_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// environmentCaller asks the API with a token.
type environmentCaller struct {
	*testing.T
	*apptest.API
}

// call sends a request and returns the answer as JSON.
func (c *environmentCaller) call(method, path, body string, want int) map[string]any {
	c.T.Helper()
	var in, out any
	if body != "" {
		in = json.RawMessage(body)
	}
	got := c.Call(method, path, in, nil)
	if got.Status != want {
		c.T.Fatalf("%s %s: %d, not %d\n%s", method, path, got.Status, want, got.Body)
	}
	if err := json.Unmarshal([]byte(got.Body), &out); err != nil {
		c.T.Fatalf("%s %s: %v\n%s", method, path, err, got.Body)
	}
	object, _ := out.(map[string]any)
	return object
}

func namesOf(list map[string]any) (names []string) {
	items, _ := list["items"].([]any)
	for _, i := range items {
		m, _ := i.(map[string]any)
		name, _ := m["name"].(string)
		names = append(names, name)
	}
	return names
}

func TestEnvironments(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	boss := &environmentCaller{t, w.OperatorAPI()}
	all := boss.call("GET", "/environments", "", 200)
	if got := namesOf(all); !slices.Equal(got, []string{"Finance", "Production", "Finance", "Production"}) || all["total"] != 4.0 {
		t.Errorf("%v", all)
	}
	first := boss.call("GET", "/environments?limit=3", "", 200)
	next, _ := first["next"].(string)
	rest := boss.call("GET", "/environments?limit=3&after="+next, "", 200)
	if len(namesOf(first)) != 3 || len(namesOf(rest)) != 1 || rest["next"] != nil {
		t.Errorf("pages: %v, %v", first, rest)
	}
	boss.call("GET", "/environments?after=nonsense", "", 422)
	boss.call("GET", "/environments?state=nonsense", "", 422)
	if got := namesOf(boss.call("GET", "/environments?text=NORDWIND&state=off", "", 200)); !slices.Equal(got, []string{"Finance"}) {
		t.Errorf("by text and state: %v", got)
	}
	org := boss.call("POST", "/organizations", `{"name":"Delta"}`, 201)
	boss.call("POST", "/organizations", `{"name":"delta"}`, 409)
	orgID, _ := org["id"].(string)
	env := boss.call("POST", "/environments", `{"organizationId":"`+orgID+`","name":"Test"}`, 201)
	if env["state"] != "off" || env["active"] != 0.0 {
		t.Errorf("a new environment: %v", env)
	}
	boss.call("POST", "/environments", `{"organizationId":"`+orgID+`","name":"Test"}`, 409)
	boss.call("POST", "/environments", `{"organizationId":"`+orgID+`","name":"Test","colour":"red"}`, 422)

	production := "/environments/" + w.Fjord.Production.ID.String()
	one := boss.call("GET", production, "", 200)
	if one["active"] != 3.0 || one["state"] != "manual" || one["expiries"] == nil {
		t.Errorf("production: %v", one)
	}
	boss.call("GET", production+"/history", "", 200)
	reader := &environmentCaller{t, w.OperatorAPI("environments:read")}
	reader.call("POST", "/organizations", `{"name":"Echo"}`, 403)
}

func TestEnvironmentsOfOthersAreNotThere(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	for name, by := range map[string]*apptest.API{"administrator": w.AdminAPI(w.Fjord), "partner": w.PartnerAPI(w.Fjord)} {
		t.Run(name, func(t *testing.T) {
			c := &environmentCaller{t, by}
			if list, _ := json.Marshal(c.call("GET", "/environments", "", 200)); strings.Contains(string(list), "Nordwind") || strings.Contains(string(list), "nordwind") {
				t.Errorf("the other customer is in the list: %s", list)
			}
			for _, id := range []directory.ID{w.Nordwind.Production.ID, pulltest.ID(77)} {
				path := "/environments/" + id.String()
				var answers []any
				for _, ask := range [][3]string{{"GET", path, ""}, {"GET", path + "/history", ""}, {"GET", path + "/integration", ""}, {"PATCH", path + "/integration", `{"periodic":true}`},
					{"GET", path + "/groups?text=Sales", ""}, {"GET", path + "/administrators", ""}, {"POST", path + "/administrators", `{"person":"x","administrator":true}`}} {
					answers = append(answers, c.call(ask[0], ask[1], ask[2], 404)["detail"])
				}
				if slices.ContainsFunc(answers, func(a any) bool { return a != "environment not found" }) {
					t.Errorf("%v", answers)
				}
			}
			c.call("POST", "/organizations", `{"name":"Delta"}`, 403)
		})
	}
}

func TestIntegrationByRole(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	path := "/environments/" + w.Fjord.Production.ID.String()
	admin, partner := &environmentCaller{t, w.AdminAPI(w.Fjord)}, &environmentCaller{t, w.PartnerAPI(w.Fjord)}
	boss := &environmentCaller{t, w.OperatorAPI()}

	got := admin.call("PATCH", path+"/integration", `{"periodic":true,"defaultMenus":["Orders","Stock"]}`, 200)
	if got["periodic"] != true || got["maySwitch"] != false || got["mayChange"] != true {
		t.Errorf("%v", got)
	}
	admin.call("PATCH", path+"/integration", `{"enabled":false}`, 403)
	admin.call("PATCH", path+"/integration", `{"tenantId":"`+w.Nordwind.Tenant.ID.String()+`"}`, 404)
	partner.call("PATCH", path+"/integration", `{"periodic":true}`, 403)
	if got := partner.call("GET", path+"/integration", "", 200); got["mayChange"] != false {
		t.Errorf("%v", got)
	}
	typo := admin.call("PATCH", path+"/integration", `{"groups":["`+w.Fjord.GroupID+`","Sales"]}`, 422)
	if detail, _ := typo["detail"].(string); !strings.Contains(detail, `"Sales" is not an object id`) {
		t.Errorf("%v", typo)
	}
	version, _ := got["version"].(string)
	admin.call("PATCH", path+"/integration", `{"guests":true,"version":"`+version+`"}`, 200)
	admin.call("PATCH", path+"/integration", `{"guests":false,"version":"`+version+`"}`, 409)

	// These settings stop at nothing, so the API asks.
	boss.call("PATCH", path+"/integration", `{"stops":{"runCount":2,"runPercent":1,"dayCount":0,"dayPercent":0}}`, 200)
	refused := boss.call("PATCH", path+"/integration", `{"enabled":false}`, 409)
	if detail, _ := refused["detail"].(string); !strings.Contains(detail, "from 3 of 3 people, more than 2") {
		t.Errorf("%v", refused)
	}
	boss.call("PATCH", path+"/integration", `{"enabled":false,"confirmLosing":2}`, 409)
	if got := boss.call("PATCH", path+"/integration", `{"enabled":false,"confirmLosing":3}`, 200); got["enabled"] != false {
		t.Errorf("%v", got)
	}
	if got := boss.call("GET", path, "", 200); got["active"] != 0.0 || got["total"] != 3.0 {
		t.Errorf("%v", got)
	}
}

func TestFindGroupsOfAnEnvironment(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	path := "/environments/" + w.Fjord.Production.ID.String() + "/groups?text="
	admin, partner := &environmentCaller{t, w.AdminAPI(w.Fjord)}, &environmentCaller{t, w.PartnerAPI(w.Fjord)}
	if got := namesOf(admin.call("GET", path+"sal", "", 200)); !slices.Contains(got, "Sales") {
		t.Errorf("%v", got)
	}
	if got := namesOf(admin.call("GET", path+strings.ToUpper(w.Fjord.GroupID), "", 200)); !slices.Equal(got, []string{"Sales"}) {
		t.Errorf("by object id: %v", got)
	}
	partner.call("GET", path+"sal", "", 403)
	admin.call("GET", path+"sal&tenant="+w.Nordwind.Tenant.ID.String(), "", 404)
	admin.call("GET", path, "", 422)
}

func TestAdministratorsOfAnEnvironment(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	path := "/environments/" + w.Fjord.Production.ID.String() + "/administrators"
	boss, admin := &environmentCaller{t, w.OperatorAPI()}, &environmentCaller{t, w.AdminAPI(w.Fjord)}
	if got := namesOf(admin.call("GET", path, "", 200)); !slices.Equal(got, []string{"Marta Berg"}) {
		t.Errorf("%v", got)
	}
	for _, person := range []string{"ana@fjord.example", w.Fjord.Plain.ID.String()} {
		boss.call("POST", path, `{"person":"`+person+`","administrator":true}`, 200)
		if got := namesOf(boss.call("GET", path, "", 200)); !slices.Equal(got, []string{"Ana Berg", "Marta Berg"}) {
			t.Errorf("%v", got)
		}
		boss.call("POST", path, `{"person":"`+person+`","administrator":false}`, 200)
	}
	boss.call("POST", path, `{"person":"ana@nordwind.example","administrator":true}`, 422)
	boss.call("POST", path, `{"person":"`+w.Nordwind.Plain.ID.String()+`","administrator":true}`, 422)
	admin.call("POST", path, `{"person":"ana@fjord.example","administrator":true}`, 403)
}
