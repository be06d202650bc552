package app

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// Whatever happens to the keys, the secrets of webhooks open with those that are in use: each delivery is signed with them.
func TestSecretsOfWebhooksAreSealedAgain(t *testing.T) {
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	c := connectFolder(t, Config{Data: t.TempDir(), Secrets: SecretsConfig{KeyFile: filepath.Join(t.TempDir(), "elsewhere.key")}}, Options{Now: func() time.Time { return now }})
	a := c.backstage(t)
	operator := directory.Actor{Role: directory.RoleOperator, Channel: "test"}
	a.desk.CheckAddress = func(string) error { return nil }
	made, err := a.desk.CreateWebhook(t.Context(), operator, desk.WebhookInput{Name: new("hook"), URL: new("https://hooks.example/")})
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := a.desk.RotateWebhook(t.Context(), operator, made.Webhook.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	kept := func() []directory.WebhookSecret {
		w, err := view(t.Context(), a.service, func(sn *directory.Snapshot) (*directory.Webhook, error) { return sn.Webhook(made.Webhook.ID) })
		if err != nil {
			t.Fatal(err)
		}
		return w.Secrets
	}
	opens := func(when string, want ...string) {
		t.Helper()
		secrets := kept()
		if len(secrets) != len(want) {
			t.Fatalf("%s: %d secrets, not %d", when, len(secrets), len(want))
		}
		for i, x := range secrets {
			plain, err := a.secrets.openAt(x.Sealed, directory.WebhookSecretPlace(made.Webhook.ID, x.ID))
			if err != nil || string(plain) != want[i] {
				t.Errorf("%s: secret %d: %v", when, i, err)
			}
			if strings.Contains(x.Sealed, "whsec_") {
				t.Errorf("%s: secret %d is kept as it is", when, i)
			}
			if _, err := a.secrets.openAt(x.Sealed, directory.WebhookSecretPlace(made.Webhook.ID, a.desk.Service.NewID())); err == nil {
				t.Errorf("%s: secret %d opens at the place of another", when, i)
			}
		}
	}
	opens("at first", made.Secret, rotated.Secret)
	before := kept()[0].Sealed
	if out := must(t, c, SecretsRotate, SecretsRotation{}); out.WebhookSecrets != 2 || kept()[0].Sealed == before {
		t.Errorf("%+v", out)
	}
	opens("with a new key", made.Secret, rotated.Secret)
	now = now.Add(time.Hour)
	if out := must(t, c, SecretsRotate, SecretsRotation{Forget: true}); out.WebhookSecrets != 1 || out.Keys != 1 {
		t.Errorf("%+v", out)
	}
	opens("with that key alone", rotated.Secret)
}
