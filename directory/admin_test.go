package directory_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

func jsonText(b []byte) ([]byte, error) {
	text, err := json.Marshal(b)
	return []byte(strings.Trim(string(text), `"`)), err
}

// Who may call what (the table of roles in the domain). A method that asks for no role is one
// that auth and the channels call on their own account.
func TestRoles(t *testing.T) {
	t.Parallel()
	const (
		operatorOnly = "operator"
		systems      = "operator, system"
		partners     = "operator, partner"
		environments = "operator, environment administrator"
		anyone       = "anyone"
	)
	type call func(s *scene, by directory.Actor) error
	secret := newToken("secret-new")
	customCloud := directory.Graph{Cloud: "custom", LoginURL: "https://login.example", GraphURL: "https://graph.example/v1.0"}
	off, periodic := false, true
	methods := map[string]struct {
		may string
		do  call
	}{
		"CreateOrganization": {operatorOnly, func(s *scene, by directory.Actor) error {
			_, err := s.svc.CreateOrganization(s.ctx, by, "New")
			return err
		}},
		"CreateEnvironment": {operatorOnly, func(s *scene, by directory.Actor) error {
			_, err := s.svc.CreateEnvironment(s.ctx, by, s.org, "new")
			return err
		}},
		"CreateAccount": {operatorOnly, func(s *scene, by directory.Actor) error {
			_, err := s.svc.CreateAccount(s.ctx, by, "new", "new@bizz.example", "New")
			return err
		}},
		"CreateTenant": {partners, func(s *scene, by directory.Actor) error {
			_, err := s.svc.CreateTenant(s.ctx, by, directory.Tenant{Name: "new", OrganizationIDs: []directory.ID{s.org}})
			return err
		}},
		"SetTenant": {partners, func(s *scene, by directory.Actor) error {
			_, err := s.svc.SetTenant(s.ctx, by, s.fjord, func(t *directory.Tenant) error { t.SCIM.Strict = true; return nil })
			return err
		}},
		"CreateTenant in a custom cloud": {operatorOnly, func(s *scene, by directory.Actor) error {
			_, err := s.svc.CreateTenant(s.ctx, by, directory.Tenant{Name: "new", OrganizationIDs: []directory.ID{s.org}, Graph: customCloud})
			return err
		}},
		"SetTenant to a custom cloud": {operatorOnly, func(s *scene, by directory.Actor) error {
			_, err := s.svc.SetTenant(s.ctx, by, s.fjord, func(t *directory.Tenant) error { t.Graph = customCloud; return nil })
			return err
		}},
		"SetTenant in a custom cloud": {partners, func(s *scene, by directory.Actor) error {
			must(s.svc.SetTenant(s.ctx, operator, s.fjord, func(t *directory.Tenant) error { t.Graph = customCloud; return nil }))
			_, err := s.svc.SetTenant(s.ctx, by, s.fjord, func(t *directory.Tenant) error { t.Graph.UserName = "mail"; return nil })
			return err
		}},
		"CreateTenant with a trusted domain": {operatorOnly, func(s *scene, by directory.Actor) error {
			_, err := s.svc.CreateTenant(s.ctx, by, directory.Tenant{Name: "new", OrganizationIDs: []directory.ID{s.org}, TrustedDomains: []string{"fjord.example"}})
			return err
		}},
		"SetTenant to one more trusted domain": {operatorOnly, func(s *scene, by directory.Actor) error {
			s.trust(s.fjord, "fjord.example")
			_, err := s.svc.SetTenant(s.ctx, by, s.fjord, func(t *directory.Tenant) error {
				t.TrustedDomains = []string{"harbor.example", "fjord.example"}
				return nil
			})
			return err
		}},
		"SetTenant to another trusted domain": {operatorOnly, func(s *scene, by directory.Actor) error {
			s.trust(s.fjord, "fjord.example")
			_, err := s.svc.SetTenant(s.ctx, by, s.fjord, func(t *directory.Tenant) error { t.TrustedDomains = []string{"harbor.example"}; return nil })
			return err
		}},
		"SetTenant to a trusted domain less": {partners, func(s *scene, by directory.Actor) error {
			s.trust(s.fjord, "fjord.example", "harbor.example", "strange.example")
			_, err := s.svc.SetTenant(s.ctx, by, s.fjord, func(t *directory.Tenant) error {
				t.TrustedDomains = []string{"HARBOR.example", "fjord.example"}
				return nil
			})
			return err
		}},
		"SetTenant to no trusted domain": {partners, func(s *scene, by directory.Actor) error {
			s.trust(s.fjord, "fjord.example")
			_, err := s.svc.SetTenant(s.ctx, by, s.fjord, func(t *directory.Tenant) error { t.TrustedDomains = nil; return nil })
			return err
		}},
		"SetCredential with a file of the server": {operatorOnly, func(s *scene, by directory.Actor) error {
			_, err := s.svc.SetCredential(s.ctx, by, directory.Credential{TenantID: s.fjord, Name: "graph", Kind: "federated", TokenFile: "/run/token"})
			return err
		}},
		"CreateToken": {partners, func(s *scene, by directory.Actor) error {
			_, err := s.svc.CreateToken(s.ctx, by, s.fjord, secret)
			return err
		}},
		"RotateToken": {partners, func(s *scene, by directory.Actor) error {
			old := must(s.svc.CreateToken(s.ctx, operator, s.fjord, newToken("secret-old")))
			_, err := s.svc.RotateToken(s.ctx, by, s.fjord, old.ID, secret, 0)
			return err
		}},
		"RevokeToken": {partners, func(s *scene, by directory.Actor) error {
			old := must(s.svc.CreateToken(s.ctx, operator, s.fjord, newToken("secret-old")))
			return s.svc.RevokeToken(s.ctx, by, s.fjord, old.ID)
		}},
		"CreateClient": {partners, func(s *scene, by directory.Actor) error {
			_, err := s.svc.CreateClient(s.ctx, by, s.fjord, directory.NewClient{ClientID: "entra", Secret: &secret})
			return err
		}},
		"RotateClient": {partners, func(s *scene, by directory.Actor) error {
			old := newToken("secret-old")
			must(s.svc.CreateClient(s.ctx, operator, s.fjord, directory.NewClient{ClientID: "entra", Secret: &old}))
			_, err := s.svc.RotateClient(s.ctx, by, s.fjord, "entra", secret, 0)
			return err
		}},
		"RevokeClient": {partners, func(s *scene, by directory.Actor) error {
			must(s.svc.CreateClient(s.ctx, operator, s.fjord, directory.NewClient{ClientID: "entra", Secret: &secret}))
			return s.svc.RevokeClient(s.ctx, by, s.fjord, "entra")
		}},
		"CreateAPIToken": {partners, func(s *scene, by directory.Actor) error {
			_, err := s.svc.CreateAPIToken(s.ctx, by, apiToken("new", directory.RolePartner, directory.Reach{Organizations: []directory.ID{s.org}}, "runs:read"))
			return err
		}},
		"RotateAPIToken": {partners, func(s *scene, by directory.Actor) error {
			old := must(s.svc.CreateAPIToken(s.ctx, operator, apiToken("old", directory.RolePartner, directory.Reach{Organizations: []directory.ID{s.org}}, "runs:read")))
			_, err := s.svc.RotateAPIToken(s.ctx, by, old.ID, secretHash("new"), "", 0, 0)
			return err
		}},
		"RevokeAPIToken": {partners, func(s *scene, by directory.Actor) error {
			old := must(s.svc.CreateAPIToken(s.ctx, operator, apiToken("old", directory.RolePartner, directory.Reach{Organizations: []directory.ID{s.org}}, "runs:read")))
			_, err := s.svc.RevokeAPIToken(s.ctx, by, old.ID)
			return err
		}},
		"SetIntegration": {environments, func(s *scene, by directory.Actor) error {
			_, _, err := s.svc.SetIntegration(s.ctx, by, s.production, directory.IntegrationInput{Periodic: &periodic})
			return err
		}},
		"SetIntegration, the checkbox": {operatorOnly, func(s *scene, by directory.Actor) error {
			_, _, err := s.svc.SetIntegration(s.ctx, by, s.production, directory.IntegrationInput{Enabled: &off})
			return err
		}},
		"AllowRun": {environments, func(s *scene, by directory.Actor) error {
			run := s.quarantine(s.production)
			_, err := s.svc.AllowRun(s.ctx, by, run.ID, run.Hash, "the merger")
			return err
		}},
		"AllowRun, what push took away": {operatorOnly, func(s *scene, by directory.Actor) error {
			run := s.startRun(s.production)
			run.Restore = true
			s.holdRun(run)
			_, err := s.svc.AllowRun(s.ctx, by, run.ID, run.Hash, "the merger")
			return err
		}},
		"DiscardRun": {environments, func(s *scene, by directory.Actor) error {
			_, err := s.svc.DiscardRun(s.ctx, by, s.quarantine(s.production).ID, "")
			return err
		}},
		"SetCredential": {partners, func(s *scene, by directory.Actor) error {
			_, err := s.svc.SetCredential(s.ctx, by, directory.Credential{TenantID: s.fjord, Name: "graph", Kind: "secret", Sealed: "sealed"})
			return err
		}},
		"RemoveCredential": {partners, func(s *scene, by directory.Actor) error {
			must(s.svc.SetCredential(s.ctx, operator, directory.Credential{TenantID: s.fjord, Name: "graph", Kind: "secret", Sealed: "sealed"}))
			return s.svc.RemoveCredential(s.ctx, by, s.fjord, "graph")
		}},
		"ResealCredentials": {operatorOnly, func(s *scene, by directory.Actor) error {
			_, err := s.svc.ResealCredentials(s.ctx, by, func(*directory.Credential) (string, error) { return "again", nil })
			return err
		}},
		"ProtectAccount": {operatorOnly, func(s *scene, by directory.Actor) error {
			_, err := s.svc.ProtectAccount(s.ctx, by, s.ada.AccountID, true)
			return err
		}},
		"SetAdministrator": {operatorOnly, func(s *scene, by directory.Actor) error {
			_, err := s.svc.SetAdministrator(s.ctx, by, s.ada.AccountID, s.production, true)
			return err
		}},
		"SetMenus": {environments, func(s *scene, by directory.Actor) error {
			_, err := s.svc.SetMenus(s.ctx, by, s.production, []string{"Orders"})
			return err
		}},
		"AddInternal": {environments, func(s *scene, by directory.Actor) error {
			_, _, err := s.svc.AddInternal(s.ctx, by, s.production, directory.NewAccess{Email: "bo@fjord.example", Name: "Bo"})
			return err
		}},
		"SetAccess": {environments, func(s *scene, by directory.Actor) error {
			_, err := s.svc.SetAccess(s.ctx, by, s.production, s.ada.AccountID, directory.AccessInput{Menus: &[]string{"Orders"}})
			return err
		}},
		"SetAccount": {operatorOnly, func(s *scene, by directory.Actor) error {
			_, err := s.svc.SetAccount(s.ctx, by, s.internal(s.production), directory.AccountInput{Name: new("Bo B.")})
			return err
		}},
		"CreateOperator": {operatorOnly, func(s *scene, by directory.Actor) error {
			_, err := s.svc.CreateOperator(s.ctx, by, "new@bizz.example", "New")
			return err
		}},
		"SetRoles": {operatorOnly, func(s *scene, by directory.Actor) error {
			_, err := s.svc.SetRoles(s.ctx, by, s.ada.AccountID, directory.RoleInput{Operator: new(true)})
			return err
		}},
		"CreateLink": {systems, func(s *scene, by directory.Actor) error {
			_, err := s.svc.CreateLink(s.ctx, by, directory.LinkSetup, directory.ID{}, secretHash("link"), time.Hour)
			return err
		}},
		"CreateSetupLink": {partners, func(s *scene, by directory.Actor) error {
			_, err := s.svc.CreateSetupLink(s.ctx, by, s.fjord, secretHash("setup"), time.Hour)
			return err
		}},
		"RevokeSetupLink": {partners, func(s *scene, by directory.Actor) error {
			must(s.svc.CreateSetupLink(s.ctx, operator, s.fjord, secretHash("setup"), time.Hour))
			return s.svc.RevokeSetupLink(s.ctx, by, s.fjord)
		}},
		"TestedConnection": {partners, func(s *scene, by directory.Actor) error {
			return s.svc.TestedConnection(s.ctx, by, s.fjord, []byte("{}"))
		}},
		"SetPassword": {operatorOnly, func(s *scene, by directory.Actor) error {
			return s.svc.SetPassword(s.ctx, by, s.localOperator("new@bizz.example"), "hash")
		}},
		"RemoveLogin": {operatorOnly, func(s *scene, by directory.Actor) error {
			s.localOperator("old@bizz.example")
			return s.svc.RemoveLogin(s.ctx, by, s.localOperator("new@bizz.example"))
		}},
		"SetTOTP": {operatorOnly, func(s *scene, by directory.Actor) error {
			return s.svc.SetTOTP(s.ctx, by, s.localOperator("new@bizz.example"), "", 0)
		}},
		"ResealTOTP": {operatorOnly, func(s *scene, by directory.Actor) error {
			_, err := s.svc.ResealTOTP(s.ctx, by, nil)
			return err
		}},
		"ForgetSubject": {operatorOnly, func(s *scene, by directory.Actor) error {
			s.signInAs(s.ada, "sub", "forgotten")
			return s.svc.ForgetSubject(s.ctx, by, s.fjord, s.ada.ObjectID)
		}},
		"SetSigningKeys": {systems, func(s *scene, by directory.Actor) error {
			_, err := s.svc.SetSigningKeys(s.ctx, by, func([]directory.SigningKey) ([]directory.SigningKey, error) { return nil, nil })
			return err
		}},
		// Of what is another's, see TestReachOfWebhooks.
		"CreateWebhook": {"partner, operator", func(s *scene, by directory.Actor) error {
			_, err := s.svc.CreateWebhook(s.ctx, by, s.newID(), webhookInput("new", directory.Reach{Organizations: []directory.ID{s.org}}), webhookTypes, s.webhookSecret())
			return err
		}},
		"SetWebhook": {partners, func(s *scene, by directory.Actor) error {
			_, err := s.svc.SetWebhook(s.ctx, by, s.webhook("old").ID, directory.WebhookInput{Name: new("renamed")}, webhookTypes)
			return err
		}},
		"SetWebhook to another address": {partners, func(s *scene, by directory.Actor) error {
			_, err := s.svc.SetWebhook(s.ctx, by, s.webhook("old").ID, directory.WebhookInput{URL: new("https://elsewhere.example/")}, webhookTypes)
			return err
		}},
		"PauseWebhook": {partners, func(s *scene, by directory.Actor) error {
			_, err := s.svc.PauseWebhook(s.ctx, by, s.webhook("old").ID)
			return err
		}},
		"ResumeWebhook": {partners, func(s *scene, by directory.Actor) error {
			w := must(s.svc.PauseWebhook(s.ctx, operator, s.webhook("old").ID))
			_, err := s.svc.ResumeWebhook(s.ctx, by, w.ID)
			return err
		}},
		"RotateWebhook": {partners, func(s *scene, by directory.Actor) error {
			_, err := s.svc.RotateWebhook(s.ctx, by, s.webhook("old").ID, s.webhookSecret(), time.Hour)
			return err
		}},
		"RemoveWebhook": {partners, func(s *scene, by directory.Actor) error {
			return s.svc.RemoveWebhook(s.ctx, by, s.webhook("old").ID)
		}},
		"TestWebhook": {partners, func(s *scene, by directory.Actor) error {
			_, err := s.svc.TestWebhook(s.ctx, by, s.webhook("old").ID)
			return err
		}},
		"Redeliver": {partners, func(s *scene, by directory.Actor) error {
			w := s.webhook("old")
			s.admit(w.ID, 1)
			s.settle(w.ID, 1, directory.Settlement{State: directory.DeliveryDead})
			_, err := s.svc.Redeliver(s.ctx, by, w.ID, 1)
			return err
		}},
		"RedeliverDead": {partners, func(s *scene, by directory.Actor) error {
			w := s.webhook("old")
			s.admit(w.ID, 1)
			s.settle(w.ID, 1, directory.Settlement{State: directory.DeliveryDead})
			_, err := s.svc.RedeliverDead(s.ctx, by, w.ID, 10)
			return err
		}},
		"ResealWebhooks": {operatorOnly, func(s *scene, by directory.Actor) error {
			_, err := s.svc.ResealWebhooks(s.ctx, by, func(*directory.Webhook, *directory.WebhookSecret) (string, error) { return "again", nil })
			return err
		}},
		"Audit":               {anyone, nil},
		"LogFailure":          {anyone, nil},
		"CreateUser":          {anyone, nil},
		"UpdateUser":          {anyone, nil},
		"DeleteUser":          {anyone, nil},
		"CreateGroup":         {anyone, nil},
		"UpdateGroup":         {anyone, nil},
		"DeleteGroup":         {anyone, nil},
		"CreateSession":       {anyone, nil},
		"SignIn":              {anyone, nil},
		"EndDirectorySession": {anyone, nil},
		"EndSession":          {anyone, nil}, // another's is not found: TestEndSession
		"EndSessions":         {anyone, nil},
		"ResumeSessions":      {anyone, nil},
		"KeepSessions":        {anyone, nil},
		"UseState":            {anyone, nil},
		"UseTOTP":             {anyone, nil},
		"SetupOperator":       {anyone, nil}, // who has a link needs no role
		"SignInByLink":        {anyone, nil},
		"ResetPassword":       {anyone, nil},
	}
	actor := reflect.TypeFor[directory.Actor]()
	for m := range reflect.TypeFor[*directory.Service]().Methods() {
		if m.Type.NumIn() > 2 && m.Type.In(2) == actor {
			if _, ok := methods[m.Name]; !ok {
				t.Errorf("Service.%s takes an Actor and is not in this table", m.Name)
			}
		}
	}
	roles := []directory.Role{directory.RoleNone, directory.RoleUser, directory.RoleEnvironment, directory.RolePartner, directory.RoleOperator,
		directory.RoleDirectory, directory.RoleSystem, "Operator"}
	for name, m := range methods {
		if m.do == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, role := range roles {
				may := role != directory.RoleNone && slices.Contains(strings.Split(m.may, ", "), string(role))
				s := newScene(t)
				by := directory.Actor{Role: role, Channel: "console", ID: "caller", Reach: &directory.Reach{Organizations: []directory.ID{s.org}, Environments: []directory.ID{s.production}}}
				switch role { // each reaches by its own role what it may
				case directory.RoleOperator:
					by.Reach = nil
				case directory.RolePartner:
					by.Reach.Environments = nil
				case directory.RoleEnvironment:
					by.Reach.Organizations = nil
				}
				err := m.do(s, by)
				if may && err != nil {
					t.Errorf("role %q: %v", role, err)
				}
				if !may {
					wantKind(t, err, directory.Forbidden)
					s.wantNoAct()
				}
			}
			if m.may != partners && m.may != environments {
				return
			}
			for what, by := range beyond(m.may == partners) {
				s := newScene(t)
				err := m.do(s, by(s))
				wantKind(t, err, directory.NotFound)
				if t.Failed() {
					t.Fatal(what)
				}
				s.wantNoAct()
			}
		})
	}
}

