package directory

import (
	"bytes"
	"context"
	"slices"
	"time"
)

// A Derivation derives the access of many people in steps, each a transaction of its own, so that other
// changes get their turn in between. Deriving asks only for the rule as it is now, so a step may
// be repeated, and a run may go on beside any other change.

// startDerivation looks at the first people within the change itself; what is left over is kept as a
// pending run. It returns nil when nothing is left over.
func (c *change) startDerivation(env *Environment, trigger string, scopes []DerivationScope) (*Derivation, error) {
	run := &Derivation{ID: c.s.newID(), EnvironmentID: env.ID, Trigger: trigger, Actor: c.by, State: DerivationPending, Started: c.now, Scopes: scopes}
	if err := c.stepDerivation(env, run, c.s.limits.InlineRows); err != nil {
		return nil, err
	}
	if run.State == DerivationComplete {
		return nil, nil
	}
	return run, c.put(row{tablePendingDerivation, key(run.ID), env.ID[:]})
}

// stepDerivation looks at up to limit people and writes the run, the log line and the event of the step.
func (c *change) stepDerivation(env *Environment, run *Derivation, limit int) error {
	// An environment that changes its tenant has people of both: each tenant is told of its own.
	type share struct {
		tenant   ID
		accesses []AccessEffect
		sessions int
	}
	var shares []share
	for len(run.Scopes) > 0 && limit > 0 {
		people, err := c.nextPeople(env, run, limit)
		if err != nil {
			return err
		}
		for _, p := range people {
			c.accesses, c.sessions = nil, 0
			if err := c.derive(env, p.account, p.user, ID{}); err != nil {
				return err
			}
			if len(c.accesses) == 0 {
				continue
			}
			run.count(c.accesses)
			i := slices.IndexFunc(shares, func(s share) bool { return s.tenant == p.account.TenantID })
			if i < 0 {
				i = len(shares)
				shares = append(shares, share{tenant: p.account.TenantID})
			}
			shares[i].accesses = append(shares[i].accesses, c.accesses...)
			shares[i].sessions += c.sessions
		}
		run.Done += len(people)
		limit -= max(1, len(people))
	}
	if len(run.Scopes) == 0 {
		run.State, run.Ended = DerivationComplete, c.now
		if err := c.w.Delete(tablePendingDerivation, key(run.ID)); err != nil {
			return err
		}
	}
	if err := c.put(row{tableDerivations, key(run.EnvironmentID, run.ID), encodeJSON(run)}); err != nil {
		return err
	}
	for _, s := range shares {
		c.accesses, c.sessions = s.accesses, s.sessions
		if err := c.log(LogEvent{TenantID: s.tenant, Action: ActionDerive, TargetType: "Environment", TargetID: env.ID.String(), TargetName: env.Name}); err != nil {
			return err
		}
		if err := c.publish(OutboxEvent{Type: "access.derived", TenantID: s.tenant}); err != nil {
			return err
		}
	}
	return nil
}

func (r *Derivation) count(effects []AccessEffect) {
	for _, a := range effects {
		switch a.Effect {
		case Granted:
			r.Granted++
		case Reactivated:
			r.Reactivated++
		case Deactivated:
			r.Deactivated++
		}
	}
}

type person struct {
	account *Account
	user    *User
}

// nextPeople reads the next people of the first scope of a run and moves its cursor; a scope that
// is at its end is dropped.
func (c *change) nextPeople(env *Environment, run *Derivation, limit int) ([]person, error) {
	scope := &run.Scopes[0]
	t, prefix, who := tableMembers, key(scope.TenantID, scope.GroupID), lastID
	switch {
	case scope.Nested:
		t, prefix, who = tableIndirect, key(env.ID), indirectUser
	case scope.GroupID.IsZero():
		t, prefix = tableEnvironmentAccess, key(env.ID)
	}
	var ids []ID
	var rows []row
	err := c.r.Scan(t, Range{Prefix: prefix, After: scope.After}, func(k, v []byte) bool {
		ids = append(ids, who(k))
		rows = append(rows, row{t, bytes.Clone(k), bytes.Clone(v)})
		return len(ids) < limit
	})
	if err != nil {
		return nil, err
	}
	if len(rows) > 0 {
		scope.After = rows[len(rows)-1].key
	}
	if scope.Nested {
		if err := c.tidyIndirect(env, rows); err != nil {
			return nil, err
		}
	}
	byAccount, tenant := scope.GroupID.IsZero() && !scope.Nested, scope.TenantID
	if len(ids) < limit {
		run.Scopes = run.Scopes[1:]
	}
	var people []person
	for _, id := range ids {
		p, err := c.person(id, byAccount, tenant)
		if err != nil {
			return nil, err
		}
		if p != nil {
			people = append(people, *p)
		}
	}
	return people, nil
}

func (c *change) person(id ID, byAccount bool, tenant ID) (*person, error) {
	if byAccount {
		account, err := c.Account(id)
		if err != nil || account.UserID.IsZero() {
			return &person{account: account}, err
		}
		u, err := c.user(account.TenantID, account.UserID)
		return &person{account, u}, err
	}
	u, err := c.user(tenant, id)
	if err != nil || u == nil { // a nested group, or gone
		return nil, err
	}
	account, err := c.Account(u.AccountID)
	return &person{account, u}, err
}

func (s *Service) wake() {
	select {
	case s.wakeDerivations <- struct{}{}:
	default:
	}
}

// WorkDerivations works on pending runs, those that an earlier process left first, until ctx ends. A
// failed step is tried again after a pause; report is told of it.
func (s *Service) WorkDerivations(ctx context.Context, report func(error)) {
	for {
		more, err := s.workOnce(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			report(err)
			select {
			case <-ctx.Done():
				return
			case <-s.store.Failed():
				return
			case <-time.After(time.Second):
			}
		case !more:
			select {
			case <-ctx.Done():
				return
			case <-s.wakeDerivations:
			}
		}
	}
}

// workOnce does one step of the oldest pending run and reports whether there was one.
func (s *Service) workOnce(ctx context.Context) (bool, error) {
	var id, env ID
	err := s.store.View(ctx, func(r Reader) error {
		return r.Scan(tablePendingDerivation, Range{}, func(k, v []byte) bool {
			id, env = lastID(k), toID(v)
			return false
		})
	})
	if err != nil || id.IsZero() {
		return false, err
	}
	err = s.update(ctx, Actor{Role: RoleSystem, Channel: "system"}, func(c *change) error {
		run, err := c.Derivation(env, id)
		if err != nil {
			return err
		}
		if run.State == DerivationComplete { // another worker was faster
			return nil
		}
		environment, err := c.Environment(env)
		if err != nil {
			return err
		}
		c.by = run.Actor
		return c.stepDerivation(environment, run, s.limits.StepRows)
	})
	return err == nil, err
}

// FinishDerivation works on pending runs until the one named is complete, and returns it. progress is
// told of it after each step. It serves a process that has no worker of its own.
func (s *Service) FinishDerivation(ctx context.Context, environment, id ID, progress func(*Derivation)) (*Derivation, error) {
	for {
		var run *Derivation
		err := s.View(ctx, func(sn *Snapshot) (err error) {
			run, err = sn.Derivation(environment, id)
			return err
		})
		if err != nil {
			return nil, err
		}
		if progress != nil {
			progress(run)
		}
		if run.State == DerivationComplete {
			return run, nil
		}
		if _, err := s.workOnce(ctx); err != nil {
			return nil, err
		}
	}
}
