package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bizzstream/bizzscim/api"
	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// runTokens lets in whom a token describes: ROLE/SCOPE/SCOPE, within Fjord.
type runTokens struct{ w *apptest.World }

func (s runTokens) Authenticate(_ context.Context, token, _ string) (by directory.Actor, scopes []string, err error) {
	role, rest, _ := strings.Cut(token, "/")
	by = directory.Actor{Role: directory.Role(role), ID: "token"}
	switch by.Role {
	case directory.RoleEnvironment:
		by.Reach = &directory.Reach{Environments: []directory.ID{s.w.Fjord.Production.ID}}
	case directory.RolePartner:
		by.Reach = &directory.Reach{Organizations: []directory.ID{s.w.Fjord.Organization.ID}}
	}
	return by, strings.Split(rest, "/"), nil
}

const (
	runsAdmin    = "environment administrator/runs:read/runs:write"
	runsPartner  = "partner/runs:read/runs:write"
	runsReader   = "operator/runs:read"
	runsOperator = "operator/runs:read/runs:write"
)

// runsAPI is an API over a world.
type runsAPI struct {
	*apptest.World
	h http.Handler
}

func newRunsAPI(t *testing.T) *runsAPI {
	w := apptest.New(t, nil)
	var n atomic.Int64
	return &runsAPI{w, api.NewHandler(api.Config{Desk: w.App.Desk(), Tokens: runTokens{w}, Address: func(*http.Request) string { return "192.0.2.1" },
		RequestID: func(*http.Request) string { return fmt.Sprint("request-", n.Add(1)) }, URL: w.App.URL, Version: "test"})}
}

// call sends a request and returns its status; out, unless nil, takes the answer.
func (a *runsAPI) call(token, method, path, in string, out any) int {
	a.Helper()
	r := httptest.NewRequestWithContext(a.Context(), method, api.Prefix+path, strings.NewReader(in))
	r.Header.Set("Authorization", "Bearer "+token)
	if in != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	rec := httptest.NewRecorder()
	a.h.ServeHTTP(rec, r)
	if out != nil {
		if err := json.Unmarshal(rec.Body.Bytes(), out); err != nil {
			a.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
		}
	}
	return rec.Code
}

// sync begins a run and waits for its end.
func (a *runsAPI) sync(token, in string) (run desk.Run) {
	a.Helper()
	if status := a.call(token, http.MethodPost, "/environments/"+a.Fjord.Production.ID.String()+"/sync", in, &run); status != http.StatusAccepted {
		a.Fatalf("%d", status)
	}
	return a.ended(run.ID)
}

func (a *runsAPI) ended(id directory.ID) (run desk.Run) {
	a.Helper()
	a.WaitRun(id)
	if status := a.call(runsReader, http.MethodGet, "/runs/"+id.String(), "", &run); status != http.StatusOK {
		a.Fatal(status)
	}
	return run
}

func TestRunsOfTheAPI(t *testing.T) {
	t.Parallel()
	a := newRunsAPI(t)
	id, _ := directory.ParseID(a.Fjord.Users[2].ExternalID)
	p := pulltest.NewPerson(777)
	p.DisplayName = "Nina New"
	a.Directory.SetPerson(p)
	a.Directory.Add(a.Fjord.GroupID, p.ID)
	a.Directory.Remove(a.Fjord.GroupID, id)
	preview := a.sync(runsAdmin, `{"preview":true}`)
	if preview.State != directory.RunPreview || preview.Counts.Create != 1 || preview.Counts.Revoke != 1 || len(preview.Findings) != 1 || preview.Findings[0].Kind != "first" {
		t.Fatalf("%+v", preview)
	}
	waits := a.sync(runsAdmin, "")
	if !waits.Waits || waits.Hash == "" || waits.Until == nil {
		t.Fatalf("%+v", waits)
	}
	var items desk.List[desk.RunItem]
	if status := a.call(runsReader, http.MethodGet, "/runs/"+waits.ID.String()+"/items?kind=deactivate,revoke", "", &items); status != http.StatusOK || len(items.Items) != 1 || items.Items[0].UserName != "ana@fjord.example" {
		t.Errorf("%d %+v", status, items)
	}
	path := "/runs/" + waits.ID.String()
	for _, c := range []struct {
		name, token, method, path, body string
		want                            int
	}{
		{"another plan", runsAdmin, "POST", path + "/allow", `{"hash":"` + strings.Repeat("0", 64) + `","reason":"ticket 1"}`, http.StatusConflict},
		{"no reason", runsAdmin, "POST", path + "/allow", `{"hash":"` + waits.Hash + `","reason":" "}`, http.StatusUnprocessableEntity},
		{"no hash", runsAdmin, "POST", path + "/allow", `{"reason":"ticket 1"}`, http.StatusUnprocessableEntity},
		{"no scope", runsReader, "POST", path + "/discard", "", http.StatusForbidden},
		{"a partner who sees it", runsPartner, "POST", path + "/discard", "", http.StatusForbidden},
		{"an end that is over", runsAdmin, "POST", path + "/cancel", "", http.StatusConflict},
		{"an unknown state", runsAdmin, "GET", "/runs?state=nonsense", "", http.StatusUnprocessableEntity},
		{"a page that is not there", runsAdmin, "GET", "/runs?after=x", "", http.StatusUnprocessableEntity},
		{"a page of people that is not there", runsAdmin, "GET", path + "/items?after=2.1", "", http.StatusUnprocessableEntity},
		{"an environment of others", runsAdmin, "GET", "/runs?environment=" + a.Nordwind.Production.ID.String(), "", http.StatusNotFound},
		{"a sync for others", runsAdmin, "POST", "/environments/" + a.Nordwind.Production.ID.String() + "/sync", "", http.StatusNotFound},
		{"without an integration", runsOperator, "POST", "/environments/" + a.Fjord.Finance.ID.String() + "/sync", "", http.StatusUnprocessableEntity},
		{"an administrator who wants to restore", runsAdmin, "POST", "/environments/" + a.Fjord.Production.ID.String() + "/sync", `{"restore":true}`, http.StatusForbidden},
	} {
		if got := a.call(c.token, c.method, c.path, c.body, nil); got != c.want {
			t.Errorf("%s: %d, not %d", c.name, got, c.want)
		}
	}
	var next desk.Run
	if status := a.call(runsAdmin, http.MethodPost, path+"/allow", `{"hash":"`+waits.Hash+`","reason":"ticket 4711"}`, &next); status != http.StatusAccepted {
		t.Fatal(status)
	}
	next = a.ended(next.ID)
	if next.State != directory.RunComplete || next.Allowed == nil || next.Allowed.Reason != "ticket 4711" || next.AllowedRun == nil || *next.AllowedRun != waits.ID || next.Counts.Deactivated != 1 {
		t.Errorf("%+v", next)
	}
	if after := a.ended(waits.ID); after.State != directory.RunAllowed || after.Decision == nil || after.Decision.Reason != "ticket 4711" || after.Waits {
		t.Errorf("%+v", after)
	}
	var list desk.List[desk.Run]
	a.call(runsAdmin, http.MethodGet, "/runs", "", &list)
	if len(list.Items) != 3 || list.Items[0].ID != next.ID || list.Items[2].ID != preview.ID {
		t.Errorf("%+v", list)
	}
	var pages []directory.ID
	for after := ""; ; after = "&after=" + list.Next {
		list = desk.List[desk.Run]{}
		if a.call(runsAdmin, http.MethodGet, "/runs?limit=2"+after, "", &list); len(list.Items) > 2 {
			t.Fatalf("%d on a page of 2", len(list.Items))
		}
		for _, r := range list.Items {
			pages = append(pages, r.ID)
		}
		if list.Next == "" {
			break
		}
	}
	if len(pages) != 3 {
		t.Errorf("in pages: %v", pages)
	}
}

