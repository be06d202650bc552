package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// neverConnect is a connector for tests in which no directory is reached.
func neverConnect(pull.Connection) (pull.Source, error) {
	return nil, &pull.Error{Class: pull.Unavailable, Detail: "there is no directory"}
}

// clock is a wall clock that a test moves.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// pulled is a directory in memory with 3 people in one group, and what is needed to pull it into
// environment Production.
type pulled struct {
	d     *pulltest.Directory
	s     *pulltest.Source
	clock clock
}

const syncedGroup = "00000001-0000-4000-9000-000000000001"

func newPulled() *pulled {
	p := &pulled{d: pulltest.NewDirectory()}
	p.d.SetGroup(syncedGroup, "Benelux")
	for n := range 3 {
		p.d.SetPerson(pulltest.NewPerson(n))
		p.d.Add(syncedGroup, pulltest.ID(n))
	}
	p.s = pulltest.NewSource(p.d)
	return p
}

func (p *pulled) options() Options { return Options{Connect: p.s.Connect, Now: p.clock.now} }

// join sets everything up.
func (p *pulled) join(t *testing.T, c *Client) {
	t.Helper()
	must(t, c, OrganizationCreate, NameInput{"Acme"})
	must(t, c, EnvironmentCreate, EnvironmentInput{"Acme", "Production"})
	must(t, c, TenantCreate, TenantInput{Name: "acme", Organizations: []string{"Acme"}, DirectoryID: "6a1f4f9f-0000-4b5e-9c60-00000000000b"})
	must(t, c, CredentialSet, CredentialInput{Tenant: "acme", ClientID: clientID, Secret: "abc~very-secret-value", Expires: "2099-01-01"})
	on, name := true, "acme"
	must(t, c, EnvironmentIntegrate, IntegrationInput{Environment: "Production", Enabled: &on, Tenant: &name, Groups: &[]string{syncedGroup}})
}

// ended waits for the end of a run.
func ended(t *testing.T, c *Client, run Run) Run {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); run.State == "running"; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("run %+v", run)
		}
		run = must(t, c, RunShow, RunQuery{Ref: run.ID}).Run
	}
	return run
}

func sync1(t *testing.T, c *Client, in SyncInput) Run {
	t.Helper()
	in.Environment = "Production"
	return ended(t, c, must(t, c, SyncStart, in))
}

// allowed brings the environment to its first success.
func allowed(t *testing.T, c *Client) Run {
	t.Helper()
	first := sync1(t, c, SyncInput{})
	if first.State != "quarantined" || first.Hash == "" {
		t.Fatalf("first run %+v", first)
	}
	return ended(t, c, must(t, c, RunAllow, RunDecision{Ref: "Production", Hash: first.Hash, Reason: "it is right"}))
}

// logged waits for lines of the log that hold all of the texts.
func (r *running) logged(texts ...string) {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		for line := range strings.Lines(r.log.String()) {
			if !slices.ContainsFunc(texts, func(s string) bool { return !strings.Contains(line, s) }) {
				return
			}
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("no line with %q in the log:\n%s", texts, r.log.String())
		}
	}
}

// TestSyncBothWays pulls through the socket of a server and on the store.
func TestSyncBothWays(t *testing.T) {
	t.Run("socket", func(t *testing.T) {
		p := newPulled()
		r := start(t, Config{}, p.options())
		c, err := Connect(t.Context(), r.config, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		testSync(t, p, c)
	})
	t.Run("store", func(t *testing.T) {
		defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
		p := newPulled()
		c, err := Connect(t.Context(), Config{Data: t.TempDir()}, p.options())
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}()
		testSync(t, p, c)
	})
}

