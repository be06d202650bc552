package desk

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// ReportFilter selects what a report is about.
type ReportFilter struct {
	From, To    time.Time    // zero: the last ReportDays until now
	Tenant      directory.ID // zero: of all that the actor sees
	Environment directory.ID
	Brief       bool // for a page: of the newest changes, as many as are found fast
}

// Bounds of a report.
const (
	ReportDays    = 30
	maxReportDays = 366
	reportRows    = 10_000  // people
	reportWork    = 300_000 // lines of the log, and entries of the audit, looked at
	briefRows     = 1000
	briefWork     = 2000 // lines; of the audit many more, since most are not read
	briefAudit    = 50_000
)

// bounds are how much a report looks at.
func (f *ReportFilter) bounds() (rows, lines, audit int) {
	if f.Brief {
		return briefRows, briefWork, briefAudit
	}
	return reportRows, reportWork, reportWork
}

// ReportType tells a signed report from anything else that the server signs.
const ReportType = "bizzscim-leavers-and-joiners"

// Report is who lost and who gained access in a period, and how long that took after the directory's word of it.
type Report struct {
	Type      string      `json:"type" doc:"Always bizzscim-leavers-and-joiners"`
	Issuer    string      `json:"issuer" doc:"Address of the server"`
	Generated time.Time   `json:"generated"`
	By        Named       `json:"by" doc:"Who asked for it"`
	From      time.Time   `json:"from"`
	To        time.Time   `json:"to"`
	Scope     ReportScope `json:"scope"`
	Leavers   []Leaver    `json:"leavers" nullable:"false" doc:"Newest first; one for each change that took accesses away from a person"`
	Joiners   []Joiner    `json:"joiners" nullable:"false" doc:"Newest first; one for each change that gave accesses to a person"`
	Left      ReportTotal `json:"leaversTotal"`
	Joined    ReportTotal `json:"joinersTotal"`
	Cut       bool        `json:"cut" doc:"There is more than one report holds, older than what is here: ask for a shorter period"`
	SignIns   bool        `json:"signInsComplete" doc:"Every sign-in of the period was looked at: who has no firstSignIn has not signed in"`
	Audit     AuditHead   `json:"audit" doc:"The newest entry of the audit when the report was made"`
}

// ReportScope is what a report is about.
type ReportScope struct {
	Tenant       *Named  `json:"tenant,omitempty" doc:"Absent: every tenant"`
	Environments []Named `json:"environments" nullable:"false"`
}

// AuditHead names the newest entry of the audit: its hash stands for all entries up to it.
type AuditHead struct {
	Sequence uint64 `json:"sequence"`
	Hash     string `json:"hash" doc:"SHA-256, hex"`
}

// ReportPerson is a person of a report.
type ReportPerson struct {
	ID       directory.ID `json:"id" doc:"Of the account"`
	Name     string       `json:"name"`
	UserName string       `json:"userName"`
}

// Passage is what a leaver and a joiner have in common: one change.
type Passage struct {
	Sequence     uint64        `json:"sequence" doc:"Of the line of the provisioning log"`
	Tenant       LogSource     `json:"tenant"`
	Person       ReportPerson  `json:"person"`
	Channel      string        `json:"channel" enum:"push,pull,console,api,cli,system"`
	Received     *time.Time    `json:"received,omitempty" doc:"When the server was told: the request of a push, the beginning of the run that read it, the change of the integration. Absent: not known any more"`
	Basis        string        `json:"basis" enum:"transaction,run,settings,unknown" doc:"What received is: transaction means that the request itself changed the access, so nothing lies between the two"`
	Seconds      *float64      `json:"seconds,omitempty" doc:"From received to the access; 0 for one transaction"`
	Environments []Named       `json:"environments" nullable:"false"`
	RunID        *directory.ID `json:"runId,omitempty"`
	Approval     *LogApprove   `json:"approval,omitempty" doc:"Who allowed the quarantined plan"`
}

