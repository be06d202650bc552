package auth_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

const exampleHost = "bizzstream.example.com"

// behind is BizzStream behind a real nginx with the example configuration.
type behind struct {
	*desk
	addr     string // of nginx
	roots    *x509.CertPool
	server   *httptest.Server            // bizzscim
	upstream *httptest.Server            // BizzStream, as a customer would write it
	verified atomic.Pointer[http.Header] // of the last request to verify
}

// seen is what the upstream answers: what it was asked, and whom it believes to be asking.
type seen struct {
	Method, URI, Body string
	Header            http.Header
	Assertion         *auth.Assertion // verified; nil: there was none that is to be believed
}

// program finds a reverse proxy, or skips the test. Where BIZZSCIM_REQUIRE names it, the test fails instead.
func program(t *testing.T, name, install string) string {
	t.Helper()
	for _, file := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(file); err == nil {
			return found
		}
	}
	why := name + " is not installed: " + install
	if slices.Contains(strings.FieldsFunc(os.Getenv("BIZZSCIM_REQUIRE"), func(r rune) bool { return r == ',' || r == ' ' }), name) {
		t.Fatal(why)
	}
	t.Skip(why)
	return ""
}

// newBehind is everything but the proxy.
func newBehind(t *testing.T) *behind {
	t.Helper()
	b := &behind{desk: deskOn(newSiteWith(t, time.Now, nil, directory.Limits{}))}
	mux := http.NewServeMux()
	mux.HandleFunc("/auth/", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/auth/verify/") {
			b.verified.Store(&r.Header)
		}
		handler(b.http).ServeHTTP(w, r)
	})
	mux.Handle("/.well-known/", handler(b.http))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(seen{Method: "bizzscim", URI: r.RequestURI, Header: r.Header})
	})
	b.server = httptest.NewServer(mux)
	t.Cleanup(b.server.Close)
	t.Cleanup(b.http.Close)
	b.upstream = httptest.NewServer(http.HandlerFunc(b.answer))
	t.Cleanup(b.upstream.Close)
	return b
}

// answer is the upstream: it believes assertions that the published keys verify, and nothing else.
func (b *behind) answer(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_ = json.NewEncoder(w).Encode(seen{r.Method, r.RequestURI, string(body), r.Header, b.believed(r)})
}

func (b *behind) believed(r *http.Request) *auth.Assertion {
	values := r.Header[auth.AssertionHeader]
	if len(values) != 1 {
		return nil
	}
	signed, err := jose.ParseSignedCompact(values[0], []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return nil
	}
	resp, err := http.Get(b.server.URL + "/.well-known/jwks.json")
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	var set jose.JSONWebKeySet
	if json.NewDecoder(resp.Body).Decode(&set) != nil || len(set.Key(signed.Signatures[0].Protected.KeyID)) != 1 {
		return nil
	}
	claims, err := signed.Verify(set.Key(signed.Signatures[0].Protected.KeyID)[0].Key)
	var a auth.Assertion
	now := time.Now().Unix()
	if err != nil || json.Unmarshal(claims, &a) != nil || a.Issuer != serverURL || a.Audience != "urn:bizzstream" || now < a.NotBefore || now >= a.Expires {
		return nil
	}
	return &a
}

// rendered is an example configuration with the addresses of the test. What is changed must stand there as
// often as expected.
func (b *behind) rendered(example string, changes ...change3) string {
	b.Helper()
	text := string(must(os.ReadFile(filepath.Join("..", "deploy", example))))
	for _, c := range changes {
		if n := strings.Count(text, c.old); n != c.times {
			b.Fatalf("the example says %q %d times, want %d", c.old, n, c.times)
		}
		text = strings.ReplaceAll(text, c.old, c.new)
	}
	return text
}

type change3 struct {
	old, new string
	times    int
}

// nginx starts nginx with its example.
func (b *behind) nginx(program string) {
	b.Helper()
	dir := b.TempDir()
	plain, secure := freePort(b), freePort(b)
	b.addr = "127.0.0.1:" + secure
	b.certify(dir)
	text := b.rendered("nginx/bizzscim.conf",
		change3{"server 127.0.0.1:8080;", "server " + strings.TrimPrefix(b.server.URL, "http://") + ";", 1},
		change3{"server 127.0.0.1:3000;", "server " + strings.TrimPrefix(b.upstream.URL, "http://") + ";", 1},
		change3{"listen 443 ssl", "listen 127.0.0.1:" + secure + " ssl", 2},
		change3{"listen 80;", "listen 127.0.0.1:" + plain + ";", 1},
		change3{"/etc/nginx/tls/", dir + "/", 2})
	var temp strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	config := fmt.Sprintf("daemon off; master_process off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log notice;\n"+
		"events { worker_connections 256; }\nhttp {\naccess_log off;\n%[2]s%[3]s\n}\n", dir, temp.String(), text)
	file := filepath.Join(dir, "nginx.conf")
	check(b, os.WriteFile(file, []byte(config), 0o600))
	b.start(dir, program, "-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", file)
}

