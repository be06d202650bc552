package entrasim

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxAssertionSkew is how far clocks may differ. Entra allows five minutes.
const maxAssertionSkew = 5 * time.Minute

// authenticate checks the one credential of a token request.
func (a *App) authenticate(form url.Values, audiences []string, now time.Time) *aadError {
	value, assertion := form.Get("client_secret"), form.Get("client_assertion")
	switch {
	case assertion != "":
		return a.checkAssertion(form.Get("client_assertion_type"), assertion, audiences, now)
	case value != "":
		return a.checkSecret(value, now)
	}
	return badToken(http.StatusUnauthorized, "invalid_client", 7000218,
		"The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
}

func (a *App) checkSecret(value string, now time.Time) *aadError {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.secrets, func(s secret) bool { return s.value == value })
	switch {
	case i < 0:
		return badToken(http.StatusUnauthorized, "invalid_client", 7000215, "Invalid client secret provided. Ensure the secret being "+
			"sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'.", a.id)
	case !now.Before(a.secrets[i].expires):
		return badToken(http.StatusUnauthorized, "invalid_client", 7000222, "The provided client secret keys for app '%s' are expired. "+
			"Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate "+
			"credentials for added security: https://aka.ms/certCreds.", a.id)
	}
	return nil
}

// jwt is a signed assertion, before anything of it is believed.
type jwt struct {
	header struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
		X5T       string `json:"x5t"`
		X5TS256   string `json:"x5t#S256"`
	}
	claims struct {
		Issuer    string   `json:"iss"`
		Subject   string   `json:"sub"`
		Audience  audience `json:"aud"`
		ID        string   `json:"jti"`
		Expires   *float64 `json:"exp"`
		NotBefore *float64 `json:"nbf"`
	}
	signed    string
	signature []byte
}

// audience is one string or several (RFC 7519, section 4.1.3).
type audience []string

// UnmarshalJSON implements [json.Unmarshaler].
func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

func parseJWT(s string) (*jwt, error) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return nil, errors.New("not three parts")
	}
	raw := make([][]byte, 3)
	for i, p := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.DecodeString(p); err != nil {
			return nil, err
		}
	}
	t := &jwt{signed: parts[0] + "." + parts[1], signature: raw[2]}
	if err := json.Unmarshal(raw[0], &t.header); err != nil {
		return nil, err
	}
	return t, json.Unmarshal(raw[1], &t.claims)
}

// verify checks the signature. Only RSA is allowed, as in Entra.
func (t *jwt) verify(key *rsa.PublicKey) bool {
	digest := sha256.Sum256([]byte(t.signed))
	switch t.header.Algorithm {
	case "RS256":
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], t.signature) == nil
	case "PS256":
		return rsa.VerifyPSS(key, crypto.SHA256, digest[:], t.signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	}
	return false
}

// timely checks exp, which must be there, and nbf.
func (t *jwt) timely(now time.Time) bool {
	seconds := float64(now.UnixNano()) / 1e9
	skew := maxAssertionSkew.Seconds()
	if t.claims.Expires == nil || seconds >= *t.claims.Expires+skew {
		return false
	}
	return t.claims.NotBefore == nil || seconds >= *t.claims.NotBefore-skew
}

func (t *jwt) expiry() time.Time {
	return time.Unix(int64(min(*t.claims.Expires, math.MaxInt32*2)), 0)
}

