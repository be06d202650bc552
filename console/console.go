package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// Directory is what pages need of the domain; a *directory.Service is one.
type Directory interface {
	View(ctx context.Context, fn func(*directory.Snapshot) error) error
	EndSession(ctx context.Context, by directory.Actor, account, id directory.ID, why directory.EndReason) error
	EndSessions(ctx context.Context, by directory.Actor, account, except directory.ID, why directory.EndReason) (int, error)
	SessionNow() time.Time
	KeepAnswer(ctx context.Context, holder directory.ID, request, fingerprint [32]byte, sealed string) error
}

// Sessions knows the sessions of browsers; an *auth.Sessions is one.
type Sessions interface {
	Check(r *http.Request, quiet bool) (*directory.Principal, error)
	Stream(r *http.Request, check func(*directory.Principal) error) (context.Context, *directory.Principal, context.CancelFunc, error)
	Hash(r *http.Request) [32]byte
	Cookie(secret string, session *directory.Session) *http.Cookie
	NoCookie() *http.Cookie
}

// SignIn signs people in with their directories; an *auth.SignIn is one.
type SignIn interface {
	Begin(ctx context.Context, in auth.Start) (address string, cookie *http.Cookie, err error)
	MakeRoom(cookies []*http.Cookie) (remove []*http.Cookie)
	Finish(ctx context.Context, r auth.Return) (*auth.Done, error)
	LogoutURL(ctx context.Context, session *directory.Session, returnTo string) (string, error)
}

// Local signs local operators in; an *auth.Local is one.
type Local interface {
	SignIn(ctx context.Context, a auth.Attempt) (secret string, session *directory.Session, err error)
	SignInByLink(ctx context.Context, link string, a auth.Attempt) (secret string, session *directory.Session, err error)
	LinkAccount(ctx context.Context, kind directory.LinkKind, link string) (*directory.Account, error)
	Setup(ctx context.Context, by directory.Actor, link, email, name, password string) (*directory.Account, error)
	ResetPassword(ctx context.Context, by directory.Actor, link, password string) (*directory.Account, error)
	ChangePassword(ctx context.Context, by directory.Actor, account directory.ID, old, password string) error
	RequestReset(ctx context.Context, by directory.Actor, email, language string) error
	Enrol(ctx context.Context, account directory.ID) (*auth.Enrolment, error)
	EnrolDone(ctx context.Context, by directory.Actor, account directory.ID, password, sealed, code string) error
	EnrolRemove(ctx context.Context, by directory.Actor, account directory.ID, password string) error
}

// Config is what a Console needs.
type Config struct {
	Desk      *desk.Desk
	Directory Directory
	Sessions  Sessions
	SignIn    SignIn
	Local     Local
	Address   func(*http.Request) string // of the client, for records and limits
	RequestID func(*http.Request) string // for people who ask for help
	URL       func() string              // of the server, absolute and without a slash at its end; never what a request says
	// Limit says whether a client may try to sign in, or to use a form that needs no session, now; and if
	// not, how long it waits.
	Limit         func(*http.Request) (wait time.Duration, ok bool)
	BizzStreamURL string                     // where people go on to; empty: nowhere
	Interval      time.Duration              // between the periodic syncs of an environment
	Reference     func() []desk.ReferenceTag // of the JSON API
	Now           func() time.Time
	Log           *slog.Logger
}

// Console serves the pages. It is safe for concurrent use.
type Console struct {
	config  Config
	pages   pages
	guard   *http.CrossOriginProtection
	lives   lives
	sending sending
}

// New returns a Console.
func New(c Config) *Console {
	return &Console{config: c, pages: parsePages(), guard: http.NewCrossOriginProtection(), lives: lives{done: make(chan struct{}), open: map[directory.ID]int{}},
		sending: sending{all: map[[32]byte]chan struct{}{}}}
}

// Access says who may see a page.
type Access uint8

// Who may.
const (
	Anyone   Access = iota
	SignedIn        // whoever has a live session
	Staff           // operators, partners and environment administrators, each within their reach
)

