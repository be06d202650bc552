package reader

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// Source of both: Microsoft Graph, "JSON batching" and "checkMemberGroups".
const (
	batchSize   = 20 // requests in a batch
	checkGroups = 20 // groups in a request
)

// confirm first asks who is there, and then for the groups of those who are.
func (s *Source) confirm(ctx context.Context, o *operation, people []directory.ID, groups []string) ([]pull.Confirmation, error) {
	groups, err := distinct(groups)
	if err != nil {
		return nil, err
	}
	answers := make([]pull.Confirmation, len(people))
	var users, checks []*item
	for i, id := range people {
		answers[i].ID = id
		users = append(users, s.userItem(&answers[i]))
	}
	if err := s.batches(ctx, o, users); err != nil {
		return nil, err
	}
	for i := range answers {
		if answers[i].Found {
			for some := range slices.Chunk(groups, checkGroups) {
				checks = append(checks, s.groupsItem(&answers[i], some))
			}
		}
	}
	if err := s.batches(ctx, o, checks); err != nil {
		return nil, err
	}
	return answers, nil
}

// distinct checks the ids of groups and leaves out those that are there twice.
func distinct(groups []string) ([]string, error) {
	seen := make(map[directory.ID]bool, len(groups))
	var out []string
	for _, g := range groups {
		id, ok := parseID([]byte(g))
		if !ok {
			return nil, notGroupID(g)
		}
		if !seen[id] {
			out = append(out, g)
		}
		seen[id] = true
	}
	return out, nil
}

// item is one request of a batch.
type item struct {
	query   Query
	body    any // of a POST
	purpose purpose
	take    func(a *Answer) error // what becomes of an answer that is neither a failure nor temporary
	tries   int
}

// userItem asks whether a person is there. Only an answer that says so in Graph's own words is an absence.
func (s *Source) userItem(c *pull.Confirmation) *item {
	p := purpose{what: "user " + c.ID.String(), permission: readUsers}
	return &item{
		query: Query{Op: OpUser, ID: c.ID.String()}, purpose: p,
		take: func(a *Answer) error {
			if absent(a) {
				return nil
			}
			if a.Status != http.StatusOK {
				return describe(a, p)
			}
			return decode(a, p, func() error {
				enabled, err := decodeUser(a.Body, c.ID)
				c.Found, c.Enabled = err == nil, enabled
				return err
			})
		},
	}
}

// groupsItem asks which groups a person is in, directly or through others.
func (s *Source) groupsItem(c *pull.Confirmation, groups []string) *item {
	p := purpose{what: "the groups of user " + c.ID.String(), permission: readGroups}
	return &item{
		query: Query{Op: OpCheckGroups, ID: c.ID.String()}, purpose: p,
		body: struct {
			GroupIDs []string `json:"groupIds"`
		}{groups},
		take: func(a *Answer) error {
			if a.Status == http.StatusNotFound {
				return &pull.Error{
					Class:  pull.Unavailable,
					Detail: "a person or a group went away while it was asked for; the next run sees it",
				}
			}
			if a.Status != http.StatusOK {
				return describe(a, p)
			}
			return decode(a, p, func() error { return decodeGroups(a.Body, groups, c) })
		},
	}
}

// batches sends items, 20 at a time, and those again that a later try may answer better.
func (s *Source) batches(ctx context.Context, o *operation, items []*item) error {
	for len(items) > 0 {
		n := min(len(items), batchSize)
		late, wait, err := s.batch(ctx, o, items[:n])
		if err != nil {
			return err
		}
		items = append(late, items[n:]...)
		if len(late) > 0 {
			if err := o.pause(ctx, wait); err != nil {
				return err
			}
		}
	}
	return nil
}

