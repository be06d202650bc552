package directory_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// sealed is a scene with one of everything in harbor's tenant, and fjord's as the stranger who
// asks for it with the right ids.
type sealed struct {
	*scene
	user   *directory.User
	group  *directory.Group
	token  *directory.Token
	client string

	out, off, gone *directory.User                 // whom push took out of the group, whom a pull disabled, who was deleted
	runs           map[directory.ID]*directory.Run // by tenant
}

func newSealed(t *testing.T) *sealed {
	s := &sealed{scene: newScene(t), client: "entra-harbor"}
	p := person("hana", 31)
	s.user = s.createUser(s.harbor, p)
	s.group = s.createGroup(s.harbor, "Dockers", object(131), s.user.ID)
	s.createGroup(s.harbor, "Cranes", "")
	s.token = must(s.svc.CreateToken(s.ctx, operator, s.harbor, newToken("secret-harbor")))
	secret := newToken("client-secret")
	must(s.svc.CreateClient(s.ctx, operator, s.harbor, directory.NewClient{ClientID: s.client, Secret: &secret}))
	if err := s.svc.TouchToken(s.ctx, s.harbor, s.token.ID, "192.0.2.2"); err != nil {
		t.Fatal(err)
	}
	must(s.svc.SetCredential(s.ctx, operator, directory.Credential{TenantID: s.harbor, Name: "graph", Kind: "secret", Sealed: "sealed"}))
	s.out, s.off, s.gone = s.createUser(s.harbor, person("olga", 32)), s.createUser(s.harbor, person("oskar", 33)), s.createUser(s.harbor, person("gus", 34))
	s.add(s.group, s.out)
	s.remove(s.group, s.out)
	s.deleteUser(s.gone)
	s.deleteGroup(s.createGroup(s.harbor, "Divers", object(133)))
	s.runs = map[directory.ID]*directory.Run{s.fjord: s.startRun(s.production), s.harbor: s.startRun(s.elsewhere), {}: {}}
	s.repair(s.runs[s.harbor], s.planUpdate(s.off, func(p *directory.Profile) { p.Active = false }))
	s.add(s.harborPilots, s.user)
	s.signInAs(s.user, "sub", "session-harbor")
	must(s.svc.CreateSetupLink(s.ctx, operator, s.harbor, secretHash("setup-harbor"), time.Hour))
	return s
}

// reads asks as tenant for what belongs to harbor and returns how much of it is found.
type read func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (found int, err error)

func some[T any](list []T, err error) (int, error) { return len(list), err }

func one[T any](v *T, err error) (int, error) {
	if err != nil && directory.KindOf(err) == directory.NotFound {
		err = nil
	}
	return found(v != nil), err
}

func nonzero(id directory.ID, err error) (int, error) {
	if id.IsZero() {
		return 0, err
	}
	return 1, err
}

