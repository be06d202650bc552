package scim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
)

const (
	bulkRequestURN  = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
	bulkResponseURN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
)

// bulkOp is an operation of a bulk. A POST gets its bulkId with name.
func bulkOp(method, path string, data any, more ...object) object {
	o := object{"method": method, "path": path}
	if data != nil {
		o["data"] = data
	}
	for _, m := range more {
		for k, v := range m {
			o[k] = v
		}
	}
	return o
}

func named(bulkID string) object    { return object{"bulkId": bulkID} }
func version(tag string) object     { return object{"version": tag} }
func failAfter(n any) object        { return object{"failOnErrors": n} }
func ref(bulkID string) string      { return "bulkId:" + bulkID }
func enterprise(more object) object { return object{scim.EnterpriseURN: more} }
func managedBy(id string) object    { return enterprise(object{"manager": object{"value": id}}) }

func bulkBody(ops []object, more ...object) object {
	o := object{"schemas": []string{bulkRequestURN}, "Operations": append([]object{}, ops...)}
	for _, m := range more {
		for k, v := range m {
			o[k] = v
		}
	}
	return o
}

// bulk sends a bulk that is answered, and checks what holds for every answer.
func (t *tenant) bulk(ops []object, more ...object) *bulkAnswer {
	t.Helper()
	a := &bulkAnswer{answer: t.request("POST", "/Bulk", bulkBody(ops, more...)).want(200), base: t.url + "/scim/" + t.name + "/v2"}
	a.is(`["`+bulkResponseURN+`"]`, "schemas")
	if doc, _ := a.doc.(object); len(doc) != 2 {
		a.errorf("members besides schemas and Operations")
	}
	for i := range a.len("Operations") {
		a.wire(i)
	}
	return a
}

type bulkAnswer struct {
	*answer
	base string
}

// wire checks the form of the answer of one operation (RFC 7644 section 3.7).
func (a *bulkAnswer) wire(i int) {
	a.t.Helper()
	entry, _ := a.at("Operations", i).(object)
	for name, v := range entry {
		if _, isText := v.(string); name != "response" && !isText || !slices.Contains([]string{"method", "bulkId", "location", "version", "status", "response"}, name) {
			a.errorf("operation %d has %s = %v", i, name, v)
		}
	}
	status, post := a.text("Operations", i, "status"), a.text("Operations", i, "method") == "POST"
	failed := status >= "400"
	if len(status) != 3 {
		a.errorf("operation %d has the status %q", i, status)
	}
	location := a.text("Operations", i, "location")
	if failed && post && location != "" || !failed && !strings.HasPrefix(location, a.base+"/") {
		a.errorf("operation %d has the location %q", i, location)
	}
	if (a.at("Operations", i, "response") != nil) != failed {
		a.errorf("operation %d: a response comes with errors alone", i)
	}
	if v := a.text("Operations", i, "version"); (v != "") == (failed || status == "204" && a.text("Operations", i, "method") == "DELETE") || v != "" && !strings.HasPrefix(v, `W/"`) {
		a.errorf("operation %d has the version %q", i, v)
	}
	if !failed {
		return
	}
	a.is(status, "Operations", i, "response", "status")
	a.is(`["`+errorURN+`"]`, "Operations", i, "response", "schemas")
	if a.text("Operations", i, "response", "detail") == "" {
		a.errorf("operation %d has an error without detail", i)
	}
}

// got checks the statuses of all operations, and scimTypes where they are given as "400 invalidValue".
func (a *bulkAnswer) got(want ...string) *bulkAnswer {
	a.t.Helper()
	list := []string{}
	for i := range a.len("Operations") {
		s := a.text("Operations", i, "status")
		if i < len(want) && strings.Contains(want[i], " ") {
			s += " " + a.text("Operations", i, "response", "scimType")
		}
		list = append(list, s)
	}
	if !slices.Equal(list, want) {
		a.errorf("operations are answered with %q, want %q", list, want)
	}
	return a
}

// id is that of the resource of an operation.
func (a *bulkAnswer) id(i int) string {
	location := a.text("Operations", i, "location")
	return location[strings.LastIndexByte(location, '/')+1:]
}

func (a *bulkAnswer) detail(i int, want string) {
	a.t.Helper()
	if got := a.text("Operations", i, "response", "detail"); !strings.Contains(got, want) {
		a.errorf("operation %d has the detail %q, without %q", i, got, want)
	}
}

func (t *tenant) manager(user string) string {
	t.Helper()
	return t.get("/Users/"+user).text(scim.EnterpriseURN, "manager", "value")
}

func TestBulkVerbs(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	anna, crew, old := a.user("anna"), a.group("crew", ""), a.user("old")
	got := a.bulk([]object{
		bulkOp("POST", "/Users", userBody("bo"), named("1")),
		bulkOp("PUT", "/Users/"+anna, userBody("anna", object{"title": "Chief"}), named("2")),
		bulkOp("PATCH", "/Users/"+anna, patch(op("replace", "displayName", "Anna"))),
		bulkOp("DELETE", "/Users/"+old, nil, named("4")),
		bulkOp("POST", "/Groups", groupBody("deck"), named("5")),
		bulkOp("PUT", "/Groups/"+crew, groupBody("Crew")),
		bulkOp("PATCH", "/Groups/"+crew, patch(op("add", "members", members(anna)))),
		bulkOp("POST", "/Groups", groupBody("short"), named("8")),
	}).got("201", "200", "200", "204", "201", "200", "204", "201")
	for i, want := range []string{"1", "2", "", "4", "5", "", "", "8"} {
		got.is(want, "Operations", i, "bulkId")
	}
	for i, path := range []string{1: "/Users/" + anna, 2: "/Users/" + anna, 3: "/Users/" + old, 5: "/Groups/" + crew, 6: "/Groups/" + crew} {
		if path != "" {
			got.is(got.base+path, "Operations", i, "location")
		}
	}
	a.get("/Users/"+got.id(0)).is("bo", "userName")
	user := a.get("/Users/" + anna)
	user.is("Chief", "title")
	user.is("Anna", "displayName")
	a.request("GET", "/Users/"+old, nil).want(404)
	group := a.get("/Groups/" + crew)
	group.is("Crew", "displayName")
	group.is(anna, "members", 0, "value")
	// The versions are those that the resources show.
	for i, path := range map[int]string{0: "/Users/" + got.id(0), 2: "/Users/" + anna, 4: "/Groups/" + got.id(4), 6: "/Groups/" + crew} {
		got.is(a.get(path).text("meta", "version"), "Operations", i, "version")
	}
	got.is(`W/"2"`, "Operations", 1, "version")

	a.set(func(r *directory.Tenant) { r.SCIM.UserPatchNoContent, r.SCIM.GroupPatchContent = true, true })
	a.bulk([]object{
		bulkOp("PATCH", "/Users/"+anna, patch(op("replace", "displayName", "A"))),
		bulkOp("PATCH", "/Groups/"+crew, patch(op("replace", "displayName", "C"))),
	}).got("204", "200")
}

func TestBulkReferences(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	// Forwards, backwards, in a circle, from groups to groups and people.
	got := a.bulk([]object{
		bulkOp("POST", "/Groups", groupBody("all", object{"members": members(ref("crew"), ref("bo"))}), named("all")),
		bulkOp("POST", "/Users", userBody("anna", managedBy(ref("bo"))), named("anna")),
		bulkOp("POST", "/Groups", groupBody("crew", object{"members": members(ref("anna"), ref("bo"))}), named("crew")),
		bulkOp("POST", "/Users", userBody("bo", managedBy(ref("anna"))), named("bo")),
		bulkOp("POST", "/Users", userBody("self", managedBy(ref("self"))), named("self")),
	}).got("201", "201", "201", "201", "201")
	all, anna, crew, bo, self := got.id(0), got.id(1), got.id(2), got.id(3), got.id(4)
	if m := a.members(all); !slices.Equal(m, slices.Sorted(slices.Values([]string{crew, bo}))) {
		t.Errorf("members of all: %v", m)
	}
	if m := a.members(crew); !slices.Equal(m, slices.Sorted(slices.Values([]string{anna, bo}))) {
		t.Errorf("members of crew: %v", m)
	}
	if a.manager(anna) != bo || a.manager(bo) != anna || a.manager(self) != self {
		t.Errorf("managers: %s %s %s", a.manager(anna), a.manager(bo), a.manager(self))
	}
}

