package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/entrasim"
)

func (p *program) simGraphCommand() *cli.Command {
	c := p.command("graph", "", "serve a simulated directory as Microsoft Graph, with its people's sign-in, until Ctrl-C", p.simGraph,
		&cli.IntFlag{Name: "users", Usage: "`N` people", Value: 100},
		&cli.IntFlag{Name: "groups", Usage: "`N` groups", Value: 10},
		&cli.StringFlag{Name: "listen", Usage: "`HOST:PORT` to listen on, over TLS", Value: "127.0.0.1:0"},
		&cli.StringFlag{Name: "faults", Usage: "`FILE` with a fault script: one rule a line, such as: members every=50 status=503"},
		&cli.StringFlag{Name: "ca-file", Usage: "`FILE` to write the certificate to that clients must trust (PEM)", Value: "graph-ca.pem"},
		&cli.IntFlag{Name: "changes", Usage: "`N` changes of the directory before it is served, and at each --every"},
		&cli.DurationFlag{Name: "every", Usage: "make --changes again each `TIME`"},
		&cli.StringFlag{Name: "redirect-uri", Usage: "`URL` that people come back to after they have signed in", Value: "http://127.0.0.1:8080" + callbackPath},
		&cli.StringFlag{Name: "logout-url", Usage: "front-channel logout `URL`: called when people sign out of the directory"},
		&cli.Uint64Flag{Name: "seed", Usage: "`NUMBER` that the directory, the client ids and the secrets are made from", Value: 1})
	c.Description = "Prints what is needed to connect a tenant to it, and the commands that do it.\n\n" +
		"Example:\n  bizzscim sim graph --users 1000 --groups 20 --ca-file ca.pem"
	return c
}

// graphInfo is what sim graph prints as JSON.
type graphInfo struct {
	LoginURL    string      `json:"loginUrl"`
	GraphURL    string      `json:"graphUrl"`
	DirectoryID string      `json:"directoryId"`
	ClientID    string      `json:"clientId"`
	Secret      string      `json:"secret"`
	CAFile      string      `json:"caFile"`
	SignIn      graphSignIn `json:"signIn"`
	Groups      []graphRole `json:"groups"`
}

// graphSignIn is the application that people sign in to.
type graphSignIn struct {
	ClientID    string `json:"clientId"`
	Secret      string `json:"secret"`
	RedirectURI string `json:"redirectUri"`
	Person      string `json:"person"` // somebody who is in the first group and can sign in; empty: nobody
}

type graphRole struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Members int    `json:"members"`
}

const (
	simSecretLife = 180 * 24 * time.Hour // of the secret of a simulated application
	callbackPath  = "/auth/callback"     // where the server takes people back
)

