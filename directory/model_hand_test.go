package directory_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/directory"
)

// The part of the model that is done by hand: internal users, their accesses and logins, roles and offices,
// where people land, and signing in with a directory.

// byHand is what people have decided, rather than a directory.
type byHand struct {
	admins    map[pair]bool
	protected map[directory.ID]bool
	operators map[directory.ID]bool
	partners  map[directory.ID]bool
	logins    map[directory.ID]bool
	lands     map[directory.ID]directory.ID
	subjects  map[named]string      // tenant, object id -> subject
	out       map[directory.ID]bool // accounts whose sessions the last step must have ended
}

func newByHand() byHand {
	return byHand{map[pair]bool{}, map[directory.ID]bool{}, map[directory.ID]bool{}, map[directory.ID]bool{}, map[directory.ID]bool{},
		map[directory.ID]directory.ID{}, map[named]string{}, map[directory.ID]bool{}}
}

func (m *model) hasRole(account directory.ID) bool {
	return m.operators[account] || m.partners[account]
}

// maySignIn is rule 8: who has an access, and an internal user with a role.
func (m *model) maySignIn(account directory.ID) bool {
	return m.hasAccess(account) || m.accounts[account].tenant.IsZero() && m.hasRole(account)
}

// leaves keeps that every session of an account must have ended.
func (m *model) leaves(account directory.ID) { m.lost[account], m.out[account] = true, true }

// dropOffices takes what was given by hand to one who may be somebody else.
func (m *model) dropOffices(account directory.ID) {
	m.dropAdmins(account)
	m.dropRoles(account)
}

func (m *model) dropAdmins(account directory.ID) {
	maps.DeleteFunc(m.admins, func(k pair, _ bool) bool { return k.account == account })
}

func (m *model) dropRoles(account directory.ID) {
	delete(m.operators, account)
	delete(m.partners, account)
}

// adopted hands an internal account to a directory.
func (m *model) adopted(account directory.ID) {
	m.leaves(account)
	m.dropAdmins(account)
	delete(m.logins, account)
}

func (m *model) drawAccount(t *rapid.T) directory.ID {
	all := slices.SortedFunc(maps.Keys(m.accounts), compareIDs)
	if rapid.IntRange(0, 3).Draw(t, "internal") == 0 {
		some := slices.DeleteFunc(slices.Clone(all), func(id directory.ID) bool { return !m.accounts[id].tenant.IsZero() })
		if len(some) > 0 {
			all = some
		}
	}
	return rapid.SampledFrom(all).Draw(t, "account")
}

func compareIDs(a, b directory.ID) int { return slices.Compare(a[:], b[:]) }

func (m *model) drawEnv(t *rapid.T) directory.ID {
	return rapid.SampledFrom(m.envs).Draw(t, "environment")
}

// holder is the internal account of an e-mail address; zero: there is none.
func (m *model) holder(email string) (found directory.ID) {
	for id, a := range m.accounts {
		if a.tenant.IsZero() && modelFold(a.email) == modelFold(email) {
			found = id
		}
	}
	return found
}

// managed tells whether a directory has told of somebody with that address.
func (m *model) managed(email string) bool {
	same := func(s string) bool { return modelFold(s) == modelFold(email) }
	for _, u := range m.users {
		if same(u.UserName) || slices.ContainsFunc(u.Emails, same) {
			return true
		}
	}
	return false
}

// told keeps that others than a pull have changed something of somebody whom a directory manages.
func (m *model) told(account directory.ID) {
	if u := m.accounts[account].user; !u.IsZero() {
		m.pushed(u, account)
	}
}

// done is want for what publishes nothing.
func (m *model) done(err error) {
	m.Helper()
	if err != nil {
		m.Fatalf("refused: %v", err)
	}
	m.last = m.dump()
}

// record is the record of an access; nil: there is none.
func (m *model) record(account, env directory.ID) *directory.Access {
	return view(m.world, func(s *directory.Snapshot) (*directory.Access, error) { return s.Access(account, env) })
}

