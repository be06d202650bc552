package directory

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"
)

// Roles are what an account may do beyond its accesses. An environment administrator is one by an
// access (Access.Administrator).
type Roles struct {
	AccountID ID   `json:"accountId"`
	Operator  bool `json:"operator,omitempty"`
	PartnerOf []ID `json:"partnerOf,omitempty"` // organizations
}

func (r *Roles) none() bool { return !r.Operator && len(r.PartnerOf) == 0 }

// Login lets an internal account sign in here with a password.
type Login struct {
	AccountID ID        `json:"accountId"`
	Hash      string    `json:"hash"`               // of the password, argon2id in PHC form; its meaning is not known here
	TOTP      string    `json:"totp,omitempty"`     // sealed secret of a second factor; empty: none
	TOTPStep  int64     `json:"totpStep,omitempty"` // of the last code that was used
	Changed   time.Time `json:"changed"`            // the password
}

// LinkKind tells what a one-time link does.
type LinkKind string

// The kinds of link.
const (
	LinkSetup    LinkKind = "setup"    // makes the first operator
	LinkSignIn   LinkKind = "sign-in"  // signs an operator in without a password
	LinkPassword LinkKind = "password" // sets the password of an account
	LinkConnect  LinkKind = "connect"  // lets whoever has it connect the directory of a tenant (setup.go); good until it ends
)

// Link opens one thing, once. Its secret is never kept.
type Link struct {
	Kind      LinkKind  `json:"kind"`
	AccountID ID        `json:"accountId,omitzero"`
	TenantID  ID        `json:"tenantId,omitzero"` // of a setup link
	ID        ID        `json:"id,omitzero"`       // of a setup link: names it in the audit
	Created   time.Time `json:"created"`
	CreatedBy Actor     `json:"createdBy"`
	Expires   time.Time `json:"expires"`
}

// Roles returns the roles of an account; none when it has none.
func (s *Snapshot) Roles(account ID) (*Roles, error) {
	r, err := get(s.r, tableRoles, key(account), decodeJSON[Roles])
	if err == nil && r == nil {
		r = &Roles{AccountID: account}
	}
	return r, err
}

// AllRoles lists the accounts that have a role.
func (s *Snapshot) AllRoles() (all []*Roles, err error) {
	err = list(s.r, tableRoles, Range{}, jsonRow[Roles], func(r *Roles) bool { all = append(all, r); return true })
	return all, err
}

// Login returns the local login of an account; nil when it has none.
func (s *Snapshot) Login(account ID) (*Login, error) {
	return get(s.r, tableLogins, key(account), decodeJSON[Login])
}

// Logins lists the local logins of all accounts.
func (s *Snapshot) Logins() (all []*Login, err error) {
	err = list(s.r, tableLogins, Range{}, jsonRow[Login], func(l *Login) bool { all = append(all, l); return true })
	return all, err
}

// InternalAccount returns the internal account of an e-mail address; nil when there is none.
func (s *Snapshot) InternalAccount(email string) (*Account, error) {
	if !isKey(email) {
		return nil, nil //nolint:nilnil // no account has it
	}
	ids, err := keys(s.r, tableAccountEmail, Range{Prefix: append([]byte(s.fold(email)), 0)})
	if err != nil || len(ids) != 1 {
		return nil, err
	}
	return s.Account(ids[0])
}

// InternalAccounts lists the internal accounts whose e-mail address or userName is a text. It looks through all of them.
func (s *Snapshot) InternalAccounts(text string) (all []*Account, err error) {
	ids, err := keys(s.r, tableAccountEmail, Range{})
	if err != nil {
		return nil, err
	}
	text = s.fold(text)
	for _, id := range ids {
		a, err := s.Account(id)
		if err != nil {
			return nil, err
		}
		if s.fold(a.Email) == text || s.fold(a.UserName) == text {
			all = append(all, a)
		}
	}
	return all, nil
}

