package desk

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// UserFilter selects people of a list. Its zero value selects everybody whom the actor sees.
type UserFilter struct {
	Text          string
	Source        string // internal, or the id of a tenant
	EnvironmentID directory.ID
	State         string // active, inactive; empty: both
}

// User is a person of a list.
type User struct {
	ID       directory.ID  `json:"id" doc:"Of the BizzStream account"`
	UserName string        `json:"userName"`
	Name     string        `json:"name"`
	Email    string        `json:"email"`
	Tenant   *Manager      `json:"tenant,omitempty" doc:"The tenant whose directory manages the user; absent for an internal user"`
	Active   bool          `json:"active" doc:"Whether any of the accesses is active"`
	Accesses []BriefAccess `json:"accesses" nullable:"false" doc:"Those that may be seen"`
	Created  time.Time     `json:"created"`
	Modified time.Time     `json:"modified"`
	External bool          `json:"external" doc:"Managed by a directory"`
	Default  *Landing      `json:"defaultEnvironment,omitempty" doc:"Where the user lands when a sign-in or a link names no environment; absent without an active access, and where that environment may not be seen"`
	ActiveIn []BriefAccess `json:"-"`
	account  *directory.Account
}

// BriefAccess is an access in a few words.
type BriefAccess struct {
	Environment Named `json:"environment"`
	Active      bool  `json:"active"`
}

// Landing is the default environment of a user.
type Landing struct {
	Named
	Chosen bool `json:"chosen" doc:"Somebody chose it; else it is that of the active access that was granted first"`
}

// Manager is the tenant whose directory manages somebody, as far as it may be seen.
type Manager struct {
	ID   directory.ID `json:"id,omitzero" doc:"Absent where the tenant may not be seen"`
	Name string       `json:"name" doc:"Empty where nothing may be known of the tenant"`
}

// Users is a page of people.
type Users struct {
	List[User]
	Looked int  `json:"looked" doc:"How many people were looked at for this page"`
	Cut    bool `json:"cut" doc:"The page ended because enough people were looked at, not because it is full: go on with \"next\""`
}

// sight resolves names for one actor within one snapshot.
type sight struct {
	*directory.Snapshot
	by      directory.Actor
	tenants map[directory.ID]*Manager
	envs    map[directory.ID]*directory.Environment
}

func newSight(sn *directory.Snapshot, by directory.Actor) *sight {
	return &sight{sn, by, map[directory.ID]*Manager{}, map[directory.ID]*directory.Environment{}}
}

// tenant is the tenant that manages somebody: with its id only for who sees it, with its name for who sees it or
// may choose it for an environment.
func (s *sight) tenant(id directory.ID) (*Manager, error) {
	if id.IsZero() {
		return nil, nil //nolint:nilnil // an internal user
	}
	if n := s.tenants[id]; n != nil {
		return n, nil
	}
	t, err := s.Tenant(id)
	if err != nil {
		return nil, err
	}
	n := &Manager{}
	envs, err := s.SeeEnvironments(s.by)
	if err != nil {
		return nil, err
	}
	if s.by.SeesTenant(t) {
		n.ID, n.Name = t.ID, t.DisplayName()
	} else if slices.ContainsFunc(envs, func(e *directory.Environment) bool { return slices.Contains(t.OrganizationIDs, e.OrganizationID) }) {
		n.Name = t.DisplayName()
	}
	s.tenants[id] = n
	return n, nil
}

func (s *sight) environment(id directory.ID) (*directory.Environment, error) {
	if e := s.envs[id]; e != nil {
		return e, nil
	}
	e, err := s.Environment(id)
	if err == nil {
		s.envs[id] = e
	}
	return e, err
}

// calledTo is an account as it may be shown to an actor. Who adds an internal user to an environment may not know of
// what they are called elsewhere, nor since when they are there: so it is what the accesses that are seen say, a live one first.
func calledTo(sn *directory.Snapshot, by directory.Actor, a *directory.Account) (*directory.Account, error) {
	if a.External() || by.Role == directory.RoleOperator {
		return a, nil
	}
	seen, err := sn.SeeAccesses(by, a.ID)
	if err != nil || len(seen) == 0 {
		return a, err
	}
	x := seen[max(0, slices.IndexFunc(seen, func(x *directory.Access) bool { return x.Active }))]
	out := *a
	out.Name, out.Email, out.Language, out.Locale, out.Created, out.Modified = x.Name, x.Email, x.Language, x.Locale, x.Created, x.Modified
	return &out, nil
}

