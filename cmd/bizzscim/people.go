package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/app"
)

func (p *program) userCommand() *cli.Command {
	return family("user", "users: people's accounts",
		p.command("create", "USERNAME", "create an internal user, whom no directory manages", p.createUser,
			&cli.StringFlag{Name: "email", Usage: "e-mail `ADDRESS`", Required: true},
			&cli.StringFlag{Name: "name", Usage: "full `NAME`"}),
		p.command("list", "", "list users", p.listUsers,
			append(pageFlags(), &cli.StringFlag{Name: "tenant", Usage: "only those that `TENANT` has provisioned"})...),
		p.command("forget-subject", "USER", "let the next sign-in say anew who USER is at the directory: after \"this is not the identity that we know\", once it is known why", p.forgetSubject,
			&cli.StringFlag{Name: "tenant", Usage: "look in `TENANT` alone"}),
		p.command("show", "USER", "show one user (USER: an id, a userName or an e-mail address)", p.showUser,
			&cli.StringFlag{Name: "tenant", Usage: "look in `TENANT` alone"}))
}

func (p *program) createUser(ctx context.Context, cmd *cli.Command) error {
	u, err := call(ctx, p, cmd, app.UserCreate, app.UserInput{UserName: cmd.Args().First(), Email: cmd.String("email"), Name: cmd.String("name")})
	if err != nil {
		return err
	}
	return p.print(cmd, u, func(w io.Writer) { fmt.Fprintf(w, "created internal user %s (%s)\n", clean(u.UserName), u.ID) })
}

func (p *program) forgetSubject(ctx context.Context, cmd *cli.Command) error {
	u, err := call(ctx, p, cmd, app.UserForgetSubject, app.UserRef{Ref: cmd.Args().First(), Tenant: cmd.String("tenant")})
	if err != nil {
		return err
	}
	return p.print(cmd, u, func(w io.Writer) {
		fmt.Fprintf(w, "the next sign-in of %s says anew who they are\n", clean(u.UserName))
	})
}

func (p *program) listUsers(ctx context.Context, cmd *cli.Command) error {
	list, err := call(ctx, p, cmd, app.UserList, app.UserFilter{Tenant: cmd.String("tenant"), Page: pageOf(cmd)})
	if err != nil {
		return err
	}
	return p.print(cmd, list, func(w io.Writer) {
		if len(list.Items) == 0 {
			fmt.Fprintln(w, "no users yet: they come when a directory pushes them (bizzscim tenant show TENANT tells where to)")
			return
		}
		t := newTable(w, "userName", "name", "e-mail", "managed by", "active", "id")
		for _, u := range list.Items {
			t.row(u.UserName, u.Name, u.Email, managedBy(u), activeText(u), u.ID)
		}
		t.flush()
		more(w, list, "bizzscim user list")
	})
}

func managedBy(u app.User) string {
	if u.Tenant == nil {
		return "BizzStream"
	}
	return "tenant " + u.Tenant.Name
}

func activeText(u app.User) string {
	switch {
	case u.Active == nil && u.Tenant == nil:
		return "-"
	case u.Active == nil:
		return "removed"
	}
	return cell(*u.Active)
}

func landingText(l app.Landing) string {
	if l.Chosen {
		return l.Name + " (chosen)"
	}
	return l.Name + " (the first access)"
}

func (p *program) showUser(ctx context.Context, cmd *cli.Command) error {
	u, err := call(ctx, p, cmd, app.UserShow, app.UserRef{Ref: cmd.Args().First(), Tenant: cmd.String("tenant")})
	if err != nil {
		return err
	}
	return p.print(cmd, u, func(w io.Writer) {
		t := newTable(w)
		t.row("userName", u.UserName)
		t.row("name", u.Name)
		t.row("e-mail", u.Email)
		t.row("account id", u.ID)
		t.row("managed by", managedBy(u))
		if u.Tenant != nil {
			t.row("SCIM id", u.SCIMID)
			t.row("externalId", u.ExternalID)
			t.row("active", activeText(u))
			t.row("groups", u.Groups)
		}
		if u.Default != nil {
			t.row("default environment", landingText(*u.Default))
		}
		if u.Protected {
			t.row("protected", "yes: no pull takes anything from it")
		}
		t.row("created", u.Created)
		t.row("modified", u.Modified)
		t.flush()
		if len(u.Accesses) == 0 {
			fmt.Fprintln(w, "\nno access to any environment")
			return
		}
		fmt.Fprintln(w)
		t = newTable(w, "environment", "administrator", "active", "menus", "since", "last change")
		for _, x := range u.Accesses {
			t.row(x.Environment, x.Administrator, x.Active, x.Menus, x.Created, x.Modified)
		}
		t.flush()
	})
}

