package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image/png"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/bizzstream/bizzscim/directory"
)

// Codes of a second factor (RFC 6238): of 30 seconds, six digits, HMAC-SHA-1, as every authenticator makes
// them without being told. One before and one after the present one count too (section 5.2).
const (
	codePeriod = 30 // seconds
	codeSkew   = 1
	codeSecret = 20 // bytes (RFC 4226 section 4, R6)
	codeIssuer = "BizzStream"
	qrSize     = 240 // pixels

	enrolmentLife = 10 * time.Minute
)

var codeOptions = hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}

// codeStep returns the step (RFC 6238 section 4.2) whose code it is; none: 0 and false.
func codeStep(secret, code string, now time.Time) (int64, bool) {
	code = strings.Join(strings.Fields(code), "") // authenticators show "123 456"
	step := now.Unix() / codePeriod
	for _, s := range []int64{step, step - codeSkew, step + codeSkew} {
		if ok, err := hotp.ValidateCustom(code, uint64(s), secret, codeOptions); err == nil && ok {
			return s, true
		}
	}
	return 0, false
}

// TOTPPlace is where the sealed second factor of an account belongs.
func TOTPPlace(account directory.ID) string { return "totp/" + account.String() }

func enrolmentPlace(account directory.ID) string { return "totp-enrolment/" + account.String() }

// useCode spends a code. Errors: ErrWrong, also for a code that was used; RateLimited; Unavailable when the
// secret cannot be opened.
func (l *Local) useCode(ctx context.Context, by directory.Actor, login *directory.Login, code string) error {
	secret, err := l.config.Unseal(login.TOTP, TOTPPlace(login.AccountID))
	if err != nil {
		return &directory.Error{Kind: directory.Unavailable, Field: "code", Err: err,
			Detail: "your second factor cannot be read at present: ask for a link to sign in with (bizzscim operator login-link)"}
	}
	if wait := l.guard.takeCode(login.AccountID); wait > 0 {
		l.config.Log.Warn("codes of a second factor are refused: too many were wrong behind the right password; change the password", "account", login.AccountID)
		return &TooManyError{wait}
	}
	step, ok := codeStep(string(secret), code, l.config.Now())
	if !ok {
		return ErrWrong
	}
	if err := l.config.Service.UseTOTP(ctx, by, login.AccountID, step); err != nil {
		if k := directory.KindOf(err); k == directory.Unauthorized || k == directory.NotFound { // used, or taken away in the meantime
			err = ErrWrong
		}
		return err
	}
	l.guard.rightCode(login.AccountID)
	return nil
}

// Enrolment is a second factor to be set up.
type Enrolment struct {
	Secret string // base32, to be typed
	URL    string // otpauth://
	QR     []byte // PNG of URL
	Sealed string // to be handed back with the first code; bound to the account, for ten minutes
}

// enrolment is what Enrolment.Sealed holds.
type enrolment struct {
	Secret string    `json:"secret"`
	Until  time.Time `json:"until"`
}

// Enrol begins to set up a second factor for an account that has a login. Errors: NotFound; Conflict when
// it has one: who found an open browser must not replace it.
func (l *Local) Enrol(ctx context.Context, account directory.ID) (*Enrolment, error) {
	a, err := l.withoutFactor(ctx, account)
	if err != nil {
		return nil, err
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: codeIssuer, AccountName: a.Email, Period: codePeriod, SecretSize: codeSecret,
		Digits: codeOptions.Digits, Algorithm: codeOptions.Algorithm})
	if err != nil {
		return nil, err
	}
	picture, err := key.Image(qrSize, qrSize)
	if err != nil {
		return nil, err
	}
	var qr bytes.Buffer
	if err := png.Encode(&qr, picture); err != nil {
		return nil, err
	}
	plain, err := json.Marshal(enrolment{key.Secret(), l.config.Now().Add(enrolmentLife)}) //nolint:gosec // it is sealed with the next breath
	if err != nil {
		return nil, err
	}
	sealed, err := l.config.Seal(plain, enrolmentPlace(account))
	if err != nil {
		return nil, err
	}
	return &Enrolment{Secret: key.Secret(), URL: key.URL(), QR: qr.Bytes(), Sealed: sealed}, nil
}

// withoutFactor finds an account with a login that has no second factor.
func (l *Local) withoutFactor(ctx context.Context, account directory.ID) (a *directory.Account, err error) {
	var login *directory.Login
	err = l.config.Service.View(ctx, func(sn *directory.Snapshot) error {
		if a, err = sn.Account(account); err != nil {
			return err
		}
		login, err = sn.Login(account)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case login == nil:
		return nil, errNoLogin
	case login.TOTP != "":
		return nil, &directory.Error{Kind: directory.Conflict, Field: "code", Detail: "there is a second factor already: take it away first"}
	}
	return a, nil
}

var errNoLogin = &directory.Error{Kind: directory.NotFound, Detail: "this account does not sign in here with a password"}

// EnrolDone sets the second factor up with the password and a code of it: who found an open browser must
// not shut its owner out. Errors: ErrWrong for the password; RateLimited; Invalid with Field code; NotFound;
// Conflict when there is one already.
func (l *Local) EnrolDone(ctx context.Context, by directory.Actor, account directory.ID, password, sealed, code string) error {
	if _, err := l.withoutFactor(ctx, account); err != nil {
		return err
	}
	if _, err := l.prove(ctx, by, account, password); err != nil {
		return err
	}
	secret, err := l.openEnrolment(account, sealed)
	if err != nil {
		return &directory.Error{Kind: directory.Invalid, Field: "code", Detail: "this took too long: begin again with a new QR code", Err: err}
	}
	step, ok := codeStep(secret, code, l.config.Now())
	if !ok {
		return &directory.Error{Kind: directory.Invalid, Field: "code", Detail: "this is not the code that the authenticator shows now: type the newest one, and see that the clock of the device is right"}
	}
	kept, err := l.config.Seal([]byte(secret), TOTPPlace(account))
	if err != nil {
		return err
	}
	if err := l.config.Service.SetTOTP(ctx, by, account, kept, step); err != nil {
		return err
	}
	l.guard.forgetCodes(account)
	return nil
}

var errEnrolment = errors.New("auth: an enrolment of more than ten minutes ago")

func (l *Local) openEnrolment(account directory.ID, sealed string) (string, error) {
	plain, err := l.config.Unseal(sealed, enrolmentPlace(account))
	if err != nil {
		return "", err
	}
	var e enrolment
	if err := json.Unmarshal(plain, &e); err != nil {
		return "", err
	}
	if !l.config.Now().Before(e.Until) {
		return "", errEnrolment
	}
	return e.Secret, nil
}

// EnrolRemove takes the second factor of an account away. Errors: ErrWrong for the password; RateLimited;
// ReadOnly; NotFound when there is none.
func (l *Local) EnrolRemove(ctx context.Context, by directory.Actor, account directory.ID, password string) error {
	if _, err := l.prove(ctx, by, account, password); err != nil {
		return err
	}
	var login *directory.Login
	err := l.config.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		login, err = sn.Login(account)
		return err
	})
	if err != nil {
		return err
	}
	if login == nil || login.TOTP == "" {
		return &directory.Error{Kind: directory.NotFound, Field: "code", Detail: "there is no second factor to take away"}
	}
	if err := l.config.Service.SetTOTP(ctx, by, account, "", 0); err != nil {
		return err
	}
	l.guard.forgetCodes(account)
	return nil
}
