package scim

import (
	"errors"
	"slices"
	"testing"
)

func TestReplaceInPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		`members[value eq "bulkId:x"]`:                         `members[value eq "<x>"]`,
		`members[value eq "BULKID:x y]"]`:                      `members[value eq "<x y]>"]`,
		`members[value eq "bulk\u0049d:\"x\""]`:                `members[value eq "<"x">"]`,
		`members[value eq bulkId:x]`:                           `members[value eq <x>]`,
		`members[(value eq bulkId:x) or value eq "bulkId:y"]`:  `members[(value eq <x>) or value eq "<y>"]`,
		`E:manager[value eq "bulkId:x"].value`:                 `E:manager[value eq "<x>"].value`,
		`emails[value eq "see bulkId:x" and type eq "bulkId"]`: `emails[value eq "see bulkId:x" and type eq "bulkId"]`,
		`emails[value eq "a\"bulkId:x"]`:                       `emails[value eq "a\"bulkId:x"]`,
		`bulkId:x`:                                             `bulkId:x`, // names nothing that could be compared
		`members[value eq "bulkId:x`:                           `members[value eq "<x>"`,
		`members[value eq "bulkId:x\`:                          `members[value eq "<x\>"`,
		`[`:                                                    `[`,
		``:                                                     ``,
	} {
		got, err := replaceInPath(path, func(id string) (string, error) { return "<" + id + ">", nil })
		if got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", path, got, err, want)
		}
	}
	errNo := errors.New("no")
	if _, err := replaceInPath(`a[b eq "bulkId:x"]`, func(string) (string, error) { return "", errNo }); !errors.Is(err, errNo) {
		t.Error(err)
	}
}

// Once references are replaced there are no others, whatever the data is, and what is none stays as it is.
func FuzzBulkReferences(f *testing.F) {
	for _, seed := range []string{
		`{"members":[{"value":"bulkId:x","$ref":"../Users/bulkId:x"}],"displayName":"bulkId:"}`,
		`{"Operations":[{"op":"remove","path":"members[value eq \"bulkId:x\"]"},{"op":"add","value":{"members[value eq bulkId:y]":"","path":"a[\"bulkId:"}}]}`,
		`["BULKID:a","bulkId","/bulkId:x",{"path":"[bulkId:a\"bulkId:b\\"}]`, `"x"`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parseJSON([]byte(text), 32)
		if err != nil {
			return
		}
		before := string(appendValue(nil, v))
		found := 0
		if err := replaceReferences(&v, "", func(string) (string, error) { found++; return "0", nil }); err != nil {
			t.Fatal(err)
		}
		after := string(appendValue(nil, v))
		if found == 0 && after != before {
			t.Errorf("%s has become %s", before, after)
		}
		if err := replaceReferences(&v, "", func(id string) (string, error) { return "", errors.New(id) }); err != nil {
			t.Errorf("%s has become %s, with a reference to %q", before, after, err)
		}
	})
}

// Circles are what can be reached from itself; each is placed once, and waits for what it needs.
func TestBulkSets(t *testing.T) {
	t.Parallel()
	// 0 -> 3 -> 5 -> 3 (a circle), 1 -> 1, 2 and 4 on one resource, 4 -> 6, 7 -> 0
	b := &bulk{}
	for i := range 8 {
		b.operations = append(b.operations, &bulkOperation{place: i, collection: usersPath})
	}
	o := b.operations
	for _, edge := range [][2]int{{0, 3}, {3, 5}, {5, 3}, {1, 1}, {4, 6}, {7, 0}} {
		o[edge[0]].needs = append(o[edge[0]].needs, o[edge[1]])
	}
	o[4].before = o[2]
	got := [][]int{}
	for _, s := range b.sets() {
		places := []int{}
		for _, x := range s.operations {
			places = append(places, x.place)
		}
		if circular := len(places) > 1 || places[0] == 1; s.circular != circular {
			t.Errorf("%v: circular is %t", places, s.circular)
		}
		got = append(got, places)
	}
	want := [][]int{{1}, {2}, {3, 5}, {0}, {6}, {4}, {7}}
	if !slices.EqualFunc(got, want, slices.Equal[[]int]) {
		t.Errorf("%v, want %v", got, want)
	}
}
