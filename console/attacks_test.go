package console_test

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/console"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// Attacks on every route that the console has, also on those that come later: a path of the staff has its parts from
// the matrix, any other from pathOfPeople.

// evil is a text that is an element, an attribute, an address or a formula wherever it is not a text.
const evil = `=cmd|'"><img src=x onerror=alert(1)><script>alert(2)</script>`

// evilAddress is an address that runs a script wherever it becomes one.
const evilAddress = `javascript:alert(3)//"><img src=x onerror=alert(1)>`

// evilCell is a formula to a spreadsheet that overlooks what cannot be seen before it.
const evilCell = "\u200b ＝cmd|alert(4)"

// target is a route with its path filled in.
type target struct {
	method, path string
	form         url.Values
	name         string // of the route
}

// targets are all routes of the console with real things in their paths, but signing out.
func targets(t *testing.T, w *apptest.World) (all []target) {
	t.Helper()
	people := strings.NewReplacer("{id}", w.Fjord.Production.ID.String(), "{link}", "bzl_none", "{file}", "none.css")
	for _, r := range console.New(console.Config{}).Routes() {
		if r.Path == "/logout" {
			continue
		}
		row, ok := matrix[r.Method+" "+r.Path]
		switch {
		case r.Access != console.Staff:
			all = append(all, target{r.Method, people.Replace(r.Path), nil, r.Path})
		case ok:
			values := map[string]string{}
			if row.fill != nil {
				values = row.fill(w)
			}
			all = append(all, target{r.Method, pathOf(t, r.Path, values), row.formIn(w), r.Path})
		default:
			all = append(all, target{r.Method, withAnyID(r.Path, w), nil, r.Path}) // TestRoleMatrix says that its row is missing
		}
	}
	link, err := w.App.Desk().CreateSetupLink(w.Context(), apptest.Operator, w.Fjord.Tenant.ID, desk.SetupLinkInput{Hours: 1})
	w.Must(err)
	for i := range all { // one that works: forms of rows above have replaced others
		all[i].path = strings.Replace(all[i].path, "/connect/bzl_none", strings.TrimPrefix(link.URL, w.Server.URL), 1)
	}
	return all
}

// withAnyID fills every part of a path with the id of an environment.
func withAnyID(path string, w *apptest.World) string {
	for {
		before, rest, ok := strings.Cut(path, "{")
		if !ok {
			return path
		}
		_, after, _ := strings.Cut(rest, "}")
		path = before + w.Fjord.Production.ID.String() + after
	}
}

// written is how far the records of what was done have come: it differs after anything that a form does.
func written(w *apptest.World) (state string) {
	w.Helper()
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
		var audit, out uint64
		err := sn.Audit(0, func(e *directory.AuditEntry) bool { audit = e.Sequence; return true })
		err2 := sn.Outbox(0, func(e *directory.OutboxEvent) bool { out = e.Sequence; return true })
		state = fmt.Sprint("audit ", audit, " outbox ", out)
		return errors.Join(err, err2)
	}))
	return state
}

