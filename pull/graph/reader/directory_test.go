package reader

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// TestSuite runs the contract over TLS, with the smallest Graph that can answer it. What the real one does is
// proved in package graph, against the simulation.
func TestSuite(t *testing.T) {
	pulltest.Suite(t, func(t *testing.T, d *pulltest.Directory) pull.Source {
		return newRig(t, newSmallGraph(t, d)).Source
	})
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOthersAreCountedAndLeftOut(t *testing.T) {
	d := pulltest.NewDirectory()
	d.SetGroup(theGroup, "Mixed")
	d.SetOthers(theGroup, 3)
	d.SetGroup(pulltest.GroupID(2), "Nested")
	d.Nest(theGroup, pulltest.GroupID(2))
	d.SetPerson(pulltest.NewPerson(1))
	d.Add(theGroup, pulltest.ID(1))
	people, l, err := readAll(newRig(t, newSmallGraph(t, d)))
	if err != nil || len(people) != 1 || l.People != 1 || len(l.Nested) != 1 || l.Others != 3 {
		t.Errorf("%d people, listing %+v, error %v; want 1 user, 1 group, 3 others", len(people), l, err)
	}
}

// smallGraph answers from a model.
type smallGraph struct {
	t      *testing.T
	people map[string]pull.Person
	groups map[string]pulltest.GroupState
}

func newSmallGraph(t *testing.T, d *pulltest.Directory) http.Handler {
	g := &smallGraph{t: t, people: make(map[string]pull.Person), groups: make(map[string]pulltest.GroupState)}
	s := d.State()
	for _, p := range s.People {
		g.people[p.ID.String()] = p
	}
	for _, gr := range s.Groups {
		g.groups[gr.ID] = gr
	}
	return g
}

func (g *smallGraph) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Header.Get("Authorization") != "Bearer good" {
		graphError(401, "InvalidAuthenticationToken", "no token").write(w)
		return
	}
	path := strings.Split(strings.TrimPrefix(req.URL.Path, "/v1.0/"), "/")
	var a reply
	switch {
	case len(path) == 1 && path[0] == "$batch":
		a = g.batch(req)
	case len(path) == 3 && path[0] == "groups":
		a = g.members(req, path[1], path[2] == "transitiveMembers")
	default:
		a = g.one(path, req.URL.Query(), nil)
	}
	a.write(w)
}

// one answers what may stand in a batch too.
func (g *smallGraph) one(path []string, query url.Values, groupIDs []string) reply {
	notFound := graphError(404, "Request_ResourceNotFound", "Resource does not exist.")
	switch {
	case len(path) == 3 && path[0] == "groups" && path[2] == "members":
		return g.member(path[1], query)
	case len(path) == 1 && path[0] == "users":
		for _, p := range g.people {
			return reply{body: fmt.Sprintf(`{"value":[{"id":%q,"accountEnabled":%t}]}`, p.ID, p.Enabled)}
		}
		return reply{body: `{"value":[]}`}
	case len(path) == 1 && path[0] == "groups" && query.Has("$filter"):
		return g.find(query)
	case len(path) == 1 && path[0] == "groups":
		return reply{body: `{"value":[]}`}
	case len(path) == 2 && path[0] == "groups":
		gr, ok := g.groups[path[1]]
		if !ok {
			return notFound
		}
		name, _ := json.Marshal(gr.DisplayName)
		return reply{body: fmt.Sprintf(`{"id":%q,"displayName":%s}`, gr.ID, name)}
	case len(path) == 2 && path[0] == "users":
		p, ok := g.people[path[1]]
		if ok && query.Get("$select") == strings.Join(Properties, ",") {
			return reply{body: userOf(p)}
		}
		if !ok || query.Get("$select") != "id,accountEnabled" {
			return notFound
		}
		return reply{body: fmt.Sprintf(`{"id":%q,"accountEnabled":%t}`, p.ID, p.Enabled)}
	case len(path) == 3 && path[2] == "checkMemberGroups":
		if len(groupIDs) > 20 {
			return graphError(400, "Request_BadRequest", "Too many groups.")
		}
		in := []string{}
		for _, id := range groupIDs {
			people, _ := g.walk(id, true)
			if slices.Contains(people, path[1]) {
				in = append(in, id)
			}
		}
		b, _ := json.Marshal(map[string]any{"value": in})
		return reply{body: string(b)}
	}
	return reply{status: 404, body: "no such path", header: map[string]string{"Content-Type": "text/plain"}}
}

// find answers startswith(displayName,'...').
func (g *smallGraph) find(query url.Values) reply {
	text, begins := strings.CutPrefix(query.Get("$filter"), "startswith(displayName,'")
	text, ends := strings.CutSuffix(text, "')")
	if top, err := strconv.Atoi(query.Get("$top")); !begins || !ends || err != nil || top < 1 || strings.Contains(strings.ReplaceAll(text, "''", ""), "'") {
		return graphError(400, "Request_BadRequest", "Invalid filter clause.")
	}
	text = strings.ReplaceAll(text, "''", "'")
	found := []map[string]any{}
	for _, gr := range g.groups {
		if len(gr.DisplayName) >= len(text) && strings.EqualFold(gr.DisplayName[:len(text)], text) {
			found = append(found, map[string]any{"id": gr.ID, "displayName": gr.DisplayName})
		}
	}
	b, _ := json.Marshal(map[string]any{"value": found})
	return reply{body: string(b)}
}

