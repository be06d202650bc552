package scim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	elimity "github.com/elimity-com/scim/filter"
)

// How many filters the implementations are asked about, each on a resource of its own.
const filterQuestions = 4000

// filterTree is a filter before it became a text.
type filterTree struct {
	op       string // and, or, not, []; or eq to pr of a comparison
	children []*filterTree
	name     string // of a comparison or [], as it is written
	ref      attrRef
	value    Value
	loose    bool // written with a parenthesis more than is needed
}

func (f *filterTree) String() string {
	s := ""
	switch f.op {
	case "and", "or":
		var parts []string
		for _, c := range f.children {
			part := c.String()
			if f.op == "and" && c.op == "or" && !c.loose {
				part = "(" + part + ")"
			}
			parts = append(parts, part)
		}
		s = strings.Join(parts, " "+f.op+" ")
	case "not":
		s = "not (" + f.children[0].String() + ")"
	case "[]":
		s = f.name + "[" + f.children[0].String() + "]"
	case "pr":
		s = f.name + " pr"
	default:
		s = f.name + " " + f.op + " " + string(appendValue(nil, f.value))
	}
	if f.loose {
		return "(" + s + ")"
	}
	return s
}

// any reports whether it holds for the tree or a part of it.
func (f *filterTree) any(is func(*filterTree) bool) bool {
	return is(f) || slices.ContainsFunc(f.children, func(c *filterTree) bool { return c.any(is) })
}

var filterNames = []string{"userName", "userName", "externalId", "displayName", "title", "TITLE", "name.familyName", "name.givenName", "active", "id", "meta.created",
	"emails", "emails.value", "emails.type", "emails.primary", "roles.value", "roles.display", "addresses.country", "phoneNumbers.value",
	UserURN + ":userName", EnterpriseURN + ":department", EnterpriseURN + ":manager.value", EnterpriseURN + ":manager"}

var filterLists = []string{"emails", "roles", "phoneNumbers", "addresses"}

// filter draws a filter with some levels of grouping.
func (d dice) filter(depth int) *filterTree {
	kind := d.IntN(12)
	if depth == 0 {
		kind %= 6
	}
	var f *filterTree
	switch kind {
	case 0, 1, 2, 3, 4:
		return d.comparison(pick(d, filterNames...), nil)
	case 5:
		name := pick(d, filterLists...)
		ref, _ := testUser.lookup(name)
		f = &filterTree{op: "[]", name: name, ref: ref}
		f.children = []*filterTree{d.inner(ref.attr)}
		return f
	case 6:
		f = &filterTree{op: "not", children: []*filterTree{d.filter(depth - 1)}}
	case 7, 8, 9:
		f = &filterTree{op: "and", children: []*filterTree{d.filter(depth - 1), d.filter(depth - 1)}}
		if d.one(4) { // about one list
			f.children = []*filterTree{d.comparison("emails.type", nil), d.comparison("emails.value", nil)}
		}
	default:
		f = &filterTree{op: "or", children: []*filterTree{d.filter(depth - 1), d.filter(depth - 1)}}
	}
	f.loose = f.op != "not" && d.one(4)
	return f
}

// inner draws a filter of the elements of a list.
func (d dice) inner(a *Attribute) *filterTree {
	term := func() *filterTree {
		sub := pick(d, a.Sub...)
		for sub.Type == TypeReference {
			sub = pick(d, a.Sub...)
		}
		return d.comparison(sub.Name, &attrRef{attr: a, sub: sub})
	}
	switch d.IntN(8) {
	case 0, 1:
		return &filterTree{op: "and", children: []*filterTree{term(), term()}}
	case 2:
		return &filterTree{op: "or", children: []*filterTree{term(), term()}}
	case 3:
		return &filterTree{op: "not", children: []*filterTree{term()}}
	}
	return term()
}

