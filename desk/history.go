package desk

import (
	"context"
	"slices"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// History is how an environment was lately, oldest first.
type History struct {
	Actives []Point      `json:"actives" nullable:"false" doc:"People with active access at the start of each of the last 30 days (UTC), and now; the first days are absent where too much has happened since"`
	Pushes  []Point      `json:"pushes" nullable:"false" doc:"Changes that push made in its tenant in each minute of the last hour; the first minutes are absent where there were too many"`
	Runs    []RunSummary `json:"runs" nullable:"false" doc:"The last runs that ended, at most 40"`
}

// Point is a figure at a time.
type Point struct {
	Time  time.Time `json:"time"`
	Value int64     `json:"value"`
}

// How far back a history looks.
const (
	historyDays    = 30
	historyMinutes = 60
	historyRuns    = 40
	historyEvents  = 2000 // lines of a log that are read at most
)

// EnvironmentHistory shows how an environment was lately.
func (d *Desk) EnvironmentHistory(ctx context.Context, by directory.Actor, id directory.ID) (History, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (out History, err error) {
		env, err := sn.SeeEnvironment(by, id)
		if err != nil {
			return out, err
		}
		if out.Actives, err = d.actives(sn, env); err != nil {
			return out, err
		}
		if out.Pushes, err = d.pushes(sn, env); err != nil {
			return out, err
		}
		out.Runs = []RunSummary{}
		err = sn.Runs(id, func(r *directory.Run) bool {
			if r.State != directory.RunRunning && r.Trigger != "sign-in" {
				out.Runs = append(out.Runs, summary(r))
			}
			return len(out.Runs) < historyRuns
		})
		slices.Reverse(out.Runs)
		return out, err
	})
}

// actives counts back from now by what the log says of each change of an access.
func (d *Desk) actives(sn *directory.Snapshot, env *directory.Environment) ([]Point, error) {
	now := d.Now().UTC()
	active, err := sn.EnvironmentAccessCount(env.ID, true)
	if err != nil {
		return nil, err
	}
	points := []Point{{now, active}}
	midnight := now.Truncate(24 * time.Hour)
	first := midnight.AddDate(0, 0, -historyDays+1)
	if created := env.Created.UTC(); created.After(first) {
		first = created
	}
	before := func(until time.Time) { // the days that began after until did so with those who are active in between
		for ; midnight.After(until) && !midnight.Before(first); midnight = midnight.AddDate(0, 0, -1) {
			points = append(points, Point{midnight, max(0, active)})
		}
	}
	lines, whole := 0, true
	err = sn.EnvironmentLog(env.ID, 0, true, func(e *directory.LogEvent) bool {
		before(e.Time)
		if lines++; lines > historyEvents {
			whole = false
		}
		if !whole || midnight.Before(first) {
			return false
		}
		active -= balance(e, env.ID)
		return true
	})
	if whole {
		before(time.Time{})
	}
	slices.Reverse(points)
	return points, err
}

// balance is how many more people had active access to an environment after an event than before.
func balance(e *directory.LogEvent, env directory.ID) (n int64) {
	for _, a := range e.Accesses {
		switch {
		case a.EnvironmentID != env:
		case a.Effect == directory.Deactivated:
			n--
		default:
			n++
		}
	}
	return n
}

// pushes counts the changes of push by the minute.
func (d *Desk) pushes(sn *directory.Snapshot, env *directory.Environment) ([]Point, error) {
	points := []Point{}
	if !env.Integration.Enabled || env.Integration.TenantID.IsZero() {
		return points, nil
	}
	end := d.Now().UTC().Truncate(time.Minute)
	first := end.Add(-(historyMinutes - 1) * time.Minute)
	counts := map[time.Time]int64{}
	lines := 0
	err := sn.Log(env.Integration.TenantID, 0, true, func(e *directory.LogEvent) bool {
		at := e.Time.UTC().Truncate(time.Minute)
		if at.Before(first) {
			return false
		}
		if lines++; lines > historyEvents {
			first = at.Add(time.Minute) // this one was not read to its start
			return false
		}
		if e.Actor.Channel == "scim" {
			counts[at]++
		}
		return true
	})
	for at := first; !at.After(end); at = at.Add(time.Minute) {
		points = append(points, Point{at, counts[at]})
	}
	return points, err
}
