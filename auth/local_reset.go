package auth

import (
	"cmp"
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// Bounds of the mails about passwords.
const (
	maxResets     = 256              // that wait to be looked at; what comes on top is dropped
	resetLife     = 30 * time.Minute // of a link; as long as one lives, no other is mailed that would end it
	noteInterval  = time.Hour        // between two mails to an address that hold no link
	mailTries     = 3
	mailBackoff   = 5 * time.Second // before the second try; four times that before the third
	maxEmailBytes = 320             // RFC 3696 section 3, with its erratum 1690: 64 + 1 + 255
)

// defaultPasswordURL is where people of a Microsoft directory change their password.
const defaultPasswordURL = "https://aka.ms/sspr" //nolint:gosec // it is public

// reset is a request for a mail.
type reset struct {
	by              directory.Actor
	email, language string
}

// RequestReset asks for a mail about a password. It answers nil whatever there is, and takes no longer
// for one address than for another: all the work is Run's. Errors: RateLimited by the source alone.
func (l *Local) RequestReset(_ context.Context, by directory.Actor, email, language string) error {
	if wait, ok := l.limiter.Allow(by.Address); !ok {
		return &TooManyError{wait}
	}
	if email = strings.TrimSpace(email); len(email) > maxEmailBytes {
		return nil
	}
	select {
	case l.resets <- reset{by, email, language}:
	default:
		l.config.Log.Warn("a request for a mail about a password was dropped: too many wait", "request", by.RequestID)
	}
	return nil
}

// Run sends the mails that were asked for, until ctx ends. What waits then is not sent.
func (l *Local) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-l.resets:
			l.answer(ctx, r)
		}
	}
}

func (l *Local) answer(ctx context.Context, r reset) {
	if l.config.Mail == nil {
		l.config.Log.Warn("a mail about a password was asked for, and no mail can be sent: set up a mail server, or use: bizzscim operator reset-password", "request", r.by.RequestID)
		return
	}
	people, err := l.people(ctx, r.email)
	if err != nil {
		l.config.Log.Error("a request for a mail about a password failed", "request", r.by.RequestID, "error", err)
		return
	}
	for _, p := range people {
		if p.held {
			l.config.Log.Info("no mail about a password was sent: a link that an operator made still works", "account", p.account.ID, "request", r.by.RequestID)
			continue
		}
		l.mailTo(ctx, r, p)
	}
}

// recipient is somebody whose address it is.
type recipient struct {
	account *directory.Account
	mail    ResetMail
	login   bool // a local one: the mail gets a link
	held    bool // an operator's link to it still works, which that of a mail would end: there is none
}

// people finds whose stored primary address an address is: an internal account alone, or a user of each
// tenant that is trusted for its domain. Otherwise whoever sets a directory up could have us write to
// anybody, in words of their own.
func (l *Local) people(ctx context.Context, email string) (all []recipient, err error) {
	err = l.config.Service.View(ctx, func(sn *directory.Snapshot) error {
		if all, err = l.internal(sn, email); err != nil || len(all) > 0 {
			return err
		}
		all, err = l.external(sn, email)
		return err
	})
	return all, err
}

func (l *Local) internal(sn *directory.Snapshot, email string) ([]recipient, error) {
	a, err := sn.InternalAccount(email)
	if err != nil || a == nil {
		return nil, err
	}
	login, err := sn.Login(a.ID)
	if err != nil {
		return nil, err
	}
	link, err := sn.AccountLink(directory.LinkPassword, a.ID, l.config.Service.SessionNow())
	if err != nil {
		return nil, err
	}
	held := link != nil && link.CreatedBy.Role == directory.RoleOperator
	return []recipient{{account: a, login: login != nil, held: held, mail: ResetMail{To: a.Email, Name: a.Name, Language: a.Language}}}, nil
}

func (l *Local) external(sn *directory.Snapshot, email string) (all []recipient, err error) {
	tenants, err := sn.Tenants()
	if err != nil {
		return nil, err
	}
	address := l.config.Service.Fold(email)
	for _, t := range tenants {
		ids, err := sn.UsersByEmail(t.ID, email)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			u, err := sn.User(t.ID, id)
			if err != nil {
				return nil, err
			}
			if l.config.Service.Fold(u.Email) != address || !t.Trusts(u.Email) { // one of their other addresses, or not one to speak for
				continue
			}
			a, err := sn.Account(u.AccountID)
			if err != nil {
				return nil, err
			}
			all = append(all, recipient{account: a, mail: ResetMail{To: u.Email, Name: u.Name, Language: u.Language,
				Directory: t.DisplayName(), PasswordURL: cmp.Or(t.SignIn.PasswordURL, defaultPasswordURL)}})
			break // one mail tells all that there is to tell about this directory
		}
	}
	return all, nil
}

// mailTo sends a mail, unless the address was sent one not long ago.
func (l *Local) mailTo(ctx context.Context, r reset, p recipient) {
	pause := noteInterval
	if p.login {
		pause = resetLife
	}
	key := l.config.Service.Fold(p.mail.To) + "\x00" + p.account.TenantID.String()
	if !l.mayMail(key, pause) {
		return
	}
	m := p.mail
	m.Language = cmp.Or(m.Language, r.language)
	m.SignInURL = l.config.URL() + "/login"
	if p.login {
		by := r.by
		by.Role, by.ID = directory.RoleSystem, ""
		secret, link, err := l.NewLink(ctx, by, directory.LinkPassword, p.account.ID, resetLife)
		if err != nil {
			l.maySend(key)
			l.config.Log.Error("a link to set a password could not be made", "account", p.account.ID, "request", r.by.RequestID, "error", err)
			return
		}
		m.Link, m.Until, m.SignInURL = l.config.URL()+LinkPath(link.Kind, secret), link.Expires, l.config.URL()+"/operator"
	}
	if err := l.send(ctx, m); err != nil {
		l.maySend(key)
		l.config.Log.Error("a mail about a password could not be sent", "account", p.account.ID, "request", r.by.RequestID, "tries", mailTries, "error", redact(err, m.To))
		return
	}
	l.config.Log.Info("a mail about a password was sent", "account", p.account.ID, "request", r.by.RequestID)
}

// redact takes an address out of what a mail server said about it.
func redact(err error, address string) string {
	return regexp.MustCompile("(?i)"+regexp.QuoteMeta(strings.ToValidUTF8(address, ""))).ReplaceAllString(err.Error(), "(address)")
}

// send hands a mail over, with three tries.
func (l *Local) send(ctx context.Context, m ResetMail) (err error) {
	wait := mailBackoff
	for range mailTries - 1 {
		if err = l.config.Mail.SendReset(ctx, m); err == nil {
			return nil
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return err
		case <-t.C:
		}
		wait *= 4
	}
	return l.config.Mail.SendReset(ctx, m)
}

// mayMail reports whether an address may be sent a mail, and takes that it is.
func (l *Local) mayMail(key string, pause time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, next := l.config.Now(), l.mailed.at(key)
	if left := next.Sub(now); left > 0 && left <= pause {
		return false
	}
	*next = now.Add(pause)
	return true
}

// maySend takes back that a mail was sent.
func (l *Local) maySend(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mailed.forget(key)
}
