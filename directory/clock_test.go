package directory_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/directory"
)

// Rule 9: a session ends 8 hours after sign-in, whatever the activity, and whatever becomes of the
// wall clock, the server and its file.

// machine is a server on a machine with a wall clock that can be set and one that cannot. Within a
// synctest bubble time.Now is the truth.
type machine struct {
	*scene
	path    string
	limits  directory.Limits
	truth   func() time.Time
	offset  time.Duration // of the wall clock from the truth
	boot    time.Time
	witness directory.Witness
	seen    map[[32]byte]time.Time
}

var theServer = directory.Actor{Role: directory.RoleSystem, Channel: "system"}

func (m *machine) wall() time.Time { return m.truth().Add(m.offset).Round(0) }

// start begins a run of the server on the store, and tells whether sessions hold.
func (m *machine) start() bool {
	m.Helper()
	m.svc = directory.New(m.store, directory.Options{Now: m.wall, NewID: m.newID, Normalize: compose, Limits: m.limits,
		Elapsed: func() time.Duration { return m.truth().Sub(m.boot) }})
	witness, hold, err := m.svc.ResumeSessions(m.ctx, theServer, m.witness)
	if err != nil {
		m.Fatalf("ResumeSessions: %v", err)
	}
	m.witness, m.seen = witness, map[[32]byte]time.Time{}
	return hold
}

// keep does the housekeeping of a minute.
func (m *machine) keep() {
	m.Helper()
	w, err := m.svc.KeepSessions(m.ctx, theServer, m.seen)
	if err != nil {
		m.Fatalf("KeepSessions: %v", err)
	}
	if w != (directory.Witness{}) {
		m.witness = w
	}
	clear(m.seen)
}

// ask tells why a session is refused; empty: it is not, and that was activity.
func (m *machine) ask(secret string) directory.EndReason {
	m.Helper()
	hash := secretHash(secret)
	p, err := m.svc.CheckSession(m.ctx, hash, m.seen[hash])
	var ended *directory.SessionEnded
	switch {
	case err == nil:
		m.seen[hash] = p.Now
		return ""
	case errors.As(err, &ended):
		return ended.Reason
	}
	m.Fatalf("CheckSession: %v", err)
	return ""
}

// copyFile keeps what the store's file holds now; it is closed meanwhile.
func (m *machine) copyFile(t *testing.T, from, to string) {
	t.Helper()
	if err := m.store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, must(os.ReadFile(from)), 0o600); err != nil {
		t.Fatal(err)
	}
	m.store.Store = openStore(t, m.path).Store
}

// newMachine has ada signed in on a new machine; secret is her session's.
func newMachine(t *testing.T, limits directory.Limits) (m *machine, secret string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "directory.db")
	store := openStore(t, path)
	w := worldOn(t.Context(), t, store, directory.Limits{})
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	m = &machine{scene: sceneOn(w), path: path, limits: limits, truth: time.Now, boot: time.Now().Add(-100 * time.Hour)}
	if !m.start() {
		t.Fatal("a new store has sessions to void")
	}
	return m, m.signIn(m.ada.AccountID)
}

// An event of a test, so long after the sign-in by the truth.
type event struct {
	at time.Duration
	do func(t *testing.T, m *machine)
}

func setBack(d time.Duration) func(*testing.T, *machine) {
	return func(_ *testing.T, m *machine) { m.offset -= d }
}

// restart stops the server for a while. meanwhile is done when it is down.
func restart(down time.Duration, hold bool, meanwhile ...func(*testing.T, *machine)) func(*testing.T, *machine) {
	return func(t *testing.T, m *machine) {
		t.Helper()
		m.keep() // once more, when it ends
		for _, do := range meanwhile {
			do(t, m)
		}
		time.Sleep(down)
		if got := m.start(); got != hold {
			t.Errorf("sessions hold: %v, want %v", got, hold)
		}
	}
}

func crash(_ *testing.T, m *machine) { m.svc = nil }

