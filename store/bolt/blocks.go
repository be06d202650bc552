package bolt

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/bizzstream/bizzscim/directory"
)

// The rows of tables that are counted and sequential, which are those that are listed by pages,
// are also counted in blocks: a counter for each stretch of keys of about blockRows rows. So a
// scan that skips many rows knows which block to start in. The counters are records like others,
// written in the transaction of the rows, so that they are right in every snapshot.
//
// A block holds the rows from its first key to that of the next one under the same prefix. The
// first block's key is the prefix itself. A block is begun by a row behind all others once the
// last block is full; one without rows is not stored. Blocks are never split: where keys come in
// no order they grow, and skipping in them costs a look at each page.
const (
	blockRows    = 128
	skipByBlocks = 2 * blockRows // below, looking at pages is as fast
)

// blocks are those of one prefix in one snapshot.
type blocks struct {
	starts []string // first keys
	before []int    // rows before each block; at the end: all rows
}

// blockCache holds the blocks that scans of a snapshot have needed.
type blockCache struct {
	mu sync.Mutex
	m  map[string]*blocks // by counterKey of table and prefix
}

// inherit takes over what the commit that follows old has not changed.
func (c *blockCache) inherit(old *blockCache, touched map[string]bool) {
	old.mu.Lock()
	defer old.mu.Unlock()
	c.m = maps.Clone(old.m)
	for key := range touched {
		delete(c.m, key)
	}
}

// blocks returns the blocks of a prefix, or none when they do not account for all its rows.
func (snap *snapshot) blocks(t *table, prefix []byte) (*blocks, error) {
	key := counterKey(nil, counterBlock, t, prefix)
	c := &snap.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if bl := c.m[string(key)]; bl != nil {
		return bl, nil
	}
	bl, err := snap.loadBlocks(t, prefix)
	if err != nil {
		return nil, err
	}
	n, err := snap.counters.number(counterKey(nil, counterRows, t, prefix))
	if err != nil {
		return nil, err
	}
	if int(n) != bl.before[len(bl.starts)] {
		bl = &blocks{before: []int{0}} // Check will tell why
	}
	if c.m == nil {
		c.m = make(map[string]*blocks)
	}
	c.m[string(key)] = bl
	return bl, nil
}

func (snap *snapshot) loadBlocks(t *table, prefix []byte) (*blocks, error) {
	bl := &blocks{before: []int{0}}
	own := len(counterKey(nil, counterBlock, t, nil))
	rows := 0
	var bad error
	err := snap.counters.scan(snap, directory.Range{Prefix: counterKey(nil, counterBlock, t, prefix)}, func(k, v []byte) bool {
		if len(v) != 8 {
			bad = snap.counters.t.damaged(k, "not a number")
			return false
		}
		rows += int(binary.BigEndian.Uint64(v))
		bl.starts = append(bl.starts, string(k[own:]))
		bl.before = append(bl.before, rows)
		return true
	})
	return bl, errors.Join(err, bad)
}

// skip narrows the range to the block that the row behind the skipped ones lies in and returns
// how many rows are then left to skip.
func (bl *blocks) skip(b *bounds, n int, reverse bool) int {
	all := bl.before[len(bl.starts)]
	switch {
	case all == 0: // none are known
		return n
	case n >= all:
		b.none = true
		return 0
	}
	at := n // the row to go to, from the front
	if reverse {
		at = all - 1 - n
	}
	i := sort.SearchInts(bl.before, at+1) - 1
	if !reverse {
		b.from, b.open = []byte(bl.starts[i]), false
		return at - bl.before[i]
	}
	if i+1 < len(bl.starts) {
		b.to = []byte(bl.starts[i+1])
	}
	return bl.before[i+1] - 1 - at
}

// batchBlocks is what a batch knows of blocks.
type batchBlocks struct {
	begun   []string          // counter keys of blocks begun in the batch, sorted; perhaps empty ones
	highest map[string]string // by counterKey of table and prefix: highest key that was inserted
	touched map[string]bool   // by the same: a block has changed
	lo, hi  string            // the block used last: its counter key and the next one's, "" if none
}

// countInBlock adds delta to the block that a row belongs to.
func (b *batch) countInBlock(t *table, key string, delta uint64) (err error) {
	defer b.base.counters.recoverDamage(&err)
	bb := &b.blocks
	if bb.touched == nil {
		bb.touched, bb.highest = make(map[string]bool), make(map[string]string)
	}
	b.key = counterKey(b.key[:0], counterBlock, t, []byte(key))
	at := string(b.key)
	prefix := at[:len(at)-len(key)+t.CountPrefix]
	if !strings.HasPrefix(bb.lo, prefix) || at < bb.lo || bb.hi != "" && at >= bb.hi {
		if err := b.findBlock(prefix, at); err != nil {
			return err
		}
	}
	b.key = append(b.key[:0], bb.lo...)
	n, err := b.loadKey()
	if err != nil {
		return err
	}
	if delta == 1 {
		if n >= blockRows && bb.hi == "" && key > bb.highest[prefix] {
			last := ""
			err := b.base.trees[t.index].scan(b.base, directory.Range{Prefix: []byte(key[:t.CountPrefix]), Reverse: true}, func(k, _ []byte) bool {
				last = string(k)
				return false
			})
			if err != nil {
				return err
			}
			if key > last {
				i, _ := slices.BinarySearch(bb.begun, at)
				bb.begun = slices.Insert(bb.begun, i, at)
				bb.lo = at
				b.key = append(b.key[:0], at...)
				if n, err = b.loadKey(); err != nil {
					return err
				}
			}
		}
		bb.highest[prefix] = max(bb.highest[prefix], key)
	}
	bb.touched[prefix] = true
	b.store(n + delta)
	return nil
}

// findBlock sets lo and hi to the block that at, a counter key, lies in. Blocks that have lost
// all rows in this batch still count: they are as good as limits.
func (b *batch) findBlock(prefix, at string) error {
	bb := &b.blocks
	bb.lo, bb.hi = prefix, ""
	err := b.base.counters.scan(b.base, directory.Range{Prefix: []byte(prefix), After: []byte(at + "\x00"), Reverse: true}, func(k, _ []byte) bool {
		bb.lo = string(k)
		return false
	})
	if err == nil {
		err = b.base.counters.scan(b.base, directory.Range{Prefix: []byte(prefix), After: []byte(at)}, func(k, _ []byte) bool {
			bb.hi = string(k)
			return false
		})
	}
	if err != nil {
		return err
	}
	i, found := slices.BinarySearch(bb.begun, at)
	if found {
		i++
	}
	if i > 0 && strings.HasPrefix(bb.begun[i-1], prefix) {
		bb.lo = max(bb.lo, bb.begun[i-1])
	}
	if i < len(bb.begun) && strings.HasPrefix(bb.begun[i], prefix) && (bb.hi == "" || bb.begun[i] < bb.hi) {
		bb.hi = bb.begun[i]
	}
	return nil
}
