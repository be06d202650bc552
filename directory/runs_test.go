package directory_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// holdRun puts a run into quarantine.
func (w *world) holdRun(run *directory.Run) {
	w.Helper()
	run.State, run.Ended, run.Hash, run.Reasons = directory.RunQuarantined, w.clock.Now(), "1234", []string{"nobody is left"}
	save(w, run, func(st *directory.PullState) { st.LastRun, st.Quarantined = run.ID, run.ID })
}

func (w *world) quarantine(env directory.ID) *directory.Run {
	w.Helper()
	run := w.startRun(env)
	w.holdRun(run)
	return run
}

// A run and its plan are kept and listed by environment.
func TestRuns(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	first := s.startRun(s.production)
	s.clock.Advance(15 * time.Minute)
	second, other := s.startRun(s.production), s.startRun(s.elsewhere)
	second.State, second.Counts, second.Reasons, second.Groups = directory.RunComplete, directory.Counts{People: 3, Create: 1}, []string{"why"}, []directory.GroupRead{{ObjectID: s.pilotsID, People: 3}}
	second.Ended, second.Error = s.clock.Now(), &directory.RunError{Class: "permission", Detail: "grant it"}
	save(s.world, second, func(st *directory.PullState) {
		st.LastRun, st.Absent, st.Conflicts = second.ID, []directory.Absence{{UserID: s.ada.ID, GroupID: s.pilots.ID}}, map[string]string{"a": "b"}
	})
	list := func(env directory.ID) (ids []directory.ID) {
		return view(s.world, func(sn *directory.Snapshot) ([]directory.ID, error) {
			err := sn.Runs(env, func(r *directory.Run) bool { ids = append(ids, r.ID); return true })
			return ids, err
		})
	}
	wantSame(t, "runs of production", list(s.production), []directory.ID{second.ID, first.ID}) // newest first
	wantSame(t, "runs of elsewhere", list(s.elsewhere), []directory.ID{other.ID})
	wantSame(t, "runs of test", list(s.test), []directory.ID(nil))
	wantSame(t, "the run", view(s.world, func(sn *directory.Snapshot) (*directory.Run, error) { return sn.Run(second.ID) }), second)
	wantSame(t, "the state", s.pullState(s.production), &directory.PullState{EnvironmentID: s.production, LastRun: second.ID,
		Absent: []directory.Absence{{UserID: s.ada.ID, GroupID: s.pilots.ID}}, Conflicts: map[string]string{"a": "b"}})
	wantSame(t, "the state of one that never ran", s.pullState(s.test), &directory.PullState{EnvironmentID: s.test})

	items := []directory.PlanItem{{Number: 1, Kind: directory.ItemCreate, UserName: "a"}, {Number: 2, Kind: directory.ItemRevoke, UserName: "b"}, {Number: 300, Kind: directory.ItemUpdate, UserName: "c"}}
	if err := errors.Join(s.svc.SaveItems(s.ctx, second.ID, items), s.svc.SaveItems(s.ctx, other.ID, items[:1])); err != nil {
		t.Fatal(err)
	}
	items[1].Outcome = directory.OutcomeWaiting
	if err := s.svc.SaveItems(s.ctx, second.ID, items[1:2]); err != nil {
		t.Fatal(err)
	}
	plan := func(run directory.ID, after uint64) (got []directory.PlanItem) {
		return view(s.world, func(sn *directory.Snapshot) ([]directory.PlanItem, error) {
			err := sn.PlanItems(run, after, func(i *directory.PlanItem) bool { got = append(got, *i); return true })
			return got, err
		})
	}
	wantSame(t, "the plan", plan(second.ID, 0), items)
	wantSame(t, "the plan beyond 1", plan(second.ID, 1), items[1:])
	wantSame(t, "the plan beyond its end", plan(second.ID, 300), []directory.PlanItem(nil))
	wantSame(t, "the plan of another", plan(other.ID, 0), items[:1])
	s.unchanged(func() {
		strange := *first
		strange.EnvironmentID = number(999)
		wantKind(t, s.svc.SaveRun(s.ctx, &strange, nil), directory.NotFound)
		wantKind(t, s.svc.SaveItems(s.ctx, number(999), items), directory.NotFound)
		wantKind(t, s.svc.UpdatePullState(s.ctx, number(999), func(*directory.PullState) error { return nil }), directory.NotFound)
		_, err := s.svc.AllowRun(s.ctx, operator, number(999), "1234", "why")
		wantKind(t, err, directory.NotFound)
		if err := s.svc.UpdatePullState(s.ctx, s.production, func(*directory.PullState) error { return nil }); err != nil {
			t.Error(err)
		}
		if err := s.svc.UpdatePullState(s.ctx, s.production, func(st *directory.PullState) error { st.Failures = 9; return errTest }); !errors.Is(err, errTest) {
			t.Errorf("%v", err)
		}
	})
	if err := s.svc.UpdatePullState(s.ctx, s.test, func(st *directory.PullState) error {
		st.EnvironmentID, st.Failures = s.production, 2
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	wantSame(t, "the changed state", s.pullState(s.test), &directory.PullState{EnvironmentID: s.test, Failures: 2})
	checkInvariants(s.world)
}

var errTest = errors.New("test")

func save(w *world, run *directory.Run, fn func(*directory.PullState)) {
	w.Helper()
	if err := w.svc.SaveRun(w.ctx, run, fn); err != nil {
		w.Fatalf("SaveRun: %v", err)
	}
}

func (w *world) pullState(env directory.ID) *directory.PullState {
	w.Helper()
	return view(w, func(s *directory.Snapshot) (*directory.PullState, error) { return s.PullState(env) })
}

func (w *world) runState(id directory.ID) directory.RunState {
	w.Helper()
	return view(w, func(s *directory.Snapshot) (directory.RunState, error) {
		run, err := s.Run(id)
		if err != nil {
			return "", err
		}
		return run.State, nil
	})
}

func (w *world) lastAudit() (last directory.AuditEntry) {
	w.Helper()
	view(w, func(s *directory.Snapshot) (bool, error) {
		return true, s.Audit(0, func(e *directory.AuditEntry) bool { last = *e; return true })
	})
	return last
}

// decision is what a run keeps of who decided about it.
func (w *world) decision(run directory.ID) *directory.Decision {
	return view(w, func(sn *directory.Snapshot) (*directory.Decision, error) {
		r, err := sn.Run(run)
		if err != nil {
			return nil, err
		}
		return r.Decision, nil
	})
}

// A quarantined run waits for one decision, made once, on what was looked at.
func TestAllowRun(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	running, run := s.startRun(s.production), s.quarantine(s.production)
	admin := administrator(s.production)
	s.clock.Advance(directory.ApprovalLife - time.Millisecond)
	s.unchanged(func() {
		for _, reason := range []string{"", " \n", strings.Repeat("a", 1001), "a\x00b", "a\x7f", "a\u202eb"} {
			_, err := s.svc.AllowRun(s.ctx, admin, run.ID, run.Hash, reason)
			wantKind(t, err, directory.Invalid)
		}
		for _, hash := range []string{"", "12345"} {
			_, err := s.svc.AllowRun(s.ctx, admin, run.ID, hash, "the merger")
			wantKind(t, err, directory.Invalid)
		}
	})
	s.store.twice = true
	allowed, err := s.svc.AllowRun(s.ctx, admin, run.ID, run.Hash, " the merger ")
	if err != nil || allowed.State != directory.RunAllowed || s.runState(run.ID) != directory.RunAllowed {
		t.Fatalf("%+v, %v", allowed, err)
	}
	now := s.clock.Now()
	kept := admin
	kept.Reach = nil // it is that of the moment
	wantSame(t, "decision", s.decision(run.ID), &directory.Decision{By: kept, Reason: "the merger", At: now})
	want := &directory.Approval{RunID: run.ID, Hash: run.Hash, By: kept, Reason: "the merger", Given: now, Expires: now.Add(24 * time.Hour)}
	wantSame(t, "state", s.pullState(s.production), &directory.PullState{EnvironmentID: s.production, LastRun: run.ID, Approval: want})
	e := s.lastAudit()
	detail := new(directory.Approval)
	if err := json.Unmarshal(e.Detail, detail); err != nil {
		t.Fatal(err)
	}
	if wantSame(t, "audit", detail, want); e.Action != "run.allow" || e.Target != run.ID.String() {
		t.Errorf("audit: %+v", e)
	}
	s.unchanged(func() {
		_, err := s.svc.AllowRun(s.ctx, admin, run.ID, run.Hash, "again")
		wantKind(t, err, directory.Conflict)
		_, err = s.svc.DiscardRun(s.ctx, admin, run.ID, "")
		wantKind(t, err, directory.Conflict)
		_, err = s.svc.AllowRun(s.ctx, admin, running.ID, "", "it is running")
		wantKind(t, err, directory.Conflict)
	})
	checkInvariants(s.world)
}

func TestAllowRunTooLate(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	run := s.quarantine(s.production)
	s.clock.Advance(directory.ApprovalLife)
	s.unchanged(func() {
		_, err := s.svc.AllowRun(s.ctx, operator, run.ID, run.Hash, "the merger")
		wantKind(t, err, directory.Conflict)
	})
	if _, err := s.svc.DiscardRun(s.ctx, operator, run.ID, ""); err != nil { // at any time
		t.Error(err)
	}
}

// What push took away comes back by an operator's word alone, and that word is kept as such.
func TestAllowRestore(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	run := s.startRun(s.production)
	run.Restore = true
	s.holdRun(run)
	s.unchanged(func() {
		_, err := s.svc.AllowRun(s.ctx, administrator(s.production), run.ID, run.Hash, "why")
		wantKind(t, err, directory.Forbidden)
	})
	must(s.svc.AllowRun(s.ctx, operator, run.ID, run.Hash, "why"))
	if a := s.pullState(s.production).Approval; a == nil || !a.Restore {
		t.Errorf("approval: %+v", a)
	}
}

func TestDiscardRun(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	run := s.quarantine(s.production)
	s.unchanged(func() {
		for _, reason := range []string{strings.Repeat("a", 1001), "a\x00b", "a\u202eb", "a\u0085b"} {
			_, err := s.svc.DiscardRun(s.ctx, operator, run.ID, reason)
			wantKind(t, err, directory.Invalid)
		}
	})
	s.store.twice = true
	got, err := s.svc.DiscardRun(s.ctx, operator, run.ID, "a typing error\nin the group")
	if err != nil || got.State != directory.RunDiscarded || s.runState(run.ID) != directory.RunDiscarded {
		t.Fatalf("%+v, %v", got, err)
	}
	wantSame(t, "state", s.pullState(s.production), &directory.PullState{EnvironmentID: s.production, LastRun: run.ID})
	wantSame(t, "decision", s.decision(run.ID), &directory.Decision{By: operator, Reason: "a typing error\nin the group", At: s.clock.Now()})
	if e := s.lastAudit(); e.Action != "run.discard" || !strings.Contains(string(e.Detail), "typing error") || !strings.Contains(string(e.Detail), s.production.String()) {
		t.Errorf("audit: %+v %s", e, e.Detail)
	}
	s.unchanged(func() {
		_, err := s.svc.DiscardRun(s.ctx, operator, run.ID, "")
		wantKind(t, err, directory.Conflict)
	})
	checkInvariants(s.world)
}

// A quarantined run in whose place another one waits, or none, is superseded.
func TestSupersededRun(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	first := s.quarantine(s.production)
	second := s.startRun(s.production)
	save(s.world, second, func(st *directory.PullState) { st.LastRun = second.ID }) // the first goes on waiting
	if got := s.runState(first.ID); got != directory.RunQuarantined {
		t.Errorf("first: %s", got)
	}
	s.holdRun(second)
	if got := s.runState(first.ID); got != directory.RunSuperseded {
		t.Errorf("first: %s", got)
	}
	s.unchanged(func() {
		_, err := s.svc.AllowRun(s.ctx, operator, first.ID, first.Hash, "why")
		wantKind(t, err, directory.Conflict)
	})
	third := s.startRun(s.production)
	save(s.world, third, func(st *directory.PullState) { st.Quarantined = directory.ID{} })
	if got := s.runState(second.ID); got != directory.RunSuperseded {
		t.Errorf("second: %s", got)
	}
	checkInvariants(s.world)
}

// Runs go when they ended before the time, big plans in steps; the last one of an environment and
// one that waits stay.
func TestPruneRuns(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	end := func(run *directory.Run, state directory.RunState) *directory.Run {
		run.State, run.Ended = state, s.clock.Now()
		save(s.world, run, func(st *directory.PullState) { st.LastRun = run.ID })
		return run
	}
	waits := s.quarantine(s.production)
	big := s.startRun(s.production)
	items := make([]directory.PlanItem, 2*directory.PruneRows+500)
	for i := range items {
		items[i].Number = uint64(i + 1)
	}
	if err := s.svc.SaveItems(s.ctx, big.ID, items); err != nil {
		t.Fatal(err)
	}
	end(big, directory.RunComplete)
	exact := s.startRun(s.test)
	if err := s.svc.SaveItems(s.ctx, exact.ID, items[:directory.PruneRows]); err != nil { // as many as one step removes
		t.Fatal(err)
	}
	end(exact, directory.RunFailed)
	last := end(s.startRun(s.elsewhere), directory.RunComplete)
	stuck := s.startRun(s.production) // it goes on
	before := s.clock.Now().Add(time.Millisecond)
	s.clock.Advance(time.Millisecond)
	onTime := end(s.startRun(s.production), directory.RunComplete)
	long := s.startRun(s.test)
	s.clock.Advance(time.Hour)
	end(long, directory.RunComplete)
	end(s.startRun(s.production), directory.RunComplete)

	if n, err := s.svc.PruneRuns(s.ctx, before.Add(-time.Millisecond)); n != 0 || err != nil {
		t.Errorf("%d pruned at their very end, %v", n, err)
	}
	var n int
	var err error
	cost := s.store.counted(func() { n, err = s.svc.PruneRuns(s.ctx, before) })
	if n != 2 || err != nil || cost.Updates != 3+2+2 { // two full steps and a rest; a full step and nothing; two that stay
		t.Errorf("%d pruned, %v, in %+v", n, err, cost)
	}
	for run, stays := range map[*directory.Run]bool{waits: true, big: false, exact: false, last: true, stuck: true, onTime: true, long: true} {
		view(s.world, func(sn *directory.Snapshot) (bool, error) {
			if _, err := sn.Run(run.ID); (err == nil) != stays || err != nil && directory.KindOf(err) != directory.NotFound {
				t.Errorf("run %v: %v", run.ID, err)
			}
			return true, nil
		})
	}
	if n := len(s.items(big)) + len(s.items(exact)); n != 0 {
		t.Errorf("%d items are left", n)
	}
	checkInvariants(s.world)
	if n, err := s.svc.PruneRuns(s.ctx, before); n != 0 || err != nil {
		t.Errorf("%d pruned again, %v", n, err)
	}
}

// A run that comes to wait while runs are pruned stays.
func TestPruneRunsLooksAgain(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	run := s.startRun(s.production)
	run.State, run.Ended = directory.RunComplete, s.clock.Now()
	save(s.world, run, nil)
	s.clock.Advance(time.Hour)
	s.store.meet = func() { save(s.world, run, func(st *directory.PullState) { st.LastRun = run.ID }) }
	if n, err := s.svc.PruneRuns(s.ctx, s.clock.Now()); n != 0 || err != nil {
		t.Errorf("%d pruned, %v", n, err)
	}
	if err := s.svc.UpdatePullState(s.ctx, s.production, func(st *directory.PullState) error { st.LastRun = directory.ID{}; return nil }); err != nil {
		t.Fatal(err)
	}
	s.store.meet = func() { must(s.svc.PruneRuns(s.ctx, s.clock.Now())) } // somebody else is faster
	if n, err := s.svc.PruneRuns(s.ctx, s.clock.Now()); n != 0 || err != nil {
		t.Errorf("%d pruned, %v", n, err)
	}
	checkInvariants(s.world)
}

// Credentials are kept sealed, one of a name, and the audit never shows the seal.
// TestHostsKeepTheirCredentials shows that no secret is sent to a host that it was not entered for.
func TestHostsKeepTheirCredentials(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	custom := func(login, graph string) func(*directory.Tenant) error {
		return func(t *directory.Tenant) error {
			t.Graph.Cloud, t.Graph.LoginURL, t.Graph.GraphURL = "custom", login, graph
			return nil
		}
	}
	move := func(by directory.Actor, fn func(*directory.Tenant) error) error {
		_, err := s.svc.SetTenant(s.ctx, by, s.fjord, fn)
		return err
	}
	at := custom("https://login.example", "https://graph.example/v1.0")
	if err := move(operator, at); err != nil {
		t.Fatalf("without a credential: %v", err)
	}
	must(s.svc.SetCredential(s.ctx, operator, directory.Credential{TenantID: s.harbor, Name: "graph", Kind: "secret", Sealed: "sealed"}))
	if err := move(operator, custom("https://other.example", "https://graph.example/v1.0")); err != nil {
		t.Fatalf("with a credential of another tenant: %v", err)
	}
	must(s.svc.SetTenant(s.ctx, operator, s.fjord, at))
	must(s.svc.SetCredential(s.ctx, operator, directory.Credential{TenantID: s.fjord, Name: "graph", Kind: "secret", Sealed: "sealed"}))
	if err := move(operator, custom("HTTPS://Login.example/", "https://graph.EXAMPLE/v1.0/")); err != nil {
		t.Errorf("the same hosts in other words: %v", err)
	}
	wantKind(t, move(operator, custom("https://login.example", "https://graph.example/V1.0")), directory.Conflict)
	must(s.svc.SetTenant(s.ctx, operator, s.fjord, at))
	for _, name := range []string{"graph", "sign-in"} {
		must(s.svc.SetCredential(s.ctx, operator, directory.Credential{TenantID: s.fjord, Name: name, Kind: "secret", Sealed: "sealed"}))
		s.unchanged(func() {
			wantKind(t, move(operator, custom("https://other.example", "https://graph.example/v1.0")), directory.Conflict)
			wantKind(t, move(operator, custom("https://login.example", "https://other.example/v1.0")), directory.Conflict)
			for _, cloud := range []string{"", "public", "china"} {
				wantKind(t, move(s.partner(), func(t *directory.Tenant) error { t.Graph = directory.Graph{Cloud: cloud}; return nil }), directory.Conflict)
			}
		})
		must(s.svc.SetTenant(s.ctx, operator, s.fjord, func(t *directory.Tenant) error { t.SignIn.Label = name; return at(t) }))
		if err := s.svc.RemoveCredential(s.ctx, operator, s.fjord, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := move(s.partner(), func(t *directory.Tenant) error { t.Graph = directory.Graph{}; return nil }); err != nil {
		t.Fatalf("after the credentials have gone: %v", err)
	}
	must(s.svc.SetCredential(s.ctx, operator, directory.Credential{TenantID: s.fjord, Name: "graph", Kind: "secret", Sealed: "sealed"}))
	if err := move(operator, func(t *directory.Tenant) error { t.Graph.Cloud = "public"; return nil }); err != nil {
		t.Errorf("the same cloud by its name: %v", err)
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	expires := s.clock.Now().Add(time.Hour)
	in := directory.Credential{TenantID: s.fjord, Name: " graph ", ID: number(997), Kind: "secret", Sealed: "v1.sealed.secret", Hint: "cret", Expires: expires, CreatedBy: "nobody"}
	s.store.twice = true
	cred := must(s.svc.SetCredential(s.ctx, s.partner(), in))
	want := in
	want.Name, want.ID, want.Created, want.CreatedBy = "graph", cred.ID, s.clock.Now(), "partner"
	wantSame(t, "credential", cred, &want)
	get := func(tenant directory.ID) (*directory.Credential, error) {
		var c *directory.Credential
		return c, s.svc.View(s.ctx, func(sn *directory.Snapshot) (err error) { c, err = sn.Credential(tenant, "graph"); return err })
	}
	kept, err := get(s.fjord)
	if wantSame(t, "kept", kept, cred); err != nil || cred.ID == in.ID {
		t.Errorf("%v, %v", cred.ID, err)
	}
	federated := must(s.svc.SetCredential(s.ctx, operator, directory.Credential{TenantID: s.harbor, Name: "graph", Kind: "federated", TokenFile: "/var/run/token"}))
	again := must(s.svc.SetCredential(s.ctx, s.partner(), directory.Credential{TenantID: s.fjord, Name: "graph", Kind: "certificate", Sealed: "v1.sealed.key"}))
	if again.ID == cred.ID {
		t.Error("a replaced credential has the id of the one before")
	}
	all := view(s.world, func(sn *directory.Snapshot) ([]*directory.Credential, error) { return sn.Credentials() })
	wantSame(t, "all", all, []*directory.Credential{again, federated})

	// All are sealed again, or none.
	seals := func() (texts []string) {
		for _, c := range view(s.world, func(sn *directory.Snapshot) ([]*directory.Credential, error) { return sn.Credentials() }) {
			texts = append(texts, c.Sealed)
		}
		return texts
	}
	second := must(s.svc.SetCredential(s.ctx, s.partner(), directory.Credential{TenantID: s.fjord, Name: "other", Kind: "secret", Sealed: "v1.sealed.other"}))
	s.unchanged(func() {
		_, err := s.svc.ResealCredentials(s.ctx, operator, func(c *directory.Credential) (string, error) {
			if c.Name == second.Name {
				return "", errTest
			}
			return "v2.sealed.key", nil
		})
		if !errors.Is(err, errTest) {
			t.Errorf("%v", err)
		}
		_, err = s.svc.ResealCredentials(s.ctx, operator, func(*directory.Credential) (string, error) { return "", nil })
		wantKind(t, err, directory.Internal)
		n, err := s.svc.ResealCredentials(s.ctx, operator, func(c *directory.Credential) (string, error) { return c.Sealed, nil })
		if n != 0 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
	n, err := s.svc.ResealCredentials(s.ctx, operator, func(c *directory.Credential) (string, error) {
		sealed := strings.Replace(c.Sealed, "v1", "v2", 1)
		c.Sealed, c.Hint = "", "changed" // what it was given is its own
		return sealed, nil
	})
	if n != 2 || err != nil {
		t.Errorf("%d sealed again, %v", n, err)
	}
	wantSame(t, "seals", seals(), []string{"v2.sealed.key", "v2.sealed.other", ""})
	if kept, err = get(s.fjord); kept.Hint != "" || kept.ID != again.ID {
		t.Errorf("%+v, %v", kept, err)
	}

	if err := s.svc.RemoveCredential(s.ctx, s.partner(), s.fjord, "graph"); err != nil {
		t.Fatal(err)
	}
	_, err = get(s.fjord)
	wantKind(t, err, directory.NotFound)
	if _, err := get(s.harbor); err != nil {
		t.Error(err)
	}
	var actions []string
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		return true, sn.Audit(0, func(e *directory.AuditEntry) bool {
			if strings.Contains(string(e.Detail), "sealed") {
				t.Errorf("the audit shows a seal: %s", e.Detail)
			}
			if strings.HasPrefix(e.Action, "credential.") {
				actions = append(actions, e.Action+" "+e.Target)
			}
			return true
		})
	})
	wantSame(t, "audit", actions, []string{"credential.set fjord", "credential.set harbor", "credential.set fjord", "credential.set fjord", "credential.reseal all", "credential.remove fjord"})
	s.unchanged(func() {
		wantKind(t, s.svc.RemoveCredential(s.ctx, s.partner(), s.fjord, "graph"), directory.NotFound)
		wantKind(t, s.svc.RemoveCredential(s.ctx, s.partner(), number(999), "graph"), directory.NotFound)
		for name, bad := range map[string]directory.Credential{
			"no name":                       {Kind: "secret", Sealed: "a"},
			"a name with a NUL":             {Name: "a\x00", Kind: "secret", Sealed: "a"},
			"no kind":                       {Name: "graph", Sealed: "a"},
			"another kind":                  {Name: "graph", Kind: "password", Sealed: "a"},
			"no secret":                     {Name: "graph", Kind: "secret"},
			"no certificate":                {Name: "graph", Kind: "certificate"},
			"a secret and a file":           {Name: "graph", Kind: "secret", Sealed: "a", TokenFile: "b"},
			"a federated one with a secret": {Name: "graph", Kind: "federated", Sealed: "a", TokenFile: "b"},
			"a federated one without file":  {Name: "graph", Kind: "federated"},
		} {
			bad.TenantID = s.fjord
			if _, err := s.svc.SetCredential(s.ctx, operator, bad); directory.KindOf(err) != directory.Invalid || err == nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, err := s.svc.SetCredential(s.ctx, operator, directory.Credential{TenantID: number(999), Name: "graph", Kind: "secret", Sealed: "a"})
		wantKind(t, err, directory.NotFound)
	})
	checkInvariants(s.world)
}

func TestSetAdministrator(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.integrate(s.test, s.fjord, s.pilotsID)
	account := s.ada.AccountID
	office := func(env directory.ID, want bool) {
		t.Helper()
		if a := s.access(account, env); a.Administrator != want {
			t.Errorf("administrator: %v, want %v", a.Administrator, want)
		}
	}
	audited := func(want string) {
		t.Helper()
		e := s.lastAudit()
		if e.Action != "access.administrator" || e.Target != account.String() || string(e.Detail) != want {
			t.Errorf("audit: %+v with %s, want %s", e, e.Detail, want)
		}
	}
	before := *s.access(account, s.production)
	s.clock.Advance(time.Hour)
	got := must(s.svc.SetAdministrator(s.ctx, operator, account, s.production, true))
	want := before
	want.Administrator, want.Modified = true, s.clock.Now()
	wantSame(t, "returned", got, &want)
	wantSame(t, "kept", s.access(account, s.production), &want)
	audited(`{"administrator":true,"environment":"` + s.production.String() + `"}`)
	office(s.test, false) // one environment is meant

	s.unchanged(func() {
		must(s.svc.SetAdministrator(s.ctx, operator, account, s.production, true))
		must(s.svc.SetAdministrator(s.ctx, operator, account, s.test, false))
		for name, ids := range map[string][2]directory.ID{
			"no access": {account, s.elsewhere}, "no such environment": {account, number(999)}, "no such account": {number(999), s.production},
		} {
			for _, administrator := range []bool{true, false} {
				if a, err := s.svc.SetAdministrator(s.ctx, operator, ids[0], ids[1], administrator); directory.KindOf(err) != directory.NotFound || a != nil {
					t.Errorf("%s: %+v, %v", name, a, err)
				}
			}
		}
	})

	// The office stays with an inactive access, and can be taken back, not given.
	s.setActive(s.ada, false)
	office(s.production, true)
	s.unchanged(func() {
		must(s.svc.SetAdministrator(s.ctx, operator, account, s.production, true))
		_, err := s.svc.SetAdministrator(s.ctx, operator, account, s.test, true)
		wantKind(t, err, directory.Conflict)
	})
	s.setActive(s.ada, true)
	office(s.production, true)
	s.setActive(s.ada, false)
	must(s.svc.SetAdministrator(s.ctx, operator, account, s.production, false))
	office(s.production, false)
	s.wantState(account, s.production, "inactive")
	audited(`{"administrator":false,"environment":"` + s.production.String() + `"}`)
	checkInvariants(s.world)
}

func TestProtectAccount(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	root := must(s.svc.CreateAccount(s.ctx, operator, "root", "root@fjord.example", "Root"))
	s.trust(s.fjord, "fjord.example")
	if a := must(s.svc.ProtectAccount(s.ctx, operator, root.ID, true)); !a.Protected || !s.account(root.ID).Protected {
		t.Errorf("account: %+v", a)
	}
	if e := s.lastAudit(); e.Action != "account.protect" || e.Target != root.ID.String() {
		t.Errorf("audit: %+v", e)
	}
	s.unchanged(func() {
		must(s.svc.ProtectAccount(s.ctx, operator, root.ID, true))
		_, err := s.svc.CreateUser(s.ctx, push, s.fjord, userInput(person("root", 2)))
		wantKind(t, err, directory.Exists)
		_, err = s.svc.ProtectAccount(s.ctx, operator, number(999), true)
		wantKind(t, err, directory.NotFound)
	})
	must(s.svc.ProtectAccount(s.ctx, operator, root.ID, false))
	if e := s.lastAudit(); e.Action != "account.unprotect" || s.account(root.ID).Protected {
		t.Errorf("audit: %+v", e)
	}
	if u := s.createUser(s.fjord, person("root", 2)); u.AccountID != root.ID {
		t.Error("not adopted")
	}
	checkInvariants(s.world)
}
