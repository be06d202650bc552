package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

type runPath struct {
	ID directory.ID `path:"id" doc:"Id of the run"`
}

func (h *Handler) runs() {
	add(h, operation{method: http.MethodPost, path: "/environments/{id}/sync", id: "syncEnvironment", tag: "Runs", scope: "runs:write", status: http.StatusAccepted,
		summary:     "Sync an environment, or preview it",
		description: "Begins a run now and answers with it, or with the one that is under way and does the same. Ask for the run to see how far it is. 422 where the integration is off or not complete; 429 while Microsoft Graph has asked to wait."},
		h.syncEnvironment)
	add(h, operation{method: http.MethodGet, path: "/runs", id: "listRuns", tag: "Runs", scope: "runs:read",
		summary: "List runs", description: "Of the environments that the token reaches, newest first. A page may be short, or empty, and still have a next one, where a filter fits few of many."},
		h.listRuns)
	add(h, operation{method: http.MethodGet, path: "/runs/{id}", id: "getRun", tag: "Runs", scope: "runs:read",
		summary: "Show a run", description: "As far as it is by now."},
		func(ctx context.Context, by directory.Actor, in *runPath) (*body[desk.Run], error) {
			return answer(h.config.Desk.Run(ctx, by, in.ID))
		})
	add(h, operation{method: http.MethodGet, path: "/runs/{id}/items", id: "listRunItems", tag: "Runs", scope: "runs:read",
		summary: "List the people of a run's plan", description: "Those with whom something is wrong first, each with the fields that change, why, and what became of it."},
		h.listRunItems)
	add(h, operation{method: http.MethodPost, path: "/runs/{id}/allow", id: "allowRun", tag: "Runs", scope: "runs:write", status: http.StatusAccepted,
		summary:     "Allow the plan of a quarantined run once",
		description: "Begins a run that reads the directory again and applies exactly this plan; when it finds anything else, nothing of it is applied and the new plan waits. Answers with that run. The reason is kept and audited. 409 when the hash is not that of the plan."},
		func(ctx context.Context, by directory.Actor, in *allowInput) (*body[desk.Run], error) {
			return answer(h.config.Desk.AllowRun(ctx, by, in.ID, in.Body.Hash, in.Body.Reason))
		})
	add(h, operation{method: http.MethodPost, path: "/runs/{id}/discard", id: "discardRun", tag: "Runs", scope: "runs:write",
		summary: "Discard the plan of a quarantined run", description: "Nothing of it is done, and the next run plans anew."},
		func(ctx context.Context, by directory.Actor, in *discardInput) (*body[desk.Run], error) {
			reason := ""
			if in.Body != nil {
				reason = in.Body.Reason
			}
			return answer(h.config.Desk.DiscardRun(ctx, by, in.ID, reason))
		})
	add(h, operation{method: http.MethodPost, path: "/runs/{id}/cancel", id: "cancelRun", tag: "Runs", scope: "runs:write", status: http.StatusAccepted,
		summary: "Cancel a run that is under way", description: "It stops between two people. What it has applied stays."},
		func(ctx context.Context, by directory.Actor, in *runPath) (*body[desk.Run], error) {
			return answer(h.config.Desk.CancelRun(ctx, by, in.ID))
		})
	h.followRun()
}

// runEvery is the time from look to look at a run that is followed.
const runEvery = time.Second

// followRun serves how far a run is as server-sent events (HTML Living Standard section 9.2).
func (h *Handler) followRun() {
	op := operation{method: http.MethodGet, path: "/runs/{id}/progress", id: "followRun", tag: "Runs", scope: "runs:read", summary: "Follow a run",
		description: "Server-sent events: each has the event name run and the run as its data, at most once a second. The stream ends when the run has ended, with the run as it ended; and when the token ends, or the server stops. A comment every 15 seconds keeps the connection open."}
	add(h, op, func(ctx context.Context, by directory.Actor, in *runPath) (*huma.StreamResponse, error) {
		first, err := h.config.Desk.Run(ctx, by, in.ID) // before the first byte: an error is still a problem document
		if err != nil {
			return nil, err
		}
		c := callerOf(ctx)
		leave, err := h.follows.enter(c.by.ID)
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			defer leave()
			h.writeRuns(hc, c, &first)
		}}, nil
	})
	h.answersWith(op, "A stream of events", "text/event-stream", "event: run\ndata: {\"id\":\"...\",\"state\":\"running\", ...}\n\n")
}

