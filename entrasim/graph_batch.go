package entrasim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// maxBatch is how many requests one batch holds.
// Source: Microsoft Graph, "Combine multiple HTTP requests using JSON batching".
const maxBatch = 20

type batchRequest struct {
	ID        string            `json:"id"`
	Method    string            `json:"method"`
	URL       string            `json:"url"` // relative to the version: "/users/…"
	Headers   map[string]string `json:"headers"`
	Body      json.RawMessage   `json:"body"`
	DependsOn []string          `json:"dependsOn"`
}

type batchResponse struct {
	ID      string            `json:"id"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body,omitempty"`
}

// batch answers $batch: each request has its own status, headers and share of the limits, and the answers come in an
// order of their own. A fault that breaks the connection for one of them breaks it for all.
func (c *call) batch() *response {
	if c.method != http.MethodPost {
		return c.fail(http.StatusMethodNotAllowed, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
	}
	requests, bad := c.parseBatch()
	if bad != nil {
		return bad
	}
	var wire Fault
	statuses := make(map[string]int, len(requests))
	responses := make([]batchResponse, 0, len(requests))
	for _, r := range requests {
		a := c.item(r, statuses)
		statuses[r.ID] = a.status
		if a.wire.disturbsWire() {
			wire = a.wire
		}
		responses = append(responses, batchItem(r.ID, a))
	}
	shuffled := make([]batchResponse, len(responses))
	for i, at := range c.g.shuffle(len(responses)) {
		shuffled[at] = responses[i]
	}
	a := c.json(http.StatusOK, map[string]any{"responses": shuffled})
	a.wire = wire
	return a
}

func (c *call) parseBatch() ([]batchRequest, *response) {
	var body struct {
		Requests []batchRequest `json:"requests"`
	}
	if err := json.Unmarshal(c.body, &body); err != nil {
		return nil, c.fail(http.StatusBadRequest, "BadRequest", "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.")
	}
	switch n := len(body.Requests); {
	case n == 0:
		return nil, c.fail(http.StatusBadRequest, "BadRequest", "Invalid batch payload format.")
	case n > maxBatch:
		return nil, c.fail(http.StatusBadRequest, "MaximumValueExceeded", fmt.Sprintf("Number of batch request steps exceeds the maximum value of %d.", maxBatch))
	}
	seen := make(map[string]bool)
	for _, r := range body.Requests {
		switch {
		case r.ID == "" || seen[r.ID]:
			return nil, c.fail(http.StatusBadRequest, "BadRequest", fmt.Sprintf("Duplicate or missing id '%s' in the batch.", r.ID))
		case r.Method == "" || r.URL == "":
			return nil, c.fail(http.StatusBadRequest, "BadRequest", fmt.Sprintf("Method or url of request '%s' is missing.", r.ID))
		}
		for _, d := range r.DependsOn {
			if !seen[d] {
				return nil, c.fail(http.StatusBadRequest, "BadRequest", fmt.Sprintf("Request '%s' depends on '%s', which does not come before it.", r.ID, d))
			}
		}
		seen[r.ID] = true
	}
	return body.Requests, nil
}

// item answers one request of a batch. statuses are those of the requests before it.
func (c *call) item(r batchRequest, statuses map[string]int) *response {
	path, query, _ := strings.Cut(r.URL, "?")
	h := make(http.Header, len(r.Headers))
	for name, value := range r.Headers {
		h.Set(name, value)
	}
	i := c.g.newCall(strings.ToUpper(r.Method), graphPrefix+strings.TrimPrefix(path, "/"), query, h)
	i.batched, i.grant, i.body, i.clientID = true, c.grant, r.Body, c.clientID
	for _, d := range r.DependsOn {
		if statuses[d] >= http.StatusBadRequest {
			return i.fail(http.StatusFailedDependency, "FailedDependency", fmt.Sprintf("The request depends on '%s', which failed.", d))
		}
	}
	if i.op == OpBatch {
		return i.fail(http.StatusBadRequest, "BadRequest", "A batch cannot hold a batch.")
	}
	a := i.respond()
	if a.endless != nil { // there is no endless item
		a.body, a.endless = append(a.body, "]}"...), nil
	}
	return a
}

// batchItem writes an answer into a batch. A body that is not JSON becomes a string in base64.
func batchItem(id string, a *response) batchResponse {
	r := batchResponse{ID: id, Status: a.status, Headers: make(map[string]string)}
	for _, name := range []string{"Content-Type", "Cache-Control", "Retry-After", "Location", "WWW-Authenticate",
		"x-ms-resource-unit", "x-ms-throttle-limit-percentage", "x-ms-throttle-information", "x-ms-throttle-scope"} {
		if v := a.header.Get(name); v != "" {
			r.Headers[name] = v
		}
	}
	switch body := bytes.TrimSpace(a.body); {
	case len(body) == 0:
	case json.Valid(body):
		r.Body = body
	default:
		r.Body = appendQuoted(nil, base64.StdEncoding.EncodeToString(a.body))
	}
	return r
}
