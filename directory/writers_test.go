package directory_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// leaver is somebody who is signed in and is to lose the session.
type leaver struct {
	*scene
	account directory.ID
	secret  string // of the session
	run     *directory.Run
	link    [32]byte
	pending directory.ID // of a derivation
}

// way is one of the ways in which a writer ends a session.
type way struct {
	name   string
	setup  func(*leaver)       // before the sign-in; nil: ada signs in
	lose   func(*leaver) error // one transaction
	back   func(*leaver)       // what lets the person sign in again; nil: nothing has to happen
	reason directory.EndReason
	one    bool // it ends sessions one by one: no epoch is raised
	late   bool // the session is refused already; the writer only writes that down
}

// writer is a method of Service: the ways in which it ends sessions, or why it ends none.
type writer struct {
	ways []way
	why  string
}

func never(why string) writer { return writer{why: why} }
func ways(list ...way) writer { return writer{ways: list} }
func (l *leaver) pilot()      { l.add(l.pilots, l.ada) }
func (l *leaver) activate()   { l.setActive(l.ada, true) }
func (l *leaver) beOperator() {
	l.localOperator("first@bizz.example")
	l.account = l.localOperator("olga@bizz.example")
}
func (l *leaver) makeOperator() {
	must(l.svc.SetRoles(l.ctx, operator, l.account, directory.RoleInput{Operator: new(true)}))
}

func (l *leaver) newLink(kind directory.LinkKind, account directory.ID) {
	l.link = secretHash(fmt.Sprint("link ", l.ids.Add(1)))
	must(l.svc.CreateLink(l.ctx, operator, kind, account, l.link, time.Hour))
}

// beInternal has an internal user with an access by hand sign in.
func (l *leaver) beInternal() {
	l.trust(l.fjord, "fjord.example")
	l.account = must(l.svc.CreateAccount(l.ctx, operator, "bo", "bo@fjord.example", "Bo")).ID
	l.handAccess(l.account, l.test)
}

// joinAs brings somebody into a synced group who has a new user.
func (l *leaver) joinAs(name string) { l.add(l.pilots, l.userNamed(name)) }

func (l *leaver) userNamed(name string) *directory.User {
	return view(l.world, func(s *directory.Snapshot) (*directory.User, error) {
		id, err := s.UserByName(l.fjord, name)
		if err != nil {
			return nil, err
		}
		return s.User(l.fjord, id)
	})
}

func (l *leaver) edit(edit func(*directory.Profile)) error {
	_, err := l.editUser(l.fjord, l.ada.ID, edit)
	return err
}

func (l *leaver) group(g *directory.Group, fn func(*directory.Membership) error) error {
	_, err := l.members(g.TenantID, g.ID, fn)
	return err
}

func (l *leaver) rename(external string) error {
	_, err := l.svc.UpdateGroup(l.ctx, push, l.fjord, l.pilots.ID, func(*directory.Group, *directory.Membership) (directory.GroupInput, error) {
		return groupInput("Pilots", external), nil
	})
	return err
}

func (l *leaver) integrateAs(in directory.IntegrationInput) error {
	_, _, err := l.svc.SetIntegration(l.ctx, operator, l.production, in)
	return err
}

// beIndirect has ada in production through a nested group alone.
func (l *leaver) beIndirect() {
	l.nested(l.production)
	l.remove(l.pilots, l.ada)
	l.in()
}

func (l *leaver) in() {
	l.run = l.startRun(l.production)
	r := l.plan(l.user(l.ada))
	r.In = []directory.ID{l.pilots.ID}
	l.repair(l.run, r)
}

func (l *leaver) repairAs(r directory.Repair) error {
	_, err := l.tryRepair(l.run, r)
	return err
}

func (l *leaver) replaced() directory.SessionInput {
	return directory.SessionInput{AccountID: l.account, Hash: secretHash(fmt.Sprint("newer ", l.ids.Add(1))), Replaces: secretHash(l.secret)}
}

// session is the record of the leaver's session.
func (l *leaver) session() *directory.Session {
	hash := secretHash(l.secret)
	return view(l.world, func(s *directory.Snapshot) (*directory.Session, error) { return s.Session(hash[:]) })
}

