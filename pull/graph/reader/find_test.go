package reader

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

func TestFindGroupsAnswers(t *testing.T) {
	one := `{"id":"` + theGroup + `","displayName":"Sales"}`
	for name, c := range map[string]struct {
		reply reply
		want  []pull.Group
		class pull.Class
	}{
		"one, and properties of others": {reply{body: `{"@odata.context":"x","value":[{"@odata.id":"y","id":"` + theGroup + `","displayName":"Sales","x":{"a":[1]}}],"@odata.nextLink":"z"}`}, []pull.Group{{ID: theGroup, DisplayName: "Sales"}}, ""},
		"none":                          {reply{body: `{"value":[]}`}, nil, ""},
		"without a name":                {reply{body: `{"value":[{"id":"` + pulltest.GroupID(2) + `","displayName":null},` + one + `]}`}, []pull.Group{{ID: theGroup, DisplayName: "Sales"}}, ""},
		"no list":                       {reply{body: `{}`}, nil, pull.Malformed},
		"no id":                         {reply{body: `{"value":[{"displayName":"Sales"}]}`}, nil, pull.Malformed},
		"an id that is none":            {reply{body: `{"value":[{"id":"Sales","displayName":"Sales"}]}`}, nil, pull.Malformed},
		"cut":                           {reply{body: `{"value":[` + one}, nil, pull.Malformed},
		"no permission":                 {graphError(403, "Authorization_RequestDenied", "no"), nil, pull.Permission},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := scripted(t, c.reply)
			got, err := r.FindGroups(t.Context(), "sal", 20)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			var e *pull.Error
			if errors.As(err, &e) != (c.class != "") || e != nil && e.Class != c.class {
				t.Errorf("error %v, not of class %q", err, c.class)
			}
			if c.class == pull.Permission && !strings.Contains(e.Detail, readGroups) {
				t.Errorf("the permission is not named: %v", err)
			}
		})
	}
}

// FuzzFound holds the reader of a list of groups against encoding/json.
func FuzzFound(f *testing.F) {
	f.Add([]byte(`{"value":[{"id":"` + theGroup + `","displayName":"S\u00e1les \"x\""}]}`))
	f.Add([]byte(`{"value":[{"id":"` + theGroup + `","displayName":null,"x":[{"a":1}]}],"@odata.count":1}`))
	f.Add([]byte(`{"value":[{"id":"` + theGroup + `","displayNAME":"of no meaning"}],"VALUE":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := decodeFound(body)
		if err != nil {
			return
		}
		var top map[string]json.RawMessage // exact keys
		var groups []map[string]any
		if err := errors.Join(json.Unmarshal(body, &top), json.Unmarshal(top["value"], &groups)); err != nil {
			t.Fatalf("encoding/json: %v; the reader took %s", err, body)
		}
		var want []pull.Group
		for _, g := range groups {
			if name, _ := g["displayName"].(string); name != "" {
				want = append(want, pull.Group{ID: strings.ToLower(fmt.Sprint(g["id"])), DisplayName: name})
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-encoding/json +reader):\n%s\n%s", diff, body)
		}
	})
}