func (s *sight) user(a *directory.Account, accesses []*directory.Access) (User, error) {
	a, err := calledTo(s.Snapshot, s.by, a)
	if err != nil {
		return User{}, err
	}
	u := User{ID: a.ID, UserName: a.UserName, Name: a.Name, Email: a.Email, External: a.External(), Accesses: []BriefAccess{}, Created: a.Created, Modified: a.Modified, account: a}
	if u.Tenant, err = s.tenant(a.TenantID); err != nil {
		return u, err
	}
	if u.Default, err = s.landing(a); err != nil {
		return u, err
	}
	for _, x := range accesses {
		e, err := s.environment(x.EnvironmentID)
		if err != nil {
			return u, err
		}
		b := BriefAccess{Named{e.ID, e.Name}, x.Active}
		u.Accesses = append(u.Accesses, b)
		if x.Active {
			u.Active, u.ActiveIn = true, append(u.ActiveIn, b)
		}
	}
	return u, nil
}

// landing is the default environment of a person; nil: none, or one that the actor does not see.
func (s *sight) landing(a *directory.Account) (*Landing, error) {
	id, chosen, err := s.DefaultEnvironment(a)
	if err != nil || id.IsZero() {
		return nil, err
	}
	e, err := s.environment(id)
	if err != nil || !s.by.Sees(e) {
		return nil, err
	}
	return &Landing{Named{e.ID, e.Name}, chosen}, nil
}

func (f UserFilter) people() (out directory.PeopleFilter, err error) {
	out = directory.PeopleFilter{Text: f.Text, EnvironmentID: f.EnvironmentID}
	switch f.Source {
	case "":
	case "internal":
		out.Internal = true
	default:
		id, ok := directory.ParseID(f.Source)
		if !ok {
			return out, fail(directory.Invalid, "source", "the source is internal, or the id of a tenant")
		}
		out.TenantID = id
	}
	switch f.State {
	case "":
	case "active", "inactive":
		active := f.State == "active"
		out.Active = &active
	default:
		return out, fail(directory.Invalid, "state", "the state is active or inactive")
	}
	return out, nil
}

// Users lists the people whom an actor sees.
func (d *Desk) Users(ctx context.Context, by directory.Actor, f UserFilter, p Page) (Users, error) {
	filter, err := f.people()
	if err != nil {
		return Users{}, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (Users, error) {
		page, err := sn.SeePeople(by, filter, p.After, p.limit())
		if err != nil {
			return Users{}, err
		}
		out := Users{List: List[User]{Items: []User{}, Total: -1, Next: page.Next}, Looked: page.Looked, Cut: page.Cut}
		s := newSight(sn, by)
		for _, x := range page.People {
			u, err := s.user(x.Account, x.Accesses)
			if err != nil {
				return Users{}, err
			}
			out.Items = append(out.Items, u)
		}
		if f.Text == "" && f.Source == "" && !f.EnvironmentID.IsZero() {
			out.Total, err = accessCount(sn, f.EnvironmentID, filter.Active)
		}
		return out, err
	})
}

