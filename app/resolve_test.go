package app

import (
	"testing"

	"github.com/bizzstream/bizzscim/directory"
)

// TestWhoIsMeant: without a tenant an internal user is meant, if there is one of that name; people of several tenants are told
// apart, and nobody is chosen among them. An id is nobody else's name.
func TestWhoIsMeant(t *testing.T) {
	c := connectFolder(t, Config{Data: t.TempDir()}, Options{})
	service := c.backstage(t).service
	tenants := map[string]directory.ID{}
	provision := func(tenant, userName, externalID string, emails ...string) string {
		t.Helper()
		u, err := service.CreateUser(t.Context(), directory.Actor{Role: directory.RoleDirectory, Channel: "scim"}, tenants[tenant], directory.UserInput{
			Profile: directory.Profile{UserName: userName, ExternalID: externalID, Emails: emails, Active: true}, Schemas: []byte(`[]`), Attributes: []byte(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
		return u.AccountID.String()
	}
	must(t, c, TenantCreate, TenantInput{Name: "fjord"})
	for _, name := range []string{"acme", "fjord"} {
		id, _ := directory.ParseID(must(t, c, TenantShow, RefInput{name}).ID)
		tenants[name] = id
	}
	ida := map[string]string{"acme": provision("acme", "ida", "", "ida@example.com"), "fjord": provision("fjord", "ida", "", "ida@example.com")}
	shows := func(ref UserRef, want string) {
		t.Helper()
		if got := must(t, c, UserShow, ref); got.ID != want {
			t.Errorf("%+v is %s, want %s", ref, got.ID, want)
		}
	}
	for _, name := range []string{"ida", "IDA@example.com"} {
		for tenant, account := range ida {
			shows(UserRef{name, tenant}, account)
			refused(t, c, UserShow, UserRef{Ref: name}, "invalid", account+" of tenant "+tenant)
		}
		const how = "say which with --tenant, or by id"
		refused(t, c, UserShow, UserRef{Ref: name}, "invalid", how)
		refused(t, c, UserForgetSubject, UserRef{Ref: name}, "invalid", how)
		refused(t, c, AccountProtect, Protection{UserRef{Ref: name}, true}, "invalid", how)
		refused(t, c, RoleShow, UserRef{Ref: name}, "invalid", how)
		refused(t, c, RoleSet, RoleChange{UserRef: UserRef{Ref: name}, Role: "operator", Grant: true}, "invalid", how)
		refused(t, c, SessionList, SessionFilter{User: name}, "invalid", how)
		refused(t, c, SessionEnd, SessionRef{UserRef: UserRef{Ref: name}, All: true}, "invalid", how)
		refused(t, c, AccessAdministrator, AdministratorInput{UserRef: UserRef{Ref: name}}, "invalid", how)
	}

	own := must(t, c, UserCreate, UserInput{"ida", "ida@example.com", "Ida"}).ID
	for _, name := range []string{"ida", "IDA@example.com", own} {
		shows(UserRef{Ref: name}, own)
	}
	for tenant, account := range ida {
		shows(UserRef{"ida", tenant}, account)
		shows(UserRef{Ref: account}, account)
	}
	must(t, c, AccountProtect, Protection{UserRef{Ref: "ida"}, true})
	if !must(t, c, UserShow, UserRef{Ref: own}).Protected || must(t, c, UserShow, UserRef{"ida", "acme"}).Protected {
		t.Error("somebody else is protected")
	}
	second := must(t, c, UserCreate, UserInput{"ida", "other@example.com", "Ida"}).ID
	refused(t, c, UserShow, UserRef{Ref: "ida"}, "invalid", "say which by id: "+own+", "+second)

	must(t, c, UserCreate, UserInput{ida["acme"], "third@example.com", ""})
	shows(UserRef{Ref: ida["acme"]}, ida["acme"])
	// A directory names people as it likes.
	const object = "7c3a1f0e-5b7d-4e55-9b1f-2f6f0d0c1a11"
	bo := provision("acme", "bo", object)
	provision("fjord", object, "")
	shows(UserRef{Ref: object}, bo)
	evil := provision("fjord", own, own, own)
	shows(UserRef{Ref: own}, own)
	shows(UserRef{own, "fjord"}, evil)
}
