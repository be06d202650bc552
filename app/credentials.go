package app

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // what Entra's portal shows as a certificate's thumbprint
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// The credentials of the applications of tenants: the one that synchronizes, and the one that signs
// people in.

const (
	maxSecret  = 1 << 10  // bytes
	maxPEM     = 64 << 10 // bytes
	minRSABits = 2048
)

// expiryWarnings are the days before the end of a credential at which a warning is due.
var expiryWarnings = []int{30, 14, 7, 1}

func (a *admin) setCredential(ctx context.Context, by directory.Actor, in CredentialInput) (out Credential, err error) {
	name, err := credentialName(in.For)
	if err != nil {
		return out, err
	}
	t, err := a.tenant(ctx, in.Tenant)
	if err != nil {
		return out, err
	}
	c := directory.Credential{TenantID: t.ID, Name: name, TokenFile: in.TokenFile}
	secret, err := a.readCredential(&c, in)
	if err != nil {
		return out, err
	}
	clientID := in.ClientID
	if clientID == "" {
		clientID = *clientIDOf(t, name)
	}
	switch {
	case clientID == "":
		return out, fail(directory.Invalid, "clientId", "name the application that %s with --client-id: its Application (client) ID in Entra", purpose(name))
	case t.DirectoryID == "":
		return out, fail(directory.Invalid, "directoryId", "the directory of tenant %s is not known; set its Directory (tenant) ID with: bizzscim tenant set %s --directory-id ID", t.Name, t.Name)
	}
	keep := func(sealed string) error {
		c.Sealed = sealed
		if in.ClientID != "" {
			_, err := a.service.SetTenant(ctx, by, t.ID, func(t *directory.Tenant) error {
				*clientIDOf(t, name) = in.ClientID
				return nil
			})
			if err != nil {
				return err
			}
		}
		_, err := a.service.SetCredential(ctx, by, c)
		return err
	}
	if secret == nil {
		err = keep("")
	} else {
		err = a.secrets.seal(ctx, &c, secret, keep)
	}
	if err != nil {
		return out, err
	}
	return a.credentialOf(ctx, t, name)
}

// credentialName is the name of the credential that is for something.
func credentialName(purpose string) (string, error) {
	switch purpose {
	case "", directory.GraphCredential:
		return directory.GraphCredential, nil
	case directory.SignInCredential:
		return directory.SignInCredential, nil
	}
	return "", fail(directory.Invalid, "for", "a credential is for %s or %s, not %q", directory.GraphCredential, directory.SignInCredential, purpose)
}

// purpose says what the application of a credential does.
func purpose(name string) string {
	if name == directory.SignInCredential {
		return "signs people in"
	}
	return "synchronizes"
}

// clientIDOf is where a tenant keeps the client id of the application of a credential.
func clientIDOf(t *directory.Tenant, name string) *string {
	if name == directory.SignInCredential {
		return &t.SignIn.ClientID
	}
	return &t.Graph.ClientID
}

// setCommand is the command that sets a credential.
func setCommand(tenant, name string) string {
	command := "bizzscim tenant credential set " + tenant
	if name == directory.SignInCredential {
		command += " --for " + name
	}
	return command
}

// readCredential checks what a credential is made of and says in c what may be shown of it. It
// returns what has to be sealed; nil when there is no secret.
func (a *admin) readCredential(c *directory.Credential, in CredentialInput) ([]byte, error) {
	given := 0
	for _, s := range []string{in.Secret, in.Certificate, in.TokenFile} {
		if s != "" {
			given++
		}
	}
	if given != 1 {
		return nil, fail(directory.Invalid, "credential", "give exactly one of a secret, a certificate and a token file")
	}
	if in.Secret == "" && in.Expires != "" {
		return nil, fail(directory.Invalid, "expires", "only of a secret has the end to be said: a certificate says it itself, and a token file has none")
	}
	switch {
	case in.Certificate != "":
		c.Kind = string(pull.Certificate)
		leaf, err := readCertificate([]byte(in.Certificate), a.now())
		if err != nil {
			return nil, err
		}
		thumbprint := sha1.Sum(leaf.Raw) //nolint:gosec // as above: it names the certificate, nothing trusts it
		c.Hint, c.Expires = strings.ToUpper(hex.EncodeToString(thumbprint[:])), leaf.NotAfter.UTC()
		return []byte(in.Certificate), nil
	case in.TokenFile != "":
		c.Kind = string(pull.WorkloadIdentity)
		if !filepath.IsAbs(in.TokenFile) {
			return nil, fail(directory.Invalid, "tokenFile", "%q is not an absolute path: the server looks for it from another folder than you do", in.TokenFile)
		}
		return nil, nil
	}
	c.Kind = string(pull.ClientSecret)
	expires, err := parseExpires(in.Expires, a.now())
	if err != nil {
		return nil, err
	}
	if err := checkSecret(in.Secret); err != nil {
		return nil, err
	}
	// Entra's portal shows the first three characters of a secret.
	c.Expires = expires
	if len(in.Secret) >= 16 {
		c.Hint = in.Secret[:3] + "…"
	}
	return []byte(in.Secret), nil
}

