package directory_test

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/directory"
)

// The part of the model that pulls: what a pull saw, what push has changed since, and what a repair
// may still do.

// indirect is a user in a group through a nested one, as an environment counts it.
type indirect struct{ env, user, group directory.ID }

// look is a pull under way: what it knew when its read began, and what push has changed since.
type look struct {
	run      *directory.Run
	scope    directory.RepairScope
	versions map[directory.ID]uint64 // of the tenant's users, then
	users    map[directory.ID]bool
	accounts map[directory.ID]bool
	groups   map[directory.ID]bool    // made since
	members  map[[2]directory.ID]bool // group, member
}

func (m *model) pushed(user, account directory.ID) {
	for _, l := range m.looks {
		l.users[user], l.accounts[account] = true, true
	}
}

func (m *model) pushedMembers(group directory.ID, members ...directory.ID) {
	for _, l := range m.looks {
		for _, id := range members {
			l.members[[2]directory.ID{group, id}] = true
		}
	}
}

// noteMoves keeps who came and who went by a push.
func (m *model) noteMoves(group directory.ID, before, after map[directory.ID]bool) {
	for id := range merged2(before, after) {
		if before[id] == after[id] {
			continue
		}
		m.pushedMembers(group, id)
		if k := [2]directory.ID{id, group}; before[id] && m.userIDs[id] {
			m.taken[k] = true
		} else {
			delete(m.taken, k)
		}
	}
}

