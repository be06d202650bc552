package auth

import (
	"cmp"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
)

// How the keys of an issuer are followed. Source: Microsoft, "Signing key rollover in the Microsoft
// identity platform": refresh each hour, keep for a day, look for an unknown key at most every five
// minutes.
const (
	publishedRefresh = time.Hour        // after which keys are fetched again, because one may have been withdrawn
	publishedLife    = 24 * time.Hour   // for which keys are good when the issuer cannot be reached
	keySearch        = 5 * time.Minute  // between fetches for a key that is not known
	fetchRetry       = 15 * time.Second // between fetches while the issuer cannot be reached
	fetchTime        = 10 * time.Second // for document and keys
	maxFetch         = 1 << 20          // bytes, of each
	maxSkew          = time.Minute      // between the issuer's clock and ours, before it is logged
	minRSABits       = 2048
)

// issuer keeps what one OpenID issuer publishes: its document (OpenID Connect Discovery 1.0 section 4)
// and its keys. Whoever can send a token, or name a client, can make us look for a key, so fetches
// are counted. A fetch serves everyone, whoever caused it: a flood keeps nobody out. It is safe for
// concurrent use.
type issuer struct {
	url        string // exactly as the claim iss of its tokens
	host       string // where its endpoints must be; empty: anywhere
	tenant     string // its keys may name an issuer with {tenantid} in place of this; empty: what they name is not looked at
	algorithms []jose.SignatureAlgorithm
	client     *http.Client // follows no redirect
	most       int64        // bytes, of document and keys each; 0: maxFetch
	now        func() time.Time
	log        *slog.Logger

	flight singleflight.Group

	mu     sync.Mutex
	good   *published // of the last fetch that went well; nil: none did
	tried  time.Time  // when the last fetch began
	failed error      // of the last fetch
}

// published is what an issuer published at one time. It does not change.
type published struct {
	document
	keys    []jose.JSONWebKey
	fetched time.Time
}

// document is the part of an issuer's document that we use.
type document struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	Keys          string `json:"jwks_uri"`
	EndSession    string `json:"end_session_endpoint"`
}

// issuerError is why nothing can be had from an issuer.
type issuerError struct {
	answered bool // the issuer is there, but what it publishes is not for us
	err      error
}

func (e *issuerError) Error() string { return "auth: " + e.err.Error() }
func (e *issuerError) Unwrap() error { return e.err }

func unusable(format string, args ...any) error {
	return &issuerError{answered: true, err: fmt.Errorf(format, args...)}
}

func unreachable(err error) error { return &issuerError{err: err} }

// publication returns what the issuer publishes. Errors: *issuerError; that of ctx.
func (i *issuer) publication(ctx context.Context) (*published, error) {
	p, err := i.fresh(ctx, "")
	if err == nil && p == nil {
		err = errors.New("auth: nothing is known of the issuer") // cannot be: no key was asked for
	}
	return p, err
}

// find returns the keys of that id (of any, when it is empty), none when the issuer has no such key.
// Errors: *issuerError when its keys cannot be had; that of ctx.
func (i *issuer) find(ctx context.Context, kid string) ([]jose.JSONWebKey, error) {
	p, err := i.fresh(ctx, kid)
	if err != nil || p == nil {
		return nil, err
	}
	return p.find(kid), nil
}

func (p *published) find(kid string) (keys []jose.JSONWebKey) {
	for _, k := range p.keys {
		if kid == "" || k.KeyID == kid {
			keys = append(keys, k)
		}
	}
	return keys
}

