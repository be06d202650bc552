package pulltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// Suite is the conformance suite of pull.Source: each sentence of the contract is a test here. open
// returns a Source that answers from d; the suite does not change d after that. The Source is closed
// by the suite and must also be a pull.Tester.
func Suite(t *testing.T, open func(t *testing.T, d *Directory) pull.Source) {
	for _, test := range []struct {
		name string
		fn   func(*testing.T, *harness)
	}{
		{"Group", testGroup},
		{"GroupMissing", testGroupMissing},
		{"GroupIDNotGUID", testGroupIDNotGUID},
		{"FindGroups", testFindGroups},
		{"FindGroupsCancelled", testFindGroupsCancelled},
		{"Members", testMembers},
		{"MembersOfNobody", testMembersOfNobody},
		{"MembersProperties", testMembersProperties},
		{"MembersManyPages", testMembersManyPages},
		{"MembersDirectAndTransitive", testMembersDirectAndTransitive},
		{"MembersInCircles", testMembersInCircles},
		{"MembersWithoutDeleted", testMembersWithoutDeleted},
		{"MembersOfOtherTypes", testMembersOfOtherTypes},
		{"MembersMissingGroup", testMembersMissingGroup},
		{"MembersErrorOfEach", testMembersErrorOfEach},
		{"MembersErrorOfEachOnLaterPage", testMembersErrorOfEachOnLaterPage},
		{"MembersCancelled", testMembersCancelled},
		{"Confirm", testConfirm},
		{"ConfirmNobody", testConfirmNobody},
		{"ConfirmWithoutGroups", testConfirmWithoutGroups},
		{"ConfirmMany", testConfirmMany},
		{"ConfirmManyGroups", testConfirmManyGroups},
		{"ConfirmTwice", testConfirmTwice},
		{"ConfirmCancelled", testConfirmCancelled},
		{"Person", testPerson},
		{"PersonMissing", testPersonMissing},
		{"PersonCancelled", testPersonCancelled},
		{"Direct", testDirect},
		{"DirectManyGroups", testDirectManyGroups},
		{"DirectMissingGroup", testDirectMissingGroup},
		{"DirectCancelled", testDirectCancelled},
		{"Concurrent", testConcurrent},
		{"Test", testTest},
		{"TestGoesOn", testTestGoesOn},
		{"CloseTwice", testCloseTwice},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.fn(t, &harness{t: t, Directory: NewDirectory(), open: open})
		})
	}
}

// harness is a model and, once it is asked for, the Source over it.
type harness struct {
	*Directory
	t    *testing.T
	open func(*testing.T, *Directory) pull.Source
}

func (h *harness) source() pull.Source {
	h.t.Helper()
	s := h.open(h.t, h.Directory)
	h.t.Cleanup(s.Close)
	return s
}

// hire adds people with the numbers from to to-1 and puts them into a group.
func (h *harness) hire(groupID string, from, to int) {
	for n := from; n < to; n++ {
		h.SetPerson(NewPerson(n))
		h.Add(groupID, ID(n))
	}
}

// members reads a group and fails the test when that fails. The people are sorted by id.
func (h *harness) members(s pull.Source, groupID string, transitive bool) ([]pull.Person, pull.Listing) {
	h.t.Helper()
	var people []pull.Person
	l, err := s.Members(h.t.Context(), groupID, transitive, func(p pull.Person) error {
		people = append(people, p)
		return nil
	})
	if err != nil {
		h.t.Fatalf("members of %s: %v", groupID, err)
	}
	slices.SortFunc(people, func(a, b pull.Person) int { return compareIDs(a.ID, b.ID) })
	return people, l
}

func (h *harness) confirm(s pull.Source, people []directory.ID, groups []string) []pull.Confirmation {
	h.t.Helper()
	got, err := s.Confirm(h.t.Context(), people, groups)
	if err != nil {
		h.t.Fatalf("confirm: %v", err)
	}
	for i := range got {
		slices.Sort(got[i].Groups)
	}
	return got
}

