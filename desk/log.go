package desk

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// LogFilter selects lines of the provisioning log. Zero fields select everything that the actor sees.
type LogFilter struct {
	Tenant      directory.ID
	Environment directory.ID // lines that changed an access to it
	Person      directory.ID // account: lines about that person, or that changed an access of theirs
	Run         directory.ID
	Status      string // one of LogStatuses
	Action      string // one of LogActions
	Channel     string // one of LogChannels
	Identity    string // part of a name, an external id or a SCIM id, without regard to case
	From, To    time.Time
}

// What a LogFilter may name, in Entra's words where Entra has them.
var (
	LogStatuses = []string{"success", "failure", "skipped", "warning"}
	LogActions  = []string{"create", "update", "disable", "enable", "delete", "other"}
	LogChannels = []string{"push", "pull", "console", "api", "cli", "system"}
)

// LogLine is one line of the provisioning log.
type LogLine struct {
	Sequence  uint64        `json:"sequence" doc:"Number in the order of commit, of all tenants"`
	Time      time.Time     `json:"time"`
	Tenant    LogSource     `json:"tenant" doc:"Source system: the tenant whose directory the identity belongs to"`
	Action    string        `json:"action" enum:"create,update,disable,enable,delete,other"`
	Status    string        `json:"status" enum:"success,failure,skipped,warning" doc:"skipped: nothing had to be changed"`
	Identity  LogIdentity   `json:"identity"`
	Channel   string        `json:"channel" enum:"push,pull,console,api,cli,system"`
	RequestID string        `json:"requestId,omitempty" doc:"Of the request that carried the change"`
	RunID     *directory.ID `json:"runId,omitempty" doc:"Of the run that made the change"`
	Detail    string        `json:"detail,omitempty" doc:"The error that the client got"`
	Reason    string        `json:"reason,omitempty" doc:"Why a run made the change"`
	Warnings  []string      `json:"warnings,omitempty"`
	Target    []LogTarget   `json:"target" nullable:"false" doc:"Target system: what was done to accesses, by environment"`
	Sessions  int           `json:"sessionsEnded"`
}

// LogIdentity is what a line is about.
type LogIdentity struct {
	Type       string `json:"type" enum:"User,Group,Environment,Tenant"`
	ID         string `json:"id,omitempty" doc:"SCIM id, or the id of the environment"`
	Name       string `json:"name"`
	ExternalID string `json:"externalId,omitempty"`
}

// LogSource is where a line comes from. Its id is a part of the path of the line, so it is never absent.
type LogSource struct {
	ID   string `json:"id" format:"uuid" doc:"Of the tenant; the nil UUID where BizzStream itself is the source, of internal users"`
	Name string `json:"name" doc:"The name that people know it by"`
}

// LogTarget is what a line did to the accesses of one environment.
type LogTarget struct {
	Environment Named `json:"environment"`
	Granted     int   `json:"granted"`
	Reactivated int   `json:"reactivated"`
	Deactivated int   `json:"deactivated"`
}

// Figures of reading the log.
const (
	logWork  = 2000      // lines looked at for one page, at most; one that changed many accesses counts for several
	logSlack = time.Hour // by how much the clock may have been set back in the middle of the log
)

// check refuses what no line can be selected by.
func (f *LogFilter) check() error {
	for _, x := range []struct {
		field, value string
		known        []string
	}{{"status", f.Status, LogStatuses}, {"action", f.Action, LogActions}, {"channel", f.Channel, LogChannels}} {
		if x.value != "" && !slices.Contains(x.known, x.value) {
			return fail(directory.Invalid, x.field, "%s must be one of %s", x.field, strings.Join(x.known, ", "))
		}
	}
	if !f.From.IsZero() && !f.To.IsZero() && f.To.Before(f.From) {
		return fail(directory.Invalid, "to", "the time until which lines are shown is before that from which they are")
	}
	return nil
}

// sequenceOf reads the number at which a page goes on; 0: from the newest.
func sequenceOf(after string) (uint64, error) {
	if after == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(after, 10, 64)
	if err != nil || n == 0 {
		return 0, fail(directory.Invalid, "after", "after must be what a page before has named as next")
	}
	return n, nil
}

