package directory

import (
	"context"
	"errors"
	"slices"
	"time"
)

// APIToken opens the JSON API for a program. The secret itself is never kept. What it may is the lesser of its
// scopes, its reach, the role that it was made with, and what the person who answers for it may at that moment.
type APIToken struct {
	ID           ID        `json:"id"`
	Name         string    `json:"name"`
	Role         Role      `json:"role"` // operator, partner or environment administrator
	Reach        *Reach    `json:"reach,omitempty"`
	Scopes       []string  `json:"scopes"`
	Hash         []byte    `json:"hash"` // SHA-256 of the secret
	Hint         string    `json:"hint"` // last four characters
	Created      time.Time `json:"created"`
	CreatedBy    string    `json:"createdBy,omitempty"`
	AccountID    ID        `json:"accountId,omitzero"` // who answers for it: its maker, or that of the token that made it; zero: the command line
	Expires      time.Time `json:"expires"`
	Revoked      time.Time `json:"revoked,omitzero"`
	LastUsed     time.Time `json:"lastUsed,omitzero"` // to the minute
	LastUsedFrom string    `json:"lastUsedFrom,omitempty"`
}

// Live reports whether the token opens anything at that time, as far as it depends on the token itself.
func (t *APIToken) Live(now time.Time) bool { return t.Revoked.IsZero() && now.Before(t.Expires) }

// Bounds of API tokens.
const (
	DefaultAPITokenLife = 90 * 24 * time.Hour
	maxAPITokens        = 50  // live ones that one person answers for
	maxAPIReach         = 100 // organizations, and environments, that one token names
)

// What has ended is shown for a while, and removed when the next one is made: the oldest first of more than keptEnded.
const (
	endedLife = 90 * 24 * time.Hour
	keptEnded = 200 // API tokens of who answers for them, Secret Tokens or clients of a tenant
)

// over selects, of what may have ended, what is to be removed. end is the zero time of what has not.
func over[T any](all []T, now time.Time, end func(T) time.Time) (gone []T) {
	all = slices.DeleteFunc(slices.Clone(all), func(x T) bool { return end(x).IsZero() })
	slices.SortStableFunc(all, func(a, b T) int { return end(b).Compare(end(a)) })
	for i, x := range all {
		if i >= keptEnded || now.Sub(end(x)) > endedLife {
			gone = append(gone, x)
		}
	}
	return gone
}

// ended is when something stopped opening anything; zero: it has not.
func ended(revoked, expires, now time.Time) time.Time {
	switch {
	case !revoked.IsZero() && revoked.Before(expires):
		return revoked
	case !now.Before(expires):
		return expires
	}
	return time.Time{}
}

// APIScopes are what an API token can be for.
var APIScopes = []string{
	"environments:read", "environments:write", "runs:read", "runs:write", "tenants:read", "tenants:write", "users:read", "users:write",
	"log:read", "audit:read", "webhooks:read", "webhooks:write", "tokens:read", "tokens:write", "changes:read", "settings:read", "settings:write",
}

var (
	tableAPITokens    = &Table{Name: "api_tokens", Sequential: true} // token -> APIToken
	tableAPITokenHash = &Table{Name: "api_token_hash"}               // SHA-256 -> token
)

var apiTables = []*Table{tableAPITokens, tableAPITokenHash, tableIdempotency, tableIdempotencyEnd}

// NewAPIToken describes an API token to be made: the secret itself stays with the caller. An operator's has no
// reach, a partner's names organizations, and an environment administrator's environments.
type NewAPIToken struct {
	Name   string
	Role   Role
	Reach  Reach
	Scopes []string
	Hash   [32]byte
	Hint   string
	Life   time.Duration // 0: DefaultAPITokenLife
}

