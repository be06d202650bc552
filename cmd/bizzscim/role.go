package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/app"
)

func (p *program) roleCommand() *cli.Command {
	tenant := func() cli.Flag { return &cli.StringFlag{Name: "tenant", Usage: "look for the user in `TENANT` alone"} }
	organization := func() cli.Flag {
		return &cli.StringFlag{Name: "organization", Aliases: []string{"org"}, Usage: "`ORG` that a partner is one of"}
	}
	set := func(grant bool) cli.ActionFunc {
		return func(ctx context.Context, cmd *cli.Command) error { return p.setRole(ctx, cmd, grant) }
	}
	return family("role", "roles: operators and partners (administrators of an environment: bizzscim account administrator)",
		p.command("show", "USER", "show the roles of a user", p.showRoles, tenant()),
		p.command("grant", "USER ROLE", "give a role (ROLE: operator or partner)", set(true), organization(), tenant()),
		p.command("revoke", "USER ROLE", "take a role back; the user is signed out", set(false), organization(), tenant()))
}

func (p *program) showRoles(ctx context.Context, cmd *cli.Command) error {
	r, err := call(ctx, p, cmd, app.RoleShow, app.UserRef{Ref: cmd.Args().First(), Tenant: cmd.String("tenant")})
	if err != nil {
		return err
	}
	return p.print(cmd, r, func(w io.Writer) { writeRoles(w, r) })
}

func (p *program) setRole(ctx context.Context, cmd *cli.Command, grant bool) error {
	role := cmd.Args().Get(1)
	switch {
	case role != "operator" && role != "partner":
		return usagef(cmd, "ROLE is operator or partner, not %q", role)
	case role == "partner" && !cmd.IsSet("organization"):
		return usagef(cmd, "say of which organization with --organization")
	}
	r, err := call(ctx, p, cmd, app.RoleSet, app.RoleChange{UserRef: app.UserRef{Ref: cmd.Args().First(), Tenant: cmd.String("tenant")}, Role: role,
		Organization: cmd.String("organization"), Grant: grant})
	if err != nil {
		return err
	}
	return p.print(cmd, r, func(w io.Writer) {
		writeRoles(w, r)
		if grant && !r.SignsIn {
			fmt.Fprintf(w, "next: bizzscim operator reset-password %s, for a password to sign in with\n", r.Account.ID)
		}
	})
}

func writeRoles(w io.Writer, r app.Roles) {
	t := newTable(w)
	t.row("user", r.Account)
	t.row("operator", r.Operator)
	t.row("partner of", r.PartnerOf)
	t.row("administrator of", r.Administrator)
	t.flush()
}
