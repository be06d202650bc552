package directory

import (
	"slices"
	"strings"
)

// Snapshot reads one consistent state of the directory. Every look-up of a tenant's things takes
// the tenant; what belongs to another is not found.
type Snapshot struct {
	r    Reader
	fold func(string) string
}

func notFound(what string) *Error { return failf(NotFound, "", "%s not found", what) }

// get reads and decodes one record, nil when there is none.
func get[T any](r Reader, t *Table, k []byte, decode func([]byte) (*T, error)) (*T, error) {
	value, err := r.Get(t, k)
	if err != nil || value == nil {
		return nil, err
	}
	return decode(value)
}

// found turns "none" into a NotFound error.
func found[T any](v *T, err error, what string) (*T, error) {
	if err == nil && v == nil {
		return nil, notFound(what)
	}
	return v, err
}

// list reads records of a range until fn returns false.
func list[T any](r Reader, t *Table, rg Range, decode func(k, value []byte) (*T, error), fn func(*T) bool) error {
	var failed error
	err := r.Scan(t, rg, func(k, value []byte) bool {
		v, err := decode(k, value)
		if err != nil {
			failed = err
			return false
		}
		return fn(v)
	})
	if failed != nil {
		return failed
	}
	return err
}

// keys reads the ids at the end of the keys of a range.
func keys(r Reader, t *Table, rg Range) ([]ID, error) {
	var ids []ID
	err := r.Scan(t, rg, func(k, _ []byte) bool {
		ids = append(ids, lastID(k))
		return true
	})
	return ids, err
}

// listed reads the ids under a text in an index that may hold it more than once.
func (s *Snapshot) listed(t *Table, tenant ID, text string) ([]ID, error) {
	if strings.IndexByte(text, 0) >= 0 { // no such text is indexed; this one could run into an id
		return nil, nil
	}
	return keys(s.r, t, Range{Prefix: listPrefix(tenant, text)})
}

func jsonRow[T any](_, value []byte) (*T, error) { return decodeJSON[T](value) }

// Organization returns an organization.
func (s *Snapshot) Organization(id ID) (*Organization, error) {
	o, err := get(s.r, tableOrganizations, key(id), decodeJSON[Organization])
	return found(o, err, "organization")
}

// OrganizationByName returns the organization of that name.
func (s *Snapshot) OrganizationByName(name string) (*Organization, error) {
	id, err := s.r.Get(tableOrganizationName, []byte(s.fold(name)))
	if err != nil || id == nil {
		return found[Organization](nil, err, "organization "+name)
	}
	return s.Organization(toID(id))
}

// Organizations lists all organizations.
func (s *Snapshot) Organizations() (all []*Organization, err error) {
	err = list(s.r, tableOrganizations, Range{}, jsonRow[Organization], func(o *Organization) bool {
		all = append(all, o)
		return true
	})
	return all, err
}

// Environment returns an environment.
func (s *Snapshot) Environment(id ID) (*Environment, error) {
	e, err := get(s.r, tableEnvironments, key(id), decodeJSON[Environment])
	return found(e, err, "environment")
}

// Environments lists the environments of an organization, of all when it is zero.
func (s *Snapshot) Environments(organization ID) (all []*Environment, err error) {
	err = list(s.r, tableEnvironments, Range{}, jsonRow[Environment], func(e *Environment) bool {
		if organization.IsZero() || e.OrganizationID == organization {
			all = append(all, e)
		}
		return true
	})
	return all, err
}

// EnvironmentsByName lists the environments of that name: names are unique within an organization.
func (s *Snapshot) EnvironmentsByName(name string) ([]*Environment, error) {
	all, err := s.Environments(ID{})
	folded := s.fold(name)
	return slices.DeleteFunc(all, func(e *Environment) bool { return s.fold(e.Name) != folded }), err
}

// Tenant returns a tenant.
func (s *Snapshot) Tenant(id ID) (*Tenant, error) {
	t, err := get(s.r, tableTenants, key(id), decodeJSON[Tenant])
	return found(t, err, "tenant")
}

// TenantRecord returns a tenant's record as it is kept, nil when there is none, so that a caller
// on a hot path can tell an unchanged tenant without decoding it.
func (s *Snapshot) TenantRecord(id ID) ([]byte, error) { return s.r.Get(tableTenants, key(id)) }

