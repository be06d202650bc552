package app

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"
)

// keys are made once: RSA takes its time.
var (
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
)

func newRSA(bits int) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return k
}

// certify makes a certificate of a key for a time, as PEM and as it is.
func certify(t *testing.T, key crypto.Signer, from, to time.Time) (string, *x509.Certificate) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bizzscim"}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return block("CERTIFICATE", der), c
}

func block(kind string, content []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}))
}

func pkcs8(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return block("PRIVATE KEY", der)
}

func certificatePEM(t *testing.T) string {
	now := time.Now()
	text, _ := certify(t, rsaKey(), now.Add(-time.Hour), now.Add(time.Hour))
	return text
}

func TestCredentialKinds(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	c := connectStoreAt(t, now)
	const app = "3F2A4F9F-0000-4B5E-9C60-00000000000A"
	refused(t, c, CredentialSet, CredentialInput{Tenant: "acme", Secret: "abc~" + strings.Repeat("x", 30)}, "invalid", "--client-id")
	refused(t, c, CredentialSet, CredentialInput{Tenant: "acme", Secret: "abc~" + strings.Repeat("x", 30), ClientID: app}, "invalid", "bizzscim tenant set acme --directory-id ID")
	id := "6a1f4f9f-0000-4b5e-9c60-00000000000b"
	must(t, c, TenantSet, TenantChange{Ref: "acme", DirectoryID: &id})
	for name, tt := range map[string]struct {
		in   CredentialInput
		want string
	}{
		"nothing":                   {CredentialInput{}, "exactly one of"},
		"two":                       {CredentialInput{Secret: "x", TokenFile: "/x"}, "exactly one of"},
		"the ID of a secret":        {CredentialInput{Secret: app}, "this is the ID of a secret: copy its Value"},
		"a secret of two lines":     {CredentialInput{Secret: "abc\ndef"}, "copy the Value"},
		"a secret with a space":     {CredentialInput{Secret: "abc def"}, "copy the Value"},
		"a secret beyond ASCII":     {CredentialInput{Secret: "abcdéf"}, "copy the Value"},
		"a secret of a whole file":  {CredentialInput{Secret: strings.Repeat("x", 1<<10+1)}, "longer than 1024"},
		"an end that is over":       {CredentialInput{Secret: "abcdef", Expires: "2026-11-23"}, "is over: make a new secret"},
		"an end that is no date":    {CredentialInput{Secret: "abcdef", Expires: "soon"}, `"soon" is not a date such as 2027-06-30`},
		"the end of a certificate":  {CredentialInput{Certificate: "x", Expires: "2027-01-01"}, "a certificate says it itself"},
		"a token file somewhere":    {CredentialInput{TokenFile: "token"}, "not an absolute path"},
		"a certificate that isn't":  {CredentialInput{Certificate: "x"}, "not PEM"},
		"an application that isn't": {CredentialInput{Secret: "abcdef", ClientID: "fjord"}, ""},
	} {
		in := tt.in
		in.Tenant = "acme"
		if in.ClientID == "" {
			in.ClientID = app
		}
		refused(t, c, CredentialSet, in, "invalid", tt.want)
		_ = name
	}
	if _, err := Call(t.Context(), c, CredentialList, CredentialFilter{Tenant: "acme"}); err == nil || !strings.Contains(err.Error(), "bizzscim tenant credential set acme") {
		t.Errorf("nothing was to be set: %v", err)
	}

	secret := must(t, c, CredentialSet, CredentialInput{Tenant: "acme", Secret: "abc~" + strings.Repeat("x", 30), ClientID: app})
	if secret.Kind != "secret" || secret.Hint != "abc…" || secret.ClientID != strings.ToLower(app) || secret.State != "live" || !strings.Contains(secret.Warning, "--expires") {
		t.Errorf("secret %+v", secret)
	}
	short := must(t, c, CredentialSet, CredentialInput{Tenant: "acme", Secret: "abcdefghijklmno", Expires: "2026-12-24T00:00:00+01:00"})
	if short.Hint != "" || short.ClientID != strings.ToLower(app) || short.Expires.Format(time.RFC3339) != "2026-12-23T23:00:00Z" || short.Warning != "" {
		t.Errorf("short secret %+v", short)
	}
	end := now.Add(20 * 24 * time.Hour)
	text, leaf := certify(t, rsaKey(), now.Add(-time.Hour), end)
	certificate := must(t, c, CredentialSet, CredentialInput{Tenant: "acme", Certificate: text + pkcs8(t, rsaKey())})
	sum := sha1.Sum(leaf.Raw)
	if certificate.Kind != "certificate" || certificate.Hint != strings.ToUpper(hex.EncodeToString(sum[:])) || !certificate.Expires.Equal(end) ||
		certificate.State != "expiring" || !strings.Contains(certificate.Warning, "it ends in 20 days, on 2026-12-13: make a new one in Entra and set it with: bizzscim tenant credential set acme") {
		t.Errorf("certificate %+v", certificate)
	}
	federated := must(t, c, CredentialSet, CredentialInput{Tenant: "acme", TokenFile: "/var/run/token"})
	if federated.Kind != "federated" || federated.TokenFile != "/var/run/token" || federated.Expires != nil || federated.Warning != "" || federated.State != "live" {
		t.Errorf("federated %+v", federated)
	}
	if list := must(t, c, CredentialList, CredentialFilter{}); len(list.Items) != 1 || list.Items[0] != federated {
		t.Errorf("list %+v", list)
	}
	if tenant := must(t, c, TenantShow, RefInput{"acme"}); tenant.Credential == nil || tenant.Credential.Kind != "federated" || tenant.Graph.ClientID != strings.ToLower(app) {
		t.Errorf("tenant %+v", tenant)
	}
	must(t, c, CredentialRemove, CredentialRef{Ref: "acme"})
	refused(t, c, CredentialRemove, CredentialRef{Ref: "acme"}, "notFound", "has no credential")
	refused(t, c, CredentialTest, RefInput{"acme"}, "notFound", "has no credential")
	if tenant := must(t, c, TenantShow, RefInput{"acme"}); tenant.Credential != nil {
		t.Errorf("tenant %+v", tenant)
	}
}
