package scim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// wantError checks that err is an *Error of that type and text; an empty want expects none.
func wantError(t *testing.T, err error, scimType, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Fatalf("error %v", err)
		}
		return
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want an *Error", err)
	}
	if e.Status != 400 || e.ScimType != scimType || e.Detail != want {
		t.Fatalf("error %d %s %q,\nwant 400 %s %q", e.Status, e.ScimType, e.Detail, scimType, want)
	}
}

func TestParseJSONRefuses(t *testing.T) {
	many := func(extra string) string {
		var b strings.Builder
		for i := range 40 {
			fmt.Fprintf(&b, `"name%d":1,`, i)
		}
		return "{" + b.String() + extra + "}"
	}
	const syntax = "The body is not valid JSON: "
	for _, c := range []struct{ name, in, scimType, want string }{
		{"empty", "", "", "The body is empty."},
		{"spaces", " \n", "", "The body is empty."},
		{"byte order mark", "\ufeff{}", "", syntax + "byte order mark at byte 1."},
		{"two values", "{} {}", "", syntax + "data after the value at byte 4."},
		{"trailing bracket", "{}]", "", syntax + "data after the value at byte 3."},
		{"comment", "{} // x", "", syntax + "data after the value at byte 4."},
		{"not JSON", "userName=x", "", syntax + "unexpected character at byte 1."},
		{"word", "nul", "", syntax + "unknown word at byte 1."},
		{"word in capitals", "True", "", syntax + "unexpected character at byte 1."},
		{"NaN", "NaN", "", syntax + "unexpected character at byte 1."},
		{"open list", "[1", "", syntax + "neither , nor ] after an element at byte 3."},
		{"open list after comma", "[1,", "", syntax + "the end where a value is expected at byte 4."},
		{"comma before bracket", "[1,]", "", syntax + "unexpected character at byte 4."},
		{"comma before brace", `{"a":1,}`, "", syntax + "no name of a member at byte 8."},
		{"no comma", `{"a":1 "b":2}`, "", syntax + "neither , nor } after a member at byte 8."},
		{"no colon", `{"a" 1}`, "", syntax + "no : after a name at byte 6."},
		{"name without quotes", `{a:1}`, "", syntax + "no name of a member at byte 2."},
		{"single quotes", `{'a':1}`, "", syntax + "no name of a member at byte 2."},
		{"open string", `"abc`, "", syntax + "the end within a string at byte 5."},
		{"string open by an escape", `"abc\"`, "", syntax + "the end within a string at byte 7."},
		{"tab in a string", "\"a\tb\"", "", syntax + "a control character in a string at byte 3."},
		{"NUL in a string", "\"a\x00b\"", "", syntax + "a control character in a string at byte 3."},
		{"NUL outside", "{}\x00", "", syntax + "data after the value at byte 3."},
		{"escaped NUL", `["a","b\u0000"]`, "invalidValue", "The body holds a NUL character at byte 8."},
		{"escaped NUL in a name", `{"\u0000":1}`, "invalidValue", "The body holds a NUL character at byte 3."},
		{"unknown escape", `"\x41"`, "", syntax + "malformed escape in a string at byte 2."},
		{"short escape", `"\u12"`, "", syntax + "malformed escape in a string at byte 2."},
		{"lone high surrogate", `"\ud800"`, "", syntax + "malformed escape in a string at byte 2."},
		{"lone low surrogate", `"\udc00"`, "", syntax + "malformed escape in a string at byte 2."},
		{"two high surrogates", `"\ud800\ud800"`, "", syntax + "malformed escape in a string at byte 2."},
		{"invalid UTF-8", "{\"a\":\"\xff\"}", "", "The body is not UTF-8: byte 7."},
		{"surrogate in UTF-8", "\"\xed\xa0\x80\"", "", "The body is not UTF-8: byte 2."},
		{"leading zero", "01", "", syntax + "malformed number at byte 1."},
		{"plus", "+1", "", syntax + "unexpected character at byte 1."},
		{"no whole part", ".5", "", syntax + "unexpected character at byte 1."},
		{"no fraction", "1.", "", syntax + "malformed number at byte 1."},
		{"no exponent", "1e+", "", syntax + "malformed number at byte 1."},
		{"minus alone", "-", "", syntax + "malformed number at byte 1."},
		{"hexadecimal", "0x10", "", syntax + "data after the value at byte 2."},
		{"duplicate", `{"a":1,"a":2}`, "", syntax + "a second member of the same name at byte 8."},
		{"duplicate in case", `{"active":false,"ACTIVE":true}`, "", syntax + "a second member of the same name at byte 17."},
		{"duplicate by escape", `{"active":false,"\u0061ctive":true}`, "", syntax + "a second member of the same name at byte 17."},
		{"duplicate inside", `[{"b":{"a":1,"A":2}}]`, "", syntax + "a second member of the same name at byte 14."},
		{"duplicate of many", many(`"NAME0":2`), "", syntax + "a second member of the same name at byte 432."},
		{"duplicate late of many", many(`"name39":2`), "", syntax + "a second member of the same name at byte 432."},
		{"deep list", strings.Repeat("[", 33) + strings.Repeat("]", 33), "", "The body is nested deeper than 32 levels at byte 33."},
		{"deep object", strings.Repeat(`{"a":`, 33), "", "The body is nested deeper than 32 levels at byte 161."},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.scimType == "" {
				c.scimType = "invalidSyntax"
			}
			v, err := parseJSON([]byte(c.in), 32)
			wantError(t, err, c.scimType, c.want)
			if v.Kind != Null {
				t.Errorf("refused, and yet a value: %v", v)
			}
		})
	}
}

