package scim_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
)

// two is a server with two tenants. Everything of the one that nobody may see has the word bravo
// in it.
type two struct {
	*server
	alpha, bravo *tenant
	ids          map[string]string // what of bravo has an id
	before       map[string]string // bravo's rows
}

func newTwo(t *testing.T) *two {
	t.Helper()
	s := newServer(t)
	w := &two{server: s, alpha: s.tenant("alpha", withExtension), bravo: s.tenant("bravo", withExtension)}
	b := w.bravo
	user := b.user("bravo.anna@bravo.example", object{"externalId": "bravo-1", "displayName": "Bravo Anna",
		"emails": []object{{"value": "bravo.mail@bravo.example", "type": "work"}}})
	boss := b.user("bravo.boss@bravo.example")
	group := b.group("bravo crew", "bravo-crew", user)
	outer := b.group("bravo outer", "", group, boss)
	b.patch("/Users/"+user, op("add", scim.EnterpriseURN+":manager", boss)).want(200)
	env := b.environment("bravo production", "bravo-crew")
	tokens := []*directory.Token{}
	s.view(func(sn *directory.Snapshot) (err error) {
		tokens, err = sn.Tokens(b.id, directory.SecretToken)
		return err
	})
	w.ids = map[string]string{"user": user, "other user": boss, "group": group, "outer group": outer, "tenant": b.id.String(),
		"environment": env.String(), "token": tokens[0].ID.String(), "userName": "bravo.anna@bravo.example"}
	w.before = w.ofBravo()
	return w
}

// ofBravo is every row that is bravo's or speaks of anything of bravo's.
func (w *two) ofBravo() map[string]string {
	w.Helper()
	rows := w.dump()
	maps.DeleteFunc(rows, func(k, v string) bool {
		_, key, _ := strings.Cut(k, "\x00")
		if strings.HasPrefix(key, string(w.alpha.id[:])) {
			return true
		}
		return !slices.ContainsFunc(slices.Collect(maps.Values(w.ids)), func(id string) bool {
			raw, _ := directory.ParseID(id)
			return strings.Contains(k+v, string(raw[:])) && !raw.IsZero() || strings.Contains(v, id)
		})
	})
	// The note of a token's last use comes when it comes.
	maps.DeleteFunc(rows, func(k, _ string) bool {
		return strings.HasPrefix(k, "tokens\x00") || strings.HasPrefix(k, "outbox\x00")
	})
	return rows
}

// wantSealed checks that nothing of bravo's has changed and that no row of alpha's points at it.
func (w *two) wantSealed(t *testing.T) {
	t.Helper()
	if diff := cmp.Diff(w.before, w.ofBravo()); diff != "" {
		t.Errorf("bravo has changed (-before +after):\n%s", diff)
	}
	for k := range w.dump() {
		table, key, _ := strings.Cut(k, "\x00")
		if !strings.HasPrefix(key, string(w.alpha.id[:])) || table == "former" || table == "user_object" {
			continue // those two hold what the client says is an object id
		}
		for name, id := range w.ids {
			if raw, ok := directory.ParseID(id); ok && strings.Contains(key, string(raw[:])) {
				t.Errorf("table %s joins alpha to the %s of bravo", table, name)
			}
		}
	}
}

// wantNothing checks that no byte of an answer is bravo's. Ids that the client itself sent may
// come back.
func wantNothing(a *answer) {
	a.t.Helper()
	all := strings.ToLower(string(a.body) + fmt.Sprint(a.header))
	if strings.Contains(all, "bravo") {
		a.errorf("the answer speaks of the other tenant (headers %v)", a.header)
	}
}

// sameAs checks that two answers are the same to the byte, once what the requests themselves said
// is put aside.
func (a *answer) sameAs(other *answer, mine, others []string) {
	a.t.Helper()
	clean := func(x *answer, said []string) string {
		h := x.header.Clone()
		h.Del("Date")
		h.Del("Content-Length") // of bodies of which something was put aside
		all := fmt.Sprint(x.status, h) + string(x.body)
		for i, s := range said {
			if s != "" {
				all = strings.ReplaceAll(all, s, fmt.Sprintf("{%d}", i))
			}
		}
		return all
	}
	if diff := cmp.Diff(clean(other, others), clean(a, mine)); diff != "" {
		a.errorf("not the answer of %s (-that +this):\n%s", other.what, diff)
	}
}

var allMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}

// paths are the paths of the router's table with an id in them, each once.
func paths(id string) (list []string) {
	for _, r := range scim.Routes() {
		if p := strings.ReplaceAll(r.Pattern, "{id}", id); !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

func hasRoute(method, path string) bool {
	return slices.ContainsFunc(scim.Routes(), func(r scim.Route) bool {
		name, isItem := strings.CutSuffix(r.Pattern, "/{id}")
		same := r.Pattern == path || isItem && strings.HasPrefix(path, name+"/")
		return same && (r.Method == method || method == http.MethodHead && r.Method == http.MethodGet)
	})
}

// bodyFor is a body that the method would take on that path.
func bodyFor(method, path string) any {
	switch {
	case method == "PATCH":
		return patch(op("replace", "displayName", "changed"))
	case method != "POST" && method != "PUT":
		return nil
	case strings.HasPrefix(path, "/Groups"):
		return groupBody("made for " + path)
	}
	return userBody("made.for." + strings.ReplaceAll(path, "/", "."))
}

func TestRoutesAreKnown(t *testing.T) {
	t.Parallel()
	for _, want := range []scim.Route{{Method: "PATCH", Pattern: "/Groups/{id}"}, {Method: "GET", Pattern: "/Users"}, {Method: "DELETE", Pattern: "/Users/{id}"}} {
		if !slices.Contains(scim.Routes(), want) {
			t.Errorf("Routes has no %v", want)
		}
	}
}

// Every route and method with everything of the other tenant that has an id.
func TestTenantsAreSealedInPaths(t *testing.T) {
	t.Parallel()
	w := newTwo(t)
	for name, id := range w.ids {
		for i, path := range paths(id) {
			unused := paths(unknownID)[i]
			if !strings.Contains(path, id) {
				continue
			}
			for _, method := range allMethods {
				a := w.alpha.request(method, path, bodyFor(method, path))
				wantNothing2(a, id)
				a.sameAs(w.alpha.request(method, unused, bodyFor(method, path)), []string{id, url.PathEscape(id)}, []string{unknownID})
				switch {
				case method == http.MethodOptions: // tells what the path takes, not what is there
					a.want(204)
				case hasRoute(method, path) && a.status != 404:
					a.errorf("status with the %s of another tenant is not 404", name)
				case !hasRoute(method, path) && a.status != 405:
					a.errorf("status is not 405")
				}
			}
		}
	}
	w.wantSealed(t)
}

// wantNothing2 is wantNothing where the id in the path is itself a name of bravo's.
func wantNothing2(a *answer, id string) {
	a.t.Helper()
	b := *a
	b.body = []byte(strings.ReplaceAll(string(a.body), id, ""))
	wantNothing(&b)
}

// Collections: what alpha sees of them is alpha's, whatever it asks.
func TestTenantsAreSealedInLists(t *testing.T) {
	t.Parallel()
	w := newTwo(t)
	queries := []string{"", "?count=1000", "?startIndex=2", "?filter=" + url.QueryEscape(`id pr`), "?filter=" + url.QueryEscape(`not (id eq "x")`),
		"?attributes=userName,displayName,groups,members", "?tenant=bravo&organizationId=" + w.bravo.id.String(),
		"?tenantId=" + w.bravo.id.String()}
	for _, path := range []string{"/Users", "/Groups"} {
		for _, query := range queries {
			a := w.alpha.request("GET", path+query, nil, "X-Tenant-Id", w.bravo.id.String(), "X-Org", "bravo", "X-Forwarded-Prefix", "/scim/bravo/v2",
				"X-Original-URL", "/scim/bravo/v2/Users", "X-HTTP-Method-Override", "DELETE").want(200)
			wantNothing(a)
			a.is("0", "totalResults")
			a.is("[]", "Resources")
		}
	}
	for _, path := range []string{"/Schemas", "/ResourceTypes", "/ServiceProviderConfig", "/serviceConfiguration"} {
		wantNothing(w.alpha.get(path))
	}
	a := w.alpha.request("POST", "/Users", userBody("anna@alpha.example", object{"tenantId": w.bravo.id.String(), "organization": "bravo", "id": w.ids["user"]})).want(201)
	if a.id() == w.ids["user"] {
		a.errorf("the client chose the id")
	}
	w.wantSealed(t)
}

// Every position of a request in which an id or name can stand that belongs to the other tenant.
// The answer is that for an id that nobody has.
func TestTenantsAreSealedInReferences(t *testing.T) {
	t.Parallel()
	type where struct {
		name   string
		method string
		path   string             // {user} and {group} are alpha's, {x} is the reference
		body   func(x string) any // {x} in it stands for x too, {name} for the name of alpha's user
		status int
	}
	member := func(verb string) func(x string) any {
		return func(x string) any { return patch(op(verb, "members", members(x))) }
	}
	patched := func(verb, path string, value ...any) func(string) any {
		return func(string) any { return patch(op(verb, path, value...)) }
	}
	list := []where{
		{"a member of a new group", "POST", "/Groups", func(x string) any { return groupBody("g", object{"members": members(x)}) }, 400},
		{"a member with a type", "POST", "/Groups", func(x string) any {
			return groupBody("g", object{"members": []object{{"value": x, "type": "Group", "display": "spoof", "$ref": "https://evil.example/"}}})
		}, 400},
		{"a member as a plain string", "POST", "/Groups", func(x string) any { return groupBody("g", object{"members": []string{x}}) }, 400},
		{"a member by PUT", "PUT", "/Groups/{group}", func(x string) any { return groupBody("g", object{"members": members(x)}) }, 400},
		{"a member after a good one by PUT", "PUT", "/Groups/{group}", func(x string) any { return groupBody("g", object{"members": members("{user}", x)}) }, 400},
		{"a member by PATCH add", "PATCH", "/Groups/{group}", member("add"), 400},
		{"a member by PATCH Add", "PATCH", "/Groups/{group}", member("Add"), 400},
		{"a member by PATCH replace", "PATCH", "/Groups/{group}", member("replace"), 400},
		{"a member by PATCH without path", "PATCH", "/Groups/{group}", patched("add", "", object{"members": members("{x}")}), 400},
		{"a member by PATCH as an object", "PATCH", "/Groups/{group}", patched("add", "members", object{"value": "{x}"}), 400},
		{"a member by PATCH as a string", "PATCH", "/Groups/{group}", patched("add", "members", "{x}"), 400},
		{"a member by a qualified path", "PATCH", "/Groups/{group}", patched("add", scim.GroupURN+":members", members("{x}")), 400},
		{"a member behind a rename", "PATCH", "/Groups/{group}", func(x string) any {
			return patch(op("replace", "displayName", "renamed"), op("add", "members", members(x)))
		}, 400},
		{"removal by PATCH", "PATCH", "/Groups/{group}", member("remove"), 204},
		{"removal by filter", "PATCH", "/Groups/{group}", patched("remove", `members[value eq "{x}"]`), 204},
		{"a manager", "PATCH", "/Users/{user}", patched("add", scim.EnterpriseURN+":manager", "{x}"), 200},
		{"a manager as an object", "PATCH", "/Users/{user}", patched("replace", "manager", object{"value": "{x}", "displayName": "spoof"}), 200},
		{"a manager at creation", "POST", "/Users", func(x string) any {
			return userBody("new", object{scim.EnterpriseURN: object{"manager": object{"value": x}}})
		}, 201},
		{"a manager by PUT", "PUT", "/Users/{user}", func(x string) any {
			return userBody("{name}", object{scim.EnterpriseURN: object{"manager": object{"value": x}}})
		}, 200},
		{"groups at creation", "POST", "/Users", func(x string) any { return userBody("new", object{"groups": members(x)}) }, 201},
		{"groups by PUT", "PUT", "/Users/{user}", func(x string) any { return userBody("{name}", object{"groups": members(x)}) }, 200},
		{"groups by PATCH", "PATCH", "/Users/{user}", patched("add", "groups", members("{x}")), 400},
		{"groups without path", "PATCH", "/Users/{user}", patched("add", "", object{"groups": members("{x}")}), 200},
		{"the id at creation", "POST", "/Users", func(x string) any { return userBody("new", object{"id": x}) }, 201},
		{"the id by PATCH", "PATCH", "/Users/{user}", patched("replace", "id", "{x}"), 400},
		{"the id in the body of PUT", "PUT", "/Users/{user}", func(x string) any { return userBody("{name}", object{"id": x}) }, 200},
		{"the externalId", "POST", "/Users", func(x string) any { return userBody("new", object{"externalId": x}) }, 201},
		{"the externalId of a group", "POST", "/Groups", func(x string) any { return groupBody("new", object{"externalId": x}) }, 201},
		{"the access extension", "POST", "/Users", func(x string) any {
			return userBody("new", object{scim.AccessURN: object{"environments": []object{{"id": x, "active": true}}}})
		}, 201},
		{"the access extension by PATCH", "PATCH", "/Users/{user}", patched("add", scim.AccessURN+":environments", []object{{"id": "{x}"}}), 400},
	}
	for _, f := range []string{`id eq "{x}"`, `externalId eq "{x}"`, `userName eq "{x}"`, `userName co "{x}"`, `emails eq "{x}"`, `emails.value eq "{x}"`,
		`emails[type eq "work" and value eq "{x}"]`, `groups eq "{x}"`, `groups.value eq "{x}"`, `groups[value eq "{x}"]`, `manager eq "{x}"`,
		`id eq "{user}" and manager eq "{x}"`, scim.EnterpriseURN + `:manager.value eq "{x}"`, `meta.location co "{x}"`,
		scim.AccessURN + `:environments.id eq "{x}"`, scim.AccessURN + `:environments[id eq "{x}"]`, `id eq "{x}" or externalId eq "{x}"`} {
		list = append(list, where{"Users by " + f, "GET", "/Users?filter=" + f, nil, 200})
	}
	for _, f := range []string{`id eq "{x}"`, `externalId eq "{x}"`, `displayName eq "{x}"`, `members eq "{x}"`, `members.value eq "{x}"`,
		`members[value eq "{x}"]`, `id eq "{group}" and members eq "{x}"`, `members eq "{x}" and id eq "{group}"`, `members.value co "{x}"`} {
		list = append(list, where{"Groups by " + f, "GET", "/Groups?filter=" + f, nil, 200})
	}
	list = append(list,
		where{"an attribute's filter", "GET", `/Users/{user}?attributes=groups[value eq "{x}"]`, nil, 200},
		where{"a schema", "GET", "/Schemas/{x}", nil, 404},
		where{"If-Match", "GET", "/Users/{user}?x={x}", nil, 200})

	w := newTwo(t)
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) {
			ask := func(x string) (*answer, []string) {
				// Each request has resources of its own, so that both see the same.
				name := w.alpha.unique("anna")
				user, group := w.alpha.user(name), w.alpha.group(name+" crew", "")
				own := strings.NewReplacer("{user}", user, "{group}", group, "{x}", x, "{name}", name)
				path, query, has := strings.Cut(own.Replace(c.path), "?")
				if has {
					name, value, _ := strings.Cut(query, "=")
					path += "?" + name + "=" + url.QueryEscape(value)
				}
				var body any
				if c.body != nil {
					body = raw(own.Replace(string(must(json.Marshal(c.body(x))))))
				}
				a := w.alpha.requestAs(t, c.method, path, body)
				wantNothing2(a, x)
				a.want(c.status)
				if got := w.alpha.members(group); len(got) > 0 {
					a.errorf("the group has members %v", got)
				}
				if a.status == 201 {
					w.alpha.request("DELETE", strings.TrimPrefix(a.header.Get("Location"), w.url), nil).want(204)
				}
				if a.id() == x {
					a.errorf("the id is the client's")
				}
				if a.status == 200 && c.method != "GET" { // it may hold the reference, and later filters would find it
					w.alpha.request("DELETE", "/Users/"+user, nil).want(204)
				}
				return a, []string{a.id(), user, group, name, x, url.QueryEscape(x), url.QueryEscape(url.QueryEscape(x))}
			}
			unused, said := ask(unknownID)
			names := []string{"user", "group", "userName"}
			if testing.Short() {
				names = names[:1]
			}
			for _, name := range names {
				a, mine := ask(w.ids[name])
				a.what += " (" + name + ")"
				a.sameAs(unused, mine, said)
			}
		})
	}
	w.wantSealed(t)
}

