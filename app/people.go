package app

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/bizzstream/bizzscim/directory"
)

// limit is how many items a page has.
func (p *Page) limit() int {
	switch {
	case p.Limit <= 0:
		return 100
	case p.Limit > 1000:
		return 1000
	}
	return p.Limit
}

// after reads where a page starts; zero: at the first item.
func (p *Page) after() (directory.ID, error) {
	if p.After == "" {
		return directory.ID{}, nil
	}
	id, ok := directory.ParseID(p.After)
	if !ok {
		return id, fail(directory.Invalid, "after", "%q is not a cursor", p.After)
	}
	return id, nil
}

// page takes the items of a page out of one more than it holds.
func page[T any](items []T, limit int, cursor func(T) string) (out List[T]) {
	out = List[T]{Items: orEmpty(items), Total: -1}
	if len(items) > limit {
		out.Items = items[:limit]
		out.Next = cursor(items[limit-1])
	}
	return out
}

// Users.

func (a *admin) createUser(ctx context.Context, by directory.Actor, in UserInput) (User, error) {
	account, err := a.service.CreateAccount(ctx, by, in.UserName, in.Email, in.Name)
	if err != nil {
		return User{}, err
	}
	return a.showUser(ctx, by, UserRef{Ref: account.ID.String()})
}

func (a *admin) listUsers(ctx context.Context, _ directory.Actor, in UserFilter) (List[User], error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (List[User], error) {
		after, err := in.after()
		if err != nil {
			return List[User]{}, err
		}
		limit, n := in.limit(), newNames(sn)
		var accounts []*directory.Account
		if in.Tenant == "" {
			err = sn.Accounts(after, func(a *directory.Account) bool {
				accounts = append(accounts, a)
				return len(accounts) <= limit
			})
			if err != nil {
				return List[User]{}, err
			}
			return usersPage(n, accounts, limit, -1, func(u User) string { return u.ID })
		}
		t, err := findTenant(sn, in.Tenant)
		if err != nil {
			return List[User]{}, err
		}
		total, err := sn.UserCount(t.ID)
		if err != nil {
			return List[User]{}, err
		}
		var ids []directory.ID
		err = sn.Users(t.ID, after, 0, func(u *directory.User) bool {
			ids = append(ids, u.ID)
			return len(ids) <= limit
		})
		for _, id := range ids {
			u, err := sn.User(t.ID, id)
			if err != nil {
				return List[User]{}, err
			}
			account, err := sn.Account(u.AccountID)
			if err != nil {
				return List[User]{}, err
			}
			accounts = append(accounts, account)
		}
		if err != nil {
			return List[User]{}, err
		}
		return usersPage(n, accounts, limit, total, func(u User) string { return u.SCIMID })
	})
}

func usersPage(n *names, accounts []*directory.Account, limit int, total int64, cursor func(User) string) (List[User], error) {
	users, err := collect(accounts, func(a *directory.Account) (User, error) { return viewUser(n, a) })
	if err != nil {
		return List[User]{}, err
	}
	out := page(users.Items, limit, cursor)
	out.Total = total
	return out, nil
}

func viewUser(n *names, a *directory.Account) (User, error) {
	out := User{ID: a.ID.String(), UserName: a.UserName, Name: a.Name, Email: a.Email, Protected: a.Protected, Created: a.Created, Modified: a.Modified}
	if !a.External() {
		return out, nil
	}
	t := n.tenant(a.TenantID)
	out.Tenant = &t
	if a.UserID.IsZero() {
		return out, nil
	}
	u, err := n.sn.User(a.TenantID, a.UserID)
	if err != nil {
		return out, err
	}
	out.SCIMID, out.ExternalID, out.Active = u.ID.String(), u.ExternalID, &u.Active
	return out, nil
}

// find finds the account that is meant.
func (r *UserRef) find(sn *directory.Snapshot) (*directory.Account, error) {
	if r.Tenant == "" {
		return findAccount(sn, nil, r.Ref)
	}
	tenant, err := findTenant(sn, r.Tenant)
	if err != nil {
		return nil, err
	}
	return findAccount(sn, tenant, r.Ref)
}

