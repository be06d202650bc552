package pull_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// model is a random history of a directory, of its push, and of pulls of two environments.
type model struct {
	*world
	t      *rapid.T
	envs   []directory.ID
	lists  pulltest.State // what lists answer: the directory now, or as it was frozen
	nested bool           // group 3 is within group 1
	frozen bool
	deaf   bool              // point reads fail
	dying  bool              // the process may be stopping: nobody allows anything any more
	pushed map[int]bool      // whom push, or an operator, changed since the run began
	absent []map[int]bool    // by environment: who was missing in the last complete read of it
	lacked []map[[2]int]bool // by environment: which member was missing in which group in the last complete read of it
	trail  []string          // what happened, for the report of a failure
}

const modelPeople, modelGroups = 12, 3

func TestModel(t *testing.T) {
	dir, files := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		files++
		w := openWorld(t.Context(), rt, filepath.Join(dir, fmt.Sprint(files)))
		m := &model{world: w, t: rt, absent: []map[int]bool{{}, {}}, lacked: []map[[2]int]bool{{}, {}}, pushed: map[int]bool{}}
		defer m.close()
		w.dir.SetGroup(pulltest.GroupID(2), "Support")
		w.dir.SetGroup(pulltest.GroupID(3), "Within Sales")
		if m.nested = rapid.Bool().Draw(rt, "nested groups"); m.nested {
			w.dir.Nest(pulltest.GroupID(1), pulltest.GroupID(3))
		}
		m.envs = []directory.ID{w.env, w.newEnv("Finance", w.tenant, 1, 2)}
		for n := 1; n <= modelPeople; n++ {
			w.dir.SetPerson(pulltest.NewPerson(n))
		}
		for range rapid.IntRange(8, 30).Draw(rt, "steps") {
			m.step()
		}
		m.converge()
	})
}

func (m *model) draw(n int, what string) int { return rapid.IntRange(0, n-1).Draw(m.t, what) }
func (m *model) person() int                 { return 1 + m.draw(modelPeople, "person") }

func (m *model) tell(format string, args ...any) {
	m.trail = append(m.trail, fmt.Sprintf(format, args...))
}

func (m *model) step() {
	switch k := m.draw(20, "step"); {
	case k < 7:
		m.changeDirectory()
	case k < 12:
		m.push()
	case k < 18:
		m.pull(m.draw(2, "environment"))
	case k == 18:
		m.faults()
	default:
		m.settings()
	}
	m.advance(time.Duration(m.draw(200, "minutes")) * time.Minute)
}

// state of the directory by the rules of the model.

func (m *model) alive(s *pulltest.State, n int) (p pull.Person, ok bool) {
	i := slices.IndexFunc(s.People, func(p pull.Person) bool { return p.ID == pulltest.ID(n) })
	if i < 0 {
		return p, false
	}
	return s.People[i], true
}

func (m *model) in(s *pulltest.State, n, group int) bool {
	i := slices.IndexFunc(s.Groups, func(g pulltest.GroupState) bool { return g.ID == pulltest.GroupID(group) })
	return i >= 0 && slices.Contains(s.Groups[i].People, pulltest.ID(n))
}

// listed reports whether a complete read of an environment's groups finds a person there.
func (m *model) listed(s *pulltest.State, n, env int) bool {
	return m.listedIn(s, n, env, 1) || m.listedIn(s, n, env, 2)
}

// listedIn reports whether it finds the person in one of them.
func (m *model) listedIn(s *pulltest.State, n, env, group int) bool {
	if _, ok := m.alive(s, n); !ok {
		return false
	}
	integration := m.integration(env)
	return slices.Contains(integration.Groups, pulltest.GroupID(group)) &&
		(m.in(s, n, group) || integration.Transitive && m.nested && group == 1 && m.in(s, n, 3))
}

