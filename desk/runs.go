package desk

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// Run is one pull of an environment.
type Run struct {
	ID           directory.ID       `json:"id"`
	Environment  Named              `json:"environment"`
	Organization Named              `json:"organization" doc:"Whose environment it is"`
	Tenant       *Named             `json:"tenant,omitempty" doc:"Whose directory was read; absent before that is known"`
	Trigger      directory.Trigger  `json:"trigger" enum:"schedule,manual,allow,sign-in" doc:"What asked for it"`
	By           Author             `json:"by" doc:"Who asked for it"`
	Preview      bool               `json:"preview" doc:"It plans, and applies nothing"`
	Restore      bool               `json:"restore" doc:"It also brings back what push took away"`
	State        directory.RunState `json:"state" enum:"running,complete,preview,quarantined,allowed,discarded,superseded,failed,cancelled,interrupted"`
	Stage        directory.RunStage `json:"stage,omitempty" enum:"read,plan,confirm,apply" doc:"While it is running; absent while it waits for its turn"`
	Done         int                `json:"done" doc:"People of the stage that are done"`
	Total        int                `json:"total" doc:"People of the stage, an estimate while it reads; 0: not known"`
	Rate         float64            `json:"rate,omitempty" doc:"People a second, in this stage"`
	Left         int                `json:"left,omitempty" doc:"Seconds that this stage is likely to last; absent: not known"`
	Started      time.Time          `json:"started"`
	Ended        *time.Time         `json:"ended,omitempty"`
	PushSilent   bool               `json:"pushSilent" doc:"No push was seen for so long that this run did its work; else what it found is what push missed"`
	Groups       []RunGroup         `json:"groups" nullable:"false" doc:"Groups to Sync, as far as they have been read"`
	Requests     int                `json:"requests" doc:"Sent to Microsoft Graph"`
	Pages        int                `json:"pages"`
	Retries      int                `json:"retries" doc:"Requests that were repeated, after a pause, because Microsoft Graph was busy"`
	Counts       RunCounts          `json:"counts"`
	Hash         string             `json:"hash,omitempty" doc:"Of what is held back: Allow once is bound to it"`
	Findings     []RunFinding       `json:"findings" nullable:"false" doc:"Why the plan was held back"`
	Notes        []string           `json:"notes" nullable:"false"`
	Error        *RunError          `json:"error,omitempty" doc:"Why it failed"`
	Decision     *RunDecision       `json:"decision,omitempty" doc:"What a person decided about it: its state says which"`
	Allowed      *RunDecision       `json:"allowed,omitempty" doc:"The decision of which this run is the effect"`
	AllowedRun   *directory.ID      `json:"allowedRun,omitempty" doc:"The quarantined run that the decision was about"`
	PlanOf       *directory.ID      `json:"planOf,omitempty" doc:"The waiting run that holds the same plan; this one keeps no held items"`
	Successor    *directory.ID      `json:"successor,omitempty" doc:"The run that waits for a decision in place of this one"`
	Waits        bool               `json:"waits" doc:"It waits for Allow once or Discard"`
	Until        *time.Time         `json:"until,omitempty" doc:"Until when it can be allowed"`
	MayDecide    bool               `json:"mayDecide" doc:"The caller may sync this environment and decide about its runs"`
}

// Author is who asked for something.
type Author struct {
	Role directory.Role `json:"role"`
	ID   string         `json:"id,omitempty" doc:"Account of a person"`
	Name string         `json:"name,omitempty" doc:"Name of a person; absent for programs and for the schedule"`
}

// RunGroup is what a run read of one of the Groups to Sync.
type RunGroup struct {
	ObjectID string `json:"objectId"`
	Name     string `json:"name,omitempty"`
	People   int    `json:"people"`
	Nested   int    `json:"nested" doc:"Groups among its members"`
}

