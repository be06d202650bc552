package desk

import (
	"cmp"
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// States of an environment, by the one thing that somebody should know first. The others are those of pull.Status.Word.
const (
	StateOff        = "off"        // External users integration is switched off
	StateIncomplete = "incomplete" // switched on, without a tenant and groups
)

// States are all states of an environment, those first that need somebody.
var States = []string{"quarantined", "failing", "overdue", StateIncomplete, "running", "never", "paused", "manual", "fine", StateOff}

// Environment is an isolated BizzStream workspace, with how its external users are kept up to date.
type Environment struct {
	ID           directory.ID  `json:"id"`
	Name         string        `json:"name"`
	Organization Named         `json:"organization" doc:"The customer that owns it"`
	Created      time.Time     `json:"created"`
	Enabled      bool          `json:"enabled" doc:"Whether External users integration is switched on"`
	Tenant       *Named        `json:"tenant,omitempty" doc:"The tenant that its external users come from"`
	State        string        `json:"state" enum:"quarantined,failing,overdue,incomplete,running,never,paused,manual,fine,off" doc:"The one thing to know first"`
	Active       int64         `json:"active" doc:"People with active access"`
	Total        int64         `json:"total" doc:"People with an access, active or not"`
	LastRun      *RunSummary   `json:"lastRun,omitempty" doc:"The last pull that ended"`
	LastSuccess  *time.Time    `json:"lastSuccess,omitempty" doc:"When a pull last succeeded"`
	Next         *time.Time    `json:"next,omitempty" doc:"When the next periodic pull is due"`
	Running      *directory.ID `json:"running,omitempty" doc:"The run under way"`
	Quarantined  *directory.ID `json:"quarantined,omitempty" doc:"The run that waits for Allow once or Discard"`
	PushSeen     *time.Time    `json:"pushSeen,omitempty" doc:"When push last sent a request, to the minute"`
	Failures     int           `json:"failures,omitempty" doc:"Runs that failed in a row"`
	Expiries     []Expiry      `json:"expiries" nullable:"false" doc:"When what connects it to its directory ends, the earliest first"`
}

// RunSummary is a run in a few words.
type RunSummary struct {
	ID      directory.ID `json:"id"`
	State   string       `json:"state" doc:"Such as complete, failed, quarantined"`
	Trigger string       `json:"trigger" doc:"What asked for it: schedule, manual, allow, sign-in"`
	Started time.Time    `json:"started"`
	Ended   *time.Time   `json:"ended,omitempty"`
	Applied int          `json:"applied" doc:"People who were changed"`
	Error   string       `json:"error,omitempty" doc:"Why it failed, and what to do"`
}

// Expiry is the end of something that an environment needs. It names no secret.
type Expiry struct {
	Kind    string    `json:"kind" enum:"token,client,graph,sign-in" doc:"token: the SCIM token of push; client: the OAuth client of push; graph, sign-in: the credential of that application"`
	Expires time.Time `json:"expires"`
	Level   int       `json:"level" doc:"How urgent: 0 more than 30 days, 1 to 4 from 30, 14, 7 and 1 days before the end, 5 ended"`
}

// ExpiryLevel tells how urgent the end of a thing is: 0 for more than 30 days, one more from 30, 14, 7 and 1 days before it,
// 5 when it has ended. A zero end is not known: 0.
func ExpiryLevel(expires, now time.Time) (level int) {
	if expires.IsZero() {
		return 0
	}
	for _, days := range []int{30, 14, 7, 1, 0} {
		if expires.Sub(now) <= time.Duration(days)*24*time.Hour {
			level++
		}
	}
	return level
}

// EnvironmentFilter selects environments.
type EnvironmentFilter struct {
	Text  string // part of the name of the environment or of its organization
	State string // one of States; empty: any
}

// Environments lists those that an actor may see, by organization and name.
func (d *Desk) Environments(ctx context.Context, by directory.Actor, f EnvironmentFilter, p Page) (List[Environment], error) {
	after, err := parsePlace(p.After)
	if err != nil {
		return List[Environment]{}, err
	}
	if f.State != "" && !slices.Contains(States, f.State) {
		return List[Environment]{}, fail(directory.Invalid, "state", "there is no state %q: it is one of %s", f.State, strings.Join(States, ", "))
	}
	pulls, err := d.pulls(ctx)
	if err != nil {
		return List[Environment]{}, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (List[Environment], error) {
		out := List[Environment]{Items: []Environment{}}
		all, err := sn.SeeEnvironments(by)
		if err != nil {
			return out, err
		}
		places, err := placesOf(sn, all)
		if err != nil {
			return out, err
		}
		text := strings.ToLower(strings.TrimSpace(f.Text))
		places = slices.DeleteFunc(places, func(pl place) bool {
			return !strings.Contains(strings.ToLower(pl.env.Name), text) && !strings.Contains(strings.ToLower(pl.organization), text) ||
				f.State != "" && stateOf(pl.env, pulls[pl.env.ID]) != f.State
		})
		out.Total = int64(len(places))
		for _, pl := range places {
			if after != "" && pl.key() <= after {
				continue
			}
			if len(out.Items) == p.limit() {
				break
			}
			e, err := d.environment(sn, pl.env, pulls[pl.env.ID])
			if err != nil {
				return out, err
			}
			out.Items = append(out.Items, e)
			out.Next = base64.RawURLEncoding.EncodeToString([]byte(pl.key()))
		}
		if n := len(places); n == 0 || len(out.Items) == 0 || places[n-1].env.ID == out.Items[len(out.Items)-1].ID {
			out.Next = ""
		}
		return out, nil
	})
}

// place is an environment with where it stands in the list.
type place struct {
	env          *directory.Environment
	organization string
}

// key orders environments by organization, name and id; names hold no control characters.
func (p *place) key() string {
	return strings.ToLower(p.organization) + "\x00" + p.env.OrganizationID.String() + "\x00" + strings.ToLower(p.env.Name) + "\x00" + p.env.ID.String()
}

func placesOf(sn *directory.Snapshot, envs []*directory.Environment) ([]place, error) {
	all, err := sn.Organizations()
	if err != nil {
		return nil, err
	}
	names := map[directory.ID]string{}
	for _, o := range all {
		names[o.ID] = o.Name
	}
	places := make([]place, 0, len(envs))
	for _, e := range envs {
		places = append(places, place{e, names[e.OrganizationID]})
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.key(), b.key()) })
	return places, nil
}

