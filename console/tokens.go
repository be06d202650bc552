package console

import (
	"net/http"

	"github.com/bizzstream/bizzscim/desk"
)

func (c *Console) tokensTable() []route {
	return []route{
		{path: "/tenants/{id}/tokens", access: Staff, get: c.tokens, post: c.tokensPost},
		{path: "/tenants/{id}/tokens/rotate", access: Staff, get: toParent, post: c.tokensRotate},
		{path: "/tenants/{id}/tokens/revoke", access: Staff, get: toParent, post: c.tokensRevoke},
		{path: "/tenants/{id}/clients", access: Staff, get: c.clients, post: c.clientsPost},
		{path: "/tenants/{id}/clients/rotate", access: Staff, get: toParent, post: c.clientsRotate},
		{path: "/tenants/{id}/clients/revoke", access: Staff, get: toParent, post: c.clientsRevoke},
	}
}

// tokenDays and overlaps are what forms offer: days, and hours.
var (
	tokenDays = []int{30, 90, 180, 365}
	overlaps  = []int{0, 1, 24, 168}
)

// texts: tenants.overlap.0 tenants.overlap.1 tenants.overlap.24 tenants.overlap.168

// tokensData are the tokens or the clients of a tenant.
type tokensData struct {
	Tokens   []desk.Token
	Clients  []desk.Client
	Live     int
	Secret   string // shown once
	New      string // what it is of
	TokenURL string
	Lives    []int
	Overlaps []int
}

// showTokens shows the Secret Tokens of a tenant: secret, unless empty, is one that has just been made.
func (c *Console) showTokens(v *visit, status int, d *tenantData, secret, name string) error {
	list, err := c.config.Desk.Tokens(v.r.Context(), c.by(v), d.T.ID)
	if err != nil {
		return err
	}
	page := &tokensData{Tokens: list.Items, Secret: secret, New: name, Lives: tokenDays, Overlaps: overlaps}
	for i := range list.Items {
		if list.Items[i].Live() {
			page.Live++
		}
	}
	d.Page = page
	c.render(v, status, "tenanttokens", "tenants.tab.tokens", d)
	return nil
}

func (c *Console) tokens(v *visit) error {
	d, err := c.tenantOf(v, "/tokens")
	if err != nil {
		return err
	}
	return c.showTokens(v, http.StatusOK, d, "", "")
}

// tokensRefused shows the tokens with what is wrong.
func (c *Console) tokensRefused(v *visit, d *tenantData, err error) error {
	w, status, ok := refused(err, map[string]string{"expires": "days"})
	if !ok {
		return err
	}
	d.Wrong, d.Form = w, v.r.PostForm
	return c.showTokens(v, status, d, "", "")
}

func (c *Console) tokensPost(v *visit) error {
	d, err := c.tenantOf(v, "/tokens")
	if err != nil {
		return err
	}
	made, err := c.makeToken(v, d)
	if err != nil {
		return c.tokensRefused(v, d, err)
	}
	return c.showTokens(v, http.StatusCreated, d, made.Secret, made.Token.Name)
}

func (c *Console) makeToken(v *visit, d *tenantData) (desk.NewToken, error) {
	days, err := daysOf(v.r.PostForm)
	if err != nil {
		return desk.NewToken{}, err
	}
	return c.config.Desk.CreateToken(v.r.Context(), c.by(v), d.T.ID, desk.TokenInput{Name: v.r.PostForm.Get("name"), Days: days})
}

// rotationOf reads the form of a rotation.
func rotationOf(v *visit) (in desk.RotationInput, err error) {
	if in.Days, err = daysOf(v.r.PostForm); err != nil {
		return in, err
	}
	in.OverlapHours, err = formFigure(v.r.PostForm, "overlapHours")
	return in, err
}

