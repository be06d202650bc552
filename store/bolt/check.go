package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/bizzstream/bizzscim/directory"
)

// maxProblems is how many problems Check lists before it gives up.
const maxProblems = 100

// Check reads everything in the last commit: each record against its checksum, the order of keys,
// the counters against the rows, and that each page of the file is used once or free. It returns
// nil or all that is wrong, directory.ErrDamaged in its chain. Other transactions go on meanwhile.
// progress, if not nil, is called now and then with the rows of a table read so far.
func (s *Store) Check(ctx context.Context, progress func(table string, rows int64)) error {
	if progress == nil {
		progress = func(string, int64) {}
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	var snap *snapshot
	var free *meta
	for free == nil { // until the description of the commit has not been written over
		if err := ctx.Err(); err != nil {
			return err
		}
		s.release(snap)
		var err error
		if snap, err = s.acquire(); err != nil {
			return err
		}
		free = snap.meta()
	}
	defer s.release(snap)

	k := &checker{ctx: ctx, s: s, snap: snap, progress: progress, used: make([]bool, len(snap.pages.data)/snap.pages.size)}
	for i := range snap.trees {
		k.step(&snap.trees[i], k.rows)
	}
	root := snap.root
	k.step(&root, k.pages)
	for i := range snap.trees {
		k.step(&snap.trees[i], k.pages)
	}
	if len(k.problems) == 0 { // else pages that could not be reached would seem lost
		k.step(&root, func(*tree) error { return k.free(free) })
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return errors.Join(k.problems...)
}

type checker struct {
	ctx      context.Context
	s        *Store
	snap     *snapshot
	progress func(string, int64)
	problems []error
	used     []bool // by page number
}

func (k *checker) problem(err error) {
	if err != nil && len(k.problems) < maxProblems {
		k.problems = append(k.problems, err)
	}
}

func (k *checker) step(tr *tree, fn func(*tree) error) {
	if k.ctx.Err() != nil || len(k.problems) == maxProblems {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			k.problem(tr.t.damaged(nil, describe(r)))
		}
	}()
	k.problem(fn(tr))
}

// rows reads all rows of a table and compares its counters. A damaged record is noted and passed
// over, a damaged page ends the table.
func (k *checker) rows(tr *tree) error {
	c := tr.cursor()
	defer c.release()
	if err := c.end(false); err != nil {
		return err
	}
	var rows int64
	var last []byte
	count := counting{k: k, t: tr.t}
	for ; c.depth > 0; rows++ {
		if rows%10_000 == 0 {
			if k.ctx.Err() != nil {
				return nil
			}
			if rows > 0 {
				k.progress(tr.t.Name, rows)
			}
		}
		key, _, err := c.record()
		switch {
		case err != nil:
			k.problem(err)
			if len(k.problems) == maxProblems {
				return nil
			}
		case last != nil && bytes.Compare(last, key) >= 0:
			k.problem(tr.t.damaged(key, "records out of order"))
		case len(key) < tr.t.CountPrefix:
			k.problem(tr.t.damaged(key, "key too short to be counted"))
		case tr.t.CountPrefix > 0:
			count.row(key)
			fallthrough
		default:
			last = key
		}
		if err := c.next(); err != nil {
			return err
		}
	}
	k.progress(tr.t.Name, rows)
	if tr.t.CountPrefix > 0 {
		count.end()
	}
	return nil
}

// counting compares the counters of a table with its rows, in their order.
type counting struct {
	k      *checker
	t      *table
	prefix []byte // of the rows now; nil before the first
	rows   int64  // with it
	bl     *blocks
	block  int // that the rows are in now
	inside int // rows in it

	prefixes, blocks int64 // so far
}

func (c *counting) row(key []byte) {
	if p := key[:c.t.CountPrefix]; c.prefix == nil || !bytes.Equal(p, c.prefix) {
		c.endPrefix()
		c.prefix, c.rows, c.block, c.inside = p, 0, 0, 0
		c.prefixes++
		if c.t.blocks {
			var err error
			c.bl, err = c.k.snap.loadBlocks(c.t, p)
			c.k.problem(err)
			c.blocks += int64(len(c.bl.starts))
		}
	}
	c.rows++
	if c.t.blocks {
		for c.block+1 < len(c.bl.starts) && string(key) >= c.bl.starts[c.block+1] {
			c.endBlock()
		}
		c.inside++
	}
}

func (c *counting) endBlock() {
	want := 0
	if c.block < len(c.bl.starts) {
		want = c.bl.before[c.block+1] - c.bl.before[c.block]
	}
	if c.inside != want || want == 0 {
		c.k.problem(c.t.damaged(c.prefix, fmt.Sprintf("%d rows in block %d, counted %d", c.inside, c.block, want)))
	}
	c.block++
	c.inside = 0
}

func (c *counting) endPrefix() {
	if c.prefix == nil {
		return
	}
	n, err := c.k.snap.counters.number(counterKey(nil, counterRows, c.t, c.prefix))
	if err == nil && int64(n) != c.rows {
		err = c.t.damaged(c.prefix, fmt.Sprintf("%d rows, counted %d", c.rows, n))
	}
	c.k.problem(err)
	if c.t.blocks {
		for c.endBlock(); c.block < len(c.bl.starts); {
			c.endBlock()
		}
	}
}

// end looks for counters of rows that there are none of.
func (c *counting) end() {
	c.endPrefix()
	for kind, want := range map[byte]int64{counterRows: c.prefixes, counterBlock: c.blocks} {
		n := int64(0)
		err := c.k.snap.counters.scan(c.k.snap, directory.Range{Prefix: counterKey(nil, kind, c.t, nil)}, func(_, _ []byte) bool {
			n++
			return true
		})
		if err == nil && n != want {
			err = c.t.damaged(nil, fmt.Sprintf("%d counters of kind %c, want %d", n, kind, want))
		}
		c.k.problem(err)
	}
}

// pages marks the pages of a tree as used.
func (k *checker) pages(tr *tree) error {
	if tr.root == 0 {
		return nil
	}
	return k.mark(tr, tr.root, 0)
}

func (k *checker) mark(tr *tree, id uint64, depth int) error {
	if depth == maxDepth {
		return tr.t.damaged(nil, "pages form a loop")
	}
	p, err := k.snap.pages.page(id)
	if err != nil {
		return tr.t.damaged(nil, err.Error())
	}
	if err := k.use(id, uint64(len(p.b)/k.snap.pages.size)); err != nil {
		return tr.t.damaged(nil, err.Error())
	}
	for i := 0; !p.leaf && i < p.n; i++ {
		if err := k.mark(tr, p.child(i), depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (k *checker) use(id, n uint64) error {
	for ; n > 0; id, n = id+1, n-1 {
		if id < 2 || id >= uint64(len(k.used)) {
			return fmt.Errorf("page %d is outside the file", id)
		}
		if k.used[id] {
			return fmt.Errorf("page %d is used twice", id)
		}
		k.used[id] = true
	}
	return nil
}

// free marks the free pages and the list of them, after which every page must be marked.
func (k *checker) free(m *meta) error {
	f := &k.snap.pages
	kind, n, overflow := uint16(0), uint64(0), uint64(0)
	if last := uint64(len(k.used)); m.freelist >= 2 && m.freelist < last {
		h := f.data[m.freelist*uint64(f.size):]
		kind, n, overflow = native.Uint16(h[8:]), uint64(native.Uint16(h[10:])), uint64(native.Uint32(h[12:]))
	}
	const kindFreelist = 0x10
	if kind != kindFreelist {
		return fmt.Errorf("%w: page %d is no list of free pages", directory.ErrDamaged, m.freelist)
	}
	if err := k.use(m.freelist, overflow+1); err != nil {
		return fmt.Errorf("%w: list of free pages: %w", directory.ErrDamaged, err)
	}
	ids := f.data[m.freelist*uint64(f.size)+pageHeader:]
	if n == 0xffff { // then the first entry is the number
		n, ids = native.Uint64(ids), ids[8:]
	}
	for i := range n {
		if err := k.use(native.Uint64(ids[8*i:]), 1); err != nil {
			return fmt.Errorf("%w: list of free pages: %w", directory.ErrDamaged, err)
		}
	}
	for id := 2; id < len(k.used); id++ {
		if !k.used[id] {
			return fmt.Errorf("%w: page %d is neither used nor free", directory.ErrDamaged, id)
		}
	}
	return nil
}

// meta is what bbolt's own description of a commit says and its API does not.
type meta struct{ freelist uint64 }

// meta returns the description of the snapshot's commit, nil when two later commits have written
// over it.
func (snap *snapshot) meta() *meta {
	for i := range 2 {
		// magic, version, page size, flags uint32; root bucket 16 bytes; then uint64 each:
		// list of free pages, first page behind the file, transaction, checksum.
		b := snap.pages.data[i*snap.pages.size+pageHeader:]
		if native.Uint64(b[48:]) == uint64(snap.tx.ID()) {
			return &meta{freelist: native.Uint64(b[32:])}
		}
	}
	return nil
}
