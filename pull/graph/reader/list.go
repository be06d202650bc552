package reader

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// Properties is what a list of members selects: all that a pull.Person has.
var Properties = []string{
	"id", "userPrincipalName", "displayName", "givenName", "surname", "mail", "preferredLanguage", "userType", "accountEnabled",
}

// maxPages bounds a list: ten million members.
const maxPages = 10_000

// list takes the pages of one list of members apart, and keeps what tells whether they are all of it.
type list struct {
	base  *url.URL // of Graph, such as https://graph.microsoft.com/v1.0
	group string
	pages int
	count int // @odata.count of the first page, negative when it has none
	seen  map[directory.ID]struct{}
	links map[string]struct{}
	found pull.Listing // without the Meter

	people []pull.Person // of the page in hand
	words  []byte        // the texts of the person in hand
}

func newList(base *url.URL, group string) *list {
	return &list{
		base: base, group: group, count: -1,
		seen: make(map[directory.ID]struct{}), links: make(map[string]struct{}),
	}
}

// rows is the number of members seen, of every type.
func (l *list) rows() int { return len(l.seen) }

// add takes the next page. The people are those of this page; the slice is used again, the texts are
// not. next is the address of the page after it, empty when this was the last. Errors: *pull.Error.
func (l *list) add(body []byte) (people []pull.Person, next string, err error) {
	l.pages++
	l.people = l.people[:0]
	p, err := l.page(body)
	if err == nil {
		err = l.follow(p.next)
	}
	if err != nil {
		return nil, "", l.refuse(err, body)
	}
	if l.pages == 1 {
		l.count = p.count
	}
	return l.people, p.next, nil
}

// page is what a page says besides its members.
type page struct {
	count int // negative: not told
	next  string
	value bool
}

func (l *list) page(body []byte) (page, error) {
	p := page{count: -1}
	s, err := whole(body, func(s *scanner, key string) (err error) {
		switch key {
		case "value":
			p.value = true
			err = s.elements(func() error { return l.member(s) })
		case "@odata.count":
			p.count, err = s.number()
		case "@odata.nextLink":
			if p.next, err = s.string(); err == nil && p.next == "" {
				err = s.fail("the address of the next page is empty")
			}
		case "error":
			err = errors.New("it is an error, with the status of a good answer")
		default:
			err = s.skip(1)
		}
		return err
	})
	if err == nil && !p.value {
		err = s.fail("it has no list")
	}
	return p, err
}

// follow checks the address of the next page: on the same host, below the same version, of the same
// group, and not one that was read already.
func (l *list) follow(next string) error {
	if next == "" {
		return nil
	}
	u, err := url.Parse(next)
	switch {
	case err != nil:
		return errors.New("the address of the next page is none")
	case u.Scheme != l.base.Scheme || u.Host != l.base.Host || u.User != nil || u.Opaque != "":
		return fmt.Errorf("the next page is at %.100s, not at %s", u.Scheme+"://"+u.Host, l.base.Host)
	case u.Fragment != "" || !strings.HasPrefix(u.EscapedPath(), l.base.EscapedPath()+"/groups") ||
		strings.Contains(u.Path, "/..") || !strings.Contains(strings.ToLower(u.Path), strings.ToLower(l.group)):
		return fmt.Errorf("the next page is %.200s, not one of the same list", u.EscapedPath())
	case l.pages == maxPages:
		return fmt.Errorf("there are more than %d pages", maxPages)
	}
	if _, ok := l.links[next]; ok {
		return errors.New("the next page is one that was read already")
	}
	l.links[next] = struct{}{}
	return nil
}

// refuse makes the error of a page that cannot be believed.
func (l *list) refuse(err error, body []byte) error {
	var e *pull.Error
	if errors.As(err, &e) {
		return e
	}
	return &pull.Error{
		Class: pull.Malformed,
		Detail: fmt.Sprintf("page %d of the members of group %s is not as documented, so nothing of the list is used",
			l.pages, l.group),
		Status: 200,
		Code:   errorCode(body),
		Err:    err,
	}
}

// The texts of a member, in the order in which they are kept.
const (
	userPrincipalName = iota
	displayName
	givenName
	surname
	mail
	preferredLanguage
	userType
	texts
)

// member is a member as it stands in a page.
type member struct {
	kind    string
	id      directory.ID
	texts   [texts]text
	enabled bool
	told    bool // of enabled: there, and not null
}

// text is a text as it stands in a page.
type text struct {
	raw     []byte
	there   bool
	null    bool
	escaped bool
}

