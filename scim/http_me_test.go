package scim_test

import (
	"errors"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
)

// session signs an account in and returns the secret of the session.
func (s *server) session(account directory.ID) string {
	s.Helper()
	secret := auth.NewSessionSecret()
	must(s.svc.CreateSession(s.Context(), operator, directory.SessionInput{AccountID: account, Hash: secret.Hash}))
	return "Bearer " + secret.Text
}

// member makes a user who has access to an environment, and a session of theirs.
func (t *tenant) member(name string) (user, session string) {
	t.Helper()
	user = t.user(name)
	if group := t.get(filtered("/Groups", `externalId eq "sync"`)); group.len("Resources") == 0 {
		t.environment("production", "sync")
		t.group("crew", "sync", user)
	} else {
		t.patch("/Groups/"+group.text("Resources", 0, "id"), op("add", "members", members(user))).want(204)
	}
	return user, t.session(t.account(user).ID)
}

func TestMe(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha")
	user, anna := a.member("anna")
	_, boris := a.member("boris")
	me := func(method, path string, body any, headers ...string) *answer {
		t.Helper()
		return a.request(method, path, body, append([]string{"Authorization", anna}, headers...)...)
	}
	path := s.url + "/scim/alpha/v2/Users/" + user
	full := me("GET", "/Me", nil).want(200)
	full.is(user, "id")
	full.is("anna", "userName")
	full.is(path, "meta", "location")
	full.hasHeader("Content-Location", path)
	full.hasHeader("Location", path)
	if string(full.body) != string(a.get("/Users/"+user).body) {
		full.errorf("not the User itself")
	}
	a.request("GET", "/Me", nil, "Authorization", boris).want(200).is("boris", "userName")
	me("GET", "/Me/", nil).want(200).is(user, "id")
	part := me("GET", "/Me?attributes=userName", nil).want(200)
	part.is("anna", "userName")
	part.is("", "active")
	tag := full.header.Get("ETag")
	me("GET", "/Me", nil, "If-None-Match", tag).want(304)
	if head := me("HEAD", "/Me", nil).want(200); len(head.body) > 0 || head.header.Get("ETag") != tag {
		head.errorf("not that of GET")
	}
	me("OPTIONS", "/Me", nil).want(204).hasHeader("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	me("TRACE", "/Me", nil).want(405, "")
	me("GET", "/Me", nil, "Accept", "text/html").want(406, "")

	before := len(a.lines())
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		me(method, "/Me", bodyFor(method, "/Me")).want(403, "")
		me(method, "/Me", raw("{")).want(403, "")
	}
	if string(a.get("/Users/"+user).body) != string(full.body) || len(a.lines()) != before {
		t.Error("a refused write left something behind")
	}
	// It opens nothing else, and no other way of sending it opens this.
	for _, p := range append(paths(user), "/Me/x", "/me", "/Nothing", "", "/Users/Me") {
		for _, method := range allMethods {
			if p != "/Me" {
				me(method, p, bodyFor(method, p)).want(401, "")
			}
		}
	}
	secret := anna[len("Bearer "):]
	a.request("GET", "/Me", nil, "Authorization", "", "Cookie", auth.SessionCookie+"="+secret).want(401)
	a.request("GET", "/Me?access_token="+secret, nil, "Authorization", "").want(401)
	for _, header := range []string{"Session " + secret, secret, anna[:len(anna)-1], anna + "x", "Bearer " + auth.NewSessionSecret().Text} {
		got := a.request("GET", "/Me", nil, "Authorization", header).want(401, "")
		other := a.request("GET", "/Users", nil, "Authorization", header).want(401)
		got.sameAs(other, nil, nil)
	}
	a.request("GET", "/Users/"+user, nil).want(200)
}

// The token of a directory stands for no user.
func TestMeOfADirectory(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha")
	a.user("anna")
	client := a.oauth("client-1")
	access := "Bearer " + a.opens(a.ask(grant(), "Authorization", basic(client.clientID, client.secret)))
	for _, authorization := range []string{"Bearer " + a.token, access} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
			got := a.request(method, "/Me", bodyFor(method, "/Users"), "Authorization", authorization).want(501)
			got.is("", "scimType")
		}
	}
	a.get("/Users").is("1", "totalResults")
	if text := s.log.String(); text != "" {
		t.Errorf("what is not offered is no failure of the server: %s", text)
	}
	// A server without sign-in has nobody to ask.
	b := newServer(t, func(c *scim.Config) { c.People = nil }).tenant("alpha")
	_, anna := b.member("anna")
	b.request("GET", "/Me", nil, "Authorization", anna).want(401, "")
	b.request("GET", "/Me", nil).want(501, "")
}

