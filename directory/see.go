package directory

import (
	"bytes"
	"slices"
)

// What an actor may see. Reach (reach.go) says what an actor may change; here is what it may read, which is
// more: a partner sees the environments of its organizations, an administrator the people of its environments. What
// lies outside does not exist for it: NotFound, the same as for what is nowhere.

// staff are the roles that see anything besides themselves.
var staff = []Role{RoleEnvironment, RolePartner, RoleOperator}

// Sees reports whether an actor may see an environment: an operator each, a partner those of its
// organizations, an administrator its own.
func (by Actor) Sees(env *Environment) bool {
	return by.Role == RoleOperator || require(by, staff...) == nil && (by.Reach.environment(env.ID) || by.Reach.organization(env.OrganizationID))
}

// SeesTenant reports whether an actor may see a tenant with all that it holds: an operator each, a partner those
// of its own organizations alone. An environment administrator sees no tenant: only the names of those it may choose
// (UsableTenants).
func (by Actor) SeesTenant(t *Tenant) bool {
	return by.Role == RoleOperator || require(by, staff...) == nil && by.Reach.owns(t.OrganizationIDs)
}

// SeeOrganizations lists the organizations that an actor may see: an operator each, a partner its own, an
// administrator those of its environments. Errors: Forbidden for who is none of these.
func (s *Snapshot) SeeOrganizations(by Actor) ([]*Organization, error) {
	if err := require(by, staff...); err != nil {
		return nil, err
	}
	all, err := s.Organizations()
	if err != nil || by.Role == RoleOperator {
		return all, err
	}
	envs, err := s.SeeEnvironments(by)
	return slices.DeleteFunc(all, func(o *Organization) bool {
		return !by.Reach.organization(o.ID) && !slices.ContainsFunc(envs, func(e *Environment) bool { return e.OrganizationID == o.ID })
	}), err
}

// SeeEnvironment returns an environment that an actor may see. Errors: Forbidden for who sees none; NotFound.
func (s *Snapshot) SeeEnvironment(by Actor, id ID) (*Environment, error) {
	if err := require(by, staff...); err != nil {
		return nil, err
	}
	env, err := s.Environment(id)
	if err == nil && !by.Sees(env) {
		return nil, notFound("environment")
	}
	return env, err
}

// SeeEnvironments lists the environments that an actor may see. Errors: Forbidden for who sees none.
func (s *Snapshot) SeeEnvironments(by Actor) ([]*Environment, error) {
	if err := require(by, staff...); err != nil {
		return nil, err
	}
	all, err := s.Environments(ID{})
	return slices.DeleteFunc(all, func(e *Environment) bool { return !by.Sees(e) }), err
}

// SeeTenant returns a tenant that an actor may see, as SeesTenant says. Errors: Forbidden for who sees
// nothing; NotFound.
func (s *Snapshot) SeeTenant(by Actor, id ID) (*Tenant, error) {
	if err := require(by, staff...); err != nil {
		return nil, err
	}
	t, err := s.Tenant(id)
	if err == nil && !by.SeesTenant(t) {
		return nil, notFound("tenant")
	}
	return t, err
}

// SeeTenants lists the tenants that an actor may see. Errors: Forbidden for who sees nothing.
func (s *Snapshot) SeeTenants(by Actor) ([]*Tenant, error) {
	if err := require(by, staff...); err != nil {
		return nil, err
	}
	all, err := s.Tenants()
	return slices.DeleteFunc(all, func(t *Tenant) bool { return !by.SeesTenant(t) }), err
}

// UsableTenants lists the tenants that an environment may use: those of its organization. Who may see
// the environment may know their names.
func (s *Snapshot) UsableTenants(env *Environment) ([]*Tenant, error) {
	all, err := s.Tenants()
	return slices.DeleteFunc(all, func(t *Tenant) bool { return !slices.Contains(t.OrganizationIDs, env.OrganizationID) }), err
}

