package directory

import (
	"cmp"
	"encoding/json"
	"time"
)

// Organization is a customer of BizzStream. It owns environments.
type Organization struct {
	ID      ID        `json:"id"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

// Environment is an isolated BizzStream workspace of an organization.
type Environment struct {
	ID             ID          `json:"id"`
	OrganizationID ID          `json:"organizationId"`
	Name           string      `json:"name"`
	Created        time.Time   `json:"created"`
	Integration    Integration `json:"integration"`
}

// Integration is the "External users integration" tab of an environment: it joins the
// environment to a tenant.
type Integration struct {
	Enabled      bool     `json:"enabled"`                // the checkbox; an operator alone may switch it
	TenantID     ID       `json:"tenantId,omitzero"`      // Tenant
	Groups       []string `json:"groups,omitempty"`       // Groups to Sync: object ids, lower-case where they are GUIDs
	DefaultMenus []string `json:"defaultMenus,omitempty"` // Default menu: given to a new access, never applied again
	Periodic     bool     `json:"periodic"`               // Periodically Sync Users
	Transitive   bool     `json:"transitive,omitempty"`   // the pull counts members of nested groups too; push never does
	Guests       bool     `json:"guests,omitempty"`       // the pull provisions guests too
	Paused       bool     `json:"paused,omitempty"`       // no pull runs until it is resumed
	Hold         bool     `json:"hold,omitempty"`         // a quarantined run applies nothing at all, not even creates and updates
	Stops        Stops    `json:"stops,omitzero"`         // prevent accidental deletions
	// Generation rises when what nested groups give must be read anew; rows of an older one count for nothing.
	Generation uint64 `json:"generation,omitempty"`
}

// Stops are the figures of "prevent accidental deletions": a pull stops before any deactivation
// when it would deactivate more accesses than max(RunCount, RunPercent of the active ones), or would
// bring those of the last 24 hours above max(DayCount, DayPercent). Zero fields take the defaults.
type Stops struct {
	RunCount   int `json:"runCount,omitempty"`   // default 10
	RunPercent int `json:"runPercent,omitempty"` // default 5
	DayCount   int `json:"dayCount,omitempty"`   // default 20
	DayPercent int `json:"dayPercent,omitempty"` // default 10
}

// OrDefaults fills in the defaults (domain.md, "Push and pull meet").
func (s Stops) OrDefaults() Stops {
	return Stops{cmp.Or(s.RunCount, 10), cmp.Or(s.RunPercent, 5), cmp.Or(s.DayCount, 20), cmp.Or(s.DayPercent, 10)}
}

// Tenant is the technical link to one external directory (a Microsoft Entra tenant).
type Tenant struct {
	ID              ID          `json:"id"`
	Name            string      `json:"name"`                      // path segment of the Tenant URL: a-z, 0-9, hyphen
	OrganizationIDs []ID        `json:"organizationIds,omitempty"` // organizations that may use it
	DirectoryID     string      `json:"directoryId,omitempty"`     // the directory's own tenant id (GUID)
	TrustedDomains  []string    `json:"trustedDomains,omitempty"`  // e-mail domains whose internal accounts it may adopt; an operator alone adds one
	SCIM            SCIMOptions `json:"scim"`
	Graph           Graph       `json:"graph,omitzero"`
	SignIn          SignIn      `json:"signIn,omitzero"`
	Created         time.Time   `json:"created"`
}

// Graph is the application of a tenant that synchronizes: the pull reads Microsoft Graph as it. Its
// credential is kept apart (Credential).
type Graph struct {
	Cloud    string `json:"cloud,omitempty"`    // public (default), usgov, usgov-dod, china, custom
	LoginURL string `json:"loginUrl,omitempty"` // of a custom cloud: authority host
	GraphURL string `json:"graphUrl,omitempty"` // of a custom cloud: with the version
	ClientID string `json:"clientId,omitempty"` // application (client) id, a GUID
	UserName string `json:"userName,omitempty"` // what userName is made from: userPrincipalName (default) or mail
}

// SignIn is the application of a tenant that signs people in (OpenID Connect). Cloud and hosts are those
// of Graph; its credential is kept apart (Credential).
type SignIn struct {
	ClientID    string `json:"clientId,omitempty"`    // application (client) id; empty: nobody signs in with this tenant
	Label       string `json:"label,omitempty"`       // what people know the organization as; empty: the tenant's name
	Prompt      string `json:"prompt,omitempty"`      // empty: as the directory sees fit; login: credentials each time; select_account
	DomainHint  string `json:"domainHint,omitempty"`  // skips the directory's own choice of where to sign in
	Contact     string `json:"contact,omitempty"`     // whom people ask: a mail address, a phone number, a sentence
	PasswordURL string `json:"passwordUrl,omitempty"` // https: where people change their password; empty: Microsoft's
}

// ClientID is where a tenant keeps the client id of the application that a credential is of.
func (t *Tenant) ClientID(credential string) *string {
	if credential == SignInCredential {
		return &t.SignIn.ClientID
	}
	return &t.Graph.ClientID
}

// Credential is what an application of a tenant proves itself with. The secret is sealed before it
// reaches the directory; what a Sealed text means is not known here.
type Credential struct {
	TenantID  ID        `json:"tenantId"`
	Name      string    `json:"name"` // GraphCredential or SignInCredential
	ID        ID        `json:"id"`   // another one whenever the credential is replaced
	Kind      string    `json:"kind"` // secret, certificate, federated
	Sealed    string    `json:"sealed,omitempty"`
	TokenFile string    `json:"tokenFile,omitempty"` // of federated
	Hint      string    `json:"hint,omitempty"`      // what tells it from another: last characters, thumbprint
	Expires   time.Time `json:"expires,omitzero"`    // zero: not known
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"createdBy,omitempty"`
}

