package entrasim

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
)

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
	if err != nil && !b.remove && status(err) == 0 {
		// Without an answer it may have been done: who leaves before it is sent again has to be taken out.
		r.mu.Lock()
		for i, id := range b.objects {
			b.link.members[id] = membership{ids[i], true}
		}
		r.mu.Unlock()
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
