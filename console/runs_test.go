package console_test

import (
	"encoding/csv"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// runsWorld is a world with runs: helpers of those who press buttons.
type runsWorld struct {
	*apptest.World
	admin *apptest.Browser
	sync  string // path of Fjord's Production
}

func newRunsWorld(t *testing.T) *runsWorld {
	w := apptest.New(t, nil)
	return &runsWorld{w, w.SignIn(w.Fjord.Admin), "/environments/" + w.Fjord.Production.ID.String() + "/sync"}
}

// hire puts new people into Fjord's group.
func (w *runsWorld) hire(from, n int) (ids []directory.ID) {
	for i := from; i < from+n; i++ {
		p := pulltest.NewPerson(i)
		w.Directory.SetPerson(p)
		w.Directory.Add(w.Fjord.GroupID, p.ID)
		ids = append(ids, p.ID)
	}
	return ids
}

// press begins a run, waits for its end and returns its page.
func (w *runsWorld) press(form ...string) (path string, page apptest.Answer) {
	w.Helper()
	got := w.admin.Post(w.sync, form...)
	if got.Status != http.StatusSeeOther || !strings.HasPrefix(got.To, "/runs/") {
		w.Fatalf("%d to %q\n%s", got.Status, got.To, got.Body)
	}
	return w.ended(got.To)
}

func (w *runsWorld) ended(to string) (path string, page apptest.Answer) {
	w.Helper()
	path, _, _ = strings.Cut(to, "?")
	id, ok := directory.ParseID(strings.TrimPrefix(path, "/runs/"))
	if !ok {
		w.Fatal(to)
	}
	w.WaitRun(id)
	return path, w.see(to)
}

func (w *runsWorld) see(path string) apptest.Answer {
	w.Helper()
	page := w.admin.Get(path)
	if page.Status != http.StatusOK {
		w.Fatalf("%s: %d\n%s", path, page.Status, page.Body)
	}
	return page
}

func (w *runsWorld) has(page apptest.Answer, parts ...string) {
	w.Helper()
	for _, part := range parts {
		if !strings.Contains(page.Body, part) {
			w.Errorf("the page does not say %q\n%s", part, mainOf(page))
		}
	}
}

func (w *runsWorld) hasNot(page apptest.Answer, parts ...string) {
	w.Helper()
	for _, part := range parts {
		if strings.Contains(page.Body, part) {
			w.Errorf("the page says %q\n%s", part, mainOf(page))
		}
	}
}

// mainOf is what is particular to a page.
func mainOf(page apptest.Answer) string {
	_, rest, _ := strings.Cut(page.Body, "<main")
	text, _, _ := strings.Cut(rest, "</main>")
	return text
}

func hashOf(page apptest.Answer) string {
	m := regexp.MustCompile(`name="hash" value="([0-9a-f]{64})"`).FindStringSubmatch(page.Body)
	if m == nil {
		return ""
	}
	return m[1]
}

func TestRunFromPreviewToDone(t *testing.T) {
	t.Parallel()
	w := newRunsWorld(t)
	w.has(w.see("/runs"), "No run yet")
	w.hire(700, 3)
	_, page := w.press("preview", "1")
	w.has(page, "Nothing was changed. A sync would change 6 people", "Sync now", "This is the first plan of this environment", "Held back")
	if hashOf(page) != "" {
		t.Error("a preview can be allowed")
	}
	first, page := w.press()
	w.has(page, "This is the first plan", "Allow once", "What is held back was not done")
	hash := hashOf(page)
	if got := w.admin.Post(first+"/allow", "hash", strings.Repeat("0", 64), "reason", "ticket"); got.Status != http.StatusConflict || !strings.Contains(got.Body, "The plan has changed since you looked at it: look again") || hashOf(got) != hash || !strings.Contains(got.Body, ">ticket</textarea>") {
		t.Errorf("%d\n%s", got.Status, got.Body)
	}
	if got := w.admin.Post(first+"/allow", "hash", hash, "reason", "  "); got.Status != http.StatusUnprocessableEntity || !strings.Contains(got.Body, `aria-invalid="true"`) {
		t.Errorf("%d\n%s", got.Status, got.Body)
	}
	got := w.admin.Post(first+"/allow", "hash", hash, "reason", "ticket <b>4711</b>")
	if got.Status != http.StatusSeeOther {
		t.Fatalf("%d\n%s", got.Status, got.Body)
	}
	_, page = w.ended(got.To)
	w.has(page, "Done: 6 people are now as the directory says", "The plan is allowed.", "ticket &lt;b&gt;4711&lt;/b&gt;", "Marta Berg", `href="`+first+`"`)
	page = w.see(first)
	w.has(page, "This plan was allowed once", "ticket &lt;b&gt;4711&lt;/b&gt;", "Marta Berg")
	w.hasNot(page, "/allow", "/discard")
	if got := w.admin.Post(first+"/allow", "hash", hash, "reason", "again"); got.Status != http.StatusConflict {
		t.Errorf("allowed twice: %d", got.Status)
	}
	w.has(w.see("/runs?changed=1&state=complete"), ">Done<", "Allow once")
	_, page = w.press()
	w.has(page, "Everything is as the directory says", "Nobody differs")
}

// settle lets the first plan of Fjord, with new people in it, be done.
func (w *runsWorld) settle(from, n int) []directory.ID {
	w.Helper()
	ids := w.hire(from, n)
	path, page := w.press()
	got := w.admin.Post(path+"/allow", "hash", hashOf(page), "reason", "go-live")
	if got.Status != http.StatusSeeOther {
		w.Fatalf("%d\n%s", got.Status, mainOf(got))
	}
	w.ended(got.To)
	return ids
}

// leadsToLimits makes sure that "Change limit" opens the thresholds, which are closed otherwise.
func (w *runsWorld) leadsToLimits(page apptest.Answer) {
	w.Helper()
	path := "/environments/" + w.Fjord.Production.ID.String() + "/integration"
	w.has(page, `href="`+path+`?limits=1#limits"`)
	w.has(w.see(path+"?limits=1"), "<details open><summary>", `<fieldset id="limits"`)
	w.hasNot(w.see(path), "<details open>")
}

// internal adds somebody who has access by hand alone, and returns their page.
func (w *runsWorld) internal() string {
	w.Helper()
	a, _, err := w.Service.AddInternal(w.Context(), apptest.Operator, w.Fjord.Production.ID, directory.NewAccess{Name: "Ivy Ek", Email: "ivy@maxedy.example"})
	w.Must(err)
	return "/users/" + a.AccountID.String()
}

func TestRunInQuarantine(t *testing.T) {
	t.Parallel()
	w := newRunsWorld(t)
	ids := w.settle(700, 30)
	w.Directory.Remove(w.Fjord.GroupID, ids[:20]...)
	path, page := w.press()
	waits := "A sync waits for a decision, and may hold a change of this access"
	w.has(w.see("/users/"+w.Fjord.Plain.ID.String()), waits)
	w.hasNot(w.see(w.internal()), waits)
	w.has(page, "20 of 33 would be deactivated in Production, limit 10", "See who would lose access (20)", "20 of 33 people would leave the group Sales, limit 10", "Take access away", "waits for a decision")
	w.leadsToLimits(page)
	loses := w.see(path + "?kind=loses")
	if n := strings.Count(loses.Body, "Take access away</span>"); n != 20 {
		t.Errorf("%d lose access, not 20", n)
	}
	w.has(w.see(path+"?kind=gains"), "Nobody fits this filter")
	w.has(w.see("/runs?state=quarantined"), path)
	same, page := w.press()
	w.has(page, "This run found the same plan again", `href="`+path+`"`)
	w.hasNot(page, same+"/allow")
	w.Directory.Remove(w.Fjord.GroupID, ids[20])
	later, page := w.press()
	w.has(page, "21 of 33 would be deactivated")
	w.has(w.see(path), "took the place of this plan", `href="`+later+`"`)
	got := w.admin.Post(path+"/allow", "hash", hashOf(loses), "reason", "ticket 1")
	if got.Status != http.StatusConflict || !strings.Contains(got.Body, "does not wait for a decision") || !strings.Contains(got.Body, `href="`+later+`"`) {
		t.Errorf("a plan that is over: %d\n%s", got.Status, mainOf(got))
	}
	got = w.admin.Post(later+"/discard", "reason", "wrong <i>rule</i>")
	if got.Status != http.StatusSeeOther {
		t.Fatalf("%d\n%s", got.Status, mainOf(got))
	}
	page = w.see(got.To)
	w.has(page, "The plan is discarded.", "wrong &lt;i&gt;rule&lt;/i&gt;", "Marta Berg", "nothing of it was done")
	if got := w.admin.Post(later+"/discard", "reason", strings.Repeat("x", 1001)); got.Status != http.StatusConflict {
		t.Errorf("discarded twice: %d", got.Status)
	}
}

func TestRunReasonTooLong(t *testing.T) {
	t.Parallel()
	w := newRunsWorld(t)
	w.hire(700, 1)
	path, page := w.press()
	for form, hash := range map[string]string{"allow": hashOf(page), "discard": ""} {
		got := w.admin.Post(path+"/"+form, "hash", hash, "reason", strings.Repeat("x", 1001))
		if got.Status != http.StatusUnprocessableEntity || !strings.Contains(got.Body, form+"-reason-error") || strings.Count(got.Body, `aria-invalid="true"`) != 1 {
			t.Errorf("%s: %d\n%s", form, got.Status, mainOf(got))
		}
	}
}

func TestRunsThatCannotBegin(t *testing.T) {
	t.Parallel()
	w := newRunsWorld(t)
	boss := w.SignIn(w.Boss)
	refused := func(path, want string, status int) {
		t.Helper()
		got := boss.Post(path)
		if got.Status != status || !strings.Contains(got.Body, want) {
			t.Errorf("%d, not %d with %q\n%s", got.Status, status, want, mainOf(got))
		}
	}
	finance := "/environments/" + w.Fjord.Finance.ID.String() + "/sync"
	refused(finance, "External users integration of this environment is off", http.StatusUnprocessableEntity)
	set := func(env *directory.Environment, in directory.IntegrationInput) {
		t.Helper()
		_, _, err := w.Service.SetIntegration(w.Context(), apptest.Operator, env.ID, in)
		w.Must(err)
	}
	yes := true
	set(w.Fjord.Finance, directory.IntegrationInput{Enabled: &yes})
	refused(finance, "No tenant and no Groups to Sync are chosen yet", http.StatusUnprocessableEntity)
	set(w.Fjord.Production, directory.IntegrationInput{Paused: &yes})
	refused(w.sync, "is paused", http.StatusConflict)
	w.press("preview", "1")
	no := false
	set(w.Fjord.Production, directory.IntegrationInput{Paused: &no})
	w.Source.SetError(pulltest.OpMembers, &pull.Error{Class: pull.Throttled, Detail: "Graph asks to wait", RetryAfter: time.Hour})
	_, page := w.press()
	w.has(page, "Graph asks to wait", "Nothing: Microsoft Graph asked to wait", "Retry failed")
	w.hasNot(page, "Nobody differs")
	refused(w.sync, "Microsoft Graph asked to wait until", http.StatusTooManyRequests)
	w.Must(w.Service.RemoveCredential(w.Context(), apptest.Operator, w.Fjord.Tenant.ID, directory.GraphCredential))
	refused(w.sync, "no credential for Microsoft Graph yet", http.StatusUnprocessableEntity)
	enter := `href="/tenants/` + w.Fjord.Tenant.ID.String() + `/credentials"`
	w.hasNot(w.admin.Post(w.sync), enter) // whoever may not is not sent there
	w.has(w.SignIn(w.Boss).Post(w.sync), enter)
	refused("/environments/nonsense/sync", "Page not found", http.StatusNotFound)
}

// TestRunUnderWay stops a run in the middle of its read: its page, its live region, Cancel.
func TestRunUnderWay(t *testing.T) {
	t.Parallel()
	w := newRunsWorld(t)
	w.hire(700, 3)
	w.press("preview", "1") // what to expect
	there, goOn := make(chan struct{}), make(chan struct{})
	w.Source.Hook(func(c pulltest.Call) {
		if c.Op == pulltest.OpMembers && c.When == pulltest.During && c.Delivered == 2 {
			close(there)
			<-goOn
		}
	})
	got := w.admin.Post(w.sync)
	path := got.To
	<-there
	page := w.see(path)
	w.has(page, `aria-current="step"`, `data-live="`+path+`/progress"`, `<meta http-equiv="refresh" content="5">`, `action="`+path+`/cancel"`, "of 6 people", `max="6"`, "data-spoken", "You can leave this page")
	w.hasNot(page, "/allow", "Nobody differs")
	if again := w.admin.Post(w.sync); again.To != path+"?done=sync-underway" {
		t.Errorf("a second one: %d %q", again.Status, again.To)
	}
	w.has(w.see(path+"?done=sync-underway"), "was under way already")
	w.has(w.see("/runs?state=running"), path)
	if got := w.SignIn(w.Nordwind.Admin).Get(path + "/progress"); got.Status != http.StatusNotFound {
		t.Errorf("others look: %d", got.Status)
	}
	if got := w.SignIn(w.Fjord.Partner).Post(path + "/cancel"); got.Status != http.StatusForbidden {
		t.Errorf("a partner cancels: %d", got.Status)
	}
	if got := w.admin.Post(path + "/cancel"); got.To != path+"?done=run-cancelled" {
		t.Errorf("%d %q\n%s", got.Status, got.To, mainOf(got))
	}
	w.has(w.see(path+"?done=run-cancelled"), "was asked to stop")
	ended := make(chan apptest.Answer)
	go func() { ended <- w.admin.Get(path + "/progress") }()
	close(goOn)
	stream := <-ended
	if stream.Header.Get("Content-Type") != "text/event-stream" || !strings.HasPrefix(stream.Body, "event: html\n") || !strings.HasSuffix(stream.Body, "event: over\ndata: \n\n") {
		t.Errorf("%s", stream.Body)
	}
	_, page = w.ended(path)
	w.has(page, "Stopped by an administrator", "Retry failed")
	w.hasNot(page, "data-live", `content="5"`)
	if stream := w.admin.Get(path + "/progress"); !strings.HasSuffix(stream.Body, "event: over\ndata: \n\n") {
		t.Errorf("of one that has ended: %s", stream.Body)
	}
	if got := w.admin.Post(path + "/cancel"); got.Status != http.StatusConflict || !strings.Contains(got.Body, "not under way") {
		t.Errorf("cancelled twice: %d\n%s", got.Status, mainOf(got))
	}
}

// TestRunIsOfItsCustomer walks all addresses of a run as everybody.
func TestRunIsOfItsCustomer(t *testing.T) {
	t.Parallel()
	w := newRunsWorld(t)
	w.hire(700, 1)
	path, page := w.press()
	hash := hashOf(page)
	nothing := "/runs/" + w.Fjord.Tenant.ID.String()
	for _, c := range []struct {
		name      string
		who       *directory.Account
		get, post int
	}{
		{"the other customer's administrator", w.Nordwind.Admin, http.StatusNotFound, http.StatusNotFound},
		{"the other customer's partner", w.Nordwind.Partner, http.StatusNotFound, http.StatusNotFound},
		{"a user", w.Fjord.Plain, http.StatusForbidden, http.StatusForbidden},
		{"the partner", w.Fjord.Partner, http.StatusOK, http.StatusForbidden},
		{"nobody", nil, http.StatusSeeOther, http.StatusSeeOther},
	} {
		who := w.SignIn(c.who)
		for _, at := range []string{"", "/progress", "/export.csv", "/export.json"} {
			if got := who.Get(path + at); got.Status != c.get {
				t.Errorf("%s: GET %s: %d, not %d", c.name, at, got.Status, c.get)
			}
		}
		for _, at := range []string{path + "/allow", path + "/discard", path + "/cancel", w.sync} {
			if got := who.Post(at, "hash", hash, "reason", "mine"); got.Status != c.post {
				t.Errorf("%s: POST %s: %d, not %d", c.name, at, got.Status, c.post)
			}
		}
		if c.get == http.StatusNotFound {
			there, not := who.Get(path), who.Get(nothing)
			if mainOf(there) == "" || strip(mainOf(there)) != strip(mainOf(not)) {
				t.Errorf("%s: what is not theirs differs from what is nowhere:\n%s\n%s", c.name, mainOf(there), mainOf(not))
			}
			if list := who.Get("/runs"); strings.Contains(list.Body, path) || strings.Contains(list.Body, "Fjord") {
				t.Errorf("%s: the list shows it\n%s", c.name, mainOf(list))
			}
			if got := who.Get("/runs?environment=" + w.Fjord.Production.ID.String()); got.Status != http.StatusNotFound {
				t.Errorf("%s: filter: %d", c.name, got.Status)
			}
		}
	}
	partner := w.SignIn(w.Fjord.Partner).Get(path)
	w.has(partner, "An administrator of this environment, or an operator, decides.")
	w.hasNot(partner, "<form method=\"post\" action=\"/environments", "/allow\"", "/discard\"")
	w.has(w.see(path), "Allow once") // still
}

// strip leaves out what names a request.
func strip(text string) string {
	return regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{16,}|request[^<]*`).ReplaceAllString(text, "")
}

const evilRun = `"><script>alert(1)</script><img src=x onerror=alert(2)>`

func TestRunShowsNothingAsHTML(t *testing.T) {
	t.Parallel()
	w := newRunsWorld(t)
	w.Directory.SetGroup(w.Fjord.GroupID, evilRun)
	p := pulltest.NewPerson(700)
	p.DisplayName, p.GivenName, p.Surname, p.UserPrincipalName = evilRun, evilRun, evilRun, "a'"+strings.ReplaceAll(evilRun, " ", "")+"@fjord.example"
	w.Directory.SetPerson(p)
	w.Directory.Add(w.Fjord.GroupID, p.ID)
	path, _ := w.press()
	w.Source.SetError(pulltest.OpMembers, &pull.Error{Class: pull.Malformed, Detail: evilRun, Code: evilRun, RequestID: evilRun})
	failed, _ := w.press()
	w.Source.SetError(pulltest.OpMembers, nil)
	for _, at := range []string{path, failed, path + "?kind=" + url.QueryEscape(evilRun) + "&outcome=" + url.QueryEscape(evilRun), "/runs", "/runs?state=" + url.QueryEscape(evilRun) + "&trigger=" + url.QueryEscape(evilRun)} {
		page := w.see(at)
		if strings.Contains(page.Body, "<script>alert") || strings.Contains(page.Body, "<img") {
			t.Errorf("%s\n%s", at, mainOf(page))
		}
	}
	w.has(w.see(path), "&lt;script&gt;alert(1)")
	w.has(w.see(failed), "&lt;script&gt;alert(1)")
}

func TestRunExports(t *testing.T) {
	t.Parallel()
	w := newRunsWorld(t)
	for i, name := range []string{"=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\tTab", "Plain, \"quoted\"", " =1+1", "\u200b=1", "＝1"} {
		p := pulltest.NewPerson(700 + i)
		p.DisplayName = name
		w.Directory.SetPerson(p)
		w.Directory.Add(w.Fjord.GroupID, p.ID)
	}
	path, _ := w.press()
	got := w.see(path + "/export.csv?kind=gains")
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(got.Body, "\ufeff"))).ReadAll()
	if err != nil || got.Header.Get("Content-Type") != "text/csv; charset=utf-8" || !strings.HasPrefix(got.Header.Get("Content-Disposition"), "attachment;") {
		t.Fatalf("%v %v\n%s", err, got.Header, got.Body)
	}
	names := map[string]bool{}
	for _, row := range rows[1:] {
		for _, cell := range row {
			if first := strings.TrimLeft(cell, " \u200b"); first != "" && strings.ContainsRune("=+-@\t\r＝", []rune(first)[0]) {
				t.Errorf("a spreadsheet would calculate %q", cell)
			}
		}
		names[row[4]] = true
	}
	if !names["'=HYPERLINK(1)"] || !names[`Plain, "quoted"`] || len(names) != 9 {
		t.Errorf("%v", names)
	}
	var file struct {
		Run   desk.Run
		Items []desk.RunItem
	}
	if err := json.Unmarshal([]byte(w.see(path+"/export.json").Body), &file); err != nil || len(file.Items) != 12 || "/runs/"+file.Run.ID.String() != path {
		t.Errorf("%v %+v", err, file)
	}
	if err := json.Unmarshal([]byte(w.see(path+"/export.json?outcome=failed").Body), &file); err != nil || len(file.Items) != 0 {
		t.Errorf("%v %+v", err, file.Items)
	}
	if got := w.admin.Do(http.MethodHead, path+"/export.csv", nil); got.Status != http.StatusOK || got.Body != "" {
		t.Errorf("%d %q", got.Status, got.Body)
	}
}

