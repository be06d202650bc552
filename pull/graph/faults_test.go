package graph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/entrasim"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// TestFaultsThatEndARead: whatever goes wrong in a way that cannot be mended, the read is an error and nobody may
// conclude anything from it. Each fault comes on the first page and on a later one.
func TestFaultsThatEndARead(t *testing.T) {
	s := sales(t, 2100) // three pages
	for fault, want := range map[string]pull.Class{
		"empty":                                  pull.Malformed,
		"body={}":                                pull.Malformed,
		"body=[]":                                pull.Malformed,
		`body={"value":null}`:                    pull.Malformed,
		`body={"value":[null]}`:                  pull.Malformed,
		`body={"value":[]}`:                      "count", // a list of nobody, or the end of one
		`body={"error":{"code":"UnknownError"}}`: pull.Malformed,
		"status=204":                             pull.Malformed,
		"status=206":                             pull.Malformed,
		"status=302":                             pull.Unavailable,
		"html":                                   pull.Malformed,
		"content-type=text/html":                 pull.Malformed,
		"content-type=text/plain":                pull.Malformed,
		"truncate=0.5":                           pull.Malformed,
		"truncate=0.999":                         pull.Malformed,
		"bom":                                    pull.Malformed,
		"nest=20000":                             pull.Malformed,
		"huge=100MB":                             pull.Malformed,
		"null-item":                              pull.Malformed,
		"missing-id":                             pull.Malformed,
		"duplicate":                              pull.Malformed,
		"wrong-type=accountEnabled":              pull.Malformed,
		"wrong-type=displayName":                 pull.Malformed,
		"wrong-type=id":                          pull.Malformed,
		"null-properties":                        pull.Permission,
		"short=10":                               "count",
		"drop-next":                              "count",
		"next=http":                              pull.Malformed,
		"next=loop":                              pull.Malformed,
		"next=https://127.0.0.1:9":               pull.Malformed,
		"status=401":                             pull.Authentication,
		"status=403":                             pull.Permission,
		"status=429 retry-after=3600":            pull.Throttled,
		"status=429 retry-after=1":               pull.Throttled,
		"status=503 retry-after=120":             pull.Unavailable,
		"status=500":                             pull.Unavailable,
		"status=502 html":                        pull.Unavailable,
		"status=503":                             pull.Unavailable,
		"status=504":                             pull.Unavailable,
		"cut":                                    pull.Unavailable,
		"cut=0.9 chunked":                        pull.Unavailable,
		"reset":                                  pull.Unavailable,
		"expired-token":                          "later",
		`status=410 header="Location: https://graph.microsoft.com/v1.0/groups/delta?$deltatoken="`: "later",
		`status=401 header="WWW-Authenticate: Bearer claims=abc"`:                                  pull.Authentication,
		`status=401 header="WWW-Authenticate: Bearer claims="`:                                     pull.Authentication,
	} {
		for page := 1; page <= 2; page++ {
			t.Run(fmt.Sprintf("%s on page %d", fault, page), func(t *testing.T) {
				want := want
				switch want {
				case "count":
					want = pull.Malformed
					if page == 1 && strings.HasPrefix(fault, "body") {
						want = pull.Permission // members that are counted and not shown
					}
				case "later":
					want = pull.Malformed
					if page == 2 {
						want = pull.Unavailable
					}
				}
				faults(t, s, fmt.Sprintf("members page=%d %s", page, fault))
				source := s.open(t)
				people, l, err := read(source)
				fired(t, s)
				var e *pull.Error
				if !errors.As(err, &e) || e.Class != want {
					t.Errorf("read %d people, error %v; want class %s", len(people), err, want)
				}
				if !cmp.Equal(l, pull.Listing{}) || e != nil && e.Detail == "" {
					t.Errorf("listing %+v, error %+v", l, e)
				}
				s.Faults().Clear() // and the next read is good
				if people, _, err := read(source); err != nil || len(people) != 2100 {
					t.Errorf("the read after it: %d people, error %v", len(people), err)
				}
			})
		}
	}
}

