package scim

import (
	"cmp"
	"slices"
	"strings"
)

// PatchLimits bound what one PATCH may ask for. Zero fields take the defaults.
type PatchLimits struct {
	Operations int
	Members    int // members of a group named in all operations together
	Looks      int // at members of a group by the filters of all operations together; the first filter may look at each
	PathLength int
	Filter     FilterLimits
}

// DefaultPatchLimits are the limits where nothing else is set. Microsoft's template sends an operation for each attribute
// that /Schemas has, in one PATCH.
var DefaultPatchLimits = PatchLimits{Operations: maxSteps, Members: 1000, Looks: 200_000, PathLength: 512, Filter: DefaultFilterLimits}

func (l PatchLimits) orDefaults() PatchLimits {
	return PatchLimits{
		Operations: cmp.Or(l.Operations, DefaultPatchLimits.Operations),
		Members:    cmp.Or(l.Members, DefaultPatchLimits.Members),
		Looks:      cmp.Or(l.Looks, DefaultPatchLimits.Looks),
		PathLength: cmp.Or(l.PathLength, DefaultPatchLimits.PathLength),
		Filter:     l.Filter.orDefaults(),
	}
}

// Patch is a PATCH request understood in full: every path resolved, every value checked and in
// its canonical form. What is left to do under the store's lock is cheap.
type Patch struct {
	rt       *ResourceType
	mode     Mode
	steps    []patchStep
	members  []MemberOp
	warnings []Warning
}

// MemberOpKind says what an operation does to the members of a group.
type MemberOpKind uint8

// The kinds of MemberOp.
const (
	addMembers     MemberOpKind = iota // Members join; those who are in stay
	removeMembers                      // Members leave; those who are not in are passed over
	replaceMembers                     // exactly Members remain
	clearMembers                       // nobody remains
	removeMatching                     // those for whom Filter holds leave; where Members names one, no other can match
)

// MemberOp is one change of who is in a group. Members are rows of their own and not part of the
// attributes, because clients change them one by one and in parallel.
type MemberOp struct {
	Kind    MemberOpKind
	Members []MemberRef
	Filter  *Filter
}

// memberOps returns the changes of members in the order in which they were sent.
func (p *Patch) memberOps() []MemberOp { return p.members }

type patchVerb uint8

const (
	patchAdd patchVerb = iota
	patchRemove
	patchReplace
)

// patchStep is one thing to do to one attribute. An operation with an object for a value becomes
// a step for each of its members.
type patchStep struct {
	op       int  // number of its operation
	shared   bool // another one of its operation writes there too
	verb     patchVerb
	path     patchPath
	unassign bool     // take away what path points at, whatever the verb was
	value    Value    // canonical; with patchRemove the elements that go
	drop     []string // sub-attributes that an object for an element names as empty
}

// writes reports whether the patch writes a core attribute of that name.
func (p *Patch) writes(name string) bool {
	return slices.ContainsFunc(p.steps, func(s patchStep) bool {
		return s.path.ref.attr != nil && s.path.ref.urn == "" && equalFold(s.path.ref.attr.Name, name)
	})
}

// parsePatch reads the body of a PATCH (RFC 7644 section 3.5.2) and all that clients send in its
// place. Nothing has happened when it fails.
func parsePatch(body Value, rt *ResourceType, mode Mode, lim PatchLimits) (*Patch, error) {
	lim = lim.orDefaults()
	if body.Kind != Object {
		return nil, invalidSyntax("A PATCH body must be a JSON object.")
	}
	if mode.Strict && !namesSchema(body, patchURN) {
		return nil, invalidSyntax("schemas must hold %s.", patchURN)
	}
	list, ok := body.Get("Operations")
	if list.Kind == Object && !mode.Strict {
		list = Value{Kind: Array, Elems: []Value{list}}
	}
	switch {
	case !ok || list.Kind != Array:
		return nil, invalidSyntax("Operations must be a list of operations.")
	case len(list.Elems) == 0 && mode.Strict:
		return nil, invalidSyntax("Operations must hold at least one operation.")
	case len(list.Elems) > lim.Operations:
		return nil, badRequest("tooMany", "A PATCH may have %d operations at most.", lim.Operations)
	}
	r := patchReader{
		lim:        lim,
		normalizer: normalizer{rt: rt, mode: mode, patch: true},
		steps:      make([]patchStep, 0, len(list.Elems)),
	}
	for i, op := range list.Elems {
		first, members := len(r.steps), len(r.memberOps)
		if err := r.operation(op); err != nil {
			return nil, err
		}
		if err := agreeOnMembers(r.memberOps[members:]); err != nil {
			return nil, err
		}
		steps := r.steps[first:]
		for j := range steps {
			steps[j].op = i
		}
		slices.SortStableFunc(steps, managerFirst)
		findShared(steps)
	}
	return &Patch{rt: rt, mode: mode, steps: r.steps, members: r.memberOps, warnings: r.warnings}, nil
}

// namesSchema reports whether the schemas of a message hold a URN.
func namesSchema(body Value, urn string) bool {
	list, _ := body.Get("schemas")
	return slices.ContainsFunc(list.Elems, func(e Value) bool { return e.Kind == String && equalFold(e.Text, urn) })
}

// Limits of the work that one patch may cause under the store's lock: each step may look at each
// element of an attribute, and does so once for each comparison of its filter or value to remove.
const (
	maxSteps     = 500
	maxShared    = 200_000 // values that are compared for the names of objects that are about what another name is about
	maxRemovals  = maxElements
	maxPathTerms = 10
	maxLooks     = 20_000 // comparisons with values of lists: each folds its text, which may be long
	maxScans     = 20     // filters of members that look at each one; the usual filter names one by its id and does not
)

