package app

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/auth"
)

// postbox is a mail server (RFC 5321) on a loopback address, no more of one than it takes to be sent a mail.
type postbox struct {
	t        *testing.T
	listener net.Listener
	mails    chan letter
	wait     sync.WaitGroup
}

// letter is a mail that has come.
type letter struct {
	sender string // of the envelope, in angle brackets
	to     string // the same
	user   string // who signed in, and with which password: "user password"
	from   string // of the header
	text   string // of the plain part
}

// newPostbox serves until the end of the test; with a configuration, TLS from the beginning.
func newPostbox(t *testing.T, secure *tls.Config) *postbox {
	t.Helper()
	b := &postbox{t: t, mails: make(chan letter, 16)}
	var lc net.ListenConfig
	var err error
	if b.listener, err = lc.Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	l := b.listener
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	b.wait.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b.wait.Go(func() { b.talk(conn) })
		}
	})
	t.Cleanup(func() { // the server that sends has been closed by then
		l.Close()
		b.wait.Wait()
	})
	return b
}

func (b *postbox) port() int {
	a, ok := b.listener.Addr().(*net.TCPAddr)
	if !ok {
		b.t.Fatalf("address %v", b.listener.Addr())
	}
	return a.Port
}

// talk is one conversation.
func (b *postbox) talk(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute)) // whatever it waits for then does not come
	in := bufio.NewReader(conn)
	var l letter
	fmt.Fprint(conn, "220 mail.example ready\r\n")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		answer := "250 ok"
		switch strings.ToUpper(verb) {
		case "EHLO":
			answer = "250-mail.example\r\n250-8BITMIME\r\n250 AUTH PLAIN"
		case "AUTH":
			plain, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			l.user = strings.TrimSpace(strings.ReplaceAll(string(plain), "\x00", " "))
			answer = "235 welcome"
		case "MAIL":
			l.sender = envelope.FindString(rest)
		case "RCPT":
			l.to = envelope.FindString(rest)
		case "DATA":
			fmt.Fprint(conn, "354 go on\r\n")
			if !b.take(in, l) {
				return
			}
		case "QUIT":
			fmt.Fprint(conn, "221 bye\r\n")
			return
		}
		fmt.Fprint(conn, answer+"\r\n")
	}
}

var envelope = regexp.MustCompile(`<[^>]*>`)

// take reads a mail up to its end.
func (b *postbox) take(in *bufio.Reader, l letter) bool {
	var raw bytes.Buffer
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		raw.WriteString(strings.TrimPrefix(line, "."))
	}
	if err := l.read(&raw); err != nil {
		b.t.Errorf("not a mail: %v", err)
		return false
	}
	b.mails <- l
	return true
}

// read finds the plain text of a mail.
func (l *letter) read(raw io.Reader) error {
	m, err := mail.ReadMessage(raw)
	if err != nil {
		return err
	}
	l.from = m.Header.Get("From")
	_, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	part, err := multipart.NewReader(m.Body, parameters["boundary"]).NextRawPart()
	if err != nil {
		return err
	}
	text, err := io.ReadAll(quotedprintable.NewReader(part))
	l.text = strings.ReplaceAll(string(text), "\r\n", "\n")
	return err
}

// next is the next mail that comes.
func (b *postbox) next() letter {
	b.t.Helper()
	select {
	case l := <-b.mails:
		return l
	case <-time.After(time.Minute):
		b.t.Fatal("no mail comes")
		return letter{}
	}
}

// forgot is the form of somebody who has forgotten the password, and who tries to have the link lead elsewhere.
func (r *running) forgot(email string) answer {
	r.t.Helper()
	req := r.form("/password", url.Values{"email": {email}})
	req.Host = "evil.example"
	req.Header.Set("X-Forwarded-Host", "evil.example")
	req.Header.Set("X-Request-Id", "request-1")
	return r.open(req)
}

