package scim

import (
	"slices"
	"strings"
	"testing"
)

// How many bodies and operations are judged by the schemas.
const schemaQuestions = 10000

// typed draws a value of the type that is declared.
func (d dice) typed(a *Attribute) Value {
	if a.MultiValued {
		return Value{Kind: Array, Elems: []Value{d.typedElement(a)}}
	}
	return d.typedElement(a)
}

func (d dice) typedElement(a *Attribute) Value {
	switch a.Type {
	case TypeBoolean:
		return Value{Kind: Bool, Bool: d.one(2)}
	case TypeInteger:
		return Value{Kind: Number, Text: pick(d, "0", "-7", "40113")}
	case TypeDecimal:
		return Value{Kind: Number, Text: pick(d, "1.5", "-2.25")}
	case TypeDateTime:
		return Value{Kind: String, Text: pick(d, filterTimes...)}
	case TypeBinary:
		return Value{Kind: String, Text: pick(d, "AAAA", "TQ==")}
	case TypeComplex:
		obj := Value{Kind: Object}
		for i, sub := range a.Sub {
			if i == 0 || sub.Name == "value" || sub.Required || d.one(3) {
				obj.Members = append(obj.Members, Member{sub.Name, d.typed(sub)})
			}
		}
		return obj
	}
	return d.text(a)
}

// anyValue draws a value of any kind.
func (d dice) anyValue() string {
	return pick(d, `null`, `""`, `"x"`, `"True"`, `"7"`, `7`, `1.5`, `1e400`, `12345678901234567890`, `true`, `[]`, `{}`, `[null]`, `[""]`, `["x"]`, `[7]`, `[true]`, `[{}]`,
		`{"value":"x"}`, `[{"value":"x"}]`, `{"value":7}`, `[{"value":null}]`, `[["x"]]`, `"2026-01-01T00:00:00Z"`, `"2026-01-01"`, `"2026-02-30T00:00:00Z"`, `"2026-01-01T00:00:00"`,
		`"TQ=="`, `"TQ"`, `"T Q=="`, `"!"`, `[{"value":"x","primary":true},{"value":"y","primary":true}]`, `[{"value":"x","type":"work"},{"value":"x","type":"work"}]`)
}

// bentPlace is where a body was bent.
type bentPlace struct {
	path string
	attr *Attribute // what is declared there; nil: nothing
	text string     // what stands there
}

// body draws a resource, bent at one place or none.
func (d dice) body(t *testing.T) (Value, bentPlace) {
	t.Helper()
	ext := pick(d, testUser.Extensions...)
	schemas := `["` + UserURN + `","` + ext.ID + `"]`
	if d.one(20) {
		schemas = `["` + UserURN + `"]`
	}
	body := Value{Kind: Object, Members: []Member{{"schemas", parseTest(t, schemas)}}}
	for _, a := range userSchema.Attributes {
		if a.Name == "userName" || d.one(6) {
			body.Members = append(body.Members, Member{a.Name, d.typed(a)})
		}
	}
	obj := Value{Kind: Object}
	for _, a := range ext.Attributes {
		if a.Required || d.one(3) {
			obj.Members = append(obj.Members, Member{a.Name, d.typed(a)})
		}
	}
	attrs, bent := userSchema.Attributes, bentPlace{}
	in := d.one(2)
	if in {
		attrs = ext.Attributes
	}
	switch d.IntN(8) {
	case 0: // as it is
	case 1:
		bent = bentPlace{path: "shoe", text: d.anyValue()}
	default:
		bent.attr = pick(d, attrs...)
		bent.path, bent.text = bent.attr.Name, d.anyValue()
		if sub := bent.attr.Sub; len(sub) > 0 && d.one(2) {
			bent.attr = pick(d, sub...)
			bent.path += "." + bent.attr.Name
		}
	}
	if bent.path != "" {
		to := &body
		if in {
			to = &obj
		}
		name, sub, deep := strings.Cut(bent.path, ".")
		v := parseTest(t, `{"v":`+bent.text+`}`).Members[0].Value
		if deep {
			v = Value{Kind: Object, Members: []Member{{sub, v}}}
			if a := find(attrs, name); a.MultiValued {
				v = Value{Kind: Array, Elems: []Value{v}}
			}
		}
		to.Members = replaceMember(to.Members, Member{name, v})
	}
	body.Members = append(body.Members, Member{ext.ID, obj})
	return body, bent
}

