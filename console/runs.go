package console

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

func (c *Console) runsTable() []route {
	return []route{
		{path: "/environments/{id}/sync", access: Staff, post: c.syncPost},
		{path: "/runs", access: Staff, get: c.runs},
		{path: "/runs/{id}", access: Staff, get: c.run},
		{path: "/runs/{id}/progress", access: Staff, get: c.runProgress, quiet: true},
		{path: "/runs/{id}/allow", access: Staff, post: c.runAllowPost},
		{path: "/runs/{id}/discard", access: Staff, post: c.runDiscardPost},
		{path: "/runs/{id}/cancel", access: Staff, post: c.runCancelPost},
		{path: "/runs/{id}/export.csv", access: Staff, get: c.runCSV},
		{path: "/runs/{id}/export.json", access: Staff, get: c.runJSON},
	}
}

// What a run can be, as its filters list it.
var (
	runStates = []directory.RunState{directory.RunRunning, directory.RunComplete, directory.RunPreview, directory.RunQuarantined, directory.RunAllowed,
		directory.RunDiscarded, directory.RunSuperseded, directory.RunFailed, directory.RunCancelled, directory.RunInterrupted}
	runTriggers = []directory.Trigger{directory.TriggerSchedule, directory.TriggerManual, directory.TriggerAllow, "sign-in"}
	runKinds    = []directory.ItemKind{directory.ItemCreate, directory.ItemReattach, directory.ItemUpdate, directory.ItemGrant, directory.ItemReactivate,
		directory.ItemRevoke, directory.ItemDeactivate, directory.ItemConflict}
	runOutcomes = []directory.Outcome{directory.OutcomeFailed, directory.OutcomeConflict, directory.OutcomeApplied, directory.OutcomeHeld, directory.OutcomeWaiting,
		directory.OutcomeWithheld, directory.OutcomeSkipped, directory.OutcomePlanned}
	runLoses = []directory.ItemKind{directory.ItemRevoke, directory.ItemDeactivate}
	runGains = []directory.ItemKind{directory.ItemCreate, directory.ItemReattach, directory.ItemGrant, directory.ItemReactivate}
)

// runRow is a run as pages show it.
type runRow struct {
	desk.Run
	Verdict string // of the text "runs.verdict.<Verdict>"
	Mood    string // good, bad, warn, plain
	Took    string // empty while it is running
}

// texts: runs.verdict.running runs.verdict.complete runs.verdict.problems runs.verdict.preview runs.verdict.quarantined runs.verdict.allowed runs.verdict.discarded runs.verdict.superseded runs.verdict.failed runs.verdict.cancelled runs.verdict.interrupted

func newRunRow(r desk.Run) runRow {
	row := runRow{Run: r, Verdict: string(r.State), Mood: "plain"}
	switch r.State {
	case directory.RunComplete:
		row.Mood = "good"
		if r.Counts.Problems() > 0 {
			row.Verdict, row.Mood = "problems", "warn"
		}
	case directory.RunFailed:
		row.Mood = "bad"
	case directory.RunQuarantined, directory.RunInterrupted:
		row.Mood = "warn"
	}
	if r.Ended != nil {
		row.Took = runTook(r.Ended.Sub(r.Started))
	}
	return row
}

// runFigure is one figure of a run. In brackets is what was planned and has not been done.
type runFigure struct {
	Key      string // of the text "runs.<Key>"
	Count    int
	Brackets bool
	Mood     string
}

// texts: runs.created runs.updated runs.gained runs.lost runs.failed runs.held

// Figures are those by which runs are compared. What a plan asked for is in brackets where nothing of its kind was applied.
func (r *runRow) Figures() []runFigure {
	n := &r.Counts
	idle := n.Applied == 0
	mood := func(count int, mood string) string {
		if count == 0 {
			return ""
		}
		return mood
	}
	return []runFigure{{"created", n.Create, idle, ""}, {"updated", n.Update, idle, ""}, {"gained", n.Gains(), idle, ""},
		{"lost", n.Loses(), n.Deactivated == 0 && (idle || n.Held > 0), ""},
		{"failed", n.Problems(), false, mood(n.Problems(), "bad")}, {"held", n.Held, false, mood(n.Held, "warn")}}
}

