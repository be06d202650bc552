package pull_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// signsIn is who asks for a person who signs in.
var signsIn = directory.Actor{Role: directory.RoleSystem, Channel: "auth", RequestID: "request", Address: "192.0.2.1"}

// hire puts a person into the directory and into groups, whom no pull has seen so far.
func (w *world) hire(n int, groups ...int) {
	w.dir.SetPerson(pulltest.NewPerson(n))
	for _, g := range groups {
		w.dir.Add(pulltest.GroupID(g), pulltest.ID(n))
	}
}

// person pulls a person who signs in.
func (w *world) person(n int) (bool, error) {
	return w.r.Person(w.ctx, signsIn, w.tenant, pulltest.ID(n))
}

// pulls makes sure that a person is provisioned on demand.
func (w *world) pulls(n int) {
	w.Helper()
	if provisioned, err := w.person(n); !provisioned || err != nil {
		w.Fatalf("person %d: provisioned %t, error %v\n%s", n, provisioned, err, w.lines)
	}
	if w.userOf(n) == nil {
		w.Fatalf("person %d is said to be provisioned and is not", n)
	}
}

// leaves makes sure that a person is not provisioned on demand, without an error.
func (w *world) leaves(n int) {
	w.Helper()
	if provisioned, err := w.person(n); provisioned || err != nil {
		w.Fatalf("person %d: provisioned %t, error %v", n, provisioned, err)
	}
	if w.userOf(n) != nil {
		w.Fatalf("person %d is provisioned", n)
	}
}

// refuses makes sure that a person is not provisioned on demand, for a reason that names nobody.
func (w *world) refuses(n int, kind directory.ErrorKind, why string) {
	w.Helper()
	runs := len(w.runs(w.env))
	provisioned, err := w.person(n)
	if provisioned || directory.KindOf(err) != kind || !strings.Contains(fmt.Sprint(err), why) {
		w.Fatalf("person %d: provisioned %t, error %v; want %s with %q", n, provisioned, err, kind, why)
	}
	if strings.Contains(err.Error(), "nordwind") {
		w.Errorf("the error names somebody: %v", err)
	}
	if len(w.runs(w.env)) != runs {
		w.Errorf("there is a run of what could not be planned")
	}
}

func (w *world) runs(env directory.ID) (all []*directory.Run) {
	w.Helper()
	return view(w, func(sn *directory.Snapshot) ([]*directory.Run, error) {
		all = nil
		err := sn.Runs(env, func(run *directory.Run) bool { all = append(all, run); return true })
		return all, err
	})
}

func (w *world) log() (all []*directory.LogEvent) {
	w.Helper()
	return view(w, func(sn *directory.Snapshot) ([]*directory.LogEvent, error) {
		all = nil
		err := sn.Log(w.tenant, 0, false, func(e *directory.LogEvent) bool { all = append(all, e); return true })
		return all, err
	})
}

func (w *world) outbox() (all []*directory.OutboxEvent) {
	w.Helper()
	return view(w, func(sn *directory.Snapshot) ([]*directory.OutboxEvent, error) {
		all = nil
		err := sn.Outbox(0, func(e *directory.OutboxEvent) bool { all = append(all, e); return true })
		return all, err
	})
}

// users counts the users of the tenant.
func (w *world) users() int {
	w.Helper()
	return int(view(w, func(sn *directory.Snapshot) (int64, error) { return sn.UserCount(w.tenant) }))
}

// asked counts what was asked of the directory so far.
func (w *world) asked() int {
	return w.src.Calls(pulltest.OpConnect) + w.src.Calls(pulltest.OpConfirm) + w.src.Calls(pulltest.OpDirect) + w.src.Calls(pulltest.OpPerson)
}

func TestPerson(t *testing.T) {
	w := pushed(t, 3)
	before, lists, log, out, runs := w.state(w.env), w.src.Calls(pulltest.OpMembers), len(w.log()), len(w.outbox()), len(w.runs(w.env))
	w.hire(10, 1)
	w.pulls(10)
	w.access(10, true)
	u := w.userOf(10)
	if diff := cmp.Diff(profileOf(pulltest.NewPerson(10)), u.Profile); diff != "" {
		t.Errorf("the user (-want +got):\n%s", diff)
	}

	// A run of its own, which changes nothing of what the pull remembers.
	all := w.runs(w.env)
	if len(all) != runs+1 {
		t.Fatalf("%d runs, there were %d", len(all), runs)
	}
	run := all[0]
	want := &directory.Run{ID: run.ID, EnvironmentID: w.env, TenantID: w.tenant, Trigger: pull.TriggerSignIn, Actor: signsIn, State: directory.RunComplete,
		Done: 1, Total: 1, Started: run.Started, Ended: run.Ended, Requests: 4, Units: 6, PushSilent: true, Counts: directory.Counts{People: 1, Create: 1, Applied: 1}}
	if diff := cmp.Diff(want, run); diff != "" {
		t.Errorf("the run (-want +got):\n%s", diff)
	}
	if run.Started.IsZero() || run.Ended.Before(run.Started) {
		t.Errorf("it ran from %v to %v", run.Started, run.Ended)
	}
	items := w.items(run)
	if len(items) != 1 || items[0].Kind != directory.ItemCreate || items[0].Outcome != directory.OutcomeApplied || items[0].UserID != u.ID ||
		items[0].Reason != "signs in; in a Group to Sync, and not known" || !strings.Contains(items[0].Evidence, "point read") || len(items[0].Accesses) != 1 {
		t.Errorf("items %+v", items)
	}
	if diff := cmp.Diff(before, w.state(w.env)); diff != "" {
		t.Errorf("what the pull remembers (-before +after):\n%s", diff)
	}
	if n := w.src.Calls(pulltest.OpMembers); n != lists {
		t.Errorf("%d lists were read", n-lists)
	}

	// Log and events as of a run.
	lines := w.log()[log:]
	if len(lines) != 1 || lines[0].Action != directory.ActionCreate || lines[0].Actor.RunID != run.ID || lines[0].Actor.Channel != "pull" ||
		lines[0].Actor.RequestID != "request" || lines[0].Reason != items[0].Reason {
		t.Errorf("log %+v", lines)
	}
	var kinds []string
	for _, e := range w.outbox()[out:] {
		kinds = append(kinds, e.Type)
		if e.RunID != run.ID {
			t.Errorf("event %+v is not of the run", e)
		}
	}
	if diff := cmp.Diff([]string{"user.created", "group.updated"}, kinds); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if strings.Contains(w.lines.String(), "nordwind") || strings.Contains(w.lines.String(), "Person 10") {
		t.Error("the operator's log names a person")
	}
	if w.lines.count("run="+run.ID.String()) != 1 {
		t.Errorf("the run is not in the log once:\n%s", w.lines)
	}

	// Once more: the person is there, and nobody asks the directory.
	asked := w.asked()
	w.pulls(10)
	if w.asked() != asked || len(w.runs(w.env)) != runs+1 {
		t.Error("a person who is there was pulled")
	}
	w.nothingToDo()
}

