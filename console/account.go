package console

import (
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// passwordURL is where people change the password of a Microsoft account of work or school.
const passwordURL = "https://aka.ms/sspr" //nolint:gosec // an address, no password

type accountData struct {
	Sessions     []sessionRow
	Organization string // that manages the account; empty for an internal one
	PasswordURL  string // of an external user
	Login        *directory.Login
	Done         string // key of what has just been done; empty: nothing
	Errors       map[string]string
}

type sessionRow struct {
	ID      string
	This    bool
	Method  directory.SignInMethod
	Tenant  string // of MethodDirectory
	Address string
	Browser browser
	Created time.Time
	Expires time.Time
}

// accountDone are the acts that /account confirms.
var accountDone = []string{"session-ended", "others-ended", "factor-set", "factor-removed"}

func (c *Console) account(v *visit) error { return c.accountPage(v, http.StatusOK, nil) }

func (c *Console) accountPage(v *visit, status int, errs map[string]string) error {
	p := v.principal
	data := accountData{Errors: errs}
	if done := v.r.URL.Query().Get("done"); slices.Contains(accountDone, done) {
		data.Done = done
	}
	err := c.config.Directory.View(v.r.Context(), func(sn *directory.Snapshot) error {
		if err := accountSessions(sn, p, &data); err != nil {
			return err
		}
		if !p.Account.External() {
			login, err := sn.Login(p.Account.ID)
			data.Login = login
			return err
		}
		t, err := sn.Tenant(p.Account.TenantID)
		if err != nil {
			return err
		}
		data.Organization, data.PasswordURL = t.DisplayName(), t.SignIn.PasswordURL
		if data.PasswordURL == "" {
			data.PasswordURL = passwordURL
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.render(v, status, "account", "account.title", data)
	return nil
}

// accountSessions lists the live sessions of an account, this one first and then the newest.
func accountSessions(sn *directory.Snapshot, p *directory.Principal, data *accountData) error {
	all, err := sn.Sessions(p.Account.ID)
	if err != nil {
		return err
	}
	for _, s := range all {
		if !s.Live(p.Now) || s.Epoch != p.Session.Epoch || s.Generation != p.Session.Generation {
			continue
		}
		row := sessionRow{ID: s.ID.String(), This: s.ID == p.Session.ID, Method: s.Method, Address: s.Address, Browser: browserOf(s.UserAgent),
			Created: s.Created, Expires: s.Expires}
		if s.Method == directory.MethodDirectory {
			t, err := sn.Tenant(s.TenantID)
			if err != nil {
				return err
			}
			row.Tenant = t.DisplayName()
		}
		data.Sessions = append(data.Sessions, row)
	}
	slices.SortFunc(data.Sessions, func(a, b sessionRow) int {
		if a.This != b.This {
			if a.This {
				return -1
			}
			return 1
		}
		return b.Created.Compare(a.Created)
	})
	return nil
}

// sessionsPost ends one session of the person, or all but this one.
func (c *Console) sessionsPost(v *visit) error {
	p, by := v.principal, c.by(v)
	if v.r.PostForm.Get("others") == "1" {
		if _, err := c.config.Directory.EndSessions(v.r.Context(), by, p.Account.ID, p.Session.ID, directory.EndedRevoked); err != nil {
			return err
		}
		v.redirect("/account", url.Values{"done": {"others-ended"}})
		return nil
	}
	id, ok := directory.ParseID(v.r.PostForm.Get("session"))
	if !ok {
		return missing
	}
	if id == p.Session.ID {
		return c.logout(v)
	}
	if err := c.config.Directory.EndSession(v.r.Context(), by, p.Account.ID, id, directory.EndedRevoked); err != nil {
		return err
	}
	v.redirect("/account", url.Values{"done": {"session-ended"}})
	return nil
}

// accountPasswordPost changes the password of a local operator. Every session of theirs ends, this one too.
func (c *Console) accountPasswordPost(v *visit) error {
	form := v.r.PostForm
	if form.Get("password") != form.Get("again") {
		return c.accountPage(v, http.StatusUnprocessableEntity, map[string]string{"again": "password.different"})
	}
	err := c.config.Local.ChangePassword(v.r.Context(), c.by(v), v.principal.Account.ID, form.Get("old"), form.Get("password"))
	switch kind := directory.KindOf(err); {
	case err == nil:
	case kind == directory.Unauthorized:
		return c.accountPage(v, http.StatusUnprocessableEntity, map[string]string{"old": "password.old.wrong"})
	case kind == directory.Invalid:
		return c.accountPage(v, http.StatusUnprocessableEntity, map[string]string{"password": "password.weak"})
	default:
		return err
	}
	http.SetCookie(v.w, c.config.Sessions.NoCookie())
	v.redirect("/signed-out", url.Values{"reason": {reasonSlug(directory.EndedPassword)}})
	return nil
}

type factorData struct {
	Secret string // base32, in groups of four
	QR     template.URL
	Sealed string
	Errors map[string]string
}

// factor begins to set up a second factor.
func (c *Console) factor(v *visit) error {
	e, err := c.config.Local.Enrol(v.r.Context(), v.principal.Account.ID)
	if err != nil {
		return orAccount(v, err)
	}
	c.render(v, http.StatusOK, "factor", "factor.title", factorData{Secret: grouped(e.Secret), Sealed: e.Sealed,
		QR: template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(e.QR))}) //nolint:gosec // a picture that this server has made
	return nil
}

// orAccount leads back to the account, which says so, when there is a second factor already.
func orAccount(v *visit, err error) error {
	if directory.KindOf(err) != directory.Conflict {
		return err
	}
	v.redirect("/account", nil)
	return nil
}

// grouped sets a text in groups of four characters, as people read it.
func grouped(s string) string {
	var out []byte
	for i := range len(s) {
		if i > 0 && i%4 == 0 {
			out = append(out, ' ')
		}
		out = append(out, s[i])
	}
	return string(out)
}

// factorPost sets the second factor up with the password and its first code.
func (c *Console) factorPost(v *visit) error {
	form := v.r.PostForm
	err := c.config.Local.EnrolDone(v.r.Context(), c.by(v), v.principal.Account.ID, form.Get("password"), form.Get("sealed"), form.Get("code"))
	again := factorData{Sealed: form.Get("sealed")}
	switch kind := directory.KindOf(err); {
	case err == nil:
		v.redirect("/account", url.Values{"done": {"factor-set"}})
		return nil
	case kind == directory.Unauthorized:
		again.Errors = map[string]string{"password": "password.old.wrong"}
	case kind == directory.Invalid:
		again.Errors = map[string]string{"code": "factor.wrong"}
	default:
		return orAccount(v, err)
	}
	c.render(v, http.StatusUnprocessableEntity, "factor", "factor.title", again)
	return nil
}

// factorRemovePost takes the second factor away.
func (c *Console) factorRemovePost(v *visit) error {
	err := c.config.Local.EnrolRemove(v.r.Context(), c.by(v), v.principal.Account.ID, v.r.PostForm.Get("password"))
	if directory.KindOf(err) == directory.Unauthorized {
		return c.accountPage(v, http.StatusUnprocessableEntity, map[string]string{"remove": "password.old.wrong"})
	}
	if err != nil {
		return err
	}
	v.redirect("/account", url.Values{"done": {"factor-removed"}})
	return nil
}
