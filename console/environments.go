package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

func (c *Console) environmentsTable() []route {
	return []route{
		{path: "/environments", access: Staff, get: c.environments},
		{path: "/environments/new", access: Staff, get: c.environmentNew, post: c.environmentNewPost},
		{path: "/organizations/new", access: Staff, get: c.organizationNew, post: c.organizationNewPost},
		{path: "/environments/{id}", access: Staff, get: c.environment},
		{path: "/environments/{id}/administrators", access: Staff, get: c.administrators, post: c.administratorsPost},
		{path: "/environments/{id}/integration", access: Staff, get: c.integration, post: c.integrationPost},
		{path: "/environments/{id}/integration/progress", access: Staff, get: c.integrationProgress, quiet: true},
	}
}

// cards are how many environments stand on one page.
const cards = 48

type environmentsData struct {
	Done     string
	Text     string
	State    string
	States   []string
	Filtered bool // or so many that filtering helps
	Groups   []organizationCards
	Pager    pager
	Operator bool
	Lone     bool // there is no organization yet
}

// organizationCards are the environments of one organization.
type organizationCards struct {
	Name  string
	Cards []card
}

// card is an environment as the list shows it.
type card struct {
	desk.Environment
	Warnings []expiry // what ends soon, or has ended
	Inactive int64
}

// expiry is the end of something, with how long it still lasts.
type expiry struct {
	desk.Expiry
	Days int  // begun ones
	Bad  bool // it ended, or ends within a day
}

// texts: done.organization-created environments.state.quarantined environments.state.failing environments.state.overdue environments.state.incomplete environments.state.running
// texts: environments.state.never environments.state.paused environments.state.manual environments.state.fine environments.state.off
// texts: environments.run.running environments.run.complete environments.run.preview environments.run.quarantined environments.run.allowed
// texts: environments.run.discarded environments.run.superseded environments.run.failed environments.run.cancelled environments.run.interrupted
// texts: environments.ends.token environments.ends.client environments.ends.graph environments.ends.sign-in
// texts: environments.ended.token environments.ended.client environments.ended.graph environments.ended.sign-in
// texts: environments.kind.token environments.kind.client environments.kind.graph environments.kind.sign-in

func cardOf(e desk.Environment, now time.Time) card {
	out := card{Environment: e, Inactive: e.Total - e.Active}
	if e.LastRun != nil {
		last := *e.LastRun
		last.Error = sentence(last.Error)
		out.LastRun = &last
	}
	for _, x := range e.Expiries {
		if x.Level > 0 {
			out.Warnings = append(out.Warnings, expiry{x, int((x.Expires.Sub(now) + 24*time.Hour - 1) / (24 * time.Hour)), x.Level >= 4})
		}
	}
	return out
}

// environments shows those that somebody administers.
func (c *Console) environments(v *visit) error {
	ctx, by, q := v.r.Context(), c.by(v), v.r.URL.Query()
	data := environmentsData{Done: v.flash("organization-created"), Text: q.Get("q"), State: q.Get("state"), States: desk.States, Operator: by.Role == directory.RoleOperator}
	list, err := c.config.Desk.Environments(ctx, by, desk.EnvironmentFilter{Text: data.Text, State: data.State}, desk.Page{After: q.Get("after"), Limit: cards})
	if err != nil {
		if directory.KindOf(err) == directory.Invalid { // of an address that somebody has edited
			return missing
		}
		return err
	}
	data.Filtered = data.Text != "" || data.State != "" || list.Total > 6
	data.Pager = v.pagerOf(len(list.Items), list.Total, list.Next)
	for _, e := range list.Items {
		if n := len(data.Groups); n == 0 || data.Groups[n-1].Name != e.Organization.Name {
			data.Groups = append(data.Groups, organizationCards{Name: e.Organization.Name})
		}
		last := &data.Groups[len(data.Groups)-1]
		last.Cards = append(last.Cards, cardOf(e, c.config.Now()))
	}
	if len(list.Items) == 0 && data.Operator {
		orgs, err := c.config.Desk.Organizations(ctx, by)
		if err != nil {
			return err
		}
		data.Lone = len(orgs.Items) == 0
	}
	c.render(v, http.StatusOK, "environments", "environments.title", data)
	return nil
}

type newData struct {
	Name          string
	Organization  string // id
	Organizations []desk.Organization
	Wrong         wrongs
	Done          string
}

