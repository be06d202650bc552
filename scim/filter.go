package scim

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/bizzstream/bizzscim/directory"
)

// FilterLimits bound what one filter may cost. Zero fields take the defaults.
type FilterLimits struct {
	Length int // characters, checked before anything else
	Depth  int // parentheses, not and brackets within one another
	Terms  int // comparisons
}

// DefaultFilterLimits are the limits where nothing else is set.
var DefaultFilterLimits = FilterLimits{Length: 2048, Depth: 10, Terms: 50}

func (l FilterLimits) orDefaults() FilterLimits {
	return FilterLimits{
		Length: cmp.Or(l.Length, DefaultFilterLimits.Length),
		Depth:  cmp.Or(l.Depth, DefaultFilterLimits.Depth),
		Terms:  cmp.Or(l.Terms, DefaultFilterLimits.Terms),
	}
}

// Filter is a parsed filter (RFC 7644 section 3.4.2.2), immutable and bound to the attributes of
// one resource type. Its meaning, where the RFC leaves room:
//
//   - A comparison holds for a multi-valued attribute when it holds for any element.
//   - ne is the exact opposite of eq, so it also holds where the attribute is absent, and for a
//     multi-valued attribute only when no element is equal.
//   - eq null means absent or empty, ne null means present.
//   - A complex attribute without sub-attribute is compared by its sub-attribute value.
//   - attr[f].sub op x is attr[f and sub op x].
//
// The grammar is that of figure 1. A tenant that is not strict also gets what clients send beside it: values without
// quotes or in single ones, quoted booleans and numbers, numbers for strings, a single complex attribute for its value, and the last form
// above.
type Filter struct {
	root    int32
	element bool // of an element: names are sub-attributes
	nodes   []node
	one     [1]node // keeps the usual filter of one comparison in one allocation
}

type operator uint8

const (
	opAnd operator = iota
	opOr
	opNot
	opPath // attr[...]: the one child holds for an element of attr
	opEq
	opNe
	opCo
	opSw
	opEw
	opGt
	opGe
	opLt
	opLe
	opPr
)

var operatorNames = [...]string{opEq: "eq", opNe: "ne", opCo: "co", opSw: "sw", opEw: "ew",
	opGt: "gt", opGe: "ge", opLt: "lt", opLe: "le", opPr: "pr"}

// node is one operation. Children are a chain: first, then next until 0. Index 0 is the leftmost
// comparison, which is never the next of another node, so 0 can end a chain.
type node struct {
	op          operator
	first, next int32
	ref         attrRef // of comparisons and opPath; below opPath only attr and sub count
	lit         literal
}

// literal is the value of a comparison in the type of its attribute.
type literal struct {
	kind    Kind // Bool, Number or String
	bool    bool
	exact   bool      // String: compare text as it is
	instant bool      // String: compare as time
	text    string    // Number, String: as the client sent it
	folded  string    // String, not exact: foldText(text)
	time    time.Time // with instant
}

func (l *literal) value() Value {
	if l.kind == Bool {
		return Value{Kind: Bool, Bool: l.bool}
	}
	return Value{Kind: l.kind, Text: l.text}
}

// parseFilter parses the filter of a query on a resource type. An attribute that only another type of the query has is
// absent from all resources (RFC 7644 section 3.4.2.1).
func parseFilter(s string, rt *ResourceType, lim FilterLimits, types ...*ResourceType) (*Filter, error) {
	return parse(s, rt, types, nil, lim)
}

// parseElementFilter parses the inside of attr[...] of a resource type: names are sub-attributes of
// attr; a simple attribute has value alone.
func parseElementFilter(s string, rt *ResourceType, attr *Attribute, lim FilterLimits) (*Filter, error) {
	return parse(s, rt, nil, attr, lim)
}

