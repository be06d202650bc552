package scim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/elimity-com/scim"
	"github.com/elimity-com/scim/schema"
	"github.com/google/go-cmp/cmp"
	filter "github.com/scim2/filter-parser/v2"
	"pgregory.net/rapid"
)

// The library reads the schemas that we publish and judges our resources by them.
var libraryUser, libraryExtensions = func() (schema.Schema, []schema.Schema) {
	read := func(s *Schema) (out schema.Schema) {
		if err := json.Unmarshal(appendSchema(nil, s, testBase), &out); err != nil {
			panic(err)
		}
		return out
	}
	var extensions []schema.Schema
	for _, ext := range testUser.Extensions {
		extensions = append(extensions, read(ext))
	}
	return read(userSchema), extensions
}()

// toLibrary turns canonical attributes into a resource as the library knows them.
func toLibrary(t rapid.TB, attrs Value) map[string]any {
	t.Helper()
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(appendValue(nil, attrs)))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

func fromLibrary(t rapid.TB, m map[string]any) Value {
	t.Helper()
	doc, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return parseTest(t, string(doc))
}

// padded adds the padding to certificates: the library wants it, RFC 7643 section 2.3.6 lets it be left out.
func padded(attrs Value) Value {
	list, _ := attrs.Get("x509Certificates")
	if len(list.Elems) == 0 {
		return attrs
	}
	out := Value{Kind: Array}
	for _, e := range list.Elems {
		if v, ok := e.Get("value"); ok {
			v.Text += strings.Repeat("=", (4-len(v.Text)%4)%4)
			e = setMember(find(userSchema.Attributes, "x509Certificates").Sub, e, "value", v)
		}
		out.Elems = append(out.Elems, e)
	}
	return setMember(userSchema.Attributes, attrs, "x509Certificates", out)
}

// judge lets the library validate canonical attributes and checks that it takes nothing away.
func judge(t rapid.TB, attrs Value) {
	t.Helper()
	attrs = padded(attrs)
	resource := toLibrary(t, attrs)
	resource["schemas"] = []any{UserURN}
	out, scimErr := libraryUser.Validate(resource)
	if scimErr != nil {
		t.Fatalf("the library refuses %s: %v", encode(attrs), scimErr)
	}
	for _, ext := range libraryExtensions {
		if resource[ext.ID] == nil {
			continue
		}
		object, scimErr := ext.ValidateExtension(resource[ext.ID])
		if scimErr != nil {
			t.Fatalf("the library refuses %s of %s: %v", ext.ID, encode(attrs), scimErr)
		}
		out[ext.ID] = object
	}
	// It makes floats of decimals, so numbers compare as such.
	again, _, err := testUser.normalize(fromLibrary(t, out), Mode{})
	if diff := cmp.Diff(floats(t, attrs), floats(t, again)); err != nil || diff != "" {
		t.Fatalf("the library makes something else of %s: %v %s", encode(attrs), err, diff)
	}
}

