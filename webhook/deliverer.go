package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/bizzstream/bizzscim/directory"
)

// Figures of delivering.
const (
	perWebhook = 4                     // attempts at a time of one webhook
	inAll      = 32                    // attempts at a time of all
	perOwner   = 8                     // of these, attempts at the webhooks of one owner
	maxPending = directory.MaxPending  // deliveries of one webhook that are on their way; later events wait in the outbox
	batch      = 256                   // events looked at in one go
	lag        = 1000                  // events that match nothing, after which the cursor is moved even so
	gather     = 50 * time.Millisecond // after an event, for more to come
	stumble    = 30 * time.Second      // after a fault of our own
	look       = time.Minute           // longest time between two looks: clocks can be set
	pruneEvery = time.Hour
)

// Schedule are the pauses after each failed attempt, with up to a tenth more or less. After the last one the delivery is
// given up: a dead letter, about three days after the first attempt.
var Schedule = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour,
	4 * time.Hour, 8 * time.Hour, 12 * time.Hour, 20 * time.Hour, 24 * time.Hour}

// Message is what an event says to one webhook.
type Message struct {
	ID   string // the same at each attempt
	Type string
	Time time.Time
	Data any // of a webhook that is told by tokens the claims
}

// Config is what a Deliverer needs.
type Config struct {
	Service *directory.Service
	// Message is an event as a webhook is told of it; ok is false when there is nothing in it for the webhook.
	Message func(sn *directory.Snapshot, w *directory.Webhook, e *directory.OutboxEvent) (m Message, ok bool, err error)
	Claims  func(w *directory.Webhook, test *directory.Delivery) any // of the token of a test
	Token   func(ctx context.Context, claims []byte) (string, error) // signs them: a JWS in compact form
	Keys    func(e *directory.OutboxEvent) []directory.ID            // whom an event is about: events with one in common are told in order
	Open    func(sealed, place string) ([]byte, error)
	Send    func(ctx context.Context, target string, header http.Header, body []byte) Answer // of a Sender
	Now     func() time.Time
	Log     *slog.Logger
}

// Deliverer delivers, to all webhooks of one store. Of one store there must be one.
type Deliverer struct {
	config Config
	slots  chan struct{} // attempts at a time

	mu      sync.Mutex
	running map[directory.ID]bool
	shares  map[string]chan struct{} // of the slots, by owner
}

// New returns a Deliverer.
func New(c Config) *Deliverer {
	return &Deliverer{config: c, slots: make(chan struct{}, inAll), running: map[directory.ID]bool{}, shares: map[string]chan struct{}{}}
}

// share is what the webhooks of an owner have of the slots.
func (d *Deliverer) share(owner string) chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shares[owner] == nil {
		d.shares[owner] = make(chan struct{}, perOwner)
	}
	return d.shares[owner]
}

// Work delivers until ctx ends. Attempts under way are then broken off; they count for nothing, and are made again by whoever
// works next.
func (d *Deliverer) Work(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	ended := make(chan struct{}, 1)
	pruned := time.Time{}
	for ctx.Err() == nil {
		news := d.config.Service.Published()
		if err := d.start(ctx, &all, ended); err != nil {
			d.failed(ctx, "webhooks could not be read", err)
		}
		if now := d.config.Now(); now.Sub(pruned) >= pruneEvery || now.Before(pruned) {
			pruned = now
			if _, err := d.config.Service.PruneDeliveries(ctx); err != nil {
				d.failed(ctx, "old deliveries could not be removed", err)
			}
		}
		d.wait(ctx, look, news, ended)
		pause(ctx, gather)
	}
}

// failed logs an error, unless it is only that the work ends.
func (d *Deliverer) failed(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		d.config.Log.Error(what, "error", err)
	}
}

