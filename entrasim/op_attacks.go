package entrasim

import (
	"encoding/base64"
	"encoding/hex"
	"maps"
	"strings"
	"time"
)

// TokenAttack is an ID token that a relying party must refuse.
type TokenAttack struct {
	Name   string
	Tamper func(*IDToken) // for [App.Tamper]
}

const (
	strangeID  = "4d3f1b1e-7c55-4c0f-9a1e-2f6b8d0c9a11" // of no tenant, application or person here
	bigToken   = 5 << 20                                // bytes
	farTooLate = 24 * time.Hour
)

// TokenAttacks are ways to forge an ID token: each is a right token with one thing wrong. Those whose header names
// another key point to a key set that is really served, by the same server (OpForeignKeys in [GraphStats] counts who
// follows it) and really signed with it. The error is that of making keys.
func (g *Graph) TokenAttacks() ([]TokenAttack, error) {
	p := g.provider
	foreign, err := p.keys.stranger()
	if err != nil {
		return nil, err
	}
	out := append(claimAttacks(), p.issuerAttacks()...)
	out = append(out, keyAttacks(foreign, g.origin+foreignKeysPath)...)
	return append(out, formAttacks()...), nil
}

func setClaim(claim string, value any) func(*IDToken) {
	return func(t *IDToken) { t.Claims[claim] = value }
}

func without(claim string) func(*IDToken) {
	return func(t *IDToken) { delete(t.Claims, claim) }
}

func shift(claim string, d time.Duration) func(*IDToken) {
	return func(t *IDToken) { t.move(claim, d) }
}

// audiences adds a second audience; the authorized party is azp, when there is one.
func audiences(azp string) func(*IDToken) {
	return func(t *IDToken) {
		t.Claims["aud"] = []any{t.Claims["aud"], strangeID}
		if azp != "" {
			t.Claims["azp"] = azp
		}
	}
}

func claimAttacks() []TokenAttack {
	return []TokenAttack{
		{"nonce of another sign-in", setClaim("nonce", "another")},
		{"empty nonce", setClaim("nonce", "")},
		{"no nonce", without("nonce")},
		{"aud of another application", setClaim("aud", strangeID)},
		{"no aud", without("aud")},
		{"empty list of aud", setClaim("aud", []any{})},
		{"two aud", audiences("")},
		{"two aud, azp of another", audiences(strangeID)},
		{"azp of another", setClaim("azp", strangeID)},
		{"expired", shift("exp", -2*time.Hour)},
		{"no exp", without("exp")},
		{"exp is no number", setClaim("exp", "tomorrow")},
		{"no iat", without("iat")},
		{"iat in the future", shift("iat", farTooLate)},
		{"nbf in the future", shift("nbf", 30*time.Minute)},
		{"no sub", without("sub")},
		{"no oid", without("oid")},
		{"oid is no GUID", setClaim("oid", "../"+strangeID)},
		{"no tid", without("tid")},
		{"no ver", without("ver")},
	}
}

func (p *provider) issuerAttacks() []TokenAttack {
	right := p.issuer()
	both := func(tid string) func(*IDToken) {
		return func(t *IDToken) {
			t.Claims["iss"], t.Claims["tid"] = p.g.origin+"/"+tid+"/v2.0", tid
		}
	}
	return []TokenAttack{
		{"v1.0 token", func(t *IDToken) {
			t.Claims["iss"], t.Claims["ver"] = guestIssuerBase+p.g.tenant.ID()+"/", "1.0"
			t.Claims["unique_name"] = t.Claims["preferred_username"]
			t.Header["x5t"] = t.Header["kid"]
		}},
		{"foreign tenant", both(strangeID)},
		{"iss of another tenant", setClaim("iss", p.g.origin+"/"+strangeID+"/v2.0")},
		{"tid of another tenant", setClaim("tid", strangeID)},
		{"literal template", both(templateTenant)},
		{"iss of common", setClaim("iss", p.g.origin+"/common/v2.0")},
		{"path in tid", both(p.g.tenant.ID() + "/../" + strangeID)},
		{"iss with trailing slash", setClaim("iss", right+"/")},
		{"iss in capitals", setClaim("iss", strings.ToUpper(right))},
		{"iss without TLS", setClaim("iss", strings.Replace(right, "https:", "http:", 1))},
		{"iss of another host", setClaim("iss", strings.Replace(right, p.g.origin, "https://login.evil.example", 1))},
		{"no iss", without("iss")},
	}
}