func testSync(t *testing.T, p *pulled, c *Client) {
	refused(t, c, SyncStart, SyncInput{Environment: "Production"}, "notFound", "bizzscim env list")
	p.join(t, c)
	refused(t, c, RunShow, RunQuery{Ref: "Production"}, "notFound", `bizzscim sync "Production"`)
	refused(t, c, RunShow, RunQuery{Ref: "nothing"}, "notFound", "no run and no environment")
	refused(t, c, RunAllow, RunDecision{Ref: "Production"}, "notFound", "no run of environment Production waits for a decision")
	refused(t, c, RunCancel, RefInput{"Production"}, "notFound", "bizzscim sync")
	if list := must(t, c, RunList, RunFilter{Environment: "Production"}); len(list.Items) != 0 {
		t.Errorf("runs %+v", list)
	}

	// A preview changes nothing, and can be looked at.
	preview := sync1(t, c, SyncInput{Preview: true})
	if preview.State != "preview" || preview.Counts.Create != 3 || preview.Counts.Held != 3 || preview.Counts.Applied != 0 || preview.By == "" || preview.Tenant.Name != "acme" {
		t.Errorf("preview %+v", preview)
	}
	if e := must(t, c, EnvironmentShow, RefInput{"Production"}); e.Active != 0 {
		t.Errorf("a preview gave access to %d", e.Active)
	}

	// The first plan waits for a decision.
	first := sync1(t, c, SyncInput{})
	if first.State != "quarantined" || len(first.Reasons) != 1 || !strings.Contains(first.Reasons[0], "first plan") || first.Drift != 3 || len(first.Groups) != 1 || first.Groups[0].Name != "Benelux" {
		t.Errorf("first %+v", first)
	}
	plan := must(t, c, RunShow, RunQuery{Ref: "Production", Page: Page{Limit: 2}})
	if plan.Run.ID != first.ID || len(plan.Items.Items) != 2 || plan.Items.Next != "2" {
		t.Fatalf("plan %+v", plan)
	}
	for i, item := range plan.Items.Items {
		if item.Kind != "create" || item.Outcome != "held" || !strings.HasSuffix(item.UserName, "@nordwind.example") || item.ObjectID == "" || item.Number != uint64(i+1) || item.Reason == "" {
			t.Errorf("item %+v", item)
		}
	}
	rest := must(t, c, RunShow, RunQuery{Ref: first.ID, Page: Page{After: plan.Items.Next}})
	if len(rest.Items.Items) != 1 || rest.Items.Next != "" || rest.Items.Items[0].Number != 3 {
		t.Errorf("the rest %+v", rest.Items)
	}
	refused(t, c, RunShow, RunQuery{Ref: first.ID, Page: Page{After: "x"}}, "invalid", "not the number")
	status := must(t, c, PullStatus, None{})
	if len(status.Environments) != 1 || status.Environments[0].State != "quarantined" || status.Environments[0].Quarantined != first.ID || status.Environments[0].Drift != 3 ||
		status.Environments[0].Tenant.Name != "acme" || len(status.Credentials) != 1 || status.Credentials[0].State != "live" {
		t.Errorf("status %+v", status)
	}

	// Only who names the plan and a reason may allow it, and once.
	refused(t, c, RunAllow, RunDecision{Ref: "Production", Reason: "it is right"}, "invalid", "bizzscim run show "+first.ID)
	refused(t, c, RunAllow, RunDecision{Ref: first.ID, Hash: strings.Repeat("0", 64), Reason: "it is right"}, "invalid", "not that of the plan")
	refused(t, c, RunAllow, RunDecision{Ref: first.ID, Hash: first.Hash}, "invalid", "say why")
	refused(t, c, RunAllow, RunDecision{Ref: preview.ID, Hash: first.Hash, Reason: "it is right"}, "conflict", "does not wait")
	second := ended(t, c, must(t, c, RunAllow, RunDecision{Ref: "Production", Hash: first.Hash, Reason: "it is right"}))
	if second.State != "complete" || second.Counts.Applied != 3 || second.Trigger != "allow" || second.Approval == nil || second.Approval.Reason != "it is right" || second.Approval.Run != first.ID {
		t.Errorf("second %+v", second)
	}
	refused(t, c, RunAllow, RunDecision{Ref: first.ID, Hash: first.Hash, Reason: "again"}, "conflict", "it is allowed")
	if e := must(t, c, EnvironmentShow, RefInput{"Production"}); e.Active != 3 {
		t.Errorf("%d have access", e.Active)
	}
	log := must(t, c, LogList, LogFilter{Ref: "tenant:acme", Page: Page{Limit: 500}})
	if !slices.ContainsFunc(log.Items, func(e LogEvent) bool {
		return e.RunID == second.ID && e.Channel == "pull" && e.Reason != "" && e.TargetType == "User"
	}) {
		t.Errorf("no event of the run in the log: %+v", log.Items)
	}

	// In line, nothing is done.
	third := sync1(t, c, SyncInput{})
	if third.State != "complete" || third.Drift != 0 || third.Counts.Unchanged != 3 || third.Counts.People != 3 {
		t.Errorf("third %+v", third)
	}
	list := must(t, c, RunList, RunFilter{Environment: "Production", Limit: 2})
	if len(list.Items) != 2 || list.Items[0].ID != third.ID || list.Items[1].ID != second.ID {
		t.Errorf("runs %+v", list.Items)
	}

	// Who leaves loses the access; who is protected keeps it.
	must(t, c, AccountProtect, Protection{UserRef{Ref: "person1@nordwind.example"}, true})
	if u := must(t, c, UserShow, UserRef{Ref: "person1@nordwind.example"}); !u.Protected {
		t.Errorf("user %+v", u)
	}
	p.d.Remove(syncedGroup, pulltest.ID(1), pulltest.ID(2))
	fourth := sync1(t, c, SyncInput{})
	if fourth.State != "complete" || fourth.Counts.Deactivated != 1 || fourth.Counts.Withheld != 1 || len(fourth.Deactivated) != 1 || fourth.Deactivated[0].Environment.Name != "Production" || fourth.Deactivated[0].Accesses != 1 {
		t.Errorf("fourth %+v", fourth)
	}
	if u := must(t, c, AccountProtect, Protection{UserRef{Ref: "person1@nordwind.example"}, false}); u.Protected {
		t.Errorf("user %+v", u)
	}
	refused(t, c, AccountProtect, Protection{UserRef{Ref: "nobody"}, true}, "notFound", "bizzscim user list")

	// The last administrator of the environment keeps the access too.
	last := AdministratorInput{UserRef: UserRef{Ref: "person1@nordwind.example", Tenant: "acme"}, Environment: "Production", Administrator: true}
	if x := must(t, c, AccessAdministrator, last); !x.Administrator || x.Account.Name != "person1@nordwind.example" || x.Environment.Name != "Production" {
		t.Errorf("access %+v", x)
	}
	for _, x := range must(t, c, AccessList, AccessFilter{Environment: "Production"}).Items {
		if x.Administrator != (x.Account.Name == "person1@nordwind.example") {
			t.Errorf("access %+v", x)
		}
	}
	if run := sync1(t, c, SyncInput{}); run.State != "complete" || run.Counts.Withheld != 1 || run.Counts.Deactivated != 0 || len(run.Notes) != 1 {
		t.Errorf("run %+v", run)
	}
	must(t, c, EnvironmentCreate, EnvironmentInput{"Acme", "Finance"})
	for _, bad := range []struct {
		user, tenant, env, kind, detail string
	}{
		{"nobody", "", "Production", "notFound", "bizzscim user list"},
		{"person1@nordwind.example", "nobody", "Production", "notFound", "bizzscim tenant list"},
		{"person1@nordwind.example", "", "nothing", "notFound", "bizzscim env list"},
		{"person1@nordwind.example", "", "Finance", "notFound", `person1@nordwind.example has no access to environment Finance; see: bizzscim access "Finance"`},
		{"person2@nordwind.example", "", "Production", "conflict", "inactive"},
	} {
		refused(t, c, AccessAdministrator, AdministratorInput{UserRef{bad.user, bad.tenant}, bad.env, true}, bad.kind, bad.detail)
	}
	last.Administrator = false
	if x := must(t, c, AccessAdministrator, last); x.Administrator {
		t.Errorf("access %+v", x)
	}

	// Another group: the plan waits, and is discarded.
	other := pulltest.GroupID(7)
	p.d.SetGroup(other, "Nordic")
	p.d.SetPerson(pulltest.NewPerson(8))
	p.d.Add(other, pulltest.ID(8))
	must(t, c, EnvironmentIntegrate, IntegrationInput{Environment: "Production", Groups: &[]string{syncedGroup, other}})
	fifth := sync1(t, c, SyncInput{})
	if fifth.State != "quarantined" {
		t.Fatalf("fifth %+v", fifth)
	}
	same := sync1(t, c, SyncInput{})
	if same.State != "quarantined" || same.PlanOf != fifth.ID || same.Hash != fifth.Hash {
		t.Errorf("the same plan again: %+v", same)
	}
	if gone := must(t, c, RunDiscard, RunDecision{Ref: "Production", Reason: "the wrong group"}); gone.ID != fifth.ID || gone.State != "discarded" {
		t.Errorf("discarded %+v", gone)
	}
	if status := must(t, c, PullStatus, None{}); status.Environments[0].State == "quarantined" || status.Environments[0].LastSuccess == nil {
		t.Errorf("status %+v", status)
	}

	// What is wrong with the directory is said, and by whom it can be mended.
	p.s.SetError(pulltest.OpMembers, &pull.Error{Class: pull.Permission, Detail: "User.Read.All is missing", Code: "Authorization_RequestDenied", RequestID: "r-1"})
	failed := sync1(t, c, SyncInput{})
	if failed.State != "failed" || failed.Error == nil || failed.Error.Class != "permission" || failed.Error.Detail != "User.Read.All is missing" || failed.Error.RequestID != "r-1" {
		t.Errorf("failed %+v", failed)
	}
	if status := must(t, c, PullStatus, None{}); status.Environments[0].State != "failing" || status.Environments[0].Failures != 1 || status.Environments[0].Error == nil {
		t.Errorf("status %+v", status)
	}
	p.s.SetError(pulltest.OpMembers, nil)

	report := must(t, c, CredentialTest, RefInput{"acme"})
	if !report.OK || len(report.Checks) == 0 || report.Credential.Tenant.Name != "acme" {
		t.Errorf("report %+v", report)
	}
	p.s.SetError(pulltest.OpTest, &pull.Error{Class: pull.Authentication, Detail: "the secret has expired"})
	if report = must(t, c, CredentialTest, RefInput{"acme"}); report.OK || !slices.ContainsFunc(report.Checks, func(x Check) bool { return strings.Contains(x.Error, "has expired") }) {
		t.Errorf("report %+v", report)
	}
	p.s.SetError(pulltest.OpTest, nil)

	// Paused, only a preview runs.
	on, off := true, false
	must(t, c, EnvironmentIntegrate, IntegrationInput{Environment: "Production", Paused: &on})
	refused(t, c, SyncStart, SyncInput{Environment: "Production"}, "conflict", "paused")
	if run := sync1(t, c, SyncInput{Preview: true}); run.State != "preview" {
		t.Errorf("preview while paused: %+v", run)
	}
	must(t, c, EnvironmentIntegrate, IntegrationInput{Environment: "Production", Paused: &off})
}

