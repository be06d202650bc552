package directory_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
)

// newestLine reads the newest line of a tenant's log.
func newestLine(s *scene, tenant directory.ID) *directory.LogEvent {
	s.Helper()
	return view(s.world, func(sn *directory.Snapshot) (e *directory.LogEvent, err error) {
		err = sn.Log(tenant, 0, true, func(x *directory.LogEvent) bool { e = x; return false })
		return e, err
	})
}

// TestLogSight: who sees a tenant sees its lines whole, an administrator what a line did in their own environment,
// and others nothing.
func TestLogSight(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	e := newestLine(s, s.fjord)
	both := *e
	both.Actor = directory.Actor{Channel: "scim", ID: "token", Address: "192.0.2.1", RunID: number(77)}
	both.Reason, both.Changes = "group Secret", []directory.Change{{Name: "groups", New: json.RawMessage(`["Secret"]`)}, {Name: "active", New: json.RawMessage("false")}}
	both.Accesses = []directory.AccessEffect{{EnvironmentID: s.production, AccountID: number(5), Effect: directory.Deactivated, Sessions: 2}, {EnvironmentID: s.test, AccountID: number(5), Effect: directory.Deactivated},
		{EnvironmentID: s.production, AccountID: number(6), Effect: directory.Deactivated, Sessions: 3}}
	see := func(by directory.Actor) *directory.LogEvent {
		return view(s.world, func(sn *directory.Snapshot) (*directory.LogEvent, error) {
			sight, err := sn.LogSight(by)
			if err != nil {
				return nil, err
			}
			return sight.Of(&both)
		})
	}
	if diff := cmp.Diff(&both, see(operator)); diff != "" {
		t.Errorf("an operator (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&both, see(s.partner())); diff != "" {
		t.Errorf("a partner (-want +got):\n%s", diff)
	}
	if got := see(directory.Actor{Role: directory.RolePartner, Reach: &directory.Reach{Organizations: []directory.ID{number(999)}}}); got != nil {
		t.Errorf("another partner sees %+v", got)
	}
	if got := see(administrator(number(999))); got != nil {
		t.Errorf("another administrator sees %+v", got)
	}
	want := both
	want.Actor = directory.Actor{Channel: "scim"}
	want.Reason, want.Changes, want.Sessions = "", both.Changes[1:], 2
	want.Accesses = []directory.AccessEffect{{EnvironmentID: s.test, AccountID: number(5), Effect: directory.Deactivated, Sessions: 2}}
	if diff := cmp.Diff(&want, see(administrator(s.test))); diff != "" {
		t.Errorf("an administrator (-want +got):\n%s", diff)
	}
	for _, by := range []directory.Actor{{Role: directory.RoleUser}, {Role: directory.RoleDirectory}, {}} {
		err := s.svc.View(s.ctx, func(sn *directory.Snapshot) error { _, err := sn.LogSight(by); return err })
		wantKind(t, err, directory.Forbidden)
	}
}

func TestAuditIsForOperators(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	var numbers []uint64
	read := func(by directory.Actor, before uint64) error {
		numbers = nil
		return s.svc.View(s.ctx, func(sn *directory.Snapshot) error {
			return sn.SeeAudit(by, before, func(e *directory.AuditEntry) bool {
				numbers = append(numbers, e.Sequence)
				return true
			})
		})
	}
	for _, by := range []directory.Actor{s.partner(), administrator(s.production), {Role: directory.RoleDirectory}, {}} {
		wantKind(t, read(by, 0), directory.Forbidden)
		if len(numbers) > 0 {
			t.Errorf("%s sees %v", by.Role, numbers)
		}
	}
	if err := read(operator, 0); err != nil || len(numbers) < 3 || numbers[len(numbers)-1] != 1 || numbers[0] != uint64(len(numbers)) {
		t.Errorf("%v, %v", numbers, err)
	}
	if err := read(operator, 3); err != nil || !cmp.Equal(numbers, []uint64{2, 1}) {
		t.Errorf("before 3: %v, %v", numbers, err)
	}
}

// The sessions that end with an access are told with it, whichever is first.
func TestSessionsOfEffects(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*scene, *directory.User){
		"disabled": func(s *scene, u *directory.User) {
			must(s.editUser(s.fjord, u.ID, func(p *directory.Profile) { p.Active = false }))
		},
		"out of the group": func(s *scene, u *directory.User) { s.remove(s.pilots, u) },
		"deleted":          func(s *scene, u *directory.User) { s.deleteUser(u) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			u := s.createUser(s.fjord, person("hana", 31))
			s.add(s.pilots, u)
			s.signInAs(u, "sub", "session-1")
			s.signInAs(u, "sub", "session-2")
			leave(s, u)
			e := newestLine(s, s.fjord)
			if len(e.Accesses) != 1 || e.Accesses[0].Sessions != 2 || e.Sessions != 2 {
				t.Errorf("%+v", e)
			}
		})
	}
}