// byDirectory has ada sign in with fjord's directory.
func (l *leaver) byDirectory() {
	l.signsIn(l.fjord)
	l.account, l.secret = l.ada.AccountID, "by directory"
	l.signInAs(l.ada, "sub", l.secret)
}

func (l *leaver) tenantAs(edit func(*directory.Tenant)) error {
	_, err := l.svc.SetTenant(l.ctx, operator, l.fjord, func(t *directory.Tenant) error { edit(t); return nil })
	return err
}

// slow has somebody sign in whom a derivation reaches after its first step.
func (l *leaver) slow() {
	bo := l.createUser(l.fjord, person("bo", 2))
	l.add(l.pilots, bo)
	l.account = bo.AccountID
	l.svc = l.service(directory.Limits{InlineRows: 1, StepRows: 100})
}

// writers are the methods of Service. Every way out that a person has is in here: what is added to
// Service without a word about sessions fails TestWriters.
var writers = map[string]writer{
	"UpdateUser": ways(
		way{name: "active is false", reason: directory.EndedDeactivated,
			lose: func(l *leaver) error { return l.edit(func(p *directory.Profile) { p.Active = false }) }, back: (*leaver).activate},
		way{name: "active is false, with another name", reason: directory.EndedDeactivated,
			lose: func(l *leaver) error {
				return l.edit(func(p *directory.Profile) { p.Active, p.UserName = false, "gone@fjord.example" })
			}, back: (*leaver).activate},
		way{name: "externalId is another object id", reason: directory.EndedIdentity,
			lose: func(l *leaver) error { return l.edit(func(p *directory.Profile) { p.ExternalID = object(77) }) },
			back: func(l *leaver) { l.updateUser(l.ada, func(p *directory.Profile) { p.ExternalID = object(1) }) }},
		way{name: "externalId is another object id and active is false", reason: directory.EndedIdentity,
			lose: func(l *leaver) error {
				return l.edit(func(p *directory.Profile) { p.ExternalID, p.Active = object(77), false })
			}, back: (*leaver).activate},
	),
	"DeleteUser": ways(way{name: "she is deleted", reason: directory.EndedDeactivated,
		lose: func(l *leaver) error { return l.svc.DeleteUser(l.ctx, push, l.fjord, l.ada.ID, nil) },
		back: func(l *leaver) { l.ada = l.createUser(l.fjord, person("ada", 1)); l.pilot() }}),
	"CreateUser": ways(way{name: "a directory adopts the account", reason: directory.EndedAdopted, setup: (*leaver).beInternal,
		lose: func(l *leaver) error {
			_, err := l.svc.CreateUser(l.ctx, push, l.fjord, userInput(person("bo", 2)))
			return err
		}, back: func(l *leaver) { l.joinAs("bo@fjord.example") }}),
	"UpdateGroup": ways(
		way{name: "she is removed", reason: directory.EndedDeactivated, back: (*leaver).pilot,
			lose: func(l *leaver) error {
				return l.group(l.pilots, func(m *directory.Membership) error { return m.Remove([]directory.ID{l.ada.ID}) })
			}},
		way{name: "all are removed", reason: directory.EndedDeactivated, back: (*leaver).pilot,
			lose: func(l *leaver) error { return l.group(l.pilots, (*directory.Membership).Clear) }},
		way{name: "the members are replaced", reason: directory.EndedDeactivated, back: (*leaver).pilot,
			lose: func(l *leaver) error {
				return l.group(l.pilots, func(m *directory.Membership) error { return m.Replace([]directory.ID{l.crew.ID}) })
			}},
		way{name: "the group is another one's", reason: directory.EndedDeactivated,
			lose: func(l *leaver) error { return l.rename(object(151)) }, back: func(l *leaver) { _ = l.rename(l.pilotsID) }},
		way{name: "the group is nobody's", reason: directory.EndedDeactivated,
			lose: func(l *leaver) error { return l.rename("") }, back: func(l *leaver) { _ = l.rename(l.pilotsID) }},
		way{name: "the group of a nested one is another one's", setup: (*leaver).beIndirect, reason: directory.EndedDeactivated,
			lose: func(l *leaver) error { return l.rename(object(151)) }, back: func(l *leaver) { _ = l.rename(l.pilotsID); l.in() }},
	),
	"DeleteGroup": ways(
		way{name: "the group goes", reason: directory.EndedDeactivated,
			lose: func(l *leaver) error { return l.svc.DeleteGroup(l.ctx, push, l.fjord, l.pilots.ID, nil) },
			back: func(l *leaver) { l.createGroup(l.fjord, "Pilots", l.pilotsID, l.ada.ID) }},
		way{name: "the group of a nested one goes", setup: (*leaver).beIndirect, reason: directory.EndedDeactivated,
			lose: func(l *leaver) error { return l.svc.DeleteGroup(l.ctx, push, l.fjord, l.pilots.ID, nil) },
			back: func(l *leaver) { l.createGroup(l.fjord, "Pilots", l.pilotsID, l.ada.ID) }},
	),
	"Together": ways(
		way{name: "she is disabled between other changes", reason: directory.EndedDeactivated, back: (*leaver).activate,
			lose: func(l *leaver) error {
				return l.together(func(b *directory.Batch) error {
					if _, err := b.CreateUser(push, l.fjord, directory.ID{}, userInput(person("bo", 2))); err != nil {
						return err
					}
					_, err := b.UpdateUser(push, l.fjord, l.ada.ID, func(u *directory.User) (directory.UserInput, error) {
						u.Active = false
						return userInput(u.Profile), nil
					})
					if err != nil {
						return err
					}
					_, err = b.CreateGroup(push, l.fjord, directory.ID{}, groupInput("Deck", ""), nil)
					return err
				})
			}},
	),
	"SetIntegration": ways(
		way{name: "off", reason: directory.EndedDeactivated,
			lose: func(l *leaver) error { return l.integrateAs(directory.IntegrationInput{Enabled: new(false)}) },
			back: func(l *leaver) { l.enable(l.production, true) }},
		way{name: "other groups", reason: directory.EndedDeactivated,
			lose: func(l *leaver) error { return l.integrateAs(directory.IntegrationInput{Groups: []string{l.crewID}}) },
			back: func(l *leaver) { l.sync(l.production, l.pilotsID) }},
		way{name: "another tenant", reason: directory.EndedDeactivated,
			lose: func(l *leaver) error { return l.integrateAs(directory.IntegrationInput{TenantID: &l.harbor}) },
			back: func(l *leaver) { l.set(l.production, directory.IntegrationInput{TenantID: &l.fjord}) }},
		way{name: "nested groups count no more", setup: (*leaver).beIndirect, reason: directory.EndedDeactivated,
			lose: func(l *leaver) error { return l.integrateAs(directory.IntegrationInput{Transitive: new(false)}) },
			back: (*leaver).pilot},
	),
	"Repair": ways(
		way{name: "she is disabled", reason: directory.EndedDeactivated, back: (*leaver).activate,
			lose: func(l *leaver) error {
				return l.repairAs(l.planUpdate(l.user(l.ada), func(p *directory.Profile) { p.Active = false }))
			}},
		way{name: "she leaves", reason: directory.EndedDeactivated, back: (*leaver).pilot,
			lose: func(l *leaver) error { return l.repairAs(l.planLeave(l.user(l.ada), l.pilots)) }},
		way{name: "she leaves a nested group", setup: (*leaver).beIndirect, reason: directory.EndedDeactivated, back: (*leaver).in,
			lose: func(l *leaver) error {
				r := l.plan(l.user(l.ada))
				r.Out = []directory.ID{l.pilots.ID}
				return l.repairAs(r)
			}},
		way{name: "a directory adopts the account", reason: directory.EndedAdopted, setup: (*leaver).beInternal,
			lose: func(l *leaver) error { return l.repairAs(l.planNew(person("bo", 2))) }, back: func(l *leaver) { l.joinAs("bo@fjord.example") }},
	),
	"SetTenant": ways(
		way{name: "nobody signs in any more", one: true, reason: directory.EndedRevoked, setup: (*leaver).byDirectory,
			lose: func(l *leaver) error { return l.tenantAs(func(t *directory.Tenant) { t.SignIn = directory.SignIn{} }) }},
		way{name: "another directory", one: true, reason: directory.EndedRevoked, setup: (*leaver).byDirectory,
			lose: func(l *leaver) error { return l.tenantAs(func(t *directory.Tenant) { t.DirectoryID = object(13) }) }},
		way{name: "no directory", one: true, reason: directory.EndedRevoked, setup: (*leaver).byDirectory,
			lose: func(l *leaver) error {
				return l.tenantAs(func(t *directory.Tenant) { t.DirectoryID, t.SignIn = "", directory.SignIn{} })
			}},
		way{name: "another cloud", one: true, reason: directory.EndedRevoked, setup: (*leaver).byDirectory,
			lose: func(l *leaver) error { return l.tenantAs(func(t *directory.Tenant) { t.Graph.Cloud = "usgov" }) }},
		way{name: "another host", one: true, reason: directory.EndedRevoked,
			setup: func(l *leaver) {
				if err := l.tenantAs(func(t *directory.Tenant) {
					t.Graph = customCloud("https://login.example", "https://graph.example")
				}); err != nil {
					l.Fatalf("%v", err)
				}
				l.byDirectory()
			},
			lose: func(l *leaver) error {
				return l.tenantAs(func(t *directory.Tenant) { t.Graph.LoginURL = "https://other.example" })
			}},
	),
	"WorkOnce": ways(way{name: "a derivation reaches her", setup: (*leaver).slow, reason: directory.EndedDeactivated, late: true,
		lose: func(l *leaver) error { _, err := l.svc.WorkOnce(l.ctx); return err }, back: func(l *leaver) { l.enable(l.production, true); l.finish() }}),
	"FinishDerivation": ways(way{name: "a derivation reaches her", setup: (*leaver).slow, reason: directory.EndedDeactivated, late: true,
		lose: func(l *leaver) error {
			_, err := l.svc.FinishDerivation(l.ctx, l.production, l.pending, nil)
			return err
		},
		back: func(l *leaver) { l.enable(l.production, true); l.finish() }}),

	"CreateSession": ways(
		way{name: "the browser signs in again", one: true, reason: directory.EndedReplaced,
			lose: func(l *leaver) error { _, err := l.svc.CreateSession(l.ctx, push, l.replaced()); return err }},
		way{name: "there are too many", one: true, reason: directory.EndedReplaced,
			setup: func(l *leaver) {
				l.account, l.secret = l.ada.AccountID, l.signIn(l.ada.AccountID)
				for range 19 {
					l.clock.Advance(time.Second)
					l.signIn(l.account)
				}
			},
			lose: func(l *leaver) error {
				in := l.replaced()
				in.Replaces = [32]byte{}
				_, err := l.svc.CreateSession(l.ctx, push, in)
				return err
			}},
	),
	"SignIn": ways(way{name: "the browser signs in again", one: true, reason: directory.EndedReplaced,
		lose: func(l *leaver) error {
			_, err := l.svc.SignIn(l.ctx, push, directory.Identity{TenantID: l.fjord, ClientID: "client", ObjectID: objectID(1), Subject: "sub"}, l.replaced())
			return err
		}}),
	"SignInByLink": ways(way{name: "the browser signs in again", one: true, reason: directory.EndedReplaced,
		setup: func(l *leaver) { l.beOperator(); l.newLink(directory.LinkSignIn, l.account) },
		lose:  func(l *leaver) error { _, err := l.svc.SignInByLink(l.ctx, push, l.link, l.replaced()); return err }}),
	"EndSession": ways(
		way{name: "by herself", one: true, reason: directory.EndedSignOut,
			lose: func(l *leaver) error {
				return l.svc.EndSession(l.ctx, self(l.account), l.account, l.session().ID, directory.EndedSignOut)
			}},
		way{name: "by an operator", one: true, reason: directory.EndedRevoked,
			lose: func(l *leaver) error {
				return l.svc.EndSession(l.ctx, operator, l.account, l.session().ID, directory.EndedRevoked)
			}},
	),
	"EndSessions": ways(
		way{name: "all", reason: directory.EndedRevoked,
			lose: func(l *leaver) error {
				_, err := l.svc.EndSessions(l.ctx, self(l.account), l.account, directory.ID{}, directory.EndedRevoked)
				return err
			}},
		way{name: "all but another", one: true, reason: directory.EndedRevoked,
			lose: func(l *leaver) error {
				_, err := l.svc.EndSessions(l.ctx, operator, l.account, number(999), directory.EndedRevoked)
				return err
			}},
	),
	"EndDirectorySession": ways(way{name: "signed out at the directory", one: true, reason: directory.EndedDirectory,
		setup: func(l *leaver) { l.account, l.secret = l.ada.AccountID, "mine"; l.signInAs(l.ada, "sub", "mine") },
		lose: func(l *leaver) error {
			_, err := l.svc.EndDirectorySession(l.ctx, push, l.fjord, "sid of mine")
			return err
		}}),
	"SetRoles": ways(
		way{name: "an operator no more", setup: (*leaver).beOperator, reason: directory.EndedLogin, back: (*leaver).makeOperator,
			lose: func(l *leaver) error {
				_, err := l.svc.SetRoles(l.ctx, operator, l.account, directory.RoleInput{Operator: new(false)})
				return err
			}},
		way{name: "a partner no more", reason: directory.EndedLogin,
			setup: func(l *leaver) {
				l.account = l.ada.AccountID
				must(l.svc.SetRoles(l.ctx, operator, l.account, directory.RoleInput{Partner: map[directory.ID]bool{l.org: true}}))
			},
			lose: func(l *leaver) error {
				_, err := l.svc.SetRoles(l.ctx, operator, l.account, directory.RoleInput{Partner: map[directory.ID]bool{l.org: false}})
				return err
			}},
	),
	"SetPassword": ways(
		way{name: "by herself", setup: (*leaver).beOperator, reason: directory.EndedPassword,
			lose: func(l *leaver) error { return l.svc.SetPassword(l.ctx, self(l.account), l.account, "another hash") }},
		way{name: "by an operator", setup: (*leaver).beOperator, reason: directory.EndedPassword,
			lose: func(l *leaver) error { return l.svc.SetPassword(l.ctx, operator, l.account, "another hash") }},
	),
	"ResetPassword": ways(way{name: "by a link", reason: directory.EndedPassword,
		setup: func(l *leaver) { l.beOperator(); l.newLink(directory.LinkPassword, l.account) },
		lose:  func(l *leaver) error { _, err := l.svc.ResetPassword(l.ctx, push, l.link, "another hash"); return err }}),
	"SetupOperator": ways(way{name: "by a link", reason: directory.EndedPassword, // who was made on the command line
		setup: func(l *leaver) {
			l.account = must(l.svc.CreateOperator(l.ctx, operator, "olga@bizz.example", "Olga")).ID
			l.newLink(directory.LinkSetup, directory.ID{})
		},
		lose: func(l *leaver) error {
			_, err := l.svc.SetupOperator(l.ctx, push, l.link, "olga@bizz.example", "Olga", "hash")
			return err
		}}),
	"RemoveLogin": ways(way{name: "the login goes", setup: (*leaver).beOperator, reason: directory.EndedLogin,
		lose: func(l *leaver) error { return l.svc.RemoveLogin(l.ctx, operator, l.account) }}),
	"ResumeSessions": ways(way{name: "without the witness", one: true, reason: directory.EndedRestored,
		setup: func(l *leaver) { must2(l.svc.ResumeSessions(l.ctx, operator, directory.Witness{})) },
		lose: func(l *leaver) error {
			_, _, err := l.svc.ResumeSessions(l.ctx, operator, directory.Witness{})
			return err
		}}),

	"KeepSessions":    never("it removes the records of sessions that have ended by themselves, and ends none: TestKeepSessions"),
	"WorkDerivations": never("WorkOnce, again and again"),

	"CreateOrganization": never("nobody has access to what is new"),
	"CreateEnvironment":  never("nobody has access to what is new"),
	"CreateTenant":       never("nobody has access to what is new"),
	"CreateAccount":      never("nobody is signed in as what is new"),
	"CreateGroup":        never("a new group gives: nobody leaves anything"),
	"ProtectAccount":     never("it limits what directories may do to the account"),
	"SetAdministrator":   never("the access stays; CheckSession tells the role anew at each request: TestPrincipalIsOfTheMoment"),
	"CreateOperator":     never("it gives a role"),
	"CreateLink":         never("it ends other links, which are no sessions"),
	"CreateSetupLink":    never("it ends another setup link, which is no session"),
	"RevokeSetupLink":    never("it ends a setup link, which is no session"),
	"TestedConnection":   never("it writes down that something was tried"),
	"SetTOTP":            never("a second factor is asked for at sign-in"),
	"UseTOTP":            never("it spends a code"),
	"ResealTOTP":         never("the second factor stays the same, sealed with another key"),
	"UseState":           never("it spends the state of a sign-in that has no session yet"),
	"ForgetSubject":      never("the subject is set anew by the next sign-in of the same object id"),
	"SetSigningKeys":     never("it is about the assertions that are made of a session, which live for a minute"),
	"SetAccess": ways(way{name: "the last access of an internal user goes", setup: (*leaver).beInternal, reason: directory.EndedDeactivated,
		lose: func(l *leaver) error {
			_, err := l.svc.SetAccess(l.ctx, administrator(l.test), l.test, l.account, directory.AccessInput{Active: new(false)})
			return err
		}, back: func(l *leaver) {
			must2(l.svc.AddInternal(l.ctx, administrator(l.test), l.test, directory.NewAccess{Email: "bo@fjord.example", Name: "Bo"}))
		}}),
	"AddInternal": never("it gives an access"),
	"SetAccount":  never("what an internal user is called, and where somebody lands; who is signed in stays the same person"),
	"SetMenus":    never("what an environment has to choose from"),

	"CreateToken": never(ofClients), "RotateToken": never(ofClients), "RevokeToken": never(ofClients), "TouchToken": never(ofClients),
	"CreateClient": never(ofClients), "RotateClient": never(ofClients), "RevokeClient": never(ofClients), "IssueAccessToken": never(ofClients),
	"CreateAPIToken": never(ofPrograms), "RotateAPIToken": never(ofPrograms), "RevokeAPIToken": never(ofPrograms), "TouchAPIToken": never(ofPrograms), "KeepAnswer": never(ofPrograms),
	"SetCredential": never(ofApplications), "RemoveCredential": never(ofApplications), "ResealCredentials": never(ofApplications),
	"SaveRun": never(ofRuns), "SaveItems": never(ofRuns), "UpdatePullState": never(ofRuns), "AllowRun": never(ofRuns), "DiscardRun": never(ofRuns), "PruneRuns": never(ofRuns),
	"CreateWebhook": never(ofWebhooks), "SetWebhook": never(ofWebhooks), "PauseWebhook": never(ofWebhooks), "ResumeWebhook": never(ofWebhooks), "RotateWebhook": never(ofWebhooks),
	"RemoveWebhook": never(ofWebhooks), "DisableWebhook": never(ofWebhooks), "ResealWebhooks": never(ofWebhooks), "TestWebhook": never(ofWebhooks), "Redeliver": never(ofWebhooks),
	"RedeliverDead": never(ofWebhooks), "AdmitDeliveries": never(ofWebhooks), "SettleDelivery": never(ofWebhooks), "SettleDeliveries": never(ofWebhooks), "PruneDeliveries": never(ofWebhooks),
	"NewID": never(readsOnly), "BuildIndexes": never("it writes what follows from what is there"),
	"CursorKey": never("it keeps a key of the store, of which no session depends"),
	"Audit":     never("a line of the audit"), "LogFailure": never("a line of the log"),
	"View": never(readsOnly), "VerifyAudit": never(readsOnly), "CheckSession": never(readsOnly), "Watch": never(readsOnly),
	"Fold": never(readsOnly), "Ready": never(readsOnly), "SessionsEnded": never(readsOnly), "SessionNow": never(readsOnly), "Published": never(readsOnly),
}