func parse(s string, rt *ResourceType, types []*ResourceType, attr *Attribute, lim FilterLimits) (*Filter, error) {
	lim = lim.orDefaults()
	// Length comes first: nothing below may ever see a text that is longer.
	if len(s) > lim.Length && (len(s) > utf8.UTFMax*lim.Length || utf8.RuneCountInString(s) > lim.Length) {
		return nil, invalidFilter("The filter is longer than %d characters.", lim.Length)
	}
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] == 0x7f {
			return nil, invalidFilter("The filter holds a control character at byte %d.", i+1)
		}
	}
	if !utf8.ValidString(s) {
		return nil, invalidFilter("The filter is not UTF-8.")
	}
	f := &Filter{element: attr != nil}
	f.nodes = f.one[:0]
	p := filterParser{text: s, rt: rt, types: types, elem: attr, lim: lim, f: f}
	root, err := p.or()
	if err == nil && p.peek() != 0 {
		err = p.fail(p.pos, "and, or or the end is expected")
		if word := p.text[p.pos:]; equalFold(word, "and") || equalFold(word, "or") {
			err = p.fail(p.pos, "an expression is expected behind the word")
		}
	}
	if err != nil {
		return nil, err
	}
	f.root = root
	return f, nil
}

// filterParser is a recursive-descent parser; its recursion passes through enter, which bounds it.
type filterParser struct {
	text  string
	pos   int
	rt    *ResourceType
	types []*ResourceType // of the query
	elem  *Attribute      // inside of brackets: the attribute whose elements are filtered
	urn   string          // of elem
	lim   FilterLimits
	depth int
	terms int
	f     *Filter
}

func (p *filterParser) fail(at int, what string) *Error {
	return invalidFilter("The filter is not valid: %s at byte %d.", what, at+1)
}

// clipName shortens a name of the client to what an error may repeat.
func clipName(s string) string {
	const most = 40
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	n := 0
	for i := range s {
		if n++; n == most {
			return s[:i] + "…"
		}
	}
	return s
}

// peek skips spaces and returns the byte there, 0 at the end.
func (p *filterParser) peek() byte {
	for p.pos < len(p.text) {
		if p.text[p.pos] != ' ' {
			return p.text[p.pos]
		}
		p.pos++
	}
	return 0
}

// enter counts a level of nesting before the parser goes down into it.
func (p *filterParser) enter() *Error {
	if p.depth == p.lim.Depth {
		return invalidFilter("The filter is nested deeper than %d levels at byte %d.", p.lim.Depth, p.pos+1)
	}
	p.depth++
	return nil
}

// keyword takes a word that stands for itself: a space or a parenthesis must follow.
func (p *filterParser) keyword(w string) bool {
	p.peek()
	end := p.pos + len(w)
	if end >= len(p.text) || p.text[end] != ' ' && p.text[end] != '(' || !equalFold(p.text[p.pos:end], w) {
		return false
	}
	p.pos = end
	return true
}

func (p *filterParser) add(n node) int32 {
	if len(p.f.nodes) == len(p.f.one) {
		p.f.nodes = slices.Grow(p.f.nodes, 8)
	}
	p.f.nodes = append(p.f.nodes, n)
	return int32(len(p.f.nodes) - 1)
}

func (p *filterParser) or() (int32, *Error) { return p.list(opOr, "or") }

// list parses operands with op between them: lists of and where op is or, terms where it is and.
func (p *filterParser) list(op operator, word string) (int32, *Error) {
	left, err := p.operand(op)
	if err != nil || !p.keyword(word) {
		return left, err
	}
	id := p.add(node{op: op})
	last := p.adopt(id, -1, left)
	for {
		right, err := p.operand(op)
		if err != nil {
			return 0, err
		}
		last = p.adopt(id, last, right)
		if !p.keyword(word) {
			return id, nil
		}
	}
}

func (p *filterParser) operand(op operator) (int32, *Error) {
	if op == opOr {
		return p.list(opAnd, "and")
	}
	return p.term()
}

// adopt hangs a child behind the last one (-1: none yet) and returns the new last one. A child of
// the same kind gives its children instead, so that a list is one level however it was grouped.
func (p *filterParser) adopt(id, last, child int32) int32 {
	nodes := p.f.nodes
	if nodes[child].op == nodes[id].op {
		child = nodes[child].first
	}
	if last < 0 {
		nodes[id].first = child
	} else {
		nodes[last].next = child
	}
	for nodes[child].next != 0 {
		child = nodes[child].next
	}
	return child
}

