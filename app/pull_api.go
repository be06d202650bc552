package app

import "time"

// The operations of the pull and what it needs.
var (
	SyncStart  = Operation[SyncInput, Run]{"sync.start"}
	RunList    = Operation[RunFilter, List[Run]]{"run.list"}
	RunShow    = Operation[RunQuery, RunPlan]{"run.show"}
	RunAllow   = Operation[RunDecision, Run]{"run.allow"}
	RunDiscard = Operation[RunDecision, Run]{"run.discard"}
	RunCancel  = Operation[RefInput, Run]{"run.cancel"}
	PullStatus = Operation[None, PullOverview]{"pull.status"}

	CredentialSet    = Operation[CredentialInput, Credential]{"credential.set"}
	CredentialRemove = Operation[CredentialRef, Credential]{"credential.remove"}
	CredentialTest   = Operation[RefInput, CredentialReport]{"credential.test"}
	CredentialList   = Operation[CredentialFilter, List[Credential]]{"credential.list"}
	SecretsRotate    = Operation[SecretsRotation, SecretsResult]{"secrets.rotate"}

	AccountProtect      = Operation[Protection, User]{"account.protect"}
	AccessAdministrator = Operation[AdministratorInput, Access]{"access.administrator"}
)

// SyncInput asks for a pull of an environment now.
type SyncInput struct {
	Environment string `json:"environment"`       // Ref
	Preview     bool   `json:"preview,omitempty"` // plan, and apply nothing
	Restore     bool   `json:"restore,omitempty"` // also bring back what push took away, once that is allowed
}

// Run is one pull of an environment.
type Run struct {
	ID           string      `json:"id"`
	Environment  Named       `json:"environment"`
	Tenant       *Named      `json:"tenant,omitempty"`
	Trigger      string      `json:"trigger"` // schedule, manual, allow
	By           string      `json:"by,omitempty"`
	Preview      bool        `json:"preview"`
	Restore      bool        `json:"restore"`
	State        string      `json:"state"`           // running, complete, preview, quarantined, allowed, discarded, superseded, failed, cancelled, interrupted
	Stage        string      `json:"stage,omitempty"` // read, plan, confirm, apply
	Done         int         `json:"done"`            // of the stage
	Total        int         `json:"total"`           // of the stage, by the last complete read while it reads; 0: not known
	StageStarted *time.Time  `json:"stageStarted,omitempty"`
	Started      time.Time   `json:"started"`
	Ended        *time.Time  `json:"ended,omitempty"`
	PushSilent   bool        `json:"pushSilent"` // push did nothing for long: what the pull found is not its drift
	Drift        int         `json:"drift"`      // people whom push has left other than the directory says
	Groups       []GroupRead `json:"groups"`
	Pages        int         `json:"pages"`
	Requests     int         `json:"requests"`
	Retries      int         `json:"retries"`
	Units        int         `json:"units"` // resource units that Graph counted
	Counts       Counts      `json:"counts"`
	Hash         string      `json:"hash,omitempty"`    // of what is held back; an approval is bound to it
	Reasons      []string    `json:"reasons,omitempty"` // why it was quarantined
	Notes        []string    `json:"notes,omitempty"`
	PlanOf       string      `json:"planOf,omitempty"` // the waiting run that keeps what this one holds: the same plan
	Deactivated  []Affected  `json:"deactivated"`      // without a person's approval
	Error        *RunError   `json:"error,omitempty"`
	Approval     *Approval   `json:"approval,omitempty"` // that this run used
}

// GroupRead is what a run read of one of the Groups to Sync.
type GroupRead struct {
	ObjectID string `json:"objectId"`
	Name     string `json:"name,omitempty"`
	People   int    `json:"people"`
	Nested   int    `json:"nested"` // groups among its members
	Shared   bool   `json:"shared"` // read by another run of the same time
}

// Counts are the people of a plan by what is to be done, and what became of it.
type Counts struct {
	People     int `json:"people"` // in the groups, by the directory
	Create     int `json:"create"`
	Reattach   int `json:"reattach"`
	Update     int `json:"update"`
	Grant      int `json:"grant"`
	Reactivate int `json:"reactivate"`
	Revoke     int `json:"revoke"`
	Deactivate int `json:"deactivate"`
	Conflict   int `json:"conflict"`

	Applied     int `json:"applied"`
	Skipped     int `json:"skipped"`     // changed by others since the read began
	Waiting     int `json:"waiting"`     // for a second complete read
	Withheld    int `json:"withheld"`    // push or an operator took it away, or the account is protected
	Held        int `json:"held"`        // by the quarantine or the preview
	Failed      int `json:"failed"`      // refused when it was applied
	Deactivated int `json:"deactivated"` // accesses of this environment
	Approved    int `json:"approved"`    // those of them that a person has allowed
	Unchanged   int `json:"unchanged"`
}

