package auth

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bizzstream/bizzscim/directory"
)

// Clients authenticates the OAuth 2.0 clients of tenants (RFC 6749 section 4.4) and issues access
// tokens to them.
type Clients struct {
	service *directory.Service
	now     func() time.Time
	client  *http.Client

	mu      sync.Mutex
	issuers map[string]*federated // maxIssuers at most
}

// federated is an issuer that a client has named, and when it was asked for last.
type federated struct {
	*issuer
	used time.Time
}

// Bounds of what customers have us keep.
const (
	maxIssuers   = 512
	maxFederated = 128 << 10 // bytes of an issuer's document, and of its keys
)

// NewClients returns a Clients that fetches the keys of federated issuers through client (nil: one with
// a time limit). No redirect is followed. Tenants name the issuers: client decides where they may lead.
func NewClients(service *directory.Service, now func() time.Time, client *http.Client) *Clients {
	return &Clients{service: service, now: now, client: withoutRedirects(client), issuers: map[string]*federated{}}
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
	token, err := c.issuer(f.Issuer).verify(ctx, assertion, f.Audience)
	if e := (*issuerError)(nil); errors.As(err, &e) || err != nil && ctx.Err() != nil {
		return &directory.Error{Kind: directory.Unavailable, Detail: "the keys of the federated issuer cannot be had", Err: err}
	}
	if err != nil || token.Subject != f.Subject {
		return errUnknownClient
	}
	return nil
}

func (c *Clients) issuer(rawURL string) *issuer {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	i := c.issuers[rawURL]
	if i == nil {
		c.makeRoom(now)
		i = &federated{issuer: &issuer{url: rawURL, algorithms: algorithms, client: c.client, most: maxFederated, now: c.now}}
		c.issuers[rawURL] = i
	}
	i.used = now
	return i.issuer
}

// makeRoom forgets the issuers that nobody has asked for in a day, as those of clients that were revoked, and whichever was not
// asked for longest when there are too many even so.
func (c *Clients) makeRoom(now time.Time) {
	oldest := ""
	for at, i := range c.issuers {
		if now.Sub(i.used) >= publishedLife {
			delete(c.issuers, at)
		} else if oldest == "" || i.used.Before(c.issuers[oldest].used) {
			oldest = at
		}
	}
	if len(c.issuers) >= maxIssuers {
		delete(c.issuers, oldest)
	}
}
