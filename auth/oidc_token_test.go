package auth_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/auth/authtest"
	"github.com/bizzstream/bizzscim/entrasim"
)

// Each attack on the ID token of the simulated Entra is refused, told to the audit, and leads to no call
// to where the token's header points.
func TestTokenAttacksOfEntrasim(t *testing.T) {
	var e *entra
	w := authtest.NewWorld(t, openStore(t), func(now func() time.Time) authtest.Provider { e = newEntra(t, now); return e })
	ada := w.Person("ada")
	admitted(w, ada)
	if len(e.names) < 17 {
		t.Fatalf("%d attacks", len(e.names))
	}
	for _, name := range e.names {
		t.Run(name, func(t *testing.T) {
			before := len(w.Refusals())
			e.Attack(name)
			defer e.Attack("")
			done, err := signIn(w, ada)
			want := auth.ProblemToken
			switch {
			case name == "tid of another tenant":
				want = auth.ProblemWrongTenant
			case strings.HasPrefix(name, "5 MB"):
				want = auth.ProblemDirectory // of so large an answer nothing is read
			}
			p := authtest.WantProblem(t, done, err, want)
			if p.Tenant == nil || p.Err == nil {
				t.Errorf("the problem is %+v", p)
			}
			audit := w.Refusals()[before:]
			if want == auth.ProblemDirectory {
				return
			}
			if len(audit) != 1 || string(audit[0].Detail) != fmt.Sprintf(`{"code":%q}`, want) || audit[0].Target != w.Tenant.ID.String() {
				t.Errorf("the audit has %v", audit)
			}
		})
	}
	if n := e.graph.Stats().Operations[entrasim.OpForeignKeys]; n != 0 {
		t.Errorf("%d calls to where a token's header points", n)
	}
	admitted(w, ada)
}

// setClaim makes a token with one claim changed; nil removes it.
func setClaim(name string, value any) func(header, claims map[string]any) {
	return func(_, claims map[string]any) {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
}

func TestIDTokenIsRefused(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	admitted(w, ada)
	at := func(d time.Duration) int64 { return w.Clock.Now().Add(d).Unix() }
	for name, x := range map[string]struct {
		change func(header, claims map[string]any)
		want   auth.ProblemCode
	}{
		"no nonce":                            {setClaim("nonce", nil), auth.ProblemToken},
		"another nonce":                       {setClaim("nonce", "another"), auth.ProblemToken},
		"a nonce in other case of the name":   {func(_, c map[string]any) { c["NONCE"] = c["nonce"]; delete(c, "nonce") }, auth.ProblemToken},
		"another aud":                         {setClaim("aud", strangeID), auth.ProblemToken},
		"no aud":                              {setClaim("aud", nil), auth.ProblemToken},
		"two aud":                             {setClaim("aud", []string{hostileClient, strangeID}), auth.ProblemToken},
		"two aud, azp of another":             {func(_, c map[string]any) { c["aud"] = []string{hostileClient, strangeID}; c["azp"] = strangeID }, auth.ProblemToken},
		"azp of another":                      {setClaim("azp", strangeID), auth.ProblemToken},
		"azp that is empty":                   {setClaim("azp", ""), auth.ProblemToken},
		"expired":                             {setClaim("exp", at(-time.Minute)), auth.ProblemToken},
		"no exp":                              {setClaim("exp", nil), auth.ProblemToken},
		"exp that is null":                    {func(_, c map[string]any) { c["exp"] = json.RawMessage("null") }, auth.ProblemToken},
		"nbf in the future":                   {setClaim("nbf", at(6*time.Minute)), auth.ProblemToken},
		"no nbf":                              {setClaim("nbf", nil), auth.ProblemToken},
		"iat in the future":                   {setClaim("iat", at(6*time.Minute)), auth.ProblemToken},
		"no iat":                              {setClaim("iat", nil), auth.ProblemToken},
		"ver 1.0":                             {setClaim("ver", "1.0"), auth.ProblemToken},
		"no ver":                              {setClaim("ver", nil), auth.ProblemToken},
		"ver is a number":                     {setClaim("ver", 2.0), auth.ProblemToken},
		"no oid":                              {setClaim("oid", nil), auth.ProblemToken},
		"oid is no GUID":                      {setClaim("oid", "admin"), auth.ProblemToken},
		"oid of nobody":                       {setClaim("oid", "00000000-0000-0000-0000-000000000000"), auth.ProblemToken},
		"oid in other case of the name":       {func(_, c map[string]any) { c["OID"] = c["oid"]; delete(c, "oid") }, auth.ProblemToken},
		"no sub":                              {setClaim("sub", nil), auth.ProblemToken},
		"sub that is too long":                {setClaim("sub", strings.Repeat("s", 256)), auth.ProblemToken},
		"sub with a NUL":                      {setClaim("sub", "a\x00b"), auth.ProblemToken},
		"no tid":                              {setClaim("tid", nil), auth.ProblemToken},
		"another tid":                         {setClaim("tid", strangeID), auth.ProblemWrongTenant},
		"path in tid":                         {setClaim("tid", hostileDirectory+"/../"+strangeID), auth.ProblemWrongTenant},
		"another iss":                         {setClaim("iss", h.web.URL+"/"+strangeID+"/v2.0"), auth.ProblemToken},
		"iss of common":                       {setClaim("iss", h.web.URL+"/common/v2.0"), auth.ProblemToken},
		"iss as the template":                 {setClaim("iss", h.web.URL+"/{tenantid}/v2.0"), auth.ProblemToken},
		"iss with a slash at the end":         {setClaim("iss", h.issuer()+"/"), auth.ProblemToken},
		"no iss":                              {setClaim("iss", nil), auth.ProblemToken},
		"iss in other case of the name":       {func(_, c map[string]any) { c["ISS"] = c["iss"]; delete(c, "iss") }, auth.ProblemToken},
		"a key that is not published":         {func(hd, _ map[string]any) { hd["kid"] = "rogue" }, auth.ProblemToken},
		"a claim without a source":            {setClaim("_claim_names", map[string]string{"groups": "src1"}), auth.ProblemToken},
		"a header that has to be understood":  {func(hd, _ map[string]any) { hd["crit"] = []string{"exp2"}; hd["exp2"] = 1 }, auth.ProblemToken},
		"PS256":                               {func(hd, _ map[string]any) { hd["alg"] = "PS256" }, auth.ProblemToken},
		"more than 64 KiB":                    {setClaim("pad", strings.Repeat("x", 60<<10)), auth.ProblemToken},
		"another person's subject":            {setClaim("sub", "sub-"+strangeID), auth.ProblemIdentity},
		"somebody nobody has provisioned":     {setClaim("oid", strangeID), auth.ProblemNotProvisioned},
		"an access token in place of a token": {func(_, c map[string]any) { c["aud"] = "00000003-0000-0000-c000-000000000000" }, auth.ProblemToken},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(w.Refusals())
			h.set(func() { h.claims = x.change })
			defer h.set(func() { h.claims = nil })
			done, err := signIn(w, ada)
			authtest.WantProblem(t, done, err, x.want)
			if audit := w.Refusals()[before:]; len(audit) != 1 || !strings.Contains(string(audit[0].Detail), string(x.want)) {
				t.Errorf("the audit has %v", audit)
			}
		})
	}
	admitted(w, ada)
}

