package reader

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// replyOf is the answer to one request of a batch.
func replyOf(id, status int, headers, body string) string {
	s := fmt.Sprintf(`{"id":"%d","status":%d`, id, status)
	if headers != "" {
		s += `,"headers":{` + headers + `}`
	}
	if body != "" {
		s += `,"body":` + body
	}
	return s + "}"
}

func batchOf(replies ...string) reply {
	return reply{body: `{"responses":[` + strings.Join(replies, ",") + `]}`}
}

func enabledUser(n int) string {
	return fmt.Sprintf(`{"@odata.context":"x","id":%q,"accountEnabled":true}`, pulltest.ID(n))
}

func groupsOf(groups ...string) string {
	b, err := json.Marshal(map[string]any{"@odata.context": "x", "value": append([]string{}, groups...)})
	if err != nil {
		panic(err)
	}
	return string(b)
}

const notFoundBody = `{"error":{"code":"Request_ResourceNotFound","message":"Resource does not exist."}}`

// TestConfirmBelievesOnlyWhatIsSaid: each answer to the one request for a person, and what becomes of it.
func TestConfirmBelievesOnlyWhatIsSaid(t *testing.T) {
	id := pulltest.ID(1).String()
	for name, test := range map[string]struct {
		reply reply
		found bool
		want  pull.Class // empty: no error
	}{
		"there":                               {reply: batchOf(replyOf(0, 200, "", enabledUser(1))), found: true},
		"there, id in capitals":               {reply: batchOf(replyOf(0, 200, "", strings.Replace(enabledUser(1), id, strings.ToUpper(id), 1))), found: true},
		"not there":                           {reply: batchOf(replyOf(0, 404, "", notFoundBody))},
		"404 with another code":               {batchOf(replyOf(0, 404, "", `{"error":{"code":"ResourceNotFound"}}`)), false, pull.Unavailable},
		"404 with the code in lower case":     {batchOf(replyOf(0, 404, "", strings.ToLower(notFoundBody))), false, pull.Unavailable},
		"404 with no body":                    {batchOf(replyOf(0, 404, "", "")), false, pull.Unavailable},
		"404 in HTML":                         {batchOf(replyOf(0, 404, "", `"<html>"`)), false, pull.Unavailable},
		"400":                                 {batchOf(replyOf(0, 400, "", notFoundBody)), false, pull.Malformed},
		"401":                                 {batchOf(replyOf(0, 401, "", notFoundBody)), false, pull.Authentication},
		"403":                                 {batchOf(replyOf(0, 403, "", notFoundBody)), false, pull.Permission},
		"410":                                 {batchOf(replyOf(0, 410, "", notFoundBody)), false, pull.Malformed},
		"204":                                 {batchOf(replyOf(0, 204, "", "")), false, pull.Malformed},
		"200 without a body":                  {batchOf(replyOf(0, 200, "", "")), false, pull.Malformed},
		"200 with null":                       {batchOf(replyOf(0, 200, "", "null")), false, pull.Malformed},
		"200 with an empty object":            {batchOf(replyOf(0, 200, "", "{}")), false, pull.Malformed},
		"200 with an error":                   {batchOf(replyOf(0, 200, "", notFoundBody)), false, pull.Malformed},
		"200 with a text":                     {batchOf(replyOf(0, 200, "", `"e30="`)), false, pull.Malformed},
		"another person":                      {batchOf(replyOf(0, 200, "", enabledUser(2))), false, pull.Malformed},
		"enabled is null":                     {batchOf(replyOf(0, 200, "", fmt.Sprintf(`{"id":%q,"accountEnabled":null}`, id))), false, pull.Permission},
		"enabled is not there":                {batchOf(replyOf(0, 200, "", fmt.Sprintf(`{"id":%q}`, id))), false, pull.Permission},
		"enabled is a text":                   {batchOf(replyOf(0, 200, "", fmt.Sprintf(`{"id":%q,"accountEnabled":"false"}`, id))), false, pull.Malformed},
		"enabled twice":                       {batchOf(replyOf(0, 200, "", fmt.Sprintf(`{"id":%q,"accountEnabled":true,"accountEnabled":false}`, id))), false, pull.Malformed},
		"no answers":                          {batchOf(), false, pull.Malformed},
		"no list of answers":                  {reply{body: `{}`}, false, pull.Malformed},
		"a null list of answers":              {reply{body: `{"responses":null}`}, false, pull.Malformed},
		"an answer to somebody else":          {batchOf(replyOf(1, 404, "", notFoundBody)), false, pull.Malformed},
		"an answer below zero":                {batchOf(replyOf(-1, 404, "", notFoundBody)), false, pull.Malformed},
		"an answer in another spelling":       {batchOf(strings.Replace(replyOf(0, 404, "", notFoundBody), `"0"`, `"00"`, 1)), false, pull.Malformed},
		"an answer whose id is a number":      {batchOf(strings.Replace(replyOf(0, 404, "", notFoundBody), `"0"`, `0`, 1)), false, pull.Malformed},
		"an answer without id":                {batchOf(strings.Replace(replyOf(0, 404, "", notFoundBody), `"id":"0",`, ``, 1)), false, pull.Malformed},
		"an answer without status":            {batchOf(`{"id":"0","body":` + notFoundBody + `}`), false, pull.Malformed},
		"a status that is a text":             {batchOf(`{"id":"0","status":"404","body":` + notFoundBody + `}`), false, pull.Malformed},
		"a status that is none":               {batchOf(`{"id":"0","status":4040,"body":` + notFoundBody + `}`), false, pull.Malformed},
		"two answers":                         {batchOf(replyOf(0, 200, "", enabledUser(1)), replyOf(0, 404, "", notFoundBody)), false, pull.Malformed},
		"two lists of answers":                {reply{body: `{"responses":[` + replyOf(0, 404, "", notFoundBody) + `],"responses":[]}`}, false, pull.Malformed},
		"two bodies":                          {batchOf(`{"id":"0","status":404,"body":{},"body":` + notFoundBody + `}`), false, pull.Malformed},
		"the batch is not found":              {graphError(404, "Request_ResourceNotFound", "no"), false, pull.Malformed},
		"the batch is forbidden":              {graphError(403, "Authorization_RequestDenied", "no"), false, pull.Permission},
		"the batch is HTML":                   {reply{body: "<html>"}, false, pull.Malformed},
		"the batch is cut, its length agrees": {reply{body: batchOf(replyOf(0, 404, "", notFoundBody)).body[:60]}, false, pull.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			r, s := scripted(t, test.reply)
			got, err := r.Confirm(t.Context(), ids(1, 2), nil)
			switch {
			case test.want == "" && (err != nil || len(got) != 1 || got[0].Found != test.found || got[0].Enabled != test.found || got[0].ID != pulltest.ID(1)):
				t.Errorf("confirmed %+v, error %v; want found %t", got, err, test.found)
			case test.want != "" && (err == nil || pull.ClassOf(err) != test.want || got != nil):
				t.Errorf("confirmed %+v, error %v; want none, and class %s", got, err, test.want)
			}
			if s.count() != 1 {
				t.Errorf("%d requests", s.count())
			}
		})
	}
}

