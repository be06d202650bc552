package directory

import (
	"cmp"
	"context"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Webhooks tell others of the outgoing events. The writer of an event knows nothing of them: whoever delivers follows the
// outbox with a durable cursor for each webhook, turns what matches into deliveries (AdmitDeliveries moves the
// cursor in the same transaction, so that nothing is lost or skipped), and settles each of them (SettleDelivery).

// Bounds of webhooks.
const (
	MaxWebhooks       = 200
	MaxOwnWebhooks    = 20                  // of these, those of one owner
	MaxPending        = 1000                // deliveries of one webhook that are on their way
	webhookSecrets    = 2                   // live ones of a webhook
	maxWebhookURL     = 2048                // bytes
	DeliveredKept     = 7 * 24 * time.Hour  // how long deliveries that arrived are kept
	DeadKept          = 90 * 24 * time.Hour // how long dead letters are kept
	maxEnded          = 10_000              // deliveries that arrived, and dead letters, kept of one webhook; the oldest gives way
	WebhookGivesUp    = 5 * 24 * time.Hour  // of nothing but failures, after which a webhook is disabled
	maxDeliveryText   = 1 << 10             // bytes of what an endpoint answered, and of an error
	pruneDeliveryRows = 500                 // of one transaction
)

// webhookTells is the scope that an API token needs besides, to say where a webhook leads: it could not know otherwise what that is told.
const webhookTells = "changes:read"

// WebhookState says whether a webhook delivers.
type WebhookState string

// The states of a webhook.
const (
	WebhookActive   WebhookState = "active"
	WebhookPaused   WebhookState = "paused"   // by somebody; events wait in the outbox
	WebhookDisabled WebhookState = "disabled" // by the server, with a reason; events wait in the outbox
)

// WebhookFormat is how a webhook tells of events.
type WebhookFormat string

// The formats of webhooks. Security event tokens (RFC 8417) tell of SCIM resources (RFC 9967), and of nothing else.
const (
	FormatJSON WebhookFormat = "json"     // JSON that is posted, signed as Standard Webhooks has it; also where none is set
	FormatPush WebhookFormat = "set-push" // security event tokens that are posted (RFC 8935)
	FormatPoll WebhookFormat = "set-poll" // security event tokens that wait to be fetched (RFC 8936)
)

// Formats are those that there are.
var Formats = []WebhookFormat{FormatJSON, FormatPush, FormatPoll}

// Webhook is an endpoint that is told of events. Its role and reach say which, as those of an actor do.
type Webhook struct {
	ID        ID              `json:"id"`
	Name      string          `json:"name"`
	Format    WebhookFormat   `json:"format,omitempty"`
	URL       string          `json:"url"`                // empty: nothing is posted
	Audience  string          `json:"audience,omitempty"` // of tokens; empty: the address
	Role      Role            `json:"role"`
	Reach     *Reach          `json:"reach,omitempty"`
	Types     []string        `json:"types,omitempty"` // of events; none: all
	Secrets   []WebhookSecret `json:"secrets"`         // oldest first; all live ones sign
	State     WebhookState    `json:"state"`
	Reason    string          `json:"reason,omitempty"` // why it is disabled
	Created   time.Time       `json:"created"`
	CreatedBy string          `json:"createdBy,omitempty"`
	AccountID ID              `json:"accountId,omitzero"` // who answers for it, as for an API token: without that person's role it ends
}

// WebhookSecret signs deliveries.
type WebhookSecret struct {
	ID      ID        `json:"id"`
	Sealed  string    `json:"sealed"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: it does not
}

// Live reports whether the secret signs at that time.
func (s *WebhookSecret) Live(now time.Time) bool { return s.Expires.IsZero() || now.Before(s.Expires) }

// WebhookSecretPlace is what a sealed secret is bound to.
func WebhookSecretPlace(webhook, secret ID) string {
	return "webhook/" + webhook.String() + "/" + secret.String()
}

// Actor is what a webhook may be told of.
func (w *Webhook) Actor() Actor {
	return Actor{Role: w.Role, Channel: "webhook", ID: w.ID.String(), Reach: w.Reach}
}

// Owner is whose share of the server a webhook uses up: the person who answers for it; where that is nobody, who made it.
func (w *Webhook) Owner() string {
	if w.AccountID.IsZero() {
		return w.CreatedBy
	}
	return w.AccountID.String()
}

// Form is how it tells of events.
func (w *Webhook) Form() WebhookFormat { return cmp.Or(w.Format, FormatJSON) }

// Tokens reports whether it is told of events as security event tokens.
func (w *Webhook) Tokens() bool { return w.Format == FormatPush || w.Polled() }

// Polled reports whether what it is told of waits to be fetched: nothing is sent then.
func (w *Webhook) Polled() bool { return w.Format == FormatPoll }

// Polling says why nothing can be fetched. Errors: Conflict for a webhook that posts, or is not active.
func (w *Webhook) Polling() error {
	if !w.Polled() {
		return failf(Conflict, "", "what this webhook tells is posted: there is nothing to fetch")
	}
	if w.State != WebhookActive {
		return failf(Conflict, "", "the webhook is %s: resume it first", w.State)
	}
	return nil
}

// Wants reports whether a type of event is among those that a webhook is told of.
func (w *Webhook) Wants(kind string) bool { return len(w.Types) == 0 || slices.Contains(w.Types, kind) }

// WebhookStatus is how far a webhook is, and how it goes.
type WebhookStatus struct {
	Cursor       uint64    `json:"cursor"`                // the last event of the outbox that was looked at
	LastSuccess  time.Time `json:"lastSuccess,omitzero"`  //
	LastFailure  time.Time `json:"lastFailure,omitzero"`  //
	FailingSince time.Time `json:"failingSince,omitzero"` // since then nothing arrived; zero: all is well
	Hold         time.Time `json:"hold,omitzero"`         // the endpoint asked for quiet until then
}

// DeliveryState says how far a delivery is.
type DeliveryState string

// The states of a delivery.
const (
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryDead      DeliveryState = "dead" // given up; it can be redelivered
)

// Delivery is one event on its way to one webhook.
type Delivery struct {
	WebhookID ID            `json:"webhookId"`
	Sequence  uint64        `json:"sequence"` // of the event; above TestSequence: of a test
	Type      string        `json:"type"`
	Keys      []ID          `json:"keys,omitempty"` // the accounts that it is about, or its group: what has one of them in common is told in order
	Time      time.Time     `json:"time"`           // of the event
	State     DeliveryState `json:"state"`
	Attempts  int           `json:"attempts"`       // since it was admitted or redelivered
	Next      time.Time     `json:"next,omitzero"`  // not before; of a pending one
	Ended     time.Time     `json:"ended,omitzero"` // arrived, or given up
	Last      *Attempt      `json:"last,omitempty"`
}

// TestSequence is above the number of any event: tests are numbered from there.
const TestSequence = 1 << 62

// Test reports whether the delivery is a test: it has no event.
func (d *Delivery) Test() bool { return d.Sequence > TestSequence }

// Attempt is one try of a delivery.
type Attempt struct {
	At       time.Time     `json:"at"`
	Duration time.Duration `json:"duration"`
	Status   int           `json:"status,omitempty"` // of HTTP; 0: there was no answer
	Error    string        `json:"error,omitempty"`  // why it counts as failed
	Answer   string        `json:"answer,omitempty"` // beginning of the body
}

var (
	tableWebhooks      = &Table{Name: "webhooks"}                             // webhook -> Webhook
	tableWebhookStatus = &Table{Name: "webhook_status"}                       // webhook -> WebhookStatus
	tableDeliveries    = &Table{Name: "webhook_deliveries", Sequential: true} // webhook, sequence -> Delivery
	tableDeliveryState = &Table{Name: "webhook_delivery_state", CountPrefix: 17}
	// webhook, state, sequence
)

var webhookTables = []*Table{tableWebhooks, tableWebhookStatus, tableDeliveries, tableDeliveryState}

var deliveryStateByte = map[DeliveryState]byte{DeliveryPending: 'p', DeliveryDelivered: 'd', DeliveryDead: 'x'}

func deliveryStatePrefix(webhook ID, state DeliveryState) []byte {
	return append(key(webhook), deliveryStateByte[state])
}

func deliveryStateKey(webhook ID, state DeliveryState, sequence uint64) []byte {
	return append(deliveryStatePrefix(webhook, state), sequenceKey(sequence)...)
}

// Webhooks lists all webhooks.
func (s *Snapshot) Webhooks() (all []*Webhook, err error) {
	err = list(s.r, tableWebhooks, Range{}, jsonRow[Webhook], func(w *Webhook) bool { all = append(all, w); return true })
	return all, err
}

// Webhook returns a webhook.
func (s *Snapshot) Webhook(id ID) (*Webhook, error) {
	w, err := get(s.r, tableWebhooks, key(id), decodeJSON[Webhook])
	return found(w, err, "webhook")
}

// WebhookStatus returns how far a webhook is.
func (s *Snapshot) WebhookStatus(id ID) (*WebhookStatus, error) {
	st, err := get(s.r, tableWebhookStatus, key(id), decodeJSON[WebhookStatus])
	return found(st, err, "webhook")
}

// MayWebhook returns a webhook that an actor may see and change: an operator each, a partner those that reach no further than
// its own organizations. Errors: Forbidden for any other role; NotFound.
func (s *Snapshot) MayWebhook(by Actor, id ID) (*Webhook, error) {
	if err := require(by, RolePartner, RoleOperator); err != nil {
		return nil, err
	}
	w, err := s.Webhook(id)
	if err != nil {
		return nil, err
	}
	if may, err := s.mayEnd(by, w.asToken()); err != nil || !may {
		return nil, cmpErr(err, notFound("webhook"))
	}
	return w, nil
}

// MayWebhooks lists the webhooks that an actor may see and change. Errors: Forbidden, as MayWebhook.
func (s *Snapshot) MayWebhooks(by Actor) ([]*Webhook, error) {
	if err := require(by, RolePartner, RoleOperator); err != nil {
		return nil, err
	}
	all, err := s.Webhooks()
	if err != nil {
		return nil, err
	}
	var may []*Webhook
	for _, w := range all {
		ok, err := s.mayEnd(by, w.asToken())
		if err != nil {
			return nil, err
		}
		if ok {
			may = append(may, w)
		}
	}
	return may, nil
}

func cmpErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// asToken is a webhook as what an API token of the same role and reach would be: what covers it, and who answers for it, is the
// same for both.
func (w *Webhook) asToken() *APIToken {
	return &APIToken{Role: w.Role, Reach: w.Reach, AccountID: w.AccountID}
}

// WebhookStands reports whether the person who answers for a webhook is still there and may what it is told of.
func (s *Snapshot) WebhookStands(w *Webhook) (bool, error) { return s.stillAnswered(w.asToken()) }

// Delivery returns a delivery of a webhook.
func (s *Snapshot) Delivery(webhook ID, sequence uint64) (*Delivery, error) {
	d, err := get(s.r, tableDeliveries, numberKey(webhook, sequence), decodeJSON[Delivery])
	return found(d, err, "delivery")
}

// Deliveries lists the deliveries of a webhook, newest first, below that number; 0: from the newest.
func (s *Snapshot) Deliveries(webhook ID, below uint64, fn func(*Delivery) bool) error {
	return list(s.r, tableDeliveries, numberRange(webhook, below, true), jsonRow[Delivery], fn)
}

// DeliveriesOf lists the deliveries of a webhook in that state, oldest first, beyond that number.
func (s *Snapshot) DeliveriesOf(webhook ID, state DeliveryState, after uint64, reverse bool, fn func(*Delivery) bool) error {
	rg := Range{Prefix: deliveryStatePrefix(webhook, state), Reverse: reverse}
	if after > 0 {
		rg.After = deliveryStateKey(webhook, state, after)
	}
	return list(s.r, tableDeliveryState, rg, func(k, _ []byte) (*Delivery, error) {
		d, err := get(s.r, tableDeliveries, append(key(webhook), k[17:]...), decodeJSON[Delivery])
		return found(d, err, "delivery")
	}, fn)
}

// DeliveryCount returns how many deliveries of a webhook are in a state.
func (s *Snapshot) DeliveryCount(webhook ID, state DeliveryState) (int64, error) {
	return s.r.Count(tableDeliveryState, deliveryStatePrefix(webhook, state))
}

// OutboxEvent returns the event of that number.
func (s *Snapshot) OutboxEvent(sequence uint64) (*OutboxEvent, error) {
	e, err := get(s.r, tableOutbox, sequenceKey(sequence), decodeJSON[OutboxEvent])
	return found(e, err, "event")
}

// NewID makes an id, for what has to know it before it is kept.
func (s *Service) NewID() ID { return s.newID() }

// WebhookInput describes a webhook. A nil field of a change is left as it is.
type WebhookInput struct {
	Name     *string
	Format   *WebhookFormat
	URL      *string   // of one that is polled none
	Audience *string   // an absolute URI; empty: the address
	Types    *[]string // of EventTypes; empty: all
	Reach    *Reach    // nothing in it: everything, for an operator alone

	Assertions []string // audiences of assertions: tokens are for none of these
}

// NewWebhookSecret is a secret that has been made and sealed.
type NewWebhookSecret struct {
	ID     ID
	Sealed string
}

// CreateWebhook makes an active webhook with an id from NewID. It is told of events from now on. Errors: Forbidden;
// Invalid, also for what the reach names that is not there or not the caller's; Conflict at MaxWebhooks.
func (s *Service) CreateWebhook(ctx context.Context, by Actor, id ID, in WebhookInput, types []string, secret NewWebhookSecret) (*Webhook, error) {
	if err := require(by, RolePartner, RoleOperator); err != nil {
		return nil, err
	}
	var w *Webhook
	err := s.changeWebhooks(ctx, by, func(c *change) error {
		account, err := c.answersFor(by)
		if err != nil {
			return err
		}
		w = &Webhook{ID: id, State: WebhookActive, Created: c.now, CreatedBy: by.ID, AccountID: account,
			Secrets: []WebhookSecret{{ID: secret.ID, Sealed: secret.Sealed, Created: c.now}}}
		if in.Name == nil {
			return failf(Invalid, "name", "a webhook needs a name")
		}
		if in.Reach == nil {
			in.Reach = &Reach{}
		}
		if err := c.setWebhook(w, in, types); err != nil {
			return err
		}
		if err := c.roomForWebhook(w); err != nil {
			return err
		}
		last, err := c.LastEvent()
		if err != nil {
			return err
		}
		if err := c.insert(tableWebhooks, key(id), encodeJSON(w), failf(Exists, "id", "there is a webhook of this id")); err != nil {
			return err
		}
		if err := c.put(row{tableWebhookStatus, key(id), encodeJSON(WebhookStatus{Cursor: last})}); err != nil {
			return err
		}
		return c.audit("webhook.create", w.Name, w.public())
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// roomForWebhook refuses a webhook more, of all or of its owner.
func (c *change) roomForWebhook(w *Webhook) error {
	all, err := c.Webhooks()
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(all, func(x *Webhook) bool { return x.ID == w.ID })
	if len(others) >= MaxWebhooks {
		return failf(Conflict, "", "there are %d webhooks already: remove one first", len(others))
	}
	own := 0
	for _, x := range others {
		if x.Owner() == w.Owner() {
			own++
		}
	}
	if own >= MaxOwnWebhooks {
		return failf(Conflict, "", "you answer for %d webhooks already: remove one first", own)
	}
	return nil
}

// answer has whoever acts answer for a webhook from now on.
func (c *change) answer(w *Webhook) error {
	account, err := c.answersFor(c.by)
	if err != nil || account == w.AccountID {
		return err
	}
	w.AccountID = account
	return c.roomForWebhook(w)
}

// setWebhook checks an input and takes it over. types are those that there are.
func (c *change) setWebhook(w *Webhook, in WebhookInput, types []string) (err error) {
	if r := c.by.Reach; r != nil && r.Scopes != nil && !slices.Contains(r.Scopes, webhookTells) {
		return failf(Forbidden, "", "a webhook is told of changes: this token does not have the scope %s", webhookTells)
	}
	if in.Name != nil {
		if w.Name, err = cleanName("name", *in.Name); err != nil {
			return err
		}
	}
	if err := w.setWhere(in); err != nil {
		return err
	}
	if w.Tokens() && slices.Contains(in.Assertions, cmp.Or(w.Audience, w.URL)) { // a careless receiver could take one for the other
		return failf(Invalid, "audience", "the audience of an application behind a proxy cannot be that of tokens: give another one")
	}
	if in.Types != nil {
		w.Types = nil
		for _, t := range *in.Types {
			if !slices.Contains(types, t) {
				return failf(Invalid, "types", "there is no type of event %q", t)
			}
			if !slices.Contains(w.Types, t) {
				w.Types = append(w.Types, t)
			}
		}
	}
	if w.Tokens() && len(w.Types) > 0 && !slices.ContainsFunc(w.Types, aboutResource) {
		return failf(Invalid, "types", "security event tokens tell of users and groups alone: choose an event of these")
	}
	if in.Reach != nil {
		return c.setWebhookReach(w, in.Reach)
	}
	return nil
}

// aboutResource reports whether an event of that type is about a SCIM resource.
func aboutResource(kind string) bool {
	return strings.HasPrefix(kind, "user.") || strings.HasPrefix(kind, "group.")
}

// setWhere takes over in which form and where to a webhook tells.
func (w *Webhook) setWhere(in WebhookInput) error {
	if in.Format != nil {
		if !slices.Contains(Formats, *in.Format) {
			return failf(Invalid, "format", "there is no format %q", *in.Format)
		}
		w.Format = *in.Format
	}
	if in.Audience != nil {
		if err := checkAudience(*in.Audience); err != nil {
			return err
		}
		w.Audience = *in.Audience
	}
	if w.Polled() {
		if w.URL = ""; in.URL != nil && *in.URL != "" {
			return failf(Invalid, "url", "tokens that are fetched are posted nowhere: leave the address out")
		}
		return nil
	}
	if in.URL != nil {
		w.URL = *in.URL
	}
	if w.URL == "" {
		return failf(Invalid, "url", "a webhook that posts needs an address")
	}
	return checkWebhookURL(w.URL)
}

// checkAudience refuses what is no absolute URI.
func checkAudience(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Opaque == "" && u.Host == "" || len(text) > maxWebhookURL || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return failf(Invalid, "audience", "the audience is an absolute URI of at most %d characters, such as https://HOST/PATH", maxWebhookURL)
	}
	return nil
}

func (c *change) setWebhookReach(w *Webhook, reach *Reach) error {
	for _, id := range reach.Organizations {
		if _, err := c.Organization(id); err != nil || c.by.Role != RoleOperator && !c.by.Reach.organization(id) {
			return cmpErr(notMissing(err), failf(Invalid, "organizations", "there is no organization %s", id))
		}
	}
	for _, id := range reach.Environments {
		env, err := c.Environment(id)
		if err != nil || c.by.Role != RoleOperator && !c.by.Reach.organization(env.OrganizationID) {
			return cmpErr(notMissing(err), failf(Invalid, "environments", "there is no environment %s", id))
		}
	}
	switch {
	case len(reach.Organizations) > 0:
		w.Role, w.Reach = RolePartner, &Reach{Organizations: slices.Clone(reach.Organizations), Environments: slices.Clone(reach.Environments)}
	case len(reach.Environments) > 0:
		w.Role, w.Reach = RoleEnvironment, &Reach{Environments: slices.Clone(reach.Environments)}
	case c.by.Role != RoleOperator:
		return failf(Invalid, "organizations", "name at least one organization or environment")
	default:
		w.Role, w.Reach = RoleOperator, nil
	}
	return nil
}

// notMissing is an error that says more than that something is not there.
func notMissing(err error) error {
	if KindOf(err) == NotFound {
		return nil
	}
	return err
}

// checkWebhookURL refuses what is no address of an endpoint. Where it leads is checked when it is called.
func checkWebhookURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case len(text) > maxWebhookURL:
		return failf(Invalid, "url", "the address is longer than %d bytes", maxWebhookURL)
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Opaque != "":
		return failf(Invalid, "url", "the address is of the form https://HOST/PATH")
	case u.User != nil:
		return failf(Invalid, "url", "the address must not hold a user or password: deliveries are signed instead")
	case u.Fragment != "":
		return failf(Invalid, "url", "the address must not hold a fragment (#)")
	}
	return nil
}

// public is a webhook as the audit may show it.
func (w *Webhook) public() any {
	return map[string]any{"id": w.ID, "format": w.Format, "url": w.URL, "audience": w.Audience, "role": w.Role, "reach": w.Reach, "types": w.Types}
}

// changeWebhooks runs a change of webhooks, and wakes who delivers.
func (s *Service) changeWebhooks(ctx context.Context, by Actor, fn func(*change) error) error {
	err := s.update(ctx, by, fn)
	if err == nil {
		s.published.send()
	}
	return err
}

func (s *Service) editWebhook(ctx context.Context, by Actor, id ID, action string, fn func(*change, *Webhook) error) (*Webhook, error) {
	var w *Webhook
	err := s.changeWebhooks(ctx, by, func(c *change) (err error) {
		if w, err = c.MayWebhook(by, id); err != nil {
			return err
		}
		if err := fn(c, w); err != nil {
			return err
		}
		if err := c.put(row{tableWebhooks, key(id), encodeJSON(w)}); err != nil {
			return err
		}
		return c.audit(action, w.Name, w.public())
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// SetWebhook changes a webhook. Errors: Forbidden; NotFound; Invalid.
func (s *Service) SetWebhook(ctx context.Context, by Actor, id ID, in WebhookInput, types []string) (*Webhook, error) {
	return s.editWebhook(ctx, by, id, "webhook.set", func(c *change, w *Webhook) error {
		if in.URL != nil && *in.URL != w.URL || in.Format != nil && *in.Format != w.Form() { // where it leads is what has to be answered for
			if err := c.answer(w); err != nil {
				return err
			}
		}
		return c.setWebhook(w, in, types)
	})
}

// PauseWebhook has a webhook deliver nothing until it is resumed. Events wait meanwhile.
func (s *Service) PauseWebhook(ctx context.Context, by Actor, id ID) (*Webhook, error) {
	return s.editWebhook(ctx, by, id, "webhook.pause", func(_ *change, w *Webhook) error {
		w.State, w.Reason = WebhookPaused, ""
		return nil
	})
}

// ResumeWebhook has a webhook deliver again what has waited. Who resumes it answers for it from now on.
func (s *Service) ResumeWebhook(ctx context.Context, by Actor, id ID) (*Webhook, error) {
	return s.editWebhook(ctx, by, id, "webhook.resume", func(c *change, w *Webhook) error {
		if err := c.answer(w); err != nil {
			return err
		}
		w.State, w.Reason = WebhookActive, ""
		return c.editStatus(id, func(st *WebhookStatus) { st.FailingSince, st.Hold = time.Time{}, time.Time{} })
	})
}

// RotateWebhook gives a webhook a new secret; the others sign along until overlap is over (0: they end at once).
// Errors: Conflict when two are live already and overlap is not 0.
func (s *Service) RotateWebhook(ctx context.Context, by Actor, id ID, secret NewWebhookSecret, overlap time.Duration) (*Webhook, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return nil, failf(Invalid, "overlap", "the overlap lies between 0 and %d days", int(MaxOverlap.Hours()/24))
	}
	return s.editWebhook(ctx, by, id, "webhook.rotate", func(c *change, w *Webhook) error {
		end := c.now.Add(overlap)
		w.Secrets = slices.DeleteFunc(w.Secrets, func(x WebhookSecret) bool { return overlap == 0 || !x.Live(c.now) })
		if len(w.Secrets) >= webhookSecrets {
			return failf(Conflict, "overlap", "the webhook has %d live secrets already: wait for the older one to end, or rotate without an overlap", len(w.Secrets))
		}
		for i := range w.Secrets {
			if x := &w.Secrets[i]; x.Expires.IsZero() || end.Before(x.Expires) {
				x.Expires = end
			}
		}
		w.Secrets = append(w.Secrets, WebhookSecret{ID: secret.ID, Sealed: secret.Sealed, Created: c.now})
		return nil
	})
}

// RemoveWebhook removes a webhook with all its deliveries. Errors: Forbidden; NotFound.
func (s *Service) RemoveWebhook(ctx context.Context, by Actor, id ID) error {
	return s.changeWebhooks(ctx, by, func(c *change) error {
		w, err := c.MayWebhook(by, id)
		if err != nil {
			return err
		}
		for _, t := range []*Table{tableDeliveries, tableDeliveryState} {
			var rows []row
			if err := c.r.Scan(t, Range{Prefix: key(id)}, func(k, _ []byte) bool {
				rows = append(rows, row{table: t, key: slices.Clone(k)})
				return true
			}); err != nil {
				return err
			}
			if err := c.delete(rows...); err != nil {
				return err
			}
		}
		if err := c.delete(row{table: tableWebhooks, key: key(id)}, row{table: tableWebhookStatus, key: key(id)}); err != nil {
			return err
		}
		return c.audit("webhook.remove", w.Name, w.public())
	})
}

// ResealWebhooks seals every secret of webhooks again, as ResealCredentials does. Those that have ended go.
func (s *Service) ResealWebhooks(ctx context.Context, by Actor, fn func(w *Webhook, secret *WebhookSecret) (string, error)) (n int, err error) {
	if err := require(by, RoleOperator); err != nil {
		return 0, err
	}
	err = s.update(ctx, by, func(c *change) error {
		n = 0
		all, err := c.Webhooks()
		if err != nil {
			return err
		}
		for _, w := range all {
			w.Secrets = slices.DeleteFunc(w.Secrets, func(x WebhookSecret) bool { return !x.Live(c.now) })
			for i := range w.Secrets {
				sealed, err := fn(w, &w.Secrets[i])
				if err != nil {
					return err
				}
				if sealed != w.Secrets[i].Sealed {
					w.Secrets[i].Sealed = sealed
					n++
				}
			}
			if err := c.put(row{tableWebhooks, key(w.ID), encodeJSON(w)}); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

func (c *change) editStatus(id ID, edit func(*WebhookStatus)) error {
	st, err := c.WebhookStatus(id)
	if err != nil {
		return err
	}
	edit(st)
	return c.put(row{tableWebhookStatus, key(id), encodeJSON(st)})
}

// putDelivery writes a delivery in place of one in another state; before is empty for a new one.
func (c *change) putDelivery(d *Delivery, before DeliveryState) error {
	if before != "" && before != d.State {
		if err := c.w.Delete(tableDeliveryState, deliveryStateKey(d.WebhookID, before, d.Sequence)); err != nil {
			return err
		}
	}
	return c.put(row{tableDeliveries, numberKey(d.WebhookID, d.Sequence), encodeJSON(d)},
		row{tableDeliveryState, deliveryStateKey(d.WebhookID, d.State, d.Sequence), nil})
}

// TestWebhook has a test delivered, once. Errors: Conflict when the webhook is not active.
func (s *Service) TestWebhook(ctx context.Context, by Actor, id ID) (*Delivery, error) {
	var d *Delivery
	err := s.changeWebhooks(ctx, by, func(c *change) error {
		w, err := c.MayWebhook(by, id)
		if err != nil {
			return err
		}
		if w.State != WebhookActive {
			return failf(Conflict, "", "the webhook is %s: resume it first", w.State)
		}
		waiting := 0
		if err := c.DeliveriesOf(id, DeliveryPending, TestSequence, false, func(*Delivery) bool { waiting++; return true }); err != nil {
			return err
		}
		if waiting > 0 {
			return failf(Conflict, "", "a test is on its way already")
		}
		n, err := c.w.NextSequence(tableDeliveries)
		if err != nil {
			return err
		}
		d = &Delivery{WebhookID: id, Sequence: TestSequence + n, Type: "webhook.test", Time: c.now, State: DeliveryPending, Next: c.now}
		if err := c.putDelivery(d, ""); err != nil {
			return err
		}
		return c.audit("webhook.test", w.Name, nil)
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Redeliver delivers once more what has arrived or was given up. Errors: Forbidden; NotFound; Conflict for what is on its
// way, for a test, and while MaxPending are on their way.
func (s *Service) Redeliver(ctx context.Context, by Actor, id ID, sequence uint64) (*Delivery, error) {
	var d *Delivery
	err := s.changeWebhooks(ctx, by, func(c *change) error {
		w, err := c.MayWebhook(by, id)
		if err != nil {
			return err
		}
		if d, err = c.Delivery(id, sequence); err != nil {
			return err
		}
		if d.Test() {
			return failf(Conflict, "", "this was a test: send another one")
		}
		if d.State == DeliveryPending {
			return failf(Conflict, "", "the delivery is on its way already")
		}
		if _, err := c.roomForDeliveries(id); err != nil {
			return err
		}
		if err := c.again(d); err != nil {
			return err
		}
		return c.audit("webhook.redeliver", w.Name, map[string]uint64{"event": sequence})
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// roomForDeliveries is how many more may be on their way: each look at a webhook reads all of them. Errors: Conflict when none.
func (c *change) roomForDeliveries(id ID) (int, error) {
	waiting, err := c.DeliveryCount(id, DeliveryPending)
	if err != nil {
		return 0, err
	}
	if waiting >= MaxPending {
		return 0, failf(Conflict, "", "%d deliveries are on their way already: redeliver when they have arrived", waiting)
	}
	return MaxPending - int(waiting), nil
}

func (c *change) again(d *Delivery) error {
	before := d.State
	d.State, d.Attempts, d.Next, d.Ended = DeliveryPending, 0, c.now, time.Time{}
	return c.putDelivery(d, before)
}

// RedeliverDead delivers the dead letters of a webhook once more: the oldest most of them, as far as MaxPending
// leaves room. It returns how many. Errors: Conflict when there is no room.
func (s *Service) RedeliverDead(ctx context.Context, by Actor, id ID, most int) (n int, err error) {
	err = s.changeWebhooks(ctx, by, func(c *change) error {
		n = 0
		w, err := c.MayWebhook(by, id)
		if err != nil {
			return err
		}
		room, err := c.roomForDeliveries(id)
		if err != nil {
			return err
		}
		most := min(most, room)
		var dead []*Delivery
		if err := c.DeliveriesOf(id, DeliveryDead, 0, false, func(d *Delivery) bool {
			if !d.Test() {
				dead = append(dead, d)
			}
			return len(dead) < most
		}); err != nil {
			return err
		}
		for _, d := range dead {
			if err := c.again(d); err != nil {
				return err
			}
		}
		n = len(dead)
		if n == 0 {
			return nil
		}
		return c.audit("webhook.redeliver", w.Name, map[string]int{"deadLetters": n})
	})
	return n, err
}

// AdmitDeliveries moves the cursor of a webhook from one event to a later one, and keeps what is to be delivered of those
// in between. Errors: Conflict when the cursor is not at from, or the webhook is not active any more; NotFound when it is gone.
func (s *Service) AdmitDeliveries(ctx context.Context, id ID, from, to uint64, all []Delivery) error {
	fetched := false // by somebody who waits
	err := s.update(ctx, Actor{Role: RoleSystem, Channel: "webhook"}, func(c *change) error {
		w, err := c.Webhook(id)
		if err != nil {
			return err
		}
		st, err := c.WebhookStatus(id)
		if err != nil {
			return err
		}
		if st.Cursor != from || to < from || w.State != WebhookActive {
			return failf(Conflict, "", "the webhook has changed meanwhile")
		}
		for i := range all {
			d := all[i]
			d.WebhookID, d.State, d.Attempts, d.Next = id, DeliveryPending, 0, c.now
			if err := c.putDelivery(&d, ""); err != nil {
				return err
			}
		}
		fetched = w.Polled() && len(all) > 0
		st.Cursor = to
		return c.put(row{tableWebhookStatus, key(id), encodeJSON(st)})
	})
	if err == nil && fetched {
		s.published.send()
	}
	return err
}

// Settlement is what came of an attempt.
type Settlement struct {
	Attempt Attempt
	State   DeliveryState // pending: it is tried again at Next
	Next    time.Time
	Hold    time.Time // the endpoint asks for quiet until then; zero: it does not
	Disable string    // why the webhook has to stop; empty: it goes on
	Unsent  bool      // nothing was sent: it tells nothing of the endpoint
}

// SettleDelivery writes down what came of an attempt of a pending delivery. After WebhookGivesUp of nothing but failures
// the webhook is disabled. What was removed meanwhile is nothing to settle.
func (s *Service) SettleDelivery(ctx context.Context, id ID, sequence uint64, r Settlement) error {
	disabled := false
	err := s.update(ctx, Actor{Role: RoleSystem, Channel: "webhook"}, func(c *change) (err error) {
		_, disabled, err = c.settle(id, sequence, r)
		return err
	})
	if err == nil && disabled {
		s.published.send()
	}
	return err
}

// SettleDeliveries is SettleDelivery for several of one webhook that is polled, in the order of their numbers: all or none of it is
// written down. It makes room for others. Errors: NotFound; those of Polling.
func (s *Service) SettleDeliveries(ctx context.Context, id ID, all map[uint64]Settlement) error {
	settled := false
	err := s.update(ctx, Actor{Role: RoleSystem, Channel: "webhook"}, func(c *change) error {
		settled = false
		w, err := c.Webhook(id)
		if err != nil {
			return err
		}
		if err := w.Polling(); err != nil { // meanwhile it may have been paused, or posts
			return err
		}
		for _, sequence := range slices.Sorted(maps.Keys(all)) {
			one, _, err := c.settle(id, sequence, all[sequence])
			if err != nil {
				return err
			}
			settled = settled || one
		}
		return nil
	})
	if err == nil && settled {
		s.published.send()
	}
	return err
}

// settle writes down what came of an attempt, and reports whether it was pending, and whether the webhook was disabled.
func (c *change) settle(id ID, sequence uint64, r Settlement) (settled, disabled bool, err error) {
	d, err := c.Delivery(id, sequence)
	if err := notMissing(err); err != nil || d == nil || d.State != DeliveryPending {
		return false, false, err
	}
	r.Attempt.Error, r.Attempt.Answer = clip(r.Attempt.Error), clip(r.Attempt.Answer)
	d.Attempts++
	d.Last, d.State, d.Next = &r.Attempt, r.State, r.Next
	if d.State != DeliveryPending {
		d.Next, d.Ended = time.Time{}, c.now
	}
	if err := c.putDelivery(d, DeliveryPending); err != nil {
		return false, false, err
	}
	if err := c.dropOldest(id, r.State); err != nil || d.Test() || r.Unsent {
		return true, false, err
	}
	disabled, err = c.note(id, r)
	return true, disabled, err
}

// note has the health of a webhook tell what came of an attempt, and reports whether that disabled it.
func (c *change) note(id ID, r Settlement) (disabled bool, err error) {
	st, err := c.WebhookStatus(id)
	if err != nil {
		return false, err
	}
	if r.State == DeliveryDelivered {
		st.LastSuccess, st.FailingSince = c.now, time.Time{}
	} else {
		st.LastFailure = c.now
		if st.FailingSince.IsZero() {
			st.FailingSince = c.now
		}
	}
	if r.Hold.After(st.Hold) {
		st.Hold = r.Hold
	}
	if err := c.put(row{tableWebhookStatus, key(id), encodeJSON(st)}); err != nil {
		return false, err
	}
	why := r.Disable
	if why == "" && !st.FailingSince.IsZero() && c.now.Sub(st.FailingSince) >= WebhookGivesUp {
		why = "nothing arrived for " + strconv.Itoa(int(WebhookGivesUp.Hours()/24)) + " days"
	}
	if why == "" {
		return false, nil
	}
	return true, c.disableWebhook(id, why)
}

// clip keeps the beginning of a text that came from outside, without control characters.
func clip(text string) string {
	clean := make([]rune, 0, min(len(text), maxDeliveryText))
	size := 0
	for _, r := range text {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xfffd || r == 0x202e {
			r = ' '
		}
		if size += len(string(r)); size > maxDeliveryText {
			break
		}
		clean = append(clean, r)
	}
	return string(clean)
}

// dropOldest keeps the number of deliveries that have ended in bounds.
func (c *change) dropOldest(id ID, state DeliveryState) error {
	if state == DeliveryPending {
		return nil
	}
	n, err := c.DeliveryCount(id, state)
	if err != nil || n <= maxEnded {
		return err
	}
	var oldest *Delivery
	if err := c.DeliveriesOf(id, state, 0, false, func(d *Delivery) bool { oldest = d; return false }); err != nil || oldest == nil {
		return err
	}
	return c.dropDelivery(oldest)
}

func (c *change) dropDelivery(d *Delivery) error {
	return c.delete(row{table: tableDeliveries, key: numberKey(d.WebhookID, d.Sequence)}, row{table: tableDeliveryState, key: deliveryStateKey(d.WebhookID, d.State, d.Sequence)})
}

// DisableWebhook stops a webhook, with a reason: for who delivers.
func (s *Service) DisableWebhook(ctx context.Context, id ID, why string) error {
	return s.changeWebhooks(ctx, Actor{Role: RoleSystem, Channel: "webhook"}, func(c *change) error { return c.disableWebhook(id, why) })
}

func (c *change) disableWebhook(id ID, why string) error {
	w, err := c.Webhook(id)
	if err != nil || w.State != WebhookActive {
		return err
	}
	w.State, w.Reason = WebhookDisabled, clip(why)
	if err := c.put(row{tableWebhooks, key(id), encodeJSON(w)}); err != nil {
		return err
	}
	return c.audit("webhook.disable", w.Name, map[string]string{"id": id.String(), "reason": w.Reason})
}

// PruneDeliveries removes what is older than it has to be kept, in steps, and returns how much that was.
func (s *Service) PruneDeliveries(ctx context.Context) (total int, err error) {
	for {
		n := 0
		err := s.update(ctx, Actor{Role: RoleSystem, Channel: "webhook"}, func(c *change) error {
			n = 0
			all, err := c.Webhooks()
			if err != nil {
				return err
			}
			for _, w := range all {
				for state, keep := range map[DeliveryState]time.Duration{DeliveryDelivered: DeliveredKept, DeliveryDead: DeadKept} {
					old, err := c.oldDeliveries(w.ID, state, c.now.Add(-keep), pruneDeliveryRows-n)
					if err != nil {
						return err
					}
					for _, d := range old {
						if err := c.dropDelivery(d); err != nil {
							return err
						}
					}
					n += len(old)
				}
			}
			return nil
		})
		if err != nil {
			return total, err
		}
		if total += n; n < pruneDeliveryRows {
			return total, nil
		}
	}
}

func (c *change) oldDeliveries(id ID, state DeliveryState, before time.Time, most int) (old []*Delivery, err error) {
	if most <= 0 {
		return nil, nil
	}
	err = c.DeliveriesOf(id, state, 0, false, func(d *Delivery) bool {
		if !d.Ended.Before(before) { // younger ones follow, nearly always; what is missed goes with them
			return false
		}
		old = append(old, d)
		return len(old) < most
	})
	return old, err
}