func floats(t rapid.TB, v Value) (out any) {
	t.Helper()
	if err := json.Unmarshal(appendValue(nil, v), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// canonical checks that attributes are canonical.
func canonical(t rapid.TB, attrs Value) {
	t.Helper()
	again, warnings, err := testUser.normalize(attrs, Mode{})
	if err != nil || encode(again) != encode(attrs) || warnings != nil {
		t.Fatalf("%s normalizes to %s, %v, %v", encode(attrs), encode(again), warnings, err)
	}
	strict, err := parseJSON(fmt.Appendf(nil, `{"schemas":%s,%s`, appendTextList(nil, testUser.schemasOf(attrs)), encode(attrs)[1:]), 32)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err = testUser.normalize(strict, Mode{Strict: true})
	if err != nil && strings.HasSuffix(detail(err), "must be a URI.") {
		return // a tolerant tenant keeps what is none
	}
	if err != nil || encode(again) != encode(attrs) {
		t.Fatalf("in strict mode %s normalizes to %s, %v", encode(attrs), encode(again), err)
	}
}

// drawValue draws a plain value of an attribute as the RFC has it. Texts come from few words, so
// that values meet.
func drawValue(t *rapid.T, a *Attribute) Value {
	text := func(list ...string) Value { return Value{Kind: String, Text: rapid.SampledFrom(list).Draw(t, a.Name)} }
	switch {
	case a.Type == TypeBoolean:
		return Value{Kind: Bool, Bool: rapid.Bool().Draw(t, a.Name)}
	case a.Type == TypeInteger:
		return Value{Kind: Number, Text: fmt.Sprint(rapid.IntRange(-9, 9).Draw(t, a.Name))}
	case a.Type == TypeDecimal:
		return Value{Kind: Number, Text: rapid.SampledFrom([]string{"1.5", "-2.25", "3"}).Draw(t, a.Name)}
	case a.Type == TypeDateTime:
		return text("2026-01-01T00:00:00Z", "2026-05-01T12:30:00.5+02:00")
	case a.Type == TypeReference:
		return text("https://x.example/a", "../Users/b")
	case a.Type == TypeBinary:
		return text("AAAA", "TWFy", "TQ==")
	case len(a.CanonicalValues) > 0:
		return text(a.CanonicalValues...)
	}
	return text("a", "b", "c", "ü \"x\"", strings.Repeat("z", 200))
}

func drawObject(t *rapid.T, attrs []*Attribute, must string) Value {
	obj := Value{Kind: Object}
	for _, a := range attrs {
		if a.Mutability != "readOnly" && a != attrMembers && (a.Required || a.Name == must || rapid.IntRange(0, 2).Draw(t, "with "+a.Name) == 0) {
			if v := drawAttribute(t, a); v.Kind != Null {
				obj.Members = append(obj.Members, Member{a.Name, v})
			}
		}
	}
	return obj
}

// drawElement draws a value that is more than its labels.
func drawElement(t *rapid.T, a *Attribute) Value {
	if a.Type != TypeComplex {
		return drawValue(t, a)
	}
	must := "value"
	if find(a.Sub, must) == nil {
		must = a.Sub[0].Name
	}
	return drawObject(t, a.Sub, must)
}

// drawAttribute draws a value of an attribute; a list holds each (type, value) and primary once.
func drawAttribute(t *rapid.T, a *Attribute) Value {
	if !a.MultiValued {
		return drawElement(t, a)
	}
	var elems []Value
	for range rapid.IntRange(0, 3).Draw(t, "count") {
		elems = append(elems, drawElement(t, a))
	}
	elems = tidy(a, onePrimary(elems, true), true)
	if len(elems) == 0 {
		return Value{}
	}
	return Value{Kind: Array, Elems: elems}
}

// drawUser draws the canonical attributes of a user.
func drawUser(t *rapid.T) Value {
	user := drawObject(t, userSchema.Attributes, "userName")
	for _, ext := range testUser.Extensions {
		if ext != accessSchema && rapid.Bool().Draw(t, "with "+ext.ID) {
			if obj := drawObject(t, ext.Attributes, ""); len(obj.Members) > 0 {
				user.Members = append(user.Members, Member{ext.ID, obj})
			}
		}
	}
	return user
}

// shuffle puts the members of an object and their parts in another order.
func shuffle(t *rapid.T, v Value) Value {
	if v.Kind != Object {
		return v
	}
	members := rapid.Permutation(v.Members).Draw(t, "order")
	for i := range members {
		members[i].Value = shuffle(t, members[i].Value)
	}
	return Value{Kind: Object, Members: members}
}

func TestNormalizeAgainstLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		user := drawUser(t)
		body := shuffle(t, user)
		body.Members = append(body.Members, Member{"schemas", parseTest(t, string(appendTextList(nil, testUser.schemasOf(user))))})
		got, warnings, err := testUser.normalize(body, Mode{Strict: true})
		if err != nil || encode(got) != encode(user) || warnings != nil {
			t.Fatalf("%s normalizes to %s, %v, %v", encode(body), encode(got), warnings, err)
		}
		canonical(t, got)
		judge(t, got)
	})
}

// plainOp is an operation as the RFC describes it.
type plainOp struct {
	op, path string
	value    Value
}

func (o plainOp) body() string {
	s := `{"op":"` + o.op + `"`
	if o.path != "" {
		s += `,"path":` + string(appendString(nil, o.path))
	}
	if o.op != "remove" {
		s += `,"value":` + encode(o.value)
	}
	return s + "}"
}

