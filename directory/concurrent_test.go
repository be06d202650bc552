package directory_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bizzstream/bizzscim/directory"
)

// 160 parallel additions of one member leave 160 members; those that fail among them change
// nothing.
func TestParallelMembers(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	const people = 160
	ids := s.crowd(t, s.fjord, 1000, people)
	refused := errors.New("refused")
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			if _, err := s.members(s.fjord, s.crew.ID, func(m *directory.Membership) error { return m.Add([]directory.ID{id}) }); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() { // and one that fails, each in another way
			_, err := s.svc.UpdateGroup(s.ctx, push, s.fjord, s.crew.ID, func(g *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
				in := sameGroup(g)
				if err := m.Clear(); err != nil {
					return in, err
				}
				switch i % 4 {
				case 0:
					return in, refused
				case 1:
					return in, m.Add([]directory.ID{s.twin.ID})
				case 2:
					in.DisplayName = " "
				case 3:
					in = groupInput("pilots", "") // taken
				}
				return in, nil
			})
			if err == nil {
				t.Error("accepted")
			}
		})
	}
	wg.Wait()
	n := view(s.world, func(sn *directory.Snapshot) (int64, error) { return sn.MemberCount(s.fjord, s.crew.ID) })
	g := view(s.world, func(sn *directory.Snapshot) (*directory.Group, error) { return sn.Group(s.fjord, s.crew.ID) })
	if n != people || g.Version != people+1 || g.DisplayName != "Crew" {
		t.Errorf("%d members and version %d, want %d and %d", n, g.Version, people, people+1)
	}
	for _, id := range ids {
		u := view(s.world, func(sn *directory.Snapshot) (*directory.User, error) { return sn.User(s.fjord, id) })
		s.wantState(u.AccountID, s.production, "active")
	}
	checkInvariants(s.world)
}

