package pull

import (
	"context"
	"slices"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// absences are what a second read has to see once more.
func (e *entry) absences() (list []directory.Absence) {
	if e.UserID.IsZero() {
		return nil
	}
	if e.disable {
		return []directory.Absence{{UserID: e.UserID}}
	}
	for _, g := range slices.Concat(e.leave, e.out) {
		list = append(list, directory.Absence{UserID: e.UserID, GroupID: g})
	}
	return list
}

// apartInterval is the part of the interval that two complete reads have to lie apart to decide
// without a point read: what answers the lists may be minutes behind, and then two reads at once are one.
const apartInterval = 2.0 / 3

// since is when the first of the complete reads in a row began that saw an absence, this one's where
// it is the first.
func (j *job) since(before map[directory.Absence]time.Time, list []directory.Absence) []directory.Absence {
	for i, a := range list {
		var ok bool
		if list[i].Since, ok = before[a]; !ok {
			list[i].Since = j.began
		}
	}
	return list
}

// seenBefore are the absences that the complete read before this one saw.
func (j *job) seenBefore() map[directory.Absence]time.Time {
	before := make(map[directory.Absence]time.Time, len(j.state.Absent))
	for _, a := range j.state.Absent {
		before[directory.Absence{UserID: a.UserID, GroupID: a.GroupID}] = a.Since
	}
	return before
}

// confirm makes sure of everyone whose access would go, and of everyone whom push has deleted: by a
// point read, or by the complete read before this one.
func (j *job) confirm(ctx context.Context) error {
	var doubtful []*entry
	for _, e := range j.plan.entries {
		if e.Outcome == directory.OutcomePlanned && e.needs {
			doubtful = append(doubtful, e)
		}
	}
	if len(doubtful) == 0 {
		return nil
	}
	j.stage(directory.StageConfirm, len(doubtful))
	answers, err := j.ask(ctx, doubtful)
	if err != nil {
		return err
	}
	before := map[directory.Absence]bool{}
	for a, since := range j.seenBefore() {
		before[a] = j.began.Sub(since) >= time.Duration(float64(j.Settings.Interval)*apartInterval)
	}
	var gone []*entry
	for _, e := range doubtful {
		answer, ok := answers[e.ObjectID]
		sure := j.plan.sure(e, answer, ok, before, j.env.Integration.Transitive)
		switch {
		case !sure:
			e.Outcome = directory.OutcomeWaiting
		case ok && !e.UserID.IsZero() && !e.disable && (!answer.Found || !answer.Enabled):
			gone = append(gone, e)
		}
	}
	if err := j.disableInstead(ctx, gone); err != nil {
		return err
	}
	j.plan.follow()
	j.plan.tally()
	j.a.edit(func(run *directory.Run) { run.Counts = j.plan.counts })
	return j.saveItems(ctx, slices.DeleteFunc(slices.Clone(j.plan.entries), func(e *entry) bool {
		return e.Outcome != directory.OutcomeWaiting && !e.needs
	}))
}

// confirmBatch is how many people are asked for before the run says how far it is: full batches of Graph's.
const confirmBatch = 200

// ask reads the people one by one. Where the directory cannot answer that, two complete reads have to
// do.
func (j *job) ask(ctx context.Context, people []*entry) (map[directory.ID]Confirmation, error) {
	ids, groups := make([]directory.ID, len(people)), slices.Clone(j.env.Integration.Groups)
	for i, e := range people {
		ids[i] = e.ObjectID
		groups = append(groups, e.elsewhere...)
	}
	if !j.env.Integration.Transitive { // who is in none of the nested groups is in the group itself
		for _, g := range j.plan.groups {
			for _, id := range g.nested {
				groups = append(groups, id.String())
			}
		}
	}
	slices.Sort(groups)
	groups = slices.Compact(groups)
	answers := make(map[directory.ID]Confirmation, len(ids))
	for some := range slices.Chunk(ids, confirmBatch) {
		list, err := j.t.source.Confirm(ctx, some, groups)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			j.wait = retryAfter(j.t.failed(err))
			j.note("the directory did not answer for single people (%s): only those are done whom two complete reads in a row did not find", detailOf(err))
			return nil, nil
		}
		for _, c := range list {
			answers[c.ID] = c
		}
		j.a.advance(len(some))
	}
	return answers, nil
}

// sure decides whether an entry is certain enough to be applied: why not is its Detail, why its
// Evidence.
func (p *plan) sure(e *entry, answer Confirmation, answered bool, before map[directory.Absence]bool, transitive bool) bool {
	if e.UserID.IsZero() {
		return e.isBack(answer, answered, p.objectsOf())
	}
	absences := e.absences()
	twice := len(absences) > 0 && !slices.ContainsFunc(absences, func(a directory.Absence) bool { return !before[a] })
	switch {
	case !answered && !twice:
		e.Detail = "one read alone takes nothing away: waits for the next complete read"
		return false
	case !answered:
		e.Evidence = "two complete reads in a row"
	case !answer.Found:
		e.Evidence = "point read: there is no such user any more"
	case !answer.Enabled:
		e.Evidence = "point read: disabled"
	case e.disable:
		e.Detail = "the list says disabled, a point read says enabled: waits for the list to catch up"
		return false
	default:
		if e.Detail = p.contradicted(e, answer, twice, transitive); e.Detail != "" {
			return false
		}
		e.Evidence = "point read: not in the group"
		if twice {
			e.Evidence += "; two complete reads in a row"
		}
	}
	return true
}

