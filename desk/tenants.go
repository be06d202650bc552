package desk

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// Tenant is the technical link to one external directory.
type Tenant struct {
	ID             directory.ID      `json:"id"`
	Name           string            `json:"name" doc:"A part of the Tenant URL"`
	Organizations  []Named           `json:"organizations" nullable:"false" doc:"Organizations that may use it"`
	Environments   []Named           `json:"environments" nullable:"false" doc:"Environments whose integration uses it"`
	DirectoryID    string            `json:"directoryId,omitempty" doc:"Directory (tenant) id, a UUID"`
	TrustedDomains []string          `json:"trustedDomains" nullable:"false" doc:"E-mail domains whose internal accounts the directory may adopt"`
	SCIM           SCIMOptions       `json:"scim"`
	Graph          GraphApplication  `json:"graph"`
	SignIn         SignInApplication `json:"signIn"`
	Credentials    []Credential      `json:"credentials" nullable:"false"`
	LiveTokens     int               `json:"liveTokens" doc:"Secret Tokens that work"`
	TokenExpires   *time.Time        `json:"tokenExpires,omitempty" doc:"When the Secret Token ends that push uses: of the live ones that which was used last, before that the one that lasts longest"`
	TokenState     string            `json:"tokenState" enum:"none,live,expiring" doc:"Of that Secret Token; none: no token is live"`
	LiveClients    int               `json:"liveClients" doc:"OAuth clients that work"`
	LastPush       *time.Time        `json:"lastPush,omitempty" doc:"When the directory last asked for something, to the minute"`
	Users          int64             `json:"users" doc:"Users that the directory has provisioned"`
	Groups         int64             `json:"groups"`
	TenantURL      string            `json:"tenantUrl" doc:"Tenant URL for Entra, with the flag that makes it speak SCIM 2.0"`
	TokenURL       string            `json:"tokenUrl" doc:"Token endpoint of its OAuth clients"`
	Created        time.Time         `json:"created"`
}

// SCIMOptions are a tenant's choices for its SCIM endpoint.
type SCIMOptions struct {
	Strict            bool              `json:"strict" doc:"RFC 7644 to the letter"`
	UserPatch         int               `json:"userPatch" enum:"200,204" doc:"Status of the answer to PATCH of a user"`
	GroupPatch        int               `json:"groupPatch" enum:"200,204" doc:"Status of the answer to PATCH of a group"`
	RequestsPerSecond int               `json:"requestsPerSecond" doc:"0: the server's default"`
	Burst             int               `json:"burst" doc:"0: the server's default"`
	Extensions        []json.RawMessage `json:"extensions" nullable:"false" doc:"Custom extensions: SCIM Schema resources (RFC 7643 section 7)"`
}

// GraphApplication is the application of a tenant that synchronizes.
type GraphApplication struct {
	ClientID string `json:"clientId,omitempty" doc:"Application (client) id"`
	Cloud    string `json:"cloud" enum:"public,usgov,usgov-dod,china,custom"`
	LoginURL string `json:"loginUrl,omitempty" doc:"Of a custom cloud: its authority host"`
	GraphURL string `json:"graphUrl,omitempty" doc:"Of a custom cloud: Microsoft Graph, with the version"`
	UserName string `json:"userName" enum:"userPrincipalName,mail" doc:"What userName is made from"`
}

// SignInApplication is the application of a tenant that signs people in.
type SignInApplication struct {
	ClientID     string `json:"clientId,omitempty" doc:"Application (client) id; absent: nobody signs in with this tenant"`
	Label        string `json:"label,omitempty" doc:"What people know the organization as"`
	Prompt       string `json:"prompt,omitempty" enum:",login,select_account"`
	DomainHint   string `json:"domainHint,omitempty"`
	Contact      string `json:"contact,omitempty" doc:"Whom people ask"`
	PasswordURL  string `json:"passwordUrl,omitempty" doc:"Where people change their password"`
	RedirectURI  string `json:"redirectUri" doc:"To be registered in Entra"`
	SignedOutURI string `json:"signedOutUri" doc:"To be registered in Entra too, for signing out of the directory"`
	LogoutURL    string `json:"logoutUrl" doc:"Front-channel logout URL, to be registered in Entra"`
}

// TenantFilter selects tenants.
type TenantFilter struct {
	Page
	Organization directory.ID // zero: of each
	Text         string       // a part of the name, the label, a domain or the directory id, whatever the case
}

