package console_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// onceOf is the value in the form of a page that is sent to action, by which it is sent once.
func onceOf(t *testing.T, page apptest.Answer, action string) string {
	t.Helper()
	_, form, is := strings.Cut(page.Body, `action="`+html.EscapeString(action)+`"`)
	form, _, _ = strings.Cut(form, "</form>")
	value := regexp.MustCompile(`name="once" value="([A-Z2-7]{26})"`).FindStringSubmatch(form)
	if !is || value == nil {
		t.Fatalf("no form that is sent to %s once\n%s", action, page.Body)
	}
	return value[1]
}

// TestFormsThatMakeSecretsDoSoOnce sends each of them a second time, as loading the page anew that answered it does.
func TestFormsThatMakeSecretsDoSoOnce(t *testing.T) {
	t.Parallel()
	tenant := func(w *apptest.World) string { return "/tenants/" + w.Fjord.Tenant.ID.String() }
	token := func(w *apptest.World) string { return tokenForm(w).Get("token") }
	partner := func(w *apptest.World) *directory.Account { return w.Fjord.Partner }
	boss := func(w *apptest.World) *directory.Account { return w.Boss }
	guest := func(*apptest.World) *directory.Account { return nil }
	revoke := func(w *apptest.World) {
		id, _ := directory.ParseID(token(w))
		w.Must(w.Service.RevokeToken(w.Context(), apptest.Operator, w.Fjord.Tenant.ID, id))
	}
	ofLink := func(rest string) func(w *apptest.World) (page, action, back string, form []string) {
		return func(w *apptest.World) (page, action, back string, form []string) {
			link := newLink(t, w, "1")
			return link, link + rest, link + rest, []string{"token", token(w), "overlapHours", "0"}
		}
	}
	for name, c := range map[string]struct {
		who   func(*apptest.World) *directory.Account
		first func(*apptest.World) // furnishes the world
		of    func(*apptest.World) (page, action, back string, form []string)
		shows string
	}{
		"a Secret Token": {partner, nil, func(w *apptest.World) (string, string, string, []string) {
			return tenant(w) + "/tokens", tenant(w) + "/tokens", tenant(w) + "/tokens", []string{"name", "x", "days", "30"}
		}, "bzs_"},
		"a Secret Token in place of another": {partner, nil, func(w *apptest.World) (string, string, string, []string) {
			return tenant(w) + "/tokens", tenant(w) + "/tokens/rotate", tenant(w) + "/tokens/rotate", []string{"token", token(w), "overlapHours", "0"}
		}, "bzs_"},
		"a client": {partner, nil, func(w *apptest.World) (string, string, string, []string) {
			return tenant(w) + "/clients", tenant(w) + "/clients", tenant(w) + "/clients", []string{"kind", "secret", "days", "30", "tokenLifeHours", "1"}
		}, `id="client-secret"`},
		"a secret of a client": {partner, furnishMatrix, func(w *apptest.World) (string, string, string, []string) {
			return tenant(w) + "/clients", tenant(w) + "/clients/rotate", tenant(w) + "/clients/rotate", []string{"client", "matrix", "overlapHours", "0"}
		}, `id="client-secret"`},
		"a Secret Token of the guide": {partner, revoke, func(w *apptest.World) (string, string, string, []string) {
			return tenant(w) + "/guide", tenant(w) + "/guide/token", tenant(w) + "/guide/token", nil
		}, "bzs_"},
		"a Secret Token of the guide in place of another": {partner, nil, func(w *apptest.World) (string, string, string, []string) {
			return tenant(w) + "/guide", tenant(w) + "/guide/rotate", tenant(w) + "/guide/rotate", []string{"token", token(w), "overlapHours", "0"}
		}, "bzs_"},
		"a Secret Token by a setup link":                     {guest, revoke, ofLink("/token"), "bzs_"},
		"a Secret Token by a setup link in place of another": {guest, nil, ofLink("/rotate"), "bzs_"},
		"a setup link": {partner, nil, func(w *apptest.World) (string, string, string, []string) {
			return tenant(w) + "/guide", tenant(w) + "/link", tenant(w) + "/link", []string{"hours", "1"}
		}, "/connect/bzl_"},
		"an API token": {partner, nil, func(w *apptest.World) (string, string, string, []string) {
			return "/api-tokens/new", "/api-tokens", "/api-tokens", []string{"name", "x", "role", "partner", "organization", w.Fjord.Organization.ID.String(), "scope", "users:read", "days", "7"}
		}, "bzk_"},
		"an API token in place of another": {partner, furnishMatrix, func(w *apptest.World) (string, string, string, []string) {
			at := "/api-tokens/" + apiTokenOf(w)["id"]
			return at, at + "/rotate", at, []string{"overlap", "0"}
		}, "bzk_"},
		"a webhook": {partner, nil, func(w *apptest.World) (string, string, string, []string) {
			return "/webhooks/new", "/webhooks/new", "/webhooks", []string{"name", "x", "url", "https://127.0.0.1:1/hook", "organization", w.Fjord.Organization.ID.String()}
		}, "whsec_"},
		"a secret of a webhook": {partner, furnishWebhook, func(w *apptest.World) (string, string, string, []string) {
			at := "/webhooks/" + w.Fjord.Production.ID.String()
			return at, at + "/rotate", at, []string{"hours", "1"}
		}, "whsec_"},
		"an operator": {boss, nil, func(*apptest.World) (string, string, string, []string) {
			return "/settings/people", "/settings/people/invite", "/settings/people", []string{"email", "ida@maxedy.example", "name", "Ida"}
		}, "/password/bzl_"},
		"a link of an operator": {boss, nil, func(w *apptest.World) (string, string, string, []string) {
			at := "/settings/people/" + w.Boss.ID.String()
			return at, at + "/link", at, []string{"kind", "sign-in"}
		}, "/operator/link/bzl_"},
		"a user": {boss, nil, func(w *apptest.World) (string, string, string, []string) {
			return "/users/add", "/users/add", "/users", []string{"environment", w.Fjord.Finance.ID.String(), "email", "ida@elsewhere.example", "name", "Ida"}
		}, "/password/bzl_"},
		"a link of a user": {boss, nil, func(w *apptest.World) (string, string, string, []string) {
			added, err := w.App.Desk().AddUser(w.Context(), apptest.Operator, w.Fjord.Finance.ID, desk.NewUser{Email: "ida@elsewhere.example", Name: "Ida"})
			w.Must(err)
			at := "/users/" + added.Access.User.ID.String()
			return at, at + "/link", at, nil
		}, "/password/bzl_"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := apptest.New(t, allowLoopback)
			if c.first != nil {
				c.first(w)
			}
			b := w.SignIn(c.who(w))
			page, action, back, form := c.of(w)
			form = append(form, "once", onceOf(t, b.Get(page), action))
			if made := b.Post(action, form...); made.Status >= http.StatusMultipleChoices || !strings.Contains(made.Body, c.shows) {
				t.Fatalf("%d\n%s", made.Status, made.Body)
			}
			before := written(w)
			again := b.Post(action, form...)
			want(t, again, http.StatusConflict, "This was made already", "revoke it and make another", `class="button" href="`+back+`"`)
			if strings.Contains(again.Body, c.shows) {
				t.Errorf("it is shown again\n%s", again.Body)
			}
			if after := written(w); after != before {
				t.Errorf("sent again, the form did something: %s, before %s", after, before)
			}
			if got := b.Get(back); got.Status != http.StatusOK && got.Status != http.StatusSeeOther {
				t.Errorf("%s: %d", back, got.Status)
			}
		})
	}
}