// A partner is told that a domain is an operator's to confirm.
func TestWhoTrustsADomain(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	domains := []string{"fjord.example"}
	s.unchanged(func() {
		_, create := s.svc.CreateTenant(s.ctx, s.partner(), directory.Tenant{Name: "new", OrganizationIDs: []directory.ID{s.org}, TrustedDomains: domains})
		_, set := s.svc.SetTenant(s.ctx, s.partner(), s.fjord, func(t *directory.Tenant) error { t.TrustedDomains = domains; return nil })
		for _, err := range []error{create, set} {
			e := new(directory.Error)
			if !errors.As(err, &e) || e.Kind != directory.Forbidden || e.Field != "trustedDomains" || !strings.Contains(e.Detail, "operator") || !strings.Contains(e.Detail, "confirm") {
				t.Errorf("%+v", err)
			}
		}
	})
}

// wantNoAct checks that a caller who was refused is not in the audit.
func (s *scene) wantNoAct() {
	s.Helper()
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		return true, sn.Audit(0, func(e *directory.AuditEntry) bool {
			if e.Actor.ID == "caller" {
				s.Errorf("a refused call of role %q is in the audit: %+v", e.Actor.Role, e)
			}
			return true
		})
	})
}

func TestIntegrationSettings(t *testing.T) {
	t.Parallel()
	on, off := true, false
	for _, test := range []struct {
		name string
		in   func(*scene) directory.IntegrationInput
		want directory.ErrorKind
	}{
		{"another organization's tenant", func(s *scene) directory.IntegrationInput {
			strange := s.tenant("strange")
			return directory.IntegrationInput{TenantID: &strange}
		}, directory.Invalid},
		{"a tenant that does not exist", func(*scene) directory.IntegrationInput {
			id := number(999)
			return directory.IntegrationInput{TenantID: &id}
		}, directory.NotFound},
		{"no tenant", func(*scene) directory.IntegrationInput { return directory.IntegrationInput{TenantID: &directory.ID{}} }, directory.Invalid},
		{"no groups", func(*scene) directory.IntegrationInput { return directory.IntegrationInput{Groups: []string{}} }, directory.Invalid},
		{"blank groups", func(*scene) directory.IntegrationInput { return directory.IntegrationInput{Groups: []string{" ", ""}} }, directory.Invalid},
		{"two groups in one", func(*scene) directory.IntegrationInput { return directory.IntegrationInput{Groups: []string{"a,b"}} }, directory.Invalid},
		{"a group with a NUL", func(*scene) directory.IntegrationInput { return directory.IntegrationInput{Groups: []string{"a\x00b"}} }, directory.Invalid},
		{"settings with the switch off", func(*scene) directory.IntegrationInput {
			return directory.IntegrationInput{Enabled: &off, Groups: []string{"a"}}
		}, directory.Invalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			in := test.in(s)
			s.unchanged(func() {
				_, _, err := s.svc.SetIntegration(s.ctx, operator, s.production, in)
				wantKind(t, err, test.want)
			})
		})
	}
	s := newScene(t)
	s.unchanged(func() { // off: nothing below can be set, not even by an operator
		for _, in := range []directory.IntegrationInput{{TenantID: &s.fjord}, {Groups: []string{"a"}}, {DefaultMenus: []string{"a"}}, {Periodic: &on}} {
			_, _, err := s.svc.SetIntegration(s.ctx, operator, s.test, in)
			wantKind(t, err, directory.Invalid)
		}
		_, _, err := s.svc.SetIntegration(s.ctx, operator, number(999), directory.IntegrationInput{Enabled: &on})
		wantKind(t, err, directory.NotFound)
	})
	e, _, err := s.svc.SetIntegration(s.ctx, operator, s.test, directory.IntegrationInput{Enabled: &on, TenantID: &s.fjord, Periodic: &on,
		Groups: []string{" " + strings.ToUpper(object(5)) + " ", object(5), "", "Name"}})
	if err != nil || !slices.Equal(e.Integration.Groups, []string{object(5), "Name"}) || !e.Integration.Periodic {
		t.Errorf("%+v, %v", e, err)
	}
}

