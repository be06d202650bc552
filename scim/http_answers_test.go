package scim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
)

// location checks the headers that go with a resource, and what meta says of it.
func (a *answer) location(path string, version int, content bool) *answer {
	a.t.Helper()
	tag := fmt.Sprintf(`W/"%d"`, version)
	a.hasHeader("Location", path)
	a.hasHeader("ETag", tag)
	if content {
		a.hasHeader("Content-Location", path)
		a.is(path, "meta", "location")
		a.is(tag, "meta", "version")
	}
	return a
}

func TestHeadersOfResources(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha", scimOptions(directory.SCIMOptions{GroupPatchContent: true}))
	for _, x := range []struct {
		collection, resourceType string
		body                     object
		changed                  string
	}{{"/Users", "User", userBody("anna"), "displayName"}, {"/Groups", "Group", groupBody("crew"), "externalId"}} {
		created := a.request("POST", x.collection, x.body).want(201)
		path := s.url + "/scim/alpha/v2" + x.collection + "/" + created.id()
		item := x.collection + "/" + created.id()
		created.location(path, 1, true)
		created.is(x.resourceType, "meta", "resourceType")
		created.is("2026-11-23T08:00:00.000Z", "meta", "created")
		created.is("2026-11-23T08:00:00.000Z", "meta", "lastModified")

		s.clock.Advance(1500 * time.Millisecond)
		a.get(item).location(path, 1, true)
		x.body[x.changed] = "two"
		put := a.request("PUT", item, x.body).want(200).location(path, 2, true)
		put.is("2026-11-23T08:00:00.000Z", "meta", "created")
		put.is("2026-11-23T08:00:01.500Z", "meta", "lastModified")
		a.patch(item, op("replace", x.changed, "three")).want(200).location(path, 3, true)
		s.clock.Advance(-1500 * time.Millisecond)

		a.set(scimOptions(directory.SCIMOptions{UserPatchNoContent: true}))
		empty := a.patch(item, op("replace", x.changed, "four")).want(204).location(path, 4, false)
		if len(empty.body) > 0 || empty.header.Get("Content-Type") != "" {
			empty.errorf("204 with content")
		}
		a.get(item).location(path, 4, true).is("four", x.changed)
		a.set(scimOptions(directory.SCIMOptions{GroupPatchContent: true}))

		list := a.get(x.collection)
		list.is(path, "Resources", 0, "meta", "location")
		if list.header.Get("Location") != "" || list.header.Get("ETag") != "" {
			list.errorf("a list has headers of a resource")
		}
		gone := a.request("DELETE", item, nil).want(204)
		if len(gone.body) > 0 {
			gone.errorf("204 with content")
		}
		for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
			a.request(method, item, bodyFor(method, item)).want(404, "")
		}
	}
}

// A proxy in front decides what the addresses look like.
func TestBaseURL(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *scim.Config) { c.BaseURL = func(*http.Request) string { return "https://scim.example" } })
	a := s.tenant("alpha")
	id := a.user("anna")
	group := a.group("crew", "", id)
	const base = "https://scim.example/scim/alpha/v2"
	a.get("/Users/"+id+"?excludedAttributes=groups").location(base+"/Users/"+id, 1, true)
	a.get("/Users/"+id).is(base+"/Groups/"+group, "groups", 0, "$ref")
	a.get("/Groups/"+group).is(base+"/Users/"+id, "members", 0, "$ref")
	plain := newServer(t).tenant("alpha") // by the name that the request used, whatever came before
	id = plain.user("anna")
	for range 2 {
		for _, host := range []string{plain.url, strings.Replace(plain.url, "127.0.0.1", "localhost", 1)} {
			plain.url = host
			plain.get("/Users/"+id).location(host+"/scim/alpha/v2/Users/"+id, 1, true)
		}
	}
	for path, at := range map[string][]any{"/Schemas": {"Resources", 0, "meta", "location"}, "/ResourceTypes": {"Resources", 1, "meta", "location"}, "/ServiceProviderConfig": {"meta", "location"}} {
		if got := a.get(path).text(at...); !strings.HasPrefix(got, base+"/") {
			t.Errorf("%s: location %q", path, got)
		}
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	for _, x := range []struct {
		collection string
		body       object
		patch      object
	}{{"/Users", userBody("anna"), op("replace", "title", "x")}, {"/Groups", groupBody("crew"), op("replace", "externalId", "x")}} {
		id := a.request("POST", x.collection, x.body).want(201).id()
		item := x.collection + "/" + id
		for _, c := range []struct {
			header, value string
			get, write    int
		}{
			{"If-None-Match", `W/"1"`, 304, 412}, {"If-None-Match", `"1"`, 304, 412}, {"If-None-Match", `*`, 304, 412}, {"If-None-Match", `W/"7", W/"1"`, 304, 412},
			{"If-None-Match", `W/"2"`, 200, 0}, {"If-None-Match", `W/"11"`, 200, 0}, {"If-None-Match", `2`, 200, 0},
			{"If-None-Match", `"x,1,y"`, 200, 0}, {"If-None-Match", `"*"`, 200, 0}, {"If-None-Match", `""`, 200, 0}, {"If-None-Match", `"1`, 200, 0},
			{"If-None-Match", `1`, 304, 412}, {"If-None-Match", `W/1`, 304, 412}, {"If-None-Match", ` , W/"2" ,	1 ,`, 304, 412},
			{"If-Match", `1`, 200, 0}, {"If-Match", `W/1`, 200, 0}, {"If-Match", `"x,y", "1"`, 200, 0},
			{"If-Match", `W/"1"`, 200, 0}, {"If-Match", `*`, 200, 0}, {"If-Match", `"0","1"`, 200, 0},
			{"If-Match", `W/"2"`, 412, 412}, {"If-Match", `"x"`, 412, 412}, {"If-Match", `W/"11"`, 412, 412},
			{"If-Match", `2`, 412, 412}, {"If-Match", `"x,1,y"`, 412, 412}, {"If-Match", `"*"`, 412, 412}, {"If-Match", `"1`, 412, 412}, {"If-Match", `w/"1"`, 412, 412},
			{"If-Match", `W/"1`, 412, 412}, {"If-Match", `""`, 412, 412}, {"If-Match", `"01"`, 412, 412},
		} {
			got := a.request("GET", item, nil, c.header, c.value).want(c.get)
			if c.get == 304 && (len(got.body) > 0 || got.header.Get("ETag") != `W/"1"`) {
				got.errorf("ETag %q", got.header.Get("ETag"))
			}
			if c.write == 412 {
				a.request("PATCH", item, patch(x.patch), c.header, c.value).want(412, "")
				a.request("PUT", item, x.body, c.header, c.value).want(412, "")
				a.request("DELETE", item, nil, c.header, c.value).want(412, "")
			}
		}
		a.get(item).is(`W/"1"`, "meta", "version")
		if got := a.request("PATCH", item, patch(x.patch), "If-Match", `W/"1"`); got.status != 200 && got.status != 204 {
			got.errorf("refused")
		}
		a.request("PUT", item, x.body, "If-Match", `W/"1"`).want(412)
		a.request("PUT", item, x.body, "If-None-Match", `W/"1"`).want(200)
		a.request("DELETE", item, nil, "If-Match", `W/"3"`).want(204)
		a.request("PATCH", item, patch(x.patch), "If-Match", "*").want(404)
	}
}

