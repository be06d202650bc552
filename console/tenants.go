package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

func (c *Console) tenantsTable() []route {
	all := []route{
		{path: "/tenants", access: Staff, get: c.tenants},
		{path: "/tenants/new", access: Staff, get: c.tenantNew, post: c.tenantNewPost},
		{path: "/tenants/{id}", access: Staff, get: c.tenant},
		{path: "/tenants/{id}/settings", access: Staff, get: c.tenantSettings, post: c.tenantSettingsPost},
		{path: "/tenants/{id}/applications", access: Staff, get: c.tenantApplications, post: c.tenantApplicationsPost},
		{path: "/tenants/{id}/credentials", access: Staff, get: c.tenantCredentials, post: c.tenantCredentialsPost},
		{path: "/tenants/{id}/credentials/remove", access: Staff, get: toParent, post: c.tenantCredentialsRemove},
		{path: "/tenants/{id}/test", access: Staff, get: toParent, post: c.tenantTest},
	}
	return slices.Concat(all, c.tokensTable(), c.connectTable())
}

// toParent leads whoever asks for a page where there is only a form's address to the page of that form: a change of
// language does, after the form was refused.
func toParent(v *visit) error {
	v.goTo(v.r.URL.Path[:strings.LastIndexByte(v.r.URL.Path, '/')])
	return nil
}

// clouds are those that a tenant may be in.
// texts: tenants.cloud.public tenants.cloud.usgov tenants.cloud.usgov-dod tenants.cloud.china tenants.cloud.custom
var clouds = []string{"public", "usgov", "usgov-dod", "china", "custom"}

type tenantsData struct {
	List          desk.List[desk.Tenant]
	Pager         pager
	Text          string
	Organization  string
	Organizations []desk.Organization
	Filtered      bool
}

// tenants lists the tenants that somebody may see.
func (c *Console) tenants(v *visit) error {
	q := v.r.URL.Query()
	f := desk.TenantFilter{Page: desk.Page{After: q.Get("after")}, Text: q.Get("text")}
	f.Organization, _ = directory.ParseID(q.Get("organization"))
	list, err := c.config.Desk.Tenants(v.r.Context(), c.by(v), f)
	if err != nil {
		return err
	}
	orgs, err := c.config.Desk.Organizations(v.r.Context(), c.by(v))
	if err != nil {
		return err
	}
	if v.principal.Role() != directory.RoleOperator && v.principal.Role() != directory.RolePartner {
		return &directory.Error{Kind: directory.Forbidden}
	}
	c.render(v, http.StatusOK, "tenants", "tenants.title", tenantsData{list, v.pagerOf(len(list.Items), list.Total, list.Next), f.Text, q.Get("organization"),
		orgs.Items, f.Text != "" || !f.Organization.IsZero()})
	return nil
}

// tenantData is what every page of a tenant has.
type tenantData struct {
	T        desk.Tenant
	Tabs     []map[string]any
	Done     string
	Wrong    wrongs
	Operator bool
	Form     url.Values // what was typed
	Clients  []desk.Client
	Page     any // of the page itself
}

// Up is the way back to the list.
func (*tenantData) Up(title string) []map[string]any {
	return []map[string]any{{"Path": "/tenants", "Name": title}}
}

// Domains are the trusted domains, each in a line.
func (d *tenantData) Domains() string { return strings.Join(d.T.TrustedDomains, "\n") }

// WrongOf is what is wrong with the form of one credential.
func (d *tenantData) WrongOf(name string) wrongs {
	if d.Form.Get("for") != name {
		return nil
	}
	return d.Wrong
}

// Value is what a field of a form shows: what was typed, or else what is kept.
func (d *tenantData) Value(name, kept string) string {
	if d.Form != nil {
		return d.Form.Get(name)
	}
	return kept
}

// Chosen reports whether a field has a value: as it was typed, or else as it is kept.
func (d *tenantData) Chosen(name, value string, kept bool) bool {
	if d.Form != nil {
		return slices.Contains(d.Form[name], value)
	}
	return kept
}

// texts: tenants.tab.overview tenants.tab.settings tenants.tab.applications tenants.tab.credentials tenants.tab.tokens tenants.tab.clients tenants.tab.guide
var tenantTabs = []struct{ path, key string }{{"", "overview"}, {"/guide", "guide"}, {"/tokens", "tokens"}, {"/clients", "clients"},
	{"/applications", "applications"}, {"/credentials", "credentials"}, {"/settings", "settings"}}

// texts: done.tenant-created done.tenant-saved done.tenant-credential-set done.tenant-credential-removed done.tenant-token-revoked done.tenant-client-revoked done.tenant-link-revoked done.tenant-ids
var tenantDone = []string{"tenant-created", "tenant-saved", "tenant-credential-set", "tenant-credential-removed", "tenant-token-revoked", "tenant-client-revoked", "tenant-link-revoked", "tenant-ids"}

