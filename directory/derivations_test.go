package directory_test

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
)

var small = directory.Limits{InlineRows: 10, StepRows: 5}

// manyScene has 100 people in the group that an environment is about to sync.
type manyScene struct {
	*world
	tenant, env  directory.ID
	crew, others *directory.Group // others has the last 10 of crew
	people       []*directory.User
}

const crewID, othersID = "crew", "others"

func newManyScene(t *testing.T, limits directory.Limits) *manyScene {
	t.Helper()
	s := &manyScene{world: newWorldWith(t, limits)}
	org := s.org("Fjord")
	s.tenant, s.env = s.world.tenant("fjord", org), s.world.env(org, "production")
	for _, id := range s.crowd(t, s.tenant, 1000, 100) {
		u := view(s.world, func(sn *directory.Snapshot) (*directory.User, error) { return sn.User(s.tenant, id) })
		s.people = append(s.people, u)
	}
	s.crew = s.createGroup(s.tenant, "Crew", crewID, userIDs(s.people)...)
	s.others = s.createGroup(s.tenant, "Others", othersID, userIDs(s.people[90:])...)
	s.integrate(s.env, s.tenant, "nobody")
	s.finishAll()
	return s
}

func (s *manyScene) finish(run *directory.Derivation) *directory.Derivation {
	s.Helper()
	run, err := s.svc.FinishDerivation(s.ctx, s.env, run.ID, nil)
	if err != nil {
		s.Fatalf("FinishDerivation: %v", err)
	}
	return run
}

// finishAll works on whatever is pending, and returns how many steps that took.
func (w *world) finishAll() (steps int) {
	w.Helper()
	for {
		more, err := w.svc.WorkOnce(w.ctx)
		if err != nil {
			w.Fatalf("WorkOnce: %v", err)
		}
		if !more {
			return steps
		}
		if steps++; steps > 1000 {
			w.Fatalf("the run does not end")
		}
	}
}

func (s *manyScene) count(active bool) int64 {
	return view(s.world, func(sn *directory.Snapshot) (int64, error) { return sn.EnvironmentAccessCount(s.env, active) })
}

func (s *manyScene) wantCount(active, inactive int64) {
	s.Helper()
	if a, i := s.count(true), s.count(false); a != active || i != inactive {
		s.Errorf("%d active and %d inactive accesses, want %d and %d", a, i, active, inactive)
	}
}

func TestRunCompletes(t *testing.T) {
	t.Parallel()
	s := newManyScene(t, small)
	run := s.sync(s.env, crewID)
	if run == nil || run.State != directory.DerivationPending || run.Done != 10 || run.Granted != 10 || run.EnvironmentID != s.env || run.Trigger != "integration" {
		t.Fatalf("run: %+v", run)
	}
	s.wantCount(10, 0)
	checkInvariants(s.world)

	var done []int
	run, err := s.svc.FinishDerivation(s.ctx, s.env, run.ID, func(r *directory.Derivation) { done = append(done, r.Done) })
	if err != nil {
		t.Fatal(err)
	}
	var want []int
	for n := 10; n <= 100; n += 5 {
		want = append(want, n)
	}
	want = append(want, 100) // a step of exactly five cannot know that nobody follows
	if diff := cmp.Diff(want, done); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	if run.State != directory.DerivationComplete || run.Granted != 100 || run.Done != 100 || len(run.Scopes) != 0 || !run.Ended.Equal(s.clock.Now()) || run.Actor != operator {
		t.Errorf("run: %+v", run)
	}
	s.wantCount(100, 0)
	checkInvariants(s.world)

	// Everyone out, by each of the ways, and in again.
	check := func(run *directory.Derivation, active, inactive int64) *directory.Derivation {
		t.Helper()
		if run == nil {
			t.Fatal("no run")
		}
		run = s.finish(run)
		s.wantCount(active, inactive)
		checkInvariants(s.world)
		return run
	}
	if run := check(s.enable(s.env, false), 0, 100); run.Deactivated != 100 || run.Granted+run.Reactivated != 0 {
		t.Errorf("switched off: %+v", run)
	}
	if run := check(s.enable(s.env, true), 100, 0); run.Reactivated != 100 || run.Granted+run.Deactivated != 0 {
		t.Errorf("switched on: %+v", run)
	}
	if run := check(s.sync(s.env, othersID), 10, 90); run.Deactivated != 90 {
		t.Errorf("other groups: %+v", run)
	}
	check(s.sync(s.env, crewID), 100, 0)
	runs := 0
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		return true, sn.Derivations(s.env, func(r *directory.Derivation) bool { runs++; return r.State == directory.DerivationComplete })
	})
	if runs != 6 {
		t.Errorf("%d runs are kept, want 6", runs)
	}
}

