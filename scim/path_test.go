package scim

import (
	"strings"
	"testing"
)

// pathText shows what a path was understood as.
func pathText(p patchPath) string {
	switch {
	case p.ignored:
		return "ignored"
	case p.unknown:
		return "unknown"
	case p.whole:
		return "resource"
	}
	s := strings.ReplaceAll(strings.ReplaceAll(p.ref.path(), EnterpriseURN, "E"), crewURN, "C")
	if p.filter != nil {
		s += " where " + p.filter.String()
		if p.created {
			s += " or " + encode(p.element)
		}
	}
	return s
}

func TestParsePath(t *testing.T) {
	tests := []struct{ path, want string }{
		{"userName", "userName"},
		{"USERNAME", "userName"},
		{" title ", "title"},
		{"name.familyName", "name.familyName"},
		{"Name.FamilyName", "name.familyName"},
		{"emails", "emails"},
		{"emails.value", "emails.value"},
		{`emails[type eq "work"]`, `emails where type eq "work" or {"type":"work"}`},
		{`emails[type eq "work"].value`, `emails.value where type eq "work" or {"type":"work"}`},
		{`Emails[Type EQ "Work"].Value`, `emails.value where type eq "Work" or {"type":"Work"}`},
		{`emails [ type eq "work" ].value`, `emails.value where type eq "work" or {"type":"work"}`},
		{`emails[type eq work].value`, `emails.value where type eq "work" or {"type":"work"}`},
		{`emails[(type eq "work")].value`, `emails.value where type eq "work" or {"type":"work"}`},
		{`emails[type eq "a]b"].value`, `emails.value where type eq "a]b" or {"type":"a]b"}`},
		{`emails[type eq "a\"]b"].value`, `emails.value where type eq "a\"]b" or {"type":"a\"]b"}`},
		{`roles[primary eq "True"].display`, `roles.display where primary eq true or {"primary":true}`},
		{`emails[value eq "v" and type eq "t"]`, `emails where value eq "v" and type eq "t" or {"value":"v","type":"t"}`},
		{`emails[type ne "work"]`, `emails where type ne "work"`},
		{`emails[type eq "a" or type eq "b"]`, `emails where type eq "a" or type eq "b"`},
		{`emails[type eq "a" and type eq "b"]`, `emails where type eq "a" and type eq "b"`},
		{`manager[value eq "m"]`, `E:manager where value eq "m" or {"value":"m"}`},
		{"manager", "E:manager"},
		{EnterpriseURN, "E"},
		{strings.ToUpper(EnterpriseURN), "E"},
		{EnterpriseURN + ":department", "E:department"},
		{EnterpriseURN + ":manager.value", "E:manager.value"},
		{EnterpriseURN + ":manager.$ref", "E:manager.$ref"},
		{EnterpriseURN + ":manager.$REF", "E:manager.$ref"},
		{"manager.$Ref", "E:manager.$ref"},
		{UserURN, "resource"},
		{UserURN + ":emails[type eq work].value", `emails.value where type eq "work" or {"type":"work"}`},
		{crewURN + ":codes", "C:codes"},
		{crewURN + `:codes[value eq "7"]`, `C:codes where value eq "7" or "7"`},
		{crewURN + `:codes[value eq "7"].value`, `C:codes where value eq "7" or "7"`},
		{crewURN + `:papers[number eq "1"].stamps`, `C:papers.stamps where number eq "1" or {"number":"1"}`},
		{crewURN + `:papers[seen eq "2026-01-01T00:00:00Z"].number`, `C:papers.number where seen eq "2026-01-01T00:00:00Z"`},
		{"id", "id"},
		{"meta.version", "meta.version"},
		{UserURN + ":id", "id"},

		{"shoe", "unknown"},
		{"name.nick", "unknown"},
		{"userName.userName", "unknown"},
		{"members", "unknown"},
		{`shoes[size eq 44].colour`, "unknown"},
		{`emails[colour eq "red"].value`, "unknown"},
		{`emails[colour eq "red" and type eq "work"].value`, "unknown"},
		{`emails[type eq "work"].colour`, "unknown"},
		{"urn:example:x:1.0:User:a", "unknown"},
		{"urn:example:x:1.0:User:a.b", "unknown"},
		{UserURN + ":shoe", "unknown"},
		{UserURN + "s:title", "unknown"},
		{GroupURN + ":displayName", "unknown"},
		{EnterpriseURN + ":title", "unknown"},
		{"password", "ignored"},
		{UserURN + ":Password", "ignored"},

		{"", "invalid"},
		{".", "invalid"},
		{"a b", "invalid"},
		{"1a", "invalid"},
		{"name.", "invalid"},
		{".familyName", "invalid"},
		{"name..familyName", "invalid"},
		{"name.a.b", "invalid"},
		{"emails[", "invalid"},
		{"emails]", "invalid"},
		{"emails[]", "invalid"},
		{`emails[type eq "work"`, "invalid"},
		{`emails[type eq "work]`, "invalid"},
		{`emails[type eq]`, "invalid"},
		{`emails[type is "work"]`, "invalid"},
		{`emails[type eq "work"]value`, "invalid"},
		{`emails[type eq "work"].`, "invalid"},
		{`emails[type eq "work"].value.x`, "invalid"},
		{`emails[type eq "work"].value[x eq 1]`, "invalid"},
		{`emails[emails[type eq "work"]]`, "invalid"},
		{`emails[primary eq "junk"]`, "invalid"},
		{`name.familyName[value eq "x"]`, "invalid"},
		{`title[value eq "x"]`, "invalid"},
		{EnterpriseURN + `[value eq "x"]`, "invalid"},
		{`[type eq "work"]`, "invalid"},
		{"urn:", "invalid"},
		{"urn:a::b", "invalid"},
		{UserURN + ":", "invalid"},
		{UserURN + ":name.", "invalid"},
		{"http://example.org/title", "invalid"},
		{"title\x00", "invalid"},
		{"ti\u017fle\u212a", "invalid"},
		{`emails[` + strings.Repeat("(", 100) + `type eq "a"` + strings.Repeat(")", 100) + `]`, "invalid"},
		{`emails[type eq "` + strings.Repeat("a", 494) + `"]`, `emails where type eq "` + strings.Repeat("a", 494) + `" or {"type":"` + strings.Repeat("a", 494) + `"}`},
		{`emails[type eq "` + strings.Repeat("a", 495) + `"]`, "invalid"},
	}
	for _, test := range tests {
		p, err := parsePath(test.path, testUser, PatchLimits{})
		got := pathText(p)
		if err != nil {
			if got = "invalid"; scimType(err) != "invalidPath" {
				t.Errorf("%q: %v", test.path, err)
			}
		}
		if got != test.want {
			t.Errorf("%q: got %s (%v), want %s", test.path, got, err, test.want)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"userName", "name.familyName", `emails[type eq "work"].value`, `roles[primary eq "True"].display`, EnterpriseURN + ":manager",
		UserURN + `:emails[type eq work]`, crewURN + `:codes[value eq "7"]`, `emails[not (type eq "a\"]")].value`, `emails[type eq "`, "urn:x:y", "a.b.c", "[", "]", `members[value eq 1]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, rt := range []*ResourceType{testUser, testGroup} {
			p, err := parsePath(s, rt, PatchLimits{})
			switch {
			case err != nil:
				if scimType(err) != "invalidPath" {
					t.Fatalf("%q: %v", s, err)
				}
			case p.unknown || p.whole:
			case p.ref.attr == nil && rt.extension(p.ref.urn) == nil:
				t.Fatalf("%q: nothing is meant", s)
			case p.created && !p.filter.matchElement(p.element):
				t.Fatalf("%q: the element to create does not match", s)
			case p.filter == nil && p.ref.attr != nil:
				// What was understood is understood again from its canonical name.
				if again, err := parsePath(p.ref.path(), rt, PatchLimits{}); err != nil || again.ref != p.ref {
					t.Fatalf("%q is %s, which is %s (%v)", s, p.ref.path(), pathText(again), err)
				}
			}
		}
	})
}
