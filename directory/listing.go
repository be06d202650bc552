package directory

import "context"

// What lists of a tenant's resources read: either way through the order of creation, and the order of unique names.

// UsersBefore lists a tenant's users as Users does, the other way: from the one before the one named; zero: from the last.
func (s *Snapshot) UsersBefore(tenant, before ID, skip int, fn func(*User) bool) error {
	rg := tenantRange(tenant, before, skip)
	rg.Reverse = true
	return s.users(tenant, rg, fn)
}

// GroupsBefore lists a tenant's groups as UsersBefore lists users.
func (s *Snapshot) GroupsBefore(tenant, before ID, skip int, fn func(*Group) bool) error {
	rg := tenantRange(tenant, before, skip)
	rg.Reverse = true
	return s.groups(tenant, rg, fn)
}

// NameRange selects from the names of a tenant, in the order of their bytes under Service.Fold.
type NameRange struct {
	After   string // only names beyond this one, folded (before it when Reverse); empty: all
	Skip    int    // names to skip
	Reverse bool   // from the last name to the first
}

// UserNames lists the folded userNames of a tenant, with whose they are.
func (s *Snapshot) UserNames(tenant ID, r NameRange, fn func(folded string, id ID) bool) error {
	return s.names(tableUserName, tenant, r, fn)
}

// GroupNames lists the folded displayNames of a tenant's groups, with whose they are.
func (s *Snapshot) GroupNames(tenant ID, r NameRange, fn func(folded string, id ID) bool) error {
	return s.names(tableGroupName, tenant, r, fn)
}

func (s *Snapshot) names(t *Table, tenant ID, r NameRange, fn func(string, ID) bool) error {
	rg := Range{Prefix: key(tenant), Skip: r.Skip, Reverse: r.Reverse}
	if r.After != "" {
		rg.After = textKey(tenant, r.After)
	}
	return s.r.Scan(t, rg, func(k, id []byte) bool { return fn(string(k[len(tenant):]), toID(id)) })
}

// cursorKey names the setting that holds the key of cursors.
var cursorKey = []byte("cursor key")

// CursorKey returns the key that seals the cursors of lists: one for a store, so that every server on it takes those of
// another, also after a restart. The first call keeps fresh, which must be random. It is not sealed: a cursor hides
// nothing from who can read the store.
func (s *Service) CursorKey(ctx context.Context, fresh [32]byte) (cursor [32]byte, err error) {
	read := func(sn *Snapshot) (bool, error) {
		kept, err := sn.r.Get(tableSettings, cursorKey)
		if err == nil && kept != nil && copy(cursor[:], kept) != len(cursor) {
			err = errRecord
		}
		return kept != nil, err
	}
	found := false
	err = s.View(ctx, func(sn *Snapshot) (err error) {
		found, err = read(sn)
		return err
	})
	if err != nil || found {
		return cursor, err
	}
	err = s.update(ctx, Actor{Role: RoleSystem, Channel: "system"}, func(c *change) error {
		if found, err := read(c.Snapshot); err != nil || found {
			return err
		}
		cursor = fresh
		return c.put(row{tableSettings, cursorKey, fresh[:]})
	})
	return cursor, err
}
