package auth

import (
	"context"
	"crypto/sha256"
	"sync/atomic"
	"time"
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

// Code is the code of a second factor at a time.
func Code(secret string, at time.Time) string {
	for n := range 1_000_000 {
		code := string([]byte{byte('0' + n/100_000), byte('0' + n/10_000%10), byte('0' + n/1000%10), byte('0' + n/100%10), byte('0' + n/10%10), byte('0' + n%10)})
		if step, ok := codeStep(secret, code, at); ok && step == at.Unix()/codePeriod {
			return code
		}
	}
	panic("no code")
}

// Answer answers the requests for a mail that wait.
func (l *Local) Answer(ctx context.Context) {
	for len(l.resets) > 0 {
		l.answer(ctx, <-l.resets)
	}
}
