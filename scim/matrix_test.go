package scim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
)

// The matrices: what a tenant in tolerant mode answers and keeps, and what one in strict mode does. A row is named after
// the section of the RFC that it is about (7643 or 7644) and what it shows; names are stable, because docs/conformance.md
// refers to them. Where tolerant mode takes what strict mode refuses, needs says which client sends it.
//
// In texts, E: and "E" stand for the URN of the enterprise extension, M and N for those of the two extensions below.

const (
	matrixURN = "urn:example:params:scim:schemas:extension:matrix:2.0:User"
	needyURN  = "urn:example:params:scim:schemas:extension:needy:2.0:User"
)

// matrixExtensions have every type, mutability and kind of return, and things that are required.
func matrixExtensions(t *directory.Tenant) {
	t.SCIM.Extensions = []json.RawMessage{json.RawMessage(`{"id":"` + matrixURN + `","name":"Matrix","attributes":[
		{"name":"text","type":"string"},
		{"name":"exact","type":"string","caseExact":true},
		{"name":"flag","type":"boolean"},
		{"name":"whole","type":"integer"},
		{"name":"real","type":"decimal"},
		{"name":"when","type":"dateTime"},
		{"name":"bytes","type":"binary"},
		{"name":"link","type":"reference","referenceTypes":["external"]},
		{"name":"home","type":"reference","referenceTypes":["User"]},
		{"name":"texts","type":"string","multiValued":true},
		{"name":"exacts","type":"string","multiValued":true,"caseExact":true},
		{"name":"numbers","type":"integer","multiValued":true},
		{"name":"colour","type":"string","canonicalValues":["red","blue"]},
		{"name":"part","type":"complex","subAttributes":[{"name":"text","type":"string"},{"name":"flag","type":"boolean"},
			{"name":"fixed","type":"string","mutability":"immutable"},{"name":"given","type":"string","mutability":"readOnly"}]},
		{"name":"items","type":"complex","multiValued":true,"subAttributes":[{"name":"value","type":"string"},{"name":"type","type":"string"},
			{"name":"primary","type":"boolean"},{"name":"fixed","type":"string","mutability":"immutable"},{"name":"note","type":"string","returned":"request"}]},
		{"name":"fixed","type":"string","mutability":"immutable"},
		{"name":"given","type":"string","mutability":"readOnly"},
		{"name":"shown","type":"string","returned":"always"},
		{"name":"asked","type":"string","returned":"request"}]}`),
		json.RawMessage(`{"id":"` + needyURN + `","name":"Needy","attributes":[
		{"name":"needed","type":"string","required":true},
		{"name":"other","type":"string"},
		{"name":"parts","type":"complex","multiValued":true,"subAttributes":[{"name":"needed","type":"string","required":true},{"name":"other","type":"string"}]}]}`)}
}

var matrixWords = strings.NewReplacer(`"E"`, `"`+scim.EnterpriseURN+`"`, `E:`, scim.EnterpriseURN+":", `"M"`, `"`+matrixURN+`"`, `M:`, matrixURN+":",
	`"N"`, `"`+needyURN+`"`, `N:`, needyURN+":", `"U"`, `"`+scim.UserURN+`"`, `U:`, scim.UserURN+":", `"G"`, `"`+scim.GroupURN+`"`)

// matrix is a server with a tenant of each mode.
type matrix struct {
	*server
	columns map[string]*tenant
}

func newMatrix(t *testing.T) *matrix {
	s := newServer(t)
	m := &matrix{server: s, columns: map[string]*tenant{"tolerant": s.tenant("tolerant", matrixExtensions), "strict": s.tenant("strict", matrixExtensions)}}
	m.columns["strict"].set(func(r *directory.Tenant) { r.SCIM.Strict = true })
	return m
}

// run runs fn for each mode, as a subtest below the row's.
func (m *matrix) run(t *testing.T, name string, fn func(t *testing.T, a *tenant, strict bool)) {
	t.Run(name, func(t *testing.T) {
		for _, mode := range []string{"tolerant", "strict"} {
			t.Run(mode, func(t *testing.T) { fn(t, m.columns[mode], mode == "strict") })
		}
	})
}

// object makes a body of JSON text with a userName of its own and the schemas of what it holds.
func (m *matrix) object(members string) (body object, name string) {
	name = m.unique("user")
	body, _ = decoded(matrixWords.Replace("{" + members + "}")).(object)
	if _, said := body["userName"]; !said {
		body["userName"] = name
	}
	if _, said := body["schemas"]; !said {
		urns := []string{scim.UserURN}
		for _, urn := range []string{scim.EnterpriseURN, matrixURN, needyURN} {
			if body[urn] != nil {
				urns = append(urns, urn)
			}
		}
		body["schemas"] = urns
	}
	return body, name
}

// kept reads what is kept of a resource, also what is returned on request alone.
func kept(t *testing.T, a *tenant, path string) *answer {
	t.Helper()
	got := a.requestAs(t, "GET", path, nil).want(200)
	asked := a.requestAs(t, "GET", path+"?attributes="+url.QueryEscape(matrixWords.Replace("M:asked,M:items.note,M:items.value")), nil)
	doc, _ := got.doc.(object)
	more, _ := asked.at(matrixURN).(object)
	if v, has := more["asked"]; has {
		ext, _ := doc[matrixURN].(object)
		if ext == nil {
			ext = object{}
		}
		ext = maps.Clone(ext)
		ext["asked"] = v
		doc[matrixURN] = ext
	}
	return got
}

// fact finds a value by a short path: E.manager.value, emails.0.type.
func (a *answer) fact(path string) string {
	var steps []any
	for s := range strings.SplitSeq(path, ".") {
		switch n, err := strconv.Atoi(s); {
		case err == nil:
			steps = append(steps, n)
		case s == "E":
			steps = append(steps, scim.EnterpriseURN)
		case s == "M":
			steps = append(steps, matrixURN)
		case s == "N":
			steps = append(steps, needyURN)
		default:
			steps = append(steps, s)
		}
	}
	v := a.at(steps...)
	if v == nil {
		return "-"
	}
	return string(must(json.Marshal(v)))
}

