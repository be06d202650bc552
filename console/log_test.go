package console_test

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// logPaths are the pages of this slice that every member of the staff has.
var logPaths = []string{"/log", "/log?live=on", "/log/export?format=csv", "/log/export?format=json", "/report", "/report/export?format=csv", "/report/export?format=jws"}

// lastLine is the page of the newest line of a customer's log.
func lastLine(w *apptest.World, c *apptest.Customer) (path string) {
	w.Helper()
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
		return sn.Log(c.Tenant.ID, 0, true, func(e *directory.LogEvent) bool {
			path = fmt.Sprintf("/log/%s/%d", e.TenantID, e.Sequence)
			return false
		})
	}))
	return path
}

func TestLogPagesByRole(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	line := lastLine(w, w.Fjord)
	for _, c := range []struct {
		name  string
		who   *directory.Account
		pages int
		audit int
	}{
		{"nobody", nil, http.StatusSeeOther, http.StatusSeeOther}, {"plain", w.Fjord.Plain, http.StatusForbidden, http.StatusForbidden},
		{"administrator", w.Fjord.Admin, http.StatusOK, http.StatusForbidden}, {"partner", w.Fjord.Partner, http.StatusOK, http.StatusForbidden},
		{"operator", w.Boss, http.StatusOK, http.StatusOK},
	} {
		b := w.SignIn(c.who)
		for _, path := range append([]string{line}, logPaths...) {
			got := b.Get(path)
			if got.Status != c.pages {
				t.Errorf("%s, %s: %d, not %d", c.name, path, got.Status, c.pages)
			}
			if c.pages == http.StatusOK && c.who != w.Boss {
				noOther(t, c.name+" "+path, got.Body)
			}
		}
		for _, path := range []string{"/audit", "/audit?action=tenant", "/audit/export?format=csv", "/audit/export?format=json"} {
			if got := b.Get(path); got.Status != c.audit {
				t.Errorf("%s, %s: %d, not %d", c.name, path, got.Status, c.audit)
			}
		}
		if got := b.Post("/audit"); got.Status != c.audit {
			t.Errorf("%s verifies the audit: %d, not %d", c.name, got.Status, c.audit)
		}
	}
}

// noOther sees that a page of Fjord's says nothing of Nordwind.
func noOther(t *testing.T, what, body string) {
	t.Helper()
	if i := strings.Index(strings.ToLower(body), "nordwind"); i >= 0 {
		t.Errorf("%s tells of the other customer: %s", what, body[max(0, i-60):min(len(body), i+60)])
	}
}

// What belongs to the other customer is as if it were nowhere.
func TestLogOfOthersIsNotFound(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	nowhere := directory.ID{1, 2, 3}.String()
	for _, who := range []*directory.Account{w.Fjord.Admin, w.Fjord.Partner} {
		b := w.SignIn(who)
		for _, path := range []string{lastLine(w, w.Nordwind), "/log/" + w.Fjord.Tenant.ID.String() + "/99999", "/log/" + nowhere + "/1", "/log/x/1", "/log/" + w.Fjord.Tenant.ID.String() + "/x"} {
			if got := b.Get(path); got.Status != http.StatusNotFound {
				t.Errorf("%s: %d", path, got.Status)
			}
		}
		for _, query := range []string{"tenant=" + w.Nordwind.Tenant.ID.String(), "environment=" + w.Nordwind.Production.ID.String(), "person=" + w.Nordwind.Plain.ID.String(),
			"tenant=" + nowhere, "environment=" + nowhere, "person=" + nowhere, "tenant=x", "environment=x"} {
			for _, path := range []string{"/log", "/log/export", "/log/live"} {
				if got := b.Get(path + "?" + query); got.Status != http.StatusNotFound {
					t.Errorf("%s?%s: %d", path, query, got.Status)
				}
			}
			if strings.HasPrefix(query, "person") {
				continue
			}
			for _, path := range []string{"/report", "/report/export?format=jws&", "/report/export?format=csv&"} {
				if got := b.Get(strings.TrimSuffix(path, "&") + map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + query); got.Status != http.StatusNotFound {
					t.Errorf("%s %s: %d", path, query, got.Status)
				}
			}
		}
	}
	// An administrator sees no tenant, its own neither.
	if got := w.SignIn(w.Fjord.Admin).Get("/log?tenant=" + w.Fjord.Tenant.ID.String()); got.Status != http.StatusNotFound {
		t.Errorf("the log of the tenant for an administrator: %d", got.Status)
	}
}