// differences compares two answers, apart from the address that was typed and the time.
func differences(a answer, email string, b answer, other string) (all []string) {
	a.header.Del("Date")
	b.header.Del("Date")
	for name := range a.header {
		if strings.Join(a.header[name], "\n") != strings.Join(b.header[name], "\n") {
			all = append(all, fmt.Sprintf("%s: %q and %q", name, a.header[name], b.header[name]))
		}
	}
	if len(a.header) != len(b.header) {
		all = append(all, fmt.Sprintf("headers %v and %v", a.header, b.header))
	}
	if a.status != b.status || strings.ReplaceAll(a.body, email, "ADDRESS") != strings.ReplaceAll(b.body, other, "ADDRESS") {
		all = append(all, fmt.Sprintf("%d %s\nand %d %s", a.status, a.body, b.status, b.body))
	}
	return all
}

// TestForgottenPasswords: whoever asks is answered the same, and the mail says what is true.
func TestForgottenPasswords(t *testing.T) {
	// All of one length, so that not even that differs.
	const ida, dee, eve, noa = "ida@bizz.example", "dee@acme.example", "eve@free.example", "noa@none.example"
	box := newPostbox(t, nil)
	r := start(t, Config{BaseURL: publicURL, TrustedProxies: []string{"127.0.0.1"}, SMTP: SMTPConfig{Host: "127.0.0.1", Port: box.port(), From: "BizzStream <no-reply@bizz.example>", TLS: "none"}}, Options{})
	c := r.Client()
	c.operatorWithPassword(t, ida)
	must(t, c, TenantCreate, TenantInput{Name: "acme"})
	label, change, domains := "Acme Holding", "https://password.acme.example/change", []string{"acme.example"}
	must(t, c, TenantSet, TenantChange{Ref: "acme", TrustedDomains: &domains, SignIn: SignInChange{Label: &label, PasswordURL: &change}})
	c.external(t, "acme", dee)
	c.external(t, "acme", eve) // of a domain that the tenant is not trusted for

	// Those whom no mail reaches ask first: one asks after the other is answered.
	asked := []string{noa, eve, dee, ida}
	var answers []answer
	for _, email := range asked {
		answers = append(answers, r.forgot(email))
	}
	if a := answers[0]; a.status != http.StatusOK || !strings.Contains(a.body, noa) || len(a.set) != 0 {
		t.Errorf("%d %s", a.status, a.body)
	}
	for i, email := range asked[1:] {
		for _, d := range differences(answers[0], noa, answers[i+1], email) {
			t.Errorf("%s and %s are told apart: %s", noa, email, d)
		}
	}

	elsewhere := box.next()
	if elsewhere.to != "<"+dee+">" || elsewhere.sender != "<no-reply@bizz.example>" || elsewhere.from != `"BizzStream" <no-reply@bizz.example>` || !strings.HasPrefix(elsewhere.text, "Hello Dee,\n") {
		t.Errorf("%+v", elsewhere)
	}
	for _, want := range []string{"(Acme Holding)", change, publicURL + "/login"} {
		if !strings.Contains(elsewhere.text, want) {
			t.Errorf("no %q in %s", want, elsewhere.text)
		}
	}
	if strings.Contains(elsewhere.text, auth.LinkPrefix) || strings.Contains(elsewhere.text, "evil.example") {
		t.Errorf("%s", elsewhere.text)
	}
	own := box.next()
	if own.to != "<"+ida+">" || strings.Contains(own.text, "evil.example") || strings.Contains(own.text, "Acme") || !strings.Contains(own.text, publicURL+"/operator\n") {
		t.Errorf("%+v", own)
	}
	if len(box.mails) != 0 {
		t.Errorf("a mail for nobody: %+v", <-box.mails)
	}
	r.usesMailedLink(own.text, ida)
	for _, address := range asked {
		if strings.Contains(r.log.String(), address) {
			t.Errorf("the log holds %s", address)
		}
	}
}

