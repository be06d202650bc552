package directory_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/bizzstream/bizzscim/directory"
)

// rows is the content of one table.
type rows map[string]string

// books is the whole store, read without a Service, to be balanced against itself.
type books struct {
	tables map[string]rows
	want   map[string]rows // tables that follow from others

	users    map[[2]directory.ID]*directory.User // tenant, id
	groups   map[[2]directory.ID]*directory.Group
	accounts map[directory.ID]*directory.Account
	envs     map[directory.ID]*directory.Environment
}

// primary tables hold what is known; all others follow from them.
var primary = []string{"settings", "organizations", "environments", "tenants", "accounts", "former", "users", "groups", "members",
	"accesses", "tokens", "clients", "sessions", "subjects", "sign_in_states", "roles", "logins", "links", "log", "outbox", "audit", "runs",
	"credentials", "pull_runs", "pull_run_items", "pull_state", "indirect", "taken", "group_taken", "pull_disabled", "environment_menus"}

// id reads the nth id of a key.
func id(k string, n int) (id directory.ID) {
	copy(id[:], k[16*n:])
	return id
}

// checkInvariants recomputes every index from the primary rows and compares both ways, and every
// access from the rules. It must hold after every change, whatever came before.
func checkInvariants(w *world) {
	w.Helper()
	b := &books{tables: map[string]rows{}, want: map[string]rows{}, users: map[[2]directory.ID]*directory.User{},
		groups: map[[2]directory.ID]*directory.Group{}, accounts: map[directory.ID]*directory.Account{}, envs: map[directory.ID]*directory.Environment{}}
	for _, t := range directory.Tables {
		b.tables[t.Name] = rows{}
		if !slices.Contains(primary, t.Name) {
			b.want[t.Name] = rows{}
		}
	}
	for k, v := range w.dump() {
		name, k, _ := strings.Cut(k, "\x00")
		b.tables[name][k] = v
	}
	view(w, func(s *directory.Snapshot) (bool, error) { return true, b.load(s) })
	b.expectNames(w)
	b.expectUsers(w)
	b.expectGroups(w)
	b.expectAccesses(w)
	b.expectCredentials(w)
	b.expectSessions(w)
	b.expectSignIn(w)
	b.expectLogs(w)
	b.expectPull(w)
	for name, want := range b.want {
		if !maps.Equal(want, b.tables[name]) {
			w.Errorf("table %s does not follow from the others (-want +got):\n%s", name, gocmp.Diff(want, b.tables[name]))
		}
	}
	if err := w.svc.VerifyAudit(w.ctx); err != nil {
		w.Errorf("VerifyAudit: %v", err)
	}
}

func (b *books) expect(table string, key []byte, value string) {
	if _, ok := b.want[table]; !ok {
		panic("no index " + table)
	}
	b.want[table][string(key)] = value
}

// load decodes the resources. Snapshot is only asked for rows whose keys are known.
func (b *books) load(s *directory.Snapshot) (err error) {
	for k := range b.tables["users"] {
		u, err := s.User(id(k, 0), id(k, 1))
		if err != nil {
			return err
		}
		u.Attributes, u.Schemas = bytes.Clone(u.Attributes), bytes.Clone(u.Schemas)
		b.users[[2]directory.ID{u.TenantID, u.ID}] = u
	}
	for k := range b.tables["groups"] {
		g, err := s.Group(id(k, 0), id(k, 1))
		if err != nil {
			return err
		}
		g.Attributes, g.Schemas = bytes.Clone(g.Attributes), bytes.Clone(g.Schemas)
		b.groups[[2]directory.ID{g.TenantID, g.ID}] = g
	}
	for k := range b.tables["accounts"] {
		if b.accounts[id(k, 0)], err = s.Account(id(k, 0)); err != nil {
			return err
		}
	}
	for k := range b.tables["environments"] {
		if b.envs[id(k, 0)], err = s.Environment(id(k, 0)); err != nil {
			return err
		}
	}
	return nil
}

func decoded[T any](w *world, v string) *T {
	x := new(T)
	if err := json.Unmarshal([]byte(v), x); err != nil {
		w.Errorf("%T: %v", *x, err)
	}
	return x
}

