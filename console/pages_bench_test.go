//go:build unix

package console_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

// What a page or an answer may cost with 100,000 users.
const (
	mostMillis = 50
	mostBytes  = 200_000
)

// sizes of a crowd. Those of the goal are large.
type sizes struct{ users, groups, items, audit, runs int }

var (
	large = sizes{100_000, 1000, 100_000, 100_000, 1000}
	small = sizes{1500, 80, 1500, 300, 60}
)

// crowd is a world with many of everything in one tenant of Fjord: Production syncs a group with all of them, Finance one
// with few.
type crowd struct {
	*apptest.World
	sizes
	everybody *directory.Group
	users     []*directory.User
	treasurer *directory.Account // administrator of Finance, who sees few
	done      directory.ID       // a run that changed everybody, some of whom failed at the end of the plan
	failed    directory.ID       // a run with whom everybody failed
	held      directory.ID       // a run that is quarantined
}

// each runs fn for 0 to n-1, many at once, so that commits are shared.
func (w *crowd) each(n int, fn func(i int) error) {
	w.Helper()
	var wg sync.WaitGroup
	next := make(chan int)
	for range 256 {
		wg.Go(func() {
			for i := range next {
				if err := fn(i); err != nil {
					w.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	if w.Failed() {
		w.FailNow()
	}
}

var crowdPush = directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: "entra", Address: "192.0.2.7"}

// crowdNumber is the object id of the nth of something.
func crowdNumber(kind, n int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", kind, n) }

func newCrowd(t testing.TB, n sizes) *crowd {
	t.Helper()
	start := time.Now()
	w := &crowd{World: apptest.New(t, nil), sizes: n, users: make([]*directory.User, n.users)}
	told := func(what string) { t.Logf("%6.1f s %s", time.Since(start).Seconds(), what) }
	w.each(n.users, w.user)
	told("users")
	w.crowdGroups()
	told("groups and accesses")
	w.crowdRuns()
	told("runs")
	w.crowdLines()
	told("audit")
	return w
}

func (w *crowd) user(i int) (err error) {
	given, family := crowdGiven[i%len(crowdGiven)], crowdFamilies[i/len(crowdGiven)%len(crowdFamilies)]
	name, mail := given+" "+family, fmt.Sprintf("%s.%s%d@fjord.example", strings.ToLower(given), strings.ToLower(family), i)
	body, err := json.Marshal(map[string]any{"userName": mail, "externalId": crowdNumber(1, i), "displayName": name, "active": true, "title": "Consultant",
		"name":   map[string]string{"givenName": given, "familyName": family, "formatted": name},
		"emails": []map[string]any{{"value": mail, "type": "work", "primary": true}}, "department": "Operations", "preferredLanguage": "nl-NL"})
	if err != nil {
		return err
	}
	w.users[i], err = w.Service.CreateUser(w.Context(), crowdPush, w.Fjord.Tenant.ID, directory.UserInput{
		Profile: directory.Profile{UserName: mail, ExternalID: crowdNumber(1, i), Name: name, Email: mail, Emails: []string{mail}, Active: true},
		Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:User"]`), Attributes: body})
	return err
}

var (
	crowdGiven    = []string{"Marta", "Jonas", "Ana", "Pieter", "Sanne", "Noor", "Daan", "Lotte", "Bram", "Fleur", "Thijs", "Eva"}
	crowdFamilies = []string{"Jansen", "Berg", "Visser", "Bakker", "Smit", "Meijer", "Mulder", "Bos", "Vos", "Peters", "Hendriks", "Dekker", "Dijkstra"}
)

func (w *crowd) group(name string, n int, members []*directory.User) (*directory.Group, error) {
	ids := make([]directory.ID, len(members))
	for i, u := range members {
		ids[i] = u.ID
	}
	return w.Service.CreateGroup(w.Context(), crowdPush, w.Fjord.Tenant.ID, directory.GroupInput{DisplayName: name, ExternalID: crowdNumber(2, n),
		Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:Group"]`), Attributes: []byte(`{"displayName":"` + name + `","externalId":"` + crowdNumber(2, n) + `"}`)}, ids)
}

// crowdGroups makes groups, the first with everybody, and lets both environments sync one.
func (w *crowd) crowdGroups() {
	w.Helper()
	ctx, yes := w.Context(), true
	var err error
	w.everybody, err = w.group("All staff", 0, nil)
	w.Must(err)
	_, err = w.group("Treasury", 1, w.users[:min(100, w.sizes.users)])
	w.Must(err)
	w.each(w.groups-2, func(i int) error {
		from := i * 20 % (w.sizes.users - 20)
		_, err := w.group(fmt.Sprintf("Department %04d", i), i+2, w.users[from:from+20])
		return err
	})
	for _, x := range []struct {
		env    directory.ID
		groups []string
	}{{w.Fjord.Production.ID, []string{w.Fjord.GroupID, crowdNumber(2, 0)}}, {w.Fjord.Finance.ID, []string{crowdNumber(2, 1)}}} {
		_, _, err := w.Service.SetIntegration(ctx, apptest.Operator, x.env, directory.IntegrationInput{Enabled: &yes, TenantID: &w.Fjord.Tenant.ID, Groups: x.groups, DefaultMenus: []string{"Orders"}})
		w.Must(err)
	}
	const part = 20 // as many as Entra adds at a time, so that the log has many lines that changed an access
	w.each((len(w.users)+part-1)/part, func(i int) error {
		_, err := w.Service.UpdateGroup(ctx, crowdPush, w.Fjord.Tenant.ID, w.everybody.ID, func(_ *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
			var ids []directory.ID
			for _, u := range w.users[i*part : min((i+1)*part, len(w.users))] {
				ids = append(ids, u.ID)
			}
			return directory.GroupInput{DisplayName: "All staff", ExternalID: crowdNumber(2, 0), Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:Group"]`),
				Attributes: []byte(`{"displayName":"All staff","externalId":"` + crowdNumber(2, 0) + `"}`)}, m.Add(ids)
		})
		return err
	})
	last := w.users[min(100, w.sizes.users)-1]
	_, err = w.Service.SetAdministrator(ctx, apptest.Operator, last.AccountID, w.Fjord.Finance.ID, true)
	w.Must(err)
	w.Must(w.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		w.treasurer, err = sn.Account(last.AccountID)
		return err
	}))
}

// run keeps a run of Production with a plan of everybody.
func (w *crowd) run(n int, state directory.RunState, items int, of func(i int) (directory.ItemKind, directory.Outcome)) directory.ID {
	w.Helper()
	ctx, at := w.Context(), w.Now().Add(time.Duration(n)*time.Second)
	id, _ := directory.ParseID(fmt.Sprintf("%08x-%04x-7000-8000-%012x", at.UnixMilli()>>16, at.UnixMilli()&0xffff, n))
	run := &directory.Run{ID: id, EnvironmentID: w.Fjord.Production.ID, TenantID: w.Fjord.Tenant.ID, Trigger: "schedule", Actor: directory.Actor{Role: directory.RoleSystem, Channel: "pull"},
		State: state, Started: at, Ended: at.Add(time.Second), Requests: 102, Pages: 101, Hash: strings.Repeat("ab", 32)}
	run.Groups = []directory.GroupRead{{ObjectID: crowdNumber(2, 0), Name: "All staff", People: w.sizes.users}}
	all := make([]directory.PlanItem, items)
	for i := range all {
		u := w.users[i%len(w.users)]
		kind, outcome := of(i)
		all[i] = directory.PlanItem{Number: uint64(i + 1), Kind: kind, Outcome: outcome, UserID: u.ID, ObjectID: u.ObjectID, UserName: u.UserName, Name: u.Name,
			Changes: []directory.Change{{Name: "title", Old: json.RawMessage(`"Consultant"`), New: json.RawMessage(`"Lead"`)}}, Reason: "member of All staff in the directory"}
		switch outcome {
		case directory.OutcomeFailed:
			run.Counts.Failed++
			all[i].Detail = "the userName is taken"
		case directory.OutcomeConflict:
			run.Counts.Conflict++
		case directory.OutcomeHeld:
			run.Counts.Held++
		default:
			run.Counts.Applied++
		}
		run.Counts.Update++
	}
	run.Counts.People = w.sizes.users
	w.Must(w.Service.SaveRun(ctx, run, func(s *directory.PullState) {
		s.LastRun = id
		if state == directory.RunQuarantined {
			s.Quarantined = id
		}
	}))
	for part := range slices.Chunk(all, 5000) {
		w.Must(w.Service.SaveItems(ctx, id, part))
	}
	return id
}

func (w *crowd) crowdRuns() {
	w.Helper()
	for i := range w.runs {
		w.run(i, []directory.RunState{directory.RunComplete, directory.RunComplete, directory.RunFailed}[i%3], 0, nil)
	}
	w.done = w.run(w.runs, directory.RunComplete, w.items, func(i int) (directory.ItemKind, directory.Outcome) {
		if i > w.items-20 {
			return directory.ItemCreate, directory.OutcomeFailed
		}
		return directory.ItemUpdate, directory.OutcomeApplied
	})
	w.failed = w.run(w.runs+1, directory.RunComplete, w.items, func(i int) (directory.ItemKind, directory.Outcome) {
		return []directory.ItemKind{directory.ItemCreate, directory.ItemConflict}[i%2], []directory.Outcome{directory.OutcomeFailed, directory.OutcomeConflict}[i%2]
	})
	w.held = w.run(w.runs+2, directory.RunQuarantined, w.items, func(int) (directory.ItemKind, directory.Outcome) {
		return directory.ItemRevoke, directory.OutcomeHeld
	})
}

// crowdLines writes lines of people who could not be provisioned, and the audit.
func (w *crowd) crowdLines() {
	w.Helper()
	w.each(min(2000, w.sizes.users), func(i int) error {
		return w.Service.LogFailure(w.Context(), crowdPush, directory.LogEvent{TenantID: w.Fjord.Tenant.ID, Action: directory.ActionCreate, TargetType: "User",
			TargetName: fmt.Sprintf("guest%d@elsewhere.example", i), ExternalID: crowdNumber(3, i), Detail: "scim: 409 uniqueness: this e-mail address belongs to an internal user"})
	})
	w.each(w.sizes.audit, func(i int) error {
		return w.Service.TestedConnection(w.Context(), directory.Actor{Role: directory.RoleOperator, Channel: "console", ID: w.Boss.ID.String(), Address: "192.0.2.1"}, w.Fjord.Tenant.ID, json.RawMessage(`{"ok":true,"try":`+strconv.Itoa(i)+`}`))
	})
}

// ask is one address, with the name that the table has for it.
type asked struct{ name, path string }

// addresses are those of a console page or an API list, by the path of its route: the first page, a deep one, each filter.
func (w *crowd) addresses() map[string][]asked {
	middle, env, tenant := w.users[w.sizes.users/2], w.Fjord.Production.ID.String(), w.Fjord.Tenant.ID.String()
	deepUsers := "s" + base64.RawURLEncoding.EncodeToString(middle.AccountID[:])
	scoped := []asked{{"a text", "text=jonas.berg"}, {"part of a text", "text=onas"}, {"a name", "text=fleur+dekker"}, {"nobody", "text=nobody+at+all"}, {"active", "state=active"}, {"inactive", "state=inactive"},
		{"internal", "source=internal"}, {"tenant", "source=" + tenant}, {"environment", "environment=" + env}, {"small environment", "environment=" + w.Fjord.Finance.ID.String()},
		{"inactive in environment", "environment=" + env + "&state=inactive"}, {"text in environment", "environment=" + env + "&text=jonas.berg"}, {"text in small environment", "environment=" + w.Fjord.Finance.ID.String() + "&text=jonas"},
		{"deep", "after=" + deepUsers}, {"deep in environment", "environment=" + env + "&after=" + deepUsers}, {"deep tenant", "source=" + tenant + "&after=" + deepUsers}}
	ago := func(d time.Duration) string { return url.QueryEscape(w.Now().Add(-d).UTC().Format(time.RFC3339)) }
	log := []asked{{"tenant", "tenant=" + tenant}, {"environment", "environment=" + env}, {"person", "person=" + middle.AccountID.String()}, {"run", "run=" + w.done.String()},
		{"failure", "status=failure"}, {"warning", "status=warning"}, {"create", "action=create"}, {"disable", "action=disable"}, {"pull", "channel=pull"}, {"console", "channel=console"},
		{"nobody", "identity=nobody"}, {"somebody", "identity=" + url.QueryEscape(middle.UserName)}, {"deep", "after=" + strconv.Itoa(w.sizes.users/2)}, {"deep nobody", "identity=nobody&after=" + strconv.Itoa(w.sizes.users/2)},
		{"from", "from=" + ago(time.Hour)}, {"to", "to=" + ago(time.Hour)}}
	audit := []asked{{"actor", "actor=boss"}, {"nobody", "actor=nobody"}, {"action", "action=tenant.test"}, {"no action", "action=token"}, {"target", "target=fjord"}, {"deep", "after=" + strconv.Itoa(w.sizes.audit/2)}, {"to", "to=" + ago(time.Hour)}}
	items := []asked{{"failed", "outcome=failed"}, {"applied", "outcome=applied"}, {"conflict", "outcome=conflict"}, {"none", "outcome=withheld"}, {"create", "kind=create"}, {"no kind", "kind=deactivate"}, {"kind and outcome", "kind=create&outcome=failed"},
		{"no kind and outcome", "kind=revoke&outcome=applied"}, {"deep", "after=1." + strconv.Itoa(w.items/2)}, {"deep failed", "outcome=failed&after=0." + strconv.Itoa(w.items/2)}}
	runs := []asked{{"environment", "environment=" + env}, {"failed", "state=failed"}, {"no state", "state=discarded"}, {"trigger", "trigger=manual"}, {"changed", "changed=true"}}
	with := func(path string, all ...asked) (out []asked) {
		out = append(out, asked{"", path})
		for _, x := range all {
			out = append(out, asked{x.name, path + "?" + x.path})
		}
		return out
	}
	withRuns := func(path string) (out []asked) {
		for _, r := range []asked{{"done", w.done.String()}, {"failed", w.failed.String()}, {"held", w.held.String()}} {
			for _, x := range with(strings.Replace(path, "{id}", r.path, 1), items...) {
				out = append(out, asked{strings.TrimSpace(r.name + " " + x.name), x.path})
			}
		}
		return out
	}
	search := []asked{{"a text", "q=jonas.berg"}, {"many", "q=j"}, {"nobody", "q=nobody"}, {"groups", "q=dep"}, {"environment", "q=prod"}}
	groups := []asked{{"text", "text=department+09"}, {"nothing", "text=nothing"}, {"deep", "after=department+0500"}, {"tenant", "tenant=" + tenant}}
	group := "/" + tenant + "/" + w.everybody.ID.String()
	members := []asked{{"deep", "after=" + middle.ID.String()}}
	out := map[string][]asked{
		"/users": with("/users", scoped...), "/log": with("/log", log...), "/audit": with("/audit", audit...), "/runs": with("/runs", runs...), "/runs/{id}": withRuns("/runs/{id}"),
		"/groups": with("/groups", groups...), "/groups/{tenant}/{group}": with("/groups"+group, members...), "/search": with("/search", search...),
		"/report":                            with("/report", asked{"environment", "environment=" + env}, asked{"tenant", "tenant=" + tenant}),
		"/environments":                      with("/environments", asked{"text", "text=prod"}, asked{"state", "state=fine"}),
		"/users/{user}/access/{environment}": {{"", "/users/" + middle.AccountID.String() + "/access/" + env}},
		"/log/{tenant}/{sequence}":           {{"", "/log/" + tenant + "/" + strconv.Itoa(w.sizes.users/2)}},
		"/api":                               with("/api", asked{"changes", "part=Changes"}, asked{"tenants", "part=Tenants"}, asked{"users", "part=Users"}, asked{"runs", "part=Runs"}),
		"/conflicts":                         with("/conflicts", asked{"deep", "after=" + strconv.Itoa(w.sizes.users*2)}),
		"/settings/people/{id}":              {{"", "/settings/people/" + w.Boss.ID.String()}},

		"api /users": with("/users", scoped...), "api /log": with("/log", log...), "api /audit": with("/audit", audit...), "api /runs": with("/runs", runs[:4]...), "api /runs/{id}/items": withRuns("/runs/{id}/items"),
		"api /groups": with("/groups", groups...), "api /groups/{tenant}/{group}": with("/groups" + group), "api /groups/{tenant}/{group}/members": with("/groups"+group+"/members", members...),
		"api /search": with("/search?q=jonas.berg", asked{})[:1], "api /log/{tenant}/{sequence}": {{"", "/log/" + tenant + "/" + strconv.Itoa(w.sizes.users/2)}},
		"api /accesses": {{"", "/accesses?environment=" + env}, {"deep", "/accesses?environment=" + env + "&after=" + deepUsers}, {"inactive", "/accesses?environment=" + env + "&state=inactive"}},
		"api /changes":  {{"", "/changes?after=start"}}, "api /report/leavers-and-joiners": with("/report/leavers-and-joiners"),
		"api /settings/people/{id}": {{"", "/settings/people/" + w.Boss.ID.String()}},
	}
	return out
}

// unasked are routes that are not measured: streams, files that are as long as what they hold, what asks Microsoft, what
// does not grow and needs a thing of its own.
var unasked = regexp.MustCompile(`/(live|export|export\.csv|export\.json|progress|stream|signed)$|^(api )?/webhooks/|^(api )?/api-tokens/\{|/deliveries|^api /environments/\{id\}/groups|/setup-link|/link$|^/connect|` +
	`/tokens/|/clients/|/credentials/|/remove$|/test$|/revoke$|/rotate$|\{extension\}`)

// fill puts the ids of the crowd where a path varies.
func (w *crowd) fill(path string) string {
	middle := w.users[w.sizes.users/2].AccountID.String()
	one := w.Fjord.Production.ID.String()
	if strings.Contains(path, "/tenants/") {
		one = w.Fjord.Tenant.ID.String()
	}
	if strings.Contains(path, "/runs/") {
		one = w.done.String()
	}
	return strings.NewReplacer("{id}", one, "{tenant}", w.Fjord.Tenant.ID.String(), "{user}", middle, "{environment}", w.Fjord.Production.ID.String(), "{menu}", "x").Replace(path)
}

// every lists what is asked for: each page of the staff and each GET of the API, as it is known to the program.
func (w *crowd) every() (all []asked) {
	w.Helper()
	special := w.addresses()
	add := func(api, path string) {
		if unasked.MatchString(api + path) {
			return
		}
		list, ok := special[api+path]
		if !ok {
			list = []asked{{"", w.fill(path)}}
		}
		for _, x := range list {
			if strings.Contains(x.path, "{") {
				w.Errorf("%s%s needs an address", api, path)
			}
			all = append(all, asked{strings.TrimSpace(api + path + " " + x.name), x.path})
		}
	}
	for _, r := range routesOfStaff() {
		if r.Method == http.MethodGet {
			add("", r.Path)
		}
	}
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(w.OperatorAPI().Call(http.MethodGet, "/openapi.json", nil, nil).Body), &doc); err != nil {
		w.Fatal(err)
	}
	var paths []string
	for path, item := range doc.Paths {
		if item["get"] != nil {
			paths = append(paths, strings.TrimPrefix(path, "/api/v1"))
		}
	}
	slices.Sort(paths)
	for _, path := range paths {
		add("api ", path)
	}
	return all
}

// asker is somebody who asks, as the server sees it: without a network between.
type asker struct {
	w     *crowd
	name  string
	who   *directory.Account
	token func() string
}

func (w *crowd) askers() []asker {
	return []asker{
		{w, "operator", w.Boss, func() string { return w.APIToken(directory.RoleOperator, nil) }},
		{w, "partner", w.Fjord.Partner, func() string {
			return w.APIToken(directory.RolePartner, &directory.Reach{Organizations: []directory.ID{w.Fjord.Organization.ID}})
		}},
		{w, "administrator", w.Fjord.Admin, func() string {
			return w.APIToken(directory.RoleEnvironment, &directory.Reach{Environments: []directory.ID{w.Fjord.Production.ID}})
		}},
		{w, "small administrator", w.treasurer, func() string {
			return w.APIToken(directory.RoleEnvironment, &directory.Reach{Environments: []directory.ID{w.Fjord.Finance.ID}})
		}},
	}
}

// request makes the request for an address.
func (a asker) request(x asked, session, token string) *http.Request {
	path := x.path
	if strings.HasPrefix(x.name, "api ") {
		path = "/api/v1" + path
	}
	r := httptest.NewRequestWithContext(a.w.Context(), http.MethodGet, path, http.NoBody)
	r.Host, r.TLS = strings.TrimPrefix(a.w.Server.URL, "https://"), &tls.ConnectionState{}
	if strings.HasPrefix(x.name, "api ") {
		r.Header.Set("Authorization", "Bearer "+token)
	} else {
		r.Header.Set("Cookie", auth.SessionCookie+"="+session)
	}
	return r
}

func (a asker) ask(r *http.Request) (status int, body []byte) {
	rec := httptest.NewRecorder()
	a.w.App.Handler().ServeHTTP(rec, r)
	return rec.Code, rec.Body.Bytes()
}

// BenchmarkPages asks for every page of the console and every list of the API in a tenant of 100,000 users, and prints
// a table: CPU of the process and time until the answer (medians, and the least), and the size. What is above a goal by its
// CPU or size is marked.
//
//	go test ./console -run '^$' -bench Pages -benchtime 15x -timeout 1h
//
// PAGES names those alone that match a regular expression.
func BenchmarkPages(b *testing.B) {
	n := large
	if os.Getenv("PAGES_SMALL") != "" {
		n = small
	}
	w := newCrowd(b, n)
	only := regexp.MustCompile(os.Getenv("PAGES"))
	addresses := w.every()
	var table bytes.Buffer
	fmt.Fprintf(&table, "| Who | What | CPU ms | ms | at least | KB | |\n|---|---|---|---|---|---|---|\n")
	for _, a := range w.askers() {
		session, token := w.SignIn(a.who).Session(), a.token()
		for _, x := range addresses {
			if name := a.name + " " + x.name; only.MatchString(name) {
				a.measure(b, x, session, token, &table)
			}
		}
	}
	fmt.Println(table.String())
}

// measure asks for one address, as often as the benchmark says.
func (a asker) measure(b *testing.B, x asked, session, token string, table *bytes.Buffer) {
	r := func() *http.Request {
		a.w.Advance(time.Second) // the requests of one token are limited
		return a.request(x, session, token)
	}
	status, body := a.ask(r())
	if status == http.StatusForbidden || status == http.StatusNotFound || status == http.StatusSeeOther {
		return // not for that role
	}
	if status != http.StatusOK {
		b.Errorf("%s: %s: %d\n%.300s", a.name, x.path, status, body)
		return
	}
	b.Run(strings.ReplaceAll(a.name+"/"+x.name, " ", "_"), func(b *testing.B) {
		var took, cpu []time.Duration
		for b.Loop() {
			q := r()
			start, used := time.Now(), cpuTime()
			status, body = a.ask(q)
			took, cpu = append(took, time.Since(start)), append(cpu, cpuTime()-used)
			if status != http.StatusOK {
				b.Fatalf("%d %.200s", status, body)
			}
		}
		median := func(all []time.Duration) float64 {
			slices.Sort(all)
			return float64(all[len(all)/2].Microseconds()) / 1000
		}
		wall, busy, kb, mark := median(took), median(cpu), float64(len(body))/1000, ""
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(wall, "ms")
		b.ReportMetric(busy, "cpu-ms")
		b.ReportMetric(kb, "KB")
		if busy > mostMillis || len(body) > mostBytes {
			mark = "OVER"
		}
		fmt.Fprintf(table, "| %s | %s | %.1f | %.1f | %.1f | %.0f | %s |\n", a.name, x.name, busy, wall, float64(took[0].Microseconds())/1000, kb, mark)
	})
}

// cpuTime is what this process has computed so far. On a machine that others use too it tells what a request costs, where the
// time until its answer tells what the others do.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// No page is larger than its goal, however many there are of what it lists: lists come in pages. Answers of the API are
// held to it as well, but for the report, which is a document.
func TestPagesAreSmall(t *testing.T) {
	skipShort(t)
	t.Parallel()
	w := newCrowd(t, small)
	addresses := w.every()
	for _, a := range w.askers()[:2] {
		session, token, asked := w.SignIn(a.who).Session(), a.token(), 0
		for _, x := range addresses {
			w.Advance(time.Second)
			status, body := a.ask(a.request(x, session, token))
			if status == http.StatusOK {
				asked++
			}
			if status >= http.StatusInternalServerError || len(body) > mostBytes && x.name != "api /report/leavers-and-joiners" {
				t.Errorf("%s: %s: %d with %d bytes", a.name, x.name, status, len(body))
			}
		}
		if asked < 100 {
			t.Errorf("%s: %d pages were found", a.name, asked)
		}
	}
}
