package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

func (c *Console) usersTable() []route {
	return append([]route{
		{path: "/users", access: Staff, get: c.users},
		{path: "/users/add", access: Staff, get: c.userAdd, post: c.userAddPost},
		{path: "/users/{user}", access: Staff, get: c.user},
		{path: "/users/{user}/edit", access: Staff, post: c.userEditPost},
		{path: "/users/{user}/default-environment", access: Staff, post: c.userDefaultPost},
		{path: "/users/{user}/access/{environment}", access: Staff, get: c.userAccess, post: c.userAccessPost},
		{path: "/users/{user}/sessions", access: Staff, post: c.userSessionsPost},
		{path: "/users/{user}/sync", access: Staff, post: c.userSyncPost},
		{path: "/users/{user}/forget", access: Staff, post: c.userForgetPost},
		{path: "/users/{user}/link", access: Staff, post: c.userLinkPost},
		{path: "/conflicts", access: Staff, get: c.conflicts},
	}, c.groupsTable()...)
}

type usersData struct {
	Text, Source, Environment, State string
	Choices                          desk.UserChoices
	Page                             desk.Users
	Pager                            pager
	Filtered                         bool
	MoreThan                         int // accesses that a row names; the others are counted
}

// users lists people.
func (c *Console) users(v *visit) error {
	q := v.r.URL.Query()
	if q.Get("conflicts") != "" {
		v.redirect("/conflicts", nil)
		return nil
	}
	data := usersData{Text: strings.TrimSpace(q.Get("text")), Source: q.Get("source"), Environment: q.Get("environment"), State: q.Get("state"), MoreThan: 3}
	f := desk.UserFilter{Text: data.Text, Source: data.Source, State: data.State}
	if data.Environment != "" {
		id, ok := directory.ParseID(data.Environment)
		if !ok {
			return missing
		}
		f.EnvironmentID = id
	}
	data.Filtered = f != desk.UserFilter{}
	by := c.by(v)
	var err error
	if data.Page, err = c.config.Desk.Users(v.r.Context(), by, f, desk.Page{After: q.Get("after")}); err != nil {
		return orMissing(err)
	}
	if data.Choices, err = c.config.Desk.UserChoices(v.r.Context(), by); err != nil {
		return err
	}
	data.Pager = v.pagerOf(len(data.Page.Items), data.Page.Total, data.Page.Next)
	c.render(v, http.StatusOK, "users", "users.title", data)
	return nil
}

// orMissing says of an address that names what cannot be that there is no such page.
func orMissing(err error) error {
	if k := directory.KindOf(err); k == directory.Invalid || k == directory.NotFound {
		return missing
	}
	return err
}

// More is what is left out of a row.
func (d usersData) More(u desk.User) int { return max(0, len(u.ActiveIn)-d.MoreThan) }

// First are the active accesses that a row names.
func (d usersData) First(u desk.User) []desk.BriefAccess {
	return u.ActiveIn[:min(len(u.ActiveIn), d.MoreThan)]
}

type userData struct {
	User     desk.UserDetail
	Sessions []userSession
	History  []desk.HistoryLine
	Done     string
	Wrong    wrongs
	Form     desk.UserEdit
	Lock     string // name of the directory that manages the user; empty: internal
	Raw      string
	Link     string
}

type userSession struct {
	desk.Session
	Browser browser
}

// user shows one person.
func (c *Console) user(v *visit) error { return c.showUser(v, http.StatusOK, nil, desk.UserEdit{}, "") }

