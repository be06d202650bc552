package scim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/scim"
)

// What was likely meant for active, and is not understood, is refused: passed over, it would leave a leaver in.
func TestNothingAboutActiveIsPassedOver(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	user := a.user("anna")
	const core = scim.UserURN
	for _, path := range []string{"/active", "User.active", "value.active", core + ".active", core + ":User:active", "active.value", " active.value", "name.active"} {
		a.patch("/Users/"+user, object{"op": "replace", "path": path, "value": false}).want(400, "invalidPath")
		a.patch("/Users/"+user, object{"op": "replace", "value": object{path: false}}).want(400, "invalidPath")
		if path != " active.value" && path != "active.value" {
			a.request("PUT", "/Users/"+user, userBody("anna", object{path: false})).want(400, "invalidValue")
		}
	}
	for _, body := range []object{{"User": object{"active": false}}, {"\"active\"": false}} {
		a.patch("/Users/"+user, object{"op": "replace", "value": body}).want(400)
	}
	for name, value := range map[string]any{core: []object{{"active": false}}, core + ":active": false, "active ": false, "User": object{"active": false}} {
		a.request("PUT", "/Users/"+user, userBody("anna", object{name: value})).want(400, "invalidValue")
		a.request("POST", "/Users", userBody("bea", object{name: value})).want(400, "invalidValue")
	}
	a.request("PUT", "/Users/"+user, userBody("anna", object{core: object{"User": object{"active": false}}})).want(400, "invalidValue")
	a.get("/Users/"+user).is("true", "active")
	// Below the URN of its schema it is understood.
	a.request("PUT", "/Users/"+user, userBody("anna", object{core: object{"active": false}})).want(200).is("false", "active")
	a.request("PUT", "/Users/"+user, userBody("anna", object{core: object{"active": true}})).want(200).is("true", "active")
	// Names of other schemas are theirs, and keep nothing from happening.
	a.patch("/Users/"+user, object{"op": "replace", "path": "urn:example:else:2.0:User:active", "value": false}, object{"op": "replace", "path": "active", "value": false}).want(200).is("false", "active")
	a.request("PUT", "/Users/"+user, userBody("anna", object{"urn:example:else:2.0:User": object{"active": true}, "active": false})).want(200).is("false", "active")
}

// Values of the same type that differ in a case which does not count are one.
func TestValuesAreOneWhateverTheirCase(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	email := func(value, kind string) object { return object{"value": value, "type": kind} }
	user := a.request("POST", "/Users", userBody("anna", object{"emails": []object{email("a@x.example", "Work"), email("a@x.example", "work"), email("A@X.example", "work")}})).want(201).id()
	one := func(got *answer) {
		t.Helper()
		if got.len("emails") != 1 {
			got.errorf("%d values", got.len("emails"))
		}
		got.is("a@x.example", "emails", 0, "value")
	}
	one(a.get("/Users/" + user))
	version := a.get("/Users/"+user).text("meta", "version")
	one(a.patch("/Users/"+user, op("add", "emails", []object{email("A@X.EXAMPLE", "WORK")})).want(200))
	a.get("/Users/"+user).is(version, "meta", "version")
	many := []object{}
	for range 20 { // as many as are compared by their keys
		many = append(many, email("a@x.example", "work"), email("A@x.example", "WORK"))
	}
	one(a.request("PUT", "/Users/"+user, userBody("anna", object{"emails": many})).want(200))
	if got := a.patch("/Users/"+user, op("add", "emails", []object{email("a@x.example", "home")})).want(200); got.len("emails") != 2 {
		got.errorf("of another type, %d values", got.len("emails"))
	}
}

// A semicolon is a character of a value like others.
func TestSemicolonInAQuery(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	a.group("A;B", "")
	for _, query := range []string{`filter=displayName%20eq%20%22A;B%22`, `filter=displayName%20eq%20%22A%3BB%22`, `attributes=displayName;x&a;b=c`} {
		a.get("/Groups?"+query).want(200).is("1", "totalResults")
	}
	a.request("GET", "/Groups?filter=displayName%20eq%20%22A;B%22;count=1", nil).want(400, "invalidFilter")
}

// A query that would look at resources for too long says how to ask for less.
func TestQueriesEndInTime(t *testing.T) {
	t.Parallel()
	a := newServer(t, func(c *scim.Config) { c.Limits.QueryTime = time.Nanosecond }).tenant("alpha")
	for i := range 20 {
		a.user(string(rune('a'+i)) + "nna")
	}
	a.request("GET", "/Users?filter=title%20pr", nil).want(400, "tooMany")
	a.get("/Users?filter=userName%20eq%20%22anna%22").want(200).is("1", "totalResults")
	a.get("/Users").want(200)
}

// Each operation of a bulk that is no creation says where its resource is or would be, also when it failed before that was looked for.
func TestBulkTellsWhereItFailed(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	base := a.get("/Users/"+a.user("anna")).text("meta", "location")
	base = base[:strings.LastIndexByte(base, '/')]
	got := a.request("POST", "/Bulk", bulkBody([]object{
		{"method": "PUT", "path": "/Users", "data": object{}},
		{"method": "GET", "path": "/Users/" + unknownID},
		{"method": "POST", "path": "/Users", "data": object{}},
	})).want(200)
	got.is("405", "Operations", 0, "status")
	got.is(base, "Operations", 0, "location")
	got.is("400", "Operations", 1, "status")
	got.is(base+"/"+unknownID, "Operations", 1, "location")
	if got.at("Operations", 2, "location") != nil {
		got.errorf("a creation that failed has a location")
	}
}