// records is what the store holds but for the logs and the notes of use.
func (s *server) records() map[string]string {
	s.Helper()
	all := s.dump()
	maps.DeleteFunc(all, func(k, _ string) bool { return strings.HasPrefix(k, "log") || strings.HasPrefix(k, "tokens\x00") })
	return all
}

// unchanged runs fn, after which the store must hold what it held.
func (s *server) unchanged(fn func()) {
	s.Helper()
	before := s.records()
	fn()
	if diff := cmp.Diff(before, s.records()); diff != "" {
		s.Errorf("something has changed:\n%s", diff)
	}
}

func strict(t *directory.Tenant) { t.SCIM.Strict = true }

// Every shape in which a client refers to another resource.
func TestBulkReferenceShapes(t *testing.T) {
	t.Parallel()
	const urn = scim.EnterpriseURN
	for name, ops := range map[string][]object{
		"path":                    {op("Add", urn+":manager", ref("boss"))},
		"path of value":           {op("replace", urn+":manager.value", ref("boss"))},
		"object":                  {op("replace", urn+":manager", object{"value": ref("boss")})},
		"object with $ref":        {op("replace", urn+":manager", object{"value": ref("boss"), "$ref": "../Users/" + ref("boss")})},
		"list":                    {op("Add", "manager", []object{{"$ref": "https://x.example/Users/" + ref("boss"), "value": ref("boss")}})},
		"$ref alone is a bulkId":  {op("Add", "manager", object{"$ref": ref("boss"), "value": ref("boss")})},
		"without path":            {op("replace", "", object{urn + ":manager": ref("boss")})},
		"without path, nested":    {op("replace", "", object{urn: object{"manager": object{"value": ref("boss")}}})},
		"in upper case":           {op("Add", urn+":manager", "BULKID:boss")},
		"the second of two steps": {op("replace", "title", "x"), op("replace", urn+":manager", ref("boss"))},
	} {
		t.Run("manager, "+name, func(t *testing.T) {
			a := newServer(t).tenant("alpha")
			anna := a.user("anna")
			got := a.bulk([]object{
				bulkOp("PATCH", "/Users/"+anna, patch(ops...)),
				bulkOp("POST", "/Users", userBody("boss"), named("boss")),
			}).got("200", "201")
			if a.manager(anna) != got.id(1) {
				t.Errorf("the manager is %s, want %s", a.manager(anna), got.id(1))
			}
			wantNoBulkID(t, a.server)
		})
	}
	for name, shape := range map[string]any{
		"string": ref("boss"), "object": object{"value": ref("boss"), "$ref": nil}, "list": []object{{"value": ref("boss")}},
	} {
		for _, method := range []string{"POST", "PUT"} {
			t.Run("manager, "+method+" "+name, func(t *testing.T) {
				a := newServer(t).tenant("alpha")
				path := "/Users"
				if method == "PUT" {
					path += "/" + a.user("anna")
				}
				got := a.bulk([]object{
					bulkOp(method, path, userBody("anna", enterprise(object{"manager": shape})), named("anna")),
					bulkOp("POST", "/Users", userBody("boss"), named("boss")),
				})
				if a.manager(got.id(0)) != got.id(1) {
					got.errorf("the manager is %s, want %s", a.manager(got.id(0)), got.id(1))
				}
				wantNoBulkID(t, a.server)
			})
		}
	}
	for name, ops := range map[string][]object{
		"value objects":   {op("add", "members", members(ref("x")))},
		"one object":      {op("Add", "members", object{"value": ref("x"), "$ref": "../Users/" + ref("x"), "type": "User"})},
		"a text":          {op("add", "members", ref("x"))},
		"texts":           {op("replace", "members", []string{ref("x")})},
		"without path":    {op("replace", "", object{"members": members(ref("x"))})},
		"put in, out, in": {op("add", "members", members(ref("x"))), op("remove", `members[value eq "bulkId:x"]`), op("add", "members", members(ref("x")))},
	} {
		t.Run("members, "+name, func(t *testing.T) {
			a := newServer(t).tenant("alpha")
			crew := a.group("crew", "")
			got := a.bulk([]object{
				bulkOp("PATCH", "/Groups/"+crew, patch(ops...)),
				bulkOp("POST", "/Users", userBody("x"), named("x")),
			}).got("204", "201")
			if m := a.members(crew); !slices.Equal(m, []string{got.id(1)}) {
				t.Errorf("members: %v", m)
			}
		})
	}
	for name, remove := range map[string]object{
		"filter":                     op("remove", `members[value eq "bulkId:x"]`),
		"filter, escaped":            op("remove", `members[value eq "bulk\u0049d:x"]`),
		"filter of two":              op("remove", `members[(value eq "bulkId:nobody-else") or (value eq "bulkId:x")]`),
		"bare word":                  op("Remove", `members[value eq bulkId:x]`),
		"value list":                 op("Remove", "members", members(ref("x"))),
		"replace with nothing":       op("replace", `members[value eq "bulkId:x"]`, nil),
		"a name in a pathless value": op("replace", "", object{`members[value eq "bulkId:x"]`: ""}),
	} {
		t.Run("members, removal by "+name, func(t *testing.T) {
			a := newServer(t).tenant("alpha")
			anna := a.user("anna")
			crew := a.group("crew", "", anna)
			got := a.bulk([]object{
				bulkOp("POST", "/Users", userBody("y"), named("nobody-else")),
				bulkOp("POST", "/Users", userBody("x"), named("x")),
				bulkOp("PATCH", "/Groups/"+crew, patch(op("add", "members", members(ref("x"))))),
				bulkOp("PATCH", "/Groups/"+crew, patch(remove)),
			}).got("201", "201", "204", "204")
			if m := a.members(crew); !slices.Equal(m, []string{anna}) {
				got.errorf("members: %v", m)
			}
		})
	}
	t.Run("paths", func(t *testing.T) {
		a := newServer(t).tenant("alpha")
		got := a.bulk([]object{
			bulkOp("PATCH", "/Users/bulkId:x", patch(op("replace", "title", "by PATCH"))),
			bulkOp("PATCH", "/Groups/bulkId:g%20%22", patch(op("add", "members", members(ref("x"))))),
			bulkOp("DELETE", "/Users/bulkId:z", nil),
			bulkOp("POST", "/Users", userBody("x"), named("x")),
			bulkOp("POST", "/Groups", groupBody("g"), named(`g "`)),
			bulkOp("POST", "/Users", userBody("z"), named("z")),
			bulkOp("PUT", "/Users/bulkId:x", userBody("x", object{"nickName": "by PUT"})),
		}).got("200", "204", "204", "201", "201", "201", "200")
		got.is(got.base+"/Users/"+got.id(5), "Operations", 2, "location")
		for _, i := range []int{0, 3, 6} {
			got.is(got.base+"/Users/"+got.id(3), "Operations", i, "location")
		}
		user := a.get("/Users/" + got.id(3))
		user.is("by PUT", "nickName")
		user.is("", "title")
		user.is(got.id(4), "groups", 0, "value")
		a.request("GET", "/Users/"+got.id(5), nil).want(404)
		wantNoBulkID(t, a.server)
	})
}

func wantNoBulkID(t *testing.T, s *server) {
	t.Helper()
	for k, v := range s.dump() {
		if strings.Contains(strings.ToLower(k+v), "bulkid") {
			t.Errorf("kept: %q %q", k, v)
		}
	}
}

