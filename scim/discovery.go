package scim

import (
	"bytes"
	"hash/crc32"
	"strconv"
	"time"
)

// documentation is where the guide for those who write a client is published.
const documentation = "https://github.com/bizzstream/bizzscim/blob/main/docs/scim.md"

// ProviderConfig is what /ServiceProviderConfig says beyond what is always so.
type ProviderConfig struct {
	MaxResults       int    // resources on one page at most
	PageDefault      int    // resources on a page without count
	BulkOperations   int    // of one bulk at most
	BulkBytes        int64  // of one bulk at most
	DocumentationURI string // absolute; empty: none
}

// schemas returns the schemas of a tenant, each once: the core schemas, then the extensions, then those of discovery itself (RFC 7643
// section 8.7.2).
func schemas(types ...*ResourceType) []*Schema {
	var list []*Schema
	for _, rt := range types {
		list = append(list, rt.Core)
	}
	for _, rt := range types {
		list = append(list, rt.Extensions...)
	}
	return append(list, configSchema, resourceTypeSchema, schemaSchema)
}

// appendSchemas appends the answer of /Schemas. base is the absolute URL of the SCIM endpoint,
// without a slash at the end, here and below.
func appendSchemas(dst []byte, list []*Schema, base string) []byte {
	dst = appendListHead(dst, len(list))
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendSchema(dst, s, base)
	}
	return append(dst, "]}"...)
}

// appendListHead opens a list with all its resources on one page; the caller closes it.
func appendListHead(dst []byte, total int) []byte {
	dst = append(dst, `{"schemas":["`+listURN+`"],"totalResults":`...)
	dst = strconv.AppendInt(dst, int64(total), 10)
	dst = append(dst, `,"startIndex":1,"itemsPerPage":`...)
	dst = strconv.AppendInt(dst, int64(total), 10)
	return append(dst, `,"Resources":[`...)
}

// appendSchema appends one schema resource (RFC 7643 section 7), without nulls and empty strings:
// clients read this document with little tolerance.
func appendSchema(dst []byte, s *Schema, base string) []byte {
	start := len(dst)
	dst = append(dst, `{"schemas":["`+schemaURN+`"],"id":`...)
	dst = appendString(dst, s.ID)
	dst = appendText(dst, "name", s.Name)
	dst = appendText(dst, "description", s.Description)
	dst = append(dst, `,"attributes":`...)
	dst = appendAttributes(dst, s.Attributes)
	return appendMeta(dst, start, "Schema", base+"/Schemas/"+s.ID)
}

// appendText appends a member of text unless it is empty.
func appendText(dst []byte, name, text string) []byte {
	if text == "" {
		return dst
	}
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':')
	return appendString(dst, text)
}

const metaStart = `,"meta":{"resourceType":"`

// appendMeta appends meta as the last member of the discovery resource that begins at start, and closes that.
func appendMeta(dst []byte, start int, resourceType, location string) []byte {
	version := documentVersion(dst[start:])
	dst = append(dst, metaStart...)
	dst = append(dst, resourceType...)
	dst = append(dst, '"')
	dst = appendText(dst, "location", location)
	dst = append(dst, `,"version":"W/\"`...)
	dst = appendTag(dst, version, 0)
	return append(dst, `\""}}`...)
}

// documentVersion is the version of a discovery document: a sum of what it says. The last meta is left out, which holds the
// version itself and follows from the rest, so that a resource has the same one before and after its meta is there.
func documentVersion(doc []byte) uint64 {
	if i := bytes.LastIndex(doc, []byte(metaStart)); i >= 0 {
		doc = doc[:i]
	}
	return uint64(crc32.Checksum(doc, castagnoli))
}

func appendAttributes(dst []byte, attrs []*Attribute) []byte {
	dst = append(dst, '[')
	for i, a := range attrs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendAttribute(dst, a)
	}
	return append(dst, ']')
}

func appendAttribute(dst []byte, a *Attribute) []byte {
	dst = append(dst, `{"name":`...)
	dst = appendString(dst, a.Name)
	dst = appendText(dst, "type", string(a.Type))
	if len(a.Sub) > 0 {
		dst = append(dst, `,"subAttributes":`...)
		dst = appendAttributes(dst, a.Sub)
	}
	dst = appendFlag(dst, "multiValued", a.MultiValued)
	dst = appendText(dst, "description", a.Description)
	dst = appendFlag(dst, "required", a.Required)
	dst = appendTexts(dst, "canonicalValues", a.CanonicalValues)
	if a.Type != TypeComplex && a.Type != TypeBoolean {
		dst = appendFlag(dst, "caseExact", a.CaseExact)
	}
	dst = appendText(dst, "mutability", a.Mutability)
	dst = appendText(dst, "returned", a.Returned)
	dst = appendText(dst, "uniqueness", a.Uniqueness)
	dst = appendTexts(dst, "referenceTypes", a.ReferenceTypes)
	return append(dst, '}')
}

