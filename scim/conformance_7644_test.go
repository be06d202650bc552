package scim_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
)

// RFC 7644, clause by clause: each is told in docs/conformance.md.
func TestConformance7644(t *testing.T) { conform(t, clauses7644) }

const (
	bulkRequest   = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
	bulkResponse  = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
	searchRequest = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
)

var clauses7644 = slices.Concat(clauses7644Start, clauses7644Query, clauses7644Change, clauses7644Bulk, clauses7644End)

var clauses7644Start = []clause{
	{id: "7644-1.3-1", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		got := t.get(item + "?attributes=meta&x=y")
		for _, location := range []string{got.text("meta", "location"), got.header.Get("Location")} {
			if u, err := url.Parse(location); err != nil || u.RawQuery != "" || u.Fragment != "" || location == "" {
				got.errorf("the location %q", location)
			}
		}
	}},
	{id: "7644-2-1", check: func(t *tenant) {
		for _, path := range []string{"/Users", "/Groups", "/Users/" + unknownID} {
			for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
				got := t.request(method, path, bodyFor(method, path), "Authorization", "").want(401, "")
				if !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer") {
					got.errorf("WWW-Authenticate is %q", got.header.Get("WWW-Authenticate"))
				}
			}
		}
	}},
	{id: "7644-2-5", check: func(t *tenant) {
		t.request("GET", "/Users", nil, "Authorization", "Basic YTpi").want(401, "")
		t.request("GET", "/Users?access_token="+t.token, nil, "Authorization", "").want(401, "")
	}},
	{id: "7644-3.1-1", check: func(t *tenant) {
		for _, got := range []*answer{t.get("/Users"), t.request("GET", "/Users/"+unknownID, nil).want(404)} {
			if !strings.HasPrefix(got.text("schemas", 0), "urn:ietf:params:scim:api:") {
				got.errorf("the message has the schema %s", got.text("schemas", 0))
			}
		}
	}},
	{id: "7644-3.1-2", check: func(t *tenant) {
		for _, urn := range t.get("/Schemas").values("id", "Resources") {
			if strings.HasPrefix(urn, "urn:ietf:params:scim:api:") {
				t.Errorf("the message %s is among the schemas", urn)
			}
		}
		for _, urn := range []string{listURN, errorURN, patchOp, bulkRequest, searchRequest} {
			t.request("GET", "/Schemas/"+urn, nil).want(404, "")
		}
	}},
	{id: "7644-3.1-3", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"title": "one", "groups": members(unknownID)}))
		for _, got := range []*answer{t.request("PUT", item, strictUser("anna", object{"title": "two"})).want(200), t.patch(item, op("replace", "title", "three")).want(200)} {
			if seen := t.get(item); string(seen.body) != string(got.body) && seen.text("title") != "three" {
				got.errorf("a GET shows something else: %s", seen.body)
			}
		}
		t.get(item).is("three", "title")
	}},
	{id: "7644-3.2-1", check: func(t *tenant) {
		t.request("PUT", "/Users/"+unknownID, strictUser("anna")).want(404, "")
		t.request("PUT", "/Groups/"+unknownID, groupBody("crew")).want(404, "")
		t.request("PUT", "/Users/anna", strictUser("anna")).want(404, "")
		t.get("/Users").is("0", "totalResults")
	}},
	{id: "7644-3.2-3", check: func(t *tenant) {
		for path, status := range map[string]int{"/Users/" + unknownID: 404, "/Nothing": 404, filtered("/Users", "x"): 400, filtered("/Schemas", "id pr"): 403} {
			t.request("GET", path, nil).want(status).is(fmt.Sprint(status), "status")
		}
	}},
	{id: "7644-3.3-1", check: func(t *tenant) {
		got := t.request("POST", "/Users", strictUser("anna", object{"id": unknownID, "groups": members(unknownID), "meta": object{"version": "x"},
			trialURN: object{"ours": "mine"}})).want(201)
		if got.id() == unknownID || got.at("groups") != nil || got.at(trialURN) != nil {
			got.errorf("what is read-only was read")
		}
	}},
	{id: "7644-3.3-2", check: func(t *tenant) {
		t.request("POST", "/Users", strictUser("anna")).want(201)
		t.request("POST", "/Groups", groupBody("crew")).want(201)
	}},
	{id: "7644-3.3-3", check: func(t *tenant) {
		for path, body := range map[string]object{"/Users": strictUser("anna", object{"title": "captain"}), "/Groups": groupBody("crew", object{"externalId": "x"})} {
			got := t.request("POST", path, body).want(201)
			if seen := t.get(path + "/" + got.id()); string(seen.body) != string(got.body) {
				got.errorf("a GET shows something else: %s", seen.body)
			}
		}
	}},
	{id: "7644-3.3-4", check: func(t *tenant) {
		for path, body := range map[string]object{"/Users": strictUser("anna"), "/Groups": groupBody("crew")} {
			got := t.request("POST", path, body).want(201)
			got.hasHeader("Location", t.url+"/scim/"+t.name+"/v2"+path+"/"+got.id())
			got.is(got.header.Get("Location"), "meta", "location")
		}
	}},
	{id: "7644-3.3-5", check: func(t *tenant) {
		t.made(strictUser("anna"))
		t.madeGroup("crew")
		t.refuses(409, "uniqueness", "POST", "/Users", strictUser("anna"), "")
		t.refuses(409, "uniqueness", "POST", "/Groups", groupBody("crew"), "")
	}},
	{id: "7644-3.3.1-1", check: func(t *tenant) {
		t.get(t.made(strictUser("anna", object{"meta": object{"resourceType": "Group"}}))).is("User", "meta", "resourceType")
		t.get(t.madeGroup("crew", object{"meta": object{"resourceType": "User"}})).is("Group", "meta", "resourceType")
	}},
}

// three makes three users: of title a, b and none.
func (t *tenant) three() {
	t.Helper()
	t.made(strictUser("anna", object{"title": "a", "name": object{"givenName": "Zoe"}, "emails": []object{{"value": "anna@x.example", "type": "work"}, {"value": "z@y.example", "type": "home"}}}))
	t.made(strictUser("boris", object{"title": "b", "name": object{"givenName": "adam"}, "emails": []object{{"value": "boris@y.example", "type": "work"}, {"value": "a@x.example", "type": "home", "primary": true}}}))
	t.made(strictUser("carla", object{"active": false}))
}

// order checks in which order a list gives its user names.
func (t *tenant) order(query, want string) {
	t.Helper()
	got, seen := t.get("/Users?"+query), []string{}
	got.each(func(u object) { seen = append(seen, fmt.Sprint(u["userName"])) }, "Resources")
	if strings.Join(seen, " ") != want {
		got.errorf("the order is %v, want %s", seen, want)
	}
}

