package console_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/directory"
)

var setupLink = regexp.MustCompile(`/connect/bzl_[0-9A-Za-z]{49}`)

// newLink makes a setup link of Fjord's tenant as its partner.
func newLink(t *testing.T, w *apptest.World, hours string) string {
	t.Helper()
	got := w.SignIn(w.Fjord.Partner).Post("/tenants/"+w.Fjord.Tenant.ID.String()+"/link", "hours", hours)
	want(t, got, http.StatusCreated)
	link := setupLink.FindString(got.Body)
	if link == "" {
		t.Fatalf("no link\n%s", got.Body)
	}
	return link
}

func TestSetupLinkConnectsADirectory(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	link, guest := newLink(t, w, "24"), w.SignIn(nil)
	page := guest.Get(link)
	want(t, page, http.StatusOK, "Connect your directory", "/scim/fjord/v2?aadOptscim062020", "objectId", "GroupMember.Read.All")
	if page.Header.Get("Referrer-Policy") != "no-referrer" || page.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", page.Header)
	}
	for _, secret := range []string{"nordwind", "Fjord Logistics", "Production", "Berg", "berg@", "@fjord.example", "Trusted", "Boss", ", setup</dd>", "/dev/null", w.Fjord.Organization.ID.String()} {
		if strings.Contains(page.Body, secret) {
			t.Errorf("the guide shows %q", secret)
		}
	}
	made := guest.Post(link + "/token")
	want(t, made, http.StatusCreated)
	secret := secretToken.FindString(made.Body)
	want(t, guest.Get(link+"/state"), http.StatusOK, "Waiting for Test Connection")
	wantPush(t, w, "fjord", secret, http.StatusOK)
	waitFor(t, func() bool { return strings.Contains(guest.Get(link+"/state").Body, "Connected") })
	if again := guest.Get(link); secretToken.MatchString(again.Body) {
		t.Error("the Secret Token is shown again")
	}
	want(t, guest.Post(link+"/token"), http.StatusConflict, "has 2 live tokens")
	// The page is long: it is opened where something is wrong, and where what was saved stands.
	wrong := guest.Post(link+"/credential", "for", "sign-in", "kind", "secret", "clientId", "3f2a4f9f-0000-4b5e-9c60-00000000000a", "secret", "3f2a4f9f-0000-4b5e-9c60-00000000000a")
	want(t, wrong, http.StatusUnprocessableEntity, "This is the ID of a secret", `id="sign-in-secret" name="secret" aria-invalid="true" autofocus aria-describedby="sign-in-secret-error sign-in-secret-hint"`, `id="graph-secret" name="secret" aria-describedby="graph-secret-hint"`)
	saved := guest.Post(link+"/credential", "for", "sign-in", "kind", "secret", "clientId", "3f2a4f9f-0000-4b5e-9c60-00000000000a", "secret", "abc~secret-of-entra-0123456789")
	want(t, saved, http.StatusSeeOther)
	if path, part, _ := strings.Cut(saved.To, "#"); path != link+"?done=tenant-credential-set" || !strings.Contains(guest.Get(path).Body, `<li id="`+part+`">`) {
		t.Errorf("leads to %s", saved.To)
	}
	after := guest.Get(link)
	want(t, after, http.StatusOK, "abc…")
	if strings.Contains(after.Body, "secret-of-entra") {
		t.Error("the credential is shown again")
	}
	want(t, guest.Post(link+"/credential", "for", "graph", "kind", "federated", "tokenFile", "/etc/passwd"), http.StatusForbidden)
	want(t, guest.Post(link+"/credential", "for", "other", "kind", "secret", "secret", "abc~secret-of-entra-0123456789"), http.StatusNotFound)
	want(t, guest.Post(link+"/ids", "directoryId", w.Nordwind.Tenant.DirectoryID), http.StatusForbidden)
	want(t, guest.Post(link+"/ids", "graph.clientId", "3f2a4f9f-0000-4b5e-9c60-00000000000b"), http.StatusSeeOther)
	want(t, guest.Post(link+"/test"), http.StatusOK, "Application that synchronizes")

	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
		var acts []string
		err := sn.Audit(0, func(e *directory.AuditEntry) bool {
			if e.Actor.Channel == "setup link" {
				acts = append(acts, e.Action)
				if !strings.HasPrefix(e.Actor.ID, "setup link ") || e.Actor.Address == "" {
					t.Errorf("actor %+v", e.Actor)
				}
			}
			return true
		})
		if got := strings.Join(acts, " "); got != "token.create tenant.set credential.set tenant.set tenant.test" {
			t.Errorf("audit: %s", got)
		}
		return err
	}))
}

// waitFor asks until something is so: what a request notes is written after its answer.
func waitFor(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never happens")
		}
	}
}