// left reports whether two complete reads of an environment in a row, the one that s was seen by and the one before, lacked a
// member in each group by which the person had access to another: what was told of one group says nothing of others.
func (m *model) left(s *pulltest.State, n, pulled, env int, before membership) bool {
	some := false
	for group := 1; group <= 2; group++ {
		shared := slices.Contains(m.integration(pulled).Groups, pulltest.GroupID(group)) && slices.Contains(m.integration(env).Groups, pulltest.GroupID(group))
		if !shared || !before[group][n] {
			continue
		}
		if !m.lacked[pulled][[2]int{n, group}] || m.listedIn(s, n, pulled, group) {
			return false
		}
		some = true
	}
	return some
}

// entitled is rule 1 by what the directory says.
func (m *model) entitled(s *pulltest.State, n, env int) bool {
	p, ok := m.alive(s, n)
	return ok && p.Enabled && m.listed(s, n, env)
}

func (m *model) integration(env int) directory.Integration {
	return view(m.world, func(sn *directory.Snapshot) (directory.Integration, error) {
		e, err := sn.Environment(m.envs[env])
		if err != nil {
			return directory.Integration{}, err
		}
		return e.Integration, nil
	})
}

func (m *model) changeDirectory() {
	n, group := m.person(), 1+m.draw(modelGroups, "group")
	now := m.dir.State()
	_, alive := m.alive(&now, n)
	switch k := m.draw(13, "change"); {
	case k < 5:
		m.tell("directory: %d joins %d", n, group)
		m.dir.Add(pulltest.GroupID(group), pulltest.ID(n))
	case k < 8:
		m.tell("directory: %d leaves %d", n, group)
		m.dir.Remove(pulltest.GroupID(group), pulltest.ID(n))
	case !alive:
		m.tell("directory: %d is restored", n)
		m.dir.Restore(pulltest.ID(n))
	case k == 8:
		m.tell("directory: %d is deleted", n)
		m.dir.Delete(pulltest.ID(n))
	case k == 9:
		m.tell("directory: %d is enabled or disabled", n)
		setPerson(m.world, n, func(p *pull.Person) { p.Enabled = !p.Enabled })
	case k == 10:
		m.tell("directory: %d has another display name", n)
		setPerson(m.world, n, func(p *pull.Person) { p.DisplayName += "*" })
	case k == 11:
		m.tell("directory: %d is a guest or no more", n)
		setPerson(m.world, n, func(p *pull.Person) { p.Guest = !p.Guest })
	default:
		m.swapNames(n, m.person(), &now)
	}
}

func (m *model) swapNames(a, b int, now *pulltest.State) {
	x, _ := m.alive(now, a)
	y, ok := m.alive(now, b)
	if !ok || a == b {
		return
	}
	m.tell("directory: %d and %d swap their names", a, b)
	setPerson(m.world, a, func(p *pull.Person) { p.UserPrincipalName = y.UserPrincipalName })
	setPerson(m.world, b, func(p *pull.Person) { p.UserPrincipalName = x.UserPrincipalName })
}

// users are the SCIM users that are one person's, by object id or by the nickname that the default
// mapping sends.
func (m *model) users(n int) (all []*directory.User) {
	return view(m.world, func(sn *directory.Snapshot) ([]*directory.User, error) {
		var ids []directory.ID
		err := sn.Users(m.tenant, directory.ID{}, 0, func(u *directory.User) bool { ids = append(ids, u.ID); return true })
		all = nil
		for _, id := range ids {
			u, err := sn.User(m.tenant, id)
			if err != nil {
				return nil, err
			}
			if u.Schemas, u.Attributes = nil, nil; u.ObjectID == pulltest.ID(n) || u.ExternalID == fmt.Sprint("nick", n) {
				all = append(all, u)
			}
		}
		return all, err
	})
}