// TestPersonIsLeft: people whom no environment may take. There is no error, and no run.
func TestPersonIsLeft(t *testing.T) {
	for name, act := range map[string]func(*world){
		"unknown to the directory": func(*world) {},
		"in the recycle bin":       func(w *world) { w.hire(10, 1); w.dir.Delete(pulltest.ID(10)) },
		"disabled": func(w *world) {
			w.hire(10, 1)
			setPerson(w, 10, func(p *pull.Person) { p.Enabled = false })
		},
		"in no group":               func(w *world) { w.hire(10) },
		"in a group of no use":      func(w *world) { w.hire(10, 2) },
		"in a nested group":         func(w *world) { w.dir.Nest(pulltest.GroupID(1), pulltest.GroupID(2)); w.hire(10, 2) },
		"a guest":                   func(w *world) { w.hire(10, 1); setPerson(w, 10, func(p *pull.Person) { p.Guest = true }) },
		"the lists do not know yet": func(w *world) { w.src.Freeze(); w.hire(10, 1) },
		"taken out, and the lists do not know": func(w *world) {
			w.hire(10, 1)
			w.src.Freeze()
			w.dir.Remove(pulltest.GroupID(1), pulltest.ID(10))
		},
		"disabled between two requests": func(w *world) {
			w.hire(10, 1)
			w.src.Hook(func(c pulltest.Call) {
				if c.Op == pulltest.OpDirect && c.When == pulltest.After {
					setPerson(w, 10, func(p *pull.Person) { p.Enabled = false })
				}
			})
		},
		"deleted between two requests": func(w *world) {
			w.hire(10, 1)
			w.src.Hook(func(c pulltest.Call) {
				if c.Op == pulltest.OpDirect && c.When == pulltest.After {
					w.dir.Delete(pulltest.ID(10))
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := pushed(t, 3)
			w.dir.SetGroup(pulltest.GroupID(2), "Support")
			act(w)
			runs, asked := len(w.runs(w.env)), w.asked()
			w.leaves(10)
			if w.src.Calls(pulltest.OpConfirm) != 1 {
				t.Error("the directory was not asked")
			}
			if name == "disabled" && w.asked() != asked+2 { // a connection, and one question
				t.Errorf("%d questions", w.asked()-asked-1)
			}
			if len(w.runs(w.env)) != runs {
				t.Error("there is a run")
			}
			w.src.Hook(nil)
		})
	}
}

// TestPersonWithoutARequest: environments whose pull is not at work.
func TestPersonWithoutARequest(t *testing.T) {
	yes, no := true, false
	for name, act := range map[string]func(*world){
		"off":    func(w *world) { w.integrate(w.env, directory.IntegrationInput{Enabled: &no}) },
		"paused": func(w *world) { w.integrate(w.env, directory.IntegrationInput{Paused: &yes}) },
		"another tenant": func(w *world) {
			other := w.newTenant("berg")
			w.integrate(w.env, directory.IntegrationInput{TenantID: &other})
		},
		"other settings":     func(w *world) { w.integrate(w.env, directory.IntegrationInput{Guests: &yes}) },
		"another credential": func(w *world) { w.credential(w.tenant) },
		"a run waits":        func(w *world) { w.leave(1, 1, 11); w.is(w.sync(), directory.RunQuarantined) },
		"no credential": func(w *world) {
			if err := w.svc.RemoveCredential(w.ctx, operator, w.tenant, pull.CredentialName); err != nil {
				w.Fatalf("%v", err)
			}
		},
		"nobody can read": func(w *world) { w.r.Close(); w.o.Connect = nil; w.r = pull.New(w.o) },
	} {
		t.Run(name, func(t *testing.T) {
			w := pushed(t, 30)
			act(w)
			w.hire(40, 1)
			asked := w.asked()
			w.leaves(40)
			if w.asked() != asked {
				t.Errorf("%d requests", w.asked()-asked)
			}
		})
	}
	t.Run("nobody", func(t *testing.T) {
		w := pushed(t, 1)
		asked := w.asked()
		if provisioned, err := w.r.Person(w.ctx, signsIn, w.tenant, directory.ID{}); provisioned || err != nil || w.asked() != asked {
			t.Errorf("the zero object id: %t, %v", provisioned, err)
		}
	})
	t.Run("the first plan", func(t *testing.T) {
		w := newWorld(t)
		w.people(1, 1, 3)
		w.leaves(1)
		if w.asked() != 0 {
			t.Errorf("%d requests before the first run", w.asked())
		}
		run := w.sync()
		w.is(run, directory.RunQuarantined)
		must(w.r.Discard(w.ctx, operator, run.ID, "not now"))
		asked := w.asked()
		w.leaves(1)
		if w.asked() != asked {
			t.Errorf("%d requests before the first plan is allowed", w.asked()-asked)
		}
		w.settle()
		w.hire(10, 1)
		w.pulls(10)
	})
	t.Run("application taken away", func(t *testing.T) {
		w := pushed(t, 1)
		w.hire(40, 1)
		must(w.svc.SetTenant(w.ctx, operator, w.tenant, func(t *directory.Tenant) error { t.Graph.ClientID = ""; return nil }))
		asked := w.asked()
		w.leaves(40)
		if w.asked() != asked {
			t.Errorf("%d requests", w.asked()-asked)
		}
	})
}

func TestPersonOfAGuest(t *testing.T) {
	w := pushed(t, 3)
	yes := true
	w.integrate(w.env, directory.IntegrationInput{Guests: &yes})
	w.settle()
	w.hire(10, 1)
	setPerson(w, 10, func(p *pull.Person) { p.Guest, p.UserPrincipalName = true, "jos_fjord.example#EXT#@nordwind.example" })
	w.pulls(10)
	w.access(10, true)
	if u := w.userOf(10); u.UserName != "jos_fjord.example@nordwind.example" {
		t.Errorf("the guest is called %q", u.UserName)
	}
	w.nothingToDo()
}

// TestPersonOfNestedGroups: who is in a group through another one alone has access where that counts, is no member of the
// group, and has no access by the same group elsewhere.
func TestPersonOfNestedGroups(t *testing.T) {
	w := pushed(t, 3)
	yes := true
	plain := w.newEnv("Plain", w.tenant, 1)
	w.settleEnv(plain)
	w.integrate(w.env, directory.IntegrationInput{Transitive: &yes})
	w.settle()
	w.dir.SetGroup(pulltest.GroupID(2), "Within")
	w.dir.Nest(pulltest.GroupID(1), pulltest.GroupID(2))
	w.hire(10, 2)
	w.hire(11, 1, 2)
	for _, n := range []int{10, 11} {
		w.pulls(n)
		w.access(n, true)
		direct := n == 11
		if w.hasAccess(n, plain) != direct {
			t.Errorf("person %d has access by the group itself: %t", n, !direct)
		}
		member := view(w, func(sn *directory.Snapshot) (bool, error) { return sn.IsMember(w.tenant, w.groupOf(1), w.userOf(n).ID) })
		if member != direct {
			t.Errorf("person %d is a member of the group: %t", n, member)
		}
	}
	w.nothingToDo()
	run := w.syncEnv(plain)
	if w.is(run, directory.RunComplete); run.Counts.Drift() != 0 {
		t.Errorf("the plan of the other environment is not empty:\n%s", w.show(run))
	}
}

// TestPersonIsNotForced: where a run would do more than to make a new person, a sign-in does nothing.
func TestPersonIsNotForced(t *testing.T) {
	name := func(n int) func(*pull.Person) {
		return func(p *pull.Person) { p.UserPrincipalName = pulltest.NewPerson(n).UserPrincipalName }
	}
	for _, test := range []struct {
		name string
		act  func(*world)
		kind directory.ErrorKind
		why  string
	}{
		{"the userName of another", func(w *world) { setPerson(w, 10, name(1)) }, directory.Exists, "userName is that of another user"},
		{"the userName of somebody inactive", func(w *world) {
			w.pushUpdate(w.userOf(1).ID, func(p *directory.Profile) { p.Active = false })
			setPerson(w, 10, name(1))
		}, directory.Exists, "userName is that of another user"},
		{"a user without an object id", func(w *world) {
			p := profileOf(pulltest.NewPerson(10))
			p.ExternalID = "mailnickname"
			w.pushUser(p)
		}, directory.Conflict, "object id is not known"},
		{"an e-mail address of somebody without an object id", func(w *world) {
			p := profileOf(pulltest.NewPerson(10))
			p.ExternalID, p.UserName = "mailnickname", "other@nordwind.example"
			w.pushUser(p)
		}, directory.Conflict, "may be the same person"},
		{"an internal account", func(w *world) {
			must(w.svc.CreateAccount(w.ctx, operator, "intern", "p10@nordwind.example", "Intern"))
		}, directory.Exists, "internal account"},
		{"an internal account of a trusted domain", func(w *world) {
			must(w.svc.SetTenant(w.ctx, operator, w.tenant, func(t *directory.Tenant) error { t.TrustedDomains = []string{"nordwind.example"}; return nil }))
			must(w.svc.CreateAccount(w.ctx, operator, "intern", "p10@nordwind.example", "Intern"))
		}, directory.Exists, "internal account"},
		{"deleted by push", func(w *world) { w.pushDelete(w.pushUser(profileOf(pulltest.NewPerson(10))).ID) }, directory.Conflict, "push has deleted this person"},
		{"the group deleted by push", func(w *world) {
			if err := w.svc.DeleteGroup(w.ctx, push, w.tenant, w.groupOf(1), nil); err != nil {
				w.Fatalf("%v", err)
			}
		}, directory.Conflict, "push deleted"},
		{"no mail to make the userName from", func(w *world) {
			must(w.svc.SetTenant(w.ctx, operator, w.tenant, func(t *directory.Tenant) error { t.Graph.UserName = "mail"; return nil }))
			w.settle()
			setPerson(w, 10, func(p *pull.Person) { p.Mail = "" })
		}, directory.Conflict, "no mail address"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := pushed(t, 3)
			w.hire(10)
			test.act(w)
			w.dir.Add(pulltest.GroupID(1), pulltest.ID(10))
			users, log := w.users(), len(w.log())
			w.refuses(10, test.kind, test.why)
			if w.users() != users || len(w.log()) != log {
				t.Errorf("something was written: %d users, %d lines", w.users()-users, len(w.log())-log)
			}
			if n := w.userOf(1); !n.Active && n.UserName != pulltest.NewPerson(1).UserPrincipalName {
				t.Errorf("somebody was renamed to %s", n.UserName)
			}
		})
	}
}

// TestPersonWhomTheSchemaRefuses: what is found out only when it is applied is in the plan of the run.
func TestPersonWhomTheSchemaRefuses(t *testing.T) {
	w := pushed(t, 3)
	w.hire(10, 1)
	setPerson(w, 10, func(p *pull.Person) { p.DisplayName = "\x00" })
	provisioned, err := w.person(10)
	run := w.runs(w.env)[0]
	if provisioned || directory.KindOf(err) != directory.Conflict || !strings.Contains(err.Error(), run.ID.String()) {
		t.Errorf("provisioned %t, error %v", provisioned, err)
	}
	items := w.items(run)
	if w.is(run, directory.RunComplete); run.Counts.Failed != 1 || len(items) != 1 || items[0].Outcome != directory.OutcomeFailed || !strings.Contains(items[0].Detail, "NUL") {
		t.Errorf("run %+v\n%s", run.Counts, w.show(run))
	}
	if w.userOf(10) != nil {
		t.Error("the person is there")
	}
}

func TestPersonWhileTheDirectoryIsAway(t *testing.T) {
	for _, op := range []pulltest.Op{pulltest.OpConnect, pulltest.OpConfirm, pulltest.OpDirect, pulltest.OpPerson, pulltest.OpGroup} {
		t.Run(string(op), func(t *testing.T) {
			w := pushed(t, 3)
			yes := true
			w.dir.SetGroup(pulltest.GroupID(2), "Empty") // which nobody has made so far
			w.integrate(w.env, directory.IntegrationInput{Groups: groupIDs(1, 2), Periodic: &yes})
			w.settle()
			w.hire(10, 2)
			bad := &pull.Error{Class: pull.Unavailable, Detail: "away"}
			w.src.SetError(op, bad)
			if provisioned, err := w.person(10); provisioned || !errors.Is(err, bad) || w.userOf(10) != nil {
				t.Errorf("provisioned %t, error %v", provisioned, err)
			}
			if w.state(w.env).Failures != 0 {
				t.Error("it counts for the pull")
			}
			w.src.SetError(op, nil)
			w.pulls(10)
			w.access(10, true)
			w.nothingToDo()
		})
	}
	t.Run("panics", func(t *testing.T) {
		w := pushed(t, 3)
		w.hire(10, 1)
		w.src.Hook(func(c pulltest.Call) {
			if c.Op == pulltest.OpPerson {
				panic("the source")
			}
		})
		if provisioned, err := w.person(10); provisioned || err == nil || !strings.Contains(err.Error(), "panic: the source") {
			t.Errorf("provisioned %t, error %v", provisioned, err)
		}
		w.src.Hook(nil)
		w.pulls(10)
	})
}

// TestPersonWaitsAsGraphAsks: what a person's pull is told holds for the runs of the tenant, and the other way round.
func TestPersonWaitsAsGraphAsks(t *testing.T) {
	w := pushed(t, 3)
	other := w.newEnv("Test", w.tenant, 1)
	w.settleEnv(other)
	w.hire(10, 1)
	w.src.SetError(pulltest.OpConfirm, &pull.Error{Class: pull.Throttled, Detail: "busy", RetryAfter: 10 * time.Minute})
	if _, err := w.person(10); pull.ClassOf(err) != pull.Throttled {
		t.Fatalf("error %v", err)
	}
	w.src.SetError(pulltest.OpConfirm, nil)
	asked := w.asked()
	if provisioned, err := w.person(10); provisioned || directory.KindOf(err) != directory.RateLimited || w.asked() != asked {
		t.Errorf("provisioned %t, error %v, %d requests", provisioned, err, w.asked()-asked)
	}
	for _, env := range []directory.ID{w.env, other} {
		if _, err := w.r.Sync(w.ctx, operator, env, pull.SyncOptions{}); directory.KindOf(err) != directory.RateLimited {
			t.Errorf("a run begins: %v", err)
		}
	}
	w.advance(10 * time.Minute)
	w.pulls(10)

	// A shorter wait does not end a longer one.
	w.hire(11, 1)
	w.src.Hook(func(c pulltest.Call) {
		if c.Op == pulltest.OpConfirm && c.When == pulltest.Before {
			long := w.now().Add(time.Hour)
			for _, env := range []directory.ID{w.env, other} {
				if err := w.svc.UpdatePullState(w.ctx, env, func(s *directory.PullState) error { s.NotBefore = long; return nil }); err != nil {
					t.Error(err)
				}
			}
		}
	})
	w.src.SetError(pulltest.OpConfirm, &pull.Error{Class: pull.Throttled, Detail: "busy", RetryAfter: time.Minute})
	if _, err := w.person(11); pull.ClassOf(err) != pull.Throttled {
		t.Fatalf("error %v", err)
	}
	for _, env := range []directory.ID{w.env, other} {
		if left := w.state(env).NotBefore.Sub(w.now()); left < 50*time.Minute {
			t.Errorf("%v are left of an hour", left)
		}
	}
}

// TestPersonBesideARun: a run reads its groups, somebody joins and signs in, and the run goes on. It keeps them, at whatever
// moment that is.
func TestPersonBesideARun(t *testing.T) {
	for _, op := range []pulltest.Op{pulltest.OpGroup, pulltest.OpMembers, pulltest.OpConfirm} {
		for _, when := range []pulltest.When{pulltest.Before, pulltest.After} {
			t.Run(fmt.Sprint(when, " ", op), func(t *testing.T) {
				w := pushed(t, 3)
				w.leave(1, 1, 1) // somebody to ask for
				once := false
				w.src.Hook(func(c pulltest.Call) {
					if c.Op != op || c.When != when || once {
						return
					}
					once = true
					w.hire(10, 1)
					w.pulls(10)
					w.access(10, true)
				})
				run := w.sync()
				w.src.Hook(nil)
				w.is(run, directory.RunComplete)
				if !once {
					t.Fatal("nobody signed in")
				}
				w.access(1, false)
				w.access(10, true)
				if w.users() != 4 {
					t.Errorf("%d users", w.users())
				}
				w.nothingToDo()
			})
		}
	}
}

// TestPersonIsOvertaken: a run, or push, is faster than the pull of a person. It wins.
func TestPersonIsOvertaken(t *testing.T) {
	p := profileOf(pulltest.NewPerson(10))
	for name, test := range map[string]struct {
		act         func(*world)
		provisioned bool
		kind        directory.ErrorKind // of the error where there is none
		active      bool
	}{
		"by a run":                       {func(w *world) { w.is(w.sync(), directory.RunComplete) }, true, 0, true},
		"by push":                        {func(w *world) { w.pushUser(p) }, true, 0, true},
		"by push, with the group":        {func(w *world) { w.pushAdd(w.groupOf(1), w.pushUser(p).ID) }, true, 0, true},
		"by push, which disables":        {func(w *world) { off := p; off.Active = false; w.pushUser(off) }, true, 0, false},
		"by push, which deletes":         {func(w *world) { w.pushDelete(w.pushUser(p).ID) }, false, directory.Conflict, false},
		"by push, with the name":         {func(w *world) { q := p; q.ExternalID = pulltest.ID(77).String(); w.pushUser(q) }, false, directory.Exists, false},
		"by who pauses the environment":  {func(w *world) { yes := true; w.integrate(w.env, directory.IntegrationInput{Paused: &yes}) }, false, directory.Internal, false},
		"by who replaces the credential": {func(w *world) { w.credential(w.tenant) }, false, directory.Internal, false},
		"by who deletes the group": {func(w *world) {
			if err := w.svc.DeleteGroup(w.ctx, push, w.tenant, w.groupOf(1), nil); err != nil {
				w.Errorf("%v", err)
			}
		}, false, directory.Conflict, false},
	} {
		for _, op := range []pulltest.Op{pulltest.OpConfirm, pulltest.OpPerson} {
			t.Run(name+" at "+string(op), func(t *testing.T) {
				w := pushed(t, 3)
				w.hire(10, 1)
				once := false
				w.src.Hook(func(c pulltest.Call) {
					if c.Op == op && c.When == pulltest.After && !once {
						once = true
						test.act(w)
					}
				})
				provisioned, err := w.person(10)
				w.src.Hook(nil)
				if provisioned != test.provisioned || provisioned != (err == nil) || err != nil && directory.KindOf(err) != test.kind {
					t.Fatalf("provisioned %t, error %v", provisioned, err)
				}
				if test.kind == directory.Internal && !provisioned && !errors.Is(err, directory.ErrStale) {
					t.Errorf("error %v", err)
				}
				u := w.userOf(10)
				if (u != nil) != test.provisioned || u != nil && u.Active != test.active {
					t.Errorf("the user is %+v", u)
				}
				made := 0
				for _, e := range w.log() {
					if e.Action == directory.ActionCreate && e.ExternalID == p.ExternalID && e.TargetType == "User" {
						made++
					}
				}
				if test.provisioned && made != 1 {
					t.Errorf("made %d times", made)
				}
			})
		}
	}
}

// TestPersonOvertakenAtTheLastMoment: between the plan and its transaction. The resource is made inside of it.
func TestPersonOvertakenAtTheLastMoment(t *testing.T) {
	for name, test := range map[string]struct {
		act         func(*world)
		provisioned bool
	}{
		"push makes the person":  {func(w *world) { w.pushUser(profileOf(pulltest.NewPerson(10))) }, true},
		"push makes and deletes": {func(w *world) { w.pushDelete(w.pushUser(profileOf(pulltest.NewPerson(10))).ID) }, false},
		"push makes the group":   {func(w *world) { w.pushGroup(2) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := pushed(t, 3)
			w.dir.SetGroup(pulltest.GroupID(2), "Empty")
			w.integrate(w.env, directory.IntegrationInput{Groups: groupIDs(1, 2)})
			w.settle()
			w.hire(10, 2)
			w.r.Close()
			o, once := w.o, sync.Once{}
			o.Resources = func(*directory.Tenant) (pull.Resources, error) {
				return groupHook{before: func() { once.Do(func() { test.act(w) }) }}, nil
			}
			w.r = pull.New(o)
			provisioned, err := w.person(10)
			if provisioned != test.provisioned || provisioned != (err == nil) {
				t.Fatalf("provisioned %t, error %v\n%s", provisioned, err, w.lines)
			}
			if (w.userOf(10) != nil) != test.provisioned {
				t.Errorf("the user is %+v", w.userOf(10))
			}
			if name == "push makes the group" {
				w.access(10, true)
			}
		})
	}
}

// groupHook makes resources of groups after a hook was called: before the transaction that makes the group.
type groupHook struct {
	forms
	before func()
}

func (h groupHook) Group(displayName, externalID string) directory.GroupInput {
	h.before()
	return h.forms.Group(displayName, externalID)
}

// TestPersonOnceAtATime: who signs in in many tabs is one, and others are not held up.
func TestPersonOnceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pushed(t, 3)
		w.hire(10, 1)
		w.hire(11, 1)
		release := make(chan struct{})
		w.src.Hook(func(c pulltest.Call) {
			if c.Op == pulltest.OpConfirm && c.When == pulltest.Before && c.People[0] == pulltest.ID(10) {
				<-release
			}
		})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { w.pulls(10) })
		}
		wg.Go(func() { // one of them goes away; the others get their answer
			ctx, cancel := context.WithCancel(w.ctx)
			cancel()
			if provisioned, err := w.r.Person(ctx, signsIn, w.tenant, pulltest.ID(10)); provisioned || !errors.Is(err, context.Canceled) {
				t.Errorf("provisioned %t, error %v", provisioned, err)
			}
		})
		synctest.Wait()
		if n := w.src.Calls(pulltest.OpConfirm); n != 1 {
			t.Errorf("asked for %d times", n)
		}
		// Who reaches less far does not learn what the others do.
		if provisioned, err := w.r.Person(w.ctx, directory.Actor{Role: directory.RoleEnvironment}, w.tenant, pulltest.ID(10)); provisioned || directory.KindOf(err) != directory.NotFound {
			t.Errorf("beyond reach: provisioned %t, error %v", provisioned, err)
		}
		w.pulls(11)
		close(release)
		wg.Wait()
		if n := w.src.Calls(pulltest.OpConfirm); n != 2 || w.users() != 5 {
			t.Errorf("asked for %d times, %d users", n, w.users())
		}
	})
}

