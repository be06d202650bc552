package directory_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
)

var webhookTypes = []string{"user.created", "user.updated", "access.updated"}

func webhookInput(name string, reach directory.Reach) directory.WebhookInput {
	return directory.WebhookInput{Name: new(name), URL: new("https://hooks.example/" + name), Reach: &reach}
}

func (w *world) webhookSecret() directory.NewWebhookSecret {
	id := w.newID()
	return directory.NewWebhookSecret{ID: id, Sealed: "sealed " + id.String()}
}

func (w *world) createWebhook(by directory.Actor, name string, reach directory.Reach) (*directory.Webhook, error) {
	return w.svc.CreateWebhook(w.ctx, by, w.newID(), webhookInput(name, reach), webhookTypes, w.webhookSecret())
}

// webhook is one that an operator makes, for fjord's organization.
func (s *scene) webhook(name string) *directory.Webhook {
	s.Helper()
	return must(s.createWebhook(operator, name, directory.Reach{Organizations: []directory.ID{s.org}}))
}

// hook reads a webhook.
func (w *world) hook(id directory.ID) *directory.Webhook {
	w.Helper()
	return view(w, func(sn *directory.Snapshot) (*directory.Webhook, error) { return sn.Webhook(id) })
}

func (w *world) hookStatus(id directory.ID) *directory.WebhookStatus {
	w.Helper()
	return view(w, func(sn *directory.Snapshot) (*directory.WebhookStatus, error) { return sn.WebhookStatus(id) })
}

func (w *world) stands(id directory.ID) bool {
	w.Helper()
	return view(w, func(sn *directory.Snapshot) (bool, error) {
		hook, err := sn.Webhook(id)
		if err != nil {
			return false, err
		}
		return sn.WebhookStands(hook)
	})
}

// admit has deliveries on their way, wherever the cursor is.
func (w *world) admit(id directory.ID, sequences ...uint64) {
	w.Helper()
	var all []directory.Delivery
	for _, n := range sequences {
		all = append(all, directory.Delivery{Sequence: n, Type: "user.updated", Time: w.clock.Now()})
	}
	at := w.hookStatus(id).Cursor
	if err := w.svc.AdmitDeliveries(w.ctx, id, at, at, all); err != nil {
		w.Fatalf("AdmitDeliveries: %v", err)
	}
}

func (w *world) settle(id directory.ID, sequence uint64, r directory.Settlement) {
	w.Helper()
	if err := w.svc.SettleDelivery(w.ctx, id, sequence, r); err != nil {
		w.Fatalf("SettleDelivery: %v", err)
	}
}

// deliveries are those of a webhook by their state, oldest first.
func (w *world) deliveries(id directory.ID) map[directory.DeliveryState][]uint64 {
	w.Helper()
	return view(w, func(sn *directory.Snapshot) (map[directory.DeliveryState][]uint64, error) {
		all, listed := map[directory.DeliveryState][]uint64{}, 0
		for _, state := range []directory.DeliveryState{directory.DeliveryPending, directory.DeliveryDelivered, directory.DeliveryDead} {
			if err := sn.DeliveriesOf(id, state, 0, false, func(d *directory.Delivery) bool {
				if d.State != state {
					w.Errorf("%d is listed as %s and is %s", d.Sequence, state, d.State)
				}
				all[state] = append(all[state], d.Sequence)
				listed++
				return true
			}); err != nil {
				return nil, err
			}
			if n := must(sn.DeliveryCount(id, state)); int(n) != len(all[state]) {
				w.Errorf("%d deliveries are counted as %s, %d listed", n, state, len(all[state]))
			}
		}
		err := sn.Deliveries(id, 0, func(*directory.Delivery) bool { listed--; return true })
		if listed != 0 {
			w.Errorf("%d deliveries more by state than in all", listed)
		}
		return all, err
	})
}

func (w *world) wantDeliveries(id directory.ID, want map[directory.DeliveryState][]uint64) {
	w.Helper()
	if diff := cmp.Diff(want, w.deliveries(id)); diff != "" {
		w.Errorf("deliveries: %s", diff)
	}
}

func (w *world) delivery(id directory.ID, sequence uint64) *directory.Delivery {
	w.Helper()
	return view(w, func(sn *directory.Snapshot) (*directory.Delivery, error) { return sn.Delivery(id, sequence) })
}

// acts are the actions in the audit whose name begins so.
func (w *world) acts(prefix string) (all []*directory.AuditEntry) {
	w.Helper()
	return view(w, func(sn *directory.Snapshot) ([]*directory.AuditEntry, error) {
		err := sn.Audit(0, func(e *directory.AuditEntry) bool {
			if strings.HasPrefix(e.Action, prefix) {
				all = append(all, e)
			}
			return true
		})
		return all, err
	})
}

var (
	arrived = directory.Settlement{State: directory.DeliveryDelivered, Attempt: directory.Attempt{Status: 204}}
	givenUp = directory.Settlement{State: directory.DeliveryDead, Attempt: directory.Attempt{Status: 500, Error: "no"}}
	delayed = directory.Settlement{State: directory.DeliveryPending, Attempt: directory.Attempt{Status: 503, Error: "not now"}}
)