// Log lists lines of the provisioning logs that an actor sees, newest first, those of several tenants merged. It
// looks at a bounded number of lines: a page may hold few of them, or none, and still name a Next, from where the search
// goes on further back.
//
// Errors: Forbidden; NotFound for a tenant or an environment that the actor does not see; Invalid.
func (d *Desk) Log(ctx context.Context, by directory.Actor, f LogFilter, p Page) (List[LogLine], error) {
	out := List[LogLine]{Items: []LogLine{}, Total: -1}
	before, err := sequenceOf(p.After)
	if err == nil {
		err = f.check()
	}
	if err != nil {
		return out, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (List[LogLine], error) {
		r, err := newLogReader(sn, by, f)
		if err != nil {
			return out, err
		}
		work, last := logWork, uint64(0)
		names := newNames(sn)
		err = r.newestFirst(before, func(e *directory.LogEvent) (bool, error) {
			if work <= 0 || len(out.Items) == p.limit() {
				out.Next = strconv.FormatUint(last, 10)
				return false, nil
			}
			work -= 1 + len(e.Accesses)/4
			last = e.Sequence
			seen, err := r.see(e)
			if err != nil || seen == nil {
				return true, err
			}
			line, err := names.line(seen)
			out.Items = append(out.Items, line)
			return true, err
		})
		return out, err
	})
}

// LogHead returns the number of the newest line that a filter's tenant or environment has, or all that the actor sees
// have; 0: there is none. Whoever follows the log asks for it, and reads anew when it has risen. Errors: as Log.
func (d *Desk) LogHead(ctx context.Context, by directory.Actor, f LogFilter) (uint64, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (head uint64, err error) {
		r, err := newLogReader(sn, by, f)
		if err != nil {
			return 0, err
		}
		for _, walk := range r.sources {
			err := walk(0, true, func(e *directory.LogEvent) bool {
				head = max(head, e.Sequence)
				return false
			})
			if err != nil {
				return 0, err
			}
		}
		return head, nil
	})
}

// logWalk reads one log: of a tenant, or of an environment.
type logWalk func(after uint64, reverse bool, fn func(*directory.LogEvent) bool) error

// logReader reads the logs that a filter is about, as an actor sees them.
type logReader struct {
	sight   *directory.Sight
	filter  LogFilter
	person  directory.ID // as the log names the filter's person: SCIM id, of an internal user the account
	tenant  directory.ID // of the filter's person
	text    string       // of the filter, folded
	sources []logWalk
}

func newLogReader(sn *directory.Snapshot, by directory.Actor, f LogFilter) (*logReader, error) {
	sight, err := sn.LogSight(by)
	if err != nil {
		return nil, err
	}
	r := &logReader{sight: sight, filter: f, text: directory.FoldCase(strings.TrimSpace(f.Identity))}
	if !f.Person.IsZero() {
		account, err := sn.SeeAccount(by, f.Person)
		if err != nil {
			return nil, err
		}
		r.person, r.tenant = account.UserID, account.TenantID
		if !account.External() {
			r.person = account.ID
		}
	}
	if !f.Tenant.IsZero() {
		if _, err := sn.SeeTenant(by, f.Tenant); err != nil {
			return nil, err
		}
	}
	switch {
	case !f.Environment.IsZero():
		if _, err := sn.SeeEnvironment(by, f.Environment); err != nil {
			return nil, err
		}
		r.sources = []logWalk{environmentLog(sn, f.Environment)}
	case !f.Tenant.IsZero():
		r.sources = []logWalk{tenantLog(sn, f.Tenant)}
	default:
		r.sources, err = allLogs(sn, by)
	}
	return r, err
}

// allLogs are the logs of the tenants that an actor sees and of the environments; for an operator, who sees every tenant, these and that
// of internal users.
func allLogs(sn *directory.Snapshot, by directory.Actor) (all []logWalk, err error) {
	tenants, err := sn.SeeTenants(by)
	for _, t := range tenants {
		all = append(all, tenantLog(sn, t.ID))
	}
	if err != nil || by.Role == directory.RoleOperator {
		return append(all, tenantLog(sn, directory.ID{})), err // of no tenant: internal users
	}
	envs, err := sn.SeeEnvironments(by)
	return append(all, environmentLogs(sn, envs)...), err
}

