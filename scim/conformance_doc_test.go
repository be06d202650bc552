package scim_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docRow is a clause as docs/conformance.md tells it.
type docRow struct {
	id, verdict, why string
	heading          string // of its table
}

var (
	clauseForm  = regexp.MustCompile(`^(7643|7644|9865|interop|ipsie|suites)(-[0-9.]+)?-[0-9]+$`)
	testNamed   = regexp.MustCompile("`([a-z]+\\.)?(Test[A-Za-z0-9]+)(/[^`]+)?`")
	textForm    = regexp.MustCompile(`"([^"\\\\\n]+)"`)
	testFunc    = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`)
	verdictList = []string{"met", "strict", "not met", "not offered"}
)

// conformanceDocument reads the tables of clauses, what is told of tolerant mode, the summary, and the rows of the matrices.
func conformanceDocument(t *testing.T) (rows []docRow, tolerant map[string]bool, summary, needs []string) {
	t.Helper()
	tolerant = map[string]bool{}
	heading := ""
	for line := range strings.Lines(string(must(os.ReadFile(filepath.Join("..", "docs", "conformance.md"))))) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "## "); ok {
			heading = title
		}
		cells := strings.Split(strings.Trim(line, "|"), " | ")
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case heading == "Summary":
			summary = append(summary, line)
		case heading == "Tolerant mode" && strings.HasPrefix(cells[len(cells)-1], "`TestMatrix"):
			needs = append(needs, line)
		case heading == "Tolerant mode" && clauseForm.MatchString(strings.Split(cells[0], ", ")[0]):
			if len(cells) != 4 || cells[2] == "" || cells[3] == "" {
				t.Errorf("tolerant mode: %q does not say what is done and for whom", line)
			}
			for id := range strings.SplitSeq(cells[0], ", ") {
				tolerant[id] = true
			}
		case clauseForm.MatchString(cells[0]):
			if len(cells) != 5 {
				t.Errorf("%s has %d cells", cells[0], len(cells))
				continue
			}
			rows = append(rows, docRow{id: cells[0], verdict: cells[3], why: cells[4], heading: heading})
		}
	}
	return rows, tolerant, summary, needs
}

// testNames is what the test files of a package define: its tests, and the texts that name subtests.
type testNames struct{ tests, texts map[string]bool }

