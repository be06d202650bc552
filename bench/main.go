// Command bench measures the server against floors: the least that the same machine must spend on
// the same bytes. What counts are ratios taken in one run, both sides in turn, so that neither the
// machine nor what else it does decides; docs/performance.md tells how to read them.
//
// The server, the floors and the simulated directory each run in a process of their own, the clients in this one. Every
// answer is checked, and a wrong one makes the program fail; a goal that is missed does not. It
// knows the rooms only to join them: it must never hold code that a measured request goes through
// and a real one does not.
//
// Usage:
//
//	go run ./bench [-quick] [-rows REGEX] [-repeat N] [-users N] [-large N] [-o text|json]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"time"
)

// bench is one run.
type bench struct {
	users   int // of the tenant that most rows work on
	small   int // of the tenant that scale is compared with
	large   int // of the tenant for questions of scale
	members int // of the large group, and users of the tenant for unindexed filters
	repeat  int
	time    time.Duration // that a side is measured for, each time

	server   *child
	floor    *child
	recorded recorded
	tenants  map[int]*tenant
	groups   map[int]*group
	created  int // users beyond those of tenants
	pulled   *pulled
	sessions []string // secrets

	dir        string // of the data
	log        string // level of the server's log
	cpuProfile string // file to write it to
	profiling  *child // what is being profiled; nil: nothing
	profiled   bool
	progress   func(format string, args ...any)
}

type options struct {
	bench
	quick   bool
	rows    *regexp.Regexp
	output  string
	timeout time.Duration
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == childArg {
		exit(childMain(os.Args[2]))
	}
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	err = o.run(ctx)
	cancel()
	stop()
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func parse(args []string) (*options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.BoolVar(&o.quick, "quick", false, "small sizes, to see that all works; no goal is judged")
	rows := f.String("rows", "", "only rows that match this regular expression")
	f.IntVar(&o.repeat, "repeat", 5, "how often each side is measured")
	f.IntVar(&o.users, "users", 10_000, "users of the tenant that most rows work on")
	f.IntVar(&o.large, "large", 100_000, "users of the tenant for questions of scale; the goals are stated for 1000000")
	f.IntVar(&o.members, "members", 100_000, "members of the large group, and users for the unindexed filter")
	f.DurationVar(&o.time, "time", 2*time.Second, "how long a side is measured, each time")
	f.StringVar(&o.output, "o", "text", "output: text or json")
	f.StringVar(&o.cpuProfile, "cpuprofile", "", "write a CPU profile of the server to this file, of all rows that it serves, from the first measurement on")
	f.StringVar(&o.dir, "dir", os.TempDir(), "folder for the data, on the disk to be measured")
	f.StringVar(&o.log, "log", "", "level of the server's log; the default is its own")
	f.DurationVar(&o.timeout, "timeout", 30*time.Minute, "give up after this time")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	o.small = 1000
	if o.quick {
		o.users, o.small, o.large, o.members, o.repeat, o.time = 300, 100, 1200, 1200, 2, 40*time.Millisecond
	}
	var err error
	if o.rows, err = regexp.Compile(*rows); err != nil {
		return nil, err
	}
	switch {
	case f.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.output != "text" && o.output != "json":
		return nil, fmt.Errorf("unknown output %q: text or json", o.output)
	case min(o.users, o.large, o.members) < 100 || o.repeat < 1 || o.time <= 0:
		return nil, errors.New("-users, -large and -members are at least 100, -repeat and -time above 0")
	}
	return &o, nil
}

func (o *options) run(ctx context.Context) (err error) {
	b := &o.bench
	start := time.Now()
	b.progress = func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
	dir, err := os.MkdirTemp(o.dir, "bizzscim-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if b.recorded, err = record(ctx, filepath.Join(dir, "record")); err != nil {
		return err
	}
	if b.server, err = spawn(ctx, roleServer, Options{Dir: dir, Log: o.log}); err != nil {
		return err
	}
	defer b.server.stop()
	if b.floor, err = spawn(ctx, roleFloor, Options{Dir: dir}); err != nil {
		return err
	}
	defer b.floor.stop()
	b.dir, b.log = dir, o.log
	defer b.stopPulled()
	defer func() { err = errors.Join(err, b.stopProfile()) }()
	report, err := o.measure(ctx)
	if err != nil {
		return err
	}
	if o.output == "json" {
		return report.writeJSON(os.Stdout)
	}
	return report.writeText(os.Stdout)
}

// measure runs the rows that were asked for.
func (o *options) measure(ctx context.Context) (*Report, error) {
	b := &o.bench
	b.tenants, b.groups = map[int]*tenant{}, map[int]*group{}
	report := &Report{
		Machine: fmt.Sprintf("%s/%s, %d cores, %s; clients, server and floors are processes of the same machine", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version()),
		Sizes:   fmt.Sprintf("%d users, %d members, %d users for scale; each side %d times %s, in turn", o.users, o.members, o.large, o.repeat, o.time),
	}
	for _, r := range rows {
		if !o.rows.MatchString(r.name) {
			continue
		}
		b.progress("row %s", r.name)
		results, err := r.run(ctx, b)
		if err != nil {
			return nil, fmt.Errorf("row %s: %w", r.name, err)
		}
		for _, x := range results {
			x.Row = r.name
			x.Goal.Unjudged = x.Goal.Unjudged || o.quick
			x.judge()
			report.Results = append(report.Results, x)
		}
	}
	if len(report.Results) == 0 {
		return nil, fmt.Errorf("no row matches %q", o.rows)
	}
	return report, nil
}

// startProfile starts the profile that was asked for, once, of the server that is measured first.
func (b *bench) startProfile(server *child) error {
	if b.cpuProfile == "" || b.profiled {
		return nil
	}
	file, err := filepath.Abs(b.cpuProfile)
	if err != nil {
		return err
	}
	b.profiling, b.profiled = server, true
	return server.call("StartProfile", file, new(bool))
}

func (b *bench) stopProfile() error {
	if b.profiling == nil {
		return nil
	}
	c := b.profiling
	b.profiling = nil
	return c.call("StopProfile", true, new(bool))
}

// newTenant makes an empty tenant.
func (b *bench) newTenant(name string) (*tenant, error) {
	t := &tenant{b: b, name: name}
	return t, b.server.call("AddTenant", name, &t.token)
}

// tenant returns the tenant with so many users and makes it first where there is none.
func (b *bench) tenant(ctx context.Context, users int) (*tenant, error) {
	if t := b.tenants[users]; t != nil {
		return t, nil
	}
	t, err := b.newTenant(fmt.Sprintf("users-%d", users))
	if err != nil {
		return nil, err
	}
	if err := t.grow(ctx, users); err != nil {
		return nil, err
	}
	b.tenants[users] = t
	return t, nil
}

// population is how many users our server has.
func (b *bench) population() int {
	n := b.created
	for _, t := range b.tenants {
		n += len(t.ids)
	}
	return n
}
