package directory_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/directory"
)

// The model is rules 1 to 6 at their simplest: maps, and every access recomputed from nothing
// after each change.

type modelUser struct {
	directory.Profile
	tenant, account directory.ID
	object          string
	version         uint64
}

type modelGroup struct {
	tenant         directory.ID
	name, external string
	members        map[directory.ID]bool
	version        uint64
}

type modelAccount struct {
	tenant, user                            directory.ID
	userName, name, email, language, locale string
}

type modelAccess struct {
	active bool
	menus  []string
}

type modelFormer struct {
	account directory.ID
	object  string
}

type modelSession struct {
	secret  string
	account directory.ID
	expires time.Time
	alive   bool
	tenant  directory.ID // whose directory has proven the person; zero: none has
}

type pair struct{ account, env directory.ID }

type named struct {
	tenant directory.ID
	text   string
}

type model struct {
	*world
	exact bool // no run is ever left over: every detail follows from the rules

	tenants, envs []directory.ID
	orgOf         map[directory.ID]directory.ID   // environment -> organization
	allowed       map[directory.ID][]directory.ID // tenant -> organizations
	trusted       map[directory.ID][]string
	set           map[directory.ID]directory.Integration
	users         map[directory.ID]*modelUser
	groups        map[directory.ID]*modelGroup
	accounts      map[directory.ID]*modelAccount
	accesses      map[pair]*modelAccess
	byName, byObj map[named]modelFormer
	sessions      []*modelSession
	ids           []directory.ID // users and groups that are or were, of all tenants
	userIDs       map[directory.ID]bool

	through    map[indirect]bool        // who is in a group through a nested one, as long as it counts
	taken      map[[2]directory.ID]bool // user, group
	groupsGone map[named]bool           // tenant, object id; that push took away
	pullOff    map[directory.ID]bool    // users whom a pull made inactive
	looks      map[directory.ID]*look   // environment -> the pull under way

	byHand

	last map[string]string     // the store after the last step
	lost map[directory.ID]bool // accounts with an access that the last step took away
}

func newModel(t *testing.T, rt *rapid.T, dir string, limits directory.Limits) (*model, func()) {
	store := openStore(rt, filepath.Join(dir, "model.db"))
	m := &model{world: worldOn(rt.Context(), rt, store, limits), exact: limits == directory.Limits{},
		orgOf: map[directory.ID]directory.ID{}, allowed: map[directory.ID][]directory.ID{}, trusted: map[directory.ID][]string{},
		set: map[directory.ID]directory.Integration{}, users: map[directory.ID]*modelUser{}, groups: map[directory.ID]*modelGroup{},
		accounts: map[directory.ID]*modelAccount{}, accesses: map[pair]*modelAccess{}, byName: map[named]modelFormer{}, byObj: map[named]modelFormer{},
		userIDs: map[directory.ID]bool{}, lost: map[directory.ID]bool{}, through: map[indirect]bool{}, taken: map[[2]directory.ID]bool{},
		groupsGone: map[named]bool{}, pullOff: map[directory.ID]bool{}, looks: map[directory.ID]*look{}, byHand: newByHand()}
	first, second := m.org("Fjord"), m.org("Harbor")
	for i, orgs := range [][]directory.ID{{first}, {first, second}} {
		id := m.tenant(fmt.Sprint("tenant", i), orgs...)
		m.tenants, m.allowed[id] = append(m.tenants, id), orgs
	}
	for i, org := range []directory.ID{first, first, second} {
		id := m.env(org, fmt.Sprint("env", i))
		m.envs, m.orgOf[id] = append(m.envs, id), org
	}
	m.last = m.dump()
	on := true
	for i, tenant := range m.tenants {
		m.provision(tenant, person("ada", 1))
		m.provision(tenant, person("bo", 2))
		m.provisionGroup(tenant, "Pilots", object(11), slices.Clone(m.ids[4*i:4*i+2]))
		m.provisionGroup(tenant, "Crew", object(12), slices.Clone(m.ids[4*i:4*i+1]))
	}
	for i, env := range m.envs { // of the first tenant two, of the second one
		nested := i%2 == 0
		m.change(env, directory.IntegrationInput{Enabled: &on, TenantID: &m.tenants[i/2], Groups: []string{object(11 + i%2)}, DefaultMenus: []string{"first"}, Transitive: &nested})
	}
	m.addInternal(m.envs[0], directory.NewAccess{Email: "ivy@fjord.example", Name: "Ivy", Password: "hash"})
	m.check(rt)
	return m, func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}