func (a *admin) showUser(ctx context.Context, _ directory.Actor, in UserRef) (User, error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (User, error) {
		account, err := in.find(sn)
		if err != nil {
			return User{}, err
		}
		n := newNames(sn)
		out, err := viewUser(n, account)
		if err != nil {
			return User{}, err
		}
		if !account.UserID.IsZero() {
			groups, err := sn.GroupsOf(account.TenantID, account.UserID)
			if err != nil {
				return User{}, err
			}
			for _, id := range groups {
				g, err := sn.Group(account.TenantID, id)
				if err != nil {
					return User{}, err
				}
				out.Groups = append(out.Groups, Named{g.ID.String(), g.DisplayName})
			}
		}
		id, chosen, err := sn.DefaultEnvironment(account)
		if err != nil {
			return User{}, err
		}
		if !id.IsZero() {
			out.Default = &Landing{n.environment(id), chosen}
		}
		accesses, err := sn.Accesses(account.ID)
		for _, x := range accesses {
			out.Accesses = append(out.Accesses, viewAccess(n, x))
		}
		return out, err
	})
}

func viewAccess(n *names, x *directory.Access) Access {
	return Access{Account: n.account(x.AccountID), Environment: n.environment(x.EnvironmentID), Name: x.Name, Email: x.Email,
		Active: x.Active, Administrator: x.Administrator, Menus: orEmpty(x.Menus), Created: x.Created, Modified: x.Modified}
}

// Groups.

func (a *admin) listGroups(ctx context.Context, _ directory.Actor, in GroupFilter) (List[Group], error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (List[Group], error) {
		t, err := findTenantOrOnly(sn, in.Tenant)
		if err != nil {
			return List[Group]{}, err
		}
		after, err := in.after()
		if err != nil {
			return List[Group]{}, err
		}
		total, err := sn.GroupCount(t.ID)
		if err != nil {
			return List[Group]{}, err
		}
		limit := in.limit()
		var groups []*directory.Group
		err = sn.Groups(t.ID, after, 0, func(g *directory.Group) bool {
			groups = append(groups, g)
			return len(groups) <= limit
		})
		if err != nil {
			return List[Group]{}, err
		}
		list, err := collect(groups, func(g *directory.Group) (Group, error) { return viewGroup(sn, t, g) })
		if err != nil {
			return List[Group]{}, err
		}
		out := page(list.Items, limit, func(g Group) string { return g.ID })
		out.Total = total
		return out, nil
	})
}

func viewGroup(sn *directory.Snapshot, t *directory.Tenant, g *directory.Group) (Group, error) {
	out := Group{ID: g.ID.String(), DisplayName: g.DisplayName, ExternalID: g.ExternalID, Tenant: Named{t.ID.String(), t.Name},
		Environments: []Named{}, Modified: g.Modified}
	var err error
	if out.Members, err = sn.MemberCount(t.ID, g.ID); err != nil {
		return out, err
	}
	envs, err := sn.Environments(directory.ID{})
	for _, e := range envs {
		syncs := e.Integration.Enabled && e.Integration.TenantID == t.ID && g.ExternalID != ""
		if syncs && slices.ContainsFunc(e.Integration.Groups, func(id string) bool { return strings.EqualFold(id, g.ExternalID) }) {
			out.Environments = append(out.Environments, Named{e.ID.String(), e.Name})
		}
	}
	return out, err
}

func (a *admin) showGroup(ctx context.Context, _ directory.Actor, in GroupRef) (Group, error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (Group, error) {
		t, err := findTenantOrOnly(sn, in.Tenant)
		if err != nil {
			return Group{}, err
		}
		g, err := findGroup(sn, t, in.Ref)
		if err != nil {
			return Group{}, err
		}
		out, err := viewGroup(sn, t, g)
		if err != nil {
			return Group{}, err
		}
		limit := (&Page{Limit: in.Limit}).limit()
		var members []directory.Member
		err = sn.Members(t.ID, g.ID, directory.ID{}, func(m directory.Member) bool {
			members = append(members, m)
			return len(members) < limit
		})
		if err != nil {
			return Group{}, err
		}
		for _, m := range members {
			var name string
			if m.Kind == directory.MemberGroup {
				nested, err := sn.Group(t.ID, m.ID)
				if err != nil {
					return Group{}, err
				}
				name = nested.DisplayName
			} else {
				u, err := sn.User(t.ID, m.ID)
				if err != nil {
					return Group{}, err
				}
				name = u.UserName
			}
			out.MemberList = append(out.MemberList, Named{m.ID.String(), name})
		}
		return out, nil
	})
}