// Tenants lists the tenants that an actor may see, by name.
func (d *Desk) Tenants(ctx context.Context, by directory.Actor, f TenantFilter) (List[Tenant], error) {
	return view(ctx, d, func(sn *directory.Snapshot) (List[Tenant], error) {
		out := List[Tenant]{Items: []Tenant{}}
		all, err := sn.SeeTenants(by)
		if err != nil {
			return out, err
		}
		all = slices.DeleteFunc(all, func(t *directory.Tenant) bool { return !f.matches(t) })
		slices.SortFunc(all, func(a, b *directory.Tenant) int { return cmp.Compare(a.Name, b.Name) })
		out.Total = int64(len(all))
		for _, t := range all {
			if t.Name <= f.After {
				continue
			}
			if len(out.Items) == f.limit() {
				out.Next = out.Items[len(out.Items)-1].Name
				break
			}
			shown, err := d.tenant(sn, by, t)
			if err != nil {
				return out, err
			}
			out.Items = append(out.Items, shown)
		}
		return out, nil
	})
}

func (f *TenantFilter) matches(t *directory.Tenant) bool {
	if !f.Organization.IsZero() && !slices.Contains(t.OrganizationIDs, f.Organization) {
		return false
	}
	text := strings.ToLower(strings.TrimSpace(f.Text))
	return slices.ContainsFunc(append([]string{t.Name, t.SignIn.Label, t.DirectoryID}, t.TrustedDomains...), func(s string) bool { return strings.Contains(strings.ToLower(s), text) })
}

// Tenant returns a tenant. Errors: Forbidden; NotFound.
func (d *Desk) Tenant(ctx context.Context, by directory.Actor, id directory.ID) (Tenant, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (Tenant, error) {
		t, err := sn.SeeTenant(by, id)
		if err != nil {
			return Tenant{}, err
		}
		return d.tenant(sn, by, t)
	})
}

func (d *Desk) tenant(sn *directory.Snapshot, by directory.Actor, t *directory.Tenant) (out Tenant, err error) {
	out = Tenant{ID: t.ID, Name: t.Name, Organizations: []Named{}, Environments: []Named{}, DirectoryID: t.DirectoryID,
		TrustedDomains: append([]string{}, t.TrustedDomains...), Graph: graphOf(t), SignIn: d.signInOf(t), SCIM: scimOf(t),
		TenantURL: d.tenantURL(t), TokenURL: d.tokenURL(t), Created: t.Created}
	for _, id := range t.OrganizationIDs {
		o, err := sn.Organization(id)
		if err != nil {
			return out, err
		}
		out.Organizations = append(out.Organizations, Named{o.ID, o.Name})
	}
	envs, err := sn.Environments(directory.ID{})
	if err != nil {
		return out, err
	}
	for _, e := range envs {
		if e.Integration.Enabled && e.Integration.TenantID == t.ID {
			out.Environments = append(out.Environments, Named{e.ID, e.Name})
		}
	}
	if out.Credentials, err = d.credentials(sn, by, t.ID); err != nil {
		return out, err
	}
	tokens, err := sn.Tokens(t.ID, directory.SecretToken)
	if err != nil {
		return out, err
	}
	now := d.Now()
	for _, x := range tokens {
		if x.Live(now) {
			out.LiveTokens++
		}
	}
	out.TokenState = "none"
	if x := inUse(tokens, now); x != nil && x.Live(now) { // as the cards of environments warn
		out.TokenExpires, out.TokenState = orNil(x.Expires), d.stateOf(x.Expires, time.Time{})
	}
	clients, err := sn.Clients(t.ID)
	if err != nil {
		return out, err
	}
	for _, c := range clients {
		if d.client(c).State == stateLive {
			out.LiveClients++
		}
	}
	seen, err := sn.PushSeen(t.ID)
	if err != nil {
		return out, err
	}
	out.LastPush = orNil(seen)
	if out.Users, err = sn.UserCount(t.ID); err != nil {
		return out, err
	}
	out.Groups, err = sn.GroupCount(t.ID)
	return out, err
}

func graphOf(t *directory.Tenant) GraphApplication {
	g := t.Graph
	return GraphApplication{g.ClientID, cmp.Or(g.Cloud, string(pull.CloudPublic)), g.LoginURL, g.GraphURL, cmp.Or(g.UserName, "userPrincipalName")}
}

func (d *Desk) signInOf(t *directory.Tenant) SignInApplication {
	s, at := t.SignIn, d.URL()
	return SignInApplication{s.ClientID, s.Label, s.Prompt, s.DomainHint, s.Contact, s.PasswordURL,
		at + "/auth/callback", at + "/signed-out", at + "/auth/frontchannel-logout/" + t.ID.String()}
}