// TestWebhooksOfOthersAreNotThere: to who may not see a webhook each method answers as if there were none.
func TestWebhooksOfOthersAreNotThere(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	other := s.other()
	reach := func(orgs []directory.ID, envs ...directory.ID) directory.Reach {
		return directory.Reach{Organizations: orgs, Environments: envs}
	}
	created := func(name string, r directory.Reach) *directory.Webhook {
		return must(s.createWebhook(operator, name, r))
	}
	ours := []*directory.Webhook{created("ours", reach([]directory.ID{s.org})), created("our-environment", reach(nil, s.production)), created("our-both", reach([]directory.ID{s.org}, s.test))}
	theirs := []*directory.Webhook{created("theirs", reach([]directory.ID{other})), created("shared", reach([]directory.ID{s.org, other})), created("their-environment", reach(nil, s.elsewhere)),
		created("environments", reach(nil, s.production, s.elsewhere)), created("half", reach([]directory.ID{s.org}, s.elsewhere)), created("everything", reach(nil))}
	calls := map[string]func(by directory.Actor, id directory.ID) error{
		"MayWebhook": func(by directory.Actor, id directory.ID) error {
			return s.svc.View(s.ctx, func(sn *directory.Snapshot) error { _, err := sn.MayWebhook(by, id); return err })
		},
		"SetWebhook": func(by directory.Actor, id directory.ID) error {
			_, err := s.svc.SetWebhook(s.ctx, by, id, directory.WebhookInput{Name: new("mine")}, webhookTypes)
			return err
		},
		"SetWebhook takes over": func(by directory.Actor, id directory.ID) error {
			_, err := s.svc.SetWebhook(s.ctx, by, id, webhookInput("mine", reach([]directory.ID{s.org})), webhookTypes)
			return err
		},
		"PauseWebhook": func(by directory.Actor, id directory.ID) error {
			_, err := s.svc.PauseWebhook(s.ctx, by, id)
			return err
		},
		"ResumeWebhook": func(by directory.Actor, id directory.ID) error {
			_, err := s.svc.ResumeWebhook(s.ctx, by, id)
			return err
		},
		"RotateWebhook": func(by directory.Actor, id directory.ID) error {
			_, err := s.svc.RotateWebhook(s.ctx, by, id, s.webhookSecret(), 0)
			return err
		},
		"TestWebhook": func(by directory.Actor, id directory.ID) error {
			_, err := s.svc.TestWebhook(s.ctx, by, id)
			return err
		},
		"Redeliver": func(by directory.Actor, id directory.ID) error {
			_, err := s.svc.Redeliver(s.ctx, by, id, 1)
			return err
		},
		"RedeliverDead": func(by directory.Actor, id directory.ID) error {
			_, err := s.svc.RedeliverDead(s.ctx, by, id, 10)
			return err
		},
		"RemoveWebhook": func(by directory.Actor, id directory.ID) error { return s.svc.RemoveWebhook(s.ctx, by, id) },
	}
	for _, w := range slices.Concat(ours, theirs) {
		s.admit(w.ID, 1)
		s.settle(w.ID, 1, givenUp)
	}
	partner := s.partner()
	s.unchanged(func() {
		for name, call := range calls {
			none := call(partner, number(1<<20))
			wantKind(t, none, directory.NotFound)
			for _, w := range theirs {
				if err := call(partner, w.ID); err == nil || err.Error() != none.Error() || directory.KindOf(err) != directory.NotFound {
					t.Errorf("%s of %s: %v, of none: %v", name, w.Name, err, none)
				}
			}
			for who, by := range map[string]directory.Actor{"administrator": administrator(s.production), "nobody": {}, "plain": self(s.ada.AccountID), "directory": push} {
				if err := call(by, ours[1].ID); directory.KindOf(err) != directory.Forbidden || err == nil {
					t.Errorf("%s by %s: %v", name, who, err)
				}
			}
		}
	})
	list := func(by directory.Actor) (names []string) {
		for _, w := range view(s.world, func(sn *directory.Snapshot) ([]*directory.Webhook, error) { return sn.MayWebhooks(by) }) {
			names = append(names, w.Name)
		}
		return names
	}
	if got := list(partner); !slices.Equal(got, []string{"ours", "our-environment", "our-both"}) {
		t.Errorf("a partner sees %q", got)
	}
	if got := list(operator); len(got) != len(ours)+len(theirs) {
		t.Errorf("an operator sees %q", got)
	}
	wantKind(t, s.svc.View(s.ctx, func(sn *directory.Snapshot) error { _, err := sn.MayWebhooks(administrator(s.production)); return err }), directory.Forbidden)
	for _, w := range ours {
		for name, call := range calls {
			if name == "RemoveWebhook" || name == "Redeliver" {
				continue
			}
			must(s.svc.ResumeWebhook(s.ctx, operator, w.ID)) // whatever was called before
			if err := call(partner, w.ID); err != nil {
				t.Errorf("%s of %s: %v", name, w.Name, err)
			}
		}
	}
}

// TestReachOfWebhooks: nobody has a webhook told of more than what is their own.
func TestReachOfWebhooks(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	other, partner := s.other(), s.partner()
	token := partner
	token.Reach = &directory.Reach{Organizations: []directory.ID{s.org}, Scopes: []string{"webhooks:write"}}
	knowing := partner
	knowing.Reach = &directory.Reach{Organizations: []directory.ID{s.org}, Scopes: []string{"webhooks:write", "changes:read"}}
	for i, c := range []struct {
		by    directory.Actor
		reach directory.Reach
		role  directory.Role      // of what is made
		want  directory.ErrorKind // Internal: it is made
	}{
		{operator, directory.Reach{}, directory.RoleOperator, directory.Internal},
		{operator, directory.Reach{Organizations: []directory.ID{s.org, other}}, directory.RolePartner, directory.Internal},
		{operator, directory.Reach{Environments: []directory.ID{s.elsewhere}}, directory.RoleEnvironment, directory.Internal},
		{operator, directory.Reach{Organizations: []directory.ID{number(1 << 20)}}, "", directory.Invalid},
		{operator, directory.Reach{Environments: []directory.ID{s.org}}, "", directory.Invalid},
		{partner, directory.Reach{}, "", directory.Invalid},
		{partner, directory.Reach{Organizations: []directory.ID{s.org}}, directory.RolePartner, directory.Internal},
		{partner, directory.Reach{Organizations: []directory.ID{s.org}, Environments: []directory.ID{s.production}}, directory.RolePartner, directory.Internal},
		{partner, directory.Reach{Environments: []directory.ID{s.production, s.test}}, directory.RoleEnvironment, directory.Internal},
		{partner, directory.Reach{Organizations: []directory.ID{other}}, "", directory.Invalid},
		{partner, directory.Reach{Organizations: []directory.ID{s.org, other}}, "", directory.Invalid},
		{partner, directory.Reach{Environments: []directory.ID{s.elsewhere}}, "", directory.Invalid},
		{partner, directory.Reach{Organizations: []directory.ID{s.org}, Environments: []directory.ID{s.elsewhere}}, "", directory.Invalid},
		{partner, directory.Reach{Organizations: []directory.ID{{}}}, "", directory.Invalid},
		{token, directory.Reach{Organizations: []directory.ID{s.org}}, "", directory.Forbidden},
		{knowing, directory.Reach{Organizations: []directory.ID{s.org}}, directory.RolePartner, directory.Internal},
		{administrator(s.production), directory.Reach{Environments: []directory.ID{s.production}}, "", directory.Forbidden},
		{directory.Actor{Role: directory.RolePartner}, directory.Reach{Organizations: []directory.ID{s.org}}, "", directory.Invalid},
	} {
		before := s.dump()
		w, err := s.createWebhook(c.by, "hook", c.reach)
		if c.want != directory.Internal {
			if err == nil || directory.KindOf(err) != c.want {
				t.Errorf("%d: %v, want %s", i, err, c.want)
			}
			s.wantDump(before)
			continue
		}
		if err != nil {
			t.Errorf("%d: %v", i, err)
			continue
		}
		want := directory.Actor{Role: c.role, Channel: "webhook", ID: w.ID.String(), Reach: &c.reach}
		if c.role == directory.RoleOperator {
			want.Reach = nil
		}
		if diff := cmp.Diff(want, s.hook(w.ID).Actor()); diff != "" || w.State != directory.WebhookActive {
			t.Errorf("%d: %s %+v", i, diff, w)
		}
		must(w, s.svc.RemoveWebhook(s.ctx, operator, w.ID))
	}
	// What is another's and what is not there answer alike.
	mine := must(s.createWebhook(partner, "mine", directory.Reach{Organizations: []directory.ID{s.org}}))
	s.unchanged(func() {
		for field, ids := range map[string][2]directory.ID{"organizations": {other, number(1 << 20)}, "environments": {s.elsewhere, number(1 << 20)}} {
			var said [2]string
			for i, id := range ids {
				reach := &directory.Reach{Organizations: []directory.ID{id}}
				if field == "environments" {
					reach = &directory.Reach{Environments: []directory.ID{id}}
				}
				_, err := s.svc.SetWebhook(s.ctx, partner, mine.ID, directory.WebhookInput{Reach: reach}, webhookTypes)
				var e *directory.Error
				if !errors.As(err, &e) || e.Kind != directory.Invalid || e.Field != field {
					t.Errorf("%s: %v", field, err)
					continue
				}
				said[i] = strings.ReplaceAll(e.Detail, id.String(), "ID")
			}
			if said[0] != said[1] {
				t.Errorf("%q", said)
			}
		}
		_, err := s.svc.SetWebhook(s.ctx, token, mine.ID, directory.WebhookInput{URL: new("https://elsewhere.example/")}, webhookTypes)
		wantKind(t, err, directory.Forbidden)
	})
}