// A userName, externalId or e-mail that the other tenant has is free in this one.
func TestTenantsShareNoNames(t *testing.T) {
	t.Parallel()
	w := newTwo(t)
	a := w.alpha.request("POST", "/Users", userBody("BRAVO.anna@bravo.example", object{"externalId": "bravo-1",
		"emails": []object{{"value": "bravo.mail@bravo.example"}}})).want(201)
	if a.id() == w.ids["user"] || w.alpha.account(a.id()).ID == w.bravo.account(w.ids["user"]).ID {
		a.errorf("the user or account is the other tenant's")
	}
	w.alpha.request("POST", "/Groups", groupBody("bravo crew", object{"externalId": "bravo-crew", "members": members(a.id())})).want(201)
	if got := w.access(w.alpha.account(a.id()).ID, parse(w.ids["environment"])); got != "none" {
		a.errorf("a group of the same object id gives access to the other tenant's environment: %s", got)
	}
	w.wantSealed(t)
}

// tokens that open nothing, made from one that does.
func badTokens(good string) map[string]string {
	last := "A"
	if strings.HasSuffix(good, last) {
		last = "B"
	}
	return map[string]string{
		"none": "", "scheme alone": "Bearer", "empty": "Bearer ", "cut": "Bearer " + good[:len(good)-1], "cut at the front": "Bearer " + good[1:],
		"extended": "Bearer " + good + "A", "upper case": "Bearer " + strings.ToUpper(good), "lower case": "Bearer " + strings.ToLower(good),
		"last changed": "Bearer " + good[:len(good)-1] + last, "two spaces": "Bearer  " + good, "a tab": "Bearer\t" + good,
		"encoded NUL": "Bearer " + good + "%00", "comma": "Bearer " + good + "," + good, "quoted": `Bearer "` + good + `"`,
		"other scheme": "Token " + good, "no scheme": good, "basic": "Basic " + base64.StdEncoding.EncodeToString([]byte(good+":"+good)),
		"random": "Bearer " + auth.NewSecret().Text, "word": "Bearer null", "long": "Bearer " + strings.Repeat("bzs_", 1000),
	}
}