func (a *App) checkAssertion(kind, assertion string, audiences []string, now time.Time) *aadError {
	if kind != assertionType {
		return badToken(http.StatusBadRequest, "invalid_request", 900144,
			"The request body must contain the following parameter: 'client_assertion_type' with the value '%s'.", assertionType)
	}
	t, err := parseJWT(assertion)
	if err != nil {
		return badToken(http.StatusUnauthorized, "invalid_client", 50027, "JWT token is invalid or malformed.")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.claims.Issuer == a.id {
		return a.checkSigned(t, audiences, now)
	}
	return a.checkFederated(t, now)
}

// checkSigned checks an assertion of the application itself (RFC 7523, section 3). The caller holds mu.
func (a *App) checkSigned(t *jwt, audiences []string, now time.Time) *aadError {
	i := slices.IndexFunc(a.certificates, func(c certificate) bool {
		return thumbprint(t.header.X5TS256) == c.sha256 || thumbprint(t.header.X5T) == c.sha1
	})
	unusable := func(reason string) *aadError {
		return badToken(http.StatusUnauthorized, "invalid_client", 700027, "The certificate with identifier used to sign the client "+
			"assertion is not registered on application. [Reason - %s, Thumbprint of key used by client: '%x'].",
			reason, thumbprint(t.header.X5TS256)+thumbprint(t.header.X5T))
	}
	switch {
	case i < 0:
		return unusable("The key was not found")
	case now.Before(a.certificates[i].notBefore) || now.After(a.certificates[i].after):
		return unusable("The key used is expired")
	case !t.verify(a.certificates[i].key):
		return unusable("The key was found, but use of the key to verify the signature failed")
	case t.claims.Subject != a.id:
		return badToken(http.StatusUnauthorized, "invalid_client", 700021, "Client assertion application identifier doesn't match 'client_id' parameter.")
	case !slices.ContainsFunc(t.claims.Audience, func(aud string) bool { return slices.Contains(audiences, aud) }):
		return badToken(http.StatusUnauthorized, "invalid_client", 700023, "Client assertion audience claim does not match Realm issuer.")
	case !t.timely(now):
		return badToken(http.StatusUnauthorized, "invalid_client", 700024, "Client assertion is not within its valid time range. "+
			"Current time: %s. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials.", now.UTC().Format(time.RFC3339))
	case t.claims.ID == "":
		return badToken(http.StatusUnauthorized, "invalid_client", 50027, "JWT token is invalid or malformed: jti is missing.")
	}
	// Entra documents no number for a replay; RFC 7523, section 3, allows to refuse it.
	maps.DeleteFunc(a.assertions, func(_ string, expires time.Time) bool { return now.After(expires.Add(maxAssertionSkew)) })
	if _, used := a.assertions[t.claims.ID]; used {
		return badToken(http.StatusUnauthorized, "invalid_client", 50027, "JWT token is invalid or malformed: jti was used before.")
	}
	a.assertions[t.claims.ID] = t.expiry()
	return nil
}

// thumbprint decodes an x5t or x5t#S256 header, which libraries write in base64 of every kind.
func thumbprint(s string) string {
	s = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(s, "="))
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return "" // which no certificate has
	}
	return string(b)
}

// checkFederated checks the assertion of another issuer. It may be used again until it expires: a workload gets a new
// one only now and then. The caller holds mu.
func (a *App) checkFederated(t *jwt, now time.Time) *aadError {
	none := func(number int, what, value string) *aadError {
		return badToken(http.StatusUnauthorized, "invalid_client", number, "No matching federated identity record found for "+
			"presented assertion %s '%s'. Check your federated identity credential Subject, Audience and Issuer against the "+
			"presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation", what, value)
	}
	match := slices.Clone(a.federated)
	if match = slices.DeleteFunc(match, func(f FederatedCredential) bool { return f.Issuer != t.claims.Issuer }); len(match) == 0 {
		return none(700211, "issuer", t.claims.Issuer)
	}
	if match = slices.DeleteFunc(match, func(f FederatedCredential) bool { return !slices.Contains(t.claims.Audience, f.Audience) }); len(match) == 0 {
		return none(700212, "audience", strings.Join(t.claims.Audience, " "))
	}
	if match = slices.DeleteFunc(match, func(f FederatedCredential) bool { return f.Subject != t.claims.Subject }); len(match) == 0 {
		return none(700213, "subject", t.claims.Subject)
	}
	for _, f := range match {
		for id, key := range f.Keys {
			if (t.header.KeyID == "" || t.header.KeyID == id) && t.verify(key) {
				if !t.timely(now) {
					return badToken(http.StatusUnauthorized, "invalid_client", 700024, "Client assertion is not within its valid time range.")
				}
				return nil
			}
		}
	}
	return badToken(http.StatusUnauthorized, "invalid_client", 50013, "Assertion failed signature validation. [Reason - The key was not found or could not verify the signature.]")
}
