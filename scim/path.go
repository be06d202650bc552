package scim

import (
	"errors"
	"slices"
	"strings"
)

// patchPath is what the path of an operation, or a name in its value, points at.
type patchPath struct {
	ref     attrRef // without attribute: the whole extension
	filter  *Filter // which elements of the attribute; nil: no brackets
	element Value   // with filter: what an element that it asks for must hold
	created bool    // element is all that it asks for, so it may be created

	whole   bool // the core URN alone: the resource as such
	unknown bool // nothing that this resource has
	ignored bool // password: known, but nobody keeps it
}

// parsePath reads the path of a PATCH operation (RFC 7644 figure 7): attr, attr.sub, attr[filter]
// or attr[filter].sub, each also behind the URN of its schema. A path that is well formed and
// names nothing is unknown; one that is not well formed is an error.
func parsePath(s string, rt *ResourceType, lim PatchLimits) (patchPath, error) {
	lim = lim.orDefaults()
	if len(s) > lim.PathLength {
		return patchPath{}, invalidPath("A path may have %d characters at most.", lim.PathLength)
	}
	name, filter, sub, brackets, ok := splitPath(strings.TrimSpace(s))
	if !ok {
		return patchPath{}, invalidPath("The path %q is not valid.", clip(s))
	}
	ref, known := rt.lookup(name)
	switch {
	case !known && equalFold(name, rt.Core.ID) && !brackets:
		return patchPath{whole: true}, nil
	case !known && rt.decides(name):
		return patchPath{}, invalidPath("The path %q names nothing.", clip(s))
	case !known:
		return patchPath{unknown: true, ignored: equalFold(name, "password") || equalFold(name, rt.Core.ID+":password")}, nil
	case !brackets:
		return patchPath{ref: ref}, nil
	}
	if ref.attr == nil || ref.sub != nil || ref.attr.Type != TypeComplex && !ref.attr.MultiValued {
		return patchPath{}, invalidPath("The path %q has brackets behind something without elements.", clip(s))
	}
	lim.Filter.Terms = min(lim.Filter.Terms, maxPathTerms)
	f, err := parseElementFilter(filter, rt, ref.attr, lim.Filter)
	if err != nil {
		if ref.attr != attrMembers && namesUnknown(filter, rt, ref.attr, lim.Filter) { // passed over, it would leave somebody in a group
			return patchPath{unknown: true}, nil
		}
		return patchPath{}, invalidPath("The path %q is not valid. %s", clip(s), detail(err))
	}
	if sub != "" {
		// The elements of a simple attribute are their own value.
		simple := ref.attr.Type != TypeComplex && equalFold(sub, "value")
		if ref.sub = find(ref.attr.Sub, sub); ref.sub == nil && !simple {
			if ref.attr == attrMembers {
				return patchPath{}, invalidPath("The path %q names nothing.", clip(s))
			}
			return patchPath{unknown: true}, nil
		}
	}
	p := patchPath{ref: ref, filter: f}
	p.element, p.created = elementOf(f, ref)
	return p, nil
}

// decides reports whether a name that means nothing was likely meant for an attribute that decides who may enter: one that
// begins with it, such as active.value, or ends with it, such as /active or User.active. It is not passed over: that would
// leave somebody in. Names of other schemas are theirs.
func (rt *ResourceType) decides(path string) bool {
	path = strings.TrimSpace(path)
	if n := len(rt.Core.ID); len(path) > n && equalFold(path[:n], rt.Core.ID) && !nameChar(path[n]) {
		path = path[n:]
	} else if len(path) > 4 && equalFold(path[:4], "urn:") {
		return false
	}
	path, _, _ = strings.Cut(path, "[")
	words := strings.FieldsFunc(path, func(r rune) bool { return r > 0x7f || !nameChar(byte(r)) })
	if len(words) == 0 {
		return false
	}
	return rt.entry(words[0]) || rt.entry(words[len(words)-1])
}

