package directory

import (
	"context"
	"time"
)

// Batch is several changes of one transaction: all of them happen, or none does. Each is derived, logged
// and told as if it were alone, after those before it.
type Batch struct {
	s           *Service
	w           Writer
	now         time.Time
	ended, told bool
	first       uint64 // the number of the first event; zero: there was none
	err         error  // of the change that failed
}

// Together runs fn in one transaction. When fn or any change of the Batch fails, nothing has happened,
// whatever fn makes of it. fn may run again, so it must change nothing but the Batch; the Batch ends with fn.
func (s *Service) Together(ctx context.Context, fn func(*Batch) error) error {
	ended, told := false, false
	err := s.store.Update(ctx, func(w Writer) error {
		b := &Batch{s: s, w: w, now: s.now()}
		err := fn(b)
		if b.err != nil {
			err = b.err
		}
		ended, told = b.ended, b.told
		return err
	})
	if err == nil && ended {
		s.ends.send()
	}
	if err == nil && told {
		s.published.send()
	}
	return err
}

// change runs fn as the next change of the transaction. After one that failed there is no other.
func (b *Batch) change(by Actor, fn func(*change) error) error {
	if b.err != nil {
		return b.err
	}
	c := &change{Snapshot: &Snapshot{r: b.w, fold: b.s.Fold}, s: b.s, w: b.w, by: by, now: b.now, first: b.first}
	b.err = fn(c)
	b.ended, b.told, b.first = b.ended || c.ended, b.told || c.told, c.first
	return b.err
}

// CreateUser is Service.CreateUser as a part of the transaction. id is one that Service.NewID has given
// for this user alone, so that others of the Batch can refer to it before it is there; zero: a new one.
func (b *Batch) CreateUser(by Actor, tenant, id ID, in UserInput) (u *User, err error) {
	err = b.change(by, func(c *change) (err error) {
		u, err = c.createUser(tenant, id, in)
		return err
	})
	return u, err
}

// UpdateUser is Service.UpdateUser as a part of the transaction.
func (b *Batch) UpdateUser(by Actor, tenant, id ID, fn func(*User) (UserInput, error)) (u *User, err error) {
	err = b.change(by, func(c *change) (err error) {
		u, err = c.updateUser(tenant, id, fn)
		return err
	})
	return u, err
}

// DeleteUser is Service.DeleteUser as a part of the transaction.
func (b *Batch) DeleteUser(by Actor, tenant, id ID, check func(*User) error) error {
	return b.change(by, func(c *change) error { return c.deleteUser(tenant, id, check) })
}

// CreateGroup is Service.CreateGroup as a part of the transaction; id is as for CreateUser.
func (b *Batch) CreateGroup(by Actor, tenant, id ID, in GroupInput, members []ID) (g *Group, err error) {
	err = b.change(by, func(c *change) (err error) {
		g, err = c.createGroup(tenant, id, in, members)
		return err
	})
	return g, err
}

// UpdateGroup is Service.UpdateGroup as a part of the transaction.
func (b *Batch) UpdateGroup(by Actor, tenant, id ID, fn func(*Group, *Membership) (GroupInput, error)) (g *Group, err error) {
	err = b.change(by, func(c *change) (err error) {
		g, err = c.updateGroup(tenant, id, fn)
		return err
	})
	return g, err
}

// DeleteGroup is Service.DeleteGroup as a part of the transaction.
func (b *Batch) DeleteGroup(by Actor, tenant, id ID, check func(*Group) error) error {
	return b.change(by, func(c *change) error { return c.deleteGroup(tenant, id, check) })
}
