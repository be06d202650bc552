package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/bizzstream/bizzscim/directory"
)

// argonCost is what one hash of a password costs (RFC 9106 section 3.1).
type argonCost struct {
	memory uint32 // KiB
	passes uint32
	lanes  uint8
}

// passwordCost is the second recommended option of RFC 9106 section 4 (64 MiB, 3 passes), in one lane
// instead of four: guessing costs the same, and a sign-in does not take every core of a small server. It
// takes about 140 ms. It may only ever rise: hashes of less are made anew at the next sign-in.
var passwordCost = argonCost{memory: 64 << 10, passes: 3, lanes: 1}

const (
	saltBytes = 16 // RFC 9106 section 4
	keyBytes  = 32
	// hashesAtOnce bounds the memory that hashing takes, and leaves the rest of the server its time.
	hashesAtOnce = 2
)

// passwords hashes passwords and checks them. It is safe for concurrent use.
type passwords struct {
	cost   argonCost
	derive func(password, salt []byte, cost argonCost, length uint32) []byte
	slots  chan struct{} // held while hashing
}

func newPasswords() *passwords {
	return &passwords{cost: passwordCost, derive: argon2id, slots: make(chan struct{}, hashesAtOnce)}
}

func argon2id(password, salt []byte, c argonCost, length uint32) []byte {
	return argon2.IDKey(password, salt, c.passes, c.memory, c.lanes, length)
}

// run hashes when it is its turn; who leaves before that costs nothing. The error is that of ctx.
func (p *passwords) run(ctx context.Context, password string, salt []byte, cost argonCost, length int) ([]byte, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.slots }()
	return p.derive([]byte(password), salt, cost, uint32(length)), nil
}

// hash makes what is kept of a password, in PHC form:
// "$argon2id$v=19$m=65536,t=3,p=1$SALT$KEY" with base 64 without padding (RFC 4648 section 4).
func (p *passwords) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltBytes)
	rand.Read(salt) // never fails: crypto/rand ends the process rather than return less
	key, err := p.run(ctx, password, salt, p.cost, keyBytes)
	if err != nil {
		return "", err
	}
	return phc{p.cost, salt, key}.String(), nil
}

// none makes a hash that looks like any other and that no password has: to find one is to invert argon2id.
func (p *passwords) none() string {
	h := phc{p.cost, make([]byte, saltBytes), make([]byte, keyBytes)}
	rand.Read(h.salt)
	rand.Read(h.key)
	return h.String()
}

// check reports whether a password is the one that was hashed, and whether its hash should be made anew
// because it cost less than one does now. Without a hash (empty) it takes as long, and the answer is no.
// A hash that cannot be read is an Internal error.
func (p *passwords) check(ctx context.Context, hashed, password string) (ok, weak bool, err error) {
	want := phc{p.cost, make([]byte, saltBytes), make([]byte, keyBytes)}
	if hashed != "" {
		if want, err = parsePHC(hashed); err != nil {
			return false, false, &directory.Error{Kind: directory.Internal, Detail: "the password of this account cannot be checked", Err: err}
		}
	}
	tried := password
	if len(tried) > maxPassword { // no such password was ever set
		tried = tried[:maxPassword]
	}
	got, err := p.run(ctx, tried, want.salt, want.cost, len(want.key))
	if err != nil {
		return false, false, err
	}
	same := subtle.ConstantTimeCompare(got, want.key) == 1
	return same && hashed != "" && tried == password, want.cost.below(p.cost), nil
}

func (c argonCost) below(other argonCost) bool {
	return c.memory < other.memory || c.passes < other.passes
}

// phc is a hash of a password with what it was made of.
type phc struct {
	cost argonCost
	salt []byte
	key  []byte
}

var phcBase64 = base64.RawStdEncoding.Strict()

func (h phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.cost.memory, h.cost.passes, h.cost.lanes,
		phcBase64.EncodeToString(h.salt), phcBase64.EncodeToString(h.key))
}