func accessCount(sn *directory.Snapshot, env directory.ID, active *bool) (total int64, err error) {
	for _, state := range []bool{true, false} {
		if active != nil && *active != state {
			continue
		}
		n, err := sn.EnvironmentAccessCount(env, state)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// GroupRef is a group, with the id of the tenant that a page of a group needs.
type GroupRef struct {
	Named
	TenantID directory.ID `json:"tenantId"`
}

// Access is one person in one environment, and why.
type Access struct {
	User          Named      `json:"user"`
	Environment   Named      `json:"environment"`
	Has           bool       `json:"has" doc:"Whether there is or was an access"`
	Active        bool       `json:"active"`
	Administrator bool       `json:"administrator"`
	Name          string     `json:"name"`
	Email         string     `json:"email"`
	Language      string     `json:"language"`
	Locale        string     `json:"locale"`
	Menus         []string   `json:"menus" nullable:"false"`
	Created       *time.Time `json:"created,omitempty"`
	Modified      *time.Time `json:"modified,omitempty"`
	Reason        string     `json:"reason" doc:"Why it is active or not" enum:"member,nested,internal,integration-off,other-tenant,not-provisioned,disabled,disabled-by-run,nested-only,taken,no-group"`
	Groups        []GroupRef `json:"groups" nullable:"false" doc:"Groups that give the access; of nested-only those that do not count"`
	Waiting       bool       `json:"waiting" doc:"A change of this access is still being worked on"`
	Quarantined   bool       `json:"quarantined" doc:"A run of the environment, which may concern this access, waits for a decision"`
	Conflict      string     `json:"conflict,omitempty" doc:"What a run found in the way of provisioning the person"`
	MayEdit       bool       `json:"-"`
}

// access explains one access.
func (s *sight) access(env *directory.Environment, a *directory.Account) (Access, error) {
	a, err := calledTo(s.Snapshot, s.by, a)
	if err != nil {
		return Access{}, err
	}
	out := Access{User: Named{a.ID, a.Name}, Environment: Named{env.ID, env.Name}, Menus: []string{}, Groups: []GroupRef{}}
	x, err := s.Access(a.ID, env.ID)
	if err != nil {
		return out, err
	}
	if x != nil {
		out.Has, out.Active, out.Administrator = true, x.Active, x.Administrator
		out.Name, out.Email, out.Language, out.Locale = x.Name, x.Email, x.Language, x.Locale
		out.Menus = append(out.Menus, x.Menus...)
		out.Created, out.Modified = orNil(x.Created), orNil(x.Modified)
	}
	why, err := s.WhyAccess(env, a)
	if err != nil {
		return out, err
	}
	out.Reason, out.Waiting = string(why.Reason), why.Entitled != why.Active
	for _, g := range why.Groups {
		out.Groups = append(out.Groups, GroupRef{Named{g.ID, g.DisplayName}, g.TenantID})
	}
	state, err := s.PullState(env.ID)
	if err != nil {
		return out, err
	}
	out.Quarantined = !state.Quarantined.IsZero() && !a.TenantID.IsZero() && env.Integration.TenantID == a.TenantID // no run holds back what concerns others
	if a.External() && !a.UserID.IsZero() {
		var u directory.User
		if _, err := s.UserResource(&u, a.TenantID, a.UserID); err != nil {
			return out, err
		}
		out.Conflict = state.Conflicts[u.ObjectID.String()+a.UserID.String()]
	}
	_, err = s.MayEnvironment(s.by, env.ID)
	out.MayEdit = err == nil
	return out, nil
}

// UserDetail is all that an actor sees of one person.
type UserDetail struct {
	User
	Language   string          `json:"language"`
	Locale     string          `json:"locale"`
	Protected  bool            `json:"protected" doc:"No directory may manage the account"`
	Operator   bool            `json:"operator" doc:"Told to operators alone"`
	PartnerOf  []Named         `json:"partnerOf" nullable:"false"`
	Explained  []Access        `json:"access" nullable:"false" doc:"Each environment that may be seen and that the person has to do with"`
	SCIMID     directory.ID    `json:"scimId,omitzero" doc:"Id of the SCIM resource"`
	ObjectID   directory.ID    `json:"objectId,omitzero" doc:"Object id in the directory"`
	ExternalID string          `json:"externalId,omitempty"`
	Raw        json.RawMessage `json:"scim,omitempty" doc:"The SCIM resource as the directory wrote it; for operators and partners of the tenant"`
	Groups     []GroupRef      `json:"groups" nullable:"false" doc:"Groups that the person is directly in; for operators and partners of the tenant"`
	HasLogin   bool            `json:"hasLogin" doc:"An internal user with a password; told to operators alone"`

	// What the actor may do, for pages.
	MayEdit, MaySignOut, MaySync, SeesSessions, SeesTenant bool `json:"-"`
}

// User shows one person.
func (d *Desk) User(ctx context.Context, by directory.Actor, id directory.ID) (UserDetail, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (UserDetail, error) {
		a, err := sn.SeeAccount(by, id)
		if err != nil {
			return UserDetail{}, err
		}
		s := newSight(sn, by)
		seen, err := sn.SeeAccesses(by, id)
		if err != nil {
			return UserDetail{}, err
		}
		if a, err = calledTo(sn, by, a); err != nil {
			return UserDetail{}, err
		}
		out := UserDetail{Language: a.Language, Locale: a.Locale, Protected: a.Protected, PartnerOf: []Named{}, Explained: []Access{}, Groups: []GroupRef{}}
		if out.User, err = s.user(a, seen); err != nil {
			return out, err
		}
		if err := s.explain(&out, a); err != nil {
			return out, err
		}
		if err := s.roles(&out, a); err != nil {
			return out, err
		}
		err = s.resource(&out, a)
		return out, err
	})
}

// explain lists the environments that a person has to do with: those of the accesses, and those that use the person's
// tenant. The active ones come first.
func (s *sight) explain(out *UserDetail, a *directory.Account) error {
	envs, err := s.SeeEnvironments(s.by)
	if err != nil {
		return err
	}
	for _, e := range envs {
		x, err := s.access(e, a)
		if err != nil {
			return err
		}
		if x.Has || a.External() && e.Integration.TenantID == a.TenantID {
			out.Explained = append(out.Explained, x)
		}
	}
	slices.SortStableFunc(out.Explained, func(a, b Access) int {
		switch {
		case a.Active == b.Active:
			return 0
		case a.Active:
			return -1
		}
		return 1
	})
	return nil
}

func (s *sight) roles(out *UserDetail, a *directory.Account) error {
	roles, err := s.Roles(a.ID)
	if err != nil {
		return err
	}
	operator := s.by.Role == directory.RoleOperator
	out.Operator = operator && roles.Operator
	if out.PartnerOf, err = s.partnerOf(roles); err != nil {
		return err
	}
	login, err := s.Login(a.ID)
	out.HasLogin = operator && login != nil
	out.MayEdit = operator && !a.External()
	out.MaySignOut = operator
	return err
}

// partnerOf are the organizations of a partner that the actor sees.
func (s *sight) partnerOf(roles *directory.Roles) ([]Named, error) {
	all := []Named{}
	orgs, err := s.SeeOrganizations(s.by)
	for _, o := range orgs {
		if slices.Contains(roles.PartnerOf, o.ID) {
			all = append(all, Named{o.ID, o.Name})
		}
	}
	return all, err
}

// resource shows what the directory says of a person, to who sees the tenant.
func (s *sight) resource(out *UserDetail, a *directory.Account) error {
	if !a.External() {
		out.SeesSessions = out.MaySignOut
		return nil
	}
	t, err := s.Tenant(a.TenantID)
	if err != nil {
		return err
	}
	out.SeesTenant = s.by.SeesTenant(t)
	out.SeesSessions = out.MaySignOut
	if a.UserID.IsZero() {
		return nil
	}
	u, err := s.Snapshot.User(a.TenantID, a.UserID)
	if err != nil {
		return err
	}
	out.ObjectID = u.ObjectID
	out.MaySync = !u.ObjectID.IsZero() && slices.ContainsFunc(out.Explained, func(x Access) bool { return x.MayEdit })
	if !out.SeesTenant {
		return nil
	}
	out.SCIMID, out.ExternalID, out.Raw = u.ID, u.ExternalID, pretty(u)
	ids, err := s.GroupsOf(a.TenantID, u.ID)
	for _, id := range ids {
		g, err := s.Group(a.TenantID, id)
		if err != nil {
			return err
		}
		out.Groups = append(out.Groups, GroupRef{Named{g.ID, g.DisplayName}, g.TenantID})
	}
	return err
}

// pretty writes a resource for people to read. What is kept is valid JSON.
func pretty(u *directory.User) json.RawMessage {
	var b bytes.Buffer
	head := append(append([]byte(`{"schemas":`), u.Schemas...), `,"id":"`+u.ID.String()+`"`...)
	if rest := bytes.TrimPrefix(bytes.TrimSpace(u.Attributes), []byte("{")); len(bytes.TrimSpace(rest)) > 1 {
		head = append(append(head, ','), rest...)
	} else {
		head = append(head, '}')
	}
	if json.Indent(&b, head, "", "  ") != nil {
		return bytes.Clone(u.Attributes)
	}
	return b.Bytes()
}

// Session is one of a person's.
type Session struct {
	ID        directory.ID `json:"id"`
	Created   time.Time    `json:"created"`
	Expires   time.Time    `json:"expires"`
	Seen      time.Time    `json:"seen" doc:"Last activity, to the minute"`
	Method    string       `json:"method" enum:"directory,password,link"`
	Address   string       `json:"address"`
	UserAgent string       `json:"userAgent"`
}

// Sessions lists the live sessions of a person, for an operator: they say where somebody is. Errors: Forbidden for others
// who see the person; NotFound.
func (d *Desk) Sessions(ctx context.Context, by directory.Actor, id directory.ID) (List[Session], error) {
	u, err := d.User(ctx, by, id)
	if err != nil {
		return List[Session]{}, err
	}
	if !u.SeesSessions {
		return List[Session]{}, fail(directory.Forbidden, "", "sessions are shown to operators")
	}
	return view(ctx, d, func(sn *directory.Snapshot) (List[Session], error) {
		all, err := sn.Sessions(id)
		out := List[Session]{Items: []Session{}}
		for _, x := range all {
			if x.Live(d.Service.SessionNow()) {
				out.Items = append(out.Items, Session{x.ID, x.Created, x.Expires, x.Seen, string(x.Method), x.Address, x.UserAgent})
			}
		}
		slices.SortFunc(out.Items, func(a, b Session) int { return b.Created.Compare(a.Created) })
		out.Total = int64(len(out.Items))
		return out, err
	})
}

// EndSession signs a person out of one browser; of all with the zero id. Errors: Forbidden for others than operators who see the
// person; NotFound.
func (d *Desk) EndSession(ctx context.Context, by directory.Actor, account, id directory.ID) error {
	u, err := d.User(ctx, by, account)
	if err != nil {
		return err
	}
	if !u.MaySignOut {
		return fail(directory.Forbidden, "", "operators sign people out")
	}
	if !id.IsZero() {
		return d.Service.EndSession(ctx, by, account, id, directory.EndedRevoked)
	}
	_, err = d.Service.EndSessions(ctx, by, account, directory.ID{}, directory.EndedRevoked)
	return err
}

// HistoryLine is a line of the provisioning log that is about one person.
type HistoryLine struct {
	Sequence uint64          `json:"sequence"`
	Time     time.Time       `json:"time"`
	Action   string          `json:"action"`
	Status   string          `json:"status"`
	Channel  string          `json:"channel" doc:"scim, pull, console, cli, system"`
	By       string          `json:"by" doc:"Who did it, as the log says"`
	Detail   string          `json:"detail,omitempty"`
	Changes  []HistoryChange `json:"changes" nullable:"false"`
	Effects  []Effect        `json:"accesses" nullable:"false"`
	Sessions int             `json:"sessionsEnded"`
}

// HistoryChange is one property that was changed: values before and after.
type HistoryChange struct {
	Name string          `json:"name"`
	Old  json.RawMessage `json:"old,omitempty"`
	New  json.RawMessage `json:"new,omitempty"`
}

func changesOf(e *directory.LogEvent) []HistoryChange {
	all := []HistoryChange{}
	for _, c := range e.Changes {
		all = append(all, HistoryChange(c))
	}
	return all
}

// Effect is what a change did to an access.
type Effect struct {
	Environment Named  `json:"environment"`
	Effect      string `json:"effect" enum:"granted,reactivated,deactivated"`
}

// Bounds of a history.
const (
	historyLines = 50  // shown
	historyLook  = 200 // lines of each environment that are looked at for what groups did
)

// PersonHistory tells what has happened to a person, newest first: changes of the person, and accesses that changed with a
// group or an integration or by hand, as far back as the latest lines of each environment tell. It tells what the provisioning log
// tells the actor; what the directory wrote is for who sees the tenant.
func (d *Desk) PersonHistory(ctx context.Context, by directory.Actor, id directory.ID) (List[HistoryLine], error) {
	u, err := d.User(ctx, by, id)
	if err != nil {
		return List[HistoryLine]{}, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (List[HistoryLine], error) {
		sight, err := sn.LogSight(by)
		if err != nil {
			return List[HistoryLine]{}, err
		}
		a := u.account
		lines := map[uint64]*directory.LogEvent{}
		if u.SeesTenant || !a.External() {
			if err := personLines(sn, a, lines); err != nil {
				return List[HistoryLine]{}, err
			}
		}
		for _, x := range u.Explained {
			n := 0
			err := sn.EnvironmentLog(x.Environment.ID, 0, true, func(e *directory.LogEvent) bool {
				byHand := !e.EnvironmentID.IsZero() && (e.TargetID == id.String() || e.TargetID == a.UserID.String())
				if byHand || slices.ContainsFunc(e.Accesses, func(f directory.AccessEffect) bool { return f.AccountID == id }) {
					lines[e.Sequence] = e
				}
				n++
				return n < historyLook
			})
			if err != nil {
				return List[HistoryLine]{}, err
			}
		}
		for n, e := range lines {
			if lines[n], err = sight.Of(e); err != nil {
				return List[HistoryLine]{}, err
			}
		}
		return historyOf(u, id, lines), nil
	})
}

func personLines(sn *directory.Snapshot, a *directory.Account, lines map[uint64]*directory.LogEvent) error {
	for _, target := range slices.Compact([]directory.ID{a.ID, a.UserID}) {
		n := 0
		err := sn.PersonLog(a.TenantID, target, 0, func(e *directory.LogEvent) bool {
			lines[e.Sequence] = e
			n++
			return n < historyLines
		})
		if err != nil || !a.External() {
			return err
		}
	}
	return nil
}

func historyOf(u UserDetail, id directory.ID, lines map[uint64]*directory.LogEvent) List[HistoryLine] {
	out := List[HistoryLine]{Items: []HistoryLine{}, Total: -1}
	names := map[directory.ID]string{}
	for _, x := range u.Explained {
		names[x.Environment.ID] = x.Environment.Name
	}
	for _, e := range lines {
		if e == nil { // not for who asks
			continue
		}
		l := HistoryLine{Sequence: e.Sequence, Time: e.Time, Action: string(e.Action), Status: string(e.Status), Channel: e.Actor.Channel, Changes: []HistoryChange{}, Effects: []Effect{}}
		if e.TargetType == "User" {
			l.Changes, l.Detail, l.Sessions = changesOf(e), e.Detail, e.Sessions
		} else {
			l.Detail = e.TargetType + " " + e.TargetName
		}
		if e.Reason != "" {
			l.Detail = e.Reason
		}
		for _, f := range e.Accesses {
			if name, ok := names[f.EnvironmentID]; ok && f.AccountID == id {
				l.Effects = append(l.Effects, Effect{Named{f.EnvironmentID, name}, f.Effect})
			}
		}
		out.Items = append(out.Items, l)
	}
	slices.SortFunc(out.Items, func(a, b HistoryLine) int {
		if a.Sequence > b.Sequence {
			return -1
		}
		return 1
	})
	out.Items = out.Items[:min(len(out.Items), historyLines)]
	return out
}

// SyncPerson has the directory asked about one person. It reports whether the person is provisioned after it. Who is
// provisioned already is not read again: changes come with push, or with the next run.
func (d *Desk) SyncPerson(ctx context.Context, by directory.Actor, id directory.ID) (provisioned bool, err error) {
	u, err := d.User(ctx, by, id)
	if err != nil {
		return false, err
	}
	if u.account.TenantID.IsZero() || u.ObjectID.IsZero() {
		return false, fail(directory.Conflict, "", "only a person whom a directory manages, with a known object id, can be synced")
	}
	return d.Pull.Person(ctx, by, u.account.TenantID, u.ObjectID)
}

// ForgetSubject lets the next sign-in of a person pin the subject anew, after the directory has been moved.
func (d *Desk) ForgetSubject(ctx context.Context, by directory.Actor, id directory.ID) error {
	u, err := d.User(ctx, by, id)
	if err != nil {
		return err
	}
	if u.account.TenantID.IsZero() {
		return fail(directory.Conflict, "", "an internal user has no subject of a directory")
	}
	err = d.Service.ForgetSubject(ctx, by, u.account.TenantID, u.ObjectID)
	if err != nil && directory.KindOf(err) == directory.NotFound { // the person is seen, so it is the subject
		return fail(directory.Conflict, "", "nothing is pinned: the next sign-in of this person pins the subject in any case")
	}
	return err
}

// NewUser is an internal user who is to have access to an environment.
type NewUser struct {
	Email    string   `json:"email" maxLength:"320" doc:"E-mail address. Who has it gains access; else an account is made"`
	Name     string   `json:"name" minLength:"1" maxLength:"256"`
	Language string   `json:"language,omitempty" maxLength:"35" doc:"Such as nl"`
	Locale   string   `json:"locale,omitempty" maxLength:"35" doc:"Such as nl-NL"`
	Menus    []string `json:"menus,omitempty" maxItems:"100" doc:"None: the Default menu of the environment"`
}

// Added is what came of adding a user.
type Added struct {
	Access  Access `json:"access"`
	Made    bool   `json:"made" doc:"An account was made; else an existing one gained access"`
	Mailed  bool   `json:"mailed" doc:"A link to set a password was handed to the mail server, for the address itself"`
	Link    string `json:"link,omitempty" doc:"A link to set a password, shown once, where no mail is sent; for operators alone"`
	Pending bool   `json:"pending" doc:"An operator has to make a link to set a password"`
}

// AddUser gives an internal user access to an environment. Only whoever reads mail at the address, or whom an operator gives the link,
// can set the password of a new account: else an administrator could make an account in somebody else's name. Errors: those of
// Service.AddInternal; RateLimited after 60 tries of the actor within a minute, but for an operator.
func (d *Desk) AddUser(ctx context.Context, by directory.Actor, environment directory.ID, in NewUser) (Added, error) {
	if err := d.added.take(by, d.Now()); err != nil {
		return Added{}, err
	}
	hash, err := d.NoPassword(ctx)
	if err != nil {
		return Added{}, err
	}
	a, made, err := d.Service.AddInternal(ctx, by, environment, directory.NewAccess{Email: in.Email, Name: in.Name, Language: in.Language, Locale: in.Locale, Menus: in.Menus, Password: hash})
	if err != nil {
		return Added{}, err
	}
	out := Added{Made: made}
	if out.Access, err = d.oneAccess(ctx, by, environment, a.AccountID); err != nil || !made {
		return out, err
	}
	err = d.invite(ctx, by, a.AccountID, &out)
	return out, err
}

func (d *Desk) invite(ctx context.Context, by directory.Actor, account directory.ID, out *Added) (err error) {
	if out.Mailed, err = d.MailPassword(ctx, by, account); err != nil || out.Mailed {
		return err
	}
	if by.Role != directory.RoleOperator {
		out.Pending = true
		return nil
	}
	link, err := d.PasswordLink(ctx, by, account)
	out.Link = link.URL
	return err
}

// InvitePerson makes or mails another link to set a password. Errors: as Service.CreateLink.
func (d *Desk) InvitePerson(ctx context.Context, by directory.Actor, account directory.ID) (out Added, err error) {
	u, err := d.User(ctx, by, account)
	if err != nil {
		return out, err
	}
	if by.Role != directory.RoleOperator {
		return out, fail(directory.Forbidden, "", "this needs the role operator")
	}
	if u.External && u.Tenant.Name != "" {
		return out, fail(directory.ReadOnly, "password", "the password of this user is managed in the directory of %s: it is changed there", u.Tenant.Name)
	}
	err = d.invite(ctx, by, account, &out)
	return out, err
}

func (d *Desk) oneAccess(ctx context.Context, by directory.Actor, environment, account directory.ID) (Access, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (Access, error) {
		env, err := sn.SeeEnvironment(by, environment)
		if err != nil {
			return Access{}, err
		}
		a, err := sn.Account(account)
		if err != nil {
			return Access{}, err
		}
		return newSight(sn, by).access(env, a)
	})
}

