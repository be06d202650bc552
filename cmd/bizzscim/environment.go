package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/app"
)

func (p *program) environmentCommand() *cli.Command {
	settings := func() []cli.Flag {
		return []cli.Flag{
			&cli.StringFlag{Name: "tenant", Usage: "`TENANT` whose people get access"},
			&cli.StringSliceFlag{Name: "groups", Usage: "Groups to Sync: object `IDS`, separated by commas"},
			&cli.StringSliceFlag{Name: "default-menu", Usage: "`MENU` of new users (repeatable, or separated by commas)"},
			&cli.BoolWithInverseFlag{Name: "periodic", Usage: "periodically sync users: pull every 15 minutes"},
			&cli.BoolWithInverseFlag{Name: "transitive", Usage: "the pull counts members of nested groups too (push never does)"},
			&cli.BoolWithInverseFlag{Name: "guests", Usage: "the pull provisions guests too"},
			&cli.BoolFlag{Name: "pause", Usage: "no pull runs until --resume"},
			&cli.BoolFlag{Name: "resume", Usage: "pulls run again"},
			&cli.BoolWithInverseFlag{Name: "hold", Usage: "a pull that stops applies nothing at all, not even creates and updates"},
			&cli.IntFlag{Name: "stop-run-count", Usage: "a pull stops above `N` deactivations (default: 10) ..."},
			&cli.IntFlag{Name: "stop-run-percent", Usage: "... or `P` percent of the active external users, whichever is more (default: 5)"},
			&cli.IntFlag{Name: "stop-day-count", Usage: "the same for the last 24 hours: `N` (default: 20) ..."},
			&cli.IntFlag{Name: "stop-day-percent", Usage: "... or `P` percent (default: 10)"},
		}
	}
	c := family("env", "environments: the workspaces that people get access to",
		p.command("create", "NAME", "create an environment of an organization", p.createEnvironment,
			&cli.StringFlag{Name: "org", Usage: "`ORG` that owns it", Required: true}),
		p.command("list", "", "list environments", p.listEnvironments,
			&cli.StringFlag{Name: "org", Usage: "only those of `ORG`"}),
		p.command("show", "ENV", "show one environment (ENV: an id, a name, or ORG/NAME)", p.showEnvironment),
		p.command("integrate", "ENV", "switch the external users integration on, and set it up", p.integrate,
			append(settings(), &cli.BoolFlag{Name: "off", Usage: "switch it off instead: every access that it gave becomes inactive"})...),
		p.command("set", "ENV", "change settings of the external users integration", p.setEnvironment, settings()...),
		p.command("derivations", "ENV", "list the derivations of an environment, newest first", p.listDerivations,
			&cli.IntFlag{Name: "limit", Usage: "list `N` at most", Value: 20}))
	c.Aliases = []string{"environment"}
	return c
}

func (p *program) createEnvironment(ctx context.Context, cmd *cli.Command) error {
	e, err := call(ctx, p, cmd, app.EnvironmentCreate, app.EnvironmentInput{Name: cmd.Args().First(), Organization: cmd.String("org")})
	if err != nil {
		return err
	}
	return p.print(cmd, e, func(w io.Writer) {
		fmt.Fprintf(w, "created environment %s of organization %s (%s)\nnext: bizzscim env integrate %q --tenant TENANT --groups ID,ID\n",
			clean(e.Name), clean(e.Organization.Name), e.ID, e.Name)
	})
}

