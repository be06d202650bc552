package entrasim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Retention is how long a deleted user can be restored before the directory removes it for good.
// Source: Microsoft, "Restore or remove a recently deleted user".
const Retention = 30 * 24 * time.Hour

// Directory errors. The methods of [Tenant] wrap them with the object concerned.
var (
	ErrNotFound = errors.New("no such object")
	ErrState    = errors.New("not possible in this state")
	ErrTaken    = errors.New("name is taken")
)

// Options say how to make a [Tenant]. The zero value is usable.
type Options struct {
	Seed   uint64
	Domain string           // verified domain of the members' names; default "nordwind.example"
	Now    func() time.Time // default time.Now
}

// UserType tells members of the organization from invited guests.
type UserType string

// The user types of Microsoft Graph.
const (
	Member UserType = "Member"
	Guest  UserType = "Guest"
)

// User is a person in the directory, with the attributes of Microsoft Graph's user resource that provisioning maps.
// Empty strings stand for absent attributes.
type User struct {
	ID                string // object id, a lower-case GUID
	UserPrincipalName string // "name@domain"; for guests "name_home.example#EXT#@domain"
	MailNickname      string
	Mail              string
	DisplayName       string
	GivenName         string
	Surname           string
	JobTitle          string
	Department        string
	EmployeeID        string
	CompanyName       string
	PreferredLanguage string // BCP 47, such as "nl-NL"
	BusinessPhone     string // E.164 with spaces
	MobilePhone       string
	FaxNumber         string
	OfficeLocation    string
	StreetAddress     string
	City              string
	State             string
	PostalCode        string
	Country           string // free text, as in Entra
	UsageLocation     string // ISO 3166-1 alpha-2
	Manager           string // object id
	AccountEnabled    bool
	UserType          UserType
	CreatedAt         time.Time
	DeletedAt         time.Time // zero unless soft deleted

	rev uint64 // value of Tenant.rev at the last change; the delta query of this directory
}

// Deleted reports whether the user lies in the recycle bin.
func (u User) Deleted() bool { return !u.DeletedAt.IsZero() }

// Group is a security group.
type Group struct {
	ID          string // object id, a lower-case GUID
	DisplayName string
	// Members are the object ids of the direct members (users, groups and devices) in the order of joining. A soft-deleted user
	// keeps its place, because Restore gives the memberships back, but counts as a member only after that.
	Members []string
	// HiddenMembership says that only an application with Member.Read.Hidden sees the members.
	HiddenMembership bool
	CreatedAt        time.Time

	rev uint64 // last change of a property; membership does not count
}

// Snapshot is a consistent copy of the directory, in order of creation.
type Snapshot struct {
	Users  []User // soft-deleted users included
	Groups []Group
}

// Tenant is the directory. All methods may be called from several goroutines.
type Tenant struct {
	id, domain string
	now        func() time.Time

	mu sync.RWMutex // guards everything below
	// Users and groups are copy-on-write: a value in the maps never changes, so a view costs two map copies.
	users      map[string]*User
	groups     map[string]*Group
	userOrder  []string
	groupOrder []string
	bin        map[string]bool // object ids of the soft-deleted users
	devices    map[string]bool // object ids; devices are only there
	history    history
	upns       map[string]string // lower-case userPrincipalName -> object id
	rev        uint64
	namesakes  map[string]int // local part -> highest number given out to tell namesakes apart, less one
	employees  int
	rng, ids   *rand.Rand
}

// New makes an empty directory.
func New(o Options) *Tenant {
	t := &Tenant{
		domain:    o.Domain,
		now:       o.Now,
		users:     make(map[string]*User),
		groups:    make(map[string]*Group),
		bin:       make(map[string]bool),
		devices:   make(map[string]bool),
		upns:      make(map[string]string),
		namesakes: make(map[string]int),
		rng:       rand.New(rand.NewPCG(o.Seed, 1)),
		ids:       rand.New(rand.NewPCG(o.Seed, 2)),
	}
	if t.domain == "" {
		t.domain = "nordwind.example"
	}
	if t.now == nil {
		t.now = time.Now
	}
	t.id = t.newID()
	return t
}

// ID is the directory (tenant) id.
func (t *Tenant) ID() string { return t.id }

// Domain is the verified domain of the members' names.
func (t *Tenant) Domain() string { return t.domain }

func (t *Tenant) newID() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], t.ids.Uint64())
	binary.BigEndian.PutUint64(b[8:], t.ids.Uint64())
	return guid(b)
}

