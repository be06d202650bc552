package scim_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/scim"
)

// What clients other than Entra do with a user and a group from the first probe to the end, in the shapes that they send.

// client is a tenant as one client talks to it.
type client struct {
	*tenant
	env     directory.ID // which the group of object id "sync" opens
	headers []string     // of every request
}

func newClient(t *testing.T, headers ...string) *client {
	t.Helper()
	a := newServer(t).tenant("alpha")
	return &client{a, a.environment("production", "sync"), headers}
}

func (c *client) do(method, path string, body any) *answer {
	c.Helper()
	return c.request(method, path, body, c.headers...)
}

// absent checks that a look-up before the creation finds nothing.
func (c *client) absent(path string) {
	c.Helper()
	got := c.do("GET", path, nil).want(200)
	got.is("0", "totalResults")
	got.is("[]", "Resources")
}

// one checks that a look-up finds this resource and no other.
func (c *client) one(path, id string) *answer {
	c.Helper()
	got := c.do("GET", path, nil).want(200)
	got.is("1", "totalResults")
	got.is(id, "Resources", 0, "id")
	return got
}

// stands checks where somebody stands, in SCIM and at the door: none, active or inactive.
func (c *client) stands(user, active, access string) {
	c.Helper()
	c.get("/Users/"+user).is(active, "active")
	if got := c.access(c.account(user).ID, c.env); got != access {
		c.Errorf("the access of %s is %s, want %s", user, got, access)
	}
}

// leaves deactivates somebody who is signed in, checks that they are out, and brings them back.
func (c *client) leaves(user string, off, on func() *answer) {
	c.Helper()
	c.stands(user, "true", "active")
	session := c.signIn(c.account(user).ID)
	off()
	c.stands(user, "false", "inactive")
	if c.signedIn(session) {
		c.Error("somebody who left is still signed in")
	}
	on()
	c.stands(user, "true", "active")
	if c.signedIn(session) {
		c.Error("a session came back to life")
	}
}

// gone checks that a resource is there no more.
func (c *client) gone(path string) {
	c.Helper()
	c.do("DELETE", path, nil).want(204)
	c.do("GET", path, nil).want(404, "").is("404", "status")
	c.do("DELETE", path, nil).want(404, "")
}

func (c *client) wantMembers(group string, want ...string) {
	c.Helper()
	slices.Sort(want)
	if got := c.members(group); fmt.Sprint(got) != fmt.Sprint(want) {
		c.Errorf("members are %v, want %v", got, want)
	}
}

var oktaHeaders = []string{"User-Agent", "Okta SCIM Client 1.0.0", "Accept", "application/scim+json", "Accept-Charset", "utf-8"}

func oktaUser(more ...object) object {
	return userBody("ida.holm@okta.example", append([]object{{"name": object{"givenName": "Ida", "familyName": "Holm"}, "displayName": "Ida Holm", "locale": "en-US",
		"emails": []object{{"primary": true, "value": "ida.holm@okta.example", "type": "work"}}, "externalId": "00u1a2b3c4", "groups": []object{}, "active": true}}, more...)...)
}

