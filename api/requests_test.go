package api_test

import (
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

type object = map[string]any

// requests are those of each operation. A new one without a row fails TestRolesAndScopes.
var requests = map[string]func(*apptest.World) request{
	// Organizations and environments.
	"listOrganizations": is(request{path: "/organizations"}.forAll()),
	"createOrganization": of(func(*apptest.World) request {
		return request{path: "/organizations", body: object{"name": fresh("Delta ")}}.forOperators()
	}),
	"listEnvironments": is(request{path: "/environments"}.forAll()),
	"createEnvironment": of(func(w *apptest.World) request {
		return request{path: "/environments", body: object{"name": fresh("Test "), "organizationId": w.Fjord.Organization.ID}}.forOperators()
	}),
	"getEnvironment":        of(func(w *apptest.World) request { return request{path: production(w)} }),
	"getEnvironmentHistory": of(func(w *apptest.World) request { return request{path: production(w) + "/history"} }),
	"getIntegration":        of(func(w *apptest.World) request { return request{path: production(w) + "/integration"} }),
	"changeIntegration": of(func(w *apptest.World) request {
		return request{path: production(w) + "/integration", body: object{"periodic": true}}.byAdmin()
	}),
	"findGroups":         of(func(w *apptest.World) request { return request{path: production(w) + "/groups?text=sal"}.byAdmin() }),
	"listAdministrators": of(func(w *apptest.World) request { return request{path: production(w) + "/administrators"} }),
	"setAdministrator": of(func(w *apptest.World) request {
		return request{path: production(w) + "/administrators", body: object{"person": "ana@fjord.example", "administrator": true}}.byOperator()
	}),
	"search": is(request{path: "/search?q=ana"}.forAll()),

	// Runs.
	"syncEnvironment": of(func(w *apptest.World) request {
		return request{path: production(w) + "/sync", body: object{"preview": true}}.byAdmin()
	}),
	"listRuns":     of(func(w *apptest.World) request { previewed(w); return request{path: "/runs"}.forAll() }),
	"getRun":       of(func(w *apptest.World) request { return request{path: previewed(w)} }),
	"listRunItems": of(func(w *apptest.World) request { return request{path: previewed(w) + "/items"} }),
	"followRun":    of(func(w *apptest.World) request { return request{path: previewed(w) + "/progress"} }),
	"allowRun": of(func(w *apptest.World) request {
		run := waiting(w)
		return request{path: "/runs/" + run.ID.String() + "/allow", body: object{"hash": run.Hash, "reason": "ticket 4711"}}.byAdmin()
	}),
	"discardRun": of(func(w *apptest.World) request {
		return request{path: "/runs/" + waiting(w).ID.String() + "/discard", body: object{"reason": "wrong group"}}.byAdmin()
	}),
	"cancelRun": of(underWay),

	// Tenants.
	"listTenants": is(request{path: "/tenants"}.forAll()),
	"createTenant": of(func(w *apptest.World) request {
		return request{path: "/tenants", body: object{"name": fresh("new-"), "organizations": []directory.ID{w.Fjord.Organization.ID}}}.byPartner()
	}),
	"getTenant": of(func(w *apptest.World) request { return request{path: tenant(w)}.byTenantsPartner() }),
	"changeTenant": of(func(w *apptest.World) request {
		return request{path: tenant(w), body: object{"scim": object{"strict": true, "userPatch": 200}, "signIn": object{"label": "F"}}}.byPartner()
	}),
	"testTenant":      of(func(w *apptest.World) request { return request{path: tenant(w) + "/test"}.byTenantsPartner() }),
	"getTenantSetup":  of(func(w *apptest.World) request { return request{path: tenant(w) + "/setup"}.byTenantsPartner() }),
	"listCredentials": of(func(w *apptest.World) request { return request{path: tenant(w) + "/credentials"}.byTenantsPartner() }),
	"setCredential": of(func(w *apptest.World) request {
		return request{path: tenant(w) + "/credentials/graph", body: object{"secret": "abc~0123456789012345"}}.byTenantsPartner()
	}),
	"removeCredential": of(func(w *apptest.World) request {
		_, err := w.App.Desk().SetCredential(w.Context(), apptest.Operator, w.Fjord.Tenant.ID, "graph", desk.CredentialInput{Secret: "abc~0123456789012345"})
		w.Must(err)
		return request{path: tenant(w) + "/credentials/graph"}.byPartner()
	}),
	"listSecretTokens": of(func(w *apptest.World) request { return request{path: tenant(w) + "/tokens"}.byTenantsPartner() }),
	"createSecretToken": of(func(w *apptest.World) request {
		oneToken(w)
		return request{path: tenant(w) + "/tokens", body: object{"name": "Two"}}.byPartner()
	}),
	"rotateSecretToken": of(func(w *apptest.World) request {
		return request{path: tenant(w) + "/tokens/" + oneToken(w) + "/rotate", body: object{"overlapHours": 1}}.byPartner()
	}),
	"revokeSecretToken": of(func(w *apptest.World) request {
		return request{path: tenant(w) + "/tokens/" + oneToken(w) + "/revoke"}.byPartner()
	}),
	"listClients": of(func(w *apptest.World) request {
		newClient(w)
		return request{path: tenant(w) + "/clients"}.byTenantsPartner()
	}),
	"createClient": of(func(w *apptest.World) request {
		noClients(w)
		return request{path: tenant(w) + "/clients", body: object{}}.byPartner()
	}),
	"rotateClient": of(func(w *apptest.World) request {
		return request{path: tenant(w) + "/clients/" + newClient(w) + "/rotate", body: object{"overlapHours": 0}}.byPartner()
	}),
	"revokeClient": of(func(w *apptest.World) request {
		return request{path: tenant(w) + "/clients/" + newClient(w) + "/revoke"}.byPartner()
	}),
	"listSetupLinks": of(func(w *apptest.World) request {
		setupLink(w)
		return request{path: tenant(w) + "/setup-links"}.byTenantsPartner()
	}),
	"createSetupLink": of(func(w *apptest.World) request {
		return request{path: tenant(w) + "/setup-links", body: object{"hours": 1}}.byPartner()
	}),
	"revokeSetupLink": of(func(w *apptest.World) request {
		setupLink(w)
		return request{path: tenant(w) + "/setup-links/revoke"}.byPartner()
	}),

	// People.
	"listUsers": is(request{path: "/users"}.forAll()),
	"getUser":   of(func(w *apptest.World) request { return request{path: ana(w)} }),
	"updateUser": of(func(w *apptest.World) request {
		return request{path: "/users/" + internal(w).String(), body: object{"name": "Ivy Hall"}}.byOperator()
	}),
	"listUserAccesses": of(func(w *apptest.World) request { return request{path: ana(w) + "/accesses"} }),
	"listUserHistory":  of(func(w *apptest.World) request { return request{path: ana(w) + "/history"} }),
	"listUserSessions": of(func(w *apptest.World) request {
		w.SignIn(w.Fjord.Plain)
		return request{path: ana(w) + "/sessions"}.byOperator()
	}),
	"endUserSessions": of(func(w *apptest.World) request {
		w.SignIn(w.Fjord.Plain)
		return request{path: ana(w) + "/sessions"}.byOperator()
	}),
	"endUserSession": of(func(w *apptest.World) request {
		w.SignIn(w.Fjord.Plain)
		list, err := w.App.Desk().Sessions(w.Context(), apptest.Operator, w.Fjord.Plain.ID)
		w.Must(err)
		return request{path: ana(w) + "/sessions/" + list.Items[0].ID.String()}.byOperator()
	}),
	"inviteUser": of(func(w *apptest.World) request {
		return request{path: "/users/" + internal(w).String() + "/invite"}.byOperator()
	}),
	"forgetSubject": of(func(w *apptest.World) request {
		pinned(w)
		return request{path: ana(w) + "/forget-subject"}.byOperator()
	}),
	"syncUser":      of(func(w *apptest.World) request { return request{path: ana(w) + "/sync"}.byAdmin() }),
	"listConflicts": is(request{path: "/conflicts"}.forAll()),
	"listAccesses": of(func(w *apptest.World) request {
		return request{path: "/accesses?environment=" + w.Fjord.Production.ID.String()}
	}),
	"addEnvironmentUser": of(func(w *apptest.World) request {
		return request{path: production(w) + "/users", body: object{"email": fresh("ivy") + "@maxedy.example", "name": "Ivy Hall"}}.byAdmin()
	}),
	"updateAccess": of(func(w *apptest.World) request {
		return request{path: production(w) + ana(w), body: object{"menus": []string{"Orders"}}}.byAdmin()
	}),
	"getMenus": of(func(w *apptest.World) request { return request{path: production(w) + "/menus"} }),
	"setMenus": of(func(w *apptest.World) request {
		return request{path: production(w) + "/menus", body: object{"names": []string{"Orders", "Stock"}}}.byAdmin()
	}),
	"listGroups": of(func(w *apptest.World) request {
		return request{path: "/groups?tenant=" + w.Fjord.Tenant.ID.String(), admin: 404}
	}),
	"getGroup":    of(func(w *apptest.World) request { return request{path: group(w)} }),
	"listMembers": of(func(w *apptest.World) request { return request{path: group(w) + "/members"} }),

	// Log, audit, report.
	"listLog": is(request{path: "/log"}.forAll()),
	"getLogLine": of(func(w *apptest.World) request {
		list, err := w.App.Desk().Log(w.Context(), apptest.Operator, desk.LogFilter{Tenant: w.Fjord.Tenant.ID, Environment: w.Fjord.Production.ID}, desk.Page{})
		w.Must(err)
		return request{path: fmt.Sprintf("/log/%s/%d", w.Fjord.Tenant.ID, list.Items[0].Sequence)}
	}),
	"listAudit":                  is(request{path: "/audit"}.forOperators()),
	"verifyAudit":                is(request{path: "/audit/verify"}.forOperators()),
	"getLeaversAndJoiners":       is(request{path: "/report/leavers-and-joiners"}.forAll()),
	"getSignedLeaversAndJoiners": is(request{path: "/report/leavers-and-joiners/signed"}.forAll()),

	// Changes and webhooks.
	"listChanges":   of(func(w *apptest.World) request { internal(w); return request{path: "/changes?after=start"}.forAll() }),
	"streamChanges": is(request{path: "/changes/stream?after=start", endless: true}.forAll()),
	"listWebhooks":  of(func(w *apptest.World) request { hook(w); return withOther(request{path: "/webhooks"}.byPartner(), yes) }),
	"createWebhook": of(func(w *apptest.World) request {
		return withOther(request{path: "/webhooks", body: object{"name": "HR", "url": "https://hr.example/hook", "organizations": []directory.ID{w.Fjord.Organization.ID}}}.byPartner(), 422)
	}),
	"getWebhook": of(func(w *apptest.World) request { return request{path: hook(w)}.byPartner() }),
	"changeWebhook": of(func(w *apptest.World) request {
		return request{path: hook(w), body: object{"name": "Other"}}.byPartner()
	}),
	"removeWebhook":       of(func(w *apptest.World) request { return request{path: hook(w)}.byPartner() }),
	"pauseWebhook":        of(func(w *apptest.World) request { return request{path: hook(w) + "/pause"}.byPartner() }),
	"resumeWebhook":       of(func(w *apptest.World) request { return request{path: hook(w) + "/resume"}.byPartner() }),
	"rotateWebhookSecret": of(func(w *apptest.World) request { return request{path: hook(w) + "/rotate", body: object{}}.byPartner() }),
	"pollWebhook": of(func(w *apptest.World) request {
		return request{path: "/webhooks/" + pollable(w).String() + "/poll", body: object{"returnImmediately": true}}.byPartner()
	}),
	"testWebhook": of(func(w *apptest.World) request { return request{path: hook(w) + "/test"}.byPartner() }),
	"redeliverDeadLetters": of(func(w *apptest.World) request {
		path, _ := letter(w)
		return request{path: path + "/redeliver"}.byPartner()
	}),
	"listDeliveries": of(func(w *apptest.World) request {
		path, _ := letter(w)
		return request{path: path + "/deliveries"}.byPartner()
	}),
	"getDelivery": of(func(w *apptest.World) request {
		path, id := letter(w)
		return request{path: path + "/deliveries/" + id}.byPartner()
	}),
	"redeliver": of(func(w *apptest.World) request {
		path, id := letter(w)
		return request{path: path + "/deliveries/" + id + "/redeliver"}.byPartner()
	}),

	// API tokens.
	"listApiTokens": of(func(w *apptest.World) request {
		fjordsToken(w)
		return withOther(request{path: "/api-tokens"}.byPartner(), yes)
	}),
	"getApiToken": of(func(w *apptest.World) request { return request{path: "/api-tokens/" + fjordsToken(w)}.byPartner() }),
	"createApiToken": of(func(w *apptest.World) request {
		return request{path: "/api-tokens", body: object{"name": "New", "role": "partner", "organizations": []directory.ID{w.Fjord.Organization.ID}, "scopes": []string{"tokens:write"}}}.byPartner()
	}),
	"rotateApiToken": of(func(w *apptest.World) request {
		return request{path: "/api-tokens/" + fjordsToken(w) + "/rotate", body: object{}}.byPartner()
	}),
	"revokeApiToken": of(func(w *apptest.World) request {
		return request{path: "/api-tokens/" + fjordsToken(w) + "/revoke"}.byPartner()
	}),

	// The server.
	"getHealth":         is(request{path: "/settings/health"}.forOperators()),
	"listSettings":      is(request{path: "/settings/configuration"}.forOperators()),
	"getFirstSteps":     is(request{path: "/settings/first-steps"}.forOperators()),
	"listSigningKeys":   is(request{path: "/settings/signing-keys"}.forOperators()),
	"rotateSigningKeys": is(request{path: "/settings/signing-keys"}.forOperators()),
	"listPeople":        is(request{path: "/settings/people"}.forOperators()),
	"getPerson": of(func(w *apptest.World) request {
		return request{path: "/settings/people/" + w.Fjord.Partner.ID.String()}.forOperators()
	}),
	"giveRole": of(func(w *apptest.World) request {
		return request{path: "/settings/people", body: object{"who": "ana@fjord.example", "partnerOf": w.Fjord.Organization.ID}}.forOperators()
	}),
	"setRoles": of(func(w *apptest.World) request {
		return request{path: "/settings/people/" + w.Fjord.Plain.ID.String(), body: object{"partnerOf": []directory.ID{w.Fjord.Organization.ID}}}.forOperators()
	}),
	"inviteOperator": of(func(*apptest.World) request {
		return request{path: "/settings/invitations", body: object{"email": fresh("nina") + "@maxedy.example"}}.forOperators()
	}),
	"createLink": of(func(w *apptest.World) request {
		return request{path: "/settings/people/" + w.Boss.ID.String() + "/links", body: object{"kind": "sign-in"}}.forOperators()
	}),
	"removeSecondFactor": of(func(w *apptest.World) request {
		w.Must(w.Service.SetPassword(w.Context(), apptest.Operator, w.Boss.ID, "$argon2id$x"))
		w.Must(w.Service.SetTOTP(w.Context(), directory.Actor{Role: directory.RoleOperator, Channel: "test", ID: w.Boss.ID.String()}, w.Boss.ID, "sealed", 1))
		return request{path: "/settings/people/" + w.Boss.ID.String() + "/second-factor/remove"}.forOperators()
	}),
}

func is(r request) func(*apptest.World) request                      { return func(*apptest.World) request { return r } }
func of(f func(*apptest.World) request) func(*apptest.World) request { return f }

func withOther(r request, status int) request {
	r.other = status
	return r
}

var freshest atomic.Int64

// fresh makes a name that nothing has yet.
func fresh(name string) string { return fmt.Sprint(name, freshest.Add(1)) }

func production(w *apptest.World) string { return "/environments/" + w.Fjord.Production.ID.String() }
func tenant(w *apptest.World) string     { return "/tenants/" + w.Fjord.Tenant.ID.String() }
func ana(w *apptest.World) string        { return "/users/" + w.Fjord.Plain.ID.String() }
func group(w *apptest.World) string {
	return "/groups/" + w.Fjord.Tenant.ID.String() + "/" + w.Fjord.Group.ID.String()
}

// internal adds an internal user to Fjord's Production.
func internal(w *apptest.World) directory.ID {
	added, err := w.App.Desk().AddUser(w.Context(), apptest.Operator, w.Fjord.Production.ID, desk.NewUser{Email: fresh("ivy") + "@maxedy.example", Name: "Ivy Hall"})
	w.Must(err)
	return added.Access.User.ID
}

// previewed is the path of a preview that has ended.
func previewed(w *apptest.World) string {
	run, _, err := w.App.Desk().Sync(w.Context(), apptest.Operator, w.Fjord.Production.ID, desk.SyncRequest{Preview: true})
	w.Must(err)
	w.WaitRun(run.ID)
	return "/runs/" + run.ID.String()
}

// quiet waits for the end of what runs.
func quiet(w *apptest.World) {
	list, err := w.App.Desk().Runs(w.Context(), apptest.Operator, desk.RunFilter{State: directory.RunRunning}, desk.Page{})
	w.Must(err)
	for _, run := range list.Items {
		w.WaitRun(run.ID)
	}
}

// waiting is a run that waits for a decision: two others have come in place of all who were there.
func waiting(w *apptest.World) *directory.Run {
	quiet(w)
	_, _, err := w.Service.SetIntegration(w.Context(), apptest.Operator, w.Fjord.Production.ID, directory.IntegrationInput{Stops: &directory.Stops{RunCount: 1, RunPercent: 1}})
	w.Must(err)
	var people []directory.ID
	for range 2 {
		p := pulltest.NewPerson(int(1000 + freshest.Add(1)))
		w.Directory.SetPerson(p)
		people = append(people, p.ID)
	}
	w.Directory.SetMembers(w.Fjord.GroupID, people...)
	for {
		run, began, err := w.App.Desk().Sync(w.Context(), apptest.Operator, w.Fjord.Production.ID, desk.SyncRequest{})
		w.Must(err)
		if ended := w.WaitRun(run.ID); began { // not one that was about to begin
			return ended
		}
	}
}

// underWay asks for the end of a run that reads the directory.
func underWay(w *apptest.World) request {
	there, goOn := make(chan struct{}), make(chan struct{})
	w.Source.Hook(func(c pulltest.Call) {
		if c.Op == pulltest.OpMembers && c.When == pulltest.Before {
			close(there)
			<-goOn
		}
	})
	run, _, err := w.App.Desk().Sync(w.Context(), apptest.Operator, w.Fjord.Production.ID, desk.SyncRequest{Preview: true})
	w.Must(err)
	<-there
	w.Source.Hook(nil)
	r := request{path: "/runs/" + run.ID.String() + "/cancel"}.byAdmin()
	r.after = func() {
		close(goOn)
		w.WaitRun(run.ID)
	}
	return r
}

// oneToken leaves one Secret Token of Fjord that works, a new one, and returns its id.
func oneToken(w *apptest.World) string {
	d := w.App.Desk()
	all, err := d.Tokens(w.Context(), apptest.Operator, w.Fjord.Tenant.ID)
	w.Must(err)
	for _, t := range all.Items {
		w.Must(d.RevokeToken(w.Context(), apptest.Operator, w.Fjord.Tenant.ID, t.ID))
	}
	made, err := d.CreateToken(w.Context(), apptest.Operator, w.Fjord.Tenant.ID, desk.TokenInput{Name: "One"})
	w.Must(err)
	return made.Token.ID.String()
}

func noClients(w *apptest.World) {
	d := w.App.Desk()
	all, err := d.Clients(w.Context(), apptest.Operator, w.Fjord.Tenant.ID)
	w.Must(err)
	for _, c := range all.Items {
		if c.State == "revoked" {
			continue
		}
		w.Must(d.RevokeClient(w.Context(), apptest.Operator, w.Fjord.Tenant.ID, c.ClientID))
	}
}

// newClient leaves one OAuth client of Fjord, a new one, and returns its id.
func newClient(w *apptest.World) string {
	noClients(w)
	made, err := w.App.Desk().CreateClient(w.Context(), apptest.Operator, w.Fjord.Tenant.ID, desk.ClientInput{})
	w.Must(err)
	return made.Client.ClientID
}

func setupLink(w *apptest.World) {
	_, err := w.App.Desk().CreateSetupLink(w.Context(), apptest.Operator, w.Fjord.Tenant.ID, desk.SetupLinkInput{Hours: 1})
	w.Must(err)
}

// newHook makes a webhook of Fjord.
func newHook(w *apptest.World) directory.ID {
	name, url, reach := fresh("HR "), "https://hr.fjord.example/hook", []directory.ID{w.Fjord.Organization.ID}
	made, err := w.App.Desk().CreateWebhook(w.Context(), apptest.Operator, desk.WebhookInput{Name: &name, URL: &url, Organizations: &reach})
	w.Must(err)
	return made.Webhook.ID
}

// pollable makes a webhook of Fjord whose tokens are fetched.
func pollable(w *apptest.World) directory.ID {
	name, format, reach := fresh("HR "), "set-poll", []directory.ID{w.Fjord.Organization.ID}
	made, err := w.App.Desk().CreateWebhook(w.Context(), apptest.Operator, desk.WebhookInput{Name: &name, Format: &format, Organizations: &reach})
	w.Must(err)
	return made.Webhook.ID
}

func hook(w *apptest.World) string { return "/webhooks/" + newHook(w).String() }

// letter makes a webhook of Fjord with a dead letter, and returns its path and the id of the delivery.
func letter(w *apptest.World) (path, delivery string) {
	id := newHook(w)
	var status *directory.WebhookStatus
	var event *directory.OutboxEvent
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) (err error) {
		if status, err = sn.WebhookStatus(id); err != nil {
			return err
		}
		return sn.Outbox(0, func(e *directory.OutboxEvent) bool {
			if e.TenantID == w.Fjord.Tenant.ID {
				event = e
			}
			return event == nil
		})
	}))
	w.Must(w.Service.AdmitDeliveries(w.Context(), id, status.Cursor, status.Cursor, []directory.Delivery{{Sequence: event.Sequence, Type: event.Type, Time: event.Time}}))
	w.Must(w.Service.SettleDelivery(w.Context(), id, event.Sequence, directory.Settlement{State: directory.DeliveryDead,
		Attempt: directory.Attempt{At: w.Now(), Status: http.StatusInternalServerError, Error: "the endpoint answered 500 Internal Server Error"}}))
	return "/webhooks/" + id.String(), desk.EventID(event.Sequence)
}

// fjordsToken makes an API token that reaches Fjord alone.
func fjordsToken(w *apptest.World) string {
	w.PartnerAPI(w.Fjord, "tokens:write")
	return newestToken(w).String()
}

// pinned signs Ana in by her directory, which pins her there.
func pinned(w *apptest.World) {
	_, err := w.Service.SignIn(w.Context(), directory.Actor{Role: directory.RoleSystem, Channel: "test"},
		directory.Identity{TenantID: w.Fjord.Tenant.ID, ClientID: "sign-in", ObjectID: objectID(w), Subject: "ana"}, directory.SessionInput{Hash: auth.Hash(auth.NewSessionSecret().Text)})
	w.Must(err)
}

func objectID(w *apptest.World) directory.ID {
	id, ok := directory.ParseID(w.Fjord.Users[2].ExternalID)
	if !ok {
		w.Fatal("Ana has no object id")
	}
	return id
}
