package entrasim

import (
	"errors"
	"fmt"
	"strings"
)

// filter is a $filter expression: conditions that must all hold. Of OData's grammar it has what Graph answers without
// advanced queries: eq, in and startswith, joined by and. Strings are compared in any case, as Graph does.
type filter []condition

type condition struct {
	property string
	prefix   bool // startswith; else one of values must be equal
	values   []string
	truth    *bool // for accountEnabled
}

// texts are the properties of type string that can be filtered.
var texts = map[string]func(entry) (string, bool){
	"id": func(e entry) (string, bool) {
		switch {
		case e.user != nil:
			return e.user.ID, true
		case e.group != nil:
			return e.group.ID, true
		}
		return e.device, true
	},
	"displayName": func(e entry) (string, bool) {
		switch {
		case e.user != nil:
			return e.user.DisplayName, true
		case e.group != nil:
			return e.group.DisplayName, true
		}
		return "", false
	},
	"userPrincipalName": func(e entry) (string, bool) { return userOnly(e, func(u *User) string { return u.UserPrincipalName }) },
	"mail":              func(e entry) (string, bool) { return userOnly(e, func(u *User) string { return u.Mail }) },
	"userType":          func(e entry) (string, bool) { return userOnly(e, func(u *User) string { return string(u.UserType) }) },
}

func userOnly(e entry, get func(*User) string) (string, bool) {
	if e.user == nil {
		return "", false
	}
	return get(e.user), true
}

func (f filter) apply(entries []entry) []entry {
	var out []entry
	for _, e := range entries {
		if f.holds(e) {
			out = append(out, e)
		}
	}
	return out
}

func (f filter) holds(e entry) bool {
	for _, c := range f {
		if !c.holds(e) {
			return false
		}
	}
	return true
}

func (c condition) holds(e entry) bool {
	if c.truth != nil {
		return e.user != nil && e.user.AccountEnabled == *c.truth
	}
	s, has := texts[c.property](e)
	if !has {
		return false
	}
	for _, v := range c.values {
		if c.prefix && len(s) >= len(v) && strings.EqualFold(s[:len(v)], v) || !c.prefix && strings.EqualFold(s, v) {
			return true
		}
	}
	return false
}

// filterParser reads tokens off the front of what is left.
type filterParser struct{ rest string }

func parseFilter(s string) (filter, error) {
	p := &filterParser{s}
	var f filter
	for {
		c, err := p.condition()
		if err != nil {
			return nil, err
		}
		f = append(f, c)
		switch word := p.word(); {
		case word == "" && strings.TrimSpace(p.rest) == "":
			return f, nil
		case word != "and":
			return nil, fmt.Errorf("%q", word+p.rest)
		}
	}
}

// word takes a name or an operator.
func (p *filterParser) word() string {
	p.rest = strings.TrimLeft(p.rest, " ")
	end := 0
	for end < len(p.rest) && (p.rest[end] >= 'a' && p.rest[end] <= 'z' || p.rest[end] >= 'A' && p.rest[end] <= 'Z') {
		end++
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	return word
}

// mark takes a punctuation mark, if it is next.
func (p *filterParser) mark(m string) bool {
	rest, ok := strings.CutPrefix(strings.TrimLeft(p.rest, " "), m)
	if ok {
		p.rest = rest
	}
	return ok
}

// literal takes a string: '…' with ” for a quotation mark in it.
func (p *filterParser) literal() (string, error) {
	if !p.mark("'") {
		return "", errors.New("a string is missing")
	}
	var b strings.Builder
	for {
		part, rest, ok := strings.Cut(p.rest, "'")
		if !ok {
			return "", errors.New("a string does not end")
		}
		b.WriteString(part)
		p.rest = rest
		if !strings.HasPrefix(rest, "'") {
			return b.String(), nil
		}
		b.WriteByte('\'')
		p.rest = rest[1:]
	}
}

func (p *filterParser) condition() (condition, error) {
	name := p.word()
	if name == "startswith" {
		return p.startsWith()
	}
	c := condition{property: name}
	operator := p.word()
	switch {
	case name == "accountEnabled" && operator == "eq":
		word := p.word()
		truth := word == "true"
		if !truth && word != "false" {
			return c, fmt.Errorf("accountEnabled eq %q", word)
		}
		c.truth = &truth
		return c, nil
	case texts[name] == nil:
		return c, fmt.Errorf("property %q", name)
	case operator == "eq":
		v, err := p.literal()
		c.values = []string{v}
		return c, err
	case operator == "in":
		return p.in(c)
	}
	return c, fmt.Errorf("operator %q", operator)
}

func (p *filterParser) in(c condition) (condition, error) {
	if !p.mark("(") {
		return c, errors.New("in without a list")
	}
	for {
		v, err := p.literal()
		if err != nil {
			return c, err
		}
		c.values = append(c.values, v)
		switch {
		case p.mark(")"):
			return c, nil
		case !p.mark(","):
			return c, errors.New("a list does not end")
		}
	}
}

func (p *filterParser) startsWith() (condition, error) {
	c := condition{prefix: true}
	if !p.mark("(") {
		return c, errors.New("startswith without arguments")
	}
	c.property = p.word()
	if texts[c.property] == nil || c.property == "id" {
		return c, fmt.Errorf("startswith on property %q", c.property)
	}
	if !p.mark(",") {
		return c, errors.New("startswith without a text")
	}
	v, err := p.literal()
	if err != nil {
		return c, err
	}
	if !p.mark(")") {
		return c, errors.New("startswith does not end")
	}
	c.values = []string{v}
	return c, nil
}
