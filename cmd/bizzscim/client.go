package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/app"
)

func (p *program) clientCommand() *cli.Command {
	return family("client", "OAuth 2.0 clients: directories that fetch access tokens (client credentials)",
		p.command("create", "TENANT", "create a client; its secret is printed alone, and never shown again", p.createClient,
			&cli.StringFlag{Name: "id", Usage: "client `ID` (default: a new UUID)"},
			&cli.StringFlag{Name: "expires", Usage: "`TIME` the secret lives, such as 180d (the default)"},
			&cli.StringFlag{Name: "token-life", Usage: "`TIME` an access token lives, 1h (the default) to 6h"},
			&cli.StringFlag{Name: "issuer", Usage: "federated credential: `URL` of the issuer whose tokens it may present"},
			&cli.StringFlag{Name: "audience", Usage: "federated credential: `AUDIENCE` of those tokens"},
			&cli.StringFlag{Name: "subject", Usage: "federated credential: `SUBJECT` of those tokens"},
			&cli.BoolFlag{Name: "no-secret", Usage: "no secret beside the federated credential"}),
		p.command("list", "TENANT", "list the clients of a tenant", p.listClients),
		p.command("rotate", "TENANT [CLIENT]", "give a client a new secret and let the old ones end", p.rotateClient,
			&cli.StringFlag{Name: "expires", Usage: "`TIME` the new secret lives, such as 180d (the default)"},
			&cli.StringFlag{Name: "overlap", Usage: "`TIME` the old ones still work", Value: "24h"}),
		p.command("revoke", "TENANT [CLIENT]", "end a client, its secrets and its access tokens at once", p.revokeClient))
}

func clientRef(cmd *cli.Command) app.ClientRef {
	return app.ClientRef{Tenant: cmd.Args().Get(0), ClientID: cmd.Args().Get(1)}
}

func (p *program) createClient(ctx context.Context, cmd *cli.Command) error {
	in := app.ClientInput{Tenant: cmd.Args().First(), ClientID: cmd.String("id"), Life: cmd.String("expires"),
		TokenLife: cmd.String("token-life"), NoSecret: cmd.Bool("no-secret")}
	if cmd.IsSet("issuer") || cmd.IsSet("audience") || cmd.IsSet("subject") {
		in.Federated = &app.Federated{Issuer: cmd.String("issuer"), Audience: cmd.String("audience"), Subject: cmd.String("subject")}
	}
	out, err := call(ctx, p, cmd, app.ClientCreate, in)
	if err != nil {
		return err
	}
	return p.printClient(cmd, out)
}

func (p *program) rotateClient(ctx context.Context, cmd *cli.Command) error {
	out, err := call(ctx, p, cmd, app.ClientRotate, app.ClientRotation{ClientRef: clientRef(cmd), Life: cmd.String("expires"), Overlap: cmd.String("overlap")})
	if err != nil {
		return err
	}
	return p.printClient(cmd, out)
}

func (p *program) printClient(cmd *cli.Command, out app.NewClient) error {
	return p.print(cmd, out, func(w io.Writer) {
		c := out.Client
		fmt.Fprintf(p.stderr, "Client Identifier: %s\nToken endpoint: %s\n", c.ClientID, c.TokenURL)
		if out.Secret != "" {
			fmt.Fprintf(p.stderr, "Client Secret of tenant %s. It is shown only now: keep it well.\n", c.Tenant.Name)
			fmt.Fprintln(w, out.Secret)
		}
	})
}

func (p *program) listClients(ctx context.Context, cmd *cli.Command) error {
	tenant := cmd.Args().First()
	list, err := call(ctx, p, cmd, app.ClientList, app.RefInput{Ref: tenant})
	if err != nil {
		return err
	}
	return p.print(cmd, list, func(w io.Writer) {
		if len(list.Items) == 0 {
			fmt.Fprintf(w, "no clients yet: create one with: bizzscim client create %s\n", tenant)
			return
		}
		t := newTable(w, "client", "state", "secrets", "federated issuer", "token life", "created")
		for _, c := range list.Items {
			var secrets []string
			for _, s := range c.Secrets {
				secrets = append(secrets, "…"+s.Hint+" until "+when(s.Expires))
			}
			issuer := ""
			if c.Federated != nil {
				issuer = c.Federated.Issuer
			}
			t.row(c.ClientID, c.State, secrets, issuer, c.TokenLife, c.Created)
		}
		t.flush()
	})
}

func (p *program) revokeClient(ctx context.Context, cmd *cli.Command) error {
	c, err := call(ctx, p, cmd, app.ClientRevoke, clientRef(cmd))
	if err != nil {
		return err
	}
	return p.print(cmd, c, func(w io.Writer) { fmt.Fprintf(w, "revoked client %s of tenant %s\n", c.ClientID, c.Tenant.Name) })
}
