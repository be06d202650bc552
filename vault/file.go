package vault

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	maxFile = 64 << 10 // bytes
	header  = "# Keys that seal the secrets of bizzscim. The first one seals, all of them open.\n" +
		"# Keep a copy of this file apart from the backups of the data: without it the sealed secrets are lost.\n"
)

// Load reads a key file. It must be private to its owner (mode 0600 or less); one that others can
// read is refused. Errors: fs.ErrNotExist when there is none.
func Load(name string) (*Keyring, error) {
	text, err := read(name)
	if err != nil {
		return nil, err
	}
	return parseFile(name, text)
}

func parseFile(name, text string) (*Keyring, error) {
	r, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the key file %s cannot be used: %w", name, err)
	}
	return r, nil
}

func read(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("vault: key file: %w", err)
	}
	defer f.Close() //nolint:errcheck // it is only read
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", fmt.Errorf("vault: key file: %w", err)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("vault: the key file %s is not a file", name)
	case info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("vault: the key file %s can be read by others (mode %04o): make it private with: chmod 600 %s, and put a new key in it if somebody may have read it", name, info.Mode().Perm(), name)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", fmt.Errorf("vault: key file: %w", err)
	}
	if len(text) > maxFile {
		return "", fmt.Errorf("vault: the key file %s is larger than %d bytes", name, maxFile)
	}
	return string(text), nil
}

// Create makes a key file with one new key. When it returns, the file is on disk. An existing file
// is never touched: fs.ErrExist.
func Create(name string) (*Keyring, error) {
	text := header + Generate()
	r, err := parseFile(name, text)
	if err != nil {
		return nil, err
	}
	if err := write(name, text, os.Link); err != nil { // a link never replaces, and appears with its whole content
		return nil, err
	}
	return r, nil
}

// Rotate puts a new key in front of those of a key file; the old ones stay and open.
func Rotate(name string) (*Keyring, error) {
	return rewrite(name, func(text string) string {
		if rest, ok := strings.CutPrefix(text, header); ok {
			return header + Generate() + rest
		}
		return Generate() + text
	})
}

// Forget leaves only the first key in a key file. What another one has sealed is lost.
func Forget(name string) (*Keyring, error) {
	return rewrite(name, func(text string) string {
		var kept strings.Builder
		found := false
		for line := range strings.Lines(text) {
			fields := strings.Fields(line)
			isKey := len(fields) > 0 && !strings.HasPrefix(fields[0], "#")
			if isKey && found {
				continue
			}
			found = found || isKey
			kept.WriteString(line)
		}
		return kept.String()
	})
}

func rewrite(name string, fn func(string) string) (*Keyring, error) {
	text, err := read(name)
	if err != nil {
		return nil, err
	}
	if _, err := parseFile(name, text); err != nil {
		return nil, err // never make more of a file that is not understood
	}
	text = fn(text)
	r, err := parseFile(name, text)
	if err != nil {
		return nil, err
	}
	return r, write(name, text, os.Rename)
}

// write puts a text into a file of mode 0600 that appears with its whole content or not at all. When it
// returns nil, the file and its name are on disk.
func write(name, text string, put func(from, to string) error) (err error) {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target // what a link points to is replaced, not the link
	}
	dir := filepath.Dir(name)
	defer func() {
		if err != nil {
			err = fmt.Errorf("vault: key file: %w", err)
		}
	}()
	f, err := os.CreateTemp(dir, ".keys-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if e := os.Remove(f.Name()); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}()
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := put(f.Name(), name); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
