package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/directory"
)

// model is what a store should hold: a map for each table, and the sequences.
type model struct {
	rows map[*directory.Table]map[string]string
	seq  map[*directory.Table]uint64
}

var modelTables = []*directory.Table{plain, counted, counted17}

func newModel() *model {
	m := &model{rows: make(map[*directory.Table]map[string]string), seq: make(map[*directory.Table]uint64)}
	for _, t := range modelTables {
		m.rows[t] = make(map[string]string)
	}
	return m
}

func (m *model) clone() *model {
	c := newModel()
	for t := range m.rows {
		c.rows[t] = maps.Clone(m.rows[t])
	}
	c.seq = maps.Clone(m.seq)
	return c
}

func (m *model) get(t *directory.Table, key string) string {
	if v, ok := m.rows[t][key]; ok {
		return v
	}
	return "(none)"
}

// scan is the contract of Range read word by word.
func (m *model) scan(t *directory.Table, r directory.Range, limit int) []string {
	keys := slices.Sorted(maps.Keys(m.rows[t]))
	if r.Reverse {
		slices.Reverse(keys)
	}
	rows := []string{}
	skip := r.Skip
	for _, k := range keys {
		switch {
		case !strings.HasPrefix(k, string(r.Prefix)):
		case r.After != nil && !r.Reverse && k <= string(r.After):
		case r.After != nil && r.Reverse && k >= string(r.After):
		case skip > 0:
			skip--
		case limit < 0 || len(rows) < limit:
			rows = append(rows, row(k, m.rows[t][k]))
		}
	}
	return rows
}

func (m *model) count(t *directory.Table, prefix string) (n int64) {
	for k := range m.rows[t] {
		if strings.HasPrefix(k, prefix) {
			n++
		}
	}
	return n
}

// clearTables empties the tables of the model in the store.
func clearTables(h *harness) *model {
	m := newModel()
	h.update(func(w directory.Writer) error {
		for _, t := range modelTables {
			var keys [][]byte
			err := w.Scan(t, directory.Range{}, func(k, _ []byte) bool {
				keys = append(keys, slices.Clone(k))
				return true
			})
			if err != nil {
				return err
			}
			for _, k := range keys {
				if err := w.Delete(t, k); err != nil {
					return err
				}
			}
			n, err := w.NextSequence(t)
			if err != nil {
				return err
			}
			m.seq[t] = n
		}
		return nil
	})
	return m
}

// genKey draws keys that collide, follow closely on one another, and begin with one another.
func genKey(t *directory.Table) *rapid.Generator[string] {
	letters := rapid.SampledFrom([]byte{0x00, 0x01, 'a', 0xfe, 0xff})
	return rapid.Custom(func(rt *rapid.T) string {
		suffix := string(rapid.SliceOfN(letters, 0, 3).Draw(rt, "suffix"))
		if t.CountPrefix > 0 {
			return prefix(letters.Draw(rt, "prefix"), t.CountPrefix) + suffix
		}
		return suffix + string([]byte{letters.Draw(rt, "last")})
	})
}

func genRange(t *directory.Table) *rapid.Generator[directory.Range] {
	return rapid.Custom(func(rt *rapid.T) directory.Range {
		r := directory.Range{Reverse: rapid.Bool().Draw(rt, "reverse")}
		if rapid.Bool().Draw(rt, "has prefix") {
			k := genKey(t).Draw(rt, "prefix of")
			r.Prefix = []byte(k[:rapid.IntRange(0, len(k)).Draw(rt, "prefix length")])
		}
		if rapid.Bool().Draw(rt, "has after") {
			k := genKey(t).Draw(rt, "after")
			r.After = []byte(k[:rapid.IntRange(0, len(k)).Draw(rt, "after length")])
		}
		if rapid.Bool().Draw(rt, "has skip") {
			r.Skip = rapid.IntRange(0, 12).Draw(rt, "skip")
		}
		return r
	})
}

// op is one random read or write. It is drawn before the transaction that does it, because a
// back end may run that again.
type op struct {
	what  string
	table *directory.Table
	key   string
	value string
	r     directory.Range
	limit int
}

var genWrite = rapid.Custom(func(rt *rapid.T) op {
	t := rapid.SampledFrom(modelTables).Draw(rt, "table")
	return op{
		what:  rapid.SampledFrom([]string{"insert", "insert", "put", "delete", "sequence"}).Draw(rt, "what"),
		table: t,
		key:   genKey(t).Draw(rt, "key"),
		value: rapid.StringN(0, 3, -1).Draw(rt, "value"),
	}
})