func TestWebhookInput(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	everything := &directory.Reach{}
	s.unchanged(func() {
		for _, c := range []struct {
			in    directory.WebhookInput
			field string
		}{
			{directory.WebhookInput{URL: new("https://hooks.example")}, "name"},
			{directory.WebhookInput{Name: new("hook"), Format: new(directory.FormatPush)}, "url"},
			{directory.WebhookInput{Name: new("hook"), Format: new(directory.FormatPoll), URL: new("https://hooks.example")}, "url"},
			{directory.WebhookInput{Name: new("hook"), URL: new("https://hooks.example"), Format: new(directory.WebhookFormat("xml"))}, "format"},
			{directory.WebhookInput{Name: new("hook"), Format: new(directory.FormatPoll), Audience: new("orders")}, "audience"}, // as an upstream is called
			{directory.WebhookInput{Name: new("hook"), Format: new(directory.FormatPoll), Audience: new("https://a b")}, "audience"},
			{directory.WebhookInput{Name: new("hook"), Format: new(directory.FormatPoll), Audience: new("https://é.example")}, "audience"},
			{directory.WebhookInput{Name: new("hook"), Format: new(directory.FormatPoll), Audience: new("https:///x")}, "audience"},
			{directory.WebhookInput{Name: new("hook"), Format: new(directory.FormatPoll), Audience: new("urn:" + strings.Repeat("x", 2048))}, "audience"},
			{directory.WebhookInput{Name: new("hook"), Format: new(directory.FormatPoll), Types: &[]string{"access.updated"}}, "types"}, // no token tells of it
			{directory.WebhookInput{Name: new("hook")}, "url"},
			{directory.WebhookInput{Name: new(" "), URL: new("https://hooks.example")}, "name"},
			{directory.WebhookInput{Name: new("hook"), URL: new("https://hooks.example/" + strings.Repeat("x", 2048))}, "url"},
			{directory.WebhookInput{Name: new("hook"), URL: new("ftp://hooks.example")}, "url"},
			{directory.WebhookInput{Name: new("hook"), URL: new("https:///path")}, "url"},
			{directory.WebhookInput{Name: new("hook"), URL: new("https://user:pw@hooks.example")}, "url"},
			{directory.WebhookInput{Name: new("hook"), URL: new("https://hooks.example/#x")}, "url"},
			{directory.WebhookInput{Name: new("hook"), URL: new("https://hooks.example"), Types: &[]string{"user.created", "user.hacked"}}, "types"},
		} {
			c.in.Reach = everything
			_, err := s.svc.CreateWebhook(s.ctx, operator, s.newID(), c.in, webhookTypes, s.webhookSecret())
			var e *directory.Error
			if !errors.As(err, &e) || e.Kind != directory.Invalid || e.Field != c.field {
				t.Errorf("%+v: %v", c.in, err)
			}
		}
	})
	in := webhookInput("hook", *everything)
	in.Types = &[]string{"user.updated", "user.updated"}
	w := must(s.svc.CreateWebhook(s.ctx, operator, s.newID(), in, webhookTypes, s.webhookSecret()))
	if !slices.Equal(w.Types, []string{"user.updated"}) || !w.Wants("user.updated") || w.Wants("user.created") {
		t.Errorf("%+v", w)
	}
	if last := s.lastEvent().Sequence; s.hookStatus(w.ID).Cursor != last {
		t.Errorf("it begins at %d, not at %d", s.hookStatus(w.ID).Cursor, last)
	}
	w = must(s.svc.SetWebhook(s.ctx, operator, w.ID, directory.WebhookInput{Types: &[]string{}}, webhookTypes))
	if !w.Wants("user.created") || w.URL != *in.URL || w.Name != "hook" {
		t.Errorf("%+v", w)
	}
	_, err := s.svc.CreateWebhook(s.ctx, operator, w.ID, in, webhookTypes, s.webhookSecret())
	wantKind(t, err, directory.Exists)
}

