package scim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
)

// list gets a list; parameters are name, value pairs.
func (t *tenant) list(path string, parameters ...string) *answer {
	t.Helper()
	return t.request("GET", path+"?"+encoded(parameters...), nil)
}

func encoded(parameters ...string) string {
	v := url.Values{}
	for i := 0; i < len(parameters); i += 2 {
		v.Add(parameters[i], parameters[i+1])
	}
	return v.Encode()
}

// search posts a SearchRequest; members are name, value pairs.
func (t *tenant) search(path string, members ...any) *answer {
	t.Helper()
	body := object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:SearchRequest"}}
	for i := 0; i < len(members); i += 2 {
		body[members[i].(string)] = members[i+1]
	}
	return t.request("POST", path+"/.search", body)
}

// names lists what the resources of a page are called, in order.
func (a *answer) names() string {
	a.t.Helper()
	a.want(200)
	var all []string
	for _, e := range listOf(a.at("Resources")) {
		doc := e.(object)
		name, is := doc["userName"]
		if !is {
			name = doc["displayName"]
		}
		all = append(all, fmt.Sprint(name))
	}
	return strings.Join(all, " ")
}

func (a *answer) named(want string) *answer {
	a.t.Helper()
	if got := a.names(); got != want {
		a.errorf("%s, want %s", got, want)
	}
	return a
}

func TestSortOrder(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha", withCrew)
	crew := func(o object) object { return object{crewUserURN: o} }
	a.user("bob", object{"title": "b", "emails": []object{{"value": "z@x", "type": "home"}, {"value": "a@x", "type": "work", "primary": true}}}, crew(object{"rank": 10, "deck": "b", "joined": "2026-01-01T01:00:00+02:00"}))
	a.user("Ada", object{"title": "B", "emails": []object{{"value": "m@x", "type": "work"}}}, crew(object{"rank": 9, "deck": "B", "joined": "2026-01-01T00:00:00Z", "ships": []object{{"value": "z", "tons": 5}}}))
	a.user("cid", object{"title": ""}, crew(object{"rank": -1, "captain": true}))
	a.user("Érik", object{"title": "A", "active": false, "emails": []object{{"value": "b@x"}}},
		crew(object{"captain": false, "ships": []object{{"value": "x", "primary": true}, {"value": "y", "tons": 1}}}))
	for _, c := range []struct{ by, order, want string }{
		{"userName", "", "Ada bob cid Érik"},
		{"userName", "ascending", "Ada bob cid Érik"},
		{"userName", "descending", "Érik cid bob Ada"},
		{"USERNAME", "", "Ada bob cid Érik"},
		{"id", "", "bob Ada cid Érik"},
		{"id", "descending", "Érik cid Ada bob"},
		{"title", "", "Érik bob Ada cid"},           // b and B are one: by id; no title comes last
		{"title", "descending", "cid bob Ada Érik"}, // and first
		{"emails", "", "bob Érik Ada cid"},          // by value
		{"emails.value", "", "bob Érik Ada cid"},
		{"emails.type", "", "bob Ada cid Érik"},  // bob's primary one is of work
		{"ships.tons", "", "Ada bob cid Érik"},   // Érik's primary one has none
		{"active", "", "Érik bob Ada cid"},       // false, true
		{"meta.created", "", "bob Ada cid Érik"}, // all at once
		{crewUserURN + ":rank", "", "cid Ada bob Érik"},
		{crewUserURN + ":rank", "descending", "Érik bob Ada cid"},
		{"rank", "", "cid Ada bob Érik"},
		{crewUserURN + ":deck", "", "Ada bob cid Érik"}, // exact in case
		{crewUserURN + ":joined", "", "bob Ada cid Érik"},
		{crewUserURN + ":captain", "", "Érik cid bob Ada"},
		{scim.UserURN + ":name.familyName", "", "bob Ada cid Érik"},
		{"", "descending", "bob Ada cid Érik"},
	} {
		a.list("/Users", "sortBy", c.by, "sortOrder", c.order).named(c.want).is("4", "totalResults")
		a.search("/Users", "sortBy", c.by, "sortOrder", c.order).named(c.want)
		// What is left of it is in the same order.
		a.list("/Users", "sortBy", c.by, "sortOrder", c.order, "filter", `userName ne "bob"`).named(strings.Join(slices.DeleteFunc(strings.Fields(c.want), func(s string) bool { return s == "bob" }), " "))
	}
}

// Behind the end there is nothing, however far.
func TestSortBehindTheEnd(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	a.people(3)
	for _, start := range []string{"4", "100", "600000", "9223372036854775807", "99999999999999999999"} {
		for _, query := range [][]string{{"sortBy", "title"}, {"sortBy", "userName"}, {"sortBy", "id", "filter", "userName pr"}, {"filter", "userName pr"}, {}} {
			for _, path := range []string{"/Users", "/"} {
				a.list(path, append(query, "startIndex", start)...).named("").is("3", "totalResults")
			}
		}
	}
}

func TestSortRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a, strict := s.tenant("alpha", withCrew), s.tenant("bravo", withCrew, func(t *directory.Tenant) { t.SCIM.Strict = true })
	for _, t := range []*tenant{a, strict} {
		t.user("anna")
		t.user("bob")
		t.list("/Users", "sortBy", "emails").want(200) // by value
		for _, path := range []string{"/Users", "/Groups", "/"} {
			for _, by := range []string{"nothing", "name", "meta", "addresses", crewUserURN, scim.EnterpriseURN, scim.UserURN, "emails.nothing", `emails[type eq "work"].value`, "userName,title", "password", "a.b.c", " ", "urn:x:y"} {
				t.list(path, "sortBy", by).want(400, "invalidValue")
				t.search(strings.TrimSuffix(path, "/"), "sortBy", by).want(400, "invalidValue")
				t.list(path, "sortBy", by, "cursor", "").want(400, "invalidValue")
			}
			for _, order := range []string{"asc", "desc", "descending ", "1", "ascending,descending"} {
				t.list(path, "sortBy", "id", "sortOrder", order).want(400, "invalidValue")
				t.list(path, "sortOrder", order).want(400, "invalidValue")
			}
			for _, twice := range []string{"sortBy", "sortOrder", "cursor", "count"} {
				t.list(path, twice, "id", twice, "id").want(400, "invalidSyntax")
			}
		}
		t.list("/Users", "sortBy", "manager").want(map[bool]int{true: 400, false: 200}[t == strict]) // one value, which has parts
		t.list("/Groups", "sortBy", "userName").want(400, "invalidValue")
		t.list("/Users", "sortBy", "members").want(400, "invalidValue")
	}
	for _, order := range []string{"Descending", "DESCENDING", "Ascending"} {
		want := a.list("/Users", "sortBy", "userName", "sortOrder", strings.ToLower(order)).names()
		a.list("/Users", "sortBy", "userName", "sortOrder", order).named(want)
		strict.list("/Users", "sortBy", "id", "sortOrder", order).want(400, "invalidValue")
	}
}

// A list sorted by a name that the store keeps in order, or by id, is read no further than it has to be.
func TestSortedPagesByIndexReadLittle(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	a.people(300)
	for _, by := range []string{"userName", "id"} {
		for _, order := range []string{"ascending", "descending"} {
			cursor := ""
			for page := range 3 {
				before := a.store.rows.Load()
				answer := a.list("/Users", "sortBy", by, "sortOrder", order, "count", "10", "cursor", cursor, "attributes", "userName").want(200)
				if read := a.store.rows.Load() - before; read > 15 {
					answer.errorf("%d rows were read for page %d", read, page)
				}
				cursor = answer.text("nextCursor")
			}
		}
	}
	// The rows that a page by cursor costs do not depend on how deep it lies; that of a filter goes on where it was.
	for _, c := range []struct {
		filter string
		first  int64
	}{{"", 15}, {`userName sw "member"`, 310}} {
		cursor := ""
		for page := range 20 {
			before := a.store.rows.Load()
			parameters := []string{"count", "10", "cursor", cursor, "attributes", "userName"}
			if c.filter != "" {
				parameters = append(parameters, "filter", c.filter)
			}
			answer := a.list("/Users", parameters...).want(200)
			read := a.store.rows.Load() - before
			if read > 15 && (page > 0 || read > c.first) {
				answer.errorf("%d rows were read for page %d", read, page)
			}
			answer.is("300", "totalResults")
			cursor = answer.text("nextCursor")
		}
	}
}

func TestRootQueries(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha", withCrew)
	anna := a.user("anna", object{"displayName": "Anna", "title": "captain"})
	a.user("bob", object{"displayName": "crew"})
	crew := a.group("crew", "g1", anna)
	a.group("deck", "g2")
	s.tenant("bravo").user("zoe")
	for _, path := range []string{"", "/"} {
		list := a.get(path)
		list.named("anna bob crew deck").is("4", "totalResults")
		list.is(scim.GroupURN, "Resources", 2, "schemas", 0)
		list.is(a.url+"/scim/alpha/v2/Groups/"+crew, "Resources", 2, "meta", "location")
	}
	for _, c := range []struct{ filter, want string }{
		{`displayName eq "crew"`, "bob crew"},
		{`displayName eq "Crew"`, "bob crew"},
		{`displayName pr`, "anna bob crew deck"},
		{`userName pr`, "anna bob"},
		{`userName ne "anna"`, "bob crew deck"}, // absent, so not equal
		{`not (userName eq "anna")`, "bob crew deck"},
		{`members pr`, "crew"},
		{`members.value eq "` + anna + `"`, "crew"},
		{`members[value eq "` + anna + `"]`, "crew"},
		{`groups pr`, "anna"},
		{`id eq "` + anna + `" or id eq "` + crew + `"`, "anna crew"},
		{`id eq "` + crew + `"`, "crew"},
		{`externalId sw "g"`, "crew deck"},
		{`externalId eq "g2"`, "deck"},
		{`title eq "captain" and members pr`, ""},
		{`title eq "captain" or members pr`, "anna crew"},
		{`emails[type eq "work"]`, ""},
		{`not (emails[type eq "work"])`, "anna bob crew deck"},
		{`meta.resourceType eq "User"`, "anna bob"},
		{`meta.resourceType eq "Group"`, "crew deck"},
		{`meta.resourceType eq "user"`, ""}, // exact in case
		{`meta.resourceType ne "User"`, "crew deck"},
		{`meta.resourceType eq "Group" and userName eq "anna"`, ""},
		{`meta[resourceType eq "Group"] and displayName eq "crew"`, "crew"},
		{`meta.resourceType eq "Group" or userName eq "anna"`, "anna crew deck"},
		{`schemas eq "` + scim.GroupURN + `"`, "crew deck"},
		{scim.GroupURN + `:displayName eq "crew"`, "crew"},
		{scim.UserURN + `:userName eq "anna"`, "anna"},
	} {
		a.list("", "filter", c.filter).named(c.want)
		a.search("", "filter", c.filter).named(c.want)
		a.list("/", "filter", c.filter, "cursor", "").named(c.want).is(fmt.Sprint(len(strings.Fields(c.want))), "totalResults")
	}
	for _, filter := range []string{"", "nothing pr", `title gt`, `active gt true`, `members gt 5 and`} {
		a.list("/", "filter", filter).want(400, "invalidFilter")
		a.search("", "filter", filter).want(400, "invalidFilter")
	}
	a.list("/", "sortBy", "displayName").named("anna bob crew deck")
	a.list("/", "sortBy", "displayName", "sortOrder", "descending").named("deck bob crew anna")
	a.list("/", "sortBy", "title").named("anna bob crew deck")
	a.list("/", "sortBy", "members", "sortOrder", "descending").named("anna bob deck crew")
	a.list("/", "startIndex", "2", "count", "2").named("bob crew").is("4", "totalResults")
	a.list("/", "startIndex", "4", "count", "2").named("deck")
	a.list("/", "startIndex", "5").named("").is("4", "totalResults")
	a.list("/", "count", "0").named("").is("4", "totalResults")
	shown := a.list("/", "attributes", "userName,members.value").want(200)
	shown.is("", "Resources", 0, "displayName")
	shown.is("anna", "Resources", 0, "userName")
	shown.is(anna, "Resources", 2, "members", 0, "value")
	shown.is("", "Resources", 2, "members", 0, "type")
	shown.is("", "Resources", 2, "displayName")

	// Of a type that the filter rules out nothing is read.
	a.people(50)
	for filter, most := range map[string]int64{`meta.resourceType eq "Group" and displayName sw "c"`: 20, `members.value eq "` + anna + `"`: 20, `userName eq "anna"`: 20} {
		before := a.store.rows.Load()
		list := a.list("/", "filter", filter).want(200)
		if read := a.store.rows.Load() - before; read > most {
			list.errorf("%d rows were read", read)
		}
	}
}