// schemaRule is a known difference about values.
type schemaRule struct {
	difference
	when func(p bentPlace, ours error) bool
}

// bodyRules are for bodies.
var bodyRules = []schemaRule{
	{difference{"elimity", "an extension that schemas does not name"}, func(_ bentPlace, ours error) bool {
		return ours != nil && strings.Contains(ours.Error(), "schemas must hold")
	}},
	{difference{"elimity", "unknown attributes"}, func(_ bentPlace, ours error) bool {
		return ours != nil && strings.Contains(ours.Error(), "is not an attribute of")
	}},
	{difference{"elimity", "the same type and value twice in a body"}, func(p bentPlace, ours error) bool {
		return ours == nil && strings.Contains(p.text, `"work"},{`)
	}},
	{difference{"elimity", "references that are no URI"}, func(_ bentPlace, ours error) bool {
		return ours != nil && strings.Contains(ours.Error(), "must be a URI")
	}},
	{difference{"elimity", "binaries without padding"}, func(p bentPlace, ours error) bool {
		return ours == nil && p.text == `"TQ"` && p.attr != nil && p.attr.Type == TypeBinary
	}},
	{difference{"elimity", "empty values of another type"}, func(p bentPlace, ours error) bool { return ours == nil && p.empty() }},
	{difference{"elimity", "empty texts that are required"}, func(p bentPlace, ours error) bool {
		return p.text == `""` && strings.Contains(ours.Error(), "is required")
	}},
	{difference{"elimity", "an object for a list"}, func(p bentPlace, ours error) bool {
		return ours != nil && p.attr != nil && p.attr.MultiValued && p.text[0] == '{'
	}},
}

// patchValueRules are for the values of PATCH.
var patchValueRules = []schemaRule{
	{difference{"elimity", "unknown attributes in a PATCH"}, func(_ bentPlace, ours error) bool {
		return ours != nil && strings.Contains(ours.Error(), "is not an attribute of")
	}},
	{difference{"elimity", "active without a value"}, func(p bentPlace, ours error) bool {
		return p.attr == attrActive && ours != nil && strings.Contains(ours.Error(), "active cannot be unassigned")
	}},
	{difference{"elimity", "immutable attributes"}, func(p bentPlace, _ error) bool { return p.attr != nil && p.attr.Mutability == "immutable" }},
	{difference{"elimity", "empty values in a PATCH"}, func(p bentPlace, ours error) bool { return ours == nil && p.empty() }},
	{difference{"elimity", "empty texts that are required in a PATCH"}, func(p bentPlace, ours error) bool {
		return p.text == `""` && ours != nil && strings.Contains(ours.Error(), "is required")
	}},
	{difference{"elimity", "the same type and value twice in a PATCH"}, func(p bentPlace, ours error) bool {
		return ours == nil && strings.Contains(p.text, `"work"},{`)
	}},
	{difference{"elimity", "an object for a list in a PATCH"}, func(p bentPlace, ours error) bool {
		return ours != nil && p.attr != nil && p.attr.MultiValued && p.text[0] == '{'
	}},
	{difference{"elimity", "one value that joins a list"}, func(p bentPlace, ours error) bool {
		return ours == nil && p.attr != nil && p.attr.MultiValued && p.text[0] != '['
	}},
}

// empty reports whether nothing stands there, in whatever form.
func (p bentPlace) empty() bool {
	return p.text != "" && strings.Trim(strings.ReplaceAll(strings.ReplaceAll(p.text, "null", ""), `"value":`, ""), `[]{}"`) == ""
}

