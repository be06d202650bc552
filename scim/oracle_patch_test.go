package scim

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/elimity-com/scim"
	parser "github.com/scim2/filter-parser/v2"
)

// How many requests the implementations are asked about.
const patchQuestions = 3000

// patchOp is a random operation, with what its path was made of.
type patchOp struct {
	op      string
	path    string
	value   Value
	noValue bool // the operation has no value, not even null

	attr     *Attribute // nil: no path, or none of a known attribute
	sub      *Attribute
	filter   string // inside the brackets
	wrong    bool   // made to be refused
	oddNames bool   // names in another case than the schema's
}

func (o patchOp) body() string {
	s := `{"op":"` + o.op + `"`
	if o.path != "" {
		s += `,"path":` + string(appendString(nil, o.path))
	}
	if !o.noValue {
		s += `,"value":` + encode(o.value)
	}
	return s + "}"
}

// op draws an operation on a user: mostly one that the RFC describes.
func (d dice) op(user Value) patchOp {
	o := patchOp{op: pick(d, "add", "replace", "remove")}
	switch d.IntN(20) {
	case 0:
		return d.wrongOp(o)
	case 1, 2, 3:
		return d.pathless(o)
	}
	a, name := oracleAttribute(pick(d, oracleNames...))
	o.attr, o.path = a, name
	target := a
	if a.Type == TypeComplex {
		d.intoComplex(&o, user)
		if o.sub != nil {
			target = o.sub
		}
	}
	switch {
	case o.op == "remove":
		o.noValue = true
		if target.MultiValued && o.filter == "" && d.one(2) { // not of the RFC, but usual
			o.noValue, o.value = false, d.known(user, target)
		}
	case o.filter != "" && o.sub == nil:
		o.value = d.element(target)
	case target.MultiValued && d.one(4):
		o.value = d.element(target) // one value for the list that it joins
	case target.MultiValued && d.one(3):
		o.value = d.known(user, target)
	default:
		o.value = d.value(target)
	}
	if d.one(30) {
		o.path, o.oddNames = strings.ToUpper(o.path[:1])+o.path[1:], true
	}
	return o
}

// plain reports whether an operation sets or removes a text: all implementations do so alike.
func (o patchOp) plain() bool {
	return !o.wrong && !o.oddNames && o.attr != nil && o.attr.Type == TypeString && o.attr != find(userSchema.Attributes, "userName")
}

func (d dice) plainOp(user Value) patchOp {
	for {
		if o := d.op(user); o.plain() && !o.oddNames {
			return o
		}
	}
}

// known draws a list of values that the user has, or new ones.
func (d dice) known(user Value, a *Attribute) Value {
	now, _ := user.Get(a.Name)
	if len(now.Elems) == 0 {
		return d.value(a)
	}
	return Value{Kind: Array, Elems: []Value{pick(d, now.Elems...)}}
}

// intoComplex goes on from an attribute to a sub-attribute of it or to some of its values.
func (d dice) intoComplex(o *patchOp, user Value) {
	var subs []*Attribute
	for _, sub := range o.attr.Sub {
		if sub.Mutability != "readOnly" && (o.attr.Name != "roles" || sub.Name != "type") {
			subs = append(subs, sub)
		}
	}
	if o.attr.MultiValued && !d.one(3) {
		now, _ := user.Get(o.attr.Name)
		o.filter = d.elementFilter(o.attr, now.Elems)
		o.path += "[" + o.filter + "]"
	}
	if d.one(2) || o.filter != "" && o.op == "add" && d.one(2) {
		o.sub = pick(d, subs...)
		o.path += "." + o.sub.Name
	}
}

// elementFilter draws what stands between brackets, mostly so that it finds something.
func (d dice) elementFilter(a *Attribute, now []Value) string {
	term := func() string {
		sub := pick(d, a.Sub...)
		for sub.Mutability == "readOnly" || sub.Type == TypeReference {
			sub = pick(d, a.Sub...)
		}
		v := d.element(sub)
		if len(now) > 0 && !d.one(4) {
			m := pick(d, pick(d, now...).Members...)
			if s := find(a.Sub, m.Name); s.Mutability != "readOnly" && s.Type != TypeReference {
				sub, v = s, m.Value
			}
		}
		op := pick(d, "eq", "eq", "eq", "eq", "eq", "eq", "ne", "co", "sw", "pr")
		if sub.Type == TypeBoolean && op != "ne" && op != "pr" {
			op = "eq"
		}
		if op == "pr" {
			return sub.Name + " pr"
		}
		return sub.Name + " " + op + " " + encode(v)
	}
	switch d.IntN(10) {
	case 0, 1:
		return term() + " and " + term()
	case 2:
		return term() + " or " + term()
	case 3:
		return "not (" + term() + ")"
	}
	return term()
}

