package desk

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// Colleague is an account that has a role beyond its accesses.
type Colleague struct {
	ID           directory.ID `json:"id"`
	UserName     string       `json:"userName"`
	Name         string       `json:"name"`
	Email        string       `json:"email"`
	Tenant       *Named       `json:"tenant,omitempty" doc:"Whose directory the person signs in with; absent: the person signs in here"`
	Operator     bool         `json:"operator"`
	PartnerOf    []Named      `json:"partnerOf" nullable:"false" doc:"Organizations"`
	Password     bool         `json:"password" doc:"Whether the person has a password here"`
	SecondFactor bool         `json:"secondFactor" doc:"Whether the person has a second factor here"`
	Last         bool         `json:"last" doc:"The last operator who can sign in here, whatever the directories do: the role stays"`
	Invited      *time.Time   `json:"invited,omitempty" doc:"When a link to set a password ends that was not used yet"`
	Seen         *time.Time   `json:"seen,omitempty" doc:"Last activity, as far as sessions of the last hours tell"`
}

// How long a link lives that somebody hands to a person.
const (
	PasswordLinkLife = 24 * time.Hour
	SignInLinkLife   = 10 * time.Minute
)

// NewLink is a one-time link, shown here and never again.
type NewLink struct {
	Account Named     `json:"account"`
	Kind    string    `json:"kind" enum:"password,sign-in"`
	URL     string    `json:"url" doc:"Opens once"`
	Expires time.Time `json:"expires"`
}

// ColleagueChange changes roles. What is absent stays.
type ColleagueChange struct {
	Operator  *bool           `json:"operator,omitempty"`
	PartnerOf *[]directory.ID `json:"partnerOf,omitempty" maxItems:"1000" doc:"All organizations that the account shall be a partner of"`
}

// NewColleague names somebody who shall have a role.
type NewColleague struct {
	Who       string        `json:"who" minLength:"1" maxLength:"320" doc:"E-mail address, userName or id of an account that is there"`
	Operator  bool          `json:"operator,omitempty"`
	PartnerOf *directory.ID `json:"partnerOf,omitempty" doc:"An organization"`
}

// Invitation describes a new local operator.
type Invitation struct {
	Email string `json:"email" format:"email" maxLength:"320"`
	Name  string `json:"name,omitempty" maxLength:"256"`
}

// Colleagues lists who has a role: operators first, then by name. Errors: Forbidden for who is no operator.
func (d *Desk) Colleagues(ctx context.Context, by directory.Actor) (List[Colleague], error) {
	if err := operators(by); err != nil {
		return List[Colleague]{}, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (List[Colleague], error) {
		roles, err := sn.AllRoles()
		out := List[Colleague]{Items: []Colleague{}, Total: int64(len(roles))}
		for _, r := range roles {
			c, err := d.colleague(sn, r.AccountID)
			if err != nil {
				return out, err
			}
			out.Items = append(out.Items, c)
		}
		slices.SortStableFunc(out.Items, func(a, b Colleague) int {
			if a.Operator != b.Operator {
				return cmp.Compare(rankOf(a), rankOf(b))
			}
			return cmp.Compare(strings.ToLower(cmp.Or(a.Name, a.UserName)), strings.ToLower(cmp.Or(b.Name, b.UserName)))
		})
		return out, err
	})
}

func rankOf(c Colleague) int {
	if c.Operator {
		return 0
	}
	return 1
}

// Colleague shows an account with its roles; it may have none. Errors: Forbidden for who is no operator; NotFound.
func (d *Desk) Colleague(ctx context.Context, by directory.Actor, account directory.ID) (Colleague, error) {
	if err := operators(by); err != nil {
		return Colleague{}, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (Colleague, error) { return d.colleague(sn, account) })
}

func (d *Desk) colleague(sn *directory.Snapshot, account directory.ID) (c Colleague, err error) {
	a, err := sn.Account(account)
	if err != nil {
		return c, err
	}
	c = Colleague{ID: a.ID, UserName: a.UserName, Name: a.Name, Email: a.Email, PartnerOf: []Named{}}
	if a.External() {
		t, err := sn.Tenant(a.TenantID)
		if err != nil {
			return c, err
		}
		c.Tenant = &Named{t.ID, t.DisplayName()}
	}
	roles, err := sn.Roles(account)
	if err != nil {
		return c, err
	}
	c.Operator = roles.Operator
	for _, id := range roles.PartnerOf {
		o, err := sn.Organization(id)
		if err != nil {
			return c, err
		}
		c.PartnerOf = append(c.PartnerOf, Named{o.ID, o.Name})
	}
	if err := d.signsIn(sn, &c); err != nil {
		return c, err
	}
	c.Seen, err = seen(sn, account)
	return c, err
}

