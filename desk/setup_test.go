package desk_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

func partnerOf(c *apptest.Customer) directory.Actor {
	return directory.Actor{Role: directory.RolePartner, ID: c.Partner.ID.String(), Reach: &directory.Reach{Organizations: []directory.ID{c.Organization.ID}}}
}

// guestOf is somebody who came by a setup link of a customer's tenant.
func guestOf(t *testing.T, w *apptest.World, c *apptest.Customer) directory.Actor {
	t.Helper()
	made, err := w.App.Desk().CreateSetupLink(w.Context(), partnerOf(c), c.Tenant.ID, desk.SetupLinkInput{})
	w.Must(err)
	by, tenant, expires, err := w.App.Desk().Connect(w.Context(), directory.Actor{Address: "192.0.2.7"}, made.URL[strings.LastIndex(made.URL, "/")+1:])
	w.Must(err)
	if life := made.Link.Expires.Sub(made.Link.Created); tenant != c.Tenant.ID || !expires.Equal(made.Link.Expires) || life != 24*time.Hour {
		t.Errorf("a link for %v to %v", life, tenant)
	}
	return by
}

func text(t *testing.T, v any, err error) string {
	t.Helper()
	if err != nil {
		var detail string
		if e, ok := err.(*directory.Error); ok {
			detail = e.Detail
		}
		return detail
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Where the server keeps keys and tokens is told to nobody but operators, whatever fails.
func TestFilesOfTheServerAreForOperators(t *testing.T) {
	t.Parallel()
	folder := ""
	w := apptest.New(t, func(c *app.Config) { folder = c.Data })
	d, ctx, tenant, env := w.App.Desk(), w.Context(), w.Fjord.Tenant.ID, w.Fjord.Production.ID
	secret := desk.CredentialInput{Secret: "abc~secret-of-entra-0123456789"}
	for _, name := range []string{directory.GraphCredential, directory.SignInCredential} {
		in := secret
		if name == directory.SignInCredential {
			in.ClientID = pulltest.ID(700).String()
		}
		_, err := d.SetCredential(ctx, boss, tenant, name, in)
		w.Must(err)
	}
	key, moved := filepath.Join(folder, "secrets.key"), filepath.Join(folder, "moved.key")
	w.Must(os.Rename(key, moved))
	token := filepath.Join(folder, "workload.jwt")
	check := func(when string) {
		t.Helper()
		who := map[string]directory.Actor{"partner": partnerOf(w.Fjord), "guest": guestOf(t, w, w.Fjord), "administrator": administratorOf(env)}
		said := map[string]string{}
		for name, by := range who {
			if name == "administrator" {
				found, err := d.FindGroups(ctx, by, env, directory.ID{}, "Sales")
				said[name+" finds groups"] = text(t, found, err)
				run, err := d.BeginSync(ctx, by, env)
				w.Must(err)
				w.WaitRun(run)
				shown, err := d.Run(ctx, by, run)
				w.Must(err)
				said[name+" runs"] = text(t, shown, nil)
				continue
			}
			tested, err := d.TestConnection(ctx, by, tenant)
			if err == nil && tested.OK {
				t.Errorf("%s: the test of %s says all is well", when, name)
			}
			said[name+" tests"] = text(t, tested, err)
			setup, err := d.Setup(ctx, by, tenant)
			said[name+" reads"] = text(t, setup, err)
			_, err = d.SetCredential(ctx, by, tenant, directory.GraphCredential, secret)
			said[name+" sets"] = text(t, nil, err)
		}
		for what, said := range said {
			if said == "" || strings.Contains(said, folder) || strings.Contains(said, ".key") || strings.Contains(said, "workload") {
				t.Errorf("%s, %s: %s", when, what, said)
			}
		}
	}
	check("the key file is missing")
	tested, err := d.TestConnection(ctx, boss, tenant)
	if got := text(t, tested, err); !strings.Contains(got, key+" is missing") {
		t.Errorf("an operator is not told why: %s", got)
	}
	w.Must(os.Rename(moved, key))
	for _, name := range []string{directory.GraphCredential, directory.SignInCredential} {
		_, err := d.SetCredential(ctx, boss, tenant, name, desk.CredentialInput{TokenFile: token})
		w.Must(err)
	}
	w.Source.SetError(pulltest.OpConnect, &pull.Error{Class: pull.Configuration, Detail: "the token file cannot be read", Err: fmt.Errorf("open %s", token)})
	w.Must(os.WriteFile(token, []byte("no token"), 0o600))
	for _, by := range []directory.Actor{partnerOf(w.Fjord), guestOf(t, w, w.Fjord)} {
		tested, err := d.TestConnection(ctx, by, tenant)
		setup, err2 := d.Setup(ctx, by, tenant)
		if got := text(t, tested, err) + text(t, setup, err2); strings.Contains(got, "workload") || strings.Contains(got, folder) || tested.OK || !strings.Contains(got, "token file") {
			t.Errorf("a token file: %s", got)
		}
	}
	all, err := d.Credentials(ctx, partnerOf(w.Fjord), tenant)
	if got := text(t, all, err); strings.Contains(got, "workload") || len(all.Items) != 2 {
		t.Errorf("credentials: %s", got)
	}
	if all, err := d.Credentials(ctx, boss, tenant); err != nil || all.Items[0].TokenFile != token {
		t.Errorf("an operator: %+v %v", all, err)
	}
}

// Who may not see a tenant has nothing tried for it: no request leaves the server.
func TestConnectionOfOthersIsNotTried(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	d := w.App.Desk()
	guest := guestOf(t, w, w.Fjord)
	for name, by := range map[string]directory.Actor{"partner": partnerOf(w.Fjord), "guest": guest, "administrator": administratorOf(w.Nordwind.Production.ID)} {
		_, err := d.TestConnection(w.Context(), by, w.Nordwind.Tenant.ID)
		wantKind(t, err, directory.NotFound)
		_, err = d.Setup(w.Context(), by, w.Nordwind.Tenant.ID)
		wantKind(t, err, directory.NotFound)
		if n := w.Source.Calls(pulltest.OpConnect); n > 0 {
			t.Fatalf("%s had the other customer's directory asked", name)
		}
	}
	w.Source.SetError(pulltest.OpConnect, &pull.Error{Class: pull.Configuration, Detail: "no"})
	tested, err := d.TestConnection(w.Context(), guest, w.Fjord.Tenant.ID)
	if err != nil || tested.OK {
		t.Errorf("%+v %v", tested, err)
	}
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
		said := ""
		err := sn.Audit(0, func(e *directory.AuditEntry) bool {
			if e.Action == "tenant.test" {
				said += e.Actor.Channel + " " + string(e.Detail)
			}
			return true
		})
		if said != `setup link {"failed":["credential"],"ok":false}` {
			t.Errorf("audit: %s", said)
		}
		return err
	}))
}

