// Package vault seals secrets, so that what a data folder or a backup holds of them opens nothing
// without the key file.
//
// It must never know what a secret is for; the caller names the place where it belongs.
package vault

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Errors of Open. Texts say more; none of them holds anything of a key or a secret.
var (
	ErrUnknownKey = errors.New("the key that sealed this is not in the key file: put the key file back that was in use then, or set the secret anew")
	ErrDamaged    = errors.New("it was changed, or sealed for another place: set the secret anew")
)

const (
	version  = "v1"
	keyBytes = 32 // AES-256
	maxKeys  = 100
)

// Keyring holds the keys that seal and open secrets. It is safe for concurrent use and shows
// nothing of its keys, however it is printed.
type Keyring struct {
	keys []*key // the first one seals; pointers, so that a struct around it prints addresses alone
}

type key struct {
	id   string
	aead cipher.AEAD // makes its own random nonces (NIST SP 800-38D section 8.2.2: good for 2^32 secrets)
}

// Generate makes the line of a new key, with a newline at its end.
func Generate() string {
	var material [keyBytes]byte
	var id [4]byte
	rand.Read(material[:]) // never fails
	rand.Read(id[:])
	return hex.EncodeToString(id[:]) + " " + base64.StdEncoding.EncodeToString(material[:]) + "\n"
}

// Parse reads the text of a keyring: one key a line as "ID BASE64", where ID is made of letters,
// digits, hyphens and underscores and BASE64 (RFC 4648 section 4) holds 32 bytes. The first key
// seals, the others only open. Empty lines and lines that begin with # are left out. Errors name
// the line and never what is in it.
func Parse(text string) (*Keyring, error) {
	r := &Keyring{}
	for i, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		k, err := parseKey(fields)
		if err != nil {
			return nil, fmt.Errorf("vault: line %d of the keys: %w", i+1, err)
		}
		if r.find(k.id) != nil {
			return nil, fmt.Errorf("vault: line %d of the keys: another key has the same id", i+1)
		}
		if r.keys = append(r.keys, k); len(r.keys) > maxKeys {
			return nil, fmt.Errorf("vault: more than %d keys", maxKeys)
		}
	}
	if len(r.keys) == 0 {
		return nil, errors.New("vault: there is no key: a line is ID BASE64, with 32 random bytes")
	}
	return r, nil
}

func parseKey(fields []string) (*key, error) {
	if len(fields) != 2 || !isID(fields[0]) {
		return nil, errors.New("it is not of the form ID BASE64")
	}
	material, err := base64.StdEncoding.Strict().DecodeString(fields[1])
	if err != nil || len(material) != keyBytes {
		return nil, fmt.Errorf("the key is not %d bytes in base64", keyBytes)
	}
	if bytes.Equal(material, make([]byte, keyBytes)) {
		return nil, errors.New("the key is all zeros: make one with random bytes")
	}
	block, err := aes.NewCipher(material)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &key{fields[0], aead}, nil
}

func isID(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

func (r *Keyring) find(id string) *key {
	for _, k := range r.keys {
		if k.id == id {
			return k
		}
	}
	return nil
}

// Seal seals a secret for a place, with the first key: "v1.ID.BASE64URL" (RFC 4648 section 5, no
// padding) of nonce, ciphertext and tag (AES-256-GCM). Version, key id and place are
// authenticated, so that the text opens nowhere else.
func (r *Keyring) Seal(plain []byte, place string) string {
	k := r.keys[0]
	box := k.aead.Seal(nil, nil, plain, extra(k.id, place)) //nolint:gosec // no nonce is right here: the AEAD makes one itself
	return version + "." + k.id + "." + base64.RawURLEncoding.EncodeToString(box)
}

// Open returns what Seal was given for the same place. Errors: ErrUnknownKey, ErrDamaged.
func (r *Keyring) Open(sealed, place string) ([]byte, error) {
	id, text, ok := split(sealed)
	if !ok {
		return nil, fmt.Errorf("vault: a sealed secret cannot be opened: %w", ErrDamaged)
	}
	k := r.find(id)
	if k == nil {
		return nil, fmt.Errorf("vault: a sealed secret cannot be opened (key %s): %w", id, ErrUnknownKey)
	}
	box, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err == nil {
		var plain []byte
		if plain, err = k.aead.Open(nil, nil, box, extra(id, place)); err == nil {
			return plain, nil
		}
	}
	return nil, fmt.Errorf("vault: a sealed secret cannot be opened (key %s): %w", id, ErrDamaged)
}

// Current reports whether a text was sealed with the key that Seal uses.
func (r *Keyring) Current(sealed string) bool {
	id, _, ok := split(sealed)
	return ok && id == r.keys[0].id
}

// CurrentID is the id of the key that Seal uses.
func (r *Keyring) CurrentID() string { return r.keys[0].id }

// Len is the number of keys.
func (r *Keyring) Len() int { return len(r.keys) }

func split(sealed string) (id, text string, ok bool) {
	v, rest, _ := strings.Cut(sealed, ".")
	id, text, ok = strings.Cut(rest, ".")
	return id, text, ok && v == version && isID(id) && !strings.ContainsAny(text, "\r\n") // which base64 passes over
}

// extra is the additional authenticated data. No part but the last holds a zero byte, so that it
// can be made in one way only.
func extra(id, place string) []byte { return []byte(version + "\x00" + id + "\x00" + place) }

const redacted = "vault.Keyring(redacted)"

// Format prints the same for every verb.
func (r Keyring) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// String keeps the keys out of texts.
func (r Keyring) String() string { return redacted }

// GoString keeps the keys out of %#v.
func (r Keyring) GoString() string { return redacted }

// LogValue keeps the keys out of logs.
func (r Keyring) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the keys out of JSON and every other encoding.
func (r Keyring) MarshalText() ([]byte, error) { return []byte(redacted), nil }