func (h *Handler) writeRuns(hc huma.Context, c *call, run *desk.Run) {
	ctx, cancel := h.follows.until(hc.Context())
	defer cancel()
	_, w := humago.Unwrap(hc)
	out := http.NewResponseController(w)
	hc.SetHeader("Content-Type", "text/event-stream")
	hc.SetHeader("X-Accel-Buffering", "no")
	hc.SetStatus(http.StatusOK)
	if hc.Method() == http.MethodHead { // who reads no body would never hear the end of it
		return
	}
	tick := time.NewTicker(runEvery)
	defer tick.Stop()
	told, quiet := "", time.Duration(0)
	for {
		data, err := json.Marshal(run)
		text := "event: run\ndata: " + string(data) + "\n\n"
		switch quiet += runEvery; {
		case text != told:
			told, quiet = text, 0
		case quiet >= keepAlive:
			text, quiet = ":\n\n", 0
		default:
			text = ""
		}
		if text != "" {
			_ = out.SetWriteDeadline(time.Now().Add(writeLimit))
			_, failed := w.Write([]byte(text))
			err = errors.Join(err, failed, out.Flush())
		}
		if err != nil || run.State != directory.RunRunning {
			return // who does not listen any more needs no reason
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if run, err = h.lookAgain(ctx, c, run.ID); err != nil {
			return
		}
	}
}

// lookAgain shows a run to whom the token stands for by now. It logs its errors.
func (h *Handler) lookAgain(ctx context.Context, c *call, id directory.ID) (*desk.Run, error) {
	by, err := c.check(ctx)
	if err != nil {
		return nil, err
	}
	run, err := h.config.Desk.Run(ctx, by, id)
	if err != nil && ctx.Err() == nil && directory.KindOf(err) == directory.Internal {
		h.config.Log.Error("a run cannot be followed", "request_id", c.requestID, "error", err)
	}
	return &run, err
}

type syncInput struct {
	ID   directory.ID      `path:"id" doc:"Id of the environment"`
	Body *desk.SyncRequest // absent: a plain sync
}

type allowInput struct {
	ID   directory.ID `path:"id" doc:"Id of the run"`
	Body struct {
		Hash   string `json:"hash" minLength:"64" maxLength:"64" doc:"Of the run, as it was looked at"`
		Reason string `json:"reason" minLength:"1" maxLength:"1000" doc:"Why this is right"`
	}
}

type discardInput struct {
	ID   directory.ID `path:"id" doc:"Id of the run"`
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Why"`
	}
}

type runsInput struct {
	PageInput
	Environment directory.ID       `query:"environment" doc:"Id: its runs alone"`
	State       directory.RunState `query:"state" enum:"running,complete,preview,quarantined,allowed,discarded,superseded,failed,cancelled,interrupted"`
	Trigger     directory.Trigger  `query:"trigger" enum:"schedule,manual,allow,sign-in"`
	Changed     bool               `query:"changed" doc:"Those alone that changed somebody, or would have"`
}

type runItemsInput struct {
	ID directory.ID `path:"id" doc:"Id of the run"`
	PageInput
	Kind    []directory.ItemKind `query:"kind" enum:"create,re-attach,update,grant,re-activate,revoke,deactivate,conflict" doc:"Any of these"`
	Outcome []directory.Outcome  `query:"outcome" enum:"planned,applied,skipped,waiting,withheld,held,conflict,failed" doc:"Any of these"`
}

func (h *Handler) syncEnvironment(ctx context.Context, by directory.Actor, in *syncInput) (*body[desk.Run], error) {
	var request desk.SyncRequest
	if in.Body != nil {
		request = *in.Body
	}
	run, _, err := h.config.Desk.Sync(ctx, by, in.ID, request)
	return answer(run, err)
}

func (h *Handler) listRuns(ctx context.Context, by directory.Actor, in *runsInput) (*body[desk.List[desk.Run]], error) {
	return answer(h.config.Desk.Runs(ctx, by, desk.RunFilter{Environment: in.Environment, State: in.State, Trigger: in.Trigger, Changed: in.Changed}, in.page()))
}

func (h *Handler) listRunItems(ctx context.Context, by directory.Actor, in *runItemsInput) (*body[desk.List[desk.RunItem]], error) {
	return answer(h.config.Desk.RunItems(ctx, by, in.ID, desk.RunItemFilter{Kinds: in.Kind, Outcomes: in.Outcome}, in.page()))
}
