package desk

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// Security event tokens (RFC 8417) tell of SCIM resources, as RFC 9967 says. A token says which attributes changed, never what
// they are: whoever may know asks for the resource. What a token claims is the same at each attempt: what could change meanwhile is
// in the event.

// URIs of the events of RFC 9967 section 2.4 that are told.
const (
	eventURIs       = "urn:ietf:params:scim:event:prov:"
	eventCreated    = eventURIs + "create:notice"
	eventPatched    = eventURIs + "patch:notice"
	eventPut        = eventURIs + "put:notice"
	eventDeleted    = eventURIs + "delete"
	eventActivate   = eventURIs + "activate"
	eventDeactivate = eventURIs + "deactivate"
)

// eventVerification is the event of a test (OpenID Shared Signals Framework 1.0 section 8.1.4): nothing happened.
const eventVerification = "https://schemas.openid.net/secevent/ssf/event-type/verification"

// SecurityEvent are the claims of a security event token. It has neither sub nor exp: by these nobody takes it for a token that
// opens something.
type SecurityEvent struct {
	Issuer   string               `json:"iss"` // address of this server
	IssuedAt int64                `json:"iat"` // Unix time of the change, of which the token was written down; no attempt changes it
	ID       string               `json:"jti"` // of event and webhook
	Audience string               `json:"aud"`
	Txn      string               `json:"txn,omitempty"` // what one transaction did has it in common
	Time     int64                `json:"toe,omitempty"`
	Subject  EventSubject         `json:"sub_id"`
	Base     string               `json:"scim_base,omitempty"` // of our own: the SCIM endpoint that uri is relative to
	Events   map[string]EventBody `json:"events"`
}

// EventSubject says what a security event is about (RFC 9493): of format scim a resource, of format opaque a webhook.
type EventSubject struct {
	Format     string `json:"format"`
	URI        string `json:"uri,omitempty"`
	ExternalID string `json:"externalId,omitempty"`
	ID         string `json:"id,omitempty"`
}

// EventBody is what stands under the URI of an event.
type EventBody struct {
	Attributes *[]string `json:"attributes,omitempty"` // that came, changed or went; of the forms called notice, which always have it
	Version    string    `json:"version,omitempty"`    // of the resource, its entity tag
	State      string    `json:"state,omitempty"`      // of a verification
}

// SecurityEvent is an outgoing event as the claims of a token for a webhook; nil when there is nothing in it for that. It takes from e
// the accesses that the webhook does not reach.
func (d *Desk) SecurityEvent(sn *directory.Snapshot, w *directory.Webhook, e *directory.OutboxEvent) (*SecurityEvent, error) {
	bodies := eventBodies(e)
	if len(bodies) == 0 {
		return nil, nil
	}
	r := newChangesReader(sn, w.Actor())
	if keep, err := r.keep(e, nil); err != nil || !keep {
		return nil, err
	}
	t, err := r.tenant(e.TenantID)
	if err != nil || t.named == nil || !e.GroupID.IsZero() && !t.seen { // as change has it
		return nil, err
	}
	out := d.claims(w, e.Time, tokenID(w, EventID(e.Sequence)))
	out.Txn, out.Time, out.Events = "txn_"+strconv.FormatUint(cmp.Or(e.First, e.Sequence), 10), e.Time.Unix(), bodies
	out.Base = d.URL() + "/scim/" + t.named.Name + "/v2"
	out.Subject = EventSubject{Format: "scim", URI: "/Users/" + e.UserID.String()}
	if !e.GroupID.IsZero() {
		out.Subject.URI = "/Groups/" + e.GroupID.String()
	}
	if t.seen { // the id in the customer's own directory is for who sees all of that
		out.Subject.ExternalID = e.ExternalID
	}
	return out, nil
}