var (
	poolNames    = rapid.SampledFrom([]string{"ada", "ADA", "bo", "Bo", "ren\u00e9", "rene\u0301", "root@fjord.example", "eve@other.example"})
	poolBad      = rapid.SampledFrom([]string{"", " ", "a\x00b"})
	poolExternal = rapid.SampledFrom([]string{"", "nick", object(1), strings.ToUpper(object(1)), object(2)})
	poolEmails   = rapid.SliceOfN(rapid.SampledFrom([]string{"ada@fjord.example", "ADA@Fjord.example", "root@fjord.example", "eve@other.example"}), 0, 2)
	poolLanguage = rapid.SampledFrom([]string{"", "nl", "en"})
	poolGroups   = rapid.SampledFrom([]string{"Pilots", "pilots", "Crew", "Dockers"})
	poolObjects  = rapid.SampledFrom([]string{object(11), object(12), strings.ToUpper(object(11)), "plain", ""})
	poolMenus    = rapid.SampledFrom([][]string{nil, {}, {"sales"}, {"stock", "sales"}})
)

// rarely is true in one of eight cases.
func rarely(t *rapid.T) bool { return rapid.Uint8().Draw(t, "rarely")%8 == 7 }

func drawName(t *rapid.T, pool *rapid.Generator[string]) string {
	if rapid.Uint8().Draw(t, "odd")%32 == 31 {
		return poolBad.Draw(t, "bad name")
	}
	return pool.Draw(t, "name")
}

func drawProfile(t *rapid.T) directory.Profile {
	p := directory.Profile{UserName: drawName(t, poolNames), ExternalID: poolExternal.Draw(t, "externalId"), Name: rapid.SampledFrom([]string{"A", "B"}).Draw(t, "name"),
		Emails: poolEmails.Draw(t, "emails"), Language: poolLanguage.Draw(t, "language"), Active: !rarely(t)}
	if len(p.Emails) == 0 {
		p.Emails = nil
	} else {
		p.Email = p.Emails[0]
	}
	return p
}

func (m *model) drawTenant(t *rapid.T) directory.ID {
	return rapid.SampledFrom(m.tenants).Draw(t, "tenant")
}

// drawID gives an id that is, was or never has been.
func (m *model) drawID(t *rapid.T, what string) directory.ID {
	return rapid.SampledFrom(append([]directory.ID{number(1 << 20)}, m.ids...)).Draw(t, what)
}

// drawIDs gives members: mostly some that the tenant has.
func (m *model) drawIDs(t *rapid.T, tenant directory.ID) []directory.ID {
	pool := m.ids
	if !rarely(t) {
		pool = slices.DeleteFunc(slices.Clone(pool), func(id directory.ID) bool {
			u, g := m.users[id], m.groups[id]
			return (u == nil || u.tenant != tenant) && (g == nil || g.tenant != tenant)
		})
	}
	if len(pool) == 0 {
		return nil
	}
	return rapid.SliceOfN(rapid.SampledFrom(pool), 0, 3).Draw(t, "members")
}

// drawLive gives mostly what a method is for: a live user or group of some tenant.
func drawLive[T any](m *model, t *rapid.T, live map[directory.ID]T, tenantOf func(T) directory.ID) (tenant, id directory.ID) {
	ids := slices.SortedFunc(maps.Keys(live), func(a, b directory.ID) int { return slices.Compare(a[:], b[:]) })
	if len(ids) == 0 || rarely(t) {
		return m.drawTenant(t), m.drawID(t, "target")
	}
	id = rapid.SampledFrom(ids).Draw(t, "target")
	return tenantOf(live[id]), id
}

func modelFold(s string) string { return strings.ToLower(compose(s)) }

func guid(external string) string {
	if lower := strings.ToLower(external); canonical.MatchString(lower) {
		return lower
	}
	return ""
}

const fine = directory.ErrorKind(255)

// want compares the outcome of a call and, where nothing was to change, the store.
func (m *model) want(err error, kind directory.ErrorKind, changed bool) {
	m.Helper()
	switch {
	case kind == fine && err != nil:
		m.Fatalf("refused: %v", err)
	case kind != fine && err == nil:
		m.Fatalf("accepted, want kind %q", kind)
	case kind != fine && directory.KindOf(err) != kind:
		m.Fatalf("%v: of kind %q, want kind %q", err, directory.KindOf(err), kind)
	}
	after := m.dump()
	events := func(dump map[string]string) (n int) {
		for k := range dump {
			n += found(strings.HasPrefix(k, "outbox\x00"))
		}
		return n
	}
	if !changed {
		m.wantDump(m.last)
	} else if n := events(after) - events(m.last); n != 1 {
		m.Errorf("%d events of one change", n)
	}
	m.last = after
}

func (m *model) nameTaken(tenant, self directory.ID, name string) bool {
	for id, u := range m.users {
		if u.tenant == tenant && id != self && modelFold(u.UserName) == modelFold(name) {
			return true
		}
	}
	return false
}

