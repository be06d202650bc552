package authtest

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

// Suite is what a provider brings to the suite.
type Suite struct {
	Store    func(t *testing.T) directory.Store // an empty one
	Provider func(t *testing.T, now func() time.Time) Provider
}

// Run runs the suite. A provider that is a Canceller, a Rotator or an Attacker is tested as such too.
func (s Suite) Run(t *testing.T) {
	for name, test := range map[string]func(*World){
		"a person signs in":                              signsIn,
		"the request is as it should be":                 request,
		"a browser keeps four sign-ins at most":          fourAtMost,
		"an answer opens nothing in another browser":     anotherBrowser,
		"an answer is good once":                         replay,
		"the state of another attempt is not taken":      swappedState,
		"a code of another sign-in is not taken":         injectedCode,
		"somebody nobody has provisioned":                notProvisioned,
		"somebody who is provisioned while they sign in": provisioned,
		"somebody who was deactivated meanwhile":         deactivated,
		"somebody who has left the last group":           noAccess,
		"a secret that is wrong":                         wrongSecret,
		"an application that the provider does not know": unknownApplication,
		"many at once":                 manyAtOnce,
		"signing out of the directory": signsOut,
		"a new sign-in of a browser ends the session before":  replaces,
		"a person who says no":                                saysNo,
		"a new key signs, and the one before is not believed": rotates,
		"a wrong ID token is refused":                         attacks,
	} {
		t.Run(name, func(t *testing.T) {
			test(NewWorld(t, s.Store(t), func(now func() time.Time) Provider { return s.Provider(t, now) }))
		})
	}
}

func signsIn(w *World) {
	ada := w.Person("ada")
	b := w.Browser()
	back, err := w.Provider.SignIn(w.Context(), b.Begin(auth.Start{Next: "/account?tab=sessions"}), ada)
	w.ok(err)
	done, err := b.Finish(back)
	p := w.WantSession(done, err)
	if p.Account.Email != "ada@fjord.example" || len(p.Accesses) != 1 || p.Accesses[0].EnvironmentID != w.Env {
		w.Errorf("signed in as %s with the accesses %v", p.Account.Email, p.Accesses)
	}
	if s := done.Session; s.Method != directory.MethodDirectory || s.ObjectID != ada || s.TenantID != w.Tenant.ID || s.Address != "192.0.2.1" {
		w.Errorf("the session says %+v", s)
	}
	if done.Next != "/account?tab=sessions" || done.Tenant.ID != w.Tenant.ID {
		w.Errorf("goes on to %q of %s", done.Next, done.Tenant.Name)
	}
	if len(b.Cookies()) != 0 {
		w.Errorf("cookies are left: %v", b.Cookies())
	}
	for range 2 { // again, and in another browser: with the subject that is known now
		done, err = w.Browser().SignInAs(ada)
		w.WantSession(done, err)
	}
	if r := w.Refusals(); len(r) != 0 {
		w.Errorf("the audit has refusals: %v", r)
	}
}

func request(w *World) {
	u, err := url.Parse(w.Browser().Begin(auth.Start{LoginHint: "ada@fjord.example"}))
	w.ok(err)
	q := u.Query()
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if v := q[name]; len(v) != 1 || len(v[0]) != 43 { // 256 bits
			w.Errorf("%s is %q", name, v)
		}
		q.Del(name)
	}
	want := url.Values{"response_type": {"code"}, "response_mode": {"query"}, "client_id": {w.Tenant.SignIn.ClientID}, "redirect_uri": {RedirectURI},
		"scope": {"openid profile"}, "code_challenge_method": {"S256"}, "login_hint": {"ada@fjord.example"}}
	if d := cmp.Diff(want, q); d != "" {
		w.Error(d)
	}
}

func fourAtMost(w *World) {
	ada := w.Person("ada")
	b := w.Browser()
	var addresses []string
	for range 6 {
		addresses = append(addresses, b.Begin(auth.Start{}))
		w.Clock.Advance(time.Second)
	}
	if n := len(b.Cookies()); n != 4 {
		w.Errorf("%d sign-ins are under way", n)
	}
	for n, address := range addresses {
		back, err := w.Provider.SignIn(w.Context(), address, ada)
		w.ok(err)
		done, err := b.Finish(back)
		if n < 2 {
			WantProblem(w, done, err, auth.ProblemStart)
		} else {
			w.WantSession(done, err)
		}
	}
}

func anotherBrowser(w *World) {
	ada := w.Person("ada")
	mallory, victim := w.Browser(), w.Browser()
	back, err := w.Provider.SignIn(w.Context(), mallory.Begin(auth.Start{}), ada)
	w.ok(err)
	done, err := victim.Finish(back) // without a cookie
	WantProblem(w, done, err, auth.ProblemStart)
	victim.Begin(auth.Start{}) // with one of its own
	done, err = victim.Finish(back)
	WantProblem(w, done, err, auth.ProblemStart)
	if len(victim.Cookies()) != 1 {
		w.Error("a foreign answer has taken the sign-in of the victim away")
	}
	done, err = mallory.Finish(back) // it was not spent
	w.WantSession(done, err)
}

