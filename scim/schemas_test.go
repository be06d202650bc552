package scim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/elimity-com/scim/schema"
	"github.com/google/go-cmp/cmp"
)

// describe lists the attributes of a schema, one a line, with every characteristic but the
// description.
func describe(s *Schema) map[string]string {
	lines := map[string]string{}
	var walk func(prefix string, attrs []*Attribute)
	walk = func(prefix string, attrs []*Attribute) {
		for _, a := range attrs {
			lines[prefix+a.Name] = fmt.Sprintf("%s multi=%v required=%v exact=%v %s %s %s canonical=%v refs=%v",
				a.Type, a.MultiValued, a.Required, a.CaseExact, a.Mutability, a.Returned, a.Uniqueness, a.CanonicalValues, a.ReferenceTypes)
			walk(prefix+a.Name+".", a.Sub)
		}
	}
	walk("", s.Attributes)
	return lines
}

// The corrections of the library's schemas are these and no others.
func TestSchemasAgainstLibrary(t *testing.T) {
	tests := []struct {
		ours    *Schema
		library schema.Schema
		want    []string
	}{
		{userSchema, schema.CoreUserSchema(), []string{
			"+ externalId string multi=false required=false exact=true readWrite default none canonical=[] refs=[]",
			"+ groups.$ref reference multi=false required=false exact=true readOnly default none canonical=[] refs=[Group]",
			"+ groups.value string multi=false required=false exact=true readOnly default none canonical=[] refs=[]",
			"+ profileUrl string multi=false required=false exact=false readWrite default none canonical=[] refs=[]",
			"- groups.$ref reference multi=false required=false exact=true readOnly default none canonical=[] refs=[User Group]",
			"- groups.value string multi=false required=false exact=false readOnly default none canonical=[] refs=[]",
			"- password string multi=false required=false exact=false writeOnly never none canonical=[] refs=[]",
			"- profileUrl reference multi=false required=false exact=true readWrite default none canonical=[] refs=[external]",
		}},
		{groupSchema, schema.CoreGroupSchema(), []string{
			"+ displayName string multi=false required=true exact=false readWrite default server canonical=[] refs=[]",
			"+ externalId string multi=false required=false exact=true readWrite default none canonical=[] refs=[]",
			"+ members.display string multi=false required=false exact=false readOnly default none canonical=[] refs=[]",
			"+ members.value string multi=false required=false exact=true immutable default none canonical=[] refs=[]",
			"- displayName string multi=false required=true exact=false readWrite default none canonical=[] refs=[]",
			"- members.display string multi=false required=false exact=false immutable default none canonical=[] refs=[]",
			"- members.value string multi=false required=false exact=false immutable default none canonical=[] refs=[]",
		}},
		{enterpriseSchema, schema.ExtensionEnterpriseUser(), nil},
	}
	for _, test := range tests {
		ours, theirs := describe(test.ours), describe(convertSchema(test.library))
		var got []string
		for name, line := range ours {
			if theirs[name] != line {
				got = append(got, "+ "+name+" "+line)
			}
		}
		for name, line := range theirs {
			if ours[name] != line {
				got = append(got, "- "+name+" "+line)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.ours.ID, diff)
		}
	}
}

