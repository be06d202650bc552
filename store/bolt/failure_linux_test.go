package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/bizzstream/bizzscim/directory"
)

// TestWriteFailure takes the file away under running writers by putting another one behind
// bbolt's descriptor.
func TestWriteFailure(t *testing.T) {
	for _, test := range []struct {
		name  string
		file  string // "": the store's own
		flag  int
		cause error
	}{
		{"write refused", "", os.O_RDONLY, syscall.EBADF},
		{"disk full", "/dev/full", os.O_RDWR, syscall.ENOSPC},
		{"sync fails", "/dev/null", os.O_RDWR, syscall.EINVAL},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "test.db")
			var file *os.File
			s := openTest(t, path, Options{openFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
				f, err = os.OpenFile(name, flag, mode)
				file = f
				return f, err
			}})
			// Free pages in the file, so that the failure is not that of making it longer.
			for _, fn := range []func(directory.Writer) error{
				put(logTable, "k", strings.Repeat("-", 16<<20)),
				func(w directory.Writer) error { return w.Delete(logTable, []byte("k")) },
				pair("room"),
			} {
				if err := s.Update(bg, fn); err != nil {
					t.Fatal(err)
				}
			}
			other := test.file
			if other == "" {
				other = path
			}
			f, err := os.OpenFile(other, test.flag, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()

			var mu sync.Mutex
			acknowledged := map[string]bool{"room": true}
			var wg sync.WaitGroup
			for c := range 16 {
				wg.Go(func() {
					for i := 0; ; i++ {
						key := fmt.Sprintf("%d-%d", c, i)
						err := s.Update(bg, pair(key))
						if err != nil {
							if !errors.Is(err, directory.ErrFailed) || !errors.Is(err, test.cause) {
								t.Errorf("update: %v, want ErrFailed and %v", err, test.cause)
							}
							return
						}
						mu.Lock()
						acknowledged[key] = true
						mu.Unlock()
					}
				})
			}
			for deadline := time.Now().Add(time.Minute); s.Stats().Updates < 100; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("only %d updates in a minute", s.Stats().Updates)
				}
			}
			select {
			case <-s.Failed():
				t.Fatal("failed before the failure")
			default:
			}
			if err := syscall.Dup3(int(f.Fd()), int(file.Fd()), 0); err != nil {
				t.Fatal(err)
			}
			wg.Wait()
			select {
			case <-s.Failed():
			case <-time.After(time.Minute):
				t.Error("Failed is open")
			}
			ran := false
			if err := s.Update(bg, func(directory.Writer) error { ran = true; return nil }); !errors.Is(err, directory.ErrFailed) || ran {
				t.Errorf("later update: %v, ran %v", err, ran)
			}
			seen := pairs(t, s)
			if len(seen) != len(acknowledged) {
				t.Errorf("a view sees %d pairs of %d acknowledged", len(seen), len(acknowledged))
			}
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			s = openTest(t, path, Options{})
			if err := s.Check(bg, nil); err != nil {
				t.Error(err)
			}
			after := pairs(t, s)
			for key := range acknowledged {
				if !seen[key] || !after[key] {
					t.Errorf("acknowledged pair %s: seen %v, after reopening %v", key, seen[key], after[key])
				}
			}
			if err := s.Update(bg, pair("afterwards")); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFailureKept is the sync that fails after the data has reached the file: bbolt then shows
