package auth

import (
	"context"

	"github.com/bizzstream/bizzscim/directory"
)

// Persons tells whose session it is that a program sends as a bearer token: the value of the session's cookie.
type Persons struct {
	Sessions *Sessions
	Bearer   *Bearer
}

// AuthenticatePerson returns whom the secret of a live session stands for: the tenant whose directory manages the person,
// the same pointer as Bearer gives, and the id of their User there. The tenant is nil for somebody whom no directory manages.
// Asking is no activity: a program that asks again and again keeps no session alive. Errors: *directory.SessionEnded, with
// EndedUnknown for what is the secret of no session.
func (p Persons) AuthenticatePerson(ctx context.Context, token string) (*directory.Tenant, directory.ID, error) {
	if !wellFormed(token, SessionPrefix) {
		return nil, directory.ID{}, &directory.SessionEnded{Reason: directory.EndedUnknown}
	}
	principal, err := p.Sessions.check(ctx, Hash(token))
	if err != nil {
		return nil, directory.ID{}, err
	}
	a := principal.Account
	if !a.External() || a.UserID.IsZero() {
		return nil, directory.ID{}, nil
	}
	tenant, err := p.Bearer.tenant(ctx, a.TenantID)
	return tenant, a.UserID, err
}
