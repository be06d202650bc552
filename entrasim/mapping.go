package entrasim

import (
	"fmt"
	"strings"
)

// Schema URIs on the wire.
const (
	userURN       = "urn:ietf:params:scim:schemas:core:2.0:User"
	enterpriseURN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	groupURN      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	adGroupURN    = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"
	patchURN      = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	listURN       = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	managerPath   = enterpriseURN + ":manager"
)

// attribute is one row of the mapping with its value; an empty string is an absent source attribute.
type attribute struct {
	path  string
	value any // string or bool
}

// userRows projects a user through the default mapping of a non-gallery application: its 22 rows in their order, less
// manager, which is a reference and travels in a later pass. With objectID the externalId row takes the object id, as
// Microsoft recommends, instead of mailNickname.
func userRows(u *User, active, objectID bool) []attribute {
	external := u.MailNickname
	if objectID {
		external = u.ID
	}
	return []attribute{
		{"userName", principalName(u)},
		{"active", active},
		{"displayName", u.DisplayName},
		{"title", u.JobTitle},
		{`emails[type eq "work"].value`, u.Mail},
		{"preferredLanguage", u.PreferredLanguage},
		{"name.givenName", u.GivenName},
		{"name.familyName", u.Surname},
		{"name.formatted", strings.TrimSpace(u.GivenName + " " + u.Surname)},
		{`addresses[type eq "work"].formatted`, u.OfficeLocation},
		{`addresses[type eq "work"].streetAddress`, u.StreetAddress},
		{`addresses[type eq "work"].locality`, u.City},
		{`addresses[type eq "work"].region`, u.State},
		{`addresses[type eq "work"].postalCode`, u.PostalCode},
		{`addresses[type eq "work"].country`, u.Country},
		{`phoneNumbers[type eq "work"].value`, u.BusinessPhone},
		{`phoneNumbers[type eq "mobile"].value`, u.MobilePhone},
		{`phoneNumbers[type eq "fax"].value`, u.FaxNumber},
		{"externalId", external},
		{enterpriseURN + ":employeeNumber", u.EmployeeID},
		{enterpriseURN + ":department", u.Department},
	}
}

// principalName is the userPrincipalName as it leaves Entra: without the #EXT# of guests.
// Source: Microsoft, "Scoping users or groups to be provisioned", B2B guest users.
func principalName(u *User) string { return strings.Replace(u.UserPrincipalName, "#EXT#", "", 1) }

func groupRows(g *Group) []attribute {
	return []attribute{{"displayName", g.DisplayName}, {"externalId", g.ID}}
}

// valueAt finds the string value of a row by its path.
func valueAt(rows []attribute, path string) string {
	for _, a := range rows {
		if a.path == path {
			s, _ := a.value.(string)
			return s
		}
	}
	return ""
}

// target splits a path of the mapping into its parts. Only the four shapes that Entra's mappings have are known: attr,
// attr.sub, attr[type eq "t"].sub and URN:attr.
func target(path string) (attr, kind, sub string) {
	if strings.HasPrefix(path, "urn:") {
		i := strings.LastIndexByte(path, ':')
		return path[:i], "", path[i+1:]
	}
	if head, rest, ok := strings.Cut(path, `[type eq "`); ok {
		kind, sub, _ = strings.Cut(rest, `"].`)
		return head, kind, sub
	}
	attr, sub, _ = strings.Cut(path, ".")
	return attr, "", sub
}

// lookup finds the value at a path of a resource, nil if there is none.
func lookup(resource map[string]any, path string) any {
	attr, kind, sub := target(path)
	switch v := resource[attr].(type) {
	case map[string]any:
		if kind == "" {
			return v[sub]
		}
	case []any:
		for _, e := range v {
			if m, ok := e.(map[string]any); ok && m["type"] == kind && kind != "" {
				return m[sub]
			}
		}
	default:
		if sub == "" {
			return v
		}
	}
	return nil
}

// newUser is the body of POST /Users. Absent attributes are left out, or null when nulls is set, as in the example of
// Microsoft's "Develop a SCIM endpoint".
func newUser(rows []attribute, nulls bool) map[string]any {
	body := map[string]any{
		"schemas": []string{userURN, enterpriseURN}, // both, even without an enterprise attribute
		"meta":    map[string]any{"resourceType": "User"},
		"roles":   []any{},
	}
	sub := func(attr string) map[string]any {
		m, ok := body[attr].(map[string]any)
		if !ok {
			m = make(map[string]any)
			body[attr] = m
		}
		return m
	}
	for _, a := range rows {
		attr, kind, leaf := target(a.path)
		value := a.value
		if value == "" {
			if !nulls {
				continue
			}
			value = nil
		}
		switch {
		case kind != "":
			elements, _ := body[attr].([]any)
			var element map[string]any
			for _, e := range elements {
				if m, _ := e.(map[string]any); m["type"] == kind {
					element = m
				}
			}
			if element == nil {
				if value == nil { // an element of nothing but nulls is never sent; the whole attribute may be null
					if _, ok := body[attr]; !ok {
						body[attr] = nil
					}
					continue
				}
				element = map[string]any{"type": kind}
				if attr == "emails" {
					element["primary"] = true
				}
				body[attr] = append(elements, element)
			}
			element[leaf] = value
		case leaf != "":
			sub(attr)[leaf] = value
		default:
			body[attr] = value
		}
	}
	return body
}

