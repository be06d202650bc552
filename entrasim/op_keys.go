package entrasim

import (
	cryptorand "crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // Entra names its keys by the SHA-1 thumbprint of their certificates; it proves nothing
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"sync"
	"time"
)

// signingKey is a key of ID tokens, with the certificate that Entra publishes it in.
type signingKey struct {
	id          string // x5t of the certificate
	key         *rsa.PrivateKey
	certificate []byte // DER
}

// signingKeys are the keys of the provider. The first is made when it is needed: it takes a while, and most uses of a
// Graph sign nobody in.
type signingKeys struct {
	mu        sync.Mutex // guards what follows
	known     []*signingKey
	published []*signingKey
	current   *signingKey
	foreign   *signingKey // never published
}

func newSigningKey() (*signingKey, error) {
	key, err := rsa.GenerateKey(cryptorand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("simulated provider: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "accounts.accesscontrol.windows.net"},
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(cryptorand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("simulated provider: %w", err)
	}
	sum := sha1.Sum(der) //nolint:gosec // see the import
	return &signingKey{base64.RawURLEncoding.EncodeToString(sum[:]), key, der}, nil
}

// ready makes the first key. The caller holds mu.
func (k *signingKeys) ready() error {
	if k.current != nil {
		return nil
	}
	first, err := newSigningKey()
	if err != nil {
		return err
	}
	k.known, k.published, k.current = []*signingKey{first}, []*signingKey{first}, first
	return nil
}

func (k *signingKeys) signer() (*signingKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	err := k.ready()
	return k.current, err
}

// PublishKey makes a key for ID tokens and publishes it. Tokens are signed with it after [Graph.SignWith] alone, so that
// relying parties have time to see it.
func (g *Graph) PublishKey() (id string, err error) {
	k := &g.provider.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.ready(); err != nil {
		return "", err
	}
	key, err := newSigningKey()
	if err != nil {
		return "", err
	}
	k.known, k.published = append(k.known, key), append(k.published, key)
	return key.id, nil
}

// SignWith signs ID tokens with a key from now on, published or not.
func (g *Graph) SignWith(id string) error {
	k := &g.provider.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.IndexFunc(k.known, func(s *signingKey) bool { return s.id == id })
	if i < 0 {
		return fmt.Errorf("key %s: %w", id, ErrNotFound)
	}
	k.current = k.known[i]
	return nil
}

// WithdrawKey publishes a key no longer, even if it is the one that signs.
func (g *Graph) WithdrawKey(id string) error {
	k := &g.provider.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.IndexFunc(k.published, func(s *signingKey) bool { return s.id == id })
	if i < 0 {
		return fmt.Errorf("key %s: %w", id, ErrNotFound)
	}
	k.published = slices.Delete(slices.Clone(k.published), i, i+1)
	return nil
}

// PublishedKeys are the ids of the keys that are published, in the order of publication.
func (g *Graph) PublishedKeys() ([]string, error) {
	set, err := g.provider.keys.set()
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(set))
	for _, k := range set {
		ids = append(ids, k.id)
	}
	return ids, nil
}

// set is what is published.
func (k *signingKeys) set() ([]*signingKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.ready(); err != nil {
		return nil, err
	}
	return slices.Clone(k.published), nil
}

// stranger is a key that the provider never publishes.
func (k *signingKeys) stranger() (*signingKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.foreign == nil {
		var err error
		if k.foreign, err = newSigningKey(); err != nil {
			return nil, err
		}
	}
	return k.foreign, nil
}

// jwk is a key as JSON (RFC 7517), with the fields of Entra.
func (s *signingKey) jwk() map[string]any {
	return map[string]any{
		"kty": "RSA", "use": "sig", "kid": s.id, "x5t": s.id,
		"n":   base64.RawURLEncoding.EncodeToString(s.key.N.Bytes()),
		"e":   base64.RawURLEncoding.EncodeToString(big.NewInt(int64(s.key.E)).Bytes()),
		"x5c": []string{base64.StdEncoding.EncodeToString(s.certificate)},
	}
}

// publicPEM is the public key, as it could be found in a file.
func publicPEM(key *rsa.PrivateKey) []byte {
	der, _ := x509.MarshalPKIXPublicKey(key.Public()) // which fails for unknown kinds of keys only
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// serveKeys answers /{tenant}/discovery/v2.0/keys. Microsoft's field issuer says for which issuer a key signs.
func (p *provider) serveKeys(c *call, tenant string) *response {
	issuer, bad := p.issuerOf(tenant)
	if bad != nil {
		return p.g.tokens.refuse(c, bad)
	}
	set, err := p.keys.set()
	if err != nil {
		return p.g.tokens.refuse(c, badToken(http.StatusInternalServerError, "server_error", 50000, "%v", err))
	}
	keys := make([]any, 0, len(set))
	for _, k := range set {
		jwk := k.jwk()
		jwk["issuer"], jwk["cloud_instance_name"] = issuer, "microsoftonline.com"
		keys = append(keys, jwk)
	}
	a := c.json(http.StatusOK, map[string]any{"keys": keys})
	a.header.Set("Cache-Control", "max-age=86400, private") // the day that Microsoft lets keys be kept for
	a.header.Del("Pragma")
	return a
}

// serveForeignKeys publishes the key of somebody else, whom only a token's own header points to. [GraphStats] counts who
// follows it.
func (p *provider) serveForeignKeys(c *call) *response {
	key, err := p.keys.stranger()
	if err != nil {
		return p.g.tokens.refuse(c, badToken(http.StatusInternalServerError, "server_error", 50000, "%v", err))
	}
	return c.json(http.StatusOK, map[string]any{"keys": []any{key.jwk()}})
}
