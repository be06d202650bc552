package entrasim

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// scimServer is a small SCIM server in memory, written from the RFCs and not from the package's own helpers. It records
// every request and complains about those that Entra would never send.
type scimServer struct {
	t     *testing.T
	url   string // of the SCIM base
	http  *httptest.Server
	token string

	mu        sync.Mutex
	users     []map[string]any
	groups    []map[string]any
	serial    int
	log       []request
	intercept func(w http.ResponseWriter, r *http.Request, body []byte) bool // true: answered
}

type request struct {
	method, path, query string
	header              http.Header
	body                string
}

func (r request) String() string {
	s := r.method + " " + r.path
	if r.query != "" {
		s += "?" + r.query
	}
	return s
}

func (r request) write() bool { return r.method != http.MethodGet }

func newServer(t *testing.T) *scimServer {
	s := &scimServer{t: t, token: "s3cret"}
	s.http = httptest.NewServer(s)
	s.url = s.http.URL + "/scim/v2"
	t.Cleanup(s.http.Close)
	return s
}

// take returns the requests since the last call.
func (s *scimServer) take() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.log
	s.log = nil
	return l
}

func (s *scimServer) onRequest(f func(w http.ResponseWriter, r *http.Request, body []byte) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

func (s *scimServer) find(list *[]map[string]any, id string) map[string]any {
	for _, r := range *list {
		if r["id"] == id {
			return r
		}
	}
	return nil
}

// user returns a copy of the only user with this userName, nil if there is none.
func (s *scimServer) user(userName string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hit map[string]any
	for _, u := range s.users {
		if strings.EqualFold(u["userName"].(string), userName) {
			if hit != nil {
				s.t.Errorf("two users called %s", userName)
			}
			hit = clone(u)
		}
	}
	return hit
}

func (s *scimServer) group(name string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.groups {
		if g["displayName"] == name {
			return clone(g)
		}
	}
	return nil
}

func clone(m map[string]any) map[string]any {
	b, _ := json.Marshal(m)
	var c map[string]any
	_ = json.Unmarshal(b, &c)
	return c
}

func memberIDs(group map[string]any) []string {
	var ids []string
	members, _ := group["members"].([]any)
	for _, m := range members {
		ids = append(ids, m.(map[string]any)["value"].(string))
	}
	slices.Sort(ids)
	return ids
}

func (s *scimServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, request{r.Method, strings.TrimPrefix(r.URL.Path, "/scim/v2"), r.URL.RawQuery, r.Header.Clone(), string(body)})
	if ua, ok := r.Header["User-Agent"]; ok {
		s.t.Errorf("%s %s carries User-Agent %q", r.Method, r.URL, ua)
	}
	if r.Header.Get("Accept") != "application/scim+json" {
		s.t.Errorf("%s %s: Accept is %q", r.Method, r.URL, r.Header.Get("Accept"))
	}
	if ct := r.Header.Get("Content-Type"); len(body) > 0 && ct != "application/scim+json; charset=utf-8" {
		s.t.Errorf("%s %s: Content-Type is %q", r.Method, r.URL, ct)
	}
	if strings.Contains(r.URL.Path, "//") {
		s.t.Errorf("double slash in %s", r.URL)
	}
	if s.intercept != nil && s.intercept(w, r, body) {
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+s.token {
		fault(w, 401, "bad token")
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/scim/v2/")
	if !ok {
		fault(w, 404, "no such path")
		return
	}
	kind, id, _ := strings.Cut(path, "/")
	list, key, res := &s.users, "userName", "User"
	if kind == "Groups" {
		list, key, res = &s.groups, "displayName", "Group"
	}
	hide := r.URL.Query().Get("excludedAttributes") == "members"
	show := func(m map[string]any) map[string]any {
		c := clone(m)
		if hide {
			delete(c, "members")
		}
		return c
	}
	taken := func(name any, not map[string]any) bool {
		for _, o := range *list {
			if o["id"] != not["id"] && strings.EqualFold(fmt.Sprint(o[key]), fmt.Sprint(name)) {
				return true
			}
		}
		return false
	}
	var in map[string]any
	if len(body) > 0 && json.Unmarshal(body, &in) != nil {
		fault(w, 400, "not JSON")
		return
	}
	switch {
	case r.Method == http.MethodGet && id == "":
		hits := []map[string]any{}
		for _, m := range *list {
			if f := r.URL.Query().Get("filter"); f == "" || matches(m, f) {
				hits = append(hits, show(m))
			}
		}
		start, count, total := 1, len(hits), len(hits)
		fmt.Sscan(r.URL.Query().Get("startIndex"), &start)
		fmt.Sscan(r.URL.Query().Get("count"), &count)
		hits = hits[min(start-1, total):]
		hits = hits[:min(count, len(hits))]
		answer(w, 200, map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:ListResponse"},
			"totalResults": total, "startIndex": start, "itemsPerPage": len(hits), "Resources": hits})
	case r.Method == http.MethodPost:
		if in[key] == nil || in["schemas"] == nil {
			fault(w, 400, "required attribute missing")
			return
		}
		if taken(in[key], nil) {
			fault(w, 409, key+" is taken")
			return
		}
		s.serial++
		in["id"] = fmt.Sprintf("%s-%04d", strings.ToLower(res), s.serial)
		*list = append(*list, in)
		answer(w, 201, show(in))
	default:
		m := s.find(list, id)
		if m == nil {
			fault(w, 404, "no such resource")
			return
		}
		switch r.Method {
		case http.MethodGet:
			answer(w, 200, show(m))
		case http.MethodDelete:
			*list = slices.DeleteFunc(*list, func(o map[string]any) bool { return o["id"] == id })
			for _, g := range s.groups {
				patchMembers(g, "remove", id)
			}
			w.WriteHeader(204)
		case http.MethodPatch:
			next := clone(m)
			ops, _ := in["Operations"].([]any)
			for _, o := range ops {
				if err := apply(next, o.(map[string]any)); err != nil {
					fault(w, 400, err.Error())
					return
				}
			}
			if taken(next[key], m) {
				fault(w, 409, key+" is taken")
				return
			}
			clear(m)
			for k, v := range next {
				m[k] = v
			}
			if res == "User" {
				answer(w, 200, show(m))
			} else {
				w.WriteHeader(204)
			}
		default:
			fault(w, 405, "no")
		}
	}
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/scim+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func fault(w http.ResponseWriter, status int, detail string) {
	answer(w, status, map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:Error"},
		"status": fmt.Sprint(status), "detail": detail})
}

var filterShape = regexp.MustCompile(`^(\w+) eq ("(?:[^"\\]|\\.)*")$`)

func matches(m map[string]any, filter string) bool {
	p := filterShape.FindStringSubmatch(filter)
	if p == nil {
		return false
	}
	var want string
	_ = json.Unmarshal([]byte(p[2]), &want)
	have := fmt.Sprint(m[p[1]])
	return have == want || p[1] != "externalId" && strings.EqualFold(have, want)
}

var (
	valuePath  = regexp.MustCompile(`^(\w+)\[type eq "(\w+)"\]\.(\w+)$`)
	memberPath = regexp.MustCompile(`^members\[value eq "([^"]+)"\]$`)
	plainPath  = regexp.MustCompile(`^(\w+)(?:\.(\w+))?$`)
)

const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

// apply understands exactly the operations that Entra's two dialects have; anything else is an error.
func apply(m, op map[string]any) error {
	verb := strings.ToLower(op["op"].(string))
	path, hasPath := op["path"].(string)
	value := op["value"]
	switch {
	case verb != "add" && verb != "replace" && verb != "remove":
		return fmt.Errorf("op %q", verb)
	case !hasPath:
		for k, v := range value.(map[string]any) {
			if err := set(m, k, v); err != nil {
				return err
			}
		}
		return nil
	case path == "members":
		list, ok := value.([]any)
		if !ok || len(list) == 0 {
			return fmt.Errorf("members without a list")
		}
		for _, e := range list {
			patchMembers(m, verb, e.(map[string]any)["value"].(string))
		}
		return nil
	case memberPath.MatchString(path):
		patchMembers(m, verb, memberPath.FindStringSubmatch(path)[1])
		return nil
	case verb == "remove":
		return set(m, path, nil)
	}
	return set(m, path, value)
}

func patchMembers(g map[string]any, verb, id string) {
	members, _ := g["members"].([]any)
	members = slices.DeleteFunc(slices.Clone(members), func(m any) bool { return m.(map[string]any)["value"] == id })
	if verb == "add" {
		members = append(members, map[string]any{"value": id})
	}
	g["members"] = members
}

func set(m map[string]any, path string, value any) error {
	put := func(m map[string]any, k string) {
		if value == nil {
			delete(m, k)
		} else {
			m[k] = value
		}
	}
	sub := func(k string) map[string]any {
		if m[k] == nil {
			m[k] = map[string]any{}
		}
		return m[k].(map[string]any)
	}
	if attr, ok := strings.CutPrefix(path, enterprise+":"); ok {
		if id, isString := value.(string); isString && attr == "manager" {
			value = map[string]any{"value": id}
		}
		put(sub(enterprise), attr)
		return nil
	}
	if p := valuePath.FindStringSubmatch(path); p != nil {
		list, _ := m[p[1]].([]any)
		for _, e := range list {
			if e.(map[string]any)["type"] == p[2] {
				put(e.(map[string]any), p[3])
				return nil
			}
		}
		e := map[string]any{"type": p[2]}
		put(e, p[3])
		m[p[1]] = append(list, e)
		return nil
	}
	p := plainPath.FindStringSubmatch(path)
	if p == nil {
		return fmt.Errorf("path %q", path)
	}
	if p[1] == "active" {
		if s, ok := value.(string); ok {
			value = strings.EqualFold(s, "true")
		}
	}
	if p[2] != "" {
		put(sub(p[1]), p[2])
	} else {
		put(m, p[1])
	}
	return nil
}
