package directory_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// TestSetupLinkActs sees what whoever came by a setup link may do: what connects the directory of its tenant, while the
// link lives, and nothing else of that tenant, of another one, or of the organization.
func TestSetupLinkActs(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	hash := secretHash("setup")
	must(s.svc.CreateSetupLink(s.ctx, operator, s.fjord, hash, time.Hour))
	by := directory.Actor{Role: directory.RolePartner, Channel: "setup link", Reach: &directory.Reach{SetupLink: hash}}
	set := func(tenant directory.ID, change func(*directory.Tenant)) error {
		_, err := s.svc.SetTenant(s.ctx, by, tenant, func(t *directory.Tenant) error { change(t); return nil })
		return err
	}
	client := func(t *directory.Tenant) { t.Graph.ClientID = object(77) }
	create := func(tenant directory.ID) error {
		n := newToken("of link")
		n.Life = time.Hour
		_, err := s.svc.CreateToken(s.ctx, by, tenant, n)
		return err
	}
	secret := must(s.svc.CreateToken(s.ctx, operator, s.fjord, newToken("of the operator")))
	must(s.svc.CreateClient(s.ctx, operator, s.fjord, directory.NewClient{ClientID: "entra", Secret: &directory.NewToken{Hash: secretHash("client"), Hint: "hint"}}))
	issued := must(s.svc.IssueAccessToken(s.ctx, s.fjord, "entra", secretHash("access"), "hint"))
	credential := func(tenant directory.ID) error {
		_, err := s.svc.SetCredential(s.ctx, by, directory.Credential{TenantID: tenant, Name: "graph", Kind: "secret", Sealed: "sealed"})
		return err
	}
	s.harborToken()
	must(s.svc.SetCredential(s.ctx, operator, directory.Credential{TenantID: s.fjord, Name: "graph", Kind: "secret", Sealed: "of the operator"}))
	s.unchanged(func() {
		wantKind(t, create(s.harbor), directory.NotFound)
		wantKind(t, credential(s.harbor), directory.NotFound)
		wantKind(t, set(s.harbor, client), directory.NotFound)
		for name, change := range map[string]func(*directory.Tenant){
			"name":          func(t *directory.Tenant) { t.Name = "stolen" },
			"organizations": func(t *directory.Tenant) { t.OrganizationIDs = nil },
			"domains":       func(t *directory.Tenant) { t.TrustedDomains = []string{"x.example"} },
			"SCIM":          func(t *directory.Tenant) { t.SCIM.Strict = true },
			"cloud":         func(t *directory.Tenant) { t.Graph.Cloud = "china" },
			"label":         func(t *directory.Tenant) { t.SignIn.Label = "Another" },
			"contact":       func(t *directory.Tenant) { t.SignIn.Contact = "me@evil.example" },
		} {
			if err := set(s.fjord, change); directory.KindOf(err) != directory.Forbidden {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, err := s.svc.CreateSetupLink(s.ctx, by, s.fjord, secretHash("another"), time.Hour)
		wantKind(t, err, directory.NotFound)
		wantKind(t, s.svc.RevokeSetupLink(s.ctx, by, s.fjord), directory.NotFound)
		_, err = s.svc.CreateTenant(s.ctx, by, directory.Tenant{Name: "new", OrganizationIDs: []directory.ID{s.org}})
		wantKind(t, err, directory.NotFound)
		_, err = s.svc.CreateClient(s.ctx, by, s.fjord, directory.NewClient{ClientID: "x", Federated: &directory.Federated{Issuer: "https://issuer.example", Audience: "a", Subject: "s"}})
		wantKind(t, err, directory.NotFound)
		wantKind(t, s.svc.RemoveCredential(s.ctx, by, s.fjord, "graph"), directory.NotFound)
		wantKind(t, s.svc.RevokeToken(s.ctx, by, s.fjord, secret.ID), directory.NotFound)
		wantKind(t, s.svc.RevokeClient(s.ctx, by, s.fjord, "entra"), directory.NotFound)
		for name, id := range map[string]directory.ID{"the token of another tenant": s.harborToken(), "an access token": issued.ID} {
			_, err = s.svc.RotateToken(s.ctx, by, s.fjord, id, newToken("stolen"), 0)
			if kind := directory.KindOf(err); err == nil || kind != directory.NotFound && kind != directory.Conflict {
				t.Errorf("rotates %s: %v", name, err)
			}
		}
		_, err = s.svc.RotateToken(s.ctx, by, s.harbor, s.harborToken(), newToken("stolen"), 0)
		wantKind(t, err, directory.NotFound)
		_, err = s.svc.SetCredential(s.ctx, by, directory.Credential{TenantID: s.fjord, Name: "graph", Kind: "federated", TokenFile: "/etc/passwd"})
		wantKind(t, err, directory.Forbidden)
		_, _, err = s.svc.SetIntegration(s.ctx, by, s.production, directory.IntegrationInput{Groups: []string{}})
		wantKind(t, err, directory.NotFound)
	})
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		if _, err := sn.SeeTenant(by, s.fjord); directory.KindOf(err) != directory.NotFound {
			t.Errorf("sees the tenant: %v", err)
		}
		if _, err := sn.SeeAccount(by, s.ada.AccountID); directory.KindOf(err) != directory.NotFound {
			t.Errorf("sees a person: %v", err)
		}
		if _, err := sn.SeeSetup(by, s.harbor, s.clock.Now()); directory.KindOf(err) != directory.NotFound {
			t.Errorf("sees another setup: %v", err)
		}
		for what, n := range map[string]int{"tenants": len(must(sn.SeeTenants(by))), "environments": len(must(sn.SeeEnvironments(by))), "organizations": len(must(sn.SeeOrganizations(by)))} {
			if n > 0 {
				t.Errorf("sees %d %s", n, what)
			}
		}
		_, err := sn.SeeSetup(by, s.fjord, s.clock.Now())
		return true, err
	})
	for _, err := range []error{set(s.fjord, func(t *directory.Tenant) { t.DirectoryID = object(78) }), set(s.fjord, client), credential(s.fjord), create(s.fjord)} {
		if err != nil {
			t.Error(err)
		}
	}
	wantKind(t, set(s.fjord, func(t *directory.Tenant) { t.DirectoryID = object(79) }), directory.Forbidden) // it is known by now
	if err := set(s.fjord, func(t *directory.Tenant) { t.DirectoryID, t.Graph.ClientID, t.SignIn.ClientID = "", "", "" }); directory.KindOf(err) != directory.Forbidden {
		t.Errorf("the directory is taken away: %v", err)
	}
	s.clock.Advance(time.Hour)
	s.unchanged(func() {
		wantKind(t, create(s.fjord), directory.NotFound)
		wantKind(t, credential(s.fjord), directory.NotFound)
		wantKind(t, set(s.fjord, client), directory.NotFound)
		wantKind(t, s.svc.TestedConnection(s.ctx, by, s.fjord, nil), directory.NotFound)
	})
}

