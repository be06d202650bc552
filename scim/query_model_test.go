package scim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
)

// A slow and obvious model of queries: the resources as a GET of each shows them, in maps; filters, orders, pages and
// projections by the letter of RFC 7644 section 3.4.2, looking at everything each time.

const (
	crewUserURN  = "urn:example:params:scim:schemas:extension:crew:2.0:User"
	crewGroupURN = "urn:example:params:scim:schemas:extension:crew:2.0:Group"
)

func withCrew(t *directory.Tenant) {
	t.SCIM.Extensions = []json.RawMessage{
		json.RawMessage(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Schema"],"id":"` + crewUserURN + `","name":"Crew","attributes":[
			{"name":"rank","type":"integer"},{"name":"pay","type":"decimal"},{"name":"joined","type":"dateTime"},{"name":"captain","type":"boolean"},
			{"name":"deck","type":"string","caseExact":true},{"name":"codes","type":"string","multiValued":true},{"name":"photo","type":"binary"},
			{"name":"ships","type":"complex","multiValued":true,"subAttributes":[{"name":"value","type":"string"},{"name":"since","type":"dateTime"},{"name":"tons","type":"decimal"},{"name":"primary","type":"boolean"}]},
			{"name":"home","type":"complex","subAttributes":[{"name":"town","type":"string"},{"name":"berths","type":"integer"}]}]}`),
		json.RawMessage(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Schema"],"id":"` + crewGroupURN + `","name":"Crew","attributes":[
			{"name":"rank","type":"integer"},{"name":"deck","type":"string","caseExact":true}]}`),
	}
}

// attribute is one that a query can name, and how its values compare: fold, exact, number, time or bool.
type attribute struct {
	path   string
	kind   string
	urn    string // of the extension
	name   string
	sub    string
	groups bool // of groups; of both where users is set too
	users  bool
}

func modelAttributes() (list []attribute) {
	add := func(on, urn, kind string, paths ...string) {
		for _, p := range paths {
			a := attribute{path: p, kind: kind, urn: urn, users: strings.Contains(on, "u"), groups: strings.Contains(on, "g")}
			a.name, a.sub, _ = strings.Cut(p, ".")
			if urn != "" {
				a.path = urn + ":" + p
			}
			list = append(list, a)
		}
	}
	add("ug", "", "exact", "id", "externalId", "meta.resourceType", "meta.location", "schemas")
	add("ug", "", "time", "meta.created", "meta.lastModified")
	add("ug", "", "fold", "displayName")
	add("u", "", "fold", "userName", "title", "nickName", "name.familyName", "name.givenName", "emails.value", "emails.type", "groups.display", "groups.type")
	add("u", "", "exact", "groups.value")
	add("u", "", "bool", "active", "emails.primary")
	add("u", scim.EnterpriseURN, "fold", "department", "manager.value")
	add("g", "", "exact", "members.value")
	add("g", "", "fold", "members.type")
	add("u", crewUserURN, "number", "rank", "pay", "ships.tons", "home.berths")
	add("u", crewUserURN, "time", "joined", "ships.since")
	add("u", crewUserURN, "bool", "captain")
	add("u", crewUserURN, "exact", "deck", "photo")
	add("u", crewUserURN, "fold", "codes", "ships.value", "home.town")
	add("g", crewGroupURN, "number", "rank")
	add("g", crewGroupURN, "exact", "deck")
	// A complex attribute by itself stands for its value.
	list = append(list, attribute{path: "emails", kind: "fold", name: "emails", sub: "value", users: true},
		attribute{path: crewUserURN + ":ships", kind: "fold", urn: crewUserURN, name: "ships", sub: "value", users: true},
		attribute{path: "members", kind: "exact", name: "members", sub: "value", groups: true},
		attribute{path: "groups", kind: "exact", name: "groups", sub: "value", users: true},
		attribute{path: "codes", kind: "fold", urn: crewUserURN, name: "codes", users: true},
		attribute{path: scim.UserURN + ":userName", kind: "fold", name: "userName", users: true},
		attribute{path: strings.ToUpper(scim.UserURN) + ":NAME.FAMILYNAME", kind: "fold", name: "name", sub: "familyName", users: true})
	return list
}

