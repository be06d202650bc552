package auth

import (
	"context"
	"encoding/hex"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/crypto/argon2"
	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/directory"
)

func TestPasswordHashIsArgon2id(t *testing.T) {
	p := newPasswords()
	hashed, err := p.hash(t.Context(), "a few words do well")
	if err != nil {
		t.Fatal(err)
	}
	h, err := parsePHC(hashed)
	if err != nil || !strings.HasPrefix(hashed, "$argon2id$v=19$m=65536,t=3,p=1$") || len(h.salt) != 16 || len(h.key) != 32 {
		t.Fatalf("%s, %v", hashed, err)
	}
	// By the library itself, not by what made it.
	if want := argon2.IDKey([]byte("a few words do well"), h.salt, 3, 64<<10, 1, 32); string(want) != string(h.key) {
		t.Error("the key is not argon2id of the password")
	}
	h.key[len(h.key)-1] ^= 1
	if ok, _, err := p.check(t.Context(), h.String(), "a few words do well"); ok || err != nil {
		t.Errorf("a key that differs in its last bit: %v %v", ok, err)
	}
	if again, _ := p.hash(t.Context(), "a few words do well"); again == hashed {
		t.Error("two hashes of a password are the same: there is no salt")
	}
	if ok, weak, err := p.check(t.Context(), hashed, "a few words do well"); !ok || weak || err != nil {
		t.Errorf("the right password: %v %v %v", ok, weak, err)
	}
}

// A hash that no password has looks like any other, and takes nothing of those who sign in.
func TestNoPasswordIsNotHashed(t *testing.T) {
	p := newPasswords()
	p.derive = func(password, salt []byte, c argonCost, length uint32) []byte {
		t.Error("it is derived")
		return argon2id(password, salt, c, length)
	}
	for range hashesAtOnce { // all are at work
		p.slots <- struct{}{}
	}
	l := &Local{passwords: p}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	one, err := l.NoPassword(ctx)
	two, _ := l.NoPassword(ctx)
	if err != nil || one == two {
		t.Fatalf("%q %q, %v", one, two, err)
	}
	if h, err := parsePHC(one); err != nil || h.cost != passwordCost || len(h.salt) != saltBytes || len(h.key) != keyBytes || string(h.key) == string(make([]byte, keyBytes)) {
		t.Errorf("%s, %v", one, err)
	}
	p = cheap()
	for _, password := range []string{"", one, "a few words do well"} {
		if ok, _, err := p.check(t.Context(), one, password); ok || err != nil {
			t.Errorf("%q: %v, %v", password, ok, err)
		}
	}
}

// TestPasswordOfTheReference checks a hash that the reference implementation's test suite gives
// (phc-winner-argon2, src/test.c: version 0x13, type id, t=2, m=65536, p=1, "password", "somesalt").
func TestPasswordOfTheReference(t *testing.T) {
	const reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	p := newPasswords()
	if h, err := parsePHC(reference); err != nil || hex.EncodeToString(h.key) != "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7" {
		t.Fatalf("%+v, %v", h, err)
	}
	if ok, weak, err := p.check(t.Context(), reference, "password"); !ok || !weak || err != nil {
		t.Errorf("the reference's password: %v, weak %v, %v", ok, weak, err)
	}
	if ok, _, err := p.check(t.Context(), reference, "passwore"); ok || err != nil {
		t.Errorf("another password: %v, %v", ok, err)
	}
}

// cheap is passwords whose hashes cost nothing.
func cheap() *passwords {
	p := newPasswords()
	p.derive = func(password, salt []byte, c argonCost, length uint32) []byte {
		return argon2.IDKey(password, salt, 1, 8, 1, length)
	}
	return p
}

func TestPasswordHashesThatAreNotBelieved(t *testing.T) {
	good, err := cheap().hash(t.Context(), "a few words do well")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, "$")
	with := func(i int, s string) string {
		changed := append([]string(nil), parts...)
		changed[i] = s
		return strings.Join(changed, "$")
	}
	for name, bad := range map[string]string{
		"nothing of it":             "x",
		"another algorithm":         with(1, "argon2i"),
		"another version":           with(2, "v=16"),
		"no memory":                 with(3, "m=0,t=3,p=1"),
		"less memory than lanes":    with(3, "m=31,t=3,p=4"),
		"all memory":                with(3, "m=4194304,t=3,p=1"),
		"no passes":                 with(3, "m=65536,t=0,p=1"),
		"passes for a day":          with(3, "m=65536,t=100000,p=1"),
		"no lanes":                  with(3, "m=65536,t=3,p=0"),
		"many lanes":                with(3, "m=65536,t=3,p=255"),
		"lanes beyond a byte":       with(3, "m=65536,t=3,p=257"),
		"parameters in other order": with(3, "t=3,m=65536,p=1"),
		"more parameters":           with(3, "m=65536,t=3,p=1,x=1"),
		"a sign":                    with(3, "m=+65536,t=3,p=1"),
		"a short salt":              with(4, "c2FsdA"),
		"a salt that is no base 64": with(4, "c29tZXNhbH!"),
		"padding":                   good + "=",
		"a short key":               with(5, "c2FsdA"),
		"no key":                    with(5, ""),
		"more behind it":            good + "$x",
		"an empty part before it":   "$" + good,
	} {
		ok, _, err := cheap().check(t.Context(), bad, "a few words do well")
		if ok || directory.KindOf(err) != directory.Internal || err == nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	if ok, _, err := cheap().check(t.Context(), good, "a few words do well"); !ok || err != nil {
		t.Errorf("the good one: %v, %v", ok, err)
	}
}

