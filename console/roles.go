package console

import (
	"net/http"
	"strings"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

type colleaguesData struct {
	Tabs          []tab
	Done          string
	Link          *desk.NewLink // made just now; shown once
	People        []desk.Colleague
	Organizations []desk.Organization
	Invite        desk.Invitation // as it was typed
	Who, Role     string          // as they were typed
	Mail          bool            // mails can be sent
	Wrong         wrongs          // of the form that invites
	WrongRole     wrongs          // of the form that gives a role
}

func (c *Console) colleagues(v *visit) error {
	return c.colleaguesPage(v, http.StatusOK, colleaguesData{Done: v.flash("role-given", "role-taken")})
}

func (c *Console) colleaguesPage(v *visit, status int, data colleaguesData) error {
	people, err := c.config.Desk.Colleagues(v.r.Context(), c.by(v))
	if err != nil {
		return err
	}
	organizations, err := c.config.Desk.Organizations(v.r.Context(), c.by(v))
	if err != nil {
		return err
	}
	data.Tabs, data.People, data.Organizations = settingsTabs("people"), people.Items, organizations.Items
	c.render(v, status, "people", "people.title", data)
	return nil
}

// invitePost makes a local operator and shows the link by which they set a password.
func (c *Console) invitePost(v *visit) error {
	form := v.r.PostForm
	data := colleaguesData{Invite: desk.Invitation{Email: strings.TrimSpace(form.Get("email")), Name: strings.TrimSpace(form.Get("name"))}}
	link, err := c.config.Desk.InviteOperator(v.r.Context(), c.by(v), data.Invite)
	if err == nil {
		return c.colleaguesPage(v, http.StatusOK, colleaguesData{Link: &link})
	}
	wrong, status, ok := refused(err, nil)
	if !ok {
		return err
	}
	data.Wrong = wrong
	return c.colleaguesPage(v, status, data)
}

// promotePost gives a role to somebody who has an account.
func (c *Console) promotePost(v *visit) error {
	data := colleaguesData{Who: strings.TrimSpace(v.r.PostForm.Get("who")), Role: v.r.PostForm.Get("role")}
	in := desk.NewColleague{Who: data.Who, Operator: data.Role == "operator"}
	if id, ok := directory.ParseID(data.Role); ok {
		in.PartnerOf = &id
	}
	_, err := c.config.Desk.Promote(v.r.Context(), c.by(v), in)
	if err == nil {
		v.done("/settings/people", "role-given")
		return nil
	}
	if directory.KindOf(err) == directory.NotFound {
		return missing
	}
	wrong, status, ok := refused(err, map[string]string{"objectId": "who"})
	if !ok {
		return err
	}
	data.WrongRole = wrong
	return c.colleaguesPage(v, status, data)
}

type colleagueData struct {
	desk.Colleague
	Done          string
	Link          *desk.NewLink
	Me            bool
	Organizations []partnerChoice
	Wrong         wrongs
}

type partnerChoice struct {
	desk.Organization
	Is bool
}

func (c *Console) colleague(v *visit) error {
	return c.colleaguePage(v, http.StatusOK, colleagueData{Done: v.flash("roles-saved", "factor-taken")})
}

// colleaguePage shows one person; data holds what has just happened.
func (c *Console) colleaguePage(v *visit, status int, data colleagueData) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	if data.Colleague, err = c.config.Desk.Colleague(v.r.Context(), c.by(v), id); err != nil {
		return err
	}
	organizations, err := c.config.Desk.Organizations(v.r.Context(), c.by(v))
	if err != nil {
		return err
	}
	for _, o := range organizations.Items {
		is := false
		for _, p := range data.PartnerOf {
			is = is || p.ID == o.ID
		}
		data.Organizations = append(data.Organizations, partnerChoice{o, is})
	}
	data.Me = id == v.principal.Account.ID
	c.render(v, status, "person", "person.title", data)
	return nil
}

// colleaguePost changes the roles of one person.
func (c *Console) colleaguePost(v *visit) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	operator := v.r.PostForm.Get("operator") == "1"
	partner := []directory.ID{}
	for _, text := range v.r.PostForm["partner"] {
		o, ok := directory.ParseID(text)
		if !ok {
			return missing
		}
		partner = append(partner, o)
	}
	after, err := c.config.Desk.SetColleague(v.r.Context(), c.by(v), id, desk.ColleagueChange{Operator: &operator, PartnerOf: &partner})
	if err == nil {
		return c.afterRoles(v, after)
	}
	wrong, status, ok := refused(err, map[string]string{"objectId": ""})
	if !ok {
		return err
	}
	return c.colleaguePage(v, status, colleagueData{Wrong: wrong})
}

// afterRoles leads on: to the list when the person has no role any more. Who took a role of their own has no
// session any more.
func (c *Console) afterRoles(v *visit, after desk.Colleague) error {
	if !after.Operator && len(after.PartnerOf) == 0 {
		v.done("/settings/people", "role-taken")
		return nil
	}
	v.done("/settings/people/"+after.ID.String(), "roles-saved")
	return nil
}

// linkToPost makes a one-time link and shows it.
func (c *Console) linkToPost(v *visit) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	var link desk.NewLink
	switch v.r.PostForm.Get("kind") {
	case "password":
		link, err = c.config.Desk.PasswordLink(v.r.Context(), c.by(v), id)
	case "sign-in":
		link, err = c.config.Desk.SignInLink(v.r.Context(), c.by(v), id)
	default:
		return missing
	}
	if err == nil {
		return c.colleaguePage(v, http.StatusOK, colleagueData{Link: &link})
	}
	wrong, status, ok := refused(err, map[string]string{"password": ""})
	if !ok {
		return err
	}
	return c.colleaguePage(v, status, colleagueData{Wrong: wrong})
}

// factorOfPost takes the second factor of somebody who has lost it.
func (c *Console) factorOfPost(v *visit) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	if _, err = c.config.Desk.RemoveSecondFactor(v.r.Context(), c.by(v), id); err == nil {
		v.done("/settings/people/"+id.String(), "factor-taken")
		return nil
	}
	wrong, status, ok := refused(err, map[string]string{"secondFactor": ""})
	if !ok {
		return err
	}
	return c.colleaguePage(v, status, colleagueData{Wrong: wrong})
}
