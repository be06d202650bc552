package desk

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// Change is one thing that happened, as BizzStream needs to know it.
type Change struct {
	Cursor    string         `json:"cursor" doc:"Ask for changes after it to go on behind this one"`
	Type      string         `json:"type" enum:"user.created,user.updated,user.deleted,group.created,group.updated,group.deleted,access.derived,access.updated" doc:"What happened. Accesses tells whose right of entry it changed, whatever the type."`
	Time      time.Time      `json:"time"`
	Tenant    *Named         `json:"tenant,omitempty" doc:"The tenant whose directory the person or group is of; absent: nobody's, or one that the token has nothing to do with"`
	User      *ChangedUser   `json:"user,omitempty" doc:"The person, for user.* events, as of now; absent together with tenant"`
	Group     *ChangedGroup  `json:"group,omitempty" doc:"The group, for group.* events, as of now"`
	RunID     *directory.ID  `json:"runId,omitempty" doc:"Of the run that made the change; absent: push made it, or the run of an environment that the token does not reach"`
	Accesses  []ChangedEntry `json:"accesses" nullable:"false" doc:"The accesses that began, ended or were edited, of environments that the token reaches"`
	AccountID *directory.ID  `json:"accountId,omitempty" doc:"BizzStream's account of the person, for user.* events"`
	Active    *bool          `json:"active,omitempty" doc:"Whether the directory says that the person is active, as the event left it; absent together with tenant"`
}

// ChangedUser is a person whom a change is about.
type ChangedUser struct {
	ID       directory.ID `json:"id" doc:"SCIM id"`
	UserName string       `json:"userName,omitempty"`
	Name     string       `json:"name,omitempty"`
	Email    string       `json:"email,omitempty"`
}

// ChangedGroup is a group that a change is about.
type ChangedGroup struct {
	ID      directory.ID `json:"id" doc:"SCIM id"`
	Name    string       `json:"name,omitempty"`
	Added   int          `json:"membersAdded"`
	Removed int          `json:"membersRemoved"`
}

// ChangedEntry is an access that began, ended or was edited.
type ChangedEntry struct {
	AccountID     directory.ID `json:"accountId" doc:"BizzStream's account of the person"`
	EnvironmentID directory.ID `json:"environmentId"`
	Effect        string       `json:"effect" enum:"granted,reactivated,deactivated,updated" doc:"What the change did to the access"`
	Active        bool         `json:"active" doc:"Whether the access is active as this is read, which may be later than the change"`
	UserName      string       `json:"userName,omitempty"`
	Name          string       `json:"name,omitempty"`
	Email         string       `json:"email,omitempty"`
	Menus         []string     `json:"menus" nullable:"false" doc:"Menus of the access"`
}

// Changes is a stretch of what happened, in the order of commit.
type Changes struct {
	Items  []Change `json:"items" nullable:"false"`
	Cursor string   `json:"cursor" doc:"Where to go on: send it as \"after\" once all items are dealt with"`
	More   bool     `json:"more" doc:"Whether there is more at once; else the next request may wait for it"`
}

// ChangesFilter says what of it is wanted.
type ChangesFilter struct {
	After string   // a cursor; "0" or "start": from the beginning; empty: from now on
	Types []string // empty: all
	Limit int      // 1 to MaxLimit; 0: DefaultLimit
}

// changesRead is the most events that are looked at for one answer: most of them may lie outside of the actor's reach.
const changesRead = 5000

// cursorOf makes a cursor of a sequence number. It is opaque, so that it can hold more one day.
func cursorOf(n uint64) string {
	return base64.RawURLEncoding.EncodeToString(append([]byte{1}, binary.BigEndian.AppendUint64(nil, n)...))
}

func readCursor(text string) (uint64, bool) {
	if text == "0" || text == "start" {
		return 0, true
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != 9 || b[0] != 1 {
		return 0, false
	}
	return binary.BigEndian.Uint64(b[1:]), true
}

// Changes tells what happened after a cursor, of what an actor may see. Events of others are left out, and
// the cursor moves on past them. Errors: Invalid for a cursor that is none; Forbidden for who sees nothing.
func (d *Desk) Changes(ctx context.Context, by directory.Actor, f ChangesFilter) (Changes, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (Changes, error) { return d.changes(sn, by, f) })
}