func badName(s string) bool { return strings.TrimSpace(s) == "" || strings.Contains(s, "\x00") }

// findAccount says on which account a person is provisioned: one that is without a user, an
// internal one, or none; refused when there is one that the tenant must not touch.
func (m *model) findAccount(tenant directory.ID, p directory.Profile, object string) (account directory.ID, refused bool) {
	if f, ok := m.former(tenant, p, object); ok {
		if object == "" || f.object != object { // by the name alone
			m.dropOffices(f.account)
		}
		if k := (named{tenant, modelFold(m.accounts[f.account].userName)}); m.byName[k].account == f.account {
			delete(m.byName, k)
		}
		if k := (named{tenant, f.object}); m.byObj[k].account == f.account {
			delete(m.byObj, k)
		}
		return f.account, false
	}
	addresses := slices.Clone(p.Emails)
	if strings.Contains(p.UserName, "@") {
		addresses = append(addresses, p.UserName)
	}
	for _, address := range addresses {
		for id, a := range m.accounts {
			if a.tenant.IsZero() && modelFold(a.email) == modelFold(address) {
				_, domain, _ := strings.Cut(strings.ToLower(address), "@")
				return id, m.protected[id] || m.hasRole(id) || !slices.Contains(m.trusted[tenant], domain)
			}
		}
	}
	return directory.ID{}, false
}

// former finds the person in an earlier life.
func (m *model) former(tenant directory.ID, p directory.Profile, object string) (modelFormer, bool) {
	free := func(f modelFormer) bool { a := m.accounts[f.account]; return a != nil && a.user.IsZero() }
	f := m.byObj[named{tenant, object}]
	if object == "" || !free(f) {
		if f = m.byName[named{tenant, modelFold(p.UserName)}]; free(f) && f.object != "" && object != "" && f.object != object {
			f = modelFormer{}
		}
	}
	return f, free(f)
}

func (a *modelAccount) say(p directory.Profile) {
	a.userName, a.name, a.email = p.UserName, p.Name, p.Email
	if p.Language != "" {
		a.language = p.Language
	}
	if p.Locale != "" {
		a.locale = p.Locale
	}
}

func (m *model) CreateUser(t *rapid.T) { m.provision(m.drawTenant(t), drawProfile(t)) }

func (m *model) provision(tenant directory.ID, p directory.Profile) {
	u, err := m.svc.CreateUser(m.ctx, push, tenant, userInput(p))
	if badName(p.UserName) {
		m.want(err, directory.Invalid, false)
		return
	}
	if m.nameTaken(tenant, directory.ID{}, p.UserName) {
		m.want(err, directory.Exists, false)
		return
	}
	account, refused := m.findAccount(tenant, p, guid(p.ExternalID))
	if refused {
		m.want(err, directory.Exists, false)
		return
	}
	m.want(err, fine, true)
	m.arrive(tenant, account, u, p, guid(p.ExternalID))
	m.pushed(u.ID, u.AccountID)
}

// arrive keeps a new user on an account; zero: a new one.
func (m *model) arrive(tenant, account directory.ID, u *directory.User, p directory.Profile, object string) {
	if slices.Contains(m.ids, u.ID) {
		m.Fatalf("id %v is used again", u.ID)
	}
	a := m.accounts[account]
	if a == nil {
		if account = u.AccountID; m.accounts[account] != nil {
			m.Fatalf("the account of somebody else is used")
		}
		a = &modelAccount{}
		m.accounts[account] = a
	} else if a.tenant.IsZero() {
		m.adopted(account)
	}
	a.tenant, a.user = tenant, u.ID
	a.say(p)
	m.users[u.ID] = &modelUser{Profile: p, tenant: tenant, account: account, object: object, version: 1}
	m.ids, m.userIDs[u.ID] = append(m.ids, u.ID), true
	if u.AccountID != account {
		m.Fatalf("provisioned on account %v, want %v", u.AccountID, account)
	}
}

