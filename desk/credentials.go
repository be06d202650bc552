package desk

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // what Entra's portal shows as a certificate's thumbprint
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
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

// Credential is what an application of a tenant proves itself with, without its secret.
type Credential struct {
	Name      string     `json:"name" enum:"graph,sign-in" doc:"What it is for: graph, the application that synchronizes; sign-in, the one that signs people in"`
	Kind      string     `json:"kind" enum:"secret,certificate,federated"`
	Hint      string     `json:"hint,omitempty" doc:"What tells it from another: the first characters of a secret, the thumbprint of a certificate"`
	TokenFile string     `json:"tokenFile,omitempty" doc:"Of a federated credential: where the server reads the token; told to operators alone"`
	State     string     `json:"state" enum:"live,expiring,expired"`
	Expires   *time.Time `json:"expires,omitempty" doc:"Absent where it is not known"`
	Created   time.Time  `json:"created"`
	CreatedBy string     `json:"createdBy,omitempty" doc:"Name of the person who set it, or what else did"`
}

// Unwarned reports whether nobody can be warned before the credential ends.
func (c *Credential) Unwarned() bool { return c.Expires == nil && c.Kind == string(pull.ClientSecret) }

// CredentialInput is a new credential: exactly one of a secret, a certificate and a token file.
type CredentialInput struct {
	ClientID    string `json:"clientId,omitempty" maxLength:"64" doc:"Application (client) id; absent: as it was"`
	Secret      string `json:"secret,omitempty" maxLength:"1024" doc:"Client secret: its Value, not its ID"`
	Certificate string `json:"certificate,omitempty" maxLength:"65536" doc:"PEM of the certificate, and of its RSA private key"`
	TokenFile   string `json:"tokenFile,omitempty" maxLength:"4096" doc:"Workload identity federation: absolute path on the server. Operators alone"`
	Expires     string `json:"expires,omitempty" maxLength:"64" doc:"Of a secret: a day such as 2027-06-30, or a moment (RFC 3339)"`
}

// SetCredential keeps a credential of a tenant in place of the one of that name (directory.GraphCredential,
// directory.SignInCredential), with the client id of its application where that is given. Errors: Forbidden; NotFound;
// Invalid with the field that is wrong; Unavailable.
func (d *Desk) SetCredential(ctx context.Context, by directory.Actor, tenant directory.ID, name string, in CredentialInput) (Credential, error) {
	t, err := view(ctx, d, func(sn *directory.Snapshot) (*directory.Tenant, error) { return d.setupOf(sn, by, tenant) })
	if err != nil {
		return Credential{}, err
	}
	if name != directory.GraphCredential && name != directory.SignInCredential {
		return Credential{}, fail(directory.NotFound, "", "credential not found")
	}
	c := directory.Credential{TenantID: tenant, Name: name, TokenFile: in.TokenFile}
	secret, err := readCredential(&c, in, d.Now())
	if err != nil {
		return Credential{}, err
	}
	switch {
	case in.ClientID == "" && *t.ClientID(name) == "":
		return Credential{}, fail(directory.Invalid, "clientId", "enter the Application (client) ID of the application, as Entra shows it")
	case t.DirectoryID == "":
		return Credential{}, fail(directory.Invalid, "directoryId", "the directory is not known yet: enter its Directory (tenant) ID first")
	}
	var kept *directory.Credential
	keep := func(sealed string) (err error) {
		c.Sealed = sealed
		if in.ClientID != "" {
			if _, err := d.Service.SetTenant(ctx, by, tenant, func(t *directory.Tenant) error {
				*t.ClientID(name) = in.ClientID
				return nil
			}); err != nil {
				return err
			}
		}
		kept, err = d.Service.SetCredential(ctx, by, c)
		return err
	}
	if secret == nil {
		err = keep("")
	} else {
		err = d.SealCredential(ctx, &c, secret, keep)
	}
	if err != nil {
		return Credential{}, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (Credential, error) { return d.credential(sn, by, kept) })
}

// RemoveCredential removes a credential of a tenant. Errors: Forbidden; NotFound.
func (d *Desk) RemoveCredential(ctx context.Context, by directory.Actor, tenant directory.ID, name string) error {
	return d.Service.RemoveCredential(ctx, by, tenant, name)
}

// Credentials lists the credentials of a tenant: at most one for each of its applications.
func (d *Desk) Credentials(ctx context.Context, by directory.Actor, tenant directory.ID) (List[Credential], error) {
	return view(ctx, d, func(sn *directory.Snapshot) (List[Credential], error) {
		if _, err := sn.SeeTenant(by, tenant); err != nil {
			return List[Credential]{}, err
		}
		all, err := d.credentials(sn, by, tenant)
		return List[Credential]{Items: all, Total: int64(len(all))}, err
	})
}

func (d *Desk) credentials(sn *directory.Snapshot, by directory.Actor, tenant directory.ID) ([]Credential, error) {
	all := []Credential{}
	for _, name := range []string{directory.GraphCredential, directory.SignInCredential} {
		c, err := sn.Credential(tenant, name)
		if directory.KindOf(err) == directory.NotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		shown, err := d.credential(sn, by, c)
		if err != nil {
			return nil, err
		}
		all = append(all, shown)
	}
	return all, nil
}

func (d *Desk) credential(sn *directory.Snapshot, by directory.Actor, c *directory.Credential) (Credential, error) {
	who, err := creatorOf(sn, by, c.CreatedBy)
	out := Credential{Name: c.Name, Kind: c.Kind, Hint: c.Hint, State: "live", Expires: orNil(c.Expires), Created: c.Created, CreatedBy: who}
	if by.Role == directory.RoleOperator {
		out.TokenFile = c.TokenFile
	}
	switch now := d.Now(); {
	case !c.Expires.IsZero() && !now.Before(c.Expires):
		out.State = "expired"
	case ExpiryLevel(c.Expires, now) > 0:
		out.State = "expiring"
	}
	return out, err
}

// readCredential checks what a credential is made of and says in c what may be shown of it. It
// returns what has to be sealed; nil when there is no secret.
func readCredential(c *directory.Credential, in CredentialInput, now time.Time) ([]byte, error) {
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
		leaf, err := readCertificate([]byte(in.Certificate), now)
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
	expires, err := parseExpires(in.Expires, now)
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
		return fail(directory.Invalid, "secret", "the secret is longer than %d characters: copy the Value that Entra shows", maxSecret)
	case bad >= 0:
		return fail(directory.Invalid, "secret", "the secret has a space, a line break or a character that no secret has: copy the Value that Entra shows")
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
