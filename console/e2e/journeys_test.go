package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/entrasim"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// journeys of journeys.mjs: what people come here for, from beginning to end.
var journeys = []string{
	"an operator sets up a tenant and an environment",
	"an Entra administrator connects by the setup link",
	"an administrator previews, syncs, meets quarantine, allows once",
	"help desk finds out why a person has no access",
	"a period is in the time of the viewer",
	"the longest names stay within the page",
	"a form is sent once, and a text that cannot be copied is selected",
	"a page that is not kept up to date says so",
	"what is wrong is in sight",
	"what changes by itself leaves people where they are",
	"what was made is not made again",
	"a setup link that has ended says so",
	"a clock that is wrong misleads nobody",
	"what was typed when the session ended is there again",
	"by the keyboard alone",
	"a list of more than a thousand rows",
}

func TestJourneys(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes its time")
	}
	t.Parallel()
	node, chromium := need(t, "node", "node"), need(t, "chromium", "chromium", "chromium-browser", "google-chrome")
	if _, err := os.Stat("node_modules/playwright-core"); err != nil {
		missing(t, "chromium", "playwright-core is missing: run npm ci in console/e2e, or make test")
	}
	for _, name := range journeys {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := apptest.New(t, nil)
			d := newOutside(t, w)
			if strings.Contains(name, "a thousand rows") {
				crowd(w, 1050)
			}
			world, err := json.Marshal(map[string]any{"chromium": chromium, "base": w.Server.URL, "outside": d.URL,
				"operator": w.SignIn(w.Boss).Session(), "administrator": w.SignIn(w.Fjord.Admin).Session(), "partner": w.SignIn(w.Fjord.Partner).Session(),
				"partnerAccount": w.Fjord.Partner.ID, "tenant": w.Fjord.Tenant.ID, "production": w.Fjord.Production.ID, "directory": w.Fjord.Tenant.DirectoryID, "group": w.Fjord.GroupID, "person": w.SignIn(w.Fjord.Plain).Session(), "password": passwordLink(w)})
			w.Must(err)
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, node, "run.mjs", name)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			cmd.Env = append(os.Environ(), "E2E="+string(world))
			cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it closes its browser
			cmd.WaitDelay = 10 * time.Second
			if err := cmd.Run(); err != nil {
				t.Errorf("%v\n%s", err, out.String())
			}
		})
	}
}