// equal compares, with no list the same as an empty one.
func (h *harness) equal(what string, got, want any) {
	h.t.Helper()
	empty := cmp.FilterValues(func(a, b []string) bool { return len(a) == 0 && len(b) == 0 }, cmp.Ignore())
	if diff := cmp.Diff(want, got, empty); diff != "" {
		h.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// missing checks that err says that a group is not there, by its id.
func (h *harness) missing(what string, err error, id string) {
	h.t.Helper()
	var e *pull.Error
	if !errors.As(err, &e) {
		h.t.Fatalf("%s: error %v, want a *pull.Error", what, err)
	}
	if e.Class != pull.ScopeMissing || !strings.Contains(e.Detail, id) {
		h.t.Errorf("%s: class %q, detail %q; want class %q and the id %s", what, e.Class, e.Detail, pull.ScopeMissing, id)
	}
}

func testGroup(t *testing.T, h *harness) {
	h.SetGroup(GroupID(1), `Verkoop "Noord" \ Zuid ünïcode 🚲`)
	h.SetGroup(GroupID(2), "Other")
	got, err := h.source().Group(t.Context(), GroupID(1))
	if err != nil {
		t.Fatal(err)
	}
	h.equal("group", got, pull.Group{ID: GroupID(1), DisplayName: `Verkoop "Noord" \ Zuid ünïcode 🚲`})
}

func testGroupMissing(t *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Here")
	_, err := h.source().Group(t.Context(), GroupID(2))
	h.missing("a group that is not there", err, GroupID(2))
}

func testGroupIDNotGUID(t *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Here")
	s := h.source()
	for _, id := range []string{"Sales", "../users", GroupID(1) + "/members", "", "{" + GroupID(1) + "}"} {
		_, err := s.Group(t.Context(), id)
		h.missing(fmt.Sprintf("group %q", id), err, id)
		_, err = s.Members(t.Context(), id, false, func(pull.Person) error { return nil })
		h.missing(fmt.Sprintf("members of %q", id), err, id)
	}
}

func testFindGroups(t *testing.T, h *harness) {
	for i, name := range []string{"Sales", "sales north", "Verkoop 'Noord'", "Marketing", "Salt & Pepper %27", ""} {
		h.SetGroup(GroupID(i+1), name)
	}
	s := h.source()
	for _, c := range []struct {
		text  string
		limit int
		want  []pull.Group
	}{
		{"SALES", 10, []pull.Group{{ID: GroupID(1), DisplayName: "Sales"}, {ID: GroupID(2), DisplayName: "sales north"}}},
		{"verkoop 'N", 10, []pull.Group{{ID: GroupID(3), DisplayName: "Verkoop 'Noord'"}}},
		{"salt & pepper %27", 10, []pull.Group{{ID: GroupID(5), DisplayName: "Salt & Pepper %27"}}},
		{"') or startswith(displayName,'", 10, nil},
		{"ales", 10, nil},
	} {
		got, err := s.FindGroups(t.Context(), c.text, c.limit)
		if err != nil {
			t.Fatalf("%q: %v", c.text, err)
		}
		if len(got) > 0 || len(c.want) > 0 {
			h.equal("groups found by "+c.text, got, c.want)
		}
	}
	if got, err := s.FindGroups(t.Context(), "sal", 2); err != nil || len(got) != 2 {
		t.Errorf("%v, error %v; want two of three groups", got, err)
	}
}

func testFindGroupsCancelled(t *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Sales")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := h.source().FindGroups(ctx, "Sales", 10); !errors.Is(err, context.Canceled) || got != nil {
		t.Errorf("%v, error %v; want none and the error of the context", got, err)
	}
}

func testMembers(_ *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Sales")
	h.SetGroup(GroupID(2), "Support")
	h.hire(GroupID(1), 1, 4)
	h.hire(GroupID(2), 4, 6)
	h.Add(GroupID(2), ID(1))
	s := h.source()
	got, l := h.members(s, GroupID(1), false)
	h.equal("Sales", got, []pull.Person{NewPerson(1), NewPerson(2), NewPerson(3)})
	h.listing(l, 3, 0, 1)
	got, l = h.members(s, GroupID(2), false)
	h.equal("Support", got, []pull.Person{NewPerson(1), NewPerson(4), NewPerson(5)})
	h.listing(l, 3, 0, 1)
}

// listing checks the counts of a read of users and groups.
func (h *harness) listing(l pull.Listing, people, groups, pages int) {
	h.t.Helper()
	if l.People != people || len(l.Nested) != groups || l.Others != 0 {
		h.t.Errorf("the listing counts %d people, %d groups, %d others; want %d, %d, 0", l.People, len(l.Nested), l.Others, people, groups)
	}
	if l.Pages != pages || l.Requests < pages {
		h.t.Errorf("the listing took %d pages in %d requests, want %d pages in as many requests at least", l.Pages, l.Requests, pages)
	}
}

func testMembersOfNobody(_ *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Empty")
	got, l := h.members(h.source(), GroupID(1), false)
	if len(got) != 0 {
		h.t.Errorf("an empty group has members %v", got)
	}
	h.listing(l, 0, 0, 1)
}

// allSorts are people with properties of every kind.
func allSorts() []pull.Person {
	return []pull.Person{
		NewPerson(1),
		{ID: ID(2), UserPrincipalName: "bare@nordwind.example", Enabled: true},
		{
			ID: ID(3), UserPrincipalName: "jos_fjord.example#EXT#@nordwind.example", DisplayName: "Jos (guest)",
			Mail: "jos@fjord.example", Enabled: true, Guest: true,
		},
		{ID: ID(4), UserPrincipalName: "off@nordwind.example", DisplayName: "Disabled"},
		{
			ID: ID(5), UserPrincipalName: "æøå@nordwind.example", DisplayName: "Zoë \"Zed\" O'Neill \\ Ødegård",
			GivenName: "Zoë\t", Surname: "李小龙 \U0001F6B2 < > &", Mail: "zoë+x@nordwind.example", PreferredLanguage: "nb-NO", Enabled: true,
		},
	}
}

func testMembersProperties(_ *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "All sorts")
	want := allSorts()
	for _, p := range want {
		h.SetPerson(p)
		h.Add(GroupID(1), p.ID)
	}
	got, l := h.members(h.source(), GroupID(1), false)
	h.equal("people", got, want)
	h.listing(l, len(want), 0, 1)
}

