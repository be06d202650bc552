// Package storetest is the one conformance suite of directory.Store: each sentence of the
// contract is a test here, and every back end passes all of them. It must never know which back
// end it runs against, and no back end may leave a test out.
package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
)

// Run runs the suite. open returns an empty store that is closed, at the latest, when the test
// that it was opened for ends; reopen opens the same data again after the store, or the one that
// reopen has returned last, has been closed.
func Run(t *testing.T, open func(t *testing.T) (s directory.Store, reopen func() directory.Store)) {
	for _, test := range []struct {
		name string
		fn   func(*testing.T, *harness)
	}{
		{"Empty", testEmpty},
		{"Tables", testTables},
		{"UnknownTable", testUnknownTable},
		{"InsertPutDelete", testInsertPutDelete},
		{"EmptyValue", testEmptyValue},
		{"LargeValue", testLargeValue},
		{"BinaryKeys", testBinaryKeys},
		{"ValueLifetime", testValueLifetime},
		{"OwnWrites", testOwnWrites},
		{"ScanStops", testScanStops},
		{"ScanRanges", testScanRanges},
		{"ScanOverEmptied", testScanOverEmptied},
		{"ScanModel", testScanModel},
		{"DeepSkip", testDeepSkip},
		{"Count", testCount},
		{"CountPrefix", testCountPrefix},
		{"ErrorRollsBack", testErrorRollsBack},
		{"PanicRollsBack", testPanicRollsBack},
		{"ErrorAfterFailedInsert", testErrorAfterFailedInsert},
		{"FailingAmongOthers", testFailingAmongOthers},
		{"Sequence", testSequence},
		{"SequenceOrder", testSequenceOrder},
		{"SnapshotIsolation", testSnapshotIsolation},
		{"NothingUncommitted", testNothingUncommitted},
		{"LongView", testLongView},
		{"ReadYourWrites", testReadYourWrites},
		{"SerialUpdates", testSerialUpdates},
		{"SerialHistory", testSerialHistory},
		{"ContextBefore", testContextBefore},
		{"ContextWaiting", testContextWaiting},
		{"ContextRunning", testContextRunning},
		{"Reopen", testReopen},
		{"LargeTransaction", testLargeTransaction},
		{"Mixed", testMixed},
		{"StateMachine", testStateMachine},
		{"Stats", testStats},
		{"Close", testClose},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, reopen := open(t)
			test.fn(t, &harness{Store: s, t: t, reopen: reopen})
		})
	}
}

// The suite works on tables of each kind. They are the product's own: a back end creates no
// others.
var (
	plain      = tableNamed("settings")           // not counted
	counted    = tableNamed("users")              // counted by 16 bytes, sequential
	counted32  = tableNamed("members")            // counted by 32 bytes
	counted17  = tableNamed("environment_access") // counted by 17 bytes
	sequential = tableNamed("log")                // sequential, not counted
)

func tableNamed(name string) *directory.Table {
	for _, t := range directory.Tables {
		if t.Name == name {
			return t
		}
	}
	panic("storetest: no table " + name)
}

// harness is a store with the failing of the test built in.
type harness struct {
	directory.Store
	t      *testing.T
	reopen func() directory.Store
}

func (h *harness) update(fn func(directory.Writer) error) {
	h.t.Helper()
	if err := h.Update(context.Background(), fn); err != nil {
		h.t.Fatalf("update: %v", err)
	}
}

func (h *harness) view(fn func(directory.Reader) error) {
	h.t.Helper()
	if err := h.View(context.Background(), fn); err != nil {
		h.t.Fatalf("view: %v", err)
	}
}

func (h *harness) put(t *directory.Table, key, value string) {
	h.t.Helper()
	h.update(func(w directory.Writer) error { return w.Put(t, []byte(key), []byte(value)) })
}

// get returns the value as a string, "(none)" when there is none.
func (h *harness) get(t *directory.Table, key string) (value string) {
	h.t.Helper()
	h.view(func(r directory.Reader) (err error) {
		value, err = getString(r, t, key)
		return err
	})
	return value
}

func (h *harness) rows(t *directory.Table, rg directory.Range) (rows []string) {
	h.t.Helper()
	h.view(func(r directory.Reader) (err error) {
		rows, err = scanStrings(r, t, rg, -1)
		return err
	})
	return rows
}

func (h *harness) count(t *directory.Table, prefix string) (n int64) {
	h.t.Helper()
	h.view(func(r directory.Reader) (err error) {
		n, err = r.Count(t, []byte(prefix))
		return err
	})
	return n
}

func (h *harness) restart() {
	h.t.Helper()
	if err := h.Close(); err != nil {
		h.t.Fatalf("close: %v", err)
	}
	h.Store = h.reopen()
}

func getString(r directory.Reader, t *directory.Table, key string) (string, error) {
	v, err := r.Get(t, []byte(key))
	if v == nil {
		return "(none)", err
	}
	return string(v), err
}

// scanStrings returns at most limit rows as key=value.
func scanStrings(r directory.Reader, t *directory.Table, rg directory.Range, limit int) ([]string, error) {
	rows := []string{}
	if limit == 0 {
		return rows, nil
	}
	err := r.Scan(t, rg, func(key, value []byte) bool {
		rows = append(rows, row(string(key), string(value)))
		return len(rows) != limit
	})
	return rows, err
}

func row(key, value string) string { return fmt.Sprintf("%x=%s", key, value) }

func diff(t testing.TB, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s: (-want +got)\n%s", what, d)
	}
}

// prefix returns n bytes that all are c.
func prefix(c byte, n int) string { return strings.Repeat(string([]byte{c}), n) }

func number(n int) string { return string(binary.BigEndian.AppendUint64(nil, uint64(n))) }

var errTest = errors.New("the test's own error")

func testEmpty(t *testing.T, h *harness) {
	h.view(func(r directory.Reader) error {
		for _, tb := range directory.Tables {
			if v, err := r.Get(tb, []byte("key")); v != nil || err != nil {
				t.Errorf("%s: Get = %q, %v", tb.Name, v, err)
			}
			for _, reverse := range []bool{false, true} {
				rows, err := scanStrings(r, tb, directory.Range{Reverse: reverse}, -1)
				if len(rows) != 0 || err != nil {
					t.Errorf("%s: Scan = %q, %v", tb.Name, rows, err)
				}
			}
			if tb.CountPrefix > 0 {
				if n, err := r.Count(tb, make([]byte, tb.CountPrefix)); n != 0 || err != nil {
					t.Errorf("%s: Count = %d, %v", tb.Name, n, err)
				}
			}
		}
		return nil
	})
	select {
	case <-h.Failed():
		t.Error("Failed is closed")
	default:
	}
}