func TestParseJSONAccepts(t *testing.T) {
	for in, want := range map[string]Value{
		"null":                           {},
		" true ":                         {Kind: Bool, Bool: true},
		"false":                          {Kind: Bool},
		"-0":                             {Kind: Number, Text: "-0"},
		"1.50E+03":                       {Kind: Number, Text: "1.50E+03"},
		"1e999":                          {Kind: Number, Text: "1e999"},
		`"a\"\\\/b"`:                     {Kind: String, Text: `a"\/b`},
		`"\b\f\n\r\t\u00e5\ud83d\ude00"`: {Kind: String, Text: "\b\f\n\r\tå😀"},
		"[ ]":                            {Kind: Array},
		"{ }":                            {Kind: Object},
		"[[],1]":                         {Kind: Array, Elems: []Value{{Kind: Array}, {Kind: Number, Text: "1"}}},
		// Folding is ASCII alone: these are other names than roles and k.
		"{\"roles\":1 , \"role\u017f\":2,\"k\":3,\"\u212a\":4}": {Kind: Object, Members: []Member{
			{"roles", Value{Kind: Number, Text: "1"}}, {"role\u017f", Value{Kind: Number, Text: "2"}},
			{"k", Value{Kind: Number, Text: "3"}}, {"\u212a", Value{Kind: Number, Text: "4"}}}},
		// A name may come again in another object.
		`[{"a":{"a":1}},{"a":2}]`: {Kind: Array, Elems: []Value{
			{Kind: Object, Members: []Member{{"a", Value{Kind: Object, Members: []Member{{"a", Value{Kind: Number, Text: "1"}}}}}}},
			{Kind: Object, Members: []Member{{"a", Value{Kind: Number, Text: "2"}}}}}},
	} {
		got, err := parseJSON([]byte(in), 32)
		if err != nil {
			t.Errorf("%s: %v", in, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", in, diff)
		}
	}
	if _, err := parseJSON([]byte(strings.Repeat("[", 32)+strings.Repeat("]", 32)), 32); err != nil {
		t.Errorf("32 levels: %v", err)
	}
}

func TestAppendString(t *testing.T) {
	for in, want := range map[string]string{
		"":                    `""`,
		"a/b<>&'é😀\x7f":       "\"a/b<>&'é😀\x7f\"",
		"\"\\\b\f\n\r\t":      `"\"\\\b\f\n\r\t"`,
		"\x00\x1f":            `"\u0000\u001f"`,
		"a\u2028b\u2029c":     `"a\u2028b\u2029c"`,
		"\u2027\u202a\ufffd":  "\"\u2027\u202a\ufffd\"",
		"a\xffb\xed\xa0\x80c": "\"a\ufffdb\ufffd\ufffd\ufffdc\"",
	} {
		if got := string(appendString(nil, in)); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestValueHelpers(t *testing.T) {
	for in, want := range map[string]bool{"null": true, `""`: true, "[]": true, "{}": true, `[null,"",{"a":[]}]`: true,
		"false": false, "0": false, `"x"`: false, `[{"a":""},{"a":false}]`: false} {
		if v, err := parseJSON([]byte(in), 32); err != nil || v.empty() != want {
			t.Errorf("empty %s: %v", in, !want)
		}
	}
	for in, want := range map[string][2]bool{"true": {true, true}, "false": {false, true}, `"True"`: {true, true}, `"FALSE"`: {false, true},
		`"yes"`: {}, "1": {}, "null": {}, `"tru\u017f"`: {}} {
		v, err := parseJSON([]byte(in), 32)
		if b, ok := v.boolean(); err != nil || b != want[0] || ok != want[1] {
			t.Errorf("boolean %s: %v %v", in, b, ok)
		}
	}
}

// No body of 1 MiB may take more than 16 MiB, whatever it holds.
func TestParseJSONMemory(t *testing.T) {
	const size = 1 << 20
	names := make([]byte, 0, size)
	for i := 0; len(names) < size-16; i++ {
		names = fmt.Appendf(names, `"N%d":1,`, i)
	}
	bodies := map[string][]byte{"names": append(append([]byte{'{'}, names...), `"x":1}`...)}
	for name, unit := range map[string]string{"objects": "{},", "lists": "[],", "digits": "1,", "nested": "[[[]]],",
		"members": `{"value":"123"},`, "objects of one": `{"a":1},`, "escapes": `"\n\n\n\n\n",`} {
		b := []byte("[" + strings.Repeat(unit, (size-2)/len(unit)))
		b[len(b)-1] = ']'
		bodies[name] = b
	}
	for name, data := range bodies {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		v, err := parseJSON(data, 32)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		mib := float64(after.TotalAlloc-before.TotalAlloc) / (1 << 20)
		t.Logf("%-15s %5.1f MiB allocated in all, %v, error %v", name, mib, took, err)
		if mib > 20 { // in all: what is alive at a time is less
			t.Errorf("%s: %.1f MiB", name, mib)
		}
		runtime.KeepAlive(v)
	}
}

// An object of very many members costs no more than in proportion.
func TestParseJSONManyNames(t *testing.T) {
	b := []byte{'{'}
	for i := range 50_000 {
		b = fmt.Appendf(b, `"Name%d":{"value":"x"},`, i)
	}
	b[len(b)-1] = '}'
	start := time.Now()
	if _, err := parseJSON(b, 32); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("%v", took)
	}
}

// The shapes of bodies that clients send, as seeds.
var bodySeeds = []string{
	benchUser,
	`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"Replace","path":"active","value":"False"}]}`,
	`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"Add","path":"emails[type eq \"work\"].value","value":"a@fjord.example"}]}`,
	`{"Operations":[{"op":"replace","value":{"name.givenName":"Ida","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department":null}}]}`,
	`{"Operations":[{"op":"add","path":"roles","value":[{"value":"{\"id\":\"1\",\"displayName\":\"Pilot\"}"}]}]}`,
	`{"a":1,"A":2}`, `[1.5e-3,-0,"\ud83d\ude00\u0041"]`, "{\"\u017f\":1}", `"\u0000"`, `[[[[]]]]`, "\ufeff{}", `{"a":"\ud800"}`,
}

func FuzzParseJSON(f *testing.F) {
	for _, s := range bodySeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := parseJSON(data, 32)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Status != 400 || !utf8.ValidString(e.Detail) {
				t.Fatalf("%#v", err)
			}
			return
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		var std any
		if err := d.Decode(&std); err != nil {
			t.Fatalf("encoding/json refuses: %v", err)
		}
		if _, err := d.Token(); err == nil {
			t.Fatal("encoding/json sees more")
		}
		if diff := cmp.Diff(std, toAny(v)); diff != "" {
			t.Fatal(diff)
		}
		out := appendValue(nil, v)
		if !json.Valid(out) {
			t.Fatalf("not JSON: %s", out)
		}
		again, err := parseJSON(out, 32)
		if err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		if diff := cmp.Diff(v, again); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(v, decodeRaw(out)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// toAny makes of a Value what encoding/json makes of its text. That no member is lost in the map
// shows that no two names are equal.
func toAny(v Value) any {
	switch v.Kind {
	case Bool:
		return v.Bool
	case Number:
		return json.Number(v.Text)
	case String:
		return v.Text
	case Array:
		list := make([]any, len(v.Elems))
		for i := range v.Elems {
			list[i] = toAny(v.Elems[i])
		}
		return list
	case Object:
		m := make(map[string]any, len(v.Members))
		for _, x := range v.Members {
			m[x.Name] = toAny(x.Value)
		}
		return m
	}
	return nil
}

// anyValue generates trees that parseJSON could have made.
func anyValue(depth int) *rapid.Generator[Value] {
	return rapid.Custom(func(t *rapid.T) Value {
		kinds := []Kind{Null, Bool, Number, String}
		if depth > 0 {
			kinds = append(kinds, Array, Object, Object)
		}
		v := Value{Kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
		switch v.Kind {
		case Bool:
			v.Bool = rapid.Bool().Draw(t, "bool")
		case Number:
			v.Text = rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?`).Draw(t, "number")
		case String:
			v.Text = strings.ReplaceAll(rapid.String().Draw(t, "text"), "\x00", "")
		case Array:
			v.Elems = rapid.SliceOfN(anyValue(depth-1), 0, 4).Draw(t, "elems")
		case Object:
			names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-zA-Z$\\"\né]{1,6}`), 0, 24, lowerASCII).Draw(t, "names")
			v.Members = make([]Member, len(names))
			for i, name := range names {
				v.Members[i] = Member{name, anyValue(depth-1).Draw(t, "value")}
			}
		}
		return v
	})
}

func TestValueRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := anyValue(3).Draw(t, "value")
		out := appendValue(nil, v)
		got, err := parseJSON(out, 32)
		if err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		if string(appendValue(nil, got)) != string(out) {
			t.Fatalf("%s became %s", out, appendValue(nil, got))
		}
	})
}

const benchUser = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"externalId":"00d1c5aa-5a3c-4b5e-9c60-6a1f4f9f7e11","userName":"ida.bakke@fjord.example","active":true,"displayName":"Ida Bakke","title":"Harbour Pilot","preferredLanguage":"nb-NO","name":{"formatted":"Ida Bakke","familyName":"Bakke","givenName":"Ida"},"emails":[{"primary":true,"type":"work","value":"ida.bakke@fjord.example"}],"addresses":[{"type":"work","formatted":"Kaia 1, 5003 Bergen","streetAddress":"Kaia 1","locality":"Bergen","region":"Vestland","postalCode":"5003","country":"NO"}],"phoneNumbers":[{"type":"work","value":"+47 55 00 00 00"},{"type":"mobile","value":"+47 90 00 00 00"},{"type":"fax","value":"+47 55 00 00 01"}],"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Pilots","employeeNumber":"40113"},"meta":{"resourceType":"User"},"roles":[]}`

func BenchmarkParseJSON(b *testing.B) {
	data := []byte(benchUser)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseJSON(data, 32); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendValue(b *testing.B) {
	v, err := parseJSON([]byte(benchUser), 32)
	if err != nil {
		b.Fatal(err)
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = appendValue(buf[:0], v)
	}
}
