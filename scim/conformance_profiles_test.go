package scim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/scim"
)

// The profiles that narrow SCIM down, clause by clause: the SCIM 2.0 Interoperability Profile, OpenID's IPSIE, and what the
// published conformance suites look at. Each is told in docs/conformance.md.
func TestConformanceProfiles(t *testing.T) { conform(t, clausesProfiles) }

var clausesProfiles = slices.Concat(clausesInterop, clausesIPSIE, clausesSuites)

var clausesInterop = []clause{
	{id: "interop-4-1", check: func(t *tenant) {
		t.get("/ServiceProviderConfig").is("", "interopProfileConformant") // section 6.5.1 asks that a PATCH without a path is refused
	}},
	{id: "interop-5.1-1", check: func(t *tenant) {
		for _, path := range []string{"/ServiceProviderConfig", "/Schemas", "/ResourceTypes"} {
			t.get(path)
		}
	}},
	{id: "interop-5.1-3", check: func(t *tenant) {
		got := t.get("/ResourceTypes")
		got.each(func(r object) {
			if r["id"] != r["name"] || r["id"] == nil {
				got.errorf("the resource type %v has the id %v", r["name"], r["id"])
			}
		}, "Resources")
	}},
	{id: "interop-5.2-1", check: func(t *tenant) {
		t.made(strictUser("JSmith", object{"externalId": "ABC-123"}))
		t.finds(1, "/Users", `userName eq "jsmith"`)
		t.refuses(409, "uniqueness", "POST", "/Users", strictUser("jsmith"), "")
		t.finds(0, "/Users", `externalId eq "abc-123"`)
		t.made(strictUser("other", object{"externalId": "abc-123"}))
		t.madeGroup("Crew")
		t.finds(1, "/Groups", `displayName eq "CREW"`)
		t.refuses(409, "uniqueness", "POST", "/Groups", groupBody("cREW"), "")
	}},
	{id: "interop-5.3-1", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		t.refuses(400, "invalidSyntax", "POST", "/Users", strictUser("boris", object{"nosuch": "x"}), "")
		t.request("POST", "/Users", object{"schemas": []string{scim.UserURN, "urn:example:none"}, "userName": "boris"}).want(400)
		t.request("PATCH", item, patch(op("add", "nosuch", "x"))).want(400)
		t.refuses(400, "invalidSyntax", "PUT", item, strictUser("anna", object{"name": object{"nosuch": "x"}}), item)
	}, tolerant: func(t *tenant) {
		item := t.made(strictUser("anna", object{"nosuch": "x"}))
		t.patch(item, op("add", "nosuch", "x"), op("replace", "active", false)).want(200).is("false", "active")
		t.get(item).is("", "nosuch")
	}},
	{id: "interop-5.4-1", check: func(t *tenant) {
		t.attributesOf(func(schema, path string, a object) {
			if name, isType := strings.CutSuffix(path, ".type"); isType && schema == scim.UserURN && slices.Contains([]string{"emails", "phoneNumbers", "ims", "addresses", "photos"}, name) {
				if list, _ := a["canonicalValues"].([]any); len(list) == 0 {
					t.Errorf("%s has no canonical values", path)
				}
			}
		})
	}},
	{id: "interop-6.1-1", check: func(t *tenant) {
		t.made(strictUser("anna", object{"externalId": "e-1"}))
		for _, name := range []string{"anna", "e-1"} {
			t.request("GET", "/Users/"+name, nil).want(404, "")
		}
		crew := t.madeGroup("crew")
		t.request("GET", "/Users/"+idOf(crew), nil).want(404, "")
	}},
	{id: "interop-6.2-1", check: func(t *tenant) {
		for _, path := range []string{"/Users", "/Schemas", "/ServiceProviderConfig", t.made(strictUser("anna"))} {
			t.get(path).hasHeader("Content-Type", "application/scim+json")
		}
	}},
	{id: "interop-6.3-1", check: func(t *tenant) {
		t.three()
		t.finds(1, "/Users", `userName eq "anna" and active eq true`)
		t.finds(1, "/Users", `emails[type eq "work" and value eq "anna@x.example"]`)
	}},
	{id: "interop-6.3-2", check: func(t *tenant) {
		t.request("GET", filtered("/Users", `nosuch eq "x"`), nil).want(400, "invalidFilter")
		t.request("GET", filtered("/Groups", `userName eq "x"`), nil).want(400, "invalidFilter")
	}},
	{id: "interop-6.4-1", check: func(t *tenant) {
		t.crowd(101)
		got := t.get("/Users")
		got.is("100", "itemsPerPage")
		t.get("/Users?startIndex=101").is("1", "itemsPerPage")
		t.get("/Users?count=101").is("101", "itemsPerPage")
	}},
	{id: "interop-6.5-1", check: func(t *tenant) {
		t.patch(t.made(strictUser("anna")), op("replace", "active", false)).want(200).is("false", "active")
	}},
	{id: "interop-6.5.2-1", check: func(t *tenant) {
		a, b := t.made(strictUser("anna", object{"title": "x"})), t.made(strictUser("boris", object{"title": "x"}))
		t.patch(a, op("add", "title", "y"), op("add", "active", false)).want(200).is("y", "title")
		t.patch(b, op("replace", "title", "y"), op("replace", "active", false)).want(200).is("y", "title")
		for _, name := range []string{"title", "active"} {
			t.get(b).is(t.get(a).text(name), name)
		}
	}},
	{id: "interop-6.5.2-3", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"name": object{"givenName": "A", "familyName": "B"}}))
		t.patch(item, op("add", "name", object{"familyName": "C"})).want(200).is(`{"familyName":"C","givenName":"A"}`, "name")
	}},
	{id: "interop-6.5.2-4", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"emails": []object{{"value": "a"}, {"value": "b"}}}))
		t.patch(item, op("replace", "emails", []object{{"value": "c"}})).want(200).is(`[{"value":"c"}]`, "emails")
		t.patch(item, op("add", "emails", []object{{"value": "d"}})).want(200).is(`[{"value":"c"},{"value":"d"}]`, "emails")
	}},
	{id: "interop-6.6-1", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		t.patch(item, op("replace", "active", false)).want(200)
		t.get(item).is("false", "active")
		t.finds(1, "/Users", `userName eq "anna"`)
		t.request("DELETE", item, nil).want(204)
		t.request("GET", item, nil).want(404)
		t.request("PATCH", item, patch(op("replace", "active", true))).want(404)
		t.finds(0, "/Users", `userName eq "anna"`)
		t.made(strictUser("anna"))
	}},
	{id: "interop-6.9.1-1", check: func(t *tenant) {
		t.made(strictUser("anna"))
		item := t.made(strictUser("boris"))
		t.refuses(409, "uniqueness", "POST", "/Users", strictUser("ANNA"), "")
		t.refuses(409, "uniqueness", "PATCH", item, patch(op("replace", "userName", "anna")), item)
	}},
	{id: "interop-7.2-1", check: func(t *tenant) {
		got := t.get("/ServiceProviderConfig")
		if slices.Contains(got.values("type", "authenticationSchemes"), "httpbasic") {
			got.errorf("HTTP Basic is announced")
		}
		t.request("GET", "/Users", nil, "Authorization", "Basic YTpi").want(401)
	}},
}