// What is derived of a user does not move the version, so an answer that shows it is always whole.
func TestConditionsOfDerivedParts(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	a.environment("production", "sync-1")
	user := a.user("anna")
	crew := a.group("crew", "")
	pilots := a.group("pilots", "sync-1")
	path := "/Users/" + user
	tag := func(query string) string {
		t.Helper()
		got := a.get(path + query).want(200)
		etag := got.header.Get("ETag")
		if version := got.text("meta", "version"); !strings.Contains(query, "attributes=") && version != etag {
			t.Errorf("meta.version %s, ETag %s", version, etag)
		}
		a.requestAs(t, "GET", path+query, nil, "If-None-Match", etag).want(304)
		a.requestAs(t, "HEAD", path+query, nil, "If-None-Match", `"x", `+etag).want(304)
		a.requestAs(t, "GET", path+query, nil, "If-None-Match", "*").want(304)
		return etag
	}
	plain := tag("")
	steps := []struct {
		name   string
		change func()
	}{
		{"into a group", func() { a.patch("/Groups/"+crew, op("add", "members", members(user))).want(204) }},
		{"the group is renamed", func() { a.patch("/Groups/"+crew, op("replace", "displayName", "rowers")).want(204) }},
		{"gains an environment", func() { a.patch("/Groups/"+pilots, op("add", "members", members(user))).want(204) }},
		{"loses it", func() { a.patch("/Groups/"+pilots, op("remove", "members", members(user))).want(204) }},
		{"out of the last group", func() { a.patch("/Groups/"+crew, op("remove", "members", members(user))).want(204) }},
	}
	seen := []string{plain}
	for _, s := range steps {
		bare := tag("?excludedAttributes=groups," + scim.AccessURN)
		s.change()
		for _, old := range seen {
			a.requestAs(t, "GET", path, nil, "If-None-Match", old).want(200)
		}
		// A write goes by what is kept: whoever saw any of these saw the present state of it.
		a.requestAs(t, "GET", path, nil, "If-Match", plain).want(200)
		if again := tag("?excludedAttributes=groups," + scim.AccessURN); again != bare {
			t.Errorf("%s: the tag without derived parts went from %s to %s", s.name, bare, again)
		}
		seen = append(seen, tag(""))
	}
	last := seen[len(seen)-1]
	a.requestAs(t, "PATCH", path, patch(op("replace", "title", "T")), "If-Match", last).want(200)
	a.requestAs(t, "PATCH", path, patch(op("replace", "title", "U")), "If-Match", last).want(412)
}

// The names of members change without the group, so a group that shows some is always sent.
func TestConditionsOfMembers(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	user := a.user("anna")
	group := "/Groups/" + a.group("crew", "", user)
	etag := a.get(group).want(200).header.Get("ETag")
	a.requestAs(t, "GET", group, nil, "If-None-Match", etag).want(200)
	a.requestAs(t, "GET", group+"?excludedAttributes=members", nil, "If-None-Match", etag).want(304)
	empty := "/Groups/" + a.group("nobody", "")
	a.requestAs(t, "GET", empty, nil, "If-None-Match", a.get(empty).header.Get("ETag")).want(304)
}

// Every kind of error has the one form, of four members at most.
func TestErrorBodies(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	user := a.user("anna")
	a.group("crew", "")
	for _, x := range []struct {
		method, path string
		body         any
		status       int
		scimType     string
	}{
		{"GET", "/Users/" + unknownID, nil, 404, ""},
		{"GET", "/Users/x", nil, 404, ""},
		{"GET", "/Groups/" + user, nil, 404, ""},
		{"GET", filtered("/Users", "x"), nil, 400, "invalidFilter"},
		{"POST", "/Users", object{"schemas": []string{scim.UserURN}}, 400, "invalidValue"},
		{"POST", "/Users", userBody("  "), 400, "invalidValue"},
		{"POST", "/Users", userBody("x", object{"active": "maybe"}), 400, "invalidValue"},
		{"POST", "/Users", userBody("x", object{"emails": object{}}), 400, "invalidValue"},
		{"POST", "/Users", object{"userName": 123}, 400, "invalidValue"},
		{"POST", "/Users", object{"userName": "x", "schemas": "str"}, 400, "invalidValue"},
		{"POST", "/Users", object{"userName": "x", "meta": []int{}}, 400, "invalidValue"},
		{"POST", "/Users", userBody(strings.Repeat("x", 257)), 400, "invalidValue"},
		{"POST", "/Users", userBody("x", object{"title": strings.Repeat("x", 1025)}), 400, "invalidValue"},
		{"POST", "/Users", userBody("a\u202eb"), 400, "invalidValue"},
		{"POST", "/Users", userBody("ANNA"), 409, "uniqueness"},
		{"POST", "/Groups", groupBody("CREW"), 409, "uniqueness"},
		{"POST", "/Groups", groupBody(""), 400, "invalidValue"},
		{"POST", "/Groups", groupBody("x", object{"members": [][][]int{{{}}}}), 400, "invalidValue"},
		{"POST", "/Groups", groupBody("x", object{"members": object{"value": user}}), 400, "invalidValue"},
		{"PATCH", "/Users/" + user, patch(op("replace", "id", "x")), 400, "mutability"},
		{"PATCH", "/Users/" + user, patch(op("remove", "userName")), 400, "invalidValue"},
		{"PATCH", "/Users/" + user, patch(op("remove", "")), 400, "noTarget"},
		{"PATCH", "/Users/" + user, patch(op("invent", "title", "x")), 400, "invalidSyntax"},
		{"PATCH", "/Users/" + user, patch(op("replace", "title[", "x")), 400, "invalidPath"},
		{"PATCH", "/Users/" + user, object{"schemas": []string{patchOp}}, 400, "invalidSyntax"},
		{"PATCH", "/Users/" + user, nil, 415, ""},
		{"POST", "/Users/" + user, userBody("x"), 405, ""},
		{"GET", filtered("/Schemas", `id pr`), nil, 403, ""},
	} {
		a.request(x.method, x.path, x.body).want(x.status, x.scimType)
	}
	if n := a.get("/Users").text("totalResults"); n != "1" {
		t.Errorf("errors made %s users", n)
	}
	// An unknown id in an error is cut to a length that a log can bear.
	long := a.request("GET", "/Users/"+strings.Repeat("x", 5000), nil).want(404)
	if len(long.body) > 500 {
		long.errorf("%d bytes", len(long.body))
	}
}

func TestResourcesIsAlwaysAList(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	for _, path := range []string{"/Users", "/Groups"} {
		for _, query := range []string{"", "?count=0", "?startIndex=5", "?filter=" + url.QueryEscape(`externalId eq "0b7a-unknown"`), "?excludedAttributes=members",
			"?filter=" + url.QueryEscape(`displayName eq "x"`) + "&excludedAttributes=members"} {
			got := a.get(path + query)
			got.is("[]", "Resources")
			got.is("0", "totalResults")
			got.is("0", "itemsPerPage")
			got.is(listURN, "schemas", 0)
		}
	}
}

