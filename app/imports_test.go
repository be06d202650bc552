package app_test

// The walls of the house (see ARCHITECTURE.md), kept by a test. Run it with -count=1: Go's test cache
// does not see the files that `go list` reads. `make test` does so.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/bizzstream/bizzscim"

// anyRoom allows every room and every module.
const anyRoom = "*"

// rooms says which of our rooms each room may import. A folder below a room belongs to that room, unless
// some folders below it are rooms of their own (store, pull): then each of them has to stand here.
var rooms = map[string][]string{
	"directory":       {}, // and nothing but the standard library: see standardOnly
	"scim":            {"directory"},
	"pull":            {"directory"},
	"pull/graph":      {"directory", "pull"},
	"pull/pulltest":   {"directory", "pull"},
	"store":           {"directory", "store/bolt", "store/postgres"},
	"store/bolt":      {"directory"},
	"store/postgres":  {"directory"},
	"store/storetest": {"directory"},
	"auth":            {"directory"},
	"vault":           {}, // and nothing but the standard library
	"mail":            {}, // it sends what it is told to
	"desk":            {"directory", "auth", "pull"},
	"console":         {"directory", "auth", "desk"},
	"api":             {"directory", "desk"},
	"webhook":         {"directory"},
	"entrasim":        {}, // it talks over HTTP, like the real one
	"app": {
		"directory", "scim", "pull", "store", "store/bolt", "store/postgres", "auth", "vault", "mail", "desk", "console", "api", "webhook", "entrasim",
	},
	"app/apptest": {"app", "directory", "auth", "pull/pulltest"},
	// The Graph SDK takes minutes to compile: the program alone links it, so that app's tests need not.
	"cmd/bizzscim": {"app", "entrasim", "pull/graph"},
	"bench":        {anyRoom}, // a measuring program: it also builds the floors that we are compared with
}

// testRooms are the rooms that the tests of every room may import besides its own list.
var testRooms = []string{"auth", "entrasim", "store", "store/bolt", "store/postgres", "store/storetest", "pull", "pull/pulltest", "app", "app/apptest"}

// standardOnly lists the rooms whose production code imports the standard library and nothing else.
var standardOnly = []string{"directory", "vault"}

// owners says which room alone may import a third-party module, its tests included. A key covers the
// packages below it and its major versions (".../v5"). Modules that do not stand here are free.
var owners = map[string]string{
	"github.com/gorilla/mux":                           "app",
	"github.com/elimity-com/scim":                      "scim",
	"github.com/scim2/filter-parser":                   "scim",
	"github.com/microsoftgraph/msgraph-sdk-go":         "pull/graph",
	"github.com/microsoftgraph/msgraph-sdk-go-core":    "pull/graph",
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity": "pull/graph",
	"github.com/coreos/go-oidc":                        "auth",
	"github.com/wneessen/go-mail":                      "mail",
	"github.com/danielgtaylor/huma":                    "api",
	"github.com/pb33f/libopenapi":                      "api",
	"github.com/pb33f/libopenapi-validator":            "api",
	"github.com/standard-webhooks/standard-webhooks":   "webhook",
	"go.etcd.io/bbolt":                                 "store/bolt",
	"github.com/jackc/pgx":                             "store/postgres",
	"github.com/pressly/goose":                         "store/postgres",
	"github.com/urfave/cli":                            "cmd/bizzscim",
}

// banned are packages that no room imports, though one may use others of their module.
var banned = map[string]string{
	"github.com/microsoftgraph/msgraph-sdk-go":        "it links every resource of Graph; use the sub-package of the one that is needed",
	"github.com/microsoftgraph/msgraph-sdk-go/models": "its typed models take what is no answer for an empty one; bodies are read by pull/graph/reader",
}

// maxMainLines is the most that cmd/bizzscim/main.go may hold.
const maxMainLines = 40

