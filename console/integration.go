package console

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// integrationForm is what the form of the integration holds, as it was typed.
type integrationForm struct {
	Enabled, Periodic, Transitive, Guests, Paused, Hold bool
	Tenant, Groups, Menus                               string
	RunCount, RunPercent, DayCount, DayPercent          string
	Version                                             string
	Find                                                string // of the search for groups
}

type integrationData struct {
	Head     environmentHead
	Done     string
	Now      desk.Integration // as it is kept
	Form     integrationForm
	Chips    []desk.SyncedGroup // of the groups in the form
	Wrong    wrongs
	Defaults desk.Stops
	Found    []desk.FoundGroup
	Searched bool
	Ask      *integrationAsk // what has to be confirmed before it is saved
	More     bool            // the part below "More" is open
	Typed    bool            // the form holds what is not saved
	Others   []savedSetting  // what somebody else has saved meanwhile that the form does not say
	Every    string          // how often a sync runs
	Focus    string          // the field of the form where work goes on; empty: the page begins at its beginning
}

// savedSetting is a setting as it is kept.
type savedSetting struct {
	Key         string // of its text
	Box, Ticked bool
	Values      []string // of what is no checkbox
}

// integrationAsk is what a change would do that nobody may want.
type integrationAsk struct {
	desk.Losing
	Many    bool     // more than a run may: it needs a tick
	Missing []string // groups that the directory does not have
	Shown   string   // what the next form says was shown
	Do      string   // what had been pressed
}

func formOf(i desk.Integration) integrationForm {
	f := integrationForm{Enabled: i.Enabled, Periodic: i.Periodic, Transitive: i.Transitive, Guests: i.Guests, Paused: i.Paused, Hold: i.Hold,
		Menus: strings.Join(i.DefaultMenus, "\n"), Version: i.Version,
		RunCount: figure(i.Stops.RunCount), RunPercent: figure(i.Stops.RunPercent), DayCount: figure(i.Stops.DayCount), DayPercent: figure(i.Stops.DayPercent)}
	if i.Tenant != nil {
		f.Tenant = i.Tenant.ID.String()
	} else if len(i.Tenants) == 1 {
		f.Tenant = i.Tenants[0].ID.String()
	}
	var ids []string
	for _, g := range i.Groups {
		ids = append(ids, g.ID)
	}
	f.Groups = strings.Join(ids, "\n")
	return f
}

// figure is a threshold as a form shows it: empty for the default.
func figure(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func typedForm(p url.Values) integrationForm {
	on := func(name string) bool { return p.Get(name) != "" }
	f := integrationForm{Enabled: on("enabled"), Periodic: on("periodic"), Transitive: on("transitive"), Guests: on("guests"), Paused: on("paused"), Hold: on("hold"),
		Tenant: p.Get("tenant"), Groups: p.Get("groups"), Menus: p.Get("menus"), Version: p.Get("version"), Find: p.Get("find"),
		RunCount: p.Get("run-count"), RunPercent: p.Get("run-percent"), DayCount: p.Get("day-count"), DayPercent: p.Get("day-percent")}
	if add := p.Get("add"); add != "" {
		f.Groups = strings.Join(append(groupsIn(f.Groups), add), "\n")
	}
	if drop := p.Get("drop"); drop != "" {
		f.Groups = strings.Join(slices.DeleteFunc(groupsIn(f.Groups), func(g string) bool { return strings.EqualFold(g, drop) }), "\n")
	}
	return f
}

// groupsIn are the ids in a text, however they are set apart.
func groupsIn(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", ;\t\r\n", r) })
}

// menusIn are the menus in a text, one in each line.
func menusIn(text string) []string {
	menus := []string{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(menus, line) {
			menus = append(menus, line)
		}
	}
	return menus
}

// integration shows the External users integration of an environment.
func (c *Console) integration(v *visit) error {
	return c.showIntegration(v, http.StatusOK, integrationData{Done: v.flash("environment-created", "integration-saved")}, nil)
}