// POST of a userName that exists is 409; a client whose answer got lost finds its user by filter.
func TestRepeatedPost(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	body := userBody("Anna.Åström@alpha.example", object{"externalId": "e-1", "displayName": "Anna"})
	id := a.request("POST", "/Users", body).want(201).id()
	again := a.request("POST", "/Users", body).want(409, "uniqueness")
	if again.text("detail") == "" {
		again.errorf("no detail")
	}
	for _, name := range []string{"anna.åström@alpha.example", "ANNA.ÅSTRÖM@ALPHA.EXAMPLE", "Anna.A\u030astro\u0308m@alpha.example"} {
		a.request("POST", "/Users", userBody(name)).want(409, "uniqueness")
		a.get(filtered("/Users", `userName eq "`+name+`"`)).is(id, "Resources", 0, "id")
	}
	for _, filter := range []string{`externalId eq "e-1"`, `userName eq Anna.Åström@alpha.example`, `displayName eq "anna"`, scim.UserURN + `:userName sw "anna."`} {
		got := a.get(filtered("/Users", filter))
		got.is("1", "totalResults")
		got.is(id, "Resources", 0, "id")
	}
	group := a.group("Crew", "object-1")
	a.request("POST", "/Groups", groupBody("cREW", object{"externalId": "object-1"})).want(409, "uniqueness")
	a.get(filtered("/Groups", `displayName eq "CREW"`)).is(group, "Resources", 0, "id")
	// externalId and e-mail need not be unique.
	a.user("other", object{"externalId": "e-1", "emails": []object{{"value": "same@alpha.example"}}})
	a.user("third", object{"externalId": "e-1", "emails": []object{{"value": "same@alpha.example"}}})
	a.get(filtered("/Users", `externalId eq "e-1"`)).is("3", "totalResults")
	a.get(filtered("/Users", `externalId eq "E-1"`)).is("0", "totalResults")
	a.get(filtered("/Users", `emails.value eq "SAME@alpha.example"`)).is("2", "totalResults")
	// A rename onto a name that is taken changes nothing.
	for _, r := range []struct {
		method string
		body   any
	}{{"PUT", userBody("OTHER")}, {"PATCH", patch(op("replace", "displayName", "x"), op("replace", "userName", "other"))}} {
		a.request(r.method, "/Users/"+id, r.body).want(409, "uniqueness")
		a.get("/Users/"+id).is("Anna", "displayName")
	}
}

// A password is in no answer, no log and not in the store.
func TestPassword(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha", withExtension)
	const secret = "Hunter2-Hunter2"
	id := a.request("POST", "/Users", userBody("anna", object{"password": secret})).want(201).id()
	answers := []*answer{
		a.request("PUT", "/Users/"+id, userBody("anna", object{"password": secret, "title": "x"})).want(200),
		a.patch("/Users/"+id, op("replace", "password", secret)).want(200),
		a.patch("/Users/"+id, op("add", scim.UserURN+":password", secret), op("add", "title", "y")).want(200),
		a.patch("/Users/"+id, op("replace", "", object{"password": secret, "title": "z"})).want(200),
		a.request("POST", "/Users", userBody("anna", object{"password": secret})).want(409),
		a.request("POST", "/Users", object{"password": secret}).want(400),
		a.request("POST", "/Users", object{"userName": "x", "active": "maybe", "password": secret}).want(400),
		a.request("POST", "/Groups", groupBody("crew", object{"password": secret})).want(201),
		a.request("PATCH", "/Users/"+id, object{"Operations": []object{{"op": "replace", "path": "password[", "value": secret}}}),
		a.get("/Users/" + id), a.get("/Users"), a.get("/Users/" + id + "?attributes=password"), a.get("/Users?attributes=password"),
		a.request("GET", filtered("/Users", `password eq "`+secret+`"`), nil).want(400),
		a.request("GET", filtered("/Users", `password pr`), nil).want(400),
	}
	for _, got := range answers {
		if strings.Contains(string(got.body), secret) || got.at("password") != nil {
			got.errorf("the answer holds the password")
		}
	}
	a.waitLines(9)
	if strings.Contains(s.log.String(), secret) {
		t.Error("the log holds the password")
	}
	if file := must(os.ReadFile(s.path)); strings.Contains(string(file), secret) || !strings.Contains(string(file), "anna") {
		t.Error("the store's file holds the password, or was not read")
	}
	if strings.Contains(string(a.get("/Schemas").body), `"password"`) {
		t.Error("/Schemas lists password")
	}
}

// What the server writes itself is not read from a client.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	group := a.group("admins", "admins")
	env := a.environment("production", "admins")
	mine := object{"id": "mine", "meta": object{"created": "1999-01-01T00:00:00Z", "version": `W/"9"`, "location": "http://evil.example/", "resourceType": "Group"},
		"groups": members(group), scim.AccessURN: object{"environments": []object{{"id": env.String(), "active": true, "menus": []string{"All"}}}},
		"isAdmin": true, "tenantId": "x", "passwordHash": "x", "_id": "1", "__proto__": object{"admin": true}, "constructor": object{}, "accountId": unknownID,
		"roles": []object{{"value": "admin", "primary": true}, {"value": "tenant-owner"}}, "entitlements": []object{{"value": "env:prod:admin"}}, "userType": "superadmin"}
	made := a.request("POST", "/Users", userBody("m", mine)).want(201)
	id := made.id()
	check := func(got *answer) {
		t.Helper()
		got.is(id, "id")
		got.is("2026-11-23T08:00:00.000Z", "meta", "created")
		got.is("User", "meta", "resourceType")
		for _, name := range []string{"groups", scim.AccessURN, "isAdmin", "tenantId", "passwordHash", "_id", "__proto__", "constructor", "accountId"} {
			if got.at(name) != nil {
				got.errorf("%s is there", name)
			}
		}
		if strings.Contains(string(got.body), "evil") {
			got.errorf("the client's location is there")
		}
	}
	if id == "mine" {
		made.errorf("the client chose the id")
	}
	check(made)
	check(a.request("PUT", "/Users/"+id, userBody("m", mine)).want(200))
	check(a.patch("/Users/"+id, op("replace", "", mine)).want(200))
	check(a.get("/Users/" + id))
	for _, o := range []object{op("replace", "id", "x"), op("add", "groups", members(group)), op("replace", "meta.version", "x"), op("remove", "groups"),
		op("replace", "meta", object{}), op("add", scim.AccessURN+":environments", []object{{"id": env.String()}}), op("remove", scim.AccessURN),
		op("replace", "groups[value eq \""+group+"\"].display", "x"), op("replace", scim.UserURN+":id", "x")} {
		a.patch("/Users/"+id, op("replace", "displayName", "changed"), o).want(400, "mutability")
	}
	a.get("/Users/"+id).is("", "displayName") // all or nothing
	if got := a.access(a.account(id).ID, env); got != "none" || len(a.members(group)) > 0 {
		t.Errorf("access %s, members %v", got, a.members(group))
	}
}

func TestDisabledUsersAreVisible(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	id := a.user("anna", object{"title": "captain"})
	group := a.group("crew", "", id)
	a.patch("/Users/"+id, op("Replace", "active", "False")).want(200).is("false", "active")
	for _, got := range []*answer{a.get("/Users/" + id)} {
		got.is("false", "active")
		got.is("captain", "title")
		got.is(group, "groups", 0, "value")
	}
	for _, filter := range []string{`userName eq "anna"`, `active eq false`, `active eq "False"`, `id eq "` + id + `"`, `not (active eq true)`} {
		got := a.get(filtered("/Users", filter))
		got.is("1", "totalResults")
		got.is("false", "Resources", 0, "active")
	}
	a.get("/Users").is("false", "Resources", 0, "active")
	a.get("/Groups/"+group).is(id, "members", 0, "value")
	a.request("PUT", "/Users/"+id, userBody("anna")).want(200).is("false", "active") // an omission brings nobody back
	a.patch("/Users/"+id, op("remove", "active")).want(200).is("false", "active")
	a.patch("/Users/"+id, op("replace", "active", true)).want(200).is("true", "active")
}

