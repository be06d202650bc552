package desk

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// How a directory is connected: what its administrator has to know and enter, on both sides; setup links, by which
// somebody without an account does it; and the test of what was entered.

// Setup is what the administrator of a directory has to know of a tenant: all that a setup link shows.
type Setup struct {
	ID            directory.ID      `json:"id"`
	Name          string            `json:"name"`
	Organization  string            `json:"organization" doc:"What people know the organization as"`
	DirectoryID   string            `json:"directoryId,omitempty"`
	TenantURL     string            `json:"tenantUrl" doc:"With the flag that makes Entra speak SCIM 2.0"`
	GraphClientID string            `json:"graphClientId,omitempty"`
	SignIn        SignInApplication `json:"signIn"`
	Credentials   []Credential      `json:"credentials" nullable:"false"`
	Tokens        []Token           `json:"tokens" nullable:"false" doc:"Those that are live"`
	LastPush      *time.Time        `json:"lastPush,omitempty"`
	Users         int64             `json:"users"`
	Groups        int64             `json:"groups"`
}

// SCIMFlag is the end of a Tenant URL that makes Entra send PATCH as RFC 7644 has it. Source: Microsoft, "Known issues and resolutions with SCIM 2.0
// protocol compliance of the Microsoft Entra provisioning service".
const SCIMFlag = "?aadOptscim062020"

// setupOf is a tenant whose setup the actor may see.
func (d *Desk) setupOf(sn *directory.Snapshot, by directory.Actor, id directory.ID) (*directory.Tenant, error) {
	return sn.SeeSetup(by, id, d.Service.SessionNow())
}

// Setup returns what connects the directory of a tenant. Errors: Forbidden; NotFound, also of a setup link that has
// ended.
func (d *Desk) Setup(ctx context.Context, by directory.Actor, tenant directory.ID) (Setup, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (out Setup, err error) {
		t, err := d.setupOf(sn, by, tenant)
		if err != nil {
			return out, err
		}
		out = Setup{ID: t.ID, Name: t.Name, Organization: t.DisplayName(), DirectoryID: t.DirectoryID, TenantURL: d.tenantURL(t),
			GraphClientID: t.Graph.ClientID, SignIn: d.signInOf(t), Tokens: []Token{}}
		if out.Credentials, err = d.credentials(sn, by, tenant); err != nil {
			return out, err
		}
		all, err := d.tokens(sn, by, tenant)
		if err != nil {
			return out, err
		}
		for i := range all {
			if all[i].Live() {
				out.Tokens = append(out.Tokens, all[i])
			}
		}
		seen, err := sn.PushSeen(tenant)
		if err != nil {
			return out, err
		}
		out.LastPush = orNil(seen)
		if out.Users, err = sn.UserCount(tenant); err != nil {
			return out, err
		}
		out.Groups, err = sn.GroupCount(tenant)
		return out, err
	})
}

// SetupInput are the ids that a directory's administrator enters. What is nil stays.
type SetupInput struct {
	DirectoryID    *string
	GraphClientID  *string
	SignInClientID *string
}

// ChangeSetup enters the ids of a directory and its applications. Errors: Forbidden, also when a setup link may not;
// NotFound; Invalid.
func (d *Desk) ChangeSetup(ctx context.Context, by directory.Actor, tenant directory.ID, in SetupInput) error {
	_, err := d.Service.SetTenant(ctx, by, tenant, func(t *directory.Tenant) error {
		set(&t.DirectoryID, in.DirectoryID)
		set(&t.Graph.ClientID, in.GraphClientID)
		set(&t.SignIn.ClientID, in.SignInClientID)
		return nil
	})
	return err
}

// ConnectionTest is what came of trying the applications of a tenant.
type ConnectionTest struct {
	OK     bool    `json:"ok" doc:"Whatever is set up works"`
	Graph  []Check `json:"graph" nullable:"false" doc:"Of the application that synchronizes; empty: it is not set up"`
	SignIn []Check `json:"signIn" nullable:"false" doc:"Of the application that signs people in; empty: it is not set up"`
}

// Check is one thing that was tried.
type Check struct {
	Name   string `json:"name" doc:"What it needs, such as token, GroupMember.Read.All, group ID, metadata"`
	Detail string `json:"detail,omitempty" doc:"What was seen"`
	Error  string `json:"error,omitempty" doc:"What is wrong and what to do; absent: it is right"`
}

// TestConnection tries the applications of a tenant, each as far as it is set up. Errors: Forbidden; NotFound.
func (d *Desk) TestConnection(ctx context.Context, by directory.Actor, tenant directory.ID) (out ConnectionTest, err error) {
	t, err := view(ctx, d, func(sn *directory.Snapshot) (*directory.Tenant, error) { return d.setupOf(sn, by, tenant) })
	if err != nil {
		return out, err
	}
	out = ConnectionTest{OK: true, Graph: []Check{}, SignIn: []Check{}}
	if t.Graph.ClientID != "" {
		if out.Graph, err = d.testGraph(ctx, by, tenant); err != nil {
			return out, err
		}
	}
	if t.SignIn.ClientID != "" {
		result, err := d.TestSignIn(ctx, tenant)
		if err != nil {
			return out, err
		}
		for _, c := range result.Checks {
			out.SignIn = append(out.SignIn, Check(c))
		}
	}
	failed := []string{}
	for _, all := range [][]Check{out.Graph, out.SignIn} {
		for _, c := range all {
			if c.Error != "" {
				out.OK = false
				failed = append(failed, c.Name)
			}
		}
	}
	detail, err := json.Marshal(map[string]any{"ok": out.OK, "failed": failed})
	if err != nil {
		return out, err
	}
	return out, d.Service.TestedConnection(ctx, by, tenant, detail)
}

