package auth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// Figures of an event stream.
const (
	eventStreams = 8                // of one session: its open pages
	eventEvery   = 15 * time.Second // a sign of life, so that nobody on the way takes the connection for dead
	eventWrite   = 30 * time.Second // for one write
)

// ServeEvents tells an open page what happens to its session: GET /auth/events, as server-sent events
// (HTML Living Standard section 9.2). First "session" with expiresAt and serverTime, then, when the
// session ends, "ended" with its reason (directory.EndReason), after which the stream closes. An open
// stream is no activity. A stream that ends without "ended" is to be opened anew.
//
// Without a session that holds it answers as ServeSession does; 429 when the session has eight
// streams; 503 while the server stops.
func (h *HTTP) ServeEvents(w http.ResponseWriter, r *http.Request) {
	private(w)
	if !allow(w, r, http.MethodGet) {
		return
	}
	select {
	case <-h.done:
		writeProblem(w, r, problem{Status: http.StatusServiceUnavailable, Detail: "The server is stopping. Try again in a moment."})
		return
	default:
	}
	ctx, p, cancel, err := h.config.Sessions.Stream(r, nil)
	if err != nil {
		h.noSession(w, r, err)
		return
	}
	defer cancel()
	if !h.enter(p.Session.ID) {
		writeProblem(w, r, problem{Status: http.StatusTooManyRequests, Detail: "Too many pages of this session are open. Close some of them."})
		return
	}
	defer h.leave(p.Session.ID)
	h.stream(ctx, w, p)
}

// enter counts a stream of a session, unless it has enough of them.
func (h *HTTP) enter(session directory.ID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.events[session] >= eventStreams {
		return false
	}
	h.events[session]++
	return true
}

func (h *HTTP) leave(session directory.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.events[session]--; h.events[session] == 0 {
		delete(h.events, session)
	}
}

// stream writes until the session ends, the browser or the server goes.
func (h *HTTP) stream(ctx context.Context, w http.ResponseWriter, p *directory.Principal) {
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx passes each event on at once
	type times struct {
		ExpiresAt  instant `json:"expiresAt"`
		ServerTime instant `json:"serverTime"`
	}
	if send(w, rc, event("session", times{instant(p.Session.Expires), instant(p.Now)})) != nil {
		return
	}
	alive := time.NewTicker(eventEvery)
	defer alive.Stop()
	for {
		select {
		case <-h.done:
			return
		case <-ctx.Done():
			var ended *directory.SessionEnded
			if errors.As(context.Cause(ctx), &ended) {
				_ = send(w, rc, event("ended", struct { // the last word: nobody is left to be told that it failed
					Reason directory.EndReason `json:"reason"`
				}{ended.Reason}))
			}
			return
		case <-alive.C:
			if send(w, rc, ": the session goes on\n\n") != nil {
				return
			}
		}
	}
}

func event(name string, v any) string {
	data, err := json.Marshal(v)
	if err != nil { // times and texts only: it cannot be
		return ""
	}
	return "event: " + name + "\ndata: " + string(data) + "\n\n"
}

// send writes a part of a stream at once, within its own time: that of the server is for one answer.
func send(w http.ResponseWriter, rc *http.ResponseController, text string) error {
	if err := rc.SetWriteDeadline(time.Now().Add(eventWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := w.Write([]byte(text)); err != nil {
		return err
	}
	return rc.Flush()
}
