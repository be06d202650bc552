// Package e2e_test runs the console in a real browser: a real server on a real store, a simulated Entra
// tenant that pushes people and signs them in, and Chromium. Each scenario is a function of
// scenarios.mjs.
package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/entrasim"
)

// scenarios of scenarios.mjs. A life of zero is that of a real session.
var scenarios = []struct {
	name string
	life time.Duration
}{
	{"login and use", 0},
	{"deactivated while the page is open", 0},
	{"sign out everywhere", 0},
	{"sign out of the directory too", 0},
	{"front-channel logout", 0},
	{"pages that say no", 0},
	{"without JavaScript", 0},
	{"the first operator", 0},
	{"keyboard, small screens, dark, Dutch", 0},
	{"on the way to the directory", 0},
	{"tabs tell each other", 0},
	{"the page asks again when it comes back", 0},
	{"the last ten minutes", 0},
	{"what was typed is not lost unasked", 0},
	{"warning and automatic sign-out", 48 * time.Second},
	{"sign in again from the warning", 66 * time.Second},
}

// TestMain lets more of them run at the same time than there are processors: most of the time they wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if runtime.GOMAXPROCS(0) < 4 {
		_ = flag.Set("test.parallel", "4")
	}
	os.Exit(m.Run())
}

func TestBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes its time")
	}
	t.Parallel()
	node, chromium := need(t, "node", "node"), need(t, "chromium", "chromium", "chromium-browser", "google-chrome")
	if _, err := os.Stat("node_modules/playwright-core"); err != nil {
		missing(t, "chromium", "playwright-core is missing: run npm ci in console/e2e, or make test")
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s.life)
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, node, "run.mjs", s.name)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			cmd.Env = append(os.Environ(), "E2E="+w.describe(chromium))
			cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it closes its browser
			cmd.WaitDelay = 10 * time.Second
			if err := cmd.Run(); err != nil {
				t.Errorf("%v\n%s", err, out.String())
			}
		})
	}
}

// TestEveryScenarioIsRun keeps the two lists together.
func TestEveryScenarioIsRun(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("scenarios.mjs")
	if err != nil {
		t.Fatal(err)
	}
	var written []string
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "scenario('"); ok {
			name, _, _ = strings.Cut(name, "'")
			written = append(written, name)
		}
	}
	var run []string
	for _, s := range scenarios {
		run = append(run, s.name)
	}
	slices.Sort(written)
	slices.Sort(run)
	if !slices.Equal(written, run) {
		t.Errorf("scenarios.mjs has %q, run are %q", written, run)
	}
}

// need finds a program; without it the test is skipped, unless BIZZSCIM_REQUIRE names it.
func need(t *testing.T, what string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if what == "node" {
		what = "chromium" // the one is there for the other
	}
	missing(t, what, names[0]+" is missing: on Debian, apt install chromium nodejs npm")
	return ""
}

func missing(t *testing.T, what, text string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("BIZZSCIM_REQUIRE"), ","), what) {
		t.Fatal(text)
	}
	t.Skip(text)
}

// world is a server with a tenant of a few people.
type world struct {
	t           *testing.T
	app         *app.App
	tenant      *entrasim.Tenant
	graph       *entrasim.Graph
	environment *directory.Environment
	ours        *directory.Tenant
	people      map[string]entrasim.User
	scimIDs     map[string]string
	token       string
	setup       string
}

var operator = directory.Actor{Role: directory.RoleOperator, Channel: "test"}

func newWorld(t *testing.T, life time.Duration) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{t: t, people: map[string]entrasim.User{}, scimIDs: map[string]string{}}
	w.tenant = entrasim.New(entrasim.Options{Seed: 11})
	g, err := entrasim.NewGraph(w.tenant, entrasim.GraphOptions{Seed: 11})
	w.must(err)
	w.graph = g
	t.Cleanup(func() { _ = g.Close() })

	ca := filepath.Join(t.TempDir(), "ca.pem")
	w.must(os.WriteFile(ca, g.CA(), 0o600))
	notices := make(chan string, 4)
	w.app, err = app.New(app.Config{Data: t.TempDir(), Listen: "127.0.0.1:0", CAFile: ca, Session: app.SessionConfig{Life: life}},
		app.Options{Notice: func(text string) { notices <- text }})
	w.must(err)
	t.Cleanup(func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if err := w.app.Close(stop); err != nil {
			t.Error(err)
		}
	})
	w.must(w.app.Start(ctx))
	select {
	case text := <-notices:
		w.setup = text[strings.Index(text, w.app.URL()):]
		w.setup, _, _ = strings.Cut(w.setup, "\n")
	default:
		t.Fatal("the first start printed no link for the first operator")
	}
	w.connect(ctx)
	w.push(ctx)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// connect makes the tenant with its sign-in application, and an environment that syncs one group.