// Link returns a link that can still be used, by its SHA-256.
func (s *Snapshot) Link(hash [32]byte, kind LinkKind, now time.Time) (*Link, error) {
	l, err := get(s.r, tableLinks, hash[:], decodeJSON[Link])
	if err == nil && l != nil && (l.Kind != kind || !now.Before(l.Expires)) {
		l = nil
	}
	return found(l, err, "link")
}

// AccountLink returns the link of a kind to an account that can still be used; nil when there is none.
func (s *Snapshot) AccountLink(kind LinkKind, account ID, now time.Time) (l *Link, err error) {
	err = list(s.r, tableLinks, Range{}, jsonRow[Link], func(x *Link) bool {
		if x.Kind == kind && x.AccountID == account && now.Before(x.Expires) {
			l = x
		}
		return l == nil
	})
	return l, err
}

// HasLocalOperator reports whether somebody can sign in here as an operator, whatever the directories do.
func (s *Snapshot) HasLocalOperator() (bool, error) {
	n, err := s.localOperators(ID{})
	return n > 0, err
}

// localOperators counts the operators, but one, who have a login of their own.
func (s *Snapshot) localOperators(except ID) (n int, err error) {
	all, err := s.AllRoles()
	for _, r := range all {
		if !r.Operator || r.AccountID == except {
			continue
		}
		login, err := s.Login(r.AccountID)
		if err != nil {
			return 0, err
		}
		if login != nil {
			n++
		}
	}
	return n, err
}

// keepOperator refuses to take the login or the role of the last local operator.
func (c *change) keepOperator(account ID) error {
	has, err := c.HasLocalOperator()
	if err != nil || !has {
		return err
	}
	others, err := c.localOperators(account)
	if err == nil && others == 0 {
		err = failf(Conflict, "", "this is the last operator with a login of its own: make another one first")
	}
	return err
}