func TestEightHours(t *testing.T) {
	t.Parallel()
	const hour, minute = time.Hour, time.Minute
	step := minute
	if testing.Short() {
		step = 10 * minute
	}
	reboot := func(_ *testing.T, m *machine) { m.boot = time.Now() }
	for _, test := range []struct {
		name   string
		limits directory.Limits
		events []event
		end    time.Duration // the first minute of the truth at which the session is refused
		reason directory.EndReason
	}{
		{name: "used every minute", end: 8 * hour, reason: directory.EndedExpired},
		{name: "the clock is set back", events: []event{{7 * hour, setBack(2 * hour)}}, end: 8 * hour, reason: directory.EndedExpired},
		{name: "the clock is set back by a year", events: []event{{10 * minute, setBack(365 * 24 * hour)}}, end: 8 * hour, reason: directory.EndedExpired},
		{name: "the clock is set back and forward again", events: []event{{hour, setBack(2 * hour)}, {3 * hour, setBack(-2 * hour)}}, end: 8 * hour, reason: directory.EndedExpired},
		{name: "the clock is set forward", events: []event{{5 * hour, setBack(-hour)}}, end: 7 * hour, reason: directory.EndedExpired},
		{name: "the clock is set forward and back", events: []event{{3 * hour, setBack(-hour)}, {4 * hour, setBack(hour)}}, end: 7 * hour, reason: directory.EndedExpired},
		{name: "the clock is set forward by a day", events: []event{{3 * hour, setBack(-24 * hour)}}, end: 3 * hour, reason: directory.EndedExpired},
		{name: "restart", events: []event{{4 * hour, restart(0, true)}}, end: 8 * hour, reason: directory.EndedExpired},
		{name: "down for an hour", events: []event{{4 * hour, restart(hour, true)}}, end: 8 * hour, reason: directory.EndedExpired},
		{name: "down until the end", events: []event{{4 * hour, restart(5*hour, true)}}, end: 9 * hour, reason: directory.EndedExpired},
		{name: "restart each hour", end: 8 * hour, reason: directory.EndedExpired,
			events: []event{{1 * hour, restart(0, true)}, {2 * hour, restart(0, true)}, {3 * hour, restart(0, true)}, {4 * hour, restart(0, true)}}},
		{name: "restart with the clock set back", events: []event{{4 * hour, restart(0, false, setBack(2*hour))}}, end: 4 * hour, reason: directory.EndedRestored},
		{name: "restart with the clock corrected by seconds", events: []event{{4 * hour, restart(0, true, setBack(59*time.Second))}}, end: 8 * hour, reason: directory.EndedExpired},
		{name: "restart with the clock set back by little more", events: []event{{4 * hour, restart(0, false, setBack(61*time.Second))}}, end: 4 * hour, reason: directory.EndedRestored},
		{name: "restart after the clock was set back", events: []event{{3 * hour, setBack(2 * hour)}, {4 * hour, restart(0, false)}}, end: 4 * hour, reason: directory.EndedRestored},
		{name: "set back while the server is down", events: []event{{4 * hour, restart(2*hour, true, setBack(2*hour-time.Second))}}, end: 8 * hour, reason: directory.EndedExpired},
		{name: "set back while the server is down, after a crash", end: 8 * hour, reason: directory.EndedExpired,
			events: []event{{4 * hour, func(t *testing.T, m *machine) {
				crash(t, m)
				time.Sleep(hour)
				m.offset -= hour
				if !m.start() {
					t.Error("sessions do not hold")
				}
			}}}},
		{name: "another boot", events: []event{{4 * hour, restart(10*minute, true, reboot)}}, end: 8 * hour, reason: directory.EndedExpired},
		{name: "another boot with the clock corrected by seconds", events: []event{{4 * hour, restart(0, true, reboot, setBack(59*time.Second))}}, end: 8 * hour, reason: directory.EndedExpired},
		{name: "another boot with the clock set back", events: []event{{4 * hour, restart(10*minute, false, reboot, setBack(12*minute))}}, end: 4*hour + 10*minute, reason: directory.EndedRestored},
		{name: "the witness is lost", events: []event{{4 * hour, restart(0, false, func(_ *testing.T, m *machine) { m.witness = directory.Witness{} })}}, end: 4 * hour, reason: directory.EndedRestored},
		{name: "the witness of another start", events: []event{{4 * hour, restart(0, false, func(_ *testing.T, m *machine) { m.witness.Start = "other" })}}, end: 4 * hour, reason: directory.EndedRestored},
		{name: "the witness of later", events: []event{{4 * hour, restart(0, false, func(_ *testing.T, m *machine) { m.witness.Mark = m.witness.Mark.Add(time.Millisecond) })}}, end: 4 * hour, reason: directory.EndedRestored},
		{name: "the witness of earlier", events: []event{{4 * hour, restart(0, true, func(_ *testing.T, m *machine) { m.witness.Mark = m.witness.Mark.Add(-hour) })}}, end: 8 * hour, reason: directory.EndedExpired},
		{name: "the store of an hour before", end: 4 * hour, reason: directory.EndedRestored,
			events: []event{
				{3 * hour, func(t *testing.T, m *machine) { t.Helper(); m.copyFile(t, m.path, m.path+".copy") }},
				{4 * hour, restart(0, false, func(t *testing.T, m *machine) { t.Helper(); m.copyFile(t, m.path+".copy", m.path) })},
			}},
		{name: "the store of before a restart", end: 4 * hour, reason: directory.EndedRestored,
			events: []event{
				{2 * hour, func(t *testing.T, m *machine) { t.Helper(); m.copyFile(t, m.path, m.path+".copy") }},
				{3 * hour, restart(0, true)},
				{4 * hour, restart(0, false, func(t *testing.T, m *machine) { t.Helper(); m.copyFile(t, m.path+".copy", m.path) })},
			}},
		{name: "void sessions stay void", end: 2 * hour, reason: directory.EndedRestored,
			events: []event{{2 * hour, restart(0, false, func(_ *testing.T, m *machine) { m.witness = directory.Witness{} })}, {3 * hour, restart(0, true)}}},
		{name: "a shorter life", limits: directory.Limits{SessionLife: 3 * hour}, end: 3 * hour, reason: directory.EndedExpired},
		{name: "a life that is too long", limits: directory.Limits{SessionLife: 9 * hour}, end: 8 * hour, reason: directory.EndedExpired},
		{name: "the life is made shorter", events: []event{{2 * hour, restart(0, true, func(_ *testing.T, m *machine) { m.limits.SessionLife = 3 * hour })}}, end: 3 * hour, reason: directory.EndedExpired},
		{name: "the life is made longer", limits: directory.Limits{SessionLife: 3 * hour}, end: 3 * hour, reason: directory.EndedExpired,
			events: []event{{2 * hour, restart(0, true, func(_ *testing.T, m *machine) { m.limits.SessionLife = 8 * hour })}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m, secret := newMachine(t, test.limits)
				begin := time.Now()
				events := test.events
				for {
					at := time.Since(begin)
					if len(events) > 0 && events[0].at == at {
						events[0].do(t, m)
						events = events[1:]
						at = time.Since(begin)
					}
					why := m.ask(secret)
					gone := why == directory.EndedUnknown && test.reason == directory.EndedExpired && at > test.end // with its record
					if (why != "") != (at >= test.end) || why != "" && why != test.reason && !gone {
						t.Fatalf("after %v: %q; it is to end after %v: %q", at, why, test.end, test.reason)
					}
					if at > test.end+2*hour {
						return
					}
					next := at.Truncate(step) + step
					if next == test.end && len(events) == 0 { // not a moment earlier
						time.Sleep(next - at - time.Millisecond)
						if why := m.ask(secret); why != "" {
							t.Fatalf("a millisecond before its end: %q", why)
						}
						time.Sleep(time.Millisecond)
						continue
					}
					m.keep()
					time.Sleep(next - at)
				}
			})
		})
	}
}

