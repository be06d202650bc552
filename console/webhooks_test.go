package console_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/directory"
)

var whsec = regexp.MustCompile(`whsec_[A-Za-z0-9+/=&#;]+`)

// allowLoopback has webhooks lead to this machine, where the tests are.
func allowLoopback(c *app.Config) { c.Webhooks.AllowPrivate = []string{"127.0.0.1"} }

// webhookID is that of the webhook which a page that shows its secret is about.
func webhookID(t *testing.T, a apptest.Answer) string {
	t.Helper()
	m := regexp.MustCompile(`href="/webhooks/([0-9a-f-]{36})"`).FindStringSubmatch(a.Body)
	if m == nil || a.Status != http.StatusOK || !whsec.MatchString(a.Body) {
		t.Fatalf("%d\n%s", a.Status, a.Body)
	}
	return m[1]
}

func TestWebhookPages(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, allowLoopback)
	partner := w.SignIn(w.Fjord.Partner)
	if got := partner.Get("/webhooks"); got.Status != http.StatusOK || !strings.Contains(got.Body, "No webhooks yet") {
		t.Fatalf("%d\n%s", got.Status, got.Body)
	}
	if got := partner.Get("/webhooks/new"); got.Status != http.StatusOK || strings.Contains(got.Body, "Nordwind") || !strings.Contains(got.Body, "Fjord Logistics") || strings.Contains(got.Body, "reach-all") {
		t.Fatalf("%d\n%s", got.Status, got.Body)
	}
	organization := w.Fjord.Organization.ID.String()
	evil := `"><script>alert(1)</script>`
	made := partner.Post("/webhooks/new", "name", evil, "url", "https://127.0.0.1:1/hook", "events", "some", "event", "user.updated", "organization", organization)
	id := webhookID(t, made)
	for _, path := range []string{"/webhooks", "/webhooks/" + id, "/webhooks/" + id + "/edit"} {
		got := partner.Get(path)
		if got.Status != http.StatusOK || strings.Contains(got.Body, "<script>alert") || whsec.MatchString(got.Body) {
			t.Errorf("%s: %d\n%s", path, got.Status, got.Body)
		}
		if got := partner.Do(http.MethodGet, path, nil, "Accept-Language", "nl"); got.Status != http.StatusOK || !strings.Contains(got.Body, `lang="nl"`) {
			t.Errorf("%s in Dutch: %d", path, got.Status)
		}
	}
	// To everybody else it is not there.
	for _, who := range []*directory.Account{w.Nordwind.Partner} {
		b := w.SignIn(who)
		if got := b.Get("/webhooks"); strings.Contains(got.Body, id) || got.Status != http.StatusOK {
			t.Errorf("%d\n%s", got.Status, got.Body)
		}
		for _, path := range []string{"", "/edit", "/live", "/deliveries/evt_1"} {
			if got := b.Get("/webhooks/" + id + path); got.Status != http.StatusNotFound {
				t.Errorf("GET %s: %d", path, got.Status)
			}
		}
		for path, form := range map[string][]string{"/act": {"do", "pause"}, "/rotate": {"hours", "0"}, "/edit": {"name", "x", "url", "https://x.example", "organization", organization}, "/deliveries/evt_1": nil} {
			if got := b.Post("/webhooks/"+id+path, form...); got.Status != http.StatusNotFound {
				t.Errorf("POST %s: %d", path, got.Status)
			}
		}
		if got := b.Post("/webhooks/new", "name", "x", "url", "https://x.example", "organization", organization); got.Status != http.StatusUnprocessableEntity || !strings.Contains(got.Body, "There is no organization") {
			t.Errorf("%d\n%s", got.Status, got.Body)
		}
	}
	for _, path := range []string{"/webhooks", "/webhooks/new", "/webhooks/" + id} {
		if got := w.SignIn(w.Fjord.Admin).Get(path); got.Status != http.StatusForbidden {
			t.Errorf("administrator, %s: %d", path, got.Status)
		}
	}
	// Acts.
	for _, step := range []struct{ do, want string }{{"pause", "Paused"}, {"resume", "Delivering|Nothing sent yet|Failing"}} {
		if got := partner.Post("/webhooks/"+id+"/act", "do", step.do); got.Status != http.StatusSeeOther {
			t.Fatalf("%s: %d\n%s", step.do, got.Status, got.Body)
		}
		if got := partner.Get("/webhooks/" + id); !regexp.MustCompile(`class="badge [a-z]+">(` + step.want + `)<`).MatchString(got.Body) {
			t.Errorf("after %s:\n%s", step.do, got.Body)
		}
	}
	first := whsec.FindString(made.Body)
	rotated := partner.Post("/webhooks/"+id+"/rotate", "hours", "24")
	if second := whsec.FindString(rotated.Body); rotated.Status != http.StatusOK || second == "" || second == first {
		t.Errorf("%d %q\n%s", rotated.Status, second, rotated.Body)
	}
	if got := partner.Post("/webhooks/"+id+"/rotate", "hours", "24"); got.Status != http.StatusConflict || whsec.MatchString(got.Body) || !strings.Contains(got.Body, "2 live secrets") {
		t.Errorf("a third secret: %d", got.Status)
	}
	if got := partner.Post("/webhooks/"+id+"/act", "do", "remove"); got.To != "/webhooks?done=webhook-removed" {
		t.Errorf("%d %s", got.Status, got.To)
	}
	if got := partner.Get("/webhooks/" + id); got.Status != http.StatusNotFound {
		t.Errorf("removed: %d", got.Status)
	}
}

func TestWebhookFormsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	boss := w.SignIn(w.Boss)
	for _, c := range []struct {
		form []string
		want string
	}{
		{[]string{"name", "", "url", "https://hooks.example"}, "A name is required."},
		{[]string{"name", "x", "url", "http://hooks.example"}, "must begin with https://"},
		{[]string{"name", "x", "url", "ftp://hooks.example"}, "must begin with https://"},
		{[]string{"name", "x", "url", ""}, "needs an address"},
		{[]string{"name", "x", "url", "nonsense"}, "of the form https://HOST/PATH"},
		{[]string{"name", "x", "format", "set-push", "url", ""}, "needs an address"},
		{[]string{"name", "x", "format", "set-poll", "url", "https://hooks.example"}, "leave the address out"},
		{[]string{"name", "x", "format", "set-poll", "audience", "orders"}, "is an absolute URI"},
		{[]string{"name", "x", "format", "set-poll", "events", "some", "event", "access.updated"}, "users and groups alone"},
		{[]string{"name", "x", "format", "xml", "url", "https://hooks.example"}, "no format"},
		{[]string{"name", "x", "url", "https://169.254.169.254/latest"}, "does not lead to a public network"},
		{[]string{"name", "x", "url", "https://user:pw@hooks.example"}, "must not hold a user"},
		{[]string{"name", "x", "url", "https://hooks.example/#x"}, "must not hold a fragment"},
		{[]string{"name", "x", "url", "https://hooks.example/" + strings.Repeat("x", 2048)}, "longer than 2048"},
		{[]string{"name", "x", "url", "https://hooks.example", "events", "some"}, "Choose at least one type"},
		{[]string{"name", "x", "url", "https://hooks.example", "events", "some", "event", "user.hacked"}, "no type of event"},
		{[]string{"name", "x", "url", "https://hooks.example", "reach", "some"}, "Choose at least one organization"},
		{[]string{"name", "x", "url", "https://hooks.example", "reach", "some", "organization", "x"}, "There is no organization"},
	} {
		got := boss.Post("/webhooks/new", c.form...)
		if got.Status != http.StatusUnprocessableEntity || !strings.Contains(got.Body, c.want) {
			t.Errorf("%v: %d, without %q\n%s", c.form, got.Status, c.want, got.Body)
		}
	}
}

// TestPagesOfTokens: a webhook whose tokens are posted says how to check them, one whose tokens are fetched where they are; a delivery
// shows what the token claims.
func TestPagesOfTokens(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, allowLoopback)
	partner := w.SignIn(w.Fjord.Partner)
	organization := w.Fjord.Organization.ID.String()
	keys := w.Server.URL + "/.well-known/jwks.json"
	made := partner.Post("/webhooks/new", "name", "push", "format", "set-push", "url", "https://127.0.0.1:1/x", "audience", "urn:hr", "organization", organization)
	for _, want := range []string{"whsec_", keys, "urn:hr", "202 Accepted"} {
		if !strings.Contains(made.Body, want) {
			t.Errorf("without %q: %s", want, made.Body)
		}
	}
	id := webhookID(t, made)
	if got := partner.Get("/webhooks/" + id); !strings.Contains(got.Body, "Security event tokens, posted") || !strings.Contains(got.Body, "urn:hr") || !strings.Contains(got.Body, keys) || strings.Contains(got.Body, "Rotate the secret") {
		t.Error(got.Body)
	}
	edit := partner.Get("/webhooks/" + id + "/edit").Body
	if !regexp.MustCompile(`value="set-push" checked`).MatchString(edit) || !strings.Contains(edit, `value="urn:hr"`) {
		t.Error(edit)
	}
	// From posted to fetched, as the form does it.
	if got := partner.Post("/webhooks/"+id+"/edit", "name", "poll", "format", "set-poll", "url", "", "audience", "", "organization", organization); got.Status != http.StatusSeeOther {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	page := partner.Get("/webhooks/" + id).Body
	address := w.Server.URL + "/api/v1/webhooks/" + id + "/poll"
	if !strings.Contains(page, address) || strings.Contains(page, "Rotate the secret") || strings.Contains(page, "127.0.0.1:1") {
		t.Error(page)
	}
	if edit := partner.Get("/webhooks/" + id + "/edit").Body; strings.Contains(edit, address) { // it is what stands there when nothing is chosen
		t.Error(edit)
	}
	if list := partner.Get("/webhooks").Body; !strings.Contains(list, "Security event tokens, fetched") {
		t.Error(list)
	}
	if got := partner.Post("/webhooks/"+id+"/act", "do", "test"); got.Status != http.StatusSeeOther {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	one := regexp.MustCompile(`/webhooks/` + id + `/deliveries/test_[0-9]+`).FindString(partner.Get("/webhooks/" + id).Body)
	if got := partner.Get(one).Body; !strings.Contains(got, "ssf/event-type/verification") || !strings.Contains(got, "The claims of the token") || strings.Contains(got, "<code>POST") {
		t.Error(got)
	}
	if got := partner.Post("/webhooks/new", "name", "third", "format", "json", "audience", "typed before", "url", "https://127.0.0.1:1/x", "organization", organization); got.Status != http.StatusOK {
		t.Errorf("an audience is in the way of JSON, which has none: %d %s", got.Status, got.Body)
	}
	if got := partner.Post("/webhooks/new", "name", "second", "format", "set-poll", "organization", organization); got.Status != http.StatusSeeOther || strings.Contains(got.Body, "whsec_") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}