// An app made with Okta's wizard: everything about a user is a PUT, a deactivation too; nobody is ever deleted.
func TestOktaWizard(t *testing.T) {
	t.Parallel()
	c := newClient(t, oktaHeaders...)
	c.do("GET", "/Users?startIndex=1&count=2", nil).want(200).is("[]", "Resources")
	lookup := filtered("/Users", `userName eq "ida.holm@okta.example"`) + "&startIndex=1&count=100"
	c.absent(lookup)
	const password = "Xk2-Correct-Horse"
	made := c.do("POST", "/Users", oktaUser(object{"password": password})).want(201)
	user := made.id()
	made.is("Ida", "name", "givenName")
	made.is("true", "active")
	c.one(lookup, user)
	c.one(strings.Replace(lookup, "ida.holm", "IDA.HOLM", 1), user)
	again := c.do("POST", "/Users", oktaUser()).want(409, "uniqueness")
	again.is("409", "status")
	c.do("GET", "/Users/00u-nobody", nil).want(404, "").is("404", "status")

	// Okta reads before it writes, and sends back what it read with its changes.
	doc, _ := c.do("GET", "/Users/"+user, nil).want(200).doc.(object)
	doc["title"], doc["groups"] = "Pilot", []object{}
	put := c.do("PUT", "/Users/"+user, doc).want(200)
	put.is("Pilot", "title")
	put.is("Ida Holm", "displayName")

	// Group push.
	c.absent(filtered("/Groups", `displayName eq "Pilots"`) + "&startIndex=1&count=100")
	group := c.do("POST", "/Groups", groupBody("Pilots", object{"members": []object{}, "externalId": "sync"})).want(201).id()
	c.wantMembers(group)
	c.do("PATCH", "/Groups/"+group, patch(op("replace", "", object{"id": group, "displayName": "Harbour pilots"}))).want(204)
	c.one(filtered("/Groups", `displayName eq "Harbour pilots"`)+"&startIndex=1&count=100", group)
	c.do("PATCH", "/Groups/"+group, patch(op("add", "members", []object{{"value": user, "display": "ida.holm@okta.example"}}))).want(204)
	c.get("/Users/"+user).is(group, "groups", 0, "value")

	c.leaves(user, func() *answer {
		return c.do("PUT", "/Users/"+user, oktaUser(object{"id": user, "active": false})).want(200)
	},
		func() *answer {
			return c.do("PUT", "/Users/"+user, oktaUser(object{"id": user, "active": true})).want(200)
		})
	c.get("/Users/"+user).is("", "title") // a PUT says all there is

	other := c.do("POST", "/Users", userBody("jon@okta.example", object{"active": true})).want(201).id()
	c.do("PATCH", "/Groups/"+group, patch(op("remove", `members[value eq "`+user+`"]`), op("add", "members", []object{{"value": other, "display": "jon"}}))).want(204)
	c.wantMembers(group, other)
	c.stands(user, "true", "inactive")
	c.do("PATCH", "/Groups/"+group, patch(op("replace", "members", []object{{"value": user, "display": "ida"}, {"value": other, "display": "jon"}}))).want(204)
	c.wantMembers(group, user, other)
	c.do("PUT", "/Groups/"+group, groupBody("Harbour pilots", object{"id": group, "externalId": "sync", "members": []object{{"value": user, "display": "ida"}}})).want(200)
	c.wantMembers(group, user)
	c.do("PATCH", "/Groups/"+group, patch(op("replace", "members", []object{}))).want(204)
	c.wantMembers(group)
	// The import goes through all pages, in an order that stays.
	var seen []string
	for start := 1; start <= 2; start++ {
		seen = append(seen, c.do("GET", fmt.Sprintf("/Users?startIndex=%d&count=1", start), nil).want(200).values("id", "Resources")...)
	}
	if fmt.Sprint(seen) != fmt.Sprint([]string{user, other}) {
		t.Errorf("the pages hold %v", seen)
	}
	c.one("/Groups?startIndex=1&count=100", group)
	c.gone("/Groups/" + group)
	c.get("/Users/"+user).is("", "groups")
	if strings.Contains(c.log.String()+fmt.Sprint(c.dump()), password) {
		t.Error("the password was kept")
	}
}

// An app of Okta's catalogue: PUT for the profile, PATCH without a path for the rest.
func TestOktaCatalogue(t *testing.T) {
	t.Parallel()
	c := newClient(t, oktaHeaders...)
	made := c.do("POST", "/Users", oktaUser(object{"password": "Xk2-Correct-Horse"})).want(201)
	user := made.id()
	c.group("crew", "sync", user)
	c.leaves(user, func() *answer {
		return c.do("PATCH", "/Users/"+user, patch(op("replace", "", object{"active": false}))).want(200)
	},
		func() *answer {
			return c.do("PATCH", "/Users/"+user, patch(op("replace", "", object{"active": true}))).want(200)
		})
	before := c.get("/Users/" + user)
	after := c.do("PATCH", "/Users/"+user, patch(op("replace", "", object{"password": "Another-Horse-9"}))).want(200)
	if string(before.body) != string(after.body) || strings.Contains(fmt.Sprint(c.dump()), "Another-Horse") {
		after.errorf("a password is no change of a user, and is not kept")
	}
	c.do("PUT", "/Users/"+user, oktaUser(object{"title": "Pilot"})).want(200).is("Pilot", "title")
	c.stands(user, "true", "active")
}

