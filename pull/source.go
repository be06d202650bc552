package pull

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// A Connector opens the directory that a tenant is linked to. It does not speak to it yet: a wrong
// credential shows in the first request. Errors: *Error of class Configuration.
type Connector func(Connection) (Source, error)

// Connection is what opens a directory. Secret parts are in the clear here: it is never logged,
// kept or shown.
type Connection struct {
	DirectoryID string // the directory's own tenant id (GUID)
	Cloud       Cloud
	LoginURL    string // of a custom cloud alone: authority host, https
	GraphURL    string // of a custom cloud alone: with the version, such as https://graph.example/v1.0
	ClientID    string // application (client) id
	Kind        CredentialKind
	Secret      []byte // client secret, or PEM of certificate and RSA private key
	TokenFile   string // of workload identity federation: the file with the assertion, read anew for each token
	Roots       *x509.CertPool
	Scheduled   bool                  // asks Graph to serve others first
	Now         func() time.Time      // the wall clock
	Meter       func(Meter)           // told of what a request cost, as soon as it is over; nil: nobody asks
	Wait        func(d time.Duration) // told when a request waits before it is sent again; nil: nobody asks
}

// Cloud names one of Microsoft's clouds. Authority, base URL, scope and trusted hosts go with it.
type Cloud string

// The clouds.
const (
	CloudPublic Cloud = "public"
	CloudUSGov  Cloud = "usgov"
	CloudDoD    Cloud = "usgov-dod"
	CloudChina  Cloud = "china"
	CloudCustom Cloud = "custom" // only with both URLs
)

// CredentialKind tells what an application proves itself with.
type CredentialKind string

// The kinds of credential.
const (
	ClientSecret     CredentialKind = "secret"
	Certificate      CredentialKind = "certificate" // RSA: Microsoft's library takes no other
	WorkloadIdentity CredentialKind = "federated"
)

// Meter counts what a read has cost.
type Meter struct {
	Pages    int `json:"pages"`
	Requests int `json:"requests"` // sent, each of a $batch counted; tokens are not
	Retries  int `json:"retries"`
	Units    int `json:"units"` // x-ms-resource-unit, where Graph tells
}

// Add adds the counts of another.
func (m *Meter) Add(o Meter) {
	m.Pages += o.Pages
	m.Requests += o.Requests
	m.Retries += o.Retries
	m.Units += o.Units
}

// Source reads one directory. It is safe for concurrent use. Every error is an *Error or that of
// ctx; after any error nothing may be concluded from what was read before it.
type Source interface {
	// Group reads a group by its object id. Errors: ScopeMissing when there is none.
	Group(ctx context.Context, id string) (Group, error)

	// FindGroups returns groups whose display name begins with text, whatever their case, in the order of their names: at
	// most limit, which is at most MaxFound. Groups without a name are left out. What answers may be behind Group.
	FindGroups(ctx context.Context, text string, limit int) ([]Group, error)

	// Members calls each for every user in a group, once per user, in no certain order: the direct members, or those
	// of nested groups too when transitive. It returns nil only when the answer was read to its very end, every page
	// had the documented shape and the number of members is that which Graph counted. An error of each ends the read
	// and is returned as it is. The Person is each's own.
	Members(ctx context.Context, group string, transitive bool, each func(Person) error) (Listing, error)

	// Confirm asks for each person by its own request whether the directory has it and which of the groups it is in,
	// directly or through others. It answers for all of them, in their order, or not at all. groups are at most 20
	// for one request; more are asked for in turns.
	Confirm(ctx context.Context, people []directory.ID, groups []string) ([]Confirmation, error)

	// Person reads one person by a request of its own, with all that Members tells of one. found is false when there is
	// no such user, or it lies in the recycle bin.
	Person(ctx context.Context, id directory.ID) (p Person, found bool, err error)

	// Direct returns those of the groups that a person is in directly, in their order, by a request for each group. What
	// answers is what answers Members: it may be behind Confirm. Nobody is in a group for it who is there through another
	// group alone. Errors: ScopeMissing when there is no such group.
	Direct(ctx context.Context, person directory.ID, groups []string) ([]string, error)

	// Close ends idle connections. The Source must not be used after.
	Close()
}

// MaxFound is how many groups FindGroups returns at most.
const MaxFound = 100

// Group is a group of the directory.
type Group struct {
	ID          string // object id
	DisplayName string
}

// Person is a user of the directory as a member of a group. Texts are empty where the directory has
// none; what it does not tell is an error of the whole read, so that "not told" never reaches here.
type Person struct {
	ID                directory.ID // object id
	UserPrincipalName string
	DisplayName       string
	GivenName         string
	Surname           string
	Mail              string
	PreferredLanguage string
	Enabled           bool
	Guest             bool
}

// Listing tells what a complete read of a group saw.
type Listing struct {
	People int            // users
	Nested []directory.ID // object ids of nested groups: the direct members, or on every level when transitive
	Others int            // devices, service principals, contacts
	Meter
}

// Confirmation is what the directory says of one person.
type Confirmation struct {
	ID      directory.ID
	Found   bool // false: there is no such user, or it lies in the recycle bin
	Enabled bool
	Groups  []string // those of the groups asked for that the person is in
}

// Class says what went wrong with a directory, in the terms of who has to act.
type Class string

// The classes of Error.
const (
	Configuration  Class = "configuration"  // a setting of ours cannot be right
	Authentication Class = "authentication" // the credential is wrong or has expired
	Permission     Class = "permission"     // the application lacks a permission, named in Detail
	ScopeMissing   Class = "scope missing"  // a Group to Sync is not there
	Throttled      Class = "throttled"      // asked to wait longer than a run may
	Unavailable    Class = "unavailable"    // no answer, or errors of the directory's
	Malformed      Class = "malformed"      // an answer that is not as documented, or not all of it
)

// Error is what a Source fails with. Detail is safe to show to an administrator and says what to do;
// Err is for the operator.
type Error struct {
	Class      Class
	Detail     string
	Status     int           // HTTP status, 0 when there was no answer
	Code       string        // of Graph or AADSTS
	RequestID  string        // of Graph, for a support case
	RetryAfter time.Duration // of Throttled and Unavailable: do not ask before; 0: not told
	Err        error
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Class, e.Detail)
	if e.Code != "" {
		fmt.Fprintf(&b, " (%s)", e.Code)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class of an error of a Source, Unavailable for any other.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Unavailable
}

// Report is the outcome of a test of a tenant's credential.
type Report struct {
	Checks []Check `json:"checks"`
}

// OK reports whether every check passed.
func (r *Report) OK() bool {
	for _, c := range r.Checks {
		if c.Error != "" {
			return false
		}
	}
	return true
}

// Check is one thing that was tried.
type Check struct {
	Name   string `json:"name"`             // what it needs, such as "token", "GroupMember.Read.All", "group <id>"
	Detail string `json:"detail,omitempty"` // what was seen
	Error  string `json:"error,omitempty"`  // what is wrong and what to do
}

// Tester is what a Source also is: it tries each thing that a run needs, and goes on after one fails.
type Tester interface {
	Test(ctx context.Context, groups []string) Report
}
