package scim_test

import (
	"slices"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
)

// Every way in which a directory can take somebody's access ends it, and the sessions, before the
// answer leaves.
func TestDeactivation(t *testing.T) {
	t.Parallel()
	only := func(id string) string { return `members[value eq "` + id + `"]` }
	for _, x := range []struct {
		name string
		do   func(a *tenant, user, group, other string) *answer
	}{
		{"PATCH active", func(a *tenant, user, _, _ string) *answer {
			return a.patch("/Users/"+user, op("replace", "active", false))
		}},
		{"PATCH active in Entra's words", func(a *tenant, user, _, _ string) *answer {
			return a.patch("/Users/"+user, op("Replace", "active", "False"))
		}},
		{"PATCH active in lower case", func(a *tenant, user, _, _ string) *answer {
			return a.patch("/Users/"+user, op("replace", "ACTIVE", "false"))
		}},
		{"PATCH add active", func(a *tenant, user, _, _ string) *answer { return a.patch("/Users/"+user, op("Add", "active", false)) }},
		{"PATCH active in a list", func(a *tenant, user, _, _ string) *answer {
			return a.patch("/Users/"+user, op("replace", "active", []any{object{"value": "False"}}))
		}},
		{"PATCH active with its schema", func(a *tenant, user, _, _ string) *answer {
			return a.patch("/Users/"+user, op("replace", scim.UserURN+":active", false))
		}},
		{"PATCH without path", func(a *tenant, user, _, _ string) *answer {
			return a.patch("/Users/"+user, op("replace", "", object{"active": false}))
		}},
		{"PATCH without path, as a string", func(a *tenant, user, _, _ string) *answer {
			return a.patch("/Users/"+user, op("Add", "", object{"displayName": "x", "active": "False"}))
		}},
		{"PATCH beside what is unknown", func(a *tenant, user, _, _ string) *answer {
			return a.patch("/Users/"+user, op("Replace", "nosuch", "x"), op("Replace", "active", "False"), op("Add", "urn:x:y:2.0:User:z", "1"))
		}},
		{"PATCH one operation that is no list", func(a *tenant, user, _, _ string) *answer {
			return a.request("PATCH", "/Users/"+user, object{"Operations": op("Replace", "active", "False")})
		}},
		{"PUT active", func(a *tenant, user, _, _ string) *answer {
			return a.request("PUT", "/Users/"+user, userBody("anna", object{"active": false}))
		}},
		{"PUT active as a string", func(a *tenant, user, _, _ string) *answer {
			return a.request("PUT", "/Users/"+user, userBody("anna", object{"active": "False"}))
		}},
		{"DELETE", func(a *tenant, user, _, _ string) *answer { return a.request("DELETE", "/Users/"+user, nil) }},
		{"member removed", func(a *tenant, user, group, _ string) *answer {
			return a.patch("/Groups/"+group, op("Remove", "members", members(user)))
		}},
		{"member removed by filter", func(a *tenant, user, group, _ string) *answer {
			return a.patch("/Groups/"+group, op("remove", only(user)))
		}},
		{"members removed by type", func(a *tenant, _, group, _ string) *answer {
			return a.patch("/Groups/"+group, op("remove", `members[type eq "User"]`))
		}},
		{"all members removed", func(a *tenant, _, group, _ string) *answer { return a.patch("/Groups/"+group, op("remove", "members")) }},
		{"members replaced", func(a *tenant, _, group, other string) *answer {
			return a.patch("/Groups/"+group, op("replace", "members", members(other)))
		}},
		{"members replaced without path", func(a *tenant, _, group, other string) *answer {
			return a.patch("/Groups/"+group, op("replace", "", object{"members": members(other)}))
		}},
		{"members replaced by none", func(a *tenant, _, group, _ string) *answer {
			return a.patch("/Groups/"+group, op("replace", "members", []int{}))
		}},
		{"PUT without the member", func(a *tenant, _, group, other string) *answer {
			return a.request("PUT", "/Groups/"+group, groupBody("crew", object{"externalId": "sync-1", "members": members(other)}))
		}},
		{"PUT with no members", func(a *tenant, _, group, _ string) *answer {
			return a.request("PUT", "/Groups/"+group, groupBody("crew", object{"externalId": "sync-1", "members": []int{}}))
		}},
		{"PUT with members null", func(a *tenant, _, group, _ string) *answer {
			return a.request("PUT", "/Groups/"+group, groupBody("crew", object{"externalId": "sync-1", "members": nil}))
		}},
		{"group deleted", func(a *tenant, _, group, _ string) *answer { return a.request("DELETE", "/Groups/"+group, nil) }},
		{"group is another one", func(a *tenant, _, group, _ string) *answer {
			return a.patch("/Groups/"+group, op("replace", "externalId", "sync-9"))
		}},
		{"group without externalId by PUT", func(a *tenant, _, group, _ string) *answer {
			return a.request("PUT", "/Groups/"+group, groupBody("crew"))
		}},
	} {
		test := func(t *testing.T, inBulk bool) {
			s := newServer(t)
			a := s.tenant("alpha")
			env := a.environment("production", "sync-1")
			user, other := a.user("anna"), a.user("zoe")
			group := a.group("crew", "sync-1", user)
			account := a.account(user).ID
			sessions := [][32]byte{s.signIn(account), s.signIn(account)}
			if s.access(account, env) != "active" || !s.signedIn(sessions[0]) {
				t.Fatal("no access to take away")
			}
			a.inBulk = inBulk
			got := x.do(a, user, group, other)
			if got.status != 200 && got.status != 204 {
				got.errorf("refused")
			}
			if state := s.access(account, env); state != "inactive" {
				got.errorf("the access is %s", state)
			}
			for _, session := range sessions {
				if s.signedIn(session) {
					got.errorf("a session lives on")
				}
			}
			if got.status == 200 && got.text("meta", "resourceType") == "User" {
				got.is("false", scim.AccessURN, "environments", 0, "active")
			}
			lines := a.lines()
			line := lines[len(lines)-1]
			if !slices.ContainsFunc(line.Accesses, func(e directory.AccessEffect) bool {
				return e.AccountID == account && e.EnvironmentID == env && e.Effect == directory.Deactivated
			}) || line.Sessions != 2 {
				t.Errorf("the line of the log says accesses %v, %d sessions ended", line.Accesses, line.Sessions)
			}
			if _, err := s.svc.CreateSession(t.Context(), operator, directory.SessionInput{AccountID: account, Hash: [32]byte{1}}); directory.KindOf(err) != directory.Forbidden || err == nil {
				t.Errorf("sign-in without an access: %v", err)
			}
		}
		t.Run(x.name, func(t *testing.T) { test(t, false) })
		t.Run(x.name+", in a bulk", func(t *testing.T) { test(t, true) })
	}
}