// harborToken makes a Secret Token of the other tenant, once.
func (s *scene) harborToken() directory.ID {
	all := view(s.world, func(sn *directory.Snapshot) ([]*directory.Token, error) {
		return sn.Tokens(s.harbor, directory.SecretToken)
	})
	if len(all) > 0 {
		return all[0].ID
	}
	return must(s.svc.CreateToken(s.ctx, operator, s.harbor, newToken("of harbor"))).ID
}

// opensSetup reports whether a setup link opens fjord, for reading and for changing.
func (s *scene) opensSetup(name string) bool {
	s.Helper()
	hash := secretHash(name)
	by := directory.Actor{Role: directory.RolePartner, Channel: "setup link", Reach: &directory.Reach{SetupLink: hash}}
	sees := view(s.world, func(sn *directory.Snapshot) (bool, error) {
		_, err := sn.SeeSetup(by, s.fjord, s.clock.Now())
		if directory.KindOf(err) == directory.NotFound {
			return false, nil
		}
		return err == nil, err
	})
	err := s.svc.TestedConnection(s.ctx, by, s.fjord, nil)
	if may := err == nil; may != sees || err != nil && directory.KindOf(err) != directory.NotFound {
		s.Errorf("%s: sees %v, and changes: %v", name, sees, err)
	}
	return sees
}

