package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/store"
	"github.com/bizzstream/bizzscim/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	operator = directory.Actor{Role: directory.RoleOperator, Channel: "test"}
	push     = directory.Actor{Role: directory.RoleDirectory, Channel: "scim"}
)

const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// rig is a deliverer with a store of its own and an endpoint in memory, in a bubble of time.
type rig struct {
	*testing.T
	kept    *unsure
	svc     *directory.Service
	tenant  directory.ID
	webhook *directory.Webhook
	stop    func()

	unsigned atomic.Bool // no token can be signed

	mu    sync.Mutex
	sent  []attempt
	under int // attempts at this moment
	most  int
	// answer decides; nil: all arrive.
	answer func(ctx context.Context, a attempt) webhook.Answer
}

// unsure is a store that at times writes nothing down.
type unsure struct {
	directory.Store
	broken atomic.Bool
}

func (s *unsure) Update(ctx context.Context, fn func(directory.Writer) error) error {
	if s.broken.Load() {
		return errors.New("the disk is full")
	}
	return s.Store.Update(ctx, fn)
}

type attempt struct {
	at     time.Time
	id     string
	body   string
	target string
}

func newRig(t *testing.T) *rig {
	st, err := store.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, kept: &unsure{Store: st}}
	r.svc = directory.New(r.kept, directory.Options{Now: time.Now, NewID: app.NewID, Normalize: func(s string) string { return s }})
	o, err := r.svc.CreateOrganization(context.Background(), operator, "Fjord")
	r.must(err)
	tenant, err := r.svc.CreateTenant(context.Background(), operator, directory.Tenant{Name: "fjord", OrganizationIDs: []directory.ID{o.ID}})
	r.must(err)
	r.tenant = tenant.ID
	r.webhook = r.create("https://hooks.example/1")
	r.start()
	t.Cleanup(func() {
		r.stop()
		r.must(st.Close())
	})
	return r
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) create(url string) *directory.Webhook {
	r.Helper()
	return r.createBy(operator, url)
}

func (r *rig) createBy(by directory.Actor, url string) *directory.Webhook {
	r.Helper()
	name := "hook"
	w, err := r.svc.CreateWebhook(context.Background(), by, app.NewID(), directory.WebhookInput{Name: &name, URL: &url}, nil, directory.NewWebhookSecret{ID: app.NewID(), Sealed: testSecret})
	r.must(err)
	return w
}

// start begins to work; what was there before goes on.
func (r *rig) start() {
	ctx, cancel := context.WithCancel(context.Background())
	d := webhook.New(webhook.Config{Service: r.svc, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Keys: func(e *directory.OutboxEvent) []directory.ID { return []directory.ID{e.AccountID} },
		Open: func(sealed, _ string) ([]byte, error) { return []byte(sealed), nil },
		Message: func(_ *directory.Snapshot, _ *directory.Webhook, e *directory.OutboxEvent) (webhook.Message, bool, error) {
			return webhook.Message{ID: fmt.Sprint("evt_", e.Sequence), Type: e.Type, Time: e.Time, Data: map[string]any{"account": e.AccountID}}, true, nil
		},
		Claims: func(_ *directory.Webhook, test *directory.Delivery) any { return map[string]any{"test": test.Type} },
		Token: func(_ context.Context, claims []byte) (string, error) {
			if r.unsigned.Load() {
				return "", errors.New("the key cannot be opened")
			}
			return "signed " + string(claims), nil
		},
		Send: r.send})
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.Work(ctx)
	}()
	r.stop = func() {
		cancel()
		<-done
	}
}

func (r *rig) send(ctx context.Context, target string, h http.Header, body []byte) webhook.Answer {
	a := attempt{time.Now(), h.Get("webhook-id"), string(body), target}
	r.mu.Lock()
	r.sent = append(r.sent, a)
	r.under++
	r.most = max(r.most, r.under)
	answer := r.answer
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.under--
	}()
	if answer == nil {
		return webhook.Answer{Status: 204}
	}
	return answer(ctx, a)
}