// pathless draws an operation whose value is an object of attributes.
func (d dice) pathless(o patchOp) patchOp {
	if o.op == "remove" {
		o.op = "add"
	}
	o.value = Value{Kind: Object}
	extension := Value{Kind: Object}
	for range 1 + d.IntN(3) {
		a, name := oracleAttribute(pick(d, oracleNames...))
		m := Member{a.Name, d.value(a)}
		switch {
		case find([]*Attribute{a}, name) == nil:
			extension.Members = replaceMember(extension.Members, m)
		default:
			o.value.Members = replaceMember(o.value.Members, m)
		}
	}
	if len(extension.Members) > 0 {
		o.value.Members = append(o.value.Members, Member{EnterpriseURN, extension})
	}
	return o
}

func replaceMember(list []Member, m Member) []Member {
	list = slices.DeleteFunc(list, func(have Member) bool { return have.Name == m.Name })
	return append(list, m)
}

// wrongOp draws an operation that a server must refuse.
func (d dice) wrongOp(o patchOp) patchOp {
	text, number := Value{Kind: String, Text: "a"}, Value{Kind: Number, Text: "7"}
	list := []patchOp{
		{op: "remove", path: "", noValue: true},
		{op: "remove", path: "userName", noValue: true},
		{op: "move", path: "title", value: text},
		{op: "add", path: "title", noValue: true},
		{op: "add", path: "", value: text},
		{op: o.op, path: "shoe", value: text},
		{op: o.op, path: "name.shoe", value: text},
		{op: o.op, path: "emails[type eq \"work\"].shoe", value: text},
		{op: o.op, path: "emails[shoe eq \"work\"].value", value: text},
		{op: o.op, path: "emails[type eq \"work\"", value: text},
		{op: o.op, path: "emails[type is \"work\"].value", value: text},
		{op: o.op, path: "urn:example:none:title", value: text},
		{op: o.op, path: EnterpriseURN + ":shoe", value: text},
		{op: "replace", path: "groups", value: Value{Kind: Array, Elems: []Value{{Kind: Object, Members: []Member{{"value", text}}}}}},
		{op: "replace", path: "id", value: text},
		{op: "replace", path: "title", value: number},
		{op: "replace", path: "title", value: Value{Kind: Bool, Bool: true}},
		{op: "replace", path: "title", value: Value{Kind: Array, Elems: []Value{text}}},
		{op: "replace", path: "title", value: Value{Kind: Object, Members: []Member{{"value", text}}}},
		{op: "replace", path: "active", value: text},
		{op: "replace", path: "name", value: text},
		{op: "add", path: "emails", value: number},
		{op: "add", path: "name", value: Value{Kind: Object, Members: []Member{{"shoe", text}}}},
		{op: "add", path: "", value: Value{Kind: Object, Members: []Member{{"shoe", text}}}},
		{op: "replace", path: "userName", value: Value{}},
	}
	o = pick(d, list...)
	o.wrong = true
	o.noValue = o.noValue || o.op == "remove"
	return o
}

// patchCase is a request and what we make of it.
type patchCase struct {
	user Value
	ops  []patchOp
	ours patchOutcome
}

// patchOutcome is a resource in its plain form, or why there is none.
type patchOutcome struct {
	value   Value
	refused string
}

func (o patchOutcome) String() string {
	if o.refused != "" {
		return "refused: " + o.refused
	}
	return encode(o.value)
}

// beside is an patchOutcome without what the other one has as well.
func (o patchOutcome) beside(p patchOutcome) string {
	if o.refused == "" && p.refused == "" {
		o.value.Members = slices.DeleteFunc(slices.Clone(o.value.Members), func(m Member) bool {
			have, _ := p.value.Get(m.Name)
			return encode(have) == encode(m.Value)
		})
	}
	return o.String()
}

func (o patchOutcome) equal(p patchOutcome) bool {
	return (o.refused == "") == (p.refused == "") && (o.refused != "" || encode(o.value) == encode(p.value))
}

func (c *patchCase) body() string { return patchBodies(c.ops) }

func patchBodies(ops []patchOp) string {
	var list []string
	for _, o := range ops {
		list = append(list, o.body())
	}
	return "[" + strings.Join(list, ",") + "]"
}

