package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/app"
)

func (p *program) sessionCommand() *cli.Command {
	tenant := func() cli.Flag { return &cli.StringFlag{Name: "tenant", Usage: "look for the user in `TENANT` alone"} }
	return family("session", "sessions: who is signed in",
		p.command("list", "[USER]", "list the sessions of a user, or of everybody", p.listSessions,
			append(pageFlags(), tenant(), &cli.BoolFlag{Name: "ended", Usage: "also those that have ended, and why"})...),
		p.command("end", "USER", "sign a user out", p.endSession,
			&cli.StringFlag{Name: "session", Usage: "`ID` of the session to end"}, &cli.BoolFlag{Name: "all", Usage: "end all of them"}, tenant()))
}

func (p *program) listSessions(ctx context.Context, cmd *cli.Command) error {
	user := cmd.Args().First()
	list, err := call(ctx, p, cmd, app.SessionList, app.SessionFilter{User: user, Tenant: cmd.String("tenant"), Ended: cmd.Bool("ended"), Page: pageOf(cmd)})
	if err != nil {
		return err
	}
	return p.print(cmd, list, func(w io.Writer) {
		if len(list.Items) == 0 {
			fmt.Fprintln(w, "nobody is signed in")
			return
		}
		columns := []string{"userName", "signed in with", "from", "since", "last seen", "until", "session"}
		if cmd.Bool("ended") {
			columns = append(columns, "ended", "reason")
		}
		t := newTable(w, columns...)
		for _, s := range list.Items {
			cells := []any{s.Account, methodText(s), s.Address, s.Created, s.Seen, s.Expires, s.ID}
			if cmd.Bool("ended") {
				cells = append(cells, s.Ended, s.Reason)
			}
			t.row(cells...)
		}
		t.flush()
		more(w, list, "bizzscim session list")
	})
}

func methodText(s app.Session) string {
	switch {
	case s.Tenant != nil:
		return "tenant " + s.Tenant.Name
	case s.Method == "link":
		return "a link"
	}
	return "a " + s.Method
}

func (p *program) endSession(ctx context.Context, cmd *cli.Command) error {
	if cmd.IsSet("session") == cmd.Bool("all") {
		return usagef(cmd, "say which session to end with --session ID, or --all")
	}
	out, err := call(ctx, p, cmd, app.SessionEnd, app.SessionRef{UserRef: app.UserRef{Ref: cmd.Args().First(), Tenant: cmd.String("tenant")},
		Session: cmd.String("session"), All: cmd.Bool("all")})
	if err != nil {
		return err
	}
	return p.print(cmd, out, func(w io.Writer) {
		fmt.Fprintf(w, "ended %s of %s\n", plural(out.Ended, "session"), clean(out.Account.Name))
	})
}
