package reader

import (
	"context"
	"fmt"
	"net/http"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// Person reads one person.
func (s *Source) Person(ctx context.Context, id directory.ID) (p pull.Person, found bool, err error) {
	err = s.batches(ctx, s.client.operation(), []*item{s.personItem(id, &p, &found)})
	if err != nil {
		return pull.Person{}, false, err
	}
	return p, found, nil
}

// personItem asks for a person. As in userItem, only Graph's own words are an absence.
func (s *Source) personItem(id directory.ID, into *pull.Person, found *bool) *item {
	p := purpose{what: "user " + id.String(), permission: readUsers}
	return &item{
		query: Query{Op: OpPerson, ID: id.String()}, purpose: p,
		take: func(a *Answer) error {
			if absent(a) {
				return nil
			}
			if a.Status != http.StatusOK {
				return describe(a, p)
			}
			return decode(a, p, func() (err error) {
				*into, err = decodePerson(a.Body, id)
				*found = err == nil
				return err
			})
		},
	}
}

// absent reports whether Graph says in its own words that a user is not there.
func absent(a *Answer) bool {
	return a.Status == http.StatusNotFound && errorCode(a.Body) == codeNotFound
}

// decodePerson reads a person, with everything that was asked for.
func decodePerson(body []byte, want directory.ID) (pull.Person, error) {
	var m member
	s, err := whole(body, func(s *scanner, key string) error { return m.property(s, []byte(key)) })
	switch {
	case err != nil:
		return pull.Person{}, err
	case m.id != want:
		return pull.Person{}, s.fail("it is of user %s, not %s", m.id, want)
	}
	return (&list{}).person(s, &m)
}

// Direct asks each group for the one member. A group answers with a list of that member alone, or with an empty
// one. Source: Microsoft Graph, "List group members", and "Advanced query capabilities": $filter on a relation
// needs eventual consistency and $count.
func (s *Source) Direct(ctx context.Context, person directory.ID, groups []string) ([]string, error) {
	in := make([]bool, len(groups))
	items := make([]*item, len(groups))
	for i, g := range groups {
		id, ok := parseID([]byte(g))
		if !ok {
			return nil, notGroupID(g)
		}
		items[i] = s.memberItem(person, id, g, &in[i])
	}
	if err := s.batches(ctx, s.client.operation(), items); err != nil {
		return nil, err
	}
	var direct []string
	for i, g := range groups {
		if in[i] {
			direct = append(direct, g)
		}
	}
	return direct, nil
}

// memberItem asks whether a person is directly in a group.
func (s *Source) memberItem(person, group directory.ID, asked string, in *bool) *item {
	p := purpose{what: "the members of group " + asked, permission: readGroups, group: asked}
	return &item{
		query: Query{Op: OpMember, ID: group.String(), Member: person.String()}, purpose: p,
		take: func(a *Answer) error {
			if a.Status != http.StatusOK {
				return describe(a, p)
			}
			return decode(a, p, func() (err error) {
				*in, err = decodeMember(a.Body, person)
				return err
			})
		},
	}
}

// decodeMember reads a list of which the filter leaves one person at most. Anybody else in it says that the filter was
// not heeded, and a count of somebody who is not shown that the membership is hidden: neither is an answer.
func decodeMember(body []byte, want directory.ID) (in bool, err error) {
	rows, count, there := 0, -1, false
	one := func(s *scanner) error {
		var id directory.ID
		err := s.fields(func(key string) (err error) {
			if key != "id" {
				return s.skip(2)
			}
			id, err = s.id()
			return err
		})
		if rows++; err == nil && id != want {
			err = s.fail("member %s was not asked for", id)
		}
		return err
	}
	s, err := whole(body, func(s *scanner, key string) (err error) {
		switch key {
		case "value":
			there = true
			err = s.elements(func() error { return one(s) })
		case "@odata.count":
			count, err = s.number()
		case "@odata.nextLink":
			err = s.fail("a list of one member goes on")
		default:
			err = s.skip(1)
		}
		return err
	})
	switch {
	case err != nil:
		return false, err
	case !there:
		return false, s.fail("it has no list")
	case rows > 1 || count >= 0 && count != rows:
		return false, fmt.Errorf("%d members are shown and %d counted, where one was asked for", rows, count)
	}
	return rows == 1, nil
}
