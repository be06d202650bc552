package auth

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// SessionCookie is the name of the cookie that carries a session's secret. The prefix makes browsers
// keep it to this host, to https and to every path (RFC 6265bis, "__Host-").
const SessionCookie = "__Host-session"

// SessionPrefix starts the secret of a session.
const SessionPrefix = "bze_"

// Sessions checks the sessions of browsers. It is safe for concurrent use.
type Sessions struct {
	service *directory.Service
	witness string
}

// NewSessions returns a Sessions. witness is the file that tells a store that was restored from the
// one that was left (directory.Witness); empty: none is kept, and no session outlives the server.
func NewSessions(service *directory.Service, witness string) *Sessions {
	return &Sessions{service: service, witness: witness}
}

// NewSessionSecret makes the secret of a session.
func NewSessionSecret() Secret { return newSecret(SessionPrefix) }

// Resume begins a run of the server on its store; it must be called before anything is served. It reports whether
// sessions made before hold on.
func (s *Sessions) Resume(ctx context.Context) (bool, error) { return false, errors.New("not built") }

// Run keeps house until ctx ends, and once more then.
func (s *Sessions) Run(ctx context.Context, report func(error)) {}

// Check returns whom the session of a request stands for, and notes the activity unless quiet.
// Errors: *directory.SessionEnded, with EndedUnknown for a request without a session.
func (s *Sessions) Check(r *http.Request, quiet bool) (*directory.Principal, error) {
	return nil, errors.New("not built")
}

// Hash is the SHA-256 of the session's secret in a request; zero when it carries none.
func (s *Sessions) Hash(r *http.Request) [32]byte { return [32]byte{} }

// Cookie is the cookie of a new session.
func (s *Sessions) Cookie(secret string, session *directory.Session) *http.Cookie { return nil }

// NoCookie takes the cookie of a session back.
func (s *Sessions) NoCookie() *http.Cookie { return nil }

// Stream binds a request that goes on for long to its session: the context that it returns ends, with a
// *directory.SessionEnded as its cause, when the session does, within a second. check, unless nil,
// is asked at each look whether the principal may still have the stream.
func (s *Sessions) Stream(r *http.Request, check func(*directory.Principal) error) (context.Context, *directory.Principal, context.CancelFunc, error) {
	return nil, nil, nil, errors.New("not built")
}

// streamCheck is how often a stream looks whether its session still holds, besides whenever one ends
// on this server.
const streamCheck = time.Second