// caddy starts Caddy with its example.
func (b *behind) caddy(program string) {
	b.Helper()
	dir := b.TempDir()
	secure := freePort(b)
	b.addr = "127.0.0.1:" + secure
	b.certify(dir)
	text := b.rendered("caddy/Caddyfile",
		change3{"\nbizzstream.example.com {\n", "\nhttps://bizzstream.example.com:" + secure + " {\ntls " + dir + "/bizzstream.crt " + dir + "/bizzstream.key\n", 1},
		change3{"reverse_proxy @bizzscim 127.0.0.1:8080", "reverse_proxy @bizzscim " + strings.TrimPrefix(b.server.URL, "http://"), 1},
		change3{"forward_auth 127.0.0.1:8080", "forward_auth " + strings.TrimPrefix(b.server.URL, "http://"), 1},
		change3{"reverse_proxy 127.0.0.1:3000", "reverse_proxy " + strings.TrimPrefix(b.upstream.URL, "http://"), 1})
	config := "{\nadmin off\nauto_https disable_redirects\ndefault_bind 127.0.0.1\nstorage file_system " + dir + "\n}\n" + text
	file := filepath.Join(dir, "Caddyfile")
	check(b, os.WriteFile(file, []byte(config), 0o600))
	b.Setenv("HOME", dir)
	b.start(dir, program, "run", "--adapter", "caddyfile", "--config", file)
}

// start starts a proxy and waits until it listens.
func (b *behind) start(dir, program string, args ...string) {
	b.Helper()
	var output bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	check(b, cmd.Start())
	over := make(chan error, 1)
	go func() { over <- cmd.Wait() }()
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-over
		if b.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			b.Logf("the proxy says:\n%s%s", output.String(), log)
		}
	})
	for {
		conn, err := net.Dial("tcp", b.addr)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case err := <-over:
			over <- err
			b.Fatalf("the proxy has ended: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func (b *behind) certify(dir string) {
	b.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: exampleHost}, DNSNames: []string{exampleHost},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	check(b, os.WriteFile(filepath.Join(dir, "bizzstream.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	check(b, os.WriteFile(filepath.Join(dir, "bizzstream.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))}), 0o600))
	b.roots = x509.NewCertPool()
	b.roots.AddCert(must(x509.ParseCertificate(der)))
}

// raw sends a request exactly as it is written, and returns the answer.
func (b *behind) raw(request string) (*http.Response, string) {
	b.Helper()
	conn := must(tls.Dial("tcp", b.addr, &tls.Config{ServerName: exampleHost, RootCAs: b.roots}))
	defer conn.Close()
	_, err := io.WriteString(conn, request)
	check(b, err)
	return readAnswer(b, conn)
}

func readAnswer(t testing.TB, conn net.Conn) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp, string(body)
}

