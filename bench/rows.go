package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// row is one line of the table, or two that are measured together.
type row struct {
	name string
	run  func(ctx context.Context, b *bench) ([]Result, error)
}

// rows are all rows, those that only read first.
var rows = []row{
	{"get/8", func(ctx context.Context, b *bench) ([]Result, error) { return b.getUser(ctx, 8) }},
	{"get/64", func(ctx context.Context, b *bench) ([]Result, error) { return b.getUser(ctx, 64) }},
	{"filter/8", func(ctx context.Context, b *bench) ([]Result, error) { return b.filterUser(ctx, 8) }},
	{"filter/64", func(ctx context.Context, b *bench) ([]Result, error) { return b.filterUser(ctx, 64) }},
	{"session/verify", verify},
	{"session/who", who},
	{"filter/scale", filterScale},
	{"page/8", listPage},
	{"page/deep", deepPage},
	{"scan/time", scanTime},
	{"scan/others", scanOthers},
	{"group/get", getGroup},
	{"group/1", func(ctx context.Context, b *bench) ([]Result, error) { return b.patchGroup(ctx, 1) }},
	{"group/64", func(ctx context.Context, b *bench) ([]Result, error) { return b.patchGroup(ctx, 64) }},
	{"create/1", createOne},
	{"create/64", createMany},
	{"patch/64", patchUsers},
	{"pull/read", pullRead},
	{"pull/unchanged", pullUnchanged},
	{"pull/changes", pullChanges},
	{"pull/first", pullFirst},
}

// side is one of the things that a row compares, at work for that long.
type side func(ctx context.Context, d time.Duration) (Measure, error)

// interleave measures every side in turn, and again from the first one on: A B A B. What disturbs
// the machine for a while disturbs both.
func (b *bench) interleave(ctx context.Context, sides ...side) ([][]Measure, error) {
	for _, s := range sides { // warm
		if _, err := s(ctx, b.time/4); err != nil {
			return nil, err
		}
	}
	if err := b.startProfile(b.server); err != nil {
		return nil, err
	}
	return b.repeated(ctx, sides...)
}

// repeated is interleave without the warming.
func (b *bench) repeated(ctx context.Context, sides ...side) ([][]Measure, error) {
	all := make([][]Measure, len(sides))
	for range b.repeat {
		for i, s := range sides {
			m, err := s(ctx, b.time)
			if err != nil {
				return nil, err
			}
			if m.Ops == 0 {
				return nil, fmt.Errorf("nothing was done in %s", b.time)
			}
			all[i] = append(all[i], m)
		}
	}
	return all, nil
}

func rate(m Measure) float64   { return m.rate() }
func millis(m Measure) float64 { return 1e3 / m.rate() } // of one connection
func p50us(m Measure) float64  { return float64(m.P50) / 1e3 }
func p99us(m Measure) float64  { return float64(m.P99) / 1e3 }

// reading has each connection of a pool send calls picked at random.
func reading(p pool, calls []*call, pace time.Duration) side {
	return func(ctx context.Context, d time.Duration) (Measure, error) {
		return p.load(ctx, d, func(worker int) source {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			return source{pace: pace, next: func() *call { return calls[random.IntN(len(calls))] }}
		})
	}
}

// againstH compares calls, learned before, on so many connections with floor H, which answers all
// of as many others as ours answers the call floorCall.
func (b *bench) againstH(ctx context.Context, r Result, conns int, calls []*call, floorCall *call) ([]Result, error) {
	ours, err := newPool(ctx, b.server.Address, conns)
	if err != nil {
		return nil, err
	}
	defer ours.close()
	if err := ours[0].do(floorCall); err != nil {
		return nil, err
	}
	answer := Answer{Header: http.Header{}, Body: ours[0].body}
	for line := range bytes.Lines(ours[0].head) {
		if k, v, ok := strings.Cut(strings.TrimSpace(string(line)), ": "); ok && k != "Date" { // net/http sends a Date by itself
			answer.Header[k] = append(answer.Header[k], v)
		}
	}
	if err := b.floor.call("SetAnswer", answer, new(bool)); err != nil {
		return nil, err
	}
	floor, err := newPool(ctx, b.floor.Address, conns)
	if err != nil {
		return nil, err
	}
	defer floor.close()
	same := make([]*call, len(calls))
	for i, k := range calls {
		same[i] = &call{raw: k.raw, status: floorCall.status, body: floorCall.body}
	}
	all, err := b.interleave(ctx, reading(ours, calls, 0), reading(floor, same, 0))
	if err != nil {
		return nil, err
	}
	r.FloorName = "H"
	r.Note = fmt.Sprintf("bodies of %d and %d bytes", len(calls[0].body), len(answer.Body))
	return []Result{r.compare("req/s", rate, all[0], all[1])}, nil
}