// drawOp draws an operation that is plain and has one reading: the library's and ours. What they
// read differently on purpose is left out: see the list of its quirks in the decision record.
func drawOp(t *rapid.T, user Value) plainOp {
	// One attribute of the core schema or the enterprise extension.
	prefix, attrs := "", userSchema.Attributes
	if rapid.Bool().Draw(t, "extension") {
		prefix, attrs = EnterpriseURN+":", enterpriseSchema.Attributes
	}
	var writable []*Attribute
	for _, a := range attrs {
		// manager loses its $ref when its value changes; active cannot be unassigned.
		if a.Mutability != "readOnly" && a != attrManager && a != attrActive {
			writable = append(writable, a)
		}
	}
	a := rapid.SampledFrom(writable).Draw(t, "attribute")
	op := plainOp{op: rapid.SampledFrom([]string{"add", "replace", "remove"}).Draw(t, "op"), path: prefix + a.Name}
	if a.Required && op.op == "remove" {
		op.op = "replace"
	}
	op.value = drawAttribute(t, a)
	switch {
	case op.value.Kind == Null:
		op.op = "remove"
	case a.Type == TypeComplex && !a.MultiValued && len(op.value.Members) == 0:
		op.op = "remove"
	case a.Type == TypeComplex && !a.MultiValued && rapid.Bool().Draw(t, "part"):
		sub := rapid.SampledFrom(a.Sub).Draw(t, "sub")
		op.path, op.value = op.path+"."+sub.Name, drawValue(t, sub)
	case a.Type == TypeComplex && a.MultiValued && rapid.Bool().Draw(t, "filter"):
		// An element that is there, found by a type or value that one or more have.
		now, _ := user.Get(a.Name)
		if len(now.Elems) == 0 {
			break
		}
		e := rapid.SampledFrom(now.Elems).Draw(t, "element")
		m := rapid.SampledFrom(e.Members).Draw(t, "by")
		sub := find(a.Sub, m.Name)
		if sub.Type == TypeBinary || strings.Contains(m.Value.Text, `"`) {
			break // the library's filters do not compare binaries, and leave escapes in texts
		}
		if sub.Name == "primary" && !m.Value.Bool {
			break // a value without primary is not primary (RFC 7643 section 2.4); the library passes it over
		}
		op.path += "[" + sub.Name + " eq " + encode(m.Value) + "]"
		if target := rapid.SampledFrom(a.Sub).Draw(t, "target"); op.op != "remove" || rapid.Bool().Draw(t, "whole") {
			op.path, op.value = op.path+"."+target.Name, drawValue(t, target)
		}
	}
	return op
}

func TestPatchAgainstLibrary(t *testing.T) {
	compared := 0
	rapid.Check(t, func(t *rapid.T) {
		user := drawUser(t)
		op := drawOp(t, user)

		p, err := parsePatch(parseTest(t, patchBody("["+op.body()+"]")), testUser, Mode{Strict: true}, PatchLimits{})
		if err != nil {
			t.Fatalf("%s: %v", op.body(), err)
		}
		got, _, err := p.apply(user)
		if err != nil {
			t.Fatalf("%s: %v", op.body(), err)
		}

		path, err := filter.ParsePath([]byte(op.path))
		if err != nil {
			t.Skip("the library's parser does not know the path")
		}
		resource := toLibrary(t, user)
		if ext, ok := resource[EnterpriseURN].(map[string]any); ok {
			for name, v := range ext {
				resource[EnterpriseURN+":"+name] = v
			}
			delete(resource, EnterpriseURN)
		}
		value := toLibrary(t, Value{Kind: Object, Members: []Member{{"v", op.value}}})["v"]
		patched, err := scim.ApplyPatch(resource, []scim.PatchOperation{{Op: op.op, Path: &path, Value: value}}, libraryUser, libraryExtensions...)
		if err != nil {
			t.Skip("the library refuses it: ", err) // two equal (type, value): we make them one
		}
		extension := map[string]any{}
		for name, v := range patched {
			if rest, ok := strings.CutPrefix(name, EnterpriseURN+":"); ok {
				extension[rest] = v
				delete(patched, name)
			}
		}
		patched[EnterpriseURN] = extension
		// Both make one of equal values, but of a patch the later one counts.
		n := normalizer{rt: testUser, patch: true}
		want, err := n.resource(fromLibrary(t, patched))
		if err != nil {
			t.Fatal(err)
		}
		if encode(got) != encode(want) {
			t.Fatalf("%s on %s\nours    %s\nlibrary %s", op.body(), encode(user), encode(got), encode(want))
		}
		compared++
	})
	t.Log("compared", compared)
}