// OneLogin sends a JSON template of the administrator's, and no User-Agent.
func TestOneLogin(t *testing.T) {
	t.Parallel()
	c := newClient(t, "User-Agent", "", "Accept", "application/json")
	body := func(more ...object) object {
		return userBody("ole@onelogin.example", append([]object{{"schemas": []string{scim.UserURN, scim.EnterpriseURN}, "externalId": "4711", "name": object{"givenName": "Ole", "familyName": "Brandt"},
			"emails": []object{{"value": "ole@onelogin.example", "type": "work", "primary": true}}, scim.EnterpriseURN: object{"department": "Port", "manager": object{"value": ""}}}}, more...)...)
	}
	c.absent(filtered("/Users", `userName eq "ole@onelogin.example"`))
	user := c.do("POST", "/Users", body()).want(201).id()
	c.one(filtered("/Users", `userName eq "ole@onelogin.example"`), user).is("Port", "Resources", 0, scim.EnterpriseURN, "department")
	group := c.do("POST", "/Groups", groupBody("Dock", object{"externalId": "sync"})).want(201).id()
	c.do("PATCH", "/Groups/"+group, patch(op("add", "members", members(user)))).want(204)
	put := c.do("PUT", "/Users/"+user, body(object{"title": "Foreman"})).want(200)
	put.is("Foreman", "title")
	put.is("true", "active") // the template does not speak of it
	c.leaves(user, func() *answer { return c.do("PATCH", "/Users/"+user, patch(op("replace", "active", false))).want(200) },
		func() *answer { return c.do("PUT", "/Users/"+user, body(object{"active": true})).want(200) })
	c.do("PATCH", "/Groups/"+group, patch(op("remove", `members[value eq "`+user+`"]`))).want(204)
	c.stands(user, "true", "inactive")
	c.gone("/Users/" + user)
	c.gone("/Groups/" + group)
}

// JumpCloud updates by PUT, and takes members out by a list as Entra does.
func TestJumpCloud(t *testing.T) {
	t.Parallel()
	c := newClient(t, "User-Agent", "JumpCloud SCIM", "Content-Type", "application/json", "Accept", "application/json, text/plain, */*")
	body := func(active bool) object {
		return userBody("kai@jumpcloud.example", object{"active": active, "displayName": "Kai Lund", "name": object{"givenName": "Kai", "familyName": "Lund", "formatted": "Kai Lund"},
			"emails": []object{{"value": "kai@jumpcloud.example", "primary": true, "type": "work"}}, "addresses": []object{}, "phoneNumbers": []object{}})
	}
	c.do("GET", "/Users?count=1&startIndex=1", nil).want(200)
	c.absent(filtered("/Users", `userName eq "kai@jumpcloud.example"`))
	user := c.do("POST", "/Users", body(true)).want(201).id()
	stays := c.do("POST", "/Users", userBody("lea@jumpcloud.example")).want(201).id()
	group := c.do("POST", "/Groups", groupBody("Yard", object{"externalId": "sync", "members": members(user, stays)})).want(201).id()
	c.leaves(user, func() *answer { return c.do("PUT", "/Users/"+user, body(false)).want(200) }, func() *answer { return c.do("PUT", "/Users/"+user, body(true)).want(200) })
	c.do("PATCH", "/Groups/"+group, patch(op("remove", "members", members(user)))).want(204)
	c.wantMembers(group, stays)
	c.stands(user, "true", "inactive")
	c.stands(stays, "true", "active")
	c.do("PATCH", "/Groups/"+group, patch(op("replace", "displayName", "Yard 2"))).want(204)
	c.gone("/Users/" + stays)
	c.wantMembers(group)
	c.gone("/Groups/" + group)
}