// TestPeopleAtOnce: people of a group that nobody has made so far sign in at the same time. All of them get in.
func TestPeopleAtOnce(t *testing.T) {
	w := pushed(t, 3)
	w.dir.SetGroup(pulltest.GroupID(2), "Empty")
	w.integrate(w.env, directory.IntegrationInput{Groups: groupIDs(1, 2)})
	w.settle()
	for n := 10; n < 30; n++ {
		w.hire(n, 2)
	}
	var wg sync.WaitGroup
	for n := 10; n < 30; n++ {
		wg.Go(func() { w.pulls(n) })
	}
	wg.Wait()
	for n := 10; n < 30; n++ {
		w.access(n, true)
	}
	groups := view(w, func(sn *directory.Snapshot) ([]directory.ID, error) {
		return sn.GroupsByExternalID(w.tenant, pulltest.GroupID(2))
	})
	if len(groups) != 1 {
		t.Errorf("%d groups", len(groups))
	}
	w.nothingToDo()
}

func TestPersonBudget(t *testing.T) {
	w := pushed(t, 3)
	berg := w.newTenant("berg")
	w.settleEnv(w.newEnv("Berg", berg, 2+w.group(2)))
	for n := 100; n < 130; n++ {
		w.leaves(n) // unknown to the directory
	}
	w.hire(10, 1)
	asked := w.asked()
	provisioned, err := w.person(10)
	if provisioned || directory.KindOf(err) != directory.RateLimited || w.asked() != asked {
		t.Errorf("the 31st: provisioned %t, error %v, %d requests", provisioned, err, w.asked()-asked)
	}
	if _, err := w.r.Person(w.ctx, operator, w.tenant, pulltest.ID(10)); directory.KindOf(err) != directory.RateLimited {
		t.Errorf("asked for by an operator: %v", err)
	}
	if provisioned, err := w.person(1); !provisioned || err != nil {
		t.Errorf("somebody who is there: %t, %v", provisioned, err)
	}
	if _, err := w.r.Person(w.ctx, signsIn, berg, pulltest.ID(10)); err != nil {
		t.Errorf("another tenant: %v", err)
	}
	w.advance(59 * time.Second)
	if _, err := w.person(10); directory.KindOf(err) != directory.RateLimited {
		t.Errorf("a little later: %v", err)
	}
	w.advance(time.Second)
	w.pulls(10)
	// A clock that was set back does not lock everybody out.
	for n := 100; n < 129; n++ {
		w.leaves(n)
	}
	w.advance(-time.Hour)
	w.leaves(130)
}

