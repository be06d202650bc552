package auth_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/auth/authtest"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/entrasim"
)

func TestIssuer(t *testing.T) {
	for _, x := range []struct {
		graph directory.Graph
		want  string
	}{
		{directory.Graph{}, "https://login.microsoftonline.com/" + strangeID + "/v2.0"},
		{directory.Graph{Cloud: "public"}, "https://login.microsoftonline.com/" + strangeID + "/v2.0"},
		{directory.Graph{Cloud: "usgov"}, "https://login.microsoftonline.us/" + strangeID + "/v2.0"},
		{directory.Graph{Cloud: "usgov-dod"}, "https://login.microsoftonline.us/" + strangeID + "/v2.0"},
		{directory.Graph{Cloud: "china"}, "https://login.partner.microsoftonline.cn/" + strangeID + "/v2.0"},
		{directory.Graph{Cloud: "custom", LoginURL: "https://login.example:8443/"}, "https://login.example:8443/" + strangeID + "/v2.0"},
		{directory.Graph{Cloud: "custom"}, ""},
	} {
		if got := auth.Issuer(&directory.Tenant{DirectoryID: strangeID, Graph: x.graph}); got != x.want {
			t.Errorf("the issuer of %+v is %q, want %q", x.graph, got, x.want)
		}
	}
	if got := auth.Issuer(&directory.Tenant{}); got != "" {
		t.Errorf("without a directory the issuer is %q", got)
	}
}

// What shapes what the directory asks.
func TestBeginHints(t *testing.T) {
	w, _ := hostileWorld(t)
	for name, x := range map[string]struct {
		settings directory.SignIn
		in       auth.Start
		want     url.Values
	}{
		"nothing":                  {directory.SignIn{}, auth.Start{}, url.Values{}},
		"the tenant's prompt":      {directory.SignIn{Prompt: "login"}, auth.Start{}, url.Values{"prompt": {"login"}}},
		"another prompt":           {directory.SignIn{}, auth.Start{Prompt: "select_account"}, url.Values{"prompt": {"select_account"}}},
		"in place of the tenant's": {directory.SignIn{Prompt: "select_account"}, auth.Start{Prompt: "login"}, url.Values{"prompt": {"login"}}},
		"a choice where credentials are asked for": {directory.SignIn{Prompt: "login"}, auth.Start{Prompt: "select_account", LoginHint: "ada"},
			url.Values{"prompt": {"login"}, "login_hint": {"ada"}}},
		"silently where credentials are asked for": {directory.SignIn{Prompt: "login"}, auth.Start{Prompt: "none"}, url.Values{"prompt": {"login"}}},
		"consent where credentials are asked for":  {directory.SignIn{Prompt: "login"}, auth.Start{Prompt: "consent"}, url.Values{"prompt": {"login"}}},
		"a prompt that is none":                    {directory.SignIn{Prompt: "login"}, auth.Start{Prompt: "x&y"}, url.Values{"prompt": {"login"}}},
		"silently":                                 {directory.SignIn{}, auth.Start{Prompt: "none", LoginHint: "ada"}, url.Values{"prompt": {"none"}, "login_hint": {"ada"}}},
		"a hint beside a choice":                   {directory.SignIn{Prompt: "select_account"}, auth.Start{LoginHint: "ada"}, url.Values{"prompt": {"select_account"}}},
		"a hint that is too long":                  {directory.SignIn{}, auth.Start{LoginHint: strings.Repeat("a", 321)}, url.Values{}},
		"a hint of the length":                     {directory.SignIn{}, auth.Start{LoginHint: strings.Repeat("a", 320)}, url.Values{"login_hint": {strings.Repeat("a", 320)}}},
		"the tenant's domain":                      {directory.SignIn{DomainHint: "fjord.example"}, auth.Start{}, url.Values{"domain_hint": {"fjord.example"}}},
		"a hint with more in it":                   {directory.SignIn{}, auth.Start{LoginHint: "a&prompt=none"}, url.Values{"login_hint": {"a&prompt=none"}}},
	} {
		t.Run(name, func(t *testing.T) {
			must(w.Service.SetTenant(t.Context(), authtest.Operator, w.Tenant.ID, func(t *directory.Tenant) error {
				t.SignIn = x.settings
				t.SignIn.ClientID = hostileClient
				return nil
			}))
			q := must(url.Parse(w.Browser().Begin(x.in))).Query()
			for _, name := range []string{"client_id", "code_challenge", "code_challenge_method", "nonce", "redirect_uri", "response_mode", "response_type", "scope", "state"} {
				q.Del(name)
			}
			if d := gocmp.Diff(x.want, q); d != "" {
				t.Error(d)
			}
		})
	}
}