// Affected counts the accesses to an environment that a run took away.
type Affected struct {
	Environment Named `json:"environment"`
	Accesses    int   `json:"accesses"`
}

// RunError says why a run failed.
type RunError struct {
	Class     string `json:"class"` // configuration, authentication, permission, scope missing, throttled, unavailable, malformed
	Detail    string `json:"detail"`
	Code      string `json:"code,omitempty"`      // of Graph or AADSTS
	RequestID string `json:"requestId,omitempty"` // of Graph, for a support case
}

// Approval is what a person allowed.
type Approval struct {
	Run     string    `json:"run"` // the quarantined one
	Hash    string    `json:"hash"`
	By      string    `json:"by"`
	Reason  string    `json:"reason"`
	Given   time.Time `json:"given"`
	Expires time.Time `json:"expires"`
}

// RunFilter selects the runs of an environment, newest first.
type RunFilter struct {
	Environment string `json:"environment"` // Ref
	Limit       int    `json:"limit,omitempty"`
}

// RunQuery selects a run and a page of its plan.
type RunQuery struct {
	Ref string `json:"ref"` // id of the run, or a Ref of an environment: its newest one
	Page
}

// RunPlan is a run and a page of its plan.
type RunPlan struct {
	Run   Run            `json:"run"`
	Items List[PlanItem] `json:"items"`
}

// PlanItem is one person of a plan.
type PlanItem struct {
	Number   uint64         `json:"number"`
	Kind     string         `json:"kind"` // create, re-attach, update, grant, re-activate, revoke, deactivate, conflict
	ObjectID string         `json:"objectId,omitempty"`
	SCIMID   string         `json:"scimId,omitempty"`
	UserName string         `json:"userName"`
	Name     string         `json:"name,omitempty"`
	Changes  []Change       `json:"changes,omitempty"`
	Reason   string         `json:"reason"`
	Evidence string         `json:"evidence,omitempty"` // what confirmed a deactivation
	Outcome  string         `json:"outcome"`            // planned, applied, skipped, waiting, withheld, held, conflict, failed
	Detail   string         `json:"detail,omitempty"`   // why the outcome is what it is
	Accesses []AccessEffect `json:"accesses,omitempty"`
}

// RunDecision decides about a quarantined run.
type RunDecision struct {
	Ref    string `json:"ref"`            // id of the run, or a Ref of an environment: the run of it that waits
	Hash   string `json:"hash,omitempty"` // of the plan that was looked at; needed to allow
	Reason string `json:"reason,omitempty"`
}

// PullOverview tells how the pulls of all environments are.
type PullOverview struct {
	Environments []PullStatusOf `json:"environments"`
	Credentials  []Credential   `json:"credentials"`
}

// PullStatusOf tells how the pull of one environment is.
type PullStatusOf struct {
	Environment Named      `json:"environment"`
	Tenant      Named      `json:"tenant"`
	State       string     `json:"state"` // fine, running, never, overdue, failing, quarantined, paused, manual
	Periodic    bool       `json:"periodic"`
	LastSuccess *time.Time `json:"lastSuccess,omitempty"`
	Next        *time.Time `json:"next,omitempty"`      // scheduled run
	NotBefore   *time.Time `json:"notBefore,omitempty"` // Graph asked to wait until then
	Failures    int        `json:"failures"`            // in a row
	Quarantined string     `json:"quarantined,omitempty"`
	Running     string     `json:"running,omitempty"`
	Drift       int        `json:"drift"`
	PushSilent  bool       `json:"pushSilent"`
	Error       *RunError  `json:"error,omitempty"` // of the last run
}

// CredentialInput is what an application of a tenant proves itself with: exactly one of Secret,
// Certificate and TokenFile.
type CredentialInput struct {
	Tenant      string `json:"tenant"`                // Ref
	For         string `json:"for,omitempty"`         // graph (default): the application that synchronizes; sign-in: the one that signs people in
	ClientID    string `json:"clientId,omitempty"`    // Application (client) ID; empty: as it was
	Secret      string `json:"secret,omitempty"`      // client secret: its Value
	Certificate string `json:"certificate,omitempty"` // PEM of the certificate, and of its RSA private key
	TokenFile   string `json:"tokenFile,omitempty"`   // workload identity federation: absolute path, on the server
	Expires     string `json:"expires,omitempty"`     // of a secret: a day such as 2027-06-30, or RFC 3339
}