func TestMaxWebhooks(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for i := range directory.MaxWebhooks {
		by := operator
		by.ID = fmt.Sprint("maker", i/directory.MaxOwnWebhooks)
		must(s.createWebhook(by, fmt.Sprint("hook", i), directory.Reach{Organizations: []directory.ID{s.org}}))
	}
	s.unchanged(func() {
		for _, by := range []directory.Actor{operator, s.partner()} {
			_, err := s.createWebhook(by, "more", directory.Reach{Organizations: []directory.ID{s.org}})
			wantKind(t, err, directory.Conflict)
		}
	})
	all := view(s.world, func(sn *directory.Snapshot) ([]*directory.Webhook, error) { return sn.Webhooks() })
	if err := s.svc.RemoveWebhook(s.ctx, operator, all[0].ID); err != nil {
		t.Fatal(err)
	}
	s.webhook("more")
}

// TestShareOfWebhooks: whoever answers for as many as one may, makes no more, and takes over none.
func TestShareOfWebhooks(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada, other := s.adaPartner(), s.partner()
	reach := directory.Reach{Organizations: []directory.ID{s.org}}
	var hers []*directory.Webhook
	for i := range 20 {
		hers = append(hers, must(s.createWebhook(ada, fmt.Sprint("hook", i), reach)))
	}
	theirs := must(s.createWebhook(other, "theirs", reach))
	s.unchanged(func() {
		_, err := s.createWebhook(ada, "more", reach)
		wantKind(t, err, directory.Conflict)
		_, err = s.svc.ResumeWebhook(s.ctx, ada, theirs.ID)
		wantKind(t, err, directory.Conflict)
		_, err = s.svc.SetWebhook(s.ctx, ada, theirs.ID, directory.WebhookInput{URL: new("https://hers.example/")}, webhookTypes)
		wantKind(t, err, directory.Conflict)
	})
	must(s.svc.ResumeWebhook(s.ctx, ada, hers[0].ID)) // her own
	must(s.svc.SetWebhook(s.ctx, ada, hers[0].ID, directory.WebhookInput{URL: new("https://hers.example/")}, webhookTypes))
	for i := range 19 { // for whom nobody answers, who made them counts
		must(s.createWebhook(other, fmt.Sprint("their", i), reach))
	}
	_, err := s.createWebhook(other, "more", reach)
	wantKind(t, err, directory.Conflict)
	if err := s.svc.RemoveWebhook(s.ctx, ada, hers[1].ID); err != nil {
		t.Fatal(err)
	}
	must(s.svc.ResumeWebhook(s.ctx, ada, theirs.ID))
}

// TestRedeliveryIsBounded: however many were given up, what is on its way stays in bounds, for each look reads it.
func TestRedeliveryIsBounded(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	w := s.webhook("hook")
	var all []uint64
	for n := range uint64(directory.MaxPending) {
		all = append(all, n+1)
	}
	s.admit(w.ID, all...)
	for n := range uint64(5) {
		s.settle(w.ID, n+1, givenUp)
	}
	s.admit(w.ID, 2001, 2002)
	if n := must(s.svc.RedeliverDead(s.ctx, operator, w.ID, 1000)); n != 3 {
		t.Errorf("%d, not the 3 that there is room for", n)
	}
	s.unchanged(func() {
		_, err := s.svc.RedeliverDead(s.ctx, operator, w.ID, 1000)
		wantKind(t, err, directory.Conflict)
		_, err = s.svc.Redeliver(s.ctx, operator, w.ID, 4)
		wantKind(t, err, directory.Conflict)
	})
	if got := s.deliveries(w.ID); len(got[directory.DeliveryPending]) != directory.MaxPending || len(got[directory.DeliveryDead]) != 2 {
		t.Errorf("%d on their way, %d dead", len(got[directory.DeliveryPending]), len(got[directory.DeliveryDead]))
	}
	s.settle(w.ID, 10, arrived)
	must(s.svc.Redeliver(s.ctx, operator, w.ID, 4))
}