func (r *rig) say(answer func(context.Context, attempt) webhook.Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *rig) all() []attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}

func refuse(context.Context, attempt) webhook.Answer {
	return webhook.Answer{Status: 500, Error: "the endpoint answered 500"}
}

// user makes an event.
func (r *rig) user(name string) *directory.User {
	r.Helper()
	u, err := r.svc.CreateUser(context.Background(), push, r.tenant, directory.UserInput{Profile: directory.Profile{UserName: name, Name: name, Active: true}, Schemas: []byte(`[]`), Attributes: []byte(`{}`)})
	r.must(err)
	return u
}

func (r *rig) rename(u *directory.User, name string) {
	r.Helper()
	_, err := r.svc.UpdateUser(context.Background(), push, r.tenant, u.ID, func(u *directory.User) (directory.UserInput, error) {
		in := directory.UserInput{Profile: u.Profile, Schemas: u.Schemas, Attributes: []byte(`{"displayName":"` + name + `"}`)}
		in.Name = name
		return in, nil
	})
	r.must(err)
}

func (r *rig) look(fn func(*directory.Snapshot) error) {
	r.Helper()
	r.must(r.svc.View(context.Background(), fn))
}

// state is how a delivery is.
func (r *rig) delivery(sequence uint64) (d *directory.Delivery) {
	r.Helper()
	r.look(func(sn *directory.Snapshot) (err error) {
		d, err = sn.Delivery(r.webhook.ID, sequence)
		return err
	})
	return d
}

func (r *rig) current() (w *directory.Webhook) {
	r.Helper()
	r.look(func(sn *directory.Snapshot) (err error) {
		w, err = sn.Webhook(r.webhook.ID)
		return err
	})
	return w
}

// bubble runs a test in a bubble of time.
func bubble(t *testing.T, fn func(*rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		fn(r)
	})
}

// settle lets time pass, and everything that is due happen.
func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestEachEventArrivesOnce(t *testing.T) {
	bubble(t, func(r *rig) {
		for i := range 20 {
			r.user(fmt.Sprint("user", i))
		}
		settle(2 * time.Second)
		seen := map[string]int{}
		for _, a := range r.all() {
			seen[a.id]++
		}
		if len(seen) != 20 || len(r.all()) != 20 {
			t.Errorf("%v", seen)
		}
		if r.most > 4 {
			t.Errorf("%d attempts at a time", r.most)
		}
	})
}

// TestFailuresAreTriedAgain: by the schedule, with up to a tenth more or less; then the delivery is a dead letter.
func TestFailuresAreTriedAgain(t *testing.T) {
	bubble(t, func(r *rig) {
		r.say(refuse)
		r.user("ada")
		settle(4 * 24 * time.Hour)
		sent := r.all()
		if len(sent) != len(webhook.Schedule)+1 {
			t.Fatalf("%d attempts", len(sent))
		}
		for i, pause := range webhook.Schedule {
			got := sent[i+1].at.Sub(sent[i].at)
			if got < pause*9/10 || got > pause*11/10+time.Second {
				t.Errorf("pause %d: %s, not %s", i, got, pause)
			}
		}
		if all := sent[len(sent)-1].at.Sub(sent[0].at); all < 60*time.Hour || all > 84*time.Hour {
			t.Errorf("given up after %s, not about three days", all)
		}
		d := r.delivery(1)
		if d.State != directory.DeliveryDead || d.Attempts != len(sent) || d.Last == nil || d.Last.Status != 500 {
			t.Errorf("%+v %+v", d, d.Last)
		}
		// Redelivered, it arrives.
		r.say(nil)
		_, err := r.svc.Redeliver(context.Background(), operator, r.webhook.ID, 1)
		r.must(err)
		settle(time.Second)
		if d := r.delivery(1); d.State != directory.DeliveryDelivered || len(r.all()) != len(sent)+1 {
			t.Errorf("%+v", d)
		}
	})
}