// TestMatrixValues: which values an attribute of each type takes, by every way of writing it.
func TestMatrixValues(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	const same, none, bad = "same", "-", "invalidValue" // kept as it was sent; unassigned; refused
	long := strings.Repeat("x", 1025)
	for _, row := range []struct {
		name, attr, value string
		tolerant, strict  string // same, none, JSON that is kept, or a scimType
		patch, strictly   string // the same by PATCH, where that differs
		needs             string
	}{
		{name: "7643-2.3.1 string", attr: "text", value: `"Ä \" a"`, tolerant: same, strict: same},
		{name: "7643-2.3.1 string keeps space and case", attr: "text", value: `" A b "`, tolerant: same, strict: same},
		{name: "7643-2.3.1 string of 1,024 characters", attr: "text", value: `"` + long[1:] + `"`, tolerant: same, strict: same},
		{name: "7643-2.3.1 string longer than the limit", attr: "text", value: `"` + long + `"`, tolerant: bad, strict: bad},
		{name: "7643-2.3.1 number for a string", attr: "text", value: `40113`, tolerant: `"40113"`, strict: bad, needs: "Entra (employeeNumber as a number)"},
		{name: "7643-2.3.1 boolean for a string", attr: "text", value: `true`, tolerant: bad, strict: bad},
		{name: "7643-2.3.1 object for a string", attr: "text", value: `{"a":"b"}`, tolerant: bad, strict: bad},
		{name: "7643-2.3.1 list for a string", attr: "text", value: `["a","b"]`, tolerant: bad, strict: bad},
		{name: "7643-2.3.1 list of one for a string", attr: "text", value: `["a"]`, tolerant: bad, patch: `"a"`, strict: bad, needs: "older Entra PATCH (value as a list of one)"},
		{name: "7643-2.3.1 value object for a string", attr: "text", value: `{"value":"a"}`, tolerant: bad, patch: `"a"`, strict: bad, needs: "Entra (custom attributes as value objects)"},

		{name: "7643-2.3.2 boolean true", attr: "flag", value: `true`, tolerant: same, strict: same},
		{name: "7643-2.3.2 boolean false", attr: "flag", value: `false`, tolerant: same, strict: same},
		{name: "7643-2.3.2 string for a boolean", attr: "flag", value: `"True"`, tolerant: `true`, strict: bad, needs: "Entra, mitodl's Keycloak plugin"},
		{name: "7643-2.3.2 string for a boolean, false", attr: "flag", value: `"false"`, tolerant: `false`, strict: bad, needs: "Entra, mitodl's Keycloak plugin"},
		{name: "7643-2.3.2 any other string for a boolean", attr: "flag", value: `"yes"`, tolerant: bad, strict: bad},
		{name: "7643-2.3.2 number for a boolean", attr: "flag", value: `1`, tolerant: bad, strict: bad},
		{name: "7643-2.3.2 empty string for a boolean", attr: "flag", value: `""`, tolerant: none, strict: bad, needs: "Entra (SCIM_Null_Update)"},

		{name: "7643-2.3.3 decimal", attr: "real", value: `-1.50`, tolerant: same, strict: same},
		{name: "7643-2.3.3 decimal keeps its digits", attr: "real", value: `12345678901234567890.123456789012345678`, tolerant: same, strict: same},
		{name: "7643-2.3.3 decimal with an exponent", attr: "real", value: `1.5e-3`, tolerant: same, strict: same},
		{name: "7643-2.3.3 whole number for a decimal", attr: "real", value: `5`, tolerant: same, strict: same},
		{name: "7643-2.3.3 decimal out of all bounds", attr: "real", value: `1e400`, tolerant: bad, strict: bad},
		{name: "7643-2.3.3 decimal of too many digits", attr: "real", value: `0.` + strings.Repeat("1", 63), tolerant: bad, strict: bad},
		{name: "7643-2.3.3 string for a decimal", attr: "real", value: `"1.5"`, tolerant: `1.5`, strict: bad, needs: "Entra (numbers as strings)"},
		{name: "7643-2.3.3 text for a decimal", attr: "real", value: `"much"`, tolerant: bad, strict: bad},

		{name: "7643-2.3.4 integer", attr: "whole", value: `-7`, tolerant: same, strict: same},
		{name: "7643-2.3.4 largest integer", attr: "whole", value: `9223372036854775807`, tolerant: same, strict: same},
		{name: "7643-2.3.4 integer out of bounds", attr: "whole", value: `9223372036854775808`, tolerant: bad, strict: bad},
		{name: "7643-2.3.4 integer with a fraction", attr: "whole", value: `7.0`, tolerant: bad, strict: bad},
		{name: "7643-2.3.4 integer with an exponent", attr: "whole", value: `1e3`, tolerant: bad, strict: bad},
		{name: "7643-2.3.4 string for an integer", attr: "whole", value: `"7"`, tolerant: `7`, strict: bad, needs: "Entra (numbers as strings)"},
		{name: "7643-2.3.4 boolean for an integer", attr: "whole", value: `true`, tolerant: bad, strict: bad},

		{name: "7643-2.3.5 dateTime", attr: "when", value: `"2008-01-23T04:56:22Z"`, tolerant: same, strict: same},
		{name: "7643-2.3.5 dateTime with fraction and offset", attr: "when", value: `"2015-10-10T14:38:21.8617979-07:00"`, tolerant: same, strict: same},
		{name: "7643-2.3.5 dateTime without a zone", attr: "when", value: `"2008-01-23T04:56:22"`, tolerant: same, strict: same},
		{name: "7643-2.3.5 dateTime at the end of the day", attr: "when", value: `"2008-01-23T24:00:00.0Z"`, tolerant: same, strict: same},
		{name: "7643-2.3.5 dateTime beyond the end of the day", attr: "when", value: `"2008-01-23T24:00:01Z"`, tolerant: bad, strict: bad},
		{name: "7643-2.3.5 dateTime beyond the end of the day by a fraction", attr: "when", value: `"2008-01-23T24:00:00.001Z"`, tolerant: bad, strict: bad},
		{name: "7643-2.3.5 dateTime with a leap second", attr: "when", value: `"2016-12-31T23:59:60Z"`, tolerant: bad, strict: bad},
		{name: "7643-2.3.5 dateTime with an offset out of bounds", attr: "when", value: `"2008-01-23T04:56:22+14:01"`, tolerant: bad, strict: bad},
		{name: "7643-2.3.5 dateTime with the largest offset", attr: "when", value: `"2008-01-23T04:56:22+14:00"`, tolerant: same, strict: same},
		{name: "7643-2.3.5 date without a time", attr: "when", value: `"2008-01-23"`, tolerant: bad, strict: bad},
		{name: "7643-2.3.5 date that does not exist", attr: "when", value: `"2023-02-29T00:00:00Z"`, tolerant: bad, strict: bad},
		{name: "7643-2.3.5 dateTime with small letters", attr: "when", value: `"2008-01-23t04:56:22z"`, tolerant: bad, strict: bad},
		{name: "7643-2.3.5 number for a dateTime", attr: "when", value: `1201064182`, tolerant: bad, strict: bad},

		{name: "7643-2.3.6 binary", attr: "bytes", value: `"TQ=="`, tolerant: same, strict: same},
		{name: "7643-2.3.6 binary without padding", attr: "bytes", value: `"TQ"`, tolerant: same, strict: same},
		{name: "7643-2.3.6 binary with plus and slash", attr: "bytes", value: `"+/+/"`, tolerant: same, strict: same},
		{name: "7643-2.3.6 binary in the alphabet of URLs", attr: "bytes", value: `"-_-_"`, tolerant: bad, strict: bad},
		{name: "7643-2.3.6 binary of a length that cannot be", attr: "bytes", value: `"TQTQT"`, tolerant: bad, strict: bad},
		{name: "7643-2.3.6 binary with bits left over", attr: "bytes", value: `"TR=="`, tolerant: bad, strict: bad},
		{name: "7643-2.3.6 binary with lines", attr: "bytes", value: `"TWFu\r\nTWFu"`, tolerant: bad, strict: bad},
		{name: "7643-2.3.6 number for a binary", attr: "bytes", value: `1234`, tolerant: bad, strict: bad},

		{name: "7643-2.3.7 reference", attr: "link", value: `"https://x.example/a?b=c#d"`, tolerant: same, strict: same},
		{name: "7643-2.3.7 relative reference to a resource", attr: "home", value: `"../Users/2819c223-7f76-453a-919d-413861904646"`, tolerant: same, strict: same},
		{name: "7643-2.3.7 reference by URN", attr: "link", value: `"urn:example:a"`, tolerant: same, strict: same},
		{name: "7643-2.3.7 reference that is no URI", attr: "link", value: `"not a url"`, tolerant: same, strict: bad, needs: "Microsoft's validator (random words in photos)"},
		{name: "7643-2.3.7 reference with a broken escape", attr: "link", value: `"https://x.example/%zz"`, tolerant: same, strict: bad, needs: "Microsoft's validator (random words in photos)"},
		{name: "7643-2.3.7 reference in other letters", attr: "link", value: `"https://x.example/é"`, tolerant: same, strict: bad, needs: "Microsoft's validator (random words in photos)"},

		{name: "7643-2.3.8 complex", attr: "part", value: `{"text":"a","flag":true}`, tolerant: same, strict: same},
		{name: "7643-2.3.8 complex with a wrong part", attr: "part", value: `{"text":"a","flag":"maybe"}`, tolerant: bad, strict: bad},
		{name: "7643-2.3.8 complex with an unknown part", attr: "part", value: `{"text":"a","nosuch":1}`, tolerant: `{"text":"a"}`, strict: "invalidSyntax", strictly: "invalidPath", needs: "Entra, Okta (keys of their own)"},
		{name: "7643-2.3.8 complex with a readOnly part", attr: "part", value: `{"text":"a","given":"x"}`, tolerant: `{"text":"a"}`, strict: `{"text":"a"}`, strictly: "mutability", needs: "clients that send back what they read, by PATCH"},
		{name: "7643-2.3.8 string for a complex", attr: "part", value: `"a"`, tolerant: bad, strict: bad},
		{name: "7643-2.3.8 complex without parts", attr: "part", value: `{}`, tolerant: none, strict: none},

		{name: "7643-2.4 list", attr: "texts", value: `["a","b"]`, tolerant: same, strict: same},
		{name: "7643-2.4 list of value objects for strings", attr: "texts", value: `[{"value":"1"}]`, tolerant: `["1"]`, strict: bad, needs: "Entra (custom multi-valued attributes)"},
		{name: "7643-2.4 list with a value of another type", attr: "numbers", value: `[1,"x"]`, tolerant: bad, strict: bad},
		{name: "7643-2.4 list in a list", attr: "texts", value: `[["a"]]`, tolerant: bad, strict: bad},
		{name: "7643-2.4 single value for a list", attr: "texts", value: `"a"`, tolerant: bad, patch: `["a"]`, strict: bad, strictly: `["a"]`},
		{name: "7643-2.4 equal values are one", attr: "texts", value: `["a","b","a"]`, tolerant: `["a","b"]`, strict: `["a","b"]`},
		{name: "7643-2.4 equal (type, value) is one", attr: "items", value: `[{"value":"a","type":"w"},{"value":"a","type":"w","primary":true}]`,
			tolerant: `[{"primary":true,"type":"w","value":"a"}]`, strict: `[{"primary":true,"type":"w","value":"a"}]`},
		{name: "7643-2.4 one value of two types stays twice", attr: "items", value: `[{"type":"w","value":"a"},{"type":"h","value":"a"}]`, tolerant: same, strict: same},
		{name: "7643-2.4 two primaries", attr: "items", value: `[{"primary":true,"value":"a"},{"primary":true,"value":"b"}]`,
			tolerant: `[{"primary":true,"value":"a"},{"primary":false,"value":"b"}]`, patch: `[{"primary":false,"value":"a"},{"primary":true,"value":"b"}]`, strict: bad,
			needs: "Microsoft's validator (moves primary between values)"},
		{name: "7643-2.4 string for a primary", attr: "items", value: `[{"primary":"True","value":"a"}]`, tolerant: `[{"primary":true,"value":"a"}]`, strict: bad, needs: "Entra (app roles)"},
		{name: "7643-2.4 nonsense for a primary", attr: "items", value: `[{"primary":"56-357-7743","value":"a"}]`, tolerant: `[{"value":"a"}]`, strict: bad, needs: "Microsoft's validator"},
		{name: "7643-2.4 plain value for an element", attr: "items", value: `["a"]`, tolerant: `[{"value":"a"}]`, strict: bad, needs: "clients that send values where objects are defined"},
		{name: "7643-2.4 element with nothing but a type", attr: "items", value: `[{"type":"w","primary":true},{"value":"a"}]`, tolerant: `[{"value":"a"}]`, strict: `[{"value":"a"}]`},

		{name: "7643-2.5 null", attr: "text", value: `null`, tolerant: none, strict: none},
		{name: "7643-2.5 null for a list", attr: "texts", value: `null`, tolerant: none, strict: none},
		{name: "7643-2.5 empty list", attr: "texts", value: `[]`, tolerant: none, strict: none},
		{name: "7643-2.5 empty list for a complex list", attr: "items", value: `[]`, tolerant: none, strict: none},
		{name: "7643-2.5 empty string", attr: "text", value: `""`, tolerant: none, strict: none},
		{name: "7643-2.5 empty string for a list", attr: "texts", value: `""`, tolerant: none, strict: bad, needs: "Entra (SCIM_Null_Update)"},
		{name: "7643-2.5 empty string for a complex", attr: "part", value: `""`, tolerant: none, strict: bad, needs: "Entra (SCIM_Null_Update)"},
		{name: "7643-2.5 empty string for a dateTime", attr: "when", value: `""`, tolerant: none, strict: bad, needs: "Entra (SCIM_Null_Update)"},
		{name: "7643-2.5 empty string for a binary", attr: "bytes", value: `""`, tolerant: none, strict: bad, needs: "Entra (SCIM_Null_Update)"},

		{name: "7643-7 canonicalValues are a suggestion", attr: "colour", value: `"green"`, tolerant: same, strict: same},
		{name: "7643-7 attribute that the schema does not have", attr: "nosuch", value: `"x"`, tolerant: none, strict: "invalidSyntax", strictly: "invalidPath", needs: "Entra, Okta (attributes of their own)"},
		{name: "7643-7 immutable attribute that has no value", attr: "fixed", value: `"x"`, tolerant: same, strict: same},
		{name: "7643-7 attribute returned on request", attr: "asked", value: `"x"`, tolerant: same, strict: same},
	} {
		if row.patch == "" {
			row.patch = row.tolerant
		}
		if row.strictly == "" {
			row.strictly = row.strict
		}
		if (row.needs != "") != (row.tolerant != row.strict || row.patch != row.strictly) {
			t.Errorf("%s: a client is named exactly where the modes differ", row.name)
		}
		m.run(t, row.name, func(t *testing.T, a *tenant, strict bool) {
			if strict {
				m.writeEachWay(t, a, row.attr, row.value, row.strict, row.strictly)
			} else {
				m.writeEachWay(t, a, row.attr, row.value, row.tolerant, row.patch)
			}
		})
	}
}

