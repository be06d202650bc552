package entrasim

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// opens goes to an address with a browser and does nothing there.
func (s *signInSite) opens(b *Browser, address string) Outcome {
	s.Helper()
	o, err := b.Open(context.Background(), address)
	s.must(err)
	return o
}

var describedError = regexp.MustCompile(`^AADSTS([0-9]+): .+ Trace ID: [0-9a-f-]{36} Correlation ID: [0-9a-f-]{36} Timestamp: 2026-11-23 12:00:00Z$`)

// sentBack checks an error that goes back to the application.
func (s *signInSite) sentBack(o Outcome, code string, number int) {
	s.Helper()
	v := o.Values()
	m := describedError.FindStringSubmatch(v.Get("error_description"))
	if o.URL == nil || v.Get("error") != code || m == nil || m[1] != fmt.Sprint(number) {
		s.Errorf("page %q AADSTS%d, %v %q, want %s AADSTS%d at the application", o.Page, o.Number, v["error"], v.Get("error_description"), code, number)
		return
	}
	s.equal("what else goes back", []string{v.Get("state"), v.Get("code"), v.Get("error_uri")}, []string{"st&te", "", s.graph.LoginURL() + "error?code=" + m[1]})
	if !strings.HasPrefix(o.URL.String(), callback) && o.Form == nil {
		s.Errorf("sent to %s", o.URL)
	}
}

// shown checks an error that stays on a page.
func (s *signInSite) shown(o Outcome, page string, number int) {
	s.Helper()
	if o.URL != nil || o.Page != page || o.Number != number {
		s.Errorf("page %q AADSTS%d, sent to %v, want page %q AADSTS%d", o.Page, o.Number, o.URL, page, number)
	}
}

func TestAuthorizeErrorsThatStay(t *testing.T) {
	s := newSignInSite(t)
	graphOnly := s.app.ClientID()
	at := func(tenant string) string { return strings.Replace(s.address(), s.tenant.ID(), tenant, 1) }
	for name, test := range map[string]struct {
		address string
		number  int
	}{
		"another redirect URI":            {s.address("redirect_uri", "https://evil.example/auth/callback?via=entra"), 50011},
		"a redirect URI with more":        {s.address("redirect_uri", callback+"&x=1"), 50011},
		"a redirect URI in other case":    {s.address("redirect_uri", strings.Replace(callback, "auth", "Auth", 1)), 50011},
		"no redirect URI":                 {s.address("redirect_uri", ""), 900971},
		"unknown application":             {s.address("client_id", strangeID), 700016},
		"no application":                  {s.address("client_id", ""), 900144},
		"an application without sign-in":  {s.address("client_id", graphOnly), 500113},
		"a parameter twice":               {s.address() + "&state=x", 9000411},
		"a broken query":                  {s.address() + "&%zz", 9002313},
		"unknown tenant":                  {at(strangeID), 90002},
		"no tenant":                       {at("consumers"), 900023},
		"common":                          {at("common"), 50194},
		"organizations":                   {at("organizations"), 50194},
		"a form without an authorization": {s.base() + signInPath, 9002313},
	} {
		t.Run(name, func(t *testing.T) {
			s.T = t
			o := s.opens(s.browser(), test.address)
			s.shown(o, errorPage, test.number)
			for _, id := range []string{"trace-id", "correlation-id", "timestamp"} {
				if !regexp.MustCompile(`id="` + id + `">[0-9a-f-]{36}<|id="timestamp">2026-11-23 12:00:00Z<`).MatchString(o.HTML) {
					t.Errorf("no %s", id)
				}
			}
		})
	}
	s.T = t
	s.equal("the tenant by its domain", s.opens(s.browser(), at(s.tenant.Domain())).Page, signInPage)
}

