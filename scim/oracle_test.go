package scim

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Here our reading of the RFCs is compared with that of others, over random requests that are the
// same in each run. Where an implementation differs, a difference says so: what is not explained by
// one is a failure, and so is one that explains nothing any more. docs/conformance-oracles.md has
// the RFC's words for each.

// difference is a known way in which another implementation differs from ours.
type difference struct {
	oracle string
	name   string // as the document has it
}

// seen counts which differences occurred; a comparison fails when one of its own did not.
type seen map[difference]int

func (s seen) check(t *testing.T, want []difference) {
	t.Helper()
	for _, d := range want {
		if s[d] == 0 {
			t.Errorf("%s: %q did not occur any more: take it off the list, or ask for it", d.oracle, d.name)
		}
		t.Logf("%6d  %s: %s", s[d], d.oracle, d.name)
	}
}

// allDifferences are those of every comparison in this package.
func allDifferences() []difference {
	var list []difference
	for _, r := range patchRules {
		list = append(list, r.difference)
	}
	list = append(list, filterDifferences()...)
	for _, rules := range [][]grammarRule{filterGrammarRules, pathGrammarRules, pathNameRules} {
		list = append(list, grammarDifferences(rules)...)
	}
	for _, rules := range [][]schemaRule{bodyRules, patchValueRules} {
		list = append(list, schemaDifferences(rules)...)
	}
	return list
}

// The document names the differences that the tests know, each once, and no others.
func TestOracleDocument(t *testing.T) {
	doc, err := os.ReadFile("../docs/conformance-oracles.md")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	oracle := ""
	heading, row := regexp.MustCompile("^## `(.+?)`"), regexp.MustCompile(`^\| \*\*(.+?)\*\* \|`)
	for line := range strings.Lines(string(doc)) {
		if m := heading.FindStringSubmatch(line); m != nil {
			oracle = m[1]
		}
		if m := row.FindStringSubmatch(line); m != nil {
			got = append(got, oracle+": "+m[1])
		}
	}
	for _, d := range allDifferences() {
		want = append(want, d.oracle+": "+d.name)
	}
	slices.Sort(got)
	slices.Sort(want)
	want = slices.Compact(want) // some occur in PATCH and in filters
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/conformance-oracles.md (+) and the tests (-) differ: %s", diff)
	}
}

// oracleQuestion is one line to testdata/oracle/oracle.mjs.
type oracleQuestion struct {
	Lib        string          `json:"lib"`
	Kind       string          `json:"kind"` // patch, filter or path
	Resource   json.RawMessage `json:"resource,omitempty"`
	Operations json.RawMessage `json:"operations,omitempty"`
	Filter     string          `json:"filter,omitempty"`
	Path       string          `json:"path,omitempty"`
}

// oracleReply is its answer: a result or why the library refuses.
type oracleReply struct {
	Result json.RawMessage `json:"result"`
	Error  string          `json:"error"`
}

// ask puts questions to the libraries in Node, all in one process.
func ask(t *testing.T, questions []oracleQuestion) []oracleReply {
	t.Helper()
	dir := filepath.Join("testdata", "oracle")
	node, err := exec.LookPath("node")
	if err != nil {
		withoutNode(t, "node is missing: on Debian, apt install nodejs npm")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); err != nil {
		withoutNode(t, "the libraries to compare with are missing: run npm ci in scim/testdata/oracle, as make test does")
	}
	var in bytes.Buffer
	e := json.NewEncoder(&in)
	for _, q := range questions {
		if err := e.Encode(q); err != nil {
			t.Fatal(err)
		}
	}
	var complaint bytes.Buffer
	cmd := exec.CommandContext(t.Context(), node, "oracle.mjs")
	cmd.Dir, cmd.Stdin, cmd.Stderr, cmd.WaitDelay = dir, &in, &complaint, 5*time.Second
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("oracle.mjs: %v\n%s", err, &complaint)
	}
	var replies []oracleReply
	for line := range bytes.Lines(out) {
		var r oracleReply
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("oracle.mjs: %v in %s", err, line)
		}
		if (r.Error == "") == (r.Result == nil) {
			t.Fatalf("oracle.mjs answers neither or both: %s", line)
		}
		replies = append(replies, r)
	}
	if len(replies) != len(questions) {
		t.Fatalf("oracle.mjs answers %d of %d questions\n%s", len(replies), len(questions), &complaint)
	}
	return replies
}

// notInShort skips a comparison under the race detector, where it would take minutes and find
// nothing: nothing of it runs at the same time.
func notInShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("thousands of requests")
	}
}

// withoutNode skips the test, unless BIZZSCIM_REQUIRE names node.
func withoutNode(t *testing.T, why string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("BIZZSCIM_REQUIRE"), ","), "node") {
		t.Fatal(why)
	}
	t.Skip(why)
}