func TestSearchRequests(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a, strict := s.tenant("alpha"), s.tenant("bravo", func(t *directory.Tenant) { t.SCIM.Strict = true })
	for _, t := range []*tenant{a, strict} {
		t.user("anna", object{"title": "captain"})
		t.user("bob")
		t.search("/Users", "attributes", []string{"userName"}, "count", 1).named("anna").is("", "Resources", 0, "active")
		t.search("/Users", "excludedAttributes", []string{"active", "meta"}, "count", 1).named("anna").is("", "Resources", 0, "active")
		t.search("/Users", "filter", nil, "count", nil, "startIndex", nil, "sortBy", nil, "sortOrder", nil, "attributes", nil, "excludedAttributes", nil, "cursor", nil).named("anna bob").is("1", "startIndex")
		t.search("/Users", "attributes", []string{}).named("anna bob")
		t.search("/Users", "startIndex", 2).named("bob")
		t.search("/Users", "startIndex", -2, "count", -1).named("").is("2", "totalResults")
		t.search("/Users", "count", json.Number("99999999999999999999")).named("anna bob")
		t.search("/Users", "unknown", object{"x": 1}).named("anna bob")
		t.search("/Groups").named("")
		for _, bad := range [][]any{{"startIndex", 1.5}, {"startIndex", "x"}, {"count", true}, {"count", []int{1}}, {"filter", 1}, {"filter", []string{"title pr"}}, {"sortBy", 1}, {"sortOrder", false}, {"cursor", 1},
			{"attributes", []int{1}}, {"attributes", 1}, {"excludedAttributes", object{}}, {"attributes", []string{"a"}, "excludedAttributes", []string{"b"}}} {
			t.search("/Users", bad...).want(400, "invalidValue")
		}
		t.search("/Users", "filter", "").want(400, "invalidFilter")
		for _, body := range []any{object{}, object{"schemas": []string{}}, object{"schemas": []string{patchOp}}, object{"schemas": "urn:ietf:params:scim:api:messages:2.0:SearchRequest"}, raw(`[]`), raw(`"x"`), raw(``), raw(`{`), raw(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"count":1,"Count":2}`)} {
			for _, path := range []string{"/.search", "/Users/.search", "/Groups/.search"} {
				t.request("POST", path, body).want(400, "invalidSyntax")
			}
		}
		t.request("POST", "/Users/.search", raw("x"), "Content-Type", "text/plain").want(415)
		t.request("POST", "/Users/.search", raw(`{"x":"`+strings.Repeat("a", 1<<20)+`"}`)).want(413)
		t.request("GET", "/Users/.search", nil).want(405).hasHeader("Allow", "POST, OPTIONS")
	}
	a.search("/Users", "attributes", "userName,title", "count", "1", "startIndex", "1").named("anna").is("captain", "Resources", 0, "title")
	strict.search("/Users", "attributes", "userName,title").want(400, "invalidValue")
	strict.search("/Users", "count", "1").want(400, "invalidValue")
	strict.search("/Users", "count", "1", "cursor", "").want(400, "invalidCount")
	// A read leaves no line in the log, well or not.
	for _, t := range []*tenant{a, strict} {
		if n := len(t.lines()); n != 2 {
			t.Errorf("%d lines", n)
		}
	}
	a.request("POST", "/.search", []string{}).want(400, "invalidSyntax").is("a search must be a JSON object", "detail")
	a.search("/Users", "schemas", []string{strings.ToUpper("urn:ietf:params:scim:api:messages:2.0:SearchRequest")}, "count", 0).want(200)
}

func TestCursorParameters(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *scim.Config) { c.Limits.PageMax, c.Limits.PageDefault = 3, 2 })
	a, strict := s.tenant("alpha"), s.tenant("bravo", func(t *directory.Tenant) { t.SCIM.Strict = true })
	for _, t := range []*tenant{a, strict} {
		t.people(5)
		for _, path := range []string{"/Users", "/Groups", "/"} {
			for _, count := range []string{"x", "1.5", "1e1"} {
				t.list(path, "cursor", "", "count", count).want(400, "invalidCount")
			}
			t.list(path, "cursor", "", "startIndex", "1").want(400, "invalidValue")
			for _, cursor := range []string{"x", "AQ", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", " ", "%", "1", "null"} {
				t.list(path, "cursor", cursor).want(400, "invalidCursor")
				t.search(strings.TrimSuffix(path, "/"), "cursor", cursor).want(400, "invalidCursor")
			}
		}
		for _, query := range [][]string{{}, {"sortBy", "userName"}, {"sortBy", "active"}, {"filter", "userName pr"}} {
			for _, count := range []string{"0", "-1"} { // the total alone; the first page is still ahead
				total := t.list("/Users", append(query, "cursor", "", "count", count)...).named("")
				total.is("5", "totalResults")
				next := t.list("/Users", append(query, "cursor", total.text("nextCursor"))...).want(200)
				next.is("2", "itemsPerPage")
				next.is("5", "totalResults")
				t.list("/Users", append(query, "cursor", next.text("nextCursor"), "count", count)...).named("").is("5", "totalResults")
			}
		}
		t.search("/Users", "cursor", "", "count", 0).named("").is("5", "totalResults")
		t.search("/Users", "cursor", "", "count", true).want(400, "invalidCount")
		first := t.request("GET", "/Users?cursor", nil).want(200)
		first.is("2", "itemsPerPage")
		first.is("5", "totalResults")
		// Without a cursor a list is by index.
		t.get("/Users?startIndex=").is("1", "startIndex")
		if t.get("/Users").at("nextCursor") != nil {
			t.Error("a cursor that nobody asked for")
		}
	}
	a.list("/Users", "cursor", "", "count", "4").want(200).is("3", "itemsPerPage")
	strict.list("/Users", "cursor", "", "count", "4").want(400, "invalidCount")
	strict.list("/Users", "cursor", "", "count", "3").want(200).is("3", "itemsPerPage")
}

// A cursor is of one tenant, one query, one schema and one hour; the size of a page and what it shows may change.
func TestCursorsAreBound(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a, b := s.tenant("alpha"), s.tenant("bravo")
	a.people(9)
	b.people(9)
	a.group("crew", "")
	a.group("deck", "")
	query := []string{"filter", `userName sw "member"`, "sortBy", "userName", "sortOrder", "descending", "count", "2"}
	cursor := a.list("/Users", append(query, "cursor", "")...).named("member0008 member0007").text("nextCursor")
	at := func(t *tenant, path string, parameters ...string) *answer {
		s.Helper()
		return t.list(path, append(parameters, "cursor", cursor)...)
	}
	at(a, "/Users", query...).named("member0006 member0005")
	at(a, "/Users", "filter", `USERNAME  SW "member"`, "sortBy", "username", "sortOrder", "descending", "count", "3", "attributes", "userName").named("member0006 member0005 member0004")
	a.search("/Users", "filter", `userName sw "member"`, "sortBy", "userName", "sortOrder", "descending", "count", 2, "cursor", cursor).named("member0006 member0005")
	at(b, "/Users", query...).want(400, "invalidCursor")
	at(a, "/", query...).want(400, "invalidCursor")
	at(a, "/Users").want(400, "invalidCursor")
	at(a, "/Users", "filter", `userName sw "member"`).want(400, "invalidCursor")
	at(a, "/Users", "filter", `userName sw "member"`, "sortBy", "userName").want(400, "invalidCursor")
	at(a, "/Users", "filter", `userName sw "membe"`, "sortBy", "userName", "sortOrder", "descending").want(400, "invalidCursor")
	at(a, "/Users", "filter", `userName sw "member"`, "sortBy", "displayName", "sortOrder", "descending").want(400, "invalidCursor")
	at(a, "/Users", "sortBy", "userName", "sortOrder", "descending").want(400, "invalidCursor")
	cursor = a.list("/Groups", "cursor", "", "count", "1").text("nextCursor")
	at(a, "/Groups").named("deck")
	at(a, "/Users").want(400, "invalidCursor")

	s.clock.Advance(scim.CursorTimeout)
	at(a, "/Groups").named("deck")
	s.clock.Advance(time.Second)
	at(a, "/Groups").want(400, "expiredCursor")
	at(a, "/Users").want(400, "invalidCursor")
	at(b, "/Groups").want(400, "invalidCursor")

	// What a filter means may depend on the extensions.
	cursor = a.list("/Groups", "cursor", "", "count", "1").text("nextCursor")
	a.set(func(r *directory.Tenant) { r.SCIM.RequestsPerSecond = 100 })
	at(a, "/Groups").named("deck")
	a.set(withCrew)
	at(a, "/Groups").want(400, "invalidCursor")

	// Another server on the store, as after a restart, goes on where this one was.
	cursor = a.list("/Groups", "cursor", "", "count", "1").text("nextCursor")
	other := must(s.svc.CursorKey(s.Context(), [32]byte{7}))
	if other == ([32]byte{7}) || other == ([32]byte{}) {
		s.Error("the key of cursors is not kept")
	}
	if again := must(s.svc.CursorKey(s.Context(), [32]byte{8})); again != other {
		s.Error("the key of cursors changes")
	}
	if strings.Contains(cursor, "crew") {
		s.Error("a cursor shows a name")
	}
}

// Of a long value its first 4,095 bytes count, so that a cursor fits into a URL.
func TestSortByLongValues(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha", withCrew)
	photo := func(start string) object {
		return object{crewUserURN: object{"photo": start + strings.Repeat("A", 8192-len(start))}}
	}
	long := strings.Repeat("A", 4095)
	a.user("d", photo(long+"z"))
	a.user("c", photo(long+"b")) // alike as far as it counts: by id
	a.user("b", photo(long[:4094]+"/"))
	a.user("a", photo("z"))
	at := ""
	for i, name := range []string{"b", "d", "c", "a"} {
		page := a.list("/Users", "sortBy", "photo", "count", "1", "cursor", at, "attributes", "userName").named(name)
		if at = page.text("nextCursor"); len(at) > 6000 || (at == "") != (i == 3) {
			page.errorf("a cursor of %d characters", len(at))
		}
	}
}

// Neighbours of an empty page: whoever was there has gone.
func TestCursorOfAPageThatHasGone(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, query := range [][]string{{"sortBy", "userName"}, {"sortBy", "id"}, {"sortBy", "meta.created"}, {"sortBy", "userName", "filter", "userName pr"}, {"filter", "userName pr"}, {"attributes", "userName"}} {
		for _, path := range []string{"/Users", "/"} {
			a := s.tenant(s.unique("gone"))
			var ids []string
			for i := range 6 {
				ids = append(ids, a.user(fmt.Sprintf("member%04d", i)))
			}
			remove := func(ids ...string) {
				for _, id := range ids {
					a.request("DELETE", "/Users/"+id, nil).want(204)
				}
			}
			at := func(cursor string) *answer {
				t.Helper()
				return a.list(path, append(query, "count", "2", "cursor", cursor)...)
			}
			one := at("").named("member0000 member0001")
			two := at(one.text("nextCursor")).named("member0002 member0003")
			remove(ids[4:]...)
			end := at(two.text("nextCursor")).named("")
			end.is("", "nextCursor")
			at(end.text("previousCursor")).named("member0002 member0003").is("", "nextCursor")
			remove(ids[:2]...)
			start := at(two.text("previousCursor")).named("")
			start.is("", "previousCursor")
			at(start.text("nextCursor")).named("member0002 member0003").is("", "previousCursor")
			a.user("new")
			at(end.text("previousCursor")).named("member0003 new")
		}
	}
}

// Whatever others do to other resources between pages, who is left alone appears once, in order, both ways.
func TestCursorsWhileOthersWrite(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	rapid.Check(t, func(rt *rapid.T) {
		a := s.tenant(strings.ToLower(s.unique("moving")))
		titles := []string{"a", "B", "b", "c", "", "d"}
		draw := func() object {
			return object{"title": rapid.SampledFrom(titles).Draw(rt, "title"), "displayName": rapid.SampledFrom(titles).Draw(rt, "displayName")}
		}
		left := map[string]bool{}   // alone
		movers := map[string]bool{} // the others
		for range rapid.IntRange(0, 12).Draw(rt, "people") {
			id := a.user(s.unique("somebody"), draw())
			if rapid.Bool().Draw(rt, "is left alone") {
				left[id] = true
			} else {
				movers[id] = true
			}
		}
		path := rapid.SampledFrom([]string{"/Users", "/"}).Draw(rt, "path")
		for range rapid.IntRange(0, 4).Draw(rt, "groups") {
			left[a.group(s.unique("group"), "")] = path == "/"
		}
		maps.DeleteFunc(left, func(_ string, listed bool) bool { return !listed })
		parameters := []string{"count", fmt.Sprint(rapid.IntRange(1, 4).Draw(rt, "count")), "attributes", "id"}
		if by := rapid.SampledFrom([]string{"", "title", "userName", "id", "displayName"}).Draw(rt, "sortBy"); by != "" {
			parameters = append(parameters, "sortBy", by, "sortOrder", rapid.SampledFrom([]string{"ascending", "descending"}).Draw(rt, "sortOrder"))
		}
		if rapid.Bool().Draw(rt, "is filtered") {
			parameters = append(parameters, "filter", `not (userName eq "nobody")`)
		}
		write := func() {
			for range rapid.IntRange(0, 3).Draw(rt, "writes") {
				if len(movers) == 0 || rapid.IntRange(0, 2).Draw(rt, "write") == 0 {
					movers[a.user(s.unique("somebody"), draw())] = true
					continue
				}
				id := rapid.SampledFrom(slices.Sorted(maps.Keys(movers))).Draw(rt, "mover")
				if rapid.Bool().Draw(rt, "goes") {
					a.request("DELETE", "/Users/"+id, nil).want(204)
					delete(movers, id)
				} else {
					a.patch("/Users/"+id, op("replace", "", draw()), op("replace", "userName", s.unique("renamed"))).want(200)
				}
			}
		}
		walk := func(cursor, member string) (ids []string, last string) {
			for {
				page := a.requestAs(tbOf(rt), "GET", path+"?"+encoded(append(parameters, "cursor", cursor)...), nil).want(200)
				var here []string
				for _, e := range listOf(page.at("Resources")) {
					if id := fmt.Sprint(e.(object)["id"]); left[id] {
						here = append(here, id)
					}
				}
				if member == "previousCursor" {
					slices.Reverse(here)
				}
				ids = append(ids, here...)
				write()
				if next := page.text(member); next != "" {
					cursor = next
					continue
				}
				return ids, page.text("previousCursor")
			}
		}
		var want []string
		for _, e := range listOf(a.list(path, append(slices.Clone(parameters[2:]), "count", "100")...).at("Resources")) {
			if id := fmt.Sprint(e.(object)["id"]); left[id] {
				want = append(want, id)
			}
		}
		got, last := walk("", "nextCursor")
		if !slices.Equal(got, want) {
			rt.Fatalf("forward: %v, want %v", got, want)
		}
		if last == "" {
			return // one page
		}
		got, _ = walk(last, "previousCursor")
		slices.Reverse(got)
		if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
			rt.Fatalf("back: %v, want the first of %v", got, want)
		}
	})
}

// A page with groups that are too large for one snapshot is sent in pieces, whichever way it was asked for.
func TestLargeGroupsOnAnyPage(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	ids, _ := a.people(1100)
	a.group("small", "", ids[0])
	for _, name := range []string{"large", "more"} {
		group := a.group(name, "", ids[:1000]...)
		a.patch("/Groups/"+group, op("add", "members", members(ids[1000:]...))).want(204)
	}
	check := func(page *answer) {
		t.Helper()
		if n := [3]int{page.len("Resources", 0, "members"), page.len("Resources", 1, "members"), page.len("Resources", 2, "members")}; n != [3]int{1, 1100, 1100} {
			page.errorf("%v members", n)
		}
	}
	check(a.get("/Groups?cursor"))
	check(a.list("/Groups", "sortBy", "id"))
	check(a.list("/", "filter", `meta.resourceType eq "Group"`))
	check(a.search("", "filter", `members pr`, "sortBy", "id"))
	back := a.get("/Groups?cursor=&count=1").text("nextCursor")
	back = a.list("/Groups", "cursor", back).want(200).text("previousCursor")
	a.list("/Groups", "cursor", back).named("small")
	if head := a.request("HEAD", "/Groups?cursor", nil).want(200); head.header.Get("Content-Length") != "" {
		head.errorf("a length")
	}
}

// The version that a filter names is the one that the list shows.
func TestFilterByVersion(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	anna, bob := a.user("anna"), a.user("bob")
	a.user("cid")
	dora := a.user("dora") // stands before the groups
	a.group("crew", "", anna)
	a.group("deck", "", anna, bob, dora)
	list := a.get("/")
	seen := map[string]string{}
	for i := range list.len("Resources") {
		v := list.text("Resources", i, "meta", "version")
		seen[v] += " " + fmt.Sprint(list.at("Resources", i, "id"))
	}
	for version, ids := range seen {
		found := a.list("/", "filter", `meta.version eq `+quoted(version))
		got := ""
		for i := range found.len("Resources") {
			got += " " + found.text("Resources", i, "id")
		}
		if got != ids {
			found.errorf("%s, want %s", got, ids)
		}
		if n := a.list("/", "filter", `meta[version eq `+quoted(version)+`]`).text("totalResults"); n != found.text("totalResults") {
			found.errorf("in brackets %s", n)
		}
	}
	if len(seen) != 3 { // anna; bob and dora; cid and the groups
		t.Errorf("%v", seen)
	}
}

// Lists that are put in order take turns: two of a tenant at a time, whatever settings change, and eight in all.
func TestSortedListsTakeTurns(t *testing.T) {
	t.Parallel()
	var arrived, inside, most atomic.Int64
	s := newServer(t, func(c *scim.Config) {
		c.BaseURL = func(r *http.Request) string { arrived.Add(1); return "http://" + r.Host }
	})
	release := make(chan struct{})
	hold := func(table string) func() {
		if table != "users" {
			return func() {}
		}
		most.Store(max(most.Load(), inside.Add(1)))
		<-release
		return func() { inside.Add(-1) }
	}
	var wg sync.WaitGroup
	ask := func(a *tenant, n int) {
		before := arrived.Load()
		for i := range n {
			path := []string{"/Users?sortBy=title", "/?sortBy=id", "/Users?sortBy=userName&filter=title+pr&cursor"}[i%3]
			wg.Go(func() { a.requestAs(t, "GET", path, nil).want(200).is("1", "totalResults") })
		}
		for arrived.Load() < before+int64(n) {
			runtime.Gosched()
		}
	}
	until := func(n int64) {
		t.Helper()
		for inside.Load() < n {
			runtime.Gosched()
		}
	}
	var tenants []*tenant
	for i := range 6 {
		a := s.tenant(fmt.Sprint("tenant", i))
		a.user("anna", object{"title": "x"})
		tenants = append(tenants, a)
	}
	a, b := tenants[0], tenants[1]
	s.store.scan.Store(&hold)
	ask(a, 10)
	until(2)
	// Another tenant does not wait for them, nor does a list that needs no turn.
	s.store.scan.Store(nil)
	b.list("/Users", "sortBy", "title").named("anna")
	a.list("/Users", "sortBy", "userName").named("anna")
	a.set(func(r *directory.Tenant) { r.SCIM.UserPatchNoContent = true })
	s.store.scan.Store(&hold)
	ask(a, 10)
	if n := most.Load(); n != 2 {
		t.Errorf("%d lists of one tenant were put in order at once", n)
	}
	for _, a := range tenants[1:] {
		ask(a, 3)
	}
	until(8)
	close(release)
	wg.Wait()
	if n := most.Load(); n != 8 {
		t.Errorf("%d lists were put in order at once", n)
	}
}

// A list that waits for its turn as long as a query may take is refused, and can be asked for again.
func TestSortedListsWaitSoLong(t *testing.T) {
	t.Parallel()
	var inside atomic.Int64
	s := newServer(t, func(c *scim.Config) { c.Limits.QueryTime = time.Millisecond })
	a := s.tenant("alpha")
	a.user("anna", object{"title": "x"})
	release := make(chan struct{})
	hold := func(table string) func() {
		if table == "users" {
			inside.Add(1)
			<-release
		}
		return func() {}
	}
	s.store.scan.Store(&hold)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for a.requestAs(t, "GET", "/Users?sortBy=title", nil).status != 200 { // one that was late for a turn that is free
			}
		})
	}
	for inside.Load() < 2 {
		runtime.Gosched()
	}
	got := a.request("GET", "/Users?sortBy=title", nil).want(503)
	got.hasHeader("Retry-After", "5")
	got.is("the server cannot do this now; try again later", "detail")
	close(release)
	wg.Wait()
	a.list("/Users", "sortBy", "userName").named("anna")
}

const shadowURN = "urn:example:params:scim:schemas:extension:shadow:2.0:User"

// withShadow declares attributes that are called as core ones are.
func withShadow(t *directory.Tenant) {
	t.SCIM.Extensions = []json.RawMessage{json.RawMessage(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Schema"],"id":"` + shadowURN + `","name":"Shadow","attributes":[
		{"name":"userName","type":"string"},{"name":"externalId","type":"string"},{"name":"emails","type":"string","multiValued":true}]}`)}
}

