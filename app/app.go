package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"
	"golang.org/x/text/unicode/norm"

	"github.com/bizzstream/bizzscim/api"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/scim"
	"github.com/bizzstream/bizzscim/store"
	"github.com/bizzstream/bizzscim/webhook"
)

// Options are what an App takes from outside besides its configuration. Zero values take the
// defaults.
type Options struct {
	Now     func() time.Time     // default time.Now
	NewID   func() directory.ID  // default: UUID version 7
	Logger  *slog.Logger         // default: nothing is logged
	Version string               // of the program; default "dev"
	Store   directory.Store      // default: the store in the data folder; App closes it
	Client  *http.Client         // for calls to directories; default: one with a time limit, which trusts CAFile too
	Connect pull.Connector       // opens the directory that a pull reads; nil: this program cannot pull
	elapsed func() time.Duration // of the wall clock that is the default
	Notice  func(string)         // shows a text with a secret to who starts the server; nil: nobody is there
}

// App is the running program. Its life is New, Start, Wait, Close.
type App struct {
	config  Config
	options Options
	log     *slog.Logger
	store   directory.Store
	service *directory.Service
	bearer  *auth.Bearer
	tokens  *auth.APITokens
	scim    *scim.Handler
	admin   *admin
	pull    *pull.Reconciler
	desk    *desk.Desk
	sender  *webhook.Sender
	hooks   *webhook.Deliverer
	api     *api.Handler
	secrets *secrets
	signIn  *signIn
	proxies proxies
	metrics *metrics
	handler http.Handler

	draining atomic.Bool
	servers  []*http.Server
	addr     net.Addr
	started  time.Time
	socket   *socket

	summary struct { // of the pulls, for /readyz?verbose
		sync.Mutex
		text string
		at   time.Time
	}

	workers sync.WaitGroup
	stop    context.CancelFunc // ends the workers
	failed  chan error         // the first reason to end by itself
	closing sync.Once
	closed  error
}

// NewID makes a time-ordered id (UUID version 7, RFC 9562).
func NewID() directory.ID { return directory.ID(uuid.Must(uuid.NewV7())) }

// newService opens the store of a data folder, unless one is given, with the domain on top.
func newService(ctx context.Context, c Config, o Options) (directory.Store, *directory.Service, error) {
	st := o.Store
	if st == nil {
		notice, err := prepareFolder(c.Data)
		if err != nil {
			return nil, nil, err
		}
		if notice != "" {
			o.Logger.Warn(notice)
		}
		if st, err = store.Open(filepath.Join(c.Data, storeFile)); err != nil {
			return nil, nil, err
		}
	}
	limits := directory.Limits{SessionLife: c.Session.Life, SessionIdle: c.Session.IdleLimit}
	service := directory.New(st, directory.Options{Now: o.Now, NewID: o.NewID, Normalize: norm.NFC.String, Limits: limits, Elapsed: o.elapsed})
	if err := service.BuildIndexes(ctx); err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	return st, service, nil
}

