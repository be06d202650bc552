package desk

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// Webhook is an endpoint that is told of events.
type Webhook struct {
	ID            directory.ID    `json:"id"`
	Name          string          `json:"name"`
	Format        string          `json:"format" enum:"json,set-push,set-poll" doc:"How it tells: json that is posted, signed (Standard Webhooks); security event tokens that are posted (RFC 8935), or wait to be fetched (RFC 8936)"`
	URL           string          `json:"url,omitempty" doc:"Where events are posted to; absent: nowhere"`
	Poll          string          `json:"poll,omitempty" doc:"Where tokens are fetched, of the format set-poll"`
	Audience      string          `json:"audience,omitempty" doc:"aud of its tokens; absent: it sends none"`
	Events        []string        `json:"events" nullable:"false" doc:"Types of events that it is told of; none: all"`
	Everything    bool            `json:"everything" doc:"It is told of everything, whatever the organization"`
	Organizations []Named         `json:"organizations" nullable:"false" doc:"It is told of what concerns these, their tenants and environments"`
	Environments  []Named         `json:"environments" nullable:"false" doc:"It is told of the accesses to these, named as organization / environment"`
	State         string          `json:"state" enum:"active,paused,disabled"`
	Reason        string          `json:"reason,omitempty" doc:"Why the server has disabled it"`
	Created       time.Time       `json:"created"`
	Secrets       []WebhookSecret `json:"secrets" nullable:"false" doc:"The live ones: each of them signs JSON. Security event tokens are signed by the published keys instead"`
	Health        WebhookHealth   `json:"health"`
}

// WebhookSecret is a secret that signs, without what it is.
type WebhookSecret struct {
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires,omitempty" doc:"It signs until then; absent: until it is rotated"`
}

// WebhookHealth is how delivering goes.
type WebhookHealth struct {
	LastSuccess  *time.Time `json:"lastSuccess,omitempty"`
	LastFailure  *time.Time `json:"lastFailure,omitempty"`
	FailingSince *time.Time `json:"failingSince,omitempty" doc:"Since then nothing arrived; absent: the last attempt arrived"`
	HoldUntil    *time.Time `json:"holdUntil,omitempty" doc:"The endpoint has asked for quiet until then"`
	Waiting      int64      `json:"waiting" doc:"Deliveries on their way"`
	Backlog      int64      `json:"backlog" doc:"Events that were not looked at yet; they may concern others"`
	Dead         int64      `json:"dead" doc:"Dead letters: deliveries that were given up"`
	Delivered    int64      `json:"delivered" doc:"Deliveries that arrived, of those that are kept (7 days)"`
	DisabledAt   *time.Time `json:"disabledAt,omitempty" doc:"When it will be disabled if nothing arrives; absent: it will not"`
}

// WebhookInput is what a webhook is to be. What is absent in a change stays as it is.
type WebhookInput struct {
	Name          *string         `json:"name,omitempty" minLength:"1" maxLength:"256"`
	Format        *string         `json:"format,omitempty" enum:"json,set-push,set-poll" doc:"How it tells; absent at creation: json. Security event tokens (set-push, set-poll) tell of users and groups alone"`
	URL           *string         `json:"url,omitempty" maxLength:"2048" doc:"https://HOST/PATH; of the format set-poll there is none"`
	Audience      *string         `json:"audience,omitempty" maxLength:"2048" doc:"aud of security event tokens, an absolute URI; empty, or absent at creation: the address"`
	Events        *[]string       `json:"events,omitempty" maxItems:"20" doc:"Types of events; none: all"`
	Organizations *[]directory.ID `json:"organizations,omitempty" maxItems:"200" doc:"Given with environments, or without: the reach as a whole. Neither at creation: everything, for an operator alone"`
	Environments  *[]directory.ID `json:"environments,omitempty" maxItems:"200"`
}

// NewWebhook is a webhook whose secret has just been made.
type NewWebhook struct {
	Webhook Webhook `json:"webhook"`
	Secret  string  `json:"secret" doc:"Signs deliveries of the format json (Standard Webhooks); it is never sent, and security event tokens are verified by the published keys. It is shown this once"`
}

