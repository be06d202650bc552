package entrasim

import (
	"bytes"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestDeterminism(t *testing.T) {
	now := func() time.Time { return time.Unix(1_800_000_000, 0) }
	run := func(seed uint64) (Snapshot, []string) {
		d := New(Options{Seed: seed, Now: now})
		d.Populate(150, 20)
		changes := d.RandomChange(80)
		return withoutRevisions(d.Snapshot()), changes
	}
	a, changesA := run(1)
	b, changesB := run(1)
	c, _ := run(2)
	if !reflect.DeepEqual(a, b) || !slices.Equal(changesA, changesB) {
		t.Error("the same seed gives different directories")
	}
	if reflect.DeepEqual(a, c) || New(Options{Seed: 1}).ID() == New(Options{Seed: 2}).ID() {
		t.Error("different seeds give the same directory")
	}
}

func withoutRevisions(s Snapshot) Snapshot {
	for i := range s.Users {
		s.Users[i].rev = 0
	}
	for i := range s.Groups {
		s.Groups[i].rev = 0
	}
	return s
}

func TestPopulation(t *testing.T) {
	d := New(Options{Seed: 3})
	d.Populate(1000, 60)
	d.RandomChange(300)
	s := d.Snapshot()
	guidShape := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	nameShape := regexp.MustCompile(`^[a-z0-9.-]+(_[a-z.-]+#EXT#)?@nordwind\.example$`)
	ids, names, kinds := map[string]bool{}, map[string]bool{}, map[string]int{}
	isGroup := map[string]bool{}
	for _, g := range s.Groups {
		isGroup[g.ID] = true
	}
	for _, u := range s.Users {
		if !guidShape.MatchString(u.ID) || ids[u.ID] {
			t.Errorf("object id %s", u.ID)
		}
		if !nameShape.MatchString(u.UserPrincipalName) || names[u.UserPrincipalName] {
			t.Errorf("user principal name %q", u.UserPrincipalName)
		}
		ids[u.ID], names[u.UserPrincipalName] = true, true
		if _, host, _ := strings.Cut(u.Mail, "@"); !strings.HasSuffix(host, ".example") {
			t.Errorf("mail %q", u.Mail)
		}
		if (u.UserType == Guest) != strings.Contains(u.UserPrincipalName, "#EXT#") {
			t.Errorf("%s is %s", u.UserPrincipalName, u.UserType)
		}
		for kind, is := range map[string]bool{
			"guest": u.UserType == Guest, "disabled": !u.AccountEnabled, "deleted": u.Deleted(), "manager": u.Manager != "",
			"accent": regexp.MustCompile(`[^ -~]`).MatchString(u.DisplayName), "apostrophe": strings.Contains(u.Surname, "'"),
			"long": len(u.DisplayName) > 40, "no phone": u.BusinessPhone == "", "no title": u.JobTitle == "", "fax": u.FaxNumber != "",
		} {
			if is {
				kinds[kind]++
			}
		}
		if u.Manager == u.ID {
			t.Errorf("%s is their own manager", u.UserPrincipalName)
		}
	}
	for _, kind := range []string{"guest", "disabled", "deleted", "manager", "accent", "apostrophe", "long", "no phone", "no title", "fax"} {
		if n := kinds[kind]; n == 0 || n == len(s.Users) {
			t.Errorf("%d of %d are %q", n, len(s.Users), kind)
		}
	}
	empty, nested, big := 0, 0, 0
	groupNames := map[string]bool{}
	for _, g := range s.Groups {
		groupNames[g.DisplayName] = true
		switch {
		case len(g.Members) == 0:
			empty++
		case len(g.Members) > 500:
			big++
		}
		for i, m := range g.Members {
			if isGroup[m] {
				nested++
			} else if !ids[m] {
				t.Errorf("%s has an unknown member", g.DisplayName)
			}
			if slices.Contains(g.Members[:i], m) {
				t.Errorf("%s has a member twice", g.DisplayName)
			}
		}
	}
	if empty == 0 || nested < 5 || big == 0 || len(groupNames) != len(s.Groups) {
		t.Errorf("%d empty, %d nested, %d big groups; %d names for %d", empty, nested, big, len(groupNames), len(s.Groups))
	}
}

func TestDirectoryRules(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	d := New(Options{Seed: 1, Domain: "fjord.example", Now: func() time.Time { return now }})
	a, b := d.Hire(Person{GivenName: "Zoë", Surname: "O'Neill-van 't Hek"}), d.Hire(Person{GivenName: "Zoë", Surname: "O'Neill-van 't Hek"})
	if a.UserPrincipalName != "zoe.oneill-vanthek@fjord.example" || b.UserPrincipalName != "zoe.oneill-vanthek2@fjord.example" {
		t.Errorf("namesakes: %s and %s", a.UserPrincipalName, b.UserPrincipalName)
	}
	check := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	check("name of another", d.Update(b.ID, func(u *User) { u.UserPrincipalName = strings.ToUpper(a.UserPrincipalName) }), ErrTaken)
	check("unknown user", d.Disable("nobody"), ErrNotFound)
	check("hard delete of the living", d.HardDelete(a.ID), ErrState)
	check("restore of the living", d.Restore(a.ID), ErrState)
	g, h := d.CreateGroup("One"), d.CreateGroup("Two")
	check("group in itself", d.AddMember(g.ID, g.ID), ErrState)
	check("unknown member", d.AddMember(g.ID, "nobody"), ErrNotFound)
	check("unknown group", d.RemoveMember("none", a.ID), ErrNotFound)
	for range 2 {
		check("member", d.AddMember(g.ID, a.ID), nil)
	}
	check("nested", d.AddMember(g.ID, h.ID), nil)
	check("manager", d.Update(b.ID, func(u *User) { u.Manager = a.ID }), nil)
	check("move to an unknown group", d.Move(a.ID, "Legal", nil, []string{"none"}), ErrNotFound)
	check("move", d.Move(a.ID, "Legal", []string{g.ID}, []string{h.ID}), nil)
	if got := [][]string{d.Members(g.ID), d.Members(h.ID)}; !reflect.DeepEqual(got, [][]string{{h.ID}, {a.ID}}) {
		t.Errorf("after the move: %v", got)
	}
	check("rename", d.Rename(a.ID, "Łuczak"), nil)
	if u, _ := d.User(a.ID); u.UserPrincipalName != "zoe.luczak@fjord.example" || u.Mail != u.UserPrincipalName || u.DisplayName != "Zoë Łuczak" || u.Department != "Legal" {
		t.Errorf("renamed: %+v", u)
	}

	check("delete", d.SoftDelete(a.ID), nil)
	check("change of the deleted", d.Disable(a.ID), ErrState)
	if len(d.Members(h.ID)) != 0 {
		t.Error("a deleted user is listed as member")
	}
	check("restore", d.Restore(a.ID), nil)
	if !slices.Equal(d.Members(h.ID), []string{a.ID}) {
		t.Error("restore did not give the membership back")
	}
	check("delete again", d.SoftDelete(a.ID), nil)
	now = now.Add(Retention)
	check("restore after 30 days", d.Restore(a.ID), ErrNotFound)
	if u, _ := d.User(b.ID); u.Manager != "" {
		t.Error("manager still refers to nobody")
	}
	check("delete group", d.DeleteGroup(h.ID), nil)
	if len(d.Members(g.ID)) != 0 {
		t.Error("a deleted group is still nested")
	}

	check("member", d.AddMember(g.ID, b.ID), nil)
	s, copied := d.Snapshot(), func() Group { g, _ := d.Group(g.ID); return g }
	s.Groups[0].Members[0], copied().Members[0] = "x", "x"
	if !slices.Equal(d.Members(g.ID), []string{b.ID}) {
		t.Error("the snapshot is the directory itself")
	}
}

func TestRandomChangeCoversEveryKind(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	d := New(Options{Seed: 11, Now: func() time.Time { return now }})
	d.Populate(200, 30)
	kinds := map[string]bool{}
	for range 40 {
		now = now.Add(time.Hour)
		for _, c := range d.RandomChange(20) {
			kind, rest, ok := strings.Cut(c, ": ")
			if !ok || rest == "" {
				t.Errorf("description %q", c)
			}
			kinds[kind] = true
		}
	}
	for _, k := range []string{"joiner", "mover", "leaver", "rename", "new title", "back", "member", "group"} {
		if !kinds[k] {
			t.Errorf("no %q among %v", k, kinds)
		}
	}
	if got := New(Options{}).RandomChange(3); len(got) != 3 {
		t.Errorf("empty directory: %q", got)
	}
}

func TestSummaryText(t *testing.T) {
	s := Summary{
		Base: "https://h.example/scim", Initial: true, Users: Counts{Created: 12345, Skipped: 2}, Groups: Counts{Created: 40},
		MembersAdded: 54321, Failed: 3, Escrowed: 3, Requests: 100_000, BytesSent: 2_500_000, Duration: 50 * time.Second,
		P50: 1234 * time.Microsecond, P99: 40 * time.Millisecond,
		Failures: []Failure{{"ada@x.example", &Error{EntryConflict, 409, "POST", "/Users", "userName is taken"}}, {"bo@x.example", &Error{Timeout, 0, "GET", "/Users/1", ""}}},
	}
	want := `Initial cycle to https://h.example/scim in 50s

            created  linked  updated  disabled  restored  deleted  skipped
  users      12,345       0        0         0         0        0        2
  groups         40       0        0         0         0        0        0

  members    54,321 added, 0 removed
  managers   0 set, 0 cleared
  failed     3, 3 waiting in escrow
  requests   100,000 (0 repeated, 0 throttled), 2.5 MB sent, 0 B received
  speed      2000.0 requests/s, answers p50 1.23ms, p99 40ms

Failures (2 of 3)
  EntryConflict        409  ada@x.example  POST  userName is taken
  WebExceptionTimeout  -    bo@x.example   GET   
`
	if got := s.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestPrinter(t *testing.T) {
	var b bytes.Buffer
	p := NewPrinter(&b, true)
	for i := range 1001 {
		p.Print(Progress{Stage: "users", Done: i, Total: 1000, Rate: 12.5})
	}
	if got := b.String(); strings.Count(got, "\r") != 1 || !strings.HasPrefix(got, "\rusers") || !strings.HasSuffix(got, "\n") || !strings.Contains(got, "1,000 / 1,000") {
		t.Errorf("terminal: %q", got)
	}
	b.Reset()
	p = NewPrinter(&b, false)
	p.every = 0
	for i := range 4 {
		p.Print(Progress{Stage: "groups", Done: i, Total: 3})
	}
	if got := b.String(); strings.Count(got, "\n") != 4 || strings.Contains(got, "\r") {
		t.Errorf("plain: %q", got)
	}
	b.Reset()
	synctest.Test(t, func(t *testing.T) {
		p := NewPrinter(&b, true)
		p.Print(Progress{Stage: "users", Done: 0, Total: 3})
		time.Sleep(p.every - time.Nanosecond)
		p.Print(Progress{Stage: "users", Done: 0, Total: 3})
		if b.Len() != 0 {
			t.Errorf("too early: %q", b.String())
		}
		time.Sleep(time.Nanosecond)
		p.Print(Progress{Stage: "users", Done: 1, Total: 3})
		p.Close()
		if !strings.Contains(b.String(), "1 / 3") || !strings.HasSuffix(b.String(), "\n") {
			t.Errorf("unfinished: %q", b.String())
		}
	})
}

func TestMeter(t *testing.T) {
	var m meter
	for i := 1; i <= 100; i++ {
		m.request(time.Duration(i)*time.Millisecond, 1, 2)
	}
	m.request(time.Hour, 0, 0)
	for q, want := range map[float64]time.Duration{0.5: 51 * time.Millisecond, 0.99: 100 * time.Millisecond} {
		if got := m.quantile(q); got < want*96/100 || got > want*104/100 {
			t.Errorf("p%.0f = %s, want about %s", q*100, got, want)
		}
	}
	if m.sent != 100 || m.received != 200 || (&meter{}).quantile(0.5) != 0 {
		t.Errorf("sent %d, received %d", m.sent, m.received)
	}
}

func TestFlaky(t *testing.T) {
	var served []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		served = append(served, string(b))
		w.Header().Set("N", string(rune('0'+len(served))))
	}))
	defer srv.Close()
	post := func(o FlakyOptions) (int, string, error) {
		served = nil
		c := http.Client{Transport: Flaky(&http.Transport{DisableKeepAlives: true}, o)}
		res, err := c.Post(srv.URL, "text/plain", strings.NewReader("x"))
		if err != nil {
			return len(served), "", err
		}
		res.Body.Close()
		return len(served), res.Header.Get("N"), nil
	}
	if n, _, err := post(FlakyOptions{Refuse: 1}); n != 0 || err == nil {
		t.Errorf("refuse: %d, %v", n, err)
	}
	if n, _, err := post(FlakyOptions{LoseAnswer: 1}); n != 1 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("lose: %d, %v", n, err)
	}
	if n, first, err := post(FlakyOptions{Duplicate: 1}); n != 2 || first != "1" || err != nil || !slices.Equal(served, []string{"x", "x"}) {
		t.Errorf("duplicate: %d, %q, %v, %q", n, first, err, served)
	}
	if n, _, err := post(FlakyOptions{Refuse: 1, Only: func(r *http.Request) bool { return r.Method == "GET" }}); n != 1 || err != nil {
		t.Errorf("only GET: %d, %v", n, err)
	}
	start := time.Now()
	if n, _, err := post(FlakyOptions{Delay: 1, MaxDelay: 200 * time.Millisecond, Seed: 2}); n != 1 || err != nil || time.Since(start) < 5*time.Millisecond {
		t.Errorf("delay: %d, %v, %s", n, err, time.Since(start))
	}
}

// TestImports keeps the wall: nothing but the standard library.
func TestImports(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			if first, _, _ := strings.Cut(strings.Trim(i.Path.Value, `"`), "/"); strings.Contains(first, ".") {
				t.Errorf("%s imports %s", f.Name(), i.Path.Value)
			}
		}
	}
}