// Every method of Snapshot: those that take a tenant say nothing about another one, with whatever
// ids of it they are asked.
var snapshotReads = map[string]read{
	"User": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		return one(sn.User(tenant, s.user.ID))
	},
	"TenantLink": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		l, err := sn.TenantLink(tenant, s.clock.Now())
		return found(l != nil), err
	},
	"UserResource": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		var u directory.User
		ok, err := sn.UserResource(&u, tenant, s.user.ID)
		if ok || u.AccountID != (directory.ID{}) {
			return 1, err
		}
		return 0, err
	},
	"Users": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (n int, err error) {
		err = sn.Users(tenant, directory.ID{}, 0, func(u *directory.User) bool { n += found(u.ID == s.user.ID); return true })
		return n, err
	},
	"UsersBefore": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (n int, err error) {
		err = sn.UsersBefore(tenant, directory.ID{}, 0, func(u *directory.User) bool { n += found(u.ID == s.user.ID); return true })
		return n, err
	},
	"GroupsBefore": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (n int, err error) {
		err = sn.GroupsBefore(tenant, directory.ID{}, 0, func(g *directory.Group) bool { n += found(g.ID == s.group.ID); return true })
		return n, err
	},
	"UserNames": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (n int, err error) {
		err = sn.UserNames(tenant, directory.NameRange{}, func(_ string, id directory.ID) bool { n += found(id == s.user.ID); return true })
		return n, err
	},
	"GroupNames": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (n int, err error) {
		err = sn.GroupNames(tenant, directory.NameRange{}, func(_ string, id directory.ID) bool { n += found(id == s.group.ID); return true })
		return n, err
	},
	"UserCount": func(_ *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		n, err := sn.UserCount(tenant)
		return int(max(0, n-1)), err // fjord has one
	},
	"UserByName": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		return nonzero(sn.UserByName(tenant, s.user.UserName))
	},
	"UsersByExternalID": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		return some(sn.UsersByExternalID(tenant, s.user.ExternalID))
	},
	"UsersByEmail": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		return some(sn.UsersByEmail(tenant, s.user.Email))
	},
	"UsersByPrefix": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		return some(sn.UsersByPrefix(tenant, s.user.UserName[:3], 10))
	},
	"LiveSessions": nil, "PendingDerivations": nil,
	"UsersByObjectID": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		return some(sn.UsersByObjectID(tenant, s.user.ObjectID))
	},
	"Group": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		return one(sn.Group(tenant, s.group.ID))
	},
	"Groups": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (n int, err error) {
		err = sn.Groups(tenant, directory.ID{}, 0, func(g *directory.Group) bool { n += found(g.ID == s.group.ID); return true })
		return n, err
	},
	"GroupCount": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		n, err := sn.GroupCount(tenant)
		return int(max(0, n-2)), err // fjord has two
	},
	"GroupByName": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		return nonzero(sn.GroupByName(tenant, "Dockers"))
	},
	"GroupsByExternalID": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		return some(sn.GroupsByExternalID(tenant, s.group.ExternalID))
	},
	"Members": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (n int, err error) {
		err = sn.Members(tenant, s.group.ID, directory.ID{}, func(directory.Member) bool { n++; return true })
		return n, err
	},
	"MemberCount": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		n, err := sn.MemberCount(tenant, s.group.ID)
		return int(n), err
	},
	"IsMember": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		is, err := sn.IsMember(tenant, s.group.ID, s.user.ID)
		return found(is), err
	},
	"GroupsOf": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		return some(sn.GroupsOf(tenant, s.user.ID))
	},
	"Token": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		return one(sn.Token(tenant, s.token.ID))
	},
	"Tokens": func(_ *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		return some(sn.Tokens(tenant, directory.SecretToken))
	},
	"Client": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		return one(sn.Client(tenant, s.client))
	},
	"Clients": func(_ *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		return some(sn.Clients(tenant))
	},
	"Log": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (n int, err error) {
		err = sn.Log(tenant, 0, false, func(e *directory.LogEvent) bool { n += found(e.TargetID == s.user.ID.String()); return true })
		return n, err
	},
	"LogEvent": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (n int, err error) {
		var last uint64
		if err := sn.Log(s.harbor, 0, true, func(e *directory.LogEvent) bool { last = e.Sequence; return false }); err != nil {
			return 0, err
		}
		return one(sn.LogEvent(tenant, last))
	},
	// By what the actor sees: TestLogSight, TestAuditIsForOperators.
	"LogSight": nil, "SeeAudit": nil,

	"Credential": func(_ *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		return one(sn.Credential(tenant, "graph"))
	},
	"PushSeen": func(_ *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		last, err := sn.PushSeen(tenant)
		return found(!last.IsZero()), err
	},
	"TakenByPush": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		is, err := sn.TakenByPush(tenant, s.out.ID, s.group.ID)
		return found(is), err
	},
	"GroupTakenByPush": func(_ *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		is, err := sn.GroupTakenByPush(tenant, object(133))
		return found(is), err
	},
	"DisabledByPull": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		is, err := sn.DisabledByPull(tenant, s.off.ID)
		return found(is), err
	},
	"FormerPerson": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		byObject, err := sn.FormerPerson(tenant, s.gone.ObjectID, "somebody")
		if err != nil {
			return 0, err
		}
		byName, err := sn.FormerPerson(tenant, directory.ID{}, s.gone.UserName)
		if (byObject == nil) != (byName == nil) {
			return 0, errors.New("found by object id or by name alone")
		}
		return found(byObject != nil), err
	},

	// By the reach of an actor: TestReachOfPartners, TestReachOfAdministrators.
	// By what an actor sees: TestWhatAnActorSees, TestPeopleThatAnActorSees.
	"SeeOrganizations": nil, "SeeEnvironment": nil, "SeeEnvironments": nil, "SeeTenant": nil, "SeeTenants": nil, "UsableTenants": nil,
	"SeeAccount": nil, "SeeAccesses": nil, "SeeGroup": nil, "SeePeople": nil,
	"Menus": nil, "WhyAccess": nil, "DefaultEnvironment": nil, // of an environment and an account that the caller has been shown
	"GroupsByPrefix": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (n int, err error) {
		err = sn.GroupsByPrefix(tenant, "dock", "", func(directory.ID, string) bool { n++; return true })
		return n, err
	},
	"SyncingEnvironments": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (int, error) {
		if tenant == s.fjord { // which syncs a group of the same object id itself
			return 0, nil
		}
		return some(sn.SyncingEnvironments(tenant, s.pilotsID))
	},
	"PersonLog": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (n int, err error) {
		err = sn.PersonLog(tenant, s.user.ID, 0, func(*directory.LogEvent) bool { n++; return true })
		return n, err
	},
	"LogTimes": func(s *sealed, sn *directory.Snapshot, tenant directory.ID) (n int, err error) {
		if tenant == s.fjord { // which has a log of its own
			return 0, nil
		}
		err = sn.LogTimes(tenant, func(time.Time, string) bool { n++; return true })
		return n, err
	},
	// API tokens are of no tenant: by the reach of an actor or by a secret, TestAPITokens; answers by the token itself.
	"SeeAPITokens": nil, "SeeAPIToken": nil, "APITokenByHash": nil, "Answered": nil, "KeptAnswer": nil, "KeptAnswers": nil, "MayKeepAnswer": nil,
	"LastEvent": nil,
	"MayTenant": nil, "MayEnvironment": nil, "LosingAccess": nil,
	"TenantsByDomain": nil, // whoever types an address is told whose domain it is, and no more
	"Roles":           nil, "AllRoles": nil, "Login": nil, "Link": nil, "AccountLink": nil, "SetupLink": nil, "SeeSetup": nil, "Logins": nil, "InternalAccount": nil, "InternalAccounts": nil, "HasLocalOperator": nil, "Sessions": nil, "SigningKeys": nil,
	// An internal account is of no tenant, and it is the answer that says whether this one may have it.
	"AdoptionProblem": nil,
	// These take no tenant: they are for operators, for a secret, or for an environment or account
	// that the caller has been shown to own.
	"Organization": nil, "OrganizationByName": nil, "Organizations": nil,
	"Environment": nil, "Environments": nil, "EnvironmentsByName": nil, "Tenant": nil, "TenantRecord": nil, "TenantByName": nil, "Tenants": nil,
	"Account": nil, "Accounts": nil, "Access": nil, "Accesses": nil, "EnvironmentAccesses": nil, "EnvironmentAccessCount": nil, "ActiveExternal": nil,
	"TokenRecord": nil, "Session": nil, "EnvironmentLog": nil, "Outbox": nil, "Audit": nil, "Derivations": nil, "Derivation": nil,
	"Webhooks": nil, "Webhook": nil, "WebhookStatus": nil, "MayWebhook": nil, "MayWebhooks": nil, "WebhookStands": nil, // see webhooks_test.go
	"Delivery": nil, "Deliveries": nil, "DeliveriesOf": nil, "DeliveryCount": nil, "OutboxEvent": nil,
	"Credentials": nil, "Run": nil, "Runs": nil, "RunsBefore": nil, "PlanItems": nil, "SelectItems": nil, "EnvironmentAdministrators": nil, "AuditOf": nil, "PullState": nil, "IsIndirect": nil, "Indirect": nil,
}

