package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/app"
)

func (p *program) serveCommand() *cli.Command {
	return p.command("serve", "", "run the server until SIGTERM or Ctrl-C", p.serve, serveFlags()...)
}

func serveFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "listen", Usage: "`HOST:PORT` to listen on (default: 127.0.0.1:8080)"},
		&cli.StringFlag{Name: "base-url", Usage: "public `URL` of the server, as clients see it"},
		&cli.StringFlag{Name: "metrics-listen", Usage: "`HOST:PORT` for Prometheus metrics (default: none)"},
		&cli.StringSliceFlag{Name: "trusted-proxy", Usage: "address or `CIDR` of a proxy in front (repeatable)"},
		&cli.DurationFlag{Name: "drain-delay", Usage: "when stopping, `TIME` from not ready to refusing connections"},
		&cli.StringFlag{Name: "log-level", Usage: "debug, info, warn or error (default: info)"},
		&cli.StringFlag{Name: "log-format", Usage: "text, json or auto (default: auto)"},
	}
}

// setServeFlags puts what the flags of serveFlags say into a configuration.
func setServeFlags(cmd *cli.Command, c *app.Config) {
	for name, field := range map[string]*string{"listen": &c.Listen, "base-url": &c.BaseURL, "metrics-listen": &c.MetricsListen,
		"log-level": &c.Log.Level, "log-format": &c.Log.Format} {
		if cmd.IsSet(name) {
			*field = cmd.String(name)
		}
	}
	if cmd.IsSet("trusted-proxy") {
		c.TrustedProxies = cmd.StringSlice("trusted-proxy")
	}
	if cmd.IsSet("drain-delay") {
		c.DrainDelay = cmd.Duration("drain-delay")
	}
}

func (p *program) serve(ctx context.Context, cmd *cli.Command) error {
	c, err := p.config(cmd, func(c *app.Config) { setServeFlags(cmd, c) })
	if err != nil {
		return err
	}
	o := p.options(c)
	o.Notice = func(text string) { fmt.Fprint(p.stderr, "\n"+text+"\n") }
	for _, name := range app.UnknownEnviron(p.environ, ownVariables...) {
		o.Logger.Warn("unknown environment variable: " + name + " changes nothing")
	}
	a, err := app.New(c, o)
	if err != nil {
		return err
	}
	return a.Run(ctx, nil)
}

// ownVariables are the environment variables that the command line reads itself.
var ownVariables = []string{"BIZZSCIM_CONFIG", "BIZZSCIM_TOKEN"}
