package directory_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// newToken describes a token of that secret, as auth does.
func newToken(secret string) directory.NewToken {
	return directory.NewToken{Name: "Entra", Hash: secretHash(secret), Hint: secret[len(secret)-4:]}
}

// opens tells which tenant's door a secret opens now, zero when none.
func (w *world) opens(secret string) (tenant directory.ID) {
	w.Helper()
	hash := secretHash(secret)
	view(w, func(s *directory.Snapshot) (bool, error) {
		record, err := s.TokenRecord(hash[:])
		if err != nil || record == nil {
			return false, err
		}
		token, err := directory.DecodeToken(record)
		if err == nil && token.Live(w.clock.Now()) {
			tenant = token.TenantID
		}
		return true, err
	})
	return tenant
}

func (w *world) wantOpen(want map[string]directory.ID) {
	w.Helper()
	for secret, tenant := range want {
		if got := w.opens(secret); got != tenant {
			w.Errorf("secret %s opens %v, want %v", secret, got, tenant)
		}
	}
}

var none directory.ID

func TestTokens(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	create := func(secret string) (*directory.Token, error) {
		return s.svc.CreateToken(s.ctx, operator, s.fjord, newToken(secret))
	}
	first := must(create("secret-one"))
	want := s.clock.Now().Add(180 * 24 * time.Hour)
	if !first.Expires.Equal(want) || first.Hint != "-one" || first.Kind != directory.SecretToken || first.CreatedBy != "operator" || first.TenantID != s.fjord {
		t.Errorf("token: %+v", first)
	}
	must(create("secret-two"))
	s.unchanged(func() {
		_, err := create("secret-three")
		wantKind(t, err, directory.Conflict)
	})
	must(s.svc.CreateToken(s.ctx, operator, s.harbor, newToken("secret-harbor"))) // another tenant has its own two
	s.wantOpen(map[string]directory.ID{"secret-one": s.fjord, "secret-two": s.fjord, "secret-three": none, "secret-harbor": s.harbor, "": none})

	if err := s.svc.RevokeToken(s.ctx, operator, s.fjord, first.ID); err != nil {
		t.Fatal(err)
	}
	s.wantOpen(map[string]directory.ID{"secret-one": none, "secret-two": s.fjord})
	s.unchanged(func() {
		if err := s.svc.RevokeToken(s.ctx, operator, s.fjord, first.ID); err != nil {
			t.Error(err)
		}
		_, err := s.svc.RotateToken(s.ctx, operator, s.fjord, first.ID, newToken("secret-x"), 0)
		wantKind(t, err, directory.Conflict)
		_, err = s.svc.RotateToken(s.ctx, operator, s.fjord, number(999), newToken("secret-x"), 0)
		wantKind(t, err, directory.NotFound)
	})
	must(create("secret-three"))
	s.clock.Advance(180 * 24 * time.Hour)
	s.wantOpen(map[string]directory.ID{"secret-two": none, "secret-three": none, "secret-harbor": none})
	must(create("secret-four"))
	must(create("secret-five"))
	if n := len(view(s.world, func(sn *directory.Snapshot) ([]*directory.Token, error) {
		return sn.Tokens(s.fjord, directory.SecretToken)
	})); n != 4 {
		t.Errorf("%d tokens are listed, want 4 with those that ended within 90 days", n)
	}
	checkInvariants(s.world)
}

// A secret opens one door: it is never made a second time.
func TestTokenIsNotMadeTwice(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	must(s.svc.CreateToken(s.ctx, operator, s.fjord, newToken("secret-one")))
	s.unchanged(func() {
		for _, tenant := range []directory.ID{s.fjord, s.harbor} {
			_, err := s.svc.CreateToken(s.ctx, operator, tenant, newToken("secret-one"))
			wantKind(t, err, directory.Conflict)
		}
	})
	s.wantOpen(map[string]directory.ID{"secret-one": s.fjord})
}