const (
	ofClients      = "it opens or closes the SCIM endpoint, which knows no sessions"
	ofPrograms     = "it opens or closes the JSON API for a program, which has no session"
	ofApplications = "what this server proves itself with: who is signed in has been proven already"
	ofWebhooks     = "it is about telling others of events: nobody signs in with that"
	ofRuns         = "a record of the pull; what a run does to people is Repair"
	readsOnly      = "it only reads"
)

func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic(err)
	}
	return a, b
}

// finish works on derivations until none is left.
func (l *leaver) finish() {
	for more := true; more; {
		more = must(l.svc.WorkOnce(l.ctx))
	}
}

// why tells why the session is refused; empty: it is not.
func (l *leaver) why() directory.EndReason {
	l.Helper()
	_, err := l.svc.CheckSession(l.ctx, secretHash(l.secret), time.Time{})
	if err == nil {
		return ""
	}
	ended := new(directory.SessionEnded)
	if !errors.As(err, &ended) || directory.KindOf(err) != directory.Unauthorized || ended.Session == nil {
		l.Fatalf("CheckSession: %v", err)
	}
	return ended.Reason
}

// lines counts the lines of log and audit, and the sessions of which the log says that they ended.
func (l *leaver) lines() (lines, sessions int) {
	view(l.world, func(s *directory.Snapshot) (bool, error) {
		err := s.Audit(0, func(*directory.AuditEntry) bool { lines++; return true })
		for _, tenant := range []directory.ID{l.fjord, l.harbor} {
			err = errors.Join(err, s.Log(tenant, 0, false, func(e *directory.LogEvent) bool { lines++; sessions += e.Sessions; return true }))
		}
		return true, err
	})
	return lines, sessions
}