func TestIntegrationOfThePull(t *testing.T) {
	p := newPulled()
	c := connectFolder(t, Config{Data: t.TempDir()}, p.options())
	must(t, c, OrganizationCreate, NameInput{"Acme"})
	must(t, c, EnvironmentCreate, EnvironmentInput{"Acme", "Production"})
	must(t, c, TenantSet, TenantChange{Ref: "acme", Organizations: &[]string{"Acme"}})
	on, off, name := true, false, "acme"
	join := IntegrationInput{Environment: "Production", Enabled: &on, Tenant: &name, Groups: &[]string{syncedGroup}}
	in := must(t, c, EnvironmentIntegrate, join).Environment.Integration
	if in.Stops != (Stops{10, 5, 20, 10}) || in.Transitive || in.Guests || in.Paused || in.Hold {
		t.Errorf("defaults %+v", in)
	}
	one, seven, zero, many := 1, 7, 0, 101
	in = must(t, c, EnvironmentIntegrate, IntegrationInput{Environment: "Production", Transitive: &on, Guests: &on, Hold: &on, Stops: StopsChange{RunCount: &one, DayPercent: &seven}}).Environment.Integration
	if in.Stops != (Stops{1, 5, 20, 7}) || !in.Transitive || !in.Guests || !in.Hold {
		t.Errorf("changed %+v", in)
	}
	in = must(t, c, EnvironmentIntegrate, IntegrationInput{Environment: "Production", Guests: &off, Stops: StopsChange{RunCount: &zero}}).Environment.Integration
	if in.Stops != (Stops{10, 5, 20, 7}) || !in.Transitive || in.Guests || !in.Hold {
		t.Errorf("back to a default %+v", in)
	}
	refused(t, c, EnvironmentIntegrate, IntegrationInput{Environment: "Production", Stops: StopsChange{RunPercent: &many}}, "invalid", "between 0 and 100")

	id, custom, login, graph, mail, none := "6a1f4f9f-0000-4b5e-9c60-00000000000b", "custom", "https://login.example/", "https://graph.example/v1.0", "mail", ""
	tenant := must(t, c, TenantShow, RefInput{"acme"})
	if tenant.Graph != (Graph{Cloud: "public", UserName: "userPrincipalName"}) {
		t.Errorf("defaults %+v", tenant.Graph)
	}
	tenant = must(t, c, TenantSet, TenantChange{Ref: "acme", DirectoryID: &id, Graph: GraphChange{Cloud: &custom, LoginURL: &login, GraphURL: &graph, UserName: &mail}})
	if tenant.Graph.Cloud != "custom" || !strings.HasPrefix(tenant.Graph.LoginURL, "https://login.example") || tenant.Graph.GraphURL != graph || tenant.Graph.UserName != "mail" {
		t.Errorf("custom cloud %+v", tenant.Graph)
	}
	refused(t, c, TenantSet, TenantChange{Ref: "acme", Graph: GraphChange{LoginURL: &none}}, "invalid", "")
	wrong := "moon"
	refused(t, c, TenantSet, TenantChange{Ref: "acme", Graph: GraphChange{Cloud: &wrong}}, "invalid", "")
}