// testTables checks that every table exists and that they keep the same key apart.
func testTables(t *testing.T, h *harness) {
	key := prefix('k', 40)
	h.update(func(w directory.Writer) error {
		for _, tb := range directory.Tables {
			if err := w.Insert(tb, []byte(key), []byte(tb.Name)); err != nil {
				return err
			}
		}
		return nil
	})
	for _, tb := range directory.Tables {
		diff(t, tb.Name, h.get(tb, key), tb.Name)
		diff(t, tb.Name, h.rows(tb, directory.Range{}), []string{row(key, tb.Name)})
		if tb.CountPrefix > 0 {
			diff(t, tb.Name, h.count(tb, key[:tb.CountPrefix]), int64(1))
		}
	}
}

func testUnknownTable(t *testing.T, h *harness) {
	other := &directory.Table{Name: "no_such_table", CountPrefix: 1}
	h.view(func(r directory.Reader) error {
		if _, err := r.Get(other, []byte("k")); err == nil {
			t.Error("Get: no error")
		}
		if err := r.Scan(other, directory.Range{}, func(_, _ []byte) bool { return true }); err == nil {
			t.Error("Scan: no error")
		}
		if _, err := r.Count(other, []byte("k")); err == nil {
			t.Error("Count: no error")
		}
		return nil
	})
	err := h.Update(context.Background(), func(w directory.Writer) error { return w.Put(other, []byte("k"), nil) })
	if err == nil {
		t.Error("Put: no error")
	}
}

func testInsertPutDelete(t *testing.T, h *harness) {
	h.update(func(w directory.Writer) error { return w.Insert(plain, []byte("a"), []byte("1")) })
	diff(t, "inserted", h.get(plain, "a"), "1")

	err := h.Update(context.Background(), func(w directory.Writer) error {
		return w.Insert(plain, []byte("a"), []byte("2"))
	})
	if !errors.Is(err, directory.ErrExists) {
		t.Errorf("second insert: %v, want ErrExists", err)
	}
	diff(t, "after refused insert", h.get(plain, "a"), "1")

	h.put(plain, "a", "3")
	h.put(plain, "b", "new")
	diff(t, "after put", h.rows(plain, directory.Range{}), []string{row("a", "3"), row("b", "new")})

	for range 2 {
		h.update(func(w directory.Writer) error { return w.Delete(plain, []byte("a")) })
		diff(t, "after delete", h.get(plain, "a"), "(none)")
	}
	diff(t, "rows", h.rows(plain, directory.Range{}), []string{row("b", "new")})
	h.update(func(w directory.Writer) error { return w.Insert(plain, []byte("a"), []byte("4")) })
	diff(t, "inserted again", h.get(plain, "a"), "4")
}

// testEmptyValue: a row without a value is a row, in the transaction that writes it and later.
func testEmptyValue(t *testing.T, h *harness) {
	check := func(r directory.Reader) error {
		for _, key := range []string{"empty", "nil"} {
			v, err := r.Get(plain, []byte(key))
			if v == nil || len(v) != 0 || err != nil {
				t.Errorf("Get(%s) = %#v, %v, want an empty value", key, v, err)
			}
		}
		rows, err := scanStrings(r, plain, directory.Range{}, -1)
		diff(t, "rows", rows, []string{row("empty", ""), row("nil", "")})
		return err
	}
	h.update(func(w directory.Writer) error {
		if err := w.Put(plain, []byte("nil"), nil); err != nil {
			return err
		}
		if err := w.Insert(plain, []byte("empty"), []byte{}); err != nil {
			return err
		}
		if err := w.Insert(plain, []byte("nil"), nil); !errors.Is(err, directory.ErrExists) {
			t.Errorf("Insert over an empty value: %v", err)
		}
		return check(w)
	})
	h.view(check)
	h.restart()
	h.view(check)
}

func testLargeValue(t *testing.T, h *harness) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	want := map[string][]byte{"a": large, "b": []byte("small"), "c": large[:len(large)-1], "d": large[1:]}
	h.update(func(w directory.Writer) error {
		for k, v := range want {
			if err := w.Put(plain, []byte(k), v); err != nil {
				return err
			}
		}
		return nil
	})
	check := func(r directory.Reader) error {
		for k, v := range want {
			if got, err := r.Get(plain, []byte(k)); !bytes.Equal(got, v) || err != nil {
				t.Errorf("Get(%s): %d bytes, %v, want the %d written", k, len(got), err, len(v))
			}
		}
		n := 0
		err := r.Scan(plain, directory.Range{}, func(k, v []byte) bool {
			if !bytes.Equal(v, want[string(k)]) {
				t.Errorf("Scan at %s: %d bytes", k, len(v))
			}
			n++
			return true
		})
		diff(t, "rows", n, len(want))
		return err
	}
	h.view(check)
	h.restart()
	h.view(check)
	want["a"] = []byte("now small")
	h.update(func(w directory.Writer) error {
		if err := w.Put(plain, []byte("a"), want["a"]); err != nil {
			return err
		}
		return check(w)
	})
	h.view(check)
}

// testBinaryKeys: keys are bytes, in the order of bytes, and one is not the start of another.
func testBinaryKeys(t *testing.T, h *harness) {
	keys := []string{
		"\x00", "\x00\x00", "\x00\x00\xff", "\x00\xff", "\x01", "A", "a", "a\x00", "a\x00\x00", "a\x00b", "a\x01",
		"aa", "a\xff", "a\xff\x00", "a\xff\xff", "b", "\x7f", "\x80", "\xc3\x28", "\xff", "\xff\x00", "\xff\xff", "\xff\xff\xff",
	}
	h.update(func(w directory.Writer) error {
		for i := range keys {
			k := keys[(i*7)%len(keys)] // in no order
			if err := w.Insert(plain, []byte(k), []byte(k)); err != nil {
				return err
			}
		}
		return nil
	})
	want := []string{}
	slices.Sort(keys)
	for _, k := range keys {
		want = append(want, row(k, k))
		diff(t, fmt.Sprintf("%x", k), h.get(plain, k), k)
	}
	diff(t, "forward", h.rows(plain, directory.Range{}), want)
	slices.Reverse(want)
	diff(t, "reverse", h.rows(plain, directory.Range{Reverse: true}), want)

	// The caller's slices are the caller's again after the call.
	h.update(func(w directory.Writer) error {
		k, v := []byte("mine"), []byte("value")
		if err := w.Put(plain, k, v); err != nil {
			return err
		}
		copy(k, "xxxx")
		copy(v, "xxxxx")
		return nil
	})
	diff(t, "changed after put", h.get(plain, "mine"), "value")
	diff(t, "changed after put", h.get(plain, "xxxx"), "(none)")
}

