package auth

import "time"

// MaxNotes and KeepAtOnce are bounds, for the tests of them.
const (
	MaxNotes   = maxNotes
	KeepAtOnce = keepAtOnce
)

// Note notes an activity as Check does.
func (s *Sessions) Note(hash [32]byte, at time.Time) { s.note(hash, at) }

// Noted is the activity that the store does not know of; zero: none.
func (s *Sessions) Noted(hash [32]byte) time.Time { return s.noted(hash) }

// Look looks at the sessions of all streams once.
func (s *Sessions) Look() bool { return s.streams.look() }
