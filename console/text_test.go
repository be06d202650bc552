package console

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template/parse"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// TestTextsOfBothLanguages sees that each language says everything, with the same parts to fill in.
func TestTextsOfBothLanguages(t *testing.T) {
	t.Parallel()
	for _, lang := range languages {
		for key, text := range texts[languages[0]] {
			got, ok := texts[lang][key]
			if !ok || strings.TrimSpace(got) == "" {
				t.Errorf("%s has no text %q", lang, key)
				continue
			}
			want, has := placeholder.FindAllString(text, -1), placeholder.FindAllString(got, -1)
			slices.Sort(want)
			slices.Sort(has)
			if !slices.Equal(slices.Compact(want), slices.Compact(has)) {
				t.Errorf("%s: %q has %q to fill in, not %q", lang, key, has, want)
			}
			if lang != languages[0] && got == text && len(text) > 25 {
				t.Errorf("%s: %q is not translated", lang, key)
			}
		}
		for key := range texts[lang] {
			if _, ok := texts[languages[0]][key]; !ok {
				t.Errorf("%s alone has a text %q", lang, key)
			}
		}
	}
}

// used lists the keys that pages ask for: those of templates, those of handlers, and those that are put together.
func used(t *testing.T) map[string]bool {
	all := map[string]bool{}
	for _, p := range parsePages()[languages[0]] {
		for _, tm := range p.Templates() {
			if tm.Tree != nil {
				collect(tm.Tree.Root, all)
			}
		}
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile(`"([a-z]+(?:\.[a-z-]+)+|limited)"`)
	for _, file := range sources {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range quoted.FindAllStringSubmatch(string(text), -1) {
			if !strings.HasSuffix(m[1], ".html") && !strings.HasSuffix(m[1], ".svg") && !strings.HasSuffix(m[1], ".css") {
				all[m[1]] = true
			}
		}
		for _, m := range regexp.MustCompile(`add\("/[a-z-]+", "([a-z-]+)"`).FindAllStringSubmatch(string(text), -1) {
			all["nav."+m[1]] = true
		}
		for _, m := range regexp.MustCompile(`v\.done\(.*"([a-z-]+)"\)`).FindAllStringSubmatch(string(text), -1) {
			all["done."+m[1]] = true
		}
		// Keys that are put together stand in a comment: // texts: run.state.running run.state.failed
		for _, m := range regexp.MustCompile(`(?m)^\s*// texts: (.*)$`).FindAllStringSubmatch(string(text), -1) {
			for _, key := range strings.Fields(m[1]) {
				all[key] = true
			}
		}
		for _, m := range regexp.MustCompile(`key: "([a-z]+)"`).FindAllStringSubmatch(string(text), -1) {
			all["notice."+m[1]+".title"], all["notice."+m[1]+".text"] = true, true
		}
	}
	for _, action := range audited(t) {
		all[auditAction+action] = true
	}
	for _, code := range auth.ProblemCodes {
		for _, part := range []string{"title", "what", "do"} {
			all["problem."+string(code)+"."+part] = true
		}
	}
	for reason := range reasonTexts {
		all["out."+reason+".title"], all["out."+reason+".text"] = true, true
	}
	all["out.unknown.title"], all["out.unknown.text"] = true, true
	for _, m := range []directory.SignInMethod{directory.MethodDirectory, directory.MethodPassword, directory.MethodLink} {
		all["method."+string(m)] = true
	}
	for _, x := range languages {
		all["language."+x] = true
	}
	for _, x := range themes {
		all["theme."+x] = true
	}
	for _, x := range accountDone {
		all["account.done."+x] = true
	}
	for _, x := range []string{"hour", "minute", "second"} {
		all["unit."+x] = true
	}
	return all
}

// audited lists the actions that the program writes to the audit.
func audited(t *testing.T) (all []string) {
	t.Helper()
	writes := regexp.MustCompile(`(?:(?i:audit)|addToken|addAPIToken|changeClient|editWebhook|tellAccess)\([^"]*"([a-z-]+(?:\.[a-z-]+)+)"|action :?= "([a-z-]+(?:\.[a-z-]+)+)"`)
	for _, room := range []string{"directory", "auth", "app"} {
		sources, err := filepath.Glob("../" + room + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range sources {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range writes.FindAllStringSubmatch(string(text), -1) {
				all = append(all, m[1]+m[2])
			}
		}
	}
	if len(all) < 50 {
		t.Fatalf("found %d actions: the search is broken", len(all))
	}
	return all
}

// collect gathers the constant keys of calls of t and field.
func collect(n parse.Node, all map[string]bool) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, x := range n.Nodes {
			collect(x, all)
		}
	case *parse.ActionNode:
		collect(n.Pipe, all)
	case *parse.TemplateNode:
		if n.Pipe != nil {
			collect(n.Pipe, all)
		}
	case *parse.IfNode:
		collectBranch(&n.BranchNode, all)
	case *parse.WithNode:
		collectBranch(&n.BranchNode, all)
	case *parse.RangeNode:
		collectBranch(&n.BranchNode, all)
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			collect(c, all)
		}
	case *parse.CommandNode:
		name, _ := n.Args[0].(*parse.IdentifierNode)
		for i, arg := range n.Args {
			s, isText := arg.(*parse.StringNode)
			switch {
			case !isText:
				collect(arg, all)
			case name != nil && name.Ident == "t" && i == 1,
				name != nil && name.Ident == "field" && (i == 3 || i > 3 && i%2 == 1 && isOption(n.Args[i-1], "hint", "error")):
				all[s.Text] = true
			}
		}
	}
}