func found(is bool) int {
	if is {
		return 1
	}
	return 0
}

func TestSnapshotIsSealed(t *testing.T) {
	t.Parallel()
	wantTable(t, reflect.TypeFor[*directory.Snapshot](), func(name string) bool { _, ok := snapshotReads[name]; return ok })
	s := newSealed(t)
	for name, fn := range snapshotReads {
		if fn == nil {
			continue
		}
		view(s.world, func(sn *directory.Snapshot) (bool, error) {
			if n, err := fn(s, sn, s.harbor); n < 1 || err != nil {
				t.Errorf("%s as its own tenant: %d, %v", name, n, err)
			}
			for _, tenant := range []directory.ID{s.fjord, {}, number(999)} {
				if n, err := fn(s, sn, tenant); n != 0 || err != nil {
					t.Errorf("%s as another tenant: %d, %v", name, n, err)
				}
			}
			return true, nil
		})
	}
}

// wantTable checks that a table has every method of a type, so that a new one is not forgotten.
func wantTable(t *testing.T, of reflect.Type, has func(string) bool) {
	t.Helper()
	for m := range of.Methods() {
		if !has(m.Name) {
			t.Errorf("%v has a method %s that is not in the table", of, m.Name)
		}
	}
}

// act calls a method as tenant with ids of harbor.
type act func(s *sealed, tenant directory.ID) error