// drawAnyOp draws an operation of any shape that clients were seen to send, and of others.
func drawAnyOp(t *rapid.T) string {
	paths := []string{"title", "active", "name", "name.givenName", "emails", "emails.value", "emails.primary", `emails[type eq "work"]`, `emails[type eq "work"].value`,
		`emails[type eq "home"].primary`, `emails[primary eq "True"].value`, `roles[primary eq "True"].display`, `addresses[type eq "work"].country`, `addresses[country eq "a"]`,
		"addresses", "roles", "manager", EnterpriseURN + ":manager", EnterpriseURN + ":manager.value", EnterpriseURN + ":manager.$ref", `manager[value eq "a"]`, EnterpriseURN, EnterpriseURN + ":department",
		crewURN, crewURN + ":berth", crewURN + ":codes", crewURN + `:codes[value eq "a"]`, crewURN + ":rank", crewURN + ":papers", crewURN + `:papers[number eq "a"].stamps`,
		`emails[not (type eq "work")]`, UserURN, UserURN + ":title", "shoe", "x509Certificates", "userName", "externalId", "schemas", ""}
	values := []string{`null`, `""`, `"a"`, `"b"`, `"True"`, `"False"`, `true`, `false`, `7`, `1.5`, `[]`, `{}`, `["a"]`, `["a","b"]`, `[null]`, `[{}]`, `{"value":""}`, `{"value":"a"}`, `{"value":null,"type":"work"}`, `{"value":"","$ref":"a","displayName":"a"}`,
		`[{"value":"a","type":"work","primary":true},{"value":"b","primary":"True"}]`, `[{"value":"a"}]`, `{"type":"work","display":"d"}`, `[{"type":"work"}]`, `{"givenName":"a","familyName":null}`,
		`{"country":"a","type":"work","primary":true}`, `[{"country":"a"},{"country":"a"}]`, `{"title":"a","name.familyName":"b","` + EnterpriseURN + `:department":"c","emails[type eq \"work\"].value":"d"}`,
		`{"berth":"a","codes":[{"value":"a"}]}`, `{"number":"a","stamps":["a","a"]}`, `{"department":null,"manager":"m"}`, `{"active":"maybe"}`, `"AAAA"`}
	return fmt.Sprintf(`{"op":"%s","path":%s,"value":%s}`, rapid.SampledFrom([]string{"Add", "add", "Replace", "replace", "Remove"}).Draw(t, "op"),
		appendString(nil, rapid.SampledFrom(paths).Draw(t, "path")), rapid.SampledFrom(values).Draw(t, "value"))
}

// Whatever is sent: what is accepted leaves a canonical resource that the library accepts too.
func TestPatchStaysCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		user := drawUser(t)
		ops := rapid.SliceOfN(rapid.Custom(drawAnyOp), 1, 5).Draw(t, "ops")
		mode := Mode{Strict: rapid.Bool().Draw(t, "strict")}
		p, err := parsePatch(parseTest(t, patchBody("["+strings.Join(ops, ",")+"]")), testUser, mode, PatchLimits{})
		if err != nil {
			return
		}
		before := encode(user)
		next, _, err := p.apply(user)
		if encode(user) != before {
			t.Fatalf("%s: the input changed from %s to %s", ops, before, encode(user))
		}
		if err != nil {
			return
		}
		canonical(t, next)
		judge(t, next)
		if again, _, err := p.apply(user); err != nil || encode(again) != encode(next) {
			t.Fatalf("%s: %s, then %s, %v", ops, encode(next), encode(again), err)
		}
	})
}

// What is set once is set: the same replace again changes nothing. Paths that look for what they
// change are left out, and single replaces of a value by filter are the point.
func TestPatchReplaceTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		user := drawUser(t)
		body := rapid.Custom(drawAnyOp).Filter(func(s string) bool {
			return strings.Contains(s, `"op":"replace"`) && !strings.Contains(s, "[primary") && !strings.Contains(s, "[country") && !strings.Contains(s, "[value") &&
				!strings.Contains(s, `[not`) && !strings.Contains(s, "emails.primary")
		}).Draw(t, "op")
		p, err := parsePatch(parseTest(t, patchBody("["+body+"]")), testUser, Mode{}, PatchLimits{})
		if err != nil {
			return
		}
		once, _, err := p.apply(user)
		if err != nil {
			return
		}
		twice, _, err := p.apply(once)
		if err != nil {
			t.Fatalf("%s on %s: %v", body, encode(once), err)
		}
		if diff := cmp.Diff(encode(once), encode(twice)); diff != "" {
			t.Fatalf("%s on %s: %s", body, encode(user), diff)
		}
	})
}