func (m *model) UpdateUser(t *rapid.T) {
	tenant, id := drawLive(m, t, m.users, func(u *modelUser) directory.ID { return u.tenant })
	p := drawProfile(t)
	old := m.users[id]
	if old != nil { // mostly a part of it
		q := old.Profile
		switch rapid.IntRange(0, 6).Draw(t, "part") {
		case 0:
			q.Active = !q.Active
			p = q
		case 1:
			q.UserName = p.UserName
			p = q
		case 2:
			q.ExternalID = p.ExternalID
			p = q
		case 3:
			q.Name, q.Language = p.Name, p.Language
			p = q
		case 4:
			p = q
		}
	}
	u, err := m.editUser(tenant, id, func(q *directory.Profile) { *q = p })
	switch {
	case old == nil || old.tenant != tenant:
		m.want(err, directory.NotFound, false)
		return
	case badName(p.UserName):
		m.want(err, directory.Invalid, false)
		return
	case cmp.Equal(p, old.Profile):
		m.want(err, fine, false)
	case m.nameTaken(tenant, id, p.UserName):
		m.want(err, directory.Exists, false)
		return
	default:
		m.want(err, fine, true)
		if old.Active && !p.Active {
			m.leaves(old.account)
		}
		if old.Active != p.Active {
			delete(m.pullOff, id)
		}
		m.pushed(id, old.account)
		old.Profile, old.version = p, old.version+1
		if object := guid(p.ExternalID); object != "" {
			if old.object != "" && old.object != object { // another person of the directory's
				m.leaves(old.account)
			}
			if old.object != object {
				m.dropOffices(old.account)
			}
			old.object = object
		}
		m.accounts[old.account].say(p)
	}
	if u.Version != old.version {
		m.Errorf("version %d, want %d", u.Version, old.version)
	}
}

func (m *model) DeleteUser(t *rapid.T) {
	tenant, id := drawLive(m, t, m.users, func(u *modelUser) directory.ID { return u.tenant })
	err := m.svc.DeleteUser(m.ctx, push, tenant, id, nil)
	u := m.users[id]
	if u == nil || u.tenant != tenant {
		m.want(err, directory.NotFound, false)
		return
	}
	m.want(err, fine, true)
	m.leaveAll(id)
	delete(m.users, id)
	delete(m.pullOff, id)
	maps.DeleteFunc(m.taken, func(k [2]directory.ID, _ bool) bool { return k[0] == id })
	m.pushed(id, u.account)
	m.accounts[u.account].user = directory.ID{}
	m.dropRoles(u.account)
	m.leaves(u.account)
	f := modelFormer{u.account, u.object}
	m.byName[named{tenant, modelFold(u.UserName)}] = f
	if u.object != "" {
		m.byObj[named{tenant, u.object}] = f
	}
}

func (m *model) leaveAll(id directory.ID) {
	for _, g := range m.groups {
		if g.members[id] {
			delete(g.members, id)
			g.version++
		}
	}
}

// join adds members as the rules allow it: existing ones of the same tenant, and no cycle.
func (m *model) join(tenant, group directory.ID, members map[directory.ID]bool, ids []directory.ID) bool {
	for _, id := range ids {
		if members[id] {
			continue
		}
		u, g := m.users[id], m.groups[id]
		switch {
		case u != nil && u.tenant == tenant:
		case g != nil && g.tenant == tenant && !m.contains(id, group):
		default:
			return false
		}
		members[id] = true
	}
	return true
}

// contains tells whether group a is b or has b in it at any depth.
func (m *model) contains(a, b directory.ID) bool {
	if a == b {
		return true
	}
	for id := range m.groups[a].members {
		if m.groups[id] != nil && m.contains(id, b) {
			return true
		}
	}
	return false
}

func (m *model) groupTaken(tenant, self directory.ID, name string) bool {
	for id, g := range m.groups {
		if g.tenant == tenant && id != self && modelFold(g.name) == modelFold(name) {
			return true
		}
	}
	return false
}

func (m *model) CreateGroup(t *rapid.T) {
	tenant := m.drawTenant(t)
	m.provisionGroup(tenant, drawName(t, poolGroups), poolObjects.Draw(t, "external"), m.drawIDs(t, tenant))
}

func (m *model) provisionGroup(tenant directory.ID, name, external string, ids []directory.ID) {
	g, err := m.svc.CreateGroup(m.ctx, push, tenant, groupInput(name, external), ids)
	members := map[directory.ID]bool{}
	switch {
	case badName(name):
		m.want(err, directory.Invalid, false)
		return
	case m.groupTaken(tenant, directory.ID{}, name):
		m.want(err, directory.Exists, false)
		return
	case !m.join(tenant, directory.ID{}, members, ids):
		m.want(err, directory.Invalid, false)
		return
	}
	m.want(err, fine, true)
	m.groups[g.ID] = &modelGroup{tenant: tenant, name: name, external: external, members: members, version: 1}
	m.regrouped(tenant, "", external)
	for _, l := range m.looks {
		l.groups[g.ID] = true
	}
	m.ids = append(m.ids, g.ID)
}