func TestTokenRotation(t *testing.T) {
	t.Parallel()
	for _, overlap := range []time.Duration{0, time.Hour, directory.MaxOverlap} {
		t.Run(overlap.String(), func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			old := must(s.svc.CreateToken(s.ctx, operator, s.fjord, newToken("secret-old")))
			next := newToken("secret-new")
			next.Name = ""
			made := must(s.svc.RotateToken(s.ctx, operator, s.fjord, old.ID, next, overlap))
			if made.ID == old.ID || made.Name != old.Name || !made.Expires.Equal(s.clock.Now().Add(directory.DefaultTokenLife)) {
				t.Errorf("token: %+v", made)
			}
			s.wantOpen(map[string]directory.ID{"secret-new": s.fjord})
			if overlap > 0 {
				s.clock.Advance(overlap - time.Millisecond)
				s.wantOpen(map[string]directory.ID{"secret-new": s.fjord, "secret-old": s.fjord})
				s.unchanged(func() { // a third live one
					_, err := s.svc.RotateToken(s.ctx, operator, s.fjord, made.ID, newToken("secret-third"), time.Hour)
					wantKind(t, err, directory.Conflict)
				})
				s.clock.Advance(time.Millisecond)
			}
			s.wantOpen(map[string]directory.ID{"secret-new": s.fjord, "secret-old": none})
			checkInvariants(s.world)
		})
	}
	t.Run("never longer than it had", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		n := newToken("secret-old")
		n.Life = time.Hour
		old := must(s.svc.CreateToken(s.ctx, operator, s.fjord, n))
		must(s.svc.RotateToken(s.ctx, operator, s.fjord, old.ID, newToken("secret-new"), 24*time.Hour))
		s.clock.Advance(time.Hour)
		s.wantOpen(map[string]directory.ID{"secret-old": none, "secret-new": s.fjord})
	})
	t.Run("an access token is not rotated", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		secret := newToken("client-secret")
		must(s.svc.CreateClient(s.ctx, operator, s.fjord, directory.NewClient{ClientID: "entra", Secret: &secret}))
		access := must(s.svc.IssueAccessToken(s.ctx, s.fjord, "entra", secretHash("access"), "cess"))
		_, err := s.svc.RotateToken(s.ctx, operator, s.fjord, access.ID, newToken("secret-new"), 0)
		wantKind(t, err, directory.Conflict)
	})
}

func TestTokenBounds(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	token := must(s.svc.CreateToken(s.ctx, operator, s.fjord, newToken("secret-one")))
	s.unchanged(func() {
		for _, life := range []time.Duration{-1, time.Second, directory.MaxTokenLife + 1} {
			n := newToken("secret-two")
			n.Life = life
			_, err := s.svc.CreateToken(s.ctx, operator, s.fjord, n)
			wantKind(t, err, directory.Invalid)
			_, err = s.svc.CreateClient(s.ctx, operator, s.fjord, directory.NewClient{ClientID: "entra", Secret: &n})
			wantKind(t, err, directory.Invalid)
		}
		for _, name := range []string{" ", "a\nb", "\x7f", strings.Repeat("a", 257), "a\xff", "a\u0085b", "a\u200bb", "a\u202eb"} {
			n := newToken("secret-two")
			n.Name = name
			_, err := s.svc.CreateToken(s.ctx, operator, s.fjord, n)
			wantKind(t, err, directory.Invalid)
			_, err = s.svc.RotateToken(s.ctx, operator, s.fjord, token.ID, n, 0)
			wantKind(t, err, directory.Invalid)
		}
		for _, overlap := range []time.Duration{-1, directory.MaxOverlap + 1} {
			_, err := s.svc.RotateToken(s.ctx, operator, s.fjord, token.ID, newToken("secret-two"), overlap)
			wantKind(t, err, directory.Invalid)
			_, err = s.svc.RotateClient(s.ctx, operator, s.fjord, "entra", newToken("secret-two"), overlap)
			wantKind(t, err, directory.Invalid)
		}
		secret := newToken("secret-two")
		for name, n := range map[string]directory.NewClient{
			"no id":            {Secret: &secret},
			"id with a colon":  {ClientID: "a:b", Secret: &secret},
			"id with a NUL":    {ClientID: "a\x00b", Secret: &secret},
			"id with newline":  {ClientID: "a\n", Secret: &secret},
			"long id":          {ClientID: strings.Repeat("a", 129), Secret: &secret},
			"no secret":        {ClientID: "a"},
			"short life":       {ClientID: "a", Secret: &secret, TokenLife: time.Minute},
			"long life":        {ClientID: "a", Secret: &secret, TokenLife: 7 * time.Hour},
			"federated, empty": {ClientID: "a", Federated: &directory.Federated{Issuer: "https://i.example", Audience: "a"}},
			"federated, long":  {ClientID: "a", Federated: &directory.Federated{Issuer: "https://i.example", Audience: "a", Subject: strings.Repeat("s", 1025)}},
		} {
			_, err := s.svc.CreateClient(s.ctx, operator, s.fjord, n)
			if err == nil {
				t.Errorf("%s: accepted", name)
			}
			wantKind(t, err, directory.Invalid)
		}
		_, err := s.svc.CreateToken(s.ctx, operator, number(999), newToken("secret-two"))
		wantKind(t, err, directory.NotFound)
	})
}

