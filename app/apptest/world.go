// Package apptest runs the whole program within a test: a real store, real HTTP over TLS, two organizations that
// must not see one another, and a directory in memory that pulls read. It signs people in without a browser, by a
// session of their own.
package apptest

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// Operator is who sets things up.
var Operator = directory.Actor{Role: directory.RoleOperator, Channel: "test", ID: "setup"}

// Customer is an organization with what it has.
type Customer struct {
	Organization *directory.Organization
	Tenant       *directory.Tenant
	Production   *directory.Environment // with an integration of Group
	Finance      *directory.Environment // without
	Group        *directory.Group       // "Sales"; GroupID is its object id
	GroupID      string
	Users        []*directory.User  // three, all in Group: Marta, Jonas, Ana
	Token        string             // Secret Token of the tenant
	Admin        *directory.Account // Marta: environment administrator of Production
	Partner      *directory.Account // Jonas: partner of the organization
	Plain        *directory.Account // Ana: a user
}

// World is a server with two customers.
type World struct {
	testing.TB
	App       *app.App
	Service   *directory.Service
	Server    *httptest.Server
	Directory *pulltest.Directory // read by pulls of Fjord; people are numbered from 1 and groups from 1
	Source    *pulltest.Source
	Fjord     *Customer
	Nordwind  *Customer
	Boss      *directory.Account // an operator with a local login

	mu     sync.Mutex
	offset time.Duration
}

// Now is the clock of the server.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.offset)
}

// Advance moves the clock of the server.
func (w *World) Advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.offset += d
}

// WaitRun waits for the end of a pull and returns it.
func (w *World) WaitRun(id directory.ID) *directory.Run {
	w.Helper()
	run, err := w.App.Pull().Wait(w.Context(), id)
	w.Must(err)
	return run
}

// Must ends the test with an error.
func (w *World) Must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// New starts a server. change, unless nil, edits its configuration.
func New(t testing.TB, change func(*app.Config)) *World {
	t.Helper()
	w := NewEmpty(t, change)
	w.Fjord = w.customer("Fjord Logistics", "fjord", 1)
	w.Nordwind = w.customer("Nordwind Trading", "nordwind", 2)
	return w
}

// NewEmpty serves the product as it is on its first day: with an operator, Boss, and nothing else.
func NewEmpty(t testing.TB, change func(*app.Config)) *World {
	t.Helper()
	w := &World{TB: t, Directory: pulltest.NewDirectory()}
	w.Source = pulltest.NewSource(w.Directory)
	w.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.App.Handler().ServeHTTP(rw, r) }))
	w.Server.Config.ErrorLog = log.New(io.Discard, "", 0) // browsers that do not trust its certificate at first
	w.Server.StartTLS()
	c := app.Config{Data: t.TempDir(), Listen: "127.0.0.1:0", BaseURL: w.Server.URL}
	if change != nil {
		change(&c)
	}
	var err error
	w.App, err = app.New(c, app.Options{Now: w.Now, Connect: w.Source.Connect})
	w.Must(err)
	t.Cleanup(func() {
		w.Server.CloseClientConnections()
		stop, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := w.App.Close(stop); err != nil {
			t.Error(err)
		}
		w.Server.Close()
	})
	w.Must(w.App.Start(t.Context()))
	w.Service = w.App.Service()
	w.Boss, err = w.Service.CreateOperator(t.Context(), Operator, "boss@maxedy.example", "Boss Operator")
	w.Must(err)
	return w
}

// customer makes an organization whose three people push has brought. n tells its directory from others'.
func (w *World) customer(name, tenant string, n int) *Customer {
	w.Helper()
	ctx, c := w.Context(), &Customer{GroupID: pulltest.GroupID(n)}
	var err error
	c.Organization, err = w.Service.CreateOrganization(ctx, Operator, name)
	w.Must(err)
	c.Tenant, err = w.Service.CreateTenant(ctx, Operator, directory.Tenant{Name: tenant, OrganizationIDs: []directory.ID{c.Organization.ID},
		DirectoryID: pulltest.ID(900 + n).String(), Graph: directory.Graph{ClientID: pulltest.ID(800 + n).String()}})
	w.Must(err)
	_, err = w.Service.SetCredential(ctx, Operator, directory.Credential{TenantID: c.Tenant.ID, Name: directory.GraphCredential, Kind: "federated", TokenFile: "/dev/null"}) //nolint:gosec // a path, no secret
	w.Must(err)
	secret := auth.NewSecret()
	_, err = w.Service.CreateToken(ctx, Operator, c.Tenant.ID, directory.NewToken{Name: "Entra", Hash: auth.Hash(secret.Text), Hint: secret.Hint})
	w.Must(err)
	c.Token = secret.Text
	for _, env := range []struct {
		name string
		to   **directory.Environment
	}{{"Production", &c.Production}, {"Finance", &c.Finance}} {
		*env.to, err = w.Service.CreateEnvironment(ctx, Operator, c.Organization.ID, env.name)
		w.Must(err)
	}
	yes := true
	c.Production, _, err = w.Service.SetIntegration(ctx, Operator, c.Production.ID, directory.IntegrationInput{Enabled: &yes, TenantID: &c.Tenant.ID, Groups: []string{c.GroupID}, DefaultMenus: []string{"Orders"}})
	w.Must(err)
	w.people(c, tenant, n)
	return c
}