func (p *filterParser) term() (int32, *Error) {
	if p.peek() == '(' {
		return p.group()
	}
	start := p.pos
	if p.keyword("not") {
		if p.peek() != '(' {
			return 0, p.fail(p.pos, "not needs a parenthesis")
		}
		child, err := p.group()
		if err != nil {
			return 0, err
		}
		return p.add(node{op: opNot, first: child}), nil
	}
	name := p.name()
	if name == "" {
		return 0, p.fail(start, "an attribute name is expected")
	}
	ref, err := p.resolve(name, start)
	if err != nil {
		return 0, err
	}
	if p.peek() == '[' {
		return p.path(ref)
	}
	id, negative, err := p.comparison(ref)
	if err == nil && negative {
		id = p.add(node{op: opNot, first: id})
	}
	return id, err
}

// group parses ( filter ).
func (p *filterParser) group() (int32, *Error) {
	if err := p.enter(); err != nil {
		return 0, err
	}
	start := p.pos
	p.pos++
	id, err := p.or()
	if err != nil {
		return 0, err
	}
	if p.peek() != ')' {
		return 0, p.fail(start, "the parenthesis is not closed")
	}
	p.pos++
	p.depth--
	return id, nil
}

// name takes everything up to a delimiter; resolve decides whether it is a name.
func (p *filterParser) name() string {
	start := p.pos
	for p.pos < len(p.text) {
		switch p.text[p.pos] {
		case ' ', '(', ')', '[', ']', '"':
			return p.text[start:p.pos]
		}
		p.pos++
	}
	return p.text[start:]
}

func (p *filterParser) resolve(name string, at int) (attrRef, *Error) {
	var ref attrRef
	var ok bool
	switch {
	case p.elem == nil:
		ref, ok = p.rt.lookup(name)
		for i := 0; !ok && i < len(p.types); i++ {
			ref, ok = p.types[i].lookup(name)
		}
		ok = ok && ref.attr != nil
	case p.elem.Type == TypeComplex:
		ref = attrRef{urn: p.urn, attr: p.elem, sub: find(p.elem.Sub, name)}
		ok = ref.sub != nil
	default:
		ref = attrRef{urn: p.urn, attr: p.elem}
		ok = equalFold(name, "value")
	}
	if !ok {
		return ref, invalidFilter("The filter names an unknown attribute %q at byte %d.", clipName(name), at+1)
	}
	// What is never shown must not be found out by comparing either.
	if hidden(ref.attr) || ref.sub != nil && hidden(ref.sub) {
		return ref, invalidFilter("The filter names the attribute %q, which cannot be searched, at byte %d.", clipName(name), at+1)
	}
	return ref, nil
}

func hidden(a *Attribute) bool { return a.Returned == "never" || a.Mutability == "writeOnly" }

// path parses [filter] behind an attribute, and .sub op value where that follows.
func (p *filterParser) path(ref attrRef) (int32, *Error) {
	start := p.pos
	switch {
	case p.elem != nil:
		return 0, p.fail(start, "brackets within brackets")
	case ref.sub != nil || ref.attr.Type != TypeComplex && !ref.attr.MultiValued:
		return 0, p.fail(start, "brackets behind an attribute without elements")
	}
	if err := p.enter(); err != nil {
		return 0, err
	}
	p.pos++
	p.elem, p.urn = ref.attr, ref.urn
	child, err := p.or()
	if err != nil {
		return 0, err
	}
	if p.peek() != ']' {
		return 0, p.fail(start, "the bracket is not closed")
	}
	p.pos++
	p.depth--
	negative := false
	if p.pos < len(p.text) && p.text[p.pos] == '.' {
		if p.rt.strict {
			return 0, p.fail(p.pos, "nothing may follow the bracket in strict mode: what is asked goes into it, as in emails[type eq \"work\" and value eq \"x\"],")
		}
		p.pos++
		at := p.pos
		sub, err := p.resolve(p.name(), at)
		if err != nil {
			return 0, err
		}
		leaf, not, err := p.comparison(sub)
		if err != nil {
			return 0, err
		}
		// ne is the opposite of eq for the path as a whole, as it is without brackets.
		if n := &p.f.nodes[leaf]; n.op == opNe {
			n.op, not = opEq, true
		}
		negative = not
		both := p.add(node{op: opAnd})
		p.adopt(both, p.adopt(both, -1, child), leaf)
		child = both
	}
	p.elem, p.urn = nil, ""
	id := p.add(node{op: opPath, ref: ref, first: child})
	if negative {
		id = p.add(node{op: opNot, first: id})
	}
	return id, nil
}