// CreateOperator makes an internal account that is an operator, or makes one of an internal account
// that has the e-mail address. It can sign in once it has a password (CreateLink).
// Errors: Forbidden; Invalid; Conflict when it is one already.
func (s *Service) CreateOperator(ctx context.Context, by Actor, email, name string) (a *Account, err error) {
	if err := require(by, RoleOperator); err != nil {
		return nil, err
	}
	if err := by.inPerson(); err != nil {
		return nil, err
	}
	err = s.update(ctx, by, func(c *change) error {
		a, err = c.operatorAccount(email, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (c *change) operatorAccount(email, name string) (*Account, error) {
	email = strings.TrimSpace(email)
	if err := checkEmail(email); err != nil {
		return nil, err
	}
	name, err := cleanNameOrNone("name", name)
	if err != nil {
		return nil, err
	}
	a, err := c.InternalAccount(email)
	if err != nil {
		return nil, err
	}
	if a == nil {
		if a, err = c.createAccount(email, email, name); err != nil {
			return nil, err
		}
	}
	roles, err := c.Roles(a.ID)
	if err != nil {
		return nil, err
	}
	if roles.Operator {
		return nil, failf(Conflict, "email", "%s is an operator already", email)
	}
	roles.Operator, a.Protected = true, true
	if err := c.put(row{tableAccounts, key(a.ID), a.encode()}); err != nil {
		return nil, err
	}
	if err := c.putRoles(roles); err != nil {
		return nil, err
	}
	return a, c.audit("operator.create", a.ID.String(), map[string]any{"email": email})
}

// SetupOperator makes the first local operator by a setup link, with a password, and spends the link.
// Errors: NotFound for the link; Conflict when there is an operator with a login already; Invalid.
func (s *Service) SetupOperator(ctx context.Context, by Actor, link [32]byte, email, name, password string) (a *Account, err error) {
	err = s.update(ctx, by, func(c *change) error {
		if _, err := c.useLink(link, LinkSetup); err != nil {
			return err
		}
		has, err := c.HasLocalOperator()
		if err != nil {
			return err
		}
		if has {
			return failf(Conflict, "", "the first operator has been made already: sign in, or ask for a link on the command line")
		}
		if a, err = c.InternalAccount(strings.TrimSpace(email)); err != nil {
			return err
		}
		if a != nil {
			roles, err := c.Roles(a.ID)
			if err != nil {
				return err
			}
			if roles.Operator { // made on the command line, without a password as yet
				return c.setPassword(a, password)
			}
		}
		if a, err = c.operatorAccount(email, name); err != nil {
			return err
		}
		return c.setPassword(a, password)
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// RoleInput is a change of an account's roles. What is nil stays.
type RoleInput struct {
	Operator *bool
	Partner  map[ID]bool // organization -> whether the account is a partner of it
}

// SetRoles changes the roles of an account. Its sessions end when a role goes, and the API tokens that it answers for and that
// need that role. Errors: Forbidden;
// NotFound for the account or an organization; Conflict for the last operator with a login, and for
// a role more of an external user whose object id is not known.
func (s *Service) SetRoles(ctx context.Context, by Actor, account ID, in RoleInput) (roles *Roles, err error) {
	if err := require(by, RoleOperator); err != nil {
		return nil, err
	}
	err = s.update(ctx, by, func(c *change) error {
		a, err := c.Account(account)
		if err != nil {
			return err
		}
		before, err := c.Roles(account)
		if err != nil {
			return err
		}
		after := Roles{account, before.Operator, slices.Clone(before.PartnerOf)}
		if in.Operator != nil {
			after.Operator = *in.Operator
		}
		given, lost := !before.Operator && after.Operator, before.Operator && !after.Operator
		if lost {
			if err := c.keepOperator(account); err != nil {
				return err
			}
		}
		for org, is := range in.Partner {
			if _, err := c.Organization(org); err != nil {
				return err
			}
			i := slices.Index(after.PartnerOf, org)
			switch {
			case is && i < 0:
				after.PartnerOf = append(after.PartnerOf, org)
				given = true
			case !is && i >= 0:
				after.PartnerOf = slices.Delete(after.PartnerOf, i, i+1)
				lost = true
			}
		}
		if given {
			if err := by.inPerson(); err != nil {
				return err
			}
			if err := c.mayHoldOffice(a); err != nil {
				return err
			}
		}
		slices.SortFunc(after.PartnerOf, compareIDs)
		roles = &after
		if before.Operator == after.Operator && slices.Equal(before.PartnerOf, after.PartnerOf) {
			return nil
		}
		if err := c.putRoles(&after); err != nil {
			return err
		}
		if lost {
			if err := c.dropLinks(account); err != nil {
				return err
			}
			if err := c.dropSetupLinks(account); err != nil {
				return err
			}
			if err := c.endSessions(a, EndedLogin); err != nil {
				return err
			}
			if err := c.dropAPITokens(&after); err != nil {
				return err
			}
		}
		return c.audit("account.roles", account.String(), map[string]any{"before": before, "after": after})
	})
	if err != nil {
		return nil, err
	}
	return roles, nil
}

// mayHoldOffice refuses a role or an administrator's office to an external user whose object id is
// not known: it would belong to a name, and go to whomever the directory says next has that name.
func (s *Snapshot) mayHoldOffice(a *Account) error {
	if !a.External() {
		return nil
	}
	var u User
	provisioned, err := s.UserResource(&u, a.TenantID, a.UserID)
	if err != nil || !u.ObjectID.IsZero() {
		return err
	}
	t, err := s.Tenant(a.TenantID)
	if err != nil {
		return err
	}
	if !provisioned {
		return failf(Conflict, "objectId", "the directory of %s does not provision this user any more: have it provision the user again, and then grant this", t.DisplayName())
	}
	return failf(Conflict, "objectId", "the directory of %s has not told the object id of this user, by which people sign in: map objectId to externalId in its provisioning, or let the pull find the person, and then grant this", t.DisplayName())
}

// dropOffices takes the roles of an account that may be another person's from now on, and the office of
// an administrator from each of its accesses: an operator decides anew.
func (c *change) dropOffices(account ID) error {
	if err := c.dropAdministrator(account); err != nil {
		return err
	}
	return c.dropRoles(account)
}

func (c *change) putRoles(r *Roles) error {
	if r.none() {
		return c.w.Delete(tableRoles, key(r.AccountID))
	}
	return c.put(row{tableRoles, key(r.AccountID), encodeJSON(r)})
}

// dropRoles takes the roles of an account whose person the directory has deleted or replaced: should
// somebody come back to the account, an operator decides anew.
func (c *change) dropRoles(account ID) error {
	roles, err := c.Roles(account)
	if err != nil || roles.none() {
		return err
	}
	if err := c.putRoles(&Roles{AccountID: account}); err != nil {
		return err
	}
	if err := c.dropSetupLinks(account); err != nil {
		return err
	}
	if err := c.dropAPITokens(&Roles{AccountID: account}); err != nil {
		return err
	}
	return c.audit("account.roles", account.String(), map[string]any{"before": roles, "after": Roles{AccountID: account}})
}

func compareIDs(a, b ID) int { return slices.Compare(a[:], b[:]) }

// CreateLink makes a one-time link; links of the same kind to the same account end. The secret stays
// with the caller. A setup link is of no account. Errors: Forbidden; Invalid; NotFound for the account;
// ReadOnly for an external user; Conflict for an account that the link could not serve.
func (s *Service) CreateLink(ctx context.Context, by Actor, kind LinkKind, account ID, hash [32]byte, life time.Duration) (*Link, error) {
	if err := require(by, RoleOperator, RoleSystem); err != nil {
		return nil, err
	}
	if life <= 0 || life > 24*time.Hour {
		return nil, failf(Invalid, "life", "a link lives for at most a day")
	}
	var l *Link
	err := s.update(ctx, by, func(c *change) error {
		if err := c.mayLink(kind, account); err != nil {
			return err
		}
		if err := c.inPersonFor(by, account); err != nil {
			return err
		}
		err := c.purgeLinks(func(old *Link) bool { return old.Kind == kind && old.AccountID == account })
		if err != nil {
			return err
		}
		now := c.s.clock.now()
		l = &Link{Kind: kind, AccountID: account, Created: now, CreatedBy: by, Expires: now.Add(life)}
		if err := c.insert(tableLinks, hash[:], encodeJSON(l), failf(Conflict, "", "there is such a link already")); err != nil {
			return err
		}
		return c.audit("link.create", account.String(), map[string]any{"kind": kind, "expires": l.Expires})
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// mayLink says why a link could not serve an account, both when it is made and when it is used.
func (c *change) mayLink(kind LinkKind, account ID) error {
	switch kind {
	case LinkSetup:
		if !account.IsZero() {
			return failf(Invalid, "account", "a setup link is of no account")
		}
		has, err := c.HasLocalOperator()
		if err == nil && has {
			err = failf(Conflict, "", "there is an operator already: ask for a sign-in link")
		}
		return err
	case LinkSignIn, LinkPassword:
	default:
		return failf(Invalid, "kind", "there is no link of the kind %q", kind)
	}
	a, err := c.Account(account)
	if err != nil {
		return err
	}
	if a.External() {
		return c.managed(a)
	}
	roles, err := c.Roles(account)
	if err != nil {
		return err
	}
	if kind == LinkSignIn && roles.none() {
		return failf(Conflict, "", "a sign-in link is for an operator or a partner")
	}
	if login, err := c.Login(account); err != nil || login == nil && roles.none() {
		if err == nil {
			err = failf(Conflict, "", "this account does not sign in here with a password")
		}
		return err
	}
	return nil
}

// managed is the error of everything that would give an external user a password.
func (s *Snapshot) managed(a *Account) error {
	t, err := s.Tenant(a.TenantID)
	if err != nil {
		return err
	}
	return failf(ReadOnly, "password", "the password of this user is managed in the directory of %s: it is changed there", t.DisplayName())
}

// purgeLinks removes the links that which selects.
func (c *change) purgeLinks(which func(*Link) bool) error {
	return c.purgeTable(tableLinks, math.MaxInt, func(value []byte) (bool, error) {
		l, err := decodeJSON[Link](value)
		return err == nil && which(l), err
	})
}

// dropLinks ends the links to an account: what was taken from it must not come back by one of them.
func (c *change) dropLinks(account ID) error {
	return c.purgeLinks(func(l *Link) bool { return l.AccountID == account })
}

// dropLogin takes the password of an account, and the links that could set one.
func (c *change) dropLogin(account ID) error {
	if err := c.w.Delete(tableLogins, key(account)); err != nil {
		return err
	}
	return c.dropLinks(account)
}

// useLink spends a link.
func (c *change) useLink(hash [32]byte, kind LinkKind) (*Link, error) {
	l, err := c.Link(hash, kind, c.s.clock.now())
	if err != nil {
		return nil, err
	}
	if err := c.w.Delete(tableLinks, hash[:]); err != nil {
		return nil, err
	}
	return l, c.audit("link.use", l.AccountID.String(), map[string]any{"kind": kind})
}

// SignInByLink spends a sign-in link and signs its account in. Errors: NotFound for the link; ReadOnly
// and Conflict when the account is not what it was when the link was made.
func (s *Service) SignInByLink(ctx context.Context, by Actor, link [32]byte, in SessionInput) (session *Session, err error) {
	err = s.update(ctx, by, func(c *change) error {
		l, err := c.useLink(link, LinkSignIn)
		if err != nil {
			return err
		}
		if err := c.mayLink(l.Kind, l.AccountID); err != nil {
			return err
		}
		in.AccountID, in.Method = l.AccountID, MethodLink
		c.by.ID = l.AccountID.String()
		session, err = c.createSession(in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return session, nil
}

// SetPassword sets the password of an internal account; password is its hash. Its sessions end, and the
// links to it. Who it belongs to may do it, and an operator. Errors: Forbidden; NotFound; ReadOnly for
// an external user; Conflict for an account that does not sign in here.
func (s *Service) SetPassword(ctx context.Context, by Actor, account ID, password string) error {
	if by.ID != account.String() {
		if err := require(by, RoleOperator); err != nil {
			return err
		}
	}
	return s.update(ctx, by, func(c *change) error {
		if err := c.mayLink(LinkPassword, account); err != nil {
			return err
		}
		a, err := c.Account(account)
		if err != nil {
			return err
		}
		return c.setPassword(a, password)
	})
}

// ResetPassword spends a password link and sets the password of its account. A second factor stays.
// Errors: NotFound for the link; ReadOnly and Conflict when the account is not what it was when the
// link was made.
func (s *Service) ResetPassword(ctx context.Context, by Actor, link [32]byte, password string) (a *Account, err error) {
	err = s.update(ctx, by, func(c *change) error {
		l, err := c.useLink(link, LinkPassword)
		if err != nil {
			return err
		}
		if err := c.mayLink(l.Kind, l.AccountID); err != nil {
			return err
		}
		if a, err = c.Account(l.AccountID); err != nil {
			return err
		}
		c.by.ID = a.ID.String()
		return c.setPassword(a, password)
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (c *change) setPassword(a *Account, password string) error {
	if password == "" {
		return failf(Invalid, "password", "a password is required")
	}
	login, err := c.Login(a.ID)
	if err != nil {
		return err
	}
	if login == nil {
		login = &Login{AccountID: a.ID}
	}
	login.Hash, login.Changed = password, c.now
	if err := c.put(row{tableLogins, key(a.ID), encodeJSON(login)}); err != nil {
		return err
	}
	if err := c.dropLinks(a.ID); err != nil {
		return err
	}
	if err := c.endSessions(a, EndedPassword); err != nil {
		return err
	}
	return c.audit("account.password", a.ID.String(), nil)
}

// RemoveLogin takes the password of an account: it cannot sign in here any more, and its sessions end.
// Errors: Forbidden; NotFound; Conflict for the last operator with a login.
func (s *Service) RemoveLogin(ctx context.Context, by Actor, account ID) error {
	if err := require(by, RoleOperator); err != nil {
		return err
	}
	return s.update(ctx, by, func(c *change) error {
		a, err := c.Account(account)
		if err != nil {
			return err
		}
		login, err := c.Login(account)
		if login, err = found(login, err, "login"); err != nil {
			return err
		}
		roles, err := c.Roles(account)
		if err != nil {
			return err
		}
		if roles.Operator {
			if err := c.keepOperator(account); err != nil {
				return err
			}
		}
		if err := c.dropLogin(login.AccountID); err != nil {
			return err
		}
		if err := c.endSessions(a, EndedLogin); err != nil {
			return err
		}
		return c.audit("account.login.remove", account.String(), nil)
	})
}

// SetTOTP sets the second factor of a login (sealed; empty: none any more), with the step of the code
// that proved it. Who it belongs to may do it, and an operator may take it away. Errors: Forbidden;
// NotFound.
func (s *Service) SetTOTP(ctx context.Context, by Actor, account ID, sealed string, step int64) error {
	if by.ID != account.String() && (by.Role != RoleOperator || sealed != "") {
		return failf(Forbidden, "", "a second factor is set by whom it belongs to")
	}
	return s.update(ctx, by, func(c *change) error {
		login, err := c.Login(account)
		if login, err = found(login, err, "login"); err != nil {
			return err
		}
		if login.TOTP == sealed {
			return nil
		}
		if err := c.inPersonFor(by, account); err != nil {
			return err
		}
		login.TOTP, login.TOTPStep = sealed, step
		if err := c.put(row{tableLogins, key(account), encodeJSON(login)}); err != nil {
			return err
		}
		action := "account.totp.set"
		if sealed == "" {
			action = "account.totp.remove"
		}
		return c.audit(action, account.String(), nil)
	})
}

// UseTOTP spends the step of a code: none before or at it counts any more. Errors: Unauthorized when
// it was spent.
func (s *Service) UseTOTP(ctx context.Context, by Actor, account ID, step int64) error {
	return s.update(ctx, by, func(c *change) error {
		login, err := c.Login(account)
		if login, err = found(login, err, "login"); err != nil {
			return err
		}
		if step <= login.TOTPStep {
			return failf(Unauthorized, "code", "this code has been used: wait for the next one")
		}
		login.TOTPStep = step
		return c.put(row{tableLogins, key(account), encodeJSON(login)})
	})
}

// ResealTOTP seals every second factor again: fn gets the sealed text of an account and returns the new
// one. All of them change, or none. It returns how many there were to change.
func (s *Service) ResealTOTP(ctx context.Context, by Actor, fn func(account ID, sealed string) (string, error)) (n int, err error) {
	if err := require(by, RoleOperator); err != nil {
		return 0, err
	}
	err = s.update(ctx, by, func(c *change) error {
		n = 0
		all, err := c.Logins()
		if err != nil {
			return err
		}
		for _, l := range all {
			if l.TOTP == "" {
				continue
			}
			sealed, err := fn(l.AccountID, l.TOTP)
			switch {
			case err != nil:
				return err
			case sealed == "":
				return failf(Internal, "", "the second factor of an account would be lost")
			case sealed == l.TOTP:
				continue
			}
			l.TOTP = sealed
			n++
			if err := c.put(row{tableLogins, key(l.AccountID), encodeJSON(l)}); err != nil {
				return err
			}
		}
		if n == 0 {
			return nil
		}
		return c.audit("account.totp.reseal", "all", map[string]int{"logins": n})
	})
	return n, err
}
