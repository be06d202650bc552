package scim

import "strings"

const searchURN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"

func (q *request) searchUsers() error  { return q.search(q.tenant.user) }
func (q *request) searchGroups() error { return q.search(q.tenant.group) }
func (q *request) searchAll() error    { return q.search(q.tenant.user, q.tenant.group) }

// search answers a POST to /.search (RFC 7644 section 3.4.3) as a GET with the same parameters. It is a read: it
// leaves no line in the log of a tenant.
func (q *request) search(types ...*ResourceType) error {
	body, err := q.body()
	if err != nil {
		return err
	}
	p, err := readSearch(body, q.tenant.mode)
	if err != nil {
		return err
	}
	return q.answer(p, types)
}

// readSearch reads a SearchRequest. Null is absent. Tolerant mode takes a list of attributes as a text with commas and
// numbers as text too: both are how they are written in a URL.
func readSearch(body Value, mode Mode) (p params, err error) {
	if body.Kind != Object {
		return p, invalidSyntax("a search must be a JSON object")
	}
	if !namesSchema(body, searchURN) {
		return p, invalidSyntax("schemas must hold %s", searchURN)
	}
	for _, t := range []struct {
		name  string
		to    *string
		given *bool
	}{
		{"filter", &p.filter, &p.filtered}, {"cursor", &p.cursor, &p.byCursor}, {"sortBy", &p.sortBy, nil}, {"sortOrder", &p.sortOrder, nil},
	} {
		v, _ := body.Get(t.name)
		switch v.Kind {
		case Null:
			continue
		case String:
		default:
			return p, invalidValue("%s must be a string", t.name)
		}
		*t.to = v.Text
		if t.given != nil {
			*t.given = true
		}
	}
	for name, to := range map[string]*string{"attributes": &p.attributes, "excludedAttributes": &p.excluded} {
		if *to, err = searchNames(body, name, mode); err != nil {
			return p, err
		}
	}
	for name, to := range map[string]*string{"startIndex": &p.start, "count": &p.count} {
		v, _ := body.Get(name)
		switch {
		case v.Kind == Null:
		case v.Kind == Number, v.Kind == String && !mode.Strict:
			*to = v.Text
		case name == "count" && p.byCursor:
			return p, badRequest("invalidCount", "%s must be an integer", name)
		default:
			return p, invalidValue("%s must be an integer", name)
		}
	}
	return p, nil
}

// searchNames reads a list of attribute names into the form of a URL.
func searchNames(body Value, name string, mode Mode) (string, error) {
	v, _ := body.Get(name)
	switch {
	case v.Kind == Null:
		return "", nil
	case v.Kind == String && !mode.Strict:
		return v.Text, nil
	case v.Kind != Array:
		return "", invalidValue("%s must be a list of attribute names", name)
	}
	names := make([]string, len(v.Elems))
	for i, e := range v.Elems {
		if e.Kind != String {
			return "", invalidValue("%s must be a list of attribute names", name)
		}
		names[i] = e.Text
	}
	return strings.Join(names, ","), nil
}