// An operator switches an integration on and nothing else; an administrator of the environment
// fills it in. Until then nothing is synced.
func TestIntegrationSwitchedOnAlone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	admin := administrator(s.test)
	on, off := true, false
	rows := func() (n int) { // by which a tenant's and a group's environments are found
		for k := range s.dump() {
			if table, key, _ := strings.Cut(k, "\x00"); (table == "environment_tenant" || table == "environment_group") && strings.HasSuffix(key, string(s.test[:])) {
				n++
			}
		}
		return n
	}
	unconfigured := func(enabled bool) {
		t.Helper()
		e := view(s.world, func(sn *directory.Snapshot) (*directory.Environment, error) { return sn.Environment(s.test) })
		if in := e.Integration; in.Enabled != enabled || !in.TenantID.IsZero() || len(in.Groups)+len(in.DefaultMenus) > 0 || in.Periodic {
			t.Errorf("integration: %+v", in)
		}
		if n := rows(); n != 0 {
			t.Errorf("%d index rows of an integration without a tenant", n)
		}
		s.wantState(s.ada.AccountID, s.test, "none")
		checkInvariants(s.world)
	}
	for range 2 {
		if run := s.enable(s.test, true); run != nil {
			t.Errorf("run: %+v", run)
		}
		unconfigured(true)
		bo := s.createUser(s.fjord, person(fmt.Sprint("bo", s.ids.Add(1)), int(s.ids.Add(1))))
		s.add(s.pilots, bo)
		s.wantState(bo.AccountID, s.test, "none")
		s.unchanged(func() {
			for _, by := range []directory.Actor{operator, admin} {
				for _, in := range []directory.IntegrationInput{{Groups: []string{s.pilotsID}}, {Groups: []string{}}, {DefaultMenus: []string{"sales"}}, {DefaultMenus: []string{}},
					{Periodic: &on}, {Periodic: &off}, {TenantID: &directory.ID{}}, {TenantID: &directory.ID{}, Groups: []string{s.pilotsID}}, {Enabled: &on, Groups: []string{s.pilotsID}}} {
					_, _, err := s.svc.SetIntegration(s.ctx, by, s.test, in)
					wantKind(t, err, directory.Invalid)
					if e := new(directory.Error); errors.As(err, &e) && e.Field != "tenant" {
						t.Errorf("%+v: field %q, want tenant", in, e.Field)
					}
				}
				_, _, err := s.svc.SetIntegration(s.ctx, by, s.test, directory.IntegrationInput{TenantID: &s.fjord}) // without groups
				wantKind(t, err, directory.Invalid)
				if _, _, err := s.svc.SetIntegration(s.ctx, by, s.test, directory.IntegrationInput{Enabled: &on}); err != nil { // as it is
					t.Errorf("nothing to change: %v", err)
				}
			}
			_, _, err := s.svc.SetIntegration(s.ctx, admin, s.test, directory.IntegrationInput{Enabled: &off})
			wantKind(t, err, directory.Forbidden)
		})
		s.enable(s.test, false)
		unconfigured(false)
	}

	s.enable(s.test, true)
	e, run, err := s.svc.SetIntegration(s.ctx, admin, s.test, directory.IntegrationInput{TenantID: &s.fjord, Groups: []string{s.pilotsID}, DefaultMenus: []string{"sales"}})
	if err != nil || run != nil || e.Integration.TenantID != s.fjord {
		t.Fatalf("%+v, run %v, %v", e, run, err)
	}
	s.wantState(s.ada.AccountID, s.test, "active")
	s.wantState(s.twin.AccountID, s.test, "none")
	if x := s.access(s.ada.AccountID, s.test); x == nil || !slices.Equal(x.Menus, []string{"sales"}) {
		t.Errorf("access: %+v", x)
	}
	if n := rows(); n != 2 {
		t.Errorf("%d index rows, want that of the tenant and that of the group", n)
	}
	s.remove(s.pilots, s.ada)
	s.wantState(s.ada.AccountID, s.test, "inactive")
	checkInvariants(s.world)
}

