package bolt

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/bizzstream/bizzscim/directory"
)

var (
	users    = tableNamed("users")
	settings = tableNamed("settings")
	logTable = tableNamed("log")
	members  = tableNamed("members")
)

func tableNamed(name string) *directory.Table {
	for _, t := range directory.Tables {
		if t.Name == name {
			return t
		}
	}
	panic("no table " + name)
}

var bg = context.Background()

// inOneBatch runs updates so that they share one batch, in order, and returns their errors and
// behind them that of the update, without writes, that has opened the batch.
func inOneBatch(t *testing.T, s *Store, fns ...func(directory.Writer) error) []error {
	t.Helper()
	return inOneBatchThen(t, s, func() {}, fns...)
}

// inOneBatchThen calls answered when an update has returned.
func inOneBatchThen(t *testing.T, s *Store, answered func(), fns ...func(directory.Writer) error) []error {
	t.Helper()
	s.batchTime = time.Hour
	before := s.Stats()
	errs := queued(t, s, answered, fns...)
	if commits := s.Stats().Commits - before.Commits; commits > 1 {
		t.Fatalf("%d commits, want one batch", commits)
	}
	return errs
}

// queued has updates wait in the queue while another one runs, and then runs them.
func queued(t *testing.T, s *Store, answered func(), fns ...func(directory.Writer) error) []error {
	t.Helper()
	started, release := make(chan bool), make(chan bool)
	first := make(chan error, 1)
	go func() {
		first <- s.Update(bg, func(directory.Writer) error {
			close(started)
			<-release
			return nil
		})
	}()
	<-started
	errs := make([]error, len(fns))
	var wg sync.WaitGroup
	for i, fn := range fns {
		for len(s.queue) != i {
			time.Sleep(time.Millisecond)
		}
		wg.Go(func() {
			errs[i] = s.Update(bg, fn)
			answered()
		})
	}
	for len(s.queue) != len(fns) {
		time.Sleep(time.Millisecond)
	}
	close(release)
	wg.Wait()
	return append(errs, <-first)
}

// However many updates wait: those that have run for so long are committed first.
func TestBatchTime(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "test.db"), Options{})
	if s.batchTime != 20*time.Millisecond {
		t.Errorf("a batch runs for %s", s.batchTime)
	}
	s.batchTime = -1
	before := s.Stats()
	for _, err := range queued(t, s, func() {}, put(settings, "a", "1"), put(settings, "b", "2")) {
		if err != nil {
			t.Error(err)
		}
	}
	if commits := s.Stats().Commits - before.Commits; commits != 2 {
		t.Errorf("%d commits, want 2", commits)
	}
}

func put(t *directory.Table, key, value string) func(directory.Writer) error {
	return func(w directory.Writer) error { return w.Put(t, []byte(key), []byte(value)) }
}

func get(t testing.TB, s *Store, dt *directory.Table, key string) string {
	t.Helper()
	value := "(none)"
	err := s.View(bg, func(r directory.Reader) error {
		v, err := r.Get(dt, []byte(key))
		if v != nil {
			value = string(v)
		}
		return err
	})
	if err != nil {
		t.Errorf("get %x: %v", key, err)
	}
	return value
}

// pair writes two rows and a number that belong together.
func pair(key string) func(directory.Writer) error {
	return func(w directory.Writer) error {
		if err := w.Insert(settings, []byte(key), []byte(key)); err != nil {
			return err
		}
		if _, err := w.NextSequence(settings); err != nil {
			return err
		}
		return w.Insert(users, []byte(strings.Repeat("p", 16)+key), []byte(key))
	}
}

// pairs returns what pair has written, after checking that it is whole.
func pairs(t *testing.T, s *Store) map[string]bool {
	t.Helper()
	got := make(map[string]bool)
	err := s.View(bg, func(r directory.Reader) error {
		err := r.Scan(settings, directory.Range{}, func(k, v []byte) bool {
			got[string(k)] = true
			return true
		})
		n := 0
		err2 := r.Scan(users, directory.Range{}, func(k, v []byte) bool {
			if n++; !got[string(k[16:])] {
				t.Errorf("half of the pair %s", k[16:])
			}
			return true
		})
		count, err3 := r.Count(users, []byte(strings.Repeat("p", 16)))
		if n != len(got) || count != int64(n) {
			t.Errorf("%d and %d rows, counted %d", len(got), n, count)
		}
		return errors.Join(err, err2, err3)
	})
	if err != nil {
		t.Error(err)
	}
	return got
}