// VerificationEvent are the claims of the token of a test.
func (d *Desk) VerificationEvent(w *directory.Webhook, x *directory.Delivery) *SecurityEvent {
	id := pictureOf(x).ID
	out := d.claims(w, x.Time, tokenID(w, id))
	out.Subject = EventSubject{Format: "opaque", ID: w.ID.String()}
	out.Events = map[string]EventBody{eventVerification: {State: id}}
	return out
}

func (d *Desk) claims(w *directory.Webhook, at time.Time, id string) *SecurityEvent {
	return &SecurityEvent{Issuer: d.URL(), IssuedAt: at.Unix(), ID: id, Audience: d.audience(w)}
}

// audience is whom tokens of a webhook are for.
func (d *Desk) audience(w *directory.Webhook) string {
	switch {
	case w.Audience != "":
		return w.Audience
	case w.Polled():
		return d.pollURL(w)
	}
	return w.URL
}

// pollURL is where the tokens of a webhook are fetched.
func (d *Desk) pollURL(w *directory.Webhook) string {
	return d.URL() + "/api/v1/webhooks/" + w.ID.String() + "/poll"
}

// tokenID is the jti of what a webhook is told: each is told with a token of its own.
func tokenID(w *directory.Webhook, id string) string { return id + "." + w.ID.String() }

// eventBodies says an outgoing event in the events of RFC 9967; none for what is not about a SCIM resource. Whether a person is
// active is said of each new one, and whenever it changes; of an event of an earlier version, which did not say whether it
// changed, each time: it may be said twice, never not at all.
func eventBodies(e *directory.OutboxEvent) map[string]EventBody {
	if e.TenantID.IsZero() || e.UserID.IsZero() && e.GroupID.IsZero() {
		return nil
	}
	bodies := map[string]EventBody{}
	notice := EventBody{Attributes: &[]string{}}
	if len(e.Attributes) > 0 {
		notice.Attributes = &e.Attributes
	}
	if e.Version > 0 {
		notice.Version = fmt.Sprintf("W/%q", strconv.FormatUint(e.Version, 10))
	}
	switch kind, what, _ := strings.Cut(e.Type, "."); {
	case kind != "user" && kind != "group", e.Method == directory.UpdateNone:
		return nil
	case what == "created":
		bodies[eventCreated] = notice
	case what == "deleted":
		return map[string]EventBody{eventDeleted: {}}
	case what == "updated" && e.Method == directory.UpdatePut:
		bodies[eventPut] = notice
	case what == "updated":
		bodies[eventPatched] = notice
	default:
		return nil
	}
	if e.Active != nil && (e.Switched || e.Method == "") {
		if *e.Active {
			bodies[eventActivate] = EventBody{}
		} else {
			bodies[eventDeactivate] = EventBody{}
		}
	}
	return bodies
}

// PollInput is what a receiver of tokens asks for (RFC 8936 section 2.2).
type PollInput struct {
	_ struct{} `additionalProperties:"true"`

	MaxEvents         *int               `json:"maxEvents,omitempty" minimum:"0" doc:"How many tokens at most; 0: none, the request only acknowledges. 100 are sent at most, and where it is absent"`
	ReturnImmediately bool               `json:"returnImmediately,omitempty" doc:"Answer at once when there is none; else the answer waits for one, 30 s at most"`
	Ack               []string           `json:"ack,omitempty" maxItems:"1000" doc:"jti of the tokens that have been dealt with: they do not come again"`
	SetErrs           map[string]PollErr `json:"setErrs,omitempty" maxProperties:"1000" doc:"Tokens that were refused, by their jti: they become dead letters, with the reason, and can be redelivered"`
}

// PollErr says why a token was refused (RFC 8935 section 2.3).
type PollErr struct {
	_ struct{} `additionalProperties:"true"`

	Err         string `json:"err" doc:"Such as invalid_request, invalid_key, invalid_issuer, invalid_audience, authentication_failed, access_denied"`
	Description string `json:"description,omitempty" required:"false" doc:"For people"`
}