// wait returns when there is news, something has ended, the time is over or ctx ends.
func (d *Deliverer) wait(ctx context.Context, most time.Duration, news, ended <-chan struct{}) {
	timer := time.NewTimer(min(max(most, 0), look))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-news:
	case <-ended:
	case <-timer.C:
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// start has every active webhook followed.
func (d *Deliverer) start(ctx context.Context, all *sync.WaitGroup, ended chan<- struct{}) error {
	var active []directory.ID
	err := d.config.Service.View(ctx, func(sn *directory.Snapshot) error {
		webhooks, err := sn.Webhooks()
		for _, w := range webhooks {
			if w.State == directory.WebhookActive {
				active = append(active, w.ID)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range active {
		if d.running[id] {
			continue
		}
		d.running[id] = true
		all.Go(func() {
			f := &follower{Deliverer: d, id: id, under: map[uint64]*directory.Delivery{}, done: make(chan struct{}, 1), results: make(chan result, perWebhook)}
			f.follow(ctx)
			d.mu.Lock()
			delete(d.running, id)
			d.mu.Unlock()
			signal(ended)
		})
	}
	return nil
}

func signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// follower delivers to one webhook.
type follower struct {
	*Deliverer
	id      directory.ID
	seen    uint64    // events looked at; at or beyond the cursor
	held    time.Time // after a fault of our own: nothing is sent until then
	under   map[uint64]*directory.Delivery
	results chan result
	done    chan struct{}
}

// result is what became of an attempt: err is a fault of our own.
type result struct {
	sequence uint64
	err      error
}

// follow delivers until the webhook is not active any more or ctx ends.
func (f *follower) follow(ctx context.Context) {
	defer f.finish()
	for ctx.Err() == nil {
		f.collect(ctx)
		news := f.config.Service.Published()
		view, err := f.look(ctx)
		switch {
		case err == nil && view == nil:
			return
		case err == nil:
			err = f.admit(ctx, view)
		}
		if err != nil {
			f.failed(ctx, "a webhook could not be followed", fmt.Errorf("%s: %w", f.id, err))
			pause(ctx, stumble)
			continue
		}
		if view.more {
			f.dispatch(ctx, view)
			continue
		}
		next := f.dispatch(ctx, view)
		f.wait(ctx, next, news, f.done)
		if len(f.results) == 0 {
			pause(ctx, gather)
		}
	}
}

// finish waits for the attempts under way.
func (f *follower) finish() {
	for len(f.under) > 0 {
		delete(f.under, (<-f.results).sequence)
	}
}

// collect takes in what has become of attempts.
func (f *follower) collect(ctx context.Context) {
	for {
		select {
		case r := <-f.results:
			delete(f.under, r.sequence)
			if r.err != nil {
				f.held = f.config.Now().Add(stumble)
				f.failed(ctx, "a delivery stumbled", fmt.Errorf("%s: %w", f.id, r.err))
			}
		default:
			return
		}
	}
}

// sight is what a follower sees in one snapshot.
type sight struct {
	owner   string
	polled  bool // what it is told of waits to be fetched: nothing is sent
	status  *directory.WebhookStatus
	pending []*directory.Delivery
	found   []directory.Delivery // to be admitted
	to      uint64               // the last event that was looked at
	more    bool                 // there are events beyond it
}

// look reads how things are; nil when there is nothing to follow any more.
func (f *follower) look(ctx context.Context) (*sight, error) {
	v := &sight{}
	lost := false
	err := f.config.Service.View(ctx, func(sn *directory.Snapshot) error {
		w, err := sn.Webhook(f.id)
		if err != nil || w.State != directory.WebhookActive {
			v = nil
			return gone(err)
		}
		v.owner, v.polled = w.Owner(), w.Polled()
		stands, err := sn.WebhookStands(w)
		if err != nil || !stands {
			lost = err == nil
			return err
		}
		if v.status, err = sn.WebhookStatus(f.id); err != nil {
			return err
		}
		if err := sn.DeliveriesOf(f.id, directory.DeliveryPending, 0, false, func(d *directory.Delivery) bool {
			v.pending = append(v.pending, d)
			return true
		}); err != nil {
			return err
		}
		return f.scan(sn, w, v)
	})
	if err == nil && lost {
		return nil, f.config.Service.DisableWebhook(ctx, f.id, "the person who answers for it has left or lost the role; who resumes it answers for it")
	}
	return v, err
}

// gone takes that a webhook is not there for no error.
func gone(err error) error {
	if err != nil && directory.KindOf(err) == directory.NotFound {
		return nil
	}
	return err
}

// scan looks for events that the webhook wants, as far as there is room for them.
func (f *follower) scan(sn *directory.Snapshot, w *directory.Webhook, v *sight) error {
	f.seen = max(f.seen, v.status.Cursor)
	v.to = f.seen
	room := min(batch, maxPending-len(v.pending))
	if room <= 0 {
		return nil
	}
	var failed error
	n := 0
	err := sn.Outbox(f.seen, func(e *directory.OutboxEvent) bool {
		if n == batch || len(v.found) == room {
			v.more = n == batch
			return false
		}
		n++
		if w.Wants(e.Type) {
			_, ok, err := f.config.Message(sn, w, e)
			if err != nil {
				failed = err
				return false
			}
			if ok {
				v.found = append(v.found, directory.Delivery{Sequence: e.Sequence, Type: e.Type, Time: e.Time, Keys: f.keys(e)})
			}
		}
		v.to = e.Sequence
		return true
	})
	if failed != nil {
		return failed
	}
	return err
}

// keys are whom an event is about; its group, when it is about nobody.
func (f *follower) keys(e *directory.OutboxEvent) []directory.ID {
	keys := f.config.Keys(e)
	if len(keys) == 0 && !e.GroupID.IsZero() {
		keys = []directory.ID{e.GroupID}
	}
	return keys
}

// admit keeps what was found, and moves the cursor with it.
func (f *follower) admit(ctx context.Context, v *sight) error {
	f.seen = v.to
	if len(v.found) == 0 && v.to < v.status.Cursor+lag {
		return nil
	}
	err := f.config.Service.AdmitDeliveries(ctx, f.id, v.status.Cursor, v.to, v.found)
	if err != nil {
		f.seen = v.status.Cursor
		if kind := directory.KindOf(err); kind == directory.Conflict || kind == directory.NotFound {
			v.more, v.pending = true, nil // it was paused or removed meanwhile: look again
			pause(ctx, gather)
			return nil
		}
		return err
	}
	now := f.config.Now()
	for i := range v.found {
		d := v.found[i]
		d.WebhookID, d.State, d.Next = f.id, directory.DeliveryPending, now
		v.pending = append(v.pending, &d)
	}
	return nil
}

// dispatch begins the attempts that are due, and returns how long it is until the next one is. What is about the
// same account as something before it waits for that.
func (f *follower) dispatch(ctx context.Context, v *sight) time.Duration {
	now := f.config.Now()
	quiet := later(f.held, v.status.Hold)
	next := look
	if v.polled {
		return next
	}
	before := map[directory.ID]bool{}
	for _, d := range f.under {
		for _, k := range d.Keys {
			before[k] = true
		}
	}
	for _, d := range v.pending {
		if f.under[d.Sequence] != nil {
			continue
		}
		blocked := false
		for _, k := range d.Keys {
			blocked = blocked || before[k]
			before[k] = true
		}
		if blocked {
			continue
		}
		due := later(d.Next, quiet)
		if due.After(now) {
			next = min(next, due.Sub(now))
			continue
		}
		if len(f.under) >= perWebhook {
			continue
		}
		f.under[d.Sequence] = d
		go f.attempt(ctx, d, f.share(v.owner))
	}
	return next
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// attempt makes one attempt. It takes in nothing of the follower but its results. Who waits for the owner's share holds no slot.
func (f *follower) attempt(ctx context.Context, d *directory.Delivery, share chan struct{}) {
	r := result{sequence: d.Sequence}
	if take(ctx, share) {
		if take(ctx, f.slots) {
			r.err = f.try(ctx, d)
			<-f.slots
		}
		<-share
	}
	f.results <- r
	signal(f.done)
}

// take waits for a slot; false: ctx has ended.
func take(ctx context.Context, slots chan<- struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case slots <- struct{}{}:
		return true
	}
}

// try sends a delivery and writes down what came of it.
func (f *follower) try(ctx context.Context, d *directory.Delivery) error {
	now := f.config.Now()
	q, err := f.request(ctx, d, now)
	if err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it is the end, not a failure
		}
		return err
	}
	switch q.state {
	case toLeave:
		return nil
	case toDrop:
		return f.config.Service.SettleDelivery(context.WithoutCancel(ctx), f.id, d.Sequence, directory.Settlement{State: directory.DeliveryDead, Unsent: true,
			Attempt: directory.Attempt{At: now, Error: "the webhook is not told of this event any more: nothing was sent"}})
	case toSend:
	}
	answer := f.config.Send(ctx, q.target, q.header, q.body)
	if ctx.Err() != nil && answer.Error != "" {
		return nil // broken off by us
	}
	refused := q.token && judgeToken(&answer)
	ended := f.config.Now()
	s := settle(d, answer, ended, 0.9+0.2*rand.Float64()) //nolint:gosec // spreads attempts, no secret
	if refused {
		s.State, s.Next = directory.DeliveryDead, time.Time{}
	}
	s.Attempt.At, s.Attempt.Duration = now, ended.Sub(now)
	// What has been sent is written down even when the work ends.
	return f.config.Service.SettleDelivery(context.WithoutCancel(ctx), f.id, d.Sequence, s)
}

// settle decides what an answer means. spread is what a pause is multiplied with.
func settle(d *directory.Delivery, a Answer, now time.Time, spread float64) directory.Settlement {
	s := directory.Settlement{Attempt: directory.Attempt{Status: a.Status, Error: a.Error, Answer: a.Text}, State: directory.DeliveryPending}
	switch {
	case a.Error == "":
		s.State = directory.DeliveryDelivered
		return s
	case d.Test(), d.Attempts >= len(Schedule):
		s.State = directory.DeliveryDead
	default:
		s.Next = now.Add(time.Duration(float64(Schedule[d.Attempts]) * spread))
	}
	if a.Status == http.StatusGone && !d.Test() {
		s.State, s.Next, s.Disable = directory.DeliveryDead, time.Time{}, "the endpoint answered 410 Gone: it wants no more"
	}
	if a.Wait > 0 {
		s.Hold = now.Add(a.Wait)
		if s.State == directory.DeliveryPending {
			s.Next = later(s.Next, s.Hold)
		}
	}
	return s
}

// request is what is to be done for a delivery.
type request struct {
	state  requestState
	target string
	header http.Header
	body   []byte
	token  bool // the body is a security event token
}

type requestState int

const (
	toSend  requestState = iota
	toDrop               // there is nothing to send any more
	toLeave              // it waits to be fetched by now
)

// request makes what is sent.
func (f *follower) request(ctx context.Context, d *directory.Delivery, now time.Time) (*request, error) {
	var w *directory.Webhook
	m, ok := Message{}, true
	err := f.config.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		if w, err = sn.Webhook(f.id); err != nil {
			return err
		}
		if d.Test() {
			m = f.testMessage(w, d)
			return nil
		}
		e, err := sn.OutboxEvent(d.Sequence)
		if err != nil {
			return err
		}
		m, ok, err = f.config.Message(sn, w, e)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case w.Polled():
		return &request{state: toLeave}, nil
	case !ok:
		return &request{state: toDrop}, nil
	case w.Tokens():
		return f.tokenRequest(ctx, w, m)
	}
	return f.jsonRequest(w, m, now)
}

// jsonRequest is a message as Standard Webhooks has it.
func (f *follower) jsonRequest(w *directory.Webhook, m Message, now time.Time) (*request, error) {
	body, err := Body(m)
	if err != nil {
		return nil, err
	}
	header := http.Header{"Content-Type": {"application/json"}}
	header.Set(standardwebhooks.HeaderWebhookID, m.ID)
	header.Set(standardwebhooks.HeaderWebhookTimestamp, fmt.Sprint(now.Unix()))
	signature, err := f.sign(w, m.ID, now, body)
	header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return &request{target: w.URL, header: header, body: body}, err
}

// Body is what is sent of a message.
func Body(m Message) ([]byte, error) {
	return json.Marshal(struct {
		Type string    `json:"type"`
		Time time.Time `json:"timestamp"`
		Data any       `json:"data"`
	}{m.Type, m.Time, m.Data})
}

func (f *follower) testMessage(w *directory.Webhook, d *directory.Delivery) Message {
	if w.Tokens() {
		return Message{Type: d.Type, Time: d.Time, Data: f.config.Claims(w, d)}
	}
	return Message{ID: fmt.Sprintf("test_%s_%d", w.ID, d.Sequence-directory.TestSequence), Type: d.Type, Time: d.Time,
		Data: map[string]any{"webhook": w.ID, "text": "This is a test. Nothing happened."}}
}

// sign signs with every live secret of a webhook, at least one: whoever still knows the older one can check it too.
func (f *follower) sign(w *directory.Webhook, id string, now time.Time, body []byte) (string, error) {
	var all []string
	for i := range w.Secrets {
		s := &w.Secrets[i]
		if !s.Live(now) {
			continue
		}
		secret, err := f.config.Open(s.Sealed, directory.WebhookSecretPlace(w.ID, s.ID))
		if err != nil {
			return "", err
		}
		signer, err := standardwebhooks.NewWebhook(string(secret))
		if err != nil {
			return "", err
		}
		signature, err := signer.Sign(id, now, body)
		if err != nil {
			return "", err
		}
		all = append(all, signature)
	}
	if len(all) == 0 {
		return "", fmt.Errorf("webhook: %s has no live secret", w.ID)
	}
	return strings.Join(all, " "), nil
}
