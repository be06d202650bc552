package entrasim

import (
	"maps"
	"slices"
	"strings"
)

// history remembers what the newest changes replaced, so that the directory of a moment ago can be seen. Microsoft
// Graph answers lists from an index that runs behind the directory; this is what that index is made of.
type history struct {
	depth uint64 // how many revisions can be taken back; 0 remembers nothing
	steps []step // oldest first
}

// step is the state of one object before a change.
type step struct {
	rev     uint64 // the revision that the change made
	id      string
	isGroup bool
	user    *User  // nil when there was none
	group   *Group // nil when there was none
	at      int    // where the id stood in the order of creation, when the change removed it
}

// setUser stores a user, or removes it when u is nil. Together with setGroup it is the only writer of the maps and
// their order. The caller holds mu and has raised rev.
func (t *Tenant) setUser(id string, u *User) {
	s := step{rev: t.rev, id: id, user: t.users[id]}
	switch {
	case u == nil:
		s.at = slices.Index(t.userOrder, id)
		t.userOrder = slices.Delete(t.userOrder, s.at, s.at+1)
		delete(t.users, id)
	case s.user == nil:
		t.userOrder = append(t.userOrder, id)
		t.users[id] = u
	default:
		t.users[id] = u
	}
	delete(t.bin, id)
	if u != nil && u.Deleted() {
		t.bin[id] = true
	}
	t.history.add(s)
}

// setGroup is to groups what setUser is to users.
func (t *Tenant) setGroup(id string, g *Group) {
	s := step{rev: t.rev, id: id, isGroup: true, group: t.groups[id]}
	switch {
	case g == nil:
		s.at = slices.Index(t.groupOrder, id)
		t.groupOrder = slices.Delete(t.groupOrder, s.at, s.at+1)
		delete(t.groups, id)
	case s.group == nil:
		t.groupOrder = append(t.groupOrder, id)
		t.groups[id] = g
	default:
		t.groups[id] = g
	}
	t.history.add(s)
}

func (h *history) add(s step) {
	if h.depth == 0 {
		return
	}
	h.steps = append(h.steps, s)
	// What is too old to be taken back is dropped in heaps, so that a change costs the same however deep the history is.
	if s.rev-h.steps[0].rev > 2*h.depth {
		old, _ := slices.BinarySearchFunc(h.steps, s.rev-h.depth, func(s step, rev uint64) int {
			if s.rev <= rev {
				return -1
			}
			return 1
		})
		h.steps = slices.Clone(h.steps[old:])
	}
}

// remember makes the newest revisions revocable, from now on.
func (t *Tenant) remember(revisions int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.history.depth = max(t.history.depth, uint64(revisions))
}

// behind is the directory as it was some revisions ago, or when [Tenant.remember] was called, whichever is later. It
// returns prev when that is still the right one: a copy of a big directory takes milliseconds.
func (t *Tenant) behind(revisions int, prev *view) *view {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire()
	rev := t.rev - min(t.rev, uint64(revisions))
	if prev != nil && prev.rev == rev {
		return prev
	}
	v := t.viewAt(rev)
	return &v
}

// viewAt copies the directory and takes back what is newer than rev. The caller holds mu.
func (t *Tenant) viewAt(rev uint64) view {
	v := view{rev: rev, user: maps.Clone(t.users), group: maps.Clone(t.groups)}
	users, groups := t.userOrder, t.groupOrder
	for i := len(t.history.steps) - 1; i >= 0 && t.history.steps[i].rev > rev; i-- {
		if s := t.history.steps[i]; s.isGroup {
			groups = takeBack(v.group, groups, s.id, s.group, s.at)
		} else {
			users = takeBack(v.user, users, s.id, s.user, s.at)
		}
	}
	v.users, v.groups = ordered(v.user, users), ordered(v.group, groups)
	return v
}

// takeBack puts the former state of an object into objects and gives the order that goes with it.
func takeBack[T any](objects map[string]*T, order []string, id string, was *T, at int) []string {
	_, is := objects[id]
	switch {
	case was == nil:
		delete(objects, id)
		return slices.DeleteFunc(slices.Clone(order), func(o string) bool { return o == id })
	case !is:
		order = slices.Insert(slices.Clone(order), at, id)
	}
	objects[id] = was
	return order
}

func ordered[T any](objects map[string]*T, order []string) []*T {
	out := make([]*T, len(order))
	for i, id := range order {
		out[i] = objects[id]
	}
	return out
}

// user looks one user up in the directory of now, soft deleted or not, without copying it. What is returned never
// changes.
func (t *Tenant) user(id string) *User {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.kept(t.users[id])
}

// named looks a user up by user principal name, in any case.
func (t *Tenant) named(upn string) *User {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.kept(t.users[t.upns[strings.ToLower(upn)]])
}

// kept leaves out a user whom the next change would remove for good. The caller holds mu.
func (t *Tenant) kept(u *User) *User {
	if u != nil && u.Deleted() && !u.DeletedAt.After(t.now().Add(-Retention)) {
		return nil
	}
	return u
}

func (t *Tenant) group(id string) *Group {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.groups[id]
}

// size is the number of users, by which Microsoft Graph sets its limits.
func (t *Tenant) size() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.users)
}
