//go:build unix

package console_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

var further = regexp.MustCompile(`href="([^"]+)"(?: rel="next"|>Search further back)`)

var nothing = regexp.MustCompile(`class="title">(No |Nobody )`)

// TestListsGoToTheirEnd follows a list of more than a thousand rows from page to page, as somebody does who looks for the last one:
// each row is there once, what was selected stays selected, and the way back to the first page is on every other one.
func TestListsGoToTheirEnd(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("more than a thousand of everything")
	}
	w := newCrowd(t, sizes{users: 1050, groups: 1010, items: 1020, audit: 1030, runs: 120})
	tenant, env := w.Fjord.Tenant.ID.String(), w.Fjord.Production.ID.String()
	b := w.SignIn(w.Boss)
	for _, l := range []struct {
		name, path, row string
		rows            int
	}{
		{"users", "/users?source=" + tenant + "&state=active", `<th scope="row"><a href="(/users/[^"]+)"`, 1053},
		{"users of an environment", "/users?environment=" + env, `<th scope="row"><a href="(/users/[^"]+)"`, 1053},
		{"users by name", "/users?environment=" + env + "&text=berg", `<th scope="row"><a href="(/users/[^"]+)"`, 87},
		{"groups", "/groups?tenant=" + tenant + "&text=department", `<th scope="row"><a href="(/groups/[^"]+)"`, 1008},
		{"members", "/groups/" + tenant + "/" + w.everybody.ID.String(), `<th scope="row"><a href="(/users/[^"]+)"`, 1050},
		{"log", "/log?status=failure&identity=guest", `<a href="(/log/[^"]+/\d+)"`, 1050},
		{"audit", "/audit?action=tenant.test&actor=boss", `>(No\. \d+)</span></td>`, 1030},
		{"run", "/runs/" + w.failed.String() + "?outcome=conflict", `<th scope="row">(.+?)</th>`, 510},
		{"runs", "/runs?state=failed", `<th scope="row"><a href="(/runs/[^"]+)"`, 40},
	} {
		selected, _ := url.Parse(l.path)
		seen, row := map[string]bool{}, regexp.MustCompile(l.row)
		for path, pages := l.path, 0; path != ""; pages++ {
			page := b.Get(path)
			if page.Status != http.StatusOK || pages > 60 {
				t.Fatalf("%s, page %d: %d\n%s", l.name, pages, page.Status, path)
			}
			if pages > 0 && strings.Contains(page.Body, "<tbody") && !strings.Contains(html.UnescapeString(page.Body), `href="`+selected.Path+"?"+selected.Query().Encode()+`">First page`) {
				t.Errorf("%s: page %d does not lead to the first one", l.name, pages)
			}
			for _, m := range row.FindAllStringSubmatch(page.Body, -1) {
				if seen[m[1]] {
					t.Errorf("%s: %s is there twice", l.name, m[1])
				}
				seen[m[1]] = true
			}
			if len(seen) > 0 && nothing.MatchString(page.Body) {
				t.Errorf("%s: page %d says that nothing matches", l.name, pages)
			}
			next := further.FindStringSubmatch(page.Body)
			if path = ""; next != nil {
				path = html.UnescapeString(next[1])
				at, err := url.Parse(path)
				w.Must(err)
				q := at.Query()
				q.Del("after")
				if at.Path != selected.Path || q.Encode() != selected.Query().Encode() {
					t.Fatalf("%s: %s selects otherwise", l.name, path)
				}
			}
		}
		if len(seen) != l.rows {
			t.Errorf("%s: %d rows, not %d", l.name, len(seen), l.rows)
		}
	}
}
