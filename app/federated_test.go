package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/directory"
)

// federatedIssuer is one that a customer runs, over TLS.
type federatedIssuer struct {
	*httptest.Server
	key   *ecdsa.PrivateKey
	keys  string // where its document says that its keys are; empty: here
	asked atomic.Int32
}

func newFederatedIssuer(t *testing.T) *federatedIssuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &federatedIssuer{key: key}
	i.Server = httptest.NewTLSServer(i)
	t.Cleanup(i.Close)
	return i
}

func (i *federatedIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.asked.Add(1)
	keys := i.keys
	if keys == "" {
		keys = i.URL + "/keys"
	}
	var answer any = map[string]string{"issuer": i.URL, "jwks_uri": keys}
	if r.URL.Path == "/keys" {
		answer = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &i.key.PublicKey, KeyID: "k", Use: "sig"}}}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// caFile trusts the issuer.
func (i *federatedIssuer) caFile(t *testing.T) string {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// present asks for an access token with an assertion of the issuer.
func (i *federatedIssuer) present(w *apptest.World, client string) int {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
	w.Must(err)
	claims := fmt.Sprintf(`{"iss":%q,"aud":"api://scim","sub":"provisioning","exp":%d}`, i.URL, w.Now().Unix()+600)
	signed, err := signer.Sign([]byte(claims))
	w.Must(err)
	assertion, err := signed.CompactSerialize()
	w.Must(err)
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
	r, err := http.NewRequestWithContext(w.Context(), http.MethodPost, w.Server.URL+"/scim/fjord/oauth2/token", strings.NewReader(form.Encode()))
	w.Must(err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := w.Server.Client().Do(r)
	w.Must(err)
	w.Must(res.Body.Close())
	return res.StatusCode
}

// TestFederatedIssuersLeadNowhereInside: a customer names an issuer, and its document names where its keys are. Neither makes the
// server ask an address that is not public, unless the configuration allows it.
func TestFederatedIssuersLeadNowhereInside(t *testing.T) {
	inside := atomic.Int32{}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.2:0")
	if err != nil {
		t.Skip("this machine has one loopback address")
	}
	victim := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside.Add(1) })}}
	victim.Start()
	defer victim.Close()

	issuer := newFederatedIssuer(t)
	federated := func() map[string]any {
		return map[string]any{"clientId": "job", "federated": map[string]string{"issuer": issuer.URL, "audience": "api://scim", "subject": "provisioning"}}
	}
	path := func(w *apptest.World) string { return "/tenants/" + w.Fjord.Tenant.ID.String() + "/clients" }

	// Nothing is allowed: the API says so at once, and one that was made elsewhere leads nowhere.
	w := apptest.New(t, func(c *app.Config) { c.CAFile = issuer.caFile(t) })
	if got := w.PartnerAPI(w.Fjord).Call(http.MethodPost, path(w), federated(), nil); got.Status != http.StatusUnprocessableEntity || !strings.Contains(got.Body, "public") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	_, err = w.Service.CreateClient(t.Context(), apptest.Operator, w.Fjord.Tenant.ID, directory.NewClient{ClientID: "job",
		Federated: &directory.Federated{Issuer: issuer.URL, Audience: "api://scim", Subject: "provisioning"}})
	w.Must(err)
	if got := issuer.present(w, "job"); got != http.StatusServiceUnavailable || issuer.asked.Load() != 0 {
		t.Errorf("%d, asked %d times", got, issuer.asked.Load())
	}

	// The issuer may be reached; what its document names may not.
	w = apptest.New(t, func(c *app.Config) { c.CAFile, c.Webhooks.AllowPrivate = issuer.caFile(t), []string{"127.0.0.1"} })
	if got := w.PartnerAPI(w.Fjord).Call(http.MethodPost, path(w), federated(), nil); got.Status != http.StatusCreated {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	issuer.keys = victim.URL + "/any?query"
	if got := issuer.present(w, "job"); got != http.StatusServiceUnavailable || issuer.asked.Load() != 1 || inside.Load() != 0 {
		t.Errorf("%d, asked %d times, inside %d", got, issuer.asked.Load(), inside.Load())
	}
	issuer.keys = ""
	w.Advance(15 * time.Second) // before, nobody asks again
	if got := issuer.present(w, "job"); got != http.StatusOK {
		t.Errorf("keys that may be fetched: %d", got)
	}
}