func (d dice) comparison(name string, ref *attrRef) *filterTree {
	if ref == nil {
		r, ok := testUser.lookup(name)
		if !ok {
			panic(name)
		}
		ref = &r
	}
	f := &filterTree{name: name, ref: *ref, op: pick(d, "eq", "eq", "eq", "eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr")}
	target := f.target()
	switch {
	case target.Type == TypeBoolean:
		f.op = pick(d, "eq", "eq", "ne", "pr")
		f.value = Value{Kind: Bool, Bool: d.one(2)}
	case target.Type == TypeDateTime:
		f.op = pick(d, "eq", "ne", "gt", "ge", "lt", "le", "pr")
		f.value = Value{Kind: String, Text: pick(d, filterTimes...)}
	case d.one(15):
		f.op, f.value = pick(d, "eq", "ne"), Value{} // null
	case len(target.CanonicalValues) > 0:
		f.value = Value{Kind: String, Text: pick(d, "work", "home", "WORK")}
	default:
		f.value = Value{Kind: String, Text: pick(d, oracleTexts...)}
		if part := map[string]string{"sw": "d", "ew": "c"}[f.op]; part != "" && (f.value.Text == "c d" || f.value.Text == "b") {
			f.value.Text = part // within a text, at the other end
		}
	}
	return f
}

var filterTimes = []string{"2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00.5Z", "2025-12-31T23:00:00Z"}

// target is what is compared: of a complex attribute its value.
func (f *filterTree) target() *Attribute {
	if a := f.ref.target(); a.Type != TypeComplex {
		return a
	}
	return find(f.ref.attr.Sub, "value")
}

// habit is a way in which an implementation evaluates filters other than the RFC has it.
type habit string

// The habits that were found. None of them is ours.
const (
	exactTexts    habit = "texts with regard to case"
	neNeedsValue  habit = "ne needs a value"
	neAny         habit = "ne of any value of a list"
	neEach        habit = "ne of any value of a list, or of one without"
	absentIsNull  habit = "eq null needs a null"
	noNull        habit = "nothing compares with null"
	nullEach      habit = "eq null of any value of a list"
	timesAsText   habit = "times as texts"
	objectAsText  habit = "a complex attribute as a text"
	noCoreURN     habit = "the URN of the core schema"
	rawEscapes    habit = "escapes in texts"
	rawBackslash  habit = "backslashes in texts"
	looseBrackets habit = "brackets of any values"
	tightAnd      habit = "and of one value"
	noListSub     habit = "sub-attributes of lists"
	noURN         habit = "names behind a URN"
	equalTexts    habit = "eq of times as texts"
	noPrimary     habit = "no primary is not false"
)

// filterModel evaluates filters slowly: with no habit as the RFC and this server do, with some as other
// implementations do.
type filterModel struct {
	habits map[habit]bool
	doc    Value
}

func (m filterModel) holds(f *filterTree, elem *Value) bool {
	switch f.op {
	case "and":
		if m.habits[tightAnd] && elem == nil {
			return m.tight(f)
		}
		return m.holds(f.children[0], elem) && m.holds(f.children[1], elem)
	case "or":
		return m.holds(f.children[0], elem) || m.holds(f.children[1], elem)
	case "not":
		return !m.holds(f.children[0], elem)
	case "[]":
		list, _ := m.doc.Get(f.ref.attr.Name)
		if m.habits[looseBrackets] {
			return len(list.Elems) > 0 && m.holds(f.children[0], nil)
		}
		return slices.ContainsFunc(list.Elems, func(e Value) bool { return m.holds(f.children[0], &e) })
	}
	values := m.values(f, elem)
	switch {
	case f.op == "pr":
		return len(values) > 0
	case f.value.Kind == Null && m.habits[noNull]:
		return false
	case f.op == "eq" && f.value.Kind == Null && m.habits[nullEach] && elem == nil && f.ref.attr.MultiValued && f.ref.sub != nil:
		list, _ := m.doc.Get(f.ref.attr.Name)
		return slices.ContainsFunc(list.Elems, func(e Value) bool { return m.holds(f, &e) })
	case f.op == "ne" && f.value.Kind == Null:
		return len(values) > 0
	case f.op == "eq" && f.value.Kind == Null:
		return len(values) == 0 && !m.habits[absentIsNull]
	case f.op == "ne" && m.habits[neEach] && elem == nil && f.ref.attr.MultiValued:
		list, _ := m.doc.Get(f.ref.attr.Name)
		return slices.ContainsFunc(list.Elems, func(e Value) bool { return m.holds(f, &e) })
	case f.op == "ne" && m.habits[neAny]:
		return slices.ContainsFunc(values, func(v Value) bool { return !m.compare(f, "eq", v) }) || len(values) == 0 && !m.habits[neNeedsValue]
	case f.op == "ne":
		return !slices.ContainsFunc(values, func(v Value) bool { return m.compare(f, "eq", v) }) && (len(values) > 0 || !m.habits[neNeedsValue])
	}
	return slices.ContainsFunc(values, func(v Value) bool { return m.compare(f, f.op, v) })
}

