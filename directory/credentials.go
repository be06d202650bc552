package directory

import (
	"context"
	"encoding/json"
)

// What the applications of a tenant prove themselves with. The secret is sealed before it gets here.

// Credential returns a tenant's credential of that name.
func (s *Snapshot) Credential(tenant ID, name string) (*Credential, error) {
	c, err := get(s.r, tableCredentials, textKey(tenant, name), decodeJSON[Credential])
	return found(c, err, "credential "+name)
}

// Credentials lists the credentials of all tenants.
func (s *Snapshot) Credentials() (all []*Credential, err error) {
	err = list(s.r, tableCredentials, Range{}, jsonRow[Credential], func(c *Credential) bool {
		all = append(all, c)
		return true
	})
	return all, err
}

// SetCredential keeps a credential of a tenant in place of the one of the same name; id, time and
// creator are set here. Errors: Forbidden; Invalid; NotFound for the tenant.
func (s *Service) SetCredential(ctx context.Context, by Actor, cred Credential) (*Credential, error) {
	if err := require(by, RolePartner, RoleOperator); err != nil { // before anything is said of the input
		return nil, err
	}
	if cred.TokenFile != "" && by.Role != RoleOperator {
		return nil, failf(Forbidden, "tokenFile", "an operator alone may name a file of the server")
	}
	if err := cred.check(); err != nil {
		return nil, err
	}
	err := s.update(ctx, by, func(c *change) error {
		tenant, err := c.maySetUp(cred.TenantID)
		if err != nil {
			return err
		}
		cred.ID, cred.Created, cred.CreatedBy = s.newID(), c.now, by.ID
		if err := c.put(row{tableCredentials, textKey(cred.TenantID, cred.Name), encodeJSON(cred)}); err != nil {
			return err
		}
		return c.audit("credential.set", tenant.Name, cred.public())
	})
	if err != nil {
		return nil, err
	}
	return &cred, nil
}

func (c *Credential) check() (err error) {
	if c.Name, err = cleanName("name", c.Name); err != nil {
		return err
	}
	switch c.Kind {
	case "secret", "certificate":
		if c.Sealed == "" || c.TokenFile != "" {
			return failf(Invalid, "credential", "a %s is kept sealed and has no token file", c.Kind)
		}
	case "federated":
		if c.Sealed != "" || c.TokenFile == "" {
			return failf(Invalid, "credential", "a federated credential names the file of a token and holds no secret")
		}
	default:
		return failf(Invalid, "credential", "a credential is a secret, a certificate or federated")
	}
	return nil
}

// public is a credential as the audit may show it.
func (c Credential) public() json.RawMessage {
	c.Sealed = ""
	return encodeJSON(c)
}

// RemoveCredential removes a credential of a tenant. Errors: Forbidden; NotFound.
func (s *Service) RemoveCredential(ctx context.Context, by Actor, tenant ID, name string) error {
	return s.update(ctx, by, func(c *change) error {
		t, err := c.mayTenant(tenant)
		if err != nil {
			return err
		}
		cred, err := c.Credential(tenant, name)
		if err != nil {
			return err
		}
		if err := c.w.Delete(tableCredentials, textKey(tenant, name)); err != nil {
			return err
		}
		return c.audit("credential.remove", t.Name, cred.public())
	})
}

// ResealCredentials seals every credential again: fn gets one and returns its new sealed text. All of
// them change, or none when fn refuses one. It returns how many there were to change.
func (s *Service) ResealCredentials(ctx context.Context, by Actor, fn func(*Credential) (string, error)) (n int, err error) {
	if err := require(by, RoleOperator); err != nil {
		return 0, err
	}
	err = s.update(ctx, by, func(c *change) error {
		n = 0
		all, err := c.Credentials()
		if err != nil {
			return err
		}
		for _, cred := range all {
			if cred.Sealed == "" {
				continue
			}
			given := *cred
			sealed, err := fn(&given)
			if err != nil {
				return err
			}
			if sealed == "" {
				return failf(Internal, "", "the credential %s would be lost", cred.Name)
			}
			if sealed == cred.Sealed {
				continue
			}
			cred.Sealed = sealed
			n++
			if err := c.put(row{tableCredentials, textKey(cred.TenantID, cred.Name), encodeJSON(cred)}); err != nil {
				return err
			}
		}
		if n == 0 {
			return nil
		}
		return c.audit("credential.reseal", "all", map[string]int{"credentials": n})
	})
	return n, err
}
