package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// The credentials of the applications of tenants: the one that synchronizes, and the one that signs
// people in.

func (a *admin) setCredential(ctx context.Context, by directory.Actor, in CredentialInput) (out Credential, err error) {
	name, err := credentialName(in.For)
	if err != nil {
		return out, err
	}
	t, err := a.tenant(ctx, in.Tenant)
	if err != nil {
		return out, err
	}
	given := desk.CredentialInput{ClientID: in.ClientID, Secret: in.Secret, Certificate: in.Certificate, TokenFile: in.TokenFile, Expires: in.Expires}
	if _, err = a.desk.SetCredential(ctx, by, t.ID, name, given); err != nil {
		return out, inCommands(err, t, name)
	}
	return a.credentialOf(ctx, t, name)
}

// inCommands says with which command what is missing is set.
func inCommands(err error, t *directory.Tenant, name string) error {
	var e *directory.Error
	switch {
	case !errors.As(err, &e):
	case e.Field == "clientId" && *t.ClientID(name) == "":
		return fail(directory.Invalid, "clientId", "name the application that %s with --client-id: its Application (client) ID in Entra", purpose(name))
	case e.Field == "directoryId" && t.DirectoryID == "":
		return fail(directory.Invalid, "directoryId", "the directory of tenant %s is not known; set its Directory (tenant) ID with: bizzscim tenant set %s --directory-id ID", t.Name, t.Name)
	}
	return err
}

// credentialName is the name of the credential that is for something.
func credentialName(purpose string) (string, error) {
	switch purpose {
	case "", directory.GraphCredential:
		return directory.GraphCredential, nil
	case directory.SignInCredential:
		return directory.SignInCredential, nil
	}
	return "", fail(directory.Invalid, "for", "a credential is for %s or %s, not %q", directory.GraphCredential, directory.SignInCredential, purpose)
}

// purpose says what the application of a credential does.
func purpose(name string) string {
	if name == directory.SignInCredential {
		return "signs people in"
	}
	return "synchronizes"
}

// setCommand is the command that sets a credential.
func setCommand(tenant, name string) string {
	command := "bizzscim tenant credential set " + tenant
	if name == directory.SignInCredential {
		command += " --for " + name
	}
	return command
}

func (a *admin) credentialOf(ctx context.Context, t *directory.Tenant, name string) (Credential, error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (Credential, error) {
		t, err := sn.Tenant(t.ID)
		if err != nil {
			return Credential{}, err
		}
		c, err := findCredential(sn, t, name)
		if err != nil {
			return Credential{}, err
		}
		return a.viewCredential(t, c), nil
	})
}

func findCredential(sn *directory.Snapshot, t *directory.Tenant, name string) (*directory.Credential, error) {
	c, err := sn.Credential(t.ID, name)
	if isNotFound(err) {
		return nil, fail(directory.NotFound, "credential", "tenant %s has no credential of the application that %s; set one with: %s", t.Name, purpose(name), setCommand(t.Name, name))
	}
	return c, err
}

func (a *admin) viewCredential(t *directory.Tenant, c *directory.Credential) Credential {
	out := Credential{Tenant: Named{t.ID.String(), t.Name}, Name: c.Name, Kind: c.Kind, ClientID: *t.ClientID(c.Name), Hint: c.Hint, TokenFile: c.TokenFile,
		Expires: orNil(c.Expires), Created: c.Created, CreatedBy: c.CreatedBy}
	out.State, out.Warning = credentialState(t, c, a.now())
	return out
}

// credentialState tells whether a credential works at a time, and what somebody should know of it.
func credentialState(t *directory.Tenant, c *directory.Credential, now time.Time) (state, warning string) {
	left := c.Expires.Sub(now)
	renew := "make a new one in Entra and set it with: " + setCommand(t.Name, c.Name)
	switch {
	case c.Expires.IsZero() && c.Kind == string(pull.ClientSecret):
		return "live", "nobody is warned before this secret ends: say when, with --expires"
	case c.Expires.IsZero():
		return "live", ""
	case left <= 0:
		return "expired", fmt.Sprintf("it ended on %s: %s", c.Expires.Format(time.DateOnly), renew)
	case desk.ExpiryLevel(c.Expires, now) > 0:
		return "expiring", fmt.Sprintf("it ends in %s, on %s: %s", days(left), c.Expires.Format(time.DateOnly), renew)
	}
	return "live", ""
}

func days(d time.Duration) string {
	switch n := int(d / (24 * time.Hour)); n {
	case 0:
		return "less than a day"
	case 1:
		return "1 day"
	default:
		return fmt.Sprintf("%d days", n)
	}
}

func (a *admin) listCredentials(ctx context.Context, _ directory.Actor, in CredentialFilter) (List[Credential], error) {
	if in.For != "" {
		if _, err := credentialName(in.For); err != nil {
			return List[Credential]{}, err
		}
	}
	return view(ctx, a.service, func(sn *directory.Snapshot) (out List[Credential], err error) {
		var only *directory.Tenant
		if in.Tenant != "" {
			if only, err = findTenant(sn, in.Tenant); err != nil {
				return out, err
			}
		}
		all, err := sn.Credentials()
		if err != nil {
			return out, err
		}
		all = slices.DeleteFunc(all, func(c *directory.Credential) bool {
			return only != nil && c.TenantID != only.ID || in.For != "" && c.Name != in.For
		})
		if only != nil && len(all) == 0 {
			_, err := findCredential(sn, only, cmp.Or(in.For, directory.GraphCredential)) // says what to do
			return out, err
		}
		return collect(all, func(c *directory.Credential) (Credential, error) {
			t, err := sn.Tenant(c.TenantID)
			if err != nil {
				return Credential{}, err
			}
			return a.viewCredential(t, c), nil
		})
	})
}

func (a *admin) removeCredential(ctx context.Context, by directory.Actor, in CredentialRef) (Credential, error) {
	name, err := credentialName(in.For)
	if err != nil {
		return Credential{}, err
	}
	t, err := a.tenant(ctx, in.Ref)
	if err != nil {
		return Credential{}, err
	}
	out, err := a.credentialOf(ctx, t, name)
	if err != nil {
		return Credential{}, err
	}
	return out, a.service.RemoveCredential(ctx, by, t.ID, name)
}

func (a *admin) testCredential(ctx context.Context, _ directory.Actor, in RefInput) (out CredentialReport, err error) {
	t, err := a.tenant(ctx, in.Ref)
	if err != nil {
		return out, err
	}
	if out.Credential, err = a.credentialOf(ctx, t, directory.GraphCredential); err != nil {
		return out, err
	}
	report, err := a.pull.Test(ctx, t.ID)
	if err != nil {
		return out, err
	}
	out.OK, out.Checks = report.OK(), []Check{}
	for _, c := range report.Checks {
		out.Checks = append(out.Checks, Check(c))
	}
	return out, nil
}

func (a *admin) rotateSecrets(ctx context.Context, by directory.Actor, in SecretsRotation) (SecretsResult, error) {
	return a.secrets.rotate(ctx, by, in.Forget)
}
