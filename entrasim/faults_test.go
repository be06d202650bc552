package entrasim

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// script replaces the fault script.
func (s *site) script(lines ...string) {
	s.Helper()
	s.graph.Faults().Clear()
	s.must(s.graph.Faults().Load(strings.Join(lines, "\n")))
}

func TestReplacedAnswers(t *testing.T) {
	s := newSite(t, GraphOptions{})
	group, _ := s.hire(3)
	members := "/groups/" + group + "/members"
	for _, test := range []struct {
		rule        string
		status      int
		body, kind  string
		name, value string // a header
	}{
		{"members empty", 200, "", graphJSON, "", ""},
		{"members body={}", 200, "{}", graphJSON, "", ""},
		{"members body=[]", 200, "[]", graphJSON, "", ""},
		{`members body={"value":null}`, 200, `{"value":null}`, graphJSON, "", ""},
		{`members body={"value":[null]}`, 200, `{"value":[null]}`, graphJSON, "", ""},
		{`members body={"error":{"code":"x"}}`, 200, `{"error":{"code":"x"}}`, graphJSON, "", ""},
		{`members body="{ \"value\": 1 }"`, 200, `{ "value": 1 }`, graphJSON, "", ""},
		{"members status=204", 204, "", "", "", ""},
		{"members html status=502", 502, htmlError, "text/html", "", ""},
		{"members body={} content-type=text/plain", 200, "{}", "text/plain", "", ""},
		{"members body={} bom", 200, "\xef\xbb\xbf{}", graphJSON, "", ""},
		{"members body={} nest=2", 200, `{"deep":[[]]}`, graphJSON, "", ""},
		{`members body={"a":1} nest=1`, 200, `{"deep":[],"a":1}`, graphJSON, "", ""},
		{"members body=[] nest=1", 200, "[]", graphJSON, "", ""},
		{"members body=12345678 truncate", 200, "1234", graphJSON, "", ""},
		{"members body=12345678 truncate=0.25", 200, "12", graphJSON, "", ""},
		{`members body={} header="X-One: a" header="Location:b"`, 200, "{}", graphJSON, "X-One", "a"},
		{"members status=301", 301, "", graphJSON, "", ""},
		{`members empty status=503 retry-after=3600`, 503, "", graphJSON, "Retry-After", "3600"},
	} {
		s.script(test.rule)
		a := s.get(members)
		if a.status != test.status || string(a.body) != test.body || a.err != nil || a.header.Get("Content-Type") != test.kind || test.name != "" && a.header.Get(test.name) != test.value {
			t.Errorf("%s: %d %q %v %v", test.rule, a.status, a.body, a.header, a.err)
		}
	}
	s.equal("units of answers that Graph did not make", s.graph.Stats().Units, 0)
	s.equal("faults", s.graph.Stats().Faults, 19)
	s.graph.Faults().Clear()
	s.ok(members)
}