// operatorsOnly refuses others with the page that says what their role is for.
func operatorsOnly(by directory.Actor) error {
	if by.Role != directory.RoleOperator {
		return &directory.Error{Kind: directory.Forbidden, Detail: "this needs the role operator"}
	}
	return nil
}

func (c *Console) organizationNew(v *visit) error {
	if err := operatorsOnly(c.by(v)); err != nil {
		return err
	}
	c.render(v, http.StatusOK, "organization-new", "organization.new.title", newData{})
	return nil
}

func (c *Console) organizationNewPost(v *visit) error {
	name := v.r.PostForm.Get("name")
	o, err := c.config.Desk.CreateOrganization(v.r.Context(), c.by(v), desk.NewOrganization{Name: name})
	if err == nil {
		v.redirect("/environments/new", url.Values{"done": {"organization-created"}, "organization": {o.ID.String()}})
		return nil
	}
	w, status, ok := refused(err, nil)
	if !ok {
		return err
	}
	c.render(v, status, "organization-new", "organization.new.title", newData{Name: name, Wrong: w})
	return nil
}

func (c *Console) environmentNew(v *visit) error {
	data := newData{Organization: v.r.URL.Query().Get("organization"), Done: v.flash("organization-created")}
	return c.showEnvironmentNew(v, http.StatusOK, data)
}

func (c *Console) showEnvironmentNew(v *visit, status int, data newData) error {
	by := c.by(v)
	if err := operatorsOnly(by); err != nil {
		return err
	}
	orgs, err := c.config.Desk.Organizations(v.r.Context(), by)
	if err != nil {
		return err
	}
	data.Organizations = orgs.Items
	c.render(v, status, "environment-new", "environment.new.title", data)
	return nil
}

func (c *Console) environmentNewPost(v *visit) error {
	data := newData{Name: v.r.PostForm.Get("name"), Organization: v.r.PostForm.Get("organization")}
	org, ok := directory.ParseID(data.Organization)
	if !ok {
		text, err := say(v.lang, "environment.new.organization.choose")
		if err != nil {
			return err
		}
		data.Wrong = wrongs{"organization": text}
		return c.showEnvironmentNew(v, http.StatusUnprocessableEntity, data)
	}
	e, err := c.config.Desk.CreateEnvironment(v.r.Context(), c.by(v), desk.NewEnvironment{OrganizationID: org, Name: data.Name})
	if err == nil {
		v.done("/environments/"+e.ID.String()+"/integration", "environment-created")
		return nil
	}
	w, status, ok := refused(err, nil)
	if !ok {
		return err
	}
	data.Wrong = w
	return c.showEnvironmentNew(v, status, data)
}

// environmentHead is what every page of an environment begins with.
type environmentHead struct {
	card
	Tabs    []map[string]any
	MaySync bool   // the buttons are shown; whether it may is for the act to say
	Form    string // id of the form with the settings, where the page has it: Sync saves that first
}

// head makes the beginning of a page of an environment. here is the last part of its path.
func (c *Console) head(v *visit, here string) (h environmentHead, err error) {
	id, err := pathID(v, "id")
	if err != nil {
		return h, err
	}
	by := c.by(v)
	e, err := c.config.Desk.Environment(v.r.Context(), by, id)
	if err != nil {
		return h, err
	}
	path, query := "/environments/"+id.String(), "?environment="+id.String()
	h = environmentHead{card: cardOf(e, c.config.Now())}
	for _, t := range []struct{ path, key string }{{path, ""}, {path + "/integration", "integration"}, {path + "/administrators", "administrators"},
		{"/users" + query, "users"}, {"/runs" + query, "runs"}, {"/log" + query, "log"}} {
		key := t.key
		if key == "" {
			key = "overview"
		}
		h.Tabs = append(h.Tabs, map[string]any{"Path": t.path, "Key": "environment.tab." + key, "Current": t.key == here && strings.HasPrefix(t.path, path)})
	}
	may := by.Role == directory.RoleOperator || by.Reach != nil && slices.Contains(by.Reach.Environments, id)
	h.MaySync = may && e.Tenant != nil
	return h, nil
}

// texts: environment.tab.overview environment.tab.integration environment.tab.administrators environment.tab.users environment.tab.runs environment.tab.log

