package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bizzstream/bizzscim/entrasim"
)

func (p *program) simCommand() *cli.Command {
	return family("sim", "a simulated Microsoft Entra tenant", p.simGraphCommand(),
		p.command("push", "", "push a simulated directory to any SCIM server", p.simPush,
			&cli.StringFlag{Name: "base", Usage: "Tenant `URL`, such as http://127.0.0.1:8080/scim/acme/v2", Required: true},
			&cli.StringFlag{Name: "token", Usage: "Secret `TOKEN` (better in BIZZSCIM_TOKEN, where other users of this machine do not see it)", Sources: p.variable("BIZZSCIM_TOKEN")},
			&cli.IntFlag{Name: "users", Usage: "`N` people", Value: 100},
			&cli.IntFlag{Name: "groups", Usage: "`N` groups", Value: 10},
			&cli.IntFlag{Name: "cycles", Usage: "`N` incremental cycles after the initial one, each after some changes"},
			&cli.IntFlag{Name: "changes", Usage: "`N` changes before each incremental cycle", Value: 10},
			&cli.StringFlag{Name: "dialect", Usage: "PATCH as Entra sends it: legacy, or flag (with aadOptscim062020)", Value: "legacy"},
			&cli.BoolFlag{Name: "verify", Usage: "compare the server with the directory afterwards"},
			&cli.IntFlag{Name: "concurrency", Usage: "`N` objects at a time", Value: 4},
			&cli.Uint64Flag{Name: "seed", Usage: "`NUMBER` that the directory is made from", Value: 1}))
}

// pushResult is what sim push prints as JSON.
type pushResult struct {
	Cycles []cycle `json:"cycles"`
	Verify *verify `json:"verify,omitempty"`
}

// cycle is a cycle of the simulated directory, for scripts.
type cycle struct {
	Initial           bool      `json:"initial"`
	Users             counts    `json:"users"`
	Groups            counts    `json:"groups"`
	MembersAdded      int       `json:"membersAdded"`
	MembersRemoved    int       `json:"membersRemoved"`
	ReferencesSet     int       `json:"referencesSet"`
	ReferencesCleared int       `json:"referencesCleared"`
	Failed            int       `json:"failed"`
	Escrowed          int       `json:"escrowed"`
	Quarantined       bool      `json:"quarantined"`
	Failures          []failure `json:"failures"`
	Requests          int       `json:"requests"`
	Retries           int       `json:"retries"`
	Throttled         int       `json:"throttled"`
	BytesSent         int64     `json:"bytesSent"`
	BytesReceived     int64     `json:"bytesReceived"`
	Milliseconds      float64   `json:"milliseconds"`
	P50               float64   `json:"p50Milliseconds"`
	P99               float64   `json:"p99Milliseconds"`
}

type counts struct {
	Created  int `json:"created"`
	Linked   int `json:"linked"`
	Updated  int `json:"updated"`
	Disabled int `json:"disabled"`
	Restored int `json:"restored"`
	Deleted  int `json:"deleted"`
	Skipped  int `json:"skipped"`
}

type failure struct {
	Object string `json:"object"`
	Code   string `json:"code"`
	Status int    `json:"status"`
	Method string `json:"method"`
	Detail string `json:"detail"`
}

type verify struct {
	Users       int      `json:"users"`
	Groups      int      `json:"groups"`
	Members     int      `json:"members"`
	Differences int      `json:"differences"`
	Drift       []string `json:"drift"`
}

func cycleOf(s entrasim.Summary) cycle {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	out := cycle{Initial: s.Initial, Users: counts(s.Users), Groups: counts(s.Groups), MembersAdded: s.MembersAdded, MembersRemoved: s.MembersRemoved,
		ReferencesSet: s.ReferencesSet, ReferencesCleared: s.ReferencesCleared, Failed: s.Failed, Escrowed: s.Escrowed, Quarantined: s.Quarantined,
		Failures: []failure{}, Requests: s.Requests, Retries: s.Retries, Throttled: s.Throttled, BytesSent: s.BytesSent, BytesReceived: s.BytesReceived,
		Milliseconds: ms(s.Duration), P50: ms(s.P50), P99: ms(s.P99)}
	for _, f := range s.Failures {
		out.Failures = append(out.Failures, failure{f.Object, f.Err.Code, f.Err.Status, f.Err.Method, f.Err.Detail})
	}
	return out
}

func (p *program) simPush(ctx context.Context, cmd *cli.Command) (err error) {
	base, dialect := cmd.String("base"), cmd.String("dialect")
	switch {
	case cmd.String("token") == "":
		return usagef(cmd, "a token is needed: --token or BIZZSCIM_TOKEN")
	case dialect == "flag" && !strings.Contains(base, "?"):
		base += "?aadOptscim062020"
	case dialect != "legacy" && dialect != "flag":
		return usagef(cmd, "the dialect is legacy or flag, not %q", dialect)
	case cmd.Int("users") < 0 || cmd.Int("groups") < 0 || cmd.Int("cycles") < 0 || cmd.Int("changes") < 0:
		return usagef(cmd, "a number is below 0")
	}
	progress := entrasim.NewPrinter(p.stderr, isTerminal(p.stderr))
	defer progress.Close()
	tenant := entrasim.New(entrasim.Options{Seed: cmd.Uint64("seed")})
	tenant.Populate(cmd.Int("users"), cmd.Int("groups"))
	job, err := entrasim.NewProvisioner(tenant, entrasim.ProvisionerOptions{Base: base, Token: cmd.String("token"),
		ObjectIDAsExternalID: true, SyncAll: true, Concurrency: cmd.Int("concurrency"), Progress: progress.Print})
	if err != nil {
		return err
	}
	defer job.Close()
	if err := job.Probe(ctx); err != nil {
		return fmt.Errorf("%w (is the Tenant URL right, and the token one of this tenant?)", err)
	}
	var out pushResult
	failed := 0
	for n := 0; n <= cmd.Int("cycles"); n++ {
		if n > 0 {
			for _, what := range tenant.RandomChange(cmd.Int("changes")) {
				fmt.Fprintln(p.stderr, "  "+clean(what))
			}
		}
		s, err := job.Cycle(ctx)
		progress.Close()
		out.Cycles = append(out.Cycles, cycleOf(s))
		failed += s.Failed
		if !wantsJSON(cmd) {
			fmt.Fprintf(p.stdout, "\n%s\n", s)
		}
		if err != nil {
			return err
		}
	}
	if cmd.Bool("verify") {
		report, err := job.Verify(ctx)
		progress.Close()
		if err != nil {
			return err
		}
		out.Verify = &verify{report.Users, report.Groups, report.Members, report.Differences, []string{}}
		for _, d := range report.Drift {
			out.Verify.Drift = append(out.Verify.Drift, d.String())
		}
		if !wantsJSON(cmd) {
			fmt.Fprint(p.stdout, report)
		}
	}
	if wantsJSON(cmd) {
		err = p.print(cmd, out, nil)
	}
	switch {
	case err != nil:
		return err
	case out.Verify != nil && out.Verify.Differences > 0:
		return fmt.Errorf("the server differs from the directory in %s", plural(out.Verify.Differences, "place"))
	case failed > 0:
		return fmt.Errorf("%s could not be provisioned: see the failures above", plural(failed, "object"))
	}
	return nil
}

// pause waits, and reports whether there was time to.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
