package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// lives are the regions of open pages that change by themselves, as server-sent events (HTML Living
// Standard section 9.2).
type lives struct {
	done   chan struct{} // closed when the server stops
	closed sync.Once

	mu   sync.Mutex
	open map[directory.ID]int // by session
}

// Figures of a live region.
const (
	liveStreams = 8                // of one session
	liveEvery   = time.Second      // from look to look
	liveQuiet   = 15 * time.Second // a sign of life, so that nobody on the way takes the connection for dead
	liveWrite   = 30 * time.Second // for one write
)

// Close ends all live regions. New ones are refused from now on.
func (c *Console) Close() { c.lives.closed.Do(func() { close(c.lives.done) }) }

func (l *lives) enter(session directory.ID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[session] >= liveStreams {
		return false
	}
	l.open[session]++
	return true
}

func (l *lives) leave(session directory.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[session]--; l.open[session] == 0 {
		delete(l.open, session)
	}
}

// live keeps a region of a page up to date until render says that nothing more will come, the session ends, or
// the browser goes: an element with data-live=ADDRESS shows what render returned last (escaped HTML). It is told
// whenever that differs. After the last one the event "over" follows, and the page is loaded anew; so it is after
// "gone", when render says that who looks may see it no more. The session is looked at as every stream's is, and before each look
// besides: render gets whoever it stands for at that moment as v.principal. An open region is no activity.
func (c *Console) live(v *visit, render func(ctx context.Context) (html string, more bool, err error)) error {
	select {
	case <-c.lives.done:
		return &notice{status: http.StatusServiceUnavailable, key: "unavailable"}
	default:
	}
	ctx, p, cancel, err := c.config.Sessions.Stream(v.r, nil)
	if err != nil {
		return err
	}
	defer cancel()
	look := func(ctx context.Context) (string, bool, error) {
		if err := c.lookAgain(v); err != nil {
			return "", false, err
		}
		return render(ctx)
	}
	if !c.lives.enter(p.Session.ID) {
		return &notice{status: http.StatusTooManyRequests, key: "limited"}
	}
	defer c.lives.leave(p.Session.ID)
	html, more, err := look(ctx) // before the first byte: an error is still a page
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/event-stream")
	v.w.Header().Set("X-Accel-Buffering", "no")
	c.stream(ctx, v, html, more, look)
	return nil
}

// lookAgain makes v.principal whoever the session stands for by now: what they may see can have become less since the
// page was opened.
func (c *Console) lookAgain(v *visit) error {
	p, err := c.config.Sessions.Check(v.r, true)
	if err != nil {
		return err
	}
	v.principal = p
	return nil
}

// sightLost reports whether an error says that who looks may see it no more, or that it is gone.
func sightLost(err error) bool {
	kind := directory.KindOf(err)
	return kind == directory.Forbidden || kind == directory.NotFound || kind == directory.Unauthorized
}

func (c *Console) stream(ctx context.Context, v *visit, html string, more bool, render func(context.Context) (string, bool, error)) {
	out := http.NewResponseController(v.w)
	send := func(event, data string) bool {
		_ = out.SetWriteDeadline(time.Now().Add(liveWrite))
		_, err := fmt.Fprintf(v.w, "event: %s\ndata: %s\n\n", event, strings.ReplaceAll(strings.ReplaceAll(data, "\r", ""), "\n", "\ndata: "))
		return err == nil && out.Flush() == nil
	}
	if !send("html", html) {
		return
	}
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	quiet := time.Duration(0)
	for more {
		select {
		case <-ctx.Done():
			return
		case <-c.lives.done:
			return
		case <-tick.C:
		}
		next, goesOn, err := render(ctx)
		if sightLost(err) {
			send("gone", "")
			return
		}
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, context.Canceled) {
				c.config.Log.Error("live region failed", "request_id", c.config.RequestID(v.r), "error", err)
			}
			return
		}
		more = goesOn
		quiet += liveEvery
		switch {
		case next != html:
			html, quiet = next, 0
			if !send("html", html) {
				return
			}
		case quiet >= liveQuiet:
			quiet = 0
			if !send("quiet", "") {
				return
			}
		}
	}
	send("over", "")
}
