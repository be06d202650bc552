package scim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
)

// tell is a line of the log in short.
func tell(e *directory.LogEvent) string {
	s := fmt.Sprintf("%s %s %s %s", e.Status, e.Action, e.TargetType, e.TargetName)
	for _, c := range e.Changes {
		s += fmt.Sprintf(" %s:%s>%s", c.Name, c.Old, c.New)
	}
	for _, x := range e.Accesses {
		s += " " + x.Effect
	}
	for _, w := range e.Warnings {
		s += " (" + w + ")"
	}
	if e.Sessions > 0 {
		s += fmt.Sprintf(" %d sessions", e.Sessions)
	}
	return s
}

// Every write has its line, of what it did.
func TestLogOfWrites(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha")
	env := a.environment("production", "sync-1")
	seen := 0
	line := func(want string) *directory.LogEvent {
		t.Helper()
		all := a.lines()
		if len(all) != seen+1 {
			t.Fatalf("the log has %d lines, want %d", len(all), seen+1)
		}
		seen++
		if diff := cmp.Diff(want, tell(all[seen-1])); diff != "" {
			t.Errorf("line %d (-want +got):\n%s", seen, diff)
		}
		return all[seen-1]
	}
	tokenID := func() (id string) {
		s.view(func(sn *directory.Snapshot) error {
			all, err := sn.Tokens(a.id, directory.SecretToken)
			id = all[0].ID.String()
			return err
		})
		return id
	}()

	user := a.request("POST", "/Users", userBody("anna", object{"externalId": "e-1", "nosuch": "secret-value"}), "X-Request-Id", "r-1").want(201).id()
	e := line(`warning create User anna externalId:>"e-1" userName:>"anna" active:>true (nosuch: unknown attribute)`)
	if e.Actor.Role != directory.RoleDirectory || e.Actor.Channel != "scim" || e.Actor.ID != tokenID || e.Actor.RequestID != "r-1" || e.Actor.Address != "127.0.0.1" {
		t.Errorf("actor %+v", e.Actor)
	}
	if e.TargetID != user || e.ExternalID != "e-1" || !e.Time.Equal(s.clock.Now()) {
		t.Errorf("line %+v", e)
	}
	group := a.group("crew", "sync-1", user)
	line(`success create Group crew externalId:>"sync-1" displayName:>"crew" members:>["` + user + `"] granted`)
	s.signIn(a.account(user).ID)
	a.patch("/Users/"+user, op("replace", "title", "x"), op("replace", "active", "False")).want(200)
	line(`success disable User anna title:>"x" active:true>false deactivated 1 sessions`)
	a.patch("/Users/"+user, op("replace", "active", true)).want(200)
	line(`success enable User anna active:false>true reactivated`)
	a.request("PUT", "/Users/"+user, userBody("anna", object{"title": "y"})).want(200)
	line(`success update User anna title:"x">"y" externalId:"e-1">`)
	a.patch("/Groups/"+group, op("remove", "members", members(user))).want(204)
	line(`success update Group crew members:["` + user + `"]> deactivated`)
	a.patch("/Groups/"+group, op("replace", "displayName", "crew 2"), op("add", "members", members(user)), op("add", "nosuch", "x")).want(204)
	line(`warning update Group crew 2 displayName:"crew">"crew 2" members:>["` + user + `"] reactivated (nosuch: unknown attribute)`)
	a.patch("/Users/"+user, op("replace", "nosuch", "x")).want(200) // nothing but a warning
	line(`warning update User anna (nosuch: unknown attribute)`)
	a.patch("/Users/"+user, op("replace", "title", "y")).want(200) // nothing
	a.request("DELETE", "/Users/"+user, nil).want(204)
	line(`success delete User anna deactivated`)
	a.request("DELETE", "/Groups/"+group, nil).want(204)
	line(`success delete Group crew 2`)

	n := 0
	s.view(func(sn *directory.Snapshot) error {
		return sn.EnvironmentLog(env, 0, false, func(e *directory.LogEvent) bool {
			if len(e.Accesses) == 0 {
				t.Errorf("a line of the environment without an access: %s", tell(e))
			}
			n++
			return true
		})
	})
	if n != 6 {
		t.Errorf("the log of the environment has %d lines, want 6", n)
	}
}