// ask asks for a path, by a browser with a cookie, with more header lines.
func (b *behind) ask(method, target, secret, body string, lines ...string) (*http.Response, string) {
	b.Helper()
	request := method + " " + target + " HTTP/1.1\r\nHost: " + exampleHost + "\r\nConnection: close\r\n"
	if secret != "" {
		request += "Cookie: theme=dark; " + auth.SessionCookie + "=" + secret + "\r\n"
	}
	for _, line := range lines {
		request += line + "\r\n"
	}
	if body != "" {
		request += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return b.raw(request + "\r\n" + body)
}

// reaches checks that a request came to the upstream, with the assertion of Alice.
func (b *behind) reaches(resp *http.Response, body string) (got seen) {
	b.Helper()
	if got = b.arrives(resp, body); got.Assertion == nil || got.Assertion.Subject != b.alice.AccountID.String() {
		b.Errorf("the upstream believes %+v", got.Assertion)
	}
	return got
}

// arrives checks that a request came to the upstream.
func (b *behind) arrives(resp *http.Response, body string) (got seen) {
	b.Helper()
	if err := json.Unmarshal([]byte(body), &got); resp.StatusCode != http.StatusOK || err != nil || got.Method == "bizzscim" {
		b.Fatalf("status %d, %.200s: want the upstream's answer", resp.StatusCode, body)
	}
	return got
}

// misses checks that a request was refused and never came to the upstream.
func (b *behind) misses(resp *http.Response, body string, status int) {
	b.Helper()
	if resp.StatusCode != status || strings.Contains(body, `"Assertion"`) && !strings.Contains(body, `"bizzscim"`) {
		b.Errorf("status %d, want %d: %.200s", resp.StatusCode, status, body)
	}
}

func TestNginxExample(t *testing.T) {
	name := program(t, "nginx", "apt-get install nginx-light, or any nginx with the modules ssl and auth_request")
	b := newBehind(t)
	b.nginx(name)
	b.misses2(b.ask("GET", "/orders", auth.NewSessionSecret().Text, "", "X-Forwarded-Method: OPTIONS", "Authorization: Bearer x", "Accept: application/json", "X-Any: x"))
	for name := range *b.verified.Load() { // nothing of the client but its cookie
		if !slices.Contains([]string{"Cookie", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri"}, name) {
			t.Errorf("bizzscim is asked with %s", name)
		}
	}
	testExample(t, b)
	resp, body := b.ask("GET", "/_verify", "", "") // by which nginx itself asks
	b.misses(resp, body, http.StatusNotFound)
}

func TestCaddyExample(t *testing.T) {
	name := program(t, "caddy", "apt-get install caddy, or any Caddy from 2.6.2 on")
	b := newBehind(t)
	b.caddy(name)
	testExample(t, b)
}

// testExample is what each example must do.
func testExample(t *testing.T, b *behind) {
	run := func(name string, fn func(*testing.T)) {
		t.Run(name, func(t *testing.T) {
			outer := b.TB
			b.TB = t // what fails, fails this test
			defer func() { b.TB = outer }()
			fn(t)
		})
	}
	secret, _ := b.signIn(b.alice)

	run("lets through, with method and body", func(t *testing.T) {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
			content := ""
			if method == "POST" || method == "PUT" || method == "PATCH" {
				content = strings.Repeat("order 7\n", 5000)
			}
			got := b.reaches(b.ask(method, "/orders/7?open=1&x=%2F", secret, content))
			if got.Method != method || got.URI != "/orders/7?open=1&x=%2F" || got.Body != content {
				t.Errorf("%s: the upstream got %s %s with %d bytes", method, got.Method, got.URI, len(got.Body))
			}
			if got.Assertion.Environment != b.env.String() || got.Assertion.Email != "alice@fjord.example" {
				t.Errorf("assertion %+v", got.Assertion)
			}
		}
	})
	run("lets a body of unknown length through", func(t *testing.T) {
		got := b.reaches(b.raw("POST /upload HTTP/1.1\r\nHost: " + exampleHost + "\r\nConnection: close\r\nCookie: " + auth.SessionCookie + "=" + secret +
			"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
		if got.Body != "hello" {
			t.Errorf("the upstream got %q", got.Body)
		}
	})
	run("without a session a browser signs in, a program is told", func(t *testing.T) {
		for _, cookie := range []string{"", auth.NewSessionSecret().Text, "x"} {
			resp, body := b.ask("GET", "/orders?open=1&by=a%26b", cookie, "", "Accept: text/html,application/xhtml+xml")
			b.misses(resp, body, http.StatusSeeOther)
			at := must(url.Parse(resp.Header.Get("Location")))
			if at.Path != "/login" || at.Query().Get("next") != "/orders?open=1&by=a%26b" || at.Host != "" && at.Host != exampleHost {
				t.Errorf("sent to %s", at)
			}
			resp, body = b.ask("GET", "/orders", cookie, "", "Accept: application/json")
			b.misses(resp, body, http.StatusUnauthorized)
			resp, body = b.ask("POST", "/orders", cookie, "x", "Accept: text/html")
			b.misses(resp, body, http.StatusUnauthorized)
		}
	})
	run("without the access there is a page that says so", func(t *testing.T) {
		root, _ := b.operatorSession()
		resp, body := b.ask("GET", "/orders", root, "", "Accept: text/html")
		b.misses(resp, body, http.StatusForbidden)
		if !strings.Contains(body, "no access") {
			t.Errorf("the page: %s", body)
		}
	})
	run("no header of a client passes for ours", func(t *testing.T) {
		for _, spell := range []func(string) string{strings.Clone, strings.ToLower, strings.ToUpper,
			func(s string) string { return strings.ReplaceAll(s, "-", "_") }, func(s string) string { return strings.ReplaceAll(s, "-", ".") },
			func(s string) string { return strings.ReplaceAll(s, "-", "~") }} {
			var lines []string
			for name, value := range forged {
				lines = append(lines, spell(name)+": "+value)
			}
			slices.Sort(lines)
			lines = slices.CompactFunc(lines, strings.EqualFold)
			b.misses2(b.ask("GET", "/orders", "", "", lines...))
			got := b.reaches(b.ask("GET", "/orders", secret, "", lines...))
			for name, values := range got.Header {
				flat := strings.Map(func(r rune) rune {
					if strings.ContainsRune("_.~", r) {
						return '-'
					}
					return r
				}, strings.ToLower(name))
				switch {
				case name == auth.AssertionHeader, name == "X-Forwarded-Proto" && slices.Equal(values, []string{"https"}),
					name == "X-Forwarded-For" && slices.Equal(values, []string{"127.0.0.1"}), name == "X-Forwarded-Host" && slices.Equal(values, []string{exampleHost}):
				case strings.HasPrefix(flat, "x-forwarded"), strings.HasPrefix(flat, "x-original"), strings.HasPrefix(flat, "x-auth"), strings.HasPrefix(flat, "x-rewrite"),
					strings.HasSuffix(flat, "remote-user"), flat == "forwarded", flat == "x-real-ip", flat == "x-client-ip", flat == "x-http-method-override":
					t.Errorf("the upstream sees %s: %q", name, values)
				}
			}
		}
		// A client may make a proxy drop headers as those of the connection: ours at most, so that nobody is believed.
		got := b.arrives(b.ask("GET", "/orders", secret, "", "Connection: close, X-Auth-Assertion, X-Forwarded-For", "X-Auth-Assertion: x"))
		if got.Assertion == nil && len(got.Header[auth.AssertionHeader]) != 0 {
			t.Errorf("the upstream sees %q", got.Header[auth.AssertionHeader])
		}
		// Nor where there is nobody to assert.
		resp, body := b.ask("GET", "/login", "", "", "X-Auth-Assertion: eyJhbGciOiJub25lIn0.e30.")
		if strings.Contains(body, "eyJhbGciOiJub25lIn0") || resp.StatusCode != http.StatusOK {
			t.Errorf("bizzscim sees the client's assertion: %s", body)
		}
	})
	run("no path goes around", func(t *testing.T) {
		for _, path := range []string{"/", "//", "//orders", "/%2forders", "/orders%2f..%2f", "/login/../orders", "/login/%2e%2e/orders", "/login/..%2forders",
			"/login/..;/orders", "/login;/../orders", "/static/../orders", "/static/%2e%2e/orders", "/static/..%2f..%2forders", "/.well-known/jwks.json/../../orders",
			"/.well-known/jwks.json/", "/.well-known/%6awks.json", "/.well-known/jwks.json%00", "/auth/../orders", "/auth/events/../../orders", "/LOGIN", "/Login/x", "/loginx",
			"/login%00", "/login%0a", "/login?/../orders", "/orders?x=/login", "/orders#/login", "/orders%23/login", "/./login/../../orders", `/login\..\orders`, "/login/.%2e/orders",
			"/scim/..%2f..%2forders", "/_verify", "/_verify/", "//_verify", "/%5fverify", "/auth/verify/bizzstream", "//auth/verify/bizzstream", "/auth//verify/bizzstream",
			"/auth/%76erify/bizzstream", "/auth/verify%2fbizzstream", "/auth/./verify/bizzstream", "/auth/x/../verify/bizzstream", "/AUTH/verify/bizzstream", "/healthz", "/metrics"} {
			resp, body := b.ask("GET", path, "", "", "Accept: application/json")
			if resp.Header.Get(auth.AssertionHeader) != "" {
				t.Errorf("%s hands out an assertion", path)
			}
			var got seen
			if resp.StatusCode == http.StatusOK && (json.Unmarshal([]byte(body), &got) != nil || got.Method != "bizzscim" && !strings.Contains(body, `"kty"`)) {
				t.Errorf("%s reaches the upstream: %.200s", path, body)
			}
			resp, _ = b.ask("GET", path, secret, "", "Accept: application/json") // and nobody is handed their assertion
			if resp.Header.Get(auth.AssertionHeader) != "" {
				t.Errorf("%s hands out an assertion", path)
			}
		}
	})
	run("verification is closed to the outside", func(t *testing.T) {
		for _, path := range []string{"/auth/verify/bizzstream", "/auth/verify", "/auth/%76erify/bizzstream", "//auth/verify/bizzstream"} {
			resp, body := b.ask("GET", path, secret, "")
			b.misses(resp, body, http.StatusNotFound)
		}
	})
	run("two cookies, or one cut in two, are none", func(t *testing.T) {
		another, _ := b.signIn(b.alice)
		b.misses2(b.ask("GET", "/orders", secret, "", "Cookie: "+auth.SessionCookie+"="+another))
		b.misses2(b.ask("GET", "/orders", "", "", "Cookie: "+auth.SessionCookie+"="+secret+"; "+auth.SessionCookie+"="+another))
	})
	run("bizzscim's own pages need no session, and keys are public", func(t *testing.T) {
		for _, path := range []string{"/login", "/login/environment/x", "/logout", "/signed-out", "/operator", "/setup/x", "/password", "/account", "/static/x.css", "/preferences", "/scim/x", "/auth/callback"} {
			resp, body := b.ask("GET", path, "", "")
			if path == "/auth/callback" && resp.StatusCode == http.StatusNotFound { // the handlers of this test have none
				continue
			}
			var got seen
			if json.Unmarshal([]byte(body), &got) != nil || got.Method != "bizzscim" || got.URI != path {
				t.Errorf("%s: status %d, %.100s", path, resp.StatusCode, body)
			}
		}
		resp, body := b.ask("GET", "/.well-known/jwks.json", "", "")
		if resp.StatusCode != http.StatusOK || !strings.Contains(body, `"kty":"EC"`) {
			t.Errorf("keys: status %d, %s", resp.StatusCode, body)
		}
		resp, body = b.ask("GET", "/auth/session", secret, "")
		if resp.StatusCode != http.StatusOK || !strings.Contains(body, b.alice.AccountID.String()) {
			t.Errorf("session: status %d, %s", resp.StatusCode, body)
		}
	})
	run("another host name has no handshake", func(t *testing.T) {
		if conn, err := tls.Dial("tcp", b.addr, &tls.Config{ServerName: "other.example", InsecureSkipVerify: true}); err == nil {
			conn.Close()
			t.Error("it has one")
		}
	})
	run("events come at once, and the end of the session is the end everywhere", func(t *testing.T) {
		conn := must(tls.Dial("tcp", b.addr, &tls.Config{ServerName: exampleHost, RootCAs: b.roots}))
		defer conn.Close()
		_, err := fmt.Fprintf(conn, "GET /auth/events HTTP/1.1\r\nHost: %s\r\nCookie: %s=%s\r\n\r\n", exampleHost, auth.SessionCookie, secret)
		check(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		check(t, err)
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		for _, want := range []string{"event: session\n", "data: ", "\n"} { // it is passed on while the stream goes on
			if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, want) {
				t.Fatalf("line %q, %v, want %q", line, err, want)
			}
		}
		b.reaches(b.ask("GET", "/orders", secret, ""))
		b.setActive(b.alice, false)
		b.misses2(b.ask("GET", "/orders", secret, "")) // the very next request
		rest, err := io.ReadAll(lines)
		if err != nil || string(rest) != "event: ended\ndata: {\"reason\":\"deactivated\"}\n\n" {
			t.Errorf("the open page is told %q, %v", rest, err)
		}
		b.setActive(b.alice, true)
		b.misses2(b.ask("GET", "/orders", secret, ""))
		again, _ := b.signIn(b.alice)
		b.reaches(b.ask("GET", "/orders", again, ""))
	})
	run("without bizzscim nobody passes", func(t *testing.T) {
		again, _ := b.signIn(b.alice)
		b.store.failView.Store(&errDisk)
		resp, body := b.ask("GET", "/orders", again, "")
		b.misses(resp, body, http.StatusForbidden)
		b.store.failView.Store(nil)
		b.reaches(b.ask("GET", "/orders", again, ""))
		b.server.Close()
		resp, body = b.ask("GET", "/orders", again, "")
		if resp.StatusCode < 500 || strings.Contains(body, `"Assertion"`) {
			t.Errorf("status %d: %s", resp.StatusCode, body)
		}
	})
}

// misses2 is misses of a request without a session.
func (b *behind) misses2(resp *http.Response, body string) {
	b.Helper()
	b.misses(resp, body, http.StatusUnauthorized)
}
