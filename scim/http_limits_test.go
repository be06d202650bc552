package scim_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
)

// padded is a user's body of exactly n bytes.
func padded(userName string, n int) raw {
	body := string(must(json.Marshal(userBody(userName, object{"x": ""}))))
	return raw(strings.Replace(body, `"x":""`, `"x":"`+strings.Repeat("x", n-len(body))+`"`, 1))
}

func TestBodySize(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	user := a.user("anna")
	group := a.group("crew", "")
	const limit = 1 << 20
	a.request("POST", "/Users", padded("fits", limit)).want(201)
	a.request("POST", "/Users", unannounced{strings.NewReader(string(padded("fits too", limit)))}).want(201)
	before := a.dump()
	for _, r := range []struct{ method, path string }{{"POST", "/Users"}, {"PUT", "/Users/" + user}, {"PATCH", "/Users/" + user},
		{"POST", "/Groups"}, {"PUT", "/Groups/" + group}, {"PATCH", "/Groups/" + group}} {
		a.request(r.method, r.path, padded("large", limit+1)).want(413, "")
		a.request(r.method, r.path, unannounced{strings.NewReader(string(padded("large", limit+1)))}).want(413, "")
		a.request(r.method, r.path, unannounced{strings.NewReader(strings.Repeat(" ", 2*limit) + "{}")}).want(413, "")
	}
	a.waitLines(4 + 18)
	for k, v := range a.dump() {
		if before[k] != v && !strings.HasPrefix(k, "log\x00") && !strings.HasPrefix(k, "tokens\x00") {
			t.Errorf("refused bodies changed %q", k)
		}
	}

	// A length is refused as it is announced: neither is the body awaited nor room made for it.
	for _, length := range []string{"1048577", "1099511627776", "9223372036854775807"} {
		conn := must(net.Dial("tcp", strings.TrimPrefix(a.url, "http://")))
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /scim/alpha/v2/Users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/scim+json\r\nContent-Length: %s\r\n\r\n", a.token, length)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("length %s: %v, %v", length, resp, err)
		}
		conn.Close()
	}

	small := newServer(t, func(c *scim.Config) { c.Limits.BodyBytes = 200 }).tenant("alpha")
	small.request("POST", "/Users", padded("fits", 200)).want(201)
	small.request("POST", "/Users", padded("large", 201)).want(413)
}