// tenantOf reads the tenant of a page. tab is the end of the address of its tab.
func (c *Console) tenantOf(v *visit, tab string) (*tenantData, error) {
	id, err := pathID(v, "id")
	if err != nil {
		return nil, err
	}
	t, err := c.config.Desk.Tenant(v.r.Context(), c.by(v), id)
	if err != nil {
		return nil, err
	}
	d := &tenantData{T: t, Done: v.flash(tenantDone...), Wrong: wrongs{}, Operator: v.principal.Role() == directory.RoleOperator}
	for _, x := range tenantTabs {
		d.Tabs = append(d.Tabs, map[string]any{"Path": "/tenants/" + id.String() + x.path, "Key": "tenants.tab." + x.key, "Current": x.path == tab})
	}
	return d, nil
}

func tenantPath(id directory.ID, rest string) string { return "/tenants/" + id.String() + rest }

// tenantRefused is refused, and takes what the role of somebody does not allow of a field for a matter of that field.
func tenantRefused(err error, fields map[string]string) (wrongs, int, bool) {
	var e *directory.Error
	if errors.As(err, &e) && e.Kind == directory.Forbidden && e.Field != "" {
		as := *e
		as.Kind = directory.Invalid
		w, _, ok := refused(&as, fields)
		return w, http.StatusForbidden, ok
	}
	return refused(err, fields)
}

// tenant shows a tenant at a glance.
func (c *Console) tenant(v *visit) error {
	d, err := c.tenantOf(v, "")
	if err != nil {
		return err
	}
	return c.showTenant(v, d)
}

func (c *Console) showTenant(v *visit, d *tenantData) error {
	list, err := c.config.Desk.Clients(v.r.Context(), c.by(v), d.T.ID)
	if err != nil {
		return err
	}
	for _, x := range list.Items {
		if x.Revoked == nil {
			d.Clients = append(d.Clients, x)
		}
	}
	c.render(v, http.StatusOK, "tenant", "tenants.tab.overview", d)
	return nil
}

// tenantTest tries the connections of a tenant; the answer shows what came of it.
func (c *Console) tenantTest(v *visit) error {
	d, err := c.tenantOf(v, "")
	if err != nil {
		return err
	}
	result, err := c.config.Desk.TestConnection(v.r.Context(), c.by(v), d.T.ID)
	if err != nil {
		return err
	}
	d.Page = &result
	return c.showTenant(v, d)
}

type tenantNewData struct {
	Organizations []desk.Organization
	URL           string
	Form          url.Values
	Wrong         wrongs
}

// Up is the way back to the list.
func (*tenantNewData) Up(title string) []map[string]any { return (*tenantData)(nil).Up(title) }

// Chosen reports whether an organization is chosen: when there is no other, it is.
func (d *tenantNewData) Chosen(id directory.ID) bool {
	return slices.Contains(d.Form["organizations"], id.String()) || d.Form == nil && len(d.Organizations) == 1
}

// tenantNew shows the form; the address may name an organization that the tenant is for.
func (c *Console) tenantNew(v *visit) error {
	var form url.Values
	if chosen := v.r.URL.Query()["organization"]; len(chosen) > 0 {
		form = url.Values{"organizations": chosen}
	}
	return c.showTenantNew(v, http.StatusOK, form, wrongs{})
}

func (c *Console) showTenantNew(v *visit, status int, form url.Values, w wrongs) error {
	if role := v.principal.Role(); role != directory.RoleOperator && role != directory.RolePartner {
		return &directory.Error{Kind: directory.Forbidden}
	}
	orgs, err := c.config.Desk.Organizations(v.r.Context(), c.by(v))
	if err != nil {
		return err
	}
	c.render(v, status, "tenantnew", "tenants.new", &tenantNewData{orgs.Items, c.config.URL(), form, w})
	return nil
}

func (c *Console) tenantNewPost(v *visit) error {
	form := v.r.PostForm
	ids, err := idsOf(form["organizations"])
	if err == nil {
		var t desk.Tenant
		t, err = c.config.Desk.CreateTenant(v.r.Context(), c.by(v), desk.TenantInput{Name: form.Get("name"), Organizations: ids,
			DirectoryID: strings.TrimSpace(form.Get("directoryId")), Label: form.Get("label")})
		if err == nil {
			v.done(tenantPath(t.ID, "/guide"), "tenant-created")
			return nil
		}
	}
	w, status, ok := tenantRefused(err, map[string]string{"signIn.label": "label"})
	if !ok {
		return err
	}
	return c.showTenantNew(v, status, form, w)
}

