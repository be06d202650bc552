package desk_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

func newDesk(w *apptest.World) *desk.Desk {
	return desk.New(desk.Config{Service: w.Service, URL: func() string { return "https://id.example" }, Now: w.Now})
}

func actor(role directory.Role, organizations, environments []directory.ID) directory.Actor {
	return directory.Actor{Role: role, Channel: "api", Reach: &directory.Reach{Organizations: organizations, Environments: environments}}
}

func partner(c *apptest.Customer) directory.Actor {
	return actor(directory.RolePartner, []directory.ID{c.Organization.ID}, nil)
}

func administrator(c *apptest.Customer) directory.Actor {
	return actor(directory.RoleEnvironment, nil, []directory.ID{c.Production.ID})
}

func push(c *apptest.Customer) directory.Actor {
	return directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: c.Tenant.ID.String(), Method: http.MethodPost}
}

// failure writes a line of a customer's log.
func failure(w *apptest.World, c *apptest.Customer, name string) {
	w.Helper()
	w.Must(w.Service.LogFailure(w.Context(), push(c), directory.LogEvent{TenantID: c.Tenant.ID, Action: directory.ActionCreate, TargetType: "User", TargetName: name, Answer: http.StatusConflict}))
}

// all reads every page of a selection.
func all(w *apptest.World, by directory.Actor, f desk.LogFilter, limit int) (lines []desk.LogLine, pages int) {
	w.Helper()
	for after := ""; ; {
		list, err := newDesk(w).Log(w.Context(), by, f, desk.Page{After: after, Limit: limit})
		w.Must(err)
		lines, pages = append(lines, list.Items...), pages+1
		if list.Next == "" {
			return lines, pages
		}
		after = list.Next
	}
}

func numbers(lines []desk.LogLine) (all []uint64) {
	for _, l := range lines {
		all = append(all, l.Sequence)
	}
	return all
}

// The logs of several tenants are one, by the numbers of their lines, whatever the size of the pages.
func TestLogMergesTenants(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	for i := range 20 {
		failure(w, []*apptest.Customer{w.Fjord, w.Nordwind, w.Nordwind}[i%3], fmt.Sprint("x", i))
	}
	whole, _ := all(w, apptest.Operator, desk.LogFilter{}, 500)
	if !slices.IsSortedFunc(whole, func(a, b desk.LogLine) int { return int(b.Sequence) - int(a.Sequence) }) || len(whole) != 28 {
		t.Fatalf("%v", numbers(whole))
	}
	tenants := map[string]int{}
	for _, l := range whole {
		tenants[l.Tenant.ID]++
	}
	if len(tenants) != 2 {
		t.Errorf("%v", tenants)
	}
	rapid.Check(t, func(rt *rapid.T) {
		limit := rapid.IntRange(1, 30).Draw(rt, "limit")
		got, _ := all(w, apptest.Operator, desk.LogFilter{}, limit)
		if diff := cmp.Diff(numbers(whole), numbers(got)); diff != "" {
			rt.Errorf("by %d (-want +got):\n%s", limit, diff)
		}
	})
}