// Google Workspace provisions users alone, and suspends or deletes them.
func TestGoogleWorkspace(t *testing.T) {
	t.Parallel()
	c := newClient(t, "User-Agent", "Google-Auto-Provisioning", "Accept", "*/*")
	c.do("GET", "/Users?count=1", nil).want(200).is("0", "totalResults")
	c.absent(filtered("/Users", `userName eq "mia@google.example"`))
	user := c.do("POST", "/Users", userBody("mia@google.example", object{"externalId": "1093", "active": true, "name": object{"givenName": "Mia", "familyName": "Vik"},
		"emails": []object{{"value": "mia@google.example", "primary": true, "type": "work"}}, "phoneNumbers": []object{{"value": "+47 1", "type": "work"}}})).want(201).id()
	c.one(filtered("/Users", `externalId eq "1093"`), user)
	c.group("crew", "sync", user) // groups come from elsewhere
	patched := c.do("PATCH", "/Users/"+user, patch(op("replace", "name.familyName", "Vikan"), op("replace", `phoneNumbers[type eq "work"].value`, "+47 2"))).want(200)
	patched.is("Vikan", "name", "familyName")
	patched.is("Mia", "name", "givenName")
	patched.is("+47 2", "phoneNumbers", 0, "value")
	c.leaves(user, func() *answer { return c.do("PATCH", "/Users/"+user, patch(op("replace", "active", false))).want(200) },
		func() *answer { return c.do("PATCH", "/Users/"+user, patch(op("replace", "active", true))).want(200) })
	account := c.account(user).ID
	session := c.signIn(account)
	c.gone("/Users/" + user)
	if c.signedIn(session) || c.access(account, c.env) == "active" {
		t.Error("who was deleted is still in")
	}
}

// PingOne and PingFederate look people up by a bare multi-valued attribute, take a token with scopes in a list, and may be set to
// do without PATCH.
func TestPing(t *testing.T) {
	t.Parallel()
	c := newClient(t, "Accept", "application/scim+json, application/json;q=0.9")
	credentials := c.oauth("ping")
	granted := c.ask(grant("scope", "scim:read,scim:write"), "Authorization", basic(credentials.clientID, credentials.secret))
	c.headers = append(c.headers, "Authorization", "Bearer "+c.opens(granted))
	body := func(more ...object) object {
		return userBody("noa@ping.example", append([]object{{"emails": []object{{"value": "noa@work.ping.example", "type": "work"}}, "name": object{"givenName": "Noa", "familyName": "Dahl"}, "active": true}}, more...)...)
	}
	lookup := filtered("/Users", `emails eq "noa@work.ping.example"`)
	c.absent(lookup)
	c.absent(filtered("/Users", `userName eq "noa@ping.example"`))
	user := c.do("POST", "/Users", body()).want(201).id()
	c.one(lookup, user)
	c.one(filtered("/Users", `emails.value eq "NOA@work.ping.example"`), user)
	group := c.do("POST", "/Groups", groupBody("Bridge", object{"externalId": "sync"})).want(201).id()
	full := func(ids ...string) object {
		return groupBody("Bridge", object{"externalId": "sync", "members": members(ids...)})
	}
	c.do("PUT", "/Groups/"+group, full(user)).want(200)
	c.leaves(user, func() *answer { return c.do("PUT", "/Users/"+user, body(object{"active": false})).want(200) }, func() *answer { return c.do("PUT", "/Users/"+user, body()).want(200) })
	c.do("PUT", "/Groups/"+group, full()).want(200)
	c.stands(user, "true", "inactive")
	c.do("PATCH", "/Groups/"+group, patch(op("add", "members", members(user)))).want(204)
	c.stands(user, "true", "active")
	c.gone("/Users/" + user)
	c.gone("/Groups/" + group)
}