// RunCounts are the people of a plan by what is to be done, and what became of it.
type RunCounts struct {
	People      int `json:"people" doc:"In the groups, by the directory"`
	Unchanged   int `json:"unchanged" doc:"Of whom nothing differs"`
	Create      int `json:"create"`
	Reattach    int `json:"reattach"`
	Update      int `json:"update"`
	Grant       int `json:"grant"`
	Reactivate  int `json:"reactivate"`
	Revoke      int `json:"revoke"`
	Deactivate  int `json:"deactivate"`
	Conflict    int `json:"conflict"`
	Applied     int `json:"applied" doc:"Done"`
	Skipped     int `json:"skipped" doc:"Push changed the person after the read began"`
	Waiting     int `json:"waiting" doc:"A second complete read is needed"`
	Withheld    int `json:"withheld" doc:"Not the pull's to do: push or an operator took it away, or the account is protected"`
	Held        int `json:"held" doc:"Held back by the quarantine or the preview"`
	Failed      int `json:"failed" doc:"Refused when it was applied"`
	Deactivated int `json:"deactivated" doc:"Accesses that were deactivated, of this environment"`
}

// Gains are those who get access.
func (c *RunCounts) Gains() int { return c.Grant + c.Reactivate + c.Reattach }

// Loses are those who lose access.
func (c *RunCounts) Loses() int { return c.Revoke + c.Deactivate }

// Changes are all whom the plan would change.
func (c *RunCounts) Changes() int { return c.Create + c.Update + c.Gains() + c.Loses() }

// Problems are those with whom something is wrong.
func (c *RunCounts) Problems() int { return c.Failed + c.Conflict }

// RunFinding is one reason for which a plan was held back.
type RunFinding struct {
	Kind        string `json:"kind" doc:"first: nothing was ever applied to this environment; changed: settings; restore; run, day: accesses that would be deactivated, by this run or within 24 hours; empty: a group that has lost everybody; group: people who would leave one; growth: people who would get access; names: people who would get another userName; error: see the text"`
	Text        string `json:"text"`
	Environment *Named `json:"environment,omitempty" doc:"Whose figure it is; absent where the caller may not see it"`
	Detail      string `json:"detail,omitempty" doc:"The group, or the settings"`
	Count       int    `json:"count"`
	Of          int    `json:"of"`
	Limit       int    `json:"limit" doc:"What the count may be at most"`
}

// RunError says why a run failed.
type RunError struct {
	Class     string `json:"class" doc:"configuration, authentication, permission, scope missing, throttled, unavailable, malformed or internal"`
	Detail    string `json:"detail"`
	Code      string `json:"code,omitempty" doc:"Of Microsoft"`
	RequestID string `json:"requestId,omitempty" doc:"Of Microsoft Graph, for their support"`
}

