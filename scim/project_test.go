package scim

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const projectDoc = `{"externalId":"e","userName":"ida","name":{"formatted":"Ida Bakke","familyName":"Bakke"},"title":"Pilot","active":true,` +
	`"emails":[{"value":"a@work","type":"work","primary":true},{"value":"b@home","type":"home"}],"tags":["red","blue"],` +
	`"keys":[{"value":"k1","label":"L","note":"N","secret":"S"},{"label":"M","secret":"T"}],"slow":"S","always":"A","password":"P",` +
	`"` + ent + `":{"department":"D","manager":{"value":"m","displayName":"Boss"}},"` + fjord + `":{"level":3,"title":"Chief"}}`

func TestProjection(t *testing.T) {
	const (
		e = `,"externalId":"e"`
		u = `,"userName":"ida"`
		n = `,"name":{"formatted":"Ida Bakke","familyName":"Bakke"}`
		c = `,"title":"Pilot","active":true`
		m = `,"emails":[{"value":"a@work","type":"work","primary":true},{"value":"b@home","type":"home"}]`
		g = `,"tags":["red","blue"]`
		k = `,"keys":[{"value":"k1","label":"L"},{"label":"M"}]`
		a = `,"always":"A"`
		x = `,"` + ent + `":{"department":"D","manager":{"value":"m","displayName":"Boss"}}`
		f = `,"` + fjord + `":{"level":3,"title":"Chief"}`
	)
	for _, t0 := range []struct{ name, attributes, excluded, want string }{
		{"default", "", "", e + u + n + c + m + g + k + a + x + f},
		{"empty lists", " ,, ", " ", e + u + n + c + m + g + k + a + x + f},
		{"one", "userName", "", u + a},
		{"case and spaces", " USERNAME , Title", "", u + `,"title":"Pilot"` + a},
		{"core URN", UserURN + ":userName", "", u + a},
		{"unknown", "nosuch,userName,name.nosuch,urn:x:y:z", "", u + a},
		{"unknown alone", "nosuch", "", a},
		{"id alone", "id", "", a},
		{"whole complex", "name", "", n + a},
		{"sub-attribute", "name.familyName", "", `,"name":{"familyName":"Bakke"}` + a},
		{"two sub-attributes", "name.familyName,name.formatted", "", n + a},
		{"absent sub-attribute", "name.givenName", "", a},
		{"sub-attribute of elements", "emails.value", "", `,"emails":[{"value":"a@work"},{"value":"b@home"}]` + a},
		{"sub-attribute of some elements", "emails.primary", "", `,"emails":[{"primary":true}]` + a},
		{"whole and sub-attribute", "emails.value,emails", "", m + a},
		{"value filter", `emails[type eq "work"]`, "", `,"emails":[{"value":"a@work","type":"work","primary":true}]` + a},
		{"value filter without quotes", `emails[type eq work]`, "", `,"emails":[{"value":"a@work","type":"work","primary":true}]` + a},
		{"value filter with a comma", `userName,emails[value eq "a,]" or type eq "home"],title`, "", u + `,"title":"Pilot","emails":[{"value":"b@home","type":"home"}]` + a},
		{"value filter with a comma in a bare value", `userName,emails[value eq a,b or type eq home],title`, "", u + `,"title":"Pilot","emails":[{"value":"b@home","type":"home"}]` + a},
		{"value filter with a bracket", `userName,emails[value eq "a\"],b" or type eq "home"],title`, "", u + `,"title":"Pilot","emails":[{"value":"b@home","type":"home"}]` + a},
		{"value filter and sub-attribute", `emails[type eq "home"].value`, "", `,"emails":[{"value":"b@home"}]` + a},
		{"two value filters", `emails[type eq "home"].value,emails[type eq "work"].type`, "", `,"emails":[{"type":"work"},{"value":"b@home"}]` + a},
		{"value filter beside a sub-attribute", `emails[type eq "home"],emails.value`, "", `,"emails":[{"value":"a@work"},{"value":"b@home","type":"home"}]` + a},
		{"value filter without match", `emails[type eq "other"]`, "", a},
		{"value filter on simple", `tags[value eq "BLUE"]`, "", `,"tags":["blue"]` + a},
		{"value filter of single", `name[familyName pr]`, "", n + a},
		{"whole extension", EnterpriseURN, "", a + x},
		{"whole extension, case", strings.ToUpper(EnterpriseURN), "", a + x},
		{"extension attribute", EnterpriseURN + ":department", "", a + `,"` + ent + `":{"department":"D"}`},
		{"extension attribute without URN", "department", "", a + `,"` + ent + `":{"department":"D"}`},
		{"extension sub-attribute", EnterpriseURN + ":manager.value", "", a + `,"` + ent + `":{"manager":{"value":"m"}}`},
		{"extension absent attribute", EnterpriseURN + ":employeeNumber", "", a},
		{"same name in two schemas", fjord + ":title", "", a + `,"` + fjord + `":{"title":"Chief"}`},
		{"core schema", UserURN, "", e + u + n + c + m + g + k + a},
		{"request", "slow", "", `,"slow":"S"` + a},
		{"never", "password", "", a},
		{"sub-attributes always, request, never", "keys", "", k + a},
		{"sub-attribute request", "keys.note", "", `,"keys":[{"value":"k1","note":"N"}]` + a},
		{"sub-attribute never", "keys.secret", "", `,"keys":[{"value":"k1"}]` + a},

		{"excluded", "", "userName,emails", e + n + c + g + k + a + x + f},
		{"excluded always", "", "always,id,schemas", e + u + n + c + m + g + k + a + x + f},
		{"excluded unknown", "", "nosuch", e + u + n + c + m + g + k + a + x + f},
		{"excluded request stays out", "", "title", e + u + n + `,"active":true` + m + g + k + a + x + f},
		{"excluded sub-attribute", "", "name.formatted,emails.value,emails.primary", e + u + `,"name":{"familyName":"Bakke"}` + c +
			`,"emails":[{"type":"work"},{"type":"home"}]` + g + k + a + x + f},
		{"excluded all sub-attributes", "", "name.formatted,name.familyName", e + u + c + m + g + k + a + x + f},
		{"excluded always sub-attribute", "", "keys.value,keys.label", e + u + n + c + m + g + `,"keys":[{"value":"k1"}]` + a + x + f},
		{"excluded elements", "", `emails[type eq "work"]`, e + u + n + c + `,"emails":[{"value":"b@home","type":"home"}]` + g + k + a + x + f},
		{"excluded part of elements", "", `emails[type eq "work"].value,tags[value eq "red"]`, e + u + n + c +
			`,"emails":[{"type":"work","primary":true},{"value":"b@home","type":"home"}],"tags":["blue"]` + k + a + x + f},
		{"excluded extension", "", EnterpriseURN, e + u + n + c + m + g + k + a + f},
		{"excluded extension attributes", "", "department," + ent + ":manager.displayName", e + u + n + c + m + g + k + a + `,"` + ent + `":{"manager":{"value":"m"}}` + f},
		{"excluded last of an extension", "", fjord + ":level," + fjord + ":title", e + u + n + c + m + g + k + a + x},
		{"excluded core schema", "", UserURN, a + x + f},
	} {
		t.Run(t0.name, func(t *testing.T) {
			p, err := parseProjection(t0.attributes, t0.excluded, testType, DefaultFilterLimits)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(p.append(nil, []byte(projectDoc))); got != t0.want {
				t.Errorf("got  %s\nwant %s", got, t0.want)
			}
			if p.wholeResource() {
				t.Error("whole, although a part is never returned")
			}
		})
	}
}

