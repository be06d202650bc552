package reader

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/pulltest"
)

// checks are the checks of a Test by name.
func checks(t *testing.T, r *rig, groups ...string) map[string]pull.Check {
	t.Helper()
	out := make(map[string]pull.Check)
	for _, c := range r.Test(t.Context(), groups).Checks {
		if _, twice := out[c.Name]; twice {
			t.Errorf("check %q is there twice", c.Name)
		}
		if (c.Error == "") == (c.Detail == "") {
			t.Errorf("check %+v has both a result and an error, or none", c)
		}
		out[c.Name] = c
	}
	return out
}

// answering answers a Test of one group: what is exchanged is answered instead.
func answering(exchange map[string]reply) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		path := strings.TrimPrefix(req.URL.Path, "/v1.0")
		answers := map[string]reply{
			"/groups":                          {body: `{"value":[{"id":"` + theGroup + `"}]}`},
			"/users":                           {body: `{"value":[` + enabledUser(1) + `]}`},
			"/groups/" + theGroup:              groupReply(),
			"/groups/" + theGroup + "/members": {body: pageJSON(7, "https://"+req.Host+req.URL.Path+"?$skiptoken=x", 1, 2)},
			"/$batch 1":                        batchOf(replyOf(0, 200, "", enabledUser(1))),
			"/$batch 2":                        batchOf(replyOf(0, 200, "", groupsOf(theGroup))),
			"/groups/" + pulltest.GroupID(2):   graphError(404, "Request_ResourceNotFound", "no"),
		}
		if path == "/$batch" {
			path += " 1"
			if b := make([]byte, 4096); true {
				n, _ := req.Body.Read(b)
				if strings.Contains(string(b[:n]), "checkMemberGroups") {
					path = "/$batch 2"
				}
			}
		}
		a, ok := exchange[path]
		if !ok {
			a = answers[path]
		}
		a.write(w)
	}
}

func TestTestOfAllThatIsWell(t *testing.T) {
	r := newRig(t, answering(nil))
	got := checks(t, r, theGroup)
	for name, want := range map[string]string{
		"token": "token", readGroups: "may read groups", readUsers: "may read users", "group " + theGroup: "Sales: 7 direct members", "confirm": "asked for",
	} {
		if c := got[name]; c.Error != "" || !strings.Contains(c.Detail, want) {
			t.Errorf("check %q: %+v; want %q", name, c, want)
		}
	}
	if len(got) != 5 || r.meter.Requests != 6 {
		t.Errorf("%d checks in %d requests", len(got), r.meter.Requests)
	}
}

func TestTestNamesWhatIsWrong(t *testing.T) {
	denied := graphError(403, "Authorization_RequestDenied", "Insufficient privileges")
	nulls := pageOf(1, "", `{"@odata.type":"#microsoft.graph.user","id":"`+pulltest.ID(1).String()+`","userPrincipalName":null,"accountEnabled":null}`)
	for _, test := range []struct {
		name     string
		exchange map[string]reply
		want     map[string]string // of the checks that fail, what they say
		detail   map[string]string // of those that do not
	}{
		{"no right to groups", map[string]reply{"/groups": denied, "/groups/" + theGroup: denied}, map[string]string{
			readGroups: "GroupMember.Read.All", "group " + theGroup: "grant admin consent",
		}, nil},
		{"no right to users", map[string]reply{"/users": denied, "/groups/" + theGroup + "/members": {body: nulls}}, map[string]string{
			readUsers: "User.Read.All", "group " + theGroup: "User.Read.All", "confirm": "not tried",
		}, nil},
		{"users without properties", map[string]reply{"/users": {body: `{"value":[{"id":"` + pulltest.ID(1).String() + `","accountEnabled":null}]}`}},
			map[string]string{readUsers: "User.Read.All", "confirm": "not tried"}, nil},
		{"a hidden group, or an empty one", map[string]reply{"/groups/" + theGroup + "/members": {body: pageOf(0, "")}}, nil,
			map[string]string{"group " + theGroup: "Member.Read.Hidden"}},
		{"no count", map[string]reply{"/groups/" + theGroup + "/members": {body: pageJSON(-1, "", 1, 2)}}, nil,
			map[string]string{"group " + theGroup: "has members"}},
		{"nobody to confirm", map[string]reply{"/users": {body: `{"value":[]}`}}, map[string]string{"confirm": "no user"}, nil},
		{"somebody who is not there", map[string]reply{"/$batch 1": batchOf(replyOf(0, 404, "", notFoundBody))}, map[string]string{"confirm": "not there"}, nil},
		{"no right to ask for groups", map[string]reply{"/$batch 2": batchOf(replyOf(0, 403, "", "{}"))}, map[string]string{"confirm": "GroupMember.Read.All"}, nil},
		{"a list that is none", map[string]reply{"/users": {body: `{}`}, "/groups": {body: `{"value":[{}]}`}},
			map[string]string{readUsers: "not as documented", readGroups: "not as documented", "confirm": "not tried"}, nil},
		{"a proxy", map[string]reply{"/groups/" + theGroup + "/members": {body: "<html>"}}, map[string]string{"group " + theGroup: "not as documented"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := checks(t, newRig(t, answering(test.exchange)), theGroup)
			for name, c := range got {
				want, fails := test.want[name]
				if fails != (c.Error != "") || !strings.Contains(c.Error, want) || !strings.Contains(c.Detail, test.detail[name]) {
					t.Errorf("check %+v; want error %q, detail %q", c, want, test.detail[name])
				}
			}
			if len(got) != 5 {
				t.Errorf("%d checks, want 5: %+v", len(got), got)
			}
		})
	}
}

func TestTestGoesOnAfterEachGroup(t *testing.T) {
	got := checks(t, newRig(t, answering(nil)), pulltest.GroupID(2), "Sales", theGroup)
	for id, want := range map[string]string{pulltest.GroupID(2): "mistyped", "Sales": "Object ID", theGroup: ""} {
		if c := got["group "+id]; (c.Error != "") != (want != "") || !strings.Contains(c.Error, want) {
			t.Errorf("check %+v, want error %q", c, want)
		}
	}
}

func TestTestWithoutToken(t *testing.T) {
	r, s := scripted(t)
	r.requests.tokenErr = &pull.Error{Class: pull.Authentication, Detail: "the client secret has expired", Code: "AADSTS7000222", RequestID: "t-1"}
	got := checks(t, r, theGroup)
	if c := got["token"]; c.Error != "the client secret has expired (AADSTS7000222), request id t-1" {
		t.Errorf("check %+v", c)
	}
	for _, name := range []string{readGroups, readUsers, "group " + theGroup, "confirm"} {
		if c := got[name]; !strings.Contains(c.Error, "not tried") {
			t.Errorf("check %q: %+v", name, c)
		}
	}
	if s.count() != 0 || len(got) != 5 {
		t.Errorf("%d requests, %d checks", s.count(), len(got))
	}
}

func TestAdviceOfAnotherError(t *testing.T) {
	if got := advice(fmt.Errorf("plain")); got != "plain" {
		t.Errorf("advice %q", got)
	}
}