// of returns the value of an attribute, a list where it is multi-valued.
func (a *attribute) of(doc object) any {
	if a.urn != "" {
		doc, _ = doc[a.urn].(object)
	}
	return doc[a.name]
}

// all returns every value of what the path names.
func (a *attribute) all(doc object) (values []any) {
	for _, e := range listOf(a.of(doc)) {
		if o, is := e.(object); is {
			e = o[a.sub]
		}
		values = append(values, listOf(e)...)
	}
	return values
}

// one returns the value that counts for the order, nil when there is none.
func (a *attribute) one(doc object) any {
	list := listOf(a.of(doc))
	if len(list) == 0 {
		return nil
	}
	e := list[0]
	for _, x := range list {
		if o, is := x.(object); is && o["primary"] == true {
			e = x
			break
		}
	}
	if o, is := e.(object); is {
		e = o[a.sub]
	}
	if e == "" {
		return nil
	}
	return e
}

func listOf(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

// modelFold is the form in which texts are compared without regard to case: each rune becomes the least of those that
// differ from it by case alone.
func modelFold(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for x := unicode.SimpleFold(r); x != r; x = unicode.SimpleFold(x) {
			least = min(least, x)
		}
		if 'A' <= least && least <= 'Z' {
			return least + 'a' - 'A'
		}
		return least
	}, norm.NFC.String(s))
}

func instant(s string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	panic("not an instant: " + s)
}

func number(v any) *big.Rat {
	r, ok := new(big.Rat).SetString(fmt.Sprint(v))
	if !ok {
		panic(fmt.Sprint("not a number: ", v))
	}
	return r
}

// compare compares two values of the attribute.
func (a *attribute) compare(x, y any) int {
	switch a.kind {
	case "number":
		return number(x).Cmp(number(y))
	case "time":
		return instant(x.(string)).Compare(instant(y.(string)))
	case "bool":
		return strings.Compare(fmt.Sprint(x), fmt.Sprint(y)) // false before true
	case "fold":
		return strings.Compare(modelFold(x.(string)), modelFold(y.(string)))
	}
	return strings.Compare(x.(string), y.(string))
}

// condition is a filter: its text, and what it says of a resource.
type condition struct {
	text string
	says func(doc object) bool
}

func quoted(s string) string { return string(must(json.Marshal(s))) }

// genComparison draws a comparison of an attribute; values are those that the resources have.
func genComparison(attrs []attribute, values map[string][]any) *rapid.Generator[condition] {
	return rapid.Custom(func(rt *rapid.T) condition {
		a := rapid.SampledFrom(attrs).Draw(rt, "attribute")
		ops := []string{"eq", "eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr"}
		switch a.kind {
		case "number", "time":
			ops = []string{"eq", "ne", "gt", "ge", "lt", "le", "pr"}
		case "bool":
			ops = []string{"eq", "ne", "pr"}
		}
		if a.name == "photo" { // a binary has no order
			ops = []string{"eq", "ne", "co", "sw", "ew", "pr"}
		}
		op := rapid.SampledFrom(ops).Draw(rt, "operator")
		if op == "pr" {
			return condition{a.path + " pr", func(doc object) bool {
				return slices.ContainsFunc(a.all(doc), func(v any) bool { return v != "" })
			}}
		}
		var lit any
		if have := values[a.path]; len(have) > 0 && rapid.IntRange(0, 3).Draw(rt, "one that is there") > 0 {
			lit = rapid.SampledFrom(have).Draw(rt, "value")
		} else {
			lit = genValue(a.kind).Draw(rt, "value")
		}
		text := fmt.Sprint(lit)
		if s, is := lit.(string); is {
			text = quoted(s)
		}
		if a.name == "members" && a.sub == "value" { // our ids are lower case, and clients may write them otherwise
			lit = strings.ToLower(lit.(string))
		}
		return condition{a.path + " " + op + " " + text, func(doc object) bool { return a.holds(doc, op, lit) }}
	})
}

