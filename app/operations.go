package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/scim"
)

// Organizations and environments.

func (a *admin) createOrganization(ctx context.Context, by directory.Actor, in NameInput) (Organization, error) {
	o, err := a.service.CreateOrganization(ctx, by, in.Name)
	if err != nil {
		return Organization{}, err
	}
	return a.showOrganization(ctx, by, RefInput{o.ID.String()})
}

func (a *admin) listOrganizations(ctx context.Context, _ directory.Actor, _ None) (List[Organization], error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (List[Organization], error) {
		all, err := sn.Organizations()
		if err != nil {
			return List[Organization]{}, err
		}
		return collect(all, func(o *directory.Organization) (Organization, error) { return viewOrganization(sn, o) })
	})
}

func (a *admin) showOrganization(ctx context.Context, _ directory.Actor, in RefInput) (Organization, error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (Organization, error) {
		o, err := findOrganization(sn, in.Ref)
		if err != nil {
			return Organization{}, err
		}
		return viewOrganization(sn, o)
	})
}

func viewOrganization(sn *directory.Snapshot, o *directory.Organization) (Organization, error) {
	out := Organization{ID: o.ID.String(), Name: o.Name, Environments: []Named{}, Tenants: []Named{}, Created: o.Created}
	envs, err := sn.Environments(o.ID)
	if err != nil {
		return out, err
	}
	for _, e := range envs {
		out.Environments = append(out.Environments, Named{e.ID.String(), e.Name})
	}
	tenants, err := sn.Tenants()
	for _, t := range tenants {
		if slices.Contains(t.OrganizationIDs, o.ID) {
			out.Tenants = append(out.Tenants, Named{t.ID.String(), t.Name})
		}
	}
	return out, err
}

// collect turns records into a list that is whole.
func collect[T, V any](all []T, fn func(T) (V, error)) (List[V], error) {
	out := List[V]{Items: make([]V, 0, len(all)), Total: int64(len(all))}
	for _, v := range all {
		item, err := fn(v)
		if err != nil {
			return List[V]{}, err
		}
		out.Items = append(out.Items, item)
	}
	return out, nil
}

func (a *admin) createEnvironment(ctx context.Context, by directory.Actor, in EnvironmentInput) (Environment, error) {
	org, err := view(ctx, a.service, func(sn *directory.Snapshot) (*directory.Organization, error) {
		return findOrganization(sn, in.Organization)
	})
	if isNotFound(err) {
		err = fail(directory.NotFound, "organization", "there is no organization %q; create it with: bizzscim org create %q", in.Organization, in.Organization)
	}
	if err != nil {
		return Environment{}, err
	}
	e, err := a.service.CreateEnvironment(ctx, by, org.ID, in.Name)
	if err != nil {
		return Environment{}, err
	}
	return a.showEnvironment(ctx, by, RefInput{e.ID.String()})
}

func (a *admin) listEnvironments(ctx context.Context, _ directory.Actor, in EnvironmentFilter) (List[Environment], error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (List[Environment], error) {
		var org directory.ID
		if in.Organization != "" {
			o, err := findOrganization(sn, in.Organization)
			if err != nil {
				return List[Environment]{}, err
			}
			org = o.ID
		}
		all, err := sn.Environments(org)
		if err != nil {
			return List[Environment]{}, err
		}
		n := newNames(sn)
		return collect(all, func(e *directory.Environment) (Environment, error) { return viewEnvironment(n, e) })
	})
}

func (a *admin) showEnvironment(ctx context.Context, _ directory.Actor, in RefInput) (Environment, error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (Environment, error) {
		e, err := findEnvironment(sn, in.Ref)
		if err != nil {
			return Environment{}, err
		}
		out, err := viewEnvironment(newNames(sn), e)
		if err != nil || !e.Integration.Enabled || e.Integration.TenantID.IsZero() {
			return out, err
		}
		t, err := sn.Tenant(e.Integration.TenantID)
		if err == nil && t.SignIn.ClientID != "" {
			out.LoginURL = a.url() + "/login/environment/" + e.ID.String()
		}
		return out, err
	})
}