func environmentLogs(sn *directory.Snapshot, envs []*directory.Environment) (all []logWalk) {
	for _, e := range envs {
		all = append(all, environmentLog(sn, e.ID))
	}
	return all
}

func tenantLog(sn *directory.Snapshot, id directory.ID) logWalk {
	return func(after uint64, reverse bool, fn func(*directory.LogEvent) bool) error {
		return sn.Log(id, after, reverse, fn)
	}
}

func environmentLog(sn *directory.Snapshot, id directory.ID) logWalk {
	return func(after uint64, reverse bool, fn func(*directory.LogEvent) bool) error {
		return sn.EnvironmentLog(id, after, reverse, fn)
	}
}

// newestFirst hands on the lines of all logs within the time of the filter, each once, newest first, of those before
// a number (0: all), until fn returns false.
func (r *logReader) newestFirst(before uint64, fn func(*directory.LogEvent) (bool, error)) (err error) {
	type head struct {
		event *directory.LogEvent
		next  func() (*directory.LogEvent, bool)
	}
	var heads []*head
	var failed error
	for _, walk := range r.sources {
		from := before
		if to := r.filter.To; !to.IsZero() {
			n, err := walk.before(to.Add(logSlack))
			if err != nil {
				return err
			}
			if from == 0 || n < from {
				from = n
			}
		}
		next, stop := iter.Pull(func(yield func(*directory.LogEvent) bool) {
			failed = errors.Join(failed, walk(from, true, yield))
		})
		defer stop() //nolint:revive // all of them are read until the end
		if e, ok := next(); ok {
			heads = append(heads, &head{e, next})
		}
	}
	for last := uint64(0); len(heads) > 0 && failed == nil; {
		h := slices.MaxFunc(heads, func(a, b *head) int { return cmp.Compare(a.event.Sequence, b.event.Sequence) })
		e, ok := h.event, false
		if h.event, ok = h.next(); !ok {
			heads = slices.DeleteFunc(heads, func(x *head) bool { return x == h })
		}
		if e.Sequence == last { // of two environments
			continue
		}
		last = e.Sequence
		if from := r.filter.From; !from.IsZero() && e.Time.Before(from.Add(-logSlack)) {
			return failed
		}
		if goesOn, err := fn(e); !goesOn || err != nil {
			return errors.Join(err, failed)
		}
	}
	return failed
}

// before returns the number below which the lines of a log are not after a time, by halving: lines are numbered in the
// order of commit, which is that of time but for a clock that is set back.
func (walk logWalk) before(t time.Time) (uint64, error) {
	newest := func(below uint64) (e *directory.LogEvent, err error) {
		err = walk(below, true, func(x *directory.LogEvent) bool { e = x; return false })
		return e, err
	}
	e, err := newest(0)
	if e == nil || err != nil {
		return 1, err
	}
	low, high := uint64(1), e.Sequence+2
	for high-low > 1 {
		middle := low + (high-low)/2
		e, err := newest(middle)
		switch {
		case err != nil:
			return 0, err
		case e == nil || !e.Time.After(t):
			low = middle
		default:
			high = e.Sequence + 1
		}
	}
	return low, nil
}

// see returns a line as the actor sees it when the filter selects it, else nil. What the actor does not see selects
// nothing.
func (r *logReader) see(e *directory.LogEvent) (*directory.LogEvent, error) {
	seen, err := r.sight.Of(e)
	if err != nil || seen == nil || !r.selects(seen) {
		return nil, err
	}
	return seen, nil
}

func (r *logReader) selects(e *directory.LogEvent) bool {
	f := &r.filter
	has := func(text string) bool { return strings.Contains(directory.FoldCase(text), r.text) }
	switch {
	case !f.Tenant.IsZero() && e.TenantID != f.Tenant,
		!f.Run.IsZero() && e.Actor.RunID != f.Run,
		!f.From.IsZero() && e.Time.Before(f.From),
		!f.To.IsZero() && e.Time.After(f.To),
		f.Status != "" && f.Status != logStatus(e),
		f.Action != "" && f.Action != logAction(e),
		f.Channel != "" && f.Channel != logChannel(e.Actor.Channel),
		!f.Person.IsZero() && !r.about(e),
		r.text != "" && !has(e.TargetName) && !has(e.ExternalID) && !has(e.TargetID):
		return false
	}
	return true
}

