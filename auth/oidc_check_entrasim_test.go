package auth_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/auth/authtest"
	"github.com/bizzstream/bizzscim/directory"
)

// checksOf tries the application of the world's tenant. Of what is right it returns the names alone: "metadata"; of what is
// wrong what is said too: "token: …".
func checksOf(w *authtest.World) (said []string) {
	w.Helper()
	result, err := w.SignIn.Test(w.Context(), w.Tenant.ID)
	if err != nil {
		w.Fatal(err)
	}
	for _, c := range result.Checks {
		one := c.Name
		if c.Error != "" {
			one += ": " + c.Error
		}
		if (c.Error == "") != (c.Detail != "") {
			w.Errorf("what was seen of %s stands beside what is wrong, or nothing does: %+v", c.Name, c)
		}
		said = append(said, one)
	}
	return said
}

// wantChecks compares checks with the names of those that are right, and "name: part of what is said" of others.
func wantChecks(w *authtest.World, when string, want ...string) {
	w.Helper()
	got := checksOf(w)
	if len(got) != len(want) {
		w.Errorf("%s: %q, not %q", when, got, want)
		return
	}
	for i := range want {
		name, part, wrong := strings.Cut(want[i], ": ")
		if wrong && (!strings.HasPrefix(got[i], name+": ") || !strings.Contains(got[i], part)) || !wrong && got[i] != name {
			w.Errorf("%s: %q, not %q", when, got[i], want[i])
		}
	}
}

