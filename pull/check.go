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
	reasons  []string            // why something is held back; none: nothing is
	findings []directory.Finding // the same in figures, one for each reason
	all      bool                // everything is held back, not only what takes an access away
	stopped  []int               // groups that nobody leaves
	hash     string              // of what is held back
	approved bool                // a person has allowed exactly this plan
	looked   bool                // the settings of now are those of a plan that was applied, or had nothing to apply
}

// facts are what the checks know besides the plan.
type facts struct {
	env      *directory.Environment
	state    *directory.PullState
	settings string                           // fingerprint of now
	active   map[directory.ID]int64           // external users with active access, by environment
	recent   map[directory.ID]int             // deactivations of pulls in the last 24 hours, by environment
	stops    map[directory.ID]directory.Stops // figures, by environment
	names    map[directory.ID]string          // of environments
	restore  bool
	now      time.Time
	counted  bool // recent is filled in
}

// check decides whether a plan may be applied.
func (p *plan) check(f *facts) (v verdict) {
	changed := settingsChanged(f.state, f.settings)
	v.looked = changed == ""
	if p.counts.Drift() == 0 {
		v.looked = v.looked || p.counts.Skipped == 0
		return v
	}
	if changed != "" {
		f := directory.Finding{Kind: directory.FindingChanged, Detail: strings.TrimPrefix(changed, changedSince)}
		if changed == firstPlan {
			f = directory.Finding{Kind: directory.FindingFirst}
		}
		v.hold(f, true, "%s: look at the plan before it is applied", changed)
	}
	if f.restore {
		v.hold(directory.Finding{Kind: directory.FindingRestore}, true, "brings back what push took away")
	}
	p.checkAccesses(&v, f)
	p.checkGroups(&v, f)
	p.checkGrowth(&v)
	v.all = v.all || len(v.reasons) > 0 && f.env.Integration.Hold
	if !slices.ContainsFunc(p.entries, func(e *entry) bool { return p.touched(&v, e) }) {
		p.notes, v.reasons, v.findings = append(p.notes, v.reasons...), nil, nil // nothing would be held back
		return v
	}
	v.hash = p.hash(f, &v)
	v.approved = f.state.Approval != nil && f.state.Approval.Hash == v.hash && f.now.Before(f.state.Approval.Expires)
	v.looked = v.looked || v.approved
	return v
}

func (v *verdict) hold(f directory.Finding, all bool, format string, args ...any) {
	v.reasons, v.findings = append(v.reasons, fmt.Sprintf(format, args...)), append(v.findings, f)
	v.all = v.all || all
}

// checkAccesses compares the accesses that would go with the figures of each environment.
func (p *plan) checkAccesses(v *verdict, f *facts) {
	for _, env := range sorted(p.affected) {
		if n, limit := p.affected[env], f.runLimit(env); n > limit {
			v.hold(directory.Finding{Kind: directory.FindingRun, EnvironmentID: env, Count: n, Of: int(f.active[env]), Limit: limit},
				false, "would deactivate %d of %d active external users of %s: more than %d", n, f.active[env], f.names[env], limit)
		}
		if n, limit := p.affected[env]+f.recent[env], f.dayLimit(env); n > limit {
			v.hold(directory.Finding{Kind: directory.FindingDay, EnvironmentID: env, Count: n, Of: int(f.active[env]), Limit: limit},
				false, "would bring the deactivations of the last 24 hours in %s to %d: more than %d", f.names[env], n, limit)
		}
	}
}

func (f *facts) runLimit(env directory.ID) int {
	stops := f.stops[env].OrDefaults()
	return atLeast(stops.RunCount, stops.RunPercent, f.active[env])
}

func (f *facts) dayLimit(env directory.ID) int {
	stops := f.stops[env].OrDefaults()
	return atLeast(stops.DayCount, stops.DayPercent, f.active[env])
}

