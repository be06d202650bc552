package desk

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
)

// Integration is the External users integration of an environment: it joins the environment to a tenant.
type Integration struct {
	Enabled      bool          `json:"enabled" doc:"External users integration: an operator alone switches it"`
	Tenant       *Named        `json:"tenant,omitempty" doc:"Tenant"`
	Groups       []SyncedGroup `json:"groups" nullable:"false" doc:"Groups to Sync: whose members get access"`
	DefaultMenus []string      `json:"defaultMenus" nullable:"false" doc:"Default menu: given to new external users, never to those who are there"`
	Periodic     bool          `json:"periodic" doc:"Periodically Sync Users"`
	Transitive   bool          `json:"transitive" doc:"The pull counts members of nested groups too; push never does"`
	Guests       bool          `json:"guests" doc:"The pull provisions guests too"`
	Paused       bool          `json:"paused" doc:"No pull runs until this is taken back"`
	Hold         bool          `json:"hold" doc:"A run that waits for a decision applies nothing at all, not even new people"`
	Stops        Stops         `json:"stops" doc:"When a pull stops before it takes anything away"`
	Version      string        `json:"version" doc:"Of these settings: send it with a change, so that nobody else's is lost"`

	LastSuccess *time.Time  `json:"lastSuccess,omitempty" doc:"When a pull last succeeded"`
	Next        *time.Time  `json:"next,omitempty" doc:"When the next periodic pull is due"`
	Deriving    *Derivation `json:"deriving,omitempty" doc:"The last change of the settings, while it is still being carried out"`
	MayChange   bool        `json:"mayChange" doc:"Whether whoever asks may change these settings"`
	MaySwitch   bool        `json:"maySwitch" doc:"Whether whoever asks may switch External users integration"`
	Tenants     []Named     `json:"tenants" nullable:"false" doc:"The tenants that can be chosen"`
}

// SyncedGroup is one of the Groups to Sync.
type SyncedGroup struct {
	ID      string        `json:"id" doc:"Object id in the directory"`
	Known   bool          `json:"known" doc:"Whether push or a pull has brought the group so far"`
	Name    string        `json:"name,omitempty" doc:"Display name, of a group that is known"`
	Members int64         `json:"members" doc:"Direct members, of a group that is known"`
	SCIMID  *directory.ID `json:"scimId,omitempty" doc:"Id of the SCIM group"`
}

// Stops are the figures of "prevent accidental deletions": a pull stops before it takes access from more people than
// the greater of a number and a share of those who have it.
type Stops struct {
	RunCount   int `json:"runCount" minimum:"0" doc:"People in one run; 0: the default"`
	RunPercent int `json:"runPercent" minimum:"0" maximum:"100" doc:"Percent of the active people in one run; 0: the default"`
	DayCount   int `json:"dayCount" minimum:"0" doc:"People within 24 hours; 0: the default"`
	DayPercent int `json:"dayPercent" minimum:"0" maximum:"100" doc:"Percent of the active people within 24 hours; 0: the default"`
}

// DefaultStops are the figures that a 0 stands for.
func DefaultStops() Stops { return Stops(directory.Stops{}.OrDefaults()) }

// Derivation is a change of settings that is being carried out.
type Derivation struct {
	ID          directory.ID `json:"id"`
	Done        int          `json:"done" doc:"People looked at"`
	Granted     int          `json:"granted"`
	Reactivated int          `json:"reactivated"`
	Deactivated int          `json:"deactivated"`
}

// IntegrationChange changes the External users integration; what is absent stays.
type IntegrationChange struct {
	Enabled      *bool         `json:"enabled,omitempty" doc:"External users integration; for operators"`
	TenantID     *directory.ID `json:"tenantId,omitempty" doc:"Tenant: one of tenants"`
	Groups       *[]string     `json:"groups,omitempty" maxItems:"500" doc:"Groups to Sync: all of them, as object ids"`
	DefaultMenus *[]string     `json:"defaultMenus,omitempty" maxItems:"100" doc:"Default menu: all of them"`
	Periodic     *bool         `json:"periodic,omitempty"`
	Transitive   *bool         `json:"transitive,omitempty"`
	Guests       *bool         `json:"guests,omitempty"`
	Paused       *bool         `json:"paused,omitempty"`
	Hold         *bool         `json:"hold,omitempty"`
	Stops        *Stops        `json:"stops,omitempty"`
	Version      string        `json:"version,omitempty" doc:"Of the settings that were looked at: others are refused with 409"`
	// ConfirmLosing is asked for because these settings, unlike a pull, stop at nothing.
	ConfirmLosing int64 `json:"confirmLosing,omitempty" minimum:"0" doc:"A change that takes access from more people than a run may (stops) is refused with 409, which says from how many: it is made once this is at least that number"`
}

