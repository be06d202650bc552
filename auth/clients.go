package auth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
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
	case !client.Revoked.IsZero():
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

// issuer verifies the tokens of one federated issuer.
type issuer struct {
	mu       sync.Mutex
	provider *oidc.Provider
	kids     map[string]bool // of keys that have verified a token
	unknown  *rate.Limiter   // a token with any other key may make us fetch keys, so these are counted
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
	signed, err := jose.ParseSigned(assertion, algorithms)
	if err != nil || len(signed.Signatures) != 1 {
		return errUnknownClient
	}
	kid := signed.Signatures[0].Header.KeyID
	i, err := c.issuer(f.Issuer)
	if err != nil {
		return &directory.Error{Kind: directory.Unavailable, Detail: "the federated issuer is not usable", Err: err}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.kids[kid] && !i.unknown.AllowN(c.now(), 1) {
		return errUnknownClient
	}
	// The provider keeps this context for its later fetches of keys, so it must outlive the request.
	ctx = oidc.ClientContext(context.WithoutCancel(ctx), c.client)
	if i.provider == nil {
		if i.provider, err = oidc.NewProvider(ctx, f.Issuer); err != nil {
			return &directory.Error{Kind: directory.Unavailable, Detail: "the keys of the federated issuer cannot be had", Err: err}
		}
	}
	names := make([]string, len(algorithms))
	for n, a := range algorithms {
		names[n] = string(a)
	}
	token, err := i.provider.VerifierContext(ctx, &oidc.Config{ClientID: f.Audience, SupportedSigningAlgs: names, Now: c.now}).Verify(ctx, assertion)
	if err != nil || token.Subject != f.Subject {
		return errUnknownClient
	}
	i.kids[kid] = true
	return nil
}

func (c *Clients) issuer(rawURL string) (*issuer, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "https" && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("auth: the issuer %s is not https", rawURL)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("auth: an issuer has no user, query or fragment")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.issuers[rawURL]
	if i == nil {
		i = &issuer{kids: map[string]bool{}, unknown: rate.NewLimiter(rate.Every(time.Minute), 5)}
		c.issuers[rawURL] = i
	}
	return i, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
