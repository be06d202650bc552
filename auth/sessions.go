package auth

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// SessionCookie is the name of the cookie that carries a session's secret. The prefix makes browsers
// keep it to this host, to https and to every path (RFC 6265bis, "__Host-").
const SessionCookie = "__Host-session"

// SessionPrefix starts the secret of a session.
const SessionPrefix = "bze_"

// Figures of the housekeeping.
const (
	keepEvery  = time.Minute
	keepAtOnce = 1000             // notes that one transaction takes
	keepAtEnd  = 10 * time.Second // for the last notes, when the server stops
	maxNotes   = 1 << 16          // about 6 MB; the next sessions are noted once the store has these
)

// streamCheck is how often a stream looks whether its session still holds, besides whenever one ends
// on this server.
const streamCheck = time.Second

// Sessions checks the sessions of browsers. It is safe for concurrent use.
type Sessions struct {
	service *directory.Service
	witness string
	full    chan struct{} // told when notes should not wait for their minute
	streams streams

	mu    sync.Mutex
	notes map[[32]byte]time.Time // last activity that the store does not know of yet, by SHA-256
}

// NewSessions returns a Sessions. witness is the file that tells a store that was restored from the
// one that was left (directory.Witness); empty: none is kept, and no session outlives the server.
func NewSessions(service *directory.Service, witness string) *Sessions {
	s := &Sessions{service: service, witness: witness, full: make(chan struct{}, 1), notes: map[[32]byte]time.Time{}}
	s.streams.init(s)
	return s
}

// NewSessionSecret makes the secret of a session.
func NewSessionSecret() Secret { return newSecret(SessionPrefix) }

var system = directory.Actor{Role: directory.RoleSystem, Channel: "system"}

// Resume begins a run of the server on its store; it must be called before anything is served. It reports whether
// sessions made before hold on. A witness that is lost or damaged ends them; one that cannot be read
// or written is an error.
func (s *Sessions) Resume(ctx context.Context) (bool, error) {
	var last directory.Witness
	if s.witness != "" {
		var err error
		if last, err = readWitness(s.witness); err != nil {
			return false, err
		}
	}
	next, hold, err := s.service.ResumeSessions(ctx, system, last)
	if err != nil {
		return false, err
	}
	if err := s.keepWitness(next); err != nil {
		return false, err
	}
	return hold, nil
}

// Run keeps house until ctx ends, and once more then: it hands the store when sessions were last used,
// lets it remove what is over, and writes the witness of what the store has. report is told of what
// failed; nothing is lost by that but the time of an activity, and the next try follows.
func (s *Sessions) Run(ctx context.Context, report func(error)) {
	ticker := time.NewTicker(keepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepAtEnd)
			defer cancel() //nolint:revive // the loop ends here
			if err := s.keep(last); err != nil {
				report(err)
			}
			return
		case <-ticker.C:
		case <-s.full:
		}
		if err := s.keep(ctx); err != nil && ctx.Err() == nil {
			report(err)
		}
	}
}

// keep does one round of Run: one transaction at least, and another for each further batch of notes.
func (s *Sessions) keep(ctx context.Context) error {
	for {
		batch, more := s.batch()
		w, err := s.service.KeepSessions(ctx, system, batch)
		if err != nil {
			return err
		}
		s.forget(batch)
		if err := s.keepWitness(w); err != nil || !more {
			return err
		}
	}
}

// batch returns notes for one transaction. They stay until the store has them: a check must not miss one
// meanwhile.
func (s *Sessions) batch() (batch map[[32]byte]time.Time, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch = make(map[[32]byte]time.Time, min(len(s.notes), keepAtOnce))
	for hash, at := range s.notes {
		if len(batch) == keepAtOnce {
			return batch, true
		}
		batch[hash] = at
	}
	return batch, false
}

// forget drops notes that the store has; a newer one of the same session stays.
func (s *Sessions) forget(batch map[[32]byte]time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for hash, at := range batch {
		if s.notes[hash].Equal(at) {
			delete(s.notes, hash)
		}
	}
}

func (s *Sessions) noted(hash [32]byte) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notes[hash]
}

// note remembers an activity. Only sessions that hold are noted, so that nobody else can fill the memory.
func (s *Sessions) note(hash [32]byte, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.notes[hash]; !ok && len(s.notes) >= maxNotes {
		return
	}
	s.notes[hash] = at
	if len(s.notes) >= maxNotes/2 {
		select {
		case s.full <- struct{}{}:
		default:
		}
	}
}

// Check returns whom the session of a request stands for, and notes the activity unless quiet. The store
// learns of activity once a minute (Run); until then the note counts for the idle limit of this server.
// Errors: *directory.SessionEnded, with EndedUnknown for a request without a session.
func (s *Sessions) Check(r *http.Request, quiet bool) (*directory.Principal, error) {
	hash := s.Hash(r)
	p, err := s.check(r.Context(), hash)
	if err == nil && !quiet {
		s.note(hash, p.Now)
	}
	return p, err
}

func (s *Sessions) check(ctx context.Context, hash [32]byte) (*directory.Principal, error) {
	if hash == [32]byte{} {
		return nil, &directory.SessionEnded{Reason: directory.EndedUnknown}
	}
	p, err := s.service.CheckSession(ctx, hash, s.noted(hash))
	if err == nil && (p == nil || p.Session == nil || p.Account == nil) { // never on: a caller takes "no error" for "signed in"
		err = errors.New("auth: a session without a person")
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Hash is the SHA-256 of the session's secret in a request; zero when it carries none. Two cookies with
// different values are none: one of them was planted, and nothing tells which.
func (s *Sessions) Hash(r *http.Request) [32]byte {
	cookies := r.CookiesNamed(SessionCookie)
	if len(cookies) == 0 {
		return [32]byte{}
	}
	for _, c := range cookies {
		if c.Value != cookies[0].Value || c.Quoted {
			return [32]byte{}
		}
	}
	if !wellFormed(cookies[0].Value, SessionPrefix) {
		return [32]byte{}
	}
	return Hash(cookies[0].Value)
}

// Cookie is the cookie of a new session. It lasts no longer than the session.
func (s *Sessions) Cookie(secret string, session *directory.Session) *http.Cookie {
	left := session.Expires.Sub(s.service.SessionNow())
	return sessionCookie(secret, max(1, int(left/time.Second))) // 0 would mean: until the browser is closed
}

// NoCookie takes the cookie of a session back.
func (s *Sessions) NoCookie() *http.Cookie { return sessionCookie("", -1) }

func sessionCookie(value string, maxAge int) *http.Cookie {
	return &http.Cookie{Name: SessionCookie, Value: value, Path: "/", MaxAge: maxAge, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}