// idsOf reads the ids that were chosen in a form. Errors: Invalid.
func idsOf(texts []string) (ids []directory.ID, err error) {
	for _, text := range texts {
		id, ok := directory.ParseID(text)
		if !ok {
			return nil, &directory.Error{Kind: directory.Invalid, Field: "organizations", Detail: "choose from the list"}
		}
		ids = append(ids, id)
	}
	return ids, nil
}

type tenantSettingsData struct {
	Organizations []desk.Organization
	Extensions    string // as JSON
}

// Has reports whether a tenant has an organization.
func (d *tenantData) Has(id directory.ID) bool {
	return slices.ContainsFunc(d.T.Organizations, func(o desk.Named) bool { return o.ID == id })
}

func (c *Console) tenantSettings(v *visit) error {
	d, err := c.tenantOf(v, "/settings")
	if err != nil {
		return err
	}
	return c.showTenantSettings(v, http.StatusOK, d)
}

func (c *Console) showTenantSettings(v *visit, status int, d *tenantData) error {
	orgs, err := c.config.Desk.Organizations(v.r.Context(), c.by(v))
	if err != nil {
		return err
	}
	page := tenantSettingsData{Organizations: orgs.Items}
	if len(d.T.SCIM.Extensions) > 0 {
		text, err := json.Marshal(d.T.SCIM.Extensions)
		if err != nil {
			return err
		}
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, text, "", "  "); err != nil {
			return err
		}
		page.Extensions = pretty.String()
	}
	d.Page = &page
	c.render(v, status, "tenantsettings", "tenants.tab.settings", d)
	return nil
}

func (c *Console) tenantSettingsPost(v *visit) error {
	d, err := c.tenantOf(v, "/settings")
	if err != nil {
		return err
	}
	change, err := settingsOf(v.r.PostForm)
	if err == nil {
		_, err = c.config.Desk.ChangeTenant(v.r.Context(), c.by(v), d.T.ID, change)
	}
	if err == nil {
		v.done(tenantPath(d.T.ID, "/settings"), "tenant-saved")
		return nil
	}
	w, status, ok := tenantRefused(err, nil)
	if !ok {
		return err
	}
	d.Wrong, d.Form = w, v.r.PostForm
	return c.showTenantSettings(v, status, d)
}

// settingsOf reads the form of the settings. Errors: Invalid.
func settingsOf(form url.Values) (change desk.TenantChange, err error) {
	ids, err := idsOf(form["organizations"])
	if err != nil {
		return change, err
	}
	domains := strings.FieldsFunc(form.Get("trustedDomains"), func(r rune) bool { return strings.ContainsRune(", \r\n\t;", r) })
	extensions, err := desk.ParseExtensions(form.Get("extensions"))
	if err != nil {
		return change, err
	}
	figures := map[string]int{}
	for _, name := range []string{"requestsPerSecond", "burst", "userPatch", "groupPatch"} {
		n, ok := atoi(form.Get(name))
		if !ok {
			return change, &directory.Error{Kind: directory.Invalid, Field: name, Detail: "enter a whole number"}
		}
		figures[name] = n
	}
	name, directoryID, strict := form.Get("name"), strings.TrimSpace(form.Get("directoryId")), form.Get("strict") == "on"
	user, group, rate, burst := figures["userPatch"], figures["groupPatch"], figures["requestsPerSecond"], figures["burst"]
	return desk.TenantChange{Name: &name, Organizations: &ids, DirectoryID: &directoryID, TrustedDomains: &domains,
		SCIM: &desk.SCIMChange{Strict: &strict, UserPatch: &user, GroupPatch: &group, RequestsPerSecond: &rate, Burst: &burst, Extensions: &extensions}}, nil
}

func (c *Console) tenantApplications(v *visit) error {
	d, err := c.tenantOf(v, "/applications")
	if err != nil {
		return err
	}
	d.Page = clouds
	c.render(v, http.StatusOK, "tenantapplications", "tenants.tab.applications", d)
	return nil
}

func (c *Console) tenantApplicationsPost(v *visit) error {
	d, err := c.tenantOf(v, "/applications")
	if err != nil {
		return err
	}
	form := v.r.PostForm
	text := func(name string) *string {
		s := strings.TrimSpace(form.Get(name))
		return &s
	}
	change := desk.TenantChange{
		Graph: &desk.GraphChange{ClientID: text("graph.clientId"), Cloud: text("cloud"), LoginURL: text("graph.loginUrl"), GraphURL: text("graph.graphUrl"), UserName: text("graph.userName")},
		SignIn: &desk.SignInChange{ClientID: text("signIn.clientId"), Label: text("signIn.label"), Prompt: text("signIn.prompt"), DomainHint: text("signIn.domainHint"),
			Contact: text("signIn.contact"), PasswordURL: text("signIn.passwordUrl")},
	}
	_, err = c.config.Desk.ChangeTenant(v.r.Context(), c.by(v), d.T.ID, change)
	if err == nil {
		v.done(tenantPath(d.T.ID, "/applications"), "tenant-saved")
		return nil
	}
	w, status, ok := tenantRefused(err, map[string]string{"graph." + "cloud": "cloud"})
	if !ok {
		return err
	}
	d.Wrong, d.Form, d.Page = w, form, clouds
	c.render(v, status, "tenantapplications", "tenants.tab.applications", d)
	return nil
}