// SailPoint reads all of discovery before it does anything, aggregates by pages, and changes attributes piece by piece.
func TestSailPoint(t *testing.T) {
	t.Parallel()
	c := newClient(t, "Accept", "application/scim+json")
	config := c.do("GET", "/ServiceProviderConfig", nil).want(200)
	config.is("true", "patch", "supported")
	config.is("true", "filter", "supported")
	types := c.do("GET", "/ResourceTypes", nil).want(200)
	for i := range types.len("Resources") {
		name, schema := types.text("Resources", i, "id"), types.text("Resources", i, "schema")
		c.do("GET", "/ResourceTypes/"+name, nil).want(200).is(schema, "schema")
		c.do("GET", "/Schemas/"+schema, nil).want(200).is(schema, "id")
		c.do("GET", types.text("Resources", i, "endpoint")+"?startIndex=1&count=100", nil).want(200)
		for j := range types.len("Resources", i, "schemaExtensions") {
			c.do("GET", "/Schemas/"+types.text("Resources", i, "schemaExtensions", j, "schema"), nil).want(200)
		}
	}
	if n := c.do("GET", "/Schemas", nil).want(200).len("Resources"); n < 3 {
		t.Errorf("%d schemas", n)
	}
	user := c.do("POST", "/Users", userBody("pia@sail.example", object{"active": true, "name": object{"givenName": "Pia", "familyName": "Moe"}})).want(201).id()
	part := c.do("PATCH", "/Users/"+user, patch(op("replace", "name", object{"familyName": "Moen"}), op("add", scim.EnterpriseURN+":department", "Finance"))).want(200)
	part.is("Moen", "name", "familyName")
	part.is("Pia", "name", "givenName")
	part.is("Finance", scim.EnterpriseURN, "department")
	group := c.do("POST", "/Groups", groupBody("Ledger", object{"externalId": "sync"})).want(201).id()
	c.do("PATCH", "/Groups/"+group, patch(op("add", "members", members(user)))).want(204)
	c.do("GET", "/Groups?startIndex=1&count=50", nil).want(200).is(user, "Resources", 0, "members", 0, "value")
	c.do("GET", "/Users?startIndex=1&count=50", nil).want(200).is(group, "Resources", 0, "groups", 0, "value")
	c.leaves(user, func() *answer { return c.do("PATCH", "/Users/"+user, patch(op("replace", "active", false))).want(200) },
		func() *answer { return c.do("PATCH", "/Users/"+user, patch(op("replace", "active", true))).want(200) })
	c.do("PATCH", "/Groups/"+group, patch(op("remove", `members[value eq "`+user+`"]`))).want(204)
	c.stands(user, "true", "inactive")
	c.gone("/Users/" + user)
	c.gone("/Groups/" + group)
}

// The plugin of mitodl for Keycloak: PUT for everything, groups without their members too; PATCH with the boolean as a text.
func TestKeycloakMitodl(t *testing.T) {
	t.Parallel()
	c := newClient(t, "Content-Type", "application/scim+json", "Accept", "application/scim+json, application/json")
	body := func(active bool) object {
		return userBody("rut@keycloak.example", object{"externalId": "0f2d-keycloak", "displayName": "Rut Aas", "name": object{"givenName": "Rut", "familyName": "Aas"}, "active": active,
			"emails": []object{{"value": "rut@keycloak.example", "primary": true}}, "roles": []object{}, "meta": object{"resourceType": "User"}})
	}
	user := c.do("POST", "/Users", body(true)).want(201).id()
	group := c.do("POST", "/Groups", groupBody("Crane", object{"externalId": "sync", "members": members(user)})).want(201).id()
	c.do("PUT", "/Groups/"+group, groupBody("Crane 2", object{"externalId": "sync", "id": group})).want(200)
	c.wantMembers(group, user) // a PUT that does not speak of members takes none away
	c.leaves(user, func() *answer { return c.do("PUT", "/Users/"+user, body(false)).want(200) }, func() *answer { return c.do("PUT", "/Users/"+user, body(true)).want(200) })
	c.leaves(user, func() *answer {
		return c.do("PATCH", "/Users/"+user, patch(op("replace", "active", "false"))).want(200)
	},
		func() *answer { return c.do("PATCH", "/Users/"+user, patch(op("replace", "active", "true"))).want(200) })
	c.gone("/Users/" + user)
	c.gone("/Groups/" + group)
}

// scim-for-keycloak sends an id of its own, the whole resource in a PATCH without a path, and all members at each change.
func TestScimForKeycloak(t *testing.T) {
	t.Parallel()
	c := newClient(t, "Content-Type", "application/scim+json")
	const own = "5c0ffee0-0000-4000-8000-000000000001"
	body := func(active bool) object {
		return userBody("siv@keycloak.example", object{"id": own, "externalId": own, "active": active, "name": object{"givenName": "Siv"}, "nickName": "S"})
	}
	made := c.do("POST", "/Users", body(true)).want(201)
	user := made.id()
	if user == own {
		made.errorf("the client chose the id")
	}
	c.do("GET", "/Users/"+own, nil).want(404)
	c.one(filtered("/Users", `externalId eq "`+own+`"`), user)
	other := c.do("POST", "/Users", userBody("tor@keycloak.example")).want(201).id()
	group := c.do("POST", "/Groups", groupBody("Lock", object{"externalId": "sync", "members": []object{{"value": user, "type": "User"}}})).want(201).id()
	whole := func(ids ...string) object {
		list := []object{}
		for _, id := range ids {
			list = append(list, object{"value": id, "type": "User"})
		}
		return patch(op("replace", "", object{"schemas": []string{scim.GroupURN}, "displayName": "Lock", "members": list}))
	}
	c.do("PATCH", "/Groups/"+group, whole(user, other)).want(204)
	c.wantMembers(group, user, other)
	c.leaves(user, func() *answer { return c.do("PATCH", "/Users/"+user, patch(op("replace", "", body(false)))).want(200) },
		func() *answer { return c.do("PATCH", "/Users/"+user, patch(op("replace", "", body(true)))).want(200) })
	c.do("PATCH", "/Groups/"+group, whole(other)).want(204)
	c.wantMembers(group, other)
	c.stands(user, "true", "inactive")
	c.gone("/Users/" + user)
}

