package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/bizzstream/bizzscim/directory"
)

// Limits of one batch. Whoever comes last waits for all of it.
const (
	maxBatch      = 1024                  // updates
	maxBatchBytes = 32 << 20              // keys and values written
	maxBatchTime  = 20 * time.Millisecond // running updates, before the commit
)

// call is one Update on its way through the writer.
type call struct {
	ctx   context.Context
	fn    func(directory.Writer) error
	state atomic.Int32 // waiting, then running or abandoned
	done  chan error   // of length 1: the writer never waits for a caller
}

const (
	waiting = iota
	running
	abandoned
)

// PanicError is what Update returns when fn has panicked. Its text is for anybody, Value and
// Stack are for the operator.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return "store: transaction panicked" }

var errGoexit = errors.New("store: transaction ended its goroutine")

// Update has the writer run fn and waits until the batch that fn ran in is on disk.
func (s *Store) Update(ctx context.Context, fn func(directory.Writer) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.failureErr(); err != nil {
		return err
	}
	c := &call{ctx: ctx, fn: fn, done: make(chan error, 1)}
	if err := s.send(c); err != nil {
		return err
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		if c.state.CompareAndSwap(waiting, abandoned) {
			return ctx.Err()
		}
		return <-c.done
	}
}

func (s *Store) send(c *call) error {
	s.sending.RLock()
	defer s.sending.RUnlock()
	if s.closed {
		return errClosed
	}
	select {
	case s.queue <- c:
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

// write is the writer goroutine. It owns the bbolt write transaction and everything in batch.
func (s *Store) write() {
	defer s.writer.Done()
	debug.SetPanicOnFault(true)
	var g gather
	for c := range s.queue {
		if err := s.failureErr(); err != nil {
			c.done <- err
			continue
		}
		s.runBatch(c, &g)
	}
}

// gather decides how long a batch waits for more updates before its commit.
type gather struct {
	expect int           // updates answered at the last commit; as many callers may be back soon
	commit time.Duration // length of recent commits
}

// wait returns true when another update is in the queue. It gives the callers that the last
// commit has answered the time to come back, but only a part of what a commit costs; a single
// caller at a time is never waited for.
func (g *gather) wait(s *Store, ran int) bool {
	if ran >= g.expect {
		return len(s.queue) > 0
	}
	limit := min(g.commit/4, 500*time.Microsecond)
	for start := time.Now(); len(s.queue) == 0; runtime.Gosched() {
		if time.Since(start) >= limit {
			g.expect = ran
			return false
		}
	}
	return true
}

// runBatch runs c and what else is in the queue in one transaction and answers all of it.
func (s *Store) runBatch(c *call, g *gather) {
	b, err := s.newBatch()
	if err != nil {
		c.done <- err
		return
	}
	returned := false
	defer func() {
		if !returned {
			// A fn has called runtime.Goexit, which nothing stops: go on in another goroutine.
			b.broken = errGoexit
			s.finish(b)
			s.writer.Add(1)
			go s.write()
		}
	}()
	start := time.Now()
	for {
		b.run(c)
		if b.broken != nil || len(b.calls) >= maxBatch || b.bytes >= maxBatchBytes || time.Since(start) > s.batchTime {
			break
		}
		if !g.wait(s, len(b.calls)) {
			break
		}
		more := false
		if c, more = <-s.queue; !more {
			break
		}
	}
	g.expect = len(b.calls)
	start = time.Now()
	if s.finish(b) {
		g.commit = (3*g.commit + time.Since(start)) / 4
	}
	returned = true
}

// batch is the write transaction of the updates that share one commit.
type batch struct {
	s      *Store
	base   *snapshot // the last commit, under all of the batch's writes
	tx     *bbolt.Tx // begun at the first write
	tables []batchTable
	number map[string]uint64 // counters that were read or changed, by counterKey
	calls  []*call           // those that have started, with their results
	errs   []error
	bytes  int
	writes int   // of updates that have succeeded
	broken error // no commit: bbolt's transaction is in an unknown state
	undo   []undo
	key    []byte // scratch

	blocks batchBlocks
}

// batchTable holds what the batch has changed in one table. bbolt gets it late and in key order:
// a row among thousands of others in one transaction costs it a move of them all, a row behind
// them nothing, and what a failing update has written it need never know.
type batchTable struct {
	bucket  *bbolt.Bucket
	changed map[string][]byte // key -> sealed record, nil when deleted
	pending []string          // keys whose records bbolt does not have yet
}

// undo is how one write of the running update is taken back.
type undo struct {
	t    *table // nil: a number
	key  string
	prev []byte // sealed record, nil when there was none
	n    uint64
}

func (s *Store) newBatch() (*batch, error) {
	snap, err := s.acquire()
	if err != nil {
		return nil, err
	}
	return &batch{
		s:      s,
		base:   snap,
		tables: make([]batchTable, len(s.tables)),
		number: make(map[string]uint64),
	}, nil
}

// run runs one update and takes its writes back when it fails.
func (b *batch) run(c *call) {
	if err := c.ctx.Err(); err != nil || !c.state.CompareAndSwap(waiting, running) {
		c.done <- err
		return
	}
	b.calls = append(b.calls, c)
	b.errs = append(b.errs, nil)
	err := b.protect(c.fn)
	if err != nil {
		b.errs[len(b.errs)-1] = err
		b.rollback()
	}
	b.writes += len(b.undo)
	clear(b.undo)
	b.undo = b.undo[:0]
}

// protect runs fn and turns a panic into an error.
func (b *batch) protect(fn func(directory.Writer) error) (err error) {
	w := &writer{b: b}
	defer func() {
		w.done = true
		if r := recover(); r != nil {
			err = &PanicError{Value: r, Stack: debug.Stack()}
		}
	}()
	return fn(w)
}

// rollback takes back what the running update has written.
func (b *batch) rollback() {
	for i := len(b.undo) - 1; i >= 0; i-- {
		if u := &b.undo[i]; u.t == nil {
			b.number[u.key] = u.n
		} else {
			b.apply(u.t, u.key, u.prev)
		}
	}
	clear(b.undo)
	b.undo = b.undo[:0]
}

// finish commits the batch and answers its calls; true when there was a commit. Calls are
// answered after the commit even when they have failed or written nothing, because they may
// have seen what others have written.
func (s *Store) finish(b *batch) (committed bool) {
	err := b.broken
	if err == nil && b.writes > 0 {
		err = s.commit(b)
		committed = err == nil
	} else {
		b.abort()
	}
	s.release(b.base)
	for i, c := range b.calls {
		if err != nil {
			c.done <- err
		} else {
			c.done <- b.errs[i]
		}
	}
	return committed
}

// abort ends the bbolt transaction, if there is one, without a trace.
func (b *batch) abort() {
	if b.tx == nil {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			b.s.fail(fmt.Errorf("rollback: %v", r))
		}
	}()
	if err := b.tx.Rollback(); err != nil {
		b.s.fail(err)
	}
}

// commit makes the batch durable and then visible. After an error nobody knows what is on disk,
// so the store fails; the snapshot from before stays what View shows.
func (s *Store) commit(b *batch) error {
	err := b.prepare()
	if err != nil {
		// Nothing has gone to disk.
		b.abort()
		return err
	}
	s.makeRoom(b)
	if err = b.commit(); err == nil {
		var snap *snapshot
		if snap, err = s.snapshot(); err == nil {
			if b.base != nil {
				snap.cache.inherit(&b.base.cache, b.blocks.touched)
			}
			s.commits.Add(1)
			s.updates.Add(uint64(len(b.calls)))
			s.show(snap)
			return nil
		}
	}
	s.fail(err)
	s.mu.Lock()
	s.cond.Broadcast() // see makeRoom
	s.mu.Unlock()
	return s.failureErr()
}

// makeRoom is for a file that is about to outgrow the address space kept for it: then bbolt maps
// it anew and waits for all snapshots to end, so the store must not hold one itself. Views that
// start meanwhile wait for the commit.
func (s *Store) makeRoom(b *batch) {
	const pagesPerWrite = 16 // changed along a tree, with splits
	need := b.tx.Size() + b.tx.Size()/64 + int64(2*b.bytes) + int64(b.written())*pagesPerWrite*int64(b.base.pages.size) + 64<<20
	if need < s.mapped {
		return
	}
	s.release(b.base)
	b.base = nil
	s.show(nil)
}

// written is how many records the batch has changed.
func (b *batch) written() (n int) {
	for i := range b.tables {
		n += len(b.tables[i].changed)
	}
	return n
}

func (b *batch) commit() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("commit: %s", describe(r))
			defer func() { _ = recover() }() // the transaction may be in pieces
			_ = b.tx.Rollback()              // the store fails, whatever it says
		}
	}()
	return b.s.ending(b.tx)
}