// What a request has beside active that is unknown does not keep active from being applied.
func TestUnknownAttributesBesideActive(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha")
	id := a.user("anna")
	for n, ops := range [][]object{
		{op("Replace", "active", "False"), op("Add", "urn:example:unknown:2.0:User:rank", "1"), op("Add", "nosuch", "x"), op("replace", `nosuch[type eq "x"].value`, "y")},
		{op("replace", "", object{"active": false, "nosuch": 1, "urn:example:unknown:2.0:User:rank": "1", "name.nosuch": "x"})},
		{op("replace", `emails[nosuch eq "work"].value`, "x"), op("replace", "active", false)},
	} {
		before := len(a.lines())
		a.patch("/Users/"+id, ops...).want(200).is("false", "active")
		line := a.lines()[before]
		if line.Status != directory.Warning || len(line.Warnings) == 0 || line.Action != directory.ActionDisable {
			t.Errorf("%d: %s %s, warnings %q", n, line.Status, line.Action, line.Warnings)
		}
		a.patch("/Users/"+id, op("replace", "active", true)).want(200)
	}
	a.request("POST", "/Users", userBody("zoe", object{"schemas": []string{scim.UserURN, "urn:example:unknown:2.0:User"}, "nosuch": "x", "urn:example:unknown:2.0:User": object{"rank": 1}})).want(201).
		is(`["`+scim.UserURN+`"]`, "schemas")

	strict := s.tenant("strict", scimOptions(directory.SCIMOptions{Strict: true}))
	id = strict.user("anna")
	strict.patch("/Users/"+id, op("replace", "active", false), op("add", "nosuch", "x")).want(400, "invalidPath")
	strict.patch("/Users/"+id, op("Replace", "active", false)).want(400, "invalidSyntax")
	strict.patch("/Users/"+id, op("replace", "active", "False")).want(400, "invalidValue")
	strict.request("PATCH", "/Users/"+id, object{"Operations": []object{op("replace", "active", false)}}).want(400)
	strict.request("POST", "/Users", userBody("zoe", object{"nosuch": "x"})).want(400)
	strict.request("POST", "/Users", object{"userName": "zoe"}).want(400)
	strict.get("/Users/"+id).is("true", "active")
	strict.patch("/Users/"+id, op("replace", "active", false)).want(200).is("false", "active")
	a.request("POST", "/Users", object{"userName": "no schemas"}).want(201) // the other tenant stays as it was
}

func TestExtensionPerTenant(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a, b := s.tenant("alpha", withExtension), s.tenant("bravo")
	body := userBody("anna", object{fjordURN: object{"berth": "B7", "crewCodes": []string{"1", "2"}}})
	mine, other := a.request("POST", "/Users", body).want(201), b.request("POST", "/Users", body).want(201)
	mine.is("B7", fjordURN, "berth")
	mine.is(`["`+scim.UserURN+`","`+fjordURN+`"]`, "schemas")
	other.is("", fjordURN)
	other.is(`["`+scim.UserURN+`"]`, "schemas")
	a.get(filtered("/Users", fjordURN+`:berth eq "b7"`)).is("1", "totalResults")
	b.request("GET", filtered("/Users", fjordURN+`:berth eq "b7"`), nil).want(400, "invalidFilter")
	a.get("/Schemas/"+fjordURN).is("Fjord", "name")
	b.request("GET", "/Schemas/"+fjordURN, nil).want(404)
	if !strings.Contains(string(a.get("/ResourceTypes/User").body), fjordURN) || strings.Contains(string(b.get("/ResourceTypes/User").body), fjordURN) {
		t.Error("/ResourceTypes/User")
	}
	a.patch("/Users/"+mine.id(), op("add", fjordURN+":berth", "B8")).want(200).is("B8", fjordURN, "berth")
	a.patch("/Users/"+mine.id(), op("replace", "", object{fjordURN + ":berth": "B9"})).want(200).is("B9", fjordURN, "berth")
	a.get("/Users/"+mine.id()+"?attributes="+fjordURN+":berth").is("", "userName")
	a.get("/Users/"+mine.id()+"?excludedAttributes="+fjordURN).is("", fjordURN)
	a.patch("/Users/"+mine.id(), op("remove", fjordURN)).want(200).is(`["`+scim.UserURN+`"]`, "schemas")

	b.set(withExtension) // from now on
	b.patch("/Users/"+other.id(), op("add", fjordURN+":berth", "C1")).want(200).is("C1", fjordURN, "berth")
}

// An attribute that may be set once stays, whichever way a client tries to change it.
func TestImmutable(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha", withExtension)
	id := a.user("anna", object{fjordURN: object{"berth": "B7"}})
	body := func(badge string) object {
		return userBody("anna", object{fjordURN: object{"badge": badge, "berth": "B7"}})
	}
	a.request("PUT", "/Users/"+id, body("1")).want(200).is("1", fjordURN, "badge")
	a.request("PUT", "/Users/"+id, body("1")).want(200)
	a.patch("/Users/"+id, op("replace", fjordURN+":badge", "2")).want(400, "mutability")
	a.request("PUT", "/Users/"+id, body("2")).want(400, "mutability")
	a.get("/Users/"+id).is("1", fjordURN, "badge")
}

// The access extension shows each environment, and schemas names it exactly when it is there.
func TestAccessExtension(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha")
	production := a.environment("production", "sync-1")
	test := a.environment("test", "sync-1", "sync-2")
	id := a.user("anna")
	user := "/Users/" + id
	shows := func(want ...string) {
		t.Helper()
		for _, got := range []*answer{a.get(user), {t: t, what: "list", doc: a.get(filtered("/Users", `userName eq "anna"`)).at("Resources", 0)}} {
			seen := []string{}
			for i := range got.len(scim.AccessURN, "environments") {
				e := []any{scim.AccessURN, "environments", i}
				seen = append(seen, got.text(append(e, "name")...)+" "+got.text(append(e, "active")...)+" "+got.text(append(e, "menus")...))
				if env := got.text(append(e, "id")...); env != production.String() && env != test.String() {
					got.errorf("environment id %q", env)
				}
			}
			slices.Sort(seen)
			if !slices.Equal(seen, want) {
				got.errorf("environments are %q, want %q", seen, want)
			}
			if listed := strings.Contains(got.text("schemas"), scim.AccessURN); listed != (len(want) > 0) {
				got.errorf("schemas is %s", got.text("schemas"))
			}
			if len(want) == 0 && got.at(scim.AccessURN) != nil {
				got.errorf("an empty extension")
			}
		}
	}
	shows()
	group := a.group("crew", "sync-1", id)
	shows(`production true ["Main"]`, `test true ["Main"]`)
	version := a.get(user).text("meta", "version")
	other := a.group("testers", "sync-2", id)
	a.patch("/Groups/"+group, op("remove", `members[value eq "`+id+`"]`)).want(204)
	shows(`production false ["Main"]`, `test true ["Main"]`)
	a.patch(user, op("replace", "active", false)).want(200).is("false", scim.AccessURN, "environments", 0, "active")
	shows(`production false ["Main"]`, `test false ["Main"]`)
	a.patch(user, op("replace", "active", true)).want(200)
	shows(`production false ["Main"]`, `test true ["Main"]`)
	a.request("DELETE", "/Groups/"+other, nil).want(204)
	shows(`production false ["Main"]`, `test false ["Main"]`)
	if !strings.HasPrefix(version, `W/"1.`) {
		t.Errorf("an access counts as a change of the user: version %s", version)
	}

	a.get(user+"?attributes=userName").is("", scim.AccessURN)
	a.get(user+"?excludedAttributes="+scim.AccessURN).is("", scim.AccessURN)
	a.get(user+"?attributes="+scim.AccessURN+":environments.name").is("", scim.AccessURN, "environments", 0, "active")
	a.get(user+"?attributes="+scim.AccessURN).is("", "userName")
	a.get(filtered("/Users", scim.AccessURN+`:environments.name eq "Production"`)).is("1", "totalResults")
	a.get(filtered("/Users", scim.AccessURN+`:environments[name eq "test" and active eq true]`)).is("0", "totalResults")
	a.get(filtered("/Users", scim.AccessURN+`:environments[name eq "test" and active eq false]`)).is(id, "Resources", 0, "id")
}