// schemaComparison counts what two judges say of values.
type schemaComparison struct {
	rules          []schemaRule
	found          seen
	taken, refused int
	unexplained    int
}

func (c *schemaComparison) compare(t *testing.T, p bentPlace, request string, ours, theirs error) {
	t.Helper()
	switch {
	case ours == nil && theirs == nil:
		c.taken++
		return
	case ours != nil && theirs != nil:
		c.refused++
		return
	}
	at := slices.IndexFunc(c.rules, func(r schemaRule) bool { return r.when(p, ours) })
	if at < 0 && c.unexplained > 20 {
		t.Fatal("and so on")
	}
	if at < 0 {
		c.unexplained++
		t.Errorf("%s = %s in %s\nours   %v\ntheirs %v", p.path, p.text, request, ours, theirs)
		return
	}
	c.found[c.rules[at].difference]++
}

func (c *schemaComparison) check(t *testing.T) {
	t.Helper()
	t.Logf("%d requests, of which both take %d and refuse %d", schemaQuestions, c.taken, c.refused)
	c.found.check(t, schemaDifferences(c.rules))
}

func schemaDifferences(rules []schemaRule) (list []difference) {
	for _, r := range rules {
		list = append(list, r.difference)
	}
	return list
}

// Bodies of POST and PUT in strict mode beside the library's judgement by the schemas that we
// publish.
func TestOracleBodies(t *testing.T) {
	notInShort(t)
	c := schemaComparison{rules: bodyRules, found: seen{}}
	for i := range schemaQuestions {
		d := newDice(uint64(i) + 5<<32)
		body, bent := d.body(t)
		_, _, ours := testUser.normalize(body, Mode{Strict: true})
		c.compare(t, bent, encode(body), ours, elimityBody(t, body))
	}
	c.check(t)
}

// Values of a PATCH in strict mode beside the library's.
func TestOraclePatchValues(t *testing.T) {
	notInShort(t)
	user := parseTest(t, expand(`{"userName":"u","name":{"givenName":"G"},"emails":[{"value":"e"}],"E":{"department":"D"},"C":{"berth":"B","badge":"7"}}`))
	c := schemaComparison{rules: patchValueRules, found: seen{}}
	for i := range schemaQuestions {
		d := newDice(uint64(i) + 6<<32)
		s, library, prefix := userSchema, libraryUser, ""
		if at := d.IntN(2 * len(testUser.Extensions)); at < len(testUser.Extensions) {
			s, library = testUser.Extensions[at], libraryExtensions[at]
			prefix = s.ID + ":"
		}
		p := bentPlace{attr: pick(d, s.Attributes...), text: d.anyValue()}
		if d.one(3) {
			p.text = encode(d.typed(p.attr))
		}
		if p.path = p.attr.Name; d.one(20) {
			p.path, p.attr = "shoe", nil
		}
		op := pick(d, "add", "replace")
		body := parseTest(t, patchBody(`[{"op":"`+op+`","path":"`+prefix+p.path+`","value":`+p.text+`}]`))
		parsed, ours := parsePatch(body, testUser, Mode{Strict: true}, PatchLimits{})
		if ours == nil {
			_, _, ours = parsed.apply(user)
		}
		var theirs error
		value := toLibrary(t, parseTest(t, `{"v":`+p.text+`}`))["v"]
		if err := library.ValidatePatchOperation(op, map[string]any{prefix + p.path: value}, prefix != ""); err != nil {
			theirs = err
		}
		c.compare(t, p, encode(body), ours, theirs)
	}
	c.check(t)
}

// elimityBody lets the library judge a body.
func elimityBody(t *testing.T, body Value) error {
	t.Helper()
	resource := toLibrary(t, body)
	if _, err := libraryUser.Validate(resource); err != nil {
		return err
	}
	for _, ext := range libraryExtensions {
		if v, ok := resource[ext.ID]; ok {
			if _, err := ext.ValidateExtension(v); err != nil {
				return err
			}
		}
	}
	return nil
}
