package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/entrasim"
)

func (p *program) demoCommand() *cli.Command {
	return p.command("demo", "", "see the product work: a server, a simulated directory, and people who come and go", p.demo,
		&cli.IntFlag{Name: "users", Usage: "`N` people in the directory", Value: 60},
		&cli.IntFlag{Name: "groups", Usage: "`N` groups, at least 5", Value: 9},
		&cli.DurationFlag{Name: "every", Usage: "`TIME` between cycles", Value: 4 * time.Second},
		&cli.IntFlag{Name: "changes", Usage: "`N` changes in the directory before each cycle", Value: 3},
		&cli.IntFlag{Name: "cycles", Usage: "stop after `N` cycles that follow the initial one"},
		&cli.DurationFlag{Name: "for", Usage: "stop after `TIME`"},
		&cli.StringFlag{Name: "listen", Usage: "`HOST:PORT` to listen on (default: a free port of 127.0.0.1)", Value: "127.0.0.1:0"},
		&cli.Uint64Flag{Name: "seed", Usage: "`NUMBER` that the directory is made from", Value: 1})
}

// demoTenant is the name of the demo's tenant.
const demoTenant = "nordwind"

// demoEnvironments are what people get access to. Groups are numbers in the order of the
// directory: 0 holds nearly everybody, those that follow are departments. They overlap, so that
// losing one group does not always lose the access.
var demoEnvironments = []struct {
	organization, name string
	groups             []int
	menus              []string
}{
	{"Nordwind Trading", "Production", []int{1, 2, 3}, []string{"Orders", "Stock"}},
	{"Nordwind Trading", "Test", []int{2, 4}, []string{"Everything"}},
	{"Fjord Logistics", "Finance", []int{3, 4}, []string{"Invoices", "Approvals"}},
}

// demo is one demonstration.
type demo struct {
	*program
	cmd    *cli.Command
	style  style
	client *app.Client
	tenant *entrasim.Tenant
	graph  *entrasim.Graph
	job    *entrasim.Provisioner
	url    string // of the server
	base   string // Tenant URL
	token  string
	data   string
	ids    []string          // of the environments
	after  map[string]string // environment -> place in its log
	active map[string]int64  // environment -> people in the last table

	sessions []*demoSession
	repaired map[string]bool // accesses (environment, account) that the last pulls changed
}