// showIntegration shows the settings; form is what was typed, nil: nothing so far.
func (c *Console) showIntegration(v *visit, status int, data integrationData, form *integrationForm) (err error) {
	if data.Head, err = c.head(v, "integration"); err != nil {
		return err
	}
	ctx, by := v.r.Context(), c.by(v)
	if data.Now, err = c.config.Desk.Integration(ctx, by, data.Head.ID); err != nil {
		return err
	}
	data.Defaults = desk.DefaultStops()
	data.Form = formOf(data.Now)
	if form != nil {
		data.Form, data.Typed = *form, true
	}
	if data.Now.MayChange && (data.Now.Enabled || data.Now.MaySwitch) {
		data.Head.Form = "integration-form"
	}
	if data.Every, err = every(v.lang, c.config.Interval); err != nil {
		return err
	}
	if data.Chips, err = c.chips(v, data.Head.ID, data.Form); err != nil {
		return err
	}
	f := data.Form
	if data.Wrong["version"] != nil {
		data.Others = f.others(data.Now)
		data.Form.Version = data.Now.Version // whoever has seen them may save over them
	}
	data.More = f.Transitive || f.Guests || f.Paused || f.Hold || f.RunCount+f.RunPercent+f.DayCount+f.DayPercent != "" || v.r.URL.Query().Get("limits") != ""
	c.render(v, status, "integration", "environment.integration.title", data)
	return nil
}

// every says how often something happens, in the greatest unit that it is whole in.
//
// texts: every.hour every.minute every.second
func every(lang string, d time.Duration) (string, error) {
	unit, of := "second", time.Second
	switch {
	case d%time.Hour == 0:
		unit, of = "hour", time.Hour
	case d%time.Minute == 0:
		unit, of = "minute", time.Minute
	}
	return say(lang, "every."+unit, "n", int(d/of))
}

// others are the settings that are kept otherwise than a form says.
func (f *integrationForm) others(now desk.Integration) (all []savedSetting) {
	kept := formOf(now)
	for _, x := range []struct {
		key         string
		kept, typed bool
	}{{"integration.enabled", now.Enabled, f.Enabled || !now.MaySwitch}, {"integration.periodic", kept.Periodic, f.Periodic}, {"integration.transitive", kept.Transitive, f.Transitive},
		{"integration.guests", kept.Guests, f.Guests}, {"integration.paused", kept.Paused, f.Paused}, {"integration.hold", kept.Hold, f.Hold}} {
		if x.kept != x.typed {
			all = append(all, savedSetting{Key: x.key, Box: true, Ticked: x.kept})
		}
	}
	var tenant, groups []string
	if now.Tenant != nil {
		tenant = []string{now.Tenant.Name}
	}
	for _, g := range now.Groups {
		groups = append(groups, cmp.Or(g.Name, g.ID))
	}
	for _, x := range []struct {
		key         string
		kept, typed string
		shown       []string
	}{{"integration.tenant", kept.Tenant, f.Tenant, tenant}, {"integration.groups", sameIn(groupsIn(kept.Groups)), sameIn(groupsIn(f.Groups)), groups},
		{"integration.menus", kept.Menus, strings.Join(menusIn(f.Menus), "\n"), now.DefaultMenus},
		{"integration.stops.run-count", kept.RunCount, f.RunCount, []string{kept.RunCount}}, {"integration.stops.run-percent", kept.RunPercent, f.RunPercent, []string{kept.RunPercent}},
		{"integration.stops.day-count", kept.DayCount, f.DayCount, []string{kept.DayCount}}, {"integration.stops.day-percent", kept.DayPercent, f.DayPercent, []string{kept.DayPercent}}} {
		if x.kept != x.typed {
			all = append(all, savedSetting{Key: x.key, Values: x.shown})
		}
	}
	return all
}

// sameIn is equal for the same ids in any order and case.
func sameIn(ids []string) string {
	ids = strings.Fields(strings.ToLower(strings.Join(ids, " ")))
	slices.Sort(ids)
	return strings.Join(slices.Compact(ids), " ")
}