func merged2[K comparable](a, b map[K]bool) map[K]bool {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// regrouped keeps which groups push took away.
func (m *model) regrouped(tenant directory.ID, before, after string) {
	before, after = groupObject(before), groupObject(after)
	if before != "" && before != after {
		there := false
		for _, g := range m.groups {
			there = there || g.tenant == tenant && groupObject(g.external) == before
		}
		if !there {
			m.groupsGone[named{tenant, before}] = true
		}
	}
	delete(m.groupsGone, named{tenant, after})
}

// integrated sets an integration: what nested groups gave under another one is void.
func (m *model) integrated(env directory.ID, next directory.Integration) {
	if was := m.set[env]; was.Enabled != next.Enabled || was.TenantID != next.TenantID || was.Transitive != next.Transitive {
		maps.DeleteFunc(m.through, func(k indirect, _ bool) bool { return k.env == env })
	}
	m.set[env] = next
}

// forgetThrough drops what nested groups give no more. Where a derivation may be left over, a group
// that comes back in time finds its people as they were: then it is the store that is asked.
func (m *model) forgetThrough() {
	if m.exact {
		maps.DeleteFunc(m.through, func(k indirect, _ bool) bool {
			g := m.groups[k.group]
			return m.users[k.user] == nil || g == nil || !slices.Contains(m.set[k.env].Groups, groupObject(g.external))
		})
		return
	}
	clear(m.through)
	view(m.world, func(s *directory.Snapshot) (bool, error) {
		for _, id := range m.envs {
			env, err := s.Environment(id)
			if err != nil {
				return false, err
			}
			if !env.Integration.Enabled {
				continue
			}
			err = s.Indirect(env, func(user, group directory.ID) bool {
				if g := m.groups[group]; g != nil && slices.Contains(env.Integration.Groups, groupObject(g.external)) {
					m.through[indirect{id, user, group}] = true
				}
				return true
			})
			if err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

// checkPull compares what the pull remembers.
func (m *model) checkPull() {
	rows := map[string]int{}
	for k := range m.last {
		name, _, _ := strings.Cut(k, "\x00")
		rows[name]++
	}
	if rows["taken"] != len(m.taken) || rows["group_taken"] != len(m.groupsGone) || rows["pull_disabled"] != len(m.pullOff) || m.exact && rows["indirect"] != len(m.through) {
		m.Errorf("%d taken, %d groups, %d disabled, %d indirect, want %d, %d, %d, %d", rows["taken"], rows["group_taken"], rows["pull_disabled"], rows["indirect"],
			len(m.taken), len(m.groupsGone), len(m.pullOff), len(m.through))
	}
	view(m.world, func(s *directory.Snapshot) (bool, error) {
		for k := range m.taken {
			if u := m.users[k[0]]; u == nil || !must(s.TakenByPush(u.tenant, k[0], k[1])) {
				m.Errorf("push took %v out of %v, and it is forgotten", k[0], k[1])
			}
		}
		for k := range m.groupsGone {
			if !must(s.GroupTakenByPush(k.tenant, k.text)) {
				m.Errorf("push took %s away, and it is forgotten", k.text)
			}
		}
		for id := range m.pullOff {
			if u := m.users[id]; u == nil || !must(s.DisabledByPull(u.tenant, id)) {
				m.Errorf("a pull disabled %v, and it is forgotten", id)
			}
		}
		return true, nil
	})
}

// Look begins a pull of an environment: what push does from now on goes first.
func (m *model) Look(t *rapid.T) { m.lookAt(rapid.SampledFrom(m.envs).Draw(t, "environment")) }

func (m *model) lookAt(env directory.ID) {
	run := m.startRun(env)
	l := &look{run: run, scope: m.scopeOf(run), versions: map[directory.ID]uint64{}, users: map[directory.ID]bool{}, accounts: map[directory.ID]bool{},
		groups: map[directory.ID]bool{}, members: map[[2]directory.ID]bool{}}
	for id, u := range m.users {
		if u.tenant == l.scope.Integration.TenantID {
			l.versions[id] = u.version
		}
	}
	m.looks[env] = l
	m.last = m.dump()
}

// modelRepair is a repair and what the model knows of it.
type modelRepair struct {
	directory.Repair
	user    directory.ID // zero: to be provisioned
	profile directory.Profile
	update  bool
	object  string
}

// Repair does something to one or two people, as a pull that began some time ago.
func (m *model) Repair(t *rapid.T) {
	env := rapid.SampledFrom(m.envs).Draw(t, "environment")
	if m.looks[env] == nil || rapid.IntRange(0, 2).Draw(t, "look") > 0 {
		m.lookAt(env)
	}
	l := m.looks[env]
	repairs := []*modelRepair{m.drawRepair(t, env, true)}
	if rapid.Bool().Draw(t, "two") {
		if r := m.drawRepair(t, env, false); r != nil && r.user != repairs[0].user {
			repairs = append(repairs, r)
		}
	}
	var people []directory.Repair
	for _, r := range repairs {
		people = append(people, r.Repair)
	}
	admins := m.allAdministrators()
	stale := !cmp.Equal(m.environment(env).Integration, l.scope.Integration)
	items, err := m.svc.Repair(m.ctx, l.scope, people)
	if stale {
		if !errors.Is(err, directory.ErrStale) {
			m.Fatalf("settings have changed, and the repair: %v", err)
		}
		m.wantDump(m.last)
		delete(m.looks, env)
		return
	}
	if !l.scope.Integration.Enabled {
		m.want(err, directory.Conflict, false)
		return
	}
	for _, r := range repairs {
		if kind, moved := m.refusal(env, l, r); kind != fine {
			m.want(err, kind, false)
			if errors.Is(err, directory.ErrMoved) != moved {
				m.Errorf("moved is %v: %v", moved, err)
			}
			return
		}
	}
	tenant := l.scope.Integration.TenantID
	if m.refusedByHand(err, repairs, admins) {
		return
	}
	if m.namesCollide(tenant, repairs) {
		m.want(err, directory.Exists, false)
		return
	}
	accounts := make([]directory.ID, len(repairs))
	for i, r := range repairs {
		if !r.user.IsZero() {
			continue
		}
		var refused bool
		if accounts[i], refused = m.findAccount(tenant, r.profile, r.object); refused {
			m.want(err, directory.Exists, false)
			return
		}
	}
	if err != nil {
		m.Fatalf("refused: %v", err)
	}
	events := 0
	for i, r := range repairs {
		events += m.repaired(env, tenant, accounts[i], r, items[i])
	}
	m.wantEvents(events)
	m.keepsAdministrator(admins)
}

// wantEvents counts the events of a change; where a derivation is left over, a person may be told of
// an access that has been due for longer.
func (m *model) wantEvents(want int) {
	after, n := m.dump(), 0
	for k := range after {
		if _, ok := m.last[k]; !ok && strings.HasPrefix(k, "outbox\x00") {
			n++
		}
	}
	if m.exact && n != want {
		m.Errorf("%d events, want %d", n, want)
	}
	m.last = after
}

// drawRepair draws what is to be done with somebody.
func (m *model) drawRepair(t *rapid.T, env directory.ID, fresh bool) *modelRepair {
	l := m.looks[env]
	known := slices.SortedFunc(maps.Keys(l.versions), func(a, b directory.ID) int { return slices.Compare(a[:], b[:]) })
	gone := rarely(t)
	groups := func(what string) []directory.ID {
		var pool []directory.ID
		for _, id := range m.ids {
			g := m.groups[id]
			if g == nil && gone && !m.userIDs[id] || g != nil && g.tenant == l.scope.Integration.TenantID && slices.Contains(l.scope.Integration.Groups, groupObject(g.external)) {
				pool = append(pool, id)
			}
		}
		if len(pool) == 0 {
			return nil
		}
		return rapid.SliceOfN(rapid.SampledFrom(pool), 0, 2).Draw(t, what)
	}
	r := &modelRepair{}
	r.Item.Number = m.world.ids.Add(1)
	r.Join = groups("join")
	if l.scope.Integration.Transitive || rarely(t) {
		r.In = groups("in")
	}
	if len(known) == 0 || fresh && rapid.IntRange(0, 3).Draw(t, "new") == 3 {
		if !fresh {
			return nil
		}
		r.profile, r.update = drawProfile(t), true
		r.object = guid(r.profile.ExternalID)
		if rapid.Bool().Draw(t, "object") {
			r.object = object(rapid.IntRange(1, 3).Draw(t, "object id"))
			r.ObjectID, _ = directory.ParseID(r.object)
		}
		r.Update = func(*directory.User) (directory.UserInput, error) { return userInput(r.profile), nil }
		return r
	}
	r.user = rapid.SampledFrom(known).Draw(t, "user")
	r.Item.UserID, r.Version = r.user, l.versions[r.user]
	r.Leave, r.Out = slices.DeleteFunc(groups("leave"), func(g directory.ID) bool { return slices.Contains(r.Join, g) }), slices.DeleteFunc(groups("out"), func(g directory.ID) bool { return slices.Contains(r.In, g) })
	if rapid.IntRange(0, 3).Draw(t, "object") == 3 {
		r.object = object(rapid.IntRange(1, 3).Draw(t, "object id"))
		r.ObjectID, _ = directory.ParseID(r.object)
	}
	if u := m.users[r.user]; u != nil {
		r.profile = u.Profile
		if r.update = rapid.Bool().Draw(t, "update"); r.update {
			p := drawProfile(t)
			switch rapid.IntRange(0, 3).Draw(t, "part") {
			case 0:
				r.profile.Active = !r.profile.Active
			case 1:
				r.profile.UserName = p.UserName
			case 2:
				r.profile.Name = p.Name
			case 3:
				r.profile = p
			}
			r.Update = func(*directory.User) (directory.UserInput, error) { return userInput(r.profile), nil }
		}
	}
	return r
}

// refusal tells why a person cannot be repaired before anything is written; fine when nothing is in
// the way.
func (m *model) refusal(env directory.ID, l *look, r *modelRepair) (kind directory.ErrorKind, moved bool) {
	in := l.scope.Integration
	if len(r.In) > 0 && !in.Transitive {
		return directory.Invalid, false
	}
	for _, id := range slices.Concat(r.Join, r.Leave, r.In) {
		if g := m.groups[id]; g == nil || g.tenant != in.TenantID || !slices.Contains(in.Groups, groupObject(g.external)) {
			return directory.Conflict, true
		}
	}
	bad := r.update && badName(r.profile.UserName)
	u := m.users[r.user]
	if r.user.IsZero() {
		for _, x := range m.users {
			if x.tenant == in.TenantID && !r.ObjectID.IsZero() && x.object == r.ObjectID.String() {
				return directory.Conflict, true
			}
		}
		if bad {
			return directory.Invalid, false
		}
		if f, ok := m.former(in.TenantID, r.profile, r.ObjectIDText()); ok && l.accounts[f.account] {
			return directory.Conflict, true
		}
		return fine, false
	}
	if u == nil || u.version != r.Version || l.users[r.user] {
		return directory.Conflict, true
	}
	groups := r.Join
	if len(r.Leave)+len(r.Out) > 0 {
		groups = nil
		for id, g := range m.groups {
			if g.tenant == in.TenantID && slices.Contains(in.Groups, groupObject(g.external)) {
				groups = append(groups, id)
			}
		}
	}
	for _, g := range groups {
		if l.groups[g] || l.members[[2]directory.ID{g, r.user}] {
			return directory.Conflict, true
		}
	}
	if u.object != "" && r.object != "" && u.object != r.object {
		return directory.Conflict, false
	}
	if bad {
		return directory.Invalid, false
	}
	return fine, false
}

// ObjectIDText is the object id that the repair names, empty for none.
func (r *modelRepair) ObjectIDText() string {
	if r.ObjectID.IsZero() {
		return ""
	}
	return r.ObjectID.String()
}

// namesCollide tells whether two users would have one name after the repairs.
func (m *model) namesCollide(tenant directory.ID, repairs []*modelRepair) bool {
	names := map[directory.ID]string{}
	for id, u := range m.users {
		if u.tenant == tenant {
			names[id] = modelFold(u.UserName)
		}
	}
	for _, r := range repairs {
		names[r.user] = modelFold(r.profile.UserName)
	}
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			return true
		}
		seen[name] = true
	}
	return false
}

// repaired does to the model what the repair did, and returns how many events that makes.
func (m *model) repaired(env, tenant, account directory.ID, r *modelRepair, item directory.PlanItem) (events int) {
	id := item.UserID
	changed := false
	if r.user.IsZero() {
		u := &directory.User{ID: id, AccountID: account}
		if account.IsZero() {
			u.AccountID = id
		}
		m.arrive(tenant, account, u, r.profile, r.object)
		if changed = true; !r.profile.Active {
			m.pullOff[id] = true
		}
	} else {
		changed = m.rewritten(r)
	}
	moved := 0
	for _, g := range r.Join {
		if members := m.groups[g].members; !members[id] {
			members[id] = true
			delete(m.taken, [2]directory.ID{id, g})
			m.groups[g].version++
			moved++
		}
	}
	for _, g := range r.Leave {
		if members := m.groups[g].members; members[id] {
			delete(members, id)
			m.groups[g].version++
			moved++
		}
	}
	for _, g := range r.In {
		k := indirect{env, id, g}
		changed = changed || !m.through[k]
		m.through[k] = true
	}
	for _, g := range r.Out {
		k := indirect{env, id, g}
		changed = changed || m.through[k]
		delete(m.through, k)
	}
	if changed || moved > 0 {
		return 1 + moved
	}
	return 0
}

// rewritten changes the user of a repair and reports whether others see it.
func (m *model) rewritten(r *modelRepair) bool {
	u := m.users[r.user]
	if u.object == "" { // a pull gives nobody another one
		u.object = r.object
		if object := guid(r.profile.ExternalID); r.update && u.object == "" {
			u.object = object
		}
		if u.object != "" {
			m.dropOffices(u.account)
		}
	}
	if !r.update || cmp.Equal(r.profile, u.Profile) {
		return false
	}
	if u.Active != r.profile.Active {
		if m.pullOff[r.user] = u.Active; !u.Active {
			delete(m.pullOff, r.user)
		} else {
			m.leaves(u.account)
		}
	}
	u.Profile, u.version = r.profile, u.version+1
	m.accounts[u.account].say(r.profile)
	return true
}