// A tenant that was taken from an organization while its environment was off does not come back
// with the switch.
func TestTenantTakenAwayWhileOff(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	take := func() error {
		_, err := s.svc.SetTenant(s.ctx, operator, s.fjord, func(t *directory.Tenant) error { t.OrganizationIDs = nil; return nil })
		return err
	}
	s.unchanged(func() { wantKind(t, take(), directory.Conflict) })
	s.enable(s.production, false)
	if err := take(); err != nil {
		t.Fatal(err)
	}
	on := true
	s.unchanged(func() {
		_, _, err := s.svc.SetIntegration(s.ctx, operator, s.production, directory.IntegrationInput{Enabled: &on})
		wantKind(t, err, directory.Invalid)
	})
	s.wantState(s.ada.AccountID, s.production, "inactive")
}

func TestTenantSettings(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for name, edit := range map[string]func(*directory.Tenant){
		"no name":               func(t *directory.Tenant) { t.Name = "" },
		"capitals in the name":  func(t *directory.Tenant) { t.Name = "Fjord" },
		"slash in the name":     func(t *directory.Tenant) { t.Name = "a/b" },
		"newline in the name":   func(t *directory.Tenant) { t.Name = "a\n" },
		"hyphen at the end":     func(t *directory.Tenant) { t.Name = "a-" },
		"long name":             func(t *directory.Tenant) { t.Name = strings.Repeat("a", 64) },
		"slow":                  func(t *directory.Tenant) { t.SCIM.RequestsPerSecond = 24 },
		"negative rate":         func(t *directory.Tenant) { t.SCIM.RequestsPerSecond = -1 },
		"fast":                  func(t *directory.Tenant) { t.SCIM.RequestsPerSecond = 100_001 },
		"small burst":           func(t *directory.Tenant) { t.SCIM.Burst = 1 },
		"trusts everybody":      func(t *directory.Tenant) { t.TrustedDomains = []string{"*"} },
		"trusts an address":     func(t *directory.Tenant) { t.TrustedDomains = []string{"a@b.example"} },
		"trusts a top level":    func(t *directory.Tenant) { t.TrustedDomains = []string{"example"} },
		"no directory id":       func(t *directory.Tenant) { t.DirectoryID = "fjord.example" },
		"broken extension":      func(t *directory.Tenant) { t.SCIM.Extensions = []json.RawMessage{json.RawMessage(`{"id":`)} },
		"empty extension":       func(t *directory.Tenant) { t.SCIM.Extensions = []json.RawMessage{nil} },
		"unknown cloud":         func(t *directory.Tenant) { t.Graph.Cloud = "moon" },
		"cloud in capitals":     func(t *directory.Tenant) { t.Graph.Cloud = "Public" },
		"login URL of no cloud": func(t *directory.Tenant) { t.Graph.LoginURL = "https://login.example/" },
		"graph URL of a known cloud": func(t *directory.Tenant) {
			t.Graph = directory.Graph{Cloud: "usgov", GraphURL: "https://graph.example/v1.0"}
		},
		"custom cloud without URLs":        func(t *directory.Tenant) { t.Graph.Cloud = "custom" },
		"custom cloud without login URL":   func(t *directory.Tenant) { t.Graph = customCloud("", "https://graph.example/v1.0") },
		"custom cloud without graph URL":   func(t *directory.Tenant) { t.Graph = customCloud("https://login.example/", "") },
		"custom cloud without https":       func(t *directory.Tenant) { t.Graph = customCloud("http://login.example/", "https://graph.example") },
		"custom cloud without scheme":      func(t *directory.Tenant) { t.Graph = customCloud("login.example", "https://graph.example") },
		"custom cloud without host":        func(t *directory.Tenant) { t.Graph = customCloud("https://", "https://graph.example") },
		"custom cloud with a port alone":   func(t *directory.Tenant) { t.Graph = customCloud("https://:443", "https://graph.example") },
		"custom cloud with a user":         func(t *directory.Tenant) { t.Graph = customCloud("https://a:b@login.example", "https://graph.example") },
		"custom cloud with a query":        func(t *directory.Tenant) { t.Graph = customCloud("https://login.example", "https://graph.example?a=b") },
		"custom cloud with an empty query": func(t *directory.Tenant) { t.Graph = customCloud("https://login.example", "https://graph.example?") },
		"custom cloud with a fragment":     func(t *directory.Tenant) { t.Graph = customCloud("https://login.example#a", "https://graph.example") },
		"custom cloud with no URL at all":  func(t *directory.Tenant) { t.Graph = customCloud("https://login.example", "https://a b") },
		"no client id": func(t *directory.Tenant) {
			t.DirectoryID, t.Graph.ClientID = object(3), "bizzstream"
		},
		"client id without directory id": func(t *directory.Tenant) { t.Graph.ClientID = object(4) },
		"userName from a nickname":       func(t *directory.Tenant) { t.Graph.UserName = "mailNickname" },
	} {
		t.Run(name, func(t *testing.T) {
			s.unchanged(func() {
				in := directory.Tenant{Name: "new"}
				edit(&in)
				_, err := s.svc.CreateTenant(s.ctx, operator, in)
				wantKind(t, err, directory.Invalid)
				if in.Name == "new" {
					_, err = s.svc.SetTenant(s.ctx, operator, s.fjord, func(t *directory.Tenant) error { edit(t); return nil })
					wantKind(t, err, directory.Invalid)
				}
			})
		})
	}
	s.unchanged(func() {
		_, err := s.svc.CreateTenant(s.ctx, operator, directory.Tenant{Name: "fjord"})
		wantKind(t, err, directory.Exists)
		_, err = s.svc.CreateTenant(s.ctx, operator, directory.Tenant{Name: "new", OrganizationIDs: []directory.ID{number(999)}})
		wantKind(t, err, directory.NotFound)
		_, err = s.svc.SetTenant(s.ctx, operator, number(999), func(*directory.Tenant) error { return nil })
		wantKind(t, err, directory.NotFound)
	})
	for _, graph := range []directory.Graph{
		{}, {Cloud: "public"}, {Cloud: "usgov", UserName: "mail"}, {Cloud: "usgov-dod"}, {Cloud: "china", UserName: "userPrincipalName"},
		customCloud("https://login.example:8443/", "https://graph.example/v1.0"),
	} {
		graph.ClientID = " " + strings.ToUpper(object(4)) + " "
		got := must(s.svc.SetTenant(s.ctx, operator, s.fjord, func(t *directory.Tenant) error { t.DirectoryID, t.Graph = object(3), graph; return nil }))
		graph.ClientID = object(4)
		if got.Graph != graph {
			t.Errorf("graph: %+v, want %+v", got.Graph, graph)
		}
		if kept := view(s.world, func(sn *directory.Snapshot) (*directory.Tenant, error) { return sn.Tenant(s.fjord) }); kept.Graph != graph {
			t.Errorf("kept: %+v, want %+v", kept.Graph, graph)
		}
	}
	domains := []string{" Fjord.Example "}
	made := must(s.svc.CreateTenant(s.ctx, operator, directory.Tenant{ID: number(998), Name: "new", TrustedDomains: domains, DirectoryID: strings.ToUpper(object(3))}))
	if made.ID == number(998) || !slices.Equal(made.TrustedDomains, []string{"fjord.example"}) || made.DirectoryID != object(3) {
		t.Errorf("tenant: %+v", made)
	}
	if domains[0] != " Fjord.Example " {
		t.Error("the caller's list was changed")
	}
	edited := must(s.svc.SetTenant(s.ctx, operator, made.ID, func(t *directory.Tenant) error {
		t.ID, t.Name, t.SCIM.Strict, t.Created = number(998), "renamed", true, time.Time{}
		return nil
	}))
	if edited.ID != made.ID || edited.Name != "renamed" || !edited.SCIM.Strict || !edited.Created.Equal(made.Created) {
		t.Errorf("tenant: %+v", edited)
	}
	checkInvariants(s.world)
}