// TestAFormIsSentOnceByItself sees that a second click makes nothing, and that nothing else is taken for one: not a form that
// was refused, nor that of another session.
func TestAFormIsSentOnceByItself(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	partner := w.SignIn(w.Fjord.Partner)
	form := func(once, name string) []string {
		return []string{"name", name, "role", "partner", "organization", w.Fjord.Organization.ID.String(), "scope", "users:read", "days", "7", "once", once}
	}
	tokens := func() (n int) {
		w.Must(w.Service.View(t.Context(), func(sn *directory.Snapshot) error {
			all, err := sn.SeeAPITokens(apptest.Operator)
			n = len(all)
			return err
		}))
		return n
	}
	const clicks = 8
	answers := make(chan int, clicks)
	for range clicks {
		go func() { answers <- partner.Post("/api-tokens", form("clicks", "x")...).Status }()
	}
	statuses := map[int]int{}
	for range clicks {
		statuses[<-answers]++
	}
	if statuses[http.StatusCreated] != 1 || statuses[http.StatusConflict] != clicks-1 || tokens() != 1 {
		t.Errorf("%d clicks were answered %v, and made %d tokens", clicks, statuses, tokens())
	}
	want(t, partner.Post("/api-tokens", form("refused", "")...), http.StatusUnprocessableEntity)
	want(t, partner.Post("/api-tokens", form("refused", "x")...), http.StatusCreated)
	want(t, w.SignIn(w.Fjord.Partner).Post("/api-tokens", form("refused", "x")...), http.StatusCreated)
	want(t, partner.Post("/api-tokens", form("", "x")...), http.StatusCreated) // a page of an older version
	want(t, partner.Post("/api-tokens", form("", "x")...), http.StatusCreated)
	if n := tokens(); n != 5 {
		t.Errorf("%d tokens", n)
	}
}

