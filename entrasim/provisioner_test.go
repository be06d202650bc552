package entrasim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// world is a directory, a server and the job between them.
type world struct {
	*testing.T
	dir *Tenant
	srv *scimServer
	job *Provisioner
	now time.Time
}

func newWorld(t *testing.T, change func(*ProvisionerOptions)) *world {
	w := &world{T: t, srv: newServer(t), now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	w.dir = New(Options{Seed: 7, Domain: "fjord.example", Now: func() time.Time { return w.now }})
	w.job = w.provisioner(change)
	return w
}

func (w *world) provisioner(change func(*ProvisionerOptions)) *Provisioner {
	w.Helper()
	o := ProvisionerOptions{
		Base: w.srv.url, Token: w.srv.token, Backoff: time.Millisecond, Timeout: 5 * time.Second,
		Now: func() time.Time { return w.now },
	}
	if change != nil {
		change(&o)
	}
	p, err := NewProvisioner(w.dir, o)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(p.Close)
	return p
}

func (w *world) cycle() Summary {
	w.Helper()
	s, err := w.job.Cycle(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return s
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// writes runs a cycle and returns the writes it made, as "METHOD path body".
func (w *world) writes() []string {
	w.Helper()
	w.srv.take()
	w.cycle()
	return writesOf(w.srv.take())
}

func writesOf(log []request) []string {
	var out []string
	for _, r := range log {
		if r.write() {
			out = append(out, strings.TrimSpace(r.method+" "+r.path+" "+r.body))
		}
	}
	return out
}

func (w *world) id(objectID string) string {
	w.Helper()
	id, ok := w.job.TargetID(objectID)
	if !ok {
		w.Fatalf("%s is not linked", objectID)
	}
	return id
}

// person hires somebody with little but a name.
func (w *world) person(given, surname string) User {
	w.Helper()
	u := w.dir.Hire(Person{GivenName: given, Surname: surname})
	w.must(w.dir.Update(u.ID, func(u *User) {
		*u = User{GivenName: given, Surname: surname, DisplayName: given + " " + surname, UserPrincipalName: u.UserPrincipalName,
			MailNickname: u.MailNickname, Mail: u.Mail, AccountEnabled: true, UserType: Member}
	}))
	u, _ = w.dir.User(u.ID)
	return u
}

// team makes an assigned group.
func (w *world) team(name string, members ...string) Group {
	w.Helper()
	g := w.dir.CreateGroup(name)
	for _, m := range members {
		w.must(w.dir.AddMember(g.ID, m))
	}
	w.job.Assign(g.ID)
	return g
}

func sameJSON(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := canonical(t, got), canonical(t, want); g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// canonical compares JSON by content, and lists line by line.
func canonical(t *testing.T, v any) string {
	t.Helper()
	if s, ok := v.(string); ok && json.Unmarshal([]byte(s), &v) != nil {
		return s
	}
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func ops(t *testing.T, body string) []map[string]any {
	t.Helper()
	var p struct {
		Schemas    []string
		Operations []map[string]any
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if !slices.Equal(p.Schemas, []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}) {
		t.Errorf("schemas of PATCH are %q", p.Schemas)
	}
	return p.Operations
}

func TestInitialCycle(t *testing.T) {
	w := newWorld(t, nil)
	boss := w.dir.Hire(Person{GivenName: "Søren", Surname: "O'Connor"})
	w.must(w.dir.Update(boss.ID, func(u *User) {
		u.JobTitle, u.Department, u.EmployeeID, u.PreferredLanguage = "Director", "Finance", "000042", "da-DK"
		u.BusinessPhone, u.MobilePhone, u.FaxNumber = "+45 1", "+45 2", "+45 3"
		u.OfficeLocation, u.StreetAddress, u.City, u.State, u.PostalCode, u.Country = "HQ", "Gade 1", "Aarhus", "Midt", "8000", "Denmark"
	}))
	ada := w.person("Ada", "Dahl")
	w.must(w.dir.Update(ada.ID, func(u *User) { u.Manager, u.Mail = boss.ID, "" }))
	outsider := w.person("Out", "Sider")
	g := w.team("Kundeservice", ada.ID, boss.ID)

	s := w.cycle()
	log := w.srv.take()
	var got []string
	for _, r := range log {
		got = append(got, r.String())
	}
	sameJSON(t, "requests", got, []string{
		"GET /Users?filter=userName+eq+%22soren.oconnor%40fjord.example%22",
		"POST /Users",
		"GET /Users?filter=userName+eq+%22ada.dahl%40fjord.example%22",
		"POST /Users",
		"GET /Groups?excludedAttributes=members&filter=displayName%20eq%20%22Kundeservice%22",
		"POST /Groups",
		"PATCH /Groups/" + w.id(g.ID),
		"PATCH /Groups/" + w.id(g.ID),
		"PATCH /Users/" + w.id(ada.ID),
	})
	if t.Failed() {
		return
	}
	sameJSON(t, "full user", log[1].body, `{
		"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
		"externalId":"soren.oconnor","userName":"soren.oconnor@fjord.example","active":true,"displayName":"Søren O'Connor",
		"title":"Director","preferredLanguage":"da-DK",
		"name":{"formatted":"Søren O'Connor","familyName":"O'Connor","givenName":"Søren"},
		"emails":[{"primary":true,"type":"work","value":"soren.oconnor@fjord.example"}],
		"addresses":[{"type":"work","formatted":"HQ","streetAddress":"Gade 1","locality":"Aarhus","region":"Midt","postalCode":"8000","country":"Denmark"}],
		"phoneNumbers":[{"type":"work","value":"+45 1"},{"type":"mobile","value":"+45 2"},{"type":"fax","value":"+45 3"}],
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Finance","employeeNumber":"000042"},
		"meta":{"resourceType":"User"},"roles":[]}`)
	sameJSON(t, "sparse user", log[3].body, `{
		"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
		"externalId":"ada.dahl","userName":"ada.dahl@fjord.example","active":true,"displayName":"Ada Dahl",
		"name":{"formatted":"Ada Dahl","familyName":"Dahl","givenName":"Ada"},
		"meta":{"resourceType":"User"},"roles":[]}`)
	sameJSON(t, "group", log[5].body, fmt.Sprintf(`{
		"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group","http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
		"externalId":%q,"displayName":"Kundeservice","meta":{"resourceType":"Group"}}`, g.ID))
	sameJSON(t, "member", log[6].body, fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
		"Operations":[{"op":"Add","path":"members","value":[{"$ref":null,"value":%q}]}]}`, w.id(ada.ID)))
	sameJSON(t, "manager", log[8].body, fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
		"Operations":[{"op":"Add","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager","value":%q}]}`, w.id(boss.ID)))
	for _, r := range log {
		if a := r.header.Get("Authorization"); a != "Bearer s3cret" {
			t.Errorf("%s: Authorization is %q", r, a)
		}
	}
	if _, linked := w.job.TargetID(outsider.ID); linked {
		t.Error("a user outside of the assigned group was provisioned")
	}
	if !s.Initial || s.Users.Created != 2 || s.Groups.Created != 1 || s.MembersAdded != 2 || s.ReferencesSet != 1 ||
		s.Requests != 9 || s.Writes() != 6 || s.Failed != 0 || s.BytesSent == 0 || s.P50 <= 0 || s.P99 < s.P50 {
		t.Errorf("summary: %+v", s)
	}
}

func TestSecondCycleIsSilent(t *testing.T) {
	for _, base := range []string{"", "?aadOptscim062020"} {
		w := newWorld(t, func(o *ProvisionerOptions) { o.SyncAll = true; o.Base += base })
		w.dir.Populate(40, 8)
		w.cycle()
		w.srv.take()
		if s := w.cycle(); s.Requests != 0 || s.Initial {
			t.Errorf("%q: second cycle: %d requests: %v", base, s.Requests, w.srv.take())
		}
	}
}

func TestSendNulls(t *testing.T) {
	w := newWorld(t, func(o *ProvisionerOptions) { o.SyncAll, o.SendNulls = true, true })
	w.person("Ada", "Dahl")
	w.cycle()
	sameJSON(t, "user", w.srv.take()[1].body, `{
		"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
		"externalId":"ada.dahl","userName":"ada.dahl@fjord.example","active":true,"displayName":"Ada Dahl","title":null,
		"preferredLanguage":null,"emails":[{"primary":true,"type":"work","value":"ada.dahl@fjord.example"}],
		"name":{"formatted":"Ada Dahl","familyName":"Dahl","givenName":"Ada"},"addresses":null,"phoneNumbers":null,
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":null,"employeeNumber":null},
		"meta":{"resourceType":"User"},"roles":[]}`)
}

// TestChanges drives one event each through a cycle and checks every write it leads to, in both dialects.
func TestChanges(t *testing.T) {
	const e = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	type fixture struct {
		*world
		ada, bo User
		g       Group
	}
	patch := func(kind, id, ops string) string {
		return "PATCH /" + kind + "/" + id + ` {"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":` + ops + "}"
	}
	active := func(f fixture, u User, flag bool, v bool) []string {
		if flag {
			return []string{patch("Users", f.id(u.ID), fmt.Sprintf(`[{"op":"replace","value":{"active":%v}}]`, v))}
		}
		s := map[bool]string{true: "True", false: "False"}[v]
		return []string{patch("Users", f.id(u.ID), fmt.Sprintf(`[{"op":"Replace","path":"active","value":%q}]`, s))}
	}
	tests := []struct {
		name  string
		setup func(fixture) // followed by a cycle
		event func(fixture)
		want  func(f fixture, flag bool) []string
	}{
		{"rename", nil, func(f fixture) { f.must(f.dir.Rename(f.ada.ID, "Smit")) }, func(f fixture, flag bool) []string {
			if flag {
				return []string{patch("Users", f.id(f.ada.ID), `[{"op":"replace","value":{"displayName":"Ada Smit","externalId":"ada.smit","name.familyName":"Smit","name.formatted":"Ada Smit","userName":"ada.smit@fjord.example"}},`+
					`{"op":"replace","path":"emails[type eq \"work\"].value","value":"ada.smit@fjord.example"}]`)}
			}
			return []string{patch("Users", f.id(f.ada.ID), `[{"op":"Replace","path":"userName","value":"ada.smit@fjord.example"},`+
				`{"op":"Replace","path":"displayName","value":"Ada Smit"},{"op":"Replace","path":"emails[type eq \"work\"].value","value":"ada.smit@fjord.example"},`+
				`{"op":"Replace","path":"name.familyName","value":"Smit"},{"op":"Replace","path":"name.formatted","value":"Ada Smit"},`+
				`{"op":"Replace","path":"externalId","value":"ada.smit"}]`)}
		}},
		{"new attributes", nil, func(f fixture) {
			f.must(f.dir.Update(f.ada.ID, func(u *User) { u.Department, u.JobTitle, u.MobilePhone = "Legal", "Counsel", "+31 6" }))
		}, func(f fixture, flag bool) []string {
			if flag {
				return []string{patch("Users", f.id(f.ada.ID), `[{"op":"add","value":{"title":"Counsel","`+e+`:department":"Legal"}},`+
					`{"op":"add","path":"phoneNumbers[type eq \"mobile\"].value","value":"+31 6"}]`)}
			}
			return []string{patch("Users", f.id(f.ada.ID), `[{"op":"Add","path":"title","value":"Counsel"},`+
				`{"op":"Add","path":"phoneNumbers[type eq \"mobile\"].value","value":"+31 6"},{"op":"Add","path":"`+e+`:department","value":"Legal"}]`)}
		}},
		{"emptied attribute is not sent", func(f fixture) {
			f.must(f.dir.Update(f.ada.ID, func(u *User) { u.JobTitle = "Counsel" }))
		}, func(f fixture) {
			f.must(f.dir.Update(f.ada.ID, func(u *User) { u.JobTitle = "" }))
		}, func(fixture, bool) []string { return nil }},
		{"disabled", nil, func(f fixture) { f.must(f.dir.Disable(f.ada.ID)) },
			func(f fixture, flag bool) []string { return active(f, f.ada, flag, false) }},
		{"disabled with other changes", nil, func(f fixture) {
			f.must(f.dir.Update(f.ada.ID, func(u *User) { u.AccountEnabled, u.JobTitle = false, "Counsel" }))
		}, func(f fixture, flag bool) []string { return active(f, f.ada, flag, false) }},
		{"enabled", func(f fixture) { f.must(f.dir.Disable(f.ada.ID)) }, func(f fixture) { f.must(f.dir.Enable(f.ada.ID)) },
			func(f fixture, flag bool) []string { return active(f, f.ada, flag, true) }},
		{"deleted", nil, func(f fixture) { f.must(f.dir.SoftDelete(f.ada.ID)) },
			func(f fixture, flag bool) []string { return active(f, f.ada, flag, false) }},
		{"restored, memberships not sent again", func(f fixture) { f.must(f.dir.SoftDelete(f.ada.ID)) },
			func(f fixture) { f.must(f.dir.Restore(f.ada.ID)) },
			func(f fixture, flag bool) []string { return active(f, f.ada, flag, true) }},
		{"deleted for good", func(f fixture) { f.must(f.dir.SoftDelete(f.ada.ID)) }, func(f fixture) { f.must(f.dir.HardDelete(f.ada.ID)) },
			func(f fixture, _ bool) []string { return []string{"DELETE /Users/user-0001"} }},
		{"retention is over", func(f fixture) { f.must(f.dir.SoftDelete(f.ada.ID)) }, func(f fixture) { f.world.now = f.world.now.Add(30 * 24 * time.Hour) },
			func(f fixture, _ bool) []string { return []string{"DELETE /Users/user-0001"} }},
		{"retention is not over", func(f fixture) { f.must(f.dir.SoftDelete(f.ada.ID)) }, func(f fixture) { f.world.now = f.world.now.Add(30*24*time.Hour - time.Second) },
			func(f fixture, _ bool) []string { return nil }},
		{"left the only group", nil, func(f fixture) { f.must(f.dir.RemoveMember(f.g.ID, f.ada.ID)) }, func(f fixture, flag bool) []string {
			if flag {
				return append(active(f, f.ada, flag, false), patch("Groups", f.id(f.g.ID), `[{"op":"remove","path":"members[value eq \"`+f.id(f.ada.ID)+`\"]"}]`))
			}
			return append(active(f, f.ada, flag, false), patch("Groups", f.id(f.g.ID), `[{"op":"Remove","path":"members","value":[{"$ref":null,"value":"`+f.id(f.ada.ID)+`"}]}]`))
		}},
		{"left one of two groups", func(f fixture) { f.team("Other", f.ada.ID) }, func(f fixture) { f.must(f.dir.RemoveMember(f.g.ID, f.ada.ID)) }, func(f fixture, flag bool) []string {
			if flag {
				return []string{patch("Groups", f.id(f.g.ID), `[{"op":"remove","path":"members[value eq \"`+f.id(f.ada.ID)+`\"]"}]`)}
			}
			return []string{patch("Groups", f.id(f.g.ID), `[{"op":"Remove","path":"members","value":[{"$ref":null,"value":"`+f.id(f.ada.ID)+`"}]}]`)}
		}},
		{"out of scope, then deleted: no further call", func(f fixture) {
			f.must(f.dir.RemoveMember(f.g.ID, f.ada.ID))
			f.cycle()
			f.must(f.dir.SoftDelete(f.ada.ID))
		}, func(f fixture) { f.must(f.dir.HardDelete(f.ada.ID)) }, func(fixture, bool) []string { return nil }},
		{"group renamed", nil, func(f fixture) { f.must(f.dir.RenameGroup(f.g.ID, "Åland")) }, func(f fixture, flag bool) []string {
			if flag {
				return []string{patch("Groups", f.id(f.g.ID), `[{"op":"replace","value":{"displayName":"Åland"}}]`)}
			}
			return []string{patch("Groups", f.id(f.g.ID), `[{"op":"Replace","path":"displayName","value":"Åland"}]`)}
		}},
		{"group deleted, members elsewhere", func(f fixture) { f.team("Other", f.ada.ID, f.bo.ID) }, func(f fixture) { f.must(f.dir.DeleteGroup(f.g.ID)) },
			func(f fixture, _ bool) []string { return []string{"DELETE /Groups/group-0003"} }},
		{"group unassigned", nil, func(f fixture) { f.job.Unassign(f.g.ID) }, func(f fixture, flag bool) []string {
			return slices.Concat(active(f, f.ada, flag, false), active(f, f.bo, flag, false), []string{"DELETE /Groups/group-0003"})
		}},
		{"manager replaced", func(f fixture) {
			cy := f.person("Cy", "Borg")
			f.job.Assign(cy.ID)
			f.must(f.dir.Update(f.ada.ID, func(u *User) { u.Manager = cy.ID }))
		}, func(f fixture) { f.must(f.dir.Update(f.ada.ID, func(u *User) { u.Manager = f.bo.ID })) }, func(f fixture, flag bool) []string {
			if flag {
				return []string{patch("Users", f.id(f.ada.ID), `[{"op":"replace","value":{"`+e+`:manager":"`+f.id(f.bo.ID)+`"}}]`)}
			}
			return []string{patch("Users", f.id(f.ada.ID), `[{"op":"Replace","path":"`+e+`:manager","value":"`+f.id(f.bo.ID)+`"}]`)}
		}},
		{"manager removed", func(f fixture) { f.must(f.dir.Update(f.ada.ID, func(u *User) { u.Manager = f.bo.ID })) },
			func(f fixture) { f.must(f.dir.Update(f.ada.ID, func(u *User) { u.Manager = "" })) }, func(f fixture, flag bool) []string {
				if flag {
					return []string{patch("Users", f.id(f.ada.ID), `[{"op":"remove","path":"`+e+`:manager"}]`)}
				}
				return []string{patch("Users", f.id(f.ada.ID), `[{"op":"Remove","path":"`+e+`:manager"}]`)}
			}},
		{"manager outside of the scope is not sent", nil, func(f fixture) {
			cy := f.person("Cy", "Borg")
			f.must(f.dir.Update(f.ada.ID, func(u *User) { u.Manager = cy.ID }))
		}, func(fixture, bool) []string { return nil }},
		{"disabled before it was ever pushed", nil, func(f fixture) {
			cy := f.person("Cy", "Borg")
			f.must(f.dir.Disable(cy.ID))
			f.must(f.dir.AddMember(f.g.ID, cy.ID))
		}, func(fixture, bool) []string { return nil }},
	}
	for _, tt := range tests {
		for _, flag := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/flag=%v", tt.name, flag), func(t *testing.T) {
				f := fixture{world: newWorld(t, func(o *ProvisionerOptions) {
					if flag {
						o.Base += "/?aadOptscim062020"
					}
				})}
				f.ada, f.bo = f.person("Ada", "Dahl"), f.person("Bo", "Ek")
				f.g = f.team("Finance", f.ada.ID, f.bo.ID)
				f.cycle()
				if tt.setup != nil {
					tt.setup(f)
					f.cycle()
				}
				tt.event(f)
				f.srv.take()
				f.cycle()
				log := f.srv.take()
				got, want := writesOf(log), tt.want(f, flag)
				if len(got) != len(want) {
					t.Fatalf("got %d writes, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
				}
				for i := range want {
					gm, gp, gb := cut3(got[i])
					wm, wp, wb := cut3(want[i])
					sameJSON(t, "request line", gm+" "+gp, wm+" "+wp)
					sameJSON(t, "body", gb, wb)
				}
				for _, r := range log {
					if flag != strings.HasPrefix(r.query, "aadOptscim062020") {
						t.Errorf("%s: flag is %v", r, flag)
					}
					if flag && r.query != "aadOptscim062020" && !strings.HasPrefix(r.query, "aadOptscim062020&") {
						t.Errorf("%s: the flag has a value", r)
					}
				}
				f.srv.take()
				if f.cycle(); len(f.srv.take()) != 0 {
					t.Error("the cycle after it was not silent")
				}
			})
		}
	}
}

func cut3(s string) (a, b, c string) {
	p := append(strings.SplitN(s, " ", 3), "", "")
	return p[0], p[1], p[2]
}

func TestUsersAreReadBeforeUpdates(t *testing.T) {
	w := newWorld(t, nil)
	ada := w.person("Ada", "Dahl")
	g := w.team("Finance", ada.ID)
	w.cycle()
	w.must(w.dir.Update(ada.ID, func(u *User) { u.JobTitle = "Counsel" }))
	w.must(w.dir.RenameGroup(g.ID, "Legal"))
	w.srv.take()
	w.cycle()
	var got []string
	for _, r := range w.srv.take() {
		got = append(got, r.String())
	}
	user, group := "/Users/"+w.id(ada.ID), "/Groups/"+w.id(g.ID)
	sameJSON(t, "requests", got, []string{"GET " + user, "PATCH " + user, "GET " + group + "?excludedAttributes=members", "PATCH " + group})
}

func TestSkipOutOfScopeDeletions(t *testing.T) {
	w := newWorld(t, func(o *ProvisionerOptions) { o.SkipOutOfScopeDeletions = true })
	ada, bo := w.person("Ada", "Dahl"), w.person("Bo", "Ek")
	g := w.team("Finance", ada.ID, bo.ID)
	w.cycle()
	w.must(w.dir.RemoveMember(g.ID, ada.ID))
	if got := w.writes(); len(got) != 1 || !strings.HasPrefix(got[0], "PATCH /Groups/") {
		t.Errorf("leaving the scope: %q, want the membership alone", got)
	}
	w.job.Unassign(g.ID)
	if s := w.cycle(); s.Requests != 0 || s.Users.Skipped != 0 {
		t.Errorf("unassigned group: %s", s)
	}
	w.job.Assign(g.ID)
	w.must(w.dir.SoftDelete(bo.ID)) // in scope: not what the option is about
	if got := w.writes(); len(got) != 1 || !strings.Contains(got[0], `"active"`) {
		t.Errorf("deletion in scope: %q", got)
	}
}

func TestGuests(t *testing.T) {
	w := newWorld(t, func(o *ProvisionerOptions) { o.ObjectIDAsExternalID = true })
	guest := w.dir.Hire(Person{GivenName: "Ana", Surname: "Pérez", HomeDomain: "partner.example"})
	if guest.UserPrincipalName != "ana.perez_partner.example#EXT#@fjord.example" || guest.Mail != "ana.perez@partner.example" || guest.UserType != Guest {
		t.Fatalf("guest: %+v", guest)
	}
	w.job.Assign(guest.ID)
	w.cycle()
	log := w.srv.take()
	sameJSON(t, "look-ups by externalId, then userName", []string{log[0].String(), log[1].String()}, []string{
		"GET /Users?filter=externalId+eq+%22" + guest.ID + "%22",
		"GET /Users?filter=userName+eq+%22ana.perez_partner.example%40fjord.example%22",
	})
	u := w.srv.user("ana.perez_partner.example@fjord.example")
	if u == nil || u["externalId"] != guest.ID {
		t.Errorf("guest at the target: %v", u)
	}
}

func TestNestedGroups(t *testing.T) {
	w := newWorld(t, nil)
	direct, deep := w.person("Ada", "Dahl"), w.person("Bo", "Ek")
	inner := w.dir.CreateGroup("Inner")
	w.must(w.dir.AddMember(inner.ID, deep.ID))
	w.team("Outer", direct.ID, inner.ID)
	w.cycle()
	if _, linked := w.job.TargetID(deep.ID); linked {
		t.Error("nested group was expanded")
	}
	if w.srv.group("Inner") != nil {
		t.Error("nested group that is not assigned was pushed")
	}
	w.job.Assign(inner.ID)
	w.cycle()
	if got, want := memberIDs(w.srv.group("Outer")), []string{w.id(inner.ID), w.id(direct.ID)}; !slices.Equal(got, want) {
		t.Errorf("members of outer: %v, want %v", got, want)
	}
	if got, want := memberIDs(w.srv.group("Inner")), []string{w.id(deep.ID)}; !slices.Equal(got, want) {
		t.Errorf("members of inner: %v, want %v", got, want)
	}
	w.srv.take()
	w.job.Unassign(inner.ID) // the target drops the membership with the group: no PATCH of outer
	got := w.writes()
	if len(got) != 2 || !strings.Contains(got[0], "False") || !strings.HasPrefix(got[1], "DELETE /Groups/") {
		t.Errorf("unassigned: %q", got)
	}
	w.job.Assign(inner.ID)
	if s := w.cycle(); s.MembersAdded != 2 || s.Users.Restored != 1 || s.Groups.Created != 1 {
		t.Errorf("assigned again: %s", s)
	}
	w.must(w.dir.DeleteGroup(inner.ID))
	got = w.writes()
	if len(got) != 2 || !strings.Contains(got[0], "False") || !strings.HasPrefix(got[1], "DELETE /Groups/") {
		t.Errorf("deleted: %q", got)
	}
}

func TestMembershipsOfDeletedUsersWait(t *testing.T) {
	w := newWorld(t, nil)
	ada := w.person("Ada", "Dahl")
	w.team("Finance", ada.ID)
	w.cycle()
	w.must(w.dir.SoftDelete(ada.ID))
	w.team("Legal", ada.ID)
	if s := w.cycle(); s.MembersAdded != 0 || s.Groups.Created != 1 || s.Users.Disabled != 1 {
		t.Errorf("deleted: %s", s)
	}
	w.must(w.dir.Restore(ada.ID))
	if s := w.cycle(); s.MembersAdded != 1 || s.Users.Restored != 1 {
		t.Errorf("restored: %s, want the new membership alone", s)
	}
	if got := memberIDs(w.srv.group("Legal")); !slices.Equal(got, []string{w.id(ada.ID)}) {
		t.Errorf("members: %v", got)
	}
}

func TestExistingObjectsAreLinked(t *testing.T) {
	w := newWorld(t, func(o *ProvisionerOptions) { o.SyncAll = true })
	w.dir.Populate(20, 3)
	w.cycle()
	w.job = w.provisioner(func(o *ProvisionerOptions) { o.SyncAll = true }) // a new application on the same server
	s := w.cycle()
	var writes []string
	for _, l := range writesOf(w.srv.take()) {
		if !strings.HasPrefix(l, "PATCH /Groups/") {
			writes = append(writes, l)
		}
	}
	if s.Users.Created+s.Groups.Created != 0 || s.Users.Linked < 15 || s.Groups.Linked != 3 || s.Users.Updated+s.Users.Disabled != 0 || s.ReferencesSet != 0 {
		t.Errorf("summary: %s\n%q", s, writes)
	}
}

func TestInactiveUserAtTheTargetIsMatchedAndDisabled(t *testing.T) {
	w := newWorld(t, nil)
	ada := w.person("Ada", "Dahl")
	w.team("Finance", ada.ID)
	w.cycle()
	w.must(w.dir.Disable(ada.ID))
	w.job = w.provisioner(func(o *ProvisionerOptions) { o.Assigned = []string{ada.ID} })
	if s := w.cycle(); s.Users.Linked != 1 || s.Users.Disabled != 1 {
		t.Errorf("summary: %s", s)
	}
	if u := w.srv.user(ada.UserPrincipalName); u["active"] != false {
		t.Errorf("user is %v", u)
	}
}

func TestBrokenLinks(t *testing.T) {
	w := newWorld(t, nil)
	ada, bo := w.person("Ada", "Dahl"), w.person("Bo", "Ek")
	g := w.team("Finance", ada.ID, bo.ID)
	w.must(w.dir.Update(bo.ID, func(u *User) { u.Manager = ada.ID }))
	w.cycle()
	old, oldGroup := w.id(ada.ID), w.id(g.ID)

	w.srv.mu.Lock() // someone deletes the user at the target
	w.srv.users = slices.DeleteFunc(w.srv.users, func(u map[string]any) bool { return u["id"] == old })
	w.srv.mu.Unlock()
	w.must(w.dir.Update(ada.ID, func(u *User) { u.JobTitle = "Counsel" }))
	if s := w.cycle(); s.Users.Created != 1 || s.MembersAdded != 1 || s.ReferencesSet != 1 || s.Failed != 0 {
		t.Errorf("user gone: %s", s)
	}
	if w.id(ada.ID) == old || !slices.Contains(memberIDs(w.srv.group("Finance")), w.id(ada.ID)) {
		t.Error("the new user is not a member")
	}

	w.srv.mu.Lock()
	w.srv.groups = nil
	w.srv.mu.Unlock()
	cy := w.person("Cy", "Borg")
	w.must(w.dir.AddMember(g.ID, cy.ID))
	if s := w.cycle(); s.Failed != 1 || s.Failures[0].Err.Code != InvalidAnchor {
		t.Errorf("group gone: %s", s)
	}
	if s := w.cycle(); s.Groups.Created != 1 || s.MembersAdded != 3 || s.Escrowed != 0 {
		t.Errorf("after the group was gone: %s", s)
	}
	if w.id(g.ID) == oldGroup {
		t.Error("group has its old id")
	}
}

func TestTargetForgetsPeople(t *testing.T) {
	w := newWorld(t, nil)
	boss, bo, cy := w.person("Ada", "Dahl"), w.person("Bo", "Ek"), w.person("Cy", "Borg")
	w.must(w.dir.Update(bo.ID, func(u *User) { u.Manager = boss.ID }))
	w.team("Finance", boss.ID, bo.ID, cy.ID)
	w.cycle()
	w.srv.mu.Lock()
	w.srv.users = nil
	w.srv.mu.Unlock()
	w.must(w.dir.SoftDelete(cy.ID))
	w.must(w.dir.HardDelete(cy.ID))
	w.must(w.dir.Update(boss.ID, func(u *User) { u.JobTitle = "Director" }))
	// The deletion is a success, the boss is made anew, and the new reference shows that its owner is gone as well.
	if s := w.cycle(); s.Users.Deleted != 1 || s.Users.Created != 1 || s.Failed != 1 || s.Failures[0].Err.Code != InvalidAnchor {
		t.Errorf("first: %s", s)
	}
	if s := w.cycle(); s.Users.Created != 1 || s.ReferencesSet != 1 || s.Failed != 0 || s.Escrowed != 0 {
		t.Errorf("second: %s", s)
	}
}

func TestEscrowDelaysGrow(t *testing.T) {
	w := newWorld(t, nil)
	ada, bo := w.person("Ada", "Dahl"), w.person("Bo", "Ek")
	w.team("Finance", ada.ID, bo.ID)
	w.srv.onRequest(func(rw http.ResponseWriter, r *http.Request, body []byte) bool {
		if r.Method == http.MethodPost && strings.Contains(string(body), "ada.dahl") {
			fault(rw, 400, "not today")
			return true
		}
		return false
	})
	var tried []int
	for n := 1; n <= 10; n++ {
		s := w.cycle()
		for _, r := range w.srv.take() {
			if r.method == http.MethodPost && strings.Contains(r.body, "ada.dahl") {
				tried = append(tried, n)
			}
		}
		if s.Escrowed != 1 {
			t.Fatalf("cycle %d: %d in escrow", n, s.Escrowed)
		}
		if n == 1 && (s.Failed != 1 || s.Failures[0].Err.Code != BadRequest || s.Failures[0].Err.Detail != "not today" || s.MembersAdded != 1 || s.Users.Created != 1) {
			t.Errorf("the others were held up, or the failure is wrong: %s", s)
		}
	}
	if !slices.Equal(tried, []int{1, 2, 4, 8}) {
		t.Errorf("tried in cycles %v", tried)
	}
	w.srv.onRequest(nil)
	w.must(w.dir.Update(ada.ID, func(u *User) { u.JobTitle = "Counsel" })) // a change does not wait
	if s := w.cycle(); s.Users.Created != 1 || s.MembersAdded != 1 || s.Escrowed != 0 {
		t.Errorf("after the repair: %s", s)
	}
	if got := memberIDs(w.srv.group("Finance")); len(got) != 2 {
		t.Errorf("members: %v", got)
	}
}

func TestFailedReferencesAreRetried(t *testing.T) {
	w := newWorld(t, nil)
	ada, bo := w.person("Ada", "Dahl"), w.person("Bo", "Ek")
	w.must(w.dir.Update(ada.ID, func(u *User) { u.Manager = bo.ID }))
	g := w.team("Finance", ada.ID, bo.ID)
	w.srv.onRequest(func(rw http.ResponseWriter, r *http.Request, _ []byte) bool {
		if r.Method == http.MethodPatch {
			fault(rw, 500, "out of order")
			return true
		}
		return false
	})
	if s := w.cycle(); s.Failed != 3 || s.Escrowed != 3 || s.Failures[0].Err.Code != InternalServerError {
		t.Fatalf("summary: %s", s)
	}
	w.must(w.dir.RemoveMember(g.ID, bo.ID)) // wish withdrawn while in escrow
	w.job.Assign(bo.ID)
	w.srv.onRequest(nil)
	if s := w.cycle(); s.MembersAdded != 1 || s.MembersRemoved != 0 || s.ReferencesSet != 1 || s.Escrowed != 0 {
		t.Errorf("summary: %s", s)
	}
}

func TestRestart(t *testing.T) {
	w := newWorld(t, nil)
	ada, bo := w.person("Ada", "Dahl"), w.person("Bo", "Ek")
	g := w.team("Finance", ada.ID, bo.ID)
	w.cycle()
	id := w.id(ada.ID)
	w.srv.mu.Lock() // the target loses what it was told
	w.srv.find(&w.srv.groups, w.id(g.ID))["members"] = nil
	w.srv.find(&w.srv.users, id)["displayName"] = "Someone Else"
	w.srv.mu.Unlock()
	w.must(w.dir.RemoveMember(g.ID, bo.ID))
	w.job.Restart()
	s := w.cycle()
	if !s.Initial || s.Users.Created != 0 || s.Users.Updated != 1 || s.Users.Disabled != 1 || s.MembersAdded != 1 || s.MembersRemoved != 1 || w.id(ada.ID) != id {
		t.Errorf("summary: %s", s)
	}
	if got := memberIDs(w.srv.group("Finance")); !slices.Equal(got, []string{id}) {
		t.Errorf("members: %v", got)
	}
	if s := w.cycle(); s.Requests != 0 {
		t.Errorf("cycle after it: %s", s)
	}
}

func TestLostAnswers(t *testing.T) {
	post := func(r *http.Request) bool { return r.Method == http.MethodPost }
	t.Run("cut off", func(t *testing.T) {
		w := newWorld(t, func(o *ProvisionerOptions) {
			o.Client = &http.Client{Transport: Flaky(nil, FlakyOptions{LoseAnswer: 1, Limit: 2, Only: post})}
		})
		ada := w.person("Ada", "Dahl")
		w.team("Finance", ada.ID)
		s := w.cycle()
		if s.Users.Linked != 1 || s.Users.Created != 0 || s.Groups.Created+s.Groups.Linked != 1 || s.Failed != 0 || s.Retries == 0 || s.MembersAdded != 1 {
			t.Errorf("summary: %s", s)
		}
		if w.srv.user(ada.UserPrincipalName) == nil { // complains about twins, too
			t.Error("no user")
		}
		var posts []string
		for _, r := range w.srv.take() {
			if r.path == "/Users" {
				posts = append(posts, r.method)
			}
		}
		if want := []string{"GET", "POST", "POST", "POST", "GET"}; !slices.Equal(posts, want) {
			t.Errorf("requests %v, want %v", posts, want)
		}
	})
	t.Run("too late", func(t *testing.T) {
		var slow atomic.Bool
		slow.Store(true)
		outside := newWorld(t, nil)
		client := &http.Client{Transport: within{http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			outside.srv.ServeHTTP(rw, r)
			if r.Method == http.MethodPost && slow.Swap(false) {
				<-r.Context().Done()
			}
		})}}
		synctest.Test(t, func(t *testing.T) { // in which only what waits takes time
			w := &world{T: t, srv: outside.srv, now: outside.now, dir: outside.dir}
			w.job = w.provisioner(func(o *ProvisionerOptions) { o.Client, o.Assigned = client, []string{w.person("Ada", "Dahl").ID} })
			if s := w.cycle(); s.Users.Linked != 1 || s.Retries != 1 || s.Failed != 0 {
				t.Errorf("summary: %s", s)
			}
			w.job = w.provisioner(func(o *ProvisionerOptions) {
				o.Client, o.Timeout, o.Attempts = client, 50*time.Millisecond, 1
				o.Assigned = []string{w.person("Bo", "Ek").ID}
			})
			slow.Store(true)
			began := time.Now()
			if s := w.cycle(); s.Failed != 1 || time.Since(began) != 50*time.Millisecond || s.Failures[0].Err.Code != Timeout || !strings.Contains(s.Failures[0].Err.Detail, "50ms") {
				t.Errorf("one attempt: %s", s)
			}
		})
	})
	t.Run("of a member who leaves before it is sent again", func(t *testing.T) {
		var lossy atomic.Bool
		w := newWorld(t, func(o *ProvisionerOptions) {
			o.Client = &http.Client{Transport: Flaky(nil, FlakyOptions{LoseAnswer: 1, Only: func(r *http.Request) bool { return lossy.Load() && r.Method == http.MethodPatch }})}
		})
		ada, bo := w.person("Ada", "Dahl"), w.person("Bo", "Ek")
		team := w.team("Finance", ada.ID)
		w.job.Assign(bo.ID)
		w.cycle()
		w.must(w.dir.AddMember(team.ID, bo.ID))
		lossy.Store(true)
		if s := w.cycle(); s.Failed != 1 {
			t.Errorf("summary: %s", s)
		}
		lossy.Store(false)
		w.must(w.dir.RemoveMember(team.ID, bo.ID))
		for range 3 {
			w.cycle()
		}
		if got := memberIDs(w.srv.group("Finance")); !slices.Equal(got, []string{w.id(ada.ID)}) {
			t.Errorf("members %v", got)
		}
	})
	t.Run("for good", func(t *testing.T) {
		w := newWorld(t, func(o *ProvisionerOptions) {
			o.Client = &http.Client{Transport: Flaky(nil, FlakyOptions{LoseAnswer: 1, Limit: 3, Only: post})}
		})
		ada := w.person("Ada", "Dahl")
		w.job.Assign(ada.ID)
		if s := w.cycle(); s.Escrowed != 1 || s.Failed != 1 || s.Failures[0].Err.Code != ConnectionLost {
			t.Errorf("first: %s", s)
		}
		if s := w.cycle(); s.Users.Linked != 1 || s.Escrowed != 0 {
			t.Errorf("second: %s", s)
		}
	})
}