// TestFaultsThatAreMended: what another try can answer does not show.
func TestFaultsThatAreMended(t *testing.T) {
	s := sales(t, 2100)
	for _, script := range []string{
		"members#1 status=429 retry-after=1",
		"members#2 status=429 retry-after=0.9",
		"members#2 status=429 retry-after=date+3s",
		"members#2 status=429 retry-after=-1",
		"members#2 status=429 retry-after=soon",
		"members#2 status=500\nmembers#3 status=502 html\nmembers#4 status=503 retry-after=2",
		"members#2 status=504",
		"members#1 cut\nmembers#2 reset\nmembers#3 cut=0.99 chunked",
		"members page=1 odata-type=#microsoft.graph.user", // which they are
		"token#1 status=503",
		"token#1 status=429 retry-after=1",
		"metadata#1 status=500",
		"members every=2 status=503",
	} {
		t.Run(script, func(t *testing.T) {
			faults(t, s, script)
			people, l, err := read(s.open(t))
			fired(t, s)
			if err != nil || len(people) != 2100 || l.People != 2100 || l.Pages != 3 {
				t.Errorf("read %d people, listing %+v, error %v", len(people), l, err)
			}
			if wants := pulltest.NewPerson(7); people[wants.ID.String()] != wants {
				t.Errorf("person 7 is %+v", people[wants.ID.String()])
			}
		})
	}
}

// TestWaits: the time that Graph names is waited for, and told.
func TestWaits(t *testing.T) {
	s := sales(t, 3)
	var told []time.Duration
	s.Wait = func(d time.Duration) { told = append(told, d) }
	faults(t, s, "members#1 status=429 retry-after=7\nmembers#2 status=429 retry-after=0.9\nmembers#3 status=503 retry-after=29")
	if _, l, err := read(s.open(t)); err != nil || l.Retries != 3 || l.Requests != 4 {
		t.Fatalf("listing %+v, error %v", l, err)
	}
	want := fmt.Sprint([]time.Duration{7 * time.Second, 900 * time.Millisecond, 29 * time.Second})
	if fmt.Sprint(s.slept) != want || fmt.Sprint(told) != want {
		t.Errorf("waited %v, told %v; want %s", s.slept, told, want)
	}
}

// TestThrottledForLong hands the time over to the scheduler.
func TestThrottledForLong(t *testing.T) {
	s := sales(t, 3)
	faults(t, s, "members status=429 retry-after=600")
	_, _, err := read(s.open(t))
	var e *pull.Error
	if !errors.As(err, &e) || e.Class != pull.Throttled || e.RetryAfter != 10*time.Minute || len(s.slept) > 0 || len(s.sent("/members")) != 1 {
		t.Errorf("error %+v, waits %v", e, s.slept)
	}
}

// TestLimitsOfGraph reads at the pace that the simulation's token bucket allows.
func TestLimitsOfGraph(t *testing.T) {
	s := sales(t, 3)
	s.SetThrottle(0.001)
	source := s.open(t)
	var err error
	for range 50 {
		if _, _, err = read(source); err != nil {
			break
		}
	}
	if pull.ClassOf(err) != pull.Throttled || s.Stats().Throttled == 0 {
		t.Errorf("error %v with %s; want Throttled", err, s.Stats())
	}
}