// TestOtherFormsAreNotKept sees that a form which makes nothing leaves no record behind, whatever it holds: anybody may send
// those of the pages that need no session, and as often as they like.
func TestOtherFormsAreNotKept(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	guest := w.SignIn(nil)
	for path, form := range map[string][]string{"/preferences": {"theme", "dark", "next", "/login"}, "/logout": nil, "/password": {"email", "ida@elsewhere.example"}} {
		for range 2 {
			if got := guest.Post(path, append(form, "once", "x")...); got.Status >= http.StatusBadRequest {
				t.Errorf("%s: %d\n%s", path, got.Status, got.Body)
			}
		}
	}
}

// TestHereIsAPage sees that a change of language leads back from what a form made to a page.
func TestHereIsAPage(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	furnishMatrix(w)
	partner := w.SignIn(w.Fjord.Partner)
	for action, page := range map[string]string{
		"/api-tokens/" + apiTokenOf(w)["id"] + "/rotate":          "/api-tokens/" + apiTokenOf(w)["id"],
		"/webhooks/" + w.Fjord.Production.ID.String() + "/rotate": "/webhooks/" + w.Fjord.Production.ID.String(),
		"/tenants/" + w.Fjord.Tenant.ID.String() + "/tokens":      "/tenants/" + w.Fjord.Tenant.ID.String() + "/tokens",
	} {
		got := partner.Post(action, "overlap", "1", "hours", "1", "name", "x")
		if got.Status >= http.StatusMultipleChoices || !strings.Contains(got.Body, `name="next" value="`+page+`"`) {
			t.Errorf("%s: %d\n%s", action, got.Status, got.Body)
		}
		want(t, partner.Get(page), http.StatusOK)
	}
	got := partner.Post("/tenants/"+w.Fjord.Tenant.ID.String()+"/link", "hours", "1")
	want(t, got, http.StatusCreated, `name="next" value="/tenants/`+w.Fjord.Tenant.ID.String()+`/link"`)
	if to := partner.Get("/tenants/" + w.Fjord.Tenant.ID.String() + "/link").To; to != "/tenants/"+w.Fjord.Tenant.ID.String()+"/guide" {
		t.Errorf("the setup link leads to %s", to)
	}
}
