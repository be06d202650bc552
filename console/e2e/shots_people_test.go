package e2e_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

func ofNordwind(rest string) func(*apptest.World) string {
	return func(w *apptest.World) string { return "/tenants/" + w.Nordwind.Tenant.ID.String() + rest }
}

// peopleShots are the pages of everybody, and those that answer a form: secrets that are shown once, and a refusal.
var peopleShots = []shot{
	{name: "login", path: at("/login")},
	{name: "login-error", path: at("/login"), open: "#email := anna@unknown.example ; form:has(#email) button"},
	{name: "login-no-access", path: noAccessPath, open: "button[data-upn^=marta]"},
	{name: "login-not-provisioned", path: strangerPath, open: "button[data-upn^=sigrid]"},
	{name: "login-start-again", path: at("/auth/callback?code=x&state=y")},
	{name: "login-not-set-up", path: at("/login/environment/0")},
	{name: "signed-out", path: at("/signed-out")},
	{name: "signed-out-idle", path: at("/signed-out?reason=idle&next=/users")},
	{name: "signed-out-deactivated", path: at("/signed-out?reason=deactivated")},
	{name: "signed-out-here", path: at("/signed-out?reason=signed-out-here")},
	{name: "operator", path: at("/operator")},
	{name: "operator-error", path: at("/operator"), open: "#email := boss@maxedy.example ; #password := not this one ; form:has(#password) button"},
	{name: "operator-link", path: linkPath(directory.LinkSignIn)},
	{name: "operator-link-over", path: at("/operator/link/bzl_0")},
	{name: "setup", path: setupPath},
	{name: "setup-error", path: setupPath, open: "#email := eva@maxedy.example ; #name := Eva Roos ; #password := short ; #again := other ; form:has(#again) button"},
	{name: "password", path: at("/password")},
	{name: "password-link", path: linkPath(directory.LinkPassword)},
	{name: "password-link-error", path: linkPath(directory.LinkPassword), open: "#password := one thing ; #again := another thing ; form:has(#again) button"},
	{name: "account", who: boss, path: at("/account")},
	{name: "account-directory", who: admin, path: at("/account")},
	{name: "account-factor", who: boss, path: at("/account/second-factor")},
	{name: "account-factor-error", who: boss, path: at("/account/second-factor"), open: "#password := not this one ; #code := 123456 ; form:has(#code) button"},
	{name: "home-user", who: func(w *apptest.World) *directory.Account { return w.Fjord.Plain }, path: at("/")},
	{name: "apitokens-secret", who: boss, path: at("/api-tokens/new"), open: `#name := Payroll ; #role-operator ; input[value="users:read"] ; form.card button[type=submit]`},
	{name: "tenants-token-secret", who: boss, path: ofNordwind("/tokens"), open: "section[aria-labelledby=new] button"},
	{name: "tenants-client-secret", who: boss, path: ofNordwind("/clients"), open: `form.column[action$="/clients"] button[type=submit]`},
	{name: "tenants-link-secret", who: boss, path: ofNordwind("/guide"), open: `form[action$="/link"] button`},
	{name: "webhooks-secret", who: boss, path: func(w *apptest.World) string { return webhookPath(w, "Nordwind archive") }, open: "#rotate summary ; #rotate button"},
	{name: "run-refused", who: boss, path: environmentPage("Fjord Logistics", "Warehouse", ""), open: `form[action$="/sync"]:not(:has(input)) button`},
}

// linkMade is the one-time link of a kind that a world's operator has: a newer one would end it.
type linkMade struct {
	w    *apptest.World
	kind directory.LinkKind
}

var linksMade = map[linkMade]string{}

// linkPath is a one-time link of the operator.
func linkPath(kind directory.LinkKind) func(*apptest.World) string {
	return func(w *apptest.World) string {
		made := linkMade{w, kind}
		if linksMade[made] == "" {
			secret := auth.NewLinkSecret()
			_, err := w.Service.CreateLink(w.Context(), apptest.Operator, kind, w.Boss.ID, secret.Hash, time.Hour)
			w.Must(err)
			linksMade[made] = auth.LinkPath(kind, secret.Text)
		}
		return linksMade[made]
	}
}

// setupPath is the link of the first operator of a server that has none.
func setupPath(w *apptest.World) string {
	notices := make(chan string, 4)
	fresh, err := app.New(app.Config{Data: w.TempDir(), Listen: "127.0.0.1:0"}, app.Options{Notice: func(text string) { notices <- text }})
	w.Must(err)
	w.Cleanup(func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(w.Context()), time.Minute)
		defer cancel()
		if err := fresh.Close(stop); err != nil {
			w.Error(err)
		}
	})
	w.Must(fresh.Start(w.Context()))
	select {
	case text := <-notices:
		link, _, _ := strings.Cut(text[strings.Index(text, fresh.URL()):], "\n")
		return link
	default:
		w.Fatal("the first start printed no link for the first operator")
		return ""
	}
}

// strangerPath is a sign-in at a server with a directory, which somebody has whom nobody has pushed.
func strangerPath(w *apptest.World) string {
	return withDirectory(w).signInURL()
}

// noAccessPath is a sign-in at a server with a directory, of whose people none has an access any more.
func noAccessPath(w *apptest.World) string {
	s := withDirectory(w)
	group := s.tenant.CreateGroup("Nobody yet")
	_, _, err := s.app.Service().SetIntegration(w.Context(), operator, s.environment.ID, directory.IntegrationInput{Groups: []string{group.ID}})
	w.Must(err)
	return s.signInURL()
}

func withDirectory(w *apptest.World) *world {
	t, ok := w.TB.(*testing.T)
	if !ok {
		w.Fatal("not within a test")
	}
	return newWorld(t, 0)
}

func (w *world) signInURL() string {
	return w.app.URL() + "/login/environment/" + w.environment.ID.String()
}

// furnishRefused makes an environment whose Sync is refused: nobody has entered a credential.
func furnishRefused(w *apptest.World) {
	var tenant *directory.Tenant
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) (err error) {
		tenant, err = sn.TenantByName("fjord-gov")
		return err
	}))
	env, err := w.Service.CreateEnvironment(w.Context(), apptest.Operator, w.Fjord.Organization.ID, "Warehouse")
	w.Must(err)
	on := true
	_, _, err = w.Service.SetIntegration(w.Context(), apptest.Operator, env.ID, directory.IntegrationInput{Enabled: &on, TenantID: &tenant.ID, Groups: []string{w.Fjord.GroupID}, DefaultMenus: []string{"Orders"}})
	w.Must(err)
}