// What an index answers is what a look at all of them answers.
func TestIndexesAnswerTheTruth(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha", withShadow)
	anna := a.user("anna", object{"externalId": "1", "schemas": []string{scim.UserURN, shadowURN}, shadowURN: object{"userName": "bob", "externalId": "2", "emails": []string{"bob@x.example"}}})
	a.user("bob", object{"externalId": "2", "emails": []object{{"value": "bob@x.example"}}})
	a.user("cid")
	a.user("5", object{"externalId": "true"})
	for i := range 3 {
		a.group(fmt.Sprint("crew", i), "", anna)
	}
	a.group("nobody", "")
	for filter, want := range map[string]string{
		shadowURN + `:userName eq "bob"`:                   "anna",
		shadowURN + `:externalId eq "2"`:                   "anna",
		shadowURN + `:emails eq "bob@x.example"`:           "anna",
		`userName eq "bob"`:                                "bob",
		`externalId eq null`:                               "cid",
		`userName eq 5`:                                    "5",
		`externalId eq true`:                               "5",
		`id eq "` + anna + `" and userName eq "anna"`:      "anna",
		`meta[resourceType eq "User"] and userName eq "b"`: "",
	} {
		a.list("/Users", "filter", filter).named(want)
	}
	all := "crew0 crew1 crew2"
	for filter, want := range map[string]string{
		`members.value eq "` + anna + `"`:                                 all,
		`members.value sw "` + anna[:8] + `"`:                             all,
		`members.value co "` + anna[9:] + `"`:                             all,
		`members.value eq null`:                                           "nobody",
		`members.value eq 5`:                                              "",
		`not (members.value eq 5 or members.value eq true)`:               all + " nobody",
		`members pr and members.value ne 5`:                               all,
		`members.value ne null`:                                           all,
		`displayName eq "crew1" and members.value ew "` + anna[20:] + `"`: "crew1",
		`displayName eq "nobody" and members pr`:                          "",
	} {
		a.list("/Groups", "filter", filter).named(want)
	}
	// Page by page each is there once, forwards and back.
	by := []string{"filter", `members.value eq "` + anna + `"`, "count", "1", "cursor"}
	cursor, got := "", []string{}
	for range 3 {
		page := a.list("/Groups", append(by, cursor)...)
		page.is("3", "totalResults")
		got, cursor = append(got, page.names()), fmt.Sprint(page.at("nextCursor"))
		if len(got) == 3 {
			a.list("/Groups", append(by, page.text("previousCursor"))...).named("crew1")
		}
	}
	if strings.Join(got, " ") != all || cursor != "<nil>" {
		t.Errorf("%v, then %s", got, cursor)
	}
}