// writeEachWay writes one attribute of the extension by each verb and compares what is kept.
func (m *matrix) writeEachWay(t *testing.T, a *tenant, attr, value, want, byPatch string) {
	t.Helper()
	ext := `"M":{"` + attr + `":` + value + `}`
	check := func(way, want string, got *answer, path string) {
		t.Helper()
		switch want {
		case "invalidValue", "invalidSyntax", "invalidPath", "mutability":
			if got.want(400, want); path != "" {
				if state := kept(t, a, path); state.fact("M."+attr) != "-" || !strings.HasPrefix(state.fact("meta.version"), `"W/\"1`) {
					state.errorf("%s was refused and yet changed something", way)
				}
			}
			return
		}
		if got.status >= 300 {
			got.errorf("%s is refused", way)
			return
		}
		if path == "" {
			path = "/Users/" + got.id()
		}
		if want == "same" {
			want = compact(value)
		} else if want != "-" {
			want = compact(want)
		}
		state := kept(t, a, path)
		if have := state.fact("M." + attr); have != want {
			state.errorf("by %s %s is kept, want %s", way, have, want)
		}
	}
	body, name := m.object(ext)
	made := a.requestAs(t, "POST", "/Users", body)
	check("POST", want, made, "")
	if made.status >= 300 {
		a.requestAs(t, "GET", filtered("/Users", `userName eq "`+name+`"`), nil).is("0", "totalResults")
	}
	fresh := func() (path string, body object) {
		body, _ = m.object("")
		return "/Users/" + a.requestAs(t, "POST", "/Users", body).want(201).id(), body
	}
	path, before := fresh()
	body, _ = m.object(ext)
	body["userName"] = before["userName"]
	check("PUT", want, a.requestAs(t, "PUT", path, body), path)
	for _, verb := range []string{"add", "replace"} {
		path, _ := fresh()
		ops := fmt.Sprintf(`[{"op":"%s","path":"M:%s","value":%s}]`, verb, attr, value)
		check("PATCH "+verb, byPatch, a.requestAs(t, "PATCH", path, m.operations(ops)), path)
	}
	path, _ = fresh()
	check("PATCH without a path", byPatch, a.requestAs(t, "PATCH", path, m.operations(`[{"op":"add","value":{`+ext+`}}]`)), path)
}

