package directory

import (
	"context"
	"errors"
)

// Store keeps the records of the directory. It knows tables, keys and bytes, nothing of
// their meaning: every rule is in Service. Back ends live in store/bolt and store/postgres
// and pass the one suite in store/storetest.
//
// A Store is safe for concurrent use.
type Store interface {
	// View runs fn on a consistent snapshot: fn sees all of a committed Update or nothing of
	// it, and nothing of an Update that has not been committed durably. Slices handed to fn
	// are valid until fn returns. fn must not write to the network: an open snapshot holds
	// space in the file.
	View(ctx context.Context, fn func(Reader) error) error

	// Update runs fn in a transaction that is serial with every other Update: fn reads what
	// all earlier ones wrote and nothing of a later one. When Update returns nil, all of fn's
	// writes are on disk. When fn returns an error or panics, none of them is, and the error
	// is returned as it is (a panic as an error). fn may be run again by a back end that
	// resolves conflicts by retrying, so it must change nothing but the transaction.
	//
	// When ctx ends before fn has started, fn does not run and ctx.Err() is returned. Once fn
	// has started, Update waits for the outcome, so that an answer is never a guess.
	//
	// After a write or sync has failed, every Update returns ErrFailed.
	Update(ctx context.Context, fn func(Writer) error) error

	// Failed is closed when a write or sync has failed. What is on disk is then unknown until
	// the store is opened again; the process should end.
	Failed() <-chan struct{}

	// Stats tells what the store holds, for health and metrics.
	Stats() StoreStats

	// Close waits for running transactions, then closes the store.
	Close() error
}

// StoreStats is a snapshot of a store's size and work since it was opened.
type StoreStats struct {
	Bytes   int64  // size of the data on disk
	Commits uint64 // durable commits
	Updates uint64 // Update calls that those commits carried
}

// Reader reads one snapshot.
type Reader interface {
	// Get returns the value under key, nil when there is none. An error means that the record
	// is damaged (ErrDamaged) or the store failed, never that it is absent. The value must not
	// be changed and is valid until the transaction ends (in an Update: until its next write).
	Get(t *Table, key []byte) ([]byte, error)

	// Scan calls fn for the rows of a range in key order until fn returns false or the range
	// ends. fn must not write to the store. An error means damage, as for Get.
	Scan(t *Table, r Range, fn func(key, value []byte) bool) error

	// Count returns how many rows have this prefix. It answers from a counter, at the same cost
	// for any number of rows. The prefix must be exactly t.CountPrefix bytes long.
	Count(t *Table, prefix []byte) (int64, error)
}

// Writer reads and writes one transaction. Reads see its own writes.
type Writer interface {
	Reader

	// Insert writes a row that must not exist; ErrExists when it does.
	Insert(t *Table, key, value []byte) error

	// Put writes a row, replacing the one under the same key.
	Put(t *Table, key, value []byte) error

	// Delete removes a row; it is no error when there is none.
	Delete(t *Table, key []byte) error

	// NextSequence returns the next number of the table's sequence, from 1. Numbers are handed
	// out in commit order: a reader that has seen number n committed will never see a smaller
	// one appear later. A rolled-back transaction leaves no gap that a reader could notice.
	NextSequence(t *Table) (uint64, error)
}

// Range selects rows of a table in key order.
type Range struct {
	Prefix  []byte // only keys with this prefix; nil: all
	After   []byte // only keys beyond this one (below it when Reverse); nil: from the start
	Skip    int    // rows to skip before the first call of fn
	Reverse bool   // from the last key to the first
}

// Table describes one ordered table. The set of all tables is Tables; a back end creates
// exactly these.
type Table struct {
	Name string
	// CountPrefix is the length in bytes of the key prefix whose rows are counted;
	// 0: rows are not counted.
	CountPrefix int
	// Sequential says that keys are mostly written in ascending order, so that a back end
	// may pack pages tightly.
	Sequential bool
}

var (
	// ErrExists is returned by Writer.Insert for a key that is taken.
	ErrExists = errors.New("store: key exists")
	// ErrDamaged marks a record whose checksum does not match.
	ErrDamaged = errors.New("store: record is damaged")
	// ErrFailed is returned by every Update after a write or sync has failed.
	ErrFailed = errors.New("store: a write to disk failed; no more writes are accepted until restart")
	// ErrLocked is returned on opening a store that another process holds.
	ErrLocked = errors.New("store: in use by another process")
	// ErrNewer is returned on opening a store that a newer version has written.
	ErrNewer = errors.New("store: written by a newer version")
)
