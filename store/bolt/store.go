// Package bolt keeps the records of the directory in one bbolt file. It seals each record with
// a checksum, commits concurrent updates in groups and refuses to go on after a failed write.
//
// It must never know what a record means, never answer from a damaged record, never say "there
// is none" where a damaged page may hide one, and never show a write that is not on disk.
package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/bizzstream/bizzscim/directory"
)

// Options tune a store. The zero value is right for production.
type Options struct {
	// LockTimeout is how long Open waits for another process to leave the file; 0: one second.
	LockTimeout time.Duration

	// For tests: the hook that bbolt opens its file with, other migrations than this version's,
	// the address space to map (negative: only what the file needs), and another commit.
	openFile   func(string, int, os.FileMode) (*os.File, error)
	migrations []migration
	mapSize    int64
	commit     func(*bbolt.Tx) error
}

// mapSize is the address space kept for the file from the start (on 64 bits). bbolt can map
// more of the file only while nobody reads, and this store always has a snapshot open.
const mapSize = 64 << 30

// Two buckets besides the tables hold the store's own records, sealed like all others.
var (
	counterTable = &directory.Table{Name: "_counters"} // see counterKey
	metaTable    = &directory.Table{Name: "_meta"}     // see migrate.go
)

// Store is a directory.Store in one file.
type Store struct {
	db     *bbolt.DB
	file   *os.File // bbolt's; kept to close it when bbolt fails to open
	path   string
	mapped int64                 // bytes of address space that the file may grow into while snapshots are open
	ending func(*bbolt.Tx) error // (*bbolt.Tx).Commit

	tables   []*table // directory.Tables, then counters and meta
	byTable  map[*directory.Table]*table
	byName   map[string]*table
	counters *table
	meta     *table

	// mu guards current and the reference counts of all snapshots. current is what View shows:
	// the last durable commit; nil while a commit needs all snapshots gone, and after Close.
	mu      sync.Mutex
	cond    sync.Cond // current has changed
	current *snapshot
	closed  bool

	// queue carries updates to the writer goroutine, the only one that writes. sending is held
	// shared while sending, so that Close can close the queue.
	sending sync.RWMutex
	queue   chan *call
	writer  sync.WaitGroup

	batchTime time.Duration // maxBatchTime

	failed    chan struct{}
	failure   atomic.Pointer[error] // set before failed is closed
	failOnce  sync.Once
	closeOnce sync.Once
	closeErr  error

	commits, updates atomic.Uint64
}

var _ directory.Store = (*Store)(nil)

var errClosed = fmt.Errorf("store: %w", os.ErrClosed)

// Open opens the store in the file at path and creates it, with its folder, when there is none.
// The file is brought to this version's format. Errors: directory.ErrLocked, ErrNewer,
// ErrDamaged.
func Open(path string, opts Options) (*Store, error) {
	if opts.LockTimeout == 0 {
		opts.LockTimeout = time.Second
	}
	if opts.migrations == nil {
		opts.migrations = migrations
	}
	switch info, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist):
		if err := create(path, opts); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, fmt.Errorf("store: %w", err)
	case info.IsDir():
		return nil, fmt.Errorf("store: %s is a folder, not a file", path)
	case info.Size() == 0:
		// A store is never created in place, so this one has lost its content.
		return nil, fmt.Errorf("%w: %s is empty", directory.ErrDamaged, path)
	}
	return open(path, opts)
}

