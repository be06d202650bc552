package entrasim

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// frontChannel is an application's end of a sign-out: it notes what it is called with.
type frontChannel struct {
	*httptest.Server
	mu    sync.Mutex
	calls []*http.Request
}

func newFrontChannel(t *testing.T) *frontChannel {
	f := &frontChannel{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.calls = append(f.calls, r)
	}))
	t.Cleanup(f.Close)
	return f
}

// take gives the calls since the last time, as their URLs.
func (f *frontChannel) take() (out []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.calls {
		out = append(out, r.URL.String())
		if len(r.Cookies()) > 0 {
			out = append(out, "with cookies")
		}
	}
	f.calls = nil
	return out
}

func TestSignOut(t *testing.T) {
	s := newSignInSite(t)
	f := newFrontChannel(t)
	ctx := context.Background()
	after := "https://bizz.example/signed-out?reason=user"
	s.web.SignIn(SignInSettings{RedirectURIs: []string{callback}, PostLogoutURIs: []string{after}, OptionalClaims: []string{ClaimSID, ClaimLoginHint},
		FrontChannelLogoutURL: f.URL + "/out?app=web"})
	other := s.graph.App("")
	other.SignIn(SignInSettings{RedirectURIs: []string{callback}, FrontChannelLogoutURL: f.URL + "/other"})
	quiet := s.graph.App("")
	quiet.SignIn(SignInSettings{RedirectURIs: []string{callback}})
	b := s.browser()
	site, err := url.Parse(f.URL)
	s.must(err)
	b.Client.Jar.SetCookies(site, []*http.Cookie{{Name: "session", Value: "lax"}})
	sid, _ := s.claims(b, s.anna.ID)["sid"].(string)
	for _, app := range []*App{other, quiet} {
		s.signs(b, s.anna.ID, "client_id", app.ClientID())
	}
	elsewhere := s.browser()
	s.signs(elsewhere, s.anna.ID)

	logout := s.base() + logoutPath
	out := func(b *Browser, name string, change ...string) Outcome {
		s.Helper()
		v := url.Values{"post_logout_redirect_uri": {after}, "state": {"a b"}}
		edit(v, change)
		o, err := b.SignOut(ctx, logout+"?"+v.Encode(), name)
		s.must(err)
		s.equal("page", o.Page, signOutPage)
		return o
	}
	to := func(o Outcome) string {
		if o.URL == nil {
			return ""
		}
		return o.URL.String()
	}
	o := out(b, "")
	s.equal("where to", to(o), after+"&state=a+b")
	s.equal("frames", o.Frames, map[string]int{f.URL + "/out?app=web&sid=" + sid: 200, f.URL + "/other?sid=" + sid: 200})
	calls := strings.Join(f.take(), " ")
	if !strings.Contains(calls, "/out?app=web&sid="+sid) || !strings.Contains(calls, "/other?sid="+sid) || strings.Contains(calls, "iss") || strings.Contains(calls, "cookies") {
		t.Errorf("calls %s", calls)
	}
	s.equal("the session has ended", s.opens(b, s.address()).Page, signInPage)
	s.equal("that of another browser has not", s.opens(elsewhere, s.address()).Values().Has("code"), true)
	s.graph.provider.mu.Lock()
	s.equal("sessions that are remembered", len(s.graph.provider.sessions), 1)
	s.graph.provider.mu.Unlock()

	o = out(b, "", "state", "")
	s.equal("nobody is signed in", []any{to(o), len(o.Frames), len(f.take())}, []any{after, 0, 0})
	for _, address := range []string{"https://evil.example/", after + "x", "javascript:alert(1)", ""} {
		s.equal(address, to(out(b, "", "post_logout_redirect_uri", address)), "")
	}
	s.equal("a redirect URI will do", to(out(b, "", "post_logout_redirect_uri", callback)), callback+"&state=a+b")

	cookie := s.do(http.MethodPost, logout, "").header.Get("Set-Cookie")
	s.equal("cookie without a session", cookie, "")
	signedIn := s.browser()
	again, _ := s.claims(signedIn, s.anna.ID)["sid"].(string)
	if again == sid {
		t.Error("a new session has the sid of the old one")
	}
	at, err := url.Parse(s.graph.LoginURL())
	s.must(err)
	s.equal("cookies before", len(signedIn.Client.Jar.Cookies(at)), 1)
	out(signedIn, "")
	s.equal("cookies after", len(signedIn.Client.Jar.Cookies(at)), 0)
}

