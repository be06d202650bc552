package entrasim

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// clock is a time that a test sets.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// site is a tenant behind a Graph, and a client with a token.
type site struct {
	*testing.T
	tenant *Tenant
	graph  *Graph
	app    *App
	client *http.Client
	clock  *clock
	secret string
	token  string
}

var allPermissions = []string{GroupMemberReadAll, UserReadAll, MemberReadHidden, OrganizationReadAll}

func newSite(t *testing.T, o GraphOptions, permissions ...string) *site {
	t.Helper()
	s := &site{T: t, clock: newClock()}
	s.tenant = New(Options{Seed: 5, Now: s.clock.Now})
	o.Now = s.clock.Now
	var err error
	if s.graph, err = NewGraph(s.tenant, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		if err := s.graph.Close(); err != nil {
			t.Error(err)
		}
	})
	if permissions == nil {
		permissions = allPermissions
	}
	s.client = s.graph.Client()
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.app = s.graph.App("", permissions...)
	s.secret = s.app.NewSecret(s.clock.Now().Add(24 * 365 * time.Hour))
	s.login()
	return s
}

// login gets a token with the secret.
func (s *site) login() {
	s.Helper()
	a := s.requestToken(nil)
	if a.status != http.StatusOK {
		s.Fatalf("token: %d %s", a.status, a.body)
	}
	s.token, _ = a.json["access_token"].(string)
}

// requestToken asks for one; change overwrites parameters, an empty value removes one.
func (s *site) requestToken(change map[string]string) got {
	s.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {s.app.ClientID()}, "client_secret": {s.secret}, "scope": {s.graph.Scope()}}
	for name, value := range change {
		form.Set(name, value)
		if value == "" {
			form.Del(name)
		}
	}
	return s.do(http.MethodPost, s.tokenURL(), form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Authorization", "")
}

func (s *site) tokenURL() string {
	return s.graph.LoginURL() + s.tenant.ID() + "/oauth2/v2.0/token"
}

// got is an answer as it arrived.
type got struct {
	status int
	header http.Header
	body   []byte
	json   map[string]any
	err    error // of the transport, or of reading the body
}

func (a got) values() []map[string]any {
	list, _ := a.json["value"].([]any)
	out := make([]map[string]any, 0, len(list))
	for _, v := range list {
		m, _ := v.(map[string]any)
		out = append(out, m)
	}
	return out
}

func (a got) ids() []string {
	out := []string{}
	for _, v := range a.values() {
		id, _ := v["id"].(string)
		out = append(out, id)
	}
	return out
}

func (a got) next() string {
	s, _ := a.json["@odata.nextLink"].(string)
	return s
}

func (a got) code() string {
	e, _ := a.json["error"].(map[string]any)
	s, _ := e["code"].(string)
	return s
}

// do sends a request with the token. A path is taken below Graph's base URL. An empty header value removes the header.
func (s *site) do(method, target, body string, headers ...string) got {
	s.Helper()
	return s.doContext(context.Background(), method, target, body, headers...)
}

func (s *site) doContext(ctx context.Context, method, target, body string, headers ...string) got {
	s.Helper()
	if strings.HasPrefix(target, "/") {
		target = s.graph.URL() + target
	}
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	if method == http.MethodGet {
		req.Body = nil
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		}
	}
	res, err := s.client.Do(req)
	if err != nil {
		return got{err: err}
	}
	defer res.Body.Close()
	a := got{status: res.StatusCode, header: res.Header}
	a.body, a.err = io.ReadAll(res.Body)
	_ = json.Unmarshal(a.body, &a.json)
	return a
}

func (s *site) get(target string, headers ...string) got {
	s.Helper()
	return s.do(http.MethodGet, target, "", headers...)
}

// ok is get for what must succeed.
func (s *site) ok(target string, headers ...string) got {
	s.Helper()
	a := s.get(target, headers...)
	if a.status != http.StatusOK || a.err != nil || a.json == nil && !strings.Contains(target, "$count") {
		s.Fatalf("GET %s: %d %s %v", target, a.status, a.body, a.err)
	}
	return a
}

// refused checks an error of Graph.
func (s *site) refused(what string, a got, status int, code string) {
	s.Helper()
	if a.status != status || a.code() != code {
		s.Errorf("%s: %d %s, want %d %s", what, a.status, a.body, status, code)
	}
}