// the change, and reopening keeps it, although nobody may rely on it.
func TestFailureKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	fails := false
	s := openTest(t, path, Options{commit: func(tx *bbolt.Tx) error {
		if err := tx.Commit(); err != nil || !fails {
			return err
		}
		return syscall.EIO
	}})
	if err := s.Update(bg, pair("first")); err != nil {
		t.Fatal(err)
	}
	fails = true
	errs := inOneBatch(t, s, pair("second"), func(directory.Writer) error { return nil }, func(directory.Writer) error { return errTest })
	for i, err := range errs {
		if !errors.Is(err, directory.ErrFailed) || !errors.Is(err, syscall.EIO) {
			t.Errorf("update %d: %v", i, err)
		}
	}
	if got := pairs(t, s); len(got) != 1 || !got["first"] {
		t.Errorf("a view sees %v", got)
	}
	if err := s.db.View(func(tx *bbolt.Tx) error {
		if tx.Bucket([]byte("settings")).Get([]byte("second")) == nil {
			t.Error("bbolt itself does not show the change: this test proves nothing")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = openTest(t, path, Options{})
	if got := pairs(t, s); !got["first"] {
		t.Errorf("after reopening: %v", got)
	}
}

// TestSyncFailure has the kernel, as far as the process can tell, fail one fdatasync after the
// other: strace answers in its place. Data and description of a commit are synced one after the
// other; both must be met.
func TestSyncFailure(t *testing.T) {
	if path := os.Getenv("BOLT_TEST_SYNC"); path != "" {
		syncFailureChild(path)
		return
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace here; TestWriteFailure and TestFailureKept stay")
	}
	path := filepath.Join(t.TempDir(), "test.db")
	openTest(t, path, Options{}).Close()
	cmd := exec.Command(strace, "-o", "/dev/null", "-e", "trace=fdatasync", "true")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("strace does not work here: %v\n%s", err, out)
	}
	visible := 0
	for n := 1; n <= 8; n++ {
		cmd := exec.Command(strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync",
			"-e", fmt.Sprintf("inject=fdatasync:error=EIO:when=%d", n), os.Args[0], "-test.run=^TestSyncFailure$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("BOLT_TEST_SYNC=%s", path), fmt.Sprintf("BOLT_TEST_SYNC_N=%d", n))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("sync %d: %v\n%s", n, err, out)
		}
		var acknowledged, inBolt int
		if _, err := fmt.Sscanf(string(out), "acknowledged %d, in bbolt %d", &acknowledged, &inBolt); err != nil {
			t.Fatalf("sync %d: %v\n%s", n, err, out)
		}
		if acknowledged < (n-1)/2 { // more when the writer has moved to another thread: strace counts by thread
			t.Errorf("sync %d: %d updates acknowledged before", n, acknowledged)
		}
		visible += inBolt - acknowledged
		s := openTest(t, path, Options{})
		if err := s.Check(bg, nil); err != nil {
			t.Errorf("sync %d: %v", n, err)
		}
		got := pairs(t, s)
		for i := range acknowledged {
			if !got[fmt.Sprintf("%d-%d", n, i)] {
				t.Errorf("sync %d: update %d is lost", n, i)
			}
		}
		s.Close()
	}
	if visible == 0 {
		t.Error("no failure has left a change visible in bbolt: the test proves less than it should")
	}
}

// syncFailureChild updates until it fails, then tells what there is to see.
func syncFailureChild(path string) {
	s, err := Open(path, Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	acknowledged := 0
	for err == nil && acknowledged < 1000 {
		if err = s.Update(bg, pair(fmt.Sprintf("%s-%d", os.Getenv("BOLT_TEST_SYNC_N"), acknowledged))); err == nil {
			acknowledged++
		}
	}
	if !errors.Is(err, directory.ErrFailed) || !errors.Is(err, syscall.EIO) {
		fmt.Println("update:", err)
		return
	}
	if err := s.Update(bg, pair("later")); !errors.Is(err, directory.ErrFailed) {
		fmt.Println("later update:", err)
		return
	}
	mine := []byte(os.Getenv("BOLT_TEST_SYNC_N") + "-")
	seen, inBolt := 0, 0
	err = s.View(bg, func(r directory.Reader) error {
		return r.Scan(settings, directory.Range{Prefix: mine}, func(_, _ []byte) bool { seen++; return true })
	})
	if err != nil || seen != acknowledged {
		fmt.Println("a view sees", seen, "of", acknowledged, err)
		return
	}
	err = s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("settings")).ForEach(func(k, _ []byte) error {
			if bytes.HasPrefix(k, mine) {
				inBolt++
			}
			return nil
		})
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("acknowledged %d, in bbolt %d\n", acknowledged, inBolt)
}

// TestCommitPanics: damage that bbolt meets while it commits fails the store like a write.
func TestCommitPanics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := openTest(t, path, Options{commit: func(tx *bbolt.Tx) error { panic("page 7: assertion failed") }})
	if err := s.Update(bg, pair("first")); !errors.Is(err, directory.ErrFailed) {
		t.Errorf("update: %v", err)
	}
	<-s.Failed()
	if got := pairs(t, s); len(got) != 0 {
		t.Errorf("a view sees %v", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
