package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/api"
	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/directory"
)

// request is one that does what an operation is for, in the world of Fjord. The numbers are what somebody is answered who
// has the scope; yes: that it is done.
type request struct {
	path       string // below /api/v1
	body       any
	partner    int // Fjord's
	admin      int // of Fjord's Production
	other      int // Nordwind's partner; 0: 404, as if it were not there
	otherAdmin int // of Nordwind's Production; 0: 404
	endless    bool
	after      func() // unless nil: ends what was prepared
}

// yes: it is done. Where a list is asked for, nothing of Fjord is in it for others.
const yes = 1

// forAll is for everybody, each with what they reach.
func (r request) forAll() request {
	r.other, r.otherAdmin = yes, yes
	return r
}

// forOperators is for operators alone, whatever it is about.
func (r request) forOperators() request {
	r.partner, r.admin, r.other, r.otherAdmin = 403, 403, 403, 403
	return r
}

// byPartner is nothing for administrators, who are told so whatever it is about.
func (r request) byPartner() request {
	r.admin, r.otherAdmin = 403, 403
	return r
}

// byTenantsPartner is about a tenant, which an administrator does not see.
func (r request) byTenantsPartner() request {
	r.admin = 404
	return r
}

// byAdmin is for administrators of the environment and operators; a partner sees the environment, and may not.
func (r request) byAdmin() request {
	r.partner = 403
	return r
}

// byOperator is for operators: whoever sees what it is about may not, for others it is not there.
func (r request) byOperator() request {
	r.partner, r.admin = 403, 403
	return r
}

// TestRolesAndScopes asks for every operation of the description as everybody, and holds each answer against the
// description.
func TestRolesAndScopes(t *testing.T) {
	if testing.Short() {
		t.Skip("asks for every operation, as everybody")
	}
	t.Parallel()
	var doc described
	if err := json.Unmarshal(document(t), &doc); err != nil {
		t.Fatal(err)
	}
	contract := newContract(t)
	there := map[string]bool{}
	for path, item := range doc.Paths {
		for method, op := range item {
			there[op.OperationID] = true
			row, ok := requests[op.OperationID]
			if !ok {
				t.Errorf("%s %s (%s) has no row in requests", method, path, op.OperationID)
				continue
			}
			t.Run(op.OperationID, func(t *testing.T) {
				t.Parallel()
				x := &asked{t, contract, apptest.New(t, nil), strings.ToUpper(method), op.Security[0]["token"][0], row}
				x.asEverybody()
				switch keyed := strings.Contains(fmt.Sprint(op.Parameters), "Idempotency-Key"); {
				case keyed != (x.method == http.MethodPost && op.OperationID != "pollWebhook"):
					x.Errorf("takes an Idempotency-Key: %v", keyed)
				case keyed:
					x.twice()
				case x.method == http.MethodPost:
					x.noKey()
				}
			})
		}
	}
	for id := range requests {
		if !there[id] {
			t.Errorf("requests has a row for %s, which is no operation", id)
		}
	}
}

// asked is an operation that is asked for.
type asked struct {
	*testing.T
	contract *contract
	w        *apptest.World
	method   string
	scope    string
	row      func(*apptest.World) request
}

func (x *asked) asEverybody() {
	w := x.w
	var others []string
	for _, s := range directory.APIScopes {
		if s != x.scope {
			others = append(others, s)
		}
	}
	ended := w.OperatorAPI()
	_, err := w.Service.RevokeAPIToken(x.Context(), apptest.Operator, newestToken(w))
	w.Must(err)
	always := func(status int) func(request) int { return func(request) int { return status } }
	for _, c := range []struct {
		name string
		api  *apptest.API
		want func(request) int
	}{
		{"without a token", w.API(""), always(401)},
		{"with a Secret Token", w.API(w.Fjord.Token), always(401)},
		{"with a token that was revoked", ended, always(401)},
		{"as an operator with all other scopes", w.OperatorAPI(others...), always(403)},
		{"as the other customer's partner", w.PartnerAPI(w.Nordwind), func(r request) int { return r.other }},
		{"as the other customer's administrator", w.AdminAPI(w.Nordwind), func(r request) int { return r.otherAdmin }},
		{"as the partner", w.PartnerAPI(w.Fjord), func(r request) int { return max(r.partner, yes) }},
		{"as the administrator", w.AdminAPI(w.Fjord), func(r request) int { return max(r.admin, yes) }},
		{"as an operator", w.OperatorAPI(), always(yes)},
	} {
		r := x.row(w)
		got := x.ask(c.api, r)
		want := c.want(r)
		if want == 0 {
			want = http.StatusNotFound
		}
		if done := got.Status >= 200 && got.Status < 300; done != (want == yes) || !done && got.Status != want {
			x.Errorf("%s: %d, not %d\n%.400s", c.name, got.Status, want, got.Body)
		}
		if strings.Contains(c.name, "the other") && strings.Contains(strings.ToLower(got.Body), "fjord") {
			x.Errorf("%s: is told of Fjord: %s", c.name, got.Body)
		}
		x.fits(c.name, r, got)
		if got.Status == http.StatusNotFound {
			none := r
			none.path = anyID.ReplaceAllString(r.path, "01a20000-0000-7000-8000-000000000000")
			if there, not := unsigned(got), unsigned(x.ask(c.api, none)); there != not {
				x.Errorf("%s: %s tells that there is such a thing: of none it says %s", c.name, there, not)
			}
		}
		if r.after != nil {
			r.after()
		}
	}
}

