package auth

import (
	"container/list"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// Failures that a source may cause: of passwords, codes, links, and requests for a mail.
const (
	failuresPerMinute = 20
	maxSources        = 10_000 // that are remembered; the one longest unheard gives way
)

// Limiter bounds what one source may fail at: an IPv4 address or an IPv6 network of 64 bits, which is
// what one subscriber has. A source has 20 tries; one comes back every 3 seconds. It keeps at most
// 10,000 sources. It is safe for concurrent use.
type Limiter struct {
	now    func() time.Time
	period time.Duration // in which one try comes back

	mu      sync.Mutex
	sources *bounded[netip.Prefix, bucket]
}

// bucket is how much of its tries a source has used up: until then, by the clock.
type bucket struct{ until time.Time }

// NewLimiter returns a Limiter by that clock.
func NewLimiter(now func() time.Time) *Limiter {
	return NewLimiterOf(now, failuresPerMinute)
}

// NewLimiterOf returns a Limiter of another number of tries a minute: for what is no failure, and what
// many people behind one address may do at once.
func NewLimiterOf(now func() time.Time, perMinute int) *Limiter {
	return &Limiter{now: now, period: time.Minute / time.Duration(perMinute), sources: newBounded[netip.Prefix, bucket](maxSources)}
}

// Allow takes one of the tries of a source, named by its address as text ("192.0.2.1", "2001:db8::1");
// sources without a readable address share one. Without a try left it says how long to wait for
// one. Take it before the try, so that many at once are counted, and Forgive it when the try was none.
func (l *Limiter) Allow(address string) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, now := l.bucket(address)
	if wait = b.until.Add(l.period).Sub(now) - time.Minute; wait > 0 {
		return wait, false
	}
	b.until = b.until.Add(l.period)
	return 0, true
}

// Forgive gives a try back that Allow took.
func (l *Limiter) Forgive(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, _ := l.bucket(address)
	b.until = b.until.Add(-l.period)
}

func (l *Limiter) bucket(address string) (*bucket, time.Time) {
	b, now := l.sources.at(sourceOf(address)), l.now()
	// A clock that was set back must keep nobody out for longer than a full bucket takes.
	if full := now.Add(time.Minute); b.until.After(full) {
		b.until = full
	}
	if b.until.Before(now) {
		b.until = now
	}
	return b, now
}

// sourceOf is the network that an address stands for; the zero Prefix for what is no address.
func sourceOf(address string) netip.Prefix {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}
	}
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 32
	}
	return netip.PrefixFrom(a, bits).Masked()
}

// TooManyError is the error of somebody who has to wait. It is a directory.Error of kind RateLimited.
type TooManyError struct {
	Wait time.Duration // for a Retry-After header (RFC 9110 section 10.2.3)
}

func (e *TooManyError) Error() string {
	seconds := int((e.Wait + time.Second - 1) / time.Second)
	if seconds == 1 {
		return "too many tries: wait a second and try again"
	}
	if seconds < 120 {
		return fmt.Sprintf("too many tries: wait %d seconds and try again", seconds)
	}
	return fmt.Sprintf("too many tries: wait %d minutes and try again", (seconds+59)/60)
}

// Unwrap makes it an Error of the domain.
func (e *TooManyError) Unwrap() error {
	return &directory.Error{Kind: directory.RateLimited, Detail: e.Error()}
}

// How failures slow further tries down. Nothing of it locks an account: whoever fails makes only their
// own source wait. An account that is tried from everywhere gives each source fewer free tries, but
// always the first one: who comes with the right password gets in.
const (
	freeFailures    = 5           // of a source at an account before it waits
	firstDelay      = time.Second // doubled with each failure
	maxDelay        = time.Minute
	accountFailures = 100       // in an hour, of all sources: from then on a source waits maxDelay from its first failure on
	codeFailures    = 20        // in an hour, of all sources, behind the right password: then no code counts for the account
	failureMemory   = time.Hour // for which failures count
	maxTries        = 10_000    // accounts and pairs of account and source that are remembered
)

// guard counts failures at accounts. Accounts are known by what was typed, existing or not, so that
// nobody learns from it which there are. It is safe for concurrent use.
type guard struct {
	now     func() time.Time
	sources *Limiter

	mu       sync.Mutex
	pairs    *bounded[[32]byte, tries]
	accounts *bounded[[32]byte, tries]
	codes    *bounded[directory.ID, tries]
}

// tries counts failures.
type tries struct {
	n     int
	first time.Time
	last  time.Time
}