// A listedPackage is the part of `go list -json` that the rules look at.
type listedPackage struct {
	ImportPath   string
	Dir          string
	Imports      []string // of the production files
	TestImports  []string // of the _test.go files in the package itself
	XTestImports []string // of the _test.go files in package x_test

	IgnoredGoFiles []string // left out by build constraints; the walls hold for them as well
}

func TestImportsKeepTheWalls(t *testing.T) {
	packages, err := listPackages(t)
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) == 0 {
		t.Fatal("go list ./... found no package: this test would prove nothing")
	}
	for _, violation := range checkWalls(packages) {
		t.Error(violation)
	}
}

// TestImportsAreSeenToFail feeds the rules with packages that break them, one at a time.
func TestImportsAreSeenToFail(t *testing.T) {
	tests := []struct {
		name string
		pkg  listedPackage
		want string // part of the one violation; empty when all is well
	}{
		{"domain with the standard library", listedPackage{ImportPath: module + "/directory", Imports: []string{"context", "encoding/json"}}, ""},
		{"domain imports a sibling", listedPackage{ImportPath: module + "/directory", Imports: []string{module + "/scim"}}, `room "directory" must not import room "scim"`},
		{"domain imports a third-party module", listedPackage{ImportPath: module + "/directory", Imports: []string{"golang.org/x/time/rate"}}, `"directory" imports the standard library only, not golang.org/x/time/rate`},
		{"domain below its folder imports a third-party module", listedPackage{ImportPath: module + "/directory/plan", Imports: []string{"golang.org/x/time/rate"}}, "standard library only"},
		{"domain tests use a test library", listedPackage{ImportPath: module + "/directory", XTestImports: []string{"pgregory.net/rapid", module + "/directory"}}, ""},
		{"domain tests use a real store", listedPackage{ImportPath: module + "/directory", XTestImports: []string{module + "/store/bolt"}}, ""},
		{"domain tests use a sibling", listedPackage{ImportPath: module + "/directory", XTestImports: []string{module + "/scim"}}, `the tests of room "directory" must not import room "scim"`},

		{"scim imports the domain and its own folders", listedPackage{ImportPath: module + "/scim", Imports: []string{module + "/directory", module + "/scim/filter"}}, ""},
		{"a folder of scim imports scim", listedPackage{ImportPath: module + "/scim/filter", Imports: []string{module + "/scim"}}, ""},
		{"scim imports auth", listedPackage{ImportPath: module + "/scim", Imports: []string{module + "/auth"}}, `room "scim" must not import room "auth"`},
		{"a folder of scim imports a store", listedPackage{ImportPath: module + "/scim/filter", Imports: []string{module + "/store/bolt"}}, `room "scim" must not import room "store/bolt"`},
		{"scim tests start the app", listedPackage{ImportPath: module + "/scim", TestImports: []string{module + "/app", module + "/entrasim", module + "/store/storetest"}}, ""},
		{"scim imports auth", listedPackage{ImportPath: module + "/scim", Imports: []string{module + "/auth"}}, `room "scim" must not import room "auth"`},
		{"scim tests import console", listedPackage{ImportPath: module + "/scim", TestImports: []string{module + "/console"}}, `the tests of room "scim" must not import room "console"`},
		{"scim imports what only tests may", listedPackage{ImportPath: module + "/scim", Imports: []string{module + "/store/storetest"}}, `room "scim" must not import room "store/storetest"`},

		{"pull does not know Graph", listedPackage{ImportPath: module + "/pull", Imports: []string{module + "/pull/graph"}}, `room "pull" must not import room "pull/graph"`},
		{"graph knows pull", listedPackage{ImportPath: module + "/pull/graph", Imports: []string{module + "/pull", module + "/directory"}}, ""},
		{"graph uses a part of the SDK", listedPackage{ImportPath: module + "/pull/graph", Imports: []string{"github.com/microsoftgraph/msgraph-sdk-go/groups"}}, ""},
		{"graph links the whole SDK", listedPackage{ImportPath: module + "/pull/graph", Imports: []string{"github.com/microsoftgraph/msgraph-sdk-go"}}, "links every resource"},
		{"bench reads typed models", listedPackage{ImportPath: module + "/bench", Imports: []string{"github.com/microsoftgraph/msgraph-sdk-go/models"}}, "pull/graph/reader"},
		{"store chooses a back end", listedPackage{ImportPath: module + "/store", Imports: []string{module + "/store/bolt", module + "/store/postgres"}}, ""},
		{"store does not ship its test suite", listedPackage{ImportPath: module + "/store", Imports: []string{module + "/store/storetest"}}, `room "store" must not import room "store/storetest"`},
		{"one back end imports the other", listedPackage{ImportPath: module + "/store/bolt", Imports: []string{module + "/store/postgres"}}, `room "store/bolt" must not import room "store/postgres"`},
		{"a back end imports the chooser", listedPackage{ImportPath: module + "/store/bolt", Imports: []string{module + "/store"}}, `room "store/bolt" must not import room "store"`},
		{"auth imports console", listedPackage{ImportPath: module + "/auth", Imports: []string{module + "/console"}}, `room "auth" must not import room "console"`},
		{"console imports auth", listedPackage{ImportPath: module + "/console", Imports: []string{module + "/auth"}}, ""},
		{"entrasim imports the domain", listedPackage{ImportPath: module + "/entrasim", Imports: []string{module + "/directory"}}, `room "entrasim" must not import room "directory"`},
		{"app imports cmd", listedPackage{ImportPath: module + "/app", Imports: []string{module + "/cmd/bizzscim"}}, `room "app" must not import room "cmd/bizzscim"`},
		{"app wires everything", listedPackage{ImportPath: module + "/app", Imports: []string{module + "/directory", module + "/scim", module + "/store", module + "/auth"}}, ""},
		{"the command line imports the domain", listedPackage{ImportPath: module + "/cmd/bizzscim", Imports: []string{module + "/directory"}}, `room "cmd/bizzscim" must not import room "directory"`},
		{"the command line imports app and entrasim", listedPackage{ImportPath: module + "/cmd/bizzscim", Imports: []string{module + "/app", module + "/entrasim"}}, ""},
		{"the command line hands the Graph reader to app", listedPackage{ImportPath: module + "/cmd/bizzscim", Imports: []string{module + "/app", module + "/pull/graph"}}, ""},
		{"the command line imports the reconciler", listedPackage{ImportPath: module + "/cmd/bizzscim", Imports: []string{module + "/pull"}}, `room "cmd/bizzscim" must not import room "pull"`},
		{"app links the Graph SDK", listedPackage{ImportPath: module + "/app", Imports: []string{module + "/pull", module + "/pull/graph"}}, `room "app" must not import room "pull/graph"`},
		{"app tests link the Graph SDK", listedPackage{ImportPath: module + "/app", TestImports: []string{module + "/pull/pulltest", module + "/pull/graph"}}, `the tests of room "app" must not import room "pull/graph"`},
		{"a folder of the Graph reader links it", listedPackage{ImportPath: module + "/pull/graph/reader", Imports: []string{module + "/pull"}}, ""},
		{"app ships the fake source", listedPackage{ImportPath: module + "/app", Imports: []string{module + "/pull/pulltest"}}, `room "app" must not import room "pull/pulltest"`},
		{"app seals secrets", listedPackage{ImportPath: module + "/app", Imports: []string{module + "/vault"}}, ""},
		{"the reconciler seals secrets", listedPackage{ImportPath: module + "/pull", Imports: []string{module + "/vault"}}, `room "pull" must not import room "vault"`},
		{"the vault imports the domain", listedPackage{ImportPath: module + "/vault", Imports: []string{module + "/directory"}}, `room "vault" must not import room "directory"`},
		{"the vault imports a third-party module", listedPackage{ImportPath: module + "/vault", Imports: []string{"golang.org/x/crypto/chacha20poly1305"}}, `"vault" imports the standard library only`},
		{"bench measures everything", listedPackage{ImportPath: module + "/bench", Imports: []string{module + "/store/bolt", module + "/scim", "go.etcd.io/bbolt", "github.com/jackc/pgx/v5"}}, ""},
		{"app imports bench", listedPackage{ImportPath: module + "/app", Imports: []string{module + "/bench"}}, `room "app" must not import room "bench"`},

		{"an unknown room", listedPackage{ImportPath: module + "/util"}, `util: unknown room; add it to the table "rooms" in app/imports_test.go and to ARCHITECTURE.md`},
		{"an unknown room beside known ones", listedPackage{ImportPath: module + "/store/mysql"}, "store/mysql: unknown room; add it to the table"},
		{"an unknown command", listedPackage{ImportPath: module + "/cmd/other"}, "cmd/other: unknown room; add it to the table"},
		{"a package at the top", listedPackage{ImportPath: module}, ".: unknown room; add it to the table"},
		{"an import of an unknown room", listedPackage{ImportPath: module + "/app", Imports: []string{module + "/helpers"}}, `imports helpers, an unknown room; add it to the table`},
		{"a name that only begins like a room", listedPackage{ImportPath: module + "/scimtools"}, "scimtools: unknown room"},

		{"mux in app", listedPackage{ImportPath: module + "/app", Imports: []string{"github.com/gorilla/mux"}}, ""},
		{"mux elsewhere", listedPackage{ImportPath: module + "/scim", Imports: []string{"github.com/gorilla/mux"}}, `room "scim" must not import github.com/gorilla/mux: only room "app" may`},
		{"elimity in scim", listedPackage{ImportPath: module + "/scim", Imports: []string{"github.com/elimity-com/scim/schema"}}, ""},
		{"elimity elsewhere", listedPackage{ImportPath: module + "/entrasim", Imports: []string{"github.com/elimity-com/scim/schema"}}, `only room "scim" may`},
		{"filter-parser elsewhere", listedPackage{ImportPath: module + "/store/bolt", Imports: []string{"github.com/scim2/filter-parser/v2"}}, `only room "scim" may`},
		{"Graph elsewhere", listedPackage{ImportPath: module + "/pull", Imports: []string{"github.com/microsoftgraph/msgraph-sdk-go/users"}}, `only room "pull/graph" may`},
		{"azidentity elsewhere", listedPackage{ImportPath: module + "/auth", Imports: []string{"github.com/Azure/azure-sdk-for-go/sdk/azidentity"}}, `only room "pull/graph" may`},
		{"go-oidc elsewhere", listedPackage{ImportPath: module + "/console", Imports: []string{"github.com/coreos/go-oidc/v3/oidc"}}, `only room "auth" may`},
		{"bbolt elsewhere", listedPackage{ImportPath: module + "/store", Imports: []string{"go.etcd.io/bbolt"}}, `only room "store/bolt" may`},
		{"bbolt in a test elsewhere", listedPackage{ImportPath: module + "/app", XTestImports: []string{"go.etcd.io/bbolt/errors"}}, `the tests of room "app" must not import go.etcd.io/bbolt/errors: only room "store/bolt" may`},
		{"pgx elsewhere", listedPackage{ImportPath: module + "/store/bolt", Imports: []string{"github.com/jackc/pgx/v5/pgxpool"}}, `only room "store/postgres" may`},
		{"goose elsewhere", listedPackage{ImportPath: module + "/app", Imports: []string{"github.com/pressly/goose/v3"}}, `only room "store/postgres" may`},
		{"cli in the command", listedPackage{ImportPath: module + "/cmd/bizzscim", Imports: []string{"github.com/urfave/cli/v3"}}, ""},
		{"cli elsewhere", listedPackage{ImportPath: module + "/entrasim", Imports: []string{"github.com/urfave/cli/v3"}}, `only room "cmd/bizzscim" may`},
		{"a free module", listedPackage{ImportPath: module + "/auth", Imports: []string{"golang.org/x/crypto/argon2"}}, ""},
		{"a module that only begins like an owned one", listedPackage{ImportPath: module + "/scim", Imports: []string{"github.com/gorilla/muxer"}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := checkWalls([]listedPackage{tt.pkg})
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("unexpected violations: %q", got)
			case tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)):
				t.Errorf("violations %q, want one with %q", got, tt.want)
			}
		})
	}
}

