package auth_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

// safe seals with a key of its own; what it sealed opens at the same place only.
type safe struct{ aead cipher.AEAD }

func newSafe() *safe {
	key := make([]byte, 32)
	rand.Read(key)
	return &safe{must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(key))))}
}

func (s *safe) Seal(plain []byte, place string) (string, error) {
	return hex.EncodeToString(s.aead.Seal(nil, nil, plain, []byte(place))), nil
}

func (s *safe) Unseal(sealed, place string) ([]byte, error) {
	text, err := hex.DecodeString(sealed)
	if err != nil {
		return nil, err
	}
	return s.aead.Open(nil, nil, text, []byte(place))
}

const serverURL = "https://id.fjord.example"

func (s *site) assertions(v *safe) *auth.Assertions {
	return auth.NewAssertions(auth.AssertionsConfig{Service: s.svc, URL: func() string { return serverURL }, Seal: v.Seal, Unseal: v.Unseal, Now: s.now})
}

// principal is whom a secret stands for.
func (s *site) principal(secret string) *directory.Principal {
	s.Helper()
	return must(s.sessions.Check(asked(secret), true))
}

// session makes a session of an account that was proven in another way than by a directory.
func (s *site) session(account directory.ID, how directory.SignInMethod) (secret string, session *directory.Session) {
	s.Helper()
	made := auth.NewSessionSecret()
	in := directory.SessionInput{AccountID: account, Hash: made.Hash, SignedIn: directory.SignedIn{Method: how}}
	return made.Text, must(s.svc.CreateSession(s.Context(), directory.Actor{Channel: "console"}, in))
}

// verified is what an upstream makes of an assertion, by the keys that are published.
func verified(t testing.TB, text string, set jose.JSONWebKeySet) (c auth.Assertion, kid string) {
	t.Helper()
	signed, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	header := signed.Signatures[0].Protected
	keys := set.Key(header.KeyID)
	if len(keys) != 1 {
		t.Fatalf("%d keys are published as %q", len(keys), header.KeyID)
	}
	claims, err := signed.Verify(keys[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	if header.ExtraHeaders[jose.HeaderType] != "JWT" {
		t.Errorf("type %v", header.ExtraHeaders[jose.HeaderType])
	}
	check(t, json.Unmarshal(claims, &c))
	return c, header.KeyID
}

func TestAssertionTellsWhoIsSignedIn(t *testing.T) {
	s := newSite(t)
	a := s.assertions(newSafe())
	secret, session := s.signIn(s.alice)
	root, _ := s.operatorSession()
	linked, linkedSession := s.session(s.alice.AccountID, directory.MethodLink)
	must(s.svc.SetAdministrator(t.Context(), operator, s.alice.AccountID, s.env, true))
	now := s.now().Unix()
	base := auth.Assertion{Issuer: serverURL, Subject: s.alice.AccountID.String(), Audience: "bizzstream", IssuedAt: now, NotBefore: now - 10, Expires: now + 60,
		Session: session.ID.String(), Directory: directoryID, ObjectID: aliceObject, Email: "alice@fjord.example", Name: "A. alice"}
	inEnv := base
	inEnv.Audience, inEnv.Environment, inEnv.Administrator = "urn:bizzstream:prod", s.env.String(), true
	ofLink := base
	ofLink.Session, ofLink.Directory, ofLink.ObjectID = linkedSession.ID.String(), "", ""
	for _, test := range []struct {
		name     string
		secret   string
		upstream auth.Upstream
		want     auth.Assertion
	}{
		{"of any environment", secret, auth.Upstream{Name: "bizzstream"}, base},
		{"of one environment", secret, auth.Upstream{Name: "bizzstream", Audience: "urn:bizzstream:prod", Environment: s.env}, inEnv},
		{"somebody whom no directory has proven", linked, auth.Upstream{Name: "bizzstream"}, ofLink},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := must(a.Sign(t.Context(), test.upstream, s.principal(test.secret)))
			got, _ := verified(t, text, must(a.Keys(t.Context())))
			if got.ID == "" {
				t.Error("no jti")
			}
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(auth.Assertion{}, "ID")); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
			again, _ := verified(t, must(a.Sign(t.Context(), test.upstream, s.principal(test.secret))), must(a.Keys(t.Context())))
			if again.ID == got.ID {
				t.Error("two assertions of one jti")
			}
		})
	}
	partner := must(s.svc.CreateAccount(t.Context(), operator, "pia", "pia@partner.example", "Pia"))
	must(s.svc.SetRoles(t.Context(), operator, partner.ID, directory.RoleInput{Partner: map[directory.ID]bool{s.org: true}}))
	pia, _ := s.session(partner.ID, directory.MethodPassword)
	finance, anywhere := auth.Upstream{Name: "finance", Environment: s.other}, auth.Upstream{Name: "bizzstream"}
	for _, test := range []struct {
		name, secret string
		upstream     auth.Upstream
	}{
		{"a person without this access", secret, finance},
		{"an operator", root, finance},
		{"a partner", pia, finance},
		{"an operator, where any access will do", root, anywhere},
		{"a partner, where any access will do", pia, anywhere},
	} {
		text, err := a.Sign(t.Context(), test.upstream, s.principal(test.secret))
		if err == nil || text != "" {
			t.Errorf("%s has an assertion", test.name)
			continue
		}
		wantKind(t, err, directory.Forbidden)
	}
}