func viewEnvironment(n *names, e *directory.Environment) (out Environment, err error) {
	out = Environment{ID: e.ID.String(), Name: e.Name, Organization: n.organization(e.OrganizationID), Created: e.Created,
		Integration: Integration{Enabled: e.Integration.Enabled, Groups: orEmpty(e.Integration.Groups),
			DefaultMenus: orEmpty(e.Integration.DefaultMenus), Periodic: e.Integration.Periodic, Transitive: e.Integration.Transitive,
			Guests: e.Integration.Guests, Paused: e.Integration.Paused, Hold: e.Integration.Hold, Stops: Stops(e.Integration.Stops.OrDefaults())}}
	if !e.Integration.TenantID.IsZero() {
		t := n.tenant(e.Integration.TenantID)
		out.Integration.Tenant = &t
	}
	if out.Active, err = n.sn.EnvironmentAccessCount(e.ID, true); err != nil {
		return out, err
	}
	out.Inactive, err = n.sn.EnvironmentAccessCount(e.ID, false)
	return out, err
}

// orEmpty makes a list of what may be none: [] in JSON, never null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (a *admin) integrate(ctx context.Context, by directory.Actor, in IntegrationInput) (IntegrationResult, error) {
	change := directory.IntegrationInput{Enabled: in.Enabled, Periodic: in.Periodic, Transitive: in.Transitive, Guests: in.Guests, Paused: in.Paused, Hold: in.Hold}
	var tenant *directory.Tenant
	env, err := view(ctx, a.service, func(sn *directory.Snapshot) (*directory.Environment, error) {
		env, err := findEnvironment(sn, in.Environment)
		if err != nil {
			return nil, err
		}
		if in.Stops != (StopsChange{}) {
			stops := env.Integration.Stops
			set(&stops.RunCount, in.Stops.RunCount)
			set(&stops.RunPercent, in.Stops.RunPercent)
			set(&stops.DayCount, in.Stops.DayCount)
			set(&stops.DayPercent, in.Stops.DayPercent)
			change.Stops = &stops
		}
		if in.Tenant == nil {
			return env, nil
		}
		tenant, err = findTenant(sn, *in.Tenant)
		if err != nil {
			return nil, err
		}
		change.TenantID = &tenant.ID
		if !slices.Contains(tenant.OrganizationIDs, env.OrganizationID) {
			org := newNames(sn).organization(env.OrganizationID)
			return nil, fail(directory.Invalid, "tenant", "tenant %s may not be used by organization %s; allow it with: bizzscim tenant set %s --org %q", tenant.Name, org.Name, tenant.Name, org.Name)
		}
		return env, nil
	})
	if err != nil {
		return IntegrationResult{}, err
	}
	if in.Groups != nil {
		change.Groups = orEmpty(*in.Groups)
	}
	if in.DefaultMenus != nil {
		change.DefaultMenus = orEmpty(*in.DefaultMenus)
	}
	_, run, err := a.service.SetIntegration(ctx, by, env.ID, change)
	if err != nil {
		return IntegrationResult{}, err
	}
	return view(ctx, a.service, func(sn *directory.Snapshot) (out IntegrationResult, err error) {
		if env, err = sn.Environment(env.ID); err != nil {
			return out, err
		}
		n := newNames(sn)
		if out.Environment, err = viewEnvironment(n, env); err != nil {
			return out, err
		}
		if run != nil {
			r := viewDerivation(n, run)
			out.Derivation = &r
		}
		return out, nil
	})
}

func (a *admin) listDerivations(ctx context.Context, _ directory.Actor, in DerivationFilter) (List[Derivation], error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (List[Derivation], error) {
		out := List[Derivation]{Items: []Derivation{}, Total: -1}
		env, err := findEnvironment(sn, in.Environment)
		if err != nil {
			return out, err
		}
		limit, n := (&Page{Limit: in.Limit}).limit(), newNames(sn)
		err = sn.Derivations(env.ID, func(r *directory.Derivation) bool {
			out.Items = append(out.Items, viewDerivation(n, r))
			return len(out.Items) < limit
		})
		return out, err
	})
}

func (a *admin) showDerivation(ctx context.Context, _ directory.Actor, in DerivationRef) (Derivation, error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (Derivation, error) {
		env, err := findEnvironment(sn, in.Environment)
		if err != nil {
			return Derivation{}, err
		}
		id, ok := directory.ParseID(in.Derivation)
		if !ok {
			return Derivation{}, fail(directory.Invalid, "derivation", "%q is not the id of a derivation", in.Derivation)
		}
		r, err := sn.Derivation(env.ID, id)
		if err != nil {
			return Derivation{}, err
		}
		return viewDerivation(newNames(sn), r), nil
	})
}