func (c *Console) showUser(v *visit, status int, w wrongs, form desk.UserEdit, link string) error {
	id, err := pathID(v, "user")
	if err != nil {
		return err
	}
	by, ctx := c.by(v), v.r.Context()
	data := userData{Wrong: w, Form: form, Link: link, Done: v.flash("user-saved", "signed-out-there", "user-synced", "user-not-found", "subject-forgotten", "access-saved", "access-given", "default-chosen", "default-taken")}
	if data.User, err = c.config.Desk.User(ctx, by, id); err != nil {
		return orMissing(err)
	}
	u := &data.User
	if u.Tenant != nil {
		data.Lock = u.Tenant.Name
		if data.Lock == "" {
			if data.Lock, err = say(v.lang, "users.directory.other"); err != nil {
				return err
			}
		}
	}
	data.Raw = string(u.Raw)
	for _, x := range []struct {
		to   **string
		from *string
	}{{&data.Form.Name, &u.Name}, {&data.Form.Email, &u.Email}, {&data.Form.Language, &u.Language}, {&data.Form.Locale, &u.Locale}} {
		if *x.to == nil {
			*x.to = x.from
		}
	}
	if u.SeesSessions {
		all, err := c.config.Desk.Sessions(ctx, by, id)
		if err != nil {
			return err
		}
		for _, x := range all.Items {
			data.Sessions = append(data.Sessions, userSession{x, browserOf(x.UserAgent)})
		}
	}
	history, err := c.config.Desk.PersonHistory(ctx, by, id)
	if err != nil {
		return err
	}
	data.History = history.Items
	c.render(v, status, "user", "users.one", data)
	return nil
}

// texts: users.why.member users.why.nested users.why.internal users.why.integration-off users.why.other-tenant users.why.not-provisioned users.why.disabled
// texts: users.why.disabled-by-run users.why.nested-only users.why.taken users.why.no-group users.why.internal-off
// texts: users.next.integration-off users.next.other-tenant users.next.not-provisioned users.next.disabled users.next.disabled-by-run users.next.nested-only
// texts: users.next.taken users.next.no-group users.next.internal-off
// texts: users.action.create users.action.update users.action.disable users.action.enable users.action.delete users.action.derive users.action.other
// texts: users.status.success users.status.failure users.status.warning users.channel.scim users.channel.pull users.channel.console users.channel.api
// texts: users.channel.cli users.channel.system users.channel.test users.effect.granted users.effect.reactivated users.effect.deactivated
// texts: users.conflict.untrusted-domain users.conflict.protected users.conflict.has-role users.conflict.other
// texts: done.user-saved done.signed-out-there done.user-synced done.user-not-found done.subject-forgotten done.access-saved done.access-given
// texts: done.default-chosen done.default-taken

// optional is what a form says of a field; nil where the form has no such field.
func optional(form url.Values, name string) *string {
	if !form.Has(name) {
		return nil
	}
	text := strings.TrimSpace(form.Get(name))
	return &text
}

func (c *Console) userEditPost(v *visit) error {
	id, err := pathID(v, "user")
	if err != nil {
		return err
	}
	form := v.r.PostForm
	in := desk.UserEdit{Name: optional(form, "name"), Email: optional(form, "email"), Language: optional(form, "language"), Locale: optional(form, "locale")}
	if _, err := c.config.Desk.EditUser(v.r.Context(), c.by(v), id, in); err != nil {
		w, status, ok := refused(err, nil)
		if !ok {
			return err
		}
		return c.showUser(v, status, w, in, "")
	}
	v.done("/users/"+id.String(), "user-saved")
	return nil
}

// userDefaultPost chooses where a person lands; without an environment the choice is taken back.
func (c *Console) userDefaultPost(v *visit) error {
	id, err := pathID(v, "user")
	if err != nil {
		return err
	}
	in, done := desk.UserEdit{Default: desk.IDOrNull{Given: true}}, "default-taken"
	if text := v.r.PostForm.Get("environment"); text != "" {
		env, ok := directory.ParseID(text)
		if !ok || env.IsZero() {
			return missing
		}
		in.Default.ID, done = env, "default-chosen"
	}
	if _, err := c.config.Desk.EditUser(v.r.Context(), c.by(v), id, in); err != nil {
		return c.userRefused(v, err)
	}
	v.done("/users/"+id.String(), done)
	return nil
}

