package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/auth/authtest"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/entrasim"
	"github.com/bizzstream/bizzscim/store/bolt"
)

func TestSuiteWithEntrasim(t *testing.T) {
	authtest.Suite{Store: openStore, Provider: func(t *testing.T, now func() time.Time) authtest.Provider { return newEntra(t, now) }}.Run(t)
}

func openStore(t *testing.T) directory.Store {
	t.Helper()
	file, err := bolt.Open(filepath.Join(t.TempDir(), "auth.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	})
	return file
}

// entra is a simulated tenant of Microsoft Entra as a provider of the suite.
type entra struct {
	t       *testing.T
	tenant  *entrasim.Tenant
	graph   *entrasim.Graph
	app     *entrasim.App
	client  *http.Client
	attacks map[string]func(*entrasim.IDToken)
	names   []string
}

func newEntra(t *testing.T, now func() time.Time) *entra {
	t.Helper()
	e := &entra{t: t, tenant: entrasim.New(entrasim.Options{Seed: 1}), attacks: map[string]func(*entrasim.IDToken){}}
	e.graph = must(entrasim.NewGraph(e.tenant, entrasim.GraphOptions{Now: now}))
	e.client = e.graph.Client()
	t.Cleanup(func() {
		e.client.CloseIdleConnections()
		if err := e.graph.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, a := range must(e.graph.TokenAttacks()) {
		e.names = append(e.names, a.Name)
		e.attacks[a.Name] = a.Tamper
	}
	return e
}

func (e *entra) LoginURL() string     { return strings.TrimSuffix(e.graph.LoginURL(), "/") }
func (e *entra) Directory() string    { return e.tenant.ID() }
func (e *entra) Client() *http.Client { return e.client }

func (e *entra) Register(redirect, loggedOut string) (client, secret string) {
	e.app = e.graph.App("")
	e.app.SignIn(entrasim.SignInSettings{RedirectURIs: []string{redirect}, PostLogoutURIs: []string{loggedOut},
		OptionalClaims: []string{entrasim.ClaimSID, entrasim.ClaimLoginHint}})
	return e.app.ClientID(), e.app.NewSecret(time.Now().Add(24 * time.Hour))
}

func (e *entra) AddPerson(name string) directory.ID {
	u := e.tenant.Hire(entrasim.Person{GivenName: name, Surname: "Smit"})
	id, ok := directory.ParseID(u.ID)
	if !ok {
		e.t.Fatalf("%q is no object id", u.ID)
	}
	return id
}

func (e *entra) SignIn(ctx context.Context, address string, person directory.ID) (string, error) {
	b := e.graph.Browser()
	defer b.Close()
	return where(b.SignIn(ctx, address, person.String()))
}

func (e *entra) Cancel(ctx context.Context, address string) (string, error) {
	b := e.graph.Browser()
	defer b.Close()
	return where(b.Cancel(ctx, address))
}

func where(o entrasim.Outcome, err error) (string, error) {
	if err != nil {
		return "", err
	}
	if o.URL == nil {
		return "", fmt.Errorf("the browser stays at the provider: page %s, AADSTS%d", o.Page, o.Number)
	}
	return o.URL.String(), nil
}

func (e *entra) Rotate() {
	before := must(e.graph.PublishedKeys())
	next := must(e.graph.PublishKey())
	err := e.graph.SignWith(next)
	for _, id := range before {
		if err == nil {
			err = e.graph.WithdrawKey(id)
		}
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *entra) Attacks() []string  { return e.names }
func (e *entra) Attack(name string) { e.app.Tamper(e.attacks[name]) }