// TestForeignFormsOfTheStaffDoNothing sends every form as other sites and programs would, with the operator's session.
func TestForeignFormsOfTheStaffDoNothing(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	furnishMatrix(w)
	all := targets(t, w)
	boss := w.SignIn(w.Boss)
	const form, file, jsonType, plain = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json", "text/plain"
	forged := []struct {
		name   string
		status int
		header []string
	}{
		{"cross-site", 403, []string{"Content-Type", form, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}},
		{"cross-site with our Origin", 403, []string{"Content-Type", form, "Sec-Fetch-Site", "cross-site", "Origin", w.Server.URL}},
		{"same-site", 403, []string{"Content-Type", form, "Sec-Fetch-Site", "same-site", "Origin", "https://sub.evil.example"}},
		{"an old browser elsewhere", 403, []string{"Content-Type", form, "Origin", "https://evil.example"}},
		{"a sandbox", 403, []string{"Content-Type", form, "Origin", "null"}},
		{"no header at all", 403, []string{"Content-Type", form}},
		{"a referrer elsewhere", 403, []string{"Content-Type", form, "Referer", "https://evil.example/"}},
		{"plain text", 415, []string{"Content-Type", plain, "Sec-Fetch-Site", "same-origin"}},
		{"JSON", 415, []string{"Content-Type", jsonType, "Sec-Fetch-Site", "same-origin"}},
		{"a file", 415, []string{"Content-Type", file, "Sec-Fetch-Site", "same-origin"}},
		{"no type", 415, []string{"Sec-Fetch-Site", "same-origin"}},
	}
	tried := 0
	before := written(w)
	for _, x := range all {
		if x.method != http.MethodPost {
			continue
		}
		for _, f := range forged {
			got := boss.Do(http.MethodPost, x.path, strings.NewReader(x.form.Encode()), f.header...)
			if got.Status != f.status {
				t.Errorf("%s to %s: %d, not %d", f.name, x.path, got.Status, f.status)
			}
			tried++
		}
		if after := written(w); after != before {
			t.Fatalf("a foreign form did something at %s: %s, before %s", x.path, after, before)
		}
	}
	if tried < 100 {
		t.Fatalf("%d forms tried: the search is broken", tried)
	}
	if has(t, boss.Post("/settings/keys"), http.StatusSeeOther); written(w) == before {
		t.Error("what a form does is not seen")
	}
}

// TestNoPageCanBeFramed asks for every route in every way and looks at the headers that keep a page to itself.
func TestNoPageCanBeFramed(t *testing.T) {
	skipShort(t)
	t.Parallel()
	w := apptest.New(t, nil)
	furnishMatrix(w)
	want := map[string]string{"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin", "Access-Control-Allow-Origin": ""}
	for _, who := range []*directory.Account{nil, w.Boss, w.Nordwind.Admin} {
		b := w.SignIn(who)
		for _, x := range targets(t, w) {
			got := look(b, x.method, x.path, x.form)
			for name, value := range want {
				if has := got.Header.Get(name); has != value {
					t.Errorf("%s %s: %s is %q, not %q", x.method, x.path, name, has, value)
				}
			}
			policy := got.Header.Get("Content-Security-Policy")
			if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "script-src 'unsafe") || strings.Contains(policy, "*") {
				t.Errorf("%s %s: policy %q", x.method, x.path, policy)
			}
			if cache := got.Header.Get("Cache-Control"); cache != "no-store" {
				t.Errorf("%s %s: Cache-Control %q", x.method, x.path, cache)
			}
		}
	}
}

// look asks for a route. Of a stream that goes on it reads nothing.
func look(b *apptest.Browser, method, path string, form url.Values) apptest.Answer {
	b.Helper()
	if method != http.MethodPost {
		return stream(b, path)
	}
	return ask(b, method, path, form)
}

// stream asks for a page; of server-sent events it reads the first one.
func stream(b *apptest.Browser, path string) apptest.Answer {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, b.Server.URL+path, nil)
	b.Must(err)
	r.Header.Set("Accept", "text/html")
	if b.Session() != "" {
		r.Header.Set("Cookie", auth.SessionCookie+"="+b.Session())
	}
	client := *b.Server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(r)
	b.Must(err)
	defer res.Body.Close()
	a := apptest.Answer{Status: res.StatusCode, Header: res.Header, To: res.Header.Get("Location")}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		part := make([]byte, 64<<10)
		n, _ := res.Body.Read(part)
		a.Body = strings.ReplaceAll(string(part[:n]), "\ndata: ", "\n")
		return a
	}
	text, err := io.ReadAll(res.Body)
	b.Must(err)
	a.Body = string(text)
	return a
}