var clauses7644Query = []clause{
	{id: "7644-3.4-1", check: func(t *tenant) {
		item := t.made(trial("anna", object{"plain": "x", "asked": "y", "always": "z"}))
		got := t.get(item)
		for _, path := range [][]any{{"id"}, {"userName"}, {"active"}, {"meta", "version"}, {trialURN, "plain"}, {trialURN, "always"}} {
			if got.text(path...) == "" {
				got.errorf("%v is missing", path)
			}
		}
		got.is("", trialURN, "asked")
	}},
	{id: "7644-3.4.1-1", check: func(t *tenant) {
		for _, path := range []string{t.made(strictUser("anna")), t.madeGroup("crew"), "/Schemas/" + scim.UserURN, "/ResourceTypes/User"} {
			if got := t.get(path); got.id() != idOf(path) {
				got.errorf("the id is %s", got.id())
			}
		}
	}},
	{id: "7644-3.4.2-1", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		for _, path := range []string{"/Users", item, "/Groups", "/Schemas"} {
			t.get(path + "?aadOptscim062020&x=1&x=2&FILTERS=y")
		}
	}},
	{id: "7644-3.4.2-2", check: func(t *tenant) {
		for _, path := range []string{"/Users", "/Groups", "/Users?count=0", filtered("/Users", `userName eq "nobody"`), "/Schemas", "/ResourceTypes"} {
			t.get(path).is(`["`+listURN+`"]`, "schemas")
		}
	}},
	{id: "7644-3.4.2-3", check: func(t *tenant) {
		t.three()
		got := t.get("/Users?count=2")
		got.is("3", "totalResults")
		if got.len("Resources") != 2 {
			got.errorf("%d resources", got.len("Resources"))
		}
	}},
	{id: "7644-3.4.2-4", check: func(t *tenant) {
		t.three()
		got := t.get("/Users?startIndex=2&count=1")
		got.is("2", "startIndex")
		got.is("1", "itemsPerPage")
	}},
	{id: "7644-3.4.2-5", check: func(t *tenant) {
		for _, path := range []string{filtered("/Users", `userName eq "nobody"`), filtered("/Groups", `displayName eq "nobody"`), "/Users"} {
			got := t.get(path)
			got.is("0", "totalResults")
			got.is("[]", "Resources")
		}
	}},
	{id: "7644-3.4.2.1-1", check: func(t *tenant) {
		t.three()
		t.madeGroup("crew")
		for _, path := range []string{"/", "/?count=10"} {
			t.get(path).is("4", "totalResults")
		}
		for filter, n := range map[string]int{`meta.resourceType eq "User"`: 3, `meta.resourceType eq "Group"`: 1, `(meta.resourceType eq "User") or (meta.resourceType eq "Group")`: 4} {
			t.finds(n, "/", filter)
		}
	}},
	{id: "7644-3.4.2.1-3", check: func(t *tenant) {
		t.three()
		t.madeGroup("crew")
		t.finds(2, "/", `displayName eq "CREW" or title eq "a"`)
		t.finds(1, "/", `userName sw "b" and not (title eq "a")`)
		t.request("GET", filtered("/", `userName regex "x"`), nil).want(400, "invalidFilter")
	}},
	{id: "7644-3.4.2.1-4", check: func(t *tenant) {
		t.three()
		t.madeGroup("crew", object{"displayName": "crew"})
		t.finds(3, "/", `userName pr`)
		t.finds(1, "/", `not (userName pr)`)
		t.finds(0, "/", `members pr`)
		t.finds(1, "/", `title eq "a"`)
	}},
	{id: "7644-3.4.2.2-1", check: func(t *tenant) {
		t.three()
		t.finds(1, "/Users", `title eq "a"`)
		t.get(filtered("/Users", `title eq "a"`)).is("anna", "Resources", 0, "userName")
		t.finds(0, "/Users", `title eq "x"`)
	}},
	{id: "7644-3.4.2.2-2", check: func(t *tenant) {
		t.three()
		for _, filter := range []string{`userName Eq "anna"`, `USERNAME eq "anna"`, `Username EQ "ANNA" AND Active eQ true`, `NOT (userName NE "anna")`, `Title PR OR userName sw "x"`} {
			if got := t.get(filtered("/Users", filter)); got.len("Resources") == 0 {
				got.errorf("%s finds nobody", filter)
			}
		}
	}},
	{id: "7644-3.4.2.2-3", check: func(t *tenant) {
		for _, filter := range []string{"", " ", "()", "userName", "eq", "and"} {
			t.request("GET", filtered("/Users", filter), nil).want(400, "invalidFilter")
		}
	}},
	{id: "7644-3.4.2.2-4", check: func(t *tenant) {
		for _, operator := range []string{"gt", "ge", "lt", "le"} {
			t.request("GET", filtered("/Users", `active `+operator+` true`), nil).want(400, "invalidFilter")
			t.request("GET", filtered("/Users", `x509Certificates.value `+operator+` "YWJj"`), nil).want(400, "invalidFilter")
			t.request("GET", filtered("/Users", `emails[primary `+operator+` false]`), nil).want(400, "invalidFilter")
		}
	}},
	{id: "7644-3.4.2.2-5", check: func(t *tenant) {
		t.made(trial("anna", object{"level": 9, "hired": "2020-01-01T10:00:00+02:00", "weight": 60.5, "plain": "Beta"}))
		t.made(trial("boris", object{"level": 10, "hired": "2020-01-01T09:00:00Z", "weight": 7.25, "plain": "alpha"}))
		t.made(strictUser("carla"))
		for filter, n := range map[string]int{
			`plain eq "beta"`: 1, `plain ne "beta"`: 2, `plain co "ET"`: 1, `plain sw "al"`: 1, `plain ew "TA"`: 1, `plain sw "beta"`: 1, `plain ew "alpha"`: 1, `plain pr`: 2,
			`plain gt "alpha"`: 1, `plain ge "alpha"`: 2, `plain lt "beta"`: 1, `plain le "beta"`: 2,
			`level gt 9`: 1, `level ge 9`: 2, `level lt 10`: 1, `level le 10`: 2, `level eq 9`: 1,
			`hired gt "2020-01-01T08:30:00Z"`: 1, `hired le "2020-01-01T09:00:00Z"`: 2, `hired eq "2020-01-01T08:00:00Z"`: 1,
			`weight lt 60.5`: 1, `weight ge 60.5`: 1,
		} {
			t.finds(n, "/Users", trialURN+":"+filter)
		}
	}},
	{id: "7644-3.4.2.2-6", check: func(t *tenant) {
		t.three()
		t.finds(1, "/Users", `emails[type eq "work" and value co "@x.example"]`)
		t.finds(2, "/Users", `emails.type eq "work" and emails.value co "@x.example"`)
	}},
	{id: "7644-3.4.2.2-7", check: func(t *tenant) {
		for _, filter := range []string{`emails[]`, `emails[nosuch eq "x"]`, `emails[type eq]`, `emails[type eq "x"`, `emails[userName eq "x"]`, `userName[value eq "x"]`} {
			t.request("GET", filtered("/Users", filter), nil).want(400, "invalidFilter")
		}
	}},
	{id: "7644-3.4.2.2-8", check: func(t *tenant) {
		for _, filter := range []string{`userName eq "bjensen"`, `name.familyName co "O'Malley"`, `userName sw "J"`, scim.UserURN + `:userName sw "J"`, `title pr`,
			`meta.lastModified gt "2011-05-13T04:42:34Z"`, `meta.lastModified ge "2011-05-13T04:42:34Z"`, `meta.lastModified lt "2011-05-13T04:42:34Z"`,
			`meta.lastModified le "2011-05-13T04:42:34Z"`, `title pr and userType eq "Employee"`, `title pr or userType eq "Intern"`,
			`schemas eq "` + scim.EnterpriseURN + `"`, `userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")`,
			`userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")`, `userType eq "Employee" and (emails.type eq "work")`,
			`userType eq "Employee" and emails[type eq "work" and value co "@example.com"]`,
			`emails[type eq "work" and value co "@example.com"] or ims[type eq "xmpp" and value co "@foo.com"]`, `title eq null`, `userName eq "a\u0062\"\\"`} {
			t.get(filtered("/Users", filter))
		}
		for _, filter := range []string{`userName = "x"`, `userName eq "x" userName eq "y"`, `(userName pr`, `userName pr)`, `not userName pr`, `userName pr and`, `userName eq 'x'`,
			`userName eq`, `"x" eq userName`, `userName pr "x"`, `userName eq "x`, `userName  pr or or title pr`} {
			t.request("GET", filtered("/Users", filter), nil).want(400, "invalidFilter")
		}
		t.request("GET", filtered("/Users", `userName eq anna`), nil).want(400, "invalidFilter")
	}, tolerant: func(t *tenant) {
		t.three()
		t.finds(1, "/Users", `userName eq anna`)
		t.request("GET", filtered("/Users", `userName = "x"`), nil).want(400, "invalidFilter")
	}},
	{id: "7644-3.4.2.2-9", check: func(t *tenant) {
		t.three()
		t.finds(1, "/Users", `userName eq "anna" or userName eq "boris" and title eq "x"`)
		t.finds(0, "/Users", `(userName eq "anna" or userName eq "boris") and title eq "x"`)
		t.finds(2, "/Users", `not (userName eq "anna") and userName pr`)
		t.finds(3, "/Users", `not (userName eq "anna") or userName pr`)
		t.finds(1, "/Users", `not (userName eq "anna" or userName eq "boris")`)
	}},
	{id: "7644-3.4.2.2-10", check: func(t *tenant) {
		t.three()
		t.finds(1, "/Users", `emails.value eq "z@y.example"`)
		t.finds(2, "/Users", `emails co "@y.example"`)
	}},
	{id: "7644-3.4.2.2-11", check: func(t *tenant) {
		t.three()
		t.finds(1, "/Users", `name.givenName eq "zoe"`)
		t.request("GET", filtered("/Users", `name eq "Zoe"`), nil).want(400, "invalidFilter")
		t.finds(2, "/Users", `name pr`)
	}},
	{id: "7644-3.4.2.2-12", check: func(t *tenant) {
		got := t.request("POST", "/Users", strictUser("anna")).want(201)
		got.is("true", "active")
		t.finds(1, "/Users", `active eq true`)
		t.finds(1, "/Users", `active pr`)
	}},
	{id: "7644-3.4.2.2-13", check: func(t *tenant) {
		t.three()
		for _, operator := range []string{"regex", "like", "is", "==", "eqq"} {
			got := t.request("GET", filtered("/Users", `userName `+operator+` "a"`), nil).want(400, "invalidFilter")
			if got.at("Resources") != nil {
				got.errorf("results")
			}
		}
	}},
	{id: "7644-3.4.2.2-14", check: func(t *tenant) {
		t.made(trial("Anna", object{"exact": "AbC", "plain": "AbC"}))
		t.finds(1, "/Users", `userName eq "aNNA"`)
		t.finds(1, "/Users", trialURN+`:plain sw "aB"`)
		t.finds(0, "/Users", trialURN+`:exact sw "aB"`)
		t.finds(1, "/Users", trialURN+`:exact sw "Ab"`)
	}},
	{id: "7644-3.4.2.3-1", check: func(t *tenant) {
		t.three()
		t.order("sortBy=userName&sortOrder=descending", "carla boris anna")
		t.order("sortBy=name.givenName&"+url.Values{"filter": {"name pr"}}.Encode(), "boris anna")
		t.order("sortBy="+scim.UserURN+":userName&sortOrder=ascending", "anna boris carla")
		t.order("sortBy=title&count=1&startIndex=2", "boris")
		t.request("GET", "/Users?sortBy="+scim.EnterpriseURN+":manager", nil).want(400, "invalidValue")
	}, tolerant: func(t *tenant) {
		for name, manager := range map[string]string{"anna": "m2", "boris": "m1"} {
			t.made(strictUser(name, object{scim.EnterpriseURN: object{"manager": object{"value": manager}}}))
		}
		t.order("sortBy=userName&sortOrder=descending", "boris anna")
		t.order("sortBy="+scim.UserURN+":userName&sortOrder=ascending", "anna boris")
		t.order("sortBy="+scim.EnterpriseURN+":manager", "boris anna")
	}},
	{id: "7644-3.4.2.3-2", check: func(t *tenant) {
		t.three()
		// anna's first is anna@x, boris' primary is a@x.
		t.order("sortBy=emails.value&"+url.Values{"filter": {"emails pr"}}.Encode(), "boris anna")
		t.order("sortBy=emails&sortOrder=descending&"+url.Values{"filter": {"emails pr"}}.Encode(), "anna boris")
	}},
	{id: "7644-3.4.2.3-3", check: func(t *tenant) {
		t.three()
		t.order("sortBy=title", "anna boris carla")
		t.order("sortBy=title&sortOrder=descending", "carla boris anna")
	}},
	{id: "7644-3.4.2.3-4", check: func(t *tenant) {
		t.three()
		t.order("sortBy=userName", "anna boris carla")
	}},
	{id: "7644-3.4.2.3-5", check: func(t *tenant) {
		for n, v := range []string{"b", "A", "C"} {
			t.made(trial(fmt.Sprint("u", n), object{"plain": v, "exact": v, "level": 10 - n}))
		}
		t.order("sortBy="+trialURN+":plain", "u1 u0 u2")
		t.order("sortBy="+trialURN+":exact", "u1 u2 u0")
		t.order("sortBy="+trialURN+":level", "u2 u1 u0")
	}},
	{id: "7644-3.4.2.3-6", check: func(t *tenant) {
		t.three()
		t.order("sortBy=userName&sortOrder=ascending", "anna boris carla")
		t.order("sortBy=userName&sortOrder=descending", "carla boris anna")
		for _, order := range []string{"Descending", "up", "desc"} {
			t.request("GET", "/Users?sortBy=userName&sortOrder="+order, nil).want(400, "invalidValue")
		}
	}, tolerant: func(t *tenant) {
		t.three()
		t.order("sortBy=userName&sortOrder=DESCENDING", "carla boris anna")
		t.order("sortBy=userName&sortOrder=Ascending", "anna boris carla")
		t.request("GET", "/Users?sortBy=userName&sortOrder=up", nil).want(400, "invalidValue")
	}},
	{id: "7644-3.4.2.4-1", check: func(t *tenant) {
		t.three()
		for _, start := range []string{"0", "-1", "-99999999999999999999"} {
			got := t.get("/Users?startIndex=" + start)
			got.is("1", "startIndex")
			got.is("3", "itemsPerPage")
		}
	}},
	{id: "7644-3.4.2.4-2", check: func(t *tenant) {
		t.three()
		for n := range 5 {
			if got := t.get(fmt.Sprintf("/Users?count=%d", n)); got.len("Resources") != min(n, 3) {
				got.errorf("%d resources", got.len("Resources"))
			}
		}
	}},
	{id: "7644-3.4.2.4-3", check: func(t *tenant) {
		t.three()
		for _, count := range []string{"-1", "0"} {
			got := t.get("/Users?count=" + count)
			got.is("[]", "Resources")
			got.is("3", "totalResults")
		}
	}},
	{id: "7644-3.4.2.5-1", check: func(t *tenant) {
		t.three()
		got := t.get("/Users?attributes=title,name.givenName").at("Resources", 0).(map[string]any)
		if len(got) != 4 || got["title"] == nil || got["name"] == nil || got["id"] == nil || got["schemas"] == nil {
			t.Errorf("attributes gives %v", got)
		}
		got = t.get("/Users?excludedAttributes=title,name.givenName,emails,active,meta").at("Resources", 0).(map[string]any)
		if len(got) != 3 || got["userName"] == nil {
			t.Errorf("excludedAttributes gives %v", got)
		}
	}},
	{id: "7644-3.4.2.5-2", check: func(t *tenant) {
		item := t.made(trial("anna", object{"always": "a"}))
		got := t.get(item + "?excludedAttributes=id,schemas," + trialURN + ":always")
		got.is(idOf(item), "id")
		got.is("a", trialURN, "always")
	}},
	{id: "7644-3.4.3-1", check: func(t *tenant) {
		t.three()
		t.madeGroup("crew")
		for path, n := range map[string]string{"/.search": "4", "/Users/.search": "3", "/Groups/.search": "1"} {
			got := t.request("POST", path, object{"schemas": []string{searchRequest}}).want(200)
			got.is(n, "totalResults")
			got.is(`["`+listURN+`"]`, "schemas")
		}
		t.get("/Users").is("3", "totalResults") // nothing was created
	}},
	{id: "7644-3.4.3-2", check: func(t *tenant) {
		for _, schemas := range []any{nil, []string{}, []string{listURN}} {
			t.request("POST", "/Users/.search", object{"schemas": schemas, "filter": "userName pr"}).want(400)
		}
		for name, value := range map[string]string{"attributes": "userName", "excludedAttributes": "userName", "count": "0", "startIndex": "1"} {
			t.request("POST", "/Users/.search", object{"schemas": []string{searchRequest}, name: value}).want(400, "invalidValue")
		}
	}, tolerant: func(t *tenant) {
		for _, schemas := range []any{nil, []string{}, []string{listURN}} {
			t.request("POST", "/Users/.search", object{"schemas": schemas, "filter": "userName pr"}).want(400)
		}
		t.three()
		got := t.request("POST", "/Users/.search", object{"schemas": []string{searchRequest}, "attributes": "userName", "count": "1", "startIndex": "1"}).want(200)
		got.is("1", "itemsPerPage")
		got.is("", "Resources", 0, "meta")
		t.request("POST", "/Users/.search", object{"schemas": []string{searchRequest}, "count": "0"}).want(200).is("[]", "Resources")
	}},
	{id: "7644-3.4.3-3", check: func(t *tenant) {
		t.request("POST", "/Users/.search", object{"schemas": []string{searchRequest}, "filter": "userName"}).want(400, "invalidFilter")
	}},
	{id: "7644-3.4.3-4", check: func(t *tenant) {
		t.three()
		search := object{"schemas": []string{searchRequest}, "filter": `title pr`, "sortBy": "userName", "sortOrder": "descending", "startIndex": 1, "count": 1, "attributes": []string{"userName"}}
		got := t.request("POST", "/Users/.search", search).want(200)
		same := t.get("/Users?" + url.Values{"filter": {"title pr"}, "sortBy": {"userName"}, "sortOrder": {"descending"}, "startIndex": {"1"}, "count": {"1"}, "attributes": {"userName"}}.Encode())
		if string(got.body) != string(same.body) {
			got.errorf("GET gives %s", same.body)
		}
		got.is("boris", "Resources", 0, "userName")
		search["attributes"], search["excludedAttributes"] = nil, []string{"userName"}
		t.request("POST", "/Users/.search", search).want(200).is("", "Resources", 0, "userName")
	}},
}

