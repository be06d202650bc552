package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// The guide by which a directory is connected: a page of the staff, and, by a setup link, one for the administrator of
// the directory, who has no account here. Both are the same steps; who came by a link sees nothing else.

func (c *Console) connectTable() []route {
	staff, link := guide{c, c.staffAtGuide}, guide{c, c.linkAtGuide}
	return append(append(staff.table("/tenants/{id}/guide", Staff, false), link.table("/connect/{link}", Anyone, true)...),
		route{path: "/tenants/{id}/guide/live", access: Staff, get: c.guideLive, quiet: true},
		route{path: "/tenants/{id}/link", access: Staff, get: toGuide, post: c.setupLinkPost},
		route{path: "/tenants/{id}/link/revoke", access: Staff, get: toParent, post: c.setupLinkRevoke},
		route{path: "/connect/{link}/state", get: c.connectState, quiet: true})
}

// guide is the guide for some: whoever who lets in.
type guide struct {
	*Console
	who func(*visit) (*guideData, error)
}

func (g guide) table(at string, access Access, limited bool) []route {
	all := []route{{path: at, access: access, get: g.show}}
	for _, x := range []struct {
		path string
		do   func(*visit, *guideData) error
	}{{"/token", g.token}, {"/rotate", g.rotate}, {"/ids", g.ids}, {"/credential", g.credential}, {"/test", g.test}} {
		all = append(all, route{path: at + x.path, access: access, get: toParent, limited: limited, post: func(v *visit) error {
			d, err := g.who(v)
			if err != nil {
				return err
			}
			return x.do(v, d)
		}})
	}
	return all
}

// guideData is what the guide shows.
type guideData struct {
	*tenantData
	S         desk.Setup
	Base      string // of the addresses of its forms
	Link      bool   // who sees it came by a setup link
	Expires   time.Time
	Now       time.Time       // of the server, where no session says it
	SetupLink *desk.SetupLink // of the tenant; for the staff
	LinkURL   string          // shown once
	Secret    string          // shown once
	Test      *desk.ConnectionTest
	Slots     []credentialSlot
	Overlaps  []int
	State     guideState
	actor     directory.Actor
}

// Part is what a part of the guide gets that a page of the tenant has too.
func (d *guideData) Part() *tenantData { return d.tenantData }

// toGuide leads from the address of the setup link to the guide, whose form it is.
func toGuide(v *visit) error {
	v.goTo(strings.TrimSuffix(v.r.URL.Path, "link") + "guide")
	return nil
}

// guideState is whether the directory has come yet.
type guideState struct {
	Token    bool // there is a live Secret Token
	Used     *time.Time
	LastPush *time.Time
	Users    int64
	Groups   int64
}

// stateOf tells by the newest Secret Token whether the directory has come with it.
func stateOf(s *desk.Setup) guideState {
	out := guideState{LastPush: s.LastPush, Users: s.Users, Groups: s.Groups}
	if len(s.Tokens) > 0 {
		out.Token, out.Used = true, s.Tokens[0].LastUsed
	}
	return out
}

func (c *Console) staffAtGuide(v *visit) (*guideData, error) {
	t, err := c.tenantOf(v, "/guide")
	if err != nil {
		return nil, err
	}
	d := &guideData{tenantData: t, Base: tenantPath(t.T.ID, "/guide"), actor: c.by(v)}
	if d.SetupLink, err = c.config.Desk.SetupLink(v.r.Context(), d.actor, t.T.ID); err != nil {
		return nil, err
	}
	return d, nil
}

// linkAtGuide lets in whoever has a setup link that works. What does not work is told nothing of any tenant.
func (c *Console) linkAtGuide(v *visit) (*guideData, error) {
	secret := v.r.PathValue("link")
	by, tenant, expires, err := c.config.Desk.Connect(v.r.Context(), c.by(v), secret)
	if directory.KindOf(err) == directory.NotFound {
		return nil, &notice{status: http.StatusNotFound, key: "connect"}
	}
	if err != nil {
		return nil, err
	}
	return &guideData{tenantData: &tenantData{T: desk.Tenant{ID: tenant}, Done: v.flash(tenantDone...), Wrong: wrongs{}}, Base: "/connect/" + url.PathEscape(secret),
		Link: true, Expires: expires, Now: c.config.Now(), actor: by}, nil
}

func (g guide) show(v *visit) error {
	d, err := g.who(v)
	if err != nil {
		return err
	}
	return g.page(v, http.StatusOK, d)
}

// page shows the guide as it is by now.
func (g guide) page(v *visit, status int, d *guideData) (err error) {
	if d.S, err = g.config.Desk.Setup(v.r.Context(), d.actor, d.T.ID); err != nil {
		return err
	}
	d.Slots, d.Overlaps, d.State = slotsOf(d.S.Credentials, d.S.GraphClientID, d.S.SignIn.ClientID), overlaps, stateOf(&d.S)
	if d.Link {
		g.render(v, status, "connect", "connect.title", d)
		return nil
	}
	g.render(v, status, "tenantguide", "tenants.tab.guide", d)
	return nil
}