// about reports whether a line is about the person of the filter.
func (r *logReader) about(e *directory.LogEvent) bool {
	return e.TargetType == "User" && e.TenantID == r.tenant && e.TargetID == r.person.String() || slices.ContainsFunc(e.Accesses, func(a directory.AccessEffect) bool { return a.AccountID == r.filter.Person })
}

// logStatus says the status of a line in Entra's words: what changed nothing, and did not fail, was skipped.
func logStatus(e *directory.LogEvent) string {
	if e.Status != directory.Failure && e.Action == directory.ActionUpdate && len(e.Changes)+len(e.Accesses) == 0 {
		return "skipped"
	}
	return string(e.Status)
}

// logAction says the action of a line in Entra's words, which have none for access that follows an integration.
func logAction(e *directory.LogEvent) string {
	if e.Action == directory.ActionDerive {
		return string(directory.ActionOther)
	}
	return string(e.Action)
}

// logDetail is what an error says, without what programs need of it: "scim: 409 uniqueness: ..." is said by the status.
func logDetail(detail string) string {
	if rest, ok := strings.CutPrefix(detail, "scim: "); ok {
		if _, text, ok := strings.Cut(rest, ": "); ok {
			return text
		}
	}
	return detail
}

// logChannel says on which way a change came.
func logChannel(channel string) string {
	switch channel {
	case "scim":
		return "push"
	case "pull", "console", "api", "cli":
		return channel
	case "sign-in": // somebody signed in, and the directory was asked for that person
		return "pull"
	}
	return "system"
}

// logNames finds the names of what lines name, each once.
type logNames struct {
	sn    *directory.Snapshot
	known map[directory.ID]string
}

func newNames(sn *directory.Snapshot) *logNames {
	return &logNames{sn, map[directory.ID]string{}}
}

// name finds the name of an id. What is no more has none.
func (n *logNames) name(id directory.ID, find func() (string, error)) (Named, error) {
	name, ok := n.known[id]
	if !ok {
		var err error
		if name, err = find(); err != nil && directory.KindOf(err) != directory.NotFound {
			return Named{}, err
		}
		n.known[id] = name
	}
	return Named{id, name}, nil
}

// source names the source of a line: of internal users BizzStream itself.
func (n *logNames) source(id directory.ID) (LogSource, error) {
	if id.IsZero() {
		return LogSource{id.String(), "BizzStream"}, nil
	}
	t, err := n.tenant(id)
	return LogSource{id.String(), t.Name}, err
}

func (n *logNames) tenant(id directory.ID) (Named, error) {
	return n.name(id, func() (string, error) {
		t, err := n.sn.Tenant(id)
		if err != nil {
			return "", err
		}
		return t.DisplayName(), nil
	})
}

func (n *logNames) environment(id directory.ID) (Named, error) {
	return n.name(id, func() (string, error) {
		e, err := n.sn.Environment(id)
		if err != nil {
			return "", err
		}
		return e.Name, nil
	})
}

func (n *logNames) account(id directory.ID) (Named, error) {
	return n.name(id, func() (string, error) {
		a, err := n.sn.Account(id)
		if err != nil {
			return "", err
		}
		return cmp.Or(a.Name, a.UserName), nil
	})
}

// called names somebody whose access a line changed, to an actor who sees that.
func (n *logNames) called(by directory.Actor, id directory.ID) (Named, error) {
	return n.name(id, func() (string, error) {
		a, err := n.sn.Account(id)
		if err == nil {
			a, err = calledTo(n.sn, by, a)
		}
		if err != nil {
			return "", err
		}
		return cmp.Or(a.Name, a.UserName), nil
	})
}

func (n *logNames) line(e *directory.LogEvent) (line LogLine, err error) {
	line = LogLine{Sequence: e.Sequence, Time: e.Time, Action: logAction(e), Status: logStatus(e), Channel: logChannel(e.Actor.Channel),
		Identity:  LogIdentity{e.TargetType, e.TargetID, e.TargetName, e.ExternalID},
		RequestID: e.Actor.RequestID, Detail: logDetail(e.Detail), Reason: e.Reason, Warnings: e.Warnings, Sessions: e.Sessions, Target: []LogTarget{}}
	if id := e.Actor.RunID; !id.IsZero() {
		line.RunID = &id
	}
	if line.Tenant, err = n.source(e.TenantID); err != nil {
		return line, err
	}
	line.Target, err = n.targets(e.Accesses)
	return line, err
}

