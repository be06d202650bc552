package scim

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/elimity-com/scim/schema"

	"github.com/bizzstream/bizzscim/directory"
)

// The schemas that every tenant has. They are shared by all requests and never changed.
var (
	userSchema       = makeUserSchema()
	groupSchema      = makeGroupSchema()
	enterpriseSchema = convertSchema(schema.ExtensionEnterpriseUser())
	accessSchema     = makeAccessSchema()

	// What the discovery endpoints themselves answer with.
	configSchema       = makeConfigSchema()
	resourceTypeSchema = makeResourceTypeSchema()
	schemaSchema       = makeSchemaSchema()

	// Attributes with rules of their own; they are recognized by identity.
	attrActive    = find(userSchema.Attributes, "active")
	attrMembers   = find(groupSchema.Attributes, "members")
	attrMemberID  = find(attrMembers.Sub, "value")
	attrGroupName = find(groupSchema.Attributes, "displayName")
	attrManager   = find(enterpriseSchema.Attributes, "manager")
)

// makeUserSchema takes the User schema of the library and corrects it:
//   - externalId is listed, exact in case: the validators look for it among the attributes, the
//     RFC only among the common ones;
//   - password is not published. It is taken, because Okta sends it with every user, and never kept
//     or returned, because people sign in with their directory: /ServiceProviderConfig says that
//     changePassword is not supported. A validator that discovers attributes would test it;
//   - profileUrl is published as a string, because Microsoft's template skips references and
//     then misses the mapped attribute;
//   - identifiers of groups and the values of references compare exactly.
func makeUserSchema() *Schema {
	s := convertSchema(schema.CoreUserSchema())
	s.Attributes = slices.DeleteFunc(s.Attributes, func(a *Attribute) bool { return a.Name == "password" })
	s.Attributes = append([]*Attribute{externalID("User")}, s.Attributes...)

	profile := find(s.Attributes, "profileUrl")
	profile.Type, profile.ReferenceTypes, profile.CaseExact = TypeString, nil, false

	groups := find(s.Attributes, "groups")
	find(groups.Sub, "value").CaseExact = true
	find(groups.Sub, "$ref").ReferenceTypes = []string{"Group"}
	return s
}

// makeGroupSchema takes the Group schema of the library and corrects it:
//   - externalId is listed, as for User;
//   - displayName is unique on the server, without regard to case: Entra matches groups on it;
//   - the id of a member compares exactly, and its display is written by the server alone.
func makeGroupSchema() *Schema {
	s := convertSchema(schema.CoreGroupSchema())
	s.Attributes = append([]*Attribute{externalID("Group")}, s.Attributes...)
	find(s.Attributes, "displayName").Uniqueness = "server"

	members := find(s.Attributes, "members")
	find(members.Sub, "value").CaseExact = true
	find(members.Sub, "display").Mutability = "readOnly"
	return s
}