func (m *model) UpdateGroup(t *rapid.T) {
	tenant, id := drawLive(m, t, m.groups, func(g *modelGroup) directory.ID { return g.tenant })
	old := m.groups[id]
	name, external := drawName(t, poolGroups), poolObjects.Draw(t, "external")
	if old != nil && rapid.IntRange(0, 2).Draw(t, "rename") > 0 {
		name, external = old.name, old.external
	}
	type step struct {
		verb string
		ids  []directory.ID
	}
	var steps []step
	for range rapid.IntRange(0, 3).Draw(t, "steps") {
		steps = append(steps, step{rapid.SampledFrom([]string{"add", "remove", "replace", "clear"}).Draw(t, "verb"), m.drawIDs(t, tenant)})
	}
	g, err := m.svc.UpdateGroup(m.ctx, push, tenant, id, func(_ *directory.Group, ms *directory.Membership) (directory.GroupInput, error) {
		for _, s := range steps {
			var err error
			switch s.verb {
			case "add":
				err = ms.Add(s.ids)
			case "remove":
				err = ms.Remove(s.ids)
			case "replace":
				err = ms.Replace(s.ids)
			case "clear":
				err = ms.Clear()
			}
			if err != nil {
				return directory.GroupInput{}, err
			}
		}
		return groupInput(name, external), nil
	})
	if old == nil || old.tenant != tenant {
		m.want(err, directory.NotFound, false)
		return
	}
	before := old.members
	old.members = maps.Clone(before) // cycles are looked for in what the change has made so far
	undo := func(kind directory.ErrorKind) {
		old.members = before
		m.want(err, kind, false)
	}
	for _, s := range steps {
		switch s.verb {
		case "remove":
			for _, id := range s.ids {
				delete(old.members, id)
			}
		case "replace":
			maps.DeleteFunc(old.members, func(id directory.ID, _ bool) bool { return !slices.Contains(s.ids, id) })
		case "clear":
			clear(old.members)
		}
		if (s.verb == "add" || s.verb == "replace") && !m.join(tenant, id, old.members, s.ids) {
			undo(directory.Invalid)
			return
		}
	}
	switch {
	case badName(name):
		undo(directory.Invalid)
		return
	case maps.Equal(before, old.members) && name == old.name && external == old.external:
		undo(fine)
	case m.groupTaken(tenant, id, name):
		undo(directory.Exists)
		return
	default:
		m.want(err, fine, true)
		m.noteMoves(id, before, old.members)
		was := old.external
		old.name, old.external, old.version = name, external, old.version+1
		m.regrouped(tenant, was, external)
		if groupObject(was) != groupObject(external) { // another group of the directory: who was in that one through others is not known of this one
			maps.DeleteFunc(m.through, func(k indirect, _ bool) bool { return k.group == id })
		}
	}
	if g.Version != old.version {
		m.Errorf("version %d, want %d", g.Version, old.version)
	}
}

func (m *model) DeleteGroup(t *rapid.T) {
	tenant, id := drawLive(m, t, m.groups, func(g *modelGroup) directory.ID { return g.tenant })
	err := m.svc.DeleteGroup(m.ctx, push, tenant, id, nil)
	if g := m.groups[id]; g == nil || g.tenant != tenant {
		m.want(err, directory.NotFound, false)
		return
	}
	m.want(err, fine, true)
	was := m.groups[id].external
	delete(m.groups, id)
	m.leaveAll(id)
	m.regrouped(tenant, was, "")
}

func (m *model) SetIntegration(t *rapid.T) {
	env := rapid.SampledFrom(m.envs).Draw(t, "environment")
	var in directory.IntegrationInput
	on := m.set[env].Enabled
	if !on && !rarely(t) || rarely(t) {
		on = !on
		in.Enabled = &on
	}
	if on && rapid.IntRange(0, 3).Draw(t, "set tenant") == 3 || rarely(t) {
		id := rapid.SampledFrom(append(slices.Clone(m.tenants), m.tenants[0], m.tenants[1], directory.ID{}, number(1<<20))).Draw(t, "tenant")
		in.TenantID = &id
	}
	if on && rapid.Bool().Draw(t, "set groups") || rarely(t) {
		in.Groups = rapid.SliceOfN(rapid.SampledFrom([]string{object(11), strings.ToUpper(object(12)), object(12), "plain", "none", "", "a,b"}), 0, 3).Draw(t, "groups")
	}
	if m.exact && on && rapid.Bool().Draw(t, "set menus") {
		in.DefaultMenus = poolMenus.Draw(t, "menus")
	}
	if on && rapid.IntRange(0, 3).Draw(t, "set nested") == 3 || rarely(t) {
		nested := rapid.IntRange(0, 3).Draw(t, "nested") > 0
		in.Transitive = &nested
	}
	m.change(env, in)
}

