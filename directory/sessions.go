package directory

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"
)

// SessionLife is how long a session lasts from sign-in, whatever the activity (domain rule 9).
const SessionLife = 8 * time.Hour

// maxSessions is how many live sessions an account has; the oldest gives way to a new one.
const maxSessions = 20

// Session is a signed-in account. Its secret is never kept. A record stays until Expires when the
// session ends before that, so that the browser that holds it can be told why.
type Session struct {
	ID         ID        `json:"id"`   // by which people name it; it opens nothing
	Hash       []byte    `json:"hash"` // SHA-256 of the secret
	AccountID  ID        `json:"accountId"`
	Epoch      uint64    `json:"epoch"`                // of the account when it was made
	Generation uint64    `json:"generation,omitempty"` // of all sessions when it was made
	Created    time.Time `json:"created"`
	Expires    time.Time `json:"expires"` // SessionLife after sign-in, never later
	Seen       time.Time `json:"seen"`    // last activity, to the minute
	SignedIn
	Ended  time.Time `json:"ended,omitzero"` // before Expires
	Reason EndReason `json:"reason,omitempty"`
}

// SignedIn tells how and where somebody signed in.
type SignedIn struct {
	Method     SignInMethod `json:"method"`
	TenantID   ID           `json:"tenantId,omitzero"`    // of MethodDirectory
	ObjectID   ID           `json:"objectId,omitzero"`    // oid of MethodDirectory
	SID        string       `json:"sid,omitempty"`        // the directory's own session, where it tells
	LogoutHint string       `json:"logoutHint,omitempty"` // for signing out of the directory, where it tells
	Address    string       `json:"address,omitempty"`    // of the browser
	UserAgent  string       `json:"userAgent,omitempty"`
}

// SignInMethod tells what somebody signed in with.
type SignInMethod string

// The methods.
const (
	MethodDirectory SignInMethod = "directory" // OpenID Connect
	MethodPassword  SignInMethod = "password"  // of a local operator
	MethodLink      SignInMethod = "link"      // made on the command line
)

// EndReason tells why a session ended.
type EndReason string

// The reasons.
const (
	EndedExpired     EndReason = "expired"     // its life is over
	EndedIdle        EndReason = "idle"        // no activity for the idle limit
	EndedSignOut     EndReason = "signed out"  // by the person
	EndedRevoked     EndReason = "revoked"     // by the person from elsewhere, or by an operator
	EndedDirectory   EndReason = "directory"   // signed out at the directory (front-channel logout)
	EndedDeactivated EndReason = "deactivated" // no active access is left, or the directory disabled or deleted the user
	EndedIdentity    EndReason = "identity"    // the account belongs to another object of the directory now
	EndedAdopted     EndReason = "adopted"     // a directory manages the account now
	EndedPassword    EndReason = "password"    // the password was changed
	EndedLogin       EndReason = "login"       // the local login or the roles were taken away
	EndedReplaced    EndReason = "replaced"    // by a new sign-in of the same browser, or by newer sessions
	EndedRestored    EndReason = "restored"    // the server cannot vouch for it any more: restored data, or a clock set back
	EndedUnknown     EndReason = "unknown"     // there is no such session
)

// SessionEnded is the error of a session that holds no more, of kind Unauthorized.
type SessionEnded struct { //nolint:errname // it says what has happened, in the words of the domain
	Reason  EndReason
	Session *Session // nil when it is not known
}

func (e *SessionEnded) Error() string { return "the session has ended: " + string(e.Reason) }

// Unwrap makes it an Error of the domain.
func (e *SessionEnded) Unwrap() error {
	return &Error{Kind: Unauthorized, Detail: "the session has ended"}
}

// Principal is who a live session stands for, as of the moment it was checked.
type Principal struct {
	Session  *Session
	Account  *Account
	Roles    *Roles
	Accesses []*Access // active, and rightly so
	Now      time.Time // by the clock that sessions end by
}

// Role is the highest of the principal's roles.
func (p *Principal) Role() Role {
	switch {
	case p.Roles.Operator:
		return RoleOperator
	case len(p.Roles.PartnerOf) > 0:
		return RolePartner
	case slices.ContainsFunc(p.Accesses, func(a *Access) bool { return a.Administrator }):
		return RoleEnvironment
	}
	return RoleUser
}

