package scim

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a validator or client sends to POST and PUT, and what is kept of it.
func TestNormalizeUser(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"schema order and canonical names", `{"ACTIVE":true,"UserName":"u","NAME":{"GivenName":"G","familyname":"F"},"ExternalID":"x"}`,
			`{"externalId":"x","userName":"u","name":{"familyName":"F","givenName":"G"},"active":true}`},
		{"extension by its exact URN, in any case and place", `{"URN:ietf:params:scim:schemas:extension:enterprise:2.0:USER":{"Department":"D","Manager":{"Value":"m"}},"userName":"u"}`,
			`{"userName":"u","E":{"department":"D","manager":{"value":"m"}}}`},
		{"custom extension though schemas does not name it", `{"schemas":["` + UserURN + `"],"userName":"u","C":{"berth":"B"}}`, `{"userName":"u","C":{"berth":"B"}}`},
		{"unknown schemas", `{"schemas":["` + UserURN + `","http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/User"],"userName":"u"}`, `{"userName":"u"}`},
		{"no schemas", `{"userName":"u"}`, `{"userName":"u"}`},
		{"what the server writes", `{"id":"mine","userName":"u","meta":{"created":"1999-01-01T00:00:00Z"},"groups":[{"value":"g"}],"password":"secret","` + AccessURN + `":{"environments":[{"value":"e","active":true}]}}`,
			`{"userName":"u"}`},
		{"nulls and empty values", `{"userName":"u","title":null,"nickName":"","roles":[],"emails":null,"phoneNumbers":[null,{"value":null,"type":"work"},{"value":""}],"name":{"givenName":null},"addresses":"","E":{"department":null,"manager":null},"C":{}}`,
			`{"userName":"u"}`},
		{"null extension", `{"userName":"u","E":null,"C":[]}`, `{"userName":"u"}`},
		{"unknown attributes and parts", `{"userName":"u","adreses":[1],"name":{"nick":"N","givenName":"G"},"urn:example:x:1.0:User":{"a":1},"emails":[{"value":"e","colour":"red"}]}`,
			`{"userName":"u","name":{"givenName":"G"},"emails":[{"value":"e"}]}`},
		{"U+017F and U+212A are no s and k", `{"userName":"u","role\u017f":[{"value":"admin"}],"nic\u212aName":"N"}`, `{"userName":"u"}`},
		{"text booleans everywhere", `{"userName":"u","active":"True","roles":[{"value":"a","primary":"True"},{"value":"b","primary":"false"}],"C":{"berth":"B","licensed":"FALSE"}}`,
			`{"userName":"u","active":true,"roles":[{"value":"a","primary":true},{"value":"b","primary":false}],"C":{"berth":"B","licensed":false}}`},
		{"junk as primary is passed over", `{"userName":"u","emails":[{"value":"e","primary":"56-357-7743"},{"value":"f","primary":7},{"value":"g","primary":{}}]}`,
			`{"userName":"u","emails":[{"value":"e"},{"value":"f"},{"value":"g"}]}`},
		{"numbers for texts", `{"userName":"u","externalId":17,"title":1.50,"E":{"employeeNumber":40113}}`, `{"externalId":"17","userName":"u","title":"1.50","E":{"employeeNumber":"40113"}}`},
		{"texts for numbers", `{"userName":"u","C":{"berth":"B","rank":"-7","draught":"1.5e3"}}`, `{"userName":"u","C":{"berth":"B","rank":-7,"draught":1.5e3}}`},
		{"plain values of a complex list", `{"userName":"u","emails":["e",7]}`, `{"userName":"u","emails":[{"value":"e"},{"value":"7"}]}`},
		{"value objects of a plain list", `{"userName":"u","C":{"berth":"B","codes":[{"value":"1"},"2",3,{"value":""}]}}`, `{"userName":"u","C":{"berth":"B","codes":["1","2","3"]}}`},
		{"manager as text", `{"userName":"u","E":{"manager":"m"}}`, `{"userName":"u","E":{"manager":{"value":"m"}}}`},
		{"manager as list", `{"userName":"u","E":{"manager":[{"value":"m","$ref":null}]}}`, `{"userName":"u","E":{"manager":{"value":"m"}}}`},
		{"manager as number", `{"userName":"u","E":{"manager":7}}`, `{"userName":"u","E":{"manager":{"value":"7"}}}`},
		{"manager without value, with ours", `{"userName":"u","E":{"department":"D","manager":{"$ref":"../m","displayName":"Boss"}}}`, `{"userName":"u","E":{"department":"D"}}`},
		{"$ref of a manager stays", `{"userName":"u","E":{"manager":{"$ref":"../m","value":"m","displayName":"Boss"}}}`, `{"userName":"u","E":{"manager":{"value":"m","$ref":"../m"}}}`},
		{"empty manager", `{"userName":"u","E":{"manager":{"value":""}}}`, `{"userName":"u"}`},
		{"JSON in a text", `{"userName":"u","roles":[{"value":"{\"id\":\"1\"}"}]}`, `{"userName":"u","roles":[{"value":"{\"id\":\"1\"}"}]}`},
		{"shells go", `{"userName":"u","emails":[{"type":"work","primary":true},{"value":"e"}],"addresses":[{"type":"work"}]}`, `{"userName":"u","emails":[{"value":"e"}]}`},
		{"same type and value collapse, the first counts", `{"userName":"u","emails":[{"value":"e","type":"work","display":"1"},{"value":"e","type":"Work","display":"2","primary":true},{"value":"e","type":"home"},{"value":"E","type":"work"}]}`,
			`{"userName":"u","emails":[{"value":"e","display":"1","type":"work","primary":true},{"value":"e","type":"home"},{"value":"E","type":"work"}]}`},
		{"equal addresses collapse", `{"userName":"u","addresses":[{"country":"SE","type":"work"},{"type":"work","country":"SE"},{"country":"SE"}]}`, `{"userName":"u","addresses":[{"country":"SE","type":"work"},{"country":"SE"}]}`},
		{"equal texts collapse", `{"userName":"u","C":{"berth":"B","codes":["1","2","1"]}}`, `{"userName":"u","C":{"berth":"B","codes":["1","2"]}}`},
		{"one primary, the first", `{"userName":"u","emails":[{"value":"a"},{"value":"b","primary":true},{"value":"c","primary":true}]}`, `{"userName":"u","emails":[{"value":"a"},{"value":"b","primary":true},{"value":"c","primary":false}]}`},
		{"values stay as they are", `{"userName":" U@X ","displayName":"\ttab\u202e","timezone":"Nowhere","locale":"BFAIM","preferredLanguage":"jgo-CM","phoneNumbers":[{"value":"56 ext. 7"}],"profileUrl":"WZXYA","photos":[{"value":"no url"}],"emails":[{"value":"no mail"}]}`,
			`{"userName":" U@X ","displayName":"\ttab\u202e","profileUrl":"WZXYA","preferredLanguage":"jgo-CM","locale":"BFAIM","timezone":"Nowhere","emails":[{"value":"no mail"}],"phoneNumbers":[{"value":"56 ext. 7"}],"photos":[{"value":"no url"}]}`},
		{"longest texts", `{"userName":"` + strings.Repeat("é", 256) + `","title":"` + strings.Repeat("é", 1024) + `"}`, `{"userName":"` + strings.Repeat("é", 256) + `","title":"` + strings.Repeat("é", 1024) + `"}`},
		{"dates", `{"userName":"u","C":{"berth":"B","since":"2026-02-28T10:00:00.1234567+01:00"}}`, `{"userName":"u","C":{"berth":"B","since":"2026-02-28T10:00:00.1234567+01:00"}}`},
		{"date without a zone", `{"userName":"u","C":{"berth":"B","since":"2026-02-28T10:00:00"}}`, `{"userName":"u","C":{"berth":"B","since":"2026-02-28T10:00:00"}}`},
		{"certificate", `{"userName":"u","x509Certificates":[{"value":"` + strings.Repeat("MIIB", 500) + `"}]}`, `{"userName":"u","x509Certificates":[{"value":"` + strings.Repeat("MIIB", 500) + `"}]}`},
		{"parts of a custom attribute", `{"userName":"u","C":{"berth":"B","papers":[{"number":"1","stamps":[{"value":"a"},"b","a"],"seen":"x"},{}]}}`, `{"userName":"u","C":{"berth":"B","papers":[{"number":"1","stamps":["a","b"]}]}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v, _, err := testUser.normalize(parseTest(t, expand(test.body)), Mode{})
			want := encode(parseTest(t, expand(test.want)))
			if err != nil || encode(v) != want {
				t.Fatalf("\ngot  %s (%v)\nwant %s", encode(v), err, want)
			}
			again, warnings, err := testUser.normalize(v, Mode{})
			if err != nil || encode(again) != want || warnings != nil {
				t.Errorf("not canonical: normalizes to %s, %v, %v", encode(again), warnings, err)
			}
		})
	}
}

// Long lists are told apart by another way than short ones; both must agree.
func TestTidyLongLists(t *testing.T) {
	a := find(userSchema.Attributes, "emails")
	kinds := []string{`{"value":"%d"}`, `{"value":"%d","type":"work"}`, `{"value":"%d","type":"WORK"}`, `{"display":"%d"}`, `{"display":"%d","type":"work"}`, `{"value":"%d","display":"x"}`}
	for _, later := range []bool{false, true} {
		var elems []Value
		for i := range 60 {
			elems = append(elems, parseTest(t, fmt.Sprintf(kinds[i*5%len(kinds)], i/len(kinds)%8)))
		}
		var want []Value // by adding one after the other to a short list
		for _, e := range elems {
			i := slices.IndexFunc(want, func(o Value) bool { return sameElement(a, o, e) })
			if i < 0 {
				want = append(want, e)
				continue
			}
			want[i] = tidy(a, []Value{want[i], e}, later)[0]
		}
		if got := tidy(a, elems, later); !slices.EqualFunc(got, want, equalValue) || len(got) > 40 {
			t.Errorf("got %d, want %d elements", len(got), len(want))
		}
	}
}

func TestNormalizeRefuses(t *testing.T) {
	long := func(n int) string { return `"` + strings.Repeat("é", n) + `"` }
	tests := []struct{ body, scimType string }{
		{`[]`, "invalidSyntax"},
		{`"user"`, "invalidSyntax"},
		{`null`, "invalidSyntax"},
		{`{}`, "invalidValue"},
		{`{"userName":null}`, "invalidValue"},
		{`{"userName":""}`, "invalidValue"},
		{`{"userName":" "}`, "invalidValue"},
		{`{"userName":[]}`, "invalidValue"},
		{`{"userName":123}`, "invalidValue"},
		{`{"userName":true}`, "invalidValue"},
		{`{"userName":{"value":"u"}}`, "invalidValue"},
		{`{"userName":["u"]}`, "invalidValue"},
		{`{"userName":` + long(257) + `}`, "invalidValue"},
		{`{"userName":"u","displayName":` + long(257) + `}`, "invalidValue"},
		{`{"userName":"u","title":` + long(1025) + `}`, "invalidValue"},
		{`{"userName":"u","emails":[{"value":` + long(1025) + `}]}`, "invalidValue"},
		{`{"userName":"u","title":["x"]}`, "invalidValue"},
		{`{"userName":"u","title":true}`, "invalidValue"},
		{`{"userName":"u","title":{"value":"x"}}`, "invalidValue"},
		{`{"userName":"u","active":"maybe"}`, "invalidValue"},
		{`{"userName":"u","active":1}`, "invalidValue"},
		{`{"userName":"u","active":"1"}`, "invalidValue"},
		{`{"userName":"u","active":[true]}`, "invalidValue"},
		{`{"userName":"u","emails":{}}`, "invalidValue"},
		{`{"userName":"u","emails":{"value":"e"}}`, "invalidValue"},
		{`{"userName":"u","emails":"e"}`, "invalidValue"},
		{`{"userName":"u","emails":[["e"]]}`, "invalidValue"},
		{`{"userName":"u","emails":[true]}`, "invalidValue"},
		{`{"userName":"u","emails":[{"value":["e"]}]}`, "invalidValue"},
		{`{"userName":"u","emails":[{"value":{"value":"e"}}]}`, "invalidValue"},
		{`{"userName":"u","addresses":["Kajgatan 9"]}`, "invalidValue"},
		{`{"userName":"u","name":"Marta"}`, "invalidValue"},
		{`{"userName":"u","name":[{"givenName":"G"}]}`, "invalidValue"},
		{`{"userName":"u","schemas":"str"}`, "invalidValue"},
		{`{"userName":"u","schemas":[1]}`, "invalidValue"},
		{`{"userName":"u","meta":[]}`, "invalidValue"},
		{`{"userName":"u","E":"x"}`, "invalidValue"},
		{`{"userName":"u","E":[{"department":"D"}]}`, "invalidValue"},
		{`{"userName":"u","E":{"manager":true}}`, "invalidValue"},
		{`{"userName":"u","E":{"manager":["a","b"]}}`, "invalidValue"},
		{`{"userName":"u","C":{"rank":1}}`, "invalidValue"},
		{`{"userName":"u","C":{"berth":"B","rank":1.5}}`, "invalidValue"},
		{`{"userName":"u","C":{"berth":"B","rank":"+1"}}`, "invalidValue"},
		{`{"userName":"u","C":{"berth":"B","rank":99999999999999999999}}`, "invalidValue"},
		{`{"userName":"u","C":{"berth":"B","draught":"NaN"}}`, "invalidValue"},
		{`{"userName":"u","C":{"berth":"B","draught":1e999}}`, "invalidValue"},
		{`{"userName":"u","C":{"berth":"B","since":"yesterday"}}`, "invalidValue"},
		{`{"userName":"u","C":{"berth":"B","since":"2026-02-30T10:00:00Z"}}`, "invalidValue"},
		{`{"userName":"u","C":{"berth":"B","since":"2026-02-28"}}`, "invalidValue"},
		{`{"userName":"u","C":{"berth":"B","since":"2026-02-28T1:00:00Z"}}`, "invalidValue"},
		{`{"userName":"u","C":{"berth":"B","since":20260228}}`, "invalidValue"},
		{`{"userName":"u","C":{"berth":"B","codes":[["1"]]}}`, "invalidValue"},
		{`{"userName":"u","C":{"berth":"B","papers":[{"type":"t","stamps":["a"]}]}}`, "invalidValue"},
		{`{"userName":"u","x509Certificates":[{"value":"not base64!"}]}`, "invalidValue"},
		{`{"userName":"u","emails":[` + strings.Repeat(`"e",`, maxElements) + `"e"]}`, "invalidValue"},
	}
	for _, r := range []string{"\\u0007", "\\u007f", "\\u0085", "\\u200b", "\\u200d", "\\u2060", "\\ufeff", "\\u00ad", "\\u202e", "\\u2066", "\\u200f", "\\u2028"} {
		tests = append(tests, struct{ body, scimType string }{`{"userName":"alice` + r + `@x"}`, "invalidValue"})
	}
	for _, test := range tests {
		v, _, err := testUser.normalize(parseTest(t, expand(test.body)), Mode{})
		if err == nil {
			err = testUser.checkNames(Value{}, v)
		}
		if scimType(err) != test.scimType {
			t.Errorf("%.80s: got %.80s, %v; want %s", test.body, encode(v), err, test.scimType)
		}
	}
}

func TestNormalizeStrict(t *testing.T) {
	tests := []struct{ body, scimType string }{
		{`{"userName":"u"}`, "invalidSyntax"},
		{`{"schemas":[],"userName":"u"}`, "invalidSyntax"},
		{`{"schemas":["` + GroupURN + `"],"userName":"u"}`, "invalidValue"},
		{`{S,"userName":"u","shoe":44}`, "invalidSyntax"},
		{`{S,"userName":"u","urn:example:x:1.0:User":{}}`, "invalidSyntax"},
		{`{S,"userName":"u","name":{"nick":"N"}}`, "invalidSyntax"},
		{`{S,"userName":"u","E":{"shoe":44}}`, "invalidSyntax"},
		{`{S,"userName":"u","active":"True"}`, "invalidValue"},
		{`{S,"userName":"u","roles":[{"value":"a","primary":"True"}]}`, "invalidValue"},
		{`{S,"userName":"u","E":{"manager":"m"}}`, "invalidValue"},
		{`{S,"userName":"u","E":{"manager":[{"value":"m"}]}}`, "invalidValue"},
		{`{S,"userName":"u","title":7}`, "invalidValue"},
		{`{S,"userName":"u","emails":["e"]}`, "invalidValue"},
		{`{S,"userName":"u","C":{"berth":"B","codes":[{"value":"1"}]}}`, "invalidValue"},
		{`{S,"userName":"u","C":{"berth":"B","rank":"1"}}`, "invalidValue"},
		{`{S,"userName":"u","emails":[{"value":"a","primary":true},{"value":"b","primary":true}]}`, "invalidValue"},
		{`{S,"userName":"u","title":"","C":null,"E":{}}`, "<nil>"},
		{`{S,"userName":"u","active":""}`, "invalidValue"},
		{`{S,"userName":"u","emails":""}`, "invalidValue"},
		{`{S,"userName":"u","name":""}`, "invalidValue"},
		{`{S,"userName":"u","C":{"berth":"B","since":""}}`, "invalidValue"},
		{`{S,"userName":"u","photos":[{"value":"no url"}]}`, "invalidValue"},
		{`{S,"userName":"u","photos":[{"value":"photos/a%20b.png#x"},{"value":"https://x.example/é"}]}`, "invalidValue"},
		{`{S,"userName":"u","photos":[{"value":"photos/a%20b.png#x"},{"value":"https://x.example/a?b=c"}]}`, "<nil>"},
		{`{"schemas":["` + UserURN + `"],"userName":"u","C":{"berth":"B"}}`, "invalidSyntax"},
		{`{"schemas":["` + UserURN + `","` + UserURN + `"],"userName":"u"}`, "invalidValue"},
		{`{S,"id":"x","meta":{},"groups":[],"password":"p","userName":"u","title":null,"E":{"manager":{"value":"m","displayName":"x"}},"C":{"berth":"B"}}`, "<nil>"},
	}
	for _, test := range tests {
		urns := `"` + UserURN + `"`
		for name, urn := range map[string]string{`"E":{"`: EnterpriseURN, `"C":{"`: crewURN} {
			if strings.Contains(test.body, name) {
				urns += `,"` + urn + `"`
			}
		}
		body := strings.Replace(test.body, "{S,", `{"schemas":[`+urns+`],`, 1)
		v, warnings, err := testUser.normalize(parseTest(t, expand(body)), Mode{Strict: true})
		if scimType(err) != test.scimType || warnings != nil {
			t.Errorf("%s: got %s, %v, %v; want %s", test.body, encode(v), warnings, err, test.scimType)
		}
	}
}

func TestNormalizeWarnings(t *testing.T) {
	_, got, err := testUser.normalize(parseTest(t, expand(`{"schemas":["urn:example:x:1.0:User"],"id":"x","meta":{},"groups":[],"password":"secret","userName":"u",
		"shoe":"secret","ghost":null,"name":{"nick":"N"},"emails":[{"value":"e","primary":"x","colour":"red"}],"E":{"hat":1,"manager":{"$ref":"x"}}}`)), Mode{})
	want := []Warning{
		{"urn:example:x:1.0:User", "unknown schema"}, {"name.nick", "unknown attribute"}, {"emails.primary", "not a boolean"}, {"emails.colour", "unknown attribute"},
		{EnterpriseURN + ":manager", "manager without a value"}, {EnterpriseURN + ":hat", "unknown attribute"}, {"shoe", "unknown attribute"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	if text := fmt.Sprint(got); strings.Contains(text, "secret") {
		t.Error("a warning quotes a value")
	}
}

func TestNormalizeGroup(t *testing.T) {
	v, warnings, err := testGroup.normalize(parseTest(t, `{"schemas":["`+GroupURN+`"],"Members":[{"value":"a"}],"displayName":"D","externalId":"x","id":"g","meta":{"resourceType":"Group"}}`), Mode{})
	if want := `{"externalId":"x","displayName":"D"}`; err != nil || encode(v) != want || warnings != nil {
		t.Errorf("got %s, %v, %v; want %s", encode(v), warnings, err, want)
	}
	for _, body := range []string{`{}`, `{"displayName":""}`, `{"displayName":7}`, `{"displayName":"a\u200bb"}`} {
		v, _, err := testGroup.normalize(parseTest(t, body), Mode{})
		if err == nil {
			err = testGroup.checkNames(Value{}, v)
		}
		if scimType(err) != "invalidValue" {
			t.Errorf("%s: %s, %v", body, encode(v), err)
		}
	}
}

// What does not show is refused in a name that identifies, but where the name stays as it was; names of groups may hold
// what emoji and scripts are written with.
func TestNamesThatHide(t *testing.T) {
	user := func(name string) Value { return parseTest(t, `{"userName":"`+name+`"}`) }
	group := func(name string) Value { return parseTest(t, `{"displayName":"`+name+`"}`) }
	for _, name := range []string{"⚙️ Ops", "❤︎", "1️⃣ First", "葛\U000E0100城", "ᠠ\u180bᠡ", "می\u200cخواهم", "👩\u200d🚀"} {
		if err := testGroup.checkNames(Value{}, group(name)); err != nil {
			t.Errorf("group %q: %v", name, err)
		}
		if err := testUser.checkNames(Value{}, user(name)); scimType(err) != "invalidValue" {
			t.Errorf("user %q: %v", name, err)
		}
	}
	for _, hidden := range []string{"\u200b", "\u200e", "\u202e", "\u2060", "\ufeff", "\u00ad", "\u034f", "\u3164", "\U000E0041"} {
		name := "a" + hidden + "b"
		for _, other := range []Value{{}, group("ab"), group(name + "c")} {
			if err := testGroup.checkNames(other, group(name)); scimType(err) != "invalidValue" {
				t.Errorf("group %q after %s: %v", name, encode(other), err)
			}
		}
		if err := testUser.checkNames(user("ab"), user(name)); scimType(err) != "invalidValue" {
			t.Errorf("user %q: %v", name, err)
		}
		if err := testGroup.checkNames(group(name), group(name)); err != nil {
			t.Errorf("group %q, which it is called already: %v", name, err)
		}
		if err := testUser.checkNames(user(name), user(name)); err != nil {
			t.Errorf("user %q, who is called so already: %v", name, err)
		}
	}
}

func TestMemberRefs(t *testing.T) {
	tests := []struct {
		body    string
		refs    []MemberRef
		present bool
		refused bool
	}{
		{`{}`, nil, false, false},
		{`{"members":null}`, nil, true, false},
		{`{"members":[]}`, []MemberRef{}, true, false},
		{`{"MEMBERS":[{"value":"a"},{"Value":"b","Type":"Group","$ref":"x","display":"B"},"c",{"value":"d","type":7}]}`,
			[]MemberRef{{"a", ""}, {"b", "Group"}, {"c", ""}, {"d", ""}}, true, false},
		{`{"members":[[[]]]}`, nil, true, true},
		{`{"members":[{}]}`, nil, true, true},
		{`{"members":[null]}`, nil, true, true},
		{`{"members":[{"value":""}]}`, nil, true, true},
		{`{"members":[{"value":7}]}`, nil, true, true},
		{`{"members":[{"value":["a"]}]}`, nil, true, true},
		{`{"members":[{"value":"` + strings.Repeat("a", 257) + `"}]}`, nil, true, true},
		{`{"members":{"value":"a"}}`, nil, true, true},
		{`{"members":"a"}`, nil, true, true},
	}
	for _, test := range tests {
		refs, present, err := memberRefs(parseTest(t, test.body), Mode{})
		if test.refused {
			if scimType(err) != "invalidValue" {
				t.Errorf("%s: %v, %v", test.body, refs, err)
			}
			continue
		}
		if diff := cmp.Diff(test.refs, refs); diff != "" || present != test.present || err != nil {
			t.Errorf("%s: present %v, %v %s", test.body, present, err, diff)
		}
	}
}

func TestSchemasOf(t *testing.T) {
	tests := []struct {
		attrs string
		want  []string
	}{
		{`{"userName":"u"}`, []string{UserURN}},
		{`{"userName":"u","C":{"berth":"B"},"E":{"department":"D"}}`, []string{UserURN, EnterpriseURN, crewURN}},
		{`{"userName":"u","E":{}}`, []string{UserURN}},
		{`{"userName":"u","` + AccessURN + `":{"environments":[{"value":"e"}]}}`, []string{UserURN, AccessURN}},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, testUser.schemasOf(parseTest(t, expand(test.attrs)))); diff != "" {
			t.Errorf("%s: %s", test.attrs, diff)
		}
	}
}
