package pull

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// The checks of a plan. Every figure is that of the environment whose accesses would go.

// growth and renaming are the figures beyond which a plan looks like a wrong group or a wrong
// mapping: more than max(suddenCount, the percentage).
const (
	suddenCount   = 10
	growthPercent = 50
	renamePercent = 30
)

// verdict is the outcome of the checks.
type verdict struct {
	reasons  []string // why something is held back; none: nothing is
	all      bool     // everything is held back, not only what takes an access away
	hash     string   // of what is held back
	approved bool     // a person has allowed exactly this plan
}

// facts are what the checks know besides the plan.
type facts struct {
	env      *directory.Environment
	state    *directory.PullState
	settings string                           // fingerprint of now
	active   map[directory.ID]int64           // accesses that are active, by environment
	recent   map[directory.ID]int             // deactivations of pulls in the last 24 hours, by environment
	stops    map[directory.ID]directory.Stops // figures, by environment
	names    map[directory.ID]string          // of environments
	restore  bool
	now      time.Time
}

// check decides whether a plan may be applied.
func (p *plan) check(f *facts) verdict {
	var v verdict
	hold := func(all bool, format string, args ...any) {
		v.reasons = append(v.reasons, fmt.Sprintf(format, args...))
		v.all = v.all || all
	}
	if p.counts.Drift() == 0 {
		return v
	}
	if why := settingsChanged(f.state, f.settings); why != "" {
		hold(true, "%s: look at the plan before it is applied", why)
	}
	if f.restore {
		hold(true, "brings back what push took away")
	}
	for _, env := range sorted(p.affected) {
		n := p.affected[env]
		if n == 0 {
			continue
		}
		stops, active := f.stops[env].OrDefaults(), f.active[env]
		if limit := atLeast(stops.RunCount, stops.RunPercent, active); n > limit {
			hold(false, "would deactivate %d of %d active external users of %s: more than %d", n, active, f.names[env], limit)
		}
		if limit := atLeast(stops.DayCount, stops.DayPercent, active); n+f.recent[env] > limit {
			hold(false, "would bring the deactivations of the last 24 hours in %s to %d: more than %d", f.names[env], n+f.recent[env], limit)
		}
	}
	stops := f.env.Integration.Stops.OrDefaults()
	for _, g := range p.groups {
		if g.people == 0 && g.before > 0 {
			hold(false, "group %s has no members any more, and had %d; if it is a group with hidden membership, the application needs Member.Read.Hidden", g.label(), g.before)
		} else if limit := atLeast(stops.RunCount, stops.RunPercent, int64(g.before)); g.leaves > limit {
			hold(false, "%d of %d people would leave group %s: more than %d", g.leaves, g.before, g.label(), limit)
		}
	}
	grown := p.counts.Create + p.counts.Reattach + p.counts.Grant + p.counts.Reactivate
	if limit := atLeast(suddenCount, growthPercent, p.active); p.active > 0 && grown > limit {
		hold(true, "%d people would get access beside %d who have it: more than %d; is it the right group?", grown, p.active, limit)
	}
	if limit := atLeast(suddenCount, renamePercent, int64(p.counts.People)); p.renames > limit {
		hold(true, "%d people would get another userName: more than %d; is the userName made from the right property?", p.renames, limit)
	}
	v.all = v.all || len(v.reasons) > 0 && f.env.Integration.Hold
	if len(v.reasons) > 0 {
		v.hash = p.hash(f, v.all)
		v.approved = f.state.Approval != nil && f.state.Approval.Hash == v.hash && f.now.Before(f.state.Approval.Expires)
	}
	return v
}

func (g *groupPlan) label() string {
	if g.name == "" {
		return g.object
	}
	return fmt.Sprintf("%q (%s)", g.name, g.object)
}

// atLeast is max(count, percent of n).
func atLeast(count, percent int, n int64) int { return max(count, int(n*int64(percent)/100)) }

func sorted(m map[directory.ID]int) []directory.ID {
	ids := make([]directory.ID, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b directory.ID) int { return slices.Compare(a[:], b[:]) })
	return ids
}

// holds reports whether a verdict holds an entry back.
func (v *verdict) holds(e *entry) bool {
	return len(v.reasons) > 0 && !v.approved && (v.all || len(e.takes) > 0)
}

// hash is the SHA-256 of everything that is held back: whom, what, from which to which value, and
// under which settings. Two reads that ask for the same have the same hash, whenever they were made.
func (p *plan) hash(f *facts, all bool) string {
	var lines []string
	for _, e := range p.entries {
		if e.Outcome == directory.OutcomePlanned && (all || len(e.takes) > 0) {
			line, err := json.Marshal([]any{e.Kind, e.ObjectID, e.UserID, e.Changes})
			if err != nil {
				panic(err) // kinds, ids and JSON
			}
			lines = append(lines, string(line))
		}
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(f.env.ID.String() + "\n" + f.settings + "\n" + fmt.Sprint(f.restore) + "\n" + strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}

// settings is what a plan depends on besides the directory, in words for the reason of a preview.
type settings struct {
	Tenant     string   `json:"tenant"`
	Directory  string   `json:"directory"`
	Cloud      string   `json:"cloud"`
	URLs       string   `json:"urls,omitempty"`
	ClientID   string   `json:"clientId"`
	Credential string   `json:"credential"`
	UserName   string   `json:"userName"`
	Groups     []string `json:"groups"`
	Transitive bool     `json:"transitive"`
	Guests     bool     `json:"guests"`
}

func settingsOf(env *directory.Environment, t *directory.Tenant, credential directory.ID) string {
	g, in := t.Graph, env.Integration
	groups := slices.Clone(in.Groups)
	slices.Sort(groups)
	return string(encode(settings{Tenant: t.ID.String(), Directory: t.DirectoryID, Cloud: string(cloudOf(g)), URLs: strings.TrimSpace(g.LoginURL + " " + g.GraphURL),
		ClientID: g.ClientID, Credential: credential.String(), UserName: g.UserName, Groups: groups, Transitive: in.Transitive, Guests: in.Guests}))
}

// settingsChanged says what is other than when a plan was last applied; empty when nothing is.
func settingsChanged(state *directory.PullState, now string) string {
	if state.Settings == now {
		return ""
	}
	if state.Settings == "" {
		return "this is the first plan of this environment"
	}
	var before, after map[string]any
	if json.Unmarshal([]byte(state.Settings), &before) != nil || json.Unmarshal([]byte(now), &after) != nil {
		return "the settings changed"
	}
	var changed []string
	for _, name := range []string{"tenant", "directory", "cloud", "urls", "clientId", "credential", "userName", "groups", "transitive", "guests"} {
		if fmt.Sprint(before[name]) != fmt.Sprint(after[name]) {
			changed = append(changed, map[string]string{"clientId": "application", "urls": "URLs of the cloud", "userName": "source of the userName",
				"groups": "Groups to Sync", "transitive": "counting of nested groups"}[name])
			if changed[len(changed)-1] == "" {
				changed[len(changed)-1] = name
			}
		}
	}
	return "changed since a plan was last applied: " + strings.Join(changed, ", ")
}
