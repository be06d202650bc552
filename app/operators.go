package app

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// The operations on local operators, roles and the keys of assertions.
var (
	OperatorCreate        = Operation[OperatorInput, NewLink]{"operator.create"}
	OperatorList          = Operation[None, List[Operator]]{"operator.list"}
	OperatorRemove        = Operation[OperatorRef, Operator]{"operator.remove"}
	OperatorLoginLink     = Operation[OperatorRef, NewLink]{"operator.login-link"}
	OperatorSetupLink     = Operation[None, NewLink]{"operator.setup-link"}
	OperatorResetPassword = Operation[OperatorRef, NewLink]{"operator.reset-password"}
	OperatorTOTPRemove    = Operation[OperatorRef, Operator]{"operator.totp-remove"}

	RoleShow = Operation[UserRef, Roles]{"role.show"}
	RoleSet  = Operation[RoleChange, Roles]{"role.set"}

	KeysRotate = Operation[None, NewKey]{"keys.rotate"}
)

// OperatorInput describes a new operator.
type OperatorInput struct {
	Email string `json:"email"`
	Name  string `json:"name,omitempty"`
}

// OperatorRef names an account that signs in here, by e-mail address, userName or id. For a login link it
// may be empty: the only operator who signs in here.
type OperatorRef struct {
	Email string `json:"email,omitempty"`
}

// Operator is an account that is an operator, or was until now.
type Operator struct {
	Account   Named  `json:"account"` // id and userName
	Name      string `json:"name"`
	Email     string `json:"email"`
	Tenant    *Named `json:"tenant,omitempty"` // whose directory it signs in with; none: it signs in here
	Operator  bool   `json:"operator"`
	Password  bool   `json:"password"`     // it has one
	TOTP      bool   `json:"secondFactor"` // it has one
	Protected bool   `json:"protected"`    // no directory may touch it
}

// NewLink is a one-time link, which is shown here and never again.
type NewLink struct {
	URL     string    `json:"url"`
	Kind    string    `json:"kind"`              // setup, sign-in, password
	Account *Named    `json:"account,omitempty"` // id and userName; none: of setup
	Expires time.Time `json:"expires"`
}

// Roles are what an account may do beyond its accesses.
type Roles struct {
	Account       Named   `json:"account"` // id and userName
	Operator      bool    `json:"operator"`
	PartnerOf     []Named `json:"partnerOf"`     // organizations
	Administrator []Named `json:"administrator"` // of these environments, while the access is active
	SignsIn       bool    `json:"signsIn"`       // with a directory, or with a password of its own
}

// RoleChange grants or revokes a role.
type RoleChange struct {
	UserRef
	Role         string `json:"role"`                   // operator, partner
	Organization string `json:"organization,omitempty"` // Ref; of partner
	Grant        bool   `json:"grant"`                  // false: revoke
}

// NewKey is a key that signs assertions from now on.
type NewKey struct {
	ID   string    `json:"id"`   // kid
	From time.Time `json:"from"` // signs from then on
}

// keyRotator replaces the key that signs assertions.
type keyRotator interface {
	Rotate(ctx context.Context, by directory.Actor) (id string, err error)
}

func (a *admin) createOperator(ctx context.Context, by directory.Actor, in OperatorInput) (NewLink, error) {
	account, err := a.service.CreateOperator(ctx, by, in.Email, in.Name)
	if err != nil {
		return NewLink{}, err
	}
	return a.newLink(ctx, by, directory.LinkPassword, account, desk.PasswordLinkLife)
}

// newLink makes a link to an account; nil: of setup.
func (a *admin) newLink(ctx context.Context, by directory.Actor, kind directory.LinkKind, account *directory.Account, life time.Duration) (NewLink, error) {
	var id directory.ID
	var name *Named
	if account != nil {
		id, name = account.ID, &Named{account.ID.String(), account.UserName}
	}
	secret, link, err := a.local.NewLink(ctx, by, kind, id, life)
	if err != nil {
		return NewLink{}, err
	}
	return NewLink{URL: a.url() + auth.LinkPath(kind, secret), Kind: string(kind), Account: name, Expires: link.Expires}, nil
}

func (a *admin) listOperators(ctx context.Context, _ directory.Actor, _ None) (List[Operator], error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (List[Operator], error) {
		all, err := operatorAccounts(sn)
		if err != nil {
			return List[Operator]{}, err
		}
		n := newNames(sn)
		return collect(all, func(account *directory.Account) (Operator, error) { return viewOperator(n, account) })
	})
}

