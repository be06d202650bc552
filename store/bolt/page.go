package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"
)

// This file reads the pages of a committed snapshot without bbolt's cursors. bbolt trusts what
// it finds in a page: measured, one flipped bit made it answer wrongly, crash or never return.
// Record checksums alone do not help against a record that a damaged page hides. So each page
// on the way to an answer is checked for what bbolt's writer always leaves behind:
//
//   - a page carries its own number and one of two kinds;
//   - its elements lie one behind the other without a gap, the first one right behind the
//     element headers, the last one ending in the last of the page's overflow pages (so the
//     number of elements and of overflow pages cannot change unseen);
//   - its keys lie between the key that led to it and the next one there;
//   - a page other than the root is never empty.
//
// An answer "there is none" also verifies the records on both sides of the gap.

const (
	pageHeader = 16 // number uint64, kind uint16, elements uint16, overflow uint32
	elemHeader = 16
	kindBranch = 1
	kindLeaf   = 2
	maxDepth   = 64 // far above any real tree; ends a walk through a loop of pages
)

var native = binary.NativeEndian // bbolt writes its structs as they lie in memory

// pages is the file as one snapshot sees it.
type pages struct {
	data []byte // from the start of the file to the snapshot's last page
	size int    // of a page
}

type page struct {
	b    []byte // header, element headers, keys and values, including overflow pages
	n    int    // elements
	leaf bool
}

// page returns page id after checking its header and extent.
func (f *pages) page(id uint64) (page, error) {
	last := uint64(len(f.data) / f.size)
	if id < 2 || id >= last {
		return page{}, fmt.Errorf("page %d is outside the file", id)
	}
	b := f.data[id*uint64(f.size):]
	if got := native.Uint64(b); got != id {
		return page{}, fmt.Errorf("page %d says it is page %d", id, got)
	}
	overflow := uint64(native.Uint32(b[12:]))
	if id+overflow >= last {
		return page{}, fmt.Errorf("page %d reaches beyond the file", id)
	}
	b = b[:(overflow+1)*uint64(f.size)]
	p, end, err := parsePage(b)
	if err != nil {
		return page{}, fmt.Errorf("page %d: %w", id, err)
	}
	if uint64(end-1)/uint64(f.size) != overflow {
		return page{}, fmt.Errorf("page %d has a wrong number of overflow pages", id)
	}
	return p, nil
}

// parsePage checks what can be told from b alone and returns where the last element ends.
func parsePage(b []byte) (p page, end int, err error) {
	if len(b) < pageHeader {
		return page{}, 0, fmt.Errorf("%d bytes are no page", len(b))
	}
	kind := native.Uint16(b[8:])
	p = page{b: b, n: int(native.Uint16(b[10:])), leaf: kind == kindLeaf}
	if kind != kindLeaf && kind != kindBranch {
		return page{}, 0, fmt.Errorf("unknown kind %#x", kind)
	}
	if p.n == 0 {
		// An empty page is written zeroed; anything else lost its count.
		for _, c := range b[pageHeader:min(len(b), pageHeader+elemHeader)] {
			if c != 0 {
				return page{}, 0, fmt.Errorf("says it is empty and is not")
			}
		}
		return p, pageHeader, nil
	}
	if pageHeader+p.n*elemHeader > len(b) {
		return page{}, 0, fmt.Errorf("%d elements do not fit", p.n)
	}
	if start, _, _ := p.extent(0); start != pageHeader+p.n*elemHeader {
		return page{}, 0, fmt.Errorf("%d elements do not match the place of the first", p.n)
	}
	_, _, end = p.extent(p.n - 1)
	if end > len(b) {
		return page{}, 0, fmt.Errorf("last element ends outside")
	}
	return p, end, nil
}

// extent returns where the key of element i starts, where its value starts and ends; a branch
// element has no value. Nothing is checked.
func (p *page) extent(i int) (key, value, end int) {
	at := pageHeader + i*elemHeader
	h := p.b[at : at+elemHeader]
	if p.leaf {
		key = at + int(native.Uint32(h[4:]))
		value = key + int(native.Uint32(h[8:]))
		return key, value, value + int(native.Uint32(h[12:]))
	}
	key = at + int(native.Uint32(h))
	value = key + int(native.Uint32(h[4:]))
	return key, value, value
}

// key returns the key of element i, which the caller has not verified yet.
func (p *page) key(i int) ([]byte, error) {
	start, end, _ := p.extent(i)
	if start < pageHeader || end <= start || end > len(p.b) {
		return nil, fmt.Errorf("element %d lies outside its page", i)
	}
	return p.b[start:end:end], nil
}