func TestConflict(t *testing.T) {
	w := newWorld(t, func(o *ProvisionerOptions) { o.Match = []string{"externalId"} })
	ada := w.person("Ada", "Dahl")
	w.job.Assign(ada.ID)
	w.srv.users = append(w.srv.users, map[string]any{"id": "x", "userName": ada.UserPrincipalName, "externalId": "somebody"})
	if s := w.cycle(); s.Failed != 1 || s.Failures[0].Err.Code != EntryConflict || s.Escrowed != 1 {
		t.Errorf("taken by another: %s", s)
	}
}

func TestDuplicates(t *testing.T) {
	w := newWorld(t, nil)
	ada := w.person("Ada", "Dahl")
	w.job.Assign(ada.ID)
	for i := range 2 {
		w.srv.users = append(w.srv.users, map[string]any{"id": fmt.Sprint(i), "userName": ada.UserPrincipalName})
	}
	if s := w.cycle(); s.Failed != 1 || s.Failures[0].Err.Code != DuplicateTargetEntries {
		t.Errorf("two at the target: %s", s)
	}

	w = newWorld(t, nil)
	w.team("Twin")
	w.team("Twin")
	if s := w.cycle(); s.Groups.Created != 1 || s.Failed != 1 || s.Failures[0].Err.Code != DuplicateSourceEntries {
		t.Errorf("two in the directory: %s", s)
	}
}

