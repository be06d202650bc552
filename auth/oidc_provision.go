package auth

import (
	"context"
	"sync"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// Asking a directory for people whom nobody has provisioned yet.
const (
	askAgain = 10 * time.Minute // before which the same person is not asked for again
	askTime  = 15 * time.Second // at most, for one
	maxAsked = 10_000           // people who are remembered; more are not asked for
)

type askedPerson struct{ tenant, object directory.ID }

// asked remembers who was asked for.
type asked struct {
	mu   sync.Mutex
	last map[askedPerson]*asking
}

type asking struct {
	at   time.Time
	done chan struct{} // closed when the answer is there
}

// begin reports whether it is for the caller to ask for a person, who calls end then. It is not when
// that was done a short while ago; a request under way is waited for.
func (a *asked) begin(ctx context.Context, who askedPerson, now time.Time) (end func(), mine bool) {
	a.mu.Lock()
	if before := a.last[who]; before != nil && now.Sub(before.at).Abs() < askAgain {
		a.mu.Unlock()
		select {
		case <-before.done:
		case <-ctx.Done():
		}
		return nil, false
	}
	defer a.mu.Unlock()
	if len(a.last) >= maxAsked {
		for who, x := range a.last {
			if now.Sub(x.at).Abs() >= askAgain {
				delete(a.last, who)
			}
		}
	}
	if len(a.last) >= maxAsked {
		return nil, false
	}
	if a.last == nil {
		a.last = map[askedPerson]*asking{}
	}
	x := &asking{at: now, done: make(chan struct{})}
	a.last[who] = x
	return func() { close(x.done) }, true
}

// provision asks the directory for a person, once. It goes on when the browser leaves: the person is not
// asked for again soon.
func (s *SignIn) provision(ctx context.Context, tenant *directory.Tenant, object directory.ID) {
	if s.config.Provision == nil {
		return
	}
	end, mine := s.asked.begin(ctx, askedPerson{tenant.ID, object}, s.config.Now())
	if !mine {
		return
	}
	defer end()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
	defer cancel()
	if err := s.config.Provision(ctx, tenant, object); err != nil {
		s.config.Log.WarnContext(ctx, "a person who signs in cannot be read from the directory", "tenant", tenant.ID.String(), "object", object.String(), "err", err)
	}
}
