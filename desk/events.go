package desk

import (
	"slices"
	"strconv"

	"github.com/bizzstream/bizzscim/directory"
)

// EventTypes are what a Change may be of, in the order in which people look for them.
var EventTypes = []string{"user.created", "user.updated", "user.deleted", "access.updated", "access.derived", "group.created", "group.updated", "group.deleted"}

// EventID is the id by which an event is told through webhooks: the same each time.
func EventID(sequence uint64) string { return "evt_" + strconv.FormatUint(sequence, 10) }

// EventAccounts are the accounts that an event concerns, each once: events of one account are told in order.
func EventAccounts(e *directory.OutboxEvent) (all []directory.ID) {
	if !e.AccountID.IsZero() {
		all = append(all, e.AccountID)
	}
	for _, a := range e.Accesses {
		if !slices.Contains(all, a.AccountID) {
			all = append(all, a.AccountID)
		}
	}
	return all
}

// Event is an outgoing event as an actor may see it, the same picture as that of Changes; nil when there is nothing in it
// for the actor. It takes from e the accesses that are not. An error means that the event could not be read, never that it is
// not for the actor.
func (d *Desk) Event(sn *directory.Snapshot, by directory.Actor, e *directory.OutboxEvent) (*Change, error) {
	r := newChangesReader(sn, by)
	if keep, err := r.keep(e, nil); err != nil || !keep {
		return nil, err
	}
	out, err := r.change(e)
	return &out, err
}

// present turns what is not there, or not for the actor, into nil.
func present[T any](v *T, err error) (*T, error) {
	if kind := directory.KindOf(err); err != nil && (kind == directory.NotFound || kind == directory.Forbidden) {
		return nil, nil
	}
	return v, err
}