func TestConfirmGroups(t *testing.T) {
	user := batchOf(replyOf(0, 200, "", enabledUser(1)))
	a, b, c := pulltest.GroupID(1), pulltest.GroupID(2), pulltest.GroupID(3)
	for name, test := range map[string]struct {
		reply reply
		in    []string
		want  pull.Class
	}{
		"none":                 {reply: batchOf(replyOf(0, 200, "", groupsOf()))},
		"some":                 {reply: batchOf(replyOf(0, 200, "", groupsOf(b))), in: []string{b}},
		"all, in capitals":     {reply: batchOf(replyOf(0, 200, "", groupsOf(strings.ToUpper(b), a))), in: []string{b, a}},
		"one not asked for":    {batchOf(replyOf(0, 200, "", groupsOf(a, c))), nil, pull.Malformed},
		"one twice":            {batchOf(replyOf(0, 200, "", groupsOf(a, a))), nil, pull.Malformed},
		"one that is no id":    {batchOf(replyOf(0, 200, "", groupsOf("Sales"))), nil, pull.Malformed},
		"a null":               {batchOf(replyOf(0, 200, "", `{"value":[null]}`)), nil, pull.Malformed},
		"no list":              {batchOf(replyOf(0, 200, "", `{}`)), nil, pull.Malformed},
		"a null list":          {batchOf(replyOf(0, 200, "", `{"value":null}`)), nil, pull.Malformed},
		"two lists":            {batchOf(replyOf(0, 200, "", `{"value":["`+a+`"],"value":[]}`)), nil, pull.Malformed},
		"no body":              {batchOf(replyOf(0, 200, "", "")), nil, pull.Malformed},
		"204":                  {batchOf(replyOf(0, 204, "", "")), nil, pull.Malformed},
		"gone between the two": {batchOf(replyOf(0, 404, "", notFoundBody)), nil, pull.Unavailable},
		"forbidden":            {batchOf(replyOf(0, 403, "", "{}")), nil, pull.Permission},
	} {
		t.Run(name, func(t *testing.T) {
			r, s := scripted(t, user, test.reply)
			got, err := r.Confirm(t.Context(), ids(1, 2), []string{a, b})
			switch {
			case test.want == "" && (err != nil || !slices.Equal(got[0].Groups, test.in)):
				t.Errorf("confirmed %+v, error %v; want %v", got, err, test.in)
			case test.want != "" && (err == nil || pull.ClassOf(err) != test.want || got != nil):
				t.Errorf("confirmed %+v, error %v; want class %s", got, err, test.want)
			}
			if want := `"groupIds":["` + a + `","` + b + `"]`; s.count() != 2 || !strings.Contains(s.bodies[1], want) {
				t.Errorf("%d requests, the last %s; want it to have %s", s.count(), s.bodies[len(s.bodies)-1], want)
			}
		})
	}
}