func TestRunIsDiscardedByTheAPI(t *testing.T) {
	t.Parallel()
	a := newRunsAPI(t)
	p := pulltest.NewPerson(777)
	a.Directory.SetPerson(p)
	a.Directory.Add(a.Fjord.GroupID, p.ID)
	waits := a.sync(runsAdmin, "")
	var out desk.Run
	if status := a.call(runsAdmin, http.MethodPost, "/runs/"+waits.ID.String()+"/discard", `{"reason":"wrong group"}`, &out); status != http.StatusOK || out.State != directory.RunDiscarded || out.Decision.Reason != "wrong group" {
		t.Errorf("%d %+v", status, out)
	}
	if status := a.call(runsAdmin, http.MethodPost, "/runs/"+waits.ID.String()+"/discard", "", nil); status != http.StatusConflict {
		t.Errorf("discarded twice: %d", status)
	}
}

// TestRunIsFollowed follows a run over the API from the middle of its read to its end.
func TestRunIsFollowed(t *testing.T) {
	t.Parallel()
	a := newRunsAPI(t)
	there, goOn := make(chan struct{}), make(chan struct{})
	a.Source.Hook(func(c pulltest.Call) {
		if c.Op == pulltest.OpMembers && c.When == pulltest.During && c.Delivered == 1 {
			close(there)
			<-goOn
		}
	})
	var run desk.Run
	a.call(runsAdmin, http.MethodPost, "/environments/"+a.Fjord.Production.ID.String()+"/sync", "", &run)
	<-there
	began := sync.OnceFunc(func() { close(goOn) })
	follow := func(token string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, api.Prefix+"/runs/"+run.ID.String()+"/progress", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		rec := &follower{httptest.NewRecorder(), began}
		a.h.ServeHTTP(rec, r)
		return rec.ResponseRecorder
	}
	if got := follow("environment administrator of others/runs:read"); got.Code == http.StatusOK {
		t.Errorf("others: %d %s", got.Code, got.Body)
	}
	rec := follow(runsAdmin) // the run goes on once it has been told
	events := strings.Split(strings.TrimSuffix(rec.Body.String(), "\n\n"), "\n\n")
	if rec.Header().Get("Content-Type") != "text/event-stream" || len(events) < 2 || !strings.Contains(events[0], `"state":"running","stage":"read"`) {
		t.Errorf("%s", rec.Body)
	}
	var last desk.Run
	data, ok := strings.CutPrefix(events[len(events)-1], "event: run\ndata: ")
	if err := json.Unmarshal([]byte(data), &last); err != nil || !ok || last.State == directory.RunRunning || last.ID != run.ID {
		t.Errorf("%v %s", err, events[len(events)-1])
	}
	if got := follow(runsAdmin); strings.Count(got.Body.String(), "event: run") != 1 {
		t.Errorf("one that has ended: %s", got.Body)
	}
}

// follower is a recorder that says when the first event has come.
type follower struct {
	*httptest.ResponseRecorder
	first func()
}

func (f *follower) Flush() {
	f.ResponseRecorder.Flush()
	f.first()
}
