package directory_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
)

// Sign-in finds a person by tenant and object id, by nothing else, and says why it does not.
func TestSignIn(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	out := s.createUser(s.fjord, person("bo", 2))
	off := s.createUser(s.fjord, person("dan", 3))
	s.add(s.pilots, off)
	s.setActive(off, false)
	twice := s.createUser(s.fjord, person("eve", 4))
	again := person("eve2", 4)
	s.add(s.pilots, twice, s.createUser(s.fjord, again))
	unknown := person("nick", 5) // an externalId that is no object id
	unknown.ExternalID = "nick"
	s.add(s.pilots, s.createUser(s.fjord, unknown))
	gone := s.createUser(s.fjord, person("gus", 6))
	s.add(s.pilots, gone)
	s.deleteUser(gone)
	who := func(edit func(*directory.Identity)) directory.Identity {
		id := directory.Identity{TenantID: s.fjord, ClientID: "client", ObjectID: objectID(1), Subject: "sub"}
		edit(&id)
		return id
	}
	s.unchanged(func() {
		for name, test := range map[string]struct {
			who  directory.Identity
			want error
		}{
			"nobody":               {who(func(i *directory.Identity) { i.ObjectID = objectID(99) }), directory.ErrNotProvisioned},
			"no object id":         {who(func(i *directory.Identity) { i.ObjectID = directory.ID{} }), directory.ErrNotProvisioned},
			"no subject":           {who(func(i *directory.Identity) { i.Subject = "" }), directory.ErrNotProvisioned},
			"a subject with a NUL": {who(func(i *directory.Identity) { i.Subject = "a\x00b" }), directory.ErrNotProvisioned},
			"a long subject":       {who(func(i *directory.Identity) { i.Subject = strings.Repeat("a", 5000) }), directory.ErrNotProvisioned},
			"a client with a NUL":  {who(func(i *directory.Identity) { i.ClientID = "a\x00b" }), directory.ErrNotProvisioned},
			"no tenant":            {who(func(i *directory.Identity) { i.TenantID = directory.ID{} }), directory.ErrNotProvisioned},
			"a tenant that is not": {who(func(i *directory.Identity) { i.TenantID = number(999) }), directory.ErrNotProvisioned},
			"another tenant's":     {who(func(i *directory.Identity) { i.TenantID, i.ObjectID = s.harbor, objectID(2) }), directory.ErrNotProvisioned},
			"without an object id": {who(func(i *directory.Identity) { i.ObjectID = objectID(5) }), directory.ErrNotProvisioned},
			"deleted":              {who(func(i *directory.Identity) { i.ObjectID = objectID(6) }), directory.ErrNotProvisioned},
			"the SCIM id":          {who(func(i *directory.Identity) { i.ObjectID = s.ada.ID }), directory.ErrNotProvisioned},
			"twice":                {who(func(i *directory.Identity) { i.ObjectID = objectID(4) }), directory.ErrAmbiguous},
			"of another directory since": {who(func(i *directory.Identity) {
				i.Asked = &directory.Tenant{ID: s.fjord, DirectoryID: "72f988bf-86f1-41af-91ab-2d7cd011db47"}
			}), directory.ErrRelinked},
			"signs nobody in since": {who(func(i *directory.Identity) {
				i.Asked = &directory.Tenant{ID: s.fjord, SignIn: directory.SignIn{ClientID: "client"}}
			}), directory.ErrRelinked},
			"inactive": {who(func(i *directory.Identity) { i.ObjectID = objectID(3) }), directory.ErrInactive},
		} {
			if _, err := s.signInWith(test.who, name); !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", name, err, test.want)
			}
		}
		_, err := s.signInWith(who(func(i *directory.Identity) { i.ObjectID = out.ObjectID }), "out")
		wantKind(t, err, directory.Forbidden)
		if errors.Is(err, directory.ErrInactive) {
			t.Errorf("%v: no access is another thing", err)
		}
	})
	session := s.signInAs(s.ada, "sub", "ada")
	want := directory.SignedIn{Method: directory.MethodDirectory, TenantID: s.fjord, ObjectID: objectID(1), SID: "sid of ada", LogoutHint: "hint", Address: "192.0.2.7", UserAgent: "browser"}
	if diff := cmp.Diff(want, session.SignedIn); diff != "" || session.AccountID != s.ada.AccountID {
		t.Errorf("%+v (-want +got):\n%s", session, diff)
	}
	if e := s.lastAudit(); e.Actor.ID != s.ada.AccountID.String() || e.Actor.Address != "192.0.2.7" {
		t.Errorf("audit: %+v", e)
	}
	// What the caller says of the account or the method is not believed.
	forged := directory.SessionInput{AccountID: s.twin.AccountID, Hash: secretHash("forged"),
		SignedIn: directory.SignedIn{Method: directory.MethodPassword, TenantID: s.harbor, ObjectID: objectID(9)}}
	if got, err := s.svc.SignIn(s.ctx, push, who(func(*directory.Identity) {}), forged); err != nil || got.AccountID != s.ada.AccountID ||
		got.Method != directory.MethodDirectory || got.TenantID != s.fjord || got.ObjectID != objectID(1) {
		t.Errorf("%+v, %v", got, err)
	}
	if got := s.signInAs(s.twin, "sub", "twin"); got.AccountID != s.twin.AccountID { // the same ids in another tenant
		t.Errorf("%+v", got)
	}
	checkInvariants(s.world)
}