// patchReader turns operations into steps.
type patchReader struct {
	normalizer
	lim       PatchLimits
	steps     []patchStep
	memberOps []MemberOp
	refs      int // members named so far
	removals  int // values to remove from lists so far
	scans     int // filters that look at each member so far
}

// add appends a step.
func (r *patchReader) add(s patchStep) error {
	if len(r.steps) == maxSteps {
		return badRequest("tooMany", "A PATCH may change %d attributes at most.", maxSteps)
	}
	r.steps = append(r.steps, s)
	return nil
}

func (r *patchReader) operation(op Value) error {
	if op.Kind != Object {
		return invalidSyntax("An operation must be a JSON object.")
	}
	word, _ := op.Get("op")
	verb, ok := parseVerb(word, r.mode.Strict)
	if !ok {
		return invalidSyntax("op must be add, remove or replace.")
	}
	path, _ := op.Get("path")
	path.Text = strings.TrimSpace(path.Text)
	value, hasValue := op.Get("value")
	switch {
	case path.Kind != String && path.Kind != Null:
		return invalidPath("path must be a string.")
	case !hasValue && verb != patchRemove:
		return invalidSyntax("%s needs a value.", word.Text)
	case path.Kind == Null || path.Text == "" && !r.mode.Strict:
		if verb == patchRemove {
			return badRequest("noTarget", "remove needs a path.")
		}
		return r.objects(verb, value)
	}
	target, err := parsePath(path.Text, r.rt, r.lim)
	if err != nil {
		return err
	}
	return r.target(verb, target, path.Text, value, true)
}

func parseVerb(v Value, strict bool) (patchVerb, bool) {
	for verb, name := range [...]string{patchAdd: "add", patchRemove: "remove", patchReplace: "replace"} {
		if v.Kind == String && (v.Text == name || !strict && equalFold(v.Text, name)) {
			return patchVerb(verb), true
		}
	}
	return 0, false
}

// objects reads a value without path: an object, or in tolerant mode a list of them.
func (r *patchReader) objects(verb patchVerb, value Value) error {
	if value.Kind != Array || len(value.Elems) == 0 || r.mode.Strict {
		return r.object(verb, value)
	}
	for _, e := range value.Elems {
		if err := r.object(verb, e); err != nil {
			return err
		}
	}
	return nil
}

// object reads an object without path: each of its names is a path of its own. Names that mean
// nothing are passed over, so that they never keep the rest, above all active, from happening.
func (r *patchReader) object(verb patchVerb, value Value) error {
	if value.Kind != Object {
		return invalidValue("An operation without path needs an object for a value.")
	}
	for _, m := range value.Members {
		path, err := parsePath(m.Name, r.rt, r.lim)
		if err != nil {
			if r.rt.decides(m.Name) {
				return err
			}
			path = patchPath{unknown: true}
		}
		if r.mode.Strict && (path.ref.sub != nil || path.filter != nil || path.ref.urn != "" && path.ref.attr != nil) {
			return invalidPath("%q is not the name of an attribute.", clip(m.Name))
		}
		if err := r.target(verb, path, m.Name, m.Value, false); err != nil {
			return err
		}
	}
	return nil
}

// target decides what a path means. name is how the client wrote it; explicit says that it stood
// in path, where no client points by accident at what it must not write.
func (r *patchReader) target(verb patchVerb, path patchPath, name string, value Value, explicit bool) error {
	if r.mode.Strict && path.ref.urn != "" && !underURN(name, path.ref.urn) {
		path = patchPath{unknown: true} // only clients of old leave the URN out
	}
	switch attr := path.ref.attr; {
	case path.ignored:
		return nil
	case path.unknown:
		if r.mode.Strict {
			return invalidPath("%q is not an attribute of %s.", clip(name), r.rt.Name)
		}
		if r.rt.hides(name, value) {
			return invalidPath("%q names nothing, and holds what must not be passed over.", clip(name))
		}
		r.warn(name, "unknown attribute")
		return nil
	case path.whole && verb == patchRemove:
		return badRequest("noTarget", "remove needs an attribute.")
	case path.whole:
		return r.objects(verb, value)
	case attr == attrMembers:
		return r.member(verb, path, name, value)
	case attr == attrSchemas && r.mode.Strict && verb == patchRemove && path.filter == nil:
		return mutability("schemas is required.")
	case attr == attrSchemas: // which clients may write (RFC 7644 section 3.5.2)
		r.warn(name, "schemas follows from the attributes")
		return nil
	case r.readOnly(path.ref):
		if explicit || r.mode.Strict {
			return mutability("%s is read-only.", clip(name))
		}
		r.warn(name, "read-only attribute")
		return nil
	case attr == nil:
		return r.extensionStep(verb, path, value)
	}
	return r.attributeStep(verb, path, value)
}

func (r *patchReader) readOnly(ref attrRef) bool {
	if ref.attr != nil {
		return ref.readOnly()
	}
	ext := r.rt.extension(ref.urn)
	return !slices.ContainsFunc(ext.Attributes, func(a *Attribute) bool { return a.Mutability != "readOnly" })
}