// What the validators look for, whatever the library says in the future.
func TestSchemaFacts(t *testing.T) {
	user, group, enterprise, access := describe(userSchema), describe(groupSchema), describe(enterpriseSchema), describe(accessSchema)
	facts := []struct {
		schema      map[string]string
		attr, fact  string
		wantPresent bool
	}{
		{user, "userName", "string multi=false required=true exact=false readWrite default server", true},
		{user, "externalId", "exact=true readWrite", true},
		{user, "emails.type", "canonical=[work home other]", true},
		{user, "phoneNumbers.type", "canonical=[work home mobile fax pager other]", true},
		{user, "addresses.type", "canonical=[work home other]", true},
		{user, "roles.type", "canonical=[]", true},
		{user, "ims.type", "canonical=[aim gtalk icq xmpp msn skype qq yahoo]", true},
		{user, "photos.type", "canonical=[photo thumbnail]", true},
		{user, "addresses.primary", "boolean", true},
		{user, "profileUrl", "string", true},
		{user, "groups", "complex multi=true required=false exact=false readOnly", true},
		{user, "groups.type", "readOnly", true},
		{user, "groups.$ref", "readOnly", true},
		{user, "groups.display", "readOnly", true},
		{user, "password", "", false},
		{group, "displayName", "required=true exact=false readWrite default server", true},
		{group, "externalId", "exact=true", true},
		{group, "members.value", "immutable", true},
		{group, "members.type", "canonical=[User Group]", true},
		{group, "members.type", "immutable", true},
		{group, "members.display", "readOnly", true},
		{enterprise, "manager", "complex multi=false", true},
		{enterprise, "manager.value", "string", true},
		{enterprise, "manager.$ref", "refs=[User]", true},
		{enterprise, "manager.displayName", "readOnly", true},
		{access, "environments", "complex multi=true required=false exact=false readOnly", true},
		{access, "environments.active", "boolean multi=false required=false exact=false readOnly", true},
		{access, "environments.menus", "string multi=true required=false exact=false readOnly", true},
	}
	for _, f := range facts {
		if line, ok := f.schema[f.attr]; ok != f.wantPresent || !strings.Contains(line, f.fact) {
			t.Errorf("%s is %q, want %q", f.attr, line, f.fact)
		}
	}
	if userSchema.Description != "User Account" {
		t.Errorf("description %q", userSchema.Description)
	}
}