func (a *attribute) holds(doc object, op string, lit any) bool {
	if op == "ne" {
		return !a.holds(doc, "eq", lit)
	}
	values := a.all(doc)
	if a.sub == "primary" { // what does not say so is not the primary one
		values = nil
		for _, e := range listOf(a.of(doc)) {
			values = append(values, e.(object)["primary"] == true)
		}
	}
	return slices.ContainsFunc(values, func(v any) bool {
		switch op {
		case "eq":
			return a.compare(v, lit) == 0
		case "gt":
			return a.compare(v, lit) > 0
		case "ge":
			return a.compare(v, lit) >= 0
		case "lt":
			return a.compare(v, lit) < 0
		case "le":
			return a.compare(v, lit) <= 0
		}
		have, want := v.(string), lit.(string)
		if a.kind == "fold" {
			have, want = modelFold(have), modelFold(want)
		}
		switch op {
		case "co":
			return strings.Contains(have, want)
		case "sw":
			return strings.HasPrefix(have, want)
		}
		return strings.HasSuffix(have, want)
	})
}

// genFilter draws a filter.
func genFilter(attrs []attribute, values map[string][]any, depth int) *rapid.Generator[condition] {
	return rapid.Custom(func(rt *rapid.T) condition {
		form := rapid.IntRange(0, 9).Draw(rt, "form")
		if depth == 0 || form < 4 {
			return genComparison(attrs, values).Draw(rt, "comparison")
		}
		inner := genFilter(attrs, values, depth-1)
		x := inner.Draw(rt, "left")
		switch {
		case form == 4:
			return condition{"not (" + x.text + ")", func(doc object) bool { return !x.says(doc) }}
		case form == 5 && slices.ContainsFunc(attrs, func(a attribute) bool { return a.name == "emails" }): // two things of one e-mail address
			kind := rapid.SampledFrom([]string{"work", "home"}).Draw(rt, "type")
			part := genText.Draw(rt, "part")
			return condition{`emails[type eq "` + kind + `" and value co ` + quoted(part) + `]`, func(doc object) bool {
				return slices.ContainsFunc(listOf(doc["emails"]), func(e any) bool {
					o := e.(object)
					value, has := o["value"].(string)
					return o["type"] == kind && has && strings.Contains(modelFold(value), modelFold(part))
				})
			}}
		}
		y := inner.Draw(rt, "right")
		if form < 8 {
			return condition{"(" + x.text + ") and (" + y.text + ")", func(doc object) bool { return x.says(doc) && y.says(doc) }}
		}
		return condition{"(" + x.text + ") or (" + y.text + ")", func(doc object) bool { return x.says(doc) || y.says(doc) }}
	})
}

var genText = rapid.SampledFrom([]string{"a", "A", "b", "B", "ab", "aB", "ä", "Ä", "a\u0308", "é", "ß", "ẞ", "\u212a", "k", "K", "ſ", "s", "Zoë", "10", "9", "x y", `q"q`, `b\s`, "漢字", "😀"})

func genValue(kind string) *rapid.Generator[any] {
	switch kind {
	case "number":
		return rapid.Custom(func(rt *rapid.T) any {
			return json.Number(rapid.SampledFrom([]string{"0", "-0", "1", "-1", "2", "10", "-10", "100"}).Draw(rt, "number"))
		})
	case "decimal":
		return rapid.Custom(func(rt *rapid.T) any {
			return json.Number(rapid.SampledFrom([]string{"0", "0.0", "1", "1.0", "10e-1", "-1.5", "-1.25", "1.25", "0.5", "5e-1", "1e3", "999.9", "-1e3", "0.05"}).Draw(rt, "number"))
		})
	case "time":
		return rapid.Custom(func(rt *rapid.T) any {
			return rapid.SampledFrom([]string{"2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2025-12-31T23:59:59Z", "2026-01-01T00:00:00.001Z",
				"1969-07-20T20:17:40Z", "2026-01-01T00:00:00", "2026-11-23T08:00:00Z"}).Draw(rt, "time")
		})
	case "bool":
		return rapid.Custom(func(rt *rapid.T) any { return rapid.Bool().Draw(rt, "bool") })
	case "binary":
		return rapid.Custom(func(rt *rapid.T) any { return rapid.SampledFrom([]string{"YQ==", "YWI=", "QQ=="}).Draw(rt, "binary") })
	}
	return rapid.Custom(func(rt *rapid.T) any { return genText.Draw(rt, "text") })
}