// evilText are texts that a directory may send: markup, and what a spreadsheet would calculate.
var evilText = []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, "=HYPERLINK(\"http://x\",\"y\")", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", " =1+1", "\u200b=1", "＝1", "plain, \"quoted\"\r\nand more"}

// push is Fjord's directory.
func fjordPush(w *apptest.World) directory.Actor {
	return directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: w.Fjord.Tenant.ID.String(), Method: http.MethodPost}
}

// writeEvil has the directory write every text into every field that a line shows.
func writeEvil(w *apptest.World) {
	w.Helper()
	for _, text := range evilText {
		e := directory.LogEvent{TenantID: w.Fjord.Tenant.ID, Action: directory.ActionUpdate, TargetType: "User", TargetID: text, TargetName: text, ExternalID: text, Detail: text, Reason: text,
			Warnings: []string{text}, Changes: []directory.Change{{Name: text, Old: quoted(text), New: json.RawMessage(`{"a":[` + string(quoted(text)) + `]}`)}}}
		by := fjordPush(w)
		by.RequestID, by.Address = text, text
		w.Must(w.Service.LogFailure(w.Context(), by, e))
	}
}

func quoted(text string) json.RawMessage {
	b, _ := json.Marshal(text)
	return b
}

func TestLogShowsTextsAsTexts(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	writeEvil(w)
	w.Must(w.Service.Audit(w.Context(), apptest.Operator, evilText[0], evilText[1], json.RawMessage(`{"x":"<script>alert(1)</script>"}`)))
	b := w.SignIn(w.Boss)
	pages := []string{"/log", "/audit", "/log?" + url.Values{"identity": {evilText[0]}, "from": {evilText[1]}}.Encode(), "/audit?" + url.Values{"actor": {evilText[0]}, "action": {evilText[1]}, "target": {evilText[1]}}.Encode(), "/report?" + url.Values{"from": {evilText[1]}}.Encode()}
	w.Must(w.Service.View(t.Context(), func(sn *directory.Snapshot) error {
		return sn.Log(w.Fjord.Tenant.ID, 0, true, func(e *directory.LogEvent) bool {
			pages = append(pages, fmt.Sprintf("/log/%s/%d", e.TenantID, e.Sequence))
			return len(pages) < 5+len(evilText)
		})
	}))
	for _, path := range pages {
		got := b.Get(path)
		for _, bad := range []string{"<script>alert", "<img src=x"} {
			if strings.Contains(got.Body, bad) {
				t.Errorf("%s holds %s", path, bad)
			}
		}
		if !strings.Contains(got.Body, "&lt;script&gt;") && !strings.Contains(got.Body, "&gt;") && strings.HasPrefix(path, "/log/") && strings.Contains(path, "script") {
			t.Errorf("%s does not show the text", path)
		}
	}
}

func TestExportsAreNoFormulas(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	writeEvil(w)
	w.Must(w.Service.Audit(w.Context(), directory.Actor{Role: directory.RoleOperator, Channel: "=1", ID: "@1", Address: "+1", RequestID: "-1"}, "=x", "=y", nil))
	b := w.SignIn(w.Boss)
	for _, path := range []string{"/log/export?format=csv", "/audit/export?format=csv", "/report/export?format=csv"} {
		got := b.Get(path)
		if h := got.Header; !strings.HasPrefix(h.Get("Content-Disposition"), `attachment; filename="`) || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Type") != "text/csv; charset=utf-8" {
			t.Errorf("%s: %v", path, h)
		}
		text, ok := strings.CutPrefix(got.Body, "\ufeff")
		if !ok {
			t.Errorf("%s: no mark of UTF-8", path)
		}
		r := csv.NewReader(strings.NewReader(text))
		r.FieldsPerRecord = -1
		rows, err := r.ReadAll()
		if err != nil || len(rows) < 2 {
			t.Fatalf("%s: %d rows, %v", path, len(rows), err)
		}
		apostrophes := 0
		for _, row := range rows {
			for _, cell := range row {
				if strings.HasPrefix(cell, "'") {
					apostrophes++
				}
				if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r\n") || strings.HasPrefix(strings.TrimLeft(cell, " \u200b"), "=") || strings.HasPrefix(cell, "＝") {
					t.Errorf("%s: the cell %q is a formula", path, cell)
				}
			}
		}
		if apostrophes == 0 && !strings.HasPrefix(path, "/report") {
			t.Errorf("%s: nothing was made harmless", path)
		}
	}
	// JSON is for programs: texts are as they were sent.
	got := b.Get("/log/export?format=json")
	var all struct {
		Items []desk.LogLine `json:"items"`
		Cut   bool           `json:"cut"`
	}
	if err := json.Unmarshal([]byte(got.Body), &all); err != nil || all.Cut || len(all.Items) < len(evilText) || all.Items[len(evilText)-1].Identity.Name != evilText[0] {
		t.Errorf("%v, %d items\n%.300s", err, len(all.Items), got.Body)
	}
}

