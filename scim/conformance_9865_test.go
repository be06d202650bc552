package scim_test

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// RFC 9865, clause by clause: each is told in docs/conformance.md.
func TestConformance9865(t *testing.T) { conform(t, clauses9865) }

var cursorForm = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`)

// crowd makes n users and returns their names in the order of their making.
func (t *tenant) crowd(n int) (names []string) {
	t.Helper()
	for i := range n {
		names = append(names, fmt.Sprintf("user%02d", i))
		t.made(strictUser(names[i], object{"title": "crew"}))
	}
	return names
}

// walk reads a list page by page, by nextCursor, and returns the user names of each page.
func (t *tenant) walk(path, query string) (pages [][]string, cursors []string) {
	t.Helper()
	cursor := ""
	for range 50 {
		got := t.get(path + "?" + query + "&cursor=" + cursor)
		page := []string{}
		got.each(func(u object) { page = append(page, fmt.Sprint(u["userName"])) }, "Resources")
		pages = append(pages, page)
		if cursor = got.text("nextCursor"); cursor == "" {
			return pages, cursors
		}
		cursors = append(cursors, cursor)
	}
	t.Errorf("%s?%s does not end", path, query)
	return pages, cursors
}

// sibling is another tenant of the same server with the same settings.
func (t *tenant) sibling() *tenant {
	t.Helper()
	var own directory.SCIMOptions
	t.set(func(r *directory.Tenant) { own = r.SCIM })
	return t.server.tenant(t.name+"-other", scimOptions(own))
}

// firstCursor is the nextCursor of the first page of two.
func (t *tenant) firstCursor(query string) string {
	t.Helper()
	got := t.get("/Users?" + query + "&cursor")
	if got.text("nextCursor") == "" {
		t.Fatalf("%s has no nextCursor: %s", got.what, got.body)
	}
	return got.text("nextCursor")
}

var clauses9865 = []clause{
	{id: "9865-2-1", check: func(t *tenant) {
		t.crowd(3)
		for _, query := range []string{"cursor&count=2", "cursor=&count=2"} {
			got := t.get("/Users?" + query)
			got.is("user00", "Resources", 0, "userName")
			if got.len("Resources") != 2 || got.text("nextCursor") == "" {
				got.errorf("no first page of two")
			}
		}
	}},
	{id: "9865-2-2", check: func(t *tenant) {
		t.crowd(5)
		_, cursors := t.walk("/Users", "count=2")
		for _, cursor := range cursors {
			if !cursorForm.MatchString(cursor) {
				t.Errorf("the cursor %q has characters that are reserved in a URL", cursor)
			}
		}
	}},
	{id: "9865-2-3", check: func(t *tenant) {
		t.crowd(2)
		for _, count := range []string{"0", "-3"} {
			got := t.get("/Users?cursor&count=" + count)
			got.is("2", "totalResults")
			got.is("[]", "Resources")
			// What it says comes next is what there is.
			for _, sorted := range []string{"", "&sortBy=userName"} {
				next := t.get("/Users?cursor&count=" + count + sorted).text("nextCursor")
				first := t.get("/Users?count=1" + sorted + "&cursor=" + next)
				first.is("user00", "Resources", 0, "userName")
				again := t.get("/Users?count=" + count + sorted + "&cursor=" + first.text("nextCursor")).text("nextCursor")
				if next == "" || again == "" {
					t.Errorf("count=%s%s says that nothing comes next", count, sorted)
				}
				last := t.get("/Users?count=1" + sorted + "&cursor=" + again)
				last.is("user01", "Resources", 0, "userName")
				last.is("", "nextCursor")
			}
		}
	}},
	{id: "9865-2-4", check: func(t *tenant) {
		t.crowd(5)
		for n := range 6 {
			if got := t.get(fmt.Sprintf("/Users?cursor&count=%d", n)); got.len("Resources") > n {
				got.errorf("%d resources", got.len("Resources"))
			}
		}
	}},
	{id: "9865-2-5", check: func(t *tenant) {
		names := t.crowd(5)
		pages, cursors := t.walk("/Users", "count=2")
		if len(pages) != 3 || len(cursors) != 2 || !slices.Equal(slices.Concat(pages...), names) {
			t.Errorf("the pages are %v", pages)
		}
		if pages, _ := t.walk("/Users", "count=5"); len(pages) != 1 {
			t.Errorf("everything is on %d pages", len(pages))
		}
	}},
	{id: "9865-2-6", check: func(t *tenant) {
		names := t.crowd(6)
		second := t.get("/Users?count=2&cursor=" + t.firstCursor("count=2"))
		third := t.get("/Users?count=2&cursor=" + second.text("nextCursor"))
		back := t.get("/Users?count=2&cursor=" + third.text("previousCursor"))
		back.is(names[2], "Resources", 0, "userName")
		back.is(names[3], "Resources", 1, "userName")
	}},
	{id: "9865-2-7", check: func(t *tenant) {
		t.crowd(5)
		got := t.get("/Users?count=2&cursor")
		got.is("5", "totalResults")
		got.is("2", "itemsPerPage")
		t.get("/Users?count=2&cursor="+got.text("nextCursor")).is("5", "totalResults")
	}},
	{id: "9865-2-8", check: func(t *tenant) {
		t.crowd(5)
		t.made(strictUser("other"))
		filter := url.Values{"filter": {`title eq "crew"`}}.Encode()
		if pages, _ := t.walk("/Users", "count=2&attributes=userName&"+filter); len(slices.Concat(pages...)) != 5 {
			t.Errorf("the pages are %v", pages)
		}
		cursor := t.firstCursor("count=2&" + filter)
		for _, query := range []string{"", url.Values{"filter": {`title eq "x"`}}.Encode(), filter + "&sortBy=userName"} {
			t.request("GET", "/Users?count=2&cursor="+cursor+"&"+query, nil).want(400, "invalidCursor")
		}
		sorted := t.firstCursor("count=2&sortBy=userName")
		for _, query := range []string{"sortBy=title", "sortBy=userName&sortOrder=descending"} {
			t.request("GET", "/Users?count=2&cursor="+sorted+"&"+query, nil).want(400, "invalidCursor")
		}
		t.request("GET", "/?count=2&"+filter+"&cursor="+cursor, nil).want(400, "invalidCursor")
		t.request("GET", "/Groups?count=2&"+filter+"&cursor="+cursor, nil).want(400)
	}},
	{id: "9865-2.1-1", check: func(t *tenant) {
		t.crowd(3)
		cursor := t.firstCursor("count=1")
		for _, bad := range []string{"x", cursor + "x", cursor[1:], strings.ToUpper(cursor), "..", "%00", cursor[:len(cursor)/2]} {
			t.request("GET", "/Users?count=1&cursor="+bad, nil).want(400, "invalidCursor")
		}
	}},
	{id: "9865-2.1-2", check: func(t *tenant) {
		t.crowd(3)
		cursor := t.firstCursor("count=1")
		t.get("/Users?count=1&cursor=" + cursor)
		defer t.clock.Advance(-1000 * time.Hour)
		t.clock.Advance(1000 * time.Hour)
		t.request("GET", "/Users?count=1&cursor="+cursor, nil).want(400, "expiredCursor")
	}},
	{id: "9865-2.1-3", check: func(t *tenant) {
		for _, count := range []string{"ten", "1.5", "0x10"} {
			t.request("GET", "/Users?cursor&count="+count, nil).want(400, "invalidCount")
		}
		t.request("GET", "/Users?cursor&count=201", nil).want(400, "invalidCount")
		t.request("GET", "/Users?cursor&count=200", nil).want(200)
	}, tolerant: func(t *tenant) {
		for _, count := range []string{"ten", "1.5", "0x10"} {
			t.request("GET", "/Users?cursor&count="+count, nil).want(400, "invalidCount")
		}
		t.crowd(201)
		if got := t.get("/Users?cursor=&count=201"); got.len("Resources") != 200 || got.text("nextCursor") == "" {
			got.errorf("no page of 200")
		}
	}},
	{id: "9865-2.2-1", check: func(t *tenant) {
		names := t.crowd(5)
		slices.Reverse(names)
		if pages, _ := t.walk("/Users", "count=2&sortBy=userName&sortOrder=descending"); !slices.Equal(slices.Concat(pages...), names) {
			t.Errorf("the pages are %v", pages)
		}
	}},
	{id: "9865-2.3-1", check: func(t *tenant) {
		t.crowd(3)
		got := t.get("/Users?count=2")
		got.is("1", "startIndex")
		got.is("3", "totalResults")
		t.get("/ServiceProviderConfig").is("index", "pagination", "defaultPaginationMethod")
	}},
	{id: "9865-2.3-2", check: func(t *tenant) {
		t.crowd(101)
		if got := t.get("/Users"); got.len("Resources") != 100 {
			got.errorf("%d resources", got.len("Resources"))
		}
	}},
	{id: "9865-3-1", check: func(t *tenant) {
		names := t.crowd(3)
		search := object{"schemas": []string{searchRequest}, "count": 2, "cursor": ""}
		got := t.request("POST", "/Users/.search", search).want(200)
		search["cursor"] = got.text("nextCursor")
		last := t.request("POST", "/Users/.search", search).want(200)
		last.is(names[2], "Resources", 0, "userName")
		last.is("", "nextCursor")
	}},
	{id: "9865-4-1", check: func(t *tenant) {
		got := t.get("/ServiceProviderConfig")
		got.is("true", "pagination", "cursor")
		got.is("true", "pagination", "index")
		got.is("100", "pagination", "defaultPageSize")
		got.is(got.text("filter", "maxResults"), "pagination", "maxPageSize")
		if timeout := got.text("pagination", "cursorTimeout"); timeout == "" || timeout == "0" {
			got.errorf("cursorTimeout is %q", timeout)
		}
	}},
	{id: "9865-5.2-1", check: func(t *tenant) {
		t.crowd(3)
		other := t.sibling()
		other.crowd(3)
		cursor := t.firstCursor("count=1")
		other.request("GET", "/Users?count=1&cursor="+cursor, nil).want(400, "invalidCursor")
		other.request("GET", "/scim/"+t.name+"/v2/Users?count=1&cursor="+cursor, nil).want(404)
	}},
	{id: "9865-5.2-2", check: func(t *tenant) {
		t.crowd(3)
		cursor := t.firstCursor("count=1")
		t.request("GET", "/Users?count=1&cursor="+cursor, nil, "Authorization", "").want(401)
		t.request("GET", "/Users?count=1&cursor="+cursor, nil, "Authorization", "Bearer "+cursor).want(401)
	}},
	{id: "9865-5.2-3", check: func(t *tenant) {
		names := t.crowd(4)
		cursor := t.firstCursor("count=2")
		for _, word := range append(names, "crew", idOf(t.get("/Users").text("Resources", 1, "id"))) {
			if strings.Contains(cursor, word) {
				t.Errorf("the cursor shows %q", word)
			}
		}
	}},
	{id: "9865-5.2-4", check: func(t *tenant) {
		t.crowd(3)
		other := t.sibling()
		other.crowd(3)
		foreign := t.request("GET", "/Users?count=1&cursor="+other.firstCursor("count=1"), nil).want(400)
		junk := t.request("GET", "/Users?count=1&cursor=junk", nil).want(400)
		if string(foreign.body) != string(junk.body) {
			foreign.errorf("another tenant's cursor is not answered as junk is: %s", junk.body)
		}
	}},
	{id: "9865-5.3-1", check: func(t *tenant) {
		t.crowd(4)
		cursor := t.firstCursor("count=2")
		t.request("DELETE", "/Users/"+t.get("/Users?count=1&startIndex=3").text("Resources", 0, "id"), nil).want(204)
		got := t.get("/Users?count=2&cursor=" + cursor)
		got.is("3", "totalResults")
		if got.len("Resources") != 1 {
			got.errorf("%d resources", got.len("Resources"))
		}
	}},
}