// some draws members of an object, each of which may be missing.
func some(rt *rapid.T, of map[string]*rapid.Generator[any]) object {
	o := object{}
	for _, name := range slices.Sorted(maps.Keys(of)) {
		if rapid.Bool().Draw(rt, "has "+name) {
			o[name] = of[name].Draw(rt, name)
		}
	}
	return o
}

// several draws a list of objects with a value; one of them may be primary.
func several(rt *rapid.T, of map[string]*rapid.Generator[any]) []object {
	list := make([]object, rapid.IntRange(0, 3).Draw(rt, "elements"))
	for i := range list {
		list[i] = some(rt, of)
		list[i]["value"] = fmt.Sprint(genText.Draw(rt, "value"), i) // no two are the same
	}
	if n := len(list); n > 0 && rapid.Bool().Draw(rt, "one is primary") {
		list[rapid.IntRange(0, n-1).Draw(rt, "primary")]["primary"] = true
	}
	return list
}

func genUser(rt *rapid.T, name string) object {
	text := genValue("fold")
	body := userBody(name, some(rt, map[string]*rapid.Generator[any]{"externalId": text, "title": text, "displayName": text, "nickName": text, "active": genValue("bool")}))
	if n := some(rt, map[string]*rapid.Generator[any]{"familyName": text, "givenName": text}); len(n) > 0 {
		body["name"] = n
	}
	body["emails"] = several(rt, map[string]*rapid.Generator[any]{"type": rapid.Custom(func(rt *rapid.T) any { return rapid.SampledFrom([]string{"work", "home"}).Draw(rt, "type") })})
	body[scim.EnterpriseURN] = some(rt, map[string]*rapid.Generator[any]{"department": text, "manager": rapid.Custom(func(rt *rapid.T) any { return object{"value": genText.Draw(rt, "manager")} })})
	crew := some(rt, map[string]*rapid.Generator[any]{"rank": genValue("number"), "pay": genValue("decimal"), "joined": genValue("time"), "captain": genValue("bool"), "deck": text, "photo": genValue("binary")})
	if home := some(rt, map[string]*rapid.Generator[any]{"town": text, "berths": genValue("number")}); len(home) > 0 {
		crew["home"] = home
	}
	crew["codes"] = rapid.SliceOfNDistinct(genText, 0, 3, func(s string) string { return modelFold(s) }).Draw(rt, "codes")
	crew["ships"] = several(rt, map[string]*rapid.Generator[any]{"since": genValue("time"), "tons": genValue("decimal")})
	body[crewUserURN] = crew
	return body
}

// modelData is what a tenant holds: users, then groups, each in the order of ids.
type modelData struct {
	*tenant
	docs   []object
	values map[string][]any // of each attribute, those that are there
}

// read gets every resource by itself.
func (d *modelData) read(users, groups []string) {
	d.docs, d.values = nil, map[string][]any{}
	for _, id := range users {
		d.docs = append(d.docs, d.get("/Users/"+id).doc.(object))
	}
	for _, id := range groups {
		d.docs = append(d.docs, d.get("/Groups/"+id).doc.(object))
	}
	for _, a := range modelAttributes() {
		for _, doc := range d.docs {
			d.values[a.path] = append(d.values[a.path], a.all(doc)...)
		}
	}
}