// Who has not set a tenant up for signing in is told so, and nothing is asked of a directory.
func TestBeginNotSetUp(t *testing.T) {
	w, h := hostileWorld(t)
	bare := must(w.Service.CreateTenant(t.Context(), authtest.Operator, directory.Tenant{Name: "bare"}))
	half := must(w.Service.CreateTenant(t.Context(), authtest.Operator, directory.Tenant{Name: "half", DirectoryID: h.directory, SignIn: directory.SignIn{ClientID: hostileClient},
		Graph: directory.Graph{Cloud: "custom", LoginURL: h.LoginURL(), GraphURL: h.LoginURL()}}))
	for name, id := range map[string]directory.ID{"no application": bare.ID, "no credential": half.ID, "no such tenant": {1}} {
		_, err := w.Browser().TryBegin(auth.Start{Tenant: id, Next: "/account"})
		var p *auth.Problem
		if !errors.As(err, &p) || p.Code != auth.ProblemNotSetUp || p.Next != "/account" || p.Time.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := h.count("/.well-known/openid-configuration"); n != 0 {
		t.Errorf("%d calls", n)
	}
}

// An answer is looked at only when it is one to a sign-in of this browser: nothing of it is shown before.
func TestCallbackWithoutSignIn(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	begin := func() (*authtest.Browser, url.Values) {
		b := w.Browser()
		return b, must(url.Parse(must(h.SignIn(t.Context(), b.Begin(auth.Start{}), ada)))).Query()
	}
	for name, change := range map[string]func(url.Values){
		"no state":             func(q url.Values) { q.Del("state") },
		"an empty state":       func(q url.Values) { q.Set("state", "") },
		"another state":        func(q url.Values) { q.Set("state", strings.Repeat("A", 43)) },
		"a state that is cut":  func(q url.Values) { q.Set("state", q.Get("state")[:42]) },
		"a state that goes on": func(q url.Values) { q.Set("state", q.Get("state")+"A") },
		"two states":           func(q url.Values) { q.Add("state", "x") },
		"the state twice":      func(q url.Values) { q.Add("state", q.Get("state")) },
		"two codes":            func(q url.Values) { q.Add("code", "x") },
		"two iss":              func(q url.Values) { q["iss"] = []string{h.issuer(), "https://evil.example"} },
		"two of something":     func(q url.Values) { q["session_state"] = []string{"a", "b"} },
	} {
		t.Run(name, func(t *testing.T) {
			b, q := begin()
			change(q)
			q.Set("error", "<script>")
			q.Set("error_description", "AADSTS50105: hello Trace ID: "+strangeID)
			tokens := h.count("/token")
			done, err := b.FinishQuery(q)
			p := authtest.WantProblem(t, done, err, auth.ProblemStart)
			want := &auth.Problem{Code: auth.ProblemStart, Next: "/", Time: p.Time}
			if d := gocmp.Diff(want, &p); d != "" {
				t.Errorf("something of the answer is shown: %s", d)
			}
			if h.count("/token") != tokens {
				t.Error("the code was exchanged")
			}
			if len(b.Cookies()) != 1 {
				t.Error("the sign-in under way was taken back")
			}
		})
	}
	b, q := begin()
	q.Del("code") // nor an error
	done, err := b.FinishQuery(q)
	authtest.WantProblem(t, done, err, auth.ProblemStart)
	if len(w.Refusals()) != 0 {
		t.Error("the audit has what anybody can send")
	}
}

// The cookie of a sign-in is good as it was given and for ten minutes.
func TestSignInCookie(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	type start struct {
		back    url.Values
		cookies []*http.Cookie
	}
	begin := func() start {
		b := w.Browser()
		return start{must(url.Parse(must(h.SignIn(t.Context(), b.Begin(auth.Start{}), ada)))).Query(), b.Cookies()}
	}
	finish := func(t *testing.T, s start) (*auth.Done, error) {
		t.Helper()
		return w.SignIn.Finish(t.Context(), auth.Return{Query: s.back, Cookies: s.cookies})
	}
	good := begin()
	name := good.cookies[0].Name
	if sum := sha256.Sum256([]byte(good.back.Get("state"))); name != fmt.Sprintf("__Host-login-%x", sum[:4]) {
		t.Errorf("the cookie is called %s", name)
	}
	other := begin()
	for what, cookies := range map[string][]*http.Cookie{
		"changed":                        {{Name: name, Value: altered(good.cookies[0].Value, len(good.cookies[0].Value)/2)}},
		"empty":                          {{Name: name, Value: ""}},
		"another's under its name":       {{Name: name, Value: other.cookies[0].Value}},
		"under another name":             {{Name: "__Host-login-00000000", Value: good.cookies[0].Value}},
		"twice, with two values":         {good.cookies[0], {Name: name, Value: other.cookies[0].Value}},
		"twice, with two, the other way": {{Name: name, Value: other.cookies[0].Value}, good.cookies[0]},
		"very long":                      {{Name: name, Value: strings.Repeat("x", 5000)}},
	} {
		t.Run(what, func(t *testing.T) {
			done, err := finish(t, start{good.back, cookies})
			authtest.WantProblem(t, done, err, auth.ProblemStart)
			if len(done.Clear) != 1 || done.Clear[0].MaxAge >= 0 {
				t.Errorf("takes back %v", done.Clear)
			}
		})
	}
	done, err := finish(t, start{good.back, []*http.Cookie{good.cookies[0], good.cookies[0]}}) // the same twice is one
	w.WantSession(done, err)

	late, intime := begin(), begin()
	w.Clock.Advance(10*time.Minute - time.Second)
	done, err = finish(t, intime)
	w.WantSession(done, err)
	w.Clock.Advance(time.Second)
	done, err = finish(t, late)
	authtest.WantProblem(t, done, err, auth.ProblemStart)
	if len(done.Clear) != 1 {
		t.Errorf("takes back %v", done.Clear)
	}
}

// The longest place to go to fits into the cookie that a browser keeps, and comes back.
func TestLongestNext(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	for _, next := range []string{"/" + strings.Repeat("a", 1023), "/?" + strings.Repeat("&", 1022), "/x?" + strings.Repeat("%3C", 340)} {
		b := w.Browser()
		done, err := b.Finish(must(h.SignIn(t.Context(), b.Begin(auth.Start{Next: next}), ada)))
		w.WantSession(done, err)
		if done.Next != next {
			t.Errorf("goes on to %.50q of %d bytes", done.Next, len(done.Next))
		}
	}
	b := w.Browser()
	done, err := b.Finish(must(h.SignIn(t.Context(), b.Begin(auth.Start{Next: "//evil.example"}), ada)))
	w.WantSession(done, err)
	if done.Next != "/" {
		t.Errorf("goes on to %q", done.Next)
	}
}

// The cookies that a browser brings are taken back when they are no use, and only the oldest beyond four.
func TestMakeRoom(t *testing.T) {
	w, _ := hostileWorld(t)
	b := w.Browser()
	for range 3 {
		b.Begin(auth.Start{})
		w.Clock.Advance(time.Minute)
	}
	cookies := append(b.Cookies(), &http.Cookie{Name: "__Host-login-0badf00d", Value: "x"}, &http.Cookie{Name: "__Host-session", Value: "x"},
		&http.Cookie{Name: "__Host-login-longer-than-ours", Value: "x"})
	if remove := w.SignIn.MakeRoom(cookies); len(remove) != 1 || remove[0].Name != "__Host-login-0badf00d" {
		t.Errorf("takes back %v", remove)
	}
	w.Clock.Advance(7*time.Minute + 30*time.Second) // the first is over
	if remove := w.SignIn.MakeRoom(b.Cookies()); len(remove) != 1 {
		t.Errorf("takes back %v", remove)
	}
	var flood []*http.Cookie
	for n := range 1000 {
		flood = append(flood, &http.Cookie{Name: fmt.Sprintf("__Host-login-%08x", n), Value: "x"})
	}
	if remove := w.SignIn.MakeRoom(flood); len(remove) != 16 {
		t.Errorf("takes %d of 1,000 back", len(remove))
	}
}

// RFC 9207: an answer that says whose it is must be of the issuer that was asked.
func TestIssuerParameter(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	finish := func(iss ...string) (*auth.Done, error) {
		b := w.Browser()
		q := must(url.Parse(must(h.SignIn(t.Context(), b.Begin(auth.Start{}), ada)))).Query()
		q["iss"] = iss
		return b.FinishQuery(q)
	}
	done, err := finish(h.issuer())
	w.WantSession(done, err)
	tokens := h.count("/token")
	for n, iss := range []string{"", "https://evil.example", h.issuer() + "/", strings.ToUpper(h.issuer())} {
		done, err := finish(iss)
		authtest.WantProblem(t, done, err, auth.ProblemToken)
		if len(w.Refusals()) != n+1 {
			t.Errorf("%q is not in the audit", iss)
		}
	}
	if h.count("/token") != tokens {
		t.Error("a code was exchanged")
	}
}

// An answer of one tenant's directory opens nothing of another's, and its code is not sent there.
func TestMixUp(t *testing.T) {
	w, first := hostileWorld(t)
	ada := w.Person("ada")
	second := newHostile(t, w.Clock.Now)
	second.directory = strangeID
	config := w.Config()
	config.Client = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		return map[string]*hostile{strings.TrimPrefix(first.web.URL, "https://"): first, strings.TrimPrefix(second.web.URL, "https://"): second}[r.URL.Host].Client().Transport.RoundTrip(r)
	})}
	w.SignIn = auth.NewSignIn(config)
	other := w.AddTenant("strait", directory.ID{}, second, hostileClient, "s3cret-of-the-application")
	second.AddPerson("eve")
	second.set(func() { second.people[ada] = true }) // the other directory claims to have her
	b := w.Browser()
	back1 := must(url.Parse(must(first.SignIn(t.Context(), b.Begin(auth.Start{}), ada)))).Query()
	back2 := must(url.Parse(must(second.SignIn(t.Context(), b.Begin(auth.Start{Tenant: other.ID}), ada)))).Query()
	mixed := url.Values{"state": back1["state"], "code": back2["code"]}
	done, err := b.FinishQuery(mixed)
	authtest.WantProblem(t, done, err, auth.ProblemStart)
	if n := second.count("/token"); n != 0 {
		t.Errorf("%d codes went to the other directory", n)
	}
	done, err = b.FinishQuery(back2) // all as it should be, but nobody of that tenant is known
	authtest.WantProblem(t, done, err, auth.ProblemNotProvisioned)

	// Its token, even with the first one's names in it, is signed by keys that the first does not publish.
	second.set(func() {
		second.signs = "k2"
		second.keys = []any{jwk("k2", "")}
	})
	first.set(func() {
		first.claims = nil
		first.wrap = func(s string) string {
			payload := must(must(jose.ParseSignedCompact(s, []jose.SignatureAlgorithm{jose.RS256})).Verify(&key("k1").PublicKey))
			return sign(jose.RS256, key("k2"), "k2", json.RawMessage(payload))
		}
	})
	refused(w, ada, auth.ProblemToken)
}