// An export holds what the page shows, and all of it.
func TestExportIsWhatThePageShows(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	for i := range desk.MaxLimit + 60 {
		w.Must(w.Service.LogFailure(t.Context(), fjordPush(w), directory.LogEvent{TenantID: w.Fjord.Tenant.ID, Action: directory.ActionCreate, TargetType: "User", TargetName: fmt.Sprint("bulk-", i)}))
	}
	rows := func(query string) [][]string {
		text := strings.TrimPrefix(w.SignIn(w.Fjord.Partner).Get("/log/export?format=csv&"+query).Body, "\ufeff")
		all, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		w.Must(err)
		return all[1:]
	}
	if got := rows("status=failure"); len(got) != desk.MaxLimit+60 || got[0][1] != fmt.Sprint("bulk-", desk.MaxLimit+59) {
		t.Errorf("%d failures, the first is %q", len(got), got[0])
	}
	if got := rows("identity=BULK-7&status=failure"); len(got) != 11 {
		t.Errorf("%d lines", len(got))
	}
	if got := rows("status=failure&identity=nobody"); len(got) != 0 {
		t.Errorf("%d lines", len(got))
	}
}

func TestLogPagesOn(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	for i := range desk.DefaultLimit + 5 {
		w.Must(w.Service.LogFailure(t.Context(), fjordPush(w), directory.LogEvent{TenantID: w.Fjord.Tenant.ID, Action: directory.ActionCreate, TargetType: "User", TargetName: fmt.Sprint("bulk-", i)}))
	}
	b := w.SignIn(w.Boss)
	first := b.Get("/log?status=failure")
	if n := strings.Count(first.Body, "bulk-"); n != desk.DefaultLimit {
		t.Errorf("%d lines on the first page", n)
	}
	_, rest, _ := strings.Cut(first.Body, `after=`)
	after, _, _ := strings.Cut(rest, `&`)
	second := b.Get("/log?status=failure&after=" + after)
	if n := strings.Count(second.Body, "bulk-"); n != 5 || !strings.Contains(second.Body, ">bulk-0<") {
		t.Errorf("%d lines on the second page", n)
	}
	for _, query := range []string{"after=x", "after=0", "after=-1", "status=odd", "action=odd", "channel=odd", "from=2026-02-01&to=2026-01-01", "from=yesterday", "to=32"} {
		got := b.Get("/log?" + query)
		if got.Status != http.StatusUnprocessableEntity || !strings.Contains(got.Body, `class="flash bad"`) && !strings.Contains(got.Body, `aria-invalid="true"`) && !strings.Contains(got.Body, `role="alert"`) {
			t.Errorf("%s: %d", query, got.Status)
		}
	}
}

// A period is written as its fields say, and what ends it counts whole.
func TestPeriodsAreRead(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	b := w.SignIn(w.Boss)
	moment := regexp.MustCompile(`data-moment="([^"]*)"`)
	for text, want := range map[string][2]string{
		"2026-01-31":                    {"2026-01-31T00:00:00.000Z", "2026-01-31T23:59:59.999Z"},
		"2026-01-31 17:30":              {"2026-01-31T17:30:00.000Z", "2026-01-31T17:30:59.999Z"},
		"2026-01-31T17:30":              {"2026-01-31T17:30:00.000Z", "2026-01-31T17:30:59.999Z"},
		" 2026-01-31 17:30:09 ":         {"2026-01-31T17:30:09.000Z", "2026-01-31T17:30:09.999Z"},
		"2026-01-31T17:30:09.5Z":        {"2026-01-31T17:30:09.500Z", "2026-01-31T17:30:09.500Z"},
		"2026-01-31T17:30:09.999+01:00": {"2026-01-31T16:30:09.999Z", "2026-01-31T16:30:09.999Z"},
		"":                              {"", ""},
		"2026-02-30":                    {"", ""},
		"2026-01-31 25:00":              {"", ""},
	} {
		got := b.Get("/log?" + url.Values{"from": {text}, "to": {text}}.Encode())
		fields := moment.FindAllStringSubmatch(got.Body, -1)
		if len(fields) != 2 {
			t.Fatalf("%d fields", len(fields))
		}
		for i, m := range fields {
			if m[1] != want[i] {
				t.Errorf("%q: field %d is %q, want %q", text, i, m[1], want[i])
			}
		}
		if wrong := strings.Count(got.Body, `aria-invalid="true"`); (got.Status == http.StatusOK) != (wrong == 0) || (wrong == 2) != (text != "" && want[0] == "") {
			t.Errorf("%q: %d, %d fields are wrong", text, got.Status, wrong)
		}
	}
}