// tight evaluates an and as scimmy does: what is said about one list has to hold for one value.
func (m filterModel) tight(f *filterTree) bool {
	leaves, lists := []*filterTree{f}, map[string][]*filterTree{}
	for i := 0; i < len(leaves); i++ {
		switch leaf := leaves[i]; {
		case leaf.op == "and" || leaf.op == "[]" && leaf.children[0].op != "or":
			leaves = append(leaves, leaf.children...)
		case leaf.ref.attr != nil && leaf.ref.attr.MultiValued && leaf.ref.sub != nil:
			lists[leaf.ref.attr.Name] = append(lists[leaf.ref.attr.Name], leaf)
		case !m.holds(leaf, nil):
			return false
		}
	}
	for name, about := range lists {
		list, _ := m.doc.Get(name)
		if !slices.ContainsFunc(list.Elems, func(e Value) bool {
			return !slices.ContainsFunc(about, func(leaf *filterTree) bool { return !m.holds(leaf, &e) })
		}) {
			return false
		}
	}
	return true
}

// values are all values that a comparison looks at.
func (m filterModel) values(f *filterTree, elem *Value) (list []Value) {
	at := m.doc
	if elem != nil {
		at = Value{Kind: Object, Members: []Member{{f.ref.attr.Name, *elem}}}
	} else if f.ref.urn != "" {
		at, _ = m.doc.Get(f.ref.urn)
	}
	if m.habits[noURN] && strings.HasPrefix(f.name, "urn:") || m.habits[noCoreURN] && strings.HasPrefix(f.name, UserURN) {
		return nil
	}
	if m.habits[noListSub] && elem == nil && f.ref.attr.MultiValued && f.ref.sub != nil {
		return nil
	}
	v, _ := at.Get(f.ref.attr.Name)
	elems := v.Elems
	if v.Kind != Array {
		elems = []Value{v}
	}
	for _, e := range elems {
		switch {
		case f.ref.sub != nil:
			whole := e
			e, _ = e.Get(f.ref.sub.Name)
			if e.Kind == Null && whole.Kind == Object && f.ref.sub.Name == "primary" && f.op != "pr" && f.value.Kind == Bool && !m.habits[noPrimary] {
				e = Value{Kind: Bool} // RFC 7643 section 2.4
			}
		case f.ref.attr.Type == TypeComplex && f.op != "pr" && f.value.Kind != Null && !m.habits[objectAsText]:
			e, _ = e.Get("value")
		}
		if e.Kind != Null {
			list = append(list, e)
		}
	}
	return list
}

