package auth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

func TestCheckReadsExactlyOneCookie(t *testing.T) {
	s := newSite(t)
	good, _ := s.signIn(s.alice)
	second, _ := s.signIn(s.alice)
	line := func(lines ...string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Cookie"] = lines
		return r
	}
	name := auth.SessionCookie + "="
	for _, test := range []struct {
		name    string
		request *http.Request
		holds   bool
		looked  bool // in the store
	}{
		{"one", line(name + good), true, true},
		{"one among others", line("a=b; " + name + good + "; theme=dark"), true, true},
		{"the same twice", line(name + good + "; " + name + good), true, true},
		{"none", line(), false, false},
		{"another first", line(name + second + "; " + name + good), false, false},
		{"another last", line(name + good + "; " + name + second), false, false},
		{"another in a second header", line(name+good, name+second), false, false},
		{"an empty one beside it", line(name + good + "; " + name), false, false},
		{"an empty one", line(name), false, false},
		{"a quoted one", line(name + `"` + good + `"`), false, false},
		{"a short one", line(name + good[:len(good)-1]), false, false},
		{"a long one", line(name + good + "0"), false, false},
		{"an altered one", line(name + altered(good, 10)), false, false},
		{"a token of another kind", line(name + auth.NewSecret().Text), false, false},
		{"a name in other letters", line(strings.ToLower(name) + good + "x"), false, false},
		{"a name in capitals", line(strings.ToUpper(name) + good), false, false},
		{"another prefix", line("__Secure-session=" + good), false, false},
		{"no prefix", line("session=" + good), false, false},
		{"a space that is none in front of the name", line("\u2000" + name + good), false, false},
		{"an empty name", line("=" + name + good), false, false},
		{"a name within a value", line("a=" + name + good), false, false},
		{"a secret that nobody has", line(name + auth.NewSessionSecret().Text), false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := s.store.views.Load()
			p, err := s.sessions.Check(test.request, false)
			if looked := s.store.views.Load() > before; looked != test.looked {
				t.Errorf("looked in the store: %v, want %v", looked, test.looked)
			}
			if !test.holds {
				wantEnded(t, err, directory.EndedUnknown)
				if p != nil {
					t.Error("a principal beside an error")
				}
				if h := s.sessions.Hash(test.request); !test.looked && h != [32]byte{} {
					t.Error("a hash of what is no session")
				}
				return
			}
			if err != nil || p.Account.ID != s.alice.AccountID {
				t.Errorf("not Alice: %v", err)
			}
			if s.sessions.Hash(test.request) != auth.Hash(good) {
				t.Error("another hash")
			}
		})
	}
}

// Whatever a browser sends, no cookie but the secret itself opens the session.
func TestNothingLikeTheSecretOpensTheSession(t *testing.T) {
	s := newSite(t)
	good, _ := s.signIn(s.alice)
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(good)
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			text[rapid.IntRange(0, len(text)-1).Draw(t, "at")] = byte(rapid.IntRange(0x21, 0x7e).Draw(t, "to"))
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", auth.SessionCookie+"="+string(text))
		if _, err := s.sessions.Check(r, true); err == nil && string(text) != good {
			t.Errorf("%q opens the session of %q", text, good)
		}
	})
}

func TestCookieIsBoundToHostAndHTTPS(t *testing.T) {
	s := newSite(t)
	secret, session := s.signIn(s.alice)
	s.clock.Advance(90 * time.Minute)
	got := s.sessions.Cookie(secret, session)
	want := "__Host-session=" + secret + "; Path=/; Max-Age=23400; HttpOnly; Secure; SameSite=Lax"
	if got.String() != want {
		t.Errorf("cookie\n%s\nwant\n%s", got, want)
	}
	s.clock.Advance(6*time.Hour + 30*time.Minute - time.Millisecond)
	if c := s.sessions.Cookie(secret, session); c.MaxAge != 1 {
		t.Errorf("Max-Age %d just before the end, want 1: 0 would be a cookie without an end", c.MaxAge)
	}
	if got, want := s.sessions.NoCookie().String(), "__Host-session=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"; got != want {
		t.Errorf("cookie\n%s\nwant\n%s", got, want)
	}
}

