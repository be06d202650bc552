package reader

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// TestPersonBelievesOnlyWhatIsSaid: each answer to the request for a person, and what becomes of it.
func TestPersonBelievesOnlyWhatIsSaid(t *testing.T) {
	good := userJSON(1)
	without := func(property string) string { return strings.Replace(good, `"`+property+`":`, `"x":`, 1) }
	for name, test := range map[string]struct {
		reply reply
		found bool
		want  pull.Class // empty: no error
	}{
		"there":                       {reply: batchOf(replyOf(0, 200, "", good)), found: true},
		"not there":                   {reply: batchOf(replyOf(0, 404, "", notFoundBody))},
		"404 with another code":       {batchOf(replyOf(0, 404, "", `{"error":{"code":"ResourceNotFound"}}`)), false, pull.Unavailable},
		"404 with no body":            {batchOf(replyOf(0, 404, "", "")), false, pull.Unavailable},
		"401":                         {batchOf(replyOf(0, 401, "", notFoundBody)), false, pull.Authentication},
		"403":                         {batchOf(replyOf(0, 403, "", notFoundBody)), false, pull.Permission},
		"410":                         {batchOf(replyOf(0, 410, "", notFoundBody)), false, pull.Malformed},
		"200 without a body":          {batchOf(replyOf(0, 200, "", "")), false, pull.Malformed},
		"200 with an error":           {batchOf(replyOf(0, 200, "", notFoundBody)), false, pull.Malformed},
		"another person":              {batchOf(replyOf(0, 200, "", userJSON(2))), false, pull.Malformed},
		"no id":                       {batchOf(replyOf(0, 200, "", without("id"))), false, pull.Malformed},
		"enabled is null":             {batchOf(replyOf(0, 200, "", strings.Replace(good, `"accountEnabled":true`, `"accountEnabled":null`, 1))), false, pull.Permission},
		"enabled is not there":        {batchOf(replyOf(0, 200, "", without("accountEnabled"))), false, pull.Permission},
		"enabled is a text":           {batchOf(replyOf(0, 200, "", strings.Replace(good, `"accountEnabled":true`, `"accountEnabled":"true"`, 1))), false, pull.Malformed},
		"userPrincipalName is null":   {batchOf(replyOf(0, 200, "", strings.Replace(good, `"person1@nordwind.example"`, `null`, 1))), false, pull.Permission},
		"userPrincipalName is empty":  {batchOf(replyOf(0, 200, "", strings.Replace(good, `"person1@nordwind.example"`, `""`, 1))), false, pull.Malformed},
		"the mail is not told":        {batchOf(replyOf(0, 200, "", without("mail"))), false, pull.Malformed},
		"the type is not told":        {batchOf(replyOf(0, 200, "", without("userType"))), false, pull.Malformed},
		"a property is there twice":   {batchOf(replyOf(0, 200, "", strings.Replace(good, `{`, `{"mail":null,`, 1))), false, pull.Malformed},
		"no answers":                  {batchOf(), false, pull.Malformed},
		"an answer to somebody else":  {batchOf(replyOf(1, 404, "", notFoundBody)), false, pull.Malformed},
		"the batch is not found":      {graphError(404, codeNotFound, "no"), false, pull.Malformed},
		"Graph is not there":          {graphError(503, "serviceNotAvailable", "no"), false, pull.Unavailable},
		"the answer is 503 in itself": {batchOf(replyOf(0, 503, "", "")), false, pull.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			replies := []reply{test.reply}
			if strings.Contains(name, "Graph") || strings.Contains(name, "503") {
				replies = []reply{test.reply, test.reply, test.reply, test.reply}
			}
			r, s := scripted(t, replies...)
			got, found, err := r.Person(t.Context(), pulltest.ID(1))
			wanted := pull.Person{}
			if test.found {
				wanted = pulltest.NewPerson(1)
			}
			if found != test.found || got != wanted {
				t.Errorf("%+v, found %t; want found %t", got, found, test.found)
			}
			if (err == nil) != (test.want == "") || err != nil && pull.ClassOf(err) != test.want {
				t.Errorf("error %v, want class %q", err, test.want)
			}
			if s.count() != len(replies) {
				t.Errorf("%d requests, want %d", s.count(), len(replies))
			}
		})
	}
}