// prepare gives bbolt all that the batch has changed, including the counters.
func (b *batch) prepare() (err error) {
	counters, meta := b.s.counters, b.s.meta
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %s", directory.ErrDamaged, describe(r))
		}
	}()
	for key, n := range b.number {
		prev, err := b.base.counters.number([]byte(key))
		if err != nil {
			return err
		}
		switch n {
		case prev:
		case 0:
			b.apply(counters, key, nil)
		default:
			b.apply(counters, key, counters.seal([]byte(key), numberBytes(n)))
		}
	}
	n, err := b.s.nextCommit(b.base)
	if err != nil {
		return err
	}
	b.apply(meta, string(metaCommits), meta.seal(metaCommits, numberBytes(n)))
	for _, t := range b.s.tables {
		if err := b.flush(t); err != nil {
			return err
		}
	}
	return nil
}

// apply changes a record of the transaction; rec is sealed, or nil to delete it. The committed
// pages on the way to key must have been read before, because bbolt trusts them.
func (b *batch) apply(t *table, key string, rec []byte) {
	bt := &b.tables[t.index]
	if bt.changed == nil {
		bt.changed = make(map[string][]byte)
	}
	bt.changed[key] = rec
	bt.pending = append(bt.pending, key)
	b.bytes += len(key) + len(rec)
}