func TestPlantedCookieNeverBecomesASession(t *testing.T) {
	s := newSite(t)
	mallory := s.person("mallory", "9a6b1f3e-0000-4000-8000-000000000bad")
	_ = s.integrate(must(s.svc.CreateEnvironment(t.Context(), operator, s.org, "Sandbox")).ID, "9a6b1f3e-0000-4000-8000-0000000000e3", mallory.ID)

	planted := auth.NewSessionSecret().Text // made up, in the right form
	_, err := s.sessions.Check(asked(planted), false)
	wantEnded(t, err, directory.EndedUnknown)
	secret, _ := s.signIn(s.alice, s.sessions.Hash(asked(planted)))
	if secret == planted {
		t.Fatal("the browser's own secret was taken")
	}
	_, err = s.sessions.Check(asked(planted), false)
	wantEnded(t, err, directory.EndedUnknown)

	own, _ := s.signIn(mallory) // a real one, of the attacker
	secret, _ = s.signIn(s.alice, s.sessions.Hash(asked(own)))
	if _, err := s.sessions.Check(asked(own), false); err == nil {
		t.Error("the session of the attacker goes on in the browser of Alice")
	} else {
		wantEnded(t, err, directory.EndedReplaced)
	}
	s.holds(s.sessions, secret)
}

func TestEveryReasonIsTold(t *testing.T) {
	s := newSite(t)
	secret, _ := s.signIn(s.alice)
	s.setActive(s.alice, false)
	_, err := s.sessions.Check(asked(secret), false)
	wantEnded(t, err, directory.EndedDeactivated)
	s.setActive(s.alice, true)
	_, err = s.sessions.Check(asked(secret), false)
	wantEnded(t, err, directory.EndedDeactivated) // coming back revives nothing

	secret, session := s.signIn(s.alice)
	s.clock.Advance(session.Expires.Sub(s.svc.SessionNow()))
	_, err = s.sessions.Check(asked(secret), false)
	wantEnded(t, err, directory.EndedExpired)
}

func TestStoreThatFailsOpensNothing(t *testing.T) {
	s := newSite(t)
	secret, _ := s.signIn(s.alice)
	s.store.failView.Store(&errDisk)
	p, err := s.sessions.Check(asked(secret), false)
	if p != nil || !errors.Is(err, errDisk) {
		t.Errorf("principal %v, error %v", p, err)
	}
}

func TestActivityCountsBeforeTheStoreHasIt(t *testing.T) {
	c := &clock{now: time.Date(2026, 11, 23, 8, 0, 30, 0, time.UTC)}
	s := newSiteWith(t, c.Now, c, directory.Limits{SessionIdle: 30 * time.Minute})
	active, _ := s.signIn(s.alice)
	watched, _ := s.signIn(s.alice)
	for range 4 { // an hour and 20 minutes
		s.clock.Advance(20 * time.Minute)
		if _, err := s.sessions.Check(asked(active), false); err != nil {
			t.Fatalf("a session in use has ended: %v", err)
		}
	}
	_, err := s.sessions.Check(asked(watched), true)
	wantEnded(t, err, directory.EndedIdle)
	s.clock.Advance(30 * time.Minute)
	_, err = s.sessions.Check(asked(active), false)
	wantEnded(t, err, directory.EndedIdle)
	_, err = s.sessions.Check(asked(active), false) // the refused try was no activity
	wantEnded(t, err, directory.EndedIdle)
}

func TestQuietCheckIsNoActivity(t *testing.T) {
	c := &clock{now: time.Date(2026, 11, 23, 8, 0, 30, 0, time.UTC)}
	s := newSiteWith(t, c.Now, c, directory.Limits{SessionIdle: 30 * time.Minute})
	secret, _ := s.signIn(s.alice)
	for range 2 {
		s.clock.Advance(14 * time.Minute)
		s.holds(s.sessions, secret)
	}
	s.clock.Advance(2 * time.Minute)
	_, err := s.sessions.Check(asked(secret), true)
	wantEnded(t, err, directory.EndedIdle)
}