// By the readings of time.Now alone, which tell of the monotonic clock, it is the same.
func TestEightHoursByTimeNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, _ := newMachine(t, directory.Limits{})
		m.svc = directory.New(m.store, directory.Options{Now: time.Now, NewID: m.newID, Normalize: compose})
		secret := m.signIn(m.ada.AccountID)
		time.Sleep(8*time.Hour - time.Millisecond)
		if !m.signedIn(secret) {
			t.Error("ended too early")
		}
		time.Sleep(time.Millisecond)
		if m.signedIn(secret) {
			t.Error("goes on")
		}
	})
}

func TestIdleLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 30 * time.Minute
		m, secret := newMachine(t, directory.Limits{SessionIdle: limit})
		for range 5 { // activity carries it on
			time.Sleep(limit - time.Millisecond)
			if why := m.ask(secret); why != "" {
				t.Fatalf("ended: %s", why)
			}
		}
		m.keep() // and is remembered across a restart
		if !m.start() {
			t.Error("sessions do not hold")
		}
		time.Sleep(limit - time.Millisecond)
		hash := secretHash(secret)
		if _, err := m.svc.CheckSession(m.ctx, hash, time.Time{}); err != nil { // a look that is no activity
			t.Errorf("ended: %v", err)
		}
		time.Sleep(time.Millisecond)
		for range 3 { // what was refused is no activity
			if why := m.ask(secret); why != directory.EndedIdle {
				t.Errorf("%q, want idle", why)
			}
			m.keep()
		}
		other := m.signIn(m.ada.AccountID)
		time.Sleep(2 * limit)
		if _, err := m.svc.CheckSession(m.ctx, secretHash(other), m.svc.SessionNow()); err != nil { // as the caller knows
			t.Errorf("ended: %v", err)
		}
		if why := m.ask(other); why != directory.EndedIdle {
			t.Errorf("%q, want idle", why)
		}
		m.limits.SessionIdle = 0 // no limit
		if !m.start() || m.ask(other) != "" {
			t.Error("ended without a limit")
		}
	})
}

