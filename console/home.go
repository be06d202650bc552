package console

import (
	"net/http"
	"slices"
	"strings"

	"github.com/bizzstream/bizzscim/directory"
)

type homeData struct {
	Organization string // that manages the account; empty for an internal one
	Operator     bool
	PartnerOf    []string
	Environments []homeEnvironment
	BizzStream   string // address; empty: none
	Directory    bool   // there is a session at a directory to sign out of
	Start        []startStep
	StartDone    int // of them
}

type homeEnvironment struct {
	Name, Organization string
	Initial            string // of Name
	Administrator      bool
}

// home says who is signed in, and to what.
func (c *Console) home(v *visit) error {
	p := v.principal
	data := homeData{Operator: p.Roles.Operator, BizzStream: c.config.BizzStreamURL, Directory: p.Session.Method == directory.MethodDirectory}
	err := c.config.Directory.View(v.r.Context(), func(sn *directory.Snapshot) error {
		if p.Account.External() {
			t, err := sn.Tenant(p.Account.TenantID)
			if err != nil {
				return err
			}
			data.Organization = t.DisplayName()
		}
		for _, id := range p.Roles.PartnerOf {
			o, err := sn.Organization(id)
			if err != nil {
				return err
			}
			data.PartnerOf = append(data.PartnerOf, o.Name)
		}
		for _, x := range p.Accesses {
			env, err := sn.Environment(x.EnvironmentID)
			if err != nil {
				return err
			}
			o, err := sn.Organization(env.OrganizationID)
			if err != nil {
				return err
			}
			data.Environments = append(data.Environments, homeEnvironment{env.Name, o.Name, initial(env.Name), x.Administrator})
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(data.Environments, func(a, b homeEnvironment) int {
		return strings.Compare(a.Organization+"\x00"+a.Name, b.Organization+"\x00"+b.Name)
	})
	if data.Start, err = c.start(v); err != nil {
		return err
	}
	for _, step := range data.Start {
		if step.Done {
			data.StartDone++
		}
	}
	c.render(v, http.StatusOK, "home", "home.title", data)
	return nil
}

// initial is the first character of a name.
func initial(name string) string {
	for _, r := range name {
		return string(r)
	}
	return ""
}
