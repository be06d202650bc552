package console

import (
	"bytes"
	"crypto/rand"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

//go:embed templates
var templateFiles embed.FS

// pages are the parsed templates: language -> page.
type pages map[string]map[string]*template.Template

// parsePages parses every page in every language, once for the process: several consoles share them.
var parsePages = sync.OnceValue(func() pages {
	all := pages{}
	for _, lang := range languages {
		all[lang] = map[string]*template.Template{}
		layout := template.Must(template.New("layout").Funcs(functions(lang)).ParseFS(templateFiles, "templates/layout.html", "templates/parts/*.html"))
		names, err := fs.Glob(templateFiles, "templates/*.html")
		if err != nil {
			panic("console: " + err.Error())
		}
		for _, file := range names {
			name := strings.TrimSuffix(strings.TrimPrefix(file, "templates/"), ".html")
			if name != "layout" {
				all[lang][name] = template.Must(template.Must(layout.Clone()).ParseFS(templateFiles, file))
			}
		}
	}
	return all
})

// functions are those that templates call.
func functions(lang string) template.FuncMap {
	return template.FuncMap{
		"t":       func(key string, args ...any) (string, error) { return say(lang, key, args...) },
		"asset":   func(file string) string { return "/static/" + assets[file].name },
		"stamp":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"clock":   func(t time.Time) string { return t.UTC().Format("15:04 UTC") },
		"moment":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") },
		"millis":  func(t time.Time) int64 { return t.UnixMilli() },
		"left":    func(d time.Duration) (string, error) { return left(lang, d) },
		"field":   newField,
		"number":  func(n any) string { return number(lang, n) },
		"decimal": func(text string) string { return decimal(lang, text) },
		"random":  rand.Text,
		"dict":    dict,
		"list":    func(all ...any) []any { return all },
		"bars":    func(title string, all []bar) (chart, error) { return bars(lang, title, all) },
	}
}

// left is how long something still lasts, as the clock on the page says it too.
func left(lang string, d time.Duration) (string, error) {
	s := max(0, seconds(d))
	part := func(n int, unit string) string {
		text, err := say(lang, "unit."+unit)
		if err != nil {
			return ""
		}
		return strconv.Itoa(n) + " " + text
	}
	switch {
	case s >= 3600:
		return part(s/3600, "hour") + " " + part(s%3600/60, "minute"), nil
	case s >= 60:
		return part(s/60, "minute"), nil
	}
	return part(s, "second"), nil
}

// page is what every template gets.
type page struct {
	Lang, Theme string
	Languages   []string
	Themes      []string
	Title       string
	Path        string        // of the page
	Here        string        // where a change of language leads back to
	InAccount   bool          // the page is about one's own account
	Nav         []navItem     // of the staff; none for others
	Person      *sessionState // nil: nobody is signed in, or the page is not about them
	Data        any
}

// sessionState is the session of a signed-in page, for the header and the clock.
type sessionState struct {
	Account *directory.Account
	Session *directory.Session
	Now     time.Time
	Left    time.Duration
	Refresh int // seconds after which a browser without scripts leaves the page
}

// render answers with a page. titleKey is the text of its title, or of its error.
func (c *Console) render(v *visit, status int, name, titleKey string, data any) {
	v.status = status
	title, err := say(v.lang, titleKey)
	p := page{Lang: v.lang, Theme: v.theme, Languages: languages, Themes: themes, Title: title, Path: v.r.URL.Path, Here: v.here(), Data: data,
		InAccount: strings.HasPrefix(v.r.URL.Path, "/account")}
	if who := v.principal; who != nil {
		remaining := who.Session.Expires.Sub(who.Now)
		p.Person = &sessionState{who.Account, who.Session, who.Now, remaining, seconds(remaining) + 1}
		p.Nav = navOf(v)
	}
	var body bytes.Buffer
	if err == nil {
		err = c.pages[v.lang][name].Execute(&body, p)
	}
	if err != nil {
		c.config.Log.Error("page failed", "page", name, "request_id", c.config.RequestID(v.r), "error", err)
		http.Error(v.w, "The server could not make this page (request "+c.config.RequestID(v.r)+").", http.StatusInternalServerError)
		return
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	v.w.WriteHeader(status)
	_, _ = v.w.Write(body.Bytes()) // net/http leaves it out for HEAD
}

// here is the page that a browser shows, as far as it can be asked for again: the answer of a directory cannot,
// and what a form did has its page at the same path or above it.
func (v *visit) here() string {
	r := v.r
	switch {
	case r.URL.Path == "/auth/callback", r.URL.Path == "/logout", r.URL.Path == "/preferences":
		return "/login"
	case strings.HasPrefix(r.URL.Path, "/login/environment/"):
		return "/login"
	case r.Method == http.MethodPost && v.alone:
		return auth.SafeNext(r.URL.Path[:strings.LastIndexByte(r.URL.Path, '/')])
	case r.Method == http.MethodPost:
		return auth.SafeNext(r.URL.Path)
	}
	return auth.SafeNext(r.URL.RequestURI())
}

// field is one input of a form. Texts are keys; "" is none.
type field struct {
	Name, Type, Label, Hint, Error string
	Value                          string // shown again after an error; never of a password
	Complete                       string // autocomplete (HTML section 4.10.18.7)
	Focus, Optional, Code          bool
}

// newField makes a field in a template: options are "hint", key; "error", key; "value", text; "complete", token; "focus", bool.
func newField(name, kind, label string, options ...any) (f field, err error) {
	f = field{Name: name, Type: kind, Label: label}
	for i := 0; i+1 < len(options); i += 2 {
		switch value := options[i+1].(type) {
		case string:
			switch options[i] {
			case "hint":
				f.Hint = value
			case "error":
				f.Error = value
			case "value":
				f.Value = value
			case "complete":
				f.Complete = value
			default:
				return f, errors.New("console: a field has no such option")
			}
		case bool:
			switch options[i] {
			case "focus":
				f.Focus = value
			case "optional":
				f.Optional = value
			case "code":
				f.Code = value
			default:
				return f, errors.New("console: a field has no such option")
			}
		}
	}
	if f.Type == "password" && f.Value != "" {
		return f, errors.New("console: a password is never shown again")
	}
	return f, nil
}