func TestThrottling(t *testing.T) {
	run := func(header string, change func(*ProvisionerOptions)) (Summary, time.Duration) {
		w := newWorld(t, change)
		ada := w.person("Ada", "Dahl")
		w.job.Assign(ada.ID)
		var left atomic.Int32
		left.Store(1)
		w.srv.onRequest(func(rw http.ResponseWriter, r *http.Request, _ []byte) bool {
			if r.Method != http.MethodPost || left.Add(-1) < 0 {
				return false
			}
			rw.Header().Set("Retry-After", header)
			fault(rw, 429, "slow down")
			return true
		})
		start := time.Now()
		return w.cycle(), time.Since(start)
	}
	if s, took := run("1", nil); s.Users.Created != 1 || s.Throttled != 1 || s.Retries != 1 || took < time.Second {
		t.Errorf("Retry-After: 1: took %s: %s", took, s)
	}
	if s, took := run("3600", func(o *ProvisionerOptions) { o.MaxRetryAfter = 20 * time.Millisecond }); s.Users.Created != 1 || took > time.Minute {
		t.Errorf("Retry-After: 3600: took %s: %s", took, s)
	}
	s, _ := run("0", func(o *ProvisionerOptions) { o.Attempts = 1 })
	if s.Users.Created != 0 || s.Escrowed != 1 || s.Failures[0].Err.Code != TooManyRequests {
		t.Errorf("one attempt: %s", s)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if d, ok := retryAfter("Thu, 01 Jan 2026 00:00:30 GMT", now); !ok || d != 30*time.Second {
		t.Errorf("date: %v %v", d, ok)
	}
	if _, ok := retryAfter("soon", now); ok {
		t.Error("nonsense is understood")
	}
}

func TestQuarantineOnBadCredentials(t *testing.T) {
	w := newWorld(t, func(o *ProvisionerOptions) { o.SyncAll = true })
	w.dir.Populate(30, 2)
	w.srv.mu.Lock()
	w.srv.token = "rotated"
	w.srv.mu.Unlock()
	s, err := w.job.Cycle(t.Context())
	if !errors.Is(err, ErrQuarantine) || !s.Quarantined || s.Requests != 1 || w.job.Quarantined() == nil {
		t.Fatalf("cycle: %v, %s", err, s)
	}
	w.srv.take()
	w.now = w.now.Add(6*time.Hour - time.Second)
	if _, err := w.job.Cycle(t.Context()); !errors.Is(err, ErrQuarantine) || len(w.srv.take()) != 0 {
		t.Errorf("before six hours: %v", err)
	}
	w.now = w.now.Add(time.Second)
	if _, err := w.job.Cycle(t.Context()); !errors.Is(err, ErrQuarantine) || len(w.srv.take()) != 1 {
		t.Errorf("after six hours: %v", err)
	}
	w.now = w.now.Add(6 * time.Hour)
	if _, err := w.job.Cycle(t.Context()); !errors.Is(err, ErrQuarantine) || len(w.srv.take()) != 0 {
		t.Errorf("the second pause is not longer: %v", err)
	}
	w.now = w.now.Add(28 * 24 * time.Hour)
	if _, err := w.job.Cycle(t.Context()); !errors.Is(err, ErrDisabled) || len(w.srv.take()) != 0 {
		t.Errorf("after four weeks: %v", err)
	}
	w.job.SetToken("rotated")
	if s := w.cycle(); s.Users.Created < 20 || s.Quarantined || s.Escrowed != 0 {
		t.Errorf("with the new token: %s", s)
	}
}

func TestQuarantineOnFailures(t *testing.T) {
	refuse := func(rate int) func(http.ResponseWriter, *http.Request, []byte) bool {
		n := 0
		return func(rw http.ResponseWriter, r *http.Request, _ []byte) bool {
			if r.Method != http.MethodPost {
				return false
			}
			if n++; n%rate != 0 {
				return false
			}
			fault(rw, 403, "not this one")
			return true
		}
	}
	setup := func(rate int) *world {
		w := newWorld(t, func(o *ProvisionerOptions) { o.SyncAll = true; o.QuarantineFailures = 5 })
		for i := range 40 {
			w.person("P", fmt.Sprintf("n%02d", i))
		}
		w.srv.onRequest(refuse(rate))
		return w
	}
	w := setup(2)
	s, err := w.job.Cycle(t.Context())
	if !errors.Is(err, ErrQuarantine) || s.Failed != 5 {
		t.Errorf("every second fails: %v, %s", err, s)
	}
	w.srv.onRequest(nil)
	w.job.Restart()
	if s := w.cycle(); s.Users.Created+s.Users.Skipped != 40 {
		t.Errorf("after restart: %s", s)
	}
	w = setup(4) // 25 %: not enough, and a 403 beside successes is about one object
	if s := w.cycle(); s.Failed != 10 || s.Quarantined || s.Failures[0].Err.Code != InsufficientRights || s.Escrowed != 10 {
		t.Errorf("every fourth fails: %s", s)
	}
}

func TestUnreachableTarget(t *testing.T) {
	var down atomic.Bool
	w := newWorld(t, func(o *ProvisionerOptions) {
		o.SyncAll, o.Attempts = true, 1
		o.Client = &http.Client{Transport: Flaky(nil, FlakyOptions{Refuse: 1, Only: func(*http.Request) bool { return down.Load() }})}
	})
	w.dir.Populate(40, 2)
	w.cycle()
	w.dir.RandomChange(60)
	down.Store(true)
	for range 5 {
		s, err := w.job.Cycle(t.Context())
		if !errors.Is(err, ErrUnreachable) || s.Requests != silentLimit {
			t.Fatalf("while down: %v, %s", err, s)
		}
	}
	down.Store(false)
	if s := w.cycle(); s.Failed != 0 || s.Escrowed != 0 || s.Writes() == 0 {
		t.Errorf("up again: %s", s)
	}
	if rep, err := w.job.Verify(t.Context()); err != nil || rep.Differences != 0 {
		t.Errorf("%v %s", err, rep)
	}
}

func TestRefusalsAreAnswers(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 2 * silentLimit {
		w.job.Assign(w.person("P", fmt.Sprintf("n%02d", i)).ID)
	}
	w.srv.onRequest(func(rw http.ResponseWriter, _ *http.Request, _ []byte) bool { fault(rw, 400, "no"); return true })
	if s := w.cycle(); s.Failed != 2*silentLimit || len(s.Failures) != maxFailures || s.Quarantined {
		t.Errorf("summary: %s", s)
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t, func(o *ProvisionerOptions) { o.SyncAll = true; o.Concurrency = 4 })
	w.dir.Populate(60, 3)
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	w.srv.onRequest(func(http.ResponseWriter, *http.Request, []byte) bool {
		if n++; n == 21 {
			cancel()
		}
		return false
	})
	if _, err := w.job.Cycle(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("err = %v", err)
	}
	w.srv.onRequest(nil)
	w.cycle()
	if rep, err := w.job.Verify(t.Context()); err != nil || rep.Differences != 0 {
		t.Errorf("%v %s", err, rep)
	}
}

func TestProbe(t *testing.T) {
	w := newWorld(t, func(o *ProvisionerOptions) { o.Base += "?aadOptscim062020"; o.ObjectIDAsExternalID = true })
	w.must(w.job.Probe(t.Context()))
	log := w.srv.take()
	if len(log) != 2 || !strings.HasPrefix(log[0].String(), "GET /Users?aadOptscim062020&filter=externalId+eq+%22") ||
		!strings.HasPrefix(log[1].String(), "GET /Groups?aadOptscim062020&excludedAttributes=members&filter=displayName%20eq%20%22") {
		t.Errorf("requests: %v", log)
	}
	for name, bad := range map[string]func(http.ResponseWriter, *http.Request, []byte) bool{
		"404 for no hit": func(rw http.ResponseWriter, _ *http.Request, _ []byte) bool { fault(rw, 404, "none"); return true },
		"HTML": func(rw http.ResponseWriter, _ *http.Request, _ []byte) bool {
			fmt.Fprint(rw, "<html>Sign in</html>")
			return true
		},
		"bare array": func(rw http.ResponseWriter, _ *http.Request, _ []byte) bool { fmt.Fprint(rw, "[]"); return true },
		"filter ignored": func(rw http.ResponseWriter, _ *http.Request, _ []byte) bool {
			answer(rw, 200, map[string]any{"schemas": []string{listURN}, "totalResults": 1, "Resources": []any{map[string]any{"id": "1"}}})
			return true
		},
		"groups missing": func(rw http.ResponseWriter, r *http.Request, _ []byte) bool {
			if strings.HasSuffix(r.URL.Path, "/Groups") {
				fault(rw, 404, "none")
				return true
			}
			return false
		},
	} {
		w.srv.onRequest(bad)
		err := w.job.Probe(t.Context())
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != ServiceIncompatible {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.srv.onRequest(func(rw http.ResponseWriter, r *http.Request, _ []byte) bool {
		http.Redirect(rw, r, "/elsewhere", http.StatusTemporaryRedirect)
		return true
	})
	w.srv.take()
	if err := w.job.Probe(t.Context()); err == nil || len(w.srv.take()) != 1 {
		t.Errorf("a redirect was followed: %v", err)
	}
}

func TestClientCredentials(t *testing.T) {
	var issued atomic.Int32
	life, code := 3600, 200
	tokens := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		id, secret, ok := r.BasicAuth()
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
		if r.FormValue("grant_type") != "client_credentials" || !ok || id != "app:1" || secret != "p+ss" || r.FormValue("client_secret") != "" {
			t.Errorf("token request: %q %q %v", id, secret, r.Form)
		}
		rw.WriteHeader(code)
		fmt.Fprintf(rw, `{"access_token":"t%d","token_type":"Bearer","expires_in":%d,"error":"invalid_client"}`, issued.Add(1), life)
	}))
	defer tokens.Close()
	with := func(o *ProvisionerOptions) {
		o.Token, o.TokenURL, o.ClientID, o.ClientSecret, o.SyncAll = "", tokens.URL, "app:1", "p+ss", true
	}
	w := newWorld(t, with)
	w.srv.token = "t1"
	w.must(w.job.Probe(t.Context()))
	w.dir.Populate(5, 1)
	w.cycle()
	if issued.Load() != 1 {
		t.Errorf("%d tokens for one cycle", issued.Load())
	}
	w.srv.mu.Lock()
	w.srv.token = "t2" // the server forgets the first token early
	w.srv.mu.Unlock()
	w.person("Ada", "Dahl")
	if s := w.cycle(); s.Users.Created != 1 || issued.Load() != 2 {
		t.Errorf("after expiry: %d tokens, %s", issued.Load(), s)
	}

	w = newWorld(t, with)
	w.srv.token, life = "t3", 60
	if err := w.job.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "1m0s") {
		t.Errorf("a token of one minute: %v", err)
	}
	code = 401
	w = newWorld(t, with)
	w.dir.Populate(3, 0)
	if _, err := w.job.Cycle(t.Context()); !errors.Is(err, ErrQuarantine) || len(w.srv.take()) != 0 {
		t.Errorf("refused client: %v", err)
	}
}