// What refers to nothing, or to what has failed, fails; the rest goes on, and nothing dangles.
func TestBulkBrokenReferences(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	anna := a.user("anna")
	crew := a.group("crew", "", anna)
	for name, x := range map[string]object{
		"a member":          bulkOp("POST", "/Groups", groupBody("g", object{"members": members(anna, ref("x"))}), named("g")),
		"a manager":         bulkOp("POST", "/Users", userBody("u", managedBy(ref("x"))), named("u")),
		"$ref of a manager": bulkOp("POST", "/Users", userBody("u", enterprise(object{"manager": object{"value": anna, "$ref": "../Users/" + ref("x")}})), named("u")),
		"another text":      bulkOp("POST", "/Users", userBody("u", object{"displayName": ref("x")}), named("u")),
		"PUT":               bulkOp("PUT", "/Users/"+anna, userBody("anna", managedBy(ref("x")))),
		"PATCH":             bulkOp("PATCH", "/Users/"+anna, patch(op("replace", "title", "x"), op("add", "manager", ref("x")))),
		"PATCH of members":  bulkOp("PATCH", "/Groups/"+crew, patch(op("remove", "members", members(anna)), op("add", "members", members(ref("x"))))),
		"a removal":         bulkOp("PATCH", "/Groups/"+crew, patch(op("remove", "members", members(ref("x"), anna)))),
		"a filter":          bulkOp("PATCH", "/Groups/"+crew, patch(op("remove", `members[value eq "bulkId:x"]`))),
		"a bare filter":     bulkOp("PATCH", "/Groups/"+crew, patch(op("remove", `members[value eq bulkId:x]`))),
		"a path":            bulkOp("DELETE", "/Users/"+ref("x"), nil),
	} {
		for why, cause := range map[string]struct {
			op     object
			status string
			detail string
		}{
			"nothing":               {bulkOp("POST", "/Users", userBody("anna"), named("X")), "400 invalidValue", `"x"`},
			"what is not created":   {bulkOp("PATCH", "/Users/"+anna, patch(), named("x")), "400 invalidValue", `"x"`},
			"a creation that fails": {bulkOp("POST", "/Users", userBody("ANNA"), named("x")), "409 ", `bulkId "x"`},
			"a wrong creation":      {bulkOp("POST", "/Nothing", userBody("x"), named("x")), "409 ", `bulkId "x"`},
			"a creation without a name": {bulkOp("POST", "/Users", object{"schemas": []string{scim.UserURN}}, named("x")),
				"409 ", `bulkId "x"`},
		} {
			a.unchanged(func() {
				ops := []object{x, cause.op, bulkOp("DELETE", "/Users/"+unknownID, nil)}
				got := a.bulk(ops)
				if status := got.text("Operations", 0, "status") + " " + got.text("Operations", 0, "response", "scimType"); status != cause.status {
					got.errorf("%s refers to %s: %s", name, why, status)
				}
				got.detail(0, cause.detail)
				got.is("404", "Operations", 2, "status")
			})
		}
	}
	// What is wrong with an operation itself is told first.
	a.bulk([]object{bulkOp("POST", "/Groups", groupBody("g", object{"members": members(ref("x"), ref("?"))}), named("g")),
		bulkOp("POST", "/Users", userBody("anna"), named("x"))}).got("400 invalidValue", "409")
	// A failure goes on from one to the next, as far as they are joined.
	ops := []object{bulkOp("POST", "/Users", userBody("anna"), named("0"))}
	for i := range 20 {
		ops = append(ops, bulkOp("POST", "/Users", userBody(a.unique("chain"), managedBy(ref(strconv.Itoa(i)))), named(strconv.Itoa(i+1))))
	}
	slices.Reverse(ops)
	a.unchanged(func() { a.bulk(ops).got(slices.Repeat([]string{"409"}, 21)...) })
}

// Creations in a circle are all made or none is.
func TestBulkCircles(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	a.user("taken")
	user := func(name, id, manager string) object {
		return bulkOp("POST", "/Users", userBody(name, managedBy(ref(manager))), named(id))
	}
	group := func(name, id string, ids ...string) object {
		for i := range ids {
			ids[i] = ref(ids[i])
		}
		return bulkOp("POST", "/Groups", groupBody(name, object{"members": members(ids...)}), named(id))
	}
	for name, x := range map[string]struct {
		ops  []object
		want []string
	}{
		"one name of three is taken":      {[]object{user("a", "a", "b"), user("b", "b", "c"), user("TAKEN", "c", "a")}, []string{"409 ", "409 ", "409 uniqueness"}},
		"one of two is no user":           {[]object{user("a", "a", "b"), user("", "b", "a")}, []string{"409 ", "400 invalidValue"}},
		"one of two goes nowhere":         {[]object{user("a", "a", "b"), bulkOp("POST", "/Pets", userBody("b", managedBy(ref("a"))), named("b"))}, []string{"409 ", "404 "}},
		"one also refers to nothing":      {[]object{user("a", "a", "b"), bulkOp("POST", "/Users", userBody("b", managedBy(ref("a")), object{"title": ref("?")}), named("b"))}, []string{"409 ", "400 invalidValue"}},
		"one also refers to what fails":   {[]object{user("a", "a", "b"), bulkOp("POST", "/Users", userBody("b", managedBy(ref("a")), object{"title": ref("c")}), named("b")), bulkOp("POST", "/Users", userBody("taken"), named("c"))}, []string{"409 ", "409 ", "409 uniqueness"}},
		"two of one name":                 {[]object{user("a", "a", "b"), user("A", "b", "a")}, []string{"409 ", "409 uniqueness"}},
		"groups in one another":           {[]object{group("a", "a", "b"), group("b", "b", "a")}, []string{"409 ", "409 "}},
		"a group in itself":               {[]object{group("a", "a", "a")}, []string{"409 "}},
		"groups over three corners":       {[]object{group("a", "a", "b"), group("b", "b", "c"), group("c", "c", "a")}, []string{"409 ", "409 ", "409 "}},
		"groups, and who manages them":    {[]object{group("a", "a", "b", "u"), user("u", "u", "a"), group("b", "b", "a")}, []string{"409 ", "409 ", "409 "}},
		"a circle, and what refers to it": {[]object{bulkOp("PATCH", "/Users/bulkId:a", patch()), user("a", "a", "b"), user("taken", "b", "a"), group("g", "g", "b")}, []string{"409 ", "409 ", "409 uniqueness", "409 "}},
	} {
		a.unchanged(func() {
			a.TB().Log(name)
			got := a.bulk(x.ops).got(x.want...)
			for i, want := range x.want {
				if want == "409 " && got.text("Operations", i, "response", "detail") == "" {
					got.errorf("%s: no detail", name)
				}
			}
		})
	}
	// People and groups in a circle are no circle of groups.
	got := a.bulk([]object{group("g", "g", "h", "u"), user("u", "u", "g"), group("h", "h", "u")}).got("201", "201", "201")
	if m := a.members(got.id(0)); !slices.Equal(m, slices.Sorted(slices.Values([]string{got.id(1), got.id(2)}))) {
		t.Errorf("members: %v", m)
	}
	// One circle is no matter of another one.
	got = a.bulk([]object{user("a", "a", "b"), user("c", "c", "d"), user("b", "b", "a"), user("taken", "d", "c"), user("e", "e", "a")}).
		got("201", "409 ", "201", "409 uniqueness", "201")
	if a.manager(got.id(0)) != got.id(2) || a.manager(got.id(2)) != got.id(0) || a.manager(got.id(4)) != got.id(0) {
		t.Error("managers")
	}
	// Groups that come into one another by operations of their own are refused as they are alone.
	a.bulk([]object{
		bulkOp("PATCH", "/Groups/"+ref("q"), patch(op("add", "members", members(ref("p"))))),
		bulkOp("POST", "/Groups", groupBody("p", object{"members": members(ref("q"))}), named("p")),
		bulkOp("POST", "/Groups", groupBody("q"), named("q")),
	}).got("400 invalidValue", "201", "201")
}

