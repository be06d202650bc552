package entrasim

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

const maxFailures = 20 // kept in a summary

// Counts are the actions on users or groups.
type Counts struct {
	Created, Linked, Updated, Disabled, Restored, Deleted, Skipped int
}

// Failure is one object or reference that could not be provisioned.
type Failure struct {
	Object string // userPrincipalName or displayName
	Err    *Error
}

// Summary is what a cycle or an on-demand call did. Linked objects were found at the target by a matching attribute;
// skipped ones needed no write.
type Summary struct {
	Base     string // Tenant URL without query
	Initial  bool
	OnDemand bool

	Users, Groups                    Counts
	MembersAdded, MembersRemoved     int
	ReferencesSet, ReferencesCleared int // managers
	Failed                           int // in this run
	Escrowed                         int // waiting for a later cycle
	Quarantined                      bool
	Failures                         []Failure // the first of them
	Requests, Retries, Throttled     int       // throttled: answered 429
	BytesSent, BytesReceived         int64     // bodies
	Duration, P50, P99               time.Duration
}

// Writes is the number of changes made at the target.
func (s Summary) Writes() int {
	n := s.MembersAdded + s.MembersRemoved + s.ReferencesSet + s.ReferencesCleared
	for _, c := range []Counts{s.Users, s.Groups} {
		n += c.Created + c.Updated + c.Disabled + c.Restored + c.Deleted
	}
	return n
}

// Rate is the number of requests per second.
func (s Summary) Rate() float64 {
	if s.Duration <= 0 {
		return 0
	}
	return float64(s.Requests) / s.Duration.Seconds()
}

// String is a table of several lines for people.
func (s Summary) String() string {
	var b strings.Builder
	what := "Incremental cycle"
	switch {
	case s.OnDemand:
		what = "Provision on demand"
	case s.Initial:
		what = "Initial cycle"
	}
	fmt.Fprintf(&b, "%s to %s in %s\n\n", what, s.Base, round(s.Duration))
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tcreated\tlinked\tupdated\tdisabled\trestored\tdeleted\tskipped\t")
	row := func(name string, c Counts) {
		fmt.Fprintf(t, "%-8s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", name, number(c.Created), number(c.Linked), number(c.Updated),
			number(c.Disabled), number(c.Restored), number(c.Deleted), number(c.Skipped))
	}
	row("users", s.Users)
	row("groups", s.Groups)
	_ = t.Flush() // to a strings.Builder
	b.WriteByte('\n')
	fmt.Fprintf(&b, "  members    %s added, %s removed\n", number(s.MembersAdded), number(s.MembersRemoved))
	fmt.Fprintf(&b, "  managers   %s set, %s cleared\n", number(s.ReferencesSet), number(s.ReferencesCleared))
	fmt.Fprintf(&b, "  failed     %s, %s waiting in escrow\n", number(s.Failed), number(s.Escrowed))
	fmt.Fprintf(&b, "  requests   %s (%s repeated, %s throttled), %s sent, %s received\n",
		number(s.Requests), number(s.Retries), number(s.Throttled), size(s.BytesSent), size(s.BytesReceived))
	fmt.Fprintf(&b, "  speed      %.1f requests/s, answers p50 %s, p99 %s\n", s.Rate(), round(s.P50), round(s.P99))
	if s.Quarantined {
		b.WriteString("  state      QUARANTINE\n")
	}
	if len(s.Failures) > 0 {
		fmt.Fprintf(&b, "\nFailures (%d of %s)\n", len(s.Failures), number(s.Failed))
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, f := range s.Failures {
			status := "-"
			if f.Err.Status != 0 {
				status = fmt.Sprint(f.Err.Status)
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", f.Err.Code, status, f.Object, f.Err.Method, f.Err.Detail)
		}
		_ = t.Flush() // to a strings.Builder
	}
	return b.String()
}

// number writes n with thousands separators.
func number(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size writes a number of bytes.
func size(n int64) string {
	switch {
	case n >= 1_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

// round keeps three or four digits of a duration.
func round(d time.Duration) time.Duration {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}

// Progress is how far a stage of a cycle is.
type Progress struct {
	Stage       string // "users", "groups", "members", "managers", "verify users", "verify groups"
	Done, Total int
	Rate        float64 // done per second
	Elapsed     time.Duration
}

// Printer writes progress to a terminal, over and over in one line, or as plain lines. Pass its Print method as
// [ProvisionerOptions.Progress].
type Printer struct {
	w        io.Writer
	terminal bool
	every    time.Duration

	mu    sync.Mutex
	last  time.Time
	stage string
	open  int // length of the unfinished terminal line
}

// NewPrinter makes a printer that writes at most every 250 ms on a terminal and every 2 s elsewhere, and at the end of
// each stage.
func NewPrinter(w io.Writer, terminal bool) *Printer {
	p := &Printer{w: w, terminal: terminal, every: 2 * time.Second}
	if terminal {
		p.every = 250 * time.Millisecond
	}
	return p
}

// Print shows one report.
func (p *Printer) Print(s Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.Stage != p.stage {
		p.stage, p.last = s.Stage, time.Now()
	}
	done := s.Done >= s.Total
	if !done && time.Since(p.last) < p.every {
		return
	}
	p.last = time.Now()
	percent := 100
	if s.Total > 0 {
		percent = s.Done * 100 / s.Total
	}
	line := fmt.Sprintf("%-13s %9s / %-9s %3d %%  %8.1f/s  %s", s.Stage, number(s.Done), number(s.Total), percent, s.Rate, round(s.Elapsed))
	if !p.terminal {
		fmt.Fprintln(p.w, line)
		return
	}
	fmt.Fprintf(p.w, "\r%-*s", p.open, line)
	p.open = len(line)
	if done {
		fmt.Fprintln(p.w)
		p.open = 0
	}
}

// Close ends an unfinished terminal line.
func (p *Printer) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open > 0 {
		fmt.Fprintln(p.w)
		p.open = 0
	}
}
