// Package desk is what people and programs do at the server, each within their reach: console shows it as pages, api
// answers it as JSON. Every function takes who asks; what that actor may not see does not exist for it, and the
// directory decides what it may change. A result is a picture of its own, safe to show to who asked; it must never
// hold a secret, but for one that has just been made. Desk must know nothing of HTTP, HTML or languages.
package desk

import (
	"context"
	"fmt"
	"time"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// Pull brings environments in line with their groups; a *pull.Reconciler is one. Each method decides whether the
// actor may.
type Pull interface {
	Sync(ctx context.Context, by directory.Actor, environment directory.ID, o pull.SyncOptions) (*directory.Run, error)
	Allow(ctx context.Context, by directory.Actor, run directory.ID, hash, reason string) (*directory.Run, error)
	Discard(ctx context.Context, by directory.Actor, run directory.ID, reason string) (*directory.Run, error)
	Cancel(ctx context.Context, by directory.Actor, run directory.ID) (*directory.Run, error)
	Show(ctx context.Context, run directory.ID) (*directory.Run, error) // as far as it is by now; for whoever asks
	Status(ctx context.Context) ([]pull.Status, error)                  // of all environments; for whoever asks
	Test(ctx context.Context, tenant directory.ID) (pull.Report, error) // for whoever asks
	FindGroups(ctx context.Context, by directory.Actor, tenant directory.ID, text string) ([]pull.Group, error)
	Person(ctx context.Context, by directory.Actor, tenant, object directory.ID) (provisioned bool, err error)
}

// Config is what a Desk takes from outside.
type Config struct {
	Service    *directory.Service
	Pull       Pull
	URL        func() string // of the server, absolute and without a slash at its end
	Now        func() time.Time
	Assertions []string // audiences of assertions: no security event token is for one of these
	// TestSignIn tries the application of a tenant that signs people in; for whoever asks.
	TestSignIn func(ctx context.Context, tenant directory.ID) (auth.SignInTest, error)
	// CheckExtension reads a SCIM schema (RFC 7643 section 7) and returns its URN. Errors: Invalid.
	CheckExtension func(doc []byte) (urn string, err error)

	// SealCredential seals the secret of a credential and hands it to keep, within which the credential is kept.
	SealCredential func(ctx context.Context, c *directory.Credential, secret []byte, keep func(sealed string) error) error
	// Seal seals any other secret to its place, such as webhook/ID; Open opens it again.
	Seal func(plain []byte, place string) (string, error)
	Open func(sealed, place string) ([]byte, error)
	// CheckAddress says what is wrong with an address that we are to call, for who names it; nil: nothing.
	CheckAddress func(url string) error
	// Sign signs a document of a type of its own, as a JWS in compact form.
	Sign func(ctx context.Context, kind string, document []byte) (string, error)
	// SignEvent signs the claims of a security event token, as a JWS in compact form.
	SignEvent func(ctx context.Context, claims []byte) (string, error)

	Server        func(ctx context.Context) ServerInfo
	Configuration func() ([]Setting, error) // in effect, without secrets
	// Link makes a one-time link to an account, as an absolute URL.
	Link       func(ctx context.Context, by directory.Actor, kind directory.LinkKind, account directory.ID, life time.Duration) (url string, expires time.Time, err error)
	RotateKeys func(ctx context.Context, by directory.Actor) (id string, err error) // that sign assertions

	// NoPassword is the hash of a password that nobody knows: of an account whose password a link is to set.
	NoPassword func(ctx context.Context) (hash string, err error)
	// MailPassword mails a link to set a password to an internal user; sent is false where no mail is configured.
	MailPassword func(ctx context.Context, by directory.Actor, account directory.ID) (sent bool, err error)
}

// Desk does what is asked. It is safe for concurrent use.
type Desk struct {
	Config
	reports, exports *gate
	added            additions
}

// New returns a Desk.
func New(c Config) *Desk {
	return &Desk{Config: c, reports: newGate(maxReports), exports: newGate(maxExports)}
}

// Named is an id with the name that people know it by.
type Named struct {
	ID   directory.ID `json:"id" doc:"Id, a UUID"`
	Name string       `json:"name" doc:"The name that people know it by"`
}

// List is one page of things.
type List[T any] struct {
	Items []T    `json:"items" nullable:"false"`
	Total int64  `json:"total" doc:"How many there are on all pages; -1 where that is not counted"`
	Next  string `json:"next,omitempty" doc:"What \"after\" has to be for the page that follows; absent on the last one"`
}

// Page selects a part of a list.
type Page struct {
	After string // Next of the page before; empty: the first page
	Limit int    // 1 to MaxLimit; 0: DefaultLimit
}

// Bounds of a page.
const (
	DefaultLimit = 50
	MaxLimit     = 500
)

func (p Page) limit() int {
	if p.Limit <= 0 {
		return DefaultLimit
	}
	return min(p.Limit, MaxLimit)
}

// fail is an error of the domain, made here.
func fail(kind directory.ErrorKind, field, format string, args ...any) error {
	return &directory.Error{Kind: kind, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// view reads one snapshot.
func view[T any](ctx context.Context, d *Desk, fn func(*directory.Snapshot) (T, error)) (out T, err error) {
	err = d.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		out, err = fn(sn)
		return err
	})
	return out, err
}

// orNil is a time for JSON: nil where there is none.
func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