// comparison parses operator and value behind an attribute. negative says that the opposite of
// the returned node is meant.
func (p *filterParser) comparison(ref attrRef) (id int32, negative bool, err *Error) {
	if p.terms++; p.terms > p.lim.Terms {
		return 0, false, invalidFilter("The filter has more than %d comparisons.", p.lim.Terms)
	}
	p.peek()
	at := p.pos
	op, ok := parseOperator(p.name())
	if !ok {
		return 0, false, p.fail(at, "an operator is expected")
	}
	if op == opPr {
		return p.add(node{op: opPr, ref: ref}), false, nil
	}
	if p.pos < len(p.text) && p.text[p.pos] != ' ' && p.text[p.pos] != '"' { // the RFC's own example has none: section 3.5.2.2
		return 0, false, p.fail(p.pos, "a space is expected")
	}
	p.peek()
	litAt := p.pos
	text, quoted, err := p.literal()
	if err != nil {
		return 0, false, err
	}
	if !quoted && text == "null" {
		if op != opEq && op != opNe {
			return 0, false, p.fail(at, "null can only be compared with eq and ne")
		}
		return p.add(node{op: opPr, ref: ref}), op == opEq, nil
	}
	target := ref.attr
	if ref.sub == nil && ref.attr.Type == TypeComplex && (ref.attr.MultiValued || !p.rt.strict) {
		ref.sub = find(ref.attr.Sub, "value")
	}
	if ref.sub != nil {
		target = ref.sub
	}
	if target == attrMemberID && !p.rt.strict {
		text = lowerASCII(text) // as memberRef
	}
	if p.rt.strict && !asWritten(target, text, quoted) {
		return 0, false, p.fail(litAt, howWritten(target))
	}
	lit, why := makeLiteral(target, op, text)
	if why != "" {
		return 0, false, p.fail(litAt, why)
	}
	return p.add(node{op: op, ref: ref, lit: lit}), false, nil
}

func parseOperator(s string) (operator, bool) {
	if len(s) != 2 {
		return 0, false
	}
	for op := opEq; op <= opPr; op++ {
		if name := operatorNames[op]; s[0]|0x20 == name[0] && s[1]|0x20 == name[1] {
			return op, true
		}
	}
	return 0, false
}

// literal takes a JSON string, in a tolerant tenant also one in single quotes, or a bare word up to a space or closing
// bracket: Microsoft's test collection sends values without quotes.
func (p *filterParser) literal() (text string, quoted bool, err *Error) {
	start := p.pos
	if p.pos < len(p.text) && p.text[p.pos] == '"' {
		return p.quoted()
	}
	if !p.rt.strict && start < len(p.text) && p.text[start] == '\'' {
		if text, closed, err := p.singleQuoted(); closed || err != nil {
			return text, closed, err
		}
	}
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		if c == '"' {
			return "", false, p.fail(p.pos, "a quote within a value")
		}
		if c == ' ' || c == ')' || c == ']' {
			break
		}
		p.pos++
	}
	text = p.text[start:p.pos]
	if text == "" || equalFold(text, "and") || equalFold(text, "or") || equalFold(text, "not") {
		return "", false, p.fail(start, "a value is expected")
	}
	return text, false, nil
}

func (p *filterParser) quoted() (string, bool, *Error) {
	start := p.pos + 1
	for i := start; i < len(p.text); i++ {
		switch p.text[i] {
		case '"':
			p.pos = i + 1
			return unescape(p.text[start:i]), true, nil
		case '\\':
			n, null := scanEscape(p.text[i:])
			if n == 0 || null {
				return "", true, p.fail(i, "malformed escape in a value")
			}
			i += n - 1
		}
	}
	return "", true, p.fail(p.pos, "the value is not closed")
}

// singleQuoted takes a value in single quotes, as SQL has them. Taken for a bare word, quotes and all, it would find nobody:
// who was to be removed from a group would stay in. The closing one is that which ends the value, so an apostrophe is like
// any other character; a backslash and two apostrophes may or may not be escapes here, and are refused. A value with no closing
// one is a word.
func (p *filterParser) singleQuoted() (text string, closed bool, err *Error) {
	for i := p.pos + 1; i < len(p.text); i++ {
		if p.text[i] != '\'' || i+1 < len(p.text) && strings.IndexByte(" )]", p.text[i+1]) < 0 {
			continue
		}
		text = p.text[p.pos+1 : i]
		if strings.Contains(text, "\\") || strings.Contains(text, "''") {
			return "", false, p.fail(p.pos, "single quotes have no escapes: the value must be in double quotes")
		}
		p.pos = i + 1
		return text, true, nil
	}
	return "", false, nil
}

