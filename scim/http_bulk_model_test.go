package scim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/scim"
)

// bulkCase is one tenant of the model: the same people and groups, known by their handles. Handles in braces
// stand for ids, in operations and in what is compared.
type bulkCase struct {
	*tenant
	ids map[string]string // handle -> id
}

func newBulkCase(s *server) *bulkCase {
	c := &bulkCase{tenant: s.tenant(s.unique("model")), ids: map[string]string{}}
	for _, name := range []string{"u0", "u1", "u2"} {
		c.ids["{"+name+"}"] = c.user(name)
	}
	c.ids["{g0}"] = c.group("g0", "", c.ids["{u0}"], c.ids["{u1}"])
	c.ids["{g1}"] = c.group("g1", "", c.ids["{g0}"])
	return c
}

// fill puts ids in the place of handles.
func (c *bulkCase) fill(v any) (out any) {
	text := string(must(json.Marshal(v)))
	for handle, id := range c.ids {
		text = strings.ReplaceAll(text, handle, id)
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		panic(err)
	}
	return out
}

// state is everything of the tenant, by names.
func (c *bulkCase) state(tb testing.TB) map[string]string {
	names := map[string]string{}
	users := c.requestAs(tb, "GET", "/Users?count=200", nil).want(200)
	groups := c.requestAs(tb, "GET", "/Groups?count=200", nil).want(200)
	for i := range users.len("Resources") {
		names[users.text("Resources", i, "id")] = "user " + users.text("Resources", i, "userName")
	}
	for i := range groups.len("Resources") {
		names[groups.text("Resources", i, "id")] = "group " + groups.text("Resources", i, "displayName")
	}
	all := func(a *answer, path ...any) string {
		list := a.values("value", path...)
		for i := range list {
			list[i] = names[list[i]]
		}
		slices.Sort(list)
		return strings.Join(list, ", ")
	}
	out := map[string]string{}
	for i := range users.len("Resources") {
		at := func(path ...any) string { return users.text(append([]any{"Resources", i}, path...)...) }
		manager := at(scim.EnterpriseURN, "manager", "value")
		if name := names[manager]; name != "" {
			manager = name
		} else if manager != "" {
			manager = "somebody who is gone"
		}
		out[names[at("id")]] = fmt.Sprintf("title %s, active %s, manager %s, groups %s", at("title"), at("active"), manager, all(users, "Resources", i, "groups"))
	}
	for i := range groups.len("Resources") {
		out[names[groups.text("Resources", i, "id")]] = "members " + all(groups, "Resources", i, "members")
	}
	return out
}

// rapidTB is a property at work, for what wants a test.
type rapidTB struct {
	testing.TB
	rapid *rapid.T
}

func (t rapidTB) Helper() { t.rapid.Helper() }
func (t rapidTB) Errorf(format string, args ...any) {
	t.rapid.Helper()
	t.rapid.Errorf(format, args...)
}
func (t rapidTB) Fatalf(format string, args ...any) {
	t.rapid.Helper()
	t.rapid.Fatalf(format, args...)
}

// modelOp is an operation with what the model must know of it.
type modelOp struct {
	object
	refs []int  // operations that it names by bulkId; what is no creation is no reference
	on   string // the resource that it changes, by handle
}

