package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"math/big"
	"strings"
)

// Prefixes of our secrets: a scanner for leaked credentials recognizes them, and so does a reader.
const (
	SecretPrefix = "bzs_" // Secret Tokens and client secrets
	AccessPrefix = "bza_" // access tokens of the token endpoint
	APIPrefix    = "bzk_" // tokens of the JSON API
)

// A secret is its prefix, 256 random bits as 43 base-62 digits, and a CRC-32 of all that as 6
// digits, so that a mistyped or cut secret is told from a wrong one without a look-up.
const (
	base62       = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	prefixLength = 4
	randomLength = 43
	checkLength  = 6
	secretLength = prefixLength + randomLength + checkLength
)

// Secret is a new secret. Text is shown once and kept nowhere.
type Secret struct {
	Text string
	Hash [32]byte // SHA-256 of Text
	Hint string   // the last four characters
}

// NewSecret makes a secret for a Secret Token or an OAuth client.
func NewSecret() Secret { return newSecret(SecretPrefix) }

// NewAPISecret makes a secret for a token of the JSON API.
func NewAPISecret() Secret { return newSecret(APIPrefix) }

func newSecret(prefix string) Secret {
	var random [32]byte
	rand.Read(random[:]) // never fails: crypto/rand ends the process rather than return less
	body := prefix + encode(new(big.Int).SetBytes(random[:]), randomLength)
	sum := checksum(body)
	text := body + string(sum[:])
	return Secret{Text: text, Hash: Hash(text), Hint: text[len(text)-4:]}
}

// Hash is the form in which a secret is kept and looked up. Comparing hashes of 256-bit random
// secrets tells an attacker nothing by its timing.
func Hash(text string) [32]byte {
	return sha256.Sum256([]byte(text))
}

// wellFormed reports whether a text is a whole secret of that prefix, unaltered in transit.
func wellFormed(text, prefix string) bool {
	if len(text) != secretLength || !strings.HasPrefix(text, prefix) {
		return false
	}
	body := text[:prefixLength+randomLength]
	sum := checksum(body)
	return text[len(body):] == string(sum[:])
}

func checksum(body string) (digits [checkLength]byte) {
	n := crc32.ChecksumIEEE([]byte(body))
	for i := checkLength - 1; i >= 0; i-- {
		digits[i] = base62[n%62]
		n /= 62
	}
	return digits
}

// encode writes n in base 62, filled with zeros to length digits.
func encode(n *big.Int, length int) string {
	digits := make([]byte, length)
	base, rem := big.NewInt(int64(len(base62))), new(big.Int)
	for i := length - 1; i >= 0; i-- {
		n.DivMod(n, base, rem)
		digits[i] = base62[rem.Int64()]
	}
	return string(digits)
}
