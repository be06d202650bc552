package auth

import (
	"context"
	"crypto/sha256"
	"sync/atomic"
)

// Hashes counts the hashes of passwords that a Local computes, which cost nothing from now on.
func (l *Local) Hashes() *atomic.Int64 {
	n := &atomic.Int64{}
	l.passwords.derive = func(password, salt []byte, c argonCost, length uint32) []byte {
		n.Add(1)
		sum := sha256.Sum256(append(append([]byte{byte(c.passes)}, salt...), password...))
		return sum[:length]
	}
	return n
}

// RaiseCost makes hashes cost a pass more.
func (l *Local) RaiseCost() { l.passwords.cost.passes++ }

// WhileHashing has a function run within each computation of a hash.
func (l *Local) WhileHashing(fn func()) {
	derive := l.passwords.derive
	l.passwords.derive = func(password, salt []byte, c argonCost, length uint32) []byte {
		fn()
		return derive(password, salt, c, length)
	}
}

// HashPassword hashes a password.
func (l *Local) HashPassword(ctx context.Context, password string) (string, error) {
	return l.passwords.hash(ctx, password)
}

// Figures of the limits.
const (
	FailuresPerMinute = failuresPerMinute
	FreeFailures      = freeFailures
	AccountFailures   = accountFailures
	CodeFailures      = codeFailures
	MaxResets         = maxResets
	MaxSources        = maxSources
	ResetLife         = resetLife
	NoteInterval      = noteInterval
	HashesAtOnce      = hashesAtOnce
)

// Answer answers the requests for a mail that wait.
func (l *Local) Answer(ctx context.Context) {
	for len(l.resets) > 0 {
		l.answer(ctx, <-l.resets)
	}
}