func TestMeEnds(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a, b := s.tenant("alpha"), s.tenant("bravo")
	get := func(session string, status int) *answer {
		t.Helper()
		return a.request("GET", "/Me", nil, "Authorization", session).want(status)
	}
	// With the access, however it ends, at once.
	for name, end := range map[string]func(user string){
		"inactive": func(user string) { a.patch("/Users/"+user, op("replace", "active", false)).want(200) },
		"deleted":  func(user string) { a.request("DELETE", "/Users/"+user, nil).want(204) },
		"out of the group": func(user string) {
			group := a.get(filtered("/Groups", `externalId eq "sync"`)).text("Resources", 0, "id")
			a.patch("/Groups/"+group, op("remove", "members", members(user))).want(204)
		},
	} {
		user, session := a.member(name)
		get(session, 200)
		end(user)
		got := get(session, 401)
		got.is("the session has ended: sign in again", "detail")
		got.hasHeader("WWW-Authenticate", `Bearer realm="scim", error="invalid_token"`)
	}
	// By signing out; and by time.
	user, session := a.member("anna")
	must(s.svc.EndSessions(t.Context(), operator, a.account(user).ID, directory.ID{}, directory.EndedSignOut))
	get(session, 401)
	_, session = a.member("late")
	get(session, 200)
	s.clock.Advance(directory.SessionLife)
	get(session, 401)

	// Another tenant is not there, as for any token; nor does the answer tell whether it is.
	_, session = a.member("boris")
	nobody := a.request("GET", "/scim/nobody/v2/Me", nil, "Authorization", session).want(404)
	a.request("GET", "/scim/bravo/v2/Me", nil, "Authorization", session).want(404).sameAs(nobody, nil, nil)
	if len(b.lines()) > 0 {
		t.Error("the other tenant's log tells of it")
	}
	// Lines of failures are written in order: one of a person would stand before that of the token.
	before := len(a.lines())
	a.request("GET", "/scim/elsewhere/v2/Users", nil).want(404)
	for _, line := range a.waitLines(before + 1) {
		if line.TargetType == "Tenant" && line.TargetID != "elsewhere" {
			t.Errorf("a person wrote a line of the provisioning log: %s", line.TargetID)
		}
	}
	// Somebody whom no directory manages has no User.
	account := must(s.svc.CreateOperator(t.Context(), operator, "ina@bizzstream.example", "Ina"))
	internal := s.session(account.ID)
	detail := get(internal, 404).text("detail")
	if detail != "no directory manages this account, so there is no User of it" {
		t.Error(detail)
	}
	a.request("GET", "/scim/nobody/v2/Me", nil, "Authorization", internal).want(404).is(detail, "detail")
}

// What people ask for is bounded, and takes nothing from their directory.
func TestMeIsThrottled(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha", scimOptions(directory.SCIMOptions{RequestsPerSecond: 25, Burst: 30}))
	_, session := a.member("anna")
	_, other := a.member("bert")
	s.clock.Advance(10 * time.Second)
	for range 25 {
		a.request("GET", "/Me", nil, "Authorization", session).want(200)
	}
	a.request("GET", "/Me", nil, "Authorization", session).want(429, "").hasHeader("Retry-After", "1")
	a.request("GET", "/Me", nil, "Authorization", other).want(200) // whom nobody else holds up
	a.set(func(r *directory.Tenant) { r.SCIM.RequestsPerSecond = 40 })
	a.request("GET", "/Me", nil, "Authorization", session).want(429, "") // whatever settings change
	a.set(func(r *directory.Tenant) { r.SCIM.RequestsPerSecond = 25 })
	for range 30 {
		a.get("/Users?count=0")
	}
	a.get429("/Users")
	s.clock.Advance(time.Second)
	a.request("GET", "/Me", nil, "Authorization", session).want(200)
}

func TestMeWithAFailedStore(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha")
	_, session := a.member("anna")
	s.store.fail(errors.New("input/output error"), nil)
	got := a.request("GET", "/Me", nil, "Authorization", session)
	// What cannot be a secret of ours is known without a look.
	a.request("GET", "/Me", nil, "Authorization", "Bearer x").want(401, "")
	a.request("GET", "/Me", nil, "Authorization", session[:len(session)-1]).want(401, "")
	s.store.fail(nil, nil)
	if got.status != 500 && got.status != 503 {
		got.errorf("not a failure")
	}
	a.request("GET", "/Me", nil, "Authorization", session).want(200)
}