// AwaitChanges is Changes, but when there is none it waits until there is, wait is over or ctx ends: then there is none.
// who is asked before each look who the actor is by now; its error ends the wait.
func (d *Desk) AwaitChanges(ctx context.Context, who func(context.Context) (directory.Actor, error), f ChangesFilter, wait time.Duration) (Changes, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	over := wait <= 0
	for {
		news, ends := d.Service.Published(), d.Service.SessionsEnded() // before reading: nothing that is committed meanwhile is missed
		by, err := who(ctx)
		if err != nil {
			return Changes{}, err
		}
		got, err := d.Changes(ctx, by, f)
		if err != nil || len(got.Items) > 0 || over && !got.More {
			return got, err
		}
		if f.After = got.Cursor; got.More && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return got, nil
		case <-timer.C:
			over = true // one more look: who asks may have none of it any more
		case <-news:
		case <-ends:
		}
	}
}

// changesReader decides what of the events an actor may know.
type changesReader struct {
	sn      *directory.Snapshot
	by      directory.Actor
	tenants map[directory.ID]*seenTenant
	envs    map[directory.ID]bool
	runs    map[directory.ID]bool
}

func newChangesReader(sn *directory.Snapshot, by directory.Actor) *changesReader {
	return &changesReader{sn, by, map[directory.ID]*seenTenant{}, map[directory.ID]bool{}, map[directory.ID]bool{}}
}

type seenTenant struct {
	named *Named // nil: nobody's, or one that the actor has nothing to do with
	seen  bool   // with all that it holds
}

func (d *Desk) changes(sn *directory.Snapshot, by directory.Actor, f ChangesFilter) (Changes, error) {
	if _, err := sn.SeeEnvironments(by); err != nil {
		return Changes{}, err
	}
	last, err := sn.LastEvent()
	if err != nil {
		return Changes{}, err
	}
	out := Changes{Items: []Change{}, Cursor: cursorOf(last)}
	if f.After == "" {
		return out, nil
	}
	after, ok := readCursor(f.After)
	if !ok || after > last {
		return Changes{}, fail(directory.Invalid, "after", "this is not a cursor of this server: take the one of the last answer, or \"start\" for the beginning")
	}
	r := newChangesReader(sn, by)
	limit := Page{Limit: f.Limit}.limit()
	at, looked := after, 0
	var events []*directory.OutboxEvent
	var failed error
	// An event is kept by what of it the actor may see; what else is said of it is read after the scan.
	err = sn.Outbox(after, func(e *directory.OutboxEvent) bool {
		if len(events) == limit || looked == changesRead {
			out.More = true
			return false
		}
		looked++
		var keep bool
		if keep, failed = r.keep(e, f.Types); failed != nil {
			return false
		}
		if at = e.Sequence; keep {
			events = append(events, e)
		}
		return true
	})
	if err != nil || failed != nil {
		return Changes{}, firstError(err, failed)
	}
	for _, e := range events {
		item, err := r.change(e)
		if err != nil {
			return Changes{}, err
		}
		out.Items = append(out.Items, item)
	}
	out.Cursor = cursorOf(at)
	return out, nil
}

