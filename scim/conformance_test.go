package scim_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
)

// clause is one sentence of a standard that binds a service provider, with what shows that it is kept. Its row in
// docs/conformance.md has the same number.
type clause struct {
	id    string
	check func(*tenant) // holds in strict and in tolerant mode
	// tolerant is what tolerant mode does in place of check, for the sake of a client that the document names; nil: the same.
	tolerant func(*tenant)
}

// conform runs each clause on a server of its own: once for a tenant in strict mode, once for one in tolerant mode.
func conform(t *testing.T, clauses []clause, options ...option) {
	t.Helper()
	t.Parallel()
	for _, c := range clauses {
		t.Run(c.id, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, options...)
			extensions := []json.RawMessage{json.RawMessage(trialExtension)}
			c.check(s.tenant("strict", scimOptions(directory.SCIMOptions{Strict: true, Extensions: extensions})))
			if c.tolerant == nil {
				c.tolerant = c.check
			}
			c.tolerant(s.tenant("tolerant", scimOptions(directory.SCIMOptions{Extensions: extensions})))
		})
	}
}

// allClauses is what the conformance tests show, by the name of the test.
func allClauses() map[string][]clause {
	return map[string][]clause{
		"TestConformance7643":     clauses7643,
		"TestConformance7644":     clauses7644,
		"TestConformance9865":     clauses9865,
		"TestConformanceProfiles": clausesProfiles,
	}
}

// trialExtension has an attribute of each type and of each characteristic.
const trialExtension = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Schema"],"id":"` + trialURN + `","name":"Trial","attributes":[
	{"name":"plain","type":"string"},
	{"name":"exact","type":"string","caseExact":true},
	{"name":"flag","type":"boolean"},
	{"name":"level","type":"integer"},
	{"name":"weight","type":"decimal"},
	{"name":"hired","type":"dateTime"},
	{"name":"key","type":"binary"},
	{"name":"link","type":"reference","referenceTypes":["external"]},
	{"name":"once","type":"string","mutability":"immutable"},
	{"name":"ours","type":"string","mutability":"readOnly"},
	{"name":"always","type":"string","returned":"always"},
	{"name":"asked","type":"string","returned":"request"},
	{"name":"place","type":"complex","subAttributes":[{"name":"deck","type":"string"},{"name":"cabin","type":"string"}]},
	{"name":"codes","type":"string","multiValued":true},
	{"name":"berths","type":"complex","multiValued":true,"subAttributes":[{"name":"value","type":"string"},{"name":"type","type":"string"},
		{"name":"display","type":"string"},{"name":"primary","type":"boolean"}]}]}`

const trialURN = "urn:example:params:scim:schemas:extension:trial:2.0:User"

// strictUser is a user as a client sends it that keeps to the letter.
func strictUser(userName string, more ...object) object {
	o := userBody(userName, more...)
	for _, urn := range []string{scim.EnterpriseURN, trialURN} {
		if o[urn] != nil {
			o["schemas"] = append(o["schemas"].([]string), urn)
		}
	}
	return o
}

// trial is a user's body with something of the extension.
func trial(userName string, of object) object { return strictUser(userName, object{trialURN: of}) }

// made creates a user and returns its path.
func (t *tenant) made(body object) string {
	t.Helper()
	return "/Users/" + t.request("POST", "/Users", body).want(201).id()
}

// madeGroup creates a group and returns its path.
func (t *tenant) madeGroup(name string, more ...object) string {
	t.Helper()
	return "/Groups/" + t.request("POST", "/Groups", groupBody(name, more...)).want(201).id()
}

// id is the last segment of the path of a resource.
func idOf(path string) string { return path[strings.LastIndex(path, "/")+1:] }

// finds checks how many resources a filter finds.
func (t *tenant) finds(n int, resource, filter string) {
	t.Helper()
	got := t.get(filtered(resource, filter))
	if got.len("Resources") != n || got.text("totalResults") != string(must(json.Marshal(n))) {
		got.errorf("%s finds %d, want %d", filter, got.len("Resources"), n)
	}
}

// refuses checks that a request is refused and that it changed nothing of the resource at item ("" for none).
func (t *tenant) refuses(status int, scimType, method, path string, body any, item string) {
	t.Helper()
	var before string
	if item != "" {
		before = string(t.get(item).body)
	}
	t.request(method, path, body).want(status, scimType)
	if item != "" && string(t.get(item).body) != before {
		t.Errorf("%s %s was refused and changed the resource", method, path)
	}
}

// each calls fn for every element of a list.
func (a *answer) each(fn func(object), path ...any) {
	list, _ := a.at(path...).([]any)
	for _, e := range list {
		if o, ok := e.(map[string]any); ok {
			fn(o)
		}
	}
}

// attributesOf calls fn for every published attribute and sub-attribute, with the names that lead there.
func (t *tenant) attributesOf(fn func(schema, path string, a object)) {
	t.Helper()
	got := t.get("/Schemas")
	got.each(func(s object) {
		var walk func(prefix string, list any)
		walk = func(prefix string, list any) {
			elems, _ := list.([]any)
			for _, e := range elems {
				a, _ := e.(map[string]any)
				name, _ := a["name"].(string)
				id, _ := s["id"].(string)
				fn(id, prefix+name, a)
				walk(prefix+name+".", a["subAttributes"])
			}
		}
		walk("", s["attributes"])
	}, "Resources")
}

// everywhere calls fn with every kind of answer that shows a user.
func (t *tenant) everywhere(fn func(*answer)) {
	t.Helper()
	created := t.request("POST", "/Users", strictUser("everywhere", object{"title": "one"})).want(201)
	item := "/Users/" + created.id()
	list := t.get(filtered("/Users", `userName eq "everywhere"`))
	for _, a := range []*answer{created, t.get(item), t.request("PUT", item, strictUser("everywhere", object{"title": "two"})).want(200),
		t.patch(item, op("replace", "title", "three")).want(200), {t: t.TB(), what: "list", doc: list.at("Resources", 0), header: http.Header{}}} {
		fn(a)
	}
}

var (
	uuidForm     = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	dateTimeForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`)
	nameForm     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_$-]*$`)
)

// follow sends a GET to an absolute URL that an answer holds.
func (t *tenant) follow(ref string) *answer {
	t.Helper()
	u, err := url.Parse(ref)
	if err != nil || !u.IsAbs() || !strings.HasPrefix(ref, t.url+"/scim/"+t.name+"/v2/") {
		t.Errorf("%q is no absolute URL of this tenant", ref)
		return t.get("/Users")
	}
	return t.request("GET", u.Path, nil)
}