// AccessEdit is a change of an access; what is absent stays. Of an external user the menus alone can be changed.
type AccessEdit struct {
	Name     *string   `json:"name,omitempty" maxLength:"256"`
	Email    *string   `json:"email,omitempty" maxLength:"320"`
	Language *string   `json:"language,omitempty" maxLength:"35"`
	Locale   *string   `json:"locale,omitempty" maxLength:"35"`
	Menus    *[]string `json:"menus,omitempty" maxItems:"100"`
	Active   *bool     `json:"active,omitempty"`
}

// EditAccess changes an access.
func (d *Desk) EditAccess(ctx context.Context, by directory.Actor, environment, account directory.ID, in AccessEdit) (Access, error) {
	_, err := d.Service.SetAccess(ctx, by, environment, account, directory.AccessInput{Name: in.Name, Email: in.Email, Language: in.Language, Locale: in.Locale, Menus: in.Menus, Active: in.Active})
	if err != nil {
		return Access{}, err
	}
	return d.oneAccess(ctx, by, environment, account)
}

// UserEdit is a change of a user; what is absent stays. Of an external user the default environment alone can be changed.
type UserEdit struct {
	Name     *string `json:"name,omitempty" maxLength:"256"`
	Email    *string `json:"email,omitempty" maxLength:"320"`
	Language *string `json:"language,omitempty" maxLength:"35"`
	Locale   *string `json:"locale,omitempty" maxLength:"35"`

	Default IDOrNull `json:"defaultEnvironmentId,omitzero" doc:"Where the user is to land, one that they have active access to; null: it is chosen no more"`
}

