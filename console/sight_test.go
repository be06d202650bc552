package console_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/console"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// An export ends at its bound, and says so only when there is more.
func TestExportsAreBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		most  int
		pages [][]int
		want  []int
		cut   bool
		reads int
	}{
		"less":                    {4, [][]int{{1, 2}, {3}}, []int{1, 2, 3}, false, 1},
		"as many":                 {3, [][]int{{1, 2}, {3}}, []int{1, 2, 3}, false, 1},
		"as many, an empty page":  {3, [][]int{{1, 2}, {3}, {}}, []int{1, 2, 3}, false, 2},
		"more on the page":        {2, [][]int{{1, 2, 3}}, []int{1, 2}, true, 0},
		"more on the next page":   {2, [][]int{{1, 2}, {3}, {4}}, []int{1, 2}, true, 1},
		"more behind empty pages": {1, [][]int{{}, {1}, {}, {2}, {3}}, []int{1}, true, 3},
		"nothing":                 {2, [][]int{{}}, nil, false, 0},
	} {
		got, cut, reads, err := console.ExportPages(c.most, c.pages...)
		if err != nil || !slices.Equal(got, c.want) || cut != c.cut || reads != c.reads {
			t.Errorf("%s: %v, cut: %v, %d pages read, %v", name, got, cut, reads, err)
		}
	}
	if console.MaxExport != 100_000 {
		t.Errorf("an export holds %d lines, not what its page says", console.MaxExport)
	}
}

// Who is no administrator any more does not see how a run ends, though the session and the region were open.
func TestRunProgressByAdministrator(t *testing.T) {
	t.Parallel()
	w := newRunsWorld(t)
	w.hire(700, 3)
	there, goOn := make(chan struct{}), make(chan struct{})
	w.Source.Hook(func(c pulltest.Call) {
		if c.Op == pulltest.OpMembers && c.When == pulltest.During && c.Delivered == 2 {
			close(there)
			<-goOn
		}
	})
	path := w.admin.Post(w.sync).To
	<-there
	next, end := follow(t, w.admin, path+"/progress")
	defer end()
	if first := next(); first == "" {
		t.Error("nothing is told")
	}
	_, err := w.Service.SetAdministrator(t.Context(), apptest.Operator, w.Fjord.Admin.ID, w.Fjord.Production.ID, false)
	w.Must(err)
	close(goOn)
	id, _ := directory.ParseID(strings.TrimPrefix(path, "/runs/"))
	w.WaitRun(id)
	if more := next(); more != "gone" {
		t.Errorf("who is no administrator any more is told: %s", more)
	}
}