type environmentData struct {
	Head     environmentHead
	Deriving *desk.Derivation
	Actives  chart
	Pushes   chart
	Runs     chart
	Days     int // of Actives
	Pushed   int64
	Ran      int
}

// environment is the overview of one.
func (c *Console) environment(v *visit) error {
	h, err := c.head(v, "")
	if err != nil {
		return err
	}
	history, err := c.config.Desk.EnvironmentHistory(v.r.Context(), c.by(v), h.ID)
	if err != nil {
		return err
	}
	i, err := c.config.Desk.Integration(v.r.Context(), c.by(v), h.ID)
	if err != nil {
		return err
	}
	data := environmentData{Head: h, Deriving: i.Deriving, Days: len(history.Actives), Ran: len(history.Runs)}
	var actives, pushes, runs []bar
	for _, p := range history.Actives {
		actives = append(actives, bar{At: p.Time, Value: p.Value})
	}
	for _, p := range history.Pushes {
		data.Pushed += p.Value
		pushes = append(pushes, bar{At: p.Time, Clock: true, Value: p.Value})
	}
	for _, r := range history.Runs {
		b, err := runBar(v.lang, r)
		if err != nil {
			return err
		}
		runs = append(runs, b)
	}
	for _, x := range []struct {
		to  *chart
		key string
		all []bar
	}{{&data.Actives, "environment.chart.actives", actives}, {&data.Pushes, "environment.chart.pushes", pushes}, {&data.Runs, "environment.chart.runs", runs}} {
		title, err := say(v.lang, x.key)
		if err != nil {
			return err
		}
		if *x.to, err = bars(v.lang, title, x.all); err != nil {
			return err
		}
	}
	c.render(v, http.StatusOK, "environment", "environment.title", data)
	return nil
}

// runBar is a run in the chart: its seconds, and what became of it.
func runBar(lang string, r desk.RunSummary) (bar, error) {
	verdict, err := say(lang, "environments.run."+r.State)
	b := bar{At: r.Started, Label: verdict, Value: 1}
	if r.Ended != nil {
		b.Value = max(1, int64(r.Ended.Sub(r.Started).Seconds()))
	}
	switch r.State {
	case "failed", "interrupted":
		b.Kind = "bad"
	case "quarantined":
		b.Kind = "warn"
	case "complete", "allowed":
		b.Kind = "good"
	}
	return b, err
}

type administratorsData struct {
	Head     environmentHead
	Done     string
	All      []desk.Administrator
	Operator bool
	Person   string
	Wrong    wrongs
}

// administrators shows who administers an environment.
func (c *Console) administrators(v *visit) error {
	return c.showAdministrators(v, http.StatusOK, administratorsData{Done: v.flash("administrator-added", "administrator-removed")})
}

func (c *Console) showAdministrators(v *visit, status int, data administratorsData) (err error) {
	if data.Head, err = c.head(v, "administrators"); err != nil {
		return err
	}
	list, err := c.config.Desk.Administrators(v.r.Context(), c.by(v), data.Head.ID)
	if err != nil {
		return err
	}
	data.All, data.Operator = list.Items, c.by(v).Role == directory.RoleOperator
	c.render(v, status, "administrators", "environment.administrators.title", data)
	return nil
}

func (c *Console) administratorsPost(v *visit) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	form := v.r.PostForm
	in := desk.AdministratorChange{Person: form.Get("person"), Administrator: form.Get("remove") == ""}
	if _, err = c.config.Desk.SetAdministrator(v.r.Context(), c.by(v), id, in); err == nil {
		path := "/environments/" + id.String() + "/administrators"
		if in.Administrator {
			v.done(path, "administrator-added")
		} else {
			v.done(path, "administrator-removed")
		}
		return nil
	}
	w, status, ok := refused(err, map[string]string{"": "person"})
	if !ok {
		return err
	}
	return c.showAdministrators(v, status, administratorsData{Person: in.Person, Wrong: w})
}

// integrationProgress tells how far a change of the settings is that is being carried out.
func (c *Console) integrationProgress(v *visit) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	return c.live(v, func(ctx context.Context) (string, bool, error) {
		i, err := c.config.Desk.Integration(ctx, c.by(v), id)
		if err != nil {
			return "", false, err
		}
		html, err := c.fragment(v, "integration", "deriving", i.Deriving)
		return html, i.Deriving != nil, err
	})
}