// push does one thing of push, perhaps late or never told: also what the directory does not say.
func (m *model) push() {
	n, group := m.person(), 1+m.draw(2, "group")
	m.pushed[n] = true
	users := m.users(n)
	now := m.dir.State()
	if len(users) == 0 {
		if p, ok := m.alive(&now, n); ok {
			profile := profileOf(p)
			if m.draw(4, "mapping") == 0 {
				profile.ExternalID = fmt.Sprint("nick", n)
			}
			_, err := m.svc.CreateUser(m.ctx, push, m.tenant, formOf(profile))
			m.tell("push: creates %d as %s (%s): %v", n, profile.UserName, profile.ExternalID, err)
		}
		return
	}
	u := users[0]
	g := m.groupOf(group)
	switch k := m.draw(8, "push"); {
	case k < 3 && g.IsZero():
		m.tell("push: makes group %d with %d", group, n)
		m.pushGroup(group, u.ID)
	case k < 3:
		m.tell("push: puts %d into %d", n, group)
		m.pushAdd(g, u.ID)
	case k == 3 && !g.IsZero():
		m.tell("push: takes %d out of %d", n, group)
		m.pushRemove(g, u.ID)
	case k == 4:
		m.tell("push: %d is active %v", n, !u.Active)
		m.pushUpdate(u.ID, func(p *directory.Profile) { p.Active = !p.Active })
	case k == 5:
		m.tell("push: deletes %d", n)
		m.pushDelete(u.ID)
	case k == 6 && !g.IsZero() && m.draw(4, "rarely") == 0:
		m.tell("push: deletes group %d", group)
		for i := 1; i <= modelPeople; i++ {
			m.pushed[i] = true
		}
		if err := m.svc.DeleteGroup(m.ctx, push, m.tenant, g, nil); err != nil {
			m.Fatalf("DeleteGroup: %v", err)
		}
	case k == 7:
		m.tell("push: %d has another display name", n)
		m.pushUpdate(u.ID, func(p *directory.Profile) { p.Name += "+" })
	}
}

func (m *model) faults() {
	away := &pull.Error{Class: pull.Unavailable, Detail: "away"}
	switch m.draw(5, "fault") {
	case 0:
		m.tell("lists begin to lag")
		m.src.Freeze()
		m.lists, m.frozen = m.dir.State(), true
	case 1:
		m.tell("lists are fresh")
		m.src.Thaw()
		m.frozen = false
	case 2:
		m.deaf = !m.deaf
		m.tell("point reads fail: %v", m.deaf)
		if m.deaf {
			m.src.SetError(pulltest.OpConfirm, away)
		} else {
			m.src.SetError(pulltest.OpConfirm, nil)
		}
	case 3:
		m.tell("a list is cut")
		m.src.CutMembers(m.draw(5, "after"), away)
		m.pull(m.draw(2, "environment"))
		m.src.CutMembers(0, nil)
	case 4:
		m.kill()
	}
}

// kill ends the process in the middle of a run.
func (m *model) kill() {
	env := m.draw(2, "environment")
	ops := []pulltest.Op{pulltest.OpGroup, pulltest.OpMembers, pulltest.OpConfirm}
	op := ops[m.draw(len(ops), "at")]
	m.tell("the process is killed at %s", op)
	closed := make(chan struct{})
	started := false
	m.once(op, pulltest.Before, func() {
		started = true
		go func() { m.r.Close(); close(closed) }()
	})
	m.dying = true
	m.pull(env)
	m.dying = false
	m.src.Hook(nil)
	if started {
		<-closed
	} else {
		m.r.Close()
	}
	if err := m.store.Close(); err != nil {
		m.Fatalf("close: %v", err)
	}
	m.open()
}

