package app

import (
	"encoding/json"
	"time"
)

// The operator's operations and what they take and give. The names of JSON fields are a promise:
// scripts read them. Where an operation takes a Ref, it is the id or the name of a thing; of an
// environment also ORGANIZATION/NAME.

// An Operation is one thing that an operator can ask for, over the admin socket as
// POST /admin/v1/{name} with In as the body and Out as the answer.
type Operation[In, Out any] struct{ Name string }

// The operations.
var (
	OrganizationCreate = Operation[NameInput, Organization]{"organization.create"}
	OrganizationList   = Operation[None, List[Organization]]{"organization.list"}
	OrganizationShow   = Operation[RefInput, Organization]{"organization.show"}

	EnvironmentCreate    = Operation[EnvironmentInput, Environment]{"environment.create"}
	EnvironmentList      = Operation[EnvironmentFilter, List[Environment]]{"environment.list"}
	EnvironmentShow      = Operation[RefInput, Environment]{"environment.show"}
	EnvironmentIntegrate = Operation[IntegrationInput, IntegrationResult]{"environment.integrate"}

	TenantCreate = Operation[TenantInput, Tenant]{"tenant.create"}
	TenantList   = Operation[None, List[Tenant]]{"tenant.list"}
	TenantShow   = Operation[RefInput, Tenant]{"tenant.show"}
	TenantSet    = Operation[TenantChange, Tenant]{"tenant.set"}

	TokenCreate = Operation[TokenInput, NewToken]{"token.create"}
	TokenList   = Operation[RefInput, List[Token]]{"token.list"}
	TokenRotate = Operation[TokenRotation, NewToken]{"token.rotate"}
	TokenRevoke = Operation[TokenRef, Token]{"token.revoke"}

	ClientCreate = Operation[ClientInput, NewClient]{"client.create"}
	ClientList   = Operation[RefInput, List[OAuthClient]]{"client.list"}
	ClientRotate = Operation[ClientRotation, NewClient]{"client.rotate"}
	ClientRevoke = Operation[ClientRef, OAuthClient]{"client.revoke"}

	UserCreate = Operation[UserInput, User]{"user.create"}
	UserList   = Operation[UserFilter, List[User]]{"user.list"}
	UserShow   = Operation[UserRef, User]{"user.show"}
	// UserForgetSubject is for a person whose sign-in was refused because the directory tells another subject (sub)
	// than before, once it is known why.
	UserForgetSubject = Operation[UserRef, User]{"user.forget-subject"}

	GroupList = Operation[GroupFilter, List[Group]]{"group.list"}
	GroupShow = Operation[GroupRef, Group]{"group.show"}

	AccessList     = Operation[AccessFilter, List[Access]]{"access.list"}
	LogList        = Operation[LogFilter, List[LogEvent]]{"log.list"}
	DerivationList = Operation[DerivationFilter, List[Derivation]]{"derivation.list"}
	DerivationShow = Operation[DerivationRef, Derivation]{"derivation.show"}
	AuditVerify    = Operation[None, AuditResult]{"audit.verify"}

	ServerStatus = Operation[None, Status]{"server.status"}
)

// None is the input of an operation that takes nothing.
type None struct{}

// List is one page of things. Next, when it is not empty, is what After has to be for the page
// that follows.
type List[T any] struct {
	Items []T    `json:"items"`
	Total int64  `json:"total"` // of all pages; -1 where it is not counted
	Next  string `json:"next,omitempty"`
}

// Page selects a part of a list.
type Page struct {
	After string `json:"after,omitempty"` // Next of the page before
	Limit int    `json:"limit,omitempty"` // default 100, at most 1,000
}

// RefInput names one thing.
type RefInput struct {
	Ref string `json:"ref"`
}

// NameInput names a new thing.
type NameInput struct {
	Name string `json:"name"`
}

// Named is an id with its name.
type Named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Organization is a customer.
type Organization struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	Environments []Named   `json:"environments"`
	Tenants      []Named   `json:"tenants"` // that it may use
	Created      time.Time `json:"created"`
}