// extensionStep reads an operation on a whole extension: its attributes one by one, or its end.
func (r *patchReader) extensionStep(verb patchVerb, path patchPath, value Value) error {
	if verb == patchRemove || r.unassigns(nil, value) {
		return r.add(patchStep{verb: verb, path: path, unassign: true})
	}
	if value.Kind != Object {
		return invalidValue("%s must be an object.", path.ref.urn)
	}
	for _, m := range value.Members {
		name := path.ref.urn + ":" + m.Name
		inner, err := parsePath(name, r.rt, r.lim)
		if err != nil || inner.ref.attr == nil || inner.ref.urn != path.ref.urn {
			inner = patchPath{unknown: true}
		}
		if err := r.target(verb, inner, name, m.Value, false); err != nil {
			return err
		}
	}
	return nil
}

// attributeStep reads an operation on an attribute, elements of it or a sub-attribute.
func (r *patchReader) attributeStep(verb patchVerb, path patchPath, value Value) error {
	ref := path.ref
	a := ref.target()
	// One value is meant where the path does not end at a list.
	list := a.MultiValued && (path.filter == nil || ref.sub != nil)
	if value.Kind == Array && !list && len(value.Elems) == 1 && !r.mode.Strict {
		value = value.Elems[0]
	}
	step := patchStep{verb: verb, path: path}
	switch {
	case verb == patchRemove && list && ref.sub == nil && value.Kind != Null:
		return r.removeStep(step, value)
	case verb == patchAdd && (list && r.unassigns(a, value) || a.MultiValued && value.Kind == Array && len(value.Elems) == 0):
		return nil // nothing to add; only replace and remove empty a list
	case (verb == patchRemove || r.unassigns(a, value)) && a == attrActive:
		// No value would mean the default, and that would bring back whoever was disabled.
		if r.mode.Strict {
			return invalidValue("active cannot be unassigned.")
		}
		r.warn(ref.path(), "active cannot be unassigned")
		return nil
	case verb == patchRemove || r.unassigns(a, value):
		step.unassign = true
	case list:
		v, ok, err := r.list(ref, value)
		if err != nil || !ok && verb == patchAdd {
			return err
		}
		step.value, step.unassign = v, !ok
	case a.MultiValued:
		return r.elementStep(step, value)
	case a.Type == TypeComplex && a != attrManager:
		return r.complexStep(verb, path, value)
	default:
		v, ok, err := r.attribute(ref, value)
		if err != nil || !ok {
			return err
		}
		step.value = v
	}
	return r.add(step)
}

// unassigns reports whether a value says that a shall have none; nil is an extension. In strict mode an empty string says
// so only where a string may stand. Of a complex attribute with a part value an object speaks of this part, and of those
// beside it: only a manager is nobody without it.
func (r *patchReader) unassigns(a *Attribute, v Value) bool {
	single := a != nil && !a.MultiValued
	if r.mode.Strict && v.Kind == String && !(single && textual(a)) {
		return false
	}
	if v.Kind == Object {
		inner, says := v.Get("value")
		switch {
		case a == attrManager:
			return says && inner.empty()
		case r.mode.Strict, single && find(a.Sub, "value") != nil:
			return false
		}
	}
	return unassigns(v)
}

// unassigns reports whether a value says that there shall be none: null, "", an empty list, or a
// value object whose value is empty.
func unassigns(v Value) bool {
	switch v.Kind {
	case Null:
		return true
	case String:
		return v.Text == ""
	case Array:
		return len(v.Elems) == 0
	case Object:
		inner, ok := v.Get("value")
		return ok && inner.empty() && !slices.ContainsFunc(v.Members, func(m Member) bool { return !label(m.Name) && !m.Value.empty() })
	}
	return false
}

// removeStep reads the removal of some elements of a list. A list of which nothing is understood
// must not read as no list, which would remove all.
func (r *patchReader) removeStep(step patchStep, value Value) error {
	v, ok, err := r.list(step.path.ref, value)
	switch {
	case err != nil:
		return err
	case ok:
		if r.removals += len(v.Elems); r.removals > maxRemovals {
			return badRequest("tooMany", "A PATCH may name %d values to remove at most.", maxRemovals)
		}
		step.value = v
		return r.add(step)
	case value.Kind != Array || len(value.Elems) > 0:
		return invalidValue("The value to remove from %s names no value.", step.path.ref.path())
	}
	return nil
}

// elementStep reads a value for the elements that a filter finds.
func (r *patchReader) elementStep(step patchStep, value Value) error {
	ref := step.path.ref
	if ref.attr.Type != TypeComplex {
		v, ok, err := r.scalar(ref, r.unwrap(value))
		if err != nil || !ok {
			return err
		}
		step.value = v
		return r.add(step)
	}
	v, _, err := r.complex(ref, value)
	if err != nil {
		return err
	}
	step.value = Value{Kind: Object, Members: v.Members}
	for _, m := range value.Members {
		if sub := find(ref.attr.Sub, m.Name); sub != nil && sub.Mutability != "readOnly" && m.Value.empty() {
			step.drop = append(step.drop, sub.Name)
		}
	}
	return r.add(step)
}

// complexStep reads an object for a single complex attribute: its parts one by one, so that those
// which it does not name stay (RFC 7644 section 3.5.2.3).
func (r *patchReader) complexStep(verb patchVerb, path patchPath, value Value) error {
	if value.Kind != Object {
		v, ok, err := r.complex(path.ref, value)
		if err != nil || !ok {
			return err
		}
		value = v
	}
	for _, m := range value.Members {
		inner := patchPath{ref: path.ref.of(find(path.ref.attr.Sub, m.Name))}
		if inner.ref.sub == nil {
			inner.unknown = true
		}
		if err := r.target(verb, inner, path.ref.path()+"."+m.Name, m.Value, false); err != nil {
			return err
		}
	}
	return nil
}