func (c *Console) userSessionsPost(v *visit) error {
	id, err := pathID(v, "user")
	if err != nil {
		return err
	}
	var session directory.ID
	if text := v.r.PostForm.Get("session"); text != "" {
		var ok bool
		if session, ok = directory.ParseID(text); !ok {
			return missing
		}
	}
	if err := c.config.Desk.EndSession(v.r.Context(), c.by(v), id, session); err != nil {
		return err
	}
	v.done("/users/"+id.String(), "signed-out-there")
	return nil
}

func (c *Console) userSyncPost(v *visit) error {
	id, err := pathID(v, "user")
	if err != nil {
		return err
	}
	found, err := c.config.Desk.SyncPerson(v.r.Context(), c.by(v), id)
	if err != nil {
		return c.userRefused(v, err)
	}
	if !found {
		v.done("/users/"+id.String(), "user-not-found")
		return nil
	}
	v.done("/users/"+id.String(), "user-synced")
	return nil
}

// userRefused says on the page of a person why something was not done.
func (c *Console) userRefused(v *visit, err error) error {
	w, status, ok := refused(err, nil)
	if !ok {
		return err
	}
	for _, text := range w {
		w[""] = text
	}
	return c.showUser(v, status, w, desk.UserEdit{}, "")
}

func (c *Console) userForgetPost(v *visit) error {
	id, err := pathID(v, "user")
	if err != nil {
		return err
	}
	if err := c.config.Desk.ForgetSubject(v.r.Context(), c.by(v), id); err != nil {
		return c.userRefused(v, err)
	}
	v.done("/users/"+id.String(), "subject-forgotten")
	return nil
}

// userLinkPost makes a link to set a password: it is shown on the answer itself, once.
func (c *Console) userLinkPost(v *visit) error {
	id, err := pathID(v, "user")
	if err != nil {
		return err
	}
	out, err := c.config.Desk.InvitePerson(v.r.Context(), c.by(v), id)
	if err != nil {
		return c.userRefused(v, err)
	}
	return c.showUser(v, http.StatusOK, nil, desk.UserEdit{}, out.Link)
}

type accessData struct {
	User        desk.UserDetail
	Access      desk.Access
	Menus       string   // one on each line
	Known       []string // menus that the environment has
	Form        accessForm
	Wrong       wrongs
	Lock        string
	Environment string
}

type accessForm struct{ Name, Email, Language, Locale string }

// userAccess edits one access.
func (c *Console) userAccess(v *visit) error { return c.showAccess(v, http.StatusOK, nil, nil) }

func (c *Console) showAccess(v *visit, status int, w wrongs, typed url.Values) error {
	user, err := pathID(v, "user")
	if err != nil {
		return err
	}
	env, err := pathID(v, "environment")
	if err != nil {
		return err
	}
	by, ctx := c.by(v), v.r.Context()
	data := accessData{Wrong: w, Environment: env.String()}
	if data.User, err = c.config.Desk.User(ctx, by, user); err != nil {
		return orMissing(err)
	}
	i := slices.IndexFunc(data.User.Explained, func(x desk.Access) bool { return x.Environment.ID == env && x.Has })
	if i < 0 {
		return missing
	}
	data.Access = data.User.Explained[i]
	known, err := c.config.Desk.Menus(ctx, by, env)
	if err != nil {
		return err
	}
	data.Known = known.Names
	if data.User.Tenant != nil {
		if data.Lock = data.User.Tenant.Name; data.Lock == "" {
			if data.Lock, err = say(v.lang, "users.directory.other"); err != nil {
				return err
			}
		}
	}
	data.Menus = strings.Join(data.Access.Menus, "\n")
	data.Form = accessForm{data.Access.Name, data.Access.Email, data.Access.Language, data.Access.Locale}
	if typed != nil {
		data.Menus = typed.Get("menus")
		data.Form = accessForm{typed.Get("name"), typed.Get("email"), typed.Get("language"), typed.Get("locale")}
	}
	c.render(v, status, "access", "users.access.title", data)
	return nil
}

