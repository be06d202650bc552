package reader

import (
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// user is userJSON(1) with one piece of text exchanged.
func userWith(t *testing.T, old, new string) string {
	t.Helper()
	u := userJSON(1)
	if !strings.Contains(u, old) {
		t.Fatalf("%s has no %s", u, old)
	}
	return strings.Replace(u, old, new, 1)
}

// badPages are answers with status 200 and the right content type that say nothing which can be believed.
// Each comes as the first page of a list of one, and as the second of a list of three.
func badPages(t *testing.T) map[string]string {
	nulls := `{"@odata.type":"#microsoft.graph.user","id":"` + pulltest.ID(1).String() + `","userPrincipalName":null,"displayName":null,` +
		`"givenName":null,"surname":null,"mail":null,"preferredLanguage":null,"userType":null,"accountEnabled":null}`
	pages := map[string]string{
		"nothing":                            ``,
		"white space":                        " \n",
		"an empty object":                    `{}`,
		"an empty array":                     `[]`,
		"null":                               `null`,
		"a number":                           `1`,
		"a text":                             `"value"`,
		"an array of members":                `[` + userJSON(1) + `]`,
		"an error":                           `{"error":{"code":"UnknownError","message":"oops"}}`,
		"an error beside a list":             `{"value":[` + userJSON(1) + `],"error":{"code":"UnknownError"}}`,
		"a null list":                        `{"value":null}`,
		"a list that is an object":           `{"value":{}}`,
		"a list that is a text":              `{"value":"[]"}`,
		"a list with a null":                 pageOf(1, "", "null"),
		"a list with a text":                 pageOf(1, "", `"`+pulltest.ID(1).String()+`"`),
		"a list with a list":                 pageOf(1, "", "["+userJSON(1)+"]"),
		"the key in capitals":                `{"Value":[` + userJSON(1) + `],"@odata.count":1}`,
		"two lists":                          `{"value":[` + userJSON(1) + `],"value":[]}`,
		"two lists, one escaped":             `{"value":[` + userJSON(1) + `],"v\u0061lue":[]}`,
		"something after the end":            pageOf(1, "", userJSON(1)) + `{}`,
		"the answer twice":                   strings.Repeat(pageOf(1, "", userJSON(1)), 2),
		"a byte order mark":                  "\ufeff" + pageOf(1, "", userJSON(1)),
		"cut in the middle":                  pageOf(1, "", userJSON(1))[:150],
		"cut before the last brace":          strings.TrimSuffix(pageOf(1, "", userJSON(1)), "}"),
		"a trailing comma":                   pageOf(1, "", userJSON(1)+","),
		"no comma":                           pageOf(1, "", userJSON(1)+" "+userJSON(2)),
		"a comment":                          pageOf(1, "", userJSON(1)+"/* all */"),
		"HTML":                               `<!DOCTYPE html><html><body>Sign in</body></html>`,
		"another encoding":                   "\xff\xfe{\x00}\x00",
		"deep inside of each other":          `{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `,"value":[]}`,
		"very deep":                          `{"x":` + strings.Repeat(`{"x":`, 100_000),
		"more keys than anything has":        `{` + manyKeys(100) + `"value":[]}`,
		"a next link that is null":           `{"@odata.nextLink":null,"value":[` + userJSON(1) + `]}`,
		"a next link that is empty":          `{"@odata.nextLink":"","value":[` + userJSON(1) + `]}`,
		"a next link that is a number":       `{"@odata.nextLink":2,"value":[` + userJSON(1) + `]}`,
		"a count that is a text":             `{"@odata.count":"1","value":[` + userJSON(1) + `]}`,
		"a count below zero":                 `{"@odata.count":-1,"value":[` + userJSON(1) + `]}`,
		"a count with a fraction":            `{"@odata.count":1.0,"value":[` + userJSON(1) + `]}`,
		"a count out of bounds":              `{"@odata.count":99999999999999999999,"value":[` + userJSON(1) + `]}`,
		"a count with a leading zero":        `{"@odata.count":01,"value":[` + userJSON(1) + `]}`,
		"a member twice":                     pageOf(2, "", userJSON(1), userJSON(1)),
		"a member that is an empty object":   pageOf(1, "", `{}`),
		"a member without type":              pageOf(1, "", userWith(t, `"@odata.type":"#microsoft.graph.user",`, "")),
		"a member whose type is null":        pageOf(1, "", userWith(t, `"#microsoft.graph.user"`, "null")),
		"a member whose type is a number":    pageOf(1, "", userWith(t, `"#microsoft.graph.user"`, "1")),
		"a member whose type is empty":       pageOf(1, "", userWith(t, `"#microsoft.graph.user"`, `""`)),
		"a member without id":                pageOf(1, "", userWith(t, `"id":"`+pulltest.ID(1).String()+`",`, "")),
		"a member whose id is null":          pageOf(1, "", userWith(t, `"`+pulltest.ID(1).String()+`"`, "null")),
		"a member whose id is a number":      pageOf(1, "", userWith(t, `"`+pulltest.ID(1).String()+`"`, "1")),
		"a member whose id is no GUID":       pageOf(1, "", userWith(t, pulltest.ID(1).String(), "person1")),
		"a member whose id is zero":          pageOf(1, "", userWith(t, pulltest.ID(1).String(), "00000000-0000-0000-0000-000000000000")),
		"a member with two ids":              pageOf(1, "", userWith(t, `"id":`, `"id":"`+pulltest.ID(2).String()+`","id":`)),
		"a member with an id and an ID":      pageOf(1, "", userWith(t, `"id":`, `"Id":`)),
		"a device without id":                pageOf(1, "", `{"@odata.type":"#microsoft.graph.device"}`),
		"a person enabled as a text":         pageOf(1, "", userWith(t, `"accountEnabled":true`, `"accountEnabled":"true"`)),
		"a person enabled as a number":       pageOf(1, "", userWith(t, `"accountEnabled":true`, `"accountEnabled":1`)),
		"a person enabled twice":             pageOf(1, "", userWith(t, `"accountEnabled":true`, `"accountEnabled":true,"accountEnabled":false`)),
		"a person without user name":         pageOf(1, "", userWith(t, `"userPrincipalName"`, `"userprincipalname"`)),
		"a person with an empty user name":   pageOf(1, "", userWith(t, `"person1@nordwind.example"`, `""`)),
		"a person without displayName":       pageOf(1, "", userWith(t, `"displayName":"Person 1",`, "")),
		"a person without userType":          pageOf(1, "", userWith(t, `,"userType":"Member"`, "")),
		"a person without mail":              pageOf(1, "", userWith(t, `"mail":"p1@nordwind.example",`, "")),
		"a name that is a number":            pageOf(1, "", userWith(t, `"Person 1"`, "1")),
		"a name that is an object":           pageOf(1, "", userWith(t, `"Person 1"`, "{}")),
		"a name that is false":               pageOf(1, "", userWith(t, `"Person 1"`, "false")),
		"a name that is not UTF-8":           pageOf(1, "", userWith(t, `"Person 1"`, "\"P\xc3\x28\"")),
		"a name with half a pair":            pageOf(1, "", userWith(t, `"Person 1"`, `"P\ud83d"`)),
		"a name with a lower half first":     pageOf(1, "", userWith(t, `"Person 1"`, `"P\udeb2\ud83d"`)),
		"a name with an unknown escape":      pageOf(1, "", userWith(t, `"Person 1"`, `"P\x41"`)),
		"a name with a short escape":         pageOf(1, "", userWith(t, `"Person 1"`, `"P\u41"`)),
		"a name with a control character":    pageOf(1, "", userWith(t, `"Person 1"`, "\"P\n\"")),
		"a name too long":                    pageOf(1, "", userWith(t, `Person 1`, strings.Repeat("x", maxText+1))),
		"a name that does not end":           pageOf(1, "", userWith(t, `Person 1"`, `Person 1`)),
		"an unknown property that is broken": pageOf(1, "", userWith(t, `"id":`, `"x":tru,"id":`)),
		"an unknown number that is broken":   pageOf(1, "", userWith(t, `"id":`, `"x":1.,"id":`)),
		"an unknown exponent that is broken": pageOf(1, "", userWith(t, `"id":`, `"x":1e,"id":`)),
		"PERMISSION all properties null":     pageOf(1, "", nulls),
		"PERMISSION enabled is null":         pageOf(1, "", userWith(t, `"accountEnabled":true`, `"accountEnabled":null`)),
		"PERMISSION enabled is not there":    pageOf(1, "", userWith(t, `"accountEnabled":true,`, "")),
		"PERMISSION user name is null":       pageOf(1, "", userWith(t, `"person1@nordwind.example"`, "null")),
	}
	for name, address := range map[string]string{
		"on another host":       "https://graph.evil.example/v1.0/groups/" + theGroup + "/members?$skiptoken=x",
		"on the same name":      "https://127.0.0.1/v1.0/groups/" + theGroup + "/members?$skiptoken=x",
		"without TLS":           "http{base}",
		"of another version":    "{host}/beta/groups/" + theGroup + "/members?$skiptoken=x",
		"of another group":      "{base}/groups/" + pulltest.GroupID(2) + "/members?$skiptoken=x",
		"of something else":     "{base}/users/" + theGroup + "?$skiptoken=x",
		"out of the version":    "{base}/groups/../../" + theGroup + "/members",
		"with a user":           "https://me@{hostname}/v1.0/groups/" + theGroup + "/members?$skiptoken=x",
		"with a fragment":       "{base}/groups/" + theGroup + "/members?$skiptoken=x#y",
		"without a host":        "/v1.0/groups/" + theGroup + "/members?$skiptoken=x",
		"that cannot be parsed": "https://%zz/",
	} {
		pages["a next page "+name] = pageOf(-1, address, userJSON(1))
	}
	return pages
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "\"k%d\":0,", i)
	}
	return b.String()
}