func TestErrorsByStatus(t *testing.T) {
	s := newSite(t, GraphOptions{})
	for rule, code := range map[string]string{
		"users status=400": "Request_BadRequest", "users status=401": "InvalidAuthenticationToken", "users status=403": "Authorization_RequestDenied",
		"users status=404": "Request_ResourceNotFound", "users status=410": "syncStateNotFound", "users status=429": "TooManyRequests",
		"users status=500": "InternalServerError", "users status=502": "BadGateway", "users status=503": "ServiceUnavailable",
		"users status=504": "GatewayTimeout", "users status=418": "UnknownError", "users expired-token": "Directory_ExpiredPageToken",
	} {
		s.script(rule)
		a := s.get("/users")
		_, rest, _ := strings.Cut(rule, "status=")
		if a.code() != code || rest != "" && http.StatusText(a.status) != http.StatusText(number3(rest)) {
			t.Errorf("%s: %d %s", rule, a.status, a.body)
		}
		s.equal(rule+": Retry-After", a.header.Get("Retry-After"), "")
	}
	s.script("other status=404")
	s.refused("what Graph does not have", s.get("//"), 404, "Request_ResourceNotFound")
	s.script("token#1 status=401", "token#2 status=429", "token#3 status=503 retry-after=2", "token#4 status=400", "token#5 html status=502")
	for _, want := range []struct {
		status int
		code   any
	}{{401, "invalid_client"}, {429, "temporarily_unavailable"}, {503, "temporarily_unavailable"}, {400, "invalid_request"}, {502, nil}, {200, nil}} {
		a := s.requestToken(nil)
		if a.status != want.status || a.json["error"] != want.code {
			t.Errorf("token: %d %s, want %v", a.status, a.body, want)
		}
	}
	s.script(`users status=401 header="WWW-Authenticate: Bearer claims=abc"`)
	s.equal("a malformed challenge", s.get("/users").header.Get("WWW-Authenticate"), "Bearer claims=abc")
	s.script(`users status=410 header="Location: https://127.0.0.1/next?$deltatoken="`)
	s.equal("a location", s.get("/users").header.Get("Location"), "https://127.0.0.1/next?$deltatoken=")
}

func number3(s string) int {
	n := 0
	for _, c := range s {
		n = n*10 + int(c-'0')
	}
	return n
}

func TestRetryAfter(t *testing.T) {
	s := newSite(t, GraphOptions{})
	s.clock.advance(500 * time.Millisecond)
	for value, want := range map[string]string{
		"1": "1", "0.9": "0.9", "-1": "-1", "soon": "soon", "3600": "3600", "date+3s": "Mon, 23 Nov 2026 12:00:04 GMT", "date+500ms": "Mon, 23 Nov 2026 12:00:01 GMT", "date-1h": "Mon, 23 Nov 2026 11:00:01 GMT",
	} {
		s.script("users status=429 retry-after=" + value)
		s.equal(value, s.get("/users").header.Get("Retry-After"), want)
	}
	s.script("users retry-after=5")
	s.equal("on a right answer", s.ok("/users").header.Get("Retry-After"), "5")
}

func TestSpoiledPages(t *testing.T) {
	s := newSite(t, GraphOptions{})
	group, people := s.hire(25)
	u, _ := s.tenant.User(people[0])
	members := "/groups/" + group + "/members?$count=true&$top=10&$select=id,accountEnabled,mail"
	page := func(rule string) got {
		s.Helper()
		s.script(rule)
		return s.ok(members, eventual...)
	}
	a := page("members short=3")
	s.equal("short", []any{a.ids(), a.json["@odata.count"]}, []any{people[:7], 25.0})
	rest, _ := s.pages(a.next())
	s.equal("the next page is where it was, and short as well", rest, append(slices.Clone(people[10:17]), people[20:22]...))
	s.equal("shorter than it is", page("members short=30").json["value"], []any{})
	s.equal("duplicate", page("members duplicate").ids(), append(slices.Clone(people[:10]), people[0]))
	s.equal("short and duplicate", page("members short=1 duplicate").ids(), append(slices.Clone(people[:9]), people[0]))
	v, _ := page("members null-item").json["value"].([]any)
	s.equal("null", []any{len(v), v[0]}, []any{10, nil})
	s.equal("missing id", page("members missing-id").values()[0], map[string]any{"@odata.type": "#microsoft.graph.user", "accountEnabled": true, "mail": u.Mail})
	s.equal("type of a truth value", page("members wrong-type=accountEnabled").values()[0]["accountEnabled"], "true")
	first := page("members wrong-type=mail").values()
	s.equal("type of a text", []any{first[0]["mail"], first[0]["accountEnabled"]}, []any{[]any{42.0}, true})
	if _, is := first[1]["mail"].(string); !is {
		t.Errorf("the second object is wrong too: %v", first[1])
	}
	s.equal("type of an id", page("members wrong-type=id").values()[0]["id"], []any{42.0})
	s.equal("@odata.type", page("members odata-type=#microsoft.graph.orgContact").values()[0]["@odata.type"], "#microsoft.graph.orgContact")
	s.equal("limited", page("members null-properties").values()[3], map[string]any{"@odata.type": "#microsoft.graph.user", "id": people[3], "accountEnabled": nil, "mail": nil})
	s.script("members odata-type=#x missing-id null-properties")
	cast := s.ok("/groups/"+group+"/members/graph.user?$count=true&$select=id", eventual...)
	s.equal("@odata.type with a cast", cast.values()[0], map[string]any{"@odata.type": "#x"})

	s.script("members page=2 drop-next")
	ids, pages := s.pages(members, eventual...)
	s.equal("a list that looks whole", []any{len(ids), pages}, []any{20, 2})
	s.script("members page=2+ null-properties")
	a = s.ok(members, eventual...)
	s.equal("page 1", a.values()[0]["accountEnabled"], true)
	a = s.ok(a.next())
	s.equal("page 2", a.values()[0]["accountEnabled"], nil)
	s.equal("page 3", s.ok(a.next()).values()[0]["accountEnabled"], nil)
	s.script("members page=2 expired-token")
	s.refused("expired", s.get(s.ok(members, eventual...).next()), 400, "Directory_ExpiredPageToken")
	s.script("transitiveMembers short=1")
	s.equal("another operation", len(s.ok(members).ids()), 10)
}