var poolInternal = rapid.SampledFrom([]string{"root@fjord.example", "Root@Fjord.example", "eve@other.example", "ada@fjord.example", "ivy@fjord.example"})

func (m *model) AddInternal(t *rapid.T) {
	in := directory.NewAccess{Email: poolInternal.Draw(t, "email"), Name: "By hand", Menus: poolMenus.Draw(t, "menus")}
	if rapid.Bool().Draw(t, "password") {
		in.Password = "hash"
	}
	m.addInternal(m.drawEnv(t), in)
}

func (m *model) addInternal(env directory.ID, in directory.NewAccess) {
	email := in.Email
	id := m.holder(email)
	x := m.accesses[pair{id, env}]
	a, made, err := m.svc.AddInternal(m.ctx, administrator(env), env, in)
	switch {
	case id.IsZero() && m.managed(email):
		m.want(err, directory.ReadOnly, false)
		return
	case x != nil && x.active:
		m.want(err, directory.Conflict, false)
		return
	}
	m.want(err, fine, true)
	if made != id.IsZero() || !made && a.AccountID != id {
		m.Fatalf("made %v: %+v", made, a)
	}
	if made {
		m.accounts[a.AccountID] = &modelAccount{userName: email, name: in.Name, email: email}
		if in.Password != "" {
			m.logins[a.AccountID] = true
		}
	}
	switch {
	case x != nil:
		x.active = true
	case len(in.Menus) == 0:
		m.accesses[pair{a.AccountID, env}] = &modelAccess{active: true, menus: m.set[env].DefaultMenus}
	default:
		m.accesses[pair{a.AccountID, env}] = &modelAccess{active: true, menus: in.Menus}
	}
}

// accessesOf lists the accesses of internal users, or of all.
func (m *model) accessesOf(internal bool) []pair {
	all := slices.SortedFunc(maps.Keys(m.accesses), func(a, b pair) int {
		return slices.Compare(cat(a.account, a.env), cat(b.account, b.env))
	})
	return slices.DeleteFunc(all, func(p pair) bool { return internal && !m.accounts[p.account].tenant.IsZero() })
}

func (m *model) SetAccess(t *rapid.T) {
	account, env := m.drawAccount(t), m.drawEnv(t)
	if all := m.accessesOf(rapid.IntRange(0, 2).Draw(t, "internal") > 0); len(all) > 0 && !rarely(t) {
		p := rapid.SampledFrom(all).Draw(t, "access")
		account, env = p.account, p.env
	}
	var in directory.AccessInput
	if rapid.Bool().Draw(t, "set active") {
		in.Active = new(rapid.Bool().Draw(t, "active"))
	}
	if rapid.Bool().Draw(t, "set menus") {
		menus := slices.Concat([]string{}, poolMenus.Draw(t, "menus"))
		in.Menus = &menus
	}
	by := operator
	if rapid.Bool().Draw(t, "administrator") {
		by = administrator(env)
	}
	before, admins := m.record(account, env), len(m.administrators(env))
	_, err := m.svc.SetAccess(m.ctx, by, env, account, in)
	switch {
	case before == nil:
		m.want(err, directory.NotFound, false)
		return
	case in.Active != nil && !m.accounts[account].tenant.IsZero():
		m.want(err, directory.ReadOnly, false)
		return
	}
	ends := in.Active != nil && before.Active && !*in.Active
	if ends && by.Role != directory.RoleOperator {
		if m.protected[account] {
			m.want(err, directory.Forbidden, false)
			return
		}
		if m.admins[pair{account, env}] && admins == 1 {
			m.want(err, directory.Conflict, false)
			return
		}
	}
	same := (in.Active == nil || *in.Active == before.Active) && (in.Menus == nil || slices.Equal(*in.Menus, before.Menus))
	if m.want(err, fine, !same); !same {
		m.told(account)
	}
	x := m.accesses[pair{account, env}]
	if in.Active != nil {
		x.active = *in.Active
	}
	if in.Menus != nil {
		x.menus = *in.Menus
	}
	if ends && !m.maySignIn(account) {
		m.leaves(account)
	}
}

