package api

import (
	"context"
	"net/http"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// IDInput names one thing in a path. It is exported so that inputs can embed it: see add.
type IDInput struct {
	ID directory.ID `path:"id"`
}

func (h *Handler) apiTokens() {
	const tag, read, write = "API tokens", "tokens:read", "tokens:write"
	add(h, operation{method: http.MethodGet, path: "/api-tokens", id: "listApiTokens", tag: tag, scope: read,
		summary: "List API tokens", description: "Newest first, those that have ended too: an operator's token sees all, a partner's those that reach nothing but its own organizations and their environments."},
		func(ctx context.Context, by directory.Actor, in *struct{ PageInput }) (*body[desk.List[desk.APIToken]], error) {
			return answer(h.config.Desk.APITokens(ctx, by, in.page()))
		})
	add(h, operation{method: http.MethodPost, path: "/api-tokens", id: "createApiToken", tag: tag, scope: write, status: http.StatusCreated,
		summary: "Create an API token", description: "A token makes only tokens of no more than its own role, reach and scopes. The secret is in this answer and nowhere else."},
		func(ctx context.Context, by directory.Actor, in *struct{ Body desk.APITokenInput }) (*body[desk.NewAPIToken], error) {
			return answer(h.config.Desk.CreateAPIToken(ctx, by, in.Body))
		})
	add(h, operation{method: http.MethodGet, path: "/api-tokens/{id}", id: "getApiToken", tag: tag, scope: read,
		summary: "Get an API token", description: "Without its secret, which is kept nowhere."},
		func(ctx context.Context, by directory.Actor, in *struct{ IDInput }) (*body[desk.APIToken], error) {
			return answer(h.config.Desk.APIToken(ctx, by, in.ID))
		})
	add(h, operation{method: http.MethodPost, path: "/api-tokens/{id}/rotate", id: "rotateApiToken", tag: tag, scope: write, status: http.StatusCreated,
		summary: "Rotate an API token", description: "Makes a token of the same name, role, reach and scopes. The old one still works for the overlap, so that the program can change over."},
		func(ctx context.Context, by directory.Actor, in *struct {
			IDInput
			Body desk.APITokenRotation
		}) (*body[desk.RotatedAPIToken], error) {
			return answer(h.config.Desk.RotateAPIToken(ctx, by, in.ID, in.Body))
		})
	add(h, operation{method: http.MethodPost, path: "/api-tokens/{id}/revoke", id: "revokeApiToken", tag: tag, scope: write,
		summary: "Revoke an API token", description: "It opens nothing from this moment on. Revoking one that has ended already is no error."},
		func(ctx context.Context, by directory.Actor, in *struct{ IDInput }) (*body[desk.APIToken], error) {
			return answer(h.config.Desk.RevokeAPIToken(ctx, by, in.ID))
		})
}
