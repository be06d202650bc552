package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/app"
)

func (p *program) syncCommand() *cli.Command {
	c := p.command("sync", "ENV", "pull now: bring an environment in line with its Groups to Sync", p.sync,
		&cli.BoolFlag{Name: "preview", Usage: "make the plan and apply nothing"},
		&cli.BoolFlag{Name: "restore", Usage: "also bring back what push or an operator took away, once that is allowed"},
		&cli.BoolWithInverseFlag{Name: "watch", Usage: "follow the run to its end (--no-watch: let the server go on alone)", Value: true})
	c.Description = "Reads the members of the groups, compares them with what the push has left, and repairs the difference.\n" +
		"What would take away more than it should waits for a decision. Exit code 1: it failed, or waits.\n\n" +
		"Examples:\n  bizzscim sync Production --preview\n  bizzscim sync Fjord/Production"
	return c
}

func (p *program) runsCommand() *cli.Command {
	return p.command("runs", "ENV", "list the pull runs of an environment, newest first", p.listRuns,
		&cli.IntFlag{Name: "limit", Usage: "list `N` at most", Value: 20})
}

func (p *program) runCommand() *cli.Command {
	show := p.command("show", "RUN", "show a run and its plan", p.showRun,
		&cli.IntFlag{Name: "items", Usage: "show `N` people of the plan", Value: 50},
		&cli.BoolFlag{Name: "all", Usage: "show everybody"},
		&cli.StringFlag{Name: "after", Usage: "start behind the person of this `NUMBER`"})
	allow := p.command("allow", "RUN", "allow what a run holds back, once", p.allowRun,
		&cli.StringFlag{Name: "reason", Usage: "`TEXT` that says why this is right; it is kept", Required: true},
		&cli.StringFlag{Name: "hash", Usage: "`HASH` of the plan that was looked at (needed where nobody can be asked)"})
	allow.Description = "The directory is read again, and exactly this plan is applied. If anything is different by then, nothing\n" +
		"of it is, and the new plan waits in its place.\n\n" +
		"Examples:\n  bizzscim run allow Production --reason 'the Benelux team has moved, ticket 4711'\n" +
		"  bizzscim run allow Production --hash 6b3f… --reason 'ticket 4711'"
	return family("run", "pull runs (RUN: its id, or an environment for the one that is meant)", show, allow,
		p.command("discard", "RUN", "drop what a run holds back: nothing of it is done", p.discardRun,
			&cli.StringFlag{Name: "reason", Usage: "`TEXT` that says why; it is kept"}),
		p.command("cancel", "RUN", "stop a run under way; what it has applied stays", p.cancelRun))
}

func (p *program) pullCommand() *cli.Command {
	return family("pull", "the pulls of all environments",
		p.command("status", "", "show how the pulls are, and the credentials that they need", p.pullStatus))
}

