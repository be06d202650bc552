package graph

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/bizzstream/bizzscim/entrasim"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/graph/reader"
)

// rsaKey is one for all tests: making it takes a while.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// certificate makes a certificate for a key, signed by that key, valid for an hour from the time.
func certificate(t testing.TB, key crypto.Signer, from time.Time) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bizzscim"},
		NotBefore: from, NotAfter: from.Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf("PRIVATE KEY", der)
}

func TestSecretIsAskedOnce(t *testing.T) {
	s := sales(t, 3)
	source := s.open(t)
	for range 3 {
		if _, err := source.Group(t.Context(), theGroup); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Stats().Tokens; got != 1 {
		t.Errorf("%d tokens for 3 requests, want 1", got)
	}
}

func TestCertificate(t *testing.T) {
	key := rsaKey()
	leaf := certificate(t, key, time.Now().Add(-time.Minute))
	otherKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	above := pemOf("CERTIFICATE", certificate(t, otherKey, time.Now()).Raw)
	cert, pkcs1 := pemOf("CERTIFICATE", leaf.Raw), pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	for name, text := range map[string]string{
		"certificate and key":          cert + pkcs8(t, key),
		"key and certificate":          pkcs8(t, key) + cert,
		"PKCS 1":                       cert + pkcs1,
		"with the chain above":         cert + above + pkcs1,
		"with the chain first":         above + cert + pkcs1,
		"with text around, as openssl": "Bag Attributes\n    friendlyName: x\n" + cert + "\nKey:\n" + pkcs1 + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := sales(t, 3)
			if err := s.app.AddCertificate(leaf); err != nil {
				t.Fatal(err)
			}
			s.Kind, s.Secret = pull.Certificate, []byte(text)
			if people, _, err := read(s.open(t)); err != nil || len(people) != 3 {
				t.Errorf("%d people, error %v", len(people), err)
			}
		})
	}
}

func TestCertificateThatCannotBeRight(t *testing.T) {
	key := rsaKey()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	good := pemOf("CERTIFICATE", certificate(t, key, time.Now().Add(-time.Minute)).Raw)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	encrypted := string(pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Bytes: []byte("x"), Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"},
	}))
	for name, test := range map[string]struct{ text, says string }{
		"nothing":                     {"", "certificate is missing"},
		"no PEM":                      {"MIIB", "certificate is missing"},
		"a key alone":                 {pkcs8(t, key), "certificate is missing"},
		"a certificate alone":         {good, "private key of the certificate is missing"},
		"an EC key":                   {pemOf("CERTIFICATE", certificate(t, ec, time.Now().Add(-time.Minute)).Raw) + pkcs8(t, ec), "RSA"},
		"an EC key of its own kind":   {good + pemOf("EC PRIVATE KEY", ecDER), "RSA"},
		"an encrypted key":            {good + pemOf("ENCRYPTED PRIVATE KEY", []byte("x")), "encrypted"},
		"an encrypted key of openssl": {good + encrypted, "encrypted"},
		"a key that is none":          {good + pemOf("PRIVATE KEY", []byte("x")), "cannot be read"},
		"a certificate that is none":  {pemOf("CERTIFICATE", []byte("x")) + pkcs8(t, key), "cannot be read"},
		"two keys":                    {good + pkcs8(t, key) + pkcs8(t, other), "more than one"},
		"the key of another":          {good + pkcs8(t, other), "not that of the certificate"},
		"expired":                     {pemOf("CERTIFICATE", certificate(t, key, time.Now().Add(-2*time.Hour)).Raw) + pkcs8(t, key), "expired on"},
		"not valid yet":               {pemOf("CERTIFICATE", certificate(t, key, time.Now().Add(time.Hour)).Raw) + pkcs8(t, key), "not valid before"},
		"something else":              {good + pemOf("X509 CRL", []byte("x")), "X509 CRL"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Connect(pull.Connection{
				DirectoryID: someID, ClientID: otherID, Cloud: pull.CloudPublic, Kind: pull.Certificate, Secret: []byte(test.text),
			})
			if pull.ClassOf(err) != pull.Configuration || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want Configuration and %q", err, test.says)
			}
		})
	}
}

