package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/pull/graph"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// program is one run of the command line.
type program struct {
	version        string
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// usageError is a command line that cannot be understood.
type usageError struct {
	command string // full name, for the way to its help
	err     error
}

func (e *usageError) Error() string { return fmt.Sprintf("%v; see: %s --help", e.err, e.command) }
func (e *usageError) Unwrap() error { return e.err }

func usagef(cmd *cli.Command, format string, args ...any) error {
	return &usageError{cmd.FullName(), fmt.Errorf(format, args...)}
}

// run runs one command line and returns its exit code. An error is one line (a list of problems
// is one line each) on the error output.
func (p *program) run(ctx context.Context, args []string) int {
	root := p.root()
	err := root.Run(ctx, args)
	if err == nil {
		return exitOK
	}
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintln(p.stderr, "bizzscim:", clean(usage.Error()))
		return exitUsage
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(p.stderr, "bizzscim: interrupted")
		return exitFailure
	}
	message := strings.TrimPrefix(err.Error(), "app: ")
	for line := range strings.SplitSeq(message, "\n") {
		fmt.Fprintln(p.stderr, "bizzscim:", clean(line))
	}
	return exitFailure
}

func (p *program) root() *cli.Command {
	root := &cli.Command{
		Name:  "bizzscim",
		Usage: "SCIM 2.0 provisioning server of the BizzStream platform",
		Description: "Settings come from defaults, then --config, then BIZZSCIM_* variables, then flags.\n" +
			"Commands work while a server runs on the data folder and when none does.\n" +
			"Exit code: 0 done, 1 failed, 2 the command line is wrong.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data", Usage: "data folder `DIR` (default: ./data)"},
			&cli.StringFlag{Name: "config", Usage: "YAML `FILE` with settings", Sources: p.variable("BIZZSCIM_CONFIG")},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FORMAT` of what is printed: text or json", Value: "text",
				Validator: func(s string) error {
					if s != "text" && s != "json" {
						return fmt.Errorf("the output is text or json, not %q", s)
					}
					return nil
				}},
		},
		Commands: []*cli.Command{
			p.serveCommand(), p.demoCommand(), p.simCommand(),
			p.organizationCommand(), p.environmentCommand(), p.tenantCommand(), p.tokenCommand(), p.clientCommand(),
			p.userCommand(), p.accountCommand(), p.groupCommand(), p.accessCommand(), p.logCommand(), p.auditCommand(),
			p.syncCommand(), p.runsCommand(), p.runCommand(), p.pullCommand(), p.secretsCommand(),
			p.operatorCommand(), p.roleCommand(), p.sessionCommand(), p.keysCommand(),
			p.configCommand(), p.healthCommand(), p.versionCommand(),
		},
		EnableShellCompletion: true,
		ConfigureShellCompletionCommand: func(c *cli.Command) {
			c.Hidden = false
			c.Usage = "print a completion script for a shell"
		},
		Suggest:        true,
		HideVersion:    true,
		Writer:         p.stdout,
		ErrWriter:      p.stderr,
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
	}
	p.prepare(root)
	return root
}

// variable is the source of a flag in the environment that the program was given.
func (p *program) variable(name string) cli.ValueSourceChain {
	for _, e := range p.environ {
		if k, _, ok := strings.Cut(e, "="); ok && k == name {
			return cli.EnvVars(name)
		}
	}
	return cli.ValueSourceChain{}
}

// prepare sets on every command what the library does not hand down.
func (p *program) prepare(cmd *cli.Command) {
	cmd.HideHelpCommand = true
	cmd.DisableSliceFlagSeparator = true // names may hold commas
	cmd.OnUsageError = func(_ context.Context, cmd *cli.Command, err error, _ bool) error {
		return &usageError{cmd.FullName(), err}
	}
	if len(cmd.Commands) > 0 && cmd.Action == nil {
		cmd.Action = func(_ context.Context, cmd *cli.Command) error {
			if name := cmd.Args().First(); name != "" {
				return usagef(cmd, "unknown command %q%s", name, suggestion(cmd, name))
			}
			if cmd.Root() == cmd {
				return cli.ShowRootCommandHelp(cmd)
			}
			return cli.ShowSubcommandHelp(cmd)
		}
	}
	for _, f := range cmd.Flags {
		switch f := f.(type) {
		case *cli.IntFlag:
			f.HideDefault = f.Value == 0
		case *cli.DurationFlag:
			f.HideDefault = f.Value == 0
		case *cli.BoolWithInverseFlag:
			f.HideDefault = true
		}
	}
	for _, c := range cmd.Commands {
		p.prepare(c)
	}
}

func suggestion(cmd *cli.Command, name string) string {
	s := cli.SuggestCommand(cmd.Commands, name)
	if s == "" || s == name || s[0] != name[0] { // it always finds something
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", s)
}

// command makes a command that takes exactly the arguments that it names: "TENANT [TOKEN]".
func (p *program) command(name, arguments, usage string, action cli.ActionFunc, flags ...cli.Flag) *cli.Command {
	return &cli.Command{Name: name, ArgsUsage: arguments, Usage: usage, Flags: flags, Action: func(ctx context.Context, cmd *cli.Command) error {
		wanted := strings.Fields(arguments)
		required := slices.IndexFunc(wanted, func(s string) bool { return strings.HasPrefix(s, "[") })
		if required < 0 {
			required = len(wanted)
		}
		switch n := cmd.Args().Len(); {
		case n < required:
			return usagef(cmd, "%s is missing", wanted[n])
		case n > len(wanted):
			return usagef(cmd, "unexpected argument %q", cmd.Args().Get(len(wanted)))
		}
		return action(ctx, cmd)
	}}
}

// family makes a command whose commands do the work.
func family(name, usage string, commands ...*cli.Command) *cli.Command {
	return &cli.Command{Name: name, Usage: usage, Commands: commands}
}

// config reads the settings for a command. flags sets what its own flags say.
func (p *program) config(cmd *cli.Command, flags func(*app.Config)) (app.Config, error) {
	return app.LoadConfig(app.Source{File: cmd.String("config"), Environ: p.environ, Flags: func(c *app.Config) {
		if cmd.IsSet("data") {
			c.Data = cmd.String("data")
		}
		if flags != nil {
			flags(c)
		}
	}})
}

// connect reaches the data folder: through the server that runs on it, or directly.
func (p *program) connect(ctx context.Context, cmd *cli.Command) (*app.Client, error) {
	c, err := p.config(cmd, nil)
	if err != nil {
		return nil, err
	}
	return app.Connect(ctx, c, p.options(c))
}

func (p *program) options(c app.Config) app.Options {
	return app.Options{Version: p.version, Logger: app.NewLogger(c, p.stderr, isTerminal(p.stderr)), Connect: graph.Connect}
}

// call asks for one operation on the data folder of a command.
func call[In, Out any](ctx context.Context, p *program, cmd *cli.Command, op app.Operation[In, Out], in In) (out Out, err error) {
	c, err := p.connect(ctx, cmd)
	if err != nil {
		return out, err
	}
	out, err = app.Call(ctx, c, op, in)
	return out, errors.Join(err, c.Close())
}

// isTerminal reports whether an input or output is one.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