// A sign-in that began before the tenant's settings changed begins anew.
func TestSettingsChangeMeanwhile(t *testing.T) {
	for name, change := range map[string]func(*directory.Tenant){
		"another application": func(t *directory.Tenant) { t.SignIn.ClientID = strangeID },
		"another directory":   func(t *directory.Tenant) { t.DirectoryID = strangeID },
		"another cloud":       func(t *directory.Tenant) { t.Graph = directory.Graph{} },
	} {
		t.Run(name, func(t *testing.T) {
			w, h := hostileWorld(t)
			ada := w.Person("ada")
			b := w.Browser()
			back := must(h.SignIn(t.Context(), b.Begin(auth.Start{}), ada))
			if name == "another cloud" { // the credential is for the one that it was entered for
				if err := w.Service.RemoveCredential(t.Context(), authtest.Operator, w.Tenant.ID, directory.SignInCredential); err != nil {
					t.Fatal(err)
				}
			}
			must(w.Service.SetTenant(t.Context(), authtest.Operator, w.Tenant.ID, func(t *directory.Tenant) error { change(t); return nil }))
			if name == "another cloud" {
				must(w.Service.SetCredential(t.Context(), authtest.Operator, directory.Credential{TenantID: w.Tenant.ID, Name: directory.SignInCredential, Kind: "secret", Sealed: "another"}))
			}
			done, err := b.Finish(back)
			authtest.WantProblem(t, done, err, auth.ProblemStart)
			if n := h.count("/token"); n != 0 {
				t.Error("the code was sent")
			}
		})
	}
	t.Run("no application", func(t *testing.T) {
		w, h := hostileWorld(t)
		b := w.Browser()
		back := must(h.SignIn(t.Context(), b.Begin(auth.Start{Next: "/account"}), w.Person("ada")))
		if err := w.Service.RemoveCredential(t.Context(), authtest.Operator, w.Tenant.ID, directory.SignInCredential); err != nil {
			t.Fatal(err)
		}
		done, err := b.Finish(back)
		if p := authtest.WantProblem(t, done, err, auth.ProblemNotSetUp); p.Next != "/account" || p.Tenant == nil {
			t.Errorf("the problem is %+v", p)
		}
	})
}