func isOption(n parse.Node, names ...string) bool {
	s, ok := n.(*parse.StringNode)
	return ok && slices.Contains(names, s.Text)
}

func collectBranch(n *parse.BranchNode, all map[string]bool) {
	collect(n.Pipe, all)
	collect(n.List, all)
	collect(n.ElseList, all)
}

func TestEveryTextIsThereAndUsed(t *testing.T) {
	t.Parallel()
	all := used(t)
	if len(all) < 150 {
		t.Fatalf("found %d keys: the search is broken", len(all))
	}
	for key := range all {
		if _, ok := texts[languages[0]][key]; !ok {
			t.Errorf("a page asks for %q, which no language has", key)
		}
	}
	for key := range texts[languages[0]] {
		if !all[key] && !all[strings.TrimSuffix(key, ".one")] {
			t.Errorf("no page says %q", key)
		}
	}
}

func TestEveryProblemHasItsPage(t *testing.T) {
	t.Parallel()
	for _, code := range auth.ProblemCodes {
		if p, ok := problemPages[code]; !ok || p.status < 400 {
			t.Errorf("%s has no page", code)
		}
	}
	if len(problemPages) != len(auth.ProblemCodes) {
		t.Errorf("%d pages for %d problems", len(problemPages), len(auth.ProblemCodes))
	}
}

func TestSayFillsIn(t *testing.T) {
	t.Parallel()
	got, err := say("nl", "browser", "name", "Edge", "system", "{name}")
	if err != nil || got != "Edge op {name}" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := say("en", "no.such.text"); err == nil {
		t.Error("a text that is missing is no error")
	}
}

// TestSayCountsOne sees that one person is not told of as several: by the first value, and by nothing else.
func TestSayCountsOne(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		lang, key string
		args      []any
		want      string
	}{
		{"en", "integration.groups.members", []any{"n", "1"}, "1 member"},
		{"nl", "integration.groups.members", []any{"n", 1}, "1 lid"},
		{"en", "integration.groups.members", []any{"n", "0"}, "0 members"},
		{"en", "integration.groups.members", []any{"n", "1,001"}, "1,001 members"},
		{"en", "log.effects.deactivated", []any{"n", "1"}, "1 access deactivated"},
		{"nl", "log.effects.deactivated", []any{"n", "2"}, "2 toegangen gedeactiveerd"},
		{"en", "integration.ask.sure", []any{"people", "12", "limit", "1"}, "Yes, take access from 12 people: more than the 1 at which a sync would stop"},
		{"en", "runs.of-people", []any{"done", "1", "total", "9"}, "1 of 9 people"},
	} {
		if got, err := say(x.lang, x.key, x.args...); got != x.want || err != nil {
			t.Errorf("%s %s %v: %q, %v, want %q", x.lang, x.key, x.args, got, err, x.want)
		}
	}
}