func TestProjectionRefuses(t *testing.T) {
	_, err := parseProjection("userName", "title", testType, DefaultFilterLimits)
	wantError(t, err, "invalidValue", "Give either attributes or excludedAttributes, not both.")
	_, err = parseProjection("", strings.Repeat("title,", 2000), testType, DefaultFilterLimits)
	wantError(t, err, "invalidValue", "A list of attributes is longer than 8192 bytes.")
	for in, want := range map[string]string{
		`emails[type eq "work"`:                   "A bracket in the list of attributes is not closed.",
		`emails[type eq "work"]x`:                 "A comma is expected behind a bracket in the list of attributes.",
		`emails.value[type pr]`:                   `A filter in the list of attributes is not possible at "emails.value".`,
		`emails[nosuch pr]`:                       `The filter names an unknown attribute "nosuch" at byte 1.`,
		`keys[secret sw "S"]`:                     `The filter names the attribute "secret", which cannot be searched, at byte 1.`,
		`emails[` + strings.Repeat("(", 50) + `]`: "The filter is nested deeper than 10 levels at byte 11.",
		strings.Repeat(`tags[value pr],`, 65):     `A filter in the list of attributes is not possible at "tags".`,
	} {
		_, err := parseProjection(in, "", testType, DefaultFilterLimits)
		wantError(t, err, "invalidFilter", want)
	}
}