func TestJSONIsStrict(t *testing.T) {
	t.Parallel()
	nested := func(depth int) string {
		return `{"userName":"deep","x":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + `}`
	}
	a := newServer(t).tenant("alpha")
	for _, x := range []struct {
		name, body string
		status     int
	}{
		{"as deep as may be", nested(32), 201},
		{"too deep", nested(33), 400},
		{"far too deep", nested(9_999), 400},
		{"deep objects", strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000), 400},
		{"a name twice", `{"userName":"a","userName":"b"}`, 400},
		{"a name in two cases", `{"userName":"a","active":false,"ACTIVE":true}`, 400},
		{"a name escaped and not", `{"userName":"a","active":false,"\u0061ctive":true}`, 400},
		{"a sub-attribute twice", `{"userName":"a","name":{"givenName":"x","GIVENNAME":"y"}}`, 400},
		{"a name twice in an unknown attribute", `{"userName":"a","x":[{"y":1,"Y":2}]}`, 400},
		{"a URN in two cases", `{"userName":"a","` + scim.EnterpriseURN + `":{},"` + strings.ToUpper(scim.EnterpriseURN) + `":{}}`, 400},
		{"names that are alike in Unicode alone", "{\"userName\":\"long s\",\"title\":\"a\",\"title\u017f\":\"b\",\"role\u017f\":[{\"value\":\"admin\"}]}", 201},
		{"trailing data", `{"userName":"a"}{"userName":"b"}`, 400},
		{"a trailing word", `{"userName":"a"} x`, 400},
		{"a trailing bracket", `{"userName":"a"}]`, 400},
		{"trailing space", "{\"userName\":\"space\"} \n\t\r ", 201},
		{"a byte order mark", "\ufeff" + `{"userName":"a"}`, 400},
		{"bytes that are no UTF-8", "{\"userName\":\"a\xff\"}", 400},
		{"half a surrogate pair", `{"userName":"a\ud800"}`, 400},
		{"a control character", "{\"userName\":\"a\nb\"}", 400},
		{"a comment", `{"userName":"a"/*x*/}`, 400},
		{"NaN", `{"userName":"a","x":NaN}`, 400},
		{"cut off", `{"userName":"a"`, 400},
		{"nothing", ``, 400},
		{"null", `null`, 400},
		{"a list", `[{"userName":"a"}]`, 400},
		{"a text", `"userName"`, 400},
		{"junk", `userName=a`, 400},
	} {
		t.Run(x.name, func(t *testing.T) {
			got := a.requestAs(t, "POST", "/Users", raw(x.body)).want(x.status)
			if x.status == 400 {
				got.is("invalidSyntax", "scimType")
			}
			got.is("", "roles")
		})
	}
	low := newServer(t, func(c *scim.Config) { c.Limits.JSONDepth = 8 }).tenant("alpha")
	low.request("POST", "/Users", raw(nested(8))).want(201)
	low.request("POST", "/Users", raw(nested(9))).want(400)
}

func TestContentType(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	for header, status := range map[string]int{
		"application/scim+json": 201, "application/json": 201, "application/scim+json; charset=utf-8": 201, "application/scim+json;charset=UTF-8": 201,
		`application/json; charset="utf-8"`: 201, "Application/SCIM+JSON": 201, "application/scim+json ; x=y": 201, "application/json;charset=utf8": 201,
		"": 415, "text/plain": 415, "application/xml": 415, "multipart/form-data; boundary=x": 415, "application/json; charset=utf-16": 415, "application/json; charset=utf80": 415,
		"application/json; charset=iso-8859-1": 415, "application/x-www-form-urlencoded": 415, "application/jsonx": 415, "json": 415, "*/*": 415,
		"application/json, text/plain": 415, "application/json; charset": 415, "text/json": 415, "application/ld+json": 415,
	} {
		t.Run(header, func(t *testing.T) {
			a.requestAs(t, "POST", "/Users", userBody(a.unique("u")), "Content-Type", header).want(status)
		})
	}
	user := a.user("anna")
	for _, method := range []string{"PUT", "PATCH"} {
		a.request(method, "/Users/"+user, patch(), "Content-Type", "text/plain").want(415)
	}

	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(must(json.Marshal(userBody("zip"))))
	z.Close()
	for _, coding := range []string{"gzip", "GZIP", "deflate", "br", "identity, gzip"} {
		a.request("POST", "/Users", raw(zipped.String()), "Content-Encoding", coding).want(415)
	}
	a.request("POST", "/Users", raw(zipped.String())).want(400)
	a.request("POST", "/Users", userBody("plain"), "Content-Encoding", "identity").want(201)
}

func TestFilterLimits(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	a.user("anna")
	terms := func(n int) string { return strings.Repeat(`userName eq "x" or `, n-1) + `userName eq "x"` }
	parens := func(n int) string { return strings.Repeat("(", n) + `userName pr` + strings.Repeat(")", n) }
	long := func(n int) string {
		const frame = `userName eq ""`
		return frame[:len(frame)-1] + strings.Repeat("x", n-len(frame)) + `"`
	}
	for _, x := range []struct {
		name, filter string
		status       int
	}{
		{"2,048 characters", long(2048), 200},
		{"2,049 characters", long(2049), 400},
		{"50 terms", terms(50), 200},
		{"51 terms", terms(51), 400},
		{"20 parentheses", parens(20), 400},
		{"2,000 parentheses", parens(2000), 400},
		{"5 parentheses", parens(5), 200},
		{"200 times not", strings.Repeat("not (", 200) + "userName pr" + strings.Repeat(")", 200), 400},
		{"brackets in brackets", `emails[emails[type eq "a"]]`, 400},
		{"dots", "a" + strings.Repeat(".b", 800) + " pr", 400},
		{"empty", "", 400},
		{"spaces", "   ", 400},
		{"an unknown attribute", `nosuch eq "x"`, 400},
		{"password", `password sw "a"`, 400},
		{"password with its schema", scim.UserURN + `:password pr`, 400},
		{"the store's own names", `passwordHash co "$"`, 400},
		{"injection in a value", `userName eq "x' OR '1'='1"`, 200},
		{"injection in a name", `userName";DROP TABLE users;-- eq "x"`, 400},
		{"a wildcard", `userName co "%"`, 200},
		{"another", `userName sw "_"`, 200},
		{"a regular expression", `userName co "(a+)+$"`, 200},
		{"a boolean compared", `active gt true`, 400},
		{"half a filter", `userName eq`, 400},
		{"two filters", `userName eq "x" userName eq "y"`, 400},
	} {
		t.Run(x.name, func(t *testing.T) {
			got := a.requestAs(t, "GET", filtered("/Users", x.filter), nil).want(x.status)
			if x.status == 400 {
				got.is("invalidFilter", "scimType")
			} else if strings.HasPrefix(x.filter, "(") {
				got.is("1", "totalResults")
			} else {
				got.is("0", "totalResults")
			}
		})
	}
	// NUL and bytes that are no UTF-8 name nobody, and are no fault of ours.
	for _, query := range []string{"filter=userName%20eq%20%22a%00b%22", "filter=userName%20eq%20%22a%ff%fe%22", "filter=userName%20eq%20%22a%0d%0ab%22"} {
		if got := a.request("GET", "/Users?"+query, nil); got.status != 200 && got.status != 400 || got.status == 200 && got.text("totalResults") != "0" {
			got.errorf("not 400 or nobody")
		}
	}
}