// EnvironmentInput describes a new environment.
type EnvironmentInput struct {
	Organization string `json:"organization"` // Ref
	Name         string `json:"name"`
}

// EnvironmentFilter selects environments.
type EnvironmentFilter struct {
	Organization string `json:"organization,omitempty"` // Ref; empty: of all
}

// Environment is a workspace with its external users integration.
type Environment struct {
	ID           string      `json:"id"`
	Name         string      `json:"name"`
	Organization Named       `json:"organization"`
	Integration  Integration `json:"integration"`
	Active       int64       `json:"active"`             // accesses
	Inactive     int64       `json:"inactive"`           // accesses
	LoginURL     string      `json:"loginUrl,omitempty"` // where its people sign in; empty: its tenant signs nobody in
	Created      time.Time   `json:"created"`
}

// Integration is the External users integration of an environment.
type Integration struct {
	Enabled      bool     `json:"enabled"`
	Tenant       *Named   `json:"tenant,omitempty"`
	Groups       []string `json:"groups"`       // Groups to Sync: object ids
	DefaultMenus []string `json:"defaultMenus"` // of new accesses
	Periodic     bool     `json:"periodic"`
	Transitive   bool     `json:"transitive"` // the pull counts members of nested groups too; push never does
	Guests       bool     `json:"guests"`     // the pull provisions guests too
	Paused       bool     `json:"paused"`     // no pull runs
	Hold         bool     `json:"hold"`       // a quarantined run applies nothing at all
	Stops        Stops    `json:"stops"`      // as they are in force
}

// IntegrationInput changes the integration of an environment. What is null stays.
type IntegrationInput struct {
	Environment  string      `json:"environment"` // Ref
	Enabled      *bool       `json:"enabled,omitempty"`
	Tenant       *string     `json:"tenant,omitempty"` // Ref
	Groups       *[]string   `json:"groups,omitempty"`
	DefaultMenus *[]string   `json:"defaultMenus,omitempty"`
	Periodic     *bool       `json:"periodic,omitempty"`
	Transitive   *bool       `json:"transitive,omitempty"`
	Guests       *bool       `json:"guests,omitempty"`
	Paused       *bool       `json:"paused,omitempty"`
	Hold         *bool       `json:"hold,omitempty"`
	Stops        StopsChange `json:"stops,omitzero"`
}

// IntegrationResult is an environment and the run that is under way because of the change, if it
// took more than one step.
type IntegrationResult struct {
	Environment Environment `json:"environment"`
	Derivation  *Derivation `json:"derivation,omitempty"`
}

// Derivation is work on the accesses of an environment that goes on in steps.
type Derivation struct {
	ID          string     `json:"id"`
	Environment Named      `json:"environment"`
	Trigger     string     `json:"trigger"`
	State       string     `json:"state"` // pending, complete
	Started     time.Time  `json:"started"`
	Ended       *time.Time `json:"ended,omitempty"`
	Done        int        `json:"done"` // people looked at
	Granted     int        `json:"granted"`
	Reactivated int        `json:"reactivated"`
	Deactivated int        `json:"deactivated"`
}

// DerivationFilter selects the derivations of an environment, newest first.
type DerivationFilter struct {
	Environment string `json:"environment"` // Ref
	Limit       int    `json:"limit,omitempty"`
}

// DerivationRef names a derivation.
type DerivationRef struct {
	Environment string `json:"environment"` // Ref
	Derivation  string `json:"derivation"`
}

// TenantInput describes a new tenant.
type TenantInput struct {
	Name           string   `json:"name"`
	Organizations  []string `json:"organizations,omitempty"` // Refs
	DirectoryID    string   `json:"directoryId,omitempty"`
	TrustedDomains []string `json:"trustedDomains,omitempty"`
}