func TestAuthorizeErrorsThatGoBack(t *testing.T) {
	s := newSignInSite(t)
	for name, test := range map[string]struct {
		change []string
		code   string
		number int
	}{
		"no response type":          {[]string{"response_type", ""}, "invalid_request", 900144},
		"implicit":                  {[]string{"response_type", "id_token"}, "unsupported_response_type", 700054},
		"hybrid":                    {[]string{"response_type", "code id_token"}, "unsupported_response_type", 700054},
		"no scope":                  {[]string{"scope", ""}, "invalid_request", 900144},
		"a scope without openid":    {[]string{"scope", "profile"}, "invalid_scope", 70011},
		"an unknown scope":          {[]string{"scope", "openid everything"}, "invalid_scope", 70011},
		"an unknown response mode":  {[]string{"response_mode", "web_message"}, "invalid_request", 70007},
		"an unknown prompt":         {[]string{"prompt", "create"}, "invalid_request", 90023},
		"two prompts":               {[]string{"prompt", "login consent"}, "invalid_request", 90023},
		"hint and choice":           {[]string{"prompt", "select_account", "login_hint", "a@b.example"}, "invalid_request", 90023},
		"no challenge":              {[]string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request", 9002325},
		"a method and no challenge": {[]string{"code_challenge", ""}, "invalid_request", 9002325},
		"plain":                     {[]string{"code_challenge_method", "plain"}, "invalid_request", 501491},
		"no method":                 {[]string{"code_challenge_method", ""}, "invalid_request", 501491},
		"a short challenge":         {[]string{"code_challenge", "abc"}, "invalid_request", 501491},
		"a challenge with padding":  {[]string{"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM="}, "invalid_request", 501491},
	} {
		t.Run(name, func(t *testing.T) {
			s.T = t
			s.sentBack(s.opens(s.browser(), s.address(test.change...)), test.code, test.number)
			// The form of a page is no way around it.
			_, query, _ := strings.Cut(s.address(test.change...), "?")
			o, err := s.browser().visit(context.Background(), http.MethodPost, s.base()+signInPath+"?"+query, url.Values{"username": {s.anna.UserPrincipalName}})
			s.must(err)
			s.sentBack(o, test.code, test.number)
		})
	}
}

func TestResponseModes(t *testing.T) {
	s := newSignInSite(t)
	for _, mode := range []string{"", modeQuery, modeFragment, modeFormPost} {
		o, err := s.browser().SignIn(context.Background(), s.address("response_mode", mode), s.anna.ID)
		s.must(err)
		s.equal(mode+": state", o.Values().Get("state"), "st&te")
		s.equal(mode+": form", o.Form != nil, mode == modeFormPost)
		s.equal(mode+": fragment", o.URL.Fragment != "", mode == modeFragment)
		s.equal(mode+": code in the query", o.URL.Query().Has("code"), mode == "" || mode == modeQuery)
		s.equal(mode+": token", s.redeem(o.Values().Get("code")).status, 200)
		s.equal(mode+": session state", len(o.Values().Get("session_state")), 36)
		o, err = s.browser().Cancel(context.Background(), s.address("response_mode", mode))
		s.must(err)
		s.sentBack(o, "access_denied", 65004)
		s.equal(mode+": error by the form", o.Form != nil, mode == modeFormPost)
	}
	post, err := s.browser().visit(context.Background(), http.MethodPost, s.base()+authorizePath, mustQuery(s.address()))
	s.must(err)
	s.equal("an authorization request by POST", post.Page, signInPage)
	post, err = s.browser().press(context.Background(), post, "account", s.anna.UserPrincipalName)
	s.must(err)
	s.equal("which goes on", s.redeem(post.Values().Get("code")).status, 200)
}

func mustQuery(address string) url.Values {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	return u.Query()
}

func TestSingleSignOn(t *testing.T) {
	s := newSignInSite(t)
	s.web.SignIn(SignInSettings{RedirectURIs: []string{callback}, OptionalClaims: []string{ClaimSID, ClaimLoginHint, ClaimAuthTime}})
	b, ctx := s.browser(), context.Background()
	s.sentBack(s.opens(b, s.address("prompt", "none")), "login_required", 50058)
	first := s.claims(b, s.anna.ID)
	s.equal("auth_time", first["auth_time"], float64(s.clock.Now().Unix()))
	s.clock.advance(time.Second)
	defer func() { s.clock.advance(-time.Second) }()

	silent := func(change ...string) map[string]any {
		s.Helper()
		o := s.opens(b, s.address(change...))
		a := s.redeem(o.Values().Get("code"))
		if a.status != 200 {
			s.Fatalf("page %q, %v: %s", o.Page, o.URL, a.body)
		}
		token, _ := a.json["id_token"].(string)
		_, claims := s.parts(token)
		return claims
	}
	for _, claims := range []map[string]any{silent(), silent("prompt", "none"), silent("login_hint", s.anna.UserPrincipalName),
		silent("prompt", "none", "login_hint", fmt.Sprint(first["login_hint"]))} {
		s.equal("one session", []any{claims["sid"], claims["oid"], claims["auth_time"], claims["sub"]}, []any{first["sid"], s.anna.ID, first["auth_time"], first["sub"]})
		if claims["uti"] == first["uti"] {
			t.Error("two tokens with one id")
		}
	}
	s.equal("prompt=login asks", s.opens(b, s.address("prompt", "login")).Page, signInPage)
	s.equal("prompt=select_account asks", strings.Contains(s.opens(b, s.address("prompt", "select_account")).HTML, "<span>Signed in</span>"), true)
	s.equal("a hint at somebody else asks", s.opens(b, s.address("login_hint", s.bert.UserPrincipalName)).Page, signInPage)
	s.clock.advance(-time.Second)
	s.sentBack(s.opens(b, s.address("login_hint", s.bert.UserPrincipalName, "prompt", "none")), "login_required", 50058)
	s.clock.advance(time.Second)
	s.equal("another browser knows nobody", s.opens(s.browser(), s.address()).Page, signInPage)
	again := s.claims(b, s.anna.ID, "prompt", "login")
	s.equal("signed in again", []any{again["sid"], again["auth_time"]}, []any{first["sid"], float64(s.clock.Now().Unix())})

	// A second account in the same browser.
	bert := s.claims(b, s.bert.ID, "prompt", "select_account")
	if bert["sid"] == first["sid"] || bert["oid"] != s.bert.ID {
		t.Errorf("the second account has sid %v of the first, or is %v", bert["sid"], bert["oid"])
	}
	s.equal("two accounts ask", s.opens(b, s.address()).Page, signInPage)
	s.clock.advance(-time.Second)
	s.sentBack(s.opens(b, s.address("prompt", "none")), "interaction_required", 16000)
	s.clock.advance(time.Second)
	s.equal("a hint chooses", silent("login_hint", s.anna.UserPrincipalName)["oid"], s.anna.ID)
	s.equal("and the opaque one", silent("login_hint", fmt.Sprint(bert["login_hint"]))["oid"], s.bert.ID)

	// Another application shares the session and sees another subject.
	other := s.graph.App("")
	other.SignIn(SignInSettings{RedirectURIs: []string{callback}, OptionalClaims: []string{ClaimSID}})
	secret := other.NewSecret(s.clock.Now().Add(time.Hour))
	o, err := b.SignIn(ctx, s.address("client_id", other.ClientID(), "login_hint", s.anna.UserPrincipalName), "nobody")
	s.must(err)
	a := s.redeem(o.Values().Get("code"), "client_id", other.ClientID(), "client_secret", secret)
	token, _ := a.json["id_token"].(string)
	_, claims := s.parts(token)
	s.equal("another application", []any{claims["sid"], claims["oid"], claims["sub"] == first["sub"]}, []any{first["sid"], s.anna.ID, false})
}

func TestSessionCookie(t *testing.T) {
	s := newSignInSite(t)
	_, query, _ := strings.Cut(s.address(), "?")
	a := s.do(http.MethodPost, s.base()+signInPath+"?"+query, "username="+url.QueryEscape(s.anna.UserPrincipalName))
	cookie := a.header.Get("Set-Cookie")
	if !regexp.MustCompile(`^ESTSAUTH=[A-Za-z0-9_-]{64}; Path=/; HttpOnly; Secure; SameSite=None$`).MatchString(cookie) {
		t.Errorf("cookie %q", cookie)
	}
	s.equal("status", a.status, http.StatusFound)
	a = s.get(s.address(), "Cookie", "ESTSAUTH=invented")
	s.equal("an invented cookie", []any{a.status, strings.Contains(string(a.body), `data-page="sign-in"`)}, []any{200, true})
}

func TestPages(t *testing.T) {
	s := newSignInSite(t)
	a := s.get(s.address("login_hint", `"><script>x</script>@a.example`, "domain_hint", "nordwind.example"))
	page := string(a.body)
	for _, want := range []string{`<form method="post" action="/` + s.tenant.ID() + `/login?`, `<ul id="account">`, `data-upn="` + s.anna.UserPrincipalName + `"`,
		`<label for="username">`, `<input id="username" name="username" value="&#34;&gt;&lt;script&gt;x&lt;/script&gt;@a.example"`, `<button id="next"`, `<button id="cancel"`, `<html lang="en">`} {
		if !strings.Contains(page, want) {
			t.Errorf("the sign-in page lacks %s", want)
		}
	}
	s.equal("headers", []string{a.header.Get("Content-Type"), a.header.Get("X-Frame-Options"), a.header.Get("Cache-Control")},
		[]string{"text/html; charset=utf-8", "DENY", "no-store, no-cache"})
	s.must(s.tenant.SoftDelete(s.bert.ID))
	for range maxListed {
		s.tenant.Hire(Person{})
	}
	page = string(s.get(s.address()).body)
	s.equal("people in the list", strings.Count(page, "data-upn="), maxListed)
	s.equal("the deleted in it", strings.Contains(page, s.bert.UserPrincipalName), false)
	o := s.opens(s.browser(), s.address())
	o, err := s.browser().press(context.Background(), o, "username", "  ")
	s.must(err)
	s.shown(o, signInPage, 50056)
}

func TestTroublesOfTheDirectory(t *testing.T) {
	s := newSignInSite(t)
	ctx := context.Background()
	try := func(name string, change ...string) Outcome {
		s.Helper()
		o, err := s.browser().SignIn(ctx, s.address(change...), name)
		s.must(err)
		return o
	}
	s.shown(try("nobody@"+s.tenant.Domain()), signInPage, 50034)
	s.shown(try("nobody"), signInPage, 50034)
	s.shown(try("someone@elsewhere.example"), errorPage, 50020)
	guest := s.tenant.Hire(Person{GivenName: "Gia", HomeDomain: "partner.example"})
	claims := s.claims(s.browser(), strings.ToUpper(guest.Mail))
	s.equal("guest", []any{claims["oid"], claims["email"], claims["preferred_username"], strings.HasPrefix(fmt.Sprint(claims["idp"]), guestIssuerBase)},
		[]any{guest.ID, guest.Mail, guest.Mail, true})
	s.equal("a member by their mail", s.claims(s.browser(), s.anna.UserPrincipalName)["email"], nil)

	b := s.browser()
	s.signs(b, s.bert.ID)
	code := s.signs(b, s.bert.ID)
	s.must(s.tenant.Disable(s.bert.ID))
	s.shown(try(s.bert.ID), signInPage, 50057)
	refused := s.browser()
	_, err := refused.SignIn(ctx, s.address(), s.bert.ID)
	s.must(err)
	s.sentBack(s.opens(refused, s.address("prompt", "none")), "login_required", 50058) // not signed in to Entra either
	s.shown(s.opens(b, s.address()), signInPage, 50057)
	s.sentBack(s.opens(b, s.address("prompt", "none")), "interaction_required", 50057)
	s.aadsts(s.redeem(code), 400, "invalid_grant", 50057)
	s.must(s.tenant.Enable(s.bert.ID))
	s.equal("enabled again", s.redeem(code).status, 200)
	code = s.signs(b, s.bert.ID)
	s.must(s.tenant.SoftDelete(s.bert.ID))
	s.shown(s.opens(b, s.address()), signInPage, 50034)
	s.must(s.tenant.SoftDelete(guest.ID))
	for name, number := range map[string]int{s.bert.UserPrincipalName: 50034, guest.Mail: 50020} {
		refused := s.browser()
		o, err := refused.SignIn(ctx, s.address(), name)
		s.must(err)
		s.equal("deleted: AADSTS", o.Number, number)
		s.sentBack(s.opens(refused, s.address("prompt", "none")), "login_required", 50058)
	}
	s.aadsts(s.redeem(code), 400, "invalid_grant", 50034)
}

func TestTroubles(t *testing.T) {
	s := newSignInSite(t)
	ctx := context.Background()
	type way struct {
		page   string // empty: it goes back to the application
		code   string // when it goes back
		silent string // with prompt=none
	}
	ways := map[int]way{
		50034: {signInPage, "access_denied", "login_required"}, 50053: {signInPage, "access_denied", "interaction_required"},
		50057: {signInPage, "access_denied", "interaction_required"}, 50126: {signInPage, "access_denied", "interaction_required"},
		50020: {errorPage, "access_denied", "interaction_required"}, 50076: {errorPage, "interaction_required", "interaction_required"},
		50079: {errorPage, "interaction_required", "interaction_required"}, 50105: {errorPage, "access_denied", "interaction_required"},
		53000: {errorPage, "access_denied", "interaction_required"}, 53003: {errorPage, "access_denied", "interaction_required"},
		90072: {errorPage, "access_denied", "interaction_required"}, 90094: {errorPage, "access_denied", "consent_required"},
		16000: {"", "interaction_required", "interaction_required"}, 50000: {"", "server_error", "server_error"}, 50058: {"", "login_required", "login_required"},
		65001: {"", "consent_required", "consent_required"}, 65004: {"", "access_denied", "access_denied"}, 90033: {"", "temporarily_unavailable", "temporarily_unavailable"},
	}
	s.equal("troubles", len(Troubles()), len(ways))
	if err := s.graph.Trouble(s.anna.ID, Trouble{Number: 1}); err == nil {
		t.Error("AADSTS1 is taken")
	}
	signedIn := s.browser()
	s.signs(signedIn, s.anna.ID)
	for _, number := range Troubles() {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			s.T = t
			want, ok := ways[number]
			if !ok {
				t.Fatal("not in the table of this test")
			}
			s.must(s.graph.Trouble(s.anna.ID, Trouble{Number: number}))
			o, err := s.browser().SignIn(ctx, s.address(), s.anna.ID)
			s.must(err)
			if want.page == "" {
				s.sentBack(o, want.code, number)
			} else {
				s.shown(o, want.page, number)
			}
			s.sentBack(s.opens(signedIn, s.address("prompt", "none")), want.silent, number)
			s.must(s.graph.Trouble(s.anna.ID, Trouble{Number: number, Redirect: true}))
			o, err = s.browser().SignIn(ctx, s.address(), s.anna.UserPrincipalName)
			s.must(err)
			s.sentBack(o, want.code, number)
			if strings.ContainsAny(o.Values().Get("error_description"), "{}") {
				t.Errorf("description %s", o.Values().Get("error_description"))
			}
			s.equal("somebody else", s.claims(s.browser(), s.bert.ID)["oid"], s.bert.ID)
		})
	}
	s.T = t
	s.must(s.graph.Trouble(s.anna.ID, Trouble{}))
	s.must(s.graph.Trouble("", Trouble{Number: 90033}))
	s.must(s.graph.Trouble("Ghost@Partner.example", Trouble{Number: 90072}))
	o, err := s.browser().SignIn(ctx, s.address(), "ghost@partner.example")
	s.must(err)
	s.shown(o, errorPage, 90072)
	o, err = s.browser().SignIn(ctx, s.address(), s.anna.ID)
	s.must(err)
	s.sentBack(o, "temporarily_unavailable", 90033)
	s.must(s.graph.Trouble("", Trouble{}))
	s.signs(s.browser(), s.anna.ID)
}

