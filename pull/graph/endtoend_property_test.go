package graph_test

import (
	"errors"
	"flag"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/entrasim"
)

// TestAnyOrder lets the directory change, push run (over a bad network, too), pulls run (into faults, too),
// administrators decide and the server be restarted or killed, in any order. Whoever has been an enabled member
// of the same group all the time has access all the time. Once the faults end, push and pull reach the state
// that the rules give, and find nothing more to do.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	checks := "12"
	if testing.Short() {
		checks = "3"
	}
	for name, value := range map[string]string{"rapid.checks": checks, "rapid.nofailfile": "true"} {
		_, asked := os.LookupEnv(strings.ToUpper(strings.ReplaceAll(name, ".", "_"))) // rapid takes it for the default
		if f := flag.Lookup(name); f != nil && !asked && f.Value.String() == f.DefValue {
			must(t, flag.Set(name, value))
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		s := newStorm(t, rt)
		for range rapid.IntRange(8, 16).Draw(rt, "steps") {
			s.step()
			s.steady()
		}
		s.calm()
	})
}

// storm is an office in bad times.
type storm struct {
	*office
	rt      *rapid.T
	bad     atomic.Bool         // the network of push
	pushing bool                // this customer pushes
	always  map[string][]string // group -> who has been in it all the time, in the way that its environments count
	nested  []string            // who has been in Finance only through a group in it, all the time
	direct  []string            // who is in Finance directly
	left    []string            // who was, at some time, and then was not
}

func newStorm(t *testing.T, rt *rapid.T) *storm {
	s := &storm{rt: rt, pushing: rapid.Bool().Draw(rt, "push")}
	s.office = newDirectory(t, rapid.Uint64Range(1, 1000).Draw(rt, "seed"))
	w := newWorld(t, s.entra)
	w.TB = rt
	s.connect(w)
	if s.pushing {
		s.pushes("nordwind", s.entra, func(o *entrasim.ProvisionerOptions) {
			o.ObjectIDAsExternalID = rapid.Bool().Draw(rt, "objectId")
			base := &http.Transport{}
			t.Cleanup(base.CloseIdleConnections)
			o.Client = &http.Client{Transport: entrasim.Flaky(base, entrasim.FlakyOptions{Seed: 1, Refuse: 0.1, LoseAnswer: 0.1, Duplicate: 0.1,
				Only: func(*http.Request) bool { return s.bad.Load() }})}
		})
		s.cycle("nordwind")
	} else {
		for _, e := range s.envs {
			e.pushed = false
		}
	}
	s.welcome()
	s.always = map[string][]string{}
	for _, g := range []string{s.sales, s.support, s.finance} {
		s.always[g] = s.Members(g)
	}
	s.nested = slices.Clone(s.external)
	s.note()
	return s
}

// note takes whoever is not an enabled member now out of those who have been all the time.
func (s *storm) note() {
	working := func(id string) bool {
		u, there := s.User(id)
		return there && u.AccountEnabled && !u.Deleted() && (s.pushing || u.UserType != entrasim.Guest)
	}
	gone := func(group string) func(string) bool {
		members := s.Members(group)
		return func(id string) bool { return !working(id) || !slices.Contains(members, id) }
	}
	for g := range s.always {
		s.always[g] = slices.DeleteFunc(s.always[g], gone(g))
	}
	s.nested = slices.DeleteFunc(s.nested, gone(s.contractors))
	finance := s.Members(s.finance)
	for _, id := range s.direct {
		if !slices.Contains(finance, id) {
			s.left = append(s.left, id)
		}
	}
	s.direct = finance
	if !slices.Contains(finance, s.contractors) {
		s.nested = nil
	}
	s.nested = slices.DeleteFunc(s.nested, func(id string) bool { return slices.Contains(finance, id) }) // direct as well
}

// steady makes sure that nobody of those has lost anything.
func (s *storm) steady() {
	for _, e := range s.envs {
		now := s.accesses(e)
		var who []string
		for _, g := range e.groups {
			who = append(who, s.always[g]...)
		}
		if e.transitive {
			who = append(who, s.nested...)
		}
		for _, id := range who {
			if !now[id] {
				u, _ := s.User(id)
				s.rt.Fatalf("%s (%s) was an enabled member all the time and has no access to %s\n%s", id, u.UserPrincipalName, e.name, s.log)
			}
			if _, has := s.sign[id]; has && !s.signedIn(id) {
				s.rt.Fatalf("%s was an enabled member all the time, and the session has ended", id)
			}
		}
	}
}

