package scim_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/scim"
)

// What discovery says has a version of its own, which follows the tenant's settings.
func TestConditionsOfDiscovery(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	tags := map[string]string{}
	paths := []string{"/Schemas", "/Schemas/" + scim.UserURN, "/ResourceTypes", "/ResourceTypes/User", "/ResourceTypes/Group", "/ServiceProviderConfig", "/serviceConfiguration"}
	for _, path := range paths {
		got := a.get(path)
		tag := got.header.Get("ETag")
		if tag == "" || !strings.HasPrefix(tag, `W/"`) {
			got.errorf("ETag %q", tag)
		}
		if version := got.text("meta", "version"); version != tag && version != "" || version == "" && got.at("Resources") == nil {
			got.errorf("meta.version %q, ETag %q", version, tag)
		}
		tags[path] = tag
		again := a.request("GET", path, nil, "If-None-Match", tag).want(304)
		if again.hasHeader("ETag", tag); len(again.body) > 0 {
			again.errorf("a body")
		}
		a.request("HEAD", path, nil, "If-None-Match", `"x", `+tag).want(304)
		a.request("GET", path, nil, "If-None-Match", `"x"`).want(200)
		a.request("GET", path, nil, "If-Match", `"x"`).want(412, "")
		a.request("GET", path, nil, "If-Match", tag).want(200)
		a.request("GET", path+"?filter=id+pr", nil).want(403, "").hasHeader("ETag", "")
	}
	for i := range 2 { // each element of a list as it is alone
		if got, want := a.get("/ResourceTypes").text("Resources", i, "meta", "version"), tags[paths[3+i]]; got != want {
			t.Errorf("version %s in the list, %s alone", got, want)
		}
	}
	a.set(withExtension)
	for _, path := range paths {
		changes := path == "/Schemas" || path == "/ResourceTypes" || path == "/ResourceTypes/User"
		if tag := a.get(path).header.Get("ETag"); (tag != tags[path]) != changes {
			t.Errorf("%s: ETag %s after an extension, %s before", path, tag, tags[path])
		}
	}
}

// What /ServiceProviderConfig announces is so: clients choose by it what they send.
func TestWhatIsAnnouncedIsSo(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *scim.Config) {
		c.Limits.PageDefault, c.Limits.PageMax, c.Limits.BulkOperations, c.Limits.BulkBytes = 3, 5, 2, 2000
	})
	a := s.tenant("alpha")
	a.people(7)
	config := a.get("/ServiceProviderConfig")
	if uri := config.text("documentationUri"); !strings.HasPrefix(uri, "https://") {
		config.errorf("documentationUri %q", uri)
	}
	a.get("/Users?count=1000").is(config.text("filter", "maxResults"), "itemsPerPage")
	a.get("/Users?count=1000").is(config.text("pagination", "maxPageSize"), "itemsPerPage")
	a.get("/Users").is(config.text("pagination", "defaultPageSize"), "itemsPerPage")
	user := a.get("/Users?cursor=&count=1&sortBy=userName").text("Resources", 0, "id")
	announced := map[string]bool{}
	for _, name := range []string{"patch", "bulk", "filter", "changePassword", "sort", "etag"} {
		announced[name] = config.text(name, "supported") == "true"
	}
	operation := func(name string) object {
		return object{"method": "POST", "path": "/Users", "bulkId": name, "data": userBody(name)}
	}
	bulk := func(operations ...object) int {
		return a.request("POST", "/Bulk", object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:BulkRequest"}, "Operations": operations}).status
	}
	most := must(strconv.Atoi(config.text("bulk", "maxOperations")))
	var operations []object
	for i := range most {
		operations = append(operations, operation(fmt.Sprint("bulk", i)))
	}
	long := operation("long")
	long["data"] = userBody("long", object{"title": strings.Repeat("x", must(strconv.Atoi(config.text("bulk", "maxPayloadSize"))))})
	first := func(path string) string { return a.get(path).text("Resources", 0, "userName") }
	patched := a.patch("/Users/"+user, op("replace", "title", "x"), op("replace", "password", "New-Horse-1"))
	for name, is := range map[string]bool{
		"patch":          patched.status == 200 && patched.text("title") == "x",
		"filter":         a.get(filtered("/Users", `title eq "x"`)).text("totalResults") == "1",
		"sort":           first("/Users?sortBy=userName") == "member0000" && first("/Users?sortBy=userName&sortOrder=descending") == "member0006",
		"etag":           a.request("GET", "/Users/"+user, nil, "If-None-Match", a.get("/Users/"+user).header.Get("ETag")).status == 304,
		"bulk":           bulk(operations...) == 200 && bulk(append(operations, operation("over"))...) == 413 && bulk(long) == 413,
		"changePassword": strings.Contains(fmt.Sprint(a.dump()), "New-Horse-1"),
	} {
		if is != announced[name] {
			t.Errorf("%s is announced as %t, and is %t", name, announced[name], is)
		}
	}
	a.request("GET", "/Users?cursor=&count=2", nil).want(200)
	if config.text("pagination", "cursor") != "true" || config.text("pagination", "index") != "true" {
		config.errorf("pagination")
	}
}