// child returns the page number in element i of a branch.
func (p *page) child(i int) uint64 {
	return native.Uint64(p.b[pageHeader+i*elemHeader+8:])
}

// element returns key and value of element i of a leaf after checking that it starts where the
// one before it ends.
func (p *page) element(i int) (flags uint32, key, value []byte, err error) {
	start, mid, end := p.extent(i)
	before := pageHeader + p.n*elemHeader
	if i > 0 {
		_, _, before = p.extent(i - 1)
	}
	if start != before || mid <= start || end < mid || end > len(p.b) {
		return 0, nil, nil, fmt.Errorf("element %d is not where it belongs", i)
	}
	return native.Uint32(p.b[pageHeader+i*elemHeader:]), p.b[start:mid:mid], p.b[mid:end:end], nil
}

// search returns the first element whose key is not below key.
func (p *page) search(key []byte) (i int, equal bool, err error) {
	lo, hi := 0, p.n
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		k, err := p.key(m)
		if err != nil {
			return 0, false, err
		}
		switch c := bytes.Compare(k, key); {
		case c == 0:
			return m, true, nil
		case c < 0:
			lo = m + 1
		default:
			hi = m
		}
	}
	return lo, false, nil
}

// within checks that all keys are at least lo and below hi; nil is no bound.
func (p *page) within(lo, hi []byte) error {
	if lo != nil {
		if k, err := p.key(0); err != nil {
			return err
		} else if bytes.Compare(k, lo) < 0 {
			return fmt.Errorf("first key is below the key in the branch")
		}
	}
	if hi != nil {
		if k, err := p.key(p.n - 1); err != nil {
			return err
		} else if bytes.Compare(k, hi) >= 0 {
			return fmt.Errorf("last key is not below the next key in the branch")
		}
	}
	return nil
}

// tree is one table in one snapshot. A small table lies inside the page that names it.
type tree struct {
	t      *table
	pages  *pages
	root   uint64
	inline []byte // page when root is 0
}

func (tr *tree) rootPage() (page, error) {
	if tr.root != 0 {
		return tr.pages.page(tr.root)
	}
	p, end, err := parsePage(tr.inline)
	if err == nil && (!p.leaf || end != len(tr.inline)) {
		err = fmt.Errorf("inline page does not fill its place")
	}
	return p, err
}

// cursor walks over a tree. It is large and comes from a pool.
type cursor struct {
	tree  *tree
	depth int // frames in use; 0: beyond either end
	stack [maxDepth]frame
}

var cursors = sync.Pool{New: func() any { return new(cursor) }}

func (tr *tree) cursor() *cursor {
	c := cursors.Get().(*cursor) //nolint:forcetypeassert // the pool holds nothing else
	c.tree, c.depth = tr, 0
	return c
}

func (c *cursor) release() {
	c.tree = nil
	cursors.Put(c)
}

// frame is a page on the way to the current element, i the element, hi the bound of the page; nil: none.
type frame struct {
	p  page
	i  int
	hi []byte
}

func (c *cursor) damaged(key []byte, err error) error {
	return c.tree.t.damaged(key, err.Error())
}

func (c *cursor) push(f frame) error {
	if c.depth == maxDepth {
		return fmt.Errorf("pages form a loop")
	}
	c.stack[c.depth] = f
	c.depth++
	return nil
}

func (c *cursor) pushRoot() error {
	c.depth = 0
	p, err := c.tree.rootPage()
	if err != nil {
		return err
	}
	if p.n == 0 && !p.leaf {
		return fmt.Errorf("empty branch")
	}
	return c.push(frame{p: p})
}

// pushChild goes down into the element that the top frame, a branch, stands on.
func (c *cursor) pushChild() error {
	top := &c.stack[c.depth-1]
	lo, err := top.p.key(top.i)
	if err != nil {
		return err
	}
	hi := top.hi
	if top.i+1 < top.p.n {
		if hi, err = top.p.key(top.i + 1); err != nil {
			return err
		}
	}
	p, err := c.tree.pages.page(top.p.child(top.i))
	if err != nil {
		return err
	}
	if p.n == 0 {
		return fmt.Errorf("empty page below a branch")
	}
	if err := p.within(lo, hi); err != nil {
		return err
	}
	return c.push(frame{p: p, hi: hi})
}

// descend goes down to a leaf along the first or last elements.
func (c *cursor) descend(last bool) error {
	for {
		top := &c.stack[c.depth-1]
		if last {
			top.i = top.p.n - 1
		} else {
			top.i = 0
		}
		if top.p.leaf {
			return nil
		}
		if err := c.pushChild(); err != nil {
			return err
		}
	}
}

