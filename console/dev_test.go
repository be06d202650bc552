package console_test

import ("testing";"os";"net/http";"net/http/httptest";"fmt";"time";"strings";"io"
"github.com/bizzstream/bizzscim/auth"
"github.com/bizzstream/bizzscim/console"
"github.com/bizzstream/bizzscim/directory")

// Serve plain loopback HTTP proxying, with cookies put in by path /as/...
func TestDev(t *testing.T) {
	if os.Getenv("DEV") == "" { t.Skip() }
	w := newWorld(t)
	w.person("Marta", "Marta Berg")
	w.person("Jonas", "Jonas Verhoeven van der Linden-Achternaam")
	on := true
	must(w.svc.SetAdministrator(t.Context(), operator, w.users["Marta"].AccountID, w.env.ID, true))
	org2 := must(w.svc.CreateOrganization(t.Context(), operator, "Fjord Retail"))
	_, err := w.svc.SetTenant(t.Context(), operator, w.tenant.ID, func(tn *directory.Tenant) error { tn.OrganizationIDs = append(tn.OrganizationIDs, org2.ID); return nil }); w.ok(err)
	for _, n := range []string{"Acceptance", "Test"} {
		e := must(w.svc.CreateEnvironment(t.Context(), operator, org2.ID, n))
		_, _, err := w.svc.SetIntegration(t.Context(), operator, e.ID, directory.IntegrationInput{Enabled: &on, TenantID: &w.tenant.ID, Groups: []string{"c0ffee00-0000-4000-8000-000000000001"}}); w.ok(err)
	}
	w.localOperator("ops@bizzstream.example", "Olga Operator", "correct horse battery")
	setup, _, err := w.local.NewLink(t.Context(), operator, directory.LinkPassword, must(w.svc.CreateOperator(t.Context(), operator, "second@bizzstream.example", "Second")).ID, time.Hour); w.ok(err)
	cookies := map[string]string{}
	b := w.browser(); 
	b2 := w.browser(); b2.signIn("Marta", "")
	ua := "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0"
	_ = ua
	b.signIn("Marta", "")
	cookies["marta"] = auth.SessionCookie + "=" + b.cookie(auth.SessionCookie) + "; __Host-tenant=" + w.tenant.ID.String()
	bo := w.browser(); bo.post("/operator", map[string][]string{"email": {"ops@bizzstream.example"}, "password": {"correct horse battery"}})
	cookies["ops"] = auth.SessionCookie + "=" + bo.cookie(auth.SessionCookie)
	cookies["tenant"] = "__Host-tenant=" + w.tenant.ID.String()
	cookies[""] = ""
	c := console.New(console.Config{Directory: w.svc, Sessions: w.sessions, SignIn: w.signIn, Local: w.local, URL: func() string { return "" }, Address: func(*http.Request) string { return "192.0.2.1" },
		RequestID: func(*http.Request) string { return "01935a2e-7c1f-7b12" }, Limit: func(*http.Request) (time.Duration, bool) { return 0, true }, Now: w.clock.Now, Log: nil})
	_ = c
	// http://127.0.0.1:8099/as/<who>/<theme>/<lang>/<METHOD>/path ; body by query _body
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/problem" {
			console.ShowProblem(w.console, rw, r, &auth.Problem{Code: auth.ProblemCode(r.URL.Query().Get("code")), Tenant: w.tenant, OAuth: "access_denied", Number: "AADSTS53003", CorrelationID: "7b1f8a0e-7c1f-4b12-9d5e-0b3c6a1d2e3f", TraceID: "0c1f8a0e-7c1f-4b12-9d5e-0b3c6a1d2e3f", Next: "/"})
			return
		}
		parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/as/"), "/", 5)
		method, path := "GET", r.URL.RequestURI()
		req, _ := http.NewRequest(method, w.server.URL+path, nil)
		if len(parts) == 5 && strings.HasPrefix(r.URL.Path, "/as/") {
			method = parts[3]
			body := r.URL.Query().Get("_body")
			req, _ = http.NewRequest(method, w.server.URL+"/"+parts[4]+"?"+r.URL.RawQuery, strings.NewReader(body))
			who := parts[0]; if who == "-" { who = "" }
			req.Header.Set("Cookie", cookies[who]+"; __Host-theme="+parts[1]+"; __Host-language="+parts[2])
			req.Header.Set("Sec-Fetch-Site", "same-origin"); req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("User-Agent", ua)
		} else { for k, v := range r.Header { req.Header[k] = v } }
		cl := *w.server.Client(); cl.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		res, err := cl.Do(req)
		if err != nil { http.Error(rw, err.Error(), 500); return }
		defer res.Body.Close()
		for k, v := range res.Header { rw.Header()[k] = v }
		rw.WriteHeader(res.StatusCode); _, _ = io.Copy(rw, res.Body)
	}))
	fmt.Println("DEV", s.URL, "link", setup)
	os.WriteFile("/tmp/console-dev", []byte(s.URL+" "+setup), 0o600)
	time.Sleep(40 * time.Minute)
}
