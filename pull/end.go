package pull

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// endTime bounds the writing of a run's end, which goes on when the run itself was cut off.
const endTime = 30 * time.Second

// keptConflicts bounds how many conflicts are remembered, so that the log is told of each once.
const keptConflicts = 1000

// end keeps how a run ended and what the next one has to know.
func (j *job) end(err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(j.a.ctx), endTime)
	defer cancel()
	now := j.now()
	state, runError := j.outcome(err)
	// Who asks sees a run that has ended as running until its end is kept: only then can somebody
	// decide about it.
	j.a.edit(func(run *directory.Run) { run.Ended, run.Stage, run.StageStarted = now, "", time.Time{} })
	run := j.a.show()
	run.State, run.Error = state, runError
	if state == directory.RunQuarantined && runError != nil {
		run.Reasons, run.Findings = []string{runError.Detail}, nil
	}
	conflicts := j.conflicts()
	var told map[string]string
	saved := j.Service.SaveRun(ctx, run, func(s *directory.PullState) {
		told = maps.Clone(s.Conflicts)
		j.remember(s, run, err, now)
		if conflicts != nil {
			s.Conflicts = texts(conflicts)
		}
	})
	if saved != nil {
		j.Log.Error("the end of a pull run could not be kept", "run", run.ID, "environment", run.EnvironmentID, "error", saved)
		return
	}
	j.logConflicts(ctx, conflicts, told)
	j.report(run, err)
	if j.Ended != nil {
		j.Ended(run)
	}
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// outcome is the state that an error leaves a run in.
func (j *job) outcome(err error) (directory.RunState, *directory.RunError) {
	var e *Error
	switch {
	case err == nil && j.a.options.Preview:
		return directory.RunPreview, nil
	case err == nil && len(j.verdict.reasons) > 0 && !j.verdict.approved:
		return directory.RunQuarantined, nil
	case err == nil:
		return directory.RunComplete, nil
	case errors.Is(err, errCancelled):
		return directory.RunCancelled, nil
	case j.ctx.Err() != nil:
		return directory.RunInterrupted, nil
	case errors.Is(err, directory.ErrStale):
		return directory.RunFailed, &directory.RunError{Class: string(Configuration), Detail: directory.ErrStale.Error() + "; the next run plans anew"}
	case errors.Is(err, errDeadline):
		return directory.RunFailed, &directory.RunError{Class: string(Unavailable), Detail: errDeadline.Error() + " (" + j.Settings.Deadline.String() + "); what was applied stays, the next run goes on"}
	case errors.As(err, &e):
		state := directory.RunFailed
		if e.Class == ScopeMissing { // waits for somebody to correct Groups to Sync
			state = directory.RunQuarantined
		}
		return state, &directory.RunError{Class: string(e.Class), Detail: e.Detail, Code: e.Code, RequestID: e.RequestID}
	}
	var d *directory.Error
	if errors.As(err, &d) && d.Kind != directory.Internal {
		return directory.RunFailed, &directory.RunError{Class: string(Configuration), Detail: d.Detail}
	}
	return directory.RunFailed, &directory.RunError{Class: "internal", Detail: "the server could not go on with the run; its log says why"}
}

// remember changes what the pull knows of the environment after a run. A preview leaves it as it
// was: it is neither one of the reads that follow one another nor the run that was due.
func (j *job) remember(s *directory.PullState, run *directory.Run, err error, now time.Time) {
	if wait := max(retryAfter(err), j.wait); wait > 0 {
		s.NotBefore = now.Add(wait)
	} else if !j.a.options.Preview { // that it began says that the time is over
		s.NotBefore = time.Time{}
	}
	if j.a.options.Preview {
		return
	}
	s.LastRun = run.ID
	s.Next = now.Add(j.jittered(j.Settings.Interval))
	if j.plan != nil {
		s.Absent = j.stillAbsent(s.Absent)
	}
	switch run.State {
	case directory.RunComplete:
		s.LastSuccess, s.Failures, s.Quarantined = now, 0, directory.ID{}
		j.dropApproval(s)
		if j.verdict.looked {
			s.Settings, s.DirectoryID, s.Cloud = j.settings, j.tenant.DirectoryID, string(cloudOf(j.tenant.Graph))
		}
	case directory.RunQuarantined:
		if run.Error != nil {
			j.failed(s, now)
			s.Quarantined = run.ID
			break
		}
		s.Failures = 0
		j.dropApproval(s)
		if run.PlanOf.IsZero() {
			s.Quarantined = run.ID
		}
	case directory.RunCancelled:
		// Who cancels a run that was allowed does not want it done by the next one.
		if s.Approval != nil && !s.Approval.Given.After(run.Started) {
			s.Approval = nil
		}
	case directory.RunInterrupted:
		s.Next = time.Time{}
	case directory.RunFailed:
		if errors.Is(err, directory.ErrStale) {
			s.Next = now.Add(time.Minute)
			break
		}
		j.failed(s, now)
	}
	if s.Next.Before(s.NotBefore) && !s.Next.IsZero() {
		s.Next = s.NotBefore
	}
}