// create makes the file under another name and links it to its own when it is complete and on
// disk, so that a crash leaves a whole store or none.
func create(path string, opts Options) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	f, err := os.CreateTemp(dir, filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	tmp := f.Name()
	defer func() { _ = os.Remove(tmp) }() // linked to its own name by then, or of no use
	if err := f.Close(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	opts.openFile, opts.commit = nil, nil
	s, err := open(tmp, opts)
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	if err := os.Link(tmp, path); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("store: %w", err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer func() { _ = d.Close() }() // only read
	if err := d.Sync(); err != nil {
		return fmt.Errorf("store: sync %s: %w", dir, err)
	}
	return nil
}

func open(path string, opts Options) (*Store, error) {
	s := &Store{
		path:    path,
		byTable: make(map[*directory.Table]*table),
		byName:  make(map[string]*table),
		queue:   make(chan *call, maxBatch),
		failed:  make(chan struct{}),
		ending:  (*bbolt.Tx).Commit,

		batchTime: maxBatchTime,
	}
	if opts.commit != nil {
		s.ending = opts.commit
	}
	s.cond.L = &s.mu
	for _, t := range directory.Tables {
		s.addTable(t)
	}
	s.counters = s.addTable(counterTable)
	s.meta = s.addTable(metaTable)

	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if err := s.openFile(opts); err != nil {
		return nil, err
	}
	if err := s.load(opts.migrations); err != nil {
		s.release(s.current)
		_ = s.closeFile() // the first error says why
		return nil, err
	}
	s.writer.Add(1)
	go s.write()
	return s, nil
}

func (s *Store) addTable(dt *directory.Table) *table {
	t := newTable(dt, len(s.tables))
	s.tables = append(s.tables, t)
	s.byTable[dt] = t
	s.byName[dt.Name] = t
	return t
}

// openFile lets bbolt open the file; bbolt panics on some damage.
func (s *Store) openFile(opts Options) (err error) {
	openFile := opts.openFile
	if openFile == nil {
		openFile = os.OpenFile
	}
	bopts := &bbolt.Options{
		Timeout:      opts.LockTimeout,
		FreelistType: bbolt.FreelistMapType,
		NoStatistics: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := openFile(name, flag, mode)
			s.file = f
			return f, err
		},
	}
	want := opts.mapSize
	if want == 0 && ^uint(0)>>32 != 0 {
		want = mapSize
		if info, err := os.Stat(s.path); err == nil {
			want = max(want, 4*info.Size())
		}
	}
	if want > 0 {
		bopts.InitialMmapSize = int(want)
		s.mapped = want
	}
	defer func() {
		if r := recover(); r != nil {
			if s.file != nil {
				unlock(s.file)
				_ = s.file.Close() // damaged: nothing was written
			}
			err = fmt.Errorf("%w: %s cannot be opened: %s", directory.ErrDamaged, s.path, describe(r))
		}
	}()
	s.db, err = bbolt.Open(s.path, 0o600, bopts)
	if err != nil && bopts.InitialMmapSize > 0 && !errors.Is(err, berrors.ErrTimeout) {
		// Perhaps the address space is limited: see Store.commit for how it then goes on.
		bopts.InitialMmapSize, s.mapped = 0, 0
		s.db, err = bbolt.Open(s.path, 0o600, bopts)
	}
	var errno syscall.Errno
	switch {
	case err == nil:
		return nil
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("%w: %s: stop the other process, or give this one another data folder", directory.ErrLocked, s.path)
	case errors.As(err, &errno):
		return fmt.Errorf("store: open %s: %w", s.path, err)
	default: // bbolt does not like what is in the file
		return fmt.Errorf("%w: %s: %w", directory.ErrDamaged, s.path, err)
	}
}

// load checks and migrates what has been opened and shows it.
func (s *Store) load(ms []migration) error {
	if info, err := os.Stat(s.path); err != nil {
		return fmt.Errorf("store: %w", err)
	} else if snap, err := s.snapshot(); err != nil {
		return err
	} else {
		s.current = snap
		if size := int64(len(snap.pages.data)); info.Size() < size {
			return fmt.Errorf("%w: %s has %d bytes of %d", directory.ErrDamaged, s.path, info.Size(), size)
		}
	}
	if err := s.migrate(ms); err != nil {
		return err
	}
	for i := range s.current.trees {
		if tr := &s.current.trees[i]; tr.pages == nil {
			return fmt.Errorf("%w: table %s is missing in %s", directory.ErrDamaged, tr.t.Name, s.path)
		}
	}
	return nil
}

// Close waits for running transactions, also those of updates that have been accepted, then
// closes the file.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.sending.Lock()
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		close(s.queue)
		s.sending.Unlock()
		s.writer.Wait()

		s.mu.Lock()
		snap := s.current
		s.current = nil
		s.cond.Broadcast()
		s.mu.Unlock()
		s.release(snap)
		s.closeErr = s.closeFile()
	})
	return s.closeErr
}

