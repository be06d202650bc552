package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// Figures of following the changes.
const (
	maxWait       = 60 * time.Second
	maxFollows    = 500 // requests that wait or stream at once
	maxFollowsOne = 8   // of them, of one token
	keepAlive     = 15 * time.Second
	writeLimit    = 30 * time.Second // for one write
)

// follows are the requests that wait for changes.
type follows struct {
	done   chan struct{} // closed when the server stops
	closed sync.Once

	mu  sync.Mutex
	all map[string]int // by token
	n   int
}

// Close ends what waits for changes. New requests of that kind are answered at once.
func (h *Handler) Close() { h.follows.closed.Do(func() { close(h.follows.done) }) }

// enter takes a place for a token; leave gives it back. Errors: RateLimited.
func (f *follows) enter(token string) (leave func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n >= maxFollows || f.all[token] >= maxFollowsOne {
		return nil, &directory.Error{Kind: directory.RateLimited, Detail: fmt.Sprintf("this token follows the changes %d times already, or the server is at its limit: end one first", f.all[token])}
	}
	f.n++
	f.all[token]++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.n--
		if f.all[token]--; f.all[token] == 0 {
			delete(f.all, token)
		}
	}, nil
}

// until is a context that ends when the server stops, too.
func (f *follows) until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-f.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// ChangesInput are the parameters of the changes.
type ChangesInput struct {
	After string   `query:"after" maxLength:"100" doc:"The cursor of the last answer; \"start\" or 0: from the beginning; absent: from now on" example:"AQAAAAAAAAAq"`
	Types []string `query:"types" maxItems:"20" enum:"user.created,user.updated,user.deleted,group.created,group.updated,group.deleted,access.derived,access.updated" doc:"Only these types, separated by commas"`
}

func (h *Handler) changes() {
	const tag, scope = "Changes", "changes:read"
	add(h, operation{method: http.MethodGet, path: "/changes", id: "listChanges", tag: tag, scope: scope, summary: "What has changed after a cursor",
		description: "Tells what happened, in the order of commit, at least once. With wait the answer comes as soon as something happens, or empty when the time is over (long poll). " +
			"Deal with the items, keep the cursor of the answer, and ask again with it as after. Events that concern nothing the token reaches are left out; the cursor moves past them. Without after the answer holds only the cursor of now."},
		func(ctx context.Context, _ directory.Actor, in *struct {
			ChangesInput
			Wait  string `query:"wait" pattern:"^[0-9]{1,2}s$" patternDescription:"seconds, such as 30s" default:"0s" doc:"How long to wait when there is nothing, 0s to 60s"`
			Limit int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"How many items at most"`
		}) (*body[desk.Changes], error) {
			wait, err := time.ParseDuration(in.Wait)
			if err != nil || wait > maxWait {
				return nil, &directory.Error{Kind: directory.Invalid, Field: "query.wait", Detail: "wait lies between 0s and 60s"}
			}
			return answer(h.listChanges(ctx, desk.ChangesFilter{After: in.After, Types: in.Types, Limit: in.Limit}, wait))
		})
	h.stream(scope, tag)
}

func (h *Handler) listChanges(ctx context.Context, f desk.ChangesFilter, wait time.Duration) (desk.Changes, error) {
	c := callerOf(ctx)
	if wait <= 0 || f.After == "" { // without a cursor there is one to be told
		return h.config.Desk.Changes(ctx, c.by, f)
	}
	leave, err := h.follows.enter(c.by.ID)
	if err != nil {
		return desk.Changes{}, err
	}
	defer leave()
	if c.writeBefore != nil {
		c.writeBefore(wait + writeLimit)
	}
	ctx, cancel := h.follows.until(ctx)
	defer cancel()
	return h.config.Desk.AwaitChanges(ctx, c.check, f, wait)
}

// stream serves the changes as server-sent events (HTML Living Standard section 9.2).
func (h *Handler) stream(scope, tag string) {
	type input struct {
		ChangesInput
		LastEventID string `header:"Last-Event-ID" maxLength:"100" doc:"Where a broken stream goes on; it goes before after"`
	}
	op := operation{method: http.MethodGet, path: "/changes/stream", id: "streamChanges", tag: tag, scope: scope, summary: "Changes as they happen",
		description: "The same as listChanges, as server-sent events: each has the cursor as its id, the event name change and a Change as its data. A line with an id and without data every 15 seconds keeps the connection open, and is no event. " +
			"An EventSource goes on by itself after a break. The stream ends when the token does, and when the server stops."}
	add(h, op, func(ctx context.Context, _ directory.Actor, in *input) (*huma.StreamResponse, error) {
		c := callerOf(ctx)
		f := desk.ChangesFilter{After: in.After, Types: in.Types}
		if in.LastEventID != "" {
			f.After = in.LastEventID
		}
		first, err := h.config.Desk.Changes(ctx, c.by, f) // before the first byte: an error is still a problem document
		if err != nil {
			return nil, err
		}
		leave, err := h.follows.enter(c.by.ID)
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			defer leave()
			h.follow(hc, c, f, first)
		}}, nil
	})
	h.answersWith(op, "A stream of events", "text/event-stream", "id: AQAAAAAAAAAq\nevent: change\ndata: {\"type\":\"user.updated\", ...}\n\n")
}

func (h *Handler) follow(hc huma.Context, c *call, f desk.ChangesFilter, got desk.Changes) {
	ctx, cancel := h.follows.until(hc.Context())
	defer cancel()
	_, w := humago.Unwrap(hc)
	out := http.NewResponseController(w)
	send := func(text string) bool {
		_ = out.SetWriteDeadline(time.Now().Add(writeLimit))
		_, err := w.Write([]byte(text))
		return err == nil && out.Flush() == nil
	}
	hc.SetHeader("Content-Type", "text/event-stream")
	hc.SetHeader("X-Accel-Buffering", "no")
	hc.SetStatus(http.StatusOK)
	if hc.Method() == http.MethodHead { // who reads no body would never hear the end of it
		return
	}
	for {
		text, err := events(got)
		if err != nil {
			h.config.Log.Error("changes cannot be written", "request_id", c.requestID, "error", err)
			return
		}
		if text == "" { // a sign of life, and a place to go on from when the stream breaks
			text = "id: " + got.Cursor + "\n\n"
		}
		if !send(text) || ctx.Err() != nil {
			return
		}
		f.After = got.Cursor
		if got, err = h.config.Desk.AwaitChanges(ctx, c.check, f, keepAlive); err != nil {
			if ctx.Err() == nil && directory.KindOf(err) != directory.Unauthorized {
				h.config.Log.Error("changes cannot be read", "request_id", c.requestID, "error", err)
			}
			return
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// events are the changes as server-sent events. The id of the last one is where the whole of it ends.
func events(got desk.Changes) (string, error) {
	var b strings.Builder
	for _, item := range got.Items {
		data, err := json.Marshal(item)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "id: %s\nevent: change\ndata: %s\n\n", item.Cursor, data)
	}
	return b.String(), nil
}