const (
	someTrace       = "aaaaaaaa-0000-4000-8000-00000000000a"
	someCorrelation = "bbbbbbbb-0000-4000-8000-00000000000b"
)

func describe(number, text string) string {
	return "AADSTS" + number + ": " + text + " Trace ID: " + someTrace + " Correlation ID: " + someCorrelation + " Timestamp: 2026-11-23 08:00:00Z"
}

// What the directory says of an error, by way of the browser and at the token endpoint.
func TestProviderErrors(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	for _, x := range []struct {
		oauth, description string
		want               auth.ProblemCode
		number             string
	}{
		{"access_denied", "", auth.ProblemCancelled, ""},
		{"access_denied", describe("65004", "User declined."), auth.ProblemCancelled, "AADSTS65004"},
		{"access_denied", describe("50105", "ada@fjord.example is not assigned."), auth.ProblemNotAssigned, "AADSTS50105"},
		{"interaction_required", describe("50105", ""), auth.ProblemNotAssigned, "AADSTS50105"},
		{"access_denied", describe("53003", ""), auth.ProblemConditionalAccess, "AADSTS53003"},
		{"access_denied", describe("53000", ""), auth.ProblemConditionalAccess, "AADSTS53000"},
		{"access_denied", describe("530032", ""), auth.ProblemConditionalAccess, "AADSTS530032"},
		{"interaction_required", describe("50076", ""), auth.ProblemMFA, "AADSTS50076"},
		{"interaction_required", describe("50079", ""), auth.ProblemMFA, "AADSTS50079"},
		{"consent_required", "", auth.ProblemConsent, ""},
		{"consent_required", describe("65001", ""), auth.ProblemConsent, "AADSTS65001"},
		{"access_denied", describe("90094", ""), auth.ProblemConsent, "AADSTS90094"},
		{"login_required", describe("50058", ""), auth.ProblemInteraction, "AADSTS50058"},
		{"interaction_required", "", auth.ProblemInteraction, ""},
		{"account_selection_required", "", auth.ProblemInteraction, ""},
		{"access_denied", describe("50020", ""), auth.ProblemWrongTenant, "AADSTS50020"},
		{"access_denied", describe("90072", ""), auth.ProblemWrongTenant, "AADSTS90072"},
		{"access_denied", describe("50034", ""), auth.ProblemAccount, "AADSTS50034"},
		{"access_denied", describe("50057", ""), auth.ProblemAccount, "AADSTS50057"},
		{"invalid_request", describe("50011", ""), auth.ProblemConfiguration, "AADSTS50011"},
		{"invalid_request", "", auth.ProblemConfiguration, ""},
		{"unauthorized_client", describe("700016", ""), auth.ProblemConfiguration, "AADSTS700016"},
		{"invalid_client", describe("7000215", ""), auth.ProblemConfiguration, "AADSTS7000215"},
		{"invalid_client", describe("7000222", ""), auth.ProblemConfiguration, "AADSTS7000222"},
		{"invalid_client", describe("700027", ""), auth.ProblemConfiguration, "AADSTS700027"},
		{"unsupported_response_type", "", auth.ProblemConfiguration, ""},
		{"unsupported_grant_type", "", auth.ProblemConfiguration, ""},
		{"invalid_scope", "", auth.ProblemConfiguration, ""},
		{"invalid_resource", "", auth.ProblemConfiguration, ""},
		{"invalid_grant", describe("54005", ""), auth.ProblemReplay, "AADSTS54005"},
		{"invalid_grant", describe("70008", ""), auth.ProblemStart, "AADSTS70008"},
		{"temporarily_unavailable", describe("90033", ""), auth.ProblemUnavailable, "AADSTS90033"},
		{"server_error", "", auth.ProblemDirectory, ""},
		{"something_new", describe("50105", ""), auth.ProblemDirectory, "AADSTS50105"}, // the number alone decides nothing
	} {
		t.Run(x.oauth+" "+x.number, func(t *testing.T) {
			want := &auth.Problem{Code: x.want, OAuth: x.oauth, Number: x.number, Next: "/account", Tenant: w.Tenant}
			if x.description != "" {
				want.TraceID, want.CorrelationID = someTrace, someCorrelation
			}
			b := w.Browser()
			state := must(url.Parse(b.Begin(auth.Start{Next: "/account"}))).Query().Get("state")
			done, err := b.FinishQuery(url.Values{"state": {state}, "error": {x.oauth}, "error_description": {x.description}})
			p := authtest.WantProblem(t, done, err, x.want)
			want.Time = p.Time
			if d := gocmp.Diff(want, &p); d != "" {
				t.Error(d)
			}

			h.set(func() {
				h.answer = func(rw http.ResponseWriter, _ *http.Request) {
					h.write(rw, http.StatusBadRequest, map[string]string{"error": x.oauth, "error_description": x.description})
				}
			})
			defer h.set(func() { h.answer = nil })
			done, err = b.Finish(must(h.SignIn(t.Context(), b.Begin(auth.Start{Next: "/account"}), ada)))
			p = authtest.WantProblem(t, done, err, x.want)
			if p.Err == nil || strings.Contains(p.Err.Error(), "AADSTS") {
				t.Errorf("the error keeps what the directory says: %v", p.Err)
			}
			want.Time, want.Err, p.Err = p.Time, nil, nil
			if d := gocmp.Diff(want, &p); d != "" {
				t.Error(d)
			}
		})
	}
	if n := len(w.Refusals()); n != 0 {
		t.Errorf("the audit has %d errors of the directory", n)
	}
	if s := w.Logged.String(); strings.Contains(s, "ada@") || !strings.Contains(s, someCorrelation) || !strings.Contains(s, "AADSTS50105") {
		t.Error("the log names people, or does not tell which sign-in it was")
	}
}