func (w *world) connect(ctx context.Context) {
	w.t.Helper()
	svc := w.app.Service()
	org, err := svc.CreateOrganization(ctx, operator, "Fjord Logistics")
	w.must(err)
	a := w.graph.App("")
	w.ours, err = svc.CreateTenant(ctx, operator, directory.Tenant{Name: "fjord", OrganizationIDs: []directory.ID{org.ID}, DirectoryID: w.tenant.ID(),
		TrustedDomains: []string{w.tenant.Domain()}, Graph: directory.Graph{Cloud: "custom", LoginURL: w.graph.LoginURL(), GraphURL: w.graph.URL()},
		SignIn: directory.SignIn{ClientID: a.ClientID(), Label: "Fjord Logistics", Contact: "servicedesk@fjord.example"}})
	w.must(err)
	a.SignIn(entrasim.SignInSettings{RedirectURIs: []string{w.app.URL() + "/auth/callback", w.app.URL() + "/signed-out"},
		FrontChannelLogoutURL: w.app.URL() + "/auth/frontchannel-logout/" + w.ours.ID.String(),
		OptionalClaims:        []string{entrasim.ClaimSID, entrasim.ClaimLoginHint}})
	w.secret(a.NewSecret(time.Now().Add(time.Hour)))

	group := w.tenant.CreateGroup("BizzStream users")
	for _, name := range []string{"Marta", "Jonas", "Ana"} {
		p := w.tenant.Hire(entrasim.Person{GivenName: name, Surname: "Berg"})
		w.must(w.tenant.AddMember(group.ID, p.ID))
		w.people[name] = p
	}
	w.environment, err = svc.CreateEnvironment(ctx, operator, org.ID, "Production")
	w.must(err)
	on := true
	_, _, err = svc.SetIntegration(ctx, operator, w.environment.ID, directory.IntegrationInput{Enabled: &on, TenantID: &w.ours.ID, Groups: []string{group.ID}, DefaultMenus: []string{"Main"}})
	w.must(err)
}

// secret gives the tenant the secret of its sign-in application, as an operator does.
func (w *world) secret(text string) {
	w.t.Helper()
	_, err := app.Call(w.t.Context(), w.app.Client(), app.CredentialSet, app.CredentialInput{Tenant: "fjord", For: directory.SignInCredential, Secret: text})
	w.must(err)
}

// push lets the directory provision its people.
func (w *world) push(ctx context.Context) {
	w.t.Helper()
	secret := auth.NewSecret()
	_, err := w.app.Service().CreateToken(ctx, operator, w.ours.ID, directory.NewToken{Name: "Entra", Hash: secret.Hash, Hint: secret.Hint})
	w.must(err)
	w.token = secret.Text
	p, err := entrasim.NewProvisioner(w.tenant, entrasim.ProvisionerOptions{Base: w.app.URL() + "/scim/fjord/v2", Token: w.token, ObjectIDAsExternalID: true, SyncAll: true})
	w.must(err)
	defer p.Close()
	if s, err := p.Cycle(ctx); err != nil || s.Failed > 0 {
		w.t.Fatalf("%v\n%s", err, s)
	}
	w.must(w.app.Service().View(ctx, func(sn *directory.Snapshot) error {
		for name, person := range w.people {
			object, _ := directory.ParseID(person.ID)
			ids, err := sn.UsersByObjectID(w.ours.ID, object)
			if err != nil {
				return err
			}
			if len(ids) != 1 {
				w.t.Fatalf("%s is there %d times", name, len(ids))
			}
			w.scimIDs[name] = ids[0].String()
		}
		return nil
	}))
	w.people["Stranger"] = w.tenant.Hire(entrasim.Person{GivenName: "Sigrid", Surname: "Dahl"}) // whom nobody has pushed
}

// describe tells a scenario what there is.
func (w *world) describe(chromium string) string {
	type person struct {
		UPN  string `json:"upn"`
		Name string `json:"name"`
		SCIM string `json:"scim"`
	}
	people := map[string]person{}
	for name, p := range w.people {
		people[name] = person{p.UserPrincipalName, p.DisplayName, w.scimIDs[name]}
	}
	text, err := json.Marshal(map[string]any{"chromium": chromium, "base": w.app.URL(), "scim": w.app.URL() + "/scim/fjord/v2", "token": w.token,
		"login": w.graph.LoginURL(), "directory": w.tenant.ID(), "domain": w.tenant.Domain(), "environment": w.environment.ID.String(), "setup": w.setup, "people": people,
		"shots": os.Getenv("E2E_SHOTS")})
	w.must(err)
	return string(text)
}