// What is no ID token at all, though a right one is in it.
func TestIDTokenForms(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	earlier := ""
	h.set(func() { h.wrap = func(s string) string { earlier = s; return s } })
	admitted(w, ada)
	always := func(s string) func(string) string { return func(string) string { return s } }
	parts := func(fn func(header, payload, signature string) string) func(string) string {
		return func(s string) string {
			p := strings.Split(s, ".")
			return fn(p[0], p[1], p[2])
		}
	}
	for name, wrap := range map[string]func(string) string{
		"a token of an earlier sign-in": always(earlier),
		"nothing":                       always(""),
		"cut":                           func(s string) string { return s[:len(s)-5] },
		"without a signature":           parts(func(h, p, _ string) string { return h + "." + p + "." }),
		"JSON form": parts(func(h, p, s string) string {
			return fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, p, h, s)
		}),
		"encrypted":    always("eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00iLCJ6aXAiOiJERUYifQ.a.b.c.d"),
		"dots":         always(strings.Repeat(".", 60<<10)),
		"text":         always("token"),
		"200 KiB":      always(strings.Repeat("x", 200<<10)),
		"two tokens":   func(s string) string { return s + "." + s },
		"other claims": parts(func(h, p, s string) string { return h + "." + p[:len(p)-8] + "In0" + "." + s }),
	} {
		t.Run(name, func(t *testing.T) {
			h.set(func() { h.wrap = wrap })
			defer h.set(func() { h.wrap = nil })
			done, err := signIn(w, ada)
			authtest.WantProblem(t, done, err, auth.ProblemToken)
		})
	}
	admitted(w, ada)
}

