package scim

import (
	"fmt"
	"maps"
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
	writable := func(attrs []*Attribute) *Attribute {
		return rapid.SampledFrom(slices.DeleteFunc(slices.Clone(attrs), func(a *Attribute) bool { return a.Mutability == "readOnly" })).Draw(t, "attribute")
	}
	o.op = rapid.SampledFrom([]string{"add", "replace", "remove"}).Draw(t, "op")
	o.ref.attr = writable(s.Attributes)
	a := o.ref.attr
	if a.Type == TypeComplex && rapid.Bool().Draw(t, "part") {
		o.ref.sub = writable(a.Sub)
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
	if carriedOut < 20 {
		t.Errorf("only %d operations were carried out", carriedOut)
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
	if removed < 20 {
		t.Errorf("only %d values were removed", removed)
	}
}