// TestImportsTablesAgree keeps typing mistakes out of the tables themselves.
func TestImportsTablesAgree(t *testing.T) {
	known := func(where, room string) {
		if _, ok := rooms[room]; !ok && room != anyRoom {
			t.Errorf("%s names room %q, which is not in the table", where, room)
		}
	}
	for room, allowed := range rooms {
		for _, r := range allowed {
			known("the list of "+room, r)
		}
	}
	for _, r := range testRooms {
		known("testRooms", r)
	}
	for _, r := range standardOnly {
		known("standardOnly", r)
	}
	for mod, r := range owners {
		known("the owner of "+mod, r)
	}
}

func TestImportsSeeFilesBehindBuildConstraints(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"gen.go":        "//go:build never\n\npackage scim\n\nimport _ \"go.etcd.io/bbolt\"\n",
		"odd_test.go":   "//go:build never\n\npackage scim_test\n\nimport _ \"github.com/gorilla/mux\"\n",
		"standalone.go": "//go:build never\n\npackage scim\n\nimport (\n\t\"fmt\"\n\t_ \"" + module + "/auth\"\n)\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pkg := listedPackage{ImportPath: module + "/scim", Dir: dir, IgnoredGoFiles: []string{"gen.go", "odd_test.go", "standalone.go"}}
	if err := pkg.addIgnoredFiles(); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(checkWalls([]listedPackage{pkg}), "\n")
	for _, want := range []string{"go.etcd.io/bbolt", `the tests of room "scim" must not import github.com/gorilla/mux`, `room "auth"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no violation with %q in:\n%s", want, got)
		}
	}
}

func TestMainStaysSmall(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "cmd", "bizzscim", "main.go"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("there is no cmd/bizzscim/main.go yet")
	}
	if err != nil {
		t.Fatal(err)
	}
	if violation := checkMainSize(text); violation != "" {
		t.Error(violation)
	}
}

func TestMainSizeIsSeenToFail(t *testing.T) {
	line := []byte("// a line\n")
	for lines, wantViolation := range map[int]bool{0: false, maxMainLines: false, maxMainLines + 1: true} {
		if got := checkMainSize(bytes.Repeat(line, lines)) != ""; got != wantViolation {
			t.Errorf("%d lines: violation %t, want %t", lines, got, wantViolation)
		}
	}
	if checkMainSize(append(bytes.Repeat(line, maxMainLines), "// no newline at the end"...)) == "" {
		t.Errorf("a last line without a newline was not counted")
	}
}

// checkWalls returns one sentence for each import that the tables forbid, sorted by package.
func checkWalls(packages []listedPackage) []string {
	var violations []string
	for _, pkg := range packages {
		path := relative(pkg.ImportPath)
		room, ok := roomOf(path)
		if !ok {
			violations = append(violations, fmt.Sprintf(
				"%s: unknown room; add it to the table \"rooms\" in app/imports_test.go and to ARCHITECTURE.md", path))
			continue
		}
		for _, imp := range unique(pkg.Imports) {
			if reason := forbidden(room, imp, false); reason != "" {
				violations = append(violations, fmt.Sprintf("%s: room %q %s", path, room, reason))
			}
		}
		for _, imp := range unique(pkg.TestImports, pkg.XTestImports) {
			if reason := forbidden(room, imp, true); reason != "" {
				violations = append(violations, fmt.Sprintf("%s: the tests of room %q %s", path, room, reason))
			}
		}
	}
	sort.Strings(violations)
	return violations
}

// forbidden says why a room, or its tests, may not import a package; it is empty when it may.
func forbidden(room, imp string, test bool) string {
	if why, ok := banned[imp]; ok {
		return "must not import " + imp + ": " + why
	}
	allowed := rooms[room]
	if slices.Contains(allowed, anyRoom) {
		return ""
	}
	if imp == module || strings.HasPrefix(imp, module+"/") {
		target, ok := roomOf(relative(imp))
		switch {
		case !ok:
			return fmt.Sprintf("imports %s, an unknown room; add it to the table \"rooms\" in app/imports_test.go", relative(imp))
		case target == room, slices.Contains(allowed, target), test && slices.Contains(testRooms, target):
			return ""
		}
		return fmt.Sprintf("must not import room %q", target)
	}
	if isStandard(imp) {
		return ""
	}
	if !test && slices.Contains(standardOnly, room) {
		return "imports the standard library only, not " + imp
	}
	for mod, owner := range owners {
		if within(imp, mod) && owner != room {
			return fmt.Sprintf("must not import %s: only room %q may", imp, owner)
		}
	}
	return ""
}

// roomOf finds the room of a folder, given relative to the module. A folder below a room that has rooms
// below it belongs to nobody until it stands in the table.
func roomOf(path string) (string, bool) {
	if _, ok := rooms[path]; ok {
		return path, true
	}
	best := ""
	for room := range rooms {
		if within(path, room) && len(room) > len(best) {
			best = room
		}
	}
	if best == "" {
		return "", false
	}
	for room := range rooms {
		if room != best && within(room, best) {
			return "", false
		}
	}
	return best, true
}

func relative(importPath string) string {
	if importPath == module {
		return "."
	}
	return strings.TrimPrefix(importPath, module+"/")
}

func within(path, parent string) bool {
	return path == parent || strings.HasPrefix(path, parent+"/")
}

// isStandard tells the standard library by its first path element, which has no dot.
func isStandard(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return !strings.Contains(first, ".")
}

func unique(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

func checkMainSize(text []byte) string {
	lines := bytes.Count(text, []byte("\n"))
	if len(text) > 0 && text[len(text)-1] != '\n' {
		lines++
	}
	if lines <= maxMainLines {
		return ""
	}
	return fmt.Sprintf("cmd/bizzscim/main.go has %d lines, at most %d are allowed: each subcommand has a file of its own, the rest belongs in app", lines, maxMainLines)
}

// listPackages asks the go command for every package of the module.
func listPackages(t *testing.T) ([]listedPackage, error) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps=false",
		"-json=ImportPath,Dir,Imports,TestImports,XTestImports,IgnoredGoFiles", "./...")
	cmd.Dir = ".." // the test runs in app/
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list ./...: %w\n%s", err, stderr.String())
	}
	var packages []listedPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var pkg listedPackage
		if err := dec.Decode(&pkg); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading the answer of go list: %w", err)
		}
		if err := pkg.addIgnoredFiles(); err != nil {
			return nil, err
		}
		packages = append(packages, pkg)
	}
}

// addIgnoredFiles adds the imports of the files that go list left out on this platform and with these tags.
func (p *listedPackage) addIgnoredFiles() error {
	for _, name := range p.IgnoredGoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ImportsOnly)
		if err != nil {
			return fmt.Errorf("%s: %w", p.ImportPath, err)
		}
		for _, spec := range file.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: %w", p.ImportPath, err)
			}
			if strings.HasSuffix(name, "_test.go") {
				p.XTestImports = append(p.XTestImports, imp)
			} else {
				p.Imports = append(p.Imports, imp)
			}
		}
	}
	return nil
}
