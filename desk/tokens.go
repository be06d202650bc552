package desk

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

// Token is a Secret Token of a tenant, without its secret.
type Token struct {
	ID           directory.ID `json:"id"`
	Name         string       `json:"name,omitempty"`
	Hint         string       `json:"hint" doc:"Its last four characters"`
	State        string       `json:"state" enum:"live,expiring,expired,revoked" doc:"expiring: it ends within 30 days"`
	Created      time.Time    `json:"created"`
	CreatedBy    string       `json:"createdBy,omitempty"`
	Expires      time.Time    `json:"expires"`
	Revoked      *time.Time   `json:"revoked,omitempty"`
	LastUsed     *time.Time   `json:"lastUsed,omitempty" doc:"To the minute"`
	LastUsedFrom string       `json:"lastUsedFrom,omitempty" doc:"Address"`
}

// Live reports whether the token opens anything.
func (t *Token) Live() bool { return t.State == stateLive || t.State == stateExpiring }

// States of what ends.
const (
	stateLive     = "live"
	stateExpiring = "expiring"
	stateExpired  = "expired"
	stateRevoked  = "revoked"
)

func (d *Desk) stateOf(expires, revoked time.Time) string {
	switch now := d.Now(); {
	case !revoked.IsZero():
		return stateRevoked
	case !now.Before(expires):
		return stateExpired
	case ExpiryLevel(expires, now) > 0:
		return stateExpiring
	}
	return stateLive
}

// NewToken is a Secret Token with its secret, which is told once.
type NewToken struct {
	Secret string `json:"secret" doc:"The Secret Token itself: it is shown this once and kept nowhere"`
	Token  Token  `json:"token"`
}

// TokenInput is a Secret Token to be made.
type TokenInput struct {
	Name string `json:"name,omitempty" maxLength:"256"`
	Days int    `json:"days,omitempty" minimum:"1" maximum:"366" doc:"How long it lives; absent: 180"`
}

// RotationInput is a secret to be made in place of another.
type RotationInput struct {
	Name         string `json:"name,omitempty" maxLength:"256" doc:"Absent: that of the old one"`
	Days         int    `json:"days,omitempty" minimum:"1" maximum:"366" doc:"How long the new one lives; absent: 180"`
	OverlapHours int    `json:"overlapHours" minimum:"0" maximum:"720" doc:"How long the old one still works; 0: it ends at once"`
}

// life is a number of days as the directory takes it.
func life(days int) (time.Duration, error) {
	const day = 24 * time.Hour
	if days < 0 || days > int(directory.MaxTokenLife/day) {
		return 0, fail(directory.Invalid, "days", "a token lives 1 to %d days", int(directory.MaxTokenLife/day))
	}
	return time.Duration(days) * day, nil
}

func overlap(hours int) (time.Duration, error) {
	if hours < 0 || hours > int(directory.MaxOverlap/time.Hour) {
		return 0, fail(directory.Invalid, "overlapHours", "the overlap lies between 0 and %d hours", int(directory.MaxOverlap/time.Hour))
	}
	return time.Duration(hours) * time.Hour, nil
}

func newToken(name string, days int) (auth.Secret, directory.NewToken, error) {
	lives, err := life(days)
	if err != nil {
		return auth.Secret{}, directory.NewToken{}, err
	}
	s := auth.NewSecret()
	return s, directory.NewToken{Name: strings.TrimSpace(name), Hash: s.Hash, Hint: s.Hint, Life: lives}, nil
}

// Tokens lists the Secret Tokens of a tenant, those that have ended too: the live ones first, the newest first.
func (d *Desk) Tokens(ctx context.Context, by directory.Actor, tenant directory.ID) (List[Token], error) {
	return view(ctx, d, func(sn *directory.Snapshot) (List[Token], error) {
		if _, err := d.setupOf(sn, by, tenant); err != nil {
			return List[Token]{}, err
		}
		all, err := d.tokens(sn, by, tenant)
		return List[Token]{Items: all, Total: int64(len(all))}, err
	})
}

func (d *Desk) tokens(sn *directory.Snapshot, by directory.Actor, tenant directory.ID) ([]Token, error) {
	all, err := sn.Tokens(tenant, directory.SecretToken)
	out := []Token{}
	slices.SortFunc(all, func(a, b *directory.Token) int {
		if live := a.Live(d.Now()); live != b.Live(d.Now()) {
			return map[bool]int{true: -1, false: 1}[live]
		}
		return b.Created.Compare(a.Created)
	})
	for _, t := range all {
		shown, err := d.token(sn, by, t)
		if err != nil {
			return nil, err
		}
		out = append(out, shown)
	}
	return out, err
}