func (p *plan) objectsOf() (list []string) {
	for _, g := range p.groups {
		list = append(list, g.object)
	}
	return list
}

// isBack decides whether a person whom push has deleted is in the directory.
func (e *entry) isBack(answer Confirmation, answered bool, own []string) bool {
	if answered && answer.Found && answer.Enabled && slices.ContainsFunc(answer.Groups, func(g string) bool { return slices.Contains(own, g) }) {
		e.Evidence = "point read: exists, is enabled and in the group"
		return true
	}
	e.Detail = "push deleted this person; a point read has to say that the person exists, is enabled and in the group"
	return false
}

// contradicted says in which group a point read finds a person whom the list does not show there;
// empty when in none. Where the access to the environment goes, any of its groups counts, also one that
// the person was not in before: who moves from one to another keeps the access, unless it is explained by a nested
// group that does not count. The point read sees nested groups too: a person whom it finds in one of these
// may be in the group through it alone, and then two complete reads decide.
func (p *plan) contradicted(e *entry, answer Confirmation, twice, transitive bool) string {
	for n, g := range p.groups {
		if !slices.Contains(answer.Groups, g.object) {
			continue
		}
		is := func(id directory.ID) bool { return slices.Contains(g.ids, id) }
		nested := slices.Contains(e.through, uint16(n)) || !transitive && slices.ContainsFunc(g.nested, func(id directory.ID) bool {
			return slices.Contains(answer.Groups, id.String())
		})
		switch {
		case slices.ContainsFunc(e.leave, is) && !(nested && twice):
			return "the list does not show this person in " + g.label() + ", a point read does: waits for the list to catch up"
		case slices.ContainsFunc(e.out, is) && !slices.ContainsFunc(e.leave, is) && !slices.Contains(e.direct, uint16(n)):
			return "the list does not show this person in a group within " + g.label() + ", a point read does: waits for the list to catch up"
		case e.Kind == directory.ItemRevoke && !listed(e, n) && !nested:
			return "the list does not show this person in " + g.label() + " yet, a point read does: waits for the list to catch up"
		}
	}
	for _, object := range e.elsewhere {
		if (!twice || slices.Contains(e.patient, object)) && slices.Contains(answer.Groups, object) {
			return "is in group " + object + " of another environment, which has to take this person in before: waits for its run"
		}
	}
	return ""
}

// listed reports whether the read found the person in a group: then push, which took this person out of it, decides.
func listed(e *entry, group int) bool {
	return slices.Contains(e.direct, uint16(group)) || slices.Contains(e.through, uint16(group))
}

// disableInstead makes leavers whom the directory has deleted or disabled inactive, in place of
// taking the memberships away: a comeback finds them as they were. That takes every other access
// too. Where another environment must not lose that much, a leaver is a leaver, and the runs of that
// environment decide about its own.
func (j *job) disableInstead(ctx context.Context, gone []*entry) error {
	if len(gone) == 0 {
		return nil
	}
	lost := map[directory.ID]int{}
	for _, e := range j.plan.entries {
		if e.Outcome == directory.OutcomePlanned {
			for _, env := range e.takes {
				lost[env]++
			}
		}
	}
	return j.Service.View(ctx, func(sn *directory.Snapshot) error {
		j.planner.sn = sn
		for _, e := range gone {
			room, err := j.room(e, lost)
			if err != nil {
				return err
			}
			if room {
				e.Kind, e.Reason, e.disable = directory.ItemDeactivate, "deleted or disabled in the directory", true
				e.leave, e.out, e.join, e.in, e.inNew = nil, nil, nil, nil, nil
				e.Changes = slices.DeleteFunc(e.Changes, func(c directory.Change) bool { return c.Name == "groups" })
				e.activate(false)
			}
		}
		return nil
	})
}

// room reports whether the other environments of a person may lose it too.
func (j *job) room(e *entry, lost map[directory.ID]int) (bool, error) {
	p := j.planner
	u, err := p.sn.User(j.tenant.ID, e.UserID)
	if directory.KindOf(err) == directory.NotFound { // push was faster: applying it will find out
		return false, nil
	}
	if err != nil {
		return false, err
	}
	all, err := p.elsewhere(&entry{disable: true}, u)
	if err != nil {
		return false, err
	}
	more := slices.DeleteFunc(all, func(env directory.ID) bool { return slices.Contains(e.takes, env) })
	if err := j.facts.load(p.sn, j.tenant.ID, more); err != nil {
		return false, err
	}
	for _, env := range more {
		if n := lost[env] + 1; n > j.facts.runLimit(env) || n+j.facts.recent[env] > j.facts.dayLimit(env) {
			return false, nil
		}
	}
	why, err := p.protection(u.AccountID, more)
	if err != nil || why != "" {
		return false, err
	}
	for _, env := range more {
		lost[env]++
	}
	e.unapproved = more
	return true, nil
}