// Leaver is a person who lost accesses.
type Leaver struct {
	Passage
	Ended         time.Time  `json:"accessEnded"`
	Sessions      int        `json:"sessionsEnded" doc:"How many sessions ended in the same transaction"`
	SessionsEnded *time.Time `json:"sessionsEndedAt,omitempty" doc:"Absent: there was none"`
}

// Joiner is a person who gained accesses.
type Joiner struct {
	Passage
	Created     *time.Time `json:"created,omitempty" doc:"When the account was made"`
	Began       time.Time  `json:"accessBegan"`
	Returned    bool       `json:"returned" doc:"Had these accesses before, with their menus"`
	FirstSignIn *time.Time `json:"firstSignIn,omitempty" doc:"The first one since, within the period"`
}

// ReportTotal sums up one half of a report.
type ReportTotal struct {
	Count    int      `json:"count"`
	Timed    int      `json:"timed" doc:"Those of which it is known how long it took"`
	Median   *float64 `json:"medianSeconds,omitempty"`
	Slowest  *float64 `json:"slowestSeconds,omitempty"`
	Sessions int      `json:"sessionsEnded"`
}

// LeaversAndJoiners reports who lost and who gained access in a period. Errors: Forbidden; NotFound for a tenant or an
// environment that the actor does not see; Invalid for a period that ends before it begins or is longer than a year; RateLimited
// while two that are not brief are made for the actor, or four in all.
func (d *Desk) LeaversAndJoiners(ctx context.Context, by directory.Actor, f ReportFilter) (Report, error) {
	now := d.Now().UTC().Truncate(time.Millisecond)
	if f.To.IsZero() || f.To.After(now) {
		f.To = now
	}
	if f.From.IsZero() {
		f.From = f.To.AddDate(0, 0, -ReportDays)
	}
	switch {
	case f.To.Before(f.From):
		return Report{}, fail(directory.Invalid, "to", "the period ends before it begins")
	case f.To.Sub(f.From) > maxReportDays*24*time.Hour:
		return Report{}, fail(directory.Invalid, "from", "a report covers at most %d days", maxReportDays)
	}
	if !f.Brief {
		leave, err := d.reports.enter(by, "reports")
		if err != nil {
			return Report{}, err
		}
		defer leave()
	}
	return view(ctx, d, func(sn *directory.Snapshot) (Report, error) {
		b := &reportBuilder{logNames: newNames(sn), by: by, out: Report{Type: ReportType, Issuer: d.URL(), Generated: now, From: f.From.UTC(), To: f.To.UTC(),
			Leavers: []Leaver{}, Joiners: []Joiner{}}}
		for _, part := range []func() error{func() error { return b.scope(f) }, func() error { return b.rows(f) }, func() error { return b.signIns(f) }, b.close} {
			if err := part(); err != nil {
				return Report{}, err
			}
		}
		return b.out, nil
	})
}

// reportBuilder makes one report on one snapshot.
type reportBuilder struct {
	*logNames
	by      directory.Actor
	out     Report
	reader  *logReader
	origins map[directory.ID]origin // by run and by derivation
}

// origin is where a change comes from: when the server was told of it.
type origin struct {
	at    time.Time
	basis string
}

func (b *reportBuilder) scope(f ReportFilter) error {
	reader, err := newLogReader(b.sn, b.by, LogFilter{Tenant: f.Tenant, Environment: f.Environment, From: f.From, To: f.To})
	if err != nil {
		return err
	}
	envs, err := b.sn.SeeEnvironments(b.by)
	if err != nil {
		return err
	}
	envs = slices.DeleteFunc(envs, func(e *directory.Environment) bool { return !f.Environment.IsZero() && e.ID != f.Environment })
	reader.sources = environmentLogs(b.sn, envs) // shorter than those of tenants: what changed an access
	b.reader, b.origins = reader, map[directory.ID]origin{}
	b.out.Scope.Environments = []Named{}
	for _, e := range envs {
		b.out.Scope.Environments = append(b.out.Scope.Environments, Named{e.ID, e.Name})
	}
	if !f.Tenant.IsZero() {
		t, err := b.tenant(f.Tenant)
		if err != nil {
			return err
		}
		b.out.Scope.Tenant = &t
	}
	if id, ok := directory.ParseID(b.by.ID); ok {
		b.out.By, err = b.account(id)
	}
	return err
}