// KeepSessions keeps what it is told and drops what is over, at the right moment, and writes nothing
// when there is nothing.
func TestKeepSessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, secret := newMachine(t, directory.Limits{})
		keep := func(seen map[[32]byte]time.Time) directory.Witness {
			t.Helper()
			return must(m.svc.KeepSessions(m.ctx, theServer, seen))
		}
		hash := secretHash(secret)
		session := func() *directory.Session {
			return view(m.world, func(s *directory.Snapshot) (*directory.Session, error) { return s.Session(hash[:]) })
		}
		made := session()
		time.Sleep(time.Minute)
		now := m.svc.SessionNow()
		w := keep(map[[32]byte]time.Time{hash: now, {1}: now})
		if !session().Seen.Equal(now) || !w.Mark.Equal(now) || w.Start != m.witness.Start {
			t.Errorf("%+v, %+v", session(), w)
		}
		keep(map[[32]byte]time.Time{hash: made.Created}) // never back
		if got := session(); !got.Seen.Equal(now) || !got.Expires.Equal(made.Expires) {
			t.Errorf("%+v", got)
		}
		if err := m.svc.EndSession(m.ctx, operator, m.ada.AccountID, made.ID, directory.EndedRevoked); err != nil {
			t.Fatal(err)
		}
		keep(map[[32]byte]time.Time{hash: now.Add(time.Minute)})
		if got := session(); !got.Seen.Equal(now) || got.Reason != directory.EndedRevoked {
			t.Errorf("what has ended was used: %+v", got)
		}
		m.signInAs(m.ada, "sub", "directory")
		state, later := secretHash("state"), secretHash("later")
		for hash, until := range map[[32]byte]time.Duration{state: 10 * time.Minute, later: 20 * time.Hour} {
			if err := m.svc.UseState(m.ctx, push, hash, m.svc.SessionNow().Add(until)); err != nil {
				t.Fatal(err)
			}
		}
		must(m.svc.CreateLink(m.ctx, operator, directory.LinkSetup, directory.ID{}, state, 10*time.Minute))
		rows := func() (n int) {
			for _, name := range []string{"sessions", "session_end", "account_session", "session_sid", "sign_in_states", "links"} {
				n += m.rows(name)
			}
			return n
		}
		time.Sleep(10*time.Minute - time.Millisecond)
		keep(nil)
		if rows() != 10 {
			t.Errorf("%d rows, want 10", rows())
		}
		time.Sleep(time.Millisecond)
		keep(nil)
		if rows() != 8 {
			t.Errorf("%d rows, want 8: without the state and the link", rows())
		}
		checkInvariants(m.world)
		time.Sleep(made.Expires.Sub(m.svc.SessionNow()) - time.Millisecond)
		keep(nil)
		if rows() != 8 || m.ask(secret) != directory.EndedRevoked {
			t.Errorf("%d rows, %q", rows(), m.ask(secret))
		}
		time.Sleep(time.Millisecond)
		keep(nil)
		if rows() != 5 || m.ask(secret) != directory.EndedUnknown || m.ask("directory") != "" {
			t.Errorf("%d rows, %q, %q", rows(), m.ask(secret), m.ask("directory"))
		}
		checkInvariants(m.world)
		time.Sleep(24 * time.Hour)
		keep(nil)
		if rows() != 0 {
			t.Errorf("%d rows, want 0", rows())
		}
		checkInvariants(m.world)
		m.unchanged(func() {
			cost := m.store.counted(func() {
				if w := keep(map[[32]byte]time.Time{hash: now}); w != (directory.Witness{}) {
					t.Errorf("%+v", w)
				}
			})
			if cost.Updates != 0 {
				t.Errorf("%d transactions of nothing", cost.Updates)
			}
		})
	})
}