// A second way in keeps the person in; coming back brings the access, not the session.
func TestAccessByTwoGroups(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha")
	production, test := a.environment("production", "sync-1", "sync-2"), a.environment("test", "sync-2")
	user := a.user("anna")
	one, two := a.group("one", "sync-1", user), a.group("two", "sync-2", user)
	account := a.account(user).ID
	session := s.signIn(account)
	state := func(p, q string, signedIn bool) {
		t.Helper()
		if s.access(account, production) != p || s.access(account, test) != q || s.signedIn(session) != signedIn {
			t.Errorf("production %s, test %s, signed in %v; want %s, %s, %v", s.access(account, production), s.access(account, test), s.signedIn(session), p, q, signedIn)
		}
	}
	a.patch("/Groups/"+one, op("remove", "members", members(user))).want(204)
	state("active", "active", true)
	a.patch("/Groups/"+one, op("add", "members", members(user))).want(204)
	a.patch("/Groups/"+two, op("remove", "members", members(user))).want(204)
	state("active", "inactive", true)
	a.patch("/Users/"+user, op("replace", "active", false)).want(200)
	state("inactive", "inactive", false)
	a.patch("/Groups/"+two, op("add", "members", members(user))).want(204)
	state("inactive", "inactive", false)
	a.patch("/Users/"+user, op("replace", "active", true)).want(200)
	state("active", "active", false)
	// A rename of the person reaches the accesses, and of the group nobody's.
	a.patch("/Users/"+user, op("replace", "displayName", "Anna B.")).want(200)
	a.patch("/Groups/"+two, op("replace", "displayName", "Prod-Admins")).want(204)
	state("active", "active", false)
	s.view(func(sn *directory.Snapshot) error {
		x, err := sn.Access(account, test)
		if err == nil && x.Name != "Anna B." {
			t.Errorf("the access has the name %q", x.Name)
		}
		return err
	})
}