// Of what a directory describes, nothing is taken that is not of the form of a number or an id.
func TestProviderErrorText(t *testing.T) {
	w, _ := hostileWorld(t)
	for name, x := range map[string]struct {
		oauth, description string
		want               auth.Problem
	}{
		"a script as the error":  {"<script>alert(1)</script>", "", auth.Problem{}},
		"a long error":           {strings.Repeat("a", 65), "", auth.Problem{}},
		"an empty error":         {"", "", auth.Problem{}},
		"upper case":             {"Access_Denied", "", auth.Problem{}},
		"a number in the text":   {"server_error", "see AADSTS50105: there", auth.Problem{OAuth: "server_error"}},
		"a number with a script": {"server_error", "AADSTS50105<script>: x", auth.Problem{OAuth: "server_error"}},
		"a long number":          {"server_error", "AADSTS5010555555: x", auth.Problem{OAuth: "server_error"}},
		"an id that is none":     {"server_error", "AADSTS90000: x Trace ID: <b>1</b> Correlation ID: " + strangeID + "<", auth.Problem{OAuth: "server_error", Number: "AADSTS90000"}},
		"an id of capitals":      {"server_error", "Trace ID: " + strings.ToUpper(strangeID), auth.Problem{OAuth: "server_error"}},
		"ids far away":           {"server_error", strings.Repeat("x ", 5000) + "Trace ID: " + strangeID, auth.Problem{OAuth: "server_error"}},
		"ids in another order":   {"server_error", "Correlation ID: " + strangeID + " Trace ID: " + someTrace, auth.Problem{OAuth: "server_error", TraceID: someTrace, CorrelationID: strangeID}},
	} {
		t.Run(name, func(t *testing.T) {
			b := w.Browser()
			state := must(url.Parse(b.Begin(auth.Start{}))).Query().Get("state")
			done, err := b.FinishQuery(url.Values{"state": {state}, "error": {x.oauth}, "error_description": {x.description}, "code": {"c"}})
			p := authtest.WantProblem(t, done, err, auth.ProblemDirectory)
			x.want.Code, x.want.Tenant, x.want.Time, x.want.Next = auth.ProblemDirectory, w.Tenant, p.Time, "/"
			if d := gocmp.Diff(x.want, p); d != "" {
				t.Error(d)
			}
		})
	}
}

// A token endpoint that does not answer as one.
func TestTokenEndpointOutOfOrder(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	status := func(code int, body string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Location", h.web.URL+"/elsewhere")
			rw.WriteHeader(code)
			_, _ = rw.Write([]byte(body))
		}
	}
	for name, x := range map[string]struct {
		answer http.HandlerFunc
		want   auth.ProblemCode
	}{
		"500":                   {status(500, "<html>"), auth.ProblemUnavailable},
		"503":                   {status(503, "{}"), auth.ProblemUnavailable},
		"429":                   {status(429, ""), auth.ProblemUnavailable},
		"408":                   {status(408, ""), auth.ProblemUnavailable},
		"404":                   {status(404, "not here"), auth.ProblemDirectory},
		"a redirect":            {status(307, ""), auth.ProblemDirectory},
		"a page":                {status(200, "<html>"), auth.ProblemDirectory},
		"no tokens":             {status(200, "{}"), auth.ProblemDirectory},
		"no ID token":           {status(200, `{"access_token":"a","token_type":"Bearer"}`), auth.ProblemToken},
		"an ID token as number": {status(200, `{"access_token":"a","token_type":"Bearer","id_token":7}`), auth.ProblemToken},
		"the connection is cut": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, auth.ProblemUnavailable},
		"2 MiB":                 {status(200, `{"id_token":"`+strings.Repeat("x", 2<<20)+`"}`), auth.ProblemDirectory},
	} {
		t.Run(name, func(t *testing.T) {
			h.set(func() { h.answer = x.answer })
			defer h.set(func() { h.answer = nil })
			done, err := signIn(w, ada)
			authtest.WantProblem(t, done, err, x.want)
		})
	}
	if n := h.count("/elsewhere"); n != 0 {
		t.Errorf("%d redirects were followed, with the code", n)
	}
	admitted(w, ada)
}