// kids are the published keys.
func kids(t testing.TB, a *auth.Assertions) (ids []string) {
	t.Helper()
	for _, k := range must(a.Keys(t.Context())).Keys {
		ids = append(ids, k.KeyID)
	}
	return ids
}

func TestKeysRotate(t *testing.T) {
	s := newSite(t)
	v := newSafe()
	one, two := s.assertions(v), s.assertions(v) // two servers on one store
	secret, _ := s.signIn(s.alice)
	p := s.principal(secret)
	up := auth.Upstream{Name: "bizzstream"}
	signedBy := func(a *auth.Assertions) string {
		t.Helper()
		// A verifier that fetched the keys five minutes ago must have this one: they are compared below.
		_, kid := verified(t, must(a.Sign(t.Context(), up, p)), must(a.Keys(t.Context())))
		return kid
	}
	both := func(when, signer string, published ...string) {
		t.Helper()
		for i, a := range []*auth.Assertions{one, two} {
			if got := signedBy(a); got != signer {
				t.Errorf("%s: server %d signs with %s, want %s", when, i, got, signer)
			}
			if got := kids(t, a); !slices.Equal(got, published) {
				t.Errorf("%s: server %d publishes %v, want %v", when, i, got, published)
			}
		}
	}
	first := signedBy(one) // made at first use
	both("at first", first, first)

	second := must(one.Rotate(t.Context(), operator))
	if second == first {
		t.Fatal("no new key")
	}
	if got := kids(t, one); !slices.Equal(got, []string{first, second}) {
		t.Errorf("the new key is not published at once: %v", got)
	}
	for _, a := range []*auth.Assertions{one, two} {
		if _, err := a.Rotate(t.Context(), operator); err == nil {
			t.Error("two new keys wait")
		} else {
			wantKind(t, err, directory.Conflict)
		}
	}
	s.clock.Advance(time.Minute) // the other server has read it by now, though nothing told it
	both("a minute later", first, first, second)
	s.clock.Advance(9*time.Minute - time.Second)
	both("just before ten minutes", first, first, second)
	s.clock.Advance(time.Second)
	both("after ten minutes", second, first, second)
	s.clock.Advance(time.Hour - time.Second)
	both("just before the hour", second, first, second)
	s.clock.Advance(time.Second)
	both("after the hour", second, second)

	// By themselves after 90 days, in the same steps.
	s.clock.Advance(90*24*time.Hour - time.Hour - 10*time.Minute - time.Second)
	both("on day 90", second, second)
	s.clock.Advance(time.Minute + time.Second)
	next := kids(t, one)
	if len(next) != 2 || next[0] != second {
		t.Fatalf("no key follows by itself: %v", next)
	}
	both("before the 90 days", second, next...)
	s.clock.Advance(10 * time.Minute)
	both("after the 90 days", next[1], next...)
	s.clock.Advance(time.Hour)
	both("an hour later", next[1], next[1])

	if _, err := one.Rotate(t.Context(), directory.Actor{Role: directory.RolePartner, Channel: "console"}); err == nil {
		t.Error("a partner changes the keys")
	} else {
		wantKind(t, err, directory.Forbidden)
	}
}