// An access that another tenant manages, from before the account changed hands, is not this one's
// to see.
func TestAccessOfAnotherTenant(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a, b := s.tenant("alpha"), s.tenant("bravo")
	a.environment("test", "sync-1")
	production := a.environment("production", "sync-1")
	user := a.user("anna")
	a.group("crew", "sync-1", user)
	account := a.account(user).ID
	at := slices.IndexFunc(directory.Tables, func(x *directory.Table) bool { return x.Name == "accesses" })
	if err := s.store.Store.Update(t.Context(), func(w directory.Writer) error {
		key := slices.Concat(account[:], production[:])
		value, err := w.Get(directory.Tables[at], key)
		if err != nil {
			return err
		}
		return w.Put(directory.Tables[at], key, bytes.ReplaceAll(value, a.id[:], b.id[:]))
	}); err != nil {
		t.Fatal(err)
	}
	got := a.get("/Users/" + user)
	if !slices.Equal(got.values("name", scim.AccessURN, "environments"), []string{"test"}) {
		got.errorf("the environments of the other tenant are there")
	}
	a.get(filtered("/Users", scim.AccessURN+`:environments.name eq "production"`)).is("0", "totalResults")
}

func TestGroupsFollowMembership(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	anna, boris := a.user("anna", object{"displayName": "Anna"}), a.user("boris")
	crew := a.group("crew", "")
	outer := a.group("outer", "")
	groups := func(user string, want ...string) {
		t.Helper()
		got := a.get("/Users/" + user)
		if !slices.Equal(got.values("display", "groups"), append([]string{}, want...)) {
			got.errorf("groups are %v, want %v", got.values("display", "groups"), want)
		}
		if len(want) == 0 && got.at("groups") != nil {
			got.errorf("an empty list of groups")
		}
		for i := range want {
			got.is("direct", "groups", i, "type")
			if ref := got.text("groups", i, "$ref"); !strings.HasSuffix(ref, "/scim/alpha/v2/Groups/"+got.text("groups", i, "value")) || !strings.HasPrefix(ref, "http://") {
				got.errorf("$ref %q", ref)
			}
		}
	}
	groups(anna)
	a.patch("/Groups/"+crew, op("Add", "members", []object{{"$ref": nil, "value": anna}})).want(204)
	groups(anna, "crew")
	a.patch("/Groups/"+crew, op("replace", "displayName", "Crew 2")).want(204)
	groups(anna, "Crew 2")
	a.patch("/Groups/"+outer, op("add", "members", members(anna))).want(204)
	groups(anna, "Crew 2", "outer")
	a.patch("/Groups/"+crew, op("replace", "members", members(boris))).want(204)
	groups(anna, "outer")
	groups(boris, "Crew 2")
	a.request("DELETE", "/Groups/"+outer, nil).want(204)
	groups(anna)
	a.get("/Groups/"+crew).is(boris, "members", 0, "value")

	// A member's display is the name that it has now.
	display := func(want string) {
		t.Helper()
		a.get("/Groups/"+crew).is(want, "members", 0, "display")
	}
	display("boris")
	a.patch("/Users/"+boris, op("replace", "displayName", "Boris")).want(200)
	display("Boris")
	a.patch("/Users/"+boris, op("replace", "", object{"displayName": "", "name.formatted": "Mr Boris"})).want(200)
	display("Mr Boris")
	a.request("PUT", "/Users/"+boris, userBody("boris.two")).want(200)
	display("boris.two")
	// What a client says of a member beside its id is not kept.
	a.patch("/Groups/"+crew, op("replace", "members", []object{{"value": anna, "display": "<b>CEO</b>", "type": "Group", "$ref": "https://evil.example/x"}})).want(204)
	got := a.get("/Groups/" + crew)
	got.is("Anna", "members", 0, "display")
	got.is("User", "members", 0, "type")
	got.is(a.url+"/scim/alpha/v2/Users/"+anna, "members", 0, "$ref")
	a.request("DELETE", "/Users/"+anna, nil).want(204)
	a.get("/Groups/"+crew).is("", "members")
}

// The rows of a group's members change as the client says, and no others.
func TestMembers(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	u := map[string]string{}
	var all []string
	for _, name := range []string{"a", "b", "c", "d"} {
		u[name] = a.user(name)
		all = append(all, u[name])
	}
	ids := func(names string) (list []string) {
		for _, n := range names {
			list = append(list, u[string(n)])
		}
		return list
	}
	only := func(id string) string { return `members[value eq "` + id + `"]` }
	for _, x := range []struct {
		name          string
		method        string
		body          any
		before, after string
	}{
		{"PUT without members keeps them", "PUT", groupBody("{g}"), "abc", "abc"},
		{"PUT with an empty list clears", "PUT", groupBody("{g}", object{"members": []int{}}), "abc", ""},
		{"PUT with null clears", "PUT", groupBody("{g}", object{"members": nil}), "abc", ""},
		{"PUT with members replaces", "PUT", groupBody("{g}", object{"members": members(ids("cd")...)}), "abc", "cd"},
		{"add", "PATCH", patch(op("add", "members", members(ids("b")...))), "a", "ab"},
		{"add of one who is in", "PATCH", patch(op("add", "members", members(ids("a")...))), "ab", "ab"},
		{"add of an empty list", "PATCH", patch(op("add", "members", []int{})), "ab", "ab"},
		{"add without path", "PATCH", patch(op("add", "", object{"members": members(ids("c")...)})), "ab", "abc"},
		{"Remove with a list", "PATCH", patch(op("Remove", "members", members(ids("b")...))), "abc", "ac"},
		{"Remove with $ref null", "PATCH", patch(op("Remove", "members", []object{{"$ref": nil, "value": u["b"]}})), "abc", "ac"},
		{"remove by filter", "PATCH", patch(op("remove", only(u["b"]))), "abc", "ac"},
		{"remove three by filters", "PATCH", patch(op("remove", only(u["a"])), op("remove", only(u["b"])), op("remove", only(u["c"]))), "abcd", "d"},
		{"remove by a filter with or", "PATCH", patch(op("remove", `members[value eq "`+u["a"]+`" or value eq "`+u["c"]+`"]`)), "abc", "b"},
		{"remove by type", "PATCH", patch(op("remove", `members[type eq "User"]`)), "abc", ""},
		{"remove of one who is not in", "PATCH", patch(op("remove", "members", members(ids("d")...))), "abc", "abc"},
		{"remove by a filter that matches nobody", "PATCH", patch(op("remove", only("nobody"))), "abc", "abc"},
		{"remove of an empty list", "PATCH", patch(op("remove", "members", []int{})), "abc", "abc"},
		{"remove without value", "PATCH", patch(op("remove", "members")), "abc", ""},
		{"replace", "PATCH", patch(op("replace", "members", members(ids("b")...))), "abc", "b"},
		{"replace with an empty list", "PATCH", patch(op("replace", "members", []int{})), "abc", ""},
		{"several in order", "PATCH", patch(op("add", "members", members(ids("c")...)), op("remove", only(u["a"])), op("add", "members", members(ids("ad")...)), op("remove", only(u["d"]))), "ab", "abc"},
		{"one member twice", "PATCH", patch(op("add", "members", members(ids("cc")...))), "a", "ac"},
	} {
		t.Run(x.name, func(t *testing.T) {
			name := a.unique("g")
			group := a.group(name, "", ids(x.before)...)
			version := a.get("/Groups/"+group).text("meta", "version")
			body := raw(strings.ReplaceAll(string(must(json.Marshal(x.body))), "{g}", name))
			if got := a.requestAs(t, x.method, "/Groups/"+group, body); got.status >= 300 {
				got.errorf("refused")
			}
			got := a.get("/Groups/" + group)
			want := append([]string{}, ids(x.after)...)
			slices.Sort(want)
			if seen := got.values("value", "members"); !slices.Equal(seen, want) {
				got.errorf("members are %v, want %v", seen, want)
			}
			if changed := version != got.text("meta", "version"); changed != (x.before != x.after) {
				got.errorf("version was %s", version)
			}
		})
	}
	// A removal that cannot be understood is refused: it would leave somebody in.
	group := a.group("crew", "", all...)
	for _, o := range []object{op("remove", `members[display eq "a"]`), op("remove", `members[$ref co "x"]`), op("remove", "members", "x y"), op("remove", "members", []int{7}),
		op("remove", "members", []object{{"id": u["a"]}}), op("remove", "members.value", u["a"]), op("remove", `members[value eq "a"`)} {
		got := a.patch("/Groups/"+group, o)
		gone := len(a.members(group)) < 4
		if got.status < 400 && !gone && o["value"] != "x y" {
			got.errorf("%v: success, and nobody is removed", o)
		}
	}
	// So is one whose filter names what a member does not have.
	group = a.group("watch", "", all...)
	for _, path := range []string{`members[nosuch eq "a"]`, `Members[nosuch eq "a"]`, scim.GroupURN + `:members[nosuch eq "a"]`, `members[nosuch eq "` + u["a"] + `" or value eq "` + u["b"] + `"]`,
		`members[nosuch pr]`, `members[nosuch eq "a"].value`} {
		for _, o := range []object{op("remove", path), op("Remove", path, members(u["a"])), op("replace", path, object{"value": u["a"]}), op("add", path, object{"value": u["a"]})} {
			a.patch("/Groups/"+group, op("replace", "displayName", "other"), o).want(400, "invalidPath")
		}
	}
	got := a.get("/Groups/" + group)
	got.is("watch", "displayName")
	got.is(`W/"1"`, "meta", "version")
	if n := got.len("members"); n != 4 {
		got.errorf("%d members, want all 4", n)
	}
}