func (m *model) change(env directory.ID, in directory.IntegrationInput) {
	next := m.set[env]
	was := next.Enabled
	if in.Enabled != nil {
		next.Enabled = *in.Enabled
	}
	_, _, err := m.svc.SetIntegration(m.ctx, operator, env, in)
	outcome := func(kind directory.ErrorKind) {
		if kind != fine {
			m.want(err, kind, false)
		} else if err != nil {
			m.Fatalf("refused: %v", err)
		}
		m.last = m.dump()
	}
	if !next.Enabled {
		if in.TenantID != nil || in.Groups != nil || in.DefaultMenus != nil || in.Transitive != nil {
			outcome(directory.Invalid)
			return
		}
		outcome(fine)
		m.integrated(env, next)
		return
	}
	if in.TenantID != nil {
		next.TenantID = *in.TenantID
	}
	if in.Groups != nil {
		next.Groups = nil
		for _, g := range in.Groups {
			if g = groupObject(g); g == "a,b" {
				outcome(directory.Invalid)
				return
			} else if g != "" && !slices.Contains(next.Groups, g) {
				next.Groups = append(next.Groups, g)
			}
		}
	}
	if in.DefaultMenus != nil {
		next.DefaultMenus = in.DefaultMenus
	}
	if in.Transitive != nil {
		next.Transitive = *in.Transitive
	}
	switch {
	case next.TenantID.IsZero():
		outcome(directory.Invalid)
	case (in.TenantID != nil || !was) && next.TenantID == number(1<<20):
		outcome(directory.NotFound)
	case (in.TenantID != nil || !was) && !slices.Contains(m.allowed[next.TenantID], m.orgOf[env]), len(next.Groups) == 0:
		outcome(directory.Invalid)
	default:
		outcome(fine)
		m.integrated(env, next)
	}
}

func (m *model) Trust(t *rapid.T) {
	tenant := m.drawTenant(t)
	domains := rapid.SampledFrom([][]string{nil, {"fjord.example"}, {"fjord.example", "other.example"}}).Draw(t, "domains")
	m.trust(tenant, domains...)
	m.trusted[tenant] = domains
	m.last = m.dump()
}

func (m *model) CreateAccount(t *rapid.T) {
	email := rapid.SampledFrom([]string{"root@fjord.example", "Root@Fjord.example", "eve@other.example", "ada@fjord.example"}).Draw(t, "email")
	a, err := m.svc.CreateAccount(m.ctx, operator, "internal", email, "Internal")
	for _, x := range m.accounts {
		if x.tenant.IsZero() && modelFold(x.email) == modelFold(email) {
			m.want(err, directory.Exists, false)
			return
		}
	}
	if err != nil {
		m.Fatalf("refused: %v", err)
	}
	m.accounts[a.ID] = &modelAccount{userName: "internal", name: "Internal", email: email}
	m.last = m.dump()
}

func (m *model) SignIn(t *rapid.T) {
	account := m.drawAccount(t)
	secret := fmt.Sprint("session ", len(m.sessions))
	_, err := m.svc.CreateSession(m.ctx, push, directory.SessionInput{AccountID: account, Hash: secretHash(secret)})
	if m.exact {
		if m.maySignIn(account) != (err == nil) {
			m.Fatalf("an account that may sign in (%v) signs in: %v", m.maySignIn(account), err)
		}
	}
	if err == nil {
		m.sessions = append(m.sessions, &modelSession{secret: secret, account: account, expires: m.clock.Now().Add(8 * time.Hour), alive: true})
	}
	m.last = m.dump()
}

// SignOut ends a session, or all of its account, once or once more.
func (m *model) SignOut(t *rapid.T) {
	if len(m.sessions) == 0 {
		return
	}
	x := rapid.SampledFrom(m.sessions).Draw(t, "session")
	by, all := self(x.account), rapid.Bool().Draw(t, "all")
	record := view(m.world, func(s *directory.Snapshot) (*directory.Session, error) {
		hash := secretHash(x.secret)
		return s.Session(hash[:])
	})
	alive := 0
	for _, other := range m.sessions {
		mine := other.account == x.account && (all || other == x)
		if mine && other.alive && m.clock.Now().Before(other.expires) {
			alive++
			other.alive = false
		}
	}
	if all {
		if n := must(m.svc.EndSessions(m.ctx, by, x.account, directory.ID{}, directory.EndedRevoked)); n != alive {
			m.Errorf("%d sessions have ended, want %d", n, alive)
		}
	} else if record != nil {
		if err := m.svc.EndSession(m.ctx, by, x.account, record.ID, directory.EndedSignOut); err != nil {
			m.Fatalf("EndSession: %v", err)
		}
	}
	m.last = m.dump()
}

// Keep removes the sessions whose time is over, and no other.
func (m *model) Keep(*rapid.T) {
	must(m.svc.KeepSessions(m.ctx, directory.Actor{Role: directory.RoleSystem}, nil))
	for _, x := range m.sessions {
		hash := secretHash(x.secret)
		record := view(m.world, func(s *directory.Snapshot) (*directory.Session, error) { return s.Session(hash[:]) })
		if over := !m.clock.Now().Before(x.expires); over != (record == nil) {
			m.Errorf("a session whose time is over (%v) is kept: %+v", over, record)
		}
	}
	m.last = m.dump()
}