// TestWebhookSecretsOverlap: two sign at most, and the older one no longer than the overlap says.
func TestWebhookSecretsOverlap(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	w := s.webhook("hook")
	live := func() (all []directory.ID) {
		hook := s.hook(w.ID)
		for i := range hook.Secrets {
			if x := &hook.Secrets[i]; x.Live(s.clock.Now()) {
				all = append(all, x.ID)
			}
		}
		return all
	}
	rotate := func(overlap time.Duration) (directory.ID, error) {
		secret := s.webhookSecret()
		_, err := s.svc.RotateWebhook(s.ctx, operator, w.ID, secret, overlap)
		return secret.ID, err
	}
	wantLive := func(when string, want ...directory.ID) {
		t.Helper()
		if got := live(); !slices.Equal(got, want) {
			t.Errorf("%s: %v sign, not %v", when, got, want)
		}
	}
	first := w.Secrets[0].ID
	for _, overlap := range []time.Duration{-1, directory.MaxOverlap + 1} {
		s.unchanged(func() { _, err := rotate(overlap); wantKind(t, err, directory.Invalid) })
	}
	second, err := rotate(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	wantLive("rotated", first, second)
	s.unchanged(func() { _, err := rotate(time.Hour); wantKind(t, err, directory.Conflict) })
	s.clock.Advance(time.Hour - time.Second)
	wantLive("just before the overlap is over", first, second)
	s.clock.Advance(time.Second)
	wantLive("when the overlap is over", second)
	third, err := rotate(directory.MaxOverlap)
	if err != nil {
		t.Fatal(err)
	}
	wantLive("rotated again", second, third)
	if n := len(s.hook(w.ID).Secrets); n != 2 {
		t.Errorf("%d secrets are kept", n)
	}
	fourth, err := rotate(0)
	if err != nil {
		t.Fatal(err)
	}
	wantLive("without an overlap", fourth)
	if n := len(s.hook(w.ID).Secrets); n != 1 {
		t.Errorf("%d secrets are kept", n)
	}
	for _, e := range s.acts("webhook.rotate") {
		if strings.Contains(string(e.Detail), "sealed") {
			t.Errorf("the audit holds a secret: %s", e.Detail)
		}
	}
}

// TestWhoAnswersForAWebhook: it is told of nothing that the person who has it led there may not know any more.
func TestWhoAnswersForAWebhook(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada := s.adaPartner()
	w := must(s.createWebhook(ada, "hers", directory.Reach{Organizations: []directory.ID{s.org}}))
	if w.AccountID != s.ada.AccountID || !s.stands(w.ID) {
		t.Fatalf("%+v", w)
	}
	s.setActive(s.ada, false)
	if s.stands(w.ID) {
		t.Error("she has left, and it stands")
	}
	s.setActive(s.ada, true)
	if !s.stands(w.ID) {
		t.Error("she is back, and it does not stand")
	}
	must(s.svc.SetRoles(s.ctx, operator, s.ada.AccountID, directory.RoleInput{Partner: map[directory.ID]bool{s.org: false}}))
	if s.stands(w.ID) {
		t.Error("she lost the role, and it stands")
	}
	if err := s.svc.DisableWebhook(s.ctx, w.ID, "she\x1b left"); err != nil {
		t.Fatal(err)
	}
	if got := s.hook(w.ID); got.State != directory.WebhookDisabled || got.Reason != "she  left" || len(s.acts("webhook.disable")) != 1 {
		t.Errorf("%+v", got)
	}
	s.unchanged(func() { // once is enough
		if err := s.svc.DisableWebhook(s.ctx, w.ID, "again"); err != nil {
			t.Error(err)
		}
	})
	// A new name is nothing to answer for; where it leads, and that it delivers again, is.
	must(s.svc.SetWebhook(s.ctx, operator, w.ID, directory.WebhookInput{Name: new("ours"), URL: new(w.URL)}, webhookTypes))
	if s.stands(w.ID) {
		t.Error("renamed by an operator, it stands")
	}
	must(s.svc.ResumeWebhook(s.ctx, operator, w.ID))
	if got := s.hook(w.ID); got.State != directory.WebhookActive || got.Reason != "" || !got.AccountID.IsZero() || !s.stands(w.ID) {
		t.Errorf("%+v", got)
	}
	ada = s.adaPartner()
	must(s.svc.SetWebhook(s.ctx, ada, w.ID, directory.WebhookInput{URL: new("https://hers.example/")}, webhookTypes))
	if got := s.hook(w.ID); got.AccountID != s.ada.AccountID {
		t.Errorf("%+v", got)
	}
	// Somebody who has more gives it a reach that she does not have.
	must(s.svc.SetWebhook(s.ctx, operator, w.ID, directory.WebhookInput{Reach: &directory.Reach{Organizations: []directory.ID{s.org, s.other()}}}, webhookTypes))
	if s.stands(w.ID) {
		t.Error("it leads where she said, and tells what she may not know")
	}
}

func TestResealWebhooks(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	one, two := s.webhook("one"), s.webhook("two")
	must(s.svc.RotateWebhook(s.ctx, operator, one.ID, s.webhookSecret(), time.Hour))
	must(s.svc.RotateWebhook(s.ctx, operator, two.ID, s.webhookSecret(), 2*time.Hour))
	s.clock.Advance(time.Hour)
	places := map[string]bool{}
	reseal := func(w *directory.Webhook, x *directory.WebhookSecret) (string, error) {
		places[directory.WebhookSecretPlace(w.ID, x.ID)] = true
		return "again " + x.ID.String(), nil
	}
	s.unchanged(func() {
		_, err := s.svc.ResealWebhooks(s.ctx, operator, func(w *directory.Webhook, x *directory.WebhookSecret) (string, error) {
			if w.ID == two.ID {
				return "", errors.New("it cannot be opened")
			}
			return reseal(w, x)
		})
		if err == nil || !strings.Contains(err.Error(), "it cannot be opened") {
			t.Errorf("%v", err)
		}
	})
	clear(places)
	if n := must(s.svc.ResealWebhooks(s.ctx, operator, reseal)); n != 3 || len(places) != 3 {
		t.Errorf("%d of %d are sealed again", n, len(places))
	}
	if n := must(s.svc.ResealWebhooks(s.ctx, operator, reseal)); n != 0 {
		t.Errorf("%d more are sealed again", n)
	}
	for id, want := range map[directory.ID]int{one.ID: 1, two.ID: 2} {
		w := s.hook(id)
		if len(w.Secrets) != want { // the one that had ended is gone
			t.Errorf("%s has %d secrets", w.Name, len(w.Secrets))
		}
		for _, x := range w.Secrets {
			if x.Sealed != "again "+x.ID.String() {
				t.Errorf("%+v", x)
			}
		}
	}
}

func TestDeliveryStates(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	w := s.webhook("hook")
	start := s.clock.Now()
	s.admit(w.ID, 1, 2, 3, 4)
	s.wantDeliveries(w.ID, map[directory.DeliveryState][]uint64{directory.DeliveryPending: {1, 2, 3, 4}})
	later := delayed
	later.Next, later.Hold = start.Add(time.Minute), start.Add(time.Hour)
	s.settle(w.ID, 1, later)
	if d := s.delivery(w.ID, 1); d.Attempts != 1 || !d.Next.Equal(later.Next) || !d.Ended.IsZero() || d.Last == nil || d.Last.Status != 503 {
		t.Errorf("%+v", d)
	}
	if st := s.hookStatus(w.ID); !st.FailingSince.Equal(start) || !st.LastFailure.Equal(start) || !st.Hold.Equal(later.Hold) || !st.LastSuccess.IsZero() {
		t.Errorf("%+v", st)
	}
	s.clock.Advance(time.Minute)
	s.settle(w.ID, 2, givenUp)
	if st := s.hookStatus(w.ID); !st.FailingSince.Equal(start) || !st.LastFailure.Equal(s.clock.Now()) || !st.Hold.Equal(later.Hold) {
		t.Errorf("%+v", st)
	}
	s.settle(w.ID, 3, arrived)
	if st := s.hookStatus(w.ID); !st.FailingSince.IsZero() || !st.LastSuccess.Equal(s.clock.Now()) {
		t.Errorf("%+v", st)
	}
	unsent := givenUp
	unsent.Unsent = true
	s.settle(w.ID, 4, unsent)
	if st := s.hookStatus(w.ID); !st.FailingSince.IsZero() { // nothing was asked of the endpoint
		t.Errorf("%+v", st)
	}
	s.wantDeliveries(w.ID, map[directory.DeliveryState][]uint64{directory.DeliveryPending: {1}, directory.DeliveryDelivered: {3}, directory.DeliveryDead: {2, 4}})
	s.unchanged(func() { // what has ended, and what is not there, is nothing to settle
		for _, n := range []uint64{2, 3, 99} {
			s.settle(w.ID, n, delayed)
		}
	})
	// Once more: what has arrived, and what was given up.
	for _, n := range []uint64{2, 3} {
		d := must(s.svc.Redeliver(s.ctx, s.partner(), w.ID, n))
		if d.State != directory.DeliveryPending || d.Attempts != 0 || !d.Next.Equal(s.clock.Now()) || !d.Ended.IsZero() || d.Last == nil {
			t.Errorf("%+v", d)
		}
	}
	s.wantDeliveries(w.ID, map[directory.DeliveryState][]uint64{directory.DeliveryPending: {1, 2, 3}, directory.DeliveryDead: {4}})
	s.unchanged(func() {
		_, err := s.svc.Redeliver(s.ctx, operator, w.ID, 1)
		wantKind(t, err, directory.Conflict)
		_, err = s.svc.Redeliver(s.ctx, operator, w.ID, 99)
		wantKind(t, err, directory.NotFound)
	})
	// What an endpoint says is kept in bounds, and without what a terminal would obey.
	odd := delayed
	odd.Attempt.Answer = "a\x00\x1b[31m\u202e\x9b\xff" + strings.Repeat("é", 2000)
	odd.Attempt.Error = strings.Repeat("x", 5000)
	s.settle(w.ID, 1, odd)
	if last := s.delivery(w.ID, 1).Last; !strings.HasPrefix(last.Answer, "a  [31m   éé") || len(last.Answer) > 1<<10 || len(last.Answer) < 1000 || len(last.Error) != 1<<10 {
		t.Errorf("%d and %d bytes: %.20q", len(last.Answer), len(last.Error), last.Answer)
	}
	if err := s.svc.RemoveWebhook(s.ctx, s.partner(), w.ID); err != nil {
		t.Fatal(err)
	}
	s.wantDeliveries(w.ID, map[directory.DeliveryState][]uint64{})
	s.settle(w.ID, 1, arrived)
	for k := range s.dump() {
		if strings.HasPrefix(k, "webhook") {
			t.Errorf("%q is left", k)
		}
	}
}

// TestTestsOfWebhooks: one at a time, of active ones; they tell nothing of an endpoint's health and are not redelivered.
func TestTestsOfWebhooks(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	w := s.webhook("hook")
	d := must(s.svc.TestWebhook(s.ctx, s.partner(), w.ID))
	if !d.Test() || d.Type != "webhook.test" {
		t.Errorf("%+v", d)
	}
	s.unchanged(func() { _, err := s.svc.TestWebhook(s.ctx, operator, w.ID); wantKind(t, err, directory.Conflict) })
	s.settle(w.ID, d.Sequence, givenUp)
	if st := s.hookStatus(w.ID); !st.FailingSince.IsZero() {
		t.Errorf("%+v", st)
	}
	s.unchanged(func() {
		_, err := s.svc.Redeliver(s.ctx, operator, w.ID, d.Sequence)
		wantKind(t, err, directory.Conflict)
		if n := must(s.svc.RedeliverDead(s.ctx, operator, w.ID, 10)); n != 0 {
			t.Errorf("%d are redelivered", n)
		}
	})
	if next := must(s.svc.TestWebhook(s.ctx, operator, w.ID)); next.Sequence <= d.Sequence {
		t.Errorf("%d after %d", next.Sequence, d.Sequence)
	}
	must(s.svc.PauseWebhook(s.ctx, operator, w.ID))
	s.unchanged(func() { _, err := s.svc.TestWebhook(s.ctx, operator, w.ID); wantKind(t, err, directory.Conflict) })
}

func TestRedeliverDead(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	w, other := s.webhook("hook"), s.webhook("other")
	for _, id := range []directory.ID{w.ID, other.ID} {
		s.admit(id, 1, 2, 3, 4, 5, 6)
		for n := range uint64(5) {
			s.settle(id, n+1, givenUp)
		}
		s.settle(id, 6, arrived)
	}
	test := must(s.svc.TestWebhook(s.ctx, operator, w.ID)).Sequence
	s.settle(w.ID, test, givenUp)
	if n := must(s.svc.RedeliverDead(s.ctx, s.partner(), w.ID, 3)); n != 3 {
		t.Errorf("%d", n)
	}
	s.wantDeliveries(w.ID, map[directory.DeliveryState][]uint64{directory.DeliveryPending: {1, 2, 3}, directory.DeliveryDead: {4, 5, test}, directory.DeliveryDelivered: {6}})
	if n := must(s.svc.RedeliverDead(s.ctx, operator, w.ID, 10)); n != 2 {
		t.Errorf("%d", n)
	}
	s.wantDeliveries(w.ID, map[directory.DeliveryState][]uint64{directory.DeliveryPending: {1, 2, 3, 4, 5}, directory.DeliveryDead: {test}, directory.DeliveryDelivered: {6}})
	s.wantDeliveries(other.ID, map[directory.DeliveryState][]uint64{directory.DeliveryDead: {1, 2, 3, 4, 5}, directory.DeliveryDelivered: {6}})
	acts := s.acts("webhook.redeliver")
	if len(acts) != 2 || string(acts[0].Detail) != `{"deadLetters":3}` && string(acts[1].Detail) != `{"deadLetters":3}` {
		t.Errorf("%+v", acts)
	}
}

// TestAdmissionIsAllOrNothing: the cursor moves with what it passes, once.
func TestAdmissionIsAllOrNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	w := s.webhook("hook")
	at := s.hookStatus(w.ID).Cursor
	all := []directory.Delivery{{Sequence: at + 1, Type: "user.created"}, {Sequence: at + 3, Type: "user.created"}}
	s.unchanged(func() {
		for i := 1; ; i++ { // the program ends at each write, and before the commit
			s.store.failAt = i
			err := s.svc.AdmitDeliveries(s.ctx, w.ID, at, at+3, all)
			s.store.failAt = 0
			if err == nil {
				t.Fatalf("write %d does not fail", i)
			}
			if i == 5 { // two rows of each, and the cursor
				break
			}
		}
		s.store.fail = func() error { return errors.New("no commit") }
		defer func() { s.store.fail = nil }()
		if err := s.svc.AdmitDeliveries(s.ctx, w.ID, at, at+3, all); err == nil {
			t.Error("the commit does not fail")
		}
	})
	if err := s.svc.AdmitDeliveries(s.ctx, w.ID, at, at+3, all); err != nil {
		t.Fatal(err)
	}
	// Who works next, as a new process, finds what was not settled.
	s.svc = s.service(directory.Limits{})
	if got := s.hookStatus(w.ID).Cursor; got != at+3 {
		t.Errorf("the cursor is at %d", got)
	}
	s.wantDeliveries(w.ID, map[directory.DeliveryState][]uint64{directory.DeliveryPending: {at + 1, at + 3}})
	s.unchanged(func() {
		wantKind(t, s.svc.AdmitDeliveries(s.ctx, w.ID, at, at+3, all), directory.Conflict) // twice
		wantKind(t, s.svc.AdmitDeliveries(s.ctx, w.ID, at+3, at, nil), directory.Conflict) // backwards
		wantKind(t, s.svc.AdmitDeliveries(s.ctx, number(1<<20), at, at+3, nil), directory.NotFound)
		s.store.fail = func() error { return errors.New("no commit") }
		defer func() { s.store.fail = nil }()
		if err := s.svc.SettleDelivery(s.ctx, w.ID, at+1, arrived); err == nil {
			t.Error("the commit does not fail")
		}
	})
	must(s.svc.PauseWebhook(s.ctx, operator, w.ID))
	s.unchanged(func() { wantKind(t, s.svc.AdmitDeliveries(s.ctx, w.ID, at+3, at+4, nil), directory.Conflict) })
}

