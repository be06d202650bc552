package main

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/bizzstream/bizzscim/entrasim"
)

// The application of a simulated directory signs in whom the program names, tells the server when they sign out, and
// brings them back to the server's own page.
func TestSimulatedSignIn(t *testing.T) {
	told := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.URL.String() }))
	defer server.Close()
	tenant := entrasim.New(entrasim.Options{Seed: 3})
	guest, gone := tenant.Hire(entrasim.Person{HomeDomain: "partner.example"}), tenant.Hire(entrasim.Person{})
	person := tenant.Hire(entrasim.Person{})
	group := tenant.CreateGroup("Staff").ID
	for _, u := range []entrasim.User{guest, gone, person} {
		if err := tenant.AddMember(group, u.ID); err != nil {
			t.Fatal(err)
		}
	}
	if err := tenant.Disable(gone.ID); err != nil {
		t.Fatal(err)
	}
	g, err := entrasim.NewGraph(tenant, entrasim.GraphOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}()
	s := registerSignIn(g, tenant, group, "http://127.0.0.1:1/auth/callback", server.URL+"/out")
	if s.Person != person.UserPrincipalName {
		t.Errorf("the person to try with is %q", s.Person)
	}
	b := g.Browser()
	defer b.Close()
	sum := sha256.Sum256([]byte("verifier"))
	base := g.LoginURL() + tenant.ID() + "/oauth2/v2.0"
	o, err := b.SignIn(t.Context(), base+"/authorize?"+url.Values{"client_id": {s.ClientID}, "redirect_uri": {s.RedirectURI}, "response_type": {"code"},
		"scope": {"openid"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}.Encode(), s.Person)
	if err != nil || o.URL == nil || o.Values().Get("code") == "" {
		t.Fatalf("page %q AADSTS%d, %v: %v", o.Page, o.Number, o.URL, err)
	}
	o, err = b.SignOut(t.Context(), base+"/logout?post_logout_redirect_uri="+url.QueryEscape("http://127.0.0.1:1/signed-out"), "")
	if err != nil || o.URL == nil || o.URL.String() != "http://127.0.0.1:1/signed-out" {
		t.Fatalf("page %q, %v: %v", o.Page, o.URL, err)
	}
	select {
	case call := <-told:
		if u, err := url.Parse(call); err != nil || u.Path != "/out" || u.Query().Get("sid") == "" {
			t.Errorf("told %s %v", call, err)
		}
	default:
		t.Error("the server was not told")
	}
	if s := registerSignIn(g, tenant, tenant.CreateGroup("Empty").ID, "http://127.0.0.1:1/auth/callback", ""); s.Person != "" {
		t.Errorf("%q is in an empty group", s.Person)
	}
}