func checkSecret(s string) error {
	bad := strings.IndexFunc(s, func(r rune) bool { return r > unicode.MaxASCII || unicode.IsSpace(r) || unicode.IsControl(r) })
	_, isID := directory.ParseID(strings.ToLower(s))
	switch {
	case len(s) > maxSecret:
		return fail(directory.Invalid, "secret", "the secret is longer than %d characters: is this the right file?", maxSecret)
	case bad >= 0:
		return fail(directory.Invalid, "secret", "the secret has a space, a line break or a character that no secret has: is this the right file?")
	case isID:
		return fail(directory.Invalid, "secret", "this is the ID of a secret: copy its Value in Entra, which is shown only when it is made")
	}
	return nil
}

// parseExpires reads the day on which a secret ends, or the moment (RFC 3339). A day ends the
// secret as it begins: better a warning a day early.
func parseExpires(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.DateOnly, s)
	if err != nil {
		at, err = time.Parse(time.RFC3339, s)
	}
	switch {
	case err != nil:
		return at, fail(directory.Invalid, "expires", "%q is not a date such as 2027-06-30", s)
	case !now.Before(at):
		return at, fail(directory.Invalid, "expires", "%s is over: make a new secret in Entra", s)
	}
	return at.UTC(), nil
}

// readCertificate finds the certificate of the private key in a PEM file, and makes sure that
// Microsoft's library takes both.
func readCertificate(text []byte, now time.Time) (*x509.Certificate, error) {
	bad := func(format string, args ...any) (*x509.Certificate, error) {
		return nil, fail(directory.Invalid, "certificate", format, args...)
	}
	if len(text) > maxPEM {
		return bad("the certificate file is larger than %d bytes", maxPEM)
	}
	var certificates []*x509.Certificate
	var key *rsa.PrivateKey
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return bad("the certificate cannot be read: %v", err)
			}
			certificates = append(certificates, c)
			continue
		}
		k, err := readKey(block)
		if err != nil {
			return bad("%v", err)
		}
		if key != nil {
			return bad("the file holds two private keys")
		}
		key = k
	}
	switch {
	case len(bytes.TrimSpace(text)) > 0 && len(certificates) == 0 && key == nil:
		return bad("the file is not PEM; a .pfx becomes one with: openssl pkcs12 -in FILE.pfx -out FILE.pem -nodes")
	case len(certificates) == 0:
		return bad("the file holds no certificate: put it into the same file as the private key")
	case key == nil:
		return bad("the file holds no private key: put it into the same file as the certificate")
	}
	for _, c := range certificates {
		if !key.PublicKey.Equal(c.PublicKey) {
			continue
		}
		switch {
		case !now.Before(c.NotAfter):
			return bad("the certificate ended on %s: make a new one and register it in Entra", c.NotAfter.UTC().Format(time.DateOnly))
		case now.Before(c.NotBefore):
			return bad("the certificate begins on %s", c.NotBefore.UTC().Format(time.RFC3339))
		}
		return c, nil
	}
	return bad("the private key does not belong to the certificate")
}

func readKey(block *pem.Block) (*rsa.PrivateKey, error) {
	var key any
	var err error
	switch {
	case strings.Contains(block.Type, "ENCRYPTED") || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
		return nil, errors.New("the private key is encrypted: take its password away with: openssl pkey -in FILE -out FILE; it is sealed here")
	case block.Type == "EC PRIVATE KEY":
		return nil, notRSA("an elliptic-curve key")
	case block.Type == "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case block.Type == "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("the file holds a %s, which does not belong there", strings.ToLower(block.Type))
	}
	if err != nil {
		return nil, fmt.Errorf("the private key cannot be read: %w", err)
	}
	k, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, notRSA(strings.TrimPrefix(fmt.Sprintf("an %T", key), "an *"))
	}
	if k.N.BitLen() < minRSABits {
		return nil, fmt.Errorf("the key has %d bits: Entra takes RSA keys of %d and more", k.N.BitLen(), minRSABits)
	}
	return k, nil
}

func notRSA(what string) error {
	return fmt.Errorf("the private key is %s: Microsoft's library takes RSA keys alone; make one with: openssl req -x509 -newkey rsa:2048 -nodes -days 365 -keyout KEY.pem -out CERT.pem", what)
}

func (a *admin) credentialOf(ctx context.Context, t *directory.Tenant, name string) (Credential, error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (Credential, error) {
		t, err := sn.Tenant(t.ID)
		if err != nil {
			return Credential{}, err
		}
		c, err := findCredential(sn, t, name)
		if err != nil {
			return Credential{}, err
		}
		return a.viewCredential(t, c), nil
	})
}

