package scim

import (
	"errors"
	"maps"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/bizzstream/bizzscim/directory"
)

// /Me stands for the User of whoever is signed in (RFC 7644 section 3.11). A directory's token stands for no user.

// authenticatePerson opens /Me by the session of a person; refused is why the token is no directory's.
func (q *request) authenticatePerson(refused error) error {
	token, ok := bearer(q.r.Header["Authorization"])
	if !ok || q.People == nil || directory.KindOf(refused) != directory.Unauthorized {
		return refused
	}
	record, user, err := q.People.AuthenticatePerson(q.r.Context(), token)
	var ended *directory.SessionEnded
	switch {
	case errors.As(err, &ended) && ended.Reason == directory.EndedUnknown:
		return refused
	case ended != nil:
		return &directory.Error{Kind: directory.Unauthorized, Detail: "the session has ended: sign in again"}
	case err != nil:
		return err
	case record == nil:
		return &Error{Status: http.StatusNotFound, Detail: "no directory manages this account, so there is no User of it"}
	}
	q.tenant, q.id, q.person = q.Handler.tenant(record), user, true
	return nil
}

// What one person may ask of /Me.
const (
	personPerSecond = 5
	personBurst     = 25
	maxPeople       = 10_000 // of a tenant, whose buckets are kept
)

// people are the buckets of a tenant's people: who asks too often holds up nobody else.
type people struct {
	mu  sync.Mutex
	all map[directory.ID]*rate.Limiter // by user
}

// limiter returns the bucket of a user.
func (p *people) limiter(user directory.ID, now time.Time) *rate.Limiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.all[user]
	if l == nil {
		if len(p.all) >= maxPeople { // a full one is as good as none
			maps.DeleteFunc(p.all, func(_ directory.ID, l *rate.Limiter) bool { return l.TokensAt(now) >= personBurst })
		}
		if len(p.all) >= maxPeople {
			clear(p.all)
		}
		l = rate.NewLimiter(personPerSecond, personBurst)
		p.all[user] = l
	}
	return l
}

func (q *request) getMe() error {
	if !q.person {
		return errNobody
	}
	q.name = q.id.String()
	return q.getUser()
}

// writeMe refuses: whatever a person could change here, the next push would set back.
func (q *request) writeMe() error {
	if !q.person {
		return errNobody
	}
	return &Error{Status: http.StatusForbidden, Detail: "your profile is managed by the directory of your organization: have it changed there"}
}

var errNobody = &Error{Status: http.StatusNotImplemented, Detail: "/Me is for people with their own session; this token is a directory's and stands for no user"}
