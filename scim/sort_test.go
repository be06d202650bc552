package scim

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/directory"
)

// The keys of numbers are in the order of the numbers, however they are written.
func TestNumberKeys(t *testing.T) {
	var all []string
	for _, sign := range []string{"", "-"} {
		for _, whole := range []string{"0", "1", "12", "120", "9", "100", "999999999999999999999"} {
			for _, fraction := range []string{"", ".0", ".00", ".5", ".50", ".05", ".51", ".0000000000000000000001"} {
				for _, exponent := range []string{"", "E1", "e-1", "e+20", "e999999999999", "e-999999999999"} {
					all = append(all, sign+whole+fraction+exponent)
				}
			}
		}
	}
	keys := make([][]byte, len(all))
	for i, n := range all {
		keys[i] = numberKey(nil, n)
	}
	for i, x := range all {
		for j, y := range all {
			if got, want := bytes.Compare(keys[i], keys[j]), compareNumbers(x, y); got != want {
				t.Fatalf("%s and %s compare as %d by key, want %d", x, y, got, want)
			}
		}
	}
}

func TestTimeKeys(t *testing.T) {
	list := []string{"0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "1969-12-31T23:59:59.5Z", "1970-01-01T00:00:00Z", "2026-01-01T01:00:00+02:00", "2026-01-01T00:00:00Z",
		"2026-01-01T00:00:00.000000001Z", "9999-12-31T23:59:59Z"}
	var keys [][]byte
	for _, s := range list {
		keys = append(keys, timeKey(nil, must(time.Parse(time.RFC3339Nano, s))))
	}
	if !slices.IsSortedFunc(keys, bytes.Compare) {
		t.Errorf("%x", keys)
	}
	same := timeKey(nil, must(time.Parse(time.RFC3339, "2026-01-01T02:00:00+02:00")))
	if !bytes.Equal(same, keys[5]) {
		t.Errorf("one instant has two keys: %x and %x", same, keys[5])
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestChosenValue(t *testing.T) {
	sub := &Attribute{Name: "value"}
	for _, c := range []struct {
		raw  string
		sub  *Attribute
		want string
	}{
		{`"a"`, nil, `"a"`},
		{`["a","b"]`, nil, `"a"`},
		{`[]`, nil, ``},
		{`{"value":"a"}`, sub, `"a"`},
		{`{"value":["a","b"]}`, sub, `"a"`},
		{`{"display":"a"}`, sub, ``},
		{`[{"value":"a"},{"value":"b"}]`, sub, `"a"`},
		{`[{"value":"a"},{"value":"b","primary":true},{"value":"c","primary":true}]`, sub, `"b"`},
		{`[{"value":"a","primary":false},{"value":"b"}]`, sub, `"a"`},
		{`[{"value":"a"},{"type":"work","primary":true}]`, sub, ``}, // the primary one has no value
		{`[{"type":"work"},{"value":"b"}]`, sub, ``},
		{``, sub, ``}, {`[`, sub, ``}, {`{`, sub, ``}, {`[{`, sub, ``},
	} {
		if c.raw == "" {
			continue
		}
		if got := string(chosen([]byte(c.raw), c.sub)); got != c.want {
			t.Errorf("%s: %s, want %s", c.raw, got, c.want)
		}
	}
}

func TestValueKeyOfTheWrongType(t *testing.T) {
	for _, c := range []struct {
		typ Type
		v   Value
	}{
		{TypeBoolean, text("maybe")}, {TypeInteger, text("7")}, {TypeDecimal, Value{Kind: Bool}}, {TypeDateTime, text("yesterday")}, {TypeDateTime, Value{Kind: Number, Text: "1"}},
		{TypeString, Value{Kind: Number, Text: "1"}}, {TypeString, Value{}}, {TypeString, text("")}, {TypeReference, Value{Kind: Bool}},
	} {
		if got := valueKey(nil, c.v, &Attribute{Type: c.typ}); len(got) != 0 {
			t.Errorf("%s %v has the key %x", c.typ, c.v, got)
		}
	}
}

func TestValueKeyByCase(t *testing.T) {
	for _, c := range []struct {
		a    Attribute
		want string
	}{
		{Attribute{Type: TypeString}, "ab"}, {Attribute{Type: TypeString, CaseExact: true}, "aB"}, {Attribute{Type: TypeReference}, "aB"}, {Attribute{Type: TypeBinary}, "aB"},
	} {
		if got := string(valueKey(nil, text("aB"), &c.a)); got != c.want {
			t.Errorf("%+v: %q, want %q", c.a, got, c.want)
		}
	}
}

// Whatever comes, the first places are kept, in order.
func TestRanking(t *testing.T) {
	q := &query{}
	rapid.Check(t, func(rt *rapid.T) {
		keep := rapid.IntRange(0, 30).Draw(rt, "keep")
		q.descending = rapid.Bool().Draw(rt, "descending")
		r := ranking{compare: q.compare, keep: keep}
		var all []place
		n := rapid.IntRange(0, 4000).Draw(rt, "places")
		step := rapid.IntRange(1, 1000).Draw(rt, "step")
		var scratch []byte
		for i := range n {
			scratch = fmt.Appendf(scratch[:0], "%03d", i*step%777)
			p := place{unsafeString(scratch), i % 2, directory.ID{byte(i >> 8), byte(i)}}
			all = append(all, place{strings.Clone(p.key), p.kind, p.id})
			if err := r.add(p); err != nil {
				rt.Fatal(err)
			}
		}
		if err := r.cut(); err != nil {
			rt.Fatal(err)
		}
		slices.SortFunc(all, func(a, b place) int {
			c := strings.Compare(a.key, b.key)
			if q.descending {
				c = -c
			}
			return cmp.Or(c, a.kind-b.kind, bytes.Compare(a.id[:], b.id[:]))
		})
		if want := all[:min(keep, n)]; !slices.Equal(r.list, want) {
			rt.Fatalf("%v, want %v", r.list, want)
		}
	})
}

// A request holds no more places than its memory allows, and lets go of keys that it does not need.
func TestRankingIsBounded(t *testing.T) {
	q := &query{}
	add := func(r *ranking, n int) (most int, err error) {
		key := strings.Repeat("k", maxSortKey-8)
		for i := range n {
			if err = r.add(place{fmt.Sprintf("%s%08d", key, n-i), 0, directory.ID{1}}); err != nil {
				return most, err
			}
			most = max(most, r.bytes)
		}
		return most, r.cut()
	}
	r := &ranking{compare: q.compare, keep: 100}
	if most, err := add(r, 20_000); err != nil || most > rankingBytes+maxSortKey+placeBytes || len(r.list) != 100 || cap(r.list) > 20_000 {
		t.Errorf("%d bytes, %d of %d places, %v", most, len(r.list), cap(r.list), err)
	}
	r = &ranking{compare: q.compare, keep: rankingBytes / placeBytes}
	var tooDeep *Error
	if _, err := add(r, 20_000); !errors.As(err, &tooDeep) || tooDeep.Status != 400 || tooDeep.ScimType != "tooMany" {
		t.Errorf("%v", err)
	}
	if r.bytes > rankingBytes+maxSortKey+placeBytes {
		t.Errorf("%d bytes", r.bytes)
	}
}

func TestCursorText(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := sealing{key: [32]byte{1}, query: []byte("query"), now: now}
	for _, c := range []cursor{
		{total: -1}, {back: true, total: 7}, {at: place{"", 0, directory.ID{1}}, total: -1}, {back: true, at: place{"\x01k\xff", 1, directory.ID{2, 15: 3}}, total: 1 << 40},
	} {
		sealed := string(s.append(nil, &c))
		if i := strings.IndexFunc(sealed, func(r rune) bool {
			return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", r)
		}); i >= 0 {
			t.Errorf("%s: a character that is not unreserved", sealed)
		}
		if got, err := s.open(sealed); err != nil || *got != c {
			t.Errorf("%+v, %v; want %+v", got, err, c)
		}
		if again := string(s.append(nil, &c)); again == sealed {
			t.Error("two cursors are the same text")
		}
		fails := func(what string, s sealing, text string, want *Error) {
			t.Helper()
			if got, err := s.open(text); err != want {
				t.Errorf("%s: %+v, %v", what, got, err)
			}
		}
		raw := []byte(sealed)
		for i := range raw {
			changed := bytes.Clone(raw)
			if changed[i]++; changed[i] == '{' || changed[i] == '[' {
				changed[i] = 'A'
			}
			fails(fmt.Sprint("byte ", i), s, string(changed), errInvalidCursor)
			fails(fmt.Sprint("cut at ", i), s, sealed[:i], errInvalidCursor)
		}
		fails("longer", s, sealed+"A", errInvalidCursor)
		fails("far longer", s, strings.Repeat("A", 1<<20), errInvalidCursor)
		other := s
		other.key = [32]byte{2}
		fails("another store", other, sealed, errInvalidCursor)
		other = s
		other.query = []byte("querz")
		fails("another query", other, sealed, errInvalidCursor)
		late := s
		late.now = now.Add(CursorTimeout)
		if _, err := late.open(sealed); err != nil {
			t.Errorf("at its last second: %v", err)
		}
		late.now = now.Add(CursorTimeout + time.Second)
		fails("late", late, sealed, errExpiredCursor)
		other.now = late.now
		fails("late and of another query", other, sealed, errInvalidCursor)
	}
}