// member reads an operation on the members of a group. Here a shape that is not understood is an
// error: passed over, it would leave somebody in who should be out.
func (r *patchReader) member(verb patchVerb, path patchPath, name string, value Value) error {
	sub := path.ref.sub
	switch {
	case sub != nil && r.mode.Strict:
		return mutability("%s cannot change; add and remove members.", clip(name))
	case sub != nil && sub.Name != "value":
		r.warn(name, "the server writes it")
		return nil
	case path.filter != nil:
		if verb != patchRemove && !r.unassigns(attrMembers, value) {
			return mutability("A member cannot become another one; add and remove members.")
		}
		return r.memberFilter(path)
	case sub != nil:
		return invalidPath("%s does not say which member.", clip(name))
	}
	op := MemberOp{Kind: addMembers}
	switch {
	case verb == patchRemove && value.Kind == Null:
		r.memberOps = append(r.memberOps, MemberOp{Kind: clearMembers})
		return nil
	case verb == patchReplace && (value.Kind == Null || value.Kind == String && value.Text == "" && !r.mode.Strict):
		r.memberOps = append(r.memberOps, MemberOp{Kind: clearMembers})
		return nil
	case verb == patchAdd && (value.Kind == Null || value.Kind == String && value.Text == "" && !r.mode.Strict):
		return nil
	case verb == patchRemove:
		op.Kind = removeMembers
	case verb == patchReplace:
		op.Kind = replaceMembers
	}
	if value.Kind != Array {
		value = Value{Kind: Array, Elems: []Value{value}}
	}
	if err := r.count(len(value.Elems)); err != nil {
		return err
	}
	if r.mode.Strict {
		if err := r.memberShapes(value); err != nil {
			return err
		}
	}
	refs, err := memberList(value, r.mode)
	switch {
	case err != nil:
		return err
	case len(refs) > 0:
		op.Members = refs
	case verb == patchReplace:
		op.Kind = clearMembers
	default: // nobody joins, and nobody leaves: an empty list is not "all"
		return nil
	}
	r.memberOps = append(r.memberOps, op)
	return nil
}

// count adds to the members that the request names.
func (r *patchReader) count(n int) error {
	if r.refs += n; r.refs > r.lim.Members {
		return badRequest("tooMany", "A PATCH may name %d members at most.", r.lim.Members)
	}
	return nil
}

var errScans = badRequest("tooMany", "A PATCH may look through the members %d times at most, and fewer times where they are many: name them by value.", maxScans)

// memberFilter reads the removal of members[filter]: the usual form names one member by its id.
func (r *patchReader) memberFilter(path patchPath) error {
	if path.created && len(path.element.Members) == 1 && path.element.Members[0].Name == "value" {
		ref, err := memberRef(path.element, r.mode)
		if err != nil {
			return err
		}
		r.memberOps = append(r.memberOps, MemberOp{Kind: removeMembers, Members: []MemberRef{ref}})
		return r.count(1)
	}
	if id, ok := path.filter.requires(path.filter.root, attrMemberID); ok {
		r.memberOps = append(r.memberOps, MemberOp{Kind: removeMatching, Members: []MemberRef{{Value: id}}, Filter: path.filter})
		return r.count(1)
	}
	if r.scans++; r.scans > maxScans {
		return errScans
	}
	r.memberOps = append(r.memberOps, MemberOp{Kind: removeMatching, Filter: path.filter})
	return nil
}

// agreeOnMembers refuses an operation that says two things of who is in a group: the order of its names would decide.
func agreeOnMembers(ops []MemberOp) error {
	leave := func(op MemberOp) bool { return op.Kind == removeMembers || op.Kind == removeMatching }
	for i := 1; i < len(ops); i++ {
		a, b := ops[0], ops[i]
		switch {
		case leave(a) && leave(b), a.Kind == addMembers && b.Kind == addMembers:
		case a.Kind != b.Kind || !slices.Equal(a.Members, b.Members):
			return twoThings(attrRef{attr: attrMembers})
		}
	}
	return nil
}

func twoThings(ref attrRef) error {
	return invalidValue("An operation says two different things of %s.", ref.path())
}

// apply carries out the patch on canonical attributes, all of it or nothing, and returns canonical
// ones: equal encodings mean that nothing changed. attrs itself stays as it is.
func (p *Patch) apply(attrs Value) (next Value, warnings []Warning, err error) {
	run := patchRun{rt: p.rt, strict: p.mode.Strict, steps: p.steps, next: attrs}
	for steps := p.steps; len(steps) > 0; {
		n := 1
		for n < len(steps) && steps[n].op == steps[0].op {
			n++
		}
		if err := run.operation(steps[:n]); err != nil {
			return Value{}, nil, err
		}
		steps = steps[n:]
	}
	if err := run.finish(attrs); err != nil {
		return Value{}, nil, err
	}
	return run.next, p.warnings, nil
}

// patchRun is a patch at work.
type patchRun struct {
	rt      *ResourceType
	strict  bool
	steps   []patchStep
	next    Value
	touched []attrRef // attributes that were written, each once
	shared  int       // values compared so far for steps that are shared
	looks   int       // comparisons with values of lists so far
}