// Delivery is one event on its way to a webhook.
type Delivery struct {
	ID       string     `json:"id" doc:"Of the event; the header webhook-id"`
	Type     string     `json:"type"`
	Time     time.Time  `json:"time" doc:"Of the event"`
	State    string     `json:"state" enum:"pending,delivered,dead"`
	Test     bool       `json:"test,omitempty"`
	Attempts int        `json:"attempts"`
	Next     *time.Time `json:"next,omitempty" doc:"When it is tried again"`
	Ended    *time.Time `json:"ended,omitempty" doc:"When it arrived or was given up"`
	Last     *Attempt   `json:"last,omitempty" doc:"The last attempt"`
}

// Attempt is one try of a delivery.
type Attempt struct {
	At       time.Time `json:"at"`
	Millis   int64     `json:"milliseconds"`
	Status   int       `json:"status,omitempty" doc:"Of the answer; absent: there was none"`
	Error    string    `json:"error,omitempty" doc:"Why it counts as failed"`
	Response string    `json:"response,omitempty" doc:"Beginning of the answer, without control characters"`
}

// DeliveryDetail is a delivery with what is sent.
type DeliveryDetail struct {
	Delivery
	Webhook Named  `json:"webhook"`
	URL     string `json:"url,omitempty" doc:"Where it is posted to; absent: it waits to be fetched"`
	Token   bool   `json:"token,omitempty" doc:"It is a security event token: request are its claims"`
	Request string `json:"request,omitempty" doc:"The JSON body, or the claims of the token, as it would be sent now; absent for a test as JSON, when the webhook does not reach the event any more, and without the scope changes:read"`
}

func (in *WebhookInput) directory() directory.WebhookInput {
	out := directory.WebhookInput{Name: in.Name, Format: (*directory.WebhookFormat)(in.Format), URL: in.URL, Audience: in.Audience, Types: in.Events}
	if in.Organizations != nil || in.Environments != nil {
		out.Reach = &directory.Reach{}
		if in.Organizations != nil {
			out.Reach.Organizations = *in.Organizations
		}
		if in.Environments != nil {
			out.Reach.Environments = *in.Environments
		}
	}
	return out
}

func (d *Desk) checkWebhook(in *WebhookInput) error {
	if in.URL == nil {
		return nil
	}
	if *in.URL = strings.TrimSpace(*in.URL); *in.URL == "" {
		return nil // of one that is polled; the directory refuses it of others
	}
	if err := d.CheckAddress(*in.URL); err != nil {
		return fail(directory.Invalid, "url", "%s", err.Error())
	}
	return nil
}

// Webhooks lists those that an actor may see and change.
func (d *Desk) Webhooks(ctx context.Context, by directory.Actor) (List[Webhook], error) {
	return view(ctx, d, func(sn *directory.Snapshot) (List[Webhook], error) {
		out := List[Webhook]{Items: []Webhook{}}
		all, err := sn.MayWebhooks(by)
		if err != nil {
			return out, err
		}
		for _, w := range all {
			picture, err := d.webhook(sn, w)
			if err != nil {
				return out, err
			}
			out.Items = append(out.Items, *picture)
		}
		out.Total = int64(len(all))
		return out, nil
	})
}

// Webhook returns one that an actor may see.
func (d *Desk) Webhook(ctx context.Context, by directory.Actor, id directory.ID) (*Webhook, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (*Webhook, error) {
		w, err := sn.MayWebhook(by, id)
		if err != nil {
			return nil, err
		}
		return d.webhook(sn, w)
	})
}

func (d *Desk) webhook(sn *directory.Snapshot, w *directory.Webhook) (*Webhook, error) {
	out := &Webhook{ID: w.ID, Name: w.Name, Format: string(w.Form()), URL: w.URL, Events: append([]string{}, w.Types...), Everything: w.Role == directory.RoleOperator,
		Organizations: []Named{}, Environments: []Named{}, State: string(w.State), Reason: w.Reason, Created: w.Created, Secrets: []WebhookSecret{}}
	if w.Tokens() {
		out.Audience = d.audience(w)
	}
	if w.Polled() {
		out.Poll = d.pollURL(w)
	}
	if w.Reach != nil {
		for _, id := range w.Reach.Organizations {
			o, err := present(sn.Organization(id))
			if err != nil {
				return nil, err
			}
			if o != nil {
				out.Organizations = append(out.Organizations, Named{id, o.Name})
			}
		}
		for _, id := range w.Reach.Environments {
			env, err := present(sn.Environment(id))
			if err != nil {
				return nil, err
			}
			if env == nil {
				continue
			}
			o, err := sn.Organization(env.OrganizationID)
			if err != nil {
				return nil, err
			}
			out.Environments = append(out.Environments, Named{id, o.Name + " / " + env.Name})
		}
	}
	now := d.Now()
	for i := range w.Secrets {
		if s := &w.Secrets[i]; s.Live(now) {
			out.Secrets = append(out.Secrets, WebhookSecret{s.Created, orNil(s.Expires)})
		}
	}
	return out, d.webhookHealth(sn, w, &out.Health)
}