// TestApplicationIsTried tries the application of a simulated tenant of Entra as it should be, and with each thing that is
// wrong with it: what is said names what has to be done, and nothing that was kept secret.
func TestApplicationIsTried(t *testing.T) {
	var e *entra
	w := authtest.NewWorld(t, openStore(t), func(now func() time.Time) authtest.Provider {
		e = newEntra(t, now)
		return e
	})
	credential := func(kind, sealed, file string, expires time.Time) {
		t.Helper()
		must(w.Service.SetCredential(t.Context(), authtest.Operator, directory.Credential{TenantID: w.Tenant.ID, Name: directory.SignInCredential, Kind: kind, Sealed: sealed, TokenFile: file, Expires: expires}))
	}
	tenant := func(change func(*directory.Tenant)) {
		t.Helper()
		must(w.Service.SetTenant(t.Context(), authtest.Operator, w.Tenant.ID, func(t *directory.Tenant) error { change(t); return nil }))
	}
	client, right := e.app.ClientID(), e.app.NewSecret(w.Clock.Now().Add(24*time.Hour))
	wantChecks(w, "as it is registered", "application", "credential", "metadata", "token")
	credential("secret", right+" \n", "", time.Time{})
	wantChecks(w, "another secret of it", "application", "credential", "metadata", "token")

	credential("secret", "wrong~secret-of-nothing", "", time.Time{})
	wantChecks(w, "a wrong secret", "application", "credential", "metadata", "token: copy its Value in Entra, not its ID (AADSTS7000215)")
	credential("secret", e.app.NewSecret(w.Clock.Now().Add(-time.Hour)), "", time.Time{})
	wantChecks(w, "a secret that Entra has ended", "application", "credential", "metadata", "token: the secret has ended")
	credential("secret", " ", "", time.Time{})
	wantChecks(w, "an empty secret", "application", "credential: cannot open the credential", "metadata")
	_, other, otherKey := certificate(t, "k2")
	credential("certificate", string(other)+string(otherKey), "", time.Time{})
	wantChecks(w, "a certificate that Entra does not know", "application", "credential", "metadata", "token: AADSTS700027")
	leaf, public, private := certificate(t, "k1")
	if err := e.app.AddCertificate(leaf); err != nil {
		t.Fatal(err)
	}
	credential("certificate", string(public)+string(private), "", time.Time{})
	wantChecks(w, "a certificate that Entra knows", "application", "credential", "metadata", "token")
	credential("certificate", "no certificate", "", time.Time{})
	wantChecks(w, "no certificate at all", "application", "credential: enter it again", "metadata")

	// Where the server keeps a file is not said: whoever tries may be a customer.
	folder := t.TempDir()
	file := filepath.Join(folder, "workload.jwt")
	for _, text := range []string{"", "no token"} {
		if text != "" {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		credential("federated", "", file, time.Time{})
		wantChecks(w, "a token file with: "+text, "application", "credential: cannot read the token file", "metadata")
		if said := strings.Join(checksOf(w), " "); strings.Contains(said, folder) || strings.Contains(said, "workload.jwt") {
			t.Errorf("it is said where the file is: %s", said)
		}
	}

	credential("secret", right, "", w.Clock.Now().Add(time.Hour))
	wantChecks(w, "a credential that ends in an hour", "application", "credential", "metadata", "token")
	w.Clock.Advance(time.Hour)
	wantChecks(w, "a credential that has ended", "application", "credential: it ended on "+w.Clock.Now().UTC().Format(time.DateOnly), "metadata")
	if err := w.Service.RemoveCredential(t.Context(), authtest.Operator, w.Tenant.ID, directory.SignInCredential); err != nil {
		t.Fatal(err)
	}
	wantChecks(w, "no credential", "application", "credential: there is no credential", "metadata")

	credential("secret", right, "", time.Time{})
	tenant(func(t *directory.Tenant) { t.SignIn.ClientID = strangeID })
	wantChecks(w, "an application that is not there", "application", "credential", "metadata", "token: has no such application")
	tenant(func(t *directory.Tenant) { t.SignIn.ClientID = "" })
	wantChecks(w, "no application", "application: the application (client) id is missing", "credential")
	tenant(func(t *directory.Tenant) { t.SignIn.ClientID, t.DirectoryID = client, strangeID })
	wantChecks(w, "a directory that is not there", "application", "credential", "metadata: does not know "+strangeID)
	tenant(func(t *directory.Tenant) { t.SignIn.ClientID, t.DirectoryID = "", "" })
	wantChecks(w, "no directory", "application: the directory (tenant) id is missing", "credential")
	tenant(func(t *directory.Tenant) { t.SignIn.ClientID, t.DirectoryID = client, e.Directory() })
	wantChecks(w, "as it was", "application", "credential", "metadata", "token")

	for _, c := range []struct{ when, script, want string }{
		{"the token endpoint is out of order", "token status=503", "token: status 503"},
		{"the token endpoint cannot be reached", "token reset", "token: cannot be reached"},
	} {
		if err := e.graph.Faults().Load(c.script); err != nil {
			t.Fatal(err)
		}
		wantChecks(w, c.when, "application", "credential", "metadata", c.want)
		e.graph.Faults().Clear()
	}
	for _, script := range []string{"metadata status=503", "metadata reset", "metadata html status=502"} {
		if err := e.graph.Faults().Load(script); err != nil {
			t.Fatal(err)
		}
		w.SignIn = auth.NewSignIn(w.Config()) // which has read nothing yet
		wantChecks(w, script, "application", "credential", "metadata: cannot be reached")
		e.graph.Faults().Clear()
	}
	if logged := w.Logged.String(); strings.Contains(logged, right) || strings.Contains(logged, "PRIVATE") {
		t.Error("a secret is logged")
	}
	_, err := w.SignIn.Test(t.Context(), directory.ID{9})
	if directory.KindOf(err) != directory.NotFound {
		t.Errorf("a tenant that is not there: %v", err)
	}
}

// An issuer that says it is another one is not that of the tenant, and it is sent no secret. Nor is one that is asked with a
// credential that cannot be used.
func TestWrongIssuerIsSentNothing(t *testing.T) {
	w, h := hostileWorld(t)
	asked := 0
	h.set(func() {
		h.answer = func(rw http.ResponseWriter, r *http.Request) {
			asked++
			h.write(rw, http.StatusOK, map[string]any{"token_type": "Bearer", "access_token": "opaque", "expires_in": 3600})
		}
	})
	wantChecks(w, "as it should be", "application", "credential", "metadata", "token")
	if asked != 1 {
		t.Errorf("the token endpoint was asked %d times", asked)
	}
	for field, value := range map[string]string{"issuer": "https://evil.example", "token_endpoint": "http://evil.example/token", "jwks_uri": ""} {
		h.set(func() { h.document = func(d map[string]any) { d[field] = value } })
		w.SignIn = auth.NewSignIn(w.Config())
		if got := checksOf(w); len(got) != 3 || !strings.HasPrefix(got[2], "metadata: ") {
			t.Errorf("%s is %q: %q", field, value, got)
		}
	}
	h.set(func() { h.document = nil })
	config := w.Config()
	config.Open = func(*directory.Credential) ([]byte, error) {
		return nil, errors.New("the key file /etc/keys/secrets.key is missing")
	}
	w.SignIn = auth.NewSignIn(config)
	wantChecks(w, "sealed with another key", "application", "credential: cannot open the credential that is kept", "metadata")
	if said := strings.Join(checksOf(w), " "); strings.Contains(said, "/etc/keys") {
		t.Errorf("it is said where the key file is: %s", said)
	}
	if asked != 1 {
		t.Errorf("a secret was sent to somebody: asked %d times", asked)
	}
	if !strings.Contains(w.Logged.String(), "/etc/keys/secrets.key") {
		t.Error("nothing tells an operator why")
	}
}
