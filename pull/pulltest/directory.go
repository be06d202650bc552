// Package pulltest holds what stands in for a directory in tests: a small model of one, a
// pull.Source in memory that answers from it, and the suite that every pull.Source passes. It must
// never know how a real directory is spoken to.
package pulltest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// Directory is the model: people and groups. All methods may be called from several goroutines. What
// a test asks of it and cannot be, such as a member of an unknown group, is a mistake of the test and
// panics.
type Directory struct {
	mu  sync.Mutex
	now *state // guarded by mu
}

// state is the directory at one moment. A value that others can see never changes: writers clone.
type state struct {
	people  map[directory.ID]pull.Person
	deleted map[directory.ID]pull.Person // the recycle bin
	groups  map[string]*group
}

// group keeps the rows of people who were deleted, because restoring a person restores them.
type group struct {
	name   string
	people map[directory.ID]bool
	nested map[string]bool
	others int
}

// State is a copy of the directory, sorted by id.
type State struct {
	People  []pull.Person
	Deleted []pull.Person // in the recycle bin
	Groups  []GroupState
}

// GroupState is a copy of one group.
type GroupState struct {
	pull.Group
	People []directory.ID // direct members, deleted people among them
	Nested []string       // ids of the groups that are direct members
	Others int            // direct members that are neither
}

// NewDirectory returns an empty directory.
func NewDirectory() *Directory {
	return &Directory{now: &state{
		people:  make(map[directory.ID]pull.Person),
		deleted: make(map[directory.ID]pull.Person),
		groups:  make(map[string]*group),
	}}
}

// ID makes the nth object id: a GUID that is the same in every run.
func ID(n int) directory.ID {
	id, ok := directory.ParseID(fmt.Sprintf("%08x-0000-4000-8000-%012x", n, n))
	if !ok {
		panic("pulltest: ID")
	}
	return id
}

// GroupID makes the object id of the nth group, different from every ID.
func GroupID(n int) string { return fmt.Sprintf("%08x-0000-4000-9000-%012x", n, n) }

// NewPerson makes up the nth person, enabled, with every text filled in.
func NewPerson(n int) pull.Person {
	return pull.Person{
		ID:                ID(n),
		UserPrincipalName: fmt.Sprintf("person%d@nordwind.example", n),
		DisplayName:       fmt.Sprintf("Person %d", n),
		GivenName:         "Person",
		Surname:           fmt.Sprint(n),
		Mail:              fmt.Sprintf("p%d@nordwind.example", n),
		PreferredLanguage: "nl-NL",
		Enabled:           true,
	}
}

// SetPerson adds a person or replaces the one with the same id.
func (d *Directory) SetPerson(p pull.Person) {
	if p.ID.IsZero() || p.UserPrincipalName == "" {
		panic("pulltest: a person needs an id and a user principal name")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now.people[p.ID] = p
	delete(d.now.deleted, p.ID)
}

// Change changes a person who is there. The id stays.
func (d *Directory) Change(id directory.ID, change func(*pull.Person)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, ok := d.now.people[id]
	if !ok {
		panic(fmt.Sprintf("pulltest: no person %s", id))
	}
	change(&p)
	p.ID = id
	d.now.people[id] = p
}

// Delete moves a person to the recycle bin: out of every answer, back with Restore.
func (d *Directory) Delete(id directory.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, ok := d.now.people[id]
	if !ok {
		panic(fmt.Sprintf("pulltest: no person %s", id))
	}
	d.now.deleted[id] = p
	delete(d.now.people, id)
}

// Restore brings a deleted person back, with the memberships.
func (d *Directory) Restore(id directory.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, ok := d.now.deleted[id]
	if !ok {
		panic(fmt.Sprintf("pulltest: nobody deleted is %s", id))
	}
	d.now.people[id] = p
	delete(d.now.deleted, id)
}

// SetGroup adds a group or renames the one with the same id.
func (d *Directory) SetGroup(id, displayName string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if g := d.now.groups[id]; g != nil {
		g.name = displayName
		return
	}
	d.now.groups[id] = &group{name: displayName, people: make(map[directory.ID]bool), nested: make(map[string]bool)}
}

// DeleteGroup removes a group, its members and its place in other groups.
func (d *Directory) DeleteGroup(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.group(id)
	delete(d.now.groups, id)
	for _, g := range d.now.groups {
		delete(g.nested, id)
	}
}

// Add makes people direct members of a group.
func (d *Directory) Add(groupID string, people ...directory.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.group(groupID)
	for _, id := range people {
		g.people[id] = true
	}
}

// Remove takes people out of a group.
func (d *Directory) Remove(groupID string, people ...directory.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.group(groupID)
	for _, id := range people {
		delete(g.people, id)
	}
}

// SetMembers replaces the people of a group at once, as an edited rule of a dynamic group does.
func (d *Directory) SetMembers(groupID string, people ...directory.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.group(groupID)
	clear(g.people)
	for _, id := range people {
		g.people[id] = true
	}
}

// Nest makes a group a direct member of another. Circles are allowed, as they are in Entra.
func (d *Directory) Nest(parent, child string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.group(child)
	d.group(parent).nested[child] = true
}

// SetOthers says how many devices, contacts and service principals are direct members of a group.
func (d *Directory) SetOthers(groupID string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.group(groupID).others = n
}

// group returns a group that must be there. The caller holds mu.
func (d *Directory) group(id string) *group {
	g := d.now.groups[id]
	if g == nil {
		panic("pulltest: no group " + id)
	}
	return g
}

// State copies the directory.
func (d *Directory) State() State {
	s := d.snapshot()
	out := State{People: sortedPeople(s.people), Deleted: sortedPeople(s.deleted)}
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		g := s.groups[id]
		out.Groups = append(out.Groups, GroupState{
			Group:  pull.Group{ID: id, DisplayName: g.name},
			People: slices.SortedFunc(maps.Keys(g.people), compareIDs),
			Nested: slices.Sorted(maps.Keys(g.nested)),
			Others: g.others,
		})
	}
	return out
}

