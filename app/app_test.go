package app

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/store"
)

// running is an App on port 0 with its log.
type running struct {
	*App
	t   *testing.T
	log *buffer
}

func start(t *testing.T, c Config, o Options) *running {
	t.Helper()
	r := &running{t: t, log: &buffer{}}
	if c.Data == "" {
		c.Data = t.TempDir()
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	o.Logger = slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if r.App, err = New(c, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil && !t.Failed() {
			t.Error(err)
		}
	})
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// buffer is a log that several goroutines write.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// get asks for a path and returns status and body.
func (r *running) get(path string) (int, string) {
	r.t.Helper()
	status, body, err := fetch(r.Addr().String(), path)
	if err != nil {
		r.t.Fatal(err)
	}
	return status, body
}

func fetch(addr, path string) (int, string, error) {
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + addr + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// raw sends bytes as they are and returns the first answer.
func (r *running) raw(request string) *http.Response {
	r.t.Helper()
	c, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, request); err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		r.t.Fatalf("%.80q: %v", request, err)
	}
	return resp
}

// tenant makes a tenant with a token.
func (r *running) tenant(name string) (token string) {
	r.t.Helper()
	if _, err := Call(r.t.Context(), r.Client(), TenantCreate, TenantInput{Name: name}); err != nil {
		r.t.Fatal(err)
	}
	out, err := Call(r.t.Context(), r.Client(), TokenCreate, TokenInput{Tenant: name})
	if err != nil {
		r.t.Fatal(err)
	}
	return out.Secret
}

// underWay sends a request without its body, up to where the server waits for that.
func (r *running) underWay(token string, headers ...string) (net.Conn, *bufio.Reader) {
	r.t.Helper()
	c, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	request := scimRequest("POST", "/scim/acme/v2/Users", token, someone, append(headers, "Expect: 100-continue")...)
	fmt.Fprint(c, strings.TrimSuffix(request, someone))
	in := bufio.NewReader(c)
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != http.StatusContinue {
		r.t.Fatalf("%v, %v", resp, err)
	}
	return c, in
}