// TestDirectBelievesOnlyWhatIsSaid: each answer to the request for a member, and what becomes of it.
func TestDirectBelievesOnlyWhatIsSaid(t *testing.T) {
	row := func(n int) string {
		return fmt.Sprintf(`{"@odata.type":"#microsoft.graph.user","id":%q}`, pulltest.ID(n))
	}
	for name, test := range map[string]struct {
		status int
		body   string
		in     bool
		want   pull.Class // empty: no error
	}{
		"a member":                          {200, pageOf(1, "", row(1)), true, ""},
		"a member, not counted":             {200, pageOf(-1, "", row(1)), true, ""},
		"a member, with all that is known":  {200, pageOf(1, "", userJSON(1)), true, ""},
		"a member, with nested values":      {200, pageOf(1, "", strings.Replace(row(1), "{", `{"x":{"y":[{}]},`, 1)), true, ""},
		"no member":                         {200, pageOf(0, ""), false, ""},
		"no member, not counted":            {200, pageOf(-1, ""), false, ""},
		"the filter was not heeded":         {200, pageOf(2, "", row(1), row(2)), false, pull.Malformed},
		"another member":                    {200, pageOf(1, "", row(2)), false, pull.Malformed},
		"the member twice":                  {200, pageOf(2, "", row(1), row(1)), false, pull.Malformed},
		"a member that is counted twice":    {200, pageOf(2, "", row(1)), false, pull.Malformed},
		"a member that is not shown":        {200, pageOf(1, ""), false, pull.Malformed},
		"a member without id":               {200, pageOf(1, "", `{"@odata.type":"#microsoft.graph.user"}`), false, pull.Malformed},
		"a member whose id is none":         {200, pageOf(1, "", `{"id":"me"}`), false, pull.Malformed},
		"the list goes on":                  {200, pageOf(1, "https://elsewhere.example/", row(1)), false, pull.Malformed},
		"no list":                           {200, `{"@odata.count":0}`, false, pull.Malformed},
		"the list is null":                  {200, `{"value":null}`, false, pull.Malformed},
		"an error with a good status":       {200, notFoundBody, false, pull.Malformed},
		"the group is not there":            {404, notFoundBody, false, pull.ScopeMissing},
		"404 with another code":             {404, `{"error":{"code":"ResourceNotFound"}}`, false, pull.Unavailable},
		"the query is not supported":        {400, `{"error":{"code":"Request_UnsupportedQuery"}}`, false, pull.Malformed},
		"members must not be read":          {403, `{"error":{"code":"Authorization_RequestDenied"}}`, false, pull.Permission},
		"the token is not good":             {401, `{"error":{"code":"InvalidAuthenticationToken"}}`, false, pull.Authentication},
		"an answer that was never promised": {204, ``, false, pull.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			r, s := scripted(t, batchOf(replyOf(0, test.status, "", test.body)))
			got, err := r.Direct(t.Context(), pulltest.ID(1), []string{theGroup})
			if in := len(got) == 1 && got[0] == theGroup; in != test.in || !in && got != nil {
				t.Errorf("directly in %v, want %t", got, test.in)
			}
			if (err == nil) != (test.want == "") || err != nil && pull.ClassOf(err) != test.want {
				t.Errorf("error %v, want class %q", err, test.want)
			}
			if s.count() != 1 {
				t.Errorf("%d requests", s.count())
			}
		})
	}
}

// TestDirectAsksForNothingElse: what the requests of the batch look like.
func TestDirectAsksForNothingElse(t *testing.T) {
	r, s := scripted(t, batchOf(replyOf(0, 200, "", pageOf(0, ""))))
	if _, err := r.Direct(t.Context(), pulltest.ID(1), []string{strings.ToUpper(theGroup)}); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"requests":[{"id":"0","method":"GET","url":"/groups/%s/members?$filter=id+eq+%%27%s%%27\u0026$count=true\u0026$select=id","headers":{"ConsistencyLevel":"eventual"}}]}`,
		theGroup, pulltest.ID(1))
	if got := s.bodies[0]; got != want {
		t.Errorf("sent\n%s\nwant\n%s", got, want)
	}
	if got, err := r.Direct(t.Context(), pulltest.ID(1), nil); got != nil || err != nil || s.count() != 1 {
		t.Errorf("of no groups: %v, %v, %d requests", got, err, s.count())
	}
	_, err := r.Direct(t.Context(), pulltest.ID(1), []string{theGroup + "/owners"})
	var e *pull.Error
	if !errors.As(err, &e) || e.Class != pull.ScopeMissing || s.count() != 1 {
		t.Errorf("an id that is none: %v, %d requests", err, s.count())
	}
}

// TestPersonWaits: what Graph asks to wait is told, of a person as of everything else.
func TestPersonWaits(t *testing.T) {
	busy := batchOf(replyOf(0, http.StatusTooManyRequests, `"Retry-After":"120"`, `{"error":{"code":"TooManyRequests"}}`))
	for name, ask := range map[string]func(*rig) error{
		"person": func(r *rig) error { _, _, err := r.Person(t.Context(), pulltest.ID(1)); return err },
		"direct": func(r *rig) error { _, err := r.Direct(t.Context(), pulltest.ID(1), []string{theGroup}); return err },
	} {
		t.Run(name, func(t *testing.T) {
			r, s := scripted(t, busy)
			var e *pull.Error
			if err := ask(r); !errors.As(err, &e) || e.Class != pull.Throttled || e.RetryAfter.Seconds() != 120 || s.count() != 1 {
				t.Errorf("error %v, %d requests; want throttled for 120 s", e, s.count())
			}
			if r.meter.Requests != 1 {
				t.Errorf("metered %+v", r.meter)
			}
		})
	}
}

func FuzzDecodePerson(f *testing.F) {
	f.Add([]byte(userJSON(1)))
	f.Add([]byte(notFoundBody))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := decodePerson(body, pulltest.ID(1))
		if err == nil && (p.ID != pulltest.ID(1) || p.UserPrincipalName == "") {
			t.Errorf("believed %+v", p)
		}
		if err != nil && p != (pull.Person{}) {
			t.Errorf("%+v beside the error %v", p, err)
		}
	})
}

func FuzzDecodeMember(f *testing.F) {
	f.Add([]byte(pageOf(1, "", userJSON(1))))
	f.Add([]byte(pageOf(0, "")))
	id := pulltest.ID(1)
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := decodeMember(body, id)
		if in && (err != nil || !strings.Contains(strings.ToLower(string(body)), id.String()) && !strings.Contains(string(body), `\u`)) {
			t.Errorf("a member by %q (%v)", body, err)
		}
	})
}
