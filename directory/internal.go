package directory

import (
	"context"
	"slices"
	"strings"
)

// Internal users: people whom no directory manages. An administrator of an environment gives and takes their
// access to it by hand (domain rules 2 and 6). Also the menus that an environment has, and the history of a person.

var (
	tableLogPerson        = &Table{Name: "log_person", Sequential: true} // tenant, user, sequence; of an internal user: zero, account
	tableEnvironmentMenus = &Table{Name: "environment_menus"}            // environment -> names
)

var internalTables = []*Table{tableLogPerson, tableEnvironmentMenus}

// logPerson indexes a line of the log that is about one person: one row. A request that failed may have named
// anything, such as somebody of another tenant.
func (c *change) logPerson(e *LogEvent) error {
	id, ok := ParseID(e.TargetID)
	if e.TargetType != "User" || !ok {
		return nil
	}
	if e.Status == Failure {
		if u, err := c.r.Get(tableUsers, key(e.TenantID, id)); err != nil || u == nil {
			return err
		}
	}
	return c.put(row{table: tableLogPerson, key: append(key(e.TenantID), numberKey(id, e.Sequence)...)})
}

// PersonLog lists the lines of the log about one SCIM user of a tenant (of an internal user: the zero tenant, and the
// account), newest first, before the line of that number; 0: from the newest on.
func (s *Snapshot) PersonLog(tenant, id ID, before uint64, fn func(*LogEvent) bool) error {
	rg := Range{Prefix: key(tenant, id), Reverse: true}
	if before > 0 {
		rg.After = append(key(tenant), numberKey(id, before)...)
	}
	return list(s.r, tableLogPerson, rg, func(k, _ []byte) (*LogEvent, error) {
		e, err := get(s.r, tableLog, slices.Concat(k[:16], k[32:]), decodeJSON[LogEvent])
		return found(e, err, "log event")
	}, fn)
}

// Figures of menus.
const (
	maxMenus    = 100  // of one access
	maxAllMenus = 1000 // of an environment
)

func cleanMenus(field string, list []string, most int) ([]string, error) {
	out := []string{}
	for _, m := range list {
		m, err := cleanName(field, m)
		if err != nil {
			return nil, failf(Invalid, field, "a menu needs a name of at most 256 bytes without control characters")
		}
		if slices.Contains(out, m) {
			continue
		}
		if len(out) == most {
			return nil, failf(Invalid, field, "there are more than %d menus", most)
		}
		out = append(out, m)
	}
	return out, nil
}

// Menus returns the menus that BizzStream says an environment has; none while it has not said so.
func (s *Snapshot) Menus(environment ID) ([]string, error) {
	all, err := get(s.r, tableEnvironmentMenus, key(environment), decodeJSON[[]string])
	if err != nil || all == nil {
		return []string{}, err
	}
	return *all, nil
}

// SetMenus says which menus an environment has. Accesses keep what they have. Errors: Forbidden, NotFound and
// Invalid.
func (s *Service) SetMenus(ctx context.Context, by Actor, environment ID, names []string) ([]string, error) {
	names, err := cleanMenus("menus", names, maxAllMenus)
	if err != nil {
		return nil, err
	}
	err = s.update(ctx, by, func(c *change) error {
		if _, err := c.mayEnvironment(environment); err != nil {
			return err
		}
		before, err := c.Menus(environment)
		if err != nil || slices.Equal(before, names) {
			return err
		}
		if err := c.put(row{tableEnvironmentMenus, key(environment), encodeJSON(names)}); err != nil {
			return err
		}
		return c.audit("environment.menus", environment.String(), map[string]any{"before": brief(before), "after": brief(names)})
	})
	if err != nil {
		return nil, err
	}
	return names, nil
}

// NewAccess is an internal user who is to have access to an environment.
type NewAccess struct {
	Email    string
	Name     string
	Language string
	Locale   string
	Menus    []string
	Password string // hash of what nobody knows, for a new account: a link sets another. Empty: it has no login
}