func (c *Console) tokensRotate(v *visit) error {
	d, err := c.tenantOf(v, "/tokens")
	if err != nil {
		return err
	}
	old, err := formID(v, "token")
	if err != nil {
		return err
	}
	in, err := rotationOf(v)
	var made desk.NewToken
	if err == nil {
		made, err = c.config.Desk.RotateToken(v.r.Context(), c.by(v), d.T.ID, old, in)
	}
	if err != nil {
		return c.tokensRefused(v, d, err)
	}
	return c.showTokens(v, http.StatusCreated, d, made.Secret, made.Token.Name)
}

func (c *Console) tokensRevoke(v *visit) error {
	d, err := c.tenantOf(v, "/tokens")
	if err != nil {
		return err
	}
	id, err := formID(v, "token")
	if err != nil {
		return err
	}
	if err := c.config.Desk.RevokeToken(v.r.Context(), c.by(v), d.T.ID, id); err != nil {
		return err
	}
	v.done(tenantPath(d.T.ID, "/tokens"), "tenant-token-revoked")
	return nil
}

func (c *Console) showClients(v *visit, status int, d *tenantData, secret, name string) error {
	list, err := c.config.Desk.Clients(v.r.Context(), c.by(v), d.T.ID)
	if err != nil {
		return err
	}
	d.Page = &tokensData{Clients: list.Items, Secret: secret, New: name, TokenURL: d.T.TokenURL, Lives: tokenDays, Overlaps: overlaps}
	c.render(v, status, "tenantclients", "tenants.tab.clients", d)
	return nil
}

func (c *Console) clients(v *visit) error {
	d, err := c.tenantOf(v, "/clients")
	if err != nil {
		return err
	}
	return c.showClients(v, http.StatusOK, d, "", "")
}

func (c *Console) clientsRefused(v *visit, d *tenantData, err error) error {
	w, status, ok := refused(err, map[string]string{"expires": "days", "tokenLife": "tokenLifeHours"})
	if !ok {
		return err
	}
	d.Wrong, d.Form = w, v.r.PostForm
	return c.showClients(v, status, d, "", "")
}

func (c *Console) clientsPost(v *visit) error {
	d, err := c.tenantOf(v, "/clients")
	if err != nil {
		return err
	}
	form := v.r.PostForm
	in := desk.ClientInput{ClientID: form.Get("clientId")}
	if in.Days, err = daysOf(form); err == nil {
		in.TokenLifeHours, err = formFigure(form, "tokenLifeHours")
	}
	if form.Get("kind") == "federated" {
		in.Federated = &desk.Federated{Issuer: form.Get("issuer"), Audience: form.Get("audience"), Subject: form.Get("subject")}
	}
	var made desk.NewClient
	if err == nil {
		made, err = c.config.Desk.CreateClient(v.r.Context(), c.by(v), d.T.ID, in)
	}
	if err != nil {
		return c.clientsRefused(v, d, err)
	}
	return c.showClients(v, http.StatusCreated, d, made.Secret, made.Client.ClientID)
}

func (c *Console) clientsRotate(v *visit) error {
	d, err := c.tenantOf(v, "/clients")
	if err != nil {
		return err
	}
	in, err := rotationOf(v)
	var made desk.NewClient
	if err == nil {
		made, err = c.config.Desk.RotateClient(v.r.Context(), c.by(v), d.T.ID, v.r.PostForm.Get("client"), in)
	}
	if err != nil {
		return c.clientsRefused(v, d, err)
	}
	return c.showClients(v, http.StatusCreated, d, made.Secret, made.Client.ClientID)
}

func (c *Console) clientsRevoke(v *visit) error {
	d, err := c.tenantOf(v, "/clients")
	if err != nil {
		return err
	}
	if err := c.config.Desk.RevokeClient(v.r.Context(), c.by(v), d.T.ID, v.r.PostForm.Get("client")); err != nil {
		return c.clientsRefused(v, d, err)
	}
	v.done(tenantPath(d.T.ID, "/clients"), "tenant-client-revoked")
	return nil
}
