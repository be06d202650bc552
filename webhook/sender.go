// Package webhook tells others of what happens: it follows the outbox of the directory for each webhook and sends what
// matches, signed as Standard Webhooks has it (github.com/standard-webhooks/standard-webhooks). It must never send to where
// the operator has not allowed it, and never lose an event; what an event says is decided elsewhere.
package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Figures of one attempt.
const (
	sendTimeout   = 10 * time.Second // from dialling to the last byte that is read
	answerBytes   = 1 << 10          // read of an answer
	headerBytes   = 16 << 10         // of the headers of an answer
	mostWait      = time.Hour        // that an endpoint may ask for
	idlePerTarget = perWebhook
)

// Policy says where addresses that customers name may lead: those of webhooks, and of whoever signs for their OAuth clients.
type Policy struct {
	AllowHTTP    bool           // also without TLS
	AllowPrivate []netip.Prefix // networks that are not public and may be reached even so
}

// CheckURL says what is wrong with an address as far as that can be told without asking the network; nil: nothing.
func (p Policy) CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return errors.New("the address is of the form https://HOST/PATH")
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	addr, err := netip.ParseAddr(host)
	isAddr := err == nil
	local := host == "localhost" || strings.HasSuffix(host, ".localhost") // RFC 6761 section 6.3
	loopback := isAddr && addr.Unmap().IsLoopback() || local
	if u.Scheme != "https" && (u.Scheme != "http" || !p.AllowHTTP && !loopback) {
		return errors.New("the address must begin with https://")
	}
	if isAddr && !p.allows(addr) || local && !p.allows(netip.AddrFrom4([4]byte{127, 0, 0, 1})) || !isAddr && numeric(host) {
		return errNotPublic
	}
	return nil
}

// numeric reports whether a host ends in a number: some take it for an IPv4 address that is written otherwise (URL Standard,
// "ends in a number checker"), and no public name does.
func numeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	_, err := strconv.ParseUint(last, 0, 64)
	return err == nil || last != "" && strings.Trim(last, "0123456789") == ""
}

// errNotPublic does not say which address it is about, nor whether there is such a name: names within a network are not for
// everybody to look up.
var errNotPublic = errors.New("the name of the host cannot be looked up, or does not lead to a public network; an operator can allow others (webhooks.allow_private)")

// reserved are the networks that are not public: the IANA registries of special-purpose addresses (RFC 6890), multicast
// and what is reserved. IPv6 beyond 2000::/3 is not public either, nor is Azure's WireServer, which every machine there reaches:
// it hands out what is for that machine alone (Microsoft, "What is IP address 168.63.129.16?").
var reserved = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")

var global6 = netip.MustParsePrefix("2000::/3")

func prefixes(all ...string) (out []netip.Prefix) {
	for _, p := range all {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// allows reports whether an address may be connected to.
func (p Policy) allows(addr netip.Addr) bool {
	addr = addr.Unmap()
	within := func(n netip.Prefix) bool { return n.Contains(addr) }
	if addr.Zone() == "" && slices.ContainsFunc(p.AllowPrivate, within) {
		return true
	}
	if addr.Zone() != "" || !addr.IsValid() || addr.Is6() && !global6.Contains(addr) {
		return false
	}
	return !slices.ContainsFunc(reserved, within)
}

// Sender sends to where its policy allows. It is safe for concurrent use.
type Sender struct {
	policy Policy
	agent  string
	client *http.Client
}

// NewSender returns a Sender. roots are the certificates that are trusted; nil: the system's. version is that of the program.
func NewSender(p Policy, roots *x509.CertPool, version string) *Sender {
	return newSender(p, roots, version, nil)
}

func newSender(p Policy, roots *x509.CertPool, version string, resolver *net.Resolver) *Sender {
	transport := p.transport(roots, resolver)
	transport.MaxIdleConnsPerHost, transport.IdleConnTimeout = idlePerTarget, 30*time.Second
	return &Sender{policy: p, agent: "bizzscim/" + version + " (webhooks)", client: client(transport)}
}

// Client returns a client that connects to nothing but what the policy allows, follows no redirect and asks no proxy. It keeps no
// connections. roots as of NewSender.
func (p Policy) Client(roots *x509.CertPool) *http.Client { return p.guarded(roots, nil) }

func (p Policy) guarded(roots *x509.CertPool, resolver *net.Resolver) *http.Client {
	transport := p.transport(roots, resolver)
	transport.DisableKeepAlives = true
	return client(guard{p, transport})
}

// guard refuses addresses that can be told from how they are written.
type guard struct {
	policy Policy
	next   http.RoundTripper
}

func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := g.policy.CheckURL(r.URL.String()); err != nil {
		return nil, err
	}
	return g.next.RoundTrip(r)
}

func client(t http.RoundTripper) *http.Client {
	return &http.Client{Transport: t, Timeout: sendTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (p Policy) transport(roots *x509.CertPool, resolver *net.Resolver) *http.Transport {
	// The address is checked when it is connected to, not when the name is looked up: between the two it could change.
	dialer := &net.Dialer{Timeout: sendTimeout, Resolver: resolver, Control: p.control}
	return &http.Transport{
		Proxy:       nil, // not from the environment: a proxy would connect to where we would not
		DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
		TLSClientConfig:    &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableCompression: true, MaxResponseHeaderBytes: headerBytes,
	}
}

func (p Policy) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !p.allows(ap.Addr()) {
		return errNotPublic
	}
	return nil
}

// Close ends idle connections.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// Answer is what came of sending.
type Answer struct {
	Status int           // 0: there was no answer
	Wait   time.Duration // that a 429 or 503 asks for, at most an hour; 0: it does not say
	Text   string        // beginning of the body
	Error  string        // why it counts as failed; empty: it arrived
}

// Send posts a body once. Nothing is followed or repeated.
func (s *Sender) Send(ctx context.Context, target string, header http.Header, body []byte) Answer {
	if err := s.policy.CheckURL(target); err != nil {
		return Answer{Error: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(string(body)))
	if err != nil {
		return Answer{Error: "the address cannot be used"}
	}
	r.Header = header.Clone()
	r.Header.Set("User-Agent", s.agent)
	res, err := s.client.Do(r)
	if err != nil {
		return Answer{Error: reason(err)}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, answerBytes))
	a := Answer{Status: res.StatusCode, Text: string(text)}
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 300:
		return a // whatever became of the body: the endpoint has taken it
	case res.StatusCode >= 300 && res.StatusCode < 400:
		a.Error = fmt.Sprintf("the endpoint answered with a redirect (%d), which is not followed: set the address that it leads to", res.StatusCode)
	default:
		a.Error = "the endpoint answered " + statusText(res.StatusCode)
	}
	if err != nil {
		a.Error += ", and its answer broke off"
	}
	if res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusServiceUnavailable {
		a.Wait = retryAfter(res.Header)
	}
	return a
}

func statusText(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}

// retryAfter reads how long to wait (RFC 9110 section 10.2.3).
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, mostWait)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	from, err := http.ParseTime(h.Get("Date")) // by the clock that it was said by
	if err != nil {
		return 0
	}
	return min(max(at.Sub(from), 0), mostWait)
}

// reason says why there was no answer, without what only this server's network knows.
func reason(err error) string {
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var timeout net.Error
	switch {
	case errors.Is(err, errNotPublic), errors.As(err, &dns):
		return errNotPublic.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("no answer within %d s", int(sendTimeout.Seconds()))
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid):
		return "the certificate of the endpoint is not trusted, has ended, or is for another name"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the endpoint refuses connections"
	}
	return "the connection failed or broke off before there was an answer"
}
