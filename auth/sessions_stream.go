package auth

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// Stream binds a request that goes on for long to its session: the context that it returns ends, with a
// *directory.SessionEnded as its cause, when the session does, within a second. check, unless nil,
// is asked at each look whether the principal may still have the stream; its error is then the cause. When
// nobody can say whether the session holds, the context ends too. An open stream is no activity.
//
// The CancelFunc must be called when the stream is over.
func (s *Sessions) Stream(r *http.Request, check func(*directory.Principal) error) (context.Context, *directory.Principal, context.CancelFunc, error) {
	hash := s.Hash(r)
	if hash == [32]byte{} {
		return nil, nil, nil, &directory.SessionEnded{Reason: directory.EndedUnknown}
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	st := &stream{hash: hash, check: check, ctx: ctx, end: cancel}
	// It is watched before it is looked at: what ends the session in between is seen by one of the two.
	s.streams.add(st)
	stop := func() {
		cancel(nil)
		s.streams.remove(st)
	}
	p, err := s.check(r.Context(), hash) // not by ctx, which the watch may have ended already: the reason is to be told
	if err == nil && check != nil {
		err = check(p)
	}
	if err != nil {
		stop()
		return nil, nil, nil, err
	}
	return ctx, p, stop, nil
}

// stream is one request that goes on.
type stream struct {
	hash  [32]byte
	check func(*directory.Principal) error
	ctx   context.Context //nolint:containedctx // it tells whether the request goes on
	end   context.CancelCauseFunc
}

// streams are those of a Sessions. While there are any, one goroutine looks at the sessions of all of
// them, each once however many streams it has; with the last stream the goroutine ends.
type streams struct {
	sessions *Sessions
	empty    chan struct{} // told when the last one has gone

	mu       sync.Mutex
	open     map[[32]byte][]*stream // by session; a slice is replaced, never changed
	watching bool
}

func (l *streams) init(s *Sessions) {
	l.sessions, l.open, l.empty = s, map[[32]byte][]*stream{}, make(chan struct{}, 1)
}

func (l *streams) add(st *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[st.hash] = append(slices.Clip(l.open[st.hash]), st)
	if !l.watching {
		l.watching = true
		go l.watch()
	}
}

func (l *streams) remove(st *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(l.open[st.hash]), func(x *stream) bool { return x == st })
	if l.open[st.hash] = left; len(left) == 0 {
		delete(l.open, st.hash)
	}
	if len(l.open) == 0 {
		select {
		case l.empty <- struct{}{}:
		default:
		}
	}
}

// watch looks at all sessions whenever some have ended on this server, and each streamCheck.
func (l *streams) watch() {
	ticker := time.NewTicker(streamCheck)
	defer ticker.Stop()
	for {
		ended := l.sessions.service.SessionsEnded() // before the look, so that nothing is missed
		began := time.Now()
		if !l.look() {
			return
		}
		// Many who leave at once are seen together: no more than half of a processor's time goes into looking.
		rest := time.NewTimer(time.Since(began))
		select {
		case <-rest.C:
		case <-l.empty:
			rest.Stop()
			continue
		}
		select {
		case <-ended:
		case <-ticker.C:
		case <-l.empty:
		}
	}
}

// look ends the streams whose session does not hold any more. It reports whether there are any streams;
// when there are none, the watch is over.
func (l *streams) look() bool {
	l.mu.Lock()
	if len(l.open) == 0 {
		l.watching = false
		l.mu.Unlock()
		return false
	}
	open := maps.Clone(l.open)
	l.mu.Unlock()
	for hash, all := range open {
		p, err := l.sessions.check(context.Background(), hash)
		for _, st := range all {
			l.judge(st, p, err)
		}
	}
	return true
}

// judge ends a stream where the look says so, or where its request is over.
func (l *streams) judge(st *stream, p *directory.Principal, err error) {
	if err == nil && st.check != nil {
		err = st.check(p)
	}
	if err != nil {
		st.end(err)
	}
	if st.ctx.Err() != nil {
		l.remove(st)
	}
}