// RunDecision is what a person decided.
type RunDecision struct {
	By     Author    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// RunItem is one person of a plan.
type RunItem struct {
	Number   uint64             `json:"number"`
	Kind     directory.ItemKind `json:"kind" enum:"create,re-attach,update,grant,re-activate,revoke,deactivate,conflict"`
	Outcome  directory.Outcome  `json:"outcome" enum:"planned,applied,skipped,waiting,withheld,held,conflict,failed"`
	UserName string             `json:"userName"`
	Name     string             `json:"name,omitempty"`
	ObjectID string             `json:"objectId,omitempty" doc:"In the directory"`
	Account  string             `json:"account,omitempty" doc:"Id of the user, where there is one"`
	Changes  []RunChange        `json:"changes" nullable:"false"`
	Reason   string             `json:"reason"`
	Evidence string             `json:"evidence,omitempty" doc:"What confirmed a deactivation"`
	Detail   string             `json:"detail,omitempty" doc:"Why the outcome is what it is"`
	Accesses []RunAccess        `json:"accesses" nullable:"false" doc:"What it did to accesses that the caller may see"`
}

// RunChange is one field of a person. Values are text: lists are joined by commas.
type RunChange struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// RunAccess is what became of one access.
type RunAccess struct {
	Environment Named  `json:"environment"`
	Effect      string `json:"effect" enum:"granted,reactivated,deactivated"`
}

// RunFilter selects runs. Zero values select everything.
type RunFilter struct {
	Environment directory.ID
	State       directory.RunState
	Trigger     directory.Trigger
	Changed     bool // those alone that changed somebody, or would have
}

func (f *RunFilter) takes(r *directory.Run) bool {
	return (f.State == "" || f.State == r.State) && (f.Trigger == "" || f.Trigger == r.Trigger) && (!f.Changed || r.Counts.Drift() > 0)
}

// RunItemFilter selects people of a plan. Zero values select everything.
type RunItemFilter struct {
	Kinds    []directory.ItemKind
	Outcomes []directory.Outcome
}

// SyncRequest says what is asked of a run.
type SyncRequest struct {
	Preview bool `json:"preview,omitempty" doc:"Plan, and apply nothing"`
	Restore bool `json:"restore,omitempty" doc:"Also bring back what push took away: operators alone, and only after Allow once"`
}

// Sync begins a run of an environment. began is false where one that is under way does the same: then it is that one.
//
// Errors: Forbidden; NotFound, also for an environment beyond reach. With a Field that says what is in the way: Invalid for
// integration, tenant and credential; Conflict for paused; RateLimited for wait, while Microsoft Graph has asked to.
func (d *Desk) Sync(ctx context.Context, by directory.Actor, environment directory.ID, in SyncRequest) (out Run, began bool, err error) {
	if err := d.maySync(ctx, by, environment, in.Preview); err != nil {
		return out, false, err
	}
	run, err := d.Pull.Sync(ctx, by, environment, pull.SyncOptions{Preview: in.Preview, Restore: in.Restore})
	if directory.KindOf(err) == directory.RateLimited {
		err = fail(directory.RateLimited, "wait", "%v", err)
	}
	if err != nil {
		return out, false, err
	}
	out, err = d.showRun(ctx, by, run)
	return out, run.Actor.RequestID == by.RequestID, err
}

// maySync says what is in the way of a run in words for those who work with pages: what stands below the desk says it too, but
// to those at a command line, or only once the run has failed.
func (d *Desk) maySync(ctx context.Context, by directory.Actor, environment directory.ID, preview bool) error {
	_, err := view(ctx, d, func(sn *directory.Snapshot) (struct{}, error) {
		env, err := sn.MayEnvironment(by, environment)
		if err != nil {
			return struct{}{}, err
		}
		switch in := env.Integration; {
		case !in.Enabled:
			err = fail(directory.Invalid, "integration", "External users integration of this environment is off: an operator switches it on")
		case in.TenantID.IsZero() || len(in.Groups) == 0:
			err = fail(directory.Invalid, "tenant", "this environment has no tenant and no Groups to Sync: choose them on its integration tab")
		case in.Paused && !preview:
			err = fail(directory.Conflict, "paused", "the pull of this environment is paused: resume it first, or ask for a preview")
		default:
			if _, err = sn.Credential(in.TenantID, pull.CredentialName); runGone(err) {
				err = fail(directory.Invalid, "credential", "the tenant of this environment has no credential for Microsoft Graph: set one on the page of the tenant")
			}
		}
		return struct{}{}, err
	})
	return err
}

// Run returns a run as far as it is by now. Errors: Forbidden; NotFound, also for one beyond reach.
func (d *Desk) Run(ctx context.Context, by directory.Actor, id directory.ID) (Run, error) {
	run, err := d.seenRun(ctx, by, id)
	if err != nil {
		return Run{}, err
	}
	return d.showRun(ctx, by, run)
}

// seenRun returns a run that an actor may see. One that waits for its turn is known to the pull alone.
func (d *Desk) seenRun(ctx context.Context, by directory.Actor, id directory.ID) (*directory.Run, error) {
	run, found := d.Pull.Show(ctx, id)
	if found != nil && directory.KindOf(found) != directory.NotFound {
		return nil, found
	}
	var environment directory.ID // of none, where there is no such run
	if found == nil {
		environment = run.EnvironmentID
	}
	_, err := view(ctx, d, func(sn *directory.Snapshot) (*directory.Environment, error) {
		return sn.SeeEnvironment(by, environment)
	})
	if runGone(err) {
		return nil, fail(directory.NotFound, "", "run not found")
	}
	return run, err
}

func (d *Desk) showRun(ctx context.Context, by directory.Actor, run *directory.Run) (Run, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (Run, error) { return d.newRunView(sn, by).run(run) })
}

