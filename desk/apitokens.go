package desk

import (
	"cmp"
	"context"
	"encoding/hex"
	"time"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/directory"
)

// APIToken opens the JSON API for a program.
type APIToken struct {
	ID            directory.ID  `json:"id"`
	Name          string        `json:"name" doc:"What people know it by"`
	Role          string        `json:"role" enum:"operator,partner,environment administrator" doc:"What it may do within its reach"`
	Organizations []Named       `json:"organizations" nullable:"false" doc:"What a partner's token reaches; empty for others"`
	Environments  []Named       `json:"environments" nullable:"false" doc:"What an environment administrator's token reaches, as organization / environment; empty for others"`
	Scopes        []string      `json:"scopes" nullable:"false" doc:"What it is for"`
	Hint          string        `json:"hint" doc:"The last four characters of the secret"`
	State         APITokenState `json:"state" enum:"live,expired,revoked,suspended" doc:"Suspended: its maker has left or has lost the role, so it opens nothing"`
	Created       time.Time     `json:"created"`
	CreatedBy     string        `json:"createdBy" doc:"Who made it, as a name or an id"`
	Expires       time.Time     `json:"expires"`
	Revoked       *time.Time    `json:"revoked,omitempty"`
	LastUsed      *time.Time    `json:"lastUsed,omitempty" doc:"To the minute; absent: never"`
	LastUsedFrom  string        `json:"lastUsedFrom,omitempty" doc:"The address that used it last"`
}

// APITokenState says whether a token opens anything.
type APITokenState string

// The states of an APIToken.
const (
	APITokenLive      APITokenState = "live"
	APITokenExpired   APITokenState = "expired"
	APITokenRevoked   APITokenState = "revoked"
	APITokenSuspended APITokenState = "suspended"
)

// NewAPIToken is a token that has just been made.
type NewAPIToken struct {
	APIToken
	Secret string `json:"secret" doc:"The token itself, to be sent as Authorization: Bearer. It is shown this once: nobody can show it again."`
}

// APITokenInput describes a token to be made.
type APITokenInput struct {
	Name          string         `json:"name" minLength:"1" maxLength:"256" doc:"What people know it by, such as the program that uses it"`
	Role          string         `json:"role" enum:"operator,partner,environment administrator" doc:"What it may do within its reach; never more than its maker"`
	Organizations []directory.ID `json:"organizations,omitempty" maxItems:"100" doc:"For the role partner: what it reaches"`
	Environments  []directory.ID `json:"environments,omitempty" maxItems:"100" doc:"For the role environment administrator: what it reaches"`
	Scopes        []string       `json:"scopes" minItems:"1" maxItems:"50" doc:"What it is for, such as changes:read"`
	LifeDays      int            `json:"lifeDays,omitempty" minimum:"1" maximum:"366" default:"90" doc:"Days until it ends"`
}

// APITokenRotation says how a token is replaced.
type APITokenRotation struct {
	OverlapHours *int `json:"overlapHours,omitempty" minimum:"0" maximum:"720" doc:"Hours in which the old token still works; 0: it ends at once; absent: 24"`
	LifeDays     int  `json:"lifeDays,omitempty" minimum:"1" maximum:"366" default:"90" doc:"Days until the new one ends"`
}

// RotatedAPIToken is a new token in place of another.
type RotatedAPIToken struct {
	NewAPIToken
	OldExpires time.Time `json:"oldExpires" doc:"When the old one ends"`
}

const (
	day            = 24 * time.Hour
	defaultOverlap = day
)

// APITokens lists the tokens that an actor may see and end, newest first. after is the id of the last one of the page before.
func (d *Desk) APITokens(ctx context.Context, by directory.Actor, p Page) (List[APIToken], error) {
	return view(ctx, d, func(sn *directory.Snapshot) (List[APIToken], error) {
		all, err := sn.SeeAPITokens(by)
		out := List[APIToken]{Items: []APIToken{}, Total: int64(len(all))}
		if err != nil {
			return out, err
		}
		if p.After != "" {
			after, ok := directory.ParseID(p.After)
			if !ok {
				return out, fail(directory.Invalid, "after", "this is not what \"next\" of a page has said")
			}
			for len(all) > 0 && all[0].ID.String() >= after.String() { // newest first: ids are time-ordered
				all = all[1:]
			}
		}
		if limit := p.limit(); len(all) > limit {
			all, out.Next = all[:limit], all[limit-1].ID.String()
		}
		for _, t := range all {
			shown, err := d.apiToken(sn, by, t)
			if err != nil {
				return out, err
			}
			out.Items = append(out.Items, shown)
		}
		return out, nil
	})
}