// Brackets reports whether any of the figures is in brackets.
func (r *runRow) Brackets() bool {
	return slices.ContainsFunc(r.Figures(), func(f runFigure) bool { return f.Brackets && f.Count > 0 })
}

// runTook writes how long something took.
func runTook(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
}

type runsData struct {
	Runs         []*runRow
	Heads        []runFigure // of the columns
	Brackets     bool
	Environments []desk.RunEnvironment
	States       []directory.RunState
	Triggers     []directory.Trigger
	Environment  string
	State        string
	Trigger      string
	Changed      bool
	Filtered     bool
	Chart        *chart
	Pager        pager
}

// runs lists the runs of all environments that somebody sees.
func (c *Console) runs(v *visit) error {
	q, by := v.r.URL.Query(), c.by(v)
	data := runsData{States: runStates, Triggers: runTriggers, Environment: q.Get("environment"), State: q.Get("state"), Trigger: q.Get("trigger"), Changed: q.Get("changed") == "1"}
	f := desk.RunFilter{State: directory.RunState(data.State), Trigger: directory.Trigger(data.Trigger), Changed: data.Changed}
	if data.Environment != "" {
		var ok bool
		if f.Environment, ok = directory.ParseID(data.Environment); !ok {
			return missing
		}
	}
	data.Filtered = f != desk.RunFilter{}
	list, err := c.config.Desk.Runs(v.r.Context(), by, f, desk.Page{After: q.Get("after")})
	if err != nil {
		return runPageOf(err)
	}
	if data.Environments, err = c.config.Desk.RunEnvironments(v.r.Context(), by); err != nil {
		return err
	}
	for _, r := range list.Items {
		row := newRunRow(r)
		data.Runs, data.Brackets = append(data.Runs, &row), data.Brackets || row.Brackets()
	}
	data.Heads = new(runRow).Figures()
	if data.Chart, err = runsChart(v.lang, data.Runs); err != nil {
		return err
	}
	data.Pager = v.pagerOf(len(data.Runs), list.Total, list.Next)
	c.render(v, http.StatusOK, "runs", "runs.title", data)
	return nil
}

// runPageOf makes a page that does not exist of an address that names none.
func runPageOf(err error) error {
	if directory.KindOf(err) == directory.Invalid {
		return missing
	}
	return err
}

const (
	runsChartFrom = 4  // runs: fewer are seen at once
	runsChartRoom = 50 // bars that the width of the plot has room for at least
)

// runsChart plots whom each run changed, or would have, oldest first; nil where there are few.
func runsChart(lang string, rows []*runRow) (*chart, error) {
	if len(rows) < runsChartFrom {
		return nil, nil
	}
	var all []bar
	for _, r := range slices.Backward(rows) {
		verdict, err := say(lang, "runs.verdict."+r.Verdict)
		if err != nil {
			return nil, err
		}
		kind := r.Mood
		if kind == "plain" {
			kind = ""
		}
		all = append(all, bar{At: r.Started, Label: r.Environment.Name + ": " + verdict, Value: int64(r.Counts.Changes()), Kind: kind})
	}
	title, err := say(lang, "runs.chart")
	if err != nil {
		return nil, err
	}
	out, err := bars(lang, title, all)
	for i := range out.Bars {
		if b := &out.Bars[i]; b.Height == 0 { // it ran, and is seen
			b.Y, b.Height = chartHeight-3, 3
		}
	}
	out.Width = max(out.Width, runsChartRoom*chartStep)
	return &out, err
}