func (o Options) orDefaults() Options {
	if o.Now == nil {
		o.Now, o.elapsed = time.Now, sinceBoot
	}
	if o.NewID == nil {
		o.NewID = NewID
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Version = cmp.Or(o.Version, "dev")
	return o
}

// New opens the store and wires the program; nothing is served before Start. A data folder that
// others can read is made private or refused. Errors: *ConfigError; directory.ErrLocked when
// another process uses the data folder.
func New(c Config, o Options) (*App, error) {
	c, o = c.orDefaults(), o.orDefaults()
	if p := c.problems(); len(p) > 0 {
		return nil, &ConfigError{p}
	}
	a := &App{config: c, options: o, log: o.Logger, failed: make(chan error, 1)}
	for _, p := range c.TrustedProxies {
		prefix, err := parsePrefix(p)
		if err != nil {
			return nil, &ConfigError{[]string{err.Error()}}
		}
		a.proxies = append(a.proxies, prefix)
	}
	var err error
	if a.store, a.service, err = newService(context.Background(), c, o); err != nil {
		if errors.Is(err, directory.ErrLocked) {
			err = fmt.Errorf("another bizzscim serves the data folder %s: %w", c.Data, err)
		}
		return nil, err
	}
	client, err := newClient(c, o)
	if err != nil {
		return nil, errors.Join(err, a.store.Close())
	}
	keys, err := newKeysClient(c)
	if err != nil {
		return nil, errors.Join(err, a.store.Close())
	}
	a.bearer = auth.NewBearer(a.service, o.Now)
	l := c.Limits
	filter := scim.FilterLimits{Length: l.FilterLength, Depth: l.FilterDepth, Terms: l.FilterTerms}
	a.scim = scim.NewHandler(scim.Config{
		Service:    a.service,
		Auth:       noting{a.bearer},
		Clients:    auth.NewClients(a.service, o.Now, keys),
		People:     signedIn{a},
		BaseURL:    a.baseURL,
		RemoteAddr: address,
		RequestID:  func(r *http.Request) string { return exchangeOf(r.Context()).id },
		Limits: scim.Limits{BodyBytes: l.BodyBytes, JSONDepth: l.JSONDepth, Filter: filter,
			Patch:          scim.PatchLimits{Operations: l.PatchOperations, Members: l.PatchMembers, Filter: filter},
			BulkOperations: l.BulkOperations, BulkBytes: l.BulkBytes,
			PageDefault: l.PageDefault, PageMax: l.PageMax, RequestsPerSecond: l.RequestsPerSecond, Burst: l.Burst},
		Now: o.Now,
		Log: o.Logger,
	})
	a.secrets = newSecrets(c, a.service)
	if a.pull, err = newReconciler(c, o, a.service, a.secrets, a.pullEnded); err != nil {
		return nil, errors.Join(err, a.store.Close())
	}
	a.admin = newAdmin(a.service, a.pull, a.secrets, o, a.url)
	a.admin.status = a.status
	a.desk = desk.New(desk.Config{Service: a.service, Pull: a.pull, URL: a.url, Now: o.Now, Assertions: audiences(c.Upstreams),
		SealCredential: a.secrets.seal, Seal: a.secrets.sealAt, Open: a.secrets.openAt, CheckExtension: checkExtension,
		Sign: func(ctx context.Context, kind string, document []byte) (string, error) {
			return a.signIn.assertions.SignDocument(ctx, kind, document)
		},
		SignEvent: func(ctx context.Context, claims []byte) (string, error) {
			return a.signIn.assertions.SignEvent(ctx, claims)
		},
		Server: a.serverInfo, Configuration: a.configuration, Link: a.link, RotateKeys: a.rotateKeys,
		NoPassword: a.noPassword, MailPassword: a.mailPassword})
	if err := a.newWebhooks(c, o); err != nil {
		return nil, errors.Join(err, a.store.Close())
	}
	a.tokens = auth.NewAPITokens(a.service, o.Now)
	a.api = api.NewHandler(api.Config{Desk: a.desk, Tokens: a.tokens, Address: address,
		RequestID: func(r *http.Request) string { return exchangeOf(r.Context()).id }, URL: a.url, Version: o.Version, Log: o.Logger})
	if a.signIn, err = a.newSignIn(c, o, client); err != nil {
		return nil, errors.Join(err, a.store.Close())
	}
	if c.MetricsListen != "" {
		a.metrics = newMetrics(o.Version, a.store.Stats, func() bool { return a.ready(context.Background()) == "" })
		a.metrics.watchPull(a.pull, a.service, a.options.Now)
	}
	a.admin.local, a.admin.keys = a.signIn.local, a.signIn.assertions
	a.handler = &edge{next: a.routes(), log: a.log, now: o.Now, proxies: a.proxies, metrics: a.metrics,
		headerBytes: l.HeaderBytes, headerCount: l.HeaderCount, https: strings.HasPrefix(c.BaseURL, "https:")}
	return a, nil
}

// routes is the router. The SCIM handler dispatches by itself on the path as it was sent.
func (a *App) routes() http.Handler {
	r := mux.NewRouter().SkipClean(true).UseEncodedPath()
	get := func(path string, h http.HandlerFunc) { r.HandleFunc(path, h).Methods(http.MethodGet, http.MethodHead) }
	r.PathPrefix(scimPrefix).Handler(a.scim)
	r.PathPrefix(api.Prefix + "/").Handler(a.api)
	r.Path(api.Prefix).Handler(a.api)
	a.signIn.route(r)
	get("/livez", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") })
	get("/readyz", a.serveReady)
	get("/version", func(w http.ResponseWriter, _ *http.Request) {
		text(w, http.StatusOK, "bizzscim "+a.options.Version+" "+runtime.Version())
	})
	r.NotFoundHandler = a.signIn.notFound()
	r.MethodNotAllowedHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", "GET, HEAD")
		text(w, http.StatusMethodNotAllowed, "method not allowed")
	})
	return r
}