// APIToken returns one token that an actor may see.
func (d *Desk) APIToken(ctx context.Context, by directory.Actor, id directory.ID) (APIToken, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (APIToken, error) {
		t, err := sn.SeeAPIToken(by, id)
		if err != nil {
			return APIToken{}, err
		}
		return d.apiToken(sn, by, t)
	})
}

func (d *Desk) apiToken(sn *directory.Snapshot, by directory.Actor, t *directory.APIToken) (APIToken, error) {
	out := APIToken{ID: t.ID, Name: t.Name, Role: string(t.Role), Organizations: []Named{}, Environments: []Named{}, Scopes: t.Scopes, Hint: t.Hint,
		State: APITokenLive, Created: t.Created, Expires: t.Expires, Revoked: orNil(t.Revoked), LastUsed: orNil(t.LastUsed), LastUsedFrom: t.LastUsedFrom}
	if t.Reach != nil {
		for _, id := range t.Reach.Organizations {
			o, err := sn.Organization(id)
			if err != nil {
				return out, err
			}
			out.Organizations = append(out.Organizations, Named{o.ID, o.Name})
		}
		for _, id := range t.Reach.Environments {
			e, err := sn.Environment(id)
			if err != nil {
				return out, err
			}
			o, err := sn.Organization(e.OrganizationID)
			if err != nil {
				return out, err
			}
			out.Environments = append(out.Environments, Named{e.ID, o.Name + " / " + e.Name})
		}
	}
	answered, err := sn.Answered(t)
	switch {
	case err != nil:
		return out, err
	case !t.Revoked.IsZero():
		out.State = APITokenRevoked
	case !d.Now().Before(t.Expires):
		out.State = APITokenExpired
	case !answered:
		out.State = APITokenSuspended
	}
	out.CreatedBy, err = d.maker(sn, by, t)
	return out, err
}

// maker is who made a token, by name as far as the actor may know it.
func (d *Desk) maker(sn *directory.Snapshot, by directory.Actor, t *directory.APIToken) (string, error) {
	id, ok := directory.ParseID(t.CreatedBy)
	if !ok {
		return t.CreatedBy, nil
	}
	if a, err := sn.SeeAccount(by, id); err == nil {
		return cmp.Or(a.Name, a.UserName), nil
	} else if directory.KindOf(err) != directory.NotFound {
		return "", err
	}
	if x, err := sn.SeeAPIToken(by, id); err == nil {
		return x.Name, nil
	} else if directory.KindOf(err) != directory.NotFound {
		return "", err
	}
	return t.CreatedBy, nil
}

// CreateAPIToken makes a token of no more than the actor. Errors: as of the directory.
func (d *Desk) CreateAPIToken(ctx context.Context, by directory.Actor, in APITokenInput) (NewAPIToken, error) {
	secret := auth.NewAPISecret()
	t, err := d.Service.CreateAPIToken(ctx, by, directory.NewAPIToken{Name: in.Name, Role: directory.Role(in.Role), Scopes: in.Scopes,
		Reach: directory.Reach{Organizations: in.Organizations, Environments: in.Environments},
		Hash:  auth.Hash(secret.Text), Hint: secret.Hint, Life: time.Duration(in.LifeDays) * day})
	if err != nil {
		return NewAPIToken{}, err
	}
	shown, err := view(ctx, d, func(sn *directory.Snapshot) (APIToken, error) { return d.apiToken(sn, by, t) })
	return NewAPIToken{shown, secret.Text}, err
}