func TestPatchLimits(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	user, group := a.user("anna"), a.group("crew", "")
	ops := func(n int) []object {
		var list []object
		for i := range n {
			list = append(list, op("replace", "title", strconv.Itoa(i)))
		}
		return list
	}
	a.patch("/Users/"+user, ops(500)...).want(200).is("499", "title")
	a.patch("/Users/"+user, ops(501)...).want(400, "tooMany")
	a.get("/Users/"+user).is("499", "title")

	ids, _ := a.people(1001)
	a.patch("/Groups/"+group, op("add", "members", members(ids...))).want(400, "tooMany")
	a.patch("/Groups/"+group, op("add", "members", members(ids[:600]...)), op("remove", "members", members(ids[600:]...))).want(400, "tooMany")
	if n := len(a.members(group)); n != 0 {
		t.Errorf("a refused PATCH left %d members", n)
	}
	a.patch("/Groups/"+group, op("add", "members", members(ids[:1000]...))).want(204)
	if n := len(a.members(group)); n != 1000 {
		t.Errorf("%d members, want 1,000", n)
	}
	a.patch("/Groups/"+group, op("remove", "members["+strings.Repeat("x", 600)+"]")).want(400, "invalidPath")

	// A filter that does not name one member by its id looks at each of them, while nobody else can write: few are enough.
	scans := func(n int) (list []object, keys object) {
		keys = object{}
		for i := range n {
			path := fmt.Sprintf(`members[value sw "%s" and type ne "x%d"]`, ids[i], i)
			list, keys[path] = append(list, op("remove", path)), nil
		}
		return list, keys
	}
	list, keys := scans(21)
	a.patch("/Groups/"+group, list...).want(400, "tooMany")
	a.patch("/Groups/"+group, op("replace", "", keys)).want(400, "tooMany")
	a.patch("/Groups/"+group, list[:20]...).want(204)
	if n := len(a.members(group)); n != 980 {
		t.Errorf("%d members, want 980", n)
	}
	list = nil
	for _, id := range ids[20:500] {
		list = append(list, op("remove", `members[value eq "`+id+`"]`))
	}
	a.patch("/Groups/"+group, list...).want(204)
	if n := len(a.members(group)); n != 500 {
		t.Errorf("%d members, want 500", n)
	}
	list = nil
	for i, id := range ids[500:600] {
		kind := []string{`type eq "User"`, `not (type eq "Group")`, `(type eq "User" or type eq "x")`, `type eq "Group"`}[i%4]
		list = append(list, op("remove", `members[`+kind+` and value eq "`+id+`"]`))
	}
	list = append(list, op("remove", `members[value eq "`+unknownID+`" and type eq "User"]`), op("remove", `members[value eq "x" and type pr]`),
		op("remove", `members[value eq "`+ids[600]+`" and value eq "`+ids[601]+`"]`))
	a.patch("/Groups/"+group, list...).want(204)
	if n := len(a.members(group)); n != 425 {
		t.Errorf("%d members, want 425", n)
	}

	low := newServer(t, func(c *scim.Config) { c.Limits.Patch.Operations, c.Limits.Patch.Members = 2, 1 }).tenant("alpha")
	user, group = low.user("anna"), low.group("crew", "")
	low.patch("/Users/"+user, ops(3)...).want(400, "tooMany")
	low.patch("/Groups/"+group, op("add", "members", members(user, unknownID))).want(400, "tooMany")
	low.patch("/Groups/"+group, op("add", "members", members(user))).want(204)
}