// TestConfirmItemsAreTriedAlone: an item that is throttled inside of a good batch is asked for again, with
// those of the next batch, after the time that it names. The others are not.
func TestConfirmItemsAreTriedAlone(t *testing.T) {
	late := func(id, status int, after string) string {
		return replyOf(id, status, `"Content-Type":"application/json","retry-after":`+after, `{"error":{"code":"TooManyRequests"}}`)
	}
	r, s := scripted(t,
		batchOf(replyOf(0, 200, "", enabledUser(1)), late(1, 429, `"3"`), late(2, 503, `5`), replyOf(3, 404, "", notFoundBody)),
		batchOf(late(0, 500, `null`), replyOf(1, 200, "", enabledUser(3))),
		batchOf(replyOf(0, 200, "", enabledUser(2))),
	)
	got, err := r.Confirm(t.Context(), ids(1, 5), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range got {
		if c.ID != pulltest.ID(i+1) || c.Found != (i < 3) {
			t.Errorf("confirmation %d: %+v", i+1, c)
		}
	}
	if len(r.slept) != 2 || r.slept[0] != 5*time.Second || r.slept[1] > 2*firstDelay {
		t.Errorf("waits %v, want 5s and a short one", r.slept)
	}
	if strings.Contains(s.bodies[1], pulltest.ID(1).String()) || strings.Contains(s.bodies[1], pulltest.ID(4).String()) {
		t.Errorf("what was answered is asked for again: %s", s.bodies[1])
	}
	if r.meter != (pull.Meter{Requests: 4 + 2 + 1, Retries: 3}) {
		t.Errorf("metered %+v", r.meter)
	}
}

func TestConfirmItemsGiveUp(t *testing.T) {
	late := func(after string) reply {
		return batchOf(replyOf(0, 429, `"Retry-After":"`+after+`"`, `{"error":{"code":"TooManyRequests"}}`))
	}
	r, s := scripted(t, late("1"), late("1"), late("1"), late("9"))
	got, err := r.Confirm(t.Context(), ids(1, 2), nil)
	var e *pull.Error
	if !errors.As(err, &e) || e.Class != pull.Throttled || e.RetryAfter != 9*time.Second || e.Status != 429 || got != nil || s.count() != 4 {
		t.Errorf("confirmed %+v, error %+v after %d requests", got, e, s.count())
	}
	r, s = scripted(t, late("3600"))
	if _, err = r.Confirm(t.Context(), ids(1, 2), nil); !errors.As(err, &e) || e.Class != pull.Throttled || e.RetryAfter != time.Hour || s.count() != 1 {
		t.Errorf("error %+v after %d requests", e, s.count())
	}
}

// TestConfirmAnswersForAllOrNobody: one bad answer among twenty takes all with it.
func TestConfirmAnswersForAllOrNobody(t *testing.T) {
	var replies []string
	for i := range 19 {
		replies = append(replies, replyOf(i, 200, "", enabledUser(i+1)))
	}
	r, _ := scripted(t, batchOf(append(replies, replyOf(19, 403, "", "{}"))...))
	if got, err := r.Confirm(t.Context(), ids(1, 21), nil); got != nil || pull.ClassOf(err) != pull.Permission {
		t.Errorf("confirmed %d people, error %v", len(got), err)
	}
}

func TestConfirmBatchesAreSmall(t *testing.T) {
	most := 0
	d := pulltest.NewDirectory()
	var groups []string
	for n := range 25 {
		d.SetGroup(pulltest.GroupID(n+1), "g")
		groups = append(groups, pulltest.GroupID(n+1))
	}
	for n := range 45 {
		d.SetPerson(pulltest.NewPerson(n + 1))
	}
	graph := newSmallGraph(t, d)
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		most++
		graph.ServeHTTP(w, req)
	}))
	got, err := r.Confirm(t.Context(), ids(1, 46), append(groups, strings.ToUpper(groups[0])))
	if err != nil || len(got) != 45 {
		t.Fatal(err)
	}
	// 45 requests for users and 45 times 2 for 25 groups, of which the one named twice is asked for once.
	if most != 3+5 || r.meter.Requests != 45*3 {
		t.Errorf("%d batches of %d requests, want 8 of 135", most, r.meter.Requests)
	}
}