func (n *logNames) targets(effects []directory.AccessEffect) ([]LogTarget, error) {
	all := []LogTarget{}
	for _, x := range effects {
		i := slices.IndexFunc(all, func(t LogTarget) bool { return t.Environment.ID == x.EnvironmentID })
		if i < 0 {
			env, err := n.environment(x.EnvironmentID)
			if err != nil {
				return nil, err
			}
			i, all = len(all), append(all, LogTarget{Environment: env})
		}
		switch x.Effect {
		case directory.Granted:
			all[i].Granted++
		case directory.Reactivated:
			all[i].Reactivated++
		case directory.Deactivated:
			all[i].Deactivated++
		}
	}
	return all, nil
}

// LogDetail is all that is known of one line.
type LogDetail struct {
	LogLine
	Steps    []LogStep   `json:"steps" nullable:"false" doc:"What was done, in its order"`
	Changes  []LogChange `json:"changes" nullable:"false" doc:"Modified properties"`
	Accesses []LogAccess `json:"accesses" nullable:"false" doc:"What was done to each access: the first 1,000"`
	Total    int         `json:"accessesTotal" doc:"How many accesses there are"`
	Request  LogRequest  `json:"request"`
	Told     []LogTold   `json:"told" nullable:"false" doc:"Outgoing events of the change, as far as they are kept"`
	Person   *Named      `json:"person,omitempty" doc:"The account of the identity, while it is provisioned"`
	Approval *LogApprove `json:"approval,omitempty" doc:"Who allowed the quarantined plan that the change was part of"`
}

// LogStep is one step of a line, as in Entra's own log.
type LogStep struct {
	Name   string `json:"name" enum:"received,matched,evaluated,provisioned,told"`
	Status string `json:"status" enum:"success,failure,skipped,warning"`
}

// LogChange is one modified property.
type LogChange struct {
	Name string          `json:"name"`
	Old  json.RawMessage `json:"old,omitempty" doc:"Absent: it had no value"`
	New  json.RawMessage `json:"new,omitempty" doc:"Absent: it has none any more"`
}

// LogAccess is what a line did to one access.
type LogAccess struct {
	Environment Named  `json:"environment"`
	Account     Named  `json:"account"`
	Effect      string `json:"effect" enum:"granted,reactivated,deactivated"`
	Sessions    int    `json:"sessionsEnded" doc:"Of the account; counted once for all of its accesses"`
}

// LogRequest is who asked for a change, and what the answer was.
type LogRequest struct {
	Method  string `json:"method,omitempty"`
	Path    string `json:"path,omitempty" doc:"Below the Tenant URL"`
	Address string `json:"address,omitempty" doc:"Of the caller"`
	Token   string `json:"token,omitempty" doc:"Name and last characters of the token that the caller had"`
	By      *Named `json:"by,omitempty" doc:"The person who did it in the console"`
	Status  int    `json:"status,omitempty" doc:"HTTP status of the answer, of a request of the SCIM endpoint; absent where it is not known any more"`
}

// LogTold is one outgoing event.
type LogTold struct {
	Sequence uint64 `json:"sequence"`
	Type     string `json:"type"`
}

// LogApprove says who allowed a quarantined plan.
type LogApprove struct {
	By     string    `json:"by"`
	Given  time.Time `json:"given"`
	Reason string    `json:"reason"`
}

const shownAccesses = 1000

// LogLine returns one line of the log of a tenant with all that is known of it. Errors: Forbidden; NotFound, also for
// what the actor does not see.
func (d *Desk) LogLine(ctx context.Context, by directory.Actor, tenant directory.ID, sequence uint64) (LogDetail, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (LogDetail, error) {
		sight, err := sn.LogSight(by)
		if err != nil {
			return LogDetail{}, err
		}
		e, err := sn.LogEvent(tenant, sequence)
		if err == nil {
			e, err = sight.Of(e)
		}
		if err == nil && e == nil {
			err = fail(directory.NotFound, "", "log event not found")
		}
		if err != nil {
			return LogDetail{}, err
		}
		return newNames(sn).detail(by, e)
	})
}

