package console

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

func (c *Console) logTable() []route {
	return []route{
		{path: "/log", access: Staff, get: c.log},
		{path: "/log/live", access: Staff, get: c.logLive, quiet: true},
		{path: "/log/export", access: Staff, get: c.logExport},
		{path: "/log/{tenant}/{sequence}", access: Staff, get: c.logLine},
		{path: "/audit", access: Staff, get: c.audit, post: c.auditVerify},
		{path: "/audit/export", access: Staff, get: c.auditExport},
		{path: "/report", access: Staff, get: c.report},
		{path: "/report/export", access: Staff, get: c.reportExport},
	}
}

// texts: log.status.success log.status.failure log.status.skipped log.status.warning
// texts: log.action.create log.action.update log.action.disable log.action.enable log.action.delete log.action.other
// texts: log.channel.push log.channel.pull log.channel.console log.channel.api log.channel.cli log.channel.system
// texts: log.type.User log.type.Group log.type.Environment log.type.Tenant

// filterForm is a form that selects by its address: what it says, and what of that cannot be read.
type filterForm struct {
	Query url.Values
	Wrong wrongs
	At    map[string]string // what fields with a time were read as: RFC 3339, as browsers write it
}

func newFilterForm(v *visit) *filterForm {
	return &filterForm{v.r.URL.Query(), wrongs{}, map[string]string{}}
}

// Get is what a field says.
func (f *filterForm) Get(name string) string { return f.Query.Get(name) }

// id reads a field that names something. What is no id names nothing that there is.
func (f *filterForm) id(name string) (directory.ID, error) {
	text := f.Query.Get(name)
	if text == "" {
		return directory.ID{}, nil
	}
	id, ok := directory.ParseID(text)
	if !ok || id.IsZero() {
		return id, missing
	}
	return id, nil
}

// ids reads several.
func (f *filterForm) ids(into map[string]*directory.ID) error {
	for name, to := range into {
		id, err := f.id(name)
		if err != nil {
			return err
		}
		*to = id
	}
	return nil
}

// time reads a field with a time, in UTC: a day, a minute, a second, or all of RFC 3339. What ends something counts whole.
func (f *filterForm) time(name, wrong string, ends bool) time.Time {
	text := strings.TrimSpace(f.Query.Get(name))
	if text == "" {
		return time.Time{}
	}
	for _, l := range []struct {
		layout string
		whole  time.Duration
	}{{time.RFC3339, 0}, {"2006-01-02 15:04:05", time.Second}, {"2006-01-02 15:04", time.Minute}, {time.DateOnly, 24 * time.Hour}} {
		if l.whole > 0 {
			text = strings.Replace(text, "T", " ", 1)
		}
		t, err := time.Parse(l.layout, text)
		if err != nil {
			continue
		}
		if ends && l.whole > 0 {
			t = t.Add(l.whole - time.Millisecond)
		}
		f.At[name] = t.UTC().Format("2006-01-02T15:04:05.000Z")
		return t.UTC()
	}
	f.Wrong[name] = wrong
	return time.Time{}
}

// refuse keeps what is wrong with the form. Of a choice that only an edited address can hold, the whole form says it.
func (f *filterForm) refuse(w wrongs) {
	for field, why := range w {
		if field != "from" && field != "to" {
			field = ""
		}
		f.Wrong[field] = why
	}
}

// set reports whether any of some fields says something.
func (f *filterForm) set(names ...string) bool {
	for _, name := range names {
		if f.Query.Get(name) != "" {
			return true
		}
	}
	return false
}

