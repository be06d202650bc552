package console

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bizzstream/bizzscim/directory"
)

// What the pages of the staff share: the navigation, what a form says when it was refused, lists, figures.

// navItem is one entry of the navigation.
type navItem struct {
	Path, Key string // of the text "nav.<Key>"
	Current   bool
}

// navOf is the navigation of who is signed in: what their role leads to. Whether they may is for each page to say.
func navOf(v *visit) (all []navItem) {
	if !isStaff(v.principal) {
		return nil
	}
	role := v.principal.Role()
	add := func(path, key string, needs ...directory.Role) {
		if len(needs) > 0 && !hasRole(role, needs) {
			return
		}
		current := v.r.URL.Path == path || strings.HasPrefix(v.r.URL.Path, path+"/") || beside[v.r.URL.Path] == path
		all = append(all, navItem{path, key, current})
	}
	add("/environments", "environments")
	add("/tenants", "tenants", directory.RoleOperator, directory.RolePartner)
	add("/users", "users")
	add("/groups", "groups")
	add("/runs", "runs")
	add("/log", "log")
	add("/report", "report")
	add("/webhooks", "webhooks", directory.RoleOperator, directory.RolePartner)
	add("/api-tokens", "api-tokens", directory.RoleOperator, directory.RolePartner)
	add("/audit", "audit", directory.RoleOperator)
	add("/settings", "settings", directory.RoleOperator)
	return all
}

// beside are pages with the entry of the navigation that leads to them.
var beside = map[string]string{"/api": "/api-tokens", "/conflicts": "/users", "/organizations/new": "/environments"}

func hasRole(role directory.Role, any []directory.Role) bool {
	for _, r := range any {
		if r == role {
			return true
		}
	}
	return false
}

// wrongs are what is wrong with a form: the text beside each field, and under "" what concerns the whole of it.
// Texts are those of people: a string of our own texts, or what the directory says, as inEnglish.
type wrongs map[string]any

// inEnglish marks what the directory says as what it is on the pages of every language (WCAG 3.1.2).
func inEnglish(text string) template.HTML {
	return template.HTML(`<span lang="en">` + template.HTMLEscapeString(text) + `</span>`) //nolint:gosec // escaped
}

// refused tells what is wrong with a form by the error of what it asked for; ok is false when the error is no matter of
// the form: then the caller fails with it. fields maps fields of the directory to those of the form; others stay.
func refused(err error, fields map[string]string) (w wrongs, status int, ok bool) {
	var e *directory.Error
	if !errors.As(err, &e) {
		return nil, 0, false
	}
	switch e.Kind {
	case directory.Invalid:
		status = http.StatusUnprocessableEntity
	case directory.Exists, directory.Conflict, directory.ReadOnly:
		status = http.StatusConflict
	case directory.RateLimited:
		status = http.StatusTooManyRequests
	default:
		return nil, 0, false
	}
	field := e.Field
	if to, has := fields[field]; has {
		field = to
	}
	return wrongs{field: inEnglish(sentence(e.Detail))}, status, true
}

// sentence makes a sentence of what the directory says.
func sentence(s string) string {
	if s == "" {
		return s
	}
	_, n := utf8.DecodeRuneInString(s)
	s = strings.ToUpper(s[:n]) + s[n:]
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "?") {
		s += "."
	}
	return s
}

// pathID is the id in the path of a page. Errors: missing.
func pathID(v *visit, name string) (directory.ID, error) {
	id, ok := directory.ParseID(v.r.PathValue(name))
	if !ok {
		return id, missing
	}
	return id, nil
}

// done answers a form that did something: the page at path says which, by the text "done.<key>" (see flash).
func (v *visit) done(path, key string) {
	path, part, is := strings.Cut(path, "#") // the part of the page to look at
	query := "?" + url.Values{"done": {key}}.Encode()
	if is {
		query += "#" + part
	}
	v.goTo(path + query)
}

// flash is what has just been done, when the page at hand knows it: one of known; else empty.
func (v *visit) flash(known ...string) string {
	done := v.r.URL.Query().Get("done")
	for _, k := range known {
		if k == done {
			return k
		}
	}
	return ""
}

// pager is the foot of a list.
type pager struct {
	First string // address of the first page; empty on it
	Next  string // address of the next page; empty on the last one
	Total int64  // -1: not counted
	Shown int
}

// pagerOf makes the foot of a page of a list that is selected by the query of its address: "after" is the page.
func (v *visit) pagerOf(shown int, total int64, next string) pager {
	p := pager{Total: total, Shown: shown}
	q := v.r.URL.Query()
	q.Del("done")
	if q.Has("after") {
		q.Del("after")
		p.First = v.r.URL.Path + "?" + q.Encode()
	}
	if next != "" {
		q.Set("after", next)
		p.Next = v.r.URL.Path + "?" + q.Encode()
	}
	return p
}

// number writes a whole number as the language has it.
func number(lang string, n any) string {
	text := fmt.Sprint(n)
	v := reflect.ValueOf(n)
	if !v.CanInt() || v.Int() < 1000 {
		return text
	}
	separator := ","
	if lang == "nl" {
		separator = "."
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + separator + text[i:]
	}
	return text
}

// decimal writes a measure as the language has it: "3.2 s" with a comma.
func decimal(lang, text string) string {
	if lang == "nl" {
		return strings.Replace(text, ".", ",", 1)
	}
	return text
}

// dict makes a map in a template, to hand several values to a part.
func dict(pairs ...any) (map[string]any, error) {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		key, ok := pairs[i].(string)
		if !ok {
			return nil, errors.New("console: a name in a template is no text")
		}
		m[key] = pairs[i+1]
	}
	return m, nil
}

// bar is one column of a chart.
type bar struct {
	At    time.Time // of its place, shown in the viewer's zone; zero: there is none
	Clock bool      // of that time the hour alone matters
	Label string    // of its place: after the time, or in its stead
	Value int64
	Kind  string // good, bad, warn; empty: plain
}

// chart is a small plot, with its numbers as text.
type chart struct {
	Title string
	Bars  []chartBar
	Width int
	Max   string
}

type chartBar struct {
	bar
	Text         string
	X, Y, Height int
}

const (
	chartHeight = 64
	chartStep   = 12
)

// bars makes a chart of columns.
func bars(lang, title string, all []bar) (chart, error) {
	c := chart{Title: title, Width: max(1, len(all)) * chartStep}
	var most int64 = 1
	for _, b := range all {
		if b.Value < 0 {
			return c, errors.New("console: a bar below zero")
		}
		most = max(most, b.Value)
	}
	c.Max = number(lang, most)
	for i, b := range all {
		height := int(b.Value * chartHeight / most)
		if b.Value > 0 {
			height = max(height, 2)
		}
		c.Bars = append(c.Bars, chartBar{b, number(lang, b.Value), i * chartStep, chartHeight - height, height})
	}
	return c, nil
}

// fragment renders one part of a page by itself, for a region that changes while the page is open.
func (c *Console) fragment(v *visit, page, part string, data any) (string, error) {
	var b bytes.Buffer
	err := c.pages[v.lang][page].ExecuteTemplate(&b, part, data)
	return b.String(), err
}

// atoi reads a figure of a form; what is empty is 0. ok is false for what is no figure.
func atoi(text string) (n int, ok bool) {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}
