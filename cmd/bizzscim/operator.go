package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/app"
)

func (p *program) operatorCommand() *cli.Command {
	link := p.command("login-link", "[EMAIL]", "print a link that signs an operator in, once, within 10 minutes (EMAIL: not needed where there is one operator)", p.operatorLoginLink)
	link.Description = "The way in when a password or a second factor is lost. Who made a link and who used it is in the audit."
	return family("operator", "local operators: who runs the platform and signs in here",
		p.command("setup-link", "", "print the link that makes the first operator, once, within a day", p.operatorSetupLink),
		p.command("create", "EMAIL", "make an operator, and print the link that sets the password, once, within a day", p.createOperator,
			&cli.StringFlag{Name: "name", Usage: "full `NAME`"}),
		p.command("list", "", "list the operators", p.listOperators),
		link,
		p.command("reset-password", "EMAIL", "print a link that sets a new password, once, within a day; the old one works until then", p.resetOperatorPassword),
		p.command("totp-remove", "EMAIL", "take the second factor of somebody who has lost it", p.removeOperatorTOTP),
		p.command("remove", "EMAIL", "take the role and the password; the account stays", p.removeOperator))
}

// printLink prints a link: alone on the output, with what it does on the error output.
func (p *program) printLink(cmd *cli.Command, link app.NewLink, what string) error {
	if !wantsJSON(cmd) {
		fmt.Fprintf(p.stderr, "%s It works once, until %s, and is shown only now.\n", what, when(link.Expires))
	}
	return p.print(cmd, link, func(w io.Writer) { fmt.Fprintln(w, link.URL) })
}

func (p *program) operatorSetupLink(ctx context.Context, cmd *cli.Command) error {
	link, err := call(ctx, p, cmd, app.OperatorSetupLink, app.None{})
	if err != nil {
		return err
	}
	return p.printLink(cmd, link, "Open this link in a browser to set up the first operator.")
}

func (p *program) createOperator(ctx context.Context, cmd *cli.Command) error {
	link, err := call(ctx, p, cmd, app.OperatorCreate, app.OperatorInput{Email: cmd.Args().First(), Name: cmd.String("name")})
	if err != nil {
		return err
	}
	return p.printLink(cmd, link, fmt.Sprintf("Operator %s sets a password with this link.", clean(link.Account.Name)))
}

func (p *program) operatorLoginLink(ctx context.Context, cmd *cli.Command) error {
	link, err := call(ctx, p, cmd, app.OperatorLoginLink, app.OperatorRef{Email: cmd.Args().First()})
	if err != nil {
		return err
	}
	return p.printLink(cmd, link, fmt.Sprintf("This link signs %s in.", clean(link.Account.Name)))
}

func (p *program) resetOperatorPassword(ctx context.Context, cmd *cli.Command) error {
	link, err := call(ctx, p, cmd, app.OperatorResetPassword, app.OperatorRef{Email: cmd.Args().First()})
	if err != nil {
		return err
	}
	return p.printLink(cmd, link, fmt.Sprintf("%s sets a new password with this link.", clean(link.Account.Name)))
}

func (p *program) listOperators(ctx context.Context, cmd *cli.Command) error {
	list, err := call(ctx, p, cmd, app.OperatorList, app.None{})
	if err != nil {
		return err
	}
	return p.print(cmd, list, func(w io.Writer) {
		if len(list.Items) == 0 {
			fmt.Fprintln(w, "no operators yet: make the first one with: bizzscim operator setup-link")
			return
		}
		t := newTable(w, "e-mail", "name", "signs in with", "second factor", "id")
		for _, x := range list.Items {
			t.row(x.Email, x.Name, signsInWith(x), x.TOTP, x.Account.ID)
		}
		t.flush()
	})
}

func signsInWith(x app.Operator) string {
	switch {
	case x.Tenant != nil:
		return "the directory of tenant " + x.Tenant.Name
	case x.Password:
		return "a password"
	}
	return "nothing yet (bizzscim operator reset-password " + x.Email + ")"
}

func (p *program) removeOperatorTOTP(ctx context.Context, cmd *cli.Command) error {
	x, err := call(ctx, p, cmd, app.OperatorTOTPRemove, app.OperatorRef{Email: cmd.Args().First()})
	if err != nil {
		return err
	}
	return p.print(cmd, x, func(w io.Writer) {
		fmt.Fprintf(w, "%s signs in without a second factor now\n", clean(x.Email))
	})
}

func (p *program) removeOperator(ctx context.Context, cmd *cli.Command) error {
	x, err := call(ctx, p, cmd, app.OperatorRemove, app.OperatorRef{Email: cmd.Args().First()})
	if err != nil {
		return err
	}
	return p.print(cmd, x, func(w io.Writer) {
		fmt.Fprintf(w, "%s is no operator any more, and is signed out\n", clean(x.Email))
		if x.Password {
			fmt.Fprintln(w, "the password stays: the account has another role (bizzscim role show)")
		}
		if x.Protected {
			fmt.Fprintf(w, "the account is still protected from every directory; lift that with: bizzscim account unprotect %s\n", x.Account.ID)
		}
	})
}

func (p *program) keysCommand() *cli.Command {
	return family("keys", "the keys that sign what upstreams are told of who is signed in",
		p.command("rotate", "", "make a new signing key; the old one is published until nobody needs it any more", p.rotateKeys))
}

func (p *program) rotateKeys(ctx context.Context, cmd *cli.Command) error {
	key, err := call(ctx, p, cmd, app.KeysRotate, app.None{})
	if err != nil {
		return err
	}
	return p.print(cmd, key, func(w io.Writer) {
		when := "now"
		if time.Until(key.From) > time.Second {
			when = "from " + key.From.Local().Format("15:04") + " on, when everybody can know it"
		}
		fmt.Fprintf(w, "made the key %s: it is published now, and signs %s\n", clean(key.ID), when)
	})
}