func (n *logNames) detail(by directory.Actor, e *directory.LogEvent) (out LogDetail, err error) {
	if out.LogLine, err = n.line(e); err != nil {
		return out, err
	}
	out.Changes, out.Accesses, out.Told, out.Total = []LogChange{}, []LogAccess{}, []LogTold{}, len(e.Accesses)
	for _, c := range e.Changes {
		out.Changes = append(out.Changes, LogChange(c))
	}
	for _, x := range e.Accesses[:min(len(e.Accesses), shownAccesses)] {
		a := LogAccess{Effect: x.Effect, Sessions: x.Sessions}
		var err error
		if a.Environment, err = n.environment(x.EnvironmentID); err != nil {
			return out, err
		}
		if a.Account, err = n.called(by, x.AccountID); err != nil {
			return out, err
		}
		out.Accesses = append(out.Accesses, a)
	}
	if out.Request, err = n.request(by, e); err != nil {
		return out, err
	}
	if out.Told, err = n.told(e); err != nil {
		return out, err
	}
	if out.Person, err = n.person(by, e); err != nil {
		return out, err
	}
	if out.Approval, err = n.approval(e.Actor.RunID); err != nil {
		return out, err
	}
	out.Steps = steps(e, out.Told)
	return out, nil
}

func (n *logNames) request(by directory.Actor, e *directory.LogEvent) (LogRequest, error) {
	r := LogRequest{Address: e.Actor.Address, Status: e.Answer, Method: e.Actor.Method}
	if e.Status != directory.Failure {
		r.Status = e.Actor.Answer
	}
	if r.Method != "" && (e.TargetType == "User" || e.TargetType == "Group") {
		r.Path = "/" + e.TargetType + "s"
		if r.Method != http.MethodPost && e.TargetID != "" {
			r.Path += "/" + e.TargetID
		}
	}
	id, ok := directory.ParseID(e.Actor.ID)
	if !ok {
		return r, nil
	}
	if e.Actor.Channel == "scim" {
		t, err := n.sn.Token(e.TenantID, id)
		if err == nil {
			r.Token = strings.TrimSpace(cmp.Or(t.Name, t.ClientID) + " …" + t.Hint)
		}
		return r, ignoreMissing(err)
	}
	a, err := n.sn.SeeAccount(by, id)
	if err == nil {
		r.By = &Named{a.ID, cmp.Or(a.Name, a.UserName)}
	}
	return r, ignoreMissing(err)
}

func ignoreMissing(err error) error {
	if directory.KindOf(err) == directory.NotFound {
		return nil
	}
	return err
}

// person is the account of the identity, for a link.
func (n *logNames) person(by directory.Actor, e *directory.LogEvent) (*Named, error) {
	id, ok := directory.ParseID(e.TargetID)
	if !ok || e.TargetType != "User" {
		return nil, nil
	}
	if !e.TenantID.IsZero() { // else it is the account of an internal user
		var u directory.User
		is, err := n.sn.UserResource(&u, e.TenantID, id)
		if err != nil || !is {
			return nil, err
		}
		id = u.AccountID
	}
	a, err := n.sn.SeeAccount(by, id)
	if err == nil {
		a, err = calledTo(n.sn, by, a)
	}
	if err != nil {
		return nil, ignoreMissing(err)
	}
	return &Named{a.ID, cmp.Or(a.Name, a.UserName)}, nil
}

// approval says who allowed the plan of a run.
func (n *logNames) approval(run directory.ID) (*LogApprove, error) {
	if run.IsZero() {
		return nil, nil
	}
	r, err := n.sn.Run(run)
	if err != nil || r.Approval == nil {
		return nil, ignoreMissing(err)
	}
	out := &LogApprove{By: r.Approval.By.ID, Given: r.Approval.Given, Reason: r.Approval.Reason}
	if id, ok := directory.ParseID(r.Approval.By.ID); ok {
		who, err := n.account(id)
		if err != nil {
			return nil, err
		}
		out.By = cmp.Or(who.Name, out.By)
	}
	return out, nil
}