// testGraph tries the application that synchronizes. Why a credential cannot be opened is a matter of the server, and
// told to operators alone.
func (d *Desk) testGraph(ctx context.Context, by directory.Actor, tenant directory.ID) ([]Check, error) {
	report, err := d.Pull.Test(ctx, tenant)
	switch {
	case directory.KindOf(err) == directory.NotFound:
		return []Check{{Name: "credential", Error: "there is no credential of the application that synchronizes: make a secret or a certificate in Entra and enter it here"}}, nil
	case directory.KindOf(err) == directory.Invalid && by.Role != directory.RoleOperator:
		return []Check{{Name: "credential", Error: "the server cannot use the credential that is kept: enter it again"}}, nil
	case directory.KindOf(err) == directory.Invalid:
		return []Check{{Name: "credential", Error: detailOf(err) + causeOf(err)}}, nil
	case directory.KindOf(err) == directory.Unavailable:
		return []Check{{Name: "credential", Error: detailOf(err)}}, nil
	case err != nil:
		return nil, err
	}
	all := []Check{}
	for _, c := range report.Checks {
		all = append(all, Check(c))
	}
	return all, nil
}

// causeOf is what lies at the bottom of an error, for operators alone; empty: nothing below what it says.
func causeOf(err error) string {
	bottom, deeper := err, false
	for below := errors.Unwrap(err); below != nil; below = errors.Unwrap(below) {
		bottom, deeper = below, true
	}
	var own *pull.Error
	if !deeper || errors.As(bottom, &own) {
		return ""
	}
	return ": " + bottom.Error()
}

func detailOf(err error) string {
	var e *directory.Error
	if errors.As(err, &e) {
		return e.Detail
	}
	return "the directory could not be asked: try again in a moment"
}

// setupLinkActor begins the id of an actor who came by a setup link.
const setupLinkActor = "setup link "

// SetupLink is a link by which somebody without an account connects the directory of a tenant.
type SetupLink struct {
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"createdBy,omitempty"`
	Expires   time.Time `json:"expires"`
}

// NewSetupLink is a setup link with its address, which is told once.
type NewSetupLink struct {
	URL  string    `json:"url" doc:"Where it leads: whoever has it may connect the directory. It is shown this once and kept nowhere"`
	Link SetupLink `json:"link"`
}

// SetupLinkInput is a setup link to be made.
type SetupLinkInput struct {
	Hours int `json:"hours,omitempty" minimum:"1" maximum:"168" doc:"How long it works; absent: 24"`
}

// SetupLink returns the setup link of a tenant that works at present; nil: none does. Errors: Forbidden; NotFound for
// the tenant.
func (d *Desk) SetupLink(ctx context.Context, by directory.Actor, tenant directory.ID) (*SetupLink, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (*SetupLink, error) {
		if _, err := sn.SeeTenant(by, tenant); err != nil {
			return nil, err
		}
		l, err := sn.TenantLink(tenant, d.Service.SessionNow())
		if err != nil || l == nil {
			return nil, err
		}
		return d.link(sn, by, l)
	})
}

func (d *Desk) link(sn *directory.Snapshot, by directory.Actor, l *directory.Link) (*SetupLink, error) {
	who, err := creatorOf(sn, by, l.CreatedBy.ID)
	return &SetupLink{l.Created, who, l.Expires}, err
}

// CreateSetupLink makes a setup link of a tenant; the one before works no more. Errors: Forbidden; NotFound; Invalid.
func (d *Desk) CreateSetupLink(ctx context.Context, by directory.Actor, tenant directory.ID, in SetupLinkInput) (NewSetupLink, error) {
	if in.Hours == 0 {
		in.Hours = 24
	}
	if in.Hours < 0 || in.Hours > 168 {
		return NewSetupLink{}, fail(directory.Invalid, "hours", "a setup link works for 1 to 168 hours")
	}
	secret := auth.NewLinkSecret()
	l, err := d.Service.CreateSetupLink(ctx, by, tenant, secret.Hash, time.Duration(in.Hours)*time.Hour)
	if err != nil {
		return NewSetupLink{}, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (NewSetupLink, error) {
		shown, err := d.link(sn, by, l)
		if err != nil {
			return NewSetupLink{}, err
		}
		return NewSetupLink{d.URL() + auth.LinkPath(directory.LinkConnect, secret.Text), *shown}, nil
	})
}

// RevokeSetupLink ends the setup link of a tenant at once. Errors: Forbidden; NotFound.
func (d *Desk) RevokeSetupLink(ctx context.Context, by directory.Actor, tenant directory.ID) error {
	return d.Service.RevokeSetupLink(ctx, by, tenant)
}

// Connect says who came by a setup link, to which tenant, and until when. by tells the request. Errors: NotFound, the
// same for a link that is malformed, unknown, ended or revoked.
func (d *Desk) Connect(ctx context.Context, by directory.Actor, secret string) (who directory.Actor, tenant directory.ID, expires time.Time, err error) {
	gone := fail(directory.NotFound, "link", "this link does not work: ask for a new one")
	hash, ok := auth.LinkHash(secret)
	if !ok {
		return who, tenant, expires, gone
	}
	err = d.Service.View(ctx, func(sn *directory.Snapshot) error {
		l, t, err := sn.SetupLink(hash, d.Service.SessionNow())
		if directory.KindOf(err) == directory.NotFound {
			return gone
		}
		if err != nil {
			return err
		}
		who, tenant, expires = by, t.ID, l.Expires
		who.Role, who.ID, who.Reach, who.Channel = directory.RolePartner, setupLinkActor+l.ID.String(), &directory.Reach{SetupLink: hash}, "setup link"
		return nil
	})
	return who, tenant, expires, err
}