// failed backs off.
func (j *job) failed(s *directory.PullState, now time.Time) {
	s.Failures++
	s.Next = now.Add(j.jittered(backoff(j.Settings.Interval, s.Failures)))
}

// stillAbsent drops those of whom the run has done what there was to do: should they come back, the
// next absence is their first.
func (j *job) stillAbsent(absent []directory.Absence) []directory.Absence {
	applied := map[directory.ID]bool{}
	for _, e := range j.plan.entries {
		if e.Outcome == directory.OutcomeApplied {
			applied[e.UserID] = true
		}
	}
	return slices.DeleteFunc(absent, func(a directory.Absence) bool { return applied[a.UserID] })
}

// jittered is a pause 10 % longer or shorter, so that environments do not run in step.
func (r *Reconciler) jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*r.Random()))
}

// backoff is the pause after that many failures in a row: twice as long each time, an hour at most.
func backoff(interval time.Duration, failures int) time.Duration {
	d := interval
	for range failures {
		d *= 2
		if d >= MaxBackoff {
			return max(interval, MaxBackoff)
		}
	}
	return d
}

// conflicts are the people of a plan with whom something is wrong; nil when the run made none. More
// than keptConflicts say nothing more.
func (j *job) conflicts() []*entry {
	if j.plan == nil || j.a.options.Preview {
		return nil
	}
	list := []*entry{}
	for _, e := range j.plan.entries {
		if e.Outcome == directory.OutcomeConflict || e.Outcome == directory.OutcomeFailed {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *entry) int { return strings.Compare(a.key(), b.key()) })
	return list[:min(len(list), keptConflicts)]
}

func texts(conflicts []*entry) map[string]string {
	m := make(map[string]string, len(conflicts))
	for _, e := range conflicts {
		m[e.key()] = e.why()
	}
	return m
}

func (e *entry) key() string { return e.ObjectID.String() + e.UserID.String() }

func (e *entry) why() string { return cmp.Or(e.Detail, e.Reason) }

// logConflicts tells the provisioning log of each conflict once, not every 15 minutes.
func (j *job) logConflicts(ctx context.Context, conflicts []*entry, told map[string]string) {
	for _, e := range conflicts {
		if told[e.key()] == e.why() {
			continue
		}
		line := directory.LogEvent{TenantID: j.tenant.ID, Action: directory.ActionOther, TargetType: "User", TargetName: e.UserName,
			ExternalID: e.ObjectID.String(), Detail: e.why()}
		if !e.UserID.IsZero() {
			line.TargetID = e.UserID.String()
		}
		if err := j.Service.LogFailure(ctx, j.a.actor(), line); err != nil {
			j.Log.Error("a conflict of a pull could not be logged", "run", j.a.id, "error", err)
			return
		}
	}
}

// report writes the operator's log line of a run: no names.
func (j *job) report(run *directory.Run, err error) {
	attrs := []any{"run", run.ID, "environment", run.EnvironmentID, "trigger", run.Trigger, "state", run.State,
		"took", run.Ended.Sub(run.Started), "people", run.Counts.People, "drift", run.Counts.Drift(), "applied", run.Counts.Applied,
		"deactivated", run.Counts.Deactivated, "requests", run.Requests}
	switch run.State {
	case directory.RunFailed:
		j.Log.Error("a pull run failed", append(attrs, "error", err)...)
	case directory.RunQuarantined:
		j.Log.Warn("a pull run waits for a decision", append(attrs, "reasons", run.Reasons)...)
	default:
		j.Log.Info("pull run", attrs...)
	}
}