// syncPost begins a run.
func (c *Console) syncPost(v *visit) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	in := desk.SyncRequest{Preview: v.r.PostFormValue("preview") == "1", Restore: v.r.PostFormValue("restore") == "1"}
	run, began, err := c.config.Desk.Sync(v.r.Context(), c.by(v), id, in)
	if err == nil && began {
		v.goTo("/runs/" + run.ID.String())
		return nil
	}
	if err == nil {
		v.done("/runs/"+run.ID.String(), "sync-underway")
		return nil
	}
	return c.syncRefused(v, id, err)
}

// texts: runs.refused.integration runs.refused.tenant runs.refused.credential runs.refused.paused runs.refused.wait

// syncRefused says why a run cannot begin, and where that is put right.
func (c *Console) syncRefused(v *visit, environment directory.ID, err error) error {
	w, status, ok := refused(err, nil)
	if !ok {
		return err
	}
	data := runRefusedData{Environment: environment, Path: "/environments/" + environment.String(), Text: said(err)}
	for field := range w {
		data.Key = field
	}
	if !slices.Contains([]string{"integration", "tenant", "credential", "paused", "wait"}, data.Key) {
		data.Key = ""
	}
	if slices.Contains([]string{"integration", "tenant", "paused"}, data.Key) {
		data.Path += "/integration"
	}
	if data.Key == "credential" && v.principal.Role() == directory.RoleOperator {
		env, err := c.config.Desk.Integration(v.r.Context(), c.by(v), environment)
		if err != nil {
			return err
		}
		data.Tenant = env.Tenant
	}
	c.render(v, status, "runrefused", "runs.refused.title", data)
	return nil
}

type runRefusedData struct {
	Environment directory.ID
	Path        string      // of the page of the environment where it is put right
	Tenant      *desk.Named // whose credential is missing, for who may set it
	Key         string      // of the text "runs.refused.<Key>"; empty: Text alone
	Text        string
}

type runData struct {
	runRow
	UpText   string
	Flash    string
	Wrong    wrongs
	Reason   string // as it was typed
	Open     string // the form that was refused: allow, discard
	Headline *runHeadline
	Stages   []runStage
	Items    []desk.RunItem
	Kind     string
	Outcome  string
	Kinds    []directory.ItemKind
	Outcomes []directory.Outcome
	Filtered bool
	Pager    pager
	Query    string // of the filter, for exports
	Remains  time.Duration
	Pace     string
}

// runHeadline is what somebody has to know first of a plan that was held back.
type runHeadline struct {
	Key string // of the text "runs.finding.<Key>"
	desk.RunFinding
}

type runStage struct {
	Key           string // of the text "runs.stage.<Key>"
	Done, Current bool
}

// texts: runs.stage.groups runs.stage.read runs.stage.plan runs.stage.confirm runs.stage.apply
// texts: runs.finding.first runs.finding.changed runs.finding.restore runs.finding.run runs.finding.day runs.finding.empty runs.finding.group runs.finding.growth runs.finding.names runs.finding.elsewhere
// texts: runs.do.configuration runs.do.authentication runs.do.permission runs.do.scope-missing runs.do.throttled runs.do.unavailable runs.do.malformed runs.do.internal
// texts: runs.trigger.schedule runs.trigger.manual runs.trigger.allow runs.trigger.sign-in
// texts: runs.kind.create runs.kind.re-attach runs.kind.update runs.kind.grant runs.kind.re-activate runs.kind.revoke runs.kind.deactivate runs.kind.conflict
// texts: runs.outcome.planned runs.outcome.applied runs.outcome.skipped runs.outcome.waiting runs.outcome.withheld runs.outcome.held runs.outcome.conflict runs.outcome.failed
// texts: runs.said.complete runs.said.nothing runs.said.problems runs.said.preview runs.said.allowed runs.said.discarded runs.said.superseded runs.said.failed runs.said.cancelled runs.said.interrupted runs.said.quarantined runs.said.complete-one runs.said.preview-one runs.said.preview-nothing runs.said.failed-partly
// texts: runs.effect.granted runs.effect.reactivated runs.effect.deactivated
// texts: done.sync-underway done.run-allowed done.run-discarded done.run-cancelled