const someone = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"zora.nightingale@example.com","externalId":"zora-1","displayName":"Zora Nightingale","active":true}`

func scimRequest(method, path, token, body string, headers ...string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: scim.test\r\nAuthorization: Bearer %s\r\nContent-Type: application/scim+json\r\nContent-Length: %d\r\n%s\r\n%s",
		method, path, token, len(body), strings.Join(append(headers, ""), "\r\n"), body)
}

func TestRoutes(t *testing.T) {
	r := start(t, Config{}, Options{Version: "1.2.3"})
	tests := []struct {
		path   string
		status int
		body   string
	}{
		{"/livez", 200, "ok\n"},
		{"/readyz", 200, "ok\n"},
		{"/version", 200, "bizzscim 1.2.3 go"},
		{"/", 200, "<h1>Sign in</h1>"},
		{"/auth/session", 401, `"reason":"unknown"`},
		{"/auth/verify/orders", 403, ""},
		{"/.well-known/jwks.json", 200, `"keys"`},
		{"/auth", 404, "not found\n"},
		{"/readyz/", 404, "not found\n"},
		{"/admin/v1/tenant.list", 404, "not found\n"}, // the operator's socket alone serves it
		{"/metrics", 404, "not found\n"},
		{"/scim", 404, "not found\n"},
		{"/scim/acme/v2/Users", 401, `"status":"401"`},
	}
	for _, tt := range tests {
		if status, body := r.get(tt.path); status != tt.status || !strings.Contains(body, tt.body) {
			t.Errorf("%s: %d %q, want %d %q", tt.path, status, body, tt.status, tt.body)
		}
	}
	resp := r.raw("POST /readyz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST /readyz: %d, Allow %q", resp.StatusCode, resp.Header.Get("Allow"))
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Strict-Transport-Security": ""} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestCloseDrains(t *testing.T) {
	before := goleak.IgnoreCurrent()
	r := start(t, Config{DrainDelay: 2 * time.Second}, Options{})
	token := r.tenant("acme")
	addr := r.Addr().String()
	c, in := r.underWay(token, "Connection: close")

	closed := make(chan error, 1)
	go func() { closed <- r.Close(context.Background()) }()
	deadline := time.Now().Add(time.Minute)
	for {
		status, body, err := fetch(addr, "/readyz")
		if err == nil && status == 503 && body == "stopping\n" {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("no 503 while draining: %d %q %v", status, body, err)
		}
	}
	if status, _, err := fetch(addr, "/livez"); status != 200 || err != nil {
		t.Errorf("/livez while draining: %d, %v", status, err)
	}
	for { // until it refuses connections
		if _, _, err := fetch(addr, "/livez"); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("still accepts connections")
		}
	}
	select {
	case err := <-closed:
		t.Fatalf("closed with a request under way: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	fmt.Fprint(c, someone)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Errorf("the request under way: %v, %v", resp, err)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := os.Stat(filepath.Join(r.config.Data, socketFile)); err == nil {
		t.Error("the admin socket is left over")
	}
	goleak.VerifyNone(t, before)
}

func TestCloseCutsOffWhatTakesTooLong(t *testing.T) {
	r := start(t, Config{}, Options{})
	token := r.tenant("acme")
	r.underWay(token)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := r.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("close: %v", err)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("took %s", took)
	}
	r.closed = nil // reported here
}

func TestHeaderLimits(t *testing.T) {
	r := start(t, Config{}, Options{})
	header := func(n, size int) string {
		var b strings.Builder
		b.WriteString("GET /readyz HTTP/1.1\r\nHost: x\r\n")
		for i := range n {
			fmt.Fprintf(&b, "X-%04d: %s\r\n", i, strings.Repeat("a", size))
		}
		return b.String() + "\r\n"
	}
	for name, tt := range map[string]struct {
		request string
		status  int
	}{
		"99 and Host":        {header(99, 1), 200},
		"100 and Host":       {header(100, 1), 431},
		"16 KiB less a bit":  {header(1, 16<<10-50), 200},
		"16 KiB and a bit":   {header(1, 16<<10), 431},
		"many times too big": {header(1, 200<<10), 431},
		"long address":       {"GET /readyz?" + strings.Repeat("a", 16<<10-12-25) + " HTTP/1.1\r\nHost: x\r\n\r\n", 200},
		"with the headers":   {"GET /readyz?" + strings.Repeat("a", 10<<10) + " HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 8<<10) + "\r\n\r\n", 431},
		"longer address":     {"GET /readyz?" + strings.Repeat("a", 16<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", 414},
	} {
		if got := r.raw(tt.request).StatusCode; got != tt.status {
			t.Errorf("%s: %d, want %d", name, got, tt.status)
		}
	}
}

func TestSlowHeadersEnd(t *testing.T) {
	r := start(t, Config{Timeouts: Timeouts{ReadHeader: 100 * time.Millisecond}}, Options{})
	c, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /readyz HTTP/1.1\r\nHost:")
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("the connection was not closed: %v", err)
	}
}

// A body that does not come is not waited for; the same limit ends it when it comes a byte at a time.
func TestSlowBodiesEnd(t *testing.T) {
	r := start(t, Config{Timeouts: Timeouts{Read: 200 * time.Millisecond}}, Options{})
	token := r.tenant("acme")
	c, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "POST /scim/acme/v2/Users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+token+"\r\nContent-Type: application/scim+json\r\nContent-Length: 100\r\n\r\n{")
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("the connection was not closed: %v", err)
	}
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 400 ")) || !bytes.Contains(answer, []byte("invalidSyntax")) {
		t.Errorf("answer %q", answer)
	}
}

func TestAmbiguousRequestsAreRefused(t *testing.T) {
	r := start(t, Config{}, Options{})
	token := r.tenant("acme")
	auth := "Authorization: Bearer " + token
	users := "/scim/acme/v2/Users"
	line := func(target string, headers ...string) string {
		return "GET " + target + " HTTP/1.1\r\n" + strings.Join(append(headers, "", ""), "\r\n")
	}
	for name, tt := range map[string]struct {
		request string
		status  int
	}{
		"plain":                      {line(users, "Host: x", auth), 200},
		"slash at the end":           {line(users+"/", "Host: x", auth), 200},
		"query":                      {line(users+"?filter=userName%20eq%20%22a//b/../c%22", "Host: x", auth), 200},
		"reserved, encoded":          {line("/scim/acme/v2/Schemas/urn%3Aietf%3aparams:scim:schemas:core:2.0:User", "Host: x", auth), 200},
		"two Authorization headers":  {line(users, "Host: x", auth, auth), 400},
		"two of different case":      {line(users, "Host: x", auth, strings.ToLower(auth)), 400},
		"two elsewhere":              {line("/version", "Host: x", auth, auth), 400},
		"absolute form":              {line("http://x"+users, "Host: x", auth), 400},
		"absolute form, other host":  {line("http://y"+users, "Host: x", auth), 400},
		"asterisk":                   {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"CONNECT":                    {"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"two slashes":                {line("/scim//acme/v2/Users", "Host: x", auth), 404},
		"two slashes at the start":   {line("//scim/acme/v2/Users", "Host: x", auth), 404},
		"two slashes at the end":     {line(users+"//", "Host: x", auth), 404},
		"dot":                        {line("/scim/acme/./v2/Users", "Host: x", auth), 404},
		"dot dot":                    {line("/scim/other/../acme/v2/Users", "Host: x", auth), 404},
		"dot dot at the end":         {line(users+"/..", "Host: x", auth), 404},
		"encoded dot dot":            {line("/scim/other/%2e%2E/acme/v2/Users", "Host: x", auth), 404},
		"encoded slash":              {line("/scim/acme%2Fv2/Users", "Host: x", auth), 404},
		"encoded backslash":          {line("/scim/acme%5Cv2/Users", "Host: x", auth), 404},
		"backslash":                  {line(`/scim\acme/v2/Users`, "Host: x", auth), 404},
		"encoded letter":             {line("/scim/%61cme/v2/Users", "Host: x", auth), 404},
		"encoded NUL":                {line(users+"/a%00b", "Host: x", auth), 404},
		"encoded line feed":          {line(users+"/a%0Ab", "Host: x", auth), 404},
		"not an encoding":            {line(users+"/%zz", "Host: x", auth), 400},
		"fragment":                   {line(users+"#x", "Host: x", auth), 404},
		"not ASCII":                  {line(users+"/\xc3\xa4", "Host: x", auth), 404},
		"host with a path":           {line(users, "Host: x/y", auth), 400},
		"host with a user":           {line(users, "Host: a@b", auth), 400},
		"host of odd characters":     {line(users, "Host: a$b", auth), 400},
		"host that is a list":        {line(users, "Host: a,b", auth), 400},
		"two Host headers":           {line(users, "Host: x", "Host: y", auth), 400},
		"no Host header":             {line(users, auth), 400},
		"space before a colon":       {line(users, "Host: x", "Authorization : Bearer "+token), 400},
		"two lengths":                {"POST " + users + " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400},
		"unknown transfer encoding":  {"POST " + users + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 501},
		"two transfer encodings":     {"POST " + users + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501},
		"encoded slash off the path": {line("/a%2fb", "Host: x"), 404},
		"length and encoding":        {"POST " + users + " HTTP/1.1\r\nHost: x\r\n" + auth + "\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		"encoding and length":        {"GET " + users + " HTTP/1.1\r\nHost: x\r\n" + auth + "\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", 400},
		"the same length twice":      {"POST " + users + " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400},
		"length with a sign":         {"POST " + users + " HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}", 400},
		"encoding of HTTP/1.0":       {"POST " + users + " HTTP/1.0\r\n" + auth + "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		"line feeds alone":           {strings.ReplaceAll(line(users, "Host: x", auth), "\r\n", "\n"), 400},
		"one line feed alone":        {"GET " + users + " HTTP/1.1\r\nHost: x\nX-A: b\r\n" + auth + "\r\n\r\n", 400},
		"line feed after the line":   {"GET " + users + " HTTP/1.1\nHost: x\r\n" + auth + "\r\n\r\n", 400},
		"line feed at the end":       {"GET " + users + " HTTP/1.1\r\nHost: x\r\n" + auth + "\r\n\n", 400},
		"carriage return alone":      {line(users, "Host: x\rX-A: b", auth), 400},
		"folded header":              {line(users, "Host: x", auth, "X-A: b", " c"), 400},
		"folded by a tab":            {line(users, "Host: x", "Authorization:", "\tBearer "+token), 400},
		"folded encoding":            {"POST " + users + " HTTP/1.1\r\nHost: x\r\n" + auth + "\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400},
		"dot dot of the API":         {line("/api/v1/users/..", "Host: x", auth), 404},
		"encoded slash of the API":   {line("/api/v1/users%2fx", "Host: x", auth), 404},
		"two slashes of the API":     {line("/api/v1//users", "Host: x", auth), 404},
		"two headers of the API":     {line("/api/v1/users", "Host: x", auth, auth), 400},
		"nothing of the API":         {line("/api/v1", "Host: x", auth), 404},
	} {
		t.Run(name, func(t *testing.T) {
			resp := r.raw(tt.request)
			if tt.status == http.StatusBadRequest && !resp.Close {
				t.Error("the connection stays open")
			}
			body, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
			if resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, tt.status, body)
			}
			if l := resp.Header.Get("Location"); l != "" {
				t.Errorf("redirect to %s", l)
			}
			if tt.status >= 400 && tt.status < 500 && resp.Header.Get("X-Request-Id") != "" && strings.Contains(tt.request, " /scim/") {
				if got := resp.Header.Get("Content-Type"); got != "application/scim+json" || !bytes.Contains(body, []byte(`"status":"`+strconv.Itoa(tt.status)+`"`)) {
					t.Errorf("not in SCIM's form: %s %s", got, body)
				}
			}
			if strings.Contains(tt.request, " /api/v1") {
				if got := resp.Header.Get("Content-Type"); got != "application/problem+json" || !bytes.Contains(body, []byte(`"status":`+strconv.Itoa(tt.status)+`,`)) ||
					!bytes.Contains(body, []byte(`"instance":"urn:request:`+resp.Header.Get("X-Request-Id")+`"`)) {
					t.Errorf("no problem document: %s %s", got, body)
				}
			}
		})
	}
}

// TestChunkedConnectionsEnd shows that a request of which a proxy and we could see different ends
// leaves no connection on which the rest could be taken for a request of its own.
func TestChunkedConnectionsEnd(t *testing.T) {
	r := start(t, Config{}, Options{})
	token := r.tenant("acme")
	smuggled := "GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
	request := "POST /scim/acme/v2/Users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token +
		"\r\nContent-Type: application/scim+json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled
	c, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, request)
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("the connection stays open: %v", err)
	}
	if n := strings.Count(string(answer), "HTTP/1.1 "); n != 1 || strings.Contains(string(answer), "bizzscim ") {
		t.Errorf("%d answers:\n%s", n, answer)
	}
}

func TestPanicsBecomeAnswers(t *testing.T) {
	var log buffer
	e := &edge{log: slog.New(slog.NewJSONHandler(&log, nil)), now: time.Now, headerBytes: 16 << 10, headerCount: 100}
	e.next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			fmt.Fprint(w, "ok")
		case "/late":
			fmt.Fprint(w, "the beginning")
			_ = http.NewResponseController(w).Flush()
			panic("late")
		default:
			panic("secret of the stack")
		}
	})
	s := httptest.NewServer(e)
	s.Config.ErrorLog = slog.NewLogLogger(e.log.Handler(), slog.LevelError)
	defer s.Close()
	get := func(path string) (*http.Response, string, error) {
		r, _ := http.NewRequest(http.MethodGet, s.URL+path, nil)
		r.Header.Set("X-Request-Id", "abc-1")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return nil, "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return resp, string(body), err
	}
	resp, body, err := get("/scim/acme/v2/Users")
	if err != nil || resp.StatusCode != http.StatusInternalServerError || resp.Header.Get("Content-Type") != "application/scim+json" {
		t.Fatalf("%v %v", resp, err)
	}
	if want := `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"500","detail":"the server failed (request abc-1)"}`; body != want {
		t.Errorf("body %s", body)
	}
	if resp, body, err = get("/other"); err != nil || resp.StatusCode != http.StatusInternalServerError || body != "the server failed (request abc-1)\n" {
		t.Errorf("elsewhere: %d %q %v", resp.StatusCode, body, err)
	}
	if resp, body, err = get("/api/v1/users"); err != nil || resp.Header.Get("Content-Type") != "application/problem+json" ||
		body != `{"type":"about:blank","title":"Internal Server Error","status":500,"detail":"the server failed (request abc-1)","instance":"urn:request:abc-1"}` {
		t.Errorf("the API: %q %v", body, err)
	}
	if _, _, err = get("/late"); err == nil {
		t.Error("an answer that was cut off looks whole")
	}
	if resp, body, err = get("/ok"); err != nil || resp.StatusCode != http.StatusOK || body != "ok" {
		t.Errorf("afterwards: %v %q %v", resp, body, err)
	}
	if !strings.Contains(log.String(), "secret of the stack") || !strings.Contains(log.String(), `"request_id":"abc-1"`) || !strings.Contains(log.String(), "app_test.go") {
		t.Errorf("the log does not tell what happened:\n%s", &log)
	}
	http.DefaultClient.CloseIdleConnections()
}

// failing is a store whose disk is about to fail.
type failing struct {
	directory.Store
	failed chan struct{}
}

func (f *failing) Failed() <-chan struct{} { return f.failed }

func (f *failing) Update(ctx context.Context, fn func(directory.Writer) error) error {
	select {
	case <-f.failed:
		return directory.ErrFailed
	default:
		return f.Store.Update(ctx, fn)
	}
}

func TestAFailedStoreEndsTheProgram(t *testing.T) {
	dir := t.TempDir()
	inner, err := store.Open(filepath.Join(dir, storeFile))
	if err != nil {
		t.Fatal(err)
	}
	st := &failing{inner, make(chan struct{})}
	r := start(t, Config{Data: dir}, Options{Store: st})
	token := r.tenant("acme")
	if status, _ := r.get("/readyz"); status != 200 {
		t.Fatalf("not ready: %d", status)
	}
	close(st.failed)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := r.Wait(ctx); !errors.Is(err, directory.ErrFailed) {
		t.Errorf("Wait: %v", err)
	}
	if status, body := r.get("/readyz"); status != 503 || !strings.Contains(body, "store failed") {
		t.Errorf("readyz: %d %q", status, body)
	}
	if resp := r.raw(scimRequest("POST", "/scim/acme/v2/Users", token, someone)); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a write: %d", resp.StatusCode)
	}
}

func TestRunReturnsTheFailure(t *testing.T) {
	dir := t.TempDir()
	inner, err := store.Open(filepath.Join(dir, storeFile))
	if err != nil {
		t.Fatal(err)
	}
	st := &failing{inner, make(chan struct{})}
	a, err := New(Config{Data: dir, Listen: "127.0.0.1:0"}, Options{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = a.Run(ctx, func() { close(st.failed) })
	if !errors.Is(err, directory.ErrFailed) {
		t.Errorf("Run: %v", err)
	}
	if _, _, err := fetch(a.Addr().String(), "/livez"); err == nil {
		t.Error("still serving")
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	a, err := New(Config{Data: t.TempDir(), Listen: "127.0.0.1:0"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := a.Run(ctx, cancel); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestPortInUse(t *testing.T) {
	r := start(t, Config{}, Options{})
	a, err := New(Config{Data: t.TempDir(), Listen: r.Addr().String()}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("Run: %v", err)
	}
}

func TestSecondServerIsRefused(t *testing.T) {
	r := start(t, Config{}, Options{})
	_, err := New(Config{Data: r.config.Data, Listen: "127.0.0.1:0"}, Options{})
	if !errors.Is(err, directory.ErrLocked) || !strings.Contains(err.Error(), "another bizzscim serves the data folder "+r.config.Data) {
		t.Errorf("New: %v", err)
	}
}

func TestAccessLogTellsNoSecretsAndNoPeople(t *testing.T) {
	r := start(t, Config{}, Options{})
	token := r.tenant("acme")
	resp := r.raw(scimRequest("POST", "/scim/acme/v2/Users", token, someone, "X-Request-Id: my-request-1"))
	if resp.StatusCode != http.StatusCreated || resp.Header.Get("X-Request-Id") != "my-request-1" {
		t.Fatalf("create: %d, request id %q", resp.StatusCode, resp.Header.Get("X-Request-Id"))
	}
	r.raw(scimRequest("GET", "/scim/acme/v2/Users?filter=userName%20eq%20%22zora.nightingale@example.com%22", token, ""))
	r.raw(scimRequest("POST", "/scim/acme/v2/Users", token, someone)) // a conflict that names her
	r.raw(scimRequest("GET", "/scim/acme/v2/Users", token+"x", ""))
	if got := r.raw(scimRequest("GET", "/scim/acme/v2/Users", token, "", "X-Request-Id: a b\tc")).Header.Get("X-Request-Id"); len(got) != 16 {
		t.Errorf("an odd request id was answered with %q", got)
	}
	log := r.log.String()
	for _, secret := range []string{"zora", "ightingale", token, token[4:20], "userName", "a b"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q:\n%s", secret, log)
		}
	}
	tenant, err := Call(t.Context(), r.Client(), TenantShow, RefInput{"acme"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"request_id":"my-request-1","method":"POST","route":"Users","status":201`, `"status":409`, `"status":401`, `"tenant_id":"` + tenant.ID, `"token_id":"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not hold %s:\n%s", want, log)
		}
	}
}

func TestProxyHeadersAreBelievedFromProxiesOnly(t *testing.T) {
	forwarded := []string{"X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example, scim.example.com", "X-Forwarded-For: 6.6.6.6, 203.0.113.9, 127.0.0.1"}
	for name, tt := range map[string]struct {
		c        Config
		location string
		from     string
	}{
		"no proxies":      {Config{}, "http://scim.test/", "127.0.0.1"},
		"another proxy":   {Config{TrustedProxies: []string{"10.0.0.0/8"}}, "http://scim.test/", "127.0.0.1"},
		"this proxy":      {Config{TrustedProxies: []string{"127.0.0.1"}}, "https://scim.example.com/", "203.0.113.9"},
		"public base URL": {Config{TrustedProxies: []string{"127.0.0.0/8"}, BaseURL: "https://public.example/"}, "https://public.example/", "203.0.113.9"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, tt.c, Options{})
			token := r.tenant("acme")
			resp := r.raw(scimRequest("POST", "/scim/acme/v2/Users", token, someone, forwarded...))
			if l := resp.Header.Get("Location"); !strings.HasPrefix(l, tt.location+"scim/acme/v2/Users/") {
				t.Errorf("location %q, want %s...", l, tt.location)
			}
			hsts := strings.HasPrefix(tt.c.BaseURL, "https")
			if got := resp.Header.Get("Strict-Transport-Security") != ""; got != hsts {
				t.Errorf("Strict-Transport-Security: %t, want %t", got, hsts)
			}
			deadline := time.Now().Add(time.Minute)
			for {
				list, err := Call(t.Context(), r.Client(), TokenList, RefInput{"acme"})
				if err != nil {
					t.Fatal(err)
				}
				if got := list.Items[0].LastUsedFrom; got == tt.from {
					break
				} else if time.Now().After(deadline) {
					t.Fatalf("used from %q, want %q", got, tt.from)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	r := start(t, Config{MetricsListen: addr}, Options{Version: "1.2.3"})
	token := r.tenant("acme")
	r.raw(scimRequest("POST", "/scim/acme/v2/Users", token, someone))
	r.get("/scim/acme/v2/Made-up/" + strings.Repeat("x", 100))
	r.raw("BREW /coffee HTTP/1.1\r\nHost: x\r\n\r\n")
	_, body, err := fetch(addr, "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`bizzscim_http_requests_total{method="POST",route="Users",status="201"} 1`, `route="scim",status="401"`, `method="other",route="other",status="404"`,
		`bizzscim_build_info{go="go`, `version="1.2.3"`, "bizzscim_store_commits_total ", "bizzscim_store_bytes ", "bizzscim_ready 1", "bizzscim_http_request_duration_seconds_bucket", "go_goroutines"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(body, "acme") || strings.Contains(body, "Made-up") {
		t.Error("the metrics hold what callers make up")
	}
}

func TestDataFolder(t *testing.T) {
	dir := func(mode os.FileMode, files ...string) string {
		d := filepath.Join(t.TempDir(), "data")
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(d, f), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(d, mode); err != nil {
			t.Fatal(err)
		}
		return d
	}
	for name, tt := range map[string]struct {
		dir             string
		notice, refused bool
	}{
		"new":                          {filepath.Join(t.TempDir(), "a", "b"), false, false},
		"private":                      {dir(0o700, "other"), false, false},
		"empty and open":               {dir(0o755), true, false},
		"ours and open":                {dir(0o750, storeFile, "backup"), true, false},
		"somebody else's and open":     {dir(0o755, "letters"), false, true},
		"a file":                       {write(t, ""), false, true},
		"somebody else's, for a group": {dir(0o710, "letters"), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			notice, err := prepareFolder(tt.dir)
			if (err != nil) != tt.refused || (notice != "") != tt.notice {
				t.Fatalf("notice %q, error %v", notice, err)
			}
			if info, err := os.Stat(tt.dir); !tt.refused && (err != nil || info.Mode().Perm()&0o077 != 0) {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
		})
	}
}
