package directory

import (
	"cmp"
	"slices"
)

// The default environment of a person is where they land when a sign-in or a link names none. It is told from their accesses
// whenever it is read, so that nothing which derives access has to write it, and who comes back finds the choice as it was.

// DefaultAccess returns which of a person's accesses, of those that count, is the one to the default environment: the chosen
// one, else the one that was granted first. nil: there is none.
func (a *Account) DefaultAccess(accesses []*Access) (x *Access, chosen bool) {
	for _, x := range accesses {
		if x.EnvironmentID == a.DefaultEnvironmentID {
			return x, true
		}
	}
	if len(accesses) == 0 {
		return nil, false
	}
	return slices.MinFunc(accesses, func(a, b *Access) int {
		return cmp.Or(a.Created.Compare(b.Created), compareIDs(a.EnvironmentID, b.EnvironmentID))
	}), false
}

// DefaultEnvironment returns where a person lands, and whether it was chosen; zero: nowhere, since no access of theirs is active
// and rightly so.
func (s *Snapshot) DefaultEnvironment(a *Account) (environment ID, chosen bool, err error) {
	accesses, err := s.entitledAccesses(a)
	if err != nil {
		return ID{}, false, err
	}
	x, chosen := a.DefaultAccess(accesses)
	if x == nil {
		return ID{}, false, nil
	}
	return x.EnvironmentID, chosen, nil
}

func (c *change) chooseEnvironment(a *Account, environment ID) error {
	before := a.DefaultEnvironmentID
	if environment.IsZero() {
		if _, err := c.SeeEnvironment(c.by, before); err != nil {
			if KindOf(err) == NotFound {
				err = nil
			}
			return err
		}
	} else if err := c.mayLand(a, environment); err != nil || environment == before {
		return err
	}
	a.DefaultEnvironmentID, a.Modified = environment, c.now
	if err := c.put(row{tableAccounts, key(a.ID), a.encode()}); err != nil {
		return err
	}
	if err := c.tellDefault(a, before); err != nil {
		return err
	}
	return c.audit("account.default-environment", a.ID.String(), map[string]any{"before": before, "after": environment})
}

// mayLand refuses an environment that the actor does not see, or that the person may not enter.
func (c *change) mayLand(a *Account, environment ID) error {
	if _, err := c.SeeEnvironment(c.by, environment); err != nil {
		return err
	}
	accesses, err := c.entitledAccesses(a)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(accesses, func(x *Access) bool { return x.EnvironmentID == environment }) {
		return failf(Conflict, "defaultEnvironmentId", "this person has no active access to this environment: choose one that they have access to")
	}
	return nil
}

// tellDefault writes the log and the event of another choice. The environment that is left and the one that is chosen have a line
// each: who sees one of them need not see the other. Where an actor is not known, none tells of them.
func (c *change) tellDefault(a *Account, before ID) error {
	target := a.ID
	if !a.UserID.IsZero() {
		target = a.UserID
	}
	for _, id := range []ID{before, a.DefaultEnvironmentID} {
		if id.IsZero() {
			continue
		}
		env, err := c.Environment(id)
		if err != nil {
			return err
		}
		if id == before && !c.by.Sees(env) {
			continue
		}
		said := Change{Name: "defaultEnvironment"}
		if name := encodeJSON(env.Name); id == before {
			said.Old = name
		} else {
			said.New = name
		}
		if err := c.log(LogEvent{TenantID: a.TenantID, EnvironmentID: id, Action: ActionUpdate, TargetType: "User", TargetID: target.String(), TargetName: a.UserName, Changes: []Change{said}}); err != nil {
			return err
		}
	}
	if a.UserID.IsZero() {
		return c.publish(OutboxEvent{Type: "user.updated", TenantID: a.TenantID, AccountID: a.ID})
	}
	u, err := c.User(a.TenantID, a.UserID)
	if err != nil {
		return err
	}
	return c.publishUser("user.updated", u, u, UpdateNone, nil) // the resource itself is as it was
}
