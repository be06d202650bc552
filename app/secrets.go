package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/vault"
)

const keyFile = "secrets.key" // in the data folder, unless the configuration names another

// secrets seals and opens the credentials of tenants with the keys of the configuration. The key
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
	ring, err := s.ring()
	if err == nil {
		var plain []byte
		if plain, err = ring.Open(c.Sealed, place(c)); err == nil {
			return plain, nil
		}
	}
	return nil, &pull.Error{Class: pull.Configuration, Detail: s.reason(err), Err: err}
}

// reason says why a secret cannot be sealed or opened, and what to do.
func (s *secrets) reason(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("the key file %s is missing: put it back from where its copy is kept, or set the secret anew with: bizzscim tenant credential set", s.file)
	}
	return strings.ReplaceAll(err.Error(), "vault: ", "")
}

func (s *secrets) fail(err error) error {
	return &directory.Error{Kind: directory.Unavailable, Field: "secrets", Detail: s.reason(err)}
}

// seal seals the secret of a credential and hands it to keep, with no rotation in between. The key file is made when there is none and nothing was
// sealed before: a new one beside secrets that it does not open would hide that the old one is lost.
func (s *secrets) seal(ctx context.Context, c *directory.Credential, plain []byte, keep func(sealed string) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ring, err := s.ring()
	if errors.Is(err, fs.ErrNotExist) {
		ring, err = s.create(ctx, c)
	}
	if err != nil {
		return s.fail(err)
	}
	return keep(ring.Seal(plain, place(c)))
}

func (s *secrets) create(ctx context.Context, c *directory.Credential) (*vault.Keyring, error) {
	sealed, err := view(ctx, s.service, func(sn *directory.Snapshot) (int, error) {
		all, err := sn.Credentials()
		n := 0
		for _, other := range all {
			if other.Sealed != "" && place(other) != place(c) {
				n++
			}
		}
		return n, err
	})
	if err != nil {
		return nil, err
	}
	if sealed > 0 {
		return nil, fmt.Errorf("the key file %s is missing, and %d other credentials were sealed with it: put it back from where its copy is kept; "+
			"if it is lost, remove those credentials with: bizzscim tenant credential remove", s.file, sealed)
	}
	return vault.Create(s.file)
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
			ring, err = s.create(ctx, &directory.Credential{})
		}
	}
	if err != nil {
		return out, s.fail(err)
	}
	out = SecretsResult{KeyID: ring.CurrentID(), KeyFile: s.file, Keys: ring.Len()}
	if s.text != "" {
		out.KeyFile = ""
	}
	tenants, err := s.tenantNames(ctx)
	if err != nil {
		return out, err
	}
	out.Resealed, err = s.service.ResealCredentials(ctx, by, func(c *directory.Credential) (string, error) {
		if ring.Current(c.Sealed) {
			return c.Sealed, nil
		}
		plain, err := ring.Open(c.Sealed, place(c))
		if err != nil {
			return "", &directory.Error{Kind: directory.Unavailable, Field: "secrets",
				Detail: fmt.Sprintf("a new key is in place, but nothing was sealed with it: the credential of tenant %s cannot be opened: %s", tenants[c.TenantID], s.reason(err))}
		}
		return ring.Seal(plain, place(c)), nil
	})
	if err != nil {
		return out, err
	}
	if forget {
		if ring, err = vault.Forget(s.file); err != nil {
			return out, s.fail(err)
		}
		out.Keys = ring.Len()
	}
	detail, err := json.Marshal(map[string]any{"resealed": out.Resealed, "forgotten": forget})
	if err != nil {
		return out, err
	}
	return out, s.service.Audit(ctx, by, "secrets.rotate", "key "+out.KeyID, detail)
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
	all, err := view(ctx, s.service, func(sn *directory.Snapshot) ([]*directory.Credential, error) { return sn.Credentials() })
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Sealed == "" {
			continue
		}
		if _, err := s.open(c); err != nil {
			return err
		}
	}
	return nil
}