func viewDerivation(n *names, r *directory.Derivation) Derivation {
	return Derivation{ID: r.ID.String(), Environment: n.environment(r.EnvironmentID), Trigger: r.Trigger, State: string(r.State),
		Started: r.Started, Ended: orNil(r.Ended), Done: r.Done, Granted: r.Granted, Reactivated: r.Reactivated, Deactivated: r.Deactivated}
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Tenants.

func (a *admin) createTenant(ctx context.Context, by directory.Actor, in TenantInput) (Tenant, error) {
	orgs, err := a.organizationIDs(ctx, in.Organizations)
	if err != nil {
		return Tenant{}, err
	}
	t, err := a.service.CreateTenant(ctx, by, directory.Tenant{Name: in.Name, OrganizationIDs: orgs, DirectoryID: in.DirectoryID, TrustedDomains: in.TrustedDomains})
	if err != nil {
		return Tenant{}, err
	}
	return a.showTenant(ctx, by, RefInput{t.ID.String()})
}

func (a *admin) organizationIDs(ctx context.Context, refs []string) (ids []directory.ID, err error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) ([]directory.ID, error) {
		for _, ref := range refs {
			o, err := findOrganization(sn, ref)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(ids, o.ID) {
				ids = append(ids, o.ID)
			}
		}
		return ids, nil
	})
}

func (a *admin) listTenants(ctx context.Context, _ directory.Actor, _ None) (List[Tenant], error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (List[Tenant], error) {
		all, err := sn.Tenants()
		if err != nil {
			return List[Tenant]{}, err
		}
		n := newNames(sn)
		return collect(all, func(t *directory.Tenant) (Tenant, error) { return a.viewTenant(n, t) })
	})
}

func (a *admin) showTenant(ctx context.Context, _ directory.Actor, in RefInput) (Tenant, error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (Tenant, error) {
		t, err := findTenant(sn, in.Ref)
		if err != nil {
			return Tenant{}, err
		}
		return a.viewTenant(newNames(sn), t)
	})
}

func (a *admin) tokenURL(name string) string { return a.url() + scimPrefix + name + "/oauth2/token" }

func (a *admin) viewTenant(n *names, t *directory.Tenant) (out Tenant, err error) {
	out = Tenant{ID: t.ID.String(), Name: t.Name, TenantURL: a.url() + scimPrefix + t.Name + "/v2" + desk.SCIMFlag, TokenURL: a.tokenURL(t.Name),
		Organizations: []Named{}, Environments: []Named{}, DirectoryID: t.DirectoryID, TrustedDomains: orEmpty(t.TrustedDomains),
		Strict: t.SCIM.Strict, UserPatch: 200, GroupPatch: 204, RequestsPerSecond: t.SCIM.RequestsPerSecond, Burst: t.SCIM.Burst,
		Extensions: []string{}, Created: t.Created,
		Graph: Graph{Cloud: cmp.Or(t.Graph.Cloud, string(pull.CloudPublic)), LoginURL: t.Graph.LoginURL, GraphURL: t.Graph.GraphURL,
			ClientID: t.Graph.ClientID, UserName: cmp.Or(t.Graph.UserName, "userPrincipalName")}}
	out.SignIn = a.viewSignIn(t)
	if out.Credential, err = a.viewTenantCredential(n.sn, t, directory.GraphCredential); err != nil {
		return out, err
	}
	if out.SignInCredential, err = a.viewTenantCredential(n.sn, t, directory.SignInCredential); err != nil {
		return out, err
	}
	if t.SCIM.UserPatchNoContent {
		out.UserPatch = 204
	}
	if t.SCIM.GroupPatchContent {
		out.GroupPatch = 200
	}
	for _, id := range t.OrganizationIDs {
		out.Organizations = append(out.Organizations, n.organization(id))
	}
	for _, doc := range t.SCIM.Extensions {
		s, err := scim.ParseSchema(doc)
		if err != nil {
			return out, err
		}
		out.Extensions = append(out.Extensions, s.ID)
	}
	envs, err := n.sn.Environments(directory.ID{})
	if err != nil {
		return out, err
	}
	for _, e := range envs {
		if e.Integration.Enabled && e.Integration.TenantID == t.ID {
			out.Environments = append(out.Environments, Named{e.ID.String(), e.Name})
		}
	}
	if out.Users, err = n.sn.UserCount(t.ID); err != nil {
		return out, err
	}
	out.Groups, err = n.sn.GroupCount(t.ID)
	return out, err
}

