package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

type operatorData struct {
	Next   string
	Email  string
	Done   string // "password": it was set just now
	Error  string // key of a text about the whole form
	Wait   int    // seconds, after too many tries; 0: none
	Code   bool   // the field for the code is open
	Code2  string // key of what is wrong with the code
	Signed *directory.Principal
}

// operator is the sign-in of local operators.
func (c *Console) operator(v *visit) error {
	data := operatorData{Next: auth.SafeNext(v.r.URL.Query().Get("next")), Signed: c.who(v)}
	if v.r.URL.Query().Get("done") == "password" {
		data.Done = "password"
	}
	c.render(v, http.StatusOK, "operator", "operator.title", data)
	return nil
}

func (c *Console) attempt(v *visit) auth.Attempt {
	form := v.r.PostForm
	return auth.Attempt{Email: strings.TrimSpace(form.Get("email")), Password: form.Get("password"), Code: strings.TrimSpace(form.Get("code")),
		By: c.by(v), SignedIn: c.signedIn(v), Replaces: c.config.Sessions.Hash(v.r)}
}

func (c *Console) operatorPost(v *visit) error {
	a := c.attempt(v)
	data := operatorData{Next: auth.SafeNext(v.r.PostForm.Get("next")), Email: a.Email, Code: a.Code != ""}
	secret, session, err := c.config.Local.SignIn(v.r.Context(), a)
	status := http.StatusUnprocessableEntity
	switch kind := directory.KindOf(err); {
	case err == nil:
		c.welcome(v, secret, session, data.Next)
		return nil
	case errors.Is(err, auth.ErrCode):
		data.Code, data.Code2 = true, "operator.code.needed"
	case kind == directory.Unauthorized:
		data.Error = "operator.wrong"
	case kind == directory.Forbidden:
		data.Error, status = "operator.forbidden", http.StatusForbidden
	case kind == directory.RateLimited:
		data.Error, data.Wait, status = "limited", seconds(waitOf(err)), http.StatusTooManyRequests
		v.retryAfter(waitOf(err))
	default:
		return err
	}
	c.render(v, status, "operator", "operator.title", data)
	return nil
}

// welcome gives the browser its session and sends it on.
func (c *Console) welcome(v *visit, secret string, session *directory.Session, next string) {
	http.SetCookie(v.w, c.config.Sessions.Cookie(secret, session))
	v.goTo(next)
}

type linkData struct {
	Name  string
	Email string
}

// spent is the error of a one-time link that opens nothing any more.
var spent = &notice{status: http.StatusNotFound, key: "link"}

// linkAccount looks a one-time link up without spending it: programs that look at links before people do must
// not use them up.
func (c *Console) linkAccount(v *visit, kind directory.LinkKind) (*directory.Account, error) {
	a, err := c.config.Local.LinkAccount(v.r.Context(), kind, v.r.PathValue("link"))
	return a, orSpent(err)
}

// orSpent says of a link that is not found what people can do.
func orSpent(err error) error {
	if err != nil && directory.KindOf(err) == directory.NotFound {
		return spent
	}
	return err
}

func (c *Console) link(v *visit) error {
	a, err := c.linkAccount(v, directory.LinkSignIn)
	if err != nil {
		return err
	}
	c.render(v, http.StatusOK, "link", "link.title", linkData{a.Name, a.Email})
	return nil
}

func (c *Console) linkPost(v *visit) error {
	secret, session, err := c.config.Local.SignInByLink(v.r.Context(), v.r.PathValue("link"), c.attempt(v))
	if err != nil {
		if directory.KindOf(err) == directory.Forbidden {
			return spent
		}
		return orSpent(err)
	}
	c.welcome(v, secret, session, "/")
	return nil
}

type setupData struct {
	Email, Name string
	Errors      map[string]string // field -> key of a text
}

// setup makes the first operator.
func (c *Console) setup(v *visit) error {
	if _, err := c.linkAccount(v, directory.LinkSetup); err != nil {
		return err
	}
	c.render(v, http.StatusOK, "setup", "setup.title", setupData{})
	return nil
}