// TestSyncNeedsAConnector: a program without a reader of directories says so.
func TestSyncNeedsAConnector(t *testing.T) {
	c := connectFolder(t, Config{Data: t.TempDir()}, Options{})
	must(t, c, OrganizationCreate, NameInput{"Acme"})
	must(t, c, EnvironmentCreate, EnvironmentInput{"Acme", "Production"})
	must(t, c, TenantSet, TenantChange{Ref: "acme", Organizations: &[]string{"Acme"}})
	withCredentials(t, c, map[string]string{"acme": "abc~very-secret-value"})
	on, name := true, "acme"
	must(t, c, EnvironmentIntegrate, IntegrationInput{Environment: "Production", Enabled: &on, Tenant: &name, Groups: &[]string{syncedGroup}})
	refused(t, c, SyncStart, SyncInput{Environment: "Production"}, "unavailable", "no way to read a directory")
	refused(t, c, CredentialTest, RefInput{"acme"}, "unavailable", "no way to read a directory")
}

// stopsAt lets reads stop until the returned function is called; reached is closed when one has.
func (p *pulled) stopsAt(op pulltest.Op) (reached chan struct{}, release func()) {
	reached, gate := make(chan struct{}), make(chan struct{})
	var once sync.Once
	p.s.Hook(func(c pulltest.Call) {
		if c.Op == op && c.When == pulltest.Before {
			once.Do(func() { close(reached) })
			<-gate
		}
	})
	return reached, sync.OnceFunc(func() { close(gate) })
}