func (b *books) expectNames(w *world) {
	for k, v := range b.tables["organizations"] {
		b.expect("organization_name", cat(w.svc.Fold(decoded[directory.Organization](w, v).Name)), k)
	}
	for k, v := range b.tables["tenants"] {
		b.expect("tenant_name", cat(w.svc.Fold(decoded[directory.Tenant](w, v).Name)), k)
	}
	for k, e := range b.envs {
		b.expect("environment_name", cat(e.OrganizationID, w.svc.Fold(e.Name)), string(k[:]))
		if !e.Integration.Enabled || e.Integration.TenantID.IsZero() {
			continue
		}
		b.expect("environment_tenant", cat(e.Integration.TenantID, e.ID), "")
		if e.Integration.Transitive {
			b.expect("environment_nested", cat(e.Integration.TenantID, e.ID), "")
		}
		for _, g := range e.Integration.Groups {
			b.expect("environment_group", cat(e.Integration.TenantID, g, byte(0), e.ID), "")
		}
	}
	for _, a := range b.accounts {
		if a.TenantID.IsZero() {
			b.expect("account_email", cat(w.svc.Fold(a.Email), byte(0), a.ID), "")
		}
	}
}

func (b *books) expectUsers(w *world) {
	count := map[directory.ID]int64{}
	for _, u := range b.users {
		count[u.TenantID]++
		if in := userInput(u.Profile); !bytes.Equal(u.Attributes, in.Attributes) || !bytes.Equal(u.Schemas, in.Schemas) {
			w.Errorf("user %s is kept as %q %q", u.UserName, u.Schemas, u.Attributes)
		}
		b.expect("user_name", cat(u.TenantID, w.svc.Fold(u.UserName)), string(u.ID[:]))
		if u.ExternalID != "" {
			b.expect("user_external", cat(u.TenantID, u.ExternalID, byte(0), u.ID), "")
		}
		if u.ObjectID != (directory.ID{}) {
			b.expect("user_object", cat(u.TenantID, u.ObjectID, u.ID), "")
		}
		for _, e := range u.Emails {
			b.expect("user_email", cat(u.TenantID, w.svc.Fold(e), byte(0), u.ID), "")
		}
		a := b.accounts[u.AccountID]
		if a == nil || a.TenantID != u.TenantID || a.UserID != u.ID {
			w.Errorf("user %s and its account do not name each other: %+v", u.UserName, a)
			continue
		}
		if a.UserName != u.UserName || a.Name != u.Name || a.Email != u.Email || u.Language != "" && a.Language != u.Language || u.Locale != "" && a.Locale != u.Locale {
			w.Errorf("account %+v is not as its user %+v says", a, u.Profile)
		}
	}
	for _, a := range b.accounts {
		if !a.UserID.IsZero() && b.users[[2]directory.ID{a.TenantID, a.UserID}] == nil {
			w.Errorf("account %s names a user that is gone", a.UserName)
		}
	}
	for k, v := range b.tables["former"] {
		if a := b.accounts[id(v, 0)]; a == nil || a.TenantID != id(k, 0) {
			w.Errorf("a former user of one tenant is an account of another: %+v", a)
		}
	}
	view(w, func(s *directory.Snapshot) (bool, error) {
		for k := range b.tables["tenants"] {
			if n, err := s.UserCount(id(k, 0)); err != nil || n != count[id(k, 0)] {
				w.Errorf("UserCount is %d, %v, want %d", n, err, count[id(k, 0)])
			}
		}
		return true, nil
	})
}