func customCloud(login, graph string) directory.Graph {
	return directory.Graph{Cloud: "custom", LoginURL: login, GraphURL: graph}
}

// The figures of "prevent accidental deletions": each has a default and its bounds.
func TestStops(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	wantSame(t, "defaults", directory.Stops{}.OrDefaults(), directory.Stops{RunCount: 10, RunPercent: 5, DayCount: 20, DayPercent: 10})
	own := directory.Stops{RunCount: 1, RunPercent: 100, DayCount: 1_000_000, DayPercent: 99}
	wantSame(t, "own", own.OrDefaults(), own)
	s.set(s.production, directory.IntegrationInput{Stops: &own})
	wantSame(t, "kept", s.environment(s.production).Integration.Stops, own)
	for _, bad := range []directory.Stops{{RunCount: -1}, {DayCount: -1}, {RunPercent: -1}, {RunPercent: 101}, {DayPercent: -1}, {DayPercent: 101}} {
		s.unchanged(func() {
			_, _, err := s.svc.SetIntegration(s.ctx, operator, s.production, directory.IntegrationInput{Stops: &bad})
			wantKind(t, err, directory.Invalid)
		})
	}
	s.set(s.production, directory.IntegrationInput{Stops: &directory.Stops{}})
	wantSame(t, "kept", s.environment(s.production).Integration.Stops, directory.Stops{})
}