// flush gives bbolt what it does not have yet of one table.
func (b *batch) flush(t *table) error {
	bt := &b.tables[t.index]
	if len(bt.pending) == 0 {
		return nil
	}
	if b.tx == nil {
		tx, err := b.s.db.Begin(true)
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		b.tx = tx
	}
	if bt.bucket == nil {
		bt.bucket = b.tx.Bucket([]byte(t.Name))
		if bt.bucket == nil {
			return fmt.Errorf("%w: table %s is missing", directory.ErrDamaged, t.Name)
		}
		if t.Sequential {
			bt.bucket.FillPercent = 0.9
		}
	}
	slices.Sort(bt.pending)
	for _, k := range slices.Compact(bt.pending) {
		var err error
		b.key = append(b.key[:0], k...)
		if rec := bt.changed[k]; rec != nil {
			err = bt.bucket.Put(b.key, rec)
		} else {
			err = bt.bucket.Delete(b.key)
		}
		if err != nil {
			return fmt.Errorf("store: table %s: %w", t.Name, err)
		}
	}
	bt.pending = bt.pending[:0]
	return nil
}

// writer is the directory.Writer of one update.
type writer struct {
	b        *batch
	scanning bool
	done     bool
}

func (w *writer) table(dt *directory.Table) (*table, error) {
	if w.done {
		return nil, errDone
	}
	if w.b.broken != nil {
		return nil, w.b.broken
	}
	t := w.b.s.byTable[dt]
	if t == nil {
		return nil, fmt.Errorf("store: no table %q", dt.Name)
	}
	return t, nil
}

// writable checks a row to write.
func (w *writer) writable(dt *directory.Table, key, value []byte) (*table, error) {
	t, err := w.table(dt)
	if err != nil {
		return nil, err
	}
	switch {
	case w.scanning:
		return nil, errors.New("store: write inside a scan")
	case len(key) == 0:
		return nil, fmt.Errorf("store: table %s: empty key", t.Name)
	case len(key) > bbolt.MaxKeySize:
		return nil, fmt.Errorf("store: table %s: key of %d bytes, at most %d", t.Name, len(key), bbolt.MaxKeySize)
	case len(value) > bbolt.MaxValueSize-recordHeader:
		return nil, fmt.Errorf("store: table %s: value of %d bytes", t.Name, len(value))
	case len(key) < t.CountPrefix:
		return nil, fmt.Errorf("store: table %s: key of %d bytes, counted by %d", t.Name, len(key), t.CountPrefix)
	}
	return t, nil
}