// RunEnvironment is an environment as its runs name it.
type RunEnvironment struct{ Environment, Organization Named }

// runView makes pictures of runs for an actor.
type runView struct {
	sn   *directory.Snapshot
	by   directory.Actor
	now  time.Time
	envs map[directory.ID]*RunEnvironment // nil: not seen
	may  map[directory.ID]bool
}

func (d *Desk) newRunView(sn *directory.Snapshot, by directory.Actor) *runView {
	return &runView{sn, by, d.Now(), map[directory.ID]*RunEnvironment{}, map[directory.ID]bool{}}
}

// environment is nil for one that the actor may not see, or that is gone.
func (v *runView) environment(id directory.ID) (*RunEnvironment, error) {
	if n, ok := v.envs[id]; ok {
		return n, nil
	}
	env, err := v.sn.SeeEnvironment(v.by, id)
	if runGone(err) {
		v.envs[id] = nil
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	owner, err := v.sn.Organization(env.OrganizationID)
	if err != nil {
		return nil, err
	}
	v.envs[id] = &RunEnvironment{Named{env.ID, env.Name}, Named{owner.ID, owner.Name}}
	return v.envs[id], nil
}

func (v *runView) mayDecide(environment directory.ID) (bool, error) {
	if may, ok := v.may[environment]; ok {
		return may, nil
	}
	_, err := v.sn.MayEnvironment(v.by, environment)
	if kind := directory.KindOf(err); err != nil && kind != directory.Forbidden && kind != directory.NotFound {
		return false, err
	}
	v.may[environment] = err == nil
	return err == nil, nil
}

func (v *runView) run(r *directory.Run) (out Run, err error) {
	out = Run{ID: r.ID, Trigger: r.Trigger, Preview: r.Preview, Restore: r.Restore, State: r.State, Stage: r.Stage, Done: r.Done, Total: r.Total,
		Started: r.Started, Ended: orNil(r.Ended), PushSilent: r.PushSilent, Requests: r.Requests, Pages: r.Pages, Retries: r.Retries,
		Hash: r.Hash, Groups: []RunGroup{}, Notes: append([]string{}, r.Notes...), PlanOf: runOrNil(r.PlanOf), Counts: countsOf(&r.Counts)}
	if r.State == directory.RunRunning {
		out.Ended = nil // until its end is kept
		out.Rate, out.Left = pace(r, v.now)
	}
	env, err := v.environment(r.EnvironmentID)
	if err != nil || env == nil {
		return out, err
	}
	out.Environment, out.Organization = env.Environment, env.Organization
	if out.MayDecide, err = v.mayDecide(r.EnvironmentID); err != nil {
		return out, err
	}
	if !r.TenantID.IsZero() {
		t, err := v.sn.Tenant(r.TenantID)
		if err == nil {
			out.Tenant = &Named{t.ID, t.Name}
		} else if directory.KindOf(err) != directory.NotFound {
			return out, err
		}
	}
	for _, g := range r.Groups {
		out.Groups = append(out.Groups, RunGroup{g.ObjectID, g.Name, g.People, g.Nested})
	}
	if r.Error != nil {
		out.Error = &RunError{r.Error.Class, r.Error.Detail, r.Error.Code, r.Error.RequestID}
	}
	if out.Findings, err = v.findings(r); err != nil {
		return out, err
	}
	err = v.decisions(r, &out)
	return out, err
}

// pace is how fast a stage goes, in people a second, and how many seconds it is likely to last.
func pace(r *directory.Run, now time.Time) (rate float64, left int) {
	took := now.Sub(r.StageStarted).Seconds()
	if r.StageStarted.IsZero() || r.Done == 0 || took < 1 {
		return 0, 0
	}
	rate = float64(r.Done) / took
	if r.Total > r.Done {
		left = int(float64(r.Total-r.Done)/rate) + 1
	}
	return rate, left
}

func countsOf(c *directory.Counts) RunCounts {
	return RunCounts{c.People, c.Unchanged, c.Create, c.Reattach, c.Update, c.Grant, c.Reactivate, c.Revoke, c.Deactivate, c.Conflict,
		c.Applied, c.Skipped, c.Waiting, c.Withheld, c.Held, c.Failed, c.Deactivated}
}

// findings are the reasons of a run. One about an environment that the actor may not see does not name it.
func (v *runView) findings(r *directory.Run) ([]RunFinding, error) {
	all := []RunFinding{}
	for i, text := range r.Reasons {
		f := RunFinding{Kind: "error", Text: text}
		if i < len(r.Findings) {
			x := r.Findings[i]
			f.Kind, f.Detail, f.Count, f.Of, f.Limit = string(x.Kind), x.Detail, x.Count, x.Of, x.Limit
			if !x.EnvironmentID.IsZero() {
				env, err := v.environment(x.EnvironmentID)
				if err != nil {
					return nil, err
				}
				if env != nil {
					f.Environment = &env.Environment
				} else {
					f.Text = "would deactivate too many active external users of another environment of this tenant"
					f.Detail, f.Count, f.Of, f.Limit = "", 0, 0, 0
				}
			}
		}
		all = append(all, f)
	}
	return all, nil
}

// decisions fills in who asked, who decided, and whether somebody still has to.
func (v *runView) decisions(r *directory.Run, out *Run) (err error) {
	if out.By, err = v.author(r.Actor); err != nil {
		return err
	}
	if x := r.Decision; x != nil {
		out.Decision = &RunDecision{Reason: x.Reason, At: x.At}
		if out.Decision.By, err = v.author(x.By); err != nil {
			return err
		}
	}
	if x := r.Approval; x != nil {
		out.Allowed, out.AllowedRun = &RunDecision{Reason: x.Reason, At: x.Given}, runOrNil(x.RunID)
		if out.Allowed.By, err = v.author(x.By); err != nil {
			return err
		}
	}
	if r.State != directory.RunQuarantined && r.State != directory.RunSuperseded {
		return nil
	}
	state, err := v.sn.PullState(r.EnvironmentID)
	if err != nil {
		return err
	}
	if state.Quarantined != r.ID {
		out.Successor = runOrNil(state.Quarantined)
		return nil
	}
	if out.Waits = r.State == directory.RunQuarantined; out.Waits && r.Hash != "" {
		until := r.Ended.Add(directory.ApprovalLife)
		out.Until = &until
	}
	return nil
}

// author names a person. Whoever decides about an environment reaches it, so those who see it may know the name; where a role was lost
// since, and the person is out of sight, the role alone is told.
func (v *runView) author(by directory.Actor) (Author, error) {
	out := Author{Role: by.Role}
	id, ok := directory.ParseID(by.ID)
	if !ok {
		if v.by.Role == directory.RoleOperator {
			out.Name = by.ID // such as the user of the operating system, at a command line
		}
		return out, nil
	}
	a, err := v.sn.Account(id)
	if err == nil && by.Role != directory.RoleOperator {
		_, err = v.sn.SeeAccount(v.by, id)
	}
	if runGone(err) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	out.ID, out.Name = by.ID, a.Name
	if out.Name == "" {
		out.Name = a.UserName
	}
	return out, nil
}

// runGone reports whether something is not there, or not for the actor.
func runGone(err error) bool { return directory.KindOf(err) == directory.NotFound }

func runOrNil(id directory.ID) *directory.ID {
	if id.IsZero() {
		return nil
	}
	return &id
}

// RunEnvironments names the environments whose runs an actor may see, by organization and name. Errors: Forbidden.
func (d *Desk) RunEnvironments(ctx context.Context, by directory.Actor) ([]RunEnvironment, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (all []RunEnvironment, err error) {
		envs, err := sn.SeeEnvironments(by)
		v := d.newRunView(sn, by)
		for _, env := range envs {
			named, err := v.environment(env.ID)
			if err != nil {
				return nil, err
			}
			all = append(all, *named)
		}
		slices.SortStableFunc(all, func(a, b RunEnvironment) int {
			return cmp.Or(strings.Compare(a.Organization.Name, b.Organization.Name), strings.Compare(a.Environment.Name, b.Environment.Name))
		})
		return all, err
	})
}