// Tenant is the link to an external directory.
type Tenant struct {
	ID                string      `json:"id"`
	Name              string      `json:"name"`
	TenantURL         string      `json:"tenantUrl"` // for Entra's setup page
	TokenURL          string      `json:"tokenUrl"`  // OAuth 2.0 token endpoint
	Organizations     []Named     `json:"organizations"`
	Environments      []Named     `json:"environments"` // that are joined to it
	DirectoryID       string      `json:"directoryId"`
	TrustedDomains    []string    `json:"trustedDomains"`
	Strict            bool        `json:"strict"`
	UserPatch         int         `json:"userPatch"`         // status of a PATCH of a user: 200 or 204
	GroupPatch        int         `json:"groupPatch"`        // status of a PATCH of a group: 200 or 204
	RequestsPerSecond int         `json:"requestsPerSecond"` // 0: the server's default
	Burst             int         `json:"burst"`             // 0: the server's default
	Extensions        []string    `json:"extensions"`        // URNs
	Graph             Graph       `json:"graph"`
	Credential        *Credential `json:"credential,omitempty"` // of the application that synchronizes
	SignIn            SignIn      `json:"signIn"`
	SignInCredential  *Credential `json:"signInCredential,omitempty"` // of the application that signs people in
	Users             int64       `json:"users"`
	Groups            int64       `json:"groups"`
	Created           time.Time   `json:"created"`
}

// TenantChange changes a tenant. What is null stays.
type TenantChange struct {
	Ref               string            `json:"ref"`
	Organizations     *[]string         `json:"organizations,omitempty"` // Refs: exactly these
	DirectoryID       *string           `json:"directoryId,omitempty"`
	TrustedDomains    *[]string         `json:"trustedDomains,omitempty"`
	Strict            *bool             `json:"strict,omitempty"`
	UserPatch         *int              `json:"userPatch,omitempty"`
	GroupPatch        *int              `json:"groupPatch,omitempty"`
	RequestsPerSecond *int              `json:"requestsPerSecond,omitempty"` // 0: the server's default
	Burst             *int              `json:"burst,omitempty"`             // 0: the server's default
	Extensions        []json.RawMessage `json:"extensions,omitempty"`        // SCIM Schema resources; each replaces the one of its URN
	RemoveExtensions  []string          `json:"removeExtensions,omitempty"`  // URNs
	Graph             GraphChange       `json:"graph,omitzero"`
	SignIn            SignInChange      `json:"signIn,omitzero"`
}

// NewToken is a token with its secret, which is shown here and never again.
type NewToken struct {
	Secret string `json:"secret"`
	Token  Token  `json:"token"`
}

// NewClient is a client with a new secret of its, which is shown here and never again; it is empty
// where none was made.
type NewClient struct {
	Secret string      `json:"secret,omitempty"`
	Client OAuthClient `json:"client"`
}

// TokenInput describes a new Secret Token.
type TokenInput struct {
	Tenant string `json:"tenant"` // Ref
	Name   string `json:"name,omitempty"`
	Life   string `json:"life,omitempty"` // such as 180d or 12h; default 180d
}

// Token is a Secret Token, without the secret.
type Token struct {
	ID           string     `json:"id"`
	Tenant       Named      `json:"tenant"`
	Name         string     `json:"name"`
	Hint         string     `json:"hint"`  // last four characters of the secret
	State        string     `json:"state"` // live, expired, revoked
	Created      time.Time  `json:"created"`
	CreatedBy    string     `json:"createdBy"`
	Expires      time.Time  `json:"expires"`
	Revoked      *time.Time `json:"revoked,omitempty"`
	LastUsed     *time.Time `json:"lastUsed,omitempty"` // to the minute
	LastUsedFrom string     `json:"lastUsedFrom,omitempty"`
}

// TokenRef names a token of a tenant by id, name or hint; empty: the only one that is live.
type TokenRef struct {
	Tenant string `json:"tenant"` // Ref
	Token  string `json:"token,omitempty"`
}