func parsePlace(after string) (string, error) {
	text, err := base64.RawURLEncoding.DecodeString(after)
	if err != nil || after != "" && strings.Count(string(text), "\x00") != 3 {
		return "", fail(directory.Invalid, "after", "this is no \"next\" of a list of environments")
	}
	return string(text), nil
}

// Environment shows one.
func (d *Desk) Environment(ctx context.Context, by directory.Actor, id directory.ID) (Environment, error) {
	pulls, err := d.pulls(ctx)
	if err != nil {
		return Environment{}, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (Environment, error) {
		env, err := sn.SeeEnvironment(by, id)
		if err != nil {
			return Environment{}, err
		}
		return d.environment(sn, env, pulls[id])
	})
}

// pulls tells how the pulls are, by environment.
func (d *Desk) pulls(ctx context.Context) (map[directory.ID]*pull.Status, error) {
	all, err := d.Pull.Status(ctx)
	out := make(map[directory.ID]*pull.Status, len(all))
	for i := range all {
		out[all[i].Environment.ID] = &all[i]
	}
	return out, err
}

// stateOf names the state of an environment; s is nil where nothing can be pulled.
func stateOf(env *directory.Environment, s *pull.Status) string {
	switch {
	case !env.Integration.Enabled:
		return StateOff
	case s == nil || len(env.Integration.Groups) == 0:
		return StateIncomplete
	}
	return s.Word()
}

func (d *Desk) environment(sn *directory.Snapshot, env *directory.Environment, s *pull.Status) (out Environment, err error) {
	out = Environment{ID: env.ID, Name: env.Name, Created: env.Created, Enabled: env.Integration.Enabled, State: stateOf(env, s), Expiries: []Expiry{}}
	org, err := sn.Organization(env.OrganizationID)
	if err != nil {
		return out, err
	}
	out.Organization = Named{org.ID, org.Name}
	if out.Active, err = sn.EnvironmentAccessCount(env.ID, true); err != nil {
		return out, err
	}
	inactive, err := sn.EnvironmentAccessCount(env.ID, false)
	if err != nil {
		return out, err
	}
	out.Total = out.Active + inactive
	if s != nil {
		out.describe(s)
	}
	in := env.Integration
	if !in.Enabled || in.TenantID.IsZero() {
		return out, nil
	}
	t, err := sn.Tenant(in.TenantID)
	if err != nil {
		return out, err
	}
	out.Tenant = &Named{t.ID, t.Name}
	seen, err := sn.PushSeen(t.ID)
	if err != nil {
		return out, err
	}
	out.PushSeen = orNil(seen)
	out.Expiries, err = d.expiries(sn, t)
	return out, err
}

// describe tells how the pull of an environment is.
func (e *Environment) describe(s *pull.Status) {
	e.LastSuccess, e.Failures = orNil(s.State.LastSuccess), s.State.Failures
	if in := s.Environment.Integration; in.Periodic && !in.Paused {
		e.Next = orNil(s.State.Next)
	}
	if id := s.State.Quarantined; !id.IsZero() {
		e.Quarantined = &id
	}
	if s.Running != nil {
		e.Running = &s.Running.ID
	}
	if s.Last != nil {
		last := summary(s.Last)
		e.LastRun = &last
	}
}