// fresh returns what the issuer publishes, fetched again when that is due or the key of that id is not
// in it; nil when the issuer has no such key.
func (i *issuer) fresh(ctx context.Context, kid string) (*published, error) {
	if i.due(kid) {
		done := i.flight.DoChan("", func() (any, error) {
			if i.due(kid) { // still: another fetch may have ended just now
				i.refresh(context.WithoutCancel(ctx))
			}
			return nil, nil
		})
		select {
		case <-done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	usable := i.good != nil && i.now().Sub(i.good.fetched) < publishedLife
	switch {
	case usable && len(i.good.find(kid)) > 0:
		return i.good, nil
	case i.failed != nil:
		return nil, i.failed
	case !usable:
		return nil, unreachable(errors.New("the keys of the issuer are too old"))
	}
	return nil, nil
}

// due reports whether it is time for a fetch. A clock that was set back makes one due, never puts one off.
func (i *issuer) due(kid string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	over := func(since time.Time, limit time.Duration) bool {
		passed := now.Sub(since)
		return passed >= limit || passed < 0
	}
	if i.good == nil || over(i.good.fetched, publishedRefresh) {
		return i.tried.IsZero() || over(i.tried, fetchRetry)
	}
	return len(i.good.find(kid)) == 0 && over(i.tried, keySearch)
}

// refresh fetches document and keys. What cannot be used never takes the place of what is good. It
// goes on when the caller leaves: a caller in a hurry must not use up everyone's fetches.
func (i *issuer) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	now := i.now()
	p, err := i.fetch(ctx)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tried = now // not before: who comes meanwhile waits for this fetch
	if i.failed = err; err == nil {
		p.fetched = now
		i.good = p
	}
}

func (i *issuer) fetch(ctx context.Context) (*published, error) {
	p := &published{}
	date, err := i.get(ctx, strings.TrimSuffix(i.url, "/")+"/.well-known/openid-configuration", &p.document)
	if err != nil {
		return nil, err
	}
	if err := i.check(&p.document); err != nil {
		return nil, err
	}
	i.compareClocks(ctx, date)
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if _, err := i.get(ctx, p.Keys, &set); err != nil {
		return nil, err
	}
	for _, raw := range set.Keys {
		if k, ok := i.usable(raw); ok {
			p.keys = append(p.keys, k)
		}
	}
	if len(p.keys) == 0 {
		return nil, unusable("%s publishes no usable key", p.Keys)
	}
	return p, nil
}

// check refuses a document that is not the issuer's own.
func (i *issuer) check(d *document) error {
	if d.Issuer != i.url {
		return unusable("the document of the issuer %s names another issuer", i.url)
	}
	if i.host == "" {
		return nil // of a federated issuer the keys alone are used, and get looks at their address
	}
	endpoints := []string{d.Authorization, d.Token, d.Keys}
	if d.EndSession != "" {
		endpoints = append(endpoints, d.EndSession)
	}
	for _, e := range endpoints {
		u, err := address(e)
		if err != nil || hostOf(u) != i.host {
			return unusable("the document of the issuer %s names an endpoint elsewhere", i.url)
		}
	}
	return nil
}

// usable reads a key that signs. Others are of a kind that we do not use, or another tenant's: the keys
// of Microsoft name the issuer that they sign for, with {tenantid} where they sign for every tenant.
// Source: Microsoft, "Access tokens in the Microsoft identity platform", validate the signing key issuer.
func (i *issuer) usable(raw json.RawMessage) (k jose.JSONWebKey, ok bool) {
	var of struct {
		Issuer string `json:"issuer"`
	}
	if json.Unmarshal(raw, &k) != nil || json.Unmarshal(raw, &of) != nil || !k.IsPublic() || k.Use != "" && k.Use != "sig" {
		return k, false
	}
	k.Certificates = nil // the key alone is used, and kept
	if r, ok := k.Key.(*rsa.PublicKey); ok && r.N.BitLen() < minRSABits {
		return k, false
	}
	return k, i.tenant == "" || of.Issuer == "" || strings.ReplaceAll(of.Issuer, "{tenantid}", i.tenant) == i.url
}

// compareClocks says so when ours and the issuer's differ: tokens would be refused as expired.
func (i *issuer) compareClocks(ctx context.Context, date string) {
	theirs, err := http.ParseTime(date)
	if err != nil || i.log == nil {
		return
	}
	if off := i.now().Sub(theirs); off.Abs() > maxSkew {
		i.log.WarnContext(ctx, "the clock of this server and that of a directory differ: set the clock, or sign-ins may be refused",
			"issuer", i.url, "seconds", int64(off/time.Second))
	}
}

// get reads JSON, and returns the Date of the answer.
func (i *issuer) get(ctx context.Context, rawURL string, v any) (date string, err error) {
	if _, err := address(i.url); err != nil || strings.ContainsAny(i.url, "?#") {
		return "", unusable("the address of an issuer is https and has no user, query or fragment")
	}
	if _, err := address(rawURL); err != nil {
		return "", &issuerError{answered: true, err: err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return "", &issuerError{answered: true, err: err}
	}
	resp, err := i.client.Do(req)
	if err != nil {
		return "", unreachable(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		permanent := resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusNotFound // there is no such directory
		return "", &issuerError{answered: permanent, err: fmt.Errorf("%s answers %s", rawURL, resp.Status)}
	}
	most := cmp.Or(i.most, maxFetch)
	data, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return "", unreachable(err)
	}
	if int64(len(data)) > most {
		return "", unreachable(fmt.Errorf("the answer of %s is too large", rawURL))
	}
	if err := json.Unmarshal(data, v); err != nil {
		return "", unreachable(fmt.Errorf("the answer of %s cannot be read: %w", rawURL, err))
	}
	return resp.Header.Get("Date"), nil
}

// address reads the address of something that we may call: https, or http on this machine.
func address(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return nil, fmt.Errorf("%.200q is not https", rawURL)
	case u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return nil, fmt.Errorf("%.200q is no plain address", rawURL)
	}
	return u, nil
}

// hostOf is scheme, host and port of an address, in one spelling.
func hostOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// withoutRedirects is a client as given (nil: one with a time limit) that follows no redirect: where a
// token or a key comes from is settled before the call.
func withoutRedirects(c *http.Client) *http.Client {
	if c == nil {
		c = &http.Client{Timeout: fetchTime}
	}
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

// keysOf is the issuer as the key set of one token: it keeps why no key could be had, which go-oidc
// does not pass on.
type keysOf struct {
	*issuer
	failed error
}

var _ oidc.KeySet = (*keysOf)(nil)

// VerifySignature checks the signature of a JWT by the keys of the issuer and returns the payload. Of
// the header, algorithm and key id count, and nothing else.
func (k *keysOf) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(token, k.algorithms)
	if err != nil {
		return nil, err
	}
	keys, err := k.find(ctx, signed.Signatures[0].Header.KeyID)
	if err != nil {
		k.failed = err
		return nil, err
	}
	for _, key := range keys {
		if payload, err := signed.Verify(key.Key); err == nil {
			return payload, nil
		}
	}
	return nil, errors.New("no key of the issuer has signed it")
}

// verify checks a JWT of the issuer for an audience: signature, iss, aud, exp and nbf. Errors:
// *issuerError and that of ctx when the keys cannot be had; any other: the token is not to be believed.
func (i *issuer) verify(ctx context.Context, token, audience string) (*oidc.IDToken, error) {
	names := make([]string, len(i.algorithms))
	for n, a := range i.algorithms {
		names[n] = string(a)
	}
	keys := &keysOf{issuer: i}
	t, err := oidc.NewVerifier(i.url, keys, &oidc.Config{ClientID: audience, SupportedSigningAlgs: names, Now: i.now}).Verify(ctx, token)
	if keys.failed != nil {
		return nil, keys.failed
	}
	return t, err
}
