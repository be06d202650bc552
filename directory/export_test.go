package directory

import "context"

// What the tests outside of the package need of its inside.

// EncodeAccount and EncodeAccess make records that no method of Service makes yet.
func EncodeAccount(a *Account) []byte { return a.encode() }

// EncodeAccess is EncodeAccount for an access.
func EncodeAccess(a *Access) []byte { return a.encode() }

// WorkOnce does one step of the oldest pending run.
func (s *Service) WorkOnce(ctx context.Context) (bool, error) { return s.workOnce(ctx) }

// PruneRows is how many rows one step of PruneRuns removes.
const PruneRows = pruneRows

// PlaceOf is the page of a list of people that begins beyond an account.
func PlaceOf(id ID) string {
	q := peopleQuery{page: &PeoplePage{}}
	q.next("s", id[:])
	return q.page.Next
}

// MaxEnded is how many deliveries that arrived are kept of a webhook, and how many dead letters.
const MaxEnded = maxEnded

// BuildRows is how many records one step of BuildIndexes looks at.
const BuildRows = buildRows