// chips are the groups of a form, as far as they are known.
func (c *Console) chips(v *visit, id directory.ID, f integrationForm) ([]desk.SyncedGroup, error) {
	tenant, _ := directory.ParseID(f.Tenant)
	return c.config.Desk.KnownGroups(v.r.Context(), c.by(v), id, tenant, groupsIn(f.Groups))
}

// integrationPost saves the settings, or does what another button of the form says.
func (c *Console) integrationPost(v *visit) error {
	id, err := pathID(v, "id")
	if err != nil {
		return err
	}
	form, post := typedForm(v.r.PostForm), v.r.PostForm
	switch {
	case post.Get("add") != "", post.Get("drop") != "":
		return c.showIntegration(v, http.StatusOK, integrationData{Focus: "groups"}, &form)
	case post.Get("do") == "find", post.Get("do") == "enter" && strings.TrimSpace(form.Find) != "":
		return c.findGroups(v, id, form)
	}
	now, err := c.config.Desk.Integration(v.r.Context(), c.by(v), id)
	if err != nil {
		return err
	}
	change, w, err := form.change(v.lang, now)
	if err != nil {
		return err
	}
	if len(w) > 0 {
		return c.showIntegration(v, http.StatusUnprocessableEntity, integrationData{Wrong: w}, &form)
	}
	ask, err := c.ask(v, id, now, &change)
	if err != nil {
		return c.refuseIntegration(v, err, &form)
	}
	if ask != nil {
		return c.showIntegration(v, http.StatusConflict, integrationData{Ask: ask}, &form)
	}
	if _, err := c.config.Desk.SetIntegration(v.r.Context(), c.by(v), id, change); err != nil {
		return c.refuseIntegration(v, err, &form)
	}
	if post.Get("do") == "sync" {
		return c.syncAfterSaving(v, id)
	}
	v.done("/environments/"+id.String()+"/integration", "integration-saved")
	return nil
}

// syncAfterSaving begins a run under the settings that were just saved.
func (c *Console) syncAfterSaving(v *visit, id directory.ID) error {
	run, err := c.config.Desk.BeginSync(v.r.Context(), c.by(v), id)
	if err == nil {
		v.goTo("/runs/" + run.String())
		return nil
	}
	w, status, ok := refused(err, map[string]string{"environment": ""})
	if !ok {
		return err
	}
	for _, why := range w {
		w = wrongs{"sync": why}
	}
	return c.showIntegration(v, status, integrationData{Done: "integration-saved", Wrong: w}, nil)
}

// integrationFields are the fields of the form by the settings of the directory.
var integrationFields = map[string]string{"confirmLosing": "", "enabled": "enabled", "tenant": "tenant", "groups": "groups", "defaultMenus": "menus", "stops": "stops", "version": "version"}

func (c *Console) refuseIntegration(v *visit, err error, form *integrationForm) error {
	if e := directory.KindOf(err); e == directory.NotFound { // a tenant that is not there any more, or never was for this one
		if _, gone := c.config.Desk.Integration(v.r.Context(), c.by(v), mustPathID(v)); gone != nil {
			return err
		}
		text, sayErr := say(v.lang, "integration.tenant.gone")
		if sayErr != nil {
			return sayErr
		}
		return c.showIntegration(v, http.StatusUnprocessableEntity, integrationData{Wrong: wrongs{"tenant": text}}, form)
	}
	w, status, ok := refused(err, integrationFields)
	if !ok {
		return err
	}
	return c.showIntegration(v, status, integrationData{Wrong: w}, form)
}

func mustPathID(v *visit) directory.ID {
	id, _ := pathID(v, "id") // it was read before
	return id
}

// findGroups shows groups of the directory that can be added.
func (c *Console) findGroups(v *visit, id directory.ID, form integrationForm) error {
	tenant, _ := directory.ParseID(form.Tenant)
	found, err := c.config.Desk.FindGroups(v.r.Context(), c.by(v), id, tenant, form.Find)
	if err == nil {
		return c.showIntegration(v, http.StatusOK, integrationData{Found: found.Items, Searched: true, Focus: "find"}, &form)
	}
	status := http.StatusServiceUnavailable
	w, refusedAs, ok := refused(err, nil)
	switch {
	case ok:
		status = refusedAs
	case directory.KindOf(err) == directory.Unavailable:
		w = wrongs{"": inEnglish(said(err))}
	default:
		return err
	}
	for field, why := range w {
		if field != "tenant" {
			w = wrongs{"find": why}
		}
	}
	return c.showIntegration(v, status, integrationData{Wrong: w}, &form)
}