// makeConfigSchema takes the schema of /ServiceProviderConfig of the library and adds what the document has beyond RFC 7643: pages by
// cursor (RFC 9865 section 4) and events (RFC 9967 section 4). Counts are integers. Its name is that of the resource: validators look
// for it.
func makeConfigSchema() *Schema {
	s := convertSchema(schema.ServiceProviderConfigSchema())
	s.Name = "ServiceProviderConfig"
	refer("external", find(s.Attributes, "documentationUri"))
	bulk := find(s.Attributes, "bulk")
	for _, count := range []*Attribute{find(bulk.Sub, "maxOperations"), find(bulk.Sub, "maxPayloadSize"), find(find(s.Attributes, "filter").Sub, "maxResults")} {
		count.Type = TypeInteger
	}

	schemes := find(s.Attributes, "authenticationSchemes")
	find(schemes.Sub, "type").CanonicalValues = []string{"oauth", "oauth2", "oauthbearertoken", "httpbasic", "httpdigest"}
	refer("external", find(schemes.Sub, "specUri"), find(schemes.Sub, "documentationUri"))
	schemes.Sub = append(schemes.Sub, readOnly("primary", TypeBoolean, "Whether this is the scheme to prefer."))

	method := readOnly("defaultPaginationMethod", TypeString, "How pages are made for a client that does not say: cursor or index.")
	method.CanonicalValues = []string{"cursor", "index"}
	pagination := readOnly("pagination", TypeComplex, "A complex type that specifies pagination options.")
	pagination.Sub = []*Attribute{
		required(readOnly("cursor", TypeBoolean, "Whether there are pages by cursor.")),
		required(readOnly("index", TypeBoolean, "Whether there are pages by index.")),
		method,
		readOnly("defaultPageSize", TypeInteger, "Resources on a page for a client that does not say."),
		readOnly("maxPageSize", TypeInteger, "Resources on a page at most."),
		readOnly("cursorTimeout", TypeInteger, "Seconds for which a cursor is valid."),
	}

	async := readOnly("asyncRequest", TypeString, "Whether requests may be answered before they are done.")
	async.CanonicalValues = []string{"none", "long", "request"}
	uris := readOnly("eventUris", TypeReference, "The events that are told.")
	uris.MultiValued = true
	refer("uri", uris)
	events := readOnly("securityEvents", TypeComplex, "A complex type that specifies which security events are told.")
	events.Sub = []*Attribute{async, uris}

	s.Attributes = append(s.Attributes, pagination, events)
	return s
}

// makeResourceTypeSchema takes the schema of /ResourceTypes of the library: its URIs are references, and a name is always there
// (RFC 7643 sections 6 and 8.7.2).
func makeResourceTypeSchema() *Schema {
	s := convertSchema(schema.ResourceTypeSchema())
	s.Name = "ResourceType"
	identify(s)
	required(find(s.Attributes, "name"))
	refer("uri", find(s.Attributes, "endpoint"), find(s.Attributes, "schema"), find(find(s.Attributes, "schemaExtensions").Sub, "schema"))
	return s
}

// makeSchemaSchema takes the schema of /Schemas of the library. It is the one in which a complex attribute has complex parts (RFC 7643
// section 7).
func makeSchemaSchema() *Schema {
	s := convertSchema(schema.Definition())
	identify(s)
	s.Description = "Specifies the schema that describes a SCIM schema"
	return s
}

// identify gives a listed id the characteristics that section 3.1 of RFC 7643 has for the common one.
func identify(s *Schema) {
	id := find(s.Attributes, "id")
	id.CaseExact, id.Returned = true, "always"
}

// readOnly makes an attribute that the server alone writes.
func readOnly(name string, t Type, description string) *Attribute {
	return &Attribute{Name: name, Type: t, Description: description, Mutability: "readOnly", Returned: "default", Uniqueness: "none"}
}

func required(a *Attribute) *Attribute {
	a.Required = true
	return a
}

// refer makes attributes references, which compare exactly.
func refer(to string, attrs ...*Attribute) {
	for _, a := range attrs {
		a.Type, a.ReferenceTypes, a.CaseExact = TypeReference, []string{to}, true
	}
}

func externalID(resource string) *Attribute {
	return &Attribute{Name: "externalId", Type: TypeString, CaseExact: true, Mutability: "readWrite", Returned: "default",
		Uniqueness: "none", Description: "Identifier of the " + resource + " as the provisioning client defines it."}
}

// makeAccessSchema makes our own extension: what a user may enter, derived and so read-only.
func makeAccessSchema() *Schema {
	id := readOnly("id", TypeString, "Identifier of the environment.")
	id.CaseExact = true
	menus := readOnly("menus", TypeString, "Menus of the user in the environment.")
	menus.MultiValued = true

	environments := readOnly("environments", TypeComplex, "Environments the user has an access to, derived from groups and activation.")
	environments.MultiValued = true
	environments.Sub = []*Attribute{
		id,
		readOnly("name", TypeString, "Name of the environment."),
		readOnly("active", TypeBoolean, "Whether the access is active."),
		menus,
	}
	return &Schema{ID: AccessURN, Name: "Access", Description: "Access to environments", Attributes: []*Attribute{environments}}
}