func (c *Console) setupPost(v *visit) error {
	form := v.r.PostForm
	data := setupData{Email: strings.TrimSpace(form.Get("email")), Name: strings.TrimSpace(form.Get("name")), Errors: map[string]string{}}
	if form.Get("password") != form.Get("again") {
		data.Errors["again"] = "password.different"
		c.render(v, http.StatusUnprocessableEntity, "setup", "setup.title", data)
		return nil
	}
	_, err := c.config.Local.Setup(v.r.Context(), c.by(v), v.r.PathValue("link"), data.Email, data.Name, form.Get("password"))
	var domain *directory.Error
	switch kind := directory.KindOf(err); {
	case err == nil:
		return c.afterSetup(v)
	case kind == directory.Conflict:
		return &notice{status: http.StatusConflict, key: "setup"}
	case kind == directory.Exists && errors.As(err, &domain):
		data.Errors["email"] = "setup.email.wrong"
	case kind == directory.Invalid && errors.As(err, &domain):
		switch domain.Field {
		case "email":
			data.Errors["email"] = "setup.email.wrong"
		case "password":
			data.Errors["password"] = "password.weak"
		default:
			data.Errors["name"] = "setup.name.wrong"
		}
	default:
		return orSpent(err)
	}
	c.render(v, http.StatusUnprocessableEntity, "setup", "setup.title", data)
	return nil
}

// afterSetup signs the first operator in with what they have just typed.
func (c *Console) afterSetup(v *visit) error {
	secret, session, err := c.config.Local.SignIn(v.r.Context(), c.attempt(v))
	if err != nil { // the operator is made: they sign in as they will do from now on
		v.redirect("/operator", nil)
		return nil //nolint:nilerr // the next page is the answer
	}
	c.welcome(v, secret, session, "/")
	return nil
}

type passwordData struct {
	Email   string
	Sent    bool
	Account *directory.Account // of a link
	Errors  map[string]string
}

// password asks for a mail about a password. The answer is the same whoever asks.
func (c *Console) password(v *visit) error {
	c.render(v, http.StatusOK, "password", "password.ask.title", passwordData{})
	return nil
}

func (c *Console) passwordPost(v *visit) error {
	email := strings.TrimSpace(v.r.PostForm.Get("email"))
	if !mailAddress.MatchString(email) && !plausible(email) {
		c.render(v, http.StatusUnprocessableEntity, "password", "password.ask.title", passwordData{Email: email, Errors: map[string]string{"email": "login.email.malformed"}})
		return nil
	}
	if err := c.config.Local.RequestReset(v.r.Context(), c.by(v), email, v.lang); err != nil {
		return err
	}
	c.render(v, http.StatusOK, "password", "password.sent.title", passwordData{Email: email, Sent: true})
	return nil
}

// plausible lets every address through that could be one: names before the @ may be of any script.
func plausible(email string) bool {
	name, domain, ok := strings.Cut(email, "@")
	return ok && name != "" && domain != "" && len(email) <= 320 && !strings.ContainsAny(email, " \t\r\n\x00")
}

func (c *Console) passwordLink(v *visit) error {
	a, err := c.linkAccount(v, directory.LinkPassword)
	if err != nil {
		return err
	}
	c.render(v, http.StatusOK, "passwordset", "password.set.title", passwordData{Account: a})
	return nil
}

func (c *Console) passwordLinkPost(v *visit) error {
	form := v.r.PostForm
	again := func(field, key string) error {
		a, err := c.linkAccount(v, directory.LinkPassword)
		if err != nil {
			return err
		}
		c.render(v, http.StatusUnprocessableEntity, "passwordset", "password.set.title", passwordData{Account: a, Errors: map[string]string{field: key}})
		return nil
	}
	if form.Get("password") != form.Get("again") {
		return again("again", "password.different")
	}
	_, err := c.config.Local.ResetPassword(v.r.Context(), c.by(v), v.r.PathValue("link"), form.Get("password"))
	switch {
	case err != nil && directory.KindOf(err) == directory.Invalid:
		return again("password", "password.weak")
	case err != nil:
		return orSpent(err)
	}
	v.redirect("/operator", url.Values{"done": {"password"}})
	return nil
}
