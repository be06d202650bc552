package api

import (
	"context"
	"net/http"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

func (h *Handler) organizations() {
	add(h, operation{method: http.MethodGet, path: "/organizations", id: "listOrganizations", tag: "Environments", scope: "environments:read",
		summary: "List organizations", description: "Those that the token reaches, and those of the environments that it reaches. All of them: this list has no pages."},
		func(ctx context.Context, by directory.Actor, _ *struct{}) (*body[desk.List[desk.Organization]], error) {
			return answer(h.config.Desk.Organizations(ctx, by))
		})
	add(h, operation{method: http.MethodPost, path: "/organizations", id: "createOrganization", tag: "Environments", scope: "environments:write", status: http.StatusCreated,
		summary: "Create an organization", description: "A customer, who gets environments. For operators. 409 when there is one of that name."},
		func(ctx context.Context, by directory.Actor, in *body[desk.NewOrganization]) (*body[desk.Organization], error) {
			return answer(h.config.Desk.CreateOrganization(ctx, by, in.Body))
		})
}
