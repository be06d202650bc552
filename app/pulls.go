package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/scim"
)

// newReconciler wires the pull. Nothing runs before somebody asks, or Work is called. ended is told of
// each run that has ended; nil: nobody asks.
func newReconciler(c Config, o Options, service *directory.Service, keys *secrets, ended func(*directory.Run)) (*pull.Reconciler, error) {
	roots, err := c.roots()
	if err != nil {
		return nil, &ConfigError{[]string{"ca_file: " + err.Error()}}
	}
	return pull.New(pull.Options{
		Service:   service,
		Connect:   o.Connect,
		Open:      keys.open,
		Resources: Resources,
		Roots:     roots,
		Now:       o.Now,
		NewID:     o.NewID,
		Log:       o.Logger,
		Ended:     ended,
		Settings: pull.Settings{Interval: c.Pull.Interval, Deadline: c.Pull.Deadline, SilentAfter: c.Pull.SilentAfter,
			Keep: time.Duration(c.Pull.KeepDays) * 24 * time.Hour, Tenants: c.Pull.Tenants},
	}), nil
}

// Resources makes the resources of a tenant as push does (pull.Options).
func Resources(t *directory.Tenant) (pull.Resources, error) {
	r, err := scim.NewResources(t)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// errorsOnly is a log of errors alone: for a command that shows by itself how a run went.
type errorsOnly struct{ slog.Handler }

func (h errorsOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError && h.Handler.Enabled(ctx, level)
}

func (a *admin) startSync(ctx context.Context, by directory.Actor, in SyncInput) (Run, error) {
	env, err := a.environment(ctx, in.Environment)
	if err != nil {
		return Run{}, err
	}
	run, err := a.pull.Sync(ctx, by, env.ID, pull.SyncOptions{Preview: in.Preview, Restore: in.Restore})
	if err != nil {
		return Run{}, err
	}
	return a.viewRun(ctx, run)
}

func (a *admin) environment(ctx context.Context, ref string) (*directory.Environment, error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (*directory.Environment, error) { return findEnvironment(sn, ref) })
}

// viewRun shows a run with the names of what it speaks of.
func (a *admin) viewRun(ctx context.Context, run *directory.Run) (Run, error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (Run, error) { return viewRun(newNames(sn), run), nil })
}

func viewRun(n *names, r *directory.Run) Run {
	out := Run{ID: r.ID.String(), Environment: n.environment(r.EnvironmentID), Trigger: string(r.Trigger), By: r.Actor.ID, Preview: r.Preview,
		Restore: r.Restore, State: string(r.State), Stage: string(r.Stage), Done: r.Done, Total: r.Total, StageStarted: orNil(r.StageStarted), Started: r.Started, Ended: orNil(r.Ended),
		PushSilent: r.PushSilent, Drift: r.Counts.Drift(), Groups: []GroupRead{}, Pages: r.Pages, Requests: r.Requests, Retries: r.Retries, Units: r.Units,
		Counts: Counts(r.Counts), Hash: r.Hash, Reasons: r.Reasons, Notes: r.Notes, Deactivated: []Affected{}}
	if r.State == directory.RunRunning {
		out.Ended = nil // until its end is kept
	}
	if !r.TenantID.IsZero() {
		t := n.tenant(r.TenantID)
		out.Tenant = &t
	}
	if !r.PlanOf.IsZero() {
		out.PlanOf = r.PlanOf.String()
	}
	for _, g := range r.Groups {
		out.Groups = append(out.Groups, GroupRead(g))
	}
	for id, count := range r.Deactivations {
		if env, ok := directory.ParseID(id); ok {
			out.Deactivated = append(out.Deactivated, Affected{n.environment(env), count})
		}
	}
	slices.SortFunc(out.Deactivated, func(a, b Affected) int { return b.Accesses - a.Accesses })
	if r.Error != nil {
		e := RunError(*r.Error)
		out.Error = &e
	}
	if x := r.Approval; x != nil {
		out.Approval = &Approval{Run: x.RunID.String(), Hash: x.Hash, By: x.By.ID, Reason: x.Reason, Given: x.Given, Expires: x.Expires}
	}
	return out
}