func (p *program) demo(ctx context.Context, cmd *cli.Command) (err error) {
	switch {
	case cmd.Int("groups") < 5 || cmd.Int("users") < 1:
		return usagef(cmd, "the demo needs at least 1 user and 5 groups")
	case cmd.Int("cycles") < 0 || cmd.Int("changes") < 0 || cmd.Duration("every") < 0 || cmd.Duration("for") < 0:
		return usagef(cmd, "a number is below 0")
	}
	c, err := p.config(cmd, func(c *app.Config) {
		c.Listen, c.BaseURL, c.MetricsListen = cmd.String("listen"), "", ""
		if c.Log.Level == "" {
			c.Log.Level = "error" // a run that waits is shown
		}
	})
	if err != nil {
		return err
	}
	d := &demo{program: p, cmd: cmd, style: p.newStyle(), after: map[string]string{}, active: map[string]int64{}}
	if !cmd.IsSet("data") {
		if c.Data, err = os.MkdirTemp("", "bizzscim-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(c.Data)) }()
	}
	d.data = c.Data
	d.tenant = entrasim.New(entrasim.Options{Seed: cmd.Uint64("seed")})
	d.tenant.Populate(cmd.Int("users"), cmd.Int("groups"))
	end, err := d.serveGraph(&c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	a, err := app.New(c, p.options(c))
	if err != nil {
		return err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, a.Close(stop))
	}()
	if err := a.Start(ctx); err != nil {
		return err
	}
	d.client, d.url, d.base = a.Client(), a.URL(), a.URL()+"/scim/"+demoTenant+"/v2"

	running, cancel := ctx, context.CancelFunc(func() {})
	if limit := cmd.Duration("for"); limit > 0 {
		running, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	running, fail := context.WithCancelCause(running)
	defer fail(nil)
	go func() { fail(a.Wait(running)) }()

	err = d.run(running)
	if cause := context.Cause(running); errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
		err = nil // Ctrl-C and --for are how it ends, and then everything fails that was under way
	} else if cause != nil {
		err = cause // the server could not go on
	}
	if err == nil && !wantsJSON(cmd) {
		fmt.Fprintln(p.stdout, "\nThe demo is over.")
	}
	return err
}

func (d *demo) run(ctx context.Context) error {
	if err := d.prepare(ctx); err != nil {
		return err
	}
	defer d.job.Close()
	if err := d.introduce(ctx); err != nil {
		return err
	}
	cycles := d.cmd.Int("cycles")
	for n := 0; ; n++ {
		c := &demoCycle{n: n, at: time.Now()}
		if n > 0 {
			c.changes = d.tenant.RandomChange(d.cmd.Int("changes"))
		}
		if err := d.cycle(ctx, c); err != nil {
			return err
		}
		if err := d.people(ctx, c); err != nil {
			return err
		}
		if err := d.report(ctx, c); err != nil {
			return err
		}
		if d.cmd.IsSet("cycles") && n >= cycles {
			return nil
		}
		if !pause(ctx, d.cmd.Duration("every")) {
			return ctx.Err()
		}
	}
}

// cycle brings what has changed in the directory to the server: by push, or while push is stopped by pull. The initial
// cycle does both, and the pull finds that push has left nothing to do.
func (d *demo) cycle(ctx context.Context, c *demoCycle) error {
	if c.n > 0 && c.n%pullEvery == 0 {
		return d.repair(ctx, c)
	}
	summary, err := d.job.Cycle(ctx)
	if err != nil && !errors.Is(err, entrasim.ErrQuarantine) {
		return err
	}
	if c.pushed = &summary; c.n > 0 {
		return nil
	}
	if c.checks, err = d.connectGraph(ctx); err != nil {
		return err
	}
	if err := d.connectSignIn(ctx); err != nil {
		return err
	}
	return d.syncAll(ctx, c, true)
}

// prepare makes the organizations, environments, the tenant and the directory.
func (d *demo) prepare(ctx context.Context) error {
	existing, err := app.Call(ctx, d.client, app.OrganizationList, app.None{})
	if err != nil {
		return err
	}
	if len(existing.Items) > 0 {
		return fmt.Errorf("the data folder %s is in use already: give the demo an empty one, or none", d.data)
	}
	groups := d.tenant.Snapshot().Groups

	var organizations []string
	for i, e := range demoEnvironments {
		if i == 0 || demoEnvironments[i-1].organization != e.organization {
			o, err := app.Call(ctx, d.client, app.OrganizationCreate, app.NameInput{Name: e.organization})
			if err != nil {
				return err
			}
			organizations = append(organizations, o.ID)
		}
		env, err := app.Call(ctx, d.client, app.EnvironmentCreate, app.EnvironmentInput{Organization: organizations[len(organizations)-1], Name: e.name})
		if err != nil {
			return err
		}
		d.ids = append(d.ids, env.ID)
	}
	if _, err := app.Call(ctx, d.client, app.TenantCreate, app.TenantInput{Name: demoTenant, Organizations: organizations, DirectoryID: d.tenant.ID()}); err != nil {
		return err
	}
	unhurried := 100_000 // the demo shall not show the limit of requests
	if _, err := app.Call(ctx, d.client, app.TenantSet, app.TenantChange{Ref: demoTenant, RequestsPerSecond: &unhurried, Burst: &unhurried}); err != nil {
		return err
	}
	token, err := app.Call(ctx, d.client, app.TokenCreate, app.TokenInput{Tenant: demoTenant, Name: "demo"})
	if err != nil {
		return err
	}
	d.token = token.Secret
	on, tenant := true, demoTenant // not periodically: the demo itself presses Sync
	for i, e := range demoEnvironments {
		var ids []string
		for _, g := range e.groups {
			ids = append(ids, groups[g].ID)
		}
		if _, err := app.Call(ctx, d.client, app.EnvironmentIntegrate, app.IntegrationInput{Environment: d.ids[i], Enabled: &on, Tenant: &tenant,
			Groups: &ids, DefaultMenus: &e.menus}); err != nil {
			return err
		}
	}
	d.job, err = entrasim.NewProvisioner(d.tenant, entrasim.ProvisionerOptions{Base: d.base, Token: d.token, ObjectIDAsExternalID: true, SyncAll: true, Concurrency: 4})
	if err != nil {
		return err
	}
	return d.job.Probe(ctx)
}

// operator makes one, and the link that opens the console for them, once.
func (d *demo) operator(ctx context.Context) (string, error) {
	const email = "operator@bizzstream.example"
	if _, err := app.Call(ctx, d.client, app.OperatorCreate, app.OperatorInput{Email: email, Name: "Demo Operator"}); err != nil {
		return "", err
	}
	link, err := app.Call(ctx, d.client, app.OperatorLoginLink, app.OperatorRef{Email: email})
	return link.URL, err
}

// introduce says what there is and what to try.
func (d *demo) introduce(ctx context.Context) error {
	list, err := app.Call(ctx, d.client, app.EnvironmentList, app.EnvironmentFilter{})
	if err != nil {
		return err
	}
	if wantsJSON(d.cmd) {
		return d.line(map[string]any{"tenantUrl": d.base, "token": d.token, "data": d.data, "environments": list.Items})
	}
	names := map[string]string{}
	for _, g := range d.tenant.Snapshot().Groups {
		names[g.ID] = g.DisplayName
	}
	link, err := d.operator(ctx)
	if err != nil {
		return err
	}
	w, s := d.stdout, d.style
	fmt.Fprintf(w, "%s\n\n", s.bold("bizzscim demo: a directory pushes its people, who get and lose access by their groups; a pull repairs what push missed; who is taken out is signed out"))
	t := newTable(w)
	t.row("  Console", link)
	t.row("  Tenant URL", d.base)
	t.row("  Secret Token", d.token)
	t.row("  Sign in at", d.url+"/login/environment/"+d.ids[0])
	t.row("  Data folder", d.data)
	t.flush()
	fmt.Fprintln(w)
	t = newTable(w, "  environment", "organization", "groups to sync", "default menu")
	for _, e := range list.Items {
		var groups []string
		for _, id := range e.Integration.Groups {
			groups = append(groups, names[id])
		}
		t.row("  "+e.Name, e.Organization, groups, e.Integration.DefaultMenus)
	}
	t.flush()
	_, err = fmt.Fprintf(w, `
%[1]s
  export TOKEN=%[2]s BIZZSCIM_DATA=%[4]s
  curl -s -H "Authorization: Bearer $TOKEN" '%[3]s/Users?count=2'
  curl -s -H "Authorization: Bearer $TOKEN" '%[3]s/Groups?excludedAttributes=members&count=3'
  bizzscim access Finance
  bizzscim log %[5]s --follow
  bizzscim sync Production --preview
  bizzscim runs Production
  bizzscim run show Production
  bizzscim operator login-link

Ctrl-C ends it.
`, s.bold("Try in another terminal"), d.token, d.base, d.data, demoTenant)
	return err
}

// report shows what one cycle did.
func (d *demo) report(ctx context.Context, c *demoCycle) error {
	list, err := app.Call(ctx, d.client, app.EnvironmentList, app.EnvironmentFilter{})
	if err != nil {
		return err
	}
	var events []app.LogEvent
	for _, id := range d.ids {
		page := app.Page{After: d.after[id], Limit: 1000}
		log, err := app.Call(ctx, d.client, app.LogList, app.LogFilter{Ref: "env:" + id, Page: page})
		if err != nil {
			return err
		}
		d.after[id] = log.Next
		for _, e := range log.Items {
			e.Accesses = only(e.Accesses, id) // an event of several environments is in the log of each
			events = append(events, e)
		}
	}
	if wantsJSON(d.cmd) {
		return d.line(c.document(list.Items, events))
	}
	w := &bytes.Buffer{}
	d.writeCycle(w, c)
	if c.n > 0 {
		d.writeAccess(w, events)
		if text := d.inPlace(c, events); text != "" {
			fmt.Fprintf(w, "  %-10s %s\n", "in place", text)
		}
	}
	d.writePeople(w, c)
	fmt.Fprintln(w)
	t := newTable(w, "  environment", "active", "inactive", "")
	for _, e := range list.Items {
		t.row("  "+e.Name, e.Active, e.Inactive, d.difference(c.n, e))
		d.active[e.ID] = e.Active
	}
	t.flush()
	_, err = d.stdout.Write(w.Bytes())
	return err
}

// document is a cycle as one line of JSON.
func (c *demoCycle) document(environments []app.Environment, events []app.LogEvent) map[string]any {
	runs := []app.Run{}
	for _, x := range c.pulled {
		runs = append(runs, x.run)
	}
	var pushed any // null: push was stopped
	if c.pushed != nil {
		pushed = cycleOf(*c.pushed)
	}
	return map[string]any{"cycle": c.n, "changes": orNone(c.changes), "pushed": pushed, "runs": runs, "environments": environments, "log": orNone(events), "signedIn": orNone(c.signedIn), "signedOut": orNone(c.signedOut)}
}

// writeCycle shows what changed, what was pushed and what was pulled.
func (d *demo) writeCycle(w io.Writer, c *demoCycle) {
	s, title := d.style, "cycle "+strconv.Itoa(c.n)
	switch {
	case c.n == 0:
		title = "initial cycle"
	case c.pushed == nil:
		title += ": push is stopped, Sync repairs"
	case c.n%pullEvery == 1 && c.n > 1:
		title += ": push is back"
	}
	fmt.Fprintf(w, "\n%s\n", s.bold(c.at.Format("15:04:05")+"  "+title))
	for i, what := range c.changes {
		fmt.Fprintf(w, "  %-10s %s\n", first(i, "directory"), clean(what))
	}
	if sum := c.pushed; sum != nil {
		fmt.Fprintf(w, "  %-10s %s %s\n", "pushed", pushed(*sum), s.dim(fmt.Sprintf("(%s in %s)", plural(sum.Requests, "request"), sum.Duration.Round(time.Millisecond))))
		for i, f := range sum.Failures {
			fmt.Fprintf(w, "  %-10s %s\n", first(i, "failed"), s.red(clean(f.Object+": "+f.Err.Error())))
		}
	}
	if c.checks != nil {
		d.writeChecks(w, c.checks)
	}
	d.writePulls(w, c.pulled)
}

func (d *demo) difference(n int, e app.Environment) string {
	by := e.Active - d.active[e.ID]
	if n == 0 || by == 0 {
		return " "
	}
	return fmt.Sprintf("(%+d)", by)
}

// shownEffects is how many lines about access one cycle prints.
const shownEffects = 12

// writeAccess lists who gained and lost access, and why.
func (d *demo) writeAccess(w io.Writer, events []app.LogEvent) {
	lines := 0
	for _, e := range events {
		for _, x := range e.Accesses {
			if lines++; lines > shownEffects {
				continue
			}
			sign, paint := "+", d.style.green
			if x.Effect == "deactivated" {
				sign, paint = "-", d.style.red
			}
			fmt.Fprintf(w, "  %-10s %s %s\n", first(lines-1, "access"),
				paint(fmt.Sprintf("%s %-11s %-11s %s", sign, clean(x.Environment.Name), x.Effect, clean(x.Account.Name))), d.style.dim("because "+clean(reason(e, x.Effect))))
		}
	}
	switch {
	case lines == 0:
		fmt.Fprintf(w, "  %-10s %s\n", "access", d.style.dim("unchanged"))
	case lines > shownEffects:
		fmt.Fprintf(w, "  %-10s and %s more\n", "", number(int64(lines-shownEffects)))
	}
}

// reason says why an event changed an access.
func reason(e app.LogEvent, effect string) string {
	switch {
	case e.RunID != "":
		return fmt.Sprintf("%s (pull run %s)", e.Reason, shortRun(e.RunID))
	case e.TargetType == "Group" && e.Action == "delete":
		return "group " + e.Target.Name + " was deleted"
	case e.TargetType == "Group" && effect == "deactivated":
		return "left group " + e.Target.Name
	case e.TargetType == "Group":
		return "joined group " + e.Target.Name
	case e.TargetType == "Environment":
		return "the integration was changed"
	}
	switch e.Action {
	case "disable":
		return "the directory disabled the user"
	case "enable":
		return "the directory enabled the user"
	case "delete":
		return "the directory removed the user"
	}
	return "the directory changed the user"
}

// pushed says in one line what a cycle sent.
func pushed(s entrasim.Summary) string {
	var parts []string
	add := func(n int, what, done string) {
		if n > 0 {
			parts = append(parts, plural(n, what)+" "+done)
		}
	}
	for _, k := range []struct {
		what string
		c    entrasim.Counts
	}{{"user", s.Users}, {"group", s.Groups}} {
		add(k.c.Created, k.what, "created")
		add(k.c.Updated, k.what, "updated")
		add(k.c.Disabled, k.what, "disabled")
		add(k.c.Restored, k.what, "restored")
		add(k.c.Deleted, k.what, "deleted")
	}
	add(s.MembersAdded, "member", "added")
	add(s.MembersRemoved, "member", "removed")
	add(s.ReferencesSet+s.ReferencesCleared, "manager", "changed")
	add(s.Failed, "object", "failed")
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

func only(list []app.AccessEffect, environment string) (out []app.AccessEffect) {
	for _, x := range list {
		if x.Environment.ID == environment {
			out = append(out, x)
		}
	}
	return out
}

func first(i int, label string) string {
	if i == 0 {
		return label
	}
	return ""
}

func orNone[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (d *demo) line(v any) error {
	e := json.NewEncoder(d.stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// style paints text where a person looks at it.
type style struct{ on bool }

func (p *program) newStyle() style {
	for _, e := range p.environ {
		if name, value, _ := strings.Cut(e, "="); name == "NO_COLOR" && value != "" || name == "TERM" && value == "dumb" {
			return style{}
		}
	}
	return style{isTerminal(p.stdout)}
}

func (s style) paint(code, text string) string {
	if !s.on {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(text string) string   { return s.paint("1", text) }
func (s style) dim(text string) string    { return s.paint("2", text) }
func (s style) green(text string) string  { return s.paint("32", text) }
func (s style) red(text string) string    { return s.paint("31", text) }
func (s style) yellow(text string) string { return s.paint("33", text) }
