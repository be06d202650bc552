package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/app"
)

func (p *program) tenantCommand() *cli.Command {
	about := func() []cli.Flag {
		return []cli.Flag{
			&cli.StringSliceFlag{Name: "org", Usage: "`ORG` that may use it (repeatable)"},
			&cli.StringFlag{Name: "directory-id", Usage: "directory (tenant) `ID` in Entra"},
			&cli.StringSliceFlag{Name: "trusted-domain", Usage: "e-mail `DOMAIN` of its people: leads to its sign-in, gets mails about passwords, and its internal users may be taken over (repeatable)"},
		}
	}
	return family("tenant", "tenants: the links to the directories that push", p.credentialCommand(),
		p.command("create", "NAME", "create a tenant; NAME becomes part of its URL", p.createTenant, about()...),
		p.command("list", "", "list tenants", p.listTenants),
		p.command("show", "TENANT", "show one tenant", p.showTenant),
		p.command("set", "TENANT", "change a tenant; a list that is given replaces the one it had", p.setTenant, append(about(),
			&cli.BoolWithInverseFlag{Name: "strict", Usage: "SCIM by the letter of the RFC, without tolerance for Entra's ways"},
			&cli.IntFlag{Name: "user-patch", Usage: "answer PATCH of a user with `STATUS` 200 or 204"},
			&cli.IntFlag{Name: "group-patch", Usage: "answer PATCH of a group with `STATUS` 200 or 204"},
			&cli.IntFlag{Name: "rate", Usage: "`N` requests per second, at least 25; 0: the server's default"},
			&cli.IntFlag{Name: "burst", Usage: "`N` requests at once, at least 25; 0: the server's default"},
			&cli.StringSliceFlag{Name: "extension", Usage: "`FILE` with a SCIM Schema resource as JSON (repeatable)"},
			&cli.StringSliceFlag{Name: "remove-extension", Usage: "`URN` of an extension to remove (repeatable)"},
			&cli.StringFlag{Name: "cloud", Usage: "Microsoft's `CLOUD`: public, usgov, usgov-dod, china or custom"},
			&cli.StringFlag{Name: "login-url", Usage: "`URL` of the authority, of a custom cloud alone"},
			&cli.StringFlag{Name: "graph-url", Usage: "`URL` of Graph with the version, of a custom cloud alone"},
			&cli.StringFlag{Name: "client-id", Usage: "Application (client) `ID` of the application that synchronizes"},
			&cli.StringFlag{Name: "graph-user-name", Usage: "the pull makes userName from `PROPERTY` userPrincipalName or mail, as the push does"},
			&cli.StringFlag{Name: "sign-in-client-id", Usage: "Application (client) `ID` of the application that signs people in; empty: nobody signs in"},
			&cli.StringFlag{Name: "sign-in-label", Usage: "`NAME` that people know the organization as (default: the tenant's)"},
			&cli.StringFlag{Name: "sign-in-prompt", Usage: "`PROMPT` of the directory: login (credentials each time), select_account, or empty: as it sees fit"},
			&cli.StringFlag{Name: "sign-in-domain-hint", Usage: "`DOMAIN` that skips the directory's own choice of where to sign in"},
			&cli.StringFlag{Name: "sign-in-contact", Usage: "`WHOM` people ask: an address, a phone number, a sentence"},
			&cli.StringFlag{Name: "sign-in-password-url", Usage: "`URL` where people change their password (default: Microsoft's)"})...))
}

func (p *program) createTenant(ctx context.Context, cmd *cli.Command) error {
	t, err := call(ctx, p, cmd, app.TenantCreate, app.TenantInput{Name: cmd.Args().First(), Organizations: cmd.StringSlice("org"),
		DirectoryID: cmd.String("directory-id"), TrustedDomains: cmd.StringSlice("trusted-domain")})
	if err != nil {
		return err
	}
	return p.print(cmd, t, func(w io.Writer) {
		fmt.Fprintf(w, "created tenant %s (%s)\nTenant URL: %s\nnext: bizzscim token create %s\n", t.Name, t.ID, t.TenantURL, t.Name)
	})
}

func (p *program) listTenants(ctx context.Context, cmd *cli.Command) error {
	list, err := call(ctx, p, cmd, app.TenantList, app.None{})
	if err != nil {
		return err
	}
	return p.print(cmd, list, func(w io.Writer) {
		if len(list.Items) == 0 {
			fmt.Fprintln(w, "no tenants yet: create one with: bizzscim tenant create NAME")
			return
		}
		t := newTable(w, "name", "organizations", "environments", "users", "groups", "created", "id")
		for _, x := range list.Items {
			t.row(x.Name, x.Organizations, x.Environments, x.Users, x.Groups, x.Created, x.ID)
		}
		t.flush()
	})
}

func (p *program) showTenant(ctx context.Context, cmd *cli.Command) error {
	t, err := call(ctx, p, cmd, app.TenantShow, app.RefInput{Ref: cmd.Args().First()})
	if err != nil {
		return err
	}
	return p.print(cmd, t, func(w io.Writer) { writeTenant(w, t) })
}

