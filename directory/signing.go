package directory

import (
	"context"
	"time"
)

// SigningKey signs the assertions that this server makes of who is signed in. The private part is
// sealed before it reaches the directory.
type SigningKey struct {
	ID      string    `json:"id"` // kid
	Public  []byte    `json:"public"`
	Sealed  string    `json:"sealed"`
	Created time.Time `json:"created"`
	From    time.Time `json:"from"`           // signs from then on; published before
	Until   time.Time `json:"until,omitzero"` // published until then; zero: it is in use
}

type signingKeys struct {
	Keys []SigningKey `json:"keys"`
}

var signingKey = []byte("signing keys")

// SigningKeys lists the keys that sign or signed assertions, oldest first.
func (s *Snapshot) SigningKeys() ([]SigningKey, error) {
	v, err := get(s.r, tableSettings, signingKey, decodeJSON[signingKeys])
	if err != nil || v == nil {
		return nil, err
	}
	return v.Keys, nil
}

// SetSigningKeys replaces the signing keys: fn gets those that there are and returns those that there
// shall be; nil leaves them. It runs within the transaction. Errors: Forbidden.
func (s *Service) SetSigningKeys(ctx context.Context, by Actor, fn func([]SigningKey) ([]SigningKey, error)) (after []SigningKey, err error) {
	if err := require(by, RoleOperator, RoleSystem); err != nil {
		return nil, err
	}
	err = s.update(ctx, by, func(c *change) error {
		before, err := c.SigningKeys()
		if err != nil {
			return err
		}
		if after, err = fn(before); err != nil {
			return err
		}
		if after == nil {
			after = before
			return nil
		}
		ids := make([]string, len(after))
		for i, k := range after {
			ids[i] = k.ID
		}
		if err := c.put(row{tableSettings, signingKey, encodeJSON(signingKeys{after})}); err != nil {
			return err
		}
		return c.audit("signing-keys.set", "all", map[string]any{"keys": ids})
	})
	if err != nil {
		return nil, err
	}
	return after, nil
}