func TestConfirmUnderFaults(t *testing.T) {
	s := sales(t, 30)
	if err := s.tenant.SoftDelete(pulltest.ID(30).String()); err != nil {
		t.Fatal(err)
	}
	var people []directory.ID
	for n := 1; n <= 31; n++ {
		people = append(people, pulltest.ID(n))
	}
	for script, want := range map[string]pull.Class{
		"user#3 status=429 retry-after=2":              "",
		"user every=4 status=503 retry-after=1":        "",
		"checkMemberGroups#2 status=429 retry-after=1": "",
		"batch#1 cut":                             "",
		"batch#2 status=503":                      "",
		"batch#1 reset":                           "",
		"user#3 status=404":                       "absent", // Graph's own word for it
		"user#3 status=403":                       pull.Permission,
		"user#3 status=429 retry-after=3600":      pull.Throttled,
		"user#3 body={}":                          pull.Malformed,
		`user#3 body={"id":null}`:                 pull.Malformed,
		"user#3 empty":                            pull.Malformed,
		"user#3 status=204":                       pull.Malformed,
		"user#3 status=410":                       pull.Malformed,
		`checkMemberGroups#2 body={"value":null}`: pull.Malformed,
		`checkMemberGroups#2 status=404`:          pull.Unavailable,
		`checkMemberGroups#2 body={"value":["` + pulltest.GroupID(9) + `"]}`: pull.Malformed,
		"batch#1 body={}":                   pull.Malformed,
		`batch#1 body={"responses":[]}`:     pull.Malformed,
		"batch#1 truncate=0.9":              pull.Malformed,
		"batch#1 html":                      pull.Malformed,
		"batch status=429 retry-after=3600": pull.Throttled,
		"batch status=500":                  pull.Unavailable,
		"batch#1 content-type=text/plain":   pull.Malformed,
		"user status=500":                   pull.Unavailable,
	} {
		t.Run(script, func(t *testing.T) {
			faults(t, s, script)
			got, err := s.open(t).Confirm(t.Context(), people, []string{theGroup})
			fired(t, s)
			if want != "" && want != "absent" {
				if err == nil || pull.ClassOf(err) != want || got != nil {
					t.Errorf("confirmed %d, error %v; want class %s", len(got), err, want)
				}
				return
			}
			absent := 2
			if want == "absent" {
				absent = 3
			}
			for _, c := range got {
				if !c.Found {
					absent--
				}
			}
			if err != nil || absent != 0 || len(got) != 31 {
				t.Errorf("confirmed %d, absent differs by %d, error %v", len(got), absent, err)
			}
		})
	}
}

func TestPermissions(t *testing.T) {
	s := sales(t, 3)
	source := s.open(t)
	report := func() map[string]pull.Check {
		out := make(map[string]pull.Check)
		for _, c := range source.(pull.Tester).Test(t.Context(), []string{theGroup}).Checks {
			out[c.Name] = c
		}
		return out
	}
	says := func(name, permission string) {
		t.Helper()
		if c := report()[name]; !strings.Contains(c.Error+c.Detail, permission) {
			t.Errorf("check %+v does not name %s", c, permission)
		}
	}
	if r := source.(pull.Tester).Test(t.Context(), []string{theGroup}); !r.OK() {
		t.Fatalf("report %+v", r)
	}

	s.app.Revoke(entrasim.UserReadAll)
	if _, _, err := read(source); pull.ClassOf(err) != pull.Permission || !strings.Contains(err.Error(), "User.Read.All") {
		t.Errorf("members without properties: %v", err)
	}
	if _, err := source.Confirm(t.Context(), []directory.ID{pulltest.ID(1)}, nil); pull.ClassOf(err) != pull.Permission || !strings.Contains(err.Error(), "User.Read.All") {
		t.Errorf("confirm without the right to users: %v", err)
	}
	says("User.Read.All", "User.Read.All")
	says("group "+theGroup, "User.Read.All")

	s.app.Grant(entrasim.UserReadAll)
	s.app.Revoke(entrasim.GroupMemberReadAll)
	source = s.open(t)
	if _, _, err := read(source); pull.ClassOf(err) != pull.Permission || !strings.Contains(err.Error(), "GroupMember.Read.All") {
		t.Errorf("members without the right to groups: %v", err)
	}
	says("GroupMember.Read.All", "grant admin consent")

	s.app.Grant(entrasim.GroupMemberReadAll)
	if err := s.tenant.HideMembership(theGroup, true); err != nil {
		t.Fatal(err)
	}
	source = s.open(t)
	people, l, err := read(source)
	if err == nil && (len(people) != 0 || l.People != 0) || err != nil && !strings.Contains(err.Error(), "Member.Read.Hidden") {
		t.Errorf("hidden members: %d people, listing %+v, error %v", len(people), l, err)
	}
	says("group "+theGroup, "Member.Read.Hidden")
}