// A line says with which status its request was answered, whatever the tenant's settings and the request make of that.
func TestLogKnowsTheAnswer(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*directory.Tenant){
		"as it is made": func(*directory.Tenant) {},
		"the other way": func(t *directory.Tenant) { t.SCIM.UserPatchNoContent, t.SCIM.GroupPatchContent = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			a := s.tenant("alpha", set)
			answered := func(want int) {
				t.Helper()
				all := a.lines()
				if e := all[len(all)-1]; e.Actor.Answer != want {
					t.Errorf("line %d, %s %s: answered with %d, not with %d", len(all), e.Actor.Method, e.TargetType, e.Actor.Answer, want)
				}
			}
			user, group := a.user("anna"), a.group("crew", "")
			answered(201)
			for _, x := range []struct {
				method, path string
				body         any
			}{
				{"PATCH", "/Users/" + user, patch(op("replace", "title", "1"))},
				{"PATCH", "/Users/" + user + "?attributes=title", patch(op("replace", "title", "2"))},
				{"PATCH", "/Groups/" + group, patch(op("replace", "displayName", "1"))},
				{"PATCH", "/Groups/" + group + "?attributes=displayName", patch(op("replace", "displayName", "2"))},
				{"PUT", "/Users/" + user, userBody("anna", object{"title": "3"})},
				{"PUT", "/Groups/" + group, groupBody("3")},
				{"DELETE", "/Users/" + user, nil},
				{"DELETE", "/Groups/" + group, nil},
			} {
				answered(a.request(x.method, x.path, x.body).status)
			}
		})
	}
}

// A request that failed has a line too, with what the client was told.
func TestLogOfFailures(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a, b := s.tenant("alpha"), s.tenant("bravo")
	user := a.user("anna")
	group := a.group("crew", "")
	seen := 2
	for _, x := range []struct {
		method, path string
		body         any
		status       int
		want         string // line, then detail
		detail       string
	}{
		{"POST", "/Users", userBody("ANNA"), 409, "create User ANNA", "uniqueness"},
		{"POST", "/Users", object{}, 400, "create User ", "userName is required"},
		{"POST", "/Users", raw("{"), 400, "create User ", "not valid JSON"},
		{"POST", "/Users?count=1&count=2", userBody("zoe"), 400, "create User ", "given twice"},
		{"POST", "/Groups", groupBody("x", object{"members": members(unknownID)}), 400, "create Group x", "does not exist"},
		{"PUT", "/Users/" + unknownID, userBody("x"), 404, "update User ", "not found"},
		{"PATCH", "/Users/" + user, patch(op("replace", "id", "x")), 400, "update User anna", "read-only"},
		{"PATCH", "/Users/" + user, patch(op("remove", "userName")), 400, "update User anna", "required"},
		{"PATCH", "/Groups/" + group, patch(op("add", "members", members(unknownID))), 400, "update Group crew", "does not exist"},
		{"DELETE", "/Users/" + unknownID, nil, 404, "delete User ", "not found"},
		{"DELETE", "/Groups/x", nil, 404, "delete Group ", "not found"},
		{"PATCH", "/Groups/" + unknownID, patch(op("remove", "members")), 404, "update Group ", "not found"},
	} {
		a.request(x.method, x.path, x.body, "X-Request-Id", "r-7").want(x.status)
		all := a.waitLines(seen + 1)
		e := all[seen]
		seen = len(all)
		if got := tell(e); got != "failure "+x.want || !strings.Contains(e.Detail, x.detail) || !strings.Contains(e.Detail, fmt.Sprint(x.status)) {
			t.Errorf("%s %s: line %q with detail %q", x.method, x.path, got, e.Detail)
		}
		if e.Actor.RequestID != "r-7" || e.Actor.Channel != "scim" {
			t.Errorf("actor %+v", e.Actor)
		}
		if _, id, ok := strings.Cut(x.path[1:], "/"); ok && e.TargetID != id {
			t.Errorf("%s %s: target id %q", x.method, x.path, e.TargetID)
		}
	}
	for _, path := range []string{"/Users/" + unknownID, "/Users?filter=x", "/Nothing"} { // reads leave no line
		a.request("GET", path, nil)
	}
	a.request("POST", "/Users", userBody("anna")).want(409)
	if all := a.waitLines(seen + 1); len(all) != seen+1 {
		t.Errorf("the log has %d lines, want %d", len(all), seen+1)
	}
	if n := len(b.lines()); n != 0 {
		t.Errorf("the other tenant's log has %d lines", n)
	}
}

