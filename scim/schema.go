package scim

import "strings"

// Schema URNs (RFC 7643 sections 4, 8.7) and ours.
const (
	UserURN       = "urn:ietf:params:scim:schemas:core:2.0:User"
	GroupURN      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	EnterpriseURN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	AccessURN     = "urn:bizzstream:params:scim:schemas:extension:access:2.0:User"

	listURN         = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	patchURN        = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	schemaURN       = "urn:ietf:params:scim:schemas:core:2.0:Schema"
	resourceTypeURN = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
	configURN       = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
)

// Type is the data type of an attribute (RFC 7643 section 2.3), as /Schemas spells it.
type Type string

// The data types of RFC 7643 section 2.3.
const (
	TypeString    Type = "string"
	TypeBoolean   Type = "boolean"
	TypeDecimal   Type = "decimal"
	TypeInteger   Type = "integer"
	TypeDateTime  Type = "dateTime"
	TypeBinary    Type = "binary"
	TypeReference Type = "reference"
	TypeComplex   Type = "complex"
)

// Attribute is one attribute definition (RFC 7643 section 7).
type Attribute struct {
	Name            string
	Type            Type
	MultiValued     bool
	Description     string
	Required        bool
	CanonicalValues []string
	CaseExact       bool
	Mutability      string // readOnly, readWrite, immutable, writeOnly
	Returned        string // always, never, default, request
	Uniqueness      string // none, server, global
	ReferenceTypes  []string
	Sub             []*Attribute // sub-attributes of a complex attribute
}

// Schema is one schema resource (RFC 7643 section 7).
type Schema struct {
	ID          string
	Name        string
	Description string
	Attributes  []*Attribute
}

// ResourceType joins a core schema with its extensions for one tenant (RFC 7643 section 6).
// It is immutable after it was made and shared by all requests of the tenant.
type ResourceType struct {
	Name       string // User, Group
	Endpoint   string // /Users, /Groups
	Core       *Schema
	Extensions []*Schema // in the order in which they appear in a resource

	strict bool // filters are read to the letter, as Mode.Strict says of bodies
}

// attrRef names an attribute or a sub-attribute of a resource type.
type attrRef struct {
	urn  string     // URN of the extension it belongs to; empty: core schema or common attribute
	attr *Attribute // the attribute; for id, externalId, schemas and meta the common definitions
	sub  *Attribute // the sub-attribute, nil when the whole attribute is meant
}

// target returns the definition of what the ref names, nil for a whole extension.
func (r attrRef) target() *Attribute {
	if r.sub != nil {
		return r.sub
	}
	return r.attr
}

// of returns the ref of an attribute within r: of a sub-attribute when r names an attribute.
func (r attrRef) of(a *Attribute) attrRef {
	if r.attr == nil {
		return attrRef{urn: r.urn, attr: a}
	}
	return attrRef{urn: r.urn, attr: r.attr, sub: a}
}

// path returns the ref as a client would write it.
func (r attrRef) path() string {
	s := r.urn
	if r.attr != nil {
		if s != "" {
			s += ":"
		}
		s += r.attr.Name
	}
	if r.sub != nil {
		s += "." + r.sub.Name
	}
	return s
}

// readOnly reports whether no client may write what the ref names.
func (r attrRef) readOnly() bool {
	return r.attr != nil && r.attr.Mutability == "readOnly" || r.sub != nil && r.sub.Mutability == "readOnly"
}

