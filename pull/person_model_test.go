package pull_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// TestPersonModel: random groups within groups, environments and people. Who signs in is provisioned exactly when the rules
// give access to an environment whose pull is at work, has access where these say so, and nobody else is touched.
func TestPersonModel(t *testing.T) {
	folder, worlds := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		worlds++
		w := openWorld(t.Context(), rt, filepath.Join(folder, fmt.Sprint(worlds, ".db")))
		defer w.close()
		const groups, people = 4, 6
		for g := 2; g <= groups; g++ {
			w.group(g)
		}
		envs := []directory.ID{w.env}
		for range rapid.IntRange(1, 2).Draw(rt, "environments") {
			envs = append(envs, w.newEnv(fmt.Sprint("Environment ", len(envs)), w.tenant, rapid.IntRange(1, groups).Draw(rt, "group")))
		}
		flag := func(name string) *bool { v := rapid.Bool().Draw(rt, name); return &v }
		for _, env := range envs {
			some := rapid.SliceOfNDistinct(rapid.IntRange(1, groups), 1, 2, rapid.ID[int]).Draw(rt, "groups")
			w.integrate(env, directory.IntegrationInput{Groups: groupIDs(some...), Transitive: flag("transitive"), Guests: flag("guests")})
		}
		w.people(1, 101, 102)
		for _, env := range envs {
			w.settleEnv(env)
		}
		for range rapid.IntRange(0, 4).Draw(rt, "nestings") {
			w.dir.Nest(pulltest.GroupID(rapid.IntRange(1, groups).Draw(rt, "parent")), pulltest.GroupID(rapid.IntRange(1, groups).Draw(rt, "child")))
		}
		for n := 1; n <= people; n++ {
			w.hire(n, rapid.SliceOfNDistinct(rapid.IntRange(1, groups), 0, 2, rapid.ID[int]).Draw(rt, "in")...)
			setPerson(w, n, func(p *pull.Person) {
				p.Enabled, p.Guest = rapid.IntRange(0, 4).Draw(rt, "enabled") > 0, rapid.IntRange(0, 3).Draw(rt, "guest") == 0
			})
		}
		var settings []directory.Integration
		for _, env := range envs {
			if rapid.IntRange(0, 4).Draw(rt, "paused") == 0 {
				w.integrate(env, directory.IntegrationInput{Paused: flag("paused")})
			}
			settings = append(settings, view(w, func(sn *directory.Snapshot) (*directory.Environment, error) { return sn.Environment(env) }).Integration)
		}
		for range 4 {
			n := rapid.IntRange(1, people).Draw(rt, "signs in")
			before := w.everybody(envs, people)
			known := w.userOf(n) != nil
			want, entitled := w.rules(n, settings)
			provisioned, err := w.person(n)
			if err != nil || provisioned != (want || known) {
				rt.Fatalf("person %d: provisioned %t, error %v; want %t", n, provisioned, err, want || known)
			}
			after := w.everybody(envs, people)
			for i, env := range envs {
				at := fmt.Sprint(n, " ", env)
				if is := after[at]; is && !entitled[i] || !is && want && entitled[i] && w.takes(n, settings[i]) {
					rt.Errorf("person %d has access to environment %d: %t, by the rules %t", n, i, is, entitled[i])
				}
				if !known {
					delete(after, at)
					delete(before, at)
				}
			}
			if diff := cmp.Diff(before, after); diff != "" {
				rt.Errorf("somebody else was touched (-before +after):\n%s", diff)
			}
		}
	})
}

// takes reports whether the pull of an environment takes a person.
func (w *world) takes(n int, in directory.Integration) bool {
	for _, p := range w.dir.State().People {
		if p.ID == pulltest.ID(n) {
			return p.Enabled && !in.Paused && (in.Guests || !p.Guest)
		}
	}
	return false
}

// rules work out from the directory alone whether a person is to be provisioned, and to which environments rule 1 entitles
// the person.
func (w *world) rules(n int, settings []directory.Integration) (provisioned bool, entitled []bool) {
	for _, in := range settings {
		is := false
		for _, g := range in.Groups {
			is = is || w.within(n, g, in.Transitive, map[string]bool{})
		}
		entitled = append(entitled, is)
		provisioned = provisioned || is && w.takes(n, in)
	}
	return provisioned, entitled
}

// within reports whether a person is in a group.
func (w *world) within(n int, group string, transitive bool, seen map[string]bool) bool {
	if seen[group] {
		return false
	}
	seen[group] = true
	for _, g := range w.dir.State().Groups {
		if g.ID != group {
			continue
		}
		for _, id := range g.People {
			if id == pulltest.ID(n) {
				return true
			}
		}
		for _, child := range g.Nested {
			if transitive && w.within(n, child, true, seen) {
				return true
			}
		}
	}
	return false
}

// everybody is who has access to what.
func (w *world) everybody(envs []directory.ID, people int) map[string]bool {
	all := map[string]bool{}
	for n := 1; n <= people; n++ {
		for _, env := range envs {
			all[fmt.Sprint(n, " ", env)] = w.hasAccess(n, env)
		}
	}
	for n := 101; n <= 102; n++ {
		for _, env := range envs {
			all[fmt.Sprint(n, " ", env)] = w.hasAccess(n, env)
		}
	}
	return all
}