// What an index answers costs a few rows, whatever there is beside it.
func TestIndexesReadLittle(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	ids, _ := a.people(300)
	for i := range 60 {
		a.group(fmt.Sprint("deck", i), "")
	}
	a.group("crew", "crew", ids...)
	for filter, path := range map[string]string{
		`id eq "` + ids[7] + `"`: "/Users", `userName eq "member7"`: "/Users", `members.value eq "` + ids[7] + `"`: "/Groups",
		`displayName eq "crew" and members.value eq "` + ids[7] + `"`: "/Groups", `displayName eq "crew" and members[value eq "` + ids[299] + `"]`: "/Groups",
	} {
		before := a.store.rows.Load()
		answer := a.list(path, "filter", filter, "attributes", "id").want(200)
		if read := a.store.rows.Load() - before; read > 15 {
			answer.errorf("%s: %d rows were read", filter, read)
		}
	}
	// A page that is full looks for no others among the groups.
	for i := range 3 {
		a.user(fmt.Sprint("x", i), object{"externalId": fmt.Sprint("x", i)})
	}
	first := a.list("/", "filter", `externalId sw "x"`, "count", "1", "cursor", "", "attributes", "id")
	before := a.store.rows.Load()
	a.list("/", "filter", `externalId sw "x"`, "count", "1", "cursor", first.text("nextCursor"), "attributes", "id").want(200)
	if read := a.store.rows.Load() - before; read > 15 {
		first.errorf("%d rows were read for the second page", read)
	}
	// So does a list of groups in the order of their first members.
	before = a.store.rows.Load()
	a.list("/Groups", "sortBy", "members.value", "attributes", "id", "count", "0").want(200)
	answer := a.list("/Groups", "sortBy", "members.value", "attributes", "id", "count", "1").want(200)
	answer.is(a.get(filtered("/Groups", `displayName eq "crew"`)).text("Resources", 0, "id"), "Resources", 0, "id")
	if read := a.store.rows.Load() - before; read > 600 {
		answer.errorf("%d rows were read", read)
	}
}

