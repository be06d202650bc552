package store

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	for i, address := range []string{
		filepath.Join(dir, "plain.db"),
		"bolt://" + filepath.Join(dir, "url.db"),
		"bolt://" + filepath.Join(dir, "url.db"), // again
		"bolt://" + filepath.Join(dir, "a%20b.db"),
	} {
		s, err := Open(address)
		if err != nil {
			t.Fatalf("%s: %v", address, err)
		}
		if err := s.View(context.Background(), func(directory.Reader) error { return nil }); err != nil {
			t.Errorf("%s: %v", address, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", address, err)
		}
		if i == 3 {
			if m, err := filepath.Glob(filepath.Join(dir, "a b.db")); len(m) != 1 || err != nil {
				t.Errorf("%s: no file of that name", address)
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for address, want := range map[string]string{
		"":                                 "no address",
		"postgres://user:secret@host/name": "no PostgreSQL back end yet",
		"postgresql://host/name":           "no PostgreSQL back end yet",
		"mysql://user:secret@host/name":    `"mysql"`,
		"bolt://host/path":                 "bolt:///",
		"bolt://":                          "bolt:///",
		"bolt:///path?x=y":                 "bolt:///",
	} {
		s, err := Open(address)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q", address, err, want)
		}
		if s != nil {
			t.Errorf("%q: a store", address)
		}
	}
}