func FuzzPatch(f *testing.F) {
	for _, s := range []string{
		`[{"op":"Replace","path":"active","value":"False"}]`,
		`[{"op":"add","value":{"name.givenName":"G","` + EnterpriseURN + `:department":"D","active":false}}]`,
		`[{"op":"Replace","path":"emails[type eq \"work\"].value","value":"e"},{"op":"Remove","path":"emails[type eq \"home\"]"}]`,
		`[{"op":"add","path":"roles[primary eq \"True\"].value","value":"r"}]`,
		`{"op":"replace","path":"manager","value":[{"$ref":"x","value":"m"}]}`,
		`[{"op":"Add","path":"` + crewURN + `:codes","value":[{"value":"1"}]}]`,
		`[{"op":"remove","path":"members[value eq \"m\"]"},{"op":"add","path":"members","value":[{"value":"m"}]}]`,
		`[{"op":"replace","path":"emails.value","value":"e"},{"op":"replace","path":"name","value":{"givenName":null}}]`,
		`[]`, `[[[]]]`, `[{"op":"remove"}]`,
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	before := parseTest(f, expand(`{"userName":"u","name":{"givenName":"G"},"active":true,"emails":[{"value":"e","type":"home","primary":true},{"value":"w","type":"work"}],
		"addresses":[{"country":"SE"}],"E":{"manager":{"value":"m","$ref":"x"}},"C":{"berth":"B","codes":["7"]}}`))
	group := parseTest(f, `{"displayName":"D"}`)
	f.Fuzz(func(t *testing.T, ops []byte, strict bool) {
		body, err := parseJSON([]byte(patchBody(string(ops))), 32)
		if err != nil {
			return
		}
		mode := Mode{Strict: strict}
		if p, err := parsePatch(body, testGroup, mode, PatchLimits{}); err == nil {
			p.apply(group)
			for _, op := range p.memberOps() {
				if (op.Kind == removeMatching) != (op.Filter != nil) || (op.Kind == clearMembers || op.Kind == removeMatching) != (len(op.Members) == 0) {
					t.Fatalf("%s: %+v", ops, op)
				}
			}
		} else if scimType(err) == "" {
			t.Fatal(err)
		}
		p, err := parsePatch(body, testUser, mode, PatchLimits{})
		if err != nil {
			return
		}
		was := encode(before)
		next, _, err := p.apply(before)
		if encode(before) != was {
			t.Fatalf("%s changed its input to %s", ops, encode(before))
		}
		if err == nil {
			canonical(t, next)
			judge(t, next)
		}
	})
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{
		`{"userName":"u","active":"True","emails":[{"value":"e","primary":"True"},{"value":"e"}],"roles":[],"meta":{"resourceType":"User"}}`,
		`{"userName":"u","E":{"manager":"m","employeeNumber":7},"C":{"berth":"B","codes":["1",{"value":"2"}],"since":"2026-01-01T00:00:00Z","draught":1e3}}`,
		`{"userName":"u","addresses":[{"country":"SE","primary":true},{"country":"SE","primary":true},{"country":"SE"}],"x509Certificates":[{"value":"AAAA"}]}`,
		`{"displayName":"D","members":[{"value":"a"}]}`,
		`{"schemas":"x"}`, `[]`,
	} {
		f.Add([]byte(expand(s)), false)
		f.Add([]byte(expand(s)), true)
	}
	f.Fuzz(func(t *testing.T, doc []byte, strict bool) {
		body, err := parseJSON(doc, 32)
		if err != nil {
			return
		}
		memberRefs(body, Mode{Strict: strict})
		if v, _, err := testGroup.normalize(body, Mode{Strict: strict}); err == nil {
			if again, _, err := testGroup.normalize(v, Mode{}); err != nil || encode(again) != encode(v) {
				t.Fatalf("%s normalizes to %s, %v", encode(v), encode(again), err)
			}
		}
		if v, _, err := testUser.normalize(body, Mode{Strict: strict}); err == nil {
			canonical(t, v)
			judge(t, v)
		}
	})
}