// runsLooked bounds how many runs one page of a list looks at: a filter may fit few.
const runsLooked = 3000

// Runs lists the runs of the environments that an actor may see, newest first. A page may be short, or
// empty, and still have a next one: where a filter fits few of many. Errors: Forbidden; NotFound for the environment of the filter; Invalid
// for a page that is not there.
func (d *Desk) Runs(ctx context.Context, by directory.Actor, f RunFilter, p Page) (List[Run], error) {
	after, ok := directory.ParseID(p.After)
	if p.After != "" && !ok {
		return List[Run]{}, fail(directory.Invalid, "after", "this is not the beginning of a page")
	}
	out := List[Run]{Items: []Run{}, Total: -1}
	kept, next, err := d.keptRuns(ctx, by, &f, after, p.limit())
	if err != nil {
		return out, err
	}
	out.Next = next
	for i, r := range kept {
		if r.State == directory.RunRunning { // how far it is by now
			if kept[i], err = d.Pull.Show(ctx, r.ID); err != nil {
				return out, err
			}
		}
	}
	return view(ctx, d, func(sn *directory.Snapshot) (List[Run], error) {
		v := d.newRunView(sn, by)
		for _, r := range kept {
			item, err := v.run(r)
			if err != nil {
				return out, err
			}
			out.Items = append(out.Items, item)
		}
		return out, nil
	})
}

