package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/bizzstream/bizzscim/directory"
)

// The benchmarks write what the creation of a user writes: a document of 1.2 KB and five index
// rows. "raw" is the floor: the same keys and values by bbolt alone, without checksums, counters
// or checks; with one writer its commits are B1 of docs/performance.md, with more BG.

type benchRow struct {
	table      *directory.Table
	key, value []byte
}

var (
	benchTenant = []byte("0123456789abcdef")
	benchDoc    = make([]byte, 1200)
	benchTables = []*directory.Table{users, tableNamed("user_name"), tableNamed("user_object"), tableNamed("user_email"), tableNamed("user_external"), logTable}
)

// benchUser returns the rows of user n: ids ascend, names are at random.
func benchUser(n uint64) []benchRow {
	key := func(parts ...[]byte) []byte {
		k := append([]byte(nil), benchTenant...)
		for _, p := range parts {
			k = append(k, p...)
		}
		return k
	}
	id := binary.BigEndian.AppendUint64(make([]byte, 8, 16), n)
	name := fmt.Appendf(nil, "user%016x@example.com", n*0x9e3779b97f4a7c15)
	return []benchRow{
		{benchTables[0], key(id), benchDoc},
		{benchTables[1], key(name), id},
		{benchTables[2], key(name[4:20], id), nil},
		{benchTables[3], key(name, id), nil},
		{benchTables[4], key(name[4:20], id), nil},
		{benchTables[5], key(id), benchDoc[:200]},
	}
}

func (r *benchRow) put(w directory.Writer) error { return w.Put(r.table, r.key, r.value) }

const benchUsers = 20_000

// benchUpdates runs b.N updates by the given number of writers.
func benchUpdates(b *testing.B, writers int, update func(n uint64) error) {
	var next atomic.Uint64
	next.Store(benchUsers)
	b.ResetTimer()
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > benchUsers+uint64(b.N) {
					return
				}
				if err := update(n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
}

func BenchmarkUpdate(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("raw/%d", writers), func(b *testing.B) {
			update := rawStore(b)
			benchUpdates(b, writers, update)
		})
		b.Run(fmt.Sprintf("store/%d", writers), func(b *testing.B) {
			s := filledStore(b, benchUsers)
			before := s.Stats()
			benchUpdates(b, writers, func(n uint64) error {
				rows := benchUser(n)
				return s.Update(bg, func(w directory.Writer) error {
					for i := range rows {
						if err := w.Insert(rows[i].table, rows[i].key, rows[i].value); err != nil {
							return err
						}
					}
					return nil
				})
			})
			after := s.Stats()
			b.ReportMetric(float64(after.Updates-before.Updates)/float64(after.Commits-before.Commits), "updates/commit")
		})
	}
}

