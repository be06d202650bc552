package directory_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
)

// together runs fn as one transaction.
func (w *world) together(fn func(*directory.Batch) error) error { return w.svc.Together(w.ctx, fn) }

// batchSteps are changes of a scene that follow from one another, one of each kind and more.
var batchSteps = []func(*scene, *directory.Batch) error{
	func(s *scene, b *directory.Batch) error {
		_, err := b.CreateUser(push, s.fjord, s.svc.NewID(), userInput(person("bo", 2)))
		return err
	},
	func(s *scene, b *directory.Batch) error {
		_, err := b.CreateGroup(push, s.fjord, directory.ID{}, groupInput("Deck", object(103)), []directory.ID{s.ada.ID})
		return err
	},
	func(s *scene, b *directory.Batch) error { // another group for an access that is there
		_, err := b.UpdateGroup(push, s.fjord, s.crew.ID, func(g *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
			return sameGroup(g), m.Add([]directory.ID{s.ada.ID})
		})
		return err
	},
	func(s *scene, b *directory.Batch) error { // a session ends
		_, err := b.UpdateUser(push, s.fjord, s.ada.ID, func(u *directory.User) (directory.UserInput, error) {
			u.Active = false
			return userInput(u.Profile), nil
		})
		return err
	},
	func(s *scene, b *directory.Batch) error { return b.DeleteGroup(push, s.fjord, s.pilots.ID, nil) },
	func(s *scene, b *directory.Batch) error { // another externalId: Groups to Sync are other groups
		_, err := b.CreateGroup(push, s.fjord, directory.ID{}, groupInput("Pilots again", s.pilotsID), []directory.ID{s.ada.ID})
		return err
	},
	func(s *scene, b *directory.Batch) error {
		_, err := b.UpdateUser(push, s.fjord, s.ada.ID, func(u *directory.User) (directory.UserInput, error) {
			u.Active = true
			return userInput(u.Profile), nil
		})
		return err
	},
	func(s *scene, b *directory.Batch) error { return b.DeleteUser(push, s.fjord, s.ada.ID, nil) },
}

