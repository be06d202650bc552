package auth_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/store/bolt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a directory on a real file with two tenants and a clock that stands still.
type world struct {
	*testing.T
	clock  *clock
	store  *countingStore
	svc    *directory.Service
	bearer *auth.Bearer
	asked  atomic.Int64 // requests to issuers
	alpha  directory.ID
	bravo  directory.ID
}

var operator = directory.Actor{Role: directory.RoleOperator, Channel: "cli", ID: "operator"}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newWorld(t *testing.T) *world {
	t.Helper()
	file, err := bolt.Open(filepath.Join(t.TempDir(), "auth.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{T: t, clock: &clock{now: time.Date(2026, 11, 23, 8, 0, 30, 0, time.UTC)}, store: &countingStore{Store: file}}
	var ids atomic.Uint64
	newID := func() (id directory.ID) {
		id[0], id[6] = 1, 0x70
		binary.BigEndian.PutUint64(id[8:], 1<<63|ids.Add(1))
		return id
	}
	w.svc = directory.New(w.store, directory.Options{Now: w.clock.Now, NewID: newID, Normalize: func(s string) string { return s }})
	w.bearer = auth.NewBearer(w.svc, w.clock.Now)
	w.alpha = must(w.svc.CreateTenant(t.Context(), operator, directory.Tenant{Name: "alpha"})).ID
	w.bravo = must(w.svc.CreateTenant(t.Context(), operator, directory.Tenant{Name: "bravo"})).ID
	return w
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// countingStore counts snapshots and can fail.
type countingStore struct {
	directory.Store
	views, updates atomic.Int64
	fail           atomic.Pointer[error]
}

func (s *countingStore) View(ctx context.Context, fn func(directory.Reader) error) error {
	s.views.Add(1)
	if err := s.fail.Load(); err != nil {
		return *err
	}
	return s.Store.View(ctx, fn)
}

func (s *countingStore) Update(ctx context.Context, fn func(directory.Writer) error) error {
	s.updates.Add(1)
	return s.Store.Update(ctx, fn)
}

// token makes a Secret Token.
func (w *world) token(tenant directory.ID, life time.Duration) (text string, id directory.ID) {
	w.Helper()
	s := auth.NewSecret()
	t := must(w.svc.CreateToken(w.Context(), operator, tenant, directory.NewToken{Hash: s.Hash, Hint: s.Hint, Life: life}))
	return s.Text, t.ID
}

func (w *world) authenticate(token string) (*directory.Tenant, directory.ID, error) {
	return w.bearer.Authenticate(w.Context(), token, "192.0.2.1")
}

// opens checks whose a token is; nobody's when want is zero.
func (w *world) opens(token string, want directory.ID) {
	w.Helper()
	tenant, _, err := w.authenticate(token)
	switch {
	case want.IsZero():
		wantRefused(w.T, err)
		if tenant != nil {
			w.Errorf("a refused token opens %s", tenant.Name)
		}
	case err != nil:
		w.Errorf("a good token is refused: %v", err)
	case tenant.ID != want:
		w.Errorf("the token opens tenant %s", tenant.Name)
	}
}

func wantRefused(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		t.Error("not refused")
	} else if got := directory.KindOf(err); got != directory.Unauthorized {
		t.Errorf("refused as %q: %v", got, err)
	}
}

func wantKind(t testing.TB, err error, want directory.ErrorKind) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %q", want)
	} else if got := directory.KindOf(err); got != want {
		t.Errorf("error of kind %q, want %q: %v", got, want, err)
	}
}

// issuer is an OpenID issuer with keys that can change.
type issuer struct {
	t       testing.TB
	url     string
	web     *httptest.Server
	mu      sync.Mutex
	keys    map[string]*rsa.PrivateKey // that it publishes
	fetches atomic.Int64               // of the keys
	broken  atomic.Int64               // status of its answers; 0: good ones
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{t: t, keys: map[string]*rsa.PrivateKey{"k1": key("k1")}}
	i.web = httptest.NewServer(i)
	i.url = i.web.URL
	t.Cleanup(i.web.Close)
	return i
}

var (
	keyring   = map[string]*rsa.PrivateKey{}
	keyringMu sync.Mutex
)

// key is the key of that name; making one takes a while.
func key(name string) *rsa.PrivateKey {
	keyringMu.Lock()
	defer keyringMu.Unlock()
	if keyring[name] == nil {
		keyring[name] = must(rsa.GenerateKey(rand.Reader, 2048))
	}
	return keyring[name]
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if status := i.broken.Load(); status != 0 {
		w.WriteHeader(int(status))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q,"id_token_signing_alg_values_supported":["RS256"]}`, i.url, i.url+"/keys")
	case "/keys":
		i.fetches.Add(1)
		i.mu.Lock()
		defer i.mu.Unlock()
		set := jose.JSONWebKeySet{}
		for _, kid := range slices.Sorted(maps.Keys(i.keys)) {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: &i.keys[kid].PublicKey, KeyID: kid, Algorithm: "RS256", Use: "sig"})
		}
		if err := json.NewEncoder(w).Encode(set); err != nil {
			i.t.Error(err)
		}
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// publish makes the issuer publish exactly these keys.
func (i *issuer) publish(kids ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = map[string]*rsa.PrivateKey{}
	for _, kid := range kids {
		i.keys[kid] = key(kid)
	}
}

// sign signs claims by the algorithm and key, under a key id.
func sign(alg jose.SignatureAlgorithm, key any, kid string, claims any) string {
	options := (&jose.SignerOptions{}).WithType("JWT")
	if kid != "" {
		options = options.WithHeader("kid", kid)
	}
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options))
	return must(must(signer.Sign(must(json.Marshal(claims)))).CompactSerialize())
}

// altered changes the character at i to another one of the alphabet of secrets.
func altered(s string, i int) string {
	for _, c := range "aB3" {
		if byte(c) != s[i] {
			return s[:i] + string(c) + s[i+1:]
		}
	}
	panic(strings.ToUpper("unreachable"))
}