func newGroup(g *Group) map[string]any {
	return map[string]any{
		"schemas":     []string{groupURN, adGroupURN},
		"externalId":  g.ID,
		"displayName": g.DisplayName,
		"meta":        map[string]any{"resourceType": "Group"},
	}
}

// operation is one element of a PatchOp's Operations.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path,omitempty"`
	Value any    `json:"value,omitempty"`
}

func patchBody(ops []operation) map[string]any {
	return map[string]any{"schemas": []string{patchURN}, "Operations": ops}
}

// change is an attribute to set: added where the target had none, else replaced.
type change struct {
	attribute
	add bool
}

// diff lists the rows in which a resource differs. Attributes that became empty are not among them: Entra does not send
// those (Microsoft, "Known issues for provisioning", null attributes).
func diff(rows []attribute, resource map[string]any) []change {
	var out []change
	for _, a := range rows {
		if a.value == "" {
			continue
		}
		had := lookup(resource, a.path)
		if !same(a.value, had) {
			out = append(out, change{a, had == nil})
		}
	}
	return out
}

func same(want, had any) bool {
	if had == nil {
		return false
	}
	if _, ok := want.(bool); ok {
		return strings.EqualFold(fmt.Sprint(had), fmt.Sprint(want))
	}
	return fmt.Sprint(had) == want
}

// dialect is one of the two ways in which Entra writes PATCH.
// Source: Microsoft, "Known issues and resolutions with SCIM 2.0 protocol compliance".
type dialect bool

const (
	legacy  dialect = false // Add, Replace, Remove; one operation with a path per attribute; booleans as strings
	flagged dialect = true  // aadOptscim062020: lower case, single-valued attributes together without path
)

func (d dialect) op(add bool) string {
	switch {
	case d == flagged && add:
		return "add"
	case d == flagged:
		return "replace"
	case add:
		return "Add"
	}
	return "Replace"
}

func (d dialect) set(changes []change) []operation {
	var ops []operation
	if d == legacy {
		for _, c := range changes {
			value := c.value
			if b, ok := value.(bool); ok {
				value = map[bool]string{true: "True", false: "False"}[b]
			}
			ops = append(ops, operation{d.op(c.add), c.path, value})
		}
		return ops
	}
	for _, add := range []bool{false, true} {
		together := make(map[string]any)
		for _, c := range changes {
			if c.add == add && !strings.Contains(c.path, "[") {
				together[c.path] = c.value
			}
		}
		if len(together) > 0 {
			ops = append(ops, operation{Op: d.op(add), Value: together})
		}
	}
	for _, c := range changes {
		if strings.Contains(c.path, "[") {
			ops = append(ops, operation{d.op(c.add), c.path, c.value})
		}
	}
	return ops
}

// manager sets, replaces or (with an empty id) removes the manager.
func (d dialect) manager(id string, add bool) []operation {
	switch {
	case id != "":
		return d.set([]change{{attribute{managerPath, id}, add}})
	case d == flagged:
		return []operation{{Op: "remove", Path: managerPath}}
	}
	return []operation{{Op: "Remove", Path: managerPath}}
}

// members adds or removes members by their ids at the target.
func (d dialect) members(ids []string, remove bool) []operation {
	if d == flagged && remove {
		var ops []operation
		for _, id := range ids {
			ops = append(ops, operation{Op: "remove", Path: fmt.Sprintf("members[value eq %q]", id)})
		}
		return ops
	}
	refs := make([]map[string]any, len(ids))
	for i, id := range ids {
		refs[i] = map[string]any{"$ref": nil, "value": id}
	}
	op := d.op(true)
	if remove {
		op = "Remove"
	}
	return []operation{{op, "members", refs}}
}

// managerOf reads the manager's id, as object (RFC 7643, section 4.3) or as bare string.
func managerOf(resource map[string]any) string {
	switch v := lookup(resource, managerPath).(type) {
	case map[string]any:
		s, _ := v["value"].(string)
		return s
	case string:
		return v
	}
	return ""
}