// TestNothingButFailures: after five days of them, and not before, a webhook is disabled.
func TestNothingButFailures(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	w := s.webhook("hook")
	s.admit(w.ID, 1, 2, 3)
	s.settle(w.ID, 1, delayed)
	s.clock.Advance(directory.WebhookGivesUp - time.Second)
	s.settle(w.ID, 1, delayed)
	if got := s.hook(w.ID); got.State != directory.WebhookActive {
		t.Errorf("too early: %+v", got)
	}
	s.settle(w.ID, 2, arrived)
	s.clock.Advance(time.Hour)
	s.settle(w.ID, 1, delayed) // from here on anew
	s.clock.Advance(directory.WebhookGivesUp - time.Second)
	s.settle(w.ID, 1, delayed)
	if got := s.hook(w.ID); got.State != directory.WebhookActive {
		t.Errorf("something arrived meanwhile: %+v", got)
	}
	s.clock.Advance(time.Second)
	s.settle(w.ID, 3, delayed)
	if got := s.hook(w.ID); got.State != directory.WebhookDisabled || got.Reason != "nothing arrived for 5 days" {
		t.Errorf("%+v", got)
	}
	acts := s.acts("webhook.disable")
	if len(acts) != 1 || acts[0].Target != "hook" || acts[0].Actor.Role != directory.RoleSystem {
		t.Errorf("%+v", acts)
	}
	must(s.svc.ResumeWebhook(s.ctx, operator, w.ID))
	if st := s.hookStatus(w.ID); !st.FailingSince.IsZero() || !st.Hold.IsZero() {
		t.Errorf("%+v", st)
	}
	s.settle(w.ID, 3, delayed)
	if got := s.hook(w.ID); got.State != directory.WebhookActive {
		t.Errorf("resumed, it is disabled at once: %+v", got)
	}
	gone := givenUp
	gone.Disable = "410"
	s.settle(w.ID, 3, gone)
	if got := s.hook(w.ID); got.State != directory.WebhookDisabled || got.Reason != "410" {
		t.Errorf("%+v", got)
	}
}

