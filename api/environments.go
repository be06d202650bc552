package api

import (
	"context"
	"net/http"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// EnvironmentInput is the path of an environment. It is exported for huma, which passes over fields that are not.
type EnvironmentInput struct {
	ID directory.ID `path:"id" doc:"Id of the environment"`
}

func (h *Handler) environments() {
	d := h.config.Desk
	add(h, operation{method: http.MethodGet, path: "/environments", id: "listEnvironments", tag: "Environments", scope: "environments:read",
		summary: "List environments", description: "Those that the token reaches, by organization and name."},
		func(ctx context.Context, by directory.Actor, in *struct {
			PageInput
			Text  string `query:"text" maxLength:"256" doc:"Part of the name of the environment or of its organization"`
			State string `query:"state" enum:"quarantined,failing,overdue,incomplete,running,never,paused,manual,fine,off" doc:"Those in this state alone"`
		}) (*body[desk.List[desk.Environment]], error) {
			return answer(d.Environments(ctx, by, desk.EnvironmentFilter{Text: in.Text, State: in.State}, in.page()))
		})
	add(h, operation{method: http.MethodPost, path: "/environments", id: "createEnvironment", tag: "Environments", scope: "environments:write", status: http.StatusCreated,
		summary: "Create an environment", description: "Of an organization, with External users integration off. For operators. 409 when the organization has one of that name; 404 for the organization."},
		func(ctx context.Context, by directory.Actor, in *body[desk.NewEnvironment]) (*body[desk.Environment], error) {
			return answer(d.CreateEnvironment(ctx, by, in.Body))
		})
	add(h, operation{method: http.MethodGet, path: "/environments/{id}", id: "getEnvironment", tag: "Environments", scope: "environments:read",
		summary: "Show an environment", description: "With how many people have access, the last run and its verdict, when the next one is due, and when its tokens and credentials end. state is the one thing to know first."},
		func(ctx context.Context, by directory.Actor, in *EnvironmentInput) (*body[desk.Environment], error) {
			return answer(d.Environment(ctx, by, in.ID))
		})
	add(h, operation{method: http.MethodGet, path: "/environments/{id}/history", id: "getEnvironmentHistory", tag: "Environments", scope: "environments:read",
		summary: "Show how an environment was lately", description: "People with access by the day, changes of push by the minute, the last runs."},
		func(ctx context.Context, by directory.Actor, in *EnvironmentInput) (*body[desk.History], error) {
			return answer(d.EnvironmentHistory(ctx, by, in.ID))
		})
	h.integration()
	h.administrators()
}

func (h *Handler) integration() {
	d := h.config.Desk
	add(h, operation{method: http.MethodGet, path: "/environments/{id}/integration", id: "getIntegration", tag: "Environments", scope: "environments:read",
		summary: "Show External users integration", description: "All of its settings, the groups with their names as far as push or a run has brought them, and the tenants that can be chosen. Send version with a change, so that nobody else's is lost."},
		func(ctx context.Context, by directory.Actor, in *EnvironmentInput) (*body[desk.Integration], error) {
			return answer(d.Integration(ctx, by, in.ID))
		})
	add(h, operation{method: http.MethodPatch, path: "/environments/{id}/integration", id: "changeIntegration", tag: "Environments", scope: "environments:write",
		summary: "Change External users integration",
		description: "What is absent stays. For operators and for administrators of the environment; \"enabled\" for operators alone. Access follows the settings at once, " +
			"and these stop at nothing: a change that takes access from more people than one run may is refused with 409 until \"confirmLosing\" says how many. " +
			"409 also when the settings are not those of \"version\" any more; 422 names a group that is no object id."},
		func(ctx context.Context, by directory.Actor, in *struct {
			EnvironmentInput
			Body desk.IntegrationChange
		}) (*body[desk.Integration], error) {
			return answer(d.SetIntegration(ctx, by, in.ID, in.Body))
		})
	add(h, operation{method: http.MethodGet, path: "/environments/{id}/groups", id: "findGroups", tag: "Environments", scope: "environments:read",
		summary: "Find groups in the directory", description: "By the beginning of their display name, or an object id. Asks Microsoft Graph, for at most 5 seconds and 60 times a minute for a tenant (then 429); 503 when Graph does not answer or refuses, and says why. For whoever may set External users integration."},
		func(ctx context.Context, by directory.Actor, in *struct {
			EnvironmentInput
			Text   string       `query:"text" required:"true" minLength:"1" maxLength:"256" doc:"The beginning of the display name, or an object id"`
			Tenant directory.ID `query:"tenant" doc:"The tenant in whose directory is looked; absent: the one that the environment uses"`
		}) (*body[desk.List[desk.FoundGroup]], error) {
			return answer(d.FindGroups(ctx, by, in.ID, in.Tenant, in.Text))
		})
}

func (h *Handler) administrators() {
	d := h.config.Desk
	add(h, operation{method: http.MethodGet, path: "/environments/{id}/administrators", id: "listAdministrators", tag: "Environments", scope: "environments:read",
		summary: "List the administrators of an environment", description: "Those too whose access is not active: they may do nothing until it is."},
		func(ctx context.Context, by directory.Actor, in *EnvironmentInput) (*body[desk.List[desk.Administrator]], error) {
			return answer(d.Administrators(ctx, by, in.ID))
		})
	add(h, operation{method: http.MethodPost, path: "/environments/{id}/administrators", id: "setAdministrator", tag: "Environments", scope: "environments:write",
		summary: "Make somebody an administrator, or take that back", description: "Of somebody who has or had access to the environment: 422 for anybody else. For operators. 409, with the reason, for who cannot be one."},
		func(ctx context.Context, by directory.Actor, in *struct {
			EnvironmentInput
			Body desk.AdministratorChange
		}) (*body[desk.Administrator], error) {
			return answer(d.SetAdministrator(ctx, by, in.ID, in.Body))
		})
}