var anyID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// unsigned is what an answer says, but for the id of its request.
func unsigned(a apptest.Answer) string {
	return fmt.Sprint(a.Status, " ", strings.ReplaceAll(a.Body, a.Header.Get("X-Request-Id"), ""))
}

// twice sends a request two times with one Idempotency-Key: it is done once.
func (x *asked) twice() {
	api := x.w.OperatorAPI()
	r := x.row(x.w)
	first := api.Call(x.method, r.path, r.body, nil, "Idempotency-Key", "one")
	again := api.Call(x.method, r.path, r.body, nil, "Idempotency-Key", "one")
	if r.after != nil {
		r.after()
	}
	x.fits("by a key", r, first)
	x.fits("by a key, again", r, again)
	if first.Status < 200 || first.Status > 299 || again.Status != first.Status || again.Body != first.Body || again.Header.Get("Content-Type") != first.Header.Get("Content-Type") ||
		first.Header.Get("Idempotency-Replayed") != "" || again.Header.Get("Idempotency-Replayed") != "true" {
		x.Errorf("twice with one Idempotency-Key: %d %s, then %d %s", first.Status, first.Body, again.Status, again.Body)
	}
}

// noKey sends a request with an Idempotency-Key that is not taken: nothing is done, and nothing is replayed.
func (x *asked) noKey() {
	r := x.row(x.w)
	got := x.w.OperatorAPI().Call(x.method, r.path, r.body, nil, "Idempotency-Key", "one")
	x.fits("by a key", r, got)
	if got.Status != http.StatusBadRequest || !strings.Contains(got.Body, "takes no Idempotency-Key") {
		x.Errorf("by a key: %d %s", got.Status, got.Body)
	}
}

// ask sends a request. Of an answer without an end the beginning is all.
func (x *asked) ask(api *apptest.API, r request) apptest.Answer {
	if !r.endless {
		return api.Call(x.method, r.path, r.body, nil)
	}
	ctx, cancel := context.WithCancel(x.Context())
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, x.method, x.w.Server.URL+"/api/v1"+r.path, nil)
	x.w.Must(err)
	q.Header.Set("Authorization", "Bearer "+api.Token)
	res, err := x.w.Server.Client().Do(q)
	x.w.Must(err)
	defer res.Body.Close()
	out := apptest.Answer{Status: res.StatusCode, Header: res.Header}
	if res.StatusCode >= 300 {
		body, err := io.ReadAll(res.Body)
		x.w.Must(err)
		out.Body = string(body)
	}
	return out
}

// fits holds an answer against the description; the request too, where it was done.
func (x *asked) fits(as string, r request, got apptest.Answer) {
	body := ""
	if r.body != nil {
		text, err := json.Marshal(r.body)
		x.w.Must(err)
		body = string(text)
	}
	q := x.contract.asked(x.T, x.method, api.Prefix+r.path, body)
	if got.Status < 300 {
		for _, why := range x.contract.request(q) {
			x.Errorf("%s: the request does not fit the description: %s", as, why)
		}
	}
	for _, why := range x.contract.answer(q, got) {
		x.Errorf("%s: the answer %d does not fit the description: %s\n%.1000s", as, got.Status, why, got.Body)
	}
}

// newestToken is the API token that was made last.
func newestToken(w *apptest.World) (id directory.ID) {
	w.Must(w.Service.View(w.Context(), func(sn *directory.Snapshot) error {
		all, err := sn.SeeAPITokens(apptest.Operator)
		if err == nil {
			id = all[0].ID
		}
		return err
	}))
	return id
}