func (a *admin) setTenant(ctx context.Context, by directory.Actor, in TenantChange) (Tenant, error) {
	t, err := a.tenant(ctx, in.Ref)
	if err != nil {
		return Tenant{}, err
	}
	var orgs []directory.ID
	if in.Organizations != nil {
		if orgs, err = a.organizationIDs(ctx, *in.Organizations); err != nil {
			return Tenant{}, err
		}
	}
	_, err = a.service.SetTenant(ctx, by, t.ID, func(t *directory.Tenant) error {
		if in.Organizations != nil {
			t.OrganizationIDs = orgs
		}
		set(&t.DirectoryID, in.DirectoryID)
		set(&t.TrustedDomains, in.TrustedDomains)
		set(&t.SCIM.Strict, in.Strict)
		set(&t.SCIM.RequestsPerSecond, in.RequestsPerSecond)
		set(&t.SCIM.Burst, in.Burst)
		set(&t.Graph.Cloud, in.Graph.Cloud)
		set(&t.Graph.LoginURL, in.Graph.LoginURL)
		set(&t.Graph.GraphURL, in.Graph.GraphURL)
		set(&t.Graph.ClientID, in.Graph.ClientID)
		set(&t.Graph.UserName, in.Graph.UserName)
		in.SignIn.apply(&t.SignIn)
		if err := setStatus(&t.SCIM.UserPatchNoContent, "userPatch", in.UserPatch, 204); err != nil {
			return err
		}
		if err := setStatus(&t.SCIM.GroupPatchContent, "groupPatch", in.GroupPatch, 200); err != nil {
			return err
		}
		return setExtensions(t, in)
	})
	if err != nil {
		return Tenant{}, err
	}
	return a.showTenant(ctx, by, RefInput{t.ID.String()})
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// setStatus sets an option that is about the status of an answer, 200 or 204; on is the status
// that stands for true.
func setStatus(option *bool, field string, status *int, on int) error {
	if status == nil {
		return nil
	}
	if *status != 200 && *status != 204 {
		return fail(directory.Invalid, field, "the status of a PATCH is 200 or 204, not %d", *status)
	}
	*option = *status == on
	return nil
}

func setExtensions(t *directory.Tenant, in TenantChange) error {
	remove := func(urn string) bool {
		before := len(t.SCIM.Extensions)
		t.SCIM.Extensions = slices.DeleteFunc(slices.Clone(t.SCIM.Extensions), func(doc json.RawMessage) bool {
			s, err := scim.ParseSchema(doc)
			return err == nil && strings.EqualFold(s.ID, urn)
		})
		return len(t.SCIM.Extensions) < before
	}
	for _, urn := range in.RemoveExtensions {
		if !remove(urn) {
			return fail(directory.NotFound, "extension", "tenant %s has no extension %q; see: bizzscim tenant show %s", t.Name, urn, t.Name)
		}
	}
	for _, doc := range in.Extensions {
		urn, err := checkExtension(doc)
		if err != nil {
			return err
		}
		remove(urn)
		t.SCIM.Extensions = append(t.SCIM.Extensions, doc)
	}
	return nil
}

// checkExtension reads a custom extension and returns its URN. Errors: Invalid.
func checkExtension(doc []byte) (urn string, err error) {
	s, err := scim.ParseSchema(doc)
	var e *scim.Error
	switch {
	case errors.As(err, &e):
		return "", fail(directory.Invalid, "extension", "the extension is not acceptable: %s", e.Detail)
	case err != nil:
		return "", err
	}
	return s.ID, nil
}

func (a *admin) tenant(ctx context.Context, ref string) (*directory.Tenant, error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (*directory.Tenant, error) { return findTenant(sn, ref) })
}

// Tokens.