// The subject that a directory's application gave a person at first is theirs, and nobody else's.
func TestSubjectIsPinned(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	bo := s.createUser(s.fjord, person("bo", 2))
	try := func(client string, object int, subject string) error {
		_, err := s.signInWith(directory.Identity{TenantID: s.fjord, ClientID: client, ObjectID: objectID(object), Subject: subject}, "session "+s.newID().String())
		return err
	}
	wantKind(t, try("client", 2, "sub-bo"), directory.Forbidden) // no access: nothing is pinned
	s.add(s.pilots, bo)
	for _, err := range []error{try("client", 1, "sub-ada"), try("client", 1, "sub-ada"), try("client", 2, "SUB-ADA"), try("another", 1, "sub-bo"), try("another", 2, "sub-ada")} {
		if err != nil {
			t.Error(err)
		}
	}
	s.unchanged(func() {
		for _, err := range []error{try("client", 1, "sub-other"), try("client", 1, "SUB-ADA"), try("client", 2, "sub-ada"), try("client", 2, "sub-bo"), try("another", 1, "sub-ada")} {
			if !errors.Is(err, directory.ErrSubject) {
				t.Errorf("%v", err)
			}
		}
		wantKind(t, s.svc.ForgetSubject(s.ctx, operator, s.fjord, objectID(99)), directory.NotFound)
		wantKind(t, s.svc.ForgetSubject(s.ctx, operator, number(999), objectID(1)), directory.NotFound)
	})
	checkInvariants(s.world)
	s.store.twice = true
	if err := s.svc.ForgetSubject(s.ctx, operator, s.fjord, objectID(1)); err != nil { // at both applications
		t.Fatal(err)
	}
	if e := s.lastAudit(); e.Action != "subject.forget" || e.Target != "fjord" {
		t.Errorf("audit: %+v", e)
	}
	s.unchanged(func() {
		if err := try("client", 1, "SUB-ADA"); !errors.Is(err, directory.ErrSubject) { // still bo's
			t.Error(err)
		}
	})
	for _, err := range []error{try("client", 1, "sub-new"), try("another", 1, "sub-new")} {
		if err != nil {
			t.Error(err)
		}
	}
	checkInvariants(s.world)
}

// A state comes back once.
func TestUseState(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	until := s.clock.Now().Add(time.Minute)
	if err := errors.Join(s.svc.UseState(s.ctx, push, secretHash("a"), until), s.svc.UseState(s.ctx, push, secretHash("b"), until)); err != nil {
		t.Fatal(err)
	}
	s.unchanged(func() {
		wantKind(t, s.svc.UseState(s.ctx, push, secretHash("a"), until.Add(time.Hour)), directory.Conflict)
	})
}