// snapshot returns the directory as it is now, for the caller alone.
func (d *Directory) snapshot() *state {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &state{
		people:  maps.Clone(d.now.people),
		deleted: maps.Clone(d.now.deleted),
		groups:  make(map[string]*group, len(d.now.groups)),
	}
	for id, g := range d.now.groups {
		s.groups[id] = &group{name: g.name, people: maps.Clone(g.people), nested: maps.Clone(g.nested), others: g.others}
	}
	return s
}

// listing is what a list of members holds.
type listing struct {
	people []pull.Person // by id
	nested []directory.ID
	others int
}

// list lists the members of a group: its own, or those of the groups below it too.
func (s *state) list(groupID string, transitive bool) (listing, bool) {
	g := s.groups[groupID]
	if g == nil {
		return listing{}, false
	}
	var l listing
	seen := make(map[directory.ID]pull.Person)
	s.walk(groupID, transitive, func(g *group) {
		for id := range g.people {
			if p, ok := s.people[id]; ok {
				seen[id] = p
			}
		}
		l.others += g.others
	})
	nested := map[string]bool{}
	s.walk(groupID, transitive, func(g *group) { maps.Copy(nested, g.nested) })
	delete(nested, groupID)
	for _, id := range slices.Sorted(maps.Keys(nested)) {
		object, _ := directory.ParseID(id)
		l.nested = append(l.nested, object)
	}
	l.people = sortedPeople(seen)
	return l, true
}

// walk visits a group and, if transitive, each group below it, once each.
func (s *state) walk(groupID string, transitive bool, visit func(*group)) {
	seen := map[string]bool{groupID: true}
	for queue := []string{groupID}; len(queue) > 0; queue = queue[1:] {
		g := s.groups[queue[0]]
		visit(g)
		if !transitive {
			return
		}
		for child := range g.nested {
			if !seen[child] {
				seen[child] = true
				queue = append(queue, child)
			}
		}
	}
}

// confirm says what the directory knows of one person.
func (s *state) confirm(id directory.ID, groups []string) pull.Confirmation {
	p, ok := s.people[id]
	if !ok {
		return pull.Confirmation{ID: id}
	}
	c := pull.Confirmation{ID: id, Found: true, Enabled: p.Enabled}
	for _, groupID := range groups {
		in := false
		if s.groups[groupID] != nil {
			s.walk(groupID, true, func(g *group) { in = in || g.people[id] })
		}
		if in {
			c.Groups = append(c.Groups, groupID)
		}
	}
	return c
}

func sortedPeople(people map[directory.ID]pull.Person) []pull.Person {
	return slices.SortedFunc(maps.Values(people), func(a, b pull.Person) int { return compareIDs(a.ID, b.ID) })
}

func compareIDs(a, b directory.ID) int {
	return cmp.Compare(string(a[:]), string(b[:]))
}

// find lists the groups whose name begins with text, in the order of their names.
func (s *state) find(text string) (found []pull.Group) {
	for id, g := range s.groups {
		if g.name != "" && len(g.name) >= len(text) && strings.EqualFold(g.name[:len(text)], text) {
			found = append(found, pull.Group{ID: id, DisplayName: g.name})
		}
	}
	slices.SortFunc(found, func(a, b pull.Group) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.DisplayName), strings.ToLower(b.DisplayName)), strings.Compare(a.ID, b.ID))
	})
	return found
}
