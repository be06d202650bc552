package scim_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
)

// belongs lists the groups that an answer says a user is in: name and type, sorted, each as often as it is there.
func belongs(got *answer) []string {
	out := []string{}
	for i := range got.len("groups") {
		out = append(out, got.text("groups", i, "display")+" "+got.text("groups", i, "type"))
		id := got.text("groups", i, "value")
		if ref := got.text("groups", i, "$ref"); !strings.HasPrefix(ref, "http://") || !strings.HasSuffix(ref, "/scim/alpha/v2/Groups/"+id) {
			got.errorf("$ref %q", ref)
		}
	}
	slices.Sort(out)
	return out
}

// A user's groups are those that hold the user and those that hold these, at any depth and each once; they follow
// every change, and with them the entity tag.
func TestIndirectGroups(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	anna, boris := a.user("anna"), a.user("boris")
	crew := a.group("crew", "", anna)
	deck := a.group("deck", "", anna, boris)
	ship := a.group("ship", "", crew, deck) // reached twice
	fleet := a.group("fleet", "", ship)
	last := ""
	check := func(step string, want ...string) {
		t.Helper()
		for _, path := range []string{"/Users/" + anna, "/Users/" + anna + "?attributes=groups"} {
			got := a.get(path)
			if seen := belongs(got); !slices.Equal(seen, append([]string{}, want...)) {
				got.errorf("%s: groups are %q, want %q", step, seen, want)
			}
		}
		listed := a.get(filtered("/Users", `userName eq "anna"`))
		listed.doc = listed.at("Resources", 0)
		if seen := belongs(listed); !slices.Equal(seen, append([]string{}, want...)) {
			listed.errorf("%s: in a list groups are %q, want %q", step, seen, want)
		}
		tag := a.get("/Users/" + anna).header.Get("ETag")
		if tag == last {
			t.Errorf("%s: the entity tag %s is that of before", step, tag)
		}
		last = tag
		a.request("GET", "/Users/"+anna, nil, "If-None-Match", tag).want(304)
	}
	check("at first", "crew direct", "deck direct", "fleet indirect", "ship indirect")
	a.patch("/Groups/"+fleet, op("replace", "displayName", "armada")).want(204)
	check("a group above is renamed", "armada indirect", "crew direct", "deck direct", "ship indirect")
	a.patch("/Groups/"+fleet, op("add", "members", members(anna))).want(204)
	check("direct wins", "armada direct", "crew direct", "deck direct", "ship indirect")
	a.patch("/Groups/"+fleet, op("remove", `members[value eq "`+anna+`"]`)).want(204)
	a.patch("/Groups/"+ship, op("remove", `members[type eq "Group" and value eq "`+deck+`"]`)).want(204)
	a.patch("/Groups/"+crew, op("remove", "members", members(anna))).want(204)
	check("out of the branch", "deck direct")
	a.request("PUT", "/Groups/"+fleet, groupBody("armada", object{"members": members(ship, deck)})).want(200)
	check("another way up", "armada indirect", "deck direct")
	top := a.request("POST", "/Groups", groupBody("navy", object{"members": members(fleet)})).want(201).id()
	check("a new group on top", "armada indirect", "deck direct", "navy indirect")
	a.request("DELETE", "/Groups/"+fleet, nil).want(204)
	check("the group between is deleted", "deck direct")
	a.patch("/Groups/"+deck, op("replace", "externalId", "x")).want(204) // it is alone again, and says so
	a.patch("/Groups/"+top, op("add", "members", members(deck))).want(204)
	check("and in another one after that", "deck direct", "navy indirect")

	for filter, want := range map[string][]string{
		`groups.value eq "` + top + `"`:                          {anna, boris},
		`groups[type eq "indirect" and display eq "navy"]`:       {anna, boris},
		`groups[type eq "direct" and value eq "` + top + `"]`:    {},
		`groups[type eq "indirect" and value eq "` + deck + `"]`: {},
	} {
		got := a.get(filtered("/Users", filter))
		slices.Sort(want)
		if seen := got.values("id", "Resources"); !slices.Equal(seen, append([]string{}, want...)) {
			got.errorf("%s: %q, want %q", filter, seen, want)
		}
	}
	only := a.get("/Users/" + anna + "?attributes=" + `groups%5Btype%20eq%20%22indirect%22%5D.display`)
	if only.len("groups") != 1 || only.text("groups", 0) != `{"display":"navy"}` {
		only.errorf("the indirect groups alone")
	}
	if got := a.get("/Users/" + anna + "?excludedAttributes=groups.$ref,groups.value"); got.text("groups", 0, "value") != "" || got.len("groups") != 2 {
		got.errorf("groups without value and $ref")
	}

	// Members are the direct ones, whatever is above.
	if got := a.members(top); !slices.Equal(got, []string{deck}) {
		t.Errorf("members of the group on top: %v", got)
	}
}