// rawStore is a group commit without anything else: one goroutine takes what is in the queue.
func rawStore(b *testing.B) func(n uint64) error {
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "raw.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoStatistics: true, InitialMmapSize: 8 << 30})
	if err != nil {
		b.Fatal(err)
	}
	buckets := func(tx *bbolt.Tx) map[*directory.Table]*bbolt.Bucket {
		m := make(map[*directory.Table]*bbolt.Bucket)
		for _, t := range benchTables {
			m[t] = tx.Bucket([]byte(t.Name))
			if t.Sequential {
				m[t].FillPercent = 0.9
			}
		}
		return m
	}
	put := func(m map[*directory.Table]*bbolt.Bucket, rows []benchRow) error {
		var err error
		for i := range rows {
			err = errors.Join(err, m[rows[i].table].Put(rows[i].key, rows[i].value))
		}
		return err
	}
	if err := db.Update(func(tx *bbolt.Tx) error {
		for _, t := range benchTables {
			if _, err := tx.CreateBucket([]byte(t.Name)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	for n := uint64(0); n < benchUsers; n += 1000 {
		if err := db.Update(func(tx *bbolt.Tx) error {
			m := buckets(tx)
			for i := range uint64(1000) {
				if err := put(m, benchUser(n+i)); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	type call struct {
		rows []benchRow
		done chan error
	}
	queue := make(chan call, 1024)
	var writer sync.WaitGroup
	writer.Go(func() {
		for c := range queue {
			var calls []call
			err := db.Update(func(tx *bbolt.Tx) error {
				m := buckets(tx)
				for {
					if err := put(m, c.rows); err != nil {
						return err
					}
					calls = append(calls, c)
					select {
					case c = <-queue:
						if c.done == nil {
							return nil
						}
					default:
						return nil
					}
				}
			})
			for _, c := range calls {
				c.done <- err
			}
		}
	})
	b.Cleanup(func() {
		close(queue)
		writer.Wait()
		db.Close()
	})
	return func(n uint64) error {
		c := call{rows: benchUser(n), done: make(chan error, 1)}
		queue <- c
		return <-c.done
	}
}

func filledStore(b *testing.B, n int) *Store {
	s := openTest(b, filepath.Join(b.TempDir(), "test.db"), Options{})
	fill(b, s, n, benchUser)
	return s
}

func fill(b *testing.B, s *Store, n int, rows func(uint64) []benchRow) {
	for i := 0; i < n; i += 1000 {
		err := s.Update(bg, func(w directory.Writer) error {
			for j := i; j < min(i+1000, n); j++ {
				for _, r := range rows(uint64(j)) {
					if err := r.put(w); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	s := filledStore(b, benchUsers)
	keys := make([][]byte, 4096)
	for i := range keys {
		keys[i] = benchUser(rand.Uint64N(benchUsers))[0].key
	}
	b.Run("raw", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if err := s.db.View(func(tx *bbolt.Tx) error {
				if tx.Bucket([]byte("users")).Get(keys[i%len(keys)]) == nil {
					return errTest
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("store", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := s.View(bg, func(r directory.Reader) error {
				v, err := r.Get(users, keys[i%len(keys)])
				if v == nil {
					return errTest
				}
				return err
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("absent", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if err := s.View(bg, func(r directory.Reader) error {
				k := append(keys[i%len(keys)], 0)
				v, err := r.Get(users, k)
				if v != nil {
					return errTest
				}
				return err
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkScan reads pages of 100 users. BOLT_BENCH_USERS sets how many there are; the figures
// in docs/performance.md are for 1,000,000.
func BenchmarkScan(b *testing.B) {
	n := 100_000
	if v, err := strconv.Atoi(os.Getenv("BOLT_BENCH_USERS")); err == nil {
		n = v
	}
	s := openTest(b, filepath.Join(b.TempDir(), "test.db"), Options{})
	fill(b, s, n, func(n uint64) []benchRow { return benchUser(n)[:1] })
	page := func(b *testing.B, r directory.Range) {
		b.ReportAllocs()
		for b.Loop() {
			rows := 0
			if err := s.View(bg, func(rd directory.Reader) error {
				return rd.Scan(users, r, func(_, _ []byte) bool {
					rows++
					return rows < 100
				})
			}); err != nil || rows != 100 {
				b.Fatal(rows, err)
			}
		}
	}
	b.Run("raw", func(b *testing.B) {
		for b.Loop() {
			if err := s.db.View(func(tx *bbolt.Tx) error {
				c := tx.Bucket([]byte("users")).Cursor()
				rows := 0
				for k, _ := c.Seek(benchTenant); k != nil && rows < 100; k, _ = c.Next() {
					rows++
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("first", func(b *testing.B) { page(b, directory.Range{Prefix: benchTenant}) })
	b.Run("skip", func(b *testing.B) { page(b, directory.Range{Prefix: benchTenant, Skip: n * 9 / 10}) })
	b.Run("skip after a commit", func(b *testing.B) { // that has changed the blocks
		for b.Loop() {
			s.current.cache.m = nil
			if err := s.View(bg, func(rd directory.Reader) error {
				rows := 0
				return rd.Scan(users, directory.Range{Prefix: benchTenant, Skip: n * 9 / 10}, func(_, _ []byte) bool {
					rows++
					return rows < 100
				})
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("skip reverse", func(b *testing.B) { page(b, directory.Range{Prefix: benchTenant, Skip: n * 9 / 10, Reverse: true}) })
	b.Run("after", func(b *testing.B) {
		page(b, directory.Range{Prefix: benchTenant, After: benchUser(uint64(n * 9 / 10))[0].key})
	})
	b.Run("open", func(b *testing.B) {
		path := s.path
		s.Close()
		for b.Loop() {
			s := openTest(b, path, Options{})
			s.Close()
		}
	})
}