func summary(r *directory.Run) RunSummary {
	out := RunSummary{ID: r.ID, State: string(r.State), Trigger: string(r.Trigger), Started: r.Started, Ended: orNil(r.Ended), Applied: r.Counts.Applied}
	if r.Error != nil {
		out.Error = r.Error.Detail
	}
	return out
}

// expiries are the ends of what connects a tenant to its directory.
func (d *Desk) expiries(sn *directory.Snapshot, t *directory.Tenant) ([]Expiry, error) {
	now := d.Now()
	all := []Expiry{}
	ends, err := endsOf(sn, t.ID, now)
	for _, e := range ends {
		all = append(all, Expiry{e.kind, e.at, ExpiryLevel(e.at, now)})
	}
	return all, err
}

// anEnd is when something ends that connects a tenant to its directory. Kinds are those of Expiry.
type anEnd struct {
	kind, name string // name: of a token or a client
	at         time.Time
}

// endsOf lists what connects a tenant to its directory and ends, the first to end first: of its tokens the one that push
// lives by, of each client the last secret.
func endsOf(sn *directory.Snapshot, tenant directory.ID, now time.Time) (all []anEnd, err error) {
	add := func(kind, name string, at time.Time) {
		if !at.IsZero() {
			all = append(all, anEnd{kind, name, at})
		}
	}
	tokens, err := sn.Tokens(tenant, directory.SecretToken)
	if err != nil {
		return nil, err
	}
	if token := inUse(tokens, now); token != nil {
		add("token", token.Name, token.Expires)
	}
	clients, err := sn.Clients(tenant)
	if err != nil {
		return nil, err
	}
	for _, c := range clients {
		if c.Revoked.IsZero() {
			add("client", c.ClientID, lastSecret(c))
		}
	}
	for _, name := range []string{directory.GraphCredential, directory.SignInCredential} {
		cred, err := sn.Credential(tenant, name)
		switch {
		case directory.KindOf(err) == directory.NotFound && err != nil:
		case err != nil:
			return nil, err
		default:
			add(name, "", cred.Expires)
		}
	}
	slices.SortStableFunc(all, func(a, b anEnd) int { return a.at.Compare(b.at) })
	return all, nil
}

// inUse is the token that push lives by: of the live ones that which was used last, before it was used that which
// lasts longest; where none is live, the last that ended. One that was revoked is no concern of anybody's any more.
func inUse(tokens []*directory.Token, now time.Time) (best *directory.Token) {
	for _, t := range tokens {
		if !t.Revoked.IsZero() {
			continue
		}
		if best == nil || better(t, best, now) {
			best = t
		}
	}
	return best
}

func better(a, b *directory.Token, now time.Time) bool {
	switch {
	case a.Live(now) != b.Live(now):
		return a.Live(now)
	case a.Live(now) && !a.LastUsed.Equal(b.LastUsed):
		return a.LastUsed.After(b.LastUsed)
	}
	return a.Expires.After(b.Expires)
}

// lastSecret is when the last secret of a client ends; zero for one that has none.
func lastSecret(c *directory.Client) (end time.Time) {
	for _, s := range c.Secrets {
		if s.Expires.After(end) {
			end = s.Expires
		}
	}
	return end
}

// NewEnvironment is what an environment is made of.
type NewEnvironment struct {
	OrganizationID directory.ID `json:"organizationId" doc:"The customer that owns it"`
	Name           string       `json:"name" minLength:"1" maxLength:"256" doc:"Such as Production; unique within the organization"`
}

// CreateEnvironment makes one. Errors: Forbidden; Invalid; NotFound; Exists.
func (d *Desk) CreateEnvironment(ctx context.Context, by directory.Actor, in NewEnvironment) (Environment, error) {
	env, err := d.Service.CreateEnvironment(ctx, by, in.OrganizationID, in.Name)
	if err != nil {
		return Environment{}, err
	}
	return d.Environment(ctx, by, env.ID)
}

// NewOrganization is what an organization is made of.
type NewOrganization struct {
	Name string `json:"name" minLength:"1" maxLength:"256" doc:"Of the customer; unique"`
}

// CreateOrganization makes one. Errors: Forbidden; Invalid; Exists.
func (d *Desk) CreateOrganization(ctx context.Context, by directory.Actor, in NewOrganization) (Organization, error) {
	o, err := d.Service.CreateOrganization(ctx, by, in.Name)
	if err != nil {
		return Organization{}, err
	}
	return Organization{o.ID, o.Name, o.Created}, nil
}
