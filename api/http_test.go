package api_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/api"
	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

func TestRequestsThatAreNotAccepted(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	api := w.OperatorAPI()
	good := `{"name":"x","role":"operator","scopes":["runs:read"]}`
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		want               int
		says               string
	}{
		"good":                      {"POST", "/api-tokens", good, nil, 201, ""},
		"a charset":                 {"POST", "/api-tokens", good, []string{"Content-Type", "application/json; charset=utf-8"}, 201, ""},
		"a form":                    {"POST", "/api-tokens", "name=x", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "as JSON"},
		"no content type":           {"POST", "/api-tokens", good, []string{"Content-Type", ""}, 415, "as JSON"},
		"JSON of another kind":      {"POST", "/api-tokens", good, []string{"Content-Type", "application/scim+json"}, 415, "as JSON"},
		"XML wanted":                {"GET", "/api-tokens", "", []string{"Accept", "application/xml"}, 406, "Accept"},
		"JSON refused":              {"GET", "/api-tokens", "", []string{"Accept", "application/json;q=0"}, 406, "Accept"},
		"anything wanted":           {"GET", "/api-tokens", "", []string{"Accept", "text/html, */*;q=0.1"}, 200, ""},
		"any application wanted":    {"GET", "/api-tokens", "", []string{"Accept", "application/*"}, 200, ""},
		"an unknown field":          {"POST", "/api-tokens", `{"name":"x","role":"operator","scopes":["runs:read"],"admin":true}`, nil, 422, "body.admin"},
		"a name twice":              {"POST", "/api-tokens", `{"name":"x","role":"operator","scopes":["runs:read"],"name":"y"}`, nil, 400, "twice"},
		"a name twice, otherwise":   {"POST", "/api-tokens", `{"name":"x","role":"operator","scopes":["runs:read"],"Name":"y"}`, nil, 400, "twice"},
		"a name that folds to one":  {"POST", "/api-tokens", `{"name":"x","role":"operator","scopes":["runs:read"],"\u017fcopes":["everything"]}`, nil, 400, "character"},
		"such a name as it is":      {"POST", "/api-tokens", `{"name":"x","role":"operator","scopes":["runs:read"],"ſcopes":["everything"]}`, nil, 400, "character"},
		"such a name alone":         {"POST", "/api-tokens", `{"name":"x","role":"operator","\u017fcopes":["runs:read"]}`, nil, 400, "character"},
		"such a name below":         {"PATCH", "/tenants/" + w.Fjord.Tenant.ID.String(), `{"scim":{"strict":true,"\u017ftrict":false}}`, nil, 400, "character"},
		"a name in capitals":        {"POST", "/api-tokens", `{"name":"x","role":"operator","SCOPES":["runs:read"]}`, nil, 422, "body.SCOPES"},
		"something behind":          {"POST", "/api-tokens", good + `{}`, nil, 400, "follows"},
		"cut off":                   {"POST", "/api-tokens", good[:20], nil, 400, "cut off"},
		"no UTF-8":                  {"POST", "/api-tokens", strings.Replace(good, `"x"`, "\"\xff\"", 1), nil, 400, "UTF-8"},
		"half a character":          {"POST", "/api-tokens", strings.Replace(good, `"x"`, `"a\ud800"`, 1), nil, 400, "half"},
		"the other half":            {"POST", "/api-tokens", strings.Replace(good, `"x"`, `"\uDC00a"`, 1), nil, 400, "half"},
		"two first halves":          {"POST", "/api-tokens", strings.Replace(good, `"x"`, `"\ud83d\ud83d\ude00"`, 1), nil, 400, "half"},
		"half, and an escape":       {"POST", "/api-tokens", strings.Replace(good, `"x"`, `"\ud83d\n"`, 1), nil, 400, "half"},
		"half behind a backslash":   {"POST", "/api-tokens", strings.Replace(good, `"x"`, `"\\\ud800"`, 1), nil, 400, "half"},
		"both halves":               {"POST", "/api-tokens", strings.Replace(good, `"x"`, `"a\ud83d\uDE00\u0041"`, 1), nil, 201, ""},
		"a backslash and letters":   {"POST", "/api-tokens", strings.Replace(good, `"x"`, `"a\\ud800"`, 1), nil, 201, ""},
		"too deep":                  {"POST", "/api-tokens", strings.Repeat("[", 40) + strings.Repeat("]", 40), nil, 400, "deeper"},
		"no body":                   {"POST", "/api-tokens", "", nil, 400, "body"},
		"a wrong type":              {"POST", "/api-tokens", `{"name":5,"role":"operator","scopes":["runs:read"]}`, nil, 422, "body.name"},
		"an id that is none":        {"POST", "/api-tokens", `{"name":"x","role":"partner","organizations":["nonsense"],"scopes":["runs:read"]}`, nil, 422, "body.organizations[0]"},
		"an id in capitals":         {"POST", "/api-tokens", `{"name":"x","role":"partner","organizations":["01A20861-E059-71A2-80C4-BF2B80847439"],"scopes":["runs:read"]}`, nil, 422, "body"},
		"an unknown role":           {"POST", "/api-tokens", `{"name":"x","role":"king","scopes":["runs:read"]}`, nil, 422, "body.role"},
		"a path that is no id":      {"GET", "/api-tokens/nonsense", "", nil, 422, "path.id"},
		"an unknown parameter":      {"GET", "/api-tokens?color=red", "", nil, 422, "query.color"},
		"a page too large":          {"GET", "/api-tokens?limit=501", "", nil, 422, "query.limit"},
		"a parameter twice":         {"GET", "/api-tokens?limit=1&limit=2", "", nil, 422, "limit stands twice"},
		"one without a value":       {"GET", "/api-tokens?limit=1&limit", "", nil, 422, "limit stands twice"},
		"one made up":               {"GET", "/api-tokens?%3Cb%3E=1&%3Cb%3E=1", "", nil, 422, "that was sent"},
		"no encoding":               {"GET", "/api-tokens?limit=1&after=%zz", "", nil, 422, "cannot be read"},
		"a semicolon":               {"GET", "/api-tokens?limit=1;after=x", "", nil, 422, "cannot be read"},
		"nothing there":             {"GET", "/nothing", "", nil, 404, "openapi.json"},
		"another method":            {"DELETE", "/api-tokens", "", nil, 405, "DELETE"},
		"a method that is made up":  {"FETCH", "/api-tokens", "", nil, 405, "FETCH"},
		"too large":                 {"POST", "/api-tokens", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, nil, 413, ""},
		"too large, with a key":     {"POST", "/api-tokens", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, []string{"Idempotency-Key", "k"}, 413, "1 MiB"},
		"a token of another scheme": {"GET", "/api-tokens", "", []string{"Authorization", "Basic " + api.Token}, 401, "API token"},
		"a scheme in small letters": {"GET", "/api-tokens", "", []string{"Authorization", "bearer " + api.Token}, 200, ""},
	} {
		header := append([]string{"Authorization", "Bearer " + api.Token}, c.header...)
		if c.body != "" {
			header = append([]string{"Content-Type", "application/json"}, header...)
		}
		got := api.Do(c.method, "/api/v1"+c.path, strings.NewReader(c.body), header...)
		if got.Status != c.want || !strings.Contains(got.Body, c.says) {
			t.Errorf("%s: %d, not %d %q\n%.300s", name, got.Status, c.want, c.says, got.Body)
		}
		if c.want < 400 {
			continue
		}
		var p struct {
			Type, Title, Detail, Instance string
			Status                        int
		}
		if err := json.Unmarshal([]byte(got.Body), &p); err != nil || p.Type != "about:blank" || p.Status != c.want || p.Title != http.StatusText(c.want) || p.Detail == "" ||
			p.Instance != "urn:request:"+got.Header.Get("X-Request-Id") || got.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: no problem document: %v %s", name, got.Header, got.Body)
		}
		for _, leak := range []string{"huma", "Go ", "directory:", "json:", "struct", "unmarshal", `"value"`} {
			if strings.Contains(got.Body, leak) {
				t.Errorf("%s tells of our program: %s", name, got.Body)
			}
		}
		if c.want == 405 && got.Header.Get("Allow") != "GET, HEAD, POST" {
			t.Errorf("%s: Allow: %q", name, got.Header.Get("Allow"))
		}
	}
	if got := api.Call(http.MethodHead, "/api-tokens", nil, nil); got.Status != http.StatusOK || got.Body != "" {
		t.Errorf("HEAD: %d %q", got.Status, got.Body)
	}
	// No other site's script may read anything.
	got := api.Do(http.MethodOptions, "/api/v1/api-tokens", nil, "Origin", "https://evil.example", "Access-Control-Request-Method", "GET")
	if got.Status != http.StatusMethodNotAllowed || got.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight: %d %v", got.Status, got.Header)
	}
}