// operation carries out the steps of one operation. The names of an object have no order (RFC 8259 section 4): where two of
// them are about one place, what each says must hold when both have been carried out, and nothing may depend on which came first.
func (r *patchRun) operation(steps []patchStep) error {
	before := r.next
	if err := r.all(steps); err != nil {
		return err
	}
	if !slices.ContainsFunc(steps, isShared) {
		return nil
	}
	shared := slices.DeleteFunc(slices.Clone(steps), func(s patchStep) bool { return !isShared(s) })
	after := r.next
	if r.shared += len(shared) * weight(after); r.shared > maxShared {
		return badRequest("tooMany", "Too many names in the objects of a PATCH are about what another name is about: send operations with a path.")
	}
	if err := r.hold(shared); err != nil {
		return err
	}
	r.next = before
	slices.Reverse(shared)
	slices.SortStableFunc(shared, managerFirst)
	if err := r.all(shared); err != nil {
		return err
	}
	if err := r.hold(shared); err != nil {
		return err
	}
	for i := range shared {
		ref := shared[i].path.ref
		seen := slices.ContainsFunc(shared[:i], func(s patchStep) bool { return s.path.ref.urn == ref.urn && s.path.ref.attr == ref.attr })
		if !seen && !sameInAnyOrder(r.left(after, ref), r.left(r.next, ref)) {
			return twoThings(ref)
		}
	}
	r.next = after
	return nil
}

func (r *patchRun) all(steps []patchStep) error {
	for i := range steps {
		if err := r.step(&steps[i]); err != nil {
			return err
		}
	}
	return nil
}

// hold refuses steps that were carried out when one of them would change something if it came again.
func (r *patchRun) hold(steps []patchStep) error {
	done := r.next
	for i := range steps {
		s := &steps[i]
		if r.looks > maxLooks {
			return errLooks
		}
		err := r.step(s)
		again := r.next
		r.next = done
		if err != nil || !equalValue(done, again) && !equalValue(r.left(done, s.path.ref), r.left(again, s.path.ref)) {
			return twoThings(s.path.ref)
		}
	}
	return nil
}

// left returns an attribute, or the extension that ref names, as finish leaves it, but for values without content: what is
// said of them counts too. Which value is primary counts in strict mode alone: clients send an object that has it of each.
func (r *patchRun) left(v Value, ref attrRef) Value {
	if ref.attr == nil {
		v, _ = v.Get(ref.urn)
		return v
	}
	v, _ = r.get(v, ref)
	if _, has := v.Get("value"); ref.attr == attrManager && !has {
		return Value{}
	}
	if ref.attr.MultiValued {
		r.looks += len(v.Elems)
		content := func(e Value) bool { return !hollow(ref.attr, e) }
		v.Elems = append(tidy(ref.attr, slices.Clone(v.Elems), true), slices.DeleteFunc(slices.Clone(v.Elems), content)...)
		for i := range v.Elems {
			if !r.strict {
				v.Elems[i] = dropMember(v.Elems[i], "primary")
			}
		}
	}
	return v
}

// sameInAnyOrder compares canonical values, of a list its elements as a set.
func sameInAnyOrder(x, y Value) bool {
	if x.Kind != Array || y.Kind != Array {
		return equalValue(x, y)
	}
	return len(x.Elems) == len(y.Elems) && !slices.ContainsFunc(x.Elems, func(e Value) bool {
		return !slices.ContainsFunc(y.Elems, func(o Value) bool { return equalValue(e, o) })
	})
}

// weight counts the values within a value.
func weight(v Value) int {
	n := 1
	for _, e := range v.Elems {
		n += weight(e)
	}
	for _, m := range v.Members {
		n += weight(m.Value)
	}
	return n
}

// findShared marks the steps of an operation that write where another one of them does.
func findShared(steps []patchStep) {
	for i := range steps {
		x := steps[i].path.ref
		for j := range steps {
			y := steps[j].path.ref
			if i != j && x.urn == y.urn && (x.attr == nil || y.attr == nil ||
				x.attr == y.attr && (x.attr.MultiValued || x.sub == nil || y.sub == nil || x.sub == y.sub)) {
				steps[i].shared = true
				break
			}
		}
	}
}

func isShared(s patchStep) bool { return s.shared }

// managerFirst orders who the manager is before what else is known of them: with another manager that is gone.
func managerFirst(a, b patchStep) int {
	rank := func(s patchStep) int {
		if ref := s.path.ref; ref.attr == attrManager && (ref.sub == nil || ref.sub.Name == "value") {
			return 0
		}
		return 1
	}
	return rank(a) - rank(b)
}

var errLooks = badRequest("tooMany", "A PATCH may compare %d values of lists at most: use fewer filters.", maxLooks)

func (r *patchRun) step(s *patchStep) error {
	ref := s.path.ref
	if s.path.filter != nil && ref.attr.MultiValued {
		old, _ := r.get(r.next, ref)
		r.looks += len(old.Elems) * len(s.path.filter.nodes)
	}
	if r.looks > maxLooks {
		return errLooks
	}
	if ref.attr == nil {
		for _, a := range r.rt.extension(ref.urn).Attributes {
			r.touch(attrRef{urn: ref.urn, attr: a})
		}
		r.next = dropMember(r.next, ref.urn)
		return nil
	}
	r.touch(attrRef{urn: ref.urn, attr: ref.attr})
	old, _ := r.get(r.next, ref)
	v, err := old, error(nil)
	if ref.attr.MultiValued {
		v.Elems, err = r.elements(s, old.Elems)
		v.Kind = Array
	} else {
		v = single(s, old)
	}
	if err != nil {
		return err
	}
	r.set(ref, v)
	return nil
}

func (r *patchRun) touch(ref attrRef) {
	if !slices.Contains(r.touched, ref) {
		r.touched = append(r.touched, ref)
	}
}

