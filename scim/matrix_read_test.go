package scim_test

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/bizzstream/bizzscim/directory"
)

// TestMatrixFilters: the grammar of RFC 7644 figure 1 and what a filter means, on two users.
func TestMatrixFilters(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	for _, a := range m.columns {
		for _, members := range []string{
			`"userName":"ida","title":"Planner","active":true,"externalId":"X-1","name":{"givenName":"Ida"},"emails":[{"value":"a@x","type":"work","primary":true},{"value":"b@x","type":"home"}],
				"roles":[{"value":"Admin","primary":true}],"E":{"employeeNumber":"7","manager":{"value":"M1","$ref":"../Users/M1"}},
				"M":{"whole":10,"real":1.50,"when":"2020-02-29T12:00:00+02:00","flag":true,"bytes":"TQ==","exact":"Abc","texts":["Red","blue"]}`,
			`"userName":"per","active":false,"nickName":"a \"b\" \\ é","emails":[{"value":"c@y","type":"home"}],"M":{"whole":9,"real":-2,"when":"2020-02-28T24:00:00Z","flag":false}`,
		} {
			body, _ := m.object(members)
			a.request("POST", "/Users", body).want(201)
		}
	}
	const bad = "invalidFilter"
	for _, row := range []struct{ name, filter, tolerant, strict, needs string }{
		{name: "eq", filter: `title eq "Planner"`, tolerant: "ida", strict: "ida"},
		{name: "eq without a space before the text", filter: `title eq"Planner"`, tolerant: "ida", strict: "ida"},
		{name: "ne", filter: `userName ne "ida"`, tolerant: "per", strict: "per"},
		{name: "ne holds where there is no value", filter: `title ne "Planner"`, tolerant: "per", strict: "per"},
		{name: "co", filter: `title co "ann"`, tolerant: "ida", strict: "ida"},
		{name: "sw", filter: `title sw "Pla"`, tolerant: "ida", strict: "ida"},
		{name: "ew", filter: `title ew "ner"`, tolerant: "ida", strict: "ida"},
		{name: "pr", filter: `title pr`, tolerant: "ida", strict: "ida"},
		{name: "pr of a complex attribute", filter: `name pr`, tolerant: "ida", strict: "ida"},
		{name: "gt of text", filter: `userName gt "ida"`, tolerant: "per", strict: "per"},
		{name: "ge of text", filter: `userName ge "IDA"`, tolerant: "ida per", strict: "ida per"},
		{name: "lt of text", filter: `userName lt "per"`, tolerant: "ida", strict: "ida"},
		{name: "le of text", filter: `userName le "ida"`, tolerant: "ida", strict: "ida"},
		{name: "operators in any case", filter: `title EQ "Planner" AND NOT (active Eq false) Or title Sw "zz"`, tolerant: "ida", strict: "ida"},
		{name: "attributes in any case", filter: `NAME.GIVENNAME eq "Ida"`, tolerant: "ida", strict: "ida"},
		{name: "unknown operator", filter: `title is "x"`, tolerant: bad, strict: bad},
		{name: "no value", filter: `title eq`, tolerant: bad, strict: bad},
		{name: "unknown attribute", filter: `nosuch eq "x"`, tolerant: bad, strict: bad},
		{name: "empty filter", filter: ``, tolerant: bad, strict: bad},
		{name: "something behind the end", filter: `title pr x`, tolerant: bad, strict: bad},

		{name: "and before or, behind it", filter: `userName eq "per" or title pr and active eq false`, tolerant: "per", strict: "per"},
		{name: "and before or, before it", filter: `title pr and active eq false or userName eq "per"`, tolerant: "per", strict: "per"},
		{name: "grouping", filter: `(userName eq "per" or title pr) and active eq true`, tolerant: "ida", strict: "ida"},
		{name: "grouping in grouping", filter: `((userName eq "per") or ((title pr)))`, tolerant: "ida per", strict: "ida per"},
		{name: "not", filter: `not (title pr)`, tolerant: "per", strict: "per"},
		{name: "not before and", filter: `not (title pr) and userName pr`, tolerant: "per", strict: "per"},
		{name: "not of not", filter: `not (not (title pr))`, tolerant: "ida", strict: "ida"},
		{name: "not without parentheses", filter: `not title pr`, tolerant: bad, strict: bad},
		{name: "parenthesis that is not closed", filter: `(title pr`, tolerant: bad, strict: bad},

		{name: "any element of a list", filter: `emails.type eq "home" and emails.value sw "a"`, tolerant: "ida", strict: "ida"},
		{name: "one element of a list", filter: `emails[type eq "home" and value sw "a"]`, tolerant: "", strict: ""},
		{name: "not, or and grouping within brackets", filter: `emails[not (type eq "work") and (value sw "c" or primary eq true)]`, tolerant: "per", strict: "per"},
		{name: "two brackets", filter: `emails[type eq "work"] and emails[type eq "home"]`, tolerant: "ida", strict: "ida"},
		{name: "list of strings", filter: `M:texts eq "RED"`, tolerant: "ida", strict: "ida"},
		{name: "complex list stands for its value", filter: `emails co "@y"`, tolerant: "per", strict: "per"},
		{name: "brackets in brackets", filter: `emails[value[type pr]]`, tolerant: bad, strict: bad},
		{name: "single complex stands for its value", filter: `E:manager eq "M1"`, tolerant: "ida", strict: bad, needs: "Entra (reference checks: manager eq)"},
		{name: "complex without a value", filter: `name eq "Ida"`, tolerant: bad, strict: bad},
		{name: "part behind brackets", filter: `emails[type eq "work"].value eq "a@x"`, tolerant: "ida", strict: bad, needs: "Entra (matching attribute emails[type eq \"work\"].value)"},

		{name: "URN of the core schema", filter: `U:userName eq "ida"`, tolerant: "ida", strict: "ida"},
		{name: "URN of an extension", filter: `E:employeeNumber eq "7"`, tolerant: "ida", strict: "ida"},
		{name: "$ref", filter: `E:manager.$ref ew "M1"`, tolerant: "ida", strict: "ida"},
		{name: "common attribute", filter: `externalId eq "X-1" and meta.resourceType eq "User"`, tolerant: "ida", strict: "ida"},

		{name: "case does not count", filter: `userName eq "IDA"`, tolerant: "ida", strict: "ida"},
		{name: "case counts where it is exact", filter: `M:exact eq "abc" or externalId eq "x-1"`, tolerant: "", strict: ""},
		{name: "escapes", filter: `nickName eq "a \"b\" \\ \u00e9"`, tolerant: "per", strict: "per"},
		{name: "escape that is none", filter: `nickName eq "\x"`, tolerant: bad, strict: bad},
		{name: "brackets and words within a value", filter: `title eq "a and b] or (c)"`, tolerant: "", strict: ""},

		{name: "number", filter: `M:whole gt 9`, tolerant: "ida", strict: "ida"},
		{name: "number with other digits", filter: `M:real eq 15e-1`, tolerant: "ida", strict: "ida"},
		{name: "negative number", filter: `M:real lt -1.99`, tolerant: "per", strict: "per"},
		{name: "part of a number", filter: `M:whole co 1`, tolerant: bad, strict: bad},
		{name: "number in quotes", filter: `M:whole gt "9"`, tolerant: "ida", strict: bad, needs: "Entra (numbers as strings)"},
		{name: "number for a string", filter: `E:employeeNumber eq 7`, tolerant: "ida", strict: bad, needs: "Microsoft's collection (values without quotes)"},
		{name: "boolean", filter: `active eq true`, tolerant: "ida", strict: "ida"},
		{name: "boolean in quotes", filter: `roles[primary eq "True"]`, tolerant: "ida", strict: bad, needs: "Entra (app roles)"},
		{name: "boolean in another case", filter: `active eq True`, tolerant: "ida", strict: bad, needs: "clients that print booleans as Python and C# do"},
		{name: "boolean that is greater", filter: `active gt false`, tolerant: bad, strict: bad},
		{name: "boolean at least", filter: `active ge false`, tolerant: bad, strict: bad},
		{name: "boolean that is less", filter: `active lt true`, tolerant: bad, strict: bad},
		{name: "boolean at most", filter: `active le true`, tolerant: bad, strict: bad},
		{name: "binary", filter: `M:bytes eq "TQ=="`, tolerant: "ida", strict: "ida"},
		{name: "binary that is greater", filter: `M:bytes gt "TQ=="`, tolerant: bad, strict: bad},
		{name: "binary at most", filter: `M:bytes le "TQ=="`, tolerant: bad, strict: bad},
		{name: "dateTime by instant", filter: `M:when eq "2020-02-29T10:00:00Z"`, tolerant: "ida", strict: "ida"},
		{name: "dateTime at the end of a day", filter: `M:when eq "2020-02-29T00:00:00Z"`, tolerant: "per", strict: "per"},
		{name: "dateTime in order", filter: `M:when lt "2020-02-29T09:59:59.999Z"`, tolerant: "per", strict: "per"},
		{name: "dateTime that is none", filter: `M:when gt "yesterday"`, tolerant: bad, strict: bad},
		{name: "null", filter: `title eq null`, tolerant: "per", strict: "per"},
		{name: "not null", filter: `title ne null`, tolerant: "ida", strict: "ida"},
		{name: "greater than null", filter: `title gt null`, tolerant: bad, strict: bad},
		{name: "value without quotes", filter: `userName sw Id`, tolerant: "ida", strict: bad, needs: "Microsoft's collection"},
		{name: "value in single quotes", filter: `userName sw 'Id' and title ne 'it's (so) ] '`, tolerant: "ida", strict: bad, needs: "clients that quote as SQL does"},
		{name: "null in single quotes", filter: `title eq 'null'`, tolerant: "", strict: bad, needs: "clients that quote as SQL does"},
		{name: "boolean in single quotes", filter: `active eq 'true'`, tolerant: "ida", strict: bad, needs: "clients that quote as SQL does"},
		{name: "backslash in single quotes", filter: `userName sw 'Id\' or active eq 'true'`, tolerant: bad, strict: bad},
		{name: "two single quotes for one", filter: `title ne 'it''s' or active eq 'true'`, tolerant: bad, strict: bad},
		{name: "single quote that is not closed", filter: `userName sw 'Id`, tolerant: "", strict: bad, needs: "Microsoft's collection (values without quotes)"},
		{name: "dateTime without quotes", filter: `meta.created gt 2015-10-10T14:38:21.8617979-07:00`, tolerant: "ida per", strict: bad, needs: "Microsoft's collection"},
		{name: "null in another case", filter: `title eq Null`, tolerant: "", strict: bad, needs: "Microsoft's collection (values without quotes)"},
	} {
		if (row.needs != "") != (row.tolerant != row.strict) {
			t.Errorf("%s: a client is named exactly where the modes differ", row.name)
		}
		m.run(t, "7644-3.4.2.2 "+row.name, func(t *testing.T, a *tenant, strict bool) {
			want := row.tolerant
			if strict {
				want = row.strict
			}
			got := a.requestAs(t, "GET", filtered("/Users", matrixWords.Replace(row.filter)), nil)
			if want == bad {
				got.want(400, bad)
			} else if names := strings.Join(got.want(200).values("userName", "Resources"), " "); names != want {
				got.errorf("%q finds %q, want %q", row.filter, names, want)
			}
		})
	}
}