// ended writes deliveries down that have ended, many at a time.
func (w *world) ended(id directory.ID, state directory.DeliveryState, at time.Time, from, to uint64) {
	w.Helper()
	mark := map[directory.DeliveryState]string{directory.DeliveryPending: "p", directory.DeliveryDelivered: "d", directory.DeliveryDead: "x"}[state]
	w.raw(func(st directory.Writer) error {
		for n := from; n < to; n++ {
			d := must(json.Marshal(directory.Delivery{WebhookID: id, Sequence: n, Type: "user.updated", State: state, Ended: at}))
			if err := errors.Join(st.Put(table("webhook_deliveries"), cat(id, n), d), st.Put(table("webhook_delivery_state"), cat(id, mark, n), nil)); err != nil {
				return err
			}
		}
		return nil
	})
}

// wantOldest checks how many deliveries of a webhook are in a state, and the first of them.
func (w *world) wantOldest(id directory.ID, state directory.DeliveryState, count int64, oldest uint64) {
	w.Helper()
	view(w, func(sn *directory.Snapshot) (bool, error) {
		first := uint64(0)
		err := sn.DeliveriesOf(id, state, 0, false, func(d *directory.Delivery) bool { first = d.Sequence; return false })
		if n := must(sn.DeliveryCount(id, state)); n != count || first != oldest {
			w.Errorf("%d %s ones, the oldest is %d, not %d and %d", n, state, first, count, oldest)
		}
		return true, err
	})
}

// TestDeliveriesAreKeptInBounds by their number: the oldest one gives way to the next.
func TestDeliveriesAreKeptInBounds(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for state, r := range map[directory.DeliveryState]directory.Settlement{directory.DeliveryDelivered: arrived, directory.DeliveryDead: givenUp} {
		w, other := s.webhook(string(state)), s.webhook("other of "+string(state))
		s.ended(other.ID, state, s.clock.Now(), 1, 3)
		s.ended(w.ID, state, s.clock.Now(), 1, directory.MaxEnded+1)
		s.admit(w.ID, directory.MaxEnded+1, directory.MaxEnded+2)
		s.settle(w.ID, directory.MaxEnded+1, delayed) // takes nobody's place
		s.wantOldest(w.ID, state, directory.MaxEnded, 1)
		s.settle(w.ID, directory.MaxEnded+1, r)
		s.settle(w.ID, directory.MaxEnded+2, r)
		s.wantOldest(w.ID, state, directory.MaxEnded, 3)
		s.wantOldest(other.ID, state, 2, 1)
	}
}

// TestDeliveriesArePruned by their age, in steps; what is on its way stays however old it is.
func TestDeliveriesArePruned(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	one, two := s.webhook("one"), s.webhook("two")
	start := s.clock.Now()
	s.ended(one.ID, directory.DeliveryDelivered, start, 1, 502) // more than one step
	s.ended(one.ID, directory.DeliveryDelivered, start.Add(time.Hour), 502, 504)
	s.ended(two.ID, directory.DeliveryDelivered, start, 1, 102)
	s.ended(two.ID, directory.DeliveryDead, start, 301, 303)
	s.admit(two.ID, 400)
	prune := func(want int) {
		t.Helper()
		if n := must(s.svc.PruneDeliveries(s.ctx)); n != want {
			t.Errorf("%d are removed, not %d", n, want)
		}
	}
	s.clock.Advance(directory.DeliveredKept)
	prune(0)
	s.clock.Advance(time.Second)
	prune(602)
	s.wantDeliveries(one.ID, map[directory.DeliveryState][]uint64{directory.DeliveryDelivered: {502, 503}})
	s.wantDeliveries(two.ID, map[directory.DeliveryState][]uint64{directory.DeliveryDead: {301, 302}, directory.DeliveryPending: {400}})
	s.clock.Advance(time.Hour)
	prune(2)
	s.clock.Advance(directory.DeadKept - directory.DeliveredKept - time.Hour - time.Second)
	prune(0)
	s.clock.Advance(time.Second)
	prune(2)
	s.wantDeliveries(two.ID, map[directory.DeliveryState][]uint64{directory.DeliveryPending: {400}})
}

