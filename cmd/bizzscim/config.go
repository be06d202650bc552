package main

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/app"
)

func (p *program) configCommand() *cli.Command {
	return family("config", "see what the settings are",
		p.command("print", "", "print all settings, with their defaults, in the form of the file", p.printConfig, serveFlags()...),
		p.command("check", "", "say what is wrong with the settings", p.checkConfig, serveFlags()...))
}

func (p *program) printConfig(_ context.Context, cmd *cli.Command) error {
	c, err := p.config(cmd, func(c *app.Config) { setServeFlags(cmd, c) })
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := c.WriteYAML(&b); err != nil {
		return err
	}
	values, err := c.Map()
	if err != nil {
		return err
	}
	return p.print(cmd, values, func(w io.Writer) { _, _ = b.WriteTo(w) })
}

func (p *program) checkConfig(_ context.Context, cmd *cli.Command) error {
	c, err := p.config(cmd, func(c *app.Config) { setServeFlags(cmd, c) })
	if err != nil {
		return err
	}
	warnings := c.Warnings()
	for _, name := range app.UnknownEnviron(p.environ, ownVariables...) {
		warnings = append(warnings, "unknown environment variable: "+name+" changes nothing")
	}
	if warnings == nil {
		warnings = []string{}
	}
	return p.print(cmd, map[string]any{"ok": true, "warnings": warnings}, func(w io.Writer) {
		for _, s := range warnings {
			fmt.Fprintln(w, "warning:", s)
		}
		fmt.Fprintln(w, "the settings are good")
	})
}
