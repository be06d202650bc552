package mail_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a mail server on a loopback address.
type server struct {
	t        *testing.T
	port     int
	roots    *x509.CertPool
	tls      *tls.Config
	listener net.Listener
	wait     sync.WaitGroup

	// How it behaves.
	implicit bool            // TLS from the beginning
	plain    bool            // it offers no STARTTLS
	lies     bool            // it offers STARTTLS and does not do it
	user     string          // who may sign in, with password; empty: nobody needs to
	password string          //
	login    bool            // by AUTH LOGIN alone
	refuse   map[string]int  // command -> reply code
	hang     map[string]bool // command -> it says nothing any more
	hung     chan struct{}   // closed when it does so
	drop     map[string]bool // command -> it closes the connection
	seven    bool            // it knows no 8BITMIME and no SMTPUTF8

	mu    sync.Mutex
	mails []*received
	clear []byte // every byte that came without TLS
	open  map[net.Conn]bool
}

// received is a mail as the server got it.
type received struct {
	from, to  string // of the envelope
	encrypted bool
	user      string
	raw       []byte
	header    netmail.Header
	text      string
	html      string
}

func newServer(t *testing.T, behave func(*server)) *server {
	t.Helper()
	s := &server{t: t, open: map[net.Conn]bool{}, refuse: map[string]int{}, hang: map[string]bool{}, hung: make(chan struct{}), drop: map[string]bool{}}
	s.certify("127.0.0.1")
	if behave != nil {
		behave(s)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.listener, s.port = l, l.Addr().(*net.TCPAddr).Port
	s.wait.Go(s.accept)
	t.Cleanup(s.close)
	return s
}

// certify gives the server a certificate for an address, of an authority of its own.
func (s *server) certify(address string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.ParseIP(address)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		s.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		s.t.Fatal(err)
	}
	s.roots = x509.NewCertPool()
	s.roots.AddCert(leaf)
	s.tls = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

func (s *server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open[conn] = true
		s.mu.Unlock()
		s.wait.Go(func() {
			defer conn.Close()
			s.serve(conn)
		})
	}
}

func (s *server) close() {
	s.listener.Close()
	s.mu.Lock()
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.wait.Wait()
}

// spying notes what comes without TLS.
type spying struct {
	net.Conn
	s *server
}

func (c spying) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.clear = append(c.s.clear, b[:n]...)
	return n, err
}

// talk is one conversation.
type talk struct {
	s         *server
	conn      net.Conn
	in        *bufio.Reader
	encrypted bool
	user      string
	from, to  string
}

func (s *server) serve(raw net.Conn) {
	c := &talk{s: s, conn: spying{raw, s}}
	if s.implicit {
		t := tls.Server(raw, s.tls)
		if t.HandshakeContext(s.t.Context()) != nil {
			return
		}
		c.conn, c.encrypted = t, true
	}
	c.in = bufio.NewReader(c.conn)
	if !c.act("CONNECT", func() bool { c.say("220 mail.example ready"); return true }) {
		return
	}
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, argument, _ := strings.Cut(line, " ")
		if !c.act(strings.ToUpper(verb), func() bool { return c.command(strings.ToUpper(verb), argument) }) {
			return
		}
	}
}

// act does what the server was told to do at a command, or what it does by itself.
func (c *talk) act(verb string, do func() bool) bool {
	switch {
	case c.s.drop[verb]:
		return false
	case c.s.hang[verb]:
		close(c.s.hung)
		_, _ = io.Copy(io.Discard, c.conn) // until the client goes
		return false
	case c.s.refuse[verb] != 0:
		c.say(fmt.Sprintf("%d 5.7.0 no, not for ida@example.com", c.s.refuse[verb]))
		return true
	}
	return do()
}

func (c *talk) say(lines ...string) {
	for _, l := range lines {
		if _, err := fmt.Fprintf(c.conn, "%s\r\n", l); err != nil {
			return
		}
	}
}

func (c *talk) command(verb, argument string) bool {
	switch verb {
	case "EHLO":
		c.say(c.extensions()...)
	case "STARTTLS":
		return c.startTLS()
	case "AUTH":
		c.auth(argument)
	case "MAIL":
		if c.s.user != "" && c.user == "" {
			c.say("530 5.7.0 sign in first")
			return true
		}
		c.from = argument
		c.say("250 2.1.0 ok")
	case "RCPT":
		c.to = argument
		c.say("250 2.1.5 ok")
	case "DATA":
		c.say("354 go on")
		return c.data()
	case "QUIT":
		c.say("221 2.0.0 bye")
		return false
	case "NOOP", "RSET":
		c.say("250 2.0.0 ok")
	default:
		c.say("500 5.5.1 what?")
	}
	return true
}

