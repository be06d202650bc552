package directory_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
)

// Lists go either way from any place, through the order of creation and that of names.
func TestListsBothWays(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	people := map[string]directory.ID{s.ada.UserName: s.ada.ID}
	ids := []directory.ID{s.ada.ID}
	for i, name := range []string{"Zoe", "bo", "Érik", "eli"} {
		u := s.createUser(s.fjord, person(name, 10+i))
		people[u.UserName], ids = u.ID, append(ids, u.ID)
	}
	var names []string
	for name := range people {
		names = append(names, s.svc.Fold(name))
	}
	slices.Sort(names)
	byName := make([]directory.ID, len(names))
	for name, id := range people {
		byName[slices.Index(names, s.svc.Fold(name))] = id
	}
	reversed := func(list []directory.ID) []directory.ID {
		list = slices.Clone(list)
		slices.Reverse(list)
		return list
	}
	for what, c := range map[string]struct {
		want []directory.ID
		list func(sn *directory.Snapshot, after, skip int, fn func(directory.ID) bool) error // after: index in want, -1 for none
	}{
		"UsersBefore": {reversed(ids), func(sn *directory.Snapshot, after, skip int, fn func(directory.ID) bool) error {
			var before directory.ID
			if after >= 0 {
				before = reversed(ids)[after]
			}
			return sn.UsersBefore(s.fjord, before, skip, func(u *directory.User) bool { return fn(u.ID) })
		}},
		"UserNames": {byName, func(sn *directory.Snapshot, after, skip int, fn func(directory.ID) bool) error {
			r := directory.NameRange{Skip: skip}
			if after >= 0 {
				r.After = names[after]
			}
			return sn.UserNames(s.fjord, r, func(folded string, id directory.ID) bool {
				if byName[slices.Index(names, folded)] != id {
					t.Errorf("%q is not the name of %s", folded, id)
				}
				return fn(id)
			})
		}},
		"UserNames in reverse": {reversed(byName), func(sn *directory.Snapshot, after, skip int, fn func(directory.ID) bool) error {
			r := directory.NameRange{Skip: skip, Reverse: true}
			if after >= 0 {
				r.After = names[len(names)-1-after]
			}
			return sn.UserNames(s.fjord, r, func(_ string, id directory.ID) bool { return fn(id) })
		}},
	} {
		view(s.world, func(sn *directory.Snapshot) (bool, error) {
			for after := -1; after < len(c.want); after++ {
				for skip := range len(c.want) - after {
					var got []directory.ID
					err := c.list(sn, after, skip, func(id directory.ID) bool { got = append(got, id); return len(got) < 2 })
					want := c.want[min(after+1+skip, len(c.want)):]
					if want = want[:min(2, len(want))]; err != nil || !slices.Equal(got, want) {
						t.Errorf("%s behind %d, past %d: %v, %v, want %v", what, after, skip, got, err, want)
					}
				}
			}
			return true, nil
		})
	}
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		var forward, back, named []directory.ID
		err := sn.Groups(s.fjord, directory.ID{}, 0, func(g *directory.Group) bool { forward = append(forward, g.ID); return true })
		if err == nil {
			err = sn.GroupsBefore(s.fjord, directory.ID{}, 0, func(g *directory.Group) bool { back = append(back, g.ID); return true })
		}
		if err == nil {
			err = sn.GroupNames(s.fjord, directory.NameRange{}, func(_ string, id directory.ID) bool { named = append(named, id); return true })
		}
		if slices.Reverse(back); err != nil || len(forward) < 2 || !slices.Equal(forward, back) || len(named) != len(forward) {
			t.Errorf("groups %v, back %v, by name %v, %v", forward, back, named, err)
		}
		return true, nil
	})
}

// The store has one key for cursors, whoever asks first.
func TestCursorKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var got [16][32]byte
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i] = must(w.service(directory.Limits{}).CursorKey(t.Context(), [32]byte{byte(i + 1)})) })
	}
	wg.Wait()
	for i := range got {
		if got[i] != got[0] || got[i] == ([32]byte{}) {
			t.Errorf("key %d is %x, another one %x", i, got[i], got[0])
		}
	}
	if again := must(w.svc.CursorKey(t.Context(), [32]byte{99})); again != got[0] {
		t.Errorf("the key has become %x", again)
	}
}
