package mail

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"strings"
	texttemplate "text/template"
	"time"
	"unicode"
)

// Reset is a mail to somebody who asked to reset a password.
type Reset struct {
	To       string
	Name     string // to greet by; empty: nobody is named
	Language string // BCP 47: nl and what begins with it is Dutch, everything else English
	// Link sets a new password until Until; empty when the password is not managed here.
	Link  string
	Until time.Time
	// Directory manages the password, PasswordURL changes it; both empty, like Link: the password is
	// managed in BizzStream itself.
	Directory   string
	PasswordURL string
	SignInURL   string
}

//go:embed text
var files embed.FS

var (
	texts = texttemplate.Must(texttemplate.ParseFS(files, "text/*.txt"))
	pages = htmltemplate.Must(htmltemplate.ParseFS(files, "text/*.html"))
)

// subjects by language.
var subjects = map[string]string{"en": "Your BizzStream password", "nl": "Uw BizzStream-wachtwoord"}

// months of Dutch; time.Format knows English alone.
var months = strings.NewReplacer("January", "januari", "February", "februari", "March", "maart", "April", "april", "May", "mei", "June", "juni", "July", "juli",
	"August", "augustus", "September", "september", "October", "oktober", "November", "november", "December", "december")

// SendReset sends a mail about a password. The error is an *Error, or that of ctx.
func (s *Sender) SendReset(ctx context.Context, r Reset) error {
	language := languageOf(r.Language)
	text, html, err := r.render(language)
	if err != nil {
		return err
	}
	return s.send(ctx, r.To, subjects[language], text, html)
}

func languageOf(tag string) string {
	primary, _, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(tag), "_", "-"), "-")
	if primary == "nl" {
		return "nl"
	}
	return "en"
}

func (r Reset) render(language string) (text, html string, err error) {
	r.Name, r.Directory = greeting(r.Name), oneLine(r.Directory)
	until := r.Until.UTC().Format("15:04 UTC, 2 January 2006")
	if language == "nl" {
		until = months.Replace(until)
	}
	data := struct {
		Reset
		Until string
	}{r, until}
	var t, h bytes.Buffer
	if err := texts.ExecuteTemplate(&t, "reset."+language+".txt", data); err != nil {
		return "", "", fmt.Errorf("mail: %w", err)
	}
	if err := pages.ExecuteTemplate(&h, "reset."+language+".html", data); err != nil {
		return "", "", fmt.Errorf("mail: %w", err)
	}
	return t.String(), h.String(), nil
}

// maxText is how much of a text from outside a mail shows, in characters.
const maxText = 100

// oneLine makes a line of a text that somebody else wrote: nothing of it can look like a part of the mail
// of ours.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	runes := []rune(strings.Join(strings.Fields(s), " "))
	return string(runes[:min(len(runes), maxText)])
}

// greeting is a name to greet by; none for what a mail program could take for a link.
func greeting(name string) string {
	name = oneLine(name)
	if strings.ContainsAny(name, "/:@<>") || strings.Contains(strings.ToLower(name), "www.") {
		return ""
	}
	return name
}