// workload makes tokens of another issuer.
type workload struct {
	t    testing.TB
	file string
}

func newWorkload(t testing.TB, s *sim) *workload {
	t.Helper()
	err := s.app.AddFederated(entrasim.FederatedCredential{
		Issuer: "https://cluster.example", Subject: "system:serviceaccount:bizzscim:server",
		Keys: map[string]*rsa.PublicKey{"k1": &rsaKey().PublicKey},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &workload{t, filepath.Join(t.TempDir(), "token")}
	s.Kind, s.Secret, s.TokenFile = pull.WorkloadIdentity, nil, w.file
	return w
}

// write writes a token with a subject, and returns it.
func (w *workload) write(subject string) string {
	w.t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			w.t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(map[string]any{"alg": "RS256", "kid": "k1", "typ": "JWT"}) + "." + part(map[string]any{
		"iss": "https://cluster.example", "sub": subject, "aud": "api://AzureADTokenExchange",
		"exp": time.Now().Add(time.Hour).Unix(), "nbf": time.Now().Add(-time.Minute).Unix(), "iat": time.Now().Add(-time.Minute).Unix(),
		"jti": fmt.Sprint(time.Now().UnixNano()),
	})
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, rsaKey(), crypto.SHA256, sum[:])
	if err != nil {
		w.t.Fatal(err)
	}
	token := text + "." + base64.RawURLEncoding.EncodeToString(sig)
	if err := os.WriteFile(w.file, []byte(token+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return token
}

func TestWorkloadIdentity(t *testing.T) {
	s := sales(t, 3)
	w := newWorkload(t, s)
	source := s.open(t) // the file is not there yet
	_, err := source.Group(t.Context(), theGroup)
	if pull.ClassOf(err) != pull.Configuration || !strings.Contains(err.Error(), "token file") {
		t.Errorf("no file: %v", err)
	}
	wrong := w.write("system:serviceaccount:other:server")
	_, err = source.Group(t.Context(), theGroup)
	if pull.ClassOf(err) != pull.Authentication || !strings.Contains(err.Error(), "Federated credentials") || strings.Contains(fmt.Sprintf("%+v", err), wrong) {
		t.Errorf("the token of another workload: %v", err)
	}
	w.write("system:serviceaccount:bizzscim:server")
	if _, err = source.Group(t.Context(), theGroup); err != nil {
		t.Errorf("the file was renewed, and %v", err)
	}
	for _, text := range []string{"", " \n", "no token", strings.Repeat("a.b.c", 20_000)} {
		if err := os.WriteFile(w.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.open(t).Group(t.Context(), theGroup)
		if pull.ClassOf(err) != pull.Configuration || !strings.Contains(err.Error(), "token file") {
			t.Errorf("file of %d bytes: %v", len(text), err)
		}
		// What is shown to administrators does not say where the server keeps its files.
		if e, ok := errors.AsType[*pull.Error](err); !ok || strings.Contains(e.Detail, w.file) || !strings.Contains(err.Error(), w.file) {
			t.Errorf("where the file is: %v", err)
		}
	}
}

// TestRefusals: what the authority says, and what the administrator reads.
func TestRefusals(t *testing.T) {
	s := sales(t, 3)
	expired := s.app.NewSecret(time.Now().Add(-time.Hour))
	for name, test := range map[string]struct {
		change func(*pull.Connection)
		code   string
		says   string
	}{
		"wrong secret":        {func(c *pull.Connection) { c.Secret = []byte("wr0ng-s3cret") }, "AADSTS7000215", "not its Secret ID"},
		"expired secret":      {func(c *pull.Connection) { c.Secret = []byte(expired) }, "AADSTS7000222", "expired"},
		"unknown application": {func(c *pull.Connection) { c.ClientID = otherID }, "AADSTS700016", "client id"},
		"unknown directory":   {func(c *pull.Connection) { c.DirectoryID = otherID }, "AADSTS90002", "directory (tenant) id"},
		"certificate not uploaded": {func(c *pull.Connection) {
			c.Kind = pull.Certificate
			c.Secret = []byte(pemOf("CERTIFICATE", certificate(t, rsaKey(), time.Now().Add(-time.Minute)).Raw) + pkcs8(t, rsaKey()))
		}, "AADSTS700027", "not registered"},
	} {
		t.Run(name, func(t *testing.T) {
			was := s.Connection
			defer func() { s.Connection = was }()
			test.change(&s.Connection)
			source := s.open(t)
			requests := s.Stats().Requests
			_, err := source.Group(t.Context(), theGroup)
			var e *pull.Error
			if !errors.As(err, &e) || e.Class != pull.Authentication || e.Code != test.code || !strings.Contains(e.Detail, test.says) || e.RequestID == "" {
				t.Fatalf("error %+v, want Authentication, %s and %q", err, test.code, test.says)
			}
			if got := s.Stats().Requests - requests; got > 2 {
				t.Errorf("%d requests to be refused, want the metadata and the token", got)
			}
			hidden(t, string(s.Secret), err, source, e, e.Err)
			r := source.(pull.Tester).Test(t.Context(), nil)
			if r.OK() || !strings.Contains(r.Checks[0].Error, test.says) {
				t.Errorf("report %+v", r)
			}
			hidden(t, string(s.Secret), r)
		})
	}
}

// hidden checks that nothing which can be printed shows a secret, a token or an assertion.
func hidden(t *testing.T, secret string, things ...any) {
	t.Helper()
	for _, thing := range things {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			text := fmt.Sprintf(verb, thing)
			if strings.Contains(text, secret) || strings.Contains(text, "eyJ") || strings.Contains(text, "client_assertion=") {
				t.Errorf("%s of %T shows a secret: %.300s", verb, thing, text)
			}
		}
	}
}

// answering is an authority and a Graph that say what they are told.
type answering func(req *http.Request, body string) (int, http.Header, string)

func (f answering) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
	}
	status, header, text := f(req, string(body))
	if header == nil {
		header = http.Header{}
	}
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json; charset=utf-8")
	}
	return &http.Response{
		StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(text)), Request: req, ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

const metadata = `{"issuer":"https://login.example/x/v2.0","token_endpoint":"https://login.example/x/oauth2/v2.0/token","authorization_endpoint":"https://login.example/x/oauth2/v2.0/authorize"}`

// told connects to an authority that answers the request for a token so.
func told(t *testing.T, status int, header http.Header, body string) (pull.Source, *int) {
	t.Helper()
	tokens := 0
	c := pull.Connection{
		DirectoryID: someID, ClientID: otherID, Cloud: pull.CloudCustom, LoginURL: "https://login.example/", GraphURL: "https://graph.example/v1.0",
		Kind: pull.ClientSecret, Secret: []byte("s3cret+/=&"),
	}
	s, err := connect(c, answering(func(req *http.Request, _ string) (int, http.Header, string) {
		switch {
		case strings.HasSuffix(req.URL.Path, "openid-configuration"):
			return 200, nil, metadata
		case strings.HasSuffix(req.URL.Path, "/token"):
			tokens++
			return status, header, body
		}
		t.Errorf("%s was asked for", req.URL)
		return 500, nil, ""
	}), noSleep)
	if err != nil {
		t.Fatal(err)
	}
	return s, &tokens
}

func TestAuthorityAnswersOddly(t *testing.T) {
	refusal := func(code int, text string) string {
		return fmt.Sprintf(`{"error":"invalid_client","error_description":"AADSTS%d: %s Trace ID: t-1 Correlation ID: c-1","error_codes":[%d],"trace_id":"t-1"}`, code, text, code)
	}
	html := http.Header{"Content-Type": {"text/html"}}
	for name, test := range map[string]struct {
		status int
		header http.Header
		body   string
		want   pull.Class
		tries  int
		says   string
	}{
		"a code that we do not know":      {400, nil, refusal(99999, "News."), pull.Authentication, 1, "code=99999"},
		"a code in the description alone": {400, nil, `{"error":"invalid_client","error_description":"AADSTS7000222: expired"}`, pull.Authentication, 1, "expired"},
		"no code":                         {401, nil, `{"error":"invalid_client"}`, pull.Authentication, 1, "credential"},
		"conditional access":              {400, nil, refusal(53003, "Blocked."), pull.Authentication, 1, "Conditional Access"},
		"it quotes the secret":            {401, nil, refusal(7000215, "Bad secret s3cret+/=& given."), pull.Authentication, 1, "Value"},
		"it quotes an assertion":          {401, nil, refusal(700024, "eyJhbGciOiJQUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln is old."), pull.Authentication, 1, "clock"},
		"HTML":                            {403, html, "<html>blocked s3cret+/=&</html>", pull.Unavailable, 1, "proxy"},
		"JSON of somebody else":           {404, nil, `{"message":"no route"}`, pull.Unavailable, 1, "login URL"},
		"an error list":                   {400, nil, `[]`, pull.Unavailable, 1, "login URL"},
		"elsewhere":                       {302, http.Header{"Location": {"https://evil.example/"}}, "", pull.Unavailable, 1, "login URL"},
		"throttled":                       {429, http.Header{"Retry-After": {"5"}}, "", pull.Throttled, 4, "wait"},
		"throttled for long":              {429, http.Header{"Retry-After": {"900"}}, "", pull.Throttled, 1, "wait"},
		"out of order":                    {503, nil, "", pull.Unavailable, 4, "503"},
		"a token that is HTML":            {200, html, "<html>", pull.Malformed, 1, "not as documented"},
		"no token":                        {200, nil, `{}`, pull.Malformed, 1, "not as documented"},
		"an empty token":                  {200, nil, `{"token_type":"Bearer","expires_in":3600,"access_token":""}`, pull.Malformed, 1, ""},
		"nothing":                         {200, nil, ``, pull.Malformed, 1, "not as documented"},
	} {
		t.Run(name, func(t *testing.T) {
			s, tries := told(t, test.status, test.header, test.body)
			_, err := s.Group(t.Context(), theGroup)
			var e *pull.Error
			if !errors.As(err, &e) || e.Class != test.want || !strings.Contains(e.Detail, test.says) || *tries != test.tries {
				t.Errorf("error %+v after %d requests; want %s, %q after %d", err, *tries, test.want, test.says, test.tries)
			}
			if test.header.Get("Retry-After") != "" && (e == nil || e.RetryAfter.Seconds() < 5) {
				t.Errorf("the error does not say when to ask again: %+v", e)
			}
			hidden(t, "s3cret", err, s)
		})
	}
}

// TestTokenWithOddClaims: Graph's challenge may be anything. What cannot be answered is an error, not a panic.
func TestTokenWithOddClaims(t *testing.T) {
	for _, challenge := range []string{"Bearer claims=abc", `Bearer claims="`, `Bearer claims="e30"`, "Bearer", ""} {
		s, err := connect(pull.Connection{
			DirectoryID: someID, ClientID: otherID, Cloud: pull.CloudCustom, LoginURL: "https://login.example/", GraphURL: "https://graph.example/v1.0",
			Kind: pull.ClientSecret, Secret: []byte("s3cret"),
		}, answering(func(req *http.Request, _ string) (int, http.Header, string) {
			switch {
			case strings.HasSuffix(req.URL.Path, "openid-configuration"):
				return 200, nil, metadata
			case strings.HasSuffix(req.URL.Path, "/token"):
				return 200, nil, `{"token_type":"Bearer","expires_in":3600,"access_token":"eyJ0.eyJ1.c2ln"}`
			}
			return 401, http.Header{"Www-Authenticate": {challenge}}, `{"error":{"code":"InvalidAuthenticationToken","message":"no"}}`
		}), noSleep)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Group(t.Context(), theGroup); pull.ClassOf(err) != pull.Authentication || err == nil {
			t.Errorf("challenge %q: %v", challenge, err)
		}
	}
}

// panicking is a library that cannot cope.
type panicking struct{ value any }

func (p panicking) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	panic(p.value)
}

