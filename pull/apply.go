package pull

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/bizzstream/bizzscim/directory"
)

// apply does what is planned and certain: groups first, then people, several at a time.
func (j *job) apply(ctx context.Context) error {
	if err := j.makeGroups(ctx); err != nil {
		return err
	}
	batches := j.plan.batches()
	total := 0
	for _, b := range batches {
		total += len(b)
	}
	j.stage(directory.StageApply, total)
	scope := directory.RepairScope{Run: j.a.show(), Integration: j.env.Integration, Watch: j.t.watch}
	g, work := errgroup.WithContext(ctx)
	g.SetLimit(j.Settings.Workers)
	for _, batch := range batches {
		if work.Err() != nil { // the safe point of a cancelled run: between two people
			break
		}
		g.Go(func() error { return guarded(func() error { return j.applyBatch(work, scope, batch) }) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// actor is who the pull is in the log.
func (a *activeRun) actor() directory.Actor {
	by := a.by
	by.Role, by.Channel, by.RunID = directory.RoleDirectory, "pull", a.id
	return by
}

// makeGroups provisions the groups that push has not. Where push has, meanwhile, the people who
// would go into it are left to the next run.
func (j *job) makeGroups(ctx context.Context) error {
	for n := range j.plan.groups {
		g := &j.plan.groups[n]
		if len(g.ids) > 0 {
			continue
		}
		var people []*entry
		for _, e := range j.plan.entries {
			if e.Outcome == directory.OutcomePlanned && (slices.Contains(e.join, uint16(n)) || slices.Contains(e.inNew, uint16(n))) {
				people = append(people, e)
			}
		}
		if len(people) == 0 {
			continue
		}
		made, err := j.makeGroup(ctx, g)
		switch {
		case errors.Is(err, directory.ErrMoved):
			err = j.refuse(ctx, people, directory.OutcomeSkipped, "push made or deleted the group "+g.name+" after the read began; the next run looks again")
		case isRefusal(err):
			err = j.refuse(ctx, people, directory.OutcomeFailed, "the group "+g.name+" cannot be made: "+detailOf(err))
		case err == nil:
			g.ids = []directory.ID{made.ID}
		}
		if err != nil {
			return err
		}
	}
	j.plan.follow()
	return nil
}

func (j *job) makeGroup(ctx context.Context, g *groupPlan) (*directory.Group, error) {
	err := j.Service.View(ctx, func(sn *directory.Snapshot) error {
		taken, err := sn.GroupTakenByPush(j.tenant.ID, g.object)
		if err == nil && taken != g.taken {
			err = directory.ErrMoved
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	made, err := j.Service.CreateGroup(ctx, j.a.actor(), j.tenant.ID, j.resource.Group(g.name, g.object), nil)
	if directory.KindOf(err) == directory.Exists { // Entra allows two groups of one name, SCIM does not
		made, err = j.Service.CreateGroup(ctx, j.a.actor(), j.tenant.ID, j.resource.Group(g.name+" ("+g.object+")", g.object), nil)
	}
	return made, err
}

// isRefusal reports whether an error is about what was asked for, and not about the server.
func isRefusal(err error) bool {
	var refused *directory.Error
	return errors.As(err, &refused) && refused.Kind != directory.Internal && refused.Kind != directory.Unavailable
}

// applyBatch applies one batch. What goes wrong with one person is kept with the person; only what
// ends the whole run is an error.
func (j *job) applyBatch(ctx context.Context, scope directory.RepairScope, batch []*entry) error {
	repairs := make([]directory.Repair, len(batch))
	for i, e := range batch {
		repairs[i] = j.repair(e)
	}
	items, err := j.Service.Repair(ctx, scope, repairs)
	switch {
	case err == nil:
		j.applied(batch, items)
	case errors.Is(err, directory.ErrMoved):
		err = j.refuse(ctx, batch, directory.OutcomeSkipped, detailOf(err))
	case isRefusal(err):
		err = j.refuse(ctx, batch, directory.OutcomeFailed, detailOf(err))
	}
	j.a.advance(len(batch))
	return err
}

func (j *job) repair(e *entry) directory.Repair {
	rep := directory.Repair{Item: e.PlanItem, ObjectID: e.object, Version: e.version, Leave: e.leave, In: e.in, Out: e.out}
	for _, n := range e.join {
		rep.Join = append(rep.Join, j.plan.groups[n].ids[0])
	}
	for _, n := range e.inNew {
		rep.In = append(slices.Clip(rep.In), j.plan.groups[n].ids[0])
	}
	if e.overrides != nil {
		rep.Update = func(before *directory.User) (directory.UserInput, error) {
			return j.resource.User(before, *e.overrides)
		}
	}
	return rep
}

func (j *job) applied(batch []*entry, items []directory.PlanItem) {
	j.a.edit(func(run *directory.Run) {
		for i, e := range batch {
			e.PlanItem = items[i]
			count(run, &e.PlanItem, e.unapproved)
		}
	})
}

// count adds what an applied item did to the counts of its run. What a person has allowed is no part
// of the figures that stop a run; unapproved are environments that the person was not asked about.
func count(run *directory.Run, item *directory.PlanItem, unapproved []directory.ID) {
	run.Counts.Applied++
	for _, x := range item.Accesses {
		if x.Effect != directory.Deactivated {
			continue
		}
		here := x.EnvironmentID == run.EnvironmentID
		if here {
			run.Counts.Deactivated++
		}
		if run.Approval != nil && !slices.Contains(unapproved, x.EnvironmentID) {
			if here {
				run.Counts.Approved++
			}
			continue
		}
		if run.Deactivations == nil {
			run.Deactivations = map[string]int{}
		}
		run.Deactivations[x.EnvironmentID.String()]++
	}
}

// refuse keeps why some people were left out.
func (j *job) refuse(ctx context.Context, people []*entry, outcome directory.Outcome, why string) error {
	for _, e := range people {
		e.set(outcome, why)
	}
	j.a.edit(func(run *directory.Run) {
		if outcome == directory.OutcomeSkipped {
			run.Counts.Skipped += len(people)
		} else {
			run.Counts.Failed += len(people)
		}
	})
	return j.saveItems(ctx, people)
}