// entry reports whether a name is that of an attribute which decides who may enter.
func (rt *ResourceType) entry(name string) bool {
	a := find(rt.Core.Attributes, strings.Trim(name, "$"))
	return a != nil && (a == attrActive || a == attrMembers)
}

// hides reports whether the value of a name that means nothing holds what decides who may enter, such as
// {"User": {"active": false}}.
func (rt *ResourceType) hides(name string, v Value) bool {
	if v.Kind != Object || len(name) > 4 && equalFold(name[:4], "urn:") && !equalFold(name, rt.Core.ID) {
		return false
	}
	return slices.ContainsFunc(v.Members, func(m Member) bool { return rt.entry(m.Name) })
}

// elementOf returns the element that a filter asks for when it is made of eq comparisons alone.
func elementOf(f *Filter, ref attrRef) (Value, bool) {
	terms, ok := f.elementTerms()
	if !ok {
		return Value{}, false
	}
	ref.sub = nil
	n := normalizer{patch: true}
	element := Value{Kind: Object}
	for _, t := range terms {
		if t.sub == nil {
			return t.literal, len(terms) == 1
		}
		// No element has two values of one sub-attribute.
		if _, twice := element.Get(t.sub.Name); twice || t.sub.Mutability == "readOnly" {
			return Value{}, false
		}
		v, ok, err := n.attribute(ref.of(t.sub), t.literal)
		if err != nil || !ok {
			return Value{}, false
		}
		element = setMember(ref.attr.Sub, element, t.sub.Name, v)
	}
	return element, true
}

// detail returns what an error says to the client.
func detail(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Detail
	}
	return err.Error()
}

// splitPath cuts a path into the name before the brackets, their inside, and the sub-attribute
// behind them. Quoted values may hold anything, so brackets are sought outside of quotes.
func splitPath(s string) (name, filter, sub string, brackets, ok bool) {
	open := strings.IndexByte(s, '[')
	if open < 0 {
		return s, "", "", false, validAttributePath(s)
	}
	end := closingBracket(s, open+1)
	name = strings.TrimRight(s[:open], " ") // as in filters
	if end < 0 || !validAttributePath(name) {
		return "", "", "", true, false
	}
	if rest := s[end+1:]; rest != "" {
		if rest[0] != '.' || !validSubName(rest[1:]) {
			return "", "", "", true, false
		}
		sub = rest[1:]
	}
	return name, s[open+1 : end], sub, true, true
}

func closingBracket(s string, from int) int {
	quoted := false
	for i := from; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ']' && !quoted:
			return i
		}
	}
	return -1
}

// validAttributePath checks the form of attr or attr.sub, alone or behind a URN. Which part of a
// URN is which only lookup knows: versions hold dots.
func validAttributePath(s string) bool {
	if len(s) > 4 && equalFold(s[:4], "urn:") {
		for part := range strings.SplitSeq(s, ":") {
			if part == "" || strings.Trim(part, ".") != part || strings.Contains(part, "..") {
				return false
			}
			for i := 0; i < len(part); i++ {
				if !nameChar(part[i]) && part[i] != '.' {
					return false
				}
			}
		}
		return true
	}
	name, sub, dotted := strings.Cut(s, ".")
	return validName(name) && (!dotted || validSubName(sub))
}

func validSubName(s string) bool { return validName(s) || equalFold(s, "$ref") }

// namesUnknown reports whether a filter is refused for no other reason than that it names
// sub-attributes which the attribute does not have: it is fine once every word in it is one.
func namesUnknown(filter string, rt *ResourceType, a *Attribute, lim FilterLimits) bool {
	all := &Attribute{Name: a.Name, Type: TypeComplex, MultiValued: true, Sub: a.Sub[:len(a.Sub):len(a.Sub)]}
	words := strings.FieldsFunc(filter, func(r rune) bool { return strings.ContainsRune(` ()"`, r) })
	for _, w := range words {
		if validName(w) && find(all.Sub, w) == nil {
			all.Sub = append(all.Sub, &Attribute{Name: w, Type: TypeString})
		}
	}
	_, err := parseElementFilter(filter, rt, all, lim)
	return err == nil
}
