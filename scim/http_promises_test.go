package scim_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
)

// published is an attribute as /Schemas describes it.
type published struct {
	Name, Type, Mutability, Returned, Uniqueness string
	MultiValued, Required, CaseExact             bool
	SubAttributes                                []published
}

// promise is one attribute or sub-attribute that is published, and what it takes to try it.
type promise struct {
	published
	parent   *published // of a sub-attribute
	endpoint string
	urn      string // of the extension; "" in the core schema
	other    string // id of another user of the tenant
	user     string // userName or displayName of what is made
}

// path is how a filter or PATCH names it.
func (p *promise) path() string {
	path := p.Name
	if p.parent != nil {
		path = p.parent.Name + "." + path
	}
	if p.urn != "" {
		path = p.urn + ":" + path
	}
	return path
}

func (p *promise) top() *published {
	if p.parent != nil {
		return p.parent
	}
	return &p.published
}

// good and bad are a value that the published type admits, and one that no reading of it does.
func (p *promise) good(n int) any {
	switch {
	case p.parent != nil && p.parent.Name == "members" && p.Name == "value":
		return p.other
	case p.parent != nil && p.parent.Name == "members" && p.Name == "type":
		return "User"
	}
	switch p.Type {
	case "boolean":
		return n == 0
	case "integer":
		return json.Number(fmt.Sprint(7 + n))
	case "decimal":
		return json.Number(fmt.Sprintf("7.5%d", n))
	case "dateTime":
		return fmt.Sprintf("2026-01-02T03:04:0%dZ", n)
	case "binary":
		return []string{"TQ==", "TWE="}[n]
	case "reference":
		return fmt.Sprintf("https://x.example/%d", n)
	}
	return fmt.Sprintf("Word%d-%s", n, p.user) // also unique
}

func (p *promise) bad() any {
	switch p.Type {
	case "string", "reference":
		return true
	}
	return "no such thing"
}

// companion is the part without which an element or a manager would say nothing.
func (p *promise) companion() (name string, value any) {
	for _, want := range []func(published) bool{
		func(s published) bool { return s.Name == "value" },
		func(s published) bool { return s.Type == "string" && s.Mutability != "readOnly" && s.Name != "type" },
	} {
		for _, s := range p.parent.SubAttributes {
			if want(s) {
				c := *p
				c.published = s
				return s.Name, c.good(0)
			}
		}
	}
	return "", nil
}

// body is a resource with v as the value of the attribute, and what is required besides.
func (p *promise) body(required object, v any) object {
	top := v
	if p.parent != nil {
		part := object{}
		if name, value := p.companion(); name != "" {
			part[name] = value
		}
		part[p.Name] = v
		top = part
	}
	if p.top().MultiValued {
		if _, list := top.([]any); !list {
			top = []any{top}
		}
	}
	return p.with(required, top)
}

func (p *promise) with(required object, top any) object {
	core := scim.UserURN
	name := "userName"
	if p.endpoint == "/Groups" {
		core, name = scim.GroupURN, "displayName"
	}
	o := object{"schemas": []string{core}, name: p.user}
	if p.urn == "" {
		o[p.top().Name] = top
		return o
	}
	ext := object{}
	for k, v := range required {
		ext[k] = v
	}
	ext[p.top().Name] = top
	o["schemas"], o[p.urn] = []string{core, p.urn}, ext
	return o
}

// have finds the value in an answer: that of the first element in a list.
func (p *promise) have(a *answer) string {
	path := []any{}
	if p.urn != "" {
		path = append(path, p.urn)
	}
	path = append(path, p.top().Name)
	if p.top().MultiValued {
		path = append(path, 0)
	}
	if p.parent != nil {
		path = append(path, p.Name)
	}
	v := a.at(path...)
	if v == nil {
		return "-"
	}
	return string(must(json.Marshal(v)))
}

func asJSON(v any) string { return string(must(json.Marshal(v))) }

