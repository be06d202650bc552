package api

import (
	"context"
	"net/http"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// colleagueInput names one account by the id in the path.
type colleagueInput struct {
	ID directory.ID `path:"id" doc:"Id of the account"`
}

type colleagueChangeInput struct {
	ID   directory.ID `path:"id" doc:"Id of the account"`
	Body desk.ColleagueChange
}

type invitationInput struct{ Body desk.Invitation }

type newColleagueInput struct{ Body desk.NewColleague }

type linkInput struct {
	ID   directory.ID `path:"id" doc:"Id of the account"`
	Body struct {
		Kind string `json:"kind" enum:"password,sign-in" doc:"password: sets a new one, within a day; sign-in: signs in without it, within 10 minutes"`
	}
}

type searchInput struct {
	Q string `query:"q" required:"true" minLength:"1" maxLength:"256" doc:"What the name begins with"`
}

const readSettings, writeSettings = "settings:read", "settings:write"

func (h *Handler) settings() {
	d := h.config.Desk
	add(h, operation{method: http.MethodGet, path: "/settings/health", id: "getHealth", tag: "Settings", scope: readSettings, summary: "How the server is",
		description: "Its version, store and disk, pulls that need somebody, credentials that end, sessions, and the changes that directories pushed in the last hour. For operators."},
		func(ctx context.Context, by directory.Actor, _ *struct{}) (*body[desk.Health], error) {
			return answer(d.Health(ctx, by))
		})
	add(h, operation{method: http.MethodGet, path: "/settings/configuration", id: "listSettings", tag: "Settings", scope: readSettings, summary: "The configuration in effect",
		description: "Without secrets. For operators."},
		func(ctx context.Context, by directory.Actor, _ *struct{}) (*body[desk.List[desk.Setting]], error) {
			return answer(d.Settings(ctx, by))
		})
	add(h, operation{method: http.MethodGet, path: "/settings/first-steps", id: "getFirstSteps", tag: "Settings", scope: readSettings, summary: "How far a new server is set up",
		description: "The steps that the first page of the console shows, each done or not. For operators."},
		func(ctx context.Context, by directory.Actor, _ *struct{}) (*body[desk.Start], error) {
			return answer(d.Start(ctx, by))
		})
	add(h, operation{method: http.MethodGet, path: "/settings/signing-keys", id: "listSigningKeys", tag: "Settings", scope: readSettings, summary: "List the keys that sign assertions",
		description: "Without their private parts. For operators."},
		func(ctx context.Context, by directory.Actor, _ *struct{}) (*body[desk.List[desk.SigningKey]], error) {
			return answer(d.SigningKeys(ctx, by))
		})
	add(h, operation{method: http.MethodPost, path: "/settings/signing-keys", id: "rotateSigningKeys", tag: "Settings", scope: writeSettings, status: http.StatusCreated, summary: "Make a new signing key",
		description: "It is published at once and signs once everybody has had the time to fetch it. For operators."},
		func(ctx context.Context, by directory.Actor, _ *struct{}) (*body[desk.SigningKey], error) {
			return answer(d.RotateSigningKeys(ctx, by))
		})
	h.people()
	add(h, operation{method: http.MethodGet, path: "/search", id: "search", tag: "Environments", scope: "environments:read", summary: "Search by what a name begins with",
		description: "Environments, tenants, users (by userName and e-mail address) and groups that the token reaches, at most 20 of each."},
		func(ctx context.Context, by directory.Actor, in *searchInput) (*body[desk.List[desk.Hit]], error) {
			return answer(d.Search(ctx, by, in.Q))
		})
}

// people are the operations on who has a role.
func (h *Handler) people() {
	d := h.config.Desk
	add(h, operation{method: http.MethodGet, path: "/settings/people", id: "listPeople", tag: "Settings", scope: readSettings, summary: "List operators and partners", description: "Everybody who has a role that an operator gave, with how they sign in. For operators."},
		func(ctx context.Context, by directory.Actor, _ *struct{}) (*body[desk.List[desk.Colleague]], error) {
			return answer(d.Colleagues(ctx, by))
		})
	add(h, operation{method: http.MethodGet, path: "/settings/people/{id}", id: "getPerson", tag: "Settings", scope: readSettings, summary: "Show the roles of an account", description: "It may have none. For operators."},
		func(ctx context.Context, by directory.Actor, in *colleagueInput) (*body[desk.Colleague], error) {
			return answer(d.Colleague(ctx, by, in.ID))
		})
	add(h, operation{method: http.MethodPost, path: "/settings/people", id: "giveRole", tag: "Settings", scope: writeSettings, summary: "Give a role to somebody who has an account", description: "Operator, or partner of an organization; roles that the person has stay. 422 when nobody, or more than one, is meant by who. 409 for an external user whose object id is not known. For operators."},
		func(ctx context.Context, by directory.Actor, in *newColleagueInput) (*body[desk.Colleague], error) {
			return answer(d.Promote(ctx, by, in.Body))
		})
	add(h, operation{method: http.MethodPatch, path: "/settings/people/{id}", id: "setRoles", tag: "Settings", scope: writeSettings, summary: "Change the roles of an account",
		description: "What is absent stays. The person's sessions end when a role goes, and the API tokens that they answer for and that need it. The last operator who can sign in here stays one: 409. For operators."},
		func(ctx context.Context, by directory.Actor, in *colleagueChangeInput) (*body[desk.Colleague], error) {
			return answer(d.SetColleague(ctx, by, in.ID, in.Body))
		})
	add(h, operation{method: http.MethodPost, path: "/settings/invitations", id: "inviteOperator", tag: "Settings", scope: writeSettings, status: http.StatusCreated, summary: "Invite a local operator",
		description: "The link, with which they set a password, is in this answer and nowhere else. 409 when the person is an operator already. For operators."},
		func(ctx context.Context, by directory.Actor, in *invitationInput) (*body[desk.NewLink], error) {
			return answer(d.InviteOperator(ctx, by, in.Body))
		})
	add(h, operation{method: http.MethodPost, path: "/settings/people/{id}/links", id: "createLink", tag: "Settings", scope: writeSettings, status: http.StatusCreated, summary: "Make a one-time link",
		description: "It is shown here and never again. An external user signs in with their directory and gets none: 409. For operators."},
		func(ctx context.Context, by directory.Actor, in *linkInput) (*body[desk.NewLink], error) {
			if in.Body.Kind == "password" {
				return answer(d.PasswordLink(ctx, by, in.ID))
			}
			return answer(d.SignInLink(ctx, by, in.ID))
		})
	add(h, operation{method: http.MethodPost, path: "/settings/people/{id}/second-factor/remove", id: "removeSecondFactor", tag: "Settings", scope: writeSettings, summary: "Remove the second factor of somebody who has lost it", description: "The password alone signs in from then on, until the person sets a new one. 409 when there is none. For operators."},
		func(ctx context.Context, by directory.Actor, in *colleagueInput) (*body[desk.Colleague], error) {
			return answer(d.RemoveSecondFactor(ctx, by, in.ID))
		})
}