func (m *model) Wait(t *rapid.T) {
	m.clock.Advance(time.Duration(rapid.IntRange(1, 300).Draw(t, "minutes")) * time.Minute)
}

func (m *model) Work(*rapid.T) {
	if _, err := m.svc.WorkOnce(m.ctx); err != nil {
		m.Fatalf("WorkOnce: %v", err)
	}
	m.last = m.dump()
}

func (m *model) hasAccess(account directory.ID) bool {
	for p, a := range m.accesses {
		if p.account == account && a.active {
			return true
		}
	}
	return false
}

// recompute brings every access in line with rule 1, from nothing.
func (m *model) recompute() {
	for id, a := range m.accounts {
		if a.tenant.IsZero() { // by hand
			continue
		}
		for _, env := range m.envs {
			in, entitled := m.set[env], false
			if u := m.users[a.user]; u != nil && u.Active && in.Enabled && in.TenantID == a.tenant {
				for _, g := range m.groups {
					entitled = entitled || g.tenant == a.tenant && g.members[a.user] && slices.Contains(in.Groups, groupObject(g.external))
				}
				for k := range m.through {
					entitled = entitled || k.env == env && k.user == a.user
				}
			}
			x := m.accesses[pair{id, env}]
			switch {
			case x == nil && entitled:
				m.accesses[pair{id, env}] = &modelAccess{active: true, menus: in.DefaultMenus}
			case x != nil:
				if x.active && !entitled {
					m.lost[id] = true
				}
				x.active = entitled
			}
		}
	}
}

// check compares all that can be seen with the model.
func (m *model) check(*rapid.T) {
	m.forgetThrough()
	m.recompute()
	checkInvariants(m.world)
	m.checkPull()
	pending := false
	for k := range m.last {
		pending = pending || strings.HasPrefix(k, "pending_run\x00")
	}
	view(m.world, func(s *directory.Snapshot) (bool, error) {
		m.checkResources(s)
		m.checkByHand(s, pending)
		if !pending {
			m.checkAccesses(s)
		}
		return true, nil
	})
	for _, x := range m.sessions {
		alive := m.signedIn(x.secret)
		ended := !x.alive || !m.clock.Now().Before(x.expires) || m.out[x.account] || !pending && !m.maySignIn(x.account)
		if alive && ended {
			m.Errorf("a session of an account with access %v goes on", m.hasAccess(x.account))
		}
		if m.exact && !alive && !ended && !m.lost[x.account] {
			m.Errorf("a session has ended for no reason")
		}
		// While a run is pending a session is refused that has not ended: it goes on if the access comes back before the run takes it.
		x.alive = alive || x.alive && pending && m.kept(x.secret)
	}
	clear(m.lost)
	clear(m.out)
}

// kept tells whether the record of a session says that it has not ended.
func (m *model) kept(secret string) bool {
	hash := secretHash(secret)
	record := view(m.world, func(s *directory.Snapshot) (*directory.Session, error) { return s.Session(hash[:]) })
	return record != nil && record.Ended.IsZero()
}

func (m *model) checkResources(s *directory.Snapshot) {
	for _, tenant := range m.tenants {
		users, groups := 0, 0
		err := s.Users(tenant, directory.ID{}, 0, func(*directory.User) bool { users++; return true })
		if err == nil {
			err = s.Groups(tenant, directory.ID{}, 0, func(*directory.Group) bool { groups++; return true })
		}
		for _, u := range m.users {
			users -= found(u.tenant == tenant)
		}
		for _, g := range m.groups {
			groups -= found(g.tenant == tenant)
		}
		if users != 0 || groups != 0 || err != nil {
			m.Errorf("%d users and %d groups too many, %v", users, groups, err)
		}
	}
	for id, want := range m.users {
		u, err := s.User(want.tenant, id)
		if err != nil || !cmp.Equal(u.Profile, want.Profile, cmp.Comparer(func(a, b []string) bool { return slices.Equal(a, b) })) || u.Version != want.version || u.AccountID != want.account {
			m.Errorf("user %+v, %v, want %+v", u, err, want)
		}
	}
	for id, want := range m.groups {
		g, err := s.Group(want.tenant, id)
		if err != nil || g.DisplayName != want.name || g.ExternalID != want.external || g.Version != want.version {
			m.Errorf("group %+v, %v, want %+v", g, err, want)
		}
		members := map[directory.ID]bool{}
		err = s.Members(want.tenant, id, directory.ID{}, func(x directory.Member) bool {
			members[x.ID] = true
			if m.userIDs[x.ID] != (x.Kind == directory.MemberUser) {
				m.Errorf("member %v is of kind %c", x.ID, x.Kind)
			}
			return true
		})
		if err != nil || !maps.Equal(members, want.members) {
			m.Errorf("members %v, %v, want %v", members, err, want.members)
		}
	}
	for id, want := range m.accounts {
		a, err := s.Account(id)
		if err != nil {
			m.Errorf("account: %v", err)
			continue
		}
		if got := (modelAccount{a.TenantID, a.UserID, a.UserName, a.Name, a.Email, a.Language, a.Locale}); got != *want {
			m.Errorf("account %+v, want %+v", got, *want)
		}
	}
	accounts := 0
	if err := s.Accounts(directory.ID{}, func(*directory.Account) bool { accounts++; return true }); err != nil || accounts != len(m.accounts) {
		m.Errorf("%d accounts, %v, want %d", accounts, err, len(m.accounts))
	}
}