func TestAuditVerifies(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	b := w.SignIn(w.Boss)
	got := b.Post("/audit")
	if got.Status != http.StatusOK || !strings.Contains(got.Body, "The audit is whole") {
		t.Errorf("%d\n%s", got.Status, got.Body)
	}
	if got := b.Get("/audit?target=fjord&action=tenant"); !strings.Contains(got.Body, ">tenant.create<") || strings.Contains(got.Body, ">session.create<") || strings.Contains(got.Body, "nordwind") {
		t.Errorf("the selection does not hold\n%s", got.Body)
	}
}

func TestSignedReportVerifies(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	b := w.SignIn(w.Fjord.Partner)
	got := b.Get("/report/export?format=jws")
	if got.Header.Get("Content-Type") != "application/jose" || !strings.HasPrefix(got.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%v", got.Header)
	}
	var keys jose.JSONWebKeySet
	w.Must(json.Unmarshal([]byte(w.SignIn(nil).Get("/.well-known/jwks.json").Body), &keys))
	jws, err := jose.ParseSignedCompact(got.Body, []jose.SignatureAlgorithm{jose.ES256})
	w.Must(err)
	payload, err := jws.Verify(keys.Key(jws.Signatures[0].Header.KeyID)[0])
	w.Must(err)
	var r desk.Report
	w.Must(json.Unmarshal(payload, &r))
	if r.Type != desk.ReportType || r.Issuer != w.Server.URL || len(r.Joiners) != 3 || r.Joined.Count != 3 || r.Audit.Hash == "" {
		t.Errorf("%+v", r)
	}
	if typ := jws.Signatures[0].Protected.ExtraHeaders[jose.HeaderType]; typ != desk.ReportType+"+jws" {
		t.Errorf("typ is %v", typ)
	}
	noOther(t, "the report", string(payload))
}

// Both languages render every page.
func TestLogInDutch(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	b := w.SignIn(w.Boss)
	for _, path := range append([]string{"/audit", lastLine(w, w.Fjord)}, logPaths[:2]...) {
		got := b.Do(http.MethodGet, path, nil, "Accept-Language", "nl")
		if got.Status != http.StatusOK || !strings.Contains(got.Body, `lang="nl"`) {
			t.Errorf("%s: %d", path, got.Status)
		}
	}
}

// follow opens a live region and returns what is told of it: the text of each "html" event, and then "over" or "gone".
func follow(t *testing.T, b *apptest.Browser, path string) (next func() string, end func()) {
	t.Helper()
	return followAt(t, b.Server.Client(), b.Server.URL+path, b.Session())
}

// followAt is follow of an address, with the secret of a session. At the end it returns the name of what came last, if that was "over" or
// "gone", and else nothing.
func followAt(t *testing.T, client *http.Client, address, session string) (next func() string, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: auth.SessionCookie, Value: session})
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	lines := bufio.NewScanner(res.Body)
	return func() string {
			var event, data strings.Builder
			for lines.Scan() {
				switch text := lines.Text(); {
				case strings.HasPrefix(text, "event: "):
					event.WriteString(text[len("event: "):])
				case strings.HasPrefix(text, "data: "):
					data.WriteString(text[len("data: "):] + "\n")
				case text == "" && event.String() == "html":
					return data.String()
				case text == "" && (event.String() == "over" || event.String() == "gone"):
					return event.String()
				case text == "":
					event.Reset()
					data.Reset()
				}
			}
			return ""
		}, func() {
			cancel()
			_ = res.Body.Close()
		}
}

