package pull

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// reading is a complete read of the groups of one environment.
type reading struct {
	groups  []readGroup
	people  []Person
	byID    map[directory.ID]int
	direct  [][]uint16 // by person: groups that it is in directly
	through [][]uint16 // by person: groups that it is in through a nested one alone
	names   map[string]int
}

type readGroup struct {
	object string
	name   string
	people int
	nested []directory.ID
	shared bool
}

// named finds the one person who gets that userName.
func (r *reading) named(fold func(string) string, t *directory.Tenant, userName string) (int, bool) {
	if r.names == nil {
		r.names = make(map[string]int, len(r.people))
		for i := range r.people {
			name := fold(userNameOf(t, &r.people[i]))
			if _, twice := r.names[name]; twice || name == "" {
				i = -1
			}
			r.names[name] = i
		}
	}
	i, ok := r.names[fold(userName)]
	return i, ok && i >= 0
}

// groupKey names one read of a group.
type groupKey struct {
	object     string
	transitive bool
}

// groupRead is the whole answer of one read of a group.
type groupRead struct {
	Group
	Listing
	people []Person
}

// tick is what runs of one tenant share that follow one another at once: the source, the reads of
// groups, and the watch that began before the first of them.
type tick struct {
	tenant    directory.ID
	scheduled bool
	opened    string // connection of the source: another one shares nothing with it
	source    Source
	watch     *directory.Watch
	groups    map[groupKey]*groupRead
	current   atomic.Pointer[activeRun] // that pays for what is asked
	later     error                     // of the directory, which asked to wait: nobody asks it again in this tick
}

func (t *tick) metered(m Meter) {
	t.current.Load().edit(func(run *directory.Run) {
		run.Pages, run.Requests = run.Pages+m.Pages, run.Requests+m.Requests
		run.Retries, run.Units = run.Retries+m.Retries, run.Units+m.Units
	})
}

// close closes the source and forgets what was read through it.
func (t *tick) close() {
	source := t.source
	t.source, t.watch, t.groups = nil, nil, nil
	if source != nil {
		defer func() { _ = recover() }() // it has done its work: nothing depends on how it goes
		source.Close()
	}
}

// read reads the groups of an environment, those that another run of the tick has read from memory.
func (t *tick) read(ctx context.Context, a *activeRun, in directory.Integration) (*reading, error) {
	r := &reading{}
	if t.later != nil {
		return nil, t.later
	}
	for n, object := range in.Groups {
		g, shared, err := t.group(ctx, a, groupKey{object: object})
		if err != nil {
			return nil, t.failed(err)
		}
		r.groups = append(r.groups, readGroup{object, g.DisplayName, g.People, g.Nested, shared})
		r.add(g.people, uint16(n), false)
		if !in.Transitive {
			continue
		}
		if g, _, err = t.group(ctx, a, groupKey{object: object, transitive: true}); err != nil {
			return nil, t.failed(err)
		}
		r.add(g.people, uint16(n), true)
	}
	a.edit(func(run *directory.Run) {
		run.Groups, run.Counts.People = nil, len(r.people)
		for _, g := range r.groups {
			run.Groups = append(run.Groups, directory.GroupRead{ObjectID: g.object, Name: g.name, People: g.people, Nested: len(g.nested), Shared: g.shared})
		}
	})
	return r, nil
}

// failed keeps an error that asks to wait.
func (t *tick) failed(err error) error {
	if retryAfter(err) > 0 {
		t.later = err
	}
	return err
}

// retryAfter is how long a directory has asked to wait; 0 where it has not.
func retryAfter(err error) time.Duration {
	var e *Error
	if !errors.As(err, &e) || e.RetryAfter <= 0 {
		return 0
	}
	return min(e.RetryAfter, MaxWait)
}

// add puts the people of one group's read together with those of the groups before it: a person is
// one, however many groups it is in.
func (r *reading) add(people []Person, group uint16, transitive bool) {
	if r.byID == nil { // most people are in the first group
		n := len(people)
		r.byID, r.people, r.direct, r.through = make(map[directory.ID]int, n), make([]Person, 0, n), make([][]uint16, 0, n), make([][]uint16, 0, n)
	}
	one := []uint16{group}
	for i := range people {
		id := people[i].ID
		n, known := r.byID[id]
		if !known {
			n = len(r.people)
			r.byID[id] = n
			r.people, r.direct, r.through = append(r.people, people[i]), append(r.direct, nil), append(r.through, nil)
		}
		list := &r.direct[n]
		if transitive {
			if slices.Contains(r.direct[n], group) {
				continue
			}
			list = &r.through[n]
		}
		if *list == nil {
			*list = one[:1:1] // most people are in one group: they share its list
		} else {
			*list = append(*list, group)
		}
	}
}

func (t *tick) group(ctx context.Context, a *activeRun, k groupKey) (g *groupRead, shared bool, err error) {
	if g = t.groups[k]; g != nil {
		return g, true, nil
	}
	g = &groupRead{}
	if other := t.groups[groupKey{object: k.object, transitive: !k.transitive}]; other != nil {
		g.Group = other.Group
	} else if g.Group, err = t.source.Group(ctx, k.object); err != nil {
		return nil, false, err
	}
	seen := 0
	g.Listing, err = t.source.Members(ctx, k.object, k.transitive, func(p Person) error {
		g.people = append(g.people, p)
		if seen++; seen%500 == 0 {
			a.advance(500)
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	a.advance(seen % 500)
	if g.People != len(g.people) {
		return nil, false, &Error{Class: Malformed, Detail: fmt.Sprintf("the read of group %s told of %d people and handed over %d", k.object, g.People, len(g.people))}
	}
	t.groups[k] = g
	return g, false, nil
}
