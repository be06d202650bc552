package scim

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Mode says how a tenant's requests are read.
type Mode struct {
	Strict bool // as the RFCs say; otherwise what clients really send is understood too
}

// Warning is something of a request that was left out, for the provisioning log. It names, but
// never quotes: values may be secret.
type Warning struct {
	Path   string // as the client wrote it, cut to a sane length
	Reason string
}

// Limits of what one attribute may hold.
const (
	maxNameLength   = 256   // characters of userName and displayName
	maxTextLength   = 1024  // characters of any other text
	maxBinaryLength = 16384 // characters of base64
	maxNumberLength = 64    // characters of an integer or decimal
	maxElements     = 500   // elements of a multi-valued attribute other than members
	maxWarnings     = 20
	maxClip         = 128
)

// normalize turns the body of a POST or PUT into the canonical attributes of a resource: known
// attributes alone, under their canonical names and in the order of the schemas, values of the
// declared types, nothing empty. What the server writes itself is left out: id, meta, schemas and
// everything readOnly; so is password, which is never kept, and members, which memberRefs reads.
//
// Canonical attributes normalize to themselves, so equal resources have equal encodings.
func (rt *ResourceType) normalize(v Value, mode Mode) (Value, []Warning, error) {
	n := normalizer{rt: rt, mode: mode}
	v, err := n.resource(v)
	if err != nil {
		return Value{}, nil, err
	}
	return v, n.warnings, nil
}

// unfold takes core attributes out of an object with the core URN, where some clients put them as those of an extension. Strict mode
// knows no such attribute. Who names an attribute in both places says two things.
func (rt *ResourceType) unfold(v Value, mode Mode) (Value, error) {
	i := slices.IndexFunc(v.Members, func(m Member) bool { return m.Value.Kind != Null && equalFold(m.Name, rt.Core.ID) })
	if mode.Strict || i < 0 {
		return v, nil
	}
	if v.Members[i].Value.Kind != Object {
		return v, invalidValue("%s must be an object.", rt.Core.ID)
	}
	members := slices.Delete(slices.Clone(v.Members), i, i+1)
	for _, m := range v.Members[i].Value.Members {
		if _, twice := v.Get(m.Name); twice {
			return v, invalidValue("%s stands in %s and outside of it.", clip(m.Name), rt.Core.ID)
		}
		members = append(members, m)
	}
	return Value{Kind: Object, Members: members}, nil
}

// schemasOf returns the value of schemas for these attributes: the core URN and each extension of
// which they hold something.
func (rt *ResourceType) schemasOf(attrs Value) []string {
	urns := []string{rt.Core.ID}
	for _, ext := range rt.Extensions {
		if v, ok := attrs.Get(ext.ID); ok && !v.empty() {
			urns = append(urns, ext.ID)
		}
	}
	return urns
}

// MemberRef is a member of a group as a client names it.
type MemberRef struct {
	Value string // id of a user or group
	Type  string // User, Group, or empty when the client did not say
}

// memberRefs reads the members of the body of a POST or PUT of a group. present is false when the
// body does not speak of members; null and the empty list say that there are none.
func memberRefs(v Value, mode Mode) (refs []MemberRef, present bool, err error) {
	list, present := v.Get("members")
	if !present || list.Kind == Null {
		return nil, present, nil
	}
	if list.Kind != Array {
		return nil, true, invalidValue("members must be a list.")
	}
	refs, err = memberList(list, mode)
	return refs, true, err
}