var clauses7644Change = []clause{
	{id: "7644-3.5-1", check: func(t *tenant) {
		t.request("PUT", t.made(strictUser("anna")), strictUser("anna", object{"title": "x"})).want(200).is("x", "title")
		t.request("PUT", t.madeGroup("crew"), groupBody("other")).want(200).is("other", "displayName")
	}},
	{id: "7644-3.5-2", check: func(t *tenant) {
		t.patch(t.made(strictUser("anna")), op("add", "title", "x")).want(200).is("x", "title")
		group := t.madeGroup("crew")
		t.patch(group, op("replace", "displayName", "other"))
		t.get(group).is("other", "displayName")
		t.get("/ServiceProviderConfig").is("true", "patch", "supported")
	}},
	{id: "7644-3.5.1-2", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"title": "one", "emails": []object{{"value": "a"}, {"value": "b"}}, "name": object{"givenName": "A", "familyName": "B"}}))
		got := t.request("PUT", item, strictUser("anna", object{"title": "two", "emails": []object{{"value": "c"}}, "name": object{"givenName": "C"}})).want(200)
		got.is("two", "title")
		got.is(`[{"value":"c"}]`, "emails")
		got.is(`{"givenName":"C"}`, "name")
	}},
	{id: "7644-3.5.1-3", check: func(t *tenant) {
		item := t.made(trial("anna", object{"once": "1"}))
		t.refuses(400, "mutability", "PUT", item, trial("anna", object{"once": "2"}), item)
		t.request("PUT", item, trial("anna", object{"once": "1"})).want(200)
	}},
	{id: "7644-3.5.1-4", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		t.request("PUT", item, trial("anna", object{"once": "1"})).want(200).is("1", trialURN, "once")
	}},
	{id: "7644-3.5.1-5", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		got := t.request("PUT", item, strictUser("anna", object{"id": unknownID, "groups": members(unknownID), "meta": object{"created": "1999-01-01T00:00:00Z"}})).want(200)
		got.is(idOf(item), "id")
		got.is("", "groups")
		got.is("2026-11-23T08:00:00.000Z", "meta", "created")
	}},
	{id: "7644-3.5.1-6", check: func(t *tenant) {
		item, group := t.made(strictUser("anna")), t.madeGroup("crew")
		t.refuses(400, "invalidValue", "PUT", item, object{"schemas": []string{scim.UserURN}, "title": "x"}, item)
		t.refuses(400, "invalidValue", "PUT", group, object{"schemas": []string{scim.GroupURN}}, group)
	}},
	{id: "7644-3.5.1-7", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		got := t.request("PUT", item, strictUser("anna", object{"title": "x"})).want(200)
		if seen := t.get(item); string(seen.body) != string(got.body) {
			got.errorf("a GET shows something else: %s", seen.body)
		}
	}},
	{id: "7644-3.5.2-1", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		ops := []object{op("add", "title", "x")}
		for _, body := range []object{{"Operations": ops}, {"schemas": []string{}, "Operations": ops}, {"schemas": []string{scim.UserURN}, "Operations": ops}} {
			t.refuses(400, "invalidSyntax", "PATCH", item, body, item)
		}
	}, tolerant: func(t *tenant) {
		t.request("PATCH", t.made(strictUser("anna")), object{"Operations": []object{op("add", "title", "x")}}).want(200).is("x", "title")
	}},
	{id: "7644-3.5.2-2", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		for _, operations := range []any{nil, []object{}, "x", op("add", "title", "x")} {
			t.refuses(400, "invalidSyntax", "PATCH", item, object{"schemas": []string{patchOp}, "Operations": operations}, item)
		}
	}, tolerant: func(t *tenant) {
		item := t.made(strictUser("anna"))
		t.request("PATCH", item, patch()).want(200).is(`W/"1"`, "meta", "version")
		t.request("PATCH", item, object{"schemas": []string{patchOp}, "Operations": op("add", "title", "x")}).want(200).is("x", "title")
		t.refuses(400, "invalidSyntax", "PATCH", item, object{"schemas": []string{patchOp}}, item)
		t.refuses(400, "invalidSyntax", "PATCH", item, object{"schemas": []string{patchOp}, "Operations": "x"}, item)
	}},
	{id: "7644-3.5.2-3", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		for _, operation := range []object{{"path": "title", "value": "x"}, op("move", "title", "x"), op("Replace", "title", "x"), {"op": 7, "path": "title", "value": "x"}} {
			t.refuses(400, "invalidSyntax", "PATCH", item, patch(operation), item)
		}
		t.refuses(400, "invalidSyntax", "PATCH", item, raw(`{"schemas":["`+patchOp+`"],"Operations":[{"op":"add","op":"remove","path":"title","value":"x"}]}`), item)
	}, tolerant: func(t *tenant) {
		item := t.made(strictUser("anna"))
		t.patch(item, op("Replace", "title", "x")).want(200).is("x", "title")
		t.refuses(400, "invalidSyntax", "PATCH", item, patch(object{"path": "title", "value": "x"}), item)
		t.refuses(400, "invalidSyntax", "PATCH", item, patch(op("move", "title", "x")), item)
	}},
	{id: "7644-3.5.2-5", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"addresses": []object{{"type": "work", "locality": "Bergen"}}}))
		t.patch(item, op("replace", "name.familyName", "Berg"), op("replace", `addresses[type eq "work"].locality`, "Oslo"), op("add", scim.UserURN+":title", "x"),
			op("add", scim.EnterpriseURN+":department", "deck")).want(200).is("Oslo", "addresses", 0, "locality")
		for _, path := range []string{"title[", "name..givenName", `addresses[type eq]`, ".title", "title.", "emails[0]", "/title", "a b", `addresses[type eq "work"].a.b`} {
			if got := t.request("PATCH", item, patch(op("replace", path, "x"))).want(400); got.text("scimType") != "invalidPath" && got.text("scimType") != "invalidFilter" {
				got.errorf("scimType %s", got.text("scimType"))
			}
		}
	}},
	{id: "7644-3.5.2-6", check: func(t *tenant) {
		item := t.made(trial("anna", object{"once": "1"}))
		for _, operation := range []object{op("replace", "id", "x"), op("add", "groups", members(unknownID)), op("remove", "groups"), op("replace", "meta.version", "x"),
			op("replace", trialURN+":once", "2"), op("add", trialURN+":ours", "x")} {
			t.refuses(400, "mutability", "PATCH", item, patch(op("add", "title", "x"), operation), item)
		}
		t.refuses(400, "invalidValue", "PATCH", item, patch(op("add", trialURN+":level", "x")), item)
	}},
	{id: "7644-3.5.2-7", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		t.patch(item, op("add", trialURN+":once", "1")).want(200).is("1", trialURN, "once")
		t.refuses(400, "mutability", "PATCH", item, patch(op("add", trialURN+":once", "2")), item)
	}},
	{id: "7644-3.5.2-8", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		got := t.patch(item, op("add", scim.EnterpriseURN+":employeeNumber", "7")).want(200)
		got.is(`["`+scim.UserURN+`","`+scim.EnterpriseURN+`"]`, "schemas")
		t.patch(item, op("remove", scim.EnterpriseURN+":employeeNumber")).want(200).is(`["`+scim.UserURN+`"]`, "schemas")
	}},
	{id: "7644-3.5.2-9", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		t.patch(item, op("add", "title", "one"), op("remove", "title"), op("add", "title", "two"), op("add", "emails", []object{{"value": "x", "type": "work"}}),
			op("replace", `emails[type eq "work"].value`, "y")).want(200)
		t.get(item).is("two", "title")
		t.get(item).is("y", "emails", 0, "value")
	}},
	{id: "7644-3.5.2-10", check: func(t *tenant) { t.primaryIsOne() }},
	{id: "7644-3.5.2-11", check: func(t *tenant) {
		item, group, anna := t.made(strictUser("u")), t.madeGroup("crew"), t.made(strictUser("anna"))
		t.refuses(400, "mutability", "PATCH", item, patch(op("add", "title", "x"), op("replace", "active", false), op("replace", "id", "x")), item)
		t.refuses(400, "invalidValue", "PATCH", group, patch(op("add", "members", members(idOf(anna))), op("add", "members", members(unknownID))), group)
	}},
	{id: "7644-3.5.2-13", check: func(t *tenant) {
		item, group := t.made(strictUser("anna")), t.madeGroup("crew")
		got := t.patch(item, op("add", "title", "x")).want(200)
		if seen := t.get(item); string(seen.body) != string(got.body) {
			got.errorf("a GET shows something else: %s", seen.body)
		}
		none := t.patch(group, op("add", "externalId", "x")).want(204)
		none.hasHeader("ETag", t.get(group).text("meta", "version"))
		none.hasHeader("Location", t.get(group).text("meta", "location"))
	}},
	{id: "7644-3.5.2-14", check: func(t *tenant) {
		group := t.madeGroup("crew", object{"externalId": "x"})
		got := t.request("PATCH", group+"?attributes=displayName", patch(op("replace", "displayName", "other"))).want(200)
		got.is("other", "displayName")
		got.is("", "externalId")
		t.set(func(r *directory.Tenant) { r.SCIM.UserPatchNoContent = true })
		t.request("PATCH", t.made(strictUser("anna"))+"?attributes=title", patch(op("add", "title", "x"))).want(200).is("x", "title")
	}},
	{id: "7644-3.5.2-15", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		got := t.patch(item, op("add", "schemas", []string{scim.EnterpriseURN}), op("add", scim.EnterpriseURN+":department", "deck")).want(200)
		got.is("deck", scim.EnterpriseURN, "department")
		got.is(`["`+scim.UserURN+`","`+scim.EnterpriseURN+`"]`, "schemas")
	}},
	{id: "7644-3.5.2.1-1", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		for _, path := range []string{"title", "", "emails"} {
			if got := t.request("PATCH", item, patch(op("add", path))).want(400); got.text("scimType") != "invalidSyntax" && got.text("scimType") != "invalidValue" {
				got.errorf("scimType %s", got.text("scimType"))
			}
		}
	}},
	{id: "7644-3.5.2.1-2", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"emails": []object{{"value": "a", "type": "work"}}}))
		got := t.patch(item, op("add", "", object{"emails": []object{{"value": "b", "type": "home"}}, "nickName": "Babs"})).want(200)
		got.is("Babs", "nickName")
		if got.len("emails") != 2 {
			got.errorf("%d e-mail addresses", got.len("emails"))
		}
	}},
	{id: "7644-3.5.2.1-3", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"name": object{"givenName": "A"}}))
		t.patch(item, op("add", "name", object{"familyName": "B"})).want(200).is(`{"familyName":"B","givenName":"A"}`, "name")
		t.refuses(400, "invalidValue", "PATCH", item, patch(op("add", "name", "x")), item)
	}},
	{id: "7644-3.5.2.1-4", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"emails": []object{{"value": "a"}}}))
		t.patch(item, op("add", "emails", []object{{"value": "b"}})).want(200).is(`[{"value":"a"},{"value":"b"}]`, "emails")
	}},
	{id: "7644-3.5.2.1-5", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"title": "one"}))
		t.patch(item, op("add", "title", "two")).want(200).is("two", "title")
		t.patch(item, op("add", "nickName", "new")).want(200).is("new", "nickName")
	}},
	{id: "7644-3.5.2.1-6", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"title": "one", "emails": []object{{"value": "a", "type": "work"}}}))
		group := t.madeGroup("crew", object{"members": members(idOf(item))})
		before, groupBefore := t.get(item), t.get(group)
		t.clock.Advance(time.Minute)
		defer t.clock.Advance(-time.Minute)
		t.patch(item, op("add", "title", "one"), op("add", "emails", []object{{"value": "a", "type": "work"}})).want(200)
		t.patch(group, op("add", "members", members(idOf(item)))).want(204)
		if after := t.get(item); string(after.body) != string(before.body) {
			after.errorf("was %s", before.body)
		}
		if after := t.get(group); string(after.body) != string(groupBefore.body) {
			after.errorf("was %s", groupBefore.body)
		}
	}},
	{id: "7644-3.5.2.2-1", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		t.refuses(400, "noTarget", "PATCH", item, patch(op("remove", "")), item)
		t.refuses(400, "noTarget", "PATCH", item, patch(op("remove", "", object{"title": "x"})), item)
	}},
	{id: "7644-3.5.2.2-2", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"title": "x", "name": object{"givenName": "A"}}))
		t.patch(item, op("remove", "title"), op("remove", "name.givenName")).want(200).is("", "title")
		t.get(item).is("", "name")
		t.finds(0, "/Users", "title pr or name pr")
	}},
	{id: "7644-3.5.2.2-3", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"emails": []object{{"value": "a"}, {"value": "b"}}}))
		t.patch(item, op("remove", "emails")).want(200).is("", "emails")
		group := t.madeGroup("crew", object{"members": members(idOf(item))})
		t.patch(group, op("remove", "members")).want(204)
		t.get(group).is("", "members")
	}},
	{id: "7644-3.5.2.2-4", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"emails": []object{{"value": "a", "type": "work"}, {"value": "b", "type": "home"}, {"value": "c", "type": "home"}}}))
		t.patch(item, op("remove", `emails[value eq "b"]`)).want(200)
		t.patch(item, op("remove", `emails[type eq "work" and value ew "a"]`)).want(200).is(`[{"type":"home","value":"c"}]`, "emails")
		t.patch(item, op("remove", `emails[type eq "home"]`)).want(200).is("", "emails")
		t.finds(0, "/Users", "emails pr")
	}},
	{id: "7644-3.5.2.2-5", check: func(t *tenant) {
		item, group := t.made(strictUser("anna")), t.madeGroup("crew")
		t.refuses(400, "mutability", "PATCH", item, patch(op("remove", "userName")), item)
		t.refuses(400, "mutability", "PATCH", group, patch(op("remove", "displayName")), group)
		t.refuses(400, "mutability", "PATCH", item, patch(op("remove", "meta")), item)
		t.refuses(400, "mutability", "PATCH", item, patch(op("remove", "id")), item)
	}, tolerant: func(t *tenant) {
		item, group := t.made(strictUser("anna")), t.madeGroup("crew")
		t.refuses(400, "invalidValue", "PATCH", item, patch(op("remove", "userName")), item)
		t.refuses(400, "invalidValue", "PATCH", group, patch(op("remove", "displayName")), group)
		t.refuses(400, "mutability", "PATCH", item, patch(op("remove", "meta")), item)
		t.refuses(400, "mutability", "PATCH", item, patch(op("remove", "id")), item)
	}},
	{id: "7644-3.5.2.3-1", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"emails": []object{{"value": "a"}}, "title": "x"}))
		got := t.patch(item, op("replace", "", object{"emails": []object{{"value": "b"}}, "nickName": "Babs"})).want(200)
		got.is(`[{"value":"b"}]`, "emails")
		got.is("Babs", "nickName")
		got.is("x", "title")
	}},
	{id: "7644-3.5.2.3-2", check: func(t *tenant) {
		t.patch(t.made(strictUser("anna", object{"title": "x"})), op("replace", "title", "y")).want(200).is("y", "title")
	}},
	{id: "7644-3.5.2.3-3", check: func(t *tenant) {
		t.patch(t.made(strictUser("anna", object{"emails": []object{{"value": "a"}, {"value": "b"}}})), op("replace", "emails", []object{{"value": "c"}})).want(200).is(`[{"value":"c"}]`, "emails")
	}},
	{id: "7644-3.5.2.3-4", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		t.patch(item, op("replace", "title", "x"), op("replace", "emails", []object{{"value": "a"}}), op("replace", "name.givenName", "A")).want(200).is("x", "title")
		t.get(item).is("A", "name", "givenName")
		t.get(item).is("a", "emails", 0, "value")
	}},
	{id: "7644-3.5.2.3-5", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"name": object{"givenName": "A", "familyName": "B"}}))
		t.patch(item, op("replace", "name", object{"familyName": "C"})).want(200).is(`{"familyName":"C","givenName":"A"}`, "name")
	}},
	{id: "7644-3.5.2.3-6", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"emails": []object{{"value": "a", "type": "work"}, {"value": "b", "type": "home"}, {"value": "c", "type": "other"}}}))
		t.patch(item, op("replace", `emails[type eq "work"]`, object{"value": "d", "type": "work", "display": "D"})).want(200)
		got := t.get(item)
		got.is("d", "emails", 0, "value")
		got.is("b", "emails", 1, "value")
		got.is("D", "emails", 0, "display")
	}},
	{id: "7644-3.5.2.3-7", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"addresses": []object{{"type": "work", "locality": "A"}, {"type": "work", "region": "B"}, {"type": "home", "locality": "C"}}}))
		t.patch(item, op("replace", `addresses[type eq "work"].locality`, "Z")).want(200)
		got := t.get(item)
		got.is("Z", "addresses", 0, "locality")
		got.is("Z", "addresses", 1, "locality")
		got.is("B", "addresses", 1, "region")
		got.is("C", "addresses", 2, "locality")
	}},
	{id: "7644-3.5.2.3-8", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		t.refuses(400, "noTarget", "PATCH", item, patch(op("replace", `emails[type eq "work"].value`, "x")), item)
		t.refuses(400, "noTarget", "PATCH", item, patch(op("replace", `emails[type eq "work"]`, object{"value": "x"})), item)
	}, tolerant: func(t *tenant) {
		t.patch(t.made(strictUser("anna")), op("Replace", `emails[type eq "work"].value`, "x")).want(200).is(`[{"type":"work","value":"x"}]`, "emails")
	}},
	{id: "7644-3.6-1", check: func(t *tenant) {
		for _, item := range []string{t.made(strictUser("anna")), t.madeGroup("crew")} {
			t.request("DELETE", item, nil).want(204)
			for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE"} {
				t.request(method, item, bodyFor(method, item)).want(404)
			}
		}
	}},
	{id: "7644-3.6-2", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		group := t.madeGroup("crew", object{"members": members(idOf(item))})
		t.request("DELETE", item, nil).want(204)
		for _, filter := range []string{`userName eq "anna"`, `id eq "` + idOf(item) + `"`, "userName pr"} {
			t.finds(0, "/Users", filter)
		}
		t.get("/Users").is("0", "totalResults")
		t.get(group).is("", "members")
	}},
	{id: "7644-3.6-3", check: func(t *tenant) {
		t.request("DELETE", t.made(strictUser("anna", object{"externalId": "e-1"})), nil).want(204)
		t.request("DELETE", t.madeGroup("crew"), nil).want(204)
		t.made(strictUser("anna", object{"externalId": "e-1"}))
		t.madeGroup("crew")
	}},
	{id: "7644-3.6-4", check: func(t *tenant) {
		for _, item := range []string{t.made(strictUser("anna")), t.madeGroup("crew")} {
			if got := t.request("DELETE", item, nil).want(204); len(got.body) > 0 {
				got.errorf("a body")
			}
		}
	}},
}