// get returns the sealed record and its value, nil when there is none.
func (w *writer) get(t *table, key []byte) (rec, value []byte, err error) {
	tr := &w.b.base.trees[t.index]
	defer tr.recoverDamage(&err)
	rec, changed := w.b.tables[t.index].changed[string(key)]
	if !changed {
		return tr.lookup(key)
	}
	if rec != nil {
		value, err = t.open(key, rec)
	}
	return rec, value, err
}

func (w *writer) Get(dt *directory.Table, key []byte) ([]byte, error) {
	t, err := w.table(dt)
	if err != nil {
		return nil, err
	}
	_, value, err := w.get(t, key)
	return value, err
}

func (w *writer) Insert(dt *directory.Table, key, value []byte) error {
	t, err := w.writable(dt, key, value)
	if err != nil {
		return err
	}
	prev, _, err := w.get(t, key)
	if err != nil {
		return err
	}
	if prev != nil {
		return directory.ErrExists
	}
	return w.set(t, key, nil, t.seal(key, value))
}

func (w *writer) Put(dt *directory.Table, key, value []byte) error {
	t, err := w.writable(dt, key, value)
	if err != nil {
		return err
	}
	prev, _, err := w.get(t, key)
	if err != nil {
		return err
	}
	return w.set(t, key, prev, t.seal(key, value))
}

func (w *writer) Delete(dt *directory.Table, key []byte) error {
	t, err := w.writable(dt, key, nil)
	if err != nil {
		return err
	}
	prev, _, err := w.get(t, key)
	if err != nil || prev == nil {
		return err
	}
	return w.set(t, key, prev, nil)
}

// set replaces prev by rec; nil is no record.
func (w *writer) set(t *table, key, prev, rec []byte) error {
	b := w.b
	k := string(key)
	if t.CountPrefix > 0 && (prev == nil) != (rec == nil) {
		delta := uint64(1)
		if rec == nil {
			delta = ^uint64(0) // -1
		}
		if t.blocks {
			if err := b.countInBlock(t, k, delta); err != nil {
				return err
			}
		}
		n, err := b.load(counterRows, t, key[:t.CountPrefix])
		if err != nil {
			return err
		}
		b.store(n + delta)
	}
	b.undo = append(b.undo, undo{t: t, key: k, prev: prev})
	b.apply(t, k, rec)
	return nil
}

// load returns a number and leaves its key in b.key.
func (b *batch) load(kind byte, t *table, prefix []byte) (n uint64, err error) {
	b.key = counterKey(b.key[:0], kind, t, prefix)
	return b.loadKey()
}

// loadKey returns the number under b.key.
func (b *batch) loadKey() (n uint64, err error) {
	if n, ok := b.number[string(b.key)]; ok {
		return n, nil
	}
	defer b.base.counters.recoverDamage(&err)
	if n, err = b.base.counters.number(b.key); err == nil {
		b.number[string(b.key)] = n
	}
	return n, err
}

// store changes the number that load has returned last.
func (b *batch) store(n uint64) {
	key := string(b.key)
	b.undo = append(b.undo, undo{key: key, n: b.number[key]})
	b.number[key] = n
}

func (w *writer) Count(dt *directory.Table, prefix []byte) (int64, error) {
	t, err := w.table(dt)
	if err != nil {
		return 0, err
	}
	if err := t.checkPrefix(prefix); err != nil {
		return 0, err
	}
	n, err := w.b.load(counterRows, t, prefix)
	return int64(n), err
}

func (w *writer) NextSequence(dt *directory.Table) (uint64, error) {
	t, err := w.table(dt)
	if err != nil {
		return 0, err
	}
	if w.scanning {
		return 0, errors.New("store: write inside a scan")
	}
	n, err := w.b.load(counterSequence, t, nil)
	if err != nil {
		return 0, err
	}
	w.b.store(n + 1)
	return n + 1, nil
}

