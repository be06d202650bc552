package scim

import (
	"bytes"
)

// The attributes of a resource are stored as one compact JSON object as appendValue writes it:
// members in the order of the schema, under their canonical names, extensions as objects under
// their URN. What follows finds its way in such bytes without decoding them. Damaged bytes give
// fewer members, never a panic or an endless loop.

// memberScan is a cursor over the members of an object.
type memberScan struct {
	buf []byte
	pos int
	end int // of the member that next returned last
}

// scanMembers returns a cursor before the first member of obj.
func scanMembers(obj []byte) memberScan {
	if len(obj) == 0 || obj[0] != '{' {
		obj = nil
	}
	return memberScan{buf: obj}
}

// next returns the name and the value of the next member, ok being false behind the last one. A
// name is returned as it is written; canonical names hold no escapes.
func (s *memberScan) next() (name, raw []byte, ok bool) {
	i := s.end // at the opening brace, or at the comma behind the last member
	if i >= len(s.buf)-1 || i > 0 && s.buf[i] != ',' || s.buf[i+1] != '"' {
		return nil, nil, false
	}
	s.pos = i + 1
	colon := skipString(s.buf, s.pos)
	if colon < 0 || colon >= len(s.buf) || s.buf[colon] != ':' {
		return nil, nil, false
	}
	end := skipValue(s.buf, colon+1)
	if end < 0 {
		return nil, nil, false
	}
	s.end = end
	return s.buf[s.pos+1 : colon-1], s.buf[colon+1 : end], true
}

// member returns the bytes of the member that next returned last, from the quote of its name.
func (s *memberScan) member() []byte { return s.buf[s.pos:s.end] }

// elementScan is a cursor over the elements of a list.
type elementScan struct {
	buf []byte
	end int
}

// scanElements returns a cursor before the first element of list.
func scanElements(list []byte) elementScan {
	if len(list) == 0 || list[0] != '[' {
		list = nil
	}
	return elementScan{buf: list}
}

// next returns the next element.
func (s *elementScan) next() (raw []byte, ok bool) {
	i := s.end
	if i >= len(s.buf)-1 || i > 0 && s.buf[i] != ',' {
		return nil, false
	}
	end := skipValue(s.buf, i+1)
	if end < 0 {
		return nil, false
	}
	s.end = end
	return s.buf[i+1 : end], true
}

// skipString returns the index behind the string that starts at b[i], -1 when it does not end.
func skipString(b []byte, i int) int {
	for i++; ; i++ {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		start := i
		i += n
		slashes := 0
		for i-slashes > start && b[i-slashes-1] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i + 1
		}
	}
}

// skipValue returns the index behind the value that starts at b[i], -1 when there is none.
func skipValue(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	start, depth := i, 0
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		for i < len(b) {
			switch b[i] {
			case '"':
				// Texts inside are short: a loop is quicker than skipString.
				for i++; i < len(b) && b[i] != '"'; i++ {
					if b[i] == '\\' {
						i++
					}
				}
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return -1
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

// rawAttribute returns the bytes of one attribute of a stored resource, nil when it is absent. The
// names are canonical; an empty urn means the core schema.
func rawAttribute(obj []byte, urn, name string) []byte {
	if urn != "" {
		if obj = rawMember(obj, urn); obj == nil {
			return nil
		}
	}
	return rawMember(obj, name)
}

func rawMember(obj []byte, want string) []byte {
	s := scanMembers(obj)
	for {
		name, raw, ok := s.next()
		if !ok {
			return nil
		}
		if string(name) == want {
			return raw
		}
	}
}

// storedDocument is the document of stored bytes. One can be used for one resource after the
// other. The values it returns share the bytes of doc: they are valid only while those are, in a
// transaction until its end, and whoever keeps one must clone it.
type storedDocument struct {
	doc []byte
	// virtual answers for attributes that are not in doc: id, meta, schemas, groups, members. It
	// is asked first and only for what a filter names, so it can be as slow as the answer needs.
	// nil: there are none.
	virtual func(ref attrRef) (v Value, ok, handled bool)
}

func (d *storedDocument) attribute(ref attrRef) (Value, bool) {
	v, raw := d.find(ref)
	if raw != nil {
		v = aliasRaw(raw)
	}
	return v, v.Kind != Null
}

// find returns the stored bytes of an attribute, or without such what virtual answers.
func (d *storedDocument) find(ref attrRef) (v Value, raw []byte) {
	if d.virtual != nil {
		if v, _, handled := d.virtual(ref); handled {
			return v, nil
		}
	}
	return Value{}, rawAttribute(d.doc, ref.urn, ref.attr.Name)
}