// The common attributes that the server alone writes (RFC 7643 section 3.1).
var (
	attrID = &Attribute{Name: "id", Type: TypeString, CaseExact: true, Mutability: "readOnly",
		Returned: "always", Uniqueness: "server", Description: "Unique identifier of the resource, made by the server and never used again."}
	attrSchemas = &Attribute{Name: "schemas", Type: TypeReference, ReferenceTypes: []string{"uri"}, MultiValued: true, Required: true, CaseExact: true,
		Mutability: "readWrite", Returned: "always", Uniqueness: "none", Description: "The schemas of which the resource holds something."}
	attrMeta = &Attribute{Name: "meta", Type: TypeComplex, Mutability: "readOnly", Returned: "default", Uniqueness: "none",
		Description: "Resource metadata.", Sub: []*Attribute{
			{Name: "resourceType", Type: TypeString, CaseExact: true, Mutability: "readOnly", Returned: "default", Uniqueness: "none"},
			{Name: "created", Type: TypeDateTime, Mutability: "readOnly", Returned: "default", Uniqueness: "none"},
			{Name: "lastModified", Type: TypeDateTime, Mutability: "readOnly", Returned: "default", Uniqueness: "none"},
			{Name: "location", Type: TypeReference, ReferenceTypes: []string{"uri"}, CaseExact: true, Mutability: "readOnly", Returned: "default", Uniqueness: "none"},
			{Name: "version", Type: TypeString, CaseExact: true, Mutability: "readOnly", Returned: "default", Uniqueness: "none"},
		}}
)

// find returns the attribute of that name in a list, by SCIM's name comparison.
func find(attrs []*Attribute, name string) *Attribute {
	for _, a := range attrs {
		if equalFold(a.Name, name) {
			return a
		}
	}
	return nil
}

// extension returns the extension schema with this URN, nil when the type has none.
func (rt *ResourceType) extension(urn string) *Schema {
	for _, s := range rt.Extensions {
		if equalFold(s.ID, urn) {
			return s
		}
	}
	return nil
}

// lookup resolves an attribute name of a filter, path or projection: name, name.sub, or either
// behind the URN of a schema and a colon. The longest registered URN wins; nothing is split at a
// dot or colon before that, because URNs hold both. The bare URN of an extension resolves to a
// ref without attribute. A bare name that the core schema does not have is looked for in the
// extensions, because clients send "manager" for the enterprise attribute.
func (rt *ResourceType) lookup(name string) (attrRef, bool) {
	if len(name) > 4 && equalFold(name[:4], "urn:") {
		return rt.lookupURN(name)
	}
	first, sub, hasSub := strings.Cut(name, ".")
	if ref, ok := within("", rt.Core.Attributes, first, sub, hasSub); ok {
		return ref, true
	}
	if ref, ok := within("", []*Attribute{attrID, attrMeta, attrSchemas}, first, sub, hasSub); ok {
		return ref, true
	}
	for _, ext := range rt.Extensions {
		if ref, ok := within(ext.ID, ext.Attributes, first, sub, hasSub); ok {
			return ref, true
		}
	}
	return attrRef{}, false
}

func (rt *ResourceType) lookupURN(name string) (attrRef, bool) {
	best := (*Schema)(nil)
	for _, s := range append([]*Schema{rt.Core}, rt.Extensions...) {
		if underURN(name, s.ID) && (best == nil || len(s.ID) > len(best.ID)) {
			best = s
		}
	}
	if best == nil {
		return attrRef{}, false
	}
	urn, attrs := best.ID, best.Attributes
	if best == rt.Core {
		urn, attrs = "", append([]*Attribute{attrID, attrMeta, attrSchemas}, attrs...)
	}
	if len(name) == len(best.ID) {
		return attrRef{urn: urn}, urn != ""
	}
	first, sub, hasSub := strings.Cut(name[len(best.ID)+1:], ".")
	return within(urn, attrs, first, sub, hasSub)
}

// underURN reports whether name is the URN or goes on after it with a colon.
func underURN(name, urn string) bool {
	n := len(urn)
	return len(name) >= n && equalFold(name[:n], urn) && (len(name) == n || name[n] == ':')
}

func within(urn string, attrs []*Attribute, first, sub string, hasSub bool) (attrRef, bool) {
	a := find(attrs, first)
	if a == nil {
		return attrRef{}, false
	}
	if !hasSub {
		return attrRef{urn: urn, attr: a}, true
	}
	s := find(a.Sub, sub)
	return attrRef{urn: urn, attr: a, sub: s}, s != nil
}