// Integration shows the External users integration of an environment.
func (d *Desk) Integration(ctx context.Context, by directory.Actor, id directory.ID) (Integration, error) {
	pulls, err := d.pulls(ctx)
	if err != nil {
		return Integration{}, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (out Integration, err error) {
		env, err := sn.SeeEnvironment(by, id)
		if err != nil {
			return out, err
		}
		in := env.Integration
		out = Integration{Enabled: in.Enabled, Groups: []SyncedGroup{}, DefaultMenus: append([]string{}, in.DefaultMenus...), Periodic: in.Periodic, Transitive: in.Transitive,
			Guests: in.Guests, Paused: in.Paused, Hold: in.Hold, Stops: Stops(in.Stops), Version: in.Version(), Tenants: []Named{}, MaySwitch: by.Role == directory.RoleOperator}
		if _, err := sn.MayEnvironment(by, id); err == nil {
			out.MayChange = true
		}
		if s := pulls[id]; s != nil {
			out.LastSuccess = orNil(s.State.LastSuccess)
			if in.Periodic && !in.Paused {
				out.Next = orNil(s.State.Next)
			}
		}
		if err := out.name(sn, env); err != nil {
			return out, err
		}
		out.Deriving, err = deriving(sn, id)
		return out, err
	})
}

// name adds what the settings speak of.
func (i *Integration) name(sn *directory.Snapshot, env *directory.Environment) error {
	usable, err := sn.UsableTenants(env)
	if err != nil {
		return err
	}
	for _, t := range usable {
		i.Tenants = append(i.Tenants, Named{t.ID, t.Name})
	}
	slices.SortFunc(i.Tenants, func(a, b Named) int { return strings.Compare(a.Name, b.Name) })
	in := env.Integration
	if in.TenantID.IsZero() {
		return nil
	}
	t, err := sn.Tenant(in.TenantID)
	if err != nil {
		return err
	}
	i.Tenant = &Named{t.ID, t.Name}
	i.Groups, err = synced(sn, t.ID, in.Groups)
	return err
}

// synced tells what is known here of groups of a tenant.
func synced(sn *directory.Snapshot, tenant directory.ID, objects []string) ([]SyncedGroup, error) {
	out := []SyncedGroup{}
	for _, object := range objects {
		one := SyncedGroup{ID: object}
		ids, err := sn.GroupsByExternalID(tenant, object)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			g, err := sn.Group(tenant, id)
			if err != nil {
				return nil, err
			}
			n, err := sn.MemberCount(tenant, id)
			if err != nil {
				return nil, err
			}
			one.Known, one.Name, one.SCIMID = true, g.DisplayName, &g.ID
			one.Members += n
		}
		out = append(out, one)
	}
	return out, nil
}

// deriving is the derivation of an environment that is under way; nil: none.
func deriving(sn *directory.Snapshot, env directory.ID) (out *Derivation, err error) {
	err = sn.Derivations(env, func(r *directory.Derivation) bool {
		if r.State == directory.DerivationPending {
			out = &Derivation{r.ID, r.Done, r.Granted, r.Reactivated, r.Deactivated}
		}
		return false // the newest one, which takes over what was left
	})
	return out, err
}

// input is the change in the directory's terms.
func (c *IntegrationChange) input() directory.IntegrationInput {
	in := directory.IntegrationInput{Enabled: c.Enabled, TenantID: c.TenantID, Periodic: c.Periodic, Transitive: c.Transitive, Guests: c.Guests,
		Paused: c.Paused, Hold: c.Hold, Version: c.Version}
	if c.Groups != nil {
		in.Groups = append([]string{}, *c.Groups...)
	}
	if c.DefaultMenus != nil {
		in.DefaultMenus = append([]string{}, *c.DefaultMenus...)
	}
	if c.Stops != nil {
		stops := directory.Stops(*c.Stops)
		in.Stops = &stops
	}
	return in
}

// Losing is what a change of an integration would take.
type Losing struct {
	People int64 // whose active access would end
	Active int64 // who have active access now
	Limit  int64 // how many may lose it without somebody saying so
}

// LosingAccess tells what a change of an integration would take, without making it. Errors: those of
// SetIntegration.
func (d *Desk) LosingAccess(ctx context.Context, by directory.Actor, id directory.ID, c IntegrationChange) (Losing, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (out Losing, err error) {
		env, err := sn.MayEnvironment(by, id)
		if err != nil {
			return out, err
		}
		if c.Groups != nil {
			if err := mistyped(*c.Groups, env.Integration.Groups); err != nil {
				return out, err
			}
		}
		l, err := sn.LosingAccess(by, id, c.input())
		return Losing{l.People, l.Active, env.Integration.Stops.Limit(l.Active)}, err
	})
}

// SetIntegration changes the integration of an environment. Errors: Forbidden; NotFound; Invalid with the setting at
// fault: groups names those that are no object ids; Conflict when somebody has changed the settings since Version,
// and with field confirmLosing when too many people would lose their access unasked.
func (d *Desk) SetIntegration(ctx context.Context, by directory.Actor, id directory.ID, c IntegrationChange) (Integration, error) {
	l, err := d.LosingAccess(ctx, by, id, c)
	if err != nil {
		return Integration{}, err
	}
	if l.People > l.Limit && l.People > c.ConfirmLosing {
		return Integration{}, fail(directory.Conflict, "confirmLosing", "this takes access from %d of %d people, more than %d: confirm that number to go on", l.People, l.Active, l.Limit)
	}
	if _, _, err := d.Service.SetIntegration(ctx, by, id, c.input()); err != nil {
		return Integration{}, err
	}
	return d.Integration(ctx, by, id)
}