// anyBulk draws operations on what a bulkCase holds and on what the bulk itself creates.
func anyBulk(t *rapid.T) (ops []*modelOp) {
	kinds := rapid.SliceOfN(rapid.IntRange(0, 12), 1, 12).Draw(t, "kinds")
	n := len(kinds)
	var creations []int
	for i, kind := range kinds {
		if kind <= 4 {
			creations = append(creations, i)
		}
	}
	for i, kind := range kinds {
		o := &modelOp{}
		// one names a resource: a known one, or what any operation of the bulk creates, also none.
		one := func(known ...string) string {
			k := rapid.IntRange(0, n-1).Draw(t, "any operation")
			switch wish := rapid.IntRange(0, 9).Draw(t, "reference"); {
			case wish < 5 && len(creations) > 0:
				k = rapid.SampledFrom(creations).Draw(t, "creation")
			case wish < 9:
				return rapid.SampledFrom(known).Draw(t, "known")
			}
			o.refs = append(o.refs, k)
			return ref(strconv.Itoa(k))
		}
		several := func() object {
			list := []object{}
			for range rapid.IntRange(0, 3).Draw(t, "members") {
				list = append(list, object{"value": one("{u0}", "{u1}", "{u2}", "{g0}", "{g1}")})
			}
			return object{"members": list}
		}
		user := func() object {
			body := userBody(rapid.SampledFrom([]string{"u0", "u2", "a", "b", fmt.Sprint("user", i)}).Draw(t, "userName"))
			if rapid.Bool().Draw(t, "with a manager") {
				maps.Copy(body, managedBy(one("{u0}", "{u1}")))
			}
			return body
		}
		group := func() object {
			return groupBody(rapid.SampledFrom([]string{"g0", "k", "l", fmt.Sprint("group", i)}).Draw(t, "displayName"), several())
		}
		path := func(collection string, known ...string) string {
			o.on = one(known...)
			return collection + "/" + o.on
		}
		switch kind {
		case 0, 1, 2:
			o.object = bulkOp("POST", "/Users", user())
		case 3, 4:
			o.object = bulkOp("POST", "/Groups", group())
		case 5:
			o.object = bulkOp("PUT", path("/Users", "{u0}", "{u1}"), user())
		case 6:
			o.object = bulkOp("PATCH", path("/Users", "{u0}", "{u1}", "{u2}"), patch(op("replace", "title", fmt.Sprint("t", i)), op("replace", "active", rapid.Bool().Draw(t, "active"))))
		case 7:
			o.object = bulkOp("PATCH", path("/Users", "{u1}", "{u2}"), patch(op("add", scim.EnterpriseURN+":manager", one("{u0}"))))
		case 8:
			o.object = bulkOp("DELETE", path("/Users", "{u1}", "{u2}"), nil)
		case 9:
			verb := rapid.SampledFrom([]string{"add", "remove", "replace"}).Draw(t, "verb")
			o.object = bulkOp("PATCH", path("/Groups", "{g0}", "{g1}"), patch(op(verb, "members", several()["members"])))
		case 10:
			o.object = bulkOp("PATCH", path("/Groups", "{g0}", "{g1}"), patch(op("remove", `members[value eq "`+one("{u0}", "{u1}")+`"]`)))
		case 11:
			o.object = bulkOp("PUT", path("/Groups", "{g0}", "{g1}"), group())
		case 12:
			o.object = bulkOp("DELETE", path("/Groups", "{g0}", "{g1}"), nil)
		}
		o.object["bulkId"] = strconv.Itoa(i)
		if rapid.IntRange(0, 14).Draw(t, "outdated") == 7 {
			o.object["version"] = `W/"777"`
		}
		ops = append(ops, o)
	}
	return ops
}

// order is the rule of the model for who comes next: each time the first operation of the request before which
// nothing has to be done, or creations that need one another, in the place of the last of them.
func order(ops []*modelOp) (turns [][]int) {
	reach := make([][]bool, len(ops)) // by references to creations
	broken := make([]bool, len(ops))  // refers to nothing: fails, and nobody waits for it in vain
	for i, o := range ops {
		reach[i] = make([]bool, len(ops))
		for _, k := range o.refs {
			if ops[k].object["method"] == "POST" {
				reach[i][k] = true
			} else {
				broken[i] = true
			}
		}
	}
	for k := range ops {
		for i := range ops {
			for j := range ops {
				reach[i][j] = reach[i][j] || reach[i][k] && reach[k][j]
			}
		}
	}
	done := make([]bool, len(ops))
	ready := func(i int) bool {
		for k := range ops {
			circle := reach[i][k] && reach[k][i]
			switch {
			case done[k]:
			case circle && k > i, reach[i][k] && !circle:
				return false
			case circle:
				for j := range ops { // what the others of the circle wait for
					if reach[k][j] && !reach[j][k] && !done[j] {
						return false
					}
				}
			case k < i && !broken[i] && !broken[k] && ops[i].on != "" && ops[k].on == ops[i].on:
				return false
			}
		}
		return true
	}
	for {
		i := 0
		for i < len(ops) && (done[i] || !ready(i)) {
			i++
		}
		if i == len(ops) {
			return turns
		}
		turn := []int{}
		for k := range ops {
			if k == i || reach[i][k] && reach[k][i] {
				turn, done[k] = append(turn, k), true
			}
		}
		turns = append(turns, turn)
	}
}