// Every writer, by each of its ways: the session ends in the same transaction, at once and for good.
func TestWriters(t *testing.T) {
	t.Parallel()
	wantTable(t, reflect.TypeFor[*directory.Service](), func(name string) bool {
		w, ok := writers[name]
		return ok && (w.why == "") != (len(w.ways) == 0)
	})
	for name, writer := range writers {
		for _, way := range writer.ways {
			t.Run(name+", "+way.name, func(t *testing.T) {
				t.Parallel()
				way.test(t)
			})
		}
	}
}

func (w *way) test(t *testing.T) {
	l := &leaver{scene: newScene(t)}
	if w.setup != nil {
		w.setup(l)
	}
	if l.account.IsZero() {
		l.account = l.ada.AccountID
	}
	if l.secret == "" {
		l.secret = l.signIn(l.account)
	}
	l.run = l.startRun(l.production)
	bystander := l.signIn(l.twin.AccountID)
	if why := l.why(); why != "" {
		t.Fatalf("not signed in: %s", why)
	}
	if w.late {
		l.pending = l.enable(l.production, false).ID
	}
	l.clock.Advance(time.Second)

	// Whichever of its writes fails, nothing has happened.
	before := l.why()
	epoch, waits := l.world.account(l.account).Epoch, l.svc.SessionsEnded()
	lines, told := l.lines()
	writes := 0
	for failed := true; failed; {
		writes++
		l.store.failAt = writes
		dump := l.dump()
		err := w.lose(l)
		l.store.failAt = 0
		if failed = errors.Is(err, errWrite); failed {
			l.wantDump(dump)
			if why := l.why(); why != before {
				t.Fatalf("write %d has failed, and the session has ended: %s", writes, why)
			}
		} else if err != nil {
			t.Fatal(err)
		}
		select {
		case <-waits:
			if failed {
				t.Fatal("told of what has not happened")
			}
		default:
			if !failed {
				t.Error("who waits for the end of sessions is not told")
			}
		}
	}
	if writes < 3 {
		t.Errorf("%d writes", writes-1)
	}

	if why := l.why(); why != w.reason {
		t.Errorf("ended for the reason %q, want %q", why, w.reason)
	}
	if x := l.session(); w.reason != directory.EndedRestored && (x.Reason != w.reason || !x.Ended.Equal(l.clock.Now())) {
		t.Errorf("the record: %+v", x)
	}
	if got := l.world.account(l.account).Epoch; got > epoch == w.one {
		t.Errorf("epoch %d, was %d", got, epoch)
	}
	if n, sessions := l.lines(); n == lines || sessions-told > 1 {
		t.Errorf("%d lines, %d sessions", n-lines, sessions-told)
	}
	if w.reason != directory.EndedRestored && !l.signedIn(bystander) {
		t.Error("the session of somebody else has ended")
	}
	checkInvariants(l.world)

	l.clock.Advance(time.Second)
	if w.back != nil {
		w.back(l)
	}
	again := l.signIn(l.account)
	if why := l.why(); why != w.reason {
		t.Errorf("after the way back the old session has ended for the reason %q, want %q", why, w.reason)
	}
	if !l.signedIn(again) {
		t.Error("the new session does not hold")
	}
	checkInvariants(l.world)
}