func (n *NewAPIToken) check() (err error) {
	if n.Name, err = cleanName("name", n.Name); err != nil {
		return err
	}
	if len(n.Scopes) == 0 {
		return failf(Invalid, "scopes", "choose at least one scope")
	}
	for _, s := range n.Scopes {
		if !slices.Contains(APIScopes, s) {
			return failf(Invalid, "scopes", "there is no scope %q", s)
		}
	}
	n.Scopes = sorted(n.Scopes, func(a, b string) int { return slices.Index(APIScopes, a) - slices.Index(APIScopes, b) })
	n.Reach = Reach{Organizations: sorted(n.Reach.Organizations, compareIDs), Environments: sorted(n.Reach.Environments, compareIDs)}
	if len(n.Reach.Organizations) > maxAPIReach || len(n.Reach.Environments) > maxAPIReach {
		return failf(Invalid, "reach", "a token reaches at most %d organizations or environments by name", maxAPIReach)
	}
	organizations, environments := len(n.Reach.Organizations) > 0, len(n.Reach.Environments) > 0
	switch {
	case n.Role == RoleOperator && (organizations || environments):
		return failf(Invalid, "reach", "an operator's token reaches everything: name neither organizations nor environments")
	case n.Role == RolePartner && (!organizations || environments):
		return failf(Invalid, "organizations", "a partner's token names the organizations that it reaches, and no environments")
	case n.Role == RoleEnvironment && (organizations || !environments):
		return failf(Invalid, "environments", "an environment administrator's token names the environments that it reaches, and no organizations")
	case n.Role != RoleOperator && n.Role != RolePartner && n.Role != RoleEnvironment:
		return failf(Invalid, "role", "a token has the role operator, partner or environment administrator")
	}
	if n.Life == 0 {
		n.Life = DefaultAPITokenLife
	}
	if n.Life < time.Minute || n.Life > MaxTokenLife {
		return failf(Invalid, "expires", "a token lives between a minute and %d days", int(MaxTokenLife.Hours()/24))
	}
	return nil
}

// sorted is a sorted copy of a list in which nothing stands twice.
func sorted[T comparable](list []T, compare func(a, b T) int) []T {
	list = slices.Clone(list)
	slices.SortFunc(list, compare)
	return slices.Compact(list)
}

// CreateAPIToken makes an API token, of no more than its maker: an operator makes any, a partner those of its own
// organizations, and an API token those of its own scopes besides. Errors: Forbidden;
// Invalid; NotFound for what lies outside of the maker's reach; Conflict when 50 are live that the same person answers
// for.
func (s *Service) CreateAPIToken(ctx context.Context, by Actor, n NewAPIToken) (*APIToken, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	return s.addAPIToken(ctx, by, n.Hash, n.Hint, n.Life, "api-token.create", func(c *change) (*APIToken, error) {
		t := &APIToken{Name: n.Name, Role: n.Role, Scopes: n.Scopes}
		if n.Role != RoleOperator {
			t.Reach = &n.Reach
		}
		return t, nil
	})
}

// RotateAPIToken makes a token of the same name, role, reach and scopes, and lets the old one end after overlap (0: at
// once). life is that of the new one (0: DefaultAPITokenLife). Errors: as CreateAPIToken, and Conflict for one that is not
// live any more.
func (s *Service) RotateAPIToken(ctx context.Context, by Actor, old ID, hash [32]byte, hint string, life, overlap time.Duration) (*APIToken, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return nil, failf(Invalid, "overlap", "the overlap lies between 0 and %d days", int(MaxOverlap.Hours()/24))
	}
	if life == 0 {
		life = DefaultAPITokenLife
	}
	if life < time.Minute || life > MaxTokenLife {
		return nil, failf(Invalid, "expires", "a token lives between a minute and %d days", int(MaxTokenLife.Hours()/24))
	}
	return s.addAPIToken(ctx, by, hash, hint, life, "api-token.rotate", func(c *change) (*APIToken, error) {
		t, err := c.SeeAPIToken(by, old)
		if err != nil {
			return nil, err
		}
		if !t.Live(c.now) {
			return nil, failf(Conflict, "", "the token is not live any more: create a new one")
		}
		next := &APIToken{Name: t.Name, Role: t.Role, Reach: t.Reach, Scopes: t.Scopes}
		if end := c.now.Add(overlap); end.Before(t.Expires) {
			t.Expires = end
		}
		return next, c.put(row{tableAPITokens, key(old), encodeJSON(t)})
	})
}

