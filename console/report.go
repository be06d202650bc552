package console

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// reportShown is how many people of each kind the page shows; files hold all of them.
const reportShown = 100

type reportData struct {
	Form    *filterForm
	Scopes  desk.LogScopes
	Report  desk.Report
	Leavers []leaverRow
	Joiners []joinerRow
	Left    totalRow
	Joined  totalRow
	CSV     string
	Signed  string
	Keys    string // address of the public keys
	Days    int
	Plot    []bar // leavers by day
	Ok      bool  // there is a report
}

type leaverRow struct {
	desk.Leaver
	Took string
}

type joinerRow struct {
	desk.Joiner
	Took string
}

type totalRow struct {
	desk.ReportTotal
	MedianText, SlowestText string
}

// texts: report.basis.transaction report.basis.run report.basis.settings report.basis.unknown

func (c *Console) report(v *visit) error {
	form := newFilterForm(v)
	wrong, err := say(v.lang, "filter.time")
	if err != nil {
		return err
	}
	filter, err := form.reportFilter(wrong)
	if err != nil {
		return err
	}
	by, status := c.by(v), http.StatusOK
	data := reportData{Form: form, CSV: form.address("/report/export", "format", "csv"), Signed: form.address("/report/export", "format", "jws"),
		Keys: c.keysURL(), Days: desk.ReportDays}
	if data.Scopes, err = c.config.Desk.LogScopes(v.r.Context(), by); err != nil {
		return err
	}
	filter.Brief = true
	if len(form.Wrong) == 0 {
		data.Report, err = c.config.Desk.LeaversAndJoiners(v.r.Context(), by, filter)
		if w, _, ok := refused(err, nil); ok {
			form.refuse(w)
		} else if err != nil {
			return err
		}
	}
	if len(form.Wrong) > 0 {
		status = http.StatusUnprocessableEntity
	} else {
		data.fill()
	}
	c.render(v, status, "report", "report.title", data)
	return nil
}

func (f *filterForm) reportFilter(wrong string) (desk.ReportFilter, error) {
	out := desk.ReportFilter{From: f.time("from", wrong, false), To: f.time("to", wrong, true)}
	return out, f.ids(map[string]*directory.ID{"tenant": &out.Tenant, "environment": &out.Environment})
}

func (d *reportData) fill() {
	r := &d.Report
	d.Ok = true
	for _, l := range r.Leavers[:min(len(r.Leavers), reportShown)] {
		d.Leavers = append(d.Leavers, leaverRow{l, took(l.Seconds)})
	}
	for _, j := range r.Joiners[:min(len(r.Joiners), reportShown)] {
		d.Joiners = append(d.Joiners, joinerRow{j, took(j.Seconds)})
	}
	d.Left = totalRow{r.Left, took(r.Left.Median), took(r.Left.Slowest)}
	d.Joined = totalRow{r.Joined, took(r.Joined.Median), took(r.Joined.Slowest)}
	if days := int(r.To.Sub(r.From).Hours()/24) + 1; days > 1 && days <= 62 {
		d.Plot = perDay(r)
	}
}

// perDay counts the leavers of each day of the period, by UTC.
func perDay(r *desk.Report) (all []bar) {
	first := r.From.Truncate(24 * time.Hour)
	for day := first; !day.After(r.To); day = day.AddDate(0, 0, 1) {
		all = append(all, bar{Label: day.Format(time.DateOnly)})
	}
	for _, l := range r.Leavers {
		if i := int(l.Ended.Sub(first).Hours() / 24); i >= 0 && i < len(all) {
			all[i].Value++
		}
	}
	return all
}

// took writes a duration in seconds: "0 s", "3.2 s", "4 min 10 s", "2 h 5 min". What is not known is a dash.
func took(seconds *float64) string {
	if seconds == nil {
		return "–"
	}
	d := time.Duration(*seconds * float64(time.Second)).Round(time.Millisecond)
	whole := func(d time.Duration, unit string) string { return strconv.FormatInt(int64(d), 10) + " " + unit }
	switch {
	case d == 0:
		return "0 s"
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'g', 3, 64) + " s"
	case d < time.Minute:
		return whole(d/time.Second, "s")
	case d < time.Hour:
		return whole(d/time.Minute, "min") + " " + whole(d%time.Minute/time.Second, "s")
	}
	return whole(d/time.Hour, "h") + " " + whole(d%time.Hour/time.Minute, "min")
}

// reportExport hands over a report as a file: signed, or as CSV.
func (c *Console) reportExport(v *visit) error {
	form := newFilterForm(v)
	filter, err := form.reportFilter("")
	if err == nil && len(form.Wrong) > 0 {
		err = missing
	}
	if err != nil {
		return err
	}
	leave, err := c.mayExport(v)
	if err != nil {
		return err
	}
	defer leave()
	name := "leavers-and-joiners-" + c.config.Now().UTC().Format("2006-01-02")
	if form.Get("format") == "jws" {
		text, err := c.config.Desk.SignedReport(v.r.Context(), c.by(v), filter)
		if err != nil {
			return busy(err)
		}
		_, _ = io.WriteString(v.download(name+".jws", typeJOSE), text) // the browser has gone when this fails
		return nil
	}
	r, err := c.config.Desk.LeaversAndJoiners(v.r.Context(), c.by(v), filter)
	if err != nil {
		return busy(err)
	}
	w, err := newCSV(v.download(name+".csv", typeCSV))
	if err != nil {
		return nil // the browser has gone, here and below
	}
	_ = writeReport(w, &r)
	return nil
}

func writeReport(w *csvWriter, r *desk.Report) error {
	if err := w.row("Kind", "Person", "User name", "Account ID", "Tenant", "Environments", "Channel", "Directory event received", "Received by", "Access changed", "Seconds",
		"Sessions ended", "Sessions ended at", "Account created", "First sign-in", "Plan allowed by", "Reason given", "Change ID", "Run ID"); err != nil {
		return err
	}
	stamp := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	row := func(kind string, p *desk.Passage, changed time.Time, sessions string, ended, created, signIn *time.Time) error {
		var envs []string
		for _, e := range p.Environments {
			envs = append(envs, e.Name)
		}
		seconds, by, reason, run := "", "", "", ""
		if p.Seconds != nil {
			seconds = strconv.FormatFloat(*p.Seconds, 'f', 3, 64)
		}
		if p.Approval != nil {
			by, reason = p.Approval.By, p.Approval.Reason
		}
		if p.RunID != nil {
			run = p.RunID.String()
		}
		return w.row(kind, p.Person.Name, p.Person.UserName, p.Person.ID.String(), p.Tenant.Name, strings.Join(envs, "; "), p.Channel, stamp(p.Received), p.Basis,
			stamp(&changed), seconds, sessions, stamp(ended), stamp(created), stamp(signIn), by, reason, strconv.FormatUint(p.Sequence, 10), run)
	}
	for i := range r.Leavers {
		l := &r.Leavers[i]
		if err := row("leaver", &l.Passage, l.Ended, strconv.Itoa(l.Sessions), l.SessionsEnded, nil, nil); err != nil {
			return err
		}
	}
	for i := range r.Joiners {
		j := &r.Joiners[i]
		kind := "joiner"
		if j.Returned {
			kind = "returner"
		}
		if err := row(kind, &j.Passage, j.Began, "", nil, j.Created, j.FirstSignIn); err != nil {
			return err
		}
	}
	if r.Cut {
		if err := w.row("Cut: there are more. Select a shorter period for the others."); err != nil {
			return err
		}
	}
	return w.flush()
}
