package mail_test

import (
	"context"
	"errors"
	"mime"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/bizzstream/bizzscim/mail"
)

var noon = time.Date(2026, 3, 23, 12, 0, 0, 0, time.UTC)

func (s *server) config() mail.Config {
	return mail.Config{Host: "127.0.0.1", Port: s.port, From: "BizzStream <no-reply@bizzstream.example>", TLS: mail.StartTLS, Roots: s.roots,
		Timeout: time.Minute, Now: func() time.Time { return noon }}
}

func sender(t *testing.T, c mail.Config) *mail.Sender {
	t.Helper()
	s, err := mail.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func link() mail.Reset {
	return mail.Reset{To: "ida@example.com", Name: "Ida Lind", Language: "en", Link: "https://id.example.com/password/bzl_0", Until: noon.Add(30 * time.Minute).In(time.FixedZone("", 5*3600)),
		SignInURL: "https://id.example.com/operator"}
}

// one sends a mail and returns it as it came.
func (s *server) one(c mail.Config, r mail.Reset) *received {
	s.t.Helper()
	if err := sender(s.t, c).SendReset(s.t.Context(), r); err != nil {
		s.t.Fatal(err)
	}
	got := s.got()
	if len(got) != 1 {
		s.t.Fatalf("%d mails", len(got))
	}
	return got[0]
}

func TestSendProtected(t *testing.T) {
	for name, tt := range map[string]struct {
		server func(*server)
		config func(*mail.Config)
		clear  bool
	}{
		"STARTTLS":              {nil, nil, false},
		"implicit TLS":          {func(s *server) { s.implicit = true }, func(c *mail.Config) { c.TLS = mail.Implicit }, false},
		"none":                  {func(s *server) { s.plain = true }, func(c *mail.Config) { c.TLS = mail.NoTLS }, true},
		"none where there is":   {nil, func(c *mail.Config) { c.TLS = mail.NoTLS }, true},
		"a sign-in by PLAIN":    {func(s *server) { s.user, s.password = "me", "secret" }, func(c *mail.Config) { c.User, c.Password = "me", "secret" }, false},
		"a sign-in by LOGIN":    {func(s *server) { s.user, s.password, s.login = "me", "secret", true }, func(c *mail.Config) { c.User, c.Password = "me", "secret" }, false},
		"a sign-in, implicit":   {func(s *server) { s.user, s.password, s.implicit = "me", "secret", true }, func(c *mail.Config) { c.User, c.Password, c.TLS = "me", "secret", mail.Implicit }, false},
		"a server of seven bit": {func(s *server) { s.seven = true }, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, tt.server)
			c := s.config()
			if tt.config != nil {
				tt.config(&c)
			}
			m := s.one(c, link())
			if m.encrypted == tt.clear || m.user != c.User || !strings.HasPrefix(m.from, "FROM:<no-reply@bizzstream.example>") || m.to != "TO:<ida@example.com>" {
				t.Errorf("encrypted %v, user %q, %s, %s", m.encrypted, m.user, m.from, m.to)
			}
			if got := s.unprotected(); !tt.clear && (strings.Contains(got, "MAIL") || strings.Contains(got, "AUTH")) {
				t.Errorf("sent in the clear: %s", got)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	s := newServer(t, nil)
	m := s.one(s.config(), link())
	id := m.header.Get("Message-Id")
	if !regexp.MustCompile(`^<[a-z0-9]{26}@bizzstream\.example>$`).MatchString(id) {
		t.Errorf("Message-ID %q", id)
	}
	for name, want := range map[string]string{"From": `"BizzStream" <no-reply@bizzstream.example>`, "To": "<ida@example.com>", "Subject": "Your BizzStream password",
		"Date": "Mon, 23 Mar 2026 12:00:00 +0000", "Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All", "Mime-Version": "1.0", "User-Agent": "", "X-Mailer": ""} {
		if got := m.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	other := newServer(t, nil)
	if again := other.one(other.config(), link()).header.Get("Message-Id"); again == id {
		t.Error("two mails have one id")
	}
}

func TestTextsByLanguageAndKind(t *testing.T) {
	external := mail.Reset{To: "dee@example.com", Name: "Zoë Ørsted-日本", Directory: "Bjørk & Zoon <b>", PasswordURL: "https://aka.ms/sspr?a=1&b=2", SignInURL: "https://id.example.com/login"}
	internal := mail.Reset{To: "bo@example.com", SignInURL: "https://id.example.com/login"}
	with := func(r mail.Reset, language string) mail.Reset { r.Language = language; return r }
	for name, tt := range map[string]struct {
		mail    mail.Reset
		subject string
		text    []string
		links   []string
		absent  []string
	}{
		"a link": {link(), "Your BizzStream password", []string{"Hello Ida Lind,", "until 12:30 UTC, 23 March 2026", "works once", "https://id.example.com/password/bzl_0"},
			[]string{"https://id.example.com/password/bzl_0", "https://id.example.com/operator"}, []string{"organization", "cannot be reset here"}},
		"a link in Dutch": {with(link(), "nl-BE"), "Uw BizzStream-wachtwoord", []string{"Beste Ida Lind,", "tot 12:30 UTC, 23 maart 2026", "De link werkt één keer"},
			[]string{"https://id.example.com/password/bzl_0", "https://id.example.com/operator"}, []string{"organisatie", "Hello"}},
		"external": {external, "Your BizzStream password", []string{"Hello Zoë Ørsted-日本,", "managed by your organization (Bjørk & Zoon <b>), not by BizzStream", "https://aka.ms/sspr?a=1&b=2"},
			[]string{"https://aka.ms/sspr?a=1&b=2", "https://id.example.com/login"}, []string{"works once", "Set a new password", "0001"}},
		"external in Dutch": {with(external, "NL"), "Uw BizzStream-wachtwoord", []string{"Beste Zoë Ørsted-日本,", "beheerd door uw organisatie (Bjørk & Zoon <b>), niet door BizzStream"},
			[]string{"https://aka.ms/sspr?a=1&b=2", "https://id.example.com/login"}, []string{"werkt één keer", "0001"}},
		"internal":                   {internal, "Your BizzStream password", []string{"Hello,", "managed in BizzStream itself"}, []string{"https://id.example.com/login"}, []string{"organization", "works once", "0001"}},
		"internal in Dutch":          {with(internal, "nl_NL"), "Uw BizzStream-wachtwoord", []string{"Goedendag,", "in BizzStream zelf beheerd"}, []string{"https://id.example.com/login"}, []string{"0001"}},
		"a language that is neither": {with(internal, "nla"), "Your BizzStream password", []string{"Hello,"}, []string{"https://id.example.com/login"}, []string{"Goedendag"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, nil)
			m := s.one(s.config(), tt.mail)
			if got, err := new(mime.WordDecoder).DecodeHeader(m.header.Get("Subject")); err != nil || got != tt.subject {
				t.Errorf("subject %q", got)
			}
			shown, links, foreign := readHTML(t, m.html)
			for _, want := range tt.text {
				if !strings.Contains(squeeze(m.text), want) {
					t.Errorf("the text lacks %q:\n%s", want, m.text)
				}
				if !strings.Contains(shown, want) && !strings.HasPrefix(want, "https:") {
					t.Errorf("the page lacks %q:\n%s", want, shown)
				}
			}
			for _, bad := range tt.absent {
				if strings.Contains(m.text, bad) || strings.Contains(shown, bad) {
					t.Errorf("%q does not belong there", bad)
				}
			}
			if d := cmp.Diff(tt.links, links); d != "" {
				t.Errorf("links: %s", d)
			}
			for _, l := range tt.links {
				if !strings.Contains(m.text, l) {
					t.Errorf("the text lacks the link %s", l)
				}
			}
			if len(foreign) > 0 {
				t.Errorf("content from elsewhere: %v", foreign)
			}
			if strings.Contains(m.text, "{{") || strings.Contains(m.text, "<no value>") || strings.Contains(m.text, "&amp;") {
				t.Errorf("text:\n%s", m.text)
			}
		})
	}
}

func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

// readHTML returns the text of a page, where its links lead, and whatever it would fetch or run.
func readHTML(t *testing.T, page string) (text string, links, foreign []string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for n := range root.Descendants() {
		if n.Type == html.TextNode {
			words = append(words, n.Data)
			continue
		}
		switch n.Data {
		case "script", "img", "link", "iframe", "object", "form", "base", "svg", "video", "audio", "source":
			foreign = append(foreign, n.Data)
		}
		for _, a := range n.Attr {
			switch {
			case n.Data == "a" && a.Key == "href":
				links = append(links, a.Val)
			case a.Key == "src", a.Key == "background", a.Key == "href", strings.HasPrefix(a.Key, "on"), strings.Contains(a.Val, "url("):
				foreign = append(foreign, a.Key+"="+a.Val)
			}
		}
	}
	return squeeze(strings.Join(words, "")), links, foreign
}

// TestNothingIsInjected: what others wrote stays a text in the place that is for it.
func TestNothingIsInjected(t *testing.T) {
	evil := "Eve\x1b[31m\x00\r\nBcc: all@example.com\r\n\r\n<script>alert(1)</script>\u202e\u2028.\r\n.\r\nMAIL FROM:<x>"
	s := newServer(t, nil)
	r := mail.Reset{To: "dee@example.com", Name: evil, Language: "en\r\nX: y", Directory: evil + strings.Repeat("x", 5000), PasswordURL: `javascript:alert("x")`, SignInURL: `https://id.example.com/"><b>`}
	m := s.one(s.config(), r)
	for name := range m.header {
		switch name {
		case "From", "To", "Subject", "Date", "Message-Id", "Auto-Submitted", "X-Auto-Response-Suppress", "Mime-Version", "Content-Type":
		default:
			t.Errorf("header %s", name)
		}
	}
	_, links, foreign := readHTML(t, m.html)
	if len(foreign) > 0 {
		t.Errorf("content from elsewhere: %v", foreign)
	}
	for _, l := range links {
		if !strings.HasPrefix(l, "https://id.example.com/") && l != "#ZgotmplZ" {
			t.Errorf("a link to %s", l)
		}
	}
	for line := range strings.Lines(m.text) {
		if strings.HasPrefix(line, "Bcc") || strings.HasPrefix(line, "MAIL") || strings.TrimSpace(line) == "." || len(line) > 400 {
			t.Errorf("line %.100q", line)
		}
	}
	if strings.ContainsAny(m.text, "\x1b\x00\u202e\u2028") || !strings.Contains(m.text, "Hello,") {
		t.Error("a name that is none is shown, or a character that turns the text around")
	}
	for _, name := range []string{"http://evil.example", "Call www.evil.example", "Ida <ida@evil.example>", "a:b"} {
		s := newServer(t, nil)
		if m := s.one(s.config(), mail.Reset{To: "dee@example.com", Name: name}); strings.Contains(m.text, "evil") || strings.Contains(m.html, "evil") || !strings.Contains(m.text, "Hello,") {
			t.Errorf("%s is greeted", name)
		}
	}
}

func TestRecipientsThatAreRefused(t *testing.T) {
	s := newServer(t, nil)
	for _, to := range []string{"", "ida", "ida@example.com, eve@example.com", "ida@example.com\r\nBcc: eve@example.com", "Ida <ida@example.com>", "<ida@example.com>",
		"ida@example.com\n", " ida@example.com", "ida@example.com>\r\nRCPT TO:<eve@example.com", "\"a b\"@example.com", "ida@example.com\x00"} {
		r := link()
		r.To = to
		err := sender(t, s.config()).SendReset(t.Context(), r)
		var e *mail.Error
		if !errors.As(err, &e) {
			t.Errorf("%q: %v", to, err)
		}
	}
	if n := len(s.got()); n != 0 {
		t.Errorf("%d mails", n)
	}
	// An address of today's internet.
	r := link()
	r.To = "zoë@bjørk.example"
	if m := s.one(s.config(), r); !strings.Contains(m.to, "zoë@bjørk.example") {
		t.Errorf("to %s", m.to)
	}
}

func TestFailures(t *testing.T) {
	tests := map[string]struct {
		server func(*server)
		config func(*mail.Config)
		want   string
	}{
		"no TLS is offered":                {func(s *server) { s.plain = true }, nil, "mail: the mail server offers no TLS, so that nothing was sent"},
		"TLS is offered and not done":      {func(s *server) { s.lies = true }, nil, "mail: the mail server did not agree to an encrypted connection or to the sign-in"},
		"TLS is refused":                   {func(s *server) { s.refuse["STARTTLS"] = 454 }, nil, "mail: the mail server refuses the connection or the sign-in (454)"},
		"implicit TLS is not spoken":       {nil, func(c *mail.Config) { c.TLS = mail.Implicit }, "mail: the mail server did not agree to an encrypted connection or to the sign-in"},
		"a certificate of nobody":          {nil, func(c *mail.Config) { c.Roots = nil }, "mail: the certificate of the mail server is not trusted"},
		"a certificate of another":         {func(s *server) { s.certify("127.0.0.2") }, nil, "mail: the certificate of the mail server is not trusted"},
		"another's, implicit":              {func(s *server) { s.certify("127.0.0.2"); s.implicit = true }, func(c *mail.Config) { c.TLS = mail.Implicit }, "mail: the certificate of the mail server is not trusted"},
		"a wrong password":                 {func(s *server) { s.user, s.password = "me", "secret" }, func(c *mail.Config) { c.User, c.Password = "me", "wrong" }, "mail: the mail server refuses the connection or the sign-in (535)"},
		"no sign-in is offered":            {nil, func(c *mail.Config) { c.User, c.Password = "me", "secret" }, "mail: the mail server did not agree to an encrypted connection or to the sign-in"},
		"busy":                             {func(s *server) { s.refuse["CONNECT"] = 421 }, nil, "mail: the mail server refuses the connection or the sign-in (421)"},
		"a refused sender":                 {func(s *server) { s.refuse["MAIL"] = 550 }, nil, "mail: the mail server refuses the sender (550 5.7.0)"},
		"a refused recipient":              {func(s *server) { s.refuse["RCPT"] = 550 }, nil, "mail: the mail server refuses the recipient (550 5.7.0)"},
		"refused data":                     {func(s *server) { s.refuse["DATA"] = 451 }, nil, "mail: the mail server refuses the mail (451 5.7.0)"},
		"a refused mail":                   {func(s *server) { s.refuse["END"] = 554 }, nil, "mail: the mail server refuses the mail (554 5.7.0)"},
		"a connection that breaks":         {func(s *server) { s.drop["END"] = true }, nil, "mail: the mail server refuses the mail"},
		"a connection that breaks at once": {func(s *server) { s.drop["CONNECT"] = true }, nil, "mail: the mail server did not agree to an encrypted connection or to the sign-in"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, tt.server)
			c := s.config()
			if tt.config != nil {
				tt.config(&c)
			}
			err := sender(t, c).SendReset(t.Context(), link())
			var e *mail.Error
			if !errors.As(err, &e) || err.Error() != tt.want {
				t.Errorf("%v, want %s", err, tt.want)
			}
			if len(s.got()) != 0 {
				t.Error("a mail came all the same")
			}
			if got := s.unprotected(); strings.Contains(got, "bzl_") || strings.Contains(got, "ida@") || strings.Contains(got, "AUTH") {
				t.Errorf("sent in the clear: %s", got)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		s := newServer(t, nil)
		s.close()
		if err := sender(t, s.config()).SendReset(t.Context(), link()); err == nil || err.Error() != "mail: the mail server cannot be reached" {
			t.Errorf("%v", err)
		}
	})
}

// TestAMailThatWasTakenIsSent: what goes wrong after that must not have it sent twice.
func TestAMailThatWasTakenIsSent(t *testing.T) {
	for name, behave := range map[string]func(*server){
		"RSET is refused":           func(s *server) { s.refuse["RSET"] = 421 },
		"the connection breaks":     func(s *server) { s.drop["RSET"] = true },
		"QUIT is refused":           func(s *server) { s.refuse["QUIT"] = 500 },
		"the connection is cut off": func(s *server) { s.drop["QUIT"] = true },
	} {
		s := newServer(t, behave)
		if err := sender(t, s.config()).SendReset(t.Context(), link()); err != nil || len(s.got()) != 1 {
			t.Errorf("%s: %v, %d mails", name, err, len(s.got()))
		}
	}
}

// TestServersThatSayNothing are left after the time limit, wherever they fall silent. What decides is the
// limit, not how fast anything is.
func TestServersThatSayNothing(t *testing.T) {
	for _, at := range []string{"CONNECT", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "END"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, func(s *server) { s.hang[at] = true })
			c := s.config()
			c.Timeout = 300 * time.Millisecond
			err := sender(t, c).SendReset(t.Context(), link())
			if err == nil || err.Error() != "mail: the mail server did not answer in time" || len(s.got()) != 0 {
				t.Errorf("%v", err)
			}
		})
		t.Run(at+" and the server is stopped", func(t *testing.T) {
			t.Parallel()
			s := newServer(t, func(s *server) { s.hang[at] = true })
			ctx, cancel := context.WithCancel(t.Context())
			sent := make(chan error, 1)
			go func() { sent <- sender(t, s.config()).SendReset(ctx, link()) }()
			<-s.hung
			cancel()
			if err := <-sent; !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	good := mail.Config{Host: "mail.example", Port: 587, From: "no-reply@example.com", TLS: mail.StartTLS, Timeout: time.Second, Now: time.Now}
	if _, err := mail.New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*mail.Config){
		"no host":                    func(c *mail.Config) { c.Host = "" },
		"no sender":                  func(c *mail.Config) { c.From = "" },
		"two senders":                func(c *mail.Config) { c.From = "a@b.example, c@d.example" },
		"a line break in the sender": func(c *mail.Config) { c.From = "a@b.example\r\nBcc: x@y.example" },
		"TLS that may be":            func(c *mail.Config) { c.TLS = "opportunistic" },
		"no TLS said":                func(c *mail.Config) { c.TLS = "" },
		"a password without TLS":     func(c *mail.Config) { c.TLS, c.User = mail.NoTLS, "me" },
		"no time limit":              func(c *mail.Config) { c.Timeout = 0 },
	} {
		c := good
		change(&c)
		if _, err := mail.New(c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
