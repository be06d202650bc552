package auth_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/auth/authtest"
	"github.com/bizzstream/bizzscim/directory"
)

// hostile is an OpenID provider that does whatever a test wants of it.
type hostile struct {
	t         testing.TB
	now       func() time.Time
	directory string
	web       *httptest.Server

	mu       sync.Mutex // guards what follows
	people   map[directory.ID]bool
	codes    map[string]sent
	signs    string                              // name of the key that signs
	keys     []any                               // that are published
	document func(map[string]any)                // changes the document
	claims   func(header, claims map[string]any) // changes the ID token
	wrap     func(string) string                 // changes the ID token when it is signed
	answer   http.HandlerFunc                    // in place of the token endpoint
	fault    http.HandlerFunc                    // in place of document and keys
	asked    map[string]int                      // requests by path
	form     url.Values                          // of the last token request
}

// sent is what a code stands for.
type sent struct {
	nonce, challenge, client string
	person                   directory.ID
}

const (
	hostileDirectory = "11111111-aaaa-4aaa-8aaa-111111111111"
	hostileClient    = "22222222-bbbb-4bbb-8bbb-222222222222"
	strangeID        = "33333333-cccc-4ccc-8ccc-333333333333" // of nothing
)

func newHostile(t testing.TB, now func() time.Time) *hostile {
	t.Helper()
	h := &hostile{t: t, now: now, directory: hostileDirectory, people: map[directory.ID]bool{}, codes: map[string]sent{}, asked: map[string]int{}}
	h.publish("k1")
	h.web = httptest.NewTLSServer(h)
	t.Cleanup(h.web.Close)
	return h
}

// hostileWorld is a world with such a provider.
func hostileWorld(t *testing.T) (*authtest.World, *hostile) {
	t.Helper()
	var h *hostile
	w := authtest.NewWorld(t, openStore(t), func(now func() time.Time) authtest.Provider {
		h = newHostile(t, now)
		return h
	})
	return w, h
}

func (h *hostile) LoginURL() string     { return h.web.URL }
func (h *hostile) Directory() string    { return h.directory }
func (h *hostile) Client() *http.Client { return h.web.Client() }
func (h *hostile) issuer() string       { return h.web.URL + "/" + h.directory + "/v2.0" }

func (h *hostile) Register(string, string) (client, secret string) {
	return hostileClient, "s3cret-of-the-application"
}

func (h *hostile) AddPerson(string) (id directory.ID) {
	rand.Read(id[:])
	h.set(func() { h.people[id] = true })
	return id
}

// SignIn needs no browser: it sends everybody back with a code.
func (h *hostile) SignIn(_ context.Context, address string, person directory.ID) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	q := u.Query()
	if u.Path != "/"+h.directory+"/authorize" {
		return "", errors.New("sent to " + u.Path)
	}
	code := rand.Text()
	h.set(func() {
		h.codes[code] = sent{q.Get("nonce"), q.Get("code_challenge"), q.Get("client_id"), person}
	})
	return q.Get("redirect_uri") + "?" + url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), nil
}

// set changes what the provider does.
func (h *hostile) set(fn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fn()
}

// jwk is a published key, with Microsoft's field for the issuer unless that is empty.
func jwk(name, issuer string) map[string]any {
	var k map[string]any
	if err := json.Unmarshal(must(json.Marshal(jose.JSONWebKey{Key: &key(name).PublicKey, KeyID: name, Use: "sig"})), &k); err != nil {
		panic(err)
	}
	if issuer != "" {
		k["issuer"] = issuer
	}
	return k
}

// publish publishes these keys and signs with the first.
func (h *hostile) publish(names ...string) {
	var all []any
	for _, n := range names {
		all = append(all, jwk(n, ""))
	}
	h.set(func() { h.keys, h.signs = all, names[0] })
}

func (h *hostile) count(path string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked[path]
}

// fetches is how often the keys were fetched.
func (h *hostile) fetches() int { return h.count("/keys") }

func (h *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/"+h.directory), "/v2.0")
	h.mu.Lock()
	h.asked[path]++
	fault, answer := h.fault, h.answer
	h.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case fault != nil && path != "/token":
		fault(w, r)
	case path == "/.well-known/openid-configuration":
		h.serveDocument(w)
	case path == "/keys":
		h.mu.Lock()
		defer h.mu.Unlock()
		h.write(w, http.StatusOK, map[string]any{"keys": h.keys})
	case path == "/token" && answer != nil:
		answer(w, r)
	case path == "/token":
		h.serveToken(w, r)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (h *hostile) write(w http.ResponseWriter, status int, v any) {
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		h.t.Error(err)
	}
}

func (h *hostile) serveDocument(w http.ResponseWriter) {
	base := h.web.URL + "/" + h.directory
	d := map[string]any{"issuer": h.issuer(), "authorization_endpoint": base + "/authorize", "token_endpoint": base + "/token", "jwks_uri": base + "/keys",
		"end_session_endpoint": base + "/logout?policy=1"}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.document != nil {
		h.document(d)
	}
	h.write(w, http.StatusOK, d)
}

func (h *hostile) serveToken(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		h.t.Error(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.form = r.PostForm
	of, ok := h.codes[r.PostForm.Get("code")]
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	if !ok || of.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) || of.client != r.PostForm.Get("client_id") {
		h.write(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "AADSTS70000: Provided grant is invalid."})
		return
	}
	delete(h.codes, r.PostForm.Get("code"))
	token := h.token(of)
	if h.wrap != nil {
		token = h.wrap(token)
	}
	h.write(w, http.StatusOK, map[string]any{"token_type": "Bearer", "access_token": "opaque", "expires_in": 3600, "id_token": token})
}

// token is a right ID token, changed by claims.
func (h *hostile) token(of sent) string {
	now := h.now().Unix()
	header := map[string]any{"alg": "RS256", "typ": "JWT", "kid": h.signs}
	claims := map[string]any{"ver": "2.0", "iss": h.issuer(), "aud": of.client, "tid": h.directory, "oid": of.person.String(), "sub": "sub-" + of.person.String(),
		"nonce": of.nonce, "iat": now, "nbf": now, "exp": now + 3600, "name": "Ada Lovelace", "preferred_username": "ada@fjord.example"}
	if h.claims != nil {
		h.claims(header, claims)
	}
	return signRaw(h.signs, header, must(json.Marshal(claims)))
}

// signRaw signs a payload as it is, under a header as it is, with RS256 or what the header names.
func signRaw(name string, header map[string]any, payload []byte) string {
	header = maps.Clone(header)
	algorithm := jose.RS256
	if alg, _ := header["alg"].(string); strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS") {
		algorithm = jose.SignatureAlgorithm(alg)
	}
	delete(header, "alg")
	options := &jose.SignerOptions{}
	for k, v := range header {
		options = options.WithHeader(jose.HeaderKey(k), v)
	}
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key(name)}, options))
	return must(must(signer.Sign(payload)).CompactSerialize())
}

// signIn signs a person in from a new browser.
func signIn(w *authtest.World, person directory.ID) (*auth.Done, error) {
	w.Helper()
	return w.Browser().SignInAs(person)
}

// refused checks that a person is refused with a problem.
func refused(w *authtest.World, person directory.ID, want auth.ProblemCode) auth.Problem {
	w.Helper()
	done, err := signIn(w, person)
	return authtest.WantProblem(w, done, err, want)
}

// admitted checks that a person is signed in.
func admitted(w *authtest.World, person directory.ID) *auth.Done {
	w.Helper()
	done, err := signIn(w, person)
	w.WantSession(done, err)
	return done
}
