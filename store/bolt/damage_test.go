package bolt

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"go.etcd.io/bbolt"

	"github.com/bizzstream/bizzscim/directory"
)

// content is what a store holds.
type content struct {
	rows   map[string]map[string]string // table -> key -> value
	counts map[string]int64             // table and prefix
}

// damagedStore makes a file with all that a page can be: inline tables, deep trees, overflow
// pages, free pages. It returns the content after the last commit and after the one before, into
// which a damaged description of the last one turns the file.
func damagedStore(t testing.TB, path string) (now, before content) {
	s := openTest(t, path, Options{})
	random := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return string(b)
	}
	update := func(fn func(w directory.Writer) error) {
		t.Helper()
		if err := s.Update(bg, fn); err != nil {
			t.Fatal(err)
		}
	}
	tenants := []string{text(16), text(16), text(16)}
	for i := range 25 {
		update(func(w directory.Writer) (err error) {
			for j := range 20 {
				n := i*20 + j
				tenant := tenants[n%3]
				id := fmt.Sprintf("%08d%s", n, text(8))
				err = errors.Join(err,
					put(users, tenant+id, fmt.Sprintf(`{"userName":"user%d","x":%q}`, n, text(100+n%600)))(w),
					put(tableNamed("user_name"), fmt.Sprintf("%suser%d@example.com", tenant, n*7919%1000), id)(w),
					put(members, tenants[0]+tenants[1]+id, "")(w),
					put(logTable, tenant+id, text(60))(w),
				)
			}
			_, err2 := w.NextSequence(logTable)
			return errors.Join(err, err2, put(settings, fmt.Sprintf("setting %d", i%7), text(20))(w))
		})
	}
	update(put(settings, "large", text(30_000)))
	update(func(w directory.Writer) error {
		var keys []string
		err := w.Scan(logTable, directory.Range{Prefix: []byte(tenants[1])}, func(k, _ []byte) bool {
			keys = append(keys, string(k))
			return true
		})
		for _, k := range keys {
			err = errors.Join(err, w.Delete(logTable, []byte(k)))
		}
		return err
	})
	before = readContent(t, s)
	update(func(w directory.Writer) error {
		_, err := w.NextSequence(logTable)
		return errors.Join(err, put(settings, "last", "commit")(w), put(users, tenants[0]+"last", "commit")(w))
	})
	now = readContent(t, s)
	if err := s.Check(bg, nil); err != nil {
		t.Fatal(err)
	}
	closeShort(t, s)
	return now, before
}

// closeShort cuts off what bbolt has made the file longer than it needs.
func closeShort(t testing.TB, s *Store) {
	t.Helper()
	size := s.Stats().Bytes
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(s.path, size); err != nil {
		t.Fatal(err)
	}
}

