package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/app"
)

func (p *program) versionCommand() *cli.Command {
	return p.command("version", "", "print the version", func(_ context.Context, cmd *cli.Command) error {
		v := map[string]string{"version": p.version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
		return p.print(cmd, v, func(w io.Writer) { fmt.Fprintf(w, "bizzscim %s (%s, %s)\n", v["version"], v["go"], v["platform"]) })
	})
}

func (p *program) healthCommand() *cli.Command {
	return p.command("healthcheck", "", "exit with 0 when the server answers that it is ready", p.checkHealth,
		&cli.StringFlag{Name: "url", Usage: "`URL` of the server (default: that of the server on the data folder)"},
		&cli.DurationFlag{Name: "wait", Usage: "wait for it for `TIME` at most"})
}

func (p *program) checkHealth(ctx context.Context, cmd *cli.Command) error {
	c, err := p.config(cmd, nil)
	if err != nil {
		return err
	}
	end := time.Now().Add(cmd.Duration("wait"))
	for {
		url, err := p.serverURL(ctx, cmd, c)
		if err == nil {
			err = ready(ctx, url)
		}
		if err == nil {
			return p.print(cmd, map[string]any{"ready": true, "url": url}, func(w io.Writer) { fmt.Fprintln(w, "ready:", url) })
		}
		if ctx.Err() != nil || !time.Now().Add(50*time.Millisecond).Before(end) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// serverURL finds the address of the server that is to be checked.
func (p *program) serverURL(ctx context.Context, cmd *cli.Command, c app.Config) (string, error) {
	if cmd.IsSet("url") {
		return strings.TrimRight(cmd.String("url"), "/"), nil
	}
	return app.RunningURL(ctx, c)
}

func ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("the server does not answer: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		reason, err := io.ReadAll(io.LimitReader(resp.Body, 200))
		if err != nil {
			return err
		}
		return errors.New("the server is not ready: " + strings.TrimSpace(string(reason)))
	}
	return nil
}
