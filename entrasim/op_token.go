package entrasim

import (
	"crypto"
	"crypto/hmac"
	cryptorand "crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// redeem exchanges an authorization code (RFC 6749, section 4.1.3) for an application that has proved itself.
func (p *provider) redeem(c *call, form url.Values, app *App) *response {
	code, bad := p.spend(form, app)
	if bad != nil {
		p.g.usage.token(false)
		return p.g.tokens.refuse(c, bad)
	}
	access, id, life, err := p.issue(code)
	if err != nil {
		return p.g.tokens.refuse(c, badToken(http.StatusInternalServerError, "server_error", 50000, "%v", err))
	}
	p.mu.Lock()
	code.token = access
	again := code.again
	p.mu.Unlock()
	if again { // the code came a second time meanwhile
		p.g.tokens.end(access)
	}
	p.g.usage.token(true)
	return c.json(http.StatusOK, map[string]any{
		"token_type": "Bearer", "scope": strings.Join(code.scope, " "), "expires_in": life, "ext_expires_in": life,
		"access_token": access, "id_token": id,
	})
}

// spend checks a code and marks it as used. A code that fails a check can still be used by who knows better.
func (p *provider) spend(form url.Values, app *App) (*authCode, *aadError) {
	bad := func(number int, format string, args ...any) (*authCode, *aadError) {
		return nil, badToken(http.StatusBadRequest, "invalid_grant", number, format, args...)
	}
	now := p.g.o.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	code := p.codes[form.Get("code")]
	switch {
	case code == nil || code.app != app:
		return bad(70000, "Provided grant is invalid or malformed.")
	case code.used:
		code.again = true
		p.g.tokens.end(code.token) // RFC 6749, section 4.1.2
		return bad(54005, "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.")
	case now.Sub(code.issued) >= codeLife:
		return bad(70008, "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive "+
			"authorization request for this user and resource.")
	case code.redirect != form.Get("redirect_uri"):
		return nil, badToken(http.StatusUnauthorized, "invalid_client", 500112, "The reply address '%s' does not match the reply address '%s' "+
			"provided when requesting Authorization code.", form.Get("redirect_uri"), code.redirect)
	}
	verifier := form.Get("code_verifier")
	sum := sha256.Sum256([]byte(verifier))
	switch {
	case code.challenge == "" && verifier != "":
		return bad(501481, "The Code_Verifier does not match the code_challenge supplied in the authorization request.")
	case code.challenge == "":
	case verifier == "":
		return bad(50148, "The code_verifier does not match the code_challenge supplied in the authorization request for PKCE.")
	case subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(code.challenge)) == 0:
		return bad(501481, "The Code_Verifier does not match the code_challenge supplied in the authorization request.")
	}
	u := p.g.tenant.find(code.account.user)
	switch {
	case u == nil:
		return bad(50034, "The user account does not exist in the %s directory.", p.g.tenant.Domain())
	case !u.AccountEnabled:
		return bad(50057, "The user account is disabled.")
	}
	code.used = true
	return code, nil
}

// issue makes the tokens for a code. The access token is for Graph, and allows nothing there: no permission of a person
// is registered.
func (p *provider) issue(code *authCode) (access, id string, seconds int, err error) {
	u := p.g.tenant.find(code.account.user)
	if u == nil {
		return "", "", 0, fmt.Errorf("user %s: %w", code.account.user, ErrNotFound)
	}
	if access, seconds, err = p.g.tokens.issueFor(code.app, nil, map[string]any{
		"oid": u.ID, "sub": p.subject(code.app, u.ID), "scp": strings.Join(code.scope, " "), "idtyp": "user",
	}); err != nil {
		return "", "", 0, err
	}
	key, err := p.keys.signer()
	if err != nil {
		return "", "", 0, err
	}
	token := &IDToken{Header: map[string]any{"typ": "JWT", "alg": "RS256", "kid": key.id}, Claims: p.claims(code, u), Key: key.key}
	if f := code.app.tamperer(); f != nil {
		f(token)
	}
	id, err = token.encode()
	return access, id, seconds, err
}