func readContent(t testing.TB, s *Store) content {
	c := content{rows: make(map[string]map[string]string), counts: make(map[string]int64)}
	err := s.View(bg, func(r directory.Reader) (err error) {
		for _, tb := range directory.Tables {
			rows := make(map[string]string)
			c.rows[tb.Name] = rows
			err = errors.Join(err, r.Scan(tb, directory.Range{}, func(k, v []byte) bool {
				rows[string(k)] = string(v)
				if tb.CountPrefix > 0 {
					c.counts[tb.Name+" "+string(k[:tb.CountPrefix])]++
				}
				return true
			}))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// compare reads all that c holds in every way and returns what is answered wrongly. An error is
// no wrong answer; found tells that there was one.
func (c *content) compare(s *Store) (wrong []string, found error) {
	say := func(format string, args ...any) {
		if len(wrong) < 5 {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	note := func(err error) bool {
		if err != nil && !errors.Is(err, directory.ErrDamaged) {
			say("error without ErrDamaged: %v", err)
		}
		if err != nil {
			found = err
		}
		return err == nil
	}
	note(s.View(bg, func(r directory.Reader) error {
		for _, tb := range directory.Tables {
			rows := c.rows[tb.Name]
			keys := slices.Sorted(maps.Keys(rows))
			for _, k := range keys {
				if v, err := r.Get(tb, []byte(k)); note(err) && (v == nil || string(v) != rows[k]) {
					say("Get(%s, %x) = %.40q, want %.40q", tb.Name, k, v, rows[k])
				}
				for _, absent := range []string{k + "\x00", k[:len(k)-1]} {
					if _, ok := rows[absent]; absent != "" && !ok {
						if v, err := r.Get(tb, []byte(absent)); note(err) && v != nil {
							say("Get(%s, %x) = %.40q, want none", tb.Name, absent, v)
						}
					}
				}
			}
			scan := func(rg directory.Range, want []string) {
				if rg.Reverse {
					want = slices.Clone(want)
					slices.Reverse(want)
				}
				n := 0
				err := r.Scan(tb, rg, func(k, v []byte) bool {
					if n >= len(want) || string(k) != want[n] || string(v) != rows[string(k)] {
						say("Scan(%s, %+v) at %d: %x", tb.Name, rg, n, k)
						n = len(want)
						return false
					}
					n++
					return true
				})
				if note(err) && n != len(want) {
					say("Scan(%s, %+v): %d rows, want %d", tb.Name, rg, n, len(want))
				}
			}
			for _, reverse := range []bool{false, true} {
				scan(directory.Range{Reverse: reverse}, keys)
				for i := 0; i < len(keys); i += 1 + len(keys)/10 {
					after := keys[i+1:]
					if reverse {
						after = keys[:i]
					}
					scan(directory.Range{After: []byte(keys[i]), Reverse: reverse}, after)
					scan(directory.Range{Prefix: []byte(keys[i]), Reverse: reverse}, keys[i:i+1])
				}
			}
			if tb.CountPrefix > 0 {
				if n, err := r.Count(tb, make([]byte, tb.CountPrefix)); note(err) && n != 0 {
					say("Count(%s, none) = %d", tb.Name, n)
				}
			}
		}
		for name, want := range c.counts {
			table, p, _ := strings.Cut(name, " ")
			if n, err := r.Count(tableNamed(table), []byte(p)); note(err) && n != want {
				say("Count(%s, %x) = %d, want %d", table, p, n, want)
			}
		}
		return nil
	}))
	return wrong, found
}

// update writes new rows next to the old ones and checks that those stay.
func (c *content) update(s *Store) error {
	var err error
	for _, tb := range directory.Tables {
		i := 0
		for k := range c.rows[tb.Name] {
			if i++; i > 8 {
				break
			}
			if e := s.Update(bg, func(w directory.Writer) error {
				if err := w.Insert(tb, []byte(k+"new"), []byte("new")); err != nil {
					return err
				}
				return w.Delete(tb, []byte(k+"new"))
			}); e != nil {
				err = e
			}
		}
	}
	return err
}

// TestBitFlips damages a file in small ways and reads everything: a wrong answer must be an
// error. It runs in another process, because what it looks for may end or hang one.
// BOLT_TEST_FLIPS sets the number of ways.
func TestBitFlips(t *testing.T) {
	if os.Getenv("BOLT_TEST_FLIP") != "" {
		flipChild(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestBitFlips$", "-test.v", "-test.timeout=3600s")
	cmd.Env = append(os.Environ(), "BOLT_TEST_FLIP=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	steps := make(chan string)
	go func() {
		defer close(steps)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			steps <- lines.Text()
		}
	}()
	last := "none"
	var tail []string
	for open := true; open; {
		var line string
		select {
		case line, open = <-steps:
		case <-time.After(time.Minute):
			cmd.Process.Kill()
			t.Fatalf("hangs at %s", last)
		}
		if what, ok := strings.CutPrefix(line, "trial "); ok {
			last = what
		} else if line != "" {
			tail = append(tail, line)
			tail = tail[max(0, len(tail)-60):]
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("child at %s: %v\n%s", last, err, strings.Join(tail, "\n"))
	}
	t.Log(strings.Join(tail, "\n"))
}

// trial is one way to damage a file.
type trial struct {
	what  string
	page  int
	spoil func(file []byte)
}

// trials returns n ways in random order: single bits anywhere and, more of them, in the headers
// of pages and elements; and now and then a page that is zero, that another one has been written
// over, or that counts its elements or its overflow pages wrongly.
func trials(file []byte, n int) []trial {
	size := os.Getpagesize()
	random := rand.New(rand.NewPCG(3, 4))
	var all []trial
	for range n {
		page := random.IntN(len(file) / size)
		if random.IntN(5) > 0 {
			at := page*size*8 + random.IntN([]int{16, 160, size}[random.IntN(3)]*8)
			all = append(all, trial{fmt.Sprintf("bit %d of byte %d", at%8, at/8%size), page, func(b []byte) { b[at/8] ^= 1 << (at % 8) }})
			continue
		}
		other := random.IntN(len(file) / size)
		count := func(d int) func([]byte) {
			return func(b []byte) {
				h := b[page*size+10:]
				native.PutUint16(h, uint16(int(native.Uint16(h))+d))
			}
		}
		all = append(all, []trial{
			{"zeroed", page, func(b []byte) { clear(b[page*size : (page+1)*size]) }},
			{fmt.Sprintf("overwritten with page %d", other), page, func(b []byte) { copy(b[page*size:(page+1)*size], b[other*size:]) }},
			{"half overwritten", page, func(b []byte) { copy(b[page*size+512:(page+1)*size], b[other*size+512:]) }},
			{"no elements", page, func(b []byte) { native.PutUint16(b[page*size+10:], 0) }},
			{"an element less", page, count(-1)},
			{"an element more", page, count(1)},
			{"an overflow page more", page, func(b []byte) { b[page*size+12]++ }},
		}[random.IntN(7)])
	}
	return all
}

func flipChild(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	now, before := damagedStore(t, path)
	intact, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	most := 400
	if testing.Short() {
		most = 100
	}
	if n, err := strconv.Atoi(os.Getenv("BOLT_TEST_FLIPS")); err == nil {
		most = n
	}
	var refused, found, unnoticed, older int
	for n, trial := range trials(intact, most) {
		what := fmt.Sprintf("page %d, %s", trial.page, trial.what)
		fmt.Printf("trial %s\n", what)
		b := bytes.Clone(intact)
		trial.spoil(b)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, Options{})
		if err != nil {
			refused++
			if !errors.Is(err, directory.ErrDamaged) && !errors.Is(err, directory.ErrNewer) {
				t.Errorf("%s: open: %v", what, err)
			}
			continue
		}
		want := &now
		wrong, damage := want.compare(s)
		if len(wrong) > 0 && trial.page < 2 {
			// A damaged description of the last commit leaves the one before; finding that out
			// takes a note outside of the file.
			if w, _ := before.compare(s); len(w) == 0 {
				wrong, want = nil, &before
				older++
			}
		}
		for _, w := range wrong {
			t.Errorf("%s: %s", what, w)
		}
		checked := s.Check(bg, nil)
		if damage != nil && checked == nil {
			t.Errorf("%s: Check does not find %v", what, damage)
		}
		if n%4 == 0 { // writing must not make it worse
			changed := want.update(s)
			wrong, damage2 := want.compare(s)
			if changed != nil && !errors.Is(changed, directory.ErrDamaged) && !errors.Is(changed, directory.ErrFailed) {
				t.Errorf("%s: update: %v", what, changed)
			}
			for _, w := range wrong {
				t.Errorf("%s, after updates: %s", what, w)
			}
			damage = errors.Join(damage, changed, damage2)
		}
		if damage != nil || checked != nil {
			found++
		} else {
			unnoticed++
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: close: %v", what, err)
		}
	}
	fmt.Printf("%d trials on %d bytes: %d refused at open, %d reported, %d without effect (free space), %d back to the commit before\n",
		most, len(intact), refused, found, unnoticed, older)
}

// TestDamagedKey changes each bit of one row's key and looks for that row in every way: nobody
// may say that it is not there.
func TestDamagedKey(t *testing.T) {
	for _, n := range []int{3, 200} { // inside the list of tables; among pages
		path := filepath.Join(t.TempDir(), "test.db")
		s := openTest(t, path, Options{})
		key := func(i int) []byte { return fmt.Appendf(nil, "row %03d!", i*2+1) }
		if err := s.Update(bg, func(w directory.Writer) (err error) {
			for i := range n {
				err = errors.Join(err, w.Insert(settings, key(i), bytes.Repeat([]byte("v"), n)))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		closeShort(t, s)
		intact, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range []int{0, 1, n / 2, n - 1} {
			at := bytes.LastIndex(intact, append(key(i), recordFormat))
			for bit := range 8 * len(key(i)) {
				b := bytes.Clone(intact)
				b[at+bit/8] ^= 1 << (bit % 8)
				if err := os.WriteFile(path, b, 0o600); err != nil {
					t.Fatal(err)
				}
				s := openTest(t, path, Options{})
				look := func(what string, r directory.Reader, rg directory.Range) {
					seen := false
					err := r.Scan(settings, rg, func(k, _ []byte) bool { seen = bytes.Equal(k, key(i)); return false })
					if err == nil && !seen {
						t.Errorf("%d rows, row %d, bit %d: %s scan says there is none", n, i, bit, what)
					}
				}
				all := func(r directory.Reader) error {
					if _, err := r.Get(settings, key(i)); !errors.Is(err, directory.ErrDamaged) {
						t.Errorf("%d rows, row %d, bit %d: get: %v", n, i, bit, err)
					}
					for _, reverse := range []bool{false, true} {
						look("prefix", r, directory.Range{Prefix: key(i), Reverse: reverse})
					}
					look("after", r, directory.Range{After: append(key(i-1), 0)})
					look("below", r, directory.Range{After: fmt.Appendf(nil, "row %03d ", i*2+1+1), Reverse: true})
					look("skip", r, directory.Range{Skip: i})
					look("skip reverse", r, directory.Range{Skip: n - 1 - i, Reverse: true})
					return nil
				}
				if err := s.View(bg, all); err != nil {
					t.Error(err)
				}
				if err := s.Update(bg, func(w directory.Writer) error {
					if err := w.Insert(settings, key(i), nil); !errors.Is(err, directory.ErrDamaged) {
						t.Errorf("%d rows, row %d, bit %d: insert: %v", n, i, bit, err)
					}
					// Now the table has changed; it is read in another way.
					if err := errors.Join(w.Put(settings, []byte("s"), nil), w.Delete(settings, []byte("s"))); err != nil && !errors.Is(err, directory.ErrDamaged) {
						return err
					}
					return errors.Join(all(w), errTest)
				}); !errors.Is(err, errTest) {
					t.Error(err)
				}
				s.Close()
			}
		}
	}
}

// TestDamagedRecord: the others can be read, the damaged one cannot be overwritten or deleted.
func TestDamagedRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := openTest(t, path, Options{})
	p := strings.Repeat("p", 16)
	if err := s.Update(bg, func(w directory.Writer) error {
		return errors.Join(put(users, p+"a", "value of a")(w), put(users, p+"b", "value of b")(w), put(users, p+"c", "value of c")(w))
	}); err != nil {
		t.Fatal(err)
	}
	closeShort(t, s)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte("value of b")) {
		t.Fatal("record not found")
	}
	b = bytes.ReplaceAll(b, []byte("value of b"), []byte("value of B"))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, path, Options{})
	if a, c := get(t, s, users, p+"a"), get(t, s, users, p+"c"); a != "value of a" || c != "value of c" {
		t.Errorf("a = %s, c = %s", a, c)
	}
	damaged := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, directory.ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", what, err)
		} else if !strings.Contains(err.Error(), "users") || !strings.Contains(err.Error(), fmt.Sprintf("%x", p+"b")) {
			t.Errorf("%s: %v, want table and key", what, err)
		}
	}
	damaged("view", s.View(bg, func(r directory.Reader) error {
		_, err := r.Get(users, []byte(p+"b"))
		var keys []string
		err2 := r.Scan(users, directory.Range{}, func(k, _ []byte) bool { keys = append(keys, string(k)); return true })
		damaged("scan", err2)
		if !slices.Equal(keys, []string{p + "a"}) {
			t.Errorf("scan: %q", keys)
		}
		return err
	}))
	damaged("put", s.Update(bg, put(users, p+"b", "new")))
	damaged("insert", s.Update(bg, func(w directory.Writer) error { return w.Insert(users, []byte(p+"b"), nil) }))
	damaged("delete", s.Update(bg, func(w directory.Writer) error { return w.Delete(users, []byte(p+"b")) }))
	damaged("scan in an update", s.Update(bg, func(w directory.Writer) error {
		if err := put(users, p+"d", "new")(w); err != nil {
			return err
		}
		return w.Scan(users, directory.Range{}, func(_, _ []byte) bool { return true })
	}))
	damaged("check", s.Check(bg, nil))
	if err := s.Update(bg, put(users, p+"d", "value of d")); err != nil {
		t.Errorf("an update beside it: %v", err)
	}
	select {
	case <-s.Failed():
		t.Error("Failed is closed")
	default:
	}
}

// TestEmptiedPage: a page that says it has no elements is not an empty table.
func TestEmptiedPage(t *testing.T) {
	for _, n := range []int{2, 16} { // inside the list of tables; on a page of its own
		path := filepath.Join(t.TempDir(), "test.db")
		s := openTest(t, path, Options{})
		if err := s.Update(bg, func(w directory.Writer) (err error) {
			for i := range n {
				err = errors.Join(err, put(settings, fmt.Sprintf("row %d", i), strings.Repeat("v", 100))(w))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		tr := s.current.trees[s.byName["settings"].index]
		at := int(tr.root) * s.current.pages.size
		if (n == 2) != (tr.root == 0) {
			t.Fatalf("%d rows have root %d", n, tr.root)
		}
		if tr.root == 0 {
			at = int(uintptr(unsafe.Pointer(&tr.inline[0])) - uintptr(unsafe.Pointer(&s.current.pages.data[0])))
		}
		closeShort(t, s)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		native.PutUint16(b[at+10:], 0)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s = openTest(t, path, Options{})
		err = s.View(bg, func(r directory.Reader) error {
			_, err := r.Get(settings, []byte("row 1"))
			err2 := r.Scan(settings, directory.Range{}, func(_, _ []byte) bool { return true })
			if err == nil || err2 == nil {
				t.Errorf("%d rows: get %v, scan %v", n, err, err2)
			}
			return errors.Join(err, err2)
		})
		if !errors.Is(err, directory.ErrDamaged) {
			t.Error(err)
		}
	}
}

// TestMisplacedRecord puts good records where they do not belong.
func TestMisplacedRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := openTest(t, path, Options{})
	if err := s.Update(bg, put(settings, "a", "value")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	db, err := bbolt.Open(path, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error {
		rec := tx.Bucket([]byte("settings")).Get([]byte("a"))
		return errors.Join(
			tx.Bucket([]byte("settings")).Put([]byte("b"), rec),
			tx.Bucket([]byte("tokens")).Put([]byte("a"), rec),
			tx.Bucket([]byte("sessions")).Put([]byte("a"), nil),
		)
	}); err != nil {
		t.Fatal(err)
	}
	db.Close()
	s = openTest(t, path, Options{})
	for table, key := range map[string]string{"settings": "b", "tokens": "a", "sessions": "a"} {
		err := s.View(bg, func(r directory.Reader) error {
			v, err := r.Get(tableNamed(table), []byte(key))
			if v != nil {
				t.Errorf("%s %s = %q", table, key, v)
			}
			return err
		})
		if !errors.Is(err, directory.ErrDamaged) {
			t.Errorf("%s %s: %v", table, key, err)
		}
	}
	if got := get(t, s, settings, "a"); got != "value" {
		t.Errorf("a = %s", got)
	}
}

// TestTruncated: a file that has lost its end is refused or gives errors.
func TestTruncated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	damagedStore(t, path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 100, 4096, 5000, 8192, 12288, 16384, 20000, len(b) / 2, len(b) - 40960, len(b) - 4096, len(b) - 1} {
		if err := os.WriteFile(path, b[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := Open(path, Options{}); !errors.Is(err, directory.ErrDamaged) {
			t.Errorf("%d bytes of %d: %v", size, len(b), err)
			if err == nil {
				s.Close()
			}
		}
	}
	// Under a running store the missing pages fault.
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, path, Options{})
	if err := os.Truncate(path, int64(len(b)/2)); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(bg, nil); !errors.Is(err, directory.ErrDamaged) {
		t.Errorf("check: %v", err)
	}
}

// TestCheckCounters: Check compares counters with rows.
func TestCheckCounters(t *testing.T) {
	p := strings.Repeat("p", 16)
	for name, spoil := range map[string]func(s *Store, tx *bbolt.Tx) error{
		"wrong": func(s *Store, tx *bbolt.Tx) error {
			key := counterKey(nil, counterRows, s.byName["users"], []byte(p))
			return tx.Bucket([]byte(s.counters.Name)).Put(key, s.counters.seal(key, numberBytes(3)))
		},
		"missing": func(s *Store, tx *bbolt.Tx) error {
			return tx.Bucket([]byte(s.counters.Name)).Delete(counterKey(nil, counterRows, s.byName["users"], []byte(p)))
		},
		"of nothing": func(s *Store, tx *bbolt.Tx) error {
			key := counterKey(nil, counterRows, s.byName["users"], []byte("qqqqqqqqqqqqqqqq"))
			return tx.Bucket([]byte(s.counters.Name)).Put(key, s.counters.seal(key, numberBytes(1)))
		},
	} {
		s := openTest(t, filepath.Join(t.TempDir(), "test.db"), Options{})
		if err := s.Update(bg, func(w directory.Writer) error {
			return errors.Join(put(users, p+"a", "")(w), put(users, p+"b", "")(w))
		}); err != nil {
			t.Fatal(err)
		}
		var rows int64
		if err := s.Check(bg, func(table string, n int64) {
			if table == "users" {
				rows = n
			}
		}); err != nil || rows != 2 {
			t.Errorf("%s: before: %v, %d rows", name, err, rows)
		}
		if err := s.change(func(tx *bbolt.Tx) error { return spoil(s, tx) }); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(bg, nil); !errors.Is(err, directory.ErrDamaged) || !strings.Contains(err.Error(), "users") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
