package pull_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// pushed has people 1 to n pushed into group 1, as the directory has them, and a pull that has found
// nothing to do.
func pushed(t *testing.T, n int) *world {
	t.Helper()
	w := newWorld(t)
	w.people(1, 1, n)
	w.pushAll(n)
	w.settle()
	return w
}

// pushAll pushes people 1 to n and group 1.
func (w *world) pushAll(n int) {
	w.Helper()
	var ids []directory.ID
	for i := 1; i <= n; i++ {
		ids = append(ids, w.pushUser(profileOf(pulltest.NewPerson(i))).ID)
	}
	w.pushGroup(1, ids...)
}

type wanted struct {
	kind    directory.ItemKind
	outcome directory.Outcome
	text    string // in reason, evidence or detail
}

// plan makes sure that a plan holds exactly the wanted items.
func (w *world) plan(run *directory.Run, want ...wanted) {
	w.Helper()
	items := w.items(run)
	if len(items) != len(want) {
		w.Fatalf("%d items, want %d:\n%s", len(items), len(want), w.show(run))
	}
	for _, x := range want {
		found := false
		for _, i := range items {
			found = found || i.Kind == x.kind && i.Outcome == x.outcome && strings.Contains(i.Reason+"|"+i.Evidence+"|"+i.Detail, x.text)
		}
		if !found {
			w.Errorf("no item is %v:\n%s", x, w.show(run))
		}
	}
}

// appoint makes a person an administrator of an environment.
func (w *world) appoint(n int, env directory.ID) {
	w.Helper()
	if _, err := w.svc.SetAdministrator(w.ctx, operator, w.userOf(n).AccountID, env, true); err != nil {
		w.Fatalf("SetAdministrator: %v", err)
	}
}

func setPerson(w *world, n int, fn func(*pull.Person)) { w.dir.Change(pulltest.ID(n), fn) }

