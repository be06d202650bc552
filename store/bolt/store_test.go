package bolt

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/store/storetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (directory.Store, func() directory.Store) {
		path := filepath.Join(t.TempDir(), "data", "test.db")
		open := func() directory.Store {
			s := openTest(t, path, Options{})
			t.Cleanup(func() { // before the one that closes it, if it is still open
				if err := s.Check(bg, nil); err != nil && !errors.Is(err, os.ErrClosed) {
					t.Errorf("check: %v", err)
				}
			})
			return s
		}
		return open(), open
	})
}

func openTest(t testing.TB, path string, opts Options) *Store {
	t.Helper()
	s, err := Open(path, opts)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}