// The settings of sign-in are checked and brought into one form.
func TestSignInSettings(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	set := func(id string, in directory.SignIn) (*directory.Tenant, error) {
		return s.svc.SetTenant(s.ctx, operator, s.fjord, func(t *directory.Tenant) error { t.DirectoryID, t.SignIn = id, in; return nil })
	}
	s.unchanged(func() {
		for field, in := range map[string]directory.SignIn{
			"signIn.clientId":    {ClientID: "x"},
			"signIn.label":       {Label: "a\nb"},
			"signIn.domainHint":  {DomainHint: strings.Repeat("a", 300)},
			"signIn.contact":     {Contact: "a\x00b"},
			"signIn.prompt":      {Prompt: "none"},
			"signIn.passwordUrl": {PasswordURL: "http://password.example/"},
		} {
			_, err := set(object(3), in)
			wantKind(t, err, directory.Invalid)
			if e := new(directory.Error); errors.As(err, &e) && e.Field != field {
				t.Errorf("field %q, want %q", e.Field, field)
			}
		}
		for _, url := range []string{"javascript:alert(1)", "https://user@host/", "https://host/?a", "https://host/#a", "https://", "/path"} {
			_, err := set(object(3), directory.SignIn{PasswordURL: url})
			wantKind(t, err, directory.Invalid)
		}
		_, err := set("", directory.SignIn{ClientID: object(4)}) // without the directory id beside it
		wantKind(t, err, directory.Invalid)
	})
	for _, prompt := range []string{"", "login", "select_account"} {
		got := must(set(object(3), directory.SignIn{ClientID: " " + strings.ToUpper(object(4)), Label: " Fjord ", Prompt: prompt, DomainHint: " fjord.example ", Contact: " help@fjord.example ",
			PasswordURL: "https://password.example/change"}))
		want := directory.SignIn{ClientID: object(4), Label: "Fjord", Prompt: prompt, DomainHint: "fjord.example", Contact: "help@fjord.example", PasswordURL: "https://password.example/change"}
		if got.SignIn != want || got.DisplayName() != "Fjord" {
			t.Errorf("%+v", got)
		}
	}
	if got := must(set("", directory.SignIn{Label: " "})); got.SignIn != (directory.SignIn{}) || got.DisplayName() != "fjord" {
		t.Errorf("%+v", got)
	}
}

// signsIn has a tenant sign people in.
func (w *world) signsIn(tenant directory.ID) {
	must(w.svc.SetTenant(w.ctx, operator, tenant, func(t *directory.Tenant) error {
		t.DirectoryID, t.SignIn.ClientID = object(3), object(4)
		return nil
	}))
}

// With the sign-in of a tenant go the sessions that came of its directory, and no others.
func TestTenantWithoutSignIn(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.signsIn(s.fjord)
	s.signsIn(s.harbor)
	bo := s.createUser(s.fjord, person("bo", 2))
	s.add(s.pilots, bo)
	s.signInAs(s.ada, "sub-ada", "ada")
	s.signInAs(s.ada, "sub-ada", "ada elsewhere")
	s.signInAs(bo, "sub-bo", "bo")
	s.signInAs(bo, "sub-bo", "out")
	s.signInAs(s.twin, "sub", "twin")
	must(s.svc.CreateSession(s.ctx, push, directory.SessionInput{AccountID: bo.AccountID, Hash: secretHash("by another way"),
		SignedIn: directory.SignedIn{Method: directory.MethodPassword, TenantID: s.fjord}}))
	if err := s.svc.EndSession(s.ctx, operator, bo.AccountID, s.sessionOf("out").ID, directory.EndedSignOut); err != nil {
		t.Fatal(err)
	}
	set := func(edit func(*directory.Tenant)) {
		t.Helper()
		must(s.svc.SetTenant(s.ctx, operator, s.fjord, func(t *directory.Tenant) error { edit(t); return nil }))
	}
	alive := func(want bool, secrets ...string) {
		t.Helper()
		for _, secret := range secrets {
			if s.signedIn(secret) != want {
				t.Errorf("%s: signed in: %v", secret, !want)
			}
		}
	}
	told := s.svc.SessionsEnded()
	for _, edit := range []func(*directory.Tenant){
		func(t *directory.Tenant) { t.SignIn.ClientID = object(5) },
		func(t *directory.Tenant) { t.SignIn.ClientID = strings.ToUpper(object(5)) },
		func(t *directory.Tenant) { t.DirectoryID = strings.ToUpper(object(3)) },
		func(t *directory.Tenant) { t.Graph.Cloud = "public" }, // as before: it is the default
		func(t *directory.Tenant) { t.Graph.Cloud = "" },
		func(t *directory.Tenant) { t.Graph.ClientID = object(6) },
		func(t *directory.Tenant) { t.SignIn.Label, t.SignIn.Prompt = "Fjord", "login" },
		func(t *directory.Tenant) { t.TrustedDomains = []string{"fjord.example"} },
	} {
		set(edit)
		alive(true, "ada", "ada elsewhere", "bo", "twin", "by another way")
		if e := s.lastAudit(); e.Action != "tenant.set" || strings.Contains(string(e.Detail), `"sessions"`) {
			t.Errorf("audit: %+v with %s", e, e.Detail)
		}
	}
	select {
	case <-told:
		t.Error("told of what has not happened")
	default:
	}
	s.store.twice = true
	set(func(t *directory.Tenant) { t.SignIn.ClientID = "" })
	alive(false, "ada", "ada elsewhere", "bo", "out")
	alive(true, "twin", "by another way")
	if got := s.sessionOf("out").Reason; got != directory.EndedSignOut {
		t.Errorf("what had ended has ended again: %s", got)
	}
	var detail struct{ Sessions *int }
	if e := s.lastAudit(); e.Action != "tenant.set" || json.Unmarshal(e.Detail, &detail) != nil || detail.Sessions == nil || *detail.Sessions != 3 {
		t.Errorf("audit: %+v with %s", e, e.Detail)
	}
	s.unchanged(func() { set(func(*directory.Tenant) {}) })
	set(func(t *directory.Tenant) { t.SignIn.Label = "None" }) // nobody could sign in before either
	if e := s.lastAudit(); e.Action != "tenant.set" || strings.Contains(string(e.Detail), `"sessions"`) {
		t.Errorf("audit: %+v with %s", e, e.Detail)
	}
	checkInvariants(s.world)
}

