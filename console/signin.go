package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

// tenantCookie remembers which organization a browser signed in with: the tenant's id.
const tenantCookie = "__Host-tenant"

type loginData struct {
	Next       string
	Tenant     *directory.Tenant    // remembered; nil: none
	SignedIn   *directory.Principal // who is signed in already; nil: nobody
	Email      string
	EmailError string // key of a text
}

// login is the chooser.
func (c *Console) login(v *visit) error {
	return c.chooser(v, http.StatusOK, loginData{Next: auth.SafeNext(v.r.URL.Query().Get("next"))})
}

func (c *Console) chooser(v *visit, status int, data loginData) error {
	tenant, err := c.signInTenant(v.r.Context(), rememberedTenant(v.r))
	if err != nil {
		return err
	}
	data.Tenant, data.SignedIn = tenant, c.who(v)
	c.render(v, status, "login", "login.title", data)
	return nil
}

// rememberedTenant is the tenant of the browser's last sign-in; zero: none.
func rememberedTenant(r *http.Request) directory.ID {
	cookie, err := r.Cookie(tenantCookie)
	if err != nil {
		return directory.ID{}
	}
	id, _ := directory.ParseID(cookie.Value)
	return id
}

// loginPost begins a sign-in with the tenant that was chosen, or with the one of an e-mail address.
func (c *Console) loginPost(v *visit) error {
	form := v.r.PostForm
	next := auth.SafeNext(form.Get("next"))
	if form.Has("tenant") {
		id, ok := directory.ParseID(form.Get("tenant"))
		if !ok {
			return c.notSetUp(next)
		}
		prompt := ""
		if form.Get("prompt") == "select_account" {
			prompt = "select_account"
		}
		return c.begin(v, auth.Start{Tenant: id, Next: next, Prompt: prompt})
	}
	email := strings.TrimSpace(form.Get("email"))
	again := loginData{Next: next, Email: email, EmailError: "login.email.unknown"}
	if email == "" || len(email) > 320 || strings.ContainsAny(email, " \t\r\n\x00") || !strings.Contains(email, ".") {
		again.EmailError = "login.email.malformed"
		return c.chooser(v, http.StatusUnprocessableEntity, again)
	}
	var some []*directory.Tenant
	err := c.config.Directory.View(v.r.Context(), func(sn *directory.Snapshot) (err error) {
		some, err = sn.TenantsByDomain(email)
		return err
	})
	if err != nil {
		return err
	}
	if len(some) != 1 { // none and several look the same: who uses what is nobody's affair
		return c.chooser(v, http.StatusUnprocessableEntity, again)
	}
	hint := ""
	if strings.Contains(email, "@") {
		hint = email
	}
	return c.begin(v, auth.Start{Tenant: some[0].ID, Next: next, LoginHint: hint})
}

// loginEnvironment begins a sign-in with the tenant of an environment: the link that an environment's people are given.
func (c *Console) loginEnvironment(v *visit) error {
	next := auth.SafeNext(v.r.URL.Query().Get("next"))
	id, ok := directory.ParseID(v.r.PathValue("id"))
	if !ok {
		return c.notSetUp(next)
	}
	var tenant directory.ID
	err := c.config.Directory.View(v.r.Context(), func(sn *directory.Snapshot) error {
		env, err := sn.Environment(id)
		if err == nil && env.Integration.Enabled {
			tenant = env.Integration.TenantID
		}
		return err
	})
	if err != nil && directory.KindOf(err) != directory.NotFound {
		return err
	}
	if tenant.IsZero() {
		return c.notSetUp(next)
	}
	return c.begin(v, auth.Start{Tenant: tenant, Next: next})
}

// notSetUp is the same for what is unknown and for what nobody signs in with.
func (c *Console) notSetUp(next string) error {
	return &auth.Problem{Code: auth.ProblemNotSetUp, Time: c.config.Now(), Next: next}
}