func text(w http.ResponseWriter, status int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(s + "\n"))
}

// serveReady answers what a load balancer asks. What is wrong with a pull does not make the server
// unready: it serves on, and no other server would do better. With ?verbose a second line tells it.
func (a *App) serveReady(w http.ResponseWriter, r *http.Request) {
	status, answer := http.StatusOK, "ok"
	if reason := a.ready(r.Context()); reason != "" {
		status, answer = http.StatusServiceUnavailable, reason
	}
	if r.URL.Query().Has("verbose") {
		answer += "\n" + a.pullSummary(r.Context())
	}
	text(w, status, answer)
}

// ready says why the server should get no requests; empty when it should.
func (a *App) ready(ctx context.Context) string {
	if a.draining.Load() {
		return "stopping"
	}
	if err := a.service.Ready(); err != nil {
		return "the store failed: writes are refused until the server is started again"
	}
	if err := a.service.View(ctx, func(*directory.Snapshot) error { return nil }); err != nil {
		return "the store does not answer"
	}
	return ""
}

// Desk is what people and programs do here, for tests.
func (a *App) Desk() *desk.Desk { return a.desk }

// Service is the domain, for programs that run an App within themselves.
func (a *App) Service() *directory.Service { return a.service }

// Pull brings environments in line with their groups, for programs that run an App within themselves.
func (a *App) Pull() *pull.Reconciler { return a.pull }

// Stats tells what the store holds and has done.
func (a *App) Stats() directory.StoreStats { return a.store.Stats() }

// Handler serves everything that Start serves on the public address.
func (a *App) Handler() http.Handler { return a.handler }

// Addr is the address that is listened on; nil before Start.
func (a *App) Addr() net.Addr { return a.addr }

// URL is the address by which the server is reached, without a slash at the end: base_url where
// it is set, else that of the listener.
func (a *App) URL() string { return a.url() }

func (a *App) url() string {
	if a.config.BaseURL != "" {
		return a.config.BaseURL
	}
	if a.addr == nil {
		return localURL(a.config.Listen)
	}
	return localURL(a.addr.String())
}

// localURL makes a URL of a listening address; one that means every address becomes this host.
func localURL(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "http://" + address
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

func (a *App) baseURL(r *http.Request) string {
	if a.config.BaseURL != "" {
		return a.config.BaseURL
	}
	return a.proxies.base(r, a.url)
}

// Start listens, serves and starts the workers, then returns. ctx bounds the start alone. After
// an error, Close must still be called.
func (a *App) Start(ctx context.Context) error {
	for _, w := range a.config.Warnings() {
		a.log.Warn(w)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", a.config.Listen)
	if err != nil {
		return fmt.Errorf("app: listen: %w", err)
	}
	a.addr, a.started = l.Addr(), a.options.Now()
	if err := errors.Join(a.resume(ctx), a.desk.DisableTaken(ctx)); err != nil {
		l.Close()
		return err
	}
	a.pull.Recover(ctx) // so that no page shows a run that nobody does
	var ml net.Listener
	if a.config.MetricsListen != "" {
		if ml, err = lc.Listen(ctx, "tcp", a.config.MetricsListen); err != nil {
			l.Close()
			return fmt.Errorf("app: listen for metrics: %w", err)
		}
	}
	if a.socket, err = listenSocket(ctx, a.config.Data); err != nil {
		l.Close()
		if ml != nil {
			ml.Close()
		}
		return err
	}

	var work context.Context
	work, a.stop = context.WithCancel(context.WithoutCancel(ctx))
	report := func(what string) func(error) {
		return func(err error) { a.log.Error(what, "error", err) }
	}
	a.workers.Go(func() { a.service.WorkDerivations(work, report("a step of a run failed")) })
	a.workers.Go(func() { a.bearer.Run(work, report("the use of a token could not be noted")) })
	a.workers.Go(func() { a.tokens.Run(work, report("the use of an API token could not be noted")) })
	a.workers.Go(func() { a.scim.Run(work, report("a failed request could not be logged")) })
	a.workers.Go(func() { a.watchStore(work) })
	a.workers.Go(func() { a.pull.Work(work) })
	a.workers.Go(func() { a.watchCredentials(work) })
	a.workers.Go(func() { a.workWebhooks(work) })

	a.signIn.work(work, a.workers.Go, report)
	public := a.server(a.handler)
	public.RegisterOnShutdown(a.signIn.http.Close)
	public.RegisterOnShutdown(a.signIn.console.Close)
	public.RegisterOnShutdown(a.api.Close)
	a.serve(framed{l}, public)
	operator := a.server(a.admin)
	operator.ConnContext, operator.WriteTimeout = withPeer, 0 // verifying an audit takes what it takes
	a.serve(a.socket, operator)
	if ml != nil {
		a.serve(ml, a.server(a.metrics.handler()))
		a.log.Info("metrics", "url", "http://"+ml.Addr().String()+"/metrics")
	}
	tuneCollector()
	a.log.Info("serving", "url", a.url(), "address", a.addr.String(), "data", a.config.Data, "version", a.options.Version)
	return nil
}

// server makes a server with the timeouts and limits of the configuration.
func (a *App) server(h http.Handler) *http.Server {
	t := a.config.Timeouts
	return &http.Server{Handler: h,
		ReadHeaderTimeout: t.ReadHeader, ReadTimeout: t.Read, WriteTimeout: t.Write, IdleTimeout: t.Idle,
		MaxHeaderBytes:               a.config.Limits.HeaderBytes, // net/http lets 4 KiB more pass; the edge is exact
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(a.log.Handler(), slog.LevelDebug)}
}

// serve runs one server on one listener.
func (a *App) serve(l net.Listener, s *http.Server) {
	a.servers = append(a.servers, s)
	a.workers.Go(func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.fail(fmt.Errorf("app: serve %s: %w", l.Addr(), err))
		}
	})
}