// Of many who provision the same person at once, one succeeds.
func TestParallelCreate(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for i := range 40 {
		wg.Go(func() {
			p := person("bo", 2)
			if i%2 == 0 {
				p.UserName = strings.ToUpper(p.UserName)
			}
			_, err := s.svc.CreateUser(s.ctx, push, s.fjord, userInput(p))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else if directory.KindOf(err) != directory.Exists {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made != 1 {
		t.Errorf("%d were made", made)
	}
	checkInvariants(s.world)
}

// mess does random things with a few users, groups and environments, most of which succeed.
type mess struct {
	*scene
	mu     sync.Mutex
	users  []directory.ID
	groups []directory.ID
}

func (m *mess) pick(r *rand.Rand, from *[]directory.ID) directory.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return (*from)[r.IntN(len(*from))]
}

func (m *mess) keep(to *[]directory.ID, id directory.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	*to = append(*to, id)
}

func (m *mess) step(r *rand.Rand) error {
	tenant := []directory.ID{m.fjord, m.fjord, m.harbor}[r.IntN(3)]
	user, group := m.pick(r, &m.users), m.pick(r, &m.groups)
	object := []string{m.pilotsID, m.crewID, ""}[r.IntN(3)]
	p := person(fmt.Sprint("user", r.IntN(8)), r.IntN(8))
	p.Active = r.IntN(4) > 0
	switch r.IntN(12) {
	case 0, 1:
		u, err := m.svc.CreateUser(m.ctx, push, tenant, userInput(p))
		if err == nil {
			m.keep(&m.users, u.ID)
		}
		return err
	case 2, 3:
		_, err := m.editUser(tenant, user, func(q *directory.Profile) { *q = p })
		return err
	case 4:
		return m.svc.DeleteUser(m.ctx, push, tenant, user, nil)
	case 5:
		g, err := m.svc.CreateGroup(m.ctx, push, tenant, groupInput(fmt.Sprint("group", r.IntN(6)), object), []directory.ID{user})
		if err == nil {
			m.keep(&m.groups, g.ID)
		}
		return err
	case 6, 7, 8:
		_, err := m.members(tenant, group, func(ms *directory.Membership) error {
			switch r.IntN(4) {
			case 0:
				return ms.Remove([]directory.ID{user})
			case 1:
				return ms.Replace([]directory.ID{user, m.pick(r, &m.users)})
			}
			return ms.Add([]directory.ID{user, m.pick(r, &m.groups)}[:1+r.IntN(2)])
		})
		return err
	case 9:
		if r.IntN(3) > 0 {
			_, err := m.svc.UpdateGroup(m.ctx, push, tenant, group, func(*directory.Group, *directory.Membership) (directory.GroupInput, error) {
				return groupInput(fmt.Sprint("group", r.IntN(6)), object), nil
			})
			return err
		}
		return m.svc.DeleteGroup(m.ctx, push, tenant, group, nil)
	case 10:
		on := r.IntN(4) > 0
		in := directory.IntegrationInput{Enabled: &on}
		if on {
			in.TenantID, in.Groups = &m.fjord, []string{[]string{m.pilotsID, m.crewID}[r.IntN(2)]}
		}
		_, _, err := m.svc.SetIntegration(m.ctx, operator, []directory.ID{m.production, m.test}[r.IntN(2)], in)
		return err
	}
	u := m.pick(r, &m.users)
	_, err := m.svc.CreateSession(m.ctx, push, directory.SessionInput{AccountID: u, Hash: secretHash(fmt.Sprint(r.Uint64()))})
	return err
}

// Many do random things at once; whatever the order was, the books balance.
func TestConcurrentChanges(t *testing.T) {
	for _, limits := range []directory.Limits{{}, {InlineRows: 2, StepRows: 1}} {
		t.Run(fmt.Sprint(limits), func(t *testing.T) {
			t.Parallel()
			m := &mess{scene: newScene(t)}
			m.svc = m.service(limits)
			m.users, m.groups = []directory.ID{m.ada.ID, m.twin.ID}, []directory.ID{m.pilots.ID, m.crew.ID}
			stop := make(chan struct{})
			var readers, writers sync.WaitGroup
			readers.Go(func() { // a reader sees no half of a change
				for {
					select {
					case <-stop:
						return
					default:
						m.readAlong(t)
					}
				}
			})
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						if _, err := m.svc.WorkOnce(m.ctx); err != nil {
							t.Error(err)
						}
						m.clock.Advance(time.Second)
					}
				}
			})
			const each = 60
			counts := make([]map[string]int, 8)
			for i := range counts {
				writers.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), 7))
					counts[i] = map[string]int{}
					for range each {
						err := m.step(r)
						switch kind := directory.KindOf(err); {
						case err == nil:
							counts[i]["done"]++
						case kind == directory.Internal || kind == directory.Unavailable:
							t.Error(err)
						default:
							counts[i]["refused"]++
						}
					}
				})
			}
			writers.Wait()
			close(stop)
			readers.Wait()
			done := 0
			for _, c := range counts {
				done += c["done"]
			}
			if done < len(counts)*each/5 {
				t.Errorf("only %d changes were done", done)
			}
			for more := true; more; {
				more = must(m.svc.WorkOnce(m.ctx))
			}
			checkInvariants(m.world)
		})
	}
}

// readAlong compares rows that are only right together.
func (m *mess) readAlong(t *testing.T) {
	waits := m.svc.SessionsEnded()
	for _, account := range []directory.ID{m.ada.AccountID, m.twin.AccountID} {
		var live []*directory.Session
		err := m.svc.View(m.ctx, func(s *directory.Snapshot) (err error) {
			live, err = s.Sessions(account)
			return err
		})
		if err != nil {
			t.Error(err)
		}
		for _, x := range live {
			p, err := m.svc.CheckSession(m.ctx, [32]byte(x.Hash), m.svc.SessionNow())
			if ended := new(directory.SessionEnded); err != nil && !errors.As(err, &ended) || err == nil && (p.Account.Epoch != x.Epoch || len(p.Accesses) == 0) {
				t.Errorf("%+v, %v", p, err)
			}
		}
	}
	select {
	case <-waits:
	default:
	}
	err := m.svc.View(m.ctx, func(s *directory.Snapshot) error {
		for _, tenant := range []directory.ID{m.fjord, m.harbor} {
			users, err := s.UserCount(tenant)
			if err != nil {
				return err
			}
			err = s.Users(tenant, directory.ID{}, 0, func(u *directory.User) bool {
				users--
				a, err := s.Account(u.AccountID)
				if err != nil || a.UserID != u.ID {
					t.Errorf("account %+v, %v of user %v", a, err, u.ID)
				}
				return true
			})
			if err != nil {
				return err
			}
			if users != 0 {
				t.Errorf("%d users are counted and not there", users)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestMain(m *testing.M) {
	// A seed reproduces a failure; files of them would only be committed by mistake.
	if err := flag.Set("rapid.nofailfile", "true"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