// A store that fails signs nobody in.
func TestSignInWithAFailedStore(t *testing.T) {
	var store *countingStore
	w := authtest.NewWorld(t, func() directory.Store { store = &countingStore{Store: openStore(t)}; return store }(),
		func(now func() time.Time) authtest.Provider { return newHostile(t, now) })
	ada := w.Person("ada")
	b := w.Browser()
	back := must(w.Provider.SignIn(t.Context(), b.Begin(auth.Start{}), ada))
	broken := errors.New("disk")
	store.fail.Store(&broken)
	done, err := b.Finish(back)
	if p := authtest.WantProblem(t, done, err, auth.ProblemInternal); !errors.Is(&p, broken) {
		t.Errorf("the problem is %v", &p)
	}
	if _, err := w.Browser().TryBegin(auth.Start{}); !errors.Is(err, broken) {
		t.Errorf("begins with %v", err)
	}
}

// A vault that does not seal begins no sign-in.
func TestBeginWithoutVault(t *testing.T) {
	w, _ := hostileWorld(t)
	config := w.Config()
	config.Seal = func([]byte, string) (string, error) { return "", errors.New("no key") }
	_, cookie, err := auth.NewSignIn(config).Begin(t.Context(), auth.Start{Tenant: w.Tenant.ID})
	var p *auth.Problem
	if !errors.As(err, &p) || p.Code != auth.ProblemInternal || cookie != nil {
		t.Errorf("begins with %v and %v", cookie, err)
	}
}

// What must not be in a log is not: codes, states, secrets, tokens, names.
func TestSignInLogsNoSecrets(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	var secrets []string
	h.set(func() { h.wrap = func(s string) string { secrets = append(secrets, s); return s } })
	b := w.Browser()
	for _, claims := range []func(_, c map[string]any){nil, setClaim("aud", "x"), setClaim("oid", strangeID), setClaim("tid", strangeID)} {
		h.set(func() { h.claims = claims })
		address := b.Begin(auth.Start{LoginHint: "ada@fjord.example"})
		for _, c := range b.Cookies() {
			secrets = append(secrets, c.Value)
		}
		back := must(h.SignIn(t.Context(), address, ada))
		q := must(url.Parse(back)).Query()
		secrets = append(secrets, q.Get("code"), q.Get("state"), must(url.Parse(address)).Query().Get("nonce"))
		done, _ := b.Finish(back)
		if done.Secret != "" {
			secrets = append(secrets, done.Secret)
		}
	}
	log := w.Logged.String()
	if strings.Count(log, "\n") != 3 {
		t.Errorf("%d lines are logged, want one for each refusal", strings.Count(log, "\n"))
	}
	for _, s := range append(secrets, "ada@fjord.example", "Lovelace", "s3cret-of-the-application") {
		if s != "" && strings.Contains(log, s) {
			t.Errorf("the log holds %.20q", s)
		}
	}
	if !strings.Contains(log, `"request":"r1"`) {
		t.Error("the log does not name the request")
	}
}

// tellingStore tells of each change when it is over.
type tellingStore struct {
	directory.Store
	over chan struct{}
}

func (s *tellingStore) Update(ctx context.Context, fn func(directory.Writer) error) error {
	defer func() { s.over <- struct{}{} }()
	return s.Store.Update(ctx, fn)
}