// Accesses.

func (a *admin) listAccesses(ctx context.Context, _ directory.Actor, in AccessFilter) (List[Access], error) {
	states := []bool{true, false}
	switch in.State {
	case "":
	case "active":
		states = states[:1]
	case "inactive":
		states = states[1:]
	default:
		return List[Access]{}, fail(directory.Invalid, "state", "the state is active or inactive, not %q", in.State)
	}
	return view(ctx, a.service, func(sn *directory.Snapshot) (List[Access], error) {
		env, err := findEnvironment(sn, in.Environment)
		if err != nil {
			return List[Access]{}, err
		}
		// The cursor of a list over both states says in which one it is.
		state, cursor, _ := strings.Cut(in.After, ":")
		if state == "inactive" && len(states) == 2 {
			states = states[1:]
		}
		after, err := (&Page{After: cursor}).after()
		if err != nil {
			return List[Access]{}, err
		}
		limit, n := in.limit(), newNames(sn)
		var items []Access
		var total int64
		for _, active := range []bool{true, false} {
			if in.State != "" && active != (in.State == "active") {
				continue
			}
			count, err := sn.EnvironmentAccessCount(env.ID, active)
			if err != nil {
				return List[Access]{}, err
			}
			total += count
		}
		for _, active := range states {
			var ids []directory.ID
			err := sn.EnvironmentAccesses(env.ID, active, after, func(id directory.ID) bool {
				ids = append(ids, id)
				return len(items)+len(ids) <= limit
			})
			if err != nil {
				return List[Access]{}, err
			}
			for _, id := range ids {
				x, err := sn.Access(id, env.ID)
				if err != nil {
					return List[Access]{}, err
				}
				if x != nil {
					items = append(items, viewAccess(n, x))
				}
			}
			if len(items) > limit {
				break
			}
			after = directory.ID{}
		}
		out := page(items, limit, func(x Access) string {
			if x.Active {
				return "active:" + x.Account.ID
			}
			return "inactive:" + x.Account.ID
		})
		out.Total = total
		return out, nil
	})
}

// The provisioning log.

func (a *admin) listLog(ctx context.Context, _ directory.Actor, in LogFilter) (List[LogEvent], error) {
	return view(ctx, a.service, func(sn *directory.Snapshot) (List[LogEvent], error) {
		walk, err := logOf(sn, in.Ref)
		if err != nil {
			return List[LogEvent]{}, err
		}
		var after uint64
		if in.After != "" {
			if after, err = strconv.ParseUint(in.After, 10, 64); err != nil {
				return List[LogEvent]{}, fail(directory.Invalid, "after", "%q is not the number of a log event", in.After)
			}
		}
		limit, n := in.limit(), newNames(sn)
		var events []*directory.LogEvent
		newest := in.Newest && after == 0
		err = walk(after, newest, func(e *directory.LogEvent) bool {
			events = append(events, e)
			return len(events) < limit
		})
		if err != nil {
			return List[LogEvent]{}, err
		}
		if newest {
			slices.Reverse(events)
		}
		list, err := collect(events, func(e *directory.LogEvent) (LogEvent, error) { return viewLogEvent(n, e), nil })
		list.Total = -1
		// A log has no end: Next is always where to go on, so that it can be followed.
		list.Next = in.After
		if len(events) > 0 {
			list.Next = strconv.FormatUint(events[len(events)-1].Sequence, 10)
		}
		return list, err
	})
}

type logWalk func(after uint64, reverse bool, fn func(*directory.LogEvent) bool) error

