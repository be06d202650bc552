package scim

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// spelled is an operation that has more than one way to be written.
type spelled struct {
	op    string
	ref   attrRef
	by    string // the part that the brackets compare; "": no brackets
	with  string // and what with
	value Value
}

// path writes the names of the path, and what stands in its brackets, in some way.
func (o spelled) path(name, brackets func(string) string) string {
	s := name(attrRef{urn: o.ref.urn, attr: o.ref.attr}.path())
	if o.by != "" {
		s += "[" + brackets(name(o.by+" eq ")+o.with) + "]"
	}
	if o.ref.sub != nil {
		s += name("." + o.ref.sub.Name)
	}
	return s
}

func asIs(s string) string { return s }

// drawSpelled draws an operation on any attribute, part or element of a user, as the RFC has it.
func drawSpelled(t *rapid.T) (o spelled) {
	schemas := append([]*Schema{userSchema}, testUser.Extensions...)
	s := rapid.SampledFrom(slices.DeleteFunc(schemas, func(s *Schema) bool { return s == accessSchema })).Draw(t, "schema")
	if s != userSchema {
		o.ref.urn = s.ID
	}
	o.op = rapid.SampledFrom([]string{"add", "replace", "remove"}).Draw(t, "op")
	o.ref.attr = writable(t, s.Attributes)
	return o.drawn(t)
}

func writable(t *rapid.T, attrs []*Attribute) *Attribute {
	return rapid.SampledFrom(slices.DeleteFunc(slices.Clone(attrs), func(a *Attribute) bool { return a.Mutability == "readOnly" })).Draw(t, "attribute")
}

// drawn draws the rest of an operation on an attribute.
func (o spelled) drawn(t *rapid.T) spelled {
	a := o.ref.attr
	if a.Type == TypeComplex && rapid.Bool().Draw(t, "part") {
		o.ref.sub = writable(t, a.Sub)
	}
	switch {
	case a.Type == TypeComplex && a.MultiValued && (o.ref.sub != nil || rapid.Bool().Draw(t, "element")):
		by := rapid.SampledFrom(slices.DeleteFunc(slices.Clone(a.Sub), func(sub *Attribute) bool {
			return sub.MultiValued || sub.Mutability == "readOnly" || sub.Type == TypeBinary
		})).Draw(t, "by")
		o.by, o.with = by.Name, encode(drawValue(t, by))
	case o.ref.sub == nil && a.Type != TypeComplex && a.MultiValued && rapid.Bool().Draw(t, "element"):
		o.by, o.with = "value", encode(drawValue(t, a))
	}
	switch target := o.ref.target(); {
	case o.op == "remove":
	case o.by != "" && o.ref.sub == nil:
		o.value = drawElement(t, a)
	default:
		o.value = drawAttribute(t, target)
	}
	return o
}

// wrapped is an object with one member.
func wrapped(name string, v Value) Value {
	return Value{Kind: Object, Members: []Member{{name, v}}}
}

func op(verb, path string, v Value) string {
	members := []Member{{"op", Value{Kind: String, Text: verb}}}
	if path != "" {
		members = append(members, Member{"path", Value{Kind: String, Text: path}})
	}
	if verb != "remove" {
		members = append(members, Member{"value", v})
	}
	return encode(Value{Kind: Object, Members: members})
}