// credentialSlot is one of the credentials that a tenant may have.
// texts: tenants.for.graph tenants.for.sign-in tenants.kind.secret tenants.kind.certificate tenants.kind.federated
// texts: tenants.remove.graph tenants.remove.sign-in tenants.short.graph tenants.short.sign-in tenants.domains.operator tenants.domains.partner
// texts: tenants.state.live tenants.state.expiring tenants.state.expired tenants.state.revoked
type credentialSlot struct {
	Name     string
	Kept     *desk.Credential // nil: there is none
	ClientID string
}

func slotsOf(kept []desk.Credential, graph, signIn string) []credentialSlot {
	all := []credentialSlot{{directory.GraphCredential, nil, graph}, {directory.SignInCredential, nil, signIn}}
	for i := range all {
		if at := slices.IndexFunc(kept, func(x desk.Credential) bool { return x.Name == all[i].Name }); at >= 0 {
			all[i].Kept = &kept[at]
		}
	}
	return all
}

func (c *Console) tenantCredentials(v *visit) error {
	d, err := c.tenantOf(v, "/credentials")
	if err != nil {
		return err
	}
	d.Page = slotsOf(d.T.Credentials, d.T.Graph.ClientID, d.T.SignIn.ClientID)
	c.render(v, http.StatusOK, "tenantcredentials", "tenants.tab.credentials", d)
	return nil
}

// credentialOf reads the form of a credential.
func credentialOf(form url.Values) (name string, in desk.CredentialInput) {
	text := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	in = desk.CredentialInput{ClientID: text("clientId"), Expires: text("expires")}
	switch form.Get("kind") {
	case "certificate":
		in.Certificate, in.Expires = form.Get("certificate"), ""
	case "federated":
		in.TokenFile, in.Expires = text("tokenFile"), ""
	default:
		in.Secret = text("secret")
	}
	return form.Get("for"), in
}

// typed is a form as it is shown again: never with a secret.
func typed(form url.Values) url.Values {
	out := url.Values{}
	for name, values := range form {
		if name != "secret" && name != "certificate" {
			out[name] = values
		}
	}
	return out
}

func (c *Console) tenantCredentialsPost(v *visit) error {
	d, err := c.tenantOf(v, "/credentials")
	if err != nil {
		return err
	}
	name, in := credentialOf(v.r.PostForm)
	_, err = c.config.Desk.SetCredential(v.r.Context(), c.by(v), d.T.ID, name, in)
	if err == nil {
		v.done(tenantPath(d.T.ID, "/credentials"), "tenant-credential-set")
		return nil
	}
	w, status, ok := tenantRefused(err, credentialFields(name))
	if !ok {
		return err
	}
	d.Wrong, d.Form, d.Page = w, typed(v.r.PostForm), slotsOf(d.T.Credentials, d.T.Graph.ClientID, d.T.SignIn.ClientID)
	c.render(v, status, "tenantcredentials", "tenants.tab.credentials", d)
	return nil
}

// credentialFields are the fields of a form that those of the directory are, when a credential is set.
func credentialFields(name string) map[string]string {
	client := "graph."
	if name == directory.SignInCredential {
		client = "signIn."
	}
	return map[string]string{client + "clientId": "clientId", "credential": ""}
}

func (c *Console) tenantCredentialsRemove(v *visit) error {
	d, err := c.tenantOf(v, "/credentials")
	if err != nil {
		return err
	}
	if err := c.config.Desk.RemoveCredential(v.r.Context(), c.by(v), d.T.ID, v.r.PostForm.Get("for")); err != nil {
		return err
	}
	v.done(tenantPath(d.T.ID, "/credentials"), "tenant-credential-removed")
	return nil
}

// days reads how many days something lives; empty: 0.
func daysOf(form url.Values) (int, error) { return formFigure(form, "days") }

func formFigure(form url.Values, name string) (int, error) {
	n, ok := atoi(form.Get(name))
	if !ok || n < 0 {
		return 0, &directory.Error{Kind: directory.Invalid, Field: name, Detail: "enter a whole number, such as " + strconv.Itoa(180)}
	}
	return n, nil
}