// Every method of Service: those that take a tenant change nothing of another one and answer as if
// it were not there.
var serviceActs = map[string]struct {
	do   act
	want directory.ErrorKind
}{
	"UpdateUser": {func(s *sealed, tenant directory.ID) error {
		_, err := s.editUser(tenant, s.user.ID, func(p *directory.Profile) { p.Active = false })
		return err
	}, directory.NotFound},
	"DeleteUser": {func(s *sealed, tenant directory.ID) error {
		return s.svc.DeleteUser(s.ctx, push, tenant, s.user.ID, nil)
	}, directory.NotFound},
	"CreateGroup": {func(s *sealed, tenant directory.ID) error { // with a member of another tenant
		_, err := s.svc.CreateGroup(s.ctx, push, tenant, groupInput("New", object(132)), []directory.ID{s.user.ID})
		return err
	}, directory.Invalid},
	"UpdateGroup": {func(s *sealed, tenant directory.ID) error {
		_, err := s.members(tenant, s.group.ID, (*directory.Membership).Clear)
		return err
	}, directory.NotFound},
	"UpdateGroup, a user as a member": {func(s *sealed, tenant directory.ID) error {
		group := s.crew.ID
		if tenant == s.harbor {
			group = s.group.ID
		}
		_, err := s.members(tenant, group, func(m *directory.Membership) error { return m.Replace([]directory.ID{s.user.ID, s.twinIn(tenant)}) })
		return err
	}, directory.Invalid},
	"UpdateGroup, a group as a member": {func(s *sealed, tenant directory.ID) error {
		group := s.crew.ID
		if tenant == s.harbor {
			group = must(s.svc.CreateGroup(s.ctx, push, tenant, groupInput("Outer", ""), nil)).ID
		}
		_, err := s.members(tenant, group, func(m *directory.Membership) error { return m.Add([]directory.ID{s.group.ID}) })
		return err
	}, directory.Invalid},
	"Together": {func(s *sealed, tenant directory.ID) error { // more in TestBatchIsSealed
		return s.together(func(b *directory.Batch) error {
			_, err := b.UpdateUser(push, tenant, s.user.ID, func(u *directory.User) (directory.UserInput, error) { return userInput(u.Profile), nil })
			return err
		})
	}, directory.NotFound},
	"DeleteGroup": {func(s *sealed, tenant directory.ID) error {
		return s.svc.DeleteGroup(s.ctx, push, tenant, s.group.ID, nil)
	}, directory.NotFound},
	"RotateToken": {func(s *sealed, tenant directory.ID) error {
		_, err := s.svc.RotateToken(s.ctx, operator, tenant, s.token.ID, newToken("secret-stranger"), time.Hour)
		return err
	}, directory.NotFound},
	"RevokeToken": {func(s *sealed, tenant directory.ID) error {
		return s.svc.RevokeToken(s.ctx, operator, tenant, s.token.ID)
	}, directory.NotFound},
	"TouchToken": {func(s *sealed, tenant directory.ID) error {
		return s.svc.TouchToken(s.ctx, tenant, s.token.ID, "192.0.2.1")
	}, directory.NotFound},
	"RotateClient": {func(s *sealed, tenant directory.ID) error {
		_, err := s.svc.RotateClient(s.ctx, operator, tenant, s.client, newToken("secret-stranger"), 0)
		return err
	}, directory.NotFound},
	"RevokeClient": {func(s *sealed, tenant directory.ID) error {
		return s.svc.RevokeClient(s.ctx, operator, tenant, s.client)
	}, directory.NotFound},
	"IssueAccessToken": {func(s *sealed, tenant directory.ID) error {
		_, err := s.svc.IssueAccessToken(s.ctx, tenant, s.client, secretHash("access"), "cess")
		return err
	}, directory.NotFound},
	"SetIntegration": {func(s *sealed, tenant directory.ID) error { // a tenant that the organization may not use
		env := s.elsewhere
		_, _, err := s.svc.SetIntegration(s.ctx, operator, env, directory.IntegrationInput{TenantID: &tenant, Groups: []string{s.group.ExternalID}})
		return err
	}, directory.Invalid},
	"SignIn": {func(s *sealed, tenant directory.ID) error {
		_, err := s.signInWith(directory.Identity{TenantID: tenant, ClientID: "client", ObjectID: s.user.ObjectID, Subject: "sub"}, "another session")
		return err
	}, directory.NotFound},
	"EndDirectorySession": {func(s *sealed, tenant directory.ID) error {
		n, err := s.svc.EndDirectorySession(s.ctx, push, tenant, "sid of session-harbor")
		if err == nil && n == 0 {
			return errors.New("no session has ended")
		}
		return err
	}, directory.Internal},
	"ForgetSubject": {func(s *sealed, tenant directory.ID) error {
		return s.svc.ForgetSubject(s.ctx, operator, tenant, s.user.ObjectID)
	}, directory.NotFound},
	"RemoveCredential": {func(s *sealed, tenant directory.ID) error {
		return s.svc.RemoveCredential(s.ctx, operator, tenant, "graph")
	}, directory.NotFound},
	"Repair": {func(s *sealed, tenant directory.ID) error { // by a run of an environment that uses the tenant
		_, err := s.tryRepair(s.runs[tenant], s.planUpdate(s.user, func(p *directory.Profile) { p.Active = false }))
		return err
	}, directory.Conflict},
	"Repair, a group to join": {func(s *sealed, tenant directory.ID) error {
		who, group := s.ada, s.group
		if tenant == s.harbor {
			who, group = s.user, s.harborPilots
		}
		_, err := s.tryRepair(s.runs[tenant], s.planJoin(who, group))
		return err
	}, directory.Conflict},
	// The same name in another tenant is another thing: nothing to be refused.
	"CreateUser": {}, "CreateToken": {}, "CreateClient": {}, "SetCredential": {},
	// No tenant.
	"CreateOrganization": {}, "CreateEnvironment": {}, "CreateTenant": {}, "SetTenant": {}, "CreateAccount": {}, "CreateSession": {}, "CheckSession": {},
	"Audit": {}, "VerifyAudit": {}, "LogFailure": {}, "FinishDerivation": {}, "WorkDerivations": {},
	// For a run or an environment that the caller has been shown to own, or for an operator.
	"Watch": {}, "SaveRun": {}, "SaveItems": {}, "UpdatePullState": {}, "AllowRun": {}, "DiscardRun": {}, "PruneRuns": {}, "ResealCredentials": {}, "ProtectAccount": {}, "SetAdministrator": {},
	"WorkOnce": {}, "BuildIndexes": {}, "CursorKey": {}, "View": {}, "Fold": {}, "Ready": {},
	// By reach: TestInternalUsersByReach, TestWhoChoosesADefaultEnvironment.
	"SetMenus": {}, "AddInternal": {}, "SetAccess": {}, "SetAccount": {},
	// By the reach of an actor: TestAPITokensOfOthersAreNotThere. An answer is of the token that asks.
	"CreateAPIToken": {}, "RotateAPIToken": {}, "RevokeAPIToken": {}, "TouchAPIToken": {}, "KeepAnswer": {},
	// Of a webhook, whose reach is its own: see webhooks_test.go.
	"CreateWebhook": {}, "SetWebhook": {}, "PauseWebhook": {}, "ResumeWebhook": {}, "RotateWebhook": {}, "RemoveWebhook": {}, "DisableWebhook": {}, "ResealWebhooks": {},
	"TestWebhook": {}, "Redeliver": {}, "RedeliverDead": {}, "AdmitDeliveries": {}, "SettleDelivery": {}, "SettleDeliveries": {}, "PruneDeliveries": {}, "Published": {}, "NewID": {},
	// Of an account, or of the server.
	"EndSession": {}, "EndSessions": {}, "SessionsEnded": {}, "SessionNow": {}, "ResumeSessions": {}, "KeepSessions": {}, "UseState": {},
	"CreateOperator": {}, "SetupOperator": {}, "SetRoles": {}, "CreateLink": {}, "CreateSetupLink": {}, "RevokeSetupLink": {}, "TestedConnection": {}, "SignInByLink": {}, "SetPassword": {}, "ResetPassword": {},
	"RemoveLogin": {}, "SetTOTP": {}, "UseTOTP": {}, "ResealTOTP": {}, "SetSigningKeys": {},
}