// escaped writes the letters of quoted texts as \u00xx.
func escaped(s string) string {
	var b strings.Builder
	quoted, skip := false, false
	for _, r := range s {
		switch {
		case skip:
			skip = false
		case quoted && r == '\\':
			skip = true
		case r == '"':
			quoted = !quoted
		case quoted && r < 0x10000:
			fmt.Fprintf(&b, `\u%04X`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// spellings are other ways to write an operation, of which none may end otherwise.
func (o spelled) spellings(t *rapid.T, strict bool) (ways map[string]string) {
	path := o.path(asIs, asIs)
	inCase := func(s string) string {
		return rapid.SampledFrom([]string{s, strings.ToUpper(s), strings.ToLower(s)}).Draw(t, "case")
	}
	ways = map[string]string{
		"case":   op(o.op, o.path(inCase, asIs), o.value),
		"spaces": op(o.op, " "+path+" ", o.value),
	}
	if o.ref.urn == "" {
		ways["core URN"] = op(o.op, UserURN+":"+path, o.value)
	}
	if o.by != "" {
		if len(o.with) < 60 { // a path is bounded
			ways["escapes"] = op(o.op, o.path(asIs, escaped), o.value)
		}
		ways["space before brackets"] = op(o.op, strings.Replace(path, "[", "  [ ", 1), o.value)
		ways["parentheses"] = op(o.op, o.path(asIs, func(s string) string { return "( " + s + " )" }), o.value)
	}
	single := !o.ref.target().MultiValued || o.by != "" && o.ref.sub == nil
	if !strict {
		ways["op"] = op(strings.ToUpper(o.op), path, o.value)
	}
	if o.op == "remove" {
		if o.by == "" || o.ref.sub != nil {
			ways["null"] = op("replace", path, Value{})
		}
		return ways
	}
	if !strict {
		ways["no path"] = op(o.op, "", wrapped(path, o.value))
		if single && o.value.Kind != Null {
			ways["list of one"] = op(o.op, path, Value{Kind: Array, Elems: []Value{o.value}})
		}
	}
	if !single && len(o.value.Elems) == 1 {
		ways["one of a list"] = op(o.op, path, o.value.Elems[0])
	}
	if o.by != "" {
		return ways
	}
	v := o.value
	if o.ref.sub != nil {
		v = wrapped(o.ref.sub.Name, v)
		ways["object"] = op(o.op, attrRef{urn: o.ref.urn, attr: o.ref.attr}.path(), v)
	}
	v = wrapped(o.ref.attr.Name, v)
	if o.ref.urn == "" {
		ways["object of the core URN"] = op(o.op, UserURN, v)
	} else {
		ways["object of the extension"] = op(o.op, o.ref.urn, v)
		v = wrapped(o.ref.urn, v)
	}
	ways["nested"] = op(o.op, "", v)
	return ways
}

// However an operation is written: it ends in the same resource, or is refused alike.
func TestPatchSpellings(t *testing.T) {
	carriedOut := 0
	rapid.Check(t, func(t *rapid.T) {
		user, mode := drawUser(t), Mode{Strict: rapid.Bool().Draw(t, "strict")}
		o := drawSpelled(t)
		run := func(body string) (string, string) {
			p, err := parsePatch(parseTest(t, patchBody("["+body+"]")), testUser, mode, PatchLimits{})
			if err != nil {
				return "", scimType(err)
			}
			next, _, err := p.apply(user)
			if err != nil {
				return "", scimType(err)
			}
			return encode(next), ""
		}
		plain := op(o.op, o.path(asIs, asIs), o.value)
		want, refused := run(plain)
		if refused == "" {
			carriedOut++
		}
		ways := o.spellings(t, mode.Strict)
		for _, way := range slices.Sorted(maps.Keys(ways)) {
			got, err := run(ways[way])
			if way == "null" && err == "invalidValue" && refused == "mutability" {
				err = "mutability" // strict mode has a word of its own for what was removed
			}
			if err != refused || got != want {
				t.Fatalf("%s on %s in %+v\n%s: %s\nplain %s, %q\ngot   %s, %q", plain, encode(user), mode, way, ways[way], want, refused, got, err)
			}
		}
	})
	if carriedOut == 0 {
		t.Error("none was carried out")
	}
}

// unordered is an encoding that does not tell in which order the elements of lists stand.
func unordered(v Value) string {
	switch v.Kind {
	case Array:
		texts := []string{}
		for _, e := range v.Elems {
			texts = append(texts, unordered(e))
		}
		slices.Sort(texts)
		return "[" + strings.Join(texts, ",") + "]"
	case Object:
		texts := []string{}
		for _, m := range v.Members {
			texts = append(texts, m.Name+":"+unordered(m.Value))
		}
		return "{" + strings.Join(texts, ",") + "}"
	}
	return encode(v)
}

// carry carries out one operation without a path and returns what it leaves, or why it was refused.
func carry(t rapid.TB, verb string, value, before Value, mode Mode) (after, refused string) {
	t.Helper()
	p, err := parsePatch(parseTest(t, patchBody("["+op(verb, "", value)+"]")), testUser, mode, PatchLimits{})
	if err != nil {
		return "", scimType(err)
	}
	next, _, err := p.apply(before)
	if err != nil {
		return "", scimType(err)
	}
	canonical(t, next)
	return unordered(next), ""
}

var primary = regexp.MustCompile(`,?primary:(true|false)`)

// Whichever of two names of an object comes first: it ends in the same resource, but for what is primary, or is refused.
func TestPatchObjectsHaveNoOrder(t *testing.T) {
	agreed, refusals := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		user := drawUser(t)
		o := drawSpelled(t)
		if o.op == "remove" {
			t.Skip("remove has a path")
		}
		other := spelled{op: o.op, ref: attrRef{urn: o.ref.urn, attr: o.ref.attr}}.drawn(t)
		one := Member{o.path(asIs, asIs), o.value}
		two := Member{other.path(strings.ToUpper, asIs) + " ", other.value} // another name, whatever it names
		a, whyA := carry(t, o.op, Value{Kind: Object, Members: []Member{one, two}}, user, Mode{})
		b, whyB := carry(t, o.op, Value{Kind: Object, Members: []Member{two, one}}, user, Mode{})
		if primary.ReplaceAllString(a, "") != primary.ReplaceAllString(b, "") || (whyA == "") != (whyB == "") {
			t.Fatalf("%s of %s and %s on %s\n%s %q\n%s %q", o.op, encode(wrapped(one.Name, one.Value)), encode(wrapped(two.Name, two.Value)), encode(user), a, whyA, b, whyB)
		}
		if whyA == "" {
			agreed++
		} else {
			refusals++
		}
	})
	if agreed == 0 || refusals == 0 {
		t.Errorf("%d agreed, %d were refused", agreed, refusals)
	}
}

// What an object says twice it says once, and where it says two things it is refused, also as a list of objects.
func TestPatchObjectsThatDisagree(t *testing.T) {
	const before = `{"userName":"u","name":{"familyName":"F","givenName":"G"},"title":"T","active":true,
		"emails":[{"value":"w@x","type":"work","primary":true},{"value":"h@x","type":"home"}],"E":{"department":"D","manager":{"value":"m","$ref":"../m"}}}`
	user := parseTest(t, expand(before))
	const both, replaces = "add replace", "replace"
	tests := []struct {
		name, verbs, object string
		refused             bool
	}{
		{"active by its name and its URN", both, `{"active":true,"U:active":false}`, true},
		{"active in the core URN and outside", both, `{"` + UserURN + `":{"active":false},"active":true}`, true},
		{"title with a space", both, `{"title":"a"," title":"b"}`, true},
		{"part by its name and in its object", both, `{"name.givenName":"a","name":{"givenName":"b"}}`, true},
		{"part of what is to go", both, `{"name":null,"name.givenName":"a"}`, true},
		{"attribute of an extension in it and outside", both, `{"E":{"department":"a"},"E:department":"b"}`, true},
		{"attribute of an extension that is to go", both, `{"E":null,"E:department":"a"}`, true},
		{"manager and its value", both, `{"E:manager":"n","E:manager.value":"o"}`, true},
		{"nobody and a manager", both, `{"E:manager":"","E:manager.value":"n"}`, true},
		{"element in two spellings", both, `{"emails[type eq \"work\"].value":"a","emails [ TYPE eq \"Work\" ].value":"b"}`, true},
		{"element that is to go", both, `{"emails[type eq \"work\"]":null,"emails[type eq \"work\"].value":"a"}`, true},
		{"list and a part of its element", both, `{"emails":[{"value":"a","type":"work"}],"emails[type eq \"work\"].value":"b"}`, true},
		{"two lists", replaces, `{"emails":[{"value":"a"}],"U:emails":[{"value":"b"}]}`, true},
		{"no list and an element", replaces, `{"emails":null,"emails[type eq \"work\"].value":"a"}`, true},
		{"primary and what is primary", both, `{"emails[type eq \"home\"].primary":true,"emails[primary eq true].value":"a"}`, true},

		{"two of three", both, `{"active":true,"U:active":false," active":true}`, true},

		{"active twice", both, `{"active":false,"U:active":"False"}`, false},
		{"active in the core URN and outside, alike", both, `{"` + UserURN + `":{"active":false},"active":false}`, false},
		{"parts", both, `{"name.givenName":"a","name.familyName":"b"}`, false},
		{"part and an object of others", both, `{"name":{"givenName":"a"},"name.familyName":"b"}`, false},
		{"parts of an element", both, `{"addresses[type eq \"work\"].streetAddress":"a","addresses[type eq \"work\"].locality":"b","addresses[type eq \"work\"].primary":true}`, false},
		{"elements of two lists", both, `{"emails[type eq \"work\"].value":"a","phoneNumbers[type eq \"work\"].value":"1"}`, false},
		{"elements of one list", both, `{"phoneNumbers[type eq \"work\"].value":"1","phoneNumbers[type eq \"fax\"].value":"2"}`, false},
		{"primary moves", both, `{"emails[type eq \"work\"].primary":false,"emails[type eq \"home\"].primary":true}`, false},
		{"app role", both, `{"roles[primary eq \"True\"].value":"V","roles[primary eq \"True\"].display":"D","roles[primary eq \"True\"].type":"T"}`, false},
		{"another manager and its reference", both, `{"E:manager.$ref":"../n","E:manager.value":"n"}`, false},
		{"another manager as a text and its reference", both, `{"E:manager.$ref":"../n","E:manager":"n"}`, false},
		{"nobody and the reference", both, `{"E:manager.$ref":"../n","E:manager.value":""}`, false},
		{"nobody and the reference of the whole", both, `{"E:manager.$ref":"../n","E:manager":""}`, false},
		{"list and its element, alike", replaces, `{"emails":[{"value":"a","type":"work"}],"emails[type eq \"work\"].value":"a"}`, false},
		{"lists that are added", "add", `{"emails":[{"value":"a"}],"U:emails":[{"value":"b"}]}`, false},
		{"element found by what changes, alone", both, `{"emails[value eq \"w@x\"].value":"a","phoneNumbers.value":"1","title":"S"}`, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			value := parseTest(t, expand(test.object))
			back := Value{Kind: Object, Members: slices.Clone(value.Members)}
			slices.Reverse(back.Members)
			list := Value{Kind: Array}
			for _, m := range value.Members {
				list.Elems = append(list.Elems, wrapped(m.Name, m.Value))
			}
			want := ""
			if test.refused {
				want = "invalidValue"
			}
			for verb := range strings.FieldsSeq(test.verbs) {
				first, _ := carry(t, verb, value, user, Mode{})
				for _, v := range []Value{value, back, list} {
					after, refused := carry(t, verb, v, user, Mode{})
					if refused != want || after != first {
						t.Errorf("%s %s: %s %q\nfirst %s", verb, encode(v), after, refused, first)
					}
				}
				if _, refused := carry(t, verb, list, user, Mode{Strict: true}); refused == "" {
					t.Errorf("%s %s: strict mode takes a list of objects", verb, encode(list))
				}
			}
		})
	}
	// Microsoft's validator flattens every value of a list: tolerant mode lets the last primary stay.
	const two = `{"emails[type eq \"%s\"].value":"a","emails[type eq \"%s\"].primary":true,"emails[type eq \"%s\"].primary":true,"emails[type eq \"%s\"].value":"b"}`
	for _, last := range []string{"work", "home"} {
		first := map[string]string{"work": "home", "home": "work"}[last]
		value := parseTest(t, fmt.Sprintf(two, first, first, last, last))
		for _, verb := range strings.Fields(both) {
			after, refused := carry(t, verb, value, user, Mode{})
			if !strings.Contains(after, `value:"b",type:"`+last+`",primary:true`) || strings.Count(after, "primary:true") != 1 || !strings.Contains(after, `value:"a",type:"`+first+`"`) {
				t.Errorf("%s %s: %s %q", verb, encode(value), after, refused)
			}
		}
	}
	for _, value := range []string{`{"` + UserURN + `":{"active":false},"active":true}`, `{"active":true,"` + UserURN + `":{"active":false}}`} {
		if _, refused := carry(t, "replace", parseTest(t, value), user, Mode{Strict: true}); refused != "invalidValue" {
			t.Errorf("strict: %s: %q", value, refused)
		}
	}
	for _, value := range []string{`[]`, `[[{"active":false}]]`, `[{"active":false},"x"]`, `[null]`} {
		if after, refused := carry(t, "replace", parseTest(t, value), user, Mode{}); refused != "invalidValue" {
			t.Errorf("%s: %s %q", value, after, refused)
		}
	}
}

// measures has lists of every type that has more than one spelling of a value, and elements with and without a value.
var measures = func() *ResourceType {
	s, err := ParseSchema([]byte(`{"id":"urn:example:measures:1.0:User","attributes":[
		{"name":"sizes","type":"decimal","multiValued":true},{"name":"times","type":"dateTime","multiValued":true},
		{"name":"texts","type":"string","multiValued":true},{"name":"exacts","type":"string","multiValued":true,"caseExact":true},
		{"name":"links","type":"reference","multiValued":true,"referenceTypes":["uri"]},
		{"name":"readings","type":"complex","multiValued":true,"subAttributes":[{"name":"value","type":"decimal"},{"name":"type","type":"string"},{"name":"primary","type":"boolean"},{"name":"display","type":"string"}]},
		{"name":"marks","type":"complex","multiValued":true,"subAttributes":[{"name":"at","type":"dateTime"},{"name":"size","type":"decimal"},{"name":"code","type":"string","caseExact":true},
			{"name":"type","type":"string"},{"name":"primary","type":"boolean"},{"name":"$ref","type":"reference","referenceTypes":["uri"]}]}]}`))
	if err != nil {
		panic(err)
	}
	user, _ := NewResourceTypes([]*Schema{s})
	return user
}()

// drawMeasure draws a plain value out of few, some of which are others in another spelling.
func drawMeasure(t *rapid.T, a *Attribute) Value {
	kind, spellings := String, []string{"a", "A", "b", "é", "É", "e\u0301"}
	switch a.Type {
	case TypeBoolean:
		return Value{Kind: Bool, Bool: rapid.Bool().Draw(t, a.Name)}
	case TypeDecimal:
		kind, spellings = Number, []string{"1", "1.0", "10e-1", "0.1E+1", "0", "-0.0", "-1", "21", "2.1", "100", "1e2"}
	case TypeDateTime:
		spellings = []string{"2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T01:00:00+01:00", "2025-12-31T24:00:00.0Z", "2026-01-01T00:00:00.5Z"}
	case TypeReference:
		spellings = []string{"https://x.example/a", "https://x.example/A"}
	}
	return Value{Kind: kind, Text: rapid.SampledFrom(spellings).Draw(t, a.Name)}
}

func drawMeasured(t *rapid.T, a *Attribute) Value {
	if a.Type != TypeComplex {
		return drawMeasure(t, a)
	}
	e := Value{Kind: Object}
	for _, sub := range a.Sub {
		if rapid.Bool().Draw(t, "with "+sub.Name) {
			e.Members = append(e.Members, Member{sub.Name, drawMeasure(t, sub)})
		}
	}
	return e
}

// asFilter is the filter that finds what a removal names: by its value, and its type if it has one, or by all its parts.
func asFilter(gone Value) string {
	if gone.Kind != Object {
		return "value eq " + encode(gone)
	}
	_, byValue := gone.Get("value")
	var terms []string
	for _, m := range gone.Members {
		if !byValue || m.Name == "value" || m.Name == "type" {
			terms = append(terms, m.Name+" eq "+encode(m.Value))
		}
	}
	return strings.Join(terms, " and ")
}

// A removal by value takes away exactly what a filter on the same value finds, in a query and in the path of a removal.
func TestPatchRemovesWhatFiltersFind(t *testing.T) {
	ext := measures.Extensions[1]
	removed := 0
	rapid.Check(t, func(t *rapid.T) {
		mode := Mode{Strict: rapid.Bool().Draw(t, "strict")}
		a := rapid.SampledFrom(ext.Attributes).Draw(t, "attribute")
		ref := attrRef{urn: ext.ID, attr: a}
		elems := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Value { return drawMeasured(t, a) }), 1, 6).Draw(t, "elements")
		body := Value{Kind: Object, Members: []Member{{"userName", text("u")}, {ext.ID, wrapped(a.Name, Value{Kind: Array, Elems: elems})}}}
		before, _, err := measures.normalize(body, Mode{})
		if err != nil {
			t.Fatal(err)
		}
		gone := drawMeasured(t, a)
		if hollow(a, gone) {
			t.Skip("names nothing")
		}
		filter, err := parseElementFilter(asFilter(gone), measures, a, FilterLimits{})
		if err != nil {
			t.Fatal(err)
		}
		had, _ := before.Get(ext.ID)
		list, _ := had.Get(a.Name)
		want := slices.DeleteFunc(slices.Clone(list.Elems), filter.matchElement)
		removed += len(list.Elems) - len(want)
		for _, operation := range []string{
			`{"op":"remove","path":"` + ref.path() + `","value":[` + strings.ReplaceAll(encode(gone), `"$ref"`, `"$REF"`) + `]}`,
			op("remove", ref.path()+" [ "+strings.ReplaceAll(filter.String(), "$ref", "$REF")+" ]", Value{}),
		} {
			p, err := parsePatch(parseTest(t, patchBody("["+operation+"]")), measures, mode, PatchLimits{})
			if err != nil {
				t.Fatalf("%s: %v", operation, err)
			}
			after, _, err := p.apply(before)
			if err != nil {
				t.Fatalf("%s: %v", operation, err)
			}
			now, _ := after.Get(ext.ID)
			left, _ := now.Get(a.Name)
			if got := encode(Value{Kind: Array, Elems: left.Elems}); got != encode(Value{Kind: Array, Elems: want}) {
				t.Fatalf("%s on %s leaves %s, want %s", operation, encode(list), got, encode(Value{Kind: Array, Elems: want}))
			}
		}
	})
	if removed == 0 {
		t.Error("no value was removed")
	}
}