// TestNothingThatADirectorySaysBecomesCode fills every field that others control with what would be code, and reads
// every page, region and export as everybody who may.
func TestNothingThatADirectorySaysBecomesCode(t *testing.T) {
	skipShort(t)
	t.Parallel()
	w := apptest.New(t, nil)
	furnishMatrix(w)
	poison(w)
	shown := map[string]int{}
	for _, who := range []*directory.Account{w.Boss, w.Fjord.Admin, w.Fjord.Partner, w.Fjord.Plain, nil} {
		b := w.SignIn(who)
		for _, x := range targets(t, w) {
			if x.method == http.MethodGet {
				shown[x.name] += harmless(t, "GET "+x.path, stream(b, x.path))
			}
		}
		for name, path := range poisonedPaths(w) {
			shown[name] += harmless(t, "GET "+path, stream(b, path))
		}
		for _, path := range evilQueries() {
			shown[path] += harmless(t, path, stream(b, path))
		}
	}
	for name := range shown {
		if shown[name] == 0 && !showsNothing[name] && !strings.Contains(name, "?") {
			t.Errorf("%s shows nothing of it: the test cannot fail there", name)
		}
		if shown[name] > 0 && showsNothing[name] {
			t.Errorf("%s shows something of it", name)
		}
	}
}

// showsNothing are routes that show nothing that others control.
var showsNothing = setOf(
	"/settings", "/settings/keys", "/settings/configuration", "/organizations/new", "/search", "/api", "/account/second-factor",
	"/environments/{id}/integration/progress", "/runs/{id}/progress", "/tenants/{id}/guide/live", "/connect/{link}/state",
	"/auth/callback", "/login/environment/{id}", "/operator/link/{link}", "/setup/{link}", "/password", "/password/{link}", "/static/{file}",
	// They lead to the page of their form.
	"/tenants/{id}/test", "/tenants/{id}/credentials/remove", "/tenants/{id}/tokens/rotate", "/tenants/{id}/tokens/revoke", "/tenants/{id}/clients/rotate",
	"/tenants/{id}/clients/revoke", "/tenants/{id}/link", "/tenants/{id}/link/revoke", "/tenants/{id}/guide/test", "/tenants/{id}/guide/token", "/tenants/{id}/guide/rotate",
	"/tenants/{id}/guide/ids", "/tenants/{id}/guide/credential", "/connect/{link}/test", "/connect/{link}/token", "/connect/{link}/rotate", "/connect/{link}/ids",
	"/connect/{link}/credential")

func setOf(names ...string) map[string]bool {
	all := map[string]bool{}
	for _, name := range names {
		all[name] = true
	}
	return all
}

// poisonedPaths are pages of what poison has made, by the route.
func poisonedPaths(w *apptest.World) map[string]string {
	w.Helper()
	all := map[string]string{}
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
		envs, err := sn.SeeEnvironments(apptest.Operator)
		for _, e := range envs {
			if e.Name == evil {
				for _, tab := range []string{"", "/integration", "/administrators"} {
					all["/environments/{id}"+tab] = "/environments/" + e.ID.String() + tab
				}
			}
		}
		return err
	}))
	return all
}

// TestNothingThatAFormSaysBecomesCode sends every form that a page has, with what would be code in each field that
// somebody types into, and reads the answers. Forms come from the pages themselves, so that no field is left out.
func TestNothingThatAFormSaysBecomesCode(t *testing.T) {
	skipShort(t)
	t.Parallel()
	w := apptest.New(t, nil)
	furnishMatrix(w)
	poison(w)
	tried, shown := map[string]bool{}, 0
	for _, x := range targets(t, w) {
		if x.method != http.MethodGet || strings.Contains(x.path, "/live") || strings.Contains(x.path, "/progress") {
			continue
		}
		for _, f := range formsOf(t, stream(w.SignIn(w.Boss), x.path)) {
			if tried[f.name()] || f.action == "/logout" {
				continue
			}
			tried[f.name()] = true
			for _, text := range []string{evil, evilAddress} {
				w.Advance(time.Second) // no limit on tries is what is tested here
				got := ask(w.SignIn(w.Boss), http.MethodPost, f.action, f.typed(text))
				waitForRun(w, got.To)
				shown += harmless(t, "POST "+f.name(), got)
			}
		}
	}
	if len(tried) < 40 || shown < 20 {
		t.Errorf("%d forms, which show it %d times: the search is broken", len(tried), shown)
	}
}