// leaves lists what a resource holds, as paths: the elements of a list together.
func leaves(v any, at string, into map[string]bool) {
	switch v := v.(type) {
	case object:
		for name, inner := range v {
			switch name {
			case matrixURN:
				name = "M"
			case needyURN:
				name = "N"
			}
			leaves(inner, strings.TrimPrefix(at+"."+name, "."), into)
		}
	case []any:
		for _, e := range v {
			leaves(e, at, into)
		}
	default:
		into[at] = true
	}
}

// TestMatrixProjections: what attributes and excludedAttributes leave of a resource (RFC 7644 section 3.9), the same in the
// answers of every verb and in lists.
func TestMatrixProjections(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	const members = `"title":"T","name":{"givenName":"G","familyName":"F"},"emails":[{"value":"a@x","type":"work"},{"value":"b@x","type":"home","display":"B"}],"M":{"text":"a","shown":"s","part":{"text":"p","flag":true}}`
	const all = "M.part.flag M.part.text M.shown M.text active emails.display emails.type emails.value id meta.created meta.lastModified meta.location meta.resourceType meta.version " +
		"name.familyName name.givenName schemas title userName"
	const always = "M.shown id schemas"
	without := func(gone ...string) string {
		return strings.Join(slices.DeleteFunc(strings.Fields(all), func(s string) bool {
			return slices.ContainsFunc(gone, func(g string) bool { return s == g || strings.HasPrefix(s, g+".") })
		}), " ")
	}
	with := func(more ...string) string {
		list := append(strings.Fields(always), more...)
		slices.Sort(list)
		return strings.Join(list, " ")
	}
	for _, row := range []struct{ name, attributes, excluded, want, strict, needs string }{
		{name: "neither", want: all},
		{name: "one attribute", attributes: "title", want: with("title")},
		{name: "in any case", attributes: "TITLE, Name.GivenName", want: with("title", "name.givenName")},
		{name: "with the core URN", attributes: "U:title", want: with("title")},
		{name: "part", attributes: "name.givenName", want: with("name.givenName")},
		{name: "part of elements", attributes: "emails.value", want: with("emails.value")},
		{name: "elements by filter", attributes: `emails[type eq "work"]`, want: with("emails.type", "emails.value")},
		{name: "part of elements by filter", attributes: `emails[type eq "home"].display`, want: with("emails.display")},
		{name: "elements by filter without quotes", attributes: `emails[type eq work].value`, want: with("emails.value"), strict: "invalidFilter", needs: "Microsoft's collection (values without quotes)"},
		{name: "attribute of an extension", attributes: "M:text", want: with("M.text")},
		{name: "part of an extension", attributes: "M:part.flag", want: with("M.part.flag")},
		{name: "extension as a whole", attributes: matrixURN, want: with("M.text", "M.part.flag", "M.part.text")},
		{name: "core schema as a whole", attributes: "urn:ietf:params:scim:schemas:core:2.0:User", want: without("M.text", "M.part")},
		{name: "part of meta", attributes: "meta.version", want: with("meta.version")},
		{name: "id alone", attributes: "id", want: always},
		{name: "unknown name", attributes: "nosuch", want: always},
		{name: "unknown name beside a known one", attributes: "nosuch,title,name.nosuch,urn:example:a:b", want: with("title")},
		{name: "without an attribute", excluded: "title", want: without("title")},
		{name: "without a part", excluded: "name.givenName,emails.value", want: without("name.givenName", "emails.value")},
		{name: "without elements by filter", excluded: `emails[type eq "home"]`, want: without("emails.display")},
		{name: "without an extension", excluded: matrixURN, want: without("M.text", "M.part")},
		{name: "without a part of meta", excluded: "meta.location", want: without("meta.location")},
		{name: "without meta", excluded: "meta", want: without("meta")},
		{name: "not without what is always returned", excluded: "id,schemas,M:shown", want: all},
		{name: "without an unknown name", excluded: "nosuch", want: all},
		{name: "both", attributes: "title", excluded: "name", want: "invalidValue"},
		{name: "bracket that is not closed", attributes: `emails[type eq "work"`, want: "invalidFilter"},
	} {
		if (row.needs != "") != (row.strict != "") {
			t.Errorf("%s: a client is named exactly where the modes differ", row.name)
		}
		m.run(t, "7644-3.9 "+row.name, func(t *testing.T, a *tenant, strict bool) {
			want := row.want
			if strict && row.strict != "" {
				want = row.strict
			}
			body, name := m.object(members)
			path := "/Users/" + a.requestAs(t, "POST", "/Users", body).want(201).id()
			query := url.Values{}
			for param, value := range map[string]string{"attributes": row.attributes, "excludedAttributes": row.excluded} {
				if value != "" {
					query.Set(param, matrixWords.Replace(value))
				}
			}
			another := maps.Clone(body)
			another["userName"] = m.unique("another")
			for way, got := range map[string]*answer{
				"GET":   a.requestAs(t, "GET", path+"?"+query.Encode(), nil),
				"list":  a.requestAs(t, "GET", filtered("/Users", `userName eq "`+name+`"`)+"&"+query.Encode(), nil),
				"POST":  a.requestAs(t, "POST", "/Users?"+query.Encode(), another),
				"PUT":   a.requestAs(t, "PUT", path+"?"+query.Encode(), body),
				"PATCH": a.requestAs(t, "PATCH", path+"?"+query.Encode(), m.operations(`[{"op":"add","path":"title","value":"T"}]`)),
			} {
				if strings.HasPrefix(want, "invalid") {
					got.want(400, want)
					continue
				}
				doc := got.doc
				if way == "list" {
					doc = got.at("Resources", 0)
				}
				seen := map[string]bool{}
				leaves(doc, "", seen)
				if have := strings.Join(slices.Sorted(maps.Keys(seen)), " "); have != want {
					got.errorf("%s holds\n%s, want\n%s", way, have, want)
				}
			}
			if strings.HasPrefix(want, "invalid") {
				a.requestAs(t, "GET", filtered("/Users", fmt.Sprintf(`userName eq "%s"`, another["userName"])), nil).is("0", "totalResults")
			}
		})
	}
}

