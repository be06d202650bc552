package auth

import (
	"context"
	"slices"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// APITokens checks the tokens of the JSON API. It asks the store at every request: a token that was revoked, or whose
// maker has left or has lost the role, is refused at once.
type APITokens struct {
	service *directory.Service
	now     func() time.Time
	used    chan apiUse
}

type apiUse struct {
	token directory.ID
	from  string
}

// NewAPITokens returns an APITokens. Run must run beside it for tokens to show when they were last used.
func NewAPITokens(service *directory.Service, now func() time.Time) *APITokens {
	return &APITokens{service: service, now: now, used: make(chan apiUse, 256)}
}

var errUnknownAPIToken = &directory.Error{Kind: directory.Unauthorized, Detail: "this API token is not valid: it is wrong, has ended, or who made it may no longer use it"}

// Authenticate returns whom a bearer token stands for, with role, reach and scopes; the scopes stand in the actor too.
// Errors: Unauthorized, the same for a token that is malformed, unknown, ended or revoked.
func (t *APITokens) Authenticate(ctx context.Context, token, from string) (directory.Actor, []string, error) {
	if !wellFormed(token, APIPrefix) {
		return directory.Actor{}, nil, errUnknownAPIToken
	}
	hash := Hash(token)
	var found *directory.APIToken
	var by directory.Actor
	err := t.service.View(ctx, func(sn *directory.Snapshot) (err error) {
		found, by, err = sn.APITokenByHash(hash[:], t.now())
		return err
	})
	if err != nil {
		return directory.Actor{}, nil, err
	}
	if found == nil {
		return directory.Actor{}, nil, errUnknownAPIToken
	}
	if t.now().Unix()/60 != found.LastUsed.Unix()/60 || found.LastUsedFrom != from {
		select {
		case t.used <- apiUse{found.ID, from}:
		default: // the note is for people; a full queue may lose it
		}
	}
	return by, slices.Clone(found.Scopes), nil
}

// Run notes when tokens were used until ctx ends; report is told of a note that was lost.
func (t *APITokens) Run(ctx context.Context, report func(error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case u := <-t.used:
			if err := t.service.TouchAPIToken(ctx, u.token, u.from); err != nil && ctx.Err() == nil {
				report(err)
			}
		}
	}
}