// Names of a tenant's credentials.
const (
	GraphCredential  = "graph"   // of the application that synchronizes
	SignInCredential = "sign-in" // of the application that signs people in
)

// SCIMOptions are a tenant's choices for its SCIM endpoint. The zero value is the default.
type SCIMOptions struct {
	Strict             bool              `json:"strict,omitempty"`             // RFC 7644 to the letter
	UserPatchNoContent bool              `json:"userPatchNoContent,omitempty"` // answer PATCH of a user with 204 instead of 200
	GroupPatchContent  bool              `json:"groupPatchContent,omitempty"`  // answer PATCH of a group with 200 instead of 204
	RequestsPerSecond  int               `json:"requestsPerSecond,omitempty"`  // 0: the server's default; never below 25
	Burst              int               `json:"burst,omitempty"`              // 0: the server's default
	Extensions         []json.RawMessage `json:"extensions,omitempty"`         // SCIM Schema resources (RFC 7643 section 7)
}

// Account is a person's BizzStream user. It belongs to the whole system, to no environment,
// and is never deleted.
type Account struct {
	ID                   ID
	UserName             string
	Name                 string
	Email                string
	Language             string
	Locale               string
	DefaultEnvironmentID ID     // the one that was chosen; zero: none. See Snapshot.DefaultEnvironment
	TenantID             ID     // the directory that owns it; zero: an internal user
	UserID               ID     // the SCIM user that it is linked to; zero: none at present
	Epoch                uint64 // raised whenever sessions end; a session of an older epoch is void
	Protected            bool   // last operator, break-glass: no directory may touch it
	Created              time.Time
	Modified             time.Time
}

// External reports whether the account is managed by a directory outside.
func (a *Account) External() bool { return !a.TenantID.IsZero() }

// Profile is what the directory says of a person, in the domain's terms.
type Profile struct {
	UserName   string
	ExternalID string
	Name       string // the name to show
	Email      string // the primary e-mail; empty where none was given
	Emails     []string
	Language   string
	Locale     string
	Active     bool
}

// User is a SCIM User resource: a person as the directory of one tenant describes them.
type User struct {
	TenantID  ID
	ID        ID // SCIM id
	AccountID ID
	ObjectID  ID // Entra object id; zero while it is not known
	Profile
	Version  uint64 // meta.version, from 1
	Created  time.Time
	Modified time.Time
	// Schemas and Attributes are the resource as the SCIM channel wrote it: the JSON array of
	// schema URNs and the JSON object of the attributes. Read from the store they are valid
	// until the transaction ends.
	Schemas    []byte
	Attributes []byte
}

