package directory

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"
)

// The records of the pull: what its runs did and planned, and what it has to remember of an
// environment between them. What they mean is decided in package pull; here they are kept, beside
// the people whom they are about.

// RunState tells how far a Run is.
type RunState string

// The states of a Run. All but the first are ends.
const (
	RunRunning     RunState = "running"
	RunComplete    RunState = "complete"    // all that was planned and could be done is done
	RunPreview     RunState = "preview"     // planned, nothing applied: a preview was asked for
	RunQuarantined RunState = "quarantined" // waits for Allow once or Discard
	RunAllowed     RunState = "allowed"     // was quarantined; another run has taken its place
	RunDiscarded   RunState = "discarded"   // was quarantined
	RunSuperseded  RunState = "superseded"  // was quarantined; a later run found otherwise
	RunFailed      RunState = "failed"      // nothing was concluded from what had been read
	RunCancelled   RunState = "cancelled"
	RunInterrupted RunState = "interrupted" // the process ended in the middle of it
)

// RunStage is what a running Run does.
type RunStage string

// The stages of a Run, in their order.
const (
	StageRead    RunStage = "read"
	StagePlan    RunStage = "plan"
	StageConfirm RunStage = "confirm"
	StageApply   RunStage = "apply"
)

// Trigger is what asked for a Run.
type Trigger string

// The triggers.
const (
	TriggerSchedule Trigger = "schedule"
	TriggerManual   Trigger = "manual"
	TriggerAllow    Trigger = "allow" // a quarantined plan was allowed
)

// Run is one pull of one environment.
type Run struct {
	ID            ID        `json:"id"`
	EnvironmentID ID        `json:"environmentId"`
	TenantID      ID        `json:"tenantId"`
	Trigger       Trigger   `json:"trigger"`
	Actor         Actor     `json:"actor"` // who asked for it
	Preview       bool      `json:"preview,omitempty"`
	Restore       bool      `json:"restore,omitempty"` // an operator wants back what push took away
	State         RunState  `json:"state"`
	Stage         RunStage  `json:"stage,omitempty"`
	Done          int       `json:"done"`  // of the stage
	Total         int       `json:"total"` // of the stage, an estimate while it reads; 0: not known
	StageStarted  time.Time `json:"stageStarted,omitzero"`
	Started       time.Time `json:"started"`
	Ended         time.Time `json:"ended,omitzero"`
	// PushSilent says that push had been silent for so long that the pull did its work; else what
	// the pull found is drift that push has left.
	PushSilent bool        `json:"pushSilent,omitempty"`
	Groups     []GroupRead `json:"groups,omitempty"`
	Pages      int         `json:"pages"`
	Requests   int         `json:"requests"`
	Retries    int         `json:"retries"`
	Units      int         `json:"units"` // resource units that Graph counted
	Counts     Counts      `json:"counts"`
	Hash       string      `json:"hash,omitempty"`     // hex SHA-256 of what is held back; an approval is bound to it
	Reasons    []string    `json:"reasons,omitempty"`  // why it was quarantined
	Findings   []Finding   `json:"findings,omitempty"` // Reasons in figures, in the same order; none for a run that an error quarantined
	Decision   *Decision   `json:"decision,omitempty"` // what a person decided about it
	Notes      []string    `json:"notes,omitempty"`    // what an administrator should know besides
	Error      *RunError   `json:"error,omitempty"`
	Approval   *Approval   `json:"approval,omitempty"` // that this run used
	PlanOf     ID          `json:"planOf,omitzero"`    // the waiting run that holds the same plan; this one keeps no items
	// Deactivations counts the accesses that the run took away without a person's approval, by environment.
	Deactivations map[string]int `json:"deactivations,omitempty"`
}

// FindingKind is what a Finding is about.
type FindingKind string