// newOutside serves what happens outside of the browser: POST /push {base, token} lets a simulated Entra provision twelve
// people and a group; POST /staff {people} makes the directory's group Sales hold that many people; POST /leave
// {upn} takes somebody out of it by push; POST /out {who} ends the sessions of partner or other, and POST /in {who} begins one.
func newOutside(t *testing.T, w *apptest.World) *httptest.Server {
	mux := http.NewServeMux()
	handle := func(path string, do func(in map[string]any) (any, error)) {
		mux.HandleFunc("POST "+path, func(rw http.ResponseWriter, r *http.Request) {
			var in map[string]any
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
				http.Error(rw, err.Error(), http.StatusBadRequest)
				return
			}
			out, err := do(in)
			if err != nil {
				http.Error(rw, err.Error(), http.StatusInternalServerError)
				return
			}
			_ = json.NewEncoder(rw).Encode(out)
		})
	}
	handle("/push", func(in map[string]any) (any, error) {
		return provision(t.Context(), w, fmt.Sprint(in["base"]), fmt.Sprint(in["token"]))
	})
	handle("/staff", func(in map[string]any) (any, error) {
		n, _ := in["people"].(float64)
		return nil, staff(w, int(n))
	})
	handle("/leave", func(in map[string]any) (any, error) { return nil, leave(w, fmt.Sprint(in["upn"])) })
	people := map[string]*directory.Account{"partner": w.Fjord.Partner, "other": w.Nordwind.Partner}
	handle("/out", func(in map[string]any) (any, error) {
		return w.Service.EndSessions(t.Context(), apptest.Operator, people[fmt.Sprint(in["who"])].ID, directory.ID{}, directory.EndedRevoked)
	})
	handle("/in", func(in map[string]any) (any, error) {
		return map[string]string{"session": w.SignIn(people[fmt.Sprint(in["who"])]).Session()}, nil
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// passwordLink is a link by which the operator sets a password.
func passwordLink(w *apptest.World) string {
	w.Helper()
	link, err := app.Call(w.Context(), w.App.Client(), app.OperatorResetPassword, app.OperatorRef{Email: w.Boss.Email})
	w.Must(err)
	return link.URL
}

// crowd lets Fjord's directory push n people in a group, and as many groups.
func crowd(w *apptest.World, n int) {
	w.Helper()
	by := directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: w.Fjord.Tenant.ID.String()}
	in := func(schema string, v map[string]any) (schemas, attributes []byte) {
		text, err := json.Marshal(v)
		w.Must(err)
		return []byte(`["urn:ietf:params:scim:schemas:core:2.0:` + schema + `"]`), text
	}
	w.Must(w.Service.Together(w.Context(), func(b *directory.Batch) error {
		var members []directory.ID
		for i := range n {
			name, mail := fmt.Sprintf("Person %04d", i), fmt.Sprintf("person%04d@fjord.example", i)
			schemas, attributes := in("User", map[string]any{"userName": mail, "displayName": name, "active": true})
			u, err := b.CreateUser(by, w.Fjord.Tenant.ID, pulltest.ID(5000+i), directory.UserInput{Profile: directory.Profile{UserName: mail, ExternalID: pulltest.ID(5000 + i).String(), Name: name, Email: mail, Active: true},
				Schemas: schemas, Attributes: attributes})
			if err != nil {
				return err
			}
			members = append(members, u.ID)
			name = fmt.Sprintf("Department %04d", i)
			schemas, attributes = in("Group", map[string]any{"displayName": name})
			if _, err := b.CreateGroup(by, w.Fjord.Tenant.ID, pulltest.ID(10_000+i), directory.GroupInput{DisplayName: name, Schemas: schemas, Attributes: attributes}, nil); err != nil {
				return err
			}
		}
		schemas, attributes := in("Group", map[string]any{"displayName": "All staff"})
		_, err := b.CreateGroup(by, w.Fjord.Tenant.ID, pulltest.ID(9999), directory.GroupInput{DisplayName: "All staff", Schemas: schemas, Attributes: attributes}, members)
		return err
	}))
}

// provision is one cycle of an enterprise application of Entra.
func provision(ctx context.Context, w *apptest.World, base, token string) (any, error) {
	tenant := entrasim.New(entrasim.Options{Seed: 3})
	group := tenant.CreateGroup("BizzStream users")
	for i := range 12 {
		if err := tenant.AddMember(group.ID, tenant.Hire(entrasim.Person{GivenName: fmt.Sprintf("Person%d", i), Surname: "Holm"}).ID); err != nil {
			return nil, err
		}
	}
	p, err := entrasim.NewProvisioner(tenant, entrasim.ProvisionerOptions{Base: base, Token: token, ObjectIDAsExternalID: true, SyncAll: true, Client: w.Server.Client()})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	s, err := p.Cycle(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]any{"failed": s.Failed, "group": group.ID}, nil
}

// staff makes the group of the directory that pulls read hold n people besides the three who are there.
func staff(w *apptest.World, n int) error {
	var people []directory.ID
	for i := range n {
		p := pulltest.NewPerson(1000 + i)
		w.Directory.SetPerson(p)
		people = append(people, p.ID)
	}
	for i := range 3 {
		people = append(people, pulltest.ID(100+i))
	}
	w.Directory.SetMembers(w.Fjord.GroupID, people...)
	return nil
}

// leave takes somebody out of the group, as a push does.
func leave(w *apptest.World, upn string) error {
	by := directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: w.Fjord.Tenant.ID.String()}
	for _, u := range w.Fjord.Users {
		if u.UserName != upn {
			continue
		}
		_, err := w.Service.UpdateGroup(w.Context(), by, w.Fjord.Tenant.ID, w.Fjord.Group.ID, func(g *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
			return directory.GroupInput{DisplayName: g.DisplayName, ExternalID: g.ExternalID, Schemas: g.Schemas, Attributes: g.Attributes}, m.Remove([]directory.ID{u.ID})
		})
		return err
	}
	return fmt.Errorf("nobody is called %s", upn)
}
