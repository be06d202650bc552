package scim_test

import (
	"net/http"
	"testing"
)

// What a client says it accepts is read as widely as it can be: 406 is for those who could do nothing with any JSON.
func TestAccept(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	user := a.user("anna")
	for accept, status := range map[string]int{
		"application/scim+json": 200, "application/json": 200, "APPLICATION/JSON": 200, "*/*": 200, "application/*": 200, " application/json ": 200,
		"application/scim+json, application/json": 200, "application/json; charset=utf-8": 200, `application/json;profile="a,b"`: 200,
		"application/json, text/plain, */*": 200, "text/html,application/xhtml+xml,*/*;q=0.8": 200, "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2": 200,
		"text/html, image/gif, *; q=.2": 200, "text/xml;q=1, application/scim+json;q=0.001": 200, "application/scim+json;q=0, application/json": 200,
		"application/scim+json;q=0, */*": 200, "application/json;q=0, application/scim+json": 200, ",": 200, "json": 200, "application/json;q=x": 200, "*/*;Q=0.5": 200,
		"application/xml": 406, "text/html": 406, "text/*": 406, "text/html, application/xhtml+xml;q=0.9": 406, "application/scim+xml": 406, "application/jsonx": 406,
		"*/*;q=0": 406, "application/*;q=0, */*": 406, "application/json;q=0": 406, "application/scim+json;q=0, application/json;q=0.0, */*": 406, "text/html, */*;q=0": 406,
	} {
		t.Run(accept, func(t *testing.T) {
			for _, path := range []string{"/Users", "/Users/" + user, "/Schemas", "/ServiceProviderConfig"} {
				got := a.requestAs(t, "GET", path, nil, "Accept", accept).want(status)
				if status != 200 {
					got.is("", "scimType")
				}
			}
		})
	}
	// More than one line is one list.
	req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+"/scim/alpha/v2/Users", nil))
	req.Header = http.Header{"Authorization": {"Bearer " + a.token}, "Accept": {"text/html", "application/json"}}
	a.exchange(t, req).want(200)
	// Nothing is carried out for somebody who cannot read the answer.
	a.request("POST", "/Users", userBody("boris"), "Accept", "text/html").want(406)
	a.request("DELETE", "/Users/"+user, nil, "Accept", "text/html").want(406)
	a.request("PATCH", "/Users/"+user, patch(op("replace", "title", "x")), "Accept", "text/html").want(406)
	a.get("/Users").is("1", "totalResults")
	a.get("/Users/"+user).is("", "title")
	// What has no content has no kind.
	a.request("OPTIONS", "/Users", nil, "Accept", "text/html").want(204)
}

// A body where none belongs, and headers that ask for another method, change nothing.
func TestBodiesAndMethodsThatAreIgnored(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	user := a.user("anna")
	for _, path := range []string{"/Users", "/Users/" + user, "/Groups", "/Schemas"} {
		plain := a.get(path)
		for _, headers := range [][]string{{"Content-Type", "text/plain"}, {"Content-Type", ""}, {"Content-Encoding", "gzip"}} {
			got := a.request("GET", path, raw(`{"userName":`), headers...).want(200)
			if string(got.body) != string(plain.body) {
				got.errorf("not the answer without a body")
			}
		}
	}
	for _, header := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		a.request("GET", "/Users/"+user, nil, header, "DELETE").want(200)
		a.request("POST", "/Users/"+user, userBody("x"), header, "PUT").want(405)
		a.request("POST", "/Users/"+user+"?_method=DELETE", nil, header, "DELETE").want(405)
	}
	a.request("DELETE", "/Users/"+user, raw("anything"), "Content-Type", "text/plain").want(204)
}

// A token that does not hold is told from one that is missing (RFC 6750 section 3.1).
func TestChallenges(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	for header, want := range map[string]string{"": `Bearer realm="scim"`, "Basic YTpi": `Bearer realm="scim"`, "Bearer x": `Bearer realm="scim", error="invalid_token"`} {
		for _, path := range []string{"/Users", "/Me", "/Nothing"} {
			a.request("GET", path, nil, "Authorization", header).want(401, "").hasHeader("WWW-Authenticate", want)
		}
	}
}

// Conditions may come in several lines, and If-Match is looked at first (RFC 9110 section 13.2.2).
func TestConditionsTogether(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	for collection, body := range map[string]object{"/Users": userBody("anna"), "/Groups": groupBody("crew")} {
		item := collection + "/" + a.request("POST", collection, body).want(201).id()
		change := patch(op("replace", "externalId", "x"))
		for _, c := range []struct {
			headers    []string
			get, patch int
		}{
			{[]string{"If-Match", `"7"`, "If-None-Match", `"1"`}, 412, 412},
			{[]string{"If-Match", `"1"`, "If-None-Match", `"1"`}, 304, 412},
			{[]string{"If-Match", `"7"`, "If-None-Match", `"7"`}, 412, 412},
			{[]string{"If-None-Match", `"7"`, "If-None-Match", `"1"`}, 304, 412},
			{[]string{"If-Match", `"7"`, "If-Match", `"8"`}, 412, 412},
		} {
			got := a.request("GET", item, nil, c.headers...).want(c.get)
			if c.get == 412 && (got.header.Get("Content-Location") != "" || got.header.Get("Location") != "") {
				got.errorf("the error says that it is the resource")
			}
			a.request("PATCH", item, change, c.headers...).want(c.patch, "")
		}
		a.get(item).is("", "externalId")
		if got := a.request("PATCH", item, change, "If-Match", `"7"`, "If-Match", `"1"`); got.status >= 300 {
			got.errorf("the second line is not seen")
		}
		a.get(item).is("x", "externalId")
		// What is not there is 404, whatever is asked of it (RFC 9110 section 13.2.1).
		missing := collection + "/" + unknownID
		for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
			for _, header := range []string{"If-Match", "If-None-Match"} {
				a.request(method, missing, bodyFor(method, missing), header, "*").want(404, "")
			}
		}
		// A collection has no version: a condition on it rules out nothing.
		a.request("GET", collection, nil, "If-None-Match", "*").want(200)
		body["userName"], body["displayName"] = "another", "another"
		a.request("POST", collection, body, "If-None-Match", "*", "If-Match", `"7"`).want(201)
	}
}
