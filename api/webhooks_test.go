package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

func TestWebhooks(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	fjord, nordwind := w.PartnerAPI(w.Fjord), w.PartnerAPI(w.Nordwind)
	in := map[string]any{"name": "HR", "url": "https://127.0.0.1.example.invalid/hook", "organizations": []directory.ID{w.Fjord.Organization.ID}}
	var made desk.NewWebhook
	if got := fjord.Call(http.MethodPost, "/webhooks", in, &made); got.Status != http.StatusCreated || made.Secret == "" {
		t.Fatalf("%d\n%s", got.Status, got.Body)
	}
	path := "/webhooks/" + made.Webhook.ID.String()
	for _, c := range []struct {
		who          *apptest.API
		method, path string
		in           any
		want         int
	}{
		{fjord, http.MethodGet, path, nil, 200},
		{fjord, http.MethodGet, path + "/deliveries?state=dead", nil, 200},
		{fjord, http.MethodGet, path + "/deliveries?state=odd", nil, 422},
		{fjord, http.MethodGet, path + "/deliveries/evt_1", nil, 404},
		{fjord, http.MethodGet, path + "/deliveries/odd", nil, 404},
		{fjord, http.MethodPost, path + "/pause", nil, 200},
		{fjord, http.MethodPost, path + "/test", nil, 409}, // paused
		{fjord, http.MethodPost, path + "/redeliver", nil, 202},
		{fjord, http.MethodPatch, path, map[string]any{"name": "Other"}, 200},
		{fjord, http.MethodPatch, path, map[string]any{"organizations": []directory.ID{}}, 422}, // everything is for operators
		{fjord, http.MethodPatch, path, map[string]any{"organizations": []directory.ID{w.Nordwind.Organization.ID}}, 422},
		{fjord, http.MethodPatch, path, map[string]any{"environments": []directory.ID{w.Nordwind.Production.ID}}, 422},
		{fjord, http.MethodPatch, path, map[string]any{"url": "https://[::1]/"}, 422},
		{fjord, http.MethodPost, path + "/rotate", map[string]any{"overlapHours": 0}, 200},
		{fjord, http.MethodPost, path + "/rotate", map[string]any{"overlapHours": 721}, 422},
		{nordwind, http.MethodGet, path, nil, 404},
		{nordwind, http.MethodGet, path + "/deliveries", nil, 404},
		{nordwind, http.MethodGet, path + "/deliveries/evt_1", nil, 404},
		{nordwind, http.MethodPatch, path, map[string]any{"name": "Mine"}, 404},
		{nordwind, http.MethodPost, path + "/pause", nil, 404},
		{nordwind, http.MethodPost, path + "/resume", nil, 404},
		{nordwind, http.MethodPost, path + "/test", nil, 404},
		{nordwind, http.MethodPost, path + "/redeliver", nil, 404},
		{nordwind, http.MethodPost, path + "/deliveries/evt_1/redeliver", nil, 404},
		{nordwind, http.MethodPost, path + "/rotate", map[string]any{}, 404},
		{nordwind, http.MethodDelete, path, nil, 404},
		{nordwind, http.MethodPost, "/webhooks", in, 422},
		{w.AdminAPI(w.Fjord), http.MethodGet, path, nil, 403},
		{w.AdminAPI(w.Fjord), http.MethodPost, "/webhooks", in, 403},
		{w.PartnerAPI(w.Fjord, "webhooks:write"), http.MethodPost, "/webhooks", in, 403},                                   // it could not know otherwise
		{w.PartnerAPI(w.Fjord, "webhooks:write"), http.MethodPatch, path, map[string]any{"url": "https://x.example"}, 403}, // nor send it elsewhere
		{w.PartnerAPI(w.Fjord, "webhooks:read"), http.MethodPost, path + "/pause", nil, 403},
		{w.OperatorAPI(), http.MethodPost, path + "/resume", nil, 200},
		{fjord, http.MethodDelete, path, nil, 204},
		{fjord, http.MethodGet, path, nil, 404},
	} {
		if got := c.who.Call(c.method, c.path, c.in, nil); got.Status != c.want {
			t.Errorf("%s %s %v: %d, not %d\n%s", c.method, c.path, c.in, got.Status, c.want, got.Body)
		}
	}
}