// seen is when the store has a session as last used.
func (s *site) seen(secret string) (at time.Time) {
	s.Helper()
	hash := auth.Hash(secret)
	err := s.svc.View(s.Context(), func(sn *directory.Snapshot) error {
		x, err := sn.Session(hash[:])
		if err == nil {
			at = x.Seen
		}
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	return at
}

func TestActivityReachesTheStoreOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSiteIn(t)
		secret, session := s.signIn(s.alice)
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() {
			defer close(over)
			s.sessions.Run(ctx, func(err error) { t.Error(err) })
		}()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		before := s.store.updates.Load()
		var last time.Time
		for range 40 { // 40 requests in 40 seconds
			time.Sleep(time.Second)
			p, err := s.sessions.Check(asked(secret), false)
			if err != nil {
				t.Fatal(err)
			}
			last = p.Now
		}
		synctest.Wait()
		if n := s.store.updates.Load() - before; n != 0 {
			t.Errorf("%d writes for 40 requests within a minute", n)
		}
		if at := s.seen(secret); !at.Equal(session.Created) {
			t.Errorf("the store has the session as used at %v already", at)
		}
		time.Sleep(11 * time.Second) // the minute is over
		synctest.Wait()
		if n := s.store.updates.Load() - before; n != 1 {
			t.Errorf("%d writes in the minute, want 1", n)
		}
		if at := s.seen(secret); !at.Equal(last) {
			t.Errorf("the store has the session as used at %v, want %v", at, last)
		}

		time.Sleep(time.Second)
		p, err := s.sessions.Check(asked(secret), false)
		if err != nil {
			t.Fatal(err)
		}
		stop() // a server that stops forgets nothing
		<-over
		if at := s.seen(secret); !at.Equal(p.Now) {
			t.Errorf("the last activity is lost: the store has %v, want %v", at, p.Now)
		}
	})
}

func TestActivityOutlivesAStoreThatFailsForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSiteIn(t)
		secret, _ := s.signIn(s.alice)
		var reported []error
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() {
			defer close(over)
			s.sessions.Run(ctx, func(err error) { reported = append(reported, err) })
		}()
		time.Sleep(time.Second)
		p := must(s.sessions.Check(asked(secret), false))
		s.store.failUpdates.Store(&errDisk)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if len(reported) != 2 || !errors.Is(reported[0], errDisk) {
			t.Errorf("reported %v, want the failure of two minutes", reported)
		}
		s.store.failUpdates.Store(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if at := s.seen(secret); !at.Equal(p.Now) {
			t.Errorf("the activity is lost: the store has %v, want %v", at, p.Now)
		}
		stop()
		<-over
	})
}