func (b *reportBuilder) rows(f ReportFilter) error {
	rows, work, _ := f.bounds()
	return b.reader.newestFirst(0, func(e *directory.LogEvent) (bool, error) {
		if work -= 1 + len(e.Accesses)/6; work < 0 || len(b.out.Leavers)+len(b.out.Joiners) >= rows {
			b.out.Cut = true
			return false, nil
		}
		seen, err := b.reader.see(e)
		if err != nil || seen == nil {
			return true, err
		}
		effects := slices.DeleteFunc(slices.Clone(seen.Accesses), func(x directory.AccessEffect) bool {
			return !f.Environment.IsZero() && x.EnvironmentID != f.Environment
		})
		return true, b.add(seen, effects)
	})
}

// add adds what a line did to each person.
func (b *reportBuilder) add(e *directory.LogEvent, effects []directory.AccessEffect) error {
	type kind struct {
		account directory.ID
		leaves  bool
	}
	var order []kind
	of := map[kind][]directory.AccessEffect{}
	for _, x := range effects {
		k := kind{x.AccountID, x.Effect == directory.Deactivated}
		if of[k] == nil {
			order = append(order, k)
		}
		of[k] = append(of[k], x)
	}
	for _, k := range order {
		p, account, err := b.passage(e, k.account, of[k])
		if err != nil {
			return err
		}
		if !k.leaves {
			j := Joiner{Passage: p, Began: e.Time, Returned: !slices.ContainsFunc(of[k], func(x directory.AccessEffect) bool { return x.Effect == directory.Granted })}
			if account != nil {
				j.Created = orNil(account.Created)
			}
			b.out.Joiners = append(b.out.Joiners, j)
			continue
		}
		l := Leaver{Passage: p, Ended: e.Time}
		for _, x := range e.Accesses { // they may stand with an access to another environment
			if x.AccountID == k.account {
				l.Sessions += x.Sessions
			}
		}
		if l.Sessions > 0 {
			l.SessionsEnded = &e.Time
		}
		b.out.Leavers = append(b.out.Leavers, l)
	}
	return nil
}

func (b *reportBuilder) passage(e *directory.LogEvent, id directory.ID, effects []directory.AccessEffect) (p Passage, account *directory.Account, err error) {
	p = Passage{Sequence: e.Sequence, Channel: logChannel(e.Actor.Channel), Person: ReportPerson{ID: id}, Environments: []Named{}}
	if account, err = b.sn.Account(id); err == nil {
		account, err = calledTo(b.sn, b.by, account)
	}
	if err = ignoreMissing(err); err != nil {
		return p, nil, err
	}
	if account != nil {
		p.Person.Name, p.Person.UserName = account.Name, account.UserName
	}
	if p.Tenant, err = b.source(e.TenantID); err != nil {
		return p, nil, err
	}
	for _, x := range effects {
		env, err := b.environment(x.EnvironmentID)
		if err != nil {
			return p, nil, err
		}
		p.Environments = append(p.Environments, env)
	}
	if run := e.Actor.RunID; !run.IsZero() {
		p.RunID = &run
		if p.Approval, err = b.approval(run); err != nil {
			return p, nil, err
		}
	}
	o, err := b.origin(e)
	p.Basis = o.basis
	if !o.at.IsZero() {
		took := max(0, e.Time.Sub(o.at).Seconds())
		p.Received, p.Seconds = &o.at, &took
	}
	return p, account, err
}

