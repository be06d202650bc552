package entrasim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// run is one cycle or on-demand call.
type run struct {
	*Provisioner
	dialect  dialect
	onDemand bool
	view     view
	scope    map[string]bool // object ids in scope
	meter    meter

	// guarded by Provisioner.mu
	sum                   Summary
	events, objects, refs int // things tried; those that failed, objects and references
	silent                int // failures in a row without any answer
	started               time.Time
	escrowsBefore         map[key]escrow
}

func (p *Provisioner) newRun(d dialect, onDemand bool) *run {
	r := &run{Provisioner: p, dialect: d, onDemand: onDemand, view: p.tenant.view(), started: time.Now()}
	p.mu.Lock()
	defer p.mu.Unlock()
	r.scope = make(map[string]bool)
	for _, u := range r.view.users {
		if p.o.SyncAll || p.assigned[u.ID] {
			r.scope[u.ID] = true
		}
	}
	for _, g := range r.view.groups {
		if !p.o.SyncAll && !p.assigned[g.ID] {
			continue
		}
		r.scope[g.ID] = true
		for _, id := range g.Members {
			if r.view.user[id] != nil { // direct members only: nested groups are not expanded
				r.scope[id] = true
			}
		}
	}
	if !onDemand {
		p.cycles++
		r.escrowsBefore = maps.Clone(p.escrows)
	}
	r.sum = Summary{Base: p.client.base, Initial: p.initial, OnDemand: onDemand}
	return r
}

// Cycle runs the initial cycle when there is no watermark, else an incremental one: users, then groups, then
// references. Failures of single objects are in the summary and will be retried in later cycles; the error is for what
// ends the whole cycle ([ErrQuarantine], [ErrUnreachable], the context's). A cycle that ends early is repeated from the
// old watermark, but what it has linked stays linked.
func (p *Provisioner) Cycle(ctx context.Context) (Summary, error) {
	p.busy.Lock()
	defer p.busy.Unlock()
	if err := p.admit(); err != nil {
		return Summary{Base: p.client.base}, err
	}
	r := p.newRun(p.flag, false)
	err := r.syncUsers(ctx)
	if err == nil {
		err = r.syncGroups(ctx)
	}
	if err == nil {
		err = r.syncMembers(ctx)
	}
	if err == nil {
		err = r.syncManagers(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.watermark, p.initial = r.view.rev, false
		p.release()
		maps.DeleteFunc(p.escrows, func(k key, _ escrow) bool { return r.stale(k) })
	} else {
		p.escrows = r.escrowsBefore // the next attempt starts from the same watermark: nothing has to wait
	}
	return r.summary(), err
}

// admit tells whether a cycle may start now.
func (p *Provisioner) admit() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	q, now := &p.quarantine, p.o.Now()
	switch {
	case q.reason == nil:
		return nil
	case now.Sub(q.since) >= disabledAfter:
		return fmt.Errorf("%w: %w", ErrDisabled, q.reason)
	case now.Before(q.next):
		return fmt.Errorf("%w until %s: %w", ErrQuarantine, q.next.Format(time.RFC3339), q.reason)
	}
	return nil
}

// stale reports whether a key in escrow no longer stands for anything. The caller holds mu.
func (r *run) stale(k key) bool {
	switch k.kind {
	case userKey:
		return r.view.user[k.id] == nil && r.users[k.id] == nil
	case groupKey:
		return !r.scope[k.id] && r.groups[k.id] == nil
	}
	return false // references are looked through in their own stage
}

// summary closes the books. The caller holds mu.
func (r *run) summary() Summary {
	s, m := r.sum, &r.meter
	s.Duration = time.Since(r.started)
	s.Escrowed = len(r.escrows)
	s.Quarantined = r.quarantine.reason != nil
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Requests, s.Retries, s.Throttled = m.requests, m.retries, m.throttled
	s.BytesSent, s.BytesReceived = m.sent, m.received
	s.P50, s.P99 = m.quantile(0.50), m.quantile(0.99)
	s.Failures = slices.Clone(s.Failures)
	return s
}

