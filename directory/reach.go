package directory

import "slices"

// What the role of an actor is about (Actor.Reach): a partner's the tenants of its organizations, an
// environment administrator's its environments. What lies outside does not exist for the actor.
// An operator reaches everything.

func (r *Reach) organization(id ID) bool { return r != nil && slices.Contains(r.Organizations, id) }
func (r *Reach) environment(id ID) bool  { return r != nil && slices.Contains(r.Environments, id) }

// owns reports whether organizations are all an actor's, and there is one.
func (r *Reach) owns(organizations []ID) bool {
	return len(organizations) > 0 && !slices.ContainsFunc(organizations, func(id ID) bool { return !r.organization(id) })
}

// MayTenant returns a tenant that an actor may change, with its credentials, tokens and clients: an
// operator each, a partner those of its own organizations alone. Errors: Forbidden for any other role;
// NotFound.
func (s *Snapshot) MayTenant(by Actor, id ID) (*Tenant, error) {
	if err := require(by, RolePartner, RoleOperator); err != nil {
		return nil, err
	}
	t, err := s.Tenant(id)
	if err != nil {
		return nil, err
	}
	if by.Role != RoleOperator && !by.Reach.owns(t.OrganizationIDs) {
		return nil, notFound("tenant")
	}
	return t, nil
}

// MayEnvironment returns an environment whose integration an actor may set and whose pull it may
// run: an operator each, an administrator of environments its own, also one who is a partner too.
// Errors: Forbidden for any other role, and for a partner who may see the environment; NotFound.
func (s *Snapshot) MayEnvironment(by Actor, id ID) (*Environment, error) {
	if err := require(by, RoleEnvironment, RolePartner, RoleOperator); err != nil {
		return nil, err
	}
	env, err := s.Environment(id)
	switch {
	case err != nil:
		return nil, err
	case by.Role == RoleOperator, by.Reach.environment(id):
		return env, nil
	case by.Role == RolePartner && by.Reach.organization(env.OrganizationID):
		return nil, require(by, RoleEnvironment)
	}
	return nil, notFound("environment")
}

func (c *change) mayTenant(id ID) (*Tenant, error) { return c.MayTenant(c.by, id) }

func (c *change) mayEnvironment(id ID) (*Environment, error) { return c.MayEnvironment(c.by, id) }

// mayOrganizations checks the organizations that a tenant is to have. Errors: NotFound; Invalid for a
// partner who names none.
func (c *change) mayOrganizations(ids []ID) error {
	for _, id := range ids {
		if _, err := c.Organization(id); err != nil {
			return err
		}
		if c.by.Role != RoleOperator && !c.by.Reach.organization(id) {
			return notFound("organization")
		}
	}
	if c.by.Role != RoleOperator && len(ids) == 0 {
		return failf(Invalid, "organizations", "name at least one organization that may use the tenant")
	}
	return nil
}
