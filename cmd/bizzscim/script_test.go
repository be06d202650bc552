package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"bizzscim": main})
}

// TestScripts runs what a person types, in testdata/*.txtar, against the real program.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			// Times in a zone that is not UTC, so that a forgotten conversion shows.
			e.Setenv("TZ", "Asia/Kathmandu")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":      scriptExits,
			"capture":    scriptCapture,
			"http":       scriptHTTP,
			"eventually": scriptEventually,
		},
	})
}

// exits CODE PROGRAM ARGS... runs a program that must end with that code.
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	stdout, stderr := ts.ReadFile("stdout"), ts.ReadFile("stderr")
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s\n%s%s", code, args[0], stdout, stderr)
	}
	_, _ = io.WriteString(ts.Stdout(), stdout)
	_, _ = io.WriteString(ts.Stderr(), stderr)
}

// capture NAME [REGEXP] puts the output of the last command, or what the first group of REGEXP
// matches in it, into a variable.
func scriptCapture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: capture NAME [REGEXP]")
	}
	value := strings.TrimSpace(ts.ReadFile("stdout"))
	if len(args) == 2 {
		m := regexp.MustCompile(args[1]).FindStringSubmatch(value)
		if len(m) < 2 {
			ts.Fatalf("%q does not match %s", value, args[1])
		}
		value = m[1]
	}
	ts.Setenv(args[0], value)
}

// eventually PATTERN waits until there is a file of that name.
func scriptEventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: eventually PATTERN")
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if found, err := filepath.Glob(ts.MkAbs(args[0])); err != nil || len(found) > 0 {
			ts.Check(err)
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("there is no %s", args[0])
		}
	}
}

// http STATUS METHOD URL TOKEN [FILE] sends a request, with FILE as the body, and keeps the body
// of the answer as the output. TOKEN "-" is none.
func scriptHTTP(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 || len(args) > 5 {
		ts.Fatalf("usage: http STATUS METHOD URL TOKEN [FILE]")
	}
	var body io.Reader
	if len(args) == 5 {
		body = strings.NewReader(ts.ReadFile(args[4]))
	}
	r, err := http.NewRequest(args[1], args[2], body)
	ts.Check(err)
	r.Header.Set("Content-Type", "application/scim+json")
	if args[3] != "-" {
		r.Header.Set("Authorization", "Bearer "+args[3])
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if strconv.Itoa(resp.StatusCode) != args[0] {
		ts.Fatalf("status %d, want %s: %s", resp.StatusCode, args[0], answer)
	}
	_, err = ts.Stdout().Write(answer)
	ts.Check(err)
}

func TestTerminalIsOnlyATerminal(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	file, err := os.Create(t.TempDir() + "/f")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, w := range map[string]io.Writer{"null": null, "file": file, "buffer": &strings.Builder{}} {
		if isTerminal(w) {
			t.Errorf("%s is taken for a terminal", name)
		}
	}
}

func TestCleanTakesAwayWhatSteersATerminal(t *testing.T) {
	for in, want := range map[string]string{"Zoë  Ørsted": "Zoë  Ørsted", "a\x1b[31mb": "a\ufffd[31mb", "a\rb\nc\td": "a\ufffdb\ufffdc\ufffdd", "a\u202eb": "a\ufffdb", "a\u0085b": "a\ufffdb"} {
		if got := clean(in); got != want {
			t.Errorf("%q became %q", in, got)
		}
	}
}