func (m *model) settings() {
	env := m.draw(2, "environment")
	yes, no := true, false
	flag := []*bool{&yes, &no}[m.draw(2, "flag")]
	before := m.integration(env)
	change := directory.IntegrationInput{}
	switch k := m.draw(8, "setting"); {
	case !before.Enabled, k == 0:
		change.Enabled = new(!before.Enabled)
	case k == 1:
		change.Hold = flag
	case k == 2:
		change.Transitive = flag
	case k == 3:
		change.Groups = groupIDs([][]int{{1}, {1, 2}, {2}}[m.draw(3, "groups")]...)
	case k == 4:
		change.Stops = &directory.Stops{RunCount: 1 + m.draw(3, "count"), DayCount: 2 + m.draw(5, "day")}
	case k == 5:
		change.Guests = flag
	default:
		m.office(env, k == 6, *flag)
		return
	}
	m.integrate(m.envs[env], change)
	in := m.integration(env)
	m.tell("settings of %d: on %v, groups %v, nested %v, guests %v, hold %v, %+v", env, in.Enabled, in.Groups, in.Transitive, in.Guests, in.Hold, in.Stops)
	if in.Version() != before.Version() {
		m.absent[env], m.lacked[env] = map[int]bool{}, map[[2]int]bool{}
	}
}

// office makes somebody an administrator of an environment, or protects the account, or takes that back.
func (m *model) office(env int, administrator, is bool) {
	n := m.person()
	for _, u := range m.users(n) {
		if administrator {
			_, err := m.svc.SetAdministrator(m.ctx, operator, u.AccountID, m.envs[env], is)
			m.tell("%d is an administrator of %d: %v, %v", n, env, is, err)
			continue
		}
		must(m.svc.ProtectAccount(m.ctx, operator, u.AccountID, is))
		m.tell("%d is protected: %v", n, is)
	}
}

// kept are the people from whom no pull takes anything, and by environment those who are its administrators.
func (m *model) kept() (protected [modelPeople + 1]bool, admins [2][]int) {
	for n := 1; n <= modelPeople; n++ {
		for _, u := range m.users(n) {
			protected[n] = protected[n] || view(m.world, func(sn *directory.Snapshot) (*directory.Account, error) { return sn.Account(u.AccountID) }).Protected
			for env := range admins {
				if a := view(m.world, func(sn *directory.Snapshot) (*directory.Access, error) { return sn.Access(u.AccountID, m.envs[env]) }); a != nil && a.Active && a.Administrator {
					admins[env] = append(admins[env], n)
				}
			}
		}
	}
	return protected, admins
}

// respects makes sure that a pull took nothing from whom it must not.
func (m *model) respects(protected [modelPeople + 1]bool, admins [2][]int, before, after [2][modelPeople + 1]bool) {
	m.Helper()
	_, now := m.kept()
	for env := range before {
		for n := range protected {
			if protected[n] && before[env][n] && !after[env][n] && !m.pushed[n] {
				m.Fatalf("%d is protected and lost the access to %d\n%s", n, env, m.story())
			}
		}
		if len(admins[env]) > 0 && len(now[env]) == 0 && !slices.ContainsFunc(admins[env], func(n int) bool { return m.pushed[n] }) {
			m.Fatalf("a pull took the last administrator of %d\n%s", env, m.story())
		}
	}
}

// pull runs one, sometimes with push in the middle of it, and sometimes allows what waits; then it
// looks whether anybody lost an access without evidence.
func (m *model) pull(env int) {
	if !m.integration(env).Enabled {
		return
	}
	m.pushed = map[int]bool{}
	before, members := m.accesses(), m.members()
	protected, admins := m.kept()
	if m.draw(4, "push meanwhile") == 0 {
		ops := []pulltest.Op{pulltest.OpMembers, pulltest.OpConfirm}
		m.once(ops[m.draw(2, "at")], pulltest.After, m.push)
	}
	run, err := m.r.Sync(m.ctx, operator, m.envs[env], pull.SyncOptions{Preview: m.draw(8, "preview") == 0, Restore: m.draw(12, "restore") == 0})
	if err != nil {
		m.Fatalf("Sync: %v\n%s", err, m.story())
	}
	run = m.wait(run)
	m.tell("pull of %d: %s %+v\n%s", env, run.State, run.Counts, m.show(run))
	if run.Error != nil && run.Error.Class == "internal" {
		m.Fatalf("internal: %s\n%s", m.lines, m.story())
	}
	m.src.Hook(nil)
	m.evidence(env, run, before, members)
	m.respects(protected, admins, before, m.accesses())
	if !m.dying && run.State == directory.RunQuarantined && run.Hash != "" && m.draw(2, "allow") == 0 {
		before, members = m.accesses(), m.members()
		protected, admins = m.kept()
		m.pushed = map[int]bool{}
		run = m.allow(run)
		m.tell("allowed: %s %+v\n%s", run.State, run.Counts, m.show(run))
		m.evidence(env, run, before, members)
		m.respects(protected, admins, before, m.accesses())
	}
}