func TestRunsUnderWay(t *testing.T) {
	p := newPulled()
	r := start(t, Config{}, p.options())
	c := r.Client()
	p.join(t, c)
	reached, release := p.stopsAt(pulltest.OpMembers)
	defer release()
	run := must(t, c, SyncStart, SyncInput{Environment: "Production"})
	<-reached
	if again := must(t, c, SyncStart, SyncInput{Environment: "Production"}); again.ID != run.ID {
		t.Errorf("two runs of one environment: %s and %s", run.ID, again.ID)
	}
	if shown := must(t, c, RunShow, RunQuery{Ref: "Production"}); shown.Run.ID != run.ID || shown.Run.State != "running" || shown.Run.Stage != "read" || shown.Run.StageStarted == nil || shown.Run.StageStarted.Before(shown.Run.Started) {
		t.Errorf("shown %+v", shown.Run)
	}
	if list := must(t, c, RunList, RunFilter{Environment: "Production"}); len(list.Items) != 1 || list.Items[0].Stage != "read" {
		t.Errorf("listed %+v", list.Items)
	}
	if status := must(t, c, PullStatus, None{}); status.Environments[0].Running != run.ID || status.Environments[0].State != "running" {
		t.Errorf("status %+v", status.Environments)
	}
	// One run of a tenant at a time: that of another environment waits, is not kept yet, and is found all the same.
	on, name := true, "acme"
	must(t, c, EnvironmentCreate, EnvironmentInput{"Acme", "Test"})
	must(t, c, EnvironmentIntegrate, IntegrationInput{Environment: "Test", Enabled: &on, Tenant: &name, Groups: &[]string{syncedGroup}})
	queued := must(t, c, SyncStart, SyncInput{Environment: "Test"})
	if shown := must(t, c, RunShow, RunQuery{Ref: "Test"}); shown.Run.ID != queued.ID || shown.Run.State != "running" {
		t.Errorf("queued %+v", shown.Run)
	}
	if gone := must(t, c, RunCancel, RefInput{"Test"}); gone.ID != queued.ID {
		t.Errorf("cancelled %+v", gone)
	}
	must(t, c, RunCancel, RefInput{"Production"})
	release()
	if run = ended(t, c, run); run.State != "cancelled" {
		t.Errorf("cancelled: %+v", run)
	}
	refused(t, c, RunCancel, RefInput{"Production"}, "notFound", "no run of environment Production is under way")
	refused(t, c, RunCancel, RefInput{run.ID}, "conflict", "it is cancelled")
}

