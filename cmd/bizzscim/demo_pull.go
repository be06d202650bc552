package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/entrasim"
)

// In every pullEvery-th cycle push is stopped, and the pull finds what push would have brought. In every
// accidentEvery-th one somebody empties a group by mistake besides.
const (
	pullEvery     = 3
	accidentEvery = 2 * pullEvery
)

// demoCycle is one cycle of the demo.
type demoCycle struct {
	n       int
	at      time.Time
	changes []string          // in the directory
	pushed  *entrasim.Summary // nil: push was stopped
	checks  []app.Check       // of the credential; nil: it was not tested
	pulled  []demoPull

	signedIn, signedOut []string // people, and why they are out
}

// demoPull is one pull of one environment.
type demoPull struct {
	run     app.Run
	decided string // what was done before the next pull; empty: nothing
}

// serveGraph serves the directory as Microsoft Graph and has the configuration trust it. The returned function
// ends that.
func (d *demo) serveGraph(c *app.Config) (func() error, error) {
	g, err := entrasim.NewGraph(d.tenant, entrasim.GraphOptions{Seed: d.cmd.Uint64("seed")})
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bizzscim-demo-ca-")
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	d.graph, c.CAFile = g, filepath.Join(dir, "ca.pem")
	end := func() error { return errors.Join(g.Close(), os.RemoveAll(dir)) }
	if err := os.WriteFile(c.CAFile, g.CA(), 0o600); err != nil {
		return nil, errors.Join(err, end())
	}
	return end, nil
}

// connectGraph gives the tenant an application that may read the directory, and tries its credential.
func (d *demo) connectGraph(ctx context.Context) ([]app.Check, error) {
	a := d.graph.App("", entrasim.GroupMemberReadAll, entrasim.UserReadAll)
	cloud, login, graph := "custom", d.graph.LoginURL(), d.graph.URL()
	if _, err := app.Call(ctx, d.client, app.TenantSet, app.TenantChange{Ref: demoTenant, Graph: app.GraphChange{Cloud: &cloud, LoginURL: &login, GraphURL: &graph}}); err != nil {
		return nil, err
	}
	ends := time.Now().Add(simSecretLife)
	secret := app.CredentialInput{Tenant: demoTenant, ClientID: a.ClientID(), Secret: a.NewSecret(ends), Expires: ends.Format(time.RFC3339)}
	if _, err := app.Call(ctx, d.client, app.CredentialSet, secret); err != nil {
		return nil, err
	}
	report, err := app.Call(ctx, d.client, app.CredentialTest, app.RefInput{Ref: demoTenant})
	if err != nil {
		return nil, err
	}
	for _, c := range report.Checks {
		if c.Error != "" {
			return nil, fmt.Errorf("%s: %s", c.Name, c.Error)
		}
	}
	return report.Checks, nil
}

// repair has people change in the directory while push is stopped, and presses Sync in every environment.
func (d *demo) repair(ctx context.Context, c *demoCycle) error {
	if d.cmd.Int("changes") == 0 {
		return d.syncAll(ctx, c, true)
	}
	if err := d.comeAndGo(c); err != nil {
		return err
	}
	if c.n%accidentEvery != 0 {
		return d.syncAll(ctx, c, true)
	}
	group := d.group(0, 0)
	members := group.Members
	if err := d.tenant.SetMembers(group.ID, nil); err != nil {
		return err
	}
	c.changes = append(c.changes, fmt.Sprintf("accident: somebody empties group %s", group.DisplayName))
	if err := d.syncAll(ctx, c, false); err != nil {
		return err
	}
	if err := d.tenant.SetMembers(group.ID, members); err != nil {
		return err
	}
	c.pulled[len(c.pulled)-1].decided = "to mend the directory instead: the members of " + group.DisplayName + " are put back"
	return d.syncAll(ctx, c, true)
}

// group is one of an environment's groups as it is now.
func (d *demo) group(environment, n int) entrasim.Group {
	groups := demoEnvironments[environment].groups
	return d.tenant.Snapshot().Groups[groups[n%len(groups)]]
}

// comeAndGo makes sure that there is something to repair, in another environment each time: somebody joins a group
// that it syncs, and a member of another one leaves the company.
func (d *demo) comeAndGo(c *demoCycle) error {
	n := c.n / pullEvery
	environment := n % len(demoEnvironments)
	joins, leaves := d.group(environment, 0), d.group(environment, 1)
	u := d.tenant.Hire(entrasim.Person{})
	if err := d.tenant.AddMember(joins.ID, u.ID); err != nil {
		return err
	}
	c.changes = append(c.changes, fmt.Sprintf("joiner: %s, member of %s", u.DisplayName, joins.DisplayName))
	for _, id := range leaves.Members {
		u, ok := d.tenant.User(id)
		if !ok || u.Deleted() || !u.AccountEnabled || u.UserType == entrasim.Guest {
			continue
		}
		c.changes = append(c.changes, "leaver: "+u.DisplayName+" disabled")
		return d.tenant.Disable(id)
	}
	return nil
}