// DecodeTenant decodes what TenantRecord returned.
func DecodeTenant(record []byte) (*Tenant, error) { return decodeJSON[Tenant](record) }

// TenantByName returns the tenant of that name.
func (s *Snapshot) TenantByName(name string) (*Tenant, error) {
	id, err := s.r.Get(tableTenantName, []byte(s.fold(name)))
	if err != nil || id == nil {
		return found[Tenant](nil, err, "tenant "+name)
	}
	return s.Tenant(toID(id))
}

// Tenants lists all tenants.
func (s *Snapshot) Tenants() (all []*Tenant, err error) {
	err = list(s.r, tableTenants, Range{}, jsonRow[Tenant], func(t *Tenant) bool {
		all = append(all, t)
		return true
	})
	return all, err
}

// Account returns an account.
func (s *Snapshot) Account(id ID) (*Account, error) {
	a, err := s.account(id)
	return found(a, err, "account")
}

func (s *Snapshot) account(id ID) (*Account, error) {
	return get(s.r, tableAccounts, key(id), func(v []byte) (*Account, error) { return decodeAccount(id, v) })
}

// Accounts lists accounts in the order of their creation, beyond the one named after.
func (s *Snapshot) Accounts(after ID, fn func(*Account) bool) error {
	rg := Range{}
	if !after.IsZero() {
		rg.After = key(after)
	}
	return list(s.r, tableAccounts, rg, func(k, v []byte) (*Account, error) { return decodeAccount(lastID(k), v) }, fn)
}

// User returns a SCIM user of a tenant.
func (s *Snapshot) User(tenant, id ID) (*User, error) {
	u, err := s.user(tenant, id)
	if u != nil || err != nil { // the text of an error is made where there is one
		return u, err
	}
	return nil, notFound("User " + id.String())
}

func (s *Snapshot) user(tenant, id ID) (*User, error) {
	return get(s.r, tableUsers, key(tenant, id), func(v []byte) (*User, error) { return decodeUser(tenant, id, v) })
}

// UserResource reads into u the parts of a user that serving the resource needs: all but the
// texts of its profile. It reports whether there is such a user.
func (s *Snapshot) UserResource(u *User, tenant, id ID) (bool, error) {
	var k [32]byte
	copy(k[:16], tenant[:])
	copy(k[16:], id[:])
	value, err := s.r.Get(tableUsers, k[:])
	if err != nil || value == nil {
		return false, err
	}
	u.TenantID, u.ID = tenant, id
	if d := u.decodeResource(value); d.bad {
		return false, errRecord
	}
	return true, nil
}

// Users lists a tenant's users in the order of their creation, beyond the one named after, past
// skip others. The user handed to fn holds what UserResource reads and is used again for the next.
func (s *Snapshot) Users(tenant, after ID, skip int, fn func(*User) bool) error {
	return s.users(tenant, tenantRange(tenant, after, skip), fn)
}

func (s *Snapshot) users(tenant ID, rg Range, fn func(*User) bool) error {
	var u User
	return list(s.r, tableUsers, rg, func(k, v []byte) (*User, error) {
		u = User{TenantID: tenant, ID: lastID(k)}
		if d := u.decodeResource(v); d.bad {
			return nil, errRecord
		}
		return &u, nil
	}, fn)
}

func tenantRange(tenant, after ID, skip int) Range {
	rg := Range{Prefix: key(tenant), Skip: skip}
	if !after.IsZero() {
		rg.After = key(tenant, after)
	}
	return rg
}

// UserCount returns how many users a tenant has.
func (s *Snapshot) UserCount(tenant ID) (int64, error) { return s.r.Count(tableUsers, tenant[:]) }

// UserByName returns the id of the user of that userName; zero when there is none.
func (s *Snapshot) UserByName(tenant ID, userName string) (ID, error) {
	id, err := s.r.Get(tableUserName, textKey(tenant, s.fold(userName)))
	return toID(id), err
}

// UsersByExternalID returns the ids of the users with that externalId.
func (s *Snapshot) UsersByExternalID(tenant ID, externalID string) ([]ID, error) {
	return s.listed(tableUserExternal, tenant, externalID)
}

// UsersByEmail returns the ids of the users that have an e-mail address of that value.
func (s *Snapshot) UsersByEmail(tenant ID, email string) ([]ID, error) {
	return s.listed(tableUserEmail, tenant, s.fold(email))
}