// group makes a group of the directory, and is zero.
func (w *world) group(n int) int {
	w.dir.SetGroup(pulltest.GroupID(n), fmt.Sprint("Group ", n))
	return 0
}

func TestPersonTakesNoLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pushed(t, 3)
		w.r.Close()
		w.o.Settings = pull.Settings{}
		w.r = pull.New(w.o)
		w.hire(10, 1)
		w.src.Hook(func(c pulltest.Call) {
			if c.Op == pulltest.OpDirect && c.When == pulltest.After {
				time.Sleep(10 * time.Second)
			}
		})
		began := time.Now()
		provisioned, err := w.person(10)
		if provisioned || pull.ClassOf(err) != pull.Unavailable || !strings.Contains(err.Error(), "10s") || time.Since(began) != 10*time.Second {
			t.Errorf("after %v: provisioned %t, error %v", time.Since(began), provisioned, err)
		}
		w.src.Hook(func(c pulltest.Call) {
			if c.Op == pulltest.OpDirect && c.When == pulltest.After {
				time.Sleep(9 * time.Second)
			}
		})
		w.pulls(10)
	})
}

func TestPersonWhileTheServerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pushed(t, 3)
		w.hire(10, 1)
		release := make(chan struct{})
		w.src.Hook(func(c pulltest.Call) {
			if c.Op == pulltest.OpConfirm && c.When == pulltest.After {
				<-release
			}
		})
		var wg sync.WaitGroup
		wg.Go(func() {
			if provisioned, err := w.person(10); provisioned || directory.KindOf(err) != directory.Unavailable {
				t.Errorf("provisioned %t, error %v", provisioned, err)
			}
		})
		synctest.Wait()
		wg.Go(w.r.Close)
		synctest.Wait()
		close(release)
		wg.Wait()
		if provisioned, err := w.person(10); provisioned || directory.KindOf(err) != directory.Unavailable {
			t.Errorf("after the end: provisioned %t, error %v", provisioned, err)
		}
		if w.userOf(10) != nil {
			t.Error("the person is there")
		}
	})
}