// What /Schemas says of an attribute holds: its type, that it is required, what may be written, what is returned, how it
// compares and what is unique. The list of attributes is the published one, so that a new one is tried too.
func TestSchemasKeepTheirPromises(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, mode := range []string{"tolerant", "strict"} {
		a := s.tenant(mode, matrixExtensions)
		a.set(func(r *directory.Tenant) { r.SCIM.Strict = mode == "strict" })
		other := a.user("other")
		tried := 0
		for _, p := range a.promises(other) {
			tried++
			t.Run(mode+"/"+strings.TrimPrefix(p.endpoint, "/")+"/"+p.path(), func(t *testing.T) { p.try(t, a, mode == "strict") })
		}
		if tried < 100 {
			t.Errorf("%d attributes were tried", tried)
		}
	}
}

// promises reads /ResourceTypes and /Schemas.
func (t *tenant) promises(other string) (list []*promise) {
	schemas := map[string][]published{}
	for i := range t.get("/Schemas").len("Resources") {
		var one struct {
			ID         string
			Attributes []published
		}
		if err := json.Unmarshal([]byte(asJSON(t.get("/Schemas").at("Resources", i))), &one); err != nil {
			t.Fatal(err)
		}
		schemas[one.ID] = one.Attributes
	}
	types := t.get("/ResourceTypes")
	for i := range types.len("Resources") {
		endpoint := types.text("Resources", i, "endpoint")
		urns := []string{""}
		urns = append(urns, types.values("schema", "Resources", i, "schemaExtensions")...)
		for _, urn := range urns {
			attributes := schemas[urn]
			if urn == "" {
				attributes = schemas[types.text("Resources", i, "schema")]
			}
			for _, a := range attributes {
				list = append(list, &promise{published: a, endpoint: endpoint, urn: urn, other: other})
				for _, sub := range a.SubAttributes {
					list = append(list, &promise{published: sub, parent: &a, endpoint: endpoint, urn: urn, other: other})
				}
			}
		}
	}
	return list
}

