package api_test

import (
	"bufio"
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// leaves has a person of a customer become inactive, or active again, as push says it.
func leaves(w *apptest.World, c *apptest.Customer, i int, active bool) {
	w.Helper()
	push := directory.Actor{Role: directory.RoleDirectory, Channel: "scim", ID: c.Tenant.ID.String()}
	_, err := w.Service.UpdateUser(w.Context(), push, c.Tenant.ID, c.Users[i].ID, func(u *directory.User) (directory.UserInput, error) {
		p := u.Profile
		p.Active = active
		return directory.UserInput{Profile: p, Schemas: slices.Clone(u.Schemas), Attributes: slices.Clone(u.Attributes)}, nil
	})
	w.Must(err)
}

// all reads the changes from a cursor to the end, in pages of three.
func all(t *testing.T, api *apptest.API, after, query string) (items []desk.Change, cursor string) {
	t.Helper()
	for range 100 {
		var got desk.Changes
		if answer := api.Call(http.MethodGet, "/changes?limit=3&after="+after+query, nil, &got); answer.Status != http.StatusOK {
			t.Fatalf("%d %s", answer.Status, answer.Body)
		}
		if len(got.Items) > 3 {
			t.Fatalf("%d items, of three at most", len(got.Items))
		}
		items, after = append(items, got.Items...), got.Cursor
		if !got.More {
			return items, after
		}
	}
	t.Fatal("there is always more")
	return nil, ""
}

func TestChanges(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	apis := map[string]*apptest.API{"operator": w.OperatorAPI(), "partner": w.PartnerAPI(w.Fjord), "administrator": w.AdminAPI(w.Fjord), "other": w.PartnerAPI(w.Nordwind)}
	leaves(w, w.Fjord, 2, false)
	for name, api := range apis {
		items, cursor := all(t, api, "start", "")
		text := ""
		for _, x := range items {
			text += x.Type + " " + x.Tenant.Name + "\n"
			for _, a := range x.Accesses {
				if name != "operator" && name != "other" && a.EnvironmentID != w.Fjord.Production.ID {
					t.Errorf("%s is told of the access %+v", name, a)
				}
			}
		}
		if theirs := name == "other"; name != "operator" && strings.Contains(text, "nordwind") != theirs || name != "operator" && strings.Contains(text, "fjord") == theirs {
			t.Errorf("%s is told:\n%s", name, text)
		}
		if again, _ := all(t, api, cursor, ""); len(again) != 0 {
			t.Errorf("%s is told twice: %v", name, again)
		}
		if name == "other" {
			continue
		}
		last := items[len(items)-1]
		if last.Type != "user.updated" || *last.Active || last.User.UserName != "ana@fjord.example" || *last.AccountID != w.Fjord.Plain.ID || len(last.Accesses) != 1 ||
			last.Accesses[0].Effect != "deactivated" || last.Accesses[0].Active || last.Accesses[0].Email != "ana@fjord.example" {
			t.Errorf("%s: %+v", name, last)
		}
		if of, _ := all(t, api, "start", "&types=user.updated"); len(of) != 1 || of[0].Cursor != last.Cursor {
			t.Errorf("%s, by type: %+v", name, of)
		}
		if rest, _ := all(t, api, items[1].Cursor, ""); len(rest) != len(items)-2 {
			t.Errorf("%s goes on behind the second of %d with %d", name, len(items), len(rest))
		}
	}
	// An administrator of the environment is not told of the groups of the tenant.
	items, _ := all(t, apis["administrator"], "start", "")
	for _, x := range items {
		if x.Group != nil {
			t.Errorf("an administrator is told of a group: %+v", x)
		}
	}
	for path, want := range map[string]int{
		"/changes?after=nonsense": 422, "/changes?after=AQAAAAAAD_8_": 422, "/changes?wait=61s&after=start": 422, "/changes?wait=5m": 422, "/changes?wait=-1s": 422,
		"/changes?types=user.renamed": 422, "/changes?limit=501": 422, "/changes?limit=0": 422, "/changes?before=1": 422, "/changes": 200,
	} {
		if got := apis["operator"].Call(http.MethodGet, path, nil, nil); got.Status != want {
			t.Errorf("%s: %d, not %d\n%s", path, got.Status, want, got.Body)
		}
	}
	if got := w.API(w.APIToken(directory.RoleOperator, nil, "users:read")).Call(http.MethodGet, "/changes", nil, nil); got.Status != http.StatusForbidden {
		t.Errorf("without the scope: %d", got.Status)
	}
}

// A request that waits is answered by the next change that is for it, and by no other.
func TestChangesAreAwaited(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	fjord, token := w.PartnerAPI(w.Fjord), w.APIToken(directory.RolePartner, &directory.Reach{Organizations: []directory.ID{w.Fjord.Organization.ID}})
	_, cursor := all(t, fjord, "start", "")
	answers := make(chan apptest.Answer, 2)
	ask := func(api *apptest.API) {
		go func() { answers <- api.Call(http.MethodGet, "/changes?wait=60s&after="+cursor, nil, nil) }()
	}
	ask(fjord)
	leaves(w, w.Nordwind, 2, false)
	leaves(w, w.Fjord, 2, false)
	if got := <-answers; got.Status != http.StatusOK || !strings.Contains(got.Body, "ana@fjord.example") || strings.Contains(got.Body, "nordwind") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	// One that waits is cut off when its token ends.
	_, cursor = all(t, fjord, "start", "")
	ask(w.API(token))
	var id directory.ID
	w.Must(w.Service.View(t.Context(), func(sn *directory.Snapshot) error {
		list, err := sn.SeeAPITokens(apptest.Operator)
		id = list[0].ID
		return err
	}))
	_, err := w.Service.RevokeAPIToken(t.Context(), apptest.Operator, id)
	w.Must(err)
	if got := <-answers; got.Status != http.StatusUnauthorized {
		t.Errorf("after the token was revoked: %d %s", got.Status, got.Body)
	}
}

// Without a cursor there is nothing to wait for: the answer tells the one of now. It moves past what is not for the caller.
func TestCursorOfNow(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	fjord, operator := w.PartnerAPI(w.Fjord), w.OperatorAPI()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second) // less than it would wait
	defer cancel()
	answers := make(chan desk.Changes, 1)
	go func() {
		var got desk.Changes
		fjord.Call(http.MethodGet, "/changes?wait=60s", nil, &got)
		answers <- got
	}()
	select {
	case got := <-answers:
		if got.Cursor == "" || len(got.Items) > 0 {
			t.Errorf("%+v", got)
		}
	case <-ctx.Done():
		t.Fatal("it waits")
	}
	_, before := all(t, fjord, "start", "")
	leaves(w, w.Nordwind, 2, false)
	_, whole := all(t, operator, "start", "")
	items, after := all(t, fjord, before, "")
	if len(items) > 0 || after == before || after != whole {
		t.Errorf("%d items, and the cursor goes from %s to %s, not to %s", len(items), before, after, whole)
	}
}

