package scim_test

import (
	"slices"
	"strings"
	"testing"
)

// TestMatrixGroups: what becomes of the members of a group. The group holds {a}, {b} and the group {g}; {c} is a user who is
// in no group, {no} an id of nobody. members is what the group holds afterwards, as letters; a scimType says that the request
// is refused, and then all is as before, its version too.
func TestMatrixGroups(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	for _, row := range []struct {
		name, ops, put          string // put: the rest of a PUT's body
		tolerant, strict, needs string
	}{
		{name: "7644-3.5.2.1 add", ops: `[{"op":"add","path":"members","value":[{"value":"{c}"}]}]`, tolerant: "abcg", strict: "abcg"},
		{name: "7644-3.5.2.1 add one outside of a list", ops: `[{"op":"add","path":"members","value":{"value":"{c}"}}]`, tolerant: "abcg", strict: "abcg"},
		{name: "7644-3.5.2.1 add without a path", ops: `[{"op":"add","value":{"members":[{"value":"{c}"}]}}]`, tolerant: "abcg", strict: "abcg"},
		{name: "7644-3.5.2.1 add with the URN", ops: `[{"op":"add","path":"urn:ietf:params:scim:schemas:core:2.0:Group:members","value":[{"value":"{c}"}]}]`, tolerant: "abcg", strict: "abcg"},
		{name: "7644-3.5.2.1 add who is in", ops: `[{"op":"add","path":"members","value":[{"value":"{a}"},{"value":"{a}"}]}]`, tolerant: "abg", strict: "abg"},
		{name: "7644-3.5.2.1 add nobody", ops: `[{"op":"add","path":"members","value":[]}]`, tolerant: "abg", strict: "abg"},
		{name: "7644-3.5.2.1 add who does not exist", ops: `[{"op":"add","path":"members","value":[{"value":"{c}"},{"value":"{no}"}]}]`, tolerant: "invalidValue", strict: "invalidValue"},
		{name: "7644-3.5.2.1 add by a text", ops: `[{"op":"add","path":"members","value":["{c}"]}]`, tolerant: "abcg", strict: "invalidValue", needs: "clients that list ids"},
		{name: "7644-3.5.2.1 add without a value", ops: `[{"op":"add","path":"members","value":[{"display":"x"}]}]`, tolerant: "invalidValue", strict: "invalidValue"},
		{name: "7644-3.5.2.1 add with null beside", ops: `[{"op":"add","path":"members","value":[{"value":"{c}","$ref":null,"display":null}]}]`, tolerant: "abcg", strict: "abcg"},
		{name: "7644-3.5.2.1 add with an unknown name beside", ops: `[{"op":"add","path":"members","value":[{"value":"{c}","nosuch":"x"}]}]`, tolerant: "abcg", strict: "invalidSyntax", needs: "Okta (names of its own)"},
		{name: "7644-3.5.2.1 add with another type", ops: `[{"op":"add","path":"members","value":[{"value":"{c}","type":"Direct"}]}]`, tolerant: "abcg", strict: "invalidValue", needs: "clients that say how the membership came about"},
		{name: "7644-3.5.2.1 add with a reference that is none", ops: `[{"op":"add","path":"members","value":[{"value":"{c}","$ref":"not a url"}]}]`, tolerant: "abcg", strict: "invalidValue", needs: "clients that make up $ref"},
		{name: "7644-3.5.2.1 add the group itself", ops: `[{"op":"add","path":"members","value":[{"value":"{me}"}]}]`, tolerant: "invalidValue", strict: "invalidValue"},
		{name: "7644-3.5.2.1 add to a filter", ops: `[{"op":"add","path":"members[value eq \"{a}\"].value","value":"{c}"}]`, tolerant: "mutability", strict: "mutability"},

		{name: "7644-3.5.2.2 remove all", ops: `[{"op":"remove","path":"members"}]`, tolerant: "", strict: ""},
		{name: "7644-3.5.2.2 remove by filter", ops: `[{"op":"remove","path":"members[value eq \"{a}\"]"}]`, tolerant: "bg", strict: "bg"},
		{name: "7644-3.5.2.2 remove by a filter in single quotes", ops: `[{"op":"remove","path":"members[value eq '{a}']"}]`, tolerant: "bg", strict: "invalidPath", needs: "clients that quote as SQL does"},
		{name: "7644-3.5.2.2 remove as in the RFC, without a space", ops: `[{"op":"remove","path":"members[value eq\"{a}\"]"}]`, tolerant: "bg", strict: "bg"},
		{name: "7644-3.5.2.2 remove by a filter of two", ops: `[{"op":"remove","path":"members[value eq \"{a}\" or value eq \"{b}\"]"}]`, tolerant: "g", strict: "g"},
		{name: "7644-3.5.2.2 remove by type", ops: `[{"op":"remove","path":"members[type eq \"Group\"]"}]`, tolerant: "ab", strict: "ab"},
		{name: "7644-3.5.2.2 remove by not", ops: `[{"op":"remove","path":"members[not (value eq \"{a}\")]"}]`, tolerant: "a", strict: "a"},
		{name: "7644-3.5.2.2 remove by what the server writes", ops: `[{"op":"remove","path":"members[display sw \"x\"]"}]`, tolerant: "invalidFilter", strict: "invalidFilter"},
		{name: "7644-3.5.2.2 remove by a name that members do not have", ops: `[{"op":"remove","path":"members[nosuch eq \"{a}\"]"}]`, tolerant: "invalidPath", strict: "invalidPath"},
		{name: "7644-3.5.2.2 remove of a part that members do not have", ops: `[{"op":"remove","path":"members[value eq \"{a}\"].nosuch"}]`, tolerant: "invalidPath", strict: "invalidPath"},
		{name: "7644-3.5.2.2 remove below members", ops: `[{"op":"remove","path":"members.nosuch"}]`, tolerant: "invalidPath", strict: "invalidPath"},
		{name: "7644-3.5.2.3 name below members that means nothing", ops: `[{"op":"replace","value":{"members[nosuch eq 1]":null}}]`, tolerant: "invalidPath", strict: "invalidPath"},
		{name: "7644-3.5.2.2 remove who is not in", ops: `[{"op":"remove","path":"members[value eq \"{c}\"]"}]`, tolerant: "abg", strict: "abg"},
		{name: "7644-3.5.2.2 remove those in a list", ops: `[{"op":"remove","path":"members","value":[{"value":"{a}"},{"value":"{no}"}]}]`, tolerant: "bg", strict: "bg"},
		{name: "7644-3.5.2.2 remove those in an empty list", ops: `[{"op":"remove","path":"members","value":[]}]`, tolerant: "abg", strict: "abg"},
		{name: "7644-3.5.2.2 remove a list without values", ops: `[{"op":"remove","path":"members","value":[{"type":"User"}]}]`, tolerant: "invalidValue", strict: "invalidValue"},
		{name: "7644-3.5.2.2 remove by a part", ops: `[{"op":"remove","path":"members[value eq \"{a}\"].value"}]`, tolerant: "bg", strict: "mutability", needs: "clients that point at the value"},
		{name: "7644-3.5.2.2 remove of what the server writes", ops: `[{"op":"remove","path":"members[value eq \"{a}\"].display"}]`, tolerant: "abg", strict: "mutability", needs: "clients that clear display"},
		{name: "7644-3.5.2.2 remove with an empty string", ops: `[{"op":"remove","path":"members","value":""}]`, tolerant: "invalidValue", strict: "invalidValue"},
		{name: "7644-3.5.2.2 remove of every value", ops: `[{"op":"remove","path":"members.value"}]`, tolerant: "invalidPath", strict: "mutability", needs: "nobody: both modes refuse it, in words of their own"},

		{name: "7644-3.5.2.3 replace", ops: `[{"op":"replace","path":"members","value":[{"value":"{c}"},{"value":"{a}"}]}]`, tolerant: "ac", strict: "ac"},
		{name: "7644-3.5.2.3 replace with nobody", ops: `[{"op":"replace","path":"members","value":[]}]`, tolerant: "", strict: ""},
		{name: "7644-3.5.2.3 replace with null", ops: `[{"op":"replace","path":"members","value":null}]`, tolerant: "", strict: ""},
		{name: "7644-3.5.2.3 replace with an empty string", ops: `[{"op":"replace","path":"members","value":""}]`, tolerant: "", strict: "invalidValue", needs: "Entra (SCIM_Null_Update)"},
		{name: "7644-3.5.2.3 replace with somebody who does not exist", ops: `[{"op":"replace","path":"members","value":[{"value":"{no}"}]}]`, tolerant: "invalidValue", strict: "invalidValue"},
		{name: "7644-3.5.2.3 replace without a path and members", ops: `[{"op":"replace","value":{"externalId":"x"}}]`, tolerant: "abg", strict: "abg"},
		{name: "7644-3.5.2.3 replace a member by another", ops: `[{"op":"replace","path":"members[value eq \"{a}\"]","value":{"value":"{c}"}}]`, tolerant: "mutability", strict: "mutability"},
		{name: "7644-3.5.2.3 several at once", ops: `[{"op":"remove","path":"members[value eq \"{a}\"]"},{"op":"add","path":"members","value":[{"value":"{c}"}]},{"op":"remove","path":"members[value eq \"{c}\"]"}]`,
			tolerant: "bg", strict: "bg"},
		{name: "7644-3.5.2.3 all or nothing", ops: `[{"op":"remove","path":"members"},{"op":"replace","path":"displayName","value":""}]`, tolerant: "invalidValue", strict: "invalidValue"},

		{name: "7644-3.5.1 PUT of members", put: `,"members":[{"value":"{c}"}]`, tolerant: "c", strict: "c"},
		{name: "7644-3.5.1 PUT without members", put: `,"externalId":"x"`, tolerant: "abg", strict: "abg"},
		{name: "7644-3.5.1 PUT of nobody", put: `,"members":[]`, tolerant: "", strict: ""},
		{name: "7644-3.5.1 PUT of null", put: `,"members":null`, tolerant: "", strict: ""},
		{name: "7644-3.5.1 PUT of members that are no list", put: `,"members":{"value":"{c}"}`, tolerant: "invalidValue", strict: "invalidValue"},
		{name: "7644-3.5.1 PUT of members by ids", put: `,"members":["{c}"]`, tolerant: "c", strict: "invalidValue", needs: "clients that list ids"},
		{name: "7644-3.5.1 PUT of members below the URN", put: `,"urn:ietf:params:scim:schemas:core:2.0:Group":{"members":[{"value":"{c}"}]}`, tolerant: "c", strict: "invalidSyntax",
			needs: "clients of servers that show them so"},
		{name: "7644-3.5.1 PUT of the group itself", put: `,"members":[{"value":"{me}"}]`, tolerant: "invalidValue", strict: "invalidValue"},
	} {
		if (row.needs != "") != (row.tolerant != row.strict) {
			t.Errorf("%s: a client is named exactly where the modes differ", row.name)
		}
		m.run(t, row.name, func(t *testing.T, a *tenant, strict bool) {
			want := row.tolerant
			if strict {
				want = row.strict
			}
			id := map[string]string{"no": unknownID}
			for _, who := range []string{"a", "b", "c"} {
				id[who] = a.requestAs(t, "POST", "/Users", userBody(m.unique("x"))).want(201).id()
			}
			name := m.unique("group")
			id["g"] = a.requestAs(t, "POST", "/Groups", groupBody(m.unique("inner"))).want(201).id()
			id["me"] = a.requestAs(t, "POST", "/Groups", groupBody(name, object{"members": members(id["a"], id["b"], id["g"])})).want(201).id()
			fill := func(text string) string {
				for who, value := range id {
					text = strings.ReplaceAll(text, "{"+who+"}", value)
				}
				return text
			}
			path := "/Groups/" + id["me"]
			before := string(a.requestAs(t, "GET", path, nil).body)
			var got *answer
			if row.ops != "" {
				got = a.requestAs(t, "PATCH", path, m.operations(fill(row.ops)))
			} else {
				got = a.requestAs(t, "PUT", path, raw(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"`+name+`"`+fill(row.put)+`}`))
			}
			after := a.requestAs(t, "GET", path, nil)
			if len(want) > 4 {
				if got.want(400, want); string(after.body) != before {
					after.errorf("refused, and yet changed")
				}
				return
			}
			if got.status >= 300 {
				got.errorf("refused")
			}
			in := []string{}
			for _, value := range after.values("value", "members") {
				for who, one := range id {
					if one == value {
						in = append(in, who)
					}
				}
			}
			slices.Sort(in)
			if have := strings.Join(in, ""); have != want {
				after.errorf("members are %q, want %q", have, want)
			}
			if want == "abg" && !strings.Contains(row.ops+row.put, "externalId") && string(after.body) != before {
				after.errorf("nothing changed, and yet it is another: before\n%s", before)
			}
		})
	}
}
