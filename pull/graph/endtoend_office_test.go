package graph_test

import (
	"fmt"
	"testing"

	"github.com/bizzstream/bizzscim/entrasim"
)

// office is a customer with three environments, which share groups and people:
//
//	Production  Sales, Support
//	Test        Support, Finance
//	Reporting   Finance with the groups within it
type office struct {
	*world
	*entra
	sales, support, finance, contractors string   // groups
	seller, helper, banker, external     []string // people who are in one of them alone
	both                                 []string // in Sales and Support
	production, test, reporting          *environment
	hired                                int
}

// newDirectory is the office's directory.
func newDirectory(t *testing.T, seed uint64) *office {
	t.Helper()
	dir := entrasim.New(entrasim.Options{Seed: seed})
	o := &office{entra: newEntra(t, dir)}
	o.sales, o.support = dir.CreateGroup("Sales").ID, dir.CreateGroup("Support").ID
	o.finance, o.contractors = dir.CreateGroup("Finance").ID, dir.CreateGroup("Contractors").ID
	for _, g := range []struct {
		people *[]string
		count  int
		groups []string
	}{
		{&o.seller, 16, []string{o.sales}},
		{&o.both, 5, []string{o.sales, o.support}},
		{&o.helper, 14, []string{o.support}},
		{&o.banker, 12, []string{o.finance}},
		{&o.external, 4, []string{o.contractors}},
	} {
		for range g.count {
			*g.people = append(*g.people, o.hire(t, entrasim.Person{}, g.groups...))
		}
	}
	o.hire(t, entrasim.Person{HomeDomain: "partner.example"}, o.sales) // a guest
	off := o.hire(t, entrasim.Person{}, o.support)
	must(t, dir.Disable(off))
	must(t, dir.AddMember(o.support, dir.CreateDevice()))
	must(t, dir.AddMember(o.finance, o.contractors))
	return o
}

// newOffice is a server that knows the office by push, and whose environments have accepted their
// settings. Everybody with access is signed in.
func newOffice(t *testing.T) *office {
	t.Helper()
	o := newDirectory(t, 1)
	o.connect(newWorld(t, o.entra))
	o.pushes("nordwind", o.entra, nil)
	o.cycle("nordwind")
	o.welcome()
	return o
}

// connect joins three environments to the directory.
func (o *office) connect(w *world) {
	w.Helper()
	o.world = w
	w.join("nordwind", o.entra, "Fjord", "Delta")
	o.production = w.environment("Fjord", "Production", "nordwind", o.entra, false, o.sales, o.support)
	o.test = w.environment("Fjord", "Test", "nordwind", o.entra, false, o.support, o.finance)
	o.reporting = w.environment("Delta", "Reporting", "nordwind", o.entra, true, o.finance)
}

// welcome accepts what each environment finds at first and signs everybody in.
func (o *office) welcome() {
	o.world.Helper()
	for _, e := range o.envs {
		o.accept(e)
	}
	o.check()
	o.settled()
	o.signIn(1000)
}

// hire adds somebody to groups.
func (o *office) hire(t TB, p entrasim.Person, groups ...string) string {
	t.Helper()
	if o.hired++; p.Surname == "" {
		p.GivenName, p.Surname = fmt.Sprintf("Person%d", o.hired), "Of Nordwind"
	}
	id := o.Hire(p).ID
	for _, g := range groups {
		must(t, o.AddMember(g, id))
	}
	return id
}

func must(t TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// take takes the first of a list of people.
func take(list *[]string) string {
	id := (*list)[0]
	*list = (*list)[1:]
	return id
}

// still takes the first of a list of people who is still there, enabled.
func (o *office) still(list *[]string) string {
	o.world.Helper()
	for len(*list) > 0 {
		id := take(list)
		if u, there := o.User(id); there && u.AccountEnabled && !u.Deleted() {
			return id
		}
	}
	o.world.Fatal("nobody is left")
	return ""
}

// change makes one change of each usual kind in the directory: a newcomer, somebody who leaves a
// group, one disabled, one deleted, one with a new name.
func (o *office) change() {
	o.world.Helper()
	o.hire(o, entrasim.Person{}, o.sales, o.finance)
	must(o, o.RemoveMember(o.support, o.still(&o.helper)))
	must(o, o.Disable(o.still(&o.banker)))
	must(o, o.SoftDelete(o.still(&o.seller)))
	renamed := o.still(&o.both)
	must(o, o.Rename(renamed, fmt.Sprintf("Married %d", o.hired)))
	o.both = append(o.both, renamed)
}

// repaired pulls each environment once. Everything is as the rules say then.
func (o *office) repaired() {
	o.world.Helper()
	before := o.picture()
	for _, e := range o.envs {
		o.said(o.complete(e))
	}
	o.check()
	o.kept(before)
	o.sessions()
	o.settled()
	o.signIn(1000)
}