func TestGroupFilters(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	anna, boris, zoe := a.user("anna", object{"displayName": "Anna"}), a.user("boris"), a.user("zoe")
	both, one, none := a.group("both", "x-1", anna, boris), a.group("one", "x-2", anna), a.group("none", "x-3")
	nested := a.group("nested", "", one)
	for filter, want := range map[string][]string{
		`members eq "` + anna + `"`:                                                      {both, one},
		`members.value eq "` + anna + `"`:                                                {both, one},
		`members[value eq "` + anna + `"]`:                                               {both, one},
		`members eq "` + zoe + `"`:                                                       {},
		`members.value ne "` + anna + `"`:                                                {none, nested},
		`not (members.value eq "` + anna + `")`:                                          {none, nested},
		`members[value ne "` + anna + `"]`:                                               {both, nested},
		`members[not (value eq "` + anna + `")]`:                                         {both, nested},
		`members.value eq "` + anna + `" and members.value eq "` + boris + `"`:           {both},
		`members.value eq "` + anna + `" or displayName eq "none"`:                       {both, one, none},
		`members[value eq "` + anna + `" and type eq "User"]`:                            {both, one},
		`members[value eq "` + one + `" and type eq "Group"]`:                            {nested},
		`members[type eq "Group"]`:                                                       {nested},
		`members[value eq "` + one + `" and type eq "User"]`:                             {},
		`members.display eq "Anna"`:                                                      {both, one},
		`members.display eq "one"`:                                                       {nested},
		`members.$ref co "` + anna + `"`:                                                 {both, one},
		`members pr`:                                                                     {both, one, nested},
		`not (members pr)`:                                                               {none},
		`id eq "` + one + `" and members eq "` + anna + `"`:                              {one},
		`members eq ` + anna + ` and id eq ` + one:                                       {one},
		`id eq "` + one + `" and members eq "` + boris + `"`:                             {},
		`displayName sw "n" and not (members eq "` + anna + `")`:                         {none, nested},
		`externalId eq "x-1" or externalId eq "x-2"`:                                     {both, one},
		`meta.resourceType eq "Group" and displayName co "o"`:                            {both, one, none},
		`members[value eq "` + boris + `" or not (value eq "` + anna + `")]`:             {both, nested},
		`members[value eq "` + zoe + `" or value ne "` + anna + `"] or members.value pr`: {both, one, nested},
		`not (members[value ne "` + anna + `"])`:                                         {one, none},
		`members.value eq "` + anna + `" and not (members[value eq "` + boris + `"])`:    {one},
	} {
		got := a.get(filtered("/Groups", filter))
		slices.Sort(want)
		if seen := got.values("id", "Resources"); !slices.Equal(seen, append([]string{}, want...)) {
			got.errorf("%d groups, want %d", len(seen), len(want))
		}
	}
	for filter, want := range map[string][]string{
		`groups eq "` + both + `"`:                                    {anna, boris},
		`groups.value eq "` + one + `"`:                               {anna},
		`groups.display eq "BOTH"`:                                    {anna, boris},
		`groups[display eq "both" and type eq "direct"]`:              {anna, boris},
		`not (groups pr)`:                                             {zoe},
		`groups[not (value eq "` + both + `")]`:                       {anna},
		`id eq "` + anna + `" and groups eq "` + one + `"`:            {anna},
		`meta.location ew "` + zoe + `" or meta.version eq "W/\"9\""`: {zoe},
	} {
		got := a.get(filtered("/Users", filter))
		slices.Sort(want)
		if seen := got.values("id", "Resources"); !slices.Equal(seen, append([]string{}, want...)) {
			got.errorf("%d users, want %d", len(seen), len(want))
		}
	}
}

// Groups may hold groups, but never themselves.
func TestNestedGroups(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	g1 := a.group("g1", "")
	g2 := a.group("g2", "", g1)
	g3 := a.group("g3", "", g2)
	for _, x := range [][2]string{{g1, g1}, {g1, g2}, {g1, g3}, {g2, g3}} {
		a.patch("/Groups/"+x[0], op("add", "members", []object{{"value": x[1], "type": "Group"}})).want(400, "invalidValue")
	}
	a.get("/Groups/"+g3).is("Group", "members", 0, "type")
	a.get("/Groups/"+g3).is("g2", "members", 0, "display")
	if len(a.members(g1)) != 0 {
		t.Errorf("members %v", a.members(g1))
	}
}