func testMembersManyPages(_ *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Everybody")
	const n = 2500
	h.hire(GroupID(1), 1, n+1)
	var want []pull.Person
	for i := 1; i <= n; i++ {
		want = append(want, NewPerson(i))
	}
	got, l := h.members(h.source(), GroupID(1), false)
	h.equal("people", got, want)
	h.listing(l, n, 0, 3)
}

func testMembersDirectAndTransitive(_ *testing.T, h *harness) {
	// 1 holds 2 and 3, both of which hold 4: a person of 4 is reached twice, and counts once.
	for n := 1; n <= 4; n++ {
		h.SetGroup(GroupID(n), fmt.Sprint("Level ", n))
		h.hire(GroupID(n), n, n+1)
	}
	h.Nest(GroupID(1), GroupID(2))
	h.Nest(GroupID(1), GroupID(3))
	h.Nest(GroupID(2), GroupID(4))
	h.Nest(GroupID(3), GroupID(4))
	h.Add(GroupID(4), ID(1))
	s := h.source()
	got, l := h.members(s, GroupID(1), false)
	h.equal("direct members", got, []pull.Person{NewPerson(1)})
	h.listing(l, 1, 2, 1)
	got, l = h.members(s, GroupID(1), true)
	h.equal("transitive members", got, []pull.Person{NewPerson(1), NewPerson(2), NewPerson(3), NewPerson(4)})
	h.listing(l, 4, 3, 1)
}

func testMembersInCircles(_ *testing.T, h *harness) {
	for n := 1; n <= 2; n++ {
		h.SetGroup(GroupID(n), fmt.Sprint("Ring ", n))
		h.hire(GroupID(n), n, n+1)
	}
	h.Nest(GroupID(1), GroupID(2))
	h.Nest(GroupID(2), GroupID(1))
	got, _ := h.members(h.source(), GroupID(1), true)
	h.equal("transitive members", got, []pull.Person{NewPerson(1), NewPerson(2)})
}

func testMembersWithoutDeleted(_ *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Sales")
	h.hire(GroupID(1), 1, 5)
	h.Delete(ID(2))
	h.Delete(ID(3))
	h.Restore(ID(3))
	got, l := h.members(h.source(), GroupID(1), false)
	h.equal("people", got, []pull.Person{NewPerson(1), NewPerson(3), NewPerson(4)})
	h.listing(l, 3, 0, 1)
}

func testMembersOfOtherTypes(t *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Mixed")
	h.SetGroup(GroupID(2), "Nested")
	h.Nest(GroupID(1), GroupID(2))
	h.hire(GroupID(1), 1, 2)
	h.hire(GroupID(2), 2, 3)
	h.SetOthers(GroupID(1), 3)
	h.SetOthers(GroupID(2), 2)
	s := h.source()
	for transitive, others := range map[bool]int{false: 3, true: 5} {
		people, l := h.members(s, GroupID(1), transitive)
		if l.Others != others || len(l.Nested) != 1 || l.Nested[0].String() != GroupID(2) || len(people) != l.People {
			t.Errorf("transitive %t: listing %+v with %d people, want %d others and 1 group", transitive, l, len(people), others)
		}
	}
}