// convertSchema turns a schema of the library into ours.
func convertSchema(s schema.Schema) *Schema {
	return &Schema{ID: s.ID, Name: s.Name.Value(), Description: s.Description.Value(), Attributes: convertAttributes(s.Attributes)}
}

func convertAttributes(list schema.Attributes) []*Attribute {
	var out []*Attribute
	for _, a := range list {
		c := &Attribute{
			Name:            a.Name(),
			Type:            Type(a.AttributeType()),
			MultiValued:     a.MultiValued(),
			Description:     a.Description(),
			Required:        a.Required(),
			CanonicalValues: a.CanonicalValues(),
			CaseExact:       a.CaseExact(),
			Mutability:      a.Mutability(),
			Returned:        a.Returned(),
			Uniqueness:      a.Uniqueness(),
			Sub:             convertAttributes(a.SubAttributes()),
		}
		for _, t := range a.ReferenceTypes() {
			c.ReferenceTypes = append(c.ReferenceTypes, string(t))
		}
		out = append(out, c)
	}
	return out
}

// extensionsOf reads the extensions of a tenant: those that can be read, and why the others cannot.
func extensionsOf(t *directory.Tenant) (list []*Schema, err error) {
	for _, doc := range t.SCIM.Extensions {
		s, bad := ParseSchema(doc)
		if bad != nil {
			err = errors.Join(err, bad)
			continue
		}
		list = append(list, s)
	}
	return list, err
}

// NewResourceTypes makes the resource types of a tenant. Extensions go to Group when their URN
// ends in ":Group" and to User otherwise; of two with the same URN the first one counts.
func NewResourceTypes(extensions []*Schema) (user, group *ResourceType) {
	user = &ResourceType{Name: "User", Endpoint: "/Users", Core: userSchema, Extensions: []*Schema{enterpriseSchema}}
	group = &ResourceType{Name: "Group", Endpoint: "/Groups", Core: groupSchema}
	for _, s := range extensions {
		rt := user
		if forGroups(s.ID) {
			rt = group
		}
		if rt.extension(s.ID) == nil {
			rt.Extensions = append(rt.Extensions, s)
		}
	}
	user.Extensions = append(user.Extensions, accessSchema)
	return user, group
}

func forGroups(urn string) bool {
	const suffix = ":Group"
	return len(urn) >= len(suffix) && equalFold(urn[len(urn)-len(suffix):], suffix)
}

// Limits of a custom extension.
const (
	maxSchemaDepth      = 12
	maxSchemaAttributes = 200 // attributes and sub-attributes together
	maxSchemaText       = 1024
	maxSchemaName       = 128
)

// ParseSchema reads a custom extension: a SCIM Schema resource as JSON (RFC 7643 section 7). It
// is strict, so that a slip of the pen does not become a default. What the server would publish
// without keeping it is refused: uniqueness, and values that are written but never returned. Such a
// value would be a secret without a use: whatever reads this directory reads what is returned.
func ParseSchema(doc []byte) (*Schema, error) {
	v, err := parseJSON(doc, maxSchemaDepth)
	if err != nil {
		return nil, err
	}
	if v.Kind != Object {
		return nil, invalidSyntax("A schema must be a JSON object.")
	}
	p := schemaParser{}
	s := p.schema(v)
	if p.err != nil {
		return nil, p.err
	}
	return s, nil
}

// schemaParser keeps the first error; its methods go on with harmless values after one.
type schemaParser struct {
	count int // attributes so far
	err   error
}

func (p *schemaParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = invalidValue(format, args...)
	}
}