var genRead = rapid.Custom(func(rt *rapid.T) op {
	t := rapid.SampledFrom(modelTables).Draw(rt, "table")
	return op{
		what:  "read",
		table: t,
		key:   genKey(t).Draw(rt, "key"),
		r:     genRange(t).Draw(rt, "range"),
		limit: rapid.IntRange(-1, 5).Draw(rt, "limit"),
	}
})

// read compares with the model; an error is a difference.
func (o *op) read(m *model, r directory.Reader) error {
	got, err := getString(r, o.table, o.key)
	if want := m.get(o.table, o.key); got != want || err != nil {
		return fmt.Errorf("Get(%s, %x) = %q, %v, want %q", o.table.Name, o.key, got, err, want)
	}
	rows, err := scanStrings(r, o.table, o.r, o.limit)
	if want := m.scan(o.table, o.r, o.limit); !slices.Equal(rows, want) || err != nil {
		return fmt.Errorf("Scan(%s, %+v), %d rows = %q, %v, want %q", o.table.Name, o.r, o.limit, rows, err, want)
	}
	if o.table.CountPrefix > 0 {
		p := o.key[:o.table.CountPrefix]
		n, err := r.Count(o.table, []byte(p))
		if want := m.count(o.table, p); n != want || err != nil {
			return fmt.Errorf("Count(%s, %x) = %d, %v, want %d", o.table.Name, p, n, err, want)
		}
	}
	return nil
}

// run does the operation in both; an error is a difference.
func (o *op) run(m *model, w directory.Writer) error {
	rows := m.rows[o.table]
	switch o.what {
	case "insert":
		err := w.Insert(o.table, []byte(o.key), []byte(o.value))
		if _, exists := rows[o.key]; exists {
			if !errors.Is(err, directory.ErrExists) {
				return fmt.Errorf("Insert(%s, %x) = %v, want ErrExists", o.table.Name, o.key, err)
			}
			return nil
		}
		rows[o.key] = o.value
		return err
	case "put":
		rows[o.key] = o.value
		return w.Put(o.table, []byte(o.key), []byte(o.value))
	case "delete":
		delete(rows, o.key)
		return w.Delete(o.table, []byte(o.key))
	case "sequence":
		m.seq[o.table]++
		n, err := w.NextSequence(o.table)
		if n != m.seq[o.table] {
			return fmt.Errorf("NextSequence(%s) = %d, %v, want %d", o.table.Name, n, err, m.seq[o.table])
		}
		return err
	default:
		return o.read(m, w)
	}
}

// update runs ops in one Update that then fails with an error ("error"), a panic ("panic") or
// not at all, and returns the model as it should be afterwards.
func (m *model) update(rt *rapid.T, h *harness, ops []op, fails string) *model {
	var next *model
	var differences error
	err := h.Update(context.Background(), func(w directory.Writer) error {
		next, differences = m.clone(), nil
		for _, o := range ops {
			differences = errors.Join(differences, o.run(next, w))
		}
		switch fails {
		case "error":
			return errTest
		case "panic":
			panic(errTest)
		}
		return nil
	})
	if differences != nil {
		rt.Fatalf("in the update: %v", differences)
	}
	if (err == nil) != (fails == "") {
		rt.Fatalf("Update = %v, fails %q", err, fails)
	}
	if err != nil {
		return m
	}
	return next
}

func (m *model) view(rt *rapid.T, h *harness, ops []op) {
	err := h.View(context.Background(), func(r directory.Reader) (err error) {
		for _, o := range ops {
			err = errors.Join(err, o.read(m, r))
		}
		return err
	})
	if err != nil {
		rt.Fatalf("in the view: %v", err)
	}
}

// testScanModel reads ranges of random rows, in a View and in an Update that has changed some.
func testScanModel(t *testing.T, h *harness) {
	rapid.Check(t, func(rt *rapid.T) {
		m := clearTables(h)
		m = m.update(rt, h, rapid.SliceOfN(genWrite, 0, 60).Draw(rt, "rows"), "")
		m.view(rt, h, rapid.SliceOfN(genRead, 5, 15).Draw(rt, "reads"))
		changes := rapid.SliceOfN(rapid.OneOf(genWrite, genRead), 5, 30).Draw(rt, "changes")
		m = m.update(rt, h, changes, "error")
		m.view(rt, h, rapid.SliceOfN(genRead, 1, 3).Draw(rt, "reads afterwards"))
	})
}

