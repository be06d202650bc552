package auth

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// HTTPConfig is what an HTTP needs.
type HTTPConfig struct {
	Service    *directory.Service
	Sessions   *Sessions
	Assertions *Assertions // nil: no upstream is let through
	Upstreams  []Upstream
	URL        func() string // of this server, for links: never what a request says
	// Proxy reports whether the peer of a request, by its socket address, is a reverse proxy that may
	// ask ServeVerify. nil: none may.
	Proxy func(*http.Request) bool
	// Allow says whether one more front-channel logout of that source may be looked at. Many people of
	// one company can be behind one address, so it should be generous. nil: each may.
	Allow func(*http.Request) (wait time.Duration, ok bool)
	By    func(*http.Request) directory.Actor // channel, address and request; the role is set here
	Log   *slog.Logger                        // nil: nothing is logged
}

// HTTP answers programs about sessions: the script of a page, a reverse proxy, an upstream, a directory. It
// has no pages. Its handlers are safe for concurrent use.
type HTTP struct {
	config    HTTPConfig
	upstreams map[string]Upstream
	done      chan struct{} // closed when event streams have to end
	close     sync.Once

	mu     sync.Mutex
	events map[directory.ID]int // open event streams of a session
}

// NewHTTP returns an HTTP. Close ends what goes on for long.
func NewHTTP(c HTTPConfig) *HTTP {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	h := &HTTP{config: c, upstreams: map[string]Upstream{}, done: make(chan struct{}), events: map[directory.ID]int{}}
	for _, u := range c.Upstreams {
		h.upstreams[u.Name] = u
	}
	return h
}

// Close ends the event streams, which would keep a server from shutting down, and refuses new ones. It
// may be called more than once (http.Server.RegisterOnShutdown).
func (h *HTTP) Close() { h.close.Do(func() { close(h.done) }) }

// instant is a time in JSON: RFC 3339, UTC, with milliseconds.
type instant time.Time

// MarshalText is the form of an instant.
func (t instant) MarshalText() ([]byte, error) {
	return []byte(time.Time(t).UTC().Format("2006-01-02T15:04:05.000Z07:00")), nil
}

type named struct {
	ID   directory.ID `json:"id"`
	Name string       `json:"name"`
}

type sessionRoles struct {
	Operator        bool           `json:"operator"`
	PartnerOf       []directory.ID `json:"partnerOf"`       // organizations
	AdministratorOf []directory.ID `json:"administratorOf"` // environments
}

type sessionEnvironment struct {
	named
	Organization  named    `json:"organization"`
	Administrator bool     `json:"administrator"`
	Menus         []string `json:"menus"`
}

type sessionTimes struct {
	ID        directory.ID           `json:"id"`
	Method    directory.SignInMethod `json:"method"`
	Created   instant                `json:"created"`
	ExpiresAt instant                `json:"expiresAt"`
}

type sessionView struct {
	AccountID    directory.ID         `json:"accountId"`
	UserName     string               `json:"userName"`
	Name         string               `json:"name"`
	Email        string               `json:"email,omitempty"`
	Language     string               `json:"language,omitempty"`
	Tenant       *named               `json:"tenant,omitempty"` // nil: an internal user
	Roles        sessionRoles         `json:"roles"`
	Environments []sessionEnvironment `json:"environments"`
	Default      directory.ID         `json:"defaultEnvironmentId,omitzero"` // where the person lands when nothing names another; one of Environments
	Session      sessionTimes         `json:"session"`
	ServerTime   instant              `json:"serverTime"`
}