// TestPersonOfSeveralEnvironments: one user, a run for each environment that has something to do.
func TestPersonOfSeveralEnvironments(t *testing.T) {
	w := pushed(t, 3)
	yes := true
	for n := 2; n <= 4; n++ {
		w.dir.SetGroup(pulltest.GroupID(n), fmt.Sprint("Group ", n))
		w.people(n, 20+n, 20+n)
	}
	second, shared, third, nested := w.newEnv("Second", w.tenant, 2), w.newEnv("Shared", w.tenant, 1), w.newEnv("Third", w.tenant, 3), w.newEnv("Nested", w.tenant, 4)
	w.integrate(nested, directory.IntegrationInput{Transitive: &yes})
	for _, env := range []directory.ID{second, shared, third, nested} {
		w.settleEnv(env)
	}
	w.dir.Nest(pulltest.GroupID(4), pulltest.GroupID(1))
	w.hire(10, 1, 2)
	before := map[directory.ID]int{}
	for _, env := range []directory.ID{w.env, second, shared, third, nested} {
		before[env] = len(w.runs(env))
	}
	users := w.users()
	w.pulls(10)
	if w.users() != users+1 {
		t.Errorf("%d users more", w.users()-users)
	}
	if a, b := w.runs(w.env)[0].Requests, w.runs(second)[0].Requests; a == 0 || b != 0 {
		t.Errorf("the first run has paid %d requests, the second %d", a, b)
	}
	for _, test := range []struct {
		name   string
		env    directory.ID
		access bool
		runs   int
	}{{"first", w.env, true, 1}, {"second", second, true, 1}, {"shared", shared, true, 0}, {"third", third, false, 0}, {"nested", nested, true, 1}} {
		if w.hasAccess(10, test.env) != test.access {
			t.Errorf("%s: access %t", test.name, !test.access)
		}
		if n := len(w.runs(test.env)) - before[test.env]; n != test.runs {
			t.Errorf("%s: %d runs, want %d", test.name, n, test.runs)
		}
		run := w.syncEnv(test.env)
		w.is(run, directory.RunComplete)
		for _, item := range w.items(run) {
			if item.ObjectID == pulltest.ID(10) {
				t.Errorf("%s: the next run has something to do: %+v", test.name, item)
			}
		}
	}
}

