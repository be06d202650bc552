package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/app"
)

func (p *program) tokenCommand() *cli.Command {
	return family("token", "Secret Tokens: what a directory signs in with",
		p.command("create", "TENANT", "create a token; it is printed alone, and never shown again", p.createToken,
			&cli.StringFlag{Name: "name", Usage: "`NAME` to know it by"},
			&cli.StringFlag{Name: "expires", Usage: "`TIME` it lives, such as 180d (the default) or 12h"}),
		p.command("list", "TENANT", "list the tokens of a tenant", p.listTokens),
		p.command("rotate", "TENANT [TOKEN]", "create a token and let the old one end (TOKEN: its id, name or last four characters)", p.rotateToken,
			&cli.StringFlag{Name: "name", Usage: "`NAME` of the new one (default: that of the old one)"},
			&cli.StringFlag{Name: "expires", Usage: "`TIME` the new one lives, such as 180d (the default) or 12h"},
			&cli.StringFlag{Name: "overlap", Usage: "`TIME` the old one still works", Value: "24h"}),
		p.command("revoke", "TENANT [TOKEN]", "end a token at once", p.revokeToken))
}

func (p *program) createToken(ctx context.Context, cmd *cli.Command) error {
	return p.printToken(ctx, cmd, func(c *app.Client) (app.NewToken, error) {
		return app.Call(ctx, c, app.TokenCreate, app.TokenInput{Tenant: cmd.Args().First(), Name: cmd.String("name"), Life: cmd.String("expires")})
	})
}

func (p *program) rotateToken(ctx context.Context, cmd *cli.Command) error {
	return p.printToken(ctx, cmd, func(c *app.Client) (app.NewToken, error) {
		out, err := app.Call(ctx, c, app.TokenRotate, app.TokenRotation{TokenRef: tokenRef(cmd), Name: cmd.String("name"), Life: cmd.String("expires"), Overlap: cmd.String("overlap")})
		if err == nil && !wantsJSON(cmd) {
			fmt.Fprintf(p.stderr, "The old token works for another %s.\n", cmd.String("overlap"))
		}
		return out, err
	})
}

// printToken makes a token and prints it: alone on the output, with what to do with it on the
// error output.
func (p *program) printToken(ctx context.Context, cmd *cli.Command, create func(*app.Client) (app.NewToken, error)) error {
	c, err := p.connect(ctx, cmd)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // the token exists: printing it comes first
	out, err := create(c)
	if err != nil {
		return err
	}
	if tenant, err := app.Call(ctx, c, app.TenantShow, app.RefInput{Ref: out.Token.Tenant.ID}); err == nil && !wantsJSON(cmd) {
		fmt.Fprintf(p.stderr, "Secret Token of tenant %s, valid until %s. It is shown only now: keep it well.\nTenant URL: %s\n",
			tenant.Name, when(out.Token.Expires), tenant.TenantURL)
	}
	return p.print(cmd, out, func(w io.Writer) { fmt.Fprintln(w, out.Secret) })
}

func tokenRef(cmd *cli.Command) app.TokenRef {
	return app.TokenRef{Tenant: cmd.Args().Get(0), Token: cmd.Args().Get(1)}
}

func (p *program) listTokens(ctx context.Context, cmd *cli.Command) error {
	tenant := cmd.Args().First()
	list, err := call(ctx, p, cmd, app.TokenList, app.RefInput{Ref: tenant})
	if err != nil {
		return err
	}
	return p.print(cmd, list, func(w io.Writer) {
		if len(list.Items) == 0 {
			fmt.Fprintf(w, "no tokens yet: create one with: bizzscim token create %s\n", tenant)
			return
		}
		t := newTable(w, "token", "name", "state", "expires", "last used", "from", "created", "by", "id")
		for _, x := range list.Items {
			t.row("…"+x.Hint, x.Name, x.State, x.Expires, x.LastUsed, x.LastUsedFrom, x.Created, x.CreatedBy, x.ID)
		}
		t.flush()
	})
}

func (p *program) revokeToken(ctx context.Context, cmd *cli.Command) error {
	token, err := call(ctx, p, cmd, app.TokenRevoke, tokenRef(cmd))
	if err != nil {
		return err
	}
	return p.print(cmd, token, func(w io.Writer) {
		fmt.Fprintf(w, "revoked token …%s of tenant %s\n", token.Hint, token.Tenant.Name)
	})
}