var errTest = errors.New("test")

// TestBatchUndo has updates fail between others of their batch, before and after bbolt has their
// writes.
func TestBatchUndo(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "test.db"), Options{})
	p := strings.Repeat("p", 16)
	if err := s.Update(bg, func(w directory.Writer) error {
		return errors.Join(put(users, p+"a", "old")(w), put(users, p+"b", "old")(w))
	}); err != nil {
		t.Fatal(err)
	}
	scan := func(w directory.Writer) (got string, err error) {
		err = w.Scan(users, directory.Range{}, func(k, v []byte) bool {
			got += fmt.Sprintf("%s=%s ", k[16:], v)
			return true
		})
		n, err2 := w.Count(users, []byte(p))
		m, err3 := w.NextSequence(users)
		return fmt.Sprintf("%s%d %d", got, n, m), errors.Join(err, err2, err3)
	}
	spoil := func(w directory.Writer) error {
		return errors.Join(
			put(users, p+"a", "spoilt")(w), w.Delete(users, []byte(p+"b")), put(users, p+"c", "spoilt")(w),
			w.Delete(users, []byte(p+"one")), put(users, p+"d", "spoilt")(w), w.Delete(users, []byte(p+"d")),
			put(users, p+"b", "spoilt")(w))
	}
	var seen [3]string
	errs := inOneBatch(t, s,
		func(w directory.Writer) (err error) {
			seen[0], err = scan(w)
			return errors.Join(err, put(users, p+"one", "1")(w))
		},
		func(w directory.Writer) error {
			err := spoil(w)
			_, err2 := scan(w) // gives bbolt the writes
			return errors.Join(err, err2, spoil(w), errTest)
		},
		func(w directory.Writer) (err error) {
			seen[1], err = scan(w)
			return errors.Join(err, put(users, p+"two", "2")(w))
		},
		func(w directory.Writer) error {
			if err := spoil(w); err != nil {
				t.Error(err)
			}
			panic("test")
		},
		func(w directory.Writer) (err error) {
			seen[2], err = scan(w)
			return err
		},
	)
	want := [3]string{"a=old b=old 2 1", "a=old b=old one=1 3 2", "a=old b=old one=1 two=2 4 3"}
	if seen != want {
		t.Errorf("seen %q, want %q", seen, want)
	}
	var pe *PanicError
	if errs[0] != nil || !errors.Is(errs[1], errTest) || errs[2] != nil || !errors.As(errs[3], &pe) || errs[4] != nil {
		t.Errorf("errors: %v", errs)
	}
	if pe.Value != "test" || !strings.Contains(string(pe.Stack), "TestBatchUndo") || strings.Contains(pe.Error(), "test") {
		t.Errorf("panic error %q with value %v and stack %s", pe, pe.Value, pe.Stack)
	}
	for key, want := range map[string]string{"a": "old", "b": "old", "c": "(none)", "d": "(none)", "one": "1", "two": "2"} {
		if got := get(t, s, users, p+key); got != want {
			t.Errorf("%s = %s, want %s", key, got, want)
		}
	}
	if err := s.Check(bg, nil); err != nil {
		t.Error(err)
	}
}

// TestBatchWithoutWrites: reading updates and failing ones cost no commit.
func TestBatchWithoutWrites(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "test.db"), Options{
		commit: func(*bbolt.Tx) error { t.Error("a commit"); return nil },
	})
	errs := inOneBatch(t, s,
		func(w directory.Writer) error { _, err := w.Get(users, []byte("k")); return err },
		func(w directory.Writer) error { return errors.Join(put(settings, "a", "b")(w), errTest) },
		func(w directory.Writer) error { return w.Delete(settings, []byte("a")) },
	)
	if errs[0] != nil || !errors.Is(errs[1], errTest) || errs[2] != nil {
		t.Errorf("errors: %v", errs)
	}
	if st := s.Stats(); st.Commits != 0 || st.Updates != 0 {
		t.Errorf("stats: %+v", st)
	}
}

