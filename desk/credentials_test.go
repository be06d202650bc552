package desk

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"
)

// keys are made once: RSA takes its time.
var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	otherRSA = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	smallRSA = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(1024) })
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

func TestReadCertificate(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	from, to := now.Add(-time.Hour), now.Add(90*24*time.Hour)
	good, leaf := certify(t, rsaKey(), from, to)
	other, _ := certify(t, otherRSA(), from, to)
	small, _ := certify(t, smallRSA(), from, to)
	over, _ := certify(t, rsaKey(), from, now)
	early, _ := certify(t, rsaKey(), now.Add(time.Minute), to)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecCertificate, _ := certify(t, ec, from, to)
	ecDER, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	key := pkcs8(t, rsaKey())
	old := block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey()))
	tests := []struct{ name, text, want string }{
		{"certificate and key", good + key, ""},
		{"key and certificate", "Bag Attributes\n" + key + good, ""},
		{"the old form of a key", good + old, ""},
		{"a chain in the wrong order", other + good + key, ""},
		{"nothing but text", "-----BEGIN NOTHING", "the file is not PEM; a .pfx"},
		{"a pfx", "\x30\x82\x00\x00", "openssl pkcs12"},
		{"no key", good, "holds no private key"},
		{"no certificate", key, "holds no certificate"},
		{"two keys", good + key + pkcs8(t, otherRSA()), "two private keys"},
		{"a key of another certificate", other + key, "does not belong to the certificate"},
		{"a broken certificate", block("CERTIFICATE", []byte("x")) + key, "the certificate cannot be read"},
		{"a broken key", good + block("PRIVATE KEY", []byte("x")), "the private key cannot be read"},
		{"a broken old key", good + block("RSA PRIVATE KEY", []byte("x")), "the private key cannot be read"},
		{"an elliptic-curve key", ecCertificate + pkcs8(t, ec), "Microsoft's library takes RSA keys alone; make one with: openssl req"},
		{"an elliptic-curve key in its own form", ecCertificate + block("EC PRIVATE KEY", ecDER), "Microsoft's library takes RSA keys alone"},
		{"an Ed25519 key", good + pkcs8(t, ed), "Microsoft's library takes RSA keys alone"},
		{"a short key", small + pkcs8(t, smallRSA()), "the key has 1024 bits: Entra takes RSA keys of 2048 and more"},
		{"an encrypted key", good + block("ENCRYPTED PRIVATE KEY", []byte("x")), "openssl pkey"},
		{"something else", good + key + block("CERTIFICATE REQUEST", []byte("x")), "the file holds a certificate request"},
		{"a certificate that is over", over + key, "the certificate ended on 2026-11-23"},
		{"a certificate that has not begun", early + key, "the certificate begins on 2026-11-23T12:01:00Z"},
		{"too much", good + key + strings.Repeat("\n", maxPEM), "larger than 65536 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readCertificate([]byte(tt.text), now)
			switch {
			case tt.want == "" && (err != nil || !got.Equal(leaf)):
				t.Errorf("%v, %v", got, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "PRIVATE KEY-----") {
				t.Errorf("the error shows the file: %v", err)
			}
		})
	}
	encrypted := &pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("x")}
	if _, err := readCertificate([]byte(good+string(pem.EncodeToMemory(encrypted))), now); err == nil || !strings.Contains(err.Error(), "is encrypted") {
		t.Errorf("an old encrypted key: %v", err)
	}
}