// memberList reads a list of members. Every element must name one: a shape that is only half
// understood must not change who is in a group.
func memberList(list Value, mode Mode) ([]MemberRef, error) {
	refs := make([]MemberRef, 0, len(list.Elems))
	for _, e := range list.Elems {
		ref, err := memberRef(e, mode)
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

// memberRef reads one member: an object with value, or the id alone. display, $ref and unknown
// members of it are the server's to say, or nobody's. Our ids are lower case; whoever is named by one in
// upper case and is to leave must not stay in.
func memberRef(e Value, mode Mode) (MemberRef, error) {
	id, typ := e, Value{}
	if e.Kind == Object {
		id, _ = e.Get("value")
		typ, _ = e.Get("type")
	}
	if id.Kind != String || id.Text == "" || len(id.Text) > maxNameLength {
		return MemberRef{}, invalidValue("Each member needs a value: the id of a user or group.")
	}
	if typ.Kind != String {
		typ.Text = ""
	}
	if !mode.Strict {
		id.Text = lowerASCII(id.Text)
	}
	return MemberRef{Value: id.Text, Type: typ.Text}, nil
}

// normalizer reads values by their definitions. In a PATCH values may be parts: nothing is
// required, one value may stand for a list, and of several primaries the last one is meant.
type normalizer struct {
	rt       *ResourceType
	mode     Mode
	patch    bool
	warnings []Warning
}

func (n *normalizer) warn(path, reason string) {
	if len(n.warnings) == maxWarnings {
		return
	}
	n.warnings = append(n.warnings, Warning{Path: clip(path), Reason: reason})
}

// clip cuts what a client wrote to what a log or an error may repeat.
func clip(s string) string {
	if len(s) > maxClip {
		return strings.ToValidUTF8(s[:maxClip], "") + "…"
	}
	return s
}

// resource reads a whole resource.
func (n *normalizer) resource(v Value) (Value, error) {
	if v.Kind != Object {
		return Value{}, invalidSyntax("A resource must be a JSON object.")
	}
	if err := n.envelope(v); err != nil {
		return Value{}, err
	}
	out, known, err := n.members(attrRef{}, n.rt.Core.Attributes, v)
	if err != nil {
		return Value{}, err
	}
	for _, ext := range n.rt.Extensions {
		object, ok := v.Get(ext.ID)
		if !ok {
			continue
		}
		known++
		members, err := n.extension(ext, object)
		if err != nil {
			return Value{}, err
		}
		if len(members) > 0 {
			out = append(out, Member{Name: ext.ID, Value: Value{Kind: Object, Members: members}})
		}
	}
	if known < len(v.Members) {
		err = n.unknown(attrRef{}, n.rt.Core.Attributes, v)
	}
	return Value{Kind: Object, Members: out}, err
}

// envelope checks what every resource carries and the server writes itself.
func (n *normalizer) envelope(v Value) error {
	list, _ := v.Get("schemas")
	if list.Kind != Null && list.Kind != Array {
		return invalidValue("schemas must be a list of URNs.")
	}
	for _, e := range list.Elems {
		switch {
		case e.Kind != String:
			return invalidValue("schemas must be a list of URNs.")
		case equalFold(e.Text, n.rt.Core.ID) || n.rt.extension(e.Text) != nil:
		case n.mode.Strict:
			return invalidValue("schemas holds %q, which %s does not have.", clip(e.Text), n.rt.Name)
		default:
			n.warn(e.Text, "unknown schema")
		}
	}
	if n.mode.Strict {
		if err := n.schemasNamed(list, v); err != nil {
			return err
		}
	}
	if meta, _ := v.Get("meta"); meta.Kind != Null && meta.Kind != Object {
		return invalidValue("meta must be an object.")
	}
	return nil
}

// schemasNamed checks that schemas names what the resource holds, each once (RFC 7643 section 3).
func (n *normalizer) schemasNamed(list, v Value) error {
	times := func(urn string) (count int) {
		for _, e := range list.Elems {
			if equalFold(e.Text, urn) {
				count++
			}
		}
		return count
	}
	if times(n.rt.Core.ID) == 0 {
		return invalidSyntax("schemas must hold %s.", n.rt.Core.ID)
	}
	for _, s := range append([]*Schema{n.rt.Core}, n.rt.Extensions...) {
		object, _ := v.Get(s.ID)
		switch count := times(s.ID); {
		case count > 1:
			return invalidValue("schemas holds %s twice.", s.ID)
		case count == 0 && !object.empty():
			return invalidSyntax("schemas must hold %s, of which the resource holds something.", s.ID)
		}
	}
	return nil
}

// extension reads the object of an extension.
func (n *normalizer) extension(ext *Schema, v Value) ([]Member, error) {
	if v.Kind == Object && n.nothing(v) || v.Kind == Null || v.Kind == Array && len(v.Elems) == 0 {
		return nil, nil
	}
	if v.Kind != Object {
		return nil, invalidValue("%s must be an object.", ext.ID)
	}
	ref := attrRef{urn: ext.ID}
	out, known, err := n.members(ref, ext.Attributes, v)
	if err == nil && known < len(v.Members) {
		err = n.unknown(ref, ext.Attributes, v)
	}
	return out, err
}

// members reads the members of v that attrs defines, and how many it knows.
func (n *normalizer) members(ref attrRef, attrs []*Attribute, v Value) (out []Member, known int, err error) {
	out = make([]Member, 0, len(v.Members))
	for _, a := range attrs {
		mv, ok := v.Get(a.Name)
		if ok {
			known++
		}
		if a == attrMembers && ok && n.mode.Strict {
			if err := n.memberShapes(mv); err != nil {
				return nil, 0, err
			}
		}
		if a.Mutability == "readOnly" || a == attrMembers {
			continue
		}
		if ok {
			mv, ok, err = n.attribute(ref.of(a), mv)
			if err != nil {
				return nil, 0, err
			}
		}
		if ok {
			out = append(out, Member{Name: a.Name, Value: mv})
		} else if a.Required && !n.patch {
			return nil, 0, invalidValue("%s is required.", ref.of(a).path())
		}
	}
	return out, known, nil
}

// memberShapes refuses what memberRefs would understand although members are not defined so.
func (n *normalizer) memberShapes(list Value) error {
	ref := attrRef{attr: attrMembers}
	for _, e := range list.Elems {
		if e.Kind != Object {
			return invalidValue("Each of members must be an object.")
		}
		typ, _ := e.Get("type")
		if typ.Kind != Null && (typ.Kind != String || !equalFold(typ.Text, "User") && !equalFold(typ.Text, "Group")) {
			return invalidValue("The type of a member must be User or Group.")
		}
		if at, has := e.Get("$ref"); has {
			if _, _, err := n.scalar(ref.of(find(attrMembers.Sub, "$ref")), at); err != nil {
				return err
			}
		}
		if err := n.unknown(ref, attrMembers.Sub, e); err != nil {
			return err
		}
	}
	return nil
}

// unknown deals with the members of v that attrs does not define: a warning, or in strict mode an
// error. Empty ones say nothing.
func (n *normalizer) unknown(ref attrRef, attrs []*Attribute, v Value) error {
	for i := range v.Members {
		m := &v.Members[i]
		if m.Value.Kind == Null || find(attrs, m.Name) != nil {
			continue
		}
		if ref == (attrRef{}) && (ignoredName(m.Name) || n.rt.extension(m.Name) != nil) {
			continue
		}
		path := m.Name
		if ref.attr != nil {
			path = ref.path() + "." + path
		} else if ref.urn != "" {
			path = ref.urn + ":" + path
		}
		if n.mode.Strict {
			return invalidSyntax("%s is not an attribute of %s.", clip(path), n.rt.Name)
		}
		if ref == (attrRef{}) && (n.rt.decides(m.Name) || n.rt.hides(m.Name, m.Value)) {
			return invalidValue("%s is not an attribute of %s, and not passed over: it may be meant to decide who may enter.", clip(path), n.rt.Name)
		}
		n.warn(path, "unknown attribute")
	}
	return nil
}

// ignoredName reports whether clients send this attribute with every resource although the server
// alone writes it, or, for password, nobody keeps it.
func ignoredName(name string) bool {
	return equalFold(name, "id") || equalFold(name, "meta") || equalFold(name, "schemas") || equalFold(name, "password")
}

// attribute reads the value of one attribute or sub-attribute; false means that it is unassigned.
func (n *normalizer) attribute(ref attrRef, v Value) (Value, bool, error) {
	a := ref.target()
	if v.Kind == Null {
		return Value{}, false, nil
	}
	if a.MultiValued {
		return n.list(ref, v)
	}
	if v.Kind == Array {
		// Older clients put a single value in a list: manager as [{"value": id}].
		wrapped := len(v.Elems) == 1 && !n.mode.Strict && (n.patch || a == attrManager)
		switch {
		case len(v.Elems) == 0:
			return Value{}, false, nil
		case !wrapped:
			return Value{}, false, invalidValue("%s must be a single value.", ref.path())
		}
		v = v.Elems[0]
	}
	if a.Type == TypeComplex {
		return n.complex(ref, v)
	}
	if n.patch {
		v = n.unwrap(v)
	}
	return n.scalar(ref, v)
}

// list reads a multi-valued attribute.
func (n *normalizer) list(ref attrRef, v Value) (Value, bool, error) {
	a := ref.target()
	switch {
	case v.Kind == String && v.Text == "" && !n.mode.Strict:
		return Value{}, false, nil
	case v.Kind == Array:
	case n.patch && !(v.Kind == Object && len(v.Members) == 0 || v.Kind == String && v.Text == ""):
		v = Value{Kind: Array, Elems: []Value{v}}
	default:
		return Value{}, false, invalidValue("%s must be a list.", ref.path())
	}
	if len(v.Elems) > maxElements {
		return Value{}, false, invalidValue("%s may hold %d values at most.", ref.path(), maxElements)
	}
	out := make([]Value, 0, len(v.Elems))
	for _, e := range v.Elems {
		var ok bool
		var err error
		switch {
		case e.Kind == Null:
		case a.Type == TypeComplex:
			e, ok, err = n.complex(ref, e)
		default:
			e, ok, err = n.scalar(ref, n.unwrap(e))
		}
		if err != nil {
			return Value{}, false, err
		}
		if ok {
			out = append(out, e)
		}
	}
	if n.mode.Strict && primaries(out) > 1 {
		return Value{}, false, invalidValue("%s may have one primary value only.", ref.path())
	}
	out = onePrimary(out, n.patch)
	out = tidy(a, out, n.patch)
	return Value{Kind: Array, Elems: out}, len(out) > 0, nil
}

// unwrap takes the value out of a value object: clients send {"value": "1"} for plain values.
func (n *normalizer) unwrap(v Value) Value {
	if v.Kind == Object && !n.mode.Strict {
		if inner, ok := v.Get("value"); ok {
			return inner
		}
	}
	return v
}

// nothing reports whether an object says nothing. In strict mode an empty string in it may still be wrong.
func (n *normalizer) nothing(v Value) bool {
	if !n.mode.Strict {
		return v.empty()
	}
	return !slices.ContainsFunc(v.Members, func(m Member) bool { return m.Value.Kind != Null })
}

// complex reads one complex value. A plain value stands for its sub-attribute value.
func (n *normalizer) complex(ref attrRef, v Value) (Value, bool, error) {
	a := ref.target()
	switch v.Kind {
	case Object:
		if n.nothing(v) {
			return Value{}, false, nil
		}
	case String, Number:
		if v.Kind == String && v.Text == "" && !n.mode.Strict {
			return Value{}, false, nil
		}
		if !n.mode.Strict && find(a.Sub, "value") != nil {
			v = Value{Kind: Object, Members: []Member{{Name: "value", Value: v}}}
			break
		}
		fallthrough
	default:
		if a.MultiValued {
			return Value{}, false, invalidValue("Each value of %s must be an object.", ref.path())
		}
		return Value{}, false, invalidValue("%s must be an object.", ref.path())
	}
	out, known, err := n.members(ref, a.Sub, v)
	if err == nil && known < len(v.Members) {
		err = n.unknown(ref, a.Sub, v)
	}
	if err == nil && a == attrManager && !n.patch && len(out) > 0 && out[0].Name != "value" {
		n.warn(ref.path(), "manager without a value")
		return Value{}, false, nil
	}
	return Value{Kind: Object, Members: out}, len(out) > 0, err
}

// scalar reads one plain value as the type that is declared for it. The empty string is no value;
// in strict mode it can stand for none only where a string may stand.
func (n *normalizer) scalar(ref attrRef, v Value) (Value, bool, error) {
	a := ref.target()
	if v.Kind == Null || v.Kind == String && v.Text == "" && (!n.mode.Strict || textual(a)) {
		return Value{}, false, nil
	}
	switch a.Type {
	case TypeBoolean:
		if v.Kind == String && n.mode.Strict {
			break
		}
		if b, ok := v.boolean(); ok {
			return Value{Kind: Bool, Bool: b}, true, nil
		}
		if ref.sub != nil && ref.attr.MultiValued && !n.mode.Strict {
			// A validator sends a phone number as primary: the flag says nothing, the rest does.
			n.warn(ref.path(), "not a boolean")
			return Value{}, false, nil
		}
	case TypeInteger:
		if i, err := strconv.ParseInt(v.Text, 10, 64); err == nil && n.numeric(v) {
			return Value{Kind: Number, Text: strconv.FormatInt(i, 10)}, true, nil
		}
	case TypeDecimal:
		if _, err := strconv.ParseFloat(v.Text, 64); err == nil && n.numeric(v) {
			return Value{Kind: Number, Text: v.Text}, true, nil
		}
	case TypeDateTime:
		if _, ok := parseInstant(v.Text); ok && v.Kind == String {
			return v, true, nil
		}
	case TypeBinary:
		if v.Kind == String && v.Text != "" && len(v.Text) <= maxBinaryLength && validBase64(v.Text) {
			return v, true, nil
		}
	default:
		return n.text(ref, v)
	}
	return Value{}, false, mustBe(ref)
}

// mustBe is the error for a value that is not of the type of its attribute.
func mustBe(ref attrRef) error {
	article := "a"
	if ref.target().Type == TypeInteger {
		article = "an"
	}
	return invalidValue("%s must be %s %s.", ref.path(), article, ref.target().Type)
}

func textual(a *Attribute) bool { return a.Type == TypeString || a.Type == TypeReference }

// numeric reports whether v is a number, or a string that holds one and may stand for it.
func (n *normalizer) numeric(v Value) bool {
	return len(v.Text) <= maxNumberLength && (v.Kind == Number || v.Kind == String && !n.mode.Strict && scanNumber(v.Text) == len(v.Text))
}

// text reads a string or reference. A number becomes its digits (employeeNumber), but not where
// the text identifies the resource: there it is more likely a mistake, and 007 and 7 would clash.
func (n *normalizer) text(ref attrRef, v Value) (Value, bool, error) {
	identifies := ref.sub == nil && ref.attr.Uniqueness == "server"
	if v.Kind == Number && !n.mode.Strict && !identifies {
		v.Kind = String
	}
	if v.Kind != String {
		return Value{}, false, mustBe(ref)
	}
	if n.mode.Strict && ref.target().Type == TypeReference && !validURI(v.Text) {
		return Value{}, false, invalidValue("%s must be a URI.", ref.path())
	}
	limit := maxTextLength
	if ref.urn == "" && ref.sub == nil && (identifies || ref.attr.Name == "displayName") {
		limit = maxNameLength
	}
	if len(v.Text) > limit && utf8.RuneCountInString(v.Text) > limit {
		return Value{}, false, invalidValue("%s may have %d characters at most.", ref.path(), limit)
	}
	if identifies && strings.TrimSpace(v.Text) == "" {
		return Value{}, false, invalidValue("%s is required.", ref.path())
	}
	return v, true, nil
}

// checkNames refuses a name that identifies the resource and holds what does not show, but not the one that it has: whoever
// got such a name before it was refused must not stay in because of it. Both values are canonical, before Null for a new resource.
func (rt *ResourceType) checkNames(before, after Value) error {
	for _, a := range rt.Core.Attributes {
		if a.Uniqueness != "server" {
			continue
		}
		hidden := invisible
		if a == attrGroupName {
			hidden = invisibleInGroup
		}
		was, _ := before.Get(a.Name)
		now, _ := after.Get(a.Name)
		if !equalValue(was, now) && strings.ContainsFunc(now.Text, hidden) {
			return invalidValue("%s holds a control or invisible character.", a.Name)
		}
	}
	return nil
}

// invisible reports whether a character does not show, or changes how its neighbours show: two
// names that differ by it alone look alike. Source: Unicode, Default_Ignorable_Code_Point (DerivedCoreProperties).
func invisible(r rune) bool {
	return r < 0x20 || r >= 0x7f && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// invisibleInGroup is invisible for the names of groups, which are words and emoji: those need variation selectors, and
// joiners as Persian and Indic scripts do.
func invisibleInGroup(r rune) bool {
	return invisible(r) && r != '\u200c' && r != '\u200d' && !unicode.Is(unicode.Variation_Selector, r)
}

// validBase64 accepts base64 (RFC 4648 section 4). The padding may be missing (RFC 7643 section 2.3.6).
func validBase64(s string) bool {
	encoding := base64.StdEncoding
	if len(s)%4 != 0 {
		encoding = base64.RawStdEncoding
	}
	_, err := encoding.Strict().DecodeString(s)
	return err == nil && !strings.ContainsAny(s, "\r\n")
}

// validURI accepts a URI or a relative reference (RFC 3986 section 4.1).
func validURI(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !letter(c) && !('0' <= c && c <= '9') && strings.IndexByte("-._~:/?#[]@!$&'()*+,;=%", c) < 0 {
			return false
		}
	}
	_, err := url.Parse(s)
	return err == nil
}

// primaries counts the elements with primary true.
func primaries(elems []Value) int {
	count := 0
	for i := range elems {
		if isPrimary(elems[i]) {
			count++
		}
	}
	return count
}

func isPrimary(e Value) bool {
	p, ok := e.Get("primary")
	return ok && p.Kind == Bool && p.Bool
}

// onePrimary keeps primary on one element, the first or the last one that has it, and takes it
// from the others. The list must not be shared.
func onePrimary(elems []Value, last bool) []Value {
	if primaries(elems) < 2 {
		return elems
	}
	keep := -1
	for i := range elems {
		if isPrimary(elems[i]) && (keep < 0 || last) {
			keep = i
		}
	}
	return demote(elems, func(i int) bool { return i == keep })
}

// demote sets primary to false where it is true, except on some elements.
func demote(elems []Value, except func(int) bool) []Value {
	for i := range elems {
		if except(i) || !isPrimary(elems[i]) {
			continue
		}
		members := slices.Clone(elems[i].Members)
		for j := range members {
			if equalFold(members[j].Name, "primary") {
				members[j].Value.Bool = false
			}
		}
		elems[i].Members = members
	}
	return elems
}

// tidy drops elements that say nothing and makes one of those that say the same; where these
// differ in the rest, the first or the later one counts. The list must not be shared.
func tidy(a *Attribute, elems []Value, later bool) []Value {
	out := elems[:0]
	same := func(out []Value, e Value) int {
		return slices.IndexFunc(out, func(o Value) bool { return sameElement(a, o, e) })
	}
	if len(elems) > 16 { // comparing each with each would take too long
		seen := make(map[string]int, len(elems))
		same = func(out []Value, e Value) int {
			key := elementKey(a, e)
			if at, ok := seen[key]; ok {
				return at
			}
			seen[key] = len(out)
			return -1
		}
	}
	for _, e := range elems {
		if hollow(a, e) {
			continue
		}
		if i := same(out, e); i >= 0 {
			out[i] = mergeElement(a.Sub, out[i], e, later)
		} else {
			out = append(out, e)
		}
	}
	return out
}

// elementKey returns a text that two values share when sameElement holds.
func elementKey(a *Attribute, e Value) string {
	v, ok := e.Get("value")
	if !ok {
		return string(appendValue([]byte{'='}, folded(a, e)))
	}
	t, _ := e.Get("type")
	key := append(appendValue(nil, folded(valueOf(a), v)), ' ', '0'+byte(t.Kind))
	return string(key) + lowerASCII(t.Text)
}

// folded returns a value in a form that those have in common which a filter finds equal.
func folded(a *Attribute, v Value) Value {
	switch {
	case v.Kind == Number && a.Type == TypeDecimal:
		v.Text = readDecimal(v.Text).String()
	case v.Kind == String && a.Type == TypeDateTime:
		if t, ok := parseInstant(v.Text); ok {
			v.Text = t.UTC().Format(time.RFC3339Nano)
		}
	case v.Kind == String && a.Type == TypeString && !a.CaseExact:
		v.Text = foldText(v.Text)
	}
	return v
}

// valueOf returns the sub-attribute value of an attribute that has one.
func valueOf(a *Attribute) *Attribute {
	if sub := find(a.Sub, "value"); sub != nil {
		return sub
	}
	return a
}

// hollow reports whether a complex value holds nothing but labels: its type and whether it is
// primary.
func hollow(a *Attribute, e Value) bool {
	if a.Type != TypeComplex {
		return false
	}
	for i := range e.Members {
		if !label(e.Members[i].Name) {
			return false
		}
	}
	if len(e.Members) == 0 {
		return true
	}
	return slices.ContainsFunc(a.Sub, func(s *Attribute) bool { return !label(s.Name) })
}

func label(name string) bool { return equalFold(name, "type") || equalFold(name, "primary") }

// sameElement reports whether two values of a list are one: equal, or of the same type and value. Texts compare as the
// attribute says.
func sameElement(a *Attribute, x, y Value) bool {
	xv, ok := x.Get("value")
	yv, ok2 := y.Get("value")
	if !ok || !ok2 {
		return sameValue(a, x, y)
	}
	xt, _ := x.Get("type")
	yt, _ := y.Get("type")
	return sameValue(valueOf(a), xv, yv) && xt.Kind == yt.Kind && equalFold(xt.Text, yt.Text)
}

// equalValue compares canonical values.
func equalValue(x, y Value) bool {
	return x.Kind == y.Kind && x.Bool == y.Bool && x.Text == y.Text &&
		slices.EqualFunc(x.Elems, y.Elems, equalValue) &&
		slices.EqualFunc(x.Members, y.Members, func(a, b Member) bool { return a.Name == b.Name && equalValue(a.Value, b.Value) })
}

// mergeElement adds to base what extra says beyond type and value, and where both say something
// lets extra win or not. Plain values are simply equal.
func mergeElement(attrs []*Attribute, base, extra Value, extraWins bool) Value {
	for _, m := range extra.Members {
		if equalFold(m.Name, "type") || equalFold(m.Name, "value") {
			continue
		}
		if _, has := base.Get(m.Name); !has || extraWins {
			base = setMember(attrs, base, m.Name, m.Value)
		}
	}
	return base
}

// setMember returns obj with one member set, at its place in the order of attrs. obj stays as it
// is; name is the canonical one.
func setMember(attrs []*Attribute, obj Value, name string, v Value) Value {
	at := 0
	for _, a := range attrs {
		if a.Name == name {
			break
		}
		if at < len(obj.Members) && obj.Members[at].Name == a.Name {
			at++
		}
	}
	members := make([]Member, 0, len(obj.Members)+1)
	members = append(members, obj.Members[:at]...)
	members = append(members, Member{Name: name, Value: v})
	rest := obj.Members[at:]
	if len(rest) > 0 && rest[0].Name == name {
		rest = rest[1:]
	}
	return Value{Kind: Object, Members: append(members, rest...)}
}

// dropMember returns obj without a member; obj stays as it is.
func dropMember(obj Value, name string) Value {
	for i := range obj.Members {
		if obj.Members[i].Name == name {
			members := make([]Member, 0, len(obj.Members)-1)
			members = append(members, obj.Members[:i]...)
			return Value{Kind: Object, Members: append(members, obj.Members[i+1:]...)}
		}
	}
	return obj
}
