package webhook

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func TestWhatIsPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1": false, "127.255.255.254": false, "168.63.129.16": false, "0.0.0.0": false, "0.1.2.3": false, "10.1.2.3": false, "100.64.0.1": false, "100.127.255.255": false,
		"169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false, "192.0.0.8": false, "192.0.2.1": false, "198.18.0.1": false, "198.19.255.255": false,
		"198.51.100.7": false, "203.0.113.9": false, "192.88.99.1": false, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"::1": false, "::": false, "fc00::1": false, "fd12:3456::1": false, "fe80::1": false, "fec0::1": false, "ff02::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false,
		"::127.0.0.1": false, "64:ff9b::7f00:1": false, "64:ff9b:1::1": false, "2001::1": false, "2001:db8::1": false, "2002:7f00:1::1": false, "2002:a00:1::": false, "3fff::1": false, "100::1": false, "5f00::1": false,
		"fe80::1%eth0": false, "2606:4700::1%eth0": false,
		"8.8.8.8": true, "168.63.129.15": true, "168.63.129.17": true, "1.1.1.1": true, "100.63.255.255": true, "100.128.0.0": true, "172.15.255.255": true, "172.32.0.1": true, "192.169.0.1": true, "198.17.0.1": true, "198.20.0.1": true, "223.255.255.255": true,
		"2606:4700::1111": true, "2a00:1450:4001::5": true, "::ffff:8.8.8.8": true,
	} {
		if got := (Policy{}).allows(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	p := Policy{AllowPrivate: prefixes("10.20.0.0/16", "fd00::/8")}
	for address, want := range map[string]bool{"10.20.3.4": true, "::ffff:10.20.3.4": true, "10.21.0.1": false, "127.0.0.1": false, "fd00::5": true, "fd00::5%eth0": false, "fc00::5": false} {
		if got := p.allows(netip.MustParseAddr(address)); got != want {
			t.Errorf("allowed %s: %v", address, got)
		}
	}
}

func TestAddressesThatAreRefusedAtOnce(t *testing.T) {
	for target, want := range map[string]string{
		"https://hooks.example/x": "", "https://8.8.8.8/x": "", "https://[2606:4700::1111]/": "",
		"http://hooks.example/x": "https://", "http://127.0.0.1/x": "public", "https://127.0.0.1:8443/x": "public", "https://localhost/": "public", "https://LOCALHOST./": "public",
		"https://hooks.localhost/": "public", "http://hooks.localhost:9/": "public", "https://2130706433/": "public", "https://0x7f000001/": "public", "https://0177.0.0.1/": "public", "https://127.1/": "public", "https://hooks.example.0x1./": "public",
		"https://hooks.example/1": "", "https://hooks1.example/": "", "https://1.hooks.example/": "", "https://0x1.example/": "", "https://hooks.example.08/": "public", "https://99999999999999999999/": "public",
		"https://[::1]/": "public", "https://[::ffff:169.254.169.254]/": "public", "https://169.254.169.254/latest/meta-data": "public", "https:///x": "form", "https://": "form", "ftp://hooks.example": "https://", "//hooks.example": "https://", "javascript:alert(1)": "form",
	} {
		err := (Policy{}).CheckURL(target)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", target, err)
		}
	}
	if err := (Policy{AllowHTTP: true}).CheckURL("http://hooks.example/x"); err != nil {
		t.Error(err)
	}
	if err := (Policy{AllowPrivate: prefixes("127.0.0.1/32")}).CheckURL("http://127.0.0.1:9/x"); err != nil {
		t.Error(err)
	}
}

