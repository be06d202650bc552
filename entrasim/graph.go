package entrasim

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// GraphOptions say how to serve a [Tenant] as Microsoft Graph. The zero value is usable.
type GraphOptions struct {
	Address string           // where to listen; default "127.0.0.1:0", a free port
	Seed    uint64           // for request ids, client ids and secrets, and the order of answers in a batch
	Now     func() time.Time // for the lives of tokens and secrets, throttling and the Date header; default time.Now

	TokenLife     time.Duration // life of an access token; default an hour, as Entra's shortest
	SkipTokenLife time.Duration // how long the pages of one list can be read; default 10 minutes

	// Throttle scales the resource units of 10 seconds, which Microsoft sets by the size of the tenant: 0.01 makes the
	// limits easy to reach. Default 1; negative switches throttling off.
	Throttle float64
	// Lag is how many changes the index runs behind that answers lists. See [Graph.SetLag].
	Lag int
}

// Graph serves a [Tenant] as Microsoft Graph v1.0 and as the Microsoft identity platform (the token endpoint and the
// OpenID provider at which people sign in), over HTTPS at one address, to the applications that [Graph.App] has registered. All methods may be called from several
// goroutines while it serves.
//
// It speaks HTTP/1.1 only, so that connections can be counted and cut.
type Graph struct {
	tenant   *Tenant
	o        GraphOptions
	origin   string // https://host:port
	ca       []byte
	tokens   *tokenService
	provider *provider
	faults   *Faults
	usage    usage
	rates    rates
	lists    lists

	server  *http.Server
	closing context.CancelFunc
	served  chan struct{} // closed when Serve has returned

	mu   sync.Mutex // guards what follows
	rng  *rand.Rand
	apps map[string]*App // by client id
}

// NewGraph makes a certificate authority and a server certificate in memory, listens and serves until [Graph.Close].
// The error is that of the address.
func NewGraph(t *Tenant, o GraphOptions) (*Graph, error) {
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.TokenLife <= 0 {
		o.TokenLife = time.Hour
	}
	if o.SkipTokenLife <= 0 {
		o.SkipTokenLife = 10 * time.Minute
	}
	g := &Graph{
		tenant: t,
		o:      o,
		faults: newFaults(o.Seed),
		apps:   make(map[string]*App),
		rng:    rand.New(rand.NewPCG(o.Seed, 4)),
		served: make(chan struct{}),
	}
	g.usage.init()
	g.lists.init(t, o)
	g.rates.init(o)
	var err error
	if g.tokens, err = newTokenService(g); err != nil {
		return nil, err
	}
	g.provider = newProvider(g)
	if err = g.listen(); err != nil {
		return nil, err
	}
	return g, nil
}

func (g *Graph) listen() error {
	var config net.ListenConfig
	l, err := config.Listen(context.Background(), "tcp", g.o.Address)
	if err != nil {
		return fmt.Errorf("simulated graph: %w", err)
	}
	host, _, err := net.SplitHostPort(g.o.Address)
	if err != nil {
		return errors.Join(fmt.Errorf("simulated graph: %w", err), l.Close())
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return errors.Join(fmt.Errorf("simulated graph: %w", err), l.Close())
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	g.origin = "https://" + net.JoinHostPort(host, port)
	certificate, ca, err := newServerCertificate(host)
	if err != nil {
		return errors.Join(fmt.Errorf("simulated graph: %w", err), l.Close())
	}
	g.ca = ca
	ctx, cancel := context.WithCancel(context.Background())
	g.closing = cancel
	g.server = &http.Server{
		Handler:           http.HandlerFunc(g.serve),
		ReadHeaderTimeout: 30 * time.Second,
		ConnState:         g.usage.connection,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          log.New(io.Discard, "", 0), // handshakes that clients break off are their business
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
		TLSNextProto:      map[string]func(*http.Server, *tls.Conn, http.Handler){}, // no HTTP/2
	}
	go func() {
		defer close(g.served)
		_ = g.server.ServeTLS(l, "", "") // ends with Close
	}()
	return nil
}

// newServerCertificate makes a certificate for host and the loopback names, and the PEM of the authority that issued
// it. Both are valid for as long as a test's clock can be set to.
func newServerCertificate(host string) (certificate tls.Certificate, ca []byte, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		return certificate, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		return certificate, nil, err
	}
	from, to := time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Simulated Microsoft CA"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Simulated Microsoft Graph"}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(host); ip != nil {
		leaf.IPAddresses = append(leaf.IPAddresses, ip)
	} else {
		leaf.DNSNames = append(leaf.DNSNames, host)
	}
	authorityDER, err := x509.CreateCertificate(cryptorand.Reader, authority, authority, caKey.Public(), caKey)
	if err != nil {
		return certificate, nil, err
	}
	leafDER, err := x509.CreateCertificate(cryptorand.Reader, leaf, authority, key.Public(), caKey)
	if err != nil {
		return certificate, nil, err
	}
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authorityDER})
	return tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: key}, ca, nil
}

// Close cuts all connections, ends the requests at work and waits for them.
func (g *Graph) Close() error {
	g.closing()
	err := g.server.Close()
	<-g.served
	g.usage.connections.Wait()
	return err
}

// LoginURL is the authority host, which stands for https://login.microsoftonline.com/: "https://127.0.0.1:port/". The
// token endpoint is {LoginURL}{tenant id}/oauth2/v2.0/token.
func (g *Graph) LoginURL() string { return g.origin + "/" }

// URL is the base URL of Graph, which stands for https://graph.microsoft.com/v1.0: "https://127.0.0.1:port/v1.0".
func (g *Graph) URL() string { return g.origin + "/v1.0" }

// Scope is what a client asks a token for: "https://127.0.0.1:port/.default".
func (g *Graph) Scope() string { return g.origin + "/.default" }

// CA is the authority that a client must trust, as a PEM file.
func (g *Graph) CA() []byte { return g.ca }

// Client is an HTTP client that trusts the authority. Each call returns one with a connection pool of its own.
func (g *Graph) Client() *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(g.ca)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
}

// Faults is the fault script.
func (g *Graph) Faults() *Faults { return g.faults }

// SetThrottle changes [GraphOptions.Throttle] and fills the buckets of all applications.
func (g *Graph) SetThrottle(scale float64) { g.rates.set(scale) }

// SetLag makes lists (members, transitiveMembers, users, groups and their counts) answer from the directory as it was
// the given number of changes ago, and reads of single objects (a user, a group, checkMemberGroups) from that of now:
// Microsoft Graph answers lists from an index that "might not be up-to-date". A change is one that sets properties of
// one object or one that adds or removes one member. The index never shows what was before the first call.
func (g *Graph) SetLag(changes int) { g.lists.setLag(changes) }

// HoldIndex makes lists answer from the directory as it is now, until [Graph.ReleaseIndex].
func (g *Graph) HoldIndex() { g.lists.hold() }

// ReleaseIndex lets lists see changes again.
func (g *Graph) ReleaseIndex() { g.lists.release() }

// ExpireSkipTokens ends all lists that are being read: their next pages are answered 400 Directory_ExpiredPageToken.
func (g *Graph) ExpireSkipTokens() { g.lists.expire() }

// newID draws a GUID.
func (g *Graph) newID() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], g.rng.Uint64())
	binary.BigEndian.PutUint64(b[8:], g.rng.Uint64())
	return guid(b)
}

// shuffle draws an order of n things.
func (g *Graph) shuffle(n int) []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.rng.Perm(n)
}