// people pushes three people and the group that they are in, and gives two of them a role.
func (w *World) people(c *Customer, tenant string, n int) {
	w.Helper()
	ctx := w.Context()
	push := directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: c.Tenant.ID.String()}
	w.Directory.SetGroup(c.GroupID, "Sales")
	var members []directory.ID
	for i, given := range []string{"Marta", "Jonas", "Ana"} {
		p := pulltest.NewPerson(n*100 + i)
		p.DisplayName, p.GivenName, p.Surname = given+" Berg", given, "Berg"
		p.UserPrincipalName, p.Mail = strings.ToLower(given)+"@"+tenant+".example", strings.ToLower(given)+"@"+tenant+".example"
		w.Directory.SetPerson(p)
		w.Directory.Add(c.GroupID, p.ID)
		u, err := w.Service.CreateUser(ctx, push, c.Tenant.ID, directory.UserInput{Profile: directory.Profile{UserName: p.UserPrincipalName, ExternalID: p.ID.String(),
			Name: p.DisplayName, Email: p.Mail, Emails: []string{p.Mail}, Active: true},
			Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:User"]`), Attributes: []byte(`{"externalId":"` + p.ID.String() + `","userName":"` + p.UserPrincipalName + `","displayName":"` + p.DisplayName + `","active":true,"emails":[{"value":"` + p.Mail + `","type":"work","primary":true}]}`)})
		w.Must(err)
		c.Users = append(c.Users, u)
		members = append(members, u.ID)
	}
	var err error
	c.Group, err = w.Service.CreateGroup(ctx, push, c.Tenant.ID, directory.GroupInput{DisplayName: "Sales", ExternalID: c.GroupID,
		Schemas: []byte(`["urn:ietf:params:scim:schemas:core:2.0:Group"]`), Attributes: []byte(`{"displayName":"Sales","externalId":"` + c.GroupID + `"}`)}, members)
	w.Must(err)
	_, err = w.Service.SetAdministrator(ctx, Operator, c.Users[0].AccountID, c.Production.ID, true)
	w.Must(err)
	_, err = w.Service.SetRoles(ctx, Operator, c.Users[1].AccountID, directory.RoleInput{Partner: map[directory.ID]bool{c.Organization.ID: true}})
	w.Must(err)
	w.Must(w.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		for i, to := range []**directory.Account{&c.Admin, &c.Partner, &c.Plain} {
			if *to, err = sn.Account(c.Users[i].AccountID); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Browser is somebody with a session, who sends what a browser of the server's own pages sends.
type Browser struct {
	*World
	cookie string
	client *http.Client
}

// SignIn gives an account a session; nil is somebody without one.
func (w *World) SignIn(account *directory.Account) *Browser {
	w.Helper()
	client := *w.Server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b := &Browser{World: w, client: &client}
	if account == nil {
		return b
	}
	method := directory.SignedIn{Method: directory.MethodPassword}
	if account.External() {
		method = directory.SignedIn{Method: directory.MethodDirectory, TenantID: account.TenantID}
	}
	secret := auth.NewSessionSecret()
	_, err := w.Service.CreateSession(w.Context(), directory.Actor{Role: directory.RoleSystem, Channel: "test"}, directory.SessionInput{AccountID: account.ID, Hash: auth.Hash(secret.Text), SignedIn: method})
	w.Must(err)
	b.cookie = auth.SessionCookie + "=" + secret.Text
	return b
}

// Session is the secret of the session, for a real browser; empty without one.
func (b *Browser) Session() string { return strings.TrimPrefix(b.cookie, auth.SessionCookie+"=") }

// Answer is what the server said. No redirect was followed.
type Answer struct {
	Status int
	Header http.Header
	Body   string
	To     string // Location
}

// Get asks for a page.
func (b *Browser) Get(path string) Answer {
	b.Helper()
	return b.Do(http.MethodGet, path, nil)
}

// Post sends a form: names and values in turn.
func (b *Browser) Post(path string, form ...string) Answer {
	b.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(form); i += 2 {
		values.Add(form[i], form[i+1])
	}
	return b.Do(http.MethodPost, path, strings.NewReader(values.Encode()), "Content-Type", "application/x-www-form-urlencoded", "Origin", b.Server.URL, "Sec-Fetch-Site", "same-origin")
}

// Do sends any request: names and values of headers in turn.
func (b *Browser) Do(method, path string, body io.Reader, header ...string) Answer {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), method, b.Server.URL+path, body)
	b.Must(err)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if b.cookie != "" {
		r.Header.Set("Cookie", b.cookie)
	}
	res, err := b.client.Do(r)
	b.Must(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	b.Must(err)
	return Answer{res.StatusCode, res.Header, string(text), res.Header.Get("Location")}
}
