package directory_test

import (
	"github.com/bizzstream/bizzscim/directory"
)

// holdRun puts a run into quarantine.
func (w *world) holdRun(run *directory.Run) {
	w.Helper()
	run.State, run.Ended, run.Hash, run.Reasons = directory.RunQuarantined, w.clock.Now(), "1234", []string{"nobody is left"}
	if err := w.svc.SaveRun(w.ctx, run, func(st *directory.PullState) { st.LastRun, st.Quarantined = run.ID, run.ID }); err != nil {
		w.Fatalf("SaveRun: %v", err)
	}
}

func (w *world) quarantine(env directory.ID) *directory.Run {
	w.Helper()
	run := w.startRun(env)
	w.holdRun(run)
	return run
}