func (c *talk) extensions() []string {
	lines := []string{"250-mail.example"}
	if !c.s.plain && !c.encrypted {
		lines = append(lines, "250-STARTTLS")
	}
	if !c.s.seven {
		lines = append(lines, "250-8BITMIME", "250-SMTPUTF8")
	}
	switch {
	case c.s.login:
		lines = append(lines, "250-AUTH LOGIN")
	case c.s.user != "":
		lines = append(lines, "250-AUTH NTLM PLAIN LOGIN")
	}
	return append(lines, "250 ENHANCEDSTATUSCODES")
}

func (c *talk) startTLS() bool {
	c.say("220 2.0.0 go on")
	if c.s.lies {
		return true
	}
	raw := c.conn.(spying).Conn
	t := tls.Server(raw, c.s.tls)
	if t.HandshakeContext(c.s.t.Context()) != nil {
		return false
	}
	c.conn, c.encrypted = t, true
	c.in = bufio.NewReader(t)
	return true
}

func (c *talk) auth(argument string) {
	mechanism, initial, _ := strings.Cut(argument, " ")
	ask := func(prompt string) string {
		c.say("334 " + base64.StdEncoding.EncodeToString([]byte(prompt)))
		line, _ := c.in.ReadString('\n')
		b, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
		return string(b)
	}
	var user, password string
	switch mechanism {
	case "PLAIN":
		b, _ := base64.StdEncoding.DecodeString(initial)
		parts := strings.Split(string(b), "\x00")
		if len(parts) == 3 {
			user, password = parts[1], parts[2]
		}
	case "LOGIN":
		user = ask("Username:")
		password = ask("Password:")
	}
	if user != c.s.user || password != c.s.password || user == "" {
		c.say("535 5.7.8 wrong")
		return
	}
	c.user = user
	c.say("235 2.7.0 welcome")
}

// data reads a mail and parses it.
func (c *talk) data() bool {
	var raw bytes.Buffer
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		raw.WriteString(strings.TrimPrefix(line, "."))
	}
	return c.act("END", func() bool {
		m := &received{from: c.from, to: c.to, encrypted: c.encrypted, user: c.user, raw: raw.Bytes()}
		c.s.mu.Lock()
		defer c.s.mu.Unlock()
		m.parse(c.s.t)
		c.s.mails = append(c.s.mails, m)
		c.say("250 2.0.0 taken")
		return true
	})
}

// parse reads a mail as the standard library does, and is strict about what must not be in it.
func (m *received) parse(t *testing.T) {
	for n, line := range strings.SplitAfter(string(m.raw), "\n") {
		if len(line) > 1000 || line != "" && !strings.HasSuffix(line, "\r\n") || strings.Count(line, "\r") > 1 {
			t.Errorf("line %d is not of RFC 5322: %q", n+1, line)
		}
	}
	parsed, err := netmail.ReadMessage(bytes.NewReader(m.raw))
	if err != nil {
		t.Errorf("not a mail: %v", err)
		return
	}
	m.header = parsed.Header
	kind, parameters, err := mime.ParseMediaType(parsed.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Errorf("content type %s: %v", kind, err)
		return
	}
	var kinds []string
	parts := multipart.NewReader(parsed.Body, parameters["boundary"])
	for {
		p, err := parts.NextRawPart()
		if err != nil {
			break
		}
		kind, parameters, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if !strings.EqualFold(parameters["charset"], "utf-8") || p.Header.Get("Content-Transfer-Encoding") != "quoted-printable" {
			t.Errorf("part %v", p.Header)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Error(err)
		}
		kinds = append(kinds, kind)
		if kind == "text/plain" {
			m.text = string(body)
		} else {
			m.html = string(body)
		}
	}
	if strings.Join(kinds, ", ") != "text/plain, text/html" {
		t.Errorf("parts %v", kinds)
	}
}

// got returns the mails that have come.
func (s *server) got() []*received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mails
}

// unprotected returns what came without TLS.
func (s *server) unprotected() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.clear)
}
