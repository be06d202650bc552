package pull_test

import (
	"testing"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// BenchmarkUnchanged is a whole run over people of whom nothing differs. The source in memory is a
// part of it: BenchmarkRead is what that costs alone.
func BenchmarkUnchanged(b *testing.B) {
	const people = 100_000
	w := openWorld(b.Context(), b, b.TempDir()+"/directory.db")
	defer w.close()
	w.people(1, 1, people)
	w.settle()
	b.ReportAllocs()
	for b.Loop() {
		if run := w.sync(); run.Counts.Unchanged != people || run.State != directory.RunComplete {
			b.Fatalf("%+v", run.Counts)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/people, "ns/person")
}

func BenchmarkRead(b *testing.B) {
	const people = 100_000
	w := openWorld(b.Context(), b, b.TempDir()+"/directory.db")
	defer w.close()
	w.people(1, 1, people)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if _, err := w.src.Members(b.Context(), pulltest.GroupID(1), false, func(p pull.Person) error { n += len(p.Mail); return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
