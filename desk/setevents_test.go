package desk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// TestSecurityEvents is what an event of the outbox becomes, one of an earlier version too.
func TestSecurityEvents(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	hook := &directory.Webhook{ID: w.Service.NewID(), Role: directory.RoleOperator, Format: directory.FormatPush, URL: "https://hooks.example/"}
	user := fmt.Sprintf(`"time":"2026-11-23T12:00:00Z","tenantId":%q,"userId":%q,"accountId":%q`, w.Fjord.Tenant.ID, w.Fjord.Users[2].ID, w.Fjord.Plain.ID)
	group := fmt.Sprintf(`"time":"2026-11-23T12:00:00Z","tenantId":%q,"groupId":%q`, w.Fjord.Tenant.ID, w.Fjord.Group.ID)
	gone := fmt.Sprintf(`"time":"2026-11-23T12:00:00Z","tenantId":%q,"userId":%q`, w.Fjord.Tenant.ID, w.Service.NewID())
	const p = "urn:ietf:params:scim:event:prov:"
	for _, c := range []struct{ name, event, want, txn string }{
		{"of an earlier version, active", `"sequence":7,"type":"user.updated","active":true,` + user, `{"` + p + `activate":{},"` + p + `patch:notice":{"attributes":[]}}`, "txn_7"},
		{"of an earlier version, inactive", `"sequence":7,"type":"user.updated","active":false,` + user, `{"` + p + `deactivate":{},"` + p + `patch:notice":{"attributes":[]}}`, "txn_7"},
		{"of an earlier version, gone", `"sequence":7,"type":"user.deleted","active":false,` + gone, `{"` + p + `delete":{}}`, "txn_7"},
		{"of an earlier version, a group", `"sequence":7,"type":"group.updated","membersAdded":[],` + group, `{"` + p + `patch:notice":{"attributes":[]}}`, "txn_7"},
		{"created", `"sequence":7,"type":"user.created","active":true,"attributes":["userName"],"resourceVersion":1,` + user, `{"` + p + `activate":{},"` + p + `create:notice":{"attributes":["userName"],"version":"W/\"1\""}}`, "txn_7"},
		{"created inactive", `"sequence":7,"type":"user.created","active":false,"resourceVersion":1,` + user, `{"` + p + `create:notice":{"attributes":[],"version":"W/\"1\""},"` + p + `deactivate":{}}`, "txn_7"},
		{"changed, still active", `"sequence":8,"first":7,"type":"user.updated","method":"patch","active":true,"attributes":["title"],"resourceVersion":2,` + user, `{"` + p + `patch:notice":{"attributes":["title"],"version":"W/\"2\""}}`, "txn_7"},
		{"enabled", `"sequence":8,"type":"user.updated","method":"put","active":true,"switched":true,"attributes":["active"],"resourceVersion":2,` + user, `{"` + p + `activate":{},"` + p + `put:notice":{"attributes":["active"],"version":"W/\"2\""}}`, "txn_8"},
		{"a person whose access alone changed", `"sequence":7,"type":"user.updated","method":"none","active":true,` + user, "", ""},
		{"accesses", `"sequence":7,"type":"access.updated",` + user, "", ""},
		{"a setting", fmt.Sprintf(`"sequence":7,"type":"access.derived","tenantId":%q`, w.Fjord.Tenant.ID), "", ""},
		{"a person of nobody's directory", fmt.Sprintf(`"sequence":7,"type":"user.updated","userId":%q,"accountId":%q`, w.Fjord.Users[2].ID, w.Fjord.Plain.ID), "", ""},
		{"what a later version tells", `"sequence":7,"type":"user.merged",` + user, "", ""},
	} {
		var e directory.OutboxEvent
		w.Must(json.Unmarshal([]byte("{"+c.event+"}"), &e))
		var got *desk.SecurityEvent
		w.Must(w.Service.View(t.Context(), func(sn *directory.Snapshot) (err error) {
			got, err = w.App.Desk().SecurityEvent(sn, hook, &e)
			return err
		}))
		if got == nil || c.want == "" {
			if (got == nil) != (c.want == "") {
				t.Errorf("%s: %+v", c.name, got)
			}
			continue
		}
		text, err := json.Marshal(got.Events)
		w.Must(err)
		if string(text) != c.want || got.Txn != c.txn || got.IssuedAt != e.Time.Unix() || got.Time != e.Time.Unix() || got.Audience != hook.URL || got.ID != fmt.Sprintf("evt_%d.%s", e.Sequence, hook.ID) {
			t.Errorf("%s: %s %+v", c.name, text, got)
		}
	}
}

// pollNow is what waits for a receiver at this moment.
func pollNow(w *apptest.World, id directory.ID, in *desk.PollInput) *desk.PollOutput {
	w.Helper()
	out, err := w.App.Desk().Poll(w.Context(), func(context.Context) (directory.Actor, error) { return apptest.Operator, nil }, id, in, time.Hour)
	w.Must(err)
	return out
}