func (m filterModel) compare(f *filterTree, op string, v Value) bool {
	if f.value.Kind == Null {
		return false
	}
	if v.Kind == Bool {
		return op == "eq" && v.Bool == f.value.Bool
	}
	have, want := v.Text, f.value.Text
	switch {
	case m.habits[rawEscapes]:
		raw := string(appendString(nil, want))
		want = raw[1 : len(raw)-1]
	case m.habits[rawBackslash]:
		want = strings.ReplaceAll(want, `\`, `\\`)
	}
	if v.Kind == Object {
		if have = "[object Object]"; op == "eq" || op == "co" {
			return false
		}
	}
	target := f.target()
	if target.Type == TypeDateTime && !m.habits[timesAsText] && (op != "eq" || !m.habits[equalTexts]) {
		x, _ := time.Parse(time.RFC3339, have)
		y, _ := time.Parse(time.RFC3339, want)
		return ordered(op, x.Compare(y))
	}
	if !target.CaseExact && !m.habits[exactTexts] {
		have, want = strings.ToLower(have), strings.ToLower(want)
	}
	switch op {
	case "co":
		return strings.Contains(have, want)
	case "sw":
		return strings.HasPrefix(have, want)
	case "ew":
		return strings.HasSuffix(have, want)
	}
	return ordered(op, strings.Compare(have, want))
}

func ordered(op string, c int) bool {
	return map[string]bool{"eq": c == 0, "gt": c > 0, "ge": c >= 0, "lt": c < 0, "le": c <= 0}[op]
}

// filterHabits are those of each implementation.
var filterHabits = []struct {
	oracle string
	habits []habit
}{
	{"scim2-parse-filter", []habit{exactTexts, neNeedsValue, neAny, absentIsNull, timesAsText, objectAsText, noCoreURN, rawBackslash, looseBrackets, noPrimary}},
	{"scimmy", []habit{exactTexts, neEach, nullEach, rawEscapes, noURN, equalTexts, tightAnd, noPrimary}},
	{"elimity", []habit{neNeedsValue, noNull, noListSub, rawEscapes, noPrimary}},
}

// filterRules are for what a library makes of whole kinds of filters.
var filterRules = []struct {
	difference
	when func(f *filterTree, doc Value, theirs filterAnswer) bool
}{
	{difference{"scimmy", "quotes within texts"}, func(f *filterTree, _ Value, theirs filterAnswer) bool {
		return theirs.refused != "" && strings.Contains(f.String(), `\"`)
	}},
	{difference{"scimmy", "complex attributes that are absent"}, func(f *filterTree, doc Value, theirs filterAnswer) bool {
		return strings.HasPrefix(theirs.refused, "Cannot ") && f.any(func(f *filterTree) bool {
			if f.ref.attr == nil {
				return false
			}
			v, _ := tree{doc}.attribute(f.ref)
			return v.Kind == Null && f.ref.attr.Type == TypeComplex
		})
	}},
	{difference{"scimmy", "names behind a URN"}, func(f *filterTree, _ Value, theirs filterAnswer) bool {
		return theirs.refused != "" && strings.Contains(f.String(), "urn:")
	}},
	{difference{"scimmy", "or within brackets"}, func(f *filterTree, _ Value, _ filterAnswer) bool {
		return f.op == "and" && f.any(func(f *filterTree) bool { return f.op == "[]" && f.children[0].op == "or" })
	}},
	{difference{"scimmy", "not and parentheses"}, func(f *filterTree, _ Value, _ filterAnswer) bool {
		return strings.Contains(f.String(), "(")
	}},
	{difference{"scimmy", "complex attributes as such"}, func(f *filterTree, _ Value, _ filterAnswer) bool {
		return f.any(func(f *filterTree) bool {
			return f.op != "[]" && f.ref.attr != nil && f.ref.attr.Type == TypeComplex && f.ref.sub == nil
		})
	}},
}

// answers: yes, no, or refused.
type filterAnswer struct {
	match   bool
	refused string
}

// beyondElimity is for what the library does not know: id and meta, and complex attributes as
// such, for which it panics.
func beyondElimity(f *filterTree) bool {
	a := f.ref.attr
	return a != nil && (a == attrID || a == attrMeta || a.Type == TypeComplex && f.ref.sub == nil && f.op != "[]" && f.op != "pr")
}

func elimityFilter(text string, resource map[string]any) filterAnswer {
	v, err := elimity.NewValidator(text, libraryUser, libraryExtensions...)
	if err != nil {
		return filterAnswer{refused: err.Error()}
	}
	return filterAnswer{match: v.PassesFilter(resource) == nil}
}

// filterCase is a filter and what it is asked of.
type filterCase struct {
	tree *filterTree
	text string
	doc  Value
	ours bool
}