func firstError(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// keep reports whether anything of an event is for the actor, and takes from it the accesses that are not.
func (r *changesReader) keep(e *directory.OutboxEvent, types []string) (bool, error) {
	if len(types) > 0 && !slices.Contains(types, e.Type) {
		return false, nil
	}
	var failed error
	e.Accesses = slices.DeleteFunc(e.Accesses, func(a directory.AccessEffect) bool {
		sees, err := r.environment(a.EnvironmentID)
		failed = firstError(failed, err)
		return !sees
	})
	t, err := r.tenant(e.TenantID)
	if err = firstError(failed, err); err != nil {
		return false, err
	}
	if len(e.Accesses) > 0 {
		return true, nil
	}
	if e.Type == "access.derived" || e.Type == "access.updated" { // all of it was elsewhere
		return false, nil
	}
	if t.seen || e.AccountID.IsZero() {
		return t.seen, nil
	}
	_, err = r.sn.SeeAccount(r.by, e.AccountID) // somebody of the actor's environments
	if directory.KindOf(err) == directory.NotFound && err != nil {
		return false, nil //nolint:nilerr // the actor does not see the person: so not the event either
	}
	return err == nil, err
}

func (r *changesReader) environment(id directory.ID) (bool, error) {
	if sees, known := r.envs[id]; known {
		return sees, nil
	}
	_, err := r.sn.SeeEnvironment(r.by, id)
	if err != nil && directory.KindOf(err) != directory.NotFound {
		return false, err
	}
	r.envs[id] = err == nil
	return err == nil, nil
}

func (r *changesReader) tenant(id directory.ID) (*seenTenant, error) {
	if id.IsZero() { // of nobody's directory
		return &seenTenant{}, nil
	}
	if t := r.tenants[id]; t != nil {
		return t, nil
	}
	t, err := r.sn.Tenant(id)
	if err != nil {
		return nil, err
	}
	out := &seenTenant{seen: r.by.SeesTenant(t)}
	known, err := r.knows(t)
	if err != nil {
		return nil, err
	}
	if known {
		out.named = &Named{t.ID, t.Name}
	}
	r.tenants[id] = out
	return out, nil
}

// knows reports whether an actor has to do with a tenant: it sees the tenant, or an environment that may use it. Of
// any other directory it is not told which it is, nor what it says: somebody of the actor's environments may have become
// another customer's.
func (r *changesReader) knows(t *directory.Tenant) (bool, error) {
	if r.by.SeesTenant(t) {
		return true, nil
	}
	envs, err := r.sn.SeeEnvironments(r.by)
	return slices.ContainsFunc(envs, func(e *directory.Environment) bool {
		return slices.Contains(t.OrganizationIDs, e.OrganizationID)
	}), err
}

// run reports whether an actor sees a run.
func (r *changesReader) run(id directory.ID) (bool, error) {
	if sees, known := r.runs[id]; known {
		return sees, nil
	}
	run, err := r.sn.Run(id)
	if err != nil && !runGone(err) {
		return false, err
	}
	sees := r.by.Role == directory.RoleOperator
	if err == nil {
		if sees, err = r.environment(run.EnvironmentID); err != nil {
			return false, err
		}
	}
	r.runs[id] = sees
	return sees, nil
}

// change says what an event tells the actor. People and groups are as they are now: of those who have gone, the ids are left.
func (r *changesReader) change(e *directory.OutboxEvent) (Change, error) {
	t, err := r.tenant(e.TenantID)
	if err != nil {
		return Change{}, err
	}
	out := Change{Cursor: cursorOf(e.Sequence), Type: e.Type, Time: e.Time, Tenant: t.named, Accesses: []ChangedEntry{}}
	if !e.RunID.IsZero() {
		sees, err := r.run(e.RunID)
		if err != nil {
			return out, err
		}
		if sees {
			out.RunID = &e.RunID
		}
	}
	if !e.AccountID.IsZero() {
		out.AccountID = &e.AccountID
	}
	if !e.UserID.IsZero() && t.named != nil {
		out.User, out.Active = &ChangedUser{ID: e.UserID}, e.Active
		u, err := r.sn.User(e.TenantID, e.UserID)
		if err != nil && directory.KindOf(err) != directory.NotFound {
			return out, err
		}
		if err == nil {
			out.User.UserName, out.User.Name, out.User.Email = u.UserName, u.Name, u.Email
		}
	}
	if !e.GroupID.IsZero() && t.seen {
		out.Group = &ChangedGroup{ID: e.GroupID, Added: len(e.Added), Removed: len(e.Removed)}
		g, err := r.sn.Group(e.TenantID, e.GroupID)
		if err != nil && directory.KindOf(err) != directory.NotFound {
			return out, err
		}
		if err == nil {
			out.Group.Name = g.DisplayName
		}
	}
	for _, a := range e.Accesses {
		entry, err := r.entry(a)
		if err != nil {
			return out, err
		}
		out.Accesses = append(out.Accesses, entry)
	}
	return out, nil
}

func (r *changesReader) entry(a directory.AccessEffect) (ChangedEntry, error) {
	out := ChangedEntry{AccountID: a.AccountID, EnvironmentID: a.EnvironmentID, Effect: a.Effect, Menus: []string{}}
	account, err := r.sn.Account(a.AccountID)
	if err != nil {
		return out, err
	}
	out.UserName, out.Name, out.Email = account.UserName, account.Name, account.Email
	x, err := r.sn.Access(a.AccountID, a.EnvironmentID)
	if err != nil || x == nil {
		return out, err
	}
	if !account.External() && r.by.Role != directory.RoleOperator { // what they are called elsewhere is not told
		out.Name, out.Email = x.Name, x.Email
	}
	out.Active = x.Active
	out.Menus = append(out.Menus, x.Menus...)
	return out, nil
}
