package auth

import (
	"context"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// LinkPrefix starts the secret of a one-time link.
const LinkPrefix = "bzl_"

// linkPaths is where the links of each kind lead.
var linkPaths = map[directory.LinkKind]string{
	directory.LinkSetup:    "/setup/",
	directory.LinkSignIn:   "/operator/link/",
	directory.LinkPassword: "/password/",
	directory.LinkConnect:  "/connect/",
}

// LinkPath is the path of a one-time link on the server, by its kind and its secret.
func LinkPath(kind directory.LinkKind, secret string) string { return linkPaths[kind] + secret }

// NewLinkSecret makes the secret of a link.
func NewLinkSecret() Secret { return newSecret(LinkPrefix) }

// LinkHash is the SHA-256 of the secret of a link; ok is false for what is no whole secret.
func LinkHash(text string) (hash [32]byte, ok bool) { return Hash(text), wellFormed(text, LinkPrefix) }

var errLink = &directory.Error{Kind: directory.NotFound, Field: "link", Detail: "this link does not work: it has been used, is too old, or is not whole; ask for a new one"}

// NewLink makes a one-time link. The text is its secret alone (LinkPath says where it leads). Errors: as
// directory.Service.CreateLink.
func (l *Local) NewLink(ctx context.Context, by directory.Actor, kind directory.LinkKind, account directory.ID, life time.Duration) (string, *directory.Link, error) {
	secret := newSecret(LinkPrefix)
	link, err := l.config.Service.CreateLink(ctx, by, kind, account, secret.Hash, life)
	if err != nil {
		return "", nil, err
	}
	return secret.Text, link, nil
}

// NoPassword is a hash that no password has: the login of who is to set one by a link. It is drawn, not derived, and so
// takes nothing of what hashing takes from those who sign in.
func (l *Local) NoPassword(context.Context) (string, error) { return l.passwords.none(), nil }

// LinkAccount says whose link it is, without spending it; nil for a setup link. Errors: NotFound.
func (l *Local) LinkAccount(ctx context.Context, kind directory.LinkKind, link string) (*directory.Account, error) {
	if !wellFormed(link, LinkPrefix) {
		return nil, errLink
	}
	var a *directory.Account
	err := l.config.Service.View(ctx, func(sn *directory.Snapshot) error {
		found, err := sn.Link(Hash(link), kind, l.config.Service.SessionNow())
		if err != nil || found.AccountID.IsZero() {
			return err
		}
		a, err = sn.Account(found.AccountID)
		return err
	})
	return a, linkError(err)
}

// linkError says the same of every link that does not work.
func linkError(err error) error {
	if err != nil && directory.KindOf(err) == directory.NotFound {
		return errLink
	}
	return err
}

// openLink is LinkAccount for somebody who is about to use the link: failures are counted.
func (l *Local) openLink(ctx context.Context, by directory.Actor, kind directory.LinkKind, link string) (*directory.Account, error) {
	if wait, ok := l.limiter.Allow(by.Address); !ok {
		return nil, &TooManyError{wait}
	}
	a, err := l.LinkAccount(ctx, kind, link)
	if err == nil {
		l.limiter.Forgive(by.Address)
	}
	return a, err
}

// SignInByLink spends a sign-in link. No second factor is asked for: the link is the way back in when
// it is lost. Errors: NotFound; RateLimited; ReadOnly and Conflict when the account is not what it was
// when the link was made.
func (l *Local) SignInByLink(ctx context.Context, link string, a Attempt) (secret string, session *directory.Session, err error) {
	account, err := l.openLink(ctx, a.By, directory.LinkSignIn, link)
	if err != nil {
		return "", nil, err
	}
	a.By.ID, a.By.Role = account.ID.String(), directory.RoleUser
	s := NewSessionSecret()
	in := directory.SessionInput{Hash: s.Hash, Replaces: a.Replaces, SignedIn: a.SignedIn}
	if session, err = l.config.Service.SignInByLink(ctx, a.By, Hash(link), in); err != nil {
		return "", nil, linkError(err)
	}
	return s.Text, session, nil
}

// Setup makes the first operator by a setup link. Errors: NotFound; RateLimited; Conflict; Invalid with
// Field email or password.
func (l *Local) Setup(ctx context.Context, by directory.Actor, link, email, name, password string) (*directory.Account, error) {
	if _, err := l.openLink(ctx, by, directory.LinkSetup, link); err != nil {
		return nil, err
	}
	if err := checkPassword(password, email, name); err != nil {
		return nil, err
	}
	hashed, err := l.passwords.hash(ctx, password)
	if err != nil {
		return nil, err
	}
	a, err := l.config.Service.SetupOperator(ctx, by, Hash(link), email, name, hashed)
	if err != nil {
		return nil, linkError(err)
	}
	return a, nil
}

// ResetPassword spends a password link. A second factor stays. Errors: NotFound; RateLimited; Invalid with
// Field password; ReadOnly and Conflict when the account is not what it was when the link was made.
func (l *Local) ResetPassword(ctx context.Context, by directory.Actor, link, password string) (*directory.Account, error) {
	a, err := l.openLink(ctx, by, directory.LinkPassword, link)
	if err != nil {
		return nil, err
	}
	if err := checkPassword(password, a.Email, a.UserName, a.Name); err != nil {
		return nil, err
	}
	hashed, err := l.passwords.hash(ctx, password)
	if err != nil {
		return nil, err
	}
	if a, err = l.config.Service.ResetPassword(ctx, by, Hash(link), hashed); err != nil {
		return nil, linkError(err)
	}
	l.guard.forgetCodes(a.ID)
	return a, nil
}
