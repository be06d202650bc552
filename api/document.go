package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// tags are the parts of the description, in their order.
var tags = []*huma.Tag{
	{Name: "Environments", Description: "Organizations and environments, with their integration: which tenant's groups decide who may enter."},
	{Name: "Runs", Description: "Pulls: Sync, Preview, quarantine."},
	{Name: "Tenants", Description: "The links to directories, with their applications, credentials and Secret Tokens."},
	{Name: "Users", Description: "People: who they are, their sessions, and what has happened to them."},
	{Name: "Accesses", Description: "Who may enter an environment, with which menus."},
	{Name: "Groups", Description: "The groups of directories, as push or a run has brought them."},
	{Name: "Log and audit", Description: "What happened to whom and why, who did what here, and the leaver and joiner report."},
	{Name: "Changes", Description: "What BizzStream follows: everything that happened, in the order of commit."},
	{Name: "Webhooks", Description: "Changes sent to a URL of yours, signed."},
	{Name: "API tokens", Description: "What opens this API."},
	{Name: "Settings", Description: "The server, its health, and the people who have a role here."},
}

const about = `Everything that the console can do, for programs, and what BizzStream reads.

Send an API token as ` + "`Authorization: Bearer bzk_…`" + `. It opens what its role, its reach and its scopes allow: what lies outside its reach is answered with 404, as if it were not there, and a scope that it does not have with 403. Cookies count for nothing here.

Errors are problem documents (RFC 9457). Lists come in pages: send ` + "`next`" + ` of one as ` + "`after`" + ` for the page that follows. A token may send 25 requests a second, and 100 at once; RateLimit headers tell where it stands. A POST takes an Idempotency-Key where it is among its parameters.`

// scopeWords say what scopes are for.
var scopeWords = map[string]string{
	"environments": "organizations, environments and their integration", "runs": "runs, Sync and Preview", "tenants": "tenants, their tokens and credentials",
	"users": "users, accesses and groups", "log": "the provisioning log, and the leaver and joiner report", "audit": "the audit", "webhooks": "webhooks",
	"tokens": "API tokens", "changes": "changes as they happen", "settings": "settings and health",
}

func scopeList() string {
	var b strings.Builder
	for _, scope := range directory.APIScopes {
		thing, what, _ := strings.Cut(scope, ":")
		verb := map[string]string{"read": "read", "write": "change"}[what]
		fmt.Fprintf(&b, "\n- `%s`: %s %s", scope, verb, scopeWords[thing])
	}
	return b.String()
}

// idText is how an id stands in JSON.
type idText string

// Schema implements huma.SchemaProvider.
func (idText) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "uuid", Description: "An id", Examples: []any{"01a20861-e059-71a2-80c4-bf2b80847439"}}
}

// idOrNull stands for one that may be null.
type idOrNull struct{}

// Schema is the description of an idOrNull. huma calls it.
func (idOrNull) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "uuid", Nullable: true, Examples: []any{"01a20861-e059-71a2-80c4-bf2b80847439"}}
}

func (h *Handler) describe(settings *huma.Config) {
	settings.OpenAPIPath, settings.DocsPath, settings.SchemasPath = "", "", ""
	settings.Info.Title, settings.Info.Description = "bizzscim", about
	settings.Tags = tags
	settings.Components.SecuritySchemes = map[string]*huma.SecurityScheme{bearer: {Type: "http", Scheme: "bearer",
		Description: "An API token. It is made on the page API tokens of the console, or with createApiToken. Each operation names the scope that it needs:\n" + scopeList()}}
	settings.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[directory.ID](), reflect.TypeFor[idText]())
	settings.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[desk.IDOrNull](), reflect.TypeFor[idOrNull]())
}

// serveDocument serves the description to everybody.
func (h *Handler) serveDocument() {
	// The URL of the server is known once it listens.
	document := sync.OnceValue(func() *huma.OpenAPI {
		doc := h.api.OpenAPI()
		doc.Servers = []*huma.Server{{URL: h.config.URL()}}
		return doc
	})
	for path, form := range map[string]struct {
		kind string
		make func(*huma.OpenAPI) ([]byte, error)
	}{
		"/openapi.json": {"application/openapi+json", func(doc *huma.OpenAPI) ([]byte, error) { return json.Marshal(doc) }},
		"/openapi.yaml": {"application/openapi+yaml", (*huma.OpenAPI).YAML},
	} {
		text := sync.OnceValues(func() ([]byte, error) { return form.make(document()) })
		h.mux.HandleFunc("GET "+Prefix+path, func(w http.ResponseWriter, r *http.Request) {
			b, err := text()
			if err != nil {
				h.write(w, h.problemOf(h.config.RequestID(r), err))
				return
			}
			w.Header().Set("Content-Type", form.kind)
			_, _ = w.Write(b)
		})
	}
}

