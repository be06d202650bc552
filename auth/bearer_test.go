package auth_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

func TestBearerOpensItsTenant(t *testing.T) {
	w := newWorld(t)
	a, id := w.token(w.alpha, 0)
	b, _ := w.token(w.bravo, 0)
	w.opens(a, w.alpha)
	w.opens(b, w.bravo)
	if _, got, _ := w.authenticate(a); got != id {
		t.Errorf("token id %s, want %s", got, id)
	}
	w.opens(auth.NewSecret().Text, directory.ID{})
}

// A text that is no whole secret is refused before anything is looked up.
func TestBearerRefusesDamagedTokens(t *testing.T) {
	w := newWorld(t)
	good, _ := w.token(w.alpha, 0)
	before := w.store.views.Load()
	refused := func(text string) {
		t.Helper()
		w.opens(text, directory.ID{})
		if w.store.views.Load() != before {
			t.Fatalf("%q was looked up", text)
		}
	}
	for i := range good {
		for _, c := range []byte("0aZ_-. \x00\x7f") {
			if c != good[i] {
				refused(good[:i] + string([]byte{c}) + good[i+1:])
			}
		}
		refused(good[:i] + good[i+1:])
		refused(good[:i] + "0" + good[i:])
		refused(good[:i])
		if i > 0 && good[i] != good[i-1] {
			refused(good[:i-1] + good[i:i+1] + good[i-1:i] + good[i+1:])
		}
	}
	for _, text := range []string{"", "null", "bzs_", "bza_", strings.ToUpper(good), strings.ToLower(good), good + "A", good + " ", " " + good, good + good,
		"bza_" + good[4:], "BZS_" + good[4:], strings.Repeat("0", 53), "bzs_" + strings.Repeat("0", 49), good + strings.Repeat("0", 1<<20)} {
		refused(text)
	}
	w.opens(good, w.alpha)
}

// The same error for a token that is malformed, unknown, ended or revoked.
func TestBearerTellsNothing(t *testing.T) {
	w := newWorld(t)
	ended, _ := w.token(w.alpha, time.Hour)
	revoked, id := w.token(w.alpha, 0)
	if err := w.svc.RevokeToken(t.Context(), operator, w.alpha, id); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Hour)
	for name, token := range map[string]string{"malformed": "x", "unknown": auth.NewSecret().Text, "ended": ended, "revoked": revoked} {
		_, _, err := w.authenticate(token)
		if _, _, none := w.authenticate(""); err == nil || err.Error() != none.Error() {
			t.Errorf("%s: %v, want %v", name, err, none)
		}
	}
}

func TestBearerSeesChangesAtOnce(t *testing.T) {
	w := newWorld(t)
	token, id := w.token(w.alpha, 2*time.Hour)
	w.opens(token, w.alpha)

	first, _, _ := w.authenticate(token)
	if again, _, _ := w.authenticate(token); again != first {
		t.Error("an unchanged tenant is another pointer")
	}
	set := func(strict bool) {
		must(w.svc.SetTenant(t.Context(), operator, w.alpha, func(x *directory.Tenant) error { x.SCIM.Strict = strict; return nil }))
	}
	set(true)
	if changed, _, _ := w.authenticate(token); !changed.SCIM.Strict {
		t.Error("a change of the tenant is not seen")
	}
	set(false)
	if changed, _, _ := w.authenticate(token); changed.SCIM.Strict {
		t.Error("a change back is not seen")
	}

	w.clock.Advance(2*time.Hour - time.Millisecond)
	w.opens(token, w.alpha)
	w.clock.Advance(time.Millisecond)
	w.opens(token, directory.ID{})

	w.clock.Advance(-time.Hour)
	w.opens(token, w.alpha)
	if err := w.svc.RevokeToken(t.Context(), operator, w.alpha, id); err != nil {
		t.Fatal(err)
	}
	w.opens(token, directory.ID{})
}

func TestBearerDuringRotation(t *testing.T) {
	w := newWorld(t)
	old, id := w.token(w.alpha, 0)
	w.opens(old, w.alpha)
	s := auth.NewSecret()
	must(w.svc.RotateToken(t.Context(), operator, w.alpha, id, directory.NewToken{Hash: s.Hash, Hint: s.Hint}, time.Hour))
	w.opens(old, w.alpha)
	w.opens(s.Text, w.alpha)
	w.clock.Advance(time.Hour)
	w.opens(old, directory.ID{})
	w.opens(s.Text, w.alpha)
}