func TestOnDemand(t *testing.T) {
	w := newWorld(t, func(o *ProvisionerOptions) { o.Base += "?aadOptscim062020" })
	var ids []string
	for i := range 6 {
		ids = append(ids, w.person("P", fmt.Sprintf("n%d", i)).ID)
	}
	g := w.team("Finance", ids...)
	if s, err := w.job.OnDemand(t.Context(), ids[0]); err != nil || s.Users.Created != 1 || s.Groups.Created != 0 || !s.OnDemand {
		t.Fatalf("user: %v %s", err, s)
	}
	w.must(w.dir.Disable(ids[0]))
	w.srv.take()
	if _, err := w.job.OnDemand(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	log := w.srv.take()
	sameJSON(t, "legacy dialect in spite of the flag", ops(t, log[1].body), []map[string]any{{"op": "Replace", "path": "active", "value": "False"}})
	if log[1].query != "aadOptscim062020" {
		t.Errorf("query is %q", log[1].query)
	}
	if _, err := w.job.OnDemand(t.Context(), g.ID, ids...); err == nil {
		t.Error("six members went through")
	}
	s, err := w.job.OnDemand(t.Context(), g.ID, ids[1:]...)
	if err != nil || s.MembersAdded != 5 || s.Groups.Created != 1 {
		t.Errorf("group: %v %s", err, s)
	}
	if _, err := w.job.OnDemand(t.Context(), "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown object: %v", err)
	}
	w.srv.onRequest(func(rw http.ResponseWriter, _ *http.Request, _ []byte) bool { fault(rw, 422, "no"); return true })
	w.must(w.dir.Enable(ids[0]))
	_, err = w.job.OnDemand(t.Context(), ids[0])
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != UnprocessableEntity {
		t.Errorf("failure: %v", err)
	}
	w.srv.onRequest(nil)
	if s := w.cycle(); s.Escrowed != 0 || s.Users.Restored != 1 || !s.Initial {
		t.Errorf("the cycle after it: %s", s)
	}
}

