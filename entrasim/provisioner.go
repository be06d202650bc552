package entrasim

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits of the real service.
const (
	// OnDemandMembers is how many members of a group one provision-on-demand call takes.
	// Source: Microsoft, "On-demand provisioning".
	OnDemandMembers = 5

	minTokenLife, maxTokenLife = time.Hour, 6 * time.Hour // expires_in that Microsoft's validation accepts
	disabledAfter              = 28 * 24 * time.Hour      // in quarantine, then the job is switched off
	maxEscrowDelay             = 64                       // cycles
	silentLimit                = 10                       // objects in a row without any answer: the target is down
)

// Errors of a provisioning job.
var (
	ErrQuarantine  = errors.New("provisioning job is in quarantine")
	ErrDisabled    = errors.New("provisioning job was disabled after four weeks in quarantine")
	ErrUnreachable = errors.New("target does not answer")
)

// ProvisionerOptions are what an administrator fills in on the enterprise application's Provisioning page, and what
// Entra decides for itself. Base and one kind of credentials are required.
type ProvisionerOptions struct {
	Base string // Tenant URL as typed, possibly with ?aadOptscim062020, which also selects the dialect

	Token                            string // Secret Token, or:
	TokenURL, ClientID, ClientSecret string // OAuth 2.0 client credentials, sent in the header
	Scope                            string

	ObjectIDAsExternalID bool     // map objectId -> externalId, not mailNickname
	Match                []string // matching attributes in precedence; default userName, after externalId if that is the object id

	SyncAll                 bool     // sync all users and groups; else only those assigned
	Assigned                []string // object ids of users and groups; of a group the direct members are in scope
	SkipOutOfScopeDeletions bool     // leave alone who leaves the scope

	SendNulls       bool // in POST, send absent attributes as null
	Concurrency     int  // objects at a time; default 1
	ParallelMembers bool // let several PATCHes of one group run at a time; else each group's go one after the other
	MembersPerPatch int  // 1 to 1000; default 1

	Timeout            time.Duration // per request; default 30 s
	Attempts           int           // per request, the first included; default 3
	Backoff            time.Duration // before the first repetition, doubling; default 500 ms
	MaxRetryAfter      time.Duration // longest Retry-After honoured; default 60 s
	QuarantineFailures int           // failures in a cycle, more than 40 % of its events, that mean quarantine; default 5000

	Client   *http.Client         // default: one of its own; redirects are never followed
	Now      func() time.Time     // default time.Now; times quarantine only
	Logf     func(string, ...any) // one line per write; default none
	Progress func(Progress)       // called by one goroutine at a time
}

// userLink and groupLink remember what the job knows about an object at the target.
type userLink struct {
	target  string // id at the target
	active  bool   // as last seen or sent
	inScope bool   // in the last cycle
	manager string // target id of the manager as last seen or sent
	recheck bool   // something made the link doubtful: read it in the next cycle
}

type groupLink struct {
	target  string
	members map[string]membership // by object id, as sent
}

type membership struct {
	target string // id of the member at the target
	doubt  bool   // send it again
}

// key names an object or reference in escrow.
type key struct {
	kind     kind
	id, with string // object id; for a membership the member's
}

type kind byte

const (
	userKey kind = iota
	groupKey
	managerKey
	memberKey
)

// escrow holds a failed object back: after its nth failure for 2^(n-1) cycles.
type escrow struct {
	failures int
	due      int    // cycle number
	rev      uint64 // source revision that failed; a newer one is tried at once
}

// Provisioner is the provisioning job of one enterprise application. Its methods may be called from several
// goroutines; cycles and on-demand calls run one at a time.
type Provisioner struct {
	tenant *Tenant
	o      ProvisionerOptions
	client *client
	flag   dialect

	busy sync.Mutex // held for the length of a cycle

	mu         sync.Mutex // guards everything below
	assigned   map[string]bool
	users      map[string]*userLink
	groups     map[string]*groupLink
	owners     map[string]string // target id -> object id
	escrows    map[key]escrow
	cycles     int
	watermark  uint64
	initial    bool
	quarantine struct {
		since, next time.Time // zero: not in quarantine
		tries       int
		reason      error
	}
}

