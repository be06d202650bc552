package entrasim

import (
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// resource is a resource type of Microsoft Graph.
type resource int

const (
	userKind resource = iota
	groupKind
	deviceKind
	kinds // how many there are
)

// typeNames are the values of @odata.type, in JSON.
var typeNames = [kinds]string{`"#microsoft.graph.user"`, `"#microsoft.graph.group"`, `"#microsoft.graph.device"`}

// property is one property of a resource: how it is written for each kind that has it. Pages of a hundred thousand
// members are made of these, so nothing here looks at types.
type property struct {
	name     string
	key      string // "name":
	user     func([]byte, *User) []byte
	group    func([]byte, *Group) []byte
	device   func([]byte, string) []byte
	standard [kinds]bool // comes without $select
}

func (p *property) of(k resource) bool {
	return [kinds]bool{p.user != nil, p.group != nil, p.device != nil}[k]
}

func (p *property) write(b []byte, e entry) []byte {
	switch {
	case e.user != nil:
		return p.user(b, e.user)
	case e.group != nil:
		return p.group(b, e.group)
	}
	return p.device(b, e.device)
}

// appendQuoted writes a JSON string.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	plain := 0 // s[plain:i] needs no escape
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if c >= utf8.RuneSelf && (r != utf8.RuneError || n > 1) {
			i += n
			continue
		}
		b = append(b, s[plain:i]...)
		switch {
		case c >= utf8.RuneSelf:
			b = append(b, "\ufffd"...)
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		default:
			b = fmt.Appendf(b, `\u%04x`, c)
		}
		i += n
		plain = i
	}
	b = append(b, s[plain:]...)
	return append(b, '"')
}

// text writes a property of type string, which is null when it is empty.
func text(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return appendQuoted(b, s)
}

func boolean(b []byte, is bool) []byte {
	if is {
		return append(b, "true"...)
	}
	return append(b, "false"...)
}

func userText(get func(*User) string) func([]byte, *User) []byte {
	return func(b []byte, u *User) []byte { return text(b, get(u)) }
}

func constant(json string) func([]byte, *Group) []byte {
	return func(b []byte, _ *Group) []byte { return append(b, json...) }
}

func null[T any](b []byte, _ T) []byte { return append(b, "null"...) }

// properties are what a resource has, in the order in which Graph writes them.
// Source: Microsoft Graph, user and group resource types.
var properties = func() []*property {
	on := func(user, group, device bool) [kinds]bool { return [kinds]bool{user, group, device} }
	list := []*property{
		{name: "id", user: userText(func(u *User) string { return u.ID }),
			group: func(b []byte, g *Group) []byte { return text(b, g.ID) }, device: text, standard: on(true, true, true)},
		{name: "accountEnabled", user: func(b []byte, u *User) []byte { return boolean(b, u.AccountEnabled) }, device: null[string]},
		{name: "businessPhones", user: func(b []byte, u *User) []byte {
			if u.BusinessPhone == "" {
				return append(b, "[]"...)
			}
			return append(text(append(b, '['), u.BusinessPhone), ']')
		}, standard: on(true, false, false)},
		{name: "city", user: userText(func(u *User) string { return u.City })},
		{name: "companyName", user: userText(func(u *User) string { return u.CompanyName })},
		{name: "country", user: userText(func(u *User) string { return u.Country })},
		{name: "createdDateTime", user: func(b []byte, u *User) []byte { return stamp(b, u.CreatedAt) },
			group: func(b []byte, g *Group) []byte { return stamp(b, g.CreatedAt) }, standard: on(false, true, false)},
		{name: "deletedDateTime", user: func(b []byte, u *User) []byte { return stamp(b, u.DeletedAt) }, group: null[*Group], standard: on(false, true, false)},
		{name: "department", user: userText(func(u *User) string { return u.Department })},
		{name: "description", group: null[*Group], standard: on(false, true, false)},
		{name: "displayName", user: userText(func(u *User) string { return u.DisplayName }),
			group: func(b []byte, g *Group) []byte { return text(b, g.DisplayName) }, device: null[string], standard: on(true, true, true)},
		{name: "employeeId", user: userText(func(u *User) string { return u.EmployeeID })},
		{name: "faxNumber", user: userText(func(u *User) string { return u.FaxNumber })},
		{name: "givenName", user: userText(func(u *User) string { return u.GivenName }), standard: on(true, false, false)},
		{name: "groupTypes", group: constant("[]"), standard: on(false, true, false)},
		{name: "jobTitle", user: userText(func(u *User) string { return u.JobTitle }), standard: on(true, false, false)},
		{name: "mail", user: userText(func(u *User) string { return u.Mail }), group: null[*Group], standard: on(true, true, false)},
		{name: "mailEnabled", group: constant("false"), standard: on(false, true, false)},
		{name: "mailNickname", user: userText(func(u *User) string { return u.MailNickname }),
			group: func(b []byte, g *Group) []byte { return text(b, g.ID[:8]) }, standard: on(false, true, false)},
		{name: "mobilePhone", user: userText(func(u *User) string { return u.MobilePhone }), standard: on(true, false, false)},
		{name: "officeLocation", user: userText(func(u *User) string { return u.OfficeLocation }), standard: on(true, false, false)},
		{name: "postalCode", user: userText(func(u *User) string { return u.PostalCode })},
		{name: "preferredLanguage", user: userText(func(u *User) string { return u.PreferredLanguage }), standard: on(true, false, false)},
		{name: "securityEnabled", group: constant("true"), standard: on(false, true, false)},
		{name: "state", user: userText(func(u *User) string { return u.State })},
		{name: "streetAddress", user: userText(func(u *User) string { return u.StreetAddress })},
		{name: "surname", user: userText(func(u *User) string { return u.Surname }), standard: on(true, false, false)},
		{name: "usageLocation", user: userText(func(u *User) string { return u.UsageLocation })},
		{name: "userPrincipalName", user: userText(func(u *User) string { return u.UserPrincipalName }), standard: on(true, false, false)},
		{name: "userType", user: userText(func(u *User) string { return string(u.UserType) })},
		{name: "visibility", group: func(b []byte, g *Group) []byte {
			if g.HiddenMembership {
				return append(b, `"HiddenMembership"`...)
			}
			return append(b, "null"...)
		}, standard: on(false, true, false)},
	}
	for _, p := range list {
		p.key = `"` + p.name + `":`
	}
	return list
}()