func (p *program) listEnvironments(ctx context.Context, cmd *cli.Command) error {
	list, err := call(ctx, p, cmd, app.EnvironmentList, app.EnvironmentFilter{Organization: cmd.String("org")})
	if err != nil {
		return err
	}
	return p.print(cmd, list, func(w io.Writer) {
		if len(list.Items) == 0 {
			fmt.Fprintln(w, "no environments yet: create one with: bizzscim env create NAME --org ORG")
			return
		}
		t := newTable(w, "organization", "name", "integration", "tenant", "groups", "active", "inactive", "id")
		for _, e := range list.Items {
			t.row(e.Organization, e.Name, onOff(e.Integration.Enabled), e.Integration.Tenant, len(e.Integration.Groups), e.Active, e.Inactive, e.ID)
		}
		t.flush()
	})
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func (p *program) showEnvironment(ctx context.Context, cmd *cli.Command) error {
	e, err := call(ctx, p, cmd, app.EnvironmentShow, app.RefInput{Ref: cmd.Args().First()})
	if err != nil {
		return err
	}
	return p.print(cmd, e, func(w io.Writer) { writeEnvironment(w, e) })
}

func writeEnvironment(w io.Writer, e app.Environment) {
	t := newTable(w)
	t.row("name", e.Name)
	t.row("id", e.ID)
	t.row("organization", e.Organization)
	t.row("integration", onOff(e.Integration.Enabled))
	if e.Integration.Enabled {
		t.row("tenant", e.Integration.Tenant)
		t.row("groups to sync", e.Integration.Groups)
		t.row("default menus", e.Integration.DefaultMenus)
		t.row("periodic sync", e.Integration.Periodic)
		t.row("pull", pullOf(e.Integration))
		s := e.Integration.Stops
		t.row("pull stops above", fmt.Sprintf("max(%d, %d %%) deactivations in a run, max(%d, %d %%) in 24 hours", s.RunCount, s.RunPercent, s.DayCount, s.DayPercent))
	}
	if e.LoginURL != "" {
		t.row("sign-in link", e.LoginURL)
	}
	t.row("people", fmt.Sprintf("%s active, %s inactive", number(e.Active), number(e.Inactive)))
	t.row("created", e.Created)
	t.flush()
}

func (p *program) integrate(ctx context.Context, cmd *cli.Command) error {
	if cmd.Bool("off") {
		for _, f := range cmd.Flags {
			if name := f.Names()[0]; name != "off" && f.IsSet() {
				return usagef(cmd, "--off takes no --%s", name)
			}
		}
	}
	on := !cmd.Bool("off")
	return p.changeIntegration(ctx, cmd, &on)
}

func (p *program) setEnvironment(ctx context.Context, cmd *cli.Command) error {
	return p.changeIntegration(ctx, cmd, nil)
}

func (p *program) changeIntegration(ctx context.Context, cmd *cli.Command, enabled *bool) (err error) {
	in := app.IntegrationInput{Environment: cmd.Args().First(), Enabled: enabled,
		Tenant:       ifSet(cmd, "tenant", cmd.String("tenant")),
		Groups:       ifSet(cmd, "groups", splitAll(cmd.StringSlice("groups"))),
		DefaultMenus: ifSet(cmd, "default-menu", splitAll(cmd.StringSlice("default-menu"))),
		Periodic:     ifSet(cmd, "periodic", cmd.Bool("periodic")),
		Transitive:   ifSet(cmd, "transitive", cmd.Bool("transitive")),
		Guests:       ifSet(cmd, "guests", cmd.Bool("guests")),
		Hold:         ifSet(cmd, "hold", cmd.Bool("hold")),
		Stops: app.StopsChange{RunCount: ifSet(cmd, "stop-run-count", cmd.Int("stop-run-count")), RunPercent: ifSet(cmd, "stop-run-percent", cmd.Int("stop-run-percent")),
			DayCount: ifSet(cmd, "stop-day-count", cmd.Int("stop-day-count")), DayPercent: ifSet(cmd, "stop-day-percent", cmd.Int("stop-day-percent"))}}
	switch pause := cmd.Bool("pause"); {
	case pause && cmd.Bool("resume"):
		return usagef(cmd, "--pause and --resume are opposites")
	case pause || cmd.Bool("resume"):
		in.Paused = &pause
	}
	c, err := p.connect(ctx, cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	out, err := app.Call(ctx, c, app.EnvironmentIntegrate, in)
	if err != nil {
		return err
	}
	if out.Derivation != nil {
		run, err := p.follow(ctx, c, *out.Derivation)
		if err != nil {
			return fmt.Errorf("the run goes on without this command; see: bizzscim env derivations %q: %w", in.Environment, err)
		}
		out.Derivation = &run
		if out.Environment, err = app.Call(ctx, c, app.EnvironmentShow, app.RefInput{Ref: out.Environment.ID}); err != nil {
			return err
		}
	}
	if out.Environment.Integration.Transitive && cmd.IsSet("transitive") && !wantsJSON(cmd) {
		fmt.Fprintln(p.stderr, "Entra pushes the direct members of a group alone. Who is in it through a nested group comes and goes with the pull alone, every 15 minutes at best.")
	}
	return p.print(cmd, out, func(w io.Writer) { writeEnvironment(w, out.Environment) })
}

// pullOf says in a few words what the pull of an environment does.
func pullOf(in app.Integration) string {
	parts := []string{"direct members"}
	if in.Transitive {
		parts[0] = "members of nested groups too"
	}
	if in.Guests {
		parts = append(parts, "with guests")
	} else {
		parts = append(parts, "no guests")
	}
	if in.Hold {
		parts = append(parts, "applies nothing while it waits for a decision")
	}
	if in.Paused {
		parts = append(parts, "paused")
	}
	return strings.Join(parts, ", ")
}

// splitAll splits what was given with commas.
func splitAll(list []string) []string {
	all := []string{}
	for _, s := range list {
		for part := range strings.SplitSeq(s, ",") {
			if part = strings.TrimSpace(part); part != "" {
				all = append(all, part)
			}
		}
	}
	return all
}

// follow waits for a run and shows how far it is, on the error output.
func (p *program) follow(ctx context.Context, c *app.Client, run app.Derivation) (app.Derivation, error) {
	terminal := isTerminal(p.stderr)
	line := func(end string) {
		fmt.Fprintf(p.stderr, "%s%s people looked at: %s granted, %s reactivated, %s deactivated%s",
			map[bool]string{true: "\r"}[terminal], number(int64(run.Done)), number(int64(run.Granted)), number(int64(run.Reactivated)), number(int64(run.Deactivated)), end)
	}
	shown := time.Now()
	for run.State != "complete" {
		if terminal {
			line("")
		} else if time.Since(shown) > 2*time.Second {
			line("\n")
			shown = time.Now()
		}
		select {
		case <-ctx.Done():
			return run, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		next, err := app.Call(ctx, c, app.DerivationShow, app.DerivationRef{Environment: run.Environment.ID, Derivation: run.ID})
		if err != nil {
			return run, err
		}
		run = next
	}
	line("\n")
	return run, nil
}

func (p *program) listDerivations(ctx context.Context, cmd *cli.Command) error {
	list, err := call(ctx, p, cmd, app.DerivationList, app.DerivationFilter{Environment: cmd.Args().First(), Limit: cmd.Int("limit")})
	if err != nil {
		return err
	}
	return p.print(cmd, list, func(w io.Writer) {
		if len(list.Items) == 0 {
			fmt.Fprintln(w, "no runs yet: a change of the integration that touches people makes one")
			return
		}
		t := newTable(w, "started", "trigger", "state", "ended", "people", "granted", "reactivated", "deactivated", "id")
		for _, r := range list.Items {
			t.row(r.Started, r.Trigger, r.State, r.Ended, r.Done, r.Granted, r.Reactivated, r.Deactivated, r.ID)
		}
		t.flush()
	})
}
