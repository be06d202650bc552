package bolt

import (
	"bytes"

	"github.com/bizzstream/bizzscim/directory"
)

// bounds turns a range into the keys it lies between. from is included unless open; a nil
// bound is none.
type bounds struct {
	from, to []byte
	open     bool // from itself is out
	none     bool
}

func rangeBounds(r directory.Range) bounds {
	b := bounds{from: r.Prefix, to: successor(r.Prefix)}
	if len(b.from) == 0 {
		b.from = nil
	}
	switch {
	case r.After == nil:
	case r.Reverse:
		if b.to == nil || bytes.Compare(r.After, b.to) < 0 {
			b.to = r.After
		}
	default:
		if bytes.Compare(r.After, b.from) >= 0 {
			b.from, b.open = r.After, true
		}
	}
	b.none = b.to != nil && bytes.Compare(b.from, b.to) >= 0
	return b
}

// successor returns the smallest key above all keys with the prefix, nil when there is none.
func successor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			s := bytes.Clone(prefix[:i+1])
			s[i]++
			return s
		}
	}
	return nil
}

// start moves the cursor to the first row of the range, which may lie beyond its other bound;
// depth is 0 when there is no row. The row just outside is verified, because a row of the range
// may have come to lie there by damage to its key.
func (c *cursor) start(b bounds, reverse bool) error {
	bound := b.from
	if reverse {
		bound = b.to
	}
	if bound == nil {
		return c.end(reverse)
	}
	found, err := c.seek(bound)
	if err != nil {
		return err
	}
	if reverse {
		if !found {
			err = c.settle()
		}
		if err != nil {
			return err
		}
		if c.depth == 0 {
			return c.end(true)
		}
		if k, _, err := c.record(); err != nil {
			return err
		} else if bytes.Compare(k, bound) < 0 {
			return c.tree.t.damaged(bound, "records out of order")
		}
		return c.prev()
	}
	if !found {
		return c.verifyBefore(bound)
	}
	if b.open {
		if _, _, err := c.record(); err != nil {
			return err
		}
		return c.next()
	}
	return nil
}

func (c *cursor) advance(reverse bool) error {
	if reverse {
		return c.prev()
	}
	return c.next()
}

// inside tells whether key, reached in scan order, is still in the range.
func (b *bounds) inside(key []byte, reverse bool) bool {
	if reverse {
		if b.from == nil {
			return true
		}
		d := bytes.Compare(key, b.from)
		return d > 0 || d == 0 && !b.open
	}
	return b.to == nil || bytes.Compare(key, b.to) < 0
}

// scan calls fn for the rows of the range, every one of them verified. Of skipped rows it knows
// from the pages, or from the blocks, how many there are.
func (tr *tree) scan(snap *snapshot, r directory.Range, fn func(key, value []byte) bool) error {
	b, skip := rangeBounds(r), r.Skip
	if b.none {
		return nil
	}
	if skip >= skipByBlocks && tr.t.blocks && r.After == nil && len(r.Prefix) == tr.t.CountPrefix {
		bl, err := snap.blocks(tr.t, r.Prefix)
		if err != nil {
			return err
		}
		if skip = bl.skip(&b, skip, r.Reverse); b.none {
			return nil
		}
	}
	c := tr.cursor()
	defer c.release()
	if err := c.start(b, r.Reverse); err != nil {
		return err
	}
	if err := c.skip(skip, b, r.Reverse); err != nil {
		return err
	}
	for c.depth > 0 {
		key, value, err := c.record()
		if err != nil {
			return err
		}
		if !b.inside(key, r.Reverse) || !fn(key, value) {
			return nil
		}
		if err := c.advance(r.Reverse); err != nil {
			return err
		}
	}
	return nil
}

// skip passes n rows, whole pages by their number of rows; the row it stops at may be behind the
// range.
func (c *cursor) skip(n int, b bounds, reverse bool) error {
	for n > 0 && c.depth > 0 {
		top := &c.stack[c.depth-1]
		rest := top.p.n - top.i // rows of the page from here on
		if reverse {
			rest = top.i + 1
		}
		if n < rest {
			if reverse {
				n = -n
			}
			top.i += n
			return nil
		}
		n -= rest
		top.i = top.p.n - 1
		if reverse {
			top.i = 0
		}
		if k, err := top.p.key(top.i); err != nil || !b.inside(k, reverse) {
			// The range ends in this page, and fewer rows are left than to skip. Only a good
			// record is believed to say so.
			_, _, err := c.record()
			c.depth = 0
			return err
		}
		if err := c.advance(reverse); err != nil {
			return err
		}
	}
	return nil
}