// PollOutput are tokens for a receiver (RFC 8936 section 2.3).
type PollOutput struct {
	Sets map[string]string `json:"sets" nullable:"false" doc:"Security event tokens (compact JWS) by their jti. Of what is about one person there is the oldest alone: acknowledge it to get the next"`
	More bool              `json:"moreAvailable" doc:"Whether there are more that wait"`
}

// Bounds of a poll.
const (
	maxPollEvents = 100
	PollWait      = 30 * time.Second // most that a poll waits for the first token
)

// Polls reports whether a poll waits when there is nothing.
func (in *PollInput) Polls() bool { return !in.ReturnImmediately && in.most() > 0 }

func (in *PollInput) most() int {
	if in.MaxEvents == nil {
		return maxPollEvents
	}
	return min(max(*in.MaxEvents, 0), maxPollEvents)
}

// Poll takes in what has become of tokens of a webhook that is polled, and returns those that wait: at once, or within wait when
// there is none. who is asked before each look who the actor is by now. What is not acknowledged comes again; of what is about one
// person only the oldest. Errors: those of Webhook; Conflict for a webhook that posts, or is not active.
func (d *Desk) Poll(ctx context.Context, who func(context.Context) (directory.Actor, error), id directory.ID, in *PollInput, wait time.Duration) (*PollOutput, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	settled := false
	for over := wait <= 0 || !in.Polls(); ; {
		news, ends := d.Service.Published(), d.Service.SessionsEnded() // before reading: nothing that is committed meanwhile is missed
		by, err := who(ctx)
		if err != nil {
			return nil, err
		}
		if !settled {
			if err := d.settlePolled(ctx, by, id, in); err != nil {
				return nil, err
			}
			settled = true
		}
		got, err := d.waiting(ctx, by, id, in.most())
		if err != nil {
			return nil, err
		}
		if len(got.claims) > 0 || over {
			return d.signed(ctx, got)
		}
		select {
		case <-ctx.Done():
			return d.signed(ctx, got)
		case <-timer.C:
			over = true // one more look: who asks may have none of it any more
		case <-news:
		case <-ends:
		}
	}
}

// mayPoll is a webhook that somebody may fetch tokens of, as it is.
func mayPoll(sn *directory.Snapshot, by directory.Actor, id directory.ID) (*directory.Webhook, error) {
	w, err := sn.MayWebhook(by, id)
	if err != nil {
		return nil, err
	}
	if err := w.Polling(); err != nil {
		return nil, err
	}
	stands, err := sn.WebhookStands(w)
	if err == nil && !stands {
		err = fail(directory.Conflict, "", "the person who answers for the webhook has left or lost the role: who resumes it answers for it")
	}
	return w, err
}

// settlePolled writes down what a receiver says of tokens. What it was never told, and what is settled already, is passed over.
func (d *Desk) settlePolled(ctx context.Context, by directory.Actor, id directory.ID, in *PollInput) error {
	all, err := view(ctx, d, func(sn *directory.Snapshot) (map[uint64]directory.Settlement, error) {
		w, err := mayPoll(sn, by, id)
		if err != nil {
			return nil, err
		}
		all := d.settlements(w, in)
		for sequence := range all {
			x, err := present(sn.Delivery(id, sequence))
			if err != nil {
				return nil, err
			}
			if x == nil || x.State != directory.DeliveryPending {
				delete(all, sequence)
			}
		}
		return all, nil
	})
	if err != nil || len(all) == 0 { // what settles nothing writes nothing, and wakes nobody
		return err
	}
	return d.Service.SettleDeliveries(ctx, id, all)
}

