package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bizzstream/bizzscim/entrasim"
)

const roleEntra = "entra"

// Entra is a simulated directory with Microsoft Graph and a provisioning client, in a process of its own.
type Entra struct {
	ctx    context.Context
	tenant *entrasim.Tenant
	graph  *entrasim.Graph
	group  string
	people []string // object ids of the group's members
	gone   []string // those whom the last Change took out of the group
	round  int
}

// Link is what it takes to read the directory.
type Link struct {
	DirectoryID string
	LoginURL    string
	GraphURL    string
	CA          []byte
	ClientID    string
	Secret      string
	Group       string // object id
	People      int    // in the group
}

// Start serves an empty directory as Microsoft Graph, on loopback and over TLS, and returns its address.
func (e *Entra) Start(_ Options, address *string) (err error) {
	e.tenant = entrasim.New(entrasim.Options{Seed: 1})
	if e.graph, err = entrasim.NewGraph(e.tenant, entrasim.GraphOptions{Seed: 1}); err != nil {
		return err
	}
	*address = e.graph.URL()
	return nil
}

// Populate adds that many people, all of them members of one group, and an application that may read them.
func (e *Entra) Populate(people int, l *Link) error {
	g := e.tenant.CreateGroup("Everybody")
	e.group = g.ID
	for range people {
		e.people = append(e.people, e.tenant.Hire(entrasim.Person{}).ID)
	}
	if err := e.tenant.SetMembers(e.group, e.people); err != nil {
		return err
	}
	a := e.graph.App("", entrasim.GroupMemberReadAll, entrasim.UserReadAll)
	*l = Link{DirectoryID: e.tenant.ID(), LoginURL: e.graph.LoginURL(), GraphURL: e.graph.URL(), CA: e.graph.CA(), ClientID: a.ClientID(),
		Secret: a.NewSecret(time.Now().Add(24 * time.Hour)), Group: e.group, People: people}
	return nil
}

// Target is where the directory pushes to.
type Target struct{ Base, Token string }

// Push runs the initial provisioning cycle: everybody, and the group.
func (e *Entra) Push(t Target, _ *bool) error {
	p, err := entrasim.NewProvisioner(e.tenant, entrasim.ProvisionerOptions{Base: t.Base, Token: t.Token, ObjectIDAsExternalID: true,
		SyncAll: true, Concurrency: 64, ParallelMembers: true, MembersPerPatch: 1000})
	if err != nil {
		return err
	}
	defer p.Close()
	s, err := p.Cycle(e.ctx)
	switch {
	case err != nil:
		return err
	case s.Failed > 0:
		return fmt.Errorf("push: %d objects failed, the first one: %w", s.Failed, s.Failures[0].Err)
	case s.Users.Created != len(e.people) || s.MembersAdded != len(e.people):
		return fmt.Errorf("push: %d users created and %d members added, want %d", s.Users.Created, s.MembersAdded, len(e.people))
	}
	return nil
}

// Change changes n people: half of them get another name, a quarter leaves the group, and another quarter
// comes (at first new ones, later those who left before).
func (e *Entra) Change(n int, _ *bool) error {
	quarter := n / 4
	if n%4 != 0 || len(e.people) < 3*n {
		return fmt.Errorf("%d of %d people cannot be changed", n, len(e.people))
	}
	e.round++
	back := e.gone
	for len(back) < quarter {
		back = append(back, e.tenant.Hire(entrasim.Person{}).ID)
	}
	e.gone, e.people = e.people[:quarter:quarter], append(e.people[quarter:len(e.people):len(e.people)], back...)
	errs := []error{e.tenant.SetMembers(e.group, e.people)}
	for _, id := range e.people[:2*quarter] {
		errs = append(errs, e.tenant.Update(id, func(u *entrasim.User) { u.DisplayName = fmt.Sprintf("%s %d", u.Surname, e.round) }))
	}
	return errors.Join(errs...)
}
