package entrasim

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

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
		r.count(&r.sum.Users.Skipped)
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
			r.count(&r.sum.Users.Skipped)
			return nil
		}
		if there == nil {
			var created string
			if created, there, err = r.createUser(ctx, rows); err != nil {
				return err
			}
			if created != "" {
				r.o.Logf("created user %s as %s", u.UserPrincipalName, created)
				r.count(&r.sum.Users.Created)
				return r.linkUser(u.ID, &userLink{target: created, active: true})
			}
		}
		l = &userLink{target: idOf(there)}
		if err := r.linkUser(u.ID, l); err != nil {
			return err
		}
		r.o.Logf("linked user %s to %s", u.UserPrincipalName, l.target)
		r.count(&r.sum.Users.Linked)
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
		r.count(&r.sum.Users.Skipped)
		return nil
	}
	path := "/Users/" + url.PathEscape(l.target)
	_, err := r.client.do(ctx, &r.meter, http.MethodPatch, path, "", patchBody(r.dialect.set(changes)))
	if err != nil { // a 404 too: escrow brings the user back, and the read that comes first finds the link broken
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
		r.count(n)
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
