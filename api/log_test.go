package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

func TestLogOverAPI(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	line := func(api *apptest.API, c *apptest.Customer) string {
		var got desk.List[desk.LogLine]
		w.OperatorAPI().Call(http.MethodGet, "/log?tenant="+c.Tenant.ID.String()+"&environment="+c.Production.ID.String(), nil, &got)
		return fmt.Sprintf("/log/%s/%d", c.Tenant.ID, got.Items[0].Sequence)
	}
	for name, c := range map[string]struct {
		api          *apptest.API
		lines, audit int
	}{"operator": {w.OperatorAPI(), 8, http.StatusOK}, "partner": {w.PartnerAPI(w.Fjord), 4, http.StatusForbidden}, "administrator": {w.AdminAPI(w.Fjord), 1, http.StatusForbidden}} {
		var got desk.List[desk.LogLine]
		if a := c.api.Call(http.MethodGet, "/log", nil, &got); a.Status != http.StatusOK || len(got.Items) != c.lines {
			t.Errorf("%s: %d, %d lines", name, a.Status, len(got.Items))
		}
		var detail desk.LogDetail
		if a := c.api.Call(http.MethodGet, line(c.api, w.Fjord), nil, &detail); a.Status != http.StatusOK || detail.Total != 3 {
			t.Errorf("%s: %d %+v", name, a.Status, detail)
		}
		others := http.StatusNotFound
		if name == "operator" {
			others = http.StatusOK
		}
		for _, path := range []string{line(c.api, w.Nordwind), "/log?tenant=" + w.Nordwind.Tenant.ID.String(), "/log?environment=" + w.Nordwind.Production.ID.String(),
			"/report/leavers-and-joiners?tenant=" + w.Nordwind.Tenant.ID.String(), "/report/leavers-and-joiners/signed?environment=" + w.Nordwind.Production.ID.String()} {
			if a := c.api.Call(http.MethodGet, path, nil, nil); a.Status != others {
				t.Errorf("%s, %s: %d", name, path, a.Status)
			}
		}
		for _, a := range []apptest.Answer{c.api.Call(http.MethodGet, "/audit", nil, nil), c.api.Call(http.MethodPost, "/audit/verify", nil, nil)} {
			if a.Status != c.audit {
				t.Errorf("%s, audit: %d %s", name, a.Status, a.Body)
			}
		}
	}
	for _, query := range []string{"status=odd", "action=odd", "channel=odd", "after=x", "tenant=x", "from=yesterday", "limit=0", "limit=501", "odd=1", "from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z"} {
		if a := w.OperatorAPI().Call(http.MethodGet, "/log?"+query, nil, nil); a.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", query, a.Status)
		}
	}
	for _, path := range []string{"/log", "/report/leavers-and-joiners"} {
		if a := w.OperatorAPI("audit:read").Call(http.MethodGet, path, nil, nil); a.Status != http.StatusForbidden {
			t.Errorf("%s without the scope: %d", path, a.Status)
		}
	}
	if a := w.OperatorAPI("log:read").Call(http.MethodGet, "/audit", nil, nil); a.Status != http.StatusForbidden {
		t.Errorf("the audit without the scope: %d", a.Status)
	}
	var check desk.AuditCheck
	if w.OperatorAPI().Call(http.MethodPost, "/audit/verify", nil, &check); !check.Whole || check.Head == "" {
		t.Errorf("%+v", check)
	}
}

// A line of an internal user, who is of no tenant, is as the description has it, and its path is found by what it tells.
func TestLinesOfInternalUsers(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	api, c := w.OperatorAPI(), newContract(t)
	person := internal(w).String()
	var list desk.List[desk.LogLine]
	var report desk.Report
	for path, out := range map[string]any{"/log?person=" + person: &list, "/report/leavers-and-joiners": &report} {
		got := api.Call(http.MethodGet, path, nil, out)
		if why := c.answer(c.asked(t, http.MethodGet, "/api/v1"+path, ""), got); got.Status != http.StatusOK || len(why) > 0 {
			t.Errorf("%s: %d %v", path, got.Status, why)
		}
	}
	if len(list.Items) != 1 || !slices.ContainsFunc(report.Joiners, func(j desk.Joiner) bool { return j.Tenant == list.Items[0].Tenant }) {
		t.Fatalf("%+v %+v", list.Items, report.Joiners)
	}
	l := list.Items[0]
	var detail desk.LogDetail
	if got := api.Call(http.MethodGet, fmt.Sprintf("/log/%s/%d", l.Tenant.ID, l.Sequence), nil, &detail); got.Status != http.StatusOK || detail.Tenant != l.Tenant || l.Tenant.Name != "BizzStream" {
		t.Errorf("%d %+v", got.Status, l.Tenant)
	}
}

func TestPagesOfTheLogOverAPI(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	var numbers []uint64
	for path := "/log?limit=3"; path != ""; {
		var got desk.List[desk.LogLine]
		w.OperatorAPI().Call(http.MethodGet, path, nil, &got)
		for _, l := range got.Items {
			numbers = append(numbers, l.Sequence)
		}
		if path = ""; got.Next != "" {
			path = "/log?limit=3&after=" + got.Next
		}
	}
	if fmt.Sprint(numbers) != "[8 7 6 5 4 3 2 1]" {
		t.Errorf("%v", numbers)
	}
}

func TestSignedReportOverAPI(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	got := w.PartnerAPI(w.Fjord, "log:read").Call(http.MethodGet, "/report/leavers-and-joiners/signed", nil, nil)
	if got.Status != http.StatusOK || got.Header.Get("Content-Type") != "application/jose" {
		t.Fatalf("%d %v", got.Status, got.Header)
	}
	var keys jose.JSONWebKeySet
	w.Must(json.Unmarshal([]byte(w.SignIn(nil).Get("/.well-known/jwks.json").Body), &keys))
	jws, err := jose.ParseSignedCompact(got.Body, []jose.SignatureAlgorithm{jose.ES256})
	w.Must(err)
	payload, err := jws.Verify(keys.Keys[0])
	w.Must(err)
	var r desk.Report
	w.Must(json.Unmarshal(payload, &r))
	if len(r.Joiners) != 3 || r.Joiners[0].Tenant.ID != w.Fjord.Tenant.ID.String() || r.Scope.Environments[0].ID == (directory.ID{}) {
		t.Errorf("%+v", r)
	}
}