func replay(w *World) {
	ada := w.Person("ada")
	b := w.Browser()
	address := b.Begin(auth.Start{})
	cookies := b.Cookies()
	back, err := w.Provider.SignIn(w.Context(), address, ada)
	w.ok(err)
	done, err := b.Finish(back)
	w.WantSession(done, err)
	done, err = b.Finish(back)
	WantProblem(w, done, err, auth.ProblemStart) // the cookie is gone
	b.keep([]*http.Cookie{{Name: cookies[0].Name, Value: cookies[0].Value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}})
	done, err = b.Finish(back)
	WantProblem(w, done, err, auth.ProblemReplay)
}

// answers gives the answers of two sign-ins of a browser.
func answers(w *World, b *Browser, one, other directory.ID) (first, second url.Values) {
	w.Helper()
	var all []url.Values
	for _, who := range []directory.ID{one, other} {
		back, err := w.Provider.SignIn(w.Context(), b.Begin(auth.Start{}), who)
		w.ok(err)
		u, err := url.Parse(back)
		w.ok(err)
		all = append(all, u.Query())
	}
	return all[0], all[1]
}

func swappedState(w *World) {
	b := w.Browser()
	first, second := answers(w, b, w.Person("ada"), w.Person("bob"))
	first["state"], second["state"] = second["state"], first["state"]
	for _, query := range []url.Values{first, second} {
		done, err := b.FinishQuery(query)
		if p := WantProblem(w, done, err, auth.ProblemStart); p.OAuth != "invalid_grant" && p.OAuth != "invalid_request" {
			w.Errorf("the provider says %q", p.OAuth) // it is the verifier of PKCE that tells
		}
	}
}

func injectedCode(w *World) {
	ada, mallory := w.Browser(), w.Browser()
	stolen, _ := answers(w, ada, w.Person("ada"), w.Person("bob"))
	own, _ := answers(w, mallory, w.Person("mallory"), w.Person("mia"))
	own["code"] = stolen["code"]
	done, err := mallory.FinishQuery(own)
	WantProblem(w, done, err, auth.ProblemStart)
}

func notProvisioned(w *World) {
	object := w.Provider.AddPerson("carl")
	var asked atomic.Int64
	w.Asked = func(_ context.Context, tenant *directory.Tenant, who directory.ID) error {
		if tenant.ID != w.Tenant.ID || who != object {
			w.Errorf("asked for %s of %s", who, tenant.Name)
		}
		asked.Add(1)
		return nil
	}
	for range 3 {
		done, err := w.Browser().SignInAs(object)
		p := WantProblem(w, done, err, auth.ProblemNotProvisioned)
		if p.Tenant == nil || p.Tenant.ID != w.Tenant.ID {
			w.Errorf("the tenant of the problem is %v", p.Tenant)
		}
	}
	if n := asked.Load(); n != 1 {
		w.Errorf("the directory was asked %d times", n)
	}
	all := w.Refusals()
	if len(all) != 3 || all[0].Target != w.Tenant.ID.String() || string(all[0].Detail) != `{"code":"not_provisioned","objectId":"`+object.String()+`"}` {
		w.Errorf("the audit has %v", all)
	}
}

func provisioned(w *World) {
	object := w.Provider.AddPerson("carl")
	w.Asked = func(context.Context, *directory.Tenant, directory.ID) error {
		w.Provision("carl", object)
		w.Join(object)
		return nil
	}
	done, err := w.Browser().SignInAs(object)
	w.WantSession(done, err)
}

func deactivated(w *World) {
	ada := w.Person("ada")
	b := w.Browser()
	back, err := w.Provider.SignIn(w.Context(), b.Begin(auth.Start{}), ada)
	w.ok(err)
	w.SetActive(ada, false)
	done, err := b.Finish(back)
	WantProblem(w, done, err, auth.ProblemInactive)
	w.SetActive(ada, true)
	done, err = b.SignInAs(ada)
	w.WantSession(done, err)
}

func noAccess(w *World) {
	ada := w.Person("ada")
	w.Leave(ada)
	done, err := w.Browser().SignInAs(ada)
	WantProblem(w, done, err, auth.ProblemNoAccess)
	w.Join(ada)
	done, err = w.Browser().SignInAs(ada)
	w.WantSession(done, err)
}

