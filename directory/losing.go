package directory

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
)

// What a change of an integration would do, told before it is made.

// Losing is what a change of an integration would take.
type Losing struct {
	People int64 // whose active access would end
	Active int64 // external users who have active access now
}

// Limit is how many people an environment may lose by one change before somebody has to say so, by its
// figures for one run of the pull.
func (s Stops) Limit(active int64) int64 {
	s = s.OrDefaults()
	return max(int64(s.RunCount), active*int64(s.RunPercent)/100)
}

// LosingAccess tells whom a change of an integration would take access from, by the rule that derives it. It
// looks at those alone who are in a group that would not count any more. Errors: those of Service.SetIntegration.
func (s *Snapshot) LosingAccess(by Actor, environment ID, in IntegrationInput) (l Losing, err error) {
	c := &change{Snapshot: s, by: by}
	env, err := c.mayEnvironment(environment)
	if err != nil {
		return l, err
	}
	before := env.Integration
	if err := c.applyIntegration(env, in); err != nil {
		return l, err
	}
	if l.Active, err = s.ActiveExternal(environment); err != nil || !narrows(before, env.Integration) {
		return l, err
	}
	pending, err := s.pendingEnvironments()
	switch {
	case err != nil:
	case slices.Contains(pending, environment): // who has access does not follow from the settings yet
		l.People, err = c.losingOfAll(env)
	default:
		l.People, err = s.losingOf(env, before, l.Active)
	}
	if err != nil {
		return Losing{}, err
	}
	return l, nil
}

// losingOfAll asks the rule about everybody with active access.
func (c *change) losingOfAll(env *Environment) (n int64, err error) {
	var failed error
	err = c.EnvironmentAccesses(env.ID, true, ID{}, func(id ID) bool {
		var lost bool
		if lost, failed = c.loses(env, id); lost {
			n++
		}
		return failed == nil
	})
	return n, errors.Join(failed, err)
}

// ActiveExternal counts the external users with active access: what an integration can take, and what the limits of a
// run are a part of. Internal users, who keep theirs, are counted one by one: there are few.
func (s *Snapshot) ActiveExternal(environment ID) (n int64, err error) {
	if n, err = s.EnvironmentAccessCount(environment, true); err != nil {
		return 0, err
	}
	internal, err := keys(s.r, tableAccountEmail, Range{})
	if err != nil {
		return 0, err
	}
	for _, id := range internal {
		active, err := s.hasActiveAccess(environment, id)
		if err != nil {
			return 0, err
		}
		if active {
			n--
		}
	}
	return n, nil
}

// hasActiveAccess asks the index by state.
func (s *Snapshot) hasActiveAccess(environment, account ID) (bool, error) {
	found := false
	k := environmentAccessKey(environment, true, account)
	err := s.r.Scan(tableEnvironmentAccess, Range{Prefix: k}, func(_, _ []byte) bool { found = true; return false })
	return found, err
}

// losingOf counts those who are in a group of the settings before and in none that counts from now on: all but internal
// users, where nobody is.
func (s *Snapshot) losingOf(env *Environment, before Integration, active int64) (n int64, err error) {
	var keep []ID
	if env.Integration.Enabled && env.Integration.TenantID == before.TenantID {
		if keep, err = s.peopleOf(env); err != nil {
			return 0, err
		}
	}
	if len(keep) == 0 {
		return active, nil
	}
	was := *env
	was.Integration = before
	had, err := s.peopleOf(&was)
	if err != nil {
		return 0, err
	}
	for _, id := range had {
		for len(keep) > 0 && compareIDs(keep[0], id) < 0 {
			keep = keep[1:]
		}
		if len(keep) > 0 && keep[0] == id {
			continue
		}
		u, err := s.user(before.TenantID, id)
		if err != nil {
			return 0, err
		}
		if u == nil { // a group
			continue
		}
		active, err := s.hasActiveAccess(env.ID, u.AccountID)
		if err != nil {
			return 0, err
		}
		if active {
			n++
		}
	}
	return n, nil
}

// peopleOf lists the members of the Groups to Sync of an environment, direct ones and those of nested groups whom it
// counts, in the order of their ids, each once. Some may be groups.
func (s *Snapshot) peopleOf(env *Environment) (ids []ID, err error) {
	in := env.Integration
	synced := map[ID]bool{}
	for _, object := range in.Groups {
		groups, err := s.GroupsByExternalID(in.TenantID, object)
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			synced[g] = true
			members, err := keys(s.r, tableMembers, Range{Prefix: key(in.TenantID, g)})
			if err != nil {
				return nil, err
			}
			ids = append(ids, members...)
		}
	}
	err = s.Indirect(env, func(user, group ID) bool {
		if synced[group] {
			ids = append(ids, user)
		}
		return true
	})
	slices.SortFunc(ids, compareIDs)
	return slices.Compact(ids), err
}

// narrows reports whether a change of an integration may take access from anybody.
func narrows(before, after Integration) bool {
	if !before.Enabled {
		return false
	}
	if before.Generation != after.Generation {
		return true
	}
	return slices.ContainsFunc(before.Groups, func(g string) bool { return !slices.Contains(after.Groups, g) })
}

func (c *change) loses(env *Environment, account ID) (bool, error) {
	a, err := c.Account(account)
	if err != nil || !a.External() {
		return false, err
	}
	u, err := c.user(a.TenantID, a.UserID)
	if err != nil {
		return false, err
	}
	keeps, err := c.entitled(env, a, u, ID{})
	return !keeps, err
}

// Version names the settings of an integration as they are: it differs after each change of them.
func (in *Integration) Version() string {
	sum := sha256.Sum256(encodeJSON(in))
	return hex.EncodeToString(sum[:8])
}