// Each sees what is theirs: a partner the tenant's log, an administrator what changed accesses of the environment.
func TestLogByReach(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	failure(w, w.Fjord, "mine")
	failure(w, w.Nordwind, "theirs")
	for name, c := range map[string]struct {
		by   directory.Actor
		want int
	}{"operator": {apptest.Operator, 10}, "partner": {partner(w.Fjord), 5}, "administrator": {administrator(w.Fjord), 1}, "administrator of none": {actor(directory.RoleEnvironment, nil, nil), 0},
		"both": {actor(directory.RolePartner, []directory.ID{w.Fjord.Organization.ID}, []directory.ID{w.Nordwind.Production.ID}), 6}} {
		lines, _ := all(w, c.by, desk.LogFilter{}, 2)
		if len(lines) != c.want {
			t.Errorf("%s sees %d lines, not %d", name, len(lines), c.want)
		}
		for _, l := range lines {
			if name != "operator" && name != "both" && l.Tenant.ID != w.Fjord.Tenant.ID.String() {
				t.Errorf("%s sees a line of %s", name, l.Tenant.Name)
			}
		}
	}
	for _, by := range []directory.Actor{{Role: directory.RoleUser}, {Role: directory.RoleDirectory}, {}} {
		if _, err := newDesk(w).Log(t.Context(), by, desk.LogFilter{}, desk.Page{}); directory.KindOf(err) != directory.Forbidden {
			t.Errorf("%q: %v", by.Role, err)
		}
		if _, err := newDesk(w).LeaversAndJoiners(t.Context(), by, desk.ReportFilter{}); directory.KindOf(err) != directory.Forbidden {
			t.Errorf("%q: %v", by.Role, err)
		}
	}
}

func TestLogFilters(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	failure(w, w.Fjord, "ÅSA Lind")
	_, err := w.Service.UpdateUser(t.Context(), push(w.Fjord), w.Fjord.Tenant.ID, w.Fjord.Users[2].ID, func(u *directory.User) (directory.UserInput, error) {
		p := u.Profile
		p.Active = false
		return directory.UserInput{Profile: p, SaysActive: true, Schemas: u.Schemas, Attributes: u.Attributes, Changes: []directory.Change{{Name: "active"}}}, nil
	})
	w.Must(err)
	ana := w.Fjord.Users[2]
	for name, c := range map[string]struct {
		f    desk.LogFilter
		want int
	}{
		"all":                  {desk.LogFilter{Tenant: w.Fjord.Tenant.ID}, 6},
		"failures":             {desk.LogFilter{Tenant: w.Fjord.Tenant.ID, Status: "failure"}, 1},
		"successes":            {desk.LogFilter{Tenant: w.Fjord.Tenant.ID, Status: "success"}, 5},
		"creates":              {desk.LogFilter{Tenant: w.Fjord.Tenant.ID, Action: "create"}, 5},
		"disables":             {desk.LogFilter{Action: "disable"}, 1},
		"push":                 {desk.LogFilter{Tenant: w.Fjord.Tenant.ID, Channel: "push"}, 6},
		"pull":                 {desk.LogFilter{Channel: "pull"}, 0},
		"identity, other case": {desk.LogFilter{Identity: "åsa"}, 1},
		"external id":          {desk.LogFilter{Identity: ana.ExternalID}, 2},
		"person, and group":    {desk.LogFilter{Person: ana.AccountID}, 3},
		"environment":          {desk.LogFilter{Environment: w.Fjord.Production.ID}, 2},
		"environment, tenant":  {desk.LogFilter{Environment: w.Fjord.Production.ID, Tenant: w.Nordwind.Tenant.ID}, 0},
		"no such run":          {desk.LogFilter{Run: directory.ID{9}}, 0},
		"before all":           {desk.LogFilter{To: w.Now().Add(-2 * time.Hour)}, 0},
		"after all":            {desk.LogFilter{From: w.Now().Add(time.Hour)}, 0},
	} {
		if got, _ := all(w, apptest.Operator, c.f, 50); len(got) != c.want {
			t.Errorf("%s: %d lines, not %d", name, len(got), c.want)
		}
	}
	if got, _ := all(w, apptest.Operator, desk.LogFilter{Status: "failure", Action: "create"}, 50); len(got) != 1 || got[0].Identity.Name != "ÅSA Lind" {
		t.Errorf("%+v", got)
	}
}

