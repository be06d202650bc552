package desk

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// Group is a group of a directory.
type Group struct {
	ID           directory.ID `json:"id"`
	Tenant       Named        `json:"tenant"`
	Name         string       `json:"name"`
	ExternalID   string       `json:"externalId,omitempty" doc:"Object id of the group in the directory; Groups to Sync matches it"`
	Members      int64        `json:"members" doc:"Direct members: users and groups"`
	Environments []Named      `json:"environments" nullable:"false" doc:"Those that have it among their Groups to Sync, as far as they may be seen"`
	Created      time.Time    `json:"created"`
	Modified     time.Time    `json:"modified"`
}

// GroupFilter selects groups of a list.
type GroupFilter struct {
	Text     string       // the beginning of the name, without regard to case
	TenantID directory.ID // zero: the first tenant that the actor sees
}

// Groups lists groups of one tenant in the order of their names. An environment administrator, who sees no tenant, gets the groups
// that are among the Groups to Sync of its environments.
func (d *Desk) Groups(ctx context.Context, by directory.Actor, f GroupFilter, p Page) (List[Group], error) {
	return view(ctx, d, func(sn *directory.Snapshot) (List[Group], error) {
		s, out := newSight(sn, by), List[Group]{Items: []Group{}, Total: -1}
		tenants, err := sn.SeeTenants(by)
		if err != nil {
			return out, err
		}
		if f.TenantID.IsZero() && len(tenants) == 0 {
			return s.syncedGroups(f.Text)
		}
		var t *directory.Tenant
		if f.TenantID.IsZero() {
			t = tenants[0]
		} else if t, err = sn.SeeTenant(by, f.TenantID); err != nil {
			return out, err
		}
		if f.Text == "" {
			if out.Total, err = sn.GroupCount(t.ID); err != nil {
				return out, err
			}
		}
		var ids []directory.ID
		err = sn.GroupsByPrefix(t.ID, f.Text, p.After, func(id directory.ID, name string) bool {
			if len(ids) == p.limit() {
				out.Next = name
				return false
			}
			ids = append(ids, id)
			return true
		})
		if err != nil {
			return out, err
		}
		if out.Next != "" {
			last, err := sn.Group(t.ID, ids[len(ids)-1])
			if err != nil {
				return out, err
			}
			out.Next = d.Service.Fold(last.DisplayName)
		}
		for _, id := range ids {
			g, err := s.group(t, id)
			if err != nil {
				return out, err
			}
			out.Items = append(out.Items, g)
		}
		return out, nil
	})
}

// syncedGroups are the groups among the Groups to Sync of the environments that an actor sees.
func (s *sight) syncedGroups(text string) (List[Group], error) {
	out := List[Group]{Items: []Group{}}
	envs, err := s.SeeEnvironments(s.by)
	if err != nil {
		return out, err
	}
	seen := map[directory.ID]bool{}
	for _, e := range envs {
		if !e.Integration.Enabled || e.Integration.TenantID.IsZero() {
			continue
		}
		t, err := s.Tenant(e.Integration.TenantID)
		if err != nil {
			return out, err
		}
		for _, object := range e.Integration.Groups {
			ids, err := s.GroupsByExternalID(t.ID, object)
			if err != nil {
				return out, err
			}
			for _, id := range ids {
				if seen[id] {
					continue
				}
				seen[id] = true
				g, err := s.group(t, id)
				if err != nil {
					return out, err
				}
				if strings.HasPrefix(directory.FoldCase(g.Name), directory.FoldCase(text)) {
					out.Items = append(out.Items, g)
				}
			}
		}
	}
	slices.SortFunc(out.Items, func(a, b Group) int { return strings.Compare(directory.FoldCase(a.Name), directory.FoldCase(b.Name)) })
	out.Total = int64(len(out.Items))
	return out, nil
}

func (s *sight) group(t *directory.Tenant, id directory.ID) (Group, error) {
	g, err := s.Group(t.ID, id)
	if err != nil {
		return Group{}, err
	}
	out := Group{ID: g.ID, Tenant: Named{t.ID, t.DisplayName()}, Name: g.DisplayName, ExternalID: g.ExternalID, Environments: []Named{}, Created: g.Created, Modified: g.Modified}
	if out.Members, err = s.MemberCount(t.ID, g.ID); err != nil || g.ExternalID == "" {
		return out, err
	}
	ids, err := s.SyncingEnvironments(t.ID, g.ExternalID)
	if err != nil {
		return out, err
	}
	for _, id := range ids {
		e, err := s.environment(id)
		if err != nil {
			return out, err
		}
		if s.by.Sees(e) && e.Integration.Enabled {
			out.Environments = append(out.Environments, Named{e.ID, e.Name})
		}
	}
	return out, nil
}