func TestTokensThatOpenNothing(t *testing.T) {
	t.Parallel()
	w := newTwo(t)
	for name, header := range badTokens(w.alpha.token) {
		t.Run(name, func(t *testing.T) {
			for _, path := range append(paths(w.ids["user"]), "/Bulk", "/.search", "/Me", "/Nothing", "") {
				for _, method := range allMethods {
					a := w.alpha.requestAs(t, method, path, bodyFor(method, path), "Authorization", header).want(401)
					wantNothing(a)
					// Nothing tells whether there is a tenant of that name.
					other := w.alpha.requestAs(t, method, "/scim/nobody/v2"+path, bodyFor(method, path), "Authorization", header)
					a.sameAs(other, nil, nil)
				}
			}
		})
	}
	w.wantSealed(t)
	if n := len(w.alpha.lines()); n > 0 {
		t.Errorf("callers without a token wrote %d lines to the log of a tenant", n)
	}
}

func TestSchemeOfTheTokenIsReadWithoutCase(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	for _, scheme := range []string{"Bearer", "bearer", "BEARER"} {
		a.request("GET", "/Users", nil, "Authorization", scheme+" "+a.token).want(200)
	}
}

// A token opens its own tenant alone; a path of another tenant, or of none, is one that is not there.
func TestTokenOfAnotherTenant(t *testing.T) {
	t.Parallel()
	w := newTwo(t)
	nobody := w.alpha.request("GET", "/scim/nobody/v2/Users", nil).want(404)
	for _, tenantName := range []string{"bravo", "BRAVO", "ALPHA", "Alpha", "%61lpha", "alph%61", "", "alpha%00", "alpha;x=1", "alpha.", w.bravo.id.String(), w.alpha.id.String(), "..", "."} {
		for _, path := range paths(w.ids["user"]) {
			for _, method := range allMethods {
				a := w.alpha.request(method, "/scim/"+tenantName+"/v2"+path, bodyFor(method, path))
				wantNothing(a)
				if method != "HEAD" {
					a.sameAs(nobody, nil, nil)
				}
				a.want(404)
			}
		}
	}
	w.wantSealed(t)
}