// The kinds of Finding.
const (
	FindingFirst   FindingKind = "first"   // nothing was ever applied to this environment
	FindingChanged FindingKind = "changed" // settings, since a plan was last applied; Detail names them
	FindingRestore FindingKind = "restore" // brings back what push took away
	FindingRun     FindingKind = "run"     // accesses of EnvironmentID would be deactivated: Count of Of active ones
	FindingDay     FindingKind = "day"     // the same, with those of the last 24 hours
	FindingEmpty   FindingKind = "empty"   // the group Detail has nobody any more, and had Count people
	FindingGroup   FindingKind = "group"   // Count of Of people would leave the group Detail
	FindingGrowth  FindingKind = "growth"  // Count people would get access beside Of who have it
	FindingNames   FindingKind = "names"   // Count of Of people would get another userName
)

// Finding is one reason for which a plan was held back, in figures.
type Finding struct {
	Kind          FindingKind `json:"kind"`
	EnvironmentID ID          `json:"environmentId,omitzero"`
	Detail        string      `json:"detail,omitempty"`
	Count         int         `json:"count,omitempty"`
	Of            int         `json:"of,omitempty"`
	Limit         int         `json:"limit,omitempty"` // Count may not be more
}

// Decision is what a person decided about a quarantined run; its state says which.
type Decision struct {
	By     Actor     `json:"by"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// GroupRead is what a run read of one of the Groups to Sync.
type GroupRead struct {
	ObjectID string `json:"objectId"`
	Name     string `json:"name,omitempty"`
	People   int    `json:"people"`
	Nested   int    `json:"nested,omitempty"` // groups among its members
	Shared   bool   `json:"shared,omitempty"` // read by another run of the same tick
}

// Counts are the people of a plan by what is to be done, and what became of it.
type Counts struct {
	People     int `json:"people"` // in the groups, by the directory
	Create     int `json:"create,omitempty"`
	Reattach   int `json:"reattach,omitempty"`
	Update     int `json:"update,omitempty"`
	Grant      int `json:"grant,omitempty"`
	Reactivate int `json:"reactivate,omitempty"`
	Revoke     int `json:"revoke,omitempty"`
	Deactivate int `json:"deactivate,omitempty"`
	Conflict   int `json:"conflict,omitempty"`

	Applied     int `json:"applied,omitempty"`
	Skipped     int `json:"skipped,omitempty"`   // changed by others since the read began
	Waiting     int `json:"waiting,omitempty"`   // a second complete read or a point read is needed
	Withheld    int `json:"withheld,omitempty"`  // push or an operator took it away, or the account is protected
	Held        int `json:"held,omitempty"`      // by the quarantine or the preview
	Failed      int `json:"failed,omitempty"`    // refused when it was applied
	Deactivated int `json:"deactivated"`         // accesses that were deactivated, of this environment
	Approved    int `json:"approved,omitempty"`  // those of them that a person has allowed
	Unchanged   int `json:"unchanged,omitempty"` // people of whom nothing differs
}

// Drift is the number of people whom push has left other than the directory says.
func (c *Counts) Drift() int {
	return c.Create + c.Reattach + c.Update + c.Grant + c.Reactivate + c.Revoke + c.Deactivate
}

// RunError says why a run failed.
type RunError struct {
	Class     string `json:"class"`
	Detail    string `json:"detail"` // safe to show, says what to do
	Code      string `json:"code,omitempty"`
	RequestID string `json:"requestId,omitempty"`
}

// Approval allows the plan with that hash once, for 24 hours.
type Approval struct {
	RunID   ID        `json:"runId"` // the quarantined run
	Hash    string    `json:"hash"`
	By      Actor     `json:"by"`
	Reason  string    `json:"reason"`
	Given   time.Time `json:"given"`
	Expires time.Time `json:"expires"`
	Restore bool      `json:"restore,omitempty"`
}

// ApprovalLife is how long an approval may be used.
const ApprovalLife = 24 * time.Hour

// Absence is a person whom complete reads, each since the first, did not find in a group.
type Absence struct {
	UserID  ID        `json:"userId"`
	GroupID ID        `json:"groupId,omitzero"` // zero: the directory said that the person is disabled
	Since   time.Time `json:"since,omitzero"`   // when the run of the first of these reads began
}

// PullState is what the pull remembers of an environment.
type PullState struct {
	EnvironmentID ID        `json:"environmentId"`
	Next          time.Time `json:"next,omitzero"`      // of the next scheduled run
	NotBefore     time.Time `json:"notBefore,omitzero"` // Graph asked to wait until then
	Failures      int       `json:"failures,omitempty"` // in a row
	LastRun       ID        `json:"lastRun,omitzero"`
	LastSuccess   time.Time `json:"lastSuccess,omitzero"`
	Quarantined   ID        `json:"quarantined,omitzero"` // the run that waits for a person
	Approval      *Approval `json:"approval,omitempty"`
	// Settings is the fingerprint under which a plan was last applied or found empty.
	Settings string `json:"settings,omitempty"`
	// DirectoryID and Cloud are those of the first success, so that another directory is noticed.
	DirectoryID string `json:"directoryId,omitempty"`
	Cloud       string `json:"cloud,omitempty"`
	// Absent are those whom the last complete read did not find, not confirmed so far; Read is that run.
	Absent []Absence `json:"absent,omitempty"`
	// Conflicts are the texts of the conflicts that the log has been told of, so that it is told once.
	Conflicts map[string]string `json:"conflicts,omitempty"`
}

// ItemKind is what is to be done with a person.
type ItemKind string

// The kinds of PlanItem. An item of one kind may carry changes that would make another by
// themselves: who leaves and has a new name is one revoke with the name among its changes.
const (
	ItemCreate     ItemKind = "create"
	ItemReattach   ItemKind = "re-attach"
	ItemUpdate     ItemKind = "update"
	ItemGrant      ItemKind = "grant"
	ItemReactivate ItemKind = "re-activate"
	ItemRevoke     ItemKind = "revoke"
	ItemDeactivate ItemKind = "deactivate"
	ItemConflict   ItemKind = "conflict"
)

// Destructive reports whether an item of the kind may take an access away.
func (k ItemKind) Destructive() bool { return k == ItemRevoke || k == ItemDeactivate }

// Outcome is what became of a PlanItem.
type Outcome string

// The outcomes.
const (
	OutcomePlanned  Outcome = "planned"
	OutcomeApplied  Outcome = "applied"
	OutcomeSkipped  Outcome = "skipped"  // push or another change was later than the read
	OutcomeWaiting  Outcome = "waiting"  // for a second complete read
	OutcomeWithheld Outcome = "withheld" // not the pull's to do
	OutcomeHeld     Outcome = "held"     // by the quarantine or the preview
	OutcomeConflict Outcome = "conflict"
	OutcomeFailed   Outcome = "failed"
)

// PlanItem is one person of a plan.
type PlanItem struct {
	Number   uint64   `json:"number"` // from 1
	Kind     ItemKind `json:"kind"`
	ObjectID ID       `json:"objectId,omitzero"`
	UserID   ID       `json:"userId,omitzero"`
	UserName string   `json:"userName"`
	Name     string   `json:"name,omitempty"`
	Changes  []Change `json:"changes,omitempty"` // old and new value; groups by their names
	Reason   string   `json:"reason"`
	Evidence string   `json:"evidence,omitempty"` // of a deactivation: what confirmed it
	Outcome  Outcome  `json:"outcome"`
	Detail   string   `json:"detail,omitempty"` // why the outcome is what it is
	// Accesses are what the change did once it was applied.
	Accesses []AccessEffect `json:"accesses,omitempty"`
}

// Runs lists the runs of an environment, newest first.
func (s *Snapshot) Runs(environment ID, fn func(*Run) bool) error {
	return list(s.r, tableRuns, Range{Prefix: key(environment), Reverse: true}, jsonRow[Run], fn)
}

// RunsBefore lists the runs of an environment that began before the one of that id, newest first; the zero id: all.
func (s *Snapshot) RunsBefore(environment, before ID, fn func(*Run) bool) error {
	rg := Range{Prefix: key(environment), Reverse: true}
	if !before.IsZero() {
		rg.After = key(environment, before)
	}
	return list(s.r, tableRuns, rg, jsonRow[Run], fn)
}

// Run returns a run.
func (s *Snapshot) Run(id ID) (*Run, error) {
	env, err := s.r.Get(tableRunOf, key(id))
	if err != nil || env == nil {
		return found[Run](nil, err, "run")
	}
	run, err := get(s.r, tableRuns, key(toID(env), id), decodeJSON[Run])
	return found(run, err, "run")
}

// PlanItems lists the items of a run's plan beyond the one of that number; 0: from the start.
func (s *Snapshot) PlanItems(run ID, after uint64, fn func(*PlanItem) bool) error {
	return list(s.r, tableRunItems, numberRange(run, after, false), jsonRow[PlanItem], fn)
}

// PullState returns what the pull remembers of an environment; empty when it never ran.
func (s *Snapshot) PullState(environment ID) (*PullState, error) {
	st, err := get(s.r, tablePullState, key(environment), decodeJSON[PullState])
	if err == nil && st == nil {
		st = &PullState{EnvironmentID: environment}
	}
	return st, err
}

// PushSeen returns when a request of the tenant's push was last seen, to the minute; zero: never.
func (s *Snapshot) PushSeen(tenant ID) (last time.Time, err error) {
	err = list(s.r, tableTokens, Range{Prefix: key(tenant)}, jsonRow[Token], func(t *Token) bool {
		if t.LastUsed.After(last) {
			last = t.LastUsed
		}
		return true
	})
	return last, err
}

// IsIndirect reports whether the pull has seen a user in a group through a nested one, where the
// environment counts that.
func (s *Snapshot) IsIndirect(env *Environment, user, group ID) (bool, error) {
	if !env.Integration.Transitive {
		return false, nil
	}
	v, err := s.r.Get(tableIndirect, key(env.ID, user, group))
	return bytes.Equal(v, sequenceKey(env.Integration.Generation)), err
}

// Indirect lists the users whom the pull has seen in a group through a nested one, as IsIndirect
// counts them.
func (s *Snapshot) Indirect(env *Environment, fn func(user, group ID) bool) error {
	if !env.Integration.Transitive {
		return nil
	}
	now := sequenceKey(env.Integration.Generation)
	return s.r.Scan(tableIndirect, Range{Prefix: key(env.ID)}, func(k, v []byte) bool {
		return !bytes.Equal(v, now) || fn(indirectUser(k), lastID(k))
	})
}

// TakenByPush reports whether the last change of a membership was that push took the user out of
// the group.
func (s *Snapshot) TakenByPush(tenant, user, group ID) (bool, error) {
	v, err := s.r.Get(tableTaken, key(tenant, user, group))
	return v != nil, err
}

// GroupTakenByPush reports whether push deleted the last group of that externalId.
func (s *Snapshot) GroupTakenByPush(tenant ID, externalID string) (bool, error) {
	v, err := s.r.Get(tableGroupTaken, textKey(tenant, foldObjectID(externalID)))
	return v != nil, err
}

// DisabledByPull reports whether it was a pull that made an inactive user inactive.
func (s *Snapshot) DisabledByPull(tenant, user ID) (bool, error) {
	v, err := s.r.Get(tablePullDisable, key(tenant, user))
	return v != nil, err
}

// FormerPerson returns the account on which the tenant provisioned a person before whose SCIM user
// is gone, nil when there is none; found as CreateUser finds it.
func (s *Snapshot) FormerPerson(tenant, object ID, userName string) (*Account, error) {
	account, _, err := s.formerOf(tenant, object, userName)
	return account, err
}

// noteActivation keeps who made a user inactive: what the pull did it may undo, what push did it
// may not.
func (c *change) noteActivation(u *User) error {
	k := key(u.TenantID, u.ID)
	if !u.Active && !c.by.RunID.IsZero() {
		return c.put(row{tablePullDisable, k, c.by.RunID[:]})
	}
	return c.w.Delete(tablePullDisable, k)
}

// keepInactive makes it push's that a user is inactive: the pull that did it may not undo it any more.
func (c *change) keepInactive(u *User) error {
	k := key(u.TenantID, u.ID)
	run, err := c.r.Get(tablePullDisable, k)
	if err != nil || run == nil {
		return err
	}
	return c.w.Delete(tablePullDisable, k)
}

// forgetPull drops what the pull remembers of a user who goes.
func (c *change) forgetPull(tenant, user ID) error {
	groups, err := keys(c.r, tableTaken, Range{Prefix: key(tenant, user)})
	if err != nil {
		return err
	}
	for _, g := range groups {
		if err := c.w.Delete(tableTaken, key(tenant, user, g)); err != nil {
			return err
		}
	}
	envs, err := c.nestedEnvironments(tenant)
	if err != nil {
		return err
	}
	for _, env := range envs {
		groups, err := keys(c.r, tableIndirect, Range{Prefix: key(env.ID, user)})
		if err != nil {
			return err
		}
		for _, g := range groups {
			if err := c.w.Delete(tableIndirect, key(env.ID, user, g)); err != nil {
				return err
			}
		}
	}
	return c.w.Delete(tablePullDisable, key(tenant, user))
}

// indirectUser reads the user of a key of the table of indirect members.
func indirectUser(k []byte) ID { return toID(k[16:32]) }

// dropIndirect takes everyone out of a group who was in it through a nested one, for an environment
// that counts these, and returns who they are.
func (c *change) dropIndirect(env *Environment, group ID) (users []ID, err error) {
	if !env.Integration.Transitive {
		return nil, nil
	}
	err = c.r.Scan(tableIndirect, Range{Prefix: key(env.ID)}, func(k, _ []byte) bool {
		if lastID(k) == group {
			users = append(users, indirectUser(k))
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		if err := c.w.Delete(tableIndirect, key(env.ID, u, group)); err != nil {
			return nil, err
		}
	}
	return users, nil
}

// tidyIndirect drops those rows of indirect members that count for nothing: of an older generation,
// or of a group that the environment does not sync. When it syncs the group again, the pull has to
// see it anew.
func (c *change) tidyIndirect(env *Environment, rows []row) error {
	groups, err := c.syncedGroups(env)
	if err != nil {
		return err
	}
	now := sequenceKey(env.Integration.Generation)
	for _, r := range rows {
		if bytes.Equal(r.value, now) && slices.Contains(groups, lastID(r.key)) {
			continue
		}
		if err := c.delete(r); err != nil {
			return err
		}
	}
	return nil
}

// SaveRun writes a run and, where fn is given, what the pull remembers of its environment, as one
// change: fn edits it. A quarantined run that waited until now and does not any more is superseded.
// Errors: NotFound for the environment.
func (s *Service) SaveRun(ctx context.Context, run *Run, fn func(*PullState)) error {
	return s.update(ctx, run.Actor, func(c *change) error {
		if _, err := c.Environment(run.EnvironmentID); err != nil {
			return err
		}
		if err := c.putRun(run); err != nil || fn == nil {
			return err
		}
		state, err := c.PullState(run.EnvironmentID)
		if err != nil {
			return err
		}
		waiting := state.Quarantined
		fn(state)
		if err := c.put(row{tablePullState, key(run.EnvironmentID), encodeJSON(state)}); err != nil {
			return err
		}
		if waiting.IsZero() || waiting == state.Quarantined {
			return nil
		}
		old, err := c.Run(waiting)
		if err != nil || old.State != RunQuarantined {
			return err
		}
		old.State = RunSuperseded
		return c.putRun(old)
	})
}

func (c *change) putRun(run *Run) error {
	return c.put(row{tableRuns, key(run.EnvironmentID, run.ID), encodeJSON(run)}, row{tableRunOf, key(run.ID), run.EnvironmentID[:]})
}

// UpdatePullState changes what the pull remembers of an environment: fn edits it.
func (s *Service) UpdatePullState(ctx context.Context, environment ID, fn func(*PullState) error) error {
	return s.update(ctx, Actor{Role: RoleSystem, Channel: "pull"}, func(c *change) error {
		if _, err := c.Environment(environment); err != nil {
			return err
		}
		before, err := c.r.Get(tablePullState, key(environment))
		if err != nil {
			return err
		}
		before = bytes.Clone(before)
		state, err := c.PullState(environment)
		if err != nil {
			return err
		}
		if err := fn(state); err != nil {
			return err
		}
		state.EnvironmentID = environment
		after := encodeJSON(state)
		if bytes.Equal(before, after) {
			return nil
		}
		return c.put(row{tablePullState, key(environment), after})
	})
}

// SaveItems writes items of a run's plan, replacing those of the same numbers. Errors: NotFound for
// the run.
func (s *Service) SaveItems(ctx context.Context, run ID, items []PlanItem) error {
	return s.update(ctx, Actor{Role: RoleSystem, Channel: "pull"}, func(c *change) error {
		if _, err := c.Run(run); err != nil {
			return err
		}
		for i := range items {
			if err := c.putItem(run, &items[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// AllowRun approves the plan of a quarantined run once. The next run may apply a plan of the same
// hash within ApprovalLife. Errors: Forbidden; NotFound, also for a run of another's environment; Invalid without a reason or for another hash than the
// run's; Conflict when the run does not wait for an approval, or has waited for longer than that.
func (s *Service) AllowRun(ctx context.Context, by Actor, run ID, hash, reason string) (*Run, error) {
	return s.decideRun(ctx, by, run, func(c *change, r *Run, state *PullState) error {
		if strings.TrimSpace(reason) == "" {
			return failf(Invalid, "reason", "say why this is right: the reason is kept with the approval")
		}
		reason, err := cleanReason(reason)
		if err != nil {
			return err
		}
		if r.Restore && by.Role != RoleOperator {
			return failf(Forbidden, "", "an operator alone may bring back what push took away")
		}
		if r.Error != nil {
			return failf(Conflict, "", "there is nothing to allow: %s", r.Error.Detail)
		}
		if hash == "" || hash != r.Hash {
			return failf(Invalid, "hash", "the hash is not that of the plan of this run: look at the plan again")
		}
		if !c.now.Before(r.Ended.Add(ApprovalLife)) {
			return failf(Conflict, "", "this plan is older than 24 hours: press Sync to have a new one")
		}
		r.State, r.Decision = RunAllowed, &Decision{by, reason, c.now}
		state.Approval = &Approval{RunID: r.ID, Hash: r.Hash, By: by, Reason: reason, Given: c.now, Expires: c.now.Add(ApprovalLife), Restore: r.Restore}
		return c.audit("run.allow", r.ID.String(), state.Approval)
	})
}

// DiscardRun drops the plan of a quarantined run: nothing of it is done, and the next run plans
// anew. A reason may be given. Errors: Forbidden; NotFound, also for a run of another's environment; Conflict when the run does not wait for a decision.
func (s *Service) DiscardRun(ctx context.Context, by Actor, run ID, reason string) (*Run, error) {
	return s.decideRun(ctx, by, run, func(c *change, r *Run, state *PullState) error {
		reason, err := cleanReason(reason)
		if err != nil {
			return err
		}
		r.State, r.Decision = RunDiscarded, &Decision{by, reason, c.now}
		return c.audit("run.discard", r.ID.String(), map[string]any{"environment": r.EnvironmentID, "hash": r.Hash, "reason": reason})
	})
}

// cleanReason checks what a person gave for a reason.
func cleanReason(text string) (string, error) {
	text = strings.TrimSpace(text)
	switch {
	case len(text) > 1000:
		return "", failf(Invalid, "reason", "the reason is longer than 1000 bytes")
	case strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && disguisesText(r) }):
		return "", failf(Invalid, "reason", "the reason holds a control character, or one that does not show")
	}
	return text, nil
}

func (s *Service) decideRun(ctx context.Context, by Actor, id ID, fn func(*change, *Run, *PullState) error) (*Run, error) {
	if err := require(by, RoleEnvironment, RolePartner, RoleOperator); err != nil { // also for a run that is not
		return nil, err
	}
	var run *Run
	err := s.update(ctx, by, func(c *change) (err error) {
		if run, err = c.Run(id); err != nil {
			return err
		}
		if _, err := c.mayEnvironment(run.EnvironmentID); err != nil {
			if KindOf(err) == NotFound {
				err = notFound("run")
			}
			return err
		}
		state, err := c.PullState(run.EnvironmentID)
		if err != nil {
			return err
		}
		if run.State == RunQuarantined && state.Quarantined == run.PlanOf && !run.PlanOf.IsZero() {
			if run, err = c.Run(run.PlanOf); err != nil { // the same plan, found again
				return err
			}
		}
		if run.State != RunQuarantined || state.Quarantined != run.ID {
			return failf(Conflict, "", "this run does not wait for a decision: it is %s", run.State)
		}
		state.Quarantined = ID{}
		if err := fn(c, run, state); err != nil {
			return err
		}
		return c.put(row{tableRuns, key(run.EnvironmentID, run.ID), encodeJSON(run)}, row{tablePullState, key(run.EnvironmentID), encodeJSON(state)})
	})
	if err != nil {
		return nil, err
	}
	return run, nil
}

// pruneRows bounds what one step of PruneRuns removes.
const pruneRows = 2000

// PruneRuns removes the runs that ended before a time, with their plans, in small steps, and
// returns how many. The last run of an environment and one that waits for a decision stay.
func (s *Service) PruneRuns(ctx context.Context, before time.Time) (pruned int, err error) {
	var old []ID
	err = s.View(ctx, func(sn *Snapshot) (err error) {
		old, err = sn.oldRuns(before)
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, id := range old {
		for gone, more := false, true; more; {
			err := s.update(ctx, Actor{Role: RoleSystem, Channel: "system"}, func(c *change) (err error) {
				gone, more, err = c.pruneRun(id)
				return err
			})
			if err != nil {
				return pruned, err
			}
			if gone {
				pruned++
			}
		}
	}
	return pruned, nil
}

// oldRuns lists the runs that ended before a time. Runs are kept in the order in which they
// started, so those that started later than that are not looked at.
func (s *Snapshot) oldRuns(before time.Time) (old []ID, err error) {
	envs, err := s.Environments(ID{})
	if err != nil {
		return nil, err
	}
	for _, env := range envs {
		err := list(s.r, tableRuns, Range{Prefix: key(env.ID)}, jsonRow[Run], func(r *Run) bool {
			if r.State != RunRunning && r.Ended.Before(before) {
				old = append(old, r.ID)
			}
			return r.Started.Before(before)
		})
		if err != nil {
			return nil, err
		}
	}
	return old, nil
}

// pruneRun removes a part of one run, unless it has to stay. more says that some of it is left.
func (c *change) pruneRun(id ID) (gone, more bool, err error) {
	env, err := c.r.Get(tableRunOf, key(id))
	if err != nil || env == nil { // another call was faster
		return false, false, err
	}
	environment := toID(env)
	state, err := c.PullState(environment)
	if err != nil || state.LastRun == id || state.Quarantined == id {
		return false, false, err
	}
	var rows []row
	items := 0
	err = c.PlanItems(id, 0, func(i *PlanItem) bool {
		rows = append(rows, row{table: tableRunItems, key: numberKey(id, i.Number)}, row{table: tableRunItemPlace, key: itemPlaceKey(id, i)})
		items++
		return items < pruneRows
	})
	if err != nil {
		return false, false, err
	}
	if gone = items < pruneRows; gone {
		rows = append(rows, row{table: tableRuns, key: key(environment, id)}, row{table: tableRunOf, key: key(id)})
	}
	return gone, !gone, c.delete(rows...)
}
