package auth_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"image/png"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pquerna/otp/totp"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

const (
	idaPassword = "tafel maan vis 42"
	newPassword = "lamp wolk steen 17"
	here        = "192.0.2.1"
	elsewhere   = "198.51.100.7"
)

var visitor = directory.Actor{Channel: "console", Address: here, RequestID: "r1"}

func from(address string) directory.Actor {
	by := visitor
	by.Address = address
	return by
}

// strongbox seals as a vault does: with AES-256-GCM, bound to a place.
type strongbox struct{ cipher.AEAD }

func newStrongbox() strongbox {
	key := make([]byte, 32)
	rand.Read(key)
	return strongbox{must(cipher.NewGCM(must(aes.NewCipher(key))))}
}

func (s strongbox) seal(plain []byte, place string) (string, error) {
	nonce := make([]byte, s.NonceSize())
	rand.Read(nonce)
	return base64.RawURLEncoding.EncodeToString(s.Seal(nonce, nonce, plain, []byte(place))), nil
}

func (s strongbox) open(sealed, place string) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil || len(b) < s.NonceSize() {
		return nil, errors.New("damaged")
	}
	return s.Open(nil, b[:s.NonceSize()], b[s.NonceSize():], []byte(place))
}

// office is a world with local operators.
type office struct {
	*world
	local  *auth.Local
	config auth.LocalConfig
	safe   strongbox
	hashes *atomic.Int64
	log    *bytes.Buffer
	mails  *postbox
	ida    *directory.Account // an operator with a password
}

// postbox is a Mailer that keeps what it is given, or fails.
type postbox struct {
	mu    sync.Mutex
	mails []auth.ResetMail
	tries int
	fail  int // this many tries from now on
	err   error
}

func (p *postbox) SendReset(_ context.Context, m auth.ResetMail) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tries++
	if p.fail > 0 {
		p.fail--
		return p.err
	}
	p.mails = append(p.mails, m)
	return nil
}

func (p *postbox) take() []auth.ResetMail {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.mails
	p.mails = nil
	return out
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{world: newWorld(t), safe: newStrongbox(), log: &bytes.Buffer{}, mails: &postbox{}}
	o.config = auth.LocalConfig{Service: o.svc, Seal: o.safe.seal, Unseal: o.safe.open, URL: func() string { return "https://id.example.com" },
		Mail: o.mails, Now: o.clock.Now, Log: slog.New(slog.NewTextHandler(o.log, nil))}
	o.local = auth.NewLocal(o.config)
	o.hashes = o.local.Hashes()
	o.ida = must(o.svc.CreateOperator(t.Context(), operator, "Ida@example.com", "Ida Lind"))
	o.setPassword(o.ida.ID, idaPassword)
	o.hashes.Store(0)
	return o
}

func (o *office) setPassword(account directory.ID, password string) {
	o.Helper()
	if err := o.svc.SetPassword(o.Context(), operator, account, must(o.local.HashPassword(o.Context(), password))); err != nil {
		o.Fatal(err)
	}
}

func (o *office) try(email, password, code, address string) (string, *directory.Session, error) {
	return o.local.SignIn(o.Context(), auth.Attempt{Email: email, Password: password, Code: code, By: from(address),
		SignedIn: directory.SignedIn{Address: address, UserAgent: "test"}})
}

func (o *office) signIn(email, password, code string) *directory.Principal {
	o.Helper()
	secret, session, err := o.try(email, password, code, here)
	if err != nil {
		o.Fatal(err)
	}
	p, err := o.svc.CheckSession(o.Context(), auth.Hash(secret), time.Time{})
	if err != nil || p.Session.ID != session.ID || !strings.HasPrefix(secret, auth.SessionPrefix) {
		o.Fatalf("the secret does not open the session: %v", err)
	}
	return p
}

func (o *office) login(account directory.ID) (l *directory.Login) {
	o.Helper()
	if err := o.svc.View(o.Context(), func(sn *directory.Snapshot) (err error) {
		l, err = sn.Login(account)
		return err
	}); err != nil {
		o.Fatal(err)
	}
	return l
}

// enrol sets a second factor up for ida and returns its secret.
func (o *office) enrol() string {
	o.Helper()
	e := must(o.local.Enrol(o.Context(), o.ida.ID))
	by := visitor
	by.ID = o.ida.ID.String()
	if err := o.local.EnrolDone(o.Context(), by, o.ida.ID, idaPassword, e.Sealed, codeOf(e.Secret, o.clock.Now())); err != nil {
		o.Fatal(err)
	}
	o.clock.Advance(time.Minute) // the code is spent
	return e.Secret
}

func TestLocalSignsIn(t *testing.T) {
	o := newOffice(t)
	p := o.signIn(" ida@EXAMPLE.com"[1:], idaPassword, "")
	if p.Account.ID != o.ida.ID || p.Role() != directory.RoleOperator || p.Session.Method != directory.MethodPassword || p.Session.Address != here ||
		!p.Session.Expires.Equal(o.clock.Now().Truncate(time.Millisecond).Add(8*time.Hour)) {
		t.Errorf("%+v", p.Session)
	}
	if n := o.hashes.Load(); n != 1 {
		t.Errorf("%d hashes", n)
	}
	// A new sign-in of the same browser ends the session that it had.
	_, _, err := o.local.SignIn(t.Context(), auth.Attempt{Email: "ida@example.com", Password: idaPassword, By: visitor, Replaces: [32]byte(p.Session.Hash)})
	if err != nil {
		t.Fatal(err)
	}
	var ended *directory.SessionEnded
	if _, err := o.svc.CheckSession(t.Context(), [32]byte(p.Session.Hash), time.Time{}); !errors.As(err, &ended) || ended.Reason != directory.EndedReplaced {
		t.Errorf("the old session: %v", err)
	}
	if s := o.log.String(); strings.Contains(strings.ToLower(s), "ida@") || strings.Contains(s, "Ida") || strings.Contains(s, idaPassword) {
		t.Errorf("the log says too much: %s", s)
	}
}

// TestLocalSignsInWithTheRealHash leaves nothing of it out.
func TestLocalSignsInWithTheRealHash(t *testing.T) {
	o := newOffice(t)
	o.local = auth.NewLocal(o.config)
	o.setPassword(o.ida.ID, idaPassword)
	o.signIn("ida@example.com", idaPassword, "")
	if _, _, err := o.try("ida@example.com", idaPassword+" ", "", here); !errors.Is(err, auth.ErrWrong) {
		t.Errorf("a wrong password: %v", err)
	}
	if h := o.login(o.ida.ID).Hash; !strings.HasPrefix(h, "$argon2id$v=19$m=65536,t=3,p=1$") {
		t.Errorf("kept as %s", h)
	}
}