// SeeAccount returns the account of a person whom an actor may see: an operator everybody, a partner the people of
// its tenants, and both a partner and an administrator who has or had access to an environment that they
// see. Errors: Forbidden for who sees nobody; NotFound.
func (s *Snapshot) SeeAccount(by Actor, id ID) (*Account, error) {
	if err := require(by, staff...); err != nil {
		return nil, err
	}
	a, err := s.Account(id)
	if err != nil && KindOf(err) == NotFound {
		err = notFound("user") // in the words that are used of one who is not to be seen
	}
	if err != nil || by.Role == RoleOperator {
		return a, err
	}
	if a.External() {
		t, err := s.Tenant(a.TenantID)
		if err != nil {
			return nil, err
		}
		if by.SeesTenant(t) {
			return a, nil
		}
	}
	seen, err := s.SeeAccesses(by, id)
	if err == nil && len(seen) == 0 {
		return nil, notFound("user")
	}
	return a, err
}

// SeeAccesses lists the accesses of an account, active or not, to environments that an actor may see.
func (s *Snapshot) SeeAccesses(by Actor, account ID) ([]*Access, error) {
	all, err := s.Accesses(account)
	if err != nil || by.Role == RoleOperator {
		return all, err
	}
	var seen []*Access
	for _, a := range all {
		env, err := s.Environment(a.EnvironmentID)
		if err != nil {
			return nil, err
		}
		if by.Sees(env) {
			seen = append(seen, a)
		}
	}
	return seen, nil
}

// SeeGroup returns a group of a tenant that an actor may see: who sees the tenant each, and others those that are
// among the Groups to Sync of an environment that they see. Errors: Forbidden for who sees nothing; NotFound.
func (s *Snapshot) SeeGroup(by Actor, tenant, id ID) (*Group, error) {
	if err := require(by, staff...); err != nil {
		return nil, err
	}
	t, err := s.Tenant(tenant)
	if err != nil && KindOf(err) == NotFound {
		err = notFound("group") // in the words that are used of one that is not to be seen
	}
	if err != nil {
		return nil, err
	}
	g, err := s.Group(tenant, id)
	if err != nil || by.SeesTenant(t) {
		return g, err
	}
	envs, err := s.SeeEnvironments(by)
	if err != nil {
		return nil, err
	}
	object := foldObjectID(g.ExternalID)
	if !slices.ContainsFunc(envs, func(e *Environment) bool {
		return e.Integration.Enabled && e.Integration.TenantID == tenant && slices.Contains(e.Integration.Groups, object)
	}) {
		return nil, notFound("group")
	}
	return g, nil
}

// Sight is what an actor sees of provisioning logs. It is valid as long as its Snapshot.
type Sight struct {
	s            *Snapshot
	all          bool
	tenants      map[ID]bool
	environments map[ID]bool
}

// LogSight returns what an actor sees of provisioning logs: who sees a tenant its log; others the lines that
// changed an access to an environment that they see. Errors: Forbidden for who sees nothing.
func (s *Snapshot) LogSight(by Actor) (*Sight, error) {
	tenants, err := s.SeeTenants(by)
	if err != nil {
		return nil, err
	}
	envs, err := s.SeeEnvironments(by)
	x := &Sight{s: s, all: by.Role == RoleOperator, tenants: map[ID]bool{}, environments: map[ID]bool{}}
	for _, t := range tenants {
		x.tenants[t.ID] = true
	}
	for _, e := range envs {
		x.environments[e.ID] = true
	}
	return x, err
}

