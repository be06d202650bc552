package scim_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
)

// together runs n functions at once.
func together(n int, fn func(i int)) {
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	wg.Wait()
}

// Entra adds members one by one, in parallel: none of them is lost.
func TestParallelMembers(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.tenant("alpha")
	env := a.environment("production", "sync-1")
	ids, _ := a.people(160)
	group := a.group("crew", "sync-1")
	together(160, func(i int) {
		if i%2 == 0 {
			a.patch("/Groups/"+group, op("Add", "members", []object{{"$ref": nil, "value": ids[i]}})).want(204)
		} else {
			a.patch("/Groups/"+group, op("add", "", object{"members": members(ids[i])})).want(204)
		}
	})
	if got := a.members(group); !slices.Equal(got, ids) {
		t.Errorf("%d members, want 160", len(got))
	}
	a.get("/Groups/"+group).is(`W/"161"`, "meta", "version")
	var active int64
	count := func() {
		s.view(func(sn *directory.Snapshot) (err error) {
			active, err = sn.EnvironmentAccessCount(env, true)
			return err
		})
	}
	if count(); active != 160 {
		t.Errorf("%d active accesses, want 160", active)
	}
	together(160, func(i int) {
		switch {
		case i%4 == 0: // stays
		case i%2 == 0:
			a.patch("/Groups/"+group, op("Remove", "members", members(ids[i]))).want(204)
		default:
			a.patch("/Groups/"+group, op("remove", `members[value eq "`+ids[i]+`"]`)).want(204)
		}
	})
	if n := len(a.members(group)); n != 40 {
		t.Errorf("%d members, want 40", n)
	}
	if count(); active != 40 {
		t.Errorf("%d active accesses, want 40", active)
	}
}

func TestParallelCreates(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	for _, path := range []string{"/Users", "/Groups"} {
		var made, refused atomic.Int64
		together(40, func(i int) {
			name := "Same.Name"
			if i%2 == 0 {
				name = strings.ToUpper(name)
			}
			body := userBody(name)
			if path == "/Groups" {
				body = groupBody(name)
			}
			switch got := a.request("POST", path, body); got.status {
			case 201:
				made.Add(1)
			case 409:
				got.is("uniqueness", "scimType")
				refused.Add(1)
			default:
				got.errorf("neither 201 nor 409")
			}
		})
		if made.Load() != 1 || refused.Load() != 39 {
			t.Errorf("%s: %d were made, %d refused", path, made.Load(), refused.Load())
		}
		a.get(path).is("1", "totalResults")
	}
}

// Only one of several conditional writes on the same version succeeds.
func TestParallelConditions(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	user := a.user("anna")
	var done atomic.Int64
	together(20, func(i int) {
		switch got := a.request("PATCH", "/Users/"+user, patch(op("replace", "title", fmt.Sprint(i))), "If-Match", `W/"1"`); got.status {
		case 200:
			done.Add(1)
		case 412:
		default:
			got.errorf("neither 200 nor 412")
		}
	})
	if done.Load() != 1 {
		t.Errorf("%d writes on version 1 succeeded", done.Load())
	}
}

// Many writers do anything at once; what they leave fits together.
func TestParallelMix(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a, b := s.tenant("alpha", withExtension), s.tenant("bravo")
	synced := []string{"sync-0", "sync-1"}
	env := a.environment("production", synced...)
	outsider := b.user("outsider")
	users, _ := a.people(12)
	var groups []string
	for i := range 4 {
		groups = append(groups, a.group(fmt.Sprint("group", i), fmt.Sprint("sync-", i)))
	}
	var mu sync.Mutex
	pick := func(list *[]string) string {
		mu.Lock()
		defer mu.Unlock()
		return (*list)[rand.IntN(len(*list))]
	}
	keep := func(list *[]string, got *answer) {
		if got.status == 201 {
			mu.Lock()
			defer mu.Unlock()
			*list = append(*list, got.id())
		}
	}
	rounds := 60
	if testing.Short() {
		rounds = 20
	}
	together(12, func(worker int) {
		for round := range rounds {
			user, group := pick(&users), pick(&groups)
			var got *answer
			switch rand.IntN(14) {
			case 0:
				got = a.request("POST", "/Users", userBody(fmt.Sprintf("new-%d-%d", worker, round)))
				keep(&users, got)
			case 1:
				got = a.request("POST", "/Users", userBody(fmt.Sprint("shared-", round%7)))
				keep(&users, got)
			case 2:
				got = a.request("DELETE", "/Users/"+user, nil)
			case 3:
				got = a.patch("/Users/"+user, op("Replace", "active", "False"))
			case 4:
				got = a.patch("/Users/"+user, op("replace", "", object{"active": true, "title": fmt.Sprint(round)}))
			case 5:
				got = a.patch("/Users/"+user, op("replace", "userName", fmt.Sprint("shared-", round%7)))
			case 6:
				got = a.request("PUT", "/Users/"+user, userBody(fmt.Sprintf("put-%d-%d", worker, round%5), object{"emails": []object{{"value": fmt.Sprint(round%5, "@x.example")}}}))
			case 7, 8, 9:
				got = a.patch("/Groups/"+group, op("add", "members", members(user, pick(&users))))
			case 10:
				got = a.patch("/Groups/"+group, op("remove", "members", members(user)))
			case 11:
				got = a.request("PUT", "/Groups/"+group, groupBody(fmt.Sprint("renamed", round%9), object{"externalId": fmt.Sprint("sync-", round%4), "members": members(user)}))
			case 12:
				if got = a.request("POST", "/Groups", groupBody(fmt.Sprintf("g-%d-%d", worker, round), object{"externalId": fmt.Sprint("sync-", round%4), "members": members(user)})); got.status == 201 {
					keep(&groups, got)
				}
			case 13:
				if round%3 == 0 {
					got = a.request("DELETE", "/Groups/"+group, nil)
				} else {
					got = a.patch("/Groups/"+group, op("add", "members", members(pick(&groups))))
				}
			}
			if got != nil && !slices.Contains([]int{200, 201, 204, 400, 404, 409}, got.status) {
				got.errorf("not an answer that the mix can give")
			}
			if got := a.get("/Groups?count=200"); got.status == 200 { // readers see whole things
				for i := range got.len("Resources") {
					for j := range got.len("Resources", i, "members") {
						if got.text("Resources", i, "members", j, "display") == "" {
							got.errorf("a member without a name")
						}
					}
				}
			}
		}
	})
	a.wantConsistent(env, synced)
	b.get("/Users").is(outsider, "Resources", 0, "id")
}