// refuse shows the guide with what is wrong with a form.
func (g guide) refuse(v *visit, d *guideData, err error, fields map[string]string) error {
	w, status, ok := tenantRefused(err, fields)
	if !ok {
		return err
	}
	d.Wrong, d.Form = w, typed(v.r.PostForm)
	return g.page(v, status, d)
}

func (g guide) token(v *visit, d *guideData) error {
	made, err := g.config.Desk.CreateToken(v.r.Context(), d.actor, d.T.ID, desk.TokenInput{Name: "Entra"})
	if err != nil {
		return g.refuse(v, d, err, nil)
	}
	d.Secret = made.Secret
	return g.page(v, http.StatusCreated, d)
}

func (g guide) rotate(v *visit, d *guideData) error {
	old, err := formID(v, "token")
	if err != nil {
		return err
	}
	in, err := rotationOf(v)
	var made desk.NewToken
	if err == nil {
		made, err = g.config.Desk.RotateToken(v.r.Context(), d.actor, d.T.ID, old, in)
	}
	if err != nil {
		return g.refuse(v, d, err, nil)
	}
	d.Secret = made.Secret
	return g.page(v, http.StatusCreated, d)
}

func (g guide) ids(v *visit, d *guideData) error {
	var in desk.SetupInput
	for _, x := range []struct {
		name string
		to   **string
	}{{"directoryId", &in.DirectoryID}, {"graph.clientId", &in.GraphClientID}, {"signIn.clientId", &in.SignInClientID}} {
		if v.r.PostForm.Has(x.name) {
			text := strings.TrimSpace(v.r.PostForm.Get(x.name))
			*x.to = &text
		}
	}
	if err := g.config.Desk.ChangeSetup(v.r.Context(), d.actor, d.T.ID, in); err != nil {
		return g.refuse(v, d, err, nil)
	}
	v.done(d.Base+"#step-graph", "tenant-ids")
	return nil
}

func (g guide) credential(v *visit, d *guideData) error {
	name, in := credentialOf(v.r.PostForm)
	if _, err := g.config.Desk.SetCredential(v.r.Context(), d.actor, d.T.ID, name, in); err != nil {
		return g.refuse(v, d, err, credentialFields(name))
	}
	v.done(d.Base+"#step-"+name, "tenant-credential-set")
	return nil
}

func (g guide) test(v *visit, d *guideData) error {
	result, err := g.config.Desk.TestConnection(v.r.Context(), d.actor, d.T.ID)
	if err != nil {
		return err
	}
	d.Test = &result
	return g.page(v, http.StatusOK, d)
}

// guideLive tells an open guide when the directory has come.
func (c *Console) guideLive(v *visit) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	return c.live(v, func(ctx context.Context) (string, bool, error) {
		s, err := c.config.Desk.Setup(ctx, c.by(v), id)
		if err != nil {
			return "", false, err
		}
		state := stateOf(&s)
		html, err := c.fragment(v, "tenantguide", "guidestate", state)
		return html, state.Used == nil, err
	})
}

// connectState is what guideLive tells, for whoever came by a setup link: their page asks every few seconds.
func (c *Console) connectState(v *visit) error {
	d, err := c.linkAtGuide(v)
	if err != nil {
		return err
	}
	s, err := c.config.Desk.Setup(v.r.Context(), d.actor, d.T.ID)
	if err != nil {
		return err
	}
	html, err := c.fragment(v, "connect", "guidestate", stateOf(&s))
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, err = v.w.Write([]byte(html))
	return err
}

// setupLinkPost makes a setup link; the answer shows it once.
func (c *Console) setupLinkPost(v *visit) error {
	d, err := c.staffAtGuide(v)
	if err != nil {
		return err
	}
	g := guide{c, c.staffAtGuide}
	hours, err := formFigure(v.r.PostForm, "hours")
	if err != nil {
		return g.refuse(v, d, err, nil)
	}
	made, err := c.config.Desk.CreateSetupLink(v.r.Context(), d.actor, d.T.ID, desk.SetupLinkInput{Hours: hours})
	if err != nil {
		return g.refuse(v, d, err, nil)
	}
	d.LinkURL, d.SetupLink = made.URL, &made.Link
	return g.page(v, http.StatusCreated, d)
}

func (c *Console) setupLinkRevoke(v *visit) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	if err := c.config.Desk.RevokeSetupLink(v.r.Context(), c.by(v), id); err != nil {
		return err
	}
	v.done(tenantPath(id, "/guide"), "tenant-link-revoked")
	return nil
}

// formID is the id in a field of a form. Errors: missing.
func formID(v *visit, name string) (directory.ID, error) {
	id, ok := directory.ParseID(v.r.PostForm.Get(name))
	if !ok {
		return id, missing
	}
	return id, nil
}