func (b *books) expectGroups(w *world) {
	groups, members := map[directory.ID]int64{}, map[directory.ID]int64{}
	for _, g := range b.groups {
		groups[g.TenantID]++
		if in := groupInput(g.DisplayName, g.ExternalID); !bytes.Equal(g.Attributes, in.Attributes) || !bytes.Equal(g.Schemas, in.Schemas) {
			w.Errorf("group %s is kept as %q %q", g.DisplayName, g.Schemas, g.Attributes)
		}
		b.expect("group_name", cat(g.TenantID, w.svc.Fold(g.DisplayName)), string(g.ID[:]))
		if g.ExternalID != "" {
			b.expect("group_external", cat(g.TenantID, groupObject(g.ExternalID), byte(0), g.ID), "")
		}
	}
	for k, kind := range b.tables["members"] {
		tenant, group, member := id(k, 0), id(k, 1), id(k, 2)
		members[group]++
		b.expect("member_of", cat(tenant, member, group), "")
		if b.groups[[2]directory.ID{tenant, group}] == nil {
			w.Errorf("a group that is gone has members")
		}
		user, nested := b.users[[2]directory.ID{tenant, member}], b.groups[[2]directory.ID{tenant, member}]
		if (user == nil) == (nested == nil) || user != nil && kind != "u" || nested != nil && kind != "g" {
			w.Errorf("a member of kind %q is user %v, group %v", kind, user, nested)
		}
		if nested != nil && nested.Alone {
			w.Errorf("group %s is in another one and says that it is alone", nested.DisplayName)
		}
	}
	view(w, func(s *directory.Snapshot) (bool, error) {
		for k := range b.tables["tenants"] {
			if n, err := s.GroupCount(id(k, 0)); err != nil || n != groups[id(k, 0)] {
				w.Errorf("GroupCount is %d, %v, want %d", n, err, groups[id(k, 0)])
			}
		}
		for _, g := range b.groups {
			if n, err := s.MemberCount(g.TenantID, g.ID); err != nil || n != members[g.ID] {
				w.Errorf("MemberCount is %d, %v, want %d", n, err, members[g.ID])
			}
		}
		return true, nil
	})
}

// groupObject is the form under which an object id is compared.
func groupObject(external string) string {
	external = strings.TrimSpace(external)
	if _, ok := directory.ParseID(strings.ToLower(external)); ok {
		return strings.ToLower(external)
	}
	return external
}

// entitled is rule 1, from nothing but the primary rows.
func (b *books) entitled(a *directory.Account, e *directory.Environment) bool {
	u := b.users[[2]directory.ID{a.TenantID, a.UserID}]
	in := e.Integration
	if !in.Enabled || u == nil || !u.Active || in.TenantID != u.TenantID {
		return false
	}
	for k := range b.tables["members"] {
		if id(k, 0) != u.TenantID || id(k, 2) != u.ID {
			continue
		}
		if g := b.groups[[2]directory.ID{u.TenantID, id(k, 1)}]; g != nil && slices.Contains(in.Groups, groupObject(g.ExternalID)) {
			return true
		}
	}
	for k, v := range b.tables["indirect"] {
		g := b.groups[[2]directory.ID{u.TenantID, id(k, 2)}]
		if id(k, 0) == e.ID && id(k, 1) == u.ID && g != nil && b.counts(e, g, v) {
			return true
		}
	}
	return false
}

// counts reports whether a row of an indirect member counts.
func (b *books) counts(e *directory.Environment, g *directory.Group, generation string) bool {
	in := e.Integration
	return in.Transitive && generation == string(cat(in.Generation)) && slices.Contains(in.Groups, groupObject(g.ExternalID))
}

// pending tells which environments have a derivation to go on with.
func (b *books) pending(w *world) map[directory.ID]bool {
	pending := map[directory.ID]bool{}
	for k, v := range b.tables["runs"] {
		if decoded[directory.Derivation](w, v).State == directory.DerivationPending {
			pending[id(k, 0)] = true
		}
	}
	return pending
}

// outcomes and kinds of items, as keys number them.
var (
	outcomes = []directory.Outcome{"planned", "applied", "skipped", "waiting", "withheld", "held", "conflict", "failed"}
	kinds    = []directory.ItemKind{"create", "re-attach", "update", "grant", "re-activate", "revoke", "deactivate", "conflict"}
)

func ordinal[T comparable](all []T, one T) byte { return byte(slices.Index(all, one) + 1) }