// closeFile waits for all snapshots to be released.
func (s *Store) closeFile() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("store: close %s: %w", s.path, err)
	}
	return nil
}

// Failed is closed when a write or sync has failed.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// fail stops all writing for good.
func (s *Store) fail(cause error) {
	s.failOnce.Do(func() {
		err := fmt.Errorf("%w: %w", directory.ErrFailed, cause)
		s.failure.Store(&err)
		close(s.failed)
	})
}

func (s *Store) failureErr() error {
	if err := s.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Stats tells what the store holds.
func (s *Store) Stats() directory.StoreStats {
	st := directory.StoreStats{Commits: s.commits.Load(), Updates: s.updates.Load()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		st.Bytes = int64(len(s.current.pages.data))
	}
	return st
}

// snapshot is one durable commit, held open in bbolt so that its pages are not written over.
// All Views of that time share it; Store.mu guards refs.
type snapshot struct {
	tx    *bbolt.Tx
	pages pages
	root  tree   // names of tables -> trees
	trees []tree // by table.index
	refs  int

	counters *tree
	cache    blockCache
}

// snapshot opens the last commit with one reference. Only the writer may call it, right after
// a commit, and Open.
func (s *Store) snapshot() (_ *snapshot, err error) {
	tx, err := s.db.Begin(false)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %s: %s", directory.ErrDamaged, s.path, describe(r))
		}
		if err != nil {
			tx.Rollback()
		}
	}()
	// While tx is open, bbolt does not move its mapping, and the mapping covers tx.Size bytes.
	info := s.db.Info()
	base := *(*unsafe.Pointer)(unsafe.Pointer(&info.Data)) //nolint:gosec // bbolt gives the address of its mapping as a number
	snap := &snapshot{
		tx:    tx,
		pages: pages{data: unsafe.Slice((*byte)(base), tx.Size()), size: info.PageSize}, //nolint:gosec // see above
		trees: make([]tree, len(s.tables)),
		refs:  1,
	}
	for i, t := range s.tables {
		snap.trees[i].t = t
	}
	snap.counters = &snap.trees[s.counters.index]
	// The root bucket maps each table's name to its root page, or to all of a small table.
	snap.root = tree{t: rootTable, pages: &snap.pages, root: uint64(tx.Cursor().Bucket().Root())}
	c := snap.root.cursor()
	defer c.release()
	for err := c.end(false); ; err = c.next() {
		if err != nil {
			return nil, err
		}
		if c.depth == 0 {
			return snap, nil
		}
		top := &c.stack[c.depth-1]
		flags, name, value, err := top.p.element(top.i)
		const bucketHeader = 16 // root page uint64, bbolt's own sequence uint64
		if err != nil {
			return nil, c.damaged(nil, err)
		}
		if flags != 1 || len(value) < bucketHeader {
			return nil, rootTable.damaged(name, "not a table")
		}
		t := s.byName[string(name)]
		if t == nil {
			continue // of a newer version; migrate will tell
		}
		snap.trees[t.index] = tree{
			t:      t,
			pages:  &snap.pages,
			root:   native.Uint64(value),
			inline: value[bucketHeader:],
		}
	}
}

var rootTable = newTable(&directory.Table{Name: "(list of tables)"}, -1)

// acquire returns the current snapshot for release later.
func (s *Store) acquire() (*snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.current == nil {
		if s.closed {
			return nil, errClosed
		}
		if err := s.failureErr(); err != nil {
			return nil, err
		}
		s.cond.Wait()
	}
	s.current.refs++
	return s.current, nil
}

func (s *Store) release(snap *snapshot) {
	if snap == nil {
		return
	}
	s.mu.Lock()
	snap.refs--
	last := snap.refs == 0
	s.mu.Unlock()
	if last {
		snap.tx.Rollback()
	}
}