// checkGroups looks for groups that lose everybody, or many.
func (p *plan) checkGroups(v *verdict, f *facts) {
	stops := f.env.Integration.Stops.OrDefaults()
	for n := range p.groups {
		g := &p.groups[n]
		limit := atLeast(stops.RunCount, stops.RunPercent, int64(g.before))
		switch {
		case g.people == 0 && g.before > 0:
			v.hold(directory.Finding{Kind: directory.FindingEmpty, Detail: g.name, Count: g.before, Of: g.before},
				false, "group %s has no members any more, and had %d; if it is a group with hidden membership, the application needs Member.Read.Hidden", g.label(), g.before)
		case g.leaves > limit:
			v.hold(directory.Finding{Kind: directory.FindingGroup, Detail: g.name, Count: g.leaves, Of: g.before, Limit: limit},
				false, "%d of %d people would leave group %s: more than %d", g.leaves, g.before, g.label(), limit)
		default:
			continue
		}
		v.stopped = append(v.stopped, n)
	}
}

// checkGrowth looks for what a wrong group or a wrong mapping does.
func (p *plan) checkGrowth(v *verdict) {
	grown := p.counts.Create + p.counts.Reattach + p.counts.Grant + p.counts.Reactivate
	if limit := atLeast(suddenCount, growthPercent, p.active); grown > limit {
		v.hold(directory.Finding{Kind: directory.FindingGrowth, Count: grown, Of: int(p.active), Limit: limit},
			true, "%d people would get access beside %d who have it: more than %d; is it the right group?", grown, p.active, limit)
	}
	if limit := atLeast(suddenCount, renamePercent, int64(p.counts.People)); p.renames > limit {
		v.hold(directory.Finding{Kind: directory.FindingNames, Count: p.renames, Of: p.counts.People, Limit: limit},
			true, "%d people would get another userName: more than %d; is the userName made from the right property?", p.renames, limit)
	}
}

// touched reports whether the reasons of a verdict are about an entry.
func (p *plan) touched(v *verdict, e *entry) bool {
	if e.Outcome != directory.OutcomePlanned || len(v.reasons) == 0 {
		return false
	}
	return v.all || len(e.takes) > 0 || slices.ContainsFunc(v.stopped, func(n int) bool { return p.groups[n].left(e) })
}

func (g *groupPlan) label() string {
	if g.name == g.object {
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
	slices.SortFunc(ids, compareIDs)
	return ids
}

func compareIDs(a, b directory.ID) int { return slices.Compare(a[:], b[:]) }

// hash is the SHA-256 of everything that is held back: whom, what, from which to which value, whose
// access goes, and under which settings. Two reads that ask for the same have the same hash, whenever they were made.
func (p *plan) hash(f *facts, v *verdict) string {
	var lines []string
	for _, e := range p.entries {
		if p.touched(v, e) {
			lines = append(lines, string(encode([]any{e.Kind, e.ObjectID, e.UserID, e.Changes, e.leave, e.out, p.objects(e), slices.SortedFunc(slices.Values(e.takes), compareIDs)})))
		}
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(f.env.ID.String() + "\n" + f.settings + "\n" + fmt.Sprint(f.restore) + "\n" + strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}

// objects are the groups that an entry puts the person into. A group that does not exist yet and the
// same one once push has made it are one.
func (p *plan) objects(e *entry) (list []string) {
	for _, n := range slices.Concat(e.join, e.inNew) {
		list = append(list, p.groups[n].object)
	}
	for _, id := range e.in {
		for _, g := range p.groups {
			if slices.Contains(g.ids, id) {
				list = append(list, g.object)
			}
		}
	}
	return list
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

// What settingsChanged says, or begins with.
const (
	firstPlan    = "this is the first plan of this environment"
	changedSince = "changed since a plan was last applied: "
)

// settingsChanged says what is other than when a plan was last applied; empty when nothing is.
func settingsChanged(state *directory.PullState, now string) string {
	if state.Settings == now {
		return ""
	}
	if state.Settings == "" {
		return firstPlan
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
	return changedSince + strings.Join(changed, ", ")
}