func (a *admin) createToken(ctx context.Context, by directory.Actor, in TokenInput) (out NewToken, err error) {
	t, err := a.tenant(ctx, in.Tenant)
	if err != nil {
		return out, err
	}
	life, err := parseLife("life", in.Life)
	if err != nil {
		return out, err
	}
	s := auth.NewSecret()
	token, err := a.service.CreateToken(ctx, by, t.ID, directory.NewToken{Name: in.Name, Hash: s.Hash, Hint: s.Hint, Life: life})
	if err != nil {
		return out, err
	}
	return NewToken{s.Text, a.viewToken(t, token)}, nil
}

func (a *admin) viewToken(tenant *directory.Tenant, t *directory.Token) Token {
	state := "live"
	switch {
	case !t.Revoked.IsZero():
		state = "revoked"
	case !t.Live(a.now()):
		state = "expired"
	}
	return Token{ID: t.ID.String(), Tenant: Named{tenant.ID.String(), tenant.Name}, Name: t.Name, Hint: t.Hint, State: state, Created: t.Created,
		CreatedBy: t.CreatedBy, Expires: t.Expires, Revoked: orNil(t.Revoked), LastUsed: orNil(t.LastUsed), LastUsedFrom: t.LastUsedFrom}
}

func (a *admin) listTokens(ctx context.Context, _ directory.Actor, in RefInput) (List[Token], error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (List[Token], error) {
		t, err := findTenant(sn, in.Ref)
		if err != nil {
			return List[Token]{}, err
		}
		all, err := sn.Tokens(t.ID, directory.SecretToken)
		if err != nil {
			return List[Token]{}, err
		}
		return collect(all, func(token *directory.Token) (Token, error) { return a.viewToken(t, token), nil })
	})
}

func (a *admin) token(ctx context.Context, in TokenRef) (tenant *directory.Tenant, token *directory.Token, err error) {
	err = a.service.View(ctx, func(sn *directory.Snapshot) (err error) {
		if tenant, err = findTenant(sn, in.Tenant); err != nil {
			return err
		}
		token, err = a.findToken(sn, tenant, in.Token)
		return err
	})
	return tenant, token, err
}

func (a *admin) rotateToken(ctx context.Context, by directory.Actor, in TokenRotation) (out NewToken, err error) {
	tenant, old, err := a.token(ctx, in.TokenRef)
	if err != nil {
		return out, err
	}
	life, err := parseLife("life", in.Life)
	if err != nil {
		return out, err
	}
	overlap, err := parseOverlap(in.Overlap)
	if err != nil {
		return out, err
	}
	s := auth.NewSecret()
	token, err := a.service.RotateToken(ctx, by, tenant.ID, old.ID, directory.NewToken{Name: in.Name, Hash: s.Hash, Hint: s.Hint, Life: life}, overlap)
	if err != nil {
		return out, err
	}
	return NewToken{s.Text, a.viewToken(tenant, token)}, nil
}

func (a *admin) revokeToken(ctx context.Context, by directory.Actor, in TokenRef) (Token, error) {
	tenant, token, err := a.token(ctx, in)
	if err != nil {
		return Token{}, err
	}
	if err := a.service.RevokeToken(ctx, by, tenant.ID, token.ID); err != nil {
		return Token{}, err
	}
	return view(ctx, a.service, func(sn *directory.Snapshot) (Token, error) {
		token, err := sn.Token(tenant.ID, token.ID)
		if err != nil {
			return Token{}, err
		}
		return a.viewToken(tenant, token), nil
	})
}

// defaultOverlap is how long an old secret works beside the new one: long enough for somebody to
// paste the new one into Entra, where a job may run for an hour on the old one.
const defaultOverlap = 24 * time.Hour

func parseOverlap(s string) (time.Duration, error) {
	if s == "" {
		return defaultOverlap, nil
	}
	return parseLife("overlap", s)
}

// parseLife reads a length of time: as Go writes it, or a number of days such as 180d. Empty is 0.
func parseLife(field, s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := ParseDuration(s)
	if err != nil {
		return 0, fail(directory.Invalid, field, "%q is not a length of time such as 180d or 12h", s)
	}
	return d, nil
}

// ParseDuration reads what time.ParseDuration reads, and whole days such as "180d".
func ParseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		d, err := time.ParseDuration(days + "h")
		if err != nil || d > (1<<63-1)/24 || d < -(1<<63-1)/24 {
			return 0, errors.New("app: not a number of days")
		}
		return 24 * d, nil
	}
	return time.ParseDuration(s)
}