// The filters of a PATCH look at so many members in all; one filter alone may look at each member of a group of any size.
func TestLooksAtMembers(t *testing.T) {
	t.Parallel()
	a := newServer(t, func(c *scim.Config) { c.Limits.Patch.Looks = 10 }).tenant("alpha")
	ids, _ := a.people(12)
	large, small := a.group("large", "", ids...), a.group("small", "", ids[:5]...)
	nobody := op("remove", `members[type sw "x"]`)
	leaves := func(i int) object { return op("remove", `members[value sw "`+ids[i]+`"]`) }

	a.patch("/Groups/"+large, leaves(11), nobody).want(400, "tooMany")
	a.patch("/Groups/"+small, nobody, nobody, leaves(4)).want(400, "tooMany")
	if l, s := len(a.members(large)), len(a.members(small)); l != 12 || s != 5 {
		t.Errorf("what was refused left %d and %d members, want 12 and 5", l, s)
	}
	a.patch("/Groups/"+large, leaves(11), op("remove", `members[value eq "`+ids[1]+`" and type eq "User"]`)).want(204)
	a.patch("/Groups/"+small, nobody, leaves(4)).want(204)
	if l, s := len(a.members(large)), len(a.members(small)); l != 10 || s != 4 {
		t.Errorf("%d and %d members, want 10 and 4", l, s)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	var ids []string
	for n := range 205 {
		ids = append(ids, a.user(fmt.Sprintf("user%03d", n), object{"title": "crew"}))
	}
	page := func(query string, total, start, n int) {
		t.Helper()
		for _, filter := range []string{"", "filter=" + url.QueryEscape(`title eq "crew"`) + "&"} { // counted, and found one by one
			got := a.get("/Users?" + filter + query)
			got.is(strconv.Itoa(total), "totalResults")
			got.is(strconv.Itoa(start), "startIndex")
			got.is(strconv.Itoa(n), "itemsPerPage")
			got.is(listURN, "schemas", 0)
			want := []string{}
			if start <= total {
				want = ids[start-1 : start-1+n]
			}
			if seen := got.values("id", "Resources"); !slices.Equal(seen, want) {
				got.errorf("the page holds %d resources, or others than those from %d on", len(seen), start)
			}
			if n == 0 && !strings.Contains(string(got.body), `"Resources":[]`) {
				got.errorf("Resources is not the empty list")
			}
		}
	}
	page("", 205, 1, 100)
	page("aadOptscim062020", 205, 1, 100)
	page("count=5", 205, 1, 5)
	page("startIndex=6&count=5", 205, 6, 5)
	page("startIndex=201&count=5", 205, 201, 5)
	page("startIndex=203&count=5", 205, 203, 3)
	page("startIndex=205", 205, 205, 1)
	page("startIndex=206", 205, 206, 0)
	page("startIndex=100000", 205, 100000, 0)
	page("startIndex=9223372036854775807&count=9223372036854775807", 205, 9223372036854775807, 0)
	page("count=200", 205, 1, 200)
	page("count=201", 205, 1, 200)
	page("count=1000000000", 205, 1, 200)
	page("count=99999999999999999999999", 205, 1, 200)
	page("count=0", 205, 1, 0)
	page("count=-5", 205, 1, 0)
	page("count=-99999999999999999999999", 205, 1, 0)
	page("startIndex=0&count=3", 205, 1, 3)
	page("startIndex=-1&count=3", 205, 1, 3)
	page("startIndex=-9223372036854775808&count=3", 205, 1, 3)
	page("startIndex=&count=", 205, 1, 100)
	for _, query := range []string{"count=NaN", "count=1e9", "count=1.5", "count=0x10", "count=ten", "count=1_0", "startIndex=NaN", "startIndex=1.0", "startIndex=%00", "count=1%202"} {
		for _, path := range []string{"/Users?", "/Groups?"} {
			a.request("GET", path+query, nil).want(400, "invalidValue")
		}
	}

	seen := map[string]bool{} // a walk through all pages meets everybody once
	for start := 1; start <= 205; start += 7 {
		for _, id := range a.get(fmt.Sprintf("/Users?startIndex=%d&count=7", start)).values("id", "Resources") {
			if seen[id] {
				t.Errorf("%s is on two pages", id)
			}
			seen[id] = true
		}
	}
	if len(seen) != 205 {
		t.Errorf("the pages hold %d users", len(seen))
	}

	export := newServer(t, func(c *scim.Config) { c.Limits.PageMax = 5000 }).tenant("alpha")
	export.get("/ServiceProviderConfig").is("1000", "filter", "maxResults")
}

// A query that cannot be read is refused: a filter that was dropped would answer with everybody.
func TestQueriesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	user, group := a.user("anna"), a.group("crew", "")
	filter := "filter=" + url.QueryEscape(`userName eq "anna"`)
	for _, query := range []string{
		"filter=%zz", "filter=userName+eq+%22x%", filter + "&x=%g1", "%zz=1",
		filter + "&" + filter, "count=1&count=2", "startIndex=1&startIndex=2", "attributes=userName&attributes=name", "excludedAttributes=name&excludedAttributes=title",
		"attributes=userName&excludedAttributes=name",
	} {
		for _, path := range []string{"/Users", "/Groups", "/Users/" + user, "/Groups/" + group} {
			a.request("GET", path+"?"+query, nil).want(400)
		}
		// Nor is anything written first.
		before := a.lines()
		for _, x := range []struct {
			method, path string
			body         any
		}{
			{"POST", "/Users", userBody("new")},
			{"PUT", "/Users/" + user, userBody("renamed")},
			{"PATCH", "/Users/" + user, patch(op("replace", "userName", "renamed"))},
			{"POST", "/Groups", groupBody("new")},
			{"PUT", "/Groups/" + group, groupBody("renamed", object{"members": members(user)})},
		} {
			a.request(x.method, x.path+"?"+query, x.body).want(400)
		}
		for _, line := range a.waitLines(len(before) + 5)[len(before):] {
			if line.Status != "failure" {
				t.Errorf("?%s: the request failed after it was carried out: %s %s", query, line.Action, line.TargetName)
			}
		}
	}
	a.get("/Users/"+user).is("anna", "userName")
	a.get("/Groups/"+group).is("crew", "displayName")
	a.get("/Users").is("1", "totalResults")
	// What nobody knows is ignored.
	a.get("/Users?aadOptscim062020&AzureAdScimPatch2017&"+filter+"&sortBy=userName&x=1&x=2").is("1", "totalResults")
}