// everything lists all resources, page by page.
func (t *tenant) everything(path string) *answer {
	t.Helper()
	all := []any{}
	for start := 1; ; start += 50 {
		got := t.get(fmt.Sprintf("%s?startIndex=%d&count=50", path, start))
		page, _ := got.at("Resources").([]any)
		all = append(all, page...)
		if len(page) < 50 {
			if got.text("totalResults") != fmt.Sprint(len(all)) {
				got.errorf("%d resources were listed", len(all))
			}
			return &answer{t: t, what: "all " + path, doc: object{"all": all}}
		}
	}
}

// wantConsistent checks what holds of users, groups, members, indexes and accesses together.
func (t *tenant) wantConsistent(env directory.ID, synced []string) {
	t.Helper()
	users, groups := t.everything("/Users"), t.everything("/Groups")
	inverse := map[string][]string{} // member -> groups, as the groups say
	entitled := map[string]bool{}    // members of synced groups
	exists := map[string]bool{}      // every id
	for i := range groups.len("all") {
		exists[groups.text("all", i, "id")] = true
	}
	names := map[string]bool{}
	for i := range users.len("all") {
		exists[users.text("all", i, "id")] = true
		name := strings.ToLower(users.text("all", i, "userName"))
		if names[name] {
			t.Errorf("two users have the name %s", name)
		}
		names[name] = true
	}
	for i := range groups.len("all") {
		id := groups.text("all", i, "id")
		for _, m := range groups.values("value", "all", i, "members") {
			if !exists[m] {
				t.Errorf("group %s has the member %s, who does not exist", id, m)
			}
			inverse[m] = append(inverse[m], id)
			entitled[m] = entitled[m] || slices.Contains(synced, groups.text("all", i, "externalId"))
		}
		t.get(filtered("/Groups", `displayName eq "`+groups.text("all", i, "displayName")+`"`)).is(id, "Resources", 0, "id")
	}
	granted := 0
	for i := range users.len("all") {
		id := users.text("all", i, "id")
		slices.Sort(inverse[id])
		above := slices.Clone(inverse[id]) // those that the user is in directly, then those that these are in
		for j := 0; j < len(above); j++ {
			for _, g := range inverse[above[j]] {
				if !slices.Contains(above, g) {
					above = append(above, g)
				}
			}
		}
		slices.Sort(above)
		if got := users.values("value", "all", i, "groups"); !slices.Equal(got, append([]string{}, above...)) {
			t.Errorf("user %s says it is in %v, the groups say %v", id, got, above)
		}
		active := users.text("all", i, "active") == "true"
		state := t.access(t.account(id).ID, env)
		if want := active && entitled[id]; want != (state == "active") {
			t.Errorf("user %s: active %v, in a synced group %v, and the access is %s", id, active, entitled[id], state)
		}
		if state == "active" {
			granted++
		}
		if shown := strings.Contains(users.text("all", i, scim.AccessURN), `"active":true`); shown != (state == "active") {
			t.Errorf("user %s shows %s, the access is %s", id, users.text("all", i, scim.AccessURN), state)
		}
		t.get(filtered("/Users", `userName eq "`+users.text("all", i, "userName")+`"`)).is(id, "Resources", 0, "id")
	}
	var active int64
	t.view(func(sn *directory.Snapshot) (err error) {
		active, err = sn.EnvironmentAccessCount(env, true)
		return err
	})
	if int(active) != granted {
		t.Errorf("%d accesses are active, of the users that there are %d", active, granted)
	}
}