// strictUserType is testUser of a tenant in strict mode, which is what is compared: the RFCs to the letter.
var strictUserType = func() *ResourceType {
	rt := *testUser
	rt.strict = true
	return &rt
}()

// dice are random choices that are the same in each run.
type dice struct{ *rand.Rand }

func newDice(seed uint64) dice { return dice{rand.New(rand.NewPCG(seed, 7644))} }

func pick[T any](d dice, list ...T) T { return list[d.IntN(len(list))] }

// one reports true once in n times.
func (d dice) one(n int) bool { return d.IntN(n) == 0 }

// plainForm brings values of different makers into one form: members by name, nothing that is
// unassigned (null, the empty list, objects without members: RFC 7643 section 2.5).
func plainForm(v Value) Value {
	switch v.Kind {
	case Array:
		var elems []Value
		for _, e := range v.Elems {
			if e = plainForm(e); e.Kind != Null {
				elems = append(elems, e)
			}
		}
		if len(elems) == 0 {
			return Value{}
		}
		return Value{Kind: Array, Elems: elems}
	case Object:
		var members []Member
		for _, m := range v.Members {
			if m.Value = plainForm(m.Value); m.Value.Kind != Null {
				members = append(members, m)
			}
		}
		if len(members) == 0 {
			return Value{}
		}
		slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
		return Value{Kind: Object, Members: members}
	}
	return v
}

// oracleNames are the attributes of the users that others are asked about; E: is the enterprise
// extension.
var oracleNames = []string{"userName", "externalId", "displayName", "title", "nickName", "active", "name", "emails", "phoneNumbers", "addresses", "roles",
	"E:department", "E:employeeNumber", "E:manager"}

// oracleAttribute returns the definition and the name that a path has.
func oracleAttribute(name string) (*Attribute, string) {
	if rest, ok := strings.CutPrefix(name, "E:"); ok {
		return find(enterpriseSchema.Attributes, rest), EnterpriseURN + ":" + rest
	}
	return find(userSchema.Attributes, name), name
}

var oracleTexts = []string{"a", "b", "A", "c d", "ab", `q"q`, "é", `x\y`}

// text draws a value of a text by the name of its attribute.
func (d dice) text(a *Attribute) Value {
	s := pick(d, oracleTexts...)
	switch {
	case len(a.CanonicalValues) > 0:
		s = pick(d, a.CanonicalValues[:2]...)
	case a.Type == TypeReference:
		s = "https://x.example/Users/" + pick(d, "a", "b")
	}
	return Value{Kind: String, Text: s}
}

// value draws a value as the schema has it.
func (d dice) value(a *Attribute) Value {
	if !a.MultiValued {
		return d.element(a)
	}
	list := Value{Kind: Array}
	for range 1 + d.IntN(2) {
		list.Elems = append(list.Elems, d.element(a))
	}
	return list
}

func (d dice) element(a *Attribute) Value {
	switch a.Type {
	case TypeBoolean:
		return Value{Kind: Bool, Bool: d.one(2)}
	case TypeComplex:
		obj := Value{Kind: Object}
		for i, sub := range a.Sub {
			if sub.Mutability == "readOnly" || sub.Name == "$ref" && d.one(2) {
				continue
			}
			if a.Name == "roles" && sub.Name == "type" {
				continue // scimmy has a list of its values, which is empty
			}
			if must := i == 0 || sub.Name == "value"; must || d.one(3) {
				obj.Members = append(obj.Members, Member{sub.Name, d.element(sub)})
			}
		}
		return obj
	}
	return d.text(a)
}

// user draws the canonical attributes of a user.
func (d dice) user(t *testing.T) Value {
	t.Helper()
	user, extension := Value{Kind: Object}, Value{Kind: Object}
	for _, name := range oracleNames {
		a, _ := oracleAttribute(name)
		if name != "userName" && d.one(2) {
			continue
		}
		m := Member{a.Name, d.value(a)}
		if strings.HasPrefix(name, "E:") {
			extension.Members = append(extension.Members, m)
		} else {
			user.Members = append(user.Members, m)
		}
	}
	user.Members = append(user.Members, Member{EnterpriseURN, extension})
	user, _, err := testUser.normalize(user, Mode{})
	if err != nil {
		t.Fatal(err)
	}
	return user
}

// resource is a user as a server would send it.
func oracleResource(attrs Value, more string) json.RawMessage {
	urns := `"` + strings.Join(testUser.schemasOf(attrs), `","`) + `"`
	return json.RawMessage(`{"schemas":[` + urns + `],` + more + encode(attrs)[1:])
}