func TestPanicOfTheLibrary(t *testing.T) {
	token := &credential{library: panicking{"index out of range [1]"}, client: &reader.Client{}, hide: reader.Redact, gate: make(chan struct{}, 1)}
	for range 2 { // the gate is open again
		_, err := token.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"x"}})
		var e *pull.Error
		if !errors.As(err, &e) || e.Class != pull.Malformed || !strings.Contains(e.Err.Error(), "index out of range") {
			t.Errorf("error %v", err)
		}
	}
	_, base, err := addresses(pull.Connection{Cloud: pull.CloudPublic})
	if err != nil {
		t.Fatal(err)
	}
	requests, err := newRequests(base, token, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := requests.Request(t.Context(), "", reader.Query{Op: reader.OpGroup, ID: theGroup}); pull.ClassOf(err) != pull.Malformed {
		t.Errorf("a request: %v", err)
	}
	requests.groups = nil // the builder's own failure
	if _, err := requests.Path(t.Context(), reader.Query{Op: reader.OpGroup, ID: theGroup}); pull.ClassOf(err) != pull.Malformed || err == nil {
		t.Errorf("a path: %v", err)
	}
	if _, err := requests.Path(t.Context(), reader.Query{Op: 99}); pull.ClassOf(err) != pull.Malformed || err == nil {
		t.Errorf("a request that is none: %v", err)
	}
}

