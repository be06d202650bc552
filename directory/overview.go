package directory

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// What those who run the server look at, and what a search box finds.

// LiveSessions counts the sessions that nothing has ended at that time, up to most.
func (s *Snapshot) LiveSessions(now time.Time, most int) (n int, err error) {
	err = list(s.r, tableSessions, Range{}, decodeSession, func(x *Session) bool {
		if x.live(now) {
			n++
		}
		return n < most
	})
	return n, err
}

// LogTimes tells when the lines of a tenant's log were written and on which channel, newest first. It costs a small part
// of reading them.
func (s *Snapshot) LogTimes(tenant ID, fn func(at time.Time, channel string) bool) error {
	return list(s.r, tableLog, numberRange(tenant, 0, true), decodeStamp, func(l *stamp) bool { return fn(l.Time, l.Actor.Channel) })
}

// stamp is the beginning of a line of the log.
type stamp struct {
	Time  time.Time
	Actor struct {
		Channel string `json:"channel"`
	}
}

// decodeStamp reads a line of the log as far as it has to: the accesses that it changed, which may be many, come later.
func decodeStamp(_, value []byte) (*stamp, error) {
	var l stamp
	d := json.NewDecoder(bytes.NewReader(value))
	if _, err := d.Token(); err != nil { // {
		return nil, fmt.Errorf("%w: line of the log: %w", errRecord, err)
	}
	for left := 2; left > 0 && d.More(); {
		var skipped json.RawMessage
		var into any = &skipped
		name, err := d.Token()
		switch name {
		case "time":
			into, left = &l.Time, left-1
		case "actor":
			into, left = &l.Actor, left-1
		}
		if err == nil {
			err = d.Decode(into)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: line of the log: %w", errRecord, err)
		}
	}
	return &l, nil
}

// PendingDerivations counts the derivations that are not done.
func (s *Snapshot) PendingDerivations() (n int, err error) {
	err = s.r.Scan(tablePendingDerivation, Range{}, func(_, _ []byte) bool { n++; return true })
	return n, err
}

// UsersByPrefix returns the ids of a tenant's users whose userName, and then of those one of whose e-mail addresses,
// begins with a text; of each at most so many. Users may come twice.
func (s *Snapshot) UsersByPrefix(tenant ID, prefix string, most int) ([]ID, error) {
	byName, err := s.beginning(tableUserName, tenant, prefix, most, func(_, v []byte) ID { return toID(v) })
	if err != nil {
		return nil, err
	}
	byEmail, err := s.beginning(tableUserEmail, tenant, prefix, most, func(k, _ []byte) ID { return lastID(k) })
	return append(byName, byEmail...), err
}

func (s *Snapshot) beginning(t *Table, tenant ID, prefix string, most int, id func(k, v []byte) ID) (ids []ID, err error) {
	err = s.r.Scan(t, Range{Prefix: textKey(tenant, s.fold(prefix))}, func(k, v []byte) bool {
		ids = append(ids, id(k, v))
		return len(ids) < most
	})
	return ids, err
}