// howWritten says how a value is written as JSON.
func howWritten(a *Attribute) string {
	switch a.Type {
	case TypeBoolean:
		return "the value must be true or false, without quotes,"
	case TypeInteger, TypeDecimal:
		return "the value must be a number, without quotes,"
	}
	return "the value must be in double quotes"
}

// asWritten reports whether a value is written as JSON does for the type of its attribute.
func asWritten(a *Attribute, text string, quoted bool) bool {
	switch a.Type {
	case TypeBoolean:
		return !quoted && (text == "true" || text == "false")
	case TypeInteger, TypeDecimal:
		return !quoted
	}
	return quoted
}

// makeLiteral brings a value into the type of its attribute; why says what does not fit.
func makeLiteral(a *Attribute, op operator, text string) (lit literal, why string) {
	part := op == opCo || op == opSw || op == opEw
	order := op == opGt || op == opGe || op == opLt || op == opLe
	lit = literal{kind: String, text: text}
	switch a.Type {
	case TypeComplex:
		return lit, "the attribute needs a sub-attribute to compare"
	case TypeBoolean:
		if part || order {
			return lit, "the operator does not fit a boolean"
		}
		b, ok := Value{Kind: String, Text: text}.boolean()
		if !ok {
			return lit, "true or false is expected"
		}
		return literal{kind: Bool, bool: b}, ""
	case TypeInteger, TypeDecimal:
		if part {
			return lit, "the operator does not fit a number"
		}
		if n := scanNumber(text); n == 0 || n != len(text) {
			return lit, "a number is expected"
		}
		lit.kind = Number
	case TypeDateTime:
		if lit.exact = part; part {
			break
		}
		if lit.time, lit.instant = parseInstant(text); !lit.instant {
			return lit, "a date and time is expected"
		}
	case TypeBinary:
		if order {
			return lit, "the operator does not fit a binary"
		}
		lit.exact = true
	default:
		if lit.exact = a.CaseExact || a.Type == TypeReference; !lit.exact {
			lit.folded = foldText(text)
		}
	}
	return lit, ""
}

// parseInstant reads a dateTime of RFC 7643 section 2.3.5: an xsd:dateTime of the years 0000 to 9999.
// Its zone may be missing, which reads as UTC; 24:00:00 is the first instant of the next day, and
// there are no leap seconds.
func parseInstant(s string) (time.Time, bool) {
	const shape, end, most = "2006-01-02T15:04:05", "24:00:00", 64
	// time.Parse is lenient about a missing zero, a comma and the size of an offset.
	if len(s) < len(shape) || len(s) > most || s[10] != 'T' || s[13] != ':' || strings.IndexByte(s, ',') >= 0 {
		return time.Time{}, false
	}
	days := 0
	if rest, midnight := strings.CutPrefix(s[11:], end); midnight {
		days, s = 1, s[:11]+"00:00:00"+rest
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t, err = time.Parse(shape, s)
	}
	_, offset := t.Zone()
	if err != nil || max(offset, -offset) > 14*3600 || days > 0 && t.Nanosecond() > 0 {
		return time.Time{}, false
	}
	return t.AddDate(0, 0, days), true
}

// foldText is the form in which texts are compared without regard to case. It must stay the form
// of directory.Service.Fold, or a filter misses what the uniqueness check finds.
func foldText(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return directory.FoldCase(norm.NFC.String(s))
		}
	}
	return lowerASCII(s)
}

// foldView is foldText that writes into buf where ASCII is all there is to fold. The result is
// valid only while buf and s are.
func foldView(buf []byte, s string) string {
	upper := -1
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return foldText(s)
		}
		if upper < 0 && 'A' <= s[i] && s[i] <= 'Z' {
			upper = i
		}
	}
	if upper < 0 {
		return s
	}
	if len(s) > len(buf) {
		return lowerASCII(s)
	}
	buf = buf[:copy(buf, s)]
	for i := upper; i < len(buf); i++ {
		if 'A' <= buf[i] && buf[i] <= 'Z' {
			buf[i] += 'a' - 'A'
		}
	}
	return unsafeString(buf)
}