var propertyByName = func() map[string]*property {
	m := make(map[string]*property, len(properties))
	for _, p := range properties {
		m[p.name] = p
	}
	return m
}()

// chosen are the properties of a kind that $select names, or else those that come without it.
func (o options) chosen(k resource) []*property {
	var out []*property
	for _, p := range properties {
		selected := p.standard[k]
		if o.names != nil {
			selected = p.of(k) && contains(o.names, p.name)
		}
		if selected {
			out = append(out, p)
		}
	}
	return out
}

// contains compares names of properties, which OData takes in any case (Graph does).
func contains(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// checkSelect refuses properties that the listed type does not have. A list of directory objects can have those of any.
func (c *call) checkSelect(names []string) *response {
	typeName, fits := "microsoft.graph.directoryObject", func(*property) bool { return true }
	switch c.op {
	case OpUsers, OpUser:
		typeName, fits = "microsoft.graph.user", func(p *property) bool { return p.of(userKind) }
	case OpGroups, OpGroup:
		typeName, fits = "microsoft.graph.group", func(p *property) bool { return p.of(groupKind) }
	}
next:
	for _, name := range names {
		for _, p := range properties {
			if strings.EqualFold(p.name, name) && fits(p) {
				continue next
			}
		}
		return c.fail(http.StatusBadRequest, "BadRequest", fmt.Sprintf(
			"Parsing OData Select and Expand failed: Could not find a property named '%s' on type '%s'.", name, typeName))
	}
	return nil
}

// context is the @odata.context of a set: "…/$metadata#users(id,displayName)".
func (c *call) context(set string, o options) string {
	s := c.g.URL() + "/$metadata#" + set
	if o.names != nil {
		s += "(" + strings.Join(o.names, ",") + ")"
	}
	return s
}

// fields writes the inside of an object. With nulls, only the type and the id are told ("limited information").
func fields(b []byte, e entry, props []*property, typed, nulls bool) []byte {
	if typed {
		b = append(b, `"@odata.type":`...)
		b = append(b, typeNames[e.kind()]...)
	}
	for i, p := range props {
		if typed || i > 0 {
			b = append(b, ',')
		}
		b = append(b, p.key...)
		if nulls && p.name != "id" {
			b = append(b, "null"...)
		} else {
			b = p.write(b, e)
		}
	}
	return b
}

// writer makes the function that writes the objects of a page. Without a right to read users, their properties are
// null, and the answer is no error.
// Source: Microsoft Graph, "Limited information returned for inaccessible member objects".
func (c *call) writer(p page, typed bool) func(b []byte, e entry, first bool) []byte {
	var props [kinds][]*property
	for k := range kinds {
		props[k] = p.chosen(k)
	}
	f := c.fault
	limited := !c.grant.users || f.NullProperties
	return func(b []byte, e entry, first bool) []byte {
		if first && f.spoils() {
			return spoil(b, e, props[e.kind()], typed, f)
		}
		b = append(b, '{')
		b = fields(b, e, props[e.kind()], typed, limited && e.user != nil)
		return append(b, '}')
	}
}

// spoil writes one object wrong.
func spoil(b []byte, e entry, props []*property, typed bool, f Fault) []byte {
	if f.NullItem {
		return append(b, "null"...)
	}
	b = append(b, '{')
	start := len(b)
	add := func(key string) {
		if len(b) > start {
			b = append(b, ',')
		}
		b = append(b, key...)
	}
	switch {
	case f.ODataType != "":
		add(`"@odata.type":`)
		b = appendQuoted(b, f.ODataType)
	case typed:
		add(`"@odata.type":`)
		b = append(b, typeNames[e.kind()]...)
	}
	for _, p := range props {
		if p.name == "id" && f.MissingID {
			continue
		}
		add(p.key)
		switch {
		case !strings.EqualFold(p.name, f.WrongType):
			b = p.write(b, e)
		case p.name == "accountEnabled":
			b = append(b, `"true"`...)
		default:
			b = append(b, `[42]`...)
		}
	}
	return append(b, '}')
}