// An address tells the tenants that are trusted for its domain and sign people in, no other.
func TestTenantsByDomain(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	on := func(tenant directory.ID, client string, domains ...string) {
		must(s.svc.SetTenant(s.ctx, operator, tenant, func(t *directory.Tenant) error {
			t.DirectoryID, t.SignIn.ClientID, t.TrustedDomains = object(3), client, domains
			return nil
		}))
	}
	on(s.fjord, object(4), "fjord.example", "shared.example")
	on(s.harbor, object(5), "shared.example")
	on(s.tenant("quiet"), "", "fjord.example", "quiet.example")
	for email, want := range map[string][]string{
		"ada@fjord.example": {"fjord"}, "ADA@FJORD.example": {"fjord"}, "fjord.example": {"fjord"}, " ada@fjord.example ": {"fjord"}, "a@b@fjord.example": {"fjord"},
		"x@shared.example": {"fjord", "harbor"}, "x@quiet.example": nil, "x@sub.fjord.example": nil, "x@example": nil, "": nil, "@": nil, "fjord.example@": nil, "fjord": nil,
	} {
		var got []string
		for _, t := range view(s.world, func(sn *directory.Snapshot) ([]*directory.Tenant, error) { return sn.TenantsByDomain(email) }) {
			got = append(got, t.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", email, diff)
		}
	}
}

// The signing keys are replaced as a whole, by a function of those that there are.
func TestSigningKeys(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	keys := func() []directory.SigningKey {
		return view(s.world, func(sn *directory.Snapshot) ([]directory.SigningKey, error) { return sn.SigningKeys() })
	}
	if got := keys(); got != nil {
		t.Errorf("%+v", got)
	}
	now := s.clock.Now()
	first := directory.SigningKey{ID: "one", Public: []byte("public"), Sealed: "sealed.one", Created: now, From: now}
	add := func(k directory.SigningKey) func([]directory.SigningKey) ([]directory.SigningKey, error) {
		return func(all []directory.SigningKey) ([]directory.SigningKey, error) { return append(all, k), nil }
	}
	s.store.twice = true
	wantSame(t, "after", must(s.svc.SetSigningKeys(s.ctx, theServer, add(first))), []directory.SigningKey{first})
	second := first
	second.ID, second.Until = "two", now.Add(time.Hour)
	wantSame(t, "after", must(s.svc.SetSigningKeys(s.ctx, operator, add(second))), []directory.SigningKey{first, second})
	wantSame(t, "kept", keys(), []directory.SigningKey{first, second})
	if e := s.lastAudit(); e.Action != "signing-keys.set" || strings.Contains(string(e.Detail), "sealed") || !json.Valid(e.Detail) {
		t.Errorf("audit: %+v", e)
	}
	refused := errors.New("refused")
	s.unchanged(func() {
		wantSame(t, "left", must(s.svc.SetSigningKeys(s.ctx, operator, func([]directory.SigningKey) ([]directory.SigningKey, error) { return nil, nil })), []directory.SigningKey{first, second})
		if got, err := s.svc.SetSigningKeys(s.ctx, operator, func([]directory.SigningKey) ([]directory.SigningKey, error) { return []directory.SigningKey{}, refused }); !errors.Is(err, refused) || got != nil {
			t.Errorf("%+v, %v", got, err)
		}
	})
	must(s.svc.SetSigningKeys(s.ctx, operator, func([]directory.SigningKey) ([]directory.SigningKey, error) { return []directory.SigningKey{}, nil }))
	if got := keys(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	checkInvariants(s.world)
}
