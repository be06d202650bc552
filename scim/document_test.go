package scim

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestScanMembers(t *testing.T) {
	for in, want := range map[string]string{
		`{}`:      ``,
		`{"a":1}`: `a=1`,
		`{"a":"x","b":[1,{"a":2}],"c":{"a":{"b":"}"}},"d":null}`: `a="x" b=[1,{"a":2}] c={"a":{"b":"}"}} d=null`,
		`{"a":"\"","b":"\\","c":"\\\"}","d":"]{["}`:              `a="\"" b="\\" c="\\\"}" d="]{["`,
		`{"urn:x:2.0:User":{"a":"b"},"":1}`:                      `urn:x:2.0:User={"a":"b"} =1`,
		// Damaged: what is whole before the damage.
		``: ``, `{`: ``, `[`: ``, `[1]`: ``, `"a"`: ``, `null`: ``, `{"`: ``, `{"a`: ``, `{"a"`: ``, `{"a":`: ``, `{"a":}`: ``, `{"a" 1}`: ``, `{a:1}`: ``,
		`{"a":"x`: ``, `{"a":[1`: ``, `{"a":{"b":1}`: `a={"b":1}`, `{"a":1,"b`: `a=1`, `{"a":1,}`: `a=1`, `{"a":1 "b":2}`: `a=1 "b":2`, `{"a":1]"b":2}`: `a=1`,
		`{"a":1}}{"b":2}`: `a=1`, `{,"a":1}`: ``, `{"a":"\`: ``, `{"a\":1}`: ``,
	} {
		var got []string
		s := scanMembers([]byte(in))
		for {
			name, raw, ok := s.next()
			if !ok {
				break
			}
			if string(s.member()) != `"`+string(name)+`":`+string(raw) {
				t.Errorf("%s: member %s", in, s.member())
			}
			got = append(got, string(name)+"="+string(raw))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s, want %s", in, s, want)
		}
	}
}

func TestScanElements(t *testing.T) {
	for in, want := range map[string]string{
		`[]`: ``, `[1,"a,]",[2,3],{"a":[4]}]`: `1 "a,]" [2,3] {"a":[4]}`, ``: ``, `[`: ``, `[1`: `1`, `[1,`: `1`, `{"a":1}`: ``, `["a`: ``, `[,1]`: ``, `[1]2,3]`: `1`,
	} {
		var got []string
		s := scanElements([]byte(in))
		for raw, ok := s.next(); ok; raw, ok = s.next() {
			got = append(got, string(raw))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s, want %s", in, s, want)
		}
	}
}

func TestRawAttribute(t *testing.T) {
	doc := []byte(testResource)
	for _, c := range []struct{ urn, name, want string }{
		{"", "userName", `"Ida.Bakke@fjord.example"`},
		{"", "emails", `[{"value":"ida@work.example","type":"work","primary":true},{"value":"IDA@home.example","type":"home"}]`},
		{"", "title", `"50% off_x"`},
		{fjord, "title", `"Chief"`},
		{fjord, "level", `10`},
		{"", "level", ``},
		{"", "givenName", ``}, // inside of name
		{ent, "department", ``},
		{"urn:none", "title", ``},
		{"", "username", ``},   // names are canonical
		{"title", "title", ``}, // not an object
	} {
		if got := rawAttribute(doc, c.urn, c.name); string(got) != c.want || (got == nil) != (c.want == "") {
			t.Errorf("%s %s: %s", c.urn, c.name, got)
		}
	}
}

// Scanning finds what decoding finds, whatever the bytes are.
func FuzzScan(f *testing.F) {
	for _, s := range bodySeeds {
		f.Add([]byte(s), "a")
	}
	f.Add([]byte(testResource), "title")
	f.Add([]byte(`{"a":"\\\"","b":{"a":[`), "b")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		count := 0
		s := scanMembers(data)
		for _, raw, ok := s.next(); ok; _, raw, ok = s.next() {
			if count++; count > len(data) {
				t.Fatal("endless")
			}
			e := scanElements(raw)
			for _, ok := e.next(); ok; _, ok = e.next() {
				if count++; count > len(data) {
					t.Fatal("endless")
				}
			}
		}
		rawAttribute(data, name, name)
		decodeRaw(data)
		d := storedDocument{doc: data}
		d.attribute(attrRef{urn: name, attr: attrID})
		defaultProjection(testType).append(nil, data)

		v, err := parseJSON(data, 32)
		if err != nil || v.Kind != Object {
			return
		}
		stored := appendValue(nil, v)
		s = scanMembers(stored)
		for i := range v.Members {
			name, raw, ok := s.next()
			if !ok || string(name) != strings.Trim(string(appendString(nil, v.Members[i].Name)), `"`) && !strings.Contains(v.Members[i].Name, `"`) {
				t.Fatalf("member %d of %s is %s %v", i, stored, name, ok)
			}
			if diff := cmp.Diff(v.Members[i].Value, decodeRaw(raw)); diff != "" {
				t.Fatal(diff)
			}
			e := scanElements(raw)
			for _, elem := range v.Members[i].Value.Elems {
				raw, ok := e.next()
				if diff := cmp.Diff(elem, decodeRaw(raw)); !ok || diff != "" {
					t.Fatal(diff)
				}
			}
			if _, ok := e.next(); ok {
				t.Fatal("one element too many")
			}
		}
		if _, _, ok := s.next(); ok {
			t.Fatal("one member too many")
		}
		if strings.ContainsAny(name, "\"\\\u2028\u2029") || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '\ufffd' }) {
			return
		}
		raw := rawAttribute(stored, "", name)
		for _, m := range v.Members {
			if m.Name == name {
				if !bytes.Equal(raw, appendValue(nil, m.Value)) {
					t.Fatalf("%s is %s", name, raw)
				}
				return
			}
		}
		if raw != nil {
			t.Fatalf("%s found", name)
		}
	})
}

