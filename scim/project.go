package scim

import (
	"net/http"
	"slices"
	"strings"
)

// Projection decides which attributes of a resource an answer holds (RFC 7644 section 3.4.2.5).
// It is immutable. Two things hold for every projection: an attribute with returned "always",
// among them id and schemas, stays, and one with "never" does not appear, whatever a client asks.
type Projection struct {
	only  bool   // attributes was given: what is not named is left out
	plans []plan // core schema, then the extensions in their order

	// What it was made of, and whether something is left out for nothing but returned "request".
	urns     []string
	named    []namedAttr
	withheld bool
}

// action is what becomes of an attribute.
type action uint8

const (
	drop action = iota
	keep
	part // some sub-attributes or elements
)

// plan is the decision for one schema.
type plan struct {
	urn    string // empty: core schema and common attributes
	others action // drop or keep: attributes without rule
	rules  []rule
}

// rule is the decision for one attribute.
type rule struct {
	attr  *Attribute
	do    action
	wrote []*Attribute // sub-attributes with returned "request" that the client wrote
	names
}

// names is how a list of a client names one attribute.
type names struct {
	whole bool
	subs  []*Attribute
	some  []selection
}

// selection is attr[filter] or, with sub, attr[filter].sub.
type selection struct {
	filter *Filter
	sub    *Attribute
}

const (
	maxProjection = 8192 // bytes of a list of names
	maxSelections = 64   // value filters in one attribute; one bit each
)

// defaultProjection is what a request without attributes and excludedAttributes gets. It can be
// made once for a resource type.
func defaultProjection(rt *ResourceType) *Projection { return compile(rt, false, nil, nil, nil) }

// parseProjection reads the parameters attributes and excludedAttributes; an empty one is one that
// was not sent. Unknown names are ignored.
func parseProjection(attributes, excluded string, rt *ResourceType, lim FilterLimits) (*Projection, error) {
	attributes, excluded = strings.Trim(attributes, ", "), strings.Trim(excluded, ", ")
	if attributes != "" && excluded != "" {
		return nil, invalidValue("Give either attributes or excludedAttributes, not both.")
	}
	list := attributes + excluded // one of them is empty
	if list == "" {
		return defaultProjection(rt), nil
	}
	if len(list) > maxProjection {
		return nil, invalidValue("A list of attributes is longer than %d bytes.", maxProjection)
	}
	p := projectionParser{rt: rt, lim: lim}
	for list != "" {
		var item string
		item, list = cutName(list)
		if err := p.item(strings.Trim(item, " ")); err != nil {
			return nil, err
		}
	}
	return compile(rt, attributes != "", p.urns, p.named, nil), nil
}

// cutName cuts the first name off a list; a comma within brackets or quotes is part of the name.
func cutName(list string) (name, rest string) {
	bracket, quote := false, false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case quote && c == '\\':
			i++
		case bracket && c == '"':
			quote = !quote
		case quote:
		case c == '[':
			bracket = true
		case c == ']':
			bracket = false
		case c == ',' && !bracket:
			return list[:i], list[i+1:]
		}
	}
	return list, ""
}

// namedAttr is an attribute that a list names, in however many items.
type namedAttr struct {
	attr *Attribute
	names
}

type projectionParser struct {
	rt    *ResourceType
	lim   FilterLimits
	urns  []string // schemas named as a whole; empty: the core schema
	named []namedAttr
}

