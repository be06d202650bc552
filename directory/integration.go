package directory

import (
	"bytes"
	"context"
	"slices"
	"strings"
)

// IntegrationInput changes the "External users integration" tab of an environment. Nil fields stay.
type IntegrationInput struct {
	Enabled      *bool
	TenantID     *ID
	Groups       []string // nil stays; the empty list clears
	DefaultMenus []string // nil stays; the empty list clears
	Periodic     *bool
	Transitive   *bool
	Guests       *bool
	Paused       *bool
	Hold         *bool
	Stops        *Stops
	Version      string // of the settings that are changed (Integration.Version); empty: whichever they are
}

// none reports whether nothing but the checkbox is to change.
func (in *IntegrationInput) none() bool {
	return in.TenantID == nil && in.Groups == nil && in.DefaultMenus == nil && in.Periodic == nil &&
		in.Transitive == nil && in.Guests == nil && in.Paused == nil && in.Hold == nil && in.Stops == nil
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// SetIntegration changes the integration of an environment and derives the access of everyone
// whom that touches. What is more than one transaction should carry goes on as a Derivation, which is
// returned (nil when all is done); DerivationPending says how to wait for it.
//
// Errors: Forbidden when the caller may not; NotFound for an environment that is not the caller's, and
// for a tenant; Invalid with the setting at fault; Conflict when the settings are no longer of that Version.
func (s *Service) SetIntegration(ctx context.Context, by Actor, environment ID, in IntegrationInput) (*Environment, *Derivation, error) {
	var env *Environment
	var run *Derivation
	err := s.update(ctx, by, func(c *change) (err error) {
		run = nil
		env, err = c.mayEnvironment(environment)
		if err != nil {
			return err
		}
		before := env.Integration
		if in.Version != "" && in.Version != before.Version() {
			return failf(Conflict, "version", "somebody else has changed these settings meanwhile: look at them again")
		}
		if err := c.applyIntegration(env, in); err != nil {
			return err
		}
		if bytes.Equal(encodeJSON(before), encodeJSON(env.Integration)) {
			return nil
		}
		if err := c.indexIntegration(env.ID, before, env.Integration); err != nil {
			return err
		}
		if err := c.put(row{tableEnvironments, key(env.ID), encodeJSON(env)}); err != nil {
			return err
		}
		if err := c.audit("environment.integrate", env.Name, map[string]any{"before": before, "after": env.Integration}); err != nil {
			return err
		}
		scopes, err := c.scopes(before, env.Integration)
		if err != nil || len(scopes) == 0 {
			return err
		}
		run, err = c.startDerivation(env, "integration", scopes)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if run != nil {
		s.wake()
	}
	return env, run, nil
}

// applyIntegration checks and sets the fields of in. What was read of nested groups under another
// tenant, another counting or before the integration was off counts no more.
func (c *change) applyIntegration(env *Environment, in IntegrationInput) error {
	next, before := &env.Integration, env.Integration
	if err := c.editIntegration(env, in); err != nil {
		return err
	}
	if next.TenantID != before.TenantID || next.Transitive != before.Transitive || next.Enabled != before.Enabled {
		next.Generation++
	}
	return nil
}

func (c *change) editIntegration(env *Environment, in IntegrationInput) error {
	next := &env.Integration
	was := next.Enabled
	if in.Enabled != nil && *in.Enabled != next.Enabled {
		if c.by.Role != RoleOperator {
			return failf(Forbidden, "enabled", "an operator alone may switch External users integration")
		}
		next.Enabled = *in.Enabled
	}
	if !next.Enabled {
		if !in.none() {
			return failf(Invalid, "enabled", "switch External users integration on before setting anything of it")
		}
		return nil
	}
	if in.TenantID != nil {
		next.TenantID = *in.TenantID
	}
	if in.Groups != nil {
		groups, err := cleanGroups(in.Groups)
		if err != nil {
			return err
		}
		next.Groups = groups
	}
	if in.DefaultMenus != nil {
		menus, err := cleanMenus("defaultMenus", in.DefaultMenus, maxMenus)
		if err != nil {
			return err
		}
		next.DefaultMenus = menus
	}
	set(&next.Periodic, in.Periodic)
	set(&next.Transitive, in.Transitive)
	set(&next.Guests, in.Guests)
	set(&next.Paused, in.Paused)
	set(&next.Hold, in.Hold)
	set(&next.Stops, in.Stops)
	if err := next.Stops.check(); err != nil {
		return err
	}
	if next.TenantID.IsZero() {
		if !in.none() {
			return failf(Invalid, "tenant", "a tenant is required")
		}
		return nil // an operator has switched it on; an administrator of the environment fills it in
	}
	if in.TenantID != nil || !was { // while it was off, the tenant may have been taken from the organization
		tenant, err := c.Tenant(next.TenantID)
		if err != nil {
			return err
		}
		switch usable := slices.Contains(tenant.OrganizationIDs, env.OrganizationID); {
		case !usable && c.by.Role != RoleOperator: // nobody else is told the name of another's tenant
			return notFound("tenant")
		case !usable:
			return failf(Invalid, "tenant", "tenant %s may not be used by the organization of this environment", tenant.Name)
		}
	}
	if len(next.Groups) == 0 {
		return failf(Invalid, "groups", "at least one group to sync is required")
	}
	return nil
}

// MaxSyncGroups is how many Groups to Sync an environment has at most: each of them is looked up for each person whose
// access is derived.
const MaxSyncGroups = 500

// cleanGroups brings object ids into the form in which they are compared, each once.
func cleanGroups(list []string) ([]string, error) {
	var groups []string
	seen := map[string]bool{}
	for _, g := range list {
		g = foldObjectID(g)
		if g == "" || seen[g] {
			continue
		}
		if len(groups) == MaxSyncGroups {
			return nil, failf(Invalid, "groups", "there are more than %d Groups to Sync: put the people into fewer groups in the directory", MaxSyncGroups)
		}
		seen[g] = true
		if err := checkText("groups", g); err != nil {
			return nil, err
		}
		if strings.ContainsAny(g, ", \t\r\n") {
			return nil, failf(Invalid, "groups", "%q is not an object id", g)
		}
		groups = append(groups, g)
	}
	return groups, nil
}

func (s Stops) check() error {
	if s.RunCount < 0 || s.DayCount < 0 || s.RunPercent < 0 || s.RunPercent > 100 || s.DayPercent < 0 || s.DayPercent > 100 {
		return failf(Invalid, "stops", "counts must not be negative and percentages must be between 0 and 100")
	}
	return nil
}

// indexIntegration moves the rows by which a tenant's and a group's environments are found.
func (c *change) indexIntegration(environment ID, before, after Integration) error {
	if err := c.delete(integrationRows(environment, before)...); err != nil {
		return err
	}
	return c.put(integrationRows(environment, after)...)
}

func integrationRows(environment ID, in Integration) (rows []row) {
	if !in.Enabled || in.TenantID.IsZero() {
		return nil
	}
	rows = append(rows, row{table: tableEnvironmentTenant, key: key(in.TenantID, environment)})
	if in.Transitive {
		rows = append(rows, row{table: tableEnvironmentNested, key: key(in.TenantID, environment)})
	}
	for _, g := range in.Groups {
		rows = append(rows, row{table: tableEnvironmentGroup, key: listKey(in.TenantID, g, environment)})
	}
	return rows
}

// scopes finds the people whom a change of an integration may touch.
func (c *change) scopes(before, after Integration) (scopes []DerivationScope, err error) {
	members := func(tenant ID, objects, except []string) error {
		for _, o := range objects {
			if slices.Contains(except, o) {
				continue
			}
			groups, err := c.GroupsByExternalID(tenant, o)
			if err != nil {
				return err
			}
			for _, g := range groups {
				scopes = append(scopes, DerivationScope{TenantID: tenant, GroupID: g})
			}
		}
		return nil
	}
	nested := DerivationScope{TenantID: before.TenantID, Nested: true}
	switch {
	case !before.Enabled && !after.Enabled:
		return nil, nil
	case before.Enabled && after.Enabled && before.Generation == after.Generation:
		if err := members(after.TenantID, before.Groups, after.Groups); err != nil {
			return nil, err
		}
		if before.Transitive && len(scopes) > 0 {
			scopes = append(scopes, nested)
		}
		err = members(after.TenantID, after.Groups, before.Groups)
		return scopes, err
	}
	scopes = append(scopes, DerivationScope{}) // everyone who has an access
	if before.Transitive {
		scopes = append(scopes, nested)
	}
	if after.Enabled {
		err = members(after.TenantID, after.Groups, nil)
	}
	return scopes, err
}
