package directory

import "slices"

// WhyReason tells why somebody has or does not have access to an environment.
type WhyReason string

// The reasons, in the order in which they are looked at. The first two give access.
const (
	WhyMember         WhyReason = "member"          // directly in one of the Groups to Sync
	WhyNested         WhyReason = "nested"          // in one of them through a nested group, where these count
	WhyInternal       WhyReason = "internal"        // an internal user: what an administrator has set
	WhyIntegrationOff WhyReason = "integration-off" // the External users integration is switched off
	WhyOtherTenant    WhyReason = "other-tenant"    // the environment uses another tenant, or none
	WhyNotProvisioned WhyReason = "not-provisioned" // the directory has deleted the user, or takes it out of provisioning
	WhyDisabled       WhyReason = "disabled"        // the directory says that the user is inactive
	WhyDisabledByPull WhyReason = "disabled-by-run" // likewise, and it was a run that found so
	WhyNestedOnly     WhyReason = "nested-only"     // in a group that is within a Group to Sync, which does not count here
	WhyTakenByPush    WhyReason = "taken"           // provisioning took the person out of the Groups to Sync
	WhyNoGroup        WhyReason = "no-group"        // in none of the Groups to Sync
)

// Why explains an access by rule 1.
type Why struct {
	Reason   WhyReason
	Entitled bool     // what the rule comes to
	Active   bool     // what the access is; where these differ, a change is still being worked on
	Groups   []*Group // that give the access, or, nested only, that do not
}

// WhyAccess explains why somebody has access to an environment or has not, as change.derive decides it.
func (s *Snapshot) WhyAccess(env *Environment, account *Account) (*Why, error) {
	access, err := s.Access(account.ID, env.ID)
	if err != nil {
		return nil, err
	}
	w := &Why{Active: access != nil && access.Active}
	if !account.External() {
		w.Reason, w.Entitled = WhyInternal, w.Active
		return w, nil
	}
	u, err := s.user(account.TenantID, account.UserID)
	if err != nil {
		return nil, err
	}
	switch {
	case !env.Integration.Enabled:
		w.Reason = WhyIntegrationOff
	case env.Integration.TenantID != account.TenantID:
		w.Reason = WhyOtherTenant
	case u == nil:
		w.Reason = WhyNotProvisioned
	case !u.Active:
		w.Reason = WhyDisabled
		if pulled, err := s.DisabledByPull(u.TenantID, u.ID); err != nil {
			return nil, err
		} else if pulled {
			w.Reason = WhyDisabledByPull
		}
	default:
		return w, s.whyGroups(w, env, u)
	}
	return w, nil
}

// whyGroups looks at the Groups to Sync one by one.
func (s *Snapshot) whyGroups(w *Why, env *Environment, u *User) error {
	c := change{Snapshot: s}
	synced, err := c.syncedGroups(env)
	if err != nil {
		return err
	}
	taken := false
	var nested []ID
	for _, g := range synced {
		in, err := s.IsMember(u.TenantID, g, u.ID)
		if err != nil {
			return err
		}
		if in {
			if err := s.addGroup(w, u.TenantID, g); err != nil {
				return err
			}
			continue
		}
		through, err := s.IsIndirect(env, u.ID, g)
		if err != nil {
			return err
		}
		if through {
			nested = append(nested, g)
		}
		gone, err := s.TakenByPush(u.TenantID, u.ID, g)
		if err != nil {
			return err
		}
		taken = taken || gone
	}
	if len(w.Groups) > 0 {
		w.Reason, w.Entitled = WhyMember, true
		return nil
	}
	for _, g := range nested {
		w.Reason, w.Entitled = WhyNested, true
		if err := s.addGroup(w, u.TenantID, g); err != nil {
			return err
		}
	}
	if w.Entitled {
		return nil
	}
	w.Reason = WhyNoGroup
	if taken {
		w.Reason = WhyTakenByPush
	}
	return s.whyNested(w, synced, u)
}

// whyNested finds groups of somebody that lie within a Group to Sync: members of these are commonly expected to count.
func (s *Snapshot) whyNested(w *Why, synced []ID, u *User) error {
	mine, err := s.GroupsOf(u.TenantID, u.ID)
	if err != nil {
		return err
	}
	for _, g := range mine {
		above, err := s.GroupsOf(u.TenantID, g)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(above, func(id ID) bool { return slices.Contains(synced, id) }) {
			continue
		}
		w.Reason = WhyNestedOnly
		if err := s.addGroup(w, u.TenantID, g); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) addGroup(w *Why, tenant, id ID) error {
	g, err := s.Group(tenant, id)
	if err != nil {
		return err
	}
	w.Groups = append(w.Groups, g)
	return nil
}