func TestBadPages(t *testing.T) {
	for name, body := range badPages(t) {
		want := pull.Malformed
		if strings.HasPrefix(name, "PERMISSION") {
			want = pull.Permission
		}
		t.Run("first/"+name, func(t *testing.T) { refused(t, want, 0, reply{body: body}) })
		t.Run("later/"+name, func(t *testing.T) {
			refused(t, want, 2, reply{body: pageJSON(3, link(2), 10, 12)}, reply{body: body})
		})
	}
}

// refused checks that a list which ends in the last reply is an error, that what came in the pages before
// it was delivered and nothing of the bad one was, and that nothing was asked for after it.
func refused(t *testing.T, want pull.Class, delivered int, replies ...reply) *pull.Error {
	t.Helper()
	r, s := scripted(t, replies...)
	for i := range replies {
		replies[i].body = strings.NewReplacer("{host}", r.server.URL, "{hostname}", r.base.Host, "http{base}", "http"+strings.TrimPrefix(r.base.String(), "https")).Replace(replies[i].body)
	}
	people, l, err := readAll(r)
	var e *pull.Error
	if !errors.As(err, &e) {
		t.Fatalf("read %d people, listing %+v, error %v; want an error", len(people), l, err)
	}
	if e.Class != want {
		t.Errorf("error %v of class %q, want %q", e, e.Class, want)
	}
	if len(people) != delivered || !cmp.Equal(l, pull.Listing{}) {
		t.Errorf("%d people were delivered, listing %+v; want the %d of the good pages and no listing", len(people), l, delivered)
	}
	if s.count() != len(replies) {
		t.Errorf("%d requests, want %d", s.count(), len(replies))
	}
	if e.Detail == "" || want == pull.Permission && !strings.Contains(e.Detail, "User.Read.All") {
		t.Errorf("the error does not say what to do: %q", e.Detail)
	}
	return e
}