// testValueLifetime: values stay as they are until the transaction ends, whatever others write.
func testValueLifetime(t *testing.T, h *harness) {
	for i := range 50 {
		h.put(plain, fmt.Sprintf("k%02d", i), fmt.Sprintf("value %02d", i))
	}
	h.view(func(r directory.Reader) error {
		var values [][]byte
		err := r.Scan(plain, directory.Range{}, func(_, v []byte) bool {
			values = append(values, v)
			return true
		})
		v, err2 := r.Get(plain, []byte("k07"))
		values = append(values, v)
		for i := range 50 {
			h.put(plain, fmt.Sprintf("k%02d", i), "another one")
			h.put(plain, fmt.Sprintf("n%02d", i), "new")
		}
		for i, v := range values {
			diff(t, "value", string(v), fmt.Sprintf("value %02d", []int{i, 7}[i/50]))
			// An append must not reach into what is behind the value.
			_ = append(v, "overwritten"...)
		}
		rows, err3 := scanStrings(r, plain, directory.Range{Skip: 49}, -1)
		diff(t, "last row", rows, []string{row("k49", "value 49")})
		return errors.Join(err, err2, err3)
	})
	h.update(func(w directory.Writer) error {
		v, err := w.Get(plain, []byte("k00"))
		u, err2 := w.Get(plain, []byte("k01"))
		diff(t, "values", []string{string(v), string(u)}, []string{"another one", "another one"})
		return errors.Join(err, err2)
	})
}

// testOwnWrites: an Update sees what it has written itself, in every kind of read.
func testOwnWrites(t *testing.T, h *harness) {
	p := prefix('p', 16)
	h.put(counted, p+"a", "old a")
	h.put(counted, p+"c", "old c")
	h.put(counted, p+"e", "old e")
	check := func(r directory.Reader) error {
		a, err := getString(r, counted, p+"a")
		b, err2 := getString(r, counted, p+"b")
		c, err3 := getString(r, counted, p+"c")
		diff(t, "get", []string{a, b, c}, []string{"(none)", "new b", "new c"})
		want := []string{row(p+"b", "new b"), row(p+"c", "new c"), row(p+"e", "old e")}
		rows, err4 := scanStrings(r, counted, directory.Range{Prefix: []byte(p)}, -1)
		diff(t, "scan", rows, want)
		slices.Reverse(want)
		rows, err5 := scanStrings(r, counted, directory.Range{Prefix: []byte(p), Reverse: true}, -1)
		diff(t, "reverse", rows, want)
		n, err6 := r.Count(counted, []byte(p))
		diff(t, "count", n, int64(3))
		return errors.Join(err, err2, err3, err4, err5, err6)
	}
	h.update(func(w directory.Writer) error {
		err := errors.Join(
			w.Delete(counted, []byte(p+"a")),
			w.Insert(counted, []byte(p+"b"), []byte("new b")),
			w.Put(counted, []byte(p+"c"), []byte("new c")),
			w.Insert(counted, []byte(p+"d"), []byte("short-lived")),
			w.Delete(counted, []byte(p+"d")),
		)
		if err := w.Insert(counted, []byte(p+"b"), nil); !errors.Is(err, directory.ErrExists) {
			t.Errorf("Insert over its own: %v", err)
		}
		return errors.Join(err, check(w))
	})
	h.view(check)
}

func testScanStops(t *testing.T, h *harness) {
	for _, k := range []string{"a", "b", "c"} {
		h.put(plain, k, k)
	}
	h.view(func(r directory.Reader) error {
		for limit := 1; limit <= 3; limit++ {
			calls := 0
			err := r.Scan(plain, directory.Range{}, func(_, _ []byte) bool {
				calls++
				return calls < limit
			})
			if calls != limit || err != nil {
				t.Errorf("limit %d: %d calls, %v", limit, calls, err)
			}
		}
		// A scan may look up and scan in between.
		var seen []string
		err := r.Scan(plain, directory.Range{}, func(k, v []byte) bool {
			inner, err := scanStrings(r, plain, directory.Range{After: k, Reverse: true}, -1)
			if err != nil {
				t.Error(err)
			}
			v2, err := r.Get(plain, k)
			if !bytes.Equal(v, v2) || err != nil {
				t.Errorf("Get in Scan = %q, %v", v2, err)
			}
			seen = append(seen, fmt.Sprintf("%s %d", k, len(inner)))
			return true
		})
		diff(t, "nested", seen, []string{"a 0", "b 1", "c 2"})
		return err
	})
}