func TestAssignment(t *testing.T) {
	s := newSignInSite(t)
	group := s.tenant.CreateGroup("Planners").ID
	nested := s.tenant.CreateGroup("Nested").ID
	s.must(s.tenant.AddMember(group, nested))
	s.must(s.tenant.AddMember(nested, s.bert.ID))
	settings := SignInSettings{RedirectURIs: []string{callback}, AssignmentRequired: true,
		Assignments: map[string][]string{group: {"Planner", "Reader"}, s.anna.ID: {"Reader"}}}
	s.web.SignIn(settings)
	s.equal("roles", s.claims(s.browser(), s.anna.ID)["roles"], []any{"Reader"})
	b := s.browser()
	o, err := b.SignIn(context.Background(), s.address(), s.bert.ID)
	s.must(err)
	s.shown(o, errorPage, 50105) // a member of a nested group is not assigned
	s.sentBack(s.opens(b, s.address("prompt", "none")), "interaction_required", 50105)
	s.must(s.tenant.AddMember(group, s.anna.ID))
	s.must(s.tenant.AddMember(group, s.bert.ID))
	s.equal("roles of both ways", s.claims(s.browser(), s.anna.ID)["roles"], []any{"Planner", "Reader"})
	s.equal("roles of the group", s.claims(b, s.bert.ID)["roles"], []any{"Planner", "Reader"})
	s.must(s.tenant.RemoveMember(group, s.bert.ID))
	settings.AssignmentRequired = false
	s.web.SignIn(settings)
	s.equal("nobody has to be assigned", s.claims(s.browser(), s.bert.ID)["roles"], nil)
}