// The directory is asked once for a person, however many come meanwhile.
func TestProvisionOnce(t *testing.T) {
	const browsers = 5
	var h *hostile
	store := &tellingStore{openStore(t), make(chan struct{}, 1000)}
	w := authtest.NewWorld(t, store, func(now func() time.Time) authtest.Provider { h = newHostile(t, now); return h })
	object := h.AddPerson("carl")
	var asked atomic.Int64
	w.Asked = func(ctx context.Context, _ *directory.Tenant, _ directory.ID) error {
		asked.Add(1)
		if _, ok := ctx.Deadline(); !ok {
			t.Error("there is no limit to the time")
		}
		for range 2 * browsers { // each has spent its state and was not known
			<-store.over
		}
		w.Provision("carl", object)
		w.Join(object)
		return nil
	}
	for len(store.over) > 0 {
		<-store.over
	}
	var wg sync.WaitGroup
	for range browsers {
		b := w.Browser()
		back := must(h.SignIn(t.Context(), b.Begin(auth.Start{}), object))
		wg.Go(func() {
			if _, err := b.Finish(back); err != nil {
				t.Errorf("refused: %v", err)
			}
		})
	}
	wg.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// A tenant that loses its sign-in between the proof and the session gives no session.
func TestTenantTakenAwayMeanwhile(t *testing.T) {
	w, h := hostileWorld(t)
	carl := h.AddPerson("carl")
	w.Asked = func(ctx context.Context, tenant *directory.Tenant, _ directory.ID) error {
		w.Provision("carl", carl)
		w.Join(carl)
		_, err := w.Service.SetTenant(ctx, directory.Actor{Role: directory.RoleOperator}, tenant.ID, func(x *directory.Tenant) error {
			x.SignIn.ClientID = ""
			return nil
		})
		return err
	}
	refused(w, carl, auth.ProblemStart)
}

// Who was asked for is not asked for again for ten minutes; others are, and the same one of another tenant.
func TestProvisionAgain(t *testing.T) {
	w, h := hostileWorld(t)
	carl, dora := h.AddPerson("carl"), h.AddPerson("dora")
	asked := map[directory.ID]int{}
	var fail error
	w.Asked = func(_ context.Context, _ *directory.Tenant, who directory.ID) error { asked[who]++; return fail }
	want := func(n int, who directory.ID) {
		t.Helper()
		refused(w, who, auth.ProblemNotProvisioned)
		if asked[who] != n {
			t.Errorf("asked %d times, want %d", asked[who], n)
		}
	}
	want(1, carl)
	want(1, carl)
	fail = errors.New("Graph is down")
	want(1, dora)
	w.Clock.Advance(10*time.Minute - time.Second)
	want(1, carl)
	w.Clock.Advance(2 * time.Second)
	want(2, carl)
	if !strings.Contains(w.Logged.String(), "Graph is down") {
		t.Error("the failure is not logged")
	}
}

// Who has no access, or is inactive, is not asked for.
func TestProvisionOnlyTheUnknown(t *testing.T) {
	w, _ := hostileWorld(t)
	w.Asked = func(context.Context, *directory.Tenant, directory.ID) error { t.Error("asked"); return nil }
	ada := w.Person("ada")
	w.Leave(ada)
	refused(w, ada, auth.ProblemNoAccess)
	w.SetActive(ada, false)
	refused(w, ada, auth.ProblemInactive)

	config := w.Config()
	config.Provision = nil
	w.SignIn = auth.NewSignIn(config)
	refused(w, w.Provider.AddPerson("carl"), auth.ProblemNotProvisioned)
}

// The asking goes on when the browser leaves, for who comes next.
func TestProvisionOutlivesTheBrowser(t *testing.T) {
	w, h := hostileWorld(t)
	object := h.AddPerson("carl")
	b := w.Browser()
	back := must(url.Parse(must(h.SignIn(t.Context(), b.Begin(auth.Start{}), object)))).Query()
	ctx, leave := context.WithCancel(t.Context())
	w.Asked = func(ctx context.Context, _ *directory.Tenant, _ directory.ID) error {
		leave()
		if ctx.Err() != nil {
			t.Error("the asking ends with the browser")
		}
		w.Provision("carl", object)
		w.Join(object)
		return nil
	}
	_, _ = w.SignIn.Finish(ctx, auth.Return{Query: back, Cookies: b.Cookies()})
	admitted(w, object)
}

func TestLogoutURL(t *testing.T) {
	w, h := hostileWorld(t)
	session := &directory.Session{SignedIn: directory.SignedIn{Method: directory.MethodDirectory, TenantID: w.Tenant.ID, LogoutHint: "O.hint&x=y"}}
	got := must(url.Parse(must(w.SignIn.LogoutURL(t.Context(), session, authtest.LoggedOutURI))))
	want := url.Values{"policy": {"1"}, "client_id": {hostileClient}, "post_logout_redirect_uri": {authtest.LoggedOutURI}, "logout_hint": {"O.hint&x=y"}}
	if d := gocmp.Diff(want, got.Query()); d != "" || !strings.HasPrefix(got.String(), h.web.URL+"/"+h.directory+"/logout?") {
		t.Errorf("%s %s", got, d)
	}
	session.LogoutHint = ""
	if q := must(url.Parse(must(w.SignIn.LogoutURL(t.Context(), session, "")))).Query(); q.Has("logout_hint") || q.Has("post_logout_redirect_uri") {
		t.Errorf("%v", q)
	}
	session.TenantID = directory.ID{9}
	if got, err := w.SignIn.LogoutURL(t.Context(), session, ""); got != "" || err != nil {
		t.Errorf("a tenant that is gone: %q, %v", got, err)
	}

	w, h = hostileWorld(t)
	h.set(func() { h.document = func(d map[string]any) { delete(d, "end_session_endpoint") } })
	session.TenantID = w.Tenant.ID
	if got, err := w.SignIn.LogoutURL(t.Context(), session, ""); got != "" || err != nil {
		t.Errorf("a directory without one: %q, %v", got, err)
	}
	w, h = hostileWorld(t)
	h.web.Close()
	session.TenantID = w.Tenant.ID
	if got, err := w.SignIn.LogoutURL(t.Context(), session, ""); got != "" || err == nil {
		t.Errorf("a directory that is down: %q, %v", got, err)
	}
}

// certificate makes a certificate of a key, both in PEM.
func certificate(t *testing.T, name string) (*x509.Certificate, []byte, []byte) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key(name).Public(), key(name)))
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key(name)))})
	return must(x509.ParseCertificate(der)), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), private
}