// TestIssuersOfClients: what a customer names as an issuer is an address that tokens could come from.
func TestIssuersOfClients(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	n := 0
	for issuer, good := range map[string]bool{
		"https://issuer.example": true, "https://issuer.example:8443/tenant/v2.0": true, "http://127.0.0.1:9/tenant": true, "http://localhost:9": true,
		"i": false, "issuer.example": false, ":": false, "https://": false, "https:///x": false, "http://issuer.example": false, "http://169.254.169.254/latest": false,
		"ftp://issuer.example": false, "file:///etc/passwd": false, "https://u:p@issuer.example": false, "https://issuer.example?x=1": false, "https://issuer.example?": false,
		"https://issuer.example#x": false, "https://issuer.example/" + strings.Repeat("x", 1024): false,
	} {
		_, err := s.svc.CreateClient(s.ctx, operator, s.fjord, directory.NewClient{ClientID: fmt.Sprint("c", n), Federated: &directory.Federated{Issuer: issuer, Audience: "a", Subject: "s"}})
		n++
		if good && err != nil {
			t.Errorf("%s: %v", issuer, err)
		}
		if !good {
			wantKind(t, err, directory.Invalid)
		}
	}
}

func TestMaxClients(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	create := func(by directory.Actor, tenant directory.ID, id string) error {
		secret := directory.NewToken{Hash: secretHash(tenant.String() + id), Hint: "hint"}
		_, err := s.svc.CreateClient(s.ctx, by, tenant, directory.NewClient{ClientID: id, Secret: &secret})
		return err
	}
	for i := range directory.MaxClients {
		if err := create(operator, s.fjord, fmt.Sprint("c", i)); err != nil {
			t.Fatal(err)
		}
	}
	s.unchanged(func() {
		for _, by := range []directory.Actor{operator, s.partner()} {
			wantKind(t, create(by, s.fjord, "more"), directory.Conflict)
		}
	})
	if err := create(operator, s.harbor, "c0"); err != nil {
		t.Errorf("another tenant: %v", err)
	}
	if err := s.svc.RevokeClient(s.ctx, operator, s.fjord, "c0"); err != nil {
		t.Fatal(err)
	}
	if err := create(operator, s.fjord, "more"); err != nil {
		t.Errorf("after one was revoked: %v", err)
	}
}

