package reader

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// plain makes requests by hand: Requests without the SDK.
type plain struct {
	base     *url.URL
	tokenErr error
	claims   []string // that tokens were asked to answer
}

func (p *plain) Token(ctx context.Context) error {
	if p.tokenErr != nil {
		return p.tokenErr
	}
	return ctx.Err()
}

func (p *plain) Request(ctx context.Context, claims string, q Query) (*http.Request, error) {
	if err := p.Token(ctx); err != nil {
		return nil, err
	}
	if claims != "" {
		p.claims = append(p.claims, claims)
	}
	address, method := q.Link, http.MethodGet
	if q.Op != OpNext {
		path, err := p.Path(ctx, q)
		if err != nil {
			return nil, err
		}
		address = p.base.String() + path
	}
	if q.Op == OpBatch {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(q.Body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer good"+claims)
	switch q.Op {
	case OpMembers, OpNext, OpCount:
		req.Header.Set("ConsistencyLevel", "eventual")
	}
	return req, nil
}

func (p *plain) Path(_ context.Context, q Query) (string, error) {
	members := "members"
	if q.Transitive {
		members = "transitiveMembers"
	}
	switch q.Op {
	case OpGroup:
		return "/groups/" + q.ID + "?$select=id,displayName", nil
	case OpGroups:
		return "/groups?$select=id&$top=" + strconv.Itoa(q.Top), nil
	case OpFindGroups:
		return fmt.Sprintf("/groups?$filter=%s&$select=id,displayName&$top=%d", url.QueryEscape(q.Filter()), q.Top), nil
	case OpUser:
		return "/users/" + q.ID + "?$select=id,accountEnabled", nil
	case OpPerson:
		return "/users/" + q.ID + "?$select=" + strings.Join(Properties, ","), nil
	case OpMember:
		return fmt.Sprintf("/groups/%s/members?$filter=%s&$count=true&$select=id", q.ID, url.QueryEscape("id eq '"+q.Member+"'")), nil
	case OpUsers:
		return "/users?$select=id,accountEnabled&$top=" + strconv.Itoa(q.Top), nil
	case OpMembers:
		return fmt.Sprintf("/groups/%s/%s?$select=%s&$count=true&$top=%d", q.ID, members, strings.Join(Properties, ","), q.Top), nil
	case OpCount:
		return fmt.Sprintf("/groups/%s/%s/$count", q.ID, members), nil
	case OpCheckGroups:
		return "/users/" + q.ID + "/checkMemberGroups", nil
	case OpBatch:
		return "/$batch", nil
	}
	return "", fmt.Errorf("no request %d", q.Op)
}

// rig is a Source over a handler, with everything that it does on the way written down.
type rig struct {
	*Source
	requests *plain
	server   *httptest.Server

	mu     sync.Mutex
	slept  []time.Duration // not really
	waited []time.Duration // as told
	meter  pull.Meter
}

// now is the time of all tests.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// newRig serves h over TLS on the loopback. It waits for nothing.
func newRig(t testing.TB, h http.Handler) *rig {
	t.Helper()
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL + "/v1.0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{requests: &plain{base: base}, server: server}
	transport := NewTransport(nil)
	transport.TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	client := &Client{
		Transport: transport,
		Now:       func() time.Time { return now },
		Meter: func(m pull.Meter) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.meter.Add(m)
		},
		Wait: func(d time.Duration) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.waited = append(r.waited, d)
		},
		Sleep: func(ctx context.Context, d time.Duration) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.slept = append(r.slept, d)
			return ctx.Err()
		},
	}
	r.Source = New(base, r.requests, client)
	t.Cleanup(r.Close)
	return r
}

// reply is one scripted answer.
type reply struct {
	status int // 0: 200
	header map[string]string
	body   string
	raw    func(w http.ResponseWriter) // instead of all of them
}

func (a reply) write(w http.ResponseWriter) {
	if a.raw != nil {
		a.raw(w)
		return
	}
	if _, ok := a.header["Content-Type"]; !ok {
		w.Header().Set("Content-Type", "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8")
	}
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// script answers each request with the next reply, and fails the test when there is none left.
type script struct {
	t       testing.TB
	mu      sync.Mutex
	replies []reply
	asked   []*http.Request
	bodies  []string
}

func (s *script) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	s.mu.Lock()
	n := len(s.asked)
	s.asked = append(s.asked, req.Clone(context.Background()))
	s.bodies = append(s.bodies, string(body))
	s.mu.Unlock()
	if n >= len(s.replies) {
		s.t.Errorf("request %d, %s %s, was not expected", n+1, req.Method, req.URL)
		http.Error(w, "not expected", http.StatusTeapot)
		return
	}
	s.replies[n].write(w)
}

func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// scripted is a rig over replies. "{base}" in a body is the address of Graph.
func scripted(t testing.TB, replies ...reply) (*rig, *script) {
	t.Helper()
	s := &script{t: t}
	r := newRig(t, s)
	for i := range replies {
		replies[i].body = strings.ReplaceAll(replies[i].body, "{base}", r.base.String())
	}
	s.replies = replies
	return r, s
}

// The one group that the tests read.
var theGroup = pulltest.GroupID(1)

// userJSON is a member as Graph sends it.
func userJSON(n int) string {
	return userOf(pulltest.NewPerson(n))
}

func userOf(p pull.Person) string {
	kind := "Member"
	if p.Guest {
		kind = "Guest"
	}
	m := map[string]any{
		"@odata.type": "#microsoft.graph.user", "id": p.ID, "userPrincipalName": p.UserPrincipalName, "userType": kind,
		"accountEnabled": p.Enabled,
	}
	for k, v := range map[string]string{
		"displayName": p.DisplayName, "givenName": p.GivenName, "surname": p.Surname, "mail": p.Mail, "preferredLanguage": p.PreferredLanguage,
	} {
		m[k] = nil
		if v != "" {
			m[k] = v
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// pageJSON is a page with members from to to-1. count is left out when negative, next when empty.
func pageJSON(count int, next string, from, to int) string {
	var members []string
	for n := from; n < to; n++ {
		members = append(members, userJSON(n))
	}
	return pageOf(count, next, members...)
}

func pageOf(count int, next string, members ...string) string {
	s := `{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#directoryObjects"`
	if count >= 0 {
		s += fmt.Sprintf(`,"@odata.count":%d`, count)
	}
	if next != "" {
		s += fmt.Sprintf(`,"@odata.nextLink":%q`, next)
	}
	return s + `,"value":[` + strings.Join(members, ",") + `]}`
}

// link is the address of page n.
func link(n int) string {
	return fmt.Sprintf("{base}/groups/%s/members?$count=true&$top=999&$skiptoken=RFNwdAIAAQ%d", theGroup, n)
}

// graphError is an error as Graph sends it.
func graphError(status int, code, message string) reply {
	return reply{
		status: status, header: map[string]string{"Request-Id": "f3b0-42"},
		body: fmt.Sprintf(`{"error":{"code":%q,"message":%q,"innerError":{"date":"2026-11-23T12:00:00","request-id":"f3b0-42","client-request-id":"f3b0-42"}}}`,
			code, message),
	}
}

// readAll reads the group, and returns who was delivered.
func readAll(r *rig) ([]pull.Person, pull.Listing, error) {
	var people []pull.Person
	l, err := r.Members(context.Background(), theGroup, false, func(p pull.Person) error {
		people = append(people, p)
		return nil
	})
	return people, l, err
}