// rows counts the rows of a table.
func (w *world) rows(name string) (n int) {
	err := w.store.Store.View(w.ctx, func(r directory.Reader) error {
		return r.Scan(table(name), directory.Range{}, func(_, _ []byte) bool { n++; return true })
	})
	if err != nil {
		w.Errorf("rows: %v", err)
	}
	return n
}

// More than one call can carry goes in steps.
func TestKeepSessionsInSteps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, _ := newMachine(t, directory.Limits{SessionLife: time.Minute})
		until := m.svc.SessionNow().Add(time.Minute)
		m.raw(func(w directory.Writer) error {
			for i := range 1001 {
				if err := w.Put(table("sign_in_states"), cat(uint64(i)), cat(uint64(until.UnixMilli()))); err != nil {
					return err
				}
			}
			return nil
		})
		time.Sleep(time.Minute)
		for _, left := range []int{1, 0} {
			m.keep()
			if n := m.rows("sign_in_states"); n != left {
				t.Errorf("%d states are left, want %d", n, left)
			}
		}
	})
}

// What nobody can vouch for ends with its one-time links, which may have been used.
func TestResumeEndsLinks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, _ := newMachine(t, directory.Limits{})
		must(m.svc.CreateLink(m.ctx, operator, directory.LinkSetup, directory.ID{}, secretHash("link"), time.Hour))
		waits := m.svc.SessionsEnded()
		if !m.start() || m.rows("links") != 1 {
			t.Error("a link ends with a restart")
		}
		select {
		case <-waits:
			t.Error("told of the end of sessions")
		default:
		}
		m.witness = directory.Witness{}
		if m.start() || m.rows("links") != 0 {
			t.Error("a link survives")
		}
		if e := m.lastAudit(); e.Action != "session.end-restored" {
			t.Errorf("audit: %+v", e)
		}
		// A server without a witness of its own cannot tell a store from a copy of it.
		if m.witness = (directory.Witness{}); m.start() {
			t.Error("sessions hold without a witness")
		}
	})
}

