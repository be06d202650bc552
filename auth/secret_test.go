package auth_test

import (
	"crypto/sha256"
	"hash/crc32"
	"math/big"
	"regexp"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/auth"
)

var secretForm = regexp.MustCompile(`^bzs_[0-9A-Za-z]{49}$`)

func TestSecretForm(t *testing.T) {
	seen, hashes := map[string]bool{}, map[[32]byte]bool{}
	digits := map[rune]bool{}
	for range 2000 {
		s := auth.NewSecret()
		if !secretForm.MatchString(s.Text) {
			t.Fatalf("secret %q", s.Text)
		}
		if s.Hash != sha256.Sum256([]byte(s.Text)) || s.Hash != auth.Hash(s.Text) {
			t.Fatal("Hash is not the SHA-256 of Text")
		}
		if s.Hint != s.Text[len(s.Text)-4:] {
			t.Fatalf("hint %q of %q", s.Hint, s.Text)
		}
		if seen[s.Text] || hashes[s.Hash] {
			t.Fatal("a secret was made twice")
		}
		seen[s.Text], hashes[s.Hash] = true, true
		for _, c := range s.Text[5:] {
			digits[c] = true
		}
	}
	if len(digits) != 62 {
		t.Errorf("secrets are made of %d different characters, want 62", len(digits))
	}
}

// The 43 digits hold 256 bits, and the 6 behind them are the CRC-32 of what stands before.
func TestSecretChecksum(t *testing.T) {
	number := func(s string) *big.Int {
		n := new(big.Int)
		for _, c := range s {
			d := strings.IndexRune("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", c)
			n.Add(n.Mul(n, big.NewInt(62)), big.NewInt(int64(d)))
		}
		return n
	}
	widest := 0
	for range 200 {
		s := auth.NewSecret().Text
		random, check := number(s[4:47]), number(s[47:])
		widest = max(widest, random.BitLen())
		if random.BitLen() > 256 {
			t.Fatalf("%q holds more than 256 bits", s)
		}
		if check.Cmp(big.NewInt(int64(crc32.ChecksumIEEE([]byte(s[:47]))))) != 0 {
			t.Fatalf("checksum of %q", s)
		}
	}
	if widest < 250 {
		t.Errorf("200 secrets hold %d bits at most", widest)
	}
}