// What a client sends does not swell a line of the log without bound, nor break it.
func TestLogLinesAreBounded(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha")
	long := strings.Repeat("x", 500_000)
	a.request("POST", "/Users", userBody(long)).want(400)
	a.request("POST", "/Groups", groupBody(long)).want(400)
	a.request("PATCH", "/Users/"+strings.Repeat("x", 8000), patch()).want(404)
	a.request("DELETE", "/Groups/"+strings.Repeat("x", 8000), nil).want(404)
	user := a.user("anna")
	a.request("PATCH", "/Users/"+user, patch(op("replace", long, "x"))).want(400)
	a.request("POST", "/Users", userBody("a\n{\"level\":\"info\"}", object{"displayName": "\u001b[2J\u202eevil"})).want(400)
	var unknown []object
	for range 100 {
		unknown = append(unknown, op("add", a.unique(strings.Repeat("n", 100)), "x"))
	}
	a.patch("/Users/"+user, unknown...).want(200)
	a.waitLines(8)
	for k, v := range a.dump() {
		if strings.HasPrefix(k, "log\x00") && len(v) > 8000 {
			t.Errorf("a line of %d bytes: %.200s", len(v), v)
		}
	}
	for line := range strings.Lines(s.log.String()) {
		if !strings.HasPrefix(line, "{") || strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\n\x1b") {
			t.Errorf("log line %q", line)
		}
	}
}

// Of a large value a line tells the size alone.
func TestLogOfLargeValues(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	list := func(attribute, member, word string) object {
		var all []object
		for n := range 200 {
			all = append(all, object{member: fmt.Sprintf("%s%03d@fjord.example", word, n), "type": "other"})
		}
		return object{attribute: all}
	}
	stored := func(user, attribute string) (value string) {
		a.view(func(sn *directory.Snapshot) error {
			u, err := sn.User(a.id, parse(user))
			if err == nil {
				var attributes map[string]json.RawMessage
				err = json.Unmarshal(u.Attributes, &attributes)
				value = string(attributes[attribute])
			}
			return err
		})
		return value
	}
	size := func(value string) string {
		if len(value) <= 4096 {
			t.Fatalf("%d bytes are not large", len(value))
		}
		return fmt.Sprintf(`"(%d bytes)"`, len(value))
	}
	line := func(want string) {
		t.Helper()
		all := a.lines()
		if diff := cmp.Diff(want, tell(all[len(all)-1])); diff != "" {
			t.Errorf("line (-want +got):\n%s", diff)
		}
	}
	user := a.user("anna", list("emails", "value", "old"))
	emails := size(stored(user, "emails"))
	line(`success create User anna userName:>"anna" active:>true emails:>` + emails)
	a.request("PUT", "/Users/"+user, userBody("anna", list("emails", "value", "newer"), list("addresses", "streetAddress", "x"), object{"title": "y"})).want(200)
	newer, addresses := size(stored(user, "emails")), size(stored(user, "addresses"))
	if newer == emails {
		t.Fatal("the sizes cannot be told apart")
	}
	line(`success update User anna title:>"y" emails:` + emails + ">" + newer + " addresses:>" + addresses)
	a.patch("/Users/"+user, op("remove", "emails")).want(200)
	line(`success update User anna emails:` + newer + ">")

	// 4,096 bytes, of which two are quotes, are told; one more is not.
	boats := strings.Repeat("\U0001f6a2", 1023) // 4 bytes each
	fits, large := boats+"\u00e9", boats+"\u20ac"
	a.patch("/Users/"+user, op("replace", "title", fits)).want(200)
	line(`success update User anna title:"y">"` + fits + `"`)
	a.patch("/Users/"+user, op("replace", "title", large)).want(200)
	line(`success update User anna title:"` + fits + `">"(4097 bytes)"`)
	a.get("/Users/"+user).is(large, "title")
	for k, v := range a.dump() {
		if strings.HasPrefix(k, "log\x00") && len(v) > 10_000 {
			t.Errorf("a line of %d bytes: %.200s", len(v), v)
		}
	}
}

