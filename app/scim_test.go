package app_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/directory"
)

// /Me is for the session of a person, below the Tenant URL of their own directory.
func TestMeOfASession(t *testing.T) {
	w := apptest.New(t, nil)
	anybody := w.SignIn(nil)
	me := func(account *directory.Account, tenant string) apptest.Answer {
		return anybody.Do("GET", "/scim/"+tenant+"/v2/Me", nil, "Authorization", "Bearer "+w.SignIn(account).Session())
	}
	got := me(w.Fjord.Plain, "fjord")
	var user struct{ ID, UserName string }
	w.Must(json.Unmarshal([]byte(got.Body), &user))
	location := w.Server.URL + "/scim/fjord/v2/Users/" + w.Fjord.Plain.UserID.String()
	if got.Status != 200 || user.ID != w.Fjord.Plain.UserID.String() || user.UserName != "ana@fjord.example" || got.Header.Get("Content-Location") != location {
		t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
	}
	if got := me(w.Fjord.Plain, "nordwind"); got.Status != 404 || got.Body != me(w.Fjord.Plain, "nobody").Body {
		t.Errorf("another tenant: %d %s", got.Status, got.Body)
	}
	if got := me(w.Boss, "fjord"); got.Status != 404 || !strings.Contains(got.Body, "no directory manages this account") {
		t.Errorf("an operator: %d %s", got.Status, got.Body)
	}
	for name, authorization := range map[string]string{"an API token": w.OperatorAPI("users:read").Token, "nobody's session": "bze_x"} {
		if got := anybody.Do("GET", "/scim/fjord/v2/Me", nil, "Authorization", "Bearer "+authorization); got.Status != 401 {
			t.Errorf("%s: %d", name, got.Status)
		}
	}
	if got := w.SignIn(w.Fjord.Plain).Get("/scim/fjord/v2/Me"); got.Status != 401 { // what a browser sends by itself opens nothing
		t.Errorf("a cookie: %d", got.Status)
	}
	if got := anybody.Do("GET", "/scim/fjord/v2/Me", nil, "Authorization", "Bearer "+w.Fjord.Token); got.Status != 501 {
		t.Errorf("a Secret Token: %d", got.Status)
	}
	// Asking keeps no session alive.
	session := w.SignIn(w.Fjord.Plain).Session()
	w.Advance(directory.SessionLife)
	if got := anybody.Do("GET", "/scim/fjord/v2/Me", nil, "Authorization", "Bearer "+session); got.Status != 401 {
		t.Errorf("an ended session: %d", got.Status)
	}
}

// No request below /scim/ is sent elsewhere, kept by anybody on the way, or answered in another form than SCIM's.
func TestNoAnswerOfSCIMLeadsElsewhere(t *testing.T) {
	w := apptest.New(t, nil)
	b, user := w.SignIn(nil), w.Fjord.Users[0].ID.String()
	for _, path := range []string{"/Users", "/Users/", "//Users", "/Users//", "/Users//" + user, "/./Users", "/../v2/Users", "/../../nordwind/v2/Users", "/Users/%2e%2e/Groups", "/Users%2F" + user,
		"/Users/" + user + "/", "/Users/" + user + "%2f", "/Users/" + user + ";x=1", "/Users/%5c" + user, "/Users/%00", "/Users/%ff", "/Users/%c0%ae", "", "/", "/users", "/USERS/" + user,
		"/Me", "/Me/", "/Nothing", "/ServiceProviderConfig", "/Schemas/", "/%55sers"} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS", "TRACE", "BREW"} {
			for _, authorization := range []string{"Bearer " + w.Fjord.Token, ""} {
				got := b.Do(method, "/scim/fjord/v2"+path, strings.NewReader("{}"), "Content-Type", "application/scim+json", "Authorization", authorization, "X-HTTP-Method-Override", "DELETE")
				what := method + " " + path
				switch kind := got.Header.Get("Content-Type"); {
				case got.Status >= 300 && got.Status < 400, got.Status >= 400 && got.Header.Get("Location") != "":
					t.Errorf("%s: %d, Location %q", what, got.Status, got.To)
				case got.Header.Get("Cache-Control") != "no-store":
					t.Errorf("%s: Cache-Control %q", what, got.Header.Get("Cache-Control"))
				case got.Body != "" && kind != "application/scim+json":
					t.Errorf("%s: %d %s", what, got.Status, kind)
				case authorization == "" && got.Status != 401 && got.Status != 404:
					t.Errorf("%s: %d without a token", what, got.Status)
				case got.Header.Get("Access-Control-Allow-Origin") != "":
					t.Errorf("%s: opened to other sites", what)
				}
			}
		}
	}
	if got := b.Do("GET", "/scim/fjord/v2/Users/"+user, nil, "Authorization", "Bearer "+w.Fjord.Token); got.Status != 200 {
		t.Errorf("the user is gone: %d", got.Status)
	}
}