// A circle of many is one transaction of one commit, and a chain of the most there may be, backwards, is resolved.
func TestBulkLongReferences(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	var ring, chain []object
	for i := range 100 {
		ring = append(ring, bulkOp("POST", "/Users", userBody(a.unique("ring"), managedBy(ref(strconv.Itoa((i+1)%100)))), named(strconv.Itoa(i))))
		chain = append(chain, bulkOp("POST", "/Groups", groupBody(a.unique("chain"), object{"members": members(ref(strconv.Itoa(i + 1)))}), named(strconv.Itoa(i))))
	}
	chain[99]["data"] = groupBody("end")
	before := a.store.Stats().Updates
	got := a.bulk(ring).got(slices.Repeat([]string{"201"}, 100)...)
	if n := a.store.Stats().Updates - before; n > 2 { // the note of the token's use is another one
		t.Errorf("a circle took %d transactions", n)
	}
	for i := range 100 {
		if m := a.manager(got.id(i)); m != got.id((i+1)%100) {
			t.Fatalf("the manager of %d is %s", i, m)
		}
	}
	before = a.store.Stats().Updates
	got = a.bulk(chain).got(slices.Repeat([]string{"201"}, 100)...)
	if n := a.store.Stats().Updates - before; n < 100 {
		t.Errorf("a chain took %d transactions", n)
	}
	for i := range 99 {
		if m := a.members(got.id(i)); !slices.Equal(m, []string{got.id(i + 1)}) {
			t.Fatalf("the members of %d are %v", i, m)
		}
	}
}

// Operations keep the order of the request, where no reference wants another one.
func TestBulkOrder(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	anna, bo, cleo := a.user("anna"), a.user("bo"), a.user("cleo")
	crew := a.group("crew", "", anna)
	title := func(x string) object { return patch(op("replace", "title", x)) }
	got := a.bulk([]object{
		bulkOp("PATCH", "/Users/"+anna, patch(op("replace", "title", "1"), op("add", "manager", ref("new")))), // waits for the last
		bulkOp("PATCH", "/Users/"+anna, title("2")),                                                           // and so does this
		bulkOp("PATCH", "/Users/"+bo, title("1")),
		bulkOp("DELETE", "/Users/"+bo, nil),
		bulkOp("PATCH", "/Users/"+bo, title("2")),
		bulkOp("POST", "/Users", userBody("bo"), named("bo")), // the name is free again
		bulkOp("PATCH", "/Groups/"+crew, patch(op("add", "members", members(ref("new"))))),
		bulkOp("PATCH", "/Groups/"+crew, patch(op("remove", "members"))),
		bulkOp("POST", "/Users", userBody("dora", managedBy(ref("new"))), named("a")), // a circle stands where its last one does:
		bulkOp("PATCH", "/Users/"+cleo, patch(op("replace", "userName", "cleo.old"))),
		bulkOp("POST", "/Users", userBody("cleo", managedBy(ref("a"))), named("new")), // here
	}).got("200", "200", "200", "204", "404", "201", "204", "204", "201", "200", "201")
	a.get("/Users/"+anna).is("2", "title")
	if m := a.manager(anna); m != got.id(10) {
		got.errorf("the manager is %s", m)
	}
	if m := a.members(crew); len(m) > 0 {
		got.errorf("members are left: %v", m)
	}
}