// A token on another tenant's path is noted where the token belongs, and nowhere else; it uses up
// the budget of its own tenant.
func TestTokenOfAnotherTenantIsNoted(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a, b := s.tenant("alpha", scimOptions(directory.SCIMOptions{RequestsPerSecond: 25, Burst: 30})), s.tenant("bravo")
	left := 30
	for n, path := range []string{"/scim/bravo/v2/Users", "/scim/bravo/v2/Users/" + unknownID, "/scim/nobody/v2/Users", "/scim/bravo/nothing"} {
		a.request("GET", path, nil, "X-Request-Id", "r-9").want(404, "")
		a.request("POST", "/Users", object{}).want(400) // the next line: had the one before it two, it would be the third
		left -= 2
		all := a.waitLines(2*n + 2)
		if len(all) != 2*n+2 {
			t.Fatalf("%s: the log has %d lines, want %d", path, len(all), 2*n+2)
		}
		e := all[2*n]
		if got := tell(e); got != "failure other Tenant " || e.TargetID != strings.Split(path, "/")[2] || !strings.Contains(e.Detail, "404") {
			t.Errorf("%s: line %q of %q with detail %q", path, got, e.TargetID, e.Detail)
		}
		if e.TenantID != a.id || e.Actor.Role != directory.RoleDirectory || e.Actor.RequestID != "r-9" || e.Actor.ID == "" {
			t.Errorf("%s: line %+v", path, e)
		}
	}
	for range left {
		a.request("GET", "/scim/bravo/v2/Users", nil).want(404)
	}
	before := len(a.waitLines(8 + left))
	a.get429("/scim/bravo/v2/Users")
	a.get429("/Users")
	b.get("/Users")
	s.clock.Advance(time.Second)
	a.request("POST", "/Users", object{}).want(400)
	if n := len(a.waitLines(before + 1)); n != before+1 {
		t.Errorf("throttled requests wrote %d lines", n-before-1)
	}
	if n := len(b.lines()); n != 0 {
		t.Errorf("the other tenant's log has %d lines", n)
	}
}