// A PATCH that is refused takes nothing away and gives nothing.
func TestRefusedPatchLeavesAccess(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha")
	env := a.environment("production", "sync-1")
	in, out := a.user("in"), a.user("out")
	group := a.group("crew", "sync-1", in)
	session := s.signIn(a.account(in).ID)
	a.patch("/Groups/"+group, op("remove", "members", members(in)), op("add", "members", members(out)), op("add", "members", members(unknownID))).want(400)
	a.patch("/Users/"+in, op("replace", "active", false), op("replace", "id", "x")).want(400)
	a.request("PATCH", "/Users/"+in, patch(op("replace", "active", false)), "If-Match", `W/"9"`).want(412)
	if s.access(a.account(in).ID, env) != "active" || s.access(a.account(out).ID, env) != "none" || !s.signedIn(session) {
		t.Error("a refused PATCH changed an access")
	}
}

// Push that says once more what a pull has said makes it push's: a pull does not undo it.
func TestActiveSaidAfterAPull(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha")
	env := a.environment("production", "sync-1")
	byPull := func(user string) bool {
		var is bool
		s.view(func(sn *directory.Snapshot) (err error) {
			is, err = sn.DisabledByPull(a.id, parse(user))
			return err
		})
		return is
	}
	disabled := func() string {
		id := a.user(s.unique("ada"))
		var u *directory.User
		var e *directory.Environment
		s.view(func(sn *directory.Snapshot) (err error) {
			if u, err = sn.User(a.id, parse(id)); err != nil {
				return err
			}
			e, err = sn.Environment(env)
			return err
		})
		run := &directory.Run{ID: s.newID(), EnvironmentID: env, TenantID: a.id, State: directory.RunRunning}
		if err := s.svc.SaveRun(t.Context(), run, nil); err != nil {
			t.Fatal(err)
		}
		resources := must(scim.NewResources(&directory.Tenant{ID: a.id}))
		no := false
		must(s.svc.Repair(t.Context(), directory.RepairScope{Run: run, Integration: e.Integration, Watch: must(s.svc.Watch(t.Context()))},
			[]directory.Repair{{Item: directory.PlanItem{Number: 1, UserID: u.ID}, Version: u.Version, Update: func(before *directory.User) (directory.UserInput, error) {
				return resources.User(before, directory.Overrides{Active: &no})
			}}}))
		if !byPull(id) {
			t.Fatal("the pull did not disable")
		}
		return id
	}
	for name, test := range map[string]struct {
		push func(id string)
		want bool // still the pull's
	}{
		"PATCH of active":          {func(id string) { a.patch("/Users/"+id, op("replace", "active", false)).want(200) }, false},
		"PATCH as a legacy string": {func(id string) { a.patch("/Users/"+id, op("Replace", "active", "False")).want(200) }, false},
		"PATCH without a path":     {func(id string) { a.patch("/Users/"+id, op("replace", "", object{"active": false})).want(200) }, false},
		"PATCH of something else":  {func(id string) { a.patch("/Users/"+id, op("replace", "title", "x")).want(200) }, true},
		"PUT that says it": {func(id string) {
			a.request("PUT", "/Users/"+id, userBody(a.get("/Users/"+id).text("userName"), object{"active": false})).want(200)
		}, false},
		"PUT that does not say it": {func(id string) {
			a.request("PUT", "/Users/"+id, userBody(a.get("/Users/"+id).text("userName"))).want(200)
		}, true},
	} {
		id := disabled()
		test.push(id)
		if got := byPull(id); got != test.want {
			t.Errorf("%s: the pull's: %v, want %v", name, got, test.want)
		}
	}
}