// Damage is an error of the query, not a resource that is not found or stands elsewhere.
func TestQueriesOfDamagedRecords(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha")
	group := a.group("crew", "", a.user("anna"))
	table := directory.Tables[slices.IndexFunc(directory.Tables, func(t *directory.Table) bool { return t.Name == "groups" })]
	var key []byte
	for k := range s.dump() {
		name, k, _ := strings.Cut(k, "\x00")
		if id := parse(group); name == "groups" && strings.HasSuffix(k, string(id[:])) {
			key = []byte(k)
		}
	}
	if err := s.store.Store.Update(t.Context(), func(w directory.Writer) error { return w.Put(table, key, []byte("{")) }); err != nil {
		t.Fatal(err)
	}
	for _, parameters := range [][]string{
		{"filter", `groups.display eq "other"`}, {"filter", `userName eq "anna" and groups.display pr`}, {"sortBy", "groups.display"},
	} {
		a.list("/Users", append(parameters, "attributes", "userName")...).want(500)
	}
	a.list("/Users", "filter", `userName eq "anna"`, "attributes", "userName").named("anna")
}

// A query whose client has gone looks no further.
func TestQueriesEndWithTheirClients(t *testing.T) {
	t.Parallel()
	var config scim.Config
	s := newServer(t, func(c *scim.Config) { config = *c })
	a := s.tenant("alpha")
	a.people(300)
	ask := func(ctx context.Context, method, query string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(ctx, method, "/scim/alpha/v2/Users?"+query, nil)
		r.Header.Set("Authorization", "Bearer "+a.token)
		w := httptest.NewRecorder()
		scim.NewHandler(config).ServeHTTP(w, r)
		return w
	}
	// HEAD costs no body, whoever serves.
	if w := ask(t.Context(), "HEAD", "count=3"); w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("Content-Length") == "" {
		t.Errorf("HEAD: %d, %d bytes", w.Code, w.Body.Len())
	}
	for _, query := range []string{"filter=title+pr", "filter=title+pr&cursor", "sortBy=title"} {
		ctx, cancel := context.WithCancel(t.Context())
		leave := func(table string) func() {
			if table == "users" {
				cancel()
			}
			return func() {}
		}
		s.store.scan.Store(&leave)
		before := s.store.rows.Load()
		w := ask(ctx, "GET", query)
		s.store.scan.Store(nil)
		if read := s.store.rows.Load() - before; w.Body.Len() > 0 || read > 100 || ctx.Err() == nil {
			t.Errorf("%s: %d rows were read for nobody, %s", query, read, w.Body)
		}
	}
}

