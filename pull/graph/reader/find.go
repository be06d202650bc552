package reader

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// Filter is the $filter of OpFindGroups: a quotation mark within a string is doubled. Source: OData 4.01 ABNF,
// SQUOTE-in-string; startswith on displayName needs no advanced query.
func (q *Query) Filter() string {
	return "startswith(displayName,'" + strings.ReplaceAll(q.Text, "'", "''") + "')"
}

// FindGroups asks for one page of groups. A page that is cut short of limit with more to come is taken as it is: who searches
// types more.
func (s *Source) FindGroups(ctx context.Context, text string, limit int) ([]pull.Group, error) {
	p := purpose{what: "groups", permission: readGroups}
	limit = min(max(limit, 1), pull.MaxFound)
	a, err := s.ask(ctx, s.client.operation(), Query{Op: OpFindGroups, Text: text, Top: limit}, p)
	if err != nil {
		return nil, err
	}
	var found []pull.Group
	err = decode(a, p, func() (err error) {
		found, err = decodeFound(a.Body)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b pull.Group) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.DisplayName), strings.ToLower(b.DisplayName)), strings.Compare(a.ID, b.ID))
	})
	return found[:min(limit, len(found))], nil
}

// decodeFound reads a list of groups; those without a name are left out.
func decodeFound(body []byte) (found []pull.Group, err error) {
	there := false
	s, err := whole(body, func(s *scanner, key string) error {
		if key != "value" {
			return s.skip(1)
		}
		there = true
		return s.elements(func() error {
			g, err := s.group()
			if err == nil && g.DisplayName != "" {
				found = append(found, g)
			}
			return err
		})
	})
	if err == nil && !there {
		err = s.fail("it has no list")
	}
	return found, err
}

func (s *scanner) group() (g pull.Group, err error) {
	var id directory.ID
	err = s.fields(func(key string) (err error) {
		switch key {
		case "id":
			id, err = s.id()
		case "displayName":
			var null bool
			if null, err = s.null(); err == nil && !null {
				g.DisplayName, err = s.string()
			}
		default:
			err = s.skip(2)
		}
		return err
	})
	if err == nil && id.IsZero() {
		err = s.fail("a group without id")
	}
	g.ID = id.String()
	return g, err
}
