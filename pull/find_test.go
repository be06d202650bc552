package pull_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

func (w *world) find(by directory.Actor, text string) ([]pull.Group, error) {
	return w.r.FindGroups(w.ctx, by, w.tenant, text)
}

func TestFindGroups(t *testing.T) {
	w := newWorld(t)
	w.dir.SetGroup(pulltest.GroupID(2), "sales north")
	w.dir.SetGroup(pulltest.GroupID(3), "Stock")
	for text, want := range map[string][]pull.Group{
		" SALES ":                            {{ID: pulltest.GroupID(1), DisplayName: "Sales"}, {ID: pulltest.GroupID(2), DisplayName: "sales north"}},
		strings.ToUpper(pulltest.GroupID(3)): {{ID: pulltest.GroupID(3), DisplayName: "Stock"}},
		pulltest.GroupID(9):                  nil,
		"zzz":                                nil,
	} {
		got, err := w.find(operator, text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: error %v (-want +got):\n%s", text, err, diff)
		}
	}
	for _, text := range []string{"", "  ", "a\nb", strings.Repeat("x", 257)} {
		_, err := w.find(operator, text)
		if directory.KindOf(err) != directory.Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestFindGroupsIsForWhoSetsUp(t *testing.T) {
	w := newWorld(t)
	other := must(w.svc.CreateOrganization(w.ctx, operator, "Nordwind")).ID
	foreign := must(w.svc.CreateEnvironment(w.ctx, operator, other, "Production")).ID
	admin := func(ids ...directory.ID) directory.Actor {
		return directory.Actor{Role: directory.RoleEnvironment, Reach: &directory.Reach{Environments: ids}}
	}
	partner := func(ids ...directory.ID) directory.Actor {
		return directory.Actor{Role: directory.RolePartner, Reach: &directory.Reach{Organizations: ids}}
	}
	for name, c := range map[string]struct {
		by   directory.Actor
		want directory.ErrorKind
	}{
		"operator":                     {operator, directory.Internal},
		"administrator":                {admin(w.env), directory.Internal},
		"administrator of another":     {admin(foreign), directory.NotFound},
		"partner":                      {partner(w.org), directory.Internal},
		"partner of another":           {partner(other), directory.NotFound},
		"partner of another, and user": {directory.Actor{Role: directory.RoleUser}, directory.Forbidden},
	} {
		_, err := w.find(c.by, "Sales")
		if (err == nil) != (c.want == directory.Internal) || err != nil && directory.KindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := w.src.Calls(pulltest.OpFind); n != 3 {
		t.Errorf("the directory was asked %d times", n)
	}
}

func TestFindGroupsWithoutCredential(t *testing.T) {
	w := newWorld(t)
	if err := w.svc.RemoveCredential(w.ctx, operator, w.tenant, pull.CredentialName); err != nil {
		t.Fatal(err)
	}
	_, err := w.find(operator, "Sales")
	var e *directory.Error
	if !errors.As(err, &e) || e.Kind != directory.Invalid || e.Field != "credential" || w.src.Calls(pulltest.OpConnect) != 0 {
		t.Errorf("%v", err)
	}
}

func TestFindGroupsSaysWhatTheDirectorySays(t *testing.T) {
	w := newWorld(t)
	w.src.SetError(pulltest.OpFind, &pull.Error{Class: pull.Permission, Detail: "grant GroupMember.Read.All"})
	_, err := w.find(operator, "Sales")
	var e *directory.Error
	if !errors.As(err, &e) || e.Kind != directory.Unavailable || e.Detail != "grant GroupMember.Read.All" {
		t.Errorf("%v", err)
	}
	w.src.SetError(pulltest.OpFind, nil)
	w.src.Hook(func(pulltest.Call) { panic("of a library") })
	if got, err := w.find(operator, "Sales"); err == nil || got != nil {
		t.Errorf("%v, error %v", got, err)
	}
	w.src.Hook(nil)
	if err := w.svc.UpdatePullState(w.ctx, w.env, func(s *directory.PullState) error { s.NotBefore = w.now().Add(time.Minute); return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := w.find(operator, "Sales"); directory.KindOf(err) != directory.RateLimited {
		t.Errorf("while Graph asked to wait: %v", err)
	}
}

func TestFindGroupsHasABudget(t *testing.T) {
	w := newWorld(t)
	for range 60 {
		if _, err := w.find(operator, "Sales"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.find(operator, "Sales"); directory.KindOf(err) != directory.RateLimited {
		t.Errorf("the 61st: %v", err)
	}
	w.advance(time.Minute)
	if _, err := w.find(operator, "Sales"); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

// A directory that does not answer is waited for five seconds.
func TestFindGroupsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.o.Connect = func(c pull.Connection) (pull.Source, error) {
			s, err := w.src.Connect(c)
			return slow{s}, err
		}
		w.r.Options.Connect = w.o.Connect
		began := time.Now()
		_, err := w.find(operator, "Sales")
		if directory.KindOf(err) != directory.Unavailable || !strings.Contains(err.Error(), "within 5s") || time.Since(began) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		gone, cancel := context.WithCancel(w.ctx)
		cancel()
		if _, err := w.r.FindGroups(gone, operator, w.tenant, "Sales"); !errors.Is(err, context.Canceled) {
			t.Errorf("for somebody who has gone: %v", err)
		}
	})
}

// slow answers a search when its caller gives up.
type slow struct{ pull.Source }

func (s slow) FindGroups(ctx context.Context, _ string, _ int) ([]pull.Group, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