// get returns an attribute of a resource.
func (r *patchRun) get(v Value, ref attrRef) (Value, bool) {
	if ref.urn != "" {
		v, _ = v.Get(ref.urn)
	}
	return v.Get(ref.attr.Name)
}

// set writes an attribute; an empty value takes it away, and with the last attribute goes the
// extension.
func (r *patchRun) set(ref attrRef, v Value) {
	put := func(attrs []*Attribute, obj Value) Value {
		if v.Kind == Null || v.Kind == Array && len(v.Elems) == 0 || v.Kind == Object && len(v.Members) == 0 {
			return dropMember(obj, ref.attr.Name)
		}
		return setMember(attrs, obj, ref.attr.Name, v)
	}
	if ref.urn == "" {
		r.next = put(r.rt.Core.Attributes, r.next)
		return
	}
	old, _ := r.next.Get(ref.urn)
	obj := put(r.rt.extension(ref.urn).Attributes, old)
	if len(obj.Members) == 0 {
		r.next = dropMember(r.next, ref.urn)
		return
	}
	r.next = r.rt.setExtension(r.next, ref.urn, obj)
}

// setExtension returns a resource with the object of an extension at its place: behind the core attributes, in the
// order of the resource type. v stays as it is.
func (rt *ResourceType) setExtension(v Value, urn string, obj Value) Value {
	members := make([]Member, 0, len(v.Members)+1)
	members = append(members, v.Members...)
	at := len(members)
	for i := len(rt.Extensions) - 1; i >= 0; i-- {
		ext := rt.Extensions[i].ID
		for j := range members {
			if members[j].Name != ext {
				continue
			}
			if ext == urn {
				members[j].Value = obj
				return Value{Kind: Object, Members: members}
			}
			at = j
		}
		if ext == urn {
			break
		}
	}
	return Value{Kind: Object, Members: slices.Insert(members, at, Member{Name: urn, Value: obj})}
}

// single carries out a step on an attribute with one value and returns the new one, Null for none.
func single(s *patchStep, old Value) Value {
	a, sub := s.path.ref.attr, s.path.ref.sub
	if s.unassign {
		switch {
		case s.path.filter != nil && !s.path.filter.matchElement(old):
			return old
		case sub == nil || a == attrManager && sub.Name == "value":
			return Value{}
		}
		return dropMember(old, sub.Name)
	}
	if sub == nil && a != attrManager {
		return s.value
	}
	// What else is known about a manager belongs to the one it was about.
	id, says := s.value, sub != nil && sub.Name == "value"
	if sub == nil {
		id, says = s.value.Get("value")
	}
	if now, had := old.Get("value"); a == attrManager && says && had && !equalValue(now, id) {
		old = Value{}
	}
	if sub == nil {
		return mergeObject(a.Sub, old, s.value)
	}
	return setSub(a, old, sub, s.value, s.verb)
}

// mergeObject returns base with the members of extra set.
func mergeObject(attrs []*Attribute, base, extra Value) Value {
	for _, m := range extra.Members {
		base = setMember(attrs, base, m.Name, m.Value)
	}
	return base
}

// setSub sets a sub-attribute; a list grows by what is added.
func setSub(a *Attribute, obj Value, sub *Attribute, v Value, verb patchVerb) Value {
	if old, ok := obj.Get(sub.Name); ok && sub.MultiValued && verb == patchAdd {
		v = Value{Kind: Array, Elems: tidy(sub, slices.Concat(old.Elems, v.Elems), true)}
	}
	return setMember(a.Sub, obj, sub.Name, v)
}

// elements carries out a step on a multi-valued attribute. The result is not shared.
func (r *patchRun) elements(s *patchStep, old []Value) ([]Value, error) {
	list := slices.Clone(old)
	switch {
	case s.path.filter != nil:
		return r.matching(s, list)
	case s.path.ref.sub != nil:
		return r.preferred(s, list)
	case s.unassign:
		return nil, nil
	case s.verb == patchRemove:
		a := s.path.ref.attr
		leave := make([]Value, len(s.value.Elems))
		for i, e := range s.value.Elems {
			leave[i] = foldedElement(a, e)
		}
		return slices.DeleteFunc(list, func(e Value) bool {
			e = foldedElement(a, e)
			return slices.ContainsFunc(leave, func(gone Value) bool { return covers(e, gone) })
		}), nil
	case s.verb == patchReplace:
		return slices.Clone(s.value.Elems), nil
	}
	list = append(list, s.value.Elems...)
	if len(list) > maxElements {
		return nil, invalidValue("%s may hold %d values at most.", s.path.ref.path(), maxElements)
	}
	// A primary value that is there already takes primary from none; finish makes one of the two.
	if i := slices.IndexFunc(s.value.Elems, isPrimary); i >= 0 && !slices.ContainsFunc(old, func(e Value) bool { return equalValue(e, s.value.Elems[i]) }) {
		list = onePrimary(list, true)
	}
	return list, nil
}

// covers reports whether element e is the one that a removal names, both folded: it has all that gone says, or, where both
// have a value, this and the type if one is given.
func covers(e, gone Value) bool {
	if gone.Kind != Object {
		return equalValue(e, gone)
	}
	_, byValue := gone.Get("value")
	for _, m := range gone.Members {
		if byValue && !equalFold(m.Name, "value") && !equalFold(m.Name, "type") {
			continue
		}
		have, ok := e.Get(m.Name)
		if !ok && m.Name == "primary" { // who does not say is not
			have = Value{Kind: Bool}
		}
		if !equalValue(have, m.Value) {
			return false
		}
	}
	return true
}