// restarted is the next run of the server on the same store, by the same witness.
func (s *site) restarted(witness string) (sessions *auth.Sessions, hold bool) {
	s.Helper()
	s.svc = s.service(s.limits)
	sessions = auth.NewSessions(s.svc, witness)
	hold, err := sessions.Resume(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return sessions, hold
}

func TestSessionsOutliveARestart(t *testing.T) {
	s := newSite(t)
	witness := filepath.Join(t.TempDir(), "witness")
	if _, hold := s.restarted(witness); !hold {
		t.Error("the first start ends sessions")
	}
	secret, _ := s.signIn(s.alice)
	for range 3 {
		s.clock.Advance(time.Minute)
		sessions, hold := s.restarted(witness)
		if !hold {
			t.Error("a restart ends sessions")
		}
		s.holds(sessions, secret)
	}
	if info := must(os.Stat(witness)); info.Mode() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	if files := must(os.ReadDir(filepath.Dir(witness))); len(files) != 1 {
		t.Errorf("%d files are left, want the witness alone", len(files))
	}
}

func TestSessionsEndWithoutTheirWitness(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, file string)
	}{
		{"lost", func(t *testing.T, file string) { check(t, os.Remove(file)) }},
		{"empty", func(t *testing.T, file string) { check(t, os.WriteFile(file, nil, 0o600)) }},
		{"cut", func(t *testing.T, file string) { change(t, file, func(b []byte) []byte { return b[:len(b)-2] }) }},
		{"with more behind", func(t *testing.T, file string) { change(t, file, func(b []byte) []byte { return append(b, ' ') }) }},
		{"another start", func(t *testing.T, file string) {
			change(t, file, func(b []byte) []byte { b[len(`{"start":"`)] ^= 1; return b })
		}},
		{"another key beside", func(t *testing.T, file string) {
			change(t, file, func(b []byte) []byte { return []byte(`{"more":1,` + string(b[1:])) })
		}},
		{"too large", func(t *testing.T, file string) {
			change(t, file, func(b []byte) []byte { return append(b, make([]byte, 5000)...) })
		}},
		{"put back from a copy", func(t *testing.T, file string) { // whose content is older than the file
			change(t, file, func(b []byte) []byte {
				at := bytes.LastIndex(b, []byte(`"written":"`)) + len(`"written":"`)
				written := must(time.Parse(time.RFC3339Nano, string(b[at:len(b)-3])))
				return append(append(b[:at:at], written.Add(-11*time.Second).Format(time.RFC3339Nano)...), "\"}\n"...)
			})
		}},
		{"written by anybody", func(t *testing.T, file string) { check(t, os.Chmod(file, 0o622)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t)
			witness := filepath.Join(t.TempDir(), "witness")
			s.restarted(witness)
			secret, _ := s.signIn(s.alice)
			s.clock.Advance(time.Minute)
			test.damage(t, witness)
			sessions, hold := s.restarted(witness)
			if hold {
				t.Error("the sessions are said to hold")
			}
			_, err := sessions.Check(asked(secret), false)
			wantEnded(t, err, directory.EndedRestored)
			secret, _ = s.signIn(s.alice) // and all is well again
			if sessions, hold = s.restarted(witness); !hold {
				t.Error("the sessions of the next start do not hold")
			}
			s.holds(sessions, secret)
		})
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func change(t testing.TB, file string, fn func([]byte) []byte) {
	t.Helper()
	check(t, os.WriteFile(file, fn(must(os.ReadFile(file))), 0o600))
}

func TestWitnessThatCannotBeReadOrWrittenIsAnError(t *testing.T) {
	s := newSite(t)
	folder := filepath.Join(t.TempDir(), "folder")
	check(t, os.Mkdir(folder, 0o700))
	for name, file := range map[string]string{"a folder": folder, "below a file that is none": filepath.Join(folder, "a", "b")} {
		if hold, err := auth.NewSessions(s.svc, file).Resume(t.Context()); err == nil || hold {
			t.Errorf("%s: hold %v, error %v", name, hold, err)
		}
	}
	if files := must(os.ReadDir(folder)); len(files) != 0 {
		t.Errorf("files are left: %v", files)
	}
}

func TestWitnessThatCannotBeReplacedLeavesNothing(t *testing.T) {
	s := newSite(t)
	s.signIn(s.alice)
	witness := filepath.Join(t.TempDir(), "witness")
	sessions, _ := s.restarted(witness)
	check(t, os.Remove(witness))
	check(t, os.Mkdir(witness, 0o700))
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var reported []error
	sessions.Run(ctx, func(err error) { reported = append(reported, err) })
	if len(reported) != 1 {
		t.Errorf("reported %v", reported)
	}
	if files := must(os.ReadDir(filepath.Dir(witness))); len(files) != 1 {
		t.Errorf("files are left: %v", files)
	}
}

func TestWithoutAWitnessNoSessionOutlivesTheServer(t *testing.T) {
	s := newSite(t)
	s.restarted("")
	secret, _ := s.signIn(s.alice)
	sessions, hold := s.restarted("")
	if hold {
		t.Error("the sessions are said to hold")
	}
	_, err := sessions.Check(asked(secret), false)
	wantEnded(t, err, directory.EndedRestored)
}

func TestStoreThatFailsIsNoStart(t *testing.T) {
	s := newSite(t)
	s.store.failUpdates.Store(&errDisk)
	witness := filepath.Join(t.TempDir(), "witness")
	if hold, err := auth.NewSessions(s.svc, witness).Resume(t.Context()); hold || !errors.Is(err, errDisk) {
		t.Errorf("hold %v, error %v", hold, err)
	}
	if _, err := os.Stat(witness); err == nil {
		t.Error("there is a witness of what the store does not have")
	}
}

// The witness never tells of more than the store has; and a store from before does not pass for it.
func TestWitnessFollowsTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSiteIn(t)
		witness := filepath.Join(t.TempDir(), "witness")
		sessions, _ := s.restarted(witness)
		secret, _ := s.signIn(s.alice)
		first := must(os.ReadFile(witness))
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan struct{})
		var reported []error
		go func() {
			defer close(over)
			sessions.Run(ctx, func(err error) { reported = append(reported, err) })
		}()
		s.store.failUpdates.Store(&errDisk)
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if now := must(os.ReadFile(witness)); string(now) != string(first) {
			t.Error("the witness goes on although the store does not")
		}
		s.store.failUpdates.Store(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if now := must(os.ReadFile(witness)); string(now) == string(first) {
			t.Error("the witness does not follow the store")
		}
		stop()
		<-over
		if len(reported) != 1 {
			t.Errorf("reported %v", reported)
		}
		s.holds(sessions, secret)
		again, hold := s.restarted(witness)
		if !hold {
			t.Error("a restart ends sessions")
		}
		s.holds(again, secret)
	})
}