// Actor is the principal as the author of a change. The caller adds channel, address and request.
func (p *Principal) Actor() Actor {
	reach := &Reach{Organizations: p.Roles.PartnerOf}
	for _, x := range p.Accesses {
		if x.Administrator {
			reach.Environments = append(reach.Environments, x.EnvironmentID)
		}
	}
	return Actor{Role: p.Role(), ID: p.Account.ID.String(), Reach: reach}
}

// Access returns the principal's access to an environment; nil: none that is active and rightly so.
func (p *Principal) Access(environment ID) *Access {
	i := slices.IndexFunc(p.Accesses, func(a *Access) bool { return a.EnvironmentID == environment })
	if i < 0 {
		return nil
	}
	return p.Accesses[i]
}

// SessionInput describes a session to be made.
type SessionInput struct {
	AccountID ID
	Hash      [32]byte // SHA-256 of the new secret
	Replaces  [32]byte // the session that the browser had until now; zero: none
	SignedIn
}

// CreateSession signs an account in. What proves the person is the caller's affair. Errors: Forbidden
// when the account has no active access (rule 8) and is no local operator or partner.
func (s *Service) CreateSession(ctx context.Context, by Actor, in SessionInput) (*Session, error) {
	var session *Session
	err := s.update(ctx, by, func(c *change) (err error) {
		session, err = c.createSession(in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return session, nil
}

func (c *change) createSession(in SessionInput) (*Session, error) {
	a, err := c.Account(in.AccountID)
	if err != nil {
		return nil, err
	}
	if _, _, err := c.mayHaveSession(a); err != nil {
		return nil, err
	}
	if in.Replaces != [32]byte{} {
		if err := c.endSession(in.Replaces[:], EndedReplaced); err != nil {
			return nil, err
		}
	}
	now := c.s.clock.now()
	if err := c.makeRoom(a.ID, now); err != nil {
		return nil, err
	}
	in.clean()
	session := &Session{ID: c.s.newID(), Hash: in.Hash[:], AccountID: a.ID, Epoch: a.Epoch, Generation: c.s.generation.Load(),
		Created: now, Expires: now.Add(c.s.limits.SessionLife), Seen: now, SignedIn: in.SignedIn}
	if err := c.insert(tableSessions, session.Hash, session.encode(), failf(Conflict, "", "there is such a session already")); err != nil {
		return nil, err
	}
	rows := []row{{table: tableAccountSession, key: append(key(a.ID), session.Hash...)}, {table: tableSessionEnd, key: session.endKey()}}
	if session.SID != "" {
		rows = append(rows, row{tableSessionSID, listKey(session.TenantID, session.SID, session.ID), session.Hash})
	}
	if err := c.put(rows...); err != nil {
		return nil, err
	}
	return session, c.audit("session.create", a.ID.String(), map[string]any{"session": session.ID, "method": session.Method, "address": session.Address})
}

// clean bounds what others have said: a text for people is cut, one that means something is dropped
// when it is not what it may be.
func (in *SignedIn) clean() {
	cut := func(s string, most int) string { return strings.ToValidUTF8(s[:min(len(s), most)], "") }
	in.UserAgent, in.Address = cut(in.UserAgent, 256), cut(in.Address, 64)
	for _, s := range []*string{&in.SID, &in.LogoutHint} {
		if !isKey(*s) {
			*s = ""
		}
	}
}

func (s *Session) endKey() []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(s.Expires.UnixMilli())), s.Hash...)
}

// live reports whether nothing has ended the session before its time.
func (s *Session) live(now time.Time) bool { return s.Ended.IsZero() && now.Before(s.Expires) }

// makeRoom ends the oldest sessions of an account that has too many.
func (c *change) makeRoom(account ID, now time.Time) error {
	all, err := c.Sessions(account)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(s *Session) bool { return !s.live(now) })
	slices.SortFunc(all, func(a, b *Session) int { return a.Created.Compare(b.Created) })
	for len(all) >= maxSessions {
		if err := c.endSession(all[0].Hash, EndedReplaced); err != nil {
			return err
		}
		all = all[1:]
	}
	return nil
}