func writeTenant(w io.Writer, x app.Tenant) {
	t := newTable(w)
	t.row("name", x.Name)
	t.row("id", x.ID)
	t.row("Tenant URL", x.TenantURL)
	t.row("token endpoint", x.TokenURL)
	t.row("organizations", x.Organizations)
	t.row("environments", x.Environments)
	t.row("directory id", x.DirectoryID)
	t.row("trusted domains", x.TrustedDomains)
	t.row("strict", x.Strict)
	t.row("answer to PATCH", fmt.Sprintf("%d for users, %d for groups", x.UserPatch, x.GroupPatch))
	t.row("requests per second", orDefault(x.RequestsPerSecond))
	t.row("burst", orDefault(x.Burst))
	t.row("extensions", x.Extensions)
	t.row("cloud", x.Graph.Cloud)
	if x.Graph.LoginURL != "" {
		t.row("authority", x.Graph.LoginURL)
		t.row("Graph", x.Graph.GraphURL)
	}
	t.row("client id of the pull", x.Graph.ClientID)
	t.row("credential of the pull", credentialText(x.Credential))
	t.row("userName of the pull", x.Graph.UserName)
	t.row("client id of the sign-in", x.SignIn.ClientID)
	t.row("credential of the sign-in", credentialText(x.SignInCredential))
	t.row("redirect URIs to register", []string{x.SignIn.RedirectURI, x.SignIn.SignedOut})
	t.row("logout URL to register", x.SignIn.LogoutURL)
	t.row("name of the organization", orText(x.SignIn.Label, "as the tenant"))
	t.row("prompt of the sign-in", orText(x.SignIn.Prompt, "as the directory sees fit"))
	t.row("domain hint", x.SignIn.DomainHint)
	t.row("whom people ask", x.SignIn.Contact)
	t.row("where passwords are changed", orText(x.SignIn.PasswordURL, "at Microsoft"))
	t.row("users", x.Users)
	t.row("groups", x.Groups)
	t.row("created", x.Created)
	t.flush()
}

func orText(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func credentialText(c *app.Credential) string {
	switch {
	case c == nil:
		return ""
	case c.Expires == nil:
		return fmt.Sprintf("%s, %s", kindText(c.Kind), c.State)
	}
	return fmt.Sprintf("%s, %s, until %s", kindText(c.Kind), c.State, when(*c.Expires))
}

func orDefault(n int) string {
	if n == 0 {
		return "default"
	}
	return number(int64(n))
}

func (p *program) setTenant(ctx context.Context, cmd *cli.Command) error {
	in := app.TenantChange{Ref: cmd.Args().First(),
		Organizations:     ifSet(cmd, "org", cmd.StringSlice("org")),
		DirectoryID:       ifSet(cmd, "directory-id", cmd.String("directory-id")),
		TrustedDomains:    ifSet(cmd, "trusted-domain", cmd.StringSlice("trusted-domain")),
		Strict:            ifSet(cmd, "strict", cmd.Bool("strict")),
		UserPatch:         ifSet(cmd, "user-patch", cmd.Int("user-patch")),
		GroupPatch:        ifSet(cmd, "group-patch", cmd.Int("group-patch")),
		RequestsPerSecond: ifSet(cmd, "rate", cmd.Int("rate")),
		Burst:             ifSet(cmd, "burst", cmd.Int("burst")),
		RemoveExtensions:  cmd.StringSlice("remove-extension"),
		Graph: app.GraphChange{Cloud: ifSet(cmd, "cloud", cmd.String("cloud")), LoginURL: ifSet(cmd, "login-url", cmd.String("login-url")),
			GraphURL: ifSet(cmd, "graph-url", cmd.String("graph-url")), ClientID: ifSet(cmd, "client-id", cmd.String("client-id")),
			UserName: ifSet(cmd, "graph-user-name", cmd.String("graph-user-name"))},
		SignIn: app.SignInChange{ClientID: ifSet(cmd, "sign-in-client-id", cmd.String("sign-in-client-id")), Label: ifSet(cmd, "sign-in-label", cmd.String("sign-in-label")),
			Prompt: ifSet(cmd, "sign-in-prompt", cmd.String("sign-in-prompt")), DomainHint: ifSet(cmd, "sign-in-domain-hint", cmd.String("sign-in-domain-hint")),
			Contact: ifSet(cmd, "sign-in-contact", cmd.String("sign-in-contact")), PasswordURL: ifSet(cmd, "sign-in-password-url", cmd.String("sign-in-password-url"))}}
	for _, name := range cmd.StringSlice("extension") {
		doc, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if !json.Valid(doc) {
			return fmt.Errorf("%s is not JSON: it must be a SCIM Schema resource", name)
		}
		in.Extensions = append(in.Extensions, doc)
	}
	t, err := call(ctx, p, cmd, app.TenantSet, in)
	if err != nil {
		return err
	}
	return p.print(cmd, t, func(w io.Writer) { writeTenant(w, t) })
}
