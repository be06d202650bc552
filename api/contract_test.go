package api_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	failures "github.com/pb33f/libopenapi-validator/errors"

	"github.com/bizzstream/bizzscim/api"
	"github.com/bizzstream/bizzscim/app/apptest"
)

// contract is the description, which requests and answers are held against.
type contract struct {
	mu sync.Mutex
	v  validator.Validator
}

func newContract(t *testing.T) *contract {
	t.Helper()
	v, errs := validator.NewValidator(parsed(t, document(t)), config.WithFormatAssertions())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return &contract{v: v}
}

// asked is a request as the description knows it: it is not sent.
func (c *contract) asked(t *testing.T, method, path, body string) *http.Request {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, "https://bizzscim.example"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer x")
	if body != "" {
		q.Header.Set("Content-Type", "application/json")
	}
	return q
}

// request says why a request does not fit its operation.
func (c *contract) request(q *http.Request) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, all := c.v.ValidateHttpRequestSync(q)
	return reasons(all)
}

// answer says why what a request was answered does not fit its operation.
func (c *contract) answer(q *http.Request, got apptest.Answer) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, all := c.v.ValidateHttpResponse(q, &http.Response{StatusCode: got.Status, Header: got.Header, Body: io.NopCloser(strings.NewReader(got.Body)), Request: q})
	return reasons(all)
}

func reasons(all []*failures.ValidationError) (why []string) {
	for _, f := range all {
		text := f.Message + ": " + f.Reason
		for _, x := range f.SchemaValidationErrors {
			text += "; " + x.FieldPath + " " + x.Reason
		}
		why = append(why, text)
	}
	return why
}

// What does not fit the description is found, or all other tests of answers tell nothing.
func TestContractIsHeld(t *testing.T) {
	t.Parallel()
	c := newContract(t)
	const list = "/organizations"
	item := `{"items":[{"id":"01a20861-e059-71a2-80c4-bf2b80847439","name":"Fjord","created":"2026-11-23T12:00:00Z"}],"total":1}`
	for name, x := range map[string]struct {
		method  string
		path    string
		sent    string
		status  int
		kind    string
		body    string
		refused string // a part of why; empty: it fits
	}{
		"an answer":                {"GET", list, "", 200, "application/json", item, ""},
		"a problem":                {"GET", list, "", 403, "application/problem+json", `{"type":"about:blank","title":"Forbidden","status":403,"detail":"x"}`, ""},
		"another status":           {"GET", list, "", 201, "application/json", item, "201"},
		"a status that is unknown": {"GET", list, "", 418, "application/problem+json", `{}`, "418"},
		"another field":            {"GET", list, "", 200, "application/json", strings.Replace(item, `"total"`, `"secret":1,"total"`, 1), "secret"},
		"another field below":      {"GET", list, "", 200, "application/json", strings.Replace(item, `"name"`, `"secret":1,"name"`, 1), "secret"},
		"a field too few":          {"GET", list, "", 200, "application/json", `{"items":[]}`, "total"},
		"a field of another type":  {"GET", list, "", 200, "application/json", strings.Replace(item, `:1}`, `:"1"}`, 1), "total"},
		"no id":                    {"GET", list, "", 200, "application/json", strings.Replace(item, `01a2`, `x`, 1), "uuid"},
		"null for a list":          {"GET", list, "", 200, "application/json", `{"items":null,"total":0}`, "items"},
		"no JSON":                  {"GET", list, "", 200, "text/html", item, "text/html"},
		"a path that is not there": {"GET", "/nothing", "", 200, "application/json", item, "nothing"},
		"a method that is not":     {"DELETE", list, "", 204, "", "", "DELETE"},
		"a field sent too many":    {"POST", list, `{"name":"x","odd":1}`, 201, "application/json", `{"id":"01a20861-e059-71a2-80c4-bf2b80847439","name":"x","created":"2026-11-23T12:00:00Z"}`, "odd"},
	} {
		header := http.Header{}
		if x.kind != "" {
			header.Set("Content-Type", x.kind)
		}
		q := c.asked(t, x.method, api.Prefix+x.path, x.sent)
		why := strings.Join(append(c.request(q), c.answer(q, apptest.Answer{Status: x.status, Header: header, Body: x.body})...), "\n")
		if (why == "") != (x.refused == "") || !strings.Contains(why, x.refused) {
			t.Errorf("%s: %q", name, why)
		}
	}
}