// sendBulk sends a bulk request and returns the answer.
func (t *tenant) sendBulk(operations ...object) *answer {
	t.Helper()
	return t.request("POST", "/Bulk", object{"schemas": []string{bulkRequest}, "Operations": operations})
}

// bulkPart is an operation of a bulk request.
func bulkPart(method, path, bulkID string, data any) object {
	o := object{"method": method, "path": path}
	if bulkID != "" {
		o["bulkId"] = bulkID
	}
	if data != nil {
		o["data"] = data
	}
	return o
}

// results checks the statuses of a bulk answer, in order.
func (a *answer) results(want ...string) *answer {
	a.t.Helper()
	a.want(200)
	seen := []string{}
	a.each(func(o object) { seen = append(seen, fmt.Sprint(o["status"])) }, "Operations")
	if !slices.Equal(seen, want) {
		a.errorf("the operations ended with %v, want %v", seen, want)
	}
	return a
}

// made is the path of what the nth operation of a bulk made.
func (a *answer) made(n int) string {
	location := a.text("Operations", n, "location")
	at := strings.Index(location, "/v2/")
	if at < 0 {
		a.errorf("operation %d has the location %q", n, location)
		return "/Users/" + unknownID
	}
	return location[at+3:]
}

var clauses7644Bulk = []clause{
	{id: "7644-3.7-1", check: func(t *tenant) {
		got := t.sendBulk(bulkPart("POST", "/Users", "a", strictUser("anna")), bulkPart("POST", "/Groups", "b", groupBody("crew"))).results("201", "201")
		got.is(`["`+bulkResponse+`"]`, "schemas")
		t.get(got.made(0)).is("anna", "userName")
		t.get(got.made(1)).is("crew", "displayName")
		item := got.made(0)
		t.sendBulk(bulkPart("PUT", item, "", strictUser("anna", object{"title": "x"})), bulkPart("PATCH", item, "", patch(op("add", "nickName", "y"))), bulkPart("DELETE", got.made(1), "", nil)).
			results("200", "200", "204")
		t.get(item).is("x", "title")
		t.get(item).is("y", "nickName")
		t.request("GET", got.made(1), nil).want(404)
	}},
	{id: "7644-3.7-2", check: func(t *tenant) {
		t.made(strictUser("taken"))
		t.sendBulk(bulkPart("POST", "/Users", "a", strictUser("taken")), bulkPart("DELETE", "/Users/"+unknownID, "", nil), bulkPart("POST", "/Users", "b", strictUser("free"))).
			results("409", "404", "201")
		t.finds(1, "/Users", `userName eq "free"`)
	}},
	{id: "7644-3.7-3", check: func(t *tenant) {
		t.made(strictUser("taken"))
		got := t.request("POST", "/Bulk", object{"schemas": []string{bulkRequest}, "failOnErrors": 1, "Operations": []object{
			bulkPart("POST", "/Users", "a", strictUser("first")), bulkPart("POST", "/Users", "b", strictUser("taken")), bulkPart("POST", "/Users", "c", strictUser("last"))}})
		got.results("201", "409")
		t.finds(1, "/Users", `userName eq "first"`)
		t.finds(0, "/Users", `userName eq "last"`)
	}},
	{id: "7644-3.7-4", check: func(t *tenant) {
		got := t.sendBulk(bulkPart("POST", "/Users", "qwerty", strictUser("anna"))).results("201")
		got.is("qwerty", "Operations", 0, "bulkId")
	}},
	{id: "7644-3.7-5", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		t.sendBulk(bulkPart("PATCH", item, "", patch(op("add", "title", "one"))), bulkPart("PATCH", item, "", patch(op("replace", "title", "two"))),
			bulkPart("PATCH", item, "", patch(op("replace", "userName", "renamed"))), bulkPart("POST", "/Users", "a", strictUser("anna"))).results("200", "200", "200", "201")
		t.get(item).is("two", "title")
	}},
	{id: "7644-3.7-6", check: func(t *tenant) {
		t.sendBulk(object{"method": "POST", "path": "/Users", "data": strictUser("anna")}).errorOf(400) // no bulkId
		t.request("POST", "/Bulk", object{"schemas": []string{bulkRequest}}).want(400)                  // no Operations
		t.sendBulk(object{"path": "/Users", "bulkId": "a", "data": strictUser("anna")}).errorOf(400)    // no method
		t.sendBulk(object{"method": "POST", "bulkId": "a", "data": strictUser("anna")}).errorOf(400)    // no path
		t.sendBulk(object{"method": "POST", "path": "/Users", "bulkId": "a"}).errorOf(400)              // no data
		t.get("/Users").is("0", "totalResults")
	}},
	{id: "7644-3.7-7", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		stale := bulkPart("PATCH", item, "", patch(op("add", "title", "x")))
		stale["version"] = `W/"9"`
		fresh := bulkPart("PATCH", item, "", patch(op("add", "title", "y")))
		fresh["version"] = t.get(item).text("meta", "version")
		t.sendBulk(stale, fresh).results("412", "200")
		t.get(item).is("y", "title")
	}},
	{id: "7644-3.7.1-1", check: func(t *tenant) {
		boss := func(name, of string) object {
			return strictUser(name, object{scim.EnterpriseURN: object{"manager": object{"value": "bulkId:" + of}}})
		}
		got := t.sendBulk(bulkPart("POST", "/Users", "a", boss("anna", "b")), bulkPart("POST", "/Users", "b", boss("boris", "a"))).results("201", "201")
		t.get(got.made(0)).is(idOf(got.made(1)), scim.EnterpriseURN, "manager", "value")
		t.get(got.made(1)).is(idOf(got.made(0)), scim.EnterpriseURN, "manager", "value")
	}},
	{id: "7644-3.7.2-1", check: func(t *tenant) {
		got := t.sendBulk(bulkPart("POST", "/Groups", "g", groupBody("Tour Guides", object{"members": []object{{"type": "User", "value": "bulkId:qwerty"}}})),
			bulkPart("POST", "/Users", "qwerty", strictUser("alice"))).results("201", "201")
		t.get(got.made(0)).is(idOf(got.made(1)), "members", 0, "value")
		for k, v := range t.dump() {
			if strings.Contains(v, "bulkId:") && !strings.HasPrefix(k, "log\x00") {
				t.Errorf("the store holds a bulkId in %q", k)
			}
		}
	}},
	{id: "7644-3.7.2-2", check: func(t *tenant) {
		got := t.sendBulk(bulkPart("POST", "/Users", "qwerty", strictUser("alice")),
			bulkPart("POST", "/Users", "ytrewq", strictUser("bob", object{scim.EnterpriseURN: object{"employeeNumber": "11250", "manager": object{"value": "bulkId:qwerty"}}}))).results("201", "201")
		t.get(got.made(1)).is(idOf(got.made(0)), scim.EnterpriseURN, "manager", "value")
	}},
	{id: "7644-3.7.3-1", check: func(t *tenant) {
		operations := []object{}
		for n := range 20 {
			operations = append(operations, bulkPart("POST", "/Users", fmt.Sprint("b", n), strictUser(fmt.Sprint("u", n/2))))
		}
		got := t.sendBulk(operations...).want(200)
		if got.len("Operations") != 20 {
			got.errorf("%d results", got.len("Operations"))
		}
		for n := range 20 {
			got.is(fmt.Sprint("b", n), "Operations", n, "bulkId")
			got.is("POST", "Operations", n, "method")
		}
	}},
	{id: "7644-3.7.3-2", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		got := t.sendBulk(bulkPart("PATCH", item, "", patch(op("replace", "id", "x"))), bulkPart("POST", "/Users", "a", strictUser("anna")), bulkPart("DELETE", item, "", nil)).results("400", "409", "204")
		for _, n := range []int{0, 2} {
			got.is(t.url+"/scim/"+t.name+"/v2"+item, "Operations", n, "location")
		}
		got.is("", "Operations", 1, "location")
	}},
	{id: "7644-3.7.3-3", check: func(t *tenant) {
		got := t.sendBulk(bulkPart("POST", "/Users", "a", strictUser("anna")), bulkPart("POST", "/Users", "b", strictUser("anna")))
		for n, want := range []string{"201", "409"} {
			if status, ok := got.at("Operations", n, "status").(string); !ok || status != want {
				got.errorf("the status of operation %d is %v", n, got.at("Operations", n, "status"))
			}
		}
	}},
	{id: "7644-3.7.3-4", check: func(t *tenant) {
		t.made(strictUser("anna"))
		got := t.sendBulk(bulkPart("POST", "/Users", "a", strictUser("anna"))).results("409")
		got.is(`["`+errorURN+`"]`, "Operations", 0, "response", "schemas")
		got.is("409", "Operations", 0, "response", "status")
		got.is("uniqueness", "Operations", 0, "response", "scimType")
		if got.text("Operations", 0, "response", "detail") == "" {
			got.errorf("no detail")
		}
	}},
	{id: "7644-3.7.4-1", check: func(t *tenant) {
		got := t.get("/ServiceProviderConfig")
		got.is("true", "bulk", "supported")
		got.is("100", "bulk", "maxOperations")
		got.is("1048576", "bulk", "maxPayloadSize")
	}},
	{id: "7644-3.7.4-2", check: func(t *tenant) {
		operations := []object{}
		for n := range 101 {
			operations = append(operations, bulkPart("POST", "/Users", fmt.Sprint("b", n), strictUser(fmt.Sprint("u", n))))
		}
		got := t.sendBulk(operations...).want(413)
		if !strings.Contains(got.text("detail"), "100") {
			got.errorf("the limit is not told")
		}
		big := t.request("POST", "/Bulk", object{"schemas": []string{bulkRequest}, "Operations": []object{bulkPart("POST", "/Users", "a", strictUser("u", object{"title": strings.Repeat("x", 1<<20)}))}}).want(413)
		if !strings.Contains(big.text("detail"), "1048576") {
			big.errorf("the limit is not told")
		}
		t.get("/Users").is("0", "totalResults")
		t.sendBulk(operations[:100]...).want(200)
		t.get("/Users").is("100", "totalResults")
	}},
}