// expectPull balances what the pull remembers.
func (b *books) expectPull(w *world) {
	for k, v := range b.tables["pull_runs"] {
		run := decoded[directory.Run](w, v)
		if b.envs[run.EnvironmentID] == nil || k != string(cat(run.EnvironmentID, run.ID)) {
			w.Errorf("a run is under another key, or of no environment: %+v", run)
		}
		b.expect("pull_run_of", cat(run.ID), string(run.EnvironmentID[:]))
	}
	for k, v := range b.tables["pull_run_items"] {
		item := decoded[directory.PlanItem](w, v)
		if b.tables["pull_run_of"][k[:16]] == "" || k[16:] != string(cat(item.Number)) {
			w.Errorf("an item is under another key, or of no run: %+v", item)
		}
		b.expect("pull_run_item_place", cat(id(k, 0), ordinal(outcomes, item.Outcome), ordinal(kinds, item.Kind), item.Number), "")
	}
	for k, v := range b.tables["pull_state"] {
		state := decoded[directory.PullState](w, v)
		if b.envs[id(k, 0)] == nil || state.EnvironmentID != id(k, 0) {
			w.Errorf("the pull remembers an environment that is not: %+v", state)
		}
		for _, run := range []directory.ID{state.LastRun, state.Quarantined} {
			if !run.IsZero() && b.tables["pull_run_of"][string(run[:])] != k {
				w.Errorf("the pull remembers a run that is not: %+v", state)
			}
		}
	}
	for k, v := range b.tables["credentials"] {
		if c := decoded[directory.Credential](w, v); b.tables["tenants"][k[:16]] == "" || k != string(cat(c.TenantID, c.Name)) {
			w.Errorf("a credential is under another key, or of no tenant: %+v", c)
		}
	}
	pending := b.pending(w)
	for k, v := range b.tables["indirect"] {
		e := b.envs[id(k, 0)]
		if e == nil {
			w.Errorf("an indirect member of no environment")
			continue
		}
		tenant := e.Integration.TenantID
		g := b.groups[[2]directory.ID{tenant, id(k, 2)}]
		if !pending[e.ID] && (b.users[[2]directory.ID{tenant, id(k, 1)}] == nil || g == nil || !b.counts(e, g, v)) {
			w.Errorf("an indirect member of %s counts for nothing and is kept", e.Name)
		}
	}
	for k := range b.tables["taken"] {
		if b.users[[2]directory.ID{id(k, 0), id(k, 1)}] == nil || b.tables["members"][string(cat(id(k, 0), id(k, 2), id(k, 1)))] != "" {
			w.Errorf("push took somebody out who is gone, or is in")
		}
	}
	for k, v := range b.tables["pull_disabled"] {
		if u := b.users[[2]directory.ID{id(k, 0), id(k, 1)}]; u == nil || u.Active || id(v, 0).IsZero() {
			w.Errorf("a pull made somebody inactive who is not: %+v", u)
		}
	}
	for _, g := range b.groups {
		if _, taken := b.tables["group_taken"][string(cat(g.TenantID, groupObject(g.ExternalID)))]; taken {
			w.Errorf("push took a group away that is there: %+v", g)
		}
	}
}

