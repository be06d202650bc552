package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/app"
)

func (p *program) credentialCommand() *cli.Command {
	purpose := func(value string) cli.Flag {
		return &cli.StringFlag{Name: "for", Usage: "`APPLICATION` that it is of: graph (synchronizes) or sign-in (signs people in)", Value: value,
			Validator: func(s string) error {
				if s != "graph" && s != "sign-in" {
					return fmt.Errorf("a credential is for graph or sign-in, not %q", s)
				}
				return nil
			}}
	}
	set := p.command("set", "TENANT", "set what an application of a tenant proves itself with", p.setCredential, purpose("graph"),
		&cli.StringFlag{Name: "client-id", Usage: "Application (client) `ID` in Entra (default: as it was)"},
		&cli.StringFlag{Name: "secret-file", Usage: "`FILE` with the Value of a client secret; -: from the standard input"},
		&cli.StringFlag{Name: "certificate", Usage: "`FILE` with a certificate and its RSA private key, in PEM; -: from the standard input"},
		&cli.StringFlag{Name: "token-file", Usage: "`FILE` with the token of a workload identity, on the server: no secret at all"},
		&cli.StringFlag{Name: "expires", Usage: "`DATE` on which the secret ends, such as 2027-06-30: warns before it"})
	set.Description = "A secret is read from a file or the standard input, never from the command line, and is kept sealed.\n\n" +
		"Examples:\n  bizzscim tenant credential set fjord --client-id 3f2a… --secret-file - --expires 2027-06-30 < secret.txt\n" +
		"  bizzscim tenant credential set fjord --certificate graph.pem\n" +
		"  bizzscim tenant credential set fjord --token-file /var/run/secrets/azure/tokens/azure-identity-token\n" +
		"  bizzscim tenant credential set fjord --for sign-in --client-id 9c41… --secret-file -"
	return family("credential", "credentials of the applications that synchronize (Microsoft Graph) and sign people in", set,
		p.command("test", "TENANT", "try everything that a pull needs; exit code 1 when something is missing", p.testCredential),
		p.command("show", "TENANT", "show a credential of a tenant, without the secret", p.showCredential, purpose("graph")),
		p.command("list", "", "list the credentials of all tenants", p.listCredentials),
		p.command("remove", "TENANT", "remove a credential of a tenant: its environments are not pulled, or its people not signed in any more", p.removeCredential, purpose("graph")))
}

// maxCredential bounds what is read of a file with a secret, in bytes.
const maxCredential = 1 << 20

func (p *program) setCredential(ctx context.Context, cmd *cli.Command) error {
	in := app.CredentialInput{Tenant: cmd.Args().First(), For: cmd.String("for"), ClientID: cmd.String("client-id"), Expires: cmd.String("expires")}
	given := 0
	for _, f := range []string{"secret-file", "certificate", "token-file"} {
		if cmd.IsSet(f) {
			given++
		}
	}
	if given != 1 {
		return usagef(cmd, "give one of --secret-file, --certificate and --token-file")
	}
	var err error
	switch {
	case cmd.IsSet("secret-file"):
		in.Secret, err = p.readSecret(cmd, cmd.String("secret-file"))
		in.Secret = strings.TrimRight(in.Secret, "\r\n")
	case cmd.IsSet("certificate"):
		in.Certificate, err = p.readSecret(cmd, cmd.String("certificate"))
	default:
		in.TokenFile, err = filepath.Abs(cmd.String("token-file"))
	}
	if err != nil {
		return err
	}
	c, err := call(ctx, p, cmd, app.CredentialSet, in)
	if err != nil {
		return err
	}
	if c.Warning != "" && !wantsJSON(cmd) {
		fmt.Fprintln(p.stderr, "warning:", clean(c.Warning))
	}
	return p.print(cmd, c, func(w io.Writer) {
		fmt.Fprintf(w, "set the %s of tenant %s%s\n", kindText(c.Kind), c.Tenant.Name, ofSignIn(c))
		if c.Name == "graph" {
			fmt.Fprintf(w, "next: bizzscim tenant credential test %s\n", c.Tenant.Name)
			return
		}
		fmt.Fprintf(w, "next: register the URIs of bizzscim tenant show %s in Entra, and sign in\n", c.Tenant.Name)
	})
}