// Reference is the description for people, as the console shows it.
func (h *Handler) Reference() []desk.ReferenceTag {
	doc := h.api.OpenAPI()
	var all []desk.ReferenceTag
	for _, tag := range doc.Tags {
		all = append(all, desk.ReferenceTag{Name: tag.Name, Description: tag.Description})
	}
	for path, item := range doc.Paths {
		for method, op := range operationsOf(item) {
			i := slices.IndexFunc(all, func(t desk.ReferenceTag) bool { return t.Name == op.Tags[0] })
			if i < 0 {
				all = append(all, desk.ReferenceTag{Name: op.Tags[0]})
				i = len(all) - 1
			}
			all[i].Operations = append(all[i].Operations, h.reference(doc, method, path, op))
		}
	}
	all = slices.DeleteFunc(all, func(t desk.ReferenceTag) bool { return len(t.Operations) == 0 })
	for i := range all {
		slices.SortFunc(all[i].Operations, func(a, b desk.ReferenceOperation) int { return strings.Compare(a.Path+a.Method, b.Path+b.Method) })
	}
	return all
}

func operationsOf(item *huma.PathItem) map[string]*huma.Operation {
	all := map[string]*huma.Operation{http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodPatch: item.Patch, http.MethodDelete: item.Delete}
	for method, op := range all {
		if op == nil {
			delete(all, method)
		}
	}
	return all
}

func (h *Handler) reference(doc *huma.OpenAPI, method, path string, op *huma.Operation) desk.ReferenceOperation {
	out := desk.ReferenceOperation{ID: op.OperationID, Method: method, Path: path, Summary: op.Summary, Description: op.Description, Scope: op.Security[0][bearer][0]}
	for _, p := range op.Parameters {
		out.Parameters = append(out.Parameters, desk.ReferenceField{Name: p.Name, In: p.In, Type: typeOf(p.Schema), Required: p.Required, Description: p.Description})
	}
	if op.RequestBody != nil {
		out.Body = fieldsOf(doc, op.RequestBody.Content["application/json"])
	}
	for _, status := range []string{"200", "201", "202", "204"} {
		if r := op.Responses[status]; r != nil {
			out.Status, out.Answer = status, fieldsOf(doc, r.Content["application/json"])
		}
	}
	out.Curl = curl(h.config.URL(), method, path, out.Body)
	return out
}

// fieldsOf are the fields of an object, in alphabetical order.
func fieldsOf(doc *huma.OpenAPI, media *huma.MediaType) (all []desk.ReferenceField) {
	if media == nil || media.Schema == nil {
		return nil
	}
	schema := media.Schema
	if schema.Ref != "" {
		schema = doc.Components.Schemas.SchemaFromRef(schema.Ref)
	}
	for name, p := range schema.Properties {
		all = append(all, desk.ReferenceField{Name: name, Type: typeOf(p), Required: slices.Contains(schema.Required, name), Description: p.Description})
	}
	slices.SortFunc(all, func(a, b desk.ReferenceField) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func typeOf(s *huma.Schema) string {
	switch {
	case s == nil:
		return ""
	case s.Ref != "":
		return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
	case s.Type == huma.TypeArray:
		return "list of " + typeOf(s.Items)
	case s.Format == "uuid":
		return "id"
	case s.Format == "date-time":
		return "time"
	}
	return s.Type
}

// curl is an example of an operation.
func curl(server, method, path string, body []desk.ReferenceField) string {
	text := "curl"
	if method != http.MethodGet {
		text += " -X " + method
	}
	text += " -H \"Authorization: Bearer $TOKEN\""
	var fields []string
	for _, f := range body {
		if f.Required {
			fields = append(fields, fmt.Sprintf("%q: %s", f.Name, sample(f.Type)))
		}
	}
	if body != nil {
		text += " -H 'Content-Type: application/json' \\\n  -d '{" + strings.Join(fields, ", ") + "}'"
	}
	for _, part := range strings.Split(path, "/") {
		if strings.HasPrefix(part, "{") {
			path = strings.Replace(path, part, "$"+strings.ToUpper(strings.Trim(part, "{}")), 1)
		}
	}
	return text + " \\\n  \"" + server + path + "\""
}

func sample(kind string) string {
	switch {
	case kind == huma.TypeBoolean:
		return "true"
	case kind == huma.TypeInteger, kind == huma.TypeNumber:
		return "1"
	case strings.HasPrefix(kind, "list of "):
		return "[" + sample(strings.TrimPrefix(kind, "list of ")) + "]"
	case kind == huma.TypeString, kind == "id", kind == "time":
		return `"…"`
	}
	return "{}"
}