// htmlForm is a form of a page.
type htmlForm struct {
	action string
	kept   url.Values // what nobody types: hidden fields, choices, boxes, the first button
	fields []string   // what somebody types
}

func (f *htmlForm) name() string {
	path, _, _ := strings.Cut(f.action, "?")
	return path + " " + strings.Join(slices.Sorted(maps.Keys(f.kept)), ",") + " " + strings.Join(f.fields, ",")
}

func (f *htmlForm) typed(text string) url.Values {
	form := maps.Clone(f.kept)
	for _, name := range f.fields {
		form.Set(name, text)
	}
	return form
}

// formsOf are the forms of a page that are posted.
func formsOf(t *testing.T, a apptest.Answer) (all []*htmlForm) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(a.Body))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" || !strings.EqualFold(attribute(n, "method"), "post") {
			continue
		}
		f := &htmlForm{action: attribute(n, "action"), kept: url.Values{}}
		for x := range n.Descendants() {
			f.take(x)
		}
		all = append(all, f)
	}
	return all
}

// take adds one control of the form.
func (f *htmlForm) take(n *html.Node) {
	name := attribute(n, "name")
	switch {
	case n.Type != html.ElementNode || name == "":
	case n.Data == "textarea":
		f.fields = append(f.fields, name)
	case n.Data == "select":
		for o := range n.Descendants() {
			if o.Data == "option" && !f.kept.Has(name) {
				f.kept.Set(name, attribute(o, "value"))
			}
		}
	case n.Data == "button":
		if !f.kept.Has(name) {
			f.kept.Set(name, attribute(n, "value"))
		}
	case n.Data != "input":
	case slices.Contains([]string{"hidden", "checkbox", "radio", "submit"}, attribute(n, "type")):
		if !f.kept.Has(name) {
			f.kept.Set(name, attribute(n, "value"))
		}
	default:
		f.fields = append(f.fields, name)
	}
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// evilQueries are pages with a query, of every path of the staff that has no parts.
func evilQueries() (all []string) {
	names := []string{"q", "after", "done", "next", "state", "status", "action", "source", "target", "from", "to", "tenant", "environment", "organization", "group", "kind", "limit", "filter", "role", "id"}
	for _, r := range routesOfStaff() {
		if r.Method != http.MethodGet || strings.Contains(r.Path, "{") {
			continue
		}
		for _, value := range []string{evil, evilAddress} {
			q := url.Values{}
			for _, name := range names {
				q.Set(name, value)
			}
			all = append(all, r.Path+"?"+q.Encode())
		}
	}
	all = append(all, "/log/export?format=json", "/log?live=on", "/audit/export?format=json", "/report/export?format=jws")
	return append(all, "/search?q=%3Dcmd", "/search?q="+url.QueryEscape("javascript:"), "/login?next="+url.QueryEscape(evilAddress), "/operator?next="+url.QueryEscape(evilAddress), "/signed-out?reason="+url.QueryEscape(evil))
}

// harmless fails where an answer holds code of others, and returns how often it shows their text.
func harmless(t *testing.T, name string, a apptest.Answer) int {
	t.Helper()
	if a.Status >= http.StatusInternalServerError && a.Status != http.StatusServiceUnavailable {
		t.Errorf("%s: it breaks: %d", name, a.Status)
	}
	kind, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";")
	switch kind {
	case "text/html", "text/event-stream":
		return harmlessHTML(t, name, a.Body)
	case "text/csv":
		return harmlessCSV(t, name, a.Body)
	case "application/json", "application/problem+json", "application/x-ndjson":
		for line := range strings.Lines(a.Body) {
			if strings.ContainsAny(line, "<>") {
				t.Errorf("%s: JSON that is HTML to who takes it for that: %s", name, line)
				break
			}
		}
		if kind != "application/x-ndjson" && !json.Valid([]byte(a.Body)) {
			t.Errorf("%s: no JSON", name)
		}
	case "application/jose":
		if strings.ContainsAny(a.Body, "<>\"'") {
			t.Errorf("%s: not signed and encoded", name)
		}
	case "", "text/plain":
	default:
		t.Errorf("%s: an answer of the type %q is not looked at", name, kind)
	}
	return strings.Count(a.Body, "alert(")
}