// testScanRanges names the cases that testScanModel might miss.
func testScanRanges(t *testing.T, h *harness) {
	keys := []string{"a", "aa", "ab", "b", "ba", "bb", "bc", "c", "\xff", "\xff\xff"}
	for _, k := range keys {
		h.put(plain, k, "")
	}
	for _, test := range []struct {
		name string
		r    directory.Range
		want string
	}{
		{"all", directory.Range{}, "a aa ab b ba bb bc c \xff \xff\xff"},
		{"all reverse", directory.Range{Reverse: true}, "\xff\xff \xff c bc bb ba b ab aa a"},
		{"prefix", directory.Range{Prefix: []byte("b")}, "b ba bb bc"},
		{"prefix reverse", directory.Range{Prefix: []byte("b"), Reverse: true}, "bc bb ba b"},
		{"prefix of ff", directory.Range{Prefix: []byte("\xff")}, "\xff \xff\xff"},
		{"prefix of ff reverse", directory.Range{Prefix: []byte("\xff"), Reverse: true}, "\xff\xff \xff"},
		{"empty prefix", directory.Range{Prefix: []byte{}, Skip: 8}, "\xff \xff\xff"},
		{"prefix of none", directory.Range{Prefix: []byte("bab")}, ""},
		{"after", directory.Range{After: []byte("ba")}, "bb bc c \xff \xff\xff"},
		{"after reverse", directory.Range{After: []byte("ba"), Reverse: true}, "b ab aa a"},
		{"after none", directory.Range{After: []byte("b0")}, "ba bb bc c \xff \xff\xff"},
		{"after none reverse", directory.Range{After: []byte("b0"), Reverse: true}, "b ab aa a"},
		{"after empty", directory.Range{After: []byte{}, Skip: 8}, "\xff \xff\xff"},
		{"after empty reverse", directory.Range{After: []byte{}, Reverse: true}, ""},
		{"after last", directory.Range{After: []byte("\xff\xff")}, ""},
		{"after first reverse", directory.Range{After: []byte("a"), Reverse: true}, ""},
		{"prefix after", directory.Range{Prefix: []byte("b"), After: []byte("ba")}, "bb bc"},
		{"prefix after reverse", directory.Range{Prefix: []byte("b"), After: []byte("bb"), Reverse: true}, "ba b"},
		{"prefix after itself", directory.Range{Prefix: []byte("b"), After: []byte("b")}, "ba bb bc"},
		{"prefix after itself reverse", directory.Range{Prefix: []byte("b"), After: []byte("b"), Reverse: true}, ""},
		{"prefix after below", directory.Range{Prefix: []byte("b"), After: []byte("a")}, "b ba bb bc"},
		{"prefix after below reverse", directory.Range{Prefix: []byte("b"), After: []byte("a"), Reverse: true}, ""},
		{"prefix after above", directory.Range{Prefix: []byte("b"), After: []byte("c")}, ""},
		{"prefix after above reverse", directory.Range{Prefix: []byte("b"), After: []byte("c"), Reverse: true}, "bc bb ba b"},
		{"skip", directory.Range{Prefix: []byte("b"), Skip: 2}, "bb bc"},
		{"skip reverse", directory.Range{Prefix: []byte("b"), Skip: 3, Reverse: true}, "b"},
		{"skip all", directory.Range{Prefix: []byte("b"), Skip: 4}, ""},
		{"skip more", directory.Range{Prefix: []byte("b"), Skip: 1 << 30}, ""},
		{"skip after", directory.Range{Prefix: []byte("b"), After: []byte("b"), Skip: 1}, "bb bc"},
		{"skip after reverse", directory.Range{Prefix: []byte("b"), After: []byte("bc"), Skip: 1, Reverse: true}, "ba b"},
	} {
		want := []string{}
		for _, k := range strings.Fields(test.want) {
			want = append(want, row(k, ""))
		}
		diff(t, test.name, h.rows(plain, test.r), want)
		err := h.Update(context.Background(), func(w directory.Writer) error {
			if err := w.Put(plain, []byte("zz"), nil); err != nil {
				return err
			}
			if err := w.Delete(plain, []byte("zz")); err != nil {
				return err
			}
			rows, err := scanStrings(w, plain, test.r, -1)
			diff(t, test.name+" in an update that has written", rows, want)
			return errors.Join(err, errTest)
		})
		if !errors.Is(err, errTest) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// testScanOverEmptied scans, in the transaction that does it, where thousands of rows have been
// deleted.
func testScanOverEmptied(t *testing.T, h *harness) {
	const n = 5000
	value := bytes.Repeat([]byte("v"), 100)
	h.update(func(w directory.Writer) error {
		for i := range n {
			if err := w.Insert(sequential, []byte(number(i)), value); err != nil {
				return err
			}
		}
		return nil
	})
	kept := []int{0, 1, 2000, 2001, 4998}
	h.update(func(w directory.Writer) error {
		for i := range n {
			if !slices.Contains(kept, i) {
				if err := w.Delete(sequential, []byte(number(i))); err != nil {
					return err
				}
			}
		}
		for _, reverse := range []bool{false, true} {
			for skip := range len(kept) + 1 {
				var got []int
				err := w.Scan(sequential, directory.Range{Reverse: reverse, Skip: skip}, func(k, _ []byte) bool {
					got = append(got, int(binary.BigEndian.Uint64(k)))
					return true
				})
				if err != nil {
					return err
				}
				want := slices.Clone(kept)
				if reverse {
					slices.Reverse(want)
				}
				if !slices.Equal(got, want[skip:]) {
					t.Errorf("reverse %v, skip %d: %d, want %d", reverse, skip, got, want[skip:])
				}
			}
		}
		for _, after := range []int{1, 1000, 2001, 3000, 4999} {
			var got []int
			err := w.Scan(sequential, directory.Range{Reverse: true, After: []byte(number(after))}, func(k, _ []byte) bool {
				got = append(got, int(binary.BigEndian.Uint64(k)))
				return true
			})
			if err != nil {
				return err
			}
			var want []int
			for _, k := range slices.Backward(kept) {
				if k < after {
					want = append(want, k)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("below %d: %d, want %d", after, got, want)
			}
		}
		return nil
	})
	diff(t, "rows left", len(h.rows(sequential, directory.Range{})), len(kept))
	h.update(func(w directory.Writer) error {
		for _, k := range kept {
			if err := w.Delete(sequential, []byte(number(k))); err != nil {
				return err
			}
		}
		rows, err := scanStrings(w, sequential, directory.Range{Reverse: true}, -1)
		diff(t, "no rows", rows, []string{})
		return err
	})
}

func testCount(t *testing.T, h *harness) {
	for _, tb := range []*directory.Table{counted, counted32, counted17} {
		a, b := prefix('a', tb.CountPrefix), prefix('b', tb.CountPrefix)
		check := func(what string, na, nb int64) {
			t.Helper()
			diff(t, tb.Name+" "+what, []int64{h.count(tb, a), h.count(tb, b)}, []int64{na, nb})
		}
		check("none", 0, 0)
		h.update(func(w directory.Writer) error {
			return errors.Join(w.Insert(tb, []byte(a+"1"), nil), w.Put(tb, []byte(a+"2"), nil), w.Put(tb, []byte(b), nil))
		})
		check("added", 2, 1)
		h.put(tb, a+"1", "replaced")
		check("replaced", 2, 1)
		err := h.Update(context.Background(), func(w directory.Writer) error { return w.Insert(tb, []byte(a+"1"), nil) })
		if !errors.Is(err, directory.ErrExists) {
			t.Error(err)
		}
		check("refused", 2, 1)
		h.update(func(w directory.Writer) error {
			return errors.Join(w.Delete(tb, []byte(a+"1")), w.Delete(tb, []byte(a+"nowhere")))
		})
		check("deleted", 1, 1)
		err = h.Update(context.Background(), func(w directory.Writer) error {
			err := errors.Join(w.Put(tb, []byte(a+"3"), nil), w.Delete(tb, []byte(a+"2")), w.Delete(tb, []byte(b)), w.Put(tb, []byte(a+"4"), nil))
			n, err2 := w.Count(tb, []byte(a))
			diff(t, "in the update", n, int64(2))
			return errors.Join(err, err2, errTest)
		})
		if !errors.Is(err, errTest) {
			t.Error(err)
		}
		check("rolled back", 1, 1)
		h.restart()
		check("reopened", 1, 1)
		h.update(func(w directory.Writer) error {
			return errors.Join(w.Delete(tb, []byte(a+"2")), w.Delete(tb, []byte(b)))
		})
		check("emptied", 0, 0)
	}
}

func testCountPrefix(t *testing.T, h *harness) {
	h.view(func(r directory.Reader) error {
		for _, p := range []string{"", "short", prefix('x', 15), prefix('x', 17)} {
			if _, err := r.Count(counted, []byte(p)); err == nil {
				t.Errorf("Count by %d bytes: no error", len(p))
			}
		}
		if _, err := r.Count(plain, []byte("x")); err == nil {
			t.Error("Count of an uncounted table: no error")
		}
		return nil
	})
}

// spoil is a transaction that changes everything it can.
func spoil(w directory.Writer) error {
	p := prefix('p', 16)
	err := errors.Join(
		w.Put(counted, []byte(p+"kept"), []byte("spoilt")),
		w.Insert(counted, []byte(p+"new"), []byte("spoilt")),
		w.Delete(counted, []byte(p+"gone")),
		w.Put(counted, []byte(p+"gone"), []byte("spoilt")),
		w.Delete(counted, []byte(p+"kept")),
		w.Delete(plain, []byte("plain")),
		w.Put(plain, []byte("other"), []byte("spoilt")),
		w.Put(plain, []byte("other"), []byte("spoilt twice")),
	)
	for range 3 {
		_, err2 := w.NextSequence(sequential)
		err = errors.Join(err, err2)
	}
	return err
}

// unspoilt fills a store for spoil and returns a check that nothing of it has changed.
func unspoilt(t *testing.T, h *harness) (check func()) {
	p := prefix('p', 16)
	h.put(counted, p+"kept", "kept")
	h.put(counted, p+"gone", "gone")
	h.put(plain, "plain", "plain")
	last := uint64(0)
	check = func() {
		t.Helper()
		diff(t, "counted", h.rows(counted, directory.Range{}), []string{row(p+"gone", "gone"), row(p+"kept", "kept")})
		diff(t, "count", h.count(counted, p), int64(2))
		diff(t, "plain", h.rows(plain, directory.Range{}), []string{row("plain", "plain")})
		h.update(func(w directory.Writer) error {
			n, err := w.NextSequence(sequential)
			if n != last+1 {
				t.Errorf("sequence: %d, want %d", n, last+1)
			}
			last = n
			return err
		})
	}
	check()
	return check
}

func testErrorRollsBack(t *testing.T, h *harness) {
	check := unspoilt(t, h)
	err := h.Update(context.Background(), func(w directory.Writer) error {
		if err := spoil(w); err != nil {
			t.Error(err)
		}
		return errTest
	})
	if err != errTest {
		t.Errorf("Update = %v, want fn's error as it is", err)
	}
	check()
	h.restart()
	check()

	err = h.View(context.Background(), func(directory.Reader) error { return errTest })
	if err != errTest {
		t.Errorf("View = %v, want fn's error as it is", err)
	}
}

func testPanicRollsBack(t *testing.T, h *harness) {
	check := unspoilt(t, h)
	for _, value := range []any{"a text", errTest, 7} {
		err := h.Update(context.Background(), func(w directory.Writer) error {
			if err := spoil(w); err != nil {
				t.Error(err)
			}
			panic(value)
		})
		if err == nil {
			t.Error("Update = nil after a panic")
		}
		check()
	}
	// In the callback of a scan as well.
	err := h.Update(context.Background(), func(w directory.Writer) error {
		if err := spoil(w); err != nil {
			t.Error(err)
		}
		return w.Scan(plain, directory.Range{}, func(_, _ []byte) bool { panic("in scan") })
	})
	if err == nil || errors.Is(err, directory.ErrDamaged) {
		t.Errorf("Update = %v after a panic in a scan", err)
	}
	check()

	// A View passes the panic on and leaves the store whole.
	func() {
		defer func() {
			if r := recover(); r != "in view" {
				t.Errorf("recovered %v", r)
			}
		}()
		_ = h.View(context.Background(), func(r directory.Reader) error {
			return r.Scan(plain, directory.Range{}, func(_, _ []byte) bool { panic("in view") })
		})
	}()
	check()
}

// testErrorAfterFailedInsert: an error of one operation does not end the transaction; fn decides.
func testErrorAfterFailedInsert(t *testing.T, h *harness) {
	h.put(plain, "a", "1")
	h.update(func(w directory.Writer) error {
		if err := w.Insert(plain, []byte("a"), []byte("2")); !errors.Is(err, directory.ErrExists) {
			t.Errorf("Insert: %v", err)
		}
		return w.Put(plain, []byte("b"), []byte("2"))
	})
	diff(t, "rows", h.rows(plain, directory.Range{}), []string{row("a", "1"), row("b", "2")})
}

// testFailingAmongOthers runs many updates at once of which every third fails; the others, which
// a back end may put into one commit with them, must not notice.
func testFailingAmongOthers(t *testing.T, h *harness) {
	p := prefix('p', 16)
	const callers, rounds = 24, 12
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range rounds {
				key := []byte(fmt.Sprintf("%s%02d-%02d", p, c, i))
				err := h.Update(context.Background(), func(w directory.Writer) error {
					if err := w.Insert(counted, key, []byte("v")); err != nil {
						return err
					}
					// All of them change this row.
					last, err := getString(w, plain, "last")
					if err != nil {
						return err
					}
					if err := w.Put(plain, []byte("last"), fmt.Appendf(nil, "%d-%d", c, i)); err != nil {
						return err
					}
					if _, err := w.NextSequence(sequential); err != nil {
						return err
					}
					if last == "failing" {
						return errors.New("an update sees what a failed one has written")
					}
					switch (c + i) % 6 {
					case 0:
						return errors.Join(w.Put(plain, []byte("last"), []byte("failing")), w.Delete(counted, key), errTest)
					case 3:
						if err := w.Put(plain, []byte("last"), []byte("failing")); err != nil {
							return err
						}
						panic("failing")
					}
					return nil
				})
				switch fails := (c+i)%3 == 0; {
				case !fails && err != nil:
					t.Errorf("update: %v", err)
				case fails && err == nil:
					t.Error("failing update: no error")
				}
			}
		})
	}
	wg.Wait()
	var want []string
	for c := range callers {
		for i := range rounds {
			if (c+i)%3 != 0 {
				want = append(want, row(fmt.Sprintf("%s%02d-%02d", p, c, i), "v"))
			}
		}
	}
	diff(t, "rows", h.rows(counted, directory.Range{}), want)
	diff(t, "count", h.count(counted, p), int64(len(want)))
	h.update(func(w directory.Writer) error {
		n, err := w.NextSequence(sequential)
		diff(t, "sequence", n, uint64(len(want)+1))
		return err
	})
}