func (t *tenant) get429(path string) {
	t.Helper()
	t.request("GET", path, nil).want(429)
}

func TestTwoAuthorizationHeaders(t *testing.T) {
	t.Parallel()
	w := newTwo(t)
	for _, pair := range [][2]string{{w.alpha.token, w.bravo.token}, {w.bravo.token, w.alpha.token}, {w.alpha.token, w.alpha.token}, {w.alpha.token, "x"}} {
		req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/scim/alpha/v2/Users", nil))
		req.Header["Authorization"] = []string{"Bearer " + pair[0], "Bearer " + pair[1]}
		a := w.exchange(t, req)
		a.wire()
		a.want(400)
		wantNothing(a)
	}
}

// A path counts as it was written: nothing is decoded, cleaned or redirected into a route.
func TestOddPaths(t *testing.T) {
	t.Parallel()
	w := newTwo(t)
	user := w.alpha.user("anna")
	for _, path := range []string{
		"/scim/alpha/v2/%55sers", "/scim%2Falpha/v2/Users", "/scim/alpha%2Fv2/Users", "/scim/alpha/v2%2FUsers", "/scim/alpha/v2/Users%2F" + user,
		"//scim/alpha/v2/Users", "/scim//alpha/v2/Users", "/scim/alpha//v2/Users", "/scim/alpha/v2//Users", "/scim/alpha/v2/Users//", "/scim/alpha/v2/Users//" + user,
		"/scim/alpha/v2/./Users", "/scim/./alpha/v2/Users", "/scim/alpha/v2/../v2/Users", "/scim/bravo/../alpha/v2/Users", "/scim/alpha/v2/../../bravo/v2/Users",
		"/scim/alpha/v2/Users;x=1", "/scim/alpha/v2/Users/" + user + ";x=1", "/scim/alpha/v2/Users/..%2f..%2fadmin%2fapi", "/scim/alpha/v2/Users/..%2f" + user,
		"/scim/alpha/v2/Users/%2e%2e/Groups", "/scim/alpha/v2/Users/../Groups", "/scim/alpha/v2/Users/" + user + "/", "/scim/alpha/v2/Users/" + user + "/x",
		"/scim/alpha/v2/Users/" + user + "%00", "/scim/alpha/v2/Users/" + strings.ToUpper(user), "/scim/alpha/v2/Users/" + user + "%20", "/scim/alpha/v2/Users/%5c" + user,
		"/scim/alpha/v2/user", "/scim/alpha/v2/u%73ers", "/scim/alpha/v2/Uſers", "/scim/alpha/V2/Users", "/scim/alpha/v1/Users", "/scim/alpha/v2Users", "/scim/alpha/Users",
		"/scim/alpha", "/scim/alpha/", "/scim", "/scim/", "/", "", "/SCIM/alpha/v2/Users", "/v2/Users", "/Users",
		"/scim/alpha/v2//", "/scim/alpha/v2///", "/scim/alpha//v2/", "/scim/alpha/v2/;x=1", "/scim/alpha/v2;x=1", "/scim/alpha/v2/Me/x", "/scim/alpha/v2/Me;x", "/scim/alpha/v2/%4de", "/scim/alpha/Me",
		"/scim/alpha/v2/Users/%ff", "/scim/alpha/v2/Users/%c0%ae%c0%ae", "/scim/alpha/v2/Users/%c0%af" + user, "/scim/alpha/v2/Users/" + user + "%ff", "/scim/alpha/v2/%ff", "/scim/%ff/v2/Users",
		"/scim/alpha/v2/Users/%252e%252e%252fGroups", "/scim/alpha/v2/Users/%EF%BC%8F" + user, "/scim/alpha/v2/Users/" + user + "%09", "/scim/alpha/v2/Users/" + user + "%0d%0aX-Evil:%201",
		"/scim/alpha/v2/Bulk/x", "/scim/alpha/v2.", "/scim/alpha/v2/%2esearch", "/scim/alpha/v2/Users/.Search", "/scim/alpha/v2/Schemas/", "/scim/alpha/v2/ServiceProviderConfig/x",
		"/scim/alpha/v2/Users?", "/scim/alpha/v2/Users/?", "/scim/alpha/oauth2/token/", "/scim/alpha/oauth2/../v2/Users",
	} {
		good := slices.Contains([]string{"/scim/alpha/v2/Users?", "/scim/alpha/v2/Users/?", "/scim/alpha/v2/Schemas/", "/scim/alpha/v2/Users/" + user + "/"}, path)
		for _, method := range []string{"GET", "POST", "DELETE", "HEAD"} {
			if method == "DELETE" && good {
				continue
			}
			a := w.send(t, method, path, nil, "Authorization", "Bearer "+w.alpha.token)
			a.wire()
			switch {
			case good && method == "GET":
				a.want(200)
			case !good && method == "GET":
				a.want(404)
			case !good && a.status < 400, a.status >= 300 && a.status < 400:
				a.errorf("an odd path was served")
			}
			wantNothing(a)
			// Without a token the path tells nothing at all.
			a = w.send(t, method, path, nil)
			a.wire()
			if a.status != 401 && a.status != 404 {
				a.errorf("without a token")
			}
		}
	}
	w.wantSealed(t)
	w.alpha.get("/Users/" + user)
}

