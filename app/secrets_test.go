package app

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/vault"
)

const clientID = "3f2a4f9f-0000-4b5e-9c60-00000000000a"

// connectStoreAt opens a data folder without a server, at a time, with a tenant acme.
func connectStoreAt(t *testing.T, now time.Time) *Client {
	t.Helper()
	return connectFolder(t, Config{Data: t.TempDir()}, Options{Now: func() time.Time { return now }})
}

func connectFolder(t *testing.T, c Config, o Options) *Client {
	t.Helper()
	client, err := Connect(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	if client.Remote() {
		t.Fatal("a server runs")
	}
	if _, err := Call(t.Context(), client, TenantShow, RefInput{"acme"}); err != nil {
		must(t, client, TenantCreate, TenantInput{Name: "acme"})
	}
	return client
}

// kept is the folder of a closed client, to be opened again.
func withCredentials(t *testing.T, c *Client, secrets map[string]string) {
	t.Helper()
	id := "6a1f4f9f-0000-4b5e-9c60-00000000000b"
	for tenant, secret := range secrets {
		if _, err := Call(t.Context(), c, TenantShow, RefInput{tenant}); err != nil {
			must(t, c, TenantCreate, TenantInput{Name: tenant})
		}
		must(t, c, TenantSet, TenantChange{Ref: tenant, DirectoryID: &id})
		must(t, c, CredentialSet, CredentialInput{Tenant: tenant, ClientID: clientID, Secret: secret})
	}
}

func (c *Client) backstage(t *testing.T) *admin {
	t.Helper()
	a, ok := c.admin.(*admin)
	if !ok {
		t.Fatal("not within this process")
	}
	return a
}

// sealedOf reads what the store holds of a tenant's credential.
func (c *Client) sealedOf(t *testing.T, tenant string) *directory.Credential {
	t.Helper()
	cred, err := view(t.Context(), c.backstage(t).service, func(sn *directory.Snapshot) (*directory.Credential, error) {
		found, err := findTenant(sn, tenant)
		if err != nil {
			return nil, err
		}
		return findCredential(sn, found, directory.GraphCredential)
	})
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

func (c *Client) opens(t *testing.T, tenant, want string) {
	t.Helper()
	got, err := c.backstage(t).secrets.open(c.sealedOf(t, tenant))
	if err != nil || string(got) != want {
		t.Errorf("the secret of %s: %q, %v", tenant, got, err)
	}
}

func TestSecretsAreSealed(t *testing.T) {
	dir := t.TempDir()
	c := connectFolder(t, Config{Data: dir}, Options{})
	key := filepath.Join(dir, keyFile)
	if _, err := os.Stat(key); err == nil {
		t.Error("a key file without a secret")
	}
	const secret, other = "abc~very-secret-value", "def~another-secret-value"
	withCredentials(t, c, map[string]string{"acme": secret, "globex": other})
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v, %v", info, err)
	}
	c.opens(t, "acme", secret)
	c.opens(t, "globex", other)
	sealed := c.sealedOf(t, "acme")
	if !strings.HasPrefix(sealed.Sealed, "v1.") || strings.Contains(sealed.Sealed, secret) {
		t.Errorf("sealed as %q", sealed.Sealed)
	}
	// Copied to another tenant, it opens nothing.
	moved := *c.sealedOf(t, "globex")
	moved.Sealed = sealed.Sealed
	if got, err := c.backstage(t).secrets.open(&moved); err == nil {
		t.Errorf("the secret of acme opens at globex: %q", got)
	}
	// Nothing of it is on disk.
	store, err := os.ReadFile(filepath.Join(dir, storeFile))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(store), secret) || strings.Contains(string(store), secret[:12]) {
		t.Error("the store holds the secret")
	}
	// Nor is what was sealed in the audit.
	if strings.Count(string(store), sealed.Sealed) == 0 {
		t.Error("the store does not hold the sealed secret: this test looks at the wrong file")
	}
	err = c.backstage(t).service.View(t.Context(), func(sn *directory.Snapshot) error {
		return sn.Audit(0, func(e *directory.AuditEntry) bool {
			if strings.Contains(string(e.Detail), sealed.Sealed) || strings.Contains(string(e.Detail), secret) {
				t.Errorf("the audit entry %s holds the secret", e.Action)
			}
			return true
		})
	})
	if err != nil {
		t.Error(err)
	}
}

