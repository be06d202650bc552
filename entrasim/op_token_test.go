package entrasim

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestCodeErrors(t *testing.T) {
	s := newSignInSite(t)
	other := s.graph.App("")
	otherSecret := other.NewSecret(s.clock.Now().Add(time.Hour))
	ended := s.web.NewSecret(s.clock.Now())
	code := s.signs(s.browser(), s.anna.ID)
	for _, test := range []struct {
		name   string
		change []string
		status int
		code   string
		number int
	}{
		{"no code", []string{"code", ""}, 400, "invalid_request", 900144},
		{"no redirect URI", []string{"redirect_uri", ""}, 400, "invalid_request", 900144},
		{"an invented code", []string{"code", code + "x"}, 400, "invalid_grant", 70000},
		{"of another application", []string{"client_id", other.ClientID(), "client_secret", otherSecret}, 400, "invalid_grant", 70000},
		{"another redirect URI", []string{"redirect_uri", "https://bizz.example/"}, 401, "invalid_client", 500112},
		{"no verifier", []string{"code_verifier", ""}, 400, "invalid_grant", 50148},
		{"another verifier", []string{"code_verifier", verifier + "x"}, 400, "invalid_grant", 501481},
		{"the challenge as verifier", []string{"code_verifier", mustQuery(s.address()).Get("code_challenge")}, 400, "invalid_grant", 501481},
		{"wrong secret", []string{"client_secret", "x"}, 401, "invalid_client", 7000215},
		{"expired secret", []string{"client_secret", ended}, 401, "invalid_client", 7000222},
		{"no secret", []string{"client_secret", ""}, 401, "invalid_client", 7000218},
		{"unknown application", []string{"client_id", strangeID}, 400, "unauthorized_client", 700016},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.T = t
			s.aadsts(s.redeem(code, test.change...), test.status, test.code, test.number)
		})
	}
	s.T = t
	s.equal("none of these has spent it", s.redeem(code).status, 200)
	refused := s.graph.Stats().TokensRefused
	s.equal("refusals counted", refused, 12)
}

func TestCodeIsUsedOnce(t *testing.T) {
	s := newSignInSite(t)
	code := s.signs(s.browser(), s.anna.ID)
	first := s.redeem(code)
	token, _ := first.json["access_token"].(string)
	s.refused("a person's token allows nothing at Graph", s.get("/users", "Authorization", "Bearer "+token), 403, "Authorization_RequestDenied")
	s.aadsts(s.redeem(code), 400, "invalid_grant", 54005)
	s.refused("the first token after the second use", s.get("/users", "Authorization", "Bearer "+token), 401, "InvalidAuthenticationToken")
	s.equal("tokens of others", s.get("/users").status, 200)

	late := s.signs(s.browser(), s.anna.ID)
	barely := s.signs(s.browser(), s.anna.ID)
	s.clock.advance(codeLife - time.Nanosecond)
	s.equal("in time", s.redeem(barely).status, 200)
	s.clock.advance(time.Nanosecond)
	if a := s.redeem(late); a.json["error"] != "invalid_grant" || !strings.HasPrefix(fmt.Sprint(a.json["error_description"]), "AADSTS70008: ") {
		t.Errorf("too late: %d %s", a.status, a.body)
	}
	s.clock.advance(codeMemory)
	s.signs(s.browser(), s.anna.ID)
	s.graph.provider.mu.Lock()
	s.equal("codes that are remembered", len(s.graph.provider.codes), 1)
	s.graph.provider.mu.Unlock()
}

func TestCodeIsUsedOnceByMany(t *testing.T) {
	s := newSignInSite(t)
	code := s.signs(s.browser(), s.anna.ID)
	answers := make([]got, 8)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = s.redeem(code) })
	}
	wg.Wait()
	good := 0
	for _, a := range answers {
		if a.status != http.StatusOK {
			continue
		}
		good++
		token, _ := a.json["access_token"].(string)
		s.equal("its token", s.get("/users", "Authorization", "Bearer "+token).status, 401)
	}
	s.equal("exchanges that worked", good, 1)
}