// A large group is sent as a whole, in pieces, wherever it appears.
func TestLargeGroup(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha", scimOptions(directory.SCIMOptions{GroupPatchContent: true}))
	const n = 2500
	ids, names := a.people(n)
	group := a.group("large", "")
	for from := 0; from < n; from += 500 {
		a.patch("/Groups/"+group, op("add", "members", members(ids[from:from+500]...))).want(200)
	}
	small := a.group("small", "", ids[0])
	twin := a.group("twin", "", ids[0], ids[1])
	a.patch("/Groups/"+twin, op("add", "members", members(group))).want(200)
	whole := func(got *answer, at ...any) {
		t.Helper()
		got.want(200)
		seen := got.values("value", append(at, "members")...)
		if len(slices.Compact(seen)) != n || len(seen) != n {
			got.errorf("%d members", len(seen))
		}
		for _, i := range []int{0, 999, 1000, 1001, 1999, 2000, 2499} {
			member := append(slices.Clone(at), "members", i)
			got.is(ids[i], append(member, "value")...)
			got.is(names[i], append(member, "display")...)
			got.is("User", append(member, "type")...)
		}
		got.is("large", append(at, "displayName")...)
		got.is(`W/"6"`, append(at, "meta", "version")...)
	}
	whole(a.get("/Groups/" + group))
	whole(a.patch("/Groups/"+group, op("replace", "displayName", "large"))) // no change, all of it in the answer
	whole(a.request("PUT", "/Groups/"+group, groupBody("large")))
	list := a.get("/Groups")
	list.is("3", "itemsPerPage")
	whole(list, "Resources", 0)
	if len(list.values("value", "Resources", 1, "members")) != 1 || list.text("Resources", 1, "id") != small {
		list.errorf("the group behind the large one")
	}
	whole(a.get(filtered("/Groups", `displayName eq "large"`)), "Resources", 0)
	whole(a.get(filtered("/Groups", `members eq "`+ids[2499]+`"`)), "Resources", 0)

	if got := a.get("/Groups/" + group + "?attributes=members.value"); len(got.values("value", "members")) != n || got.at("members", 0, "display") != nil {
		got.errorf("members.value alone")
	}
	if got := a.get("/Groups?attributes=members.value,displayName"); len(got.values("value", "Resources", 0, "members")) != n {
		got.errorf("members.value alone in a list")
	}
	if got := a.get("/Groups/" + group + `?attributes=` + url.QueryEscape(`members[value eq "`+ids[2200]+`"]`)); !slices.Equal(got.values("value", "members"), []string{ids[2200]}) {
		got.errorf("one member of many")
	}
	for _, path := range []string{"/Groups/" + group + "?excludedAttributes=members", "/Groups/" + group + "?attributes=displayName"} {
		a.get(path).is("", "members")
	}
	a.get("/Groups?excludedAttributes=members").is("", "Resources", 0, "members")
	if head := a.request("HEAD", "/Groups/"+group, nil).want(200); len(head.body) > 0 {
		head.errorf("a body")
	}
	a.patch("/Groups/"+group, op("remove", "members")).want(200).is("", "members")
}

// A large group that cannot be sent to its end is cut, so that nobody takes a part for the whole.
func TestLargeGroupIsCut(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha")
	ids, _ := a.people(2001)
	group := a.group("large", "", ids...)
	for _, path := range []string{"/Groups/" + group, "/Groups", filtered("/Groups", `displayName eq "large"`)} {
		s.store.views.Store(3) // the token, the head with the first members, the next ones
		req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/scim/alpha/v2"+path, nil))
		req.Header.Set("Authorization", "Bearer "+a.token)
		resp := must(s.client.Do(req))
		content, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		s.store.fail(nil, nil)
		if resp.StatusCode != http.StatusOK || err == nil || json.Valid(content) {
			t.Errorf("%s: status %d, %d bytes, error %v", path, resp.StatusCode, len(content), err)
		}
		if !strings.Contains(s.log.String(), "could not be sent to its end") {
			t.Error("the log does not say so")
		}
	}
	a.get("/Groups/" + group)
}

// What changes nothing leaves version, lastModified, the log and the outbox as they are.
func TestNoChange(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha", withExtension)
	a.environment("production", "sync-1")
	boss := a.user("boss")
	body := userBody("anna", object{"externalId": "e-1", "active": true, "displayName": "Anna", "title": "captain", "name": object{"givenName": "Anna", "familyName": "Berg"},
		"emails":           []object{{"value": "anna@alpha.example", "type": "work", "primary": true}},
		"phoneNumbers":     []object{{"value": "1", "type": "work"}, {"value": "2", "type": "mobile"}},
		scim.EnterpriseURN: object{"department": "deck", "manager": object{"value": boss}}, fjordURN: object{"crewCodes": []string{"1"}}})
	id := a.request("POST", "/Users", body).want(201).id()
	groupBody := groupBody("crew", object{"externalId": "sync-1", "members": members(id)})
	group := a.request("POST", "/Groups", groupBody).want(201).id()
	before, dump := a.get("/Users/"+id), a.dump()
	groupBefore := a.get("/Groups/" + group)
	s.clock.Advance(time.Second) // not a minute: the note of the token's use is no change
	same := func(got *answer) {
		t.Helper()
		if got.status != 200 && got.status != 204 {
			got.errorf("refused")
		}
		if len(got.body) > 0 && string(got.body) != string(before.body) && string(got.body) != string(groupBefore.body) {
			got.errorf("not the answer from before:\n%s", before.body)
		}
	}
	user, crew := "/Users/"+id, "/Groups/"+group
	same(a.request("PUT", user, body))
	body["nickName"], body["roles"], body["x509Certificates"] = nil, []int{}, nil
	same(a.request("PUT", user, body))
	same(a.patch(user, op("replace", "displayName", "Anna")))
	same(a.patch(user, op("Add", "active", "True")))
	same(a.patch(user, op("add", "emails", []object{{"value": "anna@alpha.example", "type": "work"}})))
	same(a.patch(user, op("replace", `emails[type eq "work"].value`, "anna@alpha.example")))
	same(a.patch(user, op("remove", `emails[type eq "home"]`), op("remove", "nickName"), op("replace", "locale", "")))
	same(a.patch(user, op("replace", "", object{"name.givenName": "Anna", scim.EnterpriseURN + ":department": "deck"})))
	same(a.patch(user, op("add", scim.EnterpriseURN+":manager", boss)))
	same(a.patch(user, op("Add", fjordURN+":crewCodes", []object{{"value": "1"}})))
	same(a.patch(user, op("replace", "title", "x"), op("replace", "title", "captain")))
	same(a.patch(user))
	same(a.request("PUT", crew, groupBody))
	same(a.patch(crew, op("add", "members", members(id))))
	same(a.patch(crew, op("remove", "members", members(boss))))
	same(a.patch(crew, op("remove", "members", members(id)), op("add", "members", members(id))))
	same(a.patch(crew, op("replace", "members", members(id))))
	same(a.patch(crew, op("replace", "displayName", "crew")))
	same(a.get(user))
	same(a.get(crew))
	after := a.dump()
	for k, v := range after {
		if dump[k] != v && !strings.HasPrefix(k, "tokens\x00") {
			t.Errorf("a row was written: %q", k)
		}
	}
}

// A person who is provisioned again has a new id and the account from before, and none of its rights.
func TestProvisionedAgain(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	env := a.environment("production", "sync-1")
	body := userBody("anna@alpha.example", object{"externalId": "0a0a0a0a-1111-4222-8333-444444444444"})
	first := a.request("POST", "/Users", body).want(201).id()
	group := a.group("crew", "sync-1", first)
	account := a.account(first).ID
	session := a.signIn(account)
	a.request("DELETE", "/Users/"+first, nil).want(204)
	if a.access(account, env) != "inactive" || a.signedIn(session) {
		t.Error("a deleted user keeps an access or a session")
	}
	a.get("/Groups/"+group).is("", "members")
	again := a.request("POST", "/Users", body).want(201)
	again.is("", "groups")
	again.is("false", scim.AccessURN, "environments", 0, "active")
	if again.id() == first || a.account(again.id()).ID != account {
		again.errorf("the id is used again, or the account is another one")
	}
	if a.access(account, env) != "inactive" || a.signedIn(session) {
		t.Error("a person provisioned again has an access or session without a group")
	}
	a.patch("/Groups/"+group, op("add", "members", members(again.id()))).want(204)
	if a.access(account, env) != "active" || a.signedIn(session) {
		t.Error("the access is not back, or the old session is")
	}
}