var clausesIPSIE = []clause{
	{id: "ipsie-4.3-3", check: func(t *tenant) {
		got := t.sendBulk(bulkPart("POST", "/Users", "a", strictUser("anna"))).results("201")
		t.get(got.made(0)).is("anna", "userName")
	}},
	{id: "ipsie-4.3-4", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		got := t.patch(item, op("replace", "title", "x"), op("replace", "active", false), op("replace", "name.givenName", "A")).want(200)
		got.is("x", "title")
		got.is("false", "active")
		got.is("A", "name", "givenName")
	}},
	{id: "ipsie-5.1-3", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		t.patch(item, op("replace", "active", false)).want(200).is("false", "active")
		t.patch(item, op("replace", "active", true)).want(200).is("true", "active")
	}},
	{id: "ipsie-5.2-1", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		t.request("DELETE", item, nil).want(204)
		t.made(strictUser("anna"))
	}},
	{id: "ipsie-5.4-1", check: func(t *tenant) {
		t.made(strictUser("anna", object{"externalId": "e-1", "emails": []object{{"value": "anna@x.example", "type": "work"}}}))
		t.made(strictUser("boris"))
		for _, filter := range []string{`username eq "anna"`, `externalId eq "e-1"`, `emails[value eq "anna@x.example"]`, `emails[type eq "work" and value eq "anna@x.example"]`} {
			t.finds(1, "/Users", filter)
		}
	}},
	{id: "ipsie-6.1.1-1", check: func(t *tenant) {
		got := t.request("POST", "/Users", strictUser("anna", object{"displayName": "Anna", "active": true, "externalId": "e-1"})).want(201)
		for _, name := range []string{"userName", "displayName", "active", "externalId"} {
			if got.text(name) == "" {
				got.errorf("%s is missing", name)
			}
		}
	}},
	{id: "ipsie-6.1.2-2", check: func(t *tenant) {
		t.attributesOf(func(schema, path string, _ object) {
			if strings.HasPrefix(path, "changePassword") && strings.HasSuffix(schema, ":ServiceProviderConfig") {
				return // where the server says that it changes none
			}
			for _, word := range []string{"password", "secret", "credential", "otp"} {
				if strings.Contains(strings.ToLower(path), word) {
					t.Errorf("%s publishes %s", schema, path)
				}
			}
		})
	}},
	{id: "ipsie-6.1.5-2", check: func(t *tenant) {
		if got := t.get("/ServiceProviderConfig").text("filter", "maxResults"); len(got) > 3 {
			t.Errorf("a page may have %s users", got)
		}
		t.get("/ServiceProviderConfig").is("true", "pagination", "cursor")
	}},
	{id: "ipsie-6.2.1-1", check: func(t *tenant) {
		anna := t.made(strictUser("anna"))
		got := t.request("POST", "/Groups", groupBody("crew", object{"externalId": "e-1", "members": members(idOf(anna))})).want(201)
		for _, name := range []string{"displayName", "externalId", "members"} {
			if got.text(name) == "" {
				got.errorf("%s is missing", name)
			}
		}
		t.refuses(409, "uniqueness", "POST", "/Groups", groupBody("crew"), "")
	}},
	{id: "ipsie-6.2.2-2", check: func(t *tenant) {
		t.get(t.madeGroup("crew")).is("", "members")
	}},
	{id: "ipsie-6.2.5-1", check: func(t *tenant) {
		anna := t.made(strictUser("anna"))
		t.madeGroup("crew", object{"externalId": "e-1", "members": members(idOf(anna))})
		t.madeGroup("other")
		for _, filter := range []string{`displayName eq "crew"`, `externalId eq "e-1"`, `members[value eq "` + idOf(anna) + `"]`} {
			t.finds(1, "/Groups", filter)
		}
	}},
	{id: "ipsie-6.2.6-2", check: func(t *tenant) {
		group, ops, gone := t.madeGroup("crew"), []object{}, []object{}
		for n := range 50 {
			id := idOf(t.made(strictUser(fmt.Sprint("u", n))))
			ops = append(ops, op("add", "members", members(id)))
			gone = append(gone, op("remove", `members[value eq "`+id+`"]`))
		}
		t.patch(group, ops...).want(204)
		if n := len(t.members(group[len("/Groups/"):])); n != 50 {
			t.Errorf("%d members", n)
		}
		t.patch(group, gone...).want(204)
		t.get(group).is("", "members")
	}},
}

