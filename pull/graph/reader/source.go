package reader

import (
	"bytes"
	"context"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// Op names a request to Graph.
type Op int

// The requests that are made. Those of one object take Query.ID.
const (
	OpGroup       Op = iota // GET /groups/{id}?$select=id,displayName
	OpGroups                // GET /groups?$select=id&$top=
	OpFindGroups            // GET /groups?$filter=startswith(displayName,'{Text}')&$select=id,displayName&$top=
	OpUser                  // GET /users/{id}?$select=id,accountEnabled
	OpPerson                // GET /users/{id}?$select=Properties
	OpUsers                 // GET /users?$select=id,accountEnabled&$top=
	OpMembers               // GET /groups/{id}/members?$select=Properties&$count=true&$top=
	OpMember                // GET /groups/{id}/members?$filter=id eq '{Member}'&$select=id&$count=true
	OpCount                 // GET /groups/{id}/members/$count
	OpNext                  // GET Query.Link
	OpCheckGroups           // POST /users/{id}/checkMemberGroups
	OpBatch                 // POST /$batch
)

// Query is a request to Graph.
type Query struct {
	Op         Op
	ID         string
	Member     string // of OpMember: object id
	Text       string // of OpFindGroups: as it was typed; see Filter
	Transitive bool   // of OpMembers and OpCount: transitiveMembers instead of members
	Top        int
	Link       string // of OpNext: absolute, on the host of Graph
	Body       []byte // of OpBatch: JSON
}

// Requests makes the requests that a Source sends. OpMembers, OpNext and OpCount ask for eventual
// consistency (header ConsistencyLevel), without which Graph does not count. OpPerson and OpMember are sent in
// a batch alone, which has that header where it is needed.
type Requests interface {
	// Token gets a token, as a request does. Errors: *pull.Error or that of ctx.
	Token(ctx context.Context) error

	// Request makes a request with a token that answers claims (see Build). Errors: as of Token.
	Request(ctx context.Context, claims string, q Query) (*http.Request, error)

	// Path is the address of a request below the version, as a batch has it: /users/...
	Path(ctx context.Context, q Query) (string, error)
}

// Source is a pull.Source and pull.Tester that reads Graph.
//
// Lists are asked for with $count=true and eventual consistency, so that one index answers both the list and the
// count of it, and a list that lacks anything shows. That index may be behind by minutes: it is the reason why the
// reconciler believes in an absence only when it sees it twice and a point read (Confirm), which no index
// answers, agrees. The collection is read as it is, without a cast to users: members of other types are counted and
// left out here, and nested groups are seen.
type Source struct {
	base     *url.URL
	requests Requests
	client   *Client
}

var (
	_ pull.Source = (*Source)(nil)
	_ pull.Tester = (*Source)(nil)
)

// New returns a Source. base is the address of Graph with its version.
func New(base *url.URL, requests Requests, client *Client) *Source {
	return &Source{base: base, requests: requests, client: client}
}

// Permissions that the requests need. Source: Microsoft Graph, "List group members", "List users".
const (
	readGroups = "GroupMember.Read.All"
	readUsers  = "User.Read.All"
	readHidden = "Member.Read.Hidden"
)

// pageSize is the most members that Graph gives at once.
const pageSize = 999

// ask sends a query and returns a good answer.
func (s *Source) ask(ctx context.Context, o *operation, q Query, p purpose) (*Answer, error) {
	return s.askFor(ctx, o, q, p, 1)
}

// askFor is ask for a query that counts for several requests.
func (s *Source) askFor(ctx context.Context, o *operation, q Query, p purpose, items int) (*Answer, error) {
	a, err := o.send(ctx, func(ctx context.Context, claims string) (*http.Request, error) {
		return s.requests.Request(ctx, claims, q)
	}, items)
	if err != nil {
		return nil, err
	}
	if err := o.check(a, p); err != nil {
		return nil, err
	}
	want := "application/json"
	if q.Op == OpCount {
		want = "text/plain"
	}
	kind, params, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if charset := params["charset"]; err != nil || kind != want || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, malformed(a, p, fmt.Errorf("the content type is %.100q, not %s", a.Header.Get("Content-Type"), want))
	}
	return a, nil
}

// malformed is the error for a good answer that cannot be believed.
func malformed(a *Answer, p purpose, err error) error {
	return &pull.Error{
		Class:     pull.Malformed,
		Detail:    fmt.Sprintf("what Microsoft Graph answered to a request for %s is not as documented, so nothing of it is used", p.what),
		Status:    a.Status,
		Code:      errorCode(a.Body),
		RequestID: requestID(a.Header),
		Err:       err,
	}
}