// What fits into one transaction is no run that anybody has to wait for.
func TestSmallChangeIsDoneAtOnce(t *testing.T) {
	t.Parallel()
	s := newManyScene(t, directory.Limits{InlineRows: 101, StepRows: 5})
	if run := s.sync(s.env, crewID); run != nil {
		t.Errorf("run: %+v", run)
	}
	s.wantCount(100, 0)
	if n := s.finishAll(); n != 0 {
		t.Errorf("%d steps were left", n)
	}
	checkInvariants(s.world)
}

// While a run is pending, everything else may happen; when it is complete all is as the rules say.
func TestChangesWhileARunIsPending(t *testing.T) {
	t.Parallel()
	other := object(77)
	for _, test := range []struct {
		name   string
		start  func(*manyScene) *directory.Derivation // 100 have access before
		change func(*manyScene)
		active int64
	}{
		{"nothing", func(s *manyScene) *directory.Derivation { return s.sync(s.env, othersID) }, func(*manyScene) {}, 10},
		{"the group that was taken out is deleted", func(s *manyScene) *directory.Derivation { return s.sync(s.env, othersID) },
			func(s *manyScene) { s.deleteGroup(s.crew) }, 10},
		{"members leave the group that was taken out", func(s *manyScene) *directory.Derivation { return s.sync(s.env, othersID) },
			func(s *manyScene) { s.remove(s.crew, s.people[40], s.people[80], s.people[0]) }, 10},
		{"the group that was taken out is cleared", func(s *manyScene) *directory.Derivation { return s.sync(s.env, othersID) },
			func(s *manyScene) { s.updateGroup(s.crew, (*directory.Membership).Clear) }, 10},
		{"the group that was taken out gets another externalId", func(s *manyScene) *directory.Derivation { return s.sync(s.env, othersID) },
			func(s *manyScene) { s.renameGroup(s.crew, "Crew", other) }, 10},
		{"the groups are swapped by their externalIds", func(s *manyScene) *directory.Derivation { return s.sync(s.env, othersID) },
			func(s *manyScene) { s.renameGroup(s.others, "Others", ""); s.renameGroup(s.crew, "Crew", othersID) }, 100},
		{"people are disabled", func(s *manyScene) *directory.Derivation { return s.sync(s.env, othersID) },
			func(s *manyScene) {
				for _, i := range []int{0, 50, 89, 95} {
					s.setActive(s.people[i], false)
				}
			}, 9},
		{"people are deleted", func(s *manyScene) *directory.Derivation { return s.sync(s.env, othersID) },
			func(s *manyScene) {
				for _, i := range []int{0, 50, 89, 95} {
					s.deleteUser(s.people[i])
				}
			}, 9},
		{"people are deleted and provisioned again", func(s *manyScene) *directory.Derivation { return s.sync(s.env, othersID) },
			func(s *manyScene) {
				for _, i := range []int{50, 95} {
					s.deleteUser(s.people[i])
					s.createUser(s.tenant, s.people[i].Profile)
				}
			}, 9},
		{"the group is set back", func(s *manyScene) *directory.Derivation { return s.sync(s.env, othersID) },
			func(s *manyScene) { s.sync(s.env, crewID) }, 100},
		{"nothing is synced any more", func(s *manyScene) *directory.Derivation { return s.sync(s.env, othersID) },
			func(s *manyScene) { s.sync(s.env, other) }, 0},
		{"it is switched off as well", func(s *manyScene) *directory.Derivation { return s.sync(s.env, othersID) },
			func(s *manyScene) { s.enable(s.env, false) }, 0},
		{"switched off: the group is deleted", func(s *manyScene) *directory.Derivation { return s.enable(s.env, false) },
			func(s *manyScene) { s.deleteGroup(s.crew) }, 0},
		{"switched off: switched on again", func(s *manyScene) *directory.Derivation { return s.enable(s.env, false) },
			func(s *manyScene) { s.enable(s.env, true) }, 100},
		{"switched off: people come and go", func(s *manyScene) *directory.Derivation { return s.enable(s.env, false) },
			func(s *manyScene) {
				s.remove(s.crew, s.people[99])
				s.add(s.others, s.people[0])
				s.setActive(s.people[50], false)
				s.setActive(s.people[50], true)
			}, 0},
		{"another group comes in", func(s *manyScene) *directory.Derivation { return s.sync(s.env, othersID) },
			func(s *manyScene) {
				s.createGroup(s.tenant, "New", other, userIDs(s.people[:30])...)
				s.sync(s.env, othersID, other)
			}, 40},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newManyScene(t, small)
			s.finish(s.sync(s.env, crewID))
			run := test.start(s)
			for range 3 { // half-way
				must(s.svc.WorkOnce(s.ctx))
			}
			if s.count(true) == 100 || s.count(true) == 0 {
				t.Fatalf("the run is not half-way: %d", s.count(true))
			}
			test.change(s)
			checkInvariants(s.world)
			s.finishAll()
			s.wantCount(test.active, s.count(false))
			checkInvariants(s.world)
			if run := s.finish(run); run.State != directory.DerivationComplete {
				t.Errorf("run: %+v", run)
			}
		})
	}
}