// TestChangesDuringARead: somebody joins or leaves between two pages. Nobody is lost and nobody comes twice.
func TestChangesDuringARead(t *testing.T) {
	s := sales(t, 2100)
	if err := s.Faults().Add(entrasim.Fault{On: "members", Page: 2, Do: func() {
		if err := s.tenant.RemoveMember(theGroup, pulltest.ID(1500).String()); err != nil {
			t.Error(err)
		}
	}}); err != nil {
		t.Fatal(err)
	}
	people, _, err := read(s.open(t))
	if err != nil && pull.ClassOf(err) != pull.Malformed || err == nil && len(people) < 2099 {
		t.Errorf("read %d people, error %v", len(people), err)
	}
	fired(t, s)
}

// TestIndexLag: the list is behind, a point read is not.
func TestIndexLag(t *testing.T) {
	s := sales(t, 3)
	s.HoldIndex()
	d := pulltest.NewPerson(4)
	if err := s.tenant.Add(entrasim.User{ID: d.ID.String(), UserPrincipalName: d.UserPrincipalName, AccountEnabled: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.tenant.AddMember(theGroup, d.ID.String()); err != nil {
		t.Fatal(err)
	}
	source := s.open(t)
	if people, _, err := read(source); err != nil || len(people) != 3 {
		t.Errorf("while the index lags: %d people, error %v", len(people), err)
	}
	got, err := source.Confirm(t.Context(), []directory.ID{d.ID}, []string{theGroup})
	if err != nil || !got[0].Found || len(got[0].Groups) != 1 {
		t.Errorf("point read: %+v, error %v", got, err)
	}
	s.ReleaseIndex()
	if people, _, err := read(source); err != nil || len(people) != 4 {
		t.Errorf("once it has caught up: %d people, error %v", len(people), err)
	}
}

// TestRevokedTokens: Graph challenges a token for claims, the next one answers them, and the read goes on.
func TestRevokedTokens(t *testing.T) {
	s := sales(t, 2100)
	if err := s.Faults().Add(entrasim.Fault{On: "members", Page: 2, Times: 1, Do: s.RevokeTokens, Status: http.StatusServiceUnavailable}); err != nil {
		t.Fatal(err)
	}
	before := s.Stats().Tokens
	people, _, err := read(s.open(t))
	if err != nil || len(people) != 2100 {
		t.Errorf("read %d people, error %v", len(people), err)
	}
	if got := s.Stats().Tokens - before; got != 2 {
		t.Errorf("%d tokens, want 2", got)
	}
	fired(t, s)
}

// TestNothingIsLeftBehind: throttled as often as can be, one connection carries everything.
func TestNothingIsLeftBehind(t *testing.T) {
	s := sales(t, 3)
	faults(t, s, "members#1 status=429 retry-after=1\nmembers#2 status=429 retry-after=1\nmembers#3 status=429 retry-after=1")
	source := s.open(t)
	if _, _, err := read(source); err != nil {
		t.Fatal(err)
	}
	connections, goroutines := s.Stats().Connections, runtime.NumGoroutine()
	for range 24 {
		faults(t, s, "members#1 status=429 retry-after=1\nmembers#2 status=429 retry-after=1\nmembers#3 status=429 retry-after=1")
		if _, l, err := read(source); err != nil || l.Retries != 3 {
			t.Fatal(err)
		}
	}
	if got := s.Stats().Connections; got != connections || runtime.NumGoroutine() > goroutines+2 {
		t.Errorf("%d connections more, %d goroutines after %d", got-connections, runtime.NumGoroutine(), goroutines)
	}
	if connections > 2 {
		t.Errorf("%d connections for one read", connections)
	}
}

// TestWhatIsSent looks at the requests themselves.
func TestWhatIsSent(t *testing.T) {
	s := sales(t, 1200)
	s.Scheduled = true
	source := s.open(t)
	if _, err := source.Group(t.Context(), theGroup); err != nil {
		t.Fatal(err)
	}
	if _, _, err := read(source); err != nil {
		t.Fatal(err)
	}
	if _, err := source.Members(t.Context(), theGroup, true, func(pull.Person) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := source.Confirm(t.Context(), []directory.ID{pulltest.ID(1)}, []string{theGroup}); err != nil {
		t.Fatal(err)
	}
	first := s.sent("/members")[0]
	if want := "$count=true&$select=id,userPrincipalName,displayName,givenName,surname,mail,preferredLanguage,userType,accountEnabled&$top=999"; first.URL.RawQuery != want {
		t.Errorf("query of members %s, want %s", first.URL.RawQuery, want)
	}
	if got := s.sent("/groups/" + theGroup)[0].URL.RawQuery; got != "$select=id,displayName" {
		t.Errorf("query of the group %s", got)
	}
	for _, suffix := range []string{"/members", "/transitiveMembers"} {
		sent := s.sent(suffix)
		if len(sent) != 2 {
			t.Errorf("%d requests for %s, want 2 pages", len(sent), suffix)
		}
		for _, req := range sent {
			if req.Header.Get("ConsistencyLevel") != "eventual" {
				t.Errorf("%s without ConsistencyLevel", req.URL)
			}
		}
	}
	if batch := s.sent("/$batch"); len(batch) != 2 || batch[0].Header.Get("Content-Type") != "application/json" || batch[0].ContentLength <= 0 {
		t.Errorf("batches %+v", batch)
	}
	for _, req := range s.spied {
		graph := strings.HasPrefix(req.URL.Path, "/v1.0/")
		if req.Header.Get("User-Agent") != "bizzscim" {
			t.Errorf("%s has User-Agent %q", req.URL.Path, req.Header.Get("User-Agent"))
		}
		if got := req.Header.Get("X-Ms-Throttle-Priority"); graph && got != "low" || strings.HasPrefix(req.Header.Get("Authorization"), "Bearer ") != graph {
			t.Errorf("%s has priority %q, headers %v", req.URL.Path, got, req.Header)
		}
	}
	s.Scheduled = false
	s.spied = nil
	if _, _, err := read(s.open(t)); err != nil || s.sent("/members")[0].Header.Get("X-Ms-Throttle-Priority") != "" {
		t.Errorf("a read that somebody waits for has a low priority (%v)", err)
	}
}

// TestMeterSums: what was told as it happened is what the listing says in the end.
func TestMeterSums(t *testing.T) {
	s := sales(t, 2100)
	faults(t, s, "members#2 status=503")
	_, l, err := read(s.open(t))
	if err != nil || s.meter != l.Meter || l.Meter.Requests != 4 || l.Meter.Pages != 3 || l.Meter.Retries != 1 || l.Meter.Units == 0 {
		t.Errorf("told %+v, listing %+v, error %v", s.meter, l, err)
	}
}

// TestTokenGoesNowhereElse: a next page on another host is not asked for at all.
func TestTokenGoesNowhereElse(t *testing.T) {
	thief := newSim(t, entrasim.New(entrasim.Options{}))
	s := sales(t, 1200)
	faults(t, s, "members next="+strings.TrimSuffix(thief.Graph.LoginURL(), "/"))
	if _, _, err := read(s.open(t)); pull.ClassOf(err) != pull.Malformed {
		t.Errorf("error %v", err)
	}
	fired(t, s)
	if got := thief.Stats().Requests; got != 0 {
		t.Errorf("the other host got %d requests", got)
	}
}

// TestCancelledInTheMiddle: a read ends as soon as nobody waits for it.
func TestCancelledInTheMiddle(t *testing.T) {
	s := sales(t, 1200)
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.Faults().Add(entrasim.Fault{On: "members", Page: 2, Do: cancel, Delay: time.Hour}); err != nil {
		t.Fatal(err)
	}
	_, err := s.open(t).Members(ctx, theGroup, false, func(pull.Person) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