// A key goes an hour after it has signed last also when the one before it goes while its successor waits;
// and what is decided is written once.
func TestKeysThatOverlapAllGo(t *testing.T) {
	s := newSite(t)
	a := s.assertions(newSafe())
	first := kids(t, a)[0]
	second := must(a.Rotate(t.Context(), operator))
	s.clock.Advance(10*time.Minute + 55*time.Minute)
	third := must(a.Rotate(t.Context(), operator))
	for _, step := range []struct {
		after time.Duration
		want  []string
	}{
		{0, []string{first, second, third}},
		{5 * time.Minute, []string{second, third}}, // an hour after the first one has signed last, the third waits
		{5*time.Minute + time.Hour - time.Second, []string{second, third}},
		{time.Second, []string{third}},
	} {
		s.clock.Advance(step.after)
		if got := kids(t, a); !slices.Equal(got, step.want) {
			t.Errorf("%v later: %v, want %v", step.after, got, step.want)
		}
	}
	s.clock.Advance(90*24*time.Hour - time.Hour - 10*time.Minute)
	before := keyWrites(s)
	for range 9 {
		if got := kids(t, a); len(got) != 2 {
			t.Errorf("keys %v", got)
		}
		s.clock.Advance(time.Minute)
	}
	if n := keyWrites(s) - before; n != 1 {
		t.Errorf("the keys were written %d times while the new one waits", n)
	}
}

// keyWrites is how often the keys were written.
func keyWrites(s *site) (n int) {
	s.Helper()
	check(s, s.svc.View(s.Context(), func(sn *directory.Snapshot) error {
		return sn.Audit(0, func(e *directory.AuditEntry) bool {
			if e.Action == "signing-keys.set" {
				n++
			}
			return true
		})
	}))
	return n
}

// Whatever happens when, two servers on one store sign with one key, and with one that whoever fetched
// the keys within the last five minutes, from either, has got.
func TestVerifiersAlwaysHaveTheKey(t *testing.T) {
	s := newSite(t)
	secret, _ := s.signIn(s.alice)
	p := s.principal(secret)
	rapid.Check(t, func(rt *rapid.T) {
		check(t, clearKeys(s))
		v := newSafe()
		servers := []*auth.Assertions{s.assertions(v), s.assertions(v)}
		type fetched struct {
			at  time.Time
			set jose.JSONWebKeySet
		}
		var known []fetched
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			a := servers[rapid.IntRange(0, 1).Draw(rt, "server")]
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0:
				known = append(known, fetched{s.now(), must(a.Keys(t.Context()))})
			case 1:
				if _, err := a.Rotate(t.Context(), operator); err != nil && directory.KindOf(err) != directory.Conflict {
					rt.Fatal(err)
				}
			case 2:
				s.clock.Advance(rapid.SampledFrom([]time.Duration{time.Second, 59 * time.Second, 4 * time.Minute, 11 * time.Minute, time.Hour, 89 * 24 * time.Hour}).Draw(rt, "wait"))
			case 3:
				known = slices.DeleteFunc(known, func(f fetched) bool { return s.now().Sub(f.at) > 5*time.Minute })
				_, kid := verified(t, must(a.Sign(t.Context(), auth.Upstream{Name: "x"}, p)), must(a.Keys(t.Context())))
				for _, f := range known {
					if len(f.set.Key(kid)) != 1 {
						rt.Errorf("signed with %s, which keys fetched %v ago do not hold", kid, s.now().Sub(f.at))
					}
				}
			}
		}
	})
}

func clearKeys(s *site) error {
	_, err := s.svc.SetSigningKeys(s.Context(), operator, func([]directory.SigningKey) ([]directory.SigningKey, error) {
		return []directory.SigningKey{}, nil
	})
	return err
}

func TestFirstUseByManyMakesOneKey(t *testing.T) {
	s := newSite(t)
	v := newSafe()
	secret, _ := s.signIn(s.alice)
	p := s.principal(secret)
	var mu sync.Mutex
	used := map[string]bool{}
	var all sync.WaitGroup
	for range 4 {
		a := s.assertions(v)
		for range 4 {
			all.Go(func() {
				text, err := a.Sign(t.Context(), auth.Upstream{Name: "x"}, p)
				if err != nil {
					t.Error(err)
					return
				}
				_, kid := verified(t, text, must(a.Keys(t.Context())))
				mu.Lock()
				defer mu.Unlock()
				used[kid] = true
			})
		}
	}
	all.Wait()
	if len(used) != 1 {
		t.Errorf("%d keys were made: %v", len(used), slices.Collect(maps.Keys(used)))
	}
	if n := keyWrites(s); n != 1 {
		t.Errorf("the keys were written %d times: whoever comes second has nothing to change", n)
	}
}

