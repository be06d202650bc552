package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/directory"
)

// TestEnglishOnDutchPagesIsMarked sees that what the directory says, which stays English, is marked so, and that our own
// texts are not.
func TestEnglishOnDutchPagesIsMarked(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	dutch := func(who *directory.Account, path string, form url.Values) apptest.Answer {
		t.Helper()
		b := w.SignIn(who)
		got := b.Do(http.MethodPost, path, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded", "Origin", b.Server.URL, "Sec-Fetch-Site", "same-origin", "Accept-Language", "nl")
		return has(t, got, http.StatusUnprocessableEntity, `<html lang="nl"`)
	}
	has(t, dutch(w.Boss, "/tenants/new", url.Values{"name": {"Not A Name"}, "organizations": {w.Fjord.Organization.ID.String()}}), http.StatusUnprocessableEntity,
		`<p class="error" id="name-error"><span lang="en">`)
	at := "/environments/" + w.Fjord.Production.ID.String() + "/integration"
	form := integrationForm(w)
	form.Set("groups", "<script>x")
	got := has(t, dutch(w.Fjord.Admin, at, form), http.StatusUnprocessableEntity, `id="groups-error"><span lang="en">`, "&lt;script&gt;x")
	lacks(t, got, "<script>x")
	form.Set("groups", "") // our own text
	lacks(t, has(t, dutch(w.Fjord.Admin, at, form), http.StatusUnprocessableEntity, `id="groups-error">`), `<span lang="en">`)
}

func TestStaffPagesAreForStaff(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	for _, c := range []struct {
		who  *apptest.Browser
		want int
	}{{w.SignIn(nil), http.StatusSeeOther}, {w.SignIn(w.Fjord.Plain), http.StatusForbidden}, {w.SignIn(w.Fjord.Admin), http.StatusOK}, {w.SignIn(w.Fjord.Partner), http.StatusOK}, {w.SignIn(w.Boss), http.StatusOK}} {
		got := c.who.Get("/environments")
		if got.Status != c.want {
			t.Errorf("%d, not %d\n%s", got.Status, c.want, got.Body)
		}
		if c.want == http.StatusOK && !strings.Contains(got.Body, `<span>Environments</span></a>`) {
			t.Errorf("the navigation does not say where one is\n%s", got.Body)
		}
	}
}