// signsIn tells how somebody signs in here.
func (d *Desk) signsIn(sn *directory.Snapshot, c *Colleague) error {
	login, err := sn.Login(c.ID)
	if err != nil {
		return err
	}
	c.Password, c.SecondFactor = login != nil, login != nil && login.TOTP != ""
	if c.Operator && c.Password {
		if c.Last, err = lastOperator(sn, c.ID); err != nil {
			return err
		}
	}
	if c.Tenant != nil {
		return nil
	}
	link, err := sn.AccountLink(directory.LinkPassword, c.ID, d.Service.SessionNow())
	if link != nil {
		c.Invited = &link.Expires
	}
	return err
}

// lastOperator reports whether no other operator can sign in here.
func lastOperator(sn *directory.Snapshot, account directory.ID) (bool, error) {
	roles, err := sn.AllRoles()
	for _, r := range roles {
		if !r.Operator || r.AccountID == account {
			continue
		}
		login, err := sn.Login(r.AccountID)
		if err != nil || login != nil {
			return false, err
		}
	}
	return err == nil, err
}

func seen(sn *directory.Snapshot, account directory.ID) (*time.Time, error) {
	sessions, err := sn.Sessions(account)
	var last time.Time
	for _, s := range sessions {
		for _, t := range []time.Time{s.Created, s.Seen} {
			if t.After(last) {
				last = t
			}
		}
	}
	return orNil(last), err
}

// Promote gives a role to an account that is there. Errors: Forbidden for who is no operator; Invalid for the fields
// who, role and partnerOf; NotFound for the organization; Conflict for an external user whose object id is not known.
func (d *Desk) Promote(ctx context.Context, by directory.Actor, in NewColleague) (Colleague, error) {
	if err := operators(by); err != nil {
		return Colleague{}, err
	}
	if !in.Operator && in.PartnerOf == nil {
		return Colleague{}, fail(directory.Invalid, "role", "name a role: operator, or the organization that the person is a partner of")
	}
	a, err := view(ctx, d, func(sn *directory.Snapshot) (*directory.Account, error) {
		return findAccount(sn, strings.TrimSpace(in.Who))
	})
	if err != nil {
		return Colleague{}, err
	}
	var change directory.RoleInput
	if in.Operator {
		change.Operator = &in.Operator
	}
	if in.PartnerOf != nil {
		change.Partner = map[directory.ID]bool{*in.PartnerOf: true}
	}
	return d.setRoles(ctx, by, a.ID, change)
}

// findAccount finds who is meant by an id, an e-mail address or a userName: an internal user before whomever a directory
// calls the same. More than one is an error that names the directories.
func findAccount(sn *directory.Snapshot, who string) (*directory.Account, error) {
	if id, ok := directory.ParseID(who); ok {
		a, err := sn.Account(id)
		if directory.KindOf(err) == directory.NotFound {
			return nil, nobody(who)
		}
		return a, err
	}
	found, err := sn.InternalAccounts(who)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, a := range found {
		names = append(names, a.Email+" ("+a.ID.String()+")")
	}
	if len(found) == 0 {
		tenants, err := sn.Tenants()
		if err != nil {
			return nil, err
		}
		for _, t := range tenants {
			accounts, err := accountsIn(sn, t.ID, who)
			if err != nil {
				return nil, err
			}
			for _, a := range accounts {
				found, names = append(found, a), append(names, a.UserName+" of "+t.DisplayName()+" ("+a.ID.String()+")")
			}
		}
	}
	switch len(found) {
	case 0:
		return nil, nobody(who)
	case 1:
		return found[0], nil
	}
	return nil, fail(directory.Invalid, "who", "%s is more than one person; name one by its id: %s", who, strings.Join(names, ", "))
}

func nobody(who string) error {
	return fail(directory.Invalid, "who", "nobody here has the e-mail address, userName or id %q", who)
}