// What a directory may say besides, within bounds.
func TestIDTokenIsTaken(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	for name, change := range map[string]func(header, claims map[string]any){
		"a list of one aud":            setClaim("aud", []string{hostileClient}),
		"azp of ours":                  setClaim("azp", hostileClient),
		"two aud, azp of ours":         func(_, c map[string]any) { c["aud"] = []string{strangeID, hostileClient}; c["azp"] = hostileClient },
		"times with fractions":         setClaim("iat", float64(time.Now().Unix())+0.5),
		"nbf within the leeway":        setClaim("nbf", time.Now().Add(4*time.Minute).Unix()),
		"iat within the leeway":        setClaim("iat", time.Now().Add(4*time.Minute).Unix()),
		"oid in upper case":            setClaim("oid", strings.ToUpper(ada.String())),
		"RS512":                        func(hd, _ map[string]any) { hd["alg"] = "RS512" },
		"no key id":                    func(hd, _ map[string]any) { delete(hd, "kid") },
		"a jku that nobody follows":    func(hd, _ map[string]any) { hd["jku"] = h.web.URL + "/evil" },
		"nearly 64 KiB":                setClaim("pad", strings.Repeat("x", 46<<10)),
		"too many groups for a token":  func(_, c map[string]any) { overage(c, h.web.URL+"/evil") },
		"a sid and a hint that are no": func(_, c map[string]any) { c["sid"], c["login_hint"] = "a\x00b", strings.Repeat("h", 2000) },
		"a sid that is a number":       setClaim("sid", 7),
	} {
		t.Run(name, func(t *testing.T) {
			h.set(func() { h.claims = change })
			defer h.set(func() { h.claims = nil })
			done, err := signIn(w, ada)
			if err != nil {
				t.Fatal(err)
			}
			if done.Session.SID != "" || done.Session.LogoutHint != "" {
				t.Errorf("the session keeps %q and %q", done.Session.SID, done.Session.LogoutHint)
			}
		})
	}
	for more, kept := range []bool{true, false} {
		sid, hint := strings.Repeat("s", 255+more), strings.Repeat("h", 1024+more)
		h.set(func() {
			h.claims = func(_, c map[string]any) { c["sid"], c["login_hint"] = sid, hint }
		})
		if s := admitted(w, ada).Session; kept && (s.SID != sid || s.LogoutHint != hint) || !kept && s.SID+s.LogoutHint != "" {
			t.Errorf("the session keeps %d bytes and %d", len(s.SID), len(s.LogoutHint))
		}
	}
	if n := h.count("/evil"); n != 0 {
		t.Errorf("%d calls to where a token points", n)
	}
}

// overage is how Entra says that somebody is in more groups than a token holds.
func overage(claims map[string]any, endpoint string) {
	claims["_claim_names"] = map[string]string{"groups": "src1"}
	claims["_claim_sources"] = map[string]any{"src1": map[string]string{"endpoint": endpoint}}
}

// The subject that was seen first stays with the person, and with nobody else.
func TestSubjectIsPinned(t *testing.T) {
	w, h := hostileWorld(t)
	ada, bob := w.Person("ada"), w.Person("bob")
	admitted(w, ada)
	h.set(func() { h.claims = setClaim("sub", "sub-"+ada.String()) })
	refused(w, bob, auth.ProblemIdentity)
	h.set(func() { h.claims = nil })
	admitted(w, bob)
}

// Whoever a tenant has twice is signed in as neither.
func TestAmbiguousPerson(t *testing.T) {
	w, _ := hostileWorld(t)
	ada := w.Person("ada")
	w.Provision("ada.twin", ada)
	w.Join(ada)
	refused(w, ada, auth.ProblemAmbiguous)
	if audit := w.Refusals(); len(audit) != 1 || !strings.Contains(string(audit[0].Detail), ada.String()) {
		t.Errorf("the audit has %v", audit)
	}
}

// HS256 with the public key as the secret, in every form in which it is known, and none.
func TestIDTokenWithSharedSecret(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	public := must(json.Marshal(jose.JSONWebKey{Key: &key("k1").PublicKey, KeyID: "k1"}))
	for name, secret := range map[string][]byte{"JWK": public, "modulus": key("k1").N.Bytes(), "client secret": []byte("s3cret-of-the-application-and-more")} {
		t.Run(name, func(t *testing.T) {
			h.set(func() {
				h.wrap = func(s string) string {
					payload := must(must(jose.ParseSignedCompact(s, []jose.SignatureAlgorithm{jose.RS256})).Verify(&key("k1").PublicKey))
					return sign(jose.HS256, secret, "k1", json.RawMessage(payload))
				}
			})
			defer h.set(func() { h.wrap = nil })
			done, err := signIn(w, ada)
			authtest.WantProblem(t, done, err, auth.ProblemToken)
		})
	}
}