func TestAcceptLanguage(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"": "en", "nl": "nl", "nl-BE": "nl", "NL-nl, en;q=0.8": "nl", "en-GB,en;q=0.9,nl;q=0.8": "en", "de, nl;q=0.5, en;q=0.3": "nl", "de": "en", "*": "en",
		"nl;q=0": "en", "nl;q=0.4,en;q=0.6": "en", "nl;q=x": "en", "nl;q=2": "en", "nl;v=1": "en", "nlx": "en", " nl ; q=0.7 , de": "nl", ",,,": "en",
	} {
		if got := accepted(header); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

func FuzzAcceptLanguage(f *testing.F) {
	f.Add("nl-BE;q=0.3, en")
	f.Fuzz(func(t *testing.T, header string) {
		got := accepted(header)
		if !slices.Contains(languages, got) {
			t.Fatalf("%q: %q", header, got)
		}
		if got != languages[0] && !strings.Contains(strings.ToLower(header), got) {
			t.Fatalf("%q: nobody asked for %s", header, got)
		}
	})
}

func TestLeft(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		8 * time.Hour: "8 u 0 min", 7*time.Hour + 59*time.Minute + 30*time.Second: "7 u 59 min", time.Hour: "1 u 0 min", time.Hour - time.Second: "59 min",
		time.Minute: "1 min", 59 * time.Second: "59 s", 1500 * time.Millisecond: "2 s", 0: "0 s", -time.Second: "0 s",
	} {
		if got, err := left("nl", d); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", d, got, err, want)
		}
	}
}

// TestMeasuresAreInTheLanguage sees that a page writes no point where its language has a comma.
func TestMeasuresAreInTheLanguage(t *testing.T) {
	t.Parallel()
	ended := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	run := desk.Run{State: directory.RunRunning, Stage: directory.StageApply, Trigger: directory.TriggerManual, Rate: 12.5, Started: ended.Add(-2500 * time.Millisecond)}
	over := run
	over.State, over.Ended = directory.RunComplete, &ended
	overData, overRow := newRunData(over), newRunRow(over)
	for _, c := range []struct {
		page, part string
		data       any
		says       []string
	}{
		{"run", "run-progress", newRunData(run), []string{"12,5 per seconde"}},
		{"run", "run-about", overData, []string{"2,5 s"}},
		{"runs", "content", page{Data: runsData{Runs: []*runRow{&overRow}}}, []string{"2,5 s"}},
		{"report", "reporttotal", totalRow{MedianText: "3.2 s", SlowestText: "4.5 s"}, []string{"3,2 s", "4,5 s"}},
		{"health", "content", page{Data: healthData{Store: "1.5 GiB", Free: "2.5 GiB", Size: "3.5 GiB", DiskKnown: true, PerCommit: "1.4",
			Health: desk.Health{Checks: []desk.HealthCheck{{Name: "disk", Level: desk.Good}}}}}, []string{"1,5 GiB", "2,5 GiB", "3,5 GiB", "1,4 wijzigingen"}},
	} {
		var b bytes.Buffer
		if err := parsePages()["nl"][c.page].ExecuteTemplate(&b, c.part, c.data); err != nil {
			t.Error(err)
		}
		for _, text := range c.says {
			if !strings.Contains(b.String(), text) {
				t.Errorf("%s does not say %q\n%s", c.page, text, b.String())
			}
		}
	}
}