// A session of a time to come is none, should the server not have come to mark how far it was.
func TestSessionOfATimeToCome(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		back time.Duration
		want directory.EndReason
	}{{61 * time.Second, directory.EndedRestored}, {time.Minute, ""}} {
		synctest.Test(t, func(t *testing.T) {
			m, _ := newMachine(t, directory.Limits{})
			time.Sleep(time.Hour)
			secret := m.signIn(m.ada.AccountID)
			crash(t, m)
			m.offset, m.boot = -test.back, time.Now()
			if !m.start() {
				t.Error("sessions do not hold")
			}
			if why := m.ask(secret); why != test.want {
				t.Errorf("set back by %v: %q, want %q", test.back, why, test.want)
			}
		})
	}
}

// A new store in place of the one that was left: its sessions, if any, are nobody's.
func TestResumeOnANewStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, witness := range []directory.Witness{{Start: "other", Mark: w.clock.Now()}, {Mark: w.clock.Now().Add(-time.Hour)}} {
		w.raw(func(wr directory.Writer) error { return wr.Delete(table("settings"), []byte("sessions")) })
		if _, hold, err := w.svc.ResumeSessions(w.ctx, theServer, witness); hold || err != nil {
			t.Errorf("%+v: %v, %v", witness, hold, err)
		}
	}
}

// Housekeeping without ResumeSessions, as by a command beside the server, leaves the witness alone.
func TestKeepWithoutResume(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.signIn(s.ada.AccountID)
	s.unchanged(func() {
		if w := must(s.svc.KeepSessions(s.ctx, theServer, nil)); w != (directory.Witness{}) {
			t.Errorf("%+v", w)
		}
	})
}

// Whatever the order of jumps, waits, restarts and boots: no session is accepted more than 8 hours of
// true time after it was made; for each boot, a minute more, when the clock was set back by as little.
func TestNeverMoreThanEightHours(t *testing.T) {
	rapidFlag(t, "checks", "40")
	rapidFlag(t, "steps", "60")
	accepted := 0
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		store := openStore(rt, filepath.Join(dir, "directory.db"))
		defer func() {
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}()
		now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
		m := &machine{scene: sceneOn(worldOn(context.Background(), rt, store, directory.Limits{})), truth: func() time.Time { return now }, boot: now.Add(-time.Hour)}
		m.start()
		type made struct {
			at    time.Time
			boots int
		}
		sessions := map[string]*made{}
		wait := func(t *rapid.T) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(3*time.Hour)).Draw(t, "wait")).Truncate(time.Millisecond)
		}
		up := func(hold bool) {
			for secret := range sessions {
				if !hold && m.ask(secret) == "" {
					rt.Errorf("a session of before holds")
				}
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"SignIn": func(*rapid.T) {
				if len(sessions) < 15 {
					sessions[m.signIn(m.ada.AccountID)] = &made{at: now}
				}
			},
			"Sleep": func(t *rapid.T) { now = now.Add(wait(t)); m.keep() },
			"Jump": func(t *rapid.T) {
				m.offset += time.Duration(rapid.Int64Range(-int64(12*time.Hour), int64(3*time.Hour)).Draw(t, "jump")).Truncate(time.Millisecond)
				m.keep()
			},
			"Jitter": func(t *rapid.T) {
				m.offset += time.Duration(rapid.Int64Range(-int64(time.Minute), int64(time.Minute)).Draw(t, "jitter")).Truncate(time.Millisecond)
			},
			"Restart": func(t *rapid.T) {
				now = now.Add(wait(t))
				m.offset -= min(wait(t), time.Hour)
				up(m.start())
			},
			"Boot": func(t *rapid.T) {
				m.keep()
				now = now.Add(wait(t))
				m.boot = now
				for _, x := range sessions {
					x.boots++
				}
				up(m.start())
			},
			"": func(t *rapid.T) {
				for secret, x := range sessions {
					why := m.ask(secret)
					if why != "" {
						continue
					}
					accepted++
					if age := now.Sub(x.at); age >= 8*time.Hour+time.Duration(x.boots)*time.Minute {
						t.Fatalf("a session is accepted %v after it was made, %d boots", age, x.boots)
					}
				}
			},
		})
	})
	if accepted < 100 {
		t.Errorf("%d sessions were accepted at all", accepted)
	}
}
