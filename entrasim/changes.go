package entrasim

import (
	"fmt"
	"slices"
	"strings"
)

// Add puts a user with an object id, a name and a state of its own choice into the directory: one that a test knows,
// or one that came from elsewhere. The id must be a lower-case GUID that is not in use; CreatedAt may be left zero.
func (t *Tenant) Add(u User) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.mayAdd(u.ID); err != nil {
		return err
	}
	if u.UserPrincipalName == "" {
		return fmt.Errorf("user %s without a userPrincipalName: %w", u.ID, ErrState)
	}
	if _, taken := t.upns[strings.ToLower(u.UserPrincipalName)]; taken {
		return fmt.Errorf("userPrincipalName %s: %w", u.UserPrincipalName, ErrTaken)
	}
	if u.UserType == "" {
		u.UserType = Member
	}
	if u.CreatedAt.IsZero() {
		u.CreatedAt = t.now()
	}
	t.put(&u)
	t.upns[strings.ToLower(u.UserPrincipalName)] = u.ID
	return nil
}

// AddGroup puts a group with an object id of its own choice into the directory. Its members are set by
// [Tenant.SetMembers].
func (t *Tenant) AddGroup(id, displayName string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.mayAdd(id); err != nil {
		return err
	}
	t.rev++
	t.setGroup(id, &Group{ID: id, DisplayName: displayName, CreatedAt: t.now(), rev: t.rev})
	return nil
}

// CreateDevice adds a device and returns its object id. A device can be a member of groups, and is not a person.
func (t *Tenant) CreateDevice() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rev++
	id := t.newID()
	t.devices[id] = true
	return id
}

// mayAdd checks the object id of something new. The caller holds mu.
func (t *Tenant) mayAdd(id string) error {
	if !isGUID(id) || id != strings.ToLower(id) {
		return fmt.Errorf("object id %q is not a lower-case GUID: %w", id, ErrState)
	}
	if t.users[id] != nil || t.groups[id] != nil || t.devices[id] {
		return fmt.Errorf("object id %s: %w", id, ErrTaken)
	}
	return nil
}

// HireAs adds a new person under a name that somebody had before: the recycled user principal name, with the mail
// address of the same text. A soft-deleted holder of the name loses it the way Entra takes it, by its own object id
// in front; a living holder keeps it, and that is [ErrTaken].
func (t *Tenant) HireAs(p Person, userPrincipalName string) (User, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire()
	if holder := t.users[t.upns[strings.ToLower(userPrincipalName)]]; holder != nil {
		if !holder.Deleted() {
			return User{}, fmt.Errorf("userPrincipalName %s: %w", userPrincipalName, ErrTaken)
		}
		c := *holder
		c.UserPrincipalName = deletedName(holder)
		delete(t.upns, strings.ToLower(holder.UserPrincipalName))
		t.upns[strings.ToLower(c.UserPrincipalName)] = c.ID
		t.put(&c)
	}
	id := t.hire(p).ID
	err := t.changeLocked(id, func(u *User) error {
		u.UserPrincipalName, u.Mail = userPrincipalName, userPrincipalName
		u.MailNickname, _, _ = strings.Cut(userPrincipalName, "@")
		return nil
	})
	return *t.users[id], err
}

// deletedName is the user principal name of a user in the recycle bin: Entra puts the object id without hyphens in
// front, so that the name is free for somebody else.
func deletedName(u *User) string {
	prefix := strings.ReplaceAll(u.ID, "-", "")
	if strings.HasPrefix(u.UserPrincipalName, prefix) {
		return u.UserPrincipalName
	}
	return prefix + u.UserPrincipalName
}

// SwapNames exchanges the user principal names, nicknames and mail addresses of two users that are not deleted, in
// one change: no reader sees a moment in which both or neither has a name.
func (t *Tenant) SwapNames(a, b string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range []string{a, b} {
		switch u := t.users[id]; {
		case u == nil:
			return fmt.Errorf("user %s: %w", id, ErrNotFound)
		case u.Deleted():
			return fmt.Errorf("user %s is deleted: %w", id, ErrState)
		}
	}
	t.rev++
	x, y := *t.users[a], *t.users[b]
	x.UserPrincipalName, y.UserPrincipalName = y.UserPrincipalName, x.UserPrincipalName
	x.MailNickname, y.MailNickname = y.MailNickname, x.MailNickname
	x.Mail, y.Mail = y.Mail, x.Mail
	for _, u := range []*User{&x, &y} {
		u.rev = t.rev
		t.setUser(u.ID, u)
		t.upns[strings.ToLower(u.UserPrincipalName)] = u.ID
	}
	return nil
}

// SetMembers replaces all direct members of a group in one change, as an edited rule of a dynamic group does.
// Duplicates are dropped.
func (t *Tenant) SetMembers(groupID string, members []string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.groups[groupID]
	if g == nil {
		return fmt.Errorf("group %s: %w", groupID, ErrNotFound)
	}
	c := *g
	c.Members = make([]string, 0, len(members))
	seen := make(map[string]bool, len(members))
	for _, id := range members {
		if err := t.mayJoin(groupID, id); err != nil {
			return err
		}
		if !seen[id] {
			seen[id] = true
			c.Members = append(c.Members, id)
		}
	}
	if slices.Equal(g.Members, c.Members) {
		return nil
	}
	t.rev++
	t.setGroup(groupID, &c)
	return nil
}

// HideMembership sets whether the members of a group can be seen by those with Member.Read.Hidden only. (In Entra this
// is chosen when a group is created; here a test may change its mind.)
func (t *Tenant) HideMembership(groupID string, hidden bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.groups[groupID]
	if g == nil {
		return fmt.Errorf("group %s: %w", groupID, ErrNotFound)
	}
	t.rev++
	c := *g
	c.HiddenMembership, c.rev = hidden, t.rev
	t.setGroup(groupID, &c)
	return nil
}

// isGUID reports whether s has the shape of a GUID (RFC 9562, section 4), in either case.
func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F':
		default:
			return false
		}
	}
	return true
}