// IDOrNull is an id of a change that may be absent, or null to take away what is there.
type IDOrNull struct {
	Given bool
	ID    directory.ID // zero: null
}

// UnmarshalJSON reads an id or null; it is not called for what is absent.
func (o *IDOrNull) UnmarshalJSON(b []byte) error {
	*o = IDOrNull{Given: true}
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	var text string
	err := json.Unmarshal(b, &text)
	id, ok := directory.ParseID(text)
	if err != nil || !ok || id.IsZero() { // a zero one is no way to say null
		return fail(directory.Invalid, "", "this is no id: send one, or null")
	}
	o.ID = id
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (o IDOrNull) MarshalJSON() ([]byte, error) {
	if o.ID.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(o.ID)
}

// EditUser changes what an internal user is called everywhere, and where a user lands. With an error nothing changes.
func (d *Desk) EditUser(ctx context.Context, by directory.Actor, id directory.ID, in UserEdit) (UserDetail, error) {
	change := directory.AccountInput{Name: in.Name, Email: in.Email, Language: in.Language, Locale: in.Locale}
	if in.Default.Given {
		change.DefaultEnvironment = &in.Default.ID
	}
	_, err := d.Service.SetAccount(ctx, by, id, change)
	if err != nil {
		return UserDetail{}, err
	}
	return d.User(ctx, by, id)
}

// Accesses lists the accesses to an environment: who is active first.
func (d *Desk) Accesses(ctx context.Context, by directory.Actor, environment directory.ID, state string, p Page) (List[Access], error) {
	users, err := d.Users(ctx, by, UserFilter{EnvironmentID: environment, State: state}, p)
	if err != nil {
		return List[Access]{}, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (List[Access], error) {
		out := List[Access]{Items: []Access{}, Total: users.Total, Next: users.Next}
		env, err := sn.SeeEnvironment(by, environment)
		if err != nil {
			return out, err
		}
		s := newSight(sn, by)
		for _, u := range users.Items {
			x, err := s.access(env, u.account)
			if err != nil {
				return out, err
			}
			out.Items = append(out.Items, x)
		}
		return out, nil
	})
}

// Menus are those of an environment.
type Menus struct {
	Names []string `json:"names" nullable:"false" maxItems:"1000" doc:"What the environment has to choose from"`
}

// Menus shows the menus that BizzStream says an environment has.
func (d *Desk) Menus(ctx context.Context, by directory.Actor, environment directory.ID) (Menus, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (Menus, error) {
		if _, err := sn.SeeEnvironment(by, environment); err != nil {
			return Menus{}, err
		}
		names, err := sn.Menus(environment)
		return Menus{names}, err
	})
}