func TestGoodPages(t *testing.T) {
	odd := pull.Person{
		ID: pulltest.ID(1), UserPrincipalName: "a#EXT#@x", DisplayName: "\"\\/\b\f\n\r\t\U0001F6B2é", Surname: "ü", Enabled: true, Guest: true,
	}
	oddJSON := ` { "accountEnabled" : true , "userType":"GUEST","id":"` + strings.ToUpper(pulltest.ID(1).String()) + `","mail":null,` +
		`"givenName":"","surname":"` + "ü" + `","preferredLanguage":null,"userPrincip\u0061lName":"a#EXT#@x",` +
		`"displayName":"\"\\\/\b\f\n\r\t\ud83d\ude` + `B2\u00e9","extra":[1,-0.5e+3,{"a":[]},true,false,null],"@odata.type":"#microsoft.graph.user"}`
	for _, test := range []struct {
		name    string
		replies []reply
		want    []pull.Person
		found   pull.Listing
	}{
		{"everything that JSON allows", []reply{{body: pageOf(1, "", oddJSON)}}, []pull.Person{odd}, pull.Listing{People: 1}},
		{"the list before the count", []reply{{body: `{"value":[` + userJSON(1) + `],"@odata.count":1}`}},
			[]pull.Person{pulltest.NewPerson(1)}, pull.Listing{People: 1}},
		{"no user type", []reply{{body: pageOf(1, "", userWith(t, `"Member"`, "null"))}}, []pull.Person{pulltest.NewPerson(1)}, pull.Listing{People: 1}},
		{"nobody", []reply{{body: pageOf(0, "")}}, nil, pull.Listing{}},
		{"types we know and types we do not", []reply{{body: pageOf(4, "",
			`{"@odata.type":"#microsoft.graph.group","id":"`+pulltest.ID(2).String()+`","displayName":null}`,
			`{"@odata.type":"#microsoft.graph.orgContact","id":"`+pulltest.ID(3).String()+`"}`,
			`{"@odata.type":"#microsoft.graph.tomorrow","id":"`+pulltest.ID(4).String()+`"}`, userJSON(1))}},
			[]pull.Person{pulltest.NewPerson(1)}, pull.Listing{People: 1, Nested: []directory.ID{pulltest.ID(2)}, Others: 2}},
		{"an empty page in the middle", []reply{
			{body: pageJSON(2, link(2), 1, 2)}, {body: pageOf(-1, link(3))}, {body: pageJSON(-1, "", 2, 3)},
		}, []pull.Person{pulltest.NewPerson(1), pulltest.NewPerson(2)}, pull.Listing{People: 2}},
		{"an empty page at the end", []reply{{body: pageJSON(1, link(2), 1, 2)}, {body: pageOf(-1, "")}},
			[]pull.Person{pulltest.NewPerson(1)}, pull.Listing{People: 1}},
		{"an empty page first", []reply{{body: pageOf(1, link(2))}, {body: pageJSON(-1, "", 1, 2)}},
			[]pull.Person{pulltest.NewPerson(1)}, pull.Listing{People: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, s := scripted(t, test.replies...)
			people, l, err := readAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, people); diff != "" {
				t.Errorf("people (-want +got):\n%s", diff)
			}
			test.found.Meter = pull.Meter{Pages: len(test.replies), Requests: len(test.replies)}
			if !cmp.Equal(l, test.found) || r.meter != test.found.Meter {
				t.Errorf("listing %+v, metered %+v; want %+v", l, r.meter, test.found)
			}
			for i, req := range s.asked {
				if req.Header.Get("ConsistencyLevel") != "eventual" {
					t.Errorf("request %d does not ask for eventual consistency, without which Graph does not count", i+1)
				}
			}
		})
	}
}