// TestSettleDeliveries: several at once, all or none; what is not pending, or not there, is passed over.
func TestSettleDeliveries(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	w := must(s.svc.CreateWebhook(s.ctx, operator, s.newID(), directory.WebhookInput{Name: new("stream"), Format: new(directory.FormatPoll)}, webhookTypes, s.webhookSecret()))
	news := s.svc.Published()
	s.admit(w.ID, 101, 102, 103)
	select {
	case <-news: // whoever waits to fetch them
	default:
		t.Error("nobody was told that there is something to fetch")
	}
	refused := directory.Settlement{State: directory.DeliveryDead, Attempt: directory.Attempt{Error: "refused"}}
	done := directory.Settlement{State: directory.DeliveryDelivered}
	want := map[directory.DeliveryState][]uint64{directory.DeliveryDelivered: {101}, directory.DeliveryPending: {102}, directory.DeliveryDead: {103}}
	news = s.svc.Published()
	for _, all := range []map[uint64]directory.Settlement{{101: done, 103: refused, 109: done}, {101: refused, 103: done}} { // what is settled stays so
		if err := s.svc.SettleDeliveries(s.ctx, w.ID, all); err != nil {
			t.Fatal(err)
		}
		s.wantDeliveries(w.ID, want)
	}
	select {
	case <-news: // there is room for more
	default:
		t.Error("nobody was told that there is room")
	}
	news = s.svc.Published()
	if err := s.svc.SettleDeliveries(s.ctx, w.ID, map[uint64]directory.Settlement{101: refused, 109: done}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-news:
		t.Error("everybody was woken for nothing")
	default:
	}
}

// TestSettlingWhatIsPolledAlone: who pauses the webhook, or has it post, while a receiver acknowledges keeps what waits.
func TestSettlingWhatIsPolledAlone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	w := must(s.svc.CreateWebhook(s.ctx, operator, s.newID(), directory.WebhookInput{Name: new("stream"), Format: new(directory.FormatPoll)}, webhookTypes, s.webhookSecret()))
	s.admit(w.ID, 101)
	want := func(kind directory.ErrorKind) {
		t.Helper()
		if err := s.svc.SettleDeliveries(s.ctx, w.ID, map[uint64]directory.Settlement{101: {State: directory.DeliveryDelivered}}); directory.KindOf(err) != kind || err == nil {
			t.Errorf("%v", err)
		}
	}
	waits := map[directory.DeliveryState][]uint64{directory.DeliveryPending: {101}}
	must(s.svc.PauseWebhook(s.ctx, operator, w.ID))
	want(directory.Conflict)
	s.wantDeliveries(w.ID, waits)
	must(s.svc.ResumeWebhook(s.ctx, operator, w.ID))
	must(s.svc.SetWebhook(s.ctx, operator, w.ID, directory.WebhookInput{Format: new(directory.FormatPush), URL: new("https://hooks.example/x")}, webhookTypes))
	want(directory.Conflict)
	s.wantDeliveries(w.ID, waits)
	if err := s.svc.RemoveWebhook(s.ctx, operator, w.ID); err != nil {
		t.Fatal(err)
	}
	want(directory.NotFound)
}

// TestEventsSayHowAResourceChanged, for those who are told of resources, and what one transaction did.
func TestEventsSayHowAResourceChanged(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	put := directory.Actor{Role: directory.RoleDirectory, Channel: "scim", Method: "PUT"}
	patch := directory.Actor{Role: directory.RoleDirectory, Channel: "scim", Method: "PATCH"}
	u := must(s.svc.CreateUser(s.ctx, patch, s.fjord, directory.UserInput{Profile: directory.Profile{UserName: "kim", ExternalID: "k", Active: true}, Schemas: []byte(`[]`),
		Attributes: []byte(`{"userName":"kim","externalId":"k"}`), Changes: []directory.Change{{Name: "userName"}, {Name: "externalId"}}}))
	change := func(by directory.Actor, active bool, attributes string, changes ...directory.Change) {
		must(s.svc.UpdateUser(s.ctx, by, s.fjord, u.ID, func(u *directory.User) (directory.UserInput, error) {
			in := directory.UserInput{Profile: u.Profile, Schemas: u.Schemas, Attributes: []byte(attributes), Changes: changes}
			in.Active = active
			return in, nil
		}))
	}
	change(patch, false, `{"userName":"kim","externalId":"k","title":"x"}`, directory.Change{Name: "title"})
	change(put, false, `{"title":"y","userName":"kim"}`)
	change(put, true, `{"title":"y","userName":"kim"}`)
	g := must(s.svc.CreateGroup(s.ctx, patch, s.fjord, directory.GroupInput{DisplayName: "kin", ExternalID: "g", Schemas: []byte(`[]`), Attributes: []byte(`{"displayName":"kin"}`)}, []directory.ID{u.ID}))
	if err := s.svc.DeleteGroup(s.ctx, patch, s.fjord, g.ID, nil); err != nil {
		t.Fatal(err)
	}
	s.deleteUser(u)
	type said struct {
		Type       string
		Method     directory.UpdateMethod
		Attributes string
		Version    uint64
		ExternalID string
		Switched   bool
	}
	var got []said
	for _, e := range s.outbox() {
		if e.UserID == u.ID || e.GroupID == g.ID {
			got = append(got, said{e.Type, e.Method, strings.Join(e.Attributes, " "), e.Version, e.ExternalID, e.Switched})
		}
	}
	wantSame(t, "events", got, []said{
		{"user.created", "", "userName externalId", 1, "k", false},
		{"user.updated", "patch", "title", 2, "k", true},
		{"user.updated", "put", "externalId title", 3, "k", false},
		{"user.updated", "put", "", 4, "k", true},
		{"group.created", "", "displayName members", 1, "g", false},
		{"group.deleted", "", "", 0, "g", false},
		{"user.deleted", "", "", 0, "k", false},
	})
}