// A setup link never outlives what its maker may: one of a partner who has left, or whose tenant it is no longer, opens
// nothing, whether she made it herself or by a token of hers.
func TestSetupLinkEndsWithItsMaker(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	partner := s.adaPartner()
	s.add(s.pilots, s.ada)
	must(s.svc.CreateAPIToken(s.ctx, partner, apiToken("hers", directory.RolePartner, directory.Reach{Organizations: []directory.ID{s.org}}, "tokens:write")))
	asToken, ok := s.opensAPI("hers")
	if !ok {
		t.Fatal("her token does not open")
	}
	foreign := must(s.svc.CreateOrganization(s.ctx, operator, "Foreign")).ID
	belongs := func(orgs ...directory.ID) {
		t.Helper()
		must(s.svc.SetTenant(s.ctx, operator, s.fjord, func(t *directory.Tenant) error { t.OrganizationIDs = orgs; return nil }))
	}
	role := func(is bool) {
		t.Helper()
		must(s.svc.SetRoles(s.ctx, operator, s.ada.AccountID, directory.RoleInput{Partner: map[directory.ID]bool{s.org: is}}))
	}
	orgs := view(s.world, func(sn *directory.Snapshot) (*directory.Tenant, error) { return sn.Tenant(s.fjord) }).OrganizationIDs
	for name, maker := range map[string]directory.Actor{"herself": partner, "by her token": asToken} {
		create := func() {
			t.Helper()
			must(s.svc.CreateSetupLink(s.ctx, maker, s.fjord, secretHash(name), time.Hour))
		}
		want := func(opens bool, when string) {
			t.Helper()
			if s.opensSetup(name) != opens {
				t.Errorf("%s: opens is %v when %s", name, !opens, when)
			}
		}
		create()
		want(true, "new")
		s.setActive(s.ada, false)
		want(false, "she has left")
		s.setActive(s.ada, true)
		want(true, "she is back")
		belongs(append(slices.Clone(orgs), foreign)...)
		want(false, "the tenant is another's too")
		belongs(orgs...)
		want(true, "the tenant is hers alone again")
		role(false)
		want(false, "she is no partner any more")
		role(true)
		want(false, "she is a partner again")
		if name == "by her token" {
			break // her token ended with the role
		}
	}
}

// What somebody gave by a role goes with it when the directory deletes them: who gets their account and a role later does
// not get the links and tokens of the one before. Those of others stay.
func TestDeletedPersonsGiftsAreGone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	partner := s.adaPartner()
	s.add(s.pilots, s.ada)
	must(s.svc.CreateSetupLink(s.ctx, partner, s.fjord, secretHash("link"), time.Hour))
	must(s.svc.CreateSetupLink(s.ctx, operator, s.harbor, secretHash("other"), time.Hour))
	must(s.svc.CreateAPIToken(s.ctx, partner, apiToken("token", directory.RolePartner, directory.Reach{Organizations: []directory.ID{s.org}}, "runs:read")))
	must(s.svc.CreateAPIToken(s.ctx, operator, apiToken("other", directory.RolePartner, directory.Reach{Organizations: []directory.ID{s.org}}, "runs:read")))
	if _, ok := s.opensAPI("token"); !ok || !s.opensSetup("link") {
		t.Fatal("what she made does not open")
	}
	s.deleteUser(s.ada)
	again := s.createUser(s.fjord, person("ada", 1))
	if again.AccountID != s.ada.AccountID {
		t.Fatal("she has another account")
	}
	s.add(s.pilots, again)
	s.adaPartner()
	if _, ok := s.opensAPI("token"); ok || s.opensSetup("link") {
		t.Error("what somebody made who was deleted opens again")
	}
	if _, ok := s.opensAPI("other"); !ok {
		t.Error("a token of somebody else ended with hers")
	}
	live := view(s.world, func(sn *directory.Snapshot) (*directory.Link, error) { return sn.TenantLink(s.harbor, s.clock.Now()) })
	if live == nil {
		t.Error("a link of somebody else ended with hers")
	}
}