// accountsIn lists whom a tenant knows by a userName or an e-mail address.
func accountsIn(sn *directory.Snapshot, tenant directory.ID, who string) (all []*directory.Account, err error) {
	ids, err := sn.UsersByEmail(tenant, who)
	if err != nil {
		return nil, err
	}
	byName, err := sn.UserByName(tenant, who)
	if err != nil {
		return nil, err
	}
	if !byName.IsZero() && !slices.Contains(ids, byName) {
		ids = append(ids, byName)
	}
	for _, id := range ids {
		u, err := sn.User(tenant, id)
		if err != nil {
			return nil, err
		}
		a, err := sn.Account(u.AccountID)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

// SetColleague changes the roles of an account. The person's sessions end when a role goes. Errors: Forbidden
// for who is no operator; NotFound; Conflict for the last operator who can sign in here, and for an external user whose
// object id is not known.
func (d *Desk) SetColleague(ctx context.Context, by directory.Actor, account directory.ID, in ColleagueChange) (Colleague, error) {
	if err := operators(by); err != nil {
		return Colleague{}, err
	}
	change := directory.RoleInput{Operator: in.Operator}
	if in.PartnerOf != nil {
		before, err := view(ctx, d, func(sn *directory.Snapshot) (*directory.Roles, error) { return sn.Roles(account) })
		if err != nil {
			return Colleague{}, err
		}
		change.Partner = map[directory.ID]bool{}
		for _, id := range before.PartnerOf {
			change.Partner[id] = false
		}
		for _, id := range *in.PartnerOf {
			change.Partner[id] = true
		}
	}
	return d.setRoles(ctx, by, account, change)
}

// setRoles changes roles, and takes a password that no role needs any more.
func (d *Desk) setRoles(ctx context.Context, by directory.Actor, account directory.ID, change directory.RoleInput) (Colleague, error) {
	before, err := view(ctx, d, func(sn *directory.Snapshot) (*directory.Roles, error) { return sn.Roles(account) })
	if err != nil {
		return Colleague{}, err
	}
	after, err := d.Service.SetRoles(ctx, by, account, change)
	if err != nil {
		return Colleague{}, err
	}
	c, err := d.Colleague(ctx, by, account)
	had, has := before.Operator || len(before.PartnerOf) > 0, after.Operator || len(after.PartnerOf) > 0
	if err != nil || !had || has || !c.Password {
		return c, err
	}
	if err := d.Service.RemoveLogin(ctx, by, account); err != nil {
		return c, err
	}
	return d.Colleague(ctx, by, account)
}

// InviteOperator makes a local operator, who sets a password by the link. Errors: Forbidden for who is no operator; Invalid
// for email and name; Conflict when the person is an operator already.
func (d *Desk) InviteOperator(ctx context.Context, by directory.Actor, in Invitation) (NewLink, error) {
	a, err := d.Service.CreateOperator(ctx, by, in.Email, strings.TrimSpace(in.Name))
	if err != nil {
		return NewLink{}, err
	}
	return d.PasswordLink(ctx, by, a.ID)
}

// PasswordLink makes a link with which somebody sets a new password; links that were made before end. Errors:
// Forbidden for who is no operator; NotFound; ReadOnly for an external user; Conflict for who does not sign in here.
func (d *Desk) PasswordLink(ctx context.Context, by directory.Actor, account directory.ID) (NewLink, error) {
	return d.newLink(ctx, by, directory.LinkPassword, account, PasswordLinkLife)
}

// SignInLink makes a link that signs an operator or a partner in, without a second factor. Errors: as of PasswordLink.
func (d *Desk) SignInLink(ctx context.Context, by directory.Actor, account directory.ID) (NewLink, error) {
	return d.newLink(ctx, by, directory.LinkSignIn, account, SignInLinkLife)
}

func (d *Desk) newLink(ctx context.Context, by directory.Actor, kind directory.LinkKind, account directory.ID, life time.Duration) (NewLink, error) {
	if err := operators(by); err != nil {
		return NewLink{}, err
	}
	url, expires, err := d.Link(ctx, by, kind, account, life)
	if err != nil {
		return NewLink{}, err
	}
	c, err := d.Colleague(ctx, by, account)
	return NewLink{Named{account, cmp.Or(c.Name, c.UserName)}, string(kind), url, expires}, err
}

// RemoveSecondFactor takes the second factor of somebody who has lost it. Errors: Forbidden for who is no operator;
// NotFound; Conflict when there is none.
func (d *Desk) RemoveSecondFactor(ctx context.Context, by directory.Actor, account directory.ID) (Colleague, error) {
	c, err := d.Colleague(ctx, by, account)
	if err != nil {
		return c, err
	}
	if !c.SecondFactor {
		return c, fail(directory.Conflict, "secondFactor", "%s has no second factor here", cmp.Or(c.Name, c.UserName))
	}
	if err := d.Service.SetTOTP(ctx, by, account, "", 0); err != nil {
		return c, err
	}
	return d.Colleague(ctx, by, account)
}