func (l *list) member(s *scanner) error {
	var m member
	o, err := s.open()
	if err != nil {
		return err
	}
	for {
		key, ok, err := s.next(o)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if err := m.property(s, key); err != nil {
			return err
		}
	}
	if m.id.IsZero() {
		return s.fail("a member has no id")
	}
	if _, ok := l.seen[m.id]; ok {
		return s.fail("member %s is there twice", m.id)
	}
	l.seen[m.id] = struct{}{}
	switch m.kind {
	case "#microsoft.graph.user":
		p, err := l.person(s, &m)
		if err != nil {
			return err
		}
		l.people = append(l.people, p)
		l.found.People++
	case "#microsoft.graph.group":
		l.found.Nested = append(l.found.Nested, m.id)
	case "":
		return s.fail("member %s has no type", m.id)
	default:
		l.found.Others++
	}
	return nil
}

func (m *member) property(s *scanner, key []byte) (err error) {
	switch string(key) {
	case "@odata.type":
		m.kind, err = s.kind()
	case "id":
		m.id, err = s.id()
	case "userPrincipalName":
		err = m.texts[userPrincipalName].read(s)
	case "displayName":
		err = m.texts[displayName].read(s)
	case "givenName":
		err = m.texts[givenName].read(s)
	case "surname":
		err = m.texts[surname].read(s)
	case "mail":
		err = m.texts[mail].read(s)
	case "preferredLanguage":
		err = m.texts[preferredLanguage].read(s)
	case "userType":
		err = m.texts[userType].read(s)
	case "accountEnabled":
		m.enabled, m.told, err = s.enabled()
	default:
		err = s.skip(2)
	}
	return err
}

// enabled takes the value of accountEnabled; told is false when it is null.
func (s *scanner) enabled() (enabled, told bool, err error) {
	if null, err := s.null(); null || err != nil {
		return false, false, err
	}
	enabled, err = s.boolean()
	return enabled, err == nil, err
}

// kind takes a type name; the usual ones cost nothing.
func (s *scanner) kind() (string, error) {
	raw, _, err := s.text()
	if string(raw) == "#microsoft.graph.user" {
		return "#microsoft.graph.user", err
	}
	return string(raw), err
}

func (t *text) read(s *scanner) (err error) {
	t.there = true
	if t.null, err = s.null(); err != nil || t.null {
		return err
	}
	if t.raw, t.escaped, err = s.text(); err == nil && len(t.raw) > maxText {
		err = s.fail("a text has more than %d bytes", maxText)
	}
	return err
}

// person makes a Person of a member. Graph answers an application that may read groups but not users
// with members whose properties are null: that is "not told", and never "disabled".
// Source: Microsoft Graph, "Limited information returned for inaccessible member objects".
func (l *list) person(s *scanner, m *member) (pull.Person, error) {
	if name := &m.texts[userPrincipalName]; !m.told || name.null {
		return pull.Person{}, notTold(m.id)
	}
	l.words = l.words[:0]
	var ends [texts]int
	for i := range m.texts {
		t := &m.texts[i]
		if !t.there {
			return pull.Person{}, s.fail("member %s is without %s, which was asked for", m.id, Properties[1+i])
		}
		if t.escaped {
			var err error
			if l.words, err = s.unescape(l.words, t.raw); err != nil {
				return pull.Person{}, err
			}
		} else {
			l.words = append(l.words, t.raw...)
		}
		ends[i] = len(l.words)
	}
	if ends[userPrincipalName] == 0 {
		return pull.Person{}, s.fail("member %s has an empty userPrincipalName", m.id)
	}
	// One string for all of them, for this person alone: whoever keeps the person keeps no page.
	words := string(l.words[:ends[preferredLanguage]])
	return pull.Person{
		ID:                m.id,
		UserPrincipalName: words[:ends[userPrincipalName]],
		DisplayName:       words[ends[userPrincipalName]:ends[displayName]],
		GivenName:         words[ends[displayName]:ends[givenName]],
		Surname:           words[ends[givenName]:ends[surname]],
		Mail:              words[ends[surname]:ends[mail]],
		PreferredLanguage: words[ends[mail]:ends[preferredLanguage]],
		Enabled:           m.enabled,
		Guest:             strings.EqualFold(string(l.words[ends[preferredLanguage]:ends[userType]]), "guest"),
	}, nil
}

// notTold is the error for a person whose properties Graph keeps back.
func notTold(id directory.ID) error {
	return &pull.Error{
		Class: pull.Permission,
		Detail: "Microsoft Graph does not tell the properties of users: the application lacks User.Read.All; " +
			grant("User.Read.All"),
		Status: 200,
		Err:    fmt.Errorf("user %s comes without accountEnabled or userPrincipalName", id),
	}
}

// grant says how an application gets a permission.
func grant(permission string) string {
	return "add the application permission " + permission +
		" to it in the Microsoft Entra admin center (App registrations, API permissions, Microsoft Graph) and grant admin consent"
}
