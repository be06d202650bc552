package app_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

// scimFunction is what the guide defines, and what "scim METHOD PATH [OPTIONS]" means below.
const scimFunction = `scim() { curl -sS -X "$1" -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/scim+json' "$URL$2" "${@:3}"; }`

// TestGuideOfSCIM carries out every command of docs/scim.md, in order, on a real server: each has the status that stands behind
// it, and an answer that the guide shows holds what is shown.
func TestGuideOfSCIM(t *testing.T) {
	text, err := os.ReadFile("../docs/scim.md")
	if err != nil {
		t.Fatal(err)
	}
	g := newGuide(t)
	commands, answers, defined := 0, 0, false
	for _, block := range fenced.FindAllStringSubmatch(string(text), -1) {
		if block[1] == "json" {
			answers++
			g.shown(block[2])
			continue
		}
		for _, command := range shellLines(t, block[2]) {
			switch {
			case command.text == scimFunction:
				defined = true
			case strings.HasPrefix(command.text, "export "): // of what the reader has and the test has too
				for _, name := range shellWords(t, strings.TrimPrefix(command.text, "export "), g.values) {
					if name, _, _ = strings.Cut(name, "="); g.values[name] == "" {
						t.Errorf("the guide exports %s, which the test does not know", name)
					}
				}
			default:
				commands++
				g.run(command)
			}
		}
	}
	if !defined || commands < 43 || answers < 8 {
		t.Errorf("the function is defined: %t; %d commands and %d answers are found", defined, commands, answers)
	}
}

var fenced = regexp.MustCompile("(?ms)^```(sh|json)\n(.*?)^```$")

// guide is a reader who types what the guide says.
type guide struct {
	*testing.T
	browser *apptest.Browser
	values  map[string]string
	last    apptest.Answer
	at      string // the command that it answers
}

func newGuide(t *testing.T) *guide {
	w := apptest.New(t, nil)
	secret := auth.NewSecret()
	_, err := w.Service.CreateClient(t.Context(), apptest.Operator, w.Fjord.Tenant.ID, directory.NewClient{ClientID: "guide", Secret: &directory.NewToken{Hash: secret.Hash, Hint: secret.Hint}})
	w.Must(err)
	return &guide{T: t, browser: w.SignIn(nil), values: map[string]string{"URL": w.Server.URL + "/scim/fjord/v2", "TOKEN": w.Fjord.Token,
		"CLIENT_ID": "guide", "CLIENT_SECRET": secret.Text, "SESSION": w.SignIn(w.Fjord.Plain).Session()}}
}

// shellCommand is one command, and the comment behind it.
type shellCommand struct{ text, comment string }

// shellLines takes commands apart at the ends of lines that are not quoted.
func shellLines(t *testing.T, block string) (list []shellCommand) {
	t.Helper()
	var quote byte
	start, comment := 0, -1
	for i := 0; i < len(block); i++ {
		switch c := block[i]; {
		case comment >= 0 && c != '\n':
		case quote == 0 && c == '#' && i > 0 && block[i-1] == ' ':
			comment = i
		case quote == 0 && c == '\n':
			end := i
			if comment >= 0 {
				end = comment
			}
			if line := strings.TrimSpace(block[start:end]); line != "" {
				list = append(list, shellCommand{line, strings.TrimLeft(block[end:i], "# ")})
			}
			start, comment = i+1, -1
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case c == '\\' && quote == '"':
			i++
		case c == quote:
			quote = 0
		}
	}
	if quote != 0 || start != len(block) {
		t.Fatalf("a block does not end well:\n%s", block)
	}
	return list
}

// shellWords splits a simple command into its words, with quotes and variables as a shell has them.
func shellWords(t *testing.T, command string, values map[string]string) (words []string) {
	t.Helper()
	var word strings.Builder
	var quote byte
	started := false
	for i := 0; i < len(command); i++ {
		c := command[i]
		switch {
		case c == '$' && quote != '\'':
			name := variable.FindString(command[i+1:])
			value, ok := values[name]
			if !ok {
				t.Fatalf("%s: $%s is not set", command, name)
			}
			word.WriteString(value)
			i, started = i+len(name), true
		case quote == 0 && (c == '\'' || c == '"'):
			quote, started = c, true
		case c == quote && quote != 0:
			quote = 0
		case c == '\\' && quote == '"' && i+1 < len(command):
			i++
			word.WriteByte(command[i])
		case quote == 0 && strings.IndexByte("|&;<>()`*?\\", c) >= 0:
			t.Fatalf("%s: a shell would read %q otherwise than this test", command, c)
		case quote == 0 && c == ' ':
			if started {
				words = append(words, word.String())
			}
			word.Reset()
			started = false
		default:
			word.WriteByte(c)
			started = true
		}
	}
	if quote != 0 {
		t.Fatalf("%s: a quote is open", command)
	}
	if started {
		words = append(words, word.String())
	}
	return words
}

