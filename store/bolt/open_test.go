package bolt

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/bizzstream/bizzscim/directory"
)

func TestCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(dir, "test.db")
	s := openTest(t, path, Options{})
	for p, want := range map[string]os.FileMode{dir: 0o700 | os.ModeDir, filepath.Dir(dir): 0o700 | os.ModeDir, path: 0o600} {
		info, err := os.Stat(p)
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", p, info.Mode(), err, want)
		}
	}
	entries, err := os.ReadDir(dir)
	if len(entries) != 1 || err != nil {
		t.Errorf("folder holds %v, %v", entries, err)
	}
	if err := s.Check(bg, nil); err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir, Options{}); err == nil {
		t.Error("a folder: no error")
	}
	path := filepath.Join(dir, "empty")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); !errors.Is(err, directory.ErrDamaged) {
		t.Errorf("an empty file: %v", err)
	}
	for _, content := range []string{"text", strings.Repeat("text", 10_000)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, Options{}); !errors.Is(err, directory.ErrDamaged) {
			t.Errorf("a text file: %v", err)
		}
	}
	if _, err := Open(filepath.Join(path, "test.db"), Options{}); err == nil {
		t.Error("a file as folder: no error")
	}
}

// TestLocked opens a store twice, here and from another process.
func TestLocked(t *testing.T) {
	if path := os.Getenv("BOLT_TEST_LOCKED"); path != "" {
		_, err := Open(path, Options{})
		fmt.Printf("locked: %v\n", errors.Is(err, directory.ErrLocked))
		return
	}
	path := filepath.Join(t.TempDir(), "test.db")
	s := openTest(t, path, Options{})
	start := time.Now()
	_, err := Open(path, Options{LockTimeout: 1200 * time.Millisecond}) // more than by default
	if !errors.Is(err, directory.ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Errorf("second open: %v", err)
	}
	if d := time.Since(start); d < 1100*time.Millisecond || d > time.Minute {
		t.Errorf("second open took %v", d)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestLocked$")
	cmd.Env = append(os.Environ(), "BOLT_TEST_LOCKED="+path)
	start = time.Now()
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "locked: true") {
		t.Errorf("second process: %v\n%s", err, out)
	}
	if d := time.Since(start); d > time.Minute {
		t.Errorf("second process took %v", d)
	}
	if err := s.Update(bg, put(settings, "k", "v")); err != nil {
		t.Errorf("update afterwards: %v", err)
	}
}

func TestMigrate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := openTest(t, path, Options{})
	if err := s.Update(bg, put(settings, "k", "v1")); err != nil {
		t.Fatal(err)
	}
	s.Close()

	// One that fails leaves the file as it was.
	second := func(s *Store, tx *bbolt.Tx) error {
		tb := s.byName["settings"]
		return tx.Bucket([]byte("settings")).Put([]byte("k"), tb.seal([]byte("k"), []byte("v2")))
	}
	third := func(s *Store, tx *bbolt.Tx) error {
		tb := s.byName["settings"]
		if v, err := tb.open([]byte("k"), tx.Bucket([]byte("settings")).Get([]byte("k"))); string(v) != "v2" || err != nil {
			return fmt.Errorf("migration 3 finds %q, %v", v, err)
		}
		return tx.Bucket([]byte("settings")).Put([]byte("k3"), tb.seal([]byte("k3"), []byte("v3")))
	}
	failing := func(s *Store, tx *bbolt.Tx) error { return errors.Join(second(s, tx), errTest) }
	if _, err := Open(path, Options{migrations: []migration{createV1, failing, third}}); !errors.Is(err, errTest) {
		t.Errorf("failing migration: %v", err)
	}
	s = openTest(t, path, Options{})
	if got := get(t, s, settings, "k"); got != "v1" {
		t.Errorf("after a failed migration: %s", got)
	}
	s.Close()

	for range 2 { // the second time there is nothing to do
		s = openTest(t, path, Options{migrations: []migration{createV1, second, third}})
		if k, k3 := get(t, s, settings, "k"), get(t, s, settings, "k3"); k != "v2" || k3 != "v3" {
			t.Errorf("migrated: %s, %s", k, k3)
		}
		if err := s.Check(bg, nil); err != nil {
			t.Error(err)
		}
		if err := s.Update(bg, put(settings, "k3", "v3")); err != nil {
			t.Error(err)
		}
		s.Close()
	}

	_, err := Open(path, Options{})
	if !errors.Is(err, directory.ErrNewer) || !strings.Contains(err.Error(), "format 3") || !strings.Contains(err.Error(), "up to 1") {
		t.Errorf("older program: %v", err)
	}
}

// TestNewTable: a table that a later version brings is created, one that is lost is not.
func TestNewTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := openTest(t, path, Options{})
	s.Close()
	all := directory.Tables
	t.Cleanup(func() { directory.Tables = all })
	added := &directory.Table{Name: "added"}
	directory.Tables = append(all[:len(all):len(all)], added)
	for range 2 {
		s = openTest(t, path, Options{})
		if err := s.Update(bg, put(added, "k", "v")); err != nil {
			t.Error(err)
		}
		s.Close()
	}
	db, err := bbolt.Open(path, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("added")) }); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if _, err := Open(path, Options{}); !errors.Is(err, directory.ErrDamaged) {
		t.Errorf("lost table: %v", err)
	}
}