func (b *books) expectAccesses(w *world) {
	pending := b.pending(w)
	for _, v := range b.tables["runs"] {
		if run := decoded[directory.Derivation](w, v); run.State == directory.DerivationPending {
			b.expect("pending_run", cat(run.ID), string(run.EnvironmentID[:]))
		}
	}
	active, count := map[pair]bool{}, map[string]int64{}
	view(w, func(s *directory.Snapshot) (bool, error) {
		for k := range b.tables["accesses"] {
			x, err := s.Access(id(k, 0), id(k, 1))
			if err != nil {
				return false, err
			}
			a := b.accounts[x.AccountID]
			if a == nil || b.envs[x.EnvironmentID] == nil {
				w.Errorf("an access of nobody, or to nothing: %+v", x)
				continue
			}
			active[pair{a.ID, x.EnvironmentID}] = x.Active
			count[fmt.Sprint(x.EnvironmentID, x.Active)]++
			state := byte(0)
			if x.Active {
				state = 1
			}
			b.expect("environment_access", cat(x.EnvironmentID, state, a.ID), "")
			if x.Administrator {
				b.expect("environment_administrator", cat(x.EnvironmentID, a.ID), "")
			}
			if a.External() && !a.UserID.IsZero() && (x.Name != a.Name || x.Email != a.Email || a.Language != "" && x.Language != a.Language || a.Locale != "" && x.Locale != a.Locale) {
				w.Errorf("access %+v is not as its account %+v says", x, a)
			}
			if x.Active && x.TenantID != a.TenantID {
				w.Errorf("access %+v is managed by another tenant than account %+v", x, a)
			}
		}
		for env := range b.envs {
			for _, state := range []bool{true, false} {
				if n, err := s.EnvironmentAccessCount(env, state); err != nil || n != count[fmt.Sprint(env, state)] {
					w.Errorf("EnvironmentAccessCount is %d, %v, want %d", n, err, count[fmt.Sprint(env, state)])
				}
			}
		}
		return true, nil
	})
	for _, a := range b.accounts {
		for _, e := range b.envs {
			if !a.External() || pending[e.ID] {
				continue
			}
			if got, want := active[pair{a.ID, e.ID}], b.entitled(a, e); got != want {
				w.Errorf("access of %s to %s: active is %v, by the rules %v", a.UserName, e.Name, got, want)
			}
		}
	}
	// Whoever follows the outbox, or the log, knows the same.
	var events, lines []effects
	for _, v := range b.tables["outbox"] {
		e := decoded[directory.OutboxEvent](w, v)
		events = append(events, effects{e.Sequence, e.Accesses})
	}
	for _, v := range b.tables["log"] {
		e := decoded[directory.LogEvent](w, v)
		lines = append(lines, effects{e.Sequence, e.Accesses})
	}
	for name, all := range map[string][]effects{"outbox": events, "log": lines} {
		told := tell(w, name, all)
		for p := range merged2(told, active) {
			if told[p] != active[p] {
				w.Errorf("the %s says active is %v, the access %v", name, told[p], active[p])
			}
		}
	}
}

// effects are what an event or a line says of accesses.
type effects struct {
	sequence uint64
	accesses []directory.AccessEffect
}

// tell follows what is told of accesses: none is given that is there, none is taken that is not.
func tell(w *world, name string, all []effects) map[pair]bool {
	slices.SortFunc(all, func(a, b effects) int { return cmp.Compare(a.sequence, b.sequence) })
	told, known := map[pair]bool{}, map[pair]bool{}
	for _, e := range all {
		for _, x := range e.accesses {
			p := pair{x.AccountID, x.EnvironmentID}
			if x.Effect == directory.Updated {
				continue
			}
			is := x.Effect != directory.Deactivated
			if told[p] == is || known[p] != (x.Effect != directory.Granted) {
				w.Errorf("the %s tells that an access is %s; it is known: %v, active: %v", name, x.Effect, known[p], told[p])
			}
			told[p], known[p] = is, true
		}
	}
	return told
}

func (b *books) expectCredentials(w *world) {
	for k, v := range b.tables["tokens"] {
		b.expect("token_hash", decoded[directory.Token](w, v).Hash, k)
	}
}

// expectSessions balances the sessions: the record of one that has ended stays, with its reason.
func (b *books) expectSessions(w *world) {
	now := w.svc.SessionNow()
	for k := range b.tables["sessions"] {
		x := view(w, func(s *directory.Snapshot) (*directory.Session, error) { return s.Session([]byte(k)) })
		b.expect("account_session", cat(x.AccountID, x.Hash), "")
		b.expect("session_end", cat(uint64(x.Expires.UnixMilli()), x.Hash), "")
		if x.SID != "" {
			b.expect("session_sid", cat(x.TenantID, x.SID, byte(0), x.ID), k)
		}
		a := b.accounts[x.AccountID]
		if string(x.Hash) != k || a == nil || x.Epoch > a.Epoch {
			w.Errorf("session %+v is under another key, of no account or of an epoch to come: %+v", x, a)
			continue
		}
		if x.Ended.IsZero() != (x.Reason == "") || x.Expires.Sub(x.Created) > directory.SessionLife || x.Ended.After(x.Expires) {
			w.Errorf("session %+v", x)
		}
		if !x.Live(now) {
			continue
		}
		if x.Epoch != a.Epoch {
			w.Errorf("a live session of epoch %d, the account has %d: %+v", x.Epoch, a.Epoch, x)
		}
		if !b.mayBeSignedIn(w, a) {
			w.Errorf("a live session of an account without access or role: %+v", a)
		}
	}
}