func testSequence(t *testing.T, h *harness) {
	next := func(w directory.Writer, tb *directory.Table, want uint64) {
		t.Helper()
		if n, err := w.NextSequence(tb); n != want || err != nil {
			t.Errorf("NextSequence(%s) = %d, %v, want %d", tb.Name, n, err, want)
		}
	}
	h.update(func(w directory.Writer) error {
		next(w, plain, 1)
		next(w, plain, 2)
		next(w, sequential, 1)
		next(w, plain, 3)
		return nil
	})
	_ = h.Update(context.Background(), func(w directory.Writer) error {
		next(w, plain, 4)
		next(w, sequential, 2)
		return errTest
	})
	h.update(func(w directory.Writer) error {
		next(w, plain, 4)
		return nil
	})
	h.restart()
	h.update(func(w directory.Writer) error {
		next(w, plain, 5)
		next(w, sequential, 2)
		return nil
	})
}

// testSequenceOrder: readers follow the numbers while writers take them; some writers fail.
func testSequenceOrder(t *testing.T, h *harness) {
	const writers, rounds = 16, 25
	var done atomic.Bool
	var readers, wg sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			seen := 0
			for last := false; !last; {
				last = done.Load()
				_ = h.View(context.Background(), func(r directory.Reader) error {
					n := 0
					err := r.Scan(sequential, directory.Range{}, func(k, _ []byte) bool {
						n++
						if got := int(binary.BigEndian.Uint64(k)); got != n {
							t.Errorf("row %d has number %d", n, got)
							return false
						}
						return true
					})
					if n < seen {
						t.Errorf("%d rows after %d", n, seen)
					}
					seen = n
					if err != nil {
						t.Error(err)
					}
					return nil
				})
			}
			if seen == 0 {
				t.Error("the reader has seen nothing")
			}
		})
	}
	for c := range writers {
		wg.Go(func() {
			for i := range rounds {
				fails := (c+i)%5 == 0
				err := h.Update(context.Background(), func(w directory.Writer) error {
					n, err := w.NextSequence(sequential)
					if err != nil {
						return err
					}
					if err := w.Insert(sequential, []byte(number(int(n))), nil); err != nil {
						return err
					}
					if fails {
						return errTest
					}
					return nil
				})
				if (err != nil) != fails {
					t.Errorf("update: %v", err)
				}
			}
		})
	}
	wg.Wait()
	done.Store(true)
	readers.Wait()
	diff(t, "rows", len(h.rows(sequential, directory.Range{})), writers*rounds*4/5)
}