func wrongSecret(w *World) {
	ada := w.Person("ada")
	b := w.Browser()
	back, err := w.Provider.SignIn(w.Context(), b.Begin(auth.Start{}), ada)
	w.ok(err)
	_, err = w.Service.SetCredential(w.Context(), Operator, directory.Credential{TenantID: w.Tenant.ID, Name: directory.SignInCredential, Kind: "secret", Sealed: "wrong"})
	w.ok(err)
	done, err := b.Finish(back)
	if p := WantProblem(w, done, err, auth.ProblemConfiguration); p.OAuth != "invalid_client" {
		w.Errorf("the provider says %q", p.OAuth)
	}
}

func unknownApplication(w *World) {
	ada := w.Person("ada")
	_, err := w.Service.SetTenant(w.Context(), Operator, w.Tenant.ID, func(t *directory.Tenant) error {
		t.SignIn.ClientID = "00000000-1111-4222-8333-444444444444"
		return nil
	})
	w.ok(err)
	if back, err := w.Provider.SignIn(w.Context(), w.Browser().Begin(auth.Start{}), ada); err == nil {
		w.Errorf("the provider sends the browser to %s", back)
	}
}

func manyAtOnce(w *World) {
	var people []directory.ID
	for _, name := range []string{"ada", "bob", "carl", "dora", "emil"} {
		people = append(people, w.Person(name))
	}
	var wg sync.WaitGroup
	for n := range 15 {
		wg.Go(func() {
			who := people[n%len(people)]
			b := w.Browser()
			address, err := b.TryBegin(auth.Start{})
			if err != nil {
				w.Error(err)
				return
			}
			back, err := w.Provider.SignIn(w.Context(), address, who)
			if err != nil {
				w.Error(err)
				return
			}
			u, err := url.Parse(back)
			if err != nil {
				w.Error(err)
				return
			}
			if done, err := b.FinishQuery(u.Query()); err != nil || done.Session.ObjectID != who {
				w.Errorf("signed in as somebody else, or not: %v", err)
			}
		})
	}
	wg.Wait()
}

func signsOut(w *World) {
	done, err := w.Browser().SignInAs(w.Person("ada"))
	w.WantSession(done, err)
	address, err := w.SignIn.LogoutURL(w.Context(), done.Session, LoggedOutURI)
	w.ok(err)
	req, err := http.NewRequestWithContext(w.Context(), http.MethodGet, address, nil)
	w.ok(err)
	client := *w.Provider.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	w.ok(err)
	resp.Body.Close()
	if resp.StatusCode >= http.StatusBadRequest {
		w.Errorf("signing out at %s answers %s", address, resp.Status)
	}
	local := *done.Session
	local.Method = directory.MethodPassword
	if address, err := w.SignIn.LogoutURL(w.Context(), &local, LoggedOutURI); err != nil || address != "" {
		w.Errorf("a session of a password is signed out at %q, %v", address, err)
	}
}

func replaces(w *World) {
	ada := w.Person("ada")
	b := w.Browser()
	first, err := b.SignInAs(ada)
	w.WantSession(first, err)
	second, err := b.SignInAs(ada)
	w.WantSession(second, err)
	if first.Secret == second.Secret {
		w.Error("the secret of the session stays")
	}
	if _, err := w.Service.CheckSession(w.Context(), auth.Hash(first.Secret), time.Time{}); err == nil {
		w.Error("the session before holds on")
	}
}

func saysNo(w *World) {
	c, ok := w.Provider.(Canceller)
	if !ok {
		w.Skip("nobody can say no at this provider")
	}
	b := w.Browser()
	back, err := c.Cancel(w.Context(), b.Begin(auth.Start{Next: "/account"}))
	w.ok(err)
	done, err := b.Finish(back)
	p := WantProblem(w, done, err, auth.ProblemCancelled)
	if p.OAuth != "access_denied" || p.Next != "/account" || p.Tenant == nil {
		w.Errorf("the problem is %+v", p)
	}
	if len(w.Refusals()) != 0 {
		w.Error("the audit has what the provider has said")
	}
}

func rotates(w *World) {
	r, ok := w.Provider.(Rotator)
	if !ok {
		w.Skip("this provider has one key")
	}
	ada := w.Person("ada")
	done, err := w.Browser().SignInAs(ada)
	w.WantSession(done, err)
	r.Rotate()
	done, err = w.Browser().SignInAs(ada)
	WantProblem(w, done, err, auth.ProblemToken) // nobody looks for another key yet
	w.Clock.Advance(5 * time.Minute)
	done, err = w.Browser().SignInAs(ada)
	w.WantSession(done, err)
}

func attacks(w *World) {
	a, ok := w.Provider.(Attacker)
	if !ok {
		w.Skip("this provider makes right tokens alone")
	}
	ada := w.Person("ada")
	for _, name := range a.Attacks() {
		a.Attack(name)
		done, err := w.Browser().SignInAs(ada)
		if err == nil || done.Secret != "" {
			w.Errorf("%s: signed in", name)
		}
	}
	a.Attack("")
	done, err := w.Browser().SignInAs(ada)
	w.WantSession(done, err)
}