// explain says why an implementation answers as it does; false when nobody knows.
func (c *filterCase) explain(oracle string, theirs filterAnswer) (used []difference, ok bool) {
	model := func(habits ...habit) bool {
		m := filterModel{map[habit]bool{}, c.doc}
		for _, h := range habits {
			m.habits[h] = true
		}
		return m.holds(c.tree, nil)
	}
	var habits []habit
	for _, known := range filterHabits {
		if known.oracle == oracle {
			habits = known.habits
		}
	}
	if theirs.refused == "" && theirs.match == model(habits...) {
		if theirs.match == c.ours {
			return nil, true
		}
		for i, h := range habits { // those without which, or with which alone, the answer would change
			if model(slices.Concat(habits[:i], habits[i+1:])...) != theirs.match || model(h) != c.ours {
				used = append(used, difference{oracle, string(h)})
			}
		}
		return used, true
	}
	for _, r := range filterRules {
		if r.oracle == oracle && r.when(c.tree, c.doc, theirs) {
			return []difference{r.difference}, true
		}
	}
	return nil, false
}

func TestOracleFilter(t *testing.T) {
	notInShort(t)
	cases := make([]*filterCase, filterQuestions)
	var questions []oracleQuestion
	nodes := []string{"scim2-parse-filter", "scimmy"}
	for i := range cases {
		d := newDice(uint64(i) + 1<<32)
		doc := oracleResource(d.user(t), fmt.Sprintf(`"id":"a","meta":{"created":%q},`, pick(d, filterTimes...)))
		c := &filterCase{tree: d.filter(2), doc: parseTest(t, string(doc))}
		c.text = c.tree.String()
		cases[i] = c
		for _, lib := range nodes {
			questions = append(questions, oracleQuestion{Lib: lib, Kind: "filter", Resource: doc, Filter: c.text})
		}
	}
	replies := ask(t, questions)
	found, asked, same, matches := seen{}, map[string]int{}, map[string]int{}, 0
	for i, c := range cases {
		f, err := parseFilter(c.text, testUser, FilterLimits{})
		if err != nil {
			t.Fatalf("%s: %v", c.text, err)
		}
		c.ours = f.match(tree{c.doc})
		// Strict mode reads no filter otherwise, and refuses one that compares a single complex attribute.
		strict, err := parseFilter(c.text, strictUserType, FilterLimits{})
		if err == nil && strict.match(tree{c.doc}) != c.ours || (err != nil) != c.tree.any(comparesSingle) {
			t.Errorf("strict mode: %s: %v", c.text, err)
		}
		if c.ours {
			matches++
		}
		if want := (filterModel{doc: c.doc}).holds(c.tree, nil); c.ours != want {
			t.Errorf("%s\non %s\nis %v, the model says %v", c.text, encode(c.doc), c.ours, want)
		}
		answers := map[string]filterAnswer{}
		if !c.tree.any(beyondElimity) {
			resource := toLibrary(t, c.doc)
			lift(resource)
			answers["elimity"] = elimityFilter(c.text, resource)
		}
		for j, lib := range nodes {
			r := replies[i*len(nodes)+j]
			a := filterAnswer{refused: r.Error}
			if r.Error == "" {
				if err := json.Unmarshal(r.Result, &a.match); err != nil {
					t.Fatal(err)
				}
			}
			answers[lib] = a
		}
		for lib, theirs := range answers {
			asked[lib]++
			used, ok := c.explain(lib, theirs)
			if !ok {
				t.Errorf("filter %d, %s: %s\non     %s\nours   %v\ntheirs %v %s", i, lib, c.text, encode(c.doc), c.ours, theirs.match, theirs.refused)
			}
			if used == nil {
				same[lib]++
			}
			for _, d := range used {
				found[d]++
			}
		}
	}
	t.Logf("%d filters, of which %d match; asked %v, answered as here %v", len(cases), matches, asked, same)
	found.check(t, filterDifferences())
}

func comparesSingle(f *filterTree) bool {
	a := f.ref.attr
	return a != nil && a.Type == TypeComplex && !a.MultiValued && f.ref.sub == nil && f.op != "pr" && f.value.Kind != Null
}

// filterDifferences are those that TestOracleFilter knows.
func filterDifferences() (list []difference) {
	for _, known := range filterHabits {
		for _, h := range known.habits {
			list = append(list, difference{known.oracle, string(h)})
		}
	}
	for _, r := range filterRules {
		if !slices.Contains(list, r.difference) {
			list = append(list, r.difference)
		}
	}
	return list
}
