package e2e_test

import (
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// What furnishRuns leaves: runs by what they show.
var furnished = map[string]directory.ID{}

func runPage(name, query string) func(*apptest.World) string {
	return func(*apptest.World) string { return "/runs/" + furnished[name].String() + query }
}

func partner(w *apptest.World) *directory.Account { return w.Fjord.Partner }

var runShots = []shot{
	{"runs", boss, at("/runs"), ""},
	{"runs-none", boss, at("/runs?state=interrupted"), ""},
	{"run-preview", admin, runPage("preview", ""), ""},
	{"run-done", boss, runPage("done", ""), ""},
	{"run-quarantined", admin, runPage("quarantined", ""), ""},
	{"run-allow", admin, runPage("quarantined", "?kind=loses"), "details.confirm summary"},
	{"run-quarantined-partner", partner, runPage("quarantined", ""), ""},
	{"run-failed", boss, runPage("failed", ""), ""},
	{"run-running", boss, runPage("running", ""), "details.confirm summary"},
	{"run-discarded", boss, runPage("discarded", ""), ""},
}

var runNames = []string{"Eva Lindqvist", "Sander de Vries", "Ingrid Halvorsen", "Tomás Herrera", "Aylin Demir", "Pieter Jansen", "Freya Nilsson", "Luca Bianchi", "Noor Bakker", "Oskar Kowalski",
	"Mei Tanaka", "Hugo Lefèvre", "Sofia Andersen", "Daan Visser", "Amara Okafor", "Ruben Smit", "Clara Hoffmann", "Jasper Mulder", "Nadia Rahman", "Emil Sørensen",
	"Lotte van den Berg", "Karim Haddad", "Anna Wiśniewska", "Bram Peters", "Isabel Costa", "Magnus Eriksen", "Yara Meijer", "Felix Wagner", "Zoë Claes", "Marek Novák"}

// runsMade is how long furnishRuns goes on.
const runsMade = 300 * time.Minute

// furnishRuns makes the history of Fjord's Production: a first plan that was allowed, quiet runs, a failure, a quarantine.
func furnishRuns(w *apptest.World) {
	f := &runFurniture{World: w, left: runsMade, by: directory.Actor{Role: directory.RoleEnvironment, Channel: "console", ID: w.Fjord.Admin.ID.String(),
		Reach: &directory.Reach{Environments: []directory.ID{w.Fjord.Production.ID}}}}
	people := f.hire(w.Fjord.GroupID, 1000, 4*len(runNames))
	f.sync("preview", 300, desk.SyncRequest{Preview: true})
	first := f.sync("first", 285, desk.SyncRequest{})
	f.at(282)
	next, err := w.App.Desk().AllowRun(w.Context(), f.by, first.ID, first.Hash, "Ticket 4711: go-live of Fjord, list checked with HR")
	w.Must(err)
	f.keep("allowed", next.ID)
	for i := range 12 {
		for j := range []int{0, 3, 0, 1, 0, 7}[i%6] {
			w.Directory.Change(people[5*i+j], func(p *pull.Person) {
				p.DisplayName += "-Berg"
				p.Mail = strings.ToLower(strings.ReplaceAll(p.DisplayName, " ", ".")) + "@fjord.example"
			})
		}
		f.sync("done", 265-15*i, desk.SyncRequest{})
	}
	w.Source.SetError(pulltest.OpMembers, &pull.Error{Class: pull.Permission, Status: 403, Code: "Authorization_RequestDenied", RequestID: "6f1d0a52-7c1e-4f3c-9a5b-0f5d9f4f4c1e",
		Detail: "Microsoft Graph refuses to list the members of \"Sales\": the application needs the application permission GroupMember.Read.All, with admin consent"})
	f.sync("failed", 70, desk.SyncRequest{})
	w.Source.SetError(pulltest.OpMembers, nil)
	w.Directory.Remove(w.Fjord.GroupID, people[:20]...)
	discarded := f.sync("discarded", 50, desk.SyncRequest{})
	_, err = w.App.Desk().DiscardRun(w.Context(), f.by, discarded.ID, "The rule of the group was edited by mistake")
	w.Must(err)
	w.Directory.Remove(w.Fjord.GroupID, people[20:42]...)
	f.hire(w.Fjord.GroupID, 1900, 2)
	f.sync("quarantined", 6, desk.SyncRequest{})
	f.at(0)
}

// runFurniture makes runs as an administrator of Fjord would.
type runFurniture struct {
	*apptest.World
	by   directory.Actor
	left time.Duration // of runsMade
}

// at moves the clock on until so many minutes before the end of runsMade.
func (f *runFurniture) at(minutes int) {
	left := time.Duration(minutes) * time.Minute
	f.Advance(f.left - left)
	f.left = left
}

func (f *runFurniture) hire(group string, from, n int) (ids []directory.ID) {
	for i := range n {
		p := pulltest.NewPerson(from + i)
		p.DisplayName = runNames[i%len(runNames)]
		if i >= len(runNames) {
			p.DisplayName += " " + string(rune('A'+i/len(runNames)%26))
		}
		f.Directory.SetPerson(p)
		ids = append(ids, p.ID)
	}
	f.Directory.Add(group, ids...)
	return ids
}

// sync makes a run that begins so many minutes before the end of runsMade.
func (f *runFurniture) sync(name string, minutes int, in desk.SyncRequest) *directory.Run {
	f.at(minutes)
	f.by.RequestID = name
	run, _, err := f.App.Desk().Sync(f.Context(), f.by, f.Fjord.Production.ID, in)
	f.Must(err)
	return f.keep(name, run.ID)
}

func (f *runFurniture) keep(name string, id directory.ID) *directory.Run {
	run := f.WaitRun(id)
	furnished[name] = id
	run.Ended = run.Ended.Add(900*time.Millisecond + f.left*37/60/1000%(700*time.Millisecond))
	f.Must(f.Service.SaveRun(f.Context(), run, nil))
	return run
}

// furnishRunning begins a run of Nordwind's that stops in the middle of its read until the test ends.
func furnishRunning(w *apptest.World) {
	f := &runFurniture{World: w}
	f.hire(f.Nordwind.GroupID, 3000, 1200)
	preview, _, err := f.App.Desk().Sync(f.Context(), apptest.Operator, f.Nordwind.Production.ID, desk.SyncRequest{Preview: true})
	f.Must(err)
	f.WaitRun(preview.ID)
	there, ctx := make(chan struct{}), f.Context()
	f.Source.Hook(func(c pulltest.Call) {
		if c.Op == pulltest.OpMembers && c.When == pulltest.During && c.Group == f.Nordwind.GroupID && c.Delivered == 1001 {
			close(there)
			<-ctx.Done()
		}
	})
	run, _, err := f.App.Desk().Sync(ctx, apptest.Operator, f.Nordwind.Production.ID, desk.SyncRequest{})
	f.Must(err)
	<-there
	furnished["running"] = run.ID
}