// authentik reads what the server can do, updates by PUT, creates again what is 404, and patches groups.
func TestAuthentik(t *testing.T) {
	t.Parallel()
	c := newClient(t, "User-Agent", "goauthentik.io/2026.8.1", "Accept", "application/scim+json", "Content-Type", "application/scim+json")
	config := c.do("GET", "/ServiceProviderConfig", nil).want(200)
	config.is("true", "patch", "supported")
	body := func(active bool) object {
		return userBody("una", object{"externalId": "a7c3", "active": active, "displayName": "Una", "name": object{"formatted": "Una Bø", "familyName": "Bø", "givenName": "Una"},
			"emails": []object{{"value": "una@authentik.example", "type": "other", "primary": true}}, "photos": []object{}, "locale": "en"})
	}
	user := c.do("POST", "/Users", body(true)).want(201).id()
	c.do("POST", "/Users", body(true)).want(409, "uniqueness")
	c.one(filtered("/Users", `userName eq "una"`), user)
	group := c.do("POST", "/Groups", groupBody("Tide", object{"externalId": "sync"})).want(201).id()
	c.do("PATCH", "/Groups/"+group, patch(op("add", "members", members(user)))).want(204)
	c.do("PATCH", "/Groups/"+group, patch(op("replace", "", object{"schemas": []string{scim.GroupURN}, "id": group, "displayName": "Tide 2", "externalId": "sync"}))).want(204)
	c.wantMembers(group, user)
	c.leaves(user, func() *answer { return c.do("PUT", "/Users/"+user, body(false)).want(200) }, func() *answer { return c.do("PUT", "/Users/"+user, body(true)).want(200) })
	c.do("PATCH", "/Groups/"+group, patch(op("remove", `members[value eq "`+user+`"]`))).want(204)
	c.gone("/Users/" + user)
	c.do("PUT", "/Users/"+user, body(true)).want(404, "")
	again := c.do("POST", "/Users", body(true)).want(201).id()
	if again == user {
		t.Error("the id of a deleted user was used again")
	}
	c.gone("/Groups/" + group)
}

// Tools made for AWS IAM Identity Center ask whether somebody is a member before they add them, a hundred at a time.
func TestSSOSync(t *testing.T) {
	t.Parallel()
	c := newClient(t, "User-Agent", "ssosync")
	ids, _ := c.people(150)
	user := c.do("POST", "/Users", userBody("vera@aws.example", object{"externalId": "g-1", "active": true, "name": object{"givenName": "Vera", "familyName": "Li"}, "displayName": "Vera Li",
		"emails": []object{{"value": "vera@aws.example", "type": "work", "primary": true}}})).want(201).id()
	c.one(filtered("/Users", `userName eq "vera@aws.example"`), user)
	c.one(filtered("/Users", `externalId eq "g-1"`), user)
	group := c.do("POST", "/Groups", groupBody("Fleet", object{"externalId": "sync"})).want(201).id()
	c.one(filtered("/Groups", `displayName eq "Fleet"`), group)
	isMember := filtered("/Groups", `id eq "`+group+`" and members eq "`+user+`"`)
	c.absent(isMember)
	c.do("PATCH", "/Groups/"+group, patch(op("add", "members", members(user)))).want(204)
	c.one(isMember, group)
	for _, hundred := range [][]string{ids[:100], ids[100:]} {
		c.do("PATCH", "/Groups/"+group, patch(op("add", "members", members(hundred...)))).want(204)
	}
	c.wantMembers(group, append(slices.Clone(ids), user)...)
	c.leaves(user, func() *answer {
		return c.do("PATCH", "/Users/"+user, patch(op("replace", "active", "false"))).want(200)
	},
		func() *answer { return c.do("PATCH", "/Users/"+user, patch(op("replace", "active", "true"))).want(200) })
	c.do("PATCH", "/Groups/"+group, patch(op("remove", "members", members(user)))).want(204)
	c.absent(isMember)
	c.wantMembers(group, ids...)
	c.gone("/Users/" + user)
	c.gone("/Groups/" + group)
}