// What is wrong with a bulk as a whole is refused before its first operation.
func TestBulkEnvelope(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	tolerant, exact := s.tenant("alpha"), s.tenant("exact", strict)
	create := bulkOp("POST", "/Users", userBody("anna"), named("1"))
	body := func(change func(object)) object {
		o := bulkBody([]object{create})
		change(o)
		return o
	}
	deep := func(n int) raw { // data that is nested n levels deep
		return raw(`{"schemas":["` + bulkRequestURN + `"],"Operations":[{"method":"POST","path":"/Users","bulkId":"1","data":{"userName":"deep","x":` +
			strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}}]}`)
	}
	for name, x := range map[string]struct {
		body     any
		scimType string
	}{
		"nothing":                      {raw(""), "invalidSyntax"},
		"no object":                    {raw("[]"), "invalidSyntax"},
		"two values":                   {raw(`{}{}`), "invalidSyntax"},
		"no schemas":                   {body(func(o object) { delete(o, "schemas") }), "invalidSyntax"},
		"schemas of something else":    {body(func(o object) { o["schemas"] = []string{patchOp, bulkResponseURN} }), "invalidSyntax"},
		"schemas in a text":            {body(func(o object) { o["schemas"] = bulkRequestURN }), "invalidSyntax"},
		"no Operations":                {body(func(o object) { delete(o, "Operations") }), "invalidSyntax"},
		"Operations that are no list":  {body(func(o object) { o["Operations"] = create }), "invalidSyntax"},
		"an operation that is a text":  {body(func(o object) { o["Operations"] = []any{create, "POST"} }), "invalidSyntax"},
		"an operation that is null":    {body(func(o object) { o["Operations"] = []any{create, nil} }), "invalidSyntax"},
		"a bulkId twice":               {bulkBody([]object{create, bulkOp("POST", "/Users", userBody("bo"), named("1"))}), "invalidValue"},
		"a bulkId twice, not of POSTs": {bulkBody([]object{create, bulkOp("DELETE", "/Users/"+unknownID, nil, named("1"))}), "invalidValue"},
		"a member twice":               {raw(`{"schemas":["` + bulkRequestURN + `"],"Operations":[{"method":"POST","method":"PUT"}]}`), "invalidSyntax"},
		"failOnErrors is negative":     {bulkBody([]object{create}, failAfter(-1)), "invalidValue"},
		"failOnErrors is a fraction":   {bulkBody([]object{create}, failAfter(1.5)), "invalidValue"},
		"failOnErrors is a text":       {bulkBody([]object{create}, failAfter("1")), "invalidValue"},
		"failOnErrors is a boolean":    {bulkBody([]object{create}, failAfter(true)), "invalidValue"},
		"failOnErrors is huge":         {bulkBody([]object{create}, failAfter(raw1e99)), "invalidValue"},
		"too deep":                     {deep(33), "invalidSyntax"},
	} {
		for _, a := range []*tenant{tolerant, exact} {
			a.unchanged(func() {
				if got := a.request("POST", "/Bulk", x.body).want(400, x.scimType); got.status != 400 {
					t.Errorf("%s is taken by %s", name, a.name)
				}
			})
		}
	}
	tolerant.request("POST", "/Bulk", deep(32)).want(200).is("201", "Operations", 0, "status")
	tolerant.bulk(nil).got()
	exact.request("POST", "/Bulk", bulkBody(nil)).want(400, "invalidSyntax")
	for _, a := range []*tenant{tolerant, exact} {
		a.request("POST", "/Bulk", bulkBody([]object{create}), "Content-Type", "text/plain").want(415)
		a.request("POST", "/Bulk", bulkBody([]object{create}, object{"more": 1}, failAfter(nil)), "Content-Type", "application/json").want(200).
			is("201", "Operations", 0, "status")
		a.request("GET", "/Bulk", nil).want(405).hasHeader("Allow", "POST, OPTIONS")
	}
	// A refused bulk is a line of the log, as any refused request.
	lines := s.tenant("bravo")
	lines.request("POST", "/Bulk", raw("[]")).want(400)
	if all := lines.waitLines(1); all[0].TargetType != "Bulk" || all[0].Answer != 400 || all[0].Status != directory.Failure {
		t.Errorf("the line: %+v", all[0])
	}
}

const raw1e99 = 1e99

// The limits are announced and kept, before anything is done.
func TestBulkLimits(t *testing.T) {
	t.Parallel()
	many := func(n int) (ops []object) {
		for i := range n {
			ops = append(ops, bulkOp("POST", "/Users", userBody(fmt.Sprint("many", i)), named(strconv.Itoa(i))))
		}
		return ops
	}
	// sized is a bulk of one user that has n bytes.
	sized := func(name string, n int) raw {
		body := string(must(json.Marshal(bulkBody([]object{bulkOp("POST", "/Users", userBody(name, object{"x": ""}), named("1"))}))))
		return raw(strings.Replace(body, `"x":""`, `"x":"`+strings.Repeat("x", n-len(body))+`"`, 1))
	}
	for name, x := range map[string]struct {
		set        func(*scim.Limits)
		operations int
		size       int
	}{
		"by default": {func(*scim.Limits) {}, 100, 1 << 20},
		"larger":     {func(l *scim.Limits) { l.BulkOperations, l.BulkBytes, l.BodyBytes = 200, 2<<20, 2000 }, 200, 2 << 20},
		"smaller":    {func(l *scim.Limits) { l.BulkOperations, l.BulkBytes = 3, 2000 }, 3, 2000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newServer(t, func(c *scim.Config) { x.set(&c.Limits) }).tenant("alpha")
			config := a.get("/ServiceProviderConfig")
			config.is("true", "bulk", "supported")
			config.is(strconv.Itoa(x.operations), "bulk", "maxOperations")
			config.is(strconv.Itoa(x.size), "bulk", "maxPayloadSize")
			a.unchanged(func() {
				got := a.request("POST", "/Bulk", bulkBody(many(x.operations+1))).want(413, "")
				if d := got.text("detail"); !strings.Contains(d, "maxOperations") || !strings.Contains(d, strconv.Itoa(x.operations)) {
					got.errorf("the limit is not named")
				}
				for _, body := range []any{sized("large", x.size+1), unannounced{strings.NewReader(string(sized("large", x.size+1)))}} {
					got = a.request("POST", "/Bulk", body).want(413, "")
					if d := got.text("detail"); !strings.Contains(d, "maxPayloadSize") || !strings.Contains(d, strconv.Itoa(x.size)) {
						got.errorf("the limit is not named")
					}
				}
			})
			a.bulk(many(x.operations)).got(slices.Repeat([]string{"201"}, x.operations)...)
			a.request("POST", "/Bulk", sized("fits", x.size)).want(200).is("201", "Operations", 0, "status")
		})
	}
}

// A bulk costs as many requests as it has operations. The announced maximum passes a full bucket of any size; what
// it takes beyond that is made up for before the next request.
func TestBulkRate(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *scim.Config) { c.Limits.RequestsPerSecond, c.Limits.Burst = 25, 40 })
	a := s.tenant("alpha")
	ops := func(n int) []object {
		return slices.Repeat([]object{bulkOp("DELETE", "/Users/"+unknownID, nil)}, n)
	}
	refused := func(n int) (wait time.Duration) {
		t.Helper()
		got := a.request("POST", "/Bulk", bulkBody(append([]object{bulkOp("POST", "/Users", userBody(a.unique("u")), named("1"))}, ops(n-1)...))).want(429)
		return time.Duration(must(strconv.Atoi(got.header.Get("Retry-After")))) * time.Second
	}
	a.bulk(ops(30)) // leaves 10
	a.unchanged(func() {
		if wait := refused(11); wait != time.Second { // which costs one
			t.Errorf("wait %s", wait)
		}
	})
	a.bulk(ops(9))
	a.request("GET", "/Users", nil).want(429)
	s.clock.Advance(2 * time.Second)
	a.bulk(ops(40))
	a.request("GET", "/Users", nil).want(429)
	s.clock.Advance(time.Second)
	a.unchanged(func() {
		if wait := refused(100); wait != time.Second {
			t.Errorf("wait %s", wait)
		}
	})
	s.clock.Advance(time.Second)
	a.bulk(ops(30))
	a.bulk(ops(9)) // leaves 1
	if wait := refused(40); wait != 2*time.Second {
		t.Errorf("wait %s", wait)
	}
	s.clock.Advance(2 * time.Second)
	a.bulk(ops(100)) // 60 more than the bucket holds
	got := a.request("GET", "/Users", nil).want(429)
	got.hasHeader("Retry-After", "3") // 60 + 1 at 25 a second
	s.clock.Advance(2 * time.Second)
	a.request("GET", "/Users", nil).want(429)
	s.clock.Advance(time.Second)
	a.get("/Users")
	b := s.tenant("bravo")
	b.get("/Users") // has a bucket of its own
}

// Each operation fails as the same request does alone, and the others go on.
func TestBulkOperationErrors(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	post := func(change object) object {
		return bulkOp("POST", "/Users", userBody(s.unique("new")), named(s.unique("id")), change)
	}
	long := strings.Repeat("x", 10_000)
	for name, x := range map[string]struct {
		op                 func(anna, crew string) object
		tolerant, strictly string
	}{
		"no method":                    {func(string, string) object { return post(object{"method": nil}) }, "400 invalidValue", ""},
		"a method that is none":        {func(string, string) object { return post(object{"method": "GET"}) }, "400 invalidValue", ""},
		"a long method":                {func(string, string) object { return post(object{"method": long}) }, "400 invalidValue", ""},
		"a method that is a number":    {func(string, string) object { return post(object{"method": 1}) }, "400 invalidValue", ""},
		"a method in lower case":       {func(string, string) object { return post(object{"method": "post"}) }, "201", "400 invalidValue"},
		"no bulkId":                    {func(string, string) object { return post(object{"bulkId": nil}) }, "400 invalidValue", ""},
		"an empty bulkId":              {func(string, string) object { return post(object{"bulkId": ""}) }, "400 invalidValue", ""},
		"a bulkId that is a number":    {func(string, string) object { return post(object{"bulkId": 7}) }, "400 invalidValue", ""},
		"a long bulkId":                {func(string, string) object { return post(object{"bulkId": long}) }, "400 invalidValue", ""},
		"a bulkId as long as may be":   {func(string, string) object { return post(object{"bulkId": long[:256]}) }, "201", ""},
		"a bulkId of JavaScript":       {func(string, string) object { return post(object{"bulkId": "__proto__"}) }, "201", ""},
		"a bulkId with odd characters": {func(string, string) object { return post(object{"bulkId": "\u2028 \"/\\:é\U0001F6A2"}) }, "201", ""},
		"no path":                      {func(string, string) object { return post(object{"path": nil}) }, "400 invalidValue", ""},
		"an empty path":                {func(string, string) object { return post(object{"path": ""}) }, "400 invalidValue", ""},
		"a path that is a number":      {func(string, string) object { return post(object{"path": 1}) }, "400 invalidValue", ""},
		"a path without a slash":       {func(string, string) object { return post(object{"path": "Users"}) }, "201", "400 invalidValue"},
		"a path with a slash behind":   {func(string, string) object { return post(object{"path": "/Users/"}) }, "201", ""},
		"a path with two slashes":      {func(string, string) object { return post(object{"path": "//Users"}) }, "404 ", ""},
		"two slashes behind":           {func(string, string) object { return post(object{"path": "/Users//"}) }, "404 ", ""},
		"another case":                 {func(string, string) object { return post(object{"path": "/users"}) }, "404 ", ""},
		"an absolute URL":              {func(string, string) object { return post(object{"path": s.url + "/scim/alpha/v2/Users"}) }, "404 ", "400 invalidValue"},
		"the path of the server":       {func(string, string) object { return post(object{"path": "/scim/alpha/v2/Users"}) }, "404 ", ""},
		"a bulk":                       {func(string, string) object { return post(object{"path": "/Bulk", "data": bulkBody(nil)}) }, "404 ", ""},
		"a bulk in a bulk":             {func(string, string) object { return post(object{"path": "/Users/../Bulk"}) }, "404 ", ""},
		"a schema":                     {func(string, string) object { return post(object{"path": "/Schemas"}) }, "404 ", ""},
		"an encoded path":              {func(string, string) object { return post(object{"path": "/%55sers"}) }, "404 ", ""},
		"an encoded slash":             {func(anna, _ string) object { return bulkOp("DELETE", "/Users%2F"+anna, nil) }, "404 ", ""},
		"an encoded slash in the id":   {func(anna, _ string) object { return bulkOp("DELETE", "/Users/..%2FUsers%2F"+anna, nil) }, "404 ", ""},
		"dots":                         {func(anna, _ string) object { return bulkOp("DELETE", "/Users/../Users/"+anna, nil) }, "404 ", ""},
		"encoded dots":                 {func(anna, _ string) object { return bulkOp("DELETE", "/Users/%2e%2e", nil) }, "404 ", ""},
		"a backslash":                  {func(anna, _ string) object { return bulkOp("DELETE", "/Users/\\"+anna, nil) }, "404 ", ""},
		"NUL":                          {func(anna, _ string) object { return bulkOp("DELETE", "/Users/"+anna+"%00", nil) }, "404 ", ""},
		"a broken escape":              {func(anna, _ string) object { return bulkOp("DELETE", "/Users/"+anna+"%zz", nil) }, "404 ", ""},
		"a query":                      {func(anna, _ string) object { return bulkOp("DELETE", "/Users/"+anna+"?x=y", nil) }, "404 ", ""},
		"a fragment":                   {func(anna, _ string) object { return bulkOp("DELETE", "/Users/"+anna+"#x", nil) }, "404 ", ""},
		"a part of a resource":         {func(anna, _ string) object { return bulkOp("DELETE", "/Users/"+anna+"/emails", nil) }, "404 ", ""},
		"upper case":                   {func(anna, _ string) object { return bulkOp("DELETE", "/Groups/"+strings.ToUpper(unknownID), nil) }, "404 ", ""},
		"of the other type":            {func(anna, _ string) object { return bulkOp("DELETE", "/Groups/"+anna, nil) }, "404 ", ""},
		"nobody":                       {func(string, string) object { return bulkOp("PATCH", "/Users/"+unknownID, patch()) }, "404 ", ""},
		"POST of a resource":           {func(anna, _ string) object { return post(object{"path": "/Users/" + anna}) }, "405 ", ""},
		"PUT of a collection":          {func(string, string) object { return bulkOp("PUT", "/Users", userBody("x")) }, "405 ", ""},
		"DELETE of a collection":       {func(string, string) object { return bulkOp("DELETE", "/Groups/", nil) }, "405 ", ""},
		"no data":                      {func(string, string) object { return post(object{"data": nil}) }, "400 invalidSyntax", ""},
		"PATCH without data":           {func(anna, _ string) object { return bulkOp("PATCH", "/Users/"+anna, nil) }, "400 invalidSyntax", ""},
		"data that is a text":          {func(string, string) object { return post(object{"data": `{"userName":"x"}`}) }, "400 invalidSyntax", ""},
		"data that is a list":          {func(string, string) object { return post(object{"data": []object{userBody("x")}}) }, "400 invalidSyntax", ""},
		"PATCH with a list": {func(anna, _ string) object {
			return bulkOp("PATCH", "/Users/"+anna, []object{op("replace", "title", "x")})
		}, "200", "400 invalidSyntax"},
		"PATCH without schemas": {func(anna, _ string) object {
			return bulkOp("PATCH", "/Users/"+anna, object{"Operations": []object{op("replace", "title", "x")}})
		}, "200", "400 invalidSyntax"},
		"a wrong path in a PATCH": {func(anna, _ string) object { return bulkOp("PATCH", "/Users/"+anna, patch(op("replace", "[", "x"))) }, "400 invalidPath", ""},
		"what is read-only":       {func(anna, _ string) object { return bulkOp("PATCH", "/Users/"+anna, patch(op("replace", "id", "x"))) }, "400 mutability", ""},
		"a name that is taken":    {func(string, string) object { return post(object{"data": userBody("ANNA")}) }, "409 uniqueness", ""},
		"no name":                 {func(string, string) object { return post(object{"data": userBody("")}) }, "400 invalidValue", ""},
		"an unknown attribute":    {func(string, string) object { return post(object{"data": userBody(s.unique("u"), object{"x": 1})}) }, "201", "400 invalidSyntax"},
		"a text for a boolean": {func(string, string) object {
			return post(object{"data": userBody(s.unique("u"), object{"active": "False"})})
		}, "201", "400 invalidValue"},
		"an unknown member": {func(_, crew string) object {
			return bulkOp("PATCH", "/Groups/"+crew, patch(op("add", "members", members(unknownID))))
		}, "400 invalidValue", ""},
		"too many members": {func(_, crew string) object {
			return bulkOp("PATCH", "/Groups/"+crew, patch(op("add", "members", slices.Repeat(members(unknownID), 1001))))
		}, "400 tooMany", ""},
		"a version that is a number": {func(anna, _ string) object { return bulkOp("DELETE", "/Users/"+anna, nil, object{"version": 1}) }, "400 invalidValue", ""},
	} {
		for _, strictly := range []bool{false, true} {
			want := x.tolerant
			if strictly && x.strictly != "" {
				want = x.strictly
			}
			a := s.tenant(s.unique("tenant"), func(r *directory.Tenant) { r.SCIM.Strict = strictly })
			anna := a.user("anna")
			crew := a.group("crew", "", anna)
			ok := bulkOp("PATCH", "/Users/"+anna, patch(op("replace", "nickName", "Ann")))
			try := func() {
				got := a.bulk([]object{x.op(anna, crew), ok})
				status := got.text("Operations", 0, "status")
				if status >= "400" {
					status += " " + got.text("Operations", 0, "response", "scimType")
				}
				if status != want || got.text("Operations", 1, "status") != "200" {
					got.errorf("%s, strict %t: %q, want %q", name, strictly, status, want)
				}
				if body := string(got.body); strings.Contains(body, long[:300]) && name != "a long bulkId" {
					t.Errorf("%s: the answer repeats it", name)
				}
			}
			if want > "4" {
				a.patch("/Users/"+anna, op("replace", "nickName", "Ann")).want(200) // so that the second one changes nothing
				a.unchanged(try)
			} else {
				try()
			}
		}
	}
}

// The version of an operation is its If-Match, in all forms that clients send.
func TestBulkVersions(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	anna := a.user("anna")
	crew := a.group("crew", "", anna)
	now := func(path string) string { return a.get(path).text("meta", "version") }
	for _, path := range []string{"/Users/" + anna, "/Groups/" + crew} {
		for _, form := range []string{"%s", "\"%s\"", "W/\"%s\"", "W/\"999\", \"%s\"", "*", ""} {
			for _, method := range []string{"PATCH", "PUT"} {
				count := strings.Trim(strings.TrimPrefix(now(path), "W/"), `"`)
				data := patch(op("replace", "externalId", a.unique("x")))
				if method == "PUT" {
					data = object{"userName": "anna", "displayName": "crew", "externalId": a.unique("x")}
				}
				tag := strings.ReplaceAll(form, "%s", count)
				got := a.bulk([]object{bulkOp(method, path, data, version(tag))})
				if s := got.text("Operations", 0, "status"); s >= "300" {
					got.errorf("version %s of %s", tag, now(path))
				}
				if form == "*" || form == "" {
					continue
				}
				a.unchanged(func() {
					a.bulk([]object{bulkOp(method, path, data, version(tag)), bulkOp("DELETE", path, nil, version(tag))}).got("412 ", "412 ")
				})
			}
		}
	}
	for _, tag := range []string{`W/""`, `""`, `"`, "W/", "x", "1, 2", `"0"`} {
		a.unchanged(func() { a.bulk([]object{bulkOp("DELETE", "/Users/"+anna, nil, version(tag))}).got("412 ") })
	}
	// Headers of the bulk are about no resource; a creation has no version.
	a.request("POST", "/Bulk", bulkBody([]object{
		bulkOp("PATCH", "/Users/"+anna, patch(op("replace", "title", "x"))),
		bulkOp("POST", "/Users", userBody("bo"), named("1"), version(`"7"`)),
	}), "If-Match", `"77"`, "If-None-Match", "*").want(200).is("200", "Operations", 0, "status")
	// What an operation answers is what the next one may ask for.
	got := a.bulk([]object{bulkOp("PATCH", "/Users/"+anna, patch(op("replace", "title", "y")))})
	a.bulk([]object{
		bulkOp("PATCH", "/Users/"+anna, patch(op("replace", "title", "z")), version(got.text("Operations", 0, "version"))),
		bulkOp("PATCH", "/Users/"+anna, patch(op("replace", "title", "!")), version(got.text("Operations", 0, "version"))),
		bulkOp("DELETE", "/Groups/"+crew, nil, version(now("/Groups/"+crew))),
	}).got("200", "412 ", "204")
	a.get("/Users/"+anna).is("z", "title")
}