// recent forgets what is over.
func (t *tries) recent(since time.Time, now time.Time) {
	if d := now.Sub(since); d >= failureMemory || d < 0 {
		*t = tries{first: now, last: now}
	}
}

func newGuard(now func() time.Time, sources *Limiter) *guard {
	return &guard{now: now, sources: sources, pairs: newBounded[[32]byte, tries](maxTries), accounts: newBounded[[32]byte, tries](maxTries),
		codes: newBounded[directory.ID, tries](maxTries)}
}

// try is one try at an account. It counts as failed from the beginning, so that many at once are
// counted; end says otherwise.
type try struct {
	g             *guard
	address       string
	pair, account [32]byte
}

// begin lets a source try its hand at an account. The error is a *TooManyError.
func (g *guard) begin(account, address string) (*try, error) {
	t := &try{g: g, address: address, account: sha256.Sum256([]byte(account)),
		pair: sha256.Sum256([]byte(account + "\x00" + sourceOf(address).String()))}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	pair := g.pairs.at(t.pair)
	pair.recent(pair.last, now)
	all := g.accounts.at(t.account)
	all.recent(all.first, now)
	if wait := pair.last.Add(delay(pair.n, all.n)).Sub(now); wait > 0 {
		return nil, &TooManyError{wait}
	}
	if wait, ok := g.sources.Allow(address); !ok {
		return nil, &TooManyError{wait}
	}
	pair.n, pair.last = pair.n+1, now
	all.n++
	return t, nil
}

// delay is how long a source that has failed so often at an account waits after the last time; all
// counts the failures of every source.
func delay(failures, all int) time.Duration {
	switch {
	case failures > 0 && all >= accountFailures:
		return maxDelay
	case failures < freeFailures:
		return 0
	}
	return min(firstDelay<<min(failures-freeFailures, 10), maxDelay)
}

// outcome of a try.
type outcome int

const (
	failed    outcome = iota
	undecided         // neither right nor wrong: what failed before still counts
	succeeded
)

func (t *try) end(o outcome) {
	if o == failed {
		return
	}
	t.g.sources.Forgive(t.address)
	t.g.mu.Lock()
	defer t.g.mu.Unlock()
	pair, all := t.g.pairs.at(t.pair), t.g.accounts.at(t.account)
	pair.n, all.n = max(pair.n-1, 0), max(all.n-1, 0)
	if o == succeeded {
		pair.n = 0
	}
}

// takeCode lets a code be tried at an account whose password was right, and counts it as wrong: who
// has the password and guesses codes from many places must not have many guesses. 0: it may be tried;
// else how long no code counts.
func (g *guard) takeCode(account directory.ID) (wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	t := g.codes.at(account)
	t.recent(t.first, now)
	if t.n >= codeFailures {
		return t.first.Add(failureMemory).Sub(now)
	}
	t.n++
	return 0
}

// rightCode takes back that takeCode counted.
func (g *guard) rightCode(account directory.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.codes.at(account)
	t.n = max(t.n-1, 0)
}

// forgetCodes is for an account whose password or second factor is another one now.
func (g *guard) forgetCodes(account directory.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.codes.forget(account)
}

// bounded is a map of at most so many entries: the one longest untouched gives way to a new one.
type bounded[K comparable, V any] struct {
	most    int
	order   *list.List // of *boundedEntry[K, V], the last touched in front
	entries map[K]*list.Element
}

type boundedEntry[K comparable, V any] struct {
	key   K
	value V
}

func newBounded[K comparable, V any](most int) *bounded[K, V] {
	return &bounded[K, V]{most: most, order: list.New(), entries: map[K]*list.Element{}}
}

// at returns the value of a key, a zero one where there was none. It is valid until the next call.
func (b *bounded[K, V]) at(key K) *V {
	e := b.entries[key]
	if e == nil {
		if len(b.entries) >= b.most {
			oldest := b.order.Remove(b.order.Back()).(*boundedEntry[K, V]) //nolint:forcetypeassert // nothing else is put in
			delete(b.entries, oldest.key)
		}
		e = b.order.PushFront(&boundedEntry[K, V]{key: key})
		b.entries[key] = e
	}
	b.order.MoveToFront(e)
	return &e.Value.(*boundedEntry[K, V]).value //nolint:forcetypeassert // nothing else is put in
}

func (b *bounded[K, V]) forget(key K) {
	if e := b.entries[key]; e != nil {
		b.order.Remove(e)
		delete(b.entries, key)
	}
}