// TokenRotation replaces a token.
type TokenRotation struct {
	TokenRef
	Name    string `json:"name,omitempty"` // of the new one; default: of the old one
	Life    string `json:"life,omitempty"`
	Overlap string `json:"overlap,omitempty"` // for which the old one still works; default 24h
}

// ClientInput describes a new OAuth client.
type ClientInput struct {
	Tenant    string     `json:"tenant"`             // Ref
	ClientID  string     `json:"clientId,omitempty"` // default: a new UUID
	Life      string     `json:"life,omitempty"`     // of the secret; default 180d
	TokenLife string     `json:"tokenLife,omitempty"`
	Federated *Federated `json:"federated,omitempty"`
	NoSecret  bool       `json:"noSecret,omitempty"` // with Federated: no secret beside it
}

// Federated names the tokens that a client may present in place of a secret.
type Federated struct {
	Issuer   string `json:"issuer"`
	Audience string `json:"audience"`
	Subject  string `json:"subject"`
}

// OAuthClient is a client of a tenant's token endpoint, without its secrets.
type OAuthClient struct {
	ClientID  string         `json:"clientId"`
	Tenant    Named          `json:"tenant"`
	TokenURL  string         `json:"tokenUrl"`
	State     string         `json:"state"` // live, expired (no live secret), revoked
	Secrets   []ClientSecret `json:"secrets"`
	Federated *Federated     `json:"federated,omitempty"`
	TokenLife string         `json:"tokenLife"`
	Created   time.Time      `json:"created"`
	Revoked   *time.Time     `json:"revoked,omitempty"`
}