func TestWithoutPKCE(t *testing.T) {
	s := newSignInSite(t)
	s.web.SignIn(SignInSettings{RedirectURIs: []string{callback}, WithoutPKCE: true})
	none := []string{"code_challenge", "", "code_challenge_method", ""}
	s.equal("no verifier", s.redeem(s.signs(s.browser(), s.anna.ID, none...), "code_verifier", "").status, 200)
	s.aadsts(s.redeem(s.signs(s.browser(), s.anna.ID, none...)), 400, "invalid_grant", 501481)
	s.aadsts(s.redeem(s.signs(s.browser(), s.anna.ID), "code_verifier", ""), 400, "invalid_grant", 50148)
	s.aadsts(s.redeem(s.signs(s.browser(), s.anna.ID), "code_verifier", "x"), 400, "invalid_grant", 501481)
	s.sentBack(s.opens(s.browser(), s.address("code_challenge", "")), "invalid_request", 9002325)
}

func TestCodeWithAssertions(t *testing.T) {
	s := newSignInSite(t)
	now, keys := s.clock.Now(), rsaKeys()
	certificate := newCertificate(t, keys[0], now.Add(-time.Hour), now.Add(time.Hour))
	s.must(s.web.AddCertificate(certificate))
	s.must(s.web.AddFederated(FederatedCredential{Issuer: "https://oidc.example", Subject: "bizz", Keys: map[string]*rsa.PublicKey{"k1": &keys[1].PublicKey}}))
	sum := sha256.Sum256(certificate.Raw)
	header := map[string]any{"alg": "PS256", "typ": "JWT", "x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}
	own := map[string]any{"iss": s.web.ClientID(), "sub": s.web.ClientID(), "aud": s.tokenURL(), "jti": "1", "exp": now.Add(time.Minute).Unix()}
	with := func(assertion string) []string {
		return []string{"client_secret", "", "client_assertion_type", assertionType, "client_assertion", assertion}
	}
	assertion := sign(t, keys[0], header, own)
	s.equal("certificate", s.redeem(s.signs(s.browser(), s.anna.ID), with(assertion)...).status, 200)
	code := s.signs(s.browser(), s.anna.ID)
	s.aadsts(s.redeem(code, with(assertion)...), 401, "invalid_client", 50027) // jti once
	own["jti"], own["aud"] = "2", s.base()+authorizePath
	s.aadsts(s.redeem(code, with(sign(t, keys[0], header, own))...), 401, "invalid_client", 700023)
	own["aud"] = s.tokenURL()
	s.aadsts(s.redeem(code, with(sign(t, keys[1], header, own))...), 401, "invalid_client", 700027)
	workload := sign(t, keys[1], map[string]any{"alg": "RS256", "kid": "k1"}, map[string]any{"iss": "https://oidc.example", "sub": "bizz",
		"aud": "api://AzureADTokenExchange", "exp": now.Add(time.Minute).Unix()})
	s.equal("federated", s.redeem(code, with(workload)...).status, 200)
}

func TestClaimsByScopeAndSettings(t *testing.T) {
	s := newSignInSite(t)
	b := s.browser()
	bare := s.claims(b, s.anna.ID, "scope", "openid", "nonce", "")
	for _, name := range []string{"oid", "name", "preferred_username", "email", "nonce", "sid", "login_hint", "groups", "roles", "acct", "auth_time"} {
		if v, has := bare[name]; has {
			t.Errorf("%s is there: %v", name, v)
		}
	}
	s.equal("with the scope email", s.claims(b, s.anna.ID, "scope", "openid email")["email"], s.anna.Mail)
	group := s.tenant.CreateGroup("Staff").ID
	above := s.tenant.CreateGroup("Everybody").ID
	s.must(s.tenant.AddMember(group, s.anna.ID))
	s.must(s.tenant.AddMember(above, group))
	s.must(s.tenant.AddMember(group, above)) // a circle
	s.tenant.CreateGroup("Others")
	s.web.SignIn(SignInSettings{RedirectURIs: []string{callback}, OptionalClaims: []string{ClaimSID, ClaimLoginHint, ClaimEmail, ClaimGroups, ClaimAcct, ClaimAuthTime}})
	full := s.claims(b, s.anna.ID)
	s.equal("email", full["email"], s.anna.Mail)
	s.equal("acct", full["acct"], 0.0)
	want := []any{above, group}
	slices.SortFunc(want, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	s.equal("groups", full["groups"], want)
	s.equal("lengths", []int{len(fmt.Sprint(full["sid"])), len(fmt.Sprint(full["login_hint"]))}, []int{36, 45})
	guest := s.tenant.Hire(Person{HomeDomain: "partner.example"})
	of := s.claims(s.browser(), guest.ID)
	s.equal("a guest in no group", []any{of["acct"], of["groups"], of["_claim_names"]}, []any{1.0, nil, nil})

	for range maxGroupsClaim - 2 {
		s.must(s.tenant.AddMember(s.tenant.CreateGroup("One more").ID, s.anna.ID))
	}
	groups, _ := s.claims(b, s.anna.ID)["groups"].([]any)
	s.equal("as many groups as fit", len(groups), maxGroupsClaim)
	s.must(s.tenant.AddMember(s.tenant.CreateGroup("One too many").ID, s.anna.ID))
	over := s.claims(b, s.anna.ID)
	s.equal("too many", []any{over["groups"], over["_claim_names"], over["_claim_sources"]}, []any{nil, map[string]any{"groups": "src1"},
		map[string]any{"src1": map[string]any{"endpoint": s.graph.URL() + "/users/" + s.anna.ID + "/getMemberObjects"}}})
}

// relyingParty verifies ID tokens as strictly as it can be done, and tells everything that is wrong with one.
type relyingParty struct {
	issuer, tenant, client string
	keys                   map[string]*rsa.PublicKey
	now                    time.Time
}

func (s *signInSite) relyingParty() relyingParty {
	s.Helper()
	rp := relyingParty{s.base() + "/v2.0", s.tenant.ID(), s.web.ClientID(), make(map[string]*rsa.PublicKey), s.clock.Now()}
	keys, _ := s.get(s.base() + keysPath).json["keys"].([]any)
	for _, k := range keys {
		jwk, _ := k.(map[string]any)
		rp.keys[fmt.Sprint(jwk["kid"])] = publicKey(s.T, jwk)
	}
	return rp
}

// publicKey reads a JWK and holds its certificate against it.
func publicKey(t *testing.T, jwk map[string]any) *rsa.PublicKey {
	t.Helper()
	n, err1 := base64.RawURLEncoding.DecodeString(fmt.Sprint(jwk["n"]))
	e, err2 := base64.RawURLEncoding.DecodeString(fmt.Sprint(jwk["e"]))
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	x5c, _ := jwk["x5c"].([]any)
	if err1 != nil || err2 != nil || len(x5c) != 1 {
		t.Fatalf("key %v", jwk)
	}
	der, err := base64.StdEncoding.DecodeString(fmt.Sprint(x5c[0]))
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum(der)
	if !key.Equal(c.PublicKey) || jwk["x5t"] != base64.RawURLEncoding.EncodeToString(sum[:]) || jwk["kid"] != jwk["x5t"] {
		t.Errorf("the certificate of key %v is another's", jwk["kid"])
	}
	return key
}

func (rp relyingParty) wrong(token string) (out []string) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return []string{fmt.Sprintf("%d parts", len(parts))}
	}
	if len(token) > 1<<16 {
		out = append(out, "size")
	}
	var header, claims map[string]any
	for i, into := range []*map[string]any{&header, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(b, into) != nil {
			return []string{"encoding"}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if !slices.Contains([]string{"typ", "alg", "kid"}, name) {
			out = append(out, "header "+name)
		}
	}
	if header["alg"] != "RS256" {
		out = append(out, "alg")
	}
	out = append(out, rp.wrongSignature(header, parts)...)
	return append(out, rp.wrongClaims(claims)...)
}

func (rp relyingParty) wrongSignature(header map[string]any, parts []string) []string {
	key := rp.keys[fmt.Sprint(header["kid"])]
	if key == nil {
		return []string{"kid"}
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature)
	if header["alg"] == "PS256" {
		err = rsa.VerifyPSS(key, crypto.SHA256, digest[:], signature, nil)
	}
	if err != nil {
		return []string{"signature"}
	}
	return nil
}

func (rp relyingParty) wrongClaims(claims map[string]any) (out []string) {
	is := func(name string, ok bool) {
		if !ok {
			out = append(out, name)
		}
	}
	seconds := func(name string) (time.Time, bool) {
		n, ok := claims[name].(float64)
		return time.Unix(int64(n), 0), ok
	}
	exp, hasExp := seconds("exp")
	iat, hasIat := seconds("iat")
	nbf, hasNbf := seconds("nbf")
	subject, _ := claims["sub"].(string)
	oid, _ := claims["oid"].(string)
	azp, hasAzp := claims["azp"]
	is("aud", claims["aud"] == rp.client)
	is("azp", !hasAzp || azp == rp.client)
	is("exp", hasExp && rp.now.Before(exp))
	is("iat", hasIat && !rp.now.Before(iat))
	is("iss", claims["iss"] == rp.issuer)
	is("nbf", hasNbf && !rp.now.Before(nbf))
	is("nonce", claims["nonce"] == "n0nce")
	is("oid", isGUID(oid))
	is("sub", subject != "")
	is("tid", claims["tid"] == rp.tenant)
	is("ver", claims["ver"] == "2.0")
	return out
}

// TestTokenAttacks holds each forged token against a strict relying party: what it is called is what is wrong with it, and
// nothing else is.
func TestTokenAttacks(t *testing.T) {
	s := newSignInSite(t)
	b := s.browser()
	rp := s.relyingParty()
	token := func() string {
		s.Helper()
		id, _ := s.redeem(s.signs(b, s.anna.ID)).json["id_token"].(string)
		return id
	}
	s.equal("what is wrong with a right token", rp.wrong(token()), []string(nil))
	want := map[string]string{
		"nonce of another sign-in": "nonce", "empty nonce": "nonce", "no nonce": "nonce", "aud of another application": "aud", "no aud": "aud",
		"empty list of aud": "aud", "two aud": "aud", "two aud, azp of another": "aud azp", "azp of another": "azp", "expired": "exp", "no exp": "exp",
		"exp is no number": "exp", "no iat": "iat", "iat in the future": "iat", "nbf in the future": "nbf", "no sub": "sub", "no oid": "oid",
		"oid is no GUID": "oid", "no tid": "tid", "no ver": "ver", "v1.0 token": "header x5t iss ver", "foreign tenant": "iss tid",
		"iss of another tenant": "iss", "tid of another tenant": "tid", "literal template": "iss tid", "iss of common": "iss", "path in tid": "iss tid",
		"iss with trailing slash": "iss", "iss in capitals": "iss", "iss without TLS": "iss", "iss of another host": "iss", "no iss": "iss",
		"alg none": "alg signature", "alg None": "alg signature", "alg none, signed": "alg", "no alg": "alg", "no signature": "signature",
		"HS256 with the public key": "alg signature", "HS256 with an empty secret": "alg signature", "PS256": "alg", "foreign key": "signature",
		"foreign key, its own kid": "kid", "foreign key, no kid": "kid", "foreign key by jku": "header jku kid", "foreign key by x5u": "header x5u kid",
		"foreign key in jwk": "header jwk kid", "foreign key in x5c": "header x5c kid", "path in kid": "kid", "SQL in kid": "kid",
		"unknown crit": "header crit header exp2", "5 MB": "size", "5 MB of dots": fmt.Sprint(bigToken+1) + " parts", "looks encrypted": "5 parts",
		"zipped": "header zip signature", "no token": "1 parts", "an opaque one": "1 parts", "two parts": "2 parts",
	}
	attacks, err := s.graph.TokenAttacks()
	s.must(err)
	s.equal("attacks", len(attacks), len(want))
	for _, a := range attacks {
		t.Run(a.Name, func(t *testing.T) {
			s.T = t
			s.web.Tamper(a.Tamper)
			s.equal("what is wrong with it", strings.Join(rp.wrong(token()), " "), want[a.Name])
		})
	}
	s.T = t
	s.web.Tamper(nil)
	s.equal("after all attacks", rp.wrong(token()), []string(nil))
	s.equal("who followed a header", s.graph.Stats().Operations[OpForeignKeys], 0)
}

// TestForgedSignatures proves that the forgeries would work with a relying party that fell for them.
func TestForgedSignatures(t *testing.T) {
	s := newSignInSite(t)
	attacks, err := s.graph.TokenAttacks()
	s.must(err)
	next, err := s.graph.PublishKey() // the attacks follow the key that signs
	s.must(err)
	s.must(s.graph.SignWith(next))
	rp := s.relyingParty()
	forged := func(name string) (header map[string]any, parts []string) {
		i := slices.IndexFunc(attacks, func(a TokenAttack) bool { return a.Name == name })
		s.web.Tamper(attacks[i].Tamper)
		id, _ := s.redeem(s.signs(s.browser(), s.anna.ID)).json["id_token"].(string)
		header, _ = s.parts(id)
		return header, strings.Split(id, ".")
	}
	for _, word := range []string{"jku", "x5u"} {
		header, parts := forged("foreign key by " + word)
		keys, _ := s.get(fmt.Sprint(header[word])).json["keys"].([]any)
		if len(keys) != 1 {
			t.Fatalf("no key at %v", header[word])
		}
		jwk, _ := keys[0].(map[string]any)
		rp.keys[fmt.Sprint(header["kid"])] = publicKey(t, jwk)
		s.equal("with the key that "+word+" names", rp.wrongSignature(header, parts), []string(nil))
	}
	header, parts := forged("foreign key in jwk")
	jwk, _ := header["jwk"].(map[string]any)
	rp.keys[fmt.Sprint(header["kid"])] = publicKey(t, jwk)
	s.equal("with the key in jwk", rp.wrongSignature(header, parts), []string(nil))
	s.equal("who followed a header", s.graph.Stats().Operations[OpForeignKeys], 2)

	header, parts = forged("HS256 with the public key")
	der, err := x509.MarshalPKIXPublicKey(rp.keys[fmt.Sprint(header["kid"])])
	s.must(err)
	mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	mac.Write([]byte(parts[0] + "." + parts[1]))
	s.equal("HMAC under the published key", parts[2], base64.RawURLEncoding.EncodeToString(mac.Sum(nil)))
}

func TestKeyRotation(t *testing.T) {
	s := newSignInSite(t)
	b := s.browser()
	kid := func() string {
		s.Helper()
		id, _ := s.redeem(s.signs(b, s.anna.ID)).json["id_token"].(string)
		header, _ := s.parts(id)
		if _, published := s.relyingParty().keys[fmt.Sprint(header["kid"])]; published {
			s.equal("signature", s.relyingParty().wrong(id), []string(nil))
		}
		return fmt.Sprint(header["kid"])
	}
	published := func() []string {
		s.Helper()
		ids, err := s.graph.PublishedKeys()
		s.must(err)
		s.equal("the key set", slices.Sorted(maps.Keys(s.relyingParty().keys)), slices.Sorted(slices.Values(ids)))
		return ids
	}
	first := kid()
	second, err := s.graph.PublishKey()
	s.must(err)
	s.equal("published", published(), []string{first, second})
	s.equal("still the first signs", kid(), first)
	s.must(s.graph.SignWith(second))
	s.equal("the second signs", kid(), second)
	s.must(s.graph.WithdrawKey(first))
	s.equal("the first is gone", published(), []string{second})
	s.must(s.graph.SignWith(first))
	s.equal("a withdrawn key can sign", kid(), first)
	s.must(s.graph.WithdrawKey(second))
	s.equal("an empty set", published(), []string{})
	for _, err := range []error{s.graph.SignWith("x"), s.graph.WithdrawKey(first)} {
		if err == nil {
			t.Error("no error for a key that is not there")
		}
	}
}

func TestProviderConfiguration(t *testing.T) {
	s := newSignInSite(t)
	for tenant, id := range map[string]string{s.tenant.ID(): s.tenant.ID(), s.tenant.Domain(): s.tenant.ID(), "common": "common", "organizations": "organizations"} {
		a := s.get(s.graph.LoginURL() + tenant + openIDConfigPath)
		issuer := s.base() + "/v2.0"
		if isTemplate(tenant) {
			issuer = s.graph.LoginURL() + "{tenantid}/v2.0"
		}
		base := s.graph.LoginURL() + id
		for name, want := range map[string]any{
			"issuer": issuer, "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token",
			"jwks_uri": base + "/discovery/v2.0/keys", "end_session_endpoint": base + "/oauth2/v2.0/logout", "frontchannel_logout_supported": true,
			"http_logout_supported": true, "response_modes_supported": []any{"query", "fragment", "form_post"}, "subject_types_supported": []any{"pairwise"},
			"id_token_signing_alg_values_supported": []any{"RS256"}, "scopes_supported": []any{"openid", "profile", "email", "offline_access"},
		} {
			s.equal(tenant+": "+name, a.json[name], want)
		}
		keys := s.get(fmt.Sprint(a.json["jwks_uri"]))
		set, _ := keys.json["keys"].([]any)
		if len(set) != 1 {
			t.Fatalf("keys %s", keys.body)
		}
		jwk, _ := set[0].(map[string]any)
		s.equal(tenant+": key", []any{jwk["issuer"], jwk["use"], jwk["kty"], jwk["alg"]}, []any{issuer, "sig", "RSA", nil})
		s.equal(tenant+": cached", keys.header.Get("Cache-Control"), "max-age=86400, private")
	}
	s.aadsts(s.get(s.graph.LoginURL()+strangeID+keysPath), 400, "invalid_request", 90002)
	st := s.graph.Stats()
	s.equal("counted", []int{st.Operations[OpMetadata], st.Operations[OpKeys]}, []int{4, 5})
}

func TestOutages(t *testing.T) {
	s := newSignInSite(t)
	code := s.signs(s.browser(), s.anna.ID)
	s.must(s.graph.Faults().Load("metadata status=503 retry-after=7\nkeys reset\ntoken status=500\nauthorize html status=502\nlogout status=503\nsignIn status=503"))
	s.equal("metadata", s.get(s.base()+openIDConfigPath).header.Get("Retry-After"), "7")
	if a := s.get(s.base() + keysPath); a.err == nil {
		t.Errorf("keys: %d %s", a.status, a.body)
	}
	s.aadsts(s.redeem(code), 500, "temporarily_unavailable", 90033)
	for _, address := range []string{s.address(), s.base() + logoutPath} {
		if _, err := s.browser().Open(context.Background(), address); err == nil {
			t.Errorf("%s works", address)
		}
	}
	s.equal("the forms", s.do(http.MethodPost, s.base()+signInPath, "").status, 503)
	s.graph.Faults().Clear()
	s.equal("afterwards", s.redeem(code).status, 200)
	if err := s.graph.Faults().Add(Fault{On: string(OpForeignKeys), Status: 503}); err != nil {
		t.Error(err)
	}
}

func TestSignInsAtOnce(t *testing.T) {
	s := newSignInSite(t)
	s.web.SignIn(SignInSettings{RedirectURIs: []string{callback}, OptionalClaims: []string{ClaimSID, ClaimGroups}})
	people := make([]User, 6)
	for i := range people {
		people[i] = s.tenant.Hire(Person{})
	}
	one := s.browser() // with several tabs
	s.signs(one, s.anna.ID)
	sids := make([]any, len(people))
	t.Run("all", func(t *testing.T) {
		atOnce := func(name string, f func(*signInSite)) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f(s.in(t))
			})
		}
		for i, u := range people {
			atOnce("person", func(s *signInSite) {
				claims := s.claims(s.browser(), u.ID)
				sids[i] = claims["sid"]
				s.equal("oid", claims["oid"], u.ID)
			})
			atOnce("tab", func(s *signInSite) { s.equal("oid", s.claims(one, "")["oid"], s.anna.ID) })
		}
		atOnce("administrator", func(s *signInSite) {
			_, err := s.graph.PublishKey()
			s.must(err)
			s.must(s.graph.Trouble("x", Trouble{Number: 50105}))
			s.web.SignIn(s.web.signInSettings())
			s.equal("keys", s.get(s.base()+keysPath).status, 200)
		})
	})
	seen := make(map[any]bool)
	for _, sid := range sids {
		seen[sid] = true
	}
	s.equal("sessions", len(seen), len(people))
}

func TestRegisteredAgain(t *testing.T) {
	s := newSignInSite(t)
	code := s.signs(s.browser(), s.anna.ID)
	again := s.graph.App(s.web.ClientID())
	again.AddSecret(s.webSecret, s.clock.Now().Add(time.Hour))
	again.SignIn(SignInSettings{RedirectURIs: []string{callback}})
	s.aadsts(s.redeem(code), 400, "invalid_grant", 70000)
	s.equal("the subject stays", s.graph.provider.subject(again, s.anna.ID), s.graph.provider.subject(s.web, s.anna.ID))
	u, _ := url.Parse(s.address())
	s.equal("and it signs in", s.opens(s.browser(), u.String()).Page, signInPage)
}