func testMembersMissingGroup(t *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Here")
	for _, transitive := range []bool{false, true} {
		_, err := h.source().Members(t.Context(), GroupID(2), transitive, func(pull.Person) error {
			t.Error("a group that is not there has a member")
			return nil
		})
		h.missing("members", err, GroupID(2))
	}
}

func testMembersErrorOfEach(t *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Sales")
	h.hire(GroupID(1), 1, 10)
	s := h.source()
	h.stops(t, s, 1)
	h.stops(t, s, 5)
}

func testMembersErrorOfEachOnLaterPage(t *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Everybody")
	h.hire(GroupID(1), 1, 1101)
	h.stops(t, h.source(), 1050)
}

// stops lets each fail at the nth person and checks that the error comes back as it is, at once.
func (h *harness) stops(t *testing.T, s pull.Source, n int) {
	t.Helper()
	stop := errors.New("enough")
	calls := 0
	_, err := s.Members(t.Context(), GroupID(1), false, func(pull.Person) error {
		calls++
		if calls >= n {
			return stop
		}
		return nil
	})
	if err != stop { //nolint:errorlint // it must be the same error, not one around it
		t.Errorf("error %v, want that of each as it is", err)
	}
	if calls != n {
		t.Errorf("each was called %d times, want %d", calls, n)
	}
}