func (s *site) equal(what string, got, want any) {
	s.Helper()
	if !reflect.DeepEqual(got, want) {
		s.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// pages follows the links and gives the ids of all pages.
func (s *site) pages(target string, headers ...string) (ids []string, pages int) {
	s.Helper()
	for target != "" {
		a := s.ok(target, headers...)
		ids = append(ids, a.ids()...)
		pages++
		target, headers = a.next(), nil
	}
	return ids, pages
}

// hire adds n people to a new group.
func (s *site) hire(n int) (group string, people []string) {
	s.Helper()
	group = s.tenant.CreateGroup("Staff").ID
	for range n {
		people = append(people, s.tenant.Hire(Person{}).ID)
	}
	s.must(s.tenant.SetMembers(group, people))
	return group, people
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

var eventual = []string{"ConsistencyLevel", "eventual"}

func TestMembersInPages(t *testing.T) {
	s := newSite(t, GraphOptions{})
	group, people := s.hire(2500)
	ids, pages := s.pages("/groups/" + group + "/members?$select=id&$top=999")
	if pages != 3 || !slices.Equal(ids, people) {
		t.Errorf("%d pages with %d people, want 3 with %d in the order of joining", pages, len(ids), len(people))
	}
	if _, pages = s.pages("/groups/" + group + "/members?$top=100"); pages != 25 {
		t.Errorf("%d pages of 100, want 25", pages)
	}
	first := s.ok("/groups/" + group + "/members")
	s.equal("default page", len(first.values()), 100)
	a := s.ok("/groups/"+group+"/members?$count=true&$top=999&$select=id,mail", eventual...)
	s.equal("count", a.json["@odata.count"], 2500.0)
	if !strings.HasPrefix(a.next(), s.graph.URL()+"/groups/"+group+"/members?$count=true&$select=id,mail&$top=999&$skiptoken=") {
		t.Errorf("next link %s", a.next())
	}
	if _, has := s.ok(a.next()).json["@odata.count"]; has {
		t.Error("the count is on the second page too")
	}
	if _, has := s.ok("/groups/" + group + "/members?$count=true").json["@odata.count"]; has {
		t.Error("a count without ConsistencyLevel: eventual")
	}
	if _, has := s.ok("/groups/"+group+"/members?$count=false", eventual...).json["@odata.count"]; has {
		t.Error("a count that nobody asked for")
	}
	exact, _ := s.pages("/groups/" + group + "/members?$top=500&$select=id")
	s.equal("a list that ends with a full page", len(exact), 2500)
}

func TestEmptyGroup(t *testing.T) {
	s := newSite(t, GraphOptions{})
	group, _ := s.hire(0)
	a := s.ok("/groups/"+group+"/members?$count=true", eventual...)
	s.equal("value", a.json["value"], []any{})
	s.equal("count", a.json["@odata.count"], 0.0)
	s.equal("next", a.next(), "")
}

func TestPagesAreOneList(t *testing.T) {
	s := newSite(t, GraphOptions{})
	group, people := s.hire(30)
	a := s.ok("/groups/" + group + "/members?$top=10")
	s.must(s.tenant.SetMembers(group, []string{s.tenant.Hire(Person{}).ID}))
	s.must(s.tenant.SoftDelete(people[25]))
	rest, _ := s.pages(a.next())
	s.equal("a list in the middle of changes", append(a.ids(), rest...), people)
	s.equal("the list after them", len(s.ok("/groups/"+group+"/members").ids()), 1)
}

func TestSkipTokens(t *testing.T) {
	s := newSite(t, GraphOptions{SkipTokenLife: time.Minute})
	group, _ := s.hire(30)
	other, _ := s.hire(30)
	next := func(group string) string { return s.ok("/groups/" + group + "/members?$top=10").next() }
	link := next(group)
	s.ok(link)
	s.ok(link) // a page can be read again
	s.clock.advance(time.Minute)
	s.refused("a minute later", s.get(link), 400, "Directory_ExpiredPageToken")
	link = next(group)
	s.graph.ExpireSkipTokens()
	s.refused("after they were expired", s.get(link), 400, "Directory_ExpiredPageToken")
	link = next(group)
	s.refused("of another list", s.get(strings.Replace(link, group, other, 1)), 400, "Directory_ExpiredPageToken")
	s.refused("invented", s.get("/groups/"+group+"/members?$skiptoken=AAAA"), 400, "InvalidPageToken")
	u, _ := url.Parse(link)
	token := []byte(u.Query().Get("$skiptoken"))
	if token[12] == 'A' { // of the place in the list
		token[12] = 'B'
	} else {
		token[12] = 'A'
	}
	s.refused("changed", s.get("/groups/"+group+"/members?$skiptoken="+url.QueryEscape(string(token))), 400, "InvalidPageToken")
	first := next(group)
	for range maxCursors {
		next(other)
	}
	s.refused("the oldest of too many lists", s.get(first), 400, "Directory_ExpiredPageToken")
	s.ok(next(group))
}

func TestQueryOptions(t *testing.T) {
	s := newSite(t, GraphOptions{})
	group, people := s.hire(3)
	members, user := "/groups/"+group+"/members", "/users/"+people[0]
	for query, code := range map[string]string{
		members + "?$top=0":                    "Request_BadRequest",
		members + "?$top=1000":                 "Request_BadRequest",
		members + "?$top=many":                 "Request_BadRequest",
		members + "?$select=id,nothing":        "BadRequest",
		members + "?$select=":                  "BadRequest",
		members + "?$count=yes":                "BadRequest",
		members + "?$top=1&$top=2":             "BadRequest",
		members + "?$top=%zz":                  "BadRequest",
		members + "?$orderby=id":               "Request_UnsupportedQuery",
		members + "?$expand=manager":           "Request_UnsupportedQuery",
		members + "?$filter=id%20eq%20'x'":     "Request_UnsupportedQuery", // not without ConsistencyLevel
		user + "?$top=1":                       "Request_UnsupportedQuery",
		user + "?$select=groupTypes":           "BadRequest",
		"/groups/" + group + "?$select=mobile": "BadRequest",
		"/groups?$select=accountEnabled":       "BadRequest",
	} {
		s.refused(query, s.get(query), 400, code)
	}
	s.ok(members + "?$top=999&other=1")
	s.ok(members + "?%24top=1")
	s.equal("$top=2", len(s.ok(members+"?$top=2").values()), 2)
}

func TestProperties(t *testing.T) {
	s := newSite(t, GraphOptions{})
	group, people := s.hire(1)
	nested, device := s.tenant.CreateGroup("Nested").ID, s.tenant.CreateDevice()
	s.must(s.tenant.AddMember(group, nested))
	s.must(s.tenant.AddMember(group, device))
	u, _ := s.tenant.User(people[0])
	keys := func(m map[string]any) []string {
		var out []string
		for k := range m {
			out = append(out, k)
		}
		slices.Sort(out)
		return out
	}
	standard := []string{"businessPhones", "displayName", "givenName", "id", "jobTitle", "mail", "mobilePhone", "officeLocation",
		"preferredLanguage", "surname", "userPrincipalName"}

	list := s.ok("/groups/" + group + "/members")
	s.equal("context", list.json["@odata.context"], s.graph.URL()+"/$metadata#directoryObjects")
	v := list.values()
	s.equal("types", []any{v[0]["@odata.type"], v[1]["@odata.type"], v[2]["@odata.type"]},
		[]any{"#microsoft.graph.user", "#microsoft.graph.group", "#microsoft.graph.device"})
	s.equal("ids", list.ids(), []string{people[0], nested, device})
	s.equal("standard properties", keys(v[0]), append([]string{"@odata.type"}, standard...))
	s.equal("display name of a group", v[1]["displayName"], "Nested")

	list = s.ok("/groups/" + group + "/members?$select=id,accountEnabled,UserType")
	s.equal("context", list.json["@odata.context"], s.graph.URL()+"/$metadata#directoryObjects(id,accountEnabled,UserType)")
	s.equal("selected", list.values()[0], map[string]any{"@odata.type": "#microsoft.graph.user", "id": u.ID, "accountEnabled": true, "userType": "Member"})
	s.equal("selected of a group", list.values()[1], map[string]any{"@odata.type": "#microsoft.graph.group", "id": nested})
	s.equal("selected of a device", list.values()[2], map[string]any{"@odata.type": "#microsoft.graph.device", "id": device, "accountEnabled": nil})
	s.equal("without id", keys(s.ok("/groups/" + group + "/members?$select=mail").values()[0]), []string{"@odata.type", "mail"})

	a := s.ok("/users/" + u.ID)
	s.equal("context of a user", a.json["@odata.context"], s.graph.URL()+"/$metadata#users/$entity")
	s.equal("a user", keys(a.json), append([]string{"@odata.context"}, standard...))
	var names []string
	for _, p := range properties {
		if p.user != nil {
			names = append(names, p.name)
		}
	}
	all := s.ok("/users/" + u.ID + "?$select=" + strings.Join(names, ",")).json
	for name, want := range map[string]any{
		"id": u.ID, "userPrincipalName": u.UserPrincipalName, "displayName": u.DisplayName, "givenName": u.GivenName, "surname": u.Surname,
		"mail": u.Mail, "department": u.Department, "employeeId": u.EmployeeID, "city": u.City, "country": u.Country,
		"streetAddress": u.StreetAddress, "postalCode": u.PostalCode, "usageLocation": u.UsageLocation, "officeLocation": u.OfficeLocation,
		"mailNickname": u.MailNickname, "accountEnabled": true, "userType": "Member",
		"createdDateTime": u.CreatedAt.UTC().Format(time.RFC3339), "deletedDateTime": nil,
	} {
		s.equal(name, all[name], want)
	}
	g := s.ok("/groups/" + group + "?$select=id,displayName")
	s.equal("a group", g.json, map[string]any{"@odata.context": s.graph.URL() + "/$metadata#groups(id,displayName)/$entity", "id": group, "displayName": "Staff"})
	s.equal("a whole group", s.ok("/groups/" + group).json["securityEnabled"], true)
}

func TestJSONText(t *testing.T) {
	s := newSite(t, GraphOptions{})
	_, people := s.hire(1)
	for _, name := range []string{
		`"quoted" \ back`, "line\nbreak\ttab\x00\x1f\x7f", "ünï¢ødé 🚲 日本", "<&>\u2028\ufffd", strings.Repeat("é\"", 300), " ",
	} {
		s.must(s.tenant.Update(people[0], func(u *User) { u.DisplayName = name }))
		s.equal("text", s.ok("/users/" + people[0]).json["displayName"], name)
	}
	s.must(s.tenant.Update(people[0], func(u *User) { u.DisplayName, u.GivenName = "a\xffb\xc3", "" }))
	a := s.ok("/users/" + people[0])
	s.equal("invalid UTF-8", a.json["displayName"], "a\ufffdb\ufffd")
	s.equal("no text", a.json["givenName"], nil)
}

func TestCasts(t *testing.T) {
	s := newSite(t, GraphOptions{})
	group, people := s.hire(2)
	s.must(s.tenant.AddMember(group, s.tenant.CreateGroup("Nested").ID))
	s.must(s.tenant.AddMember(group, s.tenant.CreateDevice()))
	for _, list := range []string{"members", "transitiveMembers"} {
		for _, cast := range []string{"microsoft.graph.user", "graph.user"} {
			path := "/groups/" + group + "/" + list + "/" + cast
			s.refused("no header", s.get(path+"?$count=true"), 400, "Request_UnsupportedQuery")
			s.refused("no count", s.get(path, eventual...), 400, "Request_UnsupportedQuery")
			a := s.ok(path+"?$count=true&$select=id&$top=1", eventual...)
			s.equal("context", a.json["@odata.context"], s.graph.URL()+"/$metadata#users(id)")
			s.equal("a user", a.values(), []map[string]any{{"id": people[0]}})
			s.equal("count", a.json["@odata.count"], 2.0)
			s.equal("the next page, without the header", s.ok(a.next()).ids(), people[1:])
		}
	}
	s.refused("another cast", s.get("/groups/"+group+"/members/microsoft.graph.orgContact"), 400, "BadRequest")
}

func TestTransitiveMembers(t *testing.T) {
	s := newSite(t, GraphOptions{})
	top, people := s.hire(2)
	middle, below := s.hire(2)
	bottom, last := s.hire(1)
	for _, m := range [][2]string{{top, middle}, {middle, bottom}, {bottom, top}, {middle, people[0]}, {top, bottom}} {
		s.must(s.tenant.AddMember(m[0], m[1]))
	}
	s.must(s.tenant.SoftDelete(below[1]))
	s.equal("all, each once, not the group itself", s.ok("/groups/"+top+"/transitiveMembers").ids(),
		[]string{people[0], people[1], middle, bottom, below[0], last[0]})
	s.equal("users", s.ok("/groups/"+top+"/transitiveMembers/graph.user?$count=true", eventual...).ids(),
		[]string{people[0], people[1], below[0], last[0]})
	s.equal("direct", s.ok("/groups/"+top+"/members").ids(), []string{people[0], people[1], middle, bottom})
	s.equal("direct, in a circle", s.ok("/groups/"+bottom+"/members").ids(), []string{last[0], top})
}

func TestCounts(t *testing.T) {
	s := newSite(t, GraphOptions{})
	group, _ := s.hire(3)
	inner, _ := s.hire(2)
	s.must(s.tenant.AddMember(group, inner))
	for path, want := range map[string]string{
		"/groups/" + group + "/members/$count":                      "4",
		"/groups/" + group + "/transitiveMembers/$count":            "6",
		"/groups/" + group + "/members/microsoft.graph.user/$count": "3",
		"/users/$count": "5",
		"/groups/$count?$filter=" + url.QueryEscape("displayName eq 'staff' and id eq '"+inner+"'"): "1",
	} {
		a := s.ok(path, eventual...)
		s.equal(path, string(a.body), want)
		s.equal("content type", a.header.Get("Content-Type"), "text/plain")
		s.refused("without the header", s.get(path), 400, "Request_BadRequest")
	}
	s.refused("of one user", s.get("/users/x/$count", eventual...), 400, "BadRequest")
}

func TestUsers(t *testing.T) {
	s := newSite(t, GraphOptions{})
	_, people := s.hire(3)
	guest := s.tenant.Hire(Person{HomeDomain: "tri-star.example"})
	u, _ := s.tenant.User(people[1])
	s.must(s.tenant.SoftDelete(people[0]))
	s.must(s.tenant.Disable(people[2]))
	s.equal("list", s.ok("/users").ids(), []string{people[1], people[2], guest.ID})
	for _, key := range []string{u.ID, strings.ToUpper(u.ID), u.UserPrincipalName, strings.ToUpper(u.UserPrincipalName)} {
		s.equal(key, s.ok("/users/" + url.PathEscape(key)).json["id"], u.ID)
	}
	s.equal("a guest by name", s.ok("/users/" + url.PathEscape(guest.UserPrincipalName) + "?$select=id,userType").json["userType"], "Guest")
	deleted, _ := s.tenant.User(people[0])
	s.refused("a deleted user", s.get("/users/"+people[0]), 404, "Request_ResourceNotFound")
	s.refused("a deleted user by name", s.get("/users/"+deleted.UserPrincipalName), 404, "Request_ResourceNotFound")
	s.refused("nobody", s.get("/users/nobody@nordwind.example"), 404, "Request_ResourceNotFound")
	binned := s.ok("/directory/deletedItems/" + people[0] + "?$select=id,userPrincipalName,deletedDateTime").json
	s.equal("in the bin", []any{binned["@odata.type"], binned["id"], binned["userPrincipalName"], binned["deletedDateTime"]},
		[]any{"#microsoft.graph.user", people[0], strings.ReplaceAll(people[0], "-", "") + deleted.UserPrincipalName, s.clock.Now().Format(time.RFC3339)})
	s.refused("not in the bin", s.get("/directory/deletedItems/"+people[1]), 404, "Request_ResourceNotFound")
	s.refused("no id", s.get("/directory/deletedItems/x"), 400, "Request_BadRequest")
	s.clock.advance(Retention)
	s.login()
	s.refused("after 30 days", s.get("/directory/deletedItems/"+people[0]), 404, "Request_ResourceNotFound")
	s.equal("disabled", s.ok("/users/" + people[2] + "?$select=accountEnabled").json["accountEnabled"], false)
	s.refused("a missing group", s.get("/groups/"+people[0]), 404, "Request_ResourceNotFound")
	s.refused("members of a missing group", s.get("/groups/"+people[0]+"/members"), 404, "Request_ResourceNotFound")
	s.refused("a group by name", s.get("/groups/Staff"), 400, "Request_BadRequest")
	s.refused("members by name", s.get("/groups/Staff/members"), 400, "Request_BadRequest")
}

func TestFilters(t *testing.T) {
	s := newSite(t, GraphOptions{})
	ids := []string{"11111111-0000-4000-8000-000000000001", "11111111-0000-4000-8000-000000000002", "11111111-0000-4000-8000-000000000003"}
	for i, u := range []User{
		{DisplayName: "Ann O'Neill", AccountEnabled: true}, {DisplayName: "ANNA Berg", UserType: Guest}, {DisplayName: "Ben", AccountEnabled: true},
	} {
		u.ID, u.UserPrincipalName = ids[i], fmt.Sprintf("u%d@nordwind.example", i)
		s.must(s.tenant.Add(u))
	}
	for text, want := range map[string][]string{
		"displayName eq 'ann o''neill'":                                 ids[:1],
		"startswith(displayName,'ann')":                                 ids[:2],
		"startswith( displayName , 'ANN' ) and accountEnabled eq false": ids[1:2],
		"accountEnabled eq true":                                        {ids[0], ids[2]},
		"id in ('" + ids[2] + "','" + ids[0] + "')":                     {ids[0], ids[2]},
		"userPrincipalName eq 'U1@nordwind.example'":                    ids[1:2],
		"userType eq 'Guest'":                                           ids[1:2],
		"mail eq 'x'":                                                   {},
	} {
		s.equal(text, s.ok("/users?$filter="+url.QueryEscape(text)).ids(), want)
	}
	for _, text := range []string{
		"", "id", "id eq", "id eq x", "id eq 'x", "id ne 'x'", "id eq 'x' or id eq 'y'", "id eq 'x' id", "id in 'x'", "id in ('x'", "id in ('x' 'y')",
		"startswith(id,'x')", "startswith(displayName 'x')", "startswith(displayName,'x'", "startswith displayName", "accountEnabled eq 1",
		"accountEnabled ne true", "age eq 'x'", "endswith(mail,'x')", "id eq 'x' and", "not(id eq 'x')",
	} {
		s.refused(text, s.get("/users?$filter="+url.QueryEscape(text)), 400, "Request_UnsupportedQuery")
	}
	a := s.ok("/users?$top=1&$count=true&$filter="+url.QueryEscape("accountEnabled eq true"), eventual...)
	s.equal("count of what is left", a.json["@odata.count"], 2.0)
	s.equal("the next page is filtered too", s.ok(a.next()).ids(), ids[2:])
	group := s.tenant.CreateGroup("Annual report").ID
	s.must(s.tenant.SetMembers(group, ids))
	s.equal("groups", s.ok("/groups?$filter="+url.QueryEscape("startswith(displayName,'ann')")).ids(), []string{group})
	s.equal("members", s.ok("/groups/"+group+"/members?$count=true&$filter="+url.QueryEscape("startswith(displayName,'ben')"), eventual...).ids(), ids[2:])
}

func TestCheckMemberGroups(t *testing.T) {
	s := newSite(t, GraphOptions{})
	top, _ := s.hire(0)
	middle, people := s.hire(1)
	other, others := s.hire(1)
	s.must(s.tenant.AddMember(top, middle))
	s.must(s.tenant.AddMember(middle, top)) // a circle
	ask := func(user string, ids ...string) got {
		b, _ := json.Marshal(map[string]any{"groupIds": ids})
		return s.do(http.MethodPost, "/users/"+user+"/checkMemberGroups", string(b), "Content-Type", "application/json")
	}
	a := ask(people[0], other, strings.ToUpper(middle), top, people[0])
	s.equal("groups", a.json["value"], []any{middle, top})
	s.equal("nobody's", ask(others[0], top, middle).json["value"], []any{})
	s.refused("no groups", ask(people[0]), 400, "Request_BadRequest")
	s.refused("no ids", ask(people[0], "Staff"), 400, "Request_BadRequest")
	s.refused("21 groups", ask(people[0], slices.Repeat([]string{top}, 21)...), 400, "Request_BadRequest")
	s.equal("20 groups", ask(people[0], slices.Repeat([]string{top}, 20)...).status, 200)
	s.refused("nobody", ask("nobody", top), 404, "Request_ResourceNotFound")
	s.refused("no JSON", s.do(http.MethodPost, "/users/"+people[0]+"/checkMemberGroups", "x"), 400, "BadRequest")
	s.refused("GET", s.get("/users/"+people[0]+"/checkMemberGroups"), 405, "Request_BadRequest")
	s.must(s.tenant.SoftDelete(people[0]))
	s.refused("deleted", ask(people[0], top), 404, "Request_ResourceNotFound")
}

type batchAnswer struct {
	Responses []struct {
		ID      string
		Status  int
		Headers map[string]string
		Body    json.RawMessage
	}
}

func (s *site) batch(requests ...map[string]any) (got, batchAnswer) {
	s.Helper()
	b, err := json.Marshal(map[string]any{"requests": requests})
	s.must(err)
	a := s.do(http.MethodPost, "/$batch", string(b), "Content-Type", "application/json")
	var out batchAnswer
	_ = json.Unmarshal(a.body, &out)
	return a, out
}

func TestBatch(t *testing.T) {
	s := newSite(t, GraphOptions{})
	group, people := s.hire(20)
	var requests []map[string]any
	for i, id := range people {
		requests = append(requests, map[string]any{"id": strconv.Itoa(i), "method": "GET", "url": "/users/" + id + "?$select=id"})
	}
	a, out := s.batch(requests...)
	seen := make(map[string]bool)
	inOrder := true
	for i, r := range out.Responses {
		n, _ := strconv.Atoi(r.ID)
		inOrder = inOrder && n == i
		seen[r.ID] = true
		if !strings.Contains(string(r.Body), people[n]) || r.Status != 200 || !strings.HasPrefix(r.Headers["Content-Type"], "application/json") {
			t.Errorf("answer %s: %d %v %s", r.ID, r.Status, r.Headers, r.Body)
		}
	}
	if a.status != 200 || len(seen) != 20 || inOrder {
		t.Errorf("status %d, %d answers, in order %t", a.status, len(seen), inOrder)
	}
	_, out = s.batch(
		map[string]any{"id": "a", "method": "GET", "url": "/users/nobody"},
		map[string]any{"id": "b", "method": "post", "url": "users/" + people[0] + "/checkMemberGroups", "body": map[string]any{"groupIds": []string{group}}, "headers": map[string]any{"content-type": "application/json"}},
		map[string]any{"id": "c", "method": "GET", "url": "/groups/" + group + "/members/graph.user/$count", "headers": map[string]any{"ConsistencyLevel": "eventual"}},
		map[string]any{"id": "d", "method": "GET", "url": "/users", "dependsOn": []string{"a"}},
		map[string]any{"id": "e", "method": "GET", "url": "/organization", "dependsOn": []string{"b"}},
		map[string]any{"id": "f", "method": "POST", "url": "/$batch"},
	)
	statuses := make(map[string]int)
	bodies := make(map[string]string)
	for _, r := range out.Responses {
		statuses[r.ID], bodies[r.ID] = r.Status, string(r.Body)
	}
	s.equal("statuses", statuses, map[string]int{"a": 404, "b": 200, "c": 200, "d": 424, "e": 200, "f": 400})
	if !strings.Contains(bodies["b"], group) || bodies["c"] != "20" || !strings.Contains(bodies["a"], "Request_ResourceNotFound") {
		t.Errorf("bodies %v", bodies)
	}
	one := func(change map[string]any) map[string]any {
		m := map[string]any{"id": "1", "method": "GET", "url": "/users"}
		for k, v := range change {
			m[k] = v
		}
		return m
	}
	a, _ = s.batch(slices.Repeat([]map[string]any{one(nil)}, 21)...)
	s.refused("21 requests", a, 400, "MaximumValueExceeded")
	for what, requests := range map[string][]map[string]any{
		"none":               {},
		"the same id":        {one(nil), one(nil)},
		"no id":              {one(map[string]any{"id": ""})},
		"no url":             {one(map[string]any{"url": ""})},
		"no method":          {one(map[string]any{"method": ""})},
		"unknown dependency": {one(map[string]any{"dependsOn": []string{"2"}})},
		"wrong type":         {one(map[string]any{"url": 7})},
	} {
		a, _ := s.batch(requests...)
		s.refused(what, a, 400, "BadRequest")
	}
	s.refused("GET", s.get("/$batch"), 405, "Request_BadRequest")
	if n := s.graph.Stats().Operations[OpUser]; n != 21 {
		t.Errorf("%d reads of users counted, want 21", n)
	}
}

func TestBatchIsThrottledByItem(t *testing.T) {
	s := newSite(t, GraphOptions{Throttle: 10.0 / 3500})
	_, people := s.hire(1)
	var requests []map[string]any
	for i := range 15 {
		requests = append(requests, map[string]any{"id": strconv.Itoa(i), "method": "GET", "url": "/users/" + people[0]})
	}
	a, out := s.batch(requests...)
	byStatus := make(map[int]int)
	for _, r := range out.Responses {
		byStatus[r.Status]++
		if r.Status == 429 && (r.Headers["Retry-After"] != "1" || !strings.Contains(string(r.Body), "TooManyRequests")) {
			t.Errorf("throttled: %v %s", r.Headers, r.Body)
		}
	}
	s.equal("status", a.status, 200)
	s.equal("statuses", byStatus, map[int]int{200: 10, 429: 5})
}

func TestOrganization(t *testing.T) {
	s := newSite(t, GraphOptions{})
	v := s.ok("/organization").values()
	s.equal("id", v[0]["id"], s.tenant.ID())
	domains, _ := v[0]["verifiedDomains"].([]any)
	d, _ := domains[0].(map[string]any)
	s.equal("domain", d["name"], s.tenant.Domain())
}

func TestErrorsOfGraph(t *testing.T) {
	s := newSite(t, GraphOptions{})
	a := s.get("/users/nobody", "client-request-id", "11111111-2222-4333-8444-555555555555")
	e, _ := a.json["error"].(map[string]any)
	inner, _ := e["innerError"].(map[string]any)
	s.equal("inner error", inner, map[string]any{"date": "2026-11-23T12:00:00", "request-id": a.header.Get("request-id"), "client-request-id": "11111111-2222-4333-8444-555555555555"})
	s.equal("message", e["message"], "Resource 'nobody' does not exist or one of its queried reference-property objects are not present.")
	s.equal("echo", a.header.Get("client-request-id"), "11111111-2222-4333-8444-555555555555")
	s.equal("date", a.header.Get("Date"), "Mon, 23 Nov 2026 12:00:00 GMT")
	if !isGUID(a.header.Get("request-id")) || a.header.Get("request-id") == s.get("/users").header.Get("request-id") {
		t.Errorf("request id %q", a.header.Get("request-id"))
	}
	if !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		t.Errorf("content type %q", a.header.Get("Content-Type"))
	}
	for _, path := range []string{"/nothing", "/groups/a/b", "/users/a/b/c/d", "/$count", "/directory/x/y", "/", "/groups//members", "/me"} {
		s.refused(path, s.get(path), 400, "BadRequest")
	}
	s.refused("DELETE", s.do(http.MethodDelete, "/users/x", ""), 405, "Request_BadRequest")
	s.refused("another version", s.get(strings.TrimSuffix(s.graph.URL(), "v1.0")+"beta/users"), 404, "ResourceNotFound")
	s.refused("a big body", s.do(http.MethodPost, "/$batch", strings.Repeat(" ", maxRequestBody+1)), 400, "BadRequest")
}

func TestPermissions(t *testing.T) {
	for _, test := range []struct {
		permissions                                          []string
		group, members, users, user, check, deleted, company int
	}{
		{[]string{ApplicationReadAll}, 403, 403, 403, 403, 403, 403, 403},
		{[]string{GroupMemberReadAll}, 200, 200, 403, 403, 403, 403, 403},
		{[]string{GroupReadAll}, 200, 200, 403, 403, 403, 403, 403},
		{[]string{UserReadAll}, 403, 403, 200, 200, 403, 200, 403},
		{[]string{GroupMemberReadAll, UserReadAll}, 200, 200, 200, 200, 200, 200, 403},
		{[]string{DirectoryReadAll}, 200, 200, 200, 200, 200, 200, 200},
		{[]string{OrganizationReadAll}, 403, 403, 403, 403, 403, 403, 200},
	} {
		s := newSite(t, GraphOptions{}, test.permissions...)
		group, people := s.hire(2)
		s.must(s.tenant.SoftDelete(people[1]))
		check := func(what string, a got, want int) {
			t.Helper()
			if a.status != want || want == 403 && a.code() != "Authorization_RequestDenied" {
				t.Errorf("%v: %s: %d %s, want %d", test.permissions, what, a.status, a.body, want)
			}
		}
		check("group", s.get("/groups/"+group), test.group)
		check("groups", s.get("/groups"), test.group)
		check("members", s.get("/groups/"+group+"/members"), test.members)
		check("transitive members", s.get("/groups/"+group+"/transitiveMembers"), test.members)
		check("count", s.get("/groups/"+group+"/members/$count", eventual...), test.members)
		check("users", s.get("/users"), test.users)
		check("user", s.get("/users/"+people[0]), test.user)
		check("deleted", s.get("/directory/deletedItems/"+people[1]), test.deleted)
		check("organization", s.get("/organization"), test.company)
		check("check", s.do(http.MethodPost, "/users/"+people[0]+"/checkMemberGroups", `{"groupIds":["`+group+`"]}`), test.check)
	}
}

func TestLimitedInformation(t *testing.T) {
	s := newSite(t, GraphOptions{}, GroupMemberReadAll, UserReadAll)
	group, people := s.hire(150)
	nested, _ := s.hire(0)
	s.must(s.tenant.AddMember(group, nested))
	first := s.ok("/groups/" + group + "/members?$select=id,displayName,accountEnabled")
	if first.values()[0]["accountEnabled"] != true {
		t.Fatal("a user is not told")
	}
	s.app.Revoke(UserReadAll)
	second := s.ok(first.next()).values()
	s.equal("in the middle of the list", second[0], map[string]any{"@odata.type": "#microsoft.graph.user", "id": people[100], "displayName": nil, "accountEnabled": nil})
	s.equal("a group", second[len(second)-1]["displayName"], "Staff")
	cast := s.ok("/groups/"+group+"/members/graph.user?$count=true", eventual...).values()[0]
	s.equal("with the cast", []any{cast["id"], cast["displayName"], cast["businessPhones"]}, []any{people[0], nil, nil})
	s.refused("a filter must not tell", s.get("/groups/"+group+"/members?$count=true&$filter=accountEnabled%20eq%20true", eventual...), 403, "Authorization_RequestDenied")
	s.app.Grant(UserReadAll)
	if s.ok("/groups/" + group + "/members?$select=displayName").values()[0]["displayName"] == nil {
		t.Error("the permission that came back does nothing")
	}
	s.app.Grant(OrganizationReadAll)
	s.refused("a new permission with an old token", s.get("/organization"), 403, "Authorization_RequestDenied")
	s.login()
	s.ok("/organization")
}

func TestHiddenMembership(t *testing.T) {
	s := newSite(t, GraphOptions{}, GroupMemberReadAll, UserReadAll, MemberReadHidden)
	group, people := s.hire(2)
	parent, _ := s.hire(0)
	s.must(s.tenant.AddMember(parent, group))
	s.must(s.tenant.HideMembership(group, true))
	s.equal("with the permission", s.ok("/groups/"+group+"/members").ids(), people)
	s.equal("visibility", s.ok("/groups/" + group).json["visibility"], "HiddenMembership")
	s.app.Revoke(MemberReadHidden)
	s.equal("without it", s.ok("/groups/" + group + "/members").json["value"], []any{})
	s.equal("count", string(s.ok("/groups/"+group+"/members/$count", eventual...).body), "0")
	s.equal("within another group", s.ok("/groups/"+parent+"/transitiveMembers").ids(), []string{group})
	a := s.do(http.MethodPost, "/users/"+people[0]+"/checkMemberGroups", `{"groupIds":["`+group+`","`+parent+`"]}`)
	s.equal("point read", a.json["value"], []any{})
	s.must(s.tenant.HideMembership(group, false))
	s.equal("no longer hidden", s.ok("/groups/"+group+"/members").ids(), people)
	if s.tenant.HideMembership("none", true) == nil {
		t.Error("a group that does not exist can be hidden")
	}
}

func TestGraphThrottling(t *testing.T) {
	s := newSite(t, GraphOptions{Throttle: 100.0 / 3500}) // 100 units in 10 s, for a tenant of under 50 users
	group, people := s.hire(2)
	members := "/groups/" + group + "/members"
	for path, want := range map[string]string{
		members: "3", members + "?$select=id": "2", "/groups/" + group + "/transitiveMembers": "5", "/users": "2", "/users?$select=id": "1",
		"/users/" + people[0]: "1", "/users/" + people[0] + "?$select=id": "1", "/groups": "1",
	} {
		a := s.ok(path)
		s.equal(path, a.header.Get("x-ms-resource-unit"), want)
		s.equal(path+": far from the limit", a.header.Get("x-ms-throttle-limit-percentage"), "")
	}
	s.equal("$expand costs one more", s.get("/users?$expand=manager").header.Get("x-ms-resource-unit"), "3")
	s.graph.SetThrottle(100.0 / 3500)
	for range 26 {
		s.ok(members) // 78 units
	}
	s.equal("at 0.81", s.ok(members).header.Get("x-ms-throttle-limit-percentage"), "0.81")
	for range 6 {
		s.ok(members) // 99
	}
	a := s.get(members)
	s.refused("102 units", a, 429, "TooManyRequests")
	s.equal("headers", []string{a.header.Get("Retry-After"), a.header.Get("x-ms-throttle-information"), a.header.Get("x-ms-throttle-scope")},
		[]string{"1", "ResourceUnitLimitExceeded", "Tenant_Application/ReadWrite/" + s.app.ClientID() + "/" + s.tenant.ID()})
	s.ok("/users/" + people[0]) // the last one
	s.clock.advance(199 * time.Millisecond)
	s.refused("before 2 units are back", s.get("/users"), 429, "TooManyRequests")
	s.clock.advance(time.Millisecond)
	s.ok("/users")
	s.clock.advance(199 * time.Millisecond)
	s.refused("before 2 units are back again", s.get("/users"), 429, "TooManyRequests")

	other := s.graph.App("", allPermissions...)
	s.app, s.secret = other, other.NewSecret(s.clock.Now().Add(time.Hour))
	s.login()
	s.ok(members) // another application has a bucket of its own
	s.graph.SetThrottle(1.0 / 3500)
	s.ok(members) // a full bucket lets anything through once
	s.equal("a longer wait", s.get(members).header.Get("Retry-After"), "30")
	s.graph.SetThrottle(-1)
	for range 20 {
		s.ok(members)
	}
	st := s.graph.Stats()
	s.equal("throttled", st.Throttled, 4)
}

func TestLimitsOfThrottling(t *testing.T) {
	for users, want := range map[int]float64{0: 3500, 49: 3500, 50: 5000, 500: 5000, 501: 8000} {
		if got := limit(users); got != want {
			t.Errorf("limit of %d users is %v, want %v", users, got, want)
		}
	}
}

func TestIndexLag(t *testing.T) {
	s := newSite(t, GraphOptions{})
	group, people := s.hire(3)
	members := "/groups/" + group + "/members"
	s.graph.SetLag(2)
	s.must(s.tenant.RemoveMember(group, people[0]))
	newcomer := s.tenant.Hire(Person{}).ID
	s.equal("two changes ago", s.ok(members).ids(), people)
	s.equal("two changes ago", s.ok("/users").ids(), people)
	s.must(s.tenant.Disable(people[1]))
	s.equal("three changes later", s.ok(members).ids(), people[1:])
	s.equal("properties are of the index too", s.ok(members + "?$select=accountEnabled").values()[0]["accountEnabled"], true)
	s.equal("a point read is fresh", s.ok("/users/" + people[1] + "?$select=accountEnabled").json["accountEnabled"], false)
	a := s.do(http.MethodPost, "/users/"+people[0]+"/checkMemberGroups", `{"groupIds":["`+group+`"]}`)
	s.equal("so is checkMemberGroups", a.json["value"], []any{})
	s.ok("/users/" + newcomer)
	s.must(s.tenant.DeleteGroup(group))
	s.ok(members) // the index still has it
	s.refused("a deleted group", s.get("/groups/"+group), 404, "Request_ResourceNotFound")
	s.graph.SetLag(0)
	s.refused("without lag", s.get(members), 404, "Request_ResourceNotFound")
	s.equal("without lag", s.ok("/users").ids(), append(slices.Clone(people), newcomer))
}

func TestHeldIndex(t *testing.T) {
	s := newSite(t, GraphOptions{})
	group, people := s.hire(2)
	s.graph.HoldIndex()
	for range 5 {
		s.must(s.tenant.AddMember(group, s.tenant.Hire(Person{}).ID))
	}
	s.equal("held", s.ok("/groups/"+group+"/members").ids(), people)
	s.equal("count", string(s.ok("/users/$count", eventual...).body), "2")
	s.graph.ReleaseIndex()
	s.equal("released", len(s.ok("/groups/"+group+"/members").ids()), 7)
}

func TestCompression(t *testing.T) {
	s := newSite(t, GraphOptions{})
	group, people := s.hire(200)
	a := s.get("/groups/"+group+"/members?$top=999", "Accept-Encoding", "gzip, deflate;q=0.5")
	z, err := gzip.NewReader(bytes.NewReader(a.body))
	if a.header.Get("Content-Encoding") != "gzip" || err != nil {
		t.Fatalf("not compressed: %v %v", a.header, err)
	}
	plain, err := io.ReadAll(z)
	s.must(err)
	same := s.get("/groups/"+group+"/members?$top=999", "Accept-Encoding", "identity")
	if !bytes.Equal(plain, same.body) || len(a.body)*2 > len(plain) {
		t.Errorf("%d bytes are %d compressed", len(plain), len(a.body))
	}
	for header, want := range map[string]string{"gzip;q=0": "", "gzip; q=0.0": "", "br": "", "GZIP;q=0.1": "gzip", "br, gzip": "gzip", "gzip;q=x": ""} {
		s.equal(header, s.get("/users", "Accept-Encoding", header).header.Get("Content-Encoding"), want)
	}
	s.equal("an error", s.get("/users/nobody", "Accept-Encoding", "gzip").header.Get("Content-Encoding"), "gzip")
	body := `{"groupIds":["` + group + `"]}`
	s.equal("a compressed request", s.do(http.MethodPost, "/users/"+people[0]+"/checkMemberGroups", string(zip([]byte(body))), "Content-Encoding", "gzip").json["value"], []any{group})
	s.refused("not compressed", s.do(http.MethodPost, "/users/"+people[0]+"/checkMemberGroups", body, "Content-Encoding", "gzip"), 400, "BadRequest")
}

func TestCloseEndsRequests(t *testing.T) {
	s := newSite(t, GraphOptions{})
	entered, gone := make(chan struct{}), make(chan struct{})
	var finished atomic.Bool
	s.must(s.graph.Faults().Add(Fault{On: "groups", Delay: time.Hour, Do: func() {
		close(entered)
		<-gone // the client has lost its connection
		finished.Store(true)
	}}))
	done := make(chan error, 1)
	go func() {
		err := s.get("/groups").err
		close(gone)
		done <- err
	}()
	<-entered
	s.must(s.graph.Close())
	s.equal("the request has finished", finished.Load(), true)
	s.equal("open connections", s.graph.Stats().OpenConnections, 0)
	if err := <-done; err == nil {
		t.Error("the request got an answer")
	}
	if s.get("/users").err == nil {
		t.Error("it still serves")
	}
}

func TestGraphAddress(t *testing.T) {
	tenant := New(Options{})
	g, err := NewGraph(tenant, GraphOptions{Address: "localhost:0"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(g.URL(), "https://localhost:") {
		t.Errorf("URL %s", g.URL())
	}
	res, err := g.Client().Get(g.LoginURL() + tenant.Domain() + openIDConfigPath)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(g.URL(), "https://"), ":")
	port, _, _ = strings.Cut(port, "/")
	if _, err := NewGraph(tenant, GraphOptions{Address: "localhost:" + port}); err == nil {
		t.Error("the address is served twice")
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	g, err = NewGraph(tenant, GraphOptions{Address: ":0"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(g.URL(), "https://127.0.0.1:") {
		t.Errorf("URL %s", g.URL())
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

func TestStats(t *testing.T) {
	s := newSite(t, GraphOptions{})
	group, _ := s.hire(3)
	s.ok("/groups/" + group + "/members")
	s.ok("/groups/" + group + "/members")
	s.ok("/users")
	s.requestToken(map[string]string{"client_secret": "wrong"})
	st := s.graph.Stats()
	if st.Requests != 5 || st.Tokens != 1 || st.TokensRefused != 1 || st.Units != 8 || st.Connections != 1 || st.OpenConnections != 1 || st.Bytes < 100 {
		t.Errorf("%+v", st)
	}
	s.equal("operations", st.Operations, map[Op]int{OpToken: 2, OpMembers: 2, OpUsers: 1})
	st.Bytes, st.Requests = 12_300_000, 1205
	s.equal("line", st.String(), "1,205 requests (members 2, token 2, users 1), 8 resource units, 0 throttled, 1 tokens issued and 1 refused, "+
		"0 faults, 12.3 MB sent, 1 connections (1 open)")
	s.client.CloseIdleConnections()
}

// TestGraphUnderChanges is for the race detector: lists are read while the tenant changes under a lagging index.
func TestGraphUnderChanges(t *testing.T) {
	s := newSite(t, GraphOptions{Lag: 3, Throttle: -1})
	s.tenant.Populate(300, 12)
	groups := s.tenant.Snapshot().Groups
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 500 { // more would grow the tenant faster than it can be read
			select {
			case <-stop:
				return
			default:
				s.tenant.RandomChange(3)
			}
		}
	})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for _, g := range groups {
				seen := make(map[string]bool)
				for target := "/groups/" + g.ID + "/transitiveMembers?$top=50&$select=id"; target != ""; {
					a := s.get(target)
					if a.status != http.StatusOK {
						t.Errorf("%s: %d %s", target, a.status, a.body)
						return
					}
					for _, id := range a.ids() {
						if seen[id] {
							t.Errorf("%s comes twice", id)
						}
						seen[id] = true
					}
					target = a.next()
				}
			}
		})
	}
	readers.Wait()
	close(stop)
	wg.Wait()
}

// FuzzGraphRequest asks anything: the answer must be JSON, or a number for a count, with a status of the 200s or 400s.
func FuzzGraphRequest(f *testing.F) {
	tenant := New(Options{Seed: 1})
	tenant.Populate(20, 5)
	g, err := NewGraph(tenant, GraphOptions{Throttle: -1})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = g.Close() })
	app := g.App("", allPermissions...)
	token, _, err := g.tokens.issue(app, "")
	if err != nil {
		f.Fatal(err)
	}
	group := tenant.Snapshot().Groups[0].ID
	for _, seed := range [][4]string{
		{"GET", "/v1.0/groups/" + group + "/members", "$top=3&$count=true", ""}, {"GET", "/v1.0/users", "$filter=startswith(displayName,'a')", ""},
		{"POST", "/v1.0/$batch", "", `{"requests":[{"id":"1","method":"GET","url":"/groups/$count"}]}`}, {"GET", "/v1.0/$count", "", ""},
		{"POST", "/common/oauth2/v2.0/token", "", "grant_type=client_credentials"}, {"POST", "/v1.0/users/x/checkMemberGroups", "", `{"groupIds":[]}`},
	} {
		f.Add(seed[0], seed[1], seed[2], []byte(seed[3]))
	}
	f.Fuzz(func(t *testing.T, method, path, query string, body []byte) {
		h := http.Header{"Authorization": {"Bearer " + token}, "Consistencylevel": {"eventual"}, "Content-Type": {"application/x-www-form-urlencoded"}}
		c := g.newCall(method, path, query, h)
		c.body = body
		a := c.respond()
		if !json.Valid(a.body) || a.status < 200 || a.status >= 500 || a.status >= 300 && a.status < 400 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func BenchmarkMembersPage(b *testing.B) {
	tenant := New(Options{Seed: 1})
	people := make([]string, 100_000)
	for i := range people {
		people[i] = tenant.Hire(Person{}).ID
	}
	group := tenant.CreateGroup("Staff").ID
	if err := tenant.SetMembers(group, people); err != nil {
		b.Fatal(err)
	}
	g, err := NewGraph(tenant, GraphOptions{Throttle: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer g.Close()
	token, _, err := g.tokens.issue(g.App("", allPermissions...), "")
	if err != nil {
		b.Fatal(err)
	}
	h := http.Header{"Authorization": {"Bearer " + token}, "Consistencylevel": {"eventual"}}
	first := "$count=true&$top=999&$select=id,accountEnabled,userPrincipalName,displayName,givenName,surname,mail,preferredLanguage,userType"
	query := first
	b.ReportAllocs()
	for b.Loop() {
		a := g.newCall("GET", "/v1.0/groups/"+group+"/members/graph.user", query, h).respond()
		if a.status != http.StatusOK {
			b.Fatalf("%d %s", a.status, a.body)
		}
		b.SetBytes(int64(len(a.body)))
		var links struct {
			Next string `json:"@odata.nextLink"`
		}
		start := bytes.Index(a.body, []byte(`"@odata.nextLink":`))
		if start < 0 || start > 1000 {
			query = first
			continue
		}
		end := bytes.Index(a.body, []byte(`,"value":`))
		if err := json.Unmarshal([]byte("{"+string(a.body[start:end])+"}"), &links); err != nil {
			b.Fatal(err)
		}
		_, query, _ = strings.Cut(links.Next, "?")
	}
}