func TestSpoiledLinks(t *testing.T) {
	s := newSite(t, GraphOptions{})
	group, people := s.hire(25)
	path := "/groups/" + group + "/members"
	s.script("members next=http")
	a := s.ok(path + "?$top=10")
	right := strings.TrimSuffix(strings.Replace(s.graph.URL(), "https://", "http://", 1), "")
	if !strings.HasPrefix(a.next(), right+path+"?$top=10&$skiptoken=") {
		t.Errorf("http: %s", a.next())
	}
	s.script("members next=https://elsewhere.example:444")
	if next := s.ok(path + "?$top=10").next(); !strings.HasPrefix(next, "https://elsewhere.example:444/v1.0"+path+"?$top=10&$skiptoken=") {
		t.Errorf("another host: %s", next)
	}
	if next := s.ok(path + "?$top=999").next(); next != "https://elsewhere.example:444/v1.0"+path+"?$top=999" {
		t.Errorf("another host behind the last page: %s", next)
	}
	s.script("members next=loop")
	s.equal("a loop of the first page", s.ok(path+"?$top=10").next(), s.graph.URL()+path+"?$top=10")
	s.script("members page=2 next=loop")
	second := s.ok(path + "?$top=10").next()
	a = s.ok(second)
	s.equal("a loop of the second", []any{a.next(), a.ids()}, []any{second, people[10:20]})
	s.equal("and again", s.ok(second).next(), second)
}