// Said is the verdict in one sentence: of the text "runs.said.<Said>".
func (d *runData) Said() string {
	switch n := &d.Counts; {
	case d.Verdict == "complete" && n.Applied == 0:
		return "nothing"
	case d.Verdict == "complete" && n.Applied == 1, d.Verdict == "preview" && n.Changes() == 1:
		return d.Verdict + "-one"
	case d.Verdict == "preview" && n.Changes() == 0:
		return "preview-nothing"
	case d.Verdict == "failed" && n.Applied > 0:
		return "failed-partly"
	}
	return d.Verdict
}

// Class is the class of the error as a part of a text's key.
func (d *runData) Class() string { return strings.ReplaceAll(d.Error.Class, " ", "-") }

// Loses counts those who would lose access.
func (d *runData) Loses() int { return d.Counts.Loses() }

// Up leads to the list of the environment's runs.
func (d *runData) Up(environments string) []map[string]any {
	return []map[string]any{{"Path": "/environments", "Name": environments}, {"Path": "/environments/" + d.Environment.ID.String(), "Name": d.Environment.Name}, {"Path": "/runs?environment=" + d.Environment.ID.String(), "Name": d.UpText}}
}

// Planned reports whether there is anything to say about people: a run that failed before it had a plan says nothing of them.
func (d *runData) Planned() bool {
	return d.Error == nil || len(d.Items) > 0 || d.Filtered || d.Counts.Unchanged > 0
}

// KindMood is the colour of what is to be done; its text says the same.
func (*runData) KindMood(k directory.ItemKind) string {
	switch {
	case k.Destructive():
		return "warn"
	case k == directory.ItemConflict:
		return "bad"
	case k == directory.ItemUpdate:
		return "plain"
	}
	return "good"
}

// OutcomeMood is the colour of what became of it.
func (*runData) OutcomeMood(o directory.Outcome) string {
	switch o {
	case directory.OutcomeApplied:
		return "good"
	case directory.OutcomeFailed, directory.OutcomeConflict:
		return "bad"
	case directory.OutcomeHeld, directory.OutcomeWaiting:
		return "warn"
	}
	return "plain"
}

// Running reports whether it is under way.
func (d *runData) Running() bool { return d.State == directory.RunRunning }

// Asked reports whether the plan can be decided about here and now.
func (d *runData) Asked() bool { return d.Waits && d.MayDecide }

// FindingKey is the end of the key of a finding's text; empty where its own text has to do.
func (*runRow) FindingKey(f desk.RunFinding) string {
	switch {
	case f.Kind == "error":
		return ""
	case (f.Kind == string(directory.FindingRun) || f.Kind == string(directory.FindingDay)) && f.Environment == nil:
		return "elsewhere"
	}
	return f.Kind
}

// runHeadlineOf picks what is told first: whoever would lose access goes before everything else.
func runHeadlineOf(r *runRow) *runHeadline {
	order := []directory.FindingKind{directory.FindingRun, directory.FindingEmpty, directory.FindingGroup, directory.FindingDay, directory.FindingGrowth,
		directory.FindingNames, directory.FindingRestore, directory.FindingChanged, directory.FindingFirst}
	for _, kind := range order {
		for _, f := range r.Findings {
			if f.Kind == string(kind) {
				return &runHeadline{r.FindingKey(f), f}
			}
		}
	}
	return nil
}

// runStagesOf are the stages of a run. Reading is two for those who look: before the first person there are only groups.
func runStagesOf(r *desk.Run) (all []runStage) {
	current := -1 // it waits for its turn
	switch r.Stage {
	case directory.StageRead:
		current = 0
		if r.Done > 0 {
			current = 1
		}
	case directory.StagePlan:
		current = 2
	case directory.StageConfirm:
		current = 3
	case directory.StageApply:
		current = 4
	}
	for i, key := range []string{"groups", "read", "plan", "confirm", "apply"} {
		if r.Preview && i > 2 {
			break
		}
		all = append(all, runStage{key, i < current, i == current})
	}
	return all
}