// SetMenus says which menus an environment has.
func (d *Desk) SetMenus(ctx context.Context, by directory.Actor, environment directory.ID, in Menus) (Menus, error) {
	names, err := d.Service.SetMenus(ctx, by, environment, in.Names)
	return Menus{names}, err
}

// UserChoices are what lists of users are filtered by.
type UserChoices struct {
	Tenants      []Named
	Environments []Named
	MayAdd       []Named // environments that the actor may add people to
}

// UserChoices lists what an actor may filter by.
func (d *Desk) UserChoices(ctx context.Context, by directory.Actor) (UserChoices, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (out UserChoices, err error) {
		if out.Tenants, out.Environments, err = seenScopes(sn, by, " / "); err != nil {
			return out, err
		}
		for _, e := range out.Environments {
			if _, err := sn.MayEnvironment(by, e.ID); err == nil {
				out.MayAdd = append(out.MayAdd, e)
			}
		}
		return out, nil
	})
}

// Conflict is somebody who could not be provisioned.
type Conflict struct {
	Tenant     Named     `json:"tenant"`
	UserName   string    `json:"userName"`
	ExternalID string    `json:"externalId,omitempty"`
	Time       time.Time `json:"time" doc:"When the directory tried last"`
	Detail     string    `json:"detail" doc:"What the directory was answered"`
	Kind       string    `json:"kind" enum:"untrusted-domain,protected,has-role,other" doc:"What is in the way"`
	Domain     string    `json:"domain,omitempty" doc:"E-mail domain that the tenant is not trusted for"`
	Internal   *Named    `json:"internal,omitempty" doc:"The internal user who has the e-mail address, for who sees that user"`
	MayTrust   bool      `json:"-"`
	Sequence   uint64    `json:"-"` // of the line of the log
}