func lines(text string) []string {
	all := []string{}
	for _, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

func (c *Console) userAccessPost(v *visit) error {
	user, err := pathID(v, "user")
	if err != nil {
		return err
	}
	env, err := pathID(v, "environment")
	if err != nil {
		return err
	}
	form := v.r.PostForm
	in := desk.AccessEdit{Name: optional(form, "name"), Email: optional(form, "email"), Language: optional(form, "language"), Locale: optional(form, "locale")}
	if form.Has("menus") {
		menus := lines(form.Get("menus"))
		in.Menus = &menus
	}
	if form.Has("active") {
		active := form.Get("active") == "true"
		in.Active = &active
	}
	if _, err := c.config.Desk.EditAccess(v.r.Context(), c.by(v), env, user, in); err != nil {
		w, status, ok := refused(err, nil)
		if !ok {
			return err
		}
		if text, has := w["active"]; has {
			w[""] = text
		}
		if in.Menus == nil {
			form = nil
		}
		return c.showAccess(v, status, w, form)
	}
	v.done("/users/"+user.String(), "access-saved")
	return nil
}

type userAddData struct {
	Choices desk.UserChoices
	Form    url.Values
	Wrong   wrongs
	Added   *desk.Added
	Known   []string
}

// Value is what was typed.
func (d userAddData) Value(name string) string { return d.Form.Get(name) }

func (c *Console) userAdd(v *visit) error {
	return c.showAdd(v, http.StatusOK, userAddData{Form: v.r.URL.Query()})
}

func (c *Console) showAdd(v *visit, status int, data userAddData) error {
	var err error
	if data.Choices, err = c.config.Desk.UserChoices(v.r.Context(), c.by(v)); err != nil {
		return err
	}
	if env, ok := directory.ParseID(data.Form.Get("environment")); ok {
		data.Known, err = c.knownMenus(v.r.Context(), c.by(v), env)
		if err != nil {
			return err
		}
	}
	c.render(v, status, "useradd", "users.add", data)
	return nil
}

// knownMenus are those of an environment; none of one that is not seen.
func (c *Console) knownMenus(ctx context.Context, by directory.Actor, env directory.ID) ([]string, error) {
	m, err := c.config.Desk.Menus(ctx, by, env)
	if err != nil && directory.KindOf(err) == directory.NotFound {
		err = nil
	}
	return m.Names, err
}

func (c *Console) userAddPost(v *visit) error {
	form := v.r.PostForm
	env, ok := directory.ParseID(form.Get("environment"))
	if !ok {
		text, err := say(v.lang, "users.add.environment.wrong")
		if err != nil {
			return err
		}
		return c.showAdd(v, http.StatusUnprocessableEntity, userAddData{Form: form, Wrong: wrongs{"environment": text}})
	}
	added, err := c.config.Desk.AddUser(v.r.Context(), c.by(v), env, desk.NewUser{Email: strings.TrimSpace(form.Get("email")), Name: form.Get("name"),
		Language: strings.TrimSpace(form.Get("language")), Locale: strings.TrimSpace(form.Get("locale")), Menus: lines(form.Get("menus"))})
	if err != nil {
		w, status, ok := refused(err, nil)
		if !ok {
			return err
		}
		return c.showAdd(v, status, userAddData{Form: form, Wrong: w})
	}
	if !added.Made {
		v.done("/users/"+added.Access.User.ID.String(), "access-given")
		return nil
	}
	return c.showAdd(v, http.StatusCreated, userAddData{Form: url.Values{}, Added: &added})
}

type conflictsData struct {
	Conflicts []desk.Conflict
	Sees      bool // there are tenants that one sees
	Pager     pager
}

// conflicts lists people who could not be provisioned.
func (c *Console) conflicts(v *visit) error {
	all, err := c.config.Desk.Conflicts(v.r.Context(), c.by(v), desk.Page{After: v.r.URL.Query().Get("after")})
	if err != nil {
		return orMissing(err)
	}
	role := v.principal.Role()
	c.render(v, http.StatusOK, "conflicts", "users.conflicts", conflictsData{all.Items, role == directory.RoleOperator || role == directory.RolePartner,
		v.pagerOf(len(all.Items), all.Total, all.Next)})
	return nil
}
