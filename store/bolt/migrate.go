package bolt

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/bizzstream/bizzscim/directory"
)

// migration brings the file from one format version to the next, in one transaction.
type migration func(*Store, *bbolt.Tx) error

// migrations[i] leads from version i to i+1; version 0 is an empty file. Never change one that
// has been released.
var migrations = []migration{createV1}

// Keys of the meta bucket.
var (
	metaVersion  = []byte("version")  // format version, 8 bytes big-endian
	metaCommits  = []byte("commits")  // durable commits so far, 8 bytes big-endian
	metaCreated  = []byte("created")  // RFC 3339
	metaInstance = []byte("instance") // random text that no other store has
	metaTables   = []byte("tables")   // names, separated by newlines
)

func createV1(s *Store, tx *bbolt.Tx) error {
	for _, t := range []*table{s.counters, s.meta} {
		if _, err := tx.CreateBucket([]byte(t.Name)); err != nil {
			return err
		}
	}
	if err := s.putMeta(tx, metaCreated, []byte(time.Now().UTC().Format(time.RFC3339))); err != nil {
		return err
	}
	return s.putMeta(tx, metaInstance, []byte(rand.Text()))
}

func (s *Store) putMeta(tx *bbolt.Tx, key, value []byte) error {
	return tx.Bucket([]byte(s.meta.Name)).Put(key, s.meta.seal(key, value))
}

// migrate brings the file to this version and creates tables that it does not have yet. A table
// that it should have is never created again: its loss is damage.
func (s *Store) migrate(ms []migration) error {
	var version uint64
	var err error
	if meta := &s.current.trees[s.meta.index]; meta.pages != nil {
		if version, err = meta.number(metaVersion); err != nil {
			return err
		}
		if version == 0 {
			return meta.t.damaged(metaVersion, "missing")
		}
	} else if s.current.trees[s.counters.index].pages != nil {
		return fmt.Errorf("%w: %s has lost its description", directory.ErrDamaged, s.path)
	}
	if newest := uint64(len(ms)); version > newest {
		return fmt.Errorf("%w: %s has format %d, this version knows formats up to %d", directory.ErrNewer, s.path, version, newest)
	}
	for ; version < uint64(len(ms)); version++ {
		err := s.change(func(tx *bbolt.Tx) error {
			if err := ms[version](s, tx); err != nil {
				return err
			}
			return s.putMeta(tx, metaVersion, numberBytes(version+1))
		})
		if err != nil {
			return fmt.Errorf("store: migrate %s to format %d: %w", s.path, version+1, err)
		}
	}
	return s.createTables()
}

func (s *Store) createTables() error {
	list, err := s.current.trees[s.meta.index].get(metaTables)
	if err != nil {
		return err
	}
	var have []string
	if list != nil {
		have = splitNames(list)
	}
	var missing []string
	for _, t := range directory.Tables {
		if !slices.Contains(have, t.Name) {
			missing = append(missing, t.Name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return s.change(func(tx *bbolt.Tx) error {
		for _, name := range missing {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return fmt.Errorf("store: create table %s: %w", name, err)
			}
		}
		return s.putMeta(tx, metaTables, joinNames(append(have, missing...)))
	})
}

// change commits one transaction before the writer runs, and shows the result.
func (s *Store) change(fn func(*bbolt.Tx) error) (err error) {
	if s.mapped == 0 {
		// bbolt may have to map more of the file, which waits for every snapshot.
		s.release(s.current)
		s.current = nil
	}
	if err := s.db.Update(fn); err != nil {
		return err
	}
	snap, err := s.snapshot()
	if err != nil {
		return err
	}
	s.show(snap)
	return nil
}

// nextCommit returns the number of the commit after snap.
func (s *Store) nextCommit(snap *snapshot) (uint64, error) {
	v, err := snap.trees[s.meta.index].get(metaCommits)
	if err != nil || v == nil {
		return 1, err
	}
	if len(v) != 8 {
		return 0, s.meta.damaged(metaCommits, "not a number")
	}
	return binary.BigEndian.Uint64(v) + 1, nil
}