func TestRestoredStoreVoidsSessions(t *testing.T) {
	s := newSite(t)
	witness := filepath.Join(t.TempDir(), "witness")
	sessions, _ := s.restarted(witness)
	secret, _ := s.signIn(s.alice)
	copied := filepath.Join(t.TempDir(), "copy.db")
	check(t, os.WriteFile(copied, must(os.ReadFile(s.file)), 0o600))

	s.clock.Advance(time.Minute)
	s.setActive(s.alice, false) // which the copy does not know
	ctx, stop := context.WithCancel(t.Context())
	stop()
	sessions.Run(ctx, func(err error) { t.Error(err) }) // the server stops

	s.clock.Advance(time.Minute)
	s.store = openBreakable(t, copied)
	sessions, hold := s.restarted(witness)
	if hold {
		t.Error("the sessions of a restored store hold")
	}
	_, err := sessions.Check(asked(secret), false)
	wantEnded(t, err, directory.EndedRestored)
}

// Streams.

// open opens a stream for a secret.
func (s *site) open(secret string, fn func(*directory.Principal) error) (context.Context, context.CancelFunc) {
	s.Helper()
	ctx, p, cancel, err := s.sessions.Stream(asked(secret), fn)
	if err != nil {
		s.Fatal(err)
	}
	if p.Account.ID != s.alice.AccountID {
		s.Error("another principal")
	}
	return ctx, cancel
}