func scimOf(t *directory.Tenant) SCIMOptions {
	s := t.SCIM
	out := SCIMOptions{Strict: s.Strict, UserPatch: 200, GroupPatch: 204, RequestsPerSecond: s.RequestsPerSecond, Burst: s.Burst, Extensions: append([]json.RawMessage{}, s.Extensions...)}
	if s.UserPatchNoContent {
		out.UserPatch = 204
	}
	if s.GroupPatchContent {
		out.GroupPatch = 200
	}
	return out
}

// tenantURL is what is typed into Entra, with the flag that makes it speak SCIM 2.0.
func (d *Desk) tenantURL(t *directory.Tenant) string {
	return d.URL() + "/scim/" + t.Name + "/v2" + SCIMFlag
}

func (d *Desk) tokenURL(t *directory.Tenant) string {
	return d.URL() + "/scim/" + t.Name + "/oauth2/token"
}

// TenantInput is a new tenant.
type TenantInput struct {
	Name           string         `json:"name" maxLength:"63" doc:"A part of the Tenant URL: a-z, 0-9 and hyphen"`
	Organizations  []directory.ID `json:"organizations,omitempty" maxItems:"1000" doc:"Organizations that may use it; a partner names at least one of its own"`
	DirectoryID    string         `json:"directoryId,omitempty" maxLength:"64" doc:"Directory (tenant) id, a UUID"`
	TrustedDomains []string       `json:"trustedDomains,omitempty" maxItems:"1000" doc:"Operators alone may name any"`
	Label          string         `json:"label,omitempty" maxLength:"256" doc:"What people know the organization as"`
}

// CreateTenant makes a tenant. Errors: Forbidden; Invalid; NotFound for an organization; Exists for the name.
func (d *Desk) CreateTenant(ctx context.Context, by directory.Actor, in TenantInput) (Tenant, error) {
	t, err := d.Service.CreateTenant(ctx, by, directory.Tenant{Name: strings.TrimSpace(in.Name), OrganizationIDs: unique(in.Organizations), DirectoryID: in.DirectoryID,
		TrustedDomains: in.TrustedDomains, SignIn: directory.SignIn{Label: in.Label}})
	if err != nil {
		return Tenant{}, err
	}
	return d.Tenant(ctx, by, t.ID)
}