// UsersByObjectID returns the ids of the users with that Entra object id.
func (s *Snapshot) UsersByObjectID(tenant, object ID) ([]ID, error) {
	return keys(s.r, tableUserObject, Range{Prefix: key(tenant, object)})
}

// Group returns a SCIM group of a tenant.
func (s *Snapshot) Group(tenant, id ID) (*Group, error) {
	g, err := s.group(tenant, id)
	return found(g, err, "Group "+id.String())
}

func (s *Snapshot) group(tenant, id ID) (*Group, error) {
	return get(s.r, tableGroups, key(tenant, id), func(v []byte) (*Group, error) { return decodeGroup(tenant, id, v) })
}

// Groups lists a tenant's groups as Users lists users.
func (s *Snapshot) Groups(tenant, after ID, skip int, fn func(*Group) bool) error {
	return s.groups(tenant, tenantRange(tenant, after, skip), fn)
}

func (s *Snapshot) groups(tenant ID, rg Range, fn func(*Group) bool) error {
	return list(s.r, tableGroups, rg, func(k, v []byte) (*Group, error) {
		return decodeGroup(tenant, lastID(k), v)
	}, fn)
}

// GroupCount returns how many groups a tenant has.
func (s *Snapshot) GroupCount(tenant ID) (int64, error) { return s.r.Count(tableGroups, tenant[:]) }

// GroupByName returns the id of the group of that displayName; zero when there is none.
func (s *Snapshot) GroupByName(tenant ID, displayName string) (ID, error) {
	id, err := s.r.Get(tableGroupName, textKey(tenant, s.fold(displayName)))
	return toID(id), err
}

// GroupsByExternalID returns the ids of the groups with that externalId, compared as Groups to
// Sync are: GUIDs without regard to case.
func (s *Snapshot) GroupsByExternalID(tenant ID, externalID string) ([]ID, error) {
	return s.listed(tableGroupExternal, tenant, foldObjectID(externalID))
}

// Members lists the members of a group beyond the one named after.
func (s *Snapshot) Members(tenant, group, after ID, fn func(Member) bool) error {
	rg := Range{Prefix: key(tenant, group)}
	if !after.IsZero() {
		rg.After = key(tenant, group, after)
	}
	return s.r.Scan(tableMembers, rg, func(k, v []byte) bool {
		m := Member{ID: lastID(k)}
		if len(v) == 1 {
			m.Kind = MemberKind(v[0])
		}
		return fn(m)
	})
}

// MemberCount returns how many direct members a group has.
func (s *Snapshot) MemberCount(tenant, group ID) (int64, error) {
	return s.r.Count(tableMembers, key(tenant, group))
}

// IsMember reports whether a user or group is directly in a group.
func (s *Snapshot) IsMember(tenant, group, member ID) (bool, error) {
	v, err := s.r.Get(tableMembers, key(tenant, group, member))
	return v != nil, err
}

// GroupsOf returns the groups that a user or group is directly in.
func (s *Snapshot) GroupsOf(tenant, member ID) ([]ID, error) {
	return keys(s.r, tableMemberOf, Range{Prefix: key(tenant, member)})
}

// Accesses lists the accesses of an account, active or not.
func (s *Snapshot) Accesses(account ID) (all []*Access, err error) {
	err = list(s.r, tableAccesses, Range{Prefix: key(account)}, func(k, v []byte) (*Access, error) {
		return decodeAccess(account, lastID(k), v)
	}, func(a *Access) bool {
		all = append(all, a)
		return true
	})
	return all, err
}

// Access returns an account's access to an environment, nil when there never was one.
func (s *Snapshot) Access(account, environment ID) (*Access, error) {
	return get(s.r, tableAccesses, key(account, environment), func(v []byte) (*Access, error) {
		return decodeAccess(account, environment, v)
	})
}

// EnvironmentAccesses lists the accounts with an access of that state, beyond the one named after.
func (s *Snapshot) EnvironmentAccesses(environment ID, active bool, after ID, fn func(account ID) bool) error {
	rg := Range{Prefix: environmentAccessPrefix(environment, active)}
	if !after.IsZero() {
		rg.After = environmentAccessKey(environment, active, after)
	}
	return s.r.Scan(tableEnvironmentAccess, rg, func(k, _ []byte) bool { return fn(lastID(k)) })
}

// EnvironmentAccessCount returns how many accesses of that state an environment has.
func (s *Snapshot) EnvironmentAccessCount(environment ID, active bool) (int64, error) {
	return s.r.Count(tableEnvironmentAccess, environmentAccessPrefix(environment, active))
}