// TestLocalTellsNobodyApart: whatever there is or is not, the answer is the same and costs the same.
func TestLocalTellsNobodyApart(t *testing.T) {
	o := newOffice(t)
	must(o.svc.CreateAccount(t.Context(), operator, "bo", "bo@example.com", "Bo"))
	must(o.svc.CreateOperator(t.Context(), operator, "cy@example.com", "Cy")) // without a password as yet
	o.user(o.alpha, "dee@example.com")
	withFactor := must(o.svc.CreateOperator(t.Context(), operator, "eve@example.com", "Eve"))
	o.setPassword(withFactor.ID, idaPassword)
	eve := visitor
	eve.ID = withFactor.ID.String()
	e := must(o.local.Enrol(t.Context(), withFactor.ID))
	if err := o.local.EnrolDone(t.Context(), eve, withFactor.ID, idaPassword, e.Sealed, codeOf(e.Secret, o.clock.Now())); err != nil {
		t.Fatal(err)
	}
	for n, tt := range []struct{ name, email, password, code string }{
		{"a wrong password", "ida@example.com", newPassword, ""},
		{"no such address", "nobody@example.com", idaPassword, ""},
		{"an internal user without a login", "bo@example.com", idaPassword, ""},
		{"an operator without a password", "cy@example.com", idaPassword, ""},
		{"an external user", "dee@example.com", idaPassword, ""},
		{"a wrong password before a second factor", "eve@example.com", newPassword, ""},
		{"a wrong password with a right code", "eve@example.com", newPassword, codeOf(e.Secret, o.clock.Now())},
		{"a wrong code", "eve@example.com", idaPassword, "000000"},
		{"a code for who needs none, and a wrong password", "ida@example.com", newPassword, "000000"},
		{"no password", "ida@example.com", "", ""},
		{"no password where none is kept", "cy@example.com", "", ""},
		{"no address", "", idaPassword, ""},
		{"an address with a NUL", "ida@example.com\x00", idaPassword, ""},
		{"an address beyond every bound", strings.Repeat("a", 10_000) + "@example.com", idaPassword, ""},
		{"a password beyond every bound", "ida@example.com", strings.Repeat("a", 100_000), ""},
	} {
		before := o.hashes.Load()
		secret, session, err := o.try(tt.email, tt.password, tt.code, "203.0.113."+strconv.Itoa(n))
		if err != error(auth.ErrWrong) || secret != "" || session != nil {
			t.Errorf("%s: %q, %v, %v", tt.name, secret, session, err)
		}
		if n := o.hashes.Load() - before; n != 1 {
			t.Errorf("%s: %d hashes", tt.name, n)
		}
	}
}

// user makes an external user of a tenant, with that primary address and others.
func (o *office) user(tenant directory.ID, email string, others ...string) *directory.User {
	o.Helper()
	u, err := o.svc.CreateUser(o.Context(), directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: "token"}, tenant, directory.UserInput{
		Profile:    directory.Profile{UserName: email, Name: "Dee Vos", Email: email, Emails: append([]string{email}, others...), Active: true},
		Schemas:    []byte(`["urn:ietf:params:scim:schemas:core:2.0:User"]`),
		Attributes: []byte(`{"userName":` + strconv.Quote(email) + `}`)})
	if err != nil {
		o.Fatal(err)
	}
	return u
}

func TestLocalNeedsAnAccountThatMaySignIn(t *testing.T) {
	o := newOffice(t)
	bo := must(o.svc.CreateOperator(t.Context(), operator, "bo@example.com", "Bo"))
	o.setPassword(bo.ID, newPassword)
	off := false
	must(o.svc.SetRoles(t.Context(), operator, bo.ID, directory.RoleInput{Operator: &off}))
	secret, _, err := o.try("bo@example.com", newPassword, "", here)
	wantKind(t, err, directory.Forbidden)
	if secret != "" {
		t.Error("a secret all the same")
	}
	must(o.svc.SetRoles(t.Context(), operator, bo.ID, directory.RoleInput{Operator: new(true)}))
	o.signIn("bo@example.com", newPassword, "")
	if err := o.svc.RemoveLogin(t.Context(), operator, bo.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.try("bo@example.com", newPassword, "", here); !errors.Is(err, auth.ErrWrong) {
		t.Errorf("without a login: %v", err)
	}
}

// TestLocalPasswordChangedMeanwhile: who changes a password keeps out whoever was just signing in with
// the old one.
func TestLocalPasswordChangedMeanwhile(t *testing.T) {
	for name, change := range map[string]func(o *office){
		"changed":        func(o *office) { o.replace(newPassword) },
		"login gone":     func(o *office) { o.removeLogin() },
		"factor set up":  func(o *office) { o.setFactor() },
		"changed, again": func(o *office) { o.replace(newPassword); o.replace(idaPassword) },
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			must(o.svc.CreateOperator(t.Context(), operator, "bo@example.com", "Bo"))
			other := must(o.svc.CreateOperator(t.Context(), operator, "cy@example.com", "Cy"))
			o.setPassword(other.ID, newPassword)
			var once sync.Once
			o.local.WhileHashing(func() { once.Do(func() { change(o) }) })
			secret, session, err := o.try("ida@example.com", idaPassword, "", here)
			if !errors.Is(err, auth.ErrWrong) || secret != "" || session != nil {
				t.Errorf("signed in with what is not valid any more: %v", err)
			}
			o.noSessions()
		})
	}
}

func (o *office) replace(password string) {
	fresh := auth.NewLocal(o.config)
	fresh.Hashes()
	if err := o.svc.SetPassword(context.Background(), operator, o.ida.ID, must(fresh.HashPassword(context.Background(), password))); err != nil {
		panic(err)
	}
}

func (o *office) removeLogin() {
	if err := o.svc.RemoveLogin(context.Background(), operator, o.ida.ID); err != nil {
		panic(err)
	}
}

func (o *office) setFactor() {
	by := visitor
	by.ID = o.ida.ID.String()
	if err := o.svc.SetTOTP(context.Background(), by, o.ida.ID, "sealed", 1); err != nil {
		panic(err)
	}
}

func (o *office) noSessions() {
	o.Helper()
	if err := o.svc.View(o.Context(), func(sn *directory.Snapshot) error {
		all, err := sn.Sessions(o.ida.ID)
		for _, s := range all {
			if s.Live(o.clock.Now()) {
				o.Error("a session lives")
			}
		}
		return err
	}); err != nil {
		o.Fatal(err)
	}
}

