package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	storeFile  = "bizzscim.db"
	socketFile = "admin.sock"
)

// prepareFolder makes the data folder, or makes sure of one that exists: nobody but its owner may
// read it. One that others can read is tightened to mode 0700 when it is ours alone (it is empty
// or holds our store); anything else is refused, because it may be a folder that others use.
func prepareFolder(dir string) (notice string, err error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", fmt.Errorf("app: data folder: %w", err)
		}
		return "", nil
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("app: data folder: %w", err)
	case !info.IsDir():
		return "", fmt.Errorf("app: data folder: %s is not a folder", dir)
	case info.Mode().Perm()&0o077 == 0:
		return "", nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("app: data folder: %w", err)
	}
	ours := len(entries) == 0
	for _, e := range entries {
		ours = ours || e.Name() == storeFile
	}
	if !ours {
		return "", fmt.Errorf("app: data folder %s can be read by others (mode %04o) and holds other things: name a folder of its own, such as %s", dir, info.Mode().Perm(), filepath.Join(dir, "bizzscim"))
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // 0700 is what a folder needs
		return "", fmt.Errorf("app: data folder %s can be read by others (mode %04o) and that cannot be changed: %w", dir, info.Mode().Perm(), err)
	}
	return fmt.Sprintf("the data folder %s could be read by others (mode %04o): its mode is 0700 now", dir, info.Mode().Perm()), nil
}
