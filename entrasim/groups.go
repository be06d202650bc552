package entrasim

import (
	"context"
	"net/http"
	"net/url"
	"slices"
)

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
		r.count(n)
		r.o.Logf("%s group %s as %s", verb, g.DisplayName, l.target)
		if created != "" {
			return nil
		}
	}
	changes := diff(groupRows(g), there)
	if len(changes) == 0 {
		r.count(&r.sum.Groups.Skipped)
		return nil
	}
	path := "/Groups/" + url.PathEscape(l.target)
	_, err = r.client.do(ctx, &r.meter, http.MethodPatch, path, "", patchBody(r.dialect.set(changes)))
	if err == nil {
		r.count(&r.sum.Groups.Updated)
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
		r.count(&r.sum.Groups.Deleted)
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