// administrators are the accounts with active access that are administrators of an environment, as the store has it.
func (m *model) administrators(env directory.ID) (all []directory.ID) {
	for k := range m.admins {
		if x := m.record(k.account, env); k.env == env && x != nil && x.Active {
			all = append(all, k.account)
		}
	}
	return all
}

// mayHold tells whether an account can get an office: of an external user the object id is known.
func (m *model) mayHold(account directory.ID) bool {
	a := m.accounts[account]
	u := m.users[a.user]
	return a.tenant.IsZero() || u != nil && u.object != ""
}

func (m *model) SetAdministrator(t *rapid.T) {
	account, env, is := m.drawAccount(t), m.drawEnv(t), rapid.IntRange(0, 3).Draw(t, "administrator") > 0
	k, x := pair{account, env}, m.record(account, env)
	_, err := m.svc.SetAdministrator(m.ctx, operator, account, env, is)
	switch {
	case x == nil:
		m.want(err, directory.NotFound, false)
	case m.admins[k] == is:
		m.want(err, fine, false)
	case is && (!x.Active || !m.mayHold(account)):
		m.want(err, directory.Conflict, false)
	default:
		m.done(err)
		if m.admins[k] = is; !is {
			delete(m.admins, k)
		}
	}
}

func (m *model) Protect(t *rapid.T) {
	account, is := m.drawAccount(t), rapid.IntRange(0, 2).Draw(t, "protected") == 0
	_, err := m.svc.ProtectAccount(m.ctx, operator, account, is)
	m.done(err)
	m.protected[account] = is
}

// lastOperator tells whether an operator is the last one with a login.
func (m *model) lastOperator(account directory.ID) bool {
	has, others := false, false
	for id := range m.operators {
		has = has || m.logins[id]
		others = others || m.logins[id] && id != account
	}
	return has && !others
}

func (m *model) SetRoles(t *rapid.T) {
	account, is := m.drawAccount(t), rapid.Bool().Draw(t, "is")
	in, roles := directory.RoleInput{}, m.operators
	if rapid.Bool().Draw(t, "operator") {
		in.Operator = &is
	} else {
		in.Partner, roles = map[directory.ID]bool{m.orgOf[m.envs[0]]: is}, m.partners
	}
	_, err := m.svc.SetRoles(m.ctx, operator, account, in)
	switch {
	case roles[account] == is:
		m.want(err, fine, false)
		return
	case is && !m.mayHold(account), !is && in.Operator != nil && m.lastOperator(account):
		m.want(err, directory.Conflict, false)
		return
	}
	m.done(err)
	if roles[account] = is; !is {
		delete(roles, account)
		m.leaves(account)
	}
}

func (m *model) CreateOperator(t *rapid.T) {
	email := poolInternal.Draw(t, "email")
	id := m.holder(email)
	a, err := m.svc.CreateOperator(m.ctx, operator, email, "Operator")
	if m.operators[id] {
		m.want(err, directory.Conflict, false)
		return
	}
	m.done(err)
	if id.IsZero() {
		m.accounts[a.ID] = &modelAccount{userName: email, name: "Operator", email: email}
	}
	m.operators[a.ID], m.protected[a.ID] = true, true
}

func (m *model) SetPassword(t *rapid.T) {
	account := m.drawAccount(t)
	err := m.svc.SetPassword(m.ctx, operator, account, fmt.Sprint("hash ", m.world.ids.Add(1)))
	switch {
	case !m.accounts[account].tenant.IsZero():
		m.want(err, directory.ReadOnly, false)
	case !m.logins[account] && !m.hasRole(account):
		m.want(err, directory.Conflict, false)
	default:
		m.done(err)
		m.logins[account] = true
		m.leaves(account)
	}
}

func (m *model) RemoveLogin(t *rapid.T) {
	account := m.drawAccount(t)
	err := m.svc.RemoveLogin(m.ctx, operator, account)
	switch {
	case !m.logins[account]:
		m.want(err, directory.NotFound, false)
	case m.operators[account] && m.lastOperator(account):
		m.want(err, directory.Conflict, false)
	default:
		m.done(err)
		delete(m.logins, account)
		m.leaves(account)
	}
}