func testSnapshotIsolation(t *testing.T, h *harness) {
	p := prefix('p', 16)
	h.put(counted, p+"a", "1")
	h.put(counted, p+"b", "1")
	state := func(r directory.Reader) string {
		a, err := getString(r, counted, p+"a")
		c, err2 := getString(r, counted, p+"c")
		rows, err3 := scanStrings(r, counted, directory.Range{Prefix: []byte(p)}, -1)
		n, err4 := r.Count(counted, []byte(p))
		return fmt.Sprintf("%s %s %d %d %v", a, c, len(rows), n, errors.Join(err, err2, err3, err4))
	}
	var before, after, next string
	h.view(func(r directory.Reader) error {
		before = state(r)
		h.update(func(w directory.Writer) error {
			return errors.Join(
				w.Put(counted, []byte(p+"a"), []byte("2")),
				w.Delete(counted, []byte(p+"b")),
				w.Insert(counted, []byte(p+"c"), []byte("2")),
				w.Insert(counted, []byte(p+"d"), []byte("2")),
			)
		})
		after = state(r)
		h.view(func(r directory.Reader) error {
			next = state(r)
			return nil
		})
		return nil
	})
	diff(t, "before", before, "1 (none) 2 2 <nil>")
	diff(t, "in the same view", after, before)
	diff(t, "in a later view", next, "2 2 3 3 <nil>")
}

// testNothingUncommitted looks at the store from outside while an Update has written and not
// ended.
func testNothingUncommitted(t *testing.T, h *harness) {
	p := prefix('p', 16)
	h.put(counted, p+"a", "old")
	look := func() (s string) {
		err := h.View(context.Background(), func(r directory.Reader) error {
			a, err := getString(r, counted, p+"a")
			b, err2 := getString(r, counted, p+"b")
			n, err3 := r.Count(counted, []byte(p))
			s = fmt.Sprintf("%s %s %d", a, b, n)
			return errors.Join(err, err2, err3)
		})
		if err != nil {
			t.Error(err)
		}
		return s
	}
	h.update(func(w directory.Writer) error {
		err := errors.Join(w.Put(counted, []byte(p+"a"), []byte("new")), w.Put(counted, []byte(p+"b"), []byte("new")))
		seen := make(chan string)
		go func() { seen <- look() }()
		diff(t, "during the update", <-seen, "old (none) 1")
		return err
	})
	diff(t, "after the update", look(), "new new 2")
}

