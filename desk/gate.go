package desk

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

// What costs much, or tells much, is not for anybody to have as often as they like.

// Bounds of what is done at once, and of how often people are added.
const (
	heavyOne   = 2  // reports of one person or token at once, and as many exports
	maxReports = 4  // of all: each may read the log and the audit of a year
	maxExports = 32 // of all: each waits for whoever takes it
	heavyWait  = 10 * time.Second
	addBudget  = 60 // people whom one person or token adds within addWindow
	addWindow  = time.Minute
	addKnown   = 10_000 // persons and tokens that are remembered
)

// gate bounds how much of a kind goes on at once.
type gate struct {
	most int

	mu  sync.Mutex
	one map[string]int // by actor
	all int
}

func newGate(most int) *gate { return &gate{most: most, one: map[string]int{}} }

// enter takes a place for an actor; leave gives it back. Errors: RateLimited, with an *auth.TooManyError that says how long to wait.
func (g *gate) enter(by directory.Actor, what string) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.one[by.ID] >= heavyOne {
		return nil, tooMany(heavyWait, fmt.Sprintf("%d %s are being made for you already: wait until one is done", heavyOne, what))
	}
	if g.all >= g.most {
		return nil, tooMany(heavyWait, fmt.Sprintf("the server makes as many %s as it can at once: try again in a moment", what))
	}
	g.one[by.ID]++
	g.all++
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.all--
		if g.one[by.ID]--; g.one[by.ID] == 0 {
			delete(g.one, by.ID)
		}
	}), nil
}

// WaitOf is how long somebody has to wait who has had too much; 0: the error does not say.
func WaitOf(err error) time.Duration {
	var many *auth.TooManyError
	if !errors.As(err, &many) {
		return 0
	}
	return many.Wait
}

func tooMany(wait time.Duration, detail string) error {
	return &directory.Error{Kind: directory.RateLimited, Detail: detail, Err: &auth.TooManyError{Wait: wait}}
}

// Export takes a place for an actor who has something handed over as a file; leave gives it back. Errors: RateLimited while two go on
// for the actor, or the server is at its limit.
func (d *Desk) Export(by directory.Actor) (leave func(), err error) {
	return d.exports.enter(by, "exports")
}

// additions remembers who has added people lately.
type additions struct {
	mu     sync.Mutex
	recent map[string][]time.Time // by actor, within addWindow
}

// take counts one more of an actor. Who adds people learns of each address whether somebody has it, so a list of addresses is
// not to be had that way. An operator knows them all. Errors: RateLimited.
func (a *additions) take(by directory.Actor, now time.Time) error {
	if by.Role == directory.RoleOperator {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.recent == nil || len(a.recent) >= addKnown { // more than there can be in use: start anew
		a.recent = map[string][]time.Time{}
	}
	var recent []time.Time
	for _, at := range a.recent[by.ID] {
		if now.Sub(at).Abs() < addWindow {
			recent = append(recent, at)
		}
	}
	if len(recent) >= addBudget {
		a.recent[by.ID] = recent
		return tooMany(addWindow-now.Sub(recent[0]).Abs(), fmt.Sprintf("you have added %d people within a minute: wait a minute, then go on", addBudget))
	}
	a.recent[by.ID] = append(recent, now)
	return nil
}