func (m *model) SetAccount(t *rapid.T) {
	account, email := m.drawAccount(t), poolInternal.Draw(t, "email")
	a, other := m.accounts[account], m.holder(email)
	_, err := m.svc.SetAccount(m.ctx, operator, account, directory.AccountInput{Email: &email})
	switch {
	case !a.tenant.IsZero():
		m.want(err, directory.ReadOnly, false)
	case a.email == email:
		m.want(err, fine, false)
	case !other.IsZero() && other != account:
		m.want(err, directory.Exists, false)
	default:
		m.want(err, fine, true)
		if a.userName == a.email {
			a.userName = email
		}
		a.email = email
	}
}

// Land chooses where somebody lands.
func (m *model) Land(t *rapid.T) {
	account, env := m.drawAccount(t), m.drawEnv(t)
	if rarely(t) {
		env = directory.ID{}
	}
	_, err := m.svc.SetAccount(m.ctx, operator, account, directory.AccountInput{DefaultEnvironment: &env})
	if err != nil && !m.exact && directory.KindOf(err) == directory.Conflict {
		m.want(err, directory.Conflict, false)
		return
	}
	x := m.accesses[pair{account, env}]
	switch {
	case !env.IsZero() && (x == nil || !x.active) && m.exact:
		m.want(err, directory.Conflict, false)
	case m.lands[account] == env:
		m.want(err, fine, false)
	default:
		m.want(err, fine, true)
		m.lands[account] = env
		m.told(account)
	}
}

// SignInByDirectory has somebody come back from a directory with a proof.
func (m *model) SignInByDirectory(t *rapid.T) {
	tenant, n := m.drawTenant(t), rapid.IntRange(1, 3).Draw(t, "object")
	who := directory.Identity{TenantID: tenant, ClientID: "client", ObjectID: objectID(n), Subject: rapid.SampledFrom([]string{object(n), object(n), object(n), "another"}).Draw(t, "subject")}
	secret := fmt.Sprint("session ", len(m.sessions))
	_, err := m.signInWith(who, secret)
	var u *modelUser
	users := 0
	for _, x := range m.users {
		if x.tenant == tenant && x.object == object(n) {
			u = x
			users++
		}
	}
	k := named{tenant, object(n)}
	pinned := m.subjects[k]
	taken := pinned != "" && pinned != who.Subject
	for other, sub := range m.subjects {
		taken = taken || other != k && other.tenant == tenant && sub == who.Subject
	}
	switch {
	case users == 0:
		m.want(err, directory.NotFound, false)
		return
	case users > 1, taken:
		m.want(err, directory.Conflict, false)
		return
	case !u.Active, m.exact && !m.hasAccess(u.account):
		m.want(err, directory.Forbidden, false)
		return
	case err != nil && !m.exact:
		m.want(err, directory.Forbidden, false)
		return
	}
	m.done(err)
	m.subjects[k] = who.Subject
	m.sessions = append(m.sessions, &modelSession{secret: secret, account: u.account, expires: m.clock.Now().Add(8 * time.Hour), alive: true, tenant: tenant})
}

// SignOutByDirectory ends what came of one session at a directory.
func (m *model) SignOutByDirectory(t *rapid.T) {
	if len(m.sessions) == 0 {
		return
	}
	x, tenant := rapid.SampledFrom(m.sessions).Draw(t, "session"), m.drawTenant(t)
	want := 0
	if x.tenant == tenant && x.alive && m.clock.Now().Before(x.expires) {
		want, x.alive = 1, false
	}
	n, err := m.svc.EndDirectorySession(m.ctx, push, tenant, "sid of "+x.secret)
	if n != want {
		m.Errorf("%d sessions have ended, want %d", n, want)
	}
	if want == 0 {
		m.want(err, fine, false)
		return
	}
	m.done(err)
}

