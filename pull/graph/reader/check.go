package reader

import (
	"context"
	"errors"
	"fmt"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// Test tries what a run needs, the smallest request of each kind: a token, the right to read groups, the
// right to read users, each group with its first member, and a confirmation.
func (s *Source) Test(ctx context.Context, groups []string) pull.Report {
	t := &test{source: s, o: s.client.operation()}
	token := t.check("token", func() (string, error) {
		return "the directory gives the application a token", s.requests.Token(ctx)
	})
	if !token {
		t.skip("there is no token", append([]string{readGroups, readUsers, "confirm"}, names(groups)...)...)
		return t.report
	}
	t.check(readGroups, func() (string, error) {
		_, err := t.list(ctx, Query{Op: OpGroups, Top: 1}, purpose{what: "groups", permission: readGroups})
		return "the application may read groups and their members", err
	})
	var somebody directory.ID
	t.check(readUsers, func() (detail string, err error) {
		somebody, err = t.list(ctx, Query{Op: OpUsers, Top: 1}, purpose{what: "users", permission: readUsers})
		return "the application may read users", err
	})
	for _, id := range groups {
		t.check("group "+id, func() (string, error) { return t.group(ctx, id) })
	}
	if somebody.IsZero() {
		t.skip("there is no user to confirm", "confirm")
		return t.report
	}
	t.check("confirm", func() (string, error) {
		c, err := s.confirm(ctx, t.o, []directory.ID{somebody}, t.good)
		if err == nil && !c[0].Found {
			err = errors.New("a user that Microsoft Graph lists is not there when it is asked for; try again")
		}
		return "a single person and the person's groups can be asked for", err
	})
	return t.report
}

// test is a Test under way.
type test struct {
	source *Source
	o      *operation
	good   []string // groups that are there
	report pull.Report
}

func (t *test) check(name string, f func() (string, error)) bool {
	detail, err := f()
	c := pull.Check{Name: name, Detail: detail}
	if err != nil {
		c = pull.Check{Name: name, Error: advice(err)}
	}
	t.report.Checks = append(t.report.Checks, c)
	return err == nil
}

// skip reports checks that could not be tried. They are no errors of their own where another check is
// one, but they have not passed.
func (t *test) skip(why string, names ...string) {
	for _, name := range names {
		t.report.Checks = append(t.report.Checks, pull.Check{Name: name, Error: "not tried: " + why})
	}
}

func names(groups []string) []string {
	out := make([]string, len(groups))
	for i, id := range groups {
		out[i] = "group " + id
	}
	return out
}

// advice is what an administrator is told of an error: what is wrong and what to do, with what a support
// case needs.
func advice(err error) string {
	var e *pull.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	text := e.Detail
	if e.Code != "" {
		text += fmt.Sprintf(" (%s)", e.Code)
	}
	if e.RequestID != "" {
		text += ", request id " + e.RequestID
	}
	return text
}

// list reads the first object of a collection, for the right to do so.
func (t *test) list(ctx context.Context, q Query, p purpose) (first directory.ID, err error) {
	a, err := t.source.ask(ctx, t.o, q, p)
	if err != nil {
		return first, err
	}
	err = decode(a, p, func() (err error) {
		first, err = decodeFirst(a.Body, q.Op == OpUsers)
		return err
	})
	return first, err
}

// group reads a group and its first member.
func (t *test) group(ctx context.Context, id string) (string, error) {
	s := t.source
	g, err := s.group(ctx, t.o, id)
	if err != nil {
		return "", err
	}
	l := newList(s.base, g.ID)
	p := purpose{what: "the members of group " + id, permission: readGroups, group: id}
	if _, _, err := s.page(ctx, t.o, l, Query{Op: OpMembers, ID: g.ID, Top: 1}, p); err != nil {
		return "", err
	}
	t.good = append(t.good, g.ID)
	switch {
	case l.rows() == 0:
		return fmt.Sprintf("%s: no members that the application may see. If the group has members, its membership is hidden: %s",
			g.DisplayName, grant(readHidden)), nil
	case l.count >= 0:
		return fmt.Sprintf("%s: %d direct members", g.DisplayName, l.count), nil
	}
	return g.DisplayName + ": has members", nil
}

// decodeFirst reads a collection and returns the id of its first object, zero when it has none. Of users,
// each must tell whether it is enabled.
func decodeFirst(body []byte, users bool) (first directory.ID, err error) {
	there := false
	one := func(s *scanner) error {
		var u user
		err := s.fields(func(key string) error { return u.field(s, key) })
		switch {
		case err != nil:
			return err
		case u.id.IsZero():
			return s.fail("an object without an id")
		case users && !u.told:
			return notTold(u.id)
		case first.IsZero():
			first = u.id
		}
		return nil
	}
	s, err := whole(body, func(s *scanner, key string) error {
		if key != "value" {
			return s.skip(1)
		}
		there = true
		return s.elements(func() error { return one(s) })
	})
	if err == nil && !there {
		err = s.fail("it has no list")
	}
	return first, err
}
