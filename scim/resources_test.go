package scim

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
)

const shipURN = "urn:fjord:ship:1.0:User"

func newTestResources(t *testing.T) *Resources {
	t.Helper()
	r, err := NewResources(&directory.Tenant{Name: "fjord", SCIM: directory.SCIMOptions{Extensions: []json.RawMessage{json.RawMessage(
		`{"id":"` + shipURN + `","name":"Ship","attributes":[{"name":"berth","type":"string","multiValued":false,"mutability":"immutable"},{"name":"rank","type":"string","multiValued":false}]}`)}}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// keptUser is a user as push has written it.
func keptUser(t *testing.T, r *Resources, body string) *directory.User {
	t.Helper()
	v, err := parseJSON([]byte(body), 32)
	if err != nil {
		t.Fatal(err)
	}
	attrs, warnings, err := r.user.normalize(v, Mode{})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%s: %v, %v", body, warnings, err)
	}
	return userOf(finishUser(r.user, attrs, nil, nil))
}

func userOf(in directory.UserInput) *directory.User {
	return &directory.User{Profile: in.Profile, Schemas: in.Schemas, Attributes: in.Attributes}
}

const keptAda = `{"externalId":"ada","userName":"ada@fjord.example","name":{"formatted":"Ada Lovelace","familyName":"Lovelace","givenName":"Ada","middleName":"K"},` +
	`"displayName":"Ada","title":"Pilot","preferredLanguage":"nb-NO","locale":"nb-NO","active":true,` +
	`"emails":[{"value":"ada@fjord.example","type":"work","primary":true},{"value":"ada@home.example","type":"home"}],"phoneNumbers":[{"value":"1","type":"work"}],` +
	`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Fleet"},"` + shipURN + `":{"berth":"7","rank":"captain"}}`

// What is overridden changes, and nothing else of the resource does.
func TestResourcesUser(t *testing.T) {
	r := newTestResources(t)
	yes, no := true, false
	for _, test := range []struct {
		name     string
		o        directory.Overrides
		old, new string // what changes in the attributes
		changes  []string
		profile  func(*directory.Profile)
	}{
		{"nothing", directory.Overrides{}, "", "", nil, func(*directory.Profile) {}},
		{"what is there", directory.Overrides{UserName: "ada@fjord.example", ExternalID: "ada", DisplayName: "Ada", GivenName: "Ada", FamilyName: "Lovelace", Email: "ada@fjord.example", Language: "nb-NO", Active: &yes},
			"", "", nil, func(*directory.Profile) {}},
		{"userName", directory.Overrides{UserName: "ada.b@fjord.example"}, `"userName":"ada@`, `"userName":"ada.b@`, []string{"userName"}, func(p *directory.Profile) { p.UserName = "ada.b@fjord.example" }},
		{"externalId", directory.Overrides{ExternalID: "id"}, `"externalId":"ada"`, `"externalId":"id"`, []string{"externalId"}, func(p *directory.Profile) { p.ExternalID = "id" }},
		{"display name", directory.Overrides{DisplayName: "Ada B."}, `"displayName":"Ada"`, `"displayName":"Ada B."`, []string{"displayName"}, func(p *directory.Profile) { p.Name = "Ada B." }},
		{"given name", directory.Overrides{GivenName: "Augusta"}, `"givenName":"Ada"`, `"givenName":"Augusta"`, []string{"name"}, func(*directory.Profile) {}},
		{"family name", directory.Overrides{FamilyName: "Byron"}, `"familyName":"Lovelace"`, `"familyName":"Byron"`, []string{"name"}, func(*directory.Profile) {}},
		{"e-mail", directory.Overrides{Email: "a@b.example"}, `{"value":"ada@fjord.example","type":"work"`, `{"value":"a@b.example","type":"work"`, []string{"emails"},
			func(p *directory.Profile) {
				p.Email, p.Emails = "a@b.example", []string{"a@b.example", "ada@home.example"}
			}},
		{"language", directory.Overrides{Language: "en"}, `"preferredLanguage":"nb-NO"`, `"preferredLanguage":"en"`, []string{"preferredLanguage"}, func(p *directory.Profile) { p.Language = "en" }},
		{"inactive", directory.Overrides{Active: &no}, `"active":true`, `"active":false`, []string{"active"}, func(p *directory.Profile) { p.Active = false }},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := keptUser(t, r, keptAda)
			in, err := r.User(before, test.o)
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.Replace(string(before.Attributes), test.old, test.new, 1); string(in.Attributes) != want {
				t.Errorf("attributes\n%s, want\n%s", in.Attributes, want)
			}
			if string(in.Schemas) != string(before.Schemas) || !strings.Contains(string(in.Schemas), shipURN) || len(in.Warnings) > 0 {
				t.Errorf("schemas %s, warnings %v", in.Schemas, in.Warnings)
			}
			want := before.Profile
			want.Emails = slices.Clone(want.Emails)
			test.profile(&want)
			if diff := cmp.Diff(want, in.Profile); diff != "" {
				t.Errorf("profile (-want +got):\n%s", diff)
			}
			var changes []string
			for _, c := range in.Changes {
				changes = append(changes, c.Name)
			}
			if !slices.Equal(changes, test.changes) {
				t.Errorf("changes %v, want %v", changes, test.changes)
			}
			again, err := r.User(userOf(in), test.o)
			if err != nil || string(again.Attributes) != string(in.Attributes) || len(again.Changes) > 0 {
				t.Errorf("again: %s, %v, %v", again.Attributes, again.Changes, err)
			}
		})
	}
}

