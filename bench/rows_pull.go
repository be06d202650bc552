package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bizzstream/bizzscim/app"
)

func seconds(m Measure) float64 { return m.Elapsed.Seconds() }
func cpu(m Measure) float64     { return m.CPU.Seconds() }

// goalMembers is the size of the group that the goals of the pull are stated for.
const goalMembers = 100_000

func (r Result) pulled(b *bench, g Goal) Result {
	r.Goal = g
	r.Goal.Unjudged = b.members != goalMembers
	return r
}

// reads has a process read the whole group, once each time, and checks that it has read everybody. note tells
// what it cost besides.
func (p *pulled) reads(c *child, method string, want *Read, note *string) side {
	return func(context.Context, time.Duration) (Measure, error) {
		var r Read
		if err := c.call(method, p.link, &r); err != nil {
			return r.Measure, err
		}
		if want.People == 0 {
			*want = r
		}
		if r.People != p.link.People || r.Sum != want.Sum {
			return r.Measure, fmt.Errorf("%s read %d people with the sum %x, want %d with %x", method, r.People, r.Sum, p.link.People, want.Sum)
		}
		if note != nil {
			*note = fmt.Sprintf("%d requests, %.0f MiB in %.0f thousand allocations", r.Requests, float64(r.Allocated)/(1<<20), float64(r.Objects)/1e3)
		}
		return r.Measure, nil
	}
}

// pullRead compares reading a group through the SDK and the strict reader with the plainest readers.
func pullRead(ctx context.Context, b *bench) ([]Result, error) {
	p, err := b.pushed(ctx)
	if err != nil {
		return nil, err
	}
	var want Read
	var notes [3]string
	sides := []side{p.reads(p.server, "ReadGroup", &want, &notes[0]), p.reads(b.floor, "ReadJSON", &want, &notes[1]), p.reads(b.floor, "ReadStream", &want, &notes[2])}
	all, err := b.warmed(ctx, p, sides...)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("read a group of %d through Graph, ", p.link.People)
	return []Result{
		Result{What: text + "CPU", FloorName: "json.Unmarshal", Note: notes[0] + "; floor " + notes[1]}.compare("s", cpu, all[0], all[1]),
		Result{What: "the same", FloorName: "json.Decoder", Note: "floor " + notes[2]}.compare("s", cpu, all[0], all[2]),
		Result{What: "the same, wall time", FloorName: "json.Decoder"}.compare("s", seconds, all[0], all[2]),
	}, nil
}

// warmed measures sides that do one thing as often as they are called, after each has done it once.
func (b *bench) warmed(ctx context.Context, p *pulled, sides ...side) ([][]Measure, error) {
	for _, s := range sides {
		if _, err := s(ctx, 0); err != nil {
			return nil, err
		}
	}
	if err := b.startProfile(p.server); err != nil {
		return nil, err
	}
	return b.repeated(ctx, sides...)
}

// syncs has the server pull, checks what the run did, and keeps what it cost.
func (p *pulled) syncs(all *[]Sync, check func(*Sync) bool) side {
	return func(context.Context, time.Duration) (Measure, error) {
		var s Sync
		if err := p.server.call("Sync", "", &s); err != nil {
			return Measure{}, err
		}
		*all = append(*all, s)
		return Measure{Ops: 1, Elapsed: s.took(), CPU: s.CPU}, s.check(check)
	}
}

func (s *Sync) took() time.Duration { return s.Run.Ended.Sub(s.Run.Started) }

// check reports what a run has done other than it should.
func (s *Sync) check(done func(*Sync) bool) error {
	if s.Run.State == "complete" && done(s) {
		return nil
	}
	failure := app.RunError{}
	if s.Run.Error != nil {
		failure = *s.Run.Error
	}
	return fmt.Errorf("the run is %s and did not do what it should: %+v %v %+v, rows %v", s.Run.State, failure, s.Run.Reasons, s.Run.Counts, s.Rows)
}

// runTables are the tables that a run with nothing to do may write: its own record and the schedule.
var runTables = []string{"pull_runs", "pull_run_of", "pull_state"}

// unchanged reports whether a run had nothing to do, and wrote nothing but that.
func (p *pulled) unchanged(s *Sync) bool {
	for table := range s.Rows {
		if !slices.Contains(runTables, table) {
			return false
		}
	}
	return s.Run.Drift == 0 && s.Run.Counts.Unchanged == p.link.People && s.Run.Counts.People == p.link.People
}

