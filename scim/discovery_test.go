package scim

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/elimity-com/scim/schema"
	"github.com/google/go-cmp/cmp"
)

const testBase = "https://scim.example.org/scim/t1/v2"

// checkDocument checks what every discovery document must be: JSON, without nulls and without
// empty texts or lists.
func checkDocument(t *testing.T, doc []byte) Value {
	t.Helper()
	v := parseTest(t, string(doc))
	var walk func(path string, v Value)
	walk = func(path string, v Value) {
		if v.Kind == Null || v.Kind == String && v.Text == "" || v.Kind == Array && len(v.Elems) == 0 || v.Kind == Object && len(v.Members) == 0 {
			t.Errorf("%s is empty", path)
		}
		for _, e := range v.Elems {
			walk(path+"[]", e)
		}
		for _, m := range v.Members {
			walk(path+"."+m.Name, m.Value)
		}
	}
	walk("", v)
	return v
}

func at(v Value, path string) Value {
	for name := range strings.SplitSeq(path, " ") {
		v, _ = v.Get(name)
	}
	return v
}

func TestSchemasDocument(t *testing.T) {
	list := schemas(testUser, testGroup)
	doc := checkDocument(t, appendSchemas(nil, list, testBase))
	want := []string{UserURN, GroupURN, EnterpriseURN, crewURN, AccessURN, configURN, resourceTypeURN, schemaURN}
	var got []string
	for _, s := range at(doc, "Resources").Elems {
		got = append(got, at(s, "id").Text)
		if location := at(s, "meta location").Text; location != testBase+"/Schemas/"+at(s, "id").Text || at(s, "meta resourceType").Text != "Schema" {
			t.Errorf("location %s", location)
		}
		if at(s, "schemas").Elems[0].Text != schemaURN {
			t.Errorf("%s without schemas", at(s, "id").Text)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if at(doc, "totalResults").Text != "8" || at(doc, "itemsPerPage").Text != "8" || at(doc, "startIndex").Text != "1" || at(doc, "schemas").Elems[0].Text != listURN {
		t.Errorf("not a ListResponse: %.200s", encode(doc))
	}
	if !strings.Contains(encode(doc), "User Account") {
		t.Error(`Microsoft's collection looks for "User Account"`)
	}
	if strings.Contains(encode(doc), `"password"`) {
		t.Error("password is published")
	}
	empty := parseTest(t, string(appendSchemas(nil, nil, testBase)))
	if at(empty, "Resources").Kind != Array {
		t.Error("no list of no schemas")
	}

	// The library reads each of them and finds the same. It cannot read the one with complex parts of complex attributes.
	for _, s := range list {
		if s.ID == schemaURN {
			continue
		}
		var library schema.Schema
		if err := json.Unmarshal(appendSchema(nil, s, testBase), &library); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(describe(s), describe(convertSchema(library))); diff != "" {
			t.Errorf("%s: %s", s.ID, diff)
		}
	}
}

// The schemas of discovery say what its documents hold: each member with its type, and nothing that is required is missing.
func TestSchemasOfDiscovery(t *testing.T) {
	config := ProviderConfig{MaxResults: 200, PageDefault: 100, BulkOperations: 100, BulkBytes: 1 << 20, DocumentationURI: documentation}
	list := schemas(testUser, testGroup)
	documents := map[string][]byte{"ServiceProviderConfig": appendServiceProviderConfig(nil, config, testBase)}
	for _, rt := range []*ResourceType{testUser, testGroup} {
		documents["ResourceType "+rt.Name] = appendResourceType(nil, rt, testBase)
	}
	for _, s := range list {
		documents["Schema "+s.ID] = appendSchema(nil, s, testBase)
	}
	for name, document := range documents {
		doc := parseTest(t, string(document))
		urn := at(doc, "schemas").Elems[0].Text
		i := slices.IndexFunc(list, func(s *Schema) bool { return s.ID == urn })
		if kind, _, _ := strings.Cut(name, " "); i < 0 || list[i].Name != kind {
			t.Errorf("%s: no schema %s of that name", name, urn)
			continue
		}
		doc.Members = slices.DeleteFunc(doc.Members, func(m Member) bool { return m.Name == "schemas" || m.Name == "meta" })
		describes(t, name, list[i].Attributes, doc)
	}
}

// describes fails for every member that the attributes do not have so, and for every required one that is missing.
func describes(t *testing.T, path string, attrs []*Attribute, v Value) {
	t.Helper()
	for _, m := range v.Members {
		at := path + "." + m.Name
		a := find(attrs, m.Name)
		if strings.HasSuffix(at, ".subAttributes.subAttributes") {
			continue // the schema of schemas is deeper by one level than it can say (RFC 7643 section 8.7.2)
		}
		if a == nil || a.Name != m.Name {
			t.Errorf("%s is not in its schema", at)
			continue
		}
		values := []Value{m.Value}
		if a.MultiValued {
			values = m.Value.Elems
		}
		kind := map[Type]Kind{TypeComplex: Object, TypeBoolean: Bool, TypeInteger: Number}[a.Type]
		if a.Type == TypeString || a.Type == TypeReference {
			kind = String
		}
		if a.MultiValued != (m.Value.Kind == Array) || a.Mutability != "readOnly" {
			t.Errorf("%s: multiValued %t, %s", at, a.MultiValued, a.Mutability)
		}
		for _, e := range values {
			if e.Kind != kind || len(a.CanonicalValues) > 0 && kind == String && !slices.Contains(a.CanonicalValues, e.Text) {
				t.Errorf("%s is %s, not a %s of %v", at, encode(e), a.Type, a.CanonicalValues)
			}
			describes(t, at, a.Sub, e)
		}
	}
	for _, a := range attrs {
		if _, ok := v.Get(a.Name); a.Required && !ok {
			t.Errorf("%s.%s is required, and missing", path, a.Name)
		}
	}
}

// Microsoft's gallery template derives from /Schemas the attributes that a mapping may name, by
// these rules, and fails when a mapped one is missing.
func TestSchemasHoldDefaultMapping(t *testing.T) {
	doc := parseTest(t, string(appendSchemas(nil, schemas(testUser, testGroup), testBase)))
	found := map[string]bool{}
	for _, s := range at(doc, "Resources").Elems {
		prefix := ""
		if id := at(s, "id").Text; strings.Contains(id, ":extension:") {
			prefix = id + ":"
		}
		for _, a := range at(s, "attributes").Elems {
			name := prefix + at(a, "name").Text
			subs := at(a, "subAttributes").Elems
			switch {
			case at(a, "type").Text == "reference":
			case len(subs) == 0 || strings.HasSuffix(name, "manager") || strings.HasSuffix(name, "members"):
				found[strings.ToLower(name)] = true
			case !at(a, "multiValued").Bool:
				for _, sub := range subs {
					found[strings.ToLower(name+"."+at(sub, "name").Text)] = true
				}
			default:
				selectors := []string{`[primary eq "True"]`}
				if i := slices.IndexFunc(subs, func(s Value) bool { return at(s, "name").Text == "type" }); i >= 0 {
					if canonical := at(subs[i], "canonicalValues").Elems; len(canonical) > 0 {
						selectors = nil
						for _, c := range canonical {
							selectors = append(selectors, `[type eq "`+c.Text+`"]`)
						}
					}
				}
				for _, selector := range selectors {
					for _, sub := range subs {
						found[strings.ToLower(name+selector+"."+at(sub, "name").Text)] = true
					}
				}
			}
		}
	}
	for _, target := range []string{"userName", "active", "displayName", "title", `emails[type eq "work"].value`, `emails[type eq "other"].value`, `emails[type eq "home"].value`,
		"preferredLanguage", "name.givenName", "name.familyName", "name.formatted", `addresses[type eq "work"].formatted`, `addresses[type eq "other"].formatted`,
		`addresses[type eq "work"].streetAddress`, `addresses[type eq "work"].locality`, `addresses[type eq "work"].region`, `addresses[type eq "work"].postalCode`,
		`addresses[type eq "work"].country`, `addresses[type eq "work"].primary`, `phoneNumbers[type eq "work"].value`, `phoneNumbers[type eq "mobile"].value`,
		`phoneNumbers[type eq "fax"].value`, `phoneNumbers[type eq "pager"].value`, "externalId", EnterpriseURN + ":employeeNumber", EnterpriseURN + ":department",
		EnterpriseURN + ":manager", "members", `roles[primary eq "True"].value`, `roles[primary eq "True"].display`, `roles[primary eq "True"].type`,
		"profileUrl", "locale", "timezone", "userType", "nickName", crewURN + ":berth"} {
		if !found[strings.ToLower(target)] {
			t.Errorf("%s cannot be discovered", target)
		}
	}
}

// anyVersion is meta.version of a discovery resource, which is a sum of its content.
var anyVersion = regexp.MustCompile(`,"version":"W/\\"[0-9]+\\""`)

func TestResourceTypesDocument(t *testing.T) {
	doc := checkDocument(t, appendResourceTypes(nil, []*ResourceType{testUser, testGroup}, testBase))
	want := parseTest(t, `{"schemas":["`+listURN+`"],"totalResults":2,"startIndex":1,"itemsPerPage":2,"Resources":[
		{"schemas":["`+resourceTypeURN+`"],"id":"User","name":"User","description":"User Account","endpoint":"/Users","schema":"`+UserURN+`","schemaExtensions":[
			{"schema":"`+EnterpriseURN+`","required":false},{"schema":"`+crewURN+`","required":false},{"schema":"`+AccessURN+`","required":false}],
			"meta":{"resourceType":"ResourceType","location":"`+testBase+`/ResourceTypes/User"}},
		{"schemas":["`+resourceTypeURN+`"],"id":"Group","name":"Group","description":"Group","endpoint":"/Groups","schema":"`+GroupURN+`",
			"meta":{"resourceType":"ResourceType","location":"`+testBase+`/ResourceTypes/Group"}}]}`)
	got := anyVersion.ReplaceAllString(encode(doc), "")
	if got != encode(want) {
		t.Errorf("\ngot  %s\nwant %s", got, encode(want))
	}
}

func TestServiceProviderConfigDocument(t *testing.T) {
	doc := checkDocument(t, appendServiceProviderConfig(nil, ProviderConfig{MaxResults: 200, PageDefault: 100, BulkOperations: 100, BulkBytes: 1 << 20}, testBase))
	want := parseTest(t, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
		"patch":{"supported":true},"bulk":{"supported":true,"maxOperations":100,"maxPayloadSize":1048576},"filter":{"supported":true,"maxResults":200},
		"changePassword":{"supported":false},"sort":{"supported":true},"etag":{"supported":true},
		"pagination":{"cursor":true,"index":true,"defaultPaginationMethod":"index","defaultPageSize":100,"maxPageSize":200,"cursorTimeout":3600},
		"authenticationSchemes":[
			{"type":"oauthbearertoken","name":"OAuth Bearer Token","description":"A token of this tenant in the Authorization header.","specUri":"https://www.rfc-editor.org/info/rfc6750","primary":true},
			{"type":"oauth2","name":"OAuth 2.0 Client Credentials","description":"Short-lived tokens from the token endpoint of this tenant.","specUri":"https://www.rfc-editor.org/info/rfc6749","primary":false}],
		"securityEvents":{"asyncRequest":"none","eventUris":["urn:ietf:params:scim:event:prov:create:notice","urn:ietf:params:scim:event:prov:patch:notice",
			"urn:ietf:params:scim:event:prov:put:notice","urn:ietf:params:scim:event:prov:delete","urn:ietf:params:scim:event:prov:activate","urn:ietf:params:scim:event:prov:deactivate"]},
		"meta":{"resourceType":"ServiceProviderConfig","location":"`+testBase+`/ServiceProviderConfig"}}`)
	got := anyVersion.ReplaceAllString(encode(doc), "")
	if got != encode(want) {
		t.Errorf("\ngot  %s\nwant %s", got, encode(want))
	}
	doc = checkDocument(t, appendServiceProviderConfig(nil, ProviderConfig{MaxResults: 7, DocumentationURI: "https://docs.example.org/\"x\""}, testBase))
	if at(doc, "documentationUri").Text != `https://docs.example.org/"x"` || at(doc, "filter maxResults").Text != "7" {
		t.Error(encode(doc))
	}
}