// document is what a filter is matched against. attribute returns the value of ref.attr as a
// whole, whatever ref.sub says.
type document interface {
	attribute(ref attrRef) (Value, bool)
}

// match reports whether the filter of a query holds for a resource.
func (f *Filter) match(d document) bool { return f.eval(f.root, d, nil, nil) }

// matchElement reports whether the filter of an element holds for elem: an object, or a simple
// value of a simple multi-valued attribute.
func (f *Filter) matchElement(elem Value) bool { return f.eval(f.root, nil, &elem, nil) }

// eval evaluates a node on a resource, or below opPath on an element of it. The element is raw
// where the resource is stored bytes: decoding it would take most of the time of a scan. The
// recursion is as deep as the filter, which Depth bounds. (Three parameters and no struct of them:
// with that the compiler would move elem to the heap.)
func (f *Filter) eval(id int32, d document, elem *Value, raw []byte) bool {
	n := &f.nodes[id]
	switch n.op {
	case opAnd, opOr:
		for id = n.first; ; id = f.nodes[id].next {
			if f.eval(id, d, elem, raw) == (n.op == opOr) {
				return n.op == opOr
			}
			if f.nodes[id].next == 0 {
				return n.op == opAnd
			}
		}
	case opNot:
		return !f.eval(n.first, d, elem, raw)
	}
	switch {
	case elem != nil:
		return n.holds(elem)
	case raw != nil:
		return n.holdsRaw(raw)
	}
	var v Value
	if stored, is := d.(*storedDocument); is {
		if v, raw = stored.find(n.ref); raw != nil {
			return f.evalRaw(n, raw)
		}
	} else {
		v, _ = d.attribute(n.ref)
	}
	switch {
	case n.op != opPath:
		return n.holds(&v)
	case v.Kind == Null:
		return false
	case v.Kind != Array:
		return f.eval(n.first, nil, &v, nil)
	}
	for i := range v.Elems {
		if f.eval(n.first, nil, &v.Elems[i], nil) {
			return true
		}
	}
	return false
}

func (f *Filter) evalRaw(n *node, raw []byte) bool {
	switch {
	case n.op != opPath:
		return n.holdsRaw(raw)
	case raw[0] == 'n':
		return false
	case raw[0] != '[':
		return f.eval(n.first, nil, nil, raw)
	}
	s := scanElements(raw)
	for elem, ok := s.next(); ok; elem, ok = s.next() {
		if f.eval(n.first, nil, nil, elem) {
			return true
		}
	}
	return false
}

// holdsRaw is holds for stored bytes, anyRaw is any.
func (n *node) holdsRaw(raw []byte) bool {
	return n.anyRaw(raw, n.ref.sub) != (n.op == opNe)
}

func (n *node) anyRaw(raw []byte, sub *Attribute) bool {
	switch {
	case len(raw) > 0 && raw[0] == '[':
		s := scanElements(raw)
		for elem, ok := s.next(); ok; elem, ok = s.next() {
			if n.anyRaw(elem, sub) {
				return true
			}
		}
		return false
	case sub != nil:
		if raw = rawMember(raw, sub.Name); raw == nil {
			return n.assumed(sub)
		}
		return n.anyRaw(raw, nil)
	}
	v := aliasRaw(raw)
	return n.one(&v)
}

// holds reports whether a comparison holds for the value of an attribute or an element of it.
func (n *node) holds(v *Value) bool {
	return n.any(v, n.ref.sub) != (n.op == opNe)
}

func (n *node) any(v *Value, sub *Attribute) bool {
	if v.Kind == Array {
		for i := range v.Elems {
			if n.any(&v.Elems[i], sub) {
				return true
			}
		}
		return false
	}
	if sub == nil {
		return n.one(v)
	}
	for i := range v.Members {
		if equalFold(v.Members[i].Name, sub.Name) {
			return n.any(&v.Members[i].Value, nil)
		}
	}
	return v.Kind == Object && n.assumed(sub)
}

// assumed reports whether the comparison holds for a value that does not say sub: without primary it is not the
// primary one (RFC 7643 section 2.4).
func (n *node) assumed(sub *Attribute) bool {
	return n.op != opPr && n.lit.kind == Bool && !n.lit.bool && sub.Type == TypeBoolean && sub.Name == "primary"
}

