// Package api answers programs: the JSON API /api/v1, described by OpenAPI 3.1. It turns requests into calls of the
// desk and their errors into problem documents (RFC 9457). Who calls is told by an API token alone, never by a
// cookie. It must never decide what a caller may see or change: scopes are checked here, reach and role are the
// directory's.
package api

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/time/rate"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// Prefix is where the API lies.
const Prefix = "/api/v1"

// Tokens knows the API tokens; an *auth.APITokens does.
type Tokens interface {
	// Authenticate returns whom a bearer token stands for, with role and reach, and what it is for. Errors:
	// Unauthorized, the same for a token that is malformed, unknown, ended or revoked.
	Authenticate(ctx context.Context, token, from string) (by directory.Actor, scopes []string, err error)
}

// Config is what a Handler needs.
type Config struct {
	Desk      *desk.Desk
	Tokens    Tokens
	Address   func(*http.Request) string // of the client
	RequestID func(*http.Request) string
	URL       func() string // of the server, absolute and without a slash at its end
	Version   string        // of the program
	Log       *slog.Logger
}

// Handler serves the API. It is safe for concurrent use.
type Handler struct {
	config  Config
	mux     *http.ServeMux
	api     huma.API
	follows follows
	rates   rates
	pending pending
	anew    map[string]bool // patterns of the operations that take no Idempotency-Key
}

// NewHandler returns a Handler for everything below Prefix.
func NewHandler(c Config) *Handler {
	h := &Handler{config: c, mux: http.NewServeMux(), follows: follows{done: make(chan struct{}), all: map[string]int{}},
		rates: rates{all: map[string]*rate.Limiter{}, now: c.Desk.Now}, pending: pending{all: map[[32]byte]bool{}}, anew: map[string]bool{}}
	settings := huma.DefaultConfig("bizzscim", c.Version)
	h.describe(&settings)
	settings.CreateHooks = nil                                                                    // no link to a schema in answers
	settings.Formats = map[string]huma.Format{"application/json": strictJSON, "json": strictJSON} // json: of problems
	settings.Transformers = []huma.Transformer{h.tidy}
	settings.RejectUnknownQueryParameters = true
	h.api = humago.New(h.mux, settings)
	h.api.UseMiddleware(h.authenticate)
	for _, register := range []func(){h.organizations, h.environments, h.runs, h.tenants, h.users, h.log, h.webhooks, h.apiTokens, h.changes, h.settings} {
		register()
	}
	h.serveDocument()
	return h
}

// OpenAPI is the description of everything that is served.
func (h *Handler) OpenAPI() *huma.OpenAPI { return h.api.OpenAPI() }

const bearer = "token"

// operation is what stands about a route in one place: its documentation, and the scope that a token needs.
type operation struct {
	method, path string // path is below Prefix
	id           string // operationId: camelCase verb and thing, such as listEnvironments
	summary      string
	description  string
	tag          string
	scope        string // of the token, such as environments:read
	status       int    // of success; 0: 200
	anew         bool   // of a POST: each is done, and answered as things are then; it takes no Idempotency-Key
}

// add serves an operation. fn gets the caller, and its input checked against its schema.
func add[In, Out any](h *Handler, op operation, fn func(ctx context.Context, by directory.Actor, in *In) (*Out, error)) {
	for f := range reflect.TypeFor[In]().Fields() {
		if !f.IsExported() {
			panic("api: huma sets nothing in the field " + f.Name + " of the input of " + op.id + ": embed an exported type")
		}
	}
	var parameters []*huma.Param
	if op.anew {
		h.anew[op.method+" "+Prefix+op.path] = true
	} else if op.method == http.MethodPost {
		parameters = append(parameters, idempotencyParam)
	}
	huma.Register(h.api, huma.Operation{Parameters: parameters, MaxBodyBytes: maxBody, Method: op.method, Path: Prefix + op.path, OperationID: op.id, Summary: op.summary,
		Description: op.description, Tags: []string{op.tag}, DefaultStatus: op.status,
		Security: []map[string][]string{{bearer: {op.scope}}}, Errors: errorsOf(op.method)},
		func(ctx context.Context, in *In) (*Out, error) {
			out, err := fn(ctx, callerOf(ctx).by, in)
			if err != nil {
				return nil, withWait(h.problem(ctx, err), err)
			}
			return out, nil
		})
}

// withWait adds to a problem how long to wait, where that is known (RFC 9110 section 10.2.3).
func withWait(p *huma.ErrorModel, err error) error {
	wait := desk.WaitOf(err)
	if wait <= 0 {
		return p
	}
	return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {strconv.Itoa(int(math.Ceil(wait.Seconds())))}})
}

// answersWith says that the answer of an operation that reads is text of its own kind, not JSON.
func (h *Handler) answersWith(op operation, what, kind, example string) {
	h.api.OpenAPI().Paths[Prefix+op.path].Get.Responses["200"] = &huma.Response{Description: what,
		Content: map[string]*huma.MediaType{kind: {Schema: &huma.Schema{Type: huma.TypeString}, Example: example}}}
}