func TestParseSchema(t *testing.T) {
	s, err := ParseSchema([]byte(`{"id":"urn:ietf:params:scim:schemas:extension:fjord:2.0:User","meta":{"resourceType":"Schema"},"Attributes":[
		{"name":"berth"},
		{"NAME":"Crew-Codes_1","type":"reference","multiValued":true,"description":"d","required":true,"caseExact":false,"mutability":"immutable","returned":"request",
			"uniqueness":"none","referenceTypes":["User"],"canonicalValues":["a","b"],"subAttributes":[]},
		{"name":"home","type":"complex","subAttributes":[{"name":"$ref","type":"reference"},{"name":"value","type":"binary","returned":"always","mutability":"readOnly"}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"berth":        "string multi=false required=false exact=false readWrite default none canonical=[] refs=[]",
		"Crew-Codes_1": "reference multi=true required=true exact=false immutable request none canonical=[a b] refs=[User]",
		"home":         "complex multi=false required=false exact=false readWrite default none canonical=[] refs=[]",
		"home.$ref":    "reference multi=false required=false exact=true readWrite default none canonical=[] refs=[external]",
		"home.value":   "binary multi=false required=false exact=true readOnly always none canonical=[] refs=[]",
	}
	if diff := cmp.Diff(want, describe(s)); diff != "" {
		t.Error(diff)
	}
	if s.Name != s.ID || s.Attributes[1].Description != "d" {
		t.Errorf("name %q", s.Name)
	}

	// What is published can be read back.
	again, err := ParseSchema(appendSchema(nil, s, "https://x"))
	if diff := cmp.Diff(s, again); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}

func TestParseSchemaRefuses(t *testing.T) {
	const id = `"id":"urn:example:a:1.0:User"`
	attr := func(s string) string { return `{` + id + `,"attributes":[` + s + `]}` }
	tests := []struct{ doc, want string }{
		{`{`, "not valid JSON"},
		{`[]`, "must be a JSON object"},
		{`{}`, "id must be a URN"},
		{`{"id":"fjord","attributes":[{"name":"a"}]}`, "id must be a URN"},
		{`{"id":"urn:fjord","attributes":[{"name":"a"}]}`, "id must be a URN"},
		{`{"id":"urn:a::b","attributes":[{"name":"a"}]}`, "id must be a URN"},
		{`{"id":"urn:a:b c","attributes":[{"name":"a"}]}`, "id must be a URN"},
		{`{"id":"urn:a:b[c]","attributes":[{"name":"a"}]}`, "id must be a URN"},
		{`{"id":"urn:a:` + strings.Repeat("b", 200) + `","attributes":[{"name":"a"}]}`, "longer than 128"},
		{`{"id":7,"attributes":[{"name":"a"}]}`, "must be a string"},
		{`{"id":"` + strings.ToUpper(EnterpriseURN) + `","attributes":[{"name":"a"}]}`, "collides with the schema " + EnterpriseURN},
		{`{"id":"` + EnterpriseURN + `:manager","attributes":[{"name":"a"}]}`, "collides"},
		{`{"id":"urn:ietf:params:scim:schemas:extension:enterprise:2.0","attributes":[{"name":"a"}]}`, "collides"},
		{`{"id":"` + UserURN + `","attributes":[{"name":"a"}]}`, "collides"},
		{`{"id":"` + GroupURN + `","attributes":[{"name":"a"}]}`, "collides"},
		{`{"id":"` + AccessURN + `","attributes":[{"name":"a"}]}`, "collides"},
		{`{"id":"urn:ietf:params:scim:schemas:core:2.0:Device","attributes":[{"name":"a"}]}`, "reserved"},
		{`{"id":"urn:bizzstream:params:scim:x:User","attributes":[{"name":"a"}]}`, "reserved"},
		{`{"schemas":["` + UserURN + `"],` + id + `,"attributes":[{"name":"a"}]}`, "schemas must hold"},
		{`{` + id + `}`, "attributes must be a list"},
		{`{` + id + `,"attributes":[]}`, "attributes must be a list"},
		{`{` + id + `,"attributes":{}}`, "attributes must be a list"},
		{`{` + id + `,"attribute":[],"attributes":[{"name":"a"}]}`, `unknown member "attribute"`},
		{`{` + id + `,"name":7,"attributes":[{"name":"a"}]}`, "name of the schema must be a string"},
		{attr(`7`), "must be a JSON object"},
		{attr(`{}`), "is not an attribute name"},
		{attr(`{"name":"1a"}`), "is not an attribute name"},
		{attr(`{"name":"a b"}`), "is not an attribute name"},
		{attr(`{"name":"a.b"}`), "is not an attribute name"},
		{attr(`{"name":"$ref"}`), "is not an attribute name"},
		{attr(`{"name":"é"}`), "is not an attribute name"},
		{attr(`{"name":"a"},{"name":"A"}`), "A is defined twice"},
		{attr(`{"name":"a","type":"text"}`), "type of a is \"text\""},
		{attr(`{"name":"a","type":"String"}`), "type of a is \"String\""},
		{attr(`{"name":"a","multivalue":true}`), `unknown member "multivalue"`},
		{attr(`{"name":"a","required":"yes"}`), "required of a must be true or false"},
		{attr(`{"name":"a","mutability":"writeOnly"}`), "mutability of a"},
		{attr(`{"name":"a","returned":"never"}`), "returned of a"},
		{attr(`{"name":"a","uniqueness":"server"}`), "uniqueness of a"},
		{attr(`{"name":"a","canonicalValues":"x"}`), "must be a list of strings"},
		{attr(`{"name":"a","canonicalValues":[1]}`), "must be a list of strings"},
		{attr(`{"name":"a","type":"complex"}`), "needs a list subAttributes"},
		{attr(`{"name":"a","type":"complex","subAttributes":[]}`), "needs a list subAttributes"},
		{attr(`{"name":"a","type":"complex","subAttributes":{"name":"b"}}`), "needs a list subAttributes"},
		{attr(`{"name":"a","subAttributes":[{"name":"b"}]}`), "is not complex"},
		{attr(`{"name":"a","type":"complex","subAttributes":[{"name":"b"},{"name":"B"}]}`), "a.B is defined twice"},
		{attr(`{"name":"a","type":"complex","subAttributes":[{"name":"b","type":"complex","subAttributes":[{"name":"c"}]}]}`), "a.b cannot be complex"},
		{attr(`{"name":"a","description":"` + strings.Repeat("x", 1025) + `"}`), "longer than 1024"},
	}
	var many []string
	for i := range 201 {
		many = append(many, fmt.Sprintf(`{"name":"a%d"}`, i))
	}
	if _, err := ParseSchema([]byte(attr(strings.Join(many[:200], ",")))); err != nil {
		t.Errorf("200 attributes: %v", err)
	}
	tests = append(tests, struct{ doc, want string }{attr(strings.Join(many, ",")), "200 attributes"})
	for _, test := range tests {
		s, err := ParseSchema([]byte(test.doc))
		if err == nil || s != nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.100s: %v, want %q", test.doc, err, test.want)
		}
	}
}

func FuzzParseSchema(f *testing.F) {
	f.Add([]byte(crewSchema))
	f.Add([]byte(`{"id":"urn:a:b","attributes":[{"name":"a","type":"complex","subAttributes":[{"name":"b"}]}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		s, err := ParseSchema(doc)
		if err != nil {
			return
		}
		again, err := ParseSchema(appendSchema(nil, s, ""))
		if diff := cmp.Diff(s, again); diff != "" || err != nil {
			t.Fatalf("%v %s", err, diff)
		}
		var library schema.Schema
		if err := json.Unmarshal(appendSchema(nil, s, ""), &library); err != nil {
			t.Fatalf("the library cannot read what we publish: %v", err)
		}
	})
}

func TestNewResourceTypes(t *testing.T) {
	extension := func(id string) *Schema { return &Schema{ID: id, Attributes: []*Attribute{{Name: "a"}}} }
	a, b, c, d := extension("urn:x:a:User"), extension("urn:x:b"), extension("urn:x:c:group"), extension("URN:X:A:user")
	user, group := NewResourceTypes([]*Schema{a, b, c, d})
	if user.Name != "User" || user.Endpoint != "/Users" || group.Name != "Group" || group.Endpoint != "/Groups" {
		t.Error(user.Name, user.Endpoint, group.Name, group.Endpoint)
	}
	if !slices.Equal(user.Extensions, []*Schema{enterpriseSchema, a, b, accessSchema}) || !slices.Equal(group.Extensions, []*Schema{c}) {
		t.Errorf("extensions: %v, %v", user.Extensions, group.Extensions)
	}
}

func TestLookup(t *testing.T) {
	tests := []struct{ name, want string }{
		{"userName", "userName"}, {"USERNAME", "userName"}, {"externalId", "externalId"}, {"id", "id"}, {"meta.lastModified", "meta.lastModified"},
		{"schemas", "schemas"}, {"manager", EnterpriseURN + ":manager"}, {"manager.value", EnterpriseURN + ":manager.value"},
		{"environments.active", AccessURN + ":environments.active"}, {UserURN + ":id", "id"}, {crewURN + ":berth", crewURN + ":berth"},
		{EnterpriseURN, EnterpriseURN}, {UserURN, ""}, {"u\u017ferName", ""}, {"password", ""}, {UserURN + "x:userName", ""},
	}
	for _, test := range tests {
		ref, ok := testUser.lookup(test.name)
		if got := ref.path(); ok != (test.want != "") || ok && got != test.want {
			t.Errorf("%s: %s, %v", test.name, got, ok)
		}
	}

	// A URN may go on where another one ends.
	short := &Schema{ID: "urn:x:a:1.0:User", Attributes: []*Attribute{{Name: "b"}}}
	long := &Schema{ID: "urn:x:a:1.0:User:b:User", Attributes: []*Attribute{{Name: "c"}}}
	for _, list := range [][]*Schema{{short, long}, {long, short}} {
		user, _ := NewResourceTypes(list)
		for name, want := range map[string]string{short.ID + ":b": short.ID, long.ID + ":c": long.ID, long.ID: long.ID} {
			if ref, ok := user.lookup(name); !ok || ref.urn != want {
				t.Errorf("%s: %+v, %v", name, ref, ok)
			}
		}
	}
}