// one compares one value; opNe was turned into opEq by holds.
func (n *node) one(v *Value) bool {
	if n.op == opPr {
		return !v.empty()
	}
	switch n.lit.kind {
	case Bool:
		b, ok := v.boolean()
		return ok && b == n.lit.bool
	case Number:
		return v.Kind == Number && n.ordered(compareNumbers(v.Text, n.lit.text))
	}
	if v.Kind != String {
		return false
	}
	if n.lit.instant {
		t, ok := parseInstant(v.Text)
		return ok && n.ordered(t.Compare(n.lit.time))
	}
	if n.lit.exact {
		return n.text(v.Text, n.lit.text)
	}
	var buf [256]byte
	return n.text(foldView(buf[:], v.Text), n.lit.folded)
}

func (n *node) text(have, want string) bool {
	switch n.op {
	case opEq, opNe:
		return have == want
	case opCo:
		return strings.Contains(have, want)
	case opSw:
		return strings.HasPrefix(have, want)
	case opEw:
		return strings.HasSuffix(have, want)
	}
	// Not strings.Compare, which would move the buffer of foldView to the heap.
	switch {
	case have < want:
		return n.ordered(-1)
	case have > want:
		return n.ordered(1)
	}
	return n.ordered(0)
}

func (n *node) ordered(c int) bool {
	switch n.op {
	case opEq, opNe:
		return c == 0
	case opGt:
		return c > 0
	case opGe:
		return c >= 0
	case opLt:
		return c < 0
	case opLe:
		return c <= 0
	}
	return false
}

// compareNumbers compares two JSON numbers exactly, without ever making one of their size:
// 1e999999999 is a number too.
func compareNumbers(a, b string) int {
	x, y := readDecimal(a), readDecimal(b)
	if c := cmp.Compare(x.sign, y.sign); c != 0 || x.sign == 0 {
		return c
	}
	c := cmp.Compare(x.point, y.point)
	for i := 0; c == 0 && (i < x.digits || i < y.digits); i++ {
		c = cmp.Compare(x.digit(i), y.digit(i))
	}
	return c * x.sign
}

// decimal is sign * 0.digits * 10^point, the first digit not being 0.
type decimal struct {
	sign   int
	point  int
	digits int    // digits in text, leading zeros apart
	text   string // from the first digit that is not 0 to the exponent, with the point
	dot    int    // index of the point in text, -1 without
}

func (d *decimal) digit(i int) byte {
	switch {
	case i >= d.digits:
		return '0'
	case d.dot >= 0 && i >= d.dot:
		return d.text[i+1]
	}
	return d.text[i]
}

// String writes equal numbers alike.
func (d decimal) String() string {
	if d.sign == 0 {
		return "0"
	}
	digits := make([]byte, d.digits)
	for i := range digits {
		digits[i] = d.digit(i)
	}
	return fmt.Sprintf("%d %s %d", d.sign, bytes.TrimRight(digits, "0"), d.point)
}

func readDecimal(s string) decimal {
	d := decimal{sign: 1, dot: -1}
	if strings.HasPrefix(s, "-") {
		d.sign, s = -1, s[1:]
	}
	exponent := 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		exponent = readExponent(s[i+1:])
		s = s[:i]
	}
	whole, fraction, _ := strings.Cut(s, ".")
	if whole = strings.TrimLeft(whole, "0"); whole != "" {
		d.text, d.point, d.digits = strings.TrimLeft(s, "0"), len(whole)+exponent, len(whole)+len(fraction)
		if fraction != "" {
			d.dot = len(whole)
		}
		return d
	}
	d.text = strings.TrimLeft(fraction, "0")
	if d.digits = len(d.text); d.digits == 0 {
		return decimal{dot: -1}
	}
	d.point = exponent - (len(fraction) - len(d.text))
	return d
}

// readExponent reads a signed integer; what is larger than any other number of a body ends at a
// bound that no sum overflows.
func readExponent(s string) int {
	const bound = 1 << 40
	sign, n := 1, 0
	switch {
	case strings.HasPrefix(s, "-"):
		sign, s = -1, s[1:]
	case strings.HasPrefix(s, "+"):
		s = s[1:]
	}
	for i := 0; i < len(s) && n < bound; i++ {
		n = n*10 + int(s[i]-'0')
	}
	return sign * min(n, bound)
}