// keptRuns merges the runs of all environments by their ids, which are in the order of time.
func (d *Desk) keptRuns(ctx context.Context, by directory.Actor, f *RunFilter, after directory.ID, limit int) (runs []*directory.Run, next string, err error) {
	err = d.Service.View(ctx, func(sn *directory.Snapshot) error {
		envs, err := runEnvironments(sn, by, f.Environment)
		if err != nil {
			return err
		}
		m := &runMerge{sn: sn}
		for _, env := range envs {
			if err := m.add(env.ID, after); err != nil {
				return err
			}
		}
		for looked := 0; ; looked++ {
			r := m.newest()
			switch {
			case r == nil:
				return nil
			case len(runs) == limit:
				next = runs[limit-1].ID.String()
				return nil
			case looked == runsLooked:
				next = m.last.String()
				return nil
			}
			if err := m.take(); err != nil {
				return err
			}
			if f.takes(r) {
				runs = append(runs, r)
			}
		}
	})
	return runs, next, err
}

func runEnvironments(sn *directory.Snapshot, by directory.Actor, one directory.ID) ([]*directory.Environment, error) {
	if one.IsZero() {
		return sn.SeeEnvironments(by)
	}
	env, err := sn.SeeEnvironment(by, one)
	if err != nil {
		return nil, err
	}
	return []*directory.Environment{env}, nil
}

// runMerge reads the runs of several environments as one list, newest first, a few of each at a time.
type runMerge struct {
	sn   *directory.Snapshot
	all  []*runQueue
	last directory.ID // that was taken
}

type runQueue struct {
	environment directory.ID
	runs        []*directory.Run
	part        int // how many were asked for last
}

const (
	firstPart = 8 // of a queue: most environments of many give little to a page
	maxPart   = 128
)

func (m *runMerge) add(environment, before directory.ID) error {
	q := &runQueue{environment: environment, part: firstPart / 2}
	m.all = append(m.all, q)
	return m.fill(q, before)
}

func (m *runMerge) fill(q *runQueue, before directory.ID) error {
	q.part = min(2*q.part, maxPart)
	q.runs = q.runs[:0]
	return m.sn.RunsBefore(q.environment, before, func(r *directory.Run) bool {
		q.runs = append(q.runs, r)
		return len(q.runs) < q.part
	})
}

func (m *runMerge) queue() (newest *runQueue) {
	for _, q := range m.all {
		if len(q.runs) > 0 && (newest == nil || bytes.Compare(q.runs[0].ID[:], newest.runs[0].ID[:]) > 0) {
			newest = q
		}
	}
	return newest
}