func TestPlans(t *testing.T) {
	g1, g2 := pulltest.GroupID(1), pulltest.GroupID(2)
	yes := true
	item := func(kind directory.ItemKind, outcome directory.Outcome, text string) []wanted {
		return []wanted{{kind, outcome, text}}
	}
	tests := []struct {
		name   string
		act    func(*world)
		want   []wanted
		drift  int
		after  func(*world)
		repeat bool // the next plan holds the same items: nothing that a pull can do
	}{
		{"nothing differs", func(*world) {}, nil, 0, nil, false},
		{"a new person", func(w *world) { w.people(1, 31, 31) },
			item(directory.ItemCreate, directory.OutcomeApplied, "not known"), 1, func(w *world) {
				w.access(31, true)
				if u := w.userOf(31); u.ExternalID != pulltest.ID(31).String() || u.Name != "Person 31" || u.Email != "p31@nordwind.example" || u.Language != "nl-NL" {
					w.Errorf("provisioned as %+v", u.Profile)
				}
			}, false},
		{"a new person who is disabled is nobody", func(w *world) {
			w.people(1, 31, 31)
			setPerson(w, 31, func(p *pull.Person) { p.Enabled = false })
		}, nil, 0, nil, false},
		{"a guest is left out", func(w *world) {
			w.people(1, 31, 31)
			setPerson(w, 31, func(p *pull.Person) { p.Guest = true })
		}, nil, 0, func(w *world) {
			if w.userOf(31) != nil {
				w.Errorf("the guest was provisioned")
			}
		}, false},
		{"a guest where guests are wanted loses the mark in the name", func(w *world) {
			w.people(1, 31, 31)
			setPerson(w, 31, func(p *pull.Person) { p.Guest, p.UserPrincipalName = true, "a_b.example#EXT#@nordwind.example" })
			w.integrate(w.env, directory.IntegrationInput{Guests: &yes})
			w.allow(w.sync())
		}, nil, 0, func(w *world) {
			if u := w.userOf(31); u == nil || u.UserName != "a_b.example@nordwind.example" {
				w.Errorf("the guest is %+v", u)
			}
		}, false},
		{"an excluded guest whom push has provisioned is left alone", func(w *world) {
			setPerson(w, 1, func(p *pull.Person) { p.Guest, p.DisplayName = true, "Another" })
		}, nil, 0, func(w *world) { w.access(1, true) }, false},
		{"an excluded guest who is disabled", func(w *world) {
			setPerson(w, 1, func(p *pull.Person) { p.Guest, p.Enabled = true, false })
		}, item(directory.ItemDeactivate, directory.OutcomeApplied, "disabled in the directory"), 1, func(w *world) { w.access(1, false) }, false},
		{"an excluded guest who leaves the group", func(w *world) {
			setPerson(w, 1, func(p *pull.Person) { p.Guest = true })
			w.dir.Remove(g1, pulltest.ID(1))
		}, item(directory.ItemRevoke, directory.OutcomeApplied, "in none"), 1, func(w *world) { w.access(1, false) }, false},
		{"another name, address and language", func(w *world) {
			setPerson(w, 1, func(p *pull.Person) {
				p.DisplayName, p.Mail, p.PreferredLanguage = "Another", "another@nordwind.example", "nb-NO"
			})
		}, item(directory.ItemUpdate, directory.OutcomeApplied, "the directory says otherwise"), 1, func(w *world) {
			if u := w.userOf(1); u.Name != "Another" || u.Email != "another@nordwind.example" || u.Language != "nb-NO" {
				w.Errorf("the user is %+v", u.Profile)
			}
		}, false},
		{"a text that the directory does not have stays", func(w *world) {
			setPerson(w, 1, func(p *pull.Person) { p.DisplayName, p.Mail, p.PreferredLanguage = "", "", "" })
		}, nil, 0, nil, false},
		{"letter case and spaces are no difference", func(w *world) {
			setPerson(w, 1, func(p *pull.Person) {
				p.UserPrincipalName, p.Mail, p.PreferredLanguage, p.DisplayName = "PERSON1@nordwind.example", "P1@nordwind.example", "NL-nl", " Person 1 "
			})
		}, nil, 0, nil, false},
		{"a name that the schema refuses", func(w *world) {
			setPerson(w, 1, func(p *pull.Person) { p.DisplayName = "a\x00b" })
		}, item(directory.ItemReactivate, directory.OutcomeWithheld, "cannot be kept: displayName holds a NUL"), 0, func(w *world) { w.access(1, true) }, true},
		{"a leaver", func(w *world) { w.dir.Remove(g1, pulltest.ID(1)) },
			item(directory.ItemRevoke, directory.OutcomeApplied, "point read: not in the group"), 1, func(w *world) {
				w.access(1, false)
				if u := w.userOf(1); !u.Active {
					w.Errorf("a leaver became inactive")
				}
			}, false},
		{"a person who was deleted becomes inactive and keeps the memberships", func(w *world) { w.dir.Delete(pulltest.ID(1)) },
			item(directory.ItemDeactivate, directory.OutcomeApplied, "point read: there is no such user"), 1, func(w *world) {
				w.access(1, false)
				if u := w.userOf(1); u.Active || !view(w, func(sn *directory.Snapshot) (bool, error) { return sn.IsMember(w.tenant, w.groupOf(1), u.ID) }) {
					w.Errorf("active %v, or no member any more", u.Active)
				}
			}, false},
		{"a leaver who was disabled too becomes inactive", func(w *world) {
			w.dir.Remove(g1, pulltest.ID(1))
			setPerson(w, 1, func(p *pull.Person) { p.Enabled = false })
		}, item(directory.ItemDeactivate, directory.OutcomeApplied, "point read: disabled"), 1, func(w *world) { w.access(1, false) }, false},
		{"a person who was disabled", func(w *world) { setPerson(w, 1, func(p *pull.Person) { p.Enabled = false }) },
			item(directory.ItemDeactivate, directory.OutcomeApplied, "point read: disabled"), 1, func(w *world) { w.access(1, false) }, false},
		{"a leaver without a known object id is never taken for one", func(w *world) {
			p := profileOf(pulltest.NewPerson(40))
			p.ExternalID = "nickname40"
			w.pushAdd(w.groupOf(1), w.pushUser(p).ID)
		}, item(directory.ItemRevoke, directory.OutcomeWithheld, "without an object id"), 0, func(w *world) {
			if n := w.activeAccesses(w.env); n != 31 {
				w.Errorf("%d accesses", n)
			}
		}, true},
		{"a person without a known object id is known by userName, and remembered", func(w *world) {
			w.people(1, 40, 40)
			p := profileOf(pulltest.NewPerson(40))
			p.ExternalID = "nickname40"
			w.pushAdd(w.groupOf(1), w.pushUser(p).ID)
		}, item(directory.ItemUpdate, directory.OutcomeApplied, ""), 1, func(w *world) {
			if u := w.userOf(40); u == nil || u.ExternalID != "nickname40" {
				w.Errorf("the user is %+v", u)
			}
		}, false},
		{"a user outside of the group is known by userName", func(w *world) {
			w.people(1, 40, 40)
			p := profileOf(pulltest.NewPerson(40))
			p.ExternalID = "nickname40"
			w.pushUser(p)
		}, item(directory.ItemGrant, directory.OutcomeApplied, "without access"), 1, func(w *world) { w.access(40, true) }, false},
		{"a user outside of the group is known by object id", func(w *world) {
			w.people(1, 40, 40)
			p := profileOf(pulltest.NewPerson(40))
			p.UserName = "old@nordwind.example"
			w.pushUser(p)
		}, item(directory.ItemGrant, directory.OutcomeApplied, "without access"), 1, func(w *world) {
			w.access(40, true)
			if u := w.userOf(40); u.UserName != "person40@nordwind.example" {
				w.Errorf("the user is %+v", u.Profile)
			}
		}, false},
		{"somebody whose address is that of a user without object id", func(w *world) {
			w.people(1, 40, 40)
			p := profileOf(pulltest.NewPerson(40))
			p.ExternalID, p.UserName = "nickname40", "alias@nordwind.example"
			w.pushUser(p)
		}, item(directory.ItemConflict, directory.OutcomeConflict, "same e-mail address and no known object id"), 0, nil, true},
		{"two users of one object id", func(w *world) {
			p := profileOf(pulltest.NewPerson(1))
			p.UserName, p.Emails = "twin@nordwind.example", nil
			w.pushAdd(w.groupOf(1), w.pushUser(p).ID)
		}, item(directory.ItemConflict, directory.OutcomeConflict, "two users have this object id"), 0, nil, true},
		{"two users of one object id outside of the group", func(w *world) {
			w.people(1, 40, 40)
			for _, name := range []string{"a", "b"} {
				p := profileOf(pulltest.NewPerson(40))
				p.UserName, p.Emails = name+"@nordwind.example", nil
				w.pushUser(p)
			}
		}, item(directory.ItemConflict, directory.OutcomeConflict, "several users have this object id"), 0, nil, true},
		{"an internal account of the same address", func(w *world) {
			must(w.svc.CreateAccount(w.ctx, operator, "internal", "p40@nordwind.example", "Internal"))
			w.people(1, 40, 40)
		}, item(directory.ItemConflict, directory.OutcomeConflict, "that this directory may not manage"), 0, nil, true},
		{"who is in a group that push took the person out of", func(w *world) { w.pushRemove(w.groupOf(1), w.userOf(1).ID) },
			item(directory.ItemReactivate, directory.OutcomeWithheld, "push took this person out"), 0, func(w *world) { w.access(1, false) }, true},
		{"who was made inactive by push", func(w *world) {
			w.pushUpdate(w.userOf(1).ID, func(p *directory.Profile) { p.Active = false })
		}, item(directory.ItemReactivate, directory.OutcomeWithheld, "push made this user inactive"), 0, func(w *world) { w.access(1, false) }, true},
		{"who was made inactive by push has another name", func(w *world) {
			w.pushUpdate(w.userOf(1).ID, func(p *directory.Profile) { p.Active = false })
			setPerson(w, 1, func(p *pull.Person) { p.DisplayName = "Another" })
		}, item(directory.ItemUpdate, directory.OutcomeApplied, "push made this user inactive"), 1, func(w *world) { w.access(1, false) }, true},
		{"who was deleted by push and is in the group", func(w *world) { w.pushDelete(w.userOf(1).ID) },
			item(directory.ItemReattach, directory.OutcomeApplied, "exists, is enabled and in the group"), 1, func(w *world) { w.access(1, true) }, false},
		{"a group that push deleted", func(w *world) {
			if err := w.svc.DeleteGroup(w.ctx, push, w.tenant, w.groupOf(1), nil); err != nil {
				w.Fatalf("%v", err)
			}
			for n := 2; n <= 30; n++ { // one withheld is enough
				w.dir.Remove(g1, pulltest.ID(n))
			}
			w.people(1, 31, 31)
		}, []wanted{{directory.ItemReactivate, directory.OutcomeWithheld, "push took this person out"}, {directory.ItemCreate, directory.OutcomeWithheld, "push deleted"}}, 0, func(w *world) {
			if g := w.groupOf(1); !g.IsZero() {
				w.Errorf("the group was made again")
			}
		}, true},
		{"an inactive user keeps the memberships, in the list and out of it", func(w *world) {
			w.pushUpdate(w.userOf(1).ID, func(p *directory.Profile) { p.Active = false })
			w.dir.Remove(g1, pulltest.ID(1))
		}, nil, 0, nil, false},
		{"a protected account", func(w *world) {
			must(w.svc.ProtectAccount(w.ctx, operator, w.userOf(1).AccountID, true))
			w.dir.Remove(g1, pulltest.ID(1))
		}, item(directory.ItemRevoke, directory.OutcomeWithheld, "the account is protected"), 0, func(w *world) { w.access(1, true) }, true},
		{"the only administrator", func(w *world) {
			w.appoint(1, w.env)
			w.dir.Remove(g1, pulltest.ID(1))
		}, item(directory.ItemRevoke, directory.OutcomeWithheld, "the last administrator of environment Production: no pull takes that access"), 0, func(w *world) { w.access(1, true) }, true},
		{"the only administrator is disabled", func(w *world) {
			w.appoint(1, w.env)
			setPerson(w, 1, func(p *pull.Person) { p.Enabled = false })
		}, item(directory.ItemDeactivate, directory.OutcomeWithheld, "the last administrator of environment Production"), 0, func(w *world) { w.access(1, true) }, true},
		{"one of two administrators", func(w *world) {
			w.appoint(1, w.env)
			w.appoint(2, w.env)
			w.dir.Remove(g1, pulltest.ID(1))
		}, item(directory.ItemRevoke, directory.OutcomeApplied, "not in the group"), 1, func(w *world) { w.access(1, false) }, false},
		{"both administrators", func(w *world) {
			w.appoint(1, w.env)
			w.appoint(2, w.env)
			w.leave(1, 1, 2)
		}, []wanted{{directory.ItemRevoke, directory.OutcomeApplied, "not in the group"}, {directory.ItemRevoke, directory.OutcomeWithheld, "the last administrator"}}, 1, func(w *world) {
			if w.hasAccess(1, w.env) == w.hasAccess(2, w.env) {
				w.Errorf("not exactly one of both stays")
			}
		}, true},
		{"both administrators, one of them protected", func(w *world) {
			w.appoint(1, w.env)
			w.appoint(2, w.env)
			must(w.svc.ProtectAccount(w.ctx, operator, w.userOf(1).AccountID, true))
			w.leave(1, 1, 2)
		}, []wanted{{directory.ItemRevoke, directory.OutcomeWithheld, "the account is protected"}, {directory.ItemRevoke, directory.OutcomeApplied, "not in the group"}}, 1, func(w *world) { w.access(1, true); w.access(2, false) }, true},
		{"an administrator beside one whose access is inactive", func(w *world) {
			w.appoint(1, w.env)
			w.appoint(2, w.env)
			w.pushUpdate(w.userOf(2).ID, func(p *directory.Profile) { p.Active = false })
			setPerson(w, 2, func(p *pull.Person) { p.Enabled = false })
			w.dir.Remove(g1, pulltest.ID(1))
		}, item(directory.ItemRevoke, directory.OutcomeWithheld, "the last administrator"), 0, func(w *world) { w.access(1, true) }, true},
		{"the only administrator has another name", func(w *world) {
			w.appoint(1, w.env)
			setPerson(w, 1, func(p *pull.Person) { p.DisplayName = "Another" })
		}, item(directory.ItemUpdate, directory.OutcomeApplied, ""), 1, func(w *world) { w.access(1, true) }, false},
		{"another group of the environment instead", func(w *world) {
			w.dir.SetGroup(g2, "Support")
			w.integrate(w.env, directory.IntegrationInput{Groups: groupIDs(1, 2)})
			w.settle()
			w.dir.Remove(g1, pulltest.ID(1))
			w.dir.Add(g2, pulltest.ID(1))
		}, item(directory.ItemUpdate, directory.OutcomeApplied, ""), 1, func(w *world) {
			w.access(1, true)
			if w.groupOf(2).IsZero() {
				w.Errorf("the group was not provisioned")
			}
		}, false},
		{"the name of somebody who is inactive", func(w *world) {
			w.dir.Delete(pulltest.ID(1))
			w.sync()
			w.people(1, 40, 40)
			setPerson(w, 40, func(p *pull.Person) { p.UserPrincipalName = "person1@nordwind.example" })
		}, []wanted{{directory.ItemCreate, directory.OutcomeApplied, ""}, {directory.ItemUpdate, directory.OutcomeApplied, "its userName is another person's now"}}, 2, func(w *world) {
			w.access(40, true)
			if u := w.userOf(1); u.UserName != strings.ReplaceAll(pulltest.ID(1).String(), "-", "")+"person1@nordwind.example" {
				w.Errorf("the holder is called %s", u.UserName)
			}
		}, false},
		{"the name of somebody who is active", func(w *world) {
			p := profileOf(pulltest.NewPerson(40))
			p.UserName = "wanted@nordwind.example"
			w.pushUser(p)
			w.people(1, 41, 41)
			setPerson(w, 41, func(p *pull.Person) { p.UserPrincipalName = "wanted@nordwind.example" })
		}, item(directory.ItemConflict, directory.OutcomeConflict, "is that of another user"), 0, nil, true},
		{"the name of somebody active, and a leave", func(w *world) {
			p := profileOf(pulltest.NewPerson(40))
			p.UserName = "wanted@nordwind.example"
			w.pushUser(p)
			setPerson(w, 1, func(p *pull.Person) { p.UserPrincipalName, p.Enabled = "wanted@nordwind.example", false })
		}, item(directory.ItemDeactivate, directory.OutcomeApplied, "is that of another user"), 1, func(w *world) { w.access(1, false) }, true},
		{"two people who swap their names", func(w *world) {
			setPerson(w, 1, func(p *pull.Person) { p.UserPrincipalName = "person2@nordwind.example" })
			setPerson(w, 2, func(p *pull.Person) { p.UserPrincipalName = "person1@nordwind.example" })
		}, []wanted{{directory.ItemUpdate, directory.OutcomeApplied, ""}, {directory.ItemUpdate, directory.OutcomeApplied, ""}}, 2, func(w *world) {
			if a, b := w.userOf(1).UserName, w.userOf(2).UserName; a != "person2@nordwind.example" || b != "person1@nordwind.example" {
				w.Errorf("they are %s and %s", a, b)
			}
		}, false},
		{"a chain of names, against the order of the plan", func(w *world) {
			for n := 3; n >= 1; n-- {
				setPerson(w, n, func(p *pull.Person) { p.UserPrincipalName = fmt.Sprintf("person%d@nordwind.example", n+1) })
			}
			setPerson(w, 4, func(p *pull.Person) { p.UserPrincipalName = "last@nordwind.example" })
		}, []wanted{{directory.ItemUpdate, directory.OutcomeApplied, ""}, {directory.ItemUpdate, directory.OutcomeApplied, ""}, {directory.ItemUpdate, directory.OutcomeApplied, ""}, {directory.ItemUpdate, directory.OutcomeApplied, ""}}, 4, nil, false},
		{"a chain of names whose end is taken", func(w *world) {
			p := profileOf(pulltest.NewPerson(40))
			p.UserName = "wanted@nordwind.example"
			w.pushUser(p)
			setPerson(w, 1, func(p *pull.Person) { p.UserPrincipalName = "person2@nordwind.example" })
			setPerson(w, 2, func(p *pull.Person) { p.UserPrincipalName = "wanted@nordwind.example" })
		}, []wanted{{directory.ItemConflict, directory.OutcomeConflict, "person2@nordwind.example"}, {directory.ItemConflict, directory.OutcomeConflict, "wanted@nordwind.example"}}, 0, nil, true},
		{"several new people of one userName", func(w *world) {
			w.people(1, 40, 41)
			setPerson(w, 41, func(p *pull.Person) { p.UserPrincipalName = "person40@nordwind.example" })
		}, []wanted{{directory.ItemCreate, directory.OutcomeApplied, ""}, {directory.ItemConflict, directory.OutcomeConflict, "another person of this plan"}}, 1, nil, false},
		{"several people of the userName of a user without object id", func(w *world) {
			w.people(1, 40, 41)
			setPerson(w, 41, func(p *pull.Person) { p.UserPrincipalName = "person40@nordwind.example" })
			p := profileOf(pulltest.NewPerson(40))
			p.ExternalID = "nickname40"
			w.pushUser(p)
		}, []wanted{{directory.ItemConflict, directory.OutcomeConflict, "several people"}, {directory.ItemConflict, directory.OutcomeConflict, "several people"}}, 0, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := pushed(t, 30)
			tt.act(w)
			run := w.sync()
			w.is(run, directory.RunComplete)
			w.plan(run, tt.want...)
			if d := run.Counts.Drift(); d != tt.drift {
				t.Errorf("drift %d, want %d", d, tt.drift)
			}
			w.consistent(run)
			if tt.after != nil {
				tt.after(w)
			}
			if !tt.repeat {
				w.nothingToDo()
				return
			}
			again := w.sync()
			if again.Counts.Drift() != 0 || again.Counts.Applied != 0 || len(w.items(again)) == 0 {
				t.Errorf("the next run has %+v:\n%s", again.Counts, w.show(again))
			}
		})
	}
}