// The faults that a pull may run into: errors, lists that are not whole, answers that are none. What Graph
// says wrongly in the right form nobody can know.
var storms = []string{
	"", "", "", "members body={\"value\":[]}", "members page=1 short=3", "members empty", "members#2 body={}", "members null-properties",
	"members#2 cut", "members p=0.4 status=503", "* p=0.2 status=500", "* p=0.2 reset", "group#2 status=404", "group status=401",
	"token status=503", "transitiveMembers duplicate", "batch status=503", "batch truncate=0.7", "user p=0.5 status=500",
	"members#1 null-item", "members drop-next short=1", "checkMemberGroups p=0.3 body={}", "members#1 status=429 retry-after=600",
	"members page=1 wrong-type=accountEnabled", "transitiveMembers#1 missing-id", "batch status=429 retry-after=120",
}

func (s *storm) step() {
	e := s.envs[rapid.IntRange(0, len(s.envs)-1).Draw(s.rt, "environment")]
	switch what := rapid.SampledFrom([]string{"change", "change", "change", "pull", "pull", "pull", "pull", "push", "push", "lag", "decide", "restart", "kill", "time"}).Draw(s.rt, "step"); what {
	case "change":
		for range rapid.IntRange(1, 4).Draw(s.rt, "changes") {
			s.rt.Log(s.RandomChange(1)[0])
			s.note()
		}
	case "pull":
		script := rapid.SampledFrom(storms).Draw(s.rt, "fault")
		s.script(s.rt, script)
		if r := s.try(app.SyncInput{Environment: e.name, Preview: rapid.IntRange(0, 5).Draw(s.rt, "preview") == 0}); r != nil {
			s.rt.Logf("%s: %s", script, r)
			s.said(r)
		}
		s.graph.Faults().Clear()
	case "push":
		if s.pushing {
			s.bad.Store(rapid.Bool().Draw(s.rt, "bad network"))
			summary, err := s.push["nordwind"].Cycle(s.ctx)
			s.rt.Logf("push: %d writes, %d failed, %v", summary.Writes(), summary.Failed, err)
			s.bad.Store(false)
		}
	case "lag":
		if rapid.Bool().Draw(s.rt, "held") {
			s.graph.HoldIndex()
		} else {
			s.graph.ReleaseIndex()
		}
	case "decide":
		s.decide(e)
	case "restart":
		s.restart()
	case "kill":
		s.crash(rapid.IntRange(1, 12).Draw(s.rt, "transactions"))
	case "time":
		s.clock.jump(time.Duration(rapid.IntRange(1, 12).Draw(s.rt, "minutes")) * time.Minute) // sessions live 8 hours
	}
}

// try pulls unless Graph has asked to wait.
func (s *storm) try(in app.SyncInput) *result {
	run, err := s.press(in)
	var refused *app.Error
	if errors.As(err, &refused) && refused.Kind == "rateLimited" {
		return nil
	}
	must(s.rt, err)
	return s.wait(run)
}

// decide allows or discards what waits.
func (s *storm) decide(e *environment) {
	status := s.status(e)
	if status.Quarantined == "" {
		return
	}
	r := s.show(status.Quarantined)
	if r.Hash != "" && rapid.Bool().Draw(s.rt, "allow") {
		next, err := app.Call(s.ctx, s.client, app.RunAllow, app.RunDecision{Ref: r.ID, Hash: r.Hash, Reason: "in a storm"})
		var refused *app.Error
		if errors.As(err, &refused) && refused.Kind == "rateLimited" {
			return
		}
		must(s.rt, err)
		s.rt.Log(s.wait(next))
		return
	}
	call(s.world, app.RunDiscard, app.RunDecision{Ref: r.ID})
}

// calm ends all faults. One cycle of push and the pulls that follow set everything right.
func (s *storm) calm() {
	s.graph.Faults().Clear()
	s.graph.ReleaseIndex()
	s.clock.jump(time.Hour) // past whatever Graph has asked to wait
	if s.pushing {
		s.push["nordwind"].Restart()
		s.cycle("nordwind")
	}
	rounds := 1
	contractors := s.Members(s.contractors)
	if !s.pushing || slices.ContainsFunc(s.left, func(id string) bool { return slices.Contains(contractors, id) }) {
		rounds = 2 // who leaves a group and stays in one within it takes two reads; so do moves that push does not tell
	}
	for range rounds {
		for _, e := range s.envs {
			r := s.accept(e)
			s.rt.Log(r)
		}
		s.clock.jump(10 * time.Minute) // two thirds of the interval
	}
	s.check()
	s.settled()
	if s.pushing {
		if summary := s.cycle("nordwind"); summary.Writes() > 0 {
			s.rt.Errorf("push does not come to rest:\n%s", summary)
		}
	}
	if err := s.service().VerifyAudit(s.ctx); err != nil {
		s.rt.Errorf("the audit log: %v", err)
	}
	s.restart()
	s.check()
}