// TestOrderOfAnAccount: what is about a person waits for what is about the same person; others go on.
func TestOrderOfAnAccount(t *testing.T) {
	bubble(t, func(r *rig) {
		failing := true
		r.say(func(_ context.Context, a attempt) webhook.Answer {
			if a.id == "evt_1" && failing {
				return webhook.Answer{Status: 500, Error: "no"}
			}
			return webhook.Answer{Status: 200}
		})
		ada := r.user("ada") // 1
		r.rename(ada, "Ada") // 2
		bob := r.user("bob") // 3
		r.rename(ada, "ADA") // 4
		settle(time.Second)
		if got := of(r.all(), ada.AccountID); !slices.Equal(got, []string{"evt_1"}) {
			t.Errorf("while the first one fails: %v", got)
		}
		if got := of(r.all(), bob.AccountID); !slices.Equal(got, []string{"evt_3"}) {
			t.Errorf("somebody else: %v", got)
		}
		r.mu.Lock()
		failing = false
		r.mu.Unlock()
		settle(10 * time.Second)
		if got := of(r.all(), ada.AccountID); !slices.Equal(got, []string{"evt_1", "evt_1", "evt_2", "evt_4"}) {
			t.Errorf("%v", got)
		}
		if got := of(r.all(), bob.AccountID); !slices.Equal(got, []string{"evt_3"}) {
			t.Errorf("somebody else: %v", got)
		}
	})
}

// of are the attempts about one account, in the order in which they were made: between accounts there is none.
func of(all []attempt, account directory.ID) (out []string) {
	for _, a := range all {
		if strings.Contains(a.body, account.String()) {
			out = append(out, a.id)
		}
	}
	return out
}

func ids(all []attempt) (out []string) {
	for _, a := range all {
		out = append(out, a.id)
	}
	return out
}

// TestNothingIsLostByACrash: the work ends between sending and writing it down. It is sent again, with the same id.
func TestNothingIsLostByACrash(t *testing.T) {
	bubble(t, func(r *rig) {
		r.say(func(ctx context.Context, _ attempt) webhook.Answer {
			<-ctx.Done() // the endpoint has it, and its answer is lost
			return webhook.Answer{Error: "broke off"}
		})
		r.user("ada")
		settle(time.Second)
		r.stop()
		if d := r.delivery(1); d.State != directory.DeliveryPending || d.Attempts != 0 {
			t.Errorf("%+v", d)
		}
		r.user("bob") // while nobody works
		r.say(nil)
		r.start()
		settle(time.Second)
		if got := ids(r.all()); !slices.Equal(got, []string{"evt_1", "evt_1", "evt_2"}) && !slices.Equal(got, []string{"evt_1", "evt_2", "evt_1"}) {
			t.Errorf("%v", got)
		}
		if d := r.delivery(1); d.State != directory.DeliveryDelivered {
			t.Errorf("%+v", d)
		}
	})
}

// TestNothingIsLostThatCannotBeWrittenDown: what has arrived, and could not be written down as such, is sent again, with the same id.
func TestNothingIsLostThatCannotBeWrittenDown(t *testing.T) {
	bubble(t, func(r *rig) {
		r.say(func(context.Context, attempt) webhook.Answer {
			r.kept.broken.Store(true)
			return webhook.Answer{Status: 204}
		})
		ada := r.user("ada")
		settle(time.Second)
		if d := r.delivery(1); d.State != directory.DeliveryPending || d.Attempts != 0 {
			t.Errorf("%+v", d)
		}
		r.kept.broken.Store(false)
		r.say(nil)
		r.rename(ada, "Ada")
		settle(20 * time.Second)
		if got := ids(r.all()); !slices.Equal(got, []string{"evt_1"}) {
			t.Errorf("without a pause after the fault: %v", got)
		}
		settle(time.Minute)
		if got := ids(r.all()); !slices.Equal(got, []string{"evt_1", "evt_1", "evt_2"}) {
			t.Errorf("%v", got)
		}
		if d := r.delivery(1); d.State != directory.DeliveryDelivered {
			t.Errorf("%+v", d)
		}
	})
}

