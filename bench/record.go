package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/store/bolt"
)

// recorder is a store that notes what each update writes, so that the floors write the same.
type recorder struct {
	directory.Store
	mu      sync.Mutex
	updates [][]Write
}

func (r *recorder) Update(ctx context.Context, fn func(directory.Writer) error) error {
	var writes []Write
	err := r.Store.Update(ctx, func(w directory.Writer) error {
		writes = nil
		return fn(&recordingWriter{w, &writes})
	})
	if err == nil {
		r.mu.Lock()
		r.updates = append(r.updates, writes)
		r.mu.Unlock()
	}
	return err
}

type recordingWriter struct {
	directory.Writer
	writes *[]Write
}

func (w *recordingWriter) Insert(t *directory.Table, key, value []byte) error {
	return w.write(t, key, value, w.Writer.Insert)
}

func (w *recordingWriter) Put(t *directory.Table, key, value []byte) error {
	return w.write(t, key, value, w.Writer.Put)
}

func (w *recordingWriter) write(t *directory.Table, key, value []byte, write func(*directory.Table, []byte, []byte) error) error {
	old, err := w.Get(t, key)
	if err != nil {
		return err
	}
	*w.writes = append(*w.writes, Write{Table: t.Name, Key: len(key), Value: len(value), Sequential: t.Sequential, Replace: old != nil})
	return write(t, key, value)
}

// Delete is not for the floors: no request that is compared with one deletes anything.
func (w *recordingWriter) Delete(t *directory.Table, key []byte) error {
	if old, err := w.Get(t, key); err != nil || old == nil {
		return err
	}
	return errors.New("bench: a request deletes rows now: teach the floors to do so")
}

// recorded is what the requests write that are compared with a floor.
type recorded struct{ create, patch []Write }

// record runs these requests on a server of its own, in dir, and looks at what they write.
func record(ctx context.Context, dir string) (all recorded, err error) {
	st, err := bolt.Open(filepath.Join(dir, "store.db"), bolt.Options{})
	if err != nil {
		return all, err
	}
	r := &recorder{Store: st}
	a, err := startApp(ctx, dir, Options{}, r)
	if err != nil {
		return all, errors.Join(err, st.Close())
	}
	defer func() { err = errors.Join(err, a.Close(ctx)) }() // and the store
	token, err := addTenant(ctx, a.Service(), "record")
	if err != nil {
		return all, err
	}
	b := &bench{server: &child{Address: a.Addr().String()}}
	t := &tenant{b: b, name: "record", token: token}
	c, err := dial(ctx, b.server.Address)
	if err != nil {
		return all, err
	}
	defer c.Close()
	ids := make([]string, 1)
	create := t.creator(func() int { return 0 }, 1)
	patch := t.patcher(ids, func() int { return 0 })
	// The note of the token's first use is an update too, at any time: it is told by its table.
	last := func(table string) []Write {
		r.mu.Lock()
		defer r.mu.Unlock()
		for i := len(r.updates) - 1; i >= 0; i-- {
			for _, w := range r.updates[i] {
				if w.Table == table {
					return r.updates[i]
				}
			}
		}
		return nil
	}
	if err := errors.Join(c.do(create.next()), create.seenID(ids)(c)); err != nil {
		return all, fmt.Errorf("record: %w", err)
	}
	all.create = last("users")
	if err := c.do(patch.next()); err != nil {
		return all, fmt.Errorf("record: %w", err)
	}
	all.patch = last("users")
	return all, nil
}

// size is how much writes add up to.
func size(writes []Write) (n int) {
	for _, w := range writes {
		n += w.Key + w.Value
	}
	return n
}