func (m *model) accesses() (all [2][modelPeople + 1]bool) {
	for env := range all {
		for n := 1; n <= modelPeople; n++ {
			for _, u := range m.users(n) {
				if view(m.world, func(sn *directory.Snapshot) (bool, error) {
					a, err := sn.Access(u.AccountID, m.envs[env])
					return a != nil && a.Active, err
				}) {
					all[env][n] = true
				}
			}
		}
	}
	return all
}

// membership is by group and person.
type membership [3][modelPeople + 1]bool

// members tells who is a member of which group by what push and pulls have left.
func (m *model) members() (in membership) {
	for group := 1; group <= 2; group++ {
		g := m.groupOf(group)
		for n := 1; n <= modelPeople && !g.IsZero(); n++ {
			for _, u := range m.users(n) {
				in[group][n] = in[group][n] || view(m.world, func(sn *directory.Snapshot) (bool, error) { return sn.IsMember(m.tenant, g, u.ID) })
			}
		}
	}
	return in
}

// evidence makes sure that nobody lost an access whom the lists show, or a point read would have.
func (m *model) evidence(pulled int, run *directory.Run, before [2][modelPeople + 1]bool, members membership) {
	m.Helper()
	after, now := m.accesses(), m.dir.State()
	lists := now
	if m.frozen {
		lists = m.lists
	}
	for env := range before {
		for n := 1; n <= modelPeople; n++ {
			if !before[env][n] || after[env][n] || m.pushed[n] {
				continue
			}
			if run.Preview || run.State == directory.RunFailed {
				m.Fatalf("%d lost the access to %d by a run that is %s\n%s", n, env, run.State, m.story())
			}
			twice := m.absent[pulled][n] && !m.listed(&lists, n, pulled)
			shown := m.entitled(&lists, n, env)
			seen := !m.deaf && m.entitled(&now, n, env)
			switch {
			case env == pulled && (shown || seen && !((twice || !members[1][n]) && m.onlyThroughSales(&now, n, env))):
				m.Fatalf("%d lost the access to %d: listed %v, seen %v\n%s", n, env, shown, seen, m.story())
			case env != pulled && !twice && seen:
				m.Fatalf("%d lost the access to %d by a run of %d\n%s", n, env, pulled, m.story())
			case m.deaf && !twice && !(env != pulled && m.left(&lists, n, pulled, env, members)) && !m.absentDisabled(&lists, n):
				m.Fatalf("%d lost the access to %d by one read\n%s", n, env, m.story())
			}
		}
	}
	if run.Preview || run.State == directory.RunFailed || run.State == directory.RunInterrupted {
		return
	}
	for n := 1; n <= modelPeople; n++ {
		m.absent[pulled][n] = !m.listed(&lists, n, pulled)
		for group := 1; group <= 2; group++ {
			m.lacked[pulled][[2]int{n, group}] = members[group][n] && !m.listedIn(&lists, n, pulled, group)
		}
	}
}

// onlyThroughSales: where group 1 has a group within it, a point read cannot tell a direct member
// from one of that; then two lists decide, or one for whom was no member before.
func (m *model) onlyThroughSales(s *pulltest.State, n, env int) bool {
	in := m.integration(env)
	return m.nested && !in.Transitive && !(m.in(s, n, 2) && slices.Contains(in.Groups, pulltest.GroupID(2)))
}

// absentDisabled: that the list says disabled twice is not followed here.
func (m *model) absentDisabled(s *pulltest.State, n int) bool {
	p, ok := m.alive(s, n)
	return ok && !p.Enabled
}