// mayHaveSession returns the accesses and roles that let an account be signed in, or says why it may
// not be: an external user, or an internal one without a role, needs an active access (rule 8).
func (s *Snapshot) mayHaveSession(a *Account) ([]*Access, *Roles, error) {
	accesses, err := s.entitledAccesses(a)
	if err != nil {
		return nil, nil, err
	}
	roles, err := s.Roles(a.ID)
	if err != nil {
		return nil, nil, err
	}
	if len(accesses) == 0 && (a.External() || roles.none()) {
		return nil, nil, errNoAccess
	}
	return accesses, roles, nil
}

var errNoAccess = &Error{Kind: Forbidden, Field: "access", Detail: "this account has no active access to any environment"}

// entitledAccesses returns the accesses of an account that are active, and rightly so: the directory
// says that the user is active, and no derivation has still to look at the access. Where one has, rule 1
// itself is asked; everywhere else the record is what it came to.
func (s *Snapshot) entitledAccesses(a *Account) (all []*Access, err error) {
	var u User
	if a.External() {
		if _, err := s.UserResource(&u, a.TenantID, a.UserID); !u.Active || err != nil {
			return nil, err
		}
	}
	accesses, err := s.Accesses(a.ID)
	if err != nil {
		return nil, err
	}
	pending, err := s.pendingEnvironments()
	if err != nil {
		return nil, err
	}
	c := change{Snapshot: s} // rule 1 needs no more of a change
	for _, x := range accesses {
		switch {
		case !x.Active, a.External() && x.TenantID != a.TenantID:
			continue
		case a.External() && slices.Contains(pending, x.EnvironmentID):
			env, err := s.Environment(x.EnvironmentID)
			if err != nil {
				return nil, err
			}
			if ok, err := c.entitled(env, a, &u, ID{}); err != nil {
				return nil, err
			} else if !ok {
				continue
			}
		}
		all = append(all, x)
	}
	return all, nil
}