// Route is one page, or what one form does. Handler answers every method at Path, whichever of the routes
// of that path it came from: those that the path does not have with 405 and Allow. It sees to Access itself.
type Route struct {
	Method  string
	Path    string // {name} stands for one segment, which the handler reads with Request.PathValue
	Handler http.Handler
	Access  Access
}

// route is a path with what its methods do.
type route struct {
	path      string
	access    Access
	get, post func(*visit) error
	effect    bool // get begins or ends a sign-in: it is limited, and HEAD is not answered
	limited   bool // post is limited
	quiet     bool // looking does not count as activity
}

func (c *Console) table() []route {
	return slices.Concat(c.peopleTable(), c.environmentsTable(), c.runsTable(), c.tenantsTable(), c.usersTable(), c.logTable(),
		c.webhooksTable(), c.apiTokensTable(), c.settingsTable())
}

// peopleTable are the pages of everybody: signing in and out, one's own account.
func (c *Console) peopleTable() []route {
	return []route{
		{path: "/", access: SignedIn, get: c.home},
		{path: "/login", get: c.login, post: c.loginPost, limited: true},
		{path: "/login/environment/{id}", get: c.loginEnvironment, effect: true},
		{path: "/auth/callback", get: c.callback, effect: true},
		{path: "/logout", post: c.logout},
		{path: "/signed-out", get: c.signedOut},
		{path: "/operator", get: c.operator, post: c.operatorPost, limited: true},
		{path: "/operator/link/{link}", get: c.link, post: c.linkPost, limited: true},
		{path: "/setup/{link}", get: c.setup, post: c.setupPost, limited: true},
		{path: "/password", get: c.password, post: c.passwordPost, limited: true},
		{path: "/password/{link}", get: c.passwordLink, post: c.passwordLinkPost, limited: true},
		{path: "/account", access: SignedIn, get: c.account},
		{path: "/account/sessions", access: SignedIn, post: c.sessionsPost},
		{path: "/account/password", access: SignedIn, post: c.accountPasswordPost},
		{path: "/account/second-factor", access: SignedIn, get: c.factor, post: c.factorPost},
		{path: "/account/second-factor/remove", access: SignedIn, post: c.factorRemovePost},
		{path: "/preferences", post: c.preferences},
	}
}

// Routes lists what the console serves.
func (c *Console) Routes() []Route {
	all := []Route{{http.MethodGet, "/static/{file}", http.HandlerFunc(serveStatic), Anyone}}
	for _, rt := range c.table() {
		h := c.handler(rt)
		if rt.get != nil {
			all = append(all, Route{http.MethodGet, rt.path, h, rt.access})
		}
		if rt.post != nil {
			all = append(all, Route{http.MethodPost, rt.path, h, rt.access})
		}
	}
	return all
}

// NotFound answers a browser that asks for what is not there.
func (c *Console) NotFound() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := c.visit(w, r)
		c.secure(v)
		v.principal = c.who(v) // who is signed in keeps the navigation
		c.fail(v, missing)
	})
}

// visit is one request for a page.
type visit struct {
	w         http.ResponseWriter
	r         *http.Request
	lang      string
	theme     string
	principal *directory.Principal // who is signed in, on a page of SignedIn
	alone     bool                 // there is a form at the path, and no page
	status    int                  // of the page that answers; 0: none does
}

func (c *Console) visit(w http.ResponseWriter, r *http.Request) *visit {
	return &visit{w: w, r: r, lang: language(r), theme: theme(r)}
}

// handler stands before what a route does.
func (c *Console) handler(rt route) http.Handler {
	var allowed []string
	if rt.get != nil {
		allowed = append(allowed, http.MethodGet)
		if !rt.effect {
			allowed = append(allowed, http.MethodHead)
		}
	}
	if rt.post != nil {
		allowed = append(allowed, http.MethodPost)
	}
	allow := strings.Join(allowed, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := c.visit(w, r)
		v.alone = rt.get == nil
		c.secure(v)
		switch {
		case r.Method == http.MethodPost && rt.post != nil:
			if err := c.mayPost(v, rt); err != nil {
				c.fail(v, err)
				return
			}
			c.serve(v, rt, c.once(rt.post))
		case rt.get != nil && (r.Method == http.MethodGet || r.Method == http.MethodHead && !rt.effect):
			if rt.effect {
				if err := c.mayVisit(v); err != nil {
					c.fail(v, err)
					return
				}
			}
			c.serve(v, rt, rt.get)
		default:
			w.Header().Set("Allow", allow)
			c.fail(v, &notice{status: http.StatusMethodNotAllowed, key: "method"})
		}
	})
}