func (m *model) story() string { return strings.Join(m.trail, "\n") }

// converge lets push say everything and one pull of each environment look again: then every access is
// as the rules have it, and the next pulls find nothing to do. Where there are nested groups it takes two:
// who goes from a group to one within it gives the direct membership back with the second.
func (m *model) converge() {
	m.src.Thaw()
	m.src.SetError(pulltest.OpConfirm, nil)
	m.frozen, m.deaf = false, false
	for env, id := range m.envs {
		m.integrate(id, directory.IntegrationInput{Enabled: new(true), Guests: new(true)})
		for n := 1; n <= modelPeople; n++ {
			m.release(n, env)
		}
	}
	m.pushEverything()
	m.tell("push has said everything")
	rounds := 1
	if m.nested {
		rounds = 2
	}
	for range rounds {
		m.accept()
	}
	m.rules()
	for _, run := range m.accept() {
		if run.Counts.Drift() != 0 || run.Counts.Waiting != 0 || run.Counts.Conflict != 0 {
			m.Fatalf("there is still something to do\n%s", m.story())
		}
	}
	m.rules()
}

// release takes back what keeps a pull from taking an access.
func (m *model) release(n, env int) {
	for _, u := range m.users(n) {
		must(m.svc.ProtectAccount(m.ctx, operator, u.AccountID, false))
		if view(m.world, func(sn *directory.Snapshot) (*directory.Access, error) { return sn.Access(u.AccountID, m.envs[env]) }) != nil {
			must(m.svc.SetAdministrator(m.ctx, operator, u.AccountID, m.envs[env], false))
		}
	}
}

// accept pulls each environment once, and allows what waits.
func (m *model) accept() (runs []*directory.Run) {
	for env := range m.envs {
		run := m.syncEnv(m.envs[env])
		if run.State == directory.RunQuarantined {
			run = m.allow(run)
		}
		m.tell("at last, pull of %d: %s %+v\n%s", env, run.State, run.Counts, m.show(run))
		if run.State != directory.RunComplete {
			m.Fatalf("the run is %s %q\n%s", run.State, run.Reasons, m.story())
		}
		runs = append(runs, run)
	}
	return runs
}

// rules makes sure that everybody has access to exactly what the directory says.
func (m *model) rules() {
	now, got := m.dir.State(), m.accesses()
	for env := range m.envs {
		for n := 1; n <= modelPeople; n++ {
			if want := m.entitled(&now, n, env); got[env][n] != want {
				m.Fatalf("%d has access to %d: %v, want %v\n%s", n, env, got[env][n], want, m.story())
			}
		}
	}
}

// pushEverything does what a whole cycle of push does: it knows everybody.
func (m *model) pushEverything() {
	now := m.dir.State()
	users := map[int]directory.ID{}
	for n := 1; n <= modelPeople; n++ {
		p, alive := m.alive(&now, n)
		for i, u := range m.users(n) {
			if !alive || i > 0 {
				m.pushDelete(u.ID)
				continue
			}
			users[n] = u.ID
			m.pushUpdate(u.ID, func(x *directory.Profile) { *x = profileOf(p); x.UserName = fmt.Sprint("free", n) })
		}
	}
	for n := 1; n <= modelPeople; n++ {
		p, alive := m.alive(&now, n)
		switch {
		case !users[n].IsZero():
			m.pushUpdate(users[n], func(x *directory.Profile) { *x = profileOf(p) })
		case alive:
			users[n] = m.pushUser(profileOf(p)).ID
		}
	}
	for group := 1; group <= 2; group++ {
		var ids []directory.ID
		for n := 1; n <= modelPeople; n++ {
			if m.in(&now, n, group) && !users[n].IsZero() {
				ids = append(ids, users[n])
			}
		}
		if g := m.groupOf(group); g.IsZero() {
			m.pushGroup(group, ids...)
		} else {
			m.pushMembers(g, func(x *directory.Membership) error { return x.Replace(ids) })
		}
	}
}