func (d *Desk) token(sn *directory.Snapshot, by directory.Actor, t *directory.Token) (Token, error) {
	who, err := creatorOf(sn, by, t.CreatedBy)
	return Token{t.ID, t.Name, t.Hint, d.stateOf(t.Expires, t.Revoked), t.Created, who, t.Expires, orNil(t.Revoked), orNil(t.LastUsed), t.LastUsedFrom}, err
}

// creatorOf is who made something, as people know them. Whoever came by a setup link is told nobody's name.
func creatorOf(sn *directory.Snapshot, by directory.Actor, id string) (string, error) {
	if strings.HasPrefix(id, setupLinkActor) {
		return "setup link", nil
	}
	if by.ByLink() {
		return "", nil
	}
	account, ok := directory.ParseID(id)
	if !ok {
		return id, nil
	}
	a, err := sn.Account(account)
	if directory.KindOf(err) == directory.NotFound {
		return id, nil
	}
	if err != nil {
		return "", err
	}
	if a.Name != "" {
		return a.Name, nil
	}
	return a.Email, nil
}

func (d *Desk) showNew(ctx context.Context, by directory.Actor, secret string, t *directory.Token) (NewToken, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (NewToken, error) {
		shown, err := d.token(sn, by, t)
		return NewToken{secret, shown}, err
	})
}

// CreateToken makes a Secret Token of a tenant. Errors: Forbidden; NotFound; Invalid; Conflict when two are live.
func (d *Desk) CreateToken(ctx context.Context, by directory.Actor, tenant directory.ID, in TokenInput) (NewToken, error) {
	secret, n, err := newToken(in.Name, in.Days)
	if err != nil {
		return NewToken{}, err
	}
	t, err := d.Service.CreateToken(ctx, by, tenant, n)
	if err != nil {
		return NewToken{}, err
	}
	return d.showNew(ctx, by, secret.Text, t)
}

// RotateToken makes a Secret Token in place of another, which still works for a while. Errors: as CreateToken.
func (d *Desk) RotateToken(ctx context.Context, by directory.Actor, tenant, old directory.ID, in RotationInput) (NewToken, error) {
	secret, n, err := newToken(in.Name, in.Days)
	if err != nil {
		return NewToken{}, err
	}
	both, err := overlap(in.OverlapHours)
	if err != nil {
		return NewToken{}, err
	}
	t, err := d.Service.RotateToken(ctx, by, tenant, old, n, both)
	if err != nil {
		return NewToken{}, err
	}
	return d.showNew(ctx, by, secret.Text, t)
}

// RevokeToken ends a Secret Token at once. Errors: Forbidden; NotFound.
func (d *Desk) RevokeToken(ctx context.Context, by directory.Actor, tenant, id directory.ID) error {
	return d.Service.RevokeToken(ctx, by, tenant, id)
}

// Client is an OAuth client of a tenant's token endpoint, without its secrets.
type Client struct {
	ClientID       string         `json:"clientId"`
	State          string         `json:"state" enum:"live,expired,revoked"`
	Secrets        []ClientSecret `json:"secrets" nullable:"false" doc:"Those that work"`
	Federated      *Federated     `json:"federated,omitempty" doc:"The tokens that it may present in place of a secret"`
	TokenLifeHours int            `json:"tokenLifeHours" doc:"How long its access tokens live"`
	Created        time.Time      `json:"created"`
	Revoked        *time.Time     `json:"revoked,omitempty"`
	LastUsed       *time.Time     `json:"lastUsed,omitempty" doc:"When one of its access tokens was used last, to the minute; absent: never"`
	LastUsedFrom   string         `json:"lastUsedFrom,omitempty" doc:"The address that used it last"`
}

// Last is the secret that works longest; nil: none does.
func (c *Client) Last() (last *ClientSecret) {
	for i := range c.Secrets {
		if last == nil || c.Secrets[i].Expires.After(last.Expires) {
			last = &c.Secrets[i]
		}
	}
	return last
}