// decode runs a decoder over an answer. A panic in it is an answer that cannot be believed, too.
func decode(a *Answer, p purpose, f func() error) error {
	err := Contain("reading an answer of Microsoft Graph", f)
	switch e := err.(type) { //nolint:errorlint // decoders return their own errors, not wrapped ones
	case nil:
		return nil
	case *pull.Error:
		e.RequestID = requestID(a.Header)
		return e
	default:
		return malformed(a, p, err)
	}
}

// Group reads a group.
func (s *Source) Group(ctx context.Context, id string) (pull.Group, error) {
	return s.group(ctx, s.client.operation(), id)
}

func (s *Source) group(ctx context.Context, o *operation, id string) (pull.Group, error) {
	oid, ok := parseID([]byte(id))
	if !ok {
		return pull.Group{}, notGroupID(id)
	}
	p := purpose{what: "group " + id, permission: readGroups, group: id}
	a, err := s.ask(ctx, o, Query{Op: OpGroup, ID: oid.String()}, p)
	if err != nil {
		return pull.Group{}, err
	}
	g := pull.Group{ID: oid.String()}
	return g, decode(a, p, func() error {
		got, name, err := decodeGroup(a.Body)
		if err == nil && got != oid {
			err = fmt.Errorf("it is of group %s", got)
		}
		g.DisplayName = name
		return err
	})
}

// Members reads the members of a group.
func (s *Source) Members(ctx context.Context, group string, transitive bool, each func(pull.Person) error) (pull.Listing, error) {
	oid, ok := parseID([]byte(group))
	if !ok {
		return pull.Listing{}, notGroupID(group)
	}
	o := s.client.operation()
	l := newList(s.base, oid.String())
	p := purpose{what: "the members of group " + group, permission: readGroups, group: group}
	q := Query{Op: OpMembers, ID: oid.String(), Transitive: transitive, Top: pageSize}
	for q.Op == OpMembers || q.Link != "" {
		people, next, err := s.page(ctx, o, l, q, p)
		if err != nil {
			return pull.Listing{}, err
		}
		for i := range people {
			if err := each(people[i]); err != nil {
				return pull.Listing{}, err
			}
		}
		q = Query{Op: OpNext, Link: next}
		p.further = true
	}
	if err := s.complete(ctx, o, l, transitive, p); err != nil {
		return pull.Listing{}, err
	}
	l.found.Meter = o.meter
	return l.found, nil
}

// page reads one page of a list, all of it before anybody sees any of it: a page that was cut is asked for
// again.
func (s *Source) page(ctx context.Context, o *operation, l *list, q Query, p purpose) (people []pull.Person, next string, err error) {
	a, err := s.ask(ctx, o, q, p)
	if err != nil {
		return nil, "", err
	}
	err = decode(a, p, func() (err error) {
		people, next, err = l.add(a.Body)
		return err
	})
	if err == nil {
		o.charge(pull.Meter{Pages: 1})
	}
	return people, next, err
}

// complete compares what was listed with what Graph counts: as told by the first page or, when that does
// not fit or was not told, by a request of its own, for somebody may have joined or left between two pages.
func (s *Source) complete(ctx context.Context, o *operation, l *list, transitive bool, p purpose) error {
	if l.count == l.rows() {
		return nil
	}
	a, err := s.ask(ctx, o, Query{Op: OpCount, ID: l.group, Transitive: transitive}, p)
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(string(bytes.TrimPrefix(a.Body, []byte("\ufeff"))), 10, 31)
	switch {
	case err != nil:
		return malformed(a, p, fmt.Errorf("the count is %.50q", a.Body))
	case int(n) == l.rows():
		return nil
	case l.rows() == 0:
		return &pull.Error{
			Class: pull.Permission,
			Detail: fmt.Sprintf("group %s has %d members, and Microsoft Graph shows none of them: its membership is hidden; %s",
				l.group, n, grant(readHidden)),
			Status:    a.Status,
			RequestID: requestID(a.Header),
		}
	}
	return malformed(a, p, fmt.Errorf("the list has %d members, and Microsoft Graph counts %d", l.rows(), n))
}

// Confirm asks for each person, and for the groups of those who are there.
func (s *Source) Confirm(ctx context.Context, people []directory.ID, groups []string) ([]pull.Confirmation, error) {
	return s.confirm(ctx, s.client.operation(), people, groups)
}

// Close ends idle connections.
func (s *Source) Close() {
	if t, ok := s.client.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// decodeGroup reads a group.
func decodeGroup(body []byte) (id directory.ID, name string, err error) {
	named := false
	s, err := whole(body, func(s *scanner, key string) (err error) {
		switch key {
		case "id":
			id, err = s.id()
		case "displayName":
			named = true
			var null bool
			if null, err = s.null(); err == nil && !null {
				name, err = s.string()
			}
		default:
			err = s.skip(1)
		}
		return err
	})
	if err == nil && (id.IsZero() || !named) {
		err = s.fail("a group without id or displayName")
	}
	return id, name, err
}
