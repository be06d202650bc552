package entrasim

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	pageSize = 100 // resources
	maxDrift = 1000
)

// Kinds of drift.
const (
	Missing    = "missing"    // should be at the target
	Unexpected = "unexpected" // is at the target, active, and should not
	Duplicate  = "duplicate"  // listed more than once
	Differs    = "differs"    // has another attribute value, activity, manager or member
)

// Drift is one difference between directory and target.
type Drift struct {
	Kind   string // one of the constants above
	Object string // userPrincipalName or displayName
	Detail string
}

func (d Drift) String() string { return strings.TrimSpace(d.Kind + " " + d.Object + ": " + d.Detail) }

// Report is the outcome of [Provisioner.Verify].
type Report struct {
	Users, Groups, Members int // compared at the target
	Differences            int
	Drift                  []Drift // the first thousand of them
}

// String is a few lines for people.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Verified %s users, %s groups and %s memberships: ", number(r.Users), number(r.Groups), number(r.Members))
	if r.Differences == 0 {
		b.WriteString("no differences\n")
		return b.String()
	}
	fmt.Fprintf(&b, "%s differences\n", number(r.Differences))
	for _, d := range r.Drift[:min(len(r.Drift), maxFailures)] {
		fmt.Fprintf(&b, "  %s\n", d)
	}
	if more := r.Differences - maxFailures; more > 0 {
		fmt.Fprintf(&b, "  and %s more\n", number(more))
	}
	return b.String()
}

func (r *Report) add(kind, object, format string, args ...any) {
	if r.Differences++; len(r.Drift) < maxDrift {
		r.Drift = append(r.Drift, Drift{kind, object, fmt.Sprintf(format, args...)})
	}
}

// Verify pages through the target's users and groups and compares them with what the directory says they should be. It
// goes by externalId and userName, not by the job's own links, so that it also finds the job's mistakes. Attributes that
// are absent in the directory and memberships of deleted users are not compared, because the job does not push them.
func (p *Provisioner) Verify(ctx context.Context) (Report, error) {
	p.busy.Lock()
	defer p.busy.Unlock()
	r := p.newRun(p.flag, true)
	var rep Report
	users, err := r.verifyUsers(ctx, &rep)
	if err == nil {
		err = r.verifyGroups(ctx, &rep, users)
	}
	if err != nil {
		return rep, fmt.Errorf("verify: %w", err)
	}
	return rep, nil
}

// pages calls f for every resource of a list, in pages by index (RFC 7644, section 3.4.2.4).
func (r *run) pages(ctx context.Context, path, query, stage string, f func(map[string]any)) error {
	var tick func()
	for start := 1; ; {
		l, err := r.list(ctx, &r.meter, path, strings.Trim(fmt.Sprintf("%s&startIndex=%d&count=%d", query, start, pageSize), "&"))
		if err != nil {
			return err
		}
		if l.Total == nil {
			return &Error{ServiceIncompatible, http.StatusOK, http.MethodGet, path, "answer is not a ListResponse"}
		}
		if tick == nil {
			tick = r.stage(stage, *l.Total)
		}
		for _, res := range l.Resources {
			f(res)
			tick()
		}
		start += len(l.Resources)
		if len(l.Resources) == 0 || start > *l.Total {
			return nil
		}
	}
}

// verifyUsers returns the target ids by object id.
func (r *run) verifyUsers(ctx context.Context, rep *Report) (map[string]string, error) {
	keyOf := func(userName, externalID string) string {
		if r.o.ObjectIDAsExternalID {
			return externalID
		}
		return strings.ToLower(userName)
	}
	index := make(map[string]*User, len(r.view.users))
	for _, u := range r.view.users {
		index[keyOf(principalName(u), u.ID)] = u
	}
	ids, managers := make(map[string]string), make(map[string]string)
	err := r.pages(ctx, "/Users", "", "verify users", func(res map[string]any) {
		rep.Users++
		userName, _ := res["userName"].(string)
		externalID, _ := res["externalId"].(string)
		u, active := index[keyOf(userName, externalID)], !same(false, lookup(res, "active"))
		switch {
		case u == nil:
			if active {
				rep.add(Unexpected, userName, "active at the target, unknown to the directory")
			}
			return
		case ids[u.ID] != "":
			rep.add(Duplicate, userName, "as %s and %s", ids[u.ID], idOf(res))
			return
		}
		ids[u.ID], managers[u.ID] = idOf(res), managerOf(res)
		if r.leftAlone(u) {
			return
		}
		want := r.active(u)
		if !want {
			if active {
				rep.add(Differs, u.UserPrincipalName, "active at the target, should not be")
			}
			return
		}
		for _, c := range diff(userRows(u, true, r.o.ObjectIDAsExternalID), res) {
			rep.add(Differs, u.UserPrincipalName, "%s is %q, want %q", c.path, fmt.Sprint(lookup(res, c.path)), fmt.Sprint(c.value))
		}
	})
	if err != nil {
		return nil, err
	}
	for _, u := range r.view.users {
		if !r.active(u) {
			continue
		}
		if ids[u.ID] == "" {
			rep.add(Missing, u.UserPrincipalName, "no such user at the target")
			continue
		}
		if want := ids[u.Manager]; want != managers[u.ID] && (want != "" || u.Manager == "") {
			rep.add(Differs, u.UserPrincipalName, "manager is %q, want %q", managers[u.ID], want)
		}
	}
	return ids, nil
}

func (r *run) verifyGroups(ctx context.Context, rep *Report, users map[string]string) error {
	groups := make(map[string]string) // target ids by object id
	err := r.pages(ctx, "/Groups", "excludedAttributes=members", "verify groups", func(res map[string]any) {
		rep.Groups++
		name, _ := res["displayName"].(string)
		externalID, _ := res["externalId"].(string)
		g := r.view.group[externalID]
		switch {
		case g == nil || !r.scope[g.ID] && !r.o.SkipOutOfScopeDeletions:
			rep.add(Unexpected, name, "group is not in scope")
		case groups[externalID] != "":
			rep.add(Duplicate, name, "as %s and %s", groups[externalID], idOf(res))
		default:
			groups[externalID] = idOf(res)
			for _, c := range diff(groupRows(g), res) {
				rep.add(Differs, g.DisplayName, "%s is %q", c.path, fmt.Sprint(lookup(res, c.path)))
			}
		}
	})
	if err != nil {
		return err
	}
	for _, g := range r.view.groups {
		if !r.scope[g.ID] {
			continue
		}
		id := groups[g.ID]
		if id == "" {
			rep.add(Missing, g.DisplayName, "no such group at the target")
			continue
		}
		res, err := r.get(ctx, &r.meter, "/Groups/"+url.PathEscape(id), "")
		if err != nil {
			return err
		}
		there := make(map[string]bool)
		members, _ := res["members"].([]any)
		for _, m := range members {
			if m, ok := m.(map[string]any); ok {
				value, _ := m["value"].(string)
				there[value] = true
			}
		}
		rep.Members += len(there)
		for _, m := range g.Members {
			target := users[m]
			if target == "" && r.scope[m] {
				target = groups[m]
			}
			u := r.view.user[m]
			if target != "" && !there[target] && (u == nil || !u.Deleted()) {
				rep.add(Differs, g.DisplayName, "member %s is missing", target)
			}
			delete(there, target)
		}
		for _, extra := range slices.Sorted(maps.Keys(there)) {
			rep.add(Differs, g.DisplayName, "member %s is not one", extra)
		}
	}
	return nil
}