// guid formats random bytes as a version 4 UUID (RFC 9562, section 5.4).
func guid(b [16]byte) string {
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Snapshot copies the directory.
func (t *Tenant) Snapshot() Snapshot {
	v := t.view()
	var s Snapshot
	for _, u := range v.users {
		s.Users = append(s.Users, *u)
	}
	for _, g := range v.groups {
		c := *g
		c.Members = slices.Clone(g.Members)
		s.Groups = append(s.Groups, c)
	}
	return s
}

// User returns one user, soft deleted or not.
func (t *Tenant) User(id string) (User, bool) {
	u := t.user(id)
	if u == nil {
		return User{}, false
	}
	return *u, true
}

// Group returns one group.
func (t *Tenant) Group(id string) (Group, bool) {
	g := t.group(id)
	if g == nil {
		return Group{}, false
	}
	c := *g
	c.Members = slices.Clone(g.Members)
	return c, true
}

// Members returns the direct members of a group as Microsoft Graph lists them: without soft-deleted users.
func (t *Tenant) Members(groupID string) []string {
	v := t.view()
	g, ok := v.group[groupID]
	if !ok {
		return nil
	}
	var ids []string
	for _, id := range g.Members {
		if u := v.user[id]; u == nil || !u.Deleted() {
			ids = append(ids, id)
		}
	}
	return ids
}

// view is an immutable look at the directory.
type view struct {
	rev    uint64
	users  []*User // in order of creation
	groups []*Group
	user   map[string]*User
	group  map[string]*Group
}

func (t *Tenant) view() view {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire()
	return t.viewAt(t.rev)
}

// expire removes for good what was deleted longer than [Retention] ago. The caller holds mu.
func (t *Tenant) expire() {
	limit := t.now().Add(-Retention)
	var gone []string
	for id := range t.bin {
		if !t.users[id].DeletedAt.After(limit) {
			gone = append(gone, id)
		}
	}
	slices.Sort(gone)
	for _, id := range gone {
		t.remove(id)
	}
}

// Person describes someone to hire. What is left empty is drawn from the seed.
type Person struct {
	GivenName, Surname   string
	JobTitle, Department string
	Manager              string // object id
	HomeDomain           string // set for a guest: the domain of its own organization
}

// Hire adds an enabled user and returns it.
func (t *Tenant) Hire(p Person) User {
	t.mu.Lock()
	defer t.mu.Unlock()
	return *t.hire(p)
}

func (t *Tenant) hire(p Person) *User {
	u := t.invent(p)
	u.ID = t.newID()
	u.CreatedAt = t.now()
	u.AccountEnabled = true
	t.rev++
	u.rev = t.rev
	t.setUser(u.ID, u)
	t.upns[strings.ToLower(u.UserPrincipalName)] = u.ID
	return u
}

// Update changes any attributes of a user that is not deleted. The object id and the deleted state are left alone.
func (t *Tenant) Update(id string, change func(*User)) error {
	return t.change(id, func(u *User) error {
		before := *u
		change(u)
		u.ID, u.DeletedAt, u.CreatedAt = before.ID, before.DeletedAt, before.CreatedAt
		return nil
	})
}

// Rename gives a user another surname, and the user principal name and mail address that follow from it.
func (t *Tenant) Rename(id, surname string) error {
	return t.change(id, func(u *User) error { t.rename(u, surname); return nil })
}

// Move changes the department of a user and exchanges groups: out of those in leave, into those in join.
func (t *Tenant) Move(id, department string, leave, join []string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, g := range slices.Concat(leave, join) {
		if t.groups[g] == nil {
			return fmt.Errorf("group %s: %w", g, ErrNotFound)
		}
	}
	if err := t.changeLocked(id, func(u *User) error { u.Department = department; return nil }); err != nil {
		return err
	}
	for _, g := range leave {
		t.removeMember(g, id)
	}
	for _, g := range join {
		t.addMember(g, id)
	}
	return nil
}

// Disable sets accountEnabled to false.
func (t *Tenant) Disable(id string) error {
	return t.Update(id, func(u *User) { u.AccountEnabled = false })
}

// Enable sets accountEnabled to true.
func (t *Tenant) Enable(id string) error {
	return t.Update(id, func(u *User) { u.AccountEnabled = true })
}

// SoftDelete moves a user to the recycle bin, from where it can be restored within [Retention].
func (t *Tenant) SoftDelete(id string) error {
	return t.change(id, func(u *User) error { u.DeletedAt = t.now(); return nil })
}

// Restore brings a soft-deleted user back with the attributes and memberships it had.
func (t *Tenant) Restore(id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.restore(id)
}

func (t *Tenant) restore(id string) error {
	t.expire()
	u, ok := t.users[id]
	switch {
	case !ok:
		return fmt.Errorf("user %s: %w", id, ErrNotFound)
	case !u.Deleted():
		return fmt.Errorf("user %s is not deleted: %w", id, ErrState)
	}
	c := *u
	c.DeletedAt = time.Time{}
	t.put(&c)
	return nil
}

// HardDelete removes a soft-deleted user for good, with all its memberships.
func (t *Tenant) HardDelete(id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	u, ok := t.users[id]
	switch {
	case !ok:
		return fmt.Errorf("user %s: %w", id, ErrNotFound)
	case !u.Deleted():
		return fmt.Errorf("user %s must be soft deleted first: %w", id, ErrState)
	}
	t.remove(id)
	return nil
}

// CreateGroup adds an empty group. Entra allows equal names; so does this.
func (t *Tenant) CreateGroup(displayName string) Group {
	t.mu.Lock()
	defer t.mu.Unlock()
	return *t.createGroup(displayName)
}

func (t *Tenant) createGroup(displayName string) *Group {
	t.rev++
	g := &Group{ID: t.newID(), DisplayName: displayName, CreatedAt: t.now(), rev: t.rev}
	t.setGroup(g.ID, g)
	return g
}

// RenameGroup changes the display name of a group.
func (t *Tenant) RenameGroup(id, displayName string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.renameGroup(id, displayName)
}

func (t *Tenant) renameGroup(id, displayName string) error {
	g, ok := t.groups[id]
	if !ok {
		return fmt.Errorf("group %s: %w", id, ErrNotFound)
	}
	t.rev++
	c := *g
	c.DisplayName, c.rev = displayName, t.rev
	t.setGroup(id, &c)
	return nil
}

// DeleteGroup removes a group for good; security groups have no recycle bin.
func (t *Tenant) DeleteGroup(id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.groups[id] == nil {
		return fmt.Errorf("group %s: %w", id, ErrNotFound)
	}
	t.rev++
	t.setGroup(id, nil)
	for g := range t.groups {
		t.removeMember(g, id)
	}
	return nil
}

// AddMember makes a user or a group a direct member. Adding a member twice changes nothing.
func (t *Tenant) AddMember(groupID, memberID string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.groups[groupID] == nil {
		return fmt.Errorf("group %s: %w", groupID, ErrNotFound)
	}
	if err := t.mayJoin(groupID, memberID); err != nil {
		return err
	}
	t.addMember(groupID, memberID)
	return nil
}

// mayJoin checks a member to be. The caller holds mu.
func (t *Tenant) mayJoin(groupID, memberID string) error {
	if t.groups[memberID] == nil && t.users[memberID] == nil && !t.devices[memberID] {
		return fmt.Errorf("member %s: %w", memberID, ErrNotFound)
	}
	if groupID == memberID {
		return fmt.Errorf("group %s in itself: %w", groupID, ErrState)
	}
	return nil
}

// RemoveMember takes a direct member out. Removing a non-member changes nothing.
func (t *Tenant) RemoveMember(groupID, memberID string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.groups[groupID] == nil {
		return fmt.Errorf("group %s: %w", groupID, ErrNotFound)
	}
	t.removeMember(groupID, memberID)
	return nil
}

func (t *Tenant) addMember(groupID, memberID string) {
	g := t.groups[groupID]
	if slices.Contains(g.Members, memberID) {
		return
	}
	t.rev++
	c := *g
	c.Members = append(g.Members, memberID) //nolint:gocritic // older versions may share the array; they end before the new element
	t.setGroup(groupID, &c)
}

func (t *Tenant) removeMember(groupID, memberID string) {
	g := t.groups[groupID]
	i := slices.Index(g.Members, memberID)
	if i < 0 {
		return
	}
	t.rev++
	c := *g
	c.Members = slices.Concat(g.Members[:i], g.Members[i+1:])
	t.setGroup(groupID, &c)
}

// change applies f to a copy of a user that is not deleted and stores it unless f fails.
func (t *Tenant) change(id string, f func(*User) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changeLocked(id, f)
}

func (t *Tenant) changeLocked(id string, f func(*User) error) error {
	u, ok := t.users[id]
	switch {
	case !ok:
		return fmt.Errorf("user %s: %w", id, ErrNotFound)
	case u.Deleted():
		return fmt.Errorf("user %s is deleted: %w", id, ErrState)
	}
	c := *u
	if err := f(&c); err != nil {
		return err
	}
	if owner, ok := t.upns[strings.ToLower(c.UserPrincipalName)]; ok && owner != id {
		return fmt.Errorf("userPrincipalName %s: %w", c.UserPrincipalName, ErrTaken)
	}
	delete(t.upns, strings.ToLower(u.UserPrincipalName))
	t.upns[strings.ToLower(c.UserPrincipalName)] = id
	t.put(&c)
	return nil
}

func (t *Tenant) put(u *User) {
	t.rev++
	u.rev = t.rev
	t.setUser(u.ID, u)
}

// remove deletes a user for good. The caller holds mu.
func (t *Tenant) remove(id string) {
	t.rev++
	delete(t.upns, strings.ToLower(t.users[id].UserPrincipalName))
	t.setUser(id, nil)
	for g := range t.groups {
		t.removeMember(g, id)
	}
	for _, u := range t.users {
		if u.Manager == id {
			c := *u
			c.Manager = ""
			t.put(&c)
		}
	}
}