// names is a name server that says what it is told; the second time something else; without an answer, that there is no such name.
func names(t *testing.T, answers ...string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	var asked atomic.Int32
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil || len(m.Questions) == 0 {
				continue
			}
			q := m.Questions[0]
			out := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true}, Questions: m.Questions}
			if len(answers) == 0 {
				out.RCode = dnsmessage.RCodeNameError
			} else if q.Type == dnsmessage.TypeA {
				i := min(int(asked.Add(1))-1, len(answers)-1)
				out.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, Body: &dnsmessage.AResource{A: netip.MustParseAddr(answers[i]).As4()}}}
			}
			b, err := out.Pack()
			if err == nil {
				_, _ = conn.WriteTo(b, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// TestNamesThatLeadInside: what a name stands for is looked at when it is connected to, each time.
func TestNamesThatLeadInside(t *testing.T) {
	reached := atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	target := "http://rebind.example:" + port + "/"

	s := newSender(Policy{AllowHTTP: true}, nil, "test", names(t, "127.0.0.1"))
	defer s.Close()
	if a := s.Send(t.Context(), target, http.Header{}, nil); a.Error != errNotPublic.Error() || reached.Load() != 0 {
		t.Errorf("%+v, reached %d times", a, reached.Load())
	}
	// First to where it may, then to where it may not. Both lead to the same machine.
	s = newSender(Policy{AllowHTTP: true, AllowPrivate: prefixes("127.0.0.1/32")}, nil, "test", names(t, "127.0.0.1", "127.0.0.2"))
	defer s.Close()
	if a := s.Send(t.Context(), target, http.Header{}, nil); a.Error != "" || a.Status != http.StatusOK {
		t.Errorf("%+v", a)
	}
	s.Close() // the connection that is still open was looked at
	if a := s.Send(t.Context(), target, http.Header{}, nil); a.Error != errNotPublic.Error() || reached.Load() != 1 {
		t.Errorf("rebound: %+v, reached %d times", a, reached.Load())
	}
	// Spellings that some resolvers take for addresses.
	for _, host := range []string{"2130706433", "0x7f000001", "0177.0.0.1", "127.1", "017700000001"} {
		if a := s.Send(t.Context(), "http://"+host+":"+port+"/", http.Header{}, nil); a.Error == "" || reached.Load() != 1 {
			t.Errorf("%s: %+v, reached %d times", host, a, reached.Load())
		}
	}
}

// TestNamesCannotBeProbed: whether there is a name within the network, the answer does not tell.
func TestNamesCannotBeProbed(t *testing.T) {
	send := func(answers ...string) Answer {
		s := newSender(Policy{}, nil, "test", names(t, answers...))
		defer s.Close()
		return s.Send(t.Context(), "https://db.corp.example/", http.Header{}, nil)
	}
	there, nowhere := send("10.1.2.3"), send()
	if there != nowhere || there.Error == "" {
		t.Errorf("%+v, %+v", there, nowhere)
	}
}

// TestClientOfThePolicy: a client for other calls reaches no more than webhooks do, whatever leads there.
func TestClientOfThePolicy(t *testing.T) {
	reached := atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	get := func(p Policy, answer, target string) (int, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := p.guarded(nil, names(t, answer)).Do(r)
		if err != nil {
			return 0, err
		}
		return res.StatusCode, res.Body.Close()
	}
	name, literal := "http://inside.example:"+port+"/x?y", "http://127.0.0.1:"+port+"/x?y"
	loopback := prefixes("127.0.0.1/32")
	for _, c := range []struct {
		what           string
		policy         Policy
		answer, target string
		status         int
	}{
		{"a name that leads inside", Policy{AllowHTTP: true}, "127.0.0.1", name, 0},
		{"an address inside", Policy{AllowHTTP: true}, "127.0.0.1", literal, 0},
		{"a name without TLS", Policy{AllowPrivate: loopback}, "127.0.0.1", name, 0},
		{"a neighbour of what is allowed", Policy{AllowHTTP: true, AllowPrivate: loopback}, "127.0.0.2", name, 0},
		{"what is allowed", Policy{AllowHTTP: true, AllowPrivate: loopback}, "127.0.0.1", name, http.StatusFound},
		{"an address that is allowed", Policy{AllowPrivate: loopback}, "", literal, http.StatusFound},
	} {
		before := reached.Load()
		status, err := get(c.policy, c.answer, c.target)
		if status != c.status || (err == nil) != (c.status != 0) {
			t.Errorf("%s: %d %v", c.what, status, err)
		}
		if n := reached.Load() - before; c.status == 0 && n != 0 || c.status != 0 && n != 1 {
			t.Errorf("%s: reached %d times", c.what, n)
		}
	}
}

// local sends to this machine.
func local(roots *x509.CertPool) *Sender {
	return NewSender(Policy{AllowHTTP: true, AllowPrivate: prefixes("127.0.0.1/32")}, roots, "test")
}

func TestAnswers(t *testing.T) {
	elsewhere := atomic.Int32{}
	var answer atomic.Pointer[http.HandlerFunc]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			elsewhere.Add(1)
		}
		if r.Header.Get("User-Agent") != "bizzscim/test (webhooks)" || r.Method != http.MethodPost {
			t.Errorf("%s %v", r.Method, r.Header)
		}
		(*answer.Load())(w, r)
	}))
	defer server.Close()
	s := local(nil)
	defer s.Close()
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // is not asked
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		status int
		failed string
		wait   time.Duration
		text   string
	}{
		"200": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }, 200, "", 0, "ok"},
		"299": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(299) }, 299, "", 0, ""},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, 307, "redirect (307), which is not followed", 0, ""},
		"400": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 400) }, 400, "answered 400 Bad Request", 0, "no\n"},
		"429": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "120"); w.WriteHeader(429) }, 429, "429", 2 * time.Minute, ""},
		"429 long": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "999999999")
			w.WriteHeader(429)
		}, 429, "429", time.Hour, ""},
		"503 date": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", "Mon, 23 Nov 2026 12:00:00 GMT")
			w.Header().Set("Retry-After", "Mon, 23 Nov 2026 12:01:30 GMT")
			w.WriteHeader(503)
		}, 503, "503", 90 * time.Second, ""},
		"503 odd":       {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "-5"); w.WriteHeader(503) }, 503, "503", 0, ""},
		"500 says when": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "60"); w.WriteHeader(500) }, 500, "500", 0, ""},
		"huge":          {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 8<<20)) }, 200, "", 0, strings.Repeat("\x00", answerBytes)},
		"headers":       {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", headerBytes)) }, 0, "connection failed", 0, ""},
		"cut":           {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, "connection failed", 0, ""},
	} {
		answer.Store(&c.answer)
		a := s.Send(t.Context(), server.URL, http.Header{}, []byte("{}"))
		if redirected := name == "redirect"; redirected {
			a.Text = ""
		}
		if a.Status != c.status || a.Wait != c.wait || a.Text != c.text || (c.failed == "") != (a.Error == "") || !strings.Contains(a.Error, c.failed) {
			t.Errorf("%s: %d %q %s %d bytes", name, a.Status, a.Error, a.Wait, len(a.Text))
		}
	}
	if elsewhere.Load() > 0 {
		t.Error("a redirect was followed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	hangs := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	answer.Store(&hangs)
	if a := s.Send(ctx, server.URL, http.Header{}, nil); !strings.HasPrefix(a.Error, "no answer within 10 s") {
		t.Errorf("%+v", a)
	}
	if s.client.Timeout != sendTimeout {
		t.Errorf("an attempt may take %s", s.client.Timeout)
	}
}

func TestCertificatesAreChecked(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	server.Config.ErrorLog = nil
	defer server.Close()
	s := local(x509.NewCertPool())
	defer s.Close()
	if a := s.Send(t.Context(), server.URL, http.Header{}, nil); !strings.Contains(a.Error, "certificate") {
		t.Errorf("%+v", a)
	}
}