// A run that a process left half-way is finished by the next one on the same file.
func TestRunIsResumed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "directory.db")
	s := newManyScene(t, small)
	first := openStore(t, path)
	moved := worldOn(s.ctx, t, first, small)
	moved.ids = s.ids
	copyStore(t, s.store, first)
	s.world = moved
	run := s.sync(s.env, crewID)
	for range 4 {
		must(s.svc.WorkOnce(s.ctx))
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	second := openStore(t, path)
	t.Cleanup(func() {
		if err := second.Close(); err != nil {
			t.Error(err)
		}
	})
	s.world = worldOn(s.ctx, t, second, small)
	s.wantCount(30, 0)
	ctx, cancel := context.WithCancel(s.ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.svc.WorkDerivations(ctx, func(err error) { t.Error(err) })
	}()
	waitFor(t, func() bool { return s.count(true) == 100 })
	// The worker that has nothing to do hears of the next run.
	for i := range 6 {
		waitFor(t, func() bool { return !s.isPending() })
		if s.sync(s.env, []string{othersID, crewID}[i%2]) == nil {
			t.Error("no run")
		}
	}
	waitFor(t, func() bool { return !s.isPending() })
	cancel()
	<-stopped
	s.wantCount(100, 0)
	if run := s.finish(run); run.Granted != 100 {
		t.Errorf("run: %+v", run)
	}
	checkInvariants(s.world)
}

func (s *manyScene) isPending() (is bool) {
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		return true, sn.Derivations(s.env, func(r *directory.Derivation) bool { is = r.State == directory.DerivationPending; return !is })
	})
	return is
}

