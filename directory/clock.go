package directory

import (
	"sync"
	"time"
)

// sessionClock is the clock that sessions end by. It goes on with the wall clock, but never back: when
// that is set back, it goes on at the pace of a clock that nobody sets. So setting the wall clock
// ends sessions early or not at all, and never lengthens one.
type sessionClock struct {
	wall    func() time.Time
	elapsed func() time.Duration

	mu   sync.Mutex
	last time.Time     // the last reading
	at   time.Duration // by elapsed
	raw  time.Time     // by wall
}

func newSessionClock(wall func() time.Time, elapsed func() time.Duration) *sessionClock {
	return &sessionClock{wall: wall, elapsed: elapsed}
}

func (c *sessionClock) now() time.Time {
	now, _ := c.read()
	return now
}

// read returns the time, and what elapsed says at that moment (zero without it).
func (c *sessionClock) read() (time.Time, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	raw := c.wall()
	var passed time.Duration
	if c.elapsed != nil {
		at := c.elapsed()
		passed, c.at = at-c.at, at
	} else {
		passed = raw.Sub(c.raw) // by the monotonic reading that time.Now gives along
	}
	c.raw = raw
	now := c.last.Add(max(passed, 0))
	if wall := raw.Round(0).UTC(); wall.After(now) {
		now = wall
	}
	c.last = now
	return now.Truncate(time.Millisecond), c.at
}

// resume has the clock go on from where an earlier process left it: from the time mark, when elapsed
// said at. On the same boot now-at is what has passed since. Where elapsed began anew (with another boot,
// say) it is less, down to nothing. Where the data has moved to a machine that has run longer, it is
// more: the clock is ahead then, and ends sessions early. It never lengthens one.
func (c *sessionClock) resume(mark time.Time, at time.Duration) {
	_, now := c.read()
	c.mu.Lock()
	defer c.mu.Unlock()
	if left := mark.Add(max(now-at, 0)); left.After(c.last) {
		c.last = left
	}
}

// broadcast wakes everybody who waits for the next event of a kind.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

// next is closed at the next event.
func (b *broadcast) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