// Token returns a token of a tenant.
func (s *Snapshot) Token(tenant, id ID) (*Token, error) {
	t, err := get(s.r, tableTokens, key(tenant, id), decodeJSON[Token])
	return found(t, err, "token")
}

// Tokens lists a tenant's tokens of a kind, the dead ones too.
func (s *Snapshot) Tokens(tenant ID, kind TokenKind) (all []*Token, err error) {
	err = list(s.r, tableTokens, Range{Prefix: key(tenant)}, jsonRow[Token], func(t *Token) bool {
		if t.Kind == kind {
			all = append(all, t)
		}
		return true
	})
	return all, err
}

// TokenRecord returns the record of the token with that SHA-256, nil when there is none; decode it
// with DecodeToken. Two records of the same bytes are the same token in the same state.
func (s *Snapshot) TokenRecord(hash []byte) ([]byte, error) {
	k, err := s.r.Get(tableTokenHash, hash)
	if err != nil || k == nil {
		return nil, err
	}
	return s.r.Get(tableTokens, k)
}

// DecodeToken decodes what TokenRecord returned.
func DecodeToken(record []byte) (*Token, error) { return decodeJSON[Token](record) }

// Client returns an OAuth client of a tenant.
func (s *Snapshot) Client(tenant ID, clientID string) (*Client, error) {
	c, err := get(s.r, tableClients, textKey(tenant, clientID), decodeJSON[Client])
	return found(c, err, "client "+clientID)
}

// Clients lists a tenant's OAuth clients.
func (s *Snapshot) Clients(tenant ID) (all []*Client, err error) {
	err = list(s.r, tableClients, Range{Prefix: key(tenant)}, jsonRow[Client], func(c *Client) bool {
		all = append(all, c)
		return true
	})
	return all, err
}

// Log lists the provisioning log of a tenant, oldest first (newest first when reverse), beyond
// the event of that number; 0: from the start.
func (s *Snapshot) Log(tenant ID, after uint64, reverse bool, fn func(*LogEvent) bool) error {
	return list(s.r, tableLog, numberRange(tenant, after, reverse), jsonRow[LogEvent], fn)
}

func numberRange(owner ID, after uint64, reverse bool) Range {
	rg := Range{Prefix: key(owner), Reverse: reverse}
	if after > 0 {
		rg.After = numberKey(owner, after)
	}
	return rg
}

// LogEvent returns a line of the provisioning log of a tenant.
func (s *Snapshot) LogEvent(tenant ID, sequence uint64) (*LogEvent, error) {
	e, err := get(s.r, tableLog, numberKey(tenant, sequence), decodeJSON[LogEvent])
	return found(e, err, "log event")
}

// EnvironmentLog lists the events that changed an access to an environment, as Log does.
func (s *Snapshot) EnvironmentLog(environment ID, after uint64, reverse bool, fn func(*LogEvent) bool) error {
	return list(s.r, tableLogEnvironment, numberRange(environment, after, reverse), func(k, tenant []byte) (*LogEvent, error) {
		e, err := get(s.r, tableLog, append(append([]byte(nil), tenant...), k[16:]...), decodeJSON[LogEvent])
		return found(e, err, "log event")
	}, fn)
}

// Outbox lists the outgoing events after a sequence number.
func (s *Snapshot) Outbox(after uint64, fn func(*OutboxEvent) bool) error {
	return list(s.r, tableOutbox, Range{After: sequenceKey(after)}, jsonRow[OutboxEvent], fn)
}

// Audit lists the audit entries after a sequence number.
func (s *Snapshot) Audit(after uint64, fn func(*AuditEntry) bool) error {
	return list(s.r, tableAudit, Range{After: sequenceKey(after)}, jsonRow[AuditEntry], fn)
}

// Derivations lists the derivations of an environment, newest first.
func (s *Snapshot) Derivations(environment ID, fn func(*Derivation) bool) error {
	return list(s.r, tableDerivations, Range{Prefix: key(environment), Reverse: true}, jsonRow[Derivation], fn)
}

// Derivation returns a derivation of an environment.
func (s *Snapshot) Derivation(environment, id ID) (*Derivation, error) {
	run, err := get(s.r, tableDerivations, key(environment, id), decodeJSON[Derivation])
	return found(run, err, "derivation")
}
