package desk

import (
	"context"
	"slices"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// Start is how far the first steps of a new server are.
type Start struct {
	SecondFactor bool `json:"secondFactor" doc:"An operator signs in with a second factor"`
	Environment  bool `json:"environment" doc:"There is an environment"`
	Directory    bool `json:"directory" doc:"A tenant has a credential, or a token that opens"`
	People       bool `json:"people" doc:"A directory has brought its first people, and an environment takes people of that directory"`
}

// Done reports whether nothing is left to do.
func (s Start) Done() bool { return s.SecondFactor && s.Environment && s.Directory && s.People }

// Start tells how far the first steps are. Errors: Forbidden for who is no operator.
func (d *Desk) Start(ctx context.Context, by directory.Actor) (Start, error) {
	if err := operators(by); err != nil {
		return Start{}, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (s Start, err error) {
		if s.SecondFactor, err = hasSecondFactor(sn); err != nil {
			return s, err
		}
		environments, err := sn.Environments(directory.ID{})
		if err != nil {
			return s, err
		}
		s.Environment = len(environments) > 0
		credentials, err := sn.Credentials()
		if err != nil {
			return s, err
		}
		s.Directory = len(credentials) > 0
		tenants, err := sn.Tenants()
		if err != nil {
			return s, err
		}
		for _, t := range tenants {
			used := slices.ContainsFunc(environments, func(e *directory.Environment) bool { return e.Integration.Enabled && e.Integration.TenantID == t.ID })
			if err := s.look(sn, t.ID, used, d.Now()); err != nil {
				return s, err
			}
		}
		return s, nil
	})
}

// look takes a tenant into account; used: by an environment.
func (s *Start) look(sn *directory.Snapshot, tenant directory.ID, used bool, now time.Time) error {
	tokens, err := sn.Tokens(tenant, directory.SecretToken)
	if err != nil {
		return err
	}
	for _, x := range tokens {
		s.Directory = s.Directory || x.Live(now)
	}
	people, err := sn.UserCount(tenant)
	s.People = s.People || used && people > 0
	return err
}

// hasSecondFactor reports whether an operator has a second factor here. That of a directory is not known.
func hasSecondFactor(sn *directory.Snapshot) (bool, error) {
	roles, err := sn.AllRoles()
	for _, r := range roles {
		if !r.Operator {
			continue
		}
		login, err := sn.Login(r.AccountID)
		if err != nil || login != nil && login.TOTP != "" {
			return err == nil, err
		}
	}
	return false, err
}