// harmlessHTML parses a page as browsers do.
func harmlessHTML(t *testing.T, name, body string) (shown int) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	whole := !strings.Contains(body, "<main")
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && (whole || inMain(n)) {
			shown += strings.Count(n.Data, "onerror=alert(1)") + strings.Count(n.Data, "javascript:alert(3)")
		}
		if n.Type != html.ElementNode {
			continue
		}
		if n.Data == "script" || n.Data == "link" || n.Data == "img" || n.Data == "iframe" || n.Data == "object" || n.Data == "embed" || n.Data == "base" || n.Data == "style" {
			if why := foreignElement(n); why != "" {
				t.Errorf("%s: <%s>: %s", name, n.Data, why)
			}
		}
		for _, a := range n.Attr {
			if why := badAttribute(a); why != "" {
				t.Errorf("%s: <%s %s=%q>: %s", name, n.Data, a.Key, a.Val, why)
			}
		}
	}
	return shown
}

// inMain reports whether a text is of the page itself: what stands on every page, such as the name of who looks, does not
// count as shown.
func inMain(n *html.Node) bool {
	for up := range n.Ancestors() {
		if up.Data == "main" {
			return true
		}
	}
	return false
}

// foreignElement says why an element that loads something is not ours.
func foreignElement(n *html.Node) string {
	for _, a := range n.Attr {
		if (a.Key == "src" || a.Key == "href") && (strings.HasPrefix(a.Val, "/static/") || n.Data == "img" && strings.HasPrefix(a.Val, "data:image/png;base64,")) {
			return ""
		}
	}
	return "not one of ours"
}