// CheckSession returns whom a session stands for. It looks at the state of session, account, user and
// accesses each time, so that what ended is refused at once, whichever record says so. seen is when
// the session was last used as far as the caller knows, for the idle limit; zero: not known.
//
// Errors: *SessionEnded.
func (s *Service) CheckSession(ctx context.Context, hash [32]byte, seen time.Time) (p *Principal, err error) {
	err = s.View(ctx, func(sn *Snapshot) (err error) {
		p, err = s.principal(sn, hash[:], seen)
		return err
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (s *Service) principal(sn *Snapshot, hash []byte, seen time.Time) (*Principal, error) {
	session, err := sn.Session(hash)
	if err != nil {
		return nil, err
	}
	if session == nil {
		return nil, &SessionEnded{Reason: EndedUnknown}
	}
	now := s.clock.now()
	ended := func(why EndReason) (*Principal, error) { return nil, &SessionEnded{why, session} }
	if seen.Before(session.Seen) {
		seen = session.Seen
	}
	if end := session.Created.Add(s.limits.SessionLife); end.Before(session.Expires) { // the setting is shorter now
		session.Expires = end
	}
	switch idle := s.limits.SessionIdle; {
	case !session.Ended.IsZero():
		return ended(session.Reason)
	case !now.Before(session.Expires):
		return ended(EndedExpired)
	case session.Generation != s.generation.Load(), now.Before(session.Created.Add(-clockSlack)):
		return ended(EndedRestored)
	case idle > 0 && now.Sub(seen) >= idle:
		return ended(EndedIdle)
	}
	account, err := sn.Account(session.AccountID)
	if err != nil {
		return nil, err
	}
	if account.Epoch != session.Epoch {
		return ended(EndedDeactivated)
	}
	accesses, roles, err := sn.mayHaveSession(account)
	switch {
	case errors.Is(err, errNoAccess):
		return ended(EndedDeactivated)
	case err != nil:
		return nil, err
	}
	return &Principal{Session: session, Account: account, Roles: roles, Accesses: accesses, Now: now}, nil
}

// SessionsEnded is closed when sessions or accesses have ended next: who serves a live stream then
// checks its session again. Other servers on the same store do not close it.
func (s *Service) SessionsEnded() <-chan struct{} { return s.ends.next() }

// Published is closed when an outgoing event is committed next, or a webhook changes: take it before reading the outbox, then wait. Other
// servers on the same store do not close it.
func (s *Service) Published() <-chan struct{} { return s.published.next() }

// SessionNow is the time by the clock that sessions end by.
func (s *Service) SessionNow() time.Time { return s.clock.now() }

// EndSession ends one session, named by its id. Who it belongs to may end it, and an operator.
// Ending one that has ended is no error. Errors: NotFound, also for another's.
func (s *Service) EndSession(ctx context.Context, by Actor, account, id ID, why EndReason) error {
	return s.update(ctx, by, func(c *change) error {
		if by.Role != RoleOperator && by.Role != RoleSystem && by.ID != account.String() {
			return notFound("session")
		}
		all, err := c.Sessions(account)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(x *Session) bool { return x.ID == id })
		if i < 0 {
			return notFound("session")
		}
		if !all[i].live(c.s.clock.now()) {
			return nil
		}
		if err := c.endSession(all[i].Hash, why); err != nil {
			return err
		}
		return c.audit("session.end", account.String(), map[string]any{"session": id, "reason": why})
	})
}

// EndSessions ends every session of an account but one (zero: every one). It returns how many ended.
// Who they belong to may do it, and an operator. Errors: NotFound, also for another's.
func (s *Service) EndSessions(ctx context.Context, by Actor, account, except ID, why EndReason) (n int, err error) {
	err = s.update(ctx, by, func(c *change) error {
		n = 0
		if by.Role != RoleOperator && by.Role != RoleSystem && by.ID != account.String() {
			return notFound("account")
		}
		a, err := c.Account(account)
		if err != nil {
			return err
		}
		if except.IsZero() {
			if err := c.endSessions(a, why); err != nil {
				return err
			}
		} else if err := c.endAll(account, func(x *Session) bool { return x.ID != except }, why); err != nil {
			return err
		}
		if n = c.sessions; n == 0 {
			return nil
		}
		return c.audit("session.end-all", account.String(), map[string]any{"sessions": n, "reason": why})
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// EndDirectorySession ends the sessions that came of one session at the directory of a tenant (OpenID
// Connect Front-Channel Logout 1.0). It returns how many ended.
func (s *Service) EndDirectorySession(ctx context.Context, by Actor, tenant ID, sid string) (n int, err error) {
	if sid == "" || !isKey(sid) {
		return 0, nil
	}
	found := false
	// Anybody can ask: what names nothing must not cost a write.
	err = s.View(ctx, func(sn *Snapshot) error {
		return sn.r.Scan(tableSessionSID, Range{Prefix: listPrefix(tenant, sid)}, func(_, _ []byte) bool {
			found = true
			return false
		})
	})
	if err != nil || !found {
		return 0, err
	}
	err = s.update(ctx, by, func(c *change) error {
		n = 0
		var hashes [][]byte
		err := c.r.Scan(tableSessionSID, Range{Prefix: listPrefix(tenant, sid)}, func(_, hash []byte) bool {
			hashes = append(hashes, bytes.Clone(hash))
			return true
		})
		if err != nil {
			return err
		}
		for _, h := range hashes {
			if err := c.endSession(h, EndedDirectory); err != nil {
				return err
			}
		}
		if n = c.sessions; n == 0 {
			return nil
		}
		return c.audit("session.end-directory", tenant.String(), map[string]any{"sessions": n})
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// endSession marks one session as ended.
func (c *change) endSession(hash []byte, why EndReason) error {
	session, err := c.Session(hash)
	if err != nil || session == nil {
		return err
	}
	now := c.s.clock.now()
	if !session.live(now) {
		return nil
	}
	session.Ended, session.Reason = now, why
	c.sessions++
	c.noteSessionEnd(session.AccountID)
	c.ended = true
	return c.put(row{tableSessions, session.Hash, session.encode()})
}

// noteSessionEnd counts a session that ended with the access that goes in the same change, before it or after.
func (c *change) noteSessionEnd(account ID) {
	for i := range slices.Backward(c.accesses) {
		if x := &c.accesses[i]; x.AccountID == account && x.Effect == Deactivated {
			x.Sessions++
			return
		}
	}
	if c.unshared == nil {
		c.unshared = map[ID]int{}
	}
	c.unshared[account]++
}

// endAll ends the sessions of an account that which selects.
func (c *change) endAll(account ID, which func(*Session) bool, why EndReason) error {
	all, err := c.Sessions(account)
	if err != nil {
		return err
	}
	for _, x := range all {
		if which(x) {
			if err := c.endSession(x.Hash, why); err != nil {
				return err
			}
		}
	}
	return nil
}

// endSessions ends every session of an account. The epoch makes a session void even where its
// record should survive.
func (c *change) endSessions(account *Account, why EndReason) error {
	if err := c.endAll(account.ID, func(*Session) bool { return true }, why); err != nil {
		return err
	}
	account.Epoch++
	c.ended = true
	return c.put(row{tableAccounts, key(account.ID), account.encode()})
}

// endTenantSessions ends the sessions of everybody who signed in with the directory of a tenant.
func (c *change) endTenantSessions(tenant ID) error {
	var hashes [][]byte
	err := list(c.r, tableSessions, Range{}, decodeSession, func(x *Session) bool {
		if x.Method == MethodDirectory && x.TenantID == tenant {
			hashes = append(hashes, x.Hash)
		}
		return true
	})
	if err != nil {
		return err
	}
	for _, h := range hashes {
		if err := c.endSession(h, EndedRevoked); err != nil {
			return err
		}
	}
	return nil
}

// Session returns the session with that SHA-256, nil when there is none. Whether it still holds is for
// CheckSession to say.
func (s *Snapshot) Session(hash []byte) (*Session, error) {
	return get(s.r, tableSessions, hash, func(v []byte) (*Session, error) { return decodeSession(hash, v) })
}

// Sessions lists the sessions of an account whose records are kept, ended ones too.
func (s *Snapshot) Sessions(account ID) (all []*Session, err error) {
	err = list(s.r, tableAccountSession, Range{Prefix: key(account)}, func(k, _ []byte) (*Session, error) {
		x, err := s.Session(k[16:])
		return found(x, err, "session")
	}, func(x *Session) bool {
		all = append(all, x)
		return true
	})
	return all, err
}

// Live reports whether a listed session still holds as far as its own record tells.
func (s *Session) Live(now time.Time) bool { return s.live(now) }

// Witness is kept outside of the store and tells, when the server starts, whether the store is the one
// that it left: data restored from a copy may hold sessions that were ended since.
type Witness struct {
	Start string    `json:"start"` // of the server's last start
	Mark  time.Time `json:"mark"`  // the latest time that the store was known to have reached
}

// vouching is the store's own side of a Witness.
type vouching struct {
	Witness
	Elapsed    time.Duration `json:"elapsed"`    // by Options.Elapsed, at Mark
	Generation uint64        `json:"generation"` // of the sessions that hold
}

// clockSlack is how far a clock may be set back between two processes before sessions end for it:
// clocks are corrected by seconds all the time, and the session clock goes on regardless.
const clockSlack = time.Minute

var vouchingKey = []byte("sessions")

// ResumeSessions begins a run of the server on its store; nothing may be served before. Sessions made
// earlier hold on only when the witness (zero: there is none) and the store tell of the same last run,
// the store has not fallen behind it, and the clock has not been set back since; else all of them have
// ended, and with them the one-time links, which may have been used. It returns the new witness, and
// whether they hold.
func (s *Service) ResumeSessions(ctx context.Context, by Actor, w Witness) (next Witness, hold bool, err error) {
	var generation uint64
	err = s.update(ctx, by, func(c *change) error {
		v, err := get(c.r, tableSettings, vouchingKey, decodeJSON[vouching])
		if err != nil {
			return err
		}
		fresh := v == nil && w == Witness{}
		if v == nil {
			v = &vouching{}
		}
		hold = fresh || v.vouches(w, c.s.clock.now())
		if hold {
			c.s.clock.resume(v.Mark, v.Elapsed)
		} else {
			v.Generation++
			if err := c.endRestored(); err != nil {
				return err
			}
		}
		v.Start = s.newID().String()
		v.Mark, v.Elapsed = c.s.clock.read()
		next, generation = v.Witness, v.Generation
		return c.put(row{tableSettings, vouchingKey, encodeJSON(v)})
	})
	if err != nil {
		return Witness{}, false, err
	}
	s.generation.Store(generation)
	if !hold {
		s.ends.send()
	}
	return next, hold, nil
}

// vouches reports whether the store is the one that the witness tells of, and the clock has gone on.
func (v *vouching) vouches(w Witness, now time.Time) bool {
	return v.Start == w.Start && !v.Mark.Before(w.Mark) && !now.Before(v.Mark.Add(-clockSlack))
}

// endRestored ends what a store that nobody can vouch for may have brought back, but for the
// sessions: these are of an older generation.
func (c *change) endRestored() error {
	if err := c.purgeLinks(func(*Link) bool { return true }); err != nil {
		return err
	}
	return c.audit("session.end-restored", "all", nil)
}

// KeepSessions does the housekeeping of a minute: it notes when sessions were last used (seen, by
// SHA-256), removes records whose time is over, and marks how far the store has come. It writes nothing when there
// is nothing to do. It returns the witness to keep once it is durable; zero: keep the last one.
func (s *Service) KeepSessions(ctx context.Context, by Actor, seen map[[32]byte]time.Time) (w Witness, err error) {
	idle := true
	err = s.View(ctx, func(sn *Snapshot) error {
		for _, t := range []*Table{tableSessionEnd, tableSignInStates, tableLinks} {
			if err := sn.r.Scan(t, Range{}, func(_, _ []byte) bool { idle = false; return false }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || idle {
		return Witness{}, err
	}
	err = s.update(ctx, by, func(c *change) error {
		now := c.s.clock.now()
		for hash, at := range seen {
			session, err := c.Session(hash[:])
			if err != nil {
				return err
			}
			if session == nil || !session.live(now) || !session.Seen.Before(at) {
				continue
			}
			session.Seen = at
			if err := c.put(row{tableSessions, session.Hash, session.encode()}); err != nil {
				return err
			}
		}
		if err := c.purge(now); err != nil {
			return err
		}
		v, err := get(c.r, tableSettings, vouchingKey, decodeJSON[vouching])
		if err != nil || v == nil { // not resumed: nobody keeps a witness
			return err
		}
		if mark, elapsed := c.s.clock.read(); mark.After(v.Mark) {
			v.Mark, v.Elapsed = mark, elapsed
		}
		w = v.Witness
		return c.put(row{tableSettings, vouchingKey, encodeJSON(v)})
	})
	return w, err
}

// purgeRows is how many sessions, and how many states, one KeepSessions removes.
const purgeRows = 1000

// purge removes what is over: sessions at their end, states and links that nobody can use any more.
func (c *change) purge(now time.Time) error {
	var hashes [][]byte
	err := c.r.Scan(tableSessionEnd, Range{}, func(k, _ []byte) bool {
		if int64(binary.BigEndian.Uint64(k)) > now.UnixMilli() || len(hashes) == purgeRows {
			return false
		}
		hashes = append(hashes, bytes.Clone(k[8:]))
		return true
	})
	if err != nil {
		return err
	}
	for _, h := range hashes {
		session, err := c.Session(h)
		if session, err = found(session, err, "session"); err != nil {
			return err
		}
		err = c.delete(row{table: tableSessions, key: h}, row{table: tableSessionEnd, key: session.endKey()},
			row{table: tableAccountSession, key: append(key(session.AccountID), h...)})
		if err == nil && session.SID != "" {
			err = c.delete(row{table: tableSessionSID, key: listKey(session.TenantID, session.SID, session.ID)})
		}
		if err != nil {
			return err
		}
	}
	if err := c.purgeTable(tableSignInStates, purgeRows, func(end []byte) (bool, error) {
		return int64(binary.BigEndian.Uint64(end)) <= now.UnixMilli(), nil
	}); err != nil {
		return err
	}
	return c.purgeLinks(func(l *Link) bool { return !now.Before(l.Expires) })
}

// purgeTable removes at most so many rows of a table that are over.
func (c *change) purgeTable(t *Table, most int, over func(value []byte) (bool, error)) error {
	var gone [][]byte
	var failed error
	err := c.r.Scan(t, Range{}, func(k, value []byte) bool {
		var is bool
		if is, failed = over(value); is {
			gone = append(gone, bytes.Clone(k))
		}
		return failed == nil && len(gone) < most
	})
	if err := errors.Join(failed, err); err != nil {
		return err
	}
	for _, k := range gone {
		if err := c.w.Delete(t, k); err != nil {
			return err
		}
	}
	return nil
}