// A search that finds little stops, and says where it goes on.
func TestLogSearchIsBounded(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	failure(w, w.Fjord, "needle")
	const hay = 2200
	for range hay {
		w.Must(w.Service.LogFailure(t.Context(), push(w.Fjord), directory.LogEvent{TenantID: w.Fjord.Tenant.ID, Action: directory.ActionOther, TargetType: "Group", TargetName: "hay"}))
	}
	list, err := newDesk(w).Log(t.Context(), apptest.Operator, desk.LogFilter{Identity: "needle"}, desk.Page{})
	if err != nil || len(list.Items) != 0 || list.Next == "" {
		t.Fatalf("%d lines, next %q, %v", len(list.Items), list.Next, err)
	}
	got, pages := all(w, apptest.Operator, desk.LogFilter{Identity: "needle"}, 50)
	if len(got) != 1 || pages != 2 {
		t.Errorf("%d lines on %d pages", len(got), pages)
	}
}

// What a time selects is found without looking at what is later.
func TestLogOfATimeIsFound(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	start := w.Now()
	for i := range 40 {
		w.Advance(3 * time.Hour)
		failure(w, w.Fjord, strconv.Itoa(i))
	}
	rapid.Check(t, func(rt *rapid.T) {
		from, hours := rapid.IntRange(1, 40).Draw(rt, "from"), rapid.IntRange(0, 20).Draw(rt, "hours")
		f := desk.LogFilter{Status: "failure", From: start.Add(time.Duration(from)*3*time.Hour - time.Hour)}
		f.To = f.From.Add(time.Duration(hours)*time.Hour + 30*time.Minute) // the moments of the lines themselves are later by what the test took
		var want []string
		for i := 39; i >= 0; i-- {
			if at := start.Add(time.Duration(i+1) * 3 * time.Hour); !at.Before(f.From) && !at.After(f.To) {
				want = append(want, strconv.Itoa(i))
			}
		}
		lines, _ := all(w, apptest.Operator, f, 3)
		var got []string
		for _, l := range lines {
			got = append(got, l.Identity.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestLogLine(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	lines, _ := all(w, apptest.Operator, desk.LogFilter{Tenant: w.Fjord.Tenant.ID, Environment: w.Fjord.Production.ID}, 50)
	got, err := newDesk(w).LogLine(t.Context(), apptest.Operator, w.Fjord.Tenant.ID, lines[0].Sequence)
	w.Must(err)
	if got.Total != 3 || len(got.Accesses) != 3 || got.Accesses[0].Effect != directory.Granted || len(got.Told) != 1 || got.Told[0].Type != "group.created" {
		t.Errorf("%+v", got)
	}
	want := []desk.LogStep{{Name: "received", Status: "success"}, {Name: "matched", Status: "success"}, {Name: "evaluated", Status: "success"}, {Name: "provisioned", Status: "success"}, {Name: "told", Status: "success"}}
	if diff := cmp.Diff(want, got.Steps); diff != "" {
		t.Error(diff)
	}
	failure(w, w.Fjord, "failed")
	lines, _ = all(w, partner(w.Fjord), desk.LogFilter{Status: "failure"}, 1)
	got, err = newDesk(w).LogLine(t.Context(), partner(w.Fjord), w.Fjord.Tenant.ID, lines[0].Sequence)
	w.Must(err)
	if got.Request.Status != http.StatusConflict || got.Request.Method != http.MethodPost || got.Request.Path != "/Users" || got.Steps[2].Status != "failure" || len(got.Told) != 0 {
		t.Errorf("%+v", got)
	}
	for _, by := range []directory.Actor{partner(w.Nordwind), administrator(w.Nordwind), administrator(w.Fjord)} {
		if _, err := newDesk(w).LogLine(t.Context(), by, w.Fjord.Tenant.ID, lines[0].Sequence); directory.KindOf(err) != directory.NotFound {
			t.Errorf("%+v: %v", by, err)
		}
	}
	if _, err := newDesk(w).LogLine(t.Context(), apptest.Operator, w.Nordwind.Tenant.ID, lines[0].Sequence); directory.KindOf(err) != directory.NotFound {
		t.Errorf("under another tenant: %v", err)
	}
}
