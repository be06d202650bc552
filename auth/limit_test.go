package auth

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/directory"
)

// watch is a clock that goes on by hand.
type watch struct{ at time.Time }

func newWatch() *watch                    { return &watch{time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)} }
func (w *watch) now() time.Time           { return w.at }
func (w *watch) pass(d time.Duration)     { w.at = w.at.Add(d) }
func (l *Limiter) allow(addr string) bool { _, ok := l.Allow(addr); return ok }

func (l *Limiter) exhaust(t *testing.T, address string) {
	t.Helper()
	for n := range failuresPerMinute {
		if !l.allow(address) {
			t.Fatalf("try %d of %s is refused", n+1, address)
		}
	}
	if l.allow(address) {
		t.Fatalf("%s has more than %d tries", address, failuresPerMinute)
	}
}

func TestLimiterGivesASourceTwentyAMinute(t *testing.T) {
	w := newWatch()
	l := NewLimiter(w.now)
	l.exhaust(t, "192.0.2.1")
	if wait, _ := l.Allow("192.0.2.1"); wait != 3*time.Second {
		t.Errorf("wait %v", wait)
	}
	w.pass(3*time.Second - 1)
	if l.allow("192.0.2.1") {
		t.Error("too early")
	}
	w.pass(1)
	if !l.allow("192.0.2.1") || l.allow("192.0.2.1") {
		t.Error("after three seconds there is one more")
	}
	w.pass(time.Minute)
	l.exhaust(t, "192.0.2.1")
	// What was no failure is given back, and not more than that.
	l.Forgive("192.0.2.1")
	if !l.allow("192.0.2.1") || l.allow("192.0.2.1") {
		t.Error("a try was given back")
	}
	w.pass(time.Hour)
	l.Forgive("192.0.2.1")
	l.exhaust(t, "192.0.2.1")
}

func TestLimiterOfAnotherNumber(t *testing.T) {
	w := newWatch()
	l := NewLimiterOf(w.now, 300)
	n := 0
	for l.allow("192.0.2.1") {
		n++
	}
	if n != 300 {
		t.Errorf("%d tries", n)
	}
	w.pass(200*time.Millisecond - 1)
	if l.allow("192.0.2.1") {
		t.Error("too early")
	}
	w.pass(1)
	if !l.allow("192.0.2.1") {
		t.Error("too late")
	}
}

func TestLimiterKnowsSources(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b string
		same bool
	}{
		"two addresses":              {"192.0.2.1", "192.0.2.2", false},
		"an address, mapped to IPv6": {"192.0.2.1", "::ffff:192.0.2.1", true},
		"mapped neighbours":          {"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		"one network of 64 bits":     {"2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
		"two networks of 64 bits":    {"2001:db8:0:1::1", "2001:db8:0:2::1", false},
		"a zone":                     {"fe80::1%eth0", "fe80::1%eth1", true},
		"unreadable ones":            {"", "unix:@", true},
		"an unreadable and a good":   {"", "192.0.2.1", false},
		"nothing and the zero":       {"", "0.0.0.0", false},
	} {
		l := NewLimiter(newWatch().now)
		l.exhaust(t, tt.a)
		if refused := !l.allow(tt.b); refused != tt.same {
			t.Errorf("%s: the same source: %v", name, refused)
		}
	}
}

func TestLimiterIsBoundedAndForgetsTheOldest(t *testing.T) {
	w := newWatch()
	l := NewLimiter(w.now)
	l.exhaust(t, "198.51.100.1")
	for i := range maxSources - 1 {
		l.allow(fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff))
	}
	if l.allow("198.51.100.1") { // heard of now: not the oldest any more
		t.Error("a source is forgotten while there is room")
	}
	for i := range maxSources - 1 {
		l.allow(fmt.Sprintf("2001:db9:%x:%x::1", i>>16, i&0xffff))
	}
	if l.allow("198.51.100.1") {
		t.Error("the source that was heard of last is forgotten first")
	}
	if n := len(l.sources.entries); n != maxSources || l.sources.order.Len() != n {
		t.Errorf("%d sources are kept", n)
	}
}

func TestLimiterOutlivesAClockThatIsSet(t *testing.T) {
	w := newWatch()
	l := NewLimiter(w.now)
	l.exhaust(t, "192.0.2.1")
	w.pass(-24 * time.Hour)
	if l.allow("192.0.2.1") {
		t.Error("setting the clock back gives tries")
	}
	w.pass(3 * time.Second)
	if !l.allow("192.0.2.1") {
		t.Error("setting the clock back keeps a source out")
	}
}