// origin finds when the server was told of a change.
func (b *reportBuilder) origin(e *directory.LogEvent) (o origin, err error) {
	id := e.Actor.RunID
	find := func() (time.Time, string, error) {
		r, err := b.sn.Run(id)
		if err != nil {
			return time.Time{}, "unknown", ignoreMissing(err)
		}
		return r.Started, "run", nil
	}
	switch {
	case e.Action == directory.ActionDerive:
		return b.derivation(e)
	case id.IsZero() && e.Actor.Channel == "pull": // of a run that the actor does not see
		return origin{basis: "unknown"}, nil
	case id.IsZero():
		return origin{e.Time, "transaction"}, nil
	}
	o, known := b.origins[id]
	if !known {
		o.at, o.basis, err = find()
		b.origins[id] = o
	}
	return o, err
}

// derivation finds the change of an integration that a line is a step of.
func (b *reportBuilder) derivation(e *directory.LogEvent) (origin, error) {
	env, ok := directory.ParseID(e.TargetID)
	o := origin{basis: "unknown"}
	if !ok {
		return o, nil
	}
	left := 200
	err := b.sn.Derivations(env, func(x *directory.Derivation) bool {
		if !x.Started.After(e.Time) && (x.Ended.IsZero() || !x.Ended.Before(e.Time)) {
			o = origin{x.Started, "settings"}
			return false
		}
		left--
		return left > 0
	})
	return o, err
}

// signIns finds the first sign-in of each joiner.
func (b *reportBuilder) signIns(f ReportFilter) error {
	b.out.SignIns = true
	if len(b.out.Joiners) == 0 {
		return nil
	}
	waiting := map[string][]*Joiner{}
	for i := range b.out.Joiners {
		j := &b.out.Joiners[i]
		id := j.Person.ID.String()
		waiting[id] = append(waiting[id], j)
	}
	from, err := auditWalk(b.sn, serverActor).before(b.out.Joiners[len(b.out.Joiners)-1].Began.Add(-logSlack))
	if err != nil {
		return err
	}
	_, _, audit := f.bounds()
	b.out.SignIns, err = b.sn.AuditOf("session.create", from-1, audit, func(e *directory.AuditEntry) {
		for _, j := range waiting[e.Target] {
			if j.FirstSignIn == nil && !e.Time.Before(j.Began) && !e.Time.After(b.out.To) {
				j.FirstSignIn = &e.Time
			}
		}
	})
	return err
}

// serverActor reads what of the audit a report says: its newest hash, and when its own people signed in.
var serverActor = directory.Actor{Role: directory.RoleOperator, Channel: "system"}

func (b *reportBuilder) close() error {
	b.out.Left, b.out.Joined = total(b.out.Leavers, func(l *Leaver) (*Passage, int) { return &l.Passage, l.Sessions }), total(b.out.Joiners, func(j *Joiner) (*Passage, int) { return &j.Passage, 0 })
	head, err := auditHead(b.sn, serverActor)
	b.out.Audit = AuditHead{head.Entries, head.Head}
	return err
}

func total[T any](all []T, of func(*T) (*Passage, int)) (t ReportTotal) {
	var took []float64
	for i := range all {
		p, sessions := of(&all[i])
		t.Sessions += sessions
		if p.Seconds != nil {
			took = append(took, *p.Seconds)
		}
	}
	t.Count, t.Timed = len(all), len(took)
	if len(took) == 0 {
		return t
	}
	slices.SortFunc(took, cmp.Compare)
	median, slowest := took[len(took)/2], took[len(took)-1]
	if n := len(took); n%2 == 0 {
		median = (took[n/2-1] + took[n/2]) / 2
	}
	t.Median, t.Slowest = &median, &slowest
	return t
}

// SignedReport is LeaversAndJoiners as a document that can be verified anywhere: a JWS in compact form (RFC 7515), signed
// with ES256 by a key of the server. Errors: as LeaversAndJoiners.
func (d *Desk) SignedReport(ctx context.Context, by directory.Actor, f ReportFilter) (string, error) {
	r, err := d.LeaversAndJoiners(ctx, by, f)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	return d.Sign(ctx, ReportType+"+jws", payload)
}
