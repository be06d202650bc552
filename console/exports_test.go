package console_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// hooked is an answer that does something when its body begins.
type hooked struct {
	*httptest.ResponseRecorder
	once  sync.Once
	begin func()
}

func (h *hooked) Write(p []byte) (int, error) {
	if len(p) > 100 { // not the mark of UTF-8
		h.once.Do(h.begin)
	}
	return h.ResponseRecorder.Write(p)
}

// cutOff has a file handed over and does something once it has begun. It reports whether the answer broke off.
func cutOff(w *apptest.World, who *directory.Account, path string, then func()) (body string, broke bool) {
	w.Helper()
	r := httptest.NewRequestWithContext(w.Context(), http.MethodGet, path, nil)
	r.Host = strings.TrimPrefix(w.Server.URL, "https://")
	r.AddCookie(&http.Cookie{Name: auth.SessionCookie, Value: w.SignIn(who).Session()})
	rw := &hooked{ResponseRecorder: httptest.NewRecorder(), begin: then}
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			panic(p)
		} else if p != nil {
			broke = true
		}
		body = rw.Body.String()
	}()
	w.App.Handler().ServeHTTP(rw, r)
	return "", false
}

// Who is signed out, or has lost the role, is handed no more of a file than the part that was read before.
func TestExportsEndWithTheSight(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	const lines = desk.MaxLimit + 100
	run := directory.Run{ID: w.Fjord.Production.ID, EnvironmentID: w.Fjord.Production.ID, TenantID: w.Fjord.Tenant.ID, Actor: apptest.Operator, State: directory.RunComplete,
		Trigger: directory.TriggerManual, Started: w.Now(), Ended: w.Now()}
	w.Must(w.Service.SaveRun(t.Context(), &run, nil))
	var items []directory.PlanItem
	for i := range lines {
		w.Must(w.Service.LogFailure(t.Context(), fjordPush(w), directory.LogEvent{TenantID: w.Fjord.Tenant.ID, Action: directory.ActionCreate, TargetType: "User", TargetName: fmt.Sprint("bulk-", i)}))
		w.Must(w.Service.Audit(t.Context(), apptest.Operator, "bulk", fmt.Sprint("bulk-", i), nil))
		items = append(items, directory.PlanItem{Number: uint64(i) + 1, Kind: directory.ItemCreate, UserName: fmt.Sprint("bulk-", i), Outcome: directory.OutcomeApplied})
	}
	w.Must(w.Service.SaveItems(t.Context(), run.ID, items))
	signOut := func(who *directory.Account) func() {
		return func() {
			_, err := w.Service.EndSessions(t.Context(), apptest.Operator, who.ID, directory.ID{}, directory.EndedRevoked)
			w.Must(err)
		}
	}
	runPath := "/runs/" + run.ID.String()
	for _, c := range []struct {
		path string
		who  *directory.Account
		then func()
	}{
		{"/log/export?format=csv", w.Fjord.Partner, signOut(w.Fjord.Partner)},
		{"/log/export?format=json", w.Fjord.Partner, signOut(w.Fjord.Partner)},
		{"/audit/export?format=csv", w.Boss, signOut(w.Boss)},
		{runPath + "/export.csv", w.Fjord.Partner, signOut(w.Fjord.Partner)},
		{runPath + "/export.json", w.Fjord.Admin, func() { loseOffice(w, w.Fjord.Admin) }},
		{"/log/export?format=csv", w.Fjord.Partner, func() { loseOffice(w, w.Fjord.Partner) }},
	} {
		body, broke := cutOff(w, c.who, c.path, func() {})
		whole := strings.Count(body, "\n")
		if broke || whole < lines {
			t.Fatalf("%s: %d lines, broke off: %v\n%.300s", c.path, whole, broke, body)
		}
		body, broke = cutOff(w, c.who, c.path, c.then)
		if n := strings.Count(body, "\n"); !broke || n > desk.MaxLimit+2 {
			t.Errorf("%s, who may have it no more: %d lines of %d, broke off: %v", c.path, n, whole, broke)
		}
	}
}

// Two files at a time are handed over to one person; a third is a page that says so, and for how long.
func TestExportsAreFew(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	run := directory.Run{ID: w.Fjord.Production.ID, EnvironmentID: w.Fjord.Production.ID, TenantID: w.Fjord.Tenant.ID, Actor: apptest.Operator, State: directory.RunComplete,
		Trigger: directory.TriggerManual, Started: w.Now(), Ended: w.Now()}
	w.Must(w.Service.SaveRun(t.Context(), &run, nil))
	paths := []string{"/log/export?format=csv", "/audit/export?format=json", "/report/export?format=csv", "/report/export?format=jws", "/runs/" + run.ID.String() + "/export.csv"}
	status := func(want int) {
		t.Helper()
		for _, path := range paths {
			got := w.SignIn(w.Boss).Get(path)
			if got.Status != want || (want == http.StatusTooManyRequests) != (got.Header.Get("Retry-After") == "10" && strings.Contains(got.Body, "One thing after the other")) {
				t.Errorf("%s: %d %v\n%s", path, got.Status, got.Header, got.Body)
			}
		}
	}
	var leave []func()
	for range 2 {
		l, err := w.App.Desk().Export(directory.Actor{ID: w.Boss.ID.String()})
		w.Must(err)
		leave = append(leave, l)
	}
	status(http.StatusTooManyRequests)
	if got := w.SignIn(w.Fjord.Partner).Get("/log/export"); got.Status != http.StatusOK {
		t.Errorf("another one: %d", got.Status)
	}
	leave[0]()
	status(http.StatusOK)
	status(http.StatusOK) // each has left its place
	if got := w.SignIn(w.Boss).Get("/log/export?tenant=x"); got.Status != http.StatusNotFound {
		t.Errorf("%d", got.Status)
	}
}