func TestSignOutOfOneAccount(t *testing.T) {
	s := newSignInSite(t)
	f := newFrontChannel(t)
	ctx := context.Background()
	s.web.SignIn(SignInSettings{RedirectURIs: []string{callback}, OptionalClaims: []string{ClaimSID, ClaimLoginHint}, FrontChannelLogoutURL: f.URL})
	b := s.browser()
	anna := s.claims(b, s.anna.ID)
	bert := s.claims(b, s.bert.ID, "prompt", "select_account")
	logout := s.base() + logoutPath + "?" + url.Values{"post_logout_redirect_uri": {callback}, "state": {"x"}}.Encode()
	o := s.opens(b, logout)
	s.equal("two accounts ask", o.Page, pickPage)
	if !strings.Contains(o.HTML, `data-upn="`+s.bert.UserPrincipalName+`"`) {
		t.Error("the second account is not offered")
	}
	if _, err := b.SignOut(ctx, logout, "nobody"); err == nil {
		t.Error("nobody signs out")
	}
	s.equal("nobody was told", len(f.take()), 0)
	o, err := b.SignOut(ctx, logout, s.bert.ID)
	s.must(err)
	s.equal("where to", o.URL.String(), callback+"&state=x")
	sid, _ := bert["sid"].(string)
	s.equal("calls", f.take(), []string{"/?sid=" + sid})
	s.equal("the other stays", s.opens(b, s.address("prompt", "none", "login_hint", s.anna.UserPrincipalName)).Values().Has("code"), true)

	s.claims(b, s.bert.ID, "prompt", "select_account")
	hint, _ := anna["login_hint"].(string)
	o, err = b.SignOut(ctx, logout+"&logout_hint="+url.QueryEscape(hint), "")
	s.must(err)
	sid, _ = anna["sid"].(string)
	s.equal("a hint does not ask", []any{o.Page, f.take()}, []any{signOutPage, []string{"/?sid=" + sid}})
	s.equal("the last does not ask", s.opens(b, logout).Page, signOutPage)
	if o, err := b.SignOut(ctx, s.graph.LoginURL()+strangeID+logoutPath, ""); err != nil || o.Number != 90002 {
		t.Errorf("another tenant: AADSTS%d %v", o.Number, err)
	}
	s.equal("broken", s.opens(b, logout+"&%zz").Number, 9002313)
	s.equal("common", s.opens(b, s.graph.LoginURL()+"common"+logoutPath).Page, signOutPage)
}

func TestSignOutTellsThoseAlone(t *testing.T) {
	s := newSignInSite(t)
	f := newFrontChannel(t)
	s.web.SignIn(SignInSettings{RedirectURIs: []string{callback}, FrontChannelLogoutURL: f.URL, Consent: ConsentByAdmin})
	b := s.browser()
	o, err := b.SignIn(context.Background(), s.address(), s.anna.ID)
	s.must(err)
	s.shown(o, errorPage, 90094) // signed in to Entra, but not to the application
	_, err = b.SignOut(context.Background(), s.base()+logoutPath, "")
	s.must(err)
	s.equal("calls", len(f.take()), 0)

	quiet := s.graph.App("")
	quiet.SignIn(SignInSettings{RedirectURIs: []string{callback}})
	s.web.SignIn(SignInSettings{RedirectURIs: []string{callback}, FrontChannelLogoutURL: f.URL})
	s.signs(b, s.bert.ID, "client_id", quiet.ClientID())
	s.signs(s.browser(), s.anna.ID) // to the application, but in another browser
	_, err = b.SignOut(context.Background(), s.base()+logoutPath, "")
	s.must(err)
	s.equal("calls", len(f.take()), 0)
}