func TestHugePages(t *testing.T) {
	s := newSite(t, GraphOptions{})
	group, people := s.hire(2)
	s.script("members huge=300kB")
	a := s.get("/groups/"+group+"/members?$select=id,displayName", "Accept-Encoding", "gzip")
	if a.json == nil || a.header.Get("Content-Encoding") != "" || len(a.body) < 300_000 || len(a.body) > 301_000 {
		t.Fatalf("%d bytes: %.200s", len(a.body), a.body)
	}
	ids := a.ids()
	seen := make(map[string]bool)
	for _, id := range ids {
		if seen[id] || !isGUID(id) {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
	s.equal("the real ones", ids[:2], people)
	ctx, cancel := context.WithCancel(t.Context())
	s.script("members huge=100GB")
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.graph.URL()+"/groups/"+group+"/members", nil)
	req.Header.Set("Authorization", "Bearer "+s.token)
	res, err := s.client.Do(req)
	s.must(err)
	_, err = io.CopyN(io.Discard, res.Body, 1<<20)
	s.must(err)
	cancel()
	res.Body.Close()
	s.must(s.graph.Close()) // which waits for the request
	s.graph.mu.Lock()
	defer s.graph.mu.Unlock()
	other := New(Options{}).CreateGroup("x")
	for _, e := range []entry{{user: &User{ID: "a"}}, {group: &other}, {device: "d"}} {
		if twin := e.twin(70_000); twin.kind() != e.kind() || reflect.DeepEqual(twin, e) {
			t.Errorf("twin %+v", twin)
		}
	}
}

func TestHugePageInBatch(t *testing.T) {
	s := newSite(t, GraphOptions{})
	s.hire(1)
	s.script("users huge=1GB")
	_, out := s.batch(map[string]any{"id": "1", "method": "GET", "url": "/users"})
	if len(out.Responses) != 1 || out.Responses[0].Status != 200 || !json.Valid(out.Responses[0].Body) || len(out.Responses[0].Body) > 10_000 {
		t.Errorf("%+v", out)
	}
}

func TestBrokenConnections(t *testing.T) {
	s := newSite(t, GraphOptions{})
	group, _ := s.hire(50)
	path := "/groups/" + group + "/members"
	whole := len(s.ok(path).body)
	for _, rule := range []string{"members cut", "members cut chunked", "members cut rate=10000000"} {
		s.script(rule)
		a := s.get(path, "Accept-Encoding", "identity")
		if a.status != 200 || !errors.Is(a.err, io.ErrUnexpectedEOF) || len(a.body) != whole/2 {
			t.Errorf("%s: %d, %d of %d bytes, %v", rule, a.status, len(a.body), whole, a.err)
		}
		s.equal(rule, a.header.Get("Content-Length") == "", strings.Contains(rule, "chunked"))
	}
	s.script("members chunked")
	a := s.ok(path, "Accept-Encoding", "identity")
	s.equal("chunked", []any{a.header.Get("Content-Length"), len(a.body)}, []any{"", whole})
	s.script("members cut=0.01")
	if a := s.get(path); !errors.Is(a.err, io.ErrUnexpectedEOF) {
		t.Errorf("cut in the compressed body: %v", a.err)
	}
	s.client.CloseIdleConnections()
	s.script("members reset")
	if a := s.get(path); a.status != 0 || a.err == nil || !strings.Contains(a.err.Error(), "reset") {
		t.Errorf("reset: %d %v", a.status, a.err)
	}
	s.script("/users/x cut")
	if a, _ := s.batch(map[string]any{"id": "1", "method": "GET", "url": "/users/x"}, map[string]any{"id": "2", "method": "GET", "url": "/users"}); !errors.Is(a.err, io.ErrUnexpectedEOF) {
		t.Errorf("a cut item: %d %v", a.status, a.err)
	}
	s.script("members truncate=0.9")
	a = s.get(path, "Accept-Encoding", "gzip")
	z, err := gzip.NewReader(bytes.NewReader(a.body))
	s.must(err)
	plain, err := io.ReadAll(z)
	if err != nil || a.err != nil || len(plain) != whole*9/10 || json.Valid(plain) {
		t.Errorf("truncated: %d of %d bytes, %v %v", len(plain), whole, err, a.err)
	}
}

func TestSlowAnswers(t *testing.T) {
	s := newSite(t, GraphOptions{})
	s.hire(1)
	s.script("users delay=1h", "groups rate=1", "organization delay=1ms rate=20000")
	ctx, cancel := context.WithCancel(t.Context())
	s.must(s.graph.Faults().Add(Fault{On: "user", Delay: time.Hour, Do: cancel}))
	if a := s.doContext(ctx, http.MethodGet, "/users/x", ""); !errors.Is(a.err, context.Canceled) {
		t.Errorf("cancelled: %v", a.err)
	}
	s.equal("slow", s.ok("/organization").values()[0]["id"], s.tenant.ID())
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.graph.URL()+"/groups", nil)
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Accept-Encoding", "identity")
	res, err := s.client.Do(req)
	s.must(err)
	var b [1]byte
	if n, err := res.Body.Read(b[:]); n != 1 || err != nil {
		t.Errorf("first byte: %d %v", n, err)
	}
	cancel()
	res.Body.Close()
	s.must(s.graph.Close()) // it waits for what is at work: an hour, had the request not ended
}

func TestDelaysAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Graph{}
		start := time.Now()
		w := httptest.NewRecorder()
		g.send(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), &response{status: 200, wire: Fault{Delay: time.Hour}})
		if d := time.Since(start); d != maxDelay {
			t.Errorf("held up for %v, want %v", d, maxDelay)
		}
		start = time.Now()
		body := strings.Repeat("x", 10_000)
		w = httptest.NewRecorder()
		g.sendBody(w, t.Context(), []byte(body), 1)
		if d := time.Since(start); d < maxDelay-time.Second || d > maxDelay || w.Body.String() != body {
			t.Errorf("%d bytes in %v, want all in %v", w.Body.Len(), d, maxDelay)
		}
		start = time.Now()
		g.sendBody(httptest.NewRecorder(), t.Context(), []byte(body), 1000)
		if d := time.Since(start); d < 9900*time.Millisecond || d > 10*time.Second {
			t.Errorf("10,000 bytes at 1,000 a second in %v", d)
		}
	})
}

func TestFaultsInBatch(t *testing.T) {
	s := newSite(t, GraphOptions{})
	_, people := s.hire(3)
	s.script("user#2 status=429 retry-after=7", "user#3 html status=502", "batch#2 status=503")
	var requests []map[string]any
	for i, id := range people {
		requests = append(requests, map[string]any{"id": string(rune('a' + i)), "method": "GET", "url": "/users/" + id})
	}
	a, out := s.batch(requests...)
	s.equal("status", a.status, 200)
	for _, r := range out.Responses {
		switch r.ID {
		case "a":
			s.equal("first", r.Status, 200)
		case "b":
			s.equal("second", []any{r.Status, r.Headers["Retry-After"]}, []any{429, "7"})
		case "c":
			var text []byte // base64
			s.must(json.Unmarshal(r.Body, &text))
			s.equal("third", []any{r.Status, string(text)}, []any{502, htmlError})
		}
	}
	a, _ = s.batch(requests...)
	s.equal("the batch", a.status, 503)
}

func TestWhenFaultsFire(t *testing.T) {
	s := newSite(t, GraphOptions{})
	group, _ := s.hire(0)
	fired := func(calls int, path string) []int {
		s.Helper()
		var out []int
		for i := range calls {
			if s.get(path).status != 200 {
				out = append(out, i+1)
			}
		}
		return out
	}
	for _, test := range []struct {
		rules []string
		want  []int
	}{
		{[]string{"members status=500"}, []int{1, 2, 3, 4, 5, 6, 7, 8}},
		{[]string{"members#3 status=500"}, []int{3}},
		{[]string{"members#6+ status=500"}, []int{6, 7, 8}},
		{[]string{"* every=3 status=500"}, []int{3, 6}},
		{[]string{"members times=2 status=500"}, []int{1, 2}},
		{[]string{"members every=2 times=2 status=500"}, []int{2, 4}},
		{[]string{"/groups/*/members#1 status=500"}, []int{1}},
		{[]string{"/groups/* status=500"}, nil},
		{[]string{"/groups/" + group + "/members#2 status=500"}, []int{2}},
		{[]string{"members page=2 status=500"}, nil},
		{[]string{"members#2 content-type=application/json", "members#2+ status=500 times=2"}, []int{3, 4}}, // the first one wins, both count
	} {
		s.script(test.rules...)
		s.equal(strings.Join(test.rules, "; "), fired(8, "/groups/"+group+"/members"), test.want)
	}
	s.script("# a comment", "", "  members   p=0.3	status=500 ", "* every=5 header=\"X-Fifth: yes\"")
	first := fired(40, "/groups/"+group+"/members")
	if len(first) < 5 || len(first) > 20 {
		t.Errorf("%d of 40 with p=0.3", len(first))
	}
	report := s.graph.Faults().Report()
	s.equal("report", []any{report[0].Rule, report[0].Calls, report[0].Fired, report[1].Calls}, []any{"members p=0.3 status=500", 40, len(first), 40})
	s.equal("text", strings.Split(s.graph.Faults().String(), "\n")[1], "* every=5 header=\"X-Fifth: yes\": fired "+number(report[1].Fired)+" of 40 times")
	again := newSite(t, GraphOptions{})
	group, _ = again.hire(0)
	again.must(again.graph.Faults().Load("members p=0.3 status=500"))
	s.equal("another seed", len(s.graph.Faults().Report()), 2)
	var repeated []int
	for i := range 40 {
		if again.get("/groups/"+group+"/members").status != 200 {
			repeated = append(repeated, i+1)
		}
	}
	third := newSite(t, GraphOptions{})
	group, _ = third.hire(0)
	third.must(third.graph.Faults().Load("members p=0.3 status=500"))
	var same []int
	for i := range 40 {
		if third.get("/groups/"+group+"/members").status != 200 {
			same = append(same, i+1)
		}
	}
	s.equal("the same seed", same, repeated)
}

