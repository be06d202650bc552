package graph

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/graph/reader"
)

const (
	// tokenTimeout is for everything that getting one token takes, all tries of all its requests.
	tokenTimeout = 90 * time.Second
	maxAssertion = 64 << 10 // bytes of a token file
	userAgent    = "bizzscim"
)

// credential gets tokens with azidentity, which keeps them until shortly before they end. It sees each
// exchange with the authority, so that a failure is explained from what the authority said and not from the
// library's text.
type credential struct {
	library azcore.TokenCredential
	client  *reader.Client
	hide    func(string) string // takes the secret out of a text
	gate    chan struct{}       // held while the library works: it has a lock that no context ends
}

func newCredential(c pull.Connection, login string, client *reader.Client) (*credential, error) {
	t := &credential{client: client, hide: reader.Redact, gate: make(chan struct{}, 1)}
	options := policy.ClientOptions{
		Cloud:     azcloud.Configuration{ActiveDirectoryAuthorityHost: login},
		Transport: t,
		Retry:     policy.RetryOptions{MaxRetries: -1}, // Client.Forward does that
		Telemetry: policy.TelemetryOptions{Disabled: true},
	}
	var err error
	switch c.Kind {
	case pull.ClientSecret:
		secret := string(bytes.TrimSpace(c.Secret))
		if secret == "" {
			return nil, configuration("the client secret is missing; make one under Certificates & secrets and enter its Value")
		}
		t.hide = func(s string) string { return reader.Redact(strings.ReplaceAll(s, secret, "[secret]")) }
		// The authority is one of a fixed table, or named by the operator: nobody has to be asked about it.
		t.library, err = azidentity.NewClientSecretCredential(c.DirectoryID, c.ClientID, secret,
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	case pull.Certificate:
		chain, key, e := parseCertificate(c.Secret, c.Now())
		if e != nil {
			return nil, e
		}
		t.library, err = azidentity.NewClientCertificateCredential(c.DirectoryID, c.ClientID, chain, key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	case pull.WorkloadIdentity:
		if c.TokenFile == "" {
			return nil, configuration("the token file is missing; a federated credential needs the file with the token of the workload")
		}
		t.library, err = azidentity.NewClientAssertionCredential(c.DirectoryID, c.ClientID,
			func(ctx context.Context) (string, error) { return readAssertion(ctx, c.TokenFile) },
			&azidentity.ClientAssertionCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	default:
		return nil, configuration("%.50q is no kind of credential; it is one of secret, certificate, federated", string(c.Kind))
	}
	if err != nil {
		return nil, &pull.Error{Class: pull.Configuration, Detail: "Microsoft's library refuses the credential", Err: errors.New(t.hide(err.Error()))}
	}
	return t, nil
}

// exchange is the last one with the authority that getting a token took.
type exchange struct {
	answer *reader.Answer
	err    error // of reading the assertion too
}

type exchangeKey struct{}

// GetToken gets a token. Errors: *pull.Error or that of ctx.
func (t *credential) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	select {
	case t.gate <- struct{}{}:
		defer func() { <-t.gate }()
	case <-ctx.Done():
		return azcore.AccessToken{}, ctx.Err()
	}
	var last exchange
	bounded, cancel := context.WithTimeout(context.WithValue(ctx, exchangeKey{}, &last), tokenTimeout)
	defer cancel()
	var token azcore.AccessToken
	err := reader.Contain("Microsoft's library for tokens", func() (err error) {
		token, err = t.library.GetToken(bounded, options)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return azcore.AccessToken{}, ctx.Err()
	case err != nil:
		return azcore.AccessToken{}, t.explain(err, last)
	case token.Token == "":
		return azcore.AccessToken{}, &pull.Error{Class: pull.Malformed, Detail: "the authority's answer has no token in it"}
	}
	return token, nil
}

// Do is the library's way to the authority (policy.Transporter).
func (t *credential) Do(req *http.Request) (*http.Response, error) {
	last, ok := req.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		last = new(exchange)
	}
	var body []byte
	if req.Body != nil {
		defer req.Body.Close()
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
	}
	a, err := t.client.Forward(req.Context(), func(ctx context.Context, _ string) (*http.Request, error) {
		again := req.Clone(ctx)
		again.Body = nil
		if body != nil {
			again.Body = io.NopCloser(bytes.NewReader(body))
		}
		again.ContentLength = int64(len(body))
		again.Header.Set("User-Agent", userAgent)
		return again, nil
	})
	*last = exchange{answer: a, err: err}
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status:        strconv.Itoa(a.Status) + " " + http.StatusText(a.Status),
		StatusCode:    a.Status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        a.Header,
		Body:          io.NopCloser(bytes.NewReader(a.Body)),
		ContentLength: int64(len(a.Body)),
		Request:       req,
	}, nil
}

// failure passes on an error that explain has made, or that of a context. Anything else is a failure of the
// SDK, whose text may quote what it was given.
func (t *credential) failure(err error) error {
	var e *pull.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return fault(errors.New(t.hide(err.Error())))
}

// explain says why there is no token.
func (t *credential) explain(err error, last exchange) error {
	var e *pull.Error
	switch {
	case errors.As(err, &e): // a panic of the library's
		return e
	case errors.As(last.err, &e):
		e.Detail = "there is no token: " + strings.Replace(e.Detail, "Microsoft Graph", "the authority", 1)
		return e
	case errors.Is(last.err, context.DeadlineExceeded):
		return &pull.Error{
			Class: pull.Unavailable, Err: last.err,
			Detail: fmt.Sprintf("the authority gave no token within %s; check the network if this stays", tokenTimeout),
		}
	case last.answer == nil:
		return &pull.Error{Class: pull.Authentication, Detail: "Microsoft's library makes no request for a token", Err: errors.New(t.hide(err.Error()))}
	}
	return t.refused(last.answer)
}

// refused says why the authority gave no token.
// Source: Microsoft, "OAuth 2.0 client credentials flow", error response, and "Microsoft Entra authentication
// and authorization error codes".
func (t *credential) refused(a *reader.Answer) error {
	var said struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		Codes       []int  `json:"error_codes"`
		TraceID     string `json:"trace_id"`
	}
	document := json.Unmarshal(a.Body, &said) == nil
	description, _, _ := strings.Cut(said.Description, "Trace ID:")
	e := &pull.Error{Status: a.Status, RequestID: t.hide(said.TraceID)}
	if description != "" {
		e.Err = errors.New(t.hide(strings.TrimSpace(description)))
	}
	number := 0
	if len(said.Codes) > 0 {
		number = said.Codes[0]
	} else if m := aadsts.FindStringSubmatch(said.Description); m != nil {
		number, _ = strconv.Atoi(m[1])
	}
	if number != 0 {
		e.Code = fmt.Sprintf("AADSTS%d", number)
	}
	switch {
	case a.Status == http.StatusTooManyRequests:
		e.Class, e.RetryAfter = pull.Throttled, a.RetryAfter(t.client.Now())
		e.Detail = "the authority asks to wait before the next token; the next run tries again"
	case a.Status >= 500:
		e.Class, e.RetryAfter = pull.Unavailable, a.RetryAfter(t.client.Now())
		e.Detail = fmt.Sprintf("the authority, or a proxy on the way to it, is out of order (status %d); the next run tries again", a.Status)
	case a.Status == http.StatusOK:
		e.Class = pull.Malformed
		e.Detail = "the authority's answer to a request for a token is not as documented"
	case !document || said.Error == "":
		e.Class = pull.Unavailable
		e.Detail = fmt.Sprintf("the address of the authority answers with status %d, but not as Microsoft Entra does; check the cloud, the login URL and the proxy", a.Status)
	default:
		e.Class = pull.Authentication
		e.Detail = remedy(number)
	}
	return e
}