// Group is a SCIM Group resource. Its members are rows of their own.
type Group struct {
	TenantID    ID
	ID          ID
	DisplayName string
	ExternalID  string // the object id of an Entra group; Groups to Sync matches it
	Version     uint64
	Created     time.Time
	Modified    time.Time
	Schemas     []byte
	Attributes  []byte

	// Alone says that the group is certainly a member of no group, so that nobody has to look; false says nothing.
	Alone bool
}

// MemberKind tells what a member of a group is.
type MemberKind byte

// The kinds of member.
const (
	MemberUser  MemberKind = 'u'
	MemberGroup MemberKind = 'g'
)

// Member is one membership: a user or a group that is directly in a group.
type Member struct {
	ID   ID
	Kind MemberKind
}

// Access is one account in one environment. For external users it is derived, never set by hand.
type Access struct {
	AccountID     ID
	EnvironmentID ID
	TenantID      ID // the tenant that manages it
	Name          string
	Email         string
	Language      string
	Locale        string
	Active        bool
	Administrator bool // of the environment, while the access is active
	Menus         []string
	Created       time.Time
	Modified      time.Time
}

// TokenKind tells tokens apart by what made them.
type TokenKind string

// The kinds of token.
const (
	SecretToken TokenKind = "secret" // long-lived, made by an administrator
	AccessToken TokenKind = "access" // issued by the OAuth 2.0 token endpoint
)

// Token opens the SCIM endpoint of exactly one tenant. The secret itself is never kept.
type Token struct {
	ID           ID        `json:"id"`
	TenantID     ID        `json:"tenantId"`
	Name         string    `json:"name,omitempty"`
	Kind         TokenKind `json:"kind"`
	ClientID     string    `json:"clientId,omitempty"` // of an access token
	Hash         []byte    `json:"hash"`               // SHA-256 of the secret
	Hint         string    `json:"hint"`               // last four characters
	Created      time.Time `json:"created"`
	CreatedBy    string    `json:"createdBy,omitempty"`
	Expires      time.Time `json:"expires"`
	Revoked      time.Time `json:"revoked,omitzero"`
	LastUsed     time.Time `json:"lastUsed,omitzero"` // to the minute
	LastUsedFrom string    `json:"lastUsedFrom,omitempty"`
}

// Live reports whether the token opens anything at that time.
func (t *Token) Live(now time.Time) bool { return t.Revoked.IsZero() && now.Before(t.Expires) }

// Client is an OAuth 2.0 client of a tenant's token endpoint (client credentials, RFC 6749 4.4).
type Client struct {
	TenantID  ID             `json:"tenantId"`
	ClientID  string         `json:"clientId"`
	Secrets   []ClientSecret `json:"secrets,omitempty"`   // at most two live
	Federated *Federated     `json:"federated,omitempty"` // workload identity federation
	TokenLife time.Duration  `json:"tokenLife"`           // of the access tokens, 1 to 6 hours
	Created   time.Time      `json:"created"`
	Revoked   time.Time      `json:"revoked,omitzero"`

	// When and from where its access tokens were used last: here too, since those are cleared away when they have ended.
	LastUsed     time.Time `json:"lastUsed,omitzero"` // to the minute
	LastUsedFrom string    `json:"lastUsedFrom,omitempty"`
}