func (p *schemaParser) schema(v Value) *Schema {
	p.known(v, "the schema", "schemas", "id", "name", "description", "attributes", "meta")
	if list, ok := v.Get("schemas"); ok && !slices.ContainsFunc(list.Elems, func(e Value) bool { return e.Kind == String && equalFold(e.Text, schemaURN) }) {
		p.fail("schemas must hold %q.", schemaURN)
	}
	s := &Schema{
		ID:          p.text(v, "the schema", "id", maxSchemaName, ""),
		Description: p.text(v, "the schema", "description", maxSchemaText, ""),
	}
	p.urn(s.ID)
	s.Name = p.text(v, "the schema", "name", maxSchemaName, s.ID)

	list, _ := v.Get("attributes")
	if list.Kind != Array || len(list.Elems) == 0 {
		p.fail("attributes must be a list with at least one attribute.")
	}
	s.Attributes = p.attributes(list, "")
	return s
}

func (p *schemaParser) urn(id string) {
	if !validURN(id) {
		p.fail("id must be a URN such as urn:example:params:scim:schemas:extension:crew:2.0:User, not %q.", id)
		return
	}
	// A URN that goes on after a built-in one would hide that schema's attributes.
	for _, s := range []*Schema{userSchema, groupSchema, enterpriseSchema, accessSchema} {
		if underURN(id, s.ID) || underURN(s.ID, id) {
			p.fail("id %q collides with the schema %s of this server.", id, s.ID)
		}
	}
	for _, reserved := range []string{"urn:ietf:params:scim:schemas:core:", "urn:ietf:params:scim:api:", "urn:bizzstream:"} {
		if len(id) >= len(reserved) && equalFold(id[:len(reserved)], reserved) {
			p.fail("id %q lies within %s, which is reserved.", id, reserved)
		}
	}
}

// validURN accepts the URNs that can stand in a path and in a list of attributes without doubt.
func validURN(s string) bool {
	if len(s) > maxSchemaName || len(s) < 4 || !equalFold(s[:4], "urn:") {
		return false
	}
	parts := strings.Split(s[4:], ":")
	for _, part := range parts {
		if part == "" {
			return false
		}
		for i := 0; i < len(part); i++ {
			if c := part[i]; !nameChar(c) && c != '.' {
				return false
			}
		}
	}
	return len(parts) >= 2
}

// nameChar reports whether c may stand in an attribute name after its first letter (RFC 7643
// section 2.1).
func nameChar(c byte) bool {
	return letter(c) || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '$'
}

func letter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

func validName(s string) bool {
	if s == "" || len(s) > maxSchemaName || !letter(s[0]) {
		return false
	}
	for i := 1; i < len(s); i++ {
		if !nameChar(s[i]) {
			return false
		}
	}
	return true
}

// attributes reads a list of definitions; parent is the attribute whose sub-attributes they are.
func (p *schemaParser) attributes(list Value, parent string) []*Attribute {
	var out []*Attribute
	for _, e := range list.Elems {
		p.count++
		if p.count > maxSchemaAttributes {
			p.fail("A schema may define %d attributes and sub-attributes at most.", maxSchemaAttributes)
		}
		if p.err != nil {
			return nil
		}
		a := p.attribute(e, parent)
		if find(out, a.Name) != nil {
			p.fail("%s%s is defined twice; names differ in more than case.", parent, a.Name)
		}
		out = append(out, a)
	}
	return out
}

