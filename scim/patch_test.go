package scim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const crewURN = "urn:example:params:scim:schemas:extension:crew:2.0:User"

// crewSchema is a custom extension with one attribute of each kind that has rules of its own.
const crewSchema = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Schema"],"id":"` + crewURN + `","name":"Crew","attributes":[
	{"name":"berth","type":"string","required":true},
	{"name":"codes","type":"string","multiValued":true},
	{"name":"badge","type":"string","mutability":"immutable"},
	{"name":"rank","type":"integer"},
	{"name":"draught","type":"decimal"},
	{"name":"licensed","type":"boolean"},
	{"name":"since","type":"dateTime"},
	{"name":"papers","type":"complex","multiValued":true,"subAttributes":[
		{"name":"number","type":"string","required":true},{"name":"type","type":"string"},{"name":"stamps","type":"string","multiValued":true},
		{"name":"seen","type":"dateTime","mutability":"readOnly"}]}
]}`

var testUser, testGroup = func() (*ResourceType, *ResourceType) {
	crew, err := ParseSchema([]byte(crewSchema))
	if err != nil {
		panic(err)
	}
	return NewResourceTypes([]*Schema{crew})
}()

func parseTest(t rapid.TB, s string) Value {
	t.Helper()
	v, err := parseJSON([]byte(s), 32)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return v
}

func encode(v Value) string { return string(appendValue(nil, v)) }

// expand writes E: and C: out in test data.
func expand(s string) string {
	return strings.NewReplacer(`"E:`, `"`+EnterpriseURN+`:`, `"E"`, `"`+EnterpriseURN+`"`,
		`"C:`, `"`+crewURN+`:`, `"C"`, `"`+crewURN+`"`, `"U:`, `"`+UserURN+`:`).Replace(s)
}

func patchBody(ops string) string {
	return `{"schemas":["` + patchURN + `"],"Operations":` + ops + `}`
}

// patchTest applies operations to canonical attributes and returns the canonical result.
func patchTest(t rapid.TB, rt *ResourceType, mode Mode, before, ops string) (string, []Warning, error) {
	t.Helper()
	attrs := parseTest(t, expand(before))
	was := encode(attrs)
	p, err := parsePatch(parseTest(t, patchBody(expand(ops))), rt, mode, PatchLimits{})
	if err != nil {
		return "", nil, err
	}
	next, warnings, err := p.apply(attrs)
	if now := encode(attrs); now != was {
		t.Errorf("%s: apply changed its input\nfrom %s\nto   %s", ops, was, now)
	}
	if err != nil {
		return "", warnings, err
	}
	again, _, err := p.apply(attrs)
	if err != nil || encode(again) != encode(next) {
		t.Errorf("%s: a second run gives %s, %v\nthe first gave %s", ops, encode(again), err, encode(next))
	}
	return encode(next), warnings, nil
}

func scimType(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.ScimType
	}
	return fmt.Sprint(err)
}

// The rows name the section 5 entry or section of the evidence that they stand for.
func TestPatchUser(t *testing.T) {
	const (
		marta = `{"userName":"marta","name":{"familyName":"Lindqvist","givenName":"Marta"},"title":"Planner","active":true,` +
			`"emails":[{"value":"m@x","type":"work","primary":true}],"E":{"employeeNumber":"40113","department":"Logistics"}}`
		bare = `{"userName":"u"}`
	)
	tests := []struct{ name, before, ops, after string }{
		// op and key spelling
		{"capital op (1)", bare, `[{"op":"Replace","path":"title","value":"x"}]`, `{"userName":"u","title":"x"}`},
		{"upper op", bare, `[{"op":"ADD","path":"title","value":"x"}]`, `{"userName":"u","title":"x"}`},
		{"lower op (2)", bare, `[{"op":"add","path":"title","value":"x"}]`, `{"userName":"u","title":"x"}`},
		{"keys of an operation in any case, others ignored", bare, `[{"OP":"add","Path":"title","VALUE":"x","name":"addTitle"}]`, `{"userName":"u","title":"x"}`},
		{"one operation without a list (27)", `{"userName":"u","E":{"manager":{"value":"m"}}}`,
			`{"op":"replace","path":"manager","value":""}`, bare},
		{"no operations (41)", marta, `[]`, marta},

		// value paths
		{"replace creates the element (3)", bare, `[{"op":"replace","path":"emails[type eq \"work\"].value","value":"u@x"}]`,
			`{"userName":"u","emails":[{"value":"u@x","type":"work"}]}`},
		{"several types (4)", bare, `[{"op":"replace","path":"emails[type eq \"home\"].value","value":"h@x"},{"op":"replace","path":"emails[type eq \"other\"].value","value":"o@x"}]`,
			`{"userName":"u","emails":[{"value":"h@x","type":"home"},{"value":"o@x","type":"other"}]}`},
		{"add creates the element (5)", bare, `[{"op":"Add","path":"emails[type eq \"work\"].value","value":"u@x"}]`,
			`{"userName":"u","emails":[{"value":"u@x","type":"work"}]}`},
		{"second element (6)", `{"userName":"u","addresses":[{"country":"A","type":"home"}]}`, `[{"op":"Add","path":"addresses[type eq \"work\"].formatted","value":"F"}]`,
			`{"userName":"u","addresses":[{"country":"A","type":"home"},{"formatted":"F","type":"work"}]}`},
		{"address without addresses (7)", bare, `[{"op":"Add","path":"addresses[type eq \"work\"].country","value":"SE"}]`,
			`{"userName":"u","addresses":[{"country":"SE","type":"work"}]}`},
		{"add on a present value sets (9, 74)", marta, `[{"op":"Add","path":"emails[type eq \"work\"].value","value":"n@x"}]`,
			strings.Replace(marta, "m@x", "n@x", 1)},
		{"three operations (10)", bare, `[{"op":"Replace","path":"emails[type eq \"work\"].value","value":"e"},{"op":"Replace","path":"addresses[type eq \"work\"].locality","value":"Visby"},{"op":"Add","path":"E:department","value":"D"}]`,
			`{"userName":"u","emails":[{"value":"e","type":"work"}],"addresses":[{"locality":"Visby","type":"work"}],"E":{"department":"D"}}`},
		{"type compares without case", marta, `[{"op":"replace","path":"Emails[Type eq \"Work\"].Value","value":"q"}]`, strings.Replace(marta, "m@x", "q", 1)},
		{"filter without quotes", marta, `[{"op":"replace","path":"emails[type eq work].value","value":"q"}]`, strings.Replace(marta, "m@x", "q", 1)},
		{"two terms create both", bare, `[{"op":"add","path":"emails[type eq \"work\" and primary eq true].value","value":"q"}]`,
			`{"userName":"u","emails":[{"value":"q","type":"work","primary":true}]}`},
		{"quote and bracket in a filter value", bare, `[{"op":"add","path":"roles[value eq \"a]\\\"b\"].display","value":"q"}]`,
			`{"userName":"u","roles":[{"value":"a]\"b","display":"q"}]}`},
		{"untyped is a type like others (40)", bare, `[{"op":"add","path":"emails[type eq \"untyped\"].value","value":"q"}]`,
			`{"userName":"u","emails":[{"value":"q","type":"untyped"}]}`},
		{"object on a value path merges", marta, `[{"op":"replace","path":"emails[type eq \"work\"]","value":{"display":"M"}}]`,
			strings.Replace(marta, `"m@x",`, `"m@x","display":"M",`, 1)},
		{"null in that object takes away", marta, `[{"op":"replace","path":"emails[type eq \"work\"]","value":{"primary":null}}]`,
			strings.Replace(marta, `,"primary":true`, ``, 1)},
		{"text on a value path is the value", marta, `[{"op":"replace","path":"emails[type eq \"work\"]","value":"q"}]`, strings.Replace(marta, "m@x", "q", 1)},
		{"element as a list of one", bare, `[{"op":"add","path":"emails[type eq \"work\"]","value":[{"value":"q"}]}]`,
			`{"userName":"u","emails":[{"value":"q","type":"work"}]}`},
		{"all hits change and collapse", `{"userName":"u","emails":[{"value":"a","type":"work"},{"value":"b","type":"work"}]}`,
			`[{"op":"replace","path":"emails[type eq \"work\"].value","value":"c"}]`, `{"userName":"u","emails":[{"value":"c","type":"work"}]}`},

		{"primary of an element that comes to nothing is taken from nobody", marta, `[{"op":"Replace","path":"emails[type eq \"other\"].primary","value":"True"}]`, marta},
		{"primary of an address that comes to nothing", `{"userName":"u","addresses":[{"country":"A","primary":true}]}`,
			`[{"op":"add","path":"addresses[type eq \"home\"].primary","value":true}]`, `{"userName":"u","addresses":[{"country":"A","primary":true}]}`},
		{"primary before its value", marta, `[{"op":"replace","path":"emails[type eq \"other\"].primary","value":true},{"op":"replace","path":"emails[type eq \"other\"].value","value":"o@x"}]`,
			strings.Replace(marta, `"primary":true}`, `"primary":false},{"value":"o@x","type":"other","primary":true}`, 1)},
		{"primary that is taken away by name stays away", marta, `[{"op":"replace","path":"emails[type eq \"work\"].primary","value":false},{"op":"replace","path":"emails[type eq \"other\"].primary","value":true}]`,
			strings.Replace(marta, `"primary":true}`, `"primary":false}`, 1)},
		{"primary that is removed with its value", marta, `[{"op":"remove","path":"emails[type eq \"work\"].value"},{"op":"add","path":"emails[type eq \"home\"].primary","value":true}]`,
			strings.Replace(marta, `"emails":[{"value":"m@x","type":"work","primary":true}],`, ``, 1)},
		{"a primary value that is there already", `{"userName":"u","addresses":[{"country":"A","primary":true}]}`,
			`[{"op":"add","path":"addresses","value":[{"country":"A","primary":true}]}]`, `{"userName":"u","addresses":[{"country":"A","primary":true}]}`},

		// no path
		{"dotted keys (11, 12, 14)", bare, `[{"op":"add","value":{"displayName":"D","title":"T","name.givenName":"G","name.familyName":"F","name.middleName":"M"}}]`,
			`{"userName":"u","name":{"familyName":"F","givenName":"G","middleName":"M"},"displayName":"D","title":"T"}`},
		{"userName and active (13)", marta, `[{"op":"replace","value":{"userName":"new","name.familyName":"Hesse","active":false}}]`,
			strings.NewReplacer(`:"marta"`, `:"new"`, "Lindqvist", "Hesse", "true,\"emails", "false,\"emails").Replace(marta)},
		{"dotted key on a present parent (15)", marta, `[{"op":"replace","value":{"name.familyName":"Ek"}}]`, strings.Replace(marta, "Lindqvist", "Ek", 1)},
		{"nested object keeps siblings (16)", marta, `[{"op":"replace","value":{"name":{"givenName":"Mia"}}}]`, strings.Replace(marta, `"givenName":"Marta"`, `"givenName":"Mia"`, 1)},
		{"URN key (17, 18)", bare, `[{"op":"add","value":{"E:employeeNumber":"1","E:department":"D"}}]`, `{"userName":"u","E":{"employeeNumber":"1","department":"D"}}`},
		{"extension object, unknown attribute beside it (19)", bare, `[{"op":"add","value":{"E":{"department":"D","shoe":"44"},"shoe":44,"title":"T"}}]`,
			`{"userName":"u","title":"T","E":{"department":"D"}}`},
		{"custom URN key with a dot (20)", `{"userName":"u","C":{"berth":"A"}}`, `[{"op":"add","value":{"C:berth":"B"}}]`, `{"userName":"u","C":{"berth":"B"}}`},
		{"value path as a key", bare, `[{"op":"add","value":{"emails[type eq \"work\"].value":"e"}}]`, `{"userName":"u","emails":[{"value":"e","type":"work"}]}`},
		{"core URN as a key", bare, `[{"op":"add","value":{"` + UserURN + `":{"title":"T"},"U:nickName":"N"}}]`, `{"userName":"u","nickName":"N","title":"T"}`},
		{"core URN as a path", bare, `[{"op":"add","path":"` + UserURN + `","value":{"title":"T"}}]`, `{"userName":"u","title":"T"}`},
		{"empty path is no path", bare, `[{"op":"add","path":"","value":{"title":"T"}}]`, `{"userName":"u","title":"T"}`},
		{"null clears in an object", marta, `[{"op":"replace","value":{"title":null,"name":{"familyName":null},"emails":[]}}]`,
			`{"userName":"marta","name":{"givenName":"Marta"},"active":true,"E":{"employeeNumber":"40113","department":"Logistics"}}`},
		{"empty object changes nothing", marta, `[{"op":"replace","value":{}}]`, marta},
		{"id, schemas, meta and groups pass", marta, `[{"op":"replace","value":{"id":"x","schemas":[],"meta":{"version":"1"},"meta.version":"1","groups":[{"value":"g"}],"U:groups":[],"title":"T"}}]`,
			strings.Replace(marta, "Planner", "T", 1)},
		{"fields of a store mean nothing", marta, `[{"op":"replace","value":{"isAdmin":true,"tenantId":"t","_id":"1","__proto__":{"admin":true},"constructor":{},"sessions":[]}}]`, marta},
		{"password passes", bare, `[{"op":"replace","value":{"password":"p"}},{"op":"replace","path":"password","value":"p"},{"op":"replace","path":"U:password","value":"p"}]`, bare},

		// URN paths
		{"enterprise path (21, 22, 23, 24)", bare, `[{"op":"Add","path":"E:employeeNumber","value":"1"},{"op":"replace","path":"E:costCenter","value":"C"}]`,
			`{"userName":"u","E":{"employeeNumber":"1","costCenter":"C"}}`},
		{"URN without regard to case (77)", bare, `[{"op":"Add","path":"URN:IETF:params:scim:schemas:extension:ENTERPRISE:2.0:user:Department","value":"D"}]`,
			`{"userName":"u","E":{"department":"D"}}`},
		{"changed, removed, absent (25)", marta, `[{"op":"replace","path":"E:department","value":"D"},{"op":"remove","path":"E:employeeNumber"},{"op":"remove","path":"E:division"}]`,
			strings.NewReplacer(`"employeeNumber":"40113",`, ``, "Logistics", "D").Replace(marta)},
		{"core URN (43)", marta, `[{"op":"Replace","path":"U:title","value":"T"},{"op":"Replace","path":"U:name.familyName","value":"Ek"},{"op":"Replace","path":"U:emails[type eq \"work\"].value","value":"q"}]`,
			strings.NewReplacer("Planner", "T", "Lindqvist", "Ek", "m@x", "q").Replace(marta)},
		{"unknown core attribute by URN (43)", marta, `[{"op":"Replace","path":"U:role","value":"T"}]`, marta},
		{"whole extension", marta, `[{"op":"replace","path":"` + EnterpriseURN + `","value":{"division":"V"}}]`,
			strings.Replace(marta, `"department"`, `"division":"V","department"`, 1)},
		{"whole extension removed", marta, `[{"op":"remove","path":"` + EnterpriseURN + `"}]`, marta[:strings.Index(marta, `,"E"`)] + "}"},
		{"last attribute takes the extension along", `{"userName":"u","E":{"department":"D"}}`, `[{"op":"remove","path":"E:department"}]`, bare},
		{"extensions keep their order", `{"userName":"u","C":{"berth":"B"}}`, `[{"op":"add","path":"E:department","value":"D"}]`, `{"userName":"u","E":{"department":"D"},"C":{"berth":"B"}}`},

		// manager
		{"text (26)", bare, `[{"op":"Add","path":"E:manager","value":"m"}]`, `{"userName":"u","E":{"manager":{"value":"m"}}}`},
		{"object", bare, `[{"op":"Add","path":"E:manager","value":{"value":"m"}}]`, `{"userName":"u","E":{"manager":{"value":"m"}}}`},
		{"bare path and list (29)", bare, `[{"op":"Add","path":"manager","value":[{"value":"m"}]}]`, `{"userName":"u","E":{"manager":{"value":"m"}}}`},
		{"sub path", bare, `[{"op":"Add","path":"E:manager.value","value":"m"}]`, `{"userName":"u","E":{"manager":{"value":"m"}}}`},
		{"key in an object", marta, `[{"op":"add","value":{"E:manager":"m"}}]`, strings.Replace(marta, `"Logistics"`, `"Logistics","manager":{"value":"m"}`, 1)},
		{"another manager has another $ref", `{"userName":"u","E":{"manager":{"value":"m","$ref":"../m"}}}`, `[{"op":"Replace","path":"manager","value":"n"}]`, `{"userName":"u","E":{"manager":{"value":"n"}}}`},
		{"another manager by sub path", `{"userName":"u","E":{"manager":{"value":"m","$ref":"../m"}}}`, `[{"op":"Replace","path":"manager.value","value":"n"}]`, `{"userName":"u","E":{"manager":{"value":"n"}}}`},
		{"the same manager changes nothing", `{"userName":"u","E":{"manager":{"value":"m","$ref":"../m"}}}`, `[{"op":"Replace","path":"manager","value":"m"}]`, `{"userName":"u","E":{"manager":{"value":"m","$ref":"../m"}}}`},
		{"empty text", `{"userName":"u","E":{"manager":{"value":"m","$ref":"../m"}}}`, `[{"op":"replace","path":"E:manager","value":""}]`, bare},
		{"empty value", `{"userName":"u","E":{"manager":{"value":"m"}}}`, `[{"op":"replace","path":"E:manager","value":{"value":""}}]`, bare},
		{"null", `{"userName":"u","E":{"manager":{"value":"m"}}}`, `[{"op":"Replace","path":"E:manager","value":null}]`, bare},
		{"list with an empty value", `{"userName":"u","E":{"manager":{"value":"m"}}}`, `[{"op":"Replace","path":"E:manager","value":[{"value":null}]}]`, bare},
		{"empty value beside what was known", `{"userName":"u","E":{"manager":{"value":"m"}}}`, `[{"op":"replace","path":"E:manager","value":{"value":"","$ref":"../m","displayName":"M"}}]`, bare},
		{"$ref of the manager that is there", `{"userName":"u","E":{"manager":{"value":"m","$ref":"../m"}}}`, `[{"op":"replace","path":"E:manager","value":{"$ref":"../n"}}]`, `{"userName":"u","E":{"manager":{"value":"m","$ref":"../n"}}}`},
		{"$ref before its manager", bare, `[{"op":"add","path":"E:manager.$ref","value":"../m"},{"op":"add","path":"E:manager.value","value":"m"}]`, `{"userName":"u","E":{"manager":{"value":"m","$ref":"../m"}}}`},
		{"$ref of nobody", bare, `[{"op":"add","path":"E:manager.$REF","value":"../m"}]`, bare},
		{"sub path emptied", `{"userName":"u","E":{"manager":{"value":"m","$ref":"../m"}}}`, `[{"op":"Replace","path":"E:manager.value","value":""}]`, bare},
		{"removed by filter (28)", `{"userName":"u","E":{"manager":{"value":"m"}}}`, `[{"op":"remove","path":"manager[value eq \"m\"]"}]`, bare},
		{"another one by filter stays", `{"userName":"u","E":{"manager":{"value":"m"}}}`, `[{"op":"remove","path":"manager[value eq \"n\"]"}]`, `{"userName":"u","E":{"manager":{"value":"m"}}}`},
		{"removed with a list", `{"userName":"u","E":{"manager":{"value":"m"}}}`, `[{"op":"Remove","path":"manager","value":[{"value":"m"}]}]`, bare},
		{"removed when there is none", marta, `[{"op":"Remove","path":"E:manager"}]`, marta},

		// booleans
		{"role with a text primary (30)", bare, `[{"op":"add","path":"roles","value":[{"primary":"True","value":"A"}]}]`, `{"userName":"u","roles":[{"value":"A","primary":true}]}`},
		{"role by primary, parts in any order (30)", bare, `[{"op":"add","path":"roles[primary eq \"True\"].display","value":"D"},{"op":"add","path":"roles[primary eq \"True\"].value","value":"V"},{"op":"add","path":"roles[primary eq \"True\"].type","value":"T"}]`,
			`{"userName":"u","roles":[{"value":"V","display":"D","type":"T","primary":true}]}`},
		{"role by primary beside another", `{"userName":"u","roles":[{"value":"guest","primary":false}]}`, `[{"op":"Replace","path":"roles[primary eq \"true\"].value","value":"A"}]`,
			`{"userName":"u","roles":[{"value":"guest","primary":false},{"value":"A","primary":true}]}`},
		{"text primary (31)", `{"userName":"u","emails":[{"value":"h","type":"home","primary":true},{"value":"w","type":"work"}]}`, `[{"op":"Replace","path":"emails[type eq \"work\"].primary","value":"true"}]`,
			`{"userName":"u","emails":[{"value":"h","type":"home","primary":false},{"value":"w","type":"work","primary":true}]}`},
		{"active as False (32, 33)", marta, `[{"op":"Replace","path":"active","value":"False"}]`, strings.Replace(marta, "true,", "false,", 1)},
		{"active as false text (34, 37)", marta, `[{"op":"Replace","path":"active","value":"false"}]`, strings.Replace(marta, "true,", "false,", 1)},
		{"active in an object", marta, `[{"op":"Replace","value":{"active":"False"}}]`, strings.Replace(marta, "true,", "false,", 1)},
		{"reactivate (35, 75)", marta, `[{"op":"Replace","path":"active","value":"True"}]`, marta},
		{"add active (36)", marta, `[{"op":"Add","path":"active","value":false}]`, strings.Replace(marta, "true,", "false,", 1)},
		{"unsupported bracket path beside active (38)", marta, `[{"op":"replace","path":"cars[type eq \"work\"].value","value":"x"},{"op":"replace","path":"emails[kind eq \"x\"].value","value":"x"},{"op":"replace","path":"emails[type eq \"work\"].colour","value":"x"},{"op":"replace","path":"active","value":"False"}]`,
			strings.Replace(marta, "true,", "false,", 1)},
		{"address primary (39)", `{"userName":"u","addresses":[{"country":"SE","type":"work"}]}`, `[{"op":"replace","path":"addresses[type eq \"work\"].primary","value":true}]`,
			`{"userName":"u","addresses":[{"country":"SE","type":"work","primary":true}]}`},
		{"primary before the value", bare, `[{"op":"add","path":"addresses[type eq \"work\"].primary","value":true},{"op":"add","path":"addresses[type eq \"work\"].country","value":"SE"}]`,
			`{"userName":"u","addresses":[{"country":"SE","type":"work","primary":true}]}`},
		{"phone number as primary (40)", marta, `[{"op":"replace","path":"emails[type eq \"work\"].primary","value":"56-357-7743"},{"op":"replace","path":"title","value":"T"}]`, strings.Replace(marta, "Planner", "T", 1)},
		{"active stays when it is removed", `{"userName":"u","active":false}`, `[{"op":"remove","path":"active"},{"op":"replace","path":"active","value":""},{"op":"replace","value":{"active":null}}]`, `{"userName":"u","active":false}`},

		// no change
		{"same value (42)", marta, `[{"op":"Replace","path":"title","value":"Planner"},{"op":"Add","path":"emails","value":[{"type":"work","value":"m@x"}]},{"op":"add","path":"name","value":{"givenName":"Marta"}}]`, marta},

		// elements without type, and attr.sub
		{"by primary (44)", `{"userName":"u","emails":[{"value":"a","primary":true},{"value":"b"}]}`, `[{"op":"replace","path":"emails[primary eq true].value","value":"c"}]`,
			`{"userName":"u","emails":[{"value":"c","primary":true},{"value":"b"}]}`},
		{"attr.sub, only element (76)", `{"userName":"u","emails":[{"value":"a","type":"home"}]}`, `[{"op":"replace","path":"emails.value","value":"c"}]`, `{"userName":"u","emails":[{"value":"c","type":"home"}]}`},
		{"attr.sub, primary element (76)", `{"userName":"u","emails":[{"value":"a"},{"value":"b","primary":true}]}`, `[{"op":"replace","path":"emails.value","value":"c"}]`, `{"userName":"u","emails":[{"value":"a"},{"value":"c","primary":true}]}`},
		{"attr.sub, no element", bare, `[{"op":"replace","path":"emails.value","value":"c"},{"op":"add","path":"roles.value","value":"r"}]`, `{"userName":"u","emails":[{"value":"c","type":"work"}],"roles":[{"value":"r"}]}`},
		{"attr.sub removed", `{"userName":"u","emails":[{"value":"a","display":"A"},{"value":"b"}]}`, `[{"op":"remove","path":"emails.display"},{"op":"replace","path":"photos.value","value":""}]`, `{"userName":"u","emails":[{"value":"a"},{"value":"b"}]}`},
		{"attr.sub emptied everywhere", `{"userName":"u","emails":[{"value":"a","type":"work"},{"value":"b","display":"B"}]}`, `[{"op":"replace","path":"emails.value","value":null}]`, `{"userName":"u","emails":[{"display":"B"}]}`},
		{"siblings of name.givenName stay (71)", `{"userName":"u","name":{"formatted":"Marta L"},"displayName":"ML"}`, `[{"op":"replace","path":"name.givenName","value":"Mia"}]`, `{"userName":"u","name":{"formatted":"Marta L","givenName":"Mia"},"displayName":"ML"}`},

		// lists
		{"replace a list", `{"userName":"u","roles":[{"value":"guest"}]}`, `[{"op":"replace","path":"roles","value":[{"primary":false,"type":"T","display":"A","value":"a"},{"primary":false,"value":"b"}]}]`,
			`{"userName":"u","roles":[{"value":"a","display":"A","type":"T","primary":false},{"value":"b","primary":false}]}`},
		{"add to a list", `{"userName":"u","roles":[{"value":"guest"}]}`, `[{"op":"Add","path":"roles","value":[{"value":"a"}]}]`, `{"userName":"u","roles":[{"value":"guest"},{"value":"a"}]}`},
		{"JSON in a text stays text", bare, `[{"op":"Add","path":"roles","value":[{"value":"{\"id\":1,\"value\":\"v\"}"}]}]`, `{"userName":"u","roles":[{"value":"{\"id\":1,\"value\":\"v\"}"}]}`},
		{"add one object", bare, `[{"op":"Add","path":"emails","value":{"value":"a"}}]`, `{"userName":"u","emails":[{"value":"a"}]}`},
		{"add texts", bare, `[{"op":"Add","path":"emails","value":["a","b"]}]`, `{"userName":"u","emails":[{"value":"a"},{"value":"b"}]}`},
		{"add a new primary", `{"userName":"u","emails":[{"value":"a","primary":true}]}`, `[{"op":"Add","path":"emails","value":[{"value":"b","primary":true}]}]`, `{"userName":"u","emails":[{"value":"a","primary":false},{"value":"b","primary":true}]}`},
		{"add a present one as primary", `{"userName":"u","emails":[{"value":"a"},{"value":"b","primary":true}]}`, `[{"op":"Add","path":"emails","value":[{"value":"a","primary":true}]}]`, `{"userName":"u","emails":[{"value":"a","primary":true},{"value":"b","primary":false}]}`},
		{"of two primaries the last", bare, `[{"op":"replace","path":"emails","value":[{"value":"a","primary":true},{"value":"b","primary":true}]}]`, `{"userName":"u","emails":[{"value":"a","primary":false},{"value":"b","primary":true}]}`},
		{"add nothing", marta, `[{"op":"add","path":"emails","value":[]},{"op":"add","path":"emails","value":null},{"op":"add","path":"emails","value":""},{"op":"add","value":{"emails":{"value":""}}},{"op":"add","path":"emails[type eq \"work\"]","value":[]}]`, marta},
		{"add null unassigns", marta, `[{"op":"add","path":"title","value":null}]`, strings.Replace(marta, `"title":"Planner",`, ``, 1)},
		{"replace with nothing", `{"userName":"u","emails":[{"value":"a"}]}`, `[{"op":"replace","path":"emails","value":[]}]`, bare},
		{"remove a list", `{"userName":"u","emails":[{"value":"a"}]}`, `[{"op":"remove","path":"emails"}]`, bare},
		{"remove one of a list", `{"userName":"u","emails":[{"value":"a","type":"work"},{"value":"a","type":"home"},{"value":"b"}]}`, `[{"op":"remove","path":"emails","value":[{"value":"a","type":"work","primary":true},{"value":"z"}]}]`,
			`{"userName":"u","emails":[{"value":"a","type":"home"},{"value":"b"}]}`},
		{"remove no element of a list", `{"userName":"u","emails":[{"value":"a"}]}`, `[{"op":"remove","path":"emails","value":[]}]`, `{"userName":"u","emails":[{"value":"a"}]}`},
		{"remove elements by filter", `{"userName":"u","emails":[{"value":"a","type":"home"},{"value":"b","type":"work"}]}`, `[{"op":"Remove","path":"emails[type eq \"home\"]"}]`, `{"userName":"u","emails":[{"value":"b","type":"work"}]}`},
		{"remove by another filter", `{"userName":"u","emails":[{"value":"a","type":"home"},{"value":"b","type":"work"}]}`, `[{"op":"Remove","path":"emails[type ne \"home\" or value sw \"z\"]"}]`, `{"userName":"u","emails":[{"value":"a","type":"home"}]}`},
		{"removal with a value never writes it (PR 87)", `{"userName":"u","emails":[{"value":"a","type":"work"}]}`, `[{"op":"Remove","path":"emails[type eq \"work\"].value","value":"other"}]`, bare},
		{"remove what no filter finds", marta, `[{"op":"Remove","path":"emails[type eq \"home\"]"},{"op":"Remove","path":"emails[type eq \"home\"].value"}]`, marta},

		// clearing
		{"empty text and null", marta, `[{"op":"replace","path":"title","value":""},{"op":"replace","path":"E:department","value":null},{"op":"replace","path":"name.familyName","value":""}]`,
			`{"userName":"marta","name":{"givenName":"Marta"},"active":true,"emails":[{"value":"m@x","type":"work","primary":true}],"E":{"employeeNumber":"40113"}}`},
		{"empty list for one value", marta, `[{"op":"replace","path":"title","value":[]},{"op":"replace","path":"name.givenName","value":[]}]`,
			strings.NewReplacer(`"title":"Planner",`, ``, `,"givenName":"Marta"`, ``).Replace(marta)},
		{"value paths that find nothing make no shell", bare, `[{"op":"replace","path":"phoneNumbers[type eq \"fax\"].value","value":null},{"op":"replace","path":"emails[type eq \"other\"].value","value":""},{"op":"replace","path":"addresses[type eq \"work\"].country","value":{"value":""}},{"op":"replace","path":"roles[primary eq \"True\"].value","value":""}]`, bare},
		{"value path emptied takes the element", marta, `[{"op":"replace","path":"emails[type eq \"work\"].value","value":""}]`, strings.Replace(marta, `"emails":[{"value":"m@x","type":"work","primary":true}],`, ``, 1)},
		{"last part takes name along", `{"userName":"u","name":{"givenName":"G"}}`, `[{"op":"remove","path":"name.givenName"}]`, bare},
		{"absent attribute removed", marta, `[{"op":"Remove","path":"nickName"}]`, marta},

		// types
		{"number for a text (section 8)", bare, `[{"op":"Replace","path":"E:employeeNumber","value":40115}]`, `{"userName":"u","E":{"employeeNumber":"40115"}}`},
		{"old value objects", bare, `[{"op":"Replace","path":"title","value":[{"$ref":null,"value":"T"}]}]`, `{"userName":"u","title":"T"}`},
		{"texts for numbers", `{"userName":"u","C":{"berth":"B"}}`, `[{"op":"add","value":{"C:rank":"7","C:draught":"1.50","C:licensed":"True"}}]`, `{"userName":"u","C":{"berth":"B","rank":7,"draught":1.50,"licensed":true}}`},
		{"order of operations (P2)", marta, `[{"op":"remove","path":"title"},{"op":"add","path":"title","value":"A"},{"op":"replace","path":"title","value":"B"}]`, strings.Replace(marta, "Planner", "B", 1)},
		{"required removed and set again", marta, `[{"op":"remove","path":"userName"},{"op":"add","path":"userName","value":"marta"}]`, marta},
		{"schemas follow from attributes", bare, `[{"op":"add","path":"schemas","value":["` + EnterpriseURN + `"]}]`, bare},

		// custom lists (73)
		{"value objects unwrapped, present ones kept", `{"userName":"u","C":{"berth":"B","codes":["7"]}}`, `[{"op":"Add","path":"C:codes","value":[{"value":"1"},{"value":"7"}]}]`, `{"userName":"u","C":{"berth":"B","codes":["7","1"]}}`},
		{"one text", `{"userName":"u","C":{"berth":"B"}}`, `[{"op":"Add","path":"C:codes","value":"1"}]`, `{"userName":"u","C":{"berth":"B","codes":["1"]}}`},
		{"remove one of them", `{"userName":"u","C":{"berth":"B","codes":["7","1"]}}`, `[{"op":"Remove","path":"C:codes","value":[{"value":"7"}]}]`, `{"userName":"u","C":{"berth":"B","codes":["1"]}}`},
		{"by filter", `{"userName":"u","C":{"berth":"B","codes":["7","1","2"]}}`, `[{"op":"Remove","path":"C:codes[value eq \"7\"]"},{"op":"Replace","path":"C:codes[value eq \"1\"]","value":"9"},{"op":"Replace","path":"C:codes[value eq \"2\"].value","value":"8"},{"op":"Add","path":"C:codes[value eq \"0\"]","value":"0"}]`,
			`{"userName":"u","C":{"berth":"B","codes":["9","8","0"]}}`},
		{"list in an element", `{"userName":"u","C":{"berth":"B","papers":[{"number":"1","stamps":["a"]}]}}`, `[{"op":"Add","path":"C:papers[number eq \"1\"].stamps","value":["b","a"]},{"op":"Add","path":"C:papers[number eq \"2\"].type","value":"t"}]`,
			`{"userName":"u","C":{"berth":"B","papers":[{"number":"1","stamps":["a","b"]},{"number":"2","type":"t"}]}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, _, err := patchTest(t, testUser, Mode{}, test.before, test.ops)
			if want := expand(test.after); err != nil || got != want {
				t.Fatalf("\ngot  %s (%v)\nwant %s", got, err, want)
			}
			normal, _, err := testUser.normalize(parseTest(t, got), Mode{})
			if err != nil || encode(normal) != got {
				t.Errorf("not canonical: normalizes to %s, %v", encode(normal), err)
			}
		})
	}
}

