package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/vault"
)

const keyFile = "secrets.key" // in the data folder, unless the configuration names another

// secrets seals and opens, with the keys of the configuration, the credentials of tenants and what this
// server keeps of its own: second factors, signing keys, sign-ins under way. The key
// file is read each time: a key that was lost, or put back, is noticed where it matters, and nowhere
// else does the server need it.
type secrets struct {
	service *directory.Service
	file    string
	text    Secret // the keys themselves; empty: those of file

	mu sync.Mutex // held while the key file is made or rewritten
}

// GenerateKey makes the line of a new key that seals secrets.
func GenerateKey() string { return vault.Generate() }

func newSecrets(c Config, service *directory.Service) *secrets {
	file := c.Secrets.KeyFile
	if file == "" {
		file = filepath.Join(c.Data, keyFile)
	}
	return &secrets{service: service, file: file, text: c.Secrets.Key}
}

// place binds a sealed secret to its credential: copied to another tenant, it does not open.
func place(c *directory.Credential) string { return c.TenantID.String() + "/" + c.Name }

// signingPlace is where the private part of a key that signs assertions belongs.
func signingPlace(id string) string { return "signing-key/" + id }

// ring reads the keys. Errors: fs.ErrNotExist when there is no key file.
func (s *secrets) ring() (*vault.Keyring, error) {
	if s.text != "" {
		ring, err := vault.Parse(string(s.text))
		if err != nil {
			return nil, fmt.Errorf("%sSECRETS_KEY cannot be used: %w", EnvPrefix, err)
		}
		return ring, nil
	}
	return vault.Load(s.file)
}

// open returns the secret of a credential. The error is a *pull.Error of class Configuration.
func (s *secrets) open(c *directory.Credential) ([]byte, error) {
	plain, err := s.unseal(c.Sealed, place(c))
	if err != nil {
		return nil, &pull.Error{Class: pull.Configuration, Detail: cannotOpen, Err: errors.New(s.reason(err))}
	}
	return plain, nil
}

// openAt opens what sealAt has sealed for a place. Errors: Unavailable.
func (s *secrets) openAt(sealed, place string) ([]byte, error) {
	plain, err := s.unseal(sealed, place)
	if err != nil {
		return nil, s.fail(err)
	}
	return plain, nil
}

func (s *secrets) unseal(sealed, place string) ([]byte, error) {
	ring, err := s.ring()
	if err != nil {
		return nil, err
	}
	return ring.Open(sealed, place)
}

// reason says why a secret cannot be sealed or opened, and what to do.
func (s *secrets) reason(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("the key file %s is missing: put it back from where its copy is kept, or set the secret anew with: bizzscim tenant credential set", s.file)
	}
	return strings.ReplaceAll(err.Error(), "vault: ", "")
}

// cannotOpen is what everybody is told. The reason names files of the server: it is for operators alone.
const cannotOpen = "the server cannot use the key of its secrets: whoever runs it finds the reason in its log"

func (s *secrets) fail(err error) error {
	return &directory.Error{Kind: directory.Unavailable, Field: "secrets", Detail: cannotOpen, Err: errors.New(s.reason(err))}
}

// seal seals the secret of a credential and hands it to keep, with no rotation in between. The key file is made when there is none and nothing was
// sealed before: a new one beside secrets that it does not open would hide that the old one is lost.
func (s *secrets) seal(ctx context.Context, c *directory.Credential, plain []byte, keep func(sealed string) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ring, err := s.ringOrNew(ctx, place(c))
	if err != nil {
		return err
	}
	return keep(ring.Seal(plain, place(c)))
}

// sealAt seals something for a place. Errors: Unavailable.
func (s *secrets) sealAt(plain []byte, place string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ring, err := s.ringOrNew(context.Background(), place)
	if err != nil {
		return "", err
	}
	return ring.Seal(plain, place), nil
}

// ringOrNew reads the keys, and makes the key file when there is none and nothing but what is at that
// place needs the old one.
func (s *secrets) ringOrNew(ctx context.Context, at string) (*vault.Keyring, error) {
	ring, err := s.ring()
	if errors.Is(err, fs.ErrNotExist) {
		ring, err = s.create(ctx, at)
	}
	if err != nil {
		return nil, s.fail(err)
	}
	return ring, nil
}

func (s *secrets) create(ctx context.Context, at string) (*vault.Keyring, error) {
	all, err := s.kept(ctx)
	if err != nil {
		return nil, err
	}
	n := 0
	for _, k := range all {
		if k.place != at && !k.spare {
			n++
		}
	}
	if n > 0 {
		return nil, fmt.Errorf("the key file %s is missing, and %d other credentials were sealed with it: put it back from where its copy is kept; "+
			"if it is lost, remove what it sealed with: bizzscim tenant credential remove, bizzscim operator totp-remove, and webhooks in the console", s.file, n)
	}
	return vault.Create(s.file)
}

// sealed is something that the store keeps sealed.
type sealed struct {
	place, text string
	spare       bool // it can be made anew without anybody
}