// NewProvisioner makes the job; it sends nothing yet.
func NewProvisioner(t *Tenant, o ProvisionerOptions) (*Provisioner, error) {
	base, flag, _ := strings.Cut(o.Base, "?")
	if u, err := url.Parse(base); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("tenant URL %q is not an absolute http(s) URL", o.Base)
	}
	if o.TokenURL != "" && o.Token != "" {
		return nil, errors.New("give a token or client credentials, not both")
	}
	if o.MembersPerPatch < 0 || o.MembersPerPatch > 1000 {
		return nil, fmt.Errorf("members per PATCH is %d, want 1 to 1000", o.MembersPerPatch)
	}
	o.Concurrency = max(1, o.Concurrency)
	o.MembersPerPatch = max(1, o.MembersPerPatch)
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	o.Attempts = cmp.Or(o.Attempts, 3)
	o.Backoff = cmp.Or(o.Backoff, 500*time.Millisecond)
	o.MaxRetryAfter = cmp.Or(o.MaxRetryAfter, time.Minute)
	o.QuarantineFailures = cmp.Or(o.QuarantineFailures, 5000)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	if len(o.Match) == 0 {
		o.Match = []string{"userName"}
		if o.ObjectIDAsExternalID {
			o.Match = []string{"externalId", "userName"}
		}
	}
	rows := userRows(&User{}, true, false)
	for _, m := range o.Match {
		if m == "active" || !slices.ContainsFunc(rows, func(a attribute) bool { return a.path == m }) {
			return nil, fmt.Errorf("matching attribute %q is not in the mapping", m)
		}
	}
	h := &http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: o.Concurrency,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
	}}
	if o.Client != nil {
		*h = *o.Client
	}
	// A redirect would carry the token and the person to a place nobody configured.
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

	p := &Provisioner{
		tenant: t,
		o:      o,
		flag:   dialect(slices.Contains(strings.Split(flag, "&"), "aadOptscim062020")),
		client: &client{
			http:          h,
			base:          strings.TrimRight(base, "/"),
			flag:          flag,
			timeout:       o.Timeout,
			attempts:      o.Attempts,
			backoff:       o.Backoff,
			maxRetryAfter: o.MaxRetryAfter,
			credentials: credentials{
				tokenURL: o.TokenURL, clientID: o.ClientID, clientSecret: o.ClientSecret, scope: o.Scope, token: o.Token,
			},
		},
		assigned: make(map[string]bool),
		users:    make(map[string]*userLink),
		groups:   make(map[string]*groupLink),
		owners:   make(map[string]string),
		escrows:  make(map[key]escrow),
		initial:  true,
	}
	p.Assign(o.Assigned...)
	return p, nil
}

// Close drops idle connections.
func (p *Provisioner) Close() { p.client.http.CloseIdleConnections() }

// Assign brings users and groups, by object id, into scope from the next cycle on.
func (p *Provisioner) Assign(ids ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		p.assigned[id] = true
	}
}

// Unassign takes users and groups out of scope from the next cycle on.
func (p *Provisioner) Unassign(ids ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		delete(p.assigned, id)
	}
}

// SetToken replaces the Secret Token. Like the portal, which restarts the job on saving credentials, it also ends a
// quarantine; links and watermark stay.
func (p *Provisioner) SetToken(token string) {
	p.client.credentials.mu.Lock()
	p.client.token = token
	p.client.credentials.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release()
}

// Quarantined returns why the job is in quarantine, or nil.
func (p *Provisioner) Quarantined() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.quarantine.reason
}

// TargetID returns the id that the target gave to a user or group, if it is linked.
func (p *Provisioner) TargetID(objectID string) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.users[objectID]; l != nil {
		return l.target, true
	}
	if l := p.groups[objectID]; l != nil {
		return l.target, true
	}
	return "", false
}

// Restart clears the watermark, the escrows and the quarantine, so that the next cycle looks at everything again. Links
// stay; memberships are sent again. Source: Microsoft, "Restart provisioning" (synchronizationJob: restart).
func (p *Provisioner) Restart() {
	p.busy.Lock()
	defer p.busy.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.initial, p.watermark = true, 0
	clear(p.escrows)
	for _, g := range p.groups {
		for id, m := range g.members {
			g.members[id] = membership{m.target, true}
		}
	}
	p.release()
}