func (s *Service) addAPIToken(ctx context.Context, by Actor, hash [32]byte, hint string, life time.Duration, action string, of func(*change) (*APIToken, error)) (*APIToken, error) {
	var t *APIToken
	err := s.update(ctx, by, func(c *change) (err error) {
		if t, err = of(c); err != nil {
			return err
		}
		if err := c.mayGive(by, t); err != nil {
			return err
		}
		account, err := c.answersFor(by)
		if err != nil {
			return err
		}
		live, err := c.tidyAPITokens(account)
		if err != nil {
			return err
		}
		if live >= maxAPITokens {
			return failf(Conflict, "", "there are %d live tokens already that the same person has made: revoke one first", live)
		}
		t.ID, t.Hash, t.Hint, t.Created, t.Expires = s.newID(), hash[:], hint, c.now, c.now.Add(life)
		t.CreatedBy, t.AccountID = by.ID, account
		if err := c.insert(tableAPITokenHash, t.Hash, t.ID[:], failf(Conflict, "", "there is such a token already")); err != nil {
			return err
		}
		if err := c.put(row{tableAPITokens, key(t.ID), encodeJSON(t)}); err != nil {
			return err
		}
		return c.audit(action, t.Name, map[string]any{"token": t.ID, "hint": t.Hint, "role": t.Role, "reach": t.Reach, "scopes": t.Scopes, "expires": t.Expires})
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// tidyAPITokens removes the ended API tokens that an account answers for and that are over, and counts the live ones.
func (c *change) tidyAPITokens(account ID) (live int, err error) {
	var all []*APIToken
	err = c.apiTokens(func(t *APIToken) {
		if t.AccountID == account {
			all = append(all, t)
			live += count(t.Live(c.now))
		}
	})
	if err != nil {
		return 0, err
	}
	for _, t := range over(all, c.now, func(t *APIToken) time.Time { return ended(t.Revoked, t.Expires, c.now) }) {
		if err := c.delete(row{table: tableAPITokens, key: key(t.ID)}, row{table: tableAPITokenHash, key: t.Hash}); err != nil {
			return 0, err
		}
	}
	return live, nil
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

// mayGive refuses a token that could do more than its maker.
func (s *Snapshot) mayGive(by Actor, t *APIToken) error {
	if err := require(by, RolePartner, RoleOperator); err != nil {
		return err
	}
	covers, err := s.covers(by, t)
	if err != nil {
		return err
	}
	if !covers {
		if by.Role != RoleOperator && t.Role != RolePartner {
			return failf(Forbidden, "role", "an operator alone makes a token with the role %s", t.Role)
		}
		return notFound("organization or environment")
	}
	if by.Reach == nil || by.Reach.Scopes == nil {
		return nil
	}
	for _, scope := range t.Scopes {
		if !slices.Contains(by.Reach.Scopes, scope) {
			return failf(Forbidden, "scopes", "this token does not have the scope %s, so it cannot give it", scope)
		}
	}
	return nil
}

// covers reports whether all that a token reaches lies within what an actor reaches. Names of what is not there are
// covered by nobody.
func (s *Snapshot) covers(by Actor, t *APIToken) (bool, error) {
	if by.Role != RoleOperator && (by.Role != RolePartner || t.Role != RolePartner) {
		return false, nil // a partner may look at an environment; what its administrators decide is not a partner's to give
	}
	return s.within(by, t)
}

// within is covers, whatever the role of the token.
func (s *Snapshot) within(by Actor, t *APIToken) (bool, error) {
	if t.Reach == nil {
		return t.Role == RoleOperator, nil
	}
	organizations := slices.Clone(t.Reach.Organizations)
	for _, id := range t.Reach.Environments {
		env, err := s.Environment(id)
		if err != nil {
			return false, notMissing(err)
		}
		organizations = append(organizations, env.OrganizationID)
	}
	if by.Role != RoleOperator {
		return by.Reach.owns(organizations), nil
	}
	for _, id := range organizations {
		if _, err := s.Organization(id); err != nil {
			if KindOf(err) == NotFound {
				return false, nil
			}
			return false, err
		}
	}
	return len(organizations) > 0, nil
}

// answersFor is the account that answers for what an actor makes: a person's own, or that of an API token; zero for the
// command line. What an API token made that has been removed since is nobody's: its id is that of no account.
func (s *Snapshot) answersFor(by Actor) (ID, error) {
	id, ok := ParseID(by.ID)
	if !ok {
		return ID{}, nil
	}
	t, err := get(s.r, tableAPITokens, key(id), decodeJSON[APIToken])
	if err != nil {
		return ID{}, err
	}
	if t != nil {
		return t.AccountID, nil
	}
	return id, nil
}

// RevokeAPIToken ends an API token at once. Ending one that has ended is no error. Errors: Forbidden; NotFound.
func (s *Service) RevokeAPIToken(ctx context.Context, by Actor, id ID) (t *APIToken, err error) {
	err = s.update(ctx, by, func(c *change) (err error) {
		if t, err = c.SeeAPIToken(by, id); err != nil || !t.Revoked.IsZero() {
			return err
		}
		return c.revokeAPIToken(t, "")
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (c *change) revokeAPIToken(t *APIToken, why string) error {
	t.Revoked = c.now
	c.ended = true // who follows the changes with it is cut off
	if err := c.put(row{tableAPITokens, key(t.ID), encodeJSON(t)}); err != nil {
		return err
	}
	detail := map[string]any{"token": t.ID, "hint": t.Hint}
	if why != "" {
		detail["why"] = why
	}
	return c.audit("api-token.revoke", t.Name, detail)
}

// dropAPITokens ends the tokens that an account answers for and whose role or reach it does not have any more.
func (c *change) dropAPITokens(now *Roles) error {
	var all []*APIToken
	if err := c.apiTokens(func(t *APIToken) {
		if t.AccountID == now.AccountID && t.Live(c.now) {
			all = append(all, t)
		}
	}); err != nil {
		return err
	}
	for _, t := range all {
		covers, err := c.covers(now.actor(), t)
		if err != nil {
			return err
		}
		if covers {
			continue
		}
		if err := c.revokeAPIToken(t, "its maker lost the role"); err != nil {
			return err
		}
	}
	return nil
}

// actor is who has these roles and no others.
func (r *Roles) actor() Actor {
	by := Actor{Role: RoleUser, Reach: &Reach{Organizations: r.PartnerOf}}
	switch {
	case r.Operator:
		by.Role = RoleOperator
	case len(r.PartnerOf) > 0:
		by.Role = RolePartner
	}
	return by
}

// TouchAPIToken notes when and from where a token was used, to the minute.
func (s *Service) TouchAPIToken(ctx context.Context, id ID, from string) error {
	return s.update(ctx, Actor{Role: RoleSystem}, func(c *change) error {
		t, err := get(c.r, tableAPITokens, key(id), decodeJSON[APIToken])
		if t, err = found(t, err, "token"); err != nil {
			return err
		}
		at := c.now.Truncate(time.Minute)
		if !at.After(t.LastUsed) && t.LastUsedFrom == from {
			return nil
		}
		t.LastUsed, t.LastUsedFrom = at, from
		return c.put(row{tableAPITokens, key(id), encodeJSON(t)})
	})
}

func (s *Snapshot) apiTokens(fn func(*APIToken)) error {
	return list(s.r, tableAPITokens, Range{Reverse: true}, jsonRow[APIToken], func(t *APIToken) bool { fn(t); return true })
}

// SeeAPITokens lists the API tokens that an actor may see and end, the dead ones too, newest first: an operator each, a
// partner those of its own organizations and their environments. Errors: Forbidden.
func (s *Snapshot) SeeAPITokens(by Actor) (all []*APIToken, err error) {
	if err := require(by, RolePartner, RoleOperator); err != nil {
		return nil, err
	}
	var failed error
	err = s.apiTokens(func(t *APIToken) {
		covers, err := s.mayEnd(by, t)
		failed = errors.Join(failed, err)
		if covers {
			all = append(all, t)
		}
	})
	return all, errors.Join(err, failed)
}

// mayEnd reports whether an actor may see and end a token: an operator any, a partner those of its organizations and their
// environments.
func (s *Snapshot) mayEnd(by Actor, t *APIToken) (bool, error) {
	if by.Role == RoleOperator {
		return true, nil
	}
	if by.Role != RolePartner || t.Role == RoleOperator {
		return false, nil
	}
	return s.within(by, t)
}

// inPerson refuses an API token that would give more than it has: roles, ways to sign in as who has them. A token that has
// every scope could do everything anyhow.
func (by Actor) inPerson() error {
	if by.Reach == nil || by.Reach.Scopes == nil {
		return nil
	}
	for _, scope := range APIScopes {
		if !slices.Contains(by.Reach.Scopes, scope) {
			return failf(Forbidden, "", "this gives more than the token has, which is without the scope %s: it needs every scope, or a person", scope)
		}
	}
	return nil
}

// inPersonFor is inPerson for what lets somebody sign in as an account: only who has a role can give more than a token has.
func (s *Snapshot) inPersonFor(by Actor, account ID) error {
	roles, err := s.Roles(account)
	if err != nil || roles.none() {
		return err
	}
	return by.inPerson()
}

// SeeAPIToken returns an API token that an actor may see, as SeeAPITokens says. Errors: Forbidden; NotFound.
func (s *Snapshot) SeeAPIToken(by Actor, id ID) (*APIToken, error) {
	if err := require(by, RolePartner, RoleOperator); err != nil {
		return nil, err
	}
	t, err := get(s.r, tableAPITokens, key(id), decodeJSON[APIToken])
	if t, err = found(t, err, "API token"); err != nil {
		return nil, err
	}
	may, err := s.mayEnd(by, t)
	if err == nil && !may {
		return nil, notFound("API token")
	}
	return t, err
}

// APITokenByHash returns the token with that SHA-256 and whom it stands for, nil when there is none that opens anything
// now: it has ended, or the person who answers for it has left, or has lost what the token may. The caller adds channel,
// address and request to the actor.
func (s *Snapshot) APITokenByHash(hash []byte, now time.Time) (*APIToken, Actor, error) {
	id, err := s.r.Get(tableAPITokenHash, hash)
	if err != nil || id == nil {
		return nil, Actor{}, err
	}
	t, err := get(s.r, tableAPITokens, id, decodeJSON[APIToken])
	if err != nil || t == nil || !t.Live(now) {
		return nil, Actor{}, err
	}
	if ok, err := s.stillAnswered(t); err != nil || !ok {
		return nil, Actor{}, err
	}
	reach := &Reach{Scopes: t.Scopes}
	if t.Reach != nil {
		reach.Organizations, reach.Environments = t.Reach.Organizations, t.Reach.Environments
	}
	return t, Actor{Role: t.Role, Channel: "api", ID: t.ID.String(), Reach: reach}, nil
}

// Answered reports whether the person who answers for a token may still do all that the token may.
func (s *Snapshot) Answered(t *APIToken) (bool, error) { return s.stillAnswered(t) }

func (s *Snapshot) stillAnswered(t *APIToken) (bool, error) {
	if t.AccountID.IsZero() {
		return true, nil
	}
	by, err := s.answering(t.AccountID)
	if err != nil || by == nil {
		return false, err
	}
	return s.covers(*by, t)
}

// answering is what somebody may now who answers for what was made earlier; nil: nothing, they may not even be signed in.
func (s *Snapshot) answering(account ID) (*Actor, error) {
	a, err := s.Account(account)
	if err != nil && KindOf(err) == NotFound {
		return nil, nil //nolint:nilnil // nobody answers
	}
	if err != nil {
		return nil, err
	}
	_, roles, err := s.mayHaveSession(a)
	if errors.Is(err, errNoAccess) {
		return nil, nil //nolint:nilnil // nobody answers
	}
	if err != nil {
		return nil, err
	}
	by := roles.actor()
	return &by, nil
}

// MayGive reports whether an actor may make API tokens that reach an organization.
func (by Actor) MayGive(organization ID) bool {
	return by.Role == RoleOperator || by.Role == RolePartner && by.Reach.organization(organization)
}