func (p *program) groupCommand() *cli.Command {
	return family("group", "groups: what directories put people in",
		p.command("list", "", "list the groups of a tenant", p.listGroups,
			append(pageFlags(), &cli.StringFlag{Name: "tenant", Usage: "those of `TENANT` (default: the only one)"})...),
		p.command("show", "GROUP", "show one group (GROUP: an id, object id or display name)", p.showGroup,
			&cli.StringFlag{Name: "tenant", Usage: "of `TENANT` (default: the only one)"},
			&cli.IntFlag{Name: "limit", Usage: "list `N` members at most", Value: 100}))
}

func (p *program) listGroups(ctx context.Context, cmd *cli.Command) error {
	list, err := call(ctx, p, cmd, app.GroupList, app.GroupFilter{Tenant: cmd.String("tenant"), Page: pageOf(cmd)})
	if err != nil {
		return err
	}
	return p.print(cmd, list, func(w io.Writer) {
		if len(list.Items) == 0 {
			fmt.Fprintln(w, "no groups yet: they come when the directory pushes them")
			return
		}
		t := newTable(w, "displayName", "object id", "members", "environments", "modified", "id")
		for _, g := range list.Items {
			t.row(g.DisplayName, g.ExternalID, g.Members, g.Environments, g.Modified, g.ID)
		}
		t.flush()
		more(w, list, "bizzscim group list")
	})
}

func (p *program) showGroup(ctx context.Context, cmd *cli.Command) error {
	g, err := call(ctx, p, cmd, app.GroupShow, app.GroupRef{Ref: cmd.Args().First(), Tenant: cmd.String("tenant"), Limit: cmd.Int("limit")})
	if err != nil {
		return err
	}
	return p.print(cmd, g, func(w io.Writer) {
		t := newTable(w)
		t.row("displayName", g.DisplayName)
		t.row("object id", g.ExternalID)
		t.row("SCIM id", g.ID)
		t.row("tenant", g.Tenant)
		t.row("environments", g.Environments)
		t.row("modified", g.Modified)
		t.row("members", g.Members)
		t.flush()
		for _, m := range g.MemberList {
			fmt.Fprintln(w, "  "+clean(m.Name))
		}
		if n := g.Members - int64(len(g.MemberList)); n > 0 {
			fmt.Fprintf(w, "  and %s more\n", number(n))
		}
	})
}

func (p *program) accessCommand() *cli.Command {
	return p.command("access", "ENV", "list who has access to an environment", p.listAccesses,
		append(pageFlags(), &cli.StringFlag{Name: "state", Usage: "only those that are `STATE`: active or inactive"})...)
}

func (p *program) listAccesses(ctx context.Context, cmd *cli.Command) error {
	list, err := call(ctx, p, cmd, app.AccessList, app.AccessFilter{Environment: cmd.Args().First(), State: cmd.String("state"), Page: pageOf(cmd)})
	if err != nil {
		return err
	}
	return p.print(cmd, list, func(w io.Writer) {
		if len(list.Items) == 0 {
			fmt.Fprintln(w, "nobody has access yet: people of the environment's Groups to Sync get it when their directory pushes them")
			return
		}
		t := newTable(w, "userName", "name", "e-mail", "administrator", "active", "menus", "since", "last change")
		for _, x := range list.Items {
			t.row(x.Account, x.Name, x.Email, x.Administrator, x.Active, x.Menus, x.Created, x.Modified)
		}
		t.flush()
		more(w, list, "bizzscim access "+cmd.Args().First())
	})
}
