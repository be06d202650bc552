package desk

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/bizzstream/bizzscim/directory"
)

// Hit is something that a search found.
type Hit struct {
	Kind   string       `json:"kind" enum:"environment,tenant,user,group"`
	ID     directory.ID `json:"id" doc:"Of a user that of the account"`
	Tenant directory.ID `json:"tenantId,omitzero" doc:"Of a group: whose it is"`
	Name   string       `json:"name"`
	More   string       `json:"more,omitempty" doc:"What tells it from others: the organization, the userName, the tenant"`
}

// Figures of a search.
const (
	MostHits       = 20   // of each kind
	mostCandidates = 2000 // that are looked at, of each tenant and kind
	maxQuery       = 256
)

// Search finds environments, tenants, users and groups whose name begins with a text: of users the userName and the
// e-mail addresses. It finds what the actor may see. Errors: Forbidden for who sees nothing; Invalid.
func (d *Desk) Search(ctx context.Context, by directory.Actor, text string) (List[Hit], error) {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > maxQuery || strings.ContainsRune(text, 0) {
		return List[Hit]{Items: []Hit{}}, fail(directory.Invalid, "q", "type what a name begins with, of at most %d characters", maxQuery)
	}
	return view(ctx, d, func(sn *directory.Snapshot) (List[Hit], error) {
		s := &search{sn: sn, by: by, text: text, folded: d.Service.Fold(text), service: d.Service, seen: map[directory.ID]bool{}}
		err := s.run()
		all := slices.Concat(s.environments, s.tenants, s.users, s.groups)
		if all == nil {
			all = []Hit{}
		}
		return List[Hit]{Items: all, Total: int64(len(all))}, err
	})
}

// search is one search.
type search struct {
	sn           *directory.Snapshot
	by           directory.Actor
	text, folded string
	service      *directory.Service
	seen         map[directory.ID]bool

	environments, tenants, users, groups []Hit
}

func (s *search) matches(name string) bool { return strings.HasPrefix(s.service.Fold(name), s.folded) }

func (s *search) run() error {
	environments, err := s.sn.SeeEnvironments(s.by)
	if err != nil {
		return err
	}
	tenants, err := s.sn.SeeTenants(s.by)
	if err != nil {
		return err
	}
	where := map[directory.ID]bool{} // tenants whose people may be among those that the actor sees
	for _, t := range tenants {
		where[t.ID] = true
		if len(s.tenants) < MostHits && (s.matches(t.Name) || s.matches(t.DisplayName())) {
			s.tenants = append(s.tenants, Hit{Kind: "tenant", ID: t.ID, Name: t.DisplayName(), More: t.Name})
		}
	}
	for _, e := range environments {
		if !e.Integration.TenantID.IsZero() {
			where[e.Integration.TenantID] = true
		}
		o, err := s.sn.Organization(e.OrganizationID)
		if err != nil {
			return err
		}
		if len(s.environments) < MostHits && (s.matches(e.Name) || s.matches(o.Name)) {
			s.environments = append(s.environments, Hit{Kind: "environment", ID: e.ID, Name: e.Name, More: o.Name})
		}
	}
	all, err := s.sn.Tenants()
	if err != nil {
		return err
	}
	if a, err := s.sn.InternalAccount(s.text); err != nil {
		return err
	} else if a != nil {
		if err := s.user(a.ID); err != nil {
			return err
		}
	}
	for _, t := range all {
		if !where[t.ID] {
			continue
		}
		if err := s.within(t); err != nil {
			return err
		}
	}
	return nil
}

// within looks for people and groups of one tenant.
func (s *search) within(t *directory.Tenant) error {
	users, err := s.sn.UsersByPrefix(t.ID, s.text, mostCandidates)
	if err != nil {
		return err
	}
	for _, id := range users {
		if len(s.users) >= MostHits {
			break
		}
		u, err := s.sn.User(t.ID, id)
		if err != nil {
			return err
		}
		if err := s.user(u.AccountID); err != nil {
			return err
		}
	}
	var groups []directory.ID
	err = s.sn.GroupsByPrefix(t.ID, s.text, "", func(id directory.ID, _ string) bool {
		groups = append(groups, id)
		return len(groups) < mostCandidates
	})
	if err != nil {
		return err
	}
	for _, id := range groups {
		if len(s.groups) >= MostHits {
			break
		}
		g, err := s.sn.SeeGroup(s.by, t.ID, id)
		if directory.KindOf(err) == directory.NotFound && err != nil {
			continue
		}
		if err != nil {
			return err
		}
		s.groups = append(s.groups, Hit{Kind: "group", ID: g.ID, Tenant: t.ID, Name: g.DisplayName, More: t.DisplayName()})
	}
	return nil
}

// user adds somebody whom the actor sees.
func (s *search) user(account directory.ID) error {
	if s.seen[account] {
		return nil
	}
	s.seen[account] = true
	a, err := s.sn.SeeAccount(s.by, account)
	if err != nil {
		if directory.KindOf(err) == directory.NotFound {
			return nil
		}
		return err
	}
	s.users = append(s.users, Hit{Kind: "user", ID: a.ID, Name: cmp.Or(a.Name, a.UserName), More: a.UserName})
	return nil
}