// TestPersonOfAnEnvironmentThatFails: one environment does not keep a person out of the others.
func TestPersonOfAnEnvironmentThatFails(t *testing.T) {
	yes := true
	for first := range 2 {
		t.Run(fmt.Sprint(first), func(t *testing.T) {
			w := pushed(t, 3)
			w.group(2)
			w.people(2, 20, 20)
			envs := []directory.ID{w.env, w.newEnv("Second", w.tenant, 2)}
			w.settleEnv(envs[1])
			w.hire(10, 1, 2)
			w.src.Hook(func(c pulltest.Call) {
				if c.Op == pulltest.OpPerson && c.When == pulltest.After {
					w.integrate(envs[first], directory.IntegrationInput{Paused: &yes})
				}
			})
			w.pulls(10)
			if w.hasAccess(10, envs[first]) || !w.hasAccess(10, envs[1-first]) {
				t.Errorf("access to the one that was paused %t, to the other %t", w.hasAccess(10, envs[first]), w.hasAccess(10, envs[1-first]))
			}
			if w.lines.count("not by every run") != 1 {
				t.Errorf("nobody is told:\n%s", w.lines)
			}
		})
	}
}

// TestPersonAndAGroupThatPushDeleted: another environment lets the person in. Push has to bring the group back.
func TestPersonAndAGroupThatPushDeleted(t *testing.T) {
	for _, nested := range []bool{false, true} {
		t.Run(fmt.Sprint("nested ", nested), func(t *testing.T) {
			w := pushed(t, 3)
			w.group(2)
			w.people(2, 20, 20)
			second := w.newEnv("Second", w.tenant, 2)
			w.integrate(second, directory.IntegrationInput{Transitive: &nested})
			w.settleEnv(second)
			if err := w.svc.DeleteGroup(w.ctx, push, w.tenant, w.groupOf(2), nil); err != nil {
				t.Fatal(err)
			}
			if nested {
				w.dir.Nest(pulltest.GroupID(2), pulltest.GroupID(1))
				w.hire(10, 1)
			} else {
				w.hire(10, 1, 2)
			}
			w.pulls(10)
			if !w.hasAccess(10, w.env) || w.hasAccess(10, second) || !w.groupOf(2).IsZero() {
				t.Errorf("access to the first %t, to the second %t, group %v", w.hasAccess(10, w.env), w.hasAccess(10, second), w.groupOf(2))
			}
		})
	}
}