func TestBrowsersInWords(t *testing.T) {
	t.Parallel()
	const webkit = "AppleWebKit/537.36 (KHTML, like Gecko) "
	for agent, want := range map[string]browser{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + webkit + "Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0":           {"Edge", "Windows"},
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + webkit + "Chrome/131.0.0.0 Safari/537.36 OPR/115.0":               {"Opera", "Windows"},
		"Mozilla/5.0 (X11; Linux x86_64) " + webkit + "Chrome/131.0.0.0 Safari/537.36":                                   {"Chrome", "Linux"},
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) " + webkit + "Chrome/131.0.0.0 Safari/537.36":                          {"Chrome", "ChromeOS"},
		"Mozilla/5.0 (Linux; Android 10; K) " + webkit + "Chrome/131.0.0.0 Mobile Safari/537.36":                         {"Chrome", "Android"},
		"Mozilla/5.0 (Linux; Android 14) " + webkit + "SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36":        {"Samsung Internet", "Android"},
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18 Safari/605": {"Safari", "macOS"},
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 CriOS/131 Mobile Safari/604.1":      {"Chrome", "iOS"},
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 FxiOS/132 Mobile Safari/605":        {"Firefox", "iOS"},
		"Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Version/18.1 Safari/604.1":                   {"Safari", "iPadOS"},
		"Mozilla/5.0 (Windows NT 10.0; rv:132.0) Gecko/20100101 Firefox/132.0":                                           {"Firefox", "Windows"},
		"curl/8.14.1": {"curl", ""}, "": {}, "<script>": {},
	} {
		if got := browserOf(agent); !cmp.Equal(got, want) {
			t.Errorf("%q: %+v, want %+v", agent, got, want)
		}
	}
}

func TestFieldsNeverShowAPassword(t *testing.T) {
	t.Parallel()
	if _, err := newField("password", "password", "password", "value", "secret"); err == nil {
		t.Error("a password field took a value")
	}
	for _, option := range [][]any{{"nonsense", "x"}, {"nonsense", true}} {
		if _, err := newField("a", "text", "email", option...); err == nil {
			t.Errorf("%v is no option", option)
		}
	}
}

func TestNumbersOfMicrosoft(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]string{"AADSTS53003": "https://login.microsoftonline.com/error?code=53003", "AADSTS7000215": "https://login.microsoftonline.com/error?code=7000215",
		"": "", "AADSTS": "", "53003": "", "AADSTS53003&x=1": "", "AADSTS1234567890": "", "javascript:alert(1)": ""} {
		if got := numberURL(number); got != want {
			t.Errorf("%q: %q, want %q", number, got, want)
		}
	}
}

// TestEveryReasonOfTheDomain keeps the pages and the domain's reasons together.
func TestEveryReasonOfTheDomain(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../directory/sessions.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`Ended\w+\s+EndReason = "([a-z ]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(found) < 13 {
		t.Fatalf("found %d reasons", len(found))
	}
	for _, m := range found {
		if why := directory.EndReason(m[1]); why != directory.EndedUnknown && !reasonTexts[reasonSlug(why)] {
			t.Errorf("/signed-out has no text for %q", why)
		}
	}
}

// TestEveryNumberIsAPage of the assets that templates name.
func TestAssetsThatTemplatesName(t *testing.T) {
	t.Parallel()
	layout, err := templateFiles.ReadFile("templates/layout.html")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`asset "([^"]+)"`).FindAllStringSubmatch(string(layout), -1)
	if len(named) != 4 {
		t.Fatalf("the layout names %d assets", len(named))
	}
	for _, m := range named {
		if assets[m[1]].name == "" {
			t.Errorf("there is no %s", m[1])
		}
	}
}

// TestPlotsHaveTimesOfTheViewer sees that the table of a plot has its times as elements that the browser writes in its own
// zone, and that the bars are named in words where it does not.
func TestPlotsHaveTimesOfTheViewer(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 21, 5, 0, 0, time.UTC)
	var out bytes.Buffer
	plot, err := bars("en", "Plot", []bar{{At: at, Clock: true, Value: 3}, {At: at, Label: "Done", Value: 1}, {Label: "2026-11-23", Value: 2}})
	if err == nil {
		err = parsePages()["en"]["runs"].ExecuteTemplate(&out, "chart", plot)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`<title>21:05 UTC: 3</title>`, `<title>2026-11-23 21:05 UTC, Done: 1</title>`, `<title>2026-11-23: 2</title>`,
		`<td><time datetime="2026-11-23T21:05:00Z" data-local="clock" title="2026-11-23 21:05 UTC">21:05 UTC</time></td>`,
		`<td><time datetime="2026-11-23T21:05:00Z" data-local="moment" title="2026-11-23 21:05 UTC">2026-11-23 21:05 UTC</time>, Done</td>`,
		`<td>2026-11-23</td>`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}
