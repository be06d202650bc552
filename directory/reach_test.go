package directory_test

import (
	"testing"

	"github.com/bizzstream/bizzscim/directory"
)

// other is harbor's organization.
func (s *scene) other() directory.ID { return s.environment(s.elsewhere).OrganizationID }

// beyond are callers of the right role who do not reach fjord's organization, tenant and environment.
func beyond(partners bool) map[string]func(*scene) directory.Actor {
	role := directory.RoleEnvironment
	if partners {
		role = directory.RolePartner
	}
	by := func(reach func(s *scene) *directory.Reach) func(*scene) directory.Actor {
		return func(s *scene) directory.Actor {
			return directory.Actor{Role: role, Channel: "console", ID: "caller", Reach: reach(s)}
		}
	}
	return map[string]func(*scene) directory.Actor{
		"no reach":       by(func(*scene) *directory.Reach { return nil }),
		"an empty reach": by(func(*scene) *directory.Reach { return &directory.Reach{} }),
		"others": by(func(s *scene) *directory.Reach {
			return &directory.Reach{Organizations: []directory.ID{s.other()}, Environments: []directory.ID{s.elsewhere, s.test}}
		}),
		"the zero one": by(func(*scene) *directory.Reach {
			return &directory.Reach{Organizations: []directory.ID{{}}, Environments: []directory.ID{{}}}
		}),
		"ids of another kind": by(func(s *scene) *directory.Reach {
			return &directory.Reach{Organizations: []directory.ID{s.production, s.fjord}, Environments: []directory.ID{s.org, s.fjord}}
		}),
	}
}

func TestReachOfPartners(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	by := s.partner()
	other := s.other()
	create := func(by directory.Actor, name string, orgs ...directory.ID) error {
		_, err := s.svc.CreateTenant(s.ctx, by, directory.Tenant{Name: name, OrganizationIDs: orgs})
		return err
	}
	set := func(by directory.Actor, tenant directory.ID, orgs ...directory.ID) error {
		_, err := s.svc.SetTenant(s.ctx, by, tenant, func(t *directory.Tenant) error { t.OrganizationIDs = orgs; return nil })
		return err
	}
	if err := create(by, "mine", s.org); err != nil {
		t.Fatal(err)
	}
	mine := view(s.world, func(sn *directory.Snapshot) (*directory.Tenant, error) { return sn.TenantByName("mine") }).ID
	nobody, shared := s.tenant("nobody"), s.harbor // of no organization; of both
	s.unchanged(func() {
		for name, test := range map[string]struct {
			err  error
			want directory.ErrorKind
		}{
			"create, for no organization":             {create(by, "new"), directory.Invalid},
			"create, for another's":                   {create(by, "new", other), directory.NotFound},
			"create, for its own and another's":       {create(by, "new", s.org, other), directory.NotFound},
			"create, for one that is not":             {create(by, "new", s.org, number(999)), directory.NotFound},
			"give its own to another's":               {set(by, mine, other), directory.NotFound},
			"share its own with another's":            {set(by, mine, s.org, other), directory.NotFound},
			"leave its own to nobody":                 {set(by, mine), directory.Invalid},
			"take one that is of nobody":              {set(by, nobody, s.org), directory.NotFound},
			"take one that is shared with another's":  {set(by, shared, s.org), directory.NotFound},
			"leave one that is shared as it is":       {set(by, shared, s.org, other), directory.NotFound},
			"take one whose fn is never asked":        {func() error { _, err := s.svc.SetTenant(s.ctx, by, shared, nil); return err }(), directory.NotFound},
			"a token of one that is shared":           {func() error { _, err := s.svc.CreateToken(s.ctx, by, shared, newToken("secret-x")); return err }(), directory.NotFound},
			"nothing told apart: one that is not":     {set(by, number(999), s.org), directory.NotFound},
			"an environment administrator, a tenant":  {set(administrator(s.production), mine, s.org), directory.Forbidden},
			"an environment administrator, a new one": {create(administrator(s.production), "new", s.org), directory.Forbidden},
		} {
			if directory.KindOf(test.err) != test.want || test.err == nil {
				t.Errorf("%s: %v, want %s", name, test.err, test.want)
			}
		}
		// What is another's and what does not exist answer alike.
		if a, b := set(by, shared, s.org), set(by, number(999), s.org); a.Error() != b.Error() {
			t.Errorf("%q, %q", a, b)
		}
		if a, b := create(by, "new", other), create(by, "new", number(999)); a.Error() != b.Error() {
			t.Errorf("%q, %q", a, b)
		}
	})
	both := directory.Actor{Role: directory.RolePartner, ID: "both", Reach: &directory.Reach{Organizations: []directory.ID{s.org, other}}}
	for _, err := range []error{set(both, mine, s.org, other), set(both, shared, s.org, other), create(both, "of-both", other, s.org), set(operator, nobody), create(operator, "for-nobody")} {
		if err != nil {
			t.Error(err)
		}
	}
	s.unchanged(func() { wantKind(t, set(by, mine, s.org), directory.NotFound) }) // it is shared now
	checkInvariants(s.world)
}