// TestNextPageAsItIs: the address of the next page is Graph's own, and is sent as it came.
func TestNextPageAsItIs(t *testing.T) {
	query := "?%24count=true&$skiptoken=RFNwdAIAAQAAAB~_.-%2B/%3d"
	r, s := scripted(t,
		reply{body: pageOf(2, "{base}/groups/"+theGroup+"/members"+query, userJSON(1))}, reply{body: pageJSON(-1, "", 2, 3)})
	if _, _, err := readAll(r); err != nil {
		t.Fatal(err)
	}
	if got := s.asked[1].URL.RequestURI(); !strings.HasSuffix(got, query) {
		t.Errorf("asked for %s, want the query %s", got, query)
	}
}

func TestNextPagesInCircles(t *testing.T) {
	r, s := scripted(t,
		reply{body: pageJSON(9, link(2), 1, 2)}, reply{body: pageJSON(-1, link(3), 2, 3)}, reply{body: pageOf(-1, link(2))})
	_, _, err := readAll(r)
	if pull.ClassOf(err) != pull.Malformed || err == nil || s.count() != 3 {
		t.Errorf("%d requests, error %v; want an error at the third", s.count(), err)
	}
}

func TestPagesAreBounded(t *testing.T) {
	l := newList(newRig(t, http.NotFoundHandler()).base, theGroup)
	l.pages = maxPages - 2
	if _, _, err := l.add([]byte(pageOf(-1, strings.ReplaceAll(link(1), "{base}", l.base.String())))); err != nil {
		t.Fatalf("the last page but one: %v", err)
	}
	if _, _, err := l.add([]byte(pageOf(-1, strings.ReplaceAll(link(2), "{base}", l.base.String())))); pull.ClassOf(err) != pull.Malformed {
		t.Errorf("a page more than %d: error %v", maxPages, err)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	space := strings.Repeat(" ", 1<<20)
	endless := func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		for range maxBody>>20 + 2 {
			if _, err := w.Write([]byte(space)); err != nil {
				return
			}
		}
	}
	bomb := func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		for range maxBody>>20 + 2 {
			if _, err := z.Write([]byte(space)); err != nil {
				return
			}
		}
		_ = z.Close()
	}
	refused(t, pull.Malformed, 0, reply{raw: endless})
	refused(t, pull.Malformed, 0, reply{raw: bomb})
}