// foldedElement returns a canonical element in a form that those have in common which a filter finds equal.
func foldedElement(a *Attribute, e Value) Value {
	if e.Kind != Object {
		return folded(a, e)
	}
	members := slices.Clone(e.Members)
	for i, m := range members {
		if sub := find(a.Sub, m.Name); sub != nil { // else it was kept by an older schema
			members[i].Value = folded(sub, m.Value)
		}
	}
	return Value{Kind: Object, Members: members}
}

// sameValue compares two canonical values of an attribute as a filter would.
func sameValue(a *Attribute, x, y Value) bool {
	return equalValue(folded(a, x), folded(a, y))
}

// matching carries out a step on the elements that its filter finds, and creates the one that it
// asks for where none is found: clients set values this way without knowing what is there.
func (r *patchRun) matching(s *patchStep, list []Value) ([]Value, error) {
	ref := s.path.ref
	if s.unassign && ref.sub == nil {
		return slices.DeleteFunc(list, s.path.filter.matchElement), nil
	}
	last := -1
	for i := range list {
		if !s.path.filter.matchElement(list[i]) {
			continue
		}
		last = i
		var err error
		if list[i], err = r.changed(s, list[i]); err != nil {
			return nil, err
		}
	}
	if last < 0 {
		switch {
		case s.unassign:
			return list, nil
		case !s.path.created || r.strict && s.verb == patchReplace:
			return nil, badRequest("noTarget", "No value of %s matches the path.", ref.attr.Name)
		case len(list) == maxElements:
			return nil, invalidValue("%s may hold %d values at most.", ref.path(), maxElements)
		}
		last = len(list)
		list = append(list, change(s, s.path.element))
	}
	return promote(list, last), nil
}

// promote makes the element at i the only primary one if it is primary.
func promote(list []Value, i int) []Value {
	if !isPrimary(list[i]) {
		return list
	}
	return demote(list, func(j int) bool { return j == i })
}

// changed returns an element that was there as a step leaves it.
func (r *patchRun) changed(s *patchStep, e Value) (next Value, err error) {
	ref := s.path.ref
	if s.unassign {
		next = dropMember(e, ref.sub.Name)
		if ref.sub.Required && len(next.Members) < len(e.Members) {
			return Value{}, r.missing(ref)
		}
	} else {
		next = change(s, e)
	}
	ref.sub = nil
	return next, unchanged(ref, ref.attr.Sub, e, next)
}

// change returns element e with what a step sets.
func change(s *patchStep, e Value) Value {
	a := s.path.ref.attr
	if sub := s.path.ref.sub; sub != nil {
		return setSub(a, e, sub, s.value, s.verb)
	}
	if s.value.Kind != Object {
		return s.value
	}
	for _, name := range s.drop {
		e = dropMember(e, name)
	}
	return mergeObject(a.Sub, e, s.value)
}

