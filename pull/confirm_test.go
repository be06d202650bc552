package pull

import (
	"fmt"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
)

// TestSure walks every combination of what a point read and the reads before it can say.
func TestSure(t *testing.T) {
	group, user := directory.ID{1}, directory.ID{2}
	within := directory.ID{3} // a nested group
	for n := range 1 << 9 {
		bit := func(i int) bool { return n&(1<<i) != 0 }
		answered, found, enabled, in, nested, twice, transitive, disable, inNested := bit(0), bit(1), bit(2), bit(3), bit(4), bit(5), bit(6), bit(7), bit(8)
		p := &plan{groups: []groupPlan{{object: "g", name: "G", ids: []directory.ID{group}}}}
		if nested {
			p.groups[0].nested = []directory.ID{within}
		}
		e := &entry{PlanItem: directory.PlanItem{UserID: user}, disable: disable}
		absence := directory.Absence{UserID: user}
		if !disable {
			e.leave, absence.GroupID = []directory.ID{group}, group
		}
		answer := Confirmation{Found: found, Enabled: enabled}
		if in {
			answer.Groups = []string{"g"}
		}
		if inNested {
			answer.Groups = append(answer.Groups, within.String())
		}
		want := found && enabled && !disable && !in // the point read agrees with the list
		switch {
		case !answered:
			want = twice
		case !found || !enabled:
			want = true
		case !disable && in: // perhaps through a nested group, which the list leaves out
			want = nested && inNested && twice && !transitive
		}
		got := p.sure(e, answer, answered, map[directory.Absence]bool{absence: twice}, transitive)
		if got != want || got != (e.Evidence != "") || got == (e.Detail != "") {
			t.Errorf("%s: %v (%q, %q), want %v", fmt.Sprintf("answered %v found %v enabled %v in %v nested %v twice %v transitive %v disable %v in nested %v",
				answered, found, enabled, in, nested, twice, transitive, disable, inNested), got, e.Evidence, e.Detail, want)
		}
	}
}

// A person whom push has deleted comes back by a point read alone.
func TestSureOfSomebodyDeletedByPush(t *testing.T) {
	for n := range 1 << 4 {
		answered, answer := n&1 != 0, Confirmation{Found: n&2 != 0, Enabled: n&4 != 0}
		if n&8 != 0 {
			answer.Groups = []string{"g"}
		}
		e := &entry{}
		if got, want := (&plan{groups: []groupPlan{{object: "g"}}}).sure(e, answer, answered, nil, false), n == 15; got != want {
			t.Errorf("answered %v, %+v: %v, want %v", answered, answer, got, want)
		}
	}
}

// A person in two of the groups is absent from both before two reads decide.
func TestSureOfTwoGroups(t *testing.T) {
	a, b, user := directory.ID{1}, directory.ID{2}, directory.ID{3}
	p := &plan{groups: []groupPlan{{object: "a", ids: []directory.ID{a}}, {object: "b", ids: []directory.ID{b}}}}
	e := &entry{PlanItem: directory.PlanItem{UserID: user}, leave: []directory.ID{a}, out: []directory.ID{b}}
	before := map[directory.Absence]bool{{UserID: user, GroupID: a}: true}
	if p.sure(e, Confirmation{}, false, before, true) {
		t.Error("one of two absences is enough")
	}
	before[directory.Absence{UserID: user, GroupID: b}] = true
	if !p.sure(e, Confirmation{}, false, before, true) {
		t.Error("two absences are not enough")
	}
	if p.sure(e, Confirmation{Found: true, Enabled: true, Groups: []string{"b"}}, true, before, true) {
		t.Error("a point read that finds the person in a nested group is overruled by the list")
	}
	// In the other group directly, and no more through a nested one: no contradiction.
	e = &entry{PlanItem: directory.PlanItem{UserID: user}, out: []directory.ID{b}, direct: []uint16{1}}
	if !p.sure(e, Confirmation{Found: true, Enabled: true, Groups: []string{"b"}}, true, nil, true) {
		t.Error("a direct member is taken for a nested one")
	}
	// Directly before, through a nested group now: the point read cannot tell these apart.
	e = &entry{PlanItem: directory.PlanItem{UserID: user}, leave: []directory.ID{a}, through: []uint16{0}}
	answer := Confirmation{Found: true, Enabled: true, Groups: []string{"a"}}
	if p.sure(e, answer, true, nil, true) || !p.sure(e, answer, true, before, true) {
		t.Error("from direct to nested is not decided by two reads")
	}
}