// What an administrator of an environment sets for the pull is kept as it was given.
func TestPullSettings(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	before := s.environment(s.production).Integration
	all := directory.IntegrationInput{Periodic: new(true), Transitive: new(true), Guests: new(true), Paused: new(true), Hold: new(true)}
	s.set(s.production, all)
	want := before
	want.Periodic, want.Transitive, want.Guests, want.Paused, want.Hold, want.Generation = true, true, true, true, true, before.Generation+1
	wantSame(t, "integration", s.environment(s.production).Integration, want)
	s.set(s.production, directory.IntegrationInput{Periodic: new(false), Transitive: new(false), Guests: new(false), Paused: new(false), Hold: new(false)})
	before.Generation += 2
	wantSame(t, "integration", s.environment(s.production).Integration, before)
	// None of them can be set while the checkbox is off.
	s.enable(s.production, false)
	s.unchanged(func() {
		for _, in := range []directory.IntegrationInput{{Periodic: new(true)}, {Transitive: new(true)}, {Guests: new(true)}, {Paused: new(true)}, {Hold: new(true)}, {Stops: &directory.Stops{}}} {
			_, _, err := s.svc.SetIntegration(s.ctx, operator, s.production, in)
			wantKind(t, err, directory.Invalid)
		}
	})
	checkInvariants(s.world)
}

// Records that a version before the pull has written are read as what they meant.
func TestRecordsOfBeforeThePull(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	old := func(name string, key directory.ID, record string) {
		s.raw(func(w directory.Writer) error { return w.Put(table(name), key[:], []byte(record)) })
	}
	old("environments", s.production, `{"id":"`+s.production.String()+`","organizationId":"`+s.org.String()+`","name":"production","created":"2026-11-23T08:00:00Z",`+
		`"integration":{"enabled":true,"tenantId":"`+s.fjord.String()+`","groups":["`+s.pilotsID+`","`+s.crewID+`"],"defaultMenus":["sales"],"periodic":true}}`)
	old("tenants", s.fjord, `{"id":"`+s.fjord.String()+`","name":"fjord","organizationIds":["`+s.org.String()+`"],"scim":{"strict":true},"created":"2026-11-23T08:00:00Z"}`)
	s.raw(func(w directory.Writer) error {
		return w.Put(table("log"), cat(s.fjord, uint64(1)), []byte(`{"sequence":1,"tenantId":"`+s.fjord.String()+`","time":"2026-11-23T08:00:00Z","actor":{"role":"directory","channel":"scim","id":"token"},"action":"create","targetType":"User","targetId":"`+s.ada.ID.String()+`","status":"success"}`))
	})
	wantSame(t, "integration", s.environment(s.production).Integration, directory.Integration{Enabled: true, TenantID: s.fjord, Groups: []string{s.pilotsID, s.crewID}, DefaultMenus: []string{"sales"}, Periodic: true})
	tenant := view(s.world, func(sn *directory.Snapshot) (*directory.Tenant, error) { return sn.Tenant(s.fjord) })
	if tenant.Graph != (directory.Graph{}) || tenant.DirectoryID != "" || !tenant.SCIM.Strict {
		t.Errorf("tenant: %+v", tenant)
	}
	if e := view(s.world, func(sn *directory.Snapshot) (first *directory.LogEvent, err error) {
		err = sn.Log(s.fjord, 0, false, func(e *directory.LogEvent) bool { first = e; return false })
		return first, err
	}); !e.Actor.RunID.IsZero() || e.Reason != "" {
		t.Errorf("log: %+v", e)
	}
	// A derivation that was left over goes on.
	id := s.newID()
	s.raw(func(w directory.Writer) error {
		return errors.Join(
			w.Put(table("runs"), cat(s.production, id), []byte(`{"id":"`+id.String()+`","environmentId":"`+s.production.String()+`","trigger":"integration","actor":{"role":"operator","channel":"cli"},`+
				`"state":"pending","started":"2026-11-23T08:00:00Z","scopes":[{"tenantId":"`+s.fjord.String()+`","groupId":"`+s.pilots.ID.String()+`"},{}],"done":0,"granted":0,"reactivated":0,"deactivated":0}`)),
			w.Put(table("pending_run"), id[:], s.production[:]))
	})
	if d, err := s.svc.FinishDerivation(s.ctx, s.production, id, nil); err != nil || d.Done != 2 {
		t.Errorf("derivation: %+v, %v", d, err)
	}
	// They go on being changed as any other.
	bo := s.createUser(s.fjord, person("bo", 2))
	s.repair(s.startRun(s.production), s.planJoin(bo, s.crew))
	s.wantState(bo.AccountID, s.production, "active")
	s.nested(s.production)
	if g := s.environment(s.production).Integration.Generation; g != 1 {
		t.Errorf("generation %d", g)
	}
	must(s.svc.SetTenant(s.ctx, operator, s.fjord, func(t *directory.Tenant) error { t.DirectoryID, t.Graph.ClientID = object(3), object(4); return nil }))
	checkInvariants(s.world)
}