// Clients that can only say it with their cookie jar, a query or a body are not let in.
func TestCredentialsElsewhere(t *testing.T) {
	t.Parallel()
	a := newServer(t).tenant("alpha")
	secret := auth.SessionCookie + "=" + a.token
	for _, path := range []string{"/Users", "/Users?access_token=" + a.token, "/Users?token=" + a.token} {
		a.request("GET", path, nil, "Authorization", "", "Cookie", secret, "X-Api-Key", a.token).want(401, "")
	}
	a.request("GET", "/Users", nil, "Authorization", basic("token", a.token)).want(401, "")
}

// TestEveryAttributeInOnePatch is what Microsoft's template for applications of its gallery does with a server: it makes a path of
// each attribute that /Schemas has, sets them all in one PATCH, in the dialect of Entra, and takes them away again.
func TestEveryAttributeInOnePatch(t *testing.T) {
	t.Parallel()
	const own = "urn:ietf:params:scim:schemas:extension:crew:2.0:User"
	attributes := []object{}
	for i := range 30 {
		attributes = append(attributes, object{"name": fmt.Sprintf("crew%d", i), "type": "string"})
	}
	a := newServer(t).tenant("alpha", scimOptions(directory.SCIMOptions{Extensions: []json.RawMessage{must(json.Marshal(object{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Schema"}, "id": own, "name": "Crew", "attributes": attributes}))}}))
	types, many, fixed := map[string][]any{}, map[string]bool{}, map[string]bool{}
	a.attributesOf(func(schema, path string, def object) {
		head, sub, _ := strings.Cut(path, ".")
		head = schema + ":" + head
		if list, ok := def["canonicalValues"].([]any); ok && sub == "type" {
			types[head] = list
		}
		if sub == "" {
			many[head], fixed[head] = def["multiValued"] == true, def["mutability"] == "readOnly" || path == "manager"
		}
	})
	where := map[string][]any{} // each path stands for
	a.attributesOf(func(schema, path string, def object) {
		head, sub, _ := strings.Cut(path, ".")
		key, prefix, at := schema+":"+head, "", []any{head}
		if schema == scim.EnterpriseURN || schema == own {
			prefix, at = schema+":", []any{schema, head}
		} else if schema != scim.UserURN {
			return
		}
		switch {
		case fixed[key] || def["type"] != "string" || def["mutability"] != "readWrite" || sub == "type":
		case !many[key] && sub != "":
			where[prefix+path] = append(at, sub)
		case !many[key]:
			where[prefix+path] = at
		case types[key] == nil:
			where[prefix+head+`[primary eq "True"].`+sub] = at
		default:
			for _, value := range types[key] {
				where[fmt.Sprintf(`%s%s[type eq "%s"].%s`, prefix, head, value, sub)] = at
			}
		}
	})
	if len(where) <= 100 {
		t.Fatalf("/Schemas makes %d paths", len(where))
	}
	user := "/Users/" + a.user("anna")
	set := func(value func(path string) any) *answer {
		ops := []object{}
		for path := range where {
			if v := value(path); v != nil || path != "userName" {
				ops = append(ops, op("Replace", path, v))
			}
		}
		a.patch(user, ops...).want(200)
		return a.get(user)
	}
	number := 0
	values := map[string]string{}
	got := set(func(path string) any {
		number++
		values[path] = fmt.Sprintf("upd-%04d", number)
		return values[path]
	})
	for path, at := range where {
		if !strings.Contains(got.text(at...), values[path]) {
			got.errorf("%s is not %s", path, values[path])
		}
	}
	for _, empty := range []any{"", nil} {
		got = set(func(path string) any {
			if path == "userName" {
				return values[path]
			}
			return empty
		})
		for path, at := range where {
			if path != "userName" && strings.Contains(got.text(at...), "upd-") {
				got.errorf("%s is still there", path)
			}
		}
		got.is(values["userName"], "userName")
		set(func(path string) any { return values[path] })
	}
}
