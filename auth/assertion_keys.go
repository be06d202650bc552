package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bizzstream/bizzscim/directory"
)

// Times of a signing key.
const (
	signsFor    = 90 * 24 * time.Hour
	keyAhead    = 10 * time.Minute // a new key is published before it signs
	keyStays    = time.Hour        // an old key is published after it has signed last
	keysFresh   = time.Minute      // how long a server goes by what it has read
	keyTooEarly = time.Hour        // a key that is to sign later than this was made by a clock that was wrong
)

// What signed claims are, as typ tells it: nobody must take the one for the other.
const (
	assertionTyp = "JWT"
	eventTyp     = "secevent+jwt" // RFC 8417 section 2.3
)

// signingKeys are the keys of an Assertions. The store has them; every server on it goes by the times
// that stand there, so that all of them change keys at the same moment.
type signingKeys struct {
	config AssertionsConfig

	mu      sync.Mutex
	read    time.Time
	list    []directory.SigningKey
	signers map[string]jose.Signer // of the key called opened, by typ
	opened  string
}

// sign signs claims with the key whose turn it is. typ says what they are.
func (k *signingKeys) sign(ctx context.Context, typ string, claims []byte, now time.Time) (string, error) {
	signer, err := k.current(ctx, typ, now)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func (k *signingKeys) current(ctx context.Context, typ string, now time.Time) (jose.Signer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(ctx, now); err != nil {
		return nil, err
	}
	key := inTurn(k.list, now)
	if key == nil {
		return nil, errors.New("auth: there is no key to sign assertions with")
	}
	if k.opened == key.ID {
		return k.signers[typ], nil
	}
	private, err := k.open(key)
	if err != nil {
		return nil, err
	}
	signers := map[string]jose.Signer{}
	for _, typ := range []jose.ContentType{assertionTyp, eventTyp} {
		options := (&jose.SignerOptions{}).WithType(typ).WithHeader("kid", key.ID)
		if signers[string(typ)], err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: private}, options); err != nil {
			return nil, err
		}
	}
	k.signers, k.opened = signers, key.ID
	return signers[typ], nil
}

// signDocument signs with the key whose turn it is, under a type of its own.
func (k *signingKeys) signDocument(ctx context.Context, kind string, document []byte, now time.Time) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(ctx, now); err != nil {
		return "", err
	}
	key := inTurn(k.list, now)
	if key == nil {
		return "", errors.New("auth: there is no key to sign with")
	}
	private, err := k.open(key)
	if err != nil {
		return "", err
	}
	public := jose.JSONWebKey{Key: &private.PublicKey, KeyID: key.ID, Algorithm: string(jose.ES256), Use: "sig"}
	options := (&jose.SignerOptions{}).WithType(jose.ContentType(kind)).WithHeader("kid", key.ID).WithHeader("jwk", public)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: private}, options)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(document)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func (k *signingKeys) public(ctx context.Context, now time.Time) (set jose.JSONWebKeySet, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(ctx, now); err != nil {
		return set, err
	}
	for _, key := range k.list {
		if gone(&key, now) {
			continue
		}
		public, err := publicKey(&key)
		if err != nil {
			return jose.JSONWebKeySet{}, err
		}
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: public, KeyID: key.ID, Algorithm: string(jose.ES256), Use: "sig"})
	}
	return set, nil
}

// refresh reads the keys when what is known is a minute old, and changes them when that is due.
func (k *signingKeys) refresh(ctx context.Context, now time.Time) error {
	if age := now.Sub(k.read); k.list != nil && age >= 0 && age < keysFresh {
		return nil
	}
	var list []directory.SigningKey
	err := k.config.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		list, err = sn.SigningKeys()
		return err
	})
	if err != nil {
		return err
	}
	if due(list, now) {
		// Within the transaction it is decided anew: another server may have been first.
		list, err = k.config.Service.SetSigningKeys(ctx, system, func(list []directory.SigningKey) ([]directory.SigningKey, error) {
			if !due(list, now) {
				return nil, nil
			}
			return k.renewed(list, now)
		})
		if err != nil {
			return err
		}
	}
	k.list, k.read = list, now
	return nil
}

// due reports whether the keys have to change: there is none, the one in turn is old and none waits, one
// is over, or one was made by a clock that was wrong.
func due(list []directory.SigningKey, now time.Time) bool {
	if slices.ContainsFunc(list, func(x directory.SigningKey) bool { return gone(&x, now) || tooEarly(&x, now) }) {
		return true
	}
	key := inTurn(list, now)
	return key == nil || waiting(list, now) == nil && now.Sub(key.From) >= signsFor-keyAhead
}