// The live log shows a line when it is written, of the selection alone, and ends when who looks may see no more.
func TestLogLive(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	next, end := follow(t, w.SignIn(w.Fjord.Partner), "/log/live?identity=newcomer&live=on")
	defer end()
	if first := next(); strings.Contains(first, ">newcomer") || strings.Contains(first, "<html") {
		t.Errorf("%s", first)
	}
	write := func(c *apptest.Customer, name string) {
		w.Must(w.Service.LogFailure(t.Context(), fjordPush(w), directory.LogEvent{TenantID: c.Tenant.ID, Action: directory.ActionCreate, TargetType: "User", TargetName: name}))
	}
	write(w.Nordwind, "newcomer-of-nordwind")
	write(w.Fjord, "somebody else")
	write(w.Fjord, "newcomer-1")
	second := next()
	if !strings.Contains(second, ">newcomer-1") || strings.Contains(second, "somebody else") {
		t.Errorf("%s", second)
	}
	noOther(t, "the live log", second)
	_, err := w.Service.SetRoles(t.Context(), apptest.Operator, w.Fjord.Partner.ID, directory.RoleInput{Partner: map[directory.ID]bool{w.Fjord.Organization.ID: false}})
	w.Must(err)
	write(w.Fjord, "newcomer-2")
	ends(t, next, "", "newcomer-2")
}

// An administrator who is one no more sees no further line, though the session goes on.
func TestLogLiveByAdministrator(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	next, end := follow(t, w.SignIn(w.Fjord.Admin), "/log/live")
	defer end()
	if first := next(); !strings.Contains(first, ">Sales<") {
		t.Errorf("%s", first)
	}
	_, err := w.Service.SetAdministrator(t.Context(), apptest.Operator, w.Fjord.Admin.ID, w.Fjord.Production.ID, false)
	w.Must(err)
	_, err = w.Service.UpdateUser(t.Context(), fjordPush(w), w.Fjord.Tenant.ID, w.Fjord.Users[2].ID, func(u *directory.User) (directory.UserInput, error) {
		p := u.Profile
		p.Active = false
		return directory.UserInput{Profile: p, SaysActive: true, Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:User"]`), Attributes: []byte(`{}`)}, nil
	})
	w.Must(err)
	ends(t, next, "gone", "access deactivated")
}

// TestRefusedFilters sees that a selection that cannot be is refused in words, and leads back to all lines.
func TestRefusedFilters(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	b := w.SignIn(w.Boss)
	for path, says := range map[string]string{
		"/log?status=bad": "Status must be one of success", "/log?action=bad": "Action must be one of create", "/log?channel=bad": "Channel must be one of push",
		"/log?after=x": "After must be what a page before has named", "/audit?after=x": "After must be what a page before has named",
		"/log?from=2026-02-01&to=2026-01-01": "is before that from which they are", "/audit?from=2026-02-01&to=2026-01-01": "is before that from which they are",
		"/report?from=2026-02-01&to=2026-01-01": "The period ends before it begins",
	} {
		got := b.Get(path)
		want(t, got, http.StatusUnprocessableEntity, says)
		if strings.Count(got.Body, says) != 1 || !strings.Contains(got.Body, "autofocus") {
			t.Errorf("%s: not said once, where the focus is\n%s", path, got.Body)
		}
	}
}

// TestAuditInWords sees that an act is told in the language of the page, beside the name by which it is searched; and one
// that has no words by that name alone.
func TestAuditInWords(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	w.Must(w.Service.Audit(w.Context(), directory.Actor{Role: directory.RoleEnvironment, Channel: "cli", ID: "root", Address: "192.0.2.3"}, "unheard.of", "x", nil))
	b := w.SignIn(w.Boss)
	want(t, b.Get("/audit"), http.StatusOK, `Secret Token created<code class="sub">token.create</code>`, `<option value="token.create">Secret Token created</option>`,
		`<code>unheard.of</code>`, "environment administrator · command line · 192.0.2.3")
	want(t, b.Do(http.MethodGet, "/audit", nil, "Accept-Language", "nl"), http.StatusOK, `Secret Token gemaakt<code class="sub">token.create</code>`,
		`<option value="token"></option><option value="token.create">Secret Token gemaakt</option>`, `<code>unheard.of</code>`, "omgevingsbeheerder · opdrachtregel · 192.0.2.3")
	want(t, b.Get("/audit?action=token.create"), http.StatusOK, "Secret Token created")
}

// TestReportSaysWhoseDays sees that the plot of leavers, whose lists are in the time of the viewer, says that its days are not.
func TestReportSaysWhoseDays(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	w.Must(w.Service.DeleteUser(w.Context(), fjordPush(w), w.Fjord.Tenant.ID, w.Fjord.Users[2].ID, nil))
	want(t, w.SignIn(w.Fjord.Partner).Get("/report"), http.StatusOK, "Leavers by day (UTC)", "The days are those of UTC, for whoever looks")
}