var aadsts = regexp.MustCompile(`AADSTS(\d{4,9})\b`)

// remedies say what to do about a refusal.
var remedies = map[int]string{
	7000215: "the client secret is wrong; enter the Value of the secret, not its Secret ID",
	7000222: "the client secret has expired; make a new one under Certificates & secrets and enter its Value",
	700016:  "the directory does not know the application; check the client id and the directory id",
	90002:   "there is no such directory; check the directory (tenant) id and the cloud",
	900023:  "there is no such directory; check the directory (tenant) id and the cloud",
	700027:  "the certificate is not registered with the application, or has expired; upload it under Certificates & secrets",
	700030:  "the certificate is not valid for the application; check its dates and its issuer",
	700024:  "the assertion is not valid at this time; check the server's clock, and that the token file is renewed",
	70021:   federated,
	700211:  federated,
	700212:  federated,
	700213:  federated,
	7000112: "the application is disabled in the directory; enable it under Enterprise applications",
	500011:  "the directory knows no Microsoft Graph at this address; check the cloud and the Graph URL",
	70011:   "the scope is not valid; check the cloud and the Graph URL",
	1002012: "the scope is not valid; check the cloud and the Graph URL",
	53003:   "Conditional Access blocks the application; ask who manages the directory's policies",
}

