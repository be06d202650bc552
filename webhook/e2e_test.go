package webhook_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/directory"
)

// make has somebody make a webhook in the console.
func create(b *apptest.Browser, form ...string) (id, secret string) {
	b.Helper()
	got := b.Post("/webhooks/new", form...)
	link := regexp.MustCompile(`href="/webhooks/([0-9a-f-]{36})"`).FindStringSubmatch(got.Body)
	text := regexp.MustCompile(`whsec_[^<"]+`).FindString(got.Body)
	if got.Status != http.StatusOK || link == nil || text == "" {
		b.Fatalf("%d\n%s", got.Status, got.Body)
	}
	return link[1], html.UnescapeString(text)
}

// deactivate has the directory of a customer say that somebody is not active any more, or is again.
func setActive(w *apptest.World, c *apptest.Customer, person int, active bool) {
	w.Helper()
	push := directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: c.Tenant.ID.String()}
	_, err := w.Service.UpdateUser(w.Context(), push, c.Tenant.ID, c.Users[person].ID, func(u *directory.User) (directory.UserInput, error) {
		in := directory.UserInput{Profile: u.Profile, Schemas: u.Schemas, Attributes: u.Attributes}
		in.Active = active
		return in, nil
	})
	w.Must(err)
}

// TestOneCustomerIsToldOfItsOwn is the whole way: a partner makes a webhook, people of both customers leave, and the
// endpoint is told of its own ones alone, signed.
func TestOneCustomerIsToldOfItsOwn(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	w := newWorld(t, r)
	partner := w.SignIn(w.Fjord.Partner)
	id, secret := create(partner, "name", "HR", "url", r.URL, "events", "some", "event", "user.updated", "organization", w.Fjord.Organization.ID.String())
	setActive(w, w.Nordwind, 2, false)
	setActive(w, w.Fjord, 2, false)
	got, m := r.next(secret)
	if m.Type != "user.updated" || m.Data.User == nil || m.Data.User.Name != "Ana Berg" || m.Data.Account != w.Fjord.Plain.ID.String() || !strings.HasPrefix(got.header.Get("webhook-id"), "evt_") {
		t.Errorf("%s", got.body)
	}
	if len(m.Data.Accesses) != 1 || m.Data.Accesses[0].Effect != directory.Deactivated || m.Data.Accesses[0].Environment != w.Fjord.Production.ID.String() {
		t.Errorf("%s", got.body)
	}
	// Rotated: both secrets sign.
	page := partner.Post("/webhooks/"+id+"/rotate", "hours", "24")
	newer := html.UnescapeString(regexp.MustCompile(`whsec_[^<"]+`).FindString(page.Body))
	setActive(w, w.Fjord, 2, true)
	r.next(secret, newer)
	// A test, which says that nothing happened.
	if got := partner.Post("/webhooks/"+id+"/act", "do", "test"); got.Status != http.StatusSeeOther {
		t.Fatalf("%d\n%s", got.Status, got.Body)
	}
	if _, m := r.next(newer); m.Type != "webhook.test" {
		t.Errorf("%+v", m)
	}
	if len(r.got) > 0 {
		t.Errorf("more came than should: %s", (<-r.got).body)
	}
	// Whoever lost the role has nobody told of anything any more.
	_, err := w.Service.SetRoles(t.Context(), apptest.Operator, w.Fjord.Partner.ID, directory.RoleInput{Partner: map[directory.ID]bool{w.Fjord.Organization.ID: false}})
	w.Must(err)
	setActive(w, w.Fjord, 2, false)
	setActive(w, w.Fjord, 2, true)
	waitFor(w, id, func(x *directory.Webhook, _ *directory.WebhookStatus) bool {
		return x.State == directory.WebhookDisabled
	})
	if len(r.got) > 0 {
		t.Errorf("told even so: %s", (<-r.got).body)
	}
}

// waitFor looks until a webhook is as it should be.
func waitFor(w *apptest.World, text string, is func(*directory.Webhook, *directory.WebhookStatus) bool) {
	w.Helper()
	id, _ := directory.ParseID(text)
	for deadline := time.Now().Add(time.Minute); ; tick() {
		done := false
		w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
			x, err := sn.Webhook(id)
			if err != nil {
				return err
			}
			st, err := sn.WebhookStatus(id)
			done = err == nil && is(x, st)
			return err
		}))
		if done {
			return
		}
		if time.Now().After(deadline) {
			w.Fatal("it did not come to that")
		}
	}
}