// preferred carries out a step on attr.sub without a filter. A value goes to the element that
// stands for the attribute: the primary one, or the first, or a new one. Without a value all lose
// theirs; one at a time would take another one with each repetition.
func (r *patchRun) preferred(s *patchStep, list []Value) (_ []Value, err error) {
	if s.unassign {
		for i := range list {
			if list[i], err = r.changed(s, list[i]); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	if len(list) == 0 {
		e := Value{Kind: Object}
		if t := find(s.path.ref.attr.Sub, "type"); t != nil && slices.Contains(t.CanonicalValues, "work") {
			e = setMember(s.path.ref.attr.Sub, e, t.Name, Value{Kind: String, Text: "work"})
		}
		list = append(list, e)
	}
	i := max(0, slices.IndexFunc(list, isPrimary))
	if list[i], err = r.changed(s, list[i]); err != nil {
		return nil, err
	}
	return promote(list, i), nil
}

// finish brings what was written into canonical form and checks what only the whole can tell.
// Elements without content go last: their type may be set before their value.
func (r *patchRun) finish(before Value) error {
	for _, ref := range r.touched {
		v, ok := r.get(r.next, ref)
		if !ok {
			if _, had := r.get(before, ref); had && ref.attr.Required && !r.dropped(ref.urn) {
				return r.missing(ref)
			}
			continue
		}
		if _, has := v.Get("value"); ref.attr == attrManager && !has { // a part of nobody
			r.set(ref, Value{})
			continue
		}
		if ref.attr.MultiValued {
			old, _ := r.get(before, ref)
			v.Elems = r.settlePrimary(ref.attr, v.Elems, old.Elems) // the list is ours: elements made it
			r.set(ref, v)
		}
		if old, _ := r.get(before, ref); !equalValue(old, v) {
			if gap, found := incomplete(ref, v); found {
				return r.missing(gap)
			}
		}
	}
	if gap, found := r.rt.lacks(before, r.next); found {
		return r.missing(gap)
	}
	if err := r.rt.checkNames(before, r.next); err != nil {
		return err
	}
	return r.rt.checkImmutable(before, r.next)
}

// settlePrimary tidies a list. An element that got primary, and nothing that would keep it, took it from another one, which
// has it again, unless the patch says itself that something is not primary.
func (r *patchRun) settlePrimary(a *Attribute, list, before []Value) []Value {
	had := slices.IndexFunc(before, isPrimary)
	lost := had >= 0 && slices.ContainsFunc(list, func(e Value) bool { return isPrimary(e) && hollow(a, e) }) &&
		!slices.ContainsFunc(r.steps, func(s patchStep) bool {
			ref := s.path.ref
			return ref.attr == a && ref.sub != nil && ref.sub.Name == "primary" && !s.value.Bool
		})
	list = tidy(a, list, true)
	for i := range list {
		if lost && sameElement(a, dropMember(list[i], "primary"), dropMember(before[had], "primary")) {
			list[i] = setMember(a.Sub, list[i], "primary", Value{Kind: Bool, Bool: true})
		}
	}
	return list
}

// dropped reports whether the patch takes an extension away as a whole.
func (r *patchRun) dropped(urn string) bool {
	return slices.ContainsFunc(r.steps, func(s patchStep) bool { return s.unassign && s.path.ref.attr == nil && s.path.ref.urn == urn })
}

// missing is the error for a required attribute that would be without a value. RFC 7644 section 3.5.2.2 has another word
// for it where the attribute was removed; clients that are answered in tolerant mode know one.
func (r *patchRun) missing(ref attrRef) error {
	removed := slices.ContainsFunc(r.steps, func(s patchStep) bool {
		at := s.path.ref
		return s.verb == patchRemove && at.urn == ref.urn && at.attr == ref.attr && (at.sub == nil || at.sub == ref.sub)
	})
	if r.strict && removed {
		return mutability("%s is required.", ref.path())
	}
	return invalidValue("%s is required.", ref.path())
}

// incomplete finds a sub-attribute that values of a complex attribute need and one does not have.
func incomplete(ref attrRef, v Value) (attrRef, bool) {
	for _, sub := range ref.attr.Sub {
		if !sub.Required || sub.Mutability == "readOnly" {
			continue
		}
		list := v.Elems
		if v.Kind != Array {
			list = []Value{v}
		}
		for i := range list {
			if _, ok := list[i].Get(sub.Name); !ok {
				return ref.of(sub), true
			}
		}
	}
	return attrRef{}, false
}

// lacks finds a required attribute that a change takes away, or that an extension comes without. What was missing before
// may stay missing: a schema that became stricter must not keep a user from being disabled.
func (rt *ResourceType) lacks(before, after Value) (attrRef, bool) {
	check := func(urn string, attrs []*Attribute, before, after Value) (attrRef, bool) {
		for _, a := range attrs {
			if !a.Required || a.Mutability == "readOnly" {
				continue
			}
			_, had := before.Get(a.Name)
			if _, has := after.Get(a.Name); !has && (had || before.Kind == Null) {
				return attrRef{urn: urn, attr: a}, true
			}
		}
		return attrRef{}, false
	}
	if gap, found := check("", rt.Core.Attributes, before, after); found {
		return gap, true
	}
	for _, ext := range rt.Extensions {
		if now, ok := after.Get(ext.ID); ok {
			was, _ := before.Get(ext.ID)
			if gap, found := check(ext.ID, ext.Attributes, was, now); found {
				return gap, true
			}
		}
	}
	return attrRef{}, false
}

// checkImmutable refuses a change of an attribute that may be set once only (RFC 7643 section
// 2.2); both values are canonical. Of elements of a list it says nothing: they come and go, and a
// PATCH that changes one asks unchanged.
func (rt *ResourceType) checkImmutable(before, after Value) error {
	for _, ext := range rt.Extensions {
		was, _ := before.Get(ext.ID)
		now, _ := after.Get(ext.ID)
		if err := unchanged(attrRef{urn: ext.ID}, ext.Attributes, was, now); err != nil {
			return err
		}
	}
	return nil
}

// unchanged refuses an object that differs from what it was in an immutable member.
func unchanged(ref attrRef, attrs []*Attribute, before, after Value) error {
	for _, a := range attrs {
		single := a.Type == TypeComplex && !a.MultiValued
		if a.Mutability != "immutable" && !single {
			continue
		}
		old, had := before.Get(a.Name)
		if !had {
			continue
		}
		now, _ := after.Get(a.Name)
		if a.Mutability == "immutable" && !equalValue(old, now) {
			return mutability("%s cannot change.", ref.of(a).path())
		}
		if single {
			if err := unchanged(ref.of(a), a.Sub, old, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle returns what a PUT leaves: immutable attributes that the body does not speak of stay as they were set, and what
// it says otherwise of them is refused (RFC 7644 section 3.5.1). Both values are canonical.
func (rt *ResourceType) settle(before, after Value) (Value, error) {
	for _, ext := range rt.Extensions {
		was, _ := before.Get(ext.ID)
		now, _ := after.Get(ext.ID)
		if kept, more := keepImmutable(ext.Attributes, was, now); more {
			after = rt.setExtension(after, ext.ID, kept)
			if gap, found := rt.lacks(before, after); found {
				return Value{}, invalidValue("%s is required beside what cannot change.", gap.path())
			}
		}
	}
	if err := rt.checkNames(before, after); err != nil {
		return Value{}, err
	}
	return after, rt.checkImmutable(before, after)
}

// keepImmutable adds to an object what it lacks of the immutable members that it had.
func keepImmutable(attrs []*Attribute, before, after Value) (_ Value, more bool) {
	for _, a := range attrs {
		old, had := before.Get(a.Name)
		if !had {
			continue
		}
		now, has := after.Get(a.Name)
		switch {
		case a.Mutability == "immutable" && !has:
			after, more = setMember(attrs, after, a.Name, old), true
		case a.Type == TypeComplex && !a.MultiValued:
			if kept, inside := keepImmutable(a.Sub, old, now); inside {
				after, more = setMember(attrs, after, a.Name, kept), true
			}
		}
	}
	return after, more
}