// show makes snap, with its one reference, what View shows.
func (s *Store) show(snap *snapshot) {
	s.mu.Lock()
	old := s.current
	s.current = snap
	s.cond.Broadcast()
	s.mu.Unlock()
	s.release(old)
}

// View runs fn on the last durable commit.
func (s *Store) View(ctx context.Context, fn func(directory.Reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	snap, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release(snap)
	// A page that the disk cannot read is a fault in mapped memory; it must be an error.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	r := &reader{s: s, snap: snap}
	defer func() { r.done = true }()
	return fn(r)
}

// reader is the directory.Reader of one View.
type reader struct {
	s    *Store
	snap *snapshot
	done bool
}

var errDone = errors.New("store: transaction has ended")

func (r *reader) tree(dt *directory.Table) (*tree, error) {
	if r.done {
		return nil, errDone
	}
	t := r.s.byTable[dt]
	if t == nil {
		return nil, fmt.Errorf("store: no table %q", dt.Name)
	}
	return &r.snap.trees[t.index], nil
}

func (r *reader) Get(t *directory.Table, key []byte) (value []byte, err error) {
	tr, err := r.tree(t)
	if err != nil {
		return nil, err
	}
	defer tr.recoverDamage(&err)
	return tr.get(key)
}

func (r *reader) Scan(t *directory.Table, rg directory.Range, fn func(key, value []byte) bool) (err error) {
	tr, err := r.tree(t)
	if err != nil {
		return err
	}
	inside := false // in fn: its panics are its own
	defer func() {
		if inside {
			return
		}
		if r := recover(); r != nil {
			err = tr.t.damaged(nil, describe(r))
		}
	}()
	return tr.scan(r.snap, rg, func(key, value []byte) bool {
		inside = true
		more := fn(key, value)
		inside = false
		return more
	})
}

func (r *reader) Count(t *directory.Table, prefix []byte) (n int64, err error) {
	tr, err := r.tree(t)
	if err != nil {
		return 0, err
	}
	if err := tr.t.checkPrefix(prefix); err != nil {
		return 0, err
	}
	defer r.snap.counters.recoverDamage(&err)
	u, err := r.snap.counters.number(counterKey(nil, counterRows, tr.t, prefix))
	return int64(u), err
}

func (t *table) checkPrefix(prefix []byte) error {
	if t.CountPrefix == 0 {
		return fmt.Errorf("store: rows of table %s are not counted", t.Name)
	}
	if len(prefix) != t.CountPrefix {
		return fmt.Errorf("store: table %s counts by %d bytes, not %d", t.Name, t.CountPrefix, len(prefix))
	}
	return nil
}

// recoverDamage is deferred around reads: what the checks have not foreseen panics, and an
// unreadable page faults.
func (tr *tree) recoverDamage(err *error) {
	if r := recover(); r != nil { //nolint:revive // it is itself the deferred function
		*err = tr.t.damaged(nil, describe(r))
	}
}

// describe puts a panic from reading the file in words.
func describe(r any) string {
	if fault, ok := r.(interface{ Addr() uintptr }); ok && fault.Addr() != 0 {
		return "part of the file cannot be read"
	}
	return fmt.Sprint(r)
}

// Numbers live in the counters bucket, 8 bytes big-endian each.
const (
	counterRows     = 'c' // table, 0, prefix -> rows; absent: none
	counterSequence = 's' // table, 0 -> last number handed out
	counterBlock    = 'b' // table, 0, first key -> rows of a block, see blocks.go; absent: none
)

func counterKey(b []byte, kind byte, t *table, prefix []byte) []byte {
	b = append(b, kind)
	b = append(b, t.Name...)
	b = append(b, 0)
	return append(b, prefix...)
}

func (tr *tree) number(key []byte) (uint64, error) {
	v, err := tr.get(key)
	if v == nil || err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, tr.t.damaged(key, "not a number")
	}
	return binary.BigEndian.Uint64(v), nil
}

func numberBytes(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// splitNames and joinNames are for the list of tables in the meta bucket.
func splitNames(v []byte) []string { return strings.Split(string(v), "\n") }
func joinNames(names []string) []byte {
	return []byte(strings.Join(names, "\n"))
}