func TestNames(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	create := map[string]func(string) error{
		"organization": func(name string) error { _, err := s.svc.CreateOrganization(s.ctx, operator, name); return err },
		"environment":  func(name string) error { _, err := s.svc.CreateEnvironment(s.ctx, operator, s.org, name); return err },
		"account": func(name string) error {
			_, err := s.svc.CreateAccount(s.ctx, operator, name, "x@bizz.example", "")
			return err
		},
		"API token": func(name string) error {
			_, err := s.svc.CreateAPIToken(s.ctx, operator, directory.NewAPIToken{Name: name, Role: directory.RoleOperator, Scopes: []string{"runs:read"}, Hash: secretHash(name)})
			return err
		},
		"webhook": func(name string) error { _, err := s.createWebhook(operator, name, directory.Reach{}); return err },
		"new person": func(name string) error {
			_, _, err := s.svc.AddInternal(s.ctx, operator, s.production, directory.NewAccess{Email: "x@bizz.example", Name: name})
			return err
		},
		"menu": func(name string) error {
			_, err := s.svc.SetMenus(s.ctx, operator, s.production, []string{name})
			return err
		},
		"credential": func(name string) error {
			_, err := s.svc.SetCredential(s.ctx, operator, directory.Credential{TenantID: s.fjord, Name: name, Kind: "secret", Sealed: "s"})
			return err
		},
	}
	mayBeNone := map[string]func(string) error{
		"name of an account": func(name string) error {
			_, err := s.svc.CreateAccount(s.ctx, operator, "x", "x@bizz.example", name)
			return err
		},
		"name of an operator": func(name string) error {
			_, err := s.svc.CreateOperator(s.ctx, operator, "x@bizz.example", name)
			return err
		},
		"Secret Token": func(name string) error {
			n := newToken("named")
			n.Name = name
			_, err := s.svc.CreateToken(s.ctx, operator, s.fjord, n)
			return err
		},
	}
	bad := []string{" ", "a\nb", "a\x00b", "\x7f", strings.Repeat("a", 257), "a\xff", "a\u0085b", "a\u2028b", "a\u200bb", "\ufeffa", "a\u202eb", "a\u2066b"}
	for _, x := range []struct {
		all map[string]func(string) error
		bad []string
	}{{create, append(bad, "")}, {mayBeNone, bad}} {
		for what, do := range x.all {
			s.unchanged(func() {
				for _, name := range x.bad {
					if err := do(name); directory.KindOf(err) != directory.Invalid {
						t.Errorf("%s named %q: %v", what, name, err)
					}
				}
			})
		}
	}
	s.unchanged(func() {
		wantKind(t, create["organization"](" FJORD "), directory.Exists)
		wantKind(t, create["environment"]("Production"), directory.Exists)
		_, err := s.svc.CreateEnvironment(s.ctx, operator, number(999), "new")
		wantKind(t, err, directory.NotFound)
		for _, email := range []string{"", "x", "@x", "x@", "a\x00@b.example", "a\u200b@b.example", "a@b\u202e.example", "a\xff@b.example"} {
			_, err := s.svc.CreateAccount(s.ctx, operator, "x", email, "")
			wantKind(t, err, directory.Invalid)
		}
	})
	must(s.svc.CreateAccount(s.ctx, operator, "x", "X@bizz.example", ""))
	for _, name := range []string{"نامه\u200cای", "a\u200db", "Łódź ❤\ufe0f", "a\ufffd"} {
		must(s.svc.CreateOrganization(s.ctx, operator, name))
	}
	s.unchanged(func() { wantKind(t, create["account"]("y"), directory.Exists) })
	checkInvariants(s.world)
}

// TestTextsOlderThanARule stay, and keep nothing else of their tenant from being changed; new ones obey.
func TestTextsOlderThanARule(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	set := func(fn func(*directory.Tenant)) error {
		_, err := s.svc.SetTenant(s.ctx, operator, s.fjord, func(t *directory.Tenant) error { fn(t); return nil })
		return err
	}
	ok(set(func(t *directory.Tenant) {
		t.SignIn.Label, t.SignIn.DomainHint, t.SignIn.Contact = "OLD1", "OLD2", "OLD3"
	}))
	i := slices.IndexFunc(directory.Tables, func(t *directory.Table) bool { return t.Name == "tenants" })
	ok(s.store.Store.Update(s.ctx, func(w directory.Writer) error { // as an earlier version took it
		kept, err := w.Get(directory.Tables[i], s.fjord[:])
		if err != nil {
			return err
		}
		return w.Put(directory.Tables[i], s.fjord[:], bytes.ReplaceAll(kept, []byte("OLD"), []byte("\u200bold")))
	}))
	ok(set(func(t *directory.Tenant) { t.SCIM.Strict = true }))
	for field, edit := range map[string]func(*directory.Tenant){
		"signIn.label":      func(t *directory.Tenant) { t.SignIn.Label = "\u200bnew" },
		"signIn.domainHint": func(t *directory.Tenant) { t.SignIn.DomainHint = "\u200bnew" },
		"signIn.contact":    func(t *directory.Tenant) { t.SignIn.Contact = "\u202enew" },
	} {
		s.unchanged(func() {
			var e *directory.Error
			if err := set(edit); !errors.As(err, &e) || e.Kind != directory.Invalid || e.Field != field {
				t.Errorf("%s: %v", field, err)
			}
		})
	}
	ok(set(func(t *directory.Tenant) { t.SignIn.Contact = "\u200fתמיכה\u200e 123" }))
}

