package reader

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

var fuzzBase = &url.URL{Scheme: "https", Host: "graph.example", Path: "/v1.0"}

// FuzzPage holds the reader against encoding/json: what the reader takes, encoding/json takes too and
// understands in the same way. The reader may refuse more, and does.
func FuzzPage(f *testing.F) {
	next := strings.ReplaceAll(link(2), "{base}", fuzzBase.String())
	for _, seed := range []string{
		pageJSON(2, next, 1, 3), pageJSON(0, "", 1, 1), `{"value":[]}`, `{"value":[],"@odata.count":0,"x":[1,-2.5e3,{"a":null}]}`,
		pageOf(1, "", strings.Replace(userJSON(1), "Person 1", `\ud83d\udeb2\u00e9\/\"\\\n`, 1)),
		pageOf(1, "", strings.Replace(userJSON(1), `"id"`, `"i\u0064"`, 1)),
		pageOf(1, "", `{"@odata.type":"#microsoft.graph.group","id":"`+theGroup+`"}`),
		`{"error":{"code":"x"}}`, `{"value":[null]}`, "\ufeff{}", `{"value":[{}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		l := newList(fuzzBase, theGroup)
		people, next, err := l.add(body)
		if err != nil {
			var e *pull.Error
			if !errors.As(err, &e) || e.Class != pull.Malformed && e.Class != pull.Permission || people != nil || next != "" {
				t.Fatalf("error %v with %d people and next page %q", err, len(people), next)
			}
			return
		}
		want, err := decodeWithLibrary(body)
		if err != nil {
			t.Fatalf("encoding/json: %v; the reader took %s", err, body)
		}
		got := libraryPage{People: people, Next: next, Count: l.count, Groups: len(l.found.Nested), Others: l.found.Others}
		if len(people) == 0 {
			got.People = nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("page (-encoding/json +reader):\n%s\n%s", diff, body)
		}
	})
}

// libraryPage is a page as encoding/json understands it.
type libraryPage struct {
	People         []pull.Person
	Next           string
	Count          int
	Groups, Others int
}

func decodeWithLibrary(body []byte) (libraryPage, error) {
	p := libraryPage{Count: -1}
	var top map[string]json.RawMessage // exact keys
	if err := json.Unmarshal(body, &top); err != nil {
		return p, err
	}
	var members []map[string]any
	if err := json.Unmarshal(top["value"], &members); err != nil {
		return p, err
	}
	if raw, ok := top["@odata.count"]; ok {
		if err := json.Unmarshal(raw, &p.Count); err != nil {
			return p, err
		}
	}
	if raw, ok := top["@odata.nextLink"]; ok {
		if err := json.Unmarshal(raw, &p.Next); err != nil {
			return p, err
		}
	}
	for _, m := range members {
		switch m["@odata.type"] {
		case "#microsoft.graph.user":
			person, err := personOf(m)
			if err != nil {
				return p, err
			}
			p.People = append(p.People, person)
		case "#microsoft.graph.group":
			p.Groups++
		default:
			p.Others++
		}
	}
	return p, nil
}

func personOf(m map[string]any) (pull.Person, error) {
	id, ok := directory.ParseID(strings.ToLower(fmt.Sprint(m["id"])))
	enabled, told := m["accountEnabled"].(bool)
	if !ok || !told {
		return pull.Person{}, errors.New("no id, or not told")
	}
	p := pull.Person{ID: id, Enabled: enabled}
	v := reflect.ValueOf(&p).Elem()
	for _, name := range Properties[1:7] {
		text, ok := m[name].(string)
		if !ok && m[name] != nil {
			return p, fmt.Errorf("%s is no text", name)
		}
		v.FieldByName(strings.ToUpper(name[:1]) + name[1:]).SetString(text)
	}
	kind, _ := m["userType"].(string)
	p.Guest = strings.EqualFold(kind, "guest")
	return p, nil
}

// FuzzBatch: whatever a batch answers, each request has one answer of its own or there is an error.
func FuzzBatch(f *testing.F) {
	f.Add([]byte(batchOf(replyOf(1, 200, `"Retry-After":"3"`, enabledUser(1)), replyOf(0, 404, "", notFoundBody)).body))
	f.Add([]byte(`{"responses":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		replies, err := decodeBatch(body, 2)
		if err != nil {
			return
		}
		if !json.Valid(body) || len(replies) != 2 {
			t.Fatalf("took %s", body)
		}
		for _, r := range replies {
			if r.Status < 100 || len(r.Body) > 0 && !json.Valid(r.Body) {
				t.Fatalf("took %+v of %s", r, body)
			}
			var c pull.Confirmation
			if err := decodeGroups(r.Body, []string{theGroup}, &c); err == nil && len(c.Groups) > 1 {
				t.Fatalf("groups %v of %s", c.Groups, r.Body)
			}
			_, _ = decodeUser(r.Body, pulltest.ID(1))
		}
	})
}

// BenchmarkPage reads pages of 999 people, as a full read of a large group has.
func BenchmarkPage(b *testing.B) {
	body := []byte(pageJSON(-1, strings.ReplaceAll(link(2), "{base}", fuzzBase.String()), 1, 1000))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	l := newList(fuzzBase, theGroup)
	for b.Loop() {
		clear(l.links)
		clear(l.seen)
		l.pages = 0
		if people, _, err := l.add(body); err != nil || len(people) != 999 {
			b.Fatal(err)
		}
	}
}