// address is that of a page of the same selection; more are names and values besides. An empty value takes a name away.
func (f *filterForm) address(path string, more ...string) string {
	q := url.Values{}
	for name, values := range f.Query {
		if len(values) > 0 && values[0] != "" && name != "after" && name != "done" && name != "format" && name != "live" {
			q.Set(name, values[0])
		}
	}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
		if more[i+1] == "" {
			q.Del(more[i])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// logFilter reads a selection of the log. wrong is the text of a time that is none.
func (f *filterForm) logFilter(wrong string) (desk.LogFilter, error) {
	out := desk.LogFilter{Status: f.Get("status"), Action: f.Get("action"), Channel: f.Get("channel"), Identity: f.Get("identity"),
		From: f.time("from", wrong, false), To: f.time("to", wrong, true)}
	return out, f.ids(map[string]*directory.ID{"tenant": &out.Tenant, "environment": &out.Environment, "person": &out.Person, "run": &out.Run})
}

type logData struct {
	Form     *filterForm
	Filtered bool // by any field of the form
	Scopes   desk.LogScopes
	Statuses []string
	Actions  []string
	Channels []string
	Live     bool
	Region   logRegion
	LiveURL  string // of the region
	Follow   string // the page, live
	Pause    string // the page, not live
	CSV      string
	JSON     string
	Run      string // that the lines are of; empty: of all
	Person   string
	Without  string // the page without run and person
	Max      int
}

// logRegion is the part of the page that a live page renews.
type logRegion struct {
	Lines   []desk.LogLine
	Pager   pager
	Further string // where the search goes on further back; empty: there is nothing
	All     bool   // nothing is selected: an empty log is a log without lines
	Live    bool   // it renews itself
}

// logFields are the fields of the form.
var logFields = []string{"tenant", "environment", "person", "run", "status", "action", "channel", "identity", "from", "to"}

func (c *Console) log(v *visit) error {
	form := newFilterForm(v)
	wrong, err := say(v.lang, "filter.time")
	if err != nil {
		return err
	}
	filter, err := form.logFilter(wrong)
	if err != nil {
		return err
	}
	by := c.by(v)
	data := logData{Form: form, Filtered: form.set(logFields...), Statuses: desk.LogStatuses, Actions: desk.LogActions, Channels: desk.LogChannels,
		Live: form.Get("live") == "on" && form.Get("after") == "", Run: form.Get("run"), Person: form.Get("person"), Max: maxExport}
	data.LiveURL, data.Follow, data.Pause = form.address("/log/live"), form.address("/log", "live", "on"), form.address("/log")
	data.CSV, data.JSON = form.address("/log/export", "format", "csv"), form.address("/log/export", "format", "json")
	data.Without = form.address("/log", "run", "", "person", "")
	if data.Scopes, err = c.config.Desk.LogScopes(v.r.Context(), by); err != nil {
		return err
	}
	status := http.StatusOK
	if len(form.Wrong) == 0 {
		data.Region, err = c.logRegion(v.r.Context(), v, by, form, filter)
		w, s, ok := refused(err, nil)
		switch {
		case ok:
			status = s
			form.refuse(w)
		case err != nil:
			return err
		}
	} else {
		status = http.StatusUnprocessableEntity
	}
	data.Region.Live = data.Live
	c.render(v, status, "log", "log.title", data)
	return nil
}

func (c *Console) logRegion(ctx context.Context, v *visit, by directory.Actor, form *filterForm, filter desk.LogFilter) (logRegion, error) {
	list, err := c.config.Desk.Log(ctx, by, filter, desk.Page{After: form.Get("after")})
	if err != nil {
		return logRegion{}, err
	}
	r := logRegion{Lines: list.Items, All: !form.set(logFields...)}
	if len(list.Items) < desk.DefaultLimit && list.Next != "" { // the server has stopped searching
		r.Further = form.address("/log", "after", list.Next)
		list.Next = ""
	}
	r.Pager = v.pagerOf(len(list.Items), -1, list.Next)
	return r, nil
}

// logLive renews the newest lines of a selection whenever the log has grown.
func (c *Console) logLive(v *visit) error {
	form := newFilterForm(v)
	form.Query.Del("after")
	filter, err := form.logFilter("")
	if err == nil && len(form.Wrong) > 0 {
		err = missing
	}
	if err != nil {
		return err
	}
	head, html := uint64(0), ""
	read := func(ctx context.Context) error {
		by := c.by(v)
		now, err := c.config.Desk.LogHead(ctx, by, filter)
		if err != nil || html != "" && now == head {
			return err
		}
		region, err := c.logRegion(ctx, v, by, form, filter)
		if err != nil {
			return err
		}
		region.Live, region.Pager.Next, region.Pager.First = true, "", ""
		head = now
		html, err = c.fragment(v, "log", "lines", region)
		return err
	}
	return c.live(v, func(ctx context.Context) (string, bool, error) {
		err := read(ctx)
		return html, true, err
	})
}

// logExport hands over the lines of a selection as a file. It reads page by page: a slow browser holds up nobody.
func (c *Console) logExport(v *visit) error {
	form := newFilterForm(v)
	filter, err := form.logFilter("")
	if err == nil && len(form.Wrong) > 0 {
		err = missing
	}
	if err != nil {
		return err
	}
	return export(c, v, "provisioning-log", logColumns, logCells, func(after string) (desk.List[desk.LogLine], error) {
		return c.config.Desk.Log(v.r.Context(), c.by(v), filter, desk.Page{After: after, Limit: desk.MaxLimit})
	})
}

// logColumns are the columns of the export: Entra's own names first, so that two exports lie side by side.
var logColumns = []string{"Date", "Identity", "Action", "Source system", "Target system", "Status", "Identity type", "Source ID", "Target ID",
	"Channel", "Environments", "Accesses granted", "Accesses reactivated", "Accesses deactivated", "Sessions ended", "Detail", "Reason", "Warnings",
	"Change ID", "Request ID", "Run ID"}

func logCells(l *desk.LogLine) []string {
	var envs []string
	granted, reactivated, deactivated := 0, 0, 0
	for _, t := range l.Target {
		envs = append(envs, t.Environment.Name)
		granted, reactivated, deactivated = granted+t.Granted, reactivated+t.Reactivated, deactivated+t.Deactivated
	}
	run := ""
	if l.RunID != nil {
		run = l.RunID.String()
	}
	return []string{l.Time.UTC().Format("2006-01-02T15:04:05.000Z"), l.Identity.Name, l.Action, l.Tenant.Name, "BizzStream", l.Status, l.Identity.Type, l.Identity.ExternalID,
		l.Identity.ID, l.Channel, strings.Join(envs, "; "), strconv.Itoa(granted), strconv.Itoa(reactivated), strconv.Itoa(deactivated), strconv.Itoa(l.Sessions),
		l.Detail, l.Reason, strings.Join(l.Warnings, "; "), strconv.FormatUint(l.Sequence, 10), l.RequestID, run}
}

// export hands over a list as a file, as CSV or JSON, of at most maxExport lines. read reads one page of it: the first
// one before the answer begins, so that an error is still a page. Before each other one it is looked at who the session stands
// for by now.
func export[T any](c *Console, v *visit, name string, columns []string, cells func(*T) []string, read func(after string) (desk.List[T], error)) error {
	leave, err := c.mayExport(v)
	if err != nil {
		return err
	}
	defer leave()
	page, err := read("")
	if err != nil {
		return err
	}
	again := func(after string) (desk.List[T], error) {
		if err := c.lookAgain(v); err != nil {
			return desk.List[T]{}, err
		}
		return read(after)
	}
	name += "-" + c.config.Now().UTC().Format("2006-01-02")
	var put func(*T) error
	var end func(cut bool) error
	if v.r.URL.Query().Get("format") == "json" {
		l := &jsonList{w: v.download(name+".json", typeJSON)}
		put, end = func(x *T) error { return l.item(x) }, l.end
	} else {
		w, err := newCSV(v.download(name+".csv", typeCSV))
		if err == nil {
			err = w.row(columns...)
		}
		if err != nil {
			return nil
		}
		put, end = func(x *T) error { return w.row(cells(x)...) }, func(cut bool) error {
			if cut {
				if err := w.row("Cut: this export holds the newest " + strconv.Itoa(maxExport) + " lines. Select a shorter time for the others."); err != nil {
					return err
				}
			}
			return w.flush()
		}
	}
	if v.r.Method == http.MethodHead {
		return nil
	}
	if err := exportPages(maxExport, page, again, put, end); err != nil {
		c.exportBroke(v, err)
	}
	return nil
}

// exportPages writes all pages of a list, of at most so many lines.
func exportPages[T any](most int, page desk.List[T], read func(after string) (desk.List[T], error), put func(*T) error, end func(cut bool) error) error {
	for lines := 0; ; {
		for i := range page.Items {
			if lines == most {
				return end(true)
			}
			if err := put(&page.Items[i]); err != nil {
				return err
			}
			lines++
		}
		if page.Next == "" {
			return end(false)
		}
		var err error
		if page, err = read(page.Next); err != nil {
			return err
		}
	}
}

// logLineData is one line of the log.
type logLineData struct {
	desk.LogDetail
	Up      []crumb
	Help    string // texts of what it means and what to do: log.help.<Help>.what and .do; empty: nothing
	Entra   string // what Entra's own log calls such a failure
	Props   []logProp
	Address string // of what it is about
	Before  string // the log about the same identity
	RunPage string
}

// crumb is a page above the one at hand.
type crumb struct{ Path, Name string }

type logProp struct{ Name, Old, New string }

func (c *Console) logLine(v *visit) error {
	tenant, err := pathID(v, "tenant")
	if err != nil {
		return err
	}
	sequence, err := strconv.ParseUint(v.r.PathValue("sequence"), 10, 64)
	if err != nil {
		return missing
	}
	line, err := c.config.Desk.LogLine(v.r.Context(), c.by(v), tenant, sequence)
	if err != nil {
		return err
	}
	data := logLineData{LogDetail: line, Help: helpOf(&line), Entra: entraCode(line.Request.Status)}
	data.Detail = sentence(data.Detail)
	title, err := say(v.lang, "log.title")
	if err != nil {
		return err
	}
	data.Up = []crumb{{"/log", title}}
	for _, p := range line.Changes {
		data.Props = append(data.Props, logProp{p.Name, pretty(p.Old), pretty(p.New)})
	}
	about := url.Values{"identity": {line.Identity.Name}}
	if line.Person != nil {
		data.Address = "/users/" + line.Person.ID.String()
		about = url.Values{"person": {line.Person.ID.String()}}
	}
	data.Before = "/log?" + about.Encode()
	if line.RunID != nil {
		data.RunPage = "/runs/" + line.RunID.String()
	}
	c.render(v, http.StatusOK, "logline", "log.line.title", data)
	return nil
}

// texts: log.help.invalid.what log.help.invalid.do log.help.denied.what log.help.denied.do log.help.gone.what log.help.gone.do
// texts: log.help.conflict.what log.help.conflict.do log.help.large.what log.help.large.do log.help.version.what log.help.version.do
// texts: log.help.server.what log.help.server.do log.help.pull.what log.help.pull.do log.help.other.what log.help.other.do
// texts: log.help.warning.what log.help.warning.do log.help.skipped.what log.help.skipped.do
// texts: log.step.received log.step.matched log.step.evaluated log.step.provisioned log.step.told
// texts: log.effect.granted log.effect.reactivated log.effect.deactivated

// helpOf says which explanation a line needs.
func helpOf(l *desk.LogDetail) string {
	if l.Status != "failure" {
		if l.Status == "success" {
			return ""
		}
		return l.Status
	}
	switch status := l.Request.Status; {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return "denied"
	case status == http.StatusNotFound:
		return "gone"
	case status == http.StatusConflict:
		return "conflict"
	case status == http.StatusPreconditionFailed:
		return "version"
	case status == http.StatusRequestEntityTooLarge:
		return "large"
	case status >= http.StatusInternalServerError:
		return "server"
	case status >= http.StatusBadRequest:
		return "invalid"
	case l.Channel == "pull":
		return "pull"
	}
	return "other"
}

// entraCode is what Entra's provisioning logs call an answer of that status.
func entraCode(status int) string {
	switch {
	case status == http.StatusConflict:
		return "EntryConflict"
	case status == http.StatusUnauthorized:
		return "Unauthorized"
	case status == http.StatusForbidden:
		return "InsufficientRights"
	case status == http.StatusUnprocessableEntity:
		return "UnprocessableEntity"
	case status == http.StatusTooManyRequests:
		return "TooManyRequests"
	case status >= http.StatusInternalServerError:
		return "InternalServerError"
	}
	return ""
}

// pretty writes a JSON value for people: a text as it is, anything else indented.
func pretty(value json.RawMessage) string {
	if len(value) == 0 {
		return ""
	}
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	var b bytes.Buffer
	if json.Indent(&b, value, "", "  ") != nil {
		return string(value)
	}
	return b.String()
}
