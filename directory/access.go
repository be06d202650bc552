package directory

import (
	"cmp"
	"slices"
)

// The access rules. An account of tenant T has active access to environment E exactly when E's
// integration is on, E uses T, the directory says that the user is active, and the user is
// directly in at least one of E's Groups to Sync, or in one of them through a nested group where E
// counts these and the pull has seen it (rule 1). derive is the one place that decides it; every
// change calls it for the people and environments that it may have touched.

// derive brings one person's access to one environment in line with the rule. via is a group to
// sync that the person is known to be in, zero when that must be looked up. u is nil when the
// account has no SCIM user any more.
func (c *change) derive(env *Environment, account *Account, u *User, via ID) error {
	if !account.External() { // what internal users may do is set by hand
		return nil
	}
	want, err := c.entitled(env, account, u, via)
	if err != nil {
		return err
	}
	access, err := c.Access(account.ID, env.ID)
	if err != nil {
		return err
	}
	switch {
	case access == nil && !want, access != nil && access.Active == want:
		return nil
	case access == nil:
		access = &Access{AccountID: account.ID, EnvironmentID: env.ID, Created: c.now,
			Menus: slices.Clone(env.Integration.DefaultMenus)}
		c.effect(access, u, Granted)
	case want:
		c.effect(access, u, Reactivated)
	default:
		c.effect(access, u, Deactivated)
	}
	was := access.Active
	access.Active = want
	if want {
		access.TenantID = account.TenantID
		access.describe(account)
	}
	if err := c.putAccess(access, was); err != nil {
		return err
	}
	if !want {
		c.ended = true
		return c.endSessionsWithoutAccess(account)
	}
	return nil
}

func (c *change) effect(a *Access, u *User, effect string) {
	e := AccessEffect{EnvironmentID: a.EnvironmentID, AccountID: a.AccountID, Effect: effect}
	if u != nil {
		e.UserID = u.ID
	}
	if effect == Deactivated {
		e.Sessions = c.unshared[a.AccountID]
		delete(c.unshared, a.AccountID)
	}
	c.accesses = append(c.accesses, e)
}

// entitled is rule 1.
func (c *change) entitled(env *Environment, account *Account, u *User, via ID) (bool, error) {
	if !env.Integration.Enabled || u == nil || !u.Active || env.Integration.TenantID != u.TenantID || account.TenantID != u.TenantID {
		return false, nil
	}
	if !via.IsZero() {
		return true, nil
	}
	groups, err := c.syncedGroups(env)
	if err != nil {
		return false, err
	}
	for _, g := range groups {
		if in, err := c.IsMember(u.TenantID, g, u.ID); in || err != nil {
			return in, err
		}
		if in, err := c.IsIndirect(env, u.ID, g); in || err != nil {
			return in, err
		}
	}
	return false, nil
}

// syncedGroups resolves the Groups to Sync of an environment to the groups that exist. It is
// resolved once in a change: whatever changes a group's existence or externalId forgets it.
func (c *change) syncedGroups(env *Environment) ([]ID, error) {
	if groups, ok := c.groups[env.ID]; ok {
		return groups, nil
	}
	var groups []ID
	for _, object := range env.Integration.Groups {
		ids, err := c.GroupsByExternalID(env.Integration.TenantID, object)
		if err != nil {
			return nil, err
		}
		groups = append(groups, ids...)
	}
	if c.groups == nil {
		c.groups = map[ID][]ID{}
	}
	c.groups[env.ID] = groups
	return groups, nil
}

// describe overrides what the directory manages of an access (rule 3).
func (a *Access) describe(account *Account) {
	a.Name, a.Email = account.Name, account.Email
	a.Language, a.Locale = cmp.Or(account.Language, a.Language), cmp.Or(account.Locale, a.Locale)
}

// putAccess writes an access and its rows in the indexes by state and of administrators.
func (c *change) putAccess(a *Access, wasActive bool) error {
	a.Modified = c.now
	if err := c.indexAdministrator(a); err != nil {
		return err
	}
	if wasActive != a.Active {
		if err := c.w.Delete(tableEnvironmentAccess, environmentAccessKey(a.EnvironmentID, wasActive, a.AccountID)); err != nil {
			return err
		}
	}
	return c.put(
		row{tableAccesses, key(a.AccountID, a.EnvironmentID), a.encode()},
		row{tableEnvironmentAccess, environmentAccessKey(a.EnvironmentID, a.Active, a.AccountID), nil})
}