// shape says what kind of operations these are.
func (c *patchCase) shape() string {
	s := ""
	for _, o := range c.ops {
		s += o.op + " "
		switch {
		case o.wrong:
			s += "wrong"
		case o.attr == nil:
			s += "object"
		case o.attr.MultiValued:
			s += "list"
		default:
			s += string(o.attr.Type)
		}
		if o.filter != "" {
			s += "[]"
		}
		if o.sub != nil {
			s += ".sub"
		}
		s += "=" + strings.Trim(strings.Repeat("list", b2i(o.value.Kind == Array))+strings.Repeat("object", b2i(o.value.Kind == Object)), " ") + "; "
	}
	return s
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func outcomeKind(o patchOutcome) string {
	if o.refused != "" {
		return "refused "
	}
	return "value "
}

// any reports whether it holds for one of the operations.
func (c *patchCase) any(is func(patchOp) bool) bool { return slices.ContainsFunc(c.ops, is) }

// run is our patchOutcome, in the mode that is to the letter.
func (c *patchCase) run(rt *ResourceType, ops []patchOp) patchOutcome {
	return c.runIn(Mode{Strict: true}, rt, ops)
}

func (c *patchCase) runIn(mode Mode, rt *ResourceType, ops []patchOp) patchOutcome {
	body, err := parseJSON([]byte(patchBody(patchBodies(ops))), 32)
	if err != nil {
		return patchOutcome{refused: err.Error()}
	}
	p, err := parsePatch(body, rt, mode, PatchLimits{})
	if err == nil {
		var next Value
		if next, _, err = p.apply(c.user); err == nil {
			return patchOutcome{value: plainForm(next)}
		}
	}
	return patchOutcome{refused: scimType(err) + ": " + err.Error()}
}

// patchRule is a known difference: it turns what another implementation answers into what it would
// answer without it. false says that it does not apply.
type patchRule struct {
	difference
	undo func(c *patchCase, theirs patchOutcome) (patchOutcome, bool)
}

// patchRules are in the order in which they are tried: what is sharp comes first.
var patchRules = slices.Concat(
	rulesFor("scim-patch",
		patchUndo{"no schema", undoUnchecked},
		patchUndo{"two primaries at once", undoTwoPrimaries},
		patchUndo{"names in any case", undoOddNames},
		patchUndo{"extension within a value", undoSplitURN},
		patchUndo{"complex attribute within a value", undoLostSiblings},
		patchUndo{"another manager", undoManager},
		patchUndo{"a manager without a value", undoNoManager},
		patchUndo{"active is never unassigned", undoActive},
		patchUndo{"sub-attribute of a list", undoListSub},
		patchUndo{"one value for a list", undoOneValue},
		patchUndo{"values by labels alone", undoHollow},
		patchUndo{"same type and value", undoSame},
		patchUndo{"more than one primary", undoPrimaries},
		patchUndo{"removing by value", undoRemovalByValue},
		patchUndo{"no primary is not false", undoNoPrimary},
		patchUndo{"removing what is not there", undoAbsent},
		patchUndo{"backslashes in texts", undoBackslashes},
		patchUndo{"adding where a filter finds nothing", undoNotCreated},
		patchUndo{"texts with regard to case", undoCase},
		patchUndo{"ne where there is no value", undoNe},
	),
	rulesFor("scimmy",
		patchUndo{"no schema", undoUnchecked},
		patchUndo{"two primaries at once", undoTwoPrimaries},
		patchUndo{"names in any case", undoOddNames},
		patchUndo{"replace without path", undoReplaceAdds},
		patchUndo{"complex attribute within a value", undoLostSiblings},
		patchUndo{"another manager", undoManager},
		patchUndo{"a manager without a value", undoNoManager},
		patchUndo{"active is never unassigned", undoActive},
		patchUndo{"sub-attribute of a list", undoListSub},
		patchUndo{"values by labels alone", undoHollow},
		patchUndo{"same type and value", undoSame},
		patchUndo{"more than one primary", undoPrimaries},
		patchUndo{"removing by value", undoRemovalByValue},
		patchUndo{"no primary is not false", undoNoPrimary},
		patchUndo{"replacing values that a filter finds", undoReplacedWhole},
		patchUndo{"replacing what the filter looks at", undoReplaceLooks},
		patchUndo{"part of a complex attribute that is not there", undoAbsentExtension},
		patchUndo{"escapes in texts", undoEscapes},
		patchUndo{"adding where a filter finds nothing", undoNotCreated},
		patchUndo{"texts with regard to case", undoCase},
	),
	rulesFor("elimity",
		patchUndo{"no schema", undoUnchecked},
		patchUndo{"two primaries at once", undoTwoPrimaries},
		patchUndo{"names in any case", undoOddNames},
		patchUndo{"complex attribute within a value", undoLostSiblings},
		patchUndo{"another manager", undoManager},
		patchUndo{"a manager without a value", undoNoManager},
		patchUndo{"active is never unassigned", undoActive},
		patchUndo{"sub-attribute of a list", undoListSub},
		patchUndo{"one value for a list", undoOneValue},
		patchUndo{"values by labels alone", undoHollow},
		patchUndo{"same type and value", undoSame},
		patchUndo{"adding a primary value that is there", undoDemotedItself},
		patchUndo{"removing by value", undoRemovalByValue},
		patchUndo{"escapes in texts", undoEscapes},
		patchUndo{"no primary is not false", undoNoPrimary},
		patchUndo{"adding where a filter finds nothing", undoNotCreated},
		patchUndo{"ne where there is no value", undoNe},
	),
)

type patchUndo struct {
	name string
	undo func(c *patchCase, theirs patchOutcome) (patchOutcome, bool)
}

func rulesFor(oracle string, list ...patchUndo) (out []patchRule) {
	for _, u := range list {
		out = append(out, patchRule{difference{oracle, u.name}, u.undo})
	}
	return out
}

// undoUnchecked is for operations that were made to be refused.
func undoUnchecked(c *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	return c.ours, c.ours.refused != "" && theirs.refused == "" &&
		(c.any(func(o patchOp) bool { return o.wrong }) || strings.Contains(c.ours.refused, " is required."))
}

func undoTwoPrimaries(c *patchCase, _ patchOutcome) (patchOutcome, bool) {
	return c.ours, strings.Contains(c.ours.refused, "may have one primary value only")
}

func undoOddNames(c *patchCase, _ patchOutcome) (patchOutcome, bool) {
	return c.ours, c.any(func(o patchOp) bool { return o.oddNames })
}

// undoLostSiblings gives name and manager back what the value did not speak of.
func undoLostSiblings(c *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	restore := func(resource, was Value, a *Attribute) Value {
		now, has := resource.Get(a.Name)
		old, had := was.Get(a.Name)
		if !has || !had {
			return resource
		}
		resource.Members = replaceMember(slices.Clone(resource.Members), Member{a.Name, mergeObject(a.Sub, old, now)})
		return resource
	}
	v := theirs.value
	for _, o := range c.ops {
		if o.op == "remove" || o.sub != nil || o.value.Kind != Object {
			continue
		}
		within, _ := o.value.Get(EnterpriseURN)
		if _, named := o.value.Get("name"); named || o.path == "name" {
			v = restore(v, c.user, find(userSchema.Attributes, "name"))
		}
		if _, named := within.Get("manager"); named || o.attr == attrManager {
			was, _ := c.user.Get(EnterpriseURN)
			now, _ := v.Get(EnterpriseURN)
			v.Members = replaceMember(slices.Clone(v.Members), Member{EnterpriseURN, restore(now, was, attrManager)})
		}
	}
	return patchOutcome{plainForm(v), theirs.refused}, theirs.refused == ""
}

// undoManager takes away what was known of the manager before.
func undoManager(c *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	extension, _ := theirs.value.Get(EnterpriseURN)
	now, ok := extension.Get("manager")
	before, _ := c.user.Get(EnterpriseURN)
	was, _ := before.Get("manager")
	id, _ := now.Get("value")
	if old, _ := was.Get("value"); !ok || id.Kind == Null || encode(old) == encode(id) {
		return theirs, false
	}
	extension = dropMember(extension, "manager")
	extension.Members = append(slices.Clone(extension.Members), Member{"manager", dropMember(now, "$ref")})
	v := dropMember(theirs.value, EnterpriseURN)
	v.Members = append(slices.Clone(v.Members), Member{EnterpriseURN, extension})
	return patchOutcome{value: plainForm(v)}, true
}

// undoNoManager takes away what is known of a manager who is nobody.
func undoNoManager(_ *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	extension, _ := theirs.value.Get(EnterpriseURN)
	manager, ok := extension.Get("manager")
	if !ok || hasMember(manager, "value") {
		return theirs, false
	}
	v := dropMember(theirs.value, EnterpriseURN)
	v.Members = append(slices.Clone(v.Members), Member{EnterpriseURN, dropMember(extension, "manager")})
	return patchOutcome{value: plainForm(v)}, true
}

func undoActive(c *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	return c.ours, c.any(func(o patchOp) bool { return o.op == "remove" && o.attr == attrActive })
}

// undoListSub says what attr.sub without a filter does: a value goes to the primary element or the first one or a
// new one, of type work where that is a type, and a removal takes it from all.
func undoListSub(c *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	o := c.ops[0]
	if len(c.ops) > 1 || o.attr == nil || !o.attr.MultiValued || o.filter != "" || o.sub == nil {
		return theirs, false
	}
	list, _ := c.user.Get(o.attr.Name)
	elems := slices.Clone(list.Elems)
	if o.op == "remove" {
		for i := range elems {
			elems[i] = dropMember(elems[i], o.sub.Name)
		}
		return c.with(o.attr, elems, -1), true
	}
	if len(elems) == 0 {
		elems = []Value{{Kind: Object}}
		if a := find(o.attr.Sub, "type"); a != nil && slices.Contains(a.CanonicalValues, "work") {
			elems[0] = setMember(o.attr.Sub, elems[0], a.Name, Value{Kind: String, Text: "work"})
		}
	}
	at := max(0, slices.IndexFunc(elems, isPrimary))
	elems[at] = setMember(o.attr.Sub, elems[at], o.sub.Name, o.value)
	return c.with(o.attr, elems, at), true
}

// with is the user with other elements of a list, of which the one at changed was changed.
func (c *patchCase) with(a *Attribute, elems []Value, changed int) patchOutcome {
	if changed >= 0 && isPrimary(elems[changed]) {
		elems = demote(elems, func(i int) bool { return i == changed })
	}
	v := dropMember(c.user, a.Name)
	v.Members = append(slices.Clone(v.Members), Member{a.Name, Value{Kind: Array, Elems: tidy(a, elems, true)}})
	return patchOutcome{value: plainForm(v)}
}

func undoOneValue(c *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	return c.ours, c.any(func(o patchOp) bool {
		return o.op != "remove" && o.attr != nil && o.attr.MultiValued && o.path == o.attr.Name && o.value.Kind == Object
	})
}

// undoReplaceAdds takes away the values that a replace without path left.
func undoReplaceAdds(c *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	return eachList(theirs, func(a *Attribute, elems []Value) []Value {
		was, _ := c.user.Get(a.Name)
		for _, o := range c.ops {
			if now, named := o.value.Get(a.Name); o.op == "replace" && o.path == "" && named && len(elems) == len(was.Elems)+len(now.Elems) {
				return elems[len(was.Elems):]
			}
		}
		return elems
	})
}

// undoDemotedItself is for a primary value that is added once more.
func undoDemotedItself(c *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	return c.ours, theirs.refused == "" && c.any(func(o patchOp) bool {
		if o.op != "add" || o.attr == nil {
			return false
		}
		have, _ := c.user.Get(o.attr.Name)
		return slices.ContainsFunc(o.value.Elems, func(e Value) bool {
			return isPrimary(e) && slices.ContainsFunc(have.Elems, func(h Value) bool { return equalValue(e, h) })
		})
	})
}

// undoRemovalByValue takes away those of theirs that the removal names by value and type, or puts back
// those that it does not name.
func undoRemovalByValue(c *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	o := c.ops[0]
	if len(c.ops) > 1 || o.op != "remove" || o.noValue || o.attr == nil {
		return theirs, false
	}
	v := plainForm(c.user)
	list, _ := c.user.Get(o.attr.Name)
	var rest []Value
	for _, e := range list.Elems {
		if !slices.ContainsFunc(o.value.Elems, func(gone Value) bool {
			return sameMember(e, gone, "value") && (sameMember(e, gone, "type") || !hasMember(gone, "type")) && (hasMember(gone, "value") || encode(e) == encode(gone))
		}) {
			rest = append(rest, e)
		}
	}
	v = dropMember(v, o.attr.Name)
	v.Members = append(slices.Clone(v.Members), Member{o.attr.Name, Value{Kind: Array, Elems: rest}})
	return patchOutcome{value: plainForm(v)}, true
}

func sameMember(a, b Value, name string) bool {
	x, _ := a.Get(name)
	y, _ := b.Get(name)
	return encode(x) == encode(y)
}

func hasMember(v Value, name string) bool {
	_, ok := v.Get(name)
	return ok
}

// undoNotCreated says what an operation does whose filter finds nothing: add creates the value where the filter is
// made of eq alone, and everything else is an error.
func undoNotCreated(c *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	o := c.ops[0]
	if len(c.ops) > 1 || o.op == "remove" || o.filter == "" || o.wrong || o.finds(c.user) {
		return theirs, false
	}
	e, created := Value{Kind: Object}, o.op == "add"
	for _, term := range strings.Split(o.filter, " and ") {
		m := equalTerm.FindStringSubmatch(term)
		if m == nil || hasMember(e, m[1]) {
			created = false
			break
		}
		v, err := parseJSON([]byte(m[2]), 1)
		if err != nil {
			created = false
			break
		}
		e = setMember(o.attr.Sub, e, m[1], v)
	}
	if !created {
		return patchOutcome{refused: "noTarget"}, true
	}
	if o.sub != nil {
		e = setMember(o.attr.Sub, e, o.sub.Name, o.value)
	} else {
		e = mergeObject(o.attr.Sub, e, o.value)
	}
	list, _ := c.user.Get(o.attr.Name)
	return c.with(o.attr, append(slices.Clone(list.Elems), e), len(list.Elems)), true
}

var equalTerm = regexp.MustCompile(`^(\w+) eq ("(?:[^"\\]|\\.)*"|true|false)$`)

// finds reports whether the filter of an operation finds something.
func (o patchOp) finds(user Value) bool {
	list, _ := user.Get(o.attr.Name)
	f, err := parseElementFilter(o.filter, strictUserType, o.attr, FilterLimits{})
	return err == nil && slices.ContainsFunc(list.Elems, f.matchElement)
}

// undoCase is for requests that we would answer otherwise if all texts were compared with regard
// to case.
func undoCase(c *patchCase, _ patchOutcome) (patchOutcome, bool) {
	return c.ours, !c.run(exactUser, c.ops).equal(c.ours)
}

// exactUser is strictUserType with texts that are compared as they are.
var exactUser = func() *ResourceType {
	var exact func(list []*Attribute) []*Attribute
	exact = func(list []*Attribute) (out []*Attribute) {
		for _, a := range list {
			b := *a
			b.CaseExact, b.Sub = true, exact(a.Sub)
			out = append(out, &b)
		}
		return out
	}
	rt := *strictUserType
	core := *rt.Core
	core.Attributes = exact(core.Attributes)
	rt.Core = &core
	return &rt
}()

// undoNoPrimary is for requests that we would answer otherwise if a value without primary were
// neither primary nor not.
func undoNoPrimary(c *patchCase, _ patchOutcome) (patchOutcome, bool) {
	ops := slices.Clone(c.ops)
	given := strings.NewReplacer("primary eq false", "(primary pr and primary eq false)", "primary ne false", "(not (primary pr) or primary ne false)")
	for i, o := range ops {
		if o.filter != "" {
			ops[i].path = strings.Replace(o.path, o.filter, given.Replace(o.filter), 1)
		}
	}
	return c.ours, !c.run(strictUserType, ops).equal(c.ours)
}

var comparisonNe = regexp.MustCompile(`(\w+) ne ("(?:[^"\\]|\\.)*"|\w+)`)

// undoNe is for requests that we would answer otherwise if ne needed a value.
func undoNe(c *patchCase, _ patchOutcome) (patchOutcome, bool) {
	ops := slices.Clone(c.ops)
	for i, o := range ops {
		if o.filter != "" {
			ops[i].path = strings.Replace(o.path, o.filter, comparisonNe.ReplaceAllString(o.filter, "($1 pr and $0)"), 1)
		}
	}
	return c.ours, !c.run(strictUserType, ops).equal(c.ours)
}

// undoSplitURN moves what was stored under the URN up to its last colon.
func undoSplitURN(_ *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	urn, name := EnterpriseURN[:strings.LastIndexByte(EnterpriseURN, ':')], "User"
	split, ok := theirs.value.Get(urn)
	if !ok {
		return theirs, false
	}
	moved, _ := split.Get(name)
	extension, _ := theirs.value.Get(EnterpriseURN)
	for _, m := range moved.Members {
		extension.Members = replaceMember(slices.Clone(extension.Members), m)
	}
	extension.Kind = Object
	v := dropMember(theirs.value, urn)
	v.Members = replaceMember(slices.Clone(v.Members), Member{EnterpriseURN, extension})
	return patchOutcome{value: plainForm(v)}, true
}

// eachList changes the lists of a resource.
func eachList(o patchOutcome, change func(a *Attribute, elems []Value) []Value) (patchOutcome, bool) {
	v := Value{Kind: o.value.Kind}
	for _, m := range o.value.Members {
		if a := find(userSchema.Attributes, m.Name); a != nil && m.Value.Kind == Array {
			m.Value.Elems = change(a, slices.Clone(m.Value.Elems))
		}
		v.Members = append(v.Members, m)
	}
	return patchOutcome{plainForm(v), o.refused}, o.refused == ""
}

func undoHollow(_ *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	return eachList(theirs, func(a *Attribute, elems []Value) []Value {
		return slices.DeleteFunc(elems, func(e Value) bool { return e.Kind == Object && hollow(a, e) })
	})
}

// undoPrimaries takes primary from those of several that do not have it here.
func undoPrimaries(c *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	return eachList(theirs, func(a *Attribute, elems []Value) []Value {
		ours, _ := c.ours.value.Get(a.Name)
		if primaries(elems) < 2 || primaries(ours.Elems) != 1 || len(ours.Elems) != len(elems) {
			return elems
		}
		return demote(elems, func(i int) bool { return isPrimary(ours.Elems[i]) })
	})
}

// undoSame makes one of values of the same type and value; elimity refuses them.
func undoSame(c *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	if strings.Contains(theirs.refused, "(invalidValue)") {
		return c.ours, true
	}
	return eachList(theirs, func(a *Attribute, elems []Value) []Value {
		for i := range elems {
			elems[i].Members = slices.Clone(elems[i].Members)
			slices.SortFunc(elems[i].Members, func(x, y Member) int {
				at := func(m Member) int { return slices.Index(a.Sub, find(a.Sub, m.Name)) }
				return at(x) - at(y)
			})
		}
		return tidy(a, elems, true)
	})
}

func undoEscapes(c *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	return c.ours, c.any(func(o patchOp) bool { return strings.Contains(o.filter, `\`) })
}

func undoBackslashes(c *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	return c.ours, c.any(func(o patchOp) bool { return strings.Contains(o.filter, `\\`) })
}

func undoReplacedWhole(c *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	return c.ours, theirs.refused == "" && c.any(func(o patchOp) bool { return o.op == "replace" && o.filter != "" && o.sub == nil && o.finds(c.user) })
}

func undoReplaceLooks(c *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	return c.ours, theirs.refused != "" && c.any(func(o patchOp) bool {
		return o.op == "replace" && o.sub != nil && strings.Contains(o.filter, o.sub.Name+" ")
	})
}

func undoAbsentExtension(c *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	return c.ours, strings.Contains(theirs.refused, "does not match any values") && c.any(func(o patchOp) bool { return o.attr == attrManager && o.sub != nil })
}

func undoAbsent(c *patchCase, theirs patchOutcome) (patchOutcome, bool) {
	return c.ours, theirs.refused != "" && c.any(func(o patchOp) bool { return o.op == "remove" && o.filter != "" })
}

// compare explains the difference between theirs and ours by the rules of an oracle, applied one
// after another as long as something is left, and returns those that it took.
func (c *patchCase) explain(oracle string, theirs patchOutcome) (used []difference, ok bool) {
	for _, r := range patchRules {
		if c.ours.equal(theirs) {
			return used, true
		}
		if r.oracle != oracle {
			continue
		}
		if next, applies := r.undo(c, theirs); applies && !next.equal(theirs) {
			theirs = next
			used = append(used, r.difference)
		}
	}
	return used, c.ours.equal(theirs)
}

// foreign reads the resource of another implementation.
func foreign(t *testing.T, doc []byte) patchOutcome {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"schemas", "meta", "id"} {
		delete(object, name)
	}
	return patchOutcome{value: plainForm(fromAny(object))}
}

// fromAny also takes what our parser refuses: names that differ in case alone.
func fromAny(v any) Value {
	switch v := v.(type) {
	case bool:
		return Value{Kind: Bool, Bool: v}
	case string:
		return Value{Kind: String, Text: v}
	case json.Number:
		return Value{Kind: Number, Text: v.String()}
	case []any:
		list := Value{Kind: Array}
		for _, e := range v {
			list.Elems = append(list.Elems, fromAny(e))
		}
		return list
	case map[string]any:
		obj := Value{Kind: Object}
		for name, e := range v {
			obj.Members = append(obj.Members, Member{name, fromAny(e)})
		}
		return obj
	}
	return Value{}
}

// lift puts the attributes of the extension among the others, as the library has them.
func lift(resource map[string]any) {
	if ext, ok := resource[EnterpriseURN].(map[string]any); ok {
		for name, v := range ext {
			resource[EnterpriseURN+":"+name] = v
		}
		delete(resource, EnterpriseURN)
	}
}

// elimityPatch applies operations with the library that is written in Go.
func elimityPatch(t *testing.T, c *patchCase) patchOutcome {
	t.Helper()
	resource := toLibrary(t, c.user)
	lift(resource)
	var ops []scim.PatchOperation
	for _, o := range c.ops {
		op := scim.PatchOperation{Op: o.op}
		if o.path != "" {
			path, err := parser.ParsePath([]byte(o.path))
			if err != nil {
				return patchOutcome{refused: err.Error()}
			}
			op.Path = &path
		}
		if !o.noValue {
			op.Value = toLibrary(t, Value{Kind: Object, Members: []Member{{"v", o.value}}})["v"]
		}
		if object, ok := op.Value.(map[string]any); ok && o.path == "" {
			lift(object)
		}
		ops = append(ops, op)
	}
	patched, err := scim.ApplyPatch(resource, ops, libraryUser, libraryExtensions...)
	if err != nil {
		return patchOutcome{refused: err.Error()}
	}
	extension := map[string]any{}
	for name, v := range patched {
		if rest, ok := strings.CutPrefix(name, EnterpriseURN+":"); ok {
			extension[rest] = v
			delete(patched, name)
		}
	}
	patched[EnterpriseURN] = extension
	return patchOutcome{value: plainForm(fromLibrary(t, patched))}
}

func TestOraclePatch(t *testing.T) {
	notInShort(t)
	cases := make([]*patchCase, patchQuestions)
	var questions []oracleQuestion
	nodes := []string{"scim-patch", "scimmy"}
	for i := range cases {
		d := newDice(uint64(i))
		c := &patchCase{user: d.user(t)}
		c.ops = append(c.ops, d.op(c.user))
		for d.one(2) && c.ops[len(c.ops)-1].plain() { // one after another: what the first one leaves is what the next one finds
			c.ops = append(c.ops, d.plainOp(c.user))
		}
		c.ours = c.run(strictUserType, c.ops)
		cases[i] = c
		for _, lib := range nodes {
			questions = append(questions, oracleQuestion{Lib: lib, Kind: "patch", Resource: oracleResource(c.user, `"id":"1",`), Operations: json.RawMessage(c.body())})
		}
	}
	replies := ask(t, questions)
	found, refused, same := seen{}, 0, map[string]int{}
	unexplained, groups := 0, map[string]int{}
	for i, c := range cases {
		// The tolerant mode takes more, and what both take it takes in the same way.
		if tolerant := c.runIn(Mode{}, testUser, c.ops); c.ours.refused != "" {
			refused++
		} else if !tolerant.equal(c.ours) {
			t.Errorf("request %d\non       %s\npatch    %s\nstrict   %s\ntolerant %s", i, encode(c.user), c.body(), c.ours.beside(tolerant), tolerant.beside(c.ours))
		}
		answers := map[string]patchOutcome{"elimity": elimityPatch(t, c)}
		for j, lib := range nodes {
			if r := replies[i*len(nodes)+j]; r.Error != "" {
				answers[lib] = patchOutcome{refused: r.Error}
			} else {
				answers[lib] = foreign(t, r.Result)
			}
		}
		for lib, theirs := range answers {
			used, ok := c.explain(lib, theirs)
			if ok && used == nil {
				same[lib]++
			}
			for _, d := range used {
				if ok {
					found[d]++
				}
			}
			if !ok {
				unexplained++
				kind := lib + " " + c.shape() + outcomeKind(c.ours) + outcomeKind(theirs)
				if groups[kind]++; groups[kind] == 1 {
					t.Errorf("request %d of %s, after %v\non     %s\npatch  %s\nours   %s\ntheirs %s", i, lib, used, encode(c.user), c.body(), c.ours.beside(theirs), theirs.beside(c.ours))
				}
			}
		}
	}
	if unexplained > 0 {
		t.Errorf("%d differences without a name", unexplained)
		for kind, n := range groups {
			t.Errorf("%6d  %s", n, kind)
		}
	}
	t.Logf("%d requests, %d of them refused by us; the same without further ado: %v", len(cases), refused, same)
	var want []difference
	for _, r := range patchRules {
		want = append(want, r.difference)
	}
	found.check(t, want)
}