// settlements are what a receiver says of tokens of a webhook.
func (d *Desk) settlements(w *directory.Webhook, in *PollInput) map[uint64]directory.Settlement {
	all := map[uint64]directory.Settlement{}
	for _, jti := range in.Ack {
		if sequence, ok := tokenSequence(w, jti); ok {
			all[sequence] = directory.Settlement{State: directory.DeliveryDelivered, Attempt: directory.Attempt{At: d.Now()}}
		}
	}
	for jti, e := range in.SetErrs { // refused and acknowledged at once: refused
		if sequence, ok := tokenSequence(w, jti); ok {
			all[sequence] = directory.Settlement{State: directory.DeliveryDead, Attempt: directory.Attempt{At: d.Now(), Error: RefusedToken(e.Err, e.Description)}}
		}
	}
	return all
}

// RefusedToken says that a receiver has refused a token, with its reason.
func RefusedToken(code, description string) string {
	text := "the receiver refused the token: " + code
	if description != "" {
		text += ": " + description
	}
	return text
}

// tokenSequence is the number of the delivery of a token of a webhook.
func tokenSequence(w *directory.Webhook, jti string) (uint64, bool) {
	id, of, _ := strings.Cut(jti, ".")
	sequence, err := deliveryOf(id)
	return sequence, err == nil && of == w.ID.String()
}

// polled is what waits for a receiver.
type polled struct {
	claims []*SecurityEvent
	more   bool
}

// waiting returns up to most tokens that wait, the oldest first; of what is about one person only the first. What the webhook does not
// reach any more is given up, so that nothing waits behind it.
func (d *Desk) waiting(ctx context.Context, by directory.Actor, id directory.ID, most int) (polled, error) {
	for {
		unsent := map[uint64]directory.Settlement{}
		got, err := view(ctx, d, func(sn *directory.Snapshot) (got polled, err error) {
			w, err := mayPoll(sn, by, id)
			if err != nil {
				return got, err
			}
			before, failed := map[directory.ID]bool{}, error(nil)
			err = sn.DeliveriesOf(id, directory.DeliveryPending, 0, false, func(x *directory.Delivery) bool {
				blocked := slices.ContainsFunc(x.Keys, func(k directory.ID) bool { return before[k] })
				for _, k := range x.Keys {
					before[k] = true
				}
				if blocked || len(got.claims) == most {
					got.more = true
					return len(got.claims) < most
				}
				var c *SecurityEvent
				if c, failed = d.claimsOf(sn, w, x); failed != nil {
					return false
				}
				if c == nil {
					unsent[x.Sequence] = directory.Settlement{State: directory.DeliveryDead, Unsent: true, Attempt: directory.Attempt{At: d.Now(), Error: notToldAnyMore}}
					return true
				}
				got.claims = append(got.claims, c)
				return true
			})
			return got, firstError(err, failed)
		})
		if err != nil || len(unsent) == 0 {
			return got, err
		}
		if err := d.Service.SettleDeliveries(ctx, id, unsent); err != nil {
			return got, err
		}
	}
}

// notToldAnyMore is why a delivery is given up whose event is not for the webhook any more.
const notToldAnyMore = "the webhook is not told of this event any more: nothing was sent"

// claimsOf are the claims of the token of a delivery; nil when there is nothing to tell any more.
func (d *Desk) claimsOf(sn *directory.Snapshot, w *directory.Webhook, x *directory.Delivery) (*SecurityEvent, error) {
	if x.Test() {
		return d.VerificationEvent(w, x), nil
	}
	e, err := present(sn.OutboxEvent(x.Sequence))
	if err != nil || e == nil {
		return nil, err
	}
	return d.SecurityEvent(sn, w, e)
}

// signed makes tokens of claims. It reads nothing: a key may have to be made.
func (d *Desk) signed(ctx context.Context, p polled) (*PollOutput, error) {
	out := &PollOutput{Sets: map[string]string{}, More: p.more}
	for _, c := range p.claims {
		claims, err := json.Marshal(c)
		if err != nil {
			return nil, err
		}
		if out.Sets[c.ID], err = d.SignEvent(ctx, claims); err != nil {
			return nil, err
		}
	}
	return out, nil
}