func (p *schemaParser) attribute(v Value, parent string) *Attribute {
	if v.Kind != Object {
		p.fail("An attribute%s must be a JSON object.", ofParent(parent))
	}
	where := parent + "attribute"
	name := p.text(v, where, "name", maxSchemaName, "")
	if !validName(name) && (parent == "" || name != "$ref") {
		p.fail("%q is not an attribute name%s: a letter, then letters, digits, - _ or $.", name, ofParent(parent))
	}
	where = parent + name
	p.known(v, where, "name", "type", "multiValued", "description", "required", "canonicalValues", "caseExact", "mutability",
		"returned", "uniqueness", "referenceTypes", "subAttributes")

	a := &Attribute{Name: name, Description: p.text(v, where, "description", maxSchemaText, "")}
	a.Type = Type(p.oneOf(v, where, "type", "string", "boolean", "decimal", "integer", "dateTime", "binary", "reference", "complex"))
	a.MultiValued = p.flag(v, where, "multiValued", false)
	a.Required = p.flag(v, where, "required", false)
	a.CaseExact = p.flag(v, where, "caseExact", a.Type == TypeReference || a.Type == TypeBinary)
	a.Mutability = p.oneOf(v, where, "mutability", "readWrite", "readOnly", "immutable")
	a.Returned = p.oneOf(v, where, "returned", "default", "always", "request")
	a.Uniqueness = p.oneOf(v, where, "uniqueness", "none")
	a.CanonicalValues = p.texts(v, where, "canonicalValues")
	a.ReferenceTypes = p.texts(v, where, "referenceTypes")
	if a.Type == TypeReference && a.ReferenceTypes == nil {
		a.ReferenceTypes = []string{"external"}
	}

	subs, has := v.Get("subAttributes")
	has = has && subs.Kind != Null && (subs.Kind != Array || len(subs.Elems) > 0)
	switch {
	case parent != "" && (a.Type == TypeComplex || has):
		p.fail("%s cannot be complex: there is one level of sub-attributes.", where)
	case a.Type == TypeComplex && (!has || subs.Kind != Array):
		p.fail("%s is complex and needs a list subAttributes.", where)
	case a.Type != TypeComplex && has:
		p.fail("%s has subAttributes but is not complex.", where)
	case has:
		a.Sub = p.attributes(subs, name+".")
	}
	return a
}

func ofParent(parent string) string {
	if parent == "" {
		return ""
	}
	return " of " + strings.TrimSuffix(parent, ".")
}

// known refuses members that a definition does not have.
func (p *schemaParser) known(v Value, where string, names ...string) {
	for _, m := range v.Members {
		if !slices.ContainsFunc(names, func(n string) bool { return equalFold(n, m.Name) }) {
			p.fail("%s has an unknown member %q.", where, m.Name)
		}
	}
}

// text reads a string; absent ones give missing.
func (p *schemaParser) text(v Value, where, name string, limit int, missing string) string {
	m, _ := v.Get(name)
	switch {
	case m.Kind == Null || m.Kind == String && m.Text == "":
		return missing
	case m.Kind != String:
		p.fail("%s of %s must be a string.", name, where)
	case utf8.RuneCountInString(m.Text) > limit:
		p.fail("%s of %s is longer than %d characters.", name, where, limit)
	}
	return m.Text
}

func (p *schemaParser) texts(v Value, where, name string) []string {
	m, _ := v.Get(name)
	if m.Kind != Null && m.Kind != Array || len(m.Elems) > maxSchemaAttributes {
		p.fail("%s of %s must be a list of strings, at most %d.", name, where, maxSchemaAttributes)
	}
	var out []string
	for _, e := range m.Elems {
		if e.Kind != String || e.Text == "" || utf8.RuneCountInString(e.Text) > maxSchemaText {
			p.fail("%s of %s must be a list of strings.", name, where)
		}
		out = append(out, e.Text)
	}
	return out
}

func (p *schemaParser) flag(v Value, where, name string, missing bool) bool {
	m, _ := v.Get(name)
	switch m.Kind {
	case Null:
		return missing
	case Bool:
		return m.Bool
	}
	p.fail("%s of %s must be true or false.", name, where)
	return missing
}

// oneOf reads one of some words; the first one stands for an absent member.
func (p *schemaParser) oneOf(v Value, where, name string, words ...string) string {
	word := p.text(v, where, name, maxSchemaText, words[0])
	if !slices.Contains(words, word) {
		p.fail("%s of %s is %q; this server knows %s.", name, where, word, strings.Join(words, ", "))
	}
	return word
}