func TestReachOfAdministrators(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	admin := administrator(s.production)
	set := func(by directory.Actor, env directory.ID, in directory.IntegrationInput) error {
		_, _, err := s.svc.SetIntegration(s.ctx, by, env, in)
		return err
	}
	strange := s.tenant("strange")
	run, foreign := s.quarantine(s.production), s.quarantine(s.elsewhere)
	own := directory.IntegrationInput{Periodic: new(true)}
	member := directory.Actor{Role: directory.RolePartner, ID: "caller", Reach: &directory.Reach{Organizations: []directory.ID{s.org}}}
	double := directory.Actor{Role: directory.RolePartner, ID: "double", Reach: &directory.Reach{Organizations: []directory.ID{s.other()}, Environments: []directory.ID{s.production}}}
	allow := func(by directory.Actor, run *directory.Run) error {
		_, err := s.svc.AllowRun(s.ctx, by, run.ID, run.Hash, "why")
		return err
	}
	discard := func(by directory.Actor, id directory.ID) error {
		_, err := s.svc.DiscardRun(s.ctx, by, id, "")
		return err
	}
	s.unchanged(func() {
		for name, test := range map[string]struct {
			err  error
			want directory.ErrorKind
		}{
			"the checkbox of its own":               {set(admin, s.production, directory.IntegrationInput{Enabled: new(false)}), directory.Forbidden},
			"another environment":                   {set(admin, s.test, own), directory.NotFound},
			"the checkbox of another environment":   {set(admin, s.test, directory.IntegrationInput{Enabled: new(true)}), directory.NotFound},
			"one that is not":                       {set(admin, number(999), own), directory.NotFound},
			"a tenant that is another's":            {set(admin, s.production, directory.IntegrationInput{TenantID: &strange}), directory.NotFound},
			"the same, by an operator":              {set(operator, s.production, directory.IntegrationInput{TenantID: &strange}), directory.Invalid},
			"a partner who may see it":              {set(member, s.production, own), directory.Forbidden},
			"a partner who may not":                 {set(member, s.elsewhere, own), directory.NotFound},
			"allow a run of another environment":    {allow(admin, foreign), directory.NotFound},
			"allow, with another hash":              {allow(administrator(s.test), &directory.Run{ID: run.ID, Hash: "?"}), directory.NotFound},
			"allow, a partner who may see it":       {allow(member, run), directory.Forbidden},
			"discard a run of another environment":  {discard(admin, foreign.ID), directory.NotFound},
			"discard, nothing told apart":           {discard(admin, number(999)), directory.NotFound},
			"a user":                                {set(directory.Actor{Role: directory.RoleUser, Reach: admin.Reach}, s.production, own), directory.Forbidden},
			"the server itself":                     {set(directory.Actor{Role: directory.RoleSystem, Reach: admin.Reach}, s.production, own), directory.Forbidden},
			"a partner who administers another one": {set(double, s.elsewhere, own), directory.Forbidden},
		} {
			if directory.KindOf(test.err) != test.want || test.err == nil {
				t.Errorf("%s: %v, want %s", name, test.err, test.want)
			}
		}
		if a, b := discard(admin, foreign.ID), discard(admin, number(999)); a.Error() != b.Error() {
			t.Errorf("%q, %q", a, b)
		}
		if a, b := set(admin, s.test, own), set(admin, number(999), own); a.Error() != b.Error() {
			t.Errorf("%q, %q", a, b)
		}
		missing := number(999)
		if a, b := set(admin, s.production, directory.IntegrationInput{TenantID: &strange}), set(admin, s.production, directory.IntegrationInput{TenantID: &missing}); a.Error() != b.Error() {
			t.Errorf("%q, %q", a, b)
		}
	})
	for _, err := range []error{set(admin, s.production, directory.IntegrationInput{TenantID: &s.harbor}), set(double, s.production, own), discard(double, run.ID), allow(administrator(s.test, s.elsewhere), foreign)} {
		if err != nil {
			t.Error(err)
		}
	}
	// The same question for others: package pull asks it before a run.
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		if e, err := sn.MayEnvironment(admin, s.production); err != nil || e.ID != s.production {
			t.Errorf("%+v, %v", e, err)
		}
		_, err := sn.MayEnvironment(admin, s.test)
		wantKind(t, err, directory.NotFound)
		return true, nil
	})
	checkInvariants(s.world)
}