func (m *model) checkAccesses(s *directory.Snapshot) {
	for id := range m.accounts {
		for _, env := range m.envs {
			want, got := m.accesses[pair{id, env}], must(s.Access(id, env))
			if (want != nil && want.active) != (got != nil && got.Active) {
				m.Errorf("access %+v, want %+v", got, want)
			}
			if m.exact && ((want == nil) != (got == nil) || want != nil && !slices.Equal(want.menus, got.Menus)) {
				m.Errorf("access %+v, want %+v", got, want)
			}
		}
	}
	for _, env := range m.envs {
		for _, state := range []bool{true, false} {
			want := int64(0)
			for p, x := range m.accesses {
				want += int64(found(p.env == env && x.active == state))
			}
			listed := int64(0)
			err := s.EnvironmentAccesses(env, state, directory.ID{}, func(account directory.ID) bool {
				if x := m.accesses[pair{account, env}]; x == nil || x.active != state {
					m.Errorf("account %v is listed as active %v", account, state)
				}
				listed++
				return true
			})
			if n := must(s.EnvironmentAccessCount(env, state)); err != nil || n != listed || n != want && (m.exact || state) {
				m.Errorf("%d accesses are counted and %d listed, %v, want %d", n, listed, err, want)
			}
		}
	}
}

func (m *model) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"":               m.check,
		"CreateUser":     m.CreateUser,
		"CreateUser2":    m.CreateUser,
		"UpdateUser":     m.UpdateUser,
		"UpdateUser2":    m.UpdateUser,
		"DeleteUser":     m.DeleteUser,
		"CreateGroup":    m.CreateGroup,
		"UpdateGroup":    m.UpdateGroup,
		"UpdateGroup2":   m.UpdateGroup,
		"DeleteGroup":    m.DeleteGroup,
		"SetIntegration": m.SetIntegration,
		"Trust":          m.Trust,
		"CreateAccount":  m.CreateAccount,
		"SignIn":         m.SignIn,
		"SignOut":        m.SignOut,
		"Keep":           m.Keep,
		"Wait":           m.Wait,
		"Work":           m.Work,
		"Look":           m.Look,
		"Repair":         m.Repair,
		"Repair2":        m.Repair,
		"Repair3":        m.Repair,

		"AddInternal":        m.AddInternal,
		"SetAccess":          m.SetAccess,
		"SetAccount":         m.SetAccount,
		"SetAdministrator":   m.SetAdministrator,
		"Protect":            m.Protect,
		"SetRoles":           m.SetRoles,
		"CreateOperator":     m.CreateOperator,
		"SetPassword":        m.SetPassword,
		"RemoveLogin":        m.RemoveLogin,
		"Land":               m.Land,
		"SignInByDirectory":  m.SignInByDirectory,
		"SignOutByDirectory": m.SignOutByDirectory,
		"Relink":             m.Relink,
	}
}

// rapidFlag sets a flag of rapid for one test unless it was set on the command line, or by the environment, which
// rapid takes for the default.
func rapidFlag(t *testing.T, name, value string) {
	t.Helper()
	f := flag.Lookup("rapid." + name)
	old := f.Value.String()
	if _, asked := os.LookupEnv("RAPID_" + strings.ToUpper(name)); asked || old != f.DefValue {
		return
	}
	set := func(value string) {
		if err := f.Value.Set(value); err != nil {
			t.Error(err)
		}
	}
	set(value)
	t.Cleanup(func() { set(old) })
}

func testModel(t *testing.T, limits directory.Limits) {
	rapidFlag(t, "checks", "40")
	rapidFlag(t, "steps", "50")
	rapid.Check(t, func(rt *rapid.T) {
		m, done := newModel(t, rt, t.TempDir(), limits)
		defer done()
		rt.Repeat(m.actions())
	})
}

func TestModel(t *testing.T) { testModel(t, directory.Limits{}) }

// The same with changes of integrations that take many steps, with everything else in between.
func TestModelWithDerivations(t *testing.T) {
	testModel(t, directory.Limits{InlineRows: 1, StepRows: 1})
}