// batch sends one batch. It returns the items that have to be asked for once more, and how long to wait
// before that.
func (s *Source) batch(ctx context.Context, o *operation, items []*item) (late []*item, wait time.Duration, err error) {
	p := purpose{what: "a batch", permission: readUsers}
	body, err := s.batchBody(ctx, items)
	if err != nil {
		return nil, 0, err
	}
	a, err := s.askFor(ctx, o, Query{Op: OpBatch, Body: body}, p, len(items))
	if err != nil {
		return nil, 0, err
	}
	var replies []Answer
	err = decode(a, p, func() (err error) {
		replies, err = decodeBatch(a.Body, len(items))
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	for i, it := range items {
		r := &replies[i]
		it.tries++
		d, again := o.again(ctx, r, nil, it.tries)
		switch {
		case again:
			late = append(late, it)
			wait = max(wait, d)
			o.charge(pull.Meter{Retries: 1})
		case temporaryStatus(r.Status):
			err = o.check(r, it.purpose)
		default:
			err = it.take(r)
		}
		if err != nil {
			return nil, 0, itemError(err, r, a)
		}
	}
	return late, wait, nil
}

// itemError adds to the error of an item what tells where it comes from.
func itemError(err error, r, batch *Answer) error {
	if e, ok := err.(*pull.Error); ok { //nolint:errorlint // made here, not wrapped
		e.Status = r.Status
		if e.RequestID == "" {
			e.RequestID = requestID(batch.Header)
		}
	}
	return err
}

func (s *Source) batchBody(ctx context.Context, items []*item) ([]byte, error) {
	type request struct {
		ID      string            `json:"id"`
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers,omitempty"`
		Body    any               `json:"body,omitempty"`
	}
	var b struct {
		Requests []request `json:"requests"`
	}
	for i, it := range items {
		path, err := s.requests.Path(ctx, it.query)
		if err != nil {
			return nil, err
		}
		r := request{ID: strconv.Itoa(i), Method: http.MethodGet, URL: path}
		if it.body != nil {
			r.Method, r.Body = http.MethodPost, it.body
			r.Headers = map[string]string{"Content-Type": "application/json"}
		}
		if it.query.Op == OpMember { // Graph filters members with that alone
			r.Headers = map[string]string{"ConsistencyLevel": "eventual"}
		}
		b.Requests = append(b.Requests, r)
	}
	return json.Marshal(b)
}

// decodeBatch reads the answers to n requests with the ids 0 to n-1: each of them once, in any order.
func decodeBatch(body []byte, n int) ([]Answer, error) {
	replies := make([]Answer, n)
	answered := 0
	reply := func(s *scanner) error {
		id, a, err := decodeReply(s)
		switch {
		case err != nil:
			return err
		case id < 0 || id >= n:
			return s.fail("an answer to a request that was not made")
		case replies[id].Status != 0:
			return s.fail("two answers to request %d", id)
		}
		replies[id] = a
		answered++
		return nil
	}
	s, err := whole(body, func(s *scanner, key string) error {
		if key != "responses" {
			return s.skip(1)
		}
		return s.elements(func() error { return reply(s) })
	})
	if err == nil && answered != n {
		err = s.fail("%d answers to %d requests", answered, n)
	}
	return replies, err
}

// decodeReply reads the answer to one request of a batch. A negative id is none of ours.
func decodeReply(s *scanner) (id int, a Answer, err error) {
	id = -1
	err = s.fields(func(key string) (err error) {
		switch key {
		case "id":
			id, err = s.requestNumber()
		case "status":
			a.Status, err = s.number()
		case "headers":
			a.Header, err = s.headers()
		case "body":
			s.peek()
			start := s.at
			err = s.skip(2)
			a.Body = s.body[start:s.at]
		default:
			err = s.skip(2)
		}
		return err
	})
	if err == nil && (a.Status < 100 || a.Status > 999) {
		err = s.fail("an answer with status %d", a.Status)
	}
	return id, a, err
}

// requestNumber takes the id of a request as batchBody writes it, -1 for any other.
func (s *scanner) requestNumber() (int, error) {
	text, err := s.string()
	n, e := strconv.Atoi(text)
	if e != nil || strconv.Itoa(n) != text {
		n = -1
	}
	return n, err
}

// headers takes the headers of an answer in a batch: an object of texts, or of numbers where a service
// takes Retry-After for one.
func (s *scanner) headers() (http.Header, error) {
	h := make(http.Header)
	if null, err := s.null(); null || err != nil {
		return h, err
	}
	return h, s.fields(func(key string) (err error) {
		var value string
		if s.peek() == '"' {
			value, err = s.string()
		} else {
			start := s.at
			err = s.skip(3)
			value = string(s.body[start:s.at])
		}
		h.Add(key, value)
		return err
	})
}

// decodeUser reads whether the account of a user is enabled.
func decodeUser(body []byte, want directory.ID) (enabled bool, err error) {
	var u user
	s, err := whole(body, func(s *scanner, key string) error { return u.field(s, key) })
	switch {
	case err != nil:
		return false, err
	case u.id != want:
		return false, s.fail("it is of user %s, not %s", u.id, want)
	case !u.told:
		return false, notTold(want)
	}
	return u.enabled, nil
}

// user is what a point read asks of a user.
type user struct {
	id      directory.ID
	enabled bool
	told    bool // accountEnabled was there, and not null
}

func (u *user) field(s *scanner, key string) (err error) {
	switch key {
	case "id":
		u.id, err = s.id()
	case "accountEnabled":
		u.enabled, u.told, err = s.enabled()
	default:
		err = s.skip(1)
	}
	return err
}

// decodeGroups reads which of the groups asked for a person is in.
func decodeGroups(body []byte, asked []string, c *pull.Confirmation) error {
	there := false
	s, err := whole(body, func(s *scanner, key string) error {
		if key != "value" {
			return s.skip(1)
		}
		there = true
		return s.elements(func() error { return s.groupOf(asked, c) })
	})
	if err == nil && !there {
		err = s.fail("it has no list")
	}
	return err
}

// groupOf takes one group that a person is in.
func (s *scanner) groupOf(asked []string, c *pull.Confirmation) error {
	id, err := s.id()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(asked, func(g string) bool { return strings.EqualFold(g, id.String()) })
	switch {
	case i < 0:
		return s.fail("group %s was not asked for", id)
	case slices.Contains(c.Groups, asked[i]):
		return s.fail("group %s is there twice", id)
	}
	c.Groups = append(c.Groups, asked[i])
	return nil
}
