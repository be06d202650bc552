package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/app"
)

func (p *program) logCommand() *cli.Command {
	return p.command("log", "ENV|TENANT", "show the provisioning log of a tenant, or what changed access to an environment", p.showLog,
		&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on until Ctrl-C"},
		&cli.StringFlag{Name: "after", Usage: "start behind the event of this `NUMBER`"},
		&cli.IntFlag{Name: "limit", Usage: "show the last `N` (with --after: the next N)", Value: 50})
}

func (p *program) showLog(ctx context.Context, cmd *cli.Command) error {
	in := app.LogFilter{Ref: cmd.Args().First(), Newest: true, Page: pageOf(cmd)}
	list, err := call(ctx, p, cmd, app.LogList, in)
	if err != nil {
		return err
	}
	if !cmd.Bool("follow") {
		return p.print(cmd, list, func(w io.Writer) {
			if len(list.Items) == 0 {
				fmt.Fprintln(w, "nothing yet: events come when a directory pushes, or an integration changes")
				return
			}
			t := newTable(w)
			for _, e := range list.Items {
				t.row(eventCells(e)...)
			}
			t.flush()
		})
	}
	for {
		for _, e := range list.Items {
			if err := p.printEvent(cmd, e); err != nil {
				return err
			}
		}
		// The first page is the newest events, Next the place behind them.
		in.Newest, in.After, in.Limit = list.Next == "" && in.After == "", list.Next, 1000
		if len(list.Items) < in.Limit {
			select {
			case <-ctx.Done():
				return nil // Ctrl-C is how following ends
			case <-time.After(500 * time.Millisecond):
			}
		}
		// Each time anew: the server may have started or stopped in between.
		if list, err = call(ctx, p, cmd, app.LogList, in); err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the same
			}
			return err
		}
	}
}

func (p *program) printEvent(cmd *cli.Command, e app.LogEvent) error {
	if wantsJSON(cmd) {
		j := json.NewEncoder(p.stdout)
		j.SetEscapeHTML(false)
		return j.Encode(e)
	}
	var cells []string
	for _, c := range eventCells(e) {
		cells = append(cells, cell(c))
	}
	fmt.Fprintln(p.stdout, strings.TrimRight(strings.Join(cells, "  "), " "))
	return nil
}

func eventCells(e app.LogEvent) []any {
	target := e.TargetType
	if e.Target.Name != "" {
		target += " " + e.Target.Name
	}
	return []any{e.Time, fmt.Sprintf("%-7s", e.Status), fmt.Sprintf("%-7s", e.Action), target, outcome(e)}
}

// outcome says in a few words what an event did.
func outcome(e app.LogEvent) string {
	var parts []string
	if e.Detail != "" {
		parts = append(parts, e.Detail)
	}
	if e.Reason != "" {
		parts = append(parts, e.Reason)
	}
	parts = append(parts, changed(e.Changes)...)
	parts = append(parts, effects(e.Accesses)...)
	if e.Sessions > 0 {
		parts = append(parts, fmt.Sprintf("%d sessions ended", e.Sessions))
	}
	for _, w := range e.Warnings {
		parts = append(parts, "warning: "+w)
	}
	return strings.Join(parts, "; ")
}

// changed names the properties that changed; of members it counts.
func changed(changes []app.Change) (parts []string) {
	var properties []string
	for _, c := range changes {
		if c.Name != "members" {
			properties = append(properties, c.Name)
			continue
		}
		var added, removed []string
		_ = json.Unmarshal(c.New, &added) // what is no list counts nothing
		_ = json.Unmarshal(c.Old, &removed)
		if len(added) > 0 {
			parts = append(parts, plural(len(added), "member")+" added")
		}
		if len(removed) > 0 {
			parts = append(parts, plural(len(removed), "member")+" removed")
		}
	}
	if len(properties) > 0 {
		parts = append(parts, strings.Join(properties, ", "))
	}
	return parts
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if strings.HasSuffix(what, "s") {
		what += "e"
	}
	return number(int64(n)) + " " + what + "s"
}

// effects tells who gained and lost access: by name while they are few.
func effects(list []app.AccessEffect) (parts []string) {
	type kind struct{ effect, environment string }
	var order []kind
	people := map[kind][]string{}
	for _, x := range list {
		k := kind{x.Effect, x.Environment.Name}
		if !slices.Contains(order, k) {
			order = append(order, k)
		}
		people[k] = append(people[k], x.Account.Name)
	}
	for _, k := range order {
		who := strings.Join(people[k], ", ")
		if len(people[k]) > 3 {
			who = plural(len(people[k]), "person")
			who = strings.Replace(who, "persons", "people", 1)
		}
		parts = append(parts, fmt.Sprintf("%s: %s %s", k.environment, who, k.effect))
	}
	return parts
}

func (p *program) auditCommand() *cli.Command {
	return family("audit", "the record of administrative acts",
		p.command("verify", "", "check that no entry was changed, removed or reordered", p.verifyAudit))
}

func (p *program) verifyAudit(ctx context.Context, cmd *cli.Command) error {
	r, err := call(ctx, p, cmd, app.AuditVerify, app.None{})
	if err != nil {
		return err
	}
	err = p.print(cmd, r, func(w io.Writer) {
		if r.Whole {
			fmt.Fprintf(w, "the audit is whole: %s entries\n", number(int64(r.Entries)))
		}
	})
	if err == nil && !r.Whole {
		err = fmt.Errorf("%s: somebody or something wrote to the data behind the server's back; compare with a backup", r.Detail)
	}
	return err
}