// change is what a form asks for.
func (f *integrationForm) change(lang string, now desk.Integration) (change desk.IntegrationChange, w wrongs, err error) {
	change.Version = f.Version
	if now.MaySwitch {
		change.Enabled = &f.Enabled
		if !f.Enabled { // nothing below can be set then
			return change, nil, nil
		}
	}
	w = wrongs{}
	wrong := func(field, key string) {
		if text, sayErr := say(lang, key); sayErr != nil {
			err = sayErr
		} else {
			w[field] = text
		}
	}
	tenant, ok := directory.ParseID(f.Tenant)
	if !ok {
		wrong("tenant", "integration.tenant.choose")
	}
	groups, menus := groupsIn(f.Groups), menusIn(f.Menus)
	if len(groups) == 0 {
		groups = []string{}
		wrong("groups", "integration.groups.none")
	}
	var stops desk.Stops
	for _, x := range []struct {
		to   *int
		name string
		text string
		most int
	}{{&stops.RunCount, "run-count", f.RunCount, 1_000_000}, {&stops.RunPercent, "run-percent", f.RunPercent, 100},
		{&stops.DayCount, "day-count", f.DayCount, 1_000_000}, {&stops.DayPercent, "day-percent", f.DayPercent, 100}} {
		n, ok := atoi(x.text)
		if !ok || n < 0 || n > x.most {
			wrong("stops", "integration.stops.wrong")
			wrong(x.name, "integration.stops.wrong")
		}
		*x.to = n
	}
	change.TenantID, change.Groups, change.DefaultMenus, change.Stops = &tenant, &groups, &menus, &stops
	change.Periodic, change.Transitive, change.Guests, change.Paused, change.Hold = &f.Periodic, &f.Transitive, &f.Guests, &f.Paused, &f.Hold
	return change, w, err
}

// ask says what has to be confirmed before a change is made; nil: nothing, or it was.
func (c *Console) ask(v *visit, id directory.ID, now desk.Integration, change *desk.IntegrationChange) (*integrationAsk, error) {
	ctx, by, post := v.r.Context(), c.by(v), v.r.PostForm
	l, err := c.config.Desk.LosingAccess(ctx, by, id, *change)
	if err != nil {
		return nil, err
	}
	ask := integrationAsk{Losing: l, Many: l.People > l.Limit, Do: post.Get("do")}
	if change.Groups != nil && change.TenantID != nil {
		added := slices.DeleteFunc(slices.Clone(*change.Groups), func(g string) bool {
			return now.Tenant != nil && now.Tenant.ID == *change.TenantID && slices.ContainsFunc(now.Groups, func(x desk.SyncedGroup) bool { return strings.EqualFold(x.ID, g) })
		})
		ask.Missing = c.config.Desk.MissingGroups(ctx, by, id, *change.TenantID, added)
	}
	ask.Shown = strconv.FormatInt(l.People, 10) + " " + strings.Join(ask.Missing, ",")
	shown := post.Get("shown")
	confirmed, _, _ := strings.Cut(shown, " ")
	change.ConfirmLosing, _ = strconv.ParseInt(confirmed, 10, 64)
	sure := !ask.Many || post.Get("sure") != ""
	if !sure {
		change.ConfirmLosing = 0
	}
	if l.People == 0 && len(ask.Missing) == 0 || shown == ask.Shown && sure {
		return nil, nil //nolint:nilnil // nothing has to be asked
	}
	return &ask, nil
}

// said is what the directory says of an error.
func said(err error) string {
	var e *directory.Error
	if errors.As(err, &e) {
		return sentence(e.Detail)
	}
	return ""
}
