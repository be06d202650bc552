package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"

	"github.com/bizzstream/bizzscim/api"
	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

var update = flag.Bool("update", false, "write docs/openapi.json")

const committed = "../docs/openapi.json"

// document is the description with a URL and a version that do not change.
func document(t *testing.T) []byte {
	t.Helper()
	h := api.NewHandler(api.Config{Desk: desk.New(desk.Config{}), URL: func() string { return "https://bizzscim.example" }, Version: "1",
		RequestID: func(*http.Request) string { return "" }})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/openapi.json", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, w.Body.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	return append(out.Bytes(), '\n')
}

// The contract is in the repository: what changes it is seen in review. make openapi writes it.
func TestOpenAPIIsCommitted(t *testing.T) {
	t.Parallel()
	got := document(t)
	if *update {
		if err := os.WriteFile(committed, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(committed)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("the contract has changed: make openapi writes it down\n%.2000s", diff)
	}
}

func parsed(t *testing.T, text []byte) libopenapi.Document {
	t.Helper()
	doc, err := libopenapi.NewDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestOpenAPIIsValid(t *testing.T) {
	t.Parallel()
	v, errs := validator.NewValidator(parsed(t, document(t)))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if ok, problems := v.ValidateDocument(); !ok {
		for _, p := range problems {
			t.Errorf("%s: %s", p.Message, p.Reason)
			for _, x := range p.SchemaValidationErrors {
				t.Errorf("  %s", x.Reason)
			}
		}
	}
}

// described is what a test needs of the description.
type described struct {
	Paths map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Summary     string
		Description string
		Tags        []string
		Security    []map[string][]string
		Responses   map[string]any
		Parameters  []any
		RequestBody map[string]any `json:"requestBody"`
	}
	Servers []struct{ URL string }
	Tags    []struct{ Name string }
}

func TestEveryOperationIsDescribed(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	served := w.API("").Do(http.MethodGet, "/api/v1/openapi.json", nil)
	var doc described
	if err := json.Unmarshal([]byte(served.Body), &doc); err != nil || served.Header.Get("Content-Type") != "application/openapi+json" {
		t.Fatal(err, served.Header)
	}
	if len(doc.Servers) != 1 || doc.Servers[0].URL != w.Server.URL {
		t.Errorf("servers: %v", doc.Servers)
	}
	if yaml := w.API("").Do(http.MethodGet, "/api/v1/openapi.yaml", nil); yaml.Status != http.StatusOK || !strings.Contains(yaml.Body, "openapi: 3.1.0") {
		t.Errorf("YAML: %d %.100s", yaml.Status, yaml.Body)
	}
	ids := map[string]bool{}
	for path, item := range doc.Paths {
		for method, op := range item {
			at := method + " " + path
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || len(op.Description) < 20 || !strings.HasSuffix(op.Description, ".") {
				t.Errorf("%s: the operation %q, %q, is described with %q", at, op.OperationID, op.Summary, op.Description)
			}
			if len(op.Tags) != 1 || !slices.ContainsFunc(doc.Tags, func(x struct{ Name string }) bool { return x.Name == op.Tags[0] }) {
				t.Errorf("%s: %v are no part of the description", at, op.Tags)
			}
			ids[op.OperationID] = true
			if len(op.Security) != 1 || len(op.Security[0]["token"]) != 1 || !slices.Contains(directory.APIScopes, op.Security[0]["token"][0]) {
				t.Errorf("%s needs the scopes %v", at, op.Security)
				continue
			}
			if read := strings.HasSuffix(op.Security[0]["token"][0], ":read"); read != (method == "get") && !readingPosts[op.OperationID] {
				t.Errorf("%s needs the scope %s", at, op.Security[0]["token"][0])
			}
			// It is served, and without a token it is refused, whatever else is wrong.
			target := strings.NewReplacer("{", "", "}", "").Replace(path)
			if got := w.API("").Do(strings.ToUpper(method), target, nil); got.Status != http.StatusUnauthorized {
				t.Errorf("%s without a token: %d %s", at, got.Status, got.Body)
			}
		}
	}
	var unused []string
	for _, scope := range directory.APIScopes {
		if !strings.Contains(served.Body, `["`+scope+`"]`) {
			unused = append(unused, scope)
		}
	}
	sort.Strings(unused)
	t.Logf("no operation needs the scopes %v", unused)
}

// readingPosts change nothing though they are POST; a poll keeps what has been read.
var readingPosts = map[string]bool{"verifyAudit": true, "pollWebhook": true}
