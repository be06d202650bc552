package api

import (
	"context"
	"net/http"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// Inputs of what is about a tenant. Those that are embedded are exported: see add.
type (
	// TenantPath names a tenant.
	TenantPath struct {
		Tenant directory.ID `path:"tenant" doc:"Id of the tenant"`
	}
	tenantList struct {
		PageInput
		Organization directory.ID `query:"organization" doc:"Only those that this organization may use"`
		Text         string       `query:"text" maxLength:"256" doc:"A part of the name, label, directory id or a trusted domain"`
	}
	// CredentialPath names a credential of a tenant.
	CredentialPath struct {
		TenantPath
		Name string `path:"name" enum:"graph,sign-in" doc:"graph: of the application that synchronizes; sign-in: of the one that signs people in"`
	}
	// TokenPath names a Secret Token of a tenant.
	TokenPath struct {
		TenantPath
		Token directory.ID `path:"token" doc:"Id of the Secret Token"`
	}
	// ClientPath names an OAuth client of a tenant.
	ClientPath struct {
		TenantPath
		Client string `path:"client" maxLength:"128" doc:"Client id"`
	}
	withBody[T any] struct {
		TenantPath
		Body T
	}
)

func (h *Handler) tenants() {
	d := h.config.Desk
	tenant := func(method, path, id, scope, summary, description string, status int) operation {
		return operation{method: method, path: "/tenants" + path, id: id, tag: "Tenants", scope: scope, summary: summary, description: description, status: status}
	}
	const read, write, readTokens, writeTokens = "tenants:read", "tenants:write", "tokens:read", "tokens:write"

	add(h, tenant(http.MethodGet, "", "listTenants", read, "List tenants", "Those that the token reaches, by name.", 0),
		func(ctx context.Context, by directory.Actor, in *tenantList) (*body[desk.List[desk.Tenant]], error) {
			return answer(d.Tenants(ctx, by, desk.TenantFilter{Page: in.page(), Organization: in.Organization, Text: in.Text}))
		})
	add(h, tenant(http.MethodPost, "", "createTenant", write, "Create a tenant", "A partner creates one of its own organizations, without trusted domains. 409 when there is one of that name; 404 for an organization beyond reach.", http.StatusCreated),
		func(ctx context.Context, by directory.Actor, in *struct{ Body desk.TenantInput }) (*body[desk.Tenant], error) {
			return answer(d.CreateTenant(ctx, by, in.Body))
		})
	add(h, tenant(http.MethodGet, "/{tenant}", "getTenant", read, "Get a tenant", "With its applications and their credentials, without secrets; its SCIM options; when it last pushed; and what it is used by.", 0),
		func(ctx context.Context, by directory.Actor, in *TenantPath) (*body[desk.Tenant], error) {
			return answer(d.Tenant(ctx, by, in.Tenant))
		})
	add(h, tenant(http.MethodPatch, "/{tenant}", "changeTenant", write, "Change a tenant", "What is absent stays. A new name is a new Tenant URL; another directory id, cloud or the end of sign-in ends the sessions of its people. Operators alone add trusted domains (403). 409 when the name is taken.", 0),
		func(ctx context.Context, by directory.Actor, in *withBody[desk.TenantChange]) (*body[desk.Tenant], error) {
			return answer(d.ChangeTenant(ctx, by, in.Tenant, in.Body))
		})
	add(h, tenant(http.MethodPost, "/{tenant}/test", "testTenant", write, "Test the connection", "Tries the applications, each as far as it is set up, and names the permission or setting that is missing.", 0),
		func(ctx context.Context, by directory.Actor, in *TenantPath) (*body[desk.ConnectionTest], error) {
			return answer(d.TestConnection(ctx, by, in.Tenant))
		})
	add(h, tenant(http.MethodGet, "/{tenant}/setup", "getTenantSetup", read, "Get what connects the directory", "What the Entra administrator has to know and enter.", 0),
		func(ctx context.Context, by directory.Actor, in *TenantPath) (*body[desk.Setup], error) {
			return answer(d.Setup(ctx, by, in.Tenant))
		})

	add(h, tenant(http.MethodGet, "/{tenant}/credentials", "listCredentials", read, "List credentials", "Those of its applications, without their secrets.", 0),
		func(ctx context.Context, by directory.Actor, in *TenantPath) (*body[desk.List[desk.Credential]], error) {
			return answer(d.Credentials(ctx, by, in.Tenant))
		})
	add(h, tenant(http.MethodPut, "/{tenant}/credentials/{name}", "setCredential", write, "Set a credential", "In place of the one before: a secret, a certificate with its key, or, for operators alone, a federated token file. It is sealed and never told again. 422 names what is wrong with it.", 0),
		func(ctx context.Context, by directory.Actor, in *struct {
			CredentialPath
			Body desk.CredentialInput
		}) (*body[desk.Credential], error) {
			return answer(d.SetCredential(ctx, by, in.Tenant, in.Name, in.Body))
		})
	add(h, tenant(http.MethodDelete, "/{tenant}/credentials/{name}", "removeCredential", write, "Remove a credential", "The application that it is of works no more: runs fail, or nobody signs in with this tenant. 404 when there is none.", http.StatusNoContent),
		func(ctx context.Context, by directory.Actor, in *CredentialPath) (*struct{}, error) {
			return nil, d.RemoveCredential(ctx, by, in.Tenant, in.Name)
		})

	add(h, tenant(http.MethodGet, "/{tenant}/tokens", "listSecretTokens", readTokens, "List Secret Tokens", "Those that have ended too: the live ones first, the newest first.", 0),
		func(ctx context.Context, by directory.Actor, in *TenantPath) (*body[desk.List[desk.Token]], error) {
			return answer(d.Tokens(ctx, by, in.Tenant))
		})
	add(h, tenant(http.MethodPost, "/{tenant}/tokens", "createSecretToken", writeTokens, "Create a Secret Token", "For Entra's Provisioning page. The secret is in this answer and nowhere else. At most two are live: 409.", http.StatusCreated),
		func(ctx context.Context, by directory.Actor, in *withBody[desk.TokenInput]) (*body[desk.NewToken], error) {
			return answer(d.CreateToken(ctx, by, in.Tenant, in.Body))
		})
	add(h, tenant(http.MethodPost, "/{tenant}/tokens/{token}/rotate", "rotateSecretToken", writeTokens, "Rotate a Secret Token", "A new one in its place; the old one works on for the overlap.", http.StatusCreated),
		func(ctx context.Context, by directory.Actor, in *struct {
			TokenPath
			Body desk.RotationInput
		}) (*body[desk.NewToken], error) {
			return answer(d.RotateToken(ctx, by, in.Tenant, in.Token, in.Body))
		})
	add(h, tenant(http.MethodPost, "/{tenant}/tokens/{token}/revoke", "revokeSecretToken", writeTokens, "Revoke a Secret Token", "It opens nothing from this moment on: pushes with it are refused with 401. Revoking one that has ended is no error.", http.StatusNoContent),
		func(ctx context.Context, by directory.Actor, in *TokenPath) (*struct{}, error) {
			return nil, d.RevokeToken(ctx, by, in.Tenant, in.Token)
		})

	add(h, tenant(http.MethodGet, "/{tenant}/clients", "listClients", readTokens, "List OAuth clients", "Those that were revoked too, without their secrets.", 0),
		func(ctx context.Context, by directory.Actor, in *TenantPath) (*body[desk.List[desk.Client]], error) {
			return answer(d.Clients(ctx, by, in.Tenant))
		})
	add(h, tenant(http.MethodPost, "/{tenant}/clients", "createClient", writeTokens, "Create an OAuth client", "With a secret, which is told this once, or federated.", http.StatusCreated),
		func(ctx context.Context, by directory.Actor, in *withBody[desk.ClientInput]) (*body[desk.NewClient], error) {
			return answer(d.CreateClient(ctx, by, in.Tenant, in.Body))
		})
	add(h, tenant(http.MethodPost, "/{tenant}/clients/{client}/rotate", "rotateClient", writeTokens, "Rotate a client's secret", "The old ones work on for the overlap.", http.StatusCreated),
		func(ctx context.Context, by directory.Actor, in *struct {
			ClientPath
			Body desk.RotationInput
		}) (*body[desk.NewClient], error) {
			return answer(d.RotateClient(ctx, by, in.Tenant, in.Client, in.Body))
		})
	add(h, tenant(http.MethodPost, "/{tenant}/clients/{client}/revoke", "revokeClient", writeTokens, "Revoke a client", "It, its secrets and its access tokens end at once. 409 when it was revoked before.", http.StatusNoContent),
		func(ctx context.Context, by directory.Actor, in *ClientPath) (*struct{}, error) {
			return nil, d.RevokeClient(ctx, by, in.Tenant, in.Client)
		})

	add(h, tenant(http.MethodGet, "/{tenant}/setup-links", "listSetupLinks", read, "List setup links", "At most one works at a time.", 0),
		func(ctx context.Context, by directory.Actor, in *TenantPath) (*body[desk.List[desk.SetupLink]], error) {
			l, err := d.SetupLink(ctx, by, in.Tenant)
			out := desk.List[desk.SetupLink]{Items: []desk.SetupLink{}}
			if l != nil {
				out.Items, out.Total = append(out.Items, *l), 1
			}
			return answer(out, err)
		})
	add(h, tenant(http.MethodPost, "/{tenant}/setup-links", "createSetupLink", writeTokens, "Create a setup link", "For an Entra administrator who has no account here. The link before works no more.", http.StatusCreated),
		func(ctx context.Context, by directory.Actor, in *withBody[desk.SetupLinkInput]) (*body[desk.NewSetupLink], error) {
			return answer(d.CreateSetupLink(ctx, by, in.Tenant, in.Body))
		})
	add(h, tenant(http.MethodPost, "/{tenant}/setup-links/revoke", "revokeSetupLink", writeTokens, "Revoke the setup link", "Whoever has it sees and changes nothing more from this moment on. 404 when there is none.", http.StatusNoContent),
		func(ctx context.Context, by directory.Actor, in *TenantPath) (*struct{}, error) {
			return nil, d.RevokeSetupLink(ctx, by, in.Tenant)
		})
}