// seek moves to key, or to where it would be: the element there, if any, is above key, and
// may be one behind the last of its page.
func (c *cursor) seek(key []byte) (found bool, err error) {
	if err := c.pushRoot(); err != nil {
		return false, c.damaged(key, err)
	}
	for {
		top := &c.stack[c.depth-1]
		i, equal, err := top.p.search(key)
		if err != nil {
			return false, c.damaged(key, err)
		}
		top.i = i
		if top.p.leaf {
			return equal, nil
		}
		if !equal && i > 0 {
			top.i--
		}
		if err := c.pushChild(); err != nil {
			return false, c.damaged(key, err)
		}
	}
}

// end moves to the first or last element; depth is 0 when there is none.
func (c *cursor) end(last bool) error {
	err := c.pushRoot()
	if err == nil && c.stack[0].p.n == 0 {
		c.depth = 0
		return nil
	}
	if err == nil {
		err = c.descend(last)
	}
	if err != nil {
		return c.damaged(nil, err)
	}
	return nil
}

// settle goes on to the next page when seek has stopped behind the last element of one.
func (c *cursor) settle() error {
	if top := &c.stack[c.depth-1]; top.i < top.p.n {
		return nil
	}
	return c.nextPage()
}

func (c *cursor) next() error {
	top := &c.stack[c.depth-1]
	if top.i++; top.i < top.p.n {
		return nil
	}
	return c.nextPage()
}

func (c *cursor) nextPage() error {
	for c.depth--; c.depth > 0; c.depth-- {
		top := &c.stack[c.depth-1]
		if top.i+1 < top.p.n {
			top.i++
			return c.down(false)
		}
	}
	return nil
}

func (c *cursor) prev() error {
	if top := &c.stack[c.depth-1]; top.i > 0 {
		top.i--
		return nil
	}
	return c.prevPage()
}

func (c *cursor) prevPage() error {
	for c.depth--; c.depth > 0; c.depth-- {
		top := &c.stack[c.depth-1]
		if top.i > 0 {
			top.i--
			return c.down(true)
		}
	}
	return nil
}

func (c *cursor) down(last bool) error {
	err := c.pushChild()
	if err == nil {
		err = c.descend(last)
	}
	if err != nil {
		return c.damaged(nil, err)
	}
	return nil
}

// record returns the key and value under the cursor, verified.
func (c *cursor) record() (key, value []byte, err error) {
	key, _, value, err = c.sealed()
	return key, value, err
}

func (c *cursor) sealed() (key, rec, value []byte, err error) {
	top := &c.stack[c.depth-1]
	flags, key, rec, err := top.p.element(top.i)
	if err != nil {
		return nil, nil, nil, c.damaged(nil, err)
	}
	if flags != 0 {
		return nil, nil, nil, c.tree.t.damaged(key, "not a record")
	}
	value, err = c.tree.t.open(key, rec)
	return key, rec, value, err
}

// get returns the value under key, nil when there is none.
func (tr *tree) get(key []byte) ([]byte, error) {
	_, value, err := tr.lookup(key)
	return value, err
}

// lookup returns the record under key, as it is stored, and the value in it.
func (tr *tree) lookup(key []byte) (rec, value []byte, err error) {
	c := tr.cursor()
	defer c.release()
	found, err := c.seek(key)
	if err != nil {
		return nil, nil, err
	}
	if found {
		_, rec, value, err = c.sealed()
		return rec, value, err
	}
	if err := c.verifyBefore(key); err != nil {
		return nil, nil, err
	}
	return nil, nil, c.verifyHere(key)
}

// verifyBefore checks the record before the place where seek has not found key, then moves to
// the one behind it.
func (c *cursor) verifyBefore(key []byte) error {
	if err := c.prev(); err != nil {
		return err
	}
	if c.depth == 0 {
		return c.end(false)
	}
	k, _, err := c.record()
	if err != nil {
		return err
	}
	if bytes.Compare(k, key) >= 0 {
		return c.tree.t.damaged(key, "records out of order")
	}
	return c.next()
}

// verifyHere checks that the record under the cursor, if any, is above key.
func (c *cursor) verifyHere(key []byte) error {
	if c.depth == 0 {
		return nil
	}
	k, _, err := c.record()
	if err != nil {
		return err
	}
	if bytes.Compare(k, key) <= 0 {
		return c.tree.t.damaged(key, "records out of order")
	}
	return nil
}
