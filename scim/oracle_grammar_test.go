package scim

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	parser "github.com/scim2/filter-parser/v2"
)

// How many texts are read as filters and as paths.
const grammarQuestions = 10000

// bend changes a text at one or two places, so that it may or may not be right.
func (d dice) bend(s string) string {
	for range d.IntN(3) {
		at := d.IntN(len(s) + 1)
		switch d.IntN(6) {
		case 0: // away with a character
			s = s[:max(0, at-1)] + s[at:]
		case 1: // twice
			s = s[:at] + s[max(0, at-1):]
		case 2: // another one
			s = s[:at] + string(pick(d, []rune(` ()[]".:\,$-_19eéA`)...)) + s[at:]
		case 3: // away with a word
			words := strings.Split(s, " ")
			words = slices.Delete(words, d.IntN(len(words)), len(words))
			s = strings.Join(words, " ")
		case 4: // a word more
			words := strings.Split(s, " ")
			s = strings.Join(slices.Insert(words, d.IntN(len(words)+1), pick(d, "and", "or", "not", "eq", "NE", "pr", "null", "true", "1.5e2", "-0", "x", `"y"`)), " ")
		case 5:
			s = pick(d, strings.ToUpper(s), " "+s, s+" ", "("+s+")", strings.ReplaceAll(s, " ", "  "))
		}
	}
	return s
}

// grammarRule explains why a text is one thing here and another there.
type grammarRule struct {
	difference
	when func(text string, ours error) bool
}

func textHas(text string, words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
}

var filterGrammarRules = []grammarRule{
	{difference{"filter-parser", "true, false and null in any case"}, func(text string, ours error) bool {
		return ours != nil && strings.Contains(ours.Error(), "the value must be") && textHas(text, "TRUE", "FALSE", "NULL")
	}},
	{difference{"filter-parser", "no schema"}, func(_ string, ours error) bool {
		return ours != nil && textHas(ours.Error(), "unknown attribute", "is expected", "does not fit", "without elements", "needs a sub-attribute", "the value must be") &&
			!textHas(ours.Error(), "value is expected", "operator is expected", "space is expected", "name is expected", "the end is expected")
	}},
	{difference{"filter-parser", "texts that are not UTF-8"}, func(text string, ours error) bool { return ours != nil && !utf8.ValidString(text) }},
	{difference{"filter-parser", "spaces around"}, func(text string, ours error) bool { return ours == nil && strings.TrimSpace(text) != text }},
	{difference{"filter-parser", "no space beside a quote or bracket"}, func(text string, ours error) bool { return ours == nil && closedKeyword.MatchString(text) }},
	{difference{"filter-parser", "words that run together"}, func(text string, ours error) bool { return ours != nil && openKeyword.MatchString(text) }},
	{difference{"filter-parser", "null with other operators"}, func(text string, ours error) bool {
		return ours != nil && strings.Contains(ours.Error(), "null can only be compared")
	}},
}

// closedKeyword finds and or or right behind the end of something, or a text right behind its operator; openKeyword finds and or or
// right before what follows, or right behind pr.
var (
	closedKeyword = regexp.MustCompile(`(?i)["\])](and|or)\b|\b(eq|ne|co|sw|ew|gt|ge|lt|le)"`)
	openKeyword   = regexp.MustCompile(`(?i)\b(pr|and|or)[a-z]`)
)

var pathGrammarRules = []grammarRule{
	{difference{"filter-parser", "spaces around a path"}, func(text string, ours error) bool { return ours == nil && strings.TrimSpace(text) != text }},
	{difference{"filter-parser", "URIs that are not URNs"}, func(text string, ours error) bool {
		name, _, _ := strings.Cut(text, "[")
		return ours != nil && strings.Contains(name, ":") && !strings.HasPrefix(strings.ToLower(name), "urn:")
	}},
	{difference{"filter-parser", "URNs with empty parts"}, func(text string, ours error) bool { return ours != nil && (textHas(text, "..", ":.", ".:")) }},
	{difference{"filter-parser", "dollar signs and underscores in names"}, func(text string, _ error) bool { return strings.ContainsAny(text, "$_") }},
	{difference{"filter-parser", "names behind a URN that is none"}, func(text string, ours error) bool {
		_, known := testUser.lookup(text)
		return ours == nil && !known && strings.HasPrefix(strings.ToLower(text), "urn:")
	}},
	{difference{"filter-parser", "brackets behind an unknown name"}, func(text string, ours error) bool {
		name, _, found := strings.Cut(text, "[")
		_, known := testUser.lookup(name)
		return ours == nil && found && !known
	}},
	{difference{"filter-parser", "true, false and null in any case"}, func(text string, ours error) bool {
		return ours != nil && strings.Contains(ours.Error(), "the value must be") && textHas(text, "TRUE", "FALSE", "NULL")
	}},
	{difference{"filter-parser", "no space beside a quote or bracket"}, func(text string, ours error) bool { return ours == nil && closedKeyword.MatchString(text) }},
	{difference{"filter-parser", "paths that are not UTF-8"}, func(text string, ours error) bool { return ours != nil && !utf8.ValidString(text) }},
	{difference{"filter-parser", "filters of a path that make no sense"}, func(text string, ours error) bool {
		return ours != nil && strings.Contains(text, "[") && (strings.Contains(ours.Error(), "unknown attribute") || openKeyword.MatchString(text))
	}},
}

// grammar compares who accepts a text and returns the difference that explains it.
func grammar(rules []grammarRule, text string, ours, theirs error) (difference, bool) {
	if (ours == nil) == (theirs == nil) {
		return difference{}, true
	}
	for _, r := range rules {
		if r.when(text, ours) {
			return r.difference, true
		}
	}
	return difference{}, false
}