// stuck is a library that waits for ever, whatever its context says.
type stuck struct{ entered, release chan struct{} }

func (s stuck) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	close(s.entered)
	<-s.release
	return azcore.AccessToken{Token: "t"}, nil
}

// TestWaitingForATokenEndsWithItsContext: the library has a lock, and no context ends it.
func TestWaitingForATokenEndsWithItsContext(t *testing.T) {
	library := stuck{make(chan struct{}), make(chan struct{})}
	token := &credential{library: library, client: &reader.Client{}, hide: reader.Redact, gate: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = token.GetToken(context.Background(), policy.TokenRequestOptions{}) })
	<-library.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := token.GetToken(ctx, policy.TokenRequestOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(library.release)
	wg.Wait()
}

// TestTokenIsCancelled: a request for a token ends with the read that needs it.
func TestTokenIsCancelled(t *testing.T) {
	s := sales(t, 3)
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.Faults().Add(entrasim.Fault{On: "token", Do: cancel, Delay: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.open(t).Group(ctx, theGroup); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestRequestToAnotherHostHasNoToken(t *testing.T) {
	s := sales(t, 3)
	source := s.open(t)
	if _, err := source.Group(t.Context(), theGroup); err != nil {
		t.Fatal(err)
	}
	_, base, err := addresses(s.Connection)
	if err != nil {
		t.Fatal(err)
	}
	token := &credential{library: stuck{make(chan struct{}), closed()}, client: &reader.Client{}, hide: reader.Redact, gate: make(chan struct{}, 1)}
	requests, err := newRequests(base, token, false)
	if err != nil {
		t.Fatal(err)
	}
	req, err := requests.Request(t.Context(), "", reader.Query{Op: reader.OpNext, Link: "https://evil.example/v1.0/groups"})
	if err == nil || req != nil {
		t.Errorf("request %+v, error %v; want none", req, err)
	}
}

func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
