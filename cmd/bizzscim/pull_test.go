package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app"
)

func TestProgressOf(t *testing.T) {
	for want, tt := range map[string]struct {
		run  app.Run
		took time.Duration
	}{
		"":                                {app.Run{}, time.Second},
		"read: 0 people":                  {app.Run{Stage: "read"}, time.Minute},
		"read: 12,000 people, 6,000/s":    {app.Run{Stage: "read", Done: 12000}, 2 * time.Second},
		"apply: 30 of 1,200 people":       {app.Run{Stage: "apply", Done: 30, Total: 1200}, time.Millisecond},
		"apply: 30 of 40 people, 10/s":    {app.Run{Stage: "apply", Done: 30, Total: 40}, 3 * time.Second},
		"confirm: 7 of 7 people, 7/s":     {app.Run{Stage: "confirm", Done: 7, Total: 7}, time.Second},
		"plan: 0 of 100,000 people":       {app.Run{Stage: "plan", Total: 100_000}, time.Second},
		"apply: 1 of 3 people, 0/s":       {app.Run{Stage: "apply", Done: 1, Total: 3}, 10 * time.Second},
		"read: 1,000,000 people, 1,000/s": {app.Run{Stage: "read", Done: 1_000_000}, 1000 * time.Second},
	} {
		if got := progressOf(tt.run, tt.took); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestChangesOf(t *testing.T) {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	got := changesOf([]app.Change{{Name: "userName", Old: raw(`"a"`), New: raw(`"b"`)}, {Name: "groups", New: raw(`["Sales","Nordic"]`)},
		{Name: "groups", Old: raw(`["Finance"]`)}, {Name: "active", Old: raw(`true`), New: raw(`false`)}})
	if want := "userName: a → b; groups: + Sales, Nordic; groups: - Finance; active: true → false"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestNextSteps: whatever a run ended in, what is to be typed next is said, and nothing where nothing is to be done.
func TestNextSteps(t *testing.T) {
	env, tenant := app.Named{ID: "e", Name: "Fjord East"}, &app.Named{ID: "t", Name: "fjord"}
	for name, tt := range map[string]struct {
		run  app.Run
		want string
	}{
		"complete":            {app.Run{State: "complete", Drift: 3}, ""},
		"running":             {app.Run{State: "running"}, ""},
		"quarantined":         {app.Run{ID: "r", State: "quarantined", Hash: "h"}, "bizzscim run show r --all|bizzscim run allow r --hash h --reason TEXT|bizzscim run discard r"},
		"quarantined again":   {app.Run{ID: "r", State: "quarantined", Hash: "h", PlanOf: "first"}, "bizzscim run show first --all|bizzscim run allow first --hash h --reason TEXT|bizzscim run discard first"},
		"preview":             {app.Run{ID: "r", State: "preview", Drift: 3}, `bizzscim sync "Fjord East"`},
		"preview that stops":  {app.Run{ID: "r", State: "preview", Drift: 3, Hash: "h"}, `bizzscim run show r --all|bizzscim sync "Fjord East"`},
		"preview of nothing":  {app.Run{State: "preview"}, ""},
		"no group":            {app.Run{ID: "r", State: "quarantined", Error: &app.RunError{Class: "scope missing"}}, `bizzscim env set "Fjord East" --groups ID,ID|bizzscim run discard r`},
		"a permission":        {app.Run{State: "failed", Error: &app.RunError{Class: "permission"}}, "bizzscim tenant credential test fjord"},
		"a credential":        {app.Run{State: "failed", Error: &app.RunError{Class: "authentication"}}, "bizzscim tenant credential test fjord"},
		"throttled":           {app.Run{State: "failed", Error: &app.RunError{Class: "throttled"}}, ""},
		"no tenant was found": {app.Run{State: "failed", Error: &app.RunError{Class: "configuration"}}, ""},
	} {
		run := tt.run
		run.Environment = env
		if name != "no tenant was found" {
			run.Tenant = tenant
		}
		if got := strings.Join(nextSteps(run), "|"); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestVerdictIsTheExitCode(t *testing.T) {
	for state, bad := range map[string]bool{"complete": false, "preview": false, "quarantined": true, "failed": true, "cancelled": true, "interrupted": true} {
		if err := verdict(app.Run{State: state, Error: &app.RunError{Detail: "why"}}); (err != nil) != bad {
			t.Errorf("%s: %v", state, err)
		}
	}
}