// begin sends the browser to the directory.
func (c *Console) begin(v *visit, in auth.Start) error {
	address, cookie, err := c.config.SignIn.Begin(v.r.Context(), in)
	if err != nil {
		var problem *auth.Problem
		if errors.As(err, &problem) && problem.Code == auth.ProblemNotSetUp {
			return c.notSetUp(in.Next) // without the tenant: this answer tells nothing of it
		}
		return err
	}
	for _, old := range c.config.SignIn.MakeRoom(v.r.Cookies()) {
		http.SetCookie(v.w, old)
	}
	http.SetCookie(v.w, cookie)
	c.onward(v, onwardData{Address: address})
	return nil
}

// callback ends a sign-in: the browser comes back from the directory. It is sent on at once, so that the
// address with the code is no page, unless there is a problem to tell.
func (c *Console) callback(v *visit) error {
	done, err := c.config.SignIn.Finish(v.r.Context(), auth.Return{Query: v.r.URL.Query(), Cookies: v.r.Cookies(),
		By: c.by(v), SignedIn: c.signedIn(v), Replaces: c.config.Sessions.Hash(v.r)})
	if done != nil {
		for _, cookie := range done.Clear {
			http.SetCookie(v.w, cookie)
		}
	}
	if err != nil {
		return err
	}
	http.SetCookie(v.w, c.config.Sessions.Cookie(done.Secret, done.Session))
	http.SetCookie(v.w, remember(tenantCookie, done.Tenant.ID.String(), 180))
	v.goTo(auth.SafeNext(done.Next))
	return nil
}

// logout ends the session, and with directory=1 the one at the directory too.
func (c *Console) logout(v *visit) error {
	http.SetCookie(v.w, c.config.Sessions.NoCookie())
	v.w.Header().Set("Clear-Site-Data", `"cache"`)
	there := v.r.PostForm.Get("directory") == "1"
	p, err := c.config.Sessions.Check(v.r, true)
	var ended *directory.SessionEnded
	switch {
	case errors.As(err, &ended) && there: // it had ended before, and which directory it came of is not told any more
		v.redirect("/signed-out", url.Values{"reason": {signedOutHere}})
		return nil
	case errors.As(err, &ended):
		v.redirect("/signed-out", url.Values{"reason": {reasonSlug(directory.EndedSignOut)}})
		return nil
	case err != nil:
		return err
	}
	v.principal = p
	by := c.by(v)
	v.principal = nil // from here on nobody is signed in
	if err := c.config.Directory.EndSession(v.r.Context(), by, p.Account.ID, p.Session.ID, directory.EndedSignOut); err != nil {
		return err
	}
	if there {
		return c.logoutThere(v, p.Session)
	}
	v.redirect("/signed-out", url.Values{"reason": {reasonSlug(directory.EndedSignOut)}})
	return nil
}

// logoutThere goes on to sign out of the directory that a session came of. Where that cannot be, the person is
// told: the next one at this machine could sign in again without a password.
func (c *Console) logoutThere(v *visit, session *directory.Session) error {
	address, err := c.config.SignIn.LogoutURL(v.r.Context(), session, c.config.URL()+"/signed-out")
	if err != nil { // signed out here all the same
		c.config.Log.Warn("no sign-out at the directory", "request_id", c.config.RequestID(v.r), "error", err)
	}
	switch {
	case err == nil && address != "":
		c.onward(v, onwardData{Address: address, Out: true})
	case session.Method == directory.MethodDirectory:
		v.redirect("/signed-out", url.Values{"reason": {signedOutHere}})
	default:
		v.redirect("/signed-out", url.Values{"reason": {reasonSlug(directory.EndedSignOut)}})
	}
	return nil
}

