package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/bizzstream/bizzscim/directory"
)

// SignInHeader is where a browser signs in and comes back, in the answer of ServeVerify to a request
// without a session: a path of this server.
const SignInHeader = "X-Sign-In"

// ServeVerify tells a reverse proxy whether to let a request through to an upstream:
// /auth/verify/{upstream}, by any method (nginx auth_request, Traefik ForwardAuth, Caddy forward_auth).
//
// It answers 200, with the assertion in AssertionHeader, when the request's session holds and has an
// active access to the upstream's environment. Without a session that holds it is 401; in any other
// case, a fault of ours included, 403. Which path, method or host was asked for makes no difference,
// nor does any header but Cookie: there is nothing that is let through unseen.
//
// X-Forwarded-Uri tells where to come back after the sign-in (SignInHeader), and nothing else.
func (h *HTTP) ServeVerify(w http.ResponseWriter, r *http.Request) {
	private(w)
	assertion, err := h.verify(r)
	if err != nil || assertion == "" {
		h.refuse(w, r, err)
		return
	}
	w.Header().Set(AssertionHeader, assertion)
	w.WriteHeader(http.StatusOK) // the one way out that lets a request through
}

// verify returns the assertion of a request that may pass. Errors: *directory.SessionEnded when nobody is
// signed in; anything else is a refusal of who is, or of who asks.
func (h *HTTP) verify(r *http.Request) (assertion string, err error) {
	defer func() {
		if p := recover(); p != nil {
			assertion, err = "", fmt.Errorf("auth: panic: %v\n%s", p, debug.Stack())
		}
	}()
	upstream, known := h.upstreams[r.PathValue("upstream")]
	switch {
	case h.config.Proxy == nil || !h.config.Proxy(r):
		return "", errNoProxy
	case !known:
		return "", errNoUpstream
	case h.config.Assertions == nil:
		return "", errors.New("auth: there is nothing to sign assertions with")
	}
	p, err := h.config.Sessions.Check(r, false)
	if err != nil {
		return "", err
	}
	return h.config.Assertions.Sign(r.Context(), upstream, p) // refuses whoever lacks the access that the upstream asks for
}

var (
	errNoProxy    = &directory.Error{Kind: directory.Forbidden, Field: "proxy", Detail: "only a reverse proxy that is configured here may ask"}
	errNoUpstream = &directory.Error{Kind: directory.Forbidden, Field: "upstream", Detail: "there is no such application"}
)

// refuse answers 401 to who is not signed in, 403 to anybody else.
func (h *HTTP) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := problem{Status: http.StatusForbidden, Detail: "The server cannot tell now whether you may use this application. Try again in a moment."}
	var ended *directory.SessionEnded
	var known *directory.Error
	switch {
	case errors.As(err, &ended):
		p = problem{Status: http.StatusUnauthorized, Detail: "You are not signed in. Sign in at " + h.config.URL() + "/login and try again.", Reason: ended.Reason}
		w.Header().Set(SignInHeader, signInPath(r))
	case errors.As(err, &known) && known.Kind == directory.Forbidden:
		p.Detail = "You may not use this application: " + known.Detail + "."
	case !errors.Is(err, context.Canceled):
		h.config.Log.Error("a request could not be verified", "request_id", h.by(r).RequestID, "error", err)
	}
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		write(w, r, p.Status, "text/plain; charset=utf-8", []byte(p.Detail+"\n"))
		return
	}
	writeProblem(w, r, p)
}

// signInPath is where a browser signs in and then comes back to the page that the proxy was asked for.
func signInPath(r *http.Request) string {
	asked := r.Header["X-Forwarded-Uri"]
	if len(asked) != 1 {
		return "/login"
	}
	next := SafeNext(asked[0])
	if next == "/" {
		return "/login"
	}
	return "/login?next=" + url.QueryEscape(next)
}