// usesMailedLink sets a new password by the link of a mail and signs in with it.
func (r *running) usesMailedLink(text, email string) {
	r.t.Helper()
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(publicURL) + `(/password/` + auth.LinkPrefix + `[A-Za-z0-9_-]+)$`).FindStringSubmatch(text)
	if found == nil {
		r.t.Fatalf("no link in %s", text)
	}
	link, password := found[1], "stoel raam boek 17"
	if p := r.visit(link); p.status != http.StatusOK {
		r.t.Errorf("the link: %d %s", p.status, p.body)
	}
	fields := url.Values{"password": {password}, "again": {password}}
	if p := r.open(r.form(link, fields)); p.status != http.StatusSeeOther || !strings.HasPrefix(p.header.Get("Location"), "/operator") {
		r.t.Fatalf("the new password: %d %s", p.status, p.body)
	}
	if p := r.open(r.form(link, fields)); p.status != http.StatusNotFound {
		r.t.Errorf("the link once more: %d", p.status)
	}
	if p := r.open(r.form("/operator", url.Values{"email": {email}, "password": {operatorPassword}})); p.status != http.StatusUnprocessableEntity {
		r.t.Errorf("the old password: %d", p.status)
	}
	in := r.open(r.form("/operator", url.Values{"email": {email}, "password": {password}}))
	if in.status != http.StatusSeeOther {
		r.t.Fatalf("the new password does not sign in: %d %s", in.status, in.body)
	}
	if who := r.whoIs(in.cookie(r.t, auth.SessionCookie)); who.status != http.StatusOK || !who.Roles.Operator {
		r.t.Errorf("%+v", who)
	}
	if secret := strings.TrimPrefix(link, "/password/"); strings.Contains(r.log.String(), secret) {
		r.t.Error("the log holds the link")
	}
}

// TestForgottenPasswordsOfAnotherSite: a form of another site asks for nothing.
func TestForgottenPasswordsOfAnotherSite(t *testing.T) {
	box := newPostbox(t, nil)
	r := start(t, Config{SMTP: SMTPConfig{Host: "127.0.0.1", Port: box.port(), From: "no-reply@bizz.example", TLS: "none"}}, Options{})
	for _, email := range []string{"ida@bizz.example", "bo@bizz.example"} {
		r.Client().operatorWithPassword(t, email)
	}
	req := r.form("/password", url.Values{"email": {"ida@bizz.example"}})
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if p := r.open(req); p.status != http.StatusForbidden {
		t.Errorf("%d %s", p.status, p.body)
	}
	if p := r.open(r.form("/password", url.Values{"email": {"bo@bizz.example"}})); p.status != http.StatusOK { // asked after the other
		t.Errorf("%d %s", p.status, p.body)
	}
	if l := box.next(); l.to != "<bo@bizz.example>" || len(box.mails) != 0 {
		t.Errorf("%+v", l)
	}
}

// TestMailsByTheConfiguration: a mail server that is trusted for ca_file alone, and wants to know who sends.
func TestMailsByTheConfiguration(t *testing.T) {
	certified := httptest.NewTLSServer(nil) // for its certificate, of 127.0.0.1
	defer certified.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certified.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	box := newPostbox(t, &tls.Config{Certificates: certified.TLS.Certificates, MinVersion: tls.VersionTLS12})
	r := start(t, Config{CAFile: ca, SMTP: SMTPConfig{Host: "127.0.0.1", Port: box.port(), User: "bizz", Password: "very-secret-value", From: "BizzStream <no-reply@bizz.example>", TLS: "implicit"}}, Options{})
	r.Client().operatorWithPassword(t, "ida@bizz.example")
	req := r.form("/password", url.Values{"email": {"ida@bizz.example"}})
	req.Header.Set("Accept-Language", "nl")
	if p := r.open(req); p.status != http.StatusOK {
		t.Errorf("%d %s", p.status, p.body)
	}
	if l := box.next(); l.to != "<ida@bizz.example>" || l.user != "bizz very-secret-value" || !strings.HasPrefix(l.text, "Beste") && !strings.HasPrefix(l.text, "Goedendag") {
		t.Errorf("%+v", l)
	}
	if strings.Contains(r.log.String(), "very-secret-value") {
		t.Error("the log holds the password of the mail server")
	}
}

// TestForgottenPasswordsWithoutAMailServer: the answer is as ever, and the log says what is missing.
func TestForgottenPasswordsWithoutAMailServer(t *testing.T) {
	r := start(t, Config{}, Options{})
	r.Client().operatorWithPassword(t, "ida@bizz.example")
	known, unknown := r.forgot("ida@bizz.example"), r.forgot("noa@none.example")
	if known.status != http.StatusOK {
		t.Errorf("%d %s", known.status, known.body)
	}
	for _, d := range differences(known, "ida@bizz.example", unknown, "noa@none.example") {
		t.Errorf("they are told apart: %s", d)
	}
	r.logged("no mail can be sent", "bizzscim operator reset-password")
}