// ClientSecret is one secret of a Client.
type ClientSecret struct {
	Hint    string    `json:"hint" doc:"Its last four characters"`
	State   string    `json:"state" enum:"live,expiring"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

// Federated names the tokens that a client may present in place of a secret (RFC 7523).
type Federated struct {
	Issuer   string `json:"issuer" maxLength:"1024"`
	Audience string `json:"audience" maxLength:"1024"`
	Subject  string `json:"subject" maxLength:"1024"`
}

// ClientInput is an OAuth client to be made: with a secret, or federated.
type ClientInput struct {
	ClientID       string     `json:"clientId,omitempty" maxLength:"128" doc:"Absent: one is made up"`
	Days           int        `json:"days,omitempty" minimum:"1" maximum:"366" doc:"How long its secret lives; absent: 180"`
	Federated      *Federated `json:"federated,omitempty" doc:"It presents tokens of this issuer and gets no secret"`
	TokenLifeHours int        `json:"tokenLifeHours,omitempty" minimum:"1" maximum:"6" doc:"How long its access tokens live; absent: 1"`
}

// NewClient is an OAuth client with its secret, which is told once.
type NewClient struct {
	Secret string `json:"secret,omitempty" doc:"The client secret: it is shown this once and kept nowhere. Absent of a federated client"`
	Client Client `json:"client"`
}

func (d *Desk) client(c *directory.Client) Client {
	out := Client{ClientID: c.ClientID, State: stateExpired, Secrets: []ClientSecret{}, TokenLifeHours: int(c.TokenLife / time.Hour), Created: c.Created, Revoked: orNil(c.Revoked),
		LastUsed: orNil(c.LastUsed), LastUsedFrom: c.LastUsedFrom}
	for _, s := range c.Secrets {
		if state := d.stateOf(s.Expires, time.Time{}); state != stateExpired {
			out.State = stateLive
			out.Secrets = append(out.Secrets, ClientSecret{s.Hint, state, s.Created, s.Expires})
		}
	}
	if f := c.Federated; f != nil {
		out.State, out.Federated = stateLive, &Federated{f.Issuer, f.Audience, f.Subject}
	}
	if out.Revoked != nil {
		out.State = stateRevoked
	}
	return out
}

// Clients lists the OAuth clients of a tenant, those that have ended too.
func (d *Desk) Clients(ctx context.Context, by directory.Actor, tenant directory.ID) (List[Client], error) {
	return view(ctx, d, func(sn *directory.Snapshot) (List[Client], error) {
		out := List[Client]{Items: []Client{}}
		if _, err := sn.SeeTenant(by, tenant); err != nil {
			return out, err
		}
		all, err := sn.Clients(tenant)
		for _, c := range all {
			out.Items = append(out.Items, d.client(c))
		}
		out.Total = int64(len(all))
		return out, err
	})
}

// CreateClient makes an OAuth client of a tenant. Errors: Forbidden; NotFound; Invalid; Exists; Conflict.
func (d *Desk) CreateClient(ctx context.Context, by directory.Actor, tenant directory.ID, in ClientInput) (NewClient, error) {
	if in.ClientID = strings.TrimSpace(in.ClientID); in.ClientID == "" {
		in.ClientID = "client-" + strings.ToLower(rand.Text()[:12])
	}
	if in.TokenLifeHours < 0 || in.TokenLifeHours > 6 {
		return NewClient{}, fail(directory.Invalid, "tokenLifeHours", "access tokens live 1 to 6 hours")
	}
	n := directory.NewClient{ClientID: in.ClientID, TokenLife: time.Duration(in.TokenLifeHours) * time.Hour}
	out := NewClient{}
	if f := in.Federated; f != nil {
		n.Federated = &directory.Federated{Issuer: strings.TrimSpace(f.Issuer), Audience: strings.TrimSpace(f.Audience), Subject: strings.TrimSpace(f.Subject)}
		if err := d.CheckAddress(n.Federated.Issuer); n.Federated.Issuer != "" && err != nil {
			return NewClient{}, fail(directory.Invalid, "federated", "issuer: %s", err.Error())
		}
	} else {
		secret, made, err := newToken("", in.Days)
		if err != nil {
			return NewClient{}, err
		}
		n.Secret, out.Secret = &made, secret.Text
	}
	c, err := d.Service.CreateClient(ctx, by, tenant, n)
	if err != nil {
		return NewClient{}, err
	}
	out.Client = d.client(c)
	return out, nil
}

// RotateClient gives a client a new secret; the others still work for a while. Errors: Forbidden; NotFound; Invalid;
// Conflict.
func (d *Desk) RotateClient(ctx context.Context, by directory.Actor, tenant directory.ID, id string, in RotationInput) (NewClient, error) {
	secret, n, err := newToken("", in.Days)
	if err != nil {
		return NewClient{}, err
	}
	both, err := overlap(in.OverlapHours)
	if err != nil {
		return NewClient{}, err
	}
	c, err := d.Service.RotateClient(ctx, by, tenant, id, n, both)
	if err != nil {
		return NewClient{}, err
	}
	return NewClient{secret.Text, d.client(c)}, nil
}

// RevokeClient ends a client, its secrets and its access tokens at once. Errors: Forbidden; NotFound; Conflict.
func (d *Desk) RevokeClient(ctx context.Context, by directory.Actor, tenant directory.ID, id string) error {
	return d.Service.RevokeClient(ctx, by, tenant, id)
}