// stream reads server-sent events.
type stream struct {
	*testing.T
	res   *http.Response
	lines *bufio.Scanner
}

func openStream(t *testing.T, w *apptest.World, token, query string, header ...string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.Server.URL+"/api/v1/changes/stream"+query, nil)
	w.Must(err)
	r.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := w.Server.Client().Do(r)
	w.Must(err)
	t.Cleanup(func() { res.Body.Close() })
	return &stream{t, res, bufio.NewScanner(res.Body)}
}

// next returns the id and the data of the next event; over when the stream has ended.
func (s *stream) next() (id, data string, over bool) {
	for s.lines.Scan() {
		line := s.lines.Text()
		switch {
		case strings.HasPrefix(line, "id: "):
			id = line[4:]
		case strings.HasPrefix(line, "data: "):
			data = line[6:]
		case line == "":
			return id, data, false
		}
	}
	return "", "", true
}

func TestChangesAreStreamed(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	token := w.APIToken(directory.RolePartner, &directory.Reach{Organizations: []directory.ID{w.Fjord.Organization.ID}})
	s := openStream(t, w, token, "?types=user.updated")
	start, data, _ := s.next()
	if s.res.Header.Get("Content-Type") != "text/event-stream" || start == "" || data != "" {
		t.Fatalf("%v %q %q", s.res.Header, start, data)
	}
	leaves(w, w.Nordwind, 2, false)
	leaves(w, w.Fjord, 2, false)
	id, data, _ := s.next()
	if !strings.Contains(data, `"ana@fjord.example"`) || id == start {
		t.Errorf("%s %s", id, data)
	}
	// It goes on where it broke off.
	leaves(w, w.Fjord, 2, true)
	if next, data, _ := s.next(); next == id || !strings.Contains(data, `"effect":"reactivated"`) {
		t.Errorf("after %s comes %s %s", id, next, data)
	}
	again := openStream(t, w, token, "", "Last-Event-ID", id)
	if _, data, _ := again.next(); !strings.Contains(data, `"effect":"reactivated"`) {
		t.Errorf("it goes on with %s", data)
	}
	for range 10 { // who asks for the head alone holds no stream
		if got := w.API(token).Call(http.MethodHead, "/changes/stream", nil, nil); got.Status != http.StatusOK || got.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("HEAD: %d %v", got.Status, got.Header)
		}
	}
	for range 6 {
		openStream(t, w, token, "")
	}
	if s := openStream(t, w, token, ""); s.res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the ninth stream: %d", s.res.StatusCode)
	}
	if s := openStream(t, w, token, "?after=nonsense"); s.res.StatusCode != http.StatusUnprocessableEntity || s.res.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("a cursor that is none: %d %v", s.res.StatusCode, s.res.Header)
	}
	// Who loses the right to read is cut off.
	var id2 directory.ID
	w.Must(w.Service.View(t.Context(), func(sn *directory.Snapshot) error {
		list, err := sn.SeeAPITokens(apptest.Operator)
		id2 = list[0].ID
		return err
	}))
	_, err := w.Service.RevokeAPIToken(t.Context(), apptest.Operator, id2)
	w.Must(err)
	leaves(w, w.Fjord, 2, false)
	for _, data, over := again.next(); !over; _, data, over = again.next() {
		if strings.Contains(data, "deactivated") {
			t.Error("a revoked token is told what happened after")
		}
	}
}