func TestTouchToken(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	token := must(s.svc.CreateToken(s.ctx, operator, s.fjord, newToken("secret-one")))
	touch := func(from string) {
		t.Helper()
		if err := s.svc.TouchToken(s.ctx, s.fjord, token.ID, from); err != nil {
			t.Fatal(err)
		}
	}
	s.clock.Advance(90 * time.Second)
	touch("192.0.2.1")
	got := view(s.world, func(sn *directory.Snapshot) (*directory.Token, error) { return sn.Token(s.fjord, token.ID) })
	if !got.LastUsed.Equal(s.clock.Now().Truncate(time.Minute)) || got.LastUsedFrom != "192.0.2.1" {
		t.Errorf("token: %+v", got)
	}
	s.unchanged(func() {
		s.clock.Advance(29 * time.Second)
		touch("192.0.2.1")
		s.clock.Advance(-time.Hour)
		touch("192.0.2.1")
		s.clock.Advance(time.Hour)
	})
	s.wantOpen(map[string]directory.ID{"secret-one": s.fjord})
	s.clock.Advance(time.Minute)
	touch("192.0.2.2")
	got = view(s.world, func(sn *directory.Snapshot) (*directory.Token, error) { return sn.Token(s.fjord, token.ID) })
	if got.LastUsedFrom != "192.0.2.2" {
		t.Errorf("token: %+v", got)
	}
}