// A new user has what the directory says, and is active unless it says otherwise.
func TestResourcesNewUser(t *testing.T) {
	r := newTestResources(t)
	no := false
	in, err := r.User(nil, directory.Overrides{UserName: "bo@fjord.example", ExternalID: "id", DisplayName: "Bo B.", GivenName: "Bo", FamilyName: "B.", Email: "bo@mail.example", Language: "en"})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"externalId":"id","userName":"bo@fjord.example","name":{"familyName":"B.","givenName":"Bo"},"displayName":"Bo B.","preferredLanguage":"en","active":true,"emails":[{"value":"bo@mail.example","type":"work"}]}`
	if string(in.Attributes) != want || string(in.Schemas) != `["`+UserURN+`"]` {
		t.Errorf("%s %s", in.Attributes, in.Schemas)
	}
	if diff := cmp.Diff(directory.Profile{UserName: "bo@fjord.example", ExternalID: "id", Name: "Bo B.", Email: "bo@mail.example", Emails: []string{"bo@mail.example"}, Language: "en", Active: true}, in.Profile); diff != "" {
		t.Errorf("profile (-want +got):\n%s", diff)
	}
	if len(in.Changes) == 0 {
		t.Error("no changes to tell of")
	}
	if in, err = r.User(nil, directory.Overrides{UserName: "bo", Active: &no}); err != nil || in.Active || string(in.Attributes) != `{"userName":"bo","active":false}` {
		t.Errorf("%s, %v", in.Attributes, err)
	}
	if in, err = r.User(nil, directory.Overrides{UserName: "bo"}); err != nil || !in.Active || in.Name != "bo" {
		t.Errorf("%s, %v", in.Attributes, err)
	}
}

// Whatever addresses a user has, Email becomes the one that the directory says, and the others stay.
func TestResourcesEmail(t *testing.T) {
	r := newTestResources(t)
	const fresh = "new@fjord.example"
	var elements []string
	for _, kind := range []string{"", `,"type":"work"`, `,"type":"Work"`, `,"type":"home"`} {
		for _, primary := range []string{"", `,"primary":true`, `,"primary":false`} {
			for _, value := range []string{`"value":"a@b.example"`, `"value":"c@d.example"`, `"value":"` + fresh + `"`, `"display":"none"`} {
				elements = append(elements, "{"+value+kind+primary+"}")
			}
		}
	}
	lists := []string{""}
	for _, a := range elements {
		lists = append(lists, a)
		for _, b := range elements {
			lists = append(lists, a+","+b)
		}
	}
	for i := range elements { // some of three
		lists = append(lists, elements[i]+","+elements[(i*7+5)%len(elements)]+","+elements[(i*11+3)%len(elements)])
	}
	for _, list := range lists {
		before := keptUser(t, r, `{"userName":"u","emails":[`+list+`]}`)
		in, err := r.User(before, directory.Overrides{Email: fresh})
		if err != nil {
			t.Fatalf("%s: %v", list, err)
		}
		if in.Email != fresh {
			t.Errorf("%s became %s: Email is %s", before.Attributes, in.Attributes, in.Email)
		}
		if before.Email == fresh && string(in.Attributes) != string(before.Attributes) {
			t.Errorf("%s became %s without need", before.Attributes, in.Attributes)
		}
		gone := slices.DeleteFunc(slices.Clone(before.Emails), func(e string) bool { return slices.Contains(in.Emails, e) })
		if len(gone) > 1 || len(gone) == 1 && gone[0] != before.Email {
			t.Errorf("%s became %s: %v are gone", before.Attributes, in.Attributes, gone)
		}
		emails, _ := decodeRaw(before.Attributes).Get("emails")
		stands := slices.ContainsFunc(emails.Elems, func(e Value) bool {
			kind, _ := e.Get("type")
			_, has := e.Get("value")
			return has && (isPrimary(e) || equalFold(kind.Text, "work"))
		})
		if stands && len(in.Emails) > len(before.Emails) {
			t.Errorf("%s became %s: one was added", before.Attributes, in.Attributes)
		}
		again, err := r.User(userOf(in), directory.Overrides{Email: fresh})
		if err != nil || string(again.Attributes) != string(in.Attributes) {
			t.Errorf("%s became %s the second time, %v", in.Attributes, again.Attributes, err)
		}
	}
}

// What the schema refuses is an error that names the attribute, and not a user without it.
func TestResourcesRefuse(t *testing.T) {
	r := newTestResources(t)
	long := strings.Repeat("a", 257)
	for name, o := range map[string]directory.Overrides{
		"userName":    {UserName: "a\x00", DisplayName: "Ada"},
		"displayName": {DisplayName: long},
	} {
		for _, before := range []*directory.User{nil, keptUser(t, r, keptAda)} {
			if in, err := r.User(before, o); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %s, %v", name, in.Attributes, err)
			}
		}
	}
	if _, err := NewResources(&directory.Tenant{Name: "fjord", SCIM: directory.SCIMOptions{Extensions: []json.RawMessage{json.RawMessage(`{"id":"x"}`)}}}); err == nil || !strings.Contains(err.Error(), "fjord") {
		t.Errorf("a broken extension: %v", err)
	}
	// As many addresses as an attribute may hold, and none of them to be overridden.
	var homes []string
	for i := range maxElements {
		homes = append(homes, `{"type":"home","value":"`+strconv.Itoa(i)+`@home.example"}`)
	}
	full := keptUser(t, r, `{"userName":"u","emails":[`+strings.Join(homes, ",")+`]}`)
	if in, err := r.User(full, directory.Overrides{Email: "a@b.example"}); err == nil {
		t.Errorf("%d addresses are kept", len(in.Emails))
	}
}

func TestResourcesGroup(t *testing.T) {
	r := newTestResources(t)
	for _, test := range []struct{ name, external, attributes string }{
		{"Pilots", "id", `{"externalId":"id","displayName":"Pilots"}`},
		{"Pilots", "", `{"displayName":"Pilots"}`},
		{"⚙️ Ops", "", `{"displayName":"⚙️ Ops"}`},
		{"a\x00b", "id", `{"externalId":"id","displayName":"id"}`},
		{strings.Repeat("a", 257), "id", `{"externalId":"id","displayName":"id"}`},
		{"", "id", `{"externalId":"id","displayName":"id"}`},
	} {
		in := r.Group(test.name, test.external)
		if string(in.Attributes) != test.attributes || string(in.Schemas) != `["`+GroupURN+`"]` || in.ExternalID != test.external || !strings.Contains(test.attributes, `"displayName":"`+in.DisplayName+`"`) {
			t.Errorf("%s %s %+v", in.Attributes, in.Schemas, in)
		}
		if len(in.Changes) == 0 || len(in.Warnings) > 0 {
			t.Errorf("changes %v, warnings %v", in.Changes, in.Warnings)
		}
	}
}