// operatorAccounts lists the accounts that are operators, by userName.
func operatorAccounts(sn *directory.Snapshot) (all []*directory.Account, err error) {
	roles, err := sn.AllRoles()
	if err != nil {
		return nil, err
	}
	for _, r := range roles {
		if !r.Operator {
			continue
		}
		account, err := sn.Account(r.AccountID)
		if err != nil {
			return nil, err
		}
		all = append(all, account)
	}
	slices.SortFunc(all, func(a, b *directory.Account) int { return cmp.Compare(a.UserName, b.UserName) })
	return all, nil
}

func viewOperator(n *names, account *directory.Account) (Operator, error) {
	out := Operator{Account: Named{account.ID.String(), account.UserName}, Name: account.Name, Email: account.Email, Protected: account.Protected}
	if account.External() {
		t := n.tenant(account.TenantID)
		out.Tenant = &t
	}
	roles, err := n.sn.Roles(account.ID)
	if err != nil {
		return out, err
	}
	out.Operator = roles.Operator
	login, err := n.sn.Login(account.ID)
	if login != nil {
		out.Password, out.TOTP = true, login.TOTP != ""
	}
	return out, err
}

// findOperator finds who signs in here.
func findOperator(sn *directory.Snapshot, ref string) (*directory.Account, error) {
	if ref == "" {
		return nil, fail(directory.Invalid, "email", "name the operator by e-mail address; see: bizzscim operator list")
	}
	return findAccount(sn, nil, strings.TrimSpace(ref))
}

// findOperatorOrOnly takes the only operator who signs in here when ref is empty.
func findOperatorOrOnly(sn *directory.Snapshot, ref string) (*directory.Account, error) {
	if ref != "" {
		return findOperator(sn, ref)
	}
	all, err := operatorAccounts(sn)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(a *directory.Account) bool { return a.External() })
	switch len(all) {
	case 0:
		return nil, fail(directory.NotFound, "email", "there is no operator yet; make the first one with: bizzscim operator setup-link")
	case 1:
		return all[0], nil
	}
	var choices []string
	for _, a := range all {
		choices = append(choices, a.Email)
	}
	return nil, fail(directory.Invalid, "email", "say which operator: %s", strings.Join(choices, ", "))
}

func (a *admin) operator(ctx context.Context, ref string, find func(*directory.Snapshot, string) (*directory.Account, error)) (*directory.Account, error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (*directory.Account, error) { return find(sn, ref) })
}

// removeOperator takes the role, and the password unless another role still needs it. What it answers is
// what is left.
func (a *admin) removeOperator(ctx context.Context, by directory.Actor, in OperatorRef) (Operator, error) {
	account, err := a.operator(ctx, in.Email, findOperator)
	if err != nil {
		return Operator{}, err
	}
	before, err := a.viewOperator(ctx, account.ID)
	if err != nil {
		return before, err
	}
	if !before.Operator && !before.Password {
		return before, fail(directory.NotFound, "email", "%s is no operator; see: bizzscim operator list", in.Email)
	}
	roles, err := a.service.SetRoles(ctx, by, account.ID, directory.RoleInput{Operator: new(false)})
	if err != nil {
		return before, err
	}
	if before.Password && len(roles.PartnerOf) == 0 {
		if err := a.service.RemoveLogin(ctx, by, account.ID); err != nil {
			return before, err
		}
	}
	return a.viewOperator(ctx, account.ID)
}

func (a *admin) viewOperator(ctx context.Context, id directory.ID) (Operator, error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (Operator, error) {
		account, err := sn.Account(id)
		if err != nil {
			return Operator{}, err
		}
		return viewOperator(newNames(sn), account)
	})
}

func (a *admin) loginLink(ctx context.Context, by directory.Actor, in OperatorRef) (NewLink, error) {
	account, err := a.operator(ctx, in.Email, findOperatorOrOnly)
	if err != nil {
		return NewLink{}, err
	}
	return a.newLink(ctx, by, directory.LinkSignIn, account, desk.SignInLinkLife)
}

func (a *admin) setupLink(ctx context.Context, by directory.Actor, _ None) (NewLink, error) {
	return a.newLink(ctx, by, directory.LinkSetup, nil, desk.PasswordLinkLife)
}

func (a *admin) resetOperatorPassword(ctx context.Context, by directory.Actor, in OperatorRef) (NewLink, error) {
	account, err := a.operator(ctx, in.Email, findOperator)
	if err != nil {
		return NewLink{}, err
	}
	return a.newLink(ctx, by, directory.LinkPassword, account, desk.PasswordLinkLife)
}