// keyAttacks are about who has signed, and how.
func keyAttacks(foreign *signingKey, address string) []TokenAttack {
	header := func(more map[string]any) func(*IDToken) {
		return func(t *IDToken) { maps.Copy(t.Header, more) }
	}
	by := func(key *signingKey, more map[string]any) func(*IDToken) {
		return func(t *IDToken) {
			t.Key = key.key
			maps.Copy(t.Header, more)
		}
	}
	none := func(alg string) func(*IDToken) {
		return func(t *IDToken) { t.Key, t.Header["alg"] = nil, alg }
	}
	return []TokenAttack{
		{"alg none", none("none")},
		{"alg None", none("nOnE")},
		{"alg none, signed", header(map[string]any{"alg": "none"})},
		{"no alg", func(t *IDToken) { delete(t.Header, "alg") }},
		{"no signature", func(t *IDToken) { t.Key = nil }},
		{"HS256 with the public key", func(t *IDToken) { t.Secret, t.Header["alg"] = publicPEM(t.Key), "HS256" }},
		{"HS256 with an empty secret", func(t *IDToken) { t.Secret, t.Header["alg"] = []byte{}, "HS256" }},
		{"PS256", header(map[string]any{"alg": "PS256"})},
		{"foreign key", by(foreign, nil)},
		{"foreign key, its own kid", by(foreign, map[string]any{"kid": foreign.id})},
		{"foreign key, no kid", func(t *IDToken) { t.Key = foreign.key; delete(t.Header, "kid") }},
		{"foreign key by jku", by(foreign, map[string]any{"kid": foreign.id, "jku": address})},
		{"foreign key by x5u", by(foreign, map[string]any{"kid": foreign.id, "x5u": address})},
		{"foreign key in jwk", by(foreign, map[string]any{"kid": foreign.id, "jwk": foreign.jwk()})},
		{"foreign key in x5c", by(foreign, map[string]any{"kid": foreign.id, "x5c": foreign.jwk()["x5c"]})},
		{"path in kid", by(foreign, map[string]any{"kid": "../../../../dev/null"})},
		{"SQL in kid", by(foreign, map[string]any{"kid": "' UNION SELECT 'key' --"})},
		{"unknown crit", header(map[string]any{"crit": []string{"exp2"}, "exp2": true})},
	}
}

// formAttacks are no signed tokens at all, or far too large.
func formAttacks() []TokenAttack {
	text := func(s string) func(*IDToken) { return func(t *IDToken) { t.Text = s } }
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return []TokenAttack{
		{"5 MB", func(t *IDToken) { t.Claims["filler"] = strings.Repeat("A", bigToken) }},
		{"5 MB of dots", text(strings.Repeat(".", bigToken))},
		{"looks encrypted", text(strings.Join([]string{encode(`{"alg":"RSA-OAEP","enc":"A256GCM","zip":"DEF"}`), encode(strings.Repeat("k", 256)),
			encode("initialvecto"), encode(strings.Repeat("z", 1<<16)), encode("authenticationtg")}, "."))},
		{"zipped", func(t *IDToken) { t.Header["zip"] = "DEF"; t.Key = nil }},
		{"no token", text("not-a-token")},
		{"an opaque one", text(hex.EncodeToString([]byte(strangeID)))},
		{"two parts", text(encode(`{"alg":"none"}`) + "." + encode(`{}`))},
	}
}