// After as many errors as the client allows no other operation is tried.
func TestBulkFailOnErrors(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	a.user("anna")
	good := func(name string) object { return bulkOp("POST", "/Users", userBody(name), named(name)) }
	bad := bulkOp("DELETE", "/Users/"+unknownID, nil)
	ops := func(prefix string) []object {
		return []object{good(prefix + "1"), bad, good(prefix + "2"), bulkOp("GET", "/Users", nil), good(prefix + "3"), bad, good(prefix + "4")}
	}
	all := []string{"201", "404", "201", "400", "201", "404", "201"}
	for i, x := range []struct {
		after any
		tried int
	}{{nil, 7}, {0, 7}, {1, 2}, {2, 4}, {3, 6}, {4, 7}, {1 << 30, 7}} {
		prefix := fmt.Sprint("user", i, ".")
		got := a.bulk(ops(prefix), failAfter(x.after)).got(all[:x.tried]...)
		if n, made := a.get(filtered("/Users", `userName sw "`+prefix+`"`)).len("Resources"), (x.tried+1)/2; n != made {
			got.errorf("failOnErrors %v: %d users", x.after, n)
		}
	}
	// The answer is in the order of the request also where the work is not: the first waits, and is not reached.
	a.bulk([]object{
		bulkOp("POST", "/Groups", groupBody("g", object{"members": members(ref("x"))}), named("g")),
		good("before"), bad, good("x"),
	}, failAfter(1)).got("201", "404")
	// A circle that fails is as many errors as it has operations, and is tried as a whole.
	a.bulk([]object{
		bulkOp("POST", "/Users", userBody("a", managedBy(ref("b"))), named("a")),
		bulkOp("POST", "/Users", userBody("anna", managedBy(ref("a"))), named("b")),
		good("after.a.circle"), bad,
	}, failAfter(3)).got("409", "409", "201", "404")
}

