package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

var (
	codeSpan = regexp.MustCompile("`(?:bin/)?(?:bizzscim )?([a-z-][^`\n]*)`")
	codeLine = regexp.MustCompile(`(?m)^(?:\$ |    )(?:bin/)?bizzscim ([^\n#<]*)`)
	flagName = regexp.MustCompile(`--([a-z][a-z-]*)`)
)

// TestDocumentedCommands: each command of the documentation is there, with the flags that it names.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	root := (&program{stdout: io.Discard, stderr: io.Discard}).root()
	seen := 0
	for _, file := range append(files, "../../README.md", "../../SECURITY.md", "../../deploy/README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := codeLine.FindAllStringSubmatch(string(text), -1)
		for _, m := range codeSpan.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[0], "bizzscim ") || len(strings.Fields(m[1])) > 1 && root.Command(strings.Fields(m[1])[0]) != nil {
				lines = append(lines, m)
			}
		}
		for _, m := range lines {
			seen++
			if problem := misspelt(root, m[1]); problem != "" {
				t.Errorf("%s: %s: %s", filepath.Base(file), m[1], problem)
			}
		}
	}
	if seen < 60 {
		t.Errorf("%d commands were found", seen)
	}
}

// misspelt says what of a command line is not there.
func misspelt(cmd *cli.Command, line string) string {
	var flags []string
	for _, f := range cmd.Flags {
		flags = append(flags, f.Names()...)
	}
	for _, word := range strings.Fields(line) {
		if len(cmd.Commands) == 0 || strings.HasPrefix(word, "-") {
			break
		}
		sub := cmd.Command(word)
		if sub == nil {
			return "there is no command " + word
		}
		cmd = sub
		for _, f := range cmd.Flags {
			flags = append(flags, f.Names()...)
		}
	}
	for _, m := range flagName.FindAllStringSubmatch(line, -1) {
		if !slices.Contains(flags, m[1]) && m[1] != "help" {
			return "there is no flag --" + m[1]
		}
	}
	return ""
}