// TestReturnedOnRequest: an attribute with returned "request" is in an answer where it is asked for, and in that to a write
// which held it (RFC 7643 section 7).
func TestReturnedOnRequest(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	for _, mode := range []string{"tolerant", "strict"} {
		a := m.columns[mode]
		ext := `"M":{"text":"a","asked":"x","items":[{"value":"v","note":"n"}]}`
		check := func(what string, got *answer, asked, note string) {
			t.Helper()
			if got.status > 201 || got.fact("M.asked") != asked || got.fact("M.items.0.note") != note {
				got.errorf("%s in %s mode: asked is %s, want %s; note is %s, want %s", what, mode, got.fact("M.asked"), asked, got.fact("M.items.0.note"), note)
			}
		}
		body, name := m.object(ext)
		made := a.request("POST", "/Users", body)
		check("POST", made, `"x"`, `"n"`)
		path := "/Users/" + made.id()
		check("GET", a.get(path), "-", "-")
		check("GET that asks", a.get(path+"?attributes="+url.QueryEscape(matrixWords.Replace("M:asked,M:items.note"))), `"x"`, `"n"`)
		check("GET that excludes something", a.get(path+"?excludedAttributes=title"), "-", "-")
		list := a.get(filtered("/Users", `userName eq "`+name+`"`))
		list.doc = list.at("Resources", 0)
		check("list", list, "-", "-")
		check("PUT", a.request("PUT", path, body), `"x"`, `"n"`)
		check("PUT that excludes it", a.request("PUT", path+"?excludedAttributes="+url.QueryEscape(matrixWords.Replace("M:asked")), body), "-", `"n"`)
		check("PUT that asks for another", a.request("PUT", path+"?attributes=title", body), "-", "-")
		check("PATCH of another", a.request("PATCH", path, m.operations(`[{"op":"add","path":"title","value":"T"}]`)), "-", "-")
		check("PATCH by path", a.request("PATCH", path, m.operations(`[{"op":"add","path":"M:asked","value":"y"}]`)), `"y"`, "-")
		check("PATCH by a filter", a.request("PATCH", path, m.operations(`[{"op":"add","path":"M:items[value eq \"v\"].note","value":"o"}]`)), "-", `"o"`)
		check("PATCH of an element", a.request("PATCH", path, m.operations(`[{"op":"replace","path":"M:items","value":[{"value":"v","note":"p"}]}]`)), "-", `"p"`)
		check("PATCH without a path", a.request("PATCH", path, m.operations(`[{"op":"add","value":{"M":{"asked":"z"}}}]`)), `"z"`, "-")
		check("GET after all", a.get(path), "-", "-")
	}
}

// TestPatchThatAsks: a PATCH with attributes is answered with them, whatever the tenant's answer is otherwise (RFC 7644
// section 3.5.2).
func TestPatchThatAsks(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	a := m.columns["tolerant"]
	a.set(func(r *directory.Tenant) { r.SCIM.UserPatchNoContent = true })
	body, _ := m.object(`"title":"T"`)
	user := a.request("POST", "/Users", body).want(201).id()
	change := m.operations(`[{"op":"add","path":"nickName","value":"Nick"}]`)
	a.request("PATCH", "/Users/"+user, change).want(204)
	got := a.request("PATCH", "/Users/"+user+"?attributes=nickName", change).want(200)
	got.is("Nick", "nickName")
	got.is("", "title")
	group := a.group("crew", "", user)
	rename := m.operations(`[{"op":"replace","path":"displayName","value":"deck"}]`)
	a.request("PATCH", "/Groups/"+group, rename).want(204)
	got = a.request("PATCH", "/Groups/"+group+"?attributes=displayName,members.value", rename).want(200)
	got.is("deck", "displayName")
	got.is(`[{"value":"`+user+`"}]`, "members")
	a.request("PATCH", "/Groups/"+group+"?excludedAttributes=members", rename).want(204)
}