func (p *promise) try(t *testing.T, a *tenant, strict bool) {
	p.user = a.unique("x")
	naming := p.Name == "userName" || p.Name == "displayName" && p.endpoint == "/Groups"
	required := object{}
	if p.urn == needyURN {
		required["needed"] = "n"
	}
	readOnly := p.Mutability == "readOnly" || p.parent != nil && p.parent.Mutability == "readOnly"
	post := func(body object) *answer { return a.requestAs(t, "POST", p.endpoint, body) }
	patched := func(path, verb string, v any) *answer {
		o := op(verb, p.path())
		if verb != "remove" {
			o["value"] = v
		}
		return a.requestAs(t, "PATCH", path, patch(o))
	}

	// Nothing of another type is kept.
	if p.Type != "complex" && !readOnly {
		p.user = a.unique("x")
		got := post(p.body(required, p.bad()))
		passed := got.status == 201 && !strict && p.parent != nil && p.parent.MultiValued && p.Type == "boolean" // see the matrix
		derived := p.parent != nil && p.parent.Name == "members" && p.Name != "value" && !strict                 // the server says it
		if passed || derived {
			if p.have(a.requestAs(t, "GET", p.endpoint+"/"+got.id(), nil)) == asJSON(p.bad()) {
				got.errorf("a value of another type is kept")
			}
		} else if got.status != 400 || got.text("scimType") != "invalidValue" {
			got.errorf("a value of another type is not refused")
		}
	}
	if p.Required && !naming {
		p.user = a.unique("x")
		if p.parent == nil {
			delete(required, p.Name)
			body := p.with(object{}, nil)
			body[p.urn] = object{"other": "x"}
			post(body).want(400, "invalidValue")
			required[p.Name] = "n"
		} else {
			post(p.with(required, []any{object{"other": "x"}})).want(400, "invalidValue")
		}
	}
	if naming {
		body := p.body(required, p.good(0))
		delete(body, p.Name)
		post(body).want(400, "invalidValue")
	}

	p.user = a.unique("x")
	value := p.good(0)
	if p.Type == "complex" {
		return // its parts are tried
	}
	made := post(p.body(required, value))
	if made.want(201); made.status != 201 {
		return
	}
	if naming {
		p.user = value.(string)
	}
	path := p.endpoint + "/" + made.id()
	got := a.requestAs(t, "GET", path, nil).want(200)
	asked := a.requestAs(t, "GET", path+"?attributes="+p.path(), nil).want(200)
	excluded := a.requestAs(t, "GET", path+"?excludedAttributes="+p.path(), nil).want(200)
	if readOnly {
		if p.have(got) == asJSON(value) {
			got.errorf("readOnly, and yet kept")
		}
		for _, verb := range []string{"replace", "add", "remove"} {
			if got := patched(path, verb, value); strict || p.parent == nil || p.parent.Name != "members" {
				got.want(400, "mutability")
			} else {
				got.want(204)
			}
		}
		if now := a.requestAs(t, "GET", path, nil); string(now.body) != string(got.body) {
			now.errorf("readOnly, and yet changed")
		}
		return
	}
	if p.parent != nil && p.parent.Name == "members" {
		// Members are changed as wholes; what they say of one is the server's.
		if p.Name == "value" && p.have(got) != asJSON(value) || p.have(got) == "-" {
			got.errorf("%s is not returned", p.path())
		}
		a.requestAs(t, "PATCH", path, patch(op("replace", `members[value eq "`+p.other+`"].value`, unknownID))).want(400, "mutability")
		return
	}

	// What is returned, by itself, on request, and not.
	want := asJSON(value)
	switch p.Returned {
	case "always":
		if p.have(got) != want || p.have(asked) != want || p.have(excluded) != want {
			excluded.errorf("not always returned")
		}
	case "default":
		if p.have(got) != want || p.have(asked) != want || p.have(excluded) != "-" {
			excluded.errorf("returned %s by default, %s when asked for, %s when excluded; want %s", p.have(got), p.have(asked), p.have(excluded), want)
		}
	case "request":
		if p.have(got) != "-" || p.have(asked) != want || p.have(excluded) != "-" || p.have(made) != want {
			got.errorf("returned %s by default, %s when asked for, %s to the write; want %s", p.have(got), p.have(asked), p.have(made), want)
		}
	default:
		got.errorf("returned is %q", p.Returned)
	}

	// How it compares.
	finds := func(text string) bool {
		found := a.requestAs(t, "GET", filtered(p.endpoint, p.path()+" eq "+text), nil).want(200)
		return slices.Contains(found.values("id", "Resources"), made.id())
	}
	if !finds(want) {
		t.Errorf("not found by %s", want)
	}
	if p.Type == "string" && finds(strings.ToUpper(want)) == p.CaseExact {
		t.Errorf("caseExact is %v, and by another case it is found otherwise", p.CaseExact)
	}
	if p.Uniqueness == "server" {
		body := p.body(required, value)
		if text, _ := value.(string); !p.CaseExact {
			body = p.body(required, strings.ToUpper(text))
		}
		post(body).want(409, "uniqueness")
	} else if !naming {
		was := p.user
		p.user = a.unique("x")
		post(p.body(required, value)).want(201)
		p.user = was
	}

	// What may be written later.
	next := p.good(1)
	switch {
	case p.Mutability == "immutable" && p.top().MultiValued:
		a.requestAs(t, "PATCH", path, patch(op("replace", p.top().path(p.urn)+`[value pr].`+p.Name, next))).want(400, "mutability")
	case p.Mutability == "immutable":
		patched(path, "replace", next).want(400, "mutability")
		patched(path, "remove", nil).want(400, "mutability")
		patched(path, "replace", value).want(200)
	case p.Mutability == "readWrite":
		if got := patched(path, "replace", p.list(next)); got.status >= 300 {
			got.errorf("not written by PATCH")
		}
		if now := a.requestAs(t, "GET", path+"?attributes="+p.path(), nil); p.have(now) != asJSON(next) {
			now.errorf("PATCH left %s, want %s", p.have(now), asJSON(next))
		}
		p.tryRemoval(t, a, path, strict, patched)
	default:
		t.Errorf("mutability is %q", p.Mutability)
	}

	// One value or many.
	p.user = a.unique("x")
	body := p.body(required, value)
	holder := body
	if p.urn != "" {
		holder, _ = body[p.urn].(object)
	}
	if list, is := holder[p.top().Name].([]any); is {
		holder[p.top().Name] = list[0]
	} else {
		holder[p.top().Name] = []any{holder[p.top().Name], holder[p.top().Name]}
	}
	post(body).want(400, "invalidValue")
}

