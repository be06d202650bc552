package auth

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// Local signs local operators in, with a password and, where they have set one up, a second factor, or
// with a one-time link. It is safe for concurrent use.
type Local struct {
	config LocalConfig
}

// LocalConfig is what a Local needs.
type LocalConfig struct {
	Service *directory.Service
	Seal    func(plain []byte, place string) (string, error)
	Unseal  func(sealed, place string) ([]byte, error)
	URL     func() string // of the server, for links in mails: never what a request says
	Mail    Mailer        // nil: no mail is sent
	Now     func() time.Time
	Log     *slog.Logger
}

// Mailer sends the mails about passwords. An error means that the mail was not handed over.
type Mailer interface {
	SendReset(ctx context.Context, m ResetMail) error
}

// ResetMail is a mail to somebody who asked to reset a password.
type ResetMail struct {
	To       string // the address that is kept, never the one that was typed
	Name     string
	Language string // nl, en; empty: not known
	// Link sets a new password; empty when the password is not managed here.
	Link  string
	Until time.Time // end of Link
	// Directory manages the password of an external user, PasswordURL changes it; both empty: the
	// password is managed in BizzStream.
	Directory   string
	PasswordURL string
	SignInURL   string
}

// NewLocal returns a Local.
func NewLocal(c LocalConfig) *Local { return &Local{config: c} }

// Attempt is a try to sign in with a password.
type Attempt struct {
	Email, Password string
	Code            string // of the second factor; empty: none given
	By              directory.Actor
	SignedIn        directory.SignedIn
	Replaces        [32]byte
}

// Errors of a Local beside those of the domain.
var (
	// ErrWrong: e-mail address, password or code is wrong; it does not say which, and takes as long.
	ErrWrong = &directory.Error{Kind: directory.Unauthorized, Detail: "the e-mail address, the password or the code is not right"}
	// ErrCode: the password is right, a code is needed too.
	ErrCode = &directory.Error{Kind: directory.Unauthorized, Field: "code", Detail: "enter the code of your authenticator"}
)

// SignIn signs in with a password. Errors: ErrWrong; ErrCode; RateLimited with the time to wait in
// Detail; Forbidden.
func (l *Local) SignIn(ctx context.Context, a Attempt) (secret string, session *directory.Session, err error) {
	return "", nil, errors.New("not built")
}

// SignInByLink spends a sign-in link. Errors: NotFound.
func (l *Local) SignInByLink(ctx context.Context, link string, a Attempt) (secret string, session *directory.Session, err error) {
	return "", nil, errors.New("not built")
}

// LinkAccount says whose link it is, without spending it; nil for a setup link. Errors: NotFound.
func (l *Local) LinkAccount(ctx context.Context, kind directory.LinkKind, link string) (*directory.Account, error) {
	return nil, errors.New("not built")
}

// Setup makes the first operator by a setup link. Errors: NotFound; Conflict; Invalid with Field email
// or password.
func (l *Local) Setup(ctx context.Context, by directory.Actor, link, email, name, password string) (*directory.Account, error) {
	return nil, errors.New("not built")
}

// ResetPassword spends a password link. Errors: NotFound; Invalid with Field password; ReadOnly.
func (l *Local) ResetPassword(ctx context.Context, by directory.Actor, link, password string) (*directory.Account, error) {
	return nil, errors.New("not built")
}

// ChangePassword changes the password of who is signed in. Errors: ErrWrong for the old one; Invalid
// with Field password; RateLimited; ReadOnly.
func (l *Local) ChangePassword(ctx context.Context, by directory.Actor, account directory.ID, old, password string) error {
	return errors.New("not built")
}

// RequestReset asks for a mail about a password. It answers nil whatever there is, and takes no longer
// for one address than for another. Errors: RateLimited by the source alone.
func (l *Local) RequestReset(ctx context.Context, by directory.Actor, email, language string) error {
	return errors.New("not built")
}

// Run sends the mails that were asked for, until ctx ends.
func (l *Local) Run(ctx context.Context) {}

// NewLink makes a one-time link. The text is its secret alone. Errors: as directory.Service.CreateLink.
func (l *Local) NewLink(ctx context.Context, by directory.Actor, kind directory.LinkKind, account directory.ID, life time.Duration) (string, *directory.Link, error) {
	return "", nil, errors.New("not built")
}

// Enrolment is a second factor to be set up.
type Enrolment struct {
	Secret string // base32, to be typed
	URL    string // otpauth://
	QR     []byte // PNG of URL
	Sealed string // to be handed back with the first code; bound to the account, for ten minutes
}

// Enrol begins to set up a second factor for an account that has a login. Errors: NotFound.
func (l *Local) Enrol(ctx context.Context, account directory.ID) (*Enrolment, error) {
	return nil, errors.New("not built")
}

// EnrolDone sets the second factor up with a code of it. Errors: Invalid with Field code.
func (l *Local) EnrolDone(ctx context.Context, by directory.Actor, account directory.ID, sealed, code string) error {
	return errors.New("not built")
}

// EnrolRemove takes the second factor of an account away. Errors: ErrWrong for the password; NotFound.
func (l *Local) EnrolRemove(ctx context.Context, by directory.Actor, account directory.ID, password string) error {
	return errors.New("not built")
}