// logOf finds whose log is meant.
func logOf(sn *directory.Snapshot, ref string) (logWalk, error) {
	ofTenant := func(t *directory.Tenant) logWalk {
		return func(after uint64, reverse bool, fn func(*directory.LogEvent) bool) error {
			return sn.Log(t.ID, after, reverse, fn)
		}
	}
	ofEnvironment := func(e *directory.Environment) logWalk {
		return func(after uint64, reverse bool, fn func(*directory.LogEvent) bool) error {
			return sn.EnvironmentLog(e.ID, after, reverse, fn)
		}
	}
	if rest, ok := strings.CutPrefix(ref, "tenant:"); ok {
		t, err := findTenant(sn, rest)
		if err != nil {
			return nil, err
		}
		return ofTenant(t), nil
	}
	if rest, ok := strings.CutPrefix(ref, "env:"); ok {
		e, err := findEnvironment(sn, rest)
		if err != nil {
			return nil, err
		}
		return ofEnvironment(e), nil
	}
	t, terr := findTenant(sn, ref)
	e, eerr := findEnvironment(sn, ref)
	switch {
	case terr == nil && eerr == nil:
		return nil, fail(directory.Invalid, "ref", "%q is a tenant and an environment; say which: tenant:%s, env:%s", ref, ref, ref)
	case terr == nil:
		return ofTenant(t), nil
	case eerr == nil:
		return ofEnvironment(e), nil
	case isNotFound(terr) && isNotFound(eerr):
		return nil, fail(directory.NotFound, "ref", "there is no environment and no tenant %q; see: bizzscim env list, bizzscim tenant list", ref)
	case isNotFound(terr):
		return nil, eerr
	}
	return nil, terr
}

func viewLogEvent(n *names, e *directory.LogEvent) LogEvent {
	out := LogEvent{Sequence: e.Sequence, Time: e.Time, Tenant: n.tenant(e.TenantID), Channel: e.Actor.Channel, Actor: e.Actor.ID, RequestID: e.Actor.RequestID,
		Action: string(e.Action), TargetType: e.TargetType, Target: Named{e.TargetID, e.TargetName}, ExternalID: e.ExternalID,
		Status: string(e.Status), Detail: e.Detail, Reason: e.Reason, Warnings: e.Warnings, Sessions: e.Sessions}
	if !e.Actor.RunID.IsZero() {
		out.RunID = e.Actor.RunID.String()
	}
	for _, c := range e.Changes {
		out.Changes = append(out.Changes, Change{Name: c.Name, Old: c.Old, New: c.New})
	}
	for _, x := range e.Accesses {
		out.Accesses = append(out.Accesses, AccessEffect{Environment: n.environment(x.EnvironmentID), Account: n.account(x.AccountID), Effect: x.Effect})
	}
	return out
}

// The audit and the server.

func (a *admin) verifyAudit(ctx context.Context, _ directory.Actor, _ None) (AuditResult, error) {
	out := AuditResult{Whole: true}
	if err := a.service.VerifyAudit(ctx); err != nil {
		if k := directory.KindOf(err); k != directory.Internal || errors.Is(err, directory.ErrDamaged) {
			return out, err
		}
		out.Whole, out.Detail = false, strings.TrimPrefix(err.Error(), "directory: ")
	}
	return out, a.service.View(ctx, func(sn *directory.Snapshot) error {
		return sn.Audit(0, func(e *directory.AuditEntry) bool {
			out.Entries = e.Sequence
			return e.Sequence < math.MaxUint64
		})
	})
}

func (a *admin) serverStatus(context.Context, directory.Actor, None) (Status, error) {
	if a.status == nil {
		return Status{}, fail(directory.Unavailable, "", "no server runs on this data folder; start one with: bizzscim serve")
	}
	return a.status(), nil
}

// status tells how the App is.
func (a *App) status() Status {
	stats := a.store.Stats()
	s := Status{Version: a.options.Version, URL: a.url(), Reason: a.ready(context.Background()), Bytes: stats.Bytes, Commits: stats.Commits, Started: a.started}
	s.Ready = s.Reason == ""
	if a.addr != nil {
		s.Address = a.addr.String()
	}
	return s
}