// syncAll pulls every environment, and allows what waits for a decision where that is said.
func (d *demo) syncAll(ctx context.Context, c *demoCycle, allow bool) error {
	const reason = "the people of the demo come and go as they like"
	for _, id := range d.ids {
		run, err := app.Call(ctx, d.client, app.SyncStart, app.SyncInput{Environment: id})
		if err == nil {
			run, err = d.waitRun(ctx, run)
		}
		if err != nil {
			return err
		}
		c.pulled = append(c.pulled, demoPull{run: run})
		if !allow || run.State != "quarantined" || run.Hash == "" {
			continue
		}
		c.pulled[len(c.pulled)-1].decided = "by the demo, to allow it: " + reason
		run, err = app.Call(ctx, d.client, app.RunAllow, app.RunDecision{Ref: id, Hash: run.Hash, Reason: reason})
		if err == nil {
			run, err = d.waitRun(ctx, run)
		}
		if err != nil {
			return err
		}
		c.pulled = append(c.pulled, demoPull{run: run})
	}
	return nil
}

func (d *demo) waitRun(ctx context.Context, run app.Run) (app.Run, error) {
	for run.State == "running" {
		if !pause(ctx, 10*time.Millisecond) {
			return run, ctx.Err()
		}
		out, err := app.Call(ctx, d.client, app.RunShow, app.RunQuery{Ref: run.ID, Page: app.Page{Limit: 1}})
		if err != nil {
			return run, err
		}
		run = out.Run
	}
	return run, nil
}

// writeChecks says in one line what the test of the credential found to be there.
func (d *demo) writeChecks(w io.Writer, checks []app.Check) {
	var names []string
	groups := 0
	for _, c := range checks {
		if strings.HasPrefix(c.Name, "group ") {
			groups++
			continue
		}
		names = append(names, c.Name)
	}
	names = append(names, plural(groups, "group"))
	fmt.Fprintf(w, "  %-10s Microsoft Graph, simulated %s\n", "connected", d.style.dim("("+clean(strings.Join(names, ", "))+")"))
}

// writePulls shows what each pull found and did.
func (d *demo) writePulls(w io.Writer, list []demoPull) {
	s := d.style
	for i, x := range list {
		r, label := x.run, first(i, "pulled")
		if i > 0 && list[i-1].decided != "" {
			label = "pulled"
		}
		fmt.Fprintf(w, "  %-10s %-11s %s %s\n", label, clean(r.Environment.Name), found(r), s.dim("("+costOf(r)+")"))
		if r.Error != nil {
			fmt.Fprintf(w, "  %-10s %s\n", "failed", s.red(clean(r.Error.Class+": "+r.Error.Detail)))
		}
		if r.State == "quarantined" && r.Hash != "" { // the run that is allowed has the reasons too
			for j, why := range r.Reasons {
				fmt.Fprintf(w, "  %-10s %s\n", first(j, "waits"), s.yellow(clean(why)))
			}
			fmt.Fprintf(w, "  %-10s bizzscim run allow %s --reason TEXT\n", "to allow", quoted(r.Environment.Name))
		}
		if x.decided != "" {
			fmt.Fprintf(w, "  %-10s %s\n", "decided", clean(x.decided))
		}
	}
}

// found says what a run found to do, and what became of it.
func found(r app.Run) string {
	planned, done := counted(plannedCounts(r.Counts)), counted(doneCounts(r.Counts))
	switch {
	case r.Error != nil:
		return r.State
	case planned == "" && done == "":
		return "nothing differs"
	case planned == "":
		return done
	case done == counted([]count{{"applied", r.Drift}}):
		return planned + ": done"
	}
	return planned + ": " + done
}

// costOf says what a run took: "31 people in 3 groups, 7 requests in 12ms, run …4b2f19".
func costOf(r app.Run) string {
	took := ""
	if r.Ended != nil {
		took = " in " + r.Ended.Sub(r.Started).String()
	}
	return fmt.Sprintf("%s in %s, %s%s, run %s", peopleOf(r.Counts.People), plural(len(r.Groups), "group"), plural(r.Requests, "request"), took, shortRun(r.ID))
}

// shortRun is the end of a run's id. The ids of one minute begin alike.
func shortRun(id string) string { return "…" + id[max(0, len(id)-6):] }

// quoted is a name as a shell takes it.
func quoted(name string) string {
	if strings.ContainsAny(name, " '\"") {
		return fmt.Sprintf("%q", name)
	}
	return name
}

// inPlace keeps what a pull has changed and, when push is back, says whether push found it as the directory says: an
// access that push changes back would be one that the pull got wrong, or that the directory has changed since.
func (d *demo) inPlace(c *demoCycle, events []app.LogEvent) string {
	changed := map[string]bool{}
	for _, e := range events {
		for _, x := range e.Accesses {
			changed[x.Environment.ID+x.Account.ID] = true
		}
	}
	if c.pushed == nil {
		d.repaired = changed
		return ""
	}
	all, kept := len(d.repaired), 0
	for key := range d.repaired {
		if !changed[key] {
			kept++
		}
	}
	d.repaired = nil
	switch {
	case all == 0:
		return ""
	case kept == all:
		return "all that the pull repaired: " + plural(all, "access")
	}
	return fmt.Sprintf("%d of the %s that the pull repaired; the directory has changed the others since", kept, plural(all, "access"))
}
