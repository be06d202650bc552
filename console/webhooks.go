package console

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

func (c *Console) webhooksTable() []route {
	return []route{
		{path: "/webhooks", access: Staff, get: c.webhooks},
		{path: "/webhooks/new", access: Staff, get: c.webhookNew, post: c.webhookCreate},
		{path: "/webhooks/{id}", access: Staff, get: c.webhook},
		{path: "/webhooks/{id}/live", access: Staff, get: c.webhookLive, quiet: true},
		{path: "/webhooks/{id}/edit", access: Staff, get: c.webhookEdit, post: c.webhookChange},
		{path: "/webhooks/{id}/act", access: Staff, post: c.webhookAct},
		{path: "/webhooks/{id}/rotate", access: Staff, post: c.webhookRotate},
		{path: "/webhooks/{id}/deliveries/{delivery}", access: Staff, get: c.delivery, post: c.deliveryPost},
	}
}

// health is the verdict on a webhook: the text "webhooks.health.<word>" and how it looks.
func health(w desk.Webhook) badge {
	// texts: webhooks.health.paused webhooks.health.disabled webhooks.health.failing webhooks.health.new webhooks.health.good
	switch {
	case w.State == string(directory.WebhookPaused):
		return badge{"paused", "plain"}
	case w.State == string(directory.WebhookDisabled):
		return badge{"disabled", "bad"}
	case w.Health.FailingSince != nil:
		return badge{"failing", "bad"}
	case w.Health.LastSuccess == nil:
		return badge{"new", "plain"}
	}
	return badge{"good", "good"}
}

// badge is a word with how it looks.
type badge struct{ Word, Look string }

type webhookRow struct {
	desk.Webhook
	Verdict badge
}

type webhooksData struct {
	Done string
	All  []webhookRow
}

// webhooks lists the webhooks that somebody may see.
func (c *Console) webhooks(v *visit) error {
	list, err := c.config.Desk.Webhooks(v.r.Context(), c.by(v))
	if err != nil {
		return err
	}
	data := webhooksData{Done: v.flash("webhook-removed")}
	for _, w := range list.Items {
		data.All = append(data.All, webhookRow{w, health(w)})
	}
	c.render(v, http.StatusOK, "webhooks", "webhooks.title", data)
	return nil
}

// choice is one thing that can be ticked.
type choice struct {
	ID      string
	Name    string
	Ticked  bool
	Choices []choice // within it
}

type webhookForm struct {
	ID         string // empty: a new one
	Was        string // its name
	Name, URL  string
	Formats    []choice
	Audience   string
	AllEvents  bool
	Events     []choice
	Operator   bool // may choose everything
	Everything bool
	Reach      []choice // organizations with their environments
	Wrong      wrongs
}

// webhookForm is the form filled in with what somebody typed, or with what a webhook is.
func (c *Console) webhookForm(v *visit, in url.Values) (*webhookForm, error) {
	by := c.by(v)
	f := &webhookForm{Name: in.Get("name"), URL: in.Get("url"), Audience: in.Get("audience"), AllEvents: in.Get("events") != "some", Operator: by.Role == directory.RoleOperator, Wrong: wrongs{}}
	f.Everything = f.Operator && in.Get("reach") != "some"
	// texts: webhooks.format.json webhooks.format.json.hint webhooks.format.set-push webhooks.format.set-push.hint webhooks.format.set-poll webhooks.format.set-poll.hint
	for _, x := range directory.Formats {
		f.Formats = append(f.Formats, choice{ID: string(x), Ticked: string(x) == cmp.Or(in.Get("format"), string(directory.FormatJSON))})
	}
	// texts: event.user.created event.user.updated event.user.deleted event.access.updated event.access.derived event.group.created event.group.updated event.group.deleted
	for _, t := range desk.EventTypes {
		f.Events = append(f.Events, choice{ID: t, Ticked: slices.Contains(in["event"], t)})
	}
	err := c.config.Directory.View(v.r.Context(), func(sn *directory.Snapshot) error {
		organizations, err := sn.SeeOrganizations(by)
		if err != nil {
			return err
		}
		envs, err := sn.SeeEnvironments(by)
		for _, o := range organizations {
			if !f.Operator && !slices.Contains(by.Reach.Organizations, o.ID) {
				continue
			}
			x := choice{ID: o.ID.String(), Name: o.Name, Ticked: slices.Contains(in["organization"], o.ID.String())}
			for _, e := range envs {
				if e.OrganizationID == o.ID {
					x.Choices = append(x.Choices, choice{ID: e.ID.String(), Name: e.Name, Ticked: slices.Contains(in["environment"], e.ID.String())})
				}
			}
			f.Reach = append(f.Reach, x)
		}
		return err
	})
	return f, err
}

