package scim_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/bizzstream/bizzscim/directory"
)

// memory is a directory.Store of sorted lists: nothing but the contract. What is listed must not hang on how bbolt
// does it.
type memory struct {
	mu        sync.RWMutex // held by an Update alone, and by every View
	rows      map[*directory.Table][]memoryRow
	sequences map[*directory.Table]uint64
	failed    chan struct{}
}

type memoryRow struct{ key, value []byte }

func newMemory() *memory {
	return &memory{rows: map[*directory.Table][]memoryRow{}, sequences: map[*directory.Table]uint64{}, failed: make(chan struct{})}
}

func (m *memory) View(ctx context.Context, fn func(directory.Reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return fn(memoryTx{m: m})
}

func (m *memory) Update(ctx context.Context, fn func(directory.Writer) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	undo := []func(){}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
		for i := len(undo) - 1; err != nil && i >= 0; i-- {
			undo[i]()
		}
	}()
	return fn(memoryTx{m, &undo})
}

func (m *memory) Failed() <-chan struct{}     { return m.failed }
func (m *memory) Stats() directory.StoreStats { return directory.StoreStats{} }
func (m *memory) Close() error                { return nil }

type memoryTx struct {
	m    *memory
	undo *[]func()
}

func (tx memoryTx) find(t *directory.Table, key []byte) (int, bool) {
	return slices.BinarySearchFunc(tx.m.rows[t], key, func(r memoryRow, key []byte) int { return bytes.Compare(r.key, key) })
}

func (tx memoryTx) Get(t *directory.Table, key []byte) ([]byte, error) {
	if i, found := tx.find(t, key); found {
		return tx.m.rows[t][i].value, nil
	}
	return nil, nil
}

func (tx memoryTx) Scan(t *directory.Table, r directory.Range, fn func(key, value []byte) bool) error {
	rows := slices.Clone(tx.m.rows[t])
	if r.Reverse {
		slices.Reverse(rows)
	}
	for _, row := range rows {
		c := bytes.Compare(row.key, r.After)
		if r.Reverse {
			c = -c
		}
		if !bytes.HasPrefix(row.key, r.Prefix) || r.After != nil && c <= 0 {
			continue
		}
		if r.Skip > 0 {
			r.Skip--
			continue
		}
		if !fn(row.key, row.value) {
			return nil
		}
	}
	return nil
}

func (tx memoryTx) Count(t *directory.Table, prefix []byte) (n int64, err error) {
	err = tx.Scan(t, directory.Range{Prefix: prefix}, func(_, _ []byte) bool { n++; return true })
	return n, err
}

// set puts a row in, or takes it out where value is nil.
func (tx memoryTx) set(t *directory.Table, key, value []byte) {
	i, found := tx.find(t, key)
	rows := tx.m.rows[t]
	switch {
	case found && value == nil:
		tx.m.rows[t] = slices.Delete(rows, i, i+1)
	case found:
		rows[i].value = value
	case value != nil:
		tx.m.rows[t] = slices.Insert(rows, i, memoryRow{key, value})
	}
}

func (tx memoryTx) change(t *directory.Table, key, value []byte) {
	key = bytes.Clone(key)
	before, _ := tx.Get(t, key)
	*tx.undo = append(*tx.undo, func() { tx.set(t, key, before) })
	tx.set(t, key, value)
}

func (tx memoryTx) Insert(t *directory.Table, key, value []byte) error {
	if _, found := tx.find(t, key); found {
		return directory.ErrExists
	}
	return tx.Put(t, key, value)
}

func (tx memoryTx) Put(t *directory.Table, key, value []byte) error {
	tx.change(t, key, append([]byte{}, value...))
	return nil
}

func (tx memoryTx) Delete(t *directory.Table, key []byte) error {
	tx.change(t, key, nil)
	return nil
}

func (tx memoryTx) NextSequence(t *directory.Table) (uint64, error) {
	before := tx.m.sequences[t]
	*tx.undo = append(*tx.undo, func() { tx.m.sequences[t] = before })
	tx.m.sequences[t]++
	return before + 1, nil
}