// requestInBulk sends a write as the second operation of a bulk and gives its answer, which has no body but an error.
func (t *tenant) requestInBulk(tb testing.TB, method, path string, body any) *answer {
	tb.Helper()
	alone := *t
	alone.inBulk = false
	o := bulkOp(method, path, body)
	if method == http.MethodPost {
		o["bulkId"] = "1"
	}
	got := alone.bulk([]object{bulkOp("POST", "/Users", userBody(t.unique("first")), named("first")), o})
	a := *got.answer
	a.status = must(strconv.Atoi(got.text("Operations", 1, "status")))
	a.doc = got.at("Operations", 1, "response")
	return &a
}

// Operations leave what the same requests leave one by one, to the last byte of records, log lines and events.
func TestBulkIsOneByOne(t *testing.T) {
	t.Parallel()
	type scene struct {
		*tenant
		anna, bo, crew string
	}
	make := func() scene {
		a := newServer(t).tenant("alpha", withExtension)
		a.environment("production", "sync-1")
		s := scene{tenant: a, anna: a.user("anna", object{"externalId": "e-1"}), bo: a.user("bo")}
		s.crew = a.group("crew", "sync-1", s.anna, s.bo)
		a.signIn(a.account(s.anna).ID)
		a.signIn(a.account(s.bo).ID)
		return s
	}
	one, all := make(), make()
	ops := []object{
		bulkOp("POST", "/Users", userBody("cleo", object{"nosuch": 1, fjordURN: object{"berth": "B"}}), named("cleo")),
		bulkOp("POST", "/Groups", groupBody("deck", object{"externalId": "sync-1", "members": members(one.anna)}), named("deck")),
		bulkOp("PUT", "/Users/"+one.anna, userBody("anna.b", object{"externalId": "e-1", "title": "Chief"})),
		bulkOp("PATCH", "/Users/"+one.anna, patch(op("Replace", "active", "False"))),
		bulkOp("PATCH", "/Users/"+one.anna, patch(op("Replace", "active", "False"))), // changes nothing
		bulkOp("PATCH", "/Groups/"+one.crew, patch(op("Remove", "members", members(one.bo)), op("replace", "displayName", "Crew"))),
		bulkOp("PUT", "/Groups/"+one.crew, groupBody("Crew", object{"members": members(one.bo)})),
		bulkOp("DELETE", "/Users/"+one.bo, nil),
		bulkOp("DELETE", "/Groups/"+one.crew, nil),
	}
	for _, o := range ops {
		method, _ := o["method"].(string)
		path, _ := o["path"].(string)
		if a := one.request(method, path, o["data"], "X-Request-Id", "r"); a.status >= 300 {
			a.errorf("refused")
		}
	}
	all.request("POST", "/Bulk", bulkBody(ops), "X-Request-Id", "r").want(200)
	rows := func(s scene) map[string]string {
		m := s.dump()
		maps.DeleteFunc(m, func(k, _ string) bool {
			return strings.HasPrefix(k, "token") || strings.Contains(k, "session") || strings.HasPrefix(k, "audit")
		})
		return m
	}
	if diff := cmp.Diff(rows(one), rows(all)); diff != "" {
		t.Error(diff)
	}
	if lines := all.lines(); len(lines) < 10 || lines[len(lines)-1].Actor.Method != "DELETE" {
		t.Errorf("%d lines", len(lines))
	}
}

// What fails has a line of the log as the same request has alone.
func TestBulkLogOfFailures(t *testing.T) {
	t.Parallel()
	one, all := newServer(t).tenant("alpha"), newServer(t).tenant("alpha")
	ops := func(a *tenant) []object {
		anna := a.user("anna", object{"externalId": "e-1"})
		crew := a.group("crew", "g-1")
		return []object{
			bulkOp("POST", "/Users", userBody("anna"), named("1")),
			bulkOp("POST", "/Users", object{}, named("2")),
			bulkOp("PUT", "/Users/"+anna, userBody("x", object{"emails": 7})),
			bulkOp("PATCH", "/Users/"+anna, patch(op("bless", "x", "y"))),
			bulkOp("DELETE", "/Users/"+unknownID, nil),
			bulkOp("POST", "/Groups", groupBody("crew"), named("3")),
			bulkOp("PATCH", "/Groups/"+crew, patch(op("add", "members", members(unknownID)))),
			bulkOp("DELETE", "/Groups/x", nil),
		}
	}
	for _, o := range ops(one) {
		method, _ := o["method"].(string)
		path, _ := o["path"].(string)
		one.request(method, path, o["data"])
	}
	all.bulk(ops(all))
	const n = 2 + 8
	want, got := one.waitLines(n), all.waitLines(n)
	for i := range n {
		want[i].Actor.RequestID, got[i].Actor.RequestID = "", ""
		if diff := cmp.Diff(want[i], got[i]); diff != "" {
			t.Errorf("line %d: %s", i, diff)
		}
	}
	// What is a failure by the bulk alone is told with what it would have been.
	all.bulk([]object{bulkOp("POST", "/Users", userBody("bo", managedBy(ref("?"))), named("1")), bulkOp("GET", "/Users", nil),
		bulkOp("PATCH", "/Groups/bulkId:2", patch()), bulkOp("POST", "/Groups", groupBody("crew"), named("2"))})
	lines := all.waitLines(n + 4)[n:]
	for i, want := range []string{"create User 400", "other Bulk 400", "create Group 409", "update Group 409"} {
		if got := fmt.Sprint(lines[i].Action, " ", lines[i].TargetType, " ", lines[i].Answer); got != want {
			t.Errorf("line %d is %q, want %q", i, got, want)
		}
	}
}

// Every operation with everything of the other tenant that has an id, as with an id that nobody has.
func TestBulkIsSealed(t *testing.T) {
	t.Parallel()
	w := newTwo(t)
	crew := w.alpha.group("crew", "")
	for _, id := range w.ids {
		ops := func(id string) (list []object) {
			for _, path := range []string{"/Users/" + id, "/Groups/" + id, "/Users/../../../bravo/v2/Users/" + id, "/../../bravo/v2/Users/" + id, "/scim/bravo/v2/Users/" + id,
				"/Users/%2e%2e%2f%2e%2e%2f%2e%2e%2fbravo%2fv2%2fUsers%2f" + id, w.url + "/scim/bravo/v2/Users/" + id} {
				list = append(list, bulkOp("PUT", path, userBody("x", object{"displayName": "x"})), bulkOp("PATCH", path, patch(op("replace", "displayName", "x"))),
					bulkOp("DELETE", path, nil), bulkOp("DELETE", path, nil, version("*")))
			}
			return append(list,
				bulkOp("PATCH", "/Groups/"+crew, patch(op("add", "members", members(id)))),
				bulkOp("PATCH", "/Groups/"+crew, patch(op("remove", "members", members(id)))),
				bulkOp("POST", "/Groups", groupBody("g", object{"members": members(id)}), named("g")),
				bulkOp("PUT", "/Groups/"+crew, groupBody("crew", object{"members": members(id)})))
		}
		got := w.alpha.request("POST", "/Bulk", bulkBody(ops(id))).want(200)
		got.sameAs(w.alpha.request("POST", "/Bulk", bulkBody(ops(unknownID))), []string{id, url.PathEscape(id)}, []string{unknownID})
		wantNothing2(got, id)
	}
	// Neither is the endpoint of the other tenant reached with this one's token.
	w.alpha.request("POST", "/scim/bravo/v2/Bulk", bulkBody([]object{bulkOp("POST", "/Users", userBody("x"), named("1"))})).want(404)
	w.wantSealed(t)
}