func (w *writer) Scan(dt *directory.Table, r directory.Range, fn func(key, value []byte) bool) (err error) {
	t, err := w.table(dt)
	if err != nil {
		return err
	}
	tr := &w.b.base.trees[t.index]
	inside := false // in fn: its panics are its own
	was := w.scanning
	w.scanning = true
	defer func() {
		w.scanning = was
		if inside {
			return
		}
		if r := recover(); r != nil {
			err = t.damaged(nil, describe(r))
			w.b.broken = err // the panic may have come from a bbolt that was changing
		}
	}()
	call := func(key, value []byte) bool {
		inside = true
		more := fn(key, value)
		inside = false
		return more
	}
	if len(w.b.tables[t.index].changed) == 0 {
		return tr.scan(w.b.base, r, call)
	}
	return w.b.scan(t, r, call)
}

// scan walks over a table that the batch has changed, through bbolt. It walks over the last
// commit as well, one step ahead, and compares: bbolt trusts pages, so a row that only it shows
// or hides must be one that the batch has changed.
func (b *batch) scan(t *table, r directory.Range, fn func(key, value []byte) bool) error {
	bd := rangeBounds(r)
	if bd.none {
		return nil
	}
	base := b.base.trees[t.index].cursor()
	defer base.release()
	if err := base.start(bd, r.Reverse); err != nil {
		return err
	}
	if err := b.flush(t); err != nil {
		b.broken = err
		return err
	}
	changed := b.tables[t.index].changed
	m := &mixed{c: b.tables[t.index].bucket.Cursor()}
	m.start(bd, r.Reverse)
	for skip := r.Skip; ; {
		done := m.key == nil || !bd.inside(m.key, r.Reverse)
		same := false
		for base.depth > 0 && !same {
			k, _, err := base.record()
			if err != nil {
				return err
			}
			if done && !bd.inside(k, r.Reverse) {
				break
			}
			if !done {
				if c := bytes.Compare(k, m.key); c == 0 {
					same = true
				} else if (c > 0) != r.Reverse {
					break
				}
			}
			if rec, ok := changed[string(k)]; !same && (!ok || rec != nil) {
				return t.damaged(k, "record is hidden")
			}
			if err := base.advance(r.Reverse); err != nil {
				return err
			}
		}
		if done {
			return nil
		}
		if !same && changed[string(m.key)] == nil {
			return t.damaged(m.key, "record comes from nowhere")
		}
		value, err := t.open(m.key, m.rec)
		if err != nil {
			return err
		}
		if skip > 0 {
			skip--
		} else if !fn(m.key, value) {
			return nil
		}
		m.advance(r.Reverse)
	}
}

// mixed is a bbolt cursor in a transaction that has written.
type mixed struct {
	c        *bbolt.Cursor
	key, rec []byte
	first    []byte // smallest key of the table, once needed
}

func (m *mixed) start(b bounds, reverse bool) {
	switch {
	case reverse && b.to == nil:
		m.key, m.rec = m.c.Last()
	case reverse:
		if k, _ := m.c.Seek(b.to); k == nil {
			m.key, m.rec = m.c.Last()
		} else {
			m.key = k
			m.advance(true)
		}
	case b.from == nil:
		m.key, m.rec = m.c.First()
	default:
		m.key, m.rec = m.c.Seek(b.from)
		if b.open && bytes.Equal(m.key, b.from) {
			m.key, m.rec = m.c.Next()
		}
	}
}

// advance goes on to the next row. bbolt's Prev stops at a page that this transaction has
// emptied, so only having reached the first key is believed to be the end.
func (m *mixed) advance(reverse bool) {
	if !reverse {
		m.key, m.rec = m.c.Next()
		return
	}
	if m.first == nil {
		m.first, _ = m.c.Bucket().Cursor().First()
	}
	for last := m.key; ; {
		if bytes.Compare(last, m.first) <= 0 {
			m.key, m.rec = nil, nil
			return
		}
		if m.key, m.rec = m.c.Prev(); m.key != nil {
			return
		}
	}
}
