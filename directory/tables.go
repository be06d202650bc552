package directory

import "slices"

// The tables of the store. Keys are built in keys.go: an id is its 16 bytes, a folded name its
// UTF-8 bytes, a time or sequence number 8 bytes big-endian. A key of anything that belongs to
// a tenant starts with the tenant's id, so that no look-up can leave it.
var (
	tableSettings = &Table{Name: "settings"} // name -> value

	tableOrganizations    = &Table{Name: "organizations"}     // organization -> Organization
	tableOrganizationName = &Table{Name: "organization_name"} // folded name -> organization

	tableEnvironments      = &Table{Name: "environments"}       // environment -> Environment
	tableEnvironmentName   = &Table{Name: "environment_name"}   // organization, folded name -> environment
	tableEnvironmentTenant = &Table{Name: "environment_tenant"} // tenant, environment
	tableEnvironmentGroup  = &Table{Name: "environment_group"}  // tenant, group object id, 0, environment
	tableEnvironmentNested = &Table{Name: "environment_nested"} // tenant, environment; those that count members of nested groups

	tableTenants    = &Table{Name: "tenants"}     // tenant -> Tenant
	tableTenantName = &Table{Name: "tenant_name"} // folded name -> tenant

	tableAccounts     = &Table{Name: "accounts", Sequential: true} // account -> Account
	tableAccountEmail = &Table{Name: "account_email"}              // folded e-mail, 0, account; internal accounts only
	tableFormer       = &Table{Name: "former"}                     // tenant, kind, key -> account; people whose SCIM resource is gone

	tableUsers        = &Table{Name: "users", CountPrefix: 16, Sequential: true} // tenant, user -> User
	tableUserName     = &Table{Name: "user_name"}                                // tenant, folded userName -> user
	tableUserExternal = &Table{Name: "user_external"}                            // tenant, externalId, 0, user
	tableUserObject   = &Table{Name: "user_object"}                              // tenant, object id, user
	tableUserEmail    = &Table{Name: "user_email"}                               // tenant, folded e-mail, 0, user

	tableGroups        = &Table{Name: "groups", CountPrefix: 16, Sequential: true} // tenant, group -> Group
	tableGroupName     = &Table{Name: "group_name"}                                // tenant, folded displayName -> group
	tableGroupExternal = &Table{Name: "group_external"}                            // tenant, externalId, 0, group

	tableMembers  = &Table{Name: "members", CountPrefix: 32} // tenant, group, member -> kind of member
	tableMemberOf = &Table{Name: "member_of"}                // tenant, member, group

	tableAccesses          = &Table{Name: "accesses"}                            // account, environment -> Access
	tableEnvironmentAccess = &Table{Name: "environment_access", CountPrefix: 17} // environment, active 1 or 0, account

	tableTokens    = &Table{Name: "tokens"}     // tenant, token -> Token
	tableTokenHash = &Table{Name: "token_hash"} // SHA-256 -> tenant, token
	tableClients   = &Table{Name: "clients"}    // tenant, client id -> Client

	tableSessions       = &Table{Name: "sessions"}        // SHA-256 -> Session
	tableAccountSession = &Table{Name: "account_session"} // account, SHA-256
	tableSessionEnd     = &Table{Name: "session_end"}     // end in ms, SHA-256; when the record goes
	tableSessionSID     = &Table{Name: "session_sid"}     // tenant, sid of the directory, 0, session -> SHA-256

	tableSubjects     = &Table{Name: "subjects"}       // tenant, client id, 0, object id -> sub
	tableSubjectOwner = &Table{Name: "subject_owner"}  // tenant, client id, 0, sub -> object id
	tableSignInStates = &Table{Name: "sign_in_states"} // SHA-256 of a state -> end in ms; those that came back

	tableRoles  = &Table{Name: "roles"}  // account -> Roles
	tableLogins = &Table{Name: "logins"} // account -> Login
	tableLinks  = &Table{Name: "links"}  // SHA-256 -> Link

	tableLog            = &Table{Name: "log", Sequential: true}             // tenant, sequence -> LogEvent
	tableLogEnvironment = &Table{Name: "log_environment", Sequential: true} // environment, sequence -> tenant
	tableOutbox         = &Table{Name: "outbox", Sequential: true}          // sequence -> OutboxEvent
	tableAudit          = &Table{Name: "audit", Sequential: true}           // sequence -> AuditEntry

	// Their names in the file are older than the word.
	tableDerivations       = &Table{Name: "runs"}        // environment, derivation -> Derivation
	tablePendingDerivation = &Table{Name: "pending_run"} // derivation -> environment

	tableCredentials = &Table{Name: "credentials"} // tenant, name -> Credential

	tableRuns        = &Table{Name: "pull_runs", Sequential: true}      // environment, run -> Run
	tableRunOf       = &Table{Name: "pull_run_of", Sequential: true}    // run -> environment
	tableRunItems    = &Table{Name: "pull_run_items", Sequential: true} // run, number -> PlanItem
	tablePullState   = &Table{Name: "pull_state"}                       // environment -> PullState
	tableIndirect    = &Table{Name: "indirect"}                         // environment, user, group -> generation; members of nested groups
	tableTaken       = &Table{Name: "taken"}                            // tenant, user, group -> nothing; memberships that push took away
	tableGroupTaken  = &Table{Name: "group_taken"}                      // tenant, externalId -> nothing; groups that push took away
	tablePullDisable = &Table{Name: "pull_disabled"}                    // tenant, user -> run; people whom a pull made inactive
)

// Tables lists every table that a back end must create.
var Tables = slices.Concat(coreTables, apiTables, webhookTables, internalTables, pageTables)

var coreTables = []*Table{
	tableSettings,
	tableOrganizations, tableOrganizationName,
	tableEnvironments, tableEnvironmentName, tableEnvironmentTenant, tableEnvironmentGroup, tableEnvironmentNested,
	tableTenants, tableTenantName,
	tableAccounts, tableAccountEmail, tableFormer,
	tableUsers, tableUserName, tableUserExternal, tableUserObject, tableUserEmail,
	tableGroups, tableGroupName, tableGroupExternal,
	tableMembers, tableMemberOf,
	tableAccesses, tableEnvironmentAccess,
	tableTokens, tableTokenHash, tableClients,
	tableSessions, tableAccountSession, tableSessionEnd, tableSessionSID,
	tableSubjects, tableSubjectOwner, tableSignInStates,
	tableRoles, tableLogins, tableLinks,
	tableLog, tableLogEnvironment, tableOutbox, tableAudit,
	tableDerivations, tablePendingDerivation,
	tableCredentials,
	tableRuns, tableRunOf, tableRunItems, tablePullState, tableIndirect, tableTaken, tableGroupTaken, tablePullDisable,
}