// endless is a source whose reads end when they are told to, and not before.
type endless struct {
	pull.Source
	reading chan struct{}
}

func (e *endless) Members(ctx context.Context, _ string, _ bool, _ func(pull.Person) error) (pull.Listing, error) {
	close(e.reading)
	<-ctx.Done()
	return pull.Listing{}, ctx.Err()
}

// TestCloseInterruptsRuns: a run under way is ended and recorded before the store closes.
func TestCloseInterruptsRuns(t *testing.T) {
	for _, way := range []string{"server", "not started", "store"} {
		t.Run(way, func(t *testing.T) {
			p, dir, reading := newPulled(), t.TempDir(), make(chan struct{})
			o := p.options()
			o.Connect = func(c pull.Connection) (pull.Source, error) {
				s, err := p.s.Connect(c)
				return &endless{s, reading}, err
			}
			var c *Client
			stop := func() error { return c.Close() }
			var err error
			switch way {
			case "server":
				r := start(t, Config{Data: dir}, o)
				c = r.Client()
				stop = func() error { return r.Close(context.Background()) }
			case "not started": // as a program does that runs an App within itself
				a, err := New(Config{Data: dir}, o)
				if err != nil {
					t.Fatal(err)
				}
				c = a.Client()
				stop = func() error { return a.Close(context.Background()) }
			default:
				if c, err = Connect(t.Context(), Config{Data: dir}, o); err != nil {
					t.Fatal(err)
				}
			}
			p.join(t, c)
			run := must(t, c, SyncStart, SyncInput{Environment: "Production"})
			<-reading
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			if c, err = Connect(t.Context(), Config{Data: dir}, Options{}); err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if shown := must(t, c, RunShow, RunQuery{Ref: run.ID}); shown.Run.State != "interrupted" || shown.Run.Ended == nil {
				t.Errorf("run %+v", shown.Run)
			}
		})
	}
}