// Several changes of one transaction leave to the byte what the same changes leave one by one: records,
// indexes, accesses, sessions, log lines and events, which say besides that they belong together.
func TestTogetherIsOneByOne(t *testing.T) {
	t.Parallel()
	one, all := newScene(t), newScene(t)
	one.signIn(one.ada.AccountID)
	all.signIn(all.ada.AccountID)
	for i, step := range batchSteps {
		if err := one.together(func(b *directory.Batch) error { return step(one, b) }); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	ended, news, told := all.svc.SessionsEnded(), all.svc.Published(), len(all.outbox())
	err := all.together(func(b *directory.Batch) error {
		for i, step := range batchSteps {
			if err := step(all, b); err != nil {
				t.Errorf("step %d: %v", i, err)
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got := all.dump()
	for k, v := range got {
		if strings.HasPrefix(k, "outbox\x00") {
			got[k] = strings.Replace(v, fmt.Sprintf(`,"first":%d}`, told+1), "}", 1)
		}
	}
	if diff := cmp.Diff(one.dump(), got); diff != "" {
		t.Error(diff)
	}
	if n := len(all.outbox()) - told; n != len(batchSteps) {
		t.Errorf("%d events of %d changes", n, len(batchSteps))
	}
	select {
	case <-ended:
	default:
		t.Error("who waits for the end of sessions is not told")
	}
	select {
	case <-news:
	default:
		t.Error("who waits for events is not told")
	}
	// It is told also where the last change has nothing to tell, and not where none has.
	zoe, in := all.svc.NewID(), userInput(person("zoe", 77))
	for _, anew := range []bool{true, false} {
		news = all.svc.Published()
		err := all.together(func(b *directory.Batch) error {
			if anew {
				if _, err := b.CreateUser(push, all.fjord, zoe, in); err != nil {
					return err
				}
			}
			_, err := b.UpdateUser(push, all.fjord, zoe, func(*directory.User) (directory.UserInput, error) { return in, nil })
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		told := false
		select {
		case <-news:
			told = true
		default:
		}
		if told != anew {
			t.Errorf("a new user %v: told %v", anew, told)
		}
	}
	checkInvariants(all.world)
}

// When one of the changes fails nothing has happened, also where the failure is passed over.
func TestTogetherIsAllOrNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	secret := s.signIn(s.ada.AccountID)
	taken := func(b *directory.Batch) error {
		_, err := b.CreateGroup(push, s.fjord, directory.ID{}, groupInput("Crew", ""), nil)
		return err
	}
	for n := range batchSteps {
		s.unchanged(func() {
			err := s.together(func(b *directory.Batch) error {
				for _, step := range batchSteps[:n] {
					if err := step(s, b); err != nil {
						return err
					}
				}
				if err := taken(b); directory.KindOf(err) != directory.Exists {
					t.Errorf("after %d changes: %v", n, err)
				}
				for i, step := range batchSteps {
					if err := step(s, b); directory.KindOf(err) != directory.Exists {
						t.Errorf("after %d changes and a failed one change %d goes on: %v", n, i, err)
					}
				}
				return nil // passed over
			})
			wantKind(t, err, directory.Exists)
		})
	}
	s.unchanged(func() { // fn itself refuses
		errStop := errors.New("stop")
		err := s.together(func(b *directory.Batch) error {
			if err := batchSteps[3](s, b); err != nil {
				return err
			}
			return errStop
		})
		if !errors.Is(err, errStop) {
			t.Error(err)
		}
	})
	if !s.signedIn(secret) {
		t.Error("the session has ended")
	}
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	s.unchanged(func() {
		if err := s.svc.Together(ctx, func(b *directory.Batch) error { return batchSteps[0](s, b) }); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// Whichever write of a transaction fails, nothing of any of its changes is there.
func TestTogetherFailsAsAWhole(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	failed := 0
	for at := 1; ; at++ {
		before := s.dump()
		s.store.failAt = at
		err := s.together(func(b *directory.Batch) error {
			for _, step := range batchSteps {
				if err := step(s, b); err != nil {
					return err
				}
			}
			return nil
		})
		s.store.failAt = 0
		if err == nil {
			break
		}
		if !errors.Is(err, errWrite) {
			t.Fatal(err)
		}
		failed++
		s.wantDump(before)
	}
	if failed < 50 {
		t.Errorf("%d writes", failed)
	}
}

// A user who is made with an id has that one, and others of the transaction can refer to it.
func TestTogetherWithIDs(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	user, group := s.svc.NewID(), s.svc.NewID()
	err := s.together(func(b *directory.Batch) error {
		u, err := b.CreateUser(push, s.fjord, user, userInput(person("bo", 2)))
		if err != nil {
			return err
		}
		g, err := b.CreateGroup(push, s.fjord, group, groupInput("Deck", object(103)), []directory.ID{user})
		if err == nil && (u.ID != user || g.ID != group) {
			t.Errorf("user %s, group %s", u.ID, g.ID)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if in := view(s.world, func(sn *directory.Snapshot) (bool, error) { return sn.IsMember(s.fjord, group, user) }); !in {
		t.Error("no member")
	}
}

// Every change of a Batch, as the tenant fjord with what belongs to harbor.
func TestBatchIsSealed(t *testing.T) {
	t.Parallel()
	s := newSealed(t)
	acts := map[string]struct {
		do   func(*directory.Batch, directory.ID) error
		want directory.ErrorKind
	}{
		"UpdateUser": {func(b *directory.Batch, tenant directory.ID) error {
			_, err := b.UpdateUser(push, tenant, s.user.ID, func(u *directory.User) (directory.UserInput, error) { return userInput(u.Profile), nil })
			return err
		}, directory.NotFound},
		"DeleteUser": {func(b *directory.Batch, tenant directory.ID) error { return b.DeleteUser(push, tenant, s.user.ID, nil) }, directory.NotFound},
		"CreateUser": {func(b *directory.Batch, tenant directory.ID) error {
			if tenant == s.fjord {
				tenant = number(999)
			}
			_, err := b.CreateUser(push, tenant, s.svc.NewID(), userInput(person("new", 35)))
			return err
		}, directory.NotFound},
		"CreateGroup": {func(b *directory.Batch, tenant directory.ID) error {
			_, err := b.CreateGroup(push, tenant, s.svc.NewID(), groupInput("New", ""), []directory.ID{s.user.ID})
			return err
		}, directory.Invalid},
		"UpdateGroup": {func(b *directory.Batch, tenant directory.ID) error {
			_, err := b.UpdateGroup(push, tenant, s.group.ID, func(g *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
				return sameGroup(g), m.Clear()
			})
			return err
		}, directory.NotFound},
		"DeleteGroup": {func(b *directory.Batch, tenant directory.ID) error {
			return b.DeleteGroup(push, tenant, s.group.ID, nil)
		}, directory.NotFound},
	}
	wantTable(t, reflect.TypeFor[*directory.Batch](), func(name string) bool { return acts[name].do != nil })
	for name, a := range acts {
		s.unchanged(func() {
			err := s.together(func(b *directory.Batch) error { return a.do(b, s.fjord) })
			if directory.KindOf(err) != a.want {
				t.Errorf("%s as another tenant: %v", name, err)
			}
		})
		if name == "DeleteUser" || name == "DeleteGroup" {
			continue // the others need them
		}
		if err := s.together(func(b *directory.Batch) error { return a.do(b, s.harbor) }); err != nil {
			t.Errorf("%s as its own tenant: %v", name, err)
		}
	}
}