const federated = "no federated credential of the application matches the token of the workload; compare issuer, subject and audience " +
	"under Certificates & secrets, Federated credentials"

func remedy(number int) string {
	if text, ok := remedies[number]; ok {
		return text
	}
	if number == 0 {
		return "the directory gives the application no token; check the directory id, the client id and the credential"
	}
	return fmt.Sprintf("the directory gives the application no token; see https://login.microsoftonline.com/error?code=%d", number)
}

// readAssertion reads the token of a workload: each time, because it is renewed.
func readAssertion(ctx context.Context, name string) (assertion string, err error) {
	defer func() {
		if last, ok := ctx.Value(exchangeKey{}).(*exchange); ok && err != nil {
			last.err = err
		}
	}()
	f, err := os.Open(name)
	if err != nil {
		return "", &pull.Error{Class: pull.Configuration, Detail: "the token file cannot be read; check its path and permissions", Err: err}
	}
	defer f.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(io.LimitReader(f, maxAssertion+1))
	if err != nil {
		return "", &pull.Error{Class: pull.Configuration, Detail: "the token file cannot be read", Err: err}
	}
	b = bytes.TrimSpace(b)
	if len(b) == 0 || len(b) > maxAssertion || bytes.Count(b, []byte(".")) != 2 {
		return "", &pull.Error{Class: pull.Configuration, Detail: "the token file does not hold one token (a JSON Web Token)", Err: errors.New(name)}
	}
	return string(b), nil
}

// parseCertificate reads a certificate, those above it, and its RSA key. The certificate of the key comes
// first in the chain.
func parseCertificate(text []byte, now time.Time) (chain []*x509.Certificate, key *rsa.PrivateKey, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, configuration("the certificate cannot be read: it is no X.509 certificate in PEM")
			}
			chain = append(chain, c)
			continue
		}
		k, err := parseKey(block)
		if err != nil {
			return nil, nil, err
		}
		if key != nil {
			return nil, nil, configuration("the certificate's PEM holds more than one private key; leave the one of the certificate")
		}
		key = k
	}
	switch {
	case len(chain) == 0:
		return nil, nil, configuration("the certificate is missing; enter the certificate and its private key, both in PEM")
	case key == nil:
		return nil, nil, configuration("the private key of the certificate is missing; enter the certificate and its private key, both in PEM")
	}
	i := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return key.PublicKey.Equal(c.PublicKey) })
	if i < 0 {
		return nil, nil, configuration("the private key is not that of the certificate; enter the two that belong together")
	}
	chain[0], chain[i] = chain[i], chain[0]
	switch leaf := chain[0]; {
	case now.After(leaf.NotAfter):
		return nil, nil, configuration("the certificate expired on %s; make a new one and upload it under Certificates & secrets",
			leaf.NotAfter.UTC().Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		return nil, nil, configuration("the certificate is not valid before %s; check the server's clock", leaf.NotBefore.UTC().Format(time.DateOnly))
	}
	return chain, key, nil
}

// parseKey reads a private key.
func parseKey(block *pem.Block) (*rsa.PrivateKey, error) {
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		if block.Headers["DEK-Info"] != "" {
			return nil, configuration("the private key of the certificate is encrypted; enter it without a passphrase")
		}
	case "ENCRYPTED PRIVATE KEY":
		return nil, configuration("the private key of the certificate is encrypted; enter it without a passphrase")
	case "EC PRIVATE KEY", "EC PARAMETERS":
		return nil, notRSA()
	default:
		return nil, configuration("the certificate's PEM holds a %.40s, which is neither a certificate nor a private key", block.Type)
	}
	if err != nil {
		return nil, configuration("the private key of the certificate cannot be read") // the cause may quote the key
	}
	k, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, notRSA()
	}
	return k, nil
}

func notRSA() error {
	return configuration("the private key of the certificate must be an RSA key: Microsoft Entra takes no other from this library; make an RSA certificate of 2048 bits or more")
}