func TestRequestsOfATokenAreLimited(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	api, other := w.OperatorAPI(), w.OperatorAPI()
	in := desk.APITokenInput{Name: "Once", Role: "operator", Scopes: []string{"runs:read"}}
	if got := api.Call(http.MethodPost, "/api-tokens", in, nil, "Idempotency-Key", "one"); got.Status != http.StatusCreated {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	refused := 0
	var last apptest.Answer
	for range 400 {
		w.Advance(-time.Second) // the clock does not go on: a slow machine wins no requests
		if last = api.Call(http.MethodGet, "/organizations", nil, nil); last.Status == http.StatusTooManyRequests {
			refused++
			break
		}
		if last.Status != http.StatusOK || !strings.HasPrefix(last.Header.Get("Ratelimit"), `"token";r=`) || last.Header.Get("Ratelimit-Policy") != `"token";q=100;w=4` {
			t.Fatalf("%d %v", last.Status, last.Header)
		}
	}
	w.Advance(-time.Second)
	if got := api.Call(http.MethodPost, "/api-tokens", in, nil, "Idempotency-Key", "one"); got.Status != http.StatusTooManyRequests {
		t.Errorf("a request that is sent again: %d", got.Status)
	}
	if refused == 0 || last.Header.Get("Retry-After") != "1" {
		t.Errorf("%d refused: %v", refused, last.Header)
	}
	if got := other.Call(http.MethodGet, "/organizations", nil, nil); got.Status != http.StatusOK {
		t.Errorf("another token: %d", got.Status)
	}
}

// What is refused or replayed for its Idempotency-Key counts like any other request, once, and before its body is read.
func TestRequestsWithAKeyAreLimited(t *testing.T) {
	t.Parallel()
	w := newSettingsWorld(t)
	post := func(body io.Reader, keys ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, api.Prefix+"/settings/signing-keys", body)
		r.Header.Set("Authorization", "Bearer operator")
		r.Header.Set("Content-Type", "application/json")
		for _, k := range keys {
			r.Header.Add("Idempotency-Key", k)
		}
		out := httptest.NewRecorder()
		w.handler.ServeHTTP(out, r)
		return out
	}
	if got := post(nil, "one"); got.Code != http.StatusCreated || got.Header().Get("Ratelimit") != `"token";r=99;t=1` {
		t.Fatalf("%d %v %s", got.Code, got.Header(), got.Body)
	}
	var last *httptest.ResponseRecorder
	for range 2000 {
		if last = post(nil, "one", "two"); last.Code != http.StatusBadRequest {
			break
		}
	}
	if last.Code != http.StatusTooManyRequests || last.Header().Get("Retry-After") == "" {
		t.Fatalf("2000 requests with two keys: %d %s", last.Code, last.Body)
	}
	unread := &counted{}
	for range 2000 { // the limiter lets one through now and then
		before := unread.n
		if last = post(unread, "one"); last.Code == http.StatusTooManyRequests {
			if unread.n != before {
				t.Error("the body of a request over the limit is read")
			}
			return
		}
	}
	t.Errorf("2000 bodies more: %d", last.Code)
}