// consistent makes sure that the counts of a run are those of its items.
func (w *world) consistent(run *directory.Run) {
	w.Helper()
	var c directory.Counts
	c.People, c.Unchanged, c.Deactivated, c.Approved = run.Counts.People, run.Counts.Unchanged, run.Counts.Deactivated, run.Counts.Approved
	kinds := map[directory.ItemKind]*int{directory.ItemCreate: &c.Create, directory.ItemReattach: &c.Reattach, directory.ItemUpdate: &c.Update,
		directory.ItemGrant: &c.Grant, directory.ItemReactivate: &c.Reactivate, directory.ItemRevoke: &c.Revoke, directory.ItemDeactivate: &c.Deactivate}
	outcomes := map[directory.Outcome]*int{directory.OutcomeApplied: &c.Applied, directory.OutcomeSkipped: &c.Skipped, directory.OutcomeWaiting: &c.Waiting,
		directory.OutcomeWithheld: &c.Withheld, directory.OutcomeHeld: &c.Held, directory.OutcomeFailed: &c.Failed, directory.OutcomeConflict: &c.Conflict}
	deactivated := 0
	for _, i := range w.items(run) {
		*outcomes[i.Outcome]++
		switch i.Outcome {
		case directory.OutcomeApplied, directory.OutcomeHeld, directory.OutcomeFailed:
			*kinds[i.Kind]++
		case directory.OutcomeSkipped:
			if run.Counts.Drift() > c.Drift() { // it was planned
				*kinds[i.Kind]++
			}
		}
		for _, a := range i.Accesses {
			if a.Effect == directory.Deactivated && a.EnvironmentID == run.EnvironmentID {
				deactivated++
			}
		}
	}
	if c != run.Counts || deactivated != run.Counts.Deactivated {
		w.Errorf("the items count\n%+v and %d deactivated, the run says\n%+v", c, deactivated, run.Counts)
	}
}
