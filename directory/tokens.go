package directory

import (
	"bytes"
	"context"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Bounds of credentials.
const (
	DefaultTokenLife  = 180 * 24 * time.Hour
	MaxTokenLife      = 366 * 24 * time.Hour
	MaxOverlap        = 30 * 24 * time.Hour
	liveTokens        = 2 // Secret Tokens of a tenant, and secrets of a client
	DefaultAccessLife = time.Hour
	MaxAccessLife     = 6 * time.Hour
	MaxClients        = 10   // of a tenant, besides those that were revoked
	maxFederated      = 1024 // bytes of an issuer, an audience, a subject
	maxAccessTokens   = 50   // live ones of a client besides a new one; the oldest gives way
)

// NewToken describes a Secret Token to be made: the secret itself stays with the caller.
type NewToken struct {
	Name string // may be empty; of a token in place of another: the name of that one
	Hash [32]byte
	Hint string
	Life time.Duration // 0: DefaultTokenLife
}

func (n *NewToken) life() (time.Duration, error) {
	if n.Life == 0 {
		return DefaultTokenLife, nil
	}
	if n.Life < time.Minute || n.Life > MaxTokenLife {
		return 0, failf(Invalid, "expires", "a token lives between a minute and %d days", int(MaxTokenLife.Hours()/24))
	}
	return n.Life, nil
}

// CreateToken makes a Secret Token of a tenant. Errors: Conflict when two are live already.
func (s *Service) CreateToken(ctx context.Context, by Actor, tenant ID, n NewToken) (*Token, error) {
	return s.addToken(ctx, by, tenant, &n, "token.create", nil)
}

// RotateToken makes a new Secret Token and lets the old one end after overlap (0: at once).
func (s *Service) RotateToken(ctx context.Context, by Actor, tenant, old ID, n NewToken, overlap time.Duration) (*Token, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return nil, failf(Invalid, "overlap", "the overlap lies between 0 and %d days", int(MaxOverlap.Hours()/24))
	}
	return s.addToken(ctx, by, tenant, &n, "token.rotate", func(c *change) error {
		t, err := c.Token(tenant, old)
		if err != nil {
			return err
		}
		if t.Kind != SecretToken || !t.Live(c.now) {
			return failf(Conflict, "", "the token is not live any more: create a new one")
		}
		if end := c.now.Add(overlap); end.Before(t.Expires) {
			t.Expires = end
		}
		if n.Name == "" {
			n.Name = t.Name
		}
		return c.put(row{tableTokens, key(tenant, old), encodeJSON(t)})
	})
}