func TestConsent(t *testing.T) {
	s := newSignInSite(t)
	ctx := context.Background()
	s.web.SignIn(SignInSettings{RedirectURIs: []string{callback}, Consent: ConsentByUser})
	b := s.browser()
	o, err := b.SignInTo(ctx, s.address(), s.anna.ID)
	s.must(err)
	s.equal("page", o.Page, consentPage)
	for _, want := range []string{`<button id="accept"`, `<button id="cancel"`, s.anna.UserPrincipalName, "Sign you in", "View your basic profile"} {
		if !strings.Contains(o.HTML, want) {
			t.Errorf("the consent page lacks %s", want)
		}
	}
	s.sentBack(s.opens(b, s.address("prompt", "none")), "consent_required", 65001)
	declined, err := b.Decline(ctx, s.address(), s.anna.ID)
	s.must(err)
	s.sentBack(declined, "access_denied", 65004)
	s.equal("subcode", declined.Values().Get("error_subcode"), "cancel")
	cancelled, err := b.Cancel(ctx, s.address())
	s.must(err)
	s.sentBack(cancelled, "access_denied", 65004)

	o, err = b.press(ctx, o, "consent", s.bert.ID) // who is not signed in here
	s.must(err)
	s.equal("for somebody else", o.Page, signInPage)
	s.sentBack(s.opens(b, s.address("prompt", "none")), "consent_required", 65001)

	s.signs(b, s.anna.ID)
	s.equal("asked once", s.opens(b, s.address("prompt", "none")).Values().Has("code"), true)
	s.equal("prompt=consent asks again", s.opens(b, s.address("prompt", "consent")).Page, consentPage)
	s.signs(b, s.anna.ID, "prompt", "consent")
	berts := s.browser()
	o, err = berts.SignInTo(ctx, s.address(), s.bert.ID)
	s.must(err)
	s.equal("somebody else is asked", o.Page, consentPage)

	s.web.SignIn(SignInSettings{RedirectURIs: []string{callback}, Consent: ConsentByAdmin})
	o, err = berts.press(ctx, o, "consent", s.bert.ID)
	s.must(err)
	s.equal("only an administrator may", o.Page, signInPage)
	s.shown(s.opens(berts, s.address()), errorPage, 90094)
	s.sentBack(s.opens(berts, s.address("prompt", "none")), "consent_required", 65001)
	s.equal("who has consented before", s.opens(b, s.address()).Values().Has("code"), true)
	s.web.SignIn(SignInSettings{RedirectURIs: []string{callback}})
	s.equal("consented for all, prompt=consent", s.opens(b, s.address("prompt", "consent")).Page, consentPage)
	s.signs(s.browser(), s.bert.ID)
}