func TestLocalMakesWeakHashesAnew(t *testing.T) {
	o := newOffice(t)
	before := o.login(o.ida.ID).Hash
	o.local.RaiseCost()
	p := o.signIn("ida@example.com", idaPassword, "")
	after := o.login(o.ida.ID).Hash
	if after == before || !strings.Contains(after, "t=4") {
		t.Errorf("kept as %s", after)
	}
	o.hashes.Store(0)
	o.signIn("ida@example.com", idaPassword, "")
	if o.hashes.Load() != 1 || o.login(o.ida.ID).Hash != after {
		t.Error("made anew each time")
	}
	if _, err := o.svc.CheckSession(t.Context(), [32]byte(p.Session.Hash), time.Time{}); err != nil {
		t.Errorf("the session of the sign-in: %v", err)
	}
	if _, _, err := o.try("ida@example.com", newPassword, "", here); !errors.Is(err, auth.ErrWrong) {
		t.Errorf("a wrong password: %v", err)
	}
}

// TestLocalRehashLeavesANewPasswordAlone: a password that somebody sets while the old one is hashed anew stays.
func TestLocalRehashLeavesANewPasswordAlone(t *testing.T) {
	for _, during := range []int{1, 2} { // the check, the new hash
		o := newOffice(t)
		o.local.RaiseCost()
		n := 0
		o.local.WhileHashing(func() {
			if n++; n == during {
				o.replace(newPassword)
			}
		})
		if _, _, err := o.try("ida@example.com", idaPassword, "", here); !errors.Is(err, auth.ErrWrong) {
			t.Errorf("changed during hash %d: %v", during, err)
		}
		o.noSessions()
		if _, _, err := o.try("ida@example.com", idaPassword, "", elsewhere); !errors.Is(err, auth.ErrWrong) {
			t.Errorf("changed during hash %d: the old password is back: %v", during, err)
		}
		o.signIn("ida@example.com", newPassword, "")
	}
}

func TestLocalSlowsDown(t *testing.T) {
	o := newOffice(t)
	for range auth.FreeFailures {
		if _, _, err := o.try("ida@example.com", newPassword, "", here); !errors.Is(err, auth.ErrWrong) {
			t.Fatal(err)
		}
	}
	before := o.hashes.Load()
	_, _, err := o.try("IDA@example.com", idaPassword, "", here)
	wantKind(t, err, directory.RateLimited)
	var many *auth.TooManyError
	if !errors.As(err, &many) || many.Wait != time.Second || o.hashes.Load() != before {
		t.Errorf("%v with %d hashes", err, o.hashes.Load()-before)
	}
	// An address that is nobody's is slowed down just so.
	for range auth.FreeFailures {
		if _, _, err := o.try("nobody@example.com", newPassword, "", elsewhere); !errors.Is(err, auth.ErrWrong) {
			t.Fatal(err)
		}
	}
	if _, _, other := o.try("nobody@example.com", idaPassword, "", elsewhere); other == nil || other.Error() != err.Error() {
		t.Errorf("%v for nobody, %v for somebody", other, err)
	}
	// The last operator is not locked out: from elsewhere at once, from here after a second.
	if _, _, err := o.try("ida@example.com", idaPassword, "", "203.0.113.1"); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
	o.clock.Advance(time.Second)
	o.signIn("ida@example.com", idaPassword, "")
	for range auth.FreeFailures {
		if _, _, err := o.try("ida@example.com", newPassword, "", here); !errors.Is(err, auth.ErrWrong) {
			t.Errorf("after a success failures count anew: %v", err)
		}
	}
}

// TestLocalCannotBeLockedOutFromEverywhere fails from a thousand places, and signs in.
func TestLocalCannotBeLockedOutFromEverywhere(t *testing.T) {
	o := newOffice(t)
	for n := range 3 * auth.AccountFailures {
		if _, _, err := o.try("ida@example.com", newPassword, "", "10.0."+strconv.Itoa(n)+".1"[:2]); !errors.Is(err, auth.ErrWrong) && directory.KindOf(err) != directory.RateLimited {
			t.Fatal(err)
		}
	}
	o.signIn("ida@example.com", idaPassword, "")
}

func TestLocalBoundsASource(t *testing.T) {
	o := newOffice(t)
	for n := range auth.FailuresPerMinute {
		if _, _, err := o.try("p"+strconv.Itoa(n)+"@example.com", newPassword, "", here); !errors.Is(err, auth.ErrWrong) {
			t.Fatal(err)
		}
	}
	for name, fn := range map[string]func(by directory.Actor) error{
		"sign in": func(by directory.Actor) error {
			_, _, err := o.local.SignIn(t.Context(), auth.Attempt{Email: "ida@example.com", Password: idaPassword, By: by})
			return err
		},
		"link": func(by directory.Actor) error {
			_, _, err := o.local.SignInByLink(t.Context(), "x", auth.Attempt{By: by})
			return err
		},
		"setup link": func(by directory.Actor) error {
			_, err := o.local.Setup(t.Context(), by, "x", "a@b", "", "")
			return err
		},
		"password link": func(by directory.Actor) error { _, err := o.local.ResetPassword(t.Context(), by, "x", ""); return err },
		"reset":         func(by directory.Actor) error { return o.local.RequestReset(t.Context(), by, "ida@example.com", "") },
		"own password":  func(by directory.Actor) error { return o.local.ChangePassword(t.Context(), by, o.ida.ID, "x", "y") },
		"set factor up": func(by directory.Actor) error { return o.local.EnrolDone(t.Context(), by, o.ida.ID, "x", "", "") },
		"remove factor": func(by directory.Actor) error { return o.local.EnrolRemove(t.Context(), by, o.ida.ID, "x") },
	} {
		if err := fn(visitor); directory.KindOf(err) != directory.RateLimited || err == nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := fn(from(elsewhere)); directory.KindOf(err) == directory.RateLimited && err != nil {
			t.Errorf("%s from elsewhere: %v", name, err)
		}
	}
}

