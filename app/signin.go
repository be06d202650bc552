package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/console"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/mail"
)

const (
	witnessFile     = "sessions.witness"
	setupLife       = 24 * time.Hour // of the first operator's link
	visitsPerMinute = 600            // sign-ins begun and forms sent by one address: of a company whose people start at nine
)

// signIn is how people come in and what they see.
type signIn struct {
	sessions   *auth.Sessions
	local      *auth.Local
	assertions *auth.Assertions
	http       *auth.HTTP
	console    *console.Console
	mails      bool // a mail server is set up
}

// signedIn knows whose session a bearer token is of. The sessions are there once sign-in is, and requests come later.
type signedIn struct{ *App }

func (s signedIn) AuthenticatePerson(ctx context.Context, token string) (*directory.Tenant, directory.ID, error) {
	return auth.Persons{Sessions: s.signIn.sessions, Bearer: s.bearer}.AuthenticatePerson(ctx, token)
}

// newSignIn wires sign-in, sessions and pages.
func (a *App) newSignIn(c Config, o Options, client *http.Client) (*signIn, error) {
	mailer, err := newMailer(c, o.Now)
	if err != nil {
		return nil, err
	}
	s := &signIn{sessions: auth.NewSessions(a.service, cmp.Or(c.Session.Witness, filepath.Join(c.Data, witnessFile)))}
	s.assertions = auth.NewAssertions(auth.AssertionsConfig{Service: a.service, URL: a.url, Seal: a.secrets.sealAt, Unseal: a.secrets.openAt, Now: o.Now})
	s.local, s.mails = newLocal(a.service, a.secrets, o, a.url, mailer), mailer != nil
	directories := auth.NewSignIn(auth.SignInConfig{
		Service:   a.service,
		Redirect:  func() string { return a.url() + callbackPath },
		Open:      a.secrets.open,
		Seal:      a.secrets.sealAt,
		Unseal:    a.secrets.openAt,
		Client:    client,
		Now:       o.Now,
		Log:       a.log,
		Provision: a.provision,
	})
	a.desk.TestSignIn = directories.Test
	visits := auth.NewLimiterOf(o.Now, visitsPerMinute)
	logouts := auth.NewLimiterOf(o.Now, visitsPerMinute)
	allow := func(l *auth.Limiter) func(*http.Request) (time.Duration, bool) {
		return func(r *http.Request) (time.Duration, bool) { return l.Allow(address(r)) }
	}
	s.http = auth.NewHTTP(auth.HTTPConfig{
		Service: a.service, Sessions: s.sessions, Assertions: s.assertions, Upstreams: upstreams(c.Upstreams), URL: a.url,
		Proxy: func(r *http.Request) bool { return a.proxies.trusts(peer(r)) },
		Allow: allow(logouts),
		By: func(r *http.Request) directory.Actor {
			return directory.Actor{Channel: "sign-in", Address: address(r), RequestID: exchangeOf(r.Context()).id}
		},
		Log: a.log,
	})
	s.console = console.New(console.Config{
		Desk:      a.desk,
		Directory: a.service, Sessions: s.sessions, SignIn: directories, Local: s.local,
		Address:       address,
		RequestID:     func(r *http.Request) string { return exchangeOf(r.Context()).id },
		URL:           a.url,
		Limit:         allow(visits),
		BizzStreamURL: c.BizzStreamURL,
		Interval:      c.Pull.Interval,
		Reference:     a.api.Reference,
		Now:           o.Now,
		Log:           a.log,
	})
	return s, nil
}

func newLocal(service *directory.Service, keys *secrets, o Options, url func() string, mailer auth.Mailer) *auth.Local {
	return auth.NewLocal(auth.LocalConfig{Service: service, Seal: keys.sealAt, Unseal: keys.openAt, URL: url, Mail: mailer, Now: o.Now, Log: o.Logger})
}

// newClient makes the client for calls to directories, whose hosts are known or set by an operator. It follows no redirect: a directory's own answers
// are where it says.
func newClient(c Config, o Options) (*http.Client, error) {
	if o.Client != nil {
		return o.Client, nil
	}
	roots, err := c.roots()
	if err != nil {
		return nil, &ConfigError{[]string{"ca_file: " + err.Error()}}
	}
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, fmt.Errorf("app: the default transport is a %T", http.DefaultTransport)
	}
	transport = transport.Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: transport, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// provision asks the directory for a person who signs in and whom nobody has provisioned.