// OnDemand provisions one user, or one group with up to [OnDemandMembers] of its members, at once. It always speaks the
// legacy dialect, whatever the Tenant URL asks for, and returns the failure of the object as error.
// Source: Microsoft, "On-demand provisioning" and "Known issues ... SCIM 2.0 protocol compliance".
func (p *Provisioner) OnDemand(ctx context.Context, objectID string, members ...string) (Summary, error) {
	p.busy.Lock()
	defer p.busy.Unlock()
	r := p.newRun(legacy, true)
	err := r.demand(ctx, objectID, members)
	p.mu.Lock()
	defer p.mu.Unlock()
	return r.summary(), err
}

func (r *run) demand(ctx context.Context, id string, members []string) error {
	if u := r.view.user[id]; u != nil {
		if len(members) > 0 {
			return fmt.Errorf("user %s has no members: %w", id, ErrState)
		}
		if err := r.syncUser(ctx, u); err != nil {
			return err
		}
		return r.syncManager(ctx, u)
	}
	g := r.view.group[id]
	if g == nil {
		return fmt.Errorf("object %s: %w", id, ErrNotFound)
	}
	if !r.scope[id] {
		return fmt.Errorf("group %s is not in scope: %w", id, ErrState)
	}
	if len(members) > OnDemandMembers {
		return fmt.Errorf("%d members, at most %d go on demand", len(members), OnDemandMembers)
	}
	for _, m := range members {
		if !slices.Contains(g.Members, m) {
			return fmt.Errorf("member %s of group %s: %w", m, id, ErrNotFound)
		}
		if u := r.view.user[m]; u != nil {
			if err := r.syncUser(ctx, u); err != nil {
				return err
			}
		}
	}
	if err := r.syncGroup(ctx, g); err != nil {
		return err
	}
	for _, b := range r.memberBatches(g, make(map[key]bool)) {
		b.objects = slices.DeleteFunc(b.objects, func(id string) bool { return !slices.Contains(members, id) })
		if b.remove || len(b.objects) == 0 {
			continue
		}
		if err := r.patchMembers(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// each calls do for 0 to n-1 with the job's concurrency, until the first error.
func (r *run) each(ctx context.Context, stage string, n int, do func(context.Context, int) error) error {
	if n == 0 {
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tick := r.stage(stage, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(r.o.Concurrency, n) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(ctx, i); err != nil {
					cancel(err)
					return
				}
				tick()
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// stage starts progress reports for n things and returns what to call after each.
func (r *run) stage(name string, n int) func() {
	start, done := time.Now(), 0
	var mu sync.Mutex
	report := func() {
		if r.o.Progress != nil {
			rate := float64(done) / max(time.Since(start).Seconds(), 1e-6)
			r.o.Progress(Progress{Stage: name, Done: done, Total: n, Rate: rate, Elapsed: time.Since(start)})
		}
	}
	report()
	return func() {
		mu.Lock()
		defer mu.Unlock()
		done++
		report()
	}
}

// waits reports whether a key is in escrow and not yet due. The caller holds mu.
func (r *run) waits(k key, rev uint64) bool {
	e, held := r.escrows[k]
	return held && r.cycles < e.due && rev <= e.rev && !r.onDemand
}

// settle books the outcome for one object or the references of one PATCH. It returns an error only when the whole run
// has to end.
func (r *run) settle(keys []key, rev uint64, object string, err error) error {
	e, failed := errors.AsType[*Error](err)
	if err != nil && !failed {
		return err
	}
	if failed {
		r.o.Logf("failed %s: %v", object, e)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events++
	if !failed {
		r.silent = 0
		for _, k := range keys {
			delete(r.escrows, k)
		}
		return nil
	}
	r.sum.Failed++
	if len(r.sum.Failures) < maxFailures {
		r.sum.Failures = append(r.sum.Failures, Failure{Object: object, Err: e})
	}
	if r.onDemand {
		return err
	}
	for _, k := range keys {
		x := r.escrows[k]
		x.failures++
		x.due = r.cycles + min(1<<min(x.failures-1, 30), maxEscrowDelay)
		x.rev = rev
		r.escrows[k] = x
	}
	if keys[0].kind == userKey || keys[0].kind == groupKey {
		r.objects++
	} else {
		r.refs++
	}
	if r.silent++; e.Code != Timeout && e.Code != ConnectionLost {
		r.silent = 0
	}
	r.meter.mu.Lock()
	succeeded := r.meter.succeeded
	r.meter.mu.Unlock()
	failures := r.objects + r.refs
	switch {
	case e.Code == Unauthorized, e.Code == InsufficientRights && !succeeded:
		// A 403 beside successes is about one object; on its own it is about the credentials.
		return r.enterQuarantine(e)
	case r.silent >= silentLimit:
		return fmt.Errorf("%w: %w", ErrUnreachable, e)
	// Microsoft, "Application provisioning in quarantine status".
	case failures >= r.o.QuarantineFailures && failures*10 > r.events*4, r.objects > 40_000, failures > 60_000:
		return r.enterQuarantine(e)
	}
	return nil
}

// enterQuarantine notes the reason and when to try next: after 6, 12, 24, 24 ... hours. The caller holds mu.
func (r *run) enterQuarantine(cause error) error {
	q, now := &r.quarantine, r.o.Now()
	if q.reason == nil {
		q.since = now
	}
	q.tries++
	q.next = now.Add(min(6*time.Hour<<min(q.tries-1, 2), 24*time.Hour))
	q.reason = cause
	return fmt.Errorf("%w: %w", ErrQuarantine, cause)
}

func (r *run) count(n *int, by int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*n += by
}

// active is what the mapping's Switch([IsSoftDeleted]...) yields: false out of scope, disabled or deleted.
func (r *run) active(u *User) bool { return r.scope[u.ID] && u.AccountEnabled && !u.Deleted() }

func (r *run) syncUsers(ctx context.Context) error {
	r.mu.Lock()
	var gone []string // deleted for good; first, because their names may have new owners
	for id := range r.users {
		if r.view.user[id] == nil && !r.waits(key{kind: userKey, id: id}, 0) {
			gone = append(gone, id)
		}
	}
	slices.Sort(gone)
	var due []*User
	for _, u := range r.view.users {
		if r.userDue(u) {
			due = append(due, u)
		}
		if l := r.users[u.ID]; l != nil {
			l.inScope = r.scope[u.ID]
		}
	}
	r.mu.Unlock()
	return r.each(ctx, "users", len(gone)+len(due), func(ctx context.Context, i int) error {
		if i < len(gone) {
			return r.deleteUser(ctx, gone[i])
		}
		return r.syncUser(ctx, due[i-len(gone)])
	})
}

// userDue reports whether the cycle has to look at a user. The caller holds mu.
func (r *run) userDue(u *User) bool {
	k := key{kind: userKey, id: u.ID}
	_, held := r.escrows[k]
	changed := r.initial || held || u.rev > r.watermark
	l, want := r.users[u.ID], r.active(u)
	switch {
	case r.waits(k, u.rev):
		return false
	case l == nil:
		return want || changed && r.scope[u.ID] && !u.Deleted()
	case r.leftAlone(u):
		return false
	}
	return changed || l.recheck || want != l.active
}

// leftAlone reports whether a user is out of scope and the job was told not to care.
func (r *run) leftAlone(u *User) bool { return r.o.SkipOutOfScopeDeletions && !r.scope[u.ID] }

func (r *run) syncUser(ctx context.Context, u *User) error {
	return r.settle([]key{{kind: userKey, id: u.ID}}, u.rev, u.UserPrincipalName, r.user(ctx, u))
}

func (r *run) user(ctx context.Context, u *User) error {
	r.mu.Lock()
	l := r.users[u.ID]
	r.mu.Unlock()
	want := r.active(u)
	if l != nil && (!want && !l.active || r.leftAlone(u)) {
		r.count(&r.sum.Users.Skipped, 1)
		return nil
	}
	rows := userRows(u, want, r.o.ObjectIDAsExternalID)
	var there map[string]any
	var err error
	if l != nil {
		if there, err = r.get(ctx, &r.meter, "/Users/"+url.PathEscape(l.target), ""); err != nil {
			return err
		}
		if there == nil {
			r.o.Logf("user %s is not at the target any more", u.UserPrincipalName)
			r.unlinkUser(u.ID)
			l = nil
		}
	}
	if l == nil {
		if there, err = r.findUser(ctx, rows); err != nil {
			return err
		}
		if there == nil && !want {
			r.count(&r.sum.Users.Skipped, 1)
			return nil
		}
		if there == nil {
			var created string
			if created, there, err = r.createUser(ctx, rows); err != nil {
				return err
			}
			if created != "" {
				r.o.Logf("created user %s as %s", u.UserPrincipalName, created)
				r.count(&r.sum.Users.Created, 1)
				return r.linkUser(u.ID, &userLink{target: created, active: true})
			}
		}
		l = &userLink{target: idOf(there)}
		if err := r.linkUser(u.ID, l); err != nil {
			return err
		}
		r.o.Logf("linked user %s to %s", u.UserPrincipalName, l.target)
		r.count(&r.sum.Users.Linked, 1)
	}
	return r.updateUser(ctx, u, l, there, rows, want)
}

// findUser looks for a user by every matching attribute in turn.
func (r *run) findUser(ctx context.Context, rows []attribute) (map[string]any, error) {
	for _, path := range r.o.Match {
		value := valueAt(rows, path)
		if value == "" {
			continue
		}
		if there, err := r.unique(ctx, &r.meter, "/Users", userFilter(path, value)); there != nil || err != nil {
			return there, err
		}
	}
	return nil, nil
}

// createUser posts a user and returns its id, or the user that was already there. The latter happens when the answer to
// an earlier POST was lost: the repetition is answered 409, and the filter finds what the first one made.
func (r *run) createUser(ctx context.Context, rows []attribute) (id string, there map[string]any, err error) {
	return r.create(ctx, "/Users", newUser(rows, r.o.SendNulls), func() (map[string]any, error) { return r.findUser(ctx, rows) })
}

func (r *run) create(ctx context.Context, path string, body any, find func() (map[string]any, error)) (string, map[string]any, error) {
	data, err := r.client.do(ctx, &r.meter, http.MethodPost, path, "", body)
	if err == nil {
		var made map[string]any
		if json.Unmarshal(data, &made) == nil && idOf(made) != "" {
			return idOf(made), nil, nil
		}
		err = &Error{ServiceIncompatible, http.StatusCreated, http.MethodPost, path, "answer holds no id"}
	} else if status(err) != http.StatusConflict {
		return "", nil, err
	}
	there, findErr := find()
	if findErr != nil {
		return "", nil, findErr
	}
	if there == nil {
		return "", nil, err
	}
	return "", there, nil
}

func (r *run) updateUser(ctx context.Context, u *User, l *userLink, there map[string]any, rows []attribute, want bool) error {
	wasActive := !same(false, lookup(there, "active"))
	r.mu.Lock()
	l.active, l.manager, l.recheck = wasActive, managerOf(there), false
	r.mu.Unlock()
	changes := diff(rows, there)
	if !want { // who leaves keeps the attributes: nothing but active is sent
		changes = slices.DeleteFunc(changes, func(c change) bool { return c.path != "active" })
	}
	if len(changes) == 0 {
		r.count(&r.sum.Users.Skipped, 1)
		return nil
	}
	_, err := r.client.do(ctx, &r.meter, http.MethodPatch, "/Users/"+url.PathEscape(l.target), "", patchBody(r.dialect.set(changes)))
	if err != nil {
		l.recheck = status(err) == http.StatusNotFound
		return err
	}
	n, verb := &r.sum.Users.Updated, "updated"
	switch {
	case !want:
		n, verb = &r.sum.Users.Disabled, "disabled"
	case !wasActive:
		n, verb = &r.sum.Users.Restored, "restored"
	}
	r.mu.Lock()
	l.active = want
	*n++
	r.mu.Unlock()
	r.o.Logf("%s user %s: %s", verb, u.UserPrincipalName, pathsOf(changes))
	return nil
}

func pathsOf(changes []change) string {
	var s []string
	for _, c := range changes {
		s = append(s, c.path)
	}
	return strings.Join(s, ", ")
}

// deleteUser follows a hard delete. A user that left the scope before is no business of the job any more.
func (r *run) deleteUser(ctx context.Context, id string) error {
	r.mu.Lock()
	l := *r.users[id]
	r.mu.Unlock()
	var err error
	if l.inScope {
		_, err = r.client.do(ctx, &r.meter, http.MethodDelete, "/Users/"+url.PathEscape(l.target), "", nil)
	}
	if status(err) == http.StatusNotFound {
		err = nil
	}
	if err == nil {
		n := &r.sum.Users.Skipped
		if l.inScope {
			n = &r.sum.Users.Deleted
			r.o.Logf("deleted user %s", l.target)
		}
		r.count(n, 1)
		r.unlinkUser(id)
		r.forgetMember(id)
	}
	return r.settle([]key{{kind: userKey, id: id}}, 0, "deleted user "+id, err)
}

func (r *run) linkUser(id string, l *userLink) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.own(l.target, id, "/Users"); err != nil {
		return err
	}
	l.inScope = r.scope[id]
	r.users[id] = l
	return nil
}

// own notes whose a target object is: two source objects must not share one. The caller holds mu.
func (r *run) own(target, id, path string) error {
	if owner, taken := r.owners[target]; taken && owner != id {
		return &Error{DuplicateSourceEntries, 0, "link", path, "the target object is linked to " + owner}
	}
	r.owners[target] = id
	return nil
}

func (r *run) unlinkUser(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.owners, r.users[id].target)
	delete(r.users, id)
}

// forgetMember drops what was sent about a member that is gone from the target, memberships included.
func (r *run) forgetMember(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.groups {
		delete(g.members, id)
	}
}

func (r *run) syncGroups(ctx context.Context) error {
	r.mu.Lock()
	var gone []string
	for id := range r.groups {
		out := !r.scope[id]
		if r.view.group[id] != nil && r.o.SkipOutOfScopeDeletions {
			out = false
		}
		if out && !r.waits(key{kind: groupKey, id: id}, 0) {
			gone = append(gone, id)
		}
	}
	slices.Sort(gone)
	var due []*Group
	for _, g := range r.view.groups {
		k := key{kind: groupKey, id: g.ID}
		_, held := r.escrows[k]
		if r.scope[g.ID] && !r.waits(k, g.rev) && (held || r.initial || g.rev > r.watermark || r.groups[g.ID] == nil) {
			due = append(due, g)
		}
	}
	r.mu.Unlock()
	return r.each(ctx, "groups", len(gone)+len(due), func(ctx context.Context, i int) error {
		if i < len(gone) {
			return r.deleteGroup(ctx, gone[i])
		}
		return r.syncGroup(ctx, due[i-len(gone)])
	})
}

func (r *run) syncGroup(ctx context.Context, g *Group) error {
	return r.settle([]key{{kind: groupKey, id: g.ID}}, g.rev, g.DisplayName, r.group(ctx, g))
}

func (r *run) group(ctx context.Context, g *Group) error {
	r.mu.Lock()
	l := r.groups[g.ID]
	r.mu.Unlock()
	var there map[string]any
	var err error
	if l != nil {
		if there, err = r.get(ctx, &r.meter, "/Groups/"+url.PathEscape(l.target), "excludedAttributes=members"); err != nil {
			return err
		}
		if there == nil {
			r.o.Logf("group %s is not at the target any more", g.DisplayName)
			r.unlinkGroup(g.ID)
			l = nil
		}
	}
	if l == nil {
		find := func() (map[string]any, error) {
			return r.unique(ctx, &r.meter, "/Groups", groupFilter(g.DisplayName))
		}
		var created string
		if there, err = find(); err == nil && there == nil {
			created, there, err = r.create(ctx, "/Groups", newGroup(g), find)
		}
		if err != nil {
			return err
		}
		l = &groupLink{target: created, members: make(map[string]membership)}
		n, verb := &r.sum.Groups.Created, "created"
		if created == "" {
			l.target = idOf(there)
			n, verb = &r.sum.Groups.Linked, "linked"
		}
		if err := r.linkGroup(g.ID, l); err != nil {
			return err
		}
		r.count(n, 1)
		r.o.Logf("%s group %s as %s", verb, g.DisplayName, l.target)
		if created != "" {
			return nil
		}
	}
	changes := diff(groupRows(g), there)
	if len(changes) == 0 {
		r.count(&r.sum.Groups.Skipped, 1)
		return nil
	}
	_, err = r.client.do(ctx, &r.meter, http.MethodPatch, "/Groups/"+url.PathEscape(l.target), "", patchBody(r.dialect.set(changes)))
	if err == nil {
		r.count(&r.sum.Groups.Updated, 1)
		r.o.Logf("updated group %s: %s", g.DisplayName, pathsOf(changes))
	}
	return err
}

func (r *run) deleteGroup(ctx context.Context, id string) error {
	r.mu.Lock()
	target := r.groups[id].target
	r.mu.Unlock()
	_, err := r.client.do(ctx, &r.meter, http.MethodDelete, "/Groups/"+url.PathEscape(target), "", nil)
	if status(err) == http.StatusNotFound {
		err = nil
	}
	if err == nil {
		r.count(&r.sum.Groups.Deleted, 1)
		r.o.Logf("deleted group %s", target)
		r.unlinkGroup(id)
		r.forgetMember(id)
	}
	return r.settle([]key{{kind: groupKey, id: id}}, 0, "group "+id, err)
}

func (r *run) linkGroup(id string, l *groupLink) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.own(l.target, id, "/Groups"); err != nil {
		return err
	}
	r.groups[id] = l
	return nil
}

func (r *run) unlinkGroup(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.owners, r.groups[id].target)
	delete(r.groups, id)
}

// memberBatch is one PATCH of a group's members.
type memberBatch struct {
	group   *Group
	link    *groupLink
	objects []string // object ids
	remove  bool
}

// memberBatches compares a group's members with what was sent. A member without a link waits for its user to be
// created. A soft-deleted user stays as it was: neither its going nor its restoration touches memberships. Memberships
// in escrow that differ still, due or not, are noted in held.
func (r *run) memberBatches(g *Group, held map[key]bool) []memberBatch {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.groups[g.ID]
	if l == nil || !r.scope[g.ID] {
		return nil
	}
	due := func(id string) bool {
		k := key{memberKey, g.ID, id}
		if _, ok := r.escrows[k]; ok {
			held[k] = true
		}
		return !r.waits(k, 0)
	}
	var adds, removes []string
	kept := make(map[string]bool, len(g.Members))
	for _, id := range g.Members {
		kept[id] = true
		if u := r.view.user[id]; u != nil && u.Deleted() {
			continue
		}
		if target := r.targetOf(id); target != "" && l.members[id] != (membership{target: target}) && due(id) {
			adds = append(adds, id)
		}
	}
	for id := range l.members {
		if !kept[id] && due(id) {
			removes = append(removes, id)
		}
	}
	slices.Sort(removes)
	var out []memberBatch
	for ids := range slices.Chunk(removes, r.o.MembersPerPatch) {
		out = append(out, memberBatch{g, l, ids, true})
	}
	for ids := range slices.Chunk(adds, r.o.MembersPerPatch) {
		out = append(out, memberBatch{g, l, ids, false})
	}
	return out
}

// targetOf is the target id of a user or of a group in scope, or empty. The caller holds mu.
func (r *run) targetOf(id string) string {
	if l := r.users[id]; l != nil {
		return l.target
	}
	if l := r.groups[id]; l != nil && r.scope[id] {
		return l.target
	}
	return ""
}

func (r *run) syncMembers(ctx context.Context) error {
	var tasks [][]memberBatch
	held := make(map[key]bool)
	for _, g := range r.view.groups {
		batches := r.memberBatches(g, held)
		if !r.o.ParallelMembers {
			tasks = append(tasks, batches)
			continue
		}
		for b := range slices.Chunk(batches, 1) {
			tasks = append(tasks, b)
		}
	}
	tasks = slices.DeleteFunc(tasks, func(b []memberBatch) bool { return len(b) == 0 })
	r.dropSettled(memberKey, held)
	return r.each(ctx, "members", len(tasks), func(ctx context.Context, i int) error {
		for _, b := range tasks[i] {
			if err := r.patchMembers(ctx, b); err != nil {
				return err
			}
		}
		return nil
	})
}

// dropSettled takes references out of escrow that nothing needs any more.
func (r *run) dropSettled(kind kind, held map[key]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.escrows, func(k key, _ escrow) bool { return k.kind == kind && !held[k] })
}

func (r *run) patchMembers(ctx context.Context, b memberBatch) error {
	var ids []string
	var keys []key
	r.mu.Lock()
	broken := r.groups[b.group.ID] != b.link
	for _, id := range b.objects {
		keys = append(keys, key{memberKey, b.group.ID, id})
		if b.remove {
			ids = append(ids, b.link.members[id].target)
		} else {
			ids = append(ids, r.targetOf(id))
		}
	}
	r.mu.Unlock()
	if broken { // an earlier PATCH found the group gone; the next cycle starts it afresh
		return nil
	}
	path := "/Groups/" + url.PathEscape(b.link.target)
	_, err := r.client.do(ctx, &r.meter, http.MethodPatch, path, "", patchBody(r.dialect.members(ids, b.remove)))
	if status(err) == http.StatusNotFound {
		if there, getErr := r.get(ctx, &r.meter, path, "excludedAttributes=members"); getErr == nil && there == nil {
			r.mu.Lock()
			if r.groups[b.group.ID] == b.link {
				delete(r.groups, b.group.ID)
				delete(r.owners, b.link.target)
			}
			r.mu.Unlock()
		}
	}
	if err == nil {
		r.mu.Lock()
		for i, id := range b.objects {
			if b.remove {
				delete(b.link.members, id)
				r.sum.MembersRemoved++
			} else {
				b.link.members[id] = membership{target: ids[i]}
				r.sum.MembersAdded++
			}
		}
		r.mu.Unlock()
	}
	return r.settle(keys, 0, "members of "+b.group.DisplayName, err)
}

func (r *run) syncManagers(ctx context.Context) error {
	var due []*User
	held := make(map[key]bool)
	r.mu.Lock()
	for _, u := range r.view.users {
		k := key{kind: managerKey, id: u.ID}
		if _, _, ok := r.managerDue(u); ok {
			held[k] = true
			if !r.waits(k, u.rev) {
				due = append(due, u)
			}
		}
	}
	r.mu.Unlock()
	r.dropSettled(managerKey, held)
	return r.each(ctx, "managers", len(due), func(ctx context.Context, i int) error { return r.syncManager(ctx, due[i]) })
}

// managerDue returns the manager to set, empty for none. A manager who is not linked cannot be referred to: then nothing
// is sent. The caller holds mu.
func (r *run) managerDue(u *User) (l *userLink, target string, ok bool) {
	if l = r.users[u.ID]; l == nil || !l.active || !r.active(u) {
		return nil, "", false
	}
	if u.Manager != "" {
		boss := r.users[u.Manager]
		if boss == nil {
			return nil, "", false
		}
		target = boss.target
	}
	return l, target, target != l.manager
}

func (r *run) syncManager(ctx context.Context, u *User) error {
	r.mu.Lock()
	l, target, ok := r.managerDue(u)
	r.mu.Unlock()
	if !ok {
		return nil
	}
	ops := r.dialect.manager(target, l.manager == "")
	_, err := r.client.do(ctx, &r.meter, http.MethodPatch, "/Users/"+url.PathEscape(l.target), "", patchBody(ops))
	r.mu.Lock()
	switch {
	case err != nil:
		l.recheck = l.recheck || status(err) == http.StatusNotFound
	case target == "":
		l.manager = ""
		r.sum.ReferencesCleared++
	default:
		l.manager = target
		r.sum.ReferencesSet++
	}
	r.mu.Unlock()
	return r.settle([]key{{kind: managerKey, id: u.ID}}, u.rev, u.UserPrincipalName, err)
}