// claims are those of a v2.0 ID token.
// Source: Microsoft, "ID token claims reference" and "Optional claims reference".
func (p *provider) claims(code *authCode, u *User) map[string]any {
	now, s := p.g.o.Now(), code.app.signInSettings()
	issued := now.Add(-issuedBefore).Unix()
	claims := map[string]any{
		"ver": "2.0", "iss": p.issuer(), "aud": code.app.id, "tid": p.g.tenant.ID(), "sub": p.subject(code.app, u.ID),
		"iat": issued, "nbf": issued, "exp": now.Add(idTokenLife).Unix(),
		"aio": p.draw(48), "rh": "1." + p.draw(36) + ".", "uti": p.draw(16),
	}
	if code.nonce != "" {
		claims["nonce"] = code.nonce
	}
	if slices.Contains(code.scope, "profile") {
		claims["oid"], claims["name"], claims["preferred_username"] = u.ID, u.DisplayName, u.UserPrincipalName
	}
	guest := u.UserType == Guest
	if guest {
		claims["preferred_username"] = u.Mail
		claims["idp"] = guestIssuerBase + guid([16]byte([]byte(opaque("home", u.Mail))[:16])) + "/"
	}
	if u.Mail != "" && (guest || slices.Contains(code.scope, "email") || slices.Contains(s.OptionalClaims, ClaimEmail)) {
		claims["email"] = u.Mail
	}
	if roles, _ := s.assignment(p.g.tenant, u.ID); len(roles) > 0 {
		claims["roles"] = roles
	}
	p.optional(claims, code, u, s.OptionalClaims)
	return claims
}

// optional adds what the registration asks for.
func (p *provider) optional(claims map[string]any, code *authCode, u *User, names []string) {
	for _, name := range names {
		switch name {
		case ClaimSID:
			claims[name] = code.account.sid
		case ClaimLoginHint:
			claims[name] = p.hint(u.ID)
		case ClaimAuthTime:
			claims[name] = code.account.at.Unix()
		case ClaimAcct:
			claims[name] = 0
			if u.UserType == Guest {
				claims[name] = 1
			}
		case ClaimGroups:
			p.groupsClaim(claims, u)
		}
	}
}

// groupsClaim adds the groups, or, when they are too many, where to ask for them (OpenID Connect Core 1.0, section 5.6.2).
func (p *provider) groupsClaim(claims map[string]any, u *User) {
	groups := p.g.tenant.groupsOf(u.ID)
	switch {
	case len(groups) > maxGroupsClaim:
		claims["_claim_names"] = map[string]any{"groups": "src1"}
		claims["_claim_sources"] = map[string]any{"src1": map[string]any{"endpoint": p.g.URL() + "/users/" + u.ID + "/getMemberObjects"}}
	case len(groups) > 0:
		claims["groups"] = groups
	}
}

// IDToken is an ID token that is about to be signed (RFC 7519). What a function given to [App.Tamper] leaves alone
// makes a right one.
type IDToken struct {
	Header map[string]any // typ, alg and kid
	Claims map[string]any // numbers of time are seconds since 1970, as int64

	// Key signs with RSASSA-PKCS1-v1_5, or with PSS when the header's alg begins with PS, always over SHA-256. nil
	// leaves the signature empty.
	Key *rsa.PrivateKey
	// Secret, when it is not nil, signs with HMAC over SHA-256 instead.
	Secret []byte
	// Text, when it is not empty, is sent instead of all this.
	Text string
}

func (t *IDToken) encode() (string, error) {
	if t.Text != "" {
		return t.Text, nil
	}
	header, err := json.Marshal(t.Header)
	if err != nil {
		return "", fmt.Errorf("simulated provider: %w", err)
	}
	claims, err := json.Marshal(t.Claims)
	if err != nil {
		return "", fmt.Errorf("simulated provider: %w", err)
	}
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	signature, err := t.sign(input)
	if err != nil {
		return "", fmt.Errorf("simulated provider: %w", err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func (t *IDToken) sign(input string) ([]byte, error) {
	digest := sha256.Sum256([]byte(input))
	alg, _ := t.Header["alg"].(string)
	switch {
	case t.Secret != nil:
		mac := hmac.New(sha256.New, t.Secret)
		mac.Write([]byte(input))
		return mac.Sum(nil), nil
	case t.Key == nil:
		return nil, nil
	case strings.HasPrefix(alg, "PS"):
		return rsa.SignPSS(cryptorand.Reader, t.Key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	}
	return rsa.SignPKCS1v15(nil, t.Key, crypto.SHA256, digest[:])
}

// move changes a claim that is a time.
func (t *IDToken) move(claim string, d time.Duration) {
	if at, ok := t.Claims[claim].(int64); ok {
		t.Claims[claim] = at + int64(d/time.Second)
	}
}
