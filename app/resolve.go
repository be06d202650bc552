package app

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bizzstream/bizzscim/directory"
)

// Names are for people, ids for programs; every operation takes both. What is not found or not
// clear is answered with what to do next.

func fail(kind directory.ErrorKind, field, format string, args ...any) error {
	return &directory.Error{Kind: kind, Field: field, Detail: fmt.Sprintf(format, args...)}
}

func isNotFound(err error) bool { return err != nil && directory.KindOf(err) == directory.NotFound }

// lookup reads a thing by its id, if ref is one, and else by its name. An error is NotFound with
// hint as the detail.
func lookup[T any](ref, field, hint string, byID func(directory.ID) (*T, error), byName func(string) (*T, error)) (*T, error) {
	if ref == "" {
		return nil, fail(directory.Invalid, field, "name the %s", field)
	}
	if id, ok := directory.ParseID(strings.ToLower(ref)); ok {
		if v, err := byID(id); !isNotFound(err) {
			return v, err
		}
	}
	v, err := byName(ref)
	if isNotFound(err) {
		return nil, fail(directory.NotFound, field, "there is no %s %q; %s", field, ref, hint)
	}
	return v, err
}

func findOrganization(sn *directory.Snapshot, ref string) (*directory.Organization, error) {
	return lookup(ref, "organization", "see: bizzscim org list", sn.Organization, sn.OrganizationByName)
}

func findTenant(sn *directory.Snapshot, ref string) (*directory.Tenant, error) {
	return lookup(ref, "tenant", "see: bizzscim tenant list", sn.Tenant, sn.TenantByName)
}

// findEnvironment also takes ORGANIZATION/NAME. A name that several organizations have is Invalid,
// with the choices.
func findEnvironment(sn *directory.Snapshot, ref string) (*directory.Environment, error) {
	return lookup(ref, "environment", "see: bizzscim env list", sn.Environment, func(name string) (*directory.Environment, error) {
		found, err := sn.EnvironmentsByName(name)
		if err != nil {
			return nil, err
		}
		for i := 0; i < len(name) && len(found) == 0; i++ {
			if name[i] != '/' {
				continue
			}
			org, err := sn.OrganizationByName(name[:i])
			if isNotFound(err) {
				continue
			} else if err != nil {
				return nil, err
			}
			all, err := sn.EnvironmentsByName(name[i+1:])
			if err != nil {
				return nil, err
			}
			for _, e := range all {
				if e.OrganizationID == org.ID {
					found = append(found, e)
				}
			}
		}
		switch len(found) {
		case 0:
			return nil, fail(directory.NotFound, "", "")
		case 1:
			return found[0], nil
		}
		var choices []string
		for _, e := range found {
			org, err := sn.Organization(e.OrganizationID)
			if err != nil {
				return nil, err
			}
			choices = append(choices, org.Name+"/"+e.Name)
		}
		return nil, fail(directory.Invalid, "environment", "%d environments are named %q; say which: %s", len(found), name, strings.Join(choices, ", "))
	})
}

// findTenantOrOnly takes the only tenant when ref is empty.
func findTenantOrOnly(sn *directory.Snapshot, ref string) (*directory.Tenant, error) {
	if ref != "" {
		return findTenant(sn, ref)
	}
	all, err := sn.Tenants()
	switch {
	case err != nil:
		return nil, err
	case len(all) == 1:
		return all[0], nil
	case len(all) == 0:
		return nil, fail(directory.NotFound, "tenant", "there is no tenant yet; create one with: bizzscim tenant create NAME")
	}
	return nil, fail(directory.Invalid, "tenant", "say which tenant with --tenant: %s", tenantNames(all))
}

func tenantNames(all []*directory.Tenant) string {
	var names []string
	for _, t := range all {
		names = append(names, t.Name)
	}
	return strings.Join(names, ", ")
}

// findAccount finds an account by its id, the SCIM id, the object id, userName or e-mail address, within one tenant or, when
// tenant is nil, anywhere: by a name an internal user comes before whomever a directory calls the same.
func findAccount(sn *directory.Snapshot, tenant *directory.Tenant, ref string) (*directory.Account, error) {
	if ref == "" {
		return nil, fail(directory.Invalid, "user", "name the user")
	}
	f := &accountFinder{sn: sn, tenant: tenant, tenants: []*directory.Tenant{tenant}, found: map[directory.ID]*directory.Account{}}
	if tenant == nil {
		var err error
		if f.tenants, err = sn.Tenants(); err != nil {
			return nil, err
		}
	}
	// What finds somebody ends the search: nobody can be called by another's id.
	for _, look := range []func(string) error{f.byID, f.byObjectID, f.internal, f.byName, f.former} {
		if err := look(ref); err != nil {
			return nil, err
		}
		if len(f.found) > 0 {
			return f.only(ref)
		}
	}
	return nil, fail(directory.NotFound, "user", "there is no user %q; see: bizzscim user list", ref)
}

