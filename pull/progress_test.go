package pull_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// Push is silent once no request of it was seen for longer than SilentAfter, and where it never was there.
func TestPushSilent(t *testing.T) {
	const after = 3 * time.Hour
	for _, tt := range []struct {
		name  string
		never bool
		since time.Duration // the last request of push
		want  bool
	}{
		{"just seen", false, 0, false},
		{"as long ago as may be", false, after, false},
		{"longer ago", false, after + time.Millisecond, true},
		{"never", true, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			scheduled(t, func(w *world) {
				w.o.Settings.SilentAfter = after
				w.r = pull.New(w.o)
				token := must(w.svc.CreateToken(w.ctx, operator, w.tenant, directory.NewToken{Name: "entra", Hash: [32]byte{1}, Hint: "abcd"}))
				if !tt.never { // tokens are noted to the minute: the time of the test begins with one
					if err := w.svc.TouchToken(w.ctx, w.tenant, token.ID, "192.0.2.1"); err != nil {
						t.Fatal(err)
					}
				}
				w.advance(tt.since)
				if run := w.sync(); run.PushSilent != tt.want {
					t.Errorf("silent: %v, want %v", run.PushSilent, tt.want)
				}
			})
		})
	}
}

// How far a run is can be seen in every stage, also of a list that goes on for long.
func TestProgress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(1, 1, 1200)
	var got []string
	var began []time.Time // of the stages
	see := func() {
		for _, s := range must(w.r.Status(w.ctx)) {
			run := must(w.r.Show(w.ctx, s.Running.ID))
			got = append(got, fmt.Sprintf("%s %d/%d", run.Stage, run.Done, run.Total))
			if n := len(began); n == 0 || !began[n-1].Equal(run.StageStarted) {
				began = append(began, run.StageStarted)
			}
		}
	}
	// Hooks stop the run while they look.
	listed := func(at ...int) {
		w.src.Hook(func(c pulltest.Call) {
			if c.Op == pulltest.OpMembers && c.When == pulltest.During && slices.Contains(at, c.Delivered) {
				see()
			}
		})
	}
	want := func(what string, list ...string) {
		t.Helper()
		if !slices.Equal(got, list) {
			t.Errorf("%s: %q, want %q", what, got, list)
		}
		got, began = nil, nil
	}

	listed(499, 700, 1001)
	run := w.sync()
	w.is(run, directory.RunQuarantined)
	want("the first run", "read 0/0", "read 500/0", "read 1000/0")
	if run.Stage != "" || !run.StageStarted.IsZero() {
		t.Errorf("a run that has ended is in stage %q since %s", run.Stage, run.StageStarted)
	}
	w.is(w.allow(run), directory.RunComplete)
	want("after a read that was not applied", "read 0/1200", "read 500/1200", "read 1000/1200")

	// A list that fails is no complete read, and the one before it counts.
	w.src.CutMembers(1150, &pull.Error{Class: pull.Unavailable, Detail: "away"})
	w.is(w.sync(), directory.RunFailed)
	w.src.CutMembers(0, nil)
	got = nil
	w.people(1, 2001, 3000)
	listed(1100, 2100)
	w.is(w.sync(pull.SyncOptions{Preview: true}), directory.RunPreview)
	want("more people than before", "read 1000/1200", "read 2000/2000")
	listed(1100)
	w.is(w.sync(pull.SyncOptions{Preview: true}), directory.RunPreview)
	want("as many as before", "read 1000/2200")

	// Point reads and people who are applied.
	w.leave(1, 2001, 3000)
	w.leave(1, 1, 450)
	w.people(1, 1201, 1230)
	w.integrate(w.env, directory.IntegrationInput{Stops: &directory.Stops{RunCount: 1000, DayCount: 1000}})
	made := 0
	w.onResource(func(directory.Overrides) {
		if made++; made == 1 || made == 21 {
			see()
		}
	})
	w.src.Hook(func(c pulltest.Call) {
		switch {
		case c.Op == pulltest.OpMembers && c.When == pulltest.During && c.Delivered == 500:
			see()
			w.advance(time.Minute)
		case c.Op == pulltest.OpConfirm && c.When == pulltest.Before:
			see()
			w.advance(time.Second)
		}
	})
	run = w.sync()
	w.is(run, directory.RunComplete)
	if len(began) != 3 || began[0].Before(run.Started) || began[1].Sub(began[0]) < time.Minute || began[2].Sub(began[1]) < 3*time.Second {
		t.Errorf("begun at %s, the stages at %s", run.Started, began)
	}
	want("confirm and apply", "read 500/2200", "confirm 0/450", "confirm 200/450", "confirm 400/450", "apply 0/480", "apply 20/480")
	if c := run.Counts; c.People != 780 || c.Create != 30 || c.Revoke != 450 || c.Applied != 480 {
		t.Errorf("%+v", c)
	}
}