func (a *App) provision(ctx context.Context, tenant *directory.Tenant, object directory.ID) error {
	if a.options.Connect == nil {
		return nil
	}
	_, err := a.pull.Person(ctx, directory.Actor{Role: directory.RoleSystem, Channel: "sign-in", RequestID: exchangeOf(ctx).id}, tenant.ID, object)
	return err
}

// audiences are those of the assertions of upstreams.
func audiences(all []Upstream) []string {
	out := make([]string, len(all))
	for i, u := range all {
		out[i] = u.Audience
	}
	return out
}

func upstreams(all []Upstream) []auth.Upstream {
	out := make([]auth.Upstream, len(all))
	for i, u := range all {
		environment, _ := directory.ParseID(u.Environment) // checked with the configuration
		out[i] = auth.Upstream{Name: u.Name, Audience: u.Audience, Environment: environment}
	}
	return out
}

// address is that of the client, as far as proxies that are trusted tell; empty where there is none.
func address(r *http.Request) string {
	if c := exchangeOf(r.Context()).client; c.IsValid() {
		return c.String()
	}
	return ""
}

// route adds what people and proxies ask for.
func (s *signIn) route(r *mux.Router) {
	for path, h := range map[string]http.HandlerFunc{
		"/auth/session":               s.http.ServeSession,
		"/auth/events":                s.http.ServeEvents,
		"/auth/verify/{upstream}":     s.http.ServeVerify,
		frontchannelPath + "{tenant}": s.http.ServeFrontChannelLogout,
		"/.well-known/jwks.json":      s.http.ServeKeys,
	} {
		r.Handle(path, pathValues(h))
	}
	seen := map[string]bool{}
	for _, route := range s.console.Routes() {
		if !seen[route.Path] { // its handler answers every method
			seen[route.Path] = true
			r.Handle(route.Path, pathValues(route.Handler))
		}
	}
}

// pathValues hands what the router has read from a path to the handler, where the standard library has it.
func pathValues(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range mux.Vars(r) {
			if plain, err := url.PathUnescape(value); err == nil {
				value = plain
			}
			r.SetPathValue(name, value)
		}
		next.ServeHTTP(w, r)
	})
}

// notFound answers what no route has: a browser with a page.
func (s *signIn) notFound() http.Handler {
	page := s.console.NotFound()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			page.ServeHTTP(w, r)
			return
		}
		text(w, http.StatusNotFound, "not found")
	})
}

// resume begins this run's sessions, and says how the first operator gets in.
func (a *App) resume(ctx context.Context) error {
	hold, err := a.signIn.sessions.Resume(ctx)
	if err != nil {
		return fmt.Errorf("app: sessions: %w", err)
	}
	if !hold {
		a.log.Warn("all sessions have ended: the data was restored, copied or moved, " + witnessFile + " was lost, or the clock was set back. Everybody signs in anew")
	}
	has, err := view(ctx, a.service, func(sn *directory.Snapshot) (bool, error) { return sn.HasLocalOperator() })
	if err != nil || has || a.options.Notice == nil {
		return err
	}
	link, _, err := a.signIn.local.NewLink(ctx, directory.Actor{Role: directory.RoleSystem, Channel: "system"}, directory.LinkSetup, directory.ID{}, setupLife)
	if err != nil {
		return err
	}
	a.options.Notice("There is no operator yet. Set up the first one, within a day, at\n" + a.url() + "/setup/" + link + "\n")
	return nil
}

// work does what goes on beside requests.
func (s *signIn) work(ctx context.Context, spawn func(func()), report func(string) func(error)) {
	spawn(func() { s.sessions.Run(ctx, report("sessions could not be kept")) })
	spawn(func() { s.local.Run(ctx) })
}

// mailer hands the mails of auth to the mail server.
type mailer struct{ sender *mail.Sender }

func newMailer(c Config, now func() time.Time) (auth.Mailer, error) {
	m := c.SMTP
	if m.Host == "" {
		return nil, nil //nolint:nilnil // no mail is sent
	}
	roots, err := c.roots()
	if err != nil {
		return nil, &ConfigError{[]string{"ca_file: " + err.Error()}}
	}
	sender, err := mail.New(mail.Config{Host: m.Host, Port: m.Port, User: m.User, Password: string(m.Password), From: m.From, TLS: m.TLS, Roots: roots, Timeout: m.Timeout, Now: now})
	if err != nil {
		return nil, &ConfigError{[]string{"smtp: " + err.Error()}}
	}
	return mailer{sender}, nil
}

// SendReset is auth.Mailer.
func (m mailer) SendReset(ctx context.Context, r auth.ResetMail) error {
	return m.sender.SendReset(ctx, mail.Reset(r))
}
