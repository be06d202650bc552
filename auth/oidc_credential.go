package auth

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"github.com/bizzstream/bizzscim/directory"
)

// assertionType is that of RFC 7523 section 2.2.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertionLife is how long a client assertion of ours is good.
const assertionLife = 5 * time.Minute

// prove adds to a code exchange what proves the application: its secret, or an assertion (RFC 7523) that
// its certificate has signed or a workload's own issuer has made.
func (s *SignIn) prove(c *oauth2.Config, cred *directory.Credential) ([]oauth2.AuthCodeOption, error) {
	var assertion string
	var err error
	switch cred.Kind {
	case "secret":
		secret, err := s.config.Open(cred)
		if err != nil {
			return nil, err
		}
		c.ClientSecret = string(bytes.TrimSpace(secret))
		if c.ClientSecret == "" {
			return nil, errors.New("the client secret is empty")
		}
		return nil, nil
	case "certificate":
		var text []byte
		if text, err = s.config.Open(cred); err == nil {
			assertion, err = s.assert(text, c.ClientID, c.Endpoint.TokenURL)
		}
	case "federated":
		assertion, err = readAssertion(cred.TokenFile)
	default:
		err = fmt.Errorf("%.50q is no kind of credential", cred.Kind)
	}
	if err != nil {
		return nil, err
	}
	return []oauth2.AuthCodeOption{oauth2.SetAuthURLParam("client_assertion_type", assertionType), oauth2.SetAuthURLParam("client_assertion", assertion)}, nil
}

// assert makes a client assertion. Source: Microsoft, "Microsoft identity platform application
// authentication certificate credentials".
func (s *SignIn) assert(text []byte, client, endpoint string) (string, error) {
	certificate, key, err := readCertificate(text)
	if err != nil {
		return "", err
	}
	thumbprint := sha256.Sum256(certificate.Raw)
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("x5t#S256", base64.RawURLEncoding.EncodeToString(thumbprint[:]))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.PS256, Key: key}, options)
	if err != nil {
		return "", err
	}
	now := s.config.Now()
	claims, err := json.Marshal(map[string]any{"iss": client, "sub": client, "aud": endpoint, "jti": randomText(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(assertionLife).Unix()})
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// readCertificate reads an RSA key in PEM and the certificate of it, which may stand in a chain.
func readCertificate(text []byte) (*x509.Certificate, *rsa.PrivateKey, error) {
	var chain []*x509.Certificate
	var key *rsa.PrivateKey
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var err error
		switch block.Type {
		case "CERTIFICATE":
			var c *x509.Certificate
			c, err = x509.ParseCertificate(block.Bytes)
			chain = append(chain, c)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "PRIVATE KEY":
			var any any
			any, err = x509.ParsePKCS8PrivateKey(block.Bytes)
			key, _ = any.(*rsa.PrivateKey)
		}
		if err != nil {
			return nil, nil, errors.New("the certificate or its key cannot be read") // the error can quote the key
		}
	}
	if key == nil {
		return nil, nil, errors.New("the certificate has no RSA key beside it")
	}
	i := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return key.PublicKey.Equal(c.PublicKey) })
	if i < 0 {
		return nil, nil, errors.New("the key is not that of the certificate")
	}
	return chain[i], key, nil
}

// readAssertion reads the token of a workload: each time, because it is renewed.
func readAssertion(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(io.LimitReader(f, maxAssertion+1))
	if err != nil {
		return "", err
	}
	if b = bytes.TrimSpace(b); len(b) > maxAssertion || bytes.Count(b, []byte(".")) != 2 {
		return "", fmt.Errorf("the file %s does not hold one token (a JSON Web Token)", name)
	}
	return string(b), nil
}