// walk lists the users of a group, and the groups below it.
func (g *smallGraph) walk(id string, transitive bool) (people, nested []string) {
	seen := map[string]bool{id: true}
	for queue := []string{id}; len(queue) > 0; queue = queue[1:] {
		for _, p := range g.groups[queue[0]].People {
			if _, live := g.people[p.String()]; live && !seen[p.String()] {
				seen[p.String()] = true
				people = append(people, p.String())
			}
		}
		for _, c := range g.groups[queue[0]].Nested {
			if !seen[c] {
				seen[c] = true
				nested = append(nested, c)
				if transitive {
					queue = append(queue, c)
				}
			}
		}
	}
	return people, nested
}

func (g *smallGraph) members(req *http.Request, id string, transitive bool) reply {
	q := req.URL.Query()
	if req.Header.Get("ConsistencyLevel") != "eventual" || q.Get("$count") != "true" {
		return graphError(400, "Request_UnsupportedQuery", "no advanced query")
	}
	if _, ok := g.groups[id]; !ok {
		return graphError(404, "Request_ResourceNotFound", "Resource does not exist.")
	}
	people, nested := g.walk(id, transitive)
	var rows []string
	for _, p := range people {
		rows = append(rows, userOf(g.people[p]))
	}
	for _, n := range nested {
		rows = append(rows, fmt.Sprintf(`{"@odata.type":"#microsoft.graph.group","id":%q,"displayName":"g","mail":null}`, n))
	}
	others := g.groups[id].Others
	for _, n := range nested {
		if transitive {
			others += g.groups[n].Others
		}
	}
	for n := range others {
		rows = append(rows, fmt.Sprintf(`{"@odata.type":"#microsoft.graph.device","id":"%08x-0000-4000-a000-000000000000","displayName":"d","accountEnabled":true}`, n))
	}
	total, top := len(rows), 999
	if n, err := strconv.Atoi(q.Get("$top")); err == nil {
		top = n
	}
	skip := 0
	if token, err := base64.URLEncoding.DecodeString(q.Get("$skiptoken")); err == nil && len(token) > 0 {
		skip, _ = strconv.Atoi(string(token))
	}
	rows = rows[skip:]
	next, count := "", total
	if len(rows) > top {
		rows = rows[:top]
		token := base64.URLEncoding.EncodeToString([]byte(strconv.Itoa(skip + top)))
		next = "https://" + req.Host + req.URL.Path + "?$count=true&$top=" + strconv.Itoa(top) + "&$skiptoken=" + token
	}
	if skip > 0 {
		count = -1
	}
	return reply{body: pageOf(count, next, rows...), header: map[string]string{"X-Ms-Resource-Unit": "3"}}
}

// member answers which members of a group the filter leaves.
func (g *smallGraph) member(id string, query url.Values) reply {
	if _, ok := g.groups[id]; !ok {
		return graphError(404, "Request_ResourceNotFound", "Resource does not exist.")
	}
	if query.Get("$count") != "true" || query.Get("$select") != "id" {
		return graphError(400, "Request_UnsupportedQuery", "no advanced query")
	}
	people, _ := g.walk(id, false)
	var rows []string
	for _, p := range people {
		if query.Get("$filter") == "id eq '"+p+"'" {
			rows = append(rows, fmt.Sprintf(`{"@odata.type":"#microsoft.graph.user","id":%q}`, p))
		}
	}
	return reply{body: pageOf(len(rows), "", rows...)}
}

func (g *smallGraph) batch(req *http.Request) reply {
	var in struct {
		Requests []struct {
			ID, Method, URL string
			Headers         map[string]string
			Body            struct{ GroupIDs []string }
		}
	}
	if err := json.NewDecoder(req.Body).Decode(&in); err != nil || len(in.Requests) > 20 {
		return graphError(400, "BadRequest", "no batch")
	}
	var out []string
	for _, r := range in.Requests {
		u, _ := url.Parse(r.URL)
		a := g.one(strings.Split(strings.Trim(u.Path, "/"), "/"), u.Query(), r.Body.GroupIDs)
		if u.Query().Has("$filter") && r.Headers["ConsistencyLevel"] != "eventual" {
			a = graphError(400, "Request_UnsupportedQuery", "no advanced query")
		}
		if a.status == 0 {
			a.status = 200
		}
		out = append(out, fmt.Sprintf(`{"id":%q,"status":%d,"headers":{"Content-Type":"application/json"},"body":%s}`, r.ID, a.status, a.body))
	}
	slices.Reverse(out) // Graph gives no order
	return reply{body: `{"responses":[` + strings.Join(out, ",") + `]}`}
}

// ids makes the ids of the people from to to-1.
func ids(from, to int) (out []directory.ID) {
	for n := from; n < to; n++ {
		out = append(out, pulltest.ID(n))
	}
	return out
}