// conflictLook is how many of a tenant's latest log lines are looked at for people who could not be provisioned.
const conflictLook = 1000

// Conflicts lists the people who could not be provisioned, of the tenants that an actor sees, as far as the latest lines of each
// log tell, and who still are not; who was tried last comes first. Errors: Forbidden; Invalid for a page that is not there.
func (d *Desk) Conflicts(ctx context.Context, by directory.Actor, p Page) (List[Conflict], error) {
	before, err := sequenceOf(p.After)
	if err != nil {
		return List[Conflict]{Items: []Conflict{}}, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (List[Conflict], error) {
		out := List[Conflict]{Items: []Conflict{}}
		tenants, err := sn.SeeTenants(by)
		if err != nil {
			return out, err
		}
		s := newSight(sn, by)
		var all []unprovisioned
		for _, t := range tenants {
			if err := s.unprovisioned(t, &all); err != nil {
				return out, err
			}
		}
		slices.SortFunc(all, func(a, b unprovisioned) int { return cmp.Compare(b.line.Sequence, a.line.Sequence) })
		out.Total = int64(len(all))
		for _, x := range all {
			if before > 0 && x.line.Sequence >= before {
				continue
			}
			if n := len(out.Items); n == p.limit() {
				out.Next = strconv.FormatUint(out.Items[n-1].Sequence, 10)
				break
			}
			c, err := s.conflict(x.tenant, x.line)
			if err != nil {
				return out, err
			}
			out.Items = append(out.Items, c)
		}
		return out, nil
	})
}

