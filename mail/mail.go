package mail

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/textproto"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// How a connection is protected.
const (
	StartTLS = "starttls" // RFC 3207; a server that does not offer it gets no mail
	Implicit = "implicit" // TLS from the beginning (RFC 8314 section 3)
	NoTLS    = "none"     // what is sent can be read on the way
)

// Config is the mail server and in whose name mails are sent.
type Config struct {
	Host     string // name or address; its certificate must be of it
	Port     int
	User     string // empty: nobody signs in there
	Password string
	From     string         // "BizzStream <no-reply@example.com>"
	TLS      string         // StartTLS, Implicit or NoTLS
	Roots    *x509.CertPool // certificates that are trusted; nil: the system's
	Timeout  time.Duration  // of one mail, from dialling to the end
	Now      func() time.Time
}

// Sender sends mails. It is safe for concurrent use.
type Sender struct {
	config Config
	from   *netmail.Address
}

// New returns a Sender. It connects to nothing.
func New(c Config) (*Sender, error) {
	from, err := netmail.ParseAddress(c.From)
	switch {
	case err != nil:
		return nil, fmt.Errorf("mail: %q is not an address to send from", c.From)
	case c.Host == "":
		return nil, errors.New("mail: the mail server has no name")
	case c.TLS != StartTLS && c.TLS != Implicit && c.TLS != NoTLS:
		return nil, fmt.Errorf("mail: %q is not one of %s, %s, %s", c.TLS, StartTLS, Implicit, NoTLS)
	case c.TLS == NoTLS && c.User != "":
		return nil, errors.New("mail: a password is not sent without TLS")
	case c.Timeout <= 0:
		return nil, errors.New("mail: a mail needs a time limit")
	}
	return &Sender{config: c, from: from}, nil
}

// Error is why a mail was not handed over. It holds no address, and nothing that the server said but
// its numbers, so that it can be logged.
type Error struct {
	Step string // what failed, such as "the mail server refuses the recipient"
	Code int    // reply code (RFC 5321 section 4.2.1); 0: none
	Sub  string // enhanced status code (RFC 3463), such as 5.1.1; empty: none
}

func (e *Error) Error() string {
	s := "mail: " + e.Step
	if e.Code != 0 {
		s += fmt.Sprintf(" (%d", e.Code)
		if e.Sub != "" {
			s += " " + e.Sub
		}
		s += ")"
	}
	return s
}

// send hands one message over. The error is an *Error, or that of ctx when it has ended.
func (s *Sender) send(ctx context.Context, to, subject, text, html string) error {
	message, err := s.message(to, subject, text, html)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	client, err := s.client(limited)
	if err != nil {
		return err
	}
	connection, err := client.DialToSMTPClientWithContext(limited)
	if err == nil {
		err = client.SendWithSMTPClient(connection, message)
		// The server has taken the mail or has not; how it says goodbye is no matter.
		_ = client.CloseWithSMTPClient(connection)
	}
	switch {
	case message.IsDelivered(): // what failed afterwards must not have it sent again
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case late(limited):
		return &Error{Step: "the mail server did not answer in time"}
	}
	return describe(err)
}

// late reports whether the time limit of ctx has passed. On a machine that stood still, the connection may end by its own limit
// before ctx does.
func late(ctx context.Context) bool {
	limit, _ := ctx.Deadline()
	return ctx.Err() != nil || !time.Now().Before(limit)
}

// client makes a client for one mail, whose connection ends with ctx.
func (s *Sender) client(ctx context.Context) (*gomail.Client, error) {
	c := s.config
	encryption := &tls.Config{ServerName: c.Host, RootCAs: c.Roots, MinVersion: tls.VersionTLS12}
	dial := func(dialing context.Context, network, address string) (net.Conn, error) {
		raw, err := (&net.Dialer{}).DialContext(dialing, network, address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { raw.Close() })
		if c.TLS != Implicit {
			return raw, nil
		}
		conn := tls.Client(raw, encryption)
		if err := conn.HandshakeContext(dialing); err != nil {
			raw.Close()
			return nil, err
		}
		return conn, nil
	}
	policy := gomail.NoTLS
	if c.TLS == StartTLS {
		policy = gomail.TLSMandatory
	}
	// The library's own limits are of single steps; the one that counts is that of ctx.
	options := []gomail.Option{gomail.WithPort(c.Port), gomail.WithTimeout(2 * c.Timeout), gomail.WithTLSConfig(encryption), gomail.WithTLSPolicy(policy),
		gomail.WithDialContextFunc(dial)}
	if c.User != "" {
		options = append(options, gomail.WithUsername(c.User), gomail.WithPassword(c.Password),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin))
	}
	client, err := gomail.NewClient(c.Host, options...)
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	return client, nil
}

// message makes a message of both forms.
func (s *Sender) message(to, subject, text, html string) (*gomail.Msg, error) {
	if strings.ContainsFunc(subject, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, &Error{Step: "the subject has a line break or a control character"}
	}
	address, err := netmail.ParseAddress(to)
	if err != nil || address.Address != to || strings.ContainsFunc(to, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, &Error{Step: "the recipient's address is not one that a mail can be sent to"}
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.FromMailAddress(s.from)
	m.ToMailAddress(address)
	m.Subject(subject)
	m.SetDateWithValue(s.config.Now())
	_, domain, _ := strings.Cut(s.from.Address, "@")
	m.SetMessageIDWithValue(strings.ToLower(rand.Text()) + "@" + domain)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 section 5: no out-of-office answers, please
	m.SetGenHeader("X-Auto-Response-Suppress", "All")  // the same, for Exchange
	m.SetBodyString(gomail.TypeTextPlain, text)        // RFC 2046 section 5.1.4: the plainest first
	m.AddAlternativeString(gomail.TypeTextHTML, html)
	return m, nil
}

// steps is what each step of sending is called.
var steps = map[gomail.SendErrReason]string{
	gomail.ErrSMTPMailFrom:  "the mail server refuses the sender",
	gomail.ErrSMTPRcptTo:    "the mail server refuses the recipient",
	gomail.ErrSMTPData:      "the mail server refuses the mail",
	gomail.ErrSMTPDataClose: "the mail server refuses the mail",
}

// describe says what failed in words of ours.
func describe(err error) error {
	var sent *gomail.SendError
	if errors.As(err, &sent) {
		step := steps[sent.Reason]
		if step == "" {
			step = "the connection to the mail server broke"
		}
		return &Error{Step: step, Code: sent.ErrorCode(), Sub: sent.EnhancedStatusCode()}
	}
	var reply *textproto.Error
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &reply):
		return &Error{Step: "the mail server refuses the connection or the sign-in", Code: reply.Code}
	case errors.As(err, &certificate):
		return &Error{Step: "the certificate of the mail server is not trusted"}
	case errors.As(err, &op) && op.Op == "dial":
		return &Error{Step: "the mail server cannot be reached"}
	case strings.Contains(err.Error(), "does not support STARTTLS"):
		return &Error{Step: "the mail server offers no TLS, so that nothing was sent"}
	}
	return &Error{Step: "the mail server did not agree to an encrypted connection or to the sign-in"}
}