// A name of the protocol in another case is read, or refused in strict mode: a filter that was dropped would answer with everybody.
func TestParameterNames(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a, strict := s.tenant("alpha"), s.tenant("bravo", scimOptions(directory.SCIMOptions{Strict: true}))
	filter := url.QueryEscape(`userName eq "anna"`)
	for _, tn := range []*tenant{a, strict} {
		tn.user("per", object{"title": "T"})
		tn.user("anna", object{"title": "T"})
		tn.group("crew", "")
	}
	one := "/Users/" + a.get("/Users?filter="+filter).text("Resources", 0, "id")
	for query, check := range map[string]func(*answer){
		"Filter=" + filter:                     func(got *answer) { got.is("1", "totalResults") },
		"COUNT=1":                              func(got *answer) { got.is("1", "itemsPerPage") },
		"startindex=2":                         func(got *answer) { got.is("2", "startIndex") },
		"SortBy=userName":                      func(got *answer) { got.is("anna", "Resources", 0, "userName") },
		"sortBy=userName&SORTORDER=descending": func(got *answer) { got.is("per", "Resources", 0, "userName") },
		"Cursor=&count=1":                      func(got *answer) { got.is("", "startIndex") },
		"Attributes=userName":                  func(got *answer) { got.is("", "Resources", 0, "title") },
		"excludedattributes=title":             func(got *answer) { got.is("", "Resources", 0, "title") },
	} {
		check(a.get("/Users?" + query))
		for _, path := range []string{"/Users", "/Groups", "/"} {
			strict.request("GET", path+"?"+query, nil).want(400, "invalidSyntax")
		}
	}
	a.get(one+"?ATTRIBUTES=userName").is("", "title")
	a.get(one+"?ExcludedAttributes=title").is("", "title")
	sole := "/Users/" + strict.get("/Users?filter="+filter).text("Resources", 0, "id")
	strict.request("GET", sole+"?ATTRIBUTES=userName", nil).want(400, "invalidSyntax")
	for _, path := range []string{"/Users", "/Groups", "/", one} {
		for _, query := range []string{"filter=" + filter + "&FILTER=" + filter, "Count=1&cOUNT=1", "attributes=id&Attributes=id"} {
			a.request("GET", path+"?"+query, nil).want(400, "invalidSyntax")
		}
		a.request("GET", path+"?filters=x&kount=1", nil).want(200)
	}
}