// testDeepSkip skips hundreds of rows in tables that grow at the end, as most do, and shrink and
// grow anywhere, in transactions of which some fail.
func testDeepSkip(t *testing.T, h *harness) {
	random := rand.New(rand.NewPCG(5, 6))
	prefixes := []string{prefix('a', 16), prefix('b', 16), prefix('c', 16)}
	m := newModel()
	check := func(r directory.Reader, m *model) error {
		for _, p := range prefixes {
			all := m.scan(counted, directory.Range{Prefix: []byte(p)}, -1)
			for range 8 {
				rg := directory.Range{Prefix: []byte(p), Skip: random.IntN(len(all) + 300), Reverse: random.IntN(2) == 0}
				if random.IntN(8) == 0 {
					rg.Prefix = rg.Prefix[:random.IntN(16)]
				}
				if random.IntN(8) == 0 {
					rg.After = []byte(p + number(random.IntN(4000)))
				}
				got, err := scanStrings(r, counted, rg, 3)
				if want := m.scan(counted, rg, 3); !slices.Equal(got, want) || err != nil {
					return fmt.Errorf("Scan(%+v) of %d rows = %q, %v, want %q", rg, len(all), got, err, want)
				}
			}
		}
		return nil
	}
	top := 1000
	for round := range 24 {
		var o []op
		p := prefixes[random.IntN(len(prefixes))]
		switch random.IntN(6) {
		case 5: // more at the end, the last one first
			for n := top + random.IntN(400); n > top; n-- {
				o = append(o, op{what: "insert", table: counted, key: p + number(n), value: "end"})
			}
			top += 400
		case 0: // anywhere
			for range random.IntN(300) {
				o = append(o, op{what: "put", table: counted, key: p + number(random.IntN(top+100)), value: "any"})
			}
		case 1: // a whole stretch goes
			from := random.IntN(top)
			for n := from; n < from+random.IntN(900); n++ {
				o = append(o, op{what: "delete", table: counted, key: p + number(n)})
			}
		case 2: // the end goes and comes again
			for n := top - 200; n < top; n++ {
				o = append(o, op{what: "delete", table: counted, key: p + number(n)})
			}
			for n := top - 100; n < top+100; n += 2 {
				o = append(o, op{what: "insert", table: counted, key: p + number(n), value: "again"})
			}
		default: // more at the end
			for range random.IntN(700) {
				top++
				o = append(o, op{what: "insert", table: counted, key: prefixes[top%len(prefixes)] + number(top), value: "end"})
			}
		}
		fails := round%4 == 3
		next := m
		err := h.Update(context.Background(), func(w directory.Writer) error {
			next = m.clone()
			for i := range o {
				if err := o[i].run(next, w); err != nil {
					return err
				}
			}
			if err := check(w, next); err != nil {
				return err
			}
			if fails {
				return errTest
			}
			return nil
		})
		switch {
		case fails && errors.Is(err, errTest):
		case err != nil:
			t.Fatalf("round %d: %v", round, err)
		default:
			m = next
		}
		h.view(func(r directory.Reader) error {
			err := check(r, m)
			// A row more, and this view still skips what it did.
			h.put(counted, p+number(500), "more")
			return errors.Join(err, check(r, m))
		})
		m.rows[counted][p+number(500)] = "more"
		h.view(func(r directory.Reader) error { return check(r, m) })
		for _, p := range prefixes {
			diff(t, "count", h.count(counted, p), m.count(counted, p))
		}
		if round%10 == 9 {
			h.restart()
		}
	}
}