// copyStore copies every row, so that a test can go on in a file of its own.
func copyStore(t *testing.T, from, to *strictStore) {
	t.Helper()
	err := from.Store.View(t.Context(), func(r directory.Reader) error {
		return to.Store.Update(t.Context(), func(w directory.Writer) error {
			for _, table := range directory.Tables {
				rows := map[string]string{}
				err := r.Scan(table, directory.Range{}, func(k, v []byte) bool { rows[string(k)] = string(v); return true })
				if err != nil {
					return err
				}
				for k, v := range rows {
					if err := w.Put(table, []byte(k), []byte(v)); err != nil {
						return err
					}
				}
				if n := len(rows); table.Name == "outbox" || table.Name == "audit" || table.Name == "log" {
					for range n {
						if _, err := w.NextSequence(table); err != nil {
							return err
						}
					}
				}
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// waitFor waits for what another goroutine does.
func waitFor(t *testing.T, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for tick := time.NewTicker(time.Millisecond); !is(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}

// Each step is one transaction; one that fails is as if it had not been.
func TestRunStepFails(t *testing.T) {
	t.Parallel()
	s := newManyScene(t, small)
	run := s.sync(s.env, crewID)
	broken := errors.New("broken")
	s.unchanged(func() {
		s.store.fail = func() error { return broken }
		defer func() { s.store.fail = nil }()
		if _, err := s.svc.FinishDerivation(s.ctx, s.env, run.ID, nil); !errors.Is(err, broken) {
			t.Error(err)
		}
		reported := make(chan error, 1)
		ctx, cancel := context.WithCancel(s.ctx)
		s.svc.WorkDerivations(ctx, func(err error) { reported <- err; cancel() })
		if err := <-reported; !errors.Is(err, broken) {
			t.Error(err)
		}
	})
	s.finish(run)
	s.wantCount(100, 0)
}

// Two that finish the same run do not get into each other's way.
func TestTwoFinishOneRun(t *testing.T) {
	t.Parallel()
	s := newManyScene(t, small)
	run := s.sync(s.env, crewID)
	other := s.service(small)
	_, err := s.svc.FinishDerivation(s.ctx, s.env, run.ID, func(r *directory.Derivation) {
		if r.Done >= 50 && r.State == directory.DerivationPending {
			must(other.FinishDerivation(s.ctx, s.env, run.ID, nil))
		}
	})
	if err != nil {
		t.Error(err)
	}
	s.wantCount(100, 0)
	checkInvariants(s.world)
}

// A worker that another one has overtaken between reading and writing changes nothing.
func TestWorkerIsOvertaken(t *testing.T) {
	t.Parallel()
	s := newManyScene(t, small)
	run := s.sync(s.env, crewID)
	var before map[string]string
	s.store.meet = func() {
		s.finish(run)
		s.clock.Advance(time.Hour)
		before = s.dump()
	}
	must(s.svc.WorkOnce(s.ctx))
	s.wantDump(before)
}

// A run that ends is left alone by a worker that read of it before.
func TestCompleteRunStays(t *testing.T) {
	t.Parallel()
	s := newManyScene(t, small)
	run := s.finish(s.sync(s.env, crewID))
	s.clock.Advance(time.Hour)
	s.unchanged(func() { s.finish(run) })
	_, err := s.svc.FinishDerivation(s.ctx, s.env, number(999), nil)
	wantKind(t, err, directory.NotFound)
}

// A run ends the sessions of those whom it puts out, step by step.
func TestRunEndsSessions(t *testing.T) {
	t.Parallel()
	s := newManyScene(t, small)
	s.finish(s.sync(s.env, crewID))
	first, last := s.signIn(s.people[0].AccountID), s.signIn(s.people[89].AccountID)
	stays := s.signIn(s.people[95].AccountID)
	s.finish(s.sync(s.env, othersID))
	if s.signedIn(first) || s.signedIn(last) || !s.signedIn(stays) {
		t.Errorf("sessions: %v %v %v, want false false true", s.signedIn(first), s.signedIn(last), s.signedIn(stays))
	}
	ended := 0
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		return true, sn.Log(s.tenant, 0, false, func(e *directory.LogEvent) bool { ended += e.Sessions; return true })
	})
	if ended != 2 {
		t.Errorf("the log tells of %d ended sessions, want 2", ended)
	}
}

// Whom a run has yet to put out cannot sign in meanwhile, unless another environment lets them.
func TestNoSessionAheadOfARun(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, directory.Limits{InlineRows: 1, StepRows: 1})
	org := w.org("Fjord")
	tenant, env, other := w.tenant("fjord", org), w.env(org, "production"), w.env(org, "test")
	var people []*directory.User
	for n, name := range []string{"ada", "bo", "cy", "di"} {
		people = append(people, w.createUser(tenant, person(name, n+1)))
	}
	gone, stays := people[2], people[3]
	w.integrate(env, tenant, crewID)
	w.integrate(other, tenant, othersID)
	w.createGroup(tenant, "Crew", crewID, userIDs(people)...)
	w.createGroup(tenant, "Others", othersID, stays.ID)
	root := must(w.svc.CreateAccount(w.ctx, operator, "root", "root@bizz.example", "Root"))
	(&scene{world: w}).handAccess(root.ID, env)

	run := w.sync(env, "nobody")
	if run == nil {
		t.Fatal("no run is pending")
	}
	refused := func(u *directory.User) {
		t.Helper()
		w.unchanged(func() {
			_, err := w.svc.CreateSession(w.ctx, push, directory.SessionInput{AccountID: u.AccountID, Hash: secretHash("x")})
			wantKind(t, err, directory.Forbidden)
		})
	}
	w.wantState(gone.AccountID, env, "active") // by the flag alone
	w.wantState(stays.AccountID, env, "active")
	refused(gone)
	session := w.signIn(stays.AccountID)
	internal := w.signIn(root.ID) // what was given by hand waits for no run

	if _, err := w.svc.FinishDerivation(w.ctx, env, run.ID, nil); err != nil {
		t.Fatal(err)
	}
	w.wantState(gone.AccountID, env, "inactive")
	w.wantState(stays.AccountID, env, "inactive")
	refused(gone)
	if !w.signedIn(session) || !w.signedIn(internal) {
		t.Error("a session has ended that the run does not concern")
	}
	if run := w.sync(env, crewID); run == nil { // the other way: nobody is let in before their access is
		t.Fatal("no run is pending")
	}
	w.wantState(gone.AccountID, env, "inactive")
	refused(gone)
}

// A session of whom a pending run is to take the access is refused at once. It ends when the run gets there, or by hand; when
// the access is right again before that, it goes on.
func TestSessionsWhileARunIsPending(t *testing.T) {
	t.Parallel()
	s := sceneOn(newWorldWith(t, directory.Limits{InlineRows: 1, StepRows: 1}))
	accounts, secrets := []directory.ID{s.ada.AccountID}, []string{s.signIn(s.ada.AccountID)}
	for i := range 3 {
		u := s.createUser(s.fjord, person("pal"+strconv.Itoa(i), 50+i))
		s.add(s.pilots, u)
		accounts, secrets = append(accounts, u.AccountID), append(secrets, s.signIn(u.AccountID))
	}
	in := func(want ...bool) {
		t.Helper()
		for i, secret := range secrets {
			if got := s.signedIn(secret); got != want[i] {
				t.Errorf("session %d holds: %v", i, got)
			}
		}
	}
	if s.enable(s.production, false) == nil {
		t.Fatal("no run is pending")
	}
	in(false, false, false, false)
	if n := must(s.svc.EndSessions(s.ctx, self(accounts[3]), accounts[3], directory.ID{}, directory.EndedRevoked)); n != 1 {
		t.Errorf("%d sessions have ended", n)
	}
	s.enable(s.production, true)
	in(false, true, true, false) // the first one ended at once: one row is done with the change itself
	s.finishAll()
	in(false, true, true, false)
	s.enable(s.production, false)
	s.finishAll()
	in(false, false, false, false)
	s.enable(s.production, true)
	s.finishAll()
	in(false, false, false, false)
}
