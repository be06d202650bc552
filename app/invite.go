package app

import (
	"context"

	"github.com/bizzstream/bizzscim/directory"
)

// noPassword is the hash of a password that nobody knows.
func (a *App) noPassword(ctx context.Context) (string, error) { return a.signIn.local.NoPassword(ctx) }

// mailPassword has a link to set a password mailed to an internal user, where there is a mail server. Who asked does not get
// the link.
func (a *App) mailPassword(ctx context.Context, by directory.Actor, account directory.ID) (sent bool, err error) {
	if !a.signIn.mails {
		return false, nil
	}
	u, err := view(ctx, a.service, func(sn *directory.Snapshot) (*directory.Account, error) { return sn.Account(account) })
	if err != nil {
		return false, err
	}
	return true, a.signIn.local.RequestReset(ctx, by, u.Email, u.Language)
}