// errorOf checks that a bulk was refused as a whole with a status, or its only operation with it.
func (a *answer) errorOf(status int) {
	a.t.Helper()
	if a.status == 200 {
		a.results(fmt.Sprint(status))
		return
	}
	a.want(status)
}

var clauses7644End = []clause{
	{id: "7644-3.8-1", check: func(t *tenant) {
		got := t.request("POST", "/Users", strictUser("anna", object{"title": "Åström 日本語"})).want(201)
		if !strings.Contains(string(got.body), "Åström 日本語") {
			got.errorf("the answer is not UTF-8")
		}
		t.request("POST", "/Users", raw("{\"userName\":\"\xff\xfe\"}")).want(400, "invalidSyntax")
		t.request("POST", "/Users", strictUser("x"), "Content-Type", "application/scim+json; charset=utf-16").want(415, "")
	}},
	{id: "7644-3.8-2", check: func(t *tenant) {
		for _, accept := range []string{"application/scim+json", "application/scim+json;q=0.5, text/html", "Application/SCIM+JSON"} {
			t.request("GET", "/Users", nil, "Accept", accept).want(200).hasHeader("Content-Type", "application/scim+json")
		}
	}},
	{id: "7644-3.8-3", check: func(t *tenant) {
		t.request("GET", "/Users", nil, "Accept", "application/json").want(200)
		t.request("POST", "/Users", strictUser("anna"), "Accept", "application/json", "Content-Type", "application/json").want(201)
	}},
	{id: "7644-3.8-4", check: func(t *tenant) {
		for _, accept := range []string{"", "*/*"} {
			t.request("GET", "/Users", nil, "Accept", accept).want(200).hasHeader("Content-Type", "application/scim+json")
		}
	}},
	{id: "7644-3.9-1", check: func(t *tenant) {
		item := t.made(trial("anna", object{"always": "a", "plain": "b"}))
		for _, got := range []*answer{t.get(item + "?attributes=name,active"), t.request("PATCH", item+"?attributes=name,active", patch(op("add", "title", "x"))).want(200),
			t.request("PUT", item+"?attributes=name,active", trial("anna", object{"always": "a"})).want(200), t.request("POST", "/Users?attributes=name,active", trial("boris", object{"always": "a"})).want(201)} {
			got.is("true", "active")
			got.is("a", trialURN, "always")
			got.is("", "userName")
			got.is("", "meta")
			got.is("", trialURN, "plain")
			if got.id() == "" || got.text("schemas") == "" {
				got.errorf("id or schemas are missing")
			}
		}
	}},
	{id: "7644-3.9-2", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"title": "x"}))
		got := t.get(item + "?excludedAttributes=id,schemas,title,meta.created")
		got.is(idOf(item), "id")
		got.is("", "title")
		got.is("anna", "userName")
		got.is("", "meta", "created")
		got.is("User", "meta", "resourceType")
	}},
	{id: "7644-3.9-3", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		for _, path := range []string{"/Users", item} {
			t.request("GET", path+"?attributes=userName&excludedAttributes=name", nil).want(400)
		}
	}},
	{id: "7644-3.10-1", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"name": object{"givenName": "A"}, scim.EnterpriseURN: object{"department": "deck"}}))
		t.finds(1, "/Users", scim.UserURN+`:name.givenName eq "a"`)
		t.finds(1, "/Users", scim.EnterpriseURN+`:department eq "deck"`)
		t.get(item+"?attributes="+scim.EnterpriseURN+":department,"+scim.UserURN+":name.givenName").is("deck", scim.EnterpriseURN, "department")
		t.patch(item, op("replace", scim.UserURN+":name.givenName", "B"), op("replace", scim.EnterpriseURN+":department", "bridge")).want(200).is("B", "name", "givenName")
	}},
	{id: "7644-3.10-2", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"name": object{"givenName": "A"}}))
		t.finds(1, "/Users", strings.ToUpper(scim.UserURN)+`:NAME.GIVENNAME eq "a"`)
		t.get(item+"?attributes="+strings.ToUpper(scim.UserURN)+":NAME.givenname").is("A", "name", "givenName")
		t.patch(item, op("replace", strings.ToUpper(scim.UserURN)+":Name.GivenName", "B")).want(200).is("B", "name", "givenName")
	}},
	{id: "7644-3.11-1", check: func(t *tenant) {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			t.request(method, "/Me", bodyFor(method, "/Users")).want(501, "") // a directory's token is no person's
		}
	}},
	{id: "7644-3.12-1", check: func(t *tenant) {
		for _, x := range []struct{ method, path string }{{"GET", "/Users/" + unknownID}, {"GET", "/nowhere"}, {"POST", "/Users"}, {"PUT", "/Users"}, {"GET", filtered("/Users", "x")}} {
			got := t.request(x.method, x.path, nil)
			if got.status < 400 || got.text("schemas") != `["`+errorURN+`"]` || got.text("detail") == "" {
				got.errorf("not an error of SCIM")
			}
			got.hasHeader("Content-Type", "application/scim+json")
		}
	}},
	{id: "7644-3.12-2", check: func(t *tenant) {
		got := t.request("GET", "/Users/"+unknownID, nil).want(404)
		if status, ok := got.at("status").(string); !ok || status != "404" {
			got.errorf("status is %v", got.at("status"))
		}
	}},
	{id: "7644-3.12-3", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		t.request("POST", "/Users", raw("{")).want(400, "invalidSyntax")
		t.request("GET", "/Users", nil, "Authorization", "Bearer wrong").want(401)
		t.request("GET", filtered("/Schemas", "id pr"), nil).want(403)
		t.request("GET", "/Users/"+unknownID, nil).want(404)
		t.request("POST", "/Users", strictUser("anna")).want(409)
		t.request("PATCH", item, patch(op("add", "title", "x")), "If-Match", `W/"9"`).want(412)
		t.request("POST", "/Users", raw(`{"x":"`+strings.Repeat("x", 1<<20)+`"}`)).want(413)
		t.store.fail(errDisk, errDisk)
		defer t.store.fail(nil, nil)
		got := t.request("POST", "/Users", strictUser("boris")).want(500)
		if strings.Contains(string(got.body), "srv") || !strings.Contains(got.text("detail"), "not carried out") {
			got.errorf("the detail does not help, or tells too much")
		}
	}},
	{id: "7644-3.12-4", check: func(t *tenant) {
		item := t.made(trial("anna", object{"once": "1"}))
		t.made(strictUser("boris"))
		for scimType, got := range map[string]*answer{
			"invalidFilter": t.request("GET", filtered("/Users", "userName"), nil),
			"uniqueness":    nil,
			"mutability":    t.request("PATCH", item, patch(op("replace", trialURN+":once", "2"))),
			"invalidSyntax": t.request("POST", "/Users", raw("[]")),
			"invalidPath":   t.request("PATCH", item, patch(op("replace", "title[", "x"))),
			"noTarget":      t.request("PATCH", item, patch(op("remove", ""))),
			"invalidValue":  t.request("POST", "/Users", object{"schemas": []string{scim.UserURN}}),
		} {
			if got == nil {
				t.request("PATCH", item, patch(op("replace", "userName", "boris"))).want(409, scimType)
				continue
			}
			got.want(400, scimType)
		}
	}},
	{id: "7644-3.13-1", check: func(t *tenant) {
		t.get("/Users")
		for _, version := range []string{"v1", "v3", "V2", "v2.0", "2"} {
			t.request("GET", "/scim/"+t.name+"/"+version+"/Users", nil).want(404, "")
		}
	}},
	{id: "7644-3.14-1", check: func(t *tenant) {
		for _, item := range []string{t.made(strictUser("anna")), t.madeGroup("crew")} {
			got := t.get(item)
			if got.header.Get("ETag") == "" {
				got.errorf("no ETag")
			}
			got.is(got.header.Get("ETag"), "meta", "version")
		}
	}},
	{id: "7644-3.14-2", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		tag := t.get(item).header.Get("ETag")
		got := t.request("GET", item+"?attributes=displayName", nil, "If-None-Match", tag).want(304)
		if len(got.body) > 0 {
			got.errorf("304 with content")
		}
		t.patch(item, op("add", "title", "x")).want(200)
		t.request("GET", item, nil, "If-None-Match", tag).want(200)
	}},
	{id: "7644-3.14-3", check: func(t *tenant) {
		for item, body := range map[string]object{t.made(strictUser("anna")): strictUser("anna", object{"title": "x"}), t.madeGroup("crew"): groupBody("crew", object{"externalId": "x"})} {
			old := t.get(item).header.Get("ETag")
			t.request("PUT", item, body, "If-Match", old).want(200)
			t.request("PUT", item, body, "If-Match", old).want(412, "")
			t.request("PATCH", item, patch(op("replace", "externalId", "y")), "If-Match", old).want(412, "")
			t.request("DELETE", item, nil, "If-Match", old).want(412, "")
			t.get(item)
			t.request("DELETE", item, nil, "If-Match", t.get(item).header.Get("ETag")).want(204)
		}
	}},
	{id: "7644-4-1", check: func(t *tenant) {
		t.get("/ServiceProviderConfig").is(`["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"]`, "schemas")
	}},
	{id: "7644-4-2", check: func(t *tenant) {
		got := t.get("/Schemas")
		got.is(`["`+listURN+`"]`, "schemas")
		ids := got.values("id", "Resources")
		const core = "urn:ietf:params:scim:schemas:core:2.0:"
		for _, urn := range []string{scim.UserURN, scim.GroupURN, scim.EnterpriseURN, trialURN, core + "ServiceProviderConfig", core + "ResourceType", core + "Schema"} {
			t.get("/Schemas/"+urn).is(urn, "id")
			if !slices.Contains(ids, urn) {
				got.errorf("%s is missing", urn)
			}
		}
		got.is(fmt.Sprint(len(ids)), "totalResults")
	}},
	{id: "7644-4-3", check: func(t *tenant) {
		t.get("/Schemas/"+scim.UserURN).is(scim.UserURN, "id")
		t.get("/ResourceTypes/Group").is("/Groups", "endpoint")
		t.get("/ResourceTypes").is(`["`+listURN+`"]`, "schemas")
		t.request("GET", "/Schemas/urn:example:none", nil).want(404, "")
		t.request("GET", "/ResourceTypes/None", nil).want(404, "")
	}},
	{id: "7644-4-4", check: func(t *tenant) {
		for _, path := range []string{"/Schemas", "/ResourceTypes", "/ServiceProviderConfig"} {
			plain := t.get(path)
			if got := t.get(path + "?sortBy=name&sortOrder=descending&startIndex=2&count=1&attributes=name"); string(got.body) != string(plain.body) {
				got.errorf("the parameters are not ignored")
			}
		}
	}},
	{id: "7644-4-5", check: func(t *tenant) {
		for _, path := range []string{"/Schemas", "/ResourceTypes", "/ServiceProviderConfig"} {
			t.request("GET", filtered(path, `id eq "x"`), nil).want(http.StatusForbidden)
		}
	}},
	{id: "7644-6-1", check: func(t *tenant) {
		other := t.sibling()
		item := other.made(strictUser("anna", object{"externalId": "e-1"}))
		t.request("GET", item, nil).want(404, "")
		t.request("GET", "/scim/"+other.name+"/v2/Users", nil).want(404, "")
		t.made(strictUser("anna", object{"externalId": "e-1"})) // names and externalId are each tenant's own
	}},
	{id: "7644-7.8-1", check: func(t *tenant) {
		t.made(strictUser("Anna.Åström@example.com"))
		for _, same := range []string{"anna.åström@example.com", "ANNA.A\u030aSTRO\u0308M@EXAMPLE.COM"} {
			t.refuses(409, "uniqueness", "POST", "/Users", strictUser(same), "")
			t.finds(1, "/Users", `userName eq "`+same+`"`)
		}
	}},
}