// direct is a handler beside the one that serves, called without a network; hook is told of each step of a bulk: of the
// bulk itself as step 0, then of each operation.
func direct(t *testing.T, hook func(s *server, step int)) (a *tenant, bulk func(context.Context, []object) *httptest.ResponseRecorder) {
	t.Helper()
	var config scim.Config
	s := newServer(t, func(c *scim.Config) { config = *c })
	step := -1
	config.RequestID = func(*http.Request) string {
		step++
		hook(s, step)
		return ""
	}
	handler := scim.NewHandler(config)
	a = s.tenant("alpha")
	return a, func(ctx context.Context, ops []object) *httptest.ResponseRecorder {
		step = -1
		r := httptest.NewRequestWithContext(ctx, "POST", "/scim/alpha/v2/Bulk", bytes.NewReader(must(json.Marshal(bulkBody(ops)))))
		r.Header.Set("Content-Type", "application/scim+json")
		r.Header.Set("Authorization", "Bearer "+a.token)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
}

// When the client goes away what is done stays, whole, and nothing else is begun.
func TestBulkClientGoes(t *testing.T) {
	t.Parallel()
	for gone := range 6 {
		ctx, cancel := context.WithCancel(t.Context())
		a, bulk := direct(t, func(_ *server, step int) {
			if step == gone {
				cancel()
			}
			if step > gone && gone != 4 { // the fourth and fifth are one
				t.Errorf("gone at step %d: step %d is begun", gone, step)
			}
		})
		ops := []object{}
		for i := range 3 {
			ops = append(ops, bulkOp("POST", "/Users", userBody(fmt.Sprint("u", i)), named(strconv.Itoa(i))))
		}
		ops = append(ops, bulkOp("POST", "/Users", userBody("a", managedBy(ref("b"))), named("a")), bulkOp("POST", "/Users", userBody("b", managedBy(ref("a"))), named("b")))
		w := bulk(ctx, ops)
		if w.Body.Len() > 0 || len(w.Header()) > 0 {
			t.Errorf("gone at step %d: answered with %d %s", gone, w.Code, w.Body)
		}
		if n, want := a.get("/Users").text("totalResults"), strconv.Itoa(min(max(gone-1, 0), 3)); n != want {
			t.Errorf("gone at step %d: %s users, want %s", gone, n, want)
		}
		if lines := a.lines(); len(lines) != min(max(gone-1, 0), 3) {
			t.Errorf("gone at step %d: %d lines", gone, len(lines))
		}
		cancel()
	}
}

// When the store fails in the middle, each operation says of itself whether it happened.
func TestBulkStoreFails(t *testing.T) {
	t.Parallel()
	ops := []object{
		bulkOp("POST", "/Users", userBody("u"), named("0")),
		bulkOp("POST", "/Users", userBody("a", managedBy(ref("b"))), named("a")),
		bulkOp("POST", "/Users", userBody("b", managedBy(ref("a"))), named("b")),
		bulkOp("POST", "/Users", userBody("v"), named("3")),
	}
	for failing, want := range map[int]string{1: "500 500 500 500", 2: "201 500 500 500", 4: "201 201 201 500"} {
		a, bulk := direct(t, func(s *server, step int) {
			if step == failing {
				s.store.fail(nil, errDisk)
			}
		})
		w := bulk(t.Context(), ops)
		a.store.fail(nil, nil)
		var doc struct{ Operations []struct{ Status string } }
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		got, made := []string{}, 0
		for _, o := range doc.Operations {
			got = append(got, o.Status)
			if o.Status == "201" {
				made++
			}
		}
		if strings.Join(got, " ") != want || strings.Contains(w.Body.String(), "input/output") {
			t.Errorf("failing at step %d: %s", failing, w.Body)
		}
		a.get("/Users").is(strconv.Itoa(made), "totalResults")
	}
	// A commit that fails is the failure of the whole circle, and of none of its operations.
	a, bulk := direct(t, func(s *server, step int) {
		if step == 2 {
			s.store.failCommit.Store(&errDisk)
		}
	})
	w := bulk(t.Context(), ops[1:])
	a.store.failCommit.Store(nil)
	if n := strings.Count(w.Body.String(), `"status":"500","response"`); n != 3 {
		t.Errorf("%d operations of three: %s", n, w.Body)
	}
	a.get("/Users").is("0", "totalResults")
	// All is done, and what is missing is read for the answer alone.
	a, bulk = direct(t, func(s *server, step int) {
		if step == 4 {
			s.store.fail(errDisk, nil)
		}
	})
	w = bulk(t.Context(), ops)
	a.store.fail(nil, nil)
	if n := strings.Count(w.Body.String(), `"version":"W/\"1\""`); w.Code != 200 || n != 4 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Large operations, as many as fit, are carried out one after the other.
func TestBulkOfManyMembers(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	ids, _ := a.people(1000)
	var ops []object
	for i := range 10 {
		ops = append(ops, bulkOp("POST", "/Groups", groupBody(fmt.Sprint("g", i)), named(strconv.Itoa(i))),
			bulkOp("PATCH", "/Groups/"+ref(strconv.Itoa(i)), patch(op("add", "members", members(ids...)))))
	}
	got := a.bulk(ops).got(slices.Repeat([]string{"201", "204"}, 10)...)
	for i := range 10 {
		if n := len(a.members(got.id(2 * i))); n != 1000 {
			t.Errorf("group %d has %d members", i, n)
		}
	}
}

// The conditions of a bulk's own headers are about no resource: those of an operation are in its version.
func TestBulkHeadersAreNoConditions(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha")
	user, group := a.user("anna"), a.group("Sales", "sales")
	for _, header := range [][]string{{"If-Match", `W/"99"`}, {"If-None-Match", "*"}, {"If-None-Match", `W/"1"`}} {
		made := a.user(a.unique("u"))
		ops := []object{
			bulkOp("PATCH", "/Users/"+user, patch(op("replace", "title", a.unique("t")))),
			bulkOp("PUT", "/Groups/"+group, groupBody(a.unique("g"))),
			bulkOp("DELETE", "/Users/"+made, nil),
			bulkOp("PATCH", "/Users/"+user, patch(op("replace", "title", "x")), version(`W/"99"`)),
		}
		got := a.request("POST", "/Bulk", bulkBody(ops), header...).want(200)
		if all := strings.Join(got.values("status", "Operations"), " "); all != "200 200 204 412" {
			got.errorf("%s: %s", header, all)
		}
	}
}

// deadlines is an answer that keeps when its client must have read it.
type deadlines struct {
	*httptest.ResponseRecorder
	all []time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.all = append(d.all, t)
	return nil
}

// However long the work took, there is time for the answer.
func TestBulkAnswerHasItsTime(t *testing.T) {
	t.Parallel()
	var config scim.Config
	s := newServer(t, func(c *scim.Config) { config = *c })
	a := s.tenant("alpha")
	var begun time.Time // the last operation
	config.RequestID = func(*http.Request) string { begun = time.Now(); return "" }
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/scim/alpha/v2/Bulk", bytes.NewReader(must(json.Marshal(bulkBody([]object{bulkOp("POST", "/Users", userBody("u"), named("1"))})))))
	r.Header.Set("Content-Type", "application/scim+json")
	r.Header.Set("Authorization", "Bearer "+a.token)
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	scim.NewHandler(config).ServeHTTP(w, r)
	if w.Code != 200 || len(w.all) != 1 || w.all[0].Before(begun.Add(30*time.Second)) {
		t.Errorf("%d, deadlines %v, the last operation at %v", w.Code, w.all, begun)
	}
}