func TestMembersPerPatch(t *testing.T) {
	w := newWorld(t, func(o *ProvisionerOptions) { o.MembersPerPatch = 4; o.Base += "?aadOptscim062020" })
	var ids []string
	for i := range 10 {
		ids = append(ids, w.person("P", fmt.Sprintf("n%d", i)).ID)
	}
	g := w.team("Finance", ids...)
	sizes := func() (n []int) {
		w.srv.take()
		w.cycle()
		for _, r := range w.srv.take() {
			if r.method == http.MethodPatch && strings.HasPrefix(r.path, "/Groups") {
				o := ops(t, r.body)
				list, _ := o[0]["value"].([]any)
				n = append(n, max(len(list), len(o)))
			}
		}
		return n
	}
	if got := sizes(); !slices.Equal(got, []int{4, 4, 2}) {
		t.Errorf("added in steps of %v", got)
	}
	for _, id := range ids[:6] {
		w.must(w.dir.RemoveMember(g.ID, id))
	}
	if got := sizes(); !slices.Equal(got, []int{4, 2}) {
		t.Errorf("removed in steps of %v", got)
	}
	if got := memberIDs(w.srv.group("Finance")); len(got) != 4 {
		t.Errorf("members: %v", got)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	dir := New(Options{})
	for _, o := range []ProvisionerOptions{
		{}, {Base: "example"}, {Base: "ftp://h.example/scim"}, {Base: "https://h.example", MembersPerPatch: 1001},
		{Base: "https://h.example", Match: []string{"nickName"}}, {Base: "https://h.example", Match: []string{"active"}},
		{Base: "https://h.example", Token: "a", TokenURL: "https://h.example/token"},
	} {
		if _, err := NewProvisioner(dir, o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	for base, want := range map[string]string{
		"https://h.example/scim":                           "https://h.example/scim/Users?filter=x",
		"https://h.example/scim/":                          "https://h.example/scim/Users?filter=x",
		"https://h.example/scim/?aadOptscim062020":         "https://h.example/scim/Users?aadOptscim062020&filter=x",
		"https://h.example/scim?AzureAdScimPatch2017":      "https://h.example/scim/Users?AzureAdScimPatch2017&filter=x",
		"https://h.example/t/42/scim?a=b&aadOptscim062020": "https://h.example/t/42/scim/Users?a=b&aadOptscim062020&filter=x",
	} {
		p, err := NewProvisioner(dir, ProvisionerOptions{Base: base})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.client.url("/Users", "filter=x"); got != want {
			t.Errorf("%s: %s, want %s", base, got, want)
		}
		if (p.flag == flagged) != strings.Contains(base, "aadOptscim062020") {
			t.Errorf("%s: flag is %v", base, p.flag)
		}
	}
}

func TestQuote(t *testing.T) {
	if got := userFilter("userName", `o"brien\ & <co>@x.example`); got != "filter=userName+eq+%22o%5C%22brien%5C%5C+%26+%3Cco%3E%40x.example%22" {
		t.Errorf("filter: %s", got)
	}
}

// TestLongRun lets a directory live through a bad network and compares the outcome with what the rules demand, computed
// from the directory's snapshot alone.
func TestLongRun(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	for _, flag := range []string{"", "?aadOptscim062020"} {
		w := newWorld(t, func(o *ProvisionerOptions) {
			o.Base += flag
			o.Concurrency, o.ParallelMembers, o.MembersPerPatch, o.ObjectIDAsExternalID = 4, flag == "", 3, true
			o.Client = &http.Client{Transport: Flaky(&http.Transport{}, FlakyOptions{
				Seed: 5, LoseAnswer: 0.05, Refuse: 0.03, Duplicate: 0.05, Delay: 0.05, MaxDelay: 2 * time.Millisecond,
			})}
		})
		w.dir.Populate(120, 16)
		for i, g := range w.dir.Snapshot().Groups {
			if i%4 != 3 {
				w.job.Assign(g.ID)
			}
		}
		w.cycle()
		for range 12 {
			w.now = w.now.Add(40 * time.Hour)
			if got := w.dir.RandomChange(15); len(got) != 15 {
				t.Errorf("%d changes", len(got))
			}
			w.cycle()
		}
		for n := 0; ; n++ {
			if s := w.cycle(); s.Escrowed == 0 && s.Requests == 0 {
				break
			}
			if n == 100 {
				t.Fatal("never comes to rest")
			}
		}
		w.checkTarget()
		rep, err := w.job.Verify(t.Context())
		if err != nil || rep.Differences != 0 || rep.Users < 100 || rep.Members < 100 {
			t.Errorf("verify: %v %s", err, rep)
		}
		w.job.Close()
		w.srv.http.Close()
	}
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > goroutines+2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), goroutines)
		}
	}
}