// readSecret reads a file, or the standard input where the name is "-".
func (p *program) readSecret(cmd *cli.Command, name string) (string, error) {
	from := p.stdin
	switch {
	case name != "-":
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer f.Close() //nolint:errcheck // it is only read
		if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o044 != 0 {
			fmt.Fprintf(p.stderr, "warning: %s can be read by others; remove it when the credential works\n", clean(name))
		}
		from = f
	case isTerminal(p.stdin):
		return "", usagef(cmd, "what is typed would be seen: put it into a file, or pipe it in")
	}
	text, err := io.ReadAll(io.LimitReader(from, maxCredential+1))
	switch {
	case err != nil:
		return "", err
	case len(text) > maxCredential:
		return "", fmt.Errorf("%s is larger than %d bytes: is it the right file?", name, maxCredential)
	case len(strings.TrimSpace(string(text))) == 0:
		return "", fmt.Errorf("%s is empty", name)
	}
	return string(text), nil
}

// ofSignIn tells the credential of the sign-in from the other one.
func ofSignIn(c app.Credential) string {
	if c.Name == "sign-in" {
		return " for its sign-in"
	}
	return ""
}

func kindText(kind string) string {
	switch kind {
	case "secret":
		return "client secret"
	case "federated":
		return "workload identity"
	}
	return kind
}

func (p *program) showCredential(ctx context.Context, cmd *cli.Command) error {
	list, err := call(ctx, p, cmd, app.CredentialList, app.CredentialFilter{Tenant: cmd.Args().First(), For: cmd.String("for")})
	if err != nil {
		return err
	}
	c := list.Items[0]
	return p.print(cmd, c, func(w io.Writer) { writeCredential(w, c) })
}

func writeCredential(w io.Writer, c app.Credential) {
	t := newTable(w)
	t.row("tenant", c.Tenant)
	t.row("for", c.Name)
	t.row("client id", c.ClientID)
	t.row("kind", kindText(c.Kind))
	switch c.Kind {
	case "secret":
		t.row("begins with", c.Hint)
	case "certificate":
		t.row("thumbprint", c.Hint)
	default:
		t.row("token file", c.TokenFile)
	}
	t.row("state", c.State)
	t.row("expires", c.Expires)
	t.row("set", c.Created)
	t.row("by", c.CreatedBy)
	t.flush()
	if c.Warning != "" {
		fmt.Fprintln(w, "warning:", clean(c.Warning))
	}
}

func (p *program) listCredentials(ctx context.Context, cmd *cli.Command) error {
	list, err := call(ctx, p, cmd, app.CredentialList, app.CredentialFilter{})
	if err != nil {
		return err
	}
	return p.print(cmd, list, func(w io.Writer) {
		if len(list.Items) == 0 {
			fmt.Fprintln(w, "no credentials yet: set one with: bizzscim tenant credential set TENANT")
			return
		}
		writeCredentials(w, list.Items)
	})
}

func writeCredentials(w io.Writer, list []app.Credential) {
	t := newTable(w, "tenant", "for", "credential", "state", "expires", "client id", "set")
	for _, c := range list {
		t.row(c.Tenant, c.Name, kindText(c.Kind), c.State, c.Expires, c.ClientID, c.Created)
	}
	t.flush()
	for _, c := range list {
		if c.Warning != "" {
			fmt.Fprintf(w, "%s: %s\n", clean(c.Tenant.Name), clean(c.Warning))
		}
	}
}

func (p *program) testCredential(ctx context.Context, cmd *cli.Command) error {
	out, err := call(ctx, p, cmd, app.CredentialTest, app.RefInput{Ref: cmd.Args().First()})
	if err != nil {
		return err
	}
	err = p.print(cmd, out, func(w io.Writer) {
		for _, c := range out.Checks {
			mark, text := "✓", c.Detail
			if c.Error != "" {
				mark, text = "✗", c.Error
			}
			fmt.Fprintf(w, "%s %s", mark, clean(c.Name))
			if text != "" {
				fmt.Fprintf(w, ": %s", clean(text))
			}
			fmt.Fprintln(w)
		}
	})
	if err != nil || out.OK {
		return err
	}
	failed := 0
	for _, c := range out.Checks {
		if c.Error != "" {
			failed++
		}
	}
	return fmt.Errorf("%d of %s failed", failed, plural(len(out.Checks), "check"))
}