// Point reads that fail after some were answered are no evidence, those that were answered neither.
func TestConfirmIsWholeOrNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people(1, 1, 250)
	w.settle()
	w.leave(1, 1, 210)
	w.integrate(w.env, directory.IntegrationInput{Stops: &directory.Stops{RunCount: 1000, DayCount: 1000}})
	w.src.Hook(func(c pulltest.Call) {
		if c.Op == pulltest.OpConfirm && c.When == pulltest.After {
			w.src.SetError(pulltest.OpConfirm, &pull.Error{Class: pull.Unavailable, Detail: "away"})
		}
	})
	run := w.sync()
	w.is(run, directory.RunComplete)
	if n := w.src.Calls(pulltest.OpConfirm); n != 2 || run.Counts.Waiting != 210 || w.activeAccesses(w.env) != 250 {
		t.Errorf("%d requests, %+v, %d accesses", n, run.Counts, w.activeAccesses(w.env))
	}
}

// backwards lists people in the opposite order.
type backwards struct{ pull.Source }

func (b backwards) Members(ctx context.Context, group string, transitive bool, each func(pull.Person) error) (pull.Listing, error) {
	var people []pull.Person
	l, err := b.Source.Members(ctx, group, transitive, func(p pull.Person) error { people = append(people, p); return nil })
	if err != nil {
		return l, err
	}
	slices.Reverse(people)
	for _, p := range people {
		if err := each(p); err != nil {
			return l, err
		}
	}
	return l, nil
}

// One and the same plan has the same lines, in whatever order the directory lists people.
func TestPlanDoesNotDependOnTheOrderOfLists(t *testing.T) {
	t.Parallel()
	w := pushed(t, 40)
	w.leave(1, 1, 3)
	w.people(1, 41, 46)
	for _, n := range []int{44, 45} { // of whom one alone can have it
		setPerson(w, n, func(p *pull.Person) { p.UserPrincipalName = "both@nordwind.example" })
	}
	setPerson(w, 46, func(p *pull.Person) { p.UserPrincipalName = "person40@nordwind.example" })
	setPerson(w, 40, func(p *pull.Person) { p.UserPrincipalName = "person41@nordwind.example" }) // a clash, too
	setPerson(w, 10, func(p *pull.Person) { p.UserPrincipalName = "person11@nordwind.example" })
	setPerson(w, 11, func(p *pull.Person) { p.UserPrincipalName = "person10@nordwind.example" })
	for n := 20; n <= 22; n++ {
		setPerson(w, n, func(p *pull.Person) { p.Enabled = false })
		setPerson(w, n+5, func(p *pull.Person) { p.DisplayName = "Another" })
	}
	first := w.sync(pull.SyncOptions{Preview: true})
	connect := w.o.Connect
	w.o.Connect = func(c pull.Connection) (pull.Source, error) {
		s, err := connect(c)
		return backwards{s}, err
	}
	w.r.Close()
	w.r = pull.New(w.o)
	second := w.sync(pull.SyncOptions{Preview: true})
	a, b := w.items(first), w.items(second)
	if len(a) != 18 || first.Counts.Conflict != 2 {
		t.Errorf("%d lines, %+v:\n%s", len(a), first.Counts, w.show(first))
	}
	for i := range a {
		if x, y := fmt.Sprintf("%+v", a[i]), fmt.Sprintf("%+v", b[i]); x != y {
			t.Fatalf("line %d:\n%s\n%s", i+1, x, y)
		}
	}
}