func TestFaultsThatDo(t *testing.T) {
	s := newSite(t, GraphOptions{})
	group, people := s.hire(30)
	s.must(s.graph.Faults().Add(Fault{On: "members", Page: 2, Do: func() { s.app.Revoke(UserReadAll) }}))
	first := s.ok("/groups/" + group + "/members?$top=10")
	second := s.ok(first.next())
	s.equal("in between", []any{second.values()[0]["id"], second.values()[0]["displayName"]}, []any{people[10], nil})
}

func TestFaultsFromSeveralGoroutines(t *testing.T) {
	s := newSite(t, GraphOptions{})
	s.script("users every=2 status=503")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 25 {
				s.get("/users")
			}
		})
	}
	wg.Go(func() {
		for range 50 {
			_ = s.graph.Faults().Report()
			_ = s.graph.Stats()
			_ = s.graph.Faults().Load("groups#1 status=500")
		}
	})
	wg.Wait()
	r := s.graph.Faults().Report()[0]
	s.equal("counted", []int{r.Calls, r.Fired, s.graph.Stats().Faults}, []int{100, 50, 50})
}

func TestFaultErrors(t *testing.T) {
	for line, want := range map[string]string{
		"nothing status=500":              `unknown operation "nothing"`,
		"members":                         "nothing goes wrong",
		"members#2 page=3":                "nothing goes wrong",
		"members#0 cut":                   "#0: want a number from 1",
		"members#x cut":                   "#x: want a number from 1",
		"members#1++ cut":                 "want a number from 1",
		"#":                               "", // a comment
		"members page=x cut":              "page",
		"members#1 every=2 cut":           "at most one of",
		"members every=0 cut":             "every",
		"members p=0 cut":                 "between 0 and 1",
		"members p=NaN cut":               "between 0 and 1",
		"members p=1.1 cut":               "between 0 and 1",
		"members p cut":                   "p: a value is missing",
		"members explode":                 `unknown word "explode"`,
		"members cut cut":                 "cut comes twice",
		"members cut=1":                   "below 1",
		"members truncate=1":              "below 1",
		"members bom=yes":                 "bom: a value is missing, or too much",
		"members status":                  "status: a value is missing",
		"members status=99":               "status 99",
		"members status=600":              "status 600",
		"members status=x":                "want a number",
		"members body=":                   "want a value",
		`members body="x`:                 "a string does not end",
		`members body="x"y`:               "after the string",
		"members header=x":                "header is",
		"members header=:x":               "header is",
		"members next=ftp":                "next is",
		"members next=https://a.example/": "next is",
		"members next=https://":           "next is",
		"members wrong-type=age":          "no property",
		"members huge=1TB":                "size",
		"members huge=0":                  "want a size",
		"members delay=5":                 "delay",
		"members delay=-5s":               "want a time above 0",
		"members retry-after=date+x":      "retry-after",
		"user short=1":                    "user has no pages",
		"token page=2 status=500":         "token has no pages",
		"count drop-next":                 "count has no pages",
		"/groups/[ cut":                   "syntax error in pattern",
		"=x cut":                          "is no operation",
		"members=x cut":                   "is no operation",
	} {
		faults, err := ParseFaults("\n" + line)
		if want == "" {
			if err != nil || len(faults) != 0 {
				t.Errorf("%s: %v %v", line, faults, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "fault script, line 2: ") {
			t.Errorf("%s: %v %v, want %q", line, faults, err, want)
		}
	}
	f := newFaults(1)
	for _, bad := range []Fault{
		{}, {Status: 500, On: "x"}, {Status: -1}, {Short: -1}, {Cut: 1}, {Cut: -0.5}, {Status: 500, Nth: 1, Every: 2}, {Status: 500, Page: 1, FromPage: 2},
		{Status: 500, Times: -1}, {Status: 500, Probability: 2}, {Delay: -1}, {Huge: -1}, {Nest: -1}, {Rate: -1},
	} {
		if f.Add(Fault{On: "users", Status: 500}, bad) == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	if len(f.Report()) != 0 {
		t.Error("a good rule is added with a bad one")
	}
	if f.Load("users explode") == nil {
		t.Error("a bad script is loaded")
	}
}

func TestFaultText(t *testing.T) {
	for line, want := range map[string]string{
		"members#2 short=10":                    "",
		"* every=50 status=503 retry-after=1":   "",
		"members p=0.02 cut":                    "members p=0.02 cut=0.5",
		"members page=3+ null-properties":       "",
		"* huge=100MB":                          "* huge=100000000",
		"users#3+ delay=1m30s rate=100 chunked": "",
		`groups body="a b"`:                     "",
		`groups body={"value":[null]}`:          "",
		`groups body="\"x\""`:                   "",
		`users header="A: b" header=C:d`:        "",
		"token status=500 times=3":              "token times=3 status=500",
	} {
		faults, err := ParseFaults(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if want == "" {
			want = line
		}
		if got := faults[0].String(); got != want {
			t.Errorf("%s is written as %s, want %s", line, got, want)
		}
	}
	// Every field has its word.
	full := reflect.TypeFor[Fault]()
	written := make(map[string]bool)
	for _, line := range []string{
		"members#1 page=1 times=1 status=200 retry-after=x body=x empty html expired-token short=1 duplicate null-item null-properties " +
			"missing-id wrong-type=id odata-type=x drop-next next=loop huge=1 truncate bom nest=1 content-type=x header=a:b delay=1s rate=1 cut chunked reset",
		"members#1+ page=1+ cut", "members every=1 cut", "members p=1 cut",
	} {
		faults, err := ParseFaults(line)
		if err != nil {
			t.Fatal(err)
		}
		v := reflect.ValueOf(faults[0])
		for i := range full.NumField() {
			written[full.Field(i).Name] = written[full.Field(i).Name] || !v.Field(i).IsZero()
		}
	}
	for i := range full.NumField() {
		if name := full.Field(i).Name; !written[name] && name != "Do" {
			t.Errorf("no word sets %s", name)
		}
	}
}

// FuzzParseFaults holds that what is understood is written and read again as the same.
func FuzzParseFaults(f *testing.F) {
	for _, line := range []string{"members#2 short=10", `* header="A: b" p=0.5`, "users body=\"\\n\" cut=0.25", "a=b=c", "/x/*#1+ next=https://a:1 huge=3kB delay=1s"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, script string) {
		faults, err := ParseFaults(script)
		if err != nil {
			return
		}
		for _, a := range faults {
			again, err := ParseFaults(a.String())
			if err != nil || len(again) != 1 || !reflect.DeepEqual(a, again[0]) {
				t.Errorf("%#v\nis written %q\nand read %#v %v", a, a, again, err)
			}
		}
	})
}