func (d *Desk) webhookHealth(sn *directory.Snapshot, w *directory.Webhook, h *WebhookHealth) error {
	st, err := sn.WebhookStatus(w.ID)
	if err != nil {
		return err
	}
	h.LastSuccess, h.LastFailure, h.FailingSince = orNil(st.LastSuccess), orNil(st.LastFailure), orNil(st.FailingSince)
	if st.Hold.After(d.Now()) {
		h.HoldUntil = orNil(st.Hold)
	}
	if h.FailingSince != nil && w.State == directory.WebhookActive {
		h.DisabledAt = orNil(st.FailingSince.Add(directory.WebhookGivesUp))
	}
	last, err := sn.LastEvent()
	if err != nil {
		return err
	}
	h.Backlog = int64(last - min(last, st.Cursor))
	for state, to := range map[directory.DeliveryState]*int64{directory.DeliveryPending: &h.Waiting, directory.DeliveryDead: &h.Dead, directory.DeliveryDelivered: &h.Delivered} {
		if *to, err = sn.DeliveryCount(w.ID, state); err != nil {
			return err
		}
	}
	return nil
}

// newWebhookSecret makes a secret of a webhook: 32 bytes, as Standard Webhooks writes them.
func (d *Desk) newWebhookSecret(webhook directory.ID) (text string, secret directory.NewWebhookSecret, err error) {
	plain := make([]byte, 32)
	if _, err := rand.Read(plain); err != nil {
		return "", secret, err
	}
	text = "whsec_" + base64.StdEncoding.EncodeToString(plain)
	secret.ID = d.Service.NewID()
	secret.Sealed, err = d.Seal([]byte(text), directory.WebhookSecretPlace(webhook, secret.ID))
	return text, secret, err
}

// mayWebhooks refuses who may not make webhooks, before a secret is sealed for nothing.
func mayWebhooks(by directory.Actor) error {
	if by.Role != directory.RoleOperator && by.Role != directory.RolePartner {
		return fail(directory.Forbidden, "", "webhooks are for operators and partners")
	}
	return nil
}

// CreateWebhook makes a webhook, and its secret. It is told of what happens from now on.
func (d *Desk) CreateWebhook(ctx context.Context, by directory.Actor, in WebhookInput) (*NewWebhook, error) {
	if err := mayWebhooks(by); err != nil {
		return nil, err
	}
	if err := d.checkWebhook(&in); err != nil {
		return nil, err
	}
	id := d.Service.NewID()
	text, secret, err := d.newWebhookSecret(id)
	if err != nil {
		return nil, err
	}
	if _, err := d.Service.CreateWebhook(ctx, by, id, d.input(&in), EventTypes, secret); err != nil {
		return nil, err
	}
	w, err := d.Webhook(ctx, by, id)
	if err != nil {
		return nil, err
	}
	return &NewWebhook{*w, text}, nil
}

// SetWebhook changes a webhook.
func (d *Desk) SetWebhook(ctx context.Context, by directory.Actor, id directory.ID, in WebhookInput) (*Webhook, error) {
	if _, err := d.Webhook(ctx, by, id); err != nil {
		return nil, err
	}
	if err := d.checkWebhook(&in); err != nil {
		return nil, err
	}
	if _, err := d.Service.SetWebhook(ctx, by, id, d.input(&in), EventTypes); err != nil {
		return nil, err
	}
	return d.Webhook(ctx, by, id)
}

// input is what a webhook is to be, with what only the server knows.
func (d *Desk) input(in *WebhookInput) directory.WebhookInput {
	out := in.directory()
	out.Assertions = d.Assertions
	return out
}

