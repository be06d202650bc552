package api

import (
	"context"
	"net/http"
	"time"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// WebhookPath names a webhook.
type WebhookPath struct {
	ID directory.ID `path:"id" doc:"Id of the webhook"`
}

// DeliveryPath names a delivery of a webhook.
type DeliveryPath struct {
	WebhookPath
	Delivery string `path:"delivery" maxLength:"40" doc:"Id of the delivery, such as evt_1024"`
}

const (
	readWebhooks  = "webhooks:read"
	writeWebhooks = "webhooks:write"
)

func (h *Handler) webhooks() {
	d := h.config.Desk
	read := func(path, id, summary, description string) operation {
		return operation{method: http.MethodGet, path: path, id: id, summary: summary, description: description, tag: "Webhooks", scope: readWebhooks}
	}
	write := func(method, path, id, summary, description string, status int) operation {
		return operation{method: method, path: path, id: id, summary: summary, description: description, tag: "Webhooks", scope: writeWebhooks, status: status}
	}
	add(h, read("/webhooks", "listWebhooks", "List webhooks", "Those that reach no further than the token."),
		func(ctx context.Context, by directory.Actor, _ *struct{}) (*body[desk.List[desk.Webhook]], error) {
			return answer(d.Webhooks(ctx, by))
		})
	add(h, write(http.MethodPost, "/webhooks", "createWebhook", "Create a webhook", "It is told of what happens from now on, as far as its reach goes; without organizations and environments of everything, for operators alone. The secret is in this answer alone. 422 for an address that events may not be sent to; 403 for a token without changes:read too, which could not know otherwise what the webhook tells.", http.StatusCreated),
		func(ctx context.Context, by directory.Actor, in *struct{ Body desk.WebhookInput }) (*body[*desk.NewWebhook], error) {
			return answer(d.CreateWebhook(ctx, by, in.Body))
		})
	add(h, read("/webhooks/{id}", "getWebhook", "Get a webhook", "With how delivering goes."),
		func(ctx context.Context, by directory.Actor, in *WebhookPath) (*body[*desk.Webhook], error) {
			return answer(d.Webhook(ctx, by, in.ID))
		})
	add(h, write(http.MethodPatch, "/webhooks/{id}", "changeWebhook", "Change a webhook", "What is absent stays as it is; organizations and environments are the reach together. Another address gets what waits. It needs changes:read too (403).", 0),
		func(ctx context.Context, by directory.Actor, in *struct {
			WebhookPath
			Body desk.WebhookInput
		}) (*body[*desk.Webhook], error) {
			return answer(d.SetWebhook(ctx, by, in.ID, in.Body))
		})
	add(h, write(http.MethodDelete, "/webhooks/{id}", "removeWebhook", "Remove a webhook", "With what is on its way, and its dead letters.", http.StatusNoContent),
		func(ctx context.Context, by directory.Actor, in *WebhookPath) (*struct{}, error) {
			return &struct{}{}, d.RemoveWebhook(ctx, by, in.ID)
		})
	add(h, write(http.MethodPost, "/webhooks/{id}/pause", "pauseWebhook", "Pause a webhook", "Events wait until it is resumed.", 0),
		func(ctx context.Context, by directory.Actor, in *WebhookPath) (*body[*desk.Webhook], error) {
			return answer(d.PauseWebhook(ctx, by, in.ID))
		})
	add(h, write(http.MethodPost, "/webhooks/{id}/resume", "resumeWebhook", "Resume a webhook", "Of one that was paused or disabled: it begins with what has waited.", 0),
		func(ctx context.Context, by directory.Actor, in *WebhookPath) (*body[*desk.Webhook], error) {
			return answer(d.ResumeWebhook(ctx, by, in.ID))
		})
	add(h, write(http.MethodPost, "/webhooks/{id}/rotate", "rotateWebhookSecret", "Rotate the secret of a webhook", "Both secrets sign until the overlap is over. The new one is in this answer alone.", 0),
		func(ctx context.Context, by directory.Actor, in *struct {
			WebhookPath
			Body struct {
				OverlapHours int `json:"overlapHours" minimum:"0" maximum:"720" default:"24" required:"false" doc:"How long the older secret signs along; 0: it ends at once"`
			}
		}) (*body[*desk.NewWebhook], error) {
			return answer(d.RotateWebhook(ctx, by, in.ID, time.Duration(in.Body.OverlapHours)*time.Hour))
		})
	add(h, write(http.MethodPost, "/webhooks/{id}/test", "testWebhook", "Send a test event", "Once, of the type webhook.test. What came of it is among the deliveries. 409 for a webhook that is paused or disabled.", http.StatusAccepted),
		func(ctx context.Context, by directory.Actor, in *WebhookPath) (*body[*desk.Delivery], error) {
			return answer(d.TestWebhook(ctx, by, in.ID))
		})
	poll := operation{anew: true, method: http.MethodPost, path: "/webhooks/{id}/poll", id: "pollWebhook", tag: "Webhooks", scope: "changes:read", summary: "Fetch security event tokens (RFC 8936)",
		description: "Of a webhook of the format set-poll. Acknowledges tokens, and answers with those that wait; when there is none it waits for one, 30 s at most, unless returnImmediately says otherwise. " +
			"What is not acknowledged comes again. Tokens are signed with ES256 by a key of /.well-known/jwks.json. 409 for a webhook that posts, or is not active: nothing is acknowledged then. It takes no Idempotency-Key (400): acknowledging a token again does no harm."}
	add(h, poll, func(ctx context.Context, _ directory.Actor, in *struct {
		WebhookPath
		Body desk.PollInput
	}) (*body[*desk.PollOutput], error) {
		return answer(h.poll(ctx, in.ID, &in.Body))
	})
	add(h, write(http.MethodPost, "/webhooks/{id}/redeliver", "redeliverDeadLetters", "Redeliver the dead letters of a webhook", "The oldest 1,000 of them.", http.StatusAccepted),
		func(ctx context.Context, by directory.Actor, in *WebhookPath) (*body[*desk.Redelivered], error) {
			return answer(d.RedeliverDead(ctx, by, in.ID))
		})
	add(h, read("/webhooks/{id}/deliveries", "listDeliveries", "List the deliveries of a webhook", "Newest first. Those that arrived are kept for 7 days, dead letters for 90 days."),
		func(ctx context.Context, by directory.Actor, in *struct {
			WebhookPath
			PageInput
			State string `query:"state" enum:"pending,delivered,dead" doc:"Only those"`
		}) (*body[desk.List[desk.Delivery]], error) {
			return answer(d.Deliveries(ctx, by, in.ID, in.State, in.page()))
		})
	add(h, read("/webhooks/{id}/deliveries/{delivery}", "getDelivery", "Get a delivery", "With the JSON body as it would be sent now, and what came of the last attempt."),
		func(ctx context.Context, by directory.Actor, in *DeliveryPath) (*body[*desk.DeliveryDetail], error) {
			return answer(d.Delivery(ctx, by, in.ID, in.Delivery))
		})
	add(h, write(http.MethodPost, "/webhooks/{id}/deliveries/{delivery}/redeliver", "redeliver", "Redeliver a delivery", "One that arrived or is a dead letter. 409 for one that is on its way, and for a test.", http.StatusAccepted),
		func(ctx context.Context, by directory.Actor, in *DeliveryPath) (*body[*desk.Delivery], error) {
			return answer(d.Redeliver(ctx, by, in.ID, in.Delivery))
		})
}

// poll fetches tokens. What waits is one of the requests that follow the changes.
func (h *Handler) poll(ctx context.Context, id directory.ID, in *desk.PollInput) (*desk.PollOutput, error) {
	c := callerOf(ctx)
	wait := time.Duration(0)
	if in.Polls() {
		leave, err := h.follows.enter(c.by.ID)
		if err != nil {
			return nil, err
		}
		defer leave()
		wait = desk.PollWait
		if c.writeBefore != nil {
			c.writeBefore(wait + writeLimit)
		}
	}
	ctx, cancel := h.follows.until(ctx)
	defer cancel()
	return h.config.Desk.Poll(ctx, c.check, id, in, wait)
}
