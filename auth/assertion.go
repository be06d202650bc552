package auth

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bizzstream/bizzscim/directory"
)

// AssertionHeader carries an assertion to an upstream. Proxies must drop what a client sends under it.
const AssertionHeader = "X-Auth-Assertion"

// Times of an assertion.
const (
	assertedFor   = time.Minute
	assertedSince = 10 * time.Second // before it is made: the upstream's clock may be behind
)

// Upstream is an application behind a reverse proxy that asks this server about each request.
type Upstream struct {
	Name        string       // as in the path of ServeVerify: a-z, 0-9, hyphen
	Audience    string       // aud of its assertions; empty: Name
	Environment directory.ID // whose active access is needed, of operators too; zero: an active access to any
}

// Assertion is what an upstream learns of who is signed in: the claims of a JWT (RFC 7519), signed with
// ES256, by a key of ServeKeys.
type Assertion struct {
	Issuer        string `json:"iss"` // address of this server
	Subject       string `json:"sub"` // id of the account: the only lasting name of a person
	Audience      string `json:"aud"` // the upstream
	IssuedAt      int64  `json:"iat"`
	NotBefore     int64  `json:"nbf"`
	Expires       int64  `json:"exp"` // a minute after iat
	ID            string `json:"jti"`
	Session       string `json:"sid"`           // by which people name the session; it opens nothing
	Directory     string `json:"tid,omitempty"` // directory (tenant) id, of a person who signed in with one
	ObjectID      string `json:"oid,omitempty"` // of that person in the directory
	Environment   string `json:"env,omitempty"` // id of the upstream's environment, where it has one
	Administrator bool   `json:"admin"`         // of that environment
	Email         string `json:"email,omitempty"`
	Name          string `json:"name,omitempty"`
}

// AssertionsConfig is what an Assertions needs.
type AssertionsConfig struct {
	Service *directory.Service
	URL     func() string // of this server, for iss
	// Seal and Unseal keep the private parts of the keys. place is what a sealed text is bound to:
	// "signing-key/" and the id of the key.
	Seal   func(plain []byte, place string) (string, error)
	Unseal func(sealed, place string) ([]byte, error)
	Now    func() time.Time // the wall clock, which upstreams go by
}

// Assertions signs what upstreams are told. It is safe for concurrent use, and beside others on one store.
type Assertions struct {
	config AssertionsConfig
	keys   signingKeys
}

// NewAssertions returns an Assertions. The first key is made when one is needed.
func NewAssertions(c AssertionsConfig) *Assertions {
	return &Assertions{config: c, keys: signingKeys{config: c}}
}

// Sign makes the assertion of a principal for an upstream: a JWS in compact form (RFC 7515). Errors:
// Forbidden when the principal has no active access to the upstream's environment, or to any where the
// upstream has none; a role is no access.
func (a *Assertions) Sign(ctx context.Context, u Upstream, p *directory.Principal) (string, error) {
	now := a.config.Now()
	c := Assertion{Issuer: a.config.URL(), Subject: p.Account.ID.String(), Audience: u.audience(), IssuedAt: now.Unix(),
		NotBefore: now.Add(-assertedSince).Unix(), Expires: now.Add(assertedFor).Unix(), ID: rand.Text(), Session: p.Session.ID.String(),
		Email: p.Account.Email, Name: p.Account.Name}
	if len(p.Accesses) == 0 {
		return "", errNoAccess
	}
	if !u.Environment.IsZero() {
		access := p.Access(u.Environment)
		if access == nil {
			return "", errNoAccess
		}
		c.Environment, c.Administrator, c.Email, c.Name = u.Environment.String(), access.Administrator, access.Email, access.Name
	}
	if p.Session.Method == directory.MethodDirectory && p.Session.TenantID == p.Account.TenantID {
		tenant, err := a.tenant(ctx, p.Session.TenantID)
		if err != nil {
			return "", err
		}
		c.Directory, c.ObjectID = tenant.DirectoryID, p.Session.ObjectID.String()
	}
	claims, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	return a.keys.sign(ctx, assertionTyp, claims, now)
}

var errNoAccess = &directory.Error{Kind: directory.Forbidden, Field: "access", Detail: "this account has no active access to an environment of this application"}

func (u Upstream) audience() string {
	if u.Audience != "" {
		return u.Audience
	}
	return u.Name
}

func (a *Assertions) tenant(ctx context.Context, id directory.ID) (t *directory.Tenant, err error) {
	err = a.config.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		t, err = sn.Tenant(id)
		return err
	})
	return t, err
}

// SignDocument signs a document that is no assertion: a JWS in compact form. kind is the typ of its header (RFC 7515
// section 4.1.9), by which nobody takes it for an assertion or a security event; it must be neither JWT nor secevent+jwt. The header holds the public key too,
// whose thumbprint (RFC 7638) is kid: so the signature can be verified when the key is published no more, and the audit
// tells which keys the server had.
func (a *Assertions) SignDocument(ctx context.Context, kind string, document []byte) (string, error) {
	if short := strings.TrimPrefix(strings.ToLower(kind), "application/"); short == "" || short == strings.ToLower(assertionTyp) || short == eventTyp {
		return "", errors.New("auth: a document needs a type of its own")
	}
	return a.keys.signDocument(ctx, kind, document, a.config.Now())
}

// SignEvent signs the claims of a security event token (RFC 8417): a JWS in compact form of the type secevent+jwt, signed with ES256
// by a key of ServeKeys. Claims with sub or exp are refused: with these a token could be taken for an assertion.
func (a *Assertions) SignEvent(ctx context.Context, claims []byte) (string, error) {
	var c struct {
		Subject any             `json:"sub"`
		Expires any             `json:"exp"`
		Events  json.RawMessage `json:"events"`
	}
	if err := json.Unmarshal(claims, &c); err != nil || c.Subject != nil || c.Expires != nil || len(c.Events) == 0 {
		return "", errors.New("auth: these are not the claims of a security event token")
	}
	return a.keys.sign(ctx, eventTyp, claims, a.config.Now())
}

// Keys returns the public keys that verify assertions, those that will sign next included.
func (a *Assertions) Keys(ctx context.Context) (jose.JSONWebKeySet, error) {
	return a.keys.public(ctx, a.config.Now())
}

// Rotate begins to change the signing key: the new key is published at once, signs after ten minutes, and
// the old one stays published for an hour more. When the present key cannot be opened, the new one signs
// at once. It returns the id of the new key. Errors: Forbidden; Conflict while a new key waits already.
func (a *Assertions) Rotate(ctx context.Context, by directory.Actor) (id string, err error) {
	return a.keys.rotate(ctx, by, a.config.Now())
}