func (p *program) sync(ctx context.Context, cmd *cli.Command) (err error) {
	c, err := p.connect(ctx, cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	run, err := app.Call(ctx, c, app.SyncStart, app.SyncInput{Environment: cmd.Args().First(), Preview: cmd.Bool("preview"), Restore: cmd.Bool("restore")})
	if err != nil {
		return err
	}
	if c.Remote() && !cmd.Bool("watch") {
		return p.print(cmd, run, func(w io.Writer) {
			fmt.Fprintf(w, "run %s of %s is under way\nnext: bizzscim run show %s\n", run.ID, clean(run.Environment.Name), run.ID)
		})
	}
	return p.watchRun(ctx, cmd, c, run)
}

// watchRun follows a run to its end and says how it went.
func (p *program) watchRun(ctx context.Context, cmd *cli.Command, c *app.Client, run app.Run) error {
	run, err := p.followRun(ctx, c, run)
	if err != nil {
		if ctx.Err() != nil && c.Remote() {
			return fmt.Errorf("the run goes on without this command; see: bizzscim run show %s: %w", run.ID, err)
		}
		return err
	}
	if err := p.print(cmd, run, func(w io.Writer) { writeRun(w, run) }); err != nil {
		return err
	}
	return verdict(run)
}

// verdict is the error of a run that did not do what it should.
func verdict(run app.Run) error {
	switch run.State {
	case "quarantined":
		return fmt.Errorf("the run waits for a decision: %s", strings.Join(run.Reasons, "; "))
	case "failed":
		return fmt.Errorf("the run failed: %s", run.Error.Detail)
	case "cancelled", "interrupted":
		return fmt.Errorf("the run was %s", run.State)
	}
	return nil
}

// followRun waits for the end of a run and shows how far it is, on the error output.
func (p *program) followRun(ctx context.Context, c *app.Client, run app.Run) (app.Run, error) {
	terminal := isTerminal(p.stderr)
	var stage string
	var since, shown time.Time
	for run.State == "running" {
		if run.Stage != stage {
			stage, since = run.Stage, time.Now()
		}
		switch line := progressOf(run, time.Since(since)); {
		case line == "":
		case terminal:
			fmt.Fprintf(p.stderr, "\r\x1b[K%s", line)
		case time.Since(shown) > 2*time.Second:
			shown = time.Now()
			fmt.Fprintln(p.stderr, line)
		}
		if !pause(ctx, 100*time.Millisecond) {
			return run, ctx.Err()
		}
		next, err := app.Call(ctx, c, app.RunShow, app.RunQuery{Ref: run.ID, Page: app.Page{Limit: 1}})
		if err != nil {
			return run, err
		}
		run = next.Run
	}
	if terminal {
		fmt.Fprint(p.stderr, "\r\x1b[K")
	}
	return run, nil
}

// progressOf says what a run does: the stage, how far it is, and how fast.
func progressOf(run app.Run, took time.Duration) string {
	if run.Stage == "" {
		return ""
	}
	line := run.Stage + ": " + number(int64(run.Done))
	if run.Total > 0 {
		line += " of " + number(int64(run.Total))
	}
	line += " people"
	if s := took.Seconds(); s >= 1 && run.Done > 0 {
		line += fmt.Sprintf(", %s/s", number(int64(float64(run.Done)/s)))
	}
	return line
}

// writeRun writes a run, and what to type next.
func writeRun(w io.Writer, r app.Run) {
	t := newTable(w)
	t.row("run", r.ID)
	t.row("environment", r.Environment)
	t.row("tenant", r.Tenant)
	t.row("begun", r.Started)
	t.row("by", beginner(r))
	t.row("state", stateOf(r))
	t.row("read", readOf(r))
	if planned := planOf(r); planned != "" {
		t.row("plan", planned)
	} else if r.Error == nil && r.Ended != nil {
		t.row("plan", "nothing differs")
	}
	if done := counted(doneCounts(r.Counts)); done != "" {
		t.row("done", done)
	}
	for _, x := range r.Deactivated {
		t.row("deactivated", fmt.Sprintf("%s in %s", plural(x.Accesses, "access"), x.Environment.Name))
	}
	if r.Hash != "" {
		t.row("hash", r.Hash)
	}
	if x := r.Approval; x != nil {
		t.row("allowed by", fmt.Sprintf("%s at %s: %s", x.By, when(x.Given), x.Reason))
	}
	t.flush()
	for _, s := range r.Reasons {
		fmt.Fprintf(w, "  %s: %s\n", heldBy(r), clean(s))
	}
	for _, s := range r.Notes {
		fmt.Fprintln(w, "  note:", clean(s))
	}
	if e := r.Error; e != nil {
		fmt.Fprintf(w, "  error: %s: %s\n", clean(e.Class), clean(e.Detail))
		if e.Code != "" || e.RequestID != "" {
			fmt.Fprintf(w, "  code %s, Microsoft's request id %s\n", orDash(clean(e.Code)), orDash(clean(e.RequestID)))
		}
	}
	for i, s := range nextSteps(r) {
		fmt.Fprintln(w, map[bool]string{true: "next:", false: "  or:"}[i == 0], s)
	}
}

// heldBy says what a reason to hold a run back means by now.
func heldBy(r app.Run) string {
	switch r.State {
	case "quarantined":
		return "waits"
	case "preview":
		return "would wait"
	}
	return "had to be allowed"
}

func beginner(r app.Run) string {
	if r.By == "" {
		return r.Trigger
	}
	return r.Trigger + ", " + r.By
}

func stateOf(r app.Run) string {
	s := r.State
	if r.Ended != nil {
		s += " after " + r.Ended.Sub(r.Started).Round(time.Millisecond).String()
	} else if r.Stage != "" {
		s += ", " + progressOf(r, 0)
	}
	return s + pushOf(r)
}

// pushOf says whether push did nothing for long, so that the pull does its work, or is at work itself.
func pushOf(r app.Run) string {
	switch {
	case r.PushSilent:
		return " (push was silent)"
	case r.Tenant != nil: // else the run ended before it looked
		return " (push is at work)"
	}
	return ""
}

// planOf says what differs: where push is at work, that is what push has missed.
func planOf(r app.Run) string {
	s := counted(plannedCounts(r.Counts))
	if s != "" && r.Drift > 0 && !r.PushSilent && !r.Restore {
		s += " (drift: push has left it so)"
	}
	return s
}

func readOf(r app.Run) string {
	s := fmt.Sprintf("%s in %s; %s, %s", peopleOf(r.Counts.People), plural(len(r.Groups), "group"), plural(r.Pages, "page"), plural(r.Requests, "request"))
	if r.Retries > 0 {
		s += fmt.Sprintf(", %d sent again", r.Retries)
	}
	return s
}

func peopleOf(n int) string {
	if n == 1 {
		return "1 person"
	}
	return number(int64(n)) + " people"
}

// count is one number of a run in words.
type count struct {
	what string
	n    int
}

func plannedCounts(c app.Counts) []count {
	return []count{{"create", c.Create}, {"re-attach", c.Reattach}, {"update", c.Update}, {"grant", c.Grant}, {"re-activate", c.Reactivate},
		{"revoke", c.Revoke}, {"deactivate", c.Deactivate}, {"conflict", c.Conflict}}
}

func doneCounts(c app.Counts) []count {
	return []count{{"applied", c.Applied}, {"held", c.Held}, {"waiting", c.Waiting}, {"withheld", c.Withheld},
		{"skipped", c.Skipped}, {"failed", c.Failed}}
}

func counted(list []count) string {
	var parts []string
	for _, c := range list {
		if c.n > 0 {
			parts = append(parts, number(int64(c.n))+" "+c.what)
		}
	}
	return strings.Join(parts, ", ")
}

// nextSteps are the commands that follow from how a run is.
func nextSteps(r app.Run) []string {
	held := r.ID
	if r.PlanOf != "" {
		held = r.PlanOf
	}
	switch {
	case r.State == "quarantined" && r.Hash != "":
		return []string{"bizzscim run show " + held + " --all", fmt.Sprintf("bizzscim run allow %s --hash %s --reason TEXT", held, r.Hash), "bizzscim run discard " + held}
	case r.State == "preview" && r.Hash == "" && r.Drift > 0:
		return []string{fmt.Sprintf("bizzscim sync %q", r.Environment.Name)}
	case r.State == "preview" && r.Drift > 0:
		return []string{"bizzscim run show " + r.ID + " --all", fmt.Sprintf("bizzscim sync %q", r.Environment.Name)}
	case r.Error == nil:
		return nil
	}
	switch r.Error.Class {
	case "scope missing":
		return []string{fmt.Sprintf("bizzscim env set %q --groups ID,ID", r.Environment.Name), "bizzscim run discard " + r.ID}
	case "configuration", "authentication", "permission":
		if r.Tenant != nil {
			return []string{"bizzscim tenant credential test " + r.Tenant.Name}
		}
	}
	return nil
}

func (p *program) listRuns(ctx context.Context, cmd *cli.Command) error {
	env := cmd.Args().First()
	list, err := call(ctx, p, cmd, app.RunList, app.RunFilter{Environment: env, Limit: cmd.Int("limit")})
	if err != nil {
		return err
	}
	return p.print(cmd, list, func(w io.Writer) {
		if len(list.Items) == 0 {
			fmt.Fprintf(w, "no runs yet: begin one with: bizzscim sync %q\n", env)
			return
		}
		t := newTable(w, "begun", "by", "state", "took", "people", "plan", "applied", "deactivated", "id")
		for _, r := range list.Items {
			took := "-"
			if r.Ended != nil {
				took = r.Ended.Sub(r.Started).Round(time.Millisecond).String()
			}
			t.row(r.Started, beginner(r), r.State, took, r.Counts.People, r.Drift, r.Counts.Applied, r.Counts.Deactivated, r.ID)
		}
		t.flush()
	})
}

func (p *program) showRun(ctx context.Context, cmd *cli.Command) (err error) {
	c, err := p.connect(ctx, cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	q := app.RunQuery{Ref: cmd.Args().First(), Page: app.Page{After: cmd.String("after"), Limit: cmd.Int("items")}}
	if cmd.Bool("all") {
		q.Limit = 1000
	}
	out, err := app.Call(ctx, c, app.RunShow, q)
	if err != nil {
		return err
	}
	for cmd.Bool("all") && out.Items.Next != "" {
		q.Ref, q.After = out.Run.ID, out.Items.Next
		next, err := app.Call(ctx, c, app.RunShow, q)
		if err != nil {
			return err
		}
		out.Items.Items, out.Items.Next = append(out.Items.Items, next.Items.Items...), next.Items.Next
	}
	return p.print(cmd, out, func(w io.Writer) {
		writeRun(w, out.Run)
		writeItems(w, out.Items.Items)
		more(w, out.Items, "bizzscim run show "+out.Run.ID)
		if out.Run.PlanOf != "" {
			fmt.Fprintf(w, "\nwhat it holds back is the plan of run %s: bizzscim run show %s\n", out.Run.PlanOf, out.Run.PlanOf)
		}
	})
}

func writeItems(w io.Writer, items []app.PlanItem) {
	if len(items) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := newTable(w, "#", "what", "who", "changes", "reason", "outcome")
	for _, i := range items {
		reason, outcome := i.Reason, i.Outcome
		if i.Evidence != "" {
			reason += " (" + i.Evidence + ")"
		}
		if i.Detail != "" {
			outcome += ": " + i.Detail
		}
		t.row(strconv.FormatUint(i.Number, 10), i.Kind, i.UserName, changesOf(i.Changes), reason, outcome)
	}
	t.flush()
}

// changesOf says what changes from what to what.
func changesOf(list []app.Change) string {
	var parts []string
	for _, c := range list {
		before, after := plainJSON(c.Old), plainJSON(c.New)
		switch {
		case before == "":
			parts = append(parts, fmt.Sprintf("%s: + %s", c.Name, after))
		case after == "":
			parts = append(parts, fmt.Sprintf("%s: - %s", c.Name, before))
		default:
			parts = append(parts, fmt.Sprintf("%s: %s → %s", c.Name, before, after))
		}
	}
	return strings.Join(parts, "; ")
}

// plainJSON shows a text or a list of texts without the marks of JSON.
func plainJSON(doc json.RawMessage) string {
	var text string
	if json.Unmarshal(doc, &text) == nil {
		return text
	}
	var list []string
	if json.Unmarshal(doc, &list) == nil {
		return strings.Join(list, ", ")
	}
	return string(doc)
}

func (p *program) allowRun(ctx context.Context, cmd *cli.Command) (err error) {
	c, err := p.connect(ctx, cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	in := app.RunDecision{Ref: cmd.Args().First(), Hash: cmd.String("hash"), Reason: cmd.String("reason")}
	if in.Hash == "" {
		if in.Ref, in.Hash, err = p.askToAllow(ctx, cmd, c, in.Ref); err != nil {
			return err
		}
	}
	run, err := app.Call(ctx, c, app.RunAllow, in)
	if err != nil {
		return err
	}
	return p.watchRun(ctx, cmd, c, run)
}

// askToAllow shows a plan to a person and asks. It returns the run and the hash that were shown.
func (p *program) askToAllow(ctx context.Context, cmd *cli.Command, c *app.Client, ref string) (id, hash string, err error) {
	// Allowing nothing finds the run that is meant, and says why it cannot be.
	_, err = app.Call(ctx, c, app.RunAllow, app.RunDecision{Ref: ref})
	var refused *app.Error
	if !errors.As(err, &refused) || refused.Field != "hash" {
		return "", "", err
	}
	out, err := p.waitingRun(ctx, c, ref)
	if err != nil {
		return "", "", err
	}
	if !isTerminal(p.stdin) || wantsJSON(cmd) {
		return "", "", usagef(cmd, "say which plan with --hash (that of run %s is %s)", out.Run.ID, out.Run.Hash)
	}
	writeRun(p.stderr, out.Run)
	writeItems(p.stderr, out.Items.Items)
	fmt.Fprintf(p.stderr, "\nAllow this plan? Type yes: ")
	answer, err := bufio.NewReader(p.stdin).ReadString('\n')
	if strings.TrimSpace(answer) != "yes" {
		return "", "", errors.Join(errors.New("nothing was allowed"), ignoreEOF(err))
	}
	return out.Run.ID, out.Run.Hash, nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// waitingRun shows the run that is meant by its id or its environment.
func (p *program) waitingRun(ctx context.Context, c *app.Client, ref string) (app.RunPlan, error) {
	all, err := app.Call(ctx, c, app.PullStatus, app.None{})
	if err != nil {
		return app.RunPlan{}, err
	}
	if env, err := app.Call(ctx, c, app.EnvironmentShow, app.RefInput{Ref: ref}); err == nil {
		for _, s := range all.Environments {
			if s.Environment.ID == env.ID {
				ref = s.Quarantined
			}
		}
	}
	return app.Call(ctx, c, app.RunShow, app.RunQuery{Ref: ref, Page: app.Page{Limit: 100}})
}

func (p *program) discardRun(ctx context.Context, cmd *cli.Command) error {
	run, err := call(ctx, p, cmd, app.RunDiscard, app.RunDecision{Ref: cmd.Args().First(), Reason: cmd.String("reason")})
	if err != nil {
		return err
	}
	return p.print(cmd, run, func(w io.Writer) {
		fmt.Fprintf(w, "discarded run %s of %s: nothing of it is done, and the next run plans anew\n", run.ID, clean(run.Environment.Name))
	})
}

func (p *program) cancelRun(ctx context.Context, cmd *cli.Command) error {
	run, err := call(ctx, p, cmd, app.RunCancel, app.RefInput{Ref: cmd.Args().First()})
	if err != nil {
		return err
	}
	return p.print(cmd, run, func(w io.Writer) {
		fmt.Fprintf(w, "run %s of %s stops at its next safe point\n", run.ID, clean(run.Environment.Name))
	})
}

func (p *program) pullStatus(ctx context.Context, cmd *cli.Command) error {
	out, err := call(ctx, p, cmd, app.PullStatus, app.None{})
	if err != nil {
		return err
	}
	return p.print(cmd, out, func(w io.Writer) {
		if len(out.Environments) == 0 {
			fmt.Fprintln(w, "no environment is joined to a tenant: join one with: bizzscim env integrate ENV --tenant TENANT --groups ID,ID")
		} else {
			t := newTable(w, "environment", "tenant", "state", "last success", "next", "failures", "drift", "waiting run")
			for _, s := range out.Environments {
				t.row(s.Environment, s.Tenant, s.State, s.LastSuccess, s.Next, s.Failures, s.Drift, s.Quarantined)
			}
			t.flush()
		}
		for _, s := range out.Environments {
			if s.Error != nil {
				fmt.Fprintf(w, "%s: %s: %s\n", clean(s.Environment.Name), clean(s.Error.Class), clean(s.Error.Detail))
			}
			if s.NotBefore != nil && s.NotBefore.After(time.Now()) {
				fmt.Fprintf(w, "%s: Microsoft Graph asked to wait until %s\n", clean(s.Environment.Name), when(*s.NotBefore))
			}
		}
		if len(out.Credentials) > 0 {
			fmt.Fprintln(w)
			writeCredentials(w, out.Credentials)
		}
	})
}