// badAttribute says why an attribute is code, or is blocked by the policy.
func badAttribute(a html.Attribute) string {
	key, value := strings.ToLower(a.Key), strings.ToLower(strings.TrimSpace(a.Val))
	switch {
	case strings.HasPrefix(key, "on"):
		return "a handler"
	case key == "style":
		return "a style, which the policy blocks"
	case strings.ContainsAny(a.Key, `"'<>=`):
		return "made of a text"
	case key == "href" || key == "src" || key == "action" || key == "formaction" || key == "xlink:href" || key == "data-live":
		for _, start := range []string{"/", "#", "?", "https://", "http://", "mailto:", "data:image/png;base64,"} {
			if strings.HasPrefix(value, start) && !strings.HasPrefix(value, "//") && !strings.HasPrefix(value, `/\`) {
				return ""
			}
		}
		if value != "" {
			return "an address that is none of ours"
		}
	}
	return ""
}

// harmlessCSV sees that no cell is a formula to a spreadsheet (OWASP, CSV injection).
func harmlessCSV(t *testing.T, name, body string) (shown int) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(body, "\ufeff"))).ReadAll()
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	for _, cell := range slices.Concat(rows...) {
		first := strings.TrimLeftFunc(cell, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) })
		if first != "" && strings.ContainsAny(first[:utf8.RuneLen([]rune(first)[0])], "=+-@＝＋－＠") || strings.HasPrefix(cell, "\t") || strings.HasPrefix(cell, "\r") {
			t.Errorf("%s: a cell is a formula: %q", name, cell)
		}
		shown += strings.Count(cell, "alert(")
	}
	return shown
}

// poison fills what others control with what would be code.
func poison(w *apptest.World) {
	w.Helper()
	ctx, c := w.Context(), w.Fjord
	push := directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: c.Tenant.ID.String(), RequestID: evil, Address: evil}
	attributes, err := json.Marshal(map[string]any{"userName": evil, "displayName": evil, "nickName": evilAddress, evil: evil, "profileUrl": evilAddress, "photos": []any{map[string]any{"value": evilAddress}}})
	w.Must(err)
	for i, u := range c.Users {
		_, err := w.Service.UpdateUser(ctx, push, c.Tenant.ID, u.ID, func(u *directory.User) (directory.UserInput, error) {
			p := u.Profile
			p.UserName = fmt.Sprintf("%s%d", evil, i)
			p.Name, p.Email, p.Language, p.Locale = evil, fmt.Sprint(evil, i, "@fjord.example"), evil, evil
			p.Emails = []string{p.Email, evilAddress}
			return directory.UserInput{Profile: p, SaysActive: true, Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:User"]`), Attributes: attributes,
				Changes: []directory.Change{{Name: evil, Old: json.RawMessage(quote(evil)), New: json.RawMessage(quote(evilAddress))}}, Warnings: []string{evil}}, nil
		})
		w.Must(err)
	}
	_, err = w.Service.CreateUser(ctx, push, c.Tenant.ID, directory.UserInput{Profile: directory.Profile{UserName: evilAddress, ExternalID: evilAddress, Name: evilAddress, Email: evilAddress, Emails: []string{evilAddress}, Active: true},
		Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:User"]`), Attributes: attributes})
	w.Must(err)
	_, err = w.Service.UpdateGroup(ctx, push, c.Tenant.ID, c.Group.ID, func(g *directory.Group, _ *directory.Membership) (directory.GroupInput, error) {
		return directory.GroupInput{DisplayName: evil, ExternalID: g.ExternalID, Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:Group"]`), Attributes: attributes, Warnings: []string{evil}}, nil
	})
	w.Must(err)
	w.Must(w.Service.LogFailure(ctx, push, directory.LogEvent{TenantID: c.Tenant.ID, Action: directory.ActionUpdate, TargetType: "User", TargetID: evil, TargetName: evil, ExternalID: evil, Detail: evil, Reason: evil, Warnings: []string{evil}}))
	w.Must(w.Service.LogFailure(ctx, push, directory.LogEvent{TenantID: c.Tenant.ID, Action: directory.ActionUpdate, TargetType: "User", TargetName: evilCell, ExternalID: evilCell, Detail: evilCell, Reason: evilCell}))
	w.Must(w.Service.LogFailure(ctx, push, directory.LogEvent{TenantID: c.Tenant.ID, Action: directory.ActionCreate, TargetType: "User", TargetName: "new " + evil, ExternalID: evilAddress, Detail: evil}))
	w.Directory.SetGroup(c.GroupID, evil)
	person := pulltest.NewPerson(777)
	person.DisplayName, person.UserPrincipalName, person.Mail = evil, evilAddress, evil
	w.Directory.SetPerson(person)
	w.Directory.Add(c.GroupID, person.ID)
	poisonSettings(w)
}

// poisonSettings does the same with what operators and browsers say.
func poisonSettings(w *apptest.World) {
	w.Helper()
	ctx, c := w.Context(), w.Fjord
	organization, err := w.Service.CreateOrganization(ctx, apptest.Operator, evil)
	w.Must(err)
	env, err := w.Service.CreateEnvironment(ctx, apptest.Operator, organization.ID, evil)
	w.Must(err)
	yes := true
	_, err = w.Service.SetTenant(ctx, apptest.Operator, c.Tenant.ID, func(t *directory.Tenant) error {
		t.SignIn.Label, t.SignIn.Contact = evil, evilAddress
		t.OrganizationIDs = append(t.OrganizationIDs, organization.ID)
		return nil
	})
	w.Must(err)
	_, _, err = w.Service.SetIntegration(ctx, apptest.Operator, env.ID, directory.IntegrationInput{Enabled: &yes, TenantID: &c.Tenant.ID, Groups: []string{c.GroupID}, DefaultMenus: []string{evil, evilAddress}})
	w.Must(err)
	_, err = w.Service.SetRoles(ctx, apptest.Operator, c.Partner.ID, directory.RoleInput{Partner: map[directory.ID]bool{organization.ID: true}})
	w.Must(err)
	secret := auth.NewSecret()
	token, err := w.Service.CreateToken(ctx, apptest.Operator, c.Tenant.ID, directory.NewToken{Name: evil, Hash: auth.Hash(secret.Text), Hint: `"><b`})
	w.Must(err)
	w.Must(w.Service.TouchToken(ctx, c.Tenant.ID, token.ID, evil))
	key := auth.NewAPISecret()
	_, err = w.Service.CreateAPIToken(ctx, apptest.Operator, directory.NewAPIToken{Name: evil, Role: directory.RolePartner, Reach: directory.Reach{Organizations: []directory.ID{organization.ID}},
		Scopes: []string{"users:read"}, Hash: auth.Hash(key.Text), Hint: key.Hint})
	w.Must(err)
	for _, account := range []*directory.Account{c.Plain, c.Admin, c.Partner, w.Boss} {
		browser := directory.SignedIn{Method: directory.MethodPassword, Address: evil, UserAgent: evil}
		if account.External() {
			browser.Method, browser.TenantID = directory.MethodDirectory, account.TenantID
		}
		_, err := w.Service.CreateSession(ctx, directory.Actor{Role: directory.RoleSystem, Channel: "test", Address: evil, RequestID: evil}, directory.SessionInput{AccountID: account.ID, Hash: auth.Hash(account.ID.String()), SignedIn: browser})
		w.Must(err)
	}
	w.Must(w.Service.Audit(ctx, directory.Actor{Role: directory.RoleOperator, Channel: evil, ID: evil, Address: evil, RequestID: evil}, evil, evil, json.RawMessage(quote(evil))))
	run := directory.Run{ID: c.Production.ID, EnvironmentID: c.Production.ID, TenantID: c.Tenant.ID, Actor: directory.Actor{Role: directory.RoleOperator, Channel: evil, ID: evil}, State: directory.RunQuarantined, Trigger: directory.TriggerManual, Started: w.Now(), Ended: w.Now(),
		Groups: []directory.GroupRead{{ObjectID: evil, Name: evil}}, Reasons: []string{evil}, Notes: []string{evil}, Error: &directory.RunError{Class: "permission", Detail: evil, Code: evil, RequestID: evil}, Hash: evil}
	w.Must(w.Service.SaveRun(ctx, &run, nil))
	w.Must(w.Service.SaveItems(ctx, run.ID, []directory.PlanItem{{Number: 1, Kind: directory.ItemDeactivate, Outcome: directory.OutcomeHeld, UserName: evil, Name: evil, Reason: evil, Evidence: evil, Detail: evil,
		Changes: []directory.Change{{Name: evil, Old: json.RawMessage(quote(evil)), New: json.RawMessage(quote(evilAddress))}}}}))
}

func quote(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// TestNothingLeadsElsewhere tries to be sent to another site by whatever an address or a form names.
func TestNothingLeadsElsewhere(t *testing.T) {
	skipShort(t)
	t.Parallel()
	w := apptest.New(t, nil)
	furnishMatrix(w)
	elsewhere := []string{"https://evil.example/", "//evil.example/", `/\evil.example/`, `\\evil.example`, "/%09/evil.example", "\t//evil.example", "javascript:alert(1)", "https:evil.example", "/login/../../evil.example", "http://" + strings.TrimPrefix(w.Server.URL, "https://") + "@evil.example/"}
	for _, to := range elsewhere {
		w.Advance(time.Minute) // no limit on tries is what is tested here
		b := w.SignIn(w.Boss)
		for _, x := range targets(t, w) {
			form := url.Values{"next": {to}, "return": {to}, "url": {to}, "redirect": {to}, "done": {to}}
			for name, values := range x.form {
				form[name] = values
			}
			path := x.path
			if x.method == http.MethodGet {
				path += "?" + form.Encode()
			}
			got := look(b, x.method, path, form)
			if got.To == "" {
				continue
			}
			u, err := url.Parse(got.To)
			if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(got.To, "/") || strings.HasPrefix(got.To, "//") || strings.HasPrefix(got.To, `/\`) {
				t.Errorf("%s %s with %q leads to %q", x.method, x.path, to, got.To)
			}
		}
	}
}

// skipShort leaves out tests that ask for every page: they are about answers, not about what runs at the same time.
func skipShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("asks for every page")
	}
}