func TestLimiterCountsManyAtOnce(t *testing.T) {
	l := NewLimiter(newWatch().now)
	var all sync.WaitGroup
	var mu sync.Mutex
	allowed := 0
	for range 4 * failuresPerMinute {
		all.Go(func() {
			if l.allow("192.0.2.1") {
				mu.Lock()
				allowed++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if allowed != failuresPerMinute {
		t.Errorf("%d allowed", allowed)
	}
}

// TestLimiterNeverAllowsMore: in no minute does a source get more than 20 tries and the 20 that come back
// in it, and one that waits as long as it is told gets in.
func TestLimiterNeverAllowsMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWatch()
		l := NewLimiter(w.now)
		const failurePeriod = time.Minute / failuresPerMinute
		var taken []time.Time
		for _, gap := range rapid.SliceOfN(rapid.IntRange(0, 10_000), 1, 200).Draw(t, "gaps") {
			w.pass(time.Duration(gap) * time.Millisecond)
			wait, ok := l.Allow("192.0.2.1")
			if !ok {
				if wait <= 0 || wait > failurePeriod {
					t.Fatalf("wait %v", wait)
				}
				w.pass(wait)
				if wait, ok = l.Allow("192.0.2.1"); !ok {
					t.Fatalf("who has waited is told to wait %v", wait)
				}
			}
			taken = append(taken, w.at)
		}
		for i := range taken {
			if j := i + failuresPerMinute; j < len(taken) && taken[j].Sub(taken[i]) < failurePeriod {
				t.Fatalf("%d tries within %v", failuresPerMinute+1, taken[j].Sub(taken[i]))
			}
		}
	})
}

func newTestGuard() (*guard, *watch) {
	w := newWatch()
	return newGuard(w.now, NewLimiter(w.now)), w
}

// fail has a try that fails; it returns how long it had to be waited for.
func (g *guard) fail(t *testing.T, w *watch, account, address string) (waited time.Duration) {
	t.Helper()
	for {
		if _, err := g.begin(account, address); err == nil {
			return waited
		} else if e, ok := err.(*TooManyError); ok && e.Wait > 0 {
			waited += e.Wait
			w.pass(e.Wait)
			continue
		}
		t.Fatal("neither allowed nor to wait")
	}
}

func TestGuardDelaysGrow(t *testing.T) {
	g, w := newTestGuard()
	want := []float64{0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60}
	for n, seconds := range want {
		if got := g.fail(t, w, "ida@example.com", "192.0.2.1"); got.Seconds() != seconds {
			t.Errorf("try %d had to wait %v, want %v s", n+1, got, seconds)
		}
	}
	// Neither another source nor another account waits.
	if got := g.fail(t, w, "ida@example.com", "192.0.2.2"); got != 0 {
		t.Errorf("another source waits %v", got)
	}
	if got := g.fail(t, w, "bo@example.com", "192.0.2.1"); got != 0 {
		t.Errorf("another account waits %v", got)
	}
	w.pass(failureMemory)
	if got := g.fail(t, w, "ida@example.com", "192.0.2.1"); got != 0 {
		t.Errorf("after an hour it waits %v", got)
	}
	if got := g.fail(t, w, "ida@example.com", "192.0.2.1"); got != 0 {
		t.Errorf("after an hour the second try waits %v", got)
	}
}

func TestGuardOutcomes(t *testing.T) {
	g, w := newTestGuard()
	const ida, here = "ida@example.com", "192.0.2.1"
	for range freeFailures - 1 {
		g.fail(t, w, ida, here)
	}
	// What was neither right nor wrong neither counts nor makes up for what was.
	for range 50 {
		try, err := g.begin(ida, here)
		if err != nil {
			t.Fatal(err)
		}
		try.end(undecided)
	}
	g.fail(t, w, ida, here)
	if _, err := g.begin(ida, here); err == nil {
		t.Error("undecided tries took failures back")
	}
	w.pass(time.Second)
	try, err := g.begin(ida, here)
	if err != nil {
		t.Fatal(err)
	}
	try.end(succeeded)
	for range freeFailures {
		if waited := g.fail(t, w, ida, here); waited != 0 {
			t.Errorf("after a success a failure waits %v", waited)
		}
	}
}

// TestGuardNeverLocksOut: however an account is tried from elsewhere, a source that has not failed at it has
// its first try at once; and from 100 failures on the second one waits a minute.
func TestGuardNeverLocksOut(t *testing.T) {
	g, w := newTestGuard()
	for n := range accountFailures {
		if waited := g.fail(t, w, "ida@example.com", fmt.Sprintf("10.0.%d.1", n)); waited != 0 {
			t.Fatalf("failure %d waits %v", n, waited)
		}
	}
	try, err := g.begin("ida@example.com", "192.0.2.1")
	if err != nil {
		t.Fatalf("who comes from elsewhere is kept out: %v", err)
	}
	try.end(succeeded)
	if g.fail(t, w, "ida@example.com", "10.9.9.9"); g.fail(t, w, "ida@example.com", "10.9.9.9") != time.Minute {
		t.Error("an account that is tried from everywhere gives a source more than a try a minute")
	}
	if g.fail(t, w, "bo@example.com", "10.9.9.9"); g.fail(t, w, "bo@example.com", "10.9.9.9") != 0 {
		t.Error("another account suffers")
	}
	w.pass(failureMemory)
	if g.fail(t, w, "ida@example.com", "10.9.9.8"); g.fail(t, w, "ida@example.com", "10.9.9.8") != 0 {
		t.Error("it does not end")
	}
}

// TestGuardCountsAreWhole: successes from everywhere leave nothing behind, in any order.
func TestGuardCountsAreWhole(t *testing.T) {
	g, _ := newTestGuard()
	for n := range 3 * accountFailures {
		try, err := g.begin("ida@example.com", fmt.Sprintf("10.0.%d.1", n%200))
		if err != nil {
			t.Fatal(err)
		}
		try.end(succeeded)
	}
	if _, err := g.begin("ida@example.com", "192.0.2.1"); err != nil {
		t.Error(err)
	}
	if _, err := g.begin("ida@example.com", "192.0.2.1"); err != nil {
		t.Errorf("successes were counted as failures: %v", err)
	}
}

func TestGuardIsBoundedBySource(t *testing.T) {
	g, w := newTestGuard()
	for n := range failuresPerMinute {
		if _, err := g.begin(fmt.Sprintf("a%d@example.com", n), "192.0.2.1"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.begin("another@example.com", "192.0.2.1"); err == nil {
		t.Error("a source tries one password at every account")
	}
	if _, err := g.begin("another@example.com", "192.0.2.2"); err != nil {
		t.Errorf("another source: %v", err)
	}
	// A refused try is not counted at the account.
	w.pass(time.Minute)
	for range freeFailures {
		if _, err := g.begin("another@example.com", "192.0.2.1"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 * maxTries {
		w.pass(3 * time.Second)
		g.fail(t, w, fmt.Sprintf("%d@example.com", i), fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))
	}
	if len(g.pairs.entries) > maxTries || len(g.accounts.entries) > maxTries {
		t.Errorf("%d pairs, %d accounts", len(g.pairs.entries), len(g.accounts.entries))
	}
}

func TestGuardCountsCodes(t *testing.T) {
	g, w := newTestGuard()
	ida, bo := directory.ID{1}, directory.ID{2}
	for n := range codeFailures {
		if wait := g.takeCode(ida); wait != 0 {
			t.Fatalf("code %d waits %v", n, wait)
		}
		w.pass(time.Minute)
	}
	if wait := g.takeCode(ida); wait != 40*time.Minute {
		t.Errorf("wait %v", wait)
	}
	if wait := g.takeCode(bo); wait != 0 {
		t.Errorf("another account waits %v", wait)
	}
	g.forgetCodes(ida)
	for range 3 * codeFailures {
		if wait := g.takeCode(ida); wait != 0 {
			t.Fatalf("right codes are counted: %v", wait)
		}
		g.rightCode(ida)
	}
	for range codeFailures {
		g.takeCode(ida)
	}
	w.pass(failureMemory)
	if wait := g.takeCode(ida); wait != 0 {
		t.Errorf("after an hour: %v", wait)
	}
}

func TestTooManyErrorSaysHowLong(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Millisecond:   "too many tries: wait a second and try again",
		time.Second:        "too many tries: wait a second and try again",
		time.Second + 1:    "too many tries: wait 2 seconds and try again",
		time.Minute:        "too many tries: wait 60 seconds and try again",
		40*time.Minute + 1: "too many tries: wait 41 minutes and try again",
	} {
		e := &TooManyError{d}
		if e.Error() != want || directory.KindOf(e) != directory.RateLimited {
			t.Errorf("%v: %q, %v", d, e, directory.KindOf(e))
		}
	}
}

func TestBoundedForgetsTheLongestUntouched(t *testing.T) {
	b := newBounded[int, int](100)
	last := map[int]int{}
	for step := range 5000 {
		k := rand.IntN(150)
		*b.at(k) = step
		last[k] = step
		if len(b.entries) > 100 || len(b.entries) != b.order.Len() {
			t.Fatalf("%d entries, %d in order", len(b.entries), b.order.Len())
		}
	}
	oldest := 5000
	for _, e := range b.entries {
		oldest = min(oldest, e.Value.(*boundedEntry[int, int]).value)
	}
	for k, step := range last {
		if _, kept := b.entries[k]; !kept && step > oldest {
			t.Errorf("%d of step %d is gone, and step %d is kept", k, step, oldest)
		}
	}
	b.forget(b.order.Front().Value.(*boundedEntry[int, int]).key)
	if len(b.entries) != 99 || b.order.Len() != 99 {
		t.Error("forget")
	}
}