// The real types have nothing to hide, so that a resource is copied as it is.
func TestWholeResource(t *testing.T) {
	user, group := NewResourceTypes(nil)
	for _, rt := range []*ResourceType{user, group} {
		if p := defaultProjection(rt); !p.wholeResource() || !p.wants("", "meta") || !p.wants("", "members") {
			t.Errorf("%s: not whole", rt.Name)
		}
		if p, err := parseProjection("", "meta", rt, FilterLimits{}); err != nil || p.wholeResource() || p.wants("", "meta") {
			t.Errorf("%s: %v", rt.Name, err)
		}
	}
}

// One sub-attribute that does not appear is enough for a resource not to be copied as it is.
func TestHiddenSubAttribute(t *testing.T) {
	for _, returned := range []string{"request", "never"} {
		rt := &ResourceType{Core: &Schema{ID: UserURN, Attributes: []*Attribute{{Name: "a", Type: TypeComplex, Returned: "default",
			Sub: []*Attribute{{Name: "x", Type: TypeString, Returned: "default"}, {Name: "y", Type: TypeString, Returned: returned}}}}}}
		p := defaultProjection(rt)
		if got := string(p.append(nil, []byte(`{"a":{"x":"1","y":"2"}}`))); p.wholeResource() || got != `,"a":{"x":"1"}` {
			t.Errorf("%s: %s", returned, got)
		}
		// Who wrote it sees it, unless it is never returned.
		want := map[string]string{"request": `,"a":{"x":"1","y":"2"}`, "never": `,"a":{"x":"1"}`}[returned]
		if got := string(p.answering("PUT", parsed(t, `{"A":{"Y":"2"}}`), rt).append(nil, []byte(`{"a":{"x":"1","y":"2"}}`))); got != want {
			t.Errorf("%s, written: %s", returned, got)
		}
	}
}

func TestProjectionWants(t *testing.T) {
	for _, c := range []struct {
		attributes, excluded, urn, name string
		want                            bool
	}{
		{"", "", "", "groups", true}, {"", "", "", "meta", true}, {"", "", "", "id", true}, {"", "", ent, "", true}, {"", "", "urn:none", "x", false}, {"", "", "urn:none", "", false},
		{"userName", "", "", "groups", false}, {"userName", "", "", "meta", false}, {"userName", "", "", "id", true}, {"userName", "", "", "schemas", true},
		{"meta", "", "", "meta", true}, {"meta.version", "", "", "meta", true}, {"groups.display", "", "", "groups", true},
		{"userName", "", ent, "", false}, {"manager.value", "", ent, "", true}, {"manager", "", ent, "department", false}, {EnterpriseURN, "", ent, "department", true},
		{"", "groups", "", "groups", false}, {"", "groups.display", "", "groups", true}, {"", "meta", "", "meta", false}, {"", "id", "", "id", true},
		{"", EnterpriseURN, ent, "", false}, {"", "manager", ent, "", true}, {"", "manager", ent, "manager", false}, {"slow", "", "", "slow", true}, {"", "", "", "slow", false},
	} {
		p, err := parseProjection(c.attributes, c.excluded, testType, DefaultFilterLimits)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.wants(c.urn, c.name); got != c.want {
			t.Errorf("attributes %q excluded %q wants %q %q: %v", c.attributes, c.excluded, c.urn, c.name, got)
		}
	}
}

func TestProjectionVirtual(t *testing.T) {
	const (
		groups = `[{"value":"g1","$ref":"https://x/1","display":"A"},{"value":"g2","$ref":"https://x/2"}]`
		meta   = `{"resourceType":"User","created":"2024-05-13T04:42:34Z","version":"W/\"1\""}`
	)
	for _, c := range []struct{ attributes, excluded, urn, name, raw, want string }{
		{"", "", "", "groups", groups, `,"groups":` + groups},
		{"userName", "", "", "groups", groups, ``},
		{"groups", "", "", "groups", groups, `,"groups":` + groups},
		{"groups.display", "", "", "groups", groups, `,"groups":[{"display":"A"}]`},
		{`groups[value eq "g2"]`, "", "", "groups", groups, `,"groups":[{"value":"g2","$ref":"https://x/2"}]`},
		{"", "groups.$ref", "", "groups", groups, `,"groups":[{"value":"g1","display":"A"},{"value":"g2"}]`},
		{"", "groups", "", "groups", groups, ``},
		{"meta.version", "", "", "meta", meta, `,"meta":{"version":"W/\"1\""}`},
		{"meta", "", "", "meta", meta, `,"meta":` + meta},
		{"", "meta.created", "", "meta", meta, `,"meta":{"resourceType":"User","version":"W/\"1\""}`},
		{"userName", "", "", "schemas", `["u"]`, `,"schemas":["u"]`},
		{"", "schemas", "", "schemas", `["u"]`, `,"schemas":["u"]`},
		{"userName", "", "", "id", `"1"`, `,"id":"1"`},
		{"", "", ent, "", `{"department":"D"}`, `,"` + ent + `":{"department":"D"}`},
		{ent + ":department", "", ent, "", `{"department":"D","manager":{}}`, `,"` + ent + `":{"department":"D"}`},
		{"userName", "", ent, "", `{"department":"D"}`, ``},
		{"", "", ent, "", `{}`, ``},
		{"", "", "urn:none", "", `{"a":1}`, ``},
		{"", "", "", "password", `"P"`, ``},
	} {
		p, err := parseProjection(c.attributes, c.excluded, testType, DefaultFilterLimits)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(p.appendAttribute(nil, c.urn, c.name, []byte(c.raw))); got != c.want {
			t.Errorf("attributes %q excluded %q: %s, want %s", c.attributes, c.excluded, got, c.want)
		}
	}
}