func TestStreamEndsWithItsSession(t *testing.T) {
	errGone := errors.New("no longer")
	for _, test := range []struct {
		name   string
		end    func(s *site, session *directory.Session)
		check  func(s *site) func(*directory.Principal) error
		within time.Duration
		reason directory.EndReason
		cause  error
	}{
		{name: "deactivated", end: func(s *site, _ *directory.Session) { s.setActive(s.alice, false) }, reason: directory.EndedDeactivated},
		{name: "out of the group", end: func(s *site, _ *directory.Session) {
			_, err := s.svc.UpdateGroup(s.Context(), operator, s.tenant, s.group.ID, func(g *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
				return directory.GroupInput{DisplayName: g.DisplayName, ExternalID: g.ExternalID, Schemas: g.Schemas, Attributes: g.Attributes}, m.Remove([]directory.ID{s.alice.ID})
			})
			check(s, err)
		}, reason: directory.EndedDeactivated},
		{name: "deleted", end: func(s *site, _ *directory.Session) {
			check(s, s.svc.DeleteUser(s.Context(), operator, s.tenant, s.alice.ID, nil))
		}, reason: directory.EndedDeactivated},
		{name: "revoked", end: func(s *site, x *directory.Session) {
			check(s, s.svc.EndSession(s.Context(), operator, x.AccountID, x.ID, directory.EndedRevoked))
		}, reason: directory.EndedRevoked},
		{name: "expired", end: func(_ *site, x *directory.Session) { time.Sleep(time.Until(x.Expires)) }, within: time.Second, reason: directory.EndedExpired},
		{name: "by another server", end: func(s *site, x *directory.Session) {
			check(s, s.service(s.limits).EndSession(s.Context(), operator, x.AccountID, x.ID, directory.EndedRevoked))
		}, within: time.Second, reason: directory.EndedRevoked},
		{name: "the store fails", end: func(s *site, _ *directory.Session) { s.store.failView.Store(&errDisk) }, within: time.Second, cause: errDisk},
		{name: "its own check says so", end: func(s *site, _ *directory.Session) {}, check: func(*site) func(*directory.Principal) error {
			began := time.Now()
			return func(*directory.Principal) error {
				if time.Since(began) > 5*time.Second {
					return errGone
				}
				return nil
			}
		}, within: 7 * time.Second, cause: errGone},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSiteIn(t)
				secret, session := s.signIn(s.alice)
				var fn func(*directory.Principal) error
				if test.check != nil {
					fn = test.check(s)
				}
				ctx, cancel := s.open(secret, fn)
				defer cancel()
				time.Sleep(2500 * time.Millisecond)
				synctest.Wait()
				if ctx.Err() != nil {
					t.Fatalf("it has ended before its session: %v", context.Cause(ctx))
				}
				test.end(s, session)
				began := time.Now()
				<-ctx.Done()
				if took := time.Since(began); took > test.within {
					t.Errorf("it ended %v later, want within %v", took, test.within)
				}
				if test.cause != nil {
					if !errors.Is(context.Cause(ctx), test.cause) {
						t.Errorf("cause %v, want %v", context.Cause(ctx), test.cause)
					}
					return
				}
				wantEnded(t, context.Cause(ctx), test.reason)
			})
		})
	}
}

func TestStreamIsRefusedWithoutASession(t *testing.T) {
	s := newSite(t)
	secret, _ := s.signIn(s.alice)
	errNo := errors.New("not this one")
	for name, try := range map[string]func() error{
		"no cookie": func() error { _, _, _, err := s.sessions.Stream(asked(), nil); return err },
		"unknown":   func() error { _, _, _, err := s.sessions.Stream(asked(auth.NewSessionSecret().Text), nil); return err },
		"its own check": func() error {
			_, _, _, err := s.sessions.Stream(asked(secret), func(*directory.Principal) error { return errNo })
			return err
		},
	} {
		if err := try(); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
	s.setActive(s.alice, false)
	_, _, _, err := s.sessions.Stream(asked(secret), nil)
	wantEnded(t, err, directory.EndedDeactivated)
}

func TestStreamIsNoActivity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSiteWith(t, time.Now, nil, directory.Limits{SessionIdle: 30 * time.Minute})
		secret, _ := s.signIn(s.alice)
		ctx, cancel := s.open(secret, nil)
		defer cancel()
		began := time.Now()
		<-ctx.Done()
		wantEnded(t, context.Cause(ctx), directory.EndedIdle)
		if took := time.Since(began); took < 30*time.Minute || took > 30*time.Minute+time.Second {
			t.Errorf("idle after %v, want 30 minutes", took)
		}
	})
}