// told finds the outgoing events of a line: they are of its transaction, which has one time.
func (n *logNames) told(e *directory.LogEvent) ([]LogTold, error) {
	all := []LogTold{}
	if e.Status == directory.Failure {
		return all, nil
	}
	at, err := n.outboxAt(e.Time)
	if err != nil {
		return nil, err
	}
	left := 1000 // of others at the same time
	err = n.sn.Outbox(at, func(x *directory.OutboxEvent) bool {
		if x.Time.After(e.Time) {
			return false
		}
		if x.Time.Equal(e.Time) && x.TenantID == e.TenantID && tells(x, e) {
			all = append(all, LogTold{x.Sequence, x.Type})
		}
		left--
		return left > 0
	})
	return all, err
}

// tells reports whether an outgoing event of a line's time and tenant is of what the line is about.
func tells(x *directory.OutboxEvent, e *directory.LogEvent) bool {
	switch e.TargetType {
	case "User":
		return x.UserID.String() == e.TargetID || x.TenantID.IsZero() && x.AccountID.String() == e.TargetID
	case "Group":
		return x.GroupID.String() == e.TargetID
	}
	return x.Type == "access.derived"
}

// outboxAt returns the number after which outgoing events are not before a time, by doubling and halving.
func (n *logNames) outboxAt(t time.Time) (uint64, error) {
	first := func(after uint64) (e *directory.OutboxEvent, err error) {
		err = n.sn.Outbox(after, func(x *directory.OutboxEvent) bool { e = x; return false })
		return e, err
	}
	earlier := func(after uint64) (bool, error) { // the first event after that number is before t
		e, err := first(after)
		return e != nil && e.Time.Before(t), err
	}
	low, high := uint64(0), uint64(1)
	for {
		is, err := earlier(high)
		if err != nil {
			return 0, err
		}
		if !is {
			break
		}
		low, high = high, 2*high
	}
	for low < high {
		middle := low + (high-low)/2
		is, err := earlier(middle)
		switch {
		case err != nil:
			return 0, err
		case is:
			low = middle + 1
		default:
			high = middle
		}
	}
	return low, nil
}

// steps says how far a change came.
func steps(e *directory.LogEvent, told []LogTold) []LogStep {
	all := []LogStep{{"received", "success"}}
	add := func(name, status string) { all = append(all, LogStep{name, status}) }
	if e.Status == directory.Failure {
		add("matched", found(e.TargetID != ""))
		add("evaluated", "failure")
		add("provisioned", "skipped")
		add("told", "skipped")
		return all
	}
	add("matched", "success")
	if len(e.Warnings) > 0 {
		add("evaluated", "warning")
	} else {
		add("evaluated", "success")
	}
	add("provisioned", found(logStatus(e) != "skipped"))
	add("told", found(len(told) > 0))
	return all
}

func found(is bool) string {
	if is {
		return "success"
	}
	return "skipped"
}

// LogScopes are the tenants and the environments by which an actor may select lines.
type LogScopes struct {
	Tenants      []Named
	Environments []Named // with the name of their organization before theirs
}

// seenScopes are the tenants and the environments that an actor sees, these with the name of their organization before
// theirs. Errors: Forbidden.
func seenScopes(sn *directory.Snapshot, by directory.Actor, between string) (tenants, environments []Named, err error) {
	seen, err := sn.SeeTenants(by)
	if err != nil {
		return nil, nil, err
	}
	for _, t := range seen {
		tenants = append(tenants, Named{t.ID, t.DisplayName()})
	}
	envs, err := sn.SeeEnvironments(by)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range envs {
		org, err := sn.Organization(e.OrganizationID)
		if err != nil {
			return nil, nil, err
		}
		environments = append(environments, Named{e.ID, org.Name + between + e.Name})
	}
	return tenants, environments, nil
}

// LogScopes lists them by name. Errors: Forbidden.
func (d *Desk) LogScopes(ctx context.Context, by directory.Actor) (LogScopes, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (out LogScopes, err error) {
		if out.Tenants, out.Environments, err = seenScopes(sn, by, " – "); err != nil {
			return out, err
		}
		byName := func(a, b Named) int { return strings.Compare(directory.FoldCase(a.Name), directory.FoldCase(b.Name)) }
		slices.SortFunc(out.Tenants, byName)
		slices.SortFunc(out.Environments, byName)
		return out, nil
	})
}