func TestGoneDisables(t *testing.T) {
	bubble(t, func(r *rig) {
		r.say(func(context.Context, attempt) webhook.Answer { return webhook.Answer{Status: 410, Error: "gone"} })
		r.user("ada")
		settle(time.Second)
		if w := r.current(); w.State != directory.WebhookDisabled || !strings.Contains(w.Reason, "410") {
			t.Errorf("%+v", w)
		}
		r.user("bob")
		settle(time.Hour)
		if len(r.all()) != 1 {
			t.Errorf("%v", ids(r.all()))
		}
		// What happened meanwhile has waited.
		r.say(nil)
		_, err := r.svc.ResumeWebhook(context.Background(), operator, r.webhook.ID)
		r.must(err)
		settle(time.Second)
		if got := ids(r.all()); !slices.Equal(got, []string{"evt_1", "evt_2"}) {
			t.Errorf("%v", got)
		}
	})
}

// TestQuietIsKept: what a 429 asks for holds for the whole webhook.
func TestQuietIsKept(t *testing.T) {
	bubble(t, func(r *rig) {
		r.say(func(context.Context, attempt) webhook.Answer {
			return webhook.Answer{Status: 429, Error: "no", Wait: 10 * time.Minute}
		})
		r.user("ada")
		settle(time.Second)
		r.say(nil)
		r.user("bob")
		settle(9 * time.Minute)
		if len(r.all()) != 1 {
			t.Errorf("%v", ids(r.all()))
		}
		settle(2 * time.Minute)
		if len(r.all()) != 3 {
			t.Errorf("%v", ids(r.all()))
		}
	})
}

// TestNothingButFailuresDisables after five days, with events that came again and again.
func TestNothingButFailuresDisables(t *testing.T) {
	bubble(t, func(r *rig) {
		r.say(refuse)
		began := time.Now()
		for i := range 6 {
			r.user(fmt.Sprint("user", i))
			settle(24 * time.Hour)
			if w := r.current(); w.State == directory.WebhookDisabled {
				if past := time.Since(began); past < directory.WebhookGivesUp {
					t.Errorf("after %s", past)
				}
				return
			}
		}
		t.Errorf("%+v", r.current())
	})
}

// TestSlowOnesDelayNobody: an endpoint that does not answer has its own four attempts, no more.
func TestSlowOnesDelayNobody(t *testing.T) {
	bubble(t, func(r *rig) {
		r.create("https://hooks.example/2")
		r.say(func(ctx context.Context, a attempt) webhook.Answer {
			if strings.HasSuffix(a.target, "/1") {
				<-ctx.Done()
				return webhook.Answer{Error: "broke off"}
			}
			return webhook.Answer{Status: 200}
		})
		for i := range 12 {
			r.user(fmt.Sprint("user", i))
		}
		settle(5 * time.Second)
		slow, fast := 0, 0
		for _, a := range r.all() {
			if strings.HasSuffix(a.target, "/1") {
				slow++
			} else {
				fast++
			}
		}
		if slow != 4 || fast != 12 {
			t.Errorf("%d attempts at the slow one, %d at the other", slow, fast)
		}
	})
}

