package e2e_test

import (
	"fmt"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/directory"
)

var webhookShots = []shot{
	{name: "webhooks", who: boss, path: at("/webhooks")},
	{name: "webhooks-empty", who: func(w *apptest.World) *directory.Account { return w.Nordwind.Partner }, path: at("/webhooks")},
	{name: "webhooks-new", who: boss, path: at("/webhooks/new")},
	{name: "webhooks-one", who: boss, path: func(w *apptest.World) string { return webhookPath(w, "HR dashboard") }},
	{name: "webhooks-disabled", who: boss, path: func(w *apptest.World) string { return webhookPath(w, "Door access") }},
	{name: "webhooks-delivery", who: boss, path: func(w *apptest.World) string { return webhookPath(w, "HR dashboard") + "/deliveries/" + deadLetter(w) }},
}

func webhookPath(w *apptest.World, name string) string {
	return "/webhooks/" + webhookNamed(w, name).ID.String()
}

func webhookNamed(w *apptest.World, name string) (found *directory.Webhook) {
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
		all, err := sn.Webhooks()
		for _, x := range all {
			if x.Name == name {
				found = x
			}
		}
		return err
	}))
	return found
}

func deadLetter(w *apptest.World) (id string) {
	hook := webhookNamed(w, "HR dashboard")
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
		return sn.DeliveriesOf(hook.ID, directory.DeliveryDead, 0, true, func(d *directory.Delivery) bool {
			id = fmt.Sprint("evt_", d.Sequence)
			return false
		})
	}))
	return id
}

// furnishWebhooks makes webhooks in several states. Deliveries are written down as if they had been made. Nothing can be sent:
// the secrets are sealed for another place and do not open, so nothing is signed.
func furnishWebhooks(w *apptest.World) {
	for _, x := range []struct {
		name, url string
		reach     directory.Reach
		answers   []int
	}{
		{"HR dashboard", "https://hr.fjord-logistics.example/hooks/bizzstream", directory.Reach{Organizations: []directory.ID{w.Fjord.Organization.ID}}, []int{500, 204, 503, 204, 204, 0}},
		{"BizzStream core", "https://events.bizzstream.example/v1/directory", directory.Reach{}, []int{200, 200, 200, 200, 200}},
		{"Door access", "https://doors.fjord-logistics.example/notify", directory.Reach{Environments: []directory.ID{w.Fjord.Production.ID}}, []int{200, 410}},
		{"Nordwind archive", "https://archive.nordwind.example/in", directory.Reach{Organizations: []directory.ID{w.Nordwind.Organization.ID}}, nil},
	} {
		secret := directory.NewWebhookSecret{ID: w.Service.NewID()}
		var err error
		secret.Sealed, err = w.App.Desk().Seal([]byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "the place of another")
		w.Must(err)
		hook, err := w.Service.CreateWebhook(w.Context(), apptest.Operator, w.Service.NewID(), directory.WebhookInput{Name: &x.name, URL: &x.url, Reach: &x.reach}, nil, secret)
		w.Must(err)
		furnishDeliveries(w, hook, x.answers)
	}
	paused := webhookNamed(w, "Nordwind archive")
	_, err := w.Service.PauseWebhook(w.Context(), apptest.Operator, paused.ID)
	w.Must(err)
}

// beyond is more than events are made in a world: a webhook whose cursor is moved by it finds none.
const beyond = 1 << 32

func furnishDeliveries(w *apptest.World, hook *directory.Webhook, answers []int) {
	var events []*directory.OutboxEvent
	var status *directory.WebhookStatus
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) (err error) {
		if status, err = sn.WebhookStatus(hook.ID); err != nil {
			return err
		}
		return sn.Outbox(0, func(e *directory.OutboxEvent) bool {
			if e.TenantID == w.Fjord.Tenant.ID && len(events) < len(answers) {
				events = append(events, e)
			}
			return len(events) < len(answers)
		})
	}))
	var all []directory.Delivery
	for i, e := range events {
		all = append(all, directory.Delivery{Sequence: e.Sequence, Type: e.Type, Time: w.Now().Add(-time.Duration(len(events)-i) * 17 * time.Minute)})
	}
	w.Must(w.Service.AdmitDeliveries(w.Context(), hook.ID, status.Cursor, status.Cursor+beyond, all))
	for i, e := range events {
		s := directory.Settlement{State: directory.DeliveryDelivered, Attempt: directory.Attempt{At: w.Now().Add(-time.Minute), Duration: time.Duration(38+7*i) * time.Millisecond, Status: answers[i]}}
		attempts := 1
		switch answers[i] {
		case 500:
			s.State, s.Attempt.Error, s.Attempt.Answer = directory.DeliveryDead, "the endpoint answered 500 Internal Server Error", `{"error":"database is read-only","ticket":"HR-4471"}`
			attempts = 13
		case 503:
			s.State, s.Next, s.Attempt.Error = directory.DeliveryPending, w.Now().Add(3*time.Hour), "the endpoint answered 503 Service Unavailable"
			attempts = 8
		case 410:
			s.State, s.Disable, s.Attempt.Error = directory.DeliveryDead, "the endpoint answered 410 Gone: it wants no more", "the endpoint answered 410 Gone"
		case 0:
			s.State, s.Next, s.Attempt.Error = directory.DeliveryPending, w.Now().Add(2*time.Hour), "no answer within 10 s"
			s.Attempt.Duration, attempts = 10*time.Second, 7
		}
		last := s.State
		for s.State = directory.DeliveryPending; attempts > 1; attempts-- { // those that failed before
			w.Must(w.Service.SettleDelivery(w.Context(), hook.ID, e.Sequence, s))
		}
		s.State = last
		w.Must(w.Service.SettleDelivery(w.Context(), hook.ID, e.Sequence, s))
	}
}