func newRunData(r desk.Run) *runData {
	row := newRunRow(r)
	return &runData{runRow: row, Headline: runHeadlineOf(&row), Stages: runStagesOf(&r), Kinds: runKinds, Outcomes: runOutcomes,
		Remains: time.Duration(r.Left) * time.Second, Pace: strconv.FormatFloat(r.Rate, 'f', 1, 64)}
}

// run shows one run.
func (c *Console) run(v *visit) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	return c.showRun(v, id, http.StatusOK, func(*runData) {})
}

func (c *Console) showRun(v *visit, id directory.ID, status int, edit func(*runData)) error {
	run, err := c.config.Desk.Run(v.r.Context(), c.by(v), id)
	if err != nil {
		return err
	}
	data := newRunData(run)
	if data.UpText, err = say(v.lang, "runs.title"); err != nil {
		return err
	}
	data.Flash = v.flash("sync-underway", "run-allowed", "run-discarded", "run-cancelled")
	if data.Running() {
		edit(data)
		c.render(v, status, "run", "runs.one", data)
		return nil
	}
	q := v.r.URL.Query()
	data.Kind, data.Outcome = q.Get("kind"), q.Get("outcome")
	f := runItemFilter(data.Kind, data.Outcome)
	data.Filtered = data.Kind != "" || data.Outcome != ""
	list, err := c.config.Desk.RunItems(v.r.Context(), c.by(v), id, f, desk.Page{After: q.Get("after")})
	if err != nil {
		return runPageOf(err)
	}
	data.Items = list.Items
	data.Pager = v.pagerOf(len(list.Items), list.Total, list.Next)
	q.Del("after")
	q.Del("done")
	if len(q) > 0 {
		data.Query = "?" + q.Encode()
	}
	edit(data)
	c.render(v, status, "run", "runs.one", data)
	return nil
}

// runItemFilter reads what the filters of a plan say; "loses" and "gains" stand for several kinds.
func runItemFilter(kind, outcome string) (f desk.RunItemFilter) {
	switch kind {
	case "":
	case "loses":
		f.Kinds = runLoses
	case "gains":
		f.Kinds = runGains
	default:
		f.Kinds = []directory.ItemKind{directory.ItemKind(kind)}
	}
	switch outcome {
	case "":
	case "problems":
		f.Outcomes = []directory.Outcome{directory.OutcomeFailed, directory.OutcomeConflict}
	default:
		f.Outcomes = []directory.Outcome{directory.Outcome(outcome)}
	}
	return f
}

// runProgress keeps the region of a running run up to date.
func (c *Console) runProgress(v *visit) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	return c.live(v, func(ctx context.Context) (string, bool, error) {
		run, err := c.config.Desk.Run(ctx, c.by(v), id)
		if err != nil {
			return "", false, err
		}
		html, err := c.fragment(v, "run", "run-progress", newRunData(run))
		return html, run.State == directory.RunRunning, err
	})
}

func (c *Console) runAllowPost(v *visit) error {
	return c.decideRun(v, "allow", func(ctx context.Context, by directory.Actor, id directory.ID, reason string) error {
		next, err := c.config.Desk.AllowRun(ctx, by, id, v.r.PostFormValue("hash"), reason)
		if err == nil {
			v.done("/runs/"+next.ID.String(), "run-allowed")
		}
		return err
	})
}

func (c *Console) runDiscardPost(v *visit) error {
	return c.decideRun(v, "discard", func(ctx context.Context, by directory.Actor, id directory.ID, reason string) error {
		run, err := c.config.Desk.DiscardRun(ctx, by, id, reason)
		if err == nil {
			v.done("/runs/"+run.ID.String(), "run-discarded")
		}
		return err
	})
}