// What a projection appends is JSON behind a comma, never holds what is never returned, and
// attributes and excludedAttributes of the same names share nothing but what is returned always.
func TestProjectionProperties(t *testing.T) {
	items := []string{"userName", "name", "name.familyName", "emails", "emails.value", "emails.type", `emails[type eq "work"]`, `emails[primary eq true].value`, "tags",
		`tags[value sw "i"]`, "keys", "keys.label", "keys.note", "keys.secret", "password", "slow", "always", "title", EnterpriseURN, "department", "manager.value",
		fjord + ":title", UserURN, "active", "id", "meta", "nosuch", "groups.display"}
	rapid.Check(t, func(t *rapid.T) {
		list := strings.Join(rapid.SliceOfN(rapid.SampledFrom(items), 1, 5).Draw(t, "names"), ",")
		v := anyResource().Draw(t, "resource")
		doc := appendValue(nil, v)
		object := func(attributes, excluded string) Value {
			p, err := parseProjection(attributes, excluded, testType, DefaultFilterLimits)
			if err != nil {
				t.Fatal(err)
			}
			out := p.append([]byte(`{"id":"1"`), doc)
			got, err := parseJSON(append(out, '}'), 32)
			if err != nil {
				t.Fatalf("%s: %s}", err, out)
			}
			return got
		}
		with, without, all := object(list, ""), object("", list), object("", "")
		for _, got := range []Value{with, without, all} {
			if _, ok := got.Get("password"); ok {
				t.Fatalf("password: %s", appendValue(nil, got))
			}
			keys, _ := got.Get("keys")
			for _, k := range keys.Elems {
				if _, ok := k.Get("secret"); ok {
					t.Fatalf("secret: %s", appendValue(nil, got))
				}
			}
			if _, had := v.Get("always"); had {
				if _, has := got.Get("always"); !has {
					t.Fatalf("always is missing: %s", appendValue(nil, got))
				}
			}
		}
		// Every text of the whole resource is in one of the two.
		for _, m := range all.Members {
			_, in := with.Get(m.Name)
			_, out := without.Get(m.Name)
			if !in && !out && !m.Value.empty() && m.Name != "keys" && !hollowParts(m.Value) {
				t.Fatalf("%s is in neither: %s and %s", m.Name, appendValue(nil, with), appendValue(nil, without))
			}
		}
	})
}

// hollowParts reports whether a value is made of empty objects, which a projection leaves out.
func hollowParts(v Value) bool {
	for _, e := range v.Elems {
		if e.Kind != Object || len(e.Members) > 0 {
			return false
		}
	}
	for _, m := range v.Members {
		if !hollowParts(m.Value) || m.Value.Kind != Object && m.Value.Kind != Array {
			return false
		}
	}
	return v.Kind == Object || v.Kind == Array
}

func BenchmarkProjection(b *testing.B) {
	user, _ := NewResourceTypes(nil)
	doc := storedUsers(1)[0]
	for name, lists := range map[string][2]string{"four": {"userName,displayName,active,externalId", ""}, "sub": {"userName,emails.value", ""},
		"filter": {`emails[type eq "work"]`, ""}, "excluded": {"", "roles"}} {
		p, err := parseProjection(lists[0], lists[1], user, DefaultFilterLimits)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				buf = p.append(buf[:0], doc)
			}
		})
	}
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := parseProjection("userName,displayName,active,externalId", "", user, DefaultFilterLimits); err != nil {
				b.Fatal(err)
			}
		}
	})
}
