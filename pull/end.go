package pull

import (
	"context"
	"errors"
	"maps"
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
	j.a.edit(func(run *directory.Run) {
		run.Ended, run.Stage = now, ""
		run.State, run.Error = j.outcome(err)
		if run.State == directory.RunQuarantined && run.Error != nil {
			run.Reasons = []string{run.Error.Detail}
		}
	})
	run := j.a.show()
	conflicts := j.conflicts()
	var told map[string]string
	saved := j.Service.SaveRun(ctx, run, func(s *directory.PullState) {
		told = maps.Clone(s.Conflicts)
		j.remember(s, run, err, now)
		if j.plan != nil {
			s.Conflicts = conflicts
		}
	})
	if saved != nil {
		j.Log.Error("the end of a pull run could not be kept", "run", run.ID, "environment", run.EnvironmentID, "error", saved)
		return
	}
	j.logConflicts(ctx, told)
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
	case err == nil && j.a.run.Preview:
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

// remember changes what the pull knows of the environment after a run.
func (j *job) remember(s *directory.PullState, run *directory.Run, err error, now time.Time) {
	s.LastRun = run.ID
	s.Next = now.Add(j.jittered(j.Settings.Interval))
	if j.plan != nil && err == nil { // a complete read and everything that follows from it
		s.Absent = j.stillAbsent()
	}
	var e *Error
	switch {
	case run.State == directory.RunComplete:
		s.LastSuccess, s.Failures, s.NotBefore, s.Quarantined, s.Approval = now, 0, time.Time{}, directory.ID{}, nil
		s.Settings, s.DirectoryID, s.Cloud = j.settings, j.tenant.DirectoryID, string(cloudOf(j.tenant.Graph))
	case run.State == directory.RunQuarantined && run.Error == nil:
		s.Failures, s.NotBefore, s.Approval = 0, time.Time{}, nil
		if run.PlanOf.IsZero() {
			s.Quarantined = run.ID
		}
	case run.State == directory.RunInterrupted:
		s.Next = time.Time{}
	case run.State == directory.RunFailed || run.State == directory.RunQuarantined:
		if errors.Is(err, directory.ErrStale) {
			s.Next = now.Add(time.Minute)
			break
		}
		if run.State == directory.RunQuarantined {
			s.Quarantined = run.ID
		}
		s.Failures++
		s.Next = now.Add(j.jittered(backoff(j.Settings.Interval, s.Failures)))
		if errors.As(err, &e) && e.RetryAfter > 0 {
			s.NotBefore = now.Add(e.RetryAfter)
			if s.Next.Before(s.NotBefore) {
				s.Next = s.NotBefore
			}
		}
	}
}

// stillAbsent are those whom this read did not find and who are as they were.
func (j *job) stillAbsent() (list []directory.Absence) {
	applied := map[directory.ID]bool{}
	for _, e := range j.plan.entries {
		if e.Outcome == directory.OutcomeApplied {
			applied[e.UserID] = true
		}
	}
	for _, a := range j.absent {
		if !applied[a.UserID] {
			list = append(list, a)
		}
	}
	return list
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

// conflicts are the people of a plan with whom something is wrong, and what.
func (j *job) conflicts() map[string]string {
	if j.plan == nil {
		return nil
	}
	m := map[string]string{}
	for _, e := range j.plan.entries {
		if e.isConflict() && len(m) < keptConflicts {
			m[e.key()] = e.why()
		}
	}
	return m
}

func (e *entry) isConflict() bool {
	return e.Outcome == directory.OutcomeConflict || e.Outcome == directory.OutcomeFailed
}

func (e *entry) key() string { return e.ObjectID.String() + e.UserID.String() }

func (e *entry) why() string {
	if e.Detail != "" {
		return e.Detail
	}
	return e.Reason
}

// logConflicts tells the provisioning log of each conflict once, not every 15 minutes.
func (j *job) logConflicts(ctx context.Context, told map[string]string) {
	if j.plan == nil {
		return
	}
	by := j.a.run.Actor
	by.Role, by.Channel, by.RunID = directory.RoleDirectory, "pull", j.a.run.ID
	for _, e := range j.plan.entries {
		if !e.isConflict() || told[e.key()] == e.why() {
			continue
		}
		line := directory.LogEvent{TenantID: j.tenant.ID, Action: directory.ActionOther, TargetType: "User", TargetName: e.UserName,
			ExternalID: e.ObjectID.String(), Detail: e.why()}
		if !e.UserID.IsZero() {
			line.TargetID = e.UserID.String()
		}
		if err := j.Service.LogFailure(ctx, by, line); err != nil {
			j.Log.Error("a conflict of a pull could not be logged", "run", j.a.run.ID, "error", err)
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
