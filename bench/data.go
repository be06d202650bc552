package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
)

// template is a request whose changing parts are texts of a fixed length, written over marks.
type template struct {
	call
	at map[string][]int // mark -> where it stands in raw
}

// newTemplate makes a template of a request with a body, in which each mark stands as it is.
func (t *tenant) newTemplate(method, path, body string, status int, marks ...string) *template {
	p := &template{at: map[string][]int{}, call: call{status: status, raw: t.request(method, path, body)}}
	for _, m := range marks {
		for i := 0; ; i += len(m) {
			n := bytes.Index(p.raw[i:], []byte(m))
			if n < 0 {
				break
			}
			i += n
			p.at[m] = append(p.at[m], i)
		}
	}
	return p
}

func (p *template) set(mark, text string) {
	for _, i := range p.at[mark] {
		copy(p.raw[i:i+len(mark)], text)
	}
}

// request makes the bytes of a request to the tenant.
func (t *tenant) request(method, path, body string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s /scim/%s/v2%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nAccept: application/scim+json\r\n", method, t.name, path, t.b.server.Address, t.token)
	if body != "" {
		fmt.Fprintf(&b, "Content-Type: application/scim+json; charset=utf-8\r\nContent-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return b.Bytes()
}

func (t *tenant) get(path string) *call {
	return &call{raw: t.request("GET", path, ""), status: 200}
}

// Marks in templates, each as long as what comes in its place.
const (
	markName   = "NNNNNNNNNNNNNNNN"
	markObject = "00000000-0000-4000-8000-00000000OOOO"
	markTitle  = "TTTTTTTTTTT"
	markID     = "IIIIIIII-IIII-IIII-IIII-IIIIIIIIIIII"
)

// userBody is a user as Entra's default attribute mapping sends one.
var userBody = compact(`{
	"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
	"externalId": "` + markObject + `",
	"userName": "` + markName + `@bench.example",
	"active": true,
	"displayName": "Jansen ` + markName + `",
	"title": "` + markTitle + `",
	"preferredLanguage": "nl-NL",
	"name": {"formatted": "Maria Jansen", "familyName": "Jansen", "givenName": "Maria"},
	"emails": [{"primary": true, "type": "work", "value": "` + markName + `@bench.example"}],
	"phoneNumbers": [{"type": "work", "value": "+31 20 555 0100"}, {"type": "mobile", "value": "+31 6 5550 0100"}],
	"addresses": [{"type": "work", "formatted": "Amsterdam", "streetAddress": "Kade 100", "locality": "Amsterdam", "region": "Noord-Holland", "postalCode": "1000 AA", "country": "NL"}],
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"employeeNumber": "100000", "department": "Logistics", "organization": "Bench", "division": "North"}
}`)

const patchHead = `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[`

func compact(s string) string {
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(s)); err != nil {
		panic(err) // a literal of this program
	}
	return b.String()
}

// Titles of users: one in a thousand has the letter x, for the filter that no index answers.
const (
	title      = "Team leader"
	rareTitle  = "Tax adviser"
	rareEvery  = 1000
	rareFilter = `title co "x"`
)

func rare(users int) int { return (users + rareEvery - 1) / rareEvery }

// mix spreads numbers over all of 64 bits (splitmix64), so that names and object ids come in no
// order, as in life, and yet the same in every run.
func mix(n uint64) uint64 {
	n = (n + 1) * 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

func userName(n int) string { return fmt.Sprintf("%016x", mix(uint64(n))) }

func objectID(n int) string {
	a, b := mix(uint64(n)), mix(uint64(n)^1<<63)
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>52, b&0xffff_ffff_ffff)
}

// newUser fills a template of userBody with user n.
func (p *template) newUser(n int) {
	p.set(markName, userName(n))
	p.set(markObject, objectID(n))
	if n%rareEvery == 0 {
		p.set(markTitle, rareTitle)
	} else {
		p.set(markTitle, title)
	}
}

// tenant is a tenant on our server with users 0 to len(ids)-1.
type tenant struct {
	b     *bench
	name  string
	token string
	ids   []string
}

// loaders is how many connections load data. The server commits what comes at once together.
const loaders = 256

// grow adds users until there are n.
func (t *tenant) grow(ctx context.Context, n int) error {
	if n <= len(t.ids) {
		return nil
	}
	t.b.progress("loading %d users into tenant %s", n-len(t.ids), t.name)
	p, err := newPool(ctx, t.b.server.Address, loaders)
	if err != nil {
		return err
	}
	defer p.close()
	last := atomic.Int64{}
	last.Store(int64(len(t.ids)) - 1)
	t.ids = append(t.ids, make([]string, n-len(t.ids))...)
	_, err = p.load(ctx, 0, func(int) source {
		s := t.creator(func() int { return int(last.Add(1)) }, n)
		s.seen = s.seenID(t.ids)
		return s.source
	})
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	return t.checkTotal(p[0], n)
}

// creator makes users whose numbers next gives, below the limit.
type creator struct {
	source
	n int // the user that was sent last
}

func (t *tenant) creator(next func() int, limit int) *creator {
	p := t.newTemplate("POST", "/Users", userBody, 201, markName, markObject, markTitle)
	c := &creator{}
	c.next = func() *call {
		if c.n = next(); c.n >= limit {
			return nil
		}
		p.newUser(c.n)
		p.has = p.raw[p.at[markName][0]:][:len(markName)]
		return &p.call
	}
	return c
}

// seenID keeps the ids of created users.
func (c *creator) seenID(ids []string) func(*conn) error {
	return func(answer *conn) error {
		location := answer.header("Location")
		ids[c.n] = location[strings.LastIndexByte(location, '/')+1:]
		if len(ids[c.n]) != len(markID) {
			return fmt.Errorf("answer to POST /Users has the Location %q", location)
		}
		return nil
	}
}

// checkTotal has the server count the tenant's users.
func (t *tenant) checkTotal(c *conn, n int) error {
	k := t.get("/Users?count=1")
	k.has = fmt.Appendf(nil, `"totalResults":%d,`, n)
	return c.do(k)
}

func (t *tenant) filter(filter, more string) *call {
	return t.get("/Users?filter=" + url.QueryEscape(filter) + more)
}

// resource is what a check needs of a SCIM resource.
type resource struct {
	ID       string
	UserName string
	Title    string
}

// learn sends a call whose answer stays the same and keeps that answer as the only right one,
// after check has looked into it.
func (c *conn) learn(k *call, check func(total int, all []resource) error) error {
	if err := c.do(k); err != nil {
		return err
	}
	var page struct {
		resource
		TotalResults *int
		Resources    []resource
	}
	if err := json.Unmarshal(c.body, &page); err != nil {
		return fmt.Errorf("answer is not JSON: %w", err)
	}
	total, all := 1, []resource{page.resource}
	if page.TotalResults != nil {
		total, all = *page.TotalResults, page.Resources
	}
	if err := check(total, all); err != nil {
		return fmt.Errorf("%w in %.300q", err, c.body)
	}
	k.body = bytes.Clone(c.body)
	return nil
}