func TestPasswordWithoutAHashOpensNothing(t *testing.T) {
	p := cheap()
	n := 0
	derive := p.derive
	p.derive = func(password, salt []byte, c argonCost, length uint32) []byte {
		n++
		if c != p.cost {
			t.Errorf("it costs %+v", c)
		}
		derive(password, salt, c, length)
		return make([]byte, length) // even should it come out as the empty key
	}
	if ok, _, err := p.check(t.Context(), "", ""); ok || err != nil || n != 1 {
		t.Errorf("%v, %v, %d hashes", ok, err, n)
	}
}

func TestPasswordThatIsTooLongIsNotCut(t *testing.T) {
	p := cheap()
	long := strings.Repeat("ab c", maxPassword/4)
	hashed, err := p.hash(t.Context(), long)
	if err != nil {
		t.Fatal(err)
	}
	if ok, _, _ := p.check(t.Context(), hashed, long); !ok {
		t.Error("the longest password does not open")
	}
	if ok, _, _ := p.check(t.Context(), hashed, long+"d"); ok {
		t.Error("a longer one opens")
	}
}

func TestPasswordsAreHashedTwoAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := cheap()
		var mu sync.Mutex
		running, most := 0, 0
		gate := make(chan struct{})
		p.derive = func(_, _ []byte, _ argonCost, length uint32) []byte {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			<-gate
			mu.Lock()
			running--
			mu.Unlock()
			return make([]byte, length)
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if _, err := p.hash(t.Context(), "x"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if running != hashesAtOnce {
			t.Errorf("%d at a time", running)
		}
		// Who leaves while waiting is let go, and takes nobody's turn.
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, err := p.hash(ctx, "x")
			left <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-left; err != context.Canceled {
			t.Errorf("who left got %v", err)
		}
		close(gate)
		all.Wait()
		if most != hashesAtOnce {
			t.Errorf("%d at a time", most)
		}
	})
}

func TestCheckPassword(t *testing.T) {
	for _, tt := range []struct{ name, password, want string }{
		{"words", "correct horse staple battery", ""},
		{"twelve bytes", "k9 tafel maan", ""},
		{"exactly twelve", "tafelmaanvis", ""},
		{"eleven", "tafelmaanvi", "too short: take 12"},
		{"the longest", strings.Repeat("tafel maan vis ", 17) + "x", ""},
		{"too long", strings.Repeat("tafel maan vis ", 17) + "xy", "too long: take 256"},
		{"another script", "синий стол у окна", ""},
		{"not UTF-8", "tafel maan \xff vis", "cannot be read"},
		{"the e-mail address", "Ida.Lind@example.com", "your name or e-mail"},
		{"what is before the @", "ida.lind12345", "your name or e-mail"},
		{"the same twice", "idalindidalind", "your name or e-mail"},
		{"the name", "Ida Maria Lind", "your name or e-mail"},
		{"the product", "BizzStream2026!", "tried first"},
		{"the program", "bizzscim-12345", "tried first"},
		{"a common one", "Password123!", "tried first"},
		{"a common one, spelt apart", "q w e r t y u i o p", "tried first"},
		{"a common one in Dutch", "Welkom01Welkom", "tried first"},
		{"one character", "aaaaaaaaaaaaaaaa", "too easy"},
		{"two characters", "abababababababab", "too easy"},
		{"digits", "123456789012", "too easy"},
		{"digits again and again", strings.Repeat("12", 20), "too easy"},
		{"many digits", "83920174650293847561", ""},
		{"random signs with few letters", "7!a92#.a$0193", ""},
		{"a random one whose letter is short like a name", "7!9238i745$012", ""},
	} {
		err := checkPassword(tt.password, "ida.lind@example.com", "Ida Maria Lind", "i", "")
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || directory.KindOf(err) != directory.Invalid || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		case err != nil && strings.Contains(err.Error(), tt.password):
			t.Errorf("%s: the error shows the password", tt.name)
		}
	}
}

// TestPasswordsOpenWithThemselvesAlone holds for any two passwords, and any hash that is written is read.
func TestPasswordsOpenWithThemselvesAlone(t *testing.T) {
	p := cheap()
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.StringN(0, 64, maxPassword).Draw(t, "set")
		tried := rapid.OneOf(rapid.Just(set), rapid.StringN(0, 64, 2*maxPassword)).Draw(t, "tried")
		hashed, err := p.hash(context.Background(), set)
		if err != nil {
			t.Fatal(err)
		}
		ok, weak, err := p.check(context.Background(), hashed, tried)
		if err != nil || weak || ok != (set == tried) {
			t.Fatalf("%q opens %q: %v, %v", tried, set, ok, err)
		}
	})
}

func FuzzParsePHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add("$argon2id$v=19$m=65536,t=2,p=1$$")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parsePHC(s)
		if err == nil && (h.String() != s || h.cost.memory > maxMemory || h.cost.passes > maxPasses || h.cost.lanes == 0) {
			t.Errorf("%q is read as %+v", s, h)
		}
	})
}