// testStateMachine runs random transactions, many of which fail, and reopens now and then.
func testStateMachine(t *testing.T, h *harness) {
	rapid.Check(t, func(rt *rapid.T) {
		m := clearTables(h)
		ops := rapid.SliceOfN(rapid.OneOf(genWrite, genWrite, genRead), 0, 10)
		update := func(fails string) func(*rapid.T) {
			return func(rt *rapid.T) { m = m.update(rt, h, ops.Draw(rt, "ops"), fails) }
		}
		rt.Repeat(map[string]func(*rapid.T){
			"commit":       update(""),
			"commit again": update(""),
			"fail":         update("error"),
			"panic":        update("panic"),
			"read":         func(rt *rapid.T) { m.view(rt, h, rapid.SliceOfN(genRead, 1, 5).Draw(rt, "reads")) },
			"reopen": func(rt *rapid.T) {
				if rapid.IntRange(0, 3).Draw(rt, "really") == 0 {
					h.restart()
				}
			},
		})
		for _, t := range modelTables {
			m.view(rt, h, []op{{table: t, key: prefix('a', 20), limit: -1}})
		}
	})
}

// testSerialHistory runs concurrent updates over few rows, each of which notes what it has read
// and its sequence number, then replays those that have succeeded in that order: every read must
// be what the earlier ones have left, and the end must be what the store holds.
func testSerialHistory(t *testing.T, h *harness) {
	type step struct {
		table       *directory.Table
		key         string
		read, write string // "(none)": a deletion
		count       int64
	}
	type transaction struct {
		number uint64
		steps  []step
		scan   []string
	}
	var mu sync.Mutex
	var history []transaction
	keys := make([]string, 12)
	for i := range keys {
		keys[i] = prefix(byte('a'+i%2), 17) + fmt.Sprint(i)
	}
	const writers, rounds = 16, 30
	var wg sync.WaitGroup
	for c := range writers {
		wg.Go(func() {
			for i := range rounds {
				fails := i%4 == 3
				var tx transaction // of the last run of fn
				err := h.Update(context.Background(), func(w directory.Writer) (err error) {
					random := rand.New(rand.NewPCG(uint64(c), uint64(i)))
					tx = transaction{}
					if tx.number, err = w.NextSequence(sequential); err != nil {
						return err
					}
					for range 1 + random.IntN(4) {
						s := step{table: modelTables[random.IntN(3)], key: keys[random.IntN(len(keys))]}
						if s.read, err = getString(w, s.table, s.key); err != nil {
							return err
						}
						if s.table.CountPrefix > 0 {
							if s.count, err = w.Count(s.table, []byte(s.key[:s.table.CountPrefix])); err != nil {
								return err
							}
						}
						if random.IntN(3) == 0 {
							s.write = "(none)"
							err = w.Delete(s.table, []byte(s.key))
						} else {
							s.write = fmt.Sprintf("%d-%d", c, i)
							err = w.Put(s.table, []byte(s.key), []byte(s.write))
						}
						if err != nil {
							return err
						}
						tx.steps = append(tx.steps, s)
					}
					if tx.scan, err = scanStrings(w, counted, directory.Range{Reverse: i%2 == 0}, -1); err != nil {
						return err
					}
					if fails {
						if c%2 == 0 {
							panic(errTest)
						}
						return errTest
					}
					return nil
				})
				switch {
				case fails && err == nil:
					t.Error("failing update: no error")
				case !fails && err != nil:
					t.Error(err)
				case !fails:
					mu.Lock()
					history = append(history, tx)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()

	slices.SortFunc(history, func(a, b transaction) int { return int(a.number) - int(b.number) })
	m := newModel()
	for i, tx := range history {
		if tx.number != uint64(i+1) {
			t.Fatalf("transaction %d has number %d", i+1, tx.number)
		}
		for _, s := range tx.steps {
			if want := m.get(s.table, s.key); s.read != want {
				t.Fatalf("transaction %d has read %q, want %q", tx.number, s.read, want)
			}
			if s.table.CountPrefix > 0 {
				if want := m.count(s.table, s.key[:s.table.CountPrefix]); s.count != want {
					t.Fatalf("transaction %d has counted %d, want %d", tx.number, s.count, want)
				}
			}
			if s.write == "(none)" {
				delete(m.rows[s.table], s.key)
			} else {
				m.rows[s.table][s.key] = s.write
			}
		}
		forward, reverse := m.scan(counted, directory.Range{}, -1), m.scan(counted, directory.Range{Reverse: true}, -1)
		if !slices.Equal(tx.scan, forward) && !slices.Equal(tx.scan, reverse) {
			t.Fatalf("transaction %d has scanned %q, want %q", tx.number, tx.scan, forward)
		}
	}
	for _, tb := range modelTables {
		diff(t, tb.Name, h.rows(tb, directory.Range{}), m.scan(tb, directory.Range{}, -1))
	}
}