// RotateWebhook makes a new secret; the one before signs along until overlap is over.
func (d *Desk) RotateWebhook(ctx context.Context, by directory.Actor, id directory.ID, overlap time.Duration) (*NewWebhook, error) {
	if _, err := d.Webhook(ctx, by, id); err != nil {
		return nil, err
	}
	text, secret, err := d.newWebhookSecret(id)
	if err != nil {
		return nil, err
	}
	if _, err := d.Service.RotateWebhook(ctx, by, id, secret, overlap); err != nil {
		return nil, err
	}
	w, err := d.Webhook(ctx, by, id)
	if err != nil {
		return nil, err
	}
	return &NewWebhook{*w, text}, nil
}

// PauseWebhook has a webhook deliver nothing until it is resumed.
func (d *Desk) PauseWebhook(ctx context.Context, by directory.Actor, id directory.ID) (*Webhook, error) {
	if _, err := d.Service.PauseWebhook(ctx, by, id); err != nil {
		return nil, err
	}
	return d.Webhook(ctx, by, id)
}

// audienceTaken is why tokens of a webhook are told to nobody: a careless receiver could take one for an assertion.
const audienceTaken = "the audience of its tokens is that of an application behind a proxy (upstreams): give it another one, then resume it"

// DisableTaken disables the webhooks whose tokens are for the audience of an application behind a proxy. No webhook gets such an audience;
// one may have had it before the application was configured.
func (d *Desk) DisableTaken(ctx context.Context) error {
	taken, err := view(ctx, d, func(sn *directory.Snapshot) ([]*directory.Webhook, error) {
		all, err := sn.Webhooks()
		return slices.DeleteFunc(all, func(w *directory.Webhook) bool { return !w.Tokens() || !slices.Contains(d.Assertions, d.audience(w)) }), err
	})
	for _, w := range taken {
		err = errors.Join(err, d.Service.DisableWebhook(ctx, w.ID, audienceTaken))
	}
	return err
}

// ResumeWebhook has a webhook that was paused or disabled deliver again, beginning with what has waited. Errors: Conflict for one that
// DisableTaken would disable.
func (d *Desk) ResumeWebhook(ctx context.Context, by directory.Actor, id directory.ID) (*Webhook, error) {
	w, err := d.Webhook(ctx, by, id)
	if err != nil {
		return nil, err
	}
	if slices.Contains(d.Assertions, w.Audience) {
		return nil, fail(directory.Conflict, "", "%s", audienceTaken)
	}
	if _, err := d.Service.ResumeWebhook(ctx, by, id); err != nil {
		return nil, err
	}
	return d.Webhook(ctx, by, id)
}

// RemoveWebhook removes a webhook, with what is on its way.
func (d *Desk) RemoveWebhook(ctx context.Context, by directory.Actor, id directory.ID) error {
	return d.Service.RemoveWebhook(ctx, by, id)
}

// TestWebhook has a test delivered, once.
func (d *Desk) TestWebhook(ctx context.Context, by directory.Actor, id directory.ID) (*Delivery, error) {
	return delivery(d.Service.TestWebhook(ctx, by, id))
}

// Redeliver delivers once more what arrived or was given up.
func (d *Desk) Redeliver(ctx context.Context, by directory.Actor, id directory.ID, event string) (*Delivery, error) {
	if _, err := d.Webhook(ctx, by, id); err != nil {
		return nil, err
	}
	sequence, err := deliveryOf(event)
	if err != nil {
		return nil, err
	}
	return delivery(d.Service.Redeliver(ctx, by, id, sequence))
}

// Redelivered is how many dead letters are on their way again.
type Redelivered struct {
	Count int `json:"count" doc:"How many are on their way again: 1,000 at most, the oldest ones"`
}

// RedeliverDead delivers the dead letters of a webhook once more.
func (d *Desk) RedeliverDead(ctx context.Context, by directory.Actor, id directory.ID) (*Redelivered, error) {
	n, err := d.Service.RedeliverDead(ctx, by, id, 1000)
	if err != nil {
		return nil, err
	}
	return &Redelivered{n}, nil
}