// TestOneOwnerHoldsNobodyUp: however many webhooks of one owner hang, the others' deliveries leave at once.
func TestOneOwnerHoldsNobodyUp(t *testing.T) {
	bubble(t, func(r *rig) {
		for i := range 10 {
			r.createBy(directory.Actor{Role: directory.RoleOperator, Channel: "test", ID: "slow"}, fmt.Sprint("https://slow.example/", i))
		}
		r.say(func(ctx context.Context, a attempt) webhook.Answer {
			if strings.HasPrefix(a.target, "https://slow.") {
				<-ctx.Done()
				return webhook.Answer{Error: "broke off"}
			}
			return webhook.Answer{Status: 200}
		})
		settle(time.Second)
		for i := range 12 {
			r.user(fmt.Sprint("user", i))
			settle(time.Second)
		}
		slow, fast := 0, 0
		for _, a := range r.all() {
			if strings.HasPrefix(a.target, "https://slow.") {
				slow++
			} else {
				fast++
			}
		}
		if slow != 8 || fast != 12 {
			t.Errorf("%d attempts at those of the slow owner, %d at the other", slow, fast)
		}
	})
}

func TestPausedAndRemoved(t *testing.T) {
	bubble(t, func(r *rig) {
		_, err := r.svc.PauseWebhook(context.Background(), operator, r.webhook.ID)
		r.must(err)
		settle(time.Second)
		r.user("ada")
		settle(time.Hour)
		if len(r.all()) != 0 {
			t.Errorf("paused: %v", ids(r.all()))
		}
		_, err = r.svc.TestWebhook(context.Background(), operator, r.webhook.ID)
		if directory.KindOf(err) != directory.Conflict {
			t.Errorf("a test of a paused one: %v", err)
		}
		_, err = r.svc.ResumeWebhook(context.Background(), operator, r.webhook.ID)
		r.must(err)
		settle(time.Second)
		if len(r.all()) != 1 {
			t.Errorf("resumed: %v", ids(r.all()))
		}
		r.must(r.svc.RemoveWebhook(context.Background(), operator, r.webhook.ID))
		r.user("bob")
		settle(time.Hour)
		if len(r.all()) != 1 {
			t.Errorf("removed: %v", ids(r.all()))
		}
		r.look(func(sn *directory.Snapshot) error {
			n := 0
			err := sn.Deliveries(r.webhook.ID, 0, func(*directory.Delivery) bool { n++; return true })
			if n > 0 {
				t.Errorf("%d deliveries are left", n)
			}
			return err
		})
	})
}

// TestATestIsTriedOnce, and tells nothing of the endpoint's health.
func TestATestIsTriedOnce(t *testing.T) {
	bubble(t, func(r *rig) {
		r.say(refuse)
		d, err := r.svc.TestWebhook(context.Background(), operator, r.webhook.ID)
		r.must(err)
		settle(time.Hour)
		if got := r.delivery(d.Sequence); got.State != directory.DeliveryDead || len(r.all()) != 1 || !strings.Contains(r.all()[0].body, `"type":"webhook.test"`) {
			t.Errorf("%+v %v", got, r.all())
		}
		r.look(func(sn *directory.Snapshot) error {
			st, err := sn.WebhookStatus(r.webhook.ID)
			if err == nil && !st.FailingSince.IsZero() {
				t.Errorf("%+v", st)
			}
			return err
		})
		if _, err := r.svc.Redeliver(context.Background(), operator, r.webhook.ID, d.Sequence); directory.KindOf(err) != directory.Conflict {
			t.Errorf("a test redelivered: %v", err)
		}
	})
}

// TestOldDeliveriesGo: those that arrived after seven days, dead letters after ninety.
func TestOldDeliveriesGo(t *testing.T) {
	bubble(t, func(r *rig) {
		count := func(state directory.DeliveryState) (n int64) {
			r.look(func(sn *directory.Snapshot) (err error) {
				n, err = sn.DeliveryCount(r.webhook.ID, state)
				return err
			})
			return n
		}
		r.user("ada")
		settle(6 * 24 * time.Hour)
		if n := count(directory.DeliveryDelivered); n != 1 {
			t.Errorf("after 6 days: %d", n)
		}
		settle(25 * time.Hour)
		if n := count(directory.DeliveryDelivered); n != 0 {
			t.Errorf("after 7 days: %d", n)
		}
	})
}