// Each kind of credential is one that the simulated Entra takes.
func TestCredentials(t *testing.T) {
	var e *entra
	w := authtest.NewWorld(t, openStore(t), func(now func() time.Time) authtest.Provider { e = newEntra(t, now); return e })
	ada := w.Person("ada")
	leaf, public, private := certificate(t, "k1")
	if err := e.app.AddCertificate(leaf); err != nil {
		t.Fatal(err)
	}
	_, other, otherKey := certificate(t, "k2")
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key("k1"))})
	err := e.app.AddFederated(entrasim.FederatedCredential{Issuer: "https://cluster.example", Subject: "bizzscim", Keys: map[string]*rsa.PublicKey{"k1": &key("k1").PublicKey}})
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	workload := func(name string) string {
		now := time.Now()
		return sign(jose.RS256, key(name), name, map[string]any{"iss": "https://cluster.example", "sub": "bizzscim", "aud": "api://AzureADTokenExchange",
			"iat": now.Unix(), "exp": now.Add(time.Hour).Unix()})
	}
	join := func(parts ...[]byte) string { return string(bytes.Join(parts, nil)) }
	for _, x := range []struct {
		name, kind, sealed, file string
		want                     auth.ProblemCode // empty: signed in
	}{
		{"a certificate", "certificate", join(public, private), "", ""},
		{"the key first, in the old form", "certificate", join(pkcs1, public), "", ""},
		{"a chain", "certificate", join(other, public, private), "", ""},
		{"a certificate that is not registered", "certificate", join(other, otherKey), "", auth.ProblemConfiguration},
		{"the key of another certificate", "certificate", join(public, otherKey), "", auth.ProblemConfiguration},
		{"a certificate without a key", "certificate", join(public), "", auth.ProblemConfiguration},
		{"a key without a certificate", "certificate", join(private), "", auth.ProblemConfiguration},
		{"no PEM", "certificate", "secret", "", auth.ProblemConfiguration},
		{"damaged", "certificate", join(public, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")), "", auth.ProblemConfiguration},
		{"a workload", "federated", "", file("good", workload("k1")+"\n"), ""},
		{"a workload of another key", "federated", "", file("other", workload("k2")), auth.ProblemConfiguration},
		{"no file", "federated", "", filepath.Join(folder, "none"), auth.ProblemConfiguration},
		{"an empty file", "federated", "", file("empty", ""), auth.ProblemConfiguration},
		{"a file that is too large", "federated", "", file("large", "a.b."+strings.Repeat("x", 16<<10)), auth.ProblemConfiguration},
		{"an empty secret", "secret", " ", "", auth.ProblemConfiguration},
	} {
		t.Run(x.name, func(t *testing.T) {
			must(w.Service.SetCredential(t.Context(), authtest.Operator, directory.Credential{TenantID: w.Tenant.ID, Name: directory.SignInCredential,
				Kind: x.kind, Sealed: cmp.Or(x.sealed, map[bool]string{true: "", false: "-"}[x.kind == "federated"]), TokenFile: x.file}))
			done, err := signIn(w, ada)
			if x.want == "" {
				w.WantSession(done, err)
				return
			}
			p := authtest.WantProblem(t, done, err, x.want)
			if asked := x.name == "a certificate that is not registered" || x.name == "a workload of another key"; asked != (p.OAuth != "") {
				t.Errorf("the directory was asked: %q", p.OAuth)
			}
			if p.Err != nil && strings.Contains(p.Err.Error(), "BEGIN") {
				t.Errorf("the error quotes the key: %v", p.Err)
			}
		})
	}
	must(w.Service.SetCredential(t.Context(), authtest.Operator, directory.Credential{TenantID: w.Tenant.ID, Name: directory.SignInCredential, Kind: "federated", TokenFile: file("renewed", "old.and.bad")}))
	refused(w, ada, auth.ProblemConfiguration)
	file("renewed", workload("k1")) // read each time
	admitted(w, ada)

	config := w.Config()
	config.Open = func(*directory.Credential) ([]byte, error) { return nil, errors.New("sealed with another key") }
	w.SignIn = auth.NewSignIn(config)
	for _, kind := range []string{"secret", "certificate"} {
		must(w.Service.SetCredential(t.Context(), authtest.Operator, directory.Credential{TenantID: w.Tenant.ID, Name: directory.SignInCredential, Kind: kind, Sealed: "-"}))
		refused(w, ada, auth.ProblemConfiguration)
	}
}

// The assertion of a certificate says what Microsoft asks for, is made anew each time and lives for minutes.
func TestClientAssertion(t *testing.T) {
	w, h := hostileWorld(t)
	ada := w.Person("ada")
	leaf, public, private := certificate(t, "k1")
	must(w.Service.SetCredential(t.Context(), authtest.Operator, directory.Credential{TenantID: w.Tenant.ID, Name: directory.SignInCredential, Kind: "certificate",
		Sealed: string(append(public, private...))}))
	seen := map[string]bool{}
	for range 2 {
		admitted(w, ada)
		if h.form.Has("client_secret") || h.form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			t.Errorf("the request has %v", h.form)
		}
		signed := must(jose.ParseSignedCompact(h.form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.PS256}))
		sum := sha256.Sum256(leaf.Raw)
		if got := signed.Signatures[0].Header.ExtraHeaders["x5t#S256"]; got != base64.RawURLEncoding.EncodeToString(sum[:]) {
			t.Errorf("x5t#S256 is %v", got)
		}
		var claims struct {
			Issuer   string `json:"iss"`
			Subject  string `json:"sub"`
			Audience string `json:"aud"`
			ID       string `json:"jti"`
			From     int64  `json:"nbf"`
			Until    int64  `json:"exp"`
		}
		if err := json.Unmarshal(must(signed.Verify(leaf.PublicKey)), &claims); err != nil {
			t.Fatal(err)
		}
		if seen[claims.ID] || claims.ID == "" {
			t.Errorf("jti %q again", claims.ID)
		}
		seen[claims.ID] = true
		if off := claims.From - w.Clock.Now().Unix(); off < -5 || off > 5 || claims.Until-claims.From != 300 {
			t.Errorf("good from %d for %d s", claims.From, claims.Until-claims.From)
		}
		if claims.Issuer != hostileClient || claims.Subject != hostileClient || claims.Audience != h.web.URL+"/"+h.directory+"/token" {
			t.Errorf("the assertion says %+v", claims)
		}
	}
}