// unprovisioned is somebody who could not be provisioned, by the last line about them.
type unprovisioned struct {
	tenant *directory.Tenant
	line   *directory.LogEvent
}

func (s *sight) unprovisioned(t *directory.Tenant, out *[]unprovisioned) error {
	done, n := map[string]bool{}, 0
	var failures []*directory.LogEvent
	err := s.Log(t.ID, 0, true, func(e *directory.LogEvent) bool {
		if e.TargetType == "User" && e.TargetName != "" && !done[e.TargetName] {
			done[e.TargetName] = true // the latest line says how it is
			if e.Status == directory.Failure && (e.Action == directory.ActionCreate || e.Action == directory.ActionOther && e.TargetID == "") {
				failures = append(failures, e)
			}
		}
		n++
		return n < conflictLook
	})
	if err != nil {
		return err
	}
	for _, e := range failures {
		id, err := s.UserByName(t.ID, e.TargetName)
		if err != nil {
			return err
		}
		if !id.IsZero() { // provisioned since, or there all the time: nothing is in the way of that person
			continue
		}
		*out = append(*out, unprovisioned{t, e})
	}
	return nil
}

// conflict finds out what is in the way by now.
func (s *sight) conflict(t *directory.Tenant, e *directory.LogEvent) (Conflict, error) {
	c := Conflict{Tenant: Named{t.ID, t.DisplayName()}, UserName: e.TargetName, ExternalID: e.ExternalID, Time: e.Time, Detail: e.Detail, Kind: "other", Sequence: e.Sequence,
		MayTrust: s.by.Role == directory.RoleOperator}
	a, err := s.InternalAccount(e.TargetName)
	if err != nil || a == nil {
		return c, err
	}
	var problem *directory.Error
	if err := s.AdoptionProblem(t.ID, e.TargetName); err == nil || !errors.As(err, &problem) {
		return c, err
	}
	roles, err := s.Roles(a.ID)
	if err != nil {
		return c, err
	}
	own, err := s.partnerOf(roles)
	if err != nil {
		return c, err
	}
	_, err = s.SeeAccount(s.by, a.ID)
	if err != nil && directory.KindOf(err) != directory.NotFound {
		return c, err
	}
	seen := err == nil
	if seen {
		if a, err = calledTo(s.Snapshot, s.by, a); err != nil {
			return c, err
		}
		c.Internal = &Named{a.ID, a.Name}
	}
	switch {
	case seen && a.Protected:
		c.Kind = "protected"
	case seen && (len(own) > 0 || roles.Operator && s.by.Role == directory.RoleOperator):
		c.Kind = "has-role"
	case !t.Trusts(e.TargetName):
		c.Kind = "untrusted-domain"
		_, c.Domain, _ = strings.Cut(e.TargetName, "@")
	}
	return c, nil
}
