package auth

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/time/rate"

	"github.com/bizzstream/bizzscim/directory"
)

// Clients authenticates the OAuth 2.0 clients of tenants (RFC 6749 section 4.4) and issues access
// tokens to them.
type Clients struct {
	service *directory.Service
	now     func() time.Time
	client  *http.Client

	mu      sync.Mutex
	issuers map[string]*issuer
}

// NewClients returns a Clients that fetches the keys of federated issuers through client (nil:
// one with a time limit that follows no redirect).
func NewClients(service *directory.Service, now func() time.Time, client *http.Client) *Clients {
	if client == nil {
		client = &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return &Clients{service: service, now: now, client: client, issuers: map[string]*issuer{}}
}

var errUnknownClient = &directory.Error{Kind: directory.Unauthorized, Detail: "client authentication failed"}

// Token authenticates a client of the tenant of that name, by its secret or by an assertion that
// a federated issuer signed (RFC 7523), and returns a new access token with its life.
//
// Errors: Unauthorized, the same whatever was wrong; Unavailable when the keys of a federated
// issuer cannot be had.
func (c *Clients) Token(ctx context.Context, tenantName, clientID, secret, assertion string) (token string, life time.Duration, err error) {
	var tenant *directory.Tenant
	var client *directory.Client
	err = c.service.View(ctx, func(sn *directory.Snapshot) (err error) {
		if tenant, err = sn.TenantByName(tenantName); err == nil {
			client, err = sn.Client(tenant.ID, clientID)
		}
		return err
	})
	switch {
	case err != nil && directory.KindOf(err) == directory.NotFound:
		return "", 0, errUnknownClient
	case err != nil:
		return "", 0, err
	case tenant.Name != tenantName || !client.Revoked.IsZero(): // in a URL a name counts as it is written
		return "", 0, errUnknownClient
	}
	if assertion != "" {
		if err := c.checkAssertion(ctx, client, assertion); err != nil {
			return "", 0, err
		}
	} else if secret == "" || !client.SecretMatches(Hash(secret), c.now()) {
		return "", 0, errUnknownClient
	}
	s := newSecret(AccessPrefix)
	if _, err := c.service.IssueAccessToken(ctx, tenant.ID, clientID, s.Hash, s.Hint); err != nil {
		return "", 0, err
	}
	return s.Text, client.TokenLife, nil
}

// maxAssertion bounds a client assertion in bytes.
const maxAssertion = 16 << 10

// algorithms that an assertion may be signed with: never one with a shared secret.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512}

func (c *Clients) checkAssertion(ctx context.Context, client *directory.Client, assertion string) error {
	f := client.Federated
	if f == nil || len(assertion) > maxAssertion {
		return errUnknownClient
	}
	signed, err := jose.ParseSignedCompact(assertion, algorithms)
	if err != nil {
		return errUnknownClient
	}
	keys, err := c.issuer(f.Issuer).find(ctx, signed.Signatures[0].Header.KeyID, c.now())
	if err != nil {
		return &directory.Error{Kind: directory.Unavailable, Detail: "the keys of the federated issuer cannot be had", Err: err}
	}
	names := make([]string, len(algorithms))
	for n, a := range algorithms {
		names[n] = string(a)
	}
	verifier := oidc.NewVerifier(f.Issuer, &oidc.StaticKeySet{PublicKeys: keys}, &oidc.Config{ClientID: f.Audience, SupportedSigningAlgs: names, Now: c.now})
	token, err := verifier.Verify(ctx, assertion)
	if err != nil || token.Subject != f.Subject {
		return errUnknownClient
	}
	return nil
}

func (c *Clients) issuer(rawURL string) *issuer {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.issuers[rawURL]
	if i == nil {
		i = &issuer{url: rawURL, client: c.client, fetches: rate.NewLimiter(rate.Every(time.Minute), 5)}
		c.issuers[rawURL] = i
	}
	return i
}

// Bounds of what is fetched from an issuer.
const (
	fetchTime = 10 * time.Second
	maxFetch  = 1 << 20   // bytes
	keyAge    = time.Hour // after which keys are fetched again, because one may have been withdrawn
)

// issuer keeps the keys of one federated issuer. Whoever can name a client can make us fetch them,
// so fetches are counted. A fetch serves everyone, whoever caused it: a flood keeps nobody out.
type issuer struct {
	url      string
	client   *http.Client
	fetching sync.Mutex // held while fetching; guards fetches and failed
	fetches  *rate.Limiter
	failed   error // of the last fetch

	mu      sync.RWMutex
	keys    []jose.JSONWebKey
	fetched time.Time // when keys were
}

// find returns the keys of that id (of any, when it is empty), none when the issuer has no such
// key. An error means that its keys could not be had.
func (i *issuer) find(ctx context.Context, kid string, now time.Time) ([]crypto.PublicKey, error) {
	keys, fresh := i.known(kid, now)
	if fresh {
		return keys, nil
	}
	i.fetching.Lock()
	defer i.fetching.Unlock()
	if keys, fresh = i.known(kid, now); fresh {
		return keys, nil
	}
	if i.fetches.AllowN(now, 1) {
		i.failed = i.fetch(ctx, now)
		keys, _ = i.known(kid, now)
	}
	if len(keys) == 0 {
		return nil, i.failed
	}
	return keys, nil
}

func (i *issuer) known(kid string, now time.Time) (keys []crypto.PublicKey, fresh bool) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	for _, k := range i.keys {
		if kid == "" || k.KeyID == kid {
			keys = append(keys, k.Key)
		}
	}
	return keys, len(keys) > 0 && now.Sub(i.fetched) < keyAge
}

// fetch reads the issuer's document (OpenID Connect Discovery 1.0 section 4), then its keys. It
// goes on when the caller leaves: a caller in a hurry must not use up everyone's fetches.
func (i *issuer) fetch(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTime)
	defer cancel()
	var document struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := i.get(ctx, strings.TrimSuffix(i.url, "/")+"/.well-known/openid-configuration", &document); err != nil {
		return err
	}
	if document.Issuer != i.url {
		return fmt.Errorf("auth: the document of the issuer %s names another issuer", i.url)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := i.get(ctx, document.Keys, &set); err != nil {
		return err
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if err := json.Unmarshal(raw, &k); err == nil && k.IsPublic() && (k.Use == "" || k.Use == "sig") { // others are of a kind that we do not use
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 { // such an answer never takes the place of good keys
		return fmt.Errorf("auth: %s publishes no usable key", document.Keys)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys, i.fetched = keys, now
	return nil
}

func (i *issuer) get(ctx context.Context, rawURL string, v any) error {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return err
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return fmt.Errorf("auth: %s is not https", rawURL)
	case u.User != nil || u.Fragment != "" || strings.ContainsAny(i.url, "?#"):
		return errors.New("auth: the address of an issuer has no user, query or fragment")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return err
	}
	resp, err := i.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("auth: %s answers %s", rawURL, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxFetch+1))
	if err != nil {
		return err
	}
	if len(data) > maxFetch {
		return fmt.Errorf("auth: the answer of %s is too large", rawURL)
	}
	return json.Unmarshal(data, v)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