func (p *program) removeCredential(ctx context.Context, cmd *cli.Command) error {
	c, err := call(ctx, p, cmd, app.CredentialRemove, app.CredentialRef{Ref: cmd.Args().First(), For: cmd.String("for")})
	if err != nil {
		return err
	}
	return p.print(cmd, c, func(w io.Writer) {
		fmt.Fprintf(w, "removed the %s of tenant %s%s; end it in Entra as well\n", kindText(c.Kind), c.Tenant.Name, ofSignIn(c))
	})
}

func (p *program) secretsCommand() *cli.Command {
	rotate := p.command("rotate", "", "put a new key into the key file and seal everything with it", p.rotateSecrets,
		&cli.BoolFlag{Name: "forget", Usage: "take the old keys out: backups made before this cannot be opened any more"})
	rotate.Description = "Keys that come from BIZZSCIM_SECRETS_KEY are yours to change: put a line of `bizzscim secrets generate` in front,\n" +
		"start the server again, and run this; then the old line can go."
	return family("secrets", "the keys that seal secrets at rest", rotate,
		p.command("generate", "", "print the line of a new key, for BIZZSCIM_SECRETS_KEY", func(_ context.Context, cmd *cli.Command) error {
			line := app.GenerateKey()
			return p.print(cmd, map[string]string{"key": strings.TrimSpace(line)}, func(w io.Writer) { fmt.Fprint(w, line) })
		}))
}

func (p *program) rotateSecrets(ctx context.Context, cmd *cli.Command) error {
	out, err := call(ctx, p, cmd, app.SecretsRotate, app.SecretsRotation{Forget: cmd.Bool("forget")})
	if err != nil {
		return err
	}
	return p.print(cmd, out, func(w io.Writer) {
		fmt.Fprintf(w, "key %s seals now; %s, %s, %s and %s sealed again\n", out.KeyID, plural(out.Resealed, "credential"),
			plural(out.SecondFactors, "second factor"), plural(out.SigningKeys, "signing key"), plural(out.WebhookSecrets, "webhook secret"))
		if out.KeyFile == "" {
			return
		}
		fmt.Fprintf(w, "next: copy %s to where its copy is kept, apart from the backups\n", out.KeyFile)
		if out.Keys > 1 {
			fmt.Fprintf(w, "  or: bizzscim secrets rotate --forget, when no backup is needed any more that the older %s opens\n", plural(out.Keys-1, "key"))
		}
	})
}

func (p *program) accountCommand() *cli.Command {
	flags := func() cli.Flag { return &cli.StringFlag{Name: "tenant", Usage: "look in `TENANT` alone"} }
	protect := func(on bool) cli.ActionFunc {
		return func(ctx context.Context, cmd *cli.Command) error { return p.protectAccount(ctx, cmd, on) }
	}
	return family("account", "what no pull takes: protected accounts, the last administrator of an environment",
		p.command("administrator", "USER ENV", "make somebody who has access to an environment an administrator of it", p.setAdministrator,
			flags(), &cli.BoolFlag{Name: "remove", Usage: "take it back"}),
		p.command("protect", "USER", "protect an account: a pull takes nothing from it", protect(true), flags()),
		p.command("unprotect", "USER", "lift the protection of an account", protect(false), flags()))
}

func (p *program) protectAccount(ctx context.Context, cmd *cli.Command, on bool) error {
	u, err := call(ctx, p, cmd, app.AccountProtect, app.Protection{UserRef: app.UserRef{Ref: cmd.Args().First(), Tenant: cmd.String("tenant")}, Protected: on})
	if err != nil {
		return err
	}
	return p.print(cmd, u, func(w io.Writer) {
		if on {
			fmt.Fprintf(w, "account %s is protected: no pull takes anything from it\n", clean(u.UserName))
			return
		}
		fmt.Fprintf(w, "account %s is not protected any more\n", clean(u.UserName))
	})
}

func (p *program) setAdministrator(ctx context.Context, cmd *cli.Command) error {
	on := !cmd.Bool("remove")
	x, err := call(ctx, p, cmd, app.AccessAdministrator, app.AdministratorInput{UserRef: app.UserRef{Ref: cmd.Args().First(), Tenant: cmd.String("tenant")},
		Environment: cmd.Args().Get(1), Administrator: on})
	if err != nil {
		return err
	}
	return p.print(cmd, x, func(w io.Writer) {
		user, env := clean(x.Account.Name), clean(x.Environment.Name)
		if on {
			fmt.Fprintf(w, "%s is an administrator of environment %s: no pull takes the access of the last one\n", user, env)
			return
		}
		fmt.Fprintf(w, "%s is no administrator of environment %s any more\n", user, env)
	})
}