// Many streams of many sessions have one goroutine, which looks once a second at each session, and goes
// with the last of them.
func TestStreamsShareOneLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSiteIn(t)
		first, _ := s.signIn(s.alice)
		second, session := s.signIn(s.alice)
		var all []context.Context
		var cancels []context.CancelFunc
		for i := range 40 {
			ctx, cancel := s.open([]string{first, second}[i%2], nil)
			all, cancels = append(all, ctx), append(cancels, cancel)
		}
		synctest.Wait()
		before := s.store.views.Load()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := s.store.views.Load() - before; n != 20 {
			t.Errorf("%d looks in ten seconds at two sessions, want 20", n)
		}
		check(t, s.svc.EndSession(t.Context(), operator, session.AccountID, session.ID, directory.EndedRevoked))
		synctest.Wait()
		for i, ctx := range all {
			if ended := ctx.Err() != nil; ended != (i%2 == 1) {
				t.Errorf("stream %d: ended %v", i, ended)
			}
		}
		for _, cancel := range cancels {
			cancel()
		}
		synctest.Wait()
		before = s.store.views.Load()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := s.store.views.Load() - before; n != 0 {
			t.Errorf("%d looks although no stream is open", n)
		}
		ctx, cancel := s.open(first, nil) // and it begins again
		s.setActive(s.alice, false)
		<-ctx.Done()
		wantEnded(t, context.Cause(ctx), directory.EndedDeactivated)
		cancel()
	})
}

// A request that is over is forgotten even where nobody says so.
func TestStreamOfARequestThatIsOverIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSiteIn(t)
		secret, _ := s.signIn(s.alice)
		gone, leave := context.WithCancel(t.Context())
		_, _, cancel, err := s.sessions.Stream(asked(secret).WithContext(gone), nil)
		check(t, err)
		leave()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		before := s.store.views.Load()
		time.Sleep(3 * time.Second)
		if n := s.store.views.Load() - before; n != 0 {
			t.Errorf("%d looks for a request that is over", n)
		}
		cancel()
	})
}

// Activity of more sessions than one transaction should carry is handed over in several, at once when the
// memory for it is half full; beyond the bound nothing is noted, and what is noted stays.
func TestNotesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSiteIn(t)
		s.signIn(s.alice) // without any session, there is nothing to write
		hash := func(i int) [32]byte { return [32]byte{1, byte(i), byte(i >> 8), byte(i >> 16)} }
		for i := range auth.MaxNotes {
			s.sessions.Note(hash(i), time.Now())
		}
		s.sessions.Note(hash(auth.MaxNotes), time.Now())
		if !s.sessions.Noted(hash(auth.MaxNotes)).IsZero() {
			t.Error("one more than the bound is noted")
		}
		later := time.Now().Add(time.Second)
		s.sessions.Note(hash(0), later)
		if !s.sessions.Noted(hash(0)).Equal(later) {
			t.Error("a session that is noted cannot be noted again")
		}
		before := s.store.updates.Load()
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() {
			defer close(over)
			s.sessions.Run(ctx, func(err error) { t.Error(err) })
		}()
		synctest.Wait() // not a moment of the minute has passed
		if n := s.store.updates.Load() - before; n < auth.MaxNotes/auth.KeepAtOnce {
			t.Errorf("%d transactions for %d notes", n, auth.MaxNotes)
		}
		if !s.sessions.Noted(hash(7)).IsZero() {
			t.Error("a note stays that the store has")
		}
		stop()
		<-over
	})
}

// BenchmarkStreams is what one look at 5,000 streams of 1,000 people costs; it is done once a second.
func BenchmarkStreams(b *testing.B) {
	s := newSite(b)
	for i := range 1000 {
		u := s.person(fmt.Sprintf("p%04d", i), fmt.Sprintf("9a6b1f3e-0000-4000-8000-0000f000%04x", i))
		_, err := s.svc.UpdateGroup(b.Context(), operator, s.tenant, s.group.ID, func(g *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
			return directory.GroupInput{DisplayName: g.DisplayName, ExternalID: g.ExternalID, Schemas: g.Schemas, Attributes: g.Attributes}, m.Add([]directory.ID{u.ID})
		})
		check(b, err)
		for range 5 {
			secret, _ := s.signIn(u)
			_, _, cancel, err := s.sessions.Stream(asked(secret), nil)
			check(b, err)
			defer cancel()
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		s.sessions.Look()
	}
}