// Internal users are of no directory. What is done to them by hand is told too, within the reach of who listens.
func TestChangesOfInternalUsers(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	op, admin, partner, other := w.OperatorAPI(), w.AdminAPI(w.Fjord), w.PartnerAPI(w.Fjord), w.PartnerAPI(w.Nordwind)
	_, start := all(t, op, "start", "")
	a, _, err := w.Service.AddInternal(w.Context(), apptest.Operator, w.Fjord.Production.ID, directory.NewAccess{Email: "ilse@firm.example", Name: "Ilse Vos"})
	w.Must(err)
	set := func(environment directory.ID, in directory.AccessInput) {
		_, err := w.Service.SetAccess(w.Context(), apptest.Operator, environment, a.AccountID, in)
		w.Must(err)
	}
	no, name := false, "Ilse de Vos"
	set(w.Fjord.Production.ID, directory.AccessInput{Menus: &[]string{"Stock"}})
	_, err = w.Service.SetAccount(w.Context(), apptest.Operator, a.AccountID, directory.AccountInput{Name: &name})
	w.Must(err)
	set(w.Fjord.Production.ID, directory.AccessInput{Active: &no})
	_, _, err = w.Service.AddInternal(w.Context(), apptest.Operator, w.Nordwind.Production.ID, directory.NewAccess{Email: "ilse@firm.example", Name: "Ilse Vos"})
	w.Must(err)
	told := func(api *apptest.API) (lines []string) {
		items, _ := all(t, api, start, "")
		for _, x := range items {
			line := x.Type
			if x.Tenant != nil || x.User != nil || x.AccountID == nil || *x.AccountID != a.AccountID {
				t.Errorf("%+v", x)
			}
			for _, e := range x.Accesses {
				where := "elsewhere"
				if e.EnvironmentID == w.Fjord.Production.ID {
					where = "production"
				}
				line += " " + e.Effect + " " + where
			}
			lines = append(lines, line)
		}
		return lines
	}
	fjord := []string{"access.updated granted production", "access.updated updated production", "user.updated", "access.updated deactivated production"}
	nordwind := []string{"user.updated", "access.updated granted elsewhere"}
	for _, x := range []struct {
		name string
		api  *apptest.API
		want []string
	}{{"operator", op, append(slices.Clone(fjord), nordwind[1])}, {"administrator", admin, fjord}, {"partner", partner, fjord}, {"other", other, nordwind}} {
		if got := told(x.api); !slices.Equal(got, x.want) {
			t.Errorf("%s is told %q, want %q", x.name, got, x.want)
		}
	}
}