func TestMethodsAndPaths(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	user := a.user("anna")
	for path, allow := range map[string]string{
		"/Users": "GET, HEAD, POST, OPTIONS", "/Users/" + user: "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
		"/Groups": "GET, HEAD, POST, OPTIONS", "/Groups/" + unknownID: "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
		"/Schemas": "GET, HEAD, OPTIONS", "/ResourceTypes": "GET, HEAD, OPTIONS", "/ServiceProviderConfig": "GET, HEAD, OPTIONS",
		"/serviceConfiguration": "GET, HEAD, OPTIONS", "/Schemas/x": "GET, HEAD, OPTIONS", "/ResourceTypes/User": "GET, HEAD, OPTIONS",
		"/Me": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", "/Bulk": "POST, OPTIONS",
		"/": "GET, HEAD, OPTIONS", "": "GET, HEAD, OPTIONS", "/.search": "POST, OPTIONS", "/Users/.search": "POST, OPTIONS", "/Groups/.search": "POST, OPTIONS",
	} {
		for _, method := range append(allMethods, "BREW", "get", "PROPFIND", strings.Repeat("X", 500)) {
			switch {
			case method == "OPTIONS":
				got := a.request(method, path, nil).want(204)
				got.hasHeader("Allow", allow)
				takesPatch := ""
				if strings.Contains(allow, "PATCH") {
					takesPatch = "application/scim+json"
				}
				got.hasHeader("Accept-Patch", takesPatch)
				if len(got.body) > 0 {
					got.errorf("a body")
				}
			case !slices.Contains(strings.Split(allow, ", "), method):
				got := a.request(method, path, nil).want(405, "")
				got.hasHeader("Allow", allow)
				if len(got.body) > 300 {
					got.errorf("%d bytes", len(got.body))
				}
			}
		}
	}
	a.request("OPTIONS", "/Nothing", nil).want(404, "")
	a.request("OPTIONS", "/Users", nil, "Authorization", "").want(401, "").hasHeader("Allow", "")
	a.get("/Users/"+user).is("anna", "userName")
	for _, path := range []string{"/Nothing", "/Bulk/x", "/Users/" + user + "/groups", "/ServiceProviderConfig/x", "/Schemas/x", "/ResourceTypes/x", "/ResourceTypes/user"} {
		a.request("GET", path, nil).want(404, "")
	}
	for _, path := range []string{"/Schemas", "/ResourceTypes", "/ServiceProviderConfig"} {
		a.request("GET", filtered(path, `id eq "x"`), nil).want(403, "")
		a.get(path + "?attributes=id&count=1&x=y")
	}
}

// HEAD answers as GET does, without the body.
func TestHead(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	user := a.user("anna")
	group := a.group("crew", "", user)
	for _, path := range []string{"/Users", "/Users/" + user, "/Users/" + unknownID, "/Groups", "/Groups/" + group, "/Schemas", "/ServiceProviderConfig",
		"/ResourceTypes/User", filtered("/Users", "x"), "/Nothing"} {
		get, head := a.request("GET", path, nil), a.request("HEAD", path, nil)
		if len(head.body) > 0 {
			head.errorf("a body")
		}
		for _, h := range []http.Header{get.header, head.header} {
			h.Del("Date")
		}
		if get.header.Get("Content-Length") == "" { // Go counts a short answer itself
			get.header.Set("Content-Length", strconv.Itoa(len(get.body)))
		}
		if get.status != head.status || fmt.Sprint(get.header) != fmt.Sprint(head.header) {
			head.errorf("headers %v, those of GET are %d %v", head.header, get.status, get.header)
		}
	}
}