// renewed returns the keys as they should be.
func (k *signingKeys) renewed(list []directory.SigningKey, now time.Time) ([]directory.SigningKey, error) {
	list = slices.DeleteFunc(slices.Clone(list), func(x directory.SigningKey) bool { return gone(&x, now) || tooEarly(&x, now) })
	if inTurn(list, now) == nil { // nobody can have keys to compare with yet
		return k.with(list, now, now)
	}
	if waiting(list, now) == nil {
		newest := inTurn(list, now)
		newest.Until = time.Time{} // the key that was to follow it is gone, or has yet to come
		if now.Sub(newest.From) >= signsFor-keyAhead {
			return k.with(list, now, now.Add(keyAhead))
		}
	}
	return list, nil
}

// with adds a new key that signs from then on, and says when the others go.
func (k *signingKeys) with(list []directory.SigningKey, now, from time.Time) ([]directory.SigningKey, error) {
	key, err := k.newKey(now, from)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Until.IsZero() {
			list[i].Until = from.Add(keyStays)
		}
	}
	return append(list, *key), nil
}

func (k *signingKeys) rotate(ctx context.Context, by directory.Actor, now time.Time) (id string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	list, err := k.config.Service.SetSigningKeys(ctx, by, func(list []directory.SigningKey) ([]directory.SigningKey, error) {
		list = slices.DeleteFunc(slices.Clone(list), func(x directory.SigningKey) bool { return gone(&x, now) || tooEarly(&x, now) })
		if waiting(list, now) != nil {
			return nil, &directory.Error{Kind: directory.Conflict, Detail: "a new signing key waits for its turn already: it signs within ten minutes"}
		}
		from := now.Add(keyAhead)
		if key := inTurn(list, now); key == nil {
			from = now
		} else if _, err := k.open(key); err != nil {
			from = now // nobody can sign with it any more: waiting would help nobody
		}
		return k.with(list, now, from)
	})
	if err != nil {
		return "", err
	}
	k.list, k.read = list, now
	return list[len(list)-1].ID, nil
}

// inTurn returns the key that signs now: of those whose time has come the latest, else the first. nil:
// there is none. It points into list.
func inTurn(list []directory.SigningKey, now time.Time) (key *directory.SigningKey) {
	for i := range list {
		switch x := &list[i]; {
		case gone(x, now):
		case key == nil,
			!x.From.After(now) && (key.From.After(now) || !x.From.Before(key.From)),
			x.From.After(now) && x.From.Before(key.From):
			key = x
		}
	}
	return key
}

// waiting returns the key whose time has yet to come, nil when there is none.
func waiting(list []directory.SigningKey, now time.Time) *directory.SigningKey {
	i := slices.IndexFunc(list, func(x directory.SigningKey) bool { return x.From.After(now) })
	if i < 0 {
		return nil
	}
	return &list[i]
}

func gone(x *directory.SigningKey, now time.Time) bool {
	return !x.Until.IsZero() && !now.Before(x.Until)
}

func tooEarly(x *directory.SigningKey, now time.Time) bool { return x.From.Sub(now) > keyTooEarly }

// newKey makes a key. Its id is its thumbprint (RFC 7638): another key cannot have it.
func (k *signingKeys) newKey(now, from time.Time) (*directory.SigningKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	id, err := thumbprint(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	plain, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	sealed, err := k.config.Seal(plain, signingKeyPlace(id))
	if err != nil {
		return nil, fmt.Errorf("auth: the signing key cannot be sealed: %w", err)
	}
	return &directory.SigningKey{ID: id, Public: public, Sealed: sealed, Created: now.UTC(), From: from.UTC()}, nil
}

func signingKeyPlace(id string) string { return "signing-key/" + id }

func thumbprint(public *ecdsa.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: public}).Thumbprint(crypto.SHA256)
	return base64.RawURLEncoding.EncodeToString(sum), err
}

// open returns the private part of a key.
func (k *signingKeys) open(key *directory.SigningKey) (*ecdsa.PrivateKey, error) {
	plain, err := k.config.Unseal(key.Sealed, signingKeyPlace(key.ID))
	if err != nil {
		return nil, fmt.Errorf("auth: the signing key %s cannot be opened: %w", key.ID, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("auth: the signing key %s cannot be opened: %w", key.ID, err)
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return nil, fmt.Errorf("auth: the signing key %s is not a P-256 key", key.ID)
	}
	public, err := publicKey(key)
	if err != nil {
		return nil, err
	}
	if !private.PublicKey.Equal(public) {
		return nil, fmt.Errorf("auth: the two parts of the signing key %s do not belong together", key.ID)
	}
	return private, nil
}

func publicKey(key *directory.SigningKey) (*ecdsa.PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(key.Public)
	if err != nil {
		return nil, fmt.Errorf("auth: the signing key %s is damaged: %w", key.ID, err)
	}
	public, ok := parsed.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, fmt.Errorf("auth: the signing key %s is not a P-256 key", key.ID)
	}
	return public, nil
}