// learned makes the calls for n users of a tenant, picked at random, and learns their answers.
func (t *tenant) learned(ctx context.Context, n int, make func(user int) *call) ([]*call, error) {
	c, err := dial(ctx, t.b.server.Address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	random := rand.New(rand.NewPCG(2, 2))
	var calls []*call
	for range n {
		i := random.IntN(len(t.ids))
		k := make(i)
		err := c.learn(k, func(total int, all []resource) error {
			if total != 1 || len(all) != 1 || all[0].ID != t.ids[i] || all[0].UserName != userName(i)+"@bench.example" {
				return fmt.Errorf("wrong user: want %s", t.ids[i])
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		calls = append(calls, k)
	}
	return calls, nil
}

// different is how many different requests a reading row sends.
const different = 2000

func (t *tenant) getCalls(ctx context.Context) ([]*call, error) {
	return t.learned(ctx, different, func(i int) *call { return t.get("/Users/" + t.ids[i]) })
}

func (t *tenant) filterCalls(ctx context.Context) ([]*call, error) {
	return t.learned(ctx, different, func(i int) *call { return t.filter(`userName eq "`+userName(i)+`@bench.example"`, "") })
}

func (b *bench) getUser(ctx context.Context, conns int) ([]Result, error) {
	t, err := b.tenant(ctx, b.users)
	if err != nil {
		return nil, err
	}
	calls, err := t.getCalls(ctx)
	if err != nil {
		return nil, err
	}
	return b.againstH(ctx, Result{What: fmt.Sprintf("GET /Users/{id}, %d users, %d connections", b.users, conns), Goal: atLeast(0.72)}, conns, calls, calls[0])
}

func (b *bench) filterUser(ctx context.Context, conns int) ([]Result, error) {
	t, err := b.tenant(ctx, b.users)
	if err != nil {
		return nil, err
	}
	calls, err := t.filterCalls(ctx)
	if err != nil {
		return nil, err
	}
	return b.againstH(ctx, Result{What: fmt.Sprintf("filter userName eq, %d users, %d connections", b.users, conns), Goal: atLeast(0.68)}, conns, calls, calls[0])
}

// pageCall asks for a page of 100 users in the order of the list.
func (t *tenant) pageCall(ctx context.Context, start int) (*call, error) {
	c, err := dial(ctx, t.b.server.Address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	k := t.get(fmt.Sprintf("/Users?startIndex=%d&count=100", start))
	want := min(100, len(t.ids)-start+1)
	return k, c.learn(k, func(total int, all []resource) error {
		seen := map[string]bool{}
		for _, u := range all {
			seen[u.ID] = true
		}
		if total != len(t.ids) || len(seen) != want {
			return fmt.Errorf("wrong page: %d users of %d, want %d of %d", len(seen), total, want, len(t.ids))
		}
		return nil
	})
}

func listPage(ctx context.Context, b *bench) ([]Result, error) {
	t, err := b.tenant(ctx, b.users)
	if err != nil {
		return nil, err
	}
	k, err := t.pageCall(ctx, 1)
	if err != nil {
		return nil, err
	}
	r := Result{What: fmt.Sprintf("list page of 100 at 1, %d users, 8 connections", b.users)}
	same, err := b.againstH(ctx, r, 8, []*call{k}, k)
	if err != nil {
		return nil, err
	}
	// The goal is stated against H as everywhere: sending one user, not a hundred.
	get, err := t.getCalls(ctx)
	if err != nil {
		return nil, err
	}
	one, err := b.againstH(ctx, Result{What: "the same against H sending one user", Goal: atLeast(0.14)}, 8, []*call{k}, get[0])
	return append(same, one...), err
}

// alone compares two sets of calls to our server, one connection each, by their median latency.
func (b *bench) alone(ctx context.Context, r Result, first, second []*call) ([]Result, error) {
	p, err := newPool(ctx, b.server.Address, 1)
	if err != nil {
		return nil, err
	}
	defer p.close()
	all, err := b.interleave(ctx, reading(p, first, 0), reading(p, second, 0))
	if err != nil {
		return nil, err
	}
	return []Result{r.compare("us", p50us, all[0], all[1])}, nil
}

// million is the population that the goals of scale are stated for.
const million = 1_000_000

func filterScale(ctx context.Context, b *bench) ([]Result, error) {
	small, err := b.tenant(ctx, b.small)
	if err != nil {
		return nil, err
	}
	large, err := b.tenant(ctx, b.large)
	if err != nil {
		return nil, err
	}
	first, err := large.filterCalls(ctx)
	if err != nil {
		return nil, err
	}
	second, err := small.filterCalls(ctx)
	if err != nil {
		return nil, err
	}
	r := Result{What: fmt.Sprintf("filter userName eq, p50, %d users against %d", b.large, b.small), FloorName: fmt.Sprint(b.small)}
	return b.alone(ctx, r.scaled(b, atMost(1.3)), first, second)
}

func deepPage(ctx context.Context, b *bench) ([]Result, error) {
	t, err := b.tenant(ctx, b.large)
	if err != nil {
		return nil, err
	}
	start := b.large/10*9 + 1
	deep, err := t.pageCall(ctx, start)
	if err != nil {
		return nil, err
	}
	first, err := t.pageCall(ctx, 1)
	if err != nil {
		return nil, err
	}
	r := Result{What: fmt.Sprintf("list page of 100 at %d of %d against the first, p50", start, b.large), FloorName: "at 1"}
	return b.alone(ctx, r.scaled(b, atMost(1.3)), []*call{deep}, []*call{first})
}

// scaled sets a goal that is stated for a million users.
func (r Result) scaled(b *bench, g Goal) Result {
	r.Goal = g
	if b.large != million {
		r.Goal.Unjudged = true
		r.Note = "the goal is for 1000000 users: -large 1000000"
	}
	return r
}

// scanCall is the filter that no index answers.
func (t *tenant) scanCall(ctx context.Context) (*call, error) {
	c, err := dial(ctx, t.b.server.Address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	k, want := t.filter(rareFilter, "&count=10"), rare(len(t.ids))
	return k, c.learn(k, func(total int, all []resource) error {
		if total != want || len(all) != min(10, want) || all[0].Title != rareTitle {
			return fmt.Errorf("wrong page: %d users of %d, want %d", len(all), total, want)
		}
		return nil
	})
}

func scanTime(ctx context.Context, b *bench) ([]Result, error) {
	t, err := b.tenant(ctx, b.members)
	if err != nil {
		return nil, err
	}
	k, err := t.scanCall(ctx)
	if err != nil {
		return nil, err
	}
	p, err := newPool(ctx, b.server.Address, 1)
	if err != nil {
		return nil, err
	}
	defer p.close()
	all, err := b.interleave(ctx, reading(p, []*call{k}, 0))
	if err != nil {
		return nil, err
	}
	r := Result{What: fmt.Sprintf("filter %s over %d users", rareFilter, len(t.ids)), Goal: atMost(150)}
	return []Result{r.absolute("ms", millis, all[0])}, nil
}

func scanOthers(ctx context.Context, b *bench) ([]Result, error) {
	t, err := b.tenant(ctx, b.members)
	if err != nil {
		return nil, err
	}
	k, err := t.scanCall(ctx)
	if err != nil {
		return nil, err
	}
	others, err := t.getCalls(ctx)
	if err != nil {
		return nil, err
	}
	p, err := newPool(ctx, b.server.Address, 5)
	if err != nil {
		return nil, err
	}
	defer p.close()
	alone := reading(p[1:], others, 5*time.Millisecond)
	scan := reading(p[:1], []*call{k}, 0)
	beside := func(ctx context.Context, d time.Duration) (Measure, error) {
		ended := make(chan error, 1)
		go func() {
			_, err := scan(ctx, d)
			ended <- err
		}()
		m, err := alone(ctx, d)
		if scanErr := <-ended; err == nil {
			err = scanErr
		}
		return m, err
	}
	all, err := b.interleave(ctx, beside, alone)
	if err != nil {
		return nil, err
	}
	r := Result{What: "p99 of 800 GET/s, with that filter running against without", FloorName: "without", Goal: atMost(2)}
	return []Result{r.compare("us", p99us, all[0], all[1])}, nil
}

// floorBolt runs a floor on bbolt, which OpenBolt has opened.
func (b *bench) floorBolt(method string, workers int) side {
	return func(_ context.Context, d time.Duration) (m Measure, err error) {
		err = b.floor.call(method, Job{workers, d}, &m)
		return m, err
	}
}

// openFloor makes the file of the floors as large as ours is by now.
func (b *bench) openFloor(writes []Write) error {
	b.progress("filling the floor with %d rows a table", b.population())
	return b.floor.call("OpenBolt", Shape{writes, b.population(), b.users}, new(bool))
}

// together has a side note how many updates shared a commit on average, all its goes together.
func (b *bench) together(s side, average *string) side {
	var commits, updates uint64
	return func(ctx context.Context, d time.Duration) (Measure, error) {
		var before, after directory.StoreStats
		if err := b.server.call("Stats", true, &before); err != nil {
			return Measure{}, err
		}
		m, err := s(ctx, d)
		if err != nil {
			return m, err
		}
		if err := b.server.call("Stats", true, &after); err != nil {
			return m, err
		}
		commits, updates = commits+after.Commits-before.Commits, updates+after.Updates-before.Updates
		*average = fmt.Sprintf("%.1f a commit", float64(updates)/float64(max(1, commits)))
		return m, nil
	}
}

// creating has the connections of a pool create users in the tenant for that.
func creating(t *tenant, p pool, last *atomic.Int64) side {
	return func(ctx context.Context, d time.Duration) (Measure, error) {
		return p.load(ctx, d, func(int) source {
			return t.creator(func() int { return int(last.Add(1)) }, 1<<62).source
		})
	}
}

// create compares creating users on so many connections with floors, and checks their number. note
// tells what was written.
func (b *bench) create(ctx context.Context, conns int, floors ...side) (all [][]Measure, note string, err error) {
	if _, err := b.tenant(ctx, b.users); err != nil { // so that the first one is not made in an empty store
		return nil, "", err
	}
	t, err := b.newTenant(fmt.Sprintf("create-%d", conns))
	if err != nil {
		return nil, "", err
	}
	if err := b.openFloor(b.recorded.create); err != nil {
		return nil, "", err
	}
	p, err := newPool(ctx, b.server.Address, conns)
	if err != nil {
		return nil, "", err
	}
	defer p.close()
	var last atomic.Int64
	last.Store(-1)
	var average string
	all, err = b.interleave(ctx, append([]side{b.together(creating(t, p, &last), &average)}, floors...)...)
	if err != nil {
		return nil, "", err
	}
	created := int(last.Load()) + 1
	b.created += created
	return all, writesNote(b.recorded.create, average), t.checkTotal(p[0], created)
}

func writesNote(writes []Write, average string) string {
	return fmt.Sprintf("%d rows, %d bytes a request, %s", len(writes), size(writes), average)
}

func createOne(ctx context.Context, b *bench) ([]Result, error) {
	all, note, err := b.create(ctx, 1, b.floorBolt("One", 1))
	if err != nil {
		return nil, err
	}
	r := Result{What: "durable create, 1 connection", FloorName: "B1", Goal: atMost(1.3), Note: note}
	return []Result{r.compare("ms", millis, all[0], all[1])}, nil
}

func createMany(ctx context.Context, b *bench) ([]Result, error) {
	all, note, err := b.create(ctx, 64, b.floorBolt("Group", 64), b.floorBolt("One", 1))
	if err != nil {
		return nil, err
	}
	one := newStat(values(all[2], millis))
	r := Result{What: "durable create, 64 connections", FloorName: "BG", Goal: atLeast(0.6), Note: note}
	s := Result{What: "the same, by itself", Goal: atLeast(5300), Note: fmt.Sprintf("B1 %.2f ms", one.Median)}
	if one.Median < 0.6 || one.Median > 1.6 {
		s.Goal.Unjudged = true
		s.Note += ": the goal is for about 1 ms"
	}
	return []Result{r.compare("req/s", rate, all[0], all[1]), s.absolute("req/s", rate, all[0])}, nil
}

// patcher changes the title of users, to another text every time.
func (t *tenant) patcher(ids []string, next func() int) source {
	p := t.newTemplate("PATCH", "/Users/"+markID, patchHead+`{"op":"Replace","path":"title","value":"`+markTitle+`"}]}`, 200, markID, markTitle)
	return source{next: func() *call {
		n := next()
		p.set(markID, ids[mix(uint64(n))%uint64(len(ids))])
		p.set(markTitle, fmt.Sprintf("T%010x", n))
		p.has = p.raw[p.at[markTitle][0]:][:len(markTitle)]
		return &p.call
	}}
}

func patchUsers(ctx context.Context, b *bench) ([]Result, error) {
	t, err := b.tenant(ctx, b.users)
	if err != nil {
		return nil, err
	}
	if err := b.openFloor(b.recorded.patch); err != nil {
		return nil, err
	}
	p, err := newPool(ctx, b.server.Address, 64)
	if err != nil {
		return nil, err
	}
	defer p.close()
	var last atomic.Int64
	patching := func(ctx context.Context, d time.Duration) (Measure, error) {
		return p.load(ctx, d, func(int) source {
			return t.patcher(t.ids, func() int { return int(last.Add(1)) })
		})
	}
	var average string
	all, err := b.interleave(ctx, b.together(patching, &average), b.floorBolt("Group", 64))
	if err != nil {
		return nil, err
	}
	r := Result{What: fmt.Sprintf("PATCH of a title among %d users, 64 connections", b.users), FloorName: "BG", Goal: atLeast(0.6)}
	r.Note = writesNote(b.recorded.patch, average)
	return []Result{r.compare("req/s", rate, all[0], all[1])}, t.checkTotal(p[0], len(t.ids))
}

// group is a group on our server.
type group struct {
	t     *tenant
	id    string
	size  int
	extra []bool // per connection: whether it has its own member in the group
}

// extras is how many users of the tenant with groups are in none: one for each connection.
const extras = 64

// group makes a group of the first n users of the tenant with groups, or returns the one made before.
func (b *bench) group(ctx context.Context, n int) (*group, error) {
	if g := b.groups[n]; g != nil {
		return g, nil
	}
	t, err := b.tenant(ctx, b.members)
	if err != nil {
		return nil, err
	}
	if err := t.grow(ctx, b.members+extras); err != nil {
		return nil, err
	}
	b.progress("loading a group of %d members", n)
	c, err := dial(ctx, b.server.Address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	body := fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Group of %d","externalId":"%s"}`, n, objectID(-n))
	if err := c.do(&call{raw: t.request("POST", "/Groups", body), status: 201}); err != nil {
		return nil, err
	}
	location := c.header("Location")
	g := &group{t: t, id: location[strings.LastIndexByte(location, '/')+1:], size: n, extra: make([]bool, extras)}
	for from := 0; from < n; from += 1000 {
		ids := t.ids[from:min(from+1000, n)]
		if err := c.do(g.change("Add", ids...)); err != nil {
			return nil, err
		}
	}
	if err := g.check(c); err != nil {
		return nil, err
	}
	b.groups[n] = g
	return g, nil
}

// change is a PATCH that adds or removes members.
func (g *group) change(op string, ids ...string) *call {
	type value struct {
		Value string `json:"value"`
	}
	var list []value
	for _, id := range ids {
		list = append(list, value{id})
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err) // strings can be encoded
	}
	body := fmt.Sprintf(`%s{"op":"%s","path":"members","value":%s}]}`, patchHead, op, text)
	return &call{raw: g.t.request("PATCH", "/Groups/"+g.id, body), status: 204}
}

// removePath is a PATCH that removes a member by a path, the other form that clients use.
func (g *group) removePath(id string) *call {
	body := patchHead + `{"op":"Remove","path":"members[value eq \"` + id + `\"]"}]}`
	return &call{raw: g.t.request("PATCH", "/Groups/"+g.id, body), status: 204}
}

// check has the server list the members.
func (g *group) check(c *conn) error {
	if err := c.do(&call{raw: g.t.request("GET", "/Groups/"+g.id, ""), status: 200}); err != nil {
		return err
	}
	want := g.size
	for _, in := range g.extra {
		if in {
			want++
		}
	}
	if got := bytes.Count(c.body, []byte(`"type":"User"`)); got != want {
		return fmt.Errorf("group %s has %d members, want %d", g.id, got, want)
	}
	return nil
}

// changing has each connection add and remove its own member, in both forms in turn.
func (g *group) changing(p pool) side {
	return func(ctx context.Context, d time.Duration) (Measure, error) {
		return p.load(ctx, d, func(worker int) source {
			id := g.t.ids[len(g.t.ids)-extras+worker]
			add, removes, n := g.change("Add", id), []*call{g.change("Remove", id), g.removePath(id)}, 0
			return source{next: func() *call {
				g.extra[worker] = !g.extra[worker]
				if g.extra[worker] {
					return add
				}
				n++
				return removes[n%2]
			}}
		})
	}
}

func (b *bench) patchGroup(ctx context.Context, conns int) ([]Result, error) {
	large, err := b.group(ctx, b.members)
	if err != nil {
		return nil, err
	}
	small, err := b.group(ctx, 10)
	if err != nil {
		return nil, err
	}
	p, err := newPool(ctx, b.server.Address, conns)
	if err != nil {
		return nil, err
	}
	defer p.close()
	all, err := b.interleave(ctx, large.changing(p), small.changing(p))
	if err != nil {
		return nil, err
	}
	for _, g := range []*group{large, small} {
		if err := g.check(p[0]); err != nil {
			return nil, err
		}
	}
	r := Result{What: fmt.Sprintf("PATCH group +1 / -1 at %d members against 10, %d connections", b.members, conns), FloorName: "at 10", Goal: atMost(1.2)}
	r.Note = fmt.Sprintf("%.0f/s against %.0f/s", newStat(values(all[0], rate)).Median, newStat(values(all[1], rate)).Median)
	return []Result{r.compare("ms", millis, all[0], all[1])}, nil
}

func getGroup(ctx context.Context, b *bench) ([]Result, error) {
	g, err := b.group(ctx, b.members)
	if err != nil {
		return nil, err
	}
	c, err := dial(ctx, b.server.Address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	held, _, err := g.watched(c, true)
	if err != nil {
		return nil, err
	}
	peak, note, err := g.watched(c, false)
	if err != nil {
		return nil, err
	}
	if g.size > 1000 && c.header("Transfer-Encoding") != "chunked" {
		return nil, fmt.Errorf("a group of %d members is not streamed", g.size)
	}
	return []Result{
		{What: fmt.Sprintf("GET of a group of %d members: what it holds of the heap", g.size), Unit: "MiB", Ours: newStat(held), Goal: atMost(8)},
		{What: "the same, with garbage, as the server sets its collector", Unit: "MiB", Ours: newStat(peak), Note: note},
	}, nil
}

// watched gets the group again and again and returns, in MiB, how far the heap rises; tight is as in
// WatchHeap. note tells what else it costs.
func (g *group) watched(c *conn, tight bool) (peak []float64, note string, err error) {
	b := g.t.b
	var allocated, objects, took []float64
	for range b.repeat {
		if err := b.server.call("WatchHeap", tight, new(bool)); err != nil {
			return nil, "", err
		}
		start := time.Now()
		err := g.check(c)
		took = append(took, time.Since(start).Seconds()*1e3)
		var h Heap
		if stopErr := b.server.call("UnwatchHeap", true, &h); err == nil {
			err = stopErr
		}
		if err != nil {
			return nil, "", err
		}
		peak = append(peak, float64(h.Peak)/(1<<20))
		allocated = append(allocated, float64(h.Allocated)/(1<<20))
		objects = append(objects, float64(h.Objects))
	}
	return peak, fmt.Sprintf("body %.1f MiB in %.0f ms; %.0f MiB in %.0f allocations", float64(len(c.body))/(1<<20),
		newStat(took).Median, newStat(allocated).Median, newStat(objects).Median), nil
}