func TestBodyOfTheMostBytes(t *testing.T) {
	page := pageJSON(1, "", 1, 2)
	r, _ := scripted(t, reply{body: page + strings.Repeat(" ", maxBody-len(page))})
	if people, _, err := readAll(r); err != nil || len(people) != 1 {
		t.Errorf("%d people, error %v; want the page of just as many bytes as allowed", len(people), err)
	}
}

func TestCompressedAnswers(t *testing.T) {
	asked := ""
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked = req.Header.Get("Accept-Encoding")
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write([]byte(pageJSON(50, "", 1, 51)))
		_ = z.Close()
	}))
	people, _, err := readAll(r)
	if err != nil || len(people) != 50 || asked != "gzip" {
		t.Errorf("asked for encoding %q, read %d people, error %v", asked, len(people), err)
	}
}

func TestContentTypes(t *testing.T) {
	page := pageJSON(1, "", 1, 2)
	for kind, good := range map[string]bool{
		"application/json":                        true,
		"application/json; charset=utf-8":         true,
		"application/json;odata.metadata=minimal": true,
		"Application/JSON; Charset=UTF-8":         true,
		"":                                        false,
		"text/html":                               false,
		"text/plain; charset=utf-8":               false,
		"application/json; charset=utf-16":        false,
		"application/jsonp":                       false,
		"application/json, text/html":             false,
		"application/problem+json":                false,
		"multipart/mixed; boundary=batch; application/json": false,
	} {
		replies := reply{body: page, header: map[string]string{"Content-Type": kind}}
		if good {
			r, _ := scripted(t, replies)
			if _, _, err := readAll(r); err != nil {
				t.Errorf("content type %q: %v", kind, err)
			}
			continue
		}
		refused(t, pull.Malformed, 0, replies)
	}
}