func (a *admin) listRuns(ctx context.Context, _ directory.Actor, in RunFilter) (List[Run], error) {
	out := List[Run]{Items: []Run{}, Total: -1}
	var runs []*directory.Run
	err := a.service.View(ctx, func(sn *directory.Snapshot) error {
		env, err := findEnvironment(sn, in.Environment)
		if err != nil {
			return err
		}
		limit := (&Page{Limit: in.Limit}).limit()
		return sn.Runs(env.ID, func(r *directory.Run) bool {
			runs = append(runs, r)
			return len(runs) < limit
		})
	})
	if err != nil {
		return out, err
	}
	for _, r := range runs {
		live, err := a.live(ctx, r)
		if err != nil {
			return out, err
		}
		item, err := a.viewRun(ctx, live)
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, item)
	}
	return out, nil
}

// live returns a run that is kept as running as far as it is by now.
func (a *admin) live(ctx context.Context, r *directory.Run) (*directory.Run, error) {
	if r.State != directory.RunRunning {
		return r, nil
	}
	return a.pull.Show(ctx, r.ID)
}

// which of an environment's runs is meant by its name.
type which int

const (
	newestRun  which = iota
	waitingRun       // for a decision
	runningRun
)

// run finds a run by its id, or the one of an environment that is meant.
func (a *admin) run(ctx context.Context, ref string, w which) (*directory.Run, error) {
	if id, ok := directory.ParseID(ref); ok {
		run, err := a.pull.Show(ctx, id)
		if !isNotFound(err) {
			return run, err
		}
	}
	var run *directory.Run
	if w != waitingRun { // one under way is perhaps not kept yet
		active, err := a.underWay(ctx, ref)
		if active != nil || err != nil {
			return active, err
		}
	}
	err := a.service.View(ctx, func(sn *directory.Snapshot) error {
		env, err := findEnvironment(sn, ref)
		if isNotFound(err) {
			return fail(directory.NotFound, "run", "there is no run and no environment %q; see: bizzscim runs ENV", ref)
		} else if err != nil {
			return err
		}
		if w == waitingRun {
			state, err := sn.PullState(env.ID)
			if err != nil {
				return err
			}
			if state.Quarantined.IsZero() {
				return fail(directory.NotFound, "run", "no run of environment %s waits for a decision; see: bizzscim runs %q", env.Name, env.Name)
			}
			run, err = sn.Run(state.Quarantined)
			return err
		}
		err = sn.Runs(env.ID, func(r *directory.Run) bool {
			run = r
			return false
		})
		switch {
		case err != nil:
			return err
		case run == nil:
			return fail(directory.NotFound, "run", "environment %s has no run yet; begin one with: bizzscim sync %q", env.Name, env.Name)
		case w == runningRun && run.State != directory.RunRunning:
			return fail(directory.NotFound, "run", "no run of environment %s is under way; see: bizzscim runs %q", env.Name, env.Name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a.live(ctx, run)
}

// underWay returns the run of an environment that is under way; nil: none.
func (a *admin) underWay(ctx context.Context, ref string) (*directory.Run, error) {
	env, err := a.environment(ctx, ref)
	if isNotFound(err) {
		return nil, nil // the caller says it better
	} else if err != nil {
		return nil, err
	}
	all, err := a.pull.Status(ctx)
	for i := range all {
		if all[i].Environment.ID == env.ID {
			return all[i].Running, err
		}
	}
	return nil, err
}

func (a *admin) showRun(ctx context.Context, _ directory.Actor, in RunQuery) (out RunPlan, err error) {
	run, err := a.run(ctx, in.Ref, newestRun)
	if err != nil {
		return out, err
	}
	var after uint64
	if in.After != "" {
		if after, err = strconv.ParseUint(in.After, 10, 64); err != nil {
			return out, fail(directory.Invalid, "after", "%q is not the number of an item", in.After)
		}
	}
	limit := in.limit()
	return view(ctx, a.service, func(sn *directory.Snapshot) (out RunPlan, err error) {
		n := newNames(sn)
		out.Run = viewRun(n, run)
		var items []PlanItem
		err = sn.PlanItems(run.ID, after, func(i *directory.PlanItem) bool {
			items = append(items, viewItem(n, i))
			return len(items) <= limit
		})
		out.Items = page(items, limit, func(i PlanItem) string { return strconv.FormatUint(i.Number, 10) })
		return out, err
	})
}

func viewItem(n *names, i *directory.PlanItem) PlanItem {
	out := PlanItem{Number: i.Number, Kind: string(i.Kind), UserName: i.UserName, Name: i.Name, Reason: i.Reason, Evidence: i.Evidence,
		Outcome: string(i.Outcome), Detail: i.Detail}
	if !i.ObjectID.IsZero() {
		out.ObjectID = i.ObjectID.String()
	}
	if !i.UserID.IsZero() {
		out.SCIMID = i.UserID.String()
	}
	for _, c := range i.Changes {
		out.Changes = append(out.Changes, Change{Name: c.Name, Old: c.Old, New: c.New})
	}
	for _, x := range i.Accesses {
		out.Accesses = append(out.Accesses, AccessEffect{Environment: n.environment(x.EnvironmentID), Account: n.account(x.AccountID), Effect: x.Effect})
	}
	return out
}

func (a *admin) allowRun(ctx context.Context, by directory.Actor, in RunDecision) (Run, error) {
	run, err := a.run(ctx, in.Ref, waitingRun)
	if err != nil {
		return Run{}, err
	}
	switch {
	case run.State == directory.RunQuarantined && run.Hash == "":
		return Run{}, fail(directory.Conflict, "", "this run has no plan that could be allowed: mend what it says, and begin another with: bizzscim sync")
	case in.Hash == "":
		return Run{}, fail(directory.Invalid, "hash", "say which plan with its hash: look at it with: bizzscim run show %s", run.ID)
	}
	next, err := a.pull.Allow(ctx, by, run.ID, in.Hash, in.Reason)
	if err != nil {
		return Run{}, err
	}
	return a.viewRun(ctx, next)
}

func (a *admin) discardRun(ctx context.Context, by directory.Actor, in RunDecision) (Run, error) {
	run, err := a.run(ctx, in.Ref, waitingRun)
	if err != nil {
		return Run{}, err
	}
	if run, err = a.pull.Discard(ctx, by, run.ID, in.Reason); err != nil {
		return Run{}, err
	}
	return a.viewRun(ctx, run)
}

func (a *admin) cancelRun(ctx context.Context, by directory.Actor, in RefInput) (Run, error) {
	run, err := a.run(ctx, in.Ref, runningRun)
	if err != nil {
		return Run{}, err
	}
	if run, err = a.pull.Cancel(ctx, by, run.ID); err != nil {
		return Run{}, err
	}
	return a.viewRun(ctx, run)
}

func (a *admin) pullStatus(ctx context.Context, by directory.Actor, _ None) (out PullOverview, err error) {
	all, err := a.pull.Status(ctx)
	if err != nil {
		return out, err
	}
	credentials, err := a.listCredentials(ctx, by, CredentialFilter{})
	if err != nil {
		return out, err
	}
	out = PullOverview{Environments: []PullStatusOf{}, Credentials: credentials.Items}
	return out, a.service.View(ctx, func(sn *directory.Snapshot) error {
		n := newNames(sn)
		for i := range all {
			out.Environments = append(out.Environments, viewStatus(n, &all[i]))
		}
		return nil
	})
}

func viewStatus(n *names, s *pull.Status) PullStatusOf {
	in, state := s.Environment.Integration, s.State
	out := PullStatusOf{Environment: Named{s.Environment.ID.String(), s.Environment.Name}, Tenant: n.tenant(in.TenantID), State: s.Word(),
		Periodic: in.Periodic, LastSuccess: orNil(state.LastSuccess), NotBefore: orNil(state.NotBefore), Failures: state.Failures}
	if in.Periodic && !in.Paused {
		out.Next = orNil(state.Next)
	}
	if !state.Quarantined.IsZero() {
		out.Quarantined = state.Quarantined.String()
	}
	if s.Running != nil {
		out.Running = s.Running.ID.String()
	}
	if s.Last != nil {
		out.Drift, out.PushSilent = s.Last.Counts.Drift(), s.Last.PushSilent
		if s.Last.Error != nil {
			e := RunError(*s.Last.Error)
			out.Error = &e
		}
	}
	return out
}

// pullSummary says in one line how the pulls are, without a name: it is shown to everyone who asks
// whether the server is ready.
func (a *App) pullSummary(ctx context.Context) string {
	a.summary.Lock()
	defer a.summary.Unlock()
	if now := a.options.Now(); a.summary.text == "" || now.Sub(a.summary.at).Abs() >= summaryAge {
		a.summary.text, a.summary.at = a.summarize(ctx), now
	}
	return a.summary.text
}

// summaryAge is how long a summary is good: anybody may ask for it, and making it reads every environment.
const summaryAge = 10 * time.Second

func (a *App) summarize(ctx context.Context) string {
	all, err := a.pull.Status(ctx)
	if err != nil {
		return "pull: its state cannot be read"
	}
	var periodic, quarantined, failing, overdue int
	var oldest time.Time
	for i := range all {
		s := &all[i]
		count := func(n *int, is bool) {
			if is {
				*n++
			}
		}
		count(&quarantined, !s.State.Quarantined.IsZero())
		count(&failing, s.State.Failures > 0)
		count(&overdue, s.Late)
		in := s.Environment.Integration
		if in.Periodic && !in.Paused {
			periodic++
			if last := s.State.LastSuccess; !last.IsZero() && (oldest.IsZero() || last.Before(oldest)) {
				oldest = last
			}
		}
	}
	text := fmt.Sprintf("pull: periodic %d, quarantined %d, failing %d, overdue %d", periodic, quarantined, failing, overdue)
	if !oldest.IsZero() {
		text += ", oldest success " + a.options.Now().Sub(oldest).Round(time.Second).String() + " ago"
	}
	return text
}

// watchCredentials warns in the log before a credential ends, or the token or client that push lives by, as desk.ExpiryLevel
// says, and when it has ended: each time once, and once more after a restart.
func (a *App) watchCredentials(ctx context.Context) {
	if err := a.secrets.check(ctx); err != nil && ctx.Err() == nil {
		a.log.Error("a secret cannot be opened: what needs it does not work, such as a pull, a sign-in, a second factor", "error", err)
	}
	told := map[desk.Ending]int{}
	for {
		if err := a.warnCredentials(ctx, told); err != nil && ctx.Err() == nil {
			a.log.Error("the credentials could not be looked at", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Hour):
		}
	}
}

// without says what does not work without a credential, a token or a client.
var without = map[string]string{directory.GraphCredential: "its environments are not pulled", directory.SignInCredential: "its people cannot sign in",
	"token": "its directory cannot push with it", "client": "its directory cannot push with it"}

// warnCredentials logs what is due and was not told before.
func (a *App) warnCredentials(ctx context.Context, told map[desk.Ending]int) error {
	all, err := a.desk.Endings(ctx)
	if err != nil {
		return err
	}
	now := a.options.Now()
	for _, e := range all {
		level := desk.ExpiryLevel(e.Expires, now)
		if level <= told[e] {
			continue
		}
		told[e] = level
		about := []any{"tenant_id", e.Tenant.ID, "credential", e.What, "expires", e.Expires}
		if e.Ended {
			a.log.Error("a credential has ended: "+without[e.What], about...)
			continue
		}
		a.log.Warn("a credential ends soon", append(about, "in", days(e.Expires.Sub(now)))...)
	}
	return nil
}

func (a *admin) protectAccount(ctx context.Context, by directory.Actor, in Protection) (User, error) {
	account, err := view(ctx, a.service, func(sn *directory.Snapshot) (*directory.Account, error) { return in.find(sn) })
	if err != nil {
		return User{}, err
	}
	if account, err = a.service.ProtectAccount(ctx, by, account.ID, in.Protected); err != nil {
		return User{}, err
	}
	return a.showUser(ctx, by, UserRef{Ref: account.ID.String()})
}

func (a *admin) setAdministrator(ctx context.Context, by directory.Actor, in AdministratorInput) (Access, error) {
	var account *directory.Account
	env, err := view(ctx, a.service, func(sn *directory.Snapshot) (env *directory.Environment, err error) {
		if account, err = in.find(sn); err != nil {
			return nil, err
		}
		return findEnvironment(sn, in.Environment)
	})
	if err != nil {
		return Access{}, err
	}
	access, err := a.service.SetAdministrator(ctx, by, account.ID, env.ID, in.Administrator)
	if isNotFound(err) {
		return Access{}, fail(directory.NotFound, "user", "%s has no access to environment %s; see: bizzscim access %q", account.UserName, env.Name, env.Name)
	}
	if err != nil {
		return Access{}, err
	}
	return view(ctx, a.service, func(sn *directory.Snapshot) (Access, error) { return viewAccess(newNames(sn), access), nil })
}