func (p *program) simGraph(ctx context.Context, cmd *cli.Command) (err error) {
	if cmd.Int("users") < 1 || cmd.Int("groups") < 1 || cmd.Int("changes") < 0 || cmd.Duration("every") < 0 {
		return usagef(cmd, "at least 1 user and 1 group are needed, and no number may be below 0")
	}
	for _, flag := range []string{"redirect-uri", "logout-url"} {
		if address := cmd.String(flag); (address != "" || flag == "redirect-uri") && !isAddress(address) {
			return usagef(cmd, "--%s is no URL of a web page: %q", flag, address)
		}
	}
	tenant := entrasim.New(entrasim.Options{Seed: cmd.Uint64("seed")})
	tenant.Populate(cmd.Int("users"), cmd.Int("groups"))
	tenant.RandomChange(cmd.Int("changes"))
	g, err := entrasim.NewGraph(tenant, entrasim.GraphOptions{Address: cmd.String("listen"), Seed: cmd.Uint64("seed")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	if name := cmd.String("faults"); name != "" {
		script, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := g.Faults().Load(string(script)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	app := g.App("", entrasim.GroupMemberReadAll, entrasim.UserReadAll)
	info := graphInfo{LoginURL: strings.TrimSuffix(g.LoginURL(), "/"), GraphURL: g.URL(), DirectoryID: tenant.ID(), ClientID: app.ClientID(),
		Secret: app.NewSecret(time.Now().Add(simSecretLife))}
	if info.CAFile, err = filepath.Abs(cmd.String("ca-file")); err != nil {
		return err
	}
	for _, x := range tenant.Snapshot().Groups {
		info.Groups = append(info.Groups, graphRole{x.ID, x.DisplayName, len(tenant.Members(x.ID))})
	}
	info.SignIn = registerSignIn(g, tenant, info.Groups[0].ID, cmd.String("redirect-uri"), cmd.String("logout-url"))
	if err := p.print(cmd, info, func(w io.Writer) { writeGraph(w, info) }); err != nil {
		return err
	}
	// Last, so that who waits for the file finds everything ready.
	if err := writeWhole(info.CAFile, g.CA()); err != nil {
		return err
	}
	p.keepChanging(ctx, tenant, cmd.Duration("every"), cmd.Int("changes"))
	fmt.Fprintln(p.stderr, g.Stats())
	return nil
}

// isAddress tells what a browser can be sent to.
func isAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.Fragment == ""
}

// registerSignIn registers the application that people sign in to. After a sign-out they may also be sent to the page that
// the server has for that.
func registerSignIn(g *entrasim.Graph, tenant *entrasim.Tenant, group, redirect, logout string) graphSignIn {
	app := g.App("")
	app.SignIn(entrasim.SignInSettings{
		RedirectURIs:          []string{redirect},
		PostLogoutURIs:        []string{strings.TrimSuffix(redirect, callbackPath) + "/signed-out"},
		FrontChannelLogoutURL: logout,
		OptionalClaims:        []string{entrasim.ClaimSID, entrasim.ClaimLoginHint},
	})
	s := graphSignIn{ClientID: app.ClientID(), Secret: app.NewSecret(time.Now().Add(simSecretLife)), RedirectURI: redirect}
	for _, id := range tenant.Members(group) {
		if u, ok := tenant.User(id); ok && u.AccountEnabled && u.UserType == entrasim.Member {
			s.Person = u.UserPrincipalName
			break
		}
	}
	return s
}

// keepChanging lets the directory live until ctx ends.
func (p *program) keepChanging(ctx context.Context, tenant *entrasim.Tenant, every time.Duration, changes int) {
	if every == 0 || changes == 0 {
		<-ctx.Done()
		return
	}
	for pause(ctx, every) {
		for _, what := range tenant.RandomChange(changes) {
			fmt.Fprintln(p.stderr, "  "+clean(what))
		}
	}
}

// writeWhole writes a file that appears with its whole content.
func writeWhole(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func writeGraph(w io.Writer, g graphInfo) {
	t := newTable(w)
	t.row("authority", g.LoginURL)
	t.row("Graph", g.GraphURL)
	t.row("directory (tenant) id", g.DirectoryID)
	t.row("client id", g.ClientID)
	t.row("client secret", g.Secret)
	t.row("certificate", g.CAFile)
	t.row("sign-in client id", g.SignIn.ClientID)
	t.row("sign-in client secret", g.SignIn.Secret)
	t.row("redirect URI", g.SignIn.RedirectURI)
	t.flush()
	fmt.Fprintln(w)
	t = newTable(w, "group", "members", "object id")
	var first []string
	for i, x := range g.Groups {
		if i < 10 {
			t.row(x.Name, x.Members, x.ID)
		}
		if i < 2 {
			first = append(first, x.ID)
		}
	}
	t.flush()
	if n := len(g.Groups) - 10; n > 0 {
		fmt.Fprintf(w, "and %s more\n", number(int64(n)))
	}
	fmt.Fprintf(w, `
To connect a tenant to it (trust the certificate wherever the pull runs, so for the server too):

  export BIZZSCIM_CA_FILE=%[1]q
  bizzscim org create Sim
  bizzscim env create Sim --org Sim
  bizzscim tenant create sim --org Sim --directory-id %[2]s
  bizzscim tenant set sim --cloud custom --login-url %[3]s --graph-url %[4]s
  printf %%s %[6]q | bizzscim tenant credential set sim --client-id %[5]s --secret-file -
  bizzscim env integrate Sim --tenant sim --groups %[7]s
  bizzscim tenant credential test sim
  bizzscim sync Sim
  bizzscim run allow Sim --reason 'the first plan'

To let its people sign in (nobody is asked for a password; your browser will warn of the certificate):

  bizzscim tenant set sim --sign-in-client-id %[8]s
  printf %%s %[9]q | bizzscim tenant credential set sim --for sign-in --secret-file -
  bizzscim env show Sim

The last one shows the link at which they sign in.
%[10]s
Ctrl-C ends it.
`, g.CAFile, g.DirectoryID, g.LoginURL, g.GraphURL, g.ClientID, g.Secret, strings.Join(first, ","), g.SignIn.ClientID, g.SignIn.Secret, someone(g.SignIn.Person))
}

// someone names a person to try with.
func someone(name string) string {
	if name == "" {
		return ""
	}
	return "\nSomebody who is in the first group: " + name + "\n"
}