// ClientSecret is a secret of a client, without itself.
type ClientSecret struct {
	Hint    string    `json:"hint"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

// ClientRef names an OAuth client of a tenant; empty: the only one that is live.
type ClientRef struct {
	Tenant   string `json:"tenant"` // Ref
	ClientID string `json:"clientId,omitempty"`
}

// ClientRotation gives a client a new secret.
type ClientRotation struct {
	ClientRef
	Life    string `json:"life,omitempty"`
	Overlap string `json:"overlap,omitempty"` // for which the old ones still work; default 24h
}

// UserInput describes a new internal user.
type UserInput struct {
	UserName string `json:"userName"`
	Email    string `json:"email"`
	Name     string `json:"name"`
}

// UserFilter selects users.
type UserFilter struct {
	Tenant string `json:"tenant,omitempty"` // Ref; empty: the accounts of all, internal ones too
	Page
}

// User is a person's account and what the directory says of them.
type User struct {
	ID         string    `json:"id"` // of the account
	UserName   string    `json:"userName"`
	Name       string    `json:"name"`
	Email      string    `json:"email"`
	Tenant     *Named    `json:"tenant,omitempty"` // that manages the account; none: an internal user
	SCIMID     string    `json:"scimId,omitempty"` // none: not provisioned at present
	Protected  bool      `json:"protected"`        // no directory takes anything from it
	ExternalID string    `json:"externalId,omitempty"`
	Active     *bool     `json:"active,omitempty"` // as the directory says
	Groups     []Named   `json:"groups,omitempty"` // when one user is shown
	Accesses   []Access  `json:"accesses,omitempty"`
	Default    *Landing  `json:"defaultEnvironment,omitempty"` // when one user is shown; none: there is no active access
	Created    time.Time `json:"created"`
	Modified   time.Time `json:"modified"`
}

// Landing is the default environment of a user: where they land when a sign-in or a link names none.
type Landing struct {
	Named
	Chosen bool `json:"chosen"` // else it is that of the active access that was granted first
}

// UserRef names a user by account id, SCIM id, object id, userName or e-mail address.
type UserRef struct {
	Ref    string `json:"ref"`
	Tenant string `json:"tenant,omitempty"` // Ref; empty: an internal user first, else of any tenant
}

// GroupFilter selects the groups of a tenant.
type GroupFilter struct {
	Tenant string `json:"tenant,omitempty"` // Ref; empty: the only tenant
	Page
}

// Group is a directory's group.
type Group struct {
	ID           string    `json:"id"` // SCIM id
	DisplayName  string    `json:"displayName"`
	ExternalID   string    `json:"externalId"` // object id: what Groups to Sync names
	Tenant       Named     `json:"tenant"`
	Members      int64     `json:"members"`
	Environments []Named   `json:"environments"`         // that sync it
	MemberList   []Named   `json:"memberList,omitempty"` // when one group is shown: the first of them
	Modified     time.Time `json:"modified"`
}

// GroupRef names a group by SCIM id, object id or display name.
type GroupRef struct {
	Ref    string `json:"ref"`
	Tenant string `json:"tenant,omitempty"` // Ref; to tell apart
	Limit  int    `json:"limit,omitempty"`  // members listed; default 100
}

// AccessFilter selects the accesses of an environment.
type AccessFilter struct {
	Environment string `json:"environment"`     // Ref
	State       string `json:"state,omitempty"` // active, inactive; empty: active, then inactive
	Page
}

// Access is one account in one environment.
type Access struct {
	Account       Named     `json:"account"` // id and userName
	Environment   Named     `json:"environment"`
	Name          string    `json:"name"`
	Email         string    `json:"email"`
	Active        bool      `json:"active"`
	Administrator bool      `json:"administrator"`
	Menus         []string  `json:"menus"`
	Created       time.Time `json:"created"`
	Modified      time.Time `json:"modified"`
}

// LogFilter selects the provisioning log of a tenant, or what of it changed an access to an
// environment.
type LogFilter struct {
	Ref    string `json:"ref"`              // of an environment or a tenant; env:REF and tenant:REF say which
	Newest bool   `json:"newest,omitempty"` // the last Limit events, still oldest first
	Page
}

// LogEvent is one line of the provisioning log.
type LogEvent struct {
	Sequence   uint64         `json:"sequence"` // number in the order of commit
	Time       time.Time      `json:"time"`
	Tenant     Named          `json:"tenant"`
	Channel    string         `json:"channel"`
	Actor      string         `json:"actor,omitempty"`
	RequestID  string         `json:"requestId,omitempty"`
	RunID      string         `json:"runId,omitempty"` // of the pull that made the change
	Action     string         `json:"action"`
	TargetType string         `json:"targetType"`
	Target     Named          `json:"target"`
	ExternalID string         `json:"externalId,omitempty"`
	Status     string         `json:"status"` // success, warning, failure
	Detail     string         `json:"detail,omitempty"`
	Reason     string         `json:"reason,omitempty"` // of a change that a pull made
	Changes    []Change       `json:"changes,omitempty"`
	Warnings   []string       `json:"warnings,omitempty"`
	Accesses   []AccessEffect `json:"accesses,omitempty"`
	Sessions   int            `json:"sessionsEnded,omitempty"`
}

// Change is one property that an event changed.
type Change struct {
	Name string          `json:"name"`
	Old  json.RawMessage `json:"old,omitempty"`
	New  json.RawMessage `json:"new,omitempty"`
}

// AccessEffect is what an event did to one access.
type AccessEffect struct {
	Environment Named  `json:"environment"`
	Account     Named  `json:"account"` // id and userName
	Effect      string `json:"effect"`  // granted, reactivated, deactivated
}

// AuditResult tells whether the audit is whole.
type AuditResult struct {
	Whole   bool   `json:"whole"`
	Entries uint64 `json:"entries"`
	Detail  string `json:"detail,omitempty"` // what is wrong
}

// Status tells how a running server is.
type Status struct {
	Version string    `json:"version"`
	URL     string    `json:"url"`
	Address string    `json:"address"` // that it listens on
	Ready   bool      `json:"ready"`
	Reason  string    `json:"reason,omitempty"` // why it is not ready
	Bytes   int64     `json:"bytes"`            // of data on disk
	Commits uint64    `json:"commits"`
	Started time.Time `json:"started"`
}