// kept lists what the store keeps sealed.
func (s *secrets) kept(ctx context.Context) ([]sealed, error) {
	return view(ctx, s.service, func(sn *directory.Snapshot) (all []sealed, err error) {
		credentials, err := sn.Credentials()
		if err != nil {
			return nil, err
		}
		for _, c := range credentials {
			if c.Sealed != "" {
				all = append(all, sealed{place: place(c), text: c.Sealed})
			}
		}
		logins, err := sn.Logins()
		if err != nil {
			return nil, err
		}
		for _, l := range logins {
			if l.TOTP != "" {
				all = append(all, sealed{place: auth.TOTPPlace(l.AccountID), text: l.TOTP})
			}
		}
		webhooks, err := sn.Webhooks()
		if err != nil {
			return nil, err
		}
		for _, w := range webhooks {
			for _, x := range w.Secrets {
				all = append(all, sealed{place: directory.WebhookSecretPlace(w.ID, x.ID), text: x.Sealed})
			}
		}
		keys, err := sn.SigningKeys()
		for _, k := range keys {
			all = append(all, sealed{place: signingPlace(k.ID), text: k.Sealed, spare: true})
		}
		return all, err
	})
}

// rotate puts a new key in front of those of the key file and seals every credential with it. Keys
// that came from the environment are the operator's to change: then what is not sealed with the
// first of them is sealed again. With forget, the other keys go once nothing needs them.
func (s *secrets) rotate(ctx context.Context, by directory.Actor, forget bool) (out SecretsResult, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text != "" && forget {
		return out, fail(directory.Invalid, "forget", "the keys come from %sSECRETS_KEY: run this without --forget, and then remove the old keys from the variable", EnvPrefix)
	}
	var ring *vault.Keyring
	switch {
	case s.text != "":
		ring, err = s.ring()
	default:
		if ring, err = vault.Rotate(s.file); errors.Is(err, fs.ErrNotExist) {
			ring, err = s.create(ctx, "")
		}
	}
	if err != nil {
		return out, s.fail(err)
	}
	out = SecretsResult{KeyID: ring.CurrentID(), KeyFile: s.file, Keys: ring.Len()}
	if s.text != "" {
		out.KeyFile = ""
	}
	if err := s.reseal(ctx, by, ring, &out); err != nil {
		return out, err
	}
	if forget {
		if ring, err = vault.Forget(s.file); err != nil {
			return out, s.fail(err)
		}
		out.Keys = ring.Len()
	}
	detail, err := json.Marshal(map[string]any{"resealed": out.Resealed, "secondFactors": out.SecondFactors, "signingKeys": out.SigningKeys, "webhookSecrets": out.WebhookSecrets, "forgotten": forget})
	if err != nil {
		return out, err
	}
	return out, s.service.Audit(ctx, by, "secrets.rotate", "key "+out.KeyID, detail)
}

// reseal seals everything with the first key of a ring.
func (s *secrets) reseal(ctx context.Context, by directory.Actor, ring *vault.Keyring, out *SecretsResult) error {
	tenants, err := s.tenantNames(ctx)
	if err != nil {
		return err
	}
	again := func(sealed, place, what, repair string) (string, error) {
		if ring.Current(sealed) {
			return sealed, nil
		}
		plain, err := ring.Open(sealed, place)
		if err != nil {
			return "", &directory.Error{Kind: directory.Unavailable, Field: "secrets",
				Detail: fmt.Sprintf("a new key is in place, but not everything was sealed with it: %s cannot be opened: %s; if its key is lost: %s", what, s.reason(err), repair)}
		}
		return ring.Seal(plain, place), nil
	}
	out.Resealed, err = s.service.ResealCredentials(ctx, by, func(c *directory.Credential) (string, error) {
		return again(c.Sealed, place(c), "the credential of tenant "+tenants[c.TenantID], "bizzscim tenant credential remove")
	})
	if err != nil {
		return err
	}
	out.SecondFactors, err = s.service.ResealTOTP(ctx, by, func(account directory.ID, sealed string) (string, error) {
		return again(sealed, auth.TOTPPlace(account), "the second factor of account "+account.String(), "bizzscim operator totp-remove")
	})
	if err != nil {
		return err
	}
	out.WebhookSecrets, err = s.service.ResealWebhooks(ctx, by, func(w *directory.Webhook, x *directory.WebhookSecret) (string, error) {
		return again(x.Sealed, directory.WebhookSecretPlace(w.ID, x.ID), "a secret of the webhook "+w.Name, "remove that webhook in the console")
	})
	if err != nil {
		return err
	}
	_, err = s.service.SetSigningKeys(ctx, by, func(keys []directory.SigningKey) ([]directory.SigningKey, error) {
		out.SigningKeys = 0
		keys = slices.Clone(keys)
		for i := range keys {
			text, err := again(keys[i].Sealed, signingPlace(keys[i].ID), "the signing key "+keys[i].ID, "bizzscim keys rotate")
			if err != nil && !keys[i].Until.IsZero() {
				continue // it signs no more, or soon does not: nobody misses its private part
			}
			if err != nil {
				return nil, err
			}
			if text != keys[i].Sealed {
				keys[i].Sealed = text
				out.SigningKeys++
			}
		}
		if out.SigningKeys == 0 {
			return nil, nil //nolint:nilnil // as it was
		}
		return keys, nil
	})
	return err
}

func (s *secrets) tenantNames(ctx context.Context) (map[directory.ID]string, error) {
	return view(ctx, s.service, func(sn *directory.Snapshot) (map[directory.ID]string, error) {
		all, err := sn.Tenants()
		names := map[directory.ID]string{}
		for _, t := range all {
			names[t.ID] = t.Name
		}
		return names, err
	})
}

// check says what is wrong with the keys, when there is anything that they have to open.
func (s *secrets) check(ctx context.Context) error {
	all, err := s.kept(ctx)
	if err != nil {
		return err
	}
	for _, k := range all {
		if _, err := s.openAt(k.text, k.place); err != nil {
			return err
		}
	}
	return nil
}