func TestRunsInDutch(t *testing.T) {
	t.Parallel()
	w := newRunsWorld(t)
	ids := w.settle(700, 30)
	w.Directory.Remove(w.Fjord.GroupID, ids[:20]...)
	path, _ := w.press()
	dutch := func(path string) apptest.Answer {
		t.Helper()
		got := w.admin.Do(http.MethodGet, path, nil, "Accept-Language", "nl")
		if got.Status != http.StatusOK {
			t.Fatalf("%d\n%s", got.Status, got.Body)
		}
		return got
	}
	w.has(dutch(path), "20 van 33 zouden worden gedeactiveerd in Production, grens 10", "Eenmalig toestaan", "Toegang wegnemen")
	w.has(dutch("/runs"), "In quarantaine", "Eenmalig toestaan", "Gelukt") //nolint:misspell // it is Dutch
}

// TestRunPlanInPages turns the pages of a plan with a failure in it.
func TestRunPlanInPages(t *testing.T) {
	t.Parallel()
	w := newRunsWorld(t)
	w.settle(700, 1)
	ids := w.hire(800, 120)
	twin := pulltest.NewPerson(990) // another person of a userName that is taken
	twin.UserPrincipalName = w.Fjord.Users[2].UserName
	w.Directory.SetPerson(twin)
	w.Directory.Add(w.Fjord.GroupID, twin.ID)
	path, page := w.press("preview", "1")
	next := regexp.MustCompile(`href="([^"]+)" rel="next"`)
	seen := map[string]int{}
	for n := 0; ; n++ {
		rows := regexp.MustCompile(`<span class="sub">([^<]+@[^<]+)</span></th>`).FindAllStringSubmatch(page.Body, -1)
		if n == 0 && (len(rows) != 50 || rows[0][1] != w.Fjord.Users[2].UserName) {
			t.Errorf("%d rows, %q first\n%s", len(rows), rows[0], mainOf(page))
		}
		for _, r := range rows {
			seen[r[1]]++
		}
		m := next.FindStringSubmatch(page.Body)
		if m == nil {
			if n != 2 {
				t.Errorf("%d pages", n+1)
			}
			break
		}
		page = w.see(html.UnescapeString(m[1]))
	}
	for who, n := range seen {
		if n != 1 {
			t.Errorf("%s is shown %d times", who, n)
		}
	}
	if len(seen) < len(ids) {
		t.Errorf("%d people", len(seen))
	}
	if got := w.admin.Get(path + "?after=nonsense"); got.Status != http.StatusNotFound {
		t.Errorf("%d", got.Status)
	}
	if got := w.admin.Get("/runs?after=nonsense"); got.Status != http.StatusNotFound {
		t.Errorf("%d", got.Status)
	}
	if got := w.admin.Get("/runs?environment=nonsense"); got.Status != http.StatusNotFound {
		t.Errorf("%d", got.Status)
	}
}

