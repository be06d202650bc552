package app

import (
	"context"
	"net/http"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/webhook"
)

// policy says where webhooks and federated issuers may lead. Errors: of a network that is none.
func (c *WebhookConfig) policy() (webhook.Policy, error) {
	p := webhook.Policy{AllowHTTP: c.AllowHTTP}
	for _, text := range c.AllowPrivate {
		prefix, err := parsePrefix(text)
		if err != nil {
			return p, err
		}
		p.AllowPrivate = append(p.AllowPrivate, prefix)
	}
	return p, nil
}

// newWebhooks wires what delivers events. It delivers once Start has it work.
func (a *App) newWebhooks(c Config, o Options) error {
	policy, err := c.Webhooks.policy()
	if err != nil {
		return &ConfigError{[]string{"webhooks.allow_private: " + err.Error()}}
	}
	roots, err := c.roots()
	if err != nil {
		return &ConfigError{[]string{"ca_file: " + err.Error()}}
	}
	a.sender = webhook.NewSender(policy, roots, o.Version)
	a.hooks = webhook.New(webhook.Config{Service: a.service, Open: a.secrets.openAt, Send: a.sender.Send, Now: o.Now, Log: o.Logger, Keys: desk.EventAccounts,
		Token: func(ctx context.Context, claims []byte) (string, error) {
			return a.signIn.assertions.SignEvent(ctx, claims)
		},
		Claims: func(w *directory.Webhook, test *directory.Delivery) any { return a.desk.VerificationEvent(w, test) },
		Message: func(sn *directory.Snapshot, w *directory.Webhook, e *directory.OutboxEvent) (webhook.Message, bool, error) {
			if w.Tokens() {
				told, err := a.desk.SecurityEvent(sn, w, e)
				if err != nil || told == nil {
					return webhook.Message{}, false, err
				}
				return webhook.Message{ID: told.ID, Type: e.Type, Time: e.Time, Data: told}, true, nil
			}
			told, err := a.desk.Event(sn, w.Actor(), e)
			if err != nil || told == nil {
				return webhook.Message{}, false, err
			}
			return webhook.Message{ID: desk.EventID(e.Sequence), Type: told.Type, Time: told.Time, Data: told}, true, nil
		}})
	a.desk.CheckAddress = policy.CheckURL
	return nil
}

// newKeysClient makes the client for the keys of the issuers that customers name: it reaches what webhooks may reach.
func newKeysClient(c Config) (*http.Client, error) {
	policy, err := c.Webhooks.policy()
	if err != nil {
		return nil, &ConfigError{[]string{"webhooks.allow_private: " + err.Error()}}
	}
	roots, err := c.roots()
	if err != nil {
		return nil, &ConfigError{[]string{"ca_file: " + err.Error()}}
	}
	return policy.Client(roots), nil
}

// workWebhooks delivers until ctx ends.
func (a *App) workWebhooks(ctx context.Context) {
	defer a.sender.Close()
	a.hooks.Work(ctx)
}