func TestLocalSecondFactor(t *testing.T) {
	o := newOffice(t)
	secret := o.enrol()
	now := o.clock.Now
	if _, _, err := o.try("ida@example.com", idaPassword, "", here); err != error(auth.ErrCode) {
		t.Errorf("without a code: %v", err)
	}
	spaced := codeOf(secret, now())
	o.signIn("ida@example.com", idaPassword, spaced[:3]+" "+spaced[3:])
	if _, _, err := o.try("ida@example.com", idaPassword, spaced, elsewhere); !errors.Is(err, auth.ErrWrong) {
		t.Errorf("a code counts twice: %v", err)
	}
	for name, tt := range map[string]struct {
		at time.Duration
		ok bool
	}{
		"the one before": {-30 * time.Second, true}, "the one after": {30 * time.Second, true},
		"two before": {-60 * time.Second, false}, "two after": {60 * time.Second, false},
	} {
		o.clock.Advance(10 * time.Minute)
		_, _, err := o.try("ida@example.com", idaPassword, codeOf(secret, now().Add(tt.at)), "203.0.113.9")
		if tt.ok != (err == nil) || err != nil && !errors.Is(err, auth.ErrWrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// One that is older than one that was used does not count, though its time has not come.
	o.clock.Advance(10 * time.Minute)
	o.signIn("ida@example.com", idaPassword, codeOf(secret, now().Add(30*time.Second)))
	if _, _, err := o.try("ida@example.com", idaPassword, codeOf(secret, now()), elsewhere); !errors.Is(err, auth.ErrWrong) {
		t.Errorf("an older code: %v", err)
	}
	for _, code := range []string{"12345", "1234567", "abcdef", "１２３４５６", " ", strings.Repeat("1", 5000)} {
		o.clock.Advance(10 * time.Minute)
		if _, _, err := o.try("ida@example.com", idaPassword, code, "203.0.113.10"); !errors.Is(err, auth.ErrWrong) {
			t.Errorf("code %.10q: %v", code, err)
		}
	}
	// The library that wrote the codes of authenticators agrees.
	o.clock.Advance(10 * time.Minute)
	o.signIn("ida@example.com", idaPassword, must(totp.GenerateCode(secret, now())))
}

// TestLocalBeingAskedMakesUpForNothing: who has the password cannot wash wrong codes away by asking without one.
func TestLocalBeingAskedMakesUpForNothing(t *testing.T) {
	o := newOffice(t)
	secret := o.enrol()
	wrong := "000000"
	if codeOf(secret, o.clock.Now()) == wrong {
		wrong = "000001"
	}
	for range auth.FreeFailures {
		if _, _, err := o.try("ida@example.com", idaPassword, wrong, here); !errors.Is(err, auth.ErrWrong) {
			t.Fatal(err)
		}
		o.clock.Advance(time.Millisecond)
		if _, _, err := o.try("ida@example.com", idaPassword, "", here); !errors.Is(err, auth.ErrCode) && directory.KindOf(err) != directory.RateLimited {
			t.Fatal(err)
		}
	}
	_, _, err := o.try("ida@example.com", idaPassword, wrong, here)
	wantKind(t, err, directory.RateLimited)
}

// TestLocalCodesAreNotGuessed: who has the password and asks from everywhere gets few codes, and the link
// still signs in.
func TestLocalCodesAreNotGuessed(t *testing.T) {
	o := newOffice(t)
	secret := o.enrol()
	wrong := 0
	for n := range 300 {
		code := "000000"
		if codeOf(secret, o.clock.Now()) == code {
			code = "000001"
		}
		_, _, err := o.try("ida@example.com", idaPassword, code, "10.1."+strconv.Itoa(n%250)+".1")
		if errors.Is(err, auth.ErrWrong) {
			wrong++
		}
		o.try("ida@example.com", idaPassword, "", "10.1."+strconv.Itoa(n%250)+".1")
	}
	if wrong != auth.CodeFailures {
		t.Errorf("%d codes were tried", wrong)
	}
	_, _, err := o.try("ida@example.com", idaPassword, codeOf(secret, o.clock.Now()), elsewhere)
	wantKind(t, err, directory.RateLimited)
	link, _, err := o.local.NewLink(t.Context(), operator, directory.LinkSignIn, o.ida.ID, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.local.SignInByLink(t.Context(), link, auth.Attempt{By: from(elsewhere)}); err != nil {
		t.Errorf("the link: %v", err)
	}
	// With another password the guesser has nothing, and codes count again.
	o.clock.Advance(time.Minute)
	by := from(elsewhere)
	by.ID = o.ida.ID.String()
	if err := o.local.ChangePassword(t.Context(), by, o.ida.ID, idaPassword, newPassword); err != nil {
		t.Fatal(err)
	}
	o.clock.Advance(time.Minute)
	o.signIn("ida@example.com", newPassword, codeOf(secret, o.clock.Now()))
}

func TestLocalFailsClosedWithoutTheKeyOfTheFactor(t *testing.T) {
	o := newOffice(t)
	secret := o.enrol()
	o.config.Unseal = newStrongbox().open
	local := auth.NewLocal(o.config)
	local.Hashes()
	_, session, err := local.SignIn(t.Context(), auth.Attempt{Email: "ida@example.com", Password: idaPassword, Code: codeOf(secret, o.clock.Now()), By: visitor})
	wantKind(t, err, directory.Unavailable)
	if session != nil {
		t.Error("a session without the second factor")
	}
}

func TestEnrolment(t *testing.T) {
	o := newOffice(t)
	by := visitor
	by.ID = o.ida.ID.String()
	e := must(o.local.Enrol(t.Context(), o.ida.ID))
	u := must(url.Parse(e.URL))
	if q := u.Query(); u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/BizzStream:Ida@example.com" ||
		q.Get("secret") != e.Secret || q.Get("period") != "30" || q.Get("digits") != "6" || q.Get("algorithm") != "SHA1" || len(e.Secret) != 32 {
		t.Errorf("URL %s", e.URL)
	}
	if img, err := png.Decode(bytes.NewReader(e.QR)); err != nil || img.Bounds().Dx() != 240 {
		t.Errorf("picture: %v", err)
	}
	if strings.Contains(e.Sealed, e.Secret) || o.login(o.ida.ID).TOTP != "" {
		t.Error("it is not sealed, or set before it is proven")
	}
	done := func(account directory.ID, sealed, code string) error {
		mine := visitor
		mine.ID = account.String()
		return o.local.EnrolDone(t.Context(), mine, account, idaPassword, sealed, code)
	}
	bo := must(o.svc.CreateOperator(t.Context(), operator, "bo@example.com", "Bo"))
	o.setPassword(bo.ID, idaPassword)
	code := codeOf(e.Secret, o.clock.Now())
	wrong := "000000"
	if code == wrong {
		wrong = "000001"
	}
	changed := []byte(e.Sealed)
	changed[20] ^= 1 // another in any case
	for name, err := range map[string]error{
		"a wrong code":                  done(o.ida.ID, e.Sealed, wrong),
		"another's":                     done(bo.ID, e.Sealed, code),
		"a changed one":                 done(o.ida.ID, string(changed), code),
		"none":                          done(o.ida.ID, "", code),
		"what is kept of another place": done(o.ida.ID, must(o.safe.seal([]byte(`{"secret":"`+e.Secret+`","until":"2099-01-01T00:00:00Z"}`), auth.TOTPPlace(o.ida.ID))), code),
	} {
		var d *directory.Error
		if !errors.As(err, &d) || d.Kind != directory.Invalid || d.Field != "code" {
			t.Errorf("%s: %v", name, err)
		}
	}
	o.clock.Advance(10*time.Minute - 1)
	late := codeOf(e.Secret, o.clock.Now())
	o.clock.Advance(1)
	if err := done(o.ida.ID, e.Sealed, late); err == nil || !strings.Contains(err.Error(), "took too long") {
		t.Errorf("after ten minutes: %v", err)
	}
	o.clock.Advance(-time.Second)
	if err := done(o.ida.ID, e.Sealed, late); err != nil {
		t.Errorf("within ten minutes: %v", err)
	}
	kept := o.login(o.ida.ID)
	if plain, err := o.safe.open(kept.TOTP, "totp/"+o.ida.ID.String()); err != nil || string(plain) != e.Secret {
		t.Errorf("kept as %q: %v", plain, err)
	}
	if _, _, err := o.try("ida@example.com", idaPassword, late, elsewhere); !errors.Is(err, auth.ErrWrong) {
		t.Errorf("the code that set it up signs in too: %v", err)
	}
	// Who found an open browser neither replaces it nor takes it away.
	_, err := o.local.Enrol(t.Context(), o.ida.ID)
	wantKind(t, err, directory.Conflict)
	wantKind(t, done(o.ida.ID, e.Sealed, late), directory.Conflict)
	if err := o.local.EnrolRemove(t.Context(), by, o.ida.ID, newPassword); !errors.Is(err, auth.ErrWrong) {
		t.Errorf("taken away with a wrong password: %v", err)
	}
	if err := o.local.EnrolRemove(t.Context(), by, o.ida.ID, idaPassword); err != nil {
		t.Fatal(err)
	}
	wantKind(t, o.local.EnrolRemove(t.Context(), by, o.ida.ID, idaPassword), directory.NotFound)
	o.signIn("ida@example.com", idaPassword, "")

	cy := must(o.svc.CreateOperator(t.Context(), operator, "cy@example.com", "Cy"))
	_, err = o.local.Enrol(t.Context(), cy.ID)
	wantKind(t, err, directory.NotFound)
	_, err = o.local.Enrol(t.Context(), directory.ID{1})
	wantKind(t, err, directory.NotFound)
}

// TestEnrolmentNeedsThePassword: who found an open browser cannot shut its owner out with a second factor.
func TestEnrolmentNeedsThePassword(t *testing.T) {
	o := newOffice(t)
	e := must(o.local.Enrol(t.Context(), o.ida.ID))
	done := func(password, address string) error {
		by := from(address)
		by.ID = o.ida.ID.String()
		return o.local.EnrolDone(t.Context(), by, o.ida.ID, password, e.Sealed, codeOf(e.Secret, o.clock.Now()))
	}
	for _, password := range []string{"", newPassword, idaPassword + " "} {
		if err := done(password, elsewhere); !errors.Is(err, auth.ErrWrong) {
			t.Errorf("with the password %q: %v", password, err)
		}
	}
	// It is not guessed here faster than at the sign-in: the failures of both count together.
	for range auth.FreeFailures - 1 {
		if err := done(newPassword, here); !errors.Is(err, auth.ErrWrong) {
			t.Fatal(err)
		}
	}
	if _, _, err := o.try("ida@example.com", newPassword, "", here); !errors.Is(err, auth.ErrWrong) {
		t.Fatal(err)
	}
	before := o.hashes.Load()
	wantKind(t, done(idaPassword, here), directory.RateLimited)
	if o.hashes.Load() != before || o.login(o.ida.ID).TOTP != "" {
		t.Error("a second factor by guessing")
	}
	o.clock.Advance(time.Second)
	if err := done(idaPassword, here); err != nil {
		t.Errorf("with the password: %v", err)
	}
}

func TestChangePassword(t *testing.T) {
	o := newOffice(t)
	p := o.signIn("ida@example.com", idaPassword, "")
	by := visitor
	by.ID = o.ida.ID.String()
	change := func(old, password string) error {
		return o.local.ChangePassword(t.Context(), by, o.ida.ID, old, password)
	}
	if err := change(newPassword, newPassword); !errors.Is(err, auth.ErrWrong) {
		t.Errorf("with a wrong old one: %v", err)
	}
	for _, bad := range []string{"short", "Ida.Lind.2026", idaPassword} {
		var d *directory.Error
		if err := change(idaPassword, bad); !errors.As(err, &d) || d.Kind != directory.Invalid || d.Field != "password" {
			t.Errorf("%q: %v", bad, err)
		}
	}
	o.signIn("ida@example.com", idaPassword, "")
	if err := change(idaPassword, newPassword); err != nil {
		t.Fatal(err)
	}
	if _, err := o.svc.CheckSession(t.Context(), [32]byte(p.Session.Hash), time.Time{}); err == nil {
		t.Error("a session outlives the password")
	}
	if _, _, err := o.try("ida@example.com", idaPassword, "", here); !errors.Is(err, auth.ErrWrong) {
		t.Errorf("the old one: %v", err)
	}
	o.signIn("ida@example.com", newPassword, "")

	// An account without a password has none to be changed, and an external one is told whose it is.
	bo := must(o.svc.CreateOperator(t.Context(), operator, "bo@example.com", "Bo"))
	by.ID = bo.ID.String()
	if err := o.local.ChangePassword(t.Context(), by, bo.ID, "", idaPassword); !errors.Is(err, auth.ErrWrong) {
		t.Errorf("without a login: %v", err)
	}
	dee := o.user(o.alpha, "dee@example.com")
	by.ID = dee.AccountID.String()
	for name, err := range map[string]error{
		"change": o.local.ChangePassword(t.Context(), by, dee.AccountID, "", newPassword),
		"factor": o.local.EnrolRemove(t.Context(), by, dee.AccountID, ""),
	} {
		wantKind(t, err, directory.ReadOnly)
		if err == nil || !strings.Contains(err.Error(), "the directory of alpha") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLinksWorkOnce(t *testing.T) {
	o := newOffice(t)
	signIn := func() string {
		link, _, err := o.local.NewLink(t.Context(), operator, directory.LinkSignIn, o.ida.ID, 10*time.Minute)
		if err != nil || !strings.HasPrefix(link, "bzl_") || auth.LinkPath(directory.LinkSignIn, link) != "/operator/link/"+link {
			t.Fatalf("%s, %v", link, err)
		}
		return link
	}
	use := func(link string) (*directory.Session, error) {
		_, s, err := o.local.SignInByLink(t.Context(), link, auth.Attempt{By: visitor, SignedIn: directory.SignedIn{Address: here}})
		return s, err
	}
	link := signIn()
	for range 3 { // a mail program that looks at it spends nothing
		if a, err := o.local.LinkAccount(t.Context(), directory.LinkSignIn, link); err != nil || a.ID != o.ida.ID {
			t.Fatalf("%v", err)
		}
	}
	_, err := o.local.LinkAccount(t.Context(), directory.LinkPassword, link)
	wantKind(t, err, directory.NotFound)
	_, err = o.local.ResetPassword(t.Context(), visitor, link, newPassword)
	wantKind(t, err, directory.NotFound)
	if s, err := use(link); err != nil || s.Method != directory.MethodLink || s.AccountID != o.ida.ID || s.Address != here {
		t.Fatalf("%+v, %v", s, err)
	}
	_, err = use(link)
	wantKind(t, err, directory.NotFound)

	// Many at once: one gets in.
	link = signIn()
	var won atomic.Int64
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			if _, _, err := o.local.SignInByLink(t.Context(), link, auth.Attempt{By: from("10.2.3." + strconv.Itoa(n))}); err == nil {
				won.Add(1)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d got in by one link", won.Load())
	}

	link = signIn()
	newer := signIn()
	_, err = use(link)
	wantKind(t, err, directory.NotFound)
	o.clock.Advance(10 * time.Minute)
	_, err = use(newer)
	wantKind(t, err, directory.NotFound)
	for _, bad := range []string{"", "x", newer[:len(newer)-1], altered(newer, 10), "bzs_" + newer[4:], strings.Repeat("x", 10_000)} {
		_, err := use(bad)
		if err == nil || directory.KindOf(err) != directory.NotFound || !strings.Contains(err.Error(), "ask for a new one") {
			t.Errorf("link %.12q: %v", bad, err)
		}
		o.clock.Advance(time.Minute)
	}
	o.notInStore(newer)
}

// codeOf is the code of a second factor at a time, by the letter of RFC 4226 section 5.3 and RFC 6238
// section 4.
func codeOf(secret string, at time.Time) string {
	mac := hmac.New(sha1.New, must(base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)))
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(at.Unix()/30)))
	sum := mac.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[len(sum)-1]&15:]) & 0x7fffffff
	return fmt.Sprintf("%06d", n%1_000_000)
}

