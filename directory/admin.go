package directory

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

func cleanName(field, name string) (string, error) { return cleanText(field, "name", name, disguises) }

// cleanNameOrNone is cleanName for a name that may be left out.
func cleanNameOrNone(field, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	return cleanName(field, name)
}

// cleanText cuts the spaces at the ends of a text and refuses an empty one, one of more than 256 bytes, and one that holds a
// character that refused names. what is what people call it.
func cleanText(field, what, text string, refused func(rune) bool) (string, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return "", failf(Invalid, field, "a %s is required", what)
	case len(text) > 256:
		return "", failf(Invalid, field, "the %s is longer than 256 bytes", what)
	case !utf8.ValidString(text):
		return "", failf(Invalid, field, "the %s is not UTF-8", what)
	case strings.ContainsFunc(text, refused):
		return "", failf(Invalid, field, "the %s holds a control character, or one that does not show", what)
	}
	return text, nil
}

// disguises reports whether a character does not show or changes how its neighbours show: names that people choose by must
// not look like others. The joiners of scripts and of pictures (U+200C, U+200D) are part of names.
func disguises(r rune) bool {
	return r < ' ' || r >= 0x7f && r != '\u200c' && r != '\u200d' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// disguisesText is as disguises, for a text of words in any direction: the marks of right and left (U+200E, U+200F) belong there.
func disguisesText(r rune) bool { return r != '\u200e' && r != '\u200f' && disguises(r) }

// CreateOrganization makes an organization. Errors: Invalid; Exists.
func (s *Service) CreateOrganization(ctx context.Context, by Actor, name string) (*Organization, error) {
	if err := require(by, RoleOperator); err != nil {
		return nil, err
	}
	name, err := cleanName("name", name)
	if err != nil {
		return nil, err
	}
	var o *Organization
	err = s.update(ctx, by, func(c *change) error {
		o = &Organization{ID: s.newID(), Name: name, Created: c.now}
		if err := c.insert(tableOrganizationName, []byte(c.fold(name)), o.ID[:], failf(Exists, "name", "an organization named %q already exists", name)); err != nil {
			return err
		}
		if err := c.put(row{tableOrganizations, key(o.ID), encodeJSON(o)}); err != nil {
			return err
		}
		return c.audit("organization.create", name, o)
	})
	if err != nil {
		return nil, err
	}
	return o, nil
}

// CreateEnvironment makes an environment of an organization. Errors: Invalid; NotFound; Exists.
func (s *Service) CreateEnvironment(ctx context.Context, by Actor, organization ID, name string) (*Environment, error) {
	if err := require(by, RoleOperator); err != nil {
		return nil, err
	}
	name, err := cleanName("name", name)
	if err != nil {
		return nil, err
	}
	var e *Environment
	err = s.update(ctx, by, func(c *change) error {
		if _, err := c.Organization(organization); err != nil {
			return err
		}
		e = &Environment{ID: s.newID(), OrganizationID: organization, Name: name, Created: c.now}
		if err := c.insert(tableEnvironmentName, textKey(organization, c.fold(name)), e.ID[:], failf(Exists, "name", "the organization already has an environment named %q", name)); err != nil {
			return err
		}
		if err := c.put(row{tableEnvironments, key(e.ID), encodeJSON(e)}); err != nil {
			return err
		}
		return c.audit("environment.create", name, e)
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// tenantName is what a path segment of the Tenant URL may be.
var tenantName = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

// Bounds of a tenant's SCIM options.
const (
	MinRequestsPerSecond = 25 // what Microsoft asks a provisioning endpoint to bear, per tenant
	MaxRequestsPerSecond = 100_000
)

// Bounds of tenants. Each sign-in by e-mail address looks through the tenants there are, and each change of one is
// audited for good.
const (
	maxExtensions          = 64 << 10 // bytes of a tenant's custom extensions
	maxTenantOrganizations = 1000     // of a tenant
	maxTrustedDomains      = 1000     // of a tenant
	maxTenants             = 50       // of an organization, that anybody but an operator adds to
	maxAudited             = 4 << 10  // bytes of one value in the audit; of a larger one there is the digest
)

// brief is a value as the audit names it: a large one by its digest, which tells whether it changed.
func brief(v any) any {
	b := encodeJSON(v)
	if len(b) <= maxAudited {
		return v
	}
	sum := sha256.Sum256(b)
	return map[string]any{"sha256": hex.EncodeToString(sum[:]), "bytes": len(b)}
}

// audited is a tenant as the audit names it.
func audited(t *Tenant) any {
	short := *t
	short.SCIM.Extensions = slices.Clone(t.SCIM.Extensions)
	for i, x := range short.SCIM.Extensions {
		short.SCIM.Extensions[i] = encodeJSON(brief(x))
	}
	return &short
}

// checkTenant checks what a tenant is to be; before is what it was. Texts that stay are let be: they may be older than a rule.
func checkTenant(t, before *Tenant) error {
	if !tenantName.MatchString(t.Name) {
		return failf(Invalid, "name", "a tenant's name is part of its URL: 1 to 63 of a-z, 0-9 and hyphen, with no hyphen at the ends")
	}
	if r := t.SCIM.RequestsPerSecond; r != 0 && (r < MinRequestsPerSecond || r > MaxRequestsPerSecond) {
		return failf(Invalid, "requestsPerSecond", "requests per second must be between %d and %d", MinRequestsPerSecond, MaxRequestsPerSecond)
	}
	if b := t.SCIM.Burst; b != 0 && (b < MinRequestsPerSecond || b > MaxRequestsPerSecond) {
		return failf(Invalid, "burst", "the burst must be between %d and %d", MinRequestsPerSecond, MaxRequestsPerSecond)
	}
	size := 0
	for _, x := range t.SCIM.Extensions {
		if size += len(x); size > maxExtensions {
			return failf(Invalid, "extensions", "the extensions are larger than %d KiB together", maxExtensions>>10)
		}
		if !json.Valid(x) {
			return failf(Invalid, "extensions", "an extension is not JSON")
		}
	}
	if len(t.OrganizationIDs) > maxTenantOrganizations || len(t.TrustedDomains) > maxTrustedDomains {
		return failf(Invalid, "", "a tenant has at most %d organizations and %d trusted domains", maxTenantOrganizations, maxTrustedDomains)
	}
	t.TrustedDomains = slices.Clone(t.TrustedDomains)
	for i, d := range t.TrustedDomains {
		d = strings.ToLower(strings.TrimSpace(d))
		if d == "" || strings.ContainsAny(d, "@ /*") || !strings.Contains(d, ".") {
			return failf(Invalid, "trustedDomains", "%q is not an e-mail domain", d)
		}
		t.TrustedDomains[i] = d
	}
	if t.DirectoryID != "" {
		t.DirectoryID = strings.ToLower(strings.TrimSpace(t.DirectoryID))
		if _, ok := ParseID(t.DirectoryID); !ok {
			return failf(Invalid, "directoryId", "%q is not a directory (tenant) id", t.DirectoryID)
		}
	}
	if err := t.SignIn.check(t.DirectoryID, &before.SignIn); err != nil {
		return err
	}
	return t.Graph.check(t.DirectoryID)
}

// check checks the application that synchronizes a directory. Its URLs are where a secret is sent:
// those of Microsoft's clouds are not for anybody to set.
func (g *Graph) check(directory string) error {
	switch g.Cloud {
	case "", "public", "usgov", "usgov-dod", "china":
		if g.LoginURL != "" || g.GraphURL != "" {
			return failf(Invalid, "graph.cloud", "the URLs of this cloud are known: only a custom cloud has its own")
		}
	case "custom":
		for _, u := range []struct{ field, text string }{{"graph.loginUrl", g.LoginURL}, {"graph.graphUrl", g.GraphURL}} {
			if err := checkHTTPS(u.field, u.text); err != nil {
				return err
			}
		}
	default:
		return failf(Invalid, "graph.cloud", "a cloud is public, usgov, usgov-dod, china or custom, not %q", g.Cloud)
	}
	if g.ClientID = strings.ToLower(strings.TrimSpace(g.ClientID)); g.ClientID != "" {
		if _, ok := ParseID(g.ClientID); !ok {
			return failf(Invalid, "graph.clientId", "%q is not an application (client) id", g.ClientID)
		}
		if directory == "" {
			return failf(Invalid, "directoryId", "the application (client) id needs the directory (tenant) id beside it")
		}
	}
	switch g.UserName {
	case "", "userPrincipalName", "mail":
		return nil
	}
	return failf(Invalid, "graph.userName", "userName is made from userPrincipalName or mail, not from %q", g.UserName)
}

func checkHTTPS(field, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.ContainsAny(text, "?#") {
		return failf(Invalid, field, "a custom cloud needs an https URL here, without user, query or fragment")
	}
	return nil
}

// CreateTenant makes a tenant. Its id and creation time are set here. A partner makes one of its own
// organizations, without trusted domains. Errors: Forbidden; Invalid; NotFound for an organization; Exists.
func (s *Service) CreateTenant(ctx context.Context, by Actor, t Tenant) (*Tenant, error) {
	if err := require(by, RolePartner, RoleOperator); err != nil {
		return nil, err
	}
	if err := checkTenant(&t, &Tenant{}); err != nil {
		return nil, err
	}
	if err := mayPoint(by, Graph{}, t.Graph); err != nil {
		return nil, err
	}
	if err := mayTrust(by, nil, t.TrustedDomains); err != nil {
		return nil, err
	}
	err := s.update(ctx, by, func(c *change) error {
		t.ID, t.Created = s.newID(), c.now
		if err := c.mayOrganizations(t.OrganizationIDs); err != nil {
			return err
		}
		if err := c.roomForTenant(nil, t.OrganizationIDs); err != nil {
			return err
		}
		if err := c.insert(tableTenantName, []byte(c.fold(t.Name)), t.ID[:], failf(Exists, "name", "a tenant named %q already exists", t.Name)); err != nil {
			return err
		}
		if err := c.put(row{tableTenants, key(t.ID), encodeJSON(t)}); err != nil {
			return err
		}
		return c.audit("tenant.create", t.Name, audited(&t))
	})
	if err != nil {
		return nil, err
	}
	return &t, nil
}

// roomForTenant refuses one tenant more of an organization that has many, unless an operator makes it so.
func (c *change) roomForTenant(before, after []ID) error {
	more := slices.DeleteFunc(slices.Clone(after), func(id ID) bool { return slices.Contains(before, id) })
	if c.by.Role == RoleOperator || len(more) == 0 {
		return nil
	}
	all, err := c.Tenants()
	if err != nil {
		return err
	}
	for _, id := range more {
		n := 0
		for _, t := range all {
			n += count(slices.Contains(t.OrganizationIDs, id))
		}
		if n >= maxTenants {
			return failf(Conflict, "organizations", "the organization has %d tenants already: an operator alone adds more", n)
		}
	}
	return nil
}

// mayPoint refuses the hosts of a custom cloud from anybody but an operator: the server sends
// requests there, with proofs of its own.
func mayPoint(by Actor, before, after Graph) error {
	same := before.Cloud == after.Cloud && before.LoginURL == after.LoginURL && before.GraphURL == after.GraphURL
	if same || after.LoginURL == "" && after.GraphURL == "" {
		return nil
	}
	if err := require(by, RoleOperator); err != nil {
		return failf(Forbidden, "cloud", "an operator alone may name the hosts of a custom cloud")
	}
	return nil
}

// mayMove refuses other hosts as long as a credential is kept: what was entered for one host is not sent to another, nor is a
// token that it opens. Who changes the hosts has to know the secret, and enters it again.
func (c *change) mayMove(before, after *Tenant) error {
	hosts := func(t *Tenant) [3]string {
		return [3]string{cmp.Or(t.Graph.Cloud, "public"), sameURL(t.Graph.LoginURL), sameURL(t.Graph.GraphURL)}
	}
	if hosts(before) == hosts(after) {
		return nil
	}
	kept := false
	err := c.r.Scan(tableCredentials, Range{Prefix: key(before.ID)}, func(_, _ []byte) bool { kept = true; return false })
	if err != nil || !kept {
		return err
	}
	return failf(Conflict, "graph.cloud", "the credentials of this tenant are for the cloud that it is in: remove them first, and enter them again for the other one")
}

// sameURL returns the one form of the texts that mean a URL.
func sameURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return text
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	return strings.TrimSuffix(u.String(), "/")
}

// mayTrust refuses a domain more from anybody but an operator: the directory may adopt the internal
// accounts of a trusted domain, and is offered to its people for signing in.
func mayTrust(by Actor, before, after []string) error {
	more := slices.ContainsFunc(after, func(d string) bool { return !slices.Contains(before, d) })
	if more && by.Role != RoleOperator {
		return failf(Forbidden, "trustedDomains", "an operator alone may add a trusted domain: ask one to confirm that it belongs to the organization")
	}
	return nil
}

// SetTenant changes a tenant: fn edits a copy. Id and creation time stay. A new name is a new Tenant URL: the old one
// is gone at once. An organization
// that still has an environment joined to the tenant cannot be taken from it. A partner changes a tenant
// whose organizations are all its own, and they stay so; it adds no trusted domain. Whoever came by a setup link changes what
// mayConnect says. The sessions of those
// who signed in with the tenant end when nobody may do so any more or its directory is another one.
// Errors: Forbidden; Invalid; NotFound; Conflict.
func (s *Service) SetTenant(ctx context.Context, by Actor, id ID, fn func(*Tenant) error) (*Tenant, error) {
	var after *Tenant
	err := s.update(ctx, by, func(c *change) error {
		before, err := c.maySetUp(id)
		if err != nil {
			return err
		}
		edited, err := c.Tenant(id)
		if err != nil {
			return err
		}
		if err := fn(edited); err != nil {
			return err
		}
		edited.ID, edited.Created = before.ID, before.Created
		if err := checkTenant(edited, before); err != nil {
			return err
		}
		if err := mayPoint(by, before.Graph, edited.Graph); err != nil {
			return err
		}
		if err := mayTrust(by, before.TrustedDomains, edited.TrustedDomains); err != nil {
			return err
		}
		if err := mayConnect(by, before, edited); err != nil {
			return err
		}
		if err := c.mayMove(before, edited); err != nil {
			return err
		}
		if !by.ByLink() {
			if err := c.mayOrganizations(edited.OrganizationIDs); err != nil {
				return err
			}
			if err := c.roomForTenant(before.OrganizationIDs, edited.OrganizationIDs); err != nil {
				return err
			}
		}
		envs, err := c.tenantEnvironments(id)
		if err != nil {
			return err
		}
		for _, e := range envs {
			if !slices.Contains(edited.OrganizationIDs, e.OrganizationID) {
				return failf(Conflict, "organizations", "environment %s is joined to this tenant: switch its integration off first", e.Name)
			}
		}
		after = edited
		if bytes.Equal(encodeJSON(before), encodeJSON(after)) {
			return nil
		}
		if err := c.renameTenant(before, after); err != nil {
			return err
		}
		if err := c.put(row{tableTenants, key(id), encodeJSON(after)}); err != nil {
			return err
		}
		detail := map[string]any{"before": audited(before), "after": audited(after)}
		if endsSignIn(before, after) {
			if err := c.endTenantSessions(id); err != nil {
				return err
			}
			detail["sessions"] = c.sessions
		}
		return c.audit("tenant.set", after.Name, detail)
	})
	if err != nil {
		return nil, err
	}
	return after, nil
}

func (c *change) renameTenant(before, after *Tenant) error {
	if before.Name == after.Name {
		return nil
	}
	taken := failf(Exists, "name", "a tenant named %q already exists", after.Name)
	if err := c.insert(tableTenantName, []byte(c.fold(after.Name)), after.ID[:], taken); err != nil {
		return err
	}
	return c.w.Delete(tableTenantName, []byte(c.fold(before.Name)))
}

// endsSignIn reports whether a change of a tenant takes away what its people have signed in with: nobody
// signs in with the tenant any more, or whom it knew was told by another directory.
func endsSignIn(before, after *Tenant) bool {
	cloud := func(t *Tenant) string { return cmp.Or(t.Graph.Cloud, "public") }
	return before.SignIn.ClientID != "" && after.SignIn.ClientID == "" || before.DirectoryID != after.DirectoryID ||
		cloud(before) != cloud(after) || before.Graph.LoginURL != after.Graph.LoginURL
}

// CreateAccount makes an internal user: an account that no directory manages. Errors: Invalid;
// Exists when an internal account has the e-mail address.
func (s *Service) CreateAccount(ctx context.Context, by Actor, userName, email, name string) (*Account, error) {
	if err := require(by, RoleOperator); err != nil {
		return nil, err
	}
	userName, err := cleanName("userName", userName)
	if err != nil {
		return nil, err
	}
	if name, err = cleanNameOrNone("name", name); err != nil {
		return nil, err
	}
	if err := checkEmail(email); err != nil {
		return nil, err
	}
	var a *Account
	err = s.update(ctx, by, func(c *change) (err error) {
		a, err = c.createAccount(userName, email, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func checkEmail(email string) error {
	local, domain, ok := strings.Cut(email, "@")
	if !ok || local == "" || domain == "" || strings.ContainsFunc(email, func(r rune) bool { return r <= ' ' || r == utf8.RuneError || disguises(r) }) || checkText("email", email) != nil {
		return failf(Invalid, "email", "%q is not an e-mail address", email)
	}
	return nil
}

func (c *change) createAccount(userName, email, name string) (*Account, error) {
	prefix := append([]byte(c.fold(email)), 0)
	taken, err := keys(c.r, tableAccountEmail, Range{Prefix: prefix})
	if err != nil {
		return nil, err
	}
	if len(taken) > 0 {
		return nil, failf(Exists, "email", "an internal user with the e-mail address %q already exists", email)
	}
	a := &Account{ID: c.s.newID(), UserName: userName, Email: email, Name: name, Created: c.now, Modified: c.now}
	if err := c.put(row{tableAccounts, key(a.ID), a.encode()}, row{table: tableAccountEmail, key: append(prefix, a.ID[:]...)}); err != nil {
		return nil, err
	}
	return a, c.audit("account.create", a.ID.String(), nil)
}

// ProtectAccount sets or lifts the protection of an account: a protected account is never adopted,
// and no pull takes anything from it.
func (s *Service) ProtectAccount(ctx context.Context, by Actor, id ID, protected bool) (*Account, error) {
	if err := require(by, RoleOperator); err != nil {
		return nil, err
	}
	var a *Account
	err := s.update(ctx, by, func(c *change) (err error) {
		if a, err = c.Account(id); err != nil || a.Protected == protected {
			return err
		}
		a.Protected = protected
		if err := c.put(row{tableAccounts, key(id), a.encode()}); err != nil {
			return err
		}
		action := "account.protect"
		if !protected {
			action = "account.unprotect"
		}
		return c.audit(action, id.String(), nil)
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// SetAdministrator makes an account an administrator of an environment that it has active access to,
// or takes that back. It stays with the access while that is inactive, and counts again when it is
// active. No pull takes the last active administrator's access to an environment; an operator may
// take the office of the last one. Errors: Forbidden; NotFound without an access; Conflict for an
// inactive one that would become an administrator's, and for that of an external user whose object id
// is not known.
func (s *Service) SetAdministrator(ctx context.Context, by Actor, account, environment ID, administrator bool) (*Access, error) {
	if err := require(by, RoleOperator); err != nil {
		return nil, err
	}
	var a *Access
	err := s.update(ctx, by, func(c *change) (err error) {
		if a, err = c.Access(account, environment); err != nil {
			return err
		}
		switch {
		case a == nil:
			return failf(NotFound, "", "this account has no access to the environment")
		case a.Administrator == administrator:
			return nil
		case administrator && !a.Active:
			return failf(Conflict, "", "the access is inactive: it cannot become an administrator's")
		}
		if administrator {
			holder, err := c.Account(account)
			if err != nil {
				return err
			}
			if err := c.mayHoldOffice(holder); err != nil {
				return err
			}
		}
		return c.setAdministrator(a, administrator)
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (c *change) setAdministrator(a *Access, administrator bool) error {
	a.Administrator = administrator
	c.ended = c.ended || !administrator
	if err := c.putAccess(a, a.Active); err != nil {
		return err
	}
	return c.audit("access.administrator", a.AccountID.String(), map[string]any{"environment": a.EnvironmentID, "administrator": administrator})
}

// dropAdministrator takes the office of an administrator from every access of an account that may be
// another person's from now on: an operator decides anew.
func (c *change) dropAdministrator(account ID) error {
	all, err := c.Accesses(account)
	if err != nil {
		return err
	}
	for _, a := range all {
		if !a.Administrator {
			continue
		}
		if err := c.setAdministrator(a, false); err != nil {
			return err
		}
	}
	return nil
}

// audit writes an entry of an administrative act, chained to the one before it.
func (c *change) audit(action, target string, detail any) error {
	n, err := c.w.NextSequence(tableAudit)
	if err != nil {
		return err
	}
	e := AuditEntry{Sequence: n, Time: c.now, Actor: c.by, Action: action, Target: target}
	if detail != nil {
		e.Detail = encodeJSON(detail)
	}
	if n > 1 {
		before, err := get(c.r, tableAudit, sequenceKey(n-1), decodeJSON[AuditEntry])
		if err != nil {
			return err
		}
		if before == nil {
			return fmt.Errorf("directory: audit entry %d is missing", n-1)
		}
		e.Previous = before.Hash
	}
	// The hash is that of the entry as it is read back: JSON changes what is no UTF-8.
	kept, err := decodeJSON[AuditEntry](encodeJSON(e))
	if err != nil {
		return err
	}
	kept.Hash = kept.hash()
	return c.put(row{tableAudit, sequenceKey(n), encodeJSON(kept)})
}

func (e AuditEntry) hash() string {
	e.Hash = ""
	sum := sha256.Sum256(encodeJSON(e))
	return hex.EncodeToString(sum[:])
}

// VerifyAudit walks the audit and names the first entry that was changed, removed or reordered;
// nil when there is none. It cannot see entries cut off at the end.
func (s *Service) VerifyAudit(ctx context.Context) error {
	return s.View(ctx, func(sn *Snapshot) error {
		next, previous := uint64(1), ""
		var broken error
		err := sn.Audit(0, func(e *AuditEntry) bool {
			if e.Sequence != next || e.Previous != previous || e.Hash != e.hash() {
				broken = fmt.Errorf("directory: the audit is broken at entry %d", next)
				return false
			}
			next, previous = next+1, e.Hash
			return true
		})
		if broken == nil && err != nil {
			return fmt.Errorf("directory: the audit cannot be read at entry %d: %w", next, err)
		}
		return broken
	})
}

// Audit records an administrative act that changes nothing in the directory itself.
func (s *Service) Audit(ctx context.Context, by Actor, action, target string, detail json.RawMessage) error {
	return s.update(ctx, by, func(c *change) error { return c.audit(action, target, detail) })
}
