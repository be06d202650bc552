package entrasim

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	someID  = "aaaaaaaa-0000-4000-8000-000000000001"
	otherID = "aaaaaaaa-0000-4000-8000-000000000002"
)

func check(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestAddedObjects(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	d := New(Options{Now: func() time.Time { return now }})
	check(t, "user", d.Add(User{ID: someID, UserPrincipalName: "A@nordwind.example", AccountEnabled: true}), nil)
	u, ok := d.User(someID)
	if !ok || !u.AccountEnabled || u.UserType != Member || !u.CreatedAt.Equal(now) {
		t.Errorf("%+v", u)
	}
	check(t, "deleted", d.Add(User{ID: otherID, UserPrincipalName: "b@nordwind.example", UserType: Guest, DeletedAt: now}), nil)
	if u, _ := d.User(otherID); !u.Deleted() || u.UserType != Guest {
		t.Errorf("%+v", u)
	}
	check(t, "restored", d.Restore(otherID), nil)
	check(t, "the same id", d.Add(User{ID: someID, UserPrincipalName: "c@nordwind.example"}), ErrTaken)
	check(t, "the same name", d.Add(User{ID: "aaaaaaaa-0000-4000-8000-000000000003", UserPrincipalName: "a@NORDWIND.example"}), ErrTaken)
	check(t, "no name", d.Add(User{ID: "aaaaaaaa-0000-4000-8000-000000000003"}), ErrState)
	for _, id := range []string{"", "x", strings.ToUpper(someID), someID[1:] + "g", strings.ReplaceAll(someID, "-", "0")} {
		check(t, id, d.Add(User{ID: id, UserPrincipalName: "d@nordwind.example"}), ErrState)
		check(t, id, d.AddGroup(id, "G"), ErrState)
	}
	group := "aaaaaaaa-0000-4000-8000-00000000000a"
	check(t, "group", d.AddGroup(group, "G"), nil)
	check(t, "the same group", d.AddGroup(group, "H"), ErrTaken)
	check(t, "a group with the id of a user", d.AddGroup(someID, "H"), ErrTaken)
	device := d.CreateDevice()
	check(t, "a user with the id of a device", d.Add(User{ID: device, UserPrincipalName: "e@nordwind.example"}), ErrTaken)
	check(t, "members", d.SetMembers(group, []string{someID, device, someID, otherID}), nil)
	if got := d.Members(group); !slices.Equal(got, []string{someID, device, otherID}) {
		t.Errorf("members %v", got)
	}
	rev := d.view().rev
	check(t, "the same members", d.SetMembers(group, []string{someID, device, otherID}), nil)
	if d.view().rev != rev {
		t.Error("the same members are a change")
	}
	check(t, "members of nothing", d.SetMembers(someID, nil), ErrNotFound)
	check(t, "unknown member", d.SetMembers(group, []string{"x"}), ErrNotFound)
	check(t, "itself", d.SetMembers(group, []string{group}), ErrState)
	if got := d.Members(group); len(got) != 3 {
		t.Errorf("members after changes that failed: %v", got)
	}
	before, _ := d.Group(group)
	check(t, "nobody", d.SetMembers(group, nil), nil)
	if len(d.Members(group)) != 0 || len(before.Members) != 3 {
		t.Error("members are not replaced, or in a former copy too")
	}
	check(t, "removed device", d.RemoveMember(group, device), nil)
	check(t, "hidden", d.HideMembership(group, true), nil)
	if g, _ := d.Group(group); !g.HiddenMembership {
		t.Error("not hidden")
	}
	check(t, "hide nothing", d.HideMembership(someID, true), ErrNotFound)
}

func TestRecycledName(t *testing.T) {
	d := New(Options{Seed: 3})
	old := d.Hire(Person{})
	name := old.UserPrincipalName
	_, err := d.HireAs(Person{}, strings.ToUpper(name))
	check(t, "a name in use", err, ErrTaken)
	if n := len(d.Snapshot().Users); n != 1 {
		t.Errorf("%d users after a hire that failed", n)
	}
	check(t, "leaver", d.SoftDelete(old.ID), nil)
	heir, err := d.HireAs(Person{GivenName: "Heir"}, name)
	check(t, "heir", err, nil)
	if heir.UserPrincipalName != name || heir.Mail != name || heir.ID == old.ID || heir.MailNickname+"@"+d.Domain() != name {
		t.Errorf("heir %+v", heir)
	}
	gone, _ := d.User(old.ID)
	if want := strings.ReplaceAll(old.ID, "-", "") + name; gone.UserPrincipalName != want || deletedName(&gone) != want {
		t.Errorf("the former holder is %s, want %s", gone.UserPrincipalName, want)
	}
	check(t, "back, under the name of the bin", d.Restore(old.ID), nil)
	if u := d.find(name); u == nil || u.ID != heir.ID {
		t.Errorf("%s is %+v", name, u)
	}
	if u := d.find(gone.UserPrincipalName); u == nil || u.ID != old.ID {
		t.Errorf("%s is %+v", gone.UserPrincipalName, u)
	}
	check(t, "renamed", d.Update(heir.ID, func(u *User) { u.UserPrincipalName = "free@nordwind.example" }), nil)
	third, err := d.HireAs(Person{}, name)
	check(t, "a name that was given up", err, nil)
	if third.UserPrincipalName != name {
		t.Errorf("third %+v", third)
	}
}

func TestSwappedNames(t *testing.T) {
	d := New(Options{Seed: 3})
	a, b := d.Hire(Person{}), d.Hire(Person{})
	rev := d.view().rev
	check(t, "swap", d.SwapNames(a.ID, b.ID), nil)
	if d.view().rev != rev+1 {
		t.Error("more than one change")
	}
	x, _ := d.User(a.ID)
	y, _ := d.User(b.ID)
	if x.UserPrincipalName != b.UserPrincipalName || y.UserPrincipalName != a.UserPrincipalName || x.Mail != b.Mail || y.MailNickname != a.MailNickname || x.DisplayName != a.DisplayName {
		t.Errorf("%+v %+v", x, y)
	}
	if d.find(a.UserPrincipalName).ID != b.ID || d.find(b.UserPrincipalName).ID != a.ID {
		t.Error("the names lead to the wrong users")
	}
	check(t, "nobody", d.SwapNames(a.ID, "x"), ErrNotFound)
	check(t, "deleted", d.SoftDelete(b.ID), nil)
	check(t, "deleted", d.SwapNames(a.ID, b.ID), ErrState)
}

// TestHistory compares every moment that can be taken back with what was copied then.
func TestHistory(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	d := New(Options{Seed: 11, Now: func() time.Time { return now }})
	d.Populate(40, 9)
	const depth = 30
	d.remember(depth)
	past := make(map[uint64]view)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 400 {
		switch rng.IntN(12) {
		case 0:
			g := d.CreateGroup("New").ID
			check(t, "member", d.AddMember(g, d.Snapshot().Users[0].ID), nil)
		case 1:
			if g := d.Snapshot().Groups; len(g) > 5 {
				check(t, "delete", d.DeleteGroup(g[rng.IntN(len(g))].ID), nil)
			}
		case 2:
			if u := d.Snapshot().Users; len(u) > 5 {
				id := u[rng.IntN(len(u))].ID
				_ = d.SoftDelete(id)
				check(t, "purge", d.HardDelete(id), nil)
			}
		default:
			d.RandomChange(1)
		}
		v := d.view()
		past[v.rev] = v
		for back := range depth + 1 {
			got := d.behind(back, nil)
			want, known := past[got.rev]
			if got.rev != v.rev-uint64(back) || known && !reflect.DeepEqual(*got, want) {
				t.Fatalf("%d changes back from %d: revision %d differs", back, v.rev, got.rev)
			}
		}
		if n := len(d.history.steps); n > 5*depth {
			t.Fatalf("%d steps are remembered", n)
		}
	}
	if v := d.behind(0, nil); d.behind(0, v) != v {
		t.Error("a directory that did not change is copied again")
	}
}

func TestHistoryStartsWhenAsked(t *testing.T) {
	d := New(Options{})
	a := d.Hire(Person{}).ID
	if len(d.history.steps) != 0 {
		t.Error("remembered without being asked")
	}
	d.remember(5)
	b := d.Hire(Person{}).ID
	if v := d.behind(5, nil); len(v.users) != 1 || v.users[0].ID != a {
		t.Errorf("%d users, want the one that was there", len(v.users))
	}
	if v := d.behind(0, nil); len(v.users) != 2 || v.users[1].ID != b {
		t.Errorf("%d users", len(v.users))
	}
}

func TestExpiryWithoutLookingAtEverybody(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	d := New(Options{Now: func() time.Time { return now }})
	var ids []string
	for range 4 {
		ids = append(ids, d.Hire(Person{}).ID)
	}
	check(t, "deleted", d.SoftDelete(ids[0]), nil)
	check(t, "deleted", d.SoftDelete(ids[1]), nil)
	check(t, "restored", d.Restore(ids[1]), nil)
	check(t, "deleted", d.SoftDelete(ids[2]), nil)
	check(t, "purged", d.HardDelete(ids[2]), nil)
	now = now.Add(Retention - time.Nanosecond)
	if _, ok := d.User(ids[0]); !ok {
		t.Error("gone too early")
	}
	now = now.Add(time.Nanosecond)
	if _, ok := d.User(ids[0]); ok {
		t.Error("30 days have passed")
	}
	var left []string
	for _, u := range d.Snapshot().Users {
		left = append(left, u.ID)
	}
	if !slices.Equal(left, []string{ids[1], ids[3]}) || len(d.bin) != 0 {
		t.Errorf("left %v, bin %v", left, d.bin)
	}
}