func TestStoredDocument(t *testing.T) {
	asked := ""
	d := &storedDocument{doc: []byte(`{"userName":"x\u2028y","title":"plain","active":true,"tags":["a"],"id":"not this one","groups":[{"value":"g"}]}`),
		virtual: func(ref attrRef) (v Value, ok, handled bool) {
			asked += ref.attr.Name + " "
			switch ref.attr.Name {
			case "id":
				return Value{Kind: String, Text: "1"}, true, true
			case "groups":
				return Value{}, false, true
			}
			return Value{}, false, false
		}}
	for name, want := range map[string]string{"userName": `"x\u2028y"`, "title": `"plain"`, "active": "true", "tags": `["a"]`, "id": `"1"`, "groups": "", "emails": ""} {
		ref, _ := testType.lookup(name)
		v, ok := d.attribute(ref)
		got := ""
		if ok {
			got = string(appendValue(nil, v))
		}
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	// What a resource never holds is absent, decoded or not.
	odd := `{"emails":null,"tags":"a","roles":{"type":"work"}}`
	for s, want := range map[string]bool{`emails[not (type eq "x")]`: false, `emails pr`: false, `emails ne "x"`: true, `tags eq "a"`: true,
		`tags[value eq "a"]`: true, `roles[type eq "work"]`: true, `roles.type eq "work"`: true} {
		f, err := parseFilter(s, testType, DefaultFilterLimits)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := f.match(tree{parsed(t, odd)}), f.match(&storedDocument{doc: []byte(odd)}); a != want || b != want {
			t.Errorf("%s: decoded %v, stored %v", s, a, b)
		}
	}
	// It is asked only for what the filter needs.
	asked = ""
	f, err := parseFilter(`title eq "other" and groups eq "g"`, testType, DefaultFilterLimits)
	if err != nil {
		t.Fatal(err)
	}
	if f.match(d) || asked != "title " {
		t.Errorf("asked for %s", asked)
	}
}

// A simple text is matched without an allocation, so that a scan takes constant memory.
func TestMatchAllocations(t *testing.T) {
	d := &storedDocument{doc: []byte(testResource)}
	for _, s := range []string{`userName eq "ida.bakke@FJORD.example"`, `title co "x"`, `userName gt "a" and not (title sw "b")`, `active eq true`,
		fjord + `:level gt 3`, `meta.created gt 2020-01-01T00:00:00Z`, `externalId eq "e"`, ent + `:department pr`} {
		f, err := parseFilter(s, testType, DefaultFilterLimits)
		if err != nil {
			t.Fatal(err)
		}
		want := 0.0
		if strings.HasPrefix(s, "meta") {
			want = 1 // meta is an object here; a handler answers for it
		}
		if n := testing.AllocsPerRun(100, func() { f.match(d) }); n > want {
			t.Errorf("%s: %v allocations", s, n)
		}
	}
}

// anyResource generates stored resources of testType, values in odd forms included.
func anyResource() *rapid.Generator[Value] {
	var object func(attrs []*Attribute) *rapid.Generator[Value]
	texts := rapid.OneOf(rapid.SampledFrom([]string{"", "ida", "IDA", "Bakke", "work", "x y", "å", "Å", "a\"b\\", "\u2028", "True"}), rapid.StringMatching(`[a-zA-Z"\\ åß]{0,8}`))
	value := func(a *Attribute) *rapid.Generator[Value] {
		return rapid.Custom(func(t *rapid.T) Value {
			switch a.Type {
			case TypeComplex:
				return object(a.Sub).Draw(t, "object")
			case TypeBoolean:
				return Value{Kind: Bool, Bool: rapid.Bool().Draw(t, "bool")}
			case TypeInteger, TypeDecimal:
				return Value{Kind: Number, Text: rapid.SampledFrom([]string{"0", "-3", "10", "1e1", "2.50"}).Draw(t, "number")}
			case TypeDateTime:
				return Value{Kind: String, Text: rapid.SampledFrom([]string{"2020-01-01T00:00:00Z", "2024-05-13T04:42:34.5+02:00"}).Draw(t, "time")}
			}
			return Value{Kind: String, Text: texts.Draw(t, "text")}
		})
	}
	object = func(attrs []*Attribute) *rapid.Generator[Value] {
		return rapid.Custom(func(t *rapid.T) Value {
			v := Value{Kind: Object}
			for _, a := range attrs {
				if !rapid.Bool().Draw(t, "has "+a.Name) {
					continue
				}
				m := Member{Name: a.Name}
				if a.MultiValued {
					m.Value = Value{Kind: Array, Elems: rapid.SliceOfN(value(a), 1, 3).Draw(t, a.Name)}
				} else {
					m.Value = value(a).Draw(t, a.Name)
				}
				v.Members = append(v.Members, m)
			}
			return v
		})
	}
	return rapid.Custom(func(t *rapid.T) Value {
		v := object(testType.Core.Attributes).Draw(t, "core")
		for _, ext := range testType.Extensions {
			if e := object(ext.Attributes).Draw(t, ext.ID); len(e.Members) > 0 {
				v.Members = append(v.Members, Member{ext.ID, e})
			}
		}
		return v
	})
}

// Matching stored bytes is matching the decoded resource.
func TestStoredMatch(t *testing.T) {
	filters := []string{
		`userName eq "ida"`, `userName ne "ida"`, `userName co "a"`, `title sw "ba" or title ew "E"`, `externalId eq "IDA"`, `name.familyName eq "bakke"`, `name pr`,
		`active eq true`, `active ne "True"`, `emails eq "ida"`, `emails[type eq "work" and value pr]`, `emails[type eq "work"].value ne "ida"`, `emails.primary eq true`,
		`tags eq "å"`, `tags[value gt "b"]`, `keys[label eq "x y"]`, `manager eq "ida"`, ent + `:department lt "j"`, `level ge 10`, `weight eq 2.5`,
		fjord + `:hired gt 2021-01-01T00:00:00Z`, fjord + `:title pr`, `profileUrl eq "IDA"`, `x509 eq "ida"`, `not (title pr) and not (emails pr)`, `displayName eq null`,
		`(title eq "å" or userName eq "å") and active eq false`, `roles ne "work"`, `groups[display sw "B" or not (value eq "work")]`,
	}
	rapid.Check(t, func(t *rapid.T) {
		v := anyResource().Draw(t, "resource")
		d := &storedDocument{doc: appendValue(nil, v)}
		for _, s := range filters {
			f, err := parseFilter(s, testType, DefaultFilterLimits)
			if err != nil {
				t.Fatal(err)
			}
			if a, b := f.match(tree{v}), f.match(d); a != b {
				t.Fatalf("%s on %s: decoded %v, stored %v", s, d.doc, a, b)
			}
		}
	})
}

// storedUsers are n resources of 1.2 KB as they are stored.
func storedUsers(n int) [][]byte {
	list := make([][]byte, n)
	for i := range list {
		list[i] = fmt.Appendf(nil, `{"externalId":"00d1c5aa-5a3c-4b5e-9c60-%012d","userName":"ida.bakke.%d@fjord.example","name":{"formatted":"Ida Bakke %d","familyName":"Bakke","givenName":"Ida"},`+
			`"displayName":"Ida Bakke %d","profileUrl":"https://people.fjord.example/profiles/%d","title":"Harbour Pilot %d","userType":"Employee","preferredLanguage":"nb-NO","locale":"nb-NO","timezone":"Europe/Oslo","active":true,`+
			`"emails":[{"value":"ida.bakke.%d@fjord.example","type":"work","primary":true},{"value":"ida.%d@home.example","type":"home"}],`+
			`"phoneNumbers":[{"value":"+47 55 00 00 00","type":"work"},{"value":"+47 90 00 00 00","type":"mobile"},{"value":"+47 55 00 00 01","type":"fax"}],`+
			`"addresses":[{"formatted":"Kaia 1, 5003 Bergen, Norway","streetAddress":"Kaia 1","locality":"Bergen","region":"Vestland","postalCode":"5003","country":"NO","type":"work"}],`+
			`"roles":[{"value":"pilot","display":"Pilot","type":"WindowsAzureActiveDirectoryRole","primary":true}],`+
			`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"employeeNumber":"%d","costCenter":"4711","organization":"Fjord Harbours","division":"North","department":"Pilots","manager":{"value":"00d1c5aa-5a3c-4b5e-9c60-6a1f4f9f7e11"}}}`,
			i, i, i, i, i, i, i, i, i)
	}
	return list
}

func BenchmarkScan100k(b *testing.B) {
	users := storedUsers(100_000)
	b.Logf("%d bytes each", len(users[0]))
	for name, s := range map[string]string{"title": `title co "x"`, "emails": `emails.value co "zzz"`, "path": `emails[type eq "work"].value co "zzz"`,
		"extension": `department co "x"`, "three": `title co "x" or userName sw "x" or displayName ew "x"`} {
		f, err := parseFilter(s, testType, DefaultFilterLimits)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			d := &storedDocument{}
			for b.Loop() {
				for _, d.doc = range users {
					if f.match(d) {
						b.Fatal("match")
					}
				}
			}
		})
	}
}