// TestSecretsWithoutTheirKey: who lost the key file hears of it where a secret is needed, and nowhere else.
func TestSecretsWithoutTheirKey(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, keyFile)
	c := connectFolder(t, Config{Data: dir}, Options{Connect: neverConnect})
	withCredentials(t, c, map[string]string{"acme": "abc~very-secret-value", "globex": "def~another-secret-value"})
	copied, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	refused(t, c, CredentialTest, RefInput{"acme"}, "invalid", "the key file "+key+" is missing: put it back")
	refused(t, c, CredentialSet, CredentialInput{Tenant: "acme", Secret: "ghi~a-new-secret-value"}, "unavailable", "1 other credentials were sealed with it: put it back")
	refused(t, c, SecretsRotate, SecretsRotation{}, "unavailable", "2 other credentials were sealed with it")
	if _, err := os.Stat(key); err == nil {
		t.Fatal("a new key file hides that the old one is lost")
	}
	// A server starts, serves and says what is wrong.
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	r := start(t, Config{Data: dir}, Options{})
	if status, _ := r.get("/readyz"); status != 200 {
		t.Errorf("/readyz: %d", status)
	}
	r.logged(`"msg":"a secret cannot be opened`, "is missing")
	live := r.Client()
	// Another key does not open it.
	if err := os.WriteFile(key, []byte(vault.Generate()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.secrets.open(r.Client().sealedOf(t, "acme")); err == nil || !strings.Contains(err.Error(), "the key that sealed this is not in the key file") {
		t.Errorf("another key: %v", err)
	}
	refused(t, live, SecretsRotate, SecretsRotation{Forget: true}, "unavailable", "the credential of tenant ")
	// Put back, it works without a restart.
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := r.secrets.open(live.sealedOf(t, "acme")); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others read: %v", err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, copied, 0o600); err != nil {
		t.Fatal(err)
	}
	live.opens(t, "acme", "abc~very-secret-value")
	// The last credential may be set anew without the old key.
	must(t, live, CredentialRemove, CredentialRef{Ref: "globex"})
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	must(t, live, CredentialSet, CredentialInput{Tenant: "acme", Secret: "ghi~a-new-secret-value"})
	live.opens(t, "acme", "ghi~a-new-secret-value")
}

func TestSecretsRotate(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "elsewhere.key")
	c := connectFolder(t, Config{Data: dir, Secrets: SecretsConfig{KeyFile: file}}, Options{})
	first := must(t, c, SecretsRotate, SecretsRotation{}) // before there is anything
	if first.Keys != 1 || first.Resealed != 0 || first.KeyFile != file {
		t.Errorf("first key: %+v", first)
	}
	withCredentials(t, c, map[string]string{"acme": "abc~very-secret-value", "globex": "def~another-secret-value"})
	must(t, c, CredentialSet, CredentialInput{Tenant: "globex", TokenFile: "/var/run/token"}) // nothing to seal
	before := c.sealedOf(t, "acme")
	second := must(t, c, SecretsRotate, SecretsRotation{})
	if second.Keys != 2 || second.Resealed != 1 || second.KeyID == first.KeyID {
		t.Errorf("second key: %+v", second)
	}
	after := c.sealedOf(t, "acme")
	if after.Sealed == before.Sealed || !strings.HasPrefix(after.Sealed, "v1."+second.KeyID+".") || after.ID != before.ID {
		t.Errorf("sealed as %q, was %q", after.Sealed, before.Sealed)
	}
	c.opens(t, "acme", "abc~very-secret-value")
	if _, err := c.backstage(t).secrets.open(before); err != nil {
		t.Errorf("a backup made before cannot be opened: %v", err)
	}
	third := must(t, c, SecretsRotate, SecretsRotation{Forget: true})
	if third.Keys != 1 || third.Resealed != 1 {
		t.Errorf("third key: %+v", third)
	}
	c.opens(t, "acme", "abc~very-secret-value")
	if _, err := c.backstage(t).secrets.open(before); err == nil {
		t.Error("the old keys are still there")
	}
	if _, err := os.Stat(filepath.Join(dir, keyFile)); err == nil {
		t.Error("a key file in the data folder, too")
	}
	var audited []string
	err := c.backstage(t).service.View(t.Context(), func(sn *directory.Snapshot) error {
		return sn.Audit(0, func(e *directory.AuditEntry) bool {
			if e.Action == "secrets.rotate" {
				audited = append(audited, e.Target)
			}
			return true
		})
	})
	if want := []string{"key " + first.KeyID, "key " + second.KeyID, "key " + third.KeyID}; err != nil || !slices.Equal(audited, want) {
		t.Errorf("audited %q, %v, want %q", audited, err, want)
	}
}

func TestSecretsFromTheEnvironment(t *testing.T) {
	dir := t.TempDir()
	old, next := vault.Generate(), vault.Generate()
	c := connectFolder(t, Config{Data: dir, Secrets: SecretsConfig{Key: Secret(old)}}, Options{})
	withCredentials(t, c, map[string]string{"acme": "abc~very-secret-value"})
	if _, err := os.Stat(filepath.Join(dir, keyFile)); err == nil {
		t.Error("a key file, although the keys come from the environment")
	}
	refused(t, c, SecretsRotate, SecretsRotation{Forget: true}, "invalid", "remove the old keys from the variable")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = connectFolder(t, Config{Data: dir, Secrets: SecretsConfig{Key: Secret(next + old)}}, Options{})
	c.opens(t, "acme", "abc~very-secret-value")
	if out := must(t, c, SecretsRotate, SecretsRotation{}); out.Resealed != 1 || out.Keys != 2 || out.KeyFile != "" || out.KeyID != strings.Fields(next)[0] {
		t.Errorf("rotated: %+v", out)
	}
	if out := must(t, c, SecretsRotate, SecretsRotation{}); out.Resealed != 0 {
		t.Errorf("once more: %+v", out)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = connectFolder(t, Config{Data: dir, Secrets: SecretsConfig{Key: Secret(next)}}, Options{})
	c.opens(t, "acme", "abc~very-secret-value")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = connectFolder(t, Config{Data: dir, Secrets: SecretsConfig{Key: "k1 broken"}}, Options{Connect: neverConnect})
	refused(t, c, CredentialTest, RefInput{"acme"}, "invalid", "BIZZSCIM_SECRETS_KEY cannot be used")
}