func (s *sealed) twinIn(tenant directory.ID) directory.ID {
	if tenant == s.harbor {
		return s.twin.ID
	}
	return s.ada.ID
}

func TestServiceIsSealed(t *testing.T) {
	t.Parallel()
	wantTable(t, reflect.TypeFor[*directory.Service](), func(name string) bool { _, ok := serviceActs[name]; return ok })
	for name, test := range serviceActs {
		if test.do == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSealed(t)
			s.unchanged(func() {
				wantKind(t, test.do(s, s.fjord), test.want)
				if name != "SetIntegration" {
					if err := test.do(s, directory.ID{}); err == nil {
						t.Error("the zero tenant may")
					}
				}
			})
			if err := test.do(s, s.harbor); err != nil { // the call itself is right
				t.Errorf("as its own tenant: %v", err)
			}
			checkInvariants(s.world)
		})
	}
}

// An unknown member and one of another tenant get the same answer.
func TestUnknownAndForeignMembersAnswerAlike(t *testing.T) {
	t.Parallel()
	s := newSealed(t)
	text := func(id directory.ID) string {
		_, err := s.members(s.fjord, s.crew.ID, func(m *directory.Membership) error { return m.Add([]directory.ID{id}) })
		wantKind(t, err, directory.Invalid)
		if err.Error() != directory.UnknownMember(id.String()).Error() {
			t.Errorf("%v", err)
		}
		return err.Error()
	}
	for _, id := range []directory.ID{s.user.ID, s.group.ID, number(999), {}, s.ada.TenantID} {
		text(id)
	}
}