func (s *Service) addToken(ctx context.Context, by Actor, tenant ID, n *NewToken, action string, before func(*change) error) (*Token, error) {
	if err := require(by, RolePartner, RoleOperator); err != nil {
		return nil, err
	}
	life, err := n.life()
	if err != nil {
		return nil, err
	}
	if n.Name, err = cleanNameOrNone("name", n.Name); err != nil {
		return nil, err
	}
	var t *Token
	err = s.update(ctx, by, func(c *change) error {
		owner, err := c.maySetUp(tenant)
		if err != nil {
			return err
		}
		if before != nil {
			if err := before(c); err != nil {
				return err
			}
		}
		all, err := c.Tokens(tenant, SecretToken)
		if err != nil {
			return err
		}
		for _, old := range over(all, c.now, func(t *Token) time.Time { return ended(t.Revoked, t.Expires, c.now) }) {
			if err := c.deleteToken(old); err != nil {
				return err
			}
		}
		all = slices.DeleteFunc(all, func(t *Token) bool { return !t.Live(c.now) })
		if len(all) >= liveTokens {
			return failf(Conflict, "", "tenant %s has %d live tokens already: revoke one first", owner.Name, len(all))
		}
		t = &Token{ID: s.newID(), TenantID: tenant, Name: n.Name, Kind: SecretToken, Hash: n.Hash[:], Hint: n.Hint,
			Created: c.now, CreatedBy: by.ID, Expires: c.now.Add(life)}
		if err := c.putToken(t); err != nil {
			return err
		}
		return c.audit(action, owner.Name, map[string]any{"token": t.ID, "hint": t.Hint, "expires": t.Expires})
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (c *change) putToken(t *Token) error {
	k := key(t.TenantID, t.ID)
	if err := c.insert(tableTokenHash, t.Hash, k, failf(Conflict, "", "there is such a token already")); err != nil {
		return err
	}
	return c.put(row{tableTokens, k, encodeJSON(t)})
}

// RevokeToken ends a token at once. Errors: Forbidden; NotFound.
func (s *Service) RevokeToken(ctx context.Context, by Actor, tenant, id ID) error {
	return s.update(ctx, by, func(c *change) error {
		if _, err := c.mayTenant(tenant); err != nil {
			return err
		}
		t, err := c.Token(tenant, id)
		if err != nil {
			return err
		}
		if !t.Revoked.IsZero() {
			return nil
		}
		t.Revoked = c.now
		if err := c.put(row{tableTokens, key(tenant, id), encodeJSON(t)}); err != nil {
			return err
		}
		return c.audit("token.revoke", t.ID.String(), map[string]any{"tenant": tenant, "hint": t.Hint})
	})
}

// TouchToken notes when and from where a token was used, to the minute: of an access token at its client too.
func (s *Service) TouchToken(ctx context.Context, tenant, id ID, from string) error {
	return s.update(ctx, Actor{Role: RoleSystem}, func(c *change) error {
		t, err := c.Token(tenant, id)
		if err != nil {
			return err
		}
		at := c.now.Truncate(time.Minute)
		if !at.After(t.LastUsed) && t.LastUsedFrom == from {
			return nil
		}
		t.LastUsed, t.LastUsedFrom = at, from
		if err := c.put(row{tableTokens, key(tenant, id), encodeJSON(t)}); err != nil || t.Kind != AccessToken {
			return err
		}
		return c.touchClient(tenant, t.ClientID, at, from)
	})
}

func (c *change) touchClient(tenant ID, id string, at time.Time, from string) error {
	client, err := c.Client(tenant, id)
	if err != nil || at.Before(client.LastUsed) {
		return err
	}
	client.LastUsed, client.LastUsedFrom = at, from
	return c.put(row{tableClients, textKey(tenant, id), encodeJSON(client)})
}

// clientID is what a client id may be.
var clientID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// NewClient describes an OAuth client to be made. Secret is nil for one that only presents
// federated tokens.
type NewClient struct {
	ClientID  string
	Secret    *NewToken
	Federated *Federated
	TokenLife time.Duration // 0: DefaultAccessLife
}

// check refuses what names no token. Where the issuer leads is looked at when its keys are fetched.
func (f *Federated) check() error {
	if f.Issuer == "" || f.Audience == "" || f.Subject == "" {
		return failf(Invalid, "federated", "a federated credential needs issuer, audience and subject")
	}
	if max(len(f.Issuer), len(f.Audience), len(f.Subject)) > maxFederated {
		return failf(Invalid, "federated", "issuer, audience and subject have at most %d bytes each", maxFederated)
	}
	u, err := url.Parse(f.Issuer)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.ContainsAny(f.Issuer, "?#") || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return failf(Invalid, "federated", "the issuer is an https URL without user, query or fragment")
	}
	return nil
}

// loopback reports whether a host is this machine, as it is written.
func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// CreateClient makes an OAuth client of a tenant. Errors: Invalid; Exists; Conflict at MaxClients.
func (s *Service) CreateClient(ctx context.Context, by Actor, tenant ID, n NewClient) (*Client, error) {
	if err := require(by, RolePartner, RoleOperator); err != nil {
		return nil, err
	}
	if !clientID.MatchString(n.ClientID) {
		return nil, failf(Invalid, "clientId", "a client id is 1 to 128 of letters, digits, dot, hyphen and underscore")
	}
	if n.TokenLife == 0 {
		n.TokenLife = DefaultAccessLife
	}
	if n.TokenLife < DefaultAccessLife || n.TokenLife > MaxAccessLife {
		return nil, failf(Invalid, "tokenLife", "access tokens live 1 to 6 hours")
	}
	if f := n.Federated; f != nil {
		if err := f.check(); err != nil {
			return nil, err
		}
	}
	if n.Federated == nil && n.Secret == nil {
		return nil, failf(Invalid, "secret", "a client needs a secret or a federated credential")
	}
	var client *Client
	err := s.update(ctx, by, func(c *change) error {
		owner, err := c.mayTenant(tenant)
		if err != nil {
			return err
		}
		if err := c.tidyClients(owner); err != nil {
			return err
		}
		client = &Client{TenantID: tenant, ClientID: n.ClientID, Federated: n.Federated, TokenLife: n.TokenLife, Created: c.now}
		if err := c.addClientSecret(client, n.Secret); err != nil {
			return err
		}
		if err := c.insert(tableClients, textKey(tenant, n.ClientID), encodeJSON(client), failf(Exists, "clientId", "the tenant already has a client %q", n.ClientID)); err != nil {
			return err
		}
		return c.audit("client.create", owner.Name+"/"+n.ClientID, map[string]any{"federated": n.Federated})
	})
	if err != nil {
		return nil, err
	}
	return client, nil
}

// tidyClients removes the clients of a tenant that were revoked and are over, and refuses one more than there may be.
func (c *change) tidyClients(owner *Tenant) error {
	all, err := c.Clients(owner.ID)
	if err != nil {
		return err
	}
	for _, old := range over(all, c.now, func(x *Client) time.Time { return x.Revoked }) {
		if err := c.delete(row{table: tableClients, key: textKey(owner.ID, old.ClientID)}); err != nil {
			return err
		}
	}
	all = slices.DeleteFunc(all, func(x *Client) bool { return !x.Revoked.IsZero() })
	if len(all) >= MaxClients {
		return failf(Conflict, "", "tenant %s has %d clients already: revoke one first", owner.Name, len(all))
	}
	return nil
}

func (c *change) addClientSecret(client *Client, n *NewToken) error {
	if n == nil {
		return nil
	}
	life, err := n.life()
	if err != nil {
		return err
	}
	client.Secrets = slices.DeleteFunc(client.Secrets, func(x ClientSecret) bool { return !c.now.Before(x.Expires) })
	if len(client.Secrets) >= liveTokens {
		return failf(Conflict, "", "client %s has %d live secrets already: wait for one to end", client.ClientID, len(client.Secrets))
	}
	client.Secrets = append(client.Secrets, ClientSecret{ID: c.s.newID(), Hash: n.Hash[:], Hint: n.Hint, Created: c.now, Expires: c.now.Add(life)})
	return nil
}

// RotateClient gives a client a new secret; the others end after overlap.
func (s *Service) RotateClient(ctx context.Context, by Actor, tenant ID, id string, n NewToken, overlap time.Duration) (*Client, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return nil, failf(Invalid, "overlap", "the overlap lies between 0 and %d days", int(MaxOverlap.Hours()/24))
	}
	return s.changeClient(ctx, by, tenant, id, "client.rotate", func(c *change, client *Client) error {
		for i := range client.Secrets {
			if end := c.now.Add(overlap); end.Before(client.Secrets[i].Expires) {
				client.Secrets[i].Expires = end
			}
		}
		return c.addClientSecret(client, &n)
	})
}

// RevokeClient ends a client, its secrets and the access tokens that it was issued, at once.
func (s *Service) RevokeClient(ctx context.Context, by Actor, tenant ID, id string) error {
	_, err := s.changeClient(ctx, by, tenant, id, "client.revoke", func(c *change, client *Client) error {
		client.Revoked = c.now
		client.Secrets = nil
		issued, err := c.Tokens(tenant, AccessToken)
		if err != nil {
			return err
		}
		for _, t := range issued {
			if t.ClientID == id {
				if err := c.deleteToken(t); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return err
}

func (s *Service) changeClient(ctx context.Context, by Actor, tenant ID, id, action string, fn func(*change, *Client) error) (*Client, error) {
	var client *Client
	err := s.update(ctx, by, func(c *change) (err error) {
		if _, err := c.mayTenant(tenant); err != nil {
			return err
		}
		if client, err = c.Client(tenant, id); err != nil {
			return err
		}
		if !client.Revoked.IsZero() {
			return failf(Conflict, "", "client %s is revoked", id)
		}
		if err := fn(c, client); err != nil {
			return err
		}
		if err := c.put(row{tableClients, textKey(tenant, id), encodeJSON(client)}); err != nil {
			return err
		}
		return c.audit(action, client.ClientID, map[string]any{"tenant": tenant})
	})
	if err != nil {
		return nil, err
	}
	return client, nil
}

// SecretMatches reports whether a secret of that SHA-256 is one of the client's live secrets.
func (c *Client) SecretMatches(hash [32]byte, now time.Time) bool {
	for i := range c.Secrets {
		if bytes.Equal(c.Secrets[i].Hash, hash[:]) && now.Before(c.Secrets[i].Expires) { // of a hash, so timing tells nothing
			return true
		}
	}
	return false
}

// IssueAccessToken keeps an access token of a client that has proved itself, and clears away
// those of the tenant that have ended and those that a client has too many of.
func (s *Service) IssueAccessToken(ctx context.Context, tenant ID, clientID string, hash [32]byte, hint string) (*Token, error) {
	var t *Token
	err := s.update(ctx, Actor{Role: RoleSystem}, func(c *change) error {
		client, err := c.Client(tenant, clientID)
		if err != nil {
			return err
		}
		if !client.Revoked.IsZero() {
			return failf(Unauthorized, "", "client %s is revoked", clientID)
		}
		issued, err := c.Tokens(tenant, AccessToken)
		if err != nil {
			return err
		}
		live := 0
		for _, old := range slices.Backward(issued) { // newest first
			if old.Live(c.now) && (old.ClientID != clientID || live < maxAccessTokens) {
				if old.ClientID == clientID {
					live++
				}
				continue
			}
			if err := c.deleteToken(old); err != nil {
				return err
			}
		}
		t = &Token{ID: s.newID(), TenantID: tenant, Kind: AccessToken, ClientID: clientID, Hash: hash[:], Hint: hint,
			Created: c.now, CreatedBy: clientID, Expires: c.now.Add(client.TokenLife)}
		return c.putToken(t)
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (c *change) deleteToken(t *Token) error {
	return c.delete(row{table: tableTokens, key: key(t.TenantID, t.ID)}, row{table: tableTokenHash, key: t.Hash})
}