var (
	variable = regexp.MustCompile(`^[A-Z_]+`)
	captured = regexp.MustCompile(`(?s)^([A-Z_]+)=\$\((.*) \| jq -r \.([\w.]+)\)$`)
)

// run carries out a command and checks its status.
func (g *guide) run(c shellCommand) {
	g.Helper()
	want, err := strconv.Atoi(c.comment)
	if err != nil {
		g.Fatalf("%s\nno status stands behind it", c.text)
	}
	command, into, path := c.text, "", ""
	if m := captured.FindStringSubmatch(c.text); m != nil {
		into, command, path = m[1], m[2], m[3]
	}
	words := shellWords(g.T, command, g.values)
	if words[0] == "scim" {
		words = append([]string{"curl", "-sS", "-X", words[1], "-H", "Authorization: Bearer " + g.values["TOKEN"], "-H", "Content-Type: application/scim+json", g.values["URL"] + words[2]}, words[3:]...)
	}
	g.at, g.last = c.text, g.curl(words)
	if g.last.Status != want {
		g.Fatalf("%s\nis answered with %d, want %d: %s", c.text, g.last.Status, want, g.last.Body)
	}
	if into == "" {
		return
	}
	var value any
	if err := json.Unmarshal([]byte(g.last.Body), &value); err != nil {
		g.Fatal(err)
	}
	for name := range strings.SplitSeq(path, ".") {
		object, _ := value.(map[string]any)
		value = object[name]
	}
	found, ok := value.(string)
	if !ok {
		g.Fatalf("%s\nthe answer has no text .%s: %s", c.text, path, g.last.Body)
	}
	g.values[into] = found
}

// curl does what curl does with the options that the guide uses.
func (g *guide) curl(words []string) apptest.Answer {
	g.Helper()
	method, target, get := "", "", false
	var headers, data []string
	if words[0] != "curl" {
		g.Fatalf("%q is no command of the guide", words)
	}
	for i := 1; i < len(words); i++ {
		next := func() string {
			if i++; i == len(words) {
				g.Fatalf("%q: an option without its value", words)
			}
			return words[i]
		}
		switch w := words[i]; w {
		case "-sS":
		case "-G":
			get = true
		case "-X":
			method = next()
		case "-H":
			name, value, _ := strings.Cut(next(), ": ")
			headers = append(headers, name, value)
		case "-u":
			headers = append(headers, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(next())))
		case "-d":
			data = append(data, next())
		case "--data-urlencode":
			name, value, _ := strings.Cut(next(), "=")
			data = append(data, name+"="+strings.ReplaceAll(url.QueryEscape(value), "+", "%20"))
		default:
			if strings.HasPrefix(w, "-") || target != "" {
				g.Fatalf("%q: %s is no option that this test knows", words, w)
			}
			target = w
		}
	}
	body := strings.Join(data, "&")
	switch {
	case get:
		target, body = target+"?"+body, ""
		method = firstText(method, "GET")
	case len(data) > 0:
		method = firstText(method, "POST")
		headers = append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)
	}
	base := strings.TrimSuffix(g.values["URL"], "/scim/fjord/v2")
	if !strings.HasPrefix(target, base) || strings.ContainsAny(target, " \"<>") {
		g.Fatalf("%q: curl would not take this address", words)
	}
	return g.browser.Do(firstText(method, "GET"), strings.TrimPrefix(target, base), strings.NewReader(body), headers...)
}

func firstText(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// shown checks that the last answer holds what the guide shows of it.
func (g *guide) shown(example string) {
	g.Helper()
	var want, got any
	if err := json.Unmarshal([]byte(example), &want); err != nil {
		g.Errorf("%v in\n%s", err, example)
		return
	}
	if err := json.Unmarshal([]byte(g.last.Body), &got); err != nil {
		g.Errorf("%s\nis answered with no JSON: %s", g.at, g.last.Body)
		return
	}
	if where := missing("", want, got); where != "" {
		g.Errorf("%s\nis not answered as shown: %s\n%s", g.at, where, g.last.Body)
	}
}

// missing tells where an answer is not what an example shows: objects may hold more, "…" stands for any text.
func missing(at string, want, got any) string {
	switch want := want.(type) {
	case map[string]any:
		object, _ := got.(map[string]any)
		for name, value := range want {
			if where := missing(at+"."+name, value, object[name]); where != "" {
				return where
			}
		}
		return ""
	case []any:
		list, _ := got.([]any)
		if len(list) != len(want) {
			return fmt.Sprintf("%s has %d elements, not %d", at, len(list), len(want))
		}
		for i := range want {
			if where := missing(fmt.Sprintf("%s[%d]", at, i), want[i], list[i]); where != "" {
				return where
			}
		}
		return ""
	case string:
		text, ok := got.(string)
		pattern := "(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(want), "…", ".+") + "$"
		if ok && regexp.MustCompile(pattern).MatchString(text) {
			return ""
		}
	default:
		if fmt.Sprint(want) == fmt.Sprint(got) {
			return ""
		}
	}
	return fmt.Sprintf("%s is %v, not %v", at, got, want)
}