// An internal account is adopted for a trusted domain alone, and a protected one never.
func TestAdoption(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha", func(x *directory.Tenant) { x.TrustedDomains = []string{"alpha.example"} })
	admin := must(s.svc.CreateAccount(t.Context(), operator, "admin", "admin@other.example", "Admin")).ID
	mine := must(s.svc.CreateAccount(t.Context(), operator, "anna", "anna@alpha.example", "Anna")).ID
	for _, body := range []object{
		userBody("attacker@evil.example", object{"emails": []object{{"value": "Admin@other.example", "primary": true}}}),
		userBody("admin@OTHER.example"),
		userBody("x", object{"emails": []object{{"value": "x@alpha.example"}, {"value": "admin@other.example", "type": "home"}}}),
	} {
		a.request("POST", "/Users", body).want(409, "uniqueness")
	}
	id := a.request("POST", "/Users", userBody("anna", object{"emails": []object{{"value": "ANNA@alpha.example"}}})).want(201).id()
	if a.account(id).ID != mine {
		t.Error("the account of a trusted domain was not adopted")
	}
	s.view(func(sn *directory.Snapshot) error {
		x, err := sn.Account(admin)
		if err == nil && (x.External() || x.UserName != "admin" || x.Email != "admin@other.example") {
			t.Errorf("the admin's account is %+v", x)
		}
		return err
	})
}

// Values come back as they were sent, whatever they are.
func TestValuesComeBack(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	for _, text := range []string{" Anna  Berg ", "ÅSTRÖM", "A\u030astrom", "日本語", "😀", `"quoted" \ and /`, "<script>&amp;", "line\nbreak\ttab", "\u2028", "{}", "null", "007", "' OR 1=1 --", "%00", "\u0001"} {
		id := a.user(a.unique("u"), object{"title": text, "name": object{"familyName": text}, "emails": []object{{"type": "work", "value": text}}})
		for _, got := range []*answer{a.get("/Users/" + id), a.request("PUT", "/Users/"+id, userBody(a.unique("u"), object{"title": text, "name": object{"familyName": text},
			"emails": []object{{"type": "work", "value": text}}})).want(200)} {
			got.is(text, "title")
			got.is(text, "name", "familyName")
			got.is(text, "emails", 0, "value")
			got.is("work", "emails", 0, "type")
		}
		if got := a.get(filtered("/Users", `id eq "`+id+`" and title eq `+string(must(json.Marshal(text))))); got.text("totalResults") != "1" {
			got.errorf("%q is not found by filter", text)
		}
	}
}

func TestProjection(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	id := a.user("anna", object{"title": "x", "name": object{"givenName": "A", "familyName": "B"}})
	for query, want := range map[string]string{
		"attributes=userName":                      "id schemas userName",
		"attributes=USERNAME,name.givenName":       "id name schemas userName",
		"attributes=" + scim.UserURN + ":userName": "id schemas userName",
		"attributes=nosuch":                        "id schemas",
		"attributes=meta":                          "id meta schemas",
		"excludedAttributes=userName,id,schemas":   "active id meta name schemas title",
		"excludedAttributes=meta,name":             "active id schemas title userName",
		"attributes=":                              "active id meta name schemas title userName",
		"aadOptscim062020":                         "active id meta name schemas title userName",
	} {
		for _, got := range []*answer{
			a.get("/Users/" + id + "?" + query), {t: t, what: "list " + query, doc: a.get("/Users?"+query).at("Resources", 0)},
			a.request("PATCH", "/Users/"+id+"?"+query, patch()).want(200), a.request("POST", "/Users?"+query, userBody(a.unique("z"), object{"title": "x", "name": object{"givenName": "A"}})).want(201),
		} {
			names := []string{}
			doc, _ := got.doc.(object)
			for name := range doc {
				names = append(names, name)
			}
			slices.Sort(names)
			if strings.Join(names, " ") != want {
				got.errorf("?%s: %v, want %s", query, names, want)
			}
		}
	}
}

// What is not there is 404, another version is 412, and only then a body that is wrong is 400: for users and groups, by PUT and
// PATCH, in both modes and in a bulk.
func TestRefusalsHaveAnOrder(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, tn := range []*tenant{s.tenant("alpha"), s.tenant("bravo", scimOptions(directory.SCIMOptions{Strict: true}))} {
		user := tn.user("anna")
		for item, wrong := range map[string]map[string][]object{
			"/Users/" + user: {
				"PUT":   {userBody(""), userBody("anna", object{"emails": "x"}), {"userName": "anna", "schemas": "x"}},
				"PATCH": {patch(op("replace", "[", "x")), patch(op("replace", "id", "x")), patch(op("replace", "active", "maybe")), patch(op("move", "title", "x")), {}},
			},
			"/Groups/" + tn.group("crew", "", user): {
				"PUT":   {groupBody(""), groupBody("crew", object{"members": "x"}), groupBody("crew", object{"members": []object{{}}}), groupBody("crew", object{"members": members("x")})},
				"PATCH": {patch(op("replace", "members[", "x")), patch(op("remove", "members", []object{{}})), patch(op("add", "members", members("x"))), {}},
			},
		} {
			missing := item[:strings.LastIndexByte(item, '/')+1] + unknownID
			before := string(tn.get(item).body)
			for method, bodies := range wrong {
				for _, body := range bodies {
					tn.request(method, missing, body).want(404, "")
					tn.request(method, missing, body, "If-Match", `"7"`).want(404, "")
					tn.request(method, item, body, "If-Match", `"7"`).want(412, "")
					tn.request(method, item, body).want(400)
					tn.request(method, item, body, "If-Match", `"1"`).want(400)
					tn.sendBulk(bulkOp(method, missing, body), bulkOp(method, item, body, object{"version": `W/"7"`}), bulkOp(method, item, body)).results("404", "412", "400")
				}
			}
			if after := string(tn.get(item).body); after != before {
				t.Errorf("from %s\nto %s", before, after)
			}
		}
	}
}

// Who is named by an id in upper case leaves a group, and joins it; in strict mode nobody is named so. Elsewhere it is no id.
func TestMemberIDsInUpperCase(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, strict := range []bool{false, true} {
		a := s.tenant(s.unique("tenant"), scimOptions(directory.SCIMOptions{Strict: strict}))
		user := a.user(s.unique("user"))
		for strings.ToUpper(user) == user { // digits alone
			user = a.user(s.unique("user"))
		}
		upper := strings.ToUpper(user)
		for name, o := range map[string]object{
			"a list":            op("remove", "members", members(upper)),
			"a filter":          op("remove", `members[value eq "`+upper+`"]`),
			"a filter of two":   op("remove", `members[value eq "`+upper+`" and type eq "User"]`),
			"a filter with not": op("remove", `members[not (value ne "`+upper+`")]`),
		} {
			group := a.group(s.unique("group"), "", user)
			a.get(filtered("/Groups", `members.value eq "`+upper+`" and id eq "`+group+`"`)).is(map[bool]string{false: "1", true: "0"}[strict], "totalResults")
			a.request("PATCH", "/Groups/"+group, patch(o)).want(204)
			if in := len(a.members(group)); (in == 1) != strict {
				t.Errorf("strict %t, by %s: %d members are left", strict, name, in)
			}
		}
		for method, body := range map[string]func(string) object{
			"PATCH": func(string) object { return patch(op("add", "members", members(upper))) },
			"PUT":   func(name string) object { return groupBody(name, object{"members": members(upper)}) },
		} {
			name := s.unique("group")
			group := a.group(name, "")
			if got := a.request(method, "/Groups/"+group, body(name)); (got.status == 400) != strict || !strict && !slices.Equal(a.members(group), []string{user}) {
				got.errorf("strict %t, members %v", strict, a.members(group))
			}
		}
		a.request("GET", "/Users/"+upper, nil).want(404, "")
		a.get(filtered("/Users", `id eq "`+upper+`"`)).is("0", "totalResults")
	}
}
