package pulltest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

func TestSource(t *testing.T) {
	pulltest.Suite(t, func(_ *testing.T, d *pulltest.Directory) pull.Source { return pulltest.NewSource(d) })
}

func TestConnectedSource(t *testing.T) {
	pulltest.Suite(t, func(t *testing.T, d *pulltest.Directory) pull.Source {
		s, err := pulltest.NewSource(d).Connect(pull.Connection{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// sales is a directory with one group of n people and a device.
func sales(n int) *pulltest.Directory {
	d := pulltest.NewDirectory()
	d.SetGroup(pulltest.GroupID(1), "Sales")
	d.SetOthers(pulltest.GroupID(1), 1)
	for i := 1; i <= n; i++ {
		d.SetPerson(pulltest.NewPerson(i))
		d.Add(pulltest.GroupID(1), pulltest.ID(i))
	}
	return d
}

func count(s pull.Source) (int, pull.Listing, error) {
	n := 0
	l, err := s.Members(context.Background(), pulltest.GroupID(1), false, func(pull.Person) error { n++; return nil })
	return n, l, err
}

func TestErrorsThatWereSet(t *testing.T) {
	s := pulltest.NewSource(sales(5))
	bad := &pull.Error{Class: pull.Throttled, Detail: "later"}
	ctx := t.Context()
	for op, call := range map[pulltest.Op]func() error{
		pulltest.OpConnect: func() error { _, err := s.Connect(pull.Connection{}); return err },
		pulltest.OpGroup:   func() error { _, err := s.Group(ctx, pulltest.GroupID(1)); return err },
		pulltest.OpMembers: func() error { _, _, err := count(s); return err },
		pulltest.OpConfirm: func() error { _, err := s.Confirm(ctx, nil, nil); return err },
		pulltest.OpPerson:  func() error { _, _, err := s.Person(ctx, pulltest.ID(1)); return err },
		pulltest.OpDirect:  func() error { _, err := s.Direct(ctx, pulltest.ID(1), nil); return err },
		pulltest.OpTest: func() error {
			if r := s.Test(ctx, []string{pulltest.GroupID(1)}); !r.OK() {
				return bad
			}
			return nil
		},
	} {
		s.SetError(op, bad)
		if err := call(); !errors.Is(err, bad) {
			t.Errorf("%s: error %v, want the one that was set", op, err)
		}
		s.SetError(op, nil)
		if err := call(); err != nil {
			t.Errorf("%s after the error was taken back: %v", op, err)
		}
		if got := s.Calls(op); got != 2 {
			t.Errorf("%s: %d calls counted, want 2", op, got)
		}
	}
	s.SetGroupError(pulltest.GroupID(1), bad)
	if _, _, err := count(s); !errors.Is(err, bad) {
		t.Errorf("error %v, want that of the group", err)
	}
	if _, err := s.Direct(ctx, pulltest.ID(1), []string{pulltest.GroupID(1)}); !errors.Is(err, bad) {
		t.Errorf("error %v, want that of the group", err)
	}
}

func TestCutMembers(t *testing.T) {
	s := pulltest.NewSource(sales(5))
	bad := &pull.Error{Class: pull.Malformed, Detail: "cut"}
	for cut, want := range map[int]int{0: 0, 3: 3, 5: 5, 9: 5} {
		s.CutMembers(cut, bad)
		if n, _, err := count(s); n != want || !errors.Is(err, bad) {
			t.Errorf("cut after %d: %d people and error %v, want %d and the error", cut, n, err, want)
		}
	}
	s.CutMembers(0, nil)
	if n, _, err := count(s); n != 5 || err != nil {
		t.Errorf("no longer cut: %d people, error %v", n, err)
	}
}

func TestHooks(t *testing.T) {
	d := sales(3)
	s := pulltest.NewSource(d)
	var seen []pulltest.Call
	s.Hook(func(c pulltest.Call) {
		seen = append(seen, c)
		switch {
		case c.When == pulltest.Before:
			d.Add(pulltest.GroupID(1), newcomer(d, 4))
		case c.Delivered == 2:
			d.Add(pulltest.GroupID(1), newcomer(d, 5))
		}
	})
	if n, l, err := count(s); n != 4 || l.People != 4 || l.Others != 1 || err != nil {
		t.Errorf("%d people (%+v, %v); want what was there before, with the change of the first hook", n, l, err)
	}
	if len(seen) != 6 || seen[0].When != pulltest.Before || seen[5].When != pulltest.After || seen[5].Delivered != 4 {
		t.Errorf("hooks called with %+v", seen)
	}
	s.Hook(nil)
	if n, _, _ := count(s); n != 5 {
		t.Errorf("%d people, want the newcomer of the read before", n)
	}
}

func newcomer(d *pulltest.Directory, n int) directory.ID {
	d.SetPerson(pulltest.NewPerson(n))
	return pulltest.ID(n)
}

func TestIndexLag(t *testing.T) {
	d := sales(3)
	s := pulltest.NewSource(d)
	s.Freeze()
	d.Remove(pulltest.GroupID(1), pulltest.ID(1))
	d.Delete(pulltest.ID(2))
	if n, _, err := count(s); n != 3 || err != nil {
		t.Errorf("while the index lags: %d people, error %v; want the 3 of before", n, err)
	}
	got, err := s.Confirm(t.Context(), []directory.ID{pulltest.ID(1), pulltest.ID(2)}, []string{pulltest.GroupID(1)})
	if err != nil || !got[0].Found || len(got[0].Groups) != 0 || got[1].Found {
		t.Errorf("a point read answers %+v (%v), want what is so now", got, err)
	}
	if in, err := s.Direct(t.Context(), pulltest.ID(1), []string{pulltest.GroupID(1)}); err != nil || len(in) != 1 {
		t.Errorf("while the index lags, directly in %v (%v), want the group of before", in, err)
	}
	if _, found, err := s.Person(t.Context(), pulltest.ID(2)); found || err != nil {
		t.Errorf("a person who was deleted: found %t (%v), want what is so now", found, err)
	}
	s.Thaw()
	if n, _, err := count(s); n != 1 || err != nil {
		t.Errorf("once the index has caught up: %d people, error %v; want 1", n, err)
	}
}

func TestConnections(t *testing.T) {
	d := sales(1000)
	s := pulltest.NewSource(d)
	var told pull.Meter
	c, err := s.Connect(pull.Connection{DirectoryID: "t", Meter: func(m pull.Meter) { told.Add(m) }})
	if err != nil {
		t.Fatal(err)
	}
	if s.Open() != 1 || s.Connection().DirectoryID != "t" {
		t.Errorf("%d open, connection %+v", s.Open(), s.Connection())
	}
	_, l, err := count(c)
	if err != nil || l.Pages != 2 {
		t.Errorf("1001 members took %d pages (%v), want 2", l.Pages, err)
	}
	if told != l.Meter || s.Metered() != told {
		t.Errorf("told of %+v, counted %+v; the listing says %+v", told, s.Metered(), l.Meter)
	}
	c.Close()
	c.Close()
	if s.Open() != 0 || s.Calls(pulltest.OpClose) != 1 {
		t.Errorf("after Close %d are open, closed %d times", s.Open(), s.Calls(pulltest.OpClose))
	}
	if _, _, err := count(c); pull.ClassOf(err) != pull.Unavailable || err == nil {
		t.Errorf("used after Close: error %v", err)
	}
}