// TestBatchAnswersAfterCommit: an update that has written nothing, or has failed, may have read
// what others of its batch have written, so it is not answered before that is on disk.
func TestBatchAnswersAfterCommit(t *testing.T) {
	committing, release := make(chan bool), make(chan bool)
	s := openTest(t, filepath.Join(t.TempDir(), "test.db"), Options{
		commit: func(tx *bbolt.Tx) error {
			close(committing)
			<-release
			return tx.Commit()
		},
	})
	var early atomic.Bool // answered before the commit has ended
	go func() {
		<-committing
		if got := get(t, s, settings, "k"); got != "(none)" {
			t.Errorf("a view during the commit sees %q", got)
		}
		time.Sleep(20 * time.Millisecond)
		if early.Load() {
			t.Error("an update was answered during the commit")
		}
		close(release)
	}()
	errs := inOneBatchThen(t, s, func() { early.Store(true) },
		put(settings, "k", "v"),
		func(w directory.Writer) error {
			if v, err := w.Get(settings, []byte("k")); string(v) != "v" || err != nil {
				t.Errorf("get = %q, %v", v, err)
			}
			return nil
		},
		func(w directory.Writer) error { return w.Insert(settings, []byte("k"), nil) },
	)
	if errs[0] != nil || errs[1] != nil || !errors.Is(errs[2], directory.ErrExists) {
		t.Errorf("errors: %v", errs)
	}
}

// TestGoexit: a fn that ends its goroutine (t.FailNow does) must not take the writer with it.
func TestGoexit(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "test.db"), Options{})
	errs := inOneBatch(t, s,
		func(w directory.Writer) error {
			if err := put(settings, "a", "b")(w); err != nil {
				t.Error(err)
			}
			runtime.Goexit()
			return nil
		})
	if !errors.Is(errs[0], errGoexit) {
		t.Errorf("error: %v", errs[0])
	}
	if err := s.Update(bg, put(settings, "c", "d")); err != nil {
		t.Error(err)
	}
	if a, c := get(t, s, settings, "a"), get(t, s, settings, "c"); a != "(none)" || c != "d" {
		t.Errorf("a = %s, c = %s", a, c)
	}
}

// TestAfterTransaction: a Reader or Writer that has been kept is of no use.
func TestAfterTransaction(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "test.db"), Options{})
	var r directory.Reader
	var w directory.Writer
	if err := s.View(bg, func(rr directory.Reader) error { r = rr; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(bg, func(ww directory.Writer) error { w = ww; return nil }); err != nil {
		t.Fatal(err)
	}
	_, err := r.Get(settings, []byte("k"))
	_, err2 := w.Get(settings, []byte("k"))
	for i, err := range []error{err, err2, w.Put(settings, []byte("k"), nil)} {
		if !errors.Is(err, errDone) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// TestWriteInScan: what a scan would then show is not defined, so it is refused.
func TestWriteInScan(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "test.db"), Options{})
	err := s.Update(bg, func(w directory.Writer) error {
		if err := put(settings, "k", "v")(w); err != nil {
			return err
		}
		return w.Scan(settings, directory.Range{}, func(_, _ []byte) bool {
			if err := w.Delete(settings, []byte("k")); err == nil {
				t.Error("no error")
			}
			return true
		})
	})
	if err != nil || get(t, s, settings, "k") != "v" {
		t.Errorf("update: %v", err)
	}
}

// TestSmallMap runs with no address space in reserve: each commit waits for the views and maps
// the file anew when it grows.
func TestSmallMap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := openTest(t, path, Options{mapSize: -1})
	var wg sync.WaitGroup
	value := strings.Repeat("v", 4000)
	for c := range 8 {
		wg.Go(func() {
			for i := range 100 {
				key := fmt.Sprintf("%016d%08d", c, i)
				if err := s.Update(bg, put(users, key, value)); err != nil {
					t.Error(err)
				}
				if got := get(t, s, users, key); got != value {
					t.Errorf("%s = %.10s", key, got)
				}
			}
		})
	}
	wg.Wait()
	if err := s.Check(bg, nil); err != nil {
		t.Error(err)
	}
}
