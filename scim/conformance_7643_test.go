package scim_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/scim"
)

// RFC 7643, clause by clause: each is told in docs/conformance.md.
func TestConformance7643(t *testing.T) { conform(t, clauses7643) }

var clauses7643 = []clause{
	{id: "7643-2.1-1", check: func(t *tenant) {
		t.everywhere(func(a *answer) { a.is(scim.UserURN, "schemas", 0) })
	}},
	{id: "7643-2.1-2", check: func(t *tenant) {
		t.attributesOf(func(schema, path string, a object) {
			name, _ := a["name"].(string)
			if !nameForm.MatchString(name) && name != "$ref" {
				t.Errorf("%s: %s is not an attribute name", schema, path)
			}
		})
	}},
	{id: "7643-2.1-3", check: func(t *tenant) {
		item := t.made(object{"SCHEMAS": []string{scim.UserURN}, "USERNAME": "anna", "NAME": object{"GIVENNAME": "Anna"}})
		t.get(item).is("Anna", "name", "givenName")
		t.patch(item, op("replace", "NAME.familyname", "Berg")).want(200).is("Berg", "name", "familyName")
		t.finds(1, "/Users", `USERNAME eq "anna"`)
		t.get(item+"?attributes=NaMe.GIVENname").is("Anna", "name", "givenName")
	}},
	{id: "7643-2.2-1", check: func(t *tenant) {
		t.attributesOf(func(schema, path string, a object) {
			if schema != trialURN || path != "plain" {
				return
			}
			delete(a, "name")
			if got := fmt.Sprint(a); got != "map[caseExact:false multiValued:false mutability:readWrite required:false returned:default type:string uniqueness:none]" {
				t.Errorf("an attribute of which nothing is said is %s", got)
			}
		})
	}},
	{id: "7643-2.3-1", check: func(t *tenant) {
		known := []string{"string", "boolean", "decimal", "integer", "dateTime", "binary", "reference", "complex"}
		t.attributesOf(func(schema, path string, a object) {
			if typ, _ := a["type"].(string); !slices.Contains(known, typ) {
				t.Errorf("%s: %s has the type %q", schema, path, typ)
			}
		})
	}},
	{id: "7643-2.3.1-1", check: func(t *tenant) {
		for _, text := range []string{"Åström", "日本語", "😀", "\u0001", `"\/`, " spaces "} {
			t.request("POST", "/Users", strictUser(t.unique("u"), object{"title": text})).want(201).is(text, "title")
		}
		t.request("POST", "/Users", raw("{\"schemas\":[\""+scim.UserURN+"\"],\"userName\":\"x\xff\"}")).want(400, "invalidSyntax")
	}},
	{id: "7643-2.3.2-1", check: func(t *tenant) {
		t.request("POST", "/Users", strictUser("a", object{"active": "True"})).want(400, "invalidValue")
		t.request("POST", "/Users", strictUser("a", object{"active": 1})).want(400, "invalidValue")
		t.request("POST", "/Users", strictUser("a", object{"active": false})).want(201).is("false", "active")
	}, tolerant: func(t *tenant) {
		t.request("POST", "/Users", strictUser("a", object{"active": "False"})).want(201).is("false", "active")
		t.request("POST", "/Users", strictUser("b", object{"active": "perhaps"})).want(400, "invalidValue")
	}},
	{id: "7643-2.3.3-1", check: func(t *tenant) {
		t.request("POST", "/Users", trial("a", object{"weight": 62.5})).want(201).is("62.5", trialURN, "weight")
		t.request("POST", "/Users", trial("b", object{"weight": "heavy"})).want(400, "invalidValue")
		t.request("POST", "/Users", trial("b", object{"weight": true})).want(400, "invalidValue")
	}},
	{id: "7643-2.3.4-1", check: func(t *tenant) {
		t.request("POST", "/Users", trial("a", object{"level": 7})).want(201).is("7", trialURN, "level")
		for _, level := range []string{"7.5", "7e1", "7.0", `"seven"`, "true"} {
			t.request("POST", "/Users", raw(`{"schemas":["`+scim.UserURN+`","`+trialURN+`"],"userName":"b","`+trialURN+`":{"level":`+level+`}}`)).want(400, "invalidValue")
		}
	}},
	{id: "7643-2.3.5-1", check: func(t *tenant) {
		for _, good := range []string{"2008-01-23T04:56:22Z", "2008-01-23T04:56:22.123Z", "2008-01-23T04:56:22+02:00"} {
			t.request("POST", "/Users", trial(t.unique("u"), object{"hired": good})).want(201)
		}
		for _, bad := range []any{"2008-01-23", "04:56:22Z", "2008-13-23T04:56:22Z", "2008-02-30T04:56:22Z", "23 Jan 2008 04:56:22", "soon", 1201064182, "2008-01-23T25:56:22Z"} {
			t.request("POST", "/Users", trial("b", object{"hired": bad})).want(400, "invalidValue")
		}
	}},
	{id: "7643-2.3.5-2", check: func(t *tenant) {
		t.everywhere(func(a *answer) {
			for _, name := range []string{"created", "lastModified"} {
				if !dateTimeForm.MatchString(a.text("meta", name)) {
					a.errorf("meta.%s is %q", name, a.text("meta", name))
				}
			}
		})
	}},
	{id: "7643-2.3.6-1", check: func(t *tenant) {
		t.request("POST", "/Users", trial("a", object{"key": "c2VjcmV0IQ=="})).want(201).is("c2VjcmV0IQ==", trialURN, "key")
		for _, bad := range []any{"not base64!", "a", 7, "c2Vj\nc!"} {
			t.request("POST", "/Users", trial("b", object{"key": bad})).want(400, "invalidValue")
		}
	}},
	{id: "7643-2.3.7-1", check: func(t *tenant) {
		for _, good := range []string{"https://example.com/a?b=c#d", "../Users/1", "urn:example:x", "/v2/Users/1"} {
			t.request("POST", "/Users", trial(t.unique("u"), object{"link": good})).want(201).is(good, trialURN, "link")
		}
		for _, bad := range []any{"not a uri", "http://exa mple.com/", "http://[::1", "%zz", 7} {
			t.refuses(400, "invalidValue", "POST", "/Users", trial("a", object{"link": bad}), "")
		}
	}, tolerant: func(t *tenant) {
		t.request("POST", "/Users", trial("a", object{"link": "not a uri"})).want(201).is("not a uri", trialURN, "link")
	}},
	{id: "7643-2.3.7-2", check: func(t *tenant) {
		boss := t.made(strictUser("boss"))
		anna := t.made(strictUser("anna", object{scim.EnterpriseURN: object{"manager": object{"value": idOf(boss)}}}))
		inner := t.madeGroup("inner", object{"members": members(idOf(anna))})
		outer := t.madeGroup("outer", object{"members": members(idOf(inner))})
		t.follow(t.get(anna).text("groups", 0, "$ref")).want(200).is(idOf(inner), "id")
		t.follow(t.get(inner).text("members", 0, "$ref")).want(200).is(idOf(anna), "id")
		t.follow(t.get(outer).text("members", 0, "$ref")).want(200).is(idOf(inner), "id")
		t.follow(t.get(anna).text("meta", "location")).want(200).is(idOf(anna), "id")
		t.follow(t.get("/Schemas").text("Resources", 0, "meta", "location")).want(200)
	}},
	{id: "7643-2.3.8-1", check: func(t *tenant) {
		forward := t.request("POST", "/Users", raw(`{"schemas":["`+scim.UserURN+`"],"userName":"a","title":"t","name":{"givenName":"g","familyName":"f"}}`)).want(201)
		backward := t.request("POST", "/Users", raw(`{"name":{"familyName":"f","givenName":"g"},"title":"t","userName":"b","schemas":["`+scim.UserURN+`"]}`)).want(201)
		for _, name := range []string{"name", "title", "schemas"} {
			backward.is(forward.text(name), name)
		}
	}},
	{id: "7643-2.3.8-2", check: func(t *tenant) {
		t.attributesOf(func(schema, path string, a object) {
			if path == "attributes.subAttributes" && strings.HasSuffix(schema, ":core:2.0:Schema") {
				return // the exception that section 7 makes
			}
			if strings.Contains(path, ".") && (a["type"] == "complex" || a["subAttributes"] != nil) {
				t.Errorf("%s: %s is complex within a complex attribute", schema, path)
			}
		})
		if _, err := scim.ParseSchema([]byte(`{"id":"urn:example:x:2.0:User","attributes":[{"name":"a","type":"complex","subAttributes":[
			{"name":"b","type":"complex","subAttributes":[{"name":"c","type":"string"}]}]}]}`)); err == nil {
			t.Error("an extension with a complex sub-attribute is accepted")
		}
	}},
	{id: "7643-2.4-1", check: func(t *tenant) {
		want := map[string]string{"type": "string", "primary": "boolean", "display": "string", "$ref": "reference"}
		t.attributesOf(func(schema, path string, a object) {
			_, name, sub := strings.Cut(path, ".")
			if typ := want[name]; sub && typ != "" && a["type"] != typ {
				t.Errorf("%s: %s is a %v, want %s", schema, path, a["type"], typ)
			}
		})
	}},
	{id: "7643-2.4-2", check: func(t *tenant) {
		t.request("POST", "/Users", strictUser("a", object{"emails": []object{{"value": "x", "primary": true}, {"value": "y", "primary": true}}})).want(400, "invalidValue")
		t.primaryIsOne()
	}, tolerant: func(t *tenant) {
		got := t.request("POST", "/Users", strictUser("a", object{"emails": []object{{"value": "x", "primary": true}, {"value": "y", "primary": true}}})).want(201)
		if n := strings.Count(string(got.body), `"primary":true`); n != 1 {
			got.errorf("%d primaries", n)
		}
		t.primaryIsOne()
	}},
	{id: "7643-2.4-3", check: func(t *tenant) {
		t.made(strictUser("anna", object{"emails": []object{{"value": "x", "type": "work"}}}))
		t.finds(0, "/Users", `emails.primary eq true`)
		t.finds(1, "/Users", `emails.primary eq false`)
		t.finds(1, "/Users", `emails[type eq "work" and primary eq false]`)
		t.finds(1, "/Users", `emails[not (primary eq true)]`)
		t.finds(1, "/Users", `emails[type eq "work" and primary ne true]`)
	}},
	{id: "7643-2.4-4", check: func(t *tenant) {
		complexes := 0
		t.attributesOf(func(schema, path string, a object) {
			if a["multiValued"] == true && a["subAttributes"] != nil {
				complexes++
				if a["type"] != "complex" {
					t.Errorf("%s: %s has parts and is a %v", schema, path, a["type"])
				}
			}
		})
		if complexes < 10 {
			t.Errorf("%d attributes with several complex values", complexes)
		}
		t.request("POST", "/Users", trial("a", object{"codes": []string{"1", "2"}, "berths": []object{{"value": "B7", "type": "deck"}}})).want(201).
			is(`{"berths":[{"type":"deck","value":"B7"}],"codes":["1","2"]}`, trialURN)
	}},
	{id: "7643-2.4-5", check: func(t *tenant) {
		anna := t.made(strictUser("anna"))
		old := strings.Replace(t.get(anna).text("meta", "location"), "/v2/", "/", 1)
		group := t.madeGroup("crew", object{"members": []object{{"value": idOf(anna), "$ref": old}}})
		t.get(group).is(t.get(anna).text("meta", "location"), "members", 0, "$ref")
	}},
	{id: "7643-2.4-7", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"emails": []object{{"value": "x", "type": "work"}, {"value": "x", "type": "home"}, {"value": "x", "type": "work"}}}))
		if got := t.get(item); got.len("emails") != 2 {
			got.errorf("%d e-mail addresses", got.len("emails"))
		}
		t.patch(item, op("add", "emails", []object{{"value": "x", "type": "home"}})).want(200)
		if got := t.get(item); got.len("emails") != 2 {
			got.errorf("%d e-mail addresses after one that was there was added", got.len("emails"))
		}
	}},
	{id: "7643-2.5-1", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"title": nil, "emails": []object{}, "name": nil}))
		for _, name := range []string{"title", "emails", "name"} {
			t.get(item).is("", name)
			t.finds(0, "/Users", name+" pr")
		}
		t.patch(item, op("add", "title", "t"), op("add", "emails", []object{{"value": "x"}})).want(200)
		t.request("PUT", item, strictUser("anna", object{"title": nil, "emails": []object{}})).want(200)
		t.get(item).is("", "title")
		t.get(item).is("", "emails")
		t.patch(item, op("add", "title", "t")).want(200)
		t.request("PUT", item, strictUser("anna")).want(200).is("", "title")
	}},
	{id: "7643-3-1", check: func(t *tenant) {
		t.refuses(400, "invalidSyntax", "POST", "/Users", object{"userName": "anna"}, "")
		t.refuses(400, "invalidSyntax", "POST", "/Groups", object{"displayName": "crew"}, "")
		item := t.made(strictUser("anna"))
		t.refuses(400, "invalidSyntax", "PUT", item, object{"userName": "anna", "title": "x"}, item)
	}, tolerant: func(t *tenant) {
		t.request("POST", "/Users", object{"userName": "anna"}).want(201).is(`["`+scim.UserURN+`"]`, "schemas")
	}},
	{id: "7643-3-2", check: func(t *tenant) {
		for _, path := range []string{"/Users", "/Groups", "/Schemas", "/Schemas/" + scim.UserURN, "/ResourceTypes", "/ResourceTypes/User", "/ServiceProviderConfig"} {
			got := t.get(path)
			got.each(func(r object) {
				if list, _ := r["schemas"].([]any); len(list) == 0 {
					got.errorf("a resource without schemas")
				}
			}, "Resources")
			if got.len("schemas") == 0 {
				got.errorf("no schemas")
			}
		}
	}},
	{id: "7643-3-3", check: func(t *tenant) {
		t.refuses(400, "invalidValue", "POST", "/Users", object{"schemas": []string{scim.UserURN, "urn:example:other"}, "userName": "anna"}, "")
		t.refuses(400, "invalidValue", "POST", "/Users", object{"schemas": []string{scim.UserURN, scim.GroupURN}, "userName": "anna"}, "")
	}, tolerant: func(t *tenant) {
		t.request("POST", "/Users", object{"schemas": []string{scim.UserURN, "urn:example:other"}, "userName": "anna"}).want(201).is(`["`+scim.UserURN+`"]`, "schemas")
		t.request("POST", "/Groups", object{"schemas": []string{scim.GroupURN, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"},
			"displayName": "crew"}).want(201).is(`["`+scim.GroupURN+`"]`, "schemas")
	}},
	{id: "7643-3-4", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{scim.EnterpriseURN: object{"department": "deck"}, trialURN: object{"plain": "x"}}))
		t.patch(item, op("add", scim.EnterpriseURN+":division", "north")).want(200)
		got := t.get(item)
		list := strings.Split(strings.Trim(got.text("schemas"), `[]`), ",")
		slices.Sort(list)
		if len(slices.Compact(list)) != 3 || got.len("schemas") != 3 {
			got.errorf("schemas are %s", got.text("schemas"))
		}
	}},
	{id: "7643-3-5", check: func(t *tenant) {
		for _, urns := range [][]string{{scim.UserURN, scim.EnterpriseURN}, {scim.EnterpriseURN, scim.UserURN}} {
			got := t.request("POST", "/Users", object{"schemas": urns, "userName": t.unique("u"), scim.EnterpriseURN: object{"department": "deck"}}).want(201)
			got.is("deck", scim.EnterpriseURN, "department")
			got.is(`["`+scim.UserURN+`","`+scim.EnterpriseURN+`"]`, "schemas")
		}
	}},
	{id: "7643-3-6", check: func(t *tenant) {
		anna := t.made(strictUser("anna", object{"externalId": "e-1"}))
		crew := t.madeGroup("crew", object{"externalId": "e-1"})
		for _, item := range []string{anna, crew} {
			resource := item[:strings.LastIndex(item, "/")]
			for _, filter := range []string{`id eq "` + idOf(item) + `"`, `externalId eq "e-1"`, `meta.resourceType pr`, `meta.created pr`, `schemas pr`} {
				t.finds(1, resource, filter)
			}
		}
	}},
	{id: "7643-3.1-1", check: func(t *tenant) {
		t.everywhere(func(a *answer) {
			for _, path := range [][]any{{"id"}, {"meta", "resourceType"}, {"meta", "created"}, {"meta", "lastModified"}, {"meta", "location"}, {"meta", "version"}} {
				if a.text(path...) == "" {
					a.errorf("%v is missing", path)
				}
			}
		})
	}},
	{id: "7643-3.1-2", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		for _, query := range []string{"", "?attributes=userName", "?excludedAttributes=id", "?attributes=meta.version"} {
			t.get(item+query).is(idOf(item), "id")
		}
	}},
	{id: "7643-3.1-3", check: func(t *tenant) {
		seen := map[string]bool{}
		for n := range 20 {
			seen[idOf(t.made(strictUser(fmt.Sprint("u", n))))] = true
			seen[idOf(t.madeGroup(fmt.Sprint("g", n)))] = true
		}
		if len(seen) != 40 {
			t.Errorf("40 resources have %d ids", len(seen))
		}
	}},
	{id: "7643-3.1-4", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		t.request("PUT", item, strictUser("renamed")).want(200).is(idOf(item), "id")
		t.patch(item, op("replace", "userName", "again")).want(200).is(idOf(item), "id")
		t.request("DELETE", item, nil).want(204)
		if again := t.made(strictUser("again")); again == item {
			t.Errorf("the id of a deleted user is used again")
		}
	}},
	{id: "7643-3.1-5", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"id": unknownID}))
		if idOf(item) == unknownID {
			t.Errorf("the client chose the id")
		}
		t.request("PUT", item, strictUser("anna", object{"id": unknownID})).want(200).is(idOf(item), "id")
		t.refuses(400, "mutability", "PATCH", item, patch(op("replace", "id", unknownID)), item)
	}},
	{id: "7643-3.1-6", check: func(t *tenant) {
		for _, item := range []string{t.made(strictUser("bulkId")), t.madeGroup("bulkId")} {
			if !uuidForm.MatchString(idOf(item)) {
				t.Errorf("the id %q is no UUID", idOf(item))
			}
		}
	}},
	{id: "7643-3.1-7", check: func(t *tenant) {
		id := idOf(t.made(strictUser("anna")))
		t.finds(1, "/Users", `id eq "`+id+`"`)
		t.finds(0, "/Users", `id sw "`+strings.ToUpper(id[:8])+`X"`)
		if upper := strings.ToUpper(id); upper != id {
			t.finds(0, "/Users", `id co "`+upper+`"`)
		}
	}},
	{id: "7643-3.1-8", check: func(t *tenant) {
		t.everywhere(func(a *answer) { a.is("", "externalId") })
	}},
	{id: "7643-3.1-10", check: func(t *tenant) {
		item := t.made(strictUser("anna", object{"externalId": "Ext-1"}))
		t.finds(1, "/Users", `externalId eq "Ext-1"`)
		t.finds(0, "/Users", `externalId eq "ext-1"`)
		t.patch(item, op("replace", "externalId", "Ext-2")).want(200).is("Ext-2", "externalId")
		t.patch(item, op("remove", "externalId")).want(200).is("", "externalId")
	}},
	{id: "7643-3.1-11", check: func(t *tenant) {
		mine := object{"meta": object{"resourceType": "Group", "created": "1999-01-01T00:00:00Z", "location": "http://evil.example/", "version": `W/"9"`}}
		item := t.made(strictUser("anna", mine))
		for _, got := range []*answer{t.get(item), t.request("PUT", item, strictUser("anna", mine)).want(200)} {
			got.is("User", "meta", "resourceType")
			got.is("2026-11-23T08:00:00.000Z", "meta", "created")
			got.is(`W/"1"`, "meta", "version")
		}
	}},
	{id: "7643-3.1-12", check: func(t *tenant) {
		item := t.made(strictUser("anna"))
		got := t.get(item)
		got.is(got.text("meta", "created"), "meta", "lastModified")
		t.clock.Advance(90 * time.Second)
		defer t.clock.Advance(-90 * time.Second)
		t.get(item).is(got.text("meta", "created"), "meta", "lastModified")
		changed := t.patch(item, op("add", "title", "x")).want(200)
		changed.is(got.text("meta", "created"), "meta", "created")
		changed.is("2026-11-23T08:01:30.000Z", "meta", "lastModified")
	}},
	{id: "7643-3.1-13", check: func(t *tenant) {
		t.everywhere(func(a *answer) {
			if a.what != "list" {
				a.hasHeader("Content-Location", a.text("meta", "location"))
			}
			t.follow(a.text("meta", "location")).want(200).is(a.id(), "id")
		})
	}},
	{id: "7643-3.1-14", check: func(t *tenant) {
		t.everywhere(func(a *answer) {
			if a.what != "list" {
				a.hasHeader("ETag", a.text("meta", "version"))
			}
		})
	}},
	{id: "7643-3.1-15", check: func(t *tenant) {
		t.everywhere(func(a *answer) {
			if v := a.text("meta", "version"); !strings.HasPrefix(v, `W/"`) {
				a.errorf("the version %s is not marked as weak", v)
			}
		})
	}},
	{id: "7643-3.1-16", check: func(t *tenant) {
		seen := 0
		t.attributesOf(func(schema, path string, a object) {
			if path == "externalId" && schema != trialURN {
				seen++
				if a["caseExact"] != true || a["mutability"] != "readWrite" || a["required"] != false {
					t.Errorf("%s publishes externalId as %v", schema, a)
				}
			}
			if path == "id" && (a["caseExact"] != true || a["mutability"] != "readOnly" || a["returned"] != "always") {
				t.Errorf("%s publishes id as %v", schema, a)
			}
			if path == "meta" || path == "schemas" {
				t.Errorf("%s lists the common attribute %s", schema, path)
			}
		})
		if seen != 2 {
			t.Errorf("externalId is listed by %d schemas", seen)
		}
	}},
	{id: "7643-3.3-1", check: func(t *tenant) {
		t.refuses(400, "invalidSyntax", "POST", "/Users", object{"schemas": []string{scim.EnterpriseURN}, "userName": "anna"}, "")
		t.everywhere(func(a *answer) { a.is(scim.UserURN, "schemas", 0) })
	}, tolerant: func(t *tenant) {
		t.request("POST", "/Users", object{"schemas": []string{scim.EnterpriseURN}, "userName": "anna"}).want(201).is(`["`+scim.UserURN+`"]`, "schemas")
		t.everywhere(func(a *answer) { a.is(scim.UserURN, "schemas", 0) })
	}},
	{id: "7643-3.3-2", check: func(t *tenant) {
		got := t.request("POST", "/Users", strictUser("anna", object{scim.EnterpriseURN: object{"department": "deck"}})).want(201)
		got.is("deck", scim.EnterpriseURN, "department")
		got.is("", "department")
		t.refuses(400, "invalidSyntax", "POST", "/Users", strictUser("boris", object{"department": "deck"}), "")
	}, tolerant: func(t *tenant) {
		got := t.request("POST", "/Users", strictUser("boris", object{"department": "deck"})).want(201)
		got.is("", "department")
		got.is("", scim.EnterpriseURN)
	}},
	{id: "7643-3.3-3", check: func(t *tenant) {
		names := map[string][]string{}
		t.attributesOf(func(schema, path string, _ object) {
			if !strings.Contains(path, ".") {
				names[schema] = append(names[schema], path)
			}
		})
		for _, schema := range []string{scim.EnterpriseURN, scim.AccessURN} {
			for _, name := range names[schema] {
				if slices.Contains(names[scim.UserURN], name) {
					t.Errorf("%s defines %s again", schema, name)
				}
			}
		}
	}},
	{id: "7643-4.1.1-1", check: func(t *tenant) {
		for _, body := range []object{{"schemas": []string{scim.UserURN}}, strictUser(""), {"schemas": []string{scim.UserURN}, "userName": nil}, strictUser("   ")} {
			t.refuses(400, "invalidValue", "POST", "/Users", body, "")
		}
		item := t.made(strictUser("anna"))
		t.refuses(400, "invalidValue", "PUT", item, object{"schemas": []string{scim.UserURN}}, item)
		t.request("PATCH", item, patch(op("replace", "userName", ""))).want(400)
		t.get(item).is("anna", "userName")
	}},
	{id: "7643-4.1.1-2", check: func(t *tenant) {
		t.made(strictUser("anna"))
		item := t.made(strictUser("boris"))
		t.refuses(409, "uniqueness", "POST", "/Users", strictUser("anna"), "")
		t.refuses(409, "uniqueness", "PUT", item, strictUser("anna"), item)
		t.refuses(409, "uniqueness", "PATCH", item, patch(op("replace", "userName", "anna")), item)
	}},
	{id: "7643-4.1.1-3", check: func(t *tenant) {
		t.request("POST", "/Users", strictUser("Anna@Example.com")).want(201).is("Anna@Example.com", "userName")
		t.refuses(409, "uniqueness", "POST", "/Users", strictUser("aNNA@example.COM"), "")
		t.finds(1, "/Users", `userName eq "ANNA@EXAMPLE.COM"`)
	}},
	{id: "7643-4.1.1-5", check: func(t *tenant) {
		anna := t.made(strictUser("anna", object{"displayName": "Anna Berg"}))
		boris := t.made(strictUser("boris"))
		crew := t.get(t.madeGroup("crew", object{"members": members(idOf(anna), idOf(boris))}))
		if got := crew.values("display", "members"); !slices.Equal(got, []string{"Anna Berg", "boris"}) {
			crew.errorf("the members are shown as %q", got)
		}
	}},
	{id: "7643-4.1.1-6", check: func(t *tenant) {
		const secret = "Hunter2-Hunter2"
		created := t.request("POST", "/Users", strictUser("anna", object{"password": secret})).want(201)
		item := "/Users/" + created.id()
		for _, a := range []*answer{created, t.get(item), t.get(item + "?attributes=password"), t.get("/Users?attributes=password,userName"),
			t.request("PUT", item, strictUser("anna", object{"password": secret})).want(200), t.request("GET", filtered("/Users", `password eq "`+secret+`"`), nil).want(400)} {
			if strings.Contains(string(a.body), secret) || a.at("password") != nil {
				a.errorf("the password is in the answer")
			}
		}
	}},
	{id: "7643-4.1.2-4", check: func(t *tenant) {
		want := map[string][]string{
			"ims.type":          {"aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"},
			"emails.type":       {"work", "home", "other"},
			"phoneNumbers.type": {"work", "home", "mobile", "fax", "pager", "other"},
			"photos.type":       {"photo", "thumbnail"},
			"addresses.type":    {"work", "home", "other"},
		}
		t.attributesOf(func(schema, path string, a object) {
			if schema != scim.UserURN || want[path] == nil {
				return
			}
			for _, v := range want[path] {
				if !strings.Contains(fmt.Sprint(a["canonicalValues"]), v) {
					t.Errorf("%s: %q is not among the canonical values %v", path, v, a["canonicalValues"])
				}
			}
			delete(want, path)
		})
		for path := range maps.Keys(want) {
			t.Errorf("%s is not published", path)
		}
	}},
	{id: "7643-4.1.2-7", check: func(t *tenant) {
		anna := t.made(strictUser("anna"))
		crew := t.madeGroup("crew", object{"members": members(idOf(anna))})
		got := t.get(anna)
		got.is(idOf(crew), "groups", 0, "value")
		got.is(t.get(crew).text("meta", "location"), "groups", 0, "$ref")
		got.is("direct", "groups", 0, "type")
		t.patch(crew, op("remove", `members[value eq "`+idOf(anna)+`"]`)).want(204)
		t.get(anna).is("", "groups")
	}},
	{id: "7643-4.1.2-8", check: func(t *tenant) {
		crew := t.madeGroup("crew")
		item := t.made(strictUser("anna", object{"groups": members(idOf(crew))}))
		t.get(item).is("", "groups")
		t.request("PUT", item, strictUser("anna", object{"groups": members(idOf(crew))})).want(200).is("", "groups")
		t.refuses(400, "mutability", "PATCH", item, patch(op("add", "groups", members(idOf(crew)))), item)
		t.get(crew).is("", "members")
	}},
	{id: "7643-4.1.2-10", check: func(t *tenant) {
		anna := t.made(strictUser("anna"))
		inner := t.madeGroup("inner", object{"members": members(idOf(anna))})
		outer := t.madeGroup("outer", object{"members": []object{{"value": idOf(inner), "type": "Group"}}})
		seen := map[any]any{}
		t.get(anna).each(func(g object) { seen[g["value"]] = g["type"] }, "groups")
		if len(seen) != 2 || seen[idOf(inner)] != "direct" || seen[idOf(outer)] != "indirect" {
			t.Errorf("the groups are %v", seen)
		}
		t.patch(inner, op("remove", "members")).want(204) // the direct one is changed by the group, and the indirect one with it
		t.get(anna).is("", "groups")
	}},
	{id: "7643-4.1.2-9", check: func(t *tenant) {
		t.request("POST", "/Users", strictUser("a", object{"x509Certificates": []object{{"value": "not base64!"}}})).want(400, "invalidValue")
		t.request("POST", "/Users", strictUser("a", object{"x509Certificates": []object{{"value": "MIIDQzCCAqygAwIBAgICEAAwDQYJKoZIhvcNAQEFBQAw"}}})).want(201)
	}},
	{id: "7643-4.2-1", check: func(t *tenant) {
		t.refuses(400, "invalidValue", "POST", "/Groups", object{"schemas": []string{scim.GroupURN}}, "")
		item := t.madeGroup("crew")
		t.refuses(400, "invalidValue", "PUT", item, object{"schemas": []string{scim.GroupURN}}, item)
		found := false
		t.attributesOf(func(schema, path string, a object) {
			found = found || schema == scim.GroupURN && path == "displayName" && a["required"] == true
		})
		if !found {
			t.Errorf("displayName of Group is not published as required")
		}
	}},
	{id: "7643-4.2-2", check: func(t *tenant) {
		anna, boris := t.made(strictUser("anna")), t.made(strictUser("boris"))
		item := t.madeGroup("crew", object{"members": members(idOf(anna))})
		for _, sub := range []string{"value", "type", "$ref", "display"} {
			t.refuses(400, "mutability", "PATCH", item, patch(op("replace", `members[value eq "`+idOf(anna)+`"].`+sub, idOf(boris))), item)
		}
	}, tolerant: func(t *tenant) {
		anna, boris := t.made(strictUser("anna")), t.made(strictUser("boris"))
		item := t.madeGroup("crew", object{"members": members(idOf(anna))})
		t.refuses(400, "mutability", "PATCH", item, patch(op("replace", `members[value eq "`+idOf(anna)+`"].value`, idOf(boris))), item)
		before := t.get(item)
		for _, sub := range []string{"type", "$ref", "display"} {
			t.patch(item, op("replace", `members[value eq "`+idOf(anna)+`"].`+sub, "Group")).want(204)
		}
		if after := t.get(item); string(after.body) != string(before.body) {
			after.errorf("the member was changed; was %s", before.body)
		}
	}},
	{id: "7643-4.2-3", check: func(t *tenant) {
		anna, inner := t.made(strictUser("anna")), t.madeGroup("inner")
		item := t.madeGroup("crew", object{"members": []object{{"value": idOf(anna)}, {"value": idOf(inner)}}})
		t.get(item).each(func(m object) {
			id, _ := m["value"].(string)
			ref, _ := m["$ref"].(string)
			t.follow(ref).want(200).is(id, "id")
		}, "members")
		t.request("POST", "/Groups", groupBody("other", object{"members": members(unknownID)})).want(400, "invalidValue")
	}},
	{id: "7643-4.3-1", check: func(t *tenant) {
		boss := t.made(strictUser("boss"))
		item := t.made(strictUser("anna", object{scim.EnterpriseURN: object{"manager": object{"value": idOf(boss), "displayName": "made up"}}}))
		t.get(item).is(idOf(boss), scim.EnterpriseURN, "manager", "value")
		if got := t.get(item).text(scim.EnterpriseURN, "manager", "displayName"); got == "made up" {
			t.Errorf("the client wrote the name of the manager")
		}
	}},
	{id: "7643-5-1", check: func(t *tenant) {
		got := t.get("/ServiceProviderConfig")
		for _, feature := range []string{"patch", "bulk", "filter", "changePassword", "sort", "etag"} {
			if _, ok := got.at(feature, "supported").(bool); !ok {
				got.errorf("%s.supported is no boolean", feature)
			}
		}
		for _, path := range [][]any{{"bulk", "maxOperations"}, {"bulk", "maxPayloadSize"}, {"filter", "maxResults"}} {
			if n := got.text(path...); n == "" || strings.Trim(n, "0123456789") != "" {
				got.errorf("%v is %q", path, n)
			}
		}
		got.each(func(s object) {
			for _, name := range []string{"type", "name", "description"} {
				if text, _ := s[name].(string); text == "" {
					got.errorf("an authentication scheme without %s", name)
				}
			}
			if !slices.Contains([]string{"oauth", "oauth2", "oauthbearertoken", "httpbasic", "httpdigest"}, s["type"].(string)) {
				got.errorf("the scheme %v is unknown", s["type"])
			}
		}, "authenticationSchemes")
		if got.len("authenticationSchemes") == 0 {
			got.errorf("no authentication scheme")
		}
	}},
	{id: "7643-6-1", check: func(t *tenant) {
		got := t.get("/ResourceTypes")
		if got.len("Resources") != 2 {
			got.errorf("%d resource types", got.len("Resources"))
		}
		got.each(func(r object) {
			for _, name := range []string{"name", "description", "endpoint", "schema"} {
				if text, _ := r[name].(string); text == "" {
					got.errorf("a resource type without %s", name)
				}
			}
			endpoint, _ := r["endpoint"].(string)
			t.get("/" + strings.TrimPrefix(endpoint, "/"))
		}, "Resources")
	}},
	{id: "7643-6-2", check: func(t *tenant) {
		got := t.get("/ResourceTypes")
		got.each(func(r object) {
			urn, _ := r["schema"].(string)
			t.get("/Schemas/"+urn).is(urn, "id")
			extensions, _ := r["schemaExtensions"].([]any)
			for _, e := range extensions {
				ext, _ := e.(map[string]any)
				urn, _ := ext["schema"].(string)
				t.get("/Schemas/"+urn).is(urn, "id")
				if ext["required"] != false {
					got.errorf("the extension %s is required", urn)
				}
			}
		}, "Resources")
		t.made(strictUser("anna")) // none of them is needed
	}},
	{id: "7643-7-1", check: func(t *tenant) {
		got := t.get("/Schemas")
		got.each(func(s object) {
			id, _ := s["id"].(string)
			if !strings.HasPrefix(id, "urn:") || s["name"] == "" {
				got.errorf("a schema with the id %q, the name %v", id, s["name"])
			}
			if text, _ := s["description"].(string); text == "" && id != trialURN {
				got.errorf("%s has no description", id)
			}
			for _, method := range []string{"PUT", "PATCH", "DELETE", "POST"} {
				t.request(method, "/Schemas/"+id, bodyFor(method, "/Schemas")).want(405)
			}
		}, "Resources")
	}},
	{id: "7643-7-2", check: func(t *tenant) {
		t.attributesOf(func(schema, path string, a object) {
			subs, _ := a["subAttributes"].([]any)
			if complex := a["type"] == "complex"; complex != (len(subs) > 0) {
				t.Errorf("%s: %s is a %v with %d sub-attributes", schema, path, a["type"], len(subs))
			}
			if text, _ := a["description"].(string); text == "" && schema != trialURN {
				t.Errorf("%s: %s has no description", schema, path)
			}
		})
	}},
	{id: "7643-7-3", check: func(t *tenant) {
		t.made(trial("anna", object{"exact": "Berth B7", "plain": "Berth B7"}))
		t.finds(1, "/Users", trialURN+`:exact eq "Berth B7"`)
		t.finds(0, "/Users", trialURN+`:exact eq "berth b7"`)
		t.finds(0, "/Users", trialURN+`:exact co "BERTH"`)
		t.finds(1, "/Users", trialURN+`:plain eq "berth b7"`)
	}},
	{id: "7643-7-4", check: func(t *tenant) {
		got := t.request("POST", "/Users", trial("anna", object{"exact": "MiXed"})).want(201)
		got.is("MiXed", trialURN, "exact")
		t.patch("/Users/"+got.id(), op("replace", trialURN+":exact", "mIxED")).want(200).is("mIxED", trialURN, "exact")
	}},
	{id: "7643-7-5", check: func(t *tenant) {
		item := t.made(trial("anna", object{"ours": "mine", "plain": "x"}))
		t.get(item).is("", trialURN, "ours")
		t.request("PUT", item, trial("anna", object{"ours": "mine", "plain": "x"})).want(200).is("", trialURN, "ours")
		t.refuses(400, "mutability", "PATCH", item, patch(op("replace", trialURN+":ours", "mine")), item)
	}},
	{id: "7643-7-6", check: func(t *tenant) {
		item := t.made(trial("anna", object{"once": "1"}))
		t.refuses(400, "mutability", "PATCH", item, patch(op("replace", trialURN+":once", "2")), item)
		t.refuses(400, "mutability", "PUT", item, trial("anna", object{"once": "2"}), item)
		later := t.made(strictUser("boris"))
		t.request("PUT", later, trial("boris", object{"once": "1"})).want(200).is("1", trialURN, "once")
	}},
	{id: "7643-7-8", check: func(t *tenant) {
		item := t.made(trial("anna", object{"always": "a", "asked": "b", "plain": "c"}))
		got := t.get(item)
		got.is("a", trialURN, "always")
		got.is("", trialURN, "asked")
		got.is("c", trialURN, "plain")
		t.get(item+"?attributes=userName").is("a", trialURN, "always")
		t.get(item+"?attributes=userName").is("", trialURN, "plain")
		t.get(item+"?excludedAttributes="+trialURN+":always").is("a", trialURN, "always")
		t.get(item+"?attributes="+trialURN+":asked").is("b", trialURN, "asked")
	}},
	{id: "7643-7-9", check: func(t *tenant) {
		item := t.made(trial("anna", object{"asked": "b"}))
		t.patch(item, op("replace", trialURN+":asked", "c")).want(200).is("c", trialURN, "asked")
		t.request("PUT", item, trial("anna", object{"asked": "d"})).want(200).is("d", trialURN, "asked")
		t.patch(item, op("replace", "title", "x")).want(200).is("", trialURN, "asked")
	}},
	{id: "7643-7-10", check: func(t *tenant) {
		t.madeGroup("Crew")
		t.refuses(409, "uniqueness", "POST", "/Groups", groupBody("cREW"), "")
		unique := map[string]bool{}
		t.attributesOf(func(schema, path string, a object) {
			if a["uniqueness"] == "server" || a["uniqueness"] == "global" {
				unique[schema+":"+path] = true
			}
		})
		if len(unique) != 2 || !unique[scim.UserURN+":userName"] || !unique[scim.GroupURN+":displayName"] {
			t.Errorf("published as unique: %v", unique)
		}
	}},
}

// primaryIsOne checks that a PATCH that makes a value the primary one leaves no other.
func (t *tenant) primaryIsOne() {
	t.Helper()
	item := t.made(strictUser("primary", object{"emails": []object{{"value": "x", "type": "work", "primary": true}, {"value": "y", "type": "home"}}}))
	t.patch(item, op("replace", `emails[type eq "home"].primary`, true)).want(200)
	t.finds(1, "/Users", `userName eq "primary" and emails[value eq "y" and primary eq true]`)
	t.finds(0, "/Users", `userName eq "primary" and emails[value eq "x" and primary eq true]`)
	t.patch(item, op("add", "emails", []object{{"value": "z", "primary": true}})).want(200)
	if n := strings.Count(string(t.get(item).body), `"primary":true`); n != 1 {
		t.Errorf("%d primaries", n)
	}
}