// TestBodiesOfDeliveriesAreChanges: which deliveries there are, webhooks:read tells; what they say, about people and what they may,
// changes:read alone.
func TestBodiesOfDeliveriesAreChanges(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	in := map[string]any{"name": "HR", "url": "https://hooks.example.invalid/", "organizations": []directory.ID{w.Fjord.Organization.ID}}
	var made desk.NewWebhook
	fjord := w.PartnerAPI(w.Fjord)
	fjord.Call(http.MethodPost, "/webhooks", in, &made)
	path := "/webhooks/" + made.Webhook.ID.String() + "/deliveries"
	_, err := w.Service.CreateUser(t.Context(), directory.Actor{Role: directory.RoleDirectory, Channel: "scim"}, w.Fjord.Tenant.ID,
		directory.UserInput{Profile: directory.Profile{UserName: "piet@fjord.example", Name: "Piet Bakker", Active: true}, Schemas: []byte(`[]`), Attributes: []byte(`{}`)})
	w.Must(err)
	var list desk.List[desk.Delivery]
	for deadline := time.Now().Add(time.Minute); len(list.Items) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no delivery")
		}
		fjord.Call(http.MethodGet, path, nil, &list)
	}
	at := path + "/" + list.Items[0].ID
	for _, c := range []struct {
		who  *apptest.API
		told bool
	}{
		{fjord, true},
		{w.PartnerAPI(w.Fjord, "webhooks:read", "changes:read"), true},
		{w.PartnerAPI(w.Fjord, "webhooks:read"), false},
		{w.PartnerAPI(w.Fjord, "webhooks:read", "webhooks:write", "users:read"), false},
		{w.OperatorAPI("webhooks:read"), false},
	} {
		got := c.who.Call(http.MethodGet, at, nil, nil)
		if got.Status != http.StatusOK || strings.Contains(got.Body, "Piet") != c.told {
			t.Errorf("told %v: %d %s", c.told, got.Status, got.Body)
		}
	}
	person := directory.Actor{Role: directory.RolePartner, Reach: &directory.Reach{Organizations: []directory.ID{w.Fjord.Organization.ID}}}
	if d, err := w.App.Desk().Delivery(t.Context(), person, made.Webhook.ID, list.Items[0].ID); err != nil || !strings.Contains(d.Request, "Piet") {
		t.Errorf("a person: %+v, %v", d, err)
	}
}

// TestPollTakesNoIdempotencyKey: tokens would be replayed after they were acknowledged, and with the webhook gone.
func TestPollTakesNoIdempotencyKey(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	fjord := w.PartnerAPI(w.Fjord)
	path := "/webhooks/" + pollable(w).String() + "/poll"
	if got := fjord.Call(http.MethodPost, "/webhooks/"+strings.Split(path, "/")[2]+"/test", nil, nil, "Idempotency-Key", "one"); got.Status != http.StatusAccepted {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	in := map[string]any{"returnImmediately": true}
	for range 2 {
		got := fjord.Call(http.MethodPost, path, in, nil, "Idempotency-Key", "one")
		if got.Status != http.StatusBadRequest || got.Header.Get("Idempotency-Replayed") != "" || !strings.Contains(got.Body, "takes no Idempotency-Key") || strings.Contains(got.Body, "sets") {
			t.Errorf("%d %s", got.Status, got.Body)
		}
	}
	var out desk.PollOutput
	if got := fjord.Call(http.MethodPost, path, in, &out); got.Status != http.StatusOK || len(out.Sets) != 1 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}