// TestPersonPlanIsKeptFirst: while the transaction makes the person, the run and its plan are there for all to see.
func TestPersonPlanIsKeptFirst(t *testing.T) {
	w := pushed(t, 3)
	w.hire(10, 1)
	w.r.Close()
	o, looked := w.o, 0
	o.Resources = func(*directory.Tenant) (pull.Resources, error) {
		return userHook{before: func() {
			looked++
			run := w.runs(w.env)[0]
			if items := w.items(run); run.State != directory.RunRunning || run.Trigger != pull.TriggerSignIn || len(items) != 1 || items[0].Outcome != directory.OutcomePlanned {
				t.Errorf("run %+v, items %+v", run, items)
			}
		}}, nil
	}
	w.r = pull.New(o)
	w.pulls(10)
	if looked != 1 {
		t.Errorf("looked %d times", looked)
	}
}

// userHook makes resources of users after a hook was called: within the transaction.
type userHook struct {
	forms
	before func()
}

func (h userHook) User(before *directory.User, o directory.Overrides) (directory.UserInput, error) {
	h.before()
	return h.forms.User(before, o)
}

// TestPersonByAnAdministrator: who may ask, for what, and what is told to those who may not.
func TestPersonByAnAdministrator(t *testing.T) {
	w := pushed(t, 3)
	w.dir.SetGroup(pulltest.GroupID(2), "Support")
	w.people(2, 20, 20)
	second := w.newEnv("Second", w.tenant, 2)
	w.settleEnv(second)
	berg := w.newTenant("berg")
	for n := 10; n <= 12; n++ {
		w.hire(n, 1, 2)
	}
	for _, role := range []directory.Role{directory.RoleNone, directory.RoleUser, directory.RoleDirectory} {
		by := directory.Actor{Role: role, Channel: "console", Reach: &directory.Reach{Environments: []directory.ID{w.env}}}
		if provisioned, err := w.r.Person(w.ctx, by, w.tenant, pulltest.ID(10)); provisioned || directory.KindOf(err) != directory.Forbidden {
			t.Errorf("%s: provisioned %t, error %v", role, provisioned, err)
		}
	}
	partner := directory.Actor{Role: directory.RolePartner, Channel: "console", Reach: &directory.Reach{Organizations: []directory.ID{w.org}}}
	if provisioned, err := w.r.Person(w.ctx, partner, w.tenant, pulltest.ID(10)); provisioned || directory.KindOf(err) != directory.Forbidden {
		t.Errorf("a partner who sees the environments: provisioned %t, error %v", provisioned, err)
	}
	partner.Reach.Environments = []directory.ID{w.env}
	_, unknown := w.r.Person(w.ctx, admin(w.env), w.newID(), pulltest.ID(10))
	if directory.KindOf(unknown) != directory.NotFound {
		t.Errorf("a tenant that is not there: %v", unknown)
	}
	for name, by := range map[string]directory.Actor{"of another tenant": admin(w.env), "without reach": {Role: directory.RoleEnvironment},
		"a partner of somebody else": {Role: directory.RolePartner, Reach: &directory.Reach{Organizations: []directory.ID{w.newID()}}}} {
		tenant := w.tenant
		if name == "of another tenant" {
			tenant = berg
		}
		for _, n := range []int{1, 10} { // known or not
			if provisioned, err := w.r.Person(w.ctx, by, tenant, pulltest.ID(n)); provisioned || err == nil || err.Error() != unknown.Error() {
				t.Errorf("%s: provisioned %t, error %v", name, provisioned, err)
			}
		}
	}
	// Within reach.
	if provisioned, err := w.r.Person(w.ctx, admin(second), w.tenant, pulltest.ID(10)); !provisioned || err != nil {
		t.Fatalf("provisioned %t, error %v", provisioned, err)
	}
	if w.hasAccess(10, w.env) || !w.hasAccess(10, second) {
		t.Errorf("access to the first %t, to the second %t; want the second alone", w.hasAccess(10, w.env), w.hasAccess(10, second))
	}
	run := w.runs(second)[0]
	if items := w.items(run); run.Trigger != directory.TriggerManual || run.Actor.ID != "admin" || items[0].Reason != "in a Group to Sync, and not known" {
		t.Errorf("run %+v, items %+v", run, items)
	}
	if provisioned, err := w.r.Person(w.ctx, partner, w.tenant, pulltest.ID(12)); !provisioned || err != nil || !w.hasAccess(12, w.env) || w.hasAccess(12, second) {
		t.Errorf("by a partner who is the administrator of one: provisioned %t, error %v", provisioned, err)
	}
	// An operator reaches all of them.
	if provisioned, err := w.r.Person(w.ctx, operator, w.tenant, pulltest.ID(11)); !provisioned || err != nil || !w.hasAccess(11, w.env) || !w.hasAccess(11, second) {
		t.Errorf("by an operator: provisioned %t, error %v", provisioned, err)
	}
}