func TestUseOfAClient(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	secret := newToken("client-secret")
	for _, id := range []string{"entra", "idle"} {
		must(s.svc.CreateClient(s.ctx, operator, s.fjord, directory.NewClient{ClientID: id, Secret: &secret}))
	}
	issue := func(text string) *directory.Token {
		t.Helper()
		return must(s.svc.IssueAccessToken(s.ctx, s.fjord, "entra", secretHash(text), "hint"))
	}
	client := func(id string) *directory.Client {
		t.Helper()
		return view(s.world, func(sn *directory.Snapshot) (*directory.Client, error) { return sn.Client(s.fjord, id) })
	}
	first, second := issue("access-one"), issue("access-two")
	if c := client("entra"); !c.LastUsed.IsZero() || c.LastUsedFrom != "" {
		t.Errorf("a client whose tokens were not used: %+v", c)
	}
	used := s.clock.Now().Add(2 * time.Minute).Truncate(time.Minute)
	s.clock.Advance(2 * time.Minute)
	if err := s.svc.TouchToken(s.ctx, s.fjord, second.ID, "192.0.2.2"); err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(-time.Minute)
	if err := s.svc.TouchToken(s.ctx, s.fjord, first.ID, "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(2 * time.Hour)
	issue("access-three") // it clears the others away
	if c := client("entra"); !c.LastUsed.Equal(used) || c.LastUsedFrom != "192.0.2.2" {
		t.Errorf("client: %+v, want the newest use at %v", c, used)
	}
	if c := client("idle"); !c.LastUsed.IsZero() || c.LastUsedFrom != "" {
		t.Errorf("the other client: %+v", c)
	}
}

func TestClients(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	one := newToken("client-secret-one")
	made := must(s.svc.CreateClient(s.ctx, operator, s.fjord, directory.NewClient{ClientID: "entra", Secret: &one}))
	if made.TokenLife != time.Hour || len(made.Secrets) != 1 {
		t.Errorf("client: %+v", made)
	}
	s.unchanged(func() {
		_, err := s.svc.CreateClient(s.ctx, operator, s.fjord, directory.NewClient{ClientID: "entra", Secret: &one})
		wantKind(t, err, directory.Exists)
	})
	must(s.svc.CreateClient(s.ctx, operator, s.harbor, directory.NewClient{ClientID: "entra", TokenLife: 6 * time.Hour,
		Federated: &directory.Federated{Issuer: "https://issuer.example", Audience: "api", Subject: "app"}}))

	matches := func(want map[string]bool) {
		t.Helper()
		c := view(s.world, func(sn *directory.Snapshot) (*directory.Client, error) { return sn.Client(s.fjord, "entra") })
		for secret, is := range want {
			if got := c.SecretMatches(secretHash(secret), s.clock.Now()); got != is {
				t.Errorf("%s matches: %v, want %v", secret, got, is)
			}
		}
	}
	must(s.svc.RotateClient(s.ctx, operator, s.fjord, "entra", newToken("client-secret-two"), time.Hour))
	matches(map[string]bool{"client-secret-one": true, "client-secret-two": true, "client-secret": false, "": false})
	s.unchanged(func() {
		_, err := s.svc.RotateClient(s.ctx, operator, s.fjord, "entra", newToken("client-secret-three"), time.Hour)
		wantKind(t, err, directory.Conflict)
	})
	s.clock.Advance(time.Hour)
	matches(map[string]bool{"client-secret-one": false, "client-secret-two": true})
	must(s.svc.RotateClient(s.ctx, operator, s.fjord, "entra", newToken("client-secret-three"), 0))
	matches(map[string]bool{"client-secret-two": false, "client-secret-three": true})

	// Access tokens live as long as the client says, and are cleared away when they have ended.
	issue := func(tenant directory.ID, secret string) *directory.Token {
		t.Helper()
		token, err := s.svc.IssueAccessToken(s.ctx, tenant, "entra", secretHash(secret), secret[len(secret)-4:])
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	if a := issue(s.fjord, "access-one"); a.Kind != directory.AccessToken || !a.Expires.Equal(s.clock.Now().Add(time.Hour)) || a.ClientID != "entra" {
		t.Errorf("access token: %+v", a)
	}
	if a := issue(s.harbor, "access-harbor"); !a.Expires.Equal(s.clock.Now().Add(6 * time.Hour)) {
		t.Errorf("access token: %+v", a)
	}
	s.clock.Advance(time.Hour)
	s.wantOpen(map[string]directory.ID{"access-one": none, "access-harbor": s.harbor})
	issue(s.fjord, "access-two")
	issue(s.fjord, "access-three")
	hash := secretHash("access-one")
	if record := view(s.world, func(sn *directory.Snapshot) ([]byte, error) { return sn.TokenRecord(hash[:]) }); record != nil {
		t.Error("an access token that has ended is kept")
	}
	if n := len(view(s.world, func(sn *directory.Snapshot) ([]*directory.Token, error) {
		return sn.Tokens(s.fjord, directory.AccessToken)
	})); n != 2 {
		t.Errorf("%d access tokens, want 2", n)
	}

	secretToken := must(s.svc.CreateToken(s.ctx, operator, s.fjord, newToken("secret-token")))
	if err := s.svc.RevokeClient(s.ctx, operator, s.fjord, "entra"); err != nil {
		t.Fatal(err)
	}
	s.wantOpen(map[string]directory.ID{"access-two": none, "access-three": none, "access-harbor": s.harbor, "secret-token": secretToken.TenantID})
	matches(map[string]bool{"client-secret-three": false})
	s.unchanged(func() {
		_, err := s.svc.IssueAccessToken(s.ctx, s.fjord, "entra", secretHash("access-four"), "four")
		wantKind(t, err, directory.Unauthorized)
		_, err = s.svc.IssueAccessToken(s.ctx, s.fjord, "other", secretHash("access-four"), "four")
		wantKind(t, err, directory.NotFound)
		_, err = s.svc.RotateClient(s.ctx, operator, s.fjord, "entra", newToken("client-secret-four"), 0)
		wantKind(t, err, directory.Conflict)
		wantKind(t, s.svc.RevokeClient(s.ctx, operator, s.fjord, "entra"), directory.Conflict)
		_, err = s.svc.CreateClient(s.ctx, operator, s.fjord, directory.NewClient{ClientID: "entra", Secret: &one}) // never again
		wantKind(t, err, directory.Exists)
	})
	checkInvariants(s.world)
}

// A client has at most 50 live access tokens besides the newest one. The oldest of its own gives
// way to the next, never one of another client.
func TestAccessTokensOfAClientAreBounded(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	type client struct {
		tenant directory.ID
		id     string
	}
	busy, idle, elsewhere := client{s.fjord, "busy"}, client{s.fjord, "idle"}, client{s.harbor, "busy"}
	issue := func(c client, n int) (secret string) {
		t.Helper()
		secret = fmt.Sprintf("access-%s-%v-%d", c.id, c.tenant, n)
		if _, err := s.svc.IssueAccessToken(s.ctx, c.tenant, c.id, secretHash(secret), "hint"); err != nil {
			t.Fatal(err)
		}
		return secret
	}
	want := map[string]directory.ID{}
	for _, c := range []client{busy, idle, elsewhere} {
		secret := newToken("client-secret-" + c.id)
		must(s.svc.CreateClient(s.ctx, operator, c.tenant, directory.NewClient{ClientID: c.id, Secret: &secret}))
	}
	for _, c := range []client{idle, elsewhere} { // older than all of the busy one's
		for n := range 2 {
			want[issue(c, n)] = c.tenant
		}
	}
	var all []string
	for n := range 51 {
		s.clock.Advance(time.Second)
		all = append(all, issue(busy, n))
		want[all[n]] = s.fjord
	}
	s.wantOpen(want)
	for n := 51; n < 54; n++ {
		s.clock.Advance(time.Second)
		all = append(all, issue(busy, n))
		want[all[n]], want[all[n-51]] = s.fjord, none
		s.wantOpen(want)
	}
	for table, more := range map[string]int{"tokens": 0, "token_hash": 0} {
		for k := range s.dump() {
			if strings.HasPrefix(k, table+"\x00") {
				more++
			}
		}
		if more != 51+4 {
			t.Errorf("%d rows in %s, want %d", more, table, 51+4)
		}
	}
	want[issue(idle, 2)] = s.fjord // nor does the other one take any of the busy one's
	s.wantOpen(want)
	checkInvariants(s.world)
}

// No secret is in the store, in any form that a reader could use: not its text, and its hash in no
// log, event or audit entry.
func TestNoSecretIsKept(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	secrets := []string{"very-secret-token-0001", "very-secret-rotated-0002", "very-secret-client-0003", "very-secret-client-0004", "very-secret-access-0005"}
	old := must(s.svc.CreateToken(s.ctx, operator, s.fjord, newToken(secrets[0])))
	must(s.svc.RotateToken(s.ctx, operator, s.fjord, old.ID, newToken(secrets[1]), time.Hour))
	client := newToken(secrets[2])
	must(s.svc.CreateClient(s.ctx, operator, s.fjord, directory.NewClient{ClientID: "entra", Secret: &client}))
	must(s.svc.RotateClient(s.ctx, operator, s.fjord, "entra", newToken(secrets[3]), time.Hour))
	must(s.svc.IssueAccessToken(s.ctx, s.fjord, "entra", secretHash(secrets[4]), "0005"))
	secrets = append(secrets, s.signIn(s.ada.AccountID))
	if err := s.svc.RevokeToken(s.ctx, operator, s.fjord, old.ID); err != nil {
		t.Fatal(err)
	}
	allowed := []string{"tokens", "token_hash", "clients", "sessions", "account_session", "session_end"}
	for k, v := range s.dump() {
		table, key, _ := strings.Cut(k, "\x00")
		row := key + "\x00" + v
		for _, secret := range secrets {
			if strings.Contains(row, secret) {
				t.Errorf("table %s holds the secret %s", table, secret)
			}
			hash := secretHash(secret)
			for _, form := range []string{string(hash[:]), fmt.Sprintf("%x", hash), string(must(jsonText(hash[:])))} {
				if strings.Contains(row, form) && !slices.Contains(allowed, table) {
					t.Errorf("table %s holds the hash of %s", table, secret)
				}
			}
		}
	}
}