func appendFlag(dst []byte, name string, flag bool) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':')
	return strconv.AppendBool(dst, flag)
}

// appendTexts appends a list of texts unless it is empty.
func appendTexts(dst []byte, name string, list []string) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':', '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}

// appendResourceTypes appends the answer of /ResourceTypes.
func appendResourceTypes(dst []byte, list []*ResourceType, base string) []byte {
	dst = appendListHead(dst, len(list))
	for i, rt := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendResourceType(dst, rt, base)
	}
	return append(dst, "]}"...)
}

// appendResourceType appends one resource type (RFC 7643 section 6).
func appendResourceType(dst []byte, rt *ResourceType, base string) []byte {
	start := len(dst)
	dst = append(dst, `{"schemas":["`+resourceTypeURN+`"],"id":`...)
	dst = appendString(dst, rt.Name)
	dst = appendText(dst, "name", rt.Name)
	dst = appendText(dst, "description", rt.Core.Description)
	dst = appendText(dst, "endpoint", rt.Endpoint)
	dst = appendText(dst, "schema", rt.Core.ID)
	if len(rt.Extensions) > 0 {
		dst = append(dst, `,"schemaExtensions":[`...)
		for i, ext := range rt.Extensions {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, `{"schema":`...)
			dst = appendString(dst, ext.ID)
			dst = append(dst, `,"required":false}`...)
		}
		dst = append(dst, ']')
	}
	return appendMeta(dst, start, "ResourceType", base+"/ResourceTypes/"+rt.Name)
}

// securityEvents is what the server tells others of changes, as RFC 9967 section 4 announces it: the events that webhooks are told as
// security event tokens. Requests are never answered before they are done.
const securityEvents = `,"securityEvents":{"asyncRequest":"none","eventUris":[` +
	`"urn:ietf:params:scim:event:prov:create:notice","urn:ietf:params:scim:event:prov:patch:notice","urn:ietf:params:scim:event:prov:put:notice",` +
	`"urn:ietf:params:scim:event:prov:delete","urn:ietf:params:scim:event:prov:activate","urn:ietf:params:scim:event:prov:deactivate"]}`

// appendServiceProviderConfig appends the answer of /ServiceProviderConfig (RFC 7643 section 5).
// It must say what the server does, no more: clients choose PATCH or PUT by it.
func appendServiceProviderConfig(dst []byte, c ProviderConfig, base string) []byte {
	start := len(dst)
	dst = append(dst, `{"schemas":["`+configURN+`"]`...)
	dst = appendText(dst, "documentationUri", c.DocumentationURI)
	dst = append(dst, `,"patch":{"supported":true}`+
		`,"bulk":{"supported":true,"maxOperations":`...)
	dst = strconv.AppendInt(dst, int64(c.BulkOperations), 10)
	dst = append(dst, `,"maxPayloadSize":`...)
	dst = strconv.AppendInt(dst, c.BulkBytes, 10)
	dst = append(dst, `},"filter":{"supported":true,"maxResults":`...)
	dst = strconv.AppendInt(dst, int64(c.MaxResults), 10)
	dst = append(dst, `},"changePassword":{"supported":false}`+
		`,"sort":{"supported":true}`+
		`,"etag":{"supported":true}`+
		`,"pagination":{"cursor":true,"index":true,"defaultPaginationMethod":"index","defaultPageSize":`...)
	dst = strconv.AppendInt(dst, int64(c.PageDefault), 10)
	dst = append(dst, `,"maxPageSize":`...)
	dst = strconv.AppendInt(dst, int64(c.MaxResults), 10)
	dst = append(dst, `,"cursorTimeout":`...)
	dst = strconv.AppendInt(dst, int64(CursorTimeout/time.Second), 10)
	dst = append(dst, `}`+
		`,"authenticationSchemes":[`+
		`{"type":"oauthbearertoken","name":"OAuth Bearer Token","description":"A token of this tenant in the Authorization header.",`+
		`"specUri":"https://www.rfc-editor.org/info/rfc6750","primary":true},`+
		`{"type":"oauth2","name":"OAuth 2.0 Client Credentials","description":"Short-lived tokens from the token endpoint of this tenant.",`+
		`"specUri":"https://www.rfc-editor.org/info/rfc6749","primary":false}]`+securityEvents...)
	return appendMeta(dst, start, "ServiceProviderConfig", base+"/ServiceProviderConfig")
}