func TestPrivatePartsStayHome(t *testing.T) {
	s := newSite(t)
	v := newSafe()
	a := s.assertions(v)
	must(a.Rotate(t.Context(), operator))
	must(a.Rotate(t.Context(), operator))
	text := string(must(json.Marshal(must(a.Keys(t.Context())))))
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	check(t, json.Unmarshal([]byte(text), &set))
	if len(set.Keys) != 2 {
		t.Fatalf("%d keys", len(set.Keys))
	}
	for _, k := range set.Keys {
		if got := slices.Sorted(maps.Keys(k)); !slices.Equal(got, []string{"alg", "crv", "kid", "kty", "use", "x", "y"}) {
			t.Errorf("a key is published with %v", got)
		}
		if k["alg"] != "ES256" || k["use"] != "sig" || k["crv"] != "P-256" {
			t.Errorf("key %v", k)
		}
	}
	// Nor are they in the store in the clear.
	check(t, s.svc.View(t.Context(), func(sn *directory.Snapshot) error {
		keys, err := sn.SigningKeys()
		for _, k := range keys {
			plain := must(v.Unseal(k.Sealed, "signing-key/"+k.ID))
			for _, form := range []string{string(plain), hex.EncodeToString(plain)} {
				if strings.Contains(k.Sealed, form) {
					t.Error("the private part of a key is kept in the clear")
				}
			}
			if _, err := v.Unseal(k.Sealed, "signing-key/another"); err == nil {
				t.Error("it opens at another place")
			}
		}
		return err
	}))
}

func TestKeyThatCannotBeOpenedSignsNothing(t *testing.T) {
	s := newSite(t)
	secret, _ := s.signIn(s.alice)
	p := s.principal(secret)
	up := auth.Upstream{Name: "x"}
	lost := s.assertions(newSafe())
	must(lost.Sign(t.Context(), up, p))
	a := s.assertions(newSafe()) // the key of the vault is another one
	if text, err := a.Sign(t.Context(), up, p); err == nil || text != "" {
		t.Errorf("signed: %q, %v", text, err)
	}
	if n := len(kids(t, a)); n != 1 {
		t.Errorf("%d keys: a server that cannot open one must not make another by itself", n)
	}
	id := must(a.Rotate(t.Context(), operator))
	if _, kid := verified(t, must(a.Sign(t.Context(), up, p)), must(a.Keys(t.Context()))); kid != id {
		t.Errorf("the new key does not sign at once")
	}
}

func TestDamagedKeysSignNothing(t *testing.T) {
	s := newSite(t)
	secret, _ := s.signIn(s.alice)
	p := s.principal(secret)
	v := newSafe()
	must(s.assertions(v).Rotate(t.Context(), operator))
	other := newSite(t)
	must(other.assertions(v).Rotate(t.Context(), operator))
	var foreign directory.SigningKey
	check(t, other.svc.View(t.Context(), func(sn *directory.Snapshot) error { foreign = must(sn.SigningKeys())[0]; return nil }))
	for name, damage := range map[string]func(*directory.SigningKey){
		"the public part of another": func(k *directory.SigningKey) { k.Public = foreign.Public },
		"a public part that is none": func(k *directory.SigningKey) { k.Public = []byte("x") },
		"a text that is no key":      func(k *directory.SigningKey) { k.Sealed = must(v.Seal([]byte("x"), "signing-key/"+k.ID)) },
		"sealed for another place":   func(k *directory.SigningKey) { k.Sealed = foreign.Sealed },
	} {
		t.Run(name, func(t *testing.T) {
			var before []directory.SigningKey
			must(s.svc.SetSigningKeys(t.Context(), operator, func(list []directory.SigningKey) ([]directory.SigningKey, error) {
				before = slices.Clone(list)
				list = slices.Clone(list)
				damage(&list[0])
				return list, nil
			}))
			if text, err := s.assertions(v).Sign(t.Context(), auth.Upstream{Name: "x"}, p); err == nil || text != "" {
				t.Errorf("signed: %q", text)
			}
			must(s.svc.SetSigningKeys(t.Context(), operator, func([]directory.SigningKey) ([]directory.SigningKey, error) { return before, nil }))
			must(s.assertions(v).Sign(t.Context(), auth.Upstream{Name: "x"}, p))
		})
	}
}