func (p *projectionParser) item(item string) error {
	name, rest, filtered := strings.Cut(item, "[")
	if !filtered && equalFold(name, p.rt.Core.ID) {
		p.urns = append(p.urns, "")
		return nil
	}
	ref, ok := p.rt.lookup(strings.TrimRight(name, " "))
	switch {
	case !ok:
		return nil
	case ref.attr == nil:
		p.urns = append(p.urns, ref.urn)
		return nil
	case hidden(ref.attr):
		return nil // as unknown
	}
	n := p.of(ref.attr)
	if !filtered {
		if ref.sub == nil {
			n.whole = true
		} else {
			n.subs = append(n.subs, ref.sub)
		}
		return nil
	}
	end := strings.LastIndexByte(rest, ']')
	if end < 0 {
		return invalidFilter("A bracket in the list of attributes is not closed.")
	}
	if ref.sub != nil || len(n.some) == maxSelections {
		return invalidFilter("A filter in the list of attributes is not possible at %q.", clipName(name))
	}
	f, err := parseElementFilter(rest[:end], p.rt, ref.attr, p.lim)
	if err != nil {
		return err
	}
	s := selection{filter: f}
	if sub, has := strings.CutPrefix(rest[end+1:], "."); has {
		if s.sub = find(ref.attr.Sub, sub); s.sub == nil {
			return nil
		}
	} else if rest[end+1:] != "" {
		return invalidFilter("A comma is expected behind a bracket in the list of attributes.")
	}
	n.some = append(n.some, s)
	return nil
}

func (p *projectionParser) of(a *Attribute) *names {
	for i := range p.named {
		if p.named[i].attr == a {
			return &p.named[i].names
		}
	}
	p.named = append(p.named, namedAttr{attr: a})
	return &p.named[len(p.named)-1].names
}

// answering returns the projection of the answer to a write. An attribute with returned "request" that
// the client wrote is returned to it (RFC 7643 section 7), unless attributes or excludedAttributes say otherwise.
func (p *Projection) answering(method string, body Value, rt *ResourceType) *Projection {
	if !p.withheld || p.only {
		return p
	}
	if method != http.MethodPatch {
		return compile(rt, p.only, p.urns, p.named, rt.written(nil, body))
	}
	var written []attrRef
	list, _ := body.Get("Operations")
	for _, op := range list.Elems {
		path, _ := op.Get("path")
		value, _ := op.Get("value")
		if path.Kind != String || path.Text == "" {
			written = rt.written(written, value)
		} else {
			written = rt.writtenAt(written, path.Text, value)
		}
	}
	return compile(rt, p.only, p.urns, p.named, written)
}

// written appends what the names of an object of a client point at: attributes, and what is within them.
func (rt *ResourceType) written(list []attrRef, object Value) []attrRef {
	for _, m := range object.Members {
		list = rt.writtenAt(list, m.Name, m.Value)
	}
	return list
}

func (rt *ResourceType) writtenAt(list []attrRef, path string, value Value) []attrRef {
	p, err := parsePath(path, rt, PatchLimits{})
	switch {
	case err != nil || p.unknown:
		return list
	case p.whole:
		return rt.written(list, value)
	case p.ref.attr == nil:
		for _, m := range value.Members {
			list = rt.writtenAt(list, p.ref.urn+":"+m.Name, m.Value)
		}
		return list
	}
	list = append(list, p.ref)
	elems := value.Elems
	if value.Kind == Object {
		elems = []Value{value}
	}
	for _, e := range elems {
		for _, m := range e.Members {
			if sub := find(p.ref.attr.Sub, m.Name); sub != nil && p.ref.sub == nil {
				list = append(list, p.ref.of(sub))
			}
		}
	}
	return list
}

// compile decides for every attribute of the type once, so that an answer only looks it up. written is what a client
// wrote of it, for the answer to that.
func compile(rt *ResourceType, only bool, urns []string, named []namedAttr, written []attrRef) *Projection {
	p := &Projection{only: only, plans: make([]plan, 1+len(rt.Extensions)), urns: urns, named: named}
	schemaOf := func(i int) *Schema {
		if i == 0 {
			return rt.Core
		}
		return rt.Extensions[i-1]
	}
	for i := range p.plans {
		pl, s := &p.plans[i], schemaOf(i)
		if i > 0 {
			pl.urn = s.ID
		}
		whole := false
		for _, urn := range urns {
			whole = whole || urn == pl.urn
		}
		if pl.others = drop; whole == only {
			pl.others = keep
		}
		for _, a := range s.Attributes {
			pl.decide(a, only, whole, named, written)
			p.withheld = p.withheld || withholds(a)
		}
		if i == 0 {
			for _, a := range []*Attribute{attrID, attrSchemas, attrMeta} {
				if find(s.Attributes, a.Name) == nil {
					pl.decide(a, only, whole, named, nil)
				}
			}
		}
	}
	return p
}