// ClientSecret is one secret of a Client.
type ClientSecret struct {
	ID      ID        `json:"id"`
	Hash    []byte    `json:"hash"` // SHA-256
	Hint    string    `json:"hint"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

// Federated names the tokens that a client may present in place of a secret (RFC 7523).
type Federated struct {
	Issuer   string `json:"issuer"`
	Audience string `json:"audience"`
	Subject  string `json:"subject"`
}

// Role is what a caller may do.
type Role string

// The roles of the domain. System is the server itself.
const (
	RoleNone        Role = ""
	RoleUser        Role = "user"
	RoleEnvironment Role = "environment administrator"
	RolePartner     Role = "partner"
	RoleOperator    Role = "operator"
	RoleDirectory   Role = "directory" // an identity provider that pushes to its own tenant
	RoleSystem      Role = "system"
)

// Actor is who makes a change and from where, for the log and the audit.
type Actor struct {
	Role      Role   `json:"role"`
	Channel   string `json:"channel"`             // scim, pull, console, cli, system
	ID        string `json:"id,omitempty"`        // token id, account id, operating-system user
	RunID     ID     `json:"runId,omitzero"`      // of the pull that made the change
	RequestID string `json:"requestId,omitempty"` // of the request that carried the change
	Method    string `json:"method,omitempty"`    // HTTP method of that request, of the SCIM channel
	Answer    int    `json:"answer,omitempty"`    // HTTP status that it is answered with once it is carried out; zero: not known
	Address   string `json:"address,omitempty"`   // of the caller

	Reach *Reach `json:"-"` // of a partner and an environment administrator; nil: nothing
}

// Reach is what the roles of an actor are about: a partner the tenants of its organizations, an
// environment administrator its environments.
type Reach struct {
	SetupLink     [32]byte `json:"-"` // of whoever came by a setup link: its SHA-256. It opens what setup.go says, while it lives
	Organizations []ID
	Environments  []ID
	Scopes        []string `json:"-"` // of an API token, of any role, which gives no more than these; nil: not bound to any
}

// Change is one property that a change modified: Entra's "modified properties".
type Change struct {
	Name string          `json:"name"`
	Old  json.RawMessage `json:"old,omitempty"`
	New  json.RawMessage `json:"new,omitempty"`
}

// AccessEffect says what a change did to one access.
type AccessEffect struct {
	EnvironmentID ID     `json:"environmentId"`
	AccountID     ID     `json:"accountId"`
	UserID        ID     `json:"userId,omitzero"`
	Effect        string `json:"effect"`                  // granted, reactivated, deactivated; in an event also updated
	Sessions      int    `json:"sessionsEnded,omitempty"` // of the account, counted once for all of its accesses
}

// Effects of a change on an access.
const (
	Granted     = "granted"
	Reactivated = "reactivated"
	Deactivated = "deactivated"
	Updated     = "updated" // menus or names were set by hand
)

// Status of a provisioning-log event, in Entra's words.
type Status string

// The states of a LogEvent.
const (
	Success Status = "success"
	Failure Status = "failure"
	Warning Status = "warning" // succeeded, with something ignored
)

// Action of a provisioning-log event, in Entra's words.
type Action string

// The actions of a LogEvent.
const (
	ActionCreate  Action = "create"
	ActionUpdate  Action = "update"
	ActionDisable Action = "disable"
	ActionEnable  Action = "enable"
	ActionDelete  Action = "delete"
	ActionDerive  Action = "derive" // access brought in line after a change of an integration
	ActionOther   Action = "other"
)

// LogEvent is one line of the provisioning log of a tenant.
type LogEvent struct {
	Sequence   uint64         `json:"sequence"` // number in the order of commit, of all tenants
	TenantID   ID             `json:"tenantId"`
	Time       time.Time      `json:"time"`
	Actor      Actor          `json:"actor"`
	Action     Action         `json:"action"`
	TargetType string         `json:"targetType"` // User, Group, Environment
	TargetID   string         `json:"targetId,omitempty"`
	TargetName string         `json:"targetName,omitempty"`
	ExternalID string         `json:"externalId,omitempty"`
	Status     Status         `json:"status"`
	Detail     string         `json:"detail,omitempty"` // the error that the client got
	Answer     int            `json:"answer,omitempty"` // HTTP status of that error, of the SCIM channel: Actor has that of a success
	Reason     string         `json:"reason,omitempty"` // of a change that a pull made
	Changes    []Change       `json:"changes,omitempty"`
	Warnings   []string       `json:"warnings,omitempty"`
	Accesses   []AccessEffect `json:"accesses,omitempty"`
	Sessions   int            `json:"sessionsEnded,omitempty"`

	EnvironmentID ID `json:"environmentId,omitzero"` // where an access was set by hand, or a default environment: changes are of that access
}

// OutboxEvent is one change as others are told of it, in the order of commit.
type OutboxEvent struct {
	Sequence  uint64         `json:"sequence"`
	Time      time.Time      `json:"time"`
	Type      string         `json:"type"`     // user.created, user.updated, user.deleted, group.created, group.updated, group.deleted, access.derived, access.updated
	TenantID  ID             `json:"tenantId"` // zero: the person belongs to no directory
	UserID    ID             `json:"userId,omitzero"`
	AccountID ID             `json:"accountId,omitzero"`
	GroupID   ID             `json:"groupId,omitzero"`
	RunID     ID             `json:"runId,omitzero"` // of the pull that made the change
	Active    *bool          `json:"active,omitempty"`
	Added     []ID           `json:"membersAdded,omitempty"`
	Removed   []ID           `json:"membersRemoved,omitempty"`
	Accesses  []AccessEffect `json:"accesses,omitempty"`

	// What follows is said of SCIM resources, and since they are told as security event tokens: an earlier event has none of it.

	Method     UpdateMethod `json:"method,omitempty"`          // of user.updated and group.updated
	Attributes []string     `json:"attributes,omitempty"`      // that came, changed or went, by their names in the resource; never their values
	Version    uint64       `json:"resourceVersion,omitempty"` // of the resource after the change; zero: it is gone
	ExternalID string       `json:"externalId,omitempty"`      // of the resource
	Switched   bool         `json:"switched,omitempty"`        // Active is not what it was before
	First      uint64       `json:"first,omitempty"`           // the first event of the same transaction; zero: this is it
}

// UpdateMethod is how a SCIM resource was changed.
type UpdateMethod string

// The ways to change a resource. An event of an earlier version says none.
const (
	UpdatePut   UpdateMethod = "put"   // as a whole
	UpdatePatch UpdateMethod = "patch" // in parts; a pull does nothing else
	UpdateNone  UpdateMethod = "none"  // not at all: accesses or what only a directory knows changed
)

// AuditEntry is one administrative act. Each entry carries the hash of the one before it, so that
// a changed, missing or reordered entry is found by VerifyAudit.
type AuditEntry struct {
	Sequence uint64          `json:"sequence"`
	Time     time.Time       `json:"time"`
	Actor    Actor           `json:"actor"`
	Action   string          `json:"action"` // tenant.create, token.revoke, ...
	Target   string          `json:"target"`
	Detail   json.RawMessage `json:"detail,omitempty"`
	Previous string          `json:"previous"` // hex SHA-256 of the entry before
	Hash     string          `json:"hash"`     // hex SHA-256 of this entry without this field
}

// DerivationState tells how far a Derivation is.
type DerivationState string

// The states of a Derivation.
const (
	DerivationPending  DerivationState = "pending"
	DerivationComplete DerivationState = "complete"
)

// Derivation is work on an environment that is too much for one transaction: it goes on in steps, and
// after a restart, until it is complete.
type Derivation struct {
	ID            ID                `json:"id"`
	EnvironmentID ID                `json:"environmentId"`
	Trigger       string            `json:"trigger"` // what asked for it: integration
	Actor         Actor             `json:"actor"`
	State         DerivationState   `json:"state"`
	Started       time.Time         `json:"started"`
	Ended         time.Time         `json:"ended,omitzero"`
	Scopes        []DerivationScope `json:"scopes"` // what is left to look at, the first one from its cursor on
	Done          int               `json:"done"`   // people looked at
	Granted       int               `json:"granted"`
	Reactivated   int               `json:"reactivated"`
	Deactivated   int               `json:"deactivated"`
}

// DerivationScope is a set of people whose access to the run's environment must be derived again.
type DerivationScope struct {
	TenantID ID     `json:"tenantId,omitzero"` // of the people
	GroupID  ID     `json:"groupId,omitzero"`  // members of this group; zero: everyone who has an access to the environment
	Nested   bool   `json:"nested,omitempty"`  // instead: those who are in a group through a nested one
	After    []byte `json:"after,omitempty"`   // key of the last person looked at
}