// serve lets in who may come in, and reads what they send.
func (c *Console) serve(v *visit, rt route, do func(*visit) error) {
	if rt.access != Anyone {
		p, err := c.config.Sessions.Check(v.r, rt.quiet)
		if err != nil {
			c.turnAway(v, err)
			return
		}
		v.principal = p
	}
	if rt.access == Staff && !isStaff(v.principal) {
		c.fail(v, &notice{status: http.StatusForbidden, key: "staff"})
		return
	}
	if v.r.Method == http.MethodPost {
		if err := readForm(v, rt); err != nil {
			c.fail(v, err)
			return
		}
	}
	if err := do(v); err != nil {
		c.fail(v, err)
	}
}

// isStaff reports whether somebody administers anything.
func isStaff(p *directory.Principal) bool {
	role := p.Role()
	return role == directory.RoleOperator || role == directory.RolePartner || role == directory.RoleEnvironment || len(p.Actor().Reach.Environments) > 0
}

// turnAway leads a browser without a session to where it gets one, or is told why it has none any more. Whoever sent a
// form is told that it did nothing, and led back to the page of the form.
func (c *Console) turnAway(v *visit, err error) {
	var ended *directory.SessionEnded
	if !errors.As(err, &ended) {
		c.fail(v, err)
		return
	}
	// A session that was replaced was so by a sign-in of this browser: its new cookie may be on the way, and
	// must not be taken back.
	if ended.Reason != directory.EndedReplaced && len(v.r.CookiesNamed(auth.SessionCookie)) > 0 {
		http.SetCookie(v.w, c.config.Sessions.NoCookie())
	}
	query := url.Values{}
	sent := v.r.Method == http.MethodPost
	if here := v.here(); here != "/" {
		query.Set("next", here)
	}
	target := "/login"
	if sent {
		query.Set("unsaved", "1")
	}
	if sent || worthTelling[ended.Reason] {
		target = "/signed-out"
		query.Set("reason", reasonSlug(ended.Reason))
	}
	v.redirect(target, query)
}

// redirect sends the browser to a path of ours.
func (v *visit) redirect(path string, query url.Values) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	v.goTo(path)
}

// goTo sends the browser on, with GET.
func (v *visit) goTo(address string) {
	v.w.Header().Set("Location", address)
	v.w.WriteHeader(http.StatusSeeOther)
}

// onward sends the browser to a directory. What a form did is answered with a page that goes on by itself, without
// scripts too: a redirect would be held against form-action, and stopped.
func (c *Console) onward(v *visit, data onwardData) {
	if v.r.Method != http.MethodPost {
		v.goTo(data.Address)
		return
	}
	c.render(v, http.StatusOK, "onward", "onward.title", data)
}

type onwardData struct {
	Address string // of the directory, absolute
	Out     bool   // to sign out there
}

// who is signed in, where a page only likes to know: nil when nobody is. It does not count as activity.
func (c *Console) who(v *visit) *directory.Principal {
	p, err := c.config.Sessions.Check(v.r, true)
	if err != nil {
		return nil
	}
	return p
}

// by is the author of what a visit changes.
func (c *Console) by(v *visit) directory.Actor {
	var by directory.Actor
	if v.principal != nil {
		by = v.principal.Actor()
	}
	by.Channel, by.Address, by.RequestID = "console", c.config.Address(v.r), c.config.RequestID(v.r)
	return by
}

func (c *Console) signedIn(v *visit) directory.SignedIn {
	return directory.SignedIn{Address: c.config.Address(v.r), UserAgent: v.r.UserAgent()}
}