// Who moves to another of the groups keeps the access, though the list does not show the other yet.
func TestSureOfWhoMovesToAnotherGroup(t *testing.T) {
	a, within, user := directory.ID{1}, directory.ID{2}, directory.ID{3}
	before := map[directory.Absence]bool{{UserID: user, GroupID: a}: true}
	for n := range 1 << 6 {
		bit := func(i int) bool { return n&(1<<i) != 0 }
		revoke, in, listed, inNested, twice, transitive := bit(0), bit(1), bit(2), bit(3), bit(4), bit(5)
		p := &plan{groups: []groupPlan{{object: "a", ids: []directory.ID{a}}, {object: "b", nested: []directory.ID{within}}}}
		e := &entry{PlanItem: directory.PlanItem{UserID: user, Kind: directory.ItemUpdate}, leave: []directory.ID{a}}
		if revoke {
			e.Kind = directory.ItemRevoke
		}
		if listed { // and push took the person out of it
			e.direct = []uint16{1}
		}
		answer := Confirmation{Found: true, Enabled: true}
		if in {
			answer.Groups = []string{"b"}
		}
		if inNested {
			answer.Groups = append(answer.Groups, within.String())
		}
		seen := map[directory.Absence]bool{}
		if twice {
			seen = before
		}
		want := !revoke || !in || listed || inNested && !transitive
		if got := p.sure(e, answer, true, seen, transitive); got != want {
			t.Errorf("revoke %v in %v listed %v in nested %v twice %v transitive %v: %v, want %v", revoke, in, listed, inNested, twice, transitive, got, want)
		}
	}
}

func TestNothingToSeeTwiceIsNotSeenTwice(t *testing.T) {
	e := &entry{PlanItem: directory.PlanItem{UserID: directory.ID{1}}}
	if (&plan{}).sure(e, Confirmation{}, false, nil, false) {
		t.Error("an entry without an absence counts as absent twice")
	}
}

func TestBackoff(t *testing.T) {
	for failures, want := range map[int]string{0: "15m0s", 1: "30m0s", 2: "1h0m0s", 3: "1h0m0s", 1000: "1h0m0s"} {
		if got := backoff(15*60e9, failures).String(); got != want {
			t.Errorf("after %d failures %s, want %s", failures, got, want)
		}
	}
	if got := backoff(2*MaxBackoff, 5); got != 2*MaxBackoff {
		t.Errorf("with an interval of two hours %s", got)
	}
}

func TestBatches(t *testing.T) {
	named := func(old, new string) *entry {
		return &entry{PlanItem: directory.PlanItem{Outcome: directory.OutcomePlanned, UserName: old}, oldName: old, newName: new}
	}
	for _, tt := range []struct {
		name  string
		names [][2]string
		want  int
	}{
		{"nobody", nil, 0},
		{"three who have nothing to do with each other", [][2]string{{"", ""}, {"a", "b"}, {"", "c"}}, 3},
		{"a swap", [][2]string{{"a", "b"}, {"b", "a"}}, 1},
		{"a chain from its end", [][2]string{{"c", "d"}, {"b", "c"}, {"a", "b"}}, 1},
		{"a chain from its beginning", [][2]string{{"a", "b"}, {"b", "c"}, {"c", "d"}}, 1},
		{"two halves of a chain that meet", [][2]string{{"a", "b"}, {"c", "d"}, {"b", "c"}, {"d", "e"}}, 1},
		{"another spelling of the own name", [][2]string{{"a", "a"}}, 1},
	} {
		p := &plan{}
		for _, n := range tt.names {
			p.entries = append(p.entries, named(n[0], n[1]))
		}
		seen := map[*entry]int{}
		batches := p.batches()
		for _, b := range batches {
			for _, e := range b {
				seen[e]++
			}
		}
		if len(batches) != tt.want || len(seen) != len(tt.names) {
			t.Errorf("%s: %d batches of %d people, want %d of %d", tt.name, len(batches), len(seen), tt.want, len(tt.names))
		}
		for e, n := range seen {
			if n != 1 {
				t.Errorf("%s: %s is in %d batches", tt.name, e.oldName, n)
			}
		}
	}
	// Who gives a name up and does not now keeps those who take it, and those who take theirs.
	p := &plan{entries: []*entry{named("a", "b"), named("b", "c"), named("c", "d"), named("x", "y")}}
	p.entries[2].set(directory.OutcomeHeld, "waits")
	p.follow()
	for i, want := range []directory.Outcome{directory.OutcomeHeld, directory.OutcomeHeld, directory.OutcomeHeld, directory.OutcomePlanned} {
		if p.entries[i].Outcome != want {
			t.Errorf("%s is %s, want %s", p.entries[i].oldName, p.entries[i].Outcome, want)
		}
	}
	if n := len(p.batches()); n != 1 {
		t.Errorf("%d batches", n)
	}
}
