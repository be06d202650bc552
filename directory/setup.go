package directory

import (
	"context"
	"encoding/json"
	"math"
	"time"
)

// A setup link lets the administrator of a customer's directory, who has no account here, connect that directory to
// its tenant: read its Tenant URL, make and rotate its Secret Token, enter the ids of its directory and applications
// and their credentials. It opens that tenant and nothing else, as often as it is used, until it ends.

// MaxSetupLinkLife is how long a setup link may live.
const MaxSetupLinkLife = 7 * 24 * time.Hour

// ByLink reports whether an actor came by a setup link.
func (by Actor) ByLink() bool { return by.Reach != nil && by.Reach.SetupLink != [32]byte{} }

// SetupLink returns a setup link that still opens something, and its tenant. A link opens no more than who answers for it
// may at that moment: one of a partner who has left, or whose tenant it is no longer, opens nothing. Errors: NotFound.
func (s *Snapshot) SetupLink(hash [32]byte, now time.Time) (*Link, *Tenant, error) {
	l, err := s.Link(hash, LinkConnect, now)
	if err != nil {
		return nil, nil, err
	}
	given, err := s.stillGiven(l)
	if err != nil {
		return nil, nil, err
	}
	if !given {
		return nil, nil, notFound("link")
	}
	t, err := s.Tenant(l.TenantID)
	return l, t, err
}

// stillGiven reports whether who answers for a setup link could make it now.
func (s *Snapshot) stillGiven(l *Link) (bool, error) {
	account, err := s.answersFor(l.CreatedBy)
	if err != nil || account.IsZero() {
		return err == nil, err
	}
	by, err := s.answering(account)
	if err != nil || by == nil {
		return false, err
	}
	switch _, err = s.MayTenant(*by, l.TenantID); {
	case err == nil:
		return true, nil
	case KindOf(err) == NotFound, KindOf(err) == Forbidden:
		return false, nil
	}
	return false, err
}

// TenantLink returns the setup link of a tenant that can still be used; nil when there is none.
func (s *Snapshot) TenantLink(tenant ID, now time.Time) (l *Link, err error) {
	err = list(s.r, tableLinks, Range{}, jsonRow[Link], func(x *Link) bool {
		if x.Kind == LinkConnect && x.TenantID == tenant && now.Before(x.Expires) {
			l = x
		}
		return l == nil
	})
	return l, err
}

// SeeSetup returns a tenant whose setup an actor may see: whoever sees the tenant, and whoever came by a setup
// link of it. Errors: Forbidden for who sees nothing; NotFound.
func (s *Snapshot) SeeSetup(by Actor, id ID, now time.Time) (*Tenant, error) {
	if !by.ByLink() {
		return s.SeeTenant(by, id)
	}
	_, t, err := s.SetupLink(by.Reach.SetupLink, now)
	if err == nil && t.ID != id {
		return nil, notFound("tenant")
	}
	return t, err
}

// maySetUp returns a tenant whose directory an actor may connect: who may change the tenant, and whoever came by a
// setup link of it. The link is looked up within the change: one that has ended changes nothing any more.
func (c *change) maySetUp(id ID) (*Tenant, error) {
	if !c.by.ByLink() {
		return c.mayTenant(id)
	}
	if err := require(c.by, RolePartner); err != nil {
		return nil, err
	}
	return c.SeeSetup(c.by, id, c.s.clock.now())
}

// mayConnect says what whoever came by a setup link may change of a tenant: the ids of its applications, and the
// directory as long as none is known. Whose directory it is decides who may sign in: only who knows the customer links
// it to another one.
func mayConnect(by Actor, before, after *Tenant) error {
	if !by.ByLink() {
		return nil
	}
	if before.DirectoryID != "" && after.DirectoryID != before.DirectoryID {
		return failf(Forbidden, "directoryId", "the directory of this tenant is set already: ask who gave you the link to change it")
	}
	rest := *after
	rest.DirectoryID, rest.Graph.ClientID, rest.SignIn.ClientID = before.DirectoryID, before.Graph.ClientID, before.SignIn.ClientID
	if string(encodeJSON(&rest)) != string(encodeJSON(before)) {
		return failf(Forbidden, "", "a setup link is for the ids and credentials of the directory alone")
	}
	return nil
}

// CreateSetupLink makes a setup link of a tenant in place of the one before. The secret stays with the caller.
// Errors: Forbidden; NotFound; Invalid for its life.
func (s *Service) CreateSetupLink(ctx context.Context, by Actor, tenant ID, hash [32]byte, life time.Duration) (*Link, error) {
	if err := require(by, RolePartner, RoleOperator); err != nil {
		return nil, err
	}
	if life < time.Minute || life > MaxSetupLinkLife {
		return nil, failf(Invalid, "life", "a setup link lives between a minute and %d days", int(MaxSetupLinkLife.Hours()/24))
	}
	var l *Link
	err := s.update(ctx, by, func(c *change) error {
		t, err := c.mayTenant(tenant)
		if err != nil {
			return err
		}
		if _, err := c.endSetupLinks(tenant); err != nil {
			return err
		}
		now := s.clock.now()
		l = &Link{Kind: LinkConnect, ID: s.newID(), TenantID: tenant, Created: now, CreatedBy: by, Expires: now.Add(life)}
		if err := c.insert(tableLinks, hash[:], encodeJSON(l), failf(Conflict, "", "there is such a link already")); err != nil {
			return err
		}
		return c.audit("setup-link.create", t.Name, map[string]any{"link": l.ID, "expires": l.Expires})
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// RevokeSetupLink ends the setup link of a tenant at once. Errors: Forbidden; NotFound, also when there is none.
func (s *Service) RevokeSetupLink(ctx context.Context, by Actor, tenant ID) error {
	return s.update(ctx, by, func(c *change) error {
		t, err := c.mayTenant(tenant)
		if err != nil {
			return err
		}
		live, err := c.endSetupLinks(tenant)
		if err != nil {
			return err
		}
		if live == nil {
			return notFound("setup link")
		}
		return c.audit("setup-link.revoke", t.Name, map[string]any{"link": live.ID})
	})
}

// endSetupLinks removes the setup links of a tenant and returns the one that lived.
func (c *change) endSetupLinks(tenant ID) (live *Link, err error) {
	if live, err = c.TenantLink(tenant, c.s.clock.now()); err != nil {
		return nil, err
	}
	return live, c.purgeLinks(func(l *Link) bool { return l.Kind == LinkConnect && l.TenantID == tenant })
}

// dropSetupLinks ends the setup links that an account answers for: with its role goes what it gave by it.
func (c *change) dropSetupLinks(account ID) error {
	return c.purgeTable(tableLinks, math.MaxInt, func(value []byte) (bool, error) {
		l, err := decodeJSON[Link](value)
		if err != nil || l.Kind != LinkConnect {
			return false, err
		}
		maker, err := c.answersFor(l.CreatedBy)
		return maker == account, err
	})
}

// TestedConnection records that an actor has tried the connections of a tenant. Errors: Forbidden; NotFound.
func (s *Service) TestedConnection(ctx context.Context, by Actor, tenant ID, result json.RawMessage) error {
	return s.update(ctx, by, func(c *change) error {
		t, err := c.maySetUp(tenant)
		if err != nil {
			return err
		}
		return c.audit("tenant.test", t.Name, result)
	})
}