// What the store cannot say is not a refusal: the client would think its token gone.
func TestBearerWithAFailedStore(t *testing.T) {
	w := newWorld(t)
	token, _ := w.token(w.alpha, 0)
	w.opens(token, w.alpha)
	for _, broken := range []error{errors.New("disk"), directory.ErrDamaged, directory.ErrFailed, context.Canceled} {
		w.store.fail.Store(&broken)
		tenant, _, err := w.authenticate(token)
		if tenant != nil || !errors.Is(err, broken) || directory.KindOf(err) == directory.Unauthorized {
			t.Errorf("%v: tenant %v, error %v", broken, tenant, err)
		}
	}
	w.store.fail.Store(nil)
	w.opens(token, w.alpha)
}

func (w *world) lastUse(token string) (at time.Time, from string) {
	w.Helper()
	hash := auth.Hash(token)
	err := w.svc.View(w.Context(), func(sn *directory.Snapshot) error {
		record, err := sn.TokenRecord(hash[:])
		if err != nil {
			return err
		}
		t, err := directory.DecodeToken(record)
		if err == nil {
			at, from = t.LastUsed, t.LastUsedFrom
		}
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return at, from
}

// Last use is noted to the minute, and once a minute at most.
func TestBearerNotesLastUse(t *testing.T) {
	w := newWorld(t)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.bearer.Run(ctx, func(err error) { t.Error(err) }) })
	t.Cleanup(func() { stop(); running.Wait() })

	token, _ := w.token(w.alpha, 0)
	noted := func(want time.Time, from string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			at, by := w.lastUse(token)
			if at.Equal(want) && by == from {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("last use is %v from %s, want %v from %s", at, by, want, from)
			}
		}
	}
	minute := w.clock.Now().Truncate(time.Minute)
	w.opens(token, w.alpha)
	noted(minute, "192.0.2.1")

	before := w.store.updates.Load()
	for range 20 {
		w.opens(token, w.alpha)
	}
	w.clock.Advance(29 * time.Second)
	w.opens(token, w.alpha)
	w.clock.Advance(time.Second) // the next minute
	if _, _, err := w.bearer.Authenticate(t.Context(), token, "192.0.2.2"); err != nil {
		t.Fatal(err)
	}
	noted(minute.Add(time.Minute), "192.0.2.2")
	if n := w.store.updates.Load() - before; n != 1 {
		t.Errorf("22 uses within a minute and one in the next wrote %d times", n)
	}
	w.opens(auth.NewSecret().Text, directory.ID{})
	w.opens(token, w.alpha)
}

// A refused token leaves no note, and a full queue stops nobody.
func TestBearerWithoutRun(t *testing.T) {
	w := newWorld(t)
	token, id := w.token(w.alpha, 0)
	for range 1000 {
		w.clock.Advance(time.Minute)
		w.opens(token, w.alpha)
	}
	if err := w.svc.RevokeToken(t.Context(), operator, w.alpha, id); err != nil {
		t.Fatal(err)
	}
	w.opens(token, directory.ID{})
	if at, _ := w.lastUse(token); !at.IsZero() {
		t.Errorf("last use is %v though nobody wrote it", at)
	}
}

func TestBearerInParallel(t *testing.T) {
	w := newWorld(t)
	a, _ := w.token(w.alpha, 0)
	b, id := w.token(w.bravo, 0)
	var wg sync.WaitGroup
	revoked := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for i := range 200 {
				w.opens(a, w.alpha)
				select {
				case <-revoked:
					w.opens(b, directory.ID{})
				default:
					if tenant, _, err := w.authenticate(b); err == nil && tenant.ID != w.bravo {
						t.Error("the token of bravo opens another tenant")
					}
				}
				if i%50 == 0 {
					must(w.svc.SetTenant(context.Background(), operator, w.alpha, func(*directory.Tenant) error { return nil }))
				}
			}
		})
	}
	if err := w.svc.RevokeToken(t.Context(), operator, w.bravo, id); err != nil {
		t.Error(err)
	}
	close(revoked)
	wg.Wait()
}