// TestHowManyTokensArePolled: what a receiver asks for, within what the server gives.
func TestHowManyTokensArePolled(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	name, format := "stream", "set-poll"
	made, err := w.App.Desk().CreateWebhook(t.Context(), apptest.Operator, desk.WebhookInput{Name: &name, Format: &format})
	w.Must(err)
	id := made.Webhook.ID
	push := directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: w.Fjord.Tenant.ID.String()}
	for i := range 130 {
		_, err := w.Service.CreateUser(t.Context(), push, w.Fjord.Tenant.ID, directory.UserInput{Profile: directory.Profile{UserName: fmt.Sprint("n", i)}, Schemas: []byte(`[]`), Attributes: []byte(`{}`)})
		w.Must(err)
	}
	for waiting := int64(0); waiting < 130; time.Sleep(time.Millisecond) {
		w.Must(w.Service.View(t.Context(), func(sn *directory.Snapshot) (err error) {
			waiting, err = sn.DeliveryCount(id, directory.DeliveryPending)
			return err
		}))
	}
	for _, c := range []struct {
		most *int
		want int
		more bool
	}{{nil, 100, true}, {new(1000), 100, true}, {new(7), 7, true}, {new(0), 0, true}, {new(-5), 0, true}} {
		out := pollNow(w, id, &desk.PollInput{MaxEvents: c.most, ReturnImmediately: true})
		if len(out.Sets) != c.want || out.More != c.more {
			t.Errorf("%v: %d, %v", c.most, len(out.Sets), out.More)
		}
	}
	out := pollNow(w, id, &desk.PollInput{ReturnImmediately: true})
	var acks []string
	for jti := range out.Sets {
		acks = append(acks, jti)
	}
	rest := pollNow(w, id, &desk.PollInput{ReturnImmediately: true, Ack: acks})
	if len(rest.Sets) != 30 || rest.More || slices.ContainsFunc(acks, func(jti string) bool { return rest.Sets[jti] != "" }) {
		t.Errorf("%d, %v", len(rest.Sets), rest.More)
	}
}

// TestAudienceOfAnApplication: no token is for the audience of an application behind a proxy, whichever of the two came first.
func TestAudienceOfAnApplication(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	const taken = "https://orders.example"
	with := func(audiences ...string) *desk.Desk {
		return desk.New(desk.Config{Service: w.Service, URL: func() string { return "https://id.example" }, Now: w.Now, Assertions: audiences,
			Seal: func([]byte, string) (string, error) { return "sealed", nil }, CheckAddress: func(string) error { return nil }})
	}
	before, after := with(), with("https://other.example", taken)
	hooks := map[string]desk.WebhookInput{
		"audience": {Name: new("a"), Format: new("set-poll"), Audience: new(taken)},
		"address":  {Name: new("b"), Format: new("set-push"), URL: new(taken)},
		"json":     {Name: new("c"), Format: new("json"), URL: new(taken)},
		"another":  {Name: new("d"), Format: new("set-poll"), Audience: new("https://hr.example")},
	}
	ids := map[string]directory.ID{}
	for name, in := range hooks {
		clashes := name == "audience" || name == "address"
		if _, err := after.CreateWebhook(t.Context(), apptest.Operator, in); (directory.KindOf(err) == directory.Invalid) != clashes {
			t.Errorf("%s: %v", name, err)
		}
		made, err := before.CreateWebhook(t.Context(), apptest.Operator, in)
		w.Must(err)
		ids[name] = made.Webhook.ID
	}
	w.Must(before.DisableTaken(t.Context()))
	state := func(name string) string {
		got, err := after.Webhook(t.Context(), apptest.Operator, ids[name])
		w.Must(err)
		return got.State
	}
	for name, id := range ids {
		if got := state(name); got != "active" {
			t.Errorf("%s: %s before the application is there", name, got)
		}
		if name == "audience" { // while it is paused, nothing is told
			_, err := before.PauseWebhook(t.Context(), apptest.Operator, id)
			w.Must(err)
		}
	}
	w.Must(after.DisableTaken(t.Context()))
	for name, want := range map[string]string{"audience": "paused", "address": "disabled", "json": "active", "another": "active"} {
		if got := state(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		_, err := after.ResumeWebhook(t.Context(), apptest.Operator, ids[name])
		if clashes := want != "active"; clashes != (directory.KindOf(err) == directory.Conflict && err != nil) {
			t.Errorf("%s resumed: %v", name, err)
		}
	}
	// With another audience it goes on.
	_, err := after.SetWebhook(t.Context(), apptest.Operator, ids["address"], desk.WebhookInput{Audience: new("https://events.example")})
	w.Must(err)
	_, err = after.ResumeWebhook(t.Context(), apptest.Operator, ids["address"])
	w.Must(err)
	if got := state("address"); got != "active" {
		t.Errorf("%s with another audience", got)
	}
}