// OAuth clients.

func (a *admin) createClient(ctx context.Context, by directory.Actor, in ClientInput) (out NewClient, err error) {
	t, err := a.tenant(ctx, in.Tenant)
	if err != nil {
		return out, err
	}
	n := directory.NewClient{ClientID: in.ClientID}
	if n.ClientID == "" {
		n.ClientID = NewID().String()
	}
	if n.TokenLife, err = parseLife("tokenLife", in.TokenLife); err != nil {
		return out, err
	}
	if f := in.Federated; f != nil {
		n.Federated = &directory.Federated{Issuer: f.Issuer, Audience: f.Audience, Subject: f.Subject}
	}
	if !in.NoSecret {
		life, err := parseLife("life", in.Life)
		if err != nil {
			return out, err
		}
		s := auth.NewSecret()
		n.Secret, out.Secret = &directory.NewToken{Hash: s.Hash, Hint: s.Hint, Life: life}, s.Text
	}
	c, err := a.service.CreateClient(ctx, by, t.ID, n)
	if err != nil {
		return NewClient{}, err
	}
	out.Client = a.viewClient(t, c)
	return out, nil
}

func (a *admin) viewClient(t *directory.Tenant, c *directory.Client) OAuthClient {
	out := OAuthClient{ClientID: c.ClientID, Tenant: Named{t.ID.String(), t.Name}, TokenURL: a.tokenURL(t.Name), State: "expired", Secrets: []ClientSecret{},
		TokenLife: c.TokenLife.String(), Created: c.Created, Revoked: orNil(c.Revoked)}
	for _, s := range c.Secrets {
		if a.now().Before(s.Expires) {
			out.State = "live"
			out.Secrets = append(out.Secrets, ClientSecret{Hint: s.Hint, Created: s.Created, Expires: s.Expires})
		}
	}
	if f := c.Federated; f != nil {
		out.State, out.Federated = "live", &Federated{Issuer: f.Issuer, Audience: f.Audience, Subject: f.Subject}
	}
	if out.Revoked != nil {
		out.State = "revoked"
	}
	return out
}

func (a *admin) listClients(ctx context.Context, _ directory.Actor, in RefInput) (List[OAuthClient], error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (List[OAuthClient], error) {
		t, err := findTenant(sn, in.Ref)
		if err != nil {
			return List[OAuthClient]{}, err
		}
		all, err := sn.Clients(t.ID)
		if err != nil {
			return List[OAuthClient]{}, err
		}
		return collect(all, func(c *directory.Client) (OAuthClient, error) { return a.viewClient(t, c), nil })
	})
}

func (a *admin) client(ctx context.Context, in ClientRef) (tenant *directory.Tenant, client *directory.Client, err error) {
	err = a.service.View(ctx, func(sn *directory.Snapshot) (err error) {
		if tenant, err = findTenant(sn, in.Tenant); err != nil {
			return err
		}
		client, err = findClient(sn, tenant, in.ClientID)
		return err
	})
	return tenant, client, err
}

func (a *admin) rotateClient(ctx context.Context, by directory.Actor, in ClientRotation) (out NewClient, err error) {
	t, c, err := a.client(ctx, in.ClientRef)
	if err != nil {
		return out, err
	}
	life, err := parseLife("life", in.Life)
	if err != nil {
		return out, err
	}
	overlap, err := parseOverlap(in.Overlap)
	if err != nil {
		return out, err
	}
	s := auth.NewSecret()
	c, err = a.service.RotateClient(ctx, by, t.ID, c.ClientID, directory.NewToken{Hash: s.Hash, Hint: s.Hint, Life: life}, overlap)
	if err != nil {
		return out, err
	}
	return NewClient{s.Text, a.viewClient(t, c)}, nil
}

func (a *admin) revokeClient(ctx context.Context, by directory.Actor, in ClientRef) (OAuthClient, error) {
	t, c, err := a.client(ctx, in)
	if err != nil {
		return OAuthClient{}, err
	}
	if err := a.service.RevokeClient(ctx, by, t.ID, c.ClientID); err != nil {
		return OAuthClient{}, err
	}
	_, c, err = a.client(ctx, ClientRef{t.ID.String(), c.ClientID})
	if err != nil {
		return OAuthClient{}, err
	}
	return a.viewClient(t, c), nil
}