// However a manager is said to be nobody: there is none. What is known of nobody makes no manager.
func TestPatchNobodyIsManager(t *testing.T) {
	const bare, managed = `{"userName":"u"}`, `{"userName":"u","E":{"manager":{"value":"m","$ref":"../m"}}}`
	both := []string{`null`, `[]`, `{"value":""}`, `{"value":null}`, `{"value":[]}`, `{"value":"","$ref":"../n"}`}
	tolerant := slices.Concat(both, []string{`""`, `[null]`, `[""]`, `[{"value":""}]`, `{"value":"","$ref":"../n","displayName":"N"}`, `{"displayName":"N","value":null}`})
	shapes := func(v string, strict bool) (ops []string) {
		for _, verb := range []string{"add", "replace"} {
			ops = append(ops, `{"op":"`+verb+`","path":"E:manager","value":`+v+`}`, `{"op":"`+verb+`","path":"E","value":{"manager":`+v+`}}`, `{"op":"`+verb+`","value":{"E":{"manager":`+v+`}}}`)
			if !strict {
				ops = append(ops, `{"op":"`+verb+`","path":"manager","value":`+v+`}`, `{"op":"`+verb+`","value":{"E:manager":`+v+`}}`, `{"op":"`+verb+`","value":[{"manager":`+v+`}]}`)
			}
			if v[0] != '{' && (v[0] != '[' || v == "[]") {
				ops = append(ops, `{"op":"`+verb+`","path":"E:manager.value","value":`+v+`}`)
			}
		}
		return append(ops, `{"op":"remove","path":"E:manager","value":`+v+`}`)
	}
	for _, mode := range []Mode{{}, {Strict: true}} {
		values := tolerant
		if mode.Strict {
			values = both
		}
		ops := []string{`{"op":"remove","path":"E:manager"}`, `{"op":"remove","path":"E:manager.value"}`, `{"op":"remove","path":"E:manager[value eq \"m\"]"}`, `{"op":"remove","path":"E"}`}
		for _, v := range values {
			ops = append(ops, shapes(v, mode.Strict)...)
		}
		for _, o := range ops {
			for _, before := range []string{bare, managed} {
				if got, _, err := patchTest(t, testUser, mode, before, `[`+o+`]`); err != nil || got != bare {
					t.Errorf("%s on %s in %+v: %s, %v", o, before, mode, got, err)
				}
			}
		}
	}
	for _, v := range []string{`{"$ref":"../n"}`, `{"displayName":"N"}`, `{"$ref":"../n","displayName":"N"}`, `{}`, `{"$ref":""}`} {
		for _, o := range append(shapes(v, false), `{"op":"add","value":{"E:manager.$ref":"../n","E:manager.displayName":"N"}}`, `{"op":"add","path":"manager.$REF","value":"../n"}`) {
			if got, _, err := patchTest(t, testUser, Mode{}, bare, `[`+o+`]`); err != nil || got != bare {
				t.Errorf("%s: %s, %v", o, got, err)
			}
		}
	}
}