// TestCodesOfTheRFC checks the test vectors of RFC 6238 appendix B, of SHA-1, by their last six digits.
func TestCodesOfTheRFC(t *testing.T) {
	secret := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte("12345678901234567890"))
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		if got := codeOf(secret, time.Unix(at, 0)); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
}

// notInStore makes sure that no record holds a secret.
func (o *office) notInStore(secrets ...string) {
	o.Helper()
	records := 0
	err := o.store.View(o.Context(), func(r directory.Reader) error {
		for _, table := range directory.Tables {
			err := r.Scan(table, directory.Range{}, func(k, v []byte) bool {
				records++
				for _, s := range secrets {
					if bytes.Contains(k, []byte(s)) || bytes.Contains(v, []byte(s)) {
						o.Errorf("%s holds a secret", table.Name)
					}
				}
				return true
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || records == 0 {
		o.Fatal(records, err)
	}
}

func TestSetupMakesTheFirstOperator(t *testing.T) {
	w := newWorld(t)
	o := &office{world: w, safe: newStrongbox()}
	o.local = auth.NewLocal(auth.LocalConfig{Service: w.svc, Seal: o.safe.seal, Unseal: o.safe.open, Now: w.clock.Now})
	o.hashes = o.local.Hashes()
	link, _, err := o.local.NewLink(t.Context(), operator, directory.LinkSetup, directory.ID{}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := o.local.LinkAccount(t.Context(), directory.LinkSetup, link); a != nil || err != nil {
		t.Errorf("%v, %v", a, err)
	}
	setup := func(link, email, name, password string) error {
		_, err := o.local.Setup(t.Context(), visitor, link, email, name, password)
		return err
	}
	wantKind(t, setup(altered(link, 20), "ida@example.com", "Ida", idaPassword), directory.NotFound)
	if o.hashes.Load() != 0 {
		t.Error("a link that is none costs a hash")
	}
	for _, tt := range []struct{ email, password, field string }{
		{"ida@example.com", "short", "password"}, {"ida.example.com", idaPassword, "email"}, {"idalindidalind@example.com", "idalindidalind", "password"},
	} {
		var d *directory.Error
		if err := setup(link, tt.email, "Ida", tt.password); !errors.As(err, &d) || d.Kind != directory.Invalid || d.Field != tt.field {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if err := setup(link, "ida@example.com", "Ida", idaPassword); err != nil {
		t.Fatal(err)
	}
	wantKind(t, setup(link, "bo@example.com", "Bo", idaPassword), directory.NotFound)
	if p := o.signIn("ida@example.com", idaPassword, ""); p.Role() != directory.RoleOperator {
		t.Errorf("a %s", p.Role())
	}
	_, _, err = o.local.NewLink(t.Context(), operator, directory.LinkSetup, directory.ID{}, time.Hour)
	wantKind(t, err, directory.Conflict)
	o.notInStore(idaPassword, link)
}

func TestPasswordLink(t *testing.T) {
	o := newOffice(t)
	p := o.signIn("ida@example.com", idaPassword, "")
	secret := o.enrol()
	link, _, err := o.local.NewLink(t.Context(), operator, directory.LinkPassword, o.ida.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_, err = o.local.ResetPassword(t.Context(), visitor, link, "Ida@example.com")
	wantKind(t, err, directory.Invalid)
	if a, err := o.local.ResetPassword(t.Context(), visitor, link, newPassword); err != nil || a.ID != o.ida.ID {
		t.Fatal(err)
	}
	_, err = o.local.ResetPassword(t.Context(), visitor, link, idaPassword)
	wantKind(t, err, directory.NotFound)
	if _, err := o.svc.CheckSession(t.Context(), [32]byte(p.Session.Hash), time.Time{}); err == nil {
		t.Error("a session outlives the password")
	}
	// A mailbox alone is not enough where there is a second factor.
	if _, _, err := o.try("ida@example.com", newPassword, "", here); !errors.Is(err, auth.ErrCode) {
		t.Errorf("the second factor went with the password: %v", err)
	}
	o.signIn("ida@example.com", newPassword, codeOf(secret, o.clock.Now()))

	dee := o.user(o.alpha, "dee@example.com")
	for _, kind := range []directory.LinkKind{directory.LinkPassword, directory.LinkSignIn} {
		_, _, err := o.local.NewLink(t.Context(), operator, kind, dee.AccountID, time.Hour)
		wantKind(t, err, directory.ReadOnly)
		if err == nil || !strings.Contains(err.Error(), "the directory of alpha") {
			t.Errorf("%s for an external user: %v", kind, err)
		}
	}
	o.notInStore(idaPassword, newPassword, secret, link)
}

// answered asks for a mail and returns what is sent, all retries included.
func (o *office) answered(t *testing.T, email, language string) []auth.ResetMail {
	t.Helper()
	o.request(t, email, language)
	return o.mails.take()
}

func (o *office) request(t *testing.T, email, language string) {
	t.Helper()
	if err := o.local.RequestReset(t.Context(), visitor, email, language); err != nil {
		t.Fatal(err)
	}
	o.local.Answer(t.Context())
}

func TestResetMails(t *testing.T) {
	o := newOffice(t)
	must(o.svc.CreateAccount(t.Context(), operator, "bo", "Bo@example.com", "Bo Berg"))
	o.trust(o.alpha, "example.com")
	o.trust(o.bravo, "example.com")
	must(o.svc.SetTenant(t.Context(), operator, o.bravo, func(t *directory.Tenant) error {
		t.SignIn.Label, t.SignIn.PasswordURL = "Bravo Ltd", "https://password.example.net/change"
		return nil
	}))
	o.user(o.alpha, "stranger@example.com", "dee@example.com") // somebody who has dee's address besides their own
	o.user(o.alpha, "Dee@example.com", "second@example.com")
	o.user(o.bravo, "dee@example.com")

	if mails := o.answered(t, "nobody@example.com", ""); len(mails) != 0 {
		t.Errorf("nobody got %+v", mails)
	}
	if mails := o.answered(t, "second@example.com", ""); len(mails) != 0 {
		t.Errorf("an address that is not the primary one got %+v", mails)
	}
	mails := o.answered(t, " IDA@example.COM ", "nl")
	if len(mails) != 1 {
		t.Fatalf("ida got %d mails", len(mails))
	}
	m := mails[0]
	link := strings.TrimPrefix(m.Link, "https://id.example.com/password/")
	m.Link = ""
	want := auth.ResetMail{To: "Ida@example.com", Name: "Ida Lind", Language: "nl", Until: o.clock.Now().Truncate(time.Millisecond).Add(auth.ResetLife), SignInURL: "https://id.example.com/operator"}
	if d := cmp.Diff(want, m); d != "" {
		t.Errorf("ida's mail: %s", d)
	}
	if a, err := o.local.LinkAccount(t.Context(), directory.LinkPassword, link); err != nil || a.ID != o.ida.ID {
		t.Errorf("the link: %v", err)
	}
	if d := cmp.Diff([]auth.ResetMail{{To: "Bo@example.com", Name: "Bo Berg", SignInURL: "https://id.example.com/login"}}, o.answered(t, "bo@example.com", "")); d != "" {
		t.Errorf("bo's mail: %s", d)
	}
	if d := cmp.Diff([]auth.ResetMail{
		{To: "Dee@example.com", Name: "Dee Vos", Directory: "alpha", PasswordURL: "https://aka.ms/sspr", SignInURL: "https://id.example.com/login"},
		{To: "dee@example.com", Name: "Dee Vos", Directory: "Bravo Ltd", PasswordURL: "https://password.example.net/change", SignInURL: "https://id.example.com/login"},
	}, o.answered(t, "dee@example.com", "")); d != "" {
		t.Errorf("dee's mails: %s", d)
	}

	// While the link lives nobody can have it replaced, and nobody is flooded.
	if mails := o.answered(t, "ida@example.com", ""); len(mails) != 0 {
		t.Error("another link")
	}
	if mails := append(o.answered(t, "dee@example.com", ""), o.answered(t, "bo@example.com", "")...); len(mails) != 0 {
		t.Error("another mail within the hour")
	}
	o.clock.Advance(auth.ResetLife)
	if mails := o.answered(t, "ida@example.com", ""); len(mails) != 1 || mails[0].Link == "" || strings.HasSuffix(mails[0].Link, link) {
		t.Errorf("after the life of the link: %+v", mails)
	}
	if mails := o.answered(t, "dee@example.com", ""); len(mails) != 0 {
		t.Error("another mail within the hour")
	}
	o.clock.Advance(auth.NoteInterval - auth.ResetLife)
	if mails := append(o.answered(t, "dee@example.com", ""), o.answered(t, "bo@example.com", "")...); len(mails) != 3 {
		t.Errorf("%d mails after the hour", len(mails))
	}
	if n := o.hashes.Load(); n != 0 {
		t.Errorf("%d hashes", n)
	}
	if s := strings.ToLower(o.log.String()); strings.Contains(s, "example.com") || strings.Contains(s, "ida") || strings.Contains(s, "bzl_") {
		t.Errorf("the log says too much: %s", s)
	}
}

// trust has a tenant speak for these e-mail domains alone.
func (o *office) trust(tenant directory.ID, domains ...string) {
	o.Helper()
	must(o.svc.SetTenant(o.Context(), operator, tenant, func(t *directory.Tenant) error {
		t.TrustedDomains = domains
		return nil
	}))
}

// TestResetMailsSpeakForTrustedDomainsAlone: a directory that says that somebody else's address is one of
// its people has no mail of ours sent there.
func TestResetMailsSpeakForTrustedDomainsAlone(t *testing.T) {
	o := newOffice(t)
	o.trust(o.alpha, "fjord.example")
	for _, email := range []string{"dee@fjord.example", "dee@victim.example", "dee@sub.fjord.example", "dee@notfjord.example", "fjord.example@victim.example", "eva@fjord.example"} {
		o.user(o.alpha, email)
	}
	o.user(o.bravo, "DEE@fjord.example")
	// An internal account of the same address, which came later.
	must(o.svc.CreateAccount(t.Context(), operator, "eva", "eva@fjord.example", "Eva"))
	for email, want := range map[string][]string{
		"dee@fjord.example": {"alpha"}, "Dee@FJORD.example": {"alpha"}, "dee@victim.example": nil, "dee@sub.fjord.example": nil,
		"dee@notfjord.example": nil, "fjord.example@victim.example": nil, "eva@fjord.example": {""},
	} {
		o.clock.Advance(auth.NoteInterval)
		var got []string
		for _, m := range o.answered(t, email, "") {
			got = append(got, m.Directory)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("the directories of the mails to %s: %s", email, d)
		}
	}
	o.trust(o.alpha)
	o.clock.Advance(auth.NoteInterval)
	if mails := o.answered(t, "dee@fjord.example", ""); len(mails) != 0 {
		t.Errorf("of a domain that is not trusted any more: %+v", mails)
	}
}

// TestResetLeavesTheLinkOfAnOperatorAlone: nobody who asks for a mail ends the link that an operator has made.
func TestResetLeavesTheLinkOfAnOperatorAlone(t *testing.T) {
	o := newOffice(t)
	link := func(kind directory.LinkKind, account directory.ID) string {
		text, _, err := o.local.NewLink(t.Context(), operator, kind, account, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	works := func(link string) bool {
		_, err := o.local.LinkAccount(t.Context(), directory.LinkPassword, link)
		return err == nil
	}
	// Another's link comes first in the table, and holds back what is another's alone.
	bo := must(o.svc.CreateOperator(t.Context(), operator, "bo@example.com", "Bo"))
	others := func() {
		must(o.svc.CreateLink(t.Context(), operator, directory.LinkPassword, bo.ID, [32]byte{31: 1}, 24*time.Hour))
	}
	others()
	made := link(directory.LinkPassword, o.ida.ID)
	for range 3 {
		if mails := o.answered(t, "ida@example.com", ""); len(mails) != 0 || !works(made) {
			t.Fatalf("%d mails, and the link works: %v", len(mails), works(made))
		}
		o.clock.Advance(2 * auth.NoteInterval)
	}
	if s := strings.ToLower(o.log.String()); !strings.Contains(s, "an operator made still works") || strings.Contains(s, "example.com") || strings.Contains(s, "bzl_") {
		t.Errorf("log: %s", s)
	}
	// Once it is over there are mails again, at once.
	o.clock.Advance(24*time.Hour - 6*auth.NoteInterval - time.Second)
	if mails := o.answered(t, "ida@example.com", ""); len(mails) != 0 || !works(made) {
		t.Errorf("a second before: %d mails", len(mails))
	}
	o.clock.Advance(time.Second)
	others()
	mails := o.answered(t, "ida@example.com", "")
	if len(mails) != 1 || mails[0].Link == "" {
		t.Fatalf("after the life of the link: %+v", mails)
	}
	// That of a mail holds nothing back on a server that does not know any more what it has sent.
	o.local = auth.NewLocal(o.config)
	again := o.answered(t, "ida@example.com", "")
	if len(again) != 1 || again[0].Link == "" || again[0].Link == mails[0].Link {
		t.Errorf("of a new server: %+v", again)
	}
	// Nor does one that was used, nor one of another kind, which a mail does not end.
	used := link(directory.LinkPassword, o.ida.ID)
	if _, err := o.local.ResetPassword(t.Context(), visitor, used, newPassword); err != nil {
		t.Fatal(err)
	}
	link(directory.LinkSignIn, o.ida.ID)
	o.clock.Advance(auth.ResetLife)
	if mails := o.answered(t, "ida@example.com", ""); len(mails) != 1 {
		t.Errorf("after the link was used: %d mails", len(mails))
	}
}

// TestResetLinkOfNobody: who may not have a password gets no link, whatever happened since.
func TestResetLinkGoesWithTheLogin(t *testing.T) {
	o := newOffice(t)
	bo := must(o.svc.CreateOperator(t.Context(), operator, "bo@example.com", "Bo"))
	o.setPassword(bo.ID, newPassword)
	if mails := o.answered(t, "bo@example.com", ""); len(mails) != 1 || mails[0].Link == "" {
		t.Fatalf("%+v", mails)
	}
	if err := o.svc.RemoveLogin(t.Context(), operator, bo.ID); err != nil {
		t.Fatal(err)
	}
	o.clock.Advance(auth.ResetLife)
	if mails := o.answered(t, "bo@example.com", ""); len(mails) != 1 || mails[0].Link != "" {
		t.Errorf("%+v", mails)
	}
}

// TestResetRequestsDoNoWork: asking touches neither the store nor the hash, so that its time tells nothing.
func TestResetRequestsDoNoWork(t *testing.T) {
	o := newOffice(t)
	views, updates := o.store.views.Load(), o.store.updates.Load()
	for n := range auth.MaxResets + 50 { // more than wait are dropped, and nobody blocks
		email := "ida@example.com"
		if n%2 == 0 {
			email = strings.Repeat("x", n) + "@example.com"
		}
		if err := o.local.RequestReset(t.Context(), from("10.3."+strconv.Itoa(n/200)+"."+strconv.Itoa(n%200)), email, ""); err != nil {
			t.Fatal(err)
		}
	}
	if o.store.views.Load() != views || o.store.updates.Load() != updates || o.hashes.Load() != 0 {
		t.Error("asking does work")
	}
	if !strings.Contains(o.log.String(), "was dropped") {
		t.Error("a dropped request leaves no trace")
	}
	if err := o.local.RequestReset(t.Context(), from("10.4.0.1"), strings.Repeat("x", 1000)+"@example.com", ""); err != nil {
		t.Error(err)
	}
}

func TestResetRequestsAreBoundedBySource(t *testing.T) {
	o := newOffice(t)
	for range auth.FailuresPerMinute {
		if err := o.local.RequestReset(t.Context(), visitor, "ida@example.com", ""); err != nil {
			t.Fatal(err)
		}
	}
	wantKind(t, o.local.RequestReset(t.Context(), visitor, "ida@example.com", ""), directory.RateLimited)
	if err := o.local.RequestReset(t.Context(), from(elsewhere), "ida@example.com", ""); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
}

// TestResetMailsAreRetried runs in a bubble, whose time passes by itself.
func TestResetMailsAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		refused := errors.New("550 5.1.1 <IDA@example.com>: ida@example.com is unknown here")
		o.mails.fail, o.mails.err = 2, refused
		began := time.Now()
		if mails := o.answered(t, "ida@example.com", ""); len(mails) != 1 {
			t.Errorf("%d mails", len(mails))
		}
		if d := time.Since(began); o.mails.tries != 3 || d < 25*time.Second || d > 26*time.Second {
			t.Errorf("%d tries in %v", o.mails.tries, d)
		}
		if strings.Contains(o.log.String(), "level=ERROR") {
			t.Errorf("log: %s", o.log)
		}
		// After the third it is given up, without the address, and may be asked for again.
		o.clock.Advance(auth.ResetLife)
		o.mails.fail, o.mails.tries = 3, 0
		if mails := o.answered(t, "ida@example.com", ""); len(mails) != 0 || o.mails.tries != 3 {
			t.Errorf("%d tries", o.mails.tries)
		}
		if s := o.log.String(); !strings.Contains(s, "could not be sent") || !strings.Contains(s, "550 5.1.1") || strings.Contains(strings.ToLower(s), "example.com") {
			t.Errorf("log: %s", s)
		}
		if mails := o.answered(t, "ida@example.com", ""); len(mails) != 1 {
			t.Errorf("%d mails", len(mails))
		}
	})
}

func TestResetMailsEndWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		o.mails.fail, o.mails.err = 100, errors.New("no route")
		ctx, cancel := context.WithCancel(t.Context())
		if err := o.local.RequestReset(ctx, visitor, "ida@example.com", ""); err != nil {
			t.Fatal(err)
		}
		var run sync.WaitGroup
		run.Go(func() { o.local.Run(ctx) })
		synctest.Wait()
		if o.mails.tries != 1 {
			t.Fatalf("%d tries", o.mails.tries)
		}
		began := time.Now()
		cancel()
		run.Wait()
		if time.Since(began) != 0 || o.mails.tries != 1 {
			t.Errorf("ended after %v and %d tries", time.Since(began), o.mails.tries)
		}
	})
}

func TestResetWithoutAMailServer(t *testing.T) {
	o := newOffice(t)
	o.config.Mail = nil
	o.local = auth.NewLocal(o.config)
	o.request(t, "ida@example.com", "")
	if s := o.log.String(); !strings.Contains(s, "bizzscim operator reset-password") || strings.Contains(s, "example.com") {
		t.Errorf("log: %s", s)
	}
}