// decoded keeps numbers as they are written.
func decoded(text string) (v any) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		panic(text + ": " + err.Error())
	}
	return v
}

func compact(text string) string { return string(must(json.Marshal(decoded(text)))) }

// operations makes the body of a PATCH.
func (m *matrix) operations(ops string) raw {
	return raw(`{"schemas":["` + patchOp + `"],"Operations":` + matrixWords.Replace(ops) + `}`)
}

// verdict is what becomes of a request.
type verdict struct {
	status   int
	scimType string            // of an error, after which everything is as before
	holds    map[string]string // what the resource holds afterwards: path to JSON, "-" for nothing
}

func ok(facts ...string) verdict { return verdict{status: 200, holds: pairs(facts)} }

func refused(scimType string) verdict { return verdict{status: 400, scimType: scimType} }

func pairs(list []string) map[string]string {
	facts := map[string]string{}
	for i := 0; i+1 < len(list); i += 2 {
		facts[list[i]] = list[i+1]
	}
	return facts
}

// matrixUser is the user that PUT and PATCH of a row find.
const matrixUser = `"title":"Planner","active":true,"name":{"givenName":"Ida","familyName":"Bakke"},
	"emails":[{"value":"a@x","type":"work","primary":true},{"value":"b@x","type":"home"}],"roles":[{"value":"Admin","primary":true}],
	"E":{"department":"Pilots","manager":{"value":"m1"}},"M":{"texts":["a","B"],"exacts":["a","B"],"fixed":"1","part":{"text":"t","fixed":"1"},
	"items":[{"value":"v","fixed":"1"},{"value":"w"}]},"N":{"needed":"n","other":"o","parts":[{"needed":"p","other":"q"}]}`

// TestMatrixBodies: what POST and PUT make of a body. {user} is the rest of matrixUser's body.
func TestMatrixBodies(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	for _, row := range []struct {
		name, method, body string
		tolerant, strict   verdict
		needs              string
	}{
		{name: "7643-2.1 names in any case", method: "POST", body: `"TITLE":"T","NAME":{"GIVENNAME":"G"}`, tolerant: ok("title", `"T"`, "name.givenName", `"G"`), strict: ok("title", `"T"`, "name.givenName", `"G"`)},
		{name: "7643-2.2 readOnly is ignored by POST", method: "POST", body: `"id":"mine","meta":{"version":"x"},"groups":[{"value":"g"}],"M":{"given":"x","part":{"given":"x"}}`,
			tolerant: ok("groups", "-", "M", "-"), strict: ok("groups", "-", "M", "-")},
		{name: "7643-2.2 readOnly is ignored by PUT", method: "PUT", body: `"id":"mine","meta":{"version":"x"},"groups":[{"value":"g"}],"M":{"given":"x","fixed":"1","part":{"fixed":"1","given":"x"}}`,
			tolerant: ok("groups", "-", "M.given", "-"), strict: ok("groups", "-", "M.given", "-")},
		{name: "7643-2.2 password is taken and not kept", method: "POST", body: `"password":"Hunter2"`, tolerant: ok("password", "-"), strict: ok("password", "-")},

		{name: "7643-3 schemas is missing", method: "POST", body: `"schemas":null`, tolerant: ok("schemas", `["U"]`), strict: refused("invalidSyntax"), needs: "connectors made by hand"},
		{name: "7643-3 schemas is empty", method: "POST", body: `"schemas":[]`, tolerant: ok("schemas", `["U"]`), strict: refused("invalidSyntax"), needs: "connectors made by hand"},
		{name: "7643-3 schemas is no list", method: "POST", body: `"schemas":"U"`, tolerant: refused("invalidValue"), strict: refused("invalidValue")},
		{name: "7643-3 schemas names a schema that nobody knows", method: "POST", body: `"schemas":["U","http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/User"]`,
			tolerant: ok("schemas", `["U"]`), strict: refused("invalidValue"), needs: "Entra (ADSCIM schemas)"},
		{name: "7643-3 schemas is of another resource", method: "POST", body: `"schemas":["G"]`, tolerant: ok("schemas", `["U"]`), strict: refused("invalidValue"), needs: "connectors made by hand"},
		{name: "7643-3 schemas names one twice", method: "POST", body: `"schemas":["U","U"]`, tolerant: ok("schemas", `["U"]`), strict: refused("invalidValue"), needs: "connectors made by hand"},
		{name: "7643-3 schemas does not name an extension that is there", method: "POST", body: `"schemas":["U"],"M":{"text":"a"}`, tolerant: ok("schemas", `["U","M"]`, "M.text", `"a"`),
			strict: refused("invalidSyntax"), needs: "Entra (custom extensions)"},
		{name: "7643-3 schemas names an extension that is not there", method: "POST", body: `"schemas":["U","E","M"]`, tolerant: ok("schemas", `["U"]`), strict: ok("schemas", `["U"]`)},
		{name: "7643-3 schemas in any case", method: "POST", body: `"schemas":["urn:IETF:params:scim:schemas:core:2.0:user"]`, tolerant: ok("schemas", `["U"]`), strict: ok("schemas", `["U"]`)},

		{name: "7643-3.3 unknown attribute", method: "POST", body: `"nosuch":"x","title":"T"`, tolerant: ok("nosuch", "-", "title", `"T"`), strict: refused("invalidSyntax"), needs: "Entra, Okta (attributes of their own)"},
		{name: "7643-3.3 unknown attribute without a value", method: "POST", body: `"nosuch":null,"title":"T"`, tolerant: ok("title", `"T"`), strict: ok("title", `"T"`)},
		{name: "7643-3.3 unknown extension", method: "POST", body: `"urn:example:nosuch:1.0:User":{"a":"b"}`, tolerant: ok("urn:example:nosuch:1.0:User", "-"), strict: refused("invalidSyntax"),
			needs: "Entra (extensions of other applications)"},
		{name: "7643-3.3 attribute of an extension outside of it", method: "POST", body: `"department":"D"`, tolerant: ok("department", "-", "E", "-"), strict: refused("invalidSyntax"), needs: "clients that flatten extensions"},
		{name: "7643-3.3 core attributes in an object with their URN", method: "POST", body: `"U":{"title":"T","active":"False"},"nickName":"N"`, tolerant: ok("title", `"T"`, "active", "false", "nickName", `"N"`, "U", "-"),
			strict: refused("invalidSyntax"), needs: "SCIM Verify, and clients of servers that show them so"},
		{name: "7643-3.3 core attribute in an object with its URN and outside", method: "POST", body: `"U":{"title":"T"},"title":"T"`, tolerant: refused("invalidValue"), strict: refused("invalidSyntax")},
		{name: "7643-3.3 extension that is no object", method: "POST", body: `"schemas":["U","E"],"E":"x"`, tolerant: refused("invalidValue"), strict: refused("invalidValue")},
		{name: "7643-4.3 manager as a string", method: "POST", body: `"E":{"manager":"m"}`, tolerant: ok("E.manager.value", `"m"`), strict: refused("invalidValue"), needs: "Entra"},
		{name: "7643-4.3 manager as a list", method: "POST", body: `"E":{"manager":[{"value":"m"}]}`, tolerant: ok("E.manager.value", `"m"`), strict: refused("invalidValue"), needs: "older Entra"},

		{name: "7643-7 required attribute is missing", method: "POST", body: `"userName":null`, tolerant: refused("invalidValue"), strict: refused("invalidValue")},
		{name: "7643-7 required attribute is empty", method: "POST", body: `"userName":""`, tolerant: refused("invalidValue"), strict: refused("invalidValue")},
		{name: "7643-7 required attribute is missing in PUT", method: "PUT", body: `"userName":null,"M":{"fixed":"1"}`, tolerant: refused("invalidValue"), strict: refused("invalidValue")},
		{name: "7643-7 required attribute of an extension", method: "POST", body: `"N":{"other":"x"}`, tolerant: refused("invalidValue"), strict: refused("invalidValue")},
		{name: "7643-7 required part", method: "POST", body: `"N":{"needed":"x","parts":[{"other":"x"}]}`, tolerant: refused("invalidValue"), strict: refused("invalidValue")},
		{name: "7643-7 extension with required attributes may be absent", method: "POST", body: `"title":"T"`, tolerant: ok("N", "-"), strict: ok("N", "-")},

		{name: "7644-3.5.1 PUT removes what it does not name", method: "PUT", body: `"M":{"fixed":"1","part":{"fixed":"1"}}`, tolerant: ok("title", "-", "emails", "-", "E", "-", "N", "-", "M.texts", "-"),
			strict: ok("title", "-", "emails", "-", "E", "-", "N", "-", "M.texts", "-")},
		{name: "7644-3.5.1 PUT without active leaves it", method: "PUT", body: `"title":"T"`, tolerant: ok("active", "true"), strict: ok("active", "true")},
		{name: "7644-3.5.1 PUT of the same immutable value", method: "PUT", body: `"M":{"fixed":"1","part":{"fixed":"1","text":"u"}}`, tolerant: ok("M.fixed", `"1"`, "M.part.text", `"u"`), strict: ok("M.fixed", `"1"`, "M.part.text", `"u"`)},
		{name: "7644-3.5.1 PUT of another immutable value", method: "PUT", body: `"M":{"fixed":"2"}`, tolerant: refused("mutability"), strict: refused("mutability")},
		{name: "7644-3.5.1 PUT of another immutable part", method: "PUT", body: `"M":{"part":{"fixed":"2"}}`, tolerant: refused("mutability"), strict: refused("mutability")},
		{name: "7644-3.5.1 PUT without immutable values leaves them", method: "PUT", body: `"title":"T"`, tolerant: ok("M.fixed", `"1"`, "M.part", `{"fixed":"1"}`, "M.texts", "-"),
			strict: ok("M.fixed", `"1"`, "M.part", `{"fixed":"1"}`, "M.texts", "-")},
		{name: "7644-3.5.1 PUT of a first immutable value", method: "PUT", body: `"M":{"fixed":"1","items":[{"value":"w","fixed":"9"}]}`, tolerant: ok("M.items.0.fixed", `"9"`), strict: ok("M.items.0.fixed", `"9"`)},
	} {
		if (row.needs != "") != (row.tolerant.status != row.strict.status) {
			t.Errorf("%s: a client is named exactly where the modes differ", row.name)
		}
		m.run(t, row.name, func(t *testing.T, a *tenant, strict bool) {
			want := row.tolerant
			if strict {
				want = row.strict
			}
			path, before := "", ""
			if row.method == "PUT" {
				user, name := m.object(matrixUser)
				path = "/Users/" + a.requestAs(t, "POST", "/Users", user).want(201).id()
				before = string(a.requestAs(t, "GET", path, nil).body)
				body, _ := m.object(row.body)
				if body["userName"] != nil {
					body["userName"] = name
				}
				got := a.requestAs(t, "PUT", path, body)
				m.judge(t, a, got, path, before, want)
				return
			}
			body, name := m.object(row.body)
			got := a.requestAs(t, "POST", "/Users", body)
			if want.status == 200 {
				got.want(201)
				got.status, path = 200, "/Users/"+got.id()
			}
			m.judge(t, a, got, path, before, want)
			if want.scimType != "" {
				a.requestAs(t, "GET", filtered("/Users", `userName eq "`+name+`"`), nil).is("0", "totalResults")
			}
		})
	}
}