// within serves requests without a network, whose waiting a bubble of time does not see.
type within struct{ http.Handler }

func (h within) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	in := r.Clone(r.Context())
	if in.UserAgent() == "" { // it is not sent then
		in.Header.Del("User-Agent")
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	h.ServeHTTP(answer, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return answer.Result(), nil
}

// checkTarget recomputes who should be active and in which group.
func (w *world) checkTarget() {
	w.Helper()
	snap := w.dir.Snapshot()
	assigned := make(map[string]bool)
	for i, g := range snap.Groups {
		if w.srv.group(g.DisplayName) != nil {
			assigned[g.ID] = true
		}
		if want := w.job.assigned[g.ID]; want != assigned[g.ID] {
			w.Errorf("group %d %s at the target: %v, want %v", i, g.DisplayName, assigned[g.ID], want)
		}
	}
	member := make(map[string]bool)
	for _, g := range snap.Groups {
		for _, m := range g.Members {
			member[m] = member[m] || assigned[g.ID]
		}
	}
	known, deleted := make(map[string]string), make(map[string]bool) // target id -> object id
	active := 0
	for _, u := range snap.Users {
		want := member[u.ID] && u.AccountEnabled && !u.Deleted()
		there := w.srv.user(strings.ReplaceAll(u.UserPrincipalName, "#EXT#", ""))
		if want != (there != nil && there["active"] == true) {
			w.Errorf("%s: want active %v, target has %v", u.UserPrincipalName, want, there)
		}
		if want {
			active++
			if there["title"] != u.JobTitle && u.JobTitle != "" || there["displayName"] != u.DisplayName || there["externalId"] != u.ID {
				w.Errorf("%s: %v", u.UserPrincipalName, there)
			}
		}
		if id, ok := w.job.TargetID(u.ID); ok {
			known[id], deleted[id] = u.ID, u.Deleted()
		}
	}
	if active < 80 {
		w.Errorf("only %d active users", active)
	}
	for _, g := range snap.Groups {
		if !assigned[g.ID] {
			continue
		}
		var got, want []string
		for _, id := range memberIDs(w.srv.group(g.DisplayName)) {
			if !deleted[id] {
				got = append(got, id)
			}
		}
		for _, m := range w.dir.Members(g.ID) {
			if id, ok := w.job.TargetID(m); ok {
				want = append(want, id)
			}
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			w.Errorf("%s: members %v, want %v", g.DisplayName, got, want)
		}
	}
}

func TestVerifyFindsDrift(t *testing.T) {
	w := newWorld(t, func(o *ProvisionerOptions) { o.SyncAll = true })
	var ids []string
	for i := range 8 {
		ids = append(ids, w.person("P", fmt.Sprintf("n%d", i)).ID)
	}
	w.must(w.dir.Update(ids[0], func(u *User) { u.Manager = ids[7] }))
	g, gone := w.team("Finance", ids[:4]...), w.team("Gone")
	w.cycle()
	if rep, err := w.job.Verify(t.Context()); err != nil || rep.Differences != 0 || rep.Users != 8 || rep.Groups != 2 || rep.Members != 4 {
		t.Fatalf("before: %v %+v", err, rep)
	}
	w.srv.mu.Lock()
	user := func(i int) map[string]any { return w.srv.find(&w.srv.users, w.id(ids[i])) }
	user(1)["title"], user(1)["displayName"] = "ignored: absent in the directory", "Changed"
	user(2)["active"] = false
	delete(user(0), enterprise)
	finance := w.srv.find(&w.srv.groups, w.id(g.ID))
	patchMembers(finance, "remove", w.id(ids[3]))
	patchMembers(finance, "add", "stranger")
	w.srv.users = append(w.srv.users, map[string]any{"id": "stranger", "userName": "stranger@x.example", "active": true})
	w.srv.users = append(w.srv.users, map[string]any{"id": "twin", "userName": "P.N4@fjord.example"})
	w.srv.users = slices.DeleteFunc(w.srv.users, func(u map[string]any) bool { return u["id"] == w.id(ids[6]) })
	w.srv.groups = slices.DeleteFunc(w.srv.groups, func(u map[string]any) bool { return u["id"] == w.id(gone.ID) })
	w.srv.groups = append(w.srv.groups, map[string]any{"id": "odd", "displayName": "Odd"})
	w.srv.mu.Unlock()
	w.must(w.dir.Disable(ids[5])) // not pushed yet
	w.must(w.dir.AddMember(g.ID, ids[4]))
	w.must(w.dir.SoftDelete(ids[4])) // neither
	rep, err := w.job.Verify(t.Context())
	w.must(err)
	var got []string
	for _, d := range rep.Drift {
		got = append(got, d.String())
	}
	slices.Sort(got)
	sameJSON(t, "drift", got, []string{
		"differs Finance: member stranger is not one",
		"differs Finance: member " + w.id(ids[3]) + " is missing",
		"differs p.n0@fjord.example: manager is \"\", want \"" + w.id(ids[7]) + "\"",
		"differs p.n1@fjord.example: displayName is \"Changed\", want \"P n1\"",
		"differs p.n2@fjord.example: active is \"false\", want \"true\"",
		"differs p.n4@fjord.example: active at the target, should not be",
		"differs p.n5@fjord.example: active at the target, should not be",
		"duplicate P.N4@fjord.example: as " + w.id(ids[4]) + " and twin",
		"missing Gone: no such group at the target",
		"missing p.n6@fjord.example: no such user at the target",
		"unexpected Odd: group is not in scope",
		"unexpected stranger@x.example: active at the target, unknown to the directory",
	})
	if s := rep.String(); !strings.Contains(s, "12 differences") || !strings.Contains(s, "stranger@x.example") {
		t.Errorf("report:\n%s", s)
	}
}
