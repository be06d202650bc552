package desk

import (
	"context"
	"slices"
	"strings"

	"github.com/bizzstream/bizzscim/directory"
)

// Administrator is a person who administers an environment.
type Administrator struct {
	AccountID directory.ID `json:"accountId"`
	UserName  string       `json:"userName"`
	Name      string       `json:"name,omitempty"`
	Email     string       `json:"email,omitempty"`
	Active    bool         `json:"active" doc:"Whether the access is active: while it is not, the person administers nothing"`
}

// Administrators lists who administers an environment.
func (d *Desk) Administrators(ctx context.Context, by directory.Actor, id directory.ID) (List[Administrator], error) {
	return view(ctx, d, func(sn *directory.Snapshot) (List[Administrator], error) {
		out := List[Administrator]{Items: []Administrator{}}
		if _, err := sn.SeeEnvironment(by, id); err != nil {
			return out, err
		}
		all, err := sn.EnvironmentAdministrators(id)
		if err != nil {
			return out, err
		}
		for _, a := range all {
			who, err := administrator(sn, a)
			if err != nil {
				return out, err
			}
			out.Items = append(out.Items, who)
		}
		slices.SortFunc(out.Items, func(a, b Administrator) int {
			return strings.Compare(strings.ToLower(a.Name+a.UserName), strings.ToLower(b.Name+b.UserName))
		})
		out.Total = int64(len(out.Items))
		return out, nil
	})
}

func administrator(sn *directory.Snapshot, a *directory.Access) (Administrator, error) {
	account, err := sn.Account(a.AccountID)
	if err != nil {
		return Administrator{}, err
	}
	return Administrator{account.ID, account.UserName, account.Name, account.Email, a.Active}, nil
}

// AdministratorChange names a person, and whether they are to administer an environment.
type AdministratorChange struct {
	Person        string `json:"person" minLength:"1" maxLength:"320" doc:"Account id, user name or e-mail address of somebody who has access to the environment"`
	Administrator bool   `json:"administrator" doc:"Whether the person is to be an administrator"`
}

// SetAdministrator makes somebody an administrator of an environment, or takes that back. Errors: Forbidden; NotFound; Invalid, with field
// person, for one who has no access to it; Conflict with the reason why the person cannot be one.
func (d *Desk) SetAdministrator(ctx context.Context, by directory.Actor, id directory.ID, in AdministratorChange) (Administrator, error) {
	account, err := view(ctx, d, func(sn *directory.Snapshot) (directory.ID, error) {
		env, err := sn.SeeEnvironment(by, id)
		if err != nil {
			return directory.ID{}, err
		}
		if by.Role != directory.RoleOperator { // before anybody is looked for
			return directory.ID{}, fail(directory.Forbidden, "", "this needs the role operator")
		}
		return personOf(sn, env, strings.TrimSpace(in.Person))
	})
	if err != nil {
		return Administrator{}, err
	}
	a, err := d.Service.SetAdministrator(ctx, by, account, id, in.Administrator)
	if err != nil {
		return Administrator{}, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (Administrator, error) { return administrator(sn, a) })
}

// personOf finds somebody with an access to an environment: by account id, user name or e-mail address.
func personOf(sn *directory.Snapshot, env *directory.Environment, ref string) (directory.ID, error) {
	var found []directory.ID
	add := func(account directory.ID) error {
		if account.IsZero() || slices.Contains(found, account) {
			return nil
		}
		a, err := sn.Access(account, env.ID)
		if a != nil {
			found = append(found, account)
		}
		return err
	}
	for _, look := range []func(*directory.Snapshot, directory.ID, string, func(directory.ID) error) error{byAccountID, byInternalMail, byUser} {
		if err := look(sn, env.Integration.TenantID, ref, add); err != nil {
			return directory.ID{}, err
		}
	}
	switch len(found) {
	case 0:
		return directory.ID{}, fail(directory.Invalid, "person", "nobody of that user name or e-mail address has access to this environment")
	case 1:
		return found[0], nil
	}
	return directory.ID{}, fail(directory.Invalid, "person", "more than one person has that e-mail address: say the user name")
}

func byAccountID(_ *directory.Snapshot, _ directory.ID, ref string, add func(directory.ID) error) error {
	if id, ok := directory.ParseID(ref); ok {
		return add(id)
	}
	return nil
}

func byInternalMail(sn *directory.Snapshot, _ directory.ID, ref string, add func(directory.ID) error) error {
	a, err := sn.InternalAccount(ref)
	switch {
	case err != nil && directory.KindOf(err) == directory.NotFound:
		return nil
	case err != nil || a == nil:
		return err
	}
	return add(a.ID)
}

func byUser(sn *directory.Snapshot, tenant directory.ID, ref string, add func(directory.ID) error) error {
	if tenant.IsZero() {
		return nil
	}
	users, err := sn.UsersByEmail(tenant, ref)
	if err != nil {
		return err
	}
	byName, err := sn.UserByName(tenant, ref)
	if err != nil {
		return err
	}
	if !byName.IsZero() {
		users = []directory.ID{byName} // a user name is one person's alone
	}
	for _, id := range users {
		u, err := sn.User(tenant, id)
		if err != nil {
			return err
		}
		if err := add(u.AccountID); err != nil {
			return err
		}
	}
	return nil
}