func (a *admin) removeTOTP(ctx context.Context, by directory.Actor, in OperatorRef) (Operator, error) {
	account, err := a.operator(ctx, in.Email, findOperator)
	if err != nil {
		return Operator{}, err
	}
	before, err := a.viewOperator(ctx, account.ID)
	if err != nil {
		return before, err
	}
	if !before.TOTP {
		return before, fail(directory.NotFound, "email", "%s has no second factor", account.Email)
	}
	if err := a.service.SetTOTP(ctx, by, account.ID, "", 0); err != nil {
		return before, err
	}
	return a.viewOperator(ctx, account.ID)
}

// Roles.

func (a *admin) showRoles(ctx context.Context, _ directory.Actor, in UserRef) (Roles, error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (Roles, error) {
		account, err := in.find(sn)
		if err != nil {
			return Roles{}, err
		}
		return viewRoles(newNames(sn), account)
	})
}

func viewRoles(n *names, account *directory.Account) (Roles, error) {
	out := Roles{Account: Named{account.ID.String(), account.UserName}, PartnerOf: []Named{}, Administrator: []Named{}, SignsIn: account.External()}
	roles, err := n.sn.Roles(account.ID)
	if err != nil {
		return out, err
	}
	out.Operator = roles.Operator
	for _, id := range roles.PartnerOf {
		out.PartnerOf = append(out.PartnerOf, n.organization(id))
	}
	accesses, err := n.sn.Accesses(account.ID)
	if err != nil {
		return out, err
	}
	for _, x := range accesses {
		if x.Active && x.Administrator {
			out.Administrator = append(out.Administrator, n.environment(x.EnvironmentID))
		}
	}
	login, err := n.sn.Login(account.ID)
	out.SignsIn = out.SignsIn || login != nil
	return out, err
}

func (a *admin) setRole(ctx context.Context, by directory.Actor, in RoleChange) (Roles, error) {
	var change directory.RoleInput
	account, err := view(ctx, a.service, func(sn *directory.Snapshot) (*directory.Account, error) {
		account, err := in.find(sn)
		if err != nil {
			return nil, err
		}
		change, err = in.read(sn)
		return account, err
	})
	if err != nil {
		return Roles{}, err
	}
	if _, err := a.service.SetRoles(ctx, by, account.ID, change); err != nil {
		return Roles{}, err
	}
	return a.showRoles(ctx, by, UserRef{Ref: account.ID.String()})
}

func (in *RoleChange) read(sn *directory.Snapshot) (out directory.RoleInput, err error) {
	switch in.Role {
	case string(directory.RoleOperator):
		if in.Organization != "" {
			return out, fail(directory.Invalid, "organization", "an operator is one of the whole system, not of an organization")
		}
		out.Operator = &in.Grant
		return out, nil
	case string(directory.RolePartner):
		o, err := findOrganization(sn, in.Organization)
		if err != nil {
			return out, err
		}
		out.Partner = map[directory.ID]bool{o.ID: in.Grant}
		return out, nil
	}
	return out, fail(directory.Invalid, "role", "a role is operator or partner, not %q; who administers an environment is set with: bizzscim account administrator", in.Role)
}

// forgetSubject lets the next sign-in of a person say anew who they are at their directory.
func (a *admin) forgetSubject(ctx context.Context, by directory.Actor, in UserRef) (User, error) {
	var object directory.ID
	account, err := view(ctx, a.service, func(sn *directory.Snapshot) (*directory.Account, error) {
		account, err := in.find(sn)
		if err != nil || account.UserID.IsZero() {
			return account, err
		}
		u, err := sn.User(account.TenantID, account.UserID)
		if err == nil {
			object = u.ObjectID
		}
		return account, err
	})
	if err != nil {
		return User{}, err
	}
	err = fail(directory.NotFound, "subject", "%s has not signed in so far: nothing is remembered", account.UserName)
	if !object.IsZero() {
		if e := a.service.ForgetSubject(ctx, by, account.TenantID, object); !isNotFound(e) {
			err = e
		}
	}
	if err != nil {
		return User{}, err
	}
	return a.showUser(ctx, by, UserRef{Ref: account.ID.String()})
}

func (a *admin) rotateKeys(ctx context.Context, by directory.Actor, _ None) (NewKey, error) {
	id, err := a.keys.Rotate(ctx, by)
	if err != nil {
		return NewKey{}, err
	}
	return view(ctx, a.service, func(sn *directory.Snapshot) (NewKey, error) {
		keys, err := sn.SigningKeys()
		i := slices.IndexFunc(keys, func(k directory.SigningKey) bool { return k.ID == id })
		if err != nil || i < 0 {
			return NewKey{ID: id}, err
		}
		return NewKey{id, keys[i].From}, nil
	})
}