// What a bulk leaves is what its operations that were answered with 2xx leave one by one, in a valid order; what
// they leave is all there is. Without failures that is the whole of it.
func TestBulkModel(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var asked, succeeded, circles int
	rapid.Check(t, func(r *rapid.T) {
		t := rapidTB{s, r}
		together, alone := newBulkCase(s), newBulkCase(s)
		ops := anyBulk(r)
		var body []object
		for _, o := range ops {
			body = append(body, o.object)
		}
		limit := rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3}).Draw(r, "failOnErrors")
		got := together.requestAs(t, "POST", "/Bulk", together.fill(bulkBody(body, failAfter(limit)))).want(200)
		good, failed, last := map[int]bool{}, 0, -1
		for i := range got.len("Operations") {
			n := must(strconv.Atoi(got.text("Operations", i, "bulkId")))
			if n <= last {
				got.errorf("not in the order of the request")
			}
			last = n
			good[n] = got.text("Operations", i, "status") < "300"
			if !good[n] {
				failed++
			}
		}
		if limit == 0 && got.len("Operations") != len(ops) || limit > 0 && failed < limit && got.len("Operations") != len(ops) {
			got.errorf("not all were tried")
		}
		turns := order(ops)
		if n := len(slices.Concat(turns...)); n != len(ops) {
			t.Fatalf("the model does %d of %d operations", n, len(ops))
		}
		for _, turn := range turns {
			asked++
			later := map[string]object{}
			for _, i := range turn {
				if !good[i] {
					continue
				}
				succeeded++
				o := maps.Clone(ops[i].object)
				method, path := o["method"].(string), o["path"].(string)
				if len(turn) > 1 || slices.Contains(ops[i].refs, i) { // a circle: first all of it, then who refers to whom
					circles++
					data := maps.Clone(o["data"].(object))
					link := object{}
					for _, name := range []string{scim.EnterpriseURN, "members"} {
						if v, ok := data[name]; ok {
							link[name] = v
							delete(data, name)
						}
					}
					later[path+"/"+ref(strconv.Itoa(i))] = link
					o["data"] = data
				}
				a := alone.requestAs(t, method, alone.fill(path).(string), alone.fill(o["data"]))
				if a.status >= 300 {
					t.Fatalf("%v is answered with %d %s, in a bulk with 2xx:\n%s", o, a.status, a.body, got.body)
				}
				if method == "POST" {
					alone.ids[ref(strconv.Itoa(i))+`"`] = a.id() + `"`
					alone.ids[ref(strconv.Itoa(i))+`\"`] = a.id() + `\"`
				}
			}
			for path, link := range later {
				if a := alone.requestAs(t, "PATCH", alone.fill(path).(string), alone.fill(patch(op("add", "", link)))); a.status >= 300 {
					a.errorf("refused")
				}
			}
		}
		if diff := cmp.Diff(alone.state(t), together.state(t)); diff != "" {
			t.Fatalf("one by one (-) and in a bulk (+):\n%s\n%s\n%s", diff, must(json.MarshalIndent(body, "", " ")), got.body)
		}
	})
	t.Logf("%d turns, %d operations succeeded, %d of them in circles", asked, succeeded, circles)
	if succeeded == 0 || circles == 0 {
		t.Errorf("%d operations succeeded, %d of them in circles", succeeded, circles)
	}
}