// TestScheduleRuns: a server pulls by itself.
func TestScheduleRuns(t *testing.T) {
	p := newPulled()
	r := start(t, Config{Pull: PullConfig{Interval: time.Second}}, p.options())
	c := r.Client()
	p.join(t, c)
	allowed(t, c)
	on := true
	must(t, c, EnvironmentIntegrate, IntegrationInput{Environment: "Production", Periodic: &on})
	sync1(t, c, SyncInput{}) // the end of a run lets the schedule look at once
	p.d.SetPerson(pulltest.NewPerson(5))
	p.d.Add(syncedGroup, pulltest.ID(5))
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if e := must(t, c, EnvironmentShow, RefInput{"Production"}); e.Active == 4 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody came: %+v", must(t, c, RunList, RunFilter{Environment: "Production"}).Items)
		}
	}
	if runs := must(t, c, RunList, RunFilter{Environment: "Production", Limit: 1000}); !slices.ContainsFunc(runs.Items, func(r Run) bool { return r.Trigger == "schedule" && r.Counts.Create == 1 }) {
		t.Errorf("no scheduled run: %+v", runs.Items)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestPullMetricsAndHealth(t *testing.T) {
	p := newPulled()
	addr := freeAddress(t)
	r := start(t, Config{MetricsListen: addr, Pull: PullConfig{Interval: 24 * time.Hour}}, p.options())
	c := r.Client()
	p.join(t, c)
	on := true
	must(t, c, EnvironmentIntegrate, IntegrationInput{Environment: "Production", Periodic: &on})
	env := must(t, c, EnvironmentShow, RefInput{"Production"})
	labels := fmt.Sprintf(`{environment="Production",environment_id=%q}`, env.ID)
	expect := func(wants ...string) {
		t.Helper()
		_, body, err := fetch(addr, "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(body, want) {
				t.Errorf("no %s in\n%s", want, bizzscimLines(body))
			}
		}
	}
	verbose := func(want string) {
		t.Helper()
		p.clock.advance(summaryAge)
		status, body := r.get("/readyz?verbose")
		if status != 200 || !strings.HasPrefix(body, "ok\n") || !strings.Contains(body, want) {
			t.Errorf("%d %q, want %q", status, body, want)
		}
		for _, secret := range []string{"Production", "acme", env.ID, "Benelux"} {
			if strings.Contains(body, secret) {
				t.Errorf("%q is told to everybody: %q", secret, body)
			}
		}
	}
	verbose("pull: periodic 1, quarantined 0, failing 0, overdue 0\n")
	first := sync1(t, c, SyncInput{})
	expect("bizzscim_pull_quarantined"+labels+" 1", "bizzscim_pull_drift"+labels+" 3", "bizzscim_pull_people"+labels+" 3",
		`bizzscim_pull_runs_total{environment="Production",environment_id="`+env.ID+`",state="quarantined"} 1`)
	if _, body := r.get("/readyz?verbose"); !strings.Contains(body, "quarantined 0,") {
		t.Errorf("made again at once, for anybody who asks: %q", body)
	}
	verbose("quarantined 1,")
	ended(t, c, must(t, c, RunAllow, RunDecision{Ref: first.ID, Hash: first.Hash, Reason: "right"}))
	p.clock.advance(2 * time.Hour)
	expect("bizzscim_pull_quarantined"+labels+" 0", "bizzscim_pull_overdue"+labels+" 0", "bizzscim_pull_failures"+labels+" 0", "bizzscim_pull_last_success_age_seconds"+labels+" 720",
		`state="complete"} 1`, "bizzscim_pull_run_duration_seconds_count"+labels+" 2", "bizzscim_graph_requests_total ", "bizzscim_graph_retries_total ", "bizzscim_graph_waits_total ",
		`bizzscim_credential_expires_timestamp_seconds{tenant="acme",tenant_id="`)
	verbose("oldest success 2h0m")
	if body := r.plainReady(); body != "ok\n" {
		t.Errorf("without verbose: %q", body)
	}
	p.clock.advance(71 * time.Hour)
	expect("bizzscim_pull_overdue" + labels + " 1")
	verbose("overdue 1,")
	if s := must(t, c, PullStatus, None{}).Environments[0]; s.State != "overdue" {
		t.Errorf("status %+v", s)
	}
	p.s.SetError(pulltest.OpGroup, &pull.Error{Class: pull.Unavailable, Detail: "no answer"})
	p.s.SetError(pulltest.OpMembers, &pull.Error{Class: pull.Unavailable, Detail: "no answer"})
	if run := sync1(t, c, SyncInput{}); run.State != "failed" {
		t.Errorf("run %+v", run)
	}
	expect("bizzscim_pull_failures"+labels+" 1", `state="failed"} 1`)
	verbose("failing 1,")
}

func (r *running) plainReady() string {
	_, body := r.get("/readyz")
	return body
}