func (c *Console) runCancelPost(v *visit) error {
	return c.decideRun(v, "cancel", func(ctx context.Context, by directory.Actor, id directory.ID, _ string) error {
		run, err := c.config.Desk.CancelRun(ctx, by, id)
		if err == nil {
			v.done("/runs/"+run.ID.String(), "run-cancelled")
		}
		return err
	})
}

// decideRun does what one of the forms of a run asks for. When it is refused, the page is shown as it is now, with the reason why
// beside what was typed.
func (c *Console) decideRun(v *visit, form string, do func(ctx context.Context, by directory.Actor, id directory.ID, reason string) error) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	reason := strings.ReplaceAll(v.r.PostFormValue("reason"), "\r\n", "\n")
	if err = do(v.r.Context(), c.by(v), id, reason); err == nil {
		return nil
	}
	w, status, ok := refused(err, map[string]string{"hash": "", "integration": "", "tenant": "", "credential": "", "paused": ""})
	if !ok {
		return err
	}
	return c.showRun(v, id, status, func(d *runData) { d.Wrong, d.Reason, d.Open = w, reason, form })
}

// runCSV exports the people of a plan: one line for each field of each person.
func (c *Console) runCSV(v *visit) error {
	var out *csvWriter
	return c.exportRun(v, typeCSV, "csv", func(w io.Writer, _ *desk.Run) (err error) {
		if out, err = newCSV(w); err != nil {
			return err
		}
		return out.row("number", "kind", "outcome", "userName", "name", "objectId", "field", "before", "after", "reason", "evidence", "detail")
	}, func(i *desk.RunItem) error {
		changes := i.Changes
		if len(changes) == 0 {
			changes = []desk.RunChange{{}}
		}
		for _, ch := range changes {
			if err := out.row(strconv.FormatUint(i.Number, 10), string(i.Kind), string(i.Outcome), i.UserName, i.Name, i.ObjectID, ch.Field, ch.Before, ch.After, i.Reason, i.Evidence, i.Detail); err != nil {
				return err
			}
		}
		return nil
	}, func() error { return out.flush() })
}

// runJSON exports a run and the people of its plan as one JSON object.
func (c *Console) runJSON(v *visit) error {
	var to io.Writer
	separator := ""
	return c.exportRun(v, typeJSON, "json", func(w io.Writer, run *desk.Run) error {
		to = w
		head, err := json.Marshal(run)
		if err == nil {
			_, err = fmt.Fprintf(w, "{\"run\":%s,\"items\":[", head)
		}
		return err
	}, func(i *desk.RunItem) error {
		line, err := json.Marshal(i)
		if err == nil {
			_, err = fmt.Fprintf(to, "%s\n%s", separator, line)
		}
		separator = ","
		return err
	}, func() error {
		_, err := io.WriteString(to, "\n]}\n")
		return err
	})
}

// exportRun streams a file. Once it has begun, an error can only be told by breaking it off: it must not look whole.
func (c *Console) exportRun(v *visit, kind, ext string, begin func(io.Writer, *desk.Run) error, item func(*desk.RunItem) error, end func() error) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	leave, err := c.mayExport(v)
	if err != nil {
		return err
	}
	defer leave()
	run, err := c.config.Desk.Run(v.r.Context(), c.by(v), id)
	if err != nil {
		return err
	}
	to := v.download("run-"+id.String()+"."+ext, kind)
	if v.r.Method == http.MethodHead {
		return nil
	}
	q := v.r.URL.Query()
	err = begin(to, &run)
	if err == nil {
		who := func() (directory.Actor, error) {
			err := c.lookAgain(v)
			return c.by(v), err
		}
		err = c.config.Desk.EachRunItem(v.r.Context(), who, id, runItemFilter(q.Get("kind"), q.Get("outcome")), item)
	}
	if err == nil {
		err = end()
	}
	if err != nil {
		c.exportBroke(v, err)
	}
	return nil
}