// AddInternal gives an internal user access to an environment: the one who has the e-mail address, or a new
// one (made). An access that was inactive is active again, with the menus that it had (rules 2 and 4). Who may set the
// environment's integration may do it.
//
// Errors: Forbidden; NotFound; Invalid; ReadOnly when a directory manages somebody of that address; Conflict when
// the access is there.
func (s *Service) AddInternal(ctx context.Context, by Actor, environment ID, in NewAccess) (a *Access, made bool, err error) {
	if err := in.clean(); err != nil {
		return nil, false, err
	}
	err = s.update(ctx, by, func(c *change) error {
		env, err := c.mayEnvironment(environment)
		if err != nil {
			return err
		}
		var account *Account
		if account, made, err = c.internalFor(env, in); err != nil {
			return err
		}
		a, err = c.giveAccess(env, account, in)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return a, made, nil
}

func (in *NewAccess) clean() (err error) {
	in.Email = strings.TrimSpace(in.Email)
	if err := checkEmail(in.Email); err != nil {
		return err
	}
	if in.Name, err = cleanName("name", in.Name); err != nil {
		return err
	}
	if err := checkLanguage("language", in.Language); err != nil {
		return err
	}
	if err := checkLanguage("locale", in.Locale); err != nil {
		return err
	}
	in.Menus, err = cleanMenus("menus", in.Menus, maxMenus)
	return err
}

// checkLanguage refuses what cannot be a language tag (RFC 5646); empty is none.
func checkLanguage(field, tag string) error {
	if len(tag) > 35 || strings.ContainsFunc(tag, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return failf(Invalid, field, "%q is no language: write it as nl, or nl-NL", tag)
	}
	return nil
}

// internalFor finds or makes the internal account of an e-mail address.
func (c *change) internalFor(env *Environment, in NewAccess) (a *Account, made bool, err error) {
	ids, err := keys(c.r, tableAccountEmail, Range{Prefix: append([]byte(c.fold(in.Email)), 0)})
	if err != nil {
		return nil, false, err
	}
	if len(ids) > 1 {
		return nil, false, failf(Conflict, "email", "several users have this e-mail address: an operator has to say which is meant")
	}
	if len(ids) == 1 {
		a, err = c.Account(ids[0])
		return a, false, err
	}
	if err := c.refuseExternal(env, in.Email); err != nil {
		return nil, false, err
	}
	if a, err = c.createAccount(in.Email, in.Email, in.Name); err != nil {
		return nil, false, err
	}
	a.Language, a.Locale = in.Language, in.Locale
	if in.Password != "" {
		if err := c.put(row{tableLogins, key(a.ID), encodeJSON(Login{AccountID: a.ID, Hash: in.Password, Changed: c.now})}); err != nil {
			return nil, false, err
		}
	}
	return a, true, c.put(row{tableAccounts, key(a.ID), a.encode()})
}

// refuseExternal refuses an e-mail address that a directory has told of one of its people: what they may enter is derived.
// A directory that the environment may not use is not named.
func (c *change) refuseExternal(env *Environment, email string) error {
	all, err := c.Tenants()
	if err != nil {
		return err
	}
	for _, t := range all {
		ids, err := c.UsersByEmail(t.ID, email)
		if err != nil {
			return err
		}
		named, err := c.UserByName(t.ID, email)
		if err != nil {
			return err
		}
		if len(ids) == 0 && named.IsZero() {
			continue
		}
		if c.by.SeesTenant(t) || slices.Contains(t.OrganizationIDs, env.OrganizationID) {
			return failf(ReadOnly, "email", "this person is managed in the directory of %s: put them in one of the Groups to Sync there", t.DisplayName())
		}
		return failf(ReadOnly, "email", "a directory manages this person: access cannot be given by hand")
	}
	return nil
}

func (c *change) giveAccess(env *Environment, account *Account, in NewAccess) (*Access, error) {
	a, err := c.Access(account.ID, env.ID)
	if err != nil {
		return nil, err
	}
	action, effect := ActionCreate, Granted
	switch {
	case a == nil:
		a = &Access{AccountID: account.ID, EnvironmentID: env.ID, Created: c.now, Name: in.Name, Email: in.Email, Language: in.Language, Locale: in.Locale, Menus: in.Menus}
		if len(in.Menus) == 0 {
			a.Menus = slices.Clone(env.Integration.DefaultMenus)
		}
	case a.Active:
		return nil, failf(Conflict, "email", "this person has access to this environment already")
	default:
		action, effect = ActionEnable, Reactivated
	}
	a.TenantID = ID{}
	c.effect(a, nil, effect)
	a.Active = true
	if err := c.putAccess(a, false); err != nil {
		return nil, err
	}
	return a, c.tellAccess(action, "access.add", account, a, nil)
}

// AccessInput is a change of an access. What is nil stays.
type AccessInput struct {
	Name, Email, Language, Locale *string
	Menus                         *[]string
	Active                        *bool
}

func (in *AccessInput) managed() bool {
	return in.Name != nil || in.Email != nil || in.Language != nil || in.Locale != nil || in.Active != nil
}

// SetAccess changes an access to an environment: all of it for an internal user, its menus alone for an external one
// (rule 6). Deactivating the last one ends the sessions of who has no role (rules 4 and 8). Who may set the
// environment's integration may do it; an operator alone deactivates a protected account's.
//
// Errors: Forbidden; NotFound; Invalid; ReadOnly, naming the tenant; Conflict for the last administrator's access.
func (s *Service) SetAccess(ctx context.Context, by Actor, environment, account ID, in AccessInput) (after *Access, err error) {
	err = s.update(ctx, by, func(c *change) error {
		env, err := c.mayEnvironment(environment)
		if err != nil {
			return err
		}
		a, err := c.Access(account, environment)
		if err != nil {
			return err
		}
		if a == nil {
			return notFound("user")
		}
		holder, err := c.Account(account)
		if err != nil {
			return err
		}
		if holder.External() && in.managed() {
			return c.readOnly(env, holder)
		}
		before := *a
		if err := a.edit(in); err != nil {
			return err
		}
		after = a
		return c.editAccess(holder, &before, a)
	})
	if err != nil {
		return nil, err
	}
	return after, nil
}

// readOnly refuses a change of what a directory manages of a person. A directory that neither the actor nor the environment
// has to do with is not named.
func (c *change) readOnly(env *Environment, a *Account) error {
	t, err := c.Tenant(a.TenantID)
	if err != nil {
		return err
	}
	if c.by.SeesTenant(t) || env != nil && slices.Contains(t.OrganizationIDs, env.OrganizationID) {
		return failf(ReadOnly, "", "this user is managed in the directory of %s: change it there", t.DisplayName())
	}
	return failf(ReadOnly, "", "this user is managed in a directory: change it there")
}

func (a *Access) edit(in AccessInput) (err error) {
	if in.Name != nil {
		if a.Name, err = cleanName("name", *in.Name); err != nil {
			return err
		}
	}
	if in.Email != nil {
		a.Email = strings.TrimSpace(*in.Email)
		if err := checkEmail(a.Email); err != nil {
			return err
		}
	}
	for _, l := range []struct {
		field string
		from  *string
		to    *string
	}{{"language", in.Language, &a.Language}, {"locale", in.Locale, &a.Locale}} {
		if l.from == nil {
			continue
		}
		if err := checkLanguage(l.field, *l.from); err != nil {
			return err
		}
		*l.to = *l.from
	}
	if in.Menus != nil {
		if a.Menus, err = cleanMenus("menus", *in.Menus, maxMenus); err != nil {
			return err
		}
	}
	if in.Active != nil {
		a.Active = *in.Active
	}
	return nil
}

// editAccess writes an edited access, and what follows from it.
func (c *change) editAccess(holder *Account, before, after *Access) error {
	changes := accessChanges(before, after)
	if len(changes) == 0 {
		return nil
	}
	action := ActionUpdate
	switch {
	case before.Active && !after.Active:
		if err := c.mayDeactivate(holder, before); err != nil {
			return err
		}
		action = ActionDisable
		c.effect(after, nil, Deactivated)
	case !before.Active && after.Active:
		action = ActionEnable
		c.effect(after, nil, Reactivated)
	}
	if err := c.putAccess(after, before.Active); err != nil {
		return err
	}
	if action == ActionDisable {
		c.ended = true
		if err := c.endSessionsOfNobody(holder); err != nil {
			return err
		}
	}
	return c.tellAccess(action, "access.set", holder, after, changes)
}

// mayDeactivate keeps an environment its last administrator, and a protected account what it has, but for an
// operator, who decides otherwise.
func (c *change) mayDeactivate(holder *Account, a *Access) error {
	if c.by.Role == RoleOperator {
		return nil
	}
	if holder.Protected {
		return failf(Forbidden, "active", "this account is protected: an operator alone may take its access")
	}
	if !a.Administrator {
		return nil
	}
	others, err := c.hasAdministrator(a.EnvironmentID, a.AccountID)
	if err == nil && !others {
		err = failf(Conflict, "active", "this is the last administrator of the environment: an operator has to name another one first")
	}
	return err
}

// endSessionsOfNobody ends the sessions of who has neither an active access nor a role (rule 8).
func (c *change) endSessionsOfNobody(a *Account) error {
	roles, err := c.Roles(a.ID)
	if err != nil || !roles.none() {
		return err
	}
	return c.endSessionsWithoutAccess(a)
}

func accessChanges(before, after *Access) (all []Change) {
	add := func(name string, old, new any) {
		o, n := encodeJSON(old), encodeJSON(new)
		if string(o) != string(n) {
			all = append(all, Change{Name: name, Old: o, New: n})
		}
	}
	add("name", before.Name, after.Name)
	add("email", before.Email, after.Email)
	add("language", before.Language, after.Language)
	add("locale", before.Locale, after.Locale)
	add("menus", slices.Concat([]string{}, before.Menus), slices.Concat([]string{}, after.Menus))
	add("active", before.Active, after.Active)
	return all
}

// tellAccess writes the log line, the event and the audit entry of an access that was set by hand.
func (c *change) tellAccess(action Action, act string, holder *Account, a *Access, changes []Change) error {
	target := holder.ID
	if !holder.UserID.IsZero() {
		target = holder.UserID
	}
	if err := c.log(LogEvent{TenantID: holder.TenantID, EnvironmentID: a.EnvironmentID, Action: action, TargetType: "User", TargetID: target.String(), TargetName: holder.UserName, Changes: changes}); err != nil {
		return err
	}
	e := OutboxEvent{Type: "access.updated", TenantID: holder.TenantID, UserID: holder.UserID, AccountID: holder.ID}
	if len(c.accesses) == 0 {
		e.Accesses = []AccessEffect{{EnvironmentID: a.EnvironmentID, AccountID: a.AccountID, UserID: holder.UserID, Effect: Updated}}
	}
	if err := c.publish(e); err != nil {
		return err
	}
	return c.audit(act, holder.ID.String(), map[string]any{"environment": a.EnvironmentID, "active": a.Active, "menus": a.Menus, "changes": changes})
}

// AccountInput is a change of an account. What is nil stays.
type AccountInput struct {
	Name, Email, Language, Locale *string

	// DefaultEnvironment is where the person lands; zero: it is chosen no more. Whoever sees the person and the environment may
	// choose, and for an external user too: the directory does not manage it. A choice that is elsewhere does not exist for the
	// actor: there is nothing to take back.
	DefaultEnvironment *ID
}

// choosesOnly reports whether nothing but the default environment is to change.
func (in *AccountInput) choosesOnly() bool {
	return in.DefaultEnvironment != nil && in.Name == nil && in.Email == nil && in.Language == nil && in.Locale == nil
}

// SetAccount changes what an internal user is called everywhere. Accesses keep their own. An operator alone may do it:
// who has the e-mail address can have the password set. The default environment is for whom AccountInput says. Errors: Forbidden;
// NotFound; Invalid; ReadOnly for an external user, naming the tenant; Exists when another internal user has the address; Conflict
// when the person has no active access to the default environment. With an error nothing changes.
func (s *Service) SetAccount(ctx context.Context, by Actor, id ID, in AccountInput) (a *Account, err error) {
	err = s.update(ctx, by, func(c *change) error {
		if a, err = c.SeeAccount(by, id); err != nil {
			return err
		}
		if in.DefaultEnvironment != nil {
			if err := c.chooseEnvironment(a, *in.DefaultEnvironment); err != nil {
				return err
			}
		}
		if in.choosesOnly() {
			return nil
		}
		return c.editAccount(a, in)
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (c *change) editAccount(a *Account, in AccountInput) error {
	if a.External() {
		return c.readOnly(nil, a)
	}
	if err := require(c.by, RoleOperator); err != nil {
		return err
	}
	before := *a
	x := Access{Name: a.Name, Email: a.Email, Language: a.Language, Locale: a.Locale}
	old := x
	if err := x.edit(AccessInput{Name: in.Name, Email: in.Email, Language: in.Language, Locale: in.Locale}); err != nil {
		return err
	}
	changes := accessChanges(&old, &x)
	if len(changes) == 0 {
		return nil
	}
	a.Name, a.Email, a.Language, a.Locale, a.Modified = x.Name, x.Email, x.Language, x.Locale, c.now
	if before.Email != a.Email {
		if err := c.inPersonFor(c.by, a.ID); err != nil {
			return err
		}
	}
	if err := c.moveEmail(&before, a); err != nil {
		return err
	}
	if err := c.put(row{tableAccounts, key(a.ID), a.encode()}); err != nil {
		return err
	}
	if err := c.log(LogEvent{Action: ActionUpdate, TargetType: "User", TargetID: a.ID.String(), TargetName: a.UserName, Changes: changes}); err != nil {
		return err
	}
	if err := c.publish(OutboxEvent{Type: "user.updated", AccountID: a.ID}); err != nil {
		return err
	}
	return c.audit("account.set", a.ID.String(), changes)
}

// moveEmail moves an internal account in the index by e-mail address. Its userName follows where it is the address. Links
// that were sent to the old address end.
func (c *change) moveEmail(before, after *Account) error {
	if before.Email == after.Email {
		return nil
	}
	if before.UserName == before.Email {
		after.UserName = after.Email
	}
	old, prefix := append([]byte(c.fold(before.Email)), 0), append([]byte(c.fold(after.Email)), 0)
	taken, err := keys(c.r, tableAccountEmail, Range{Prefix: prefix})
	if err != nil {
		return err
	}
	if slices.ContainsFunc(taken, func(id ID) bool { return id != after.ID }) {
		return failf(Exists, "email", "another internal user has this e-mail address")
	}
	if err := c.delete(row{table: tableAccountEmail, key: append(old, after.ID[:]...)}); err != nil {
		return err
	}
	if err := c.dropLinks(after.ID); err != nil {
		return err
	}
	return c.put(row{table: tableAccountEmail, key: append(prefix, after.ID[:]...)})
}