// genData fills a tenant of its own.
func genData(rt *rapid.T, s *server) *modelData {
	d := &modelData{tenant: s.tenant(strings.ToLower(s.unique("model")), withCrew)}
	var users, groups []string
	names := rapid.SliceOfNDistinct(rapid.StringOfN(rapid.RuneFrom([]rune("aAbBäÄzZ_ſs漢")), 1, 4, -1), 0, 14, modelFold).Draw(rt, "userNames")
	for _, name := range names {
		users = append(users, d.request("POST", "/Users", genUser(rt, name)).want(201).id())
		s.clock.Advance(time.Duration(rapid.IntRange(0, 2).Draw(rt, "time passes")) * time.Second)
	}
	text := genValue("fold")
	for _, name := range rapid.SliceOfNDistinct(genText, 0, 5, modelFold).Draw(rt, "displayNames") {
		body := groupBody(name, some(rt, map[string]*rapid.Generator[any]{"externalId": text}))
		body[crewGroupURN] = some(rt, map[string]*rapid.Generator[any]{"rank": genValue("number"), "deck": text})
		if who := slices.Concat(users, groups); len(who) > 0 { // groups within groups, none within itself
			body["members"] = members(rapid.SliceOfNDistinct(rapid.SampledFrom(who), 0, 4, rapid.ID[string]).Draw(rt, "members")...)
		}
		groups = append(groups, d.request("POST", "/Groups", body).want(201).id())
	}
	if len(users) > 0 && rapid.Bool().Draw(rt, "somebody changes") {
		d.patch("/Users/"+rapid.SampledFrom(users).Draw(rt, "who"), op("replace", "title", "changed")).want(200)
	}
	d.read(users, groups)
	return d
}

// modelQuery is a list that is asked for.
type modelQuery struct {
	path       string // /Users, /Groups or /
	filter     *condition
	by         *attribute
	descending bool
	projection url.Values // attributes or excludedAttributes
}

func genQuery(d *modelData) *rapid.Generator[modelQuery] {
	return rapid.Custom(func(rt *rapid.T) modelQuery {
		q := modelQuery{path: rapid.SampledFrom([]string{"/Users", "/Users", "/Groups", "/"}).Draw(rt, "path"), projection: url.Values{}}
		attrs := slices.DeleteFunc(modelAttributes(), func(a attribute) bool { return q.path == "/Users" && !a.users || q.path == "/Groups" && !a.groups })
		if rapid.Bool().Draw(rt, "is filtered") {
			f := genFilter(attrs, d.values, 2).Draw(rt, "filter")
			q.filter = &f
		}
		if rapid.IntRange(0, 2).Draw(rt, "is sorted") > 0 {
			a := rapid.SampledFrom(attrs).Draw(rt, "sortBy")
			q.by, q.descending = &a, rapid.Bool().Draw(rt, "descending")
		}
		if rapid.IntRange(0, 2).Draw(rt, "is projected") == 0 {
			names := rapid.SliceOfN(rapid.SampledFrom(attrs), 1, 3).Draw(rt, "names")
			list := make([]string, len(names))
			for i, a := range names {
				list[i] = a.path
			}
			q.projection.Set(rapid.SampledFrom([]string{"attributes", "excludedAttributes"}).Draw(rt, "projection"), strings.Join(list, ","))
		}
		return q
	})
}

func isGroup(doc object) bool { return doc["meta"].(object)["resourceType"] == "Group" }

// answer is what the whole list is, in order.
func (q *modelQuery) answer(d *modelData) []object {
	list := []object{}
	for _, doc := range d.docs {
		if (q.path == "/" || isGroup(doc) == (q.path == "/Groups")) && (q.filter == nil || q.filter.says(doc)) {
			list = append(list, doc)
		}
	}
	if q.by == nil {
		return list
	}
	slices.SortStableFunc(list, func(x, y object) int {
		c := 0
		switch a, b := q.by.one(x), q.by.one(y); {
		case a == nil && b == nil:
		case a == nil:
			c = 1
		case b == nil:
			c = -1
		default:
			c = q.by.compare(a, b)
		}
		if q.descending {
			return -c
		}
		return c
	})
	return list
}