// pullUnchanged measures whole runs that find nothing to do.
func pullUnchanged(ctx context.Context, b *bench) ([]Result, error) {
	p, err := b.pushed(ctx)
	if err != nil {
		return nil, err
	}
	var runs []Sync
	var want Read
	all, err := b.warmed(ctx, p, p.syncs(&runs, p.unchanged), p.reads(b.floor, "ReadStream", &want, nil))
	if err != nil {
		return nil, err
	}
	runs = runs[1:] // the first one warmed
	last := runs[len(runs)-1]
	requests, memory := costs(runs)
	text := fmt.Sprintf("pull of %d people whom push has brought, nothing to do: ", p.link.People)
	return []Result{
		Result{What: text + "Graph requests", Unit: "", Ours: requests, Note: fmt.Sprintf("%d pages, %d resource units", last.Run.Pages, last.Run.Units)}.pulled(b, atMost(110)),
		Result{What: "the same, CPU of the server", Note: fmt.Sprintf("rows written %v in %d commits", last.Rows, last.Commits)}.
			absolute("s", cpu, all[0]).pulled(b, atMost(1)),
		Result{What: "the same, wall time against reading alone", FloorName: "json.Decoder"}.compare("s", seconds, all[0], all[1]).pulled(b, atMost(1.5)),
		{What: "the same, resident memory at most", Unit: "MiB", Ours: memory, Note: fmt.Sprintf("%.0f MiB of it without pages of the store's file", float64(last.Heap)/(1<<20))},
	}, nil
}

// costs are the requests of runs, and the memory that they took, in MiB.
func costs(runs []Sync) (requests, memory Stat) {
	var r, m []float64
	for i := range runs {
		r, m = append(r, float64(runs[i].Run.Requests)), append(m, float64(runs[i].Peak)/(1<<20))
	}
	return newStat(r), newStat(m)
}

// pullChanges measures runs that find one person in a hundred changed.
func pullChanges(ctx context.Context, b *bench) ([]Result, error) {
	p, err := b.pushed(ctx)
	if err != nil {
		return nil, err
	}
	n := p.link.People / 100 / 4 * 4
	var runs []Sync
	run := p.syncs(&runs, func(s *Sync) bool {
		c := s.Run.Counts
		return c.Applied == n && c.Update == n/2 && c.Revoke == n/4 && c.Create+c.Grant+c.Reactivate == n/4 && s.Run.Drift == n
	})
	all, err := b.warmed(ctx, p, func(ctx context.Context, d time.Duration) (Measure, error) {
		if err := p.entra.call("Change", n, new(bool)); err != nil {
			return Measure{}, err
		}
		return run(ctx, d)
	})
	if err != nil {
		return nil, err
	}
	runs = runs[1:]
	requests, memory := costs(runs)
	last := runs[len(runs)-1]
	return []Result{
		Result{What: fmt.Sprintf("pull of %d people of whom %d changed: wall time", p.link.People, n),
			Note: fmt.Sprintf("half renamed, a quarter gone, a quarter back; %.0f changes/s, reading and all; %.0f requests; %s in %d commits",
				float64(n)/newStat(values(all[0], seconds)).Median, requests.Median, total(last.Rows), last.Commits)}.absolute("s", seconds, all[0]),
		Result{What: "the same, CPU of the server"}.absolute("s", cpu, all[0]),
		{What: "the same, resident memory at most", Unit: "MiB", Ours: memory},
	}, nil
}

func total(rows map[string]int) string {
	n := 0
	for rows := range maps.Values(rows) {
		n += rows
	}
	return fmt.Sprintf("%d rows", n)
}

// pullFirst measures the first pull of a directory that never pushed: once, for it cannot be had again.
func pullFirst(ctx context.Context, b *bench) (results []Result, err error) {
	p, _, err := b.newPulled(ctx, "first", b.members)
	if err != nil {
		return nil, err
	}
	defer func() {
		if b.profiling == p.server {
			err = errors.Join(err, b.stopProfile())
		}
		p.stop()
	}()
	everybody := func(s *Sync) bool { return s.Run.Counts.Create == p.link.People }
	var held, first, again Sync
	if err := p.server.call("Sync", "", &held); err != nil {
		return nil, err
	}
	if held.Run.State != "quarantined" || held.Run.Counts.Held != p.link.People || !everybody(&held) {
		return nil, fmt.Errorf("the first plan was not held: %+v", held.Run)
	}
	if err := b.startProfile(p.server); err != nil {
		return nil, err
	}
	if err := p.server.call("Sync", held.Run.Hash, &first); err != nil {
		return nil, err
	}
	if err := first.check(func(s *Sync) bool { return everybody(s) && s.Run.Counts.Applied == p.link.People }); err != nil {
		return nil, err
	}
	if err := p.server.call("Sync", "", &again); err != nil {
		return nil, err
	}
	if err := again.check(p.unchanged); err != nil {
		return nil, err
	}
	took := first.took().Seconds()
	return []Result{
		{What: fmt.Sprintf("first pull of %d people, none of them pushed: wall time", p.link.People), Unit: "s", Ours: newStat([]float64{took}),
			Note: fmt.Sprintf("once, after its plan was held and allowed; %.0f people/s, %s in %d commits, %.1f s of CPU; to make and keep the plan: %.1f s, %.1f s of CPU, %.0f MiB",
				float64(p.link.People)/took, total(first.Rows), first.Commits, first.CPU.Seconds(), held.took().Seconds(), held.CPU.Seconds(), float64(held.Peak)/(1<<20))},
		{What: "the same, resident memory at most", Unit: "MiB", Ours: newStat([]float64{float64(first.Peak) / (1 << 20)})},
	}, nil
}
