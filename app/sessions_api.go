package app

import (
	"context"
	"slices"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// The operations on sessions.
var (
	SessionList = Operation[SessionFilter, List[Session]]{"session.list"}
	SessionEnd  = Operation[SessionRef, SessionResult]{"session.end"}
)

// SessionFilter selects sessions.
type SessionFilter struct {
	User   string `json:"user,omitempty"`   // as in UserRef; empty: of everybody
	Tenant string `json:"tenant,omitempty"` // Ref; to tell users apart
	Ended  bool   `json:"ended,omitempty"`  // also those that have ended; their records stay until 8 hours after the sign-in
	Page
}

// Session is somebody who is signed in.
type Session struct {
	ID        string     `json:"id"`      // by which it is named; it opens nothing
	Account   Named      `json:"account"` // id and userName
	Method    string     `json:"method"`  // directory, password, link
	Tenant    *Named     `json:"tenant,omitempty"`
	Address   string     `json:"address,omitempty"` // of the browser, at sign-in
	UserAgent string     `json:"userAgent,omitempty"`
	Created   time.Time  `json:"created"`
	Seen      time.Time  `json:"seen"` // last activity, to the minute
	Expires   time.Time  `json:"expires"`
	Ended     *time.Time `json:"ended,omitempty"`
	Reason    string     `json:"reason,omitempty"` // why it ended
}

// SessionRef names a session of a user, or all.
type SessionRef struct {
	UserRef
	Session string `json:"session,omitempty"` // id
	All     bool   `json:"all,omitempty"`
}

// SessionResult tells what was ended.
type SessionResult struct {
	Account Named `json:"account"` // id and userName
	Ended   int   `json:"ended"`
}

func (a *admin) listSessions(ctx context.Context, _ directory.Actor, in SessionFilter) (List[Session], error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (List[Session], error) {
		l := &sessionLister{n: newNames(sn), now: a.service.SessionNow(), ended: in.Ended}
		if in.User != "" {
			ref := UserRef{Ref: in.User, Tenant: in.Tenant}
			account, err := ref.find(sn)
			if err != nil {
				return List[Session]{}, err
			}
			err = l.add(account)
			return List[Session]{Items: orEmpty(l.items), Total: int64(len(l.items))}, err
		}
		after, err := in.after()
		if err != nil {
			return List[Session]{}, err
		}
		return l.everybody(after, in.limit())
	})
}

// sessionLister collects sessions, of one account after the other.
type sessionLister struct {
	n     *names
	now   time.Time
	ended bool
	items []Session
}

// accountsAtOnce is how many accounts are read before their sessions are.
const accountsAtOnce = 1000

// everybody lists the sessions of the accounts behind one, whole accounts only, until a page is full.
func (l *sessionLister) everybody(after directory.ID, limit int) (List[Session], error) {
	for {
		var accounts []*directory.Account
		err := l.n.sn.Accounts(after, func(a *directory.Account) bool {
			accounts = append(accounts, a)
			return len(accounts) < accountsAtOnce
		})
		if err != nil {
			return List[Session]{}, err
		}
		for _, account := range accounts {
			if err := l.add(account); err != nil {
				return List[Session]{}, err
			}
			after = account.ID
			if len(l.items) >= limit {
				return List[Session]{Items: l.items, Total: -1, Next: after.String()}, nil
			}
		}
		if len(accounts) < accountsAtOnce {
			return List[Session]{Items: orEmpty(l.items), Total: -1}, nil
		}
	}
}

// add lists the sessions of an account, newest first.
func (l *sessionLister) add(account *directory.Account) error {
	all, err := l.n.sn.Sessions(account.ID)
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b *directory.Session) int { return b.Created.Compare(a.Created) })
	for _, s := range all {
		live := s.Live(l.now)
		if live || l.ended {
			l.items = append(l.items, viewSession(l.n, account, s, live))
		}
	}
	return nil
}

func viewSession(n *names, account *directory.Account, s *directory.Session, live bool) Session {
	out := Session{ID: s.ID.String(), Account: Named{account.ID.String(), account.UserName}, Method: string(s.Method), Address: s.Address, UserAgent: s.UserAgent,
		Created: s.Created, Seen: s.Seen, Expires: s.Expires, Ended: orNil(s.Ended), Reason: string(s.Reason)}
	if !s.TenantID.IsZero() {
		t := n.tenant(s.TenantID)
		out.Tenant = &t
	}
	if !live && out.Ended == nil {
		out.Ended, out.Reason = &s.Expires, string(directory.EndedExpired)
	}
	return out
}

func (a *admin) endSession(ctx context.Context, by directory.Actor, in SessionRef) (SessionResult, error) {
	if in.All == (in.Session != "") {
		return SessionResult{}, fail(directory.Invalid, "session", "say which session to end, or all")
	}
	account, err := view(ctx, a.service, func(sn *directory.Snapshot) (*directory.Account, error) { return in.find(sn) })
	if err != nil {
		return SessionResult{}, err
	}
	out := SessionResult{Account: Named{account.ID.String(), account.UserName}}
	if in.All {
		out.Ended, err = a.service.EndSessions(ctx, by, account.ID, directory.ID{}, directory.EndedRevoked)
		return out, err
	}
	id, ok := directory.ParseID(in.Session)
	if ok {
		err = a.service.EndSession(ctx, by, account.ID, id, directory.EndedRevoked)
	}
	if !ok || isNotFound(err) {
		return out, fail(directory.NotFound, "session", "%s has no session %q; see: bizzscim session list %s", account.UserName, in.Session, account.UserName)
	}
	out.Ended = 1
	return out, err
}