func TestConfirmGroupThatIsNone(t *testing.T) {
	r, s := scripted(t)
	_, err := r.Confirm(t.Context(), []directory.ID{pulltest.ID(1)}, []string{pulltest.GroupID(1), "Sales"})
	if pull.ClassOf(err) != pull.ScopeMissing || !strings.Contains(err.Error(), "Sales") || s.count() != 0 {
		t.Errorf("error %v after %d requests", err, s.count())
	}
}

// The group in hand.
func TestGroupAnswers(t *testing.T) {
	for body, want := range map[string]pull.Class{
		groupReply().body: "",
		fmt.Sprintf(`{"id":%q,"displayName":null}`, theGroup):                  "",
		fmt.Sprintf(`{"id":%q,"displayName":"a"}`, pulltest.GroupID(2)):        pull.Malformed,
		fmt.Sprintf(`{"id":%q}`, theGroup):                                     pull.Malformed,
		`{"displayName":"a"}`:                                                  pull.Malformed,
		fmt.Sprintf(`{"id":%q,"displayName":1}`, theGroup):                     pull.Malformed,
		fmt.Sprintf(`{"id":%q,"id":%q,"displayName":"a"}`, theGroup, theGroup): pull.Malformed,
		`{}`:                     pull.Malformed,
		`[]`:                     pull.Malformed,
		`null`:                   pull.Malformed,
		``:                       pull.Malformed,
		`{"error":{"code":"x"}}`: pull.Malformed,
		groupReply().body + `{}`: pull.Malformed,
	} {
		r, _ := scripted(t, reply{body: body})
		g, err := r.Group(t.Context(), strings.ToUpper(theGroup))
		if want == "" && (err != nil || g.ID != theGroup) || want != "" && (err == nil || pull.ClassOf(err) != want) {
			t.Errorf("%s: group %+v, error %v; want class %q", body, g, err, want)
		}
	}
}