// counted is a body that is cut off, and counts how often it is read.
type counted struct{ n int }

func (c *counted) Read([]byte) (int, error) { c.n++; return 0, io.ErrUnexpectedEOF }

// leaving is a caller who goes away as soon as the operation has let it in.
type leaving struct {
	callers
	leave func()
	asked int
}

func (l *leaving) Authenticate(ctx context.Context, token, from string) (directory.Actor, []string, error) {
	if l.asked++; l.asked == 2 {
		l.leave()
	}
	return l.callers.Authenticate(ctx, token, from)
}

// Who goes away before the answer and sends the request again gets that answer: it is done once.
func TestRequestsWithAKeyOfWhoHasLeft(t *testing.T) {
	t.Parallel()
	w := newSettingsWorld(t)
	gone, leave := context.WithCancel(t.Context())
	post := func(ctx context.Context) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, api.Prefix+"/settings/signing-keys", nil)
		r.Header.Set("Authorization", "Bearer operator")
		r.Header.Set("Idempotency-Key", "one")
		out := httptest.NewRecorder()
		w.handler.ServeHTTP(out, r)
		return out
	}
	before := w.call(t, "operator", "GET", "/settings/signing-keys", "", 200)["total"].(float64)
	w.handler = api.NewHandler(api.Config{Desk: w.App.Desk(), Tokens: &leaving{callers{w}, leave, 0}, Address: func(*http.Request) string { return "192.0.2.7" },
		RequestID: func(*http.Request) string { return "r1" }, URL: func() string { return w.Server.URL }, Version: "test", Log: slog.New(slog.DiscardHandler)})
	first := post(gone)
	if gone.Err() == nil {
		t.Fatal("the caller has not left")
	}
	again := post(t.Context())
	if first.Code != http.StatusCreated || again.Code != http.StatusCreated || again.Header().Get("Idempotency-Replayed") != "true" || again.Body.String() != first.Body.String() {
		t.Errorf("%d %s, then %d %s", first.Code, first.Body, again.Code, again.Body)
	}
	if after := w.call(t, "operator", "GET", "/settings/signing-keys", "", 200)["total"].(float64); after != before+1 {
		t.Errorf("%v keys were made", after-before)
	}
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	api, other := w.OperatorAPI(), w.OperatorAPI()
	in := desk.APITokenInput{Name: "Once", Role: "operator", Scopes: []string{"runs:read"}}
	post := func(api *apptest.API, key string, in any) apptest.Answer {
		return api.Call(http.MethodPost, "/api-tokens", in, nil, "Idempotency-Key", key)
	}
	count := func() int64 {
		var list desk.List[desk.APIToken]
		other.Call(http.MethodGet, "/api-tokens", nil, &list)
		return list.Total
	}
	before := count()
	first, again := post(api, "one", in), post(api, "one", in)
	if first.Status != http.StatusCreated || again.Status != http.StatusCreated || first.Body != again.Body || first.Header.Get("Idempotency-Replayed") != "" || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%d %d %s %s", first.Status, again.Status, first.Body, again.Body)
	}
	if n := count(); n != before+1 {
		t.Errorf("%d were made", n-before)
	}
	changed := in
	changed.Name = "Twice"
	if got := post(api, "one", changed); got.Status != http.StatusUnprocessableEntity || !strings.Contains(got.Body, "another request") {
		t.Errorf("another request by the same key: %d %s", got.Status, got.Body)
	}
	if got := post(other, "one", in); got.Status != http.StatusCreated || got.Body == first.Body {
		t.Errorf("another token by the same key: %d", got.Status)
	}
	if got := post(api, "two", in); got.Status != http.StatusCreated || got.Body == first.Body {
		t.Errorf("another key: %d", got.Status)
	}
	// What was refused can be sent again, put right.
	bad := in
	bad.Role = "king"
	if got := post(api, "three", bad); got.Status != http.StatusUnprocessableEntity {
		t.Errorf("%d", got.Status)
	}
	if got := post(api, "three", in); got.Status != http.StatusCreated {
		t.Errorf("a key whose request was refused: %d %s", got.Status, got.Body)
	}
	for _, key := range []string{"", strings.Repeat("k", 201)} {
		if got := post(api, key, in); got.Status != http.StatusBadRequest {
			t.Errorf("a key of %d characters: %d", len(key), got.Status)
		}
	}
	if got := post(w.API(""), "one", in); got.Status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", got.Status)
	}
	// Under way: of many at once by one key, one thing is made.
	before = count()
	answers := make(chan apptest.Answer, 8)
	for range 8 {
		go func() { answers <- post(api, "many", in) }()
	}
	for range 8 {
		if got := <-answers; got.Status != http.StatusCreated && got.Status != http.StatusConflict {
			t.Errorf("%d %s", got.Status, got.Body)
		}
	}
	if n := count(); n != before+1 {
		t.Errorf("%d were made at once", n-before)
	}
	w.Advance(25 * 60 * 60 * 1e9)
	if got := post(api, "one", in); got.Status != http.StatusCreated || got.Body == first.Body {
		t.Errorf("after 24 hours: %d %s", got.Status, got.Header.Get("Idempotency-Replayed"))
	}
}