// webhookInput reads the form.
func webhookInput(form url.Values, operator bool) (desk.WebhookInput, wrongs) {
	name, address, audience := strings.TrimSpace(form.Get("name")), strings.TrimSpace(form.Get("url")), strings.TrimSpace(form.Get("audience"))
	format := cmp.Or(form.Get("format"), string(directory.FormatJSON))
	events, organizations, environments := []string{}, []directory.ID{}, []directory.ID{}
	wrong := wrongs{}
	if form.Get("events") == "some" {
		if events = form["event"]; len(events) == 0 {
			wrong["types"] = "events"
		}
	}
	if !operator || form.Get("reach") == "some" {
		organizations, environments = ids(form["organization"]), ids(form["environment"])
		if len(organizations)+len(environments) == 0 {
			wrong["organizations"] = "reach"
		}
	}
	if format == string(directory.FormatJSON) {
		audience = "" // of tokens alone: what was typed before another format was chosen is in nobody's way
	}
	return desk.WebhookInput{Name: &name, Format: &format, URL: &address, Audience: &audience, Events: &events, Organizations: &organizations, Environments: &environments}, wrong
}

// ids are those among texts that are ids; others name nothing, and are refused as what nobody has.
func ids(texts []string) []directory.ID {
	all := []directory.ID{}
	for _, text := range texts {
		id, _ := directory.ParseID(text)
		all = append(all, id)
	}
	return all
}

func mayWebhooks(v *visit) error {
	if role := v.principal.Role(); role != directory.RoleOperator && role != directory.RolePartner {
		return &directory.Error{Kind: directory.Forbidden, Detail: "webhooks are for operators and partners"}
	}
	return nil
}

func (c *Console) webhookNew(v *visit) error {
	if err := mayWebhooks(v); err != nil {
		return err
	}
	f, err := c.webhookForm(v, url.Values{})
	if err != nil {
		return err
	}
	c.render(v, http.StatusOK, "webhookedit", "webhooks.new", f)
	return nil
}

type webhookSecret struct {
	Webhook desk.Webhook
	Keys    string // where those lie that verify tokens
	Secret  string
	Until   *time.Time // of the older one
	Rotated bool
}

func (c *Console) webhookCreate(v *visit) error {
	by := c.by(v)
	in, wrong := webhookInput(v.r.PostForm, by.Role == directory.RoleOperator)
	if err := mayWebhooks(v); err != nil {
		return err
	}
	if len(wrong) > 0 {
		return c.webhookRefused(v, "", "webhooks.new", wrong, http.StatusUnprocessableEntity)
	}
	made, err := c.config.Desk.CreateWebhook(v.r.Context(), by, in)
	if err != nil {
		wrong, status, ok := refused(err, webhookFields)
		if !ok {
			return err
		}
		return c.webhookRefused(v, "", "webhooks.new", wrong, status)
	}
	if made.Webhook.Poll != "" { // nothing is sent, so nothing shows the secret
		v.done("/webhooks/"+made.Webhook.ID.String(), "webhook-changed")
		return nil
	}
	c.render(v, http.StatusOK, "webhooksecret", "webhooks.secret", webhookSecret{Webhook: made.Webhook, Keys: c.keysURL(), Secret: made.Secret})
	return nil
}

var webhookFields = map[string]string{"environments": "organizations"}

// webhookRefused shows the form again with what is wrong.
func (c *Console) webhookRefused(v *visit, id, title string, wrong wrongs, status int) error {
	f, err := c.webhookForm(v, v.r.PostForm)
	if err != nil {
		return err
	}
	// texts: webhooks.wrong.events webhooks.wrong.reach
	for field, key := range wrong {
		if key == "events" || key == "reach" {
			if wrong[field], err = say(v.lang, fmt.Sprint("webhooks.wrong.", key)); err != nil {
				return err
			}
		}
	}
	f.ID, f.Was, f.Wrong = id, f.Name, wrong
	c.render(v, status, "webhookedit", title, f)
	return nil
}