// Credential is what a tenant's application proves itself with, without the secret.
type Credential struct {
	Tenant    Named      `json:"tenant"`
	Name      string     `json:"name"` // what it is for: graph, sign-in
	Kind      string     `json:"kind"` // secret, certificate, federated
	ClientID  string     `json:"clientId"`
	Hint      string     `json:"hint,omitempty"` // first characters of a secret, SHA-1 thumbprint of a certificate: as Entra shows them
	TokenFile string     `json:"tokenFile,omitempty"`
	State     string     `json:"state"` // live, expiring (within 30 days), expired
	Warning   string     `json:"warning,omitempty"`
	Expires   *time.Time `json:"expires,omitempty"`
	Created   time.Time  `json:"created"`
	CreatedBy string     `json:"createdBy,omitempty"`
}

// CredentialRef names a credential of a tenant.
type CredentialRef struct {
	Ref string `json:"ref"`           // of the tenant
	For string `json:"for,omitempty"` // graph (default), sign-in
}

// CredentialFilter selects credentials.
type CredentialFilter struct {
	Tenant string `json:"tenant,omitempty"` // Ref; empty: of all
	For    string `json:"for,omitempty"`    // graph, sign-in; empty: all
}

// CredentialReport tells what a credential is good for.
type CredentialReport struct {
	Credential Credential `json:"credential"`
	OK         bool       `json:"ok"`
	Checks     []Check    `json:"checks"`
}

// Check is one thing that was tried.
type Check struct {
	Name   string `json:"name"`
	Detail string `json:"detail,omitempty"`
	Error  string `json:"error,omitempty"` // what is wrong and what to do
}

// SecretsRotation changes the key that seals secrets.
type SecretsRotation struct {
	Forget bool `json:"forget,omitempty"` // take the old keys out of the key file afterwards
}

// SecretsResult tells how secrets are sealed.
type SecretsResult struct {
	KeyID    string `json:"keyId"`
	KeyFile  string `json:"keyFile,omitempty"` // empty: the keys come from the environment
	Keys     int    `json:"keys"`              // that open
	Resealed int    `json:"resealed"`          // credentials

	SecondFactors int `json:"secondFactors"` // that were sealed again
	SigningKeys   int `json:"signingKeys"`   // that were sealed again

	WebhookSecrets int `json:"webhookSecrets,omitempty"` // that were sealed again
}

// Protection protects an account from every directory, or lifts that.
type Protection struct {
	UserRef
	Protected bool `json:"protected"`
}

// AdministratorInput makes somebody who has access to an environment an administrator of it, or takes
// that back.
type AdministratorInput struct {
	UserRef
	Environment   string `json:"environment"` // Ref
	Administrator bool   `json:"administrator"`
}

// Stops are the figures of "prevent accidental deletions".
type Stops struct {
	RunCount   int `json:"runCount"`
	RunPercent int `json:"runPercent"`
	DayCount   int `json:"dayCount"`
	DayPercent int `json:"dayPercent"`
}

// StopsChange changes them. What is null stays; 0 is the default.
type StopsChange struct {
	RunCount   *int `json:"runCount,omitempty"`
	RunPercent *int `json:"runPercent,omitempty"`
	DayCount   *int `json:"dayCount,omitempty"`
	DayPercent *int `json:"dayPercent,omitempty"`
}

// Graph is the application by which the pull reads a tenant's directory.
type Graph struct {
	Cloud    string `json:"cloud"` // public, usgov, usgov-dod, china, custom
	LoginURL string `json:"loginUrl,omitempty"`
	GraphURL string `json:"graphUrl,omitempty"`
	ClientID string `json:"clientId,omitempty"`
	UserName string `json:"userName"` // what userName is made from: userPrincipalName, mail
}

// GraphChange changes it. What is null stays, what is empty goes back to its default.
type GraphChange struct {
	Cloud    *string `json:"cloud,omitempty"`
	LoginURL *string `json:"loginUrl,omitempty"`
	GraphURL *string `json:"graphUrl,omitempty"`
	ClientID *string `json:"clientId,omitempty"`
	UserName *string `json:"userName,omitempty"`
}