// TestSetupLinkActsAreAudited sees who made a link, for how long, and who ended it; a link that is over is none to end.
func TestSetupLinkActsAreAudited(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	must(s.svc.CreateSetupLink(s.ctx, operator, s.fjord, secretHash("one"), time.Hour))
	s.clock.Advance(time.Hour)
	wantKind(t, s.svc.RevokeSetupLink(s.ctx, operator, s.fjord), directory.NotFound)
	link := must(s.svc.CreateSetupLink(s.ctx, operator, s.fjord, secretHash("two"), time.Hour))
	if err := s.svc.RevokeSetupLink(s.ctx, operator, s.fjord); err != nil {
		t.Fatal(err)
	}
	if s.opensSetup("two") {
		t.Error("a revoked link opens")
	}
	var acts []string
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		return true, sn.Audit(0, func(e *directory.AuditEntry) bool {
			if strings.HasPrefix(e.Action, "setup-link.") {
				acts = append(acts, e.Action)
				if (strings.Contains(string(e.Detail), link.ID.String())) != (len(acts) > 1) {
					t.Errorf("%s: %s", e.Action, e.Detail)
				}
			}
			return true
		})
	})
	if got := strings.Join(acts, " "); got != "setup-link.create setup-link.create setup-link.revoke" {
		t.Errorf("audit: %s", got)
	}
}

func TestSetupLinkLives(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	const longest = 7 * 24 * time.Hour
	for _, life := range []time.Duration{0, -time.Hour, time.Second, longest + 1} {
		_, err := s.svc.CreateSetupLink(s.ctx, operator, s.fjord, secretHash("setup"), life)
		wantKind(t, err, directory.Invalid)
	}
	live := func(name string) bool {
		return view(s.world, func(sn *directory.Snapshot) (bool, error) {
			_, tenant, err := sn.SetupLink(secretHash(name), s.clock.Now())
			if directory.KindOf(err) == directory.NotFound {
				return false, nil
			}
			return err == nil && tenant.ID == s.fjord, err
		})
	}
	must(s.svc.CreateSetupLink(s.ctx, operator, s.fjord, secretHash("one"), time.Hour))
	must(s.svc.CreateSetupLink(s.ctx, operator, s.harbor, secretHash("harbor"), time.Hour))
	must(s.svc.CreateSetupLink(s.ctx, operator, s.fjord, secretHash("two"), longest))
	if live("one") || !live("two") {
		t.Error("the new link is not in place of the old one")
	}
	if err := s.svc.RevokeSetupLink(s.ctx, operator, s.harbor); err != nil || !live("two") {
		t.Errorf("another tenant's link was revoked: %v", err)
	}
	wantKind(t, s.svc.RevokeSetupLink(s.ctx, operator, s.harbor), directory.NotFound)
	s.clock.Advance(longest - time.Second)
	if !live("two") {
		t.Error("it has ended too early")
	}
	s.clock.Advance(time.Second)
	if live("two") {
		t.Error("it has not ended")
	}
}

// TestTenantIsRenamed sees that the old name is free and the new one is taken.
func TestTenantIsRenamed(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	rename := func(id directory.ID, to string) error {
		_, err := s.svc.SetTenant(s.ctx, operator, id, func(t *directory.Tenant) error { t.Name = to; return nil })
		return err
	}
	name := s.tenantName(s.fjord)
	s.unchanged(func() {
		wantKind(t, rename(s.fjord, s.tenantName(s.harbor)), directory.Exists)
		wantKind(t, rename(s.fjord, "Not A Name"), directory.Invalid)
	})
	if err := rename(s.fjord, "fjord-new"); err != nil {
		t.Fatal(err)
	}
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		if found, err := sn.TenantByName("fjord-new"); err != nil || found.ID != s.fjord {
			t.Errorf("%v, %v", found, err)
		}
		if _, err := sn.TenantByName(name); directory.KindOf(err) != directory.NotFound {
			t.Errorf("the old name: %v", err)
		}
		return true, nil
	})
	if err := rename(s.harbor, name); err != nil {
		t.Error(err)
	}
	checkInvariants(s.world)
}

func (s *scene) tenantName(id directory.ID) string {
	return view(s.world, func(sn *directory.Snapshot) (*directory.Tenant, error) { return sn.Tenant(id) }).Name
}