func (p *published) path(urn string) string {
	if urn != "" {
		return urn + ":" + p.Name
	}
	return p.Name
}

// list makes a list of a value where the attribute itself is one.
func (p *promise) list(v any) any {
	if p.parent == nil && p.MultiValued {
		return []any{v}
	}
	return v
}

func (p *promise) tryRemoval(t *testing.T, a *tenant, path string, strict bool, patched func(path, verb string, v any) *answer) {
	t.Helper()
	got := patched(path, "remove", nil)
	now := a.requestAs(t, "GET", path+"?attributes="+p.path(), nil)
	switch {
	case p.Required && strict:
		got.want(400, "mutability")
	case p.Required:
		got.want(400, "invalidValue")
	case p.Name == "active": // who was disabled does not come back by an omission
		if p.have(now) != "false" {
			now.errorf("active is unassigned")
		}
	case got.status >= 300 || p.have(now) != "-":
		got.errorf("not removed: it is %s", p.have(now))
	}
}

// Who is called what would be refused today can be disabled and leave a group all the same, by clients that send the name
// with each write.
func TestNamesOfOldKeepNobodyIn(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	push := directory.Actor{Role: directory.RoleDirectory, Channel: "scim"}
	const odd = "a\u200bb"
	user := must(a.svc.CreateUser(t.Context(), push, a.id, directory.UserInput{Profile: directory.Profile{UserName: odd, Name: odd, Active: true},
		Schemas: []byte(`["` + scim.UserURN + `"]`), Attributes: []byte(`{"userName":"` + odd + `","active":true}`)})).ID
	group := must(a.svc.CreateGroup(t.Context(), push, a.id, directory.GroupInput{DisplayName: odd,
		Schemas: []byte(`["` + scim.GroupURN + `"]`), Attributes: []byte(`{"displayName":"` + odd + `"}`)}, []directory.ID{user})).ID
	userPath, groupPath := "/Users/"+user.String(), "/Groups/"+group.String()

	a.request("POST", "/Users", userBody(odd+"c")).want(400, "invalidValue")
	a.request("POST", "/Groups", groupBody(odd+"c")).want(400, "invalidValue")
	a.request("PUT", userPath, userBody(odd+"c", object{"active": false})).want(400, "invalidValue")
	a.patch(groupPath, op("replace", "displayName", odd+"c"), op("remove", "members", members(user.String()))).want(400, "invalidValue")
	a.get(userPath).is("true", "active")
	if got := a.members(group.String()); len(got) != 1 {
		t.Errorf("what was refused left %v", got)
	}

	a.patch(groupPath, op("replace", "displayName", odd), op("remove", "members", members(user.String()))).want(204)
	if got := a.members(group.String()); len(got) != 0 {
		t.Errorf("%v stayed in", got)
	}
	a.request("PUT", groupPath, groupBody(odd, object{"members": members(user.String())})).want(200)
	a.request("PUT", groupPath, groupBody(odd, object{"members": []object{}})).want(200)
	if got := a.members(group.String()); len(got) != 0 {
		t.Errorf("%v stayed in", got)
	}
	a.request("PUT", userPath, userBody(odd, object{"active": false})).want(200).is("false", "active")

	sign := a.request("POST", "/Groups", groupBody("⚙️ Ops", object{"members": members(user.String())})).want(201).id()
	a.request("PUT", "/Groups/"+sign, groupBody("⚙️ Ops", object{"members": []object{}})).want(200).is("⚙️ Ops", "displayName")
}