// withholds reports whether an attribute or a part of it is returned on request alone.
func withholds(a *Attribute) bool {
	return a.Returned == "request" || slices.ContainsFunc(a.Sub, withholds)
}

func (pl *plan) decide(a *Attribute, only, whole bool, named []namedAttr, written []attrRef) {
	r := rule{attr: a}
	wrote := false
	for _, ref := range written {
		if ref.attr == a {
			wrote = true
			if ref.sub != nil {
				r.wrote = append(r.wrote, ref.sub)
			}
		}
	}
	for i := range named {
		if named[i].attr == a {
			r.names = named[i].names
		}
	}
	explicit := r.whole
	r.whole = r.whole || whole
	partly := len(r.subs)+len(r.some) > 0
	switch {
	case hidden(a):
		r.do = drop
	case a.Returned == "always":
		r.do, r.names = keep, names{whole: only}
	case a.Returned == "request" && !wrote && !(only && (explicit || partly)):
		r.do = drop
	case r.whole:
		if r.do = drop; only {
			r.do = keep
		}
	case partly:
		r.do = part
	default:
		if r.do = keep; only {
			r.do = drop
		}
	}
	if r.do == keep {
		// Sub-attributes have a word on being returned too.
		for _, sub := range a.Sub {
			if hidden(sub) || sub.Returned == "request" && !slices.Contains(r.wrote, sub) {
				r.do = part
			}
		}
	}
	if r.do != pl.others {
		pl.rules = append(pl.rules, r)
	}
}

// wholeResource reports whether stored bytes can be copied as they are.
func (p *Projection) wholeResource() bool {
	for i := range p.plans {
		if !p.plans[i].copies() {
			return false
		}
	}
	return true
}

func (pl *plan) copies() bool { return pl.others == keep && len(pl.rules) == 0 }

// wants reports whether any part of an attribute appears, so that one that is costly to find out
// is not. Names are canonical; an empty name means anything of the schema.
func (p *Projection) wants(urn, name string) bool {
	pl := p.plan(urn)
	if pl == nil || name != "" {
		do, _ := pl.action(name)
		return do != drop
	}
	if pl.others == keep {
		return true
	}
	for i := range pl.rules {
		if pl.rules[i].do != drop {
			return true
		}
	}
	return false
}

func (p *Projection) plan(urn string) *plan {
	for i := range p.plans {
		if p.plans[i].urn == urn {
			return &p.plans[i]
		}
	}
	return nil
}

func (pl *plan) action(name string) (action, *rule) {
	if pl == nil {
		return drop, nil
	}
	for i := range pl.rules {
		if pl.rules[i].attr.Name == name {
			return pl.rules[i].do, &pl.rules[i]
		}
	}
	return pl.others, nil
}

// append appends the members of a stored resource that appear, each behind a comma: they follow
// schemas and id, which always appear.
func (p *Projection) append(dst, doc []byte) []byte {
	core := &p.plans[0]
	s := scanMembers(doc)
	for {
		name, raw, ok := s.next()
		if !ok {
			return dst
		}
		if pl := p.extension(name); pl != nil {
			dst = p.appendExtension(dst, pl, raw, s.member())
		} else {
			dst = p.appendMember(dst, core, name, raw, s.member())
		}
	}
}

// extension returns the plan of the extension of that URN, nil for names of the core schema.
func (p *Projection) extension(name []byte) *plan {
	if len(name) < 4 || string(name[:4]) != "urn:" {
		return nil
	}
	for i := 1; i < len(p.plans); i++ {
		if p.plans[i].urn == string(name) {
			return &p.plans[i]
		}
	}
	return nil
}

// appendAttribute appends what appears of an attribute that is not stored with the resource:
// ,"name":value with raw as the value, or nothing. An empty name means the extension as a whole.
func (p *Projection) appendAttribute(dst []byte, urn, name string, raw []byte) []byte {
	pl := p.plan(urn)
	switch {
	case pl == nil:
		return dst
	case name == "":
		return p.appendExtension(dst, pl, raw, nil)
	}
	return p.appendMember(dst, pl, []byte(name), raw, nil)
}

