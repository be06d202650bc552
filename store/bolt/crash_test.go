//go:build unix

package bolt

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// TestKill kills a process with 16 writers, again and again on one file, and looks for each
// update that it has acknowledged. BOLT_TEST_KILLS sets the number of rounds.
func TestKill(t *testing.T) {
	if path := os.Getenv("BOLT_TEST_KILL"); path != "" {
		killChild(path)
		return
	}
	rounds := 20
	if n, err := strconv.Atoi(os.Getenv("BOLT_TEST_KILLS")); err == nil {
		rounds = n
	}
	path := filepath.Join(t.TempDir(), "test.db")
	acknowledged := make(map[string]bool)
	for round := range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "BOLT_TEST_KILL="+path, fmt.Sprintf("BOLT_TEST_ROUND=%d", round))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		before := len(acknowledged)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if len(acknowledged) == before {
				time.AfterFunc(time.Duration(rand.IntN(60_000))*time.Microsecond, func() { cmd.Process.Kill() })
			}
			acknowledged[lines.Text()] = true
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("round %d: the child ended by itself: %v", round, err)
		}
		if len(acknowledged) == before {
			t.Fatalf("round %d: no update acknowledged", round)
		}

		s := openTest(t, path, Options{})
		if err := s.Check(bg, nil); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		got := pairs(t, s)
		for key := range acknowledged {
			if !got[key] {
				t.Errorf("round %d: acknowledged update %s is lost", round, key)
			}
		}
		if err := s.Update(bg, func(w directory.Writer) error {
			if n, err := w.NextSequence(settings); err != nil || n != uint64(len(got))+1 {
				return fmt.Errorf("sequence is at %d after %d rows, %w", n, len(got), err)
			}
			return errTest
		}); !errors.Is(err, errTest) {
			t.Errorf("round %d: %v", round, err)
		}
		s.Close()
	}
	t.Logf("%d acknowledged updates in %d rounds", len(acknowledged), rounds)
}

// killChild writes until it is killed and prints each key that it may count on.
func killChild(path string) {
	s, err := Open(path, Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	var wg sync.WaitGroup
	for c := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%s-%d-%d", os.Getenv("BOLT_TEST_ROUND"), c, i)
				fails := i%7 == 6
				err := s.Update(bg, func(w directory.Writer) error {
					if err := pair(key)(w); err != nil || !fails {
						return err
					}
					return errTest
				})
				switch {
				case fails && errors.Is(err, errTest):
				case err != nil:
					fmt.Fprintln(os.Stderr, err)
					return
				default:
					os.Stdout.WriteString(key + "\n")
				}
			}
		})
	}
	wg.Wait()
}
