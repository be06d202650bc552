package console

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/desk"
)

func (c *Console) settingsTable() []route {
	return []route{
		{path: "/settings", access: Staff, get: c.health},
		{path: "/settings/configuration", access: Staff, get: c.configuration},
		{path: "/settings/keys", access: Staff, get: c.keys, post: c.keysPost},
		{path: "/settings/people", access: Staff, get: c.colleagues, post: c.promotePost},
		{path: "/settings/people/invite", access: Staff, post: c.invitePost},
		{path: "/settings/people/{id}", access: Staff, get: c.colleague, post: c.colleaguePost},
		{path: "/settings/people/{id}/link", access: Staff, post: c.linkToPost},
		{path: "/settings/people/{id}/second-factor", access: Staff, post: c.factorOfPost},
		{path: "/search", access: Staff, get: c.search},
		{path: "/start", access: Staff, post: c.startPost},
	}
}

// tab is one of the pages that belong together.
type tab struct {
	Path, Key string
	Current   bool
}

// texts: settings.tab.health settings.tab.configuration settings.tab.keys settings.tab.people
func settingsTabs(current string) (all []tab) {
	for _, t := range []tab{{Path: "/settings", Key: "health"}, {Path: "/settings/people", Key: "people"}, {Path: "/settings/keys", Key: "keys"}, {Path: "/settings/configuration", Key: "configuration"}} {
		all = append(all, tab{t.Path, "settings.tab." + t.Key, t.Key == current})
	}
	return all
}

type healthData struct {
	desk.Health
	Tabs                 []tab
	Store, Free, Size    string
	Pushes               []bar
	PushTotal, PushPeak  int64
	PerCommit            string // changes that one commit carried
	DiskFull             int    // percent
	DiskKnown, EndingAny bool
}

// health shows how the server is.
//
// texts: level.good level.warn level.bad
// texts: health.check.store health.check.disk health.check.pulls health.check.credentials health.check.derivations
// texts: health.store.good health.store.bad health.disk.good health.disk.warn health.disk.bad health.pulls.good health.pulls.bad
// texts: health.credentials.good health.credentials.warn health.credentials.bad health.derivations.good health.derivations.warn
// texts: newlink.password newlink.sign-in health.ending.client health.ending.graph health.ending.sign-in health.ending.token
func (c *Console) health(v *visit) error {
	h, err := c.config.Desk.Health(v.r.Context(), c.by(v))
	if err != nil {
		return err
	}
	data := healthData{Health: h, Tabs: settingsTabs("health"), Store: size(h.Server.StoreBytes), Free: size(h.Server.DiskFree), Size: size(h.Server.DiskSize),
		DiskKnown: h.Server.DiskSize > 0, EndingAny: len(h.Endings) > 0}
	if data.DiskKnown {
		data.DiskFull = int(100 - h.Server.DiskFree*100/h.Server.DiskSize)
	}
	if h.Server.Commits > 0 {
		data.PerCommit = strconv.FormatFloat(float64(h.Server.Updates)/float64(h.Server.Commits), 'f', 1, 64)
	}
	for _, m := range h.Pushes {
		data.Pushes = append(data.Pushes, bar{At: m.From, Clock: true, Value: m.Count})
		data.PushTotal += m.Count
		data.PushPeak = max(data.PushPeak, m.Count)
	}
	c.render(v, http.StatusOK, "health", "settings.title", data)
	return nil
}

// size writes a number of bytes as people read it.
func size(n int64) string {
	const step = 1024
	f, unit := float64(n), 0
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for ; f >= step && unit < len(units)-1; unit++ {
		f /= step
	}
	if unit == 0 || f >= 10 {
		return strconv.FormatFloat(f, 'f', 0, 64) + " " + units[unit]
	}
	return strconv.FormatFloat(f, 'f', 1, 64) + " " + units[unit]
}

type configurationData struct {
	Tabs  []tab
	Parts []configurationPart
}

// configurationPart are the keys that begin with the same word.
type configurationPart struct {
	Name     string // empty: keys of one word
	Settings []desk.Setting
}

// configuration shows the configuration in effect.
func (c *Console) configuration(v *visit) error {
	all, err := c.config.Desk.Settings(v.r.Context(), c.by(v))
	if err != nil {
		return err
	}
	data := configurationData{Tabs: settingsTabs("configuration"), Parts: []configurationPart{{}}}
	for _, s := range all.Items {
		name, _, within := strings.Cut(s.Key, ".")
		if !within {
			data.Parts[0].Settings = append(data.Parts[0].Settings, s)
			continue
		}
		if last := &data.Parts[len(data.Parts)-1]; last.Name == name {
			last.Settings = append(last.Settings, s)
			continue
		}
		data.Parts = append(data.Parts, configurationPart{name, []desk.Setting{s}})
	}
	c.render(v, http.StatusOK, "configuration", "settings.configuration.title", data)
	return nil
}

type keysData struct {
	Tabs  []tab
	Done  string
	Keys  []keyRow
	Wrong wrongs
}

type keyRow struct {
	desk.SigningKey
	State string
}

// keys shows the keys that sign assertions.
//
// texts: keys.state.signs keys.state.waits keys.state.old
func (c *Console) keys(v *visit) error {
	return c.keysPage(v, http.StatusOK, keysData{Done: v.flash("key-rotated")})
}

func (c *Console) keysPage(v *visit, status int, data keysData) error {
	all, err := c.config.Desk.SigningKeys(v.r.Context(), c.by(v))
	if err != nil {
		return err
	}
	data.Tabs = settingsTabs("keys")
	for _, k := range all.Items {
		data.Keys = append(data.Keys, keyRow{k, keyState(k, c.config.Now(), data.Keys)})
	}
	c.render(v, status, "keys", "settings.keys.title", data)
	return nil
}

// keyState tells what a key is for, of those that are newer.
func keyState(k desk.SigningKey, now time.Time, newer []keyRow) string {
	if k.From.After(now) {
		return "waits"
	}
	for _, n := range newer {
		if n.State == "signs" {
			return "old"
		}
	}
	return "signs"
}

func (c *Console) keysPost(v *visit) error {
	_, err := c.config.Desk.RotateSigningKeys(v.r.Context(), c.by(v))
	if err == nil {
		v.done("/settings/keys", "key-rotated")
		return nil
	}
	wrong, status, ok := refused(err, nil)
	if !ok {
		return err
	}
	return c.keysPage(v, status, keysData{Wrong: wrong})
}
