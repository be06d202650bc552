package directory_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
)

// parallel runs fn for 0 to n-1 from many goroutines, so that commits are shared.
func parallel(t *testing.T, n int, fn func(i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	next := make(chan int)
	for range 64 {
		wg.Go(func() {
			for i := range next {
				if err := fn(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// crowd makes users of a tenant.
func (w *world) crowd(t *testing.T, tenant directory.ID, from, n int) []directory.ID {
	t.Helper()
	ids := make([]directory.ID, n)
	parallel(t, n, func(i int) error {
		u, err := w.svc.CreateUser(w.ctx, push, tenant, userInput(person(fmt.Sprintf("user%d", from+i), from+i)))
		if err == nil {
			ids[i] = u.ID
		}
		return err
	})
	return ids
}

// steps are the changes whose cost must not depend on what exists beside them.
func steps(s *scene) map[string]operations {
	cost := map[string]operations{}
	step := func(name string, fn func()) { cost[name] = s.store.counted(fn) }
	var bo *directory.User
	step("create a user", func() { bo = s.createUser(s.fjord, person("bo", 7)) })
	step("add a member", func() { s.add(s.pilots, bo) })
	step("rename a member", func() {
		s.updateUser(bo, func(p *directory.Profile) { p.Name, p.UserName = "Bo B.", "bo.b@fjord.example" })
	})
	step("disable a member", func() { s.setActive(bo, false) })
	step("enable a member", func() { s.setActive(bo, true) })
	step("remove a member", func() { s.remove(s.pilots, bo) })
	step("disable a user", func() { s.setActive(bo, false) })
	step("enable a user", func() { s.setActive(bo, true) })
	step("add a member again", func() { s.add(s.pilots, bo) })
	step("rename the group", func() { s.renameGroup(s.pilots, "Flyers", s.pilotsID) })
	step("delete a member", func() { s.deleteUser(bo) })
	step("provision again", func() { s.createUser(s.fjord, person("bo", 7)) })
	step("sign in", func() { s.signIn(s.ada.AccountID) })
	return cost
}

func compareCost(t *testing.T, small, large map[string]operations) {
	t.Helper()
	if diff := cmp.Diff(small, large); diff != "" {
		t.Errorf("the cost depends on what exists (-small +large):\n%s", diff)
	}
}

// Deriving costs what changed, not what exists: members of the group.
func TestCostByGroupSize(t *testing.T) {
	t.Parallel()
	cost := func(members int) map[string]operations {
		s := newScene(t)
		ids := s.crowd(t, s.fjord, 1000, members)
		s.updateGroup(s.pilots, func(m *directory.Membership) error { return m.Add(ids) })
		return steps(s)
	}
	compareCost(t, cost(10), cost(5000))
}

// Environments that the person has nothing to do with, of the same tenant and of others.
func TestCostByEnvironments(t *testing.T) {
	t.Parallel()
	cost := func(n int) map[string]operations {
		s := newScene(t)
		on := true
		parallel(t, n, func(i int) error {
			e, err := s.svc.CreateEnvironment(s.ctx, operator, s.org, fmt.Sprintf("env%d", i))
			if err != nil {
				return err
			}
			tenant := []directory.ID{s.fjord, s.harbor}[i%2]
			_, _, err = s.svc.SetIntegration(s.ctx, operator, e.ID, directory.IntegrationInput{Enabled: &on, TenantID: &tenant, Groups: []string{object(5000 + i)}})
			return err
		})
		return steps(s)
	}
	compareCost(t, cost(10), cost(1000))
}

// Users, accounts and groups of the tenant, log lines and events.
func TestCostByTenantSize(t *testing.T) {
	t.Parallel()
	cost := func(n int) map[string]operations {
		s := newScene(t)
		s.crowd(t, s.fjord, 1000, n)
		parallel(t, n, func(i int) error {
			_, err := s.svc.CreateGroup(s.ctx, push, s.fjord, groupInput(fmt.Sprintf("group%d", i), object(5000+i)), nil)
			return err
		})
		return steps(s)
	}
	compareCost(t, cost(10), cost(1000))
}