// Bounds of what is believed of a kept hash: a damaged one must not take all memory.
const (
	maxMemory = 1 << 20 // KiB
	maxPasses = 64
	maxLanes  = 16
)

var errHash = errors.New("auth: not a hash of argon2id that this program makes")

func parsePHC(s string) (h phc, err error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 {
		return phc{}, errHash
	}
	_, err = fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.cost.memory, &h.cost.passes, &h.cost.lanes)
	if err != nil {
		return phc{}, errHash
	}
	salt, saltErr := phcBase64.DecodeString(parts[4])
	key, keyErr := phcBase64.DecodeString(parts[5])
	h.salt, h.key = salt, key
	switch c := h.cost; {
	case saltErr != nil, keyErr != nil, len(salt) < 8, len(salt) > 64, len(key) < 16, len(key) > 64,
		c.lanes < 1, c.lanes > maxLanes, c.passes < 1, c.passes > maxPasses, c.memory < 8*uint32(c.lanes), c.memory > maxMemory,
		h.String() != s: // one spelling alone: nothing is left over, and algorithm and version are ours
		return phc{}, errHash
	}
	return h, nil
}

// Lengths of a password in bytes, as it was typed: it is neither trimmed nor normalized, so that it
// is the same at every keyboard that sends the same (NIST SP 800-63B allows it; who types accents on
// two systems is told nothing wrong, only to try again).
const (
	minPassword = 12
	maxPassword = 256
	minDigits   = 20 // of a password without a letter
)

// commonPasswords are in every list that a guesser begins with. Shorter ones cannot be set anyway, and
// what is one of these with digits or signs at its ends is no better.
var commonPasswords = []string{"password", "passwort", "wachtwoord", "welcome", "welkom", "qwertyuiop", "qwerty", "asdfghjkl", "letmein", "administrator",
	"admin", "operator", "changeme", "secret", "geheim", "iloveyou", "trustno", "abcdefghijkl", "abcdefgh", "correcthorsebatterystaple",
	"monkey", "dragon", "football", "baseball", "sunshine", "princess", "superman", "master", "default", "temporary", "test"}

// productNames are what the product is known as.
var productNames = []string{"bizzstream", "bizzscim", "bizz", "maxedy"}

// checkPassword says what is wrong with a password to be set; names are those of whom it is for: e-mail
// address, name. The error is Invalid with Field password.
func checkPassword(password string, names ...string) error {
	bad := func(format string, args ...any) error {
		return &directory.Error{Kind: directory.Invalid, Field: "password", Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case len(password) < minPassword:
		return bad("the password is too short: take %d characters or more; a few words do well", minPassword)
	case len(password) > maxPassword:
		return bad("the password is too long: take %d characters or fewer", maxPassword)
	case !utf8.ValidString(password):
		return bad("the password has a character that cannot be read: type it again")
	}
	core := passwordCore(password)
	for _, n := range names {
		local, _, _ := strings.Cut(n, "@")
		for _, s := range []string{n, local} {
			if s = passwordCore(s); len(s) > 2 && (core == s || core == s+s) {
				return bad("the password is your name or e-mail address: take one that nobody who knows you would try")
			}
		}
	}
	if core == "" && len(password) < minDigits || repeats(strings.ToLower(password)) || len(core) >= minPassword/2 && repeats(core) {
		return bad("the password is too easy to guess: a few words that do not belong together do well")
	}
	for _, c := range append(productNames, commonPasswords...) {
		if core == c || core == c+c {
			return bad("the password is one of those that are tried first: a few words that do not belong together do well")
		}
	}
	return nil
}

// passwordCore is what is left of a password when case, and the digits, signs and spaces that people
// put around and into a word, are taken away.
func passwordCore(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= '~' && (r < 'a' || r > 'z') {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// repeats reports whether a text is one of at most three characters over and over.
func repeats(s string) bool {
	for n := 1; n <= 3 && n < len(s); n++ {
		if strings.Repeat(s[:n], len(s)/n+1)[:len(s)] == s {
			return true
		}
	}
	return false
}
