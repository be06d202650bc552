package console

import (
	"net/http"
	"strings"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

func (c *Console) groupsTable() []route {
	return []route{
		{path: "/groups", access: Staff, get: c.groups},
		{path: "/groups/{tenant}/{group}", access: Staff, get: c.group},
	}
}

type groupsData struct {
	Text, Tenant string
	Tenants      []desk.Named
	Groups       []desk.Group
	Pager        pager
}

// groups lists the groups of a tenant.
func (c *Console) groups(v *visit) error {
	q, by := v.r.URL.Query(), c.by(v)
	data := groupsData{Text: strings.TrimSpace(q.Get("text")), Tenant: q.Get("tenant")}
	f := desk.GroupFilter{Text: data.Text}
	if data.Tenant != "" {
		id, ok := directory.ParseID(data.Tenant)
		if !ok {
			return missing
		}
		f.TenantID = id
	}
	choices, err := c.config.Desk.UserChoices(v.r.Context(), by)
	if err != nil {
		return err
	}
	data.Tenants = choices.Tenants
	all, err := c.config.Desk.Groups(v.r.Context(), by, f, desk.Page{After: q.Get("after")})
	if err != nil {
		return orMissing(err)
	}
	data.Groups = all.Items
	data.Pager = v.pagerOf(len(all.Items), all.Total, all.Next)
	c.render(v, http.StatusOK, "groups", "groups.title", data)
	return nil
}

type groupData struct {
	Group   desk.GroupDetail
	Members []desk.Member
	Pager   pager
	Sees    bool // all members
}

// group shows one group.
func (c *Console) group(v *visit) error {
	tenant, err := pathID(v, "tenant")
	if err != nil {
		return err
	}
	id, err := pathID(v, "group")
	if err != nil {
		return err
	}
	by, ctx := c.by(v), v.r.Context()
	var data groupData
	if data.Group, err = c.config.Desk.Group(ctx, by, tenant, id); err != nil {
		return orMissing(err)
	}
	members, err := c.config.Desk.Members(ctx, by, tenant, id, desk.Page{After: v.r.URL.Query().Get("after")})
	if err != nil {
		return orMissing(err)
	}
	data.Members = members.Items
	data.Pager = v.pagerOf(len(members.Items), members.Total, members.Next)
	c.render(v, http.StatusOK, "group", "groups.one", data)
	return nil
}