// watchStore ends the program when the store has failed: what is on disk is then unknown until it
// is opened again.
func (a *App) watchStore(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-a.store.Failed():
		a.fail(fmt.Errorf("app: %w", directory.ErrFailed))
	}
}

func (a *App) fail(err error) {
	select {
	case a.failed <- err:
	default:
	}
}

// Wait blocks until ctx ends, and then returns nil, or until the program cannot go on, and then
// says why. Close must follow.
func (a *App) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-a.failed:
		return err
	}
}

// Close stops in good order: /readyz says so, after the drain delay new requests are refused,
// requests under way and the step of a run end, the store is closed. When ctx ends before the
// requests do, they are cut off. It may be called more than once.
func (a *App) Close(ctx context.Context) error {
	a.closing.Do(func() { a.closed = a.close(ctx) })
	return a.closed
}

func (a *App) close(ctx context.Context) error {
	a.draining.Store(true)
	if len(a.servers) > 0 && a.config.DrainDelay > 0 {
		a.log.Info("draining", "for", a.config.DrainDelay.String())
		select {
		case <-ctx.Done():
		case <-a.store.Failed():
		case <-time.After(a.config.DrainDelay):
		}
	}
	var problems []error
	for _, s := range a.servers {
		if err := s.Shutdown(ctx); err != nil {
			problems = append(problems, fmt.Errorf("app: requests were cut off: %w", err))
			_ = s.Close() // their connections; what they still do ends before the store closes
		}
	}
	if a.stop != nil {
		a.stop()
	}
	a.pull.Close() // runs end at their next safe point, between two people
	a.workers.Wait()
	if err := a.store.Close(); err != nil {
		problems = append(problems, err)
	}
	a.socket.remove()
	a.log.Info("stopped")
	return errors.Join(problems...)
}

// Run starts the program and runs it until ctx ends or it cannot go on, then closes it within
// the drain delay and stop timeout of the configuration. ready, if not nil, is called once it
// serves.
func (a *App) Run(ctx context.Context, ready func()) error {
	err := a.Start(ctx)
	if err == nil {
		if ready != nil {
			ready()
		}
		err = a.Wait(ctx)
	}
	// Cut off from ctx: it has ended, and closing takes its own time.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.config.DrainDelay+a.config.StopTimeout)
	defer cancel()
	return errors.Join(err, a.Close(stop))
}

// gcPercent lets the heap grow further between collections than the runtime's 100 would. What is
// kept lies in mapped memory and the heap is small, so that costs a few dozen MiB and saves a
// twentieth of the work.
const gcPercent = 400

// tuneCollector sets gcPercent for the process, unless its owner has set GOGC.
func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