// mayBeSignedIn is rule 8, from nothing but the primary rows.
func (b *books) mayBeSignedIn(w *world, a *directory.Account) bool {
	if _, ok := b.tables["roles"][string(a.ID[:])]; ok && !a.External() {
		return true
	}
	for k := range b.tables["accesses"] {
		if id(k, 0) == a.ID && w.access(a.ID, id(k, 1)).Active {
			return true
		}
	}
	return false
}

// expectSignIn balances who can sign in, and how.
func (b *books) expectSignIn(w *world) {
	for k, sub := range b.tables["subjects"] { // tenant, client id, 0, object id
		rest, object := k[:len(k)-16], k[len(k)-16:]
		b.expect("subject_owner", []byte(rest+sub), object)
	}
	for k, v := range b.tables["roles"] {
		r := decoded[directory.Roles](w, v)
		if string(r.AccountID[:]) != k || b.accounts[r.AccountID] == nil || !r.Operator && len(r.PartnerOf) == 0 {
			w.Errorf("roles of nobody, or none: %+v", r)
		} else if u := b.users[[2]directory.ID{b.accounts[r.AccountID].TenantID, b.accounts[r.AccountID].UserID}]; b.accounts[r.AccountID].External() && (u == nil || u.ObjectID.IsZero()) {
			w.Errorf("roles of a name: %+v", r)
		}
	}
	for k, v := range b.tables["logins"] {
		l := decoded[directory.Login](w, v)
		if a := b.accounts[l.AccountID]; string(l.AccountID[:]) != k || a == nil || a.External() || l.Hash == "" {
			w.Errorf("a login of nobody, of an external user, or without a password: %+v", a)
		}
	}
	for _, v := range b.tables["links"] {
		l := decoded[directory.Link](w, v)
		if l.Kind == directory.LinkConnect {
			if len(b.tables["tenants"][string(l.TenantID[:])]) == 0 || !l.AccountID.IsZero() || l.ID.IsZero() {
				w.Errorf("a setup link of no tenant: %+v", l)
			}
			continue
		}
		if a := b.accounts[l.AccountID]; (l.Kind == directory.LinkSetup) != l.AccountID.IsZero() || !l.AccountID.IsZero() && (a == nil || a.External()) {
			w.Errorf("a link to nobody, or to an external user: %+v", l)
		}
	}
}

func (b *books) expectLogs(w *world) {
	lines := map[uint64]bool{}
	for k, v := range b.tables["log"] {
		e := decoded[directory.LogEvent](w, v)
		lines[e.Sequence] = true
		if k != string(cat(e.TenantID, e.Sequence)) {
			w.Errorf("a line of the log is under another key: %+v", e)
		}
		if target, ok := directory.ParseID(e.TargetID); ok && e.TargetType == "User" {
			b.expect("log_person", cat(e.TenantID, target, e.Sequence), "")
		}
		if !e.EnvironmentID.IsZero() {
			b.expect("log_environment", cat(e.EnvironmentID, e.Sequence), k[:16])
		}
		for _, a := range e.Accesses {
			b.expect("log_environment", cat(a.EnvironmentID, e.Sequence), k[:16])
		}
	}
	for n := range uint64(len(lines)) {
		if !lines[n+1] {
			w.Errorf("the log has %d lines and no number %d", len(lines), n+1)
		}
	}
	for n := range uint64(len(b.tables["outbox"])) {
		if v, ok := b.tables["outbox"][string(cat(n+1))]; !ok {
			w.Errorf("the outbox has %d events and no number %d", len(b.tables["outbox"]), n+1)
		} else if e := decoded[directory.OutboxEvent](w, v); e.Sequence != n+1 {
			w.Errorf("event %d says it is %d", n+1, e.Sequence)
		}
	}
}