// clausesSuites is what the published suites look at and many servers fail, and how this server decides where they contradict
// one another.
var clausesSuites = []clause{
	{id: "suites-1", check: func(t *tenant) {
		for _, path := range []string{"/Users", filtered("/Users", `userName eq "x"`), "/Groups?count=0", "/Users?startIndex=9"} {
			if got := t.get(path); !strings.Contains(string(got.body), `"Resources":[]`) {
				got.errorf("Resources is not the empty list")
			}
		}
	}},
	{id: "suites-2", check: func(t *tenant) {
		for _, path := range []string{"/Schemas", "/ResourceTypes", "/ServiceProviderConfig"} {
			t.get(path).noEmpty()
		}
	}},
	{id: "suites-3", check: func(t *tenant) {
		for _, got := range []*answer{t.request("GET", "/Users/"+unknownID, nil).want(404), t.request("POST", "/Users", raw("{")).want(400), t.request("GET", "/Users", nil, "Authorization", "").want(401)} {
			doc, _ := got.doc.(map[string]any)
			for name := range doc {
				if !slices.Contains([]string{"schemas", "status", "scimType", "detail"}, name) {
					got.errorf("the error has %s", name)
				}
			}
			if got.header["Content-Type"][0] != "application/scim+json" {
				got.errorf("Content-Type %q", got.header["Content-Type"])
			}
		}
	}},
	{id: "suites-4", check: func(t *tenant) {
		for _, path := range []string{"/Schemas", "/ResourceTypes"} {
			got := t.get(path)
			got.each(func(r object) {
				meta, _ := r["meta"].(map[string]any)
				if location, _ := meta["location"].(string); !strings.HasPrefix(location, "http://") || meta["resourceType"] == nil {
					got.errorf("the meta is %v", meta)
				}
			}, "Resources")
		}
		got := t.get("/ServiceProviderConfig")
		got.is("ServiceProviderConfig", "meta", "resourceType")
		got.is(t.url+"/scim/"+t.name+"/v2/ServiceProviderConfig", "meta", "location")
	}},
	{id: "suites-5", check: func(t *tenant) {
		created := t.request("POST", "/Users", strictUser("anna")).want(201)
		item := "/Users/" + created.id()
		for _, got := range []*answer{created, t.get(item), t.request("PUT", item, strictUser("anna", object{"title": "x"})).want(200), t.patch(item, op("add", "nickName", "y")).want(200)} {
			for _, name := range []string{"Location", "Content-Location"} {
				got.hasHeader(name, t.url+"/scim/"+t.name+"/v2"+item)
			}
			if got.header.Get("ETag") == "" {
				got.errorf("no ETag")
			}
		}
	}},
	{id: "suites-6", check: func(t *tenant) {
		seen := map[string]bool{}
		t.attributesOf(func(schema, path string, a object) {
			if schema == scim.GroupURN && path == "displayName" && a["required"] != true {
				t.Errorf("displayName of Group is not required")
			}
			seen[schema+" "+path] = true
		})
		for _, want := range []string{scim.UserURN + " externalId", scim.UserURN + " roles", scim.GroupURN + " externalId"} {
			if !seen[want] {
				t.Errorf("%s is not published", want)
			}
		}
	}},
	{id: "suites-7", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"title": "x"}))
		t.patch(item, op("replace", "title", "")).want(200).is("", "title")
		t.finds(0, "/Users", "title pr")
	}},
	{id: "suites-8", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		for _, path := range []string{"urn:example:x:1.0:User:title", scim.GroupURN + ":displayName", "title.title", "nosuch"} {
			t.refuses(400, "invalidPath", "PATCH", item, patch(op("replace", path, "x"), op("replace", "title", "x")), item)
		}
		t.refuses(400, "invalidPath", "PATCH", item, patch(object{"op": "replace", "path": "", "value": object{"title": "x"}}), item)
	}, tolerant: func(t *tenant) {
		item := t.made(strictUser("anna"))
		t.patch(item, op("replace", "urn:example:x:1.0:User:title", "x"), op("replace", "nickName", "y")).want(200).is("y", "nickName")
		t.get(item).is("", "title")
	}},
	{id: "suites-9", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"title": "x", "name": object{"givenName": "A"}}))
		t.finds(1, "/Users", scim.UserURN+`:name.givenName eq "A"`)
		t.order("sortBy="+scim.UserURN+":title", "anna")
		t.get(item+"?attributes="+scim.UserURN+":title").is("x", "title")
		t.get(item+"?excludedAttributes="+scim.UserURN+":title").is("", "title")
		got := t.get(item + "?attributes=userName")
		if doc, _ := got.doc.(map[string]any); len(doc) != 3 || doc["schemas"] == nil || doc["id"] == nil {
			got.errorf("attributes=userName")
		}
	}},
	{id: "suites-10", check: func(t *tenant) {
		anna := t.made(strictUser("anna"))
		crew := t.madeGroup("crew", object{"members": members(idOf(anna))})
		t.get(crew).is(t.get(anna).text("meta", "location"), "members", 0, "$ref")
		t.patch(anna, op("replace", "displayName", "Anna")).want(200)
		t.get(crew).is("Anna", "members", 0, "display")
		t.patch(crew, op("replace", "displayName", "rowers")).want(204)
		t.get(anna).is("rowers", "groups", 0, "display")
		t.request("DELETE", anna, nil).want(204)
		t.get(crew).is("", "members")
	}},
	{id: "suites-11", check: func(t *tenant) {
		t.request("POST", "/Bulk", object{"Operations": []object{bulkPart("POST", "/Users", "a", strictUser("anna"))}}).want(400)
		t.request("POST", "/Bulk", object{"schemas": []string{listURN}, "Operations": []object{bulkPart("POST", "/Users", "a", strictUser("anna"))}}).want(400)
		t.get("/Users").is("0", "totalResults")
	}},
	{id: "suites-12", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"schemas": []string{scim.UserURN, scim.EnterpriseURN}}))
		t.get(item).is(`["`+scim.UserURN+`"]`, "schemas")
		t.patch(item, op("add", scim.EnterpriseURN+":department", "deck")).want(200).is(`["`+scim.UserURN+`","`+scim.EnterpriseURN+`"]`, "schemas")
		t.patch(item, op("remove", scim.EnterpriseURN+":department")).want(200).is(`["`+scim.UserURN+`"]`, "schemas")
	}},
	{id: "suites-13", check: func(t *tenant) {
		t.patch(t.made(strictUser("anna")), op("add", "title", "x")).want(200).is("x", "title")
		t.patch(t.madeGroup("crew"), op("add", "externalId", "x")).want(204)
	}},
	{id: "suites-14", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		t.refuses(400, "invalidSyntax", "PATCH", item, patch(), item)
	}, tolerant: func(t *tenant) {
		t.patch(t.made(strictUser("anna"))).want(200).is(`W/"1"`, "meta", "version")
	}},
	{id: "suites-15", check: func(t *tenant) {
		boss := idOf(t.made(strictUser("boss")))
		t.refuses(400, "invalidValue", "POST", "/Users", strictUser("anna", object{"active": "True"}), "")
		t.refuses(400, "invalidValue", "POST", "/Users", strictUser("anna", object{scim.EnterpriseURN: object{"manager": boss}}), "")
		t.refuses(400, "invalidSyntax", "POST", "/Users", strictUser("anna", object{"nosuch": "x"}), "")
	}, tolerant: func(t *tenant) {
		boss := idOf(t.made(strictUser("boss")))
		got := t.request("POST", "/Users", strictUser("anna", object{"active": "True", scim.EnterpriseURN: object{"manager": boss}, "nosuch": "x"})).want(201)
		got.is("true", "active")
		got.is(boss, scim.EnterpriseURN, "manager", "value")
		got.is("", "nosuch")
	}},
	{id: "suites-23", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		for _, path := range []string{"/users", "/USERS/" + idOf(item), "/schemas", "/groups"} {
			t.request("GET", path, nil).want(404, "")
		}
		t.refuses(404, "", "PATCH", "/users/"+idOf(item), patch(op("replace", "active", false)), item)
	}, tolerant: func(t *tenant) {
		item := t.made(strictUser("anna"))
		t.get("/users").is("1", "totalResults")
		t.request("POST", "/users/.search", object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:SearchRequest"}}).want(200).is("1", "totalResults")
		t.patch("/uSERS/"+idOf(item), op("replace", "active", false)).want(200).is(t.get(item).text("meta", "location"), "meta", "location")
		t.get(item).is("false", "active")
		t.get("/schemas/"+scim.UserURN).is(scim.UserURN, "id")
		t.request("DELETE", "/serviceproviderconfig", nil).want(405, "")
		t.request("GET", "/usersx", nil).want(404, "")
		t.request("GET", "/Users/.SEARCH", nil).want(404, "")
	}},
	{id: "suites-21", check: func(t *tenant) {
		user := t.made(strictUser("anna", object{scim.EnterpriseURN: object{"department": "Deck"}}))
		for _, query := range []string{"attributes=userName", "excludedAttributes=" + scim.EnterpriseURN} {
			got := t.get(user + "?" + query)
			got.is(`["`+scim.UserURN+`","`+scim.EnterpriseURN+`"]`, "schemas")
			got.is("", scim.EnterpriseURN)
		}
	}},
	{id: "suites-16", check: func(t *tenant) {
		for _, path := range []string{"/Schemas", "/ResourceTypes", "/ServiceProviderConfig"} {
			got := t.request("POST", path, strictUser("anna")).want(405, "")
			if !strings.Contains(got.header.Get("Allow"), "GET") {
				got.errorf("Allow is %q", got.header.Get("Allow"))
			}
		}
	}},
}

// noEmpty checks that no member of the answer is null, an empty text or an empty list.
func (a *answer) noEmpty() {
	a.t.Helper()
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, inner := range v {
				walk(at+"/"+name, inner)
			}
			return
		case []any:
			for i, inner := range v {
				walk(fmt.Sprint(at, "/", i), inner)
			}
			if len(v) > 0 {
				return
			}
		case nil:
		default:
			if v != "" {
				return
			}
		}
		a.errorf("%s is empty", at)
	}
	walk("", a.doc)
}