// Access comes from direct membership alone, though groups tells of the others.
func TestIndirectGroupsGiveNoAccess(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	env := a.environment("production", "sync-1")
	anna := a.user("anna")
	crew := a.group("crew", "", anna)
	above := a.group("above", "sync-1", crew)
	got := a.get("/Users/" + anna)
	if seen := belongs(got); !slices.Equal(seen, []string{"above indirect", "crew direct"}) {
		got.errorf("groups %q", seen)
	}
	if state := a.access(a.account(anna).ID, env); state != "none" {
		t.Errorf("access %s", state)
	}
	a.patch("/Groups/"+above, op("add", "members", members(anna))).want(204)
	if state := a.access(a.account(anna).ID, env); state != "active" {
		t.Errorf("access of a direct member %s", state)
	}
}

// No group holds itself, however it is tried and however deep it would be.
func TestCyclesAreRefused(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	chain := []string{a.group("g0", "")}
	for i := 1; i < 30; i++ {
		chain = append(chain, a.group(fmt.Sprintf("g%d", i), "", chain[i-1]))
	}
	bottom, top := chain[0], chain[len(chain)-1]
	before := a.dump()
	for name, send := range map[string]func() *answer{
		"itself by PATCH":      func() *answer { return a.patch("/Groups/"+bottom, op("add", "members", members(bottom))) },
		"the top by add":       func() *answer { return a.patch("/Groups/"+bottom, op("add", "members", members(top))) },
		"the top by replace":   func() *answer { return a.patch("/Groups/"+bottom, op("replace", "members", members(top))) },
		"the top without path": func() *answer { return a.patch("/Groups/"+bottom, op("add", "", object{"members": members(top)})) },
		"the top by PUT": func() *answer {
			return a.request("PUT", "/Groups/"+bottom, groupBody("g0", object{"members": members(top)}))
		},
		"itself by PUT": func() *answer {
			return a.request("PUT", "/Groups/"+bottom, groupBody("g0", object{"members": members(bottom)}))
		},
		"one between, with one": func() *answer {
			return a.patch("/Groups/"+chain[3], op("add", "members", members(chain[1], chain[17])))
		},
	} {
		why := "cannot be a member: it contains this group"
		if strings.HasPrefix(name, "itself") {
			why = "cannot be a member of itself"
		}
		if got := send().want(400, "invalidValue"); !strings.Contains(got.text("detail"), why) {
			got.errorf("%s: the detail does not say why", name)
		}
	}
	after := a.dump()
	for table := range after {
		if !strings.HasPrefix(table, "log") && after[table] != before[table] {
			t.Errorf("%q changed", table)
		}
	}
}

// How far a write looks upwards is bounded; what a read shows is not cut.
func TestManyGroupsAbove(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	anna := a.user("anna")
	const above = 200
	crews := []string{a.group("crew 0", "", anna), a.group("crew 1", "", anna), a.group("crew 2", "", anna)}
	contain := func(name, group string) error {
		_, err := a.svc.CreateGroup(t.Context(), operator, a.id, directory.GroupInput{DisplayName: name, Schemas: []byte(`[]`), Attributes: []byte(`{}`)}, []directory.ID{parse(group)})
		return err
	}
	var wg sync.WaitGroup
	for worker := range 32 {
		wg.Go(func() {
			for i := worker; i < above*len(crews); i += 32 {
				if err := contain(fmt.Sprintf("above %d", i), crews[i%len(crews)]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	const tooDeep = "groups are nested too deeply: 200 groups may contain a group"
	// One more above it, or one below it, which would have one more than it has.
	a.request("POST", "/Groups", groupBody("one more", object{"members": members(crews[0])})).want(400, "invalidValue").is(tooDeep, "detail")
	a.patch("/Groups/"+crews[0], op("add", "members", members(a.group("below", "")))).want(400, "invalidValue").is(tooDeep, "detail")
	a.patch("/Groups/"+crews[0], op("add", "members", members(a.user("boris")))).want(204) // people are no groups
	// What is told of a user has its bound too.
	got := a.get("/Users/" + anna)
	direct := 0
	for i := range got.len("groups") {
		if got.at("groups", i, "type") == "direct" {
			direct++
		}
	}
	if got.len("groups") != len(crews)+500 || direct != len(crews) {
		t.Errorf("%d groups, %d of them direct", got.len("groups"), direct)
	}
}

// A change walks what contains each group that joins: there are not too many of these, in whatever request.
func TestManyGroupsJoin(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	var all []string
	for i := range 1001 {
		g := must(a.svc.CreateGroup(t.Context(), operator, a.id, directory.GroupInput{DisplayName: fmt.Sprintf("group %d", i), Schemas: []byte(`[]`), Attributes: []byte(`{}`)}, nil))
		all = append(all, g.ID.String())
	}
	crew := a.group("crew", "")
	a.request("PUT", "/Groups/"+crew, groupBody("crew", object{"members": members(all...)})).want(400, "invalidValue").is("1000 groups at most can become members at a time", "detail")
	if a.get("/Groups/"+crew).at("members") != nil {
		t.Error("some joined")
	}
	a.request("PUT", "/Groups/"+crew, groupBody("crew", object{"members": members(all[:1000]...)})).want(200)
}