// TestSetupLinkOpensOneTenant sees that a link leads nowhere else.
func TestSetupLinkOpensOneTenant(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	link, guest := newLink(t, w, "24"), w.SignIn(nil)
	tokens := func(tenant directory.ID) (all []*directory.Token) {
		w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) (err error) {
			all, err = sn.Tokens(tenant, directory.SecretToken)
			return err
		}))
		return all
	}
	theirs := tokens(w.Nordwind.Tenant.ID)
	want(t, guest.Post(link+"/rotate", "token", theirs[0].ID.String(), "overlapHours", "0"), http.StatusNotFound)
	if after := tokens(w.Nordwind.Tenant.ID); len(after) != 1 || !after[0].Expires.Equal(theirs[0].Expires) {
		t.Errorf("the other customer's tokens: %+v", after)
	}
	// Whatever else the form says, nothing but the ids changes.
	want(t, guest.Post(link+"/ids", "graph.clientId", "3f2a4f9f-0000-4b5e-9c60-00000000000b", "name", "taken", "organizations", w.Nordwind.Organization.ID.String(),
		"trustedDomains", "x.example", "tenant", w.Nordwind.Tenant.ID.String(), "id", w.Nordwind.Tenant.ID.String()), http.StatusSeeOther)
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
		for _, c := range []*apptest.Customer{w.Fjord, w.Nordwind} {
			now, err := sn.Tenant(c.Tenant.ID)
			if err != nil {
				return err
			}
			if now.Name != c.Tenant.Name || len(now.TrustedDomains) > 0 || now.OrganizationIDs[0] != c.Organization.ID {
				t.Errorf("%+v", now)
			}
		}
		return nil
	}))
	for _, path := range []string{"/tenants", "/tenants/" + w.Fjord.Tenant.ID.String(), "/environments"} {
		want(t, guest.Get(path), http.StatusSeeOther)
	}
	for _, path := range []string{"/link", "/link/revoke", "/settings", "/tokens/revoke"} {
		if got := guest.Post(link + path); got.Status != http.StatusNotFound && got.Status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", path, got.Status)
		}
	}
	// Another site cannot send its forms.
	for _, header := range [][]string{{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, nil} {
		got := guest.Do(http.MethodPost, link+"/token", nil, append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
		want(t, got, http.StatusForbidden)
	}
}

// Who guesses links is slowed down.
func TestSetupLinksCannotBeGuessed(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	guest, still := w.SignIn(nil), w.Now()
	for _, path := range []string{"/token", "/rotate", "/ids", "/credential", "/test"} {
		limited := false
		for range 1000 {
			w.Advance(still.Sub(w.Now())) // the clock stands still: a slow machine gains no tries
			if limited = guest.Post("/connect/bzl_0"+path).Status == http.StatusTooManyRequests; limited {
				break
			}
		}
		if !limited {
			t.Errorf("%s is never limited", path)
		}
	}
}

func TestSetupLinkEnds(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	guest, partner, at := w.SignIn(nil), w.SignIn(w.Fjord.Partner), "/tenants/"+w.Fjord.Tenant.ID.String()
	gone := func(link, why string) {
		t.Helper()
		unknown := guest.Get("/connect/bzl_0")
		for _, got := range []apptest.Answer{guest.Get(link), guest.Get(link + "/state"), guest.Post(link + "/token"), guest.Post(link + "/test"),
			guest.Post(link+"/ids", "graph.clientId", "3f2a4f9f-0000-4b5e-9c60-00000000000b")} {
			want(t, got, http.StatusNotFound, "Ask the person who sent it for a new link")
			if strings.Contains(strings.ToLower(got.Body), "fjord") || len(sameOf(got.Body)) != len(sameOf(unknown.Body)) && !strings.Contains(got.Body, "value=\"/connect/") {
				t.Errorf("%s: it tells of the tenant\n%s", why, got.Body)
			}
		}
	}
	first := newLink(t, w, "24")
	second := newLink(t, w, "1")
	gone(first, "replaced")
	want(t, guest.Get(second), http.StatusOK)
	gone(second[:len(second)-1], "cut")
	w.Advance(time.Hour + time.Second)
	gone(second, "over")
	third := newLink(t, w, "168")
	want(t, partner.Get(at+"/guide"), http.StatusOK, "A link works", "Jonas Berg")
	want(t, partner.Post(at+"/link/revoke"), http.StatusSeeOther)
	gone(third, "revoked")
	want(t, partner.Post(at+"/link/revoke"), http.StatusNotFound)
	want(t, partner.Post(at+"/link", "hours", "169"), http.StatusUnprocessableEntity, "1 to 168 hours")
	fourth := newLink(t, w, "24")
	_, err := w.Service.SetRoles(w.Context(), apptest.Operator, w.Fjord.Partner.ID, directory.RoleInput{Partner: map[directory.ID]bool{w.Fjord.Organization.ID: false}})
	w.Must(err)
	gone(fourth, "its partner is none any more")
}

// TestTenantPagesInBothLanguages sees that no page of a tenant misses a text in any language.
func TestTenantPagesInBothLanguages(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	boss, link := w.SignIn(w.Boss), newLink(t, w, "24")
	for lang, text := range map[string]string{"en": "Secret Token", "nl": "Secret Token"} {
		for _, path := range append(tenantPages(w.Fjord.Tenant), "/tenants", "/tenants/new", "/tenants?text=zzz", link) {
			got := boss.Do(http.MethodGet, path, nil, "Accept-Language", lang)
			want(t, got, http.StatusOK, `<html lang="`+lang+`"`)
			if strings.Contains(got.Body, "<no value>") || strings.Contains(got.Body, "ZgotmplZ") {
				t.Errorf("%s in %s: a value is missing", path, lang)
			}
		}
		want(t, boss.Do(http.MethodGet, tenantPages(w.Fjord.Tenant)[2], nil, "Accept-Language", lang), http.StatusOK, text)
	}
}
