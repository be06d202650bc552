package auth

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// Local signs local operators in, with a password and, where they have set one up, a second factor, or
// with a one-time link. It is safe for concurrent use.
type Local struct {
	config    LocalConfig
	passwords *passwords
	limiter   *Limiter
	guard     *guard
	resets    chan reset

	mu     sync.Mutex
	mailed *bounded[string, time.Time] // when an address may be sent another mail, by address and what manages it
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
	Limiter *Limiter // of what a source may fail at; nil: one of its own
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
func NewLocal(c LocalConfig) *Local {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Limiter == nil {
		c.Limiter = NewLimiter(c.Now)
	}
	return &Local{config: c, passwords: newPasswords(), limiter: c.Limiter, guard: newGuard(c.Now, c.Limiter),
		resets: make(chan reset, maxResets), mailed: newBounded[string, time.Time](maxTries)}
}

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

// SignIn signs in with a password. Errors: ErrWrong; ErrCode; RateLimited (a *TooManyError) with the time
// to wait in Detail; Forbidden.
func (l *Local) SignIn(ctx context.Context, a Attempt) (secret string, session *directory.Session, err error) {
	t, err := l.guard.begin(l.config.Service.Fold(a.Email), a.By.Address)
	if err != nil {
		return "", nil, err
	}
	o := failed
	defer func() { t.end(o) }()
	account, login, err := l.login(ctx, a.Email)
	if err != nil {
		o = undecided
		return "", nil, err
	}
	ok, weak, err := l.passwords.check(ctx, login.Hash, a.Password)
	if err != nil {
		o = undecided
		return "", nil, err
	}
	if !ok {
		l.config.Log.Info("a local sign-in failed", "request", a.By.RequestID)
		return "", nil, ErrWrong
	}
	if login.TOTP != "" && a.Code == "" {
		o = undecided
		return "", nil, ErrCode
	}
	a.By.ID, a.By.Role = account.ID.String(), directory.RoleUser
	if login.TOTP != "" {
		if err := l.useCode(ctx, a.By, login, a.Code); err != nil {
			l.config.Log.Info("a second factor failed", "account", account.ID, "request", a.By.RequestID)
			return "", nil, err
		}
	}
	o = succeeded
	if weak {
		if login, err = l.rehash(ctx, a.By, login, a.Password); err != nil {
			return "", nil, err
		}
	}
	return l.begin(ctx, a, login)
}

// login finds the login of an e-mail address; without one it is empty.
func (l *Local) login(ctx context.Context, email string) (a *directory.Account, login *directory.Login, err error) {
	err = l.config.Service.View(ctx, func(sn *directory.Snapshot) error {
		if a, err = sn.InternalAccount(email); err != nil || a == nil {
			return err
		}
		login, err = sn.Login(a.ID)
		return err
	})
	return a, orNone(login), err
}

// orNone makes an empty login of none: one that no password opens.
func orNone(l *directory.Login) *directory.Login {
	if l == nil {
		return &directory.Login{}
	}
	return l
}

// begin makes the session of a login whose password was right. While that was being found out, somebody
// may have changed the password, for a reason: then there is no session. What changes after the look at
// the end finds the session and ends it.
func (l *Local) begin(ctx context.Context, a Attempt, login *directory.Login) (string, *directory.Session, error) {
	secret := NewSessionSecret()
	in := directory.SessionInput{AccountID: login.AccountID, Hash: secret.Hash, Replaces: a.Replaces, SignedIn: a.SignedIn}
	in.Method = directory.MethodPassword
	session, err := l.config.Service.CreateSession(ctx, a.By, in)
	if err != nil {
		return "", nil, err
	}
	var now *directory.Login
	err = l.config.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		now, err = sn.Login(login.AccountID)
		return err
	})
	if err == nil && now != nil && now.Hash == login.Hash && now.TOTP == login.TOTP {
		return secret.Text, session, nil
	}
	if err == nil {
		err = ErrWrong
	}
	if ending := l.config.Service.EndSession(context.WithoutCancel(ctx), a.By, login.AccountID, session.ID, directory.EndedPassword); ending != nil {
		return "", nil, ending // nobody has the secret
	}
	return "", nil, err
}

// rehash makes the hash of a password anew, because one costs more now than when this was made. A
// link carries it: setting a password ends the links to its account, so that one that was changed in
// the meantime is left alone.
func (l *Local) rehash(ctx context.Context, by directory.Actor, login *directory.Login, password string) (*directory.Login, error) {
	hashed, err := l.passwords.hash(ctx, password)
	if err != nil {
		return nil, err
	}
	server := by
	server.Role, server.ID = directory.RoleSystem, ""
	link, _, err := l.NewLink(ctx, server, directory.LinkPassword, login.AccountID, time.Minute)
	if err != nil {
		return nil, err
	}
	err = l.config.Service.View(ctx, func(sn *directory.Snapshot) error {
		now, err := sn.Login(login.AccountID)
		if err == nil && (now == nil || now.Hash != login.Hash) {
			err = ErrWrong
		}
		return err
	})
	if err == nil {
		_, err = l.config.Service.ResetPassword(ctx, by, Hash(link), hashed)
	}
	if directory.KindOf(err) == directory.NotFound && err != nil {
		err = ErrWrong
	}
	if err != nil {
		return nil, err
	}
	after := *login
	after.Hash = hashed
	return &after, nil
}

// ChangePassword changes the password of who is signed in; all sessions of the account end. Errors: ErrWrong
// for the old one; Invalid with Field password; RateLimited; ReadOnly.
func (l *Local) ChangePassword(ctx context.Context, by directory.Actor, account directory.ID, old, password string) error {
	a, err := l.prove(ctx, by, account, old)
	if err != nil {
		return err
	}
	if old == password {
		return &directory.Error{Kind: directory.Invalid, Field: "password", Detail: "this is the password that you have: take another one"}
	}
	if err := checkPassword(password, a.Email, a.UserName, a.Name); err != nil {
		return err
	}
	hashed, err := l.passwords.hash(ctx, password)
	if err != nil {
		return err
	}
	if err := l.config.Service.SetPassword(ctx, by, account, hashed); err != nil {
		return err
	}
	l.guard.forgetCodes(account)
	return nil
}

// prove makes sure that who is signed in knows the password, and not only has the browser. Errors:
// ErrWrong; RateLimited; ReadOnly for an external user.
func (l *Local) prove(ctx context.Context, by directory.Actor, account directory.ID, password string) (*directory.Account, error) {
	var a *directory.Account
	var login *directory.Login
	err := l.config.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		if a, err = sn.Account(account); err != nil {
			return err
		}
		login, err = sn.Login(account)
		return err
	})
	if err != nil {
		return nil, err
	}
	if a.External() {
		by.ID = account.String()
		return nil, l.config.Service.SetPassword(ctx, by, account, "") // refused, with the name of the directory
	}
	t, err := l.guard.begin(l.config.Service.Fold(a.Email), by.Address)
	if err != nil {
		return nil, err
	}
	o := failed
	defer func() { t.end(o) }()
	ok, _, err := l.passwords.check(ctx, orNone(login).Hash, password)
	if err != nil {
		o = undecided
		return nil, err
	}
	if !ok {
		return nil, ErrWrong
	}
	o = succeeded
	return a, nil
}