func (p *Provisioner) release() {
	p.quarantine.since, p.quarantine.next, p.quarantine.tries, p.quarantine.reason = time.Time{}, time.Time{}, 0, nil
}

// Probe is Test Connection: it asks for a user and a group that cannot exist and checks that the answers are empty
// lists. With client credentials it also checks that access tokens live for one to six hours.
func (p *Provisioner) Probe(ctx context.Context) error {
	var b [16]byte
	_, _ = rand.Read(b[:])
	nobody := guid(b)
	if err := p.probe(ctx, "/Users", userFilter(p.o.Match[0], nobody)); err != nil {
		return fmt.Errorf("test connection: %w", err)
	}
	if life := p.client.tokenLife(); p.o.TokenURL != "" && (life < minTokenLife || life > maxTokenLife) {
		return fmt.Errorf("test connection: access token lives %s, want one to six hours", life)
	}
	if err := p.probe(ctx, "/Groups", groupFilter(nobody)); err != nil {
		return fmt.Errorf("test connection: %w", err)
	}
	return nil
}

func (p *Provisioner) probe(ctx context.Context, path, query string) error {
	found, err := p.list(ctx, nil, path, query)
	switch {
	case err != nil:
		return err
	case found.Total == nil || !slices.Contains(found.Schemas, listURN):
		return &Error{ServiceIncompatible, http.StatusOK, http.MethodGet, path, "answer is not a ListResponse"}
	case *found.Total != 0 || len(found.Resources) != 0:
		return &Error{ServiceIncompatible, http.StatusOK, http.MethodGet, path, "the filter was not applied"}
	}
	return nil
}

// Both encodings of a space have been seen from Entra: here users are looked up with "+" and groups with "%20".

func userFilter(path, value string) string {
	return "filter=" + url.QueryEscape(path+" eq "+quote(value))
}

func groupFilter(name string) string {
	return "excludedAttributes=members&filter=" + strings.ReplaceAll(url.QueryEscape("displayName eq "+quote(name)), "+", "%20")
}

// quote writes a string of the filter grammar, which is a JSON string (RFC 7644, section 3.4.2.2).
func quote(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) //nolint:errchkjson // a string can always be encoded
	return strings.TrimSpace(b.String())
}

// listResponse is RFC 7644, section 3.4.2.
type listResponse struct {
	Schemas   []string         `json:"schemas"`
	Total     *int             `json:"totalResults"`
	Resources []map[string]any `json:"Resources"`
}

func (p *Provisioner) list(ctx context.Context, m *meter, path, query string) (listResponse, error) {
	var l listResponse
	data, err := p.client.do(ctx, m, http.MethodGet, path, query, nil)
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound {
		e.Code = ServiceIncompatible // no hit is an empty list, never 404
	}
	if err == nil && json.Unmarshal(data, &l) != nil {
		err = &Error{ServiceIncompatible, http.StatusOK, http.MethodGet, path, "answer is not a ListResponse"}
	}
	return l, err
}

// get reads one resource; a nil map without error means that it is gone.
func (p *Provisioner) get(ctx context.Context, m *meter, path, query string) (map[string]any, error) {
	data, err := p.client.do(ctx, m, http.MethodGet, path, query, nil)
	if status(err) == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r map[string]any
	if json.Unmarshal(data, &r) != nil || r == nil {
		return nil, &Error{ServiceIncompatible, http.StatusOK, http.MethodGet, path, "answer is not a resource"}
	}
	return r, nil
}

// unique looks a resource up by one filter; nil means none.
func (p *Provisioner) unique(ctx context.Context, m *meter, path, query string) (map[string]any, error) {
	found, err := p.list(ctx, m, path, query)
	if err != nil {
		return nil, err
	}
	switch n := len(found.Resources); {
	case n == 0:
		return nil, nil
	case n > 1 || found.Total != nil && *found.Total > 1:
		return nil, &Error{DuplicateTargetEntries, http.StatusOK, http.MethodGet, path, "the filter finds more than one"}
	case idOf(found.Resources[0]) == "":
		return nil, &Error{ServiceIncompatible, http.StatusOK, http.MethodGet, path, "resource without id"}
	}
	return found.Resources[0], nil
}

func idOf(resource map[string]any) string {
	id, _ := resource["id"].(string)
	return id
}