// GroupDetail is one group.
type GroupDetail struct {
	Group
	In      []Named       `json:"in" nullable:"false" doc:"Groups that it is a member of, as far as they may be seen"`
	History []HistoryLine `json:"-"`
}

// Group shows one group.
func (d *Desk) Group(ctx context.Context, by directory.Actor, tenant, id directory.ID) (GroupDetail, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (GroupDetail, error) {
		if _, err := sn.SeeGroup(by, tenant, id); err != nil {
			return GroupDetail{}, err
		}
		t, err := sn.Tenant(tenant)
		if err != nil {
			return GroupDetail{}, err
		}
		s, out := newSight(sn, by), GroupDetail{In: []Named{}}
		if out.Group, err = s.group(t, id); err != nil {
			return out, err
		}
		above, err := sn.GroupsOf(tenant, id)
		if err != nil {
			return out, err
		}
		for _, p := range above {
			g, err := sn.SeeGroup(by, tenant, p)
			if directory.KindOf(err) == directory.NotFound && err != nil {
				continue
			}
			if err != nil {
				return out, err
			}
			out.In = append(out.In, Named{g.ID, g.DisplayName})
		}
		if by.SeesTenant(t) {
			out.History, err = s.groupHistory(tenant, id)
		}
		return out, err
	})
}

// groupHistory is what the latest lines of a tenant's log tell of a group.
func (s *sight) groupHistory(tenant, id directory.ID) ([]HistoryLine, error) {
	out, n := []HistoryLine{}, 0
	target := id.String()
	err := s.Log(tenant, 0, true, func(e *directory.LogEvent) bool {
		if e.TargetType == "Group" && e.TargetID == target {
			out = append(out, HistoryLine{Sequence: e.Sequence, Time: e.Time, Action: string(e.Action), Status: string(e.Status), Channel: e.Actor.Channel, Detail: e.Detail, Changes: changesOf(e), Effects: []Effect{}})
		}
		n++
		return n < conflictLook && len(out) < 20
	})
	return out, err
}

// Member is a member of a group.
type Member struct {
	ID       directory.ID `json:"id" doc:"Of the account for a user, of the group for a group"`
	Type     string       `json:"type" enum:"user,group"`
	Name     string       `json:"name"`
	UserName string       `json:"userName,omitempty"`
	Active   bool         `json:"active" doc:"What the directory says of a user"`
}

// Members lists the direct members of a group, those that the actor sees.
func (d *Desk) Members(ctx context.Context, by directory.Actor, tenant, id directory.ID, p Page) (List[Member], error) {
	return view(ctx, d, func(sn *directory.Snapshot) (List[Member], error) {
		out := List[Member]{Items: []Member{}}
		if _, err := sn.SeeGroup(by, tenant, id); err != nil {
			return out, err
		}
		after, err := p.afterID()
		if err != nil {
			return out, err
		}
		if out.Total, err = sn.MemberCount(tenant, id); err != nil {
			return out, err
		}
		var rows []directory.Member
		err = sn.Members(tenant, id, after, func(m directory.Member) bool {
			rows = append(rows, m)
			return len(rows) <= p.limit()
		})
		if err != nil {
			return out, err
		}
		if len(rows) > p.limit() {
			rows = rows[:p.limit()]
			out.Next = rows[len(rows)-1].ID.String()
		}
		s := newSight(sn, by)
		for _, m := range rows {
			one, err := s.member(tenant, m)
			if err != nil {
				return out, err
			}
			if one != nil {
				out.Items = append(out.Items, *one)
			}
		}
		return out, nil
	})
}

func (p Page) afterID() (directory.ID, error) {
	if p.After == "" {
		return directory.ID{}, nil
	}
	id, ok := directory.ParseID(p.After)
	if !ok {
		return id, fail(directory.Invalid, "after", "%q is not where a page of this list ends", p.After)
	}
	return id, nil
}

// member shows one member; nil for one whom the actor may not see.
func (s *sight) member(tenant directory.ID, m directory.Member) (*Member, error) {
	if m.Kind == directory.MemberGroup {
		g, err := s.SeeGroup(s.by, tenant, m.ID)
		if err != nil {
			if directory.KindOf(err) == directory.NotFound {
				err = nil
			}
			return nil, err
		}
		return &Member{ID: g.ID, Type: "group", Name: g.DisplayName, Active: true}, nil
	}
	u, err := s.Snapshot.User(tenant, m.ID)
	if err != nil {
		return nil, err
	}
	if _, err := s.SeeAccount(s.by, u.AccountID); err != nil {
		if directory.KindOf(err) == directory.NotFound {
			err = nil
		}
		return nil, err
	}
	return &Member{u.AccountID, "user", u.Name, u.UserName, u.Active}, nil
}
