package console

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/bizzstream/bizzscim/auth"
)

//go:embed text
var textFiles embed.FS

// languages are those of the pages; the first one is for everybody else.
var languages = []string{"en", "nl"}

// texts are what pages say: language -> key -> text with {names} to be filled in.
var texts = readTexts()

func readTexts() map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, lang := range languages {
		all[lang] = map[string]string{}
		files, err := fs.Glob(textFiles, "text/"+lang+"*.json") // en.json, en.runs.json ...
		for _, file := range files {
			err = errors.Join(err, readText(file, all[lang]))
		}
		if err != nil {
			panic("console: " + err.Error()) // they are part of the program
		}
	}
	return all
}

func readText(file string, into map[string]string) error {
	data, err := textFiles.ReadFile(file)
	if err != nil {
		return err
	}
	var m map[string]string
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for key, text := range m {
		if _, twice := into[key]; twice {
			return fmt.Errorf("%s: %q is there twice", file, key)
		}
		into[key] = text
	}
	return nil
}

// say returns a text in a language; args are names and values in turn. Of a text that counts, the first value is the
// number: where it is one, "<key>.one" is said, if there is such a text.
func say(lang, key string, args ...any) (string, error) {
	text, ok := texts[lang][key]
	if !ok {
		return "", fmt.Errorf("console: no text %q in %q", key, lang)
	}
	if one, counts := texts[lang][key+".one"]; counts && len(args) > 1 && fmt.Sprint(args[1]) == "1" {
		text = one
	}
	pairs := make([]string, 0, len(args))
	for i := 0; i+1 < len(args); i += 2 {
		pairs = append(pairs, fmt.Sprintf("{%v}", args[i]), fmt.Sprint(args[i+1]))
	}
	return strings.NewReplacer(pairs...).Replace(text), nil
}

const (
	languageCookie = "__Host-language"
	themeCookie    = "__Host-theme"
)

// language is the one that the person chose, or else the first of those that their browser asks for.
func language(r *http.Request) string {
	if chosen, err := r.Cookie(languageCookie); err == nil && slices.Contains(languages, chosen.Value) {
		return chosen.Value
	}
	return accepted(r.Header.Get("Accept-Language"))
}

// accepted picks a language by Accept-Language (RFC 9110 section 12.5.4).
func accepted(header string) string {
	best, quality := languages[0], 0.0
	for _, part := range strings.Split(header, ",") {
		tag, rest, weighted := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if weighted {
			value, is := strings.CutPrefix(strings.TrimSpace(rest), "q=")
			var err error
			if q, err = strconv.ParseFloat(value, 64); !is || err != nil || q > 1 {
				continue
			}
		}
		primary, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		if slices.Contains(languages, primary) && q > quality {
			best, quality = primary, q
		}
	}
	return best
}

var themes = []string{"auto", "light", "dark"}

// theme is light, dark, or auto: as the system has it.
func theme(r *http.Request) string {
	if chosen, err := r.Cookie(themeCookie); err == nil && slices.Contains(themes, chosen.Value) {
		return chosen.Value
	}
	return themes[0]
}

// preferences remembers a choice of language or theme.
func (c *Console) preferences(v *visit) error {
	for _, p := range []struct {
		field, cookie string
		choices       []string
	}{{"language", languageCookie, languages}, {"theme", themeCookie, themes}} {
		chosen := v.r.PostForm.Get(p.field)
		if slices.Contains(p.choices, chosen) {
			http.SetCookie(v.w, remember(p.cookie, chosen, 365))
		}
	}
	v.goTo(auth.SafeNext(v.r.PostForm.Get("next")))
	return nil
}

// remember is a cookie that keeps a choice for some days.
func remember(name, value string, days int) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: days * 24 * 60 * 60, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}