// A setup is told as it is now: of the Secret Tokens those that work, and who made them where that is no person.
func TestSetupTellsWhatWorks(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	d, tenant, partner, guest := w.App.Desk(), w.Fjord.Tenant.ID, partnerOf(w.Fjord), guestOf(t, w, w.Fjord)
	made, err := d.CreateToken(w.Context(), guest, tenant, desk.TokenInput{Name: "by link"})
	w.Must(err)
	w.Must(d.RevokeToken(w.Context(), boss, tenant, fjordToken(w)))
	for name, by := range map[string]directory.Actor{"partner": partner, "guest": guest} {
		s, err := d.Setup(w.Context(), by, tenant)
		if err != nil || len(s.Tokens) != 1 || s.Tokens[0].ID != made.Token.ID || s.Tokens[0].CreatedBy != "setup link" {
			t.Errorf("%s: %+v %v", name, s.Tokens, err)
		}
	}
	_, err = d.CreateToken(w.Context(), partner, tenant, desk.TokenInput{Name: "by partner"})
	w.Must(err)
	for name, want := range map[string]string{"partner": "Jonas Berg", "guest": ""} {
		s, err := d.Setup(w.Context(), map[string]directory.Actor{"partner": partner, "guest": guest}[name], tenant)
		w.Must(err)
		if i := slices.IndexFunc(s.Tokens, func(t desk.Token) bool { return t.Name == "by partner" }); i < 0 || s.Tokens[i].CreatedBy != want {
			t.Errorf("%s: %+v", name, s.Tokens)
		}
	}
	bare, err := d.CreateTenant(w.Context(), partner, desk.TenantInput{Name: "fjord-new", Organizations: []directory.ID{w.Fjord.Organization.ID}})
	w.Must(err)
	_, err = d.SetCredential(w.Context(), partner, bare.ID, directory.GraphCredential, desk.CredentialInput{ClientID: pulltest.ID(701).String(), Secret: "abc~secret-of-entra-0123456789"})
	wantField(t, err, "directoryId")
	_, err = d.SetCredential(w.Context(), partner, bare.ID, directory.GraphCredential, desk.CredentialInput{Secret: "abc~secret-of-entra-0123456789"})
	wantField(t, err, "clientId")
}

func wantField(t *testing.T, err error, field string) {
	t.Helper()
	e, ok := err.(*directory.Error)
	if !ok || e.Kind != directory.Invalid || e.Field != field {
		t.Errorf("error %v, not of the field %s", err, field)
	}
}

// fjordToken is the Secret Token with which Fjord began.
func fjordToken(w *apptest.World) (id directory.ID) {
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
		all, err := sn.Tokens(w.Fjord.Tenant.ID, directory.SecretToken)
		i := slices.IndexFunc(all, func(t *directory.Token) bool { return t.Name == "Entra" })
		id = all[i].ID
		return err
	}))
	return id
}