// errorsOf are the errors that an operation is documented with.
func errorsOf(method string) []int {
	all := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusNotAcceptable}
	if method != http.MethodGet {
		all = append(all, http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	return all
}

// body is an answer with a JSON body.
type body[T any] struct{ Body T }

// answer makes the answer of a call of the desk.
func answer[T any](out T, err error) (*body[T], error) {
	if err != nil {
		return nil, err
	}
	return &body[T]{out}, nil
}

// PageInput are the parameters of a list. It is exported so that inputs can embed it: see add.
type PageInput struct {
	After string `query:"after" maxLength:"1024" doc:"\"next\" of the page before"`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"How many items at most"`
}

func (p *PageInput) page() desk.Page { return desk.Page{After: p.After, Limit: p.Limit} }

type callerKey struct{}

type call struct {
	by        directory.Actor
	requestID string
	check     func(context.Context) (directory.Actor, error) // who the token stands for by now

	writeBefore func(time.Duration) // the answer may take as long as that to begin
}

func callerOf(ctx context.Context) *call {
	c, _ := ctx.Value(callerKey{}).(*call)
	return c
}

// authenticate lets in whose token has the scope that the operation needs.
func (h *Handler) authenticate(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	id := h.config.RequestID(r)
	refuse := func(err error) { h.write(w, h.problemOf(id, err)) }
	token, ok := bearerOf(r)
	if !ok {
		refuse(&directory.Error{Kind: directory.Unauthorized, Detail: "an API token is needed: send it as Authorization: Bearer TOKEN"})
		return
	}
	by, scopes, err := h.config.Tokens.Authenticate(r.Context(), token, h.config.Address(r))
	if err != nil {
		refuse(err)
		return
	}
	for _, need := range ctx.Operation().Security {
		for _, scope := range need[bearer] {
			if !slices.Contains(scopes, scope) {
				refuse(&directory.Error{Kind: directory.Forbidden, Detail: "this token does not have the scope " + scope})
				return
			}
		}
	}
	if r.Context().Value(limitedKey{}) == nil {
		if err := h.limit(w.Header(), by.ID); err != nil {
			refuse(err)
			return
		}
	}
	if err := checkQuery(r.URL.RawQuery); err != nil {
		refuse(err)
		return
	}
	if !accepts(r.Header.Get("Accept"), ctx.Operation()) {
		h.refuse(w, r, http.StatusNotAcceptable, "This operation does not answer in the form that Accept asks for.")
		return
	}
	as := func(by directory.Actor) directory.Actor {
		by.Channel, by.Address, by.RequestID = "api", h.config.Address(r), id
		return by
	}
	check := func(ctx context.Context) (directory.Actor, error) {
		by, _, err := h.config.Tokens.Authenticate(ctx, token, h.config.Address(r))
		return as(by), err
	}
	writeBefore := func(d time.Duration) { _ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d)) }
	next(huma.WithValue(ctx, callerKey{}, &call{as(by), id, check, writeBefore}))
}

// statusOf says kinds of errors in HTTP.
var statusOf = [directory.ErrorKinds]int{
	directory.Internal:     http.StatusInternalServerError,
	directory.Invalid:      http.StatusUnprocessableEntity,
	directory.NotFound:     http.StatusNotFound,
	directory.Exists:       http.StatusConflict,
	directory.Conflict:     http.StatusConflict,
	directory.ReadOnly:     http.StatusConflict,
	directory.Unauthorized: http.StatusUnauthorized,
	directory.Forbidden:    http.StatusForbidden,
	directory.RateLimited:  http.StatusTooManyRequests,
	directory.Unavailable:  http.StatusServiceUnavailable,
}

// bearerOf is the token of a request.
func bearerOf(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return token, ok && strings.EqualFold(scheme, "Bearer")
}

// problem says what went wrong as a problem document.
func (h *Handler) problem(ctx context.Context, err error) *huma.ErrorModel {
	id := ""
	if c := callerOf(ctx); c != nil {
		id = c.requestID
	}
	return h.problemOf(id, err)
}

// problemOf says what went wrong with a request. It is the one place that logs.
func (h *Handler) problemOf(id string, err error) *huma.ErrorModel {
	kind := directory.KindOf(err)
	status := statusOf[kind]
	p := &huma.ErrorModel{Type: blank, Status: status, Title: http.StatusText(status), Instance: instance(id)}
	var e *directory.Error
	switch {
	case kind == directory.Internal:
		h.config.Log.Error("request failed", "request_id", id, "error", err)
		p.Detail = "The server could not do this. It is not your request that is wrong; say the request id when you ask for help."
	case errors.As(err, &e):
		if kind == directory.Unavailable { // its cause is for operators alone
			h.config.Log.Error("request failed", "request_id", id, "error", err)
		}
		p.Detail = e.Detail
		if e.Field != "" {
			p.Errors = []*huma.ErrorDetail{{Message: e.Detail, Location: e.Field}}
		}
	default:
		p.Detail = "The server cannot do this now. Try again in a moment."
	}
	return p
}