// RotateAPIToken makes a token in place of another, which goes on for the overlap. Errors: as of the directory.
func (d *Desk) RotateAPIToken(ctx context.Context, by directory.Actor, old directory.ID, in APITokenRotation) (RotatedAPIToken, error) {
	overlap := defaultOverlap
	if in.OverlapHours != nil {
		overlap = time.Duration(*in.OverlapHours) * time.Hour
	}
	secret := auth.NewAPISecret()
	t, err := d.Service.RotateAPIToken(ctx, by, old, auth.Hash(secret.Text), secret.Hint, time.Duration(in.LifeDays)*day, overlap)
	if err != nil {
		return RotatedAPIToken{}, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (RotatedAPIToken, error) {
		shown, err := d.apiToken(sn, by, t)
		if err != nil {
			return RotatedAPIToken{}, err
		}
		before, err := sn.SeeAPIToken(by, old)
		if err != nil {
			return RotatedAPIToken{}, err
		}
		return RotatedAPIToken{NewAPIToken{shown, secret.Text}, before.Expires}, nil
	})
}

// RevokeAPIToken ends a token at once.
func (d *Desk) RevokeAPIToken(ctx context.Context, by directory.Actor, id directory.ID) (APIToken, error) {
	t, err := d.Service.RevokeAPIToken(ctx, by, id)
	if err != nil {
		return APIToken{}, err
	}
	return view(ctx, d, func(sn *directory.Snapshot) (APIToken, error) { return d.apiToken(sn, by, t) })
}

// APITokenChoices are what a token of an actor's can be.
type APITokenChoices struct {
	Roles         []directory.Role
	Organizations []Named
	Environments  []Named // by organization and name: "Fjord / Production"
	Scopes        []string
}

// APITokenChoices lists what an actor can choose from for a new token. Errors: Forbidden for who makes none.
func (d *Desk) APITokenChoices(ctx context.Context, by directory.Actor) (APITokenChoices, error) {
	return view(ctx, d, func(sn *directory.Snapshot) (out APITokenChoices, err error) {
		if _, err := sn.SeeAPITokens(by); err != nil {
			return out, err
		}
		out.Scopes = directory.APIScopes
		if by.Role == directory.RoleOperator {
			out.Roles = append(out.Roles, directory.RoleOperator, directory.RoleEnvironment)
		}
		out.Roles = append(out.Roles, directory.RolePartner)
		organizations, err := sn.SeeOrganizations(by)
		if err != nil {
			return out, err
		}
		names := map[directory.ID]string{}
		for _, o := range organizations {
			names[o.ID] = o.Name
			if by.MayGive(o.ID) {
				out.Organizations = append(out.Organizations, Named{o.ID, o.Name})
			}
		}
		envs, err := sn.SeeEnvironments(by)
		for _, e := range envs {
			if by.MayGive(e.OrganizationID) {
				out.Environments = append(out.Environments, Named{e.ID, names[e.OrganizationID] + " / " + e.Name})
			}
		}
		return out, err
	})
}

// KeptAnswer is an answer that is given again.
type KeptAnswer struct {
	Fingerprint []byte
	Plain       []byte
}

// KeptAnswer returns what a token's request was answered with; nil: nothing that is kept. Errors: RateLimited when so much is
// kept for the token that a new answer would not be; Unavailable when the key that sealed it is gone.
func (d *Desk) KeptAnswer(ctx context.Context, token directory.ID, request [32]byte) (*KeptAnswer, error) {
	kept, err := view(ctx, d, func(sn *directory.Snapshot) (*directory.Answer, error) {
		a, err := sn.KeptAnswer(token, request, d.Now())
		if a == nil && err == nil {
			err = sn.MayKeepAnswer(token)
		}
		return a, err
	})
	if err != nil || kept == nil {
		return nil, err
	}
	plain, err := d.Open(kept.Sealed, answerPlace(token, request))
	if err != nil {
		return nil, err
	}
	return &KeptAnswer{kept.Fingerprint, plain}, nil
}

// KeepAnswer seals and keeps what a token's request was answered with.
func (d *Desk) KeepAnswer(ctx context.Context, token directory.ID, request, fingerprint [32]byte, plain []byte) error {
	sealed, err := d.Seal(plain, answerPlace(token, request))
	if err != nil {
		return err
	}
	return d.Service.KeepAnswer(ctx, token, request, fingerprint, sealed)
}

func answerPlace(token directory.ID, request [32]byte) string {
	return "answer/" + token.String() + "/" + hex.EncodeToString(request[:])
}