// ServeSession says who the session of a request stands for, and when it ends: GET /auth/session. Asking
// is no activity. Without a session that holds it answers 401, as application/problem+json (RFC 9457)
// with the member reason (directory.EndReason), and takes a dead cookie back.
func (h *HTTP) ServeSession(w http.ResponseWriter, r *http.Request) {
	private(w)
	if !allow(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	p, err := h.config.Sessions.Check(r, true)
	if err != nil {
		h.noSession(w, r, err)
		return
	}
	view, err := h.view(r, p)
	if err != nil {
		h.fault(w, r, err)
		return
	}
	writeJSON(w, r, http.StatusOK, "application/json", view)
}

func (h *HTTP) view(r *http.Request, p *directory.Principal) (*sessionView, error) {
	v := &sessionView{AccountID: p.Account.ID, UserName: p.Account.UserName, Name: p.Account.Name, Email: p.Account.Email, Language: p.Account.Language,
		Roles:        sessionRoles{Operator: p.Roles.Operator, PartnerOf: orEmpty(p.Roles.PartnerOf), AdministratorOf: []directory.ID{}},
		Environments: make([]sessionEnvironment, 0, len(p.Accesses)),
		Session: sessionTimes{ID: p.Session.ID, Method: p.Session.Method, Created: instant(p.Session.Created),
			ExpiresAt: instant(p.Session.Expires)},
		ServerTime: instant(p.Now)}
	if x, _ := p.Account.DefaultAccess(p.Accesses); x != nil {
		v.Default = x.EnvironmentID
	}
	err := h.config.Service.View(r.Context(), func(sn *directory.Snapshot) error {
		if p.Account.External() {
			t, err := sn.Tenant(p.Account.TenantID)
			if err != nil {
				return err
			}
			v.Tenant = &named{t.ID, t.DisplayName()}
		}
		for _, x := range p.Accesses {
			env, err := sn.Environment(x.EnvironmentID)
			if err != nil {
				return err
			}
			org, err := sn.Organization(env.OrganizationID)
			if err != nil {
				return err
			}
			v.Environments = append(v.Environments, sessionEnvironment{named{env.ID, env.Name}, named{org.ID, org.Name}, x.Administrator, orEmpty(x.Menus)})
			if x.Administrator {
				v.Roles.AdministratorOf = append(v.Roles.AdministratorOf, env.ID)
			}
		}
		return nil
	})
	return v, err
}

// orEmpty makes a list that JSON shows as one even when nothing is in it.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// ServeKeys publishes the keys that assertions are verified with, as a JWK Set (RFC 7517): GET
// /.well-known/jwks.json.
func (h *HTTP) ServeKeys(w http.ResponseWriter, r *http.Request) {
	secure(w)
	if !allow(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	if h.config.Assertions == nil {
		writeProblem(w, r, problem{Status: http.StatusNotFound, Detail: "this server signs nothing"})
		return
	}
	set, err := h.config.Assertions.Keys(r.Context())
	if err != nil {
		h.fault(w, r, err)
		return
	}
	// A new key is published ten minutes before it signs, so nobody who keeps keys for five misses one.
	w.Header().Set("Cache-Control", "public, max-age=300")
	writeJSON(w, r, http.StatusOK, "application/jwk-set+json", set)
}

// ServeFrontChannelLogout ends the sessions that came of one session at a tenant's directory: GET
// /auth/frontchannel-logout/{tenant}?sid=... (OpenID Connect Front-Channel Logout 1.0), where tenant is the
// id of the tenant. The directory's page loads it in a frame, without our cookie. It answers 200 with
// nothing in it, whatever it found.
func (h *HTTP) ServeFrontChannelLogout(w http.ResponseWriter, r *http.Request) {
	secure(w)
	if !allow(w, r, http.MethodGet) {
		return
	}
	tenant := h.tenant(r)
	ancestors := "'none'"
	if tenant != nil {
		if at := origin(Issuer(tenant)); at != "" {
			ancestors = at
		}
		h.logOut(r, tenant)
	}
	header := w.Header()
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors "+ancestors)
	header.Set("Cross-Origin-Resource-Policy", "cross-origin") // a frame of another origin is what this is for
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
}

// tenant returns the tenant that a path names, nil when there is none with a directory.
func (h *HTTP) tenant(r *http.Request) (t *directory.Tenant) {
	id, ok := directory.ParseID(r.PathValue("tenant"))
	if !ok {
		return nil
	}
	err := h.config.Service.View(r.Context(), func(sn *directory.Snapshot) (err error) {
		t, err = sn.Tenant(id)
		return err
	})
	if err != nil || Issuer(t) == "" { // one that signs nobody in any more may still have sessions
		return nil
	}
	return t
}

func (h *HTTP) logOut(r *http.Request, tenant *directory.Tenant) {
	query := r.URL.Query()
	sid, iss := query["sid"], query["iss"]
	if len(sid) != 1 || len(iss) > 1 || len(iss) == 1 && iss[0] != Issuer(tenant) {
		return
	}
	if h.config.Allow != nil {
		if _, ok := h.config.Allow(r); !ok {
			return
		}
	}
	by := h.by(r)
	by.Role, by.ID = directory.RoleDirectory, tenant.ID.String()
	if _, err := h.config.Service.EndDirectorySession(r.Context(), by, tenant.ID, sid[0]); err != nil {
		h.config.Log.Error("a sign-out at the directory could not be followed", "tenant_id", tenant.ID.String(), "request_id", by.RequestID, "error", err)
	}
}

// origin returns scheme and host of an address; empty where that would be more than an origin in a
// Content-Security-Policy.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || strings.ContainsFunc(u.Host, func(r rune) bool { return !strings.ContainsRune(originCharacters, r) }) {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

const originCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]"

func (h *HTTP) by(r *http.Request) directory.Actor {
	if h.config.By == nil {
		return directory.Actor{Channel: "http"}
	}
	return h.config.By(r)
}

// problem is a problem detail (RFC 9457) of type about:blank.
type problem struct {
	Title  string              `json:"title"`
	Status int                 `json:"status"`
	Detail string              `json:"detail,omitempty"`
	Reason directory.EndReason `json:"reason,omitempty"` // why there is no session
}

func writeProblem(w http.ResponseWriter, r *http.Request, p problem) {
	p.Title = http.StatusText(p.Status)
	writeJSON(w, r, p.Status, "application/problem+json", p)
}

// noSession answers a request whose session does not hold.
func (h *HTTP) noSession(w http.ResponseWriter, r *http.Request, err error) {
	var ended *directory.SessionEnded
	if !errors.As(err, &ended) {
		h.fault(w, r, err)
		return
	}
	// A session that gave way to another one of the same browser is told of before the browser has the new
	// cookie: taking back the old one could take the new one.
	if len(r.CookiesNamed(SessionCookie)) > 0 && ended.Reason != directory.EndedReplaced {
		http.SetCookie(w, h.config.Sessions.NoCookie())
	}
	writeProblem(w, r, problem{Status: http.StatusUnauthorized, Detail: "You are not signed in. Sign in and try again.", Reason: ended.Reason})
}

// fault answers a request that failed through no fault of the caller.
func (h *HTTP) fault(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil { // who has gone away is no fault
		h.config.Log.Error("a request about a session failed", "request_id", h.by(r).RequestID, "error", err)
	}
	writeProblem(w, r, problem{Status: http.StatusServiceUnavailable, Detail: "The server cannot tell now. Try again in a moment."})
}

func writeJSON(w http.ResponseWriter, r *http.Request, status int, kind string, v any) {
	body, err := json.Marshal(v)
	if err != nil { // times and texts only: it cannot be
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	write(w, r, status, kind, body)
}

func write(w http.ResponseWriter, r *http.Request, status int, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// secure sets the headers of every answer.
func secure(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// private sets those of an answer that depends on who asks.
func private(w http.ResponseWriter) {
	secure(w)
	w.Header().Set("Vary", "Cookie")
}

func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, m := range methods {
		if r.Method == m {
			return true
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	writeProblem(w, r, problem{Status: http.StatusMethodNotAllowed, Detail: "This address takes " + strings.Join(methods, " and ") + "."})
	return false
}
