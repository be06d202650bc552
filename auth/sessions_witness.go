package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// maxWitness bounds what is read of the file of a witness, in bytes: far more than is ever written.
const maxWitness = 4 << 10

// readWitness reads the witness that the last run has left. One that is not there, or is not as it was
// written, is none: it proves nothing, so no session holds.
func readWitness(name string) (w directory.Witness, err error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return directory.Witness{}, nil
	}
	if err != nil {
		return directory.Witness{}, fmt.Errorf("auth: the witness of the sessions cannot be read: %w", err)
	}
	defer f.Close() //nolint:errcheck // it is only read
	info, err := f.Stat()
	if err != nil {
		return directory.Witness{}, fmt.Errorf("auth: the witness of the sessions cannot be read: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxWitness))
	if err != nil {
		return directory.Witness{}, fmt.Errorf("auth: the witness of the sessions cannot be read: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 { // whoever can write it could make restored data pass for the data that was left
		return directory.Witness{}, nil
	}
	kept, ok := parseWitness(text)
	if !ok {
		return directory.Witness{}, nil
	}
	// Nothing that puts a copy of the file back, with the data or without, can set the time of its inode.
	if changed := changedAt(info); changed.After(kept.Written.Add(writingTakes)) {
		return directory.Witness{}, nil
	}
	return kept.Witness, nil
}

// writingTakes is more than lies between the two times of a witness that was written here.
const writingTakes = 10 * time.Second

// keptWitness is a witness in its file.
type keptWitness struct {
	directory.Witness
	Written time.Time `json:"written"` // by the clock of the file system
}

// parseWitness reads exactly what keepWitness wrote; anything else is no witness.
func parseWitness(text []byte) (w keptWitness, ok bool) {
	if json.Unmarshal(text, &w) != nil {
		return w, false
	}
	again, err := witnessText(w)
	return w, err == nil && bytes.Equal(text, again)
}

func witnessText(w keptWitness) ([]byte, error) {
	text, err := json.Marshal(w)
	return append(text, '\n'), err
}

// keepWitness writes a witness, so that either the old one or the new one is on disk, whole; none for the
// zero one, which tells of nothing new.
func (s *Sessions) keepWitness(w directory.Witness) error {
	if s.witness == "" || w == (directory.Witness{}) {
		return nil
	}
	err := replaceFile(s.witness, func(at time.Time) ([]byte, error) { return witnessText(keptWitness{w, at.UTC()}) })
	if err != nil {
		return fmt.Errorf("auth: the witness of the sessions cannot be written: %w", err)
	}
	return nil
}

// replaceFile puts a text, which is told the time by the clock of the file system, into a file of mode
// 0600. When it returns nil, the file and its name are on disk.
func replaceFile(name string, text func(at time.Time) ([]byte, error)) (err error) {
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, "."+filepath.Base(name)+"-*") // mode 0600
	if err != nil {
		return err
	}
	if err = errors.Join(writeDated(f, text), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func writeDated(f *os.File, text func(at time.Time) ([]byte, error)) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	b, err := text(info.ModTime())
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return err
}