// A tenant that does not exist gets nothing written under its id.
func TestNoSuchTenant(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.unchanged(func() {
		for _, tenant := range []directory.ID{{}, number(999)} {
			_, err := s.svc.CreateUser(s.ctx, push, tenant, userInput(person("bo", 2)))
			wantKind(t, err, directory.NotFound)
			_, err = s.svc.CreateGroup(s.ctx, push, tenant, groupInput("New", ""), nil)
			wantKind(t, err, directory.NotFound)
		}
	})
}

// A look-up for a text with a NUL must not run into the id behind a shorter text.
func TestLookUpsWithNUL(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	p := person("bo", 2)
	p.ExternalID, p.Emails = "bo", []string{"bo"}
	bo := s.createUser(s.fjord, p)
	g := s.createGroup(s.fjord, "New", "bo")
	view(s.world, func(sn *directory.Snapshot) (bool, error) {
		for n := range 16 {
			for _, look := range []func(directory.ID) ([]directory.ID, error){
				func(id directory.ID) ([]directory.ID, error) {
					return sn.UsersByExternalID(s.fjord, "bo\x00"+string(id[:n]))
				},
				func(id directory.ID) ([]directory.ID, error) {
					return sn.UsersByEmail(s.fjord, "bo\x00"+string(id[:n]))
				},
				func(id directory.ID) ([]directory.ID, error) {
					return sn.GroupsByExternalID(s.fjord, "bo\x00"+string(id[:n]))
				},
			} {
				for _, id := range []directory.ID{bo.ID, g.ID} {
					if ids, err := look(id); len(ids) > 0 || err != nil {
						t.Errorf("%d bytes of an id: %v, %v", n, ids, err)
					}
				}
			}
		}
		return true, nil
	})
}