// Deliveries lists the deliveries of a webhook, newest first: those of a state, or all when it is empty.
func (d *Desk) Deliveries(ctx context.Context, by directory.Actor, id directory.ID, state string, p Page) (List[Delivery], error) {
	out := List[Delivery]{Items: []Delivery{}, Total: -1}
	after := uint64(0)
	if p.After != "" {
		var err error
		if after, err = strconv.ParseUint(p.After, 10, 64); err != nil {
			return out, fail(directory.Invalid, "after", "this page does not exist: begin with the first one")
		}
	}
	if state != "" && !slices.Contains(deliveryStates, directory.DeliveryState(state)) {
		return out, fail(directory.Invalid, "state", "a delivery is pending, delivered or dead")
	}
	return view(ctx, d, func(sn *directory.Snapshot) (List[Delivery], error) {
		if _, err := sn.MayWebhook(by, id); err != nil {
			return out, err
		}
		last := uint64(0)
		take := func(x *directory.Delivery) bool {
			if len(out.Items) == p.limit() {
				out.Next = strconv.FormatUint(last, 10)
				return false
			}
			last = x.Sequence
			out.Items = append(out.Items, pictureOf(x))
			return true
		}
		if state == "" {
			err := sn.Deliveries(id, after, take)
			return out, err
		}
		var err error
		if out.Total, err = sn.DeliveryCount(id, directory.DeliveryState(state)); err != nil {
			return out, err
		}
		err = sn.DeliveriesOf(id, directory.DeliveryState(state), after, true, take)
		return out, err
	})
}

var deliveryStates = []directory.DeliveryState{directory.DeliveryPending, directory.DeliveryDelivered, directory.DeliveryDead}

// scopeChanges is what an API token needs to read events.
const scopeChanges = "changes:read"

// Delivery returns a delivery with what is sent. An API token sees that only if it may read changes.
func (d *Desk) Delivery(ctx context.Context, by directory.Actor, id directory.ID, event string) (*DeliveryDetail, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (*DeliveryDetail, error) {
		w, err := sn.MayWebhook(by, id)
		if err != nil {
			return nil, err
		}
		sequence, err := deliveryOf(event)
		if err != nil {
			return nil, err
		}
		x, err := sn.Delivery(id, sequence)
		if err != nil {
			return nil, err
		}
		out := &DeliveryDetail{Delivery: pictureOf(x), Webhook: Named{w.ID, w.Name}, URL: w.URL, Token: w.Tokens()}
		if x.Test() && !w.Tokens() || by.Reach != nil && by.Reach.Scopes != nil && !slices.Contains(by.Reach.Scopes, scopeChanges) {
			return out, nil
		}
		if w.Tokens() {
			claims, err := d.claimsOf(sn, w, x)
			if err != nil || claims == nil {
				return out, err
			}
			body, err := json.MarshalIndent(claims, "", "  ")
			out.Request = string(body)
			return out, err
		}
		e, err := present(sn.OutboxEvent(sequence))
		if err != nil || e == nil {
			return out, err
		}
		told, err := d.Event(sn, w.Actor(), e)
		if err != nil || told == nil {
			return out, err
		}
		body, err := json.MarshalIndent(struct { // as webhook.Body writes it
			Type string    `json:"type"`
			Time time.Time `json:"timestamp"`
			Data *Change   `json:"data"`
		}{told.Type, told.Time, told}, "", "  ")
		out.Request = string(body)
		return out, err
	})
}

func delivery(x *directory.Delivery, err error) (*Delivery, error) {
	if err != nil {
		return nil, err
	}
	out := pictureOf(x)
	return &out, nil
}

const testPrefix = "test_"

func pictureOf(x *directory.Delivery) Delivery {
	out := Delivery{ID: EventID(x.Sequence), Type: x.Type, Time: x.Time, State: string(x.State), Test: x.Test(), Attempts: x.Attempts, Next: orNil(x.Next), Ended: orNil(x.Ended)}
	if x.Test() {
		out.ID = testPrefix + strconv.FormatUint(x.Sequence-directory.TestSequence, 10)
	}
	if a := x.Last; a != nil {
		out.Last = &Attempt{a.At, a.Duration.Milliseconds(), a.Status, a.Error, a.Answer}
	}
	return out
}

// deliveryOf reads the id of a delivery. Errors: NotFound.
func deliveryOf(id string) (uint64, error) {
	base := uint64(0)
	number, ok := strings.CutPrefix(id, "evt_")
	if !ok {
		number, ok = strings.CutPrefix(id, testPrefix)
		base = directory.TestSequence
	}
	n, err := strconv.ParseUint(number, 10, 62)
	if !ok || err != nil {
		return 0, fail(directory.NotFound, "", "delivery not found")
	}
	return base + n, nil
}