// shown is the resource as the projection shows it.
func (q *modelQuery) shown(doc object) object {
	out := must(copyJSON(doc))
	only := q.projection.Get("attributes")
	names := only + q.projection.Get("excludedAttributes")
	if names == "" {
		return out
	}
	named := map[string]bool{} // URN, name and sub of what is named, of this type alone
	for _, name := range strings.Split(names, ",") {
		for _, a := range modelAttributes() {
			if a.path != name || a.users && !isGroup(doc) == false && !a.groups || a.groups && !a.users && !isGroup(doc) {
				continue
			}
			sub := a.sub
			if !strings.Contains(strings.TrimPrefix(a.path, a.urn), ".") { // as a whole, although its value is meant in a filter
				sub = ""
			}
			named[a.urn+"|"+a.name+"|"+sub] = true
		}
	}
	project := func(urn string, o object) {
		for name, v := range o {
			if urn == "" && (name == "id" || name == "schemas" || strings.HasPrefix(name, "urn:")) {
				continue
			}
			whole := named[urn+"|"+name+"|"]
			partly := false
			for key := range named {
				partly = partly || strings.HasPrefix(key, urn+"|"+name+"|") && !whole
			}
			switch {
			case whole == (only == "") && !partly:
				delete(o, name)
			case !partly:
			default:
				var kept []any
				for _, e := range listOf(v) {
					if e, is := e.(object); is {
						for sub := range e {
							if named[urn+"|"+name+"|"+sub] == (only == "") {
								delete(e, sub)
							}
						}
						if len(e) > 0 {
							kept = append(kept, e)
						}
					}
				}
				if _, many := v.([]any); many && len(kept) > 0 {
					o[name] = kept
				} else if len(kept) == 0 {
					delete(o, name)
				}
			}
		}
	}
	project("", out)
	for name, v := range out {
		if strings.HasPrefix(name, "urn:") {
			if project(name, v.(object)); len(v.(object)) == 0 {
				delete(out, name)
			}
		}
	}
	return out
}

func copyJSON(doc object) (out object, err error) {
	d := json.NewDecoder(bytes.NewReader(must(json.Marshal(doc))))
	d.UseNumber()
	err = d.Decode(&out)
	return out, err
}

// values are the parameters of the list in a URL.
func (q *modelQuery) values() url.Values {
	v := url.Values{}
	maps.Copy(v, q.projection)
	if q.filter != nil {
		v.Set("filter", q.filter.text)
	}
	if q.by != nil {
		v.Set("sortBy", q.by.path)
		if q.descending {
			v.Set("sortOrder", "descending")
		}
	}
	return v
}

// asSearch is the SearchRequest with the same parameters.
func asSearch(v url.Values) object {
	body := object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:SearchRequest"}}
	for name := range v {
		switch text := v.Get(name); name {
		case "attributes", "excludedAttributes":
			body[name] = strings.Split(text, ",")
		case "startIndex", "count":
			body[name] = json.Number(text)
		default:
			body[name] = text
		}
	}
	return body
}

// page gets a page both ways, which must give the same but for the cursors, that are never twice the same.
func (q *modelQuery) page(rt *rapid.T, d *modelData, v url.Values) *answer {
	get := d.requestAs(tbOf(rt), "GET", q.path+"?"+v.Encode(), nil).want(200)
	path := strings.TrimSuffix(q.path, "/") + "/.search"
	post := d.requestAs(tbOf(rt), "POST", path, asSearch(v)).want(200)
	clean := func(doc any) any {
		o := maps.Clone(doc.(object))
		for _, name := range []string{"nextCursor", "previousCursor"} {
			if o[name] != nil {
				o[name] = "some"
			}
		}
		return o
	}
	if diff := cmp.Diff(clean(get.doc), clean(post.doc)); diff != "" {
		rt.Fatalf("%s?%s: the search differs (-GET +POST):\n%s", q.path, v.Encode(), diff)
	}
	return get
}

// wants checks the resources of a page.
func (q *modelQuery) wants(rt *rapid.T, a *answer, total int, want []object) {
	got := listOf(a.at("Resources"))
	if got == nil {
		rt.Fatalf("%s: no Resources", a.what)
	}
	if n, s := a.text("totalResults"), a.text("itemsPerPage"); n != fmt.Sprint(total) || s != fmt.Sprint(len(want)) {
		rt.Fatalf("%s: totalResults %s, itemsPerPage %s; want %d and %d\n%s", a.what, n, s, total, len(want), a.body)
	}
	var ids, wantIDs []any
	for _, doc := range got {
		ids = append(ids, doc.(object)["id"])
	}
	for _, doc := range want {
		wantIDs = append(wantIDs, doc["id"])
	}
	if diff := cmp.Diff(wantIDs, ids); diff != "" {
		rt.Fatalf("%s: resources (-model +server):\n%s", a.what, diff)
	}
	for i := range want {
		shown := q.shown(want[i])
		if len(q.projection) > 0 { // the version is that of what is shown
			for _, doc := range []any{shown, got[i]} {
				if meta, is := doc.(object)["meta"].(object); is && meta["version"] != nil {
					meta["version"] = strings.FieldsFunc(meta["version"].(string), func(r rune) bool { return r == '.' || r == '"' })[1]
				}
			}
		}
		if diff := cmp.Diff(shown, got[i]); diff != "" {
			rt.Fatalf("%s: resource %d (-model +server):\n%s", a.what, i, diff)
		}
	}
}