func bizzscimLines(body string) string {
	var out strings.Builder
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "bizzscim_") && !strings.Contains(line, "_bucket") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// TestCredentialsWarnBeforeTheyEnd: each threshold once.
func TestCredentialsWarnBeforeTheyEnd(t *testing.T) {
	p := newPulled()
	r := start(t, Config{}, p.options())
	c := r.Client()
	p.join(t, c)
	end := p.clock.now().Add(40 * 24 * time.Hour).UTC().Truncate(time.Second)
	must(t, c, CredentialSet, CredentialInput{Tenant: "acme", Secret: "abc~very-secret-value", Expires: end.Format(time.RFC3339)})
	told := map[desk.Ending]int{}
	lines := func() int {
		return strings.Count(r.log.String(), `"msg":"a credential ends soon"`) + strings.Count(r.log.String(), `"msg":"a credential has ended`)
	}
	look := func(left time.Duration, want int, state string) {
		t.Helper()
		p.clock.advance(end.Add(-left).Sub(p.clock.now()))
		for range 2 {
			if err := r.warnCredentials(t.Context(), told); err != nil {
				t.Fatal(err)
			}
		}
		if got := lines(); got != want {
			t.Errorf("%s before the end: %d lines, want %d", left, got, want)
		}
		if got := must(t, c, CredentialList, CredentialFilter{}).Items[0].State; got != state {
			t.Errorf("%s before the end it is %s, want %s", left, got, state)
		}
	}
	const day = 24 * time.Hour
	look(31*day, 0, "live")
	look(30*day-time.Minute, 1, "expiring")
	look(15*day, 1, "expiring")
	look(14*day-time.Minute, 2, "expiring")
	look(7*day-time.Minute, 3, "expiring")
	look(2*day, 3, "expiring")
	look(day-time.Minute, 4, "expiring")
	look(-time.Minute, 5, "expired")
	look(-30*day, 5, "expired")
	// A new one begins anew; after a restart what is due is told again.
	must(t, c, CredentialSet, CredentialInput{Tenant: "acme", Secret: "def~very-secret-value", Expires: p.clock.now().Add(3 * day).UTC().Format(time.RFC3339)})
	clear(told)
	if err := r.warnCredentials(t.Context(), told); err != nil || lines() != 6 {
		t.Errorf("%d lines, %v", lines(), err)
	}
	if strings.Contains(r.log.String(), "very-secret-value") {
		t.Error("the log holds the secret")
	}
}

// TestWhatPushLivesByWarnsToo: the Secret Token and the OAuth client of a tenant, until another is in its place.
func TestWhatPushLivesByWarnsToo(t *testing.T) {
	p := newPulled()
	r := start(t, Config{}, p.options())
	c := r.Client()
	p.join(t, c)
	must(t, c, TokenCreate, TokenInput{Tenant: "acme", Life: "20d"})
	must(t, c, ClientCreate, ClientInput{Tenant: "acme", ClientID: "job", Life: "20d"})
	told := map[desk.Ending]int{}
	look := func(want map[string]int) {
		t.Helper()
		if err := r.warnCredentials(t.Context(), told); err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for line := range strings.Lines(r.log.String()) {
			for _, what := range []string{"token", "client"} {
				if strings.Contains(line, `"credential":"`+what+`"`) {
					got[what]++
				}
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%v, want %v:\n%s", got, want, r.log)
		}
	}
	look(map[string]int{"token": 1, "client": 1})
	must(t, c, TokenRotate, TokenRotation{TokenRef: TokenRef{Tenant: "acme"}, Life: "90d", Overlap: "1d"})
	p.clock.advance(21 * 24 * time.Hour)
	look(map[string]int{"token": 1, "client": 2})
	r.logged(`"credential":"client"`, "its directory cannot push with it") // the new token opens
}

func TestSyncInternalErrorsAreNotShown(t *testing.T) {
	p := newPulled()
	r := start(t, Config{}, p.options())
	c := r.Client()
	p.join(t, c)
	p.s.SetError(pulltest.OpMembers, errors.New("disk on fire"))
	run := sync1(t, c, SyncInput{})
	if run.State != "failed" || run.Error == nil || strings.Contains(run.Error.Detail, "disk on fire") {
		t.Errorf("run %+v, error %+v", run, run.Error)
	}
	r.logged("a pull run failed", "disk on fire")
}
