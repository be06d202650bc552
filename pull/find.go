package pull

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// The limits of FindGroups.
const (
	findLimit  = 20              // groups of one answer
	findTime   = 5 * time.Second // somebody waits for it
	findBudget = 60              // searches in one tenant within personWindow
	findText   = 256             // bytes; the longest name of a group in Entra has as many characters
)

// FindGroups looks for groups in the directory of a tenant: by the beginning of their names, or by an object id,
// which finds that group alone. It is for whoever may set up the tenant, or an environment that may use it.
//
// Errors: Forbidden; NotFound for a tenant beyond the reach of by; Invalid for a text that is empty or too long and, with field
// credential, while the tenant has no application or credential; RateLimited while Graph has asked to wait and
// after 60 searches of a tenant within a minute; Unavailable with the reason when the directory does not answer,
// which names the permission that is missing; that of ctx.
func (r *Reconciler) FindGroups(ctx context.Context, by directory.Actor, tenant directory.ID, text string) ([]Group, error) {
	text = strings.TrimSpace(text)
	var t *directory.Tenant
	var cred *directory.Credential
	err := r.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		if t, err = mayFind(sn, by, tenant); err != nil {
			return err
		}
		switch {
		case r.Connect == nil:
			return errNoReader
		case text == "" || len(text) > findText || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' }):
			return &directory.Error{Kind: directory.Invalid, Field: "text", Detail: "type the beginning of a group's name, or its object id"}
		}
		cred, err = sn.Credential(tenant, CredentialName)
		if directory.KindOf(err) == directory.NotFound {
			return &directory.Error{Kind: directory.Invalid, Field: "credential", Detail: "tenant " + t.Name + " has no credential for Microsoft Graph, so its groups cannot be searched: paste their object ids"}
		}
		if err != nil {
			return err
		}
		envs, err := sn.Environments(directory.ID{})
		if err != nil {
			return err
		}
		states, err := pullStates(sn, envs)
		if err != nil {
			return err
		}
		return mayAsk(tenantWaits(envs, states, r.now()), tenant)
	})
	if err != nil {
		return nil, err
	}
	if !r.finds.take(tenant, r.now(), findBudget) {
		return nil, &directory.Error{Kind: directory.RateLimited, Detail: fmt.Sprintf("more than %d searches in this tenant within a minute; try again in a minute", findBudget)}
	}
	late := &Error{Class: Unavailable, Detail: "Microsoft Graph did not answer within " + findTime.String() + "; try again, or paste object ids"}
	within, cancel := context.WithTimeoutCause(ctx, findTime, late)
	defer cancel()
	var found []Group
	err = guarded(func() (err error) {
		found, err = r.findGroups(within, t, cred, text)
		return err
	})
	var e *Error
	switch {
	case err == nil:
		return found, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case within.Err() != nil:
		err = late
	}
	if errors.As(err, &e) {
		return nil, &directory.Error{Kind: directory.Unavailable, Detail: e.Detail, Err: err}
	}
	return nil, err
}

func (r *Reconciler) findGroups(ctx context.Context, t *directory.Tenant, cred *directory.Credential, text string) ([]Group, error) {
	source, err := r.open(t, cred, false, func(Meter) {})
	if err != nil {
		return nil, err
	}
	defer source.Close()
	if id, ok := directory.ParseID(strings.ToLower(text)); ok {
		g, err := source.Group(ctx, id.String())
		if err != nil && ClassOf(err) == ScopeMissing {
			return nil, nil
		}
		return []Group{g}, err
	}
	return source.FindGroups(ctx, text, findLimit)
}

// mayFind returns a tenant in whose directory an actor may look for groups.
func mayFind(sn *directory.Snapshot, by directory.Actor, id directory.ID) (*directory.Tenant, error) {
	envs, err := sn.SeeEnvironments(by) // Forbidden for who is no administrator of anything
	if err != nil {
		return nil, err
	}
	t, err := sn.Tenant(id)
	if err != nil || by.SeesTenant(t) {
		return t, err
	}
	for _, env := range envs {
		if !slices.Contains(t.OrganizationIDs, env.OrganizationID) {
			continue
		}
		if _, err := sn.MayEnvironment(by, env.ID); err == nil {
			return t, nil
		}
	}
	return nil, &directory.Error{Kind: directory.NotFound, Detail: "tenant not found"}
}