// TestRunsBeyondReach: an administrator begins, cancels and decides about runs of its own environments alone; others are
// as if they were not there.
func TestRunsBeyondReach(t *testing.T) {
	w := pushed(t, 30)
	other := must(w.svc.CreateEnvironment(w.ctx, operator, w.org, "Other")).ID
	w.leave(1, 1, 11)
	run := w.sync()
	w.is(run, directory.RunQuarantined)
	outside := admin(other)
	calls := func(by directory.Actor, env, run directory.ID, hash string) map[string]error {
		_, sync := w.r.Sync(w.ctx, by, env, pull.SyncOptions{Preview: true})
		_, cancel := w.r.Cancel(w.ctx, by, run)
		_, allow := w.r.Allow(w.ctx, by, run, hash, "right")
		_, discard := w.r.Discard(w.ctx, by, run, "wrong")
		return map[string]error{"sync": sync, "cancel": cancel, "allow": allow, "discard": discard}
	}
	missing := calls(outside, w.newID(), w.newID(), run.Hash)
	for name, err := range calls(outside, w.env, run.ID, run.Hash) {
		if directory.KindOf(err) != directory.NotFound || err.Error() != missing[name].Error() {
			t.Errorf("%s beyond reach: %v; of what is not there: %v", name, err, missing[name])
		}
	}
	for _, role := range []directory.Role{directory.RoleNone, directory.RoleUser, directory.RoleDirectory, directory.RoleSystem} {
		for name, err := range calls(directory.Actor{Role: role, Reach: &directory.Reach{Environments: []directory.ID{w.env}}}, w.env, run.ID, run.Hash) {
			if directory.KindOf(err) != directory.Forbidden {
				t.Errorf("%s as %q: %v", name, role, err)
			}
		}
	}
	for name, err := range calls(directory.Actor{Role: directory.RolePartner, Reach: &directory.Reach{Organizations: []directory.ID{w.org}}}, w.env, run.ID, run.Hash) {
		if directory.KindOf(err) != directory.Forbidden {
			t.Errorf("%s as a partner who may see the environment: %v", name, err)
		}
	}
	if got := must(w.r.Show(w.ctx, run.ID)); got.State != directory.RunQuarantined {
		t.Errorf("the run is %s", got.State)
	}
	// Within reach, also while a run is under way.
	w.src.Hook(func(c pulltest.Call) {
		if c.Op != pulltest.OpMembers || c.When != pulltest.Before {
			return
		}
		id := must(w.r.Status(w.ctx))[0].Running.ID
		if _, err := w.r.Cancel(w.ctx, outside, id); directory.KindOf(err) != directory.NotFound {
			t.Errorf("cancelled from beyond reach: %v", err)
		}
		must(w.r.Cancel(w.ctx, admin(w.env), id))
	})
	w.is(w.wait(must(w.r.Sync(w.ctx, admin(w.env), w.env, pull.SyncOptions{}))), directory.RunCancelled)
	w.src.Hook(nil)
	w.is(w.wait(must(w.r.Allow(w.ctx, admin(other, w.env), run.ID, run.Hash, "right"))), directory.RunComplete)
}
