package auth

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bizzstream/bizzscim/directory"
)

// Bounds of an ID token.
const (
	maxIDToken  = 64 << 10        // bytes, before it is parsed
	tokenLeeway = 5 * time.Minute // for nbf and iat, as go-oidc has it for nbf; exp has none
	maxSubject  = 255             // bytes (OpenID Connect Core 1.0 section 2)
	maxSID      = 255             // bytes
	maxHint     = 1024            // bytes
)

// idTokenAlgorithms sign ID tokens: Microsoft's has RS256 alone. Never one with a shared secret.
var idTokenAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512}

// person is whom an ID token proves.
type person struct {
	object     directory.ID
	subject    string
	sid        string // of the directory's session; empty: it does not tell
	logoutHint string
}

// errWrongTenant: the token is of another directory than that which was asked.
var errWrongTenant = errors.New("the ID token is of another directory")

// identify verifies an ID token: OpenID Connect Core 1.0 section 3.1.3.7 and Microsoft, "ID token claims
// reference". Errors: as issuer.verify; errWrongTenant.
func (i *issuer) identify(ctx context.Context, raw string, a *attempt, directoryID string) (*person, error) {
	if raw == "" || len(raw) > maxIDToken {
		return nil, fmt.Errorf("an ID token of %d bytes", len(raw))
	}
	token, err := i.verify(ctx, raw, a.Client)
	if err != nil {
		return nil, err
	}
	var c claims
	if err := token.Claims(&c); err != nil {
		return nil, err
	}
	if err := c.check(i, a, directoryID); err != nil {
		return nil, err
	}
	object, ok := directory.ParseID(strings.ToLower(c.text("oid")))
	if !ok || object.IsZero() {
		return nil, errors.New("oid is no object id")
	}
	subject := printable(c.text("sub"), maxSubject)
	if subject == "" {
		return nil, errors.New("sub is no subject")
	}
	return &person{object: object, subject: subject, sid: printable(c.text("sid"), maxSID), logoutHint: printable(c.text("login_hint"), maxHint)}, nil
}

// claims are those of a token by their exact names: encoding/json alone would take "OID" for "oid".
type claims map[string]json.RawMessage

// text returns a claim that is a string; empty for any other.
func (c claims) text(name string) (s string) {
	if json.Unmarshal(c[name], &s) != nil {
		return ""
	}
	return s
}

// seconds returns a claim that is a time (NumericDate of RFC 7519 section 2).
func (c claims) seconds(name string) (n float64, ok bool) {
	var v *float64
	if json.Unmarshal(c[name], &v) != nil || v == nil {
		return 0, false
	}
	return *v, true
}

// audience returns aud, which is one string or a list (RFC 7519 section 4.1.3).
func (c claims) audience() (all []string) {
	if one := c.text("aud"); one != "" {
		return []string{one}
	}
	if json.Unmarshal(c["aud"], &all) != nil {
		return nil
	}
	return all
}

// check checks what go-oidc does not, or only where it is there.
func (c claims) check(i *issuer, a *attempt, directoryID string) error {
	latest := float64(i.now().Add(tokenLeeway).Unix())
	for _, name := range []string{"nbf", "iat"} { // without exp go-oidc takes a token for one that has expired
		at, ok := c.seconds(name)
		switch {
		case !ok:
			return fmt.Errorf("%s is missing", name)
		case at > latest:
			return fmt.Errorf("%s is in the future", name)
		}
	}
	aud := c.audience()
	_, authorized := c["azp"]
	switch {
	case c.text("iss") != i.url:
		return errors.New("iss is another issuer")
	case !slices.Contains(aud, a.Client):
		return errors.New("aud is another application")
	case (len(aud) > 1 || authorized) && c.text("azp") != a.Client:
		return errors.New("the token was made for another application as well")
	case subtle.ConstantTimeCompare([]byte(c.text("nonce")), []byte(a.Nonce)) != 1:
		return errors.New("nonce is not that of this sign-in")
	case c.text("ver") != "2.0":
		return errors.New("ver is not 2.0")
	case c.text("tid") == "":
		return errors.New("tid is missing")
	case !strings.EqualFold(c.text("tid"), directoryID):
		return errWrongTenant
	}
	return nil
}