// An id may be written encoded, as any path segment.
func TestEncodedID(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	user := a.user("anna")
	a.get("/Users/%30"+user[1:]).is(user, "id")
	a.get("/Schemas/"+url.QueryEscape(scim.UserURN)).is(scim.UserURN, "id")
}

// What is gone is gone: its id opens nothing, here or elsewhere, and is never made again.
func TestIDsAreNeverUsedAgain(t *testing.T) {
	t.Parallel()
	w := newTwo(t)
	body := userBody("anna@alpha.example", object{"externalId": "e-1"})
	first := w.alpha.request("POST", "/Users", body).want(201).id()
	account := w.alpha.account(first).ID
	group := w.alpha.group("crew", "", first)
	w.alpha.request("DELETE", "/Users/"+first, nil).want(204)
	body["id"] = first
	again := w.alpha.request("POST", "/Users", body).want(201).id()
	switch {
	case again == first:
		t.Error("the id of a deleted user was used again")
	case w.alpha.account(again).ID != account:
		t.Error("the person did not get the account they had")
	}
	w.bravo.request("POST", "/Users", body).want(201)
	for _, tn := range []*tenant{w.alpha, w.bravo} {
		for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
			tn.request(method, "/Users/"+first, bodyFor(method, "/Users/x")).want(404)
		}
	}
	w.alpha.get(filtered("/Users", `id eq "`+first+`"`)).is("0", "totalResults")
	w.alpha.request("PATCH", "/Groups/"+group, patch(op("add", "members", members(first)))).want(400, "invalidValue")
	// The new user has nothing of the old one's.
	w.alpha.get("/Users/"+again).is("", "groups")
	if got := w.alpha.members(group); len(got) > 0 {
		t.Errorf("the group has members %v", got)
	}
}