func TestCount(t *testing.T) {
	plain := map[string]string{"Content-Type": "text/plain"}
	count := func(text string) reply { return reply{body: text, header: plain} }
	for _, test := range []struct {
		name string
		page string
		then []reply
		want pull.Class // empty: none
	}{
		{"as counted", pageJSON(2, "", 1, 3), nil, ""},
		{"not counted, and asked for", pageJSON(-1, "", 1, 3), []reply{count("2")}, ""},
		{"the real one begins with a byte order mark", pageJSON(-1, "", 1, 3), []reply{count("\ufeff2")}, ""},
		{"somebody left meanwhile", pageJSON(3, "", 1, 3), []reply{count("2")}, ""},
		{"the list lacks one", pageJSON(3, "", 1, 3), []reply{count("3")}, pull.Malformed},
		{"the list has one too many", pageJSON(1, "", 1, 3), []reply{count("1")}, pull.Malformed},
		{"the list lacks all", pageJSON(5000, "", 1, 1), []reply{count("5000")}, pull.Permission},
		{"the count is none", pageJSON(3, "", 1, 3), []reply{count("two")}, pull.Malformed},
		{"the count is below zero", pageJSON(3, "", 1, 3), []reply{count("-2")}, pull.Malformed},
		{"the count is empty", pageJSON(3, "", 1, 3), []reply{count("")}, pull.Malformed},
		{"the count is JSON", pageJSON(3, "", 1, 3), []reply{{body: "2"}}, pull.Malformed},
		{"the count is forbidden", pageJSON(3, "", 1, 3), []reply{graphError(403, "Authorization_RequestDenied", "no")}, pull.Permission},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, s := scripted(t, append([]reply{{body: test.page}}, test.then...)...)
			_, l, err := readAll(r)
			if test.want == "" && (err != nil || l.People != 2) {
				t.Errorf("listing %+v, error %v; want it good", l, err)
			}
			if test.want != "" && (err == nil || pull.ClassOf(err) != test.want) {
				t.Errorf("listing %+v, error %v; want class %s", l, err, test.want)
			}
			if s.count() != 1+len(test.then) {
				t.Errorf("%d requests, want %d", s.count(), 1+len(test.then))
			}
		})
	}
	// What Graph shows of a group with hidden membership.
	r, _ := scripted(t, reply{body: pageJSON(5, "", 1, 1)}, count("5"))
	if _, _, err := readAll(r); err == nil || !strings.Contains(err.Error(), "Member.Read.Hidden") {
		t.Errorf("error %v, want the hint to Member.Read.Hidden", err)
	}
}

// TestMemberOnTwoPages: of a member that comes twice one cannot tell which page lacks another.
func TestMemberOnTwoPages(t *testing.T) {
	refused(t, pull.Malformed, 2, reply{body: pageJSON(4, link(2), 1, 3)}, reply{body: pageJSON(-1, "", 2, 4)})
	refused(t, pull.Malformed, 2, reply{body: pageJSON(3, link(2), 1, 3)}, reply{body: pageJSON(-1, "", 2, 4)})
}

// TestPersonsAreTheirOwn: nothing of a person changes when the buffers are used again.
func TestPersonsAreTheirOwn(t *testing.T) {
	r, _ := scripted(t, reply{body: pageJSON(30, link(2), 1, 21)}, reply{body: pageJSON(-1, "", 21, 31)})
	people, _, err := readAll(r)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range people {
		if diff := cmp.Diff(pulltest.NewPerson(i+1), p); diff != "" {
			t.Fatalf("person %d (-want +got):\n%s", i+1, diff)
		}
	}
}