// testSources reads the test files of every package.
func testSources(t *testing.T) map[string]testNames {
	t.Helper()
	all := map[string]testNames{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && d.Name() != "..") {
			return filepath.SkipDir
		}
		if err == nil && strings.HasSuffix(path, "_test.go") {
			in := filepath.Base(filepath.Dir(must(filepath.Abs(path))))
			if all[in].tests == nil {
				all[in] = testNames{map[string]bool{}, map[string]bool{}}
			}
			source := string(must(os.ReadFile(path)))
			for _, m := range testFunc.FindAllStringSubmatch(source, -1) {
				all[in].tests[m[1]] = true
			}
			for _, m := range textForm.FindAllStringSubmatch(source, -1) {
				all[in].texts[m[1]] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// docs/conformance.md says what is so: every clause that is shown has its row and the other way round, every test that is
// named exists, whatever is not met has a reason, and the figures are right.
func TestConformanceDocument(t *testing.T) {
	t.Parallel()
	rows, tolerant, summary, needs := conformanceDocument(t)
	sources := testSources(t)
	shown := map[string]string{} // clause -> test
	deviates := map[string]bool{}
	for test, clauses := range allClauses() {
		for _, c := range clauses {
			if shown[c.id] != "" {
				t.Errorf("%s is shown twice", c.id)
			}
			shown[c.id], deviates[c.id] = test, c.tolerant != nil
		}
	}
	seen := map[string]bool{}
	for _, r := range rows {
		if seen[r.id] {
			t.Errorf("%s has two rows", r.id)
		}
		seen[r.id] = true
		r.checkVerdict(t, shown[r.id], deviates[r.id])
		r.checkTests(t, sources, shown)
		if strict := r.verdict == "strict"; strict != tolerant[r.id] {
			t.Errorf("%s: verdict %s, told of tolerant mode: %t", r.id, r.verdict, tolerant[r.id])
		}
	}
	for id, test := range shown {
		if !seen[id] {
			t.Errorf("%s/%s has no row", test, id)
		}
	}
	for id := range tolerant {
		if !seen[id] {
			t.Errorf("tolerant mode tells of %s, which has no row", id)
		}
	}
	if want := summaryOf(rows); !slices.Equal(summary, want) {
		t.Errorf("the summary must be\n%s", strings.Join(want, "\n"))
	}
	if want := matrixNeeds(); !slices.Equal(needs, want) {
		t.Errorf("what tolerant mode takes for somebody's sake must be\n%s", strings.Join(want, "\n"))
	}
}

var (
	matrixTest = regexp.MustCompile(`(?m)^func (TestMatrix\w+)\(`)
	matrixName = regexp.MustCompile(`\{name: "((?:[^"\\]|\\.)*)"`)
	matrixNeed = regexp.MustCompile(`needs: "((?:[^"\\]|\\.)*)"`)
	matrixRun  = regexp.MustCompile(`m\.run\(t, "([^"]*)"\+row\.name`)
)

// matrixNeeds reads the rows of the matrices where tolerant mode takes what strict mode refuses, as lines of a table: the
// row, who needs it, and its test.
func matrixNeeds() (lines []string) {
	for _, file := range must(filepath.Glob("matrix*_test.go")) {
		lines = append(lines, matrixNeedsIn(string(must(os.ReadFile(file))))...)
	}
	return lines
}

func matrixNeedsIn(source string) (lines []string) {
	starts := matrixTest.FindAllStringSubmatchIndex(source, -1)
	for i, start := range starts {
		end := len(source)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		test, text := source[start[2]:start[3]], source[start[0]:end]
		names := matrixName.FindAllStringSubmatchIndex(text, -1)
		section := "" // that all rows share
		if run := matrixRun.FindStringSubmatch(text); run != nil {
			section = run[1]
		}
		for j, name := range names {
			next := len(text)
			if j+1 < len(names) {
				next = names[j+1][0]
			}
			if need := matrixNeed.FindStringSubmatch(text[name[0]:next]); need != nil {
				lines = append(lines, "| "+section+plain(text[name[2]:name[3]])+" | "+plain(need[1])+" | `"+test+"` |")
			}
		}
	}
	return lines
}

// plain is a literal of Go without its escapes.
func plain(literal string) string { return strings.ReplaceAll(literal, `\"`, `"`) }

func (r *docRow) checkVerdict(t *testing.T, test string, deviates bool) {
	t.Helper()
	named := testNamed.MatchString(r.why)
	switch {
	case !slices.Contains(verdictList, r.verdict):
		t.Errorf("%s has the verdict %q", r.id, r.verdict)
	case test != "" && !strings.Contains(r.why, "`"+test+"`"):
		t.Errorf("%s is shown by %s, and its row does not say so", r.id, test)
	case (r.verdict == "met" || r.verdict == "strict") && !named:
		t.Errorf("%s is %s, and no test shows it", r.id, r.verdict)
	case deviates != (r.verdict == "strict"):
		t.Errorf("%s is %s, and tolerant mode differs: %t", r.id, r.verdict, deviates)
	case strings.HasPrefix(r.verdict, "not") && len(testNamed.ReplaceAllString(r.why, "")) < 20:
		t.Errorf("%s is %s without a reason", r.id, r.verdict)
	}
}

// checkTests checks that the tests exist that a row names, and their subtests.
func (r *docRow) checkTests(t *testing.T, sources map[string]testNames, shown map[string]string) {
	t.Helper()
	for _, m := range testNamed.FindAllStringSubmatch(r.why, -1) {
		in, test, sub := strings.TrimSuffix(m[1], "."), m[2], strings.TrimPrefix(m[3], "/")
		if in == "" {
			in = "scim"
		}
		if !sources[in].tests[test] {
			t.Errorf("%s names %s of %s, which does not exist", r.id, test, in)
		}
		if sub == "" && allClauses()[test] != nil && shown[r.id] != test && !strings.HasPrefix(r.id, "ipsie-4.2") {
			t.Errorf("%s names %s, which has no clause of that number", r.id, test)
		}
		if sub != "" && shown[sub] != test && (allClauses()[test] != nil || !sources[in].texts[sub]) {
			t.Errorf("%s names %s/%s, which does not exist", r.id, test, sub)
		}
	}
}

// summaryOf counts the verdicts of each table.
func summaryOf(rows []docRow) []string {
	lines := []string{"| Standard | Clauses | Met | Strict | Not met | Not offered |"}
	headings := []string{}
	counts := map[string]map[string]int{"all": {}}
	for _, r := range rows {
		if counts[r.heading] == nil {
			headings = append(headings, r.heading)
			counts[r.heading] = map[string]int{}
		}
		counts[r.heading][r.verdict]++
		counts["all"][r.verdict]++
	}
	for _, h := range append(headings, "all") {
		all := 0
		for n := range maps.Values(counts[h]) {
			all += n
		}
		line := fmt.Sprintf("| %s | %d |", h, all)
		for _, v := range verdictList {
			line += fmt.Sprintf(" %d |", counts[h][v])
		}
		lines = append(lines, line)
	}
	return lines
}

// What the document links to is there.
func TestConformanceLinks(t *testing.T) {
	t.Parallel()
	text := string(must(os.ReadFile(filepath.Join("..", "docs", "conformance.md"))))
	links := regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`).FindAllStringSubmatch(text, -1)
	for _, m := range links {
		if _, err := os.Stat(filepath.Join("..", "docs", m[1])); err != nil {
			t.Errorf("%s is not there", m[1])
		}
	}
	if len(links) < 3 {
		t.Errorf("%d links", len(links))
	}
}