func TestOracleFilterGrammar(t *testing.T) {
	notInShort(t)
	found, valid, trees := seen{}, 0, 0
	for i := range grammarQuestions {
		d := newDice(uint64(i) + 2<<32)
		text := d.bend(d.filter(1).String())
		f, ours := parseFilter(text, strictUserType, FilterLimits{})
		if tolerant, err := parseFilter(text, testUser, FilterLimits{}); ours == nil && (err != nil || tolerant.String() != f.String()) {
			t.Errorf("%q: strict mode reads %s, tolerant mode %v, %v", text, f, tolerant, err)
		}
		expr, theirs := parser.ParseFilter([]byte(text))
		if ours == nil && theirs == nil {
			valid++
			if want := reference.try(reference{rt: testUser, ok: true}, expr); want != "" {
				trees++
				if got := flat(t, grouped(f, f.root, false), testUser); got != flat(t, want, testUser) {
					t.Errorf("%q\nours   %s\ntheirs %s", text, got, want)
				}
			}
		}
		diff, ok := grammar(filterGrammarRules, text, ours, theirs)
		if !ok {
			t.Errorf("%q\nours   %v\ntheirs %v", text, ours, theirs)
		}
		if diff != (difference{}) {
			found[diff]++
		}
	}
	t.Logf("%d texts, of which both take %d, %d of them compared as trees", grammarQuestions, valid, trees)
	found.check(t, grammarDifferences(filterGrammarRules))
}

func grammarDifferences(rules []grammarRule) (list []difference) {
	for _, r := range rules {
		list = append(list, r.difference)
	}
	return list
}

// path draws a path of a PATCH operation, or of an attribute alone.
func (d dice) path() string {
	a, name := oracleAttribute(pick(d, oracleNames...))
	s := name
	if !strings.Contains(name, ":") && d.one(4) {
		s = UserURN + ":" + name
	}
	if a.MultiValued && d.one(2) {
		s += "[" + d.inner(a).String() + "]"
	}
	if a.Type == TypeComplex && d.one(2) {
		s += "." + pick(d, a.Sub...).Name
	}
	return s
}

func TestOraclePathGrammar(t *testing.T) {
	notInShort(t)
	found, valid := seen{}, 0
	for i := range grammarQuestions {
		d := newDice(uint64(i) + 3<<32)
		text := d.bend(d.path())
		_, ours := parsePath(text, strictUserType, PatchLimits{})
		if _, err := parsePath(text, testUser, PatchLimits{}); ours == nil && err != nil {
			t.Errorf("%q: strict mode takes it, tolerant mode says %v", text, err)
		}
		_, theirs := parser.ParsePath([]byte(text))
		if ours == nil && theirs == nil {
			valid++
		}
		diff, ok := grammar(pathGrammarRules, text, ours, theirs)
		if !ok {
			t.Errorf("%q\nours   %v\ntheirs %v", text, ours, theirs)
		}
		if diff != (difference{}) {
			found[diff]++
		}
	}
	t.Logf("%d texts, of which both take %d", grammarQuestions, valid)
	found.check(t, grammarDifferences(pathGrammarRules))
}

// pathNameRules are for names that scimmy knows otherwise.
var pathNameRules = []grammarRule{
	{difference{"scimmy", "a name of the extension without its URN"}, func(text string, _ error) bool { return strings.EqualFold(text, "department") }},
	{difference{"scimmy", "password"}, func(text string, _ error) bool { return strings.EqualFold(text, "password") }},
}

// Which attribute a path names is what scimmy is asked about.
func TestOraclePathNames(t *testing.T) {
	notInShort(t)
	var paths []string
	var questions []oracleQuestion
	for i := range 3000 {
		d := newDice(uint64(i) + 4<<32)
		a, name := oracleAttribute(pick(d, oracleNames...))
		if !strings.Contains(name, ":") && d.one(3) {
			name = UserURN + ":" + name
		}
		if d.one(2) {
			sub := pick(d, "value", "type", "givenName", "shoe", "VALUE", "display", "country")
			if len(a.Sub) > 0 && d.one(2) {
				sub = pick(d, a.Sub...).Name
			}
			name += "." + sub
		}
		if d.one(8) {
			name = pick(d, "shoe", "id", "meta.created", "schemas", "groups.value", "password", "urn:example:none:title", EnterpriseURN, UserURN,
				EnterpriseURN+":shoe", UserURN+":id", "department")
		}
		if d.one(8) {
			name = strings.ToUpper(name)
		}
		paths = append(paths, name)
		questions = append(questions, oracleQuestion{Lib: "scimmy", Kind: "path", Path: name})
	}
	found, known := seen{}, 0
	for i, r := range ask(t, questions) {
		p, err := parsePath(paths[i], testUser, PatchLimits{})
		ours, theirs := "", ""
		switch {
		case err != nil || p.unknown:
		case p.whole:
			ours = "User"
		case p.ref.attr == nil:
			ours = "EnterpriseUser"
		default:
			ours = p.ref.target().Name
		}
		if r.Error == "" {
			if err := json.Unmarshal(r.Result, &theirs); err != nil {
				t.Fatal(err)
			}
		}
		if ours == theirs {
			if ours != "" {
				known++
			}
			continue
		}
		at := slices.IndexFunc(pathNameRules, func(r grammarRule) bool { return r.when(paths[i], nil) })
		if at < 0 {
			t.Errorf("%s: %q, scimmy %q %s", paths[i], ours, theirs, r.Error)
			continue
		}
		found[pathNameRules[at].difference]++
	}
	t.Logf("%d names, of which both know %d", len(paths), known)
	found.check(t, grammarDifferences(pathNameRules))
}