func testMembersCancelled(t *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Everybody")
	h.hire(GroupID(1), 1, 1101)
	s := h.source()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	calls := 0
	_, err := s.Members(ctx, GroupID(1), false, func(pull.Person) error {
		calls++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while it ran: error %v, want that of the context", err)
	}
	if calls > pageSize {
		t.Errorf("each was called %d times: the read went on to the next page", calls)
	}
	if _, err := s.Members(ctx, GroupID(1), false, func(pull.Person) error { t.Error("called"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: error %v, want that of the context", err)
	}
}

func testConfirm(_ *testing.T, h *harness) {
	for n := 1; n <= 3; n++ {
		h.SetGroup(GroupID(n), fmt.Sprint("Group ", n))
	}
	h.Nest(GroupID(1), GroupID(2))
	h.hire(GroupID(1), 1, 2)
	h.hire(GroupID(2), 2, 3)
	h.hire(GroupID(3), 3, 5)
	h.Add(GroupID(1), ID(4))
	h.Change(ID(3), func(p *pull.Person) { p.Enabled = false })
	h.SetPerson(NewPerson(5)) // in no group
	h.hire(GroupID(3), 6, 7)
	h.Delete(ID(6))
	got := h.confirm(h.source(), []directory.ID{ID(6), ID(5), ID(99), ID(4), ID(3), ID(2), ID(1)}, []string{GroupID(1), GroupID(3)})
	h.equal("confirmations", got, []pull.Confirmation{
		{ID: ID(6)},
		{ID: ID(5), Found: true, Enabled: true},
		{ID: ID(99)},
		{ID: ID(4), Found: true, Enabled: true, Groups: []string{GroupID(1), GroupID(3)}},
		{ID: ID(3), Found: true, Groups: []string{GroupID(3)}},
		{ID: ID(2), Found: true, Enabled: true, Groups: []string{GroupID(1)}},
		{ID: ID(1), Found: true, Enabled: true, Groups: []string{GroupID(1)}},
	})
}

func testConfirmNobody(_ *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Sales")
	if got := h.confirm(h.source(), nil, []string{GroupID(1)}); len(got) != 0 {
		h.t.Errorf("nobody was asked for, answered %v", got)
	}
}

func testConfirmWithoutGroups(_ *testing.T, h *harness) {
	h.SetPerson(NewPerson(1))
	h.equal("confirmations", h.confirm(h.source(), []directory.ID{ID(1), ID(2)}, nil),
		[]pull.Confirmation{{ID: ID(1), Found: true, Enabled: true}, {ID: ID(2)}})
}

func testConfirmMany(_ *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Sales")
	h.SetGroup(GroupID(2), "Support")
	var people []directory.ID
	var want []pull.Confirmation
	for n := 1; n <= 57; n++ { // more than two batches, and not a multiple
		people = append(people, ID(n))
		c := pull.Confirmation{ID: ID(n)}
		if n%3 != 0 {
			p := NewPerson(n)
			p.Enabled = n%5 != 0
			h.SetPerson(p)
			g := GroupID(1 + n%2)
			h.Add(g, ID(n))
			c.Found, c.Enabled, c.Groups = true, p.Enabled, []string{g}
		}
		want = append(want, c)
	}
	h.equal("confirmations", h.confirm(h.source(), people, []string{GroupID(1), GroupID(2)}), want)
}

func testConfirmManyGroups(_ *testing.T, h *harness) {
	h.SetPerson(NewPerson(1))
	var groups, in []string
	for n := 1; n <= 45; n++ {
		h.SetGroup(GroupID(n), fmt.Sprint("Group ", n))
		groups = append(groups, GroupID(n))
		if n%4 == 1 {
			h.Add(GroupID(n), ID(1))
			in = append(in, GroupID(n))
		}
	}
	h.equal("confirmations", h.confirm(h.source(), []directory.ID{ID(1), ID(2)}, groups),
		[]pull.Confirmation{{ID: ID(1), Found: true, Enabled: true, Groups: in}, {ID: ID(2)}})
}

func testConfirmTwice(_ *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Sales")
	h.hire(GroupID(1), 1, 2)
	c := pull.Confirmation{ID: ID(1), Found: true, Enabled: true, Groups: []string{GroupID(1)}}
	h.equal("confirmations", h.confirm(h.source(), []directory.ID{ID(1), ID(1)}, []string{GroupID(1)}), []pull.Confirmation{c, c})
}

func testConfirmCancelled(t *testing.T, h *harness) {
	h.SetPerson(NewPerson(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := h.source().Confirm(ctx, []directory.ID{ID(1)}, nil)
	if !errors.Is(err, context.Canceled) || got != nil {
		t.Errorf("answers %v, error %v; want none and the error of the context", got, err)
	}
}

func testPerson(t *testing.T, h *harness) {
	want := allSorts()
	for _, p := range want {
		h.SetPerson(p)
	}
	s := h.source()
	for _, p := range want {
		got, found, err := s.Person(t.Context(), p.ID)
		if err != nil || !found {
			t.Fatalf("person %s: found %t, error %v", p.ID, found, err)
		}
		h.equal("person", got, p)
	}
}

func testPersonMissing(t *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Sales")
	h.hire(GroupID(1), 1, 3)
	h.Delete(ID(2))
	s := h.source()
	for _, id := range []directory.ID{ID(2), ID(99)} {
		got, found, err := s.Person(t.Context(), id)
		if err != nil || found || got != (pull.Person{}) {
			t.Errorf("%s, who is not there: %+v, found %t, error %v", id, got, found, err)
		}
	}
}

func testPersonCancelled(t *testing.T, h *harness) {
	h.SetPerson(NewPerson(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, found, err := h.source().Person(ctx, ID(1)); !errors.Is(err, context.Canceled) || found || got != (pull.Person{}) {
		t.Errorf("%+v, found %t, error %v; want nobody and the error of the context", got, found, err)
	}
}

func (h *harness) direct(s pull.Source, person directory.ID, groups []string) []string {
	h.t.Helper()
	got, err := s.Direct(h.t.Context(), person, groups)
	if err != nil {
		h.t.Fatalf("direct groups of %s: %v", person, err)
	}
	return got
}

func testDirect(_ *testing.T, h *harness) {
	for n := 1; n <= 3; n++ {
		h.SetGroup(GroupID(n), fmt.Sprint("Group ", n))
	}
	h.Nest(GroupID(1), GroupID(2))
	h.hire(GroupID(1), 1, 2)
	h.hire(GroupID(2), 2, 4)
	h.Add(GroupID(1), ID(3)) // in 1 both directly and through 2
	h.hire(GroupID(3), 4, 6)
	h.Delete(ID(5))
	s := h.source()
	all := []string{GroupID(3), GroupID(2), GroupID(1)}
	for n, want := range map[int][]string{1: {GroupID(1)}, 2: {GroupID(2)}, 3: {GroupID(2), GroupID(1)}, 4: {GroupID(3)}, 5: nil, 99: nil} {
		h.equal(fmt.Sprint("groups of ", n), h.direct(s, ID(n), all), want)
	}
	h.equal("of no groups", h.direct(s, ID(1), nil), []string(nil))
	h.equal("of a group that is not asked for", h.direct(s, ID(1), []string{GroupID(3)}), []string(nil))
}

func testDirectManyGroups(_ *testing.T, h *harness) {
	h.SetPerson(NewPerson(1))
	var groups, in []string
	for n := 1; n <= 45; n++ { // more than two batches, and not a multiple
		h.SetGroup(GroupID(n), fmt.Sprint("Group ", n))
		groups = append(groups, GroupID(n))
		if n%4 == 1 {
			h.Add(GroupID(n), ID(1))
			in = append(in, GroupID(n))
		}
	}
	h.equal("groups", h.direct(h.source(), ID(1), groups), in)
}

func testDirectMissingGroup(t *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Here")
	h.hire(GroupID(1), 1, 2)
	s := h.source()
	for _, id := range []string{GroupID(2), "Sales"} {
		got, err := s.Direct(t.Context(), ID(1), []string{GroupID(1), id})
		h.missing("direct groups", err, id)
		if got != nil {
			t.Errorf("answered %v beside the error", got)
		}
	}
}

func testDirectCancelled(t *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Sales")
	h.hire(GroupID(1), 1, 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := h.source().Direct(ctx, ID(1), []string{GroupID(1)}); !errors.Is(err, context.Canceled) || got != nil {
		t.Errorf("answered %v, error %v; want none and the error of the context", got, err)
	}
}

func testConcurrent(t *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Sales")
	h.SetGroup(GroupID(2), "Support")
	h.hire(GroupID(1), 1, 1201)
	h.hire(GroupID(2), 1201, 1211)
	s := h.source()
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			groupID, first, want := GroupID(1), 1, 1200
			if n%2 == 1 {
				groupID, first, want = GroupID(2), 1201, 10
			}
			seen := make(map[directory.ID]bool)
			l, err := s.Members(t.Context(), groupID, false, func(p pull.Person) error {
				seen[p.ID] = true
				return nil
			})
			if err != nil || l.People != want || len(seen) != want {
				t.Errorf("read %d people of %d: %v", len(seen), want, err)
			}
			got, err := s.Confirm(t.Context(), []directory.ID{ID(first)}, []string{GroupID(1), GroupID(2)})
			if err != nil || len(got) != 1 || !slices.Equal(got[0].Groups, []string{groupID}) {
				t.Errorf("confirmed %v: %v", got, err)
			}
		})
	}
	wg.Wait()
}

func testTest(t *testing.T, h *harness) {
	h.SetGroup(GroupID(1), "Sales")
	h.SetGroup(GroupID(2), "Support")
	h.hire(GroupID(1), 1, 3)
	h.hire(GroupID(2), 3, 4)
	r := h.test(t, []string{GroupID(1), GroupID(2)})
	if !r.OK() {
		t.Errorf("all is well, and the report says %+v", r)
	}
	for n, name := range map[int]string{1: "Sales", 2: "Support"} {
		c := h.check(t, r, "group "+GroupID(n))
		if !strings.Contains(c.Detail, name) {
			t.Errorf("check %q says %q, want the name %s", c.Name, c.Detail, name)
		}
	}
	h.check(t, r, "token")
}

func testTestGoesOn(t *testing.T, h *harness) {
	h.SetGroup(GroupID(2), "Support")
	h.hire(GroupID(2), 3, 4)
	r := h.test(t, []string{GroupID(1), GroupID(2), "Sales"})
	if r.OK() {
		t.Error("two groups are not there, and the report is good")
	}
	if c := h.check(t, r, "group "+GroupID(1)); c.Error == "" {
		t.Error("a group is not there, and its check is good")
	}
	if c := h.check(t, r, "group Sales"); c.Error == "" {
		t.Error("the id of a group is none, and its check is good")
	}
	if c := h.check(t, r, "group "+GroupID(2)); c.Error != "" {
		t.Errorf("a good group after a missing one: %s", c.Error)
	}
}

func (h *harness) test(t *testing.T, groups []string) pull.Report {
	t.Helper()
	tester, ok := h.source().(pull.Tester)
	if !ok {
		t.Fatal("the source is no pull.Tester")
	}
	return tester.Test(t.Context(), groups)
}

func (h *harness) check(t *testing.T, r pull.Report, name string) pull.Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no check %q in %+v", name, r)
	return pull.Check{}
}

func testCloseTwice(_ *testing.T, h *harness) {
	s := h.source()
	s.Close()
	s.Close()
}