// Who waits for a turn and goes leaves no place taken.
func TestTurnsOfClientsThatGo(t *testing.T) {
	t.Parallel()
	var handler *scim.Handler
	arrives := func() {}
	s := newServer(t, func(c *scim.Config) {
		direct := *c
		direct.Limits.QueryTime = time.Hour
		direct.BaseURL = func(*http.Request) string { arrives(); return "" }
		handler = scim.NewHandler(direct)
	})
	a := s.tenant("alpha")
	a.user("anna", object{"title": "x"})
	ask := func(ctx context.Context) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(ctx, "GET", "/scim/alpha/v2/Users?sortBy=title", nil)
		r.Header.Set("Authorization", "Bearer "+a.token)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	var inside atomic.Int64
	release := make(chan struct{})
	hold := func(table string) func() {
		if table == "users" {
			inside.Add(1)
			<-release
		}
		return func() {}
	}
	s.store.scan.Store(&hold)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { ask(t.Context()) })
	}
	for inside.Load() < 2 {
		runtime.Gosched()
	}
	gone, cancel := context.WithCancel(t.Context())
	arrives = cancel
	if w := ask(gone); w.Body.Len() > 0 {
		t.Errorf("an answer for nobody: %s", w.Body)
	}
	close(release)
	wg.Wait()
	for range 3 { // all turns are free again
		if w := ask(t.Context()); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}
