package e2e_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

func fjordPartner(w *apptest.World) *directory.Account { return w.Fjord.Partner }

func ofTenant(rest string) func(*apptest.World) string {
	return func(w *apptest.World) string { return "/tenants/" + w.Fjord.Tenant.ID.String() + rest }
}

var tenantShots = []shot{
	{name: "tenants", who: boss, path: at("/tenants")},
	{name: "tenants-none-match", who: boss, path: at("/tenants?text=zzz")},
	{name: "tenants-new", who: fjordPartner, path: at("/tenants/new")},
	{name: "tenants-overview", who: boss, path: ofTenant("")},
	{name: "tenants-test", who: boss, path: ofNordwind(""), open: `section form[action$="/test"] button`},
	{name: "tenants-settings", who: boss, path: ofTenant("/settings")},
	{name: "tenants-applications", who: boss, path: ofTenant("/applications")},
	{name: "tenants-credentials", who: boss, path: ofTenant("/credentials")},
	{name: "tenants-credential-enter", who: boss, path: ofTenant("/credentials"), open: "details.more summary"},
	{name: "tenants-tokens", who: boss, path: ofTenant("/tokens")},
	{name: "tenants-token-revoke", who: boss, path: ofTenant("/tokens"), open: "summary.danger"},
	{name: "tenants-clients", who: boss, path: ofTenant("/clients")},
	{name: "tenants-guide", who: fjordPartner, path: ofTenant("/guide")},
	{name: "tenants-connect", path: connectPath},
	{name: "tenants-connect-over", path: at("/connect/bzl_0")},
}

// connectPath is a setup link of a tenant whose directory has not come yet.
func connectPath(w *apptest.World) string {
	secret := auth.NewLinkSecret()
	var fresh *directory.Tenant
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) (err error) {
		fresh, err = sn.TenantByName("fjord-shipyard")
		return err
	}))
	_, err := w.Service.CreateSetupLink(w.Context(), apptest.Operator, fresh.ID, secret.Hash, 24*time.Hour)
	w.Must(err)
	return auth.LinkPath(directory.LinkConnect, secret.Text)
}

// furnishCertificate makes a certificate with its private key.
func furnishCertificate(w *apptest.World) string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	w.Must(err)
	of := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "BizzStream synchronization"}, NotBefore: w.Now().Add(-time.Hour), NotAfter: w.Now().AddDate(0, 9, 0)}
	certificate, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	w.Must(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	w.Must(err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

func furnishTenants(w *apptest.World) {
	ctx, by := w.Context(), apptest.Operator
	by.ID = w.Boss.ID.String()
	token := func(tenant directory.ID, name string, life time.Duration) *directory.Token {
		s := auth.NewSecret()
		t, err := w.Service.CreateToken(ctx, by, tenant, directory.NewToken{Name: name, Hash: s.Hash, Hint: s.Hint, Life: life})
		w.Must(err)
		return t
	}
	fjord := w.Fjord.Tenant
	_, err := w.Service.SetTenant(ctx, by, fjord.ID, func(t *directory.Tenant) error {
		t.TrustedDomains = []string{"fjord.example", "fjordlogistics.example"}
		t.SignIn.ClientID, t.SignIn.Label, t.SignIn.Contact = "7d0e1c52-6f3a-4a5e-9d0b-1f0a5c1e2b3c", "Fjord Logistics", "it-help@fjord.example"
		return nil
	})
	w.Must(err)
	enter := func(name string, in desk.CredentialInput) {
		_, err := w.App.Desk().SetCredential(ctx, by, fjord.ID, name, in)
		w.Must(err)
	}
	enter(directory.GraphCredential, desk.CredentialInput{Certificate: furnishCertificate(w)})
	enter(directory.SignInCredential, desk.CredentialInput{Secret: "q7~shots-of-a-client-secret", Expires: w.Now().AddDate(0, 0, 5).Format(time.DateOnly)})
	w.Source.Lack("GroupMember.Read.All", "Microsoft Graph refuses to list groups: the application needs the application permission GroupMember.Read.All, with admin consent")
	old := token(fjord.ID, "Entra pilot", 90*24*time.Hour)
	w.Must(w.Service.RevokeToken(ctx, by, fjord.ID, old.ID))
	var live []*directory.Token
	w.Must(w.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		live, err = sn.Tokens(fjord.ID, directory.SecretToken)
		return err
	}))
	for _, t := range live {
		if t.Live(w.Now()) {
			w.Must(w.Service.TouchToken(ctx, fjord.ID, t.ID, "20.190.151.7"))
			s := auth.NewSecret()
			_, err := w.Service.RotateToken(ctx, by, fjord.ID, t.ID, directory.NewToken{Name: "Entra", Hash: s.Hash, Hint: s.Hint}, 24*time.Hour)
			w.Must(err)
		}
	}
	s := auth.NewSecret()
	_, err = w.Service.CreateClient(ctx, by, fjord.ID, directory.NewClient{ClientID: "entra-production", Secret: &directory.NewToken{Hash: s.Hash, Hint: s.Hint}})
	w.Must(err)
	_, err = w.Service.CreateClient(ctx, by, fjord.ID, directory.NewClient{ClientID: "github-actions", TokenLife: time.Hour, Federated: &directory.Federated{
		Issuer: "https://token.actions.githubusercontent.com", Audience: "bizzscim", Subject: "repo:fjord/provisioning:ref:refs/heads/main"}})
	w.Must(err)
	for _, x := range []struct{ name, label, directory, cloud string }{{"fjord-shipyard", "Fjord Shipyard", "", ""}, {"fjord-gov", "Fjord Defence", "2a1f4f9f-8d7e-4b5e-9c60-00000000000b", "usgov"}} {
		t, err := w.Service.CreateTenant(ctx, by, directory.Tenant{Name: x.name, OrganizationIDs: []directory.ID{w.Fjord.Organization.ID}, DirectoryID: x.directory,
			SignIn: directory.SignIn{Label: x.label}, Graph: directory.Graph{Cloud: x.cloud}})
		w.Must(err)
		if strings.HasSuffix(x.name, "gov") {
			token(t.ID, "Entra", 20*24*time.Hour)
		}
	}
}