// testLongView holds a snapshot over hundreds of commits that free and use up its pages.
func testLongView(t *testing.T, h *harness) {
	const n = 400
	fill := func(round int) {
		h.update(func(w directory.Writer) error {
			for i := range n {
				key := []byte(number(i * 7919 % n))
				if round%4 == 3 && i%2 == 0 {
					if err := w.Delete(plain, key); err != nil {
						return err
					}
					continue
				}
				if err := w.Put(plain, key, bytes.Repeat([]byte{byte('a' + round%26)}, 50+round%100)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	fill(0)
	want := h.rows(plain, directory.Range{})
	h.view(func(r directory.Reader) error {
		for round := 1; round <= 120; round++ {
			fill(round)
			if round%20 == 0 {
				rows, err := scanStrings(r, plain, directory.Range{}, -1)
				if err != nil {
					return err
				}
				diff(t, "the old snapshot", rows, want)
			}
		}
		return nil
	})
	diff(t, "rows", len(h.rows(plain, directory.Range{})), n)
}

// testReadYourWrites: what a returned Update has written is in the next View of anybody.
func testReadYourWrites(t *testing.T, h *harness) {
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for i := range 30 {
				key, value := fmt.Sprintf("k%d", c), fmt.Sprint(i)
				err := h.Update(context.Background(), func(w directory.Writer) error {
					return w.Put(plain, []byte(key), []byte(value))
				})
				err2 := h.View(context.Background(), func(r directory.Reader) error {
					got, err := getString(r, plain, key)
					if got != value {
						t.Errorf("%s = %s, want %s", key, got, value)
					}
					return err
				})
				if err != nil || err2 != nil {
					t.Error(err, err2)
				}
			}
		})
	}
	wg.Wait()
}

func testSerialUpdates(t *testing.T, h *harness) {
	var wg sync.WaitGroup
	for range 160 {
		wg.Go(func() {
			err := h.Update(context.Background(), func(w directory.Writer) error {
				n := uint64(0)
				v, err := w.Get(plain, []byte("n"))
				if err != nil {
					return err
				}
				if v != nil {
					n = binary.BigEndian.Uint64(v)
				}
				return w.Put(plain, []byte("n"), binary.BigEndian.AppendUint64(nil, n+1))
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	diff(t, "160 increments", h.get(plain, "n"), number(160))
}

func testContextBefore(t *testing.T, h *harness) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ran := false
	err := h.Update(ctx, func(directory.Writer) error { ran = true; return nil })
	if ran || !errors.Is(err, context.Canceled) {
		t.Errorf("Update = %v, ran %v", err, ran)
	}
	ctx, cancel = context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	err = h.Update(ctx, func(directory.Writer) error { ran = true; return nil })
	if ran || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Update = %v, ran %v", err, ran)
	}
}

// testContextWaiting ends the context of an Update that waits behind another. It must return at
// once, and if it has not run fn then never do so. (A back end may also run both at a time.)
func testContextWaiting(t *testing.T, h *harness) {
	started, release := make(chan bool), make(chan bool)
	var once sync.Once
	first := make(chan error, 1)
	go func() {
		first <- h.Update(context.Background(), func(w directory.Writer) error {
			once.Do(func() { close(started) })
			<-release
			return w.Put(plain, []byte("first"), nil)
		})
	}()
	<-started
	ctx, cancel := context.WithCancel(context.Background())
	var ran atomic.Bool
	second := make(chan error, 1)
	go func() {
		second <- h.Update(ctx, func(w directory.Writer) error {
			ran.Store(true)
			return w.Put(plain, []byte("second"), nil)
		})
	}()
	time.Sleep(20 * time.Millisecond)
	cancel()
	select {
	case err := <-second:
		if !ran.Load() && !errors.Is(err, context.Canceled) {
			t.Errorf("waiting Update = %v", err)
		}
		second <- err
	case <-time.After(5 * time.Second):
		if !ran.Load() {
			t.Error("Update still waits after its context has ended")
		}
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	err := <-second
	h.put(plain, "third", "") // behind both
	want := "(none)"
	if err == nil {
		want = ""
	}
	diff(t, "the second's row", h.get(plain, "second"), want)
	if err != nil && ran.Load() && errors.Is(err, context.Canceled) {
		t.Error("fn has run although Update says that its context ended before")
	}
}

// testContextRunning: once fn has started, its outcome is what Update returns.
func testContextRunning(t *testing.T, h *harness) {
	for _, want := range []error{nil, errTest} {
		ctx, cancel := context.WithCancel(context.Background())
		err := h.Update(ctx, func(w directory.Writer) error {
			if err := w.Put(plain, []byte("k"), []byte("v")); err != nil {
				return err
			}
			cancel()
			time.Sleep(5 * time.Millisecond)
			return want
		})
		if err != want {
			t.Errorf("Update = %v, want %v", err, want)
		}
		diff(t, "row", h.get(plain, "k"), "v")
	}
}

func testReopen(t *testing.T, h *harness) {
	p := prefix('p', 32)
	for i := range 30 {
		h.update(func(w directory.Writer) error {
			n, err := w.NextSequence(counted32)
			if err != nil {
				return err
			}
			return w.Insert(counted32, []byte(p+number(int(n))), fmt.Appendf(nil, "value %d", i))
		})
	}
	want := h.rows(counted32, directory.Range{})
	for range 2 {
		h.restart()
		diff(t, "rows", h.rows(counted32, directory.Range{}), want)
		diff(t, "count", h.count(counted32, p), int64(len(want)))
		h.update(func(w directory.Writer) error {
			n, err := w.NextSequence(counted32)
			if err != nil {
				return err
			}
			key, value := p+number(int(n)), "after"
			want = append(want, row(key, value))
			return w.Insert(counted32, []byte(key), []byte(value))
		})
	}
	diff(t, "rows", h.rows(counted32, directory.Range{}), want)
}

// testLargeTransaction writes, reads and deletes 100,000 rows in one transaction each.
func testLargeTransaction(t *testing.T, h *harness) {
	n := 100_000
	if testing.Short() {
		n = 10_000
	}
	p := prefix('p', 16)
	key := func(i int) []byte { return []byte(p + number(i)) }
	h.put(counted, prefix('o', 16), "other")
	h.update(func(w directory.Writer) error {
		for i := range n {
			if err := w.Insert(counted, key(i*7919%n), fmt.Appendf(nil, "%d", i)); err != nil {
				return err
			}
		}
		got, err := w.Count(counted, []byte(p))
		diff(t, "count in the update", got, int64(n))
		return err
	})
	diff(t, "count", h.count(counted, p), int64(n))
	for _, reverse := range []bool{false, true} {
		i := 0
		h.view(func(r directory.Reader) error {
			return r.Scan(counted, directory.Range{Prefix: []byte(p), Reverse: reverse}, func(k, _ []byte) bool {
				want := i
				if reverse {
					want = n - 1 - i
				}
				i++
				return bytes.Equal(k, key(want))
			})
		})
		diff(t, "rows in order", i, n)
	}
	for _, skip := range []int{n / 2, n - 1, n} {
		rows := h.rows(counted, directory.Range{Prefix: []byte(p), Skip: skip})
		diff(t, "rows behind the skipped", len(rows), n-skip)
		if len(rows) > 0 && !strings.HasPrefix(rows[0], fmt.Sprintf("%x=", key(skip))) {
			t.Errorf("skip %d: %s", skip, rows[0])
		}
	}
	h.restart()
	diff(t, "count", h.count(counted, p), int64(n))
	h.update(func(w directory.Writer) error {
		for i := range n {
			if err := w.Delete(counted, key(i)); err != nil {
				return err
			}
		}
		return nil
	})
	diff(t, "count", h.count(counted, p), int64(0))
	diff(t, "rows", h.rows(counted, directory.Range{}), []string{row(prefix('o', 16), "other")})
}

// testMixed moves amounts between accounts while readers add them up.
func testMixed(t *testing.T, h *harness) {
	const accounts, total = 20, 20 * 100
	key := func(i int) []byte { return []byte(prefix('p', 16) + number(i)) }
	h.update(func(w directory.Writer) error {
		for i := range accounts {
			if err := w.Insert(counted, key(i), []byte(number(100))); err != nil {
				return err
			}
		}
		return nil
	})
	var done atomic.Bool
	var readers, writers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for last := false; !last; {
				last = done.Load()
				err := h.View(context.Background(), func(r directory.Reader) error {
					sum, rows := uint64(0), int64(0)
					err := r.Scan(counted, directory.Range{}, func(_, v []byte) bool {
						sum += binary.BigEndian.Uint64(v)
						rows++
						return true
					})
					n, err2 := r.Count(counted, key(0)[:16])
					if sum != total || n != rows {
						t.Errorf("sum %d of %d; %d rows, counted %d", sum, total, rows, n)
					}
					return errors.Join(err, err2)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for c := range 12 {
		writers.Go(func() {
			for i := range 40 {
				from, to := (c*7+i)%accounts, (c+i*3+1)%accounts
				if from == to {
					continue
				}
				err := h.Update(context.Background(), func(w directory.Writer) error {
					amount := func(i int) (uint64, error) {
						v, err := w.Get(counted, key(i))
						if v == nil || err != nil {
							return 0, err // a closed account: nothing on it
						}
						return binary.BigEndian.Uint64(v), nil
					}
					a, err := amount(from)
					if err != nil {
						return err
					}
					b, err := amount(to)
					if err != nil {
						return err
					}
					// All of it moves and the account closes.
					if err := w.Delete(counted, key(from)); err != nil {
						return err
					}
					if err := w.Put(counted, key(to), []byte(number(int(a+b)))); err != nil {
						return err
					}
					if i%4 == 0 {
						return errTest
					}
					return nil
				})
				if err != nil && !errors.Is(err, errTest) {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
}

func testStats(t *testing.T, h *harness) {
	before := h.Stats()
	if before.Bytes <= 0 {
		t.Errorf("%d bytes", before.Bytes)
	}
	for i := range 5 {
		h.put(plain, fmt.Sprint(i), strings.Repeat("x", 100_000))
	}
	_ = h.Update(context.Background(), func(directory.Writer) error { return errTest })
	h.view(func(directory.Reader) error { return nil })
	after := h.Stats()
	if c := after.Commits - before.Commits; c < 1 || c > 5 {
		t.Errorf("%d commits for 5 updates", c)
	}
	if u := after.Updates - before.Updates; u < 5 || u > 6 {
		t.Errorf("%d updates in commits, want 5", u)
	}
	if after.Bytes < before.Bytes+500_000 {
		t.Errorf("%d bytes, then %d", before.Bytes, after.Bytes)
	}
}

// testClose: Close waits for what runs; nothing runs afterwards.
func testClose(t *testing.T, h *harness) {
	viewing, updating, release := make(chan bool), make(chan bool), make(chan bool)
	view, update := make(chan error, 1), make(chan error, 1)
	go func() {
		view <- h.View(context.Background(), func(r directory.Reader) error {
			close(viewing)
			<-release
			_, err := scanStrings(r, plain, directory.Range{}, -1)
			return err
		})
	}()
	<-viewing
	var once sync.Once
	go func() {
		update <- h.Update(context.Background(), func(w directory.Writer) error {
			once.Do(func() { close(updating) })
			<-release
			return w.Put(plain, []byte("last"), []byte("written"))
		})
	}()
	<-updating
	closed := make(chan error, 1)
	go func() { closed <- h.Close() }()
	select {
	case err := <-closed:
		t.Fatalf("Close = %v while transactions run", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	for name, c := range map[string]chan error{"view": view, "update": update, "close": closed} {
		if err := <-c; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	ran := false
	if err := h.Update(context.Background(), func(directory.Writer) error { ran = true; return nil }); err == nil || ran {
		t.Errorf("Update after Close = %v, ran %v", err, ran)
	}
	if err := h.View(context.Background(), func(directory.Reader) error { ran = true; return nil }); err == nil || ran {
		t.Errorf("View after Close = %v, ran %v", err, ran)
	}
	h.Store = h.reopen()
	diff(t, "the last row", h.get(plain, "last"), "written")
}