// mistyped refuses groups that are no object ids, and names them. What is set already may stay: directories other than
// Entra have ids of other forms, and the command line takes them.
func mistyped(groups, before []string) error {
	var bad []string
	for _, g := range groups {
		if _, ok := directory.ParseID(strings.ToLower(strings.TrimSpace(g))); !ok && !slices.Contains(before, g) && len(bad) < 5 {
			bad = append(bad, fmt.Sprintf("%.60q", g))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	verb := "is not an object id"
	if len(bad) > 1 {
		verb = "are not object ids"
	}
	return fail(directory.Invalid, "groups", "%s %s: one looks like 3f2504e0-4f89-41d3-9a0c-0305e82c3301; copy it from the group's Overview in Entra", strings.Join(bad, ", "), verb)
}

// FoundGroup is a group of the directory.
type FoundGroup struct {
	ID   string `json:"id" doc:"Object id"`
	Name string `json:"name"`
}

// FindGroups looks for groups in the directory of a tenant that an environment may use, by the beginning of their names or by
// an object id. A zero tenant is the one that the environment uses. Errors: those of pull.Reconciler.FindGroups; Forbidden and
// NotFound for who may not set the integration.
func (d *Desk) FindGroups(ctx context.Context, by directory.Actor, id, tenant directory.ID, text string) (List[FoundGroup], error) {
	out := List[FoundGroup]{Items: []FoundGroup{}}
	tenant, err := view(ctx, d, func(sn *directory.Snapshot) (directory.ID, error) { return findIn(sn, by, id, tenant) })
	if err != nil {
		return out, err
	}
	found, err := d.Pull.FindGroups(ctx, by, tenant, text)
	for _, g := range found {
		out.Items = append(out.Items, FoundGroup{g.ID, g.DisplayName})
	}
	out.Total = int64(len(found))
	return out, err
}

// findIn is the tenant in whose directory is looked.
func findIn(sn *directory.Snapshot, by directory.Actor, id, tenant directory.ID) (directory.ID, error) {
	env, err := sn.MayEnvironment(by, id)
	if err != nil {
		return tenant, err
	}
	if tenant.IsZero() {
		tenant = env.Integration.TenantID
	}
	usable, err := sn.UsableTenants(env)
	switch {
	case err != nil:
		return tenant, err
	case tenant.IsZero():
		return tenant, fail(directory.Invalid, "tenant", "choose a tenant first, whose groups are to be searched")
	case !slices.ContainsFunc(usable, func(t *directory.Tenant) bool { return t.ID == tenant }):
		return tenant, fail(directory.NotFound, "tenant", "tenant not found")
	}
	return tenant, nil
}

// KnownGroups tells what is known here of groups of a tenant that an environment may use; a tenant that it may not use has none.
// It looks at no more groups than can be synced.
func (d *Desk) KnownGroups(ctx context.Context, by directory.Actor, id, tenant directory.ID, objects []string) ([]SyncedGroup, error) {
	return view(ctx, d, func(sn *directory.Snapshot) ([]SyncedGroup, error) {
		env, err := sn.SeeEnvironment(by, id)
		if err != nil {
			return nil, err
		}
		usable, err := sn.UsableTenants(env)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(usable, func(t *directory.Tenant) bool { return t.ID == tenant }) {
			tenant = directory.ID{}
		}
		return synced(sn, tenant, objects[:min(len(objects), directory.MaxSyncGroups)])
	})
}

// BeginSync begins a run of an environment now, or finds the one under way. Errors: those of pull.Reconciler.Sync.
func (d *Desk) BeginSync(ctx context.Context, by directory.Actor, id directory.ID) (directory.ID, error) {
	run, err := d.Pull.Sync(ctx, by, id, pull.SyncOptions{})
	if err != nil {
		return directory.ID{}, err
	}
	return run.ID, nil
}

// unknownChecks is how many groups MissingGroups asks the directory for.
const unknownChecks = 5

// MissingGroups names those of some groups that the directory of a tenant does not have, as far as it can be asked: groups
// that are known here are not asked for, and where it does not answer nothing is said.
func (d *Desk) MissingGroups(ctx context.Context, by directory.Actor, id, tenant directory.ID, groups []string) (missing []string) {
	unknown, err := view(ctx, d, func(sn *directory.Snapshot) (out []string, err error) {
		all, err := synced(sn, tenant, groups)
		for _, g := range all {
			if !g.Known {
				out = append(out, g.ID)
			}
		}
		return out, err
	})
	if err != nil {
		return nil
	}
	for _, g := range unknown[:min(unknownChecks, len(unknown))] {
		found, err := d.FindGroups(ctx, by, id, tenant, g)
		if err != nil {
			return nil
		}
		if len(found.Items) == 0 {
			missing = append(missing, g)
		}
	}
	return missing
}