// worthTelling are the ends of a session that surprise whom it belonged to.
var worthTelling = map[directory.EndReason]bool{directory.EndedExpired: true, directory.EndedIdle: true, directory.EndedRevoked: true,
	directory.EndedDirectory: true, directory.EndedDeactivated: true, directory.EndedIdentity: true, directory.EndedAdopted: true,
	directory.EndedPassword: true, directory.EndedLogin: true, directory.EndedRestored: true}

// signedOutHere is the reason of who wanted to sign out of the directory too, and could not.
const signedOutHere = "signed-out-here"

// reasonTexts are the reasons that /signed-out has a text for, as they stand in its address.
var reasonTexts = map[string]bool{signedOutHere: true}

func init() {
	for _, why := range []directory.EndReason{directory.EndedExpired, directory.EndedIdle, directory.EndedSignOut, directory.EndedRevoked,
		directory.EndedDirectory, directory.EndedDeactivated, directory.EndedIdentity, directory.EndedAdopted, directory.EndedPassword,
		directory.EndedLogin, directory.EndedReplaced, directory.EndedRestored} {
		reasonTexts[reasonSlug(why)] = true
	}
}

// reasonSlug is a reason as it stands in an address.
func reasonSlug(why directory.EndReason) string { return strings.ReplaceAll(string(why), " ", "-") }

type signedOutData struct {
	Reason   string // one of reasonTexts, or "unknown"
	Next     string
	Local    bool                 // the way back is the local sign-in
	Tenant   *directory.Tenant    // that the browser signed in with last; nil: not known, or of no matter
	SignedIn *directory.Principal // somebody is, whatever the address says
	Unsaved  bool                 // a form was sent that did nothing

	Directory string // where to sign out by hand; empty: nowhere
}

// signedOut says why there is no session any more. It never leads anywhere by itself: single sign-on would
// undo what it says.
func (c *Console) signedOut(v *visit) error {
	query := v.r.URL.Query()
	data := signedOutData{Reason: query.Get("reason"), Next: auth.SafeNext(query.Get("next")), SignedIn: c.who(v), Unsaved: query.Get("unsaved") != ""}
	switch {
	case data.Reason == "": // a directory sends people back to exactly this address, after they have signed out of it
		data.Reason = reasonSlug(directory.EndedSignOut)
	case !reasonTexts[data.Reason]:
		data.Reason = "unknown"
	}
	data.Local = data.Reason == string(directory.EndedPassword)
	if data.Reason == string(directory.EndedDeactivated) || data.Reason == signedOutHere {
		tenant, err := c.signInTenant(v.r.Context(), rememberedTenant(v.r))
		if err != nil {
			return err
		}
		data.Tenant = tenant
	}
	if data.Reason == signedOutHere {
		data.Directory = directoryPage(data.Tenant)
	}
	title := "out." + data.Reason + ".title"
	if data.SignedIn != nil {
		title = "out.still.title"
	}
	c.render(v, http.StatusOK, "signedout", title, data)
	return nil
}

// directoryPage is where people sign out of a tenant's directory by hand: the root of its sign-in host, and
// Microsoft's where no tenant is known.
func directoryPage(t *directory.Tenant) string {
	if t != nil {
		if u, err := url.Parse(auth.Issuer(t)); err == nil && u.Host != "" {
			return u.Scheme + "://" + u.Host + "/"
		}
	}
	return "https://login.microsoftonline.com/"
}

// signInTenant returns a tenant that signs people in; nil when it is none.
func (c *Console) signInTenant(ctx context.Context, id directory.ID) (t *directory.Tenant, err error) {
	if id.IsZero() {
		return nil, nil //nolint:nilnil // there is none
	}
	err = c.config.Directory.View(ctx, func(sn *directory.Snapshot) (err error) {
		t, err = sn.Tenant(id)
		if err != nil && directory.KindOf(err) == directory.NotFound {
			t, err = nil, nil
		}
		return err
	})
	if t != nil && t.SignIn.ClientID == "" {
		t = nil
	}
	return t, err
}