// accountFinder collects the accounts that may be meant.
type accountFinder struct {
	sn      *directory.Snapshot
	tenant  *directory.Tenant // nil: any, and none
	tenants []*directory.Tenant
	found   map[directory.ID]*directory.Account
}

func (f *accountFinder) add(id directory.ID) error {
	a, err := f.sn.Account(id)
	if isNotFound(err) {
		return nil
	}
	if err == nil && (f.tenant == nil || a.TenantID == f.tenant.ID) {
		f.found[a.ID] = a
	}
	return err
}

func (f *accountFinder) addUsers(t *directory.Tenant, ids ...directory.ID) error {
	for _, id := range ids {
		u, err := f.sn.User(t.ID, id)
		if isNotFound(err) {
			continue
		}
		if err == nil {
			err = f.add(u.AccountID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// byID takes the id of an account or a SCIM id: the server makes both, and none twice.
func (f *accountFinder) byID(ref string) error {
	id, ok := directory.ParseID(strings.ToLower(ref))
	if !ok {
		return nil
	}
	err := f.add(id)
	for i := 0; err == nil && i < len(f.tenants); i++ {
		err = f.addUsers(f.tenants[i], id)
	}
	return err
}

func (f *accountFinder) byObjectID(ref string) error {
	id, ok := directory.ParseID(strings.ToLower(ref))
	for i := 0; ok && i < len(f.tenants); i++ {
		ids, err := f.sn.UsersByObjectID(f.tenants[i].ID, id)
		if err == nil {
			err = f.addUsers(f.tenants[i], ids...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *accountFinder) internal(ref string) error {
	if f.tenant != nil {
		return nil
	}
	all, err := f.sn.InternalAccounts(ref)
	for _, a := range all {
		f.found[a.ID] = a
	}
	return err
}

func (f *accountFinder) byName(ref string) error {
	for _, t := range f.tenants {
		ids, err := f.sn.UsersByEmail(t.ID, ref)
		if err != nil {
			return err
		}
		if id, err := f.sn.UserByName(t.ID, ref); err != nil {
			return err
		} else if !id.IsZero() {
			ids = []directory.ID{id} // a userName is the stronger name
		}
		if err := f.addUsers(t, ids...); err != nil {
			return err
		}
	}
	return nil
}

// former looks for somebody whom no directory provisions at present: they have no index by name.
func (f *accountFinder) former(ref string) error {
	return f.sn.Accounts(directory.ID{}, func(a *directory.Account) bool {
		if a.UserID.IsZero() && (f.tenant == nil || a.TenantID == f.tenant.ID) && (strings.EqualFold(a.UserName, ref) || strings.EqualFold(a.Email, ref)) {
			f.found[a.ID] = a
		}
		return true
	})
}

// only takes the one who was found. Of more, none is chosen: the error says what tells them apart.
func (f *accountFinder) only(ref string) (*directory.Account, error) {
	n := newNames(f.sn)
	var choices []string
	owners := map[directory.ID]bool{}
	for _, id := range slices.SortedFunc(maps.Keys(f.found), func(a, b directory.ID) int { return bytes.Compare(a[:], b[:]) }) {
		a := f.found[id]
		if len(f.found) == 1 {
			return a, nil
		}
		choice := id.String()
		if a.External() {
			choice += " of tenant " + n.tenant(a.TenantID).Name
		}
		choices, owners[a.TenantID] = append(choices, choice), true
	}
	how := "by id"
	if len(owners) > 1 {
		how = "with --tenant, or by id"
	}
	return nil, fail(directory.Invalid, "user", "%d users are named %q; say which %s: %s", len(choices), ref, how, strings.Join(choices, ", "))
}

// findGroup finds a group of a tenant by its SCIM id, object id or display name.
func findGroup(sn *directory.Snapshot, tenant *directory.Tenant, ref string) (*directory.Group, error) {
	if ref == "" {
		return nil, fail(directory.Invalid, "group", "name the group")
	}
	if id, ok := directory.ParseID(strings.ToLower(ref)); ok {
		if g, err := sn.Group(tenant.ID, id); !isNotFound(err) {
			return g, err
		}
	}
	ids, err := sn.GroupsByExternalID(tenant.ID, ref)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		id, err := sn.GroupByName(tenant.ID, ref)
		if err != nil {
			return nil, err
		}
		if id.IsZero() {
			return nil, fail(directory.NotFound, "group", "tenant %s has no group %q; see: bizzscim group list --tenant %s", tenant.Name, ref, tenant.Name)
		}
		ids = append(ids, id)
	}
	if len(ids) > 1 {
		return nil, fail(directory.Invalid, "group", "%d groups of tenant %s have the object id %q; name it by display name", len(ids), tenant.Name, ref)
	}
	return sn.Group(tenant.ID, ids[0])
}

// findToken finds a Secret Token by id, name or hint; with an empty ref the only one that is live.
func (a *admin) findToken(sn *directory.Snapshot, tenant *directory.Tenant, ref string) (*directory.Token, error) {
	all, err := sn.Tokens(tenant.ID, directory.SecretToken)
	if err != nil {
		return nil, err
	}
	var found, live []*directory.Token
	var hints []string
	for _, t := range all {
		matches := ref == "" || t.ID.String() == strings.ToLower(ref) || t.Name == ref || strings.TrimLeft(ref, "…*.") == t.Hint
		if !matches {
			continue
		}
		found = append(found, t)
		if t.Live(a.now()) {
			live = append(live, t)
			hints = append(hints, "…"+t.Hint+" ("+t.ID.String()+")")
		}
	}
	if len(live) > 0 {
		found = live // a dead token of the same name is not meant
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && ref == "":
		return nil, fail(directory.NotFound, "token", "tenant %s has no token; create one with: bizzscim token create %s", tenant.Name, tenant.Name)
	case len(found) == 0:
		return nil, fail(directory.NotFound, "token", "tenant %s has no token %q; see: bizzscim token list %s", tenant.Name, ref, tenant.Name)
	case len(live) == 0:
		return nil, fail(directory.Conflict, "token", "tenant %s has no live token; create one with: bizzscim token create %s", tenant.Name, tenant.Name)
	}
	return nil, fail(directory.Invalid, "token", "tenant %s has %d live tokens; say which: %s", tenant.Name, len(live), strings.Join(hints, ", "))
}

func findClient(sn *directory.Snapshot, tenant *directory.Tenant, ref string) (*directory.Client, error) {
	if ref != "" {
		c, err := sn.Client(tenant.ID, ref)
		if isNotFound(err) {
			return nil, fail(directory.NotFound, "client", "tenant %s has no client %q; see: bizzscim client list %s", tenant.Name, ref, tenant.Name)
		}
		return c, err
	}
	all, err := sn.Clients(tenant.ID)
	if err != nil {
		return nil, err
	}
	var live []*directory.Client
	var ids []string
	for _, c := range all {
		if c.Revoked.IsZero() {
			live = append(live, c)
			ids = append(ids, c.ClientID)
		}
	}
	switch len(live) {
	case 0:
		return nil, fail(directory.NotFound, "client", "tenant %s has no client; create one with: bizzscim client create %s", tenant.Name, tenant.Name)
	case 1:
		return live[0], nil
	}
	return nil, fail(directory.Invalid, "client", "tenant %s has %d clients; say which: %s", tenant.Name, len(live), strings.Join(ids, ", "))
}

// names remembers the names of things that many lines speak of.
type names struct {
	sn            *directory.Snapshot
	organizations map[directory.ID]string
	environments  map[directory.ID]string
	tenants       map[directory.ID]string
	accounts      map[directory.ID]string
}

func newNames(sn *directory.Snapshot) *names {
	return &names{sn, map[directory.ID]string{}, map[directory.ID]string{}, map[directory.ID]string{}, map[directory.ID]string{}}
}

func named[T any](known map[directory.ID]string, id directory.ID, read func(directory.ID) (*T, error), name func(*T) string) Named {
	s, ok := known[id]
	if !ok {
		if v, err := read(id); err == nil {
			s = name(v)
		}
		known[id] = s
	}
	return Named{ID: id.String(), Name: s}
}

func (n *names) organization(id directory.ID) Named {
	return named(n.organizations, id, n.sn.Organization, func(o *directory.Organization) string { return o.Name })
}

func (n *names) environment(id directory.ID) Named {
	return named(n.environments, id, n.sn.Environment, func(e *directory.Environment) string { return e.Name })
}

func (n *names) tenant(id directory.ID) Named {
	return named(n.tenants, id, n.sn.Tenant, func(t *directory.Tenant) string { return t.Name })
}

func (n *names) account(id directory.ID) Named {
	return named(n.accounts, id, n.sn.Account, func(a *directory.Account) string { return a.UserName })
}

// view runs fn on a snapshot and returns what it makes.
func view[T any](ctx context.Context, s *directory.Service, fn func(*directory.Snapshot) (T, error)) (T, error) {
	var out T
	err := s.View(ctx, func(sn *directory.Snapshot) (err error) {
		out, err = fn(sn)
		return err
	})
	return out, err
}