// Of returns a line as it may be seen; nil: nothing of it. It leaves out what the line did in environments that are not seen
// and, of a tenant that is not seen, who pushed, and what a run of another environment says of its groups.
func (x *Sight) Of(e *LogEvent) (*LogEvent, error) {
	own := x.tenants[e.TenantID]
	if x.all || own && !slices.ContainsFunc(e.environments(), func(id ID) bool { return !x.environments[id] }) {
		return e, nil
	}
	seen := *e
	seen.Accesses = nil
	for _, a := range e.Accesses {
		if x.environments[a.EnvironmentID] {
			seen.Accesses = append(seen.Accesses, a)
		}
	}
	seen.Sessions = shareSessions(e.Accesses, seen.Accesses)
	switch set := e.EnvironmentID; { // by hand
	case !set.IsZero() && !x.environments[set]:
		return nil, nil
	case own:
		return &seen, nil
	case set.IsZero() && len(seen.Accesses) == 0:
		return nil, nil
	}
	if seen.Actor.Channel == "scim" {
		seen.Actor.ID, seen.Actor.Address = "", ""
	}
	if run := seen.Actor.RunID; !run.IsZero() {
		env, err := x.s.r.Get(tableRunOf, key(run))
		if err != nil {
			return nil, err
		}
		if env == nil || !x.environments[toID(env)] {
			seen.Actor.RunID, seen.Actor.ID, seen.Reason = ID{}, "", ""
			seen.Changes = slices.DeleteFunc(slices.Clone(seen.Changes), func(c Change) bool { return c.Name == "groups" })
		}
	}
	return &seen, nil
}

// shareSessions gives each person's ended sessions to the first of their effects among some, and returns how many they are.
func shareSessions(all, some []AccessEffect) (total int) {
	given := map[ID]bool{}
	for i := range some {
		some[i].Sessions = 0
		if given[some[i].AccountID] {
			continue
		}
		given[some[i].AccountID] = true
		for _, a := range all {
			if a.AccountID == some[i].AccountID {
				some[i].Sessions += a.Sessions
			}
		}
		total += some[i].Sessions
	}
	return total
}

// SeeAudit lists the audit, newest first, of entries before the one of that number; 0: from the newest. Errors:
// Forbidden for all but an operator.
func (s *Snapshot) SeeAudit(by Actor, before uint64, fn func(*AuditEntry) bool) error {
	if err := require(by, RoleOperator); err != nil {
		return err
	}
	rg := Range{Reverse: true}
	if before > 0 {
		rg.After = sequenceKey(before)
	}
	return list(s.r, tableAudit, rg, jsonRow[AuditEntry], fn)
}

// AuditOf lists the audit entries of one action after a sequence number, and looks at so many entries at most; whole
// reports whether these were all. Of others it decodes nothing.
func (s *Snapshot) AuditOf(action string, after uint64, most int, fn func(*AuditEntry)) (whole bool, err error) {
	mark := []byte(`"action":` + string(encodeJSON(action)))
	var failed error
	whole = true
	err = s.r.Scan(tableAudit, Range{After: sequenceKey(after)}, func(_, value []byte) bool {
		if most--; most < 0 {
			whole = false
			return false
		}
		if !bytes.Contains(value, mark) {
			return true
		}
		var e *AuditEntry
		if e, failed = decodeJSON[AuditEntry](value); failed != nil {
			return false
		}
		if e.Action == action { // the mark may stand in its detail
			fn(e)
		}
		return true
	})
	if failed != nil {
		err = failed
	}
	return whole, err
}

// GroupsByPrefix lists a tenant's groups whose displayName begins with a text, without regard to case, in the order of their
// folded names, beyond the folded name after.
func (s *Snapshot) GroupsByPrefix(tenant ID, text, after string, fn func(id ID, name string) bool) error {
	rg := Range{Prefix: textKey(tenant, s.fold(text))}
	if after != "" {
		rg.After = textKey(tenant, after)
	}
	return s.r.Scan(tableGroupName, rg, func(k, v []byte) bool { return fn(toID(v), string(k[16:])) })
}

// SyncingEnvironments returns the environments whose Groups to Sync name a group of that externalId.
func (s *Snapshot) SyncingEnvironments(tenant ID, externalID string) ([]ID, error) {
	return s.listed(tableEnvironmentGroup, tenant, foldObjectID(externalID))
}
