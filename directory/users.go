package directory

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// UserInput is a SCIM user as a channel wants it to be.
type UserInput struct {
	Profile
	SaysActive bool     // the channel spoke of Active, rather than leaving it as it was
	Schemas    []byte   // JSON array of schema URNs
	Attributes []byte   // JSON object of the attributes
	Changes    []Change // for the log: what differs from before
	Warnings   []string // for the log: what was ignored
}

func (in *UserInput) check() error {
	if strings.TrimSpace(in.UserName) == "" {
		return failf(Invalid, "userName", "userName is required")
	}
	for _, t := range append([]string{in.UserName, in.ExternalID}, in.Emails...) {
		if err := checkText("userName, externalId and emails", t); err != nil {
			return err
		}
	}
	return nil
}

// CreateUser provisions a person: a new SCIM user, linked to the account that this tenant
// provisioned the same person on before, to an internal account of the same e-mail whose domain
// the tenant is trusted for, or to a new account.
//
// Errors: Invalid; NotFound for the tenant; Exists when the tenant has a user of that userName, or
// when the e-mail is that of an internal account that the tenant may not adopt.
func (s *Service) CreateUser(ctx context.Context, by Actor, tenant ID, in UserInput) (u *User, err error) {
	err = s.Together(ctx, func(b *Batch) (err error) {
		u, err = b.CreateUser(by, tenant, ID{}, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}

func (c *change) createUser(tenant, id ID, in UserInput) (*User, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	if err := c.hasTenant(tenant); err != nil {
		return nil, err
	}
	u, err := c.provision(tenant, id, in, objectID(in.ExternalID))
	if err != nil {
		return nil, err
	}
	if err := c.log(userEvent(ActionCreate, u, in.Changes, in.Warnings)); err != nil {
		return nil, err
	}
	return u, c.publishUser("user.created", nil, u, "", in.Changes)
}

// provision writes a new user and what follows from it, but for the log line and the event. A zero
// id makes a new one; object is the person's object id, zero where it is not known.
func (c *change) provision(tenant, id ID, in UserInput, object ID) (*User, error) {
	if id.IsZero() {
		id = c.s.newID()
	}
	u := &User{TenantID: tenant, ID: id, ObjectID: object, Profile: in.Profile,
		Version: 1, Created: c.now, Modified: c.now, Schemas: in.Schemas, Attributes: in.Attributes}
	if err := c.insert(tableUserName, textKey(tenant, c.fold(u.UserName)), u.ID[:], userNameTaken(u.UserName)); err != nil {
		return nil, err
	}
	account, adopted, err := c.accountFor(u)
	if err != nil {
		return nil, err
	}
	u.AccountID, account.UserID = account.ID, u.ID
	if err := c.put(row{tableUsers, key(tenant, u.ID), u.encode()}); err != nil {
		return nil, err
	}
	if err := c.indexUser(nil, u); err != nil {
		return nil, err
	}
	if !u.Active && !c.by.RunID.IsZero() {
		if err := c.noteActivation(u); err != nil {
			return nil, err
		}
	}
	account.overrideBy(u, c.now)
	if err := c.put(row{tableAccounts, key(account.ID), account.encode()}); err != nil {
		return nil, err
	}
	if adopted {
		if err := c.endSessions(account, EndedAdopted); err != nil {
			return nil, err
		}
		// What an internal user was given by hand is not derived: rule 1 takes it away.
		if err := c.deriveUser(account, u); err != nil {
			return nil, err
		}
	}
	return u, c.overrideAccesses(account)
}

func userNameTaken(userName string) error {
	return failf(Exists, "userName", "a user with the userName %q already exists", userName)
}

func userEvent(action Action, u *User, changes []Change, warnings []string) LogEvent {
	return LogEvent{TenantID: u.TenantID, Action: action, TargetType: "User", TargetID: u.ID.String(),
		TargetName: u.UserName, ExternalID: u.ExternalID, Changes: changes, Warnings: warnings}
}

// accountFor finds or makes the account of a person who is being provisioned, and reports
// whether it was an internal one until now.
func (c *change) accountFor(u *User) (account *Account, adopted bool, err error) {
	if account, err = c.formerAccount(u); account != nil || err != nil {
		return account, false, err
	}
	if account, err = c.internalAccount(u); err != nil {
		return nil, false, err
	}
	if account != nil {
		return account, true, c.adopt(account, u.TenantID)
	}
	// A new account takes the id of its first SCIM user, so that reads of both lie in one order.
	return &Account{ID: u.ID, TenantID: u.TenantID, Created: c.now}, false, nil
}

// adopt hands an internal account to a directory.
func (c *change) adopt(account *Account, tenant ID) error {
	account.TenantID = tenant
	// A password of its own would be a second way in that the directory does not know of.
	if err := c.dropLogin(account.ID); err != nil {
		return err
	}
	if err := c.dropAdministrator(account.ID); err != nil {
		return err
	}
	return c.w.Delete(tableAccountEmail, append(append([]byte(c.fold(account.Email)), 0), account.ID[:]...))
}

const (
	formerByObject = "o"
	formerByName   = "n"
)

// formerAccount finds the account on which this tenant provisioned the same person before, and
// drops what it was found by.
func (c *change) formerAccount(u *User) (*Account, error) {
	account, object, err := c.formerOf(u.TenantID, u.ObjectID, u.UserName)
	if account == nil || err != nil {
		return nil, err
	}
	if u.ObjectID.IsZero() || u.ObjectID != object {
		// The name alone says that it is the same person: it may have been given to another one.
		if err := c.dropOffices(account.ID); err != nil {
			return nil, err
		}
	}
	return account, c.forget(account, object)
}

// formerOf finds a person whom the tenant provisioned before: by object id, or by userName unless
// both object ids are known and differ (then a userName was given to another person). object is
// the id that the person was remembered with.
func (s *Snapshot) formerOf(tenant, object ID, userName string) (account *Account, remembered ID, err error) {
	if !object.IsZero() {
		account, remembered, err = s.former(tenant, formerByObject+string(object[:]))
		if account != nil || err != nil {
			return account, remembered, err
		}
	}
	account, remembered, err = s.former(tenant, formerByName+s.fold(userName))
	if account != nil && !remembered.IsZero() && !object.IsZero() && remembered != object {
		return nil, ID{}, nil
	}
	return account, remembered, err
}

// former reads one row of the table of people whose SCIM user was deleted. A row counts only
// while the account is still without a SCIM user.
func (s *Snapshot) former(tenant ID, k string) (account *Account, object ID, err error) {
	value, err := s.r.Get(tableFormer, textKey(tenant, k))
	if err != nil || len(value) != 32 {
		return nil, ID{}, err
	}
	account, err = s.account(toID(value))
	if err != nil || account == nil || account.TenantID != tenant || !account.UserID.IsZero() {
		return nil, ID{}, err
	}
	return account, toID(value[16:]), nil
}

// internalAccount finds the internal account that has one of the person's e-mail addresses. It
// may be adopted when the tenant is trusted for the domain of that address.
func (s *Snapshot) internalAccount(u *User) (*Account, error) {
	for _, email := range u.addresses() {
		ids, err := keys(s.r, tableAccountEmail, Range{Prefix: append([]byte(s.fold(email)), 0)})
		if err != nil {
			return nil, err
		}
		if len(ids) == 0 {
			continue
		}
		tenant, err := s.Tenant(u.TenantID)
		if err != nil {
			return nil, err
		}
		account, err := s.Account(ids[0])
		if err != nil {
			return nil, err
		}
		roles, err := s.Roles(account.ID)
		if err != nil {
			return nil, err
		}
		if len(ids) > 1 || account.Protected || !roles.none() || !tenant.trusts(email) {
			return nil, failf(Exists, "userName", "an account with the e-mail address %q exists that this directory may not manage; an administrator can resolve the conflict", email)
		}
		return account, nil
	}
	return nil, nil
}

// addresses returns the texts by which an internal account could be meant: the e-mail addresses
// and a userName that looks like one.
func (u *User) addresses() []string {
	all := slices.Clone(u.Emails)
	if strings.Contains(u.UserName, "@") && !slices.Contains(all, u.UserName) {
		all = append(all, u.UserName)
	}
	return all
}

// trusts reports whether the directory is trusted for the domain of an e-mail address.
func (t *Tenant) trusts(email string) bool {
	_, domain, ok := strings.Cut(email, "@")
	return ok && slices.ContainsFunc(t.TrustedDomains, func(d string) bool { return strings.EqualFold(d, domain) })
}

// overrideBy sets what the directory manages of an account (rule 3); language and locale stay
// where it does not send them.
func (a *Account) overrideBy(u *User, now time.Time) {
	a.UserName, a.Name, a.Email = u.UserName, u.Name, u.Email
	a.Language, a.Locale = cmp.Or(u.Language, a.Language), cmp.Or(u.Locale, a.Locale)
	a.Modified = now
}

// overrideAccesses sets what the directory manages of each access of an account (rule 3).
func (c *change) overrideAccesses(account *Account) error {
	accesses, err := c.Accesses(account.ID)
	if err != nil {
		return err
	}
	for _, a := range accesses {
		before := *a
		a.describe(account)
		if before.Name == a.Name && before.Email == a.Email && before.Language == a.Language && before.Locale == a.Locale {
			continue
		}
		if err := c.putAccess(a, a.Active); err != nil {
			return err
		}
	}
	return nil
}

// indexUser moves the rows of a user in the indexes that are not unique; before is nil for a new
// user, after for one that goes.
func (c *change) indexUser(before, after *User) error {
	old, new := c.userRows(before), c.userRows(after)
	for _, r := range old {
		if !slices.ContainsFunc(new, r.same) {
			if err := c.delete(r); err != nil {
				return err
			}
		}
	}
	for _, r := range new {
		if !slices.ContainsFunc(old, r.same) {
			if err := c.put(r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r row) same(other row) bool { return r.table == other.table && bytes.Equal(r.key, other.key) }

func (c *change) userRows(u *User) (rows []row) {
	if u == nil {
		return nil
	}
	if u.ExternalID != "" {
		rows = append(rows, row{table: tableUserExternal, key: listKey(u.TenantID, u.ExternalID, u.ID)})
	}
	if !u.ObjectID.IsZero() {
		rows = append(rows, row{table: tableUserObject, key: key(u.TenantID, u.ObjectID, u.ID)})
	}
	for _, e := range u.Emails {
		rows = append(rows, row{table: tableUserEmail, key: listKey(u.TenantID, c.fold(e), u.ID)})
	}
	return rows
}

// UpdateUser changes a user. fn gets the user as it is and returns it as it should be; it runs
// inside of the transaction and may refuse with an error. What fn returns is compared with what
// is kept: without a difference nothing is written, and version and modified stay. A user whom a pull
// made inactive and of whom push says the same is inactive by push from then on.
func (s *Service) UpdateUser(ctx context.Context, by Actor, tenant, id ID, fn func(*User) (UserInput, error)) (u *User, err error) {
	err = s.Together(ctx, func(b *Batch) (err error) {
		u, err = b.UpdateUser(by, tenant, id, fn)
		return err
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}

func (c *change) updateUser(tenant, id ID, fn func(*User) (UserInput, error)) (*User, error) {
	before, err := c.User(tenant, id)
	if err != nil {
		return nil, err
	}
	// fn gets its own: what it changes in place would go unnoticed, and what the store lends
	// ends with the next write.
	before.Schemas, before.Attributes = bytes.Clone(before.Schemas), bytes.Clone(before.Attributes)
	given := *before
	given.Emails = slices.Clone(before.Emails)
	in, err := fn(&given)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	after := *before
	after.Profile, after.Schemas, after.Attributes = in.Profile, in.Schemas, in.Attributes
	if object := objectID(in.ExternalID); !object.IsZero() {
		after.ObjectID = object
	}
	if in.SaysActive && !before.Active && !after.Active {
		if err := c.keepInactive(&after); err != nil {
			return nil, err
		}
	}
	if before.same(&after) {
		if len(in.Warnings) > 0 {
			return &after, c.log(userEvent(ActionUpdate, &after, nil, in.Warnings))
		}
		return &after, nil
	}
	return &after, c.replaceUser(before, &after, in)
}

func (c *change) replaceUser(before, after *User, in UserInput) error {
	old, folded := c.fold(before.UserName), c.fold(after.UserName)
	if old != folded {
		if err := c.insert(tableUserName, textKey(after.TenantID, folded), after.ID[:], userNameTaken(after.UserName)); err != nil {
			return err
		}
		if err := c.w.Delete(tableUserName, textKey(after.TenantID, old)); err != nil {
			return err
		}
	}
	action, err := c.rewriteUser(before, after)
	if err != nil {
		return err
	}
	if err := c.log(userEvent(action, after, in.Changes, in.Warnings)); err != nil {
		return err
	}
	return c.publishUser("user.updated", before, after, c.updateMethod(), in.Changes)
}

// rewriteUser writes a changed user, all but its row by name, and what follows from the change.
func (c *change) rewriteUser(before, after *User) (Action, error) {
	after.Version++
	after.Modified = c.now
	if err := c.indexUser(before, after); err != nil {
		return "", err
	}
	if err := c.put(row{tableUsers, key(after.TenantID, after.ID), after.encode()}); err != nil {
		return "", err
	}
	if before.Active != after.Active {
		if err := c.noteActivation(after); err != nil {
			return "", err
		}
	}
	if err := c.replacePerson(before, after); err != nil {
		return "", err
	}
	return c.replaceProfile(before, after)
}

// replacePerson takes from an account what a person was given by hand, when it belongs to another
// object of the directory than before: who signed in as the one before is out, and the new one is
// nobody's choice. So is one where none was known: what was given then was given to a name. Nobody
// has signed in as that, for sign-in goes by the object id: there are no sessions to end.
func (c *change) replacePerson(before, after *User) error {
	if before.ObjectID == after.ObjectID {
		return nil
	}
	if !before.ObjectID.IsZero() {
		account, err := c.Account(after.AccountID)
		if err != nil {
			return err
		}
		if err := c.endSessions(account, EndedIdentity); err != nil {
			return err
		}
	}
	return c.dropOffices(after.AccountID)
}

// replaceProfile carries a change of what the directory says of a person to the account, its
// accesses and sessions, and tells what it is called in the log. Most changes touch none of it.
func (c *change) replaceProfile(before, after *User) (Action, error) {
	same := before.Profile.describes(&after.Profile)
	if same && before.Active == after.Active {
		return ActionUpdate, nil
	}
	account, err := c.Account(after.AccountID)
	if err != nil {
		return "", err
	}
	if !same {
		account.overrideBy(after, c.now)
		if err := c.put(row{tableAccounts, key(account.ID), account.encode()}); err != nil {
			return "", err
		}
		if err := c.overrideAccesses(account); err != nil {
			return "", err
		}
	}
	if before.Active == after.Active {
		return ActionUpdate, nil
	}
	if after.Active {
		return ActionEnable, c.deriveUser(account, after)
	}
	if err := c.endSessions(account, EndedDeactivated); err != nil {
		return "", err
	}
	return ActionDisable, c.deriveUser(account, after)
}

// same reports whether two states of a user are the same resource: then nothing is written, and the version stays.
func (u *User) same(other *User) bool {
	return bytes.Equal(u.Attributes, other.Attributes) && bytes.Equal(u.Schemas, other.Schemas) && u.Profile.equal(&other.Profile)
}

func (p *Profile) equal(other *Profile) bool {
	return p.describes(other) && p.ExternalID == other.ExternalID && p.Active == other.Active && slices.Equal(p.Emails, other.Emails)
}

// describes reports whether two states of a user say the same to the account and its accesses.
func (p *Profile) describes(other *Profile) bool {
	return p.UserName == other.UserName && p.Name == other.Name && p.Email == other.Email &&
		p.Language == other.Language && p.Locale == other.Locale
}

// DeleteUser removes a SCIM user (rule 5): the resource is gone, its id is never used again, it
// leaves its groups, every access of it is inactive and its sessions end. The account stays and
// is found again when the same person is provisioned.
func (s *Service) DeleteUser(ctx context.Context, by Actor, tenant, id ID, check func(*User) error) error {
	return s.Together(ctx, func(b *Batch) error { return b.DeleteUser(by, tenant, id, check) })
}

func (c *change) deleteUser(tenant, id ID, check func(*User) error) error {
	u, err := c.User(tenant, id)
	if err != nil {
		return err
	}
	if check != nil {
		if err := check(u); err != nil {
			return err
		}
	}
	groups, err := c.GroupsOf(tenant, id)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if err := c.leave(tenant, g, id); err != nil {
			return err
		}
		if err := c.touchGroup(tenant, g); err != nil {
			return err
		}
	}
	if err := c.forgetPull(tenant, id); err != nil {
		return err
	}
	if err := c.indexUser(u, nil); err != nil {
		return err
	}
	if err := c.delete(row{table: tableUserName, key: textKey(tenant, c.fold(u.UserName))}, row{table: tableUsers, key: key(tenant, id)}); err != nil {
		return err
	}
	account, err := c.Account(u.AccountID)
	if err != nil {
		return err
	}
	account.UserID = ID{}
	if err := c.deriveUser(account, nil); err != nil {
		return err
	}
	if err := c.endSessions(account, EndedDeactivated); err != nil {
		return err
	}
	if err := c.dropRoles(account.ID); err != nil {
		return err
	}
	if err := c.remember(account, u); err != nil {
		return err
	}
	if err := c.log(userEvent(ActionDelete, u, nil, nil)); err != nil {
		return err
	}
	inactive := false
	return c.publish(OutboxEvent{Type: "user.deleted", TenantID: tenant, UserID: id, AccountID: u.AccountID, Active: &inactive, ExternalID: u.ExternalID})
}

// remember keeps by what a person is found again who is provisioned anew.
func (c *change) remember(account *Account, u *User) error {
	value := append(key(account.ID), u.ObjectID[:]...)
	if !u.ObjectID.IsZero() {
		if err := c.put(row{tableFormer, textKey(u.TenantID, formerByObject+string(u.ObjectID[:])), value}); err != nil {
			return err
		}
	}
	return c.put(row{tableFormer, textKey(u.TenantID, formerByName+c.fold(u.UserName)), value})
}

// forget undoes remember when the account has a SCIM user again: by what was its own in an earlier
// life it is not found after a later one.
func (c *change) forget(account *Account, object ID) error {
	for _, k := range []string{formerByName + c.fold(account.UserName), formerByObject + string(object[:])} {
		value, err := c.r.Get(tableFormer, textKey(account.TenantID, k))
		if err != nil {
			return err
		}
		if toID(value) != account.ID { // none, or another person's by now
			continue
		}
		if err := c.w.Delete(tableFormer, textKey(account.TenantID, k)); err != nil {
			return err
		}
	}
	return nil
}