// tb makes of a rapid.T what the helpers of the tests take.
type tb struct {
	testing.TB
	rt *rapid.T
}

func tbOf(rt *rapid.T) testing.TB { return tb{rt: rt} }

func (t tb) Helper()                           {}
func (t tb) Errorf(format string, args ...any) { t.rt.Errorf(format, args...) }
func (t tb) Fatalf(format string, args ...any) { t.rt.Fatalf(format, args...) }

// TestQueryModel compares lists with the model: by index, by cursor forward and back, as GET and as search.
func TestQueryModel(t *testing.T) {
	t.Parallel()
	t.Run("bolt", func(t *testing.T) { testQueryModel(t, newServer(t)) })
	t.Run("memory", func(t *testing.T) { testQueryModel(t, newServerOn(t, newMemory(), "")) })
}

func testQueryModel(t *testing.T, s *server) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		d := genData(rt, s)
		for range 6 {
			q := genQuery(d).Draw(rt, "query")
			all := q.answer(d)
			count := rapid.IntRange(1, 7).Draw(rt, "count")
			v := q.values()

			// By index: every page, and one anywhere.
			for start := 1; start == 1 || start <= len(all); start += count {
				v.Set("startIndex", fmt.Sprint(start))
				v.Set("count", fmt.Sprint(count))
				a := q.page(rt, d, v)
				q.wants(rt, a, len(all), all[start-1:min(len(all), start-1+count)])
				if a.text("startIndex") != fmt.Sprint(start) || a.at("nextCursor") != nil || a.at("previousCursor") != nil {
					rt.Fatalf("%s: %s", a.what, a.body)
				}
			}
			start := rapid.IntRange(-2, 30).Draw(rt, "startIndex")
			v.Set("startIndex", fmt.Sprint(start))
			v.Set("count", fmt.Sprint(rapid.IntRange(-1, 1).Draw(rt, "few")))
			from := min(max(start, 1)-1, len(all))
			q.wants(rt, q.page(rt, d, v), len(all), all[from:min(len(all), from+max(0, must(toInt(v.Get("count")))))])
			v.Del("startIndex")

			// By cursor: to the end, and back.
			v.Set("count", fmt.Sprint(count))
			v.Set("cursor", "")
			var pages []*answer
			for from := 0; ; from += count {
				a := q.page(rt, d, v)
				q.wants(rt, a, len(all), all[from:min(len(all), from+count)])
				pages = append(pages, a)
				next, more := a.at("nextCursor").(string)
				if more != (from+count < len(all)) || (a.at("previousCursor") != nil) != (from > 0) || a.at("startIndex") != nil {
					rt.Fatalf("%s: at %d of %d: %s", a.what, from, len(all), a.body)
				}
				if !more {
					break
				}
				v.Set("cursor", next)
			}
			for i := len(pages) - 2; i >= 0; i-- {
				v.Set("cursor", pages[i+1].text("previousCursor"))
				a := q.page(rt, d, v)
				q.wants(rt, a, len(all), all[i*count:(i+1)*count])
				if (a.at("previousCursor") != nil) != (i > 0) || a.at("nextCursor") == nil {
					rt.Fatalf("%s: back at page %d: %s", a.what, i, a.body)
				}
				pages[i] = a
			}
		}
	})
}

func toInt(s string) (n int, err error) {
	_, err = fmt.Sscan(s, &n)
	return n, err
}