// A key made while the clock was a year ahead must not keep the keys from changing for a year.
func TestClockThatWasWrongIsOvercome(t *testing.T) {
	s := newSite(t)
	v := newSafe()
	secret, _ := s.signIn(s.alice)
	p := s.principal(secret)
	up := auth.Upstream{Name: "x"}
	a := s.assertions(v)
	_, first := verified(t, must(a.Sign(t.Context(), up, p)), must(a.Keys(t.Context())))
	s.clock.Advance(365 * 24 * time.Hour)
	if got := kids(t, a); len(got) != 2 || got[0] != first { // nobody has signed for a year: the next key waits its ten minutes
		t.Fatalf("keys %v", got)
	}
	s.clock.Advance(-365 * 24 * time.Hour)
	for i, a := range []*auth.Assertions{a, s.assertions(v)} {
		_, kid := verified(t, must(a.Sign(t.Context(), up, p)), must(a.Keys(t.Context())))
		if kid != first || !slices.Equal(kids(t, a), []string{first}) {
			t.Errorf("server %d signs with %s of %v, want %s alone", i, kid, kids(t, a), first)
		}
	}
	must(a.Rotate(t.Context(), operator))
	s.clock.Advance(2 * time.Hour)
	if got := kids(t, a); len(got) != 1 || got[0] == first {
		t.Errorf("the keys do not change any more: %v", got)
	}
}

func TestAssertionsOfAStoreThatFails(t *testing.T) {
	s := newSite(t)
	secret, _ := s.signIn(s.alice)
	p := s.principal(secret)
	a := s.assertions(newSafe())
	s.store.failUpdates.Store(&errDisk)
	if text, err := a.Sign(t.Context(), auth.Upstream{Name: "x"}, p); text != "" || !errors.Is(err, errDisk) {
		t.Errorf("signed %q, %v although the key cannot be kept", text, err)
	}
	if _, err := a.Rotate(t.Context(), operator); !errors.Is(err, errDisk) {
		t.Errorf("error %v", err)
	}
	s.store.failUpdates.Store(nil)
	must(a.Sign(t.Context(), auth.Upstream{Name: "x"}, p))
	s.store.failView.Store(&errDisk)
	if text, err := a.Sign(t.Context(), auth.Upstream{Name: "x"}, p); text != "" || !errors.Is(err, errDisk) { // the tenant cannot be read
		t.Errorf("signed %q, %v", text, err)
	}
	s.clock.Advance(time.Minute)
	if _, err := a.Keys(t.Context()); !errors.Is(err, errDisk) {
		t.Errorf("keys of a store that fails, a minute later: %v", err)
	}
}

func TestSealThatFailsMakesNoKey(t *testing.T) {
	s := newSite(t)
	errSeal := errors.New("no key file")
	a := auth.NewAssertions(auth.AssertionsConfig{Service: s.svc, URL: func() string { return serverURL }, Now: s.now,
		Seal: func([]byte, string) (string, error) { return "", errSeal }, Unseal: newSafe().Unseal})
	if _, err := a.Keys(t.Context()); !errors.Is(err, errSeal) {
		t.Errorf("error %v", err)
	}
	check(t, s.svc.View(t.Context(), func(sn *directory.Snapshot) error {
		keys, err := sn.SigningKeys()
		if len(keys) != 0 {
			t.Error("a key is kept")
		}
		return err
	}))
}

func BenchmarkSign(b *testing.B) {
	s := newSite(b)
	secret, _ := s.signIn(s.alice)
	p := s.principal(secret)
	a := s.assertions(newSafe())
	for b.Loop() {
		must(a.Sign(b.Context(), auth.Upstream{Name: "x", Environment: s.env}, p))
	}
}

// TestSecurityEventsAreNoAssertions: another type, the same keys, and nothing in it that an assertion has to have.
func TestSecurityEventsAreNoAssertions(t *testing.T) {
	s := newSite(t)
	a := s.assertions(newSafe())
	token := must(a.SignEvent(t.Context(), []byte(`{"jti":"1","events":{"urn:x":{}}}`)))
	signed := must(jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256}))
	h := signed.Signatures[0].Protected
	if h.ExtraHeaders[jose.HeaderType] != "secevent+jwt" || h.JSONWebKey != nil {
		t.Errorf("%+v", h)
	}
	keys := must(a.Keys(t.Context()))
	if _, err := signed.Verify(keys.Key(h.KeyID)[0]); err != nil {
		t.Error(err)
	}
	for _, claims := range []string{`{"sub":"x","events":{}}`, `{"exp":1,"events":{}}`, `{"jti":"1"}`, `{}`, `[]`, `x`, ``} {
		if token, err := a.SignEvent(t.Context(), []byte(claims)); err == nil {
			t.Errorf("%s was signed: %s", claims, token)
		}
	}
	secret, _ := s.signIn(s.alice)
	text := must(a.Sign(t.Context(), auth.Upstream{Name: "bizzstream"}, s.principal(secret)))
	verified(t, text, keys) // an assertion is still one after that
}