// judge compares an answer and what is kept with a verdict. path is the resource's, "" when there is none.
func (m *matrix) judge(t *testing.T, a *tenant, got *answer, path, before string, want verdict) {
	t.Helper()
	if got.status != want.status && !(want.status == 200 && got.status == 204) {
		got.errorf("status is not %d", want.status)
		return
	}
	if want.scimType != "" {
		got.is(want.scimType, "scimType")
		if path != "" {
			if now := string(a.requestAs(t, "GET", path, nil).body); now != before {
				t.Errorf("refused, and yet it changed\nfrom %s\nto   %s", before, now)
			}
		}
		return
	}
	if path == "" {
		return
	}
	state := kept(t, a, path)
	for at, fact := range want.holds {
		if fact != "-" {
			fact = compact(matrixWords.Replace(fact))
		}
		if have := state.fact(at); have != fact {
			state.errorf("%s is %s, want %s", at, have, fact)
		}
	}
}

// TestMatrixPatch: what PATCH makes of operations on matrixUser.
func TestMatrixPatch(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	const work = `emails[type eq \"work\"]`
	for _, row := range []struct {
		name, ops        string
		tolerant, strict verdict
		needs            string
	}{
		// The envelope.
		{name: "7644-3.5.2 op in another case", ops: `[{"op":"Replace","path":"title","value":"T"}]`, tolerant: ok("title", `"T"`), strict: refused("invalidSyntax"), needs: "Entra (Add, Replace, Remove)"},
		{name: "7644-3.5.2 unknown op", ops: `[{"op":"move","path":"title","value":"T"}]`, tolerant: refused("invalidSyntax"), strict: refused("invalidSyntax")},
		{name: "7644-3.5.2 no op", ops: `[{"path":"title","value":"T"}]`, tolerant: refused("invalidSyntax"), strict: refused("invalidSyntax")},
		{name: "7644-3.5.2 no operations", ops: `[]`, tolerant: ok("title", `"Planner"`), strict: refused("invalidSyntax"), needs: "Microsoft's validator"},
		{name: "7644-3.5.2 one operation outside of a list", ops: `{"op":"replace","path":"title","value":"T"}`, tolerant: ok("title", `"T"`), strict: refused("invalidSyntax"), needs: "Entra (SCIM-SDK issue 652)"},
		{name: "7644-3.5.2 names of an operation in any case", ops: `[{"OP":"replace","PATH":"title","VALUE":"T"}]`, tolerant: ok("title", `"T"`), strict: ok("title", `"T"`)},
		{name: "7644-3.5.2 all or nothing", ops: `[{"op":"replace","path":"title","value":"T"},{"op":"replace","path":"id","value":"x"}]`, tolerant: refused("mutability"), strict: refused("mutability")},
		{name: "7644-3.5.2 in the order of the list", ops: `[{"op":"remove","path":"title"},{"op":"add","path":"title","value":"T"},{"op":"replace","path":"title","value":"U"}]`, tolerant: ok("title", `"U"`), strict: ok("title", `"U"`)},
		{name: "7644-3.5.2 add without a value", ops: `[{"op":"add","path":"title"}]`, tolerant: refused("invalidSyntax"), strict: refused("invalidSyntax")},

		// Paths.
		{name: "7644-3.5.2 path in any case", ops: `[{"op":"replace","path":"NAME.GIVENNAME","value":"G"}]`, tolerant: ok("name", `{"familyName":"Bakke","givenName":"G"}`), strict: ok("name", `{"familyName":"Bakke","givenName":"G"}`)},
		{name: "7644-3.5.2 path with the core URN", ops: `[{"op":"replace","path":"U:title","value":"T"}]`, tolerant: ok("title", `"T"`), strict: ok("title", `"T"`)},
		{name: "7644-3.5.2 path into an extension", ops: `[{"op":"replace","path":"E:department","value":"D"}]`, tolerant: ok("E.department", `"D"`, "E.manager.value", `"m1"`), strict: ok("E.department", `"D"`, "E.manager.value", `"m1"`)},
		{name: "7644-3.5.2 path into an extension without its URN", ops: `[{"op":"replace","path":"department","value":"D"}]`, tolerant: ok("E.department", `"D"`), strict: refused("invalidPath"), needs: "older Entra (manager)"},
		{name: "7644-3.5.2 path of an unknown attribute", ops: `[{"op":"replace","path":"nosuch","value":"x"},{"op":"replace","path":"active","value":false}]`, tolerant: ok("nosuch", "-", "active", "false"), strict: refused("invalidPath"),
			needs: "Entra (one mapped attribute that is not there must not keep a leaver in)"},
		{name: "7644-3.5.2 path of an unknown URN", ops: `[{"op":"replace","path":"urn:example:nosuch:1.0:User:a","value":"x"}]`, tolerant: ok("title", `"Planner"`), strict: refused("invalidPath"), needs: "Entra (extensions of other applications)"},
		{name: "7644-3.5.2 path of the other resource", ops: `[{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:Group:displayName","value":"x"}]`, tolerant: ok("displayName", "-"), strict: refused("invalidPath"), needs: "Entra (attributes mapped under another URN)"},
		{name: "7644-3.5.2 path of a part that a simple attribute does not have", ops: `[{"op":"replace","path":"title.title","value":"x"}]`, tolerant: ok("title", `"Planner"`), strict: refused("invalidPath"), needs: "Entra (attributes mapped wrongly)"},
		{name: "7644-3.5.2 path below active that means nothing", ops: `[{"op":"replace","path":"active.value","value":false}]`, tolerant: refused("invalidPath"), strict: refused("invalidPath")},
		{name: "7644-3.5.2 path below active with the URN", ops: `[{"op":"replace","path":"U:active.value","value":false}]`, tolerant: refused("invalidPath"), strict: refused("invalidPath")},
		{name: "7644-3.5.2 name below active that means nothing", ops: `[{"op":"replace","value":{"active.value":false}}]`, tolerant: refused("invalidPath"), strict: refused("invalidPath")},
		{name: "7644-3.5.2 name of active with brackets", ops: `[{"op":"replace","value":{"U:Active[value eq true]":false}}]`, tolerant: refused("invalidPath"), strict: refused("invalidPath")},
		{name: "7644-3.5.2 name that is no path", ops: `[{"op":"replace","value":{"no path [":1,"active":false}}]`, tolerant: ok("active", "false"), strict: refused("invalidPath"), needs: "clients that send names of their own beside active"},
		{name: "7644-3.5.2 empty path", ops: `[{"op":"replace","path":"","value":{"title":"T"}}]`, tolerant: ok("title", `"T"`), strict: refused("invalidPath"), needs: "clients that send path with every operation"},
		{name: "7644-3.5.2 path that cannot be read", ops: `[{"op":"replace","path":"` + work + `[","value":"x"}]`, tolerant: refused("invalidPath"), strict: refused("invalidPath")},
		{name: "7644-3.5.2 path with a filter that cannot be read", ops: `[{"op":"replace","path":"emails[type eq].value","value":"x"}]`, tolerant: refused("invalidPath"), strict: refused("invalidPath")},
		{name: "7644-3.5.2 path with a quoted boolean", ops: `[{"op":"replace","path":"roles[primary eq \"True\"].value","value":"R"}]`, tolerant: ok("roles.0.value", `"R"`), strict: refused("invalidPath"), needs: "Entra (app roles)"},
		{name: "7644-3.5.2 path with a boolean", ops: `[{"op":"replace","path":"roles[primary eq true].value","value":"R"}]`, tolerant: ok("roles.0.value", `"R"`), strict: ok("roles.0.value", `"R"`)},
		{name: "7644-3.5.2 path with a value without quotes", ops: `[{"op":"replace","path":"emails[type eq work].value","value":"c@x"}]`, tolerant: ok("emails.0.value", `"c@x"`), strict: refused("invalidPath"), needs: "clients that write filters as Microsoft's collection does"},
		{name: "7644-3.5.2 path with a value in single quotes", ops: `[{"op":"replace","path":"emails[type eq 'work'].value","value":"c@x"}]`, tolerant: ok("emails.0.value", `"c@x"`), strict: refused("invalidPath"), needs: "clients that quote as SQL does"},
		{name: "7644-3.5.2 path with and, or and not", ops: `[{"op":"replace","path":"emails[not (type eq \"home\") and (value sw \"a\" or primary eq false)].value","value":"c@x"}]`, tolerant: ok("emails.0.value", `"c@x"`, "emails.1.value", `"b@x"`),
			strict: ok("emails.0.value", `"c@x"`, "emails.1.value", `"b@x"`)},

		// Mutability.
		{name: "7644-3.5.2 readOnly by path", ops: `[{"op":"replace","path":"M:given","value":"x"}]`, tolerant: refused("mutability"), strict: refused("mutability")},
		{name: "7644-3.5.2 readOnly part by path", ops: `[{"op":"add","path":"M:part.given","value":"x"}]`, tolerant: refused("mutability"), strict: refused("mutability")},
		{name: "7644-3.5.2 readOnly is not removed", ops: `[{"op":"remove","path":"groups"}]`, tolerant: refused("mutability"), strict: refused("mutability")},
		{name: "7644-3.5.2 readOnly within an object", ops: `[{"op":"replace","value":{"id":"x","title":"T"}}]`, tolerant: ok("title", `"T"`), strict: refused("mutability"), needs: "Okta (id beside the change)"},
		{name: "7644-3.5.2 immutable with a value", ops: `[{"op":"replace","path":"M:fixed","value":"2"}]`, tolerant: refused("mutability"), strict: refused("mutability")},
		{name: "7644-3.5.2 immutable with the same value", ops: `[{"op":"add","path":"M:fixed","value":"1"}]`, tolerant: ok("M.fixed", `"1"`, "meta.version", `"W/\"1\""`), strict: ok("M.fixed", `"1"`, "meta.version", `"W/\"1\""`)},
		{name: "7644-3.5.2 immutable is not removed", ops: `[{"op":"remove","path":"M:fixed"}]`, tolerant: refused("mutability"), strict: refused("mutability")},
		{name: "7644-3.5.2 immutable is not removed with its extension", ops: `[{"op":"remove","path":"` + matrixURN + `"}]`, tolerant: refused("mutability"), strict: refused("mutability")},
		{name: "7644-3.5.2 immutable part with a value", ops: `[{"op":"replace","path":"M:part.fixed","value":"2"}]`, tolerant: refused("mutability"), strict: refused("mutability")},
		{name: "7644-3.5.2 immutable part goes not with the whole", ops: `[{"op":"remove","path":"M:part"}]`, tolerant: refused("mutability"), strict: refused("mutability")},
		{name: "7644-3.5.2 immutable part of an element", ops: `[{"op":"replace","path":"M:items[value eq \"v\"].fixed","value":"2"}]`, tolerant: refused("mutability"), strict: refused("mutability")},
		{name: "7644-3.5.2 immutable part of an element by its object", ops: `[{"op":"replace","path":"M:items[value eq \"v\"]","value":{"fixed":"2"}}]`, tolerant: refused("mutability"), strict: refused("mutability")},
		{name: "7644-3.5.2 immutable part of an element without a filter", ops: `[{"op":"replace","path":"M:items.fixed","value":"2"}]`, tolerant: refused("mutability"), strict: refused("mutability")},
		{name: "7644-3.5.2 immutable part of an element is not removed", ops: `[{"op":"remove","path":"M:items[value eq \"v\"].fixed"}]`, tolerant: refused("mutability"), strict: refused("mutability")},
		{name: "7644-3.5.2 immutable parts are not removed from all", ops: `[{"op":"remove","path":"M:items.fixed"}]`, tolerant: refused("mutability"), strict: refused("mutability")},
		{name: "7644-3.5.2 immutable part of an element that has none", ops: `[{"op":"add","path":"M:items[value eq \"w\"].fixed","value":"2"}]`, tolerant: ok("M.items.1.fixed", `"2"`), strict: ok("M.items.1.fixed", `"2"`)},
		{name: "7644-3.5.2 element with an immutable part goes", ops: `[{"op":"remove","path":"M:items[value eq \"v\"]"}]`, tolerant: ok("M.items", `[{"value":"w"}]`), strict: ok("M.items", `[{"value":"w"}]`)},
		{name: "7644-3.5.2 primary is one", ops: `[{"op":"replace","path":"emails[type eq \"home\"].primary","value":true}]`, tolerant: ok("emails.0.primary", "false", "emails.1.primary", "true"), strict: ok("emails.0.primary", "false", "emails.1.primary", "true")},
		{name: "7644-3.5.2 an added primary is the one", ops: `[{"op":"add","path":"emails","value":[{"value":"c@x","primary":true}]}]`, tolerant: ok("emails.0.primary", "false", "emails.2.primary", "true"), strict: ok("emails.0.primary", "false", "emails.2.primary", "true")},
		{name: "7644-3.5.2 string for active", ops: `[{"op":"replace","path":"active","value":"False"}]`, tolerant: ok("active", "false"), strict: refused("invalidValue"), needs: "Entra"},
		{name: "7644-3.5.2 active is not unassigned", ops: `[{"op":"remove","path":"active"}]`, tolerant: ok("active", "true"), strict: refused("invalidValue"), needs: "Entra (null and empty flows)"},

		// add
		{name: "7644-3.5.2.1 add without a path", ops: `[{"op":"add","value":{"nickName":"N","emails":[{"value":"c@x"}]}}]`, tolerant: ok("nickName", `"N"`, "emails.2.value", `"c@x"`, "title", `"Planner"`), strict: ok("nickName", `"N"`, "emails.2.value", `"c@x"`, "title", `"Planner"`)},
		{name: "7644-3.5.2.1 add without a path and object", ops: `[{"op":"add","value":"x"}]`, tolerant: refused("invalidValue"), strict: refused("invalidValue")},
		{name: "7644-3.5.2.1 add without a path and a list of objects", ops: `[{"op":"add","value":[{"title":"T"},{"active":false}]}]`, tolerant: ok("title", `"T"`, "active", "false"), strict: refused("invalidValue"), needs: "clients that send every value as a list"},
		{name: "7644-3.5.2.1 add of two things", ops: `[{"op":"add","value":{"U":{"title":"T"},"title":"V"}}]`, tolerant: refused("invalidValue"), strict: refused("invalidValue")},
		{name: "7644-3.5.2.1 add of one thing twice", ops: `[{"op":"add","value":{"U":{"title":"T"},"title":"T"}}]`, tolerant: ok("title", `"T"`), strict: ok("title", `"T"`)},
		{name: "7644-3.5.2.1 add replaces a single value", ops: `[{"op":"add","path":"title","value":"T"}]`, tolerant: ok("title", `"T"`), strict: ok("title", `"T"`)},
		{name: "7644-3.5.2.1 add joins a list", ops: `[{"op":"add","path":"M:texts","value":["c"]}]`, tolerant: ok("M.texts", `["a","B","c"]`), strict: ok("M.texts", `["a","B","c"]`)},
		{name: "7644-3.5.2.1 add sets parts and leaves the others", ops: `[{"op":"add","path":"name","value":{"givenName":"G"}}]`, tolerant: ok("name", `{"familyName":"Bakke","givenName":"G"}`), strict: ok("name", `{"familyName":"Bakke","givenName":"G"}`)},
		{name: "7644-3.5.2.1 add of what is there changes nothing", ops: `[{"op":"add","path":"title","value":"Planner"},{"op":"add","path":"emails","value":[{"value":"b@x","type":"home"}]},{"op":"add","path":"M:texts","value":["a"]}]`,
			tolerant: ok("meta.version", `"W/\"1\""`, "emails.2", "-"), strict: ok("meta.version", `"W/\"1\""`, "emails.2", "-")},
		{name: "7644-3.5.2.1 add to an element that is not there makes it", ops: `[{"op":"add","path":"emails[type eq \"other\"].value","value":"c@x"}]`, tolerant: ok("emails.2", `{"value":"c@x","type":"other"}`), strict: ok("emails.2", `{"value":"c@x","type":"other"}`)},
		{name: "7644-3.5.2.1 add of names that are paths", ops: `[{"op":"add","value":{"name.givenName":"G","E:department":"D"}}]`, tolerant: ok("name.givenName", `"G"`, "E.department", `"D"`), strict: refused("invalidPath"), needs: "Entra (aadOptscim062020)"},
		{name: "7644-3.5.2.1 add of an unknown name", ops: `[{"op":"add","value":{"nosuch":"x","active":false}}]`, tolerant: ok("active", "false"), strict: refused("invalidPath"), needs: "Entra, Okta (attributes of their own)"},
		{name: "7644-3.5.2.1 add of a string to manager", ops: `[{"op":"add","path":"E:manager","value":"m2"}]`, tolerant: ok("E.manager", `{"value":"m2"}`), strict: refused("invalidValue"), needs: "Entra"},

		// remove
		{name: "7644-3.5.2.2 remove without a path", ops: `[{"op":"remove"}]`, tolerant: refused("noTarget"), strict: refused("noTarget")},
		{name: "7644-3.5.2.2 remove of a single value", ops: `[{"op":"remove","path":"title"}]`, tolerant: ok("title", "-"), strict: ok("title", "-")},
		{name: "7644-3.5.2.2 remove of what is not there", ops: `[{"op":"remove","path":"nickName"},{"op":"remove","path":"emails[type eq \"other\"]"}]`, tolerant: ok("meta.version", `"W/\"1\""`), strict: ok("meta.version", `"W/\"1\""`)},
		{name: "7644-3.5.2.2 remove of a list", ops: `[{"op":"remove","path":"emails"}]`, tolerant: ok("emails", "-"), strict: ok("emails", "-")},
		{name: "7644-3.5.2.2 remove of an element", ops: `[{"op":"remove","path":"` + work + `"}]`, tolerant: ok("emails", `[{"value":"b@x","type":"home"}]`), strict: ok("emails", `[{"value":"b@x","type":"home"}]`)},
		{name: "7644-3.5.2.2 remove of the last element", ops: `[{"op":"remove","path":"roles[value eq \"admin\"]"}]`, tolerant: ok("roles", "-"), strict: ok("roles", "-")},
		{name: "7644-3.5.2.2 remove of a part of an element", ops: `[{"op":"remove","path":"` + work + `.primary"}]`, tolerant: ok("emails.0", `{"value":"a@x","type":"work"}`), strict: ok("emails.0", `{"value":"a@x","type":"work"}`)},
		{name: "7644-3.5.2.2 remove of listed values", ops: `[{"op":"remove","path":"roles","value":[{"value":"ADMIN"}]},{"op":"remove","path":"M:texts","value":["b"]}]`, tolerant: ok("roles", "-", "M.texts", `["a"]`), strict: ok("roles", "-", "M.texts", `["a"]`)},
		{name: "7644-3.5.2.2 remove of listed values in another case", ops: `[{"op":"remove","path":"M:exacts","value":["A","B"]}]`, tolerant: ok("M.exacts", `["a"]`), strict: ok("M.exacts", `["a"]`)},
		{name: "7644-3.5.2.2 remove of a required attribute", ops: `[{"op":"remove","path":"userName"}]`, tolerant: refused("invalidValue"), strict: refused("mutability"), needs: "Entra (its cases know invalidValue)"},
		{name: "7644-3.5.2.2 remove of a required attribute of an extension", ops: `[{"op":"remove","path":"N:needed"}]`, tolerant: refused("invalidValue"), strict: refused("mutability"), needs: "Entra (its cases know invalidValue)"},
		{name: "7644-3.5.2 schemas beside what it names", ops: `[{"op":"add","value":{"schemas":["U","E"],"E":{"costCenter":"c"}}},{"op":"replace","value":{"schemas":["U"],"title":"T"}}]`,
			tolerant: ok("E.costCenter", `"c"`, "title", `"T"`, "schemas.1", `"E"`), strict: ok("E.costCenter", `"c"`, "title", `"T"`, "schemas.1", `"E"`)},
		{name: "7644-3.5.2.2 remove of schemas", ops: `[{"op":"remove","path":"schemas"}]`, tolerant: ok("schemas.0", `"U"`, "meta.version", `"W/\"1\""`), strict: refused("mutability"), needs: "clients that say what a resource no longer has"},
		{name: "7644-3.5.2.2 remove of a required part", ops: `[{"op":"remove","path":"N:parts[needed eq \"p\"].needed"}]`, tolerant: refused("invalidValue"), strict: refused("mutability"), needs: "Entra (its cases know invalidValue)"},
		{name: "7644-3.5.2.2 remove of an extension", ops: `[{"op":"remove","path":"` + needyURN + `"}]`, tolerant: ok("N", "-", "schemas", `["U","E","M"]`), strict: ok("N", "-", "schemas", `["U","E","M"]`)},
		{name: "7644-3.5.2.2 remove of manager by its value", ops: `[{"op":"remove","path":"E:manager[value eq \"m1\"]"}]`, tolerant: ok("E.manager", "-"), strict: ok("E.manager", "-")},

		// replace
		{name: "7644-3.5.2.3 replace without a path", ops: `[{"op":"replace","value":{"title":"T","name":{"givenName":"G"},"emails":[{"value":"c@x"}]}}]`, tolerant: ok("title", `"T"`, "name", `{"familyName":"Bakke","givenName":"G"}`, "emails", `[{"value":"c@x"}]`),
			strict: ok("title", `"T"`, "name", `{"familyName":"Bakke","givenName":"G"}`, "emails", `[{"value":"c@x"}]`)},
		{name: "7644-3.5.2.3 replace of what is not there adds it", ops: `[{"op":"replace","path":"nickName","value":"N"}]`, tolerant: ok("nickName", `"N"`), strict: ok("nickName", `"N"`)},
		{name: "7644-3.5.2.3 replace of a list", ops: `[{"op":"replace","path":"M:texts","value":["c"]}]`, tolerant: ok("M.texts", `["c"]`), strict: ok("M.texts", `["c"]`)},
		{name: "7644-3.5.2.3 replace of parts leaves the others", ops: `[{"op":"replace","path":"name","value":{"givenName":"G"}}]`, tolerant: ok("name", `{"familyName":"Bakke","givenName":"G"}`), strict: ok("name", `{"familyName":"Bakke","givenName":"G"}`)},
		{name: "7644-3.5.2.3 replace of a part of an element", ops: `[{"op":"replace","path":"` + work + `.value","value":"c@x"}]`, tolerant: ok("emails.0", `{"value":"c@x","type":"work","primary":true}`), strict: ok("emails.0", `{"value":"c@x","type":"work","primary":true}`)},
		{name: "7644-3.5.2.3 replace of an element that is not there", ops: `[{"op":"replace","path":"emails[type eq \"other\"].value","value":"c@x"}]`, tolerant: ok("emails.2", `{"value":"c@x","type":"other"}`), strict: refused("noTarget"), needs: "Entra"},
		{name: "7644-3.5.2.3 replace of an element that no filter describes", ops: `[{"op":"replace","path":"emails[type ne \"work\" and type ne \"home\"].value","value":"c@x"}]`, tolerant: refused("noTarget"), strict: refused("noTarget")},
		{name: "7644-3.5.2.3 replace with null", ops: `[{"op":"replace","path":"title","value":null},{"op":"replace","path":"emails","value":null}]`, tolerant: ok("title", "-", "emails", "-"), strict: ok("title", "-", "emails", "-")},
		{name: "7644-3.5.2.3 replace with an empty string", ops: `[{"op":"replace","path":"title","value":""}]`, tolerant: ok("title", "-"), strict: ok("title", "-")},
		{name: "7644-3.5.2.3 replace with an empty list", ops: `[{"op":"replace","path":"emails","value":[]}]`, tolerant: ok("emails", "-"), strict: ok("emails", "-")},
		{name: "7644-3.5.2.3 replace of manager with an empty string", ops: `[{"op":"replace","path":"E:manager","value":""}]`, tolerant: ok("E.manager", "-"), strict: refused("invalidValue"), needs: "Entra (SCIM_Update_Manager)"},
		{name: "7644-3.5.2.3 replace of manager with an empty value", ops: `[{"op":"replace","path":"E:manager","value":{"value":""}}]`, tolerant: ok("E.manager", "-"), strict: ok("E.manager", "-")},
		{name: "7644-3.5.2.3 replace of a required attribute with nothing", ops: `[{"op":"replace","path":"userName","value":""}]`, tolerant: refused("invalidValue"), strict: refused("invalidValue")},
		{name: "7644-3.5.2.3 replace with the same", ops: `[{"op":"replace","path":"title","value":"Planner"},{"op":"replace","path":"` + work + `.value","value":"a@x"}]`, tolerant: ok("meta.version", `"W/\"1\""`), strict: ok("meta.version", `"W/\"1\""`)},
		{name: "7644-3.5.2.3 replace of schemas", ops: `[{"op":"replace","path":"schemas","value":["U"]}]`, tolerant: ok("schemas", `["U","E","M","N"]`), strict: ok("schemas", `["U","E","M","N"]`)},
	} {
		if (row.needs != "") != (row.tolerant.status != row.strict.status || row.tolerant.scimType != row.strict.scimType) {
			t.Errorf("%s: a client is named exactly where the modes differ", row.name)
		}
		m.run(t, row.name, func(t *testing.T, a *tenant, strict bool) {
			user, _ := m.object(matrixUser)
			path := "/Users/" + a.requestAs(t, "POST", "/Users", user).want(201).id()
			before := string(a.requestAs(t, "GET", path, nil).body)
			want := row.tolerant
			if strict {
				want = row.strict
			}
			m.judge(t, a, a.requestAs(t, "PATCH", path, m.operations(row.ops)), path, before, want)
		})
	}
}
