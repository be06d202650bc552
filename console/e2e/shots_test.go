package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/directory"
)

// A shot is a page of which pictures are taken: light and dark, wide and narrow.
type shot struct {
	name string
	who  func(*apptest.World) *directory.Account // nil: somebody without a session
	path func(*apptest.World) string             // an address of another server is whole
	open string                                  // CSS selector of what is clicked before, or SELECTOR := TEXT to type; several are set apart by " ; "; empty: nothing
}

func boss(w *apptest.World) *directory.Account  { return w.Boss }
func admin(w *apptest.World) *directory.Account { return w.Fjord.Admin }

func at(path string) func(*apptest.World) string { return func(*apptest.World) string { return path } }

// shots are the pages of the console.
var shots = slices.Concat(environmentShots, runShots, tenantShots, userShots, logShots, webhookShots, apiTokenShots, settingsShots, peopleShots)

// parts are the CSS selectors from which on further pictures of a long page are taken: NAME-2 and so on.
var parts = map[string][]string{
	"environment-integration-admin": {"section[aria-labelledby=s-groups]", "section[aria-labelledby=s-users]", "details:has(fieldset.stops)"},
	"environment-integration-found": {".field.find"},
	"tenants-guide":                 {"ol.guide > li:nth-child(2)", "ol.guide > li:nth-child(3)", "ol.guide > li:nth-child(5)", "ol.guide > li:nth-child(7)"},
	"tenants-connect":               {"ol.guide > li:nth-child(3)", "ol.guide > li:nth-child(5)"},
	"tenants-test":                  {`section:has(form[action$="/test"])`},
	"tenants-settings":              {"section[aria-labelledby=scim]"},
	"log-disable":                   {"#h-props"},
}

// TestShots takes pictures of the pages into the folder that SHOTS names, of those alone whose name matches
// SHOTS_ONLY. make screenshots runs it for docs/images.
func TestShots(t *testing.T) {
	folder := os.Getenv("SHOTS")
	if folder == "" {
		t.Skip("SHOTS names no folder")
	}
	folder, err := filepath.Abs(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	taken := t.TempDir()
	out := showShots(t, "shots.mjs", map[string]any{"folder": taken})
	t.Logf("%s%.1f MB in %s", out, float64(shrink(t, taken, folder))/1e6, folder)
}

// TestPagesAreAccessible looks at every page with axe (WCAG 2.2 AA and its best practice), in light and dark, wide and
// at 320 px, where no page may scroll sideways (WCAG 1.4.10): one of each kind, and all states of all of them, at 320 px with axe too, with
// BIZZSCIM_AXE=all.
func TestPagesAreAccessible(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes its time")
	}
	t.Parallel()
	out := showShots(t, "axe.mjs", map[string]any{"all": os.Getenv("BIZZSCIM_AXE") == "all"})
	for line := range strings.Lines(out) {
		if found, ok := strings.CutPrefix(line, "found "); ok {
			t.Error(strings.TrimSpace(found))
		}
	}
	if !strings.Contains(out, "seen ") {
		t.Errorf("no page was looked at:\n%s", out)
	}
}

// showShots makes a world of everything that pages show, and runs a script over those whose name matches SHOTS_ONLY.
func showShots(t *testing.T, script string, in map[string]any) string {
	t.Helper()
	only := regexp.MustCompile(os.Getenv("SHOTS_ONLY"))
	node, chromium := need(t, "node", "node"), need(t, "chromium", "chromium", "chromium-browser", "google-chrome")
	if _, err := os.Stat("node_modules/playwright-core"); err != nil {
		missing(t, "chromium", "playwright-core is missing: run npm ci in console/e2e, or make test")
	}
	w := apptest.New(t, nil)
	_, err := w.App.Desk().Seal([]byte("x"), "shots") // makes the key file: beside secrets that it does not open there would be none
	w.Must(err)
	for _, furnish := range furnishings {
		furnish(w)
	}
	type page struct {
		Name   string `json:"name"`
		URL    string `json:"url"`
		Cookie string `json:"cookie"`
		Open   string `json:"open"`

		Parts []string `json:"parts"`
	}
	var pages []page
	sessions := map[directory.ID]string{} // one for each account: it can have only so many
	for _, s := range shots {
		if !only.MatchString(s.name) {
			continue
		}
		p := page{Name: s.name, URL: s.path(w), Open: s.open, Parts: parts[s.name]}
		if strings.HasPrefix(p.URL, "/") {
			p.URL = w.Server.URL + p.URL
		}
		if s.who != nil {
			account := s.who(w)
			if sessions[account.ID] == "" {
				sessions[account.ID] = w.SignIn(account).Session()
			}
			p.Cookie = sessions[account.ID]
		}
		pages = append(pages, p)
	}
	in["chromium"], in["pages"], in["ahead"] = chromium, pages, time.Until(w.Now()).Milliseconds()
	text, err := json.Marshal(in)
	w.Must(err)
	ctx := t.Context()
	if deadline, ok := t.Deadline(); ok { // what was found until then is said
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-30*time.Second))
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, node, script)
	cmd.Env = append(os.Environ(), "SHOTS="+string(text))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it closes its browser
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return out.String()
}

// furnishings fill a world with what pages show. The clock goes forward only: what is found by its time is in order.
var furnishings = []func(*apptest.World){furnishEnvironments, furnishRuns, furnishTenants, furnishUsers, furnishSettings, furnishLog, furnishWebhooks, furnishAPITokens, furnishRunning, furnishRefused}