func findCredential(sn *directory.Snapshot, t *directory.Tenant, name string) (*directory.Credential, error) {
	c, err := sn.Credential(t.ID, name)
	if isNotFound(err) {
		return nil, fail(directory.NotFound, "credential", "tenant %s has no credential of the application that %s; set one with: %s", t.Name, purpose(name), setCommand(t.Name, name))
	}
	return c, err
}

func (a *admin) viewCredential(t *directory.Tenant, c *directory.Credential) Credential {
	out := Credential{Tenant: Named{t.ID.String(), t.Name}, Name: c.Name, Kind: c.Kind, ClientID: *clientIDOf(t, c.Name), Hint: c.Hint, TokenFile: c.TokenFile,
		Expires: orNil(c.Expires), Created: c.Created, CreatedBy: c.CreatedBy}
	out.State, out.Warning = credentialState(t, c, a.now())
	return out
}

// credentialState tells whether a credential works at a time, and what somebody should know of it.
func credentialState(t *directory.Tenant, c *directory.Credential, now time.Time) (state, warning string) {
	left := c.Expires.Sub(now)
	renew := "make a new one in Entra and set it with: " + setCommand(t.Name, c.Name)
	switch {
	case c.Expires.IsZero() && c.Kind == string(pull.ClientSecret):
		return "live", "nobody is warned before this secret ends: say when, with --expires"
	case c.Expires.IsZero():
		return "live", ""
	case left <= 0:
		return "expired", fmt.Sprintf("it ended on %s: %s", c.Expires.Format(time.DateOnly), renew)
	case expiryLevel(c, now) > 0:
		return "expiring", fmt.Sprintf("it ends in %s, on %s: %s", days(left), c.Expires.Format(time.DateOnly), renew)
	}
	return "live", ""
}

// expiryLevel counts the warnings that are due at a time: 0 for none, one more for each of
// expiryWarnings that has passed, and one for the end itself.
func expiryLevel(c *directory.Credential, now time.Time) (level int) {
	if c.Expires.IsZero() {
		return 0
	}
	left := c.Expires.Sub(now)
	for _, d := range expiryWarnings {
		if left <= time.Duration(d)*24*time.Hour {
			level++
		}
	}
	if left <= 0 {
		level++
	}
	return level
}

func days(d time.Duration) string {
	switch n := int(d / (24 * time.Hour)); n {
	case 0:
		return "less than a day"
	case 1:
		return "1 day"
	default:
		return fmt.Sprintf("%d days", n)
	}
}

func (a *admin) listCredentials(ctx context.Context, _ directory.Actor, in CredentialFilter) (List[Credential], error) {
	if in.For != "" {
		if _, err := credentialName(in.For); err != nil {
			return List[Credential]{}, err
		}
	}
	return view(ctx, a.service, func(sn *directory.Snapshot) (out List[Credential], err error) {
		var only *directory.Tenant
		if in.Tenant != "" {
			if only, err = findTenant(sn, in.Tenant); err != nil {
				return out, err
			}
		}
		all, err := sn.Credentials()
		if err != nil {
			return out, err
		}
		all = slices.DeleteFunc(all, func(c *directory.Credential) bool {
			return only != nil && c.TenantID != only.ID || in.For != "" && c.Name != in.For
		})
		if only != nil && len(all) == 0 {
			_, err := findCredential(sn, only, cmp.Or(in.For, directory.GraphCredential)) // says what to do
			return out, err
		}
		return collect(all, func(c *directory.Credential) (Credential, error) {
			t, err := sn.Tenant(c.TenantID)
			if err != nil {
				return Credential{}, err
			}
			return a.viewCredential(t, c), nil
		})
	})
}

func (a *admin) removeCredential(ctx context.Context, by directory.Actor, in CredentialRef) (Credential, error) {
	name, err := credentialName(in.For)
	if err != nil {
		return Credential{}, err
	}
	t, err := a.tenant(ctx, in.Ref)
	if err != nil {
		return Credential{}, err
	}
	out, err := a.credentialOf(ctx, t, name)
	if err != nil {
		return Credential{}, err
	}
	return out, a.service.RemoveCredential(ctx, by, t.ID, name)
}

func (a *admin) testCredential(ctx context.Context, _ directory.Actor, in RefInput) (out CredentialReport, err error) {
	t, err := a.tenant(ctx, in.Ref)
	if err != nil {
		return out, err
	}
	if out.Credential, err = a.credentialOf(ctx, t, directory.GraphCredential); err != nil {
		return out, err
	}
	report, err := a.pull.Test(ctx, t.ID)
	if err != nil {
		return out, err
	}
	out.OK, out.Checks = report.OK(), []Check{}
	for _, c := range report.Checks {
		out.Checks = append(out.Checks, Check(c))
	}
	return out, nil
}

func (a *admin) rotateSecrets(ctx context.Context, by directory.Actor, in SecretsRotation) (SecretsResult, error) {
	return a.secrets.rotate(ctx, by, in.Forget)
}
