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

// scan calls fn for the rows of the range, every one of them verified, also the skipped ones.
func (tr *tree) scan(r directory.Range, fn func(key, value []byte) bool) error {
	b := rangeBounds(r)
	if b.none {
		return nil
	}
	c := tr.cursor()
	defer c.release()
	if err := c.start(b, r.Reverse); err != nil {
		return err
	}
	for skip := r.Skip; c.depth > 0; {
		key, value, err := c.record()
		if err != nil {
			return err
		}
		if !b.inside(key, r.Reverse) {
			return nil
		}
		if skip > 0 {
			skip--
		} else if !fn(key, value) {
			return nil
		}
		if err := c.advance(r.Reverse); err != nil {
			return err
		}
	}
	return nil
}
