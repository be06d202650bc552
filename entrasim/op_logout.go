package entrasim

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
)

// logout answers end_session (OpenID Connect RP-Initiated Logout 1.0) as Entra does: it ends the session of one account
// in the browser, whichever application asked, and tells every application that the account signed in to by a frame
// (OpenID Connect Front-Channel Logout 1.0, with sid alone). An id_token_hint is not needed and not looked at.
func (p *provider) logout(c *call, tenant string) *response {
	form, ok := c.parameters()
	if !isTemplate(tenant) {
		if bad := p.g.tokens.checkTenant(tenant); bad != nil {
			return p.errorPage(c, bad)
		}
	}
	if !ok {
		return p.errorPage(c, badToken(http.StatusBadRequest, "invalid_request", 9002313, "Invalid request. Request is malformed or invalid."))
	}
	accounts := p.accounts(c)
	i := slices.IndexFunc(accounts, func(a account) bool {
		return form.Get("logout_hint") == p.hint(a.user) || form.Get("account") == a.user
	})
	switch {
	case i >= 0:
	case len(accounts) > 1:
		return p.pickPage(c, tenant, form, accounts)
	case len(accounts) == 1:
		i = 0
	default:
		return c.show(http.StatusOK, signOutPage, map[string]any{"Next": p.afterLogout(form)})
	}
	left := p.leave(c, accounts[i].user)
	a := c.show(http.StatusOK, signOutPage, map[string]any{"Next": p.afterLogout(form), "Frames": p.frames(accounts[i])})
	if left == 0 {
		a.header.Add("Set-Cookie", p.cookie("").String())
	}
	return a
}

// pickPage asks which account to sign out of. The form posts what the request had, and the choice.
func (p *provider) pickPage(c *call, tenant string, form url.Values, accounts []account) *response {
	var signed []User
	for _, a := range accounts {
		if u := p.g.tenant.user(a.user); u != nil {
			signed = append(signed, *u)
		}
	}
	kept := url.Values{}
	for _, name := range []string{"post_logout_redirect_uri", "state"} {
		if form.Has(name) {
			kept.Set(name, form.Get(name))
		}
	}
	return c.show(http.StatusOK, pickPage, map[string]any{"Action": "/" + tenant + logoutPath, "Signed": signed, "Kept": kept})
}

// leave ends the session of an account in the browser and says how many others stay.
func (p *provider) leave(c *call, user string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.browser(c)
	if s == nil {
		return 0
	}
	s.accounts = slices.DeleteFunc(s.accounts, func(a *account) bool { return a.user == user })
	if len(s.accounts) == 0 {
		maps.DeleteFunc(p.sessions, func(_ string, o *browserSession) bool { return o == s })
	}
	return len(s.accounts)
}

// frames are the addresses at which applications are told that an account has signed out.
func (p *provider) frames(a account) []string {
	var out []string
	for id := range a.apps {
		if app := p.g.app(id); app != nil {
			if address := app.signInSettings().FrontChannelLogoutURL; address != "" {
				out = append(out, with(address, "sid", a.sid))
			}
		}
	}
	slices.Sort(out)
	return out
}

// afterLogout is where the browser goes then: an address that an application of the tenant has registered, or nowhere.
func (p *provider) afterLogout(form url.Values) string {
	address := form.Get("post_logout_redirect_uri")
	if address == "" || !p.g.registered(address) {
		return ""
	}
	if form.Has("state") {
		address = with(address, "state", form.Get("state"))
	}
	return address
}

// registered reports whether an application may send the browser to an address after a sign-out.
func (g *Graph) registered(address string) bool {
	g.mu.Lock()
	apps := make([]*App, 0, len(g.apps))
	for _, a := range g.apps {
		apps = append(apps, a)
	}
	g.mu.Unlock()
	return slices.ContainsFunc(apps, func(a *App) bool {
		s := a.signInSettings()
		return slices.Contains(s.RedirectURIs, address) || slices.Contains(s.PostLogoutURIs, address)
	})
}