// Relink changes whether people sign in with a tenant, and with which directory.
func (m *model) Relink(t *rapid.T) {
	tenant := m.drawTenant(t)
	dir := rapid.SampledFrom([]string{"", object(91), object(92)}).Draw(t, "directory")
	client := ""
	if dir != "" {
		client = rapid.SampledFrom([]string{"", object(81), object(82)}).Draw(t, "client")
	}
	var was directory.Tenant
	_, err := m.svc.SetTenant(m.ctx, operator, tenant, func(x *directory.Tenant) error {
		was = *x
		x.DirectoryID, x.SignIn.ClientID = dir, client
		return nil
	})
	m.done(err)
	if was.DirectoryID == dir && (was.SignIn.ClientID == "" || client != "") {
		return
	}
	for _, x := range m.sessions {
		if x.tenant == tenant {
			x.alive = false
		}
	}
}

// checkByHand compares what was decided by hand.
func (m *model) checkByHand(s *directory.Snapshot, pending bool) {
	for id := range m.accounts {
		a, err := s.Account(id)
		roles, err2 := s.Roles(id)
		login, err3 := s.Login(id)
		if err != nil || err2 != nil || err3 != nil {
			m.Fatalf("%v, %v, %v", err, err2, err3)
		}
		if a.Protected != m.protected[id] || roles.Operator != m.operators[id] || (len(roles.PartnerOf) > 0) != m.partners[id] || (login != nil) != m.logins[id] || a.DefaultEnvironmentID != m.lands[id] {
			m.Errorf("account %+v, %+v, login %v", a, roles, login != nil)
		}
		for _, env := range m.envs {
			if x := must(s.Access(id, env)); (x != nil && x.Administrator) != m.admins[pair{id, env}] {
				m.Errorf("%+v is an administrator's: %v", x, m.admins[pair{id, env}])
			}
		}
		land, chosen, err := s.DefaultEnvironment(a)
		if x := m.accesses[pair{id, land}]; err != nil || !pending && (land.IsZero() == m.hasAccess(id) || !land.IsZero() && !x.active) {
			m.Errorf("%s lands in %v, %v", a.UserName, land, err)
		}
		if x := m.accesses[pair{id, m.lands[id]}]; !pending && chosen != (x != nil && x.active) {
			m.Errorf("the choice of %s counts: %v", a.UserName, chosen)
		}
	}
}

// keepsAdministrator makes sure that a repair has left each environment an administrator that had one.
func (m *model) keepsAdministrator(before map[directory.ID][]directory.ID) {
	for env, had := range before {
		if len(had) > 0 && len(m.administrators(env)) == 0 {
			m.Errorf("a pull took the last administrator of an environment")
		}
	}
}

func (m *model) allAdministrators() map[directory.ID][]directory.ID {
	all := map[directory.ID][]directory.ID{}
	for _, env := range m.envs {
		all[env] = m.administrators(env)
	}
	return all
}

// guarded tells whether a repair may be refused because of what was decided by hand about one of the people, and whether
// it must be.
func (m *model) guarded(repairs []*modelRepair, admins map[directory.ID][]directory.ID) (may, must bool) {
	for _, r := range repairs {
		u := m.users[r.user]
		if u == nil {
			continue
		}
		if m.protected[u.account] && (len(r.Leave)+len(r.Out) > 0 || r.update && u.Active && !r.profile.Active) {
			may, must = true, true
		}
		for _, all := range admins {
			may = may || len(all) > 0 && slices.Contains(all, u.account)
		}
	}
	return may, must
}

// refusedByHand handles a repair that was refused because of a protected account or a last administrator.
func (m *model) refusedByHand(err error, repairs []*modelRepair, admins map[directory.ID][]directory.ID) bool {
	may, must := m.guarded(repairs, admins)
	if must && err == nil {
		m.Fatalf("something was taken from a protected account")
	}
	if err == nil || !may || directory.KindOf(err) != directory.Conflict || !strings.Contains(err.Error(), "protected") && !strings.Contains(err.Error(), "last administrator") {
		return false
	}
	m.want(err, directory.Conflict, false)
	return true
}