// auditedScene has an audit of some length.
func auditedScene(t *testing.T) *scene {
	s := newScene(t)
	for i := range 5 {
		if err := s.svc.Audit(s.ctx, operator, "test.act", fmt.Sprint("target ", i), json.RawMessage(`{"n": 1, "html": "<a>"}`)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.svc.VerifyAudit(s.ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAuditFindsTampering(t *testing.T) {
	t.Parallel()
	entry := func(n uint64) []byte { return cat(n) }
	audit := table("audit")
	edit := func(w directory.Writer, n uint64, fn func(*directory.AuditEntry)) error {
		v, err := w.Get(audit, entry(n))
		if err != nil {
			return err
		}
		e := new(directory.AuditEntry)
		if err := json.Unmarshal(v, e); err != nil {
			return err
		}
		fn(e)
		return w.Put(audit, entry(n), must(json.Marshal(e)))
	}
	for _, test := range []struct {
		name   string
		tamper func(directory.Writer) error
		at     int // the entry that must be named
	}{
		{"changed actor", func(w directory.Writer) error {
			return edit(w, 4, func(e *directory.AuditEntry) { e.Actor.ID = "somebody" })
		}, 4},
		{"changed role", func(w directory.Writer) error {
			return edit(w, 4, func(e *directory.AuditEntry) { e.Actor.Role = "system" })
		}, 4},
		{"changed time", func(w directory.Writer) error {
			return edit(w, 4, func(e *directory.AuditEntry) { e.Time = e.Time.AddDate(1, 0, 0) })
		}, 4},
		{"changed action", func(w directory.Writer) error { return edit(w, 4, func(e *directory.AuditEntry) { e.Action = "x" }) }, 4},
		{"changed target", func(w directory.Writer) error { return edit(w, 4, func(e *directory.AuditEntry) { e.Target = "x" }) }, 4},
		{"changed detail", func(w directory.Writer) error {
			return edit(w, 9, func(e *directory.AuditEntry) { e.Detail = json.RawMessage(`{"n":2}`) })
		}, 9},
		{"no detail", func(w directory.Writer) error { return edit(w, 9, func(e *directory.AuditEntry) { e.Detail = nil }) }, 9},
		{"changed hash", func(w directory.Writer) error {
			return edit(w, 4, func(e *directory.AuditEntry) { e.Hash = strings.Repeat("0", 64) })
		}, 4},
		{"changed chain", func(w directory.Writer) error {
			return edit(w, 4, func(e *directory.AuditEntry) { e.Previous = strings.Repeat("0", 64) })
		}, 4},
		{"changed number", func(w directory.Writer) error { return edit(w, 4, func(e *directory.AuditEntry) { e.Sequence = 5 }) }, 4},
		{"changed, with its hash", func(w directory.Writer) error {
			return edit(w, 4, func(e *directory.AuditEntry) {
				e.Target, e.Hash = "x", ""
				e.Hash = fmt.Sprintf("%x", sha256.Sum256(must(json.Marshal(e))))
			})
		}, 5},
		{"no entry any more", func(w directory.Writer) error { return w.Put(audit, entry(4), []byte("gone")) }, 4},
		{"first deleted", func(w directory.Writer) error { return w.Delete(audit, entry(1)) }, 1},
		{"middle deleted", func(w directory.Writer) error { return w.Delete(audit, entry(4)) }, 4},
		{"swapped", func(w directory.Writer) error {
			a, err := w.Get(audit, entry(4))
			if err != nil {
				return err
			}
			a = slices.Clone(a)
			b, err := w.Get(audit, entry(5))
			if err != nil {
				return err
			}
			b = slices.Clone(b)
			if err := w.Put(audit, entry(4), b); err != nil {
				return err
			}
			return w.Put(audit, entry(5), a)
		}, 4},
		{"one put in front", func(w directory.Writer) error {
			v, err := w.Get(audit, entry(1))
			if err != nil {
				return err
			}
			return w.Put(audit, append(entry(0), 0), slices.Clone(v))
		}, 2},
		{"one doubled", func(w directory.Writer) error {
			v, err := w.Get(audit, entry(4))
			if err != nil {
				return err
			}
			return w.Put(audit, append(entry(4), 0), slices.Clone(v))
		}, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := auditedScene(t)
			s.raw(test.tamper)
			err := s.svc.VerifyAudit(s.ctx)
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("entry %d", test.at)) {
				t.Errorf("VerifyAudit: %v, want entry %d", err, test.at)
			}
		})
	}
}

// An audit that nobody touched verifies, whatever text is in it.
func TestAuditOfOddTexts(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for _, text := range []string{"", "\xff\xfe", "a\u2028b", "<script>&", "\x00\x1f", "\ufffd", `"\`, "é", "e\u0301"} {
		by := directory.Actor{Role: directory.RoleOperator, ID: text, RequestID: text, Address: text, Channel: text}
		for _, detail := range []json.RawMessage{nil, json.RawMessage("null"), must(json.Marshal(text)), json.RawMessage(` { "a" : [ 1.0 , 1e3 ] } `)} {
			if err := s.svc.Audit(s.ctx, by, text, text, detail); err != nil {
				t.Error(err)
			}
		}
		_, _ = s.svc.CreateOrganization(s.ctx, by, "org "+text) // refused or not
	}
	if err := s.svc.VerifyAudit(s.ctx); err != nil {
		t.Error(err)
	}
}

// The audit tells who did what to what.
func TestAuditEntries(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	by := directory.Actor{Role: directory.RoleOperator, Channel: "cli", ID: "root", RequestID: "r", Address: "192.0.2.9"}
	must(s.svc.CreateOrganization(s.ctx, by, "New"))
	var last *directory.AuditEntry
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		return true, sn.Audit(0, func(e *directory.AuditEntry) bool { last = e; return true })
	})
	if last.Action != "organization.create" || last.Target != "New" || last.Actor != by || !last.Time.Equal(s.clock.Now()) {
		t.Errorf("entry: %+v", last)
	}
}

func TestLogFailure(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	before := s.dump()
	err := s.svc.LogFailure(s.ctx, push, directory.LogEvent{TenantID: s.fjord, Action: directory.ActionCreate, TargetType: "User", TargetName: "x",
		Detail: "userName is required", Status: directory.Success, Accesses: []directory.AccessEffect{{EnvironmentID: s.production}}})
	if err != nil {
		t.Fatal(err)
	}
	if e := s.lastLog(s.fjord); e.Status != directory.Failure || e.Detail != "userName is required" || e.Actor != push || len(e.Accesses) != 0 {
		t.Errorf("log: %+v", e)
	}
	if n := len(s.dump()) - len(before); n != 1 {
		t.Errorf("%d new rows, want 1", n)
	}
}