// TestRunPageStaysSmall with a plan of very many people, whichever page of it.
func TestRunPageStaysSmall(t *testing.T) {
	t.Parallel()
	w := newRunsWorld(t)
	const people = 5000
	id := directory.ID{6: 0x70, 8: 0x80, 15: 1}
	run := &directory.Run{ID: id, EnvironmentID: w.Fjord.Production.ID, TenantID: w.Fjord.Tenant.ID, Trigger: directory.TriggerManual, State: directory.RunComplete,
		Actor: apptest.Operator, Started: w.Now(), Ended: w.Now(), Counts: directory.Counts{Create: people, Failed: 1, Applied: people - 1}}
	w.Must(w.Service.SaveRun(t.Context(), run, nil))
	var items []directory.PlanItem
	for n := range uint64(people) {
		i := directory.PlanItem{Number: n + 1, Kind: directory.ItemCreate, UserName: strings.Repeat("long", 20) + "@fjord.example", Name: strings.Repeat("Name ", 15), Outcome: directory.OutcomeApplied,
			Reason: "in a Group to Sync, and not known", Accesses: []directory.AccessEffect{{EnvironmentID: w.Fjord.Production.ID, AccountID: w.Fjord.Plain.ID, Effect: "granted"}}}
		for _, field := range []string{"userName", "displayName", "givenName", "familyName", "email", "preferredLanguage"} {
			i.Changes = append(i.Changes, directory.Change{Name: field, Old: []byte(`"` + strings.Repeat("before", 12) + `"`), New: []byte(`"` + strings.Repeat("after", 12) + `"`)})
		}
		if n == people-1 {
			i.Outcome, i.Name = directory.OutcomeFailed, "Zoe Last"
		}
		items = append(items, i)
	}
	for part := range slices.Chunk(items, 500) {
		w.Must(w.Service.SaveItems(t.Context(), id, part))
	}
	path := "/runs/" + id.String()
	page := w.see(path)
	w.has(page, "Zoe Last")
	for _, at := range []string{path, path + "?after=1.4940", path + "?outcome=problems", path + "?kind=loses"} {
		if page := w.see(at); len(page.Body) > 200_000 {
			t.Errorf("%s: %d bytes", at, len(page.Body))
		}
	}
	if first, _, _ := strings.Cut(mainOf(page), "Name Name"); !strings.Contains(first, "Zoe Last") {
		t.Error("the failure does not come first")
	}
}
