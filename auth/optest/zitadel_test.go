package optest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/bizzstream/bizzscim/auth/authtest"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/store/bolt"
)

func TestSuiteWithZitadel(t *testing.T) {
	authtest.Suite{Store: openStore, Provider: func(t *testing.T, _ func() time.Time) authtest.Provider { return newZitadel(t) }}.Run(t)
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

// zitadel is zitadel's provider under the path of a tenant, with the claims of Microsoft Entra added.
type zitadel struct {
	t         *testing.T
	directory string
	web       *httptest.Server
	*records

	mu     sync.Mutex
	people map[string]*storage.User // by object id, which is the subject too
}

func newZitadel(t *testing.T) *zitadel {
	t.Helper()
	z := &zitadel{t: t, directory: uuid.NewString(), people: map[string]*storage.User{}}
	z.web = httptest.NewUnstartedServer(nil)
	issuer := "https://" + z.web.Listener.Addr().String() + z.path()
	z.records = &records{Storage: storage.NewStorageWithClients(z, map[string]*storage.Client{}), directory: z.directory}
	config := &op.Config{CodeMethodS256: true, AuthMethodPost: true}
	rand.Read(config.CryptoKey[:]) // never fails
	provider, err := op.NewProvider(config, z.records, op.StaticIssuer(issuer), op.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	z.web.Config.Handler = http.StripPrefix(z.path(), provider)
	z.web.StartTLS()
	t.Cleanup(z.web.Close)
	return z
}

func (z *zitadel) path() string { return "/" + z.directory + "/v2.0" }

func (z *zitadel) LoginURL() string     { return z.web.URL }
func (z *zitadel) Directory() string    { return z.directory }
func (z *zitadel) Client() *http.Client { return z.web.Client() }

func (z *zitadel) Register(redirect, loggedOut string) (client, secret string) {
	client, secret = uuid.NewString(), rand.Text()
	z.register(application{storage.WebClient(client, secret, redirect), loggedOut}, secret)
	return client, secret
}

func (z *zitadel) AddPerson(name string) directory.ID {
	z.mu.Lock()
	defer z.mu.Unlock()
	id := uuid.New()
	z.people[id.String()] = &storage.User{ID: id.String(), Username: name, FirstName: name, Password: "sesame"}
	return directory.ID(id)
}

// GetUserByID, GetUserByUsername and ExampleClientID make it the store of people that the provider asks.
func (z *zitadel) GetUserByID(id string) *storage.User {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.people[id]
}

func (z *zitadel) GetUserByUsername(name string) *storage.User {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, u := range z.people {
		if u.Username == name {
			return u
		}
	}
	return nil
}

func (*zitadel) ExampleClientID() string { return "" }

// SignIn is what a browser does at the provider and its page for signing in.
func (z *zitadel) SignIn(ctx context.Context, address string, person directory.ID) (string, error) {
	page, err := z.visit(ctx, address)
	if err != nil {
		return "", err
	}
	request := page.Query().Get("authRequestID")
	if request == "" {
		return "", fmt.Errorf("sent to %s", page.Path)
	}
	if err := z.CheckUsernamePassword(z.GetUserByID(person.String()).Username, "sesame", request); err != nil {
		return "", err
	}
	back, err := z.visit(ctx, z.web.URL+z.path()+"/authorize/callback?id="+url.QueryEscape(request))
	if err != nil {
		return "", err
	}
	return back.String(), nil
}

// visit returns where an address sends a browser.
func (z *zitadel) visit(ctx context.Context, address string) (*url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	client := *z.web.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		return nil, errors.New("the provider answers " + resp.Status)
	}
	return resp.Location()
}

// records are what the provider keeps: zitadel's own example in memory, with applications of ours and
// Microsoft's claims.
type records struct {
	*storage.Storage
	directory string

	mu           sync.Mutex
	applications map[string]application
	secrets      map[string]string
}

// application is one of zitadel's with an address for after signing out.
type application struct {
	*storage.Client
	loggedOut string
}

func (a application) PostLogoutRedirectURIs() []string { return []string{a.loggedOut} }

func (r *records) register(a application, secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.applications == nil {
		r.applications, r.secrets = map[string]application{}, map[string]string{}
	}
	r.applications[a.GetID()], r.secrets[a.GetID()] = a, secret
}

func (r *records) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.applications[id]
	if !ok {
		return nil, errors.New("no such application")
	}
	return a, nil
}

func (r *records) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if want, ok := r.secrets[id]; !ok || want != secret {
		return errors.New("wrong secret")
	}
	return nil
}

// SetUserinfoFromRequest adds what ID tokens of Microsoft Entra say besides.
func (r *records) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, request op.IDTokenRequest, _ []string) error {
	info.Subject = request.GetSubject()
	info.AppendClaims("oid", request.GetSubject())
	info.AppendClaims("tid", r.directory)
	info.AppendClaims("ver", "2.0")
	info.AppendClaims("nbf", time.Now().Unix())
	return nil
}
