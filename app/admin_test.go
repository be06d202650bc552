package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

func TestAdminErrorsHaveEveryKind(t *testing.T) {
	seen := map[string]bool{}
	for k := range directory.ErrorKinds {
		e, status := toAdminError(fmt.Errorf("wrapped: %w", &directory.Error{Kind: directory.ErrorKind(k), Field: "name", Detail: "what happened"}))
		if e.Kind == "" || seen[e.Kind] || status < 400 || e.Field != "name" || !strings.Contains(e.Detail, "what happened") {
			t.Errorf("kind %v: %+v with status %d", directory.ErrorKind(k), e, status)
		}
		seen[e.Kind] = true
	}
	if e, status := toAdminError(directory.ErrFailed); e.Kind != "unavailable" || status != http.StatusServiceUnavailable {
		t.Errorf("a failed store: %+v %d", e, status)
	}
	if e, status := toAdminError(errors.New("disk on fire")); e.Kind != "internal" || status != 500 || e.Detail != "disk on fire" {
		t.Errorf("an operator may know the cause: %+v %d", e, status)
	}
}

// TestAdminBothWays runs the same operations through the socket of a server and on the store.
func TestAdminBothWays(t *testing.T) {
	ways := map[string]func(*testing.T) *Client{
		"socket": func(t *testing.T) *Client {
			r := start(t, Config{}, Options{})
			c, err := Connect(t.Context(), r.config, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !c.Remote() {
				t.Fatal("a server runs, and was passed by")
			}
			return c
		},
		"store": func(t *testing.T) *Client {
			c, err := Connect(t.Context(), Config{Data: t.TempDir()}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if c.Remote() {
				t.Fatal("no server runs")
			}
			return c
		},
	}
	for name, connect := range ways {
		t.Run(name, func(t *testing.T) {
			c := connect(t)
			defer func() {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}()
			testOperations(t, c)
		})
	}
}

// must calls an operation that succeeds.
func must[In, Out any](t *testing.T, c *Client, op Operation[In, Out], in In) Out {
	t.Helper()
	out, err := Call(t.Context(), c, op, in)
	if err != nil {
		t.Fatalf("%s: %v", op.Name, err)
	}
	return out
}

// refused calls an operation that fails with that kind and detail.
func refused[In, Out any](t *testing.T, c *Client, op Operation[In, Out], in In, kind, detail string) {
	t.Helper()
	_, err := Call(t.Context(), c, op, in)
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind || !strings.Contains(e.Detail, detail) {
		t.Errorf("%s: %v, want kind %s with %q", op.Name, err, kind, detail)
	}
}

func testOperations(t *testing.T, c *Client) {
	acme := must(t, c, OrganizationCreate, NameInput{"Acme"})
	must(t, c, OrganizationCreate, NameInput{"Björk & Co"})
	refused(t, c, OrganizationCreate, NameInput{"ACME"}, "exists", "already exists")
	refused(t, c, OrganizationShow, RefInput{"nobody"}, "notFound", "bizzscim org list")

	prod := must(t, c, EnvironmentCreate, EnvironmentInput{"acme", "Production"})
	must(t, c, EnvironmentCreate, EnvironmentInput{"Björk & Co", "Production"})
	must(t, c, EnvironmentCreate, EnvironmentInput{acme.ID, "Test/1"})
	refused(t, c, EnvironmentCreate, EnvironmentInput{"nobody", "X"}, "notFound", `bizzscim org create "nobody"`)
	refused(t, c, EnvironmentShow, RefInput{"production"}, "invalid", "Acme/Production, Björk & Co/Production")
	for _, ref := range []string{"acme/production", prod.ID, strings.ToUpper(prod.ID)} {
		if got := must(t, c, EnvironmentShow, RefInput{ref}); got.ID != prod.ID {
			t.Errorf("%s is %s", ref, got.ID)
		}
	}
	for _, ref := range []string{"Test/1", "Acme/Test/1"} {
		if got := must(t, c, EnvironmentShow, RefInput{ref}); got.Name != "Test/1" {
			t.Errorf("%s is %s", ref, got.Name)
		}
	}
	if n := len(must(t, c, EnvironmentList, EnvironmentFilter{Organization: "Acme"}).Items); n != 2 {
		t.Errorf("%d environments of Acme", n)
	}

	must(t, c, TenantCreate, TenantInput{Name: "acme"})
	refused(t, c, TenantCreate, TenantInput{Name: "Not A Name"}, "invalid", "part of its URL")
	on, ten, name := true, 10, "acme"
	refused(t, c, TenantSet, TenantChange{Ref: "acme", UserPatch: &ten}, "invalid", "200 or 204")
	refused(t, c, TenantSet, TenantChange{Ref: "acme", RequestsPerSecond: &ten}, "invalid", "between 25")
	refused(t, c, TenantSet, TenantChange{Ref: "acme", Extensions: rawJSON(`{"id":"urn:x:y"}`)}, "invalid", "the extension is not acceptable")
	refused(t, c, TenantSet, TenantChange{Ref: "acme", RemoveExtensions: []string{"urn:x:y"}}, "notFound", "urn:x:y")
	extension := `{"id":"urn:example:crew:2.0:User","name":"Crew","attributes":[{"name":"%s","type":"string","multiValued":false}]}`
	no, yes := 204, 200
	must(t, c, TenantSet, TenantChange{Ref: "acme", Strict: &on, UserPatch: &no, GroupPatch: &yes, Extensions: rawJSON(fmt.Sprintf(extension, "rank"))})
	changed := must(t, c, TenantSet, TenantChange{Ref: "acme", Extensions: rawJSON(fmt.Sprintf(extension, "berth"))})
	if !changed.Strict || changed.UserPatch != 204 || changed.GroupPatch != 200 || !slices.Equal(changed.Extensions, []string{"urn:example:crew:2.0:User"}) {
		t.Errorf("tenant %+v", changed)
	}
	changed = must(t, c, TenantSet, TenantChange{Ref: "acme", RemoveExtensions: []string{"URN:example:crew:2.0:User"}})
	if len(changed.Extensions) != 0 || !changed.Strict {
		t.Errorf("tenant %+v", changed)
	}

	groups := []string{"6a1f4f9f-0000-4b5e-9c60-000000000001"}
	join := IntegrationInput{Environment: prod.ID, Enabled: &on, Tenant: &name, Groups: &groups, DefaultMenus: &[]string{"Orders"}, Periodic: &on}
	refused(t, c, EnvironmentIntegrate, join, "invalid", `bizzscim tenant set acme --org "Acme"`)
	must(t, c, TenantSet, TenantChange{Ref: "acme", Organizations: &[]string{"acme"}})
	out := must(t, c, EnvironmentIntegrate, join)
	if i := out.Environment.Integration; !i.Enabled || i.Tenant.Name != "acme" || !slices.Equal(i.Groups, groups) || !i.Periodic {
		t.Errorf("integration %+v", i)
	}
	refused(t, c, TenantSet, TenantChange{Ref: "acme", Organizations: &[]string{}}, "conflict", "switch its integration off")
	off := false
	if out = must(t, c, EnvironmentIntegrate, IntegrationInput{Environment: prod.ID, Enabled: &off}); out.Environment.Integration.Enabled {
		t.Error("still on")
	}

	first := must(t, c, TokenCreate, TokenInput{Tenant: "acme", Name: "entra", Life: "90d"})
	if !strings.HasPrefix(first.Secret, "bzs_") || !strings.HasSuffix(first.Secret, first.Token.Hint) || first.Token.State != "live" {
		t.Errorf("token %+v", first)
	}
	if d := time.Until(first.Token.Expires); d < 89*24*time.Hour || d > 91*24*time.Hour {
		t.Errorf("expires %s", first.Token.Expires)
	}
	second := must(t, c, TokenRotate, TokenRotation{TokenRef: TokenRef{Tenant: "acme"}, Overlap: "1h"})
	if second.Token.Name != "entra" || second.Secret == first.Secret {
		t.Errorf("rotated token %+v", second)
	}
	refused(t, c, TokenCreate, TokenInput{Tenant: "acme"}, "conflict", "revoke one first")
	refused(t, c, TokenCreate, TokenInput{Tenant: "acme", Life: "soon"}, "invalid", "180d")
	refused(t, c, TokenRevoke, TokenRef{Tenant: "acme"}, "invalid", "say which")
	refused(t, c, TokenRevoke, TokenRef{"acme", "nope"}, "notFound", "bizzscim token list acme")
	must(t, c, TokenRevoke, TokenRef{"acme", "…" + first.Token.Hint})
	must(t, c, TokenRevoke, TokenRef{Tenant: "acme"})
	refused(t, c, TokenRotate, TokenRotation{TokenRef: TokenRef{Tenant: "acme"}}, "conflict", "bizzscim token create acme")
	for _, token := range must(t, c, TokenList, RefInput{"acme"}).Items {
		if token.State != "revoked" || token.Revoked == nil || token.CreatedBy == "" {
			t.Errorf("token %+v", token)
		}
	}

	federated := &Federated{Issuer: "https://login.example", Audience: "api://x", Subject: "job"}
	client := must(t, c, ClientCreate, ClientInput{Tenant: "acme", ClientID: "job", TokenLife: "2h", Federated: federated, NoSecret: true})
	if client.Secret != "" || client.Client.TokenLife != "2h0m0s" || *client.Client.Federated != *federated {
		t.Errorf("client %+v", client)
	}
	if client = must(t, c, ClientRotate, ClientRotation{ClientRef: ClientRef{Tenant: "acme"}}); client.Secret == "" || len(client.Client.Secrets) != 1 {
		t.Errorf("rotated client %+v", client)
	}
	if revoked := must(t, c, ClientRevoke, ClientRef{"acme", "job"}); revoked.State != "revoked" {
		t.Errorf("client %+v", revoked)
	}
	refused(t, c, ClientRotate, ClientRotation{ClientRef: ClientRef{Tenant: "acme"}}, "notFound", "bizzscim client create acme")

	ida := must(t, c, UserCreate, UserInput{"ida", "ida@example.com", "Ida"})
	refused(t, c, UserCreate, UserInput{"ida2", "IDA@example.com", ""}, "exists", "already exists")
	for _, ref := range []string{"IDA", "ida@example.com", ida.ID} {
		if got := must(t, c, UserShow, UserRef{Ref: ref}); got.ID != ida.ID || got.Tenant != nil {
			t.Errorf("%s is %+v", ref, got)
		}
	}
	refused(t, c, UserShow, UserRef{Ref: "ida", Tenant: "acme"}, "notFound", "bizzscim user list")
	if list := must(t, c, UserList, UserFilter{}); len(list.Items) != 1 {
		t.Errorf("users %+v", list)
	}
	if list := must(t, c, GroupList, GroupFilter{}); list.Total != 0 || list.Items == nil {
		t.Errorf("groups %+v", list)
	}
	refused(t, c, GroupShow, GroupRef{Ref: "Sales"}, "notFound", "bizzscim group list")
	refused(t, c, AccessList, AccessFilter{Environment: prod.ID, State: "odd"}, "invalid", "active or inactive")
	refused(t, c, LogList, LogFilter{Ref: "nothing"}, "notFound", "no environment and no tenant")
	must(t, c, EnvironmentCreate, EnvironmentInput{"Acme", "acme"})
	refused(t, c, LogList, LogFilter{Ref: "acme"}, "invalid", "tenant:acme, env:acme")
	must(t, c, LogList, LogFilter{Ref: "tenant:acme"})
	must(t, c, LogList, LogFilter{Ref: "env:acme"})
	if got := must(t, c, AuditVerify, None{}); !got.Whole || got.Entries < 15 {
		t.Errorf("audit %+v", got)
	}
	refused(t, c, Operation[None, None]{"tenant.explode"}, None{}, "notFound", "same version")
	refused(t, c, Operation[map[string]string, None]{"tenant.show"}, map[string]string{"reff": "x"}, "invalid", "reff")
}

// people provisions n users into one group of a tenant.
func people(t *testing.T, s *directory.Service, tenant directory.ID, object string, n int) (group *directory.Group) {
	t.Helper()
	by := directory.Actor{Role: directory.RoleDirectory, Channel: "scim"}
	ids := make([]directory.ID, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			name := fmt.Sprintf("user%04d@example.com", i)
			u, err := s.CreateUser(t.Context(), by, tenant, directory.UserInput{Profile: directory.Profile{UserName: name, Name: "User", Emails: []string{name}, Email: name, Active: true}})
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = u.ID
		})
	}
	wg.Wait()
	g, err := s.CreateGroup(t.Context(), by, tenant, directory.GroupInput{DisplayName: "Everybody", ExternalID: object}, ids)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestLongRunsAreFollowed integrates an environment with more people than one transaction takes,
// without a server: the process that asks also does the work.
func TestLongRunsAreFollowed(t *testing.T) {
	const n = 1200
	dir := t.TempDir()
	r := start(t, Config{Data: dir}, Options{})
	r.tenant("acme")
	c := r.Client()
	must(t, c, OrganizationCreate, NameInput{"Acme"})
	must(t, c, EnvironmentCreate, EnvironmentInput{"Acme", "Production"})
	tenant := must(t, c, TenantSet, TenantChange{Ref: "acme", Organizations: &[]string{"Acme"}})
	id, _ := directory.ParseID(tenant.ID)
	const object = "6a1f4f9f-0000-4b5e-9c60-000000000001"
	people(t, r.service, id, object, n)
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	direct, err := Connect(t.Context(), r.config, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	on, name := true, "acme"
	out := must(t, direct, EnvironmentIntegrate, IntegrationInput{Environment: "Production", Enabled: &on, Tenant: &name, Groups: &[]string{object}})
	if out.Derivation == nil || out.Derivation.State != "pending" {
		t.Fatalf("run %+v", out.Derivation)
	}
	run := *out.Derivation
	for deadline := time.Now().Add(time.Minute); run.State != "complete"; time.Sleep(10 * time.Millisecond) {
		if run = must(t, direct, DerivationShow, DerivationRef{"Production", run.ID}); time.Now().After(deadline) {
			t.Fatalf("run %+v", run)
		}
	}
	if run.Granted != n || run.Ended == nil {
		t.Errorf("run %+v", run)
	}
	if runs := must(t, direct, DerivationList, DerivationFilter{Environment: "Production"}); len(runs.Items) != 1 || runs.Items[0].ID != run.ID {
		t.Errorf("runs %+v", runs)
	}

	// Every page once, in both directions of the state.
	u := must(t, direct, UserShow, UserRef{Ref: "user0007@example.com"})
	if len(u.Accesses) != 1 || !u.Accesses[0].Active || len(u.Groups) != 1 {
		t.Errorf("user %+v", u)
	}
	seen := map[string]bool{}
	var after string
	for {
		page := must(t, direct, AccessList, AccessFilter{Environment: "Production", Page: Page{After: after, Limit: 500}})
		if page.Total != n {
			t.Errorf("total %d", page.Total)
		}
		for _, x := range page.Items {
			if seen[x.Account.ID] || !x.Active {
				t.Fatalf("access %+v", x)
			}
			seen[x.Account.ID] = true
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if len(seen) != n {
		t.Errorf("%d accesses on all pages, want %d", len(seen), n)
	}
	clear(seen)
	for after = ""; ; {
		page := must(t, direct, UserList, UserFilter{Tenant: "acme", Page: Page{After: after, Limit: 700}})
		for _, u := range page.Items {
			seen[u.ID] = true
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if len(seen) != n {
		t.Errorf("%d users on all pages, want %d", len(seen), n)
	}
	log := must(t, direct, LogList, LogFilter{Ref: "env:Production", Newest: true, Page: Page{Limit: 1}})
	if len(log.Items) != 1 || log.Items[0].Action != "derive" || log.Items[0].Accesses[0].Effect != "granted" {
		t.Errorf("log %+v", log.Items)
	}
	if next := must(t, direct, LogList, LogFilter{Ref: "env:Production", Page: Page{After: log.Next}}); len(next.Items) != 0 || next.Next != log.Next {
		t.Errorf("behind the end: %+v", next)
	}
	g := must(t, direct, GroupShow, GroupRef{Ref: "everybody", Limit: 5})
	if g.Members != n || len(g.MemberList) != 5 || len(g.Environments) != 1 {
		t.Errorf("group %+v", g)
	}
}

func TestAccessPagesGoOnWithInactiveOnes(t *testing.T) {
	r := start(t, Config{}, Options{})
	r.tenant("acme")
	c := r.Client()
	must(t, c, OrganizationCreate, NameInput{"Acme"})
	must(t, c, EnvironmentCreate, EnvironmentInput{"Acme", "Production"})
	tenant := must(t, c, TenantSet, TenantChange{Ref: "acme", Organizations: &[]string{"Acme"}})
	id, _ := directory.ParseID(tenant.ID)
	const object = "6a1f4f9f-0000-4b5e-9c60-000000000001"
	g := people(t, r.service, id, object, 7)
	on, name := true, "acme"
	must(t, c, EnvironmentIntegrate, IntegrationInput{Environment: "Production", Enabled: &on, Tenant: &name, Groups: &[]string{object}})
	by := directory.Actor{Role: directory.RoleDirectory, Channel: "scim"}
	_, err := r.service.UpdateGroup(t.Context(), by, id, g.ID, func(g *directory.Group, m *directory.Membership) (directory.GroupInput, error) {
		var leave []directory.ID
		err := m.Each(func(x directory.Member) bool { leave = append(leave, x.ID); return len(leave) < 3 })
		if err == nil {
			err = m.Remove(leave)
		}
		return directory.GroupInput{DisplayName: g.DisplayName, ExternalID: g.ExternalID}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	for limit := 1; limit <= 8; limit++ {
		var states []bool
		seen := map[string]bool{}
		for after := ""; ; {
			page := must(t, c, AccessList, AccessFilter{Environment: "Production", Page: Page{After: after, Limit: limit}})
			if page.Total != 7 || len(page.Items) > limit {
				t.Fatalf("page of %d: %+v", limit, page)
			}
			for _, x := range page.Items {
				states = append(states, x.Active)
				seen[x.Account.ID] = true
			}
			if after = page.Next; after == "" {
				break
			}
		}
		if want := []bool{true, true, true, true, false, false, false}; !slices.Equal(states, want) || len(seen) != 7 {
			t.Errorf("pages of %d: %v, %d people", limit, states, len(seen))
		}
	}
	if list := must(t, c, AccessList, AccessFilter{Environment: "Production", State: "inactive"}); list.Total != 3 || len(list.Items) != 3 {
		t.Errorf("inactive: %+v", list)
	}
}

func TestSocketIsForItsOwnerAlone(t *testing.T) {
	r := start(t, Config{}, Options{})
	info, err := os.Stat(filepath.Join(r.config.Data, socketFile))
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode()&os.ModeSocket == 0 {
		t.Errorf("socket: %v, %v", info, err)
	}
	if info, err = os.Stat(r.config.Data); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info, err)
	}
	status := must(t, r.Client(), ServerStatus, None{})
	if !status.Ready || status.Address != r.Addr().String() {
		t.Errorf("status %+v", status)
	}
	if url, err := RunningURL(t.Context(), r.config); err != nil || url != r.URL() {
		t.Errorf("running at %q, %v", url, err)
	}
}

func TestSocketLeftOverIsReplaced(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, socketFile))
	if err != nil {
		t.Skipf("no socket here: %v", err) // the test's folder has a long name
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := RunningURL(t.Context(), Config{Data: dir}); err == nil || !strings.Contains(err.Error(), "no server runs") {
		t.Errorf("nobody answers, and yet: %v", err)
	}
	r := start(t, Config{Data: dir}, Options{})
	if c, err := Connect(t.Context(), r.config, Options{}); err != nil || !c.Remote() || c.Close() != nil {
		t.Errorf("connect: %v", err)
	}
}

func TestSocketInADeepFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 100), strings.Repeat("e", 100))
	r := start(t, Config{Data: dir}, Options{})
	c, err := Connect(t.Context(), r.config, Options{})
	if err != nil || !c.Remote() {
		t.Fatalf("connect: %v", err)
	}
	defer c.Close()
	must(t, c, TenantCreate, TenantInput{Name: "acme"})
	must(t, c, TenantList, None{})
	if _, err := listenSocket(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "another server answers") {
		t.Errorf("a second one: %v", err)
	}
}

// TestConnectWaitsForAServerThatStarts takes the moment in which the store is locked and the
// socket does not answer yet.
func TestConnectWaitsForAServerThatStarts(t *testing.T) {
	c := Config{Data: t.TempDir(), Listen: "127.0.0.1:0"}
	a, err := New(c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan error, 1)
	defer func() {
		if err := errors.Join(<-started, a.Close(context.Background())); err != nil {
			t.Error(err)
		}
	}()
	time.AfterFunc(200*time.Millisecond, func() { started <- a.Start(context.Background()) })
	client, err := Connect(t.Context(), c, Options{})
	if err != nil || !client.Remote() {
		t.Fatalf("connect: %v", err)
	}
	client.Close()
}

func TestParseDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{"180d": 180 * 24 * time.Hour, "0d": 0, "1.5d": 36 * time.Hour, "12h": 12 * time.Hour, "1h30m": 90 * time.Minute, "-1d": -24 * time.Hour} {
		if got, err := ParseDuration(in); err != nil || got != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "d", "1", "1w", "1d12h", "99999999999d", "9999999d"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("%q: %s", in, got)
		}
	}
}

func rawJSON(docs ...string) (out []json.RawMessage) {
	for _, d := range docs {
		out = append(out, json.RawMessage(d))
	}
	return out
}
