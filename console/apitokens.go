package console

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

func (c *Console) apiTokensTable() []route {
	return []route{
		{path: "/api", access: Staff, get: c.reference},
		{path: "/api-tokens", access: Staff, get: c.apiTokens, post: c.apiTokensPost},
		{path: "/api-tokens/new", access: Staff, get: c.apiTokenNew},
		{path: "/api-tokens/{id}", access: Staff, get: c.apiToken},
		{path: "/api-tokens/{id}/rotate", access: Staff, post: c.apiTokenRotate},
		{path: "/api-tokens/{id}/revoke", access: Staff, post: c.apiTokenRevoke},
	}
}

type apiTokensData struct {
	Done  string
	List  desk.List[desk.APIToken]
	Pager pager
}

// texts: apitokens.state.live apitokens.state.expired apitokens.state.revoked apitokens.state.suspended
// texts: apitokens.role.operator apitokens.role.partner apitokens.role.environment-administrator
// texts: apitokens.scope.environments apitokens.scope.runs apitokens.scope.tenants apitokens.scope.users apitokens.scope.log apitokens.scope.audit
// texts: apitokens.scope.webhooks apitokens.scope.tokens apitokens.scope.changes apitokens.scope.settings

// apiTokens lists the tokens that somebody may end.
func (c *Console) apiTokens(v *visit) error {
	list, err := c.config.Desk.APITokens(v.r.Context(), c.by(v), desk.Page{After: v.r.URL.Query().Get("after")})
	if err != nil {
		if directory.KindOf(err) == directory.Invalid {
			err = missing
		}
		return err
	}
	c.render(v, http.StatusOK, "apitokens", "apitokens.title", apiTokensData{v.flash("token-revoked"), list, v.pagerOf(len(list.Items), list.Total, list.Next)})
	return nil
}

// scopeRow is what can be chosen about one kind of thing.
type scopeRow struct {
	Thing       string // "runs"
	Read, Write bool   // whether there is such a scope
	CanRead     bool   // whether it is chosen
	CanWrite    bool
}

func scopeRows(chosen []string) (all []scopeRow) {
	for _, scope := range directory.APIScopes {
		thing, what, _ := strings.Cut(scope, ":")
		if len(all) == 0 || all[len(all)-1].Thing != thing {
			all = append(all, scopeRow{Thing: thing})
		}
		row, is := &all[len(all)-1], slices.Contains(chosen, scope)
		if what == "read" {
			row.Read, row.CanRead = true, is
		} else {
			row.Write, row.CanWrite = true, is
		}
	}
	return all
}

type apiTokenForm struct {
	Choices desk.APITokenChoices
	Name    string
	Role    string
	Reach   map[string]bool // ids of what is chosen
	Scopes  []scopeRow
	Days    string
	Wrong   wrongs
}

// apiTokenNew shows the form of a new token.
func (c *Console) apiTokenNew(v *visit) error {
	return c.apiTokenForm(v, http.StatusOK, apiTokenForm{Role: string(directory.RolePartner), Scopes: scopeRows(nil), Days: "90"})
}

func (c *Console) apiTokenForm(v *visit, status int, form apiTokenForm) (err error) {
	if form.Choices, err = c.config.Desk.APITokenChoices(v.r.Context(), c.by(v)); err != nil {
		return err
	}
	c.render(v, status, "apitokennew", "apitokens.new", form)
	return nil
}

// apiTokensPost makes a token and shows its secret, this once.
func (c *Console) apiTokensPost(v *visit) error {
	form := apiTokenForm{Name: v.r.PostForm.Get("name"), Role: v.r.PostForm.Get("role"), Reach: map[string]bool{}, Scopes: scopeRows(v.r.PostForm["scope"]), Days: v.r.PostForm.Get("days")}
	in := desk.APITokenInput{Name: form.Name, Role: form.Role, Scopes: v.r.PostForm["scope"]}
	days, ok := atoi(form.Days)
	if !ok || days < 1 {
		days = -1 // the directory says what is possible
	}
	in.LifeDays = days
	for _, x := range []struct {
		field string
		role  directory.Role
		to    *[]directory.ID
	}{{"organization", directory.RolePartner, &in.Organizations}, {"environment", directory.RoleEnvironment, &in.Environments}} {
		for _, text := range v.r.PostForm[x.field] {
			form.Reach[text] = true
			if id, ok := directory.ParseID(text); ok && form.Role == string(x.role) {
				*x.to = append(*x.to, id)
			}
		}
	}
	made, err := c.config.Desk.CreateAPIToken(v.r.Context(), c.by(v), in)
	if err != nil {
		wrong, status, ok := refused(err, map[string]string{"organizations": "reach", "environments": "reach", "expires": "days"})
		if !ok {
			return err
		}
		form.Wrong = wrong
		return c.apiTokenForm(v, status, form)
	}
	return c.showAPIToken(v, http.StatusCreated, apiTokenData{Token: made.APIToken, Secret: made.Secret, Done: "token-made"})
}

// texts: done.token-made done.token-rotated

type apiTokenData struct {
	Done    string
	Token   desk.APIToken
	Secret  string     // shown once; empty: not now
	OldEnds *time.Time // of the token that this one replaces, while it still works
	Server  string
	Wrong   wrongs
}

// apiToken shows one token.
func (c *Console) apiToken(v *visit) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	t, err := c.config.Desk.APIToken(v.r.Context(), c.by(v), id)
	if err != nil {
		return err
	}
	return c.showAPIToken(v, http.StatusOK, apiTokenData{Token: t})
}

func (c *Console) showAPIToken(v *visit, status int, data apiTokenData) error {
	data.Server = c.config.URL()
	c.render(v, status, "apitoken", "apitokens.one", data)
	return nil
}

// apiTokenRotate makes a token in place of another, and shows its secret, this once.
func (c *Console) apiTokenRotate(v *visit) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	hours, ok := atoi(v.r.PostForm.Get("overlap"))
	if !ok {
		hours = -1
	}
	made, err := c.config.Desk.RotateAPIToken(v.r.Context(), c.by(v), id, desk.APITokenRotation{OverlapHours: &hours})
	if err != nil {
		wrong, status, ok := refused(err, nil)
		if !ok {
			return err
		}
		t, err := c.config.Desk.APIToken(v.r.Context(), c.by(v), id)
		if err != nil {
			return err
		}
		return c.showAPIToken(v, status, apiTokenData{Token: t, Wrong: wrong})
	}
	data := apiTokenData{Token: made.APIToken, Secret: made.Secret, Done: "token-rotated"}
	if made.OldExpires.After(c.config.Now()) {
		data.OldEnds = &made.OldExpires
	}
	return c.showAPIToken(v, http.StatusCreated, data)
}

// apiTokenRevoke ends a token.
func (c *Console) apiTokenRevoke(v *visit) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	if _, err := c.config.Desk.RevokeAPIToken(v.r.Context(), c.by(v), id); err != nil {
		return err
	}
	v.done("/api-tokens", "token-revoked")
	return nil
}
