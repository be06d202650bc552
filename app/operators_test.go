package app

import (
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

const operatorPassword = "tafel maan vis 42"

// visitor is somebody at a browser.
var visitor = directory.Actor{Channel: "console", Address: "192.0.2.1"}

// secretOf is the secret of a link.
func secretOf(t *testing.T, link NewLink, path string) string {
	t.Helper()
	u, err := url.Parse(link.URL)
	if err != nil || !strings.HasPrefix(u.Path, path) {
		t.Fatalf("link %s", link.URL)
	}
	return strings.TrimPrefix(u.Path, path)
}

// operatorWithPassword makes an operator who has used the link.
func (c *Client) operatorWithPassword(t *testing.T, email string) directory.ID {
	t.Helper()
	link := must(t, c, OperatorCreate, OperatorInput{Email: email})
	a, err := c.backstage(t).local.ResetPassword(t.Context(), visitor, secretOf(t, link, "/password/"), operatorPassword)
	if err != nil {
		t.Fatal(err)
	}
	return a.ID
}

func (c *Client) signIn(t *testing.T, email string) (string, *directory.Session) {
	t.Helper()
	secret, session, err := c.backstage(t).local.SignIn(t.Context(), auth.Attempt{Email: email, Password: operatorPassword, By: visitor})
	if err != nil {
		t.Fatal(err)
	}
	return secret, session
}

// enrol gives an operator a second factor and returns its secret.
func (c *Client) enrol(t *testing.T, account directory.ID) string {
	t.Helper()
	a := c.backstage(t)
	sealed, err := a.secrets.sealAt([]byte("JBSWY3DPEHPK3PXP"), auth.TOTPPlace(account))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.service.SetTOTP(t.Context(), directory.Actor{Role: directory.RoleUser, ID: account.String()}, account, sealed, 1); err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestOperatorsOnTheCommandLine(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	c := connectFolder(t, Config{Data: t.TempDir(), BaseURL: "https://id.example.com"}, Options{Now: func() time.Time { return now }})
	setup := must(t, c, OperatorSetupLink, None{})
	if setup.Kind != "setup" || setup.Account != nil || !setup.Expires.Equal(now.Add(24*time.Hour)) || !strings.HasPrefix(setup.URL, "https://id.example.com/setup/bzl_") {
		t.Errorf("%+v", setup)
	}
	ida := c.operatorWithPassword(t, "ida@example.com")
	refused(t, c, OperatorSetupLink, None{}, "conflict", "there is an operator already")
	refused(t, c, OperatorCreate, OperatorInput{Email: "ida@example.com"}, "conflict", "already")
	refused(t, c, OperatorCreate, OperatorInput{Email: "ida"}, "invalid", "not an e-mail address")

	// The last one stays, by every way.
	refused(t, c, OperatorRemove, OperatorRef{"ida@example.com"}, "conflict", "last operator")
	refused(t, c, RoleSet, RoleChange{UserRef: UserRef{Ref: "ida@example.com"}, Role: "operator"}, "conflict", "last operator")
	must(t, c, OperatorCreate, OperatorInput{Email: "bo@example.com"}) // who cannot sign in is no other one
	refused(t, c, OperatorRemove, OperatorRef{"ida@example.com"}, "conflict", "last operator")
	c.signIn(t, "ida@example.com")

	login := must(t, c, OperatorLoginLink, OperatorRef{ida.String()})
	if login.Kind != "sign-in" || login.Account.Name != "ida@example.com" || !login.Expires.Equal(now.Add(10*time.Minute)) {
		t.Errorf("%+v", login)
	}
	if _, session, err := c.backstage(t).local.SignInByLink(t.Context(), secretOf(t, login, "/operator/link/"), auth.Attempt{By: visitor}); err != nil || session.AccountID != ida {
		t.Errorf("the link: %v", err)
	}
	refused(t, c, OperatorLoginLink, OperatorRef{}, "invalid", "say which operator: bo@example.com, ida@example.com")

	// With another one, the first may go: role and password, and who is signed in is out.
	c.operatorWithPassword(t, "cy@example.com")
	c.enrol(t, ida)
	list := must(t, c, OperatorList, None{}).Items
	if len(list) != 3 || list[0].Email != "bo@example.com" || list[0].Password || !list[1].Password || list[1].TOTP || !list[2].TOTP || !list[2].Protected {
		t.Errorf("%+v", list)
	}
	if out := must(t, c, OperatorTOTPRemove, OperatorRef{"IDA@example.com"}); out.TOTP || !out.Password {
		t.Errorf("%+v", out)
	}
	refused(t, c, OperatorTOTPRemove, OperatorRef{"ida@example.com"}, "notFound", "no second factor")
	secret, _ := c.signIn(t, "ida@example.com")
	if out := must(t, c, OperatorRemove, OperatorRef{"ida@example.com"}); out.Operator || out.Password || !out.Protected {
		t.Errorf("%+v", out)
	}
	if _, err := c.backstage(t).service.CheckSession(t.Context(), auth.Hash(secret), time.Time{}); err == nil {
		t.Error("who is no operator any more is signed in")
	}
	refused(t, c, OperatorRemove, OperatorRef{"ida@example.com"}, "notFound", "is no operator")
	refused(t, c, OperatorRemove, OperatorRef{}, "invalid", "bizzscim operator list")

	// A partner keeps the password that the other role still needs.
	must(t, c, OrganizationCreate, NameInput{"Acme"})
	must(t, c, RoleSet, RoleChange{UserRef: UserRef{Ref: "bo@example.com"}, Role: "partner", Organization: "acme", Grant: true})
	reset := must(t, c, OperatorResetPassword, OperatorRef{"bo@example.com"})
	if _, err := c.backstage(t).local.ResetPassword(t.Context(), visitor, secretOf(t, reset, "/password/"), operatorPassword); err != nil {
		t.Fatal(err)
	}
	if out := must(t, c, OperatorRemove, OperatorRef{"bo@example.com"}); out.Operator || !out.Password {
		t.Errorf("%+v", out)
	}
	if r := must(t, c, RoleShow, UserRef{Ref: "bo@example.com"}); r.Operator || len(r.PartnerOf) != 1 || r.PartnerOf[0].Name != "Acme" || !r.SignsIn {
		t.Errorf("%+v", r)
	}
	refused(t, c, RoleSet, RoleChange{UserRef: UserRef{Ref: "bo@example.com"}, Role: "administrator", Grant: true}, "invalid", "bizzscim account administrator")
}

// TestExternalUsersHaveNoPassword: every way to give one says whose affair it is, and no link is made.
func TestExternalUsersHaveNoPassword(t *testing.T) {
	c := connectFolder(t, Config{Data: t.TempDir()}, Options{})
	dee := c.external(t, "acme", "dee@example.com")
	must(t, c, RoleSet, RoleChange{UserRef: UserRef{Ref: "dee@example.com"}, Role: "operator", Grant: true})
	refused(t, c, OperatorResetPassword, OperatorRef{"dee@example.com"}, "readOnly", "managed in the directory of acme")
	refused(t, c, OperatorLoginLink, OperatorRef{"dee@example.com"}, "readOnly", "managed in the directory of acme")
	refused(t, c, OperatorTOTPRemove, OperatorRef{"dee@example.com"}, "notFound", "no second factor")
	refused(t, c, OperatorLoginLink, OperatorRef{}, "notFound", "bizzscim operator setup-link") // nobody signs in here
	if err := c.backstage(t).local.ChangePassword(t.Context(), visitor, dee.AccountID, "", operatorPassword); directory.KindOf(err) != directory.ReadOnly || adminKinds[directory.KindOf(err)].status != 409 {
		t.Errorf("change: %v", err)
	}
	list := must(t, c, OperatorList, None{}).Items
	if len(list) != 1 || list[0].Tenant == nil || list[0].Tenant.Name != "acme" || list[0].Password {
		t.Errorf("%+v", list)
	}
	// Somebody of a directory who is called like an operator does not stand in the way of one.
	c.named(t, "acme", "ida@example.com", "ida@acme.example")
	c.operatorWithPassword(t, "ida@example.com")
	for _, ref := range []string{"", "ida@example.com", " IDA@example.com "} {
		if link, err := Call(t.Context(), c, OperatorLoginLink, OperatorRef{ref}); err != nil || link.Account.Name != "ida@example.com" {
			t.Errorf("%q: %+v, %v", ref, link, err)
		}
	}
	if out := must(t, c, OperatorRemove, OperatorRef{"dee@example.com"}); out.Operator {
		t.Errorf("%+v", out)
	}
}

// external makes a user of a tenant.
func (c *Client) external(t *testing.T, tenant, email string) *directory.User {
	t.Helper()
	return c.named(t, tenant, email, email)
}

func (c *Client) named(t *testing.T, tenant, userName, email string) *directory.User {
	t.Helper()
	a := c.backstage(t)
	found, err := a.tenant(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	u, err := a.service.CreateUser(t.Context(), directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: "token"}, found.ID, directory.UserInput{
		Profile: directory.Profile{UserName: userName, ExternalID: NewID().String(), Name: "Dee", Email: email, Emails: []string{email}, Active: true},
		Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:User"]`), Attributes: []byte(`{"userName":` + strconv.Quote(userName) + `}`)})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestSessionsOnTheCommandLine(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	c := connectFolder(t, Config{Data: t.TempDir()}, Options{Now: func() time.Time { return now }})
	if out := must(t, c, SessionList, SessionFilter{}); len(out.Items) != 0 || out.Items == nil {
		t.Errorf("%+v", out)
	}
	ida, bo := c.operatorWithPassword(t, "ida@example.com"), c.operatorWithPassword(t, "bo@example.com")
	idaSecret, first := c.signIn(t, "ida@example.com")
	now = now.Add(time.Minute)
	_, second := c.signIn(t, "ida@example.com")
	boSecret, _ := c.signIn(t, "bo@example.com")
	mine := must(t, c, SessionList, SessionFilter{User: "ida@example.com"}).Items
	if len(mine) != 2 || mine[0].ID != second.ID.String() || mine[1].ID != first.ID.String() || mine[1].Method != "password" || mine[1].Account.ID != ida.String() ||
		mine[1].Ended != nil || !mine[1].Expires.Equal(first.Expires) {
		t.Errorf("%+v", mine)
	}
	// Page by page, of whole accounts.
	page := must(t, c, SessionList, SessionFilter{Page: Page{Limit: 1}})
	if len(page.Items) != 2 || page.Next != ida.String() {
		t.Errorf("%+v", page)
	}
	if page = must(t, c, SessionList, SessionFilter{Page: Page{Limit: 1, After: page.Next}}); len(page.Items) != 1 || page.Items[0].Account.ID != bo.String() {
		t.Errorf("%+v", page)
	}
	if page = must(t, c, SessionList, SessionFilter{Page: Page{After: bo.String()}}); len(page.Items) != 0 || page.Next != "" {
		t.Errorf("%+v", page)
	}

	refused(t, c, SessionEnd, SessionRef{UserRef: UserRef{Ref: "ida@example.com"}}, "invalid", "say which")
	refused(t, c, SessionEnd, SessionRef{UserRef: UserRef{Ref: "ida@example.com"}, All: true, Session: "x"}, "invalid", "say which")
	refused(t, c, SessionEnd, SessionRef{UserRef: UserRef{Ref: "bo@example.com"}, Session: first.ID.String()}, "notFound", "bizzscim session list")
	if out := must(t, c, SessionEnd, SessionRef{UserRef: UserRef{Ref: "ida@example.com"}, Session: first.ID.String()}); out.Ended != 1 {
		t.Errorf("%+v", out)
	}
	service := c.backstage(t).service
	if _, err := service.CheckSession(t.Context(), auth.Hash(idaSecret), time.Time{}); err == nil {
		t.Error("an ended session holds")
	}
	if mine = must(t, c, SessionList, SessionFilter{User: "ida@example.com"}).Items; len(mine) != 1 || mine[0].ID != second.ID.String() {
		t.Errorf("%+v", mine)
	}
	mine = must(t, c, SessionList, SessionFilter{User: "ida@example.com", Ended: true}).Items
	if len(mine) != 2 || mine[1].Reason != "revoked" || mine[1].Ended == nil {
		t.Errorf("%+v", mine)
	}
	if out := must(t, c, SessionEnd, SessionRef{UserRef: UserRef{Ref: "ida@example.com"}, All: true}); out.Ended != 1 {
		t.Errorf("%+v", out)
	}
	if _, err := service.CheckSession(t.Context(), auth.Hash(boSecret), time.Time{}); err != nil {
		t.Errorf("another's session ended: %v", err)
	}
	now = now.Add(8 * time.Hour)
	if out := must(t, c, SessionList, SessionFilter{}); len(out.Items) != 0 {
		t.Errorf("%+v", out)
	}
	mine = must(t, c, SessionList, SessionFilter{User: "bo@example.com", Ended: true}).Items
	if len(mine) != 1 || mine[0].Reason != "expired" || mine[0].Ended == nil || !mine[0].Ended.Equal(mine[0].Expires) {
		t.Errorf("%+v", mine)
	}
}

// TestSecretsOfOurOwnAreSealedAgain: second factors and signing keys follow a rotation, and a lost key is
// not hidden by a new one.
func TestSecretsOfOurOwnAreSealedAgain(t *testing.T) {
	dir := t.TempDir()
	c := connectFolder(t, Config{Data: dir}, Options{})
	a := c.backstage(t)
	ida := c.operatorWithPassword(t, "ida@example.com")
	before := c.enrol(t, ida)
	must(t, c, KeysRotate, None{})
	totp := func() string {
		login, err := view(t.Context(), a.service, func(sn *directory.Snapshot) (*directory.Login, error) { return sn.Login(ida) })
		if err != nil {
			t.Fatal(err)
		}
		return login.TOTP
	}
	signing := func() (plain []byte) {
		keys, err := view(t.Context(), a.service, func(sn *directory.Snapshot) ([]directory.SigningKey, error) { return sn.SigningKeys() })
		if err != nil || len(keys) == 0 {
			t.Fatal(err)
		}
		if plain, err = a.secrets.openAt(keys[0].Sealed, "signing-key/"+keys[0].ID); err != nil {
			t.Error(err)
		}
		return plain
	}
	key := signing()
	out := must(t, c, SecretsRotate, SecretsRotation{Forget: true})
	if out.SecondFactors != 1 || out.SigningKeys != 1 || out.Resealed != 0 || out.Keys != 1 || totp() == before {
		t.Errorf("%+v", out)
	}
	if plain, err := a.secrets.openAt(totp(), "totp/"+ida.String()); err != nil || string(plain) != "JBSWY3DPEHPK3PXP" {
		t.Errorf("%q, %v", plain, err)
	}
	if string(signing()) != string(key) {
		t.Error("the signing key changed")
	}
	if _, err := a.secrets.openAt(totp(), "totp/"+directory.ID{1}.String()); directory.KindOf(err) != directory.Unavailable || err == nil {
		t.Errorf("it opens at another's place: %v", err)
	}
	if again := must(t, c, SecretsRotate, SecretsRotation{}); again.SecondFactors != 1 {
		t.Errorf("%+v", again)
	}

	file := filepath.Join(dir, keyFile)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := a.secrets.check(t.Context()); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("check: %v", err)
	}
	if _, err := a.secrets.sealAt([]byte("x"), "a place"); err == nil || !strings.Contains(err.Error(), "bizzscim operator totp-remove") {
		t.Errorf("a new key hides that the old one is lost: %v", err)
	}
	// Another key cannot seal again what it does not open, and then the old ones stay.
	if err := os.WriteFile(file, []byte(GenerateKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, c, SecretsRotate, SecretsRotation{Forget: true}, "unavailable", "the second factor of account "+ida.String()+" cannot be opened")
	must(t, c, OperatorTOTPRemove, OperatorRef{"ida@example.com"})
	refused(t, c, SecretsRotate, SecretsRotation{Forget: true}, "unavailable", "bizzscim keys rotate")
	must(t, c, KeysRotate, None{})
	if out := must(t, c, SecretsRotate, SecretsRotation{Forget: true}); out.Keys != 1 {
		t.Errorf("%+v", out)
	}
}

// TestSigningKeysHideNothing: a lost key file that nothing but signing keys needs is made anew.
func TestSigningKeysHideNothing(t *testing.T) {
	dir := t.TempDir()
	c := connectFolder(t, Config{Data: dir}, Options{})
	must(t, c, KeysRotate, None{})
	if err := os.Remove(filepath.Join(dir, keyFile)); err != nil {
		t.Fatal(err)
	}
	a := c.backstage(t)
	sealed, err := a.secrets.sealAt([]byte("x"), "a place")
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := a.secrets.openAt(sealed, "a place"); err != nil || string(plain) != "x" {
		t.Errorf("%q, %v", plain, err)
	}
}

// TestTheSignInHasACredentialOfItsOwn: client id and credential of one application never stand for the other.
func TestTheSignInHasACredentialOfItsOwn(t *testing.T) {
	c := connectFolder(t, Config{Data: t.TempDir()}, Options{})
	withCredentials(t, c, map[string]string{"acme": "abc~secret-of-the-graph-application"})
	const other = "4f2a4f9f-0000-4b5e-9c60-00000000000a"
	refused(t, c, CredentialSet, CredentialInput{Tenant: "acme", For: "sign-in", Secret: "def~x"}, "invalid", "the application that signs people in with --client-id")
	refused(t, c, CredentialSet, CredentialInput{Tenant: "acme", For: "mail", Secret: "def~x", ClientID: other}, "invalid", "graph or sign-in")
	set := must(t, c, CredentialSet, CredentialInput{Tenant: "acme", For: "sign-in", Secret: "def~secret-of-the-sign-in", ClientID: other})
	tenant := must(t, c, TenantShow, RefInput{"acme"})
	if set.Name != "sign-in" || set.ClientID != other || !strings.Contains(set.Warning, "--expires") || tenant.SignIn.ClientID != other || tenant.Graph.ClientID != clientID ||
		tenant.Credential.ClientID != clientID || tenant.SignInCredential.ClientID != other || tenant.SignIn.LogoutURL != tenant.SignIn.RedirectURI[:len(tenant.SignIn.RedirectURI)-len(callbackPath)]+frontchannelPath+tenant.ID {
		t.Errorf("%+v, %+v", set, tenant)
	}
	c.opens(t, "acme", "abc~secret-of-the-graph-application")
	if list := must(t, c, CredentialList, CredentialFilter{Tenant: "acme"}); len(list.Items) != 2 {
		t.Errorf("%+v", list)
	}
	if list := must(t, c, CredentialList, CredentialFilter{For: "sign-in"}); len(list.Items) != 1 || list.Items[0].Name != "sign-in" {
		t.Errorf("%+v", list)
	}
	refused(t, c, CredentialList, CredentialFilter{For: "x"}, "invalid", "graph or sign-in")
	must(t, c, CredentialRemove, CredentialRef{Ref: "acme", For: "sign-in"})
	refused(t, c, CredentialRemove, CredentialRef{Ref: "acme", For: "sign-in"}, "notFound", "bizzscim tenant credential set acme --for sign-in")
	refused(t, c, CredentialRemove, CredentialRef{Ref: "acme", For: "x"}, "invalid", "graph or sign-in")
	c.opens(t, "acme", "abc~secret-of-the-graph-application")
}
