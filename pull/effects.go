package pull

import (
	"slices"

	"github.com/bizzstream/bizzscim/directory"
)

// effects finds the accesses that an entry takes away, of this and of other environments of the
// tenant: each has its own figures to stop at. What would take something from an account that is
// protected, or an environment its last administrator, is withheld.
func (p *planner) effects(e *entry, u *directory.User, here bool) error {
	if here {
		e.takes = append(e.takes, p.env.ID)
	}
	if e.disable || len(e.leave) > 0 {
		elsewhere, err := p.elsewhere(e, u)
		if err != nil {
			return err
		}
		if len(elsewhere) > 0 && e.Kind == directory.ItemUpdate {
			e.Kind, e.Reason = directory.ItemRevoke, "loses the access to another environment that syncs the group"
		}
		e.takes = append(e.takes, elsewhere...)
		if !e.disable {
			p.askElsewhere(e, here, elsewhere)
		}
	}
	if len(e.takes) == 0 {
		return nil
	}
	e.needs = true
	why, err := p.protection(u.AccountID, e.takes)
	if err != nil || why == "" {
		return err
	}
	p.protected++
	e.takes, e.needs = nil, false
	e.set(directory.OutcomeWithheld, why)
	return nil
}

// askElsewhere notes in which groups of other environments the person may be by now, without being
// in ours: then those environments have to take it in before this one takes it out. Where this one loses nothing itself
// there is no haste, and two reads do not do in their place; but who is pulled by nobody must not wait for ever for what a
// point read may mean by a nested group.
func (p *planner) askElsewhere(e *entry, here bool, environments []directory.ID) {
	for _, env := range environments {
		in := p.others[env].Integration
		for _, object := range in.Groups {
			leaves := slices.ContainsFunc(p.groups, func(g groupPlan) bool { return g.object == object && g.left(e) })
			if leaves && (here || !in.Transitive) {
				continue
			}
			if !slices.Contains(e.elsewhere, object) {
				e.elsewhere = append(e.elsewhere, object)
			}
			if !here && (in.Transitive || in.Periodic && !in.Paused) {
				e.patient = append(e.patient, object)
			}
		}
	}
}

// elsewhere finds the other environments that an entry takes the access to.
func (p *planner) elsewhere(e *entry, u *directory.User) (gone []directory.ID, err error) {
	accesses, err := p.sn.Accesses(u.AccountID)
	if err != nil {
		return nil, err
	}
	for _, a := range accesses {
		if !a.Active || a.EnvironmentID == p.env.ID {
			continue
		}
		stays := false
		if !e.disable {
			if stays, err = p.staysIn(e, u, a.EnvironmentID); err != nil {
				return nil, err
			}
		}
		if !stays {
			gone = append(gone, a.EnvironmentID)
		}
	}
	return gone, nil
}

// staysIn reports whether a user has access to another environment after an entry.
func (p *planner) staysIn(e *entry, u *directory.User, environment directory.ID) (bool, error) {
	env, err := p.other(environment)
	if err != nil {
		return false, err
	}
	for _, n := range e.join {
		if slices.Contains(env.Integration.Groups, p.groups[n].object) {
			return true, nil
		}
	}
	for _, g := range env.groups {
		if slices.Contains(e.leave, g) {
			continue
		}
		in, err := p.sn.IsMember(p.tenant.ID, g, u.ID)
		if err != nil || in {
			return in, err
		}
	}
	for _, g := range env.groups {
		in, err := p.sn.IsIndirect(env.Environment, u.ID, g)
		if err != nil || in {
			return in, err
		}
	}
	return false, nil
}

func (p *planner) other(id directory.ID) (*otherEnvironment, error) {
	if env := p.others[id]; env != nil {
		return env, nil
	}
	record, err := p.sn.Environment(id)
	if err != nil {
		return nil, err
	}
	env := &otherEnvironment{Environment: record}
	for _, object := range record.Integration.Groups {
		ids, err := p.sn.GroupsByExternalID(record.Integration.TenantID, object)
		if err != nil {
			return nil, err
		}
		env.groups = append(env.groups, ids...)
	}
	p.others[id] = env
	return env, nil
}

// protection says why an account must not lose its accesses to some environments; empty when it
// may, and then it counts for no administrator of them any more.
func (p *planner) protection(id directory.ID, environments []directory.ID) (string, error) {
	account, err := p.sn.Account(id)
	if err != nil {
		return "", err
	}
	if account.Protected {
		return "the account is protected: no pull takes anything from it", nil
	}
	for _, env := range environments {
		access, err := p.sn.Access(id, env)
		if err != nil {
			return "", err
		}
		if access == nil || !access.Administrator {
			continue
		}
		admins, err := p.administrators(env)
		if err != nil {
			return "", err
		}
		if len(admins) == 1 && admins[id] {
			record, err := p.sn.Environment(env)
			if err != nil {
				return "", err
			}
			return "the last administrator of environment " + record.Name + ": no pull takes that access; make somebody else one first", nil
		}
	}
	for _, env := range environments {
		delete(p.admins[env], id)
	}
	return "", nil
}

// administrators are the accounts with an active access to an environment as its administrator, but
// for those that lose it by this plan.
func (p *planner) administrators(environment directory.ID) (map[directory.ID]bool, error) {
	if all := p.admins[environment]; all != nil {
		return all, nil
	}
	all := map[directory.ID]bool{}
	var failed error
	err := p.sn.EnvironmentAccesses(environment, true, directory.ID{}, func(account directory.ID) bool {
		var a *directory.Access
		if a, failed = p.sn.Access(account, environment); a != nil && a.Administrator {
			all[account] = true
		}
		return failed == nil
	})
	if failed != nil {
		return nil, failed
	}
	p.admins[environment] = all
	return all, err
}