func unique(ids []directory.ID) (out []directory.ID) {
	for _, id := range ids {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// TenantChange changes a tenant. What is absent stays; what is empty goes back to its default.
type TenantChange struct {
	Name           *string         `json:"name,omitempty" maxLength:"63" doc:"A new name is a new Tenant URL: the old one stops working at once"`
	Organizations  *[]directory.ID `json:"organizations,omitempty" maxItems:"1000"`
	DirectoryID    *string         `json:"directoryId,omitempty" maxLength:"64"`
	TrustedDomains *[]string       `json:"trustedDomains,omitempty" maxItems:"1000" doc:"Operators alone may add one"`
	SCIM           *SCIMChange     `json:"scim,omitempty"`
	Graph          *GraphChange    `json:"graph,omitempty"`
	SignIn         *SignInChange   `json:"signIn,omitempty"`
}

// SCIMChange changes SCIMOptions.
type SCIMChange struct {
	Strict            *bool              `json:"strict,omitempty"`
	UserPatch         *int               `json:"userPatch,omitempty" enum:"200,204"`
	GroupPatch        *int               `json:"groupPatch,omitempty" enum:"200,204"`
	RequestsPerSecond *int               `json:"requestsPerSecond,omitempty"`
	Burst             *int               `json:"burst,omitempty"`
	Extensions        *[]json.RawMessage `json:"extensions,omitempty" maxItems:"20" doc:"All custom extensions, in place of those before"`
}

// GraphChange changes a GraphApplication.
type GraphChange struct {
	ClientID *string `json:"clientId,omitempty" maxLength:"64"`
	Cloud    *string `json:"cloud,omitempty" enum:"public,usgov,usgov-dod,china,custom"`
	LoginURL *string `json:"loginUrl,omitempty" maxLength:"1024" doc:"Operators alone"`
	GraphURL *string `json:"graphUrl,omitempty" maxLength:"1024" doc:"Operators alone"`
	UserName *string `json:"userName,omitempty" enum:"userPrincipalName,mail"`
}

// SignInChange changes a SignInApplication.
type SignInChange struct {
	ClientID    *string `json:"clientId,omitempty" maxLength:"64"`
	Label       *string `json:"label,omitempty" maxLength:"256"`
	Prompt      *string `json:"prompt,omitempty" enum:",login,select_account"`
	DomainHint  *string `json:"domainHint,omitempty" maxLength:"256"`
	Contact     *string `json:"contact,omitempty" maxLength:"256"`
	PasswordURL *string `json:"passwordUrl,omitempty" maxLength:"1024"`
}

// ChangeTenant changes a tenant. Errors: Forbidden; NotFound; Invalid; Exists; Conflict.
func (d *Desk) ChangeTenant(ctx context.Context, by directory.Actor, id directory.ID, in TenantChange) (Tenant, error) {
	if _, err := view(ctx, d, func(sn *directory.Snapshot) (*directory.Tenant, error) { return sn.MayTenant(by, id) }); err != nil {
		return Tenant{}, err // before anything is said of the input
	}
	if in.SCIM != nil && in.SCIM.Extensions != nil {
		if err := d.checkExtensions(*in.SCIM.Extensions); err != nil {
			return Tenant{}, err
		}
	}
	_, err := d.Service.SetTenant(ctx, by, id, func(t *directory.Tenant) error { return in.apply(t) })
	if err != nil {
		return Tenant{}, err
	}
	return d.Tenant(ctx, by, id)
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func (in *TenantChange) apply(t *directory.Tenant) error {
	if in.Name != nil {
		t.Name = strings.TrimSpace(*in.Name)
	}
	if in.Organizations != nil {
		t.OrganizationIDs = unique(*in.Organizations)
	}
	set(&t.DirectoryID, in.DirectoryID)
	set(&t.TrustedDomains, in.TrustedDomains)
	if g := in.Graph; g != nil {
		set(&t.Graph.ClientID, g.ClientID)
		set(&t.Graph.Cloud, g.Cloud)
		set(&t.Graph.LoginURL, g.LoginURL)
		set(&t.Graph.GraphURL, g.GraphURL)
		set(&t.Graph.UserName, g.UserName)
	}
	if s := in.SignIn; s != nil {
		set(&t.SignIn.ClientID, s.ClientID)
		set(&t.SignIn.Label, s.Label)
		set(&t.SignIn.Prompt, s.Prompt)
		set(&t.SignIn.DomainHint, s.DomainHint)
		set(&t.SignIn.Contact, s.Contact)
		set(&t.SignIn.PasswordURL, s.PasswordURL)
	}
	if in.SCIM == nil {
		return nil
	}
	return in.SCIM.apply(&t.SCIM)
}

func (in *SCIMChange) apply(s *directory.SCIMOptions) error {
	set(&s.Strict, in.Strict)
	set(&s.RequestsPerSecond, in.RequestsPerSecond)
	set(&s.Burst, in.Burst)
	set(&s.Extensions, in.Extensions)
	for _, x := range []struct {
		field  string
		status *int
		option *bool
		on     int // the status that the option stands for
	}{{"userPatch", in.UserPatch, &s.UserPatchNoContent, 204}, {"groupPatch", in.GroupPatch, &s.GroupPatchContent, 200}} {
		if x.status == nil {
			continue
		}
		if *x.status != 200 && *x.status != 204 {
			return fail(directory.Invalid, x.field, "the status of a PATCH is 200 or 204, not %d", *x.status)
		}
		*x.option = *x.status == x.on
	}
	return nil
}

func (d *Desk) checkExtensions(all []json.RawMessage) error {
	var urns []string
	for i, doc := range all {
		urn, err := d.CheckExtension(doc)
		switch {
		case directory.KindOf(err) == directory.Invalid:
			return fail(directory.Invalid, "extensions", "extension %d: %v", i+1, err)
		case err != nil:
			return err
		case slices.ContainsFunc(urns, func(u string) bool { return strings.EqualFold(u, urn) }):
			return fail(directory.Invalid, "extensions", "the extension %s is there twice", urn)
		}
		urns = append(urns, urn)
	}
	return nil
}

// ParseExtensions reads custom extensions as somebody types them: one SCIM schema as a JSON object, or a list of
// them. Errors: Invalid.
func ParseExtensions(text string) ([]json.RawMessage, error) {
	all := []json.RawMessage{}
	b := bytes.TrimSpace([]byte(text))
	var err error
	switch {
	case len(b) == 0:
		return all, nil
	case b[0] == '[':
		err = json.Unmarshal(b, &all)
	default:
		var one json.RawMessage
		err = json.Unmarshal(b, &one)
		all = append(all, one)
	}
	if err != nil {
		return nil, fail(directory.Invalid, "extensions", "this is no JSON: %v", err)
	}
	return all, nil
}
