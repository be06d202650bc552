package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/app"
)

func (p *program) organizationCommand() *cli.Command {
	c := family("org", "organizations: the customers, who own environments",
		p.command("create", "NAME", "create an organization", p.createOrganization),
		p.command("list", "", "list organizations", p.listOrganizations),
		p.command("show", "ORG", "show one organization", p.showOrganization))
	c.Aliases = []string{"organization"}
	return c
}

func (p *program) createOrganization(ctx context.Context, cmd *cli.Command) error {
	o, err := call(ctx, p, cmd, app.OrganizationCreate, app.NameInput{Name: cmd.Args().First()})
	if err != nil {
		return err
	}
	return p.print(cmd, o, func(w io.Writer) {
		fmt.Fprintf(w, "created organization %s (%s)\nnext: bizzscim env create NAME --org %q\n", clean(o.Name), o.ID, o.Name)
	})
}

func (p *program) listOrganizations(ctx context.Context, cmd *cli.Command) error {
	list, err := call(ctx, p, cmd, app.OrganizationList, app.None{})
	if err != nil {
		return err
	}
	return p.print(cmd, list, func(w io.Writer) {
		if len(list.Items) == 0 {
			fmt.Fprintln(w, "no organizations yet: create one with: bizzscim org create NAME")
			return
		}
		t := newTable(w, "name", "environments", "tenants", "created", "id")
		for _, o := range list.Items {
			t.row(o.Name, o.Environments, o.Tenants, o.Created, o.ID)
		}
		t.flush()
	})
}

func (p *program) showOrganization(ctx context.Context, cmd *cli.Command) error {
	o, err := call(ctx, p, cmd, app.OrganizationShow, app.RefInput{Ref: cmd.Args().First()})
	if err != nil {
		return err
	}
	return p.print(cmd, o, func(w io.Writer) {
		t := newTable(w)
		t.row("name", o.Name)
		t.row("id", o.ID)
		t.row("environments", o.Environments)
		t.row("tenants", o.Tenants)
		t.row("created", o.Created)
		t.flush()
	})
}