// webhookOf is the webhook in the path, for who may see it.
func (c *Console) webhookOf(v *visit) (*desk.Webhook, error) {
	id, err := pathID(v, "id")
	if err != nil {
		return nil, err
	}
	return c.config.Desk.Webhook(v.r.Context(), c.by(v), id)
}

func (c *Console) webhookEdit(v *visit) error {
	w, err := c.webhookOf(v)
	if err != nil {
		return err
	}
	in := url.Values{"name": {w.Name}, "format": {w.Format}, "url": {w.URL}, "event": w.Events}
	if w.Audience != w.URL && w.Audience != w.Poll {
		in.Set("audience", w.Audience)
	}
	if len(w.Events) > 0 {
		in.Set("events", "some")
	}
	if !w.Everything {
		in.Set("reach", "some")
	}
	for _, o := range w.Organizations {
		in.Add("organization", o.ID.String())
	}
	for _, e := range w.Environments {
		in.Add("environment", e.ID.String())
	}
	f, err := c.webhookForm(v, in)
	if err != nil {
		return err
	}
	f.ID, f.Was = w.ID.String(), w.Name
	c.render(v, http.StatusOK, "webhookedit", "webhooks.edit", f)
	return nil
}

func (c *Console) webhookChange(v *visit) error {
	w, err := c.webhookOf(v)
	if err != nil {
		return err
	}
	by := c.by(v)
	in, wrong := webhookInput(v.r.PostForm, by.Role == directory.RoleOperator)
	if len(wrong) > 0 {
		return c.webhookRefused(v, w.ID.String(), "webhooks.edit", wrong, http.StatusUnprocessableEntity)
	}
	if _, err := c.config.Desk.SetWebhook(v.r.Context(), by, w.ID, in); err != nil {
		wrong, status, ok := refused(err, webhookFields)
		if !ok {
			return err
		}
		return c.webhookRefused(v, w.ID.String(), "webhooks.edit", wrong, status)
	}
	v.done("/webhooks/"+w.ID.String(), "webhook-changed")
	return nil
}

// keysURL is where the keys lie that verify what the server signs.
func (c *Console) keysURL() string { return c.config.URL() + "/.well-known/jwks.json" }

type webhookData struct {
	Done       string
	Keys       string
	Wrong      any
	Webhook    desk.Webhook
	Verdict    badge
	State      string // of the deliveries that are shown; empty: all
	States     []string
	Deliveries desk.List[desk.Delivery]
	Pager      pager
	Now        time.Time
	Live       string // address of the live region; empty: the page shows a part of the list that does not change
}

func (c *Console) webhookPage(v *visit) (*webhookData, error) {
	w, err := c.webhookOf(v)
	if err != nil {
		return nil, err
	}
	// texts: delivery.pending delivery.delivered delivery.dead
	// texts: done.webhook-changed done.webhook-paused done.webhook-resumed done.webhook-tested done.webhook-redelivered
	q := v.r.URL.Query()
	data := &webhookData{Done: v.flash("webhook-changed", "webhook-paused", "webhook-resumed", "webhook-tested", "webhook-redelivered"),
		Keys: c.keysURL(), Webhook: *w, Verdict: health(*w), State: q.Get("state"), Now: c.config.Now(),
		States: []string{"pending", "delivered", "dead"}}
	data.Deliveries, err = c.config.Desk.Deliveries(v.r.Context(), c.by(v), w.ID, data.State, desk.Page{After: q.Get("after"), Limit: 25})
	if err != nil {
		return nil, err
	}
	data.Pager = v.pagerOf(len(data.Deliveries.Items), data.Deliveries.Total, data.Deliveries.Next)
	if q.Get("after") == "" {
		data.Live = "/webhooks/" + w.ID.String() + "/live?" + url.Values{"state": {data.State}}.Encode()
	}
	return data, nil
}

