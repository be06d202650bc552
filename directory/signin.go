package directory

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"time"
)

// check checks the application that signs people in; was is what it was before.
func (in *SignIn) check(directory string, was *SignIn) error {
	if in.ClientID = strings.ToLower(strings.TrimSpace(in.ClientID)); in.ClientID != "" {
		if _, ok := ParseID(in.ClientID); !ok {
			return failf(Invalid, "signIn.clientId", "%q is not an application (client) id", in.ClientID)
		}
		if directory == "" {
			return failf(Invalid, "directoryId", "the application (client) id needs the directory (tenant) id beside it")
		}
	}
	for _, t := range []struct {
		field, what string
		text        *string
		was         string
		refused     func(rune) bool
	}{
		{"signIn.label", "label of the sign-in", &in.Label, was.Label, disguises},
		{"signIn.domainHint", "domain hint", &in.DomainHint, was.DomainHint, disguises},
		{"signIn.contact", "contact", &in.Contact, was.Contact, disguisesText},
	} {
		if *t.text = strings.TrimSpace(*t.text); *t.text == "" || *t.text == t.was {
			continue
		}
		if _, err := cleanText(t.field, t.what, *t.text, t.refused); err != nil {
			return err
		}
	}
	if in.PasswordURL != "" && checkHTTPS("", in.PasswordURL) != nil {
		return failf(Invalid, "signIn.passwordUrl", "an https URL is needed, without user, query or fragment")
	}
	switch in.Prompt {
	case "", "login", "select_account":
		return nil
	}
	return failf(Invalid, "signIn.prompt", "prompt is login, select_account or empty, not %q", in.Prompt)
}

// DisplayName is what people know a tenant's organization as.
func (t *Tenant) DisplayName() string {
	if t.SignIn.Label != "" {
		return t.SignIn.Label
	}
	return t.Name
}

// Trusts reports whether the directory is trusted for the domain of an e-mail address.
func (t *Tenant) Trusts(email string) bool { return t.trusts(email) }

// TenantsByDomain returns the tenants that sign people in and are trusted for the domain of an e-mail
// address, or for a domain.
func (s *Snapshot) TenantsByDomain(email string) (some []*Tenant, err error) {
	if i := strings.LastIndexByte(email, '@'); i >= 0 {
		email = email[i+1:]
	}
	all, err := s.Tenants()
	for _, t := range all {
		if t.SignIn.ClientID != "" && t.trusts("@"+strings.TrimSpace(email)) {
			some = append(some, t)
		}
	}
	return some, err
}

// Identity is a person as a directory has proven them: never by name or e-mail address.
type Identity struct {
	TenantID ID
	ClientID string // of the application that the proof was made for
	ObjectID ID     // oid
	Subject  string // sub, another one for each application
	// Asked is the tenant as it was when its directory was asked: when it is linked to another one since, or
	// signs nobody in, the proof counts for nothing. nil: nothing lies in between.
	Asked *Tenant
}

// The errors of SignIn beside those of CreateSession. Nothing has been written when one is returned.
var (
	ErrNotProvisioned = &Error{Kind: NotFound, Field: "objectId", Detail: "this person is not provisioned"}
	ErrAmbiguous      = &Error{Kind: Conflict, Field: "objectId", Detail: "more than one user of the tenant has this object id"}
	ErrSubject        = &Error{Kind: Conflict, Field: "subject", Detail: "the directory's subject of this person is not the one that was seen before"}
	ErrRelinked       = &Error{Kind: Conflict, Field: "tenant", Detail: "the sign-in of the tenant was changed meanwhile"}
	ErrInactive       = &Error{Kind: Forbidden, Field: "active", Detail: "the directory has disabled this user"}
)

// SignIn signs a person in whom a directory has proven. The directory's subject is remembered at the
// first time and must be the same ever after.
//
// Errors: ErrRelinked; ErrNotProvisioned; ErrAmbiguous; ErrSubject; ErrInactive; Forbidden without an active access.
func (s *Service) SignIn(ctx context.Context, by Actor, who Identity, in SessionInput) (*Session, error) {
	if who.ObjectID.IsZero() || who.Subject == "" || !isKey(who.Subject) || !isKey(who.ClientID) {
		return nil, ErrNotProvisioned
	}
	var session *Session
	err := s.update(ctx, by, func(c *change) error {
		if who.Asked != nil {
			tenant, err := c.Tenant(who.TenantID)
			if err != nil {
				return err
			}
			if endsSignIn(who.Asked, tenant) {
				return ErrRelinked
			}
		}
		users, err := c.UsersByObjectID(who.TenantID, who.ObjectID)
		switch {
		case err != nil:
			return err
		case len(users) == 0:
			return ErrNotProvisioned
		case len(users) > 1:
			return ErrAmbiguous
		}
		u, err := c.User(who.TenantID, users[0])
		if err != nil {
			return err
		}
		if err := c.pinSubject(who); err != nil {
			return err
		}
		if !u.Active {
			return ErrInactive
		}
		in.AccountID, in.Method, in.TenantID, in.ObjectID = u.AccountID, MethodDirectory, who.TenantID, who.ObjectID
		c.by.ID = u.AccountID.String()
		session, err = c.createSession(in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return session, nil
}

// pinSubject makes sure that object id and subject belong together, as they did before.
func (c *change) pinSubject(who Identity) error {
	byObject := listKey(who.TenantID, who.ClientID, who.ObjectID)
	bySubject := append(listPrefix(who.TenantID, who.ClientID), who.Subject...)
	sub, err := c.r.Get(tableSubjects, byObject)
	if err != nil {
		return err
	}
	if sub != nil {
		if string(sub) != who.Subject {
			return ErrSubject
		}
		return nil
	}
	owner, err := c.r.Get(tableSubjectOwner, bySubject)
	if err != nil {
		return err
	}
	if owner != nil {
		return ErrSubject
	}
	return c.put(row{tableSubjects, byObject, []byte(who.Subject)}, row{tableSubjectOwner, bySubject, who.ObjectID[:]})
}

// ForgetSubject forgets the subject of a person at a tenant's applications, so that the next sign-in
// sets it anew: after the directory has been moved, say.
func (s *Service) ForgetSubject(ctx context.Context, by Actor, tenant, object ID) error {
	if err := require(by, RoleOperator); err != nil {
		return err
	}
	return s.update(ctx, by, func(c *change) error {
		t, err := c.Tenant(tenant)
		if err != nil {
			return err
		}
		var rows []row
		err = c.r.Scan(tableSubjects, Range{Prefix: key(tenant)}, func(k, sub []byte) bool {
			if lastID(k) == object {
				rows = append(rows, row{table: tableSubjects, key: bytes.Clone(k)}, row{table: tableSubjectOwner, key: slices.Concat(k[:len(k)-16], sub)})
			}
			return true
		})
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return notFound("subject")
		}
		if err := c.delete(rows...); err != nil {
			return err
		}
		return c.audit("subject.forget", t.Name, map[string]any{"objectId": object})
	})
}

// UseState spends the state of a sign-in that came back from the directory, by its SHA-256: none comes
// back twice before until. Errors: Conflict when it has.
func (s *Service) UseState(ctx context.Context, by Actor, state [32]byte, until time.Time) error {
	return s.update(ctx, by, func(c *change) error {
		return c.insert(tableSignInStates, state[:], binary.BigEndian.AppendUint64(nil, uint64(until.UnixMilli())),
			failf(Conflict, "state", "this sign-in has been used already"))
	})
}