// syncingEnvironments returns the environments whose Groups to Sync name a group of that
// externalId, and those with a run under way: a run may have people of this group still to look
// at under settings that no longer name it.
func (c *change) syncingEnvironments(tenant ID, externalID string) ([]*Environment, error) {
	ids, err := keys(c.r, tableEnvironmentGroup, Range{Prefix: listPrefix(tenant, foldObjectID(externalID))})
	if err != nil {
		return nil, err
	}
	if externalID == "" {
		ids = nil
	}
	pending, err := c.pendingEnvironments()
	if err != nil {
		return nil, err
	}
	for _, id := range pending {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return c.environments(ids)
}

// pendingEnvironments returns the environments with a derivation under way; one may come twice.
func (s *Snapshot) pendingEnvironments() (ids []ID, err error) {
	err = s.r.Scan(tablePendingDerivation, Range{}, func(_, env []byte) bool {
		ids = append(ids, toID(env))
		return true
	})
	return ids, err
}

// tenantEnvironments returns the environments that use a tenant.
func (c *change) tenantEnvironments(tenant ID) ([]*Environment, error) {
	ids, err := keys(c.r, tableEnvironmentTenant, Range{Prefix: key(tenant)})
	if err != nil {
		return nil, err
	}
	return c.environments(ids)
}

// nestedEnvironments returns the environments of a tenant that count members of nested groups.
func (c *change) nestedEnvironments(tenant ID) ([]*Environment, error) {
	ids, err := keys(c.r, tableEnvironmentNested, Range{Prefix: key(tenant)})
	if err != nil {
		return nil, err
	}
	return c.environments(ids)
}

func (c *change) environments(ids []ID) ([]*Environment, error) {
	var envs []*Environment
	for _, id := range ids {
		env, err := c.Environment(id)
		if err != nil {
			return nil, err
		}
		envs = append(envs, env)
	}
	return envs, nil
}

// deriveUser derives every access that a change of the person's state may touch: the accesses
// that exist and, for an active person, the environments that sync one of their groups.
func (c *change) deriveUser(account *Account, u *User) error {
	accesses, err := c.Accesses(account.ID)
	if err != nil {
		return err
	}
	done := map[ID]bool{}
	for _, a := range accesses {
		env, err := c.Environment(a.EnvironmentID)
		if err != nil {
			return err
		}
		done[env.ID] = true
		if err := c.derive(env, account, u, ID{}); err != nil {
			return err
		}
	}
	if u == nil || !u.Active {
		return nil
	}
	envs, err := c.reachable(u)
	if err != nil {
		return err
	}
	for _, env := range envs {
		if done[env.ID] {
			continue
		}
		done[env.ID] = true
		if err := c.derive(env, account, u, ID{}); err != nil {
			return err
		}
	}
	return nil
}

// reachable returns the environments that a user may be entitled to: those that sync a group that
// the user is directly in, and those that count members of nested groups. One may come twice.
func (c *change) reachable(u *User) ([]*Environment, error) {
	envs, err := c.nestedEnvironments(u.TenantID)
	if err != nil {
		return nil, err
	}
	groups, err := c.GroupsOf(u.TenantID, u.ID)
	if err != nil {
		return nil, err
	}
	for _, id := range groups {
		g, err := c.Group(u.TenantID, id)
		if err != nil {
			return nil, err
		}
		more, err := c.syncingEnvironments(u.TenantID, g.ExternalID)
		if err != nil {
			return nil, err
		}
		envs = append(envs, more...)
	}
	return envs, nil
}

// endSessionsWithoutAccess ends the sessions of an account that has no active access left
// (rule 8).
func (c *change) endSessionsWithoutAccess(account *Account) error {
	accesses, err := c.Accesses(account.ID)
	if err != nil {
		return err
	}
	for _, a := range accesses {
		if a.Active {
			return nil
		}
	}
	return c.endSessions(account, EndedDeactivated)
}