// appendMember appends one member; member is its bytes with the name where there are such.
func (p *Projection) appendMember(dst []byte, pl *plan, name, raw, member []byte) []byte {
	do, r := pl.action(unsafeString(name))
	if do == drop {
		return dst
	}
	if do == keep && member != nil {
		return append(append(dst, ','), member...)
	}
	mark := len(dst)
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':')
	if do == keep {
		return append(dst, raw...)
	}
	value := len(dst)
	if dst = p.appendPart(dst, r, raw); len(dst) == value {
		return dst[:mark]
	}
	return dst
}

func (p *Projection) appendExtension(dst []byte, pl *plan, raw, member []byte) []byte {
	if pl.copies() && member != nil {
		return append(append(dst, ','), member...)
	}
	mark := len(dst)
	dst = append(dst, ',', '"')
	dst = append(dst, pl.urn...)
	dst = append(dst, '"', ':')
	open := len(dst)
	s := scanMembers(raw)
	for {
		name, raw, ok := s.next()
		if !ok {
			break
		}
		dst = p.appendMember(dst, pl, name, raw, s.member())
	}
	return closeList(dst, mark, open, '{', '}')
}

// closeList puts brackets around what follows open, each item of which starts with a comma; what
// is empty is cut off at mark.
func closeList(dst []byte, mark, open int, left, right byte) []byte {
	if len(dst) == open {
		return dst[:mark]
	}
	dst[open] = left
	return append(dst, right)
}

// appendPart appends what appears of the value of an attribute, nothing when that is empty.
func (p *Projection) appendPart(dst []byte, r *rule, raw []byte) []byte {
	if len(raw) == 0 || raw[0] != '[' {
		return p.appendElement(dst, r, raw)
	}
	open := len(dst)
	s := scanElements(raw)
	for {
		elem, ok := s.next()
		if !ok {
			return closeList(dst, open, open, '[', ']')
		}
		mark := len(dst)
		dst = append(dst, ',')
		if dst = p.appendElement(dst, r, elem); len(dst) == mark+1 {
			dst = dst[:mark]
		}
	}
}

func (p *Projection) appendElement(dst []byte, r *rule, raw []byte) []byte {
	// One bit for each selection that matches the element.
	matched, all := uint64(0), false
	if len(r.some) > 0 {
		elem := aliasRaw(raw)
		for i, s := range r.some {
			if s.filter.matchElement(elem) {
				matched |= 1 << i
				all = all || s.sub == nil
			}
		}
	}
	object := len(raw) > 0 && raw[0] == '{'
	switch {
	case p.only && !r.whole && len(r.subs) == 0 && matched == 0, !p.only && all:
		return dst
	case !object && (!p.only || r.whole || all):
		return append(dst, raw...)
	case !object:
		return dst
	}
	open := len(dst)
	s := scanMembers(raw)
	for {
		name, _, ok := s.next()
		if !ok {
			return closeList(dst, open, open, '{', '}')
		}
		if p.keepsSub(r, unsafeString(name), matched, all) {
			dst = append(append(dst, ','), s.member()...)
		}
	}
}

// keepsSub decides for a sub-attribute of an element of an attribute that appears in part.
func (p *Projection) keepsSub(r *rule, name string, matched uint64, all bool) bool {
	var sub *Attribute
	for _, a := range r.attr.Sub {
		if a.Name == name {
			sub = a
		}
	}
	switch {
	case sub == nil || hidden(sub):
		return false
	case sub.Returned == "always":
		return true
	}
	requested := sub.Returned == "request" && !slices.Contains(r.wrote, sub)
	named := false
	for _, a := range r.subs {
		named = named || a == sub
	}
	for i, s := range r.some {
		named = named || matched&(1<<i) != 0 && s.sub == sub
	}
	if p.only {
		return named || (r.whole || all) && !requested
	}
	return !named && !requested
}