// What failed before the end is in the log, however the end comes.
func TestQueuedFailuresAreWritten(t *testing.T) {
	t.Parallel()
	var config scim.Config
	s := newServer(t, func(c *scim.Config) { config = *c })
	a := s.tenant("alpha")
	handler := scim.NewHandler(config) // another one, that nobody runs yet
	const failures = 40
	for n := range failures {
		r := httptest.NewRequest("POST", "/scim/alpha/v2/Users", strings.NewReader(`{}`))
		r.Header.Set("Authorization", "Bearer "+a.token)
		r.Header.Set("Content-Type", "application/scim+json")
		r.Header.Set("X-Request-Id", fmt.Sprint("r-", n))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != 400 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if n := len(a.lines()); n != 0 {
		t.Fatalf("%d lines before Run", n)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	handler.Run(ctx, func(err error) { t.Errorf("reported: %v", err) })
	all := a.lines()
	if len(all) != failures {
		t.Fatalf("%d lines are written, want %d", len(all), failures)
	}
	for n, e := range all {
		if tell(e) != "failure create User " || e.Actor.RequestID != fmt.Sprint("r-", n) {
			t.Errorf("line %d: %s of %s", n, tell(e), e.Actor.RequestID)
		}
	}
}

// Tokens and secrets are in no log, no error and not in the store.
func TestNothingSecretIsKept(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.tenant("alpha").oauth("entra")
	access := c.opens(c.ask(grant("client_id", "entra", "client_secret", c.secret)))
	secrets := []string{c.token, c.secret, access, "Passw0rd-Passw0rd"}
	session := auth.NewSecret()
	secrets = append(secrets, session.Text)

	var answers []*answer
	for _, secret := range secrets {
		for _, path := range []string{"/Users", "/Nothing", "/Users/" + unknownID, filtered("/Users", "x")} {
			answers = append(answers, c.request("GET", path, nil, "Authorization", "Bearer "+secret), c.request("GET", path, nil, "Authorization", "Bearer "+secret+"x"))
		}
		answers = append(answers, c.ask(grant("client_id", "entra", "client_secret", secret+"x")), c.ask(grant(), "Authorization", basic("entra", secret+"x")),
			c.ask(grant("client_id", secret, "client_secret", secret)), c.request("POST", "/Users", userBody("x", object{"password": secret, "active": "maybe"})))
	}
	s.store.fail(errDisk, errDisk)
	for _, secret := range secrets {
		answers = append(answers, c.request("GET", "/Users", nil, "Authorization", "Bearer "+secret), c.ask(grant("client_id", "entra", "client_secret", secret)))
	}
	s.store.fail(nil, nil)
	a := c.tenant
	a.waitLines(1)
	everything := s.log.String() + string(must(os.ReadFile(s.path)))
	for k, v := range s.dump() {
		everything += k + v
	}
	for _, secret := range secrets {
		if strings.Contains(everything, secret) {
			t.Errorf("%.8s... is in the log or in the store", secret)
		}
		for _, got := range answers {
			if strings.Contains(string(got.body)+fmt.Sprint(got.header), secret) && got.text("access_token") != secret {
				got.errorf("the answer holds a secret")
			}
		}
	}
	if !strings.Contains(s.log.String(), "input/output error") {
		t.Error("the log does not say what failed")
	}
}

// When the store fails the client learns that, and the request id; the operator learns why.
func TestFailedStore(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha")
	user := a.user("anna")
	group := a.group("crew", "", user)
	writes := []struct {
		method, path string
		body         any
	}{{"POST", "/Users", userBody("new")}, {"PUT", "/Users/" + user, userBody("anna", object{"title": "x"})}, {"PATCH", "/Users/" + user, patch(op("replace", "title", "x"))},
		{"DELETE", "/Users/" + user, nil}, {"POST", "/Groups", groupBody("new")}, {"PUT", "/Groups/" + group, groupBody("x")},
		{"PATCH", "/Groups/" + group, patch(op("remove", "members"))}, {"DELETE", "/Groups/" + group, nil}}
	reads := []string{"/Users", "/Users/" + user, filtered("/Users", `title pr`), filtered("/Users", `userName eq "anna"`), "/Groups", "/Groups/" + group, "/ServiceProviderConfig"}
	before := s.dump()
	for _, x := range []struct {
		err    error
		status int
	}{{errDisk, 500}, {directory.ErrDamaged, 500}, {directory.ErrFailed, 503}, {fmt.Errorf("commit: %w", directory.ErrFailed), 503}, {errors.New("panic: " + a.token), 500}} {
		check := func(got *answer) {
			t.Helper()
			got.want(x.status, "")
			want := "the server failed; the request was not carried out (request r-42)"
			if x.status == 503 {
				want = "the server cannot do this now; try again later (request r-42)"
				got.hasHeader("Retry-After", "5")
			}
			got.is(want, "detail")
		}
		s.store.fail(nil, x.err)
		for _, r := range writes {
			check(a.request(r.method, r.path, r.body, "X-Request-Id", "r-42"))
		}
		for _, path := range reads {
			a.get(path) // who only reads is served
		}
		s.store.fail(x.err, nil)
		for _, path := range reads {
			check(a.request("GET", path, nil, "X-Request-Id", "r-42"))
		}
		s.store.fail(nil, nil)
	}
	a.get("/Users/" + user)
	for k, v := range s.dump() {
		if before[k] != v && !strings.HasPrefix(k, "log\x00") && !strings.HasPrefix(k, "tokens\x00") {
			t.Errorf("a failed write left %q", k)
		}
	}
	if !strings.Contains(s.log.String(), `"requestId":"r-42"`) || !strings.Contains(s.log.String(), "input/output error") {
		t.Error("the log does not say what failed")
	}
}

// The table of the domain's errors is whole: each kind reads as it should.
func TestErrorKinds(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha")
	want := map[directory.ErrorKind]struct {
		status   int
		scimType string
	}{
		directory.Internal: {500, ""}, directory.Invalid: {400, "invalidValue"}, directory.NotFound: {404, ""}, directory.Exists: {409, "uniqueness"},
		directory.Conflict: {409, ""}, directory.ReadOnly: {400, "mutability"}, directory.Unauthorized: {401, ""}, directory.Forbidden: {403, ""},
		directory.RateLimited: {429, ""}, directory.Unavailable: {503, ""},
	}
	if len(want) != directory.ErrorKinds {
		t.Errorf("%d kinds are tested of %d", len(want), directory.ErrorKinds)
	}
	for n := range directory.ErrorKinds {
		kind := directory.ErrorKind(n)
		s.store.fail(nil, fmt.Errorf("update: %w", &directory.Error{Kind: kind, Field: "title", Detail: "what the caller may know", Err: errDisk}))
		got := a.request("POST", "/Users", userBody("anna")).want(want[kind].status, want[kind].scimType)
		if shown := got.text("detail") == "what the caller may know"; shown != (want[kind].status < 500) {
			got.errorf("kind %s: detail", kind)
		}
		if kind == directory.RateLimited && got.header.Get("Retry-After") == "" {
			got.errorf("429 without Retry-After")
		}
		if strings.Contains(string(got.body), "disk") || strings.Contains(string(got.body), "srv") {
			got.errorf("kind %s: the answer tells what is inside", kind)
		}
	}
}
