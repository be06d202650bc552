package directory_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
)

// One partner or administrator fills neither the disk nor the one writer that all share.

func manyNames(n int) (all []string) {
	for i := range n {
		all = append(all, object(1000+i))
	}
	return all
}

func TestIntegrationsAreBounded(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for name, in := range map[string]directory.IntegrationInput{
		"groups":       {Groups: manyNames(501)},
		"defaultMenus": {DefaultMenus: manyNames(101)},
	} {
		s.unchanged(func() {
			_, _, err := s.svc.SetIntegration(s.ctx, administrator(s.production), s.production, in)
			wantField(t, err, directory.Invalid, name)
		})
	}
	s.unchanged(func() {
		_, _, err := s.svc.SetIntegration(s.ctx, operator, s.production, directory.IntegrationInput{DefaultMenus: []string{strings.Repeat("m", 257)}})
		wantField(t, err, directory.Invalid, "defaultMenus")
	})
	groups, menus := manyNames(500), manyNames(100)
	s.set(s.production, directory.IntegrationInput{Groups: append(slices.Clone(groups), groups...), DefaultMenus: append([]string{" " + menus[0] + " "}, menus...)})
	in := s.environment(s.production).Integration
	if diff := cmp.Diff([][]string{groups, menus}, [][]string{in.Groups, in.DefaultMenus}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func wantField(t *testing.T, err error, kind directory.ErrorKind, field string) {
	t.Helper()
	wantKind(t, err, kind)
	if e := new(directory.Error); !errors.As(err, &e) || e.Field != field {
		t.Errorf("%v is not about %s", err, field)
	}
}

func TestTenantsOfAPartnerAreBounded(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	spare := s.world.org("Spare")
	partner := directory.Actor{Role: directory.RolePartner, ID: "partner", Reach: &directory.Reach{Organizations: []directory.ID{s.org, spare}}}
	create := func(by directory.Actor, name string, orgs ...directory.ID) (*directory.Tenant, error) {
		return s.svc.CreateTenant(s.ctx, by, directory.Tenant{Name: name, OrganizationIDs: orgs})
	}
	for i := range 48 { // besides fjord and harbor
		must(create(partner, fmt.Sprint("t", i), s.org))
	}
	s.unchanged(func() {
		_, err := create(partner, "more", s.org)
		wantField(t, err, directory.Conflict, "organizations")
	})
	// Nor by way of another organization.
	other := must(create(partner, "other", spare))
	s.unchanged(func() {
		_, err := s.svc.SetTenant(s.ctx, partner, other.ID, func(t *directory.Tenant) error {
			t.OrganizationIDs = []directory.ID{s.org}
			return nil
		})
		wantField(t, err, directory.Conflict, "organizations")
	})
	full := must(create(operator, "more", s.org))
	must(s.svc.SetTenant(s.ctx, partner, full.ID, func(t *directory.Tenant) error { t.SignIn.Label = "Changed"; return nil }))
}

func TestExtensionsAreBoundedAndAuditedByDigest(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	set := func(extensions ...string) error {
		_, err := s.svc.SetTenant(s.ctx, s.adaPartner(), s.fjord, func(t *directory.Tenant) error {
			t.SCIM.Extensions = nil
			for _, x := range extensions {
				t.SCIM.Extensions = append(t.SCIM.Extensions, []byte(`"`+x+`"`))
			}
			return nil
		})
		return err
	}
	s.adaPartner()
	if err := set(strings.Repeat("x", 60<<10), "little"); err != nil {
		t.Fatal(err)
	}
	first := string(s.lastAudit().Detail)
	if len(first) > 4<<10 || !strings.Contains(first, `{"bytes":61442,"sha256":"`) || !strings.Contains(first, `"little"`) {
		t.Errorf("audited: %.200s… of %d bytes", first, len(first))
	}
	if err := set(strings.Repeat("y", 60<<10), "little"); err != nil {
		t.Fatal(err)
	}
	if second := string(s.lastAudit().Detail); strings.Count(second, `"sha256":"`) != 2 || strings.Count(second, digestIn(first)) != 1 {
		t.Errorf("it is not told what changed: %.600s", second)
	}
	if got := view(s.world, func(sn *directory.Snapshot) (*directory.Tenant, error) { return sn.Tenant(s.fjord) }); len(got.SCIM.Extensions[0]) != 60<<10+2 {
		t.Errorf("kept: %.100s", got.SCIM.Extensions[0])
	}
	err := set(strings.Repeat("x", 40<<10), strings.Repeat("y", 30<<10))
	wantField(t, err, directory.Invalid, "extensions")
}

func TestMenusAreAuditedByDigest(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	must(s.svc.SetMenus(s.ctx, operator, s.production, manyNames(1000)))
	if got := string(s.lastAudit().Detail); len(got) > 4<<10 || !strings.Contains(got, `"sha256":"`) {
		t.Errorf("audited: %.200s… of %d bytes", got, len(got))
	}
}

func digestIn(detail string) string {
	_, digest, _ := strings.Cut(detail, `"sha256":"`)
	digest, _, _ = strings.Cut(digest, `"`)
	return digest
}

func (s *scene) apiTokens() []*directory.APIToken {
	return view(s.world, func(sn *directory.Snapshot) ([]*directory.APIToken, error) { return sn.SeeAPITokens(operator) })
}

func TestEndedAPITokensGo(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	partner := s.adaPartner()
	reach := directory.Reach{Organizations: []directory.ID{s.org}}
	must(s.svc.CreateAPIToken(s.ctx, operator, apiToken("another's", directory.RoleOperator, directory.Reach{}, "runs:read")))
	// What a token made that is gone is nobody's: it does not become the command line's.
	maker := must(s.svc.CreateAPIToken(s.ctx, partner, apiToken("maker", directory.RolePartner, reach, directory.APIScopes...)))
	by, _ := s.opensAPI("maker")
	must(s.svc.CreateSetupLink(s.ctx, by, s.fjord, secretHash("link"), directory.MaxSetupLinkLife))
	opens := func() (ok bool) {
		return view(s.world, func(sn *directory.Snapshot) (bool, error) {
			_, _, err := sn.SetupLink(secretHash("link"), s.clock.Now())
			if directory.KindOf(err) == directory.NotFound {
				return false, nil
			}
			return err == nil, err
		})
	}
	revoke := func(id directory.ID) { must(s.svc.RevokeAPIToken(s.ctx, operator, id)) }
	revoke(maker.ID)
	if !opens() {
		t.Error("the link does not open while its maker's token is known")
	}
	for i := range 201 {
		s.clock.Advance(time.Second)
		revoke(must(s.svc.CreateAPIToken(s.ctx, partner, apiToken(fmt.Sprint("t", i), directory.RolePartner, reach, "runs:read"))).ID)
	}
	s.clock.Advance(time.Second)
	live := must(s.svc.CreateAPIToken(s.ctx, partner, apiToken("live", directory.RolePartner, reach, "runs:read")))
	all := s.apiTokens()
	if len(all) != 202 || all[0].ID != live.ID || all[200].Name != "t1" || all[201].Name != "another's" {
		t.Errorf("%d tokens are kept, the oldest %s %s", len(all), all[len(all)-2].Name, all[len(all)-1].Name)
	}
	if opens() {
		t.Error("a link of a token that is gone answers to nobody, and opens")
	}
	must(s.svc.CreateAPIToken(s.ctx, operator, apiToken("maker", directory.RoleOperator, directory.Reach{}, "runs:read"))) // nothing of the old one is left
	s.clock.Advance(90 * 24 * time.Hour)
	must(s.svc.CreateAPIToken(s.ctx, partner, apiToken("later", directory.RolePartner, reach, "runs:read")))
	names := []string{}
	for _, x := range s.apiTokens() {
		names = append(names, x.Name)
	}
	// "live" ended this very moment; those of another are tidied when that one makes one.
	if diff := cmp.Diff([]string{"later", "maker", "live", "another's"}, names); diff != "" {
		t.Errorf("after 90 days (-want +got):\n%s", diff)
	}
}

func TestEndedSecretTokensGo(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	names := func() (all []string) {
		for _, x := range view(s.world, func(sn *directory.Snapshot) ([]*directory.Token, error) {
			return sn.Tokens(s.fjord, directory.SecretToken)
		}) {
			all = append(all, x.Name)
		}
		return all
	}
	create := func(name string) *directory.Token {
		n := newToken("secret-" + name)
		n.Name = name
		return must(s.svc.CreateToken(s.ctx, operator, s.fjord, n))
	}
	for i := range 202 {
		if err := s.svc.RevokeToken(s.ctx, operator, s.fjord, create(fmt.Sprint(i)).ID); err != nil {
			t.Fatal(err)
		}
		s.clock.Advance(time.Second)
	}
	create("live")
	if got := names(); len(got) != 201 || got[0] != "2" {
		t.Errorf("%d are kept, the oldest %s", len(got), got[0])
	}
	s.clock.Advance(90*24*time.Hour - 3*time.Second)
	create("second")
	if got := names(); got[0] == "2" || len(got) < 3 || got[len(got)-2] != "live" {
		t.Errorf("just before 90 days: %d, %v", len(got), got)
	}
	s.clock.Advance(time.Hour)
	if err := s.svc.RevokeToken(s.ctx, operator, s.fjord, view(s.world, func(sn *directory.Snapshot) ([]*directory.Token, error) {
		return sn.Tokens(s.fjord, directory.SecretToken)
	})[len(names())-1].ID); err != nil {
		t.Fatal(err)
	}
	create("third")
	if diff := cmp.Diff([]string{"live", "second", "third"}, names()); diff != "" {
		t.Errorf("after 90 days (-want +got):\n%s", diff)
	}
	n := newToken("long")
	n.Name = strings.Repeat("n", 257)
	_, err := s.svc.RotateToken(s.ctx, operator, s.fjord, number(1), n, 0)
	wantField(t, err, directory.Invalid, "name")
	checkInvariants(s.world)
}

func TestRevokedClientsGo(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	federated := &directory.Federated{Issuer: "https://issuer.example", Audience: "api", Subject: "app"}
	create := func(id string) error {
		_, err := s.svc.CreateClient(s.ctx, s.adaPartner(), s.fjord, directory.NewClient{ClientID: id, Federated: federated})
		return err
	}
	count := func() int {
		return len(view(s.world, func(sn *directory.Snapshot) ([]*directory.Client, error) { return sn.Clients(s.fjord) }))
	}
	for i := range directory.MaxClients {
		if err := create(fmt.Sprint("c", i)); err != nil {
			t.Fatal(err)
		}
	}
	wantKind(t, create("more"), directory.Conflict)
	if err := s.svc.RevokeClient(s.ctx, operator, s.fjord, "c0"); err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(90 * 24 * time.Hour)
	if err := create("more"); err != nil || count() != directory.MaxClients+1 {
		t.Errorf("at 90 days: %v, %d", err, count())
	}
	if err := s.svc.RevokeClient(s.ctx, operator, s.fjord, "c1"); err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(time.Millisecond)
	if err := create("c0"); err != nil || count() != directory.MaxClients+1 {
		t.Errorf("after 90 days: %v, %d", err, count())
	}
}

// TestAnswersAreBounded: a token that has used too many idempotency keys waits.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	one, other := number(1001), number(1002)
	request := func(n int) (h [32]byte) {
		binary.BigEndian.PutUint64(h[:], uint64(n))
		return h
	}
	may := func(token directory.ID) error {
		return s.svc.View(s.ctx, func(sn *directory.Snapshot) error { return sn.MayKeepAnswer(token) })
	}
	i := slices.IndexFunc(directory.Tables, func(t *directory.Table) bool { return t.Name == "idempotency" })
	fill := func(from, to int) {
		t.Helper()
		if err := s.store.Store.Update(s.ctx, func(w directory.Writer) error { // all at once: one by one takes long
			for n := from; n < to; n++ {
				h := request(n)
				if err := w.Put(directory.Tables[i], append(one[:], h[:]...), []byte(`{}`)); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	fill(0, 9_999)
	if err := may(one); err != nil {
		t.Errorf("9,999 are kept: %v", err)
	}
	fill(9_999, 10_000)
	wantKind(t, may(one), directory.RateLimited)
	if err := may(other); err != nil {
		t.Errorf("another token: %v", err)
	}
}