// equality is a comparison with eq that every match satisfies.
type equality struct {
	ref     attrRef // with sub for a complex attribute
	literal Value
}

// equalities returns the comparisons with eq that every match must satisfy, for a planner to look
// up in an index. For a multi-valued attribute each holds for some element, not all for the same.
func (f *Filter) equalities() []equality {
	return f.collect(nil, f.root)
}

func (f *Filter) collect(list []equality, id int32) []equality {
	switch n := &f.nodes[id]; n.op {
	case opEq:
		return append(list, equality{n.ref, n.lit.value()})
	case opPath:
		return f.collect(list, n.first)
	case opAnd:
		for id = n.first; ; id = f.nodes[id].next {
			list = f.collect(list, id)
			if f.nodes[id].next == 0 {
				return list
			}
		}
	}
	return list
}

// elementTerm is one comparison with eq of an element filter.
type elementTerm struct {
	sub     *Attribute // nil: the element of a simple attribute itself
	literal Value
}

// elementTerms returns what an element must hold to match a filter that is a conjunction of eq
// comparisons; false for any other filter.
func (f *Filter) elementTerms() ([]elementTerm, bool) {
	root := &f.nodes[f.root]
	switch root.op {
	case opEq:
		return []elementTerm{{root.ref.sub, root.lit.value()}}, true
	case opAnd:
		var list []elementTerm
		for id := root.first; ; {
			n := &f.nodes[id]
			if n.op != opEq {
				return nil, false
			}
			list = append(list, elementTerm{n.ref.sub, n.lit.value()})
			if id = n.next; id == 0 {
				return list, true
			}
		}
	}
	return nil, false
}

// requires returns the text that a sub-attribute must have, compared by eq, wherever node id of an element filter holds.
func (f *Filter) requires(id int32, sub *Attribute) (string, bool) {
	n := &f.nodes[id]
	switch {
	case n.op == opEq:
		return n.lit.text, n.ref.sub == sub && n.lit.kind == String
	case n.op != opAnd:
		return "", false
	}
	for id = n.first; ; id = f.nodes[id].next {
		if text, ok := f.requires(id, sub); ok || f.nodes[id].next == 0 {
			return text, ok
		}
	}
}

// uses reports whether the filter reads any attribute for which is holds.
func (f *Filter) uses(is func(attrRef) bool) bool {
	for i := range f.nodes {
		if n := &f.nodes[i]; n.op >= opPath && is(n.ref) {
			return true
		}
	}
	return false
}

// String returns the filter in canonical form, which parses to the same filter again.
func (f *Filter) String() string { return string(f.append(nil, f.root, f.element)) }

func (f *Filter) append(dst []byte, id int32, inElement bool) []byte {
	n := &f.nodes[id]
	switch n.op {
	case opAnd, opOr:
		for id = n.first; ; id = f.nodes[id].next {
			group := n.op == opAnd && f.nodes[id].op == opOr
			if group {
				dst = append(dst, '(')
			}
			dst = f.append(dst, id, inElement)
			if group {
				dst = append(dst, ')')
			}
			if f.nodes[id].next == 0 {
				return dst
			}
			if n.op == opAnd {
				dst = append(dst, " and "...)
			} else {
				dst = append(dst, " or "...)
			}
		}
	case opNot:
		dst = append(dst, "not ("...)
		return append(f.append(dst, n.first, inElement), ')')
	case opPath:
		dst = append(n.ref.appendName(dst), '[')
		return append(f.append(dst, n.first, true), ']')
	}
	switch {
	case !inElement:
		dst = n.ref.appendName(dst)
	case n.ref.sub != nil:
		dst = append(dst, n.ref.sub.Name...)
	default:
		dst = append(dst, "value"...)
	}
	dst = append(dst, ' ')
	dst = append(dst, operatorNames[n.op]...)
	if n.op == opPr {
		return dst
	}
	return appendValue(append(dst, ' '), n.lit.value())
}

// appendName appends the name of the attribute as a client writes it.
func (r attrRef) appendName(dst []byte) []byte {
	if r.urn != "" {
		dst = append(append(dst, r.urn...), ':')
	}
	dst = append(dst, r.attr.Name...)
	if r.sub != nil {
		dst = append(append(dst, '.'), r.sub.Name...)
	}
	return dst
}