func (m *runMerge) newest() *directory.Run {
	if q := m.queue(); q != nil {
		return q.runs[0]
	}
	return nil
}

func (m *runMerge) take() error {
	q := m.queue()
	m.last = q.runs[0].ID
	if q.runs = q.runs[1:]; len(q.runs) > 0 {
		return nil
	}
	return m.fill(q, m.last)
}

// Failures come first.
var (
	troubled   = []directory.Outcome{directory.OutcomeFailed, directory.OutcomeConflict}
	untroubled = []directory.Outcome{directory.OutcomePlanned, directory.OutcomeApplied, directory.OutcomeSkipped, directory.OutcomeWaiting, directory.OutcomeWithheld, directory.OutcomeHeld}
)

// RunItems lists the people of a run's plan: those with whom something is wrong first. Errors: those of Run; Invalid for a page that is not
// there.
func (d *Desk) RunItems(ctx context.Context, by directory.Actor, id directory.ID, f RunItemFilter, p Page) (List[RunItem], error) {
	out := List[RunItem]{Items: []RunItem{}, Total: -1}
	run, err := d.seenRun(ctx, by, id)
	if err != nil {
		return out, err
	}
	c, err := parseItemCursor(p.After)
	if err != nil {
		return out, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (List[RunItem], error) {
		items, next, err := selectItems(sn, run, f, c, p.limit())
		if err != nil {
			return out, err
		}
		out.Next = next
		v := d.newRunView(sn, by)
		for _, i := range items {
			item, err := v.item(run, i)
			if err != nil {
				return out, err
			}
			out.Items = append(out.Items, item)
		}
		return out, nil
	})
}

// itemCursor is where a list of items goes on: among those with whom something is wrong, or the others.
type itemCursor struct {
	calm  bool
	after uint64
}

func (c itemCursor) String() string {
	part := "0."
	if c.calm {
		part = "1."
	}
	return part + strconv.FormatUint(c.after, 10)
}

func parseItemCursor(text string) (c itemCursor, err error) {
	if text == "" {
		return c, nil
	}
	part, number, _ := strings.Cut(text, ".")
	if c.after, err = strconv.ParseUint(number, 10, 64); err != nil || part != "0" && part != "1" {
		return c, fail(directory.Invalid, "after", "this is not the beginning of a page")
	}
	c.calm = part == "1"
	return c, nil
}

// selectItems reads one page: limit items, and where the next page begins.
func selectItems(sn *directory.Snapshot, run *directory.Run, f RunItemFilter, c itemCursor, limit int) (items []*directory.PlanItem, next string, err error) {
	for _, calm := range []bool{false, true} {
		outcomes, at := outcomesOf(troubled, f.Outcomes), itemCursor{calm: calm}
		if calm {
			outcomes = outcomesOf(untroubled, f.Outcomes)
		}
		none := !calm && run.State != directory.RunRunning && run.Counts.Failed+run.Counts.Conflict == 0
		if c.calm && !calm || none || len(outcomes) == 0 {
			continue
		}
		if c.calm == calm {
			at = c
		}
		err := sn.SelectItems(run.ID, at.after, f.Kinds, outcomes, func(i *directory.PlanItem) bool {
			if len(items) == limit {
				next = at.String()
				return false
			}
			items, at.after = append(items, i), i.Number
			return true
		})
		if err != nil || next != "" {
			return items, next, err
		}
	}
	return items, "", nil
}

// outcomesOf are those of all that a filter names; every one without a filter.
func outcomesOf(all, filter []directory.Outcome) []directory.Outcome {
	if len(filter) == 0 {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(o directory.Outcome) bool { return !slices.Contains(filter, o) })
}