// webhook shows one with its deliveries.
func (c *Console) webhook(v *visit) error {
	data, err := c.webhookPage(v)
	if _, status, ok := refused(err, nil); ok && status == http.StatusUnprocessableEntity {
		return missing // a page or a state that there is none of
	}
	if err != nil {
		return err
	}
	c.render(v, http.StatusOK, "webhook", "webhooks.one", data)
	return nil
}

// webhookLive keeps the deliveries of a page up to date.
func (c *Console) webhookLive(v *visit) error {
	return c.live(v, func(context.Context) (string, bool, error) {
		data, err := c.webhookPage(v)
		if err != nil {
			return "", false, runPageOf(err)
		}
		data.Pager.Next = strings.Replace(data.Pager.Next, "/live?", "?", 1)
		html, err := c.fragment(v, "webhook", "deliveries", data)
		return html, true, err
	})
}

// webhookAct does one of the things that a button asks for.
func (c *Console) webhookAct(v *visit) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	ctx, by, done := v.r.Context(), c.by(v), ""
	switch v.r.PostForm.Get("do") {
	case "pause":
		_, err = c.config.Desk.PauseWebhook(ctx, by, id)
		done = "webhook-paused"
	case "resume":
		_, err = c.config.Desk.ResumeWebhook(ctx, by, id)
		done = "webhook-resumed"
	case "test":
		_, err = c.config.Desk.TestWebhook(ctx, by, id)
		done = "webhook-tested"
	case "redeliver":
		_, err = c.config.Desk.RedeliverDead(ctx, by, id)
		done = "webhook-redelivered"
	case "remove":
		if err = c.config.Desk.RemoveWebhook(ctx, by, id); err == nil {
			v.done("/webhooks", "webhook-removed")
			return nil
		}
	default:
		return missing
	}
	if err != nil {
		return c.webhookWrong(v, err)
	}
	v.done("/webhooks/"+id.String(), done)
	return nil
}

// webhookWrong shows the page of a webhook with what could not be done.
func (c *Console) webhookWrong(v *visit, err error) error {
	wrong, status, ok := refused(err, nil)
	if !ok {
		return err
	}
	data, err := c.webhookPage(v)
	if err != nil {
		return err
	}
	for _, text := range wrong {
		data.Wrong = text
	}
	c.render(v, status, "webhook", "webhooks.one", data)
	return nil
}

// webhookRotate makes a new secret and shows it, once.
func (c *Console) webhookRotate(v *visit) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	hours, ok := atoi(v.r.PostForm.Get("hours"))
	if !ok || hours < 0 || hours > 720 {
		return &notice{status: http.StatusUnprocessableEntity, key: "form"}
	}
	made, err := c.config.Desk.RotateWebhook(v.r.Context(), c.by(v), id, time.Duration(hours)*time.Hour)
	if err != nil {
		return c.webhookWrong(v, err)
	}
	data := webhookSecret{Webhook: made.Webhook, Keys: c.keysURL(), Secret: made.Secret, Rotated: true}
	for _, s := range made.Webhook.Secrets {
		if s.Expires != nil {
			data.Until = s.Expires
		}
	}
	c.render(v, http.StatusOK, "webhooksecret", "webhooks.secret", data)
	return nil
}

type deliveryData struct {
	Done     string
	Wrong    any
	Delivery desk.DeliveryDetail
}

func (c *Console) deliveryPage(v *visit, wrong any, status int) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	d, err := c.config.Desk.Delivery(v.r.Context(), c.by(v), id, v.r.PathValue("delivery"))
	if err != nil {
		return err
	}
	c.render(v, status, "delivery", "delivery.title", deliveryData{v.flash("webhook-redelivered"), wrong, *d})
	return nil
}

func (c *Console) delivery(v *visit) error { return c.deliveryPage(v, nil, http.StatusOK) }

// deliveryPost redelivers one.
func (c *Console) deliveryPost(v *visit) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	if _, err := c.config.Desk.Redeliver(v.r.Context(), c.by(v), id, v.r.PathValue("delivery")); err != nil {
		wrong, status, ok := refused(err, nil)
		if !ok {
			return err
		}
		return c.deliveryPage(v, wrong[""], status)
	}
	v.done("/webhooks/"+id.String()+"/deliveries/"+url.PathEscape(v.r.PathValue("delivery")), "webhook-redelivered")
	return nil
}