// Of an attribute that has a part value and others, an empty value takes away this part alone.
func TestPatchEmptyValueIsOnePart(t *testing.T) {
	shape, err := ParseSchema([]byte(`{"id":"urn:example:shape:1.0:User","attributes":[{"name":"box","type":"complex","subAttributes":[{"name":"value"},{"name":"label"}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	rt, _ := NewResourceTypes([]*Schema{shape})
	const before, after = `{"userName":"u","urn:example:shape:1.0:User":{"box":{"value":"v","label":"l"}}}`, `{"userName":"u","urn:example:shape:1.0:User":{"box":{"label":"l"}}}`
	for _, empty := range []string{`null`, `""`} {
		for _, mode := range []Mode{{}, {Strict: true}} {
			ops := `[{"op":"replace","path":"urn:example:shape:1.0:User:box","value":{"value":` + empty + `}}]`
			if got, _, err := patchTest(t, rt, mode, before, ops); err != nil || got != after {
				t.Errorf("%s in %+v: got %s, %v", ops, mode, got, err)
			}
		}
	}
}

func TestPatchRefused(t *testing.T) {
	const before = `{"userName":"u","title":"T","active":true,"emails":[{"value":"a","type":"home"}],"C":{"berth":"B","badge":"1"}}`
	tests := []struct{ name, ops, scimType string }{
		{"unknown op", `[{"op":"move","path":"title","value":"x"}]`, "invalidSyntax"},
		{"no op", `[{"path":"title","value":"x"}]`, "invalidSyntax"},
		{"op is no text", `[{"op":1,"path":"title","value":"x"}]`, "invalidSyntax"},
		{"operation is no object", `["add"]`, "invalidSyntax"},
		{"operations are no list", `"add"`, "invalidSyntax"},
		{"operations are null", `null`, "invalidSyntax"},
		{"add without a value", `[{"op":"add","path":"title"}]`, "invalidSyntax"},
		{"replace without a value", `[{"op":"replace","path":"title"}]`, "invalidSyntax"},
		{"remove without a path", `[{"op":"remove"}]`, "noTarget"},
		{"remove of the resource", `[{"op":"remove","path":"` + UserURN + `"}]`, "noTarget"},
		{"no path and no object", `[{"op":"replace","value":"x"}]`, "invalidValue"},
		{"path is no text", `[{"op":"replace","path":1,"value":"x"}]`, "invalidPath"},
		{"path not closed", `[{"op":"replace","path":"emails[type eq \"work\"","value":"x"}]`, "invalidPath"},
		{"path not parsed", `[{"op":"replace","path":"emails[type eq].value","value":"x"}]`, "invalidPath"},
		{"brackets on a single value", `[{"op":"replace","path":"title[value eq \"x\"]","value":"x"}]`, "invalidPath"},
		{"path too long", `[{"op":"replace","path":"` + strings.Repeat("a", 513) + `","value":"x"}]`, "invalidPath"},
		{"id", `[{"op":"replace","path":"id","value":"x"}]`, "mutability"},
		{"id by URN", `[{"op":"replace","path":"U:id","value":"x"}]`, "mutability"},
		{"meta", `[{"op":"replace","path":"meta.created","value":"x"}]`, "mutability"},
		{"groups", `[{"op":"add","path":"groups","value":[{"value":"g"}]}]`, "mutability"},
		{"groups by filter", `[{"op":"remove","path":"groups[value eq \"g\"]"}]`, "mutability"},
		{"our access extension", `[{"op":"add","path":"` + AccessURN + `:environments","value":[{"value":"e"}]}]`, "mutability"},
		{"our access extension as a whole", `[{"op":"remove","path":"` + AccessURN + `"}]`, "mutability"},
		{"one bad among good (atomic)", `[{"op":"replace","path":"title","value":"x"},{"op":"replace","path":"id","value":"y"}]`, "mutability"},
		{"userName emptied", `[{"op":"replace","path":"title","value":"x"},{"op":"Replace","path":"userName","value":""}]`, "invalidValue"},
		{"userName removed", `[{"op":"remove","path":"userName"}]`, "invalidValue"},
		{"userName as a number", `[{"op":"replace","path":"userName","value":7}]`, "invalidValue"},
		{"userName with an invisible character", `[{"op":"replace","path":"userName","value":"a\u200bb"}]`, "invalidValue"},
		{"userName with a letter that fills no space", `[{"op":"replace","path":"userName","value":"a\u3164b"}]`, "invalidValue"},
		{"userName with a joiner of graphemes", `[{"op":"replace","path":"userName","value":"a\u034fb"}]`, "invalidValue"},
		{"userName with a variation selector", `[{"op":"replace","path":"userName","value":"a\ufe0fb"}]`, "invalidValue"},
		{"active in and out of the core URN", `[{"op":"replace","value":{"` + UserURN + `":{"active":false},"active":true}}]`, "invalidValue"},
		{"title in and out of the core URN", `[{"op":"add","value":{"TITLE":"x","` + UserURN + `":{"title":"y"}}}]`, "invalidValue"},
		{"active is maybe", `[{"op":"replace","path":"active","value":"maybe"}]`, "invalidValue"},
		{"active is a number", `[{"op":"replace","path":"active","value":0}]`, "invalidValue"},
		{"emails as an empty object", `[{"op":"replace","path":"emails","value":{}}]`, "invalidValue"},
		{"emails nested", `[{"op":"replace","path":"emails","value":[[{"value":"x"}]]}]`, "invalidValue"},
		{"removal that names nothing", `[{"op":"remove","path":"emails","value":[{"type":"home"}]}]`, "invalidValue"},
		{"removal of an empty text", `[{"op":"remove","path":"emails","value":""}]`, "invalidValue"},
		{"two values for one", `[{"op":"replace","path":"title","value":["a","b"]}]`, "invalidValue"},
		{"object for a text", `[{"op":"replace","path":"title","value":{"a":"b"}}]`, "invalidValue"},
		{"text for a complex", `[{"op":"replace","path":"name","value":"x"}]`, "invalidValue"},
		{"text for an extension", `[{"op":"replace","path":"` + EnterpriseURN + `","value":"x"}]`, "invalidValue"},
		{"long text", `[{"op":"replace","path":"title","value":"` + strings.Repeat("x", 1025) + `"}]`, "invalidValue"},
		{"filter that does not say what to create", `[{"op":"add","path":"emails[type ne \"home\"].value","value":"x"}]`, "noTarget"},
		{"custom required removed", `[{"op":"remove","path":"C:berth"}]`, "invalidValue"},
		{"custom part required", `[{"op":"add","path":"C:papers","value":[{"stamps":["a"]}]}]`, "invalidValue"},
		{"custom immutable changed", `[{"op":"replace","path":"C:badge","value":"2"}]`, "mutability"},
		{"custom immutable removed", `[{"op":"remove","path":"C:badge"}]`, "mutability"},
		{"too many operations", `[` + strings.Repeat(`{"op":"remove","path":"title"},`, maxSteps) + `{"op":"remove","path":"title"}]`, "tooMany"},
		{"too many values", `[{"op":"add","path":"emails","value":[` + strings.Repeat(`"x",`, maxElements) + `"x"]}]`, "invalidValue"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, _, err := patchTest(t, testUser, Mode{}, before, test.ops)
			if scimType(err) != test.scimType {
				t.Errorf("got %s, %v; want %s", got, err, test.scimType)
			}
		})
	}
}

func TestPatchExtensionNeedsRequired(t *testing.T) {
	if got, _, err := patchTest(t, testUser, Mode{}, `{"userName":"u"}`, `[{"op":"add","path":"C:rank","value":1}]`); scimType(err) != "invalidValue" {
		t.Errorf("an extension without its required attribute: %s, %v", got, err)
	}
	// A schema that became stricter does not keep anybody from being disabled.
	got, _, err := patchTest(t, testUser, Mode{}, `{"userName":"u","active":true,"C":{"rank":1}}`, `[{"op":"replace","path":"active","value":false}]`)
	if want := expand(`{"userName":"u","active":false,"C":{"rank":1}}`); err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

// What one request may cause is bounded over all its operations, not in each alone.
func TestPatchWorkLimits(t *testing.T) {
	list := func(n, from int) string {
		var texts []string
		for i := range n {
			texts = append(texts, fmt.Sprintf(`"%d"`, from+i))
		}
		return "[" + strings.Join(texts, ",") + "]"
	}
	add := func(n, from int) string { return `{"op":"add","path":"emails","value":` + list(n, from) + `}` }
	remove := func(n, from int) string { return `{"op":"remove","path":"emails","value":` + list(n, from) + `}` }
	keys := func(n int) string {
		var members []string
		for i := range n {
			members = append(members, fmt.Sprintf(`"emails[value sw \"%d\"].display":null`, i))
		}
		return `{"op":"replace","value":{` + strings.Join(members, ",") + `}}`
	}
	titles := func(n int) string { // of one attribute, which is written in so many ways
		var members []string
		for i := range n {
			members = append(members, fmt.Sprintf(`"%stitle":"x"`, strings.Repeat(" ", i)))
		}
		return `{"op":"replace","value":{` + strings.Join(members, ",") + `}}`
	}
	objects := func(n int) string { return strings.Join(slices.Repeat([]string{keys(1)}, n), ",") }
	terms := func(n int) string {
		return `{"op":"remove","path":"emails[` + strings.Repeat(`value eq 1 or `, n-1) + `value eq 1]"}`
	}
	tests := []struct{ name, ops, scimType string }{
		{"most elements", add(300, 0) + "," + add(200, 300), "<nil>"},
		{"too many elements", add(300, 0) + "," + add(201, 300), "invalidValue"},
		{"one more by a value path", add(500, 0) + `,{"op":"add","path":"emails[type eq \"work\"].value","value":"x"}`, "invalidValue"},
		{"most removals", remove(300, 0) + "," + remove(200, 0), "<nil>"},
		{"too many removals", remove(300, 0) + "," + remove(201, 0), "tooMany"},
		{"most steps", objects(500), "<nil>"},
		{"too many steps", objects(499) + "," + keys(2), "tooMany"},
		{"all names of one attribute of a small user", keys(500), "<nil>"},
		{"most names of one attribute of a large user", add(400, 0) + "," + titles(124) + "," + titles(124), "<nil>"},
		{"too many names of one attribute of a large user", add(400, 0) + "," + titles(124) + "," + titles(125), "tooMany"},
		{"most comparisons", terms(10), "<nil>"},
		{"too many comparisons", terms(11), "invalidPath"},
	}
	for _, test := range tests {
		if _, _, err := patchTest(t, testUser, Mode{}, `{"userName":"u"}`, `[`+test.ops+`]`); scimType(err) != test.scimType {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// Long lists of long texts are looked through a number of times at most: nobody else can write meanwhile.
func TestPatchLooks(t *testing.T) {
	var elements []string
	for i := range maxElements {
		elements = append(elements, fmt.Sprintf(`{"value":"%d","type":"t%d","display":"%s"}`, i, i, strings.Repeat("é", 1000)))
	}
	user := `{"userName":"u","emails":[` + strings.Join(elements, ",") + `]}`
	names := func(n int, terms, between string) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(`"emails[type eq \"t%d\"%s].primary":false`, i, terms))
		}
		return `{"op":"replace","value":{` + strings.Join(all, between) + `}}`
	}
	const operations = `}},{"op":"replace","value":{`
	for _, test := range []struct{ name, ops, scimType string }{
		{"few filters", names(40, "", operations), "<nil>"},
		{"many filters", names(41, "", operations), "tooMany"},
		{"names of one object", names(8, "", ","), "<nil>"},
		{"many names of one object", names(20, strings.Repeat(` or display ew \"x\"`, 9), ","), "tooMany"},
		{"all of a list", `{"op":"remove","path":"emails","value":[` + strings.Join(elements, ",") + `]}`, "<nil>"},
	} {
		if _, _, err := patchTest(t, testUser, Mode{}, user, `[`+test.ops+`]`); scimType(err) != test.scimType {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// A PUT keeps what is immutable, and then needs what is required beside it.
func TestSettle(t *testing.T) {
	before := parseTest(t, expand(`{"userName":"u","C":{"berth":"B","badge":"1","rank":1}}`))
	for _, test := range []struct{ after, want, scimType string }{
		{`{"userName":"u","C":{"berth":"C"}}`, `{"userName":"u","C":{"berth":"C","badge":"1"}}`, "<nil>"},
		{`{"userName":"u","C":{"berth":"C","badge":"1"}}`, `{"userName":"u","C":{"berth":"C","badge":"1"}}`, "<nil>"},
		{`{"userName":"u","C":{"berth":"C","badge":"2"}}`, ``, "mutability"},
		{`{"userName":"u"}`, ``, "invalidValue"},
	} {
		got, err := testUser.settle(before, parseTest(t, expand(test.after)))
		if scimType(err) != test.scimType || err == nil && encode(got) != expand(test.want) {
			t.Errorf("%s: got %s, %v; want %s %s", test.after, encode(got), err, test.want, test.scimType)
		}
	}
}

func TestPatchStrict(t *testing.T) {
	const before = `{"userName":"u","emails":[{"value":"a","type":"home"}]}`
	refused := []struct{ name, ops, scimType string }{
		{"capital op", `[{"op":"Replace","path":"title","value":"x"}]`, "invalidSyntax"},
		{"no operations", `[]`, "invalidSyntax"},
		{"one operation without a list", `{"op":"replace","path":"title","value":"x"}`, "invalidSyntax"},
		{"unknown attribute", `[{"op":"replace","path":"shoe","value":"x"}]`, "invalidPath"},
		{"unknown sub-attribute", `[{"op":"replace","path":"name.name","value":"x"}]`, "invalidPath"},
		{"unknown URN", `[{"op":"replace","path":"urn:example:x:1.0:User:title","value":"x"}]`, "invalidPath"},
		{"URN of the other resource", `[{"op":"replace","path":"` + GroupURN + `:displayName","value":"x"}]`, "invalidPath"},
		{"extension attribute without its URN", `[{"op":"add","path":"manager","value":{"value":"m"}}]`, "invalidPath"},
		{"empty path", `[{"op":"replace","path":"","value":{"title":"x"}}]`, "invalidPath"},
		{"unknown name in an object", `[{"op":"replace","value":{"isAdmin":true}}]`, "invalidPath"},
		{"dotted name in an object", `[{"op":"replace","value":{"name.givenName":"x"}}]`, "invalidPath"},
		{"URN name in an object", `[{"op":"replace","value":{"E:department":"x"}}]`, "invalidPath"},
		{"unknown name in a complex value", `[{"op":"replace","path":"name","value":{"nick":"x"}}]`, "invalidPath"},
		{"unknown name in a complex value, empty", `[{"op":"replace","path":"name","value":{"value":""}}]`, "invalidPath"},
		{"id in an object", `[{"op":"replace","value":{"id":"x"}}]`, "mutability"},
		{"meta in an object", `[{"op":"replace","value":{"meta":{"version":"x"}}}]`, "mutability"},
		{"groups in an object", `[{"op":"replace","value":{"groups":[]}}]`, "mutability"},
		{"replace that matches nothing", `[{"op":"replace","path":"emails[type eq \"work\"].value","value":"x"}]`, "noTarget"},
		{"text boolean", `[{"op":"replace","path":"active","value":"False"}]`, "invalidValue"},
		{"manager as text", `[{"op":"add","path":"E:manager","value":"m"}]`, "invalidValue"},
		{"number for a text", `[{"op":"add","path":"E:employeeNumber","value":1}]`, "invalidValue"},
		{"two primaries", `[{"op":"add","path":"emails","value":[{"value":"x","primary":true},{"value":"y","primary":true}]}]`, "invalidValue"},
	}
	for _, test := range refused {
		t.Run(test.name, func(t *testing.T) {
			if got, _, err := patchTest(t, testUser, Mode{Strict: true}, before, test.ops); scimType(err) != test.scimType {
				t.Errorf("got %s, %v; want %s", got, err, test.scimType)
			}
		})
	}
	for _, schemas := range []string{``, `"schemas":[],`, `"schemas":["` + UserURN + `"],`} {
		body := parseTest(t, `{`+schemas+`"Operations":[{"op":"add","path":"title","value":"x"}]}`)
		if _, err := parsePatch(body, testUser, Mode{Strict: true}, PatchLimits{}); scimType(err) != "invalidSyntax" {
			t.Errorf("strict with %s: %v", schemas, err)
		}
		if _, err := parsePatch(body, testUser, Mode{}, PatchLimits{}); err != nil {
			t.Errorf("tolerant with %s: %v", schemas, err)
		}
	}

	ops := `[{"op":"add","path":"emails[type eq \"home\"].display","value":"H"},{"op":"replace","value":{"active":false,"name":{"givenName":"G"},"E":{"department":"D"}}},
		{"op":"add","path":" ` + EnterpriseURN + `:manager ","value":{"value":"m"}},{"op":"remove","path":"emails[type eq \"work\"]"},{"op":"add","path":"phoneNumbers[type eq \"work\"].value","value":"1"}]`
	want := expand(`{"userName":"u","name":{"givenName":"G"},"active":false,"emails":[{"value":"a","display":"H","type":"home"}],"phoneNumbers":[{"value":"1","type":"work"}],"E":{"department":"D","manager":{"value":"m"}}}`)
	if got, warnings, err := patchTest(t, testUser, Mode{Strict: true}, before, ops); err != nil || got != want || warnings != nil {
		t.Errorf("got %s, %v, %v\nwant %s", got, warnings, err, want)
	}
}

func TestPatchWarnings(t *testing.T) {
	_, warnings, err := patchTest(t, testUser, Mode{}, `{"userName":"u"}`, `[
		{"op":"replace","value":{"id":"x","meta":{},"groups":[],"shoe":1,"no path":1,"password":"secret","E":{"hat":1},"name":{"nick":"x"}}},
		{"op":"replace","path":"urn:example:a:1.0:User:b","value":"secret"},
		{"op":"replace","path":"emails[type eq \"work\"].primary","value":"junk"},
		{"op":"replace","path":"emails[kind eq \"work\"].value","value":"junk"}]`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range warnings {
		got = append(got, w.Path+": "+w.Reason)
	}
	want := []string{"id: read-only attribute", "meta: read-only attribute", "groups: read-only attribute", "shoe: unknown attribute", "no path: unknown attribute",
		EnterpriseURN + ":hat: unknown attribute", "name.nick: unknown attribute", "urn:example:a:1.0:User:b: unknown attribute",
		"emails.primary: not a boolean", `emails[kind eq "work"].value: unknown attribute`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	many := strings.Repeat(`{"op":"add","path":"`+strings.Repeat("é", 200)[:400]+`","value":1},`, 50)
	if _, _, err := patchTest(t, testUser, Mode{}, `{"userName":"u"}`, `[`+many[:len(many)-1]+`]`); scimType(err) != "invalidPath" {
		t.Error(err)
	}
	keys := `{"op":"add","value":{`
	for i := range 100 {
		keys += fmt.Sprintf(`"%d%s":1,`, i, strings.Repeat("é", 100))
	}
	_, warnings, err = patchTest(t, testUser, Mode{}, `{"userName":"u"}`, `[`+keys[:len(keys)-1]+`}}]`)
	if err != nil || len(warnings) != maxWarnings || len(warnings[0].Path) > maxClip+len("…") || !strings.HasSuffix(warnings[0].Path, "é…") {
		t.Errorf("%d warnings, %v, first %q", len(warnings), err, warnings[0].Path)
	}
}

func TestPatchGroup(t *testing.T) {
	const before = `{"externalId":"x","displayName":"Pilots"}`
	tests := []struct{ name, ops, after, members string }{
		{"rename by path", `[{"op":"Replace","path":"displayName","value":"Crew"}]`, `{"externalId":"x","displayName":"Crew"}`, ``},
		{"rename by object (53)", `[{"op":"replace","value":{"id":"g","displayName":"Crew"}}]`, `{"externalId":"x","displayName":"Crew"}`, ``},
		{"externalId by Add (64)", `[{"op":"Add","path":"externalId","value":"y"}]`, `{"externalId":"y","displayName":"Pilots"}`, ``},
		{"add", `[{"op":"Add","path":"members","value":[{"$ref":null,"value":"a"}]}]`, before, `add a`},
		{"add several", `[{"op":"add","path":"members","value":[{"value":"a"},{"value":"b","type":"User","display":"B"}]}]`, before, `add a b/User`},
		{"add one object", `[{"op":"add","path":"members","value":{"value":"a"}}]`, before, `add a`},
		{"add texts", `[{"op":"add","path":"members","value":["a","b"]}]`, before, `add a b`},
		{"add in an object", `[{"op":"add","value":{"members":[{"value":"a"}]}}]`, before, `add a`},
		{"add by URN", `[{"op":"add","path":"` + GroupURN + `:members","value":[{"value":"a"}]}]`, before, `add a`},
		{"add with unknown keys (postman)", `[{"op":"add","path":"members","value":[{"displayName":"new User","value":"a"}],"name":"addMember"}]`, before, `add a`},
		{"add nobody", `[{"op":"add","path":"members","value":[]},{"op":"add","path":"members","value":null}]`, before, ``},
		{"remove a list (45)", `[{"op":"Remove","path":"members","value":[{"$ref":null,"value":"a"}]}]`, before, `remove a`},
		{"remove several (47)", `[{"op":"remove","path":"members","value":[{"value":"a"},{"value":"c"}]}]`, before, `remove a c`},
		{"remove one object", `[{"op":"Remove","path":"members","value":{"value":"a"}}]`, before, `remove a`},
		{"remove by filter (46)", `[{"op":"remove","path":"members[value eq \"a\"]"}]`, before, `remove a`},
		{"remove by filter without quotes", `[{"op":"remove","path":"members[value eq a]"}]`, before, `remove a`},
		{"remove by filter and sub-attribute", `[{"op":"remove","path":"members[value eq \"a\"].value"}]`, before, `remove a`},
		{"remove by an emptied filter", `[{"op":"replace","path":"members[value eq \"a\"]","value":null}]`, before, `remove a`},
		{"remove by another filter", `[{"op":"remove","path":"members[type eq \"Group\"]"}]`, before, `matching type eq "Group"`},
		{"remove by a filter with two values", `[{"op":"remove","path":"members[value eq \"a\" or value eq \"b\"]"}]`, before, `matching value eq "a" or value eq "b"`},
		{"a filter that holds for nobody", `[{"op":"remove","path":"members[value eq \"a\" and value eq \"b\"]"}]`, before, `matching a value eq "a" and value eq "b"`},
		{"remove all", `[{"op":"remove","path":"members"}]`, before, `clear`},
		{"remove an empty list is not remove all", `[{"op":"Remove","path":"members","value":[]}]`, before, ``},
		{"replace", `[{"op":"replace","path":"members","value":[{"value":"a"},{"value":"b"}]}]`, before, `replace a b`},
		{"replace with an empty list (65)", `[{"op":"replace","path":"members","value":[]}]`, before, `clear`},
		{"replace with null", `[{"op":"replace","path":"members","value":null}]`, before, `clear`},
		{"replace with an empty text", `[{"op":"replace","path":"members","value":""}]`, before, `clear`},
		{"replace in an object", `[{"op":"replace","value":{"members":[{"value":"a"}],"displayName":"Crew"}}]`, `{"externalId":"x","displayName":"Crew"}`, `replace a`},
		{"add in a list of objects", `[{"op":"add","value":[{"members":[{"value":"a"}]},{"displayName":"Crew"},{"members":[{"value":"b"}]}]}]`, `{"externalId":"x","displayName":"Crew"}`, `add a; add b`},
		{"two leave by an object", `[{"op":"replace","value":{"members[value eq \"a\"]":null,"members[value eq \"b\"]":null}}]`, before, `remove a; remove b`},
		{"the same members twice", `[{"op":"replace","value":{"members":[{"value":"a"}],"` + GroupURN + `:members":["a"]}}]`, before, `replace a; replace a`},
		{"ids in upper case", `[{"op":"remove","path":"members","value":[{"value":"A"}]},{"op":"remove","path":"members[value eq \"B\"]"},{"op":"add","path":"members","value":["C"]},{"op":"remove","path":"members[value eq \"D\" and type eq \"User\"]"}]`, before,
			`remove a; remove b; add c; matching d value eq "d" and type eq "User"`},
		{"order stays (P7)", `[{"op":"remove","path":"members[value eq \"a\"]"},{"op":"add","path":"members","value":[{"value":"b"}]},{"op":"remove","path":"members[value eq \"b\"]"}]`, before, `remove a; add b; remove b`},
		{"display of a member is ours", `[{"op":"replace","path":"members[value eq \"a\"].display","value":"X"},{"op":"replace","path":"members.type","value":"X"},{"op":"replace","path":"displayName","value":"Crew"}]`, `{"externalId":"x","displayName":"Crew"}`, ``},
		{"unknown attribute passes", `[{"op":"replace","path":"description","value":"X"},{"op":"replace","path":"displayName","value":"Crew"}]`, `{"externalId":"x","displayName":"Crew"}`, ``},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, _, err := patchTest(t, testGroup, Mode{}, before, test.ops)
			if err != nil || got != test.after {
				t.Fatalf("got %s, %v; want %s", got, err, test.after)
			}
			p, err := parsePatch(parseTest(t, patchBody(test.ops)), testGroup, Mode{}, PatchLimits{})
			if err != nil {
				t.Fatal(err)
			}
			if got := memberOpsText(p.memberOps()); got != test.members {
				t.Errorf("got %q, want %q", got, test.members)
			}
		})
	}

	refused := []struct{ name, ops, scimType string }{
		{"displayName emptied", `[{"op":"replace","path":"displayName","value":""}]`, "invalidValue"},
		{"displayName with a bidi override", `[{"op":"replace","path":"displayName","value":"a\u202eb"}]`, "invalidValue"},
		{"nested lists", `[{"op":"add","path":"members","value":[[[]]]}]`, "invalidValue"},
		{"member without a value", `[{"op":"add","path":"members","value":[{"display":"x"}]}]`, "invalidValue"},
		{"member with an empty value", `[{"op":"replace","path":"members","value":[{"value":""}]}]`, "invalidValue"},
		{"null among members", `[{"op":"replace","path":"members","value":[null]}]`, "invalidValue"},
		{"number for a member", `[{"op":"remove","path":"members","value":[{"value":1}]}]`, "invalidValue"},
		{"removal of an empty text", `[{"op":"remove","path":"members","value":""}]`, "invalidValue"},
		{"removal of an empty object", `[{"op":"remove","path":"members","value":{}}]`, "invalidValue"},
		{"two lists of members", `[{"op":"replace","value":{"members":[{"value":"a"}],"` + GroupURN + `:members":[{"value":"b"}]}}]`, "invalidValue"},
		{"two lists of members in two objects", `[{"op":"replace","value":[{"members":[{"value":"a"}]},{"members":[]}]}]`, "invalidValue"},
		{"members, and one of them leaves", `[{"op":"replace","value":{"members":[{"value":"a"}],"members[value eq \"a\"]":null}}]`, "invalidValue"},
		{"one joins and leaves", `[{"op":"add","value":{"members[value eq \"a\"]":null,"members":[{"value":"a"}]}}]`, "invalidValue"},
		{"members without saying which", `[{"op":"replace","path":"members.value","value":"a"}]`, "invalidPath"},
		{"a member made another", `[{"op":"replace","path":"members[value eq \"a\"].value","value":"b"}]`, "mutability"},
		{"filter not closed", `[{"op":"remove","path":"members[value eq \"a\"","value":"b"}]`, "invalidPath"},
		{"too many", `[{"op":"add","path":"members","value":[` + strings.Repeat(`"a",`, 999) + `"a"]},{"op":"remove","path":"members[value eq \"b\"]"}]`, "tooMany"},
	}
	for _, test := range refused {
		t.Run(test.name, func(t *testing.T) {
			if got, _, err := patchTest(t, testGroup, Mode{}, before, test.ops); scimType(err) != test.scimType {
				t.Errorf("got %s, %v; want %s", got, err, test.scimType)
			}
		})
	}
}

func memberOpsText(ops []MemberOp) string {
	var list []string
	for _, op := range ops {
		s := [...]string{addMembers: "add", removeMembers: "remove", replaceMembers: "replace", clearMembers: "clear", removeMatching: "matching"}[op.Kind]
		for _, m := range op.Members {
			s += " " + m.Value
			if m.Type != "" {
				s += "/" + m.Type
			}
		}
		if op.Filter != nil {
			s += " " + op.Filter.String()
		}
		list = append(list, s)
	}
	return strings.Join(list, "; ")
}