func (v *runView) item(run *directory.Run, i *directory.PlanItem) (out RunItem, err error) {
	out = RunItem{Number: i.Number, Kind: i.Kind, Outcome: i.Outcome, UserName: i.UserName, Name: i.Name, Reason: i.Reason, Evidence: i.Evidence,
		Detail: i.Detail, Changes: []RunChange{}, Accesses: []RunAccess{}}
	if !i.ObjectID.IsZero() {
		out.ObjectID = i.ObjectID.String()
	}
	for _, c := range i.Changes {
		out.Changes = append(out.Changes, RunChange{c.Name, runValue(c.Old), runValue(c.New)})
	}
	for _, a := range i.Accesses {
		out.Account = a.AccountID.String()
		env, err := v.environment(a.EnvironmentID)
		if err != nil {
			return out, err
		}
		if env != nil {
			out.Accesses = append(out.Accesses, RunAccess{env.Environment, a.Effect})
		}
	}
	if out.Account == "" && !i.UserID.IsZero() {
		u, err := v.sn.User(run.TenantID, i.UserID)
		if err == nil {
			out.Account = u.AccountID.String()
		} else if directory.KindOf(err) != directory.NotFound {
			return out, err
		}
	}
	return out, nil
}

// runValue writes a value as people read it.
func runValue(raw json.RawMessage) string {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil || v == nil {
		return ""
	}
	switch v := v.(type) {
	case string:
		return v
	case []any:
		parts := make([]string, 0, len(v))
		for _, x := range v {
			parts = append(parts, fmt.Sprint(x))
		}
		return strings.Join(parts, ", ")
	}
	return string(raw)
}

// runItemsPart is how many items of an export one snapshot reads: whoever takes it slowly holds none open.
const runItemsPart = 500

// EachRunItem hands all people of a run's plan to fn, in the order of RunItems. A run that is under way may change meanwhile. who is asked
// before each part who the actor is by now; its error ends it. Errors: those of Run, before fn is called; that of fn.
func (d *Desk) EachRunItem(ctx context.Context, who func() (directory.Actor, error), id directory.ID, f RunItemFilter, fn func(*RunItem) error) error {
	for p := (Page{Limit: runItemsPart}); ; {
		by, err := who()
		if err != nil {
			return err
		}
		list, err := d.RunItems(ctx, by, id, f, p)
		if err != nil {
			return err
		}
		for i := range list.Items {
			if err := fn(&list.Items[i]); err != nil {
				return err
			}
		}
		if p.After = list.Next; p.After == "" {
			return nil
		}
	}
}

// AllowRun approves the plan that was shown, by its hash, once, and begins the run that reads anew and applies it.
// Errors: those of pull.Reconciler.Allow; Conflict with the field hash when the plan is another by now.
func (d *Desk) AllowRun(ctx context.Context, by directory.Actor, id directory.ID, hash, reason string) (Run, error) {
	run, err := d.seenRun(ctx, by, id)
	if err != nil {
		return Run{}, err
	}
	if run.State == directory.RunQuarantined && run.Error == nil && hash != run.Hash {
		if err := d.maySync(ctx, by, run.EnvironmentID, false); err != nil {
			return Run{}, err
		}
		return Run{}, fail(directory.Conflict, "hash", "the plan has changed since you looked at it: look again")
	}
	next, err := d.Pull.Allow(ctx, by, id, hash, reason)
	if err != nil {
		return Run{}, err
	}
	return d.showRun(ctx, by, next)
}

// DiscardRun drops the plan of a quarantined run. Errors: those of pull.Reconciler.Discard.
func (d *Desk) DiscardRun(ctx context.Context, by directory.Actor, id directory.ID, reason string) (Run, error) {
	if _, err := d.seenRun(ctx, by, id); err != nil {
		return Run{}, err
	}
	run, err := d.Pull.Discard(ctx, by, id, reason)
	if err != nil {
		return Run{}, err
	}
	return d.showRun(ctx, by, run)
}

// CancelRun asks a run that is under way to stop at its next safe point. Errors: those of pull.Reconciler.Cancel.
func (d *Desk) CancelRun(ctx context.Context, by directory.Actor, id directory.ID) (Run, error) {
	if _, err := d.seenRun(ctx, by, id); err != nil {
		return Run{}, err
	}
	run, err := d.Pull.Cancel(ctx, by, id)
	if err != nil {
		return Run{}, err
	}
	return d.showRun(ctx, by, run)
}
